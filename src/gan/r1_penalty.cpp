// See r1_penalty.hpp.
#include "gan/r1_penalty.hpp"

namespace ganymede {

R1Penalty::R1Penalty(const Network& discriminator, int rows, double gamma, int batch)
    : discriminator_(&discriminator),
      rows_(rows),
      coefficient_(static_cast<float>(gamma / batch)),
      row_scale_(discriminator.device(), 2 * static_cast<std::size_t>(rows)),
      input_gradient_(discriminator.device(),
                      static_cast<std::size_t>(rows) * static_cast<std::size_t>(discriminator.inputs())) {}

void R1Penalty::apply(const BatchLayout& real, float* x, Tape& tape, SumTarget value) {
  Device& device = discriminator_->device();
  float* g = input_gradient_.data();
  discriminator_->backward_input(real, 0, tape, Activation{}, x, g);
  device.squared_norm_penalty(real, discriminator_->inputs(), g, coefficient_, g, value);
  discriminator_->tangent(real, 0, g, tape);
  device.combine_rows(rows_, discriminator_->inputs(), row_scale_.data(), g, x);
  for (int l = 0; l + 1 < discriminator_->layers(); ++l)
    device.combine_rows(rows_, discriminator_->layer(l).outputs(), row_scale_.data(), tape.tangent(l), tape.output(l));
}

}  // namespace ganymede
