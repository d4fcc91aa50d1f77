// See evaluation.hpp.
#include "train/evaluation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <stdexcept>
#include <utility>

#include "core/heartbeat.hpp"
#include "core/numbers.hpp"
#include "eval/distances.hpp"
#include "eval/modes.hpp"
#include "ganymede/error.hpp"
#include "report/metrics_log.hpp"
#include "train/agreed_device.hpp"
#include "train/sampler_source.hpp"
#include "train/shared_tensor_file.hpp"
#include "train/stop.hpp"

namespace ganymede {
namespace {

// Enough to see whether the judge can read the test images at all.
constexpr std::uint32_t images_to_know_judge = 1000;

bool among(const std::vector<std::string>& metrics, const std::string& metric) {
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

}  // namespace

std::vector<std::string> eval_metrics(const TrainOptions& options) {
  if (options.eval_metrics != std::vector<std::string>{"auto"}) return options.eval_metrics;
  return {options.stack > 1 ? "modes" : "judge"};
}

void check_evaluation(const TrainOptions& options, const Dataset& data) {
  if (options.eval_every == 0) return;
  std::vector<eval::Metric> metrics;
  for (const std::string& name : eval_metrics(options)) metrics.push_back(eval::metric_named(name));
  const ImageSet& train = data.train();
  const auto without = [&](const eval::Metric& metric) {
    return (metric.stacked ? std::string(": give")
            : metric.judge ? ": give --eval-metrics parzen,two-sample, or"
                           : ": give other --eval-metrics than " + std::string(metric.name) + ", or") +
           " --eval-every 0";
  };
  for (const eval::Metric& metric : metrics)
    if (metric.judge && !eval::Judge::takes(train))
      throw Error(ExitCode::usage, "--eval-every judges digits of 28×28, as MNIST's, and those of " + data.name() +
                                       " are of " + std::to_string(train.height) + "×" + std::to_string(train.width) +
                                       without(metric));
  if (options.eval_samples < eval::least_samples)
    throw Error(ExitCode::usage, "--eval-every needs --eval-samples of at least " +
                                     std::to_string(eval::least_samples) + ", not " +
                                     std::to_string(options.eval_samples) + ": fewer say nothing");
  const std::uint64_t judged = eval::judged_images(options.eval_samples, data);
  for (const eval::Metric& metric : metrics)
    if (metric.kind == eval::Metric::Kind::judge && judged < eval::least_judged)
      throw Error(ExitCode::usage, "--eval-every needs at least " + std::to_string(eval::least_judged) +
                                       " samples to judge and as many test images, and there are " +
                                       std::to_string(judged) + without(metric));
  for (const eval::Metric& metric : metrics)
    if (!metric.judge && data.test().count < eval::least_samples)
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

UsedJudge use_judge(const std::string& file, const Dataset& data, std::uint32_t most, Device& device,
                    Communicator& ranks) {
  UsedJudge used;
  used.file = shared_judge(file, ranks);
  together(ranks, [&] { used.judge = std::make_unique<eval::Judge>(device, used.file.file, used.file.source); });
  const ImageSet& test = data.test();
  if (test.labels.empty()) return used;
  used.right = eval::judged_right(test, std::min(test.count, most), *used.judge, ranks);
  used.doubt = eval::illiteracy(*used.right, data.name());
  return used;
}

Evaluation::Evaluation(const TrainOptions& options, const Gan& gan, const Dataset& data, Device& device,
                       Communicator& ranks, std::vector<std::string>& warnings)
    : options_(options),
      gan_(gan),
      own_device_(device.is_host() ? nullptr : make_agreed_cpu_device(options.threads, ranks, warnings)),
      comparison_{data, options.eval_samples, own_device_ ? *own_device_ : device, ranks},
      metrics_(eval_metrics(options)),
      sampler_(gan.generator, options, gan.data.classes) {
  if (!eval::any(metrics_, &eval::Metric::judge)) return;
  UsedJudge used = use_judge({}, data, images_to_know_judge, comparison_.device, ranks);
  judge_ = std::move(used.judge);
  if (!used.doubt.empty()) warnings.push_back(used.doubt);
}

void Evaluation::judge(eval::SampleSource& source, MetricsRecord& record) {
  if (!real_) {
    eval::ShuffledSource test(comparison_.data.test());
    StoppableSource stoppable(test, comparison_.ranks);
    real_ = comparison_.judged(stoppable, *judge_);
  }
  const eval::JudgedScores scores =
      eval::scores(comparison_.judged(source, *judge_), *real_, comparison_.device, comparison_.ranks);
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
  eval::RememberingSource remembering(generated);
  StoppableSource source(remembering, comparison_.ranks);
  for (const MetricsField& field : metrics_fields())
    if (field.evaluation) record.*field.member = MetricsRecord::unknown;
  record.evaluated_step = static_cast<double>(step);
  for (const eval::Metric& each : eval::metrics) {
    if (!among(metrics_, each.name)) continue;
    heartbeat::phase(each.name);
    switch (each.kind) {
      case eval::Metric::Kind::judge:
        judge(source, record);
        break;
      case eval::Metric::Kind::parzen: {
        const eval::ParzenScore score = comparison_.parzen(source);
        record.parzen = score.mean;
        record.parzen_error = score.standard_error;
        break;
      }
      case eval::Metric::Kind::two_sample:
        record.two_sample_accuracy = comparison_.two_sample(source).all().share();
        break;
      case eval::Metric::Kind::classification_error:
        record.classification_error = comparison_.classification_error(source).share();
        break;
      case eval::Metric::Kind::modes: {
        const eval::Modes modes = eval::modes(source, comparison_.samples, options_.stack, *judge_, comparison_.ranks);
        record.modes = static_cast<double>(modes.found);
        record.mode_divergence = modes.divergence;
        break;
      }
      case eval::Metric::Kind::gan_train:
      case eval::Metric::Kind::gan_test:
      case eval::Metric::Kind::memorisation:
        throw std::logic_error(std::string(each.name) + " is not for trainings");
    }
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
