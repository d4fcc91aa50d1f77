// The loop: step, and between steps what is due: records, pictures, checkpoints, the comparison of replicas.
#include "ganymede/trainer.hpp"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "checkpoint/checkpoint.hpp"
#include "comm/watchdog.hpp"
#include "core/files.hpp"
#include "core/heartbeat.hpp"
#include "core/stopwatch.hpp"
#include "gan/update_schedule.hpp"
#include "ganymede/error.hpp"
#include "ganymede/version.hpp"
#include "math/optimizer/schedules.hpp"
#include "report/findings.hpp"
#include "report/run_folder.hpp"
#include "report/run_log.hpp"
#include "train/diagnostics.hpp"
#include "train/evaluation.hpp"
#include "train/memory.hpp"
#include "train/nan_guard.hpp"
#include "train/replicas.hpp"
#include "train/rollback.hpp"
#include "train/run_lock.hpp"
#include "train/run_place.hpp"
#include "train/run_writer.hpp"
#include "train/setup.hpp"
#include "train/state_saver.hpp"
#include "train/stop.hpp"
#include "train/stragglers.hpp"
#include "train/time_sheet.hpp"

namespace ganymede {
namespace {

using Clock = std::chrono::steady_clock;
using Part = TimeSheet::Part;

bool due(std::uint64_t step, std::uint64_t every) { return every > 0 && step % every == 0; }

// What follows a step.
struct Due {
  bool comparison;
  bool diagnosis;
  bool evaluation;
  bool record;
  bool picture;
  bool histograms;
  bool checkpoint;
  /// Whether something looks at the networks as they are after this very step. A record does not: the step's means
  /// come when they come.
  [[nodiscard]] bool needs_the_step() const {
    return comparison || diagnosis || evaluation || picture || histograms || checkpoint;
  }
};

Due due_after(std::uint64_t step, const TrainOptions& o) {
  return {.comparison = due(step, o.drift_every),
          .diagnosis = due(step, o.diagnose_every),
          .evaluation = due(step, o.eval_every),
          // What a diagnosis finds is told when it is found.
          .record = due(step, o.log_every) || due(step, o.diagnose_every),
          .picture = due(step, o.sample_every),
          .histograms = due(step, o.tensorboard_histograms_every),
          .checkpoint = due(step, o.checkpoint_every)};
}

// Of update number `update`, counted from 0.
double learning_rate(const Optimizer& optimizer, std::uint64_t update) {
  const OptimizerConstants& c = optimizer.constants();
  return c.learning_rate * math::schedule_factor(c.schedule, update, c.schedule.updates);
}

// One training from its set-up to its end.
class Training {
 public:
  Training(const TrainOptions& options, Communicator& ranks, const TrainEvents& events, const std::string& recipe)
      : options_(options),
        ranks_(ranks),
        events_(events),
        folder_(options.out),
        lock_(hold_begun_run(options, ranks)),
        setup_(set_up(options, ranks)) {
    on_root(ranks_, [&] {
      if (lock_ == nullptr) lock_ = hold_new_run(options_);
      writer_.emplace(options_, setup_, *lock_, recipe, [this](const std::string& message) { warn(message); });
      record_ = writer_->last_record();  // what its diagnosis found stands until the next
      seconds_before_ = writer_->seconds_before();
    });
    if (options_.diagnose_every > 0) {
      diagnostics_.emplace(options_, *setup_.gan, setup_.images, setup_.held_out, setup_.dataset.is_named(), ranks_);
      if (!diagnostics_->warning().empty()) setup_.plan.warnings.push_back(diagnostics_->warning());
    }
    guard_.set_rollbacks(setup_.rollbacks);
    if (options_.eval_every > 0)
      evaluation_.emplace(options_, *setup_.gan, setup_.dataset, *setup_.device, ranks_, setup_.plan.warnings);
    together(ranks_, [&] { open_log(); });
    for (const auto& [name, value] : setup_.plan.rows) log_->info("{}: {}", name, value);
    if (ranks_.is_root() && events_.planned) events_.planned(setup_.plan);
    for (const std::string& warning : setup_.plan.warnings) warn(warning);
    Checkpoint kind;
    kind.options = trajectory_options(options_);
    kind.data_digest = setup_.data_digest;
    kind.arithmetic = setup_.device->arithmetic();
    kind.program = std::string("ganymede ") + version;
    kind.log = folder_.metrics();  // of which a resumed run makes its findings anew
    if (lock_ != nullptr) kind.fence = {lock_->generation(), [this] { lock_->check(); }};
    saver_.emplace(options_, ranks_, *setup_.gan, std::move(kind), setup_.plan.first_step,
                   SaverEvents{[this](const std::string& message) { log_->info("{}", message); },
                               [this](const std::string& message) { warn(message); }});
    if (setup_.rollbacks > 0) saver_->set_rollbacks(setup_.rollbacks);
  }

  TrainOutcome run() {
    try {
      TrainOutcome outcome = trained();
      if (write_page()) outcome.report = folder_.report();
      return outcome;
    } catch (const AgreedError& failure) {
      if (failure.code() != ExitCode::data) {
        write_page();
        throw;
      }
      // A file system that is full or gone: the user wants to know what is left of the training.
      const std::string what =
          std::string(failure.what()) + "; " + saver_->what_stands() + ". Mend that, and go on with --resume";
      // Its log and page say so, too, if they still can.
      log_->set_error_handler([](const std::string& /*message*/) {});
      log_->error("{}", what);
      try {
        if (writer_) writer_->write_page();
      } catch (const std::exception&) {
        // The same failure again, of which `what` tells.
      }
      throw AgreedError(ExitCode::data, what);
    }
  }

 private:
  TrainOutcome trained() {
    began_ = interval_began_ = Clock::now();
    GanStep& step = *setup_.step;
    times_.emplace(setup_.device->is_host());
    if (setup_.device->is_host()) step.measure(&times_->phases());
    const std::uint64_t total = setup_.plan.steps;
    // A run that is resumed at its end gets its last picture anew, should it have gone.
    if (step.steps() == 0 || step.steps() == total) write_grid(step.steps());
    {
      const TimeSheet::Stage stage(*times_, Part::picture);
      on_root(ranks_, [&] { writer_->write_real_grid(); });
    }
    bool stopping = !evaluate_what_is_due();
    heartbeat::stage("first step");
    while (step.steps() < total && !stopping) {
      const std::uint64_t now = step.steps() + 1;
      const Due due_now = due_after(now, options_);
      if (due_now.diagnosis) keep_for_diagnosis();
      step.run(stop_requested(), due_now.record);
      times_->count_step();
      if (now == setup_.plan.first_step + 1) heartbeat::stage("steps");
      const bool last = now == total;
      const bool may_collapse = (due_now.record || last) && options_.stop_on == "collapse";
      // Which steps are known of is the same on every rank, and so is what follows from it.
      if (last || step.stop_agreed() || due_now.needs_the_step() || may_collapse) step.settle();
      // Of earlier steps first: they are what a training that fails leaves.
      std::optional<GanStep::MeansUntil> means;
      while ((means = step.take_wanted_means()) && means->step < now) write_record(*means, false);
      const NanGuard::Verdict verdict = guard_.judge(step.not_finite());
      if (verdict == NanGuard::Verdict::fail) fail_not_finite(step.not_finite().last);
      if (verdict == NanGuard::Verdict::skipped) tell_skipped(step.not_finite());
      if (verdict == NanGuard::Verdict::roll_back) {
        roll_back();
        continue;
      }
      // A row of steps without updates ends first: in an update, after which it is saved, or in a roll-back.
      const bool in_doubt = guard_.in_doubt(step.not_finite());
      stopping = step.stop_agreed() && !in_doubt;
      if (last || stopping || due_now.comparison) compare_replicas(now);
      if (last || due_now.diagnosis) diagnose();
      if (options_.eval_every > 0 && (last || due_now.evaluation) && !evaluate()) stopping = !in_doubt;
      if (!means && (last || stopping)) means = GanStep::MeansUntil{now, step.take_means()};
      if (means) write_record(*means, last || stopping);
      if (last || due_now.picture) write_grid(now);
      if (due_now.histograms) write_histograms();
      const bool to_save = due_now.checkpoint && !in_doubt;
      if (last || stopping || to_save) save(now);
      // Once what it has come to is safe, and as at the end to be looked at.
      if (stopping && !last && !due_now.picture) write_grid(now);
      if (to_save) gather_times();
      if (!last && !stopping && to_save) write_page();
      if (may_collapse) stop_on_collapse(now);
    }
    for (const std::string& slow : stragglers_.summary(hosts_)) warn(slow);
    TrainOutcome outcome;
    outcome.steps = step.steps();
    outcome.interrupted = step.steps() < total;
    const std::optional<AgreedError> unsaved = finish_saving(outcome.interrupted);
    outcome.last = record_;
    std::int64_t taken = static_cast<std::int64_t>(taken_memory(*setup_.device, setup_.free_memory));
    ranks_.all_max(std::span(&taken, 1));
    outcome.memory = static_cast<std::size_t>(taken);
    outcome.picture = picture_;
    const Gan& gan = *setup_.gan;
    TensorFile generator{gan.generator.tensors(gan.picture_parameters()), {}};
    TensorFile discriminator{gan.discriminator.tensors(gan.discriminator.parameter_array()), {}};
    outcome.generator_digest = generator.weights_digest();
    outcome.discriminator_digest = discriminator.weights_digest();
    if (!outcome.interrupted) write_weights(generator, discriminator);
    gather_times();
    if (unsaved) throw AgreedError(*unsaved);
    if (outcome.interrupted)
      log_->info("{}{} by request; --resume goes on", run_log::stopped, outcome.steps);
    else
      log_->info("{}{} steps, generator {}, discriminator {}", run_log::done, outcome.steps, outcome.generator_digest,
                 outcome.discriminator_digest);
    log_->flush();
    return outcome;
  }

  void open_log() {
    const std::filesystem::path file = folder_.log(ranks_.rank());
    try {
      // Rank 0 has made the folder; a rank whose host does not see it makes its own.
      make_folders(file.parent_path());
      auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string(), !options_.resume);
      log_ = std::make_unique<spdlog::logger>("rank", std::move(sink));
    } catch (const spdlog::spdlog_ex& failure) {
      throw Error(ExitCode::data, "cannot write the log " + file.string() + ": " + failure.what());
    }
    log_->set_pattern(run_log::pattern);
    // Of every line that is lost spdlog would tell, and on the terminal. Rank 0's log has what the others' have.
    log_->set_error_handler([this](const std::string& reason) {
      if (!std::exchange(log_is_incomplete_, true) && ranks_.is_root() && events_.warned)
        events_.warned("the log is incomplete, training goes on: " + reason);
    });
    log_->flush_on(spdlog::level::info);
    if (comm::Watchdog* watchdog = comm::Watchdog::current()) watchdog->expect(options_.timeout, file);
    log_->info("{}", run_log::start(version, ranks_.rank(), ranks_.size(), host_name()));
  }

  void warn(const std::string& message) {
    log_->warn("{}", message);
    if (ranks_.is_root() && events_.warned) events_.warned(message);
  }

  // With the options as they are now only since the start: a batch may have been of another size before.
  std::uint64_t images_seen(std::uint64_t steps) const { return ganymede::images_seen(options_, setup_.from, steps); }

  void tell_skipped(const GanStep::NotFinite& known) {
    const std::string what = "the gradient of step " + std::to_string(known.last) +
                             " is not finite: its update was not made, the training goes on without it";
    log_->warn("{}", what);
    // The terminal hears of the first of a row alone.
    if (known.in_a_row <= 1 && ranks_.is_root() && events_.warned) events_.warned(what);
  }

  // The same on every rank: all know the same reports.
  void roll_back() {
    const TimeSheet::Stage stage(*times_, Part::rollback);
    const std::uint64_t failed_at = setup_.step->not_finite().last;
    WentBack back;
    (void)saver_->what_stands();  // what is being written is the newest
    try {
      back = go_back(options_, ranks_, setup_, guard_.rollbacks() + 1);
    } catch (const AgreedError& failure) {
      const std::string what = "the gradients of " + std::to_string(NanGuard::row_to_roll_back) +
                               " steps in a row up to step " + std::to_string(failed_at) +
                               " are not finite, and the training cannot go back: " + failure.what();
      log_->error("{}", what);
      throw AgreedError(failure.code(), what);
    }
    for (const std::string& reason : back.refused) warn(reason);
    guard_.set_rollbacks(setup_.rollbacks);
    saver_->set_rollbacks(setup_.rollbacks);
    interval_step_ = setup_.step->steps();
    interval_began_ = Clock::now();
    on_root(ranks_, [&] {
      writer_->go_back(interval_step_);
      record_ = writer_->last_record();
    });
    warn("the gradients of " + std::to_string(NanGuard::row_to_roll_back) + " steps in a row up to step " +
         std::to_string(failed_at) + " are not finite: back to " + back.to +
         ", with half the learning rate (roll-back " + std::to_string(guard_.rollbacks()) + " of " +
         std::to_string(NanGuard::most_rollbacks) + ")");
  }

  // On all ranks at once. The page shows what the time went to until then.
  [[noreturn]] void fail(const std::string& what) {
    gather_times();
    log_->error("{}", what);
    throw AgreedError(ExitCode::training_failed, what);
  }

  // The gradient is the same on every rank, and so is this.
  [[noreturn]] void fail_not_finite(std::uint64_t step) {
    const std::string what = "the gradient of step " + std::to_string(step) + " is not finite" +
                             (options_.reproducible ? " or an element of it is 1024 or more" : "") +
                             "; its update was not made, " + guard_.what_was_tried() + "and " + saver_->what_stands() +
                             ". Train again into another folder with " + steadier_options(options_);
    fail(what);
  }

  void compare_replicas(std::uint64_t step) {
    if (ranks_.size() == 1) return;
    const TimeSheet::Stage stage(*times_, Part::comparison);
    const std::uint64_t continued = times_continued();
    const bool held_up = std::exchange(continued_, continued) != continued;
    std::vector<std::string> all =
        ranks_.all_gather(replica_digest(*setup_.gan) + " " + Stragglers::text(setup_.step->take_own_time(), held_up));
    std::vector<std::string> times;
    for (std::string& text : all) {
      times.push_back(text.substr(text.find(' ') + 1));
      text.resize(text.find(' '));
    }
    for (const std::string& slow : stragglers_.judge(times, hosts_)) warn(slow);
    const OddReplicas odd = odd_replicas(all, hosts_);
    if (odd.who.empty()) return;
    const std::string what = "the replicas' weights differ at step " + std::to_string(step) + ": " + odd.who +
                             "; a host's memory or CPU may be faulty, and " + saver_->what_stands() +
                             ". Run again with --resume, " + odd.remedy;
    fail(what);
  }

  void keep_for_diagnosis() {
    if (!diagnostics_) return;
    const TimeSheet::Stage stage(*times_, Part::diagnosis);
    setup_.step->settle();
    diagnostics_->before_step(setup_.step->steps());
  }

  void diagnose() {
    const TimeSheet::Stage stage(*times_, Part::diagnosis);
    if (diagnostics_) diagnostics_->measure(setup_.step->steps(), record_);
  }

  // False where a request to stop has ended it.
  bool evaluate() {
    const TimeSheet::Stage stage(*times_, Part::evaluation);
    const Clock::time_point began = Clock::now();
    const bool made = evaluation_->measure(setup_.step->steps(), record_);
    const Clock::duration taken = Clock::now() - began;
    interval_began_ += taken;  // the speed is that of training
    if (made)
      log_->info("{}; it took {:.1f} s", evaluation_text(record_), std::chrono::duration<double>(taken).count());
    else if (setup_.step->steps() < setup_.plan.steps)
      log_->info("the evaluation of step {} ends unmade, by request; --resume makes it", setup_.step->steps());
    else
      warn("the evaluation of the last step was not made, by request: `ganymede eval` does");
    return made;
  }

  // An evaluation that the training owes the step which it goes on from: a request to stop had ended it, or its record
  // was lost with the process. False where one is asked for again.
  bool evaluate_what_is_due() {
    const std::uint64_t step = setup_.step->steps();
    if (step == 0 || step == setup_.plan.steps || !due(step, options_.eval_every)) return true;
    std::int64_t known = record_.evaluated_step == static_cast<double>(step) ? 1 : 0;  // rank 0 has the records
    ranks_.broadcast(&known, sizeof known, 0);
    return known != 0 || evaluate();
  }

  // The others learn it from rank 0, which alone has the records.
  void stop_on_collapse(std::uint64_t step) {
    std::int64_t collapsed = writer_ && writer_->findings().present(Finding::Kind::collapse) ? 1 : 0;
    ranks_.broadcast(&collapsed, sizeof collapsed, 0);
    if (collapsed == 0) return;
    write_grid(step);
    save(step);
    const std::string what = "stopped at step " + std::to_string(step) + " by --stop-on collapse: its samples, in " +
                             picture_.string() + ", are nearly all alike; " + saver_->what_stands();
    fail(what);
  }

  void write_record(const GanStep::MeansUntil& until, bool last) {
    const TimeSheet::Stage stage(*times_, Part::record);
    const auto now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - interval_began_).count();
    const std::uint64_t step = until.step;
    const StepMeans& means = until.means;
    record_.step = step;
    record_.images_seen = images_seen(step);
    record_.epoch = static_cast<double>(record_.images_seen) / setup_.dataset.train().count;
    record_.discriminator_loss = means.discriminator_loss;
    record_.generator_loss = means.generator_loss;
    record_.penalty = means.penalty;
    record_.real_accuracy = means.real_accuracy;
    record_.fake_accuracy = means.fake_accuracy;
    record_.real_score = means.real_score;
    record_.fake_score = means.fake_score;
    if (options_.loss == "wasserstein") record_.wasserstein_estimate = means.real_score - means.fake_score;
    record_.discriminator_gradient_norm = means.discriminator_gradient_norm;
    record_.generator_gradient_norm = means.generator_gradient_norm;
    record_.discriminator_learning_rate =
        learning_rate(*setup_.gan->discriminator_optimizer, discriminator_updates(options_, step) - 1);
    record_.generator_learning_rate = learning_rate(*setup_.gan->generator_optimizer, step - 1);
    const double seconds_now = std::chrono::duration<double>(now - began_).count();
    record_.seconds = seconds_before_ + seconds_now;
    record_.images_per_second = static_cast<double>(images_seen(step) - images_seen(interval_step_)) / seconds;
    interval_began_ = now;
    interval_step_ = step;
    on_root(ranks_, [&] {
      const bool troubled = writer_->findings().any();
      for (const Finding& finding : writer_->write_record(record_))
        warn("since step " + std::to_string(finding.since) + " " + finding.text);
      if (writer_->findings().any() != troubled && events_.troubled) events_.troubled(!troubled);
      saver_->collect();
      // A roll-back may lead to before the beginning.
      const double done = static_cast<double>(std::max(step, setup_.plan.first_step + 1) - setup_.plan.first_step);
      const double left = seconds_now / done * static_cast<double>(setup_.plan.steps - step);
      if (events_.progressed) events_.progressed(record_, left, last);
    });
  }

  void write_histograms() {
    const TimeSheet::Stage stage(*times_, Part::histograms);
    on_root(ranks_, [&] { writer_->write_histograms(); });
  }

  void write_grid(std::uint64_t step) {
    const TimeSheet::Stage stage(*times_, Part::picture);
    picture_ = folder_.sample(step);
    on_root(ranks_, [&] { writer_->write_grid(step, images_seen(step)); });
  }

  // Never a reason to end: everything that it shows lies in the run's folder. Whether it was written. That it was not
  // is said once, until it can be written again.
  bool write_page() {
    if (!ranks_.is_root()) return false;
    const TimeSheet::Stage stage(*times_, Part::report);
    const auto written = [&](const char* what, const std::function<void()>& write) {
      try {
        write();
        missing_.erase(what);
        return true;
      } catch (const std::bad_alloc&) {
        return false;  // to say so takes memory, too: what the training cannot do without will
      } catch (const std::exception& failure) {
        if (missing_.insert(what).second) warn(std::string(what) + " was not written: " + failure.what());
        return false;
      }
    };
    // The page shows it.
    if (!timing_.empty()) written("what the time went to", [&] { writer_->write_timing(timing_); });
    return written("the report", [&] { writer_->write_page(); });
  }

  // What the time of all ranks has gone to. Between steps, where they meet anyway.
  void gather_times() {
    RankTiming mine = times_->all();
    mine.rank = ranks_.rank();
    mine.host = hosts_[static_cast<std::size_t>(mine.rank)];
    mine.first_step = setup_.plan.first_step;
    mine.last_step = setup_.step->steps();
    timing_.clear();
    for (const std::string& line : ranks_.all_gather(timing_text({&mine, 1}))) timing_ += line;
  }

  void save(std::uint64_t step) {
    const TimeSheet::Stage stage(*times_, Part::checkpoint);
    saver_->save(step, images_seen(step));
  }

  // What keeps the last state from being saved. Where training goes on all the same, the final weights are written
  // first, and it is returned.
  std::optional<AgreedError> finish_saving(bool interrupted) {
    const TimeSheet::Stage stage(*times_, Part::checkpoint);
    try {
      saver_->finish();
    } catch (const AgreedError& failure) {
      if (interrupted || options_.checkpoint_failure == "stop") throw;
      return failure;
    }
    return std::nullopt;
  }

  void write_weights(TensorFile& generator, TensorFile& discriminator) {
    const TimeSheet::Stage stage(*times_, Part::final_weights);
    on_root(ranks_, [&] {
      std::map<std::string, std::string> facts = trajectory_options(options_);
      facts["steps"] = std::to_string(setup_.step->steps());
      facts["images-seen"] = std::to_string(images_seen(setup_.step->steps()));
      writer_->write_weights(generator, discriminator, std::move(facts));
    });
  }

  const TrainOptions& options_;
  Communicator& ranks_;
  const TrainEvents& events_;
  RunFolder folder_;
  std::unique_ptr<RunLock> lock_;  // rank 0
  TrainSetup setup_;
  std::unique_ptr<spdlog::logger> log_;
  bool log_is_incomplete_ = false;
  std::set<std::string_view> missing_;  // what could not be written when it was to be last
  std::optional<RunWriter> writer_;     // rank 0
  std::optional<Diagnostics> diagnostics_;
  std::optional<Evaluation> evaluation_;
  double seconds_before_ = 0;  // rank 0: before the training was resumed
  Stragglers stragglers_{!setup_.device->is_host()};
  std::uint64_t continued_ = times_continued();                      // as the ranks were last compared
  std::optional<TimeSheet> times_;                                   // since the loop began
  std::string timing_;                                               // all ranks', of when they last met for it
  std::vector<std::string> hosts_ = ranks_.all_gather(host_name());  // by rank
  NanGuard guard_{options_.on_nan};
  MetricsRecord record_;
  std::filesystem::path picture_;
  Clock::time_point began_;
  Clock::time_point interval_began_;
  std::uint64_t interval_step_ = setup_.plan.first_step;  // at which the interval began
  std::optional<StateSaver> saver_;
};

}  // namespace

TrainOutcome train(const TrainOptions& options, Communicator& ranks, const TrainEvents& events,
                   const std::string& recipe) {
  // However it ends, a request to stop it has been answered then.
  const struct Answered {
    Answered() = default;
    Answered(const Answered&) = delete;
    Answered& operator=(const Answered&) = delete;
    ~Answered() { forget_stop_request(); }
  } answered;
  if (comm::Watchdog* watchdog = comm::Watchdog::current()) watchdog->expect(options.timeout, {});
  return Training(options, ranks, events, recipe).run();
}

TrainPlan plan_training(const TrainOptions& options, Communicator& ranks) {
  on_root(ranks, [&] {
    check_run_place(options);
    check_no_other_run(options);
  });
  return set_up(options, ranks).plan;
}

}  // namespace ganymede
