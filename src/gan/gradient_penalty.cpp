// See gradient_penalty.hpp.
#include "gan/gradient_penalty.hpp"

#include <algorithm>
#include <array>

#include "math/penalty/penalties.hpp"

namespace ganymede {
namespace {

struct Known {
  int penalty;
  PenaltyPart part;
  double TrainOptions::*weight;
  const char* option;
};
// In the order of D's parts.
constexpr std::array known = std::to_array<Known>({
    {math::Penalties::index_of<math::UnitNorm>(), PenaltyPart::between, &TrainOptions::gradient_penalty,
     "--gradient-penalty"},
    {math::Penalties::index_of<math::SquaredNorm>(), PenaltyPart::real, &TrainOptions::r1, "--r1"},
    {math::Penalties::index_of<math::SquaredNorm>(), PenaltyPart::fake, &TrainOptions::r2, "--r2"},
});

}  // namespace

std::vector<PenaltySpec> penalties_of(const TrainOptions& o) {
  std::vector<PenaltySpec> specs;
  for (const Known& one : known)
    if (o.*one.weight > 0) specs.push_back({one.penalty, one.part, o.*one.weight, one.option});
  return specs;
}

bool has_penalties(const TrainOptions& o) {
  return std::any_of(known.begin(), known.end(), [&](const Known& one) { return o.*one.weight > 0; });
}

GradientPenalties::GradientPenalties(const Network& discriminator, int rows, const TrainOptions& options)
    : discriminator_(&discriminator),
      share_(static_cast<double>(options.penalty_every) / options.batch),
      specs_(penalties_of(options)),
      input_gradient_(discriminator.device(),
                      static_cast<std::size_t>(rows) * static_cast<std::size_t>(discriminator.inputs())) {
  for (const PenaltySpec& spec : specs_) {
    if (spec.part == PenaltyPart::between) parts_.between = true;
    if (spec.part == PenaltyPart::real) parts_.real = true;
    if (spec.part == PenaltyPart::fake) parts_.fake = true;
  }
  row_scale_ = DeviceArray<float>(discriminator.device(),
                                  static_cast<std::size_t>(part_count()) * static_cast<std::size_t>(rows));
}

void GradientPenalties::apply(const BatchLayout& one, float* x, Tape& tape, SumTarget value) {
  Device& device = discriminator_->device();
  float* g = input_gradient_.data();
  for (const PenaltySpec& spec : specs_) {
    const int place = static_cast<int>(spec.part) - (parts_.between ? 0 : 1);
    const int first = place * one.rows;
    const auto start = [&](int columns) { return static_cast<std::ptrdiff_t>(first) * columns; };
    const float* scale = row_scale_.data() + first;
    float* images = x + start(discriminator_->inputs());
    discriminator_->backward_input(one, first, tape, Activation{}, images, g);
    device.gradient_penalty(spec.penalty, one, discriminator_->inputs(), g, static_cast<float>(spec.weight * share_), g,
                            value);
    discriminator_->tangent(one, first, g, tape);
    device.combine_rows(one.rows, discriminator_->inputs(), scale, g, images);
    for (int l = 0; l + 1 < discriminator_->layers(); ++l) {
      const int outputs = discriminator_->layer(l).outputs();
      device.combine_rows(one.rows, outputs, scale, tape.tangent(l), tape.output(l) + start(outputs));
    }
  }
}

}  // namespace ganymede
