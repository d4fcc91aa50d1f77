// See labels.hpp.
#include "data/labels.hpp"

#include <array>
#include <vector>

#include "core/names.hpp"

namespace ganymede {

std::string gap_in_labels(const ImageSet& training, const std::string& name) {
  std::array<bool, 256> seen{};
  for (const std::uint8_t label : training.labels) seen[label] = true;
  std::vector<std::string> missing;
  for (int label = 0; label < training.classes(); ++label)
    if (!seen[static_cast<std::size_t>(label)]) missing.push_back(std::to_string(label));
  if (missing.empty()) return {};
  const bool one = missing.size() == 1;
  return "of the labels 0 to " + std::to_string(training.classes() - 1) + " no training image of " + name + " has " +
         either(missing) + ": samples show " + (one ? "that class" : "those classes") +
         " as often as others, though nothing has taught " + (one ? "it" : "them") +
         "; number the labels without a gap";
}

}  // namespace ganymede
