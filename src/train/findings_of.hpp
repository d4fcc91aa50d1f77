// What a run's findings depend on besides its records.
#pragma once

#include <map>
#include <string>

#include "report/findings.hpp"

namespace ganymede {

/// Of a run that has no record yet. `options`: as config.ini has them (stored_options()); what another version of the
/// program has written, and this one does not know, is taken for what most runs have.
Findings findings_of(const std::map<std::string, std::string>& options);

}  // namespace ganymede
