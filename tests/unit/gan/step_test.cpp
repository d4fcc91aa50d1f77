// One step as a whole: its gradients against the reference, its means, what it does with bad numbers, and how
// a resumed one goes on.
#include "gan/step.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "ganymede/error.hpp"
#include "support/forwarding_communicator.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {
namespace {

using reference::gradient;
using reference::Mlp;

template <class T>
class CountedReduction final : public Reduction<T> {
 public:
  CountedReduction(std::unique_ptr<Reduction<T>> inner, int& calls) : inner_(std::move(inner)), calls_(calls) {
    this->size_ = inner_->size();
    this->data_ = inner_->data();
    this->sum_ = inner_->sum();
  }
  void start() override {
    ++calls_;
    inner_->start();
  }
  void advance() override { inner_->advance(); }
  void finish() override {
    ++calls_;
    inner_->finish();
  }

 private:
  std::unique_ptr<Reduction<T>> inner_;
  int& calls_;
};

/// One of two ranks, of which the other adds nothing; counts what they say to each other.
class CountedCalls final : public test::ForwardingCommunicator {
 public:
  using ForwardingCommunicator::ForwardingCommunicator;
  [[nodiscard]] int size() const override { return 2; }
  void barrier() override { counted().barrier(); }
  void node_barrier() override { counted().node_barrier(); }
  void broadcast(void* data, std::size_t bytes, int root) override { counted().broadcast(data, bytes, root); }
  void node_broadcast(void* data, std::size_t bytes) override { counted().node_broadcast(data, bytes); }
  void all_sum(std::span<float> values) override { counted().all_sum(values); }
  void all_sum(std::span<double> values) override { counted().all_sum(values); }
  void all_sum(std::span<std::int64_t> values) override { counted().all_sum(values); }
  void all_min(std::span<std::int64_t> values) override { counted().all_min(values); }
  void all_max(std::span<std::int64_t> values) override { counted().all_max(values); }
  [[nodiscard]] std::vector<std::string> all_gather(const std::string& mine) override {
    return counted().all_gather(mine);
  }
  [[nodiscard]] std::unique_ptr<Reduction<float>> make_float_reduction(std::size_t count) override {
    return std::make_unique<CountedReduction<float>>(ForwardingCommunicator::make_float_reduction(count), calls);
  }
  [[nodiscard]] std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(std::size_t count) override {
    return std::make_unique<CountedReduction<std::int64_t>>(ForwardingCommunicator::make_fixed_reduction(count), calls);
  }
  int calls = 0;

 private:
  Communicator& counted() {
    ++calls;
    return inner();
  }
};

class Step : public ::testing::Test {
 protected:
  static bool same_bytes(const TensorFile& a, const TensorFile& b) { return a.serialize() == b.serialize(); }
  static std::vector<float> gradient_seen(Optimizer& optimizer) {
    // With β₁ = 0 Adam's first moment is the gradient itself.
    return optimizer.state().front().values.host();
  }
  std::unique_ptr<Device> device_ = make_cpu_device(1);
  std::unique_ptr<Communicator> alone_ = make_local_communicator();
  RandomImages images_{20, small_side, 1};
};

struct Plan {
  const char* scheme;
  double r1;
  bool exact;
};

class StepGradients : public Step, public ::testing::WithParamInterface<Plan> {};

TEST_P(StepGradients, AreTheReferences) {
  TrainOptions o = small_options();
  o.scheme = GetParam().scheme;
  o.r1 = GetParam().r1;
  o.reproducible = GetParam().exact;
  o.shards = 4;
  o.beta1 = 0;
  o.ema = 0.75;
  o.generator_activation = "leaky-relu";
  const bool simultaneous = o.scheme == "simultaneous";
  const std::uint64_t first_step = 5;  // not the first, so that draws depend on the step
  const auto batch = static_cast<std::uint64_t>(o.batch);

  // A seed for which no unit is near its kink in any of the passes.
  for (o.seed = 1; o.seed < 1000; ++o.seed) {
    Gan gan = make_gan(o, DataShape::grey(small_side), *device_);
    const Mlp g_before = reference_of(gan.generator);
    Mlp d = reference_of(gan.discriminator);
    const auto z_of = [&](math::Stream stream) {
      std::vector<float> z(count_of(o.batch, o.latent));
      device_->draw_normal(o.seed, static_cast<std::uint32_t>(stream), {&first_step, batch, 0}, o.batch, o.latent,
                           z.data());
      return widen(z);
    };
    std::vector<float> pixels(count_of(o.batch, small_side * small_side));
    device_->gather_images(o.seed, {&first_step, batch, 0}, images_.set().images.data(), images_.set().count, o.batch,
                           small_side * small_side, 1, pixels.data());
    const Doubles real = widen(pixels);
    const Doubles z_d = z_of(math::Stream::noise_for_discriminator);
    const Doubles z_g = simultaneous ? z_d : z_of(math::Stream::noise_for_generator);
    const Doubles fake = g_before.forward(z_d);

    GanStep step(*device_, *alone_, gan, images_.set(), o);
    step.set_steps(first_step);
    step.run(false);
    ASSERT_TRUE(step.finite());
    // Alternating, G's gradient goes through the D that has just been updated.
    Mlp d_seen_by_g = simultaneous ? d : reference_of(gan.discriminator);
    Mlp g = g_before;
    if (std::min({d.distance_to_kink(real), d.distance_to_kink(fake), g.distance_to_kink(z_g), g.distance_to_kink(z_d),
                  d_seen_by_g.distance_to_kink(g.forward(z_g))}) < 2e-3)
      continue;

    const auto d_loss = [&] { return reference::discriminator_objective(d, o.loss, real, fake); };
    const auto penalty = [&] { return reference::r1_penalty(d, o.r1, real); };
    const auto g_loss = [&] { return reference::generator_objective(g, d_seen_by_g, o.loss, real, z_g); };
    const Doubles d_gradient = gradient(d.parameters, [&] { return d_loss() + penalty(); });
    const Doubles g_gradient = gradient(g.parameters, g_loss);
    expect_near(gradient_seen(*gan.discriminator_optimizer), d_gradient, 3e-6, "gradient of D");
    expect_near(gradient_seen(*gan.generator_optimizer), g_gradient, 3e-6, "gradient of G");

    Doubles average;
    const Doubles g_after = widen(gan.generator.parameter_array().host());
    for (std::size_t i = 0; i < g_after.size(); ++i)
      average.push_back(0.75 * g_before.parameters[i] + 0.25 * g_after[i]);
    expect_near(gan.average.host(), average, 1e-7, "average");

    const StepMeans means = step.take_means();
    EXPECT_NEAR(means.discriminator_loss, d_loss(), 2e-6);
    EXPECT_NEAR(means.generator_loss, g_loss(), 2e-6);
    EXPECT_NEAR(means.penalty, penalty(), 2e-6);
    const auto norm = [](const Doubles& v) {
      double sum = 0;
      for (const double x : v) sum += x * x;
      return std::sqrt(sum);
    };
    EXPECT_NEAR(means.discriminator_gradient_norm, norm(d_gradient), 1e-5 * norm(d_gradient));
    EXPECT_NEAR(means.generator_gradient_norm, norm(g_gradient), 1e-5 * norm(g_gradient));
    double right = 0;
    for (const double logit : d.forward(real)) right += logit > 0 ? 1.0 / o.batch : 0;
    EXPECT_NEAR(means.real_accuracy, right, 1e-6);
    right = 0;
    for (const double logit : d.forward(fake)) right += logit < 0 ? 1.0 / o.batch : 0;
    EXPECT_NEAR(means.fake_accuracy, right, 1e-6);
    return;
  }
  FAIL() << "no seed keeps clear of the kinks";
}

INSTANTIATE_TEST_SUITE_P(Gan, StepGradients,
                         ::testing::Values(Plan{"alternating", 0, false}, Plan{"alternating", 5, false},
                                           Plan{"alternating", 5, true}, Plan{"simultaneous", 0, false},
                                           Plan{"simultaneous", 2, false}, Plan{"simultaneous", 0, true}),
                         [](const auto& info) {
                           return std::string(info.param.scheme) + (info.param.r1 > 0 ? "_r1" : "_plain") +
                                  (info.param.exact ? "_exact" : "_float");
                         });

TEST_F(Step, GoesOnAfterALoadAsIfNothingHadHappened) {
  for (const bool exact : {false, true}) {
    TrainOptions o = small_options();
    o.reproducible = exact;
    o.shards = 3;
    o.d_steps = 2;
    o.d_burst = 3;
    o.d_burst_first = 2;
    o.d_burst_every = 5;
    o.r1 = 1;
    o.gradient_penalty = 2;
    o.penalty_every = 3;
    o.instance_noise = 0.5;
    o.steps = 9;
    o.ema = 0.9;
    Gan through = make_gan(o, DataShape::grey(small_side), *device_);
    GanStep through_step(*device_, *alone_, through, images_.set(), o);
    for (int i = 0; i < 9; ++i) through_step.run(false);

    Gan first = make_gan(o, DataShape::grey(small_side), *device_);
    GanStep first_step(*device_, *alone_, first, images_.set(), o);
    for (int i = 0; i < 4; ++i) first_step.run(false);
    Gan second = make_gan(o, DataShape::grey(small_side), *device_);
    second.load(first.save(), "memory");
    GanStep second_step(*device_, *alone_, second, images_.set(), o);
    second_step.set_steps(first_step.steps());
    for (int i = 0; i < 5; ++i) second_step.run(false);

    EXPECT_EQ(second_step.steps(), through_step.steps());
    const auto a = through.save();
    const auto b = second.save();
    ASSERT_EQ(a.size(), 5U);
    for (const auto& [name, file] : a) EXPECT_TRUE(same_bytes(file, b.at(name))) << name;
  }
}

// Weights and moments are as before a step whose gradient is not finite, or too large for exact sums.
TEST_F(Step, KeepsBadNumbersOutOfTheWeights) {
  struct Bad {
    bool exact;
    float weight;
  };
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Bad& bad : {Bad{false, nan}, Bad{false, infinity}, Bad{true, nan}, Bad{true, infinity}, Bad{true, 1e6F}}) {
    TrainOptions o = small_options();
    o.reproducible = bad.exact;
    o.shards = 2;
    o.ema = 0.9;
    o.discriminator_activation = "leaky-relu";  // no unit is 0 and hides its weight
    Gan gan = make_gan(o, DataShape::grey(small_side), *device_);
    GanStep step(*device_, *alone_, gan, images_.set(), o);
    step.run(false);
    ASSERT_TRUE(step.finite());
    // D's last layer, which every gradient goes through.
    const std::size_t last = gan.discriminator.parameter_count() - 1;
    for (std::size_t i = last - 4; i < last; ++i) gan.discriminator.parameters()[i] = bad.weight;
    const auto before = gan.save();
    step.run(false);
    EXPECT_FALSE(step.finite());
    EXPECT_EQ(step.not_finite().last, 2U);
    const auto after = gan.save();
    for (const auto& [name, file] : before)
      EXPECT_TRUE(same_bytes(file, after.at(name))) << name << " with " << bad.weight;
  }
}

TEST_F(Step, AgreesOnAStop) {
  for (const bool exact : {false, true}) {
    TrainOptions o = small_options();
    o.reproducible = exact;
    o.shards = 2;
    Gan gan = make_gan(o, DataShape::grey(small_side), *device_);
    GanStep step(*device_, *alone_, gan, images_.set(), o);
    step.run(false);
    EXPECT_FALSE(step.stop_agreed());
    step.run(true);
    EXPECT_TRUE(step.stop_agreed());
    step.run(false);
    EXPECT_TRUE(step.stop_agreed());  // and stays so
  }
}

// It travels in a sum that is there anyway.
TEST_F(Step, ARequestToStopCostsNoCall) {
  for (const bool exact : {false, true}) {
    TrainOptions o = small_options();
    o.reproducible = exact;
    o.shards = 2;
    CountedCalls ranks(*alone_);
    Gan gan = make_gan(o, DataShape::grey(small_side), *device_);
    GanStep step(*device_, ranks, gan, images_.set(), o);
    step.run(false);
    const int before = ranks.calls;
    step.run(false);
    const int unasked = ranks.calls - before;
    EXPECT_GT(unasked, 0);
    step.run(true);
    EXPECT_TRUE(step.stop_agreed());
    EXPECT_EQ(ranks.calls - before, 2 * unasked);
  }
}

TEST_F(Step, MeansAreOverTheStepsSinceTheLastOnes) {
  TrainOptions o = small_options();
  o.learning_rate = 0;  // every step then sees the same weights
  o.batch = 20;         // and all images
  Gan gan = make_gan(o, DataShape::grey(small_side), *device_);
  GanStep step(*device_, *alone_, gan, images_.set(), o);
  step.run(false);
  const StepMeans one = step.take_means();
  step.run(false);
  step.run(false);
  const StepMeans two = step.take_means();
  EXPECT_EQ(one.real_accuracy, two.real_accuracy);
  EXPECT_NEAR(one.discriminator_loss, two.discriminator_loss, 0.2);
}

}  // namespace
}  // namespace ganymede::testing
