// The step, top to bottom: see enqueue(). What does not depend on a reduction runs between its start and its finish:
// the next fake images need nothing from D's gradient. (On GPUs it runs beside the sum; on CPU ranks it evens out waiting.)
#include "gan/step.hpp"

#include <cmath>
#include <exception>
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
      alone_(ranks.size() == 1),
      one_generator_pass_(!simultaneous_ && alone_),
      x_(device, (one_generator_pass_ ? 3 : 2) * static_cast<std::size_t>(share_.rows()) *
                     static_cast<std::size_t>(images.pixels())),
      z_(device, (one_generator_pass_ ? 2 : 1) * static_cast<std::size_t>(share_.rows()) *
                     static_cast<std::size_t>(options.latent)),
      generator_tape_(gan.generator.make_tape((one_generator_pass_ ? 2 : 1) * share_.rows(), false)),
      discriminator_tape_(gan.discriminator.make_tape(2 * share_.rows(), options.r1 > 0)),
      discriminator_sum_(device, ranks, gan.discriminator.parameter_count(), d_extras, d_steps_, options.reproducible),
      generator_sum_(device, ranks, gan.generator.parameter_count(), g_extras, 1, options.reproducible),
      step_(device, 1),
      running_(device, d_extras + g_extras),
      ahead_(device.steps_ahead()),
      reports_(
          static_cast<StepReport*>(device.allocate_host(static_cast<std::size_t>(ahead_ + 1) * sizeof(StepReport)))),
      stop_flag_(static_cast<std::uint32_t*>(device.allocate_host(sizeof(std::uint32_t)))),
      routine_(device.make_routine([this] { enqueue(); })) {
  if (options.r1 > 0) r1_.emplace(gan.discriminator, share_.rows(), options.r1, options.batch);
  if (!device.is_host()) {
    image_copy_ = DeviceArray<std::uint8_t>(device, images.images.size());
    image_copy_.assign(images.images.data());
  }
}

GanStep::~GanStep() {
  // What is still under way uses the memory that goes now.
  try {
    if (std::uncaught_exceptions() == 0) device_->synchronize();
  } catch (const Error&) {
    // Whoever wanted the step's result has asked for it, and been told.
  }
  device_->release_host(stop_flag_);
  device_->release_host(reports_);
}

void GanStep::run(bool stop) {
  *stop_flag_ = stop ? 1 : 0;
  if (clock_ != nullptr) {
    enqueue();
    enter(Phase::count);
  } else {
    routine_->run();
  }
  device_->mark(slot(completed_));
  ++completed_;
  ++since_;
  if (completed_ - known_ > static_cast<std::uint64_t>(ahead_)) learn(known_ + 1);
}

void GanStep::settle() {
  while (known_ < completed_) learn(known_ + 1);
}

// Reads the report of a step, after waiting until the device has written it.
void GanStep::learn(std::uint64_t step) {
  device_->await(slot(step - 1));
  const StepReport& report = reports_[slot(step - 1)];
  known_ = step;
  if (report.stop > 0) stop_agreed_ = true;
  const bool finite = std::isfinite(report.discriminator_squared_norm) && std::isfinite(report.generator_squared_norm);
  if (!finite && not_finite_at_ == 0) not_finite_at_ = step;
}

void GanStep::enqueue() {
  for (int repetition = 0; repetition < d_steps_; ++repetition) {
    const bool last = repetition + 1 == d_steps_;
    discriminator_gradient(repetition, last && one_generator_pass_);
    discriminator_sum_.start();
    if (last) break;
    update_discriminator(repetition);
    device_->add_to(d_extras, discriminator_sum_.extras(), running_.data());
  }
  generator_sum_.begin();
  if (!alone_) device_->flag_to_sum(stop_flag_, generator_sum_.extra(g_stop));
  if (simultaneous_) {
    // Through the same D, before its update, and the fakes that D has just seen.
    generator_gradient(share_.rows(), 0);
    generator_sum_.start();
    update_discriminator(d_steps_ - 1);
  } else {
    if (!one_generator_pass_) {
      draw_noise(math::Stream::noise_for_generator, 0, 0);
      enter(Phase::generator_forward);
      gan_->generator.forward(one_, z_.data(), generator_tape_, fake());
    }
    const int row = one_generator_pass_ ? share_.rows() : 0;
    update_discriminator(d_steps_ - 1);
    enter(Phase::discriminator_forward);
    gan_->discriminator.forward(one_, fake() + static_cast<std::ptrdiff_t>(row) * images_->pixels(),
                                discriminator_tape_);
    generator_gradient(0, row);
    generator_sum_.start();
  }
  update_generator();
  StepEnd end;
  end.discriminator_extras = discriminator_sum_.extras();
  end.discriminator_count = d_extras;
  end.generator_extras = generator_sum_.extras();
  end.generator_count = g_extras;
  end.running = running_.data();
  end.discriminator_squared_norms = discriminator_sum_.squared_norm(0);
  end.discriminator_updates = d_steps_;
  end.generator_squared_norm = generator_sum_.squared_norm(0);
  if (alone_)
    end.stop_flag = stop_flag_;
  else
    end.stop = generator_sum_.extras() + g_stop;
  end.step = step_.data();
  end.reports = reports_;
  end.report_count = ahead_ + 1;
  device_->end_step(end);
}

// z for this rank's rows of the batch, from row `row` of G's input on.
void GanStep::draw_noise(math::Stream stream, int repetition, int row) {
  enter(Phase::noise);
  device_->draw_normal(seed_, static_cast<std::uint32_t>(stream), first_sample(repetition), share_.rows(),
                       gan_->generator.inputs(),
                       z_.data() + static_cast<std::ptrdiff_t>(row) * gan_->generator.inputs());
}

// The global sample number of this rank's first row.
StepCount GanStep::first_sample(int repetition) const {
  const auto batch = static_cast<std::uint64_t>(batch_);
  return {step_.data(), batch * static_cast<std::uint64_t>(d_steps_),
          batch * static_cast<std::uint64_t>(repetition) + static_cast<std::uint64_t>(share_.first_row)};
}

void GanStep::discriminator_gradient(int repetition, bool with_generator) {
  enter(Phase::data);
  device_->gather_images(seed_, first_sample(repetition),
                         image_copy_.size() > 0 ? image_copy_.data() : images_->images.data(), images_->count,
                         share_.rows(), images_->pixels(), x_.data());
  draw_noise(math::Stream::noise_for_discriminator, repetition, 0);
  if (with_generator) draw_noise(math::Stream::noise_for_generator, 0, share_.rows());
  enter(Phase::generator_forward);
  gan_->generator.forward(with_generator ? both_ : one_, z_.data(), generator_tape_, fake());

  Network& d = gan_->discriminator;
  Tape& tape = discriminator_tape_;
  enter(Phase::discriminator_forward);
  discriminator_sum_.begin();
  d.forward(both_, x_.data(), tape);
  enter(Phase::loss);
  device_->discriminator_loss(loss_, both_, tape.output(), 1.0F / static_cast<float>(batch_), tape.delta(),
                              r1_ ? r1_->row_scale() : nullptr, discriminator_sum_.extra(d_loss));
  enter(Phase::discriminator_backward);
  d.backward(both_, 0, tape);
  if (r1_) {
    enter(Phase::penalty);
    r1_->apply(one_, x_.data(), tape, discriminator_sum_.extra(d_penalty));
    enter(Phase::discriminator_backward);
  }
  d.gradients(both_, 0, x_.data(), tape, r1_ ? r1_->row_scale() : nullptr, false, discriminator_sum_.gradient());
}

void GanStep::update_discriminator(int repetition) {
  enter(Phase::reduction);
  discriminator_sum_.finish(repetition);
  enter(Phase::update);
  gan_->discriminator_optimizer->update(
      {step_.data(), static_cast<std::uint64_t>(d_steps_), static_cast<std::uint64_t>(repetition)},
      discriminator_sum_.squared_norm(repetition), discriminator_sum_.values(), gan_->discriminator.parameters(), {});
}

// From D's logits in rows discriminator_row … of its tape to G's gradient in rows generator_row … of G's.
void GanStep::generator_gradient(int discriminator_row, int generator_row) {
  Network& g = gan_->generator;
  Network& d = gan_->discriminator;
  Tape& tape = discriminator_tape_;
  const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(generator_row) * images_->pixels();
  const std::ptrdiff_t skip = static_cast<std::ptrdiff_t>(discriminator_row) * d.outputs();
  enter(Phase::loss);
  device_->generator_loss(loss_, one_, tape.output() + skip, 1.0F / static_cast<float>(batch_), tape.delta() + skip,
                          generator_sum_.extra(g_loss));
  enter(Phase::discriminator_backward);
  d.backward(one_, discriminator_row, tape);
  d.backward_input(one_, discriminator_row, tape, g.activation(), fake() + pixels, generator_tape_.delta() + pixels);
  enter(Phase::generator_backward);
  g.backward(one_, generator_row, generator_tape_);
  g.gradients(one_, generator_row, z_.data() + static_cast<std::ptrdiff_t>(generator_row) * g.inputs(), generator_tape_,
              nullptr, false, generator_sum_.gradient());
}

void GanStep::update_generator() {
  enter(Phase::reduction);
  generator_sum_.finish(0);
  enter(Phase::update);
  MovingAverage average;
  if (gan_->average.size() > 0) average = {gan_->average.data(), ema_};
  gan_->generator_optimizer->update({step_.data()}, generator_sum_.squared_norm(0), generator_sum_.values(),
                                    gan_->generator.parameters(), average);
}

void GanStep::enter(Phase phase) {
  if (clock_ != nullptr) {
    device_->synchronize();
    clock_->enter(phase);
  }
  device_->enter(phase_name(phase));
}

void GanStep::set_steps(std::uint64_t steps) {
  completed_ = known_ = steps;
  device_->upload(step_.data(), &steps, sizeof steps);
}

StepMeans GanStep::take_means() {
  settle();
  std::array<double, d_extras + g_extras> sums{};
  device_->download(sums.data(), running_.data(), running_.bytes());
  device_->zero(running_.data(), running_.bytes());
  double squares[2] = {};
  device_->download(&squares[0], discriminator_sum_.squared_norm(d_steps_ - 1), sizeof(double));
  device_->download(&squares[1], generator_sum_.squared_norm(0), sizeof(double));
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
