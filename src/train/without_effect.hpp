// Options that differ from their defaults and do nothing beside the others. Whoever gives one means something that will
// not happen, and is told; but one that a recipe or a run's config.ini sets beside what it belongs to may be left over
// when that is overridden.
#pragma once

#include <map>
#include <set>
#include <string>

#include "ganymede/options.hpp"

namespace ganymede {

/// By name, each with a sentence that says what it needs.
std::map<std::string, std::string> options_without_effect(const TrainOptions& options);

/// Puts them back to their defaults, but for those that were `meant`, which check_train_options() refuses.
void reset_options_without_effect(TrainOptions& options, const std::set<std::string>& meant);

}  // namespace ganymede
