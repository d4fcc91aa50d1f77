// See tensorboard_log.hpp.
#include "train/tensorboard_log.hpp"

#include <chrono>

#include "report/metrics_log.hpp"
#include "tensorboard/event_file.hpp"
#include "tensorboard/events.hpp"

namespace ganymede {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

}  // namespace

TensorBoardLog::TensorBoardLog(const RunFolder& run, const std::map<std::string, std::string>& options,
                               std::uint64_t step)
    : run_(run) {
  const std::filesystem::path folder = run.tensorboard();
  make_folders(folder);
  if (step > 0 && !tensorboard::holds_events(folder))
    write_file_atomically(tensorboard::exported_event_file(folder),
                          tensorboard::past_events(run, options, read_metrics(run.metrics()), step));
  file_.emplace(tensorboard::next_event_file(folder, now()));
  file_->append(tensorboard::file_begin(now()));
  // Of a run from its beginning that is all of it.
  file_->append(tensorboard::restart(now(), step == 0 ? 0 : step + 1));
  if (step == 0) file_->append(tensorboard::hyperparameters(now(), options));
}

void TensorBoardLog::write(const MetricsRecord& record, const MetricsRecord& before) {
  file_->append(tensorboard::scalars(now(), record, before));
}

void TensorBoardLog::write_grid(std::uint64_t step) {
  const std::filesystem::path file = run_.sample(step);
  file_->append(tensorboard::picture(now(), step, read_file(file), file.string()));
}

void TensorBoardLog::write_histograms(const Gan& gan, const GanStep& step) {
  const GanStep::Gradients gradients = step.gradients();
  const auto write = [&](const char* group, const std::vector<Tensor>& tensors) {
    file_->append(tensorboard::histograms(now(), step.steps(), group, tensors));
  };
  write("D parameters", gan.discriminator.tensors(gan.discriminator.parameter_array()));
  write("G parameters", gan.generator.tensors(gan.generator.parameter_array()));
  write("D gradients", gan.discriminator.tensors(gradients.discriminator));
  write("G gradients", gan.generator.tensors(gradients.generator));
}

void TensorBoardLog::go_back(std::uint64_t step) { file_->append(tensorboard::restart(now(), step + 1)); }

void TensorBoardLog::finish() { file_->append(tensorboard::finished(now())); }

}  // namespace ganymede
