// `ganymede eval`
#include <algorithm>
#include <cstdio>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.hpp"
#include "cli/earlier_numbers.hpp"
#include "cli/eval_classes.hpp"
#include "cli/eval_judge.hpp"
#include "cli/eval_memorisation.hpp"
#include "cli/eval_report.hpp"
#include "cli/file_ending.hpp"
#include "cli/generator_source.hpp"
#include "cli/recorded_run.hpp"
#include "cli/train_arguments.hpp"
#include "core/files.hpp"
#include "core/heartbeat.hpp"
#include "core/names.hpp"
#include "core/numbers.hpp"
#include "data/labels.hpp"
#include "eval/distances.hpp"
#include "eval/gan_train.hpp"
#include "eval/metrics.hpp"
#include "ganymede/error.hpp"
#include "report/run_folder.hpp"
#include "train/agreed_device.hpp"

namespace ganymede::cli {
namespace {

using Json = nlohmann::ordered_json;

// Where the run does not say what it was trained on.
constexpr const char* usual_data = "mnist";
// Of eval.json, as docs/FORMATS.md describes it: raised when a member changes its meaning or goes, not when one is
// added.
constexpr int json_version = 2;

constexpr CountOption samples_option{"samples", 10000, 2, 1 << 24};

struct Request {
  std::string place;
  std::string data;  // empty until it is known what the run's own is
  bool data_given = false;
  std::uint64_t samples = 0;
  std::uint64_t seed = 0;
  std::vector<std::string> metrics;
  bool metrics_given = false;
  int threads = 0;
  std::string judge;  // empty: the shipped one
  std::string json;   // where to; "-": the standard output; empty: nowhere
  bool json_given = false;

  [[nodiscard]] bool wants(const std::string& metric) const {
    return std::find(metrics.begin(), metrics.end(), metric) != metrics.end();
  }
};

std::vector<std::string> parse_metrics(const std::string& text) {
  const std::vector<std::string> names = eval::metric_names();
  std::vector<std::string> metrics;
  for (const std::string& word : split(text, ',')) {
    if (std::find(names.begin(), names.end(), word) == names.end()) {
      const std::string near = nearest_name(word, names);
      throw Error(ExitCode::usage, "--metrics takes a list of " + joined(names) + ", not '" + word + "'" +
                                       (near.empty() ? "" : "; did you mean '" + near + "'?"));
    }
    metrics.push_back(word);
  }
  return metrics;
}

Request parse_request(const Parsed& parsed) {
  Request request;
  request.place = parsed.positional[0];
  request.data = parsed.get("data", {});
  request.data_given = parsed.has("data");
  request.samples = static_cast<std::uint64_t>(samples_option.of(parsed));
  request.seed = parse_seed(parsed);
  request.metrics_given = parsed.has("metrics") && parsed.values.at("metrics") != "all";
  request.metrics = request.metrics_given ? parse_metrics(parsed.values.at("metrics")) : eval::metric_names();
  request.threads = static_cast<int>(threads_option.of(parsed));
  request.judge = parsed.get("judge", {});
  request.json = parsed.get("json", {});
  request.json_given = parsed.has("json");
  if (request.json_given && request.json != "-") refuse_other_ending(request.json, "JSON", {".json"}, "--json");
  return request;
}

// A run that was told classes says by its digest which labels it saw, and is compared by them.
Dataset open_data(const Request& request, const DataShape& shape, Communicator& ranks) {
  const bool classes = shape.classes > 0;
  const bool digits = shape.image.height == eval::Judge::side && shape.image.width == eval::Judge::side;
  const bool looks = classes && eval::any(request.metrics, &eval::Metric::labels);
  const bool asks = eval::any(request.metrics, &eval::Metric::judge);
  // Where nobody asked for what needs labels, the rest is measured without.
  const bool needs_labels = looks && request.metrics_given;
  try {
    return Dataset::open(
        request.data,
        {.train_labels = classes, .test = true, .test_labels = needs_labels, .test_labels_if_there = looks || asks},
        ranks);
  } catch (const AgreedError& failure) {
    if (request.data_given) throw;
    throw AgreedError(failure.code(),
                      std::string(failure.what()) +
                          "; where the set lies now with its test images, give that with --data" +
                          (digits ? ", or --data mnist-mini, the digits that come with the program" : ""));
  }
}

void check_sizes(const SavedGenerator& saved, const Dataset& data) {
  const auto size = [](int height, int width) { return std::to_string(height) + "×" + std::to_string(width); };
  const ImageSet& train = data.train();
  const ImageShape& made = saved.shape.image;
  if (made.height != train.height || made.width != train.width)
    throw Error(ExitCode::usage, saved.source + " makes images of " + size(made.height, made.width) +
                                     ", and those of " + data.name() + " are of " + size(train.height, train.width) +
                                     ": give the set that it was trained on with --data");
  if (data.test().count < 2 || eval::parzen_validation(train).count < 1)
    throw Error(ExitCode::data, data.folder() + " has " + std::to_string(train.count) + " training and " +
                                    std::to_string(data.test().count) +
                                    " test images, too few to evaluate anything: give a larger set with --data");
}

// Stacked images are compared with single ones by no metric, and only their modes are counted: leaves in the request
// what can be measured, and refuses what was asked for by name and cannot.
void choose_metrics(Request& request, const SavedGenerator& saved) {
  const bool stacked = saved.shape.image.channels > 1;
  const auto impossible = [&](const std::string& metric) { return eval::metric_named(metric).stacked != stacked; };
  const auto first = std::find_if(request.metrics.begin(), request.metrics.end(), impossible);
  if (first == request.metrics.end()) return;
  if (request.metrics_given)
    throw Error(ExitCode::usage, stacked ? "--metrics " + *first + " looks at single images, and " + saved.source +
                                               " shows " + std::to_string(saved.shape.image.channels) +
                                               " at a time (--stack): give --metrics modes"
                                         : "--metrics modes counts those of stacked images, and " + saved.source +
                                               " was trained without --stack: leave it out");
  request.metrics.erase(std::remove_if(first, request.metrics.end(), impossible), request.metrics.end());
}

void describe(const Request& request, const SavedGenerator& saved, const Dataset& data,
              std::vector<std::string>& warnings, EvalReport& report) {
  const bool batch_norm = saved.options.generator_norm == "batch";
  const std::string& digest = saved.shape.classes > 0 ? data.labelled_digest() : data.digest();
  const bool other_data = !saved.data_digest.empty() && saved.data_digest != digest;
  report.say("run", saved.source + " (" + saved.kind + "), step " + std::to_string(saved.step));
  report.say("weights", std::string(saved.averaged ? "moving average of G's" : "G's as they were trained, no average") +
                            (batch_norm ? "; batch normalisation by running statistics" : ""));
  report.say("samples",
             std::to_string(request.samples) + " of seed " + std::to_string(request.seed) + ", rounded to 8 bits");
  report.say("data", data.name() + ": " + std::to_string(data.train().count) + " training and " +
                         std::to_string(data.test().count) + " test images" +
                         (other_data ? ", another set than the run's own" : ""));
  std::vector<std::string> notes;
  if (other_data && data.name() == "mnist-mini")
    notes.emplace_back(
        "mnist-mini's digits, its test images too, are from MNIST's training set: a run that was trained on mnist has "
        "learnt from them, and looks better beside them than beside new ones; --data mnist has those");
  else if (other_data && saved.shape.classes > 0)
    notes.push_back(saved.source + " learnt its classes from another set than " + data.name() +
                    ": what is measured by classes means something where both number the same things alike");
  if (saved.shape.classes > 0 && !other_data)
    if (std::string gap = gap_in_labels(data.train(), data.name()); !gap.empty()) notes.push_back(std::move(gap));
  warnings.insert(warnings.end(), notes.begin(), notes.end());
  report.json["format"] = "ganymede-eval";
  report.json["version"] = json_version;
  report.json["warnings"] = notes;
  report.json["run"] = {{"source", saved.source},
                        {"kind", saved.kind},
                        {"step", saved.step},
                        {"weights", saved.weights.weights_digest()},
                        {"averaged_weights", saved.averaged},
                        {"batch_norm", batch_norm ? Json("running statistics") : Json(nullptr)}};
  report.json["samples"] = {{"count", request.samples}, {"seed", request.seed}, {"bits", 8}};
  report.json["data"] = {{"name", data.name()},
                         {"folder", data.folder()},
                         {"digest", digest},
                         {"trained_on", saved.data_digest.empty() ? Json(nullptr) : Json(!other_data)},
                         {"training_images", data.train().count},
                         {"test_images", data.test().count}};
  report.json["metrics"] = Json::object();
  report.json["unmeasured"] = Json::object();
}

void measure_parzen(eval::SampleSource& source, const eval::Comparison& beside, EvalReport& report) {
  const eval::ParzenScore score = beside.parzen(source);
  report.add("Parzen log-likelihood", formatted("%.1f ± %.1f nats", score.mean, score.standard_error),
             "of the test images; σ " + formatted("%.3f", score.sigma));
  report.json["metrics"]["parzen"] = {
      {"log_likelihood", score.mean}, {"standard_error", score.standard_error}, {"sigma", score.sigma}};
}

void measure_two_sample(eval::SampleSource& source, const eval::Comparison& beside, EvalReport& report) {
  const eval::TwoSampleAccuracy found = beside.two_sample(source);
  report.add(
      "two-sample 1-NN accuracy", percent(found.all()),
      "50 % is ideal; on " + std::to_string(found.real.of) + " test images " +
          formatted("%.1f %%, on as many samples %.1f %%", 100 * found.real.share(), 100 * found.generated.share()));
  report.json["metrics"]["two_sample"] = {
      {"accuracy", json_of(found.all())}, {"on_real", json_of(found.real)}, {"on_generated", json_of(found.generated)}};
}

// Why no classifier of digits can say anything of the data; empty when one can.
std::string digits_obstacle(const Dataset& data) {
  if (!eval::Judge::takes(data.train())) return "needs digits of 28×28, as MNIST's";
  return {};
}

// Why `metric` cannot be measured; empty when it can.
std::string obstacle_to(const std::string& metric, const Request& request, const SavedGenerator& saved,
                        const Dataset& data) {
  if (request.samples < eval::least_samples)
    return "needs at least " + std::to_string(eval::least_samples) + " samples, and --samples is " +
           std::to_string(request.samples);
  const auto too_few = [](std::uint64_t least, std::uint64_t count, const char* which) -> std::string {
    if (count >= least) return {};
    return "needs at least " + std::to_string(least) + which + " images, and there are " + std::to_string(count);
  };
  const auto first = [](std::initializer_list<std::string> obstacles) {
    const auto* found = std::find_if(obstacles.begin(), obstacles.end(), [](const auto& why) { return !why.empty(); });
    return found == obstacles.end() ? std::string() : *found;
  };
  std::string few_tests = too_few(eval::least_samples, data.test().count, " test");
  switch (eval::metric_named(metric).kind) {
    case eval::Metric::Kind::parzen:
    case eval::Metric::Kind::two_sample:
      return few_tests;
    case eval::Metric::Kind::classification_error:
      return first({few_tests, classes_obstacle(saved, data)});
    case eval::Metric::Kind::gan_train:
      return first({few_tests, classes_obstacle(saved, data), digits_obstacle(data),
                    too_few(eval::least_gan_train_images, std::min<std::uint64_t>(request.samples, data.train().count),
                            " samples and as many training")});
    case eval::Metric::Kind::gan_test:
      return first({few_tests, classes_obstacle(saved, data), digits_obstacle(data)});
    case eval::Metric::Kind::memorisation:
      return memorisation_obstacle(saved, data);
    case eval::Metric::Kind::judge:
      return first({digits_obstacle(data), too_few(eval::least_judged, eval::judged_images(request.samples, data),
                                                   " samples and as many test")});
    case eval::Metric::Kind::modes:
      return digits_obstacle(data);
  }
  return {};
}

// Of a metric that nothing hinders; adds to the report.
void measure(const eval::Metric& metric, const Request& request, const SavedGenerator& saved,
             eval::SampleSource& source, const eval::Comparison& beside, const UsedJudge& judge,
             const std::string& pairs, EvalReport& report) {
  switch (metric.kind) {
    case eval::Metric::Kind::parzen:
      return measure_parzen(source, beside, report);
    case eval::Metric::Kind::two_sample:
      return measure_two_sample(source, beside, report);
    case eval::Metric::Kind::classification_error:
      return measure_classification(source, beside, report);
    case eval::Metric::Kind::gan_train:
      return measure_gan_train(source, beside, report);
    case eval::Metric::Kind::gan_test:
      return measure_gan_test(source, beside, judge, report);
    case eval::Metric::Kind::memorisation:
      return measure_memorisation(saved, source, beside, {pairs, request.seed}, report);
    case eval::Metric::Kind::judge:
      return measure_by_judge(source, request.seed, beside, judge, report);
    case eval::Metric::Kind::modes:
      return measure_modes(source, request.seed, saved.shape.image.channels, beside, judge, report);
  }
}

// A file of the run's own; nowhere when `place` is no run's folder, or one that others own: what is measured is printed
// then all the same.
std::string own_file(const std::string& place, std::filesystem::path (RunFolder::*file)() const,
                     const std::string& otherwise, std::vector<std::string>& warnings) {
  const RunFolder folder(place);
  std::error_code error;
  if (!std::filesystem::exists(folder.config(), error)) return {};
  const std::filesystem::path own = (folder.*file)();
  try {
    check_file_place(own);
  } catch (const Error& failure) {
    warnings.push_back(otherwise + ": " + failure.what());
    return {};
  }
  return own.string();
}

// Where the closest pairs are drawn to, as the numbers in request.json go somewhere: a picture lies beside its numbers,
// and those of others keep theirs.
std::string place_of_pairs(const Request& request, std::vector<std::string>& warnings) {
  if (request.json.empty() || request.json == "-") return {};
  if (!request.json_given)
    return own_file(request.place, &RunFolder::nearest_pairs, "the closest pairs are not drawn", warnings);
  std::string beside = request.json + ".nearest.png";
  check_file_place(beside);
  return beside;
}

// What the run was trained on, as its folder says. One that cannot be read is no reason to measure nothing.
std::string data_of_run(const std::string& place, std::vector<std::string>& warnings) {
  try {
    const std::string recorded = recorded_data(place);
    return recorded.empty() ? usual_data : recorded;
  } catch (const Error& failure) {
    warnings.push_back(std::string(failure.what()) + "; the samples are compared with " + usual_data +
                       ": give --data if the run learnt from another set");
    return usual_data;
  }
}

int run(const Parsed& parsed, Communicator& ranks) {
  Request request;
  together(ranks, [&] { request = parse_request(parsed); });
  std::vector<std::string> warnings;
  std::string pairs;  // where to
  on_root(ranks, [&] {
    if (!request.data_given) request.data = data_of_run(request.place, warnings);
    if (!request.json_given)
      request.json =
          own_file(request.place, &RunFolder::evaluation, "the numbers are not kept for the run's report", warnings);
    if (!request.json.empty() && request.json != "-") check_file_place(request.json);
    if (request.wants("memorisation")) pairs = place_of_pairs(request, warnings);
  });
  const SavedGenerator saved = read_saved_generator(request.place, ranks);
  request.data = shared_text(ranks, request.data);
  const Dataset data = open_data(request, saved.shape, ranks);
  const std::unique_ptr<Device> device = make_agreed_cpu_device(request.threads, ranks, warnings);
  std::unique_ptr<GeneratorSource> generator;
  std::vector<std::string> measured;
  together(ranks, [&] {
    check_sizes(saved, data);
    choose_metrics(request, saved);
    eval::check_comparable(data.train().pixels());
    generator = std::make_unique<GeneratorSource>(saved, request.seed, request.samples, *device);
    for (const std::string& metric : request.metrics) {
      const std::string obstacle = obstacle_to(metric, request, saved, data);
      if (request.metrics_given && !obstacle.empty())
        throw Error(ExitCode::usage, "--metrics " + metric + " " + obstacle + ": mend that, or leave it out");
      if (obstacle.empty()) measured.push_back(metric);
    }
    if (measured.empty())
      throw Error(ExitCode::usage, "nothing can be measured: " + request.metrics.front() + " " +
                                       obstacle_to(request.metrics.front(), request, saved, data));
  });
  UsedJudge judge;
  std::string inferior;
  if (eval::any(measured, &eval::Metric::judge)) {
    judge = use_judge(request.judge, data, data.test().count, *device, ranks);
    if (!request.judge.empty()) on_root(ranks, [&] { inferior = inferiority(judge.file); });
  }
  eval::RememberingSource source(*generator);
  const eval::Comparison beside{data, request.samples, *device, ranks};

  EvalReport report;
  describe(request, saved, data, warnings, report);
  for (const std::string& doubt : {inferior, judge.doubt}) {
    if (doubt.empty()) continue;
    warnings.push_back(doubt);
    report.json["warnings"].push_back(doubt);
  }
  for (const eval::Metric& each : eval::metrics) {
    const std::string metric = each.name;
    if (!request.wants(metric)) continue;
    heartbeat::phase(each.name);
    if (std::find(measured.begin(), measured.end(), metric) == measured.end()) {
      const std::string why = obstacle_to(metric, request, saved, data);
      report.add(each.title, "none", why);
      report.json["metrics"][key_of(each)] = nullptr;
      report.json["unmeasured"][key_of(each)] = why;
    } else {
      measure(each, request, saved, source, beside, judge, pairs, report);
    }
  }

  on_root(ranks, [&] {
    // A file that was asked for by name is of this call alone.
    if (!request.json_given && !request.json.empty()) {
      const EarlierNumbers earlier = keep_earlier(report.json, request.json);
      if (!earlier.kept.empty())
        report.say("kept", joined(earlier.kept) + ", measured before of the same samples, in " + request.json);
      if (!earlier.lost.empty())
        warnings.push_back("what " + request.json + " had of " + joined(earlier.lost) + " was of " + earlier.of +
                           " and is gone from it: measure that again, or give this call a file of its own (--json)");
    }
    for (const std::string& warning : warnings) std::fprintf(stderr, "ganymede: warning: %s\n", warning.c_str());
    // File names may hold bytes that are no UTF-8, which JSON cannot.
    const std::string json = report.json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    std::fputs(request.json == "-" ? json.c_str() : report.table().c_str(), stdout);
    if (!request.json.empty() && request.json != "-") write_file_atomically(request.json, json);
  });
  return 0;
}

}  // namespace

Command eval_command() {
  return {
      {"eval",
       "Measures how good a run's samples are: the same numbers alone and on any number of ranks.",
       "RUN",
       {{"data", "NAME|DIR", "real images to compare with: mnist, mnist-mini, or a folder of IDX files, test pair too",
         "Options", "the run's own, or mnist"},
        samples_option.argument("images drawn, the first N of the seed"),
        seed_argument("of z; `ganymede sample` draws the same images from it"),
        {"metrics", "LIST",
         "of parzen, two-sample, memorisation, judge and, where the run knows classes, 1nn-error, gan-train and "
         "gan-test; "
         "of a run with --stack: modes; with commas",
         "Options", "all"},
        {"judge", "FILE", "the classifier, as `ganymede judge` makes one, in place of the shipped one", "Options"},
        {"json", "FILE",
         "the numbers as JSON, which `ganymede report RUN` shows from their default place; elsewhere the closest pairs "
         "of memorisation lie beside it, as FILE.nearest.png; -: to the standard output alone, and no table",
         "Options", "RUN/eval.json of a run's folder"},
        threads_option.argument("threads per rank; 0: the node's cores shared by its ranks")}},
      run};
}

}  // namespace ganymede::cli
