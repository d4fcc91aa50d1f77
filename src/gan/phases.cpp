#include "gan/phases.hpp"

namespace ganymede {

const char* phase_name(Phase phase) {
  switch (phase) {
    case Phase::data:
      return "images";
    case Phase::noise:
      return "noise";
    case Phase::generator_forward:
      return "G forward";
    case Phase::discriminator_forward:
      return "D forward";
    case Phase::loss:
      return "loss";
    case Phase::penalty:
      return "penalty";
    case Phase::discriminator_backward:
      return "D backward";
    case Phase::generator_backward:
      return "G backward";
    case Phase::discriminator_reduction:
      return "D reduction";
    case Phase::generator_reduction:
      return "G reduction";
    case Phase::update:
      return "update";
    case Phase::count:
      break;
  }
  return "";
}

namespace {

const std::array labels = [] {
  std::array<Label, static_cast<std::size_t>(Phase::count) + 1> all;
  for (std::size_t each = 0; each < all.size(); ++each) all[each] = phase_name(static_cast<Phase>(each));
  return all;
}();

}  // namespace

Label phase_label(Phase phase) { return labels[static_cast<std::size_t>(phase)]; }

}  // namespace ganymede
