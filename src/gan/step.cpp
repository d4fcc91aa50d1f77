// The step, top to bottom: see enqueue(). What does not depend on a reduction runs between its start and its finish:
// the next fake images need nothing from D's gradient. (On GPUs it runs beside the sum; on CPU ranks it evens out
// waiting.)
#include "gan/step.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <string>

#include "gan/losses.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

// What travels behind each gradient, and where the running sums of both stand.
constexpr std::size_t d_extras = LossSums::count;
constexpr std::size_t g_stop = LossSums::count;
constexpr std::size_t g_extras = g_stop + 1;

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
      image_size_(images.pixels() * images.channels),
      options_(options),
      simultaneous_(options.scheme == "simultaneous"),
      loss_{loss_index(options.loss), static_cast<float>(options.label_smoothing)},
      generator_sees_real_(generator_sees_real(loss_.kind)),
      ema_(static_cast<float>(options.ema)),
      share_(share_of_batch(options.batch, ranks.rank(), ranks.size(), options.reproducible, options.shards)),
      one_{1, share_.rows(), share_.shard_begin},
      both_{2, share_.rows(), share_.shard_begin},
      three_{3, share_.rows(), share_.shard_begin},
      alone_(ranks.size() == 1),
      one_generator_pass_(!simultaneous_ && alone_ && !generator_sees_real_),
      z_(device, (one_generator_pass_ ? 2 : 1) * static_cast<std::size_t>(share_.rows()) *
                     static_cast<std::size_t>(options.latent)),
      generator_tape_(
          gan.generator.make_tape((one_generator_pass_ ? 2 : 1) * share_.rows(), false, ranks, options.batch)),
      discriminator_sum_(ranks, gan.discriminator, d_extras, std::max(options.d_steps, options.d_burst),
                         options.reproducible),
      generator_sum_(ranks, gan.generator, g_extras, 1, options.reproducible),
      counters_(device, 2),
      running_(device, d_extras + g_extras),
      ahead_(device.steps_ahead()),
      reports_(
          static_cast<StepReport*>(device.allocate_host(static_cast<std::size_t>(ahead_ + 1) * sizeof(StepReport)))),
      stop_flag_(static_cast<std::uint32_t*>(device.allocate_host(sizeof(std::uint32_t)))) {
  int parts = 2;
  if (has_penalties(options)) {
    penalties_.emplace(gan.discriminator, share_.rows(), options);
    parts = penalties_->part_count();
  }
  discriminator_tape_ =
      gan.discriminator.make_tape(parts * share_.rows(), penalties_.has_value(), ranks, options.batch);
  x_ = DeviceArray<float>(device, static_cast<std::size_t>(parts + (one_generator_pass_ ? 1 : 0)) *
                                      static_cast<std::size_t>(share_.rows()) * static_cast<std::size_t>(image_size_));
  for (const bool burst : {false, true})
    for (const bool penalised : {false, true}) {
      const StepKind kind{burst, penalised};
      routines_[kind.index()] = device.make_routine([this, kind] { enqueue(kind); });
    }
  if (!device.is_host()) {
    image_copy_ = DeviceArray<std::uint8_t>(device, images.images.size());
    image_copy_.assign(images.images.data());
  }
  if (gan.data.classes > 0) {
    labels_ = DeviceArray<std::uint8_t>(device, x_.size() / static_cast<std::size_t>(image_size_));
    if (!device.is_host()) {
      label_copy_ = DeviceArray<std::uint8_t>(device, images.labels.size());
      label_copy_.assign(images.labels.data());
    }
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
  const StepKind kind = step_kind(options_, completed_);
  if (clock_ != nullptr) {
    enqueue(kind);
    enter(Phase::count);
  } else {
    routines_[kind.index()]->run();
  }
  device_->mark(slot(completed_));
  ++completed_;
  ++since_;
  if (completed_ - known_ > static_cast<std::uint64_t>(ahead_)) learn(known_ + 1);
}

int GanStep::recorded() const {
  return completed_ == 0 ? 0 : routines_[step_kind(options_, completed_ - 1).index()]->recorded();
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

void GanStep::enqueue(StepKind kind) {
  const int updates = discriminator_updates(options_, kind);
  for (int repetition = 0; repetition < updates; ++repetition) {
    const bool last = repetition + 1 == updates;
    discriminator_gradient(repetition, last, kind.penalised);
    discriminator_sum_.start();
    if (last) break;
    update_discriminator(repetition);
    device_->add_to(d_extras, discriminator_sum_.extras(), running_.data());
  }
  if (simultaneous_) {
    update_discriminator(updates - 1);
  } else {
    begin_generator_sum();
    if (!one_generator_pass_) {
      draw_noise(math::Stream::noise_for_generator, generator_sample(), 0);
      // Beside real images those of the same classes.
      if (!generator_sees_real_) gather_labels(generator_sample(), labels(1));
      enter(Phase::generator_forward);
      generator_tape_.set_labels(labels(1));
      gan_->generator.forward(one_, z_.data(), generator_tape_, fake());
      if (generator_sees_real_) gather(updates - 1);  // a penalty may have used up D's
    }
    update_discriminator(updates - 1);
    enter(Phase::discriminator_forward);
    set_draws(generator_sees_real_ ? math::Stream::dropout_generator_real : math::Stream::dropout_generator,
              generator_sample());
    if (generator_sees_real_) {
      discriminator_tape_.set_labels(labels(0));
      gan_->discriminator.forward(both_, real(), discriminator_tape_);
      generator_gradient(share_.rows(), 0);
    } else {
      discriminator_tape_.set_labels(labels(one_generator_pass_ ? 2 : 1));
      gan_->discriminator.forward(one_, one_generator_pass_ ? part(2) : fake(), discriminator_tape_);
      generator_gradient(0, one_generator_pass_ ? share_.rows() : 0);
    }
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
  end.discriminator_updates = updates;
  end.generator_squared_norm = generator_sum_.squared_norm(0);
  if (alone_)
    end.stop_flag = stop_flag_;
  else
    end.stop = generator_sum_.extras() + g_stop;
  end.step = counters_.data();
  end.discriminator_total = counters_.data() + 1;
  end.reports = reports_;
  end.report_count = ahead_ + 1;
  device_->end_step(end);
}

// z for this rank's rows of the batch, from row `row` of G's input on.
void GanStep::draw_noise(math::Stream stream, StepCount first, int row) {
  enter(Phase::noise);
  draw_latent(*device_, options_, options_.seed, static_cast<std::uint32_t>(stream), first, share_.rows(),
              z_.data() + static_cast<std::ptrdiff_t>(row) * gan_->generator.inputs());
}

// The classes of the images that these samples show, which generated ones are to have too.
void GanStep::gather_labels(StepCount first, std::uint8_t* to) {
  if (labels_.size() == 0) return;
  enter(Phase::data);
  device_->gather_labels(options_.seed, first, label_copy_.size() > 0 ? label_copy_.data() : images_->labels.data(),
                         images_->count, share_.rows(), to);
}

// The global sample number of this rank's first row in one of D's updates, which count through all steps.
StepCount GanStep::discriminator_sample(int repetition) const {
  const auto batch = static_cast<std::uint64_t>(options_.batch);
  return {counters_.data() + 1, batch,
          batch * static_cast<std::uint64_t>(repetition) + static_cast<std::uint64_t>(share_.first_row)};
}

// The same in G's update.
StepCount GanStep::generator_sample() const {
  return {counters_.data(), static_cast<std::uint64_t>(options_.batch), static_cast<std::uint64_t>(share_.first_row)};
}

// What D's next forward pass draws from.
void GanStep::set_draws(math::Stream first_part, StepCount first) {
  discriminator_tape_.set_draws({options_.seed, static_cast<std::uint32_t>(first_part), first});
}

void GanStep::gather(int repetition) {
  enter(Phase::data);
  device_->gather_images(options_.seed, discriminator_sample(repetition),
                         image_copy_.size() > 0 ? image_copy_.data() : images_->images.data(), images_->count,
                         share_.rows(), images_->pixels(), images_->channels, real());
}

// D's gradient in one of a step's updates; in the last one of the simultaneous scheme also G's, through the same D and
// the fakes that D sees.
void GanStep::discriminator_gradient(int repetition, bool last, bool penalised) {
  const int rows = share_.rows();
  const bool with_generator = last && one_generator_pass_;
  const PenaltyParts parts = penalised ? penalties_->parts() : PenaltyParts{};
  const BatchLayout& pass = parts.between ? three_ : both_;
  const int first_part = parts.between ? -1 : 0;
  float* x = part(first_part);
  gather(repetition);
  draw_noise(math::Stream::noise_for_discriminator, discriminator_sample(repetition), 0);
  if (with_generator) draw_noise(math::Stream::noise_for_generator, generator_sample(), rows);
  gather_labels(discriminator_sample(repetition), labels(first_part));
  if (labels_.size() > 0)
    for (int number = first_part + 1; number <= 1; ++number)
      device_->copy(labels(number), labels(first_part), static_cast<std::size_t>(rows));
  if (with_generator) gather_labels(generator_sample(), labels(2));
  enter(Phase::generator_forward);
  generator_tape_.set_labels(labels(1));
  gan_->generator.forward(with_generator ? both_ : one_, z_.data(), generator_tape_, fake());

  if (parts.between) {
    enter(Phase::penalty);
    device_->interpolate(options_.seed, static_cast<std::uint32_t>(math::Stream::interpolation),
                         discriminator_sample(repetition), rows, image_size_, real(), fake(), x);
  }
  Network& d = gan_->discriminator;
  Tape& tape = discriminator_tape_;
  enter(Phase::discriminator_forward);
  tape.set_labels(labels(first_part));
  set_draws(parts.between ? math::Stream::dropout_between : math::Stream::dropout_real,
            discriminator_sample(repetition));
  d.forward(pass, x, tape);
  if (last && simultaneous_) {
    // Before the penalties turn this pass into what they need.
    begin_generator_sum();
    generator_gradient((pass.parts - 1) * rows, 0);
    generator_sum_.start();
  }
  float* row_scale = parts.any() ? penalties_->row_scale() : nullptr;
  enter(Phase::loss);
  discriminator_sum_.begin();
  device_->discriminator_loss(loss_, pass, parts, tape.output(), 1.0F / static_cast<float>(options_.batch),
                              tape.delta(), row_scale, discriminator_sum_.extra(0));
  enter(Phase::discriminator_backward);
  d.backward(pass, 0, tape);
  if (parts.any()) {
    enter(Phase::penalty);
    penalties_->apply(one_, x, tape, discriminator_sum_.extra(LossSums::penalty));
    enter(Phase::discriminator_backward);
  }
  d.gradients(pass, 0, x, tape, row_scale, false, discriminator_sum_.gradient());
}

void GanStep::update_discriminator(int repetition) {
  enter(Phase::reduction);
  discriminator_sum_.finish(repetition);
  enter(Phase::update);
  gan_->discriminator_optimizer->update({counters_.data() + 1, 1, static_cast<std::uint64_t>(repetition)},
                                        discriminator_sum_.squared_norm(repetition), discriminator_sum_.values(),
                                        gan_->discriminator.parameters(), {});
  gan_->discriminator.follow_update();
}

void GanStep::begin_generator_sum() {
  generator_sum_.begin();
  if (!alone_) device_->flag_to_sum(stop_flag_, generator_sum_.extra(g_stop));
}

// From D's logits on generated images in rows discriminator_row … of its tape (those on real ones before them, where
// the loss needs them) to G's gradient in rows generator_row … of G's.
void GanStep::generator_gradient(int discriminator_row, int generator_row) {
  Network& g = gan_->generator;
  Network& d = gan_->discriminator;
  Tape& tape = discriminator_tape_;
  const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(generator_row) * image_size_;
  const std::ptrdiff_t skip =
      static_cast<std::ptrdiff_t>(discriminator_row - (generator_sees_real_ ? share_.rows() : 0)) * d.outputs();
  enter(Phase::loss);
  device_->generator_loss(loss_, generator_sees_real_ ? both_ : one_, tape.output() + skip,
                          1.0F / static_cast<float>(options_.batch), tape.delta() + skip, generator_sum_.extra(0));
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
  gan_->generator_optimizer->update({counters_.data()}, generator_sum_.squared_norm(0), generator_sum_.values(),
                                    gan_->generator.parameters(), average);
  // Running statistics are averages already: the averaged weights go with the latest.
  const std::size_t count = gan_->generator.parameter_count();
  if (gan_->average.size() > count)
    device_->copy(gan_->average.data() + count, gan_->generator.parameters() + count,
                  (gan_->average.size() - count) * sizeof(float));
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
  since_ = 0;
  const std::array<std::uint64_t, 2> counters = {steps, discriminator_updates(options_, steps)};
  counters_.assign(counters.data());
}

StepMeans GanStep::take_means() {
  settle();
  std::array<double, d_extras + g_extras> sums{};
  device_->download(sums.data(), running_.data(), running_.bytes());
  device_->zero(running_.data(), running_.bytes());
  const StepKind kind = step_kind(options_, completed_ == 0 ? 0 : completed_ - 1);
  double squares[2] = {};
  device_->download(&squares[0], discriminator_sum_.squared_norm(discriminator_updates(options_, kind) - 1),
                    sizeof(double));
  device_->download(&squares[1], generator_sum_.squared_norm(0), sizeof(double));
  const auto g_updates = static_cast<double>(since_);
  const auto d_updates = static_cast<double>(discriminator_updates(options_, completed_) -
                                             discriminator_updates(options_, completed_ - since_));
  since_ = 0;
  StepMeans means;
  means.discriminator_loss = sums[LossSums::loss] / d_updates;
  means.generator_loss = sums[d_extras + LossSums::loss] / g_updates;
  means.penalty = sums[LossSums::penalty] / d_updates;
  means.real_accuracy = sums[LossSums::real_right] / d_updates;
  means.fake_accuracy = sums[LossSums::fake_right] / d_updates;
  means.real_score = sums[LossSums::real_score] / d_updates;
  means.fake_score = sums[LossSums::fake_score] / d_updates;
  means.discriminator_gradient_norm = std::sqrt(squares[0]);
  means.generator_gradient_norm = std::sqrt(squares[1]);
  return means;
}

double GanStep::flops() const {
  const double rows = share_.rows();
  const double g = gan_->generator.flops() * rows;
  const double d = gan_->discriminator.flops() * rows;
  const double g_first = gan_->generator.layer(0).flops() * rows;
  const double d_first = gan_->discriminator.layer(0).flops() * rows;
  // D's update: G forward; D forward and weight gradients on real and fake, data gradients above the first layer.
  const double plain = g + 4 * d + 2 * (d - d_first);
  // A penalty adds the first layer's data gradient and the tangent (of all but the last layer) on its rows; points
  // between images are more rows.
  double penalty = 0;
  for (const PenaltySpec& spec : penalties_of(options_)) {
    penalty += d_first + d - gan_->discriminator.layer(gan_->discriminator.layers() - 1).flops() * rows;
    if (spec.part == PenaltyPart::between) penalty += 3 * d - d_first;
  }
  const double d_update = plain + penalty / static_cast<double>(options_.penalty_every);
  // G's update: G and D forward (both are there already in the simultaneous scheme), data gradients through
  // all of D, weight gradients of G and data gradients above its first layer.
  const double g_update = (simultaneous_ ? 0 : g + (generator_sees_real_ ? 2 : 1) * d) + d + g + (g - g_first);
  constexpr std::uint64_t many = 1'000'000;
  return static_cast<double>(discriminator_updates(options_, many)) / many * d_update + g_update;
}

}  // namespace ganymede
