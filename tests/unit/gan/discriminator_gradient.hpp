// D's gradient of its loss and penalties, as a step takes it, on given images.
#pragma once

#include <vector>

#include "gan/gradient_penalty.hpp"
#include "gan/losses.hpp"
#include "ganymede/network.hpp"
#include "support/reference_gan.hpp"

namespace ganymede::testing {

/// Of real and generated images [rows, inputs]; `draws` are those of real ones, generated ones have the next stream.
inline std::vector<float> discriminator_gradient(Network& d, TrainOptions options, const std::vector<float>& real,
                                                 const std::vector<float>& fake, const Draws& draws = {}) {
  const int rows = static_cast<int>(real.size()) / d.inputs();
  options.batch = rows;
  const std::unique_ptr<Communicator> alone = make_local_communicator();
  GradientPenalties penalties(d, rows, options);
  const BatchLayout one{1, rows, {0, rows}};
  const BatchLayout pass{2, rows, {0, rows}};
  std::vector<float> x = real;
  x.insert(x.end(), fake.begin(), fake.end());
  Tape tape = d.make_tape(pass.total_rows(), true, *alone, rows);
  if (draws.first.step != nullptr) tape.set_draws(draws);
  std::vector<float> sums(LossSums::count);
  std::vector<float> gradient(d.parameter_count());
  d.forward(pass, x.data(), tape);
  d.device().discriminator_loss({loss_index(options.loss)}, pass, penalties.parts(), tape.output(),
                                1.0F / static_cast<float>(rows), tape.delta(), penalties.row_scale(), false,
                                SumTarget{sums.data()});
  d.backward(pass, 0, tape);
  penalties.apply(one, x.data(), tape, SumTarget{sums.data()}.at(LossSums::penalty));
  d.gradients(pass, 0, x.data(), tape, penalties.row_scale(), false, SumTarget{gradient.data()});
  const float* whole = d.parameter_gradient(gradient.data());
  return {whole, whole + gradient.size()};
}

/// The rows of a matrix.
inline Doubles row_of(const std::vector<float>& x, int row, int columns) {
  const auto begin = x.begin() + static_cast<std::ptrdiff_t>(row) * columns;
  return {begin, begin + columns};
}

}  // namespace ganymede::testing
