// The step, top to bottom: see enqueue(). What does not depend on a reduction runs between its start and its finish,
// beside the sum: the next images need nothing from D's gradient.
#include "gan/step.hpp"

#include <algorithm>
#include <exception>
#include <string>

#include "core/heartbeat.hpp"
#include "gan/losses.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

int most_rows(const std::vector<Slice>& slices) {
  int most = 0;
  for (const Slice& slice : slices) most = std::max(most, slice.rows());
  return most;
}

}  // namespace

GanStep::GanStep(Device& device, Communicator& ranks, Gan& gan, const ImageSet& images, const TrainOptions& options)
    : device_(&device),
      gan_(&gan),
      images_(images),
      image_size_(images.pixels() * images.channels),
      options_(options),
      loss_{loss_index(options.loss), static_cast<float>(options.label_smoothing)},
      ema_(static_cast<float>(options.ema)),
      share_(share_of_batch(options.batch, ranks.rank(), ranks.size(), options.reproducible, options.shards)),
      slices_(slices_of(share_, options.micro_batch, options.reproducible)),
      most_rows_(most_rows(slices_)),
      alone_(ranks.size() == 1),
      simultaneous_(options.scheme == "simultaneous"),
      generator_sees_real_(generator_sees_real(loss_.kind)),
      one_generator_pass_(!simultaneous_ && !generator_sees_real_ && alone_ && slices_.size() == 1),
      generator_tape_(gan.generator.make_tape((one_generator_pass_ ? 2 : 1) * most_rows_, false, ranks, options.batch)),
      discriminator_sum_(ranks, gan.discriminator, StepResults::discriminator_extras,
                         std::max(options.d_steps, options.d_burst), options.reproducible),
      generator_sum_(ranks, gan.generator, StepResults::generator_extras, 1, options.reproducible),
      results_(device, options_),
      counters_(device, 2),
      noise_{options.instance_noise, options.instance_noise_end * static_cast<double>(options.steps), counters_.data()},
      stop_flag_(static_cast<std::uint32_t*>(device.allocate_host(sizeof(std::uint32_t)))) {
  int parts = 2;
  if (has_penalties(options)) {
    penalties_.emplace(gan.discriminator, most_rows_, options);
    parts = penalties_->part_count();
  }
  discriminator_tape_ = gan.discriminator.make_tape(parts * most_rows_, penalties_.has_value(), ranks, options.batch);
  const auto rows = static_cast<std::size_t>(most_rows_);
  const std::size_t own_parts = one_generator_pass_ ? 1 : 0;
  const std::size_t input_rows = (static_cast<std::size_t>(parts) + own_parts) * rows;
  x_ = DeviceArray<float>(device, input_rows * static_cast<std::size_t>(image_size_));
  z_ = DeviceArray<float>(device, (1 + own_parts) * rows * static_cast<std::size_t>(options.latent));
  make_routines();
  if (!device.is_host()) {
    image_copy_ = DeviceArray<std::uint8_t>(device, images.images.size());
    image_copy_.assign(images.images.data());
  }
  if (gan.data.classes > 0) {
    labels_ = DeviceArray<std::uint8_t>(device, input_rows);
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
}

void GanStep::make_routines() {
  for (const bool burst : {false, true})
    for (const bool penalised : {false, true}) {
      const StepKind kind{burst, penalised};
      routines_[kind.index()] = device_->make_routine([this, kind] { enqueue(kind); });
    }
}

void GanStep::run(bool stop, bool means) {
  heartbeat::step(steps() + 1);
  *stop_flag_ = stop ? 1 : 0;
  const StepKind kind = step_kind(options_, steps());
  // Whatever was done since the last step ended was not a step's.
  if (results_.settled()) device_->time_from_here();
  if (clock_ != nullptr) {
    enqueue(kind);
    enter(Phase::count);
  } else {
    routines_[kind.index()]->run();
  }
  results_.enqueued(means, squared_norms(kind));
}

int GanStep::recorded() const { return steps() == 0 ? 0 : routines_[last_kind().index()]->recorded(); }

void GanStep::enqueue(StepKind kind) {
  const int updates = discriminator_updates(options_, kind);
  const PenaltyParts penalised = kind.penalised ? penalties_->parts() : PenaltyParts{};
  if (simultaneous_)
    update_together(penalised);
  else
    alternate(updates, penalised);
  end_step(updates);
  device_->enter(phase_name(Phase::count));  // what comes until the next step is in no phase
}

// D's updates, then G's through the new D.
void GanStep::alternate(int updates, const PenaltyParts& penalised) {
  const int last = updates - 1;
  for (int repetition = 0; repetition < updates; ++repetition) {
    for (const Slice& slice : slices_) {
      draw_for_discriminator(slice, repetition, repetition == last && one_generator_pass_);
      if (is_first(slice)) {
        if (repetition > 0) {
          update_discriminator(repetition - 1);
          device_->add_to(StepResults::discriminator_extras, discriminator_sum_.extras(), results_.running());
        }
        discriminator_sum_.begin();
      }
      logits_for_discriminator(slice, repetition, penalised);
      discriminator_gradient(slice, penalised);
    }
    discriminator_sum_.start();
  }
  begin_generator_sum();
  for (const Slice& slice : slices_) {
    if (!one_generator_pass_) draw_for_generator(slice, last);
    if (is_first(slice)) update_discriminator(last);
    logits_for_generator(slice);
    generator_gradient(slice, generator_sees_real_ ? 1 : 0, one_generator_pass_ ? 1 : 0);
  }
  generator_sum_.start();
  update_generator();
}

// Both networks' gradients from one pass over the same images.
void GanStep::update_together(const PenaltyParts& penalised) {
  begin_generator_sum();
  discriminator_sum_.begin();
  for (const Slice& slice : slices_) {
    draw_for_discriminator(slice, 0, false);
    logits_for_discriminator(slice, 0, penalised);
    // G's first: penalties turn the pass into what they need.
    generator_gradient(slice, penalised.between ? 2 : 1, 0);
    if (&slice == &slices_.back()) generator_sum_.start();
    discriminator_gradient(slice, penalised);
  }
  discriminator_sum_.start();
  update_discriminator(0);
  update_generator();
}

// Real images and generated ones for one of D's updates; with_own: also those for G's.
void GanStep::draw_for_discriminator(const Slice& slice, int repetition, bool with_own) {
  draw_real(slice, repetition);
  draw_noise(slice, math::Stream::noise_for_discriminator, discriminator_sample(slice, repetition), 0);
  if (with_own) {
    draw_noise(slice, math::Stream::noise_for_generator, generator_sample(slice), 1);
    gather_labels(slice, generator_sample(slice), own);
  }
  generate(slice, with_own ? 2 : 1);
  add_noise(slice, math::Stream::noise_on_generated, discriminator_sample(slice, repetition), generated(slice, 0),
            fake);
  if (with_own) add_noise(slice, math::Stream::noise_on_generators, generator_sample(slice), generated(slice, 1), own);
}

// Generated images for G's update, and where its loss sees them the real ones of D's update of that number: a penalty,
// or the next slice, may have used these up.
void GanStep::draw_for_generator(const Slice& slice, int repetition) {
  draw_noise(slice, math::Stream::noise_for_generator, generator_sample(slice), 0);
  if (generator_sees_real_)
    draw_real(slice, repetition);
  else
    gather_labels(slice, generator_sample(slice), fake);
  generate(slice, 1);
  add_noise(slice, math::Stream::noise_on_generators, generator_sample(slice), generated(slice, 0), fake);
}

// The real images of one of D's updates; generated ones beside them are to have the same classes.
void GanStep::draw_real(const Slice& slice, int repetition) {
  enter(Phase::data);
  device_->gather_images(options_.seed, discriminator_sample(slice, repetition),
                         image_copy_.size() > 0 ? image_copy_.data() : images_.images.data(), images_.count,
                         slice.rows(), images_.pixels(), images_.channels, images(slice, real));
  gather_labels(slice, discriminator_sample(slice, repetition), real);
  copy_labels(slice, fake);
  add_noise(slice, math::Stream::noise_on_real, discriminator_sample(slice, repetition), images(slice, real), real);
}

// z in a part of G's input.
void GanStep::draw_noise(const Slice& slice, math::Stream stream, StepCount first, int generator_part) {
  enter(Phase::noise);
  draw_latent(*device_, options_, options_.seed, static_cast<std::uint32_t>(stream), first, slice.rows(),
              z_.data() + static_cast<std::ptrdiff_t>(generator_part) * slice.rows() * gan_->generator.inputs());
}

// Instance noise (Sønderby et al. 2016; Arjovsky, Bottou 2017), from clean images to a part of D's input.
void GanStep::add_noise(const Slice& slice, math::Stream stream, StepCount first, const float* clean, Part part) {
  if (noise_.start == 0) return;
  enter(Phase::noise);
  device_->add_noise(options_.seed, static_cast<std::uint32_t>(stream), first, noise_, slice.rows(), image_size_, clean,
                     images(slice, part));
}

// The classes of the images that these samples show.
void GanStep::gather_labels(const Slice& slice, StepCount first, Part part) {
  if (labels_.size() == 0) return;
  enter(Phase::data);
  device_->gather_labels(options_.seed, first, label_copy_.size() > 0 ? label_copy_.data() : images_.labels.data(),
                         images_.count, slice.rows(), labels(slice, part));
}

// Those of the real images.
void GanStep::copy_labels(const Slice& slice, Part to) {
  if (labels_.size() == 0) return;
  device_->copy(labels(slice, to), labels(slice, real), static_cast<std::size_t>(slice.rows()));
}

// The global number of a slice's first sample in one of D's updates, which count through all steps.
StepCount GanStep::discriminator_sample(const Slice& slice, int repetition) const {
  const auto batch = static_cast<std::uint64_t>(options_.batch);
  return {counters_.data() + 1, batch,
          batch * static_cast<std::uint64_t>(repetition) + static_cast<std::uint64_t>(slice.first_row())};
}

// The same in G's update.
StepCount GanStep::generator_sample(const Slice& slice) const {
  return {counters_.data(), static_cast<std::uint64_t>(options_.batch), static_cast<std::uint64_t>(slice.first_row())};
}

// Images from z: without noise they are D's part of generated ones and, of two parts, G's own behind it.
void GanStep::generate(const Slice& slice, int parts) {
  enter(Phase::generator_forward);
  generator_tape_.set_labels(labels(slice, fake));
  gan_->generator.forward(slice.parts(parts), z_.data(), generator_tape_, generated(slice, 0));
}

// D's logits for its own update.
void GanStep::logits_for_discriminator(const Slice& slice, int repetition, const PenaltyParts& penalised) {
  if (penalised.between) {
    enter(Phase::penalty);
    device_->interpolate(options_.seed, static_cast<std::uint32_t>(math::Stream::interpolation),
                         discriminator_sample(slice, repetition), slice.rows(), image_size_, images(slice, real),
                         images(slice, fake), images(slice, between));
    copy_labels(slice, between);
  }
  set_draws(penalised.between ? math::Stream::dropout_between : math::Stream::dropout_real,
            discriminator_sample(slice, repetition));
  discriminate(slice, penalised.between ? between : real, fake);
}

// D's logits for G's update: on generated images and, where its loss sees them, on real ones before them.
void GanStep::logits_for_generator(const Slice& slice) {
  const Part last = one_generator_pass_ ? own : fake;
  set_draws(generator_sees_real_ ? math::Stream::dropout_generator_real : math::Stream::dropout_generator,
            generator_sample(slice));
  discriminate(slice, generator_sees_real_ ? real : last, last);
}

// What D's next forward pass draws from.
void GanStep::set_draws(math::Stream first_part, StepCount first) {
  discriminator_tape_.set_draws({options_.seed, static_cast<std::uint32_t>(first_part), first});
}

void GanStep::discriminate(const Slice& slice, Part first, Part last) {
  enter(Phase::discriminator_forward);
  discriminator_tape_.set_labels(labels(slice, first));
  gan_->discriminator.forward(slice.parts(last - first + 1), images(slice, first), discriminator_tape_);
}

// From logits_for_discriminator()'s logits to D's gradient.
void GanStep::discriminator_gradient(const Slice& slice, const PenaltyParts& penalised) {
  const BatchLayout& pass = slice.parts(penalised.between ? 3 : 2);
  float* x = images(slice, penalised.between ? between : real);
  Network& d = gan_->discriminator;
  Tape& tape = discriminator_tape_;
  float* row_scale = penalised.any() ? penalties_->row_scale() : nullptr;
  enter(Phase::loss);
  device_->discriminator_loss(loss_, pass, penalised, tape.output(), 1.0F / static_cast<float>(options_.batch),
                              tape.delta(), row_scale, !is_first(slice), discriminator_sum_.extra(0));
  enter(Phase::discriminator_backward);
  d.backward(pass, 0, tape);
  if (penalised.any()) {
    enter(Phase::penalty);
    penalties_->apply(slice.parts(1), x, tape, discriminator_sum_.extra(LossSums::penalty));
    enter(Phase::discriminator_backward);
  }
  d.gradients(pass, 0, x, tape, row_scale, !is_first(slice), discriminator_sum_.gradient());
}

// From D's logits on generated images, in that part of its tape (those on real ones before them, where the loss needs
// them), to G's gradient from that part of G's tape.
void GanStep::generator_gradient(const Slice& slice, int discriminator_part, int generator_part) {
  Network& g = gan_->generator;
  Network& d = gan_->discriminator;
  Tape& tape = discriminator_tape_;
  const BatchLayout& one = slice.parts(1);
  const int discriminator_row = discriminator_part * slice.rows();
  const int generator_row = generator_part * slice.rows();
  const std::ptrdiff_t logits =
      static_cast<std::ptrdiff_t>(discriminator_row - (generator_sees_real_ ? slice.rows() : 0)) * d.outputs();
  enter(Phase::loss);
  device_->generator_loss(loss_, slice.parts(generator_sees_real_ ? 2 : 1), tape.output() + logits,
                          1.0F / static_cast<float>(options_.batch), tape.delta() + logits, !is_first(slice),
                          generator_sum_.extra(0));
  enter(Phase::discriminator_backward);
  d.backward(one, discriminator_row, tape);
  // The slope of G's last activation is that at the clean image.
  d.backward_input(one, discriminator_row, tape, g.activation(), generated(slice, generator_part),
                   generator_tape_.delta() + static_cast<std::ptrdiff_t>(generator_row) * image_size_);
  enter(Phase::generator_backward);
  g.backward(one, generator_row, generator_tape_);
  g.gradients(one, generator_row, z_.data() + static_cast<std::ptrdiff_t>(generator_row) * g.inputs(), generator_tape_,
              nullptr, !is_first(slice), generator_sum_.gradient());
}

void GanStep::update_discriminator(int repetition) {
  enter(Phase::discriminator_reduction);
  discriminator_sum_.finish(repetition);
  enter(Phase::update);
  gan_->discriminator_optimizer->update({counters_.data() + 1, 1, static_cast<std::uint64_t>(repetition)},
                                        discriminator_sum_.squared_norm(repetition), discriminator_sum_.values(),
                                        gan_->discriminator.parameters(), {});
  gan_->discriminator.follow_update();
}

void GanStep::begin_generator_sum() {
  generator_sum_.begin();
  if (!alone_) device_->flag_to_sum(stop_flag_, generator_sum_.extra(StepResults::generator_stop));
}

void GanStep::update_generator() {
  enter(Phase::generator_reduction);
  generator_sum_.finish(0);
  enter(Phase::update);
  MovingAverage average;
  if (gan_->average.size() > 0) average = {gan_->average.data(), ema_};
  gan_->generator_optimizer->update({counters_.data()}, generator_sum_.squared_norm(0), generator_sum_.values(),
                                    gan_->generator.parameters(), average);
  gan_->generator.follow_update();
  // Running statistics are averages already: the averaged weights go with the latest.
  const std::size_t count = gan_->generator.parameter_count();
  if (gan_->average.size() > count)
    device_->copy(gan_->average.data() + count, gan_->generator.parameters() + count,
                  (gan_->average.size() - count) * sizeof(float));
}

void GanStep::end_step(int updates) {
  StepEnd end;
  end.discriminator_extras = discriminator_sum_.extras();
  end.discriminator_count = StepResults::discriminator_extras;
  end.generator_extras = generator_sum_.extras();
  end.generator_count = StepResults::generator_extras;
  end.running = results_.running();
  end.discriminator_squared_norms = discriminator_sum_.squared_norm(0);
  end.discriminator_updates = updates;
  end.generator_squared_norm = generator_sum_.squared_norm(0);
  if (alone_)
    end.stop_flag = stop_flag_;
  else
    end.stop = generator_sum_.extras() + StepResults::generator_stop;
  end.step = counters_.data();
  end.discriminator_total = counters_.data() + 1;
  end.reports = results_.reports();
  end.report_count = results_.report_count();
  device_->end_step(end);
}

void GanStep::enter(Phase phase) {
  if (clock_ != nullptr) {
    device_->synchronize();
    clock_->enter(phase);
  }
  device_->enter(phase_name(phase));
  heartbeat::phase(phase_label(phase));
}

void GanStep::set_steps(std::uint64_t steps) {
  results_.set_steps(steps);
  make_routines();
  const std::array<std::uint64_t, 2> counters = {steps, discriminator_updates(options_, steps)};
  counters_.assign(counters.data());
}

GanStep::Gradients GanStep::gradients() const { return {discriminator_sum_.host(), generator_sum_.host()}; }

StepResults::SquaredNorms GanStep::squared_norms(StepKind kind) const {
  return {discriminator_sum_.squared_norm(discriminator_updates(options_, kind) - 1), generator_sum_.squared_norm(0)};
}

}  // namespace ganymede
