// See evaluation.hpp.
#include "train/evaluation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "core/heartbeat.hpp"
#include "core/numbers.hpp"
#include "eval/distances.hpp"
#include "eval/modes.hpp"
#include "eval/nearest_neighbours.hpp"
#include "eval/parzen.hpp"
#include "ganymede/error.hpp"
#include "report/metrics_log.hpp"
#include "train/agreed_device.hpp"
#include "train/sampler_source.hpp"
#include "train/shared_tensor_file.hpp"
#include "train/stop.hpp"

namespace ganymede {
namespace {

// What a rank remembers of its samples, so that several metrics need not draw them again.
constexpr std::size_t remembered_bytes = std::size_t{128} << 20;

// Enough to see whether the judge can read the test images at all.
constexpr std::uint32_t images_to_know_judge = 1000;

bool among(const std::vector<std::string>& metrics, const char* metric) {
  return std::find(metrics.begin(), metrics.end(), metric) != metrics.end();
}

struct Stopped {};

// Samples that no rank goes on with once one has been asked to stop.
class StoppableSource final : public eval::SampleSource {
 public:
  StoppableSource(eval::SampleSource& source, Communicator& ranks) : source_(source), ranks_(ranks) {}
  [[nodiscard]] std::uint64_t count() const override { return source_.count(); }
  [[nodiscard]] int image_size() const override { return source_.image_size(); }
  [[nodiscard]] int classes() const override { return source_.classes(); }
  void read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) override {
    source_.read(first, count, images, labels);
  }
  void before_blocks() override {
    std::int64_t asked = stop_requested() ? 1 : 0;
    ranks_.all_max(std::span(&asked, 1));
    if (asked != 0) throw Stopped();
  }

 private:
  eval::SampleSource& source_;
  Communicator& ranks_;
};

std::uint32_t as_many(const TrainOptions& options, const ImageSet& set) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(options.eval_samples, set.count));
}

}  // namespace

const std::vector<std::string>& eval_metric_names() {
  static const std::vector<std::string> names = {"judge", "parzen", "two-sample", "1nn-error", "modes"};
  return names;
}

std::vector<std::string> eval_metrics(const TrainOptions& options) {
  if (options.eval_metrics != std::vector<std::string>{"auto"}) return options.eval_metrics;
  return {options.stack > 1 ? "modes" : "judge"};
}

bool evaluates_labels(const TrainOptions& options) { return among(eval_metrics(options), "1nn-error"); }

void check_evaluation(const TrainOptions& options, const Dataset& data) {
  if (options.eval_every == 0) return;
  const std::vector<std::string> metrics = eval_metrics(options);
  const ImageSet& train = data.train();
  const auto without = [&](const std::string& metric) {
    return (metric == "judge"   ? ": give --eval-metrics parzen,two-sample, or"
            : metric == "modes" ? std::string(": give")
                                : ": give other --eval-metrics than " + metric + ", or") +
           " --eval-every 0";
  };
  for (const char* metric : {"judge", "modes"})
    if (among(metrics, metric) && !eval::Judge::takes(train))
      throw Error(ExitCode::usage, "--eval-every judges digits of 28×28, as MNIST's, and those of " + data.name() +
                                       " are of " + std::to_string(train.height) + "×" + std::to_string(train.width) +
                                       without(metric));
  if (options.eval_samples < eval::least_samples)
    throw Error(ExitCode::usage, "--eval-every needs --eval-samples of at least " +
                                     std::to_string(eval::least_samples) + ", not " +
                                     std::to_string(options.eval_samples) + ": fewer say nothing");
  const std::uint64_t judged = eval::judged_images(options.eval_samples, data);
  if (among(metrics, "judge") && judged < eval::least_judged)
    throw Error(ExitCode::usage, "--eval-every needs at least " + std::to_string(eval::least_judged) +
                                     " samples to judge and as many test images, and there are " +
                                     std::to_string(judged) + without("judge"));
  for (const char* metric : {"parzen", "two-sample", "1nn-error"})
    if (among(metrics, metric) && data.test().count < eval::least_samples)
      throw Error(ExitCode::usage, "--eval-every needs at least " + std::to_string(eval::least_samples) +
                                       " test images, and " + data.name() + " has " +
                                       std::to_string(data.test().count) + without(metric));
  if (data.test().count < 2 || eval::parzen_validation(train).count < 1)
    throw Error(ExitCode::usage, data.folder() + " has " + std::to_string(train.count) + " training and " +
                                     std::to_string(data.test().count) +
                                     " test images, too few to evaluate anything: leave out --eval-every");
  eval::check_comparable(train.pixels());
}

eval::ShippedJudge shared_judge(const std::string& file, Communicator& ranks) {
  eval::ShippedJudge judge;
  on_root(ranks, [&] { judge = eval::read_judge(file); });
  judge.source = shared_text(ranks, judge.source);
  judge.digest = shared_text(ranks, judge.digest);
  judge.file = shared_tensor_file(ranks, std::move(judge.file), judge.source);
  return judge;
}

Evaluation::Evaluation(const TrainOptions& options, const Gan& gan, const Dataset& data, Device& device,
                       Communicator& ranks, std::vector<std::string>& warnings)
    : options_(options),
      gan_(gan),
      data_(data),
      ranks_(ranks),
      metrics_(eval_metrics(options)),
      own_device_(device.is_host() ? nullptr : make_agreed_cpu_device(options.threads, ranks, warnings)),
      device_(own_device_ ? own_device_.get() : &device),
      sampler_(gan.generator, options, gan.data.classes) {
  if (!among(metrics_, "judge") && !among(metrics_, "modes")) return;
  const eval::ShippedJudge shipped = shared_judge({}, ranks);
  together(ranks, [&] { judge_.emplace(*device_, shipped.file, shipped.source); });
  const ImageSet& test = data.test();
  if (test.labels.empty()) return;
  const eval::Share right = eval::judged_right(test, std::min(test.count, images_to_know_judge), *judge_, ranks);
  if (const std::string why = eval::illiteracy(right, data.name()); !why.empty()) warnings.push_back(why);
}

void Evaluation::judge(eval::SampleSource& source, MetricsRecord& record) {
  const std::uint64_t count = eval::judged_images(options_.eval_samples, data_);
  if (!real_) {
    eval::ShuffledSource test(data_.test());
    StoppableSource stoppable(test, ranks_);
    real_ = eval::judged(stoppable, count, *judge_, ranks_);
  }
  const eval::JudgedScores scores =
      eval::scores(eval::judged(source, count, *judge_, ranks_), *real_, *device_, ranks_);
  record.classifier_fd = scores.frechet;
  record.kernel_distance = scores.kernel.mean;
  record.kernel_distance_error = scores.kernel.standard_error;
  record.precision = scores.cover.precision;
  record.recall = scores.cover.recall;
  record.density = scores.cover.density;
  record.coverage = scores.cover.coverage;
  record.inception_score = scores.inception;
  record.class_divergence = scores.divergence;
}

bool Evaluation::measure(std::uint64_t step, MetricsRecord& record) {
  const MetricsRecord before = record;
  try {
    fill(step, record);
  } catch (const Stopped&) {
    record = before;
    return false;
  }
  return true;
}

void Evaluation::fill(std::uint64_t step, MetricsRecord& record) {
  SamplerSource generated(sampler_, gan_.picture_parameters(), gan_.generator.outputs(), gan_.data.classes,
                          options_.seed, options_.eval_samples);
  eval::RememberingSource remembering(generated, remembered_bytes);
  StoppableSource source(remembering, ranks_);
  for (const MetricsField& field : metrics_fields())
    if (field.evaluation) record.*field.member = MetricsRecord::unknown;
  record.evaluated_step = static_cast<double>(step);
  if (among(metrics_, "judge")) {
    heartbeat::phase("judge");
    judge(source, record);
  }
  if (among(metrics_, "parzen")) {
    heartbeat::phase("parzen");
    const eval::ParzenScore score = eval::parzen_score(
        source, options_.eval_samples, eval::parzen_validation(data_.train()), data_.test(), *device_, ranks_);
    record.parzen = score.mean;
    record.parzen_error = score.standard_error;
  }
  if (among(metrics_, "two-sample")) {
    heartbeat::phase("two-sample");
    const ImageSet real = eval::part_of(data_.test(), 0, as_many(options_, data_.test()));
    record.two_sample_accuracy = eval::two_sample_accuracy(source, real, *device_, ranks_).all().share();
  }
  if (among(metrics_, "1nn-error")) {
    heartbeat::phase("1nn-error");
    record.classification_error =
        eval::classification_error(source, options_.eval_samples, data_.test(), *device_, ranks_).share();
  }
  if (among(metrics_, "modes")) {
    heartbeat::phase("modes");
    const eval::Modes modes = eval::modes(source, options_.eval_samples, options_.stack, *judge_, ranks_);
    record.modes = static_cast<double>(modes.found);
    record.mode_divergence = modes.divergence;
  }
}

std::string evaluation_text(const MetricsRecord& record) {
  struct Part {
    const char* name;
    double value;
  };
  const std::array parts = {Part{"classifier-FD", record.classifier_fd},
                            Part{"KID", record.kernel_distance},
                            Part{"precision", record.precision},
                            Part{"recall", record.recall},
                            Part{"density", record.density},
                            Part{"coverage", record.coverage},
                            Part{"inception score", record.inception_score},
                            Part{"KL of classes", record.class_divergence},
                            Part{"Parzen log-likelihood", record.parzen},
                            Part{"two-sample accuracy", record.two_sample_accuracy},
                            Part{"1-NN error", record.classification_error},
                            Part{"modes", record.modes},
                            Part{"KL of modes", record.mode_divergence}};
  std::string text = "evaluation of step " + std::to_string(static_cast<std::uint64_t>(record.evaluated_step)) + ": ";
  bool first = true;
  for (const Part& part : parts) {
    if (std::isnan(part.value)) continue;
    text += (first ? "" : ", ") + std::string(part.name) + " " + pretty(part.value);
    first = false;
  }
  return text;
}

}  // namespace ganymede
