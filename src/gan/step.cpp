// The step, top to bottom. What does not depend on a reduction runs between its start and its finish: the
// next fake images need nothing from D's gradient.
#include "gan/step.hpp"

#include <cmath>
#include <string>

#include "gan/losses.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

// What travels behind each gradient, and where the running sums of both stand.
enum Extra : std::size_t {
  d_loss = LossSums::loss,
  d_real_right = LossSums::real_right,
  d_fake_right = LossSums::fake_right,
  d_penalty = LossSums::count,
  d_extras,

  g_loss = LossSums::loss,
  g_stop = LossSums::count,
  g_extras,
};

}  // namespace

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
    case Phase::reduction:
      return "reduction";
    case Phase::update:
      return "update";
    case Phase::count:
      break;
  }
  return "";
}

BatchShare share_of_batch(int batch, int rank, int size, bool exact, int shards) {
  if (size > batch)
    throw Error(ExitCode::usage, std::to_string(size) + " ranks cannot share a batch of " + std::to_string(batch) +
                                     ": start at most " + std::to_string(batch) + " ranks or raise --batch");
  if (exact && size > shards)
    throw Error(ExitCode::usage, std::to_string(size) + " ranks cannot share " + std::to_string(shards) +
                                     " virtual shards: start at most " + std::to_string(shards) +
                                     " ranks or raise --shards (which changes the trajectory)");
  const auto cut = [](std::int64_t total, int part, int parts) { return static_cast<int>(total * part / parts); };
  BatchShare share;
  if (exact) {
    const int first = cut(shards, rank, size);
    const int last = cut(shards, rank + 1, size);
    share.first_row = cut(batch, first, shards);
    for (int s = first; s <= last; ++s) share.shard_begin.push_back(cut(batch, s, shards) - share.first_row);
  } else {
    share.first_row = cut(batch, rank, size);
    share.shard_begin = {0, cut(batch, rank + 1, size) - share.first_row};
  }
  return share;
}

GanStep::GanStep(Device& device, Communicator& ranks, Gan& gan, const ImageSet& images, const TrainOptions& options)
    : device_(&device),
      gan_(&gan),
      images_(&images),
      batch_(options.batch),
      d_steps_(options.d_steps),
      simultaneous_(options.scheme == "simultaneous"),
      loss_(loss_index(options.loss)),
      ema_(static_cast<float>(options.ema)),
      seed_(options.seed),
      share_(share_of_batch(options.batch, ranks.rank(), ranks.size(), options.reproducible, options.shards)),
      one_{1, share_.rows(), share_.shard_begin},
      both_{2, share_.rows(), share_.shard_begin},
      x_(device, 2 * static_cast<std::size_t>(share_.rows()) * static_cast<std::size_t>(images.pixels())),
      z_(device, static_cast<std::size_t>(share_.rows()) * static_cast<std::size_t>(options.latent)),
      generator_tape_(gan.generator.make_tape(share_.rows(), false)),
      discriminator_tape_(gan.discriminator.make_tape(2 * share_.rows(), options.r1 > 0)),
      discriminator_sum_(device, ranks, gan.discriminator.parameter_count(), d_extras, options.reproducible),
      generator_sum_(device, ranks, gan.generator.parameter_count(), g_extras, options.reproducible),
      step_(device, 1),
      discriminator_step_(device, 1),
      running_(device, d_extras + g_extras) {
  if (options.r1 > 0) r1_.emplace(gan.discriminator, share_.rows(), options.r1, options.batch);
}

void GanStep::run(bool stop) {
  if (clock_ != nullptr) clock_->restart();
  finite_ = true;
  for (int repetition = 0; repetition < d_steps_; ++repetition) {
    discriminator_gradient(repetition);
    discriminator_sum_.start();
    if (repetition + 1 < d_steps_) update_discriminator();
  }
  generator_sum_.begin();
  generator_sum_.set_extra(g_stop, stop);
  if (simultaneous_) {
    // Through the same D, before its update, and the fakes that D has just seen.
    generator_gradient(share_.rows());
    generator_sum_.start();
    update_discriminator();
  } else {
    start_generator(math::Stream::noise_for_generator, 0);
    update_discriminator();
    float* fake = x_.data() + static_cast<std::ptrdiff_t>(share_.rows()) * images_->pixels();
    gan_->discriminator.forward(one_, fake, discriminator_tape_);
    mark(Phase::discriminator_forward);
    generator_gradient(0);
    generator_sum_.start();
  }
  update_generator();
  device_->advance(step_.data());
  ++completed_;
  ++since_;
  mark(Phase::update);
}

void GanStep::start_generator(math::Stream stream, int repetition) {
  const auto per_step = static_cast<std::uint64_t>(batch_) * static_cast<std::uint64_t>(d_steps_);
  const std::uint64_t first = static_cast<std::uint64_t>(batch_) * static_cast<std::uint64_t>(repetition) +
                              static_cast<std::uint64_t>(share_.first_row);
  device_->draw_normal(seed_, static_cast<std::uint32_t>(stream), step_.data(), per_step, first, share_.rows(),
                       gan_->generator.inputs(), z_.data());
  mark(Phase::noise);
  float* fake = x_.data() + static_cast<std::ptrdiff_t>(share_.rows()) * images_->pixels();
  gan_->generator.forward(one_, z_.data(), generator_tape_, fake);
  mark(Phase::generator_forward);
}

void GanStep::discriminator_gradient(int repetition) {
  const auto per_step = static_cast<std::uint64_t>(batch_) * static_cast<std::uint64_t>(d_steps_);
  const std::uint64_t first = static_cast<std::uint64_t>(batch_) * static_cast<std::uint64_t>(repetition) +
                              static_cast<std::uint64_t>(share_.first_row);
  device_->gather_images(seed_, step_.data(), per_step, first, images_->images.data(), images_->count, share_.rows(),
                         images_->pixels(), x_.data());
  mark(Phase::data);
  start_generator(math::Stream::noise_for_discriminator, repetition);

  Network& d = gan_->discriminator;
  Tape& tape = discriminator_tape_;
  discriminator_sum_.begin();
  d.forward(both_, x_.data(), tape);
  mark(Phase::discriminator_forward);
  device_->discriminator_loss(loss_, both_, tape.output(), 1.0F / static_cast<float>(batch_), tape.delta(),
                              discriminator_sum_.extra(d_loss));
  if (r1_) r1_->prepare(tape);
  mark(Phase::loss);
  d.backward(both_, 0, tape);
  mark(Phase::discriminator_backward);
  if (r1_) {
    r1_->apply(one_, x_.data(), tape, discriminator_sum_.extra(d_penalty));
    mark(Phase::penalty);
  }
  d.gradients(both_, x_.data(), tape, r1_ ? r1_->row_scale() : nullptr, false, discriminator_sum_.gradient());
  mark(Phase::discriminator_backward);
}

void GanStep::update_discriminator() {
  discriminator_sum_.finish();
  check_finite(discriminator_sum_);
  mark(Phase::reduction);
  gan_->discriminator_optimizer->update(discriminator_step_.data(), discriminator_sum_.squared_norm(),
                                        discriminator_sum_.values(), gan_->discriminator.parameters());
  device_->advance(discriminator_step_.data());
  device_->add_to(d_extras, discriminator_sum_.extras(), running_.data());
  mark(Phase::update);
}

void GanStep::generator_gradient(int first_row) {
  Network& g = gan_->generator;
  Network& d = gan_->discriminator;
  Tape& tape = discriminator_tape_;
  const float* fake = x_.data() + static_cast<std::ptrdiff_t>(share_.rows()) * images_->pixels();
  const std::ptrdiff_t skip = static_cast<std::ptrdiff_t>(first_row) * d.outputs();
  device_->generator_loss(loss_, one_, tape.output() + skip, 1.0F / static_cast<float>(batch_), tape.delta() + skip,
                          generator_sum_.extra(g_loss));
  mark(Phase::loss);
  d.backward(one_, first_row, tape);
  d.backward_input(one_, first_row, tape, g.activation(), fake, generator_tape_.delta());
  mark(Phase::discriminator_backward);
  g.backward(one_, 0, generator_tape_);
  g.gradients(one_, z_.data(), generator_tape_, nullptr, false, generator_sum_.gradient());
  mark(Phase::generator_backward);
}

void GanStep::update_generator() {
  generator_sum_.finish();
  check_finite(generator_sum_);
  mark(Phase::reduction);
  gan_->generator_optimizer->update(step_.data(), generator_sum_.squared_norm(), generator_sum_.values(),
                                    gan_->generator.parameters());
  if (gan_->average.size() > 0)
    device_->exponential_average(gan_->average.size(), ema_, generator_sum_.squared_norm(),
                                 gan_->generator.parameters(), gan_->average.data());
  device_->add_to(g_extras, generator_sum_.extras(), running_.data() + d_extras);
}

bool GanStep::stop_agreed() const {
  float stop = 0;
  device_->download(&stop, generator_sum_.extras() + g_stop, sizeof stop);
  return stop > 0;
}

void GanStep::check_finite(const GradientSum& sum) {
  double square = 0;
  device_->download(&square, sum.squared_norm(), sizeof square);
  finite_ = finite_ && std::isfinite(square);
}

void GanStep::set_steps(std::uint64_t steps) {
  completed_ = steps;
  const std::uint64_t d_updates = steps * static_cast<std::uint64_t>(d_steps_);
  device_->upload(step_.data(), &steps, sizeof steps);
  device_->upload(discriminator_step_.data(), &d_updates, sizeof d_updates);
}

StepMeans GanStep::take_means() {
  std::array<double, d_extras + g_extras> sums{};
  device_->download(sums.data(), running_.data(), running_.bytes());
  device_->zero(running_.data(), running_.bytes());
  double squares[2] = {};
  device_->download(&squares[0], discriminator_sum_.squared_norm(), sizeof(double));
  device_->download(&squares[1], generator_sum_.squared_norm(), sizeof(double));
  const auto g_updates = static_cast<double>(since_);
  const double d_updates = g_updates * d_steps_;
  since_ = 0;
  return {sums[d_loss] / d_updates,       sums[d_extras + g_loss] / g_updates, sums[d_penalty] / d_updates,
          sums[d_real_right] / d_updates, sums[d_fake_right] / d_updates,      std::sqrt(squares[0]),
          std::sqrt(squares[1])};
}

double GanStep::flops() const {
  const double rows = share_.rows();
  const double g = gan_->generator.flops() * rows;
  const double d = gan_->discriminator.flops() * rows;
  const double g_first = gan_->generator.layer(0).flops() * rows;
  const double d_first = gan_->discriminator.layer(0).flops() * rows;
  // D's update: G forward; D forward and weight gradients on real and fake, data gradients above the first
  // layer; the penalty adds the first layer's data gradient and the tangent (of all but the last layer) on
  // real rows.
  double penalty = 0;
  if (r1_) penalty = d_first + d - gan_->discriminator.layer(gan_->discriminator.layers() - 1).flops() * rows;
  const double d_update = g + 4 * d + 2 * (d - d_first) + penalty;
  // G's update: G and D forward (both are there already in the simultaneous scheme), data gradients through
  // all of D, weight gradients of G and data gradients above its first layer.
  const double g_update = (simultaneous_ ? 0 : g + d) + d + g + (g - g_first);
  return d_steps_ * d_update + g_update;
}

}  // namespace ganymede
