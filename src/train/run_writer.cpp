// See run_writer.hpp.
#include "train/run_writer.hpp"

#include <exception>
#include <utility>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/weights_facts.hpp"
#include "ganymede/error.hpp"
#include "ganymede/version.hpp"
#include "report/image_grid.hpp"
#include "report/real_images.hpp"
#include "train/findings_of.hpp"

namespace ganymede {
namespace {

// Of those before, timing.jsonl keeps so many.
constexpr std::uint64_t most_starts_before = 19;

// --data as every working folder understands it: a set's name as it is, a folder's from the root, except for one that
// no INI file can hold.
std::string data_from_anywhere(const Dataset& set) {
  if (set.is_named()) return set.name();
  const std::string folder = std::filesystem::absolute(set.folder()).lexically_normal().string();
  return folder.find_first_of("#\n\r") == std::string::npos ? folder : set.name();
}

}  // namespace

RunWriter::RunWriter(const TrainOptions& options, TrainSetup& setup, RunLock& lock, const std::string& recipe,
                     std::function<void(const std::string&)> warn)
    : options_(options),
      setup_(setup),
      lock_(lock),
      warn_(std::move(warn)),
      folder_(options.out),
      sampler_(setup.gan->generator, options, setup.gan->data.classes) {
  if (!lock_.warning().empty()) setup.plan.warnings.push_back(lock_.warning());
  folder_.make();
  try {
    sweep_checkpoints(options_.out);
    folder_.sweep();
  } catch (const Error& failure) {
    setup.plan.warnings.push_back(std::string("what an interrupted training left stays: ") + failure.what());
  }
  TrainOptions stored = options_;
  stored.data = data_from_anywhere(setup.dataset);
  lock_.put(folder_.config(), config_text(stored, recipe));
  reported_ = {folder_.root(), stored_options(stored), recipe, Curves()};
  go_back(setup.step->steps());
  if (!metrics_->warning().empty()) setup.plan.warnings.push_back(metrics_->warning());
  read_timing_of_before(setup.plan.warnings);
  if (options_.tensorboard) tensorboard_.emplace(folder_, reported_.options, setup.step->steps());
}

void RunWriter::go_back(std::uint64_t step) {
  last_record_ = {};
  reported_.curves = Curves();
  reported_.findings = findings_of(reported_.options);
  metrics_.reset();
  metrics_.emplace(folder_.metrics(), step, [&](const MetricsRecord& record) {
    reported_.curves.add(record);
    reported_.findings.follow(record);
    last_record_ = record;
  });
  write_events([&] { tensorboard_->go_back(step); });
}

std::vector<Finding> RunWriter::write_record(const MetricsRecord& record) {
  // Not in every step of a training that records each: a look takes as long as some of them do.
  const auto now = Clock::now();
  if (now - looked_ > std::chrono::seconds(1)) {
    lock_.check();
    looked_ = now;
  }
  write_or_warn("records", [&] { metrics_->append(record); });
  write_events([&] { tensorboard_->write(record, last_record_); });
  reported_.curves.add(record);
  last_record_ = record;
  return reported_.findings.follow(record);
}

void RunWriter::write_grid(std::uint64_t step, std::uint64_t images_seen) {
  lock_.check();
  const std::vector<float> images = sampler_.draw(setup_.gan->picture_parameters(), options_.seed,
                                                  math::Stream::noise_for_grid, 0, options_.sample_count);
  write_or_warn("pictures", [&] {
    write_png(folder_.sample(step), images,
              {{"step", std::to_string(step)}, {"images seen", std::to_string(images_seen)}});
  });
  // Of a run that is resumed at its end it is there.
  if (step == 0 || step > setup_.plan.first_step) write_events([&] { tensorboard_->write_grid(step); });
}

void RunWriter::write_histograms() {
  lock_.check();
  write_events([&] { tensorboard_->write_histograms(*setup_.gan, *setup_.step); });
}

void RunWriter::write_real_grid() {
  const std::vector<float> images =
      real_images(setup_.images, options_.seed, options_.sample_count, setup_.gan->data.classes);
  write_or_warn("pictures", [&] { write_png(folder_.real_sample(), images, {{"data-digest", setup_.data_digest}}); });
}

void RunWriter::write_png(const std::filesystem::path& file, const std::vector<float>& images,
                          std::map<std::string, std::string> text) const {
  const int count = options_.sample_count;
  text["Software"] = std::string("ganymede ") + version;
  lock_.put(file, encode_png_grid(images, count, setup_.gan->data.image, grid_columns(count, setup_.gan->data.classes),
                                  text));
}

// With --checkpoint-failure warn training goes on without what cannot be written, and says so once.
void RunWriter::write_or_warn(const char* what, const std::function<void()>& write) {
  try {
    write();
  } catch (const Error& failure) {
    if (options_.checkpoint_failure == "stop" || failure.code() != ExitCode::data) throw;
    if (warned_of_.insert(what).second)
      warn_(std::string(what) + " are missing, training goes on (--checkpoint-failure warn): " + failure.what());
  }
}

// To TensorBoard's file, if there is one.
void RunWriter::write_events(const std::function<void()>& write) {
  if (tensorboard_) write_or_warn("TensorBoard's events", write);
}

// At the start: a run that is resumed goes on with the file, as far as it can be read.
void RunWriter::read_timing_of_before(std::vector<std::string>& warnings) {
  std::error_code error;
  if (!std::filesystem::exists(folder_.timing(), error)) return;
  try {
    earlier_timing_ = read_timing(folder_.timing());
  } catch (const Error& failure) {
    warnings.push_back(std::string(failure.what()) + "; what the time of earlier starts went to is not kept");
    return;
  }
  // Line by line in ascending starts, as they were written.
  const std::uint64_t newest = earlier_timing_.empty() ? 0 : earlier_timing_.back().start;
  std::erase_if(earlier_timing_, [&](const RankTiming& one) { return one.start + most_starts_before <= newest; });
}

void RunWriter::write_timing(const std::string& ranks) {
  std::vector<RankTiming> all = parse_timing(ranks, "what the ranks say of their time");
  const std::uint64_t start = earlier_timing_.empty() ? 1 : earlier_timing_.back().start + 1;
  for (RankTiming& one : all) one.start = start;
  all.insert(all.begin(), earlier_timing_.begin(), earlier_timing_.end());
  lock_.put(folder_.timing(), timing_text(all));
}

void RunWriter::write_page() { lock_.put(folder_.report(), report_page({&reported_, 1}, train_option_specs())); }

void RunWriter::write_weights(TensorFile& generator, TensorFile& discriminator, const Shown& shown) {
  WeightsFacts facts(trajectory_options(options_));
  facts.set_progress(shown.steps, shown.images);
  facts.set_data_digest(setup_.data_digest);
  facts.set_shape(setup_.gan->data);
  facts.set_pytorch();
  // Both say of which step they are, so that two of different steps are told from a pair.
  const auto bytes = [&](TensorFile& file, const char* network) {
    facts.set_network(network);
    file.metadata = facts.entries();
    return file.sealed();
  };
  // A disk that has room for one of them alone keeps the pair before. G comes last: it is what others wait for.
  lock_.put(folder_.generator(), bytes(generator, "generator"),
            [&] { lock_.put(folder_.discriminator(), bytes(discriminator, "discriminator")); });
  write_events([&] { tensorboard_->finish(); });
}

}  // namespace ganymede
