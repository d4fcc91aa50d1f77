// The loop: step, and between steps what is due: records, pictures, checkpoints, the comparison of replicas.
#include "ganymede/trainer.hpp"

#include <chrono>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "comm/diagnosis.hpp"
#include "comm/failure.hpp"
#include "comm/watchdog.hpp"
#include "core/heartbeat.hpp"
#include "core/numbers.hpp"
#include "core/stopwatch.hpp"
#include "ganymede/error.hpp"
#include "ganymede/version.hpp"
#include "report/findings.hpp"
#include "report/run_folder.hpp"
#include "report/run_log.hpp"
#include "train/diagnostics.hpp"
#include "train/evaluation.hpp"
#include "train/memory.hpp"
#include "train/nan_guard.hpp"
#include "train/records.hpp"
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
#include "train/train_log.hpp"

namespace ganymede {
namespace {

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
    hosts_ = ranks_.all_gather(host_name());
    on_root(ranks_, [&] {
      if (lock_ == nullptr) lock_ = hold_new_run(options_);
      writer_.emplace(options_, setup_, *lock_, recipe, [this](const std::string& message) { log_.warn(message); });
      records_.resume(writer_->last_record(), writer_->seconds_before());
    });
    if (options_.diagnose_every > 0) {
      diagnostics_.emplace(options_, *setup_.gan, setup_.images, setup_.held_out, setup_.dataset.is_named(), ranks_);
      if (!diagnostics_->warning().empty()) setup_.plan.warnings.push_back(diagnostics_->warning());
    }
    guard_.set_rollbacks(setup_.rollbacks);
    if (options_.eval_every > 0)
      evaluation_.emplace(options_, *setup_.gan, setup_.dataset, *setup_.device, ranks_, setup_.plan.warnings);
    together(ranks_, [&] { open_log(); });
    for (const auto& [name, value] : setup_.plan.rows) log_.info(name + ": " + value);
    if (ranks_.is_root() && events_.planned) events_.planned(setup_.plan);
    for (const std::string& warning : setup_.plan.warnings) log_.warn(warning);
    Checkpoint kind;
    kind.options = trajectory_options(options_);
    kind.data_digest = setup_.data_digest;
    kind.arithmetic = setup_.device->arithmetic();
    kind.program = std::string("ganymede ") + version;
    kind.log = folder_.metrics();  // of which a resumed run makes its findings anew
    if (lock_ != nullptr) kind.fence = {lock_->generation(), [this] { lock_->check(); }};
    saver_.emplace(options_, ranks_, *setup_.gan, std::move(kind), setup_.plan.first_step,
                   SaverEvents{[this](const std::string& message) { log_.info(message); },
                               [this](const std::string& message) { log_.warn(message); }});
    if (setup_.rollbacks > 0) saver_->set_rollbacks(setup_.rollbacks);
  }

  TrainOutcome run() {
    try {
      TrainOutcome outcome = trained();
      if (write_page()) outcome.report = folder_.report();
      return outcome;
    } catch (const AgreedError& failure) {
      if (failure.code() == ExitCode::training_failed) {  // fail() has told the log
        write_page();
        throw;
      }
      if (failure.code() != ExitCode::data) {
        const std::exception_ptr told = tell_of<AgreedError>(std::current_exception());
        write_page();
        std::rethrow_exception(told);
      }
      // A file system that is full or gone: the user wants to know what is left of the training.
      const std::string what =
          std::string(failure.what()) + "; " + saver_->what_stands() + ". Mend that, and go on with --resume";
      // Its log and page say so, too, if they still can.
      log_.ignore_failures();
      log_.error(what);
      try {
        if (writer_) writer_->write_page();
      } catch (const std::exception&) {
        // The same failure again, of which `what` tells.
      }
      throw AgreedError(ExitCode::data, what);
    } catch (...) {
      std::rethrow_exception(tell_of<Error>(std::current_exception()));
    }
  }

 private:
  // The failure, with where this rank was, which its log learns as well: of what is this rank's alone nobody else
  // writes. As it is where no memory is left for more.
  template <class Failure>
  std::exception_ptr tell_of(const std::exception_ptr& failure) noexcept {
    try {
      const Error error = comm::as_error(failure);
      const comm::Reading marks = times_ && times_->failed_at() ? *times_->failed_at() : comm::read(heartbeat::pulse());
      const std::string what = std::string(error.what()) + "; this was in " + comm::place(marks);
      log_.ignore_failures();
      log_.error(what);
      return std::make_exception_ptr(Failure(error.code(), what));
    } catch (...) {
      return failure;
    }
  }

  TrainOutcome trained() {
    records_.begin();
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
    heartbeat::stage(stages::first_step);
    while (step.steps() < total && !stopping) {
      const std::uint64_t now = step.steps() + 1;
      const Due due_now = due_after(now, options_);
      if (due_now.diagnosis) keep_for_diagnosis();
      step.run(stop_requested(), due_now.record);
      times_->count_step();
      if (now == setup_.plan.first_step + 1) heartbeat::stage(stages::steps);
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
    for (const std::string& slow : stragglers_.summary(hosts_)) log_.warn(slow);
    TrainOutcome outcome;
    outcome.steps = step.steps();
    outcome.interrupted = step.steps() < total;
    const std::optional<AgreedError> unsaved = finish_saving(outcome.interrupted);
    outcome.last = records_.newest();
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
      log_.info(std::string(run_log::stopped) + std::to_string(outcome.steps) + " by request; --resume goes on");
    else
      log_.info(std::string(run_log::done) + std::to_string(outcome.steps) + " steps, generator " +
                outcome.generator_digest + ", discriminator " + outcome.discriminator_digest);
    log_.flush();
    return outcome;
  }

  void open_log() {
    const std::filesystem::path file = folder_.log(ranks_.rank());
    log_.open(file, options_.resume);
    if (comm::Watchdog* watchdog = comm::Watchdog::current()) watchdog->expect(options_.timeout, file);
    log_.info(run_log::start(version, ranks_.rank(), ranks_.size(), host_name()));
  }

  // What keeps updates from being made, of one gradient or of several.
  [[nodiscard]] std::string not_finite(bool several) const {
    std::string text = several ? " are not finite" : " is not finite";
    if (options_.reproducible)
      text += std::string(", or an element of ") + (several ? "their" : "its") + " sums is 1024 or more";
    return text;
  }

  void tell_skipped(const GanStep::NotFinite& known) {
    const std::string what = "the gradient of step " + std::to_string(known.last) + not_finite(false) +
                             ": its update was not made, the training goes on without it";
    // The terminal hears of the first of a row alone.
    if (known.in_a_row <= 1)
      log_.warn(what);
    else
      log_.note_warning(what);
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
                               " steps in a row up to step " + std::to_string(failed_at) + not_finite(true) +
                               ", and the training cannot go back: " + failure.what();
      log_.error(what);
      throw AgreedError(failure.code(), what);
    }
    for (const std::string& reason : back.refused) log_.warn(reason);
    guard_.set_rollbacks(setup_.rollbacks);
    saver_->set_rollbacks(setup_.rollbacks);
    on_root(ranks_, [&] { writer_->go_back(setup_.step->steps()); });
    records_.go_back(writer_ ? writer_->last_record() : MetricsRecord{});
    log_.warn("the gradients of " + std::to_string(NanGuard::row_to_roll_back) + " steps in a row up to step " +
              std::to_string(failed_at) + not_finite(true) + ": back to " + back.to +
              ", with half the learning rate (roll-back " + std::to_string(guard_.rollbacks()) + " of " +
              std::to_string(NanGuard::most_rollbacks) + ")");
  }

  // On all ranks at once. The page shows what the time went to until then.
  [[noreturn]] void fail(const std::string& what) {
    gather_times();
    log_.error(what);
    throw AgreedError(ExitCode::training_failed, what);
  }

  // The gradient is the same on every rank, and so is this.
  [[noreturn]] void fail_not_finite(std::uint64_t step) {
    const std::string what = "the gradient of step " + std::to_string(step) + not_finite(false) +
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
    for (const std::string& slow : stragglers_.judge(times, hosts_)) log_.warn(slow);
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
    if (diagnostics_) diagnostics_->measure(setup_.step->steps(), records_.newest());
  }

  // False where a request to stop has ended it.
  bool evaluate() {
    const TimeSheet::Stage stage(*times_, Part::evaluation);
    const auto began = std::chrono::steady_clock::now();
    const bool made = evaluation_->measure(setup_.step->steps(), records_.newest());
    const auto taken = std::chrono::steady_clock::now() - began;
    records_.leave_out(taken);
    if (made)
      log_.info(evaluation_text(records_.newest()) + "; it took " +
                formatted("%.1f", std::chrono::duration<double>(taken).count()) + " s");
    else if (setup_.step->steps() < setup_.plan.steps)
      log_.info("the evaluation of step " + std::to_string(setup_.step->steps()) +
                " ends unmade, by request; --resume makes it");
    else
      log_.warn("the evaluation of the last step was not made, by request: `ganymede eval` does");
    return made;
  }

  // An evaluation that the training owes the step which it goes on from: a request to stop had ended it, or its record
  // was lost with the process. False where one is asked for again.
  bool evaluate_what_is_due() {
    const std::uint64_t step = setup_.step->steps();
    if (step == 0 || step == setup_.plan.steps || !due(step, options_.eval_every)) return true;
    std::int64_t known =
        records_.newest().evaluated_step == static_cast<double>(step) ? 1 : 0;  // rank 0 has the records
    ranks_.broadcast(&known, sizeof known, 0);
    return known != 0 || evaluate();
  }

  // For rank 0. A collapse that the training was resumed with may be about to end: it goes on while samples grow more
  // varied.
  bool has_collapsed() {
    const Findings& found = writer_->findings();
    const Finding* collapse = found.current(Finding::Kind::collapse);
    if (collapse == nullptr) return false;
    const std::uint64_t first = setup_.plan.first_step;
    return collapse->since > first ||
           (records_.newest().diagnosed_step > static_cast<double>(first) && !found.recovering());
  }

  // The others learn it from rank 0, which alone has the records.
  void stop_on_collapse(std::uint64_t step) {
    std::int64_t collapsed = writer_ && has_collapsed() ? 1 : 0;
    ranks_.broadcast(&collapsed, sizeof collapsed, 0);
    if (collapsed == 0) return;
    write_grid(step);
    save(step);
    const std::string what = "stopped at step " + std::to_string(step) + " by --stop-on collapse: its samples, in " +
                             picture_.string() + ", vary " + formatted("%.2g", records_.newest().sample_diversity) +
                             " times as much as real images; " + saver_->what_stands();
    fail(what);
  }

  void write_record(const GanStep::MeansUntil& until, bool last) {
    const TimeSheet::Stage stage(*times_, Part::record);
    records_.add(until);
    on_root(ranks_, [&] {
      const bool troubled = writer_->findings().any();
      const std::vector<Finding> before = writer_->findings().all();
      for (const Finding& finding : writer_->write_record(records_.newest()))
        log_.warn("since step " + std::to_string(finding.since) + " " + finding.text);
      for (std::size_t i = 0; i < before.size(); ++i)
        if (const Finding& now = writer_->findings().all()[i]; now.until && !before[i].until)
          log_.info("what was found since step " + std::to_string(now.since) + ", " + finding_name(now.kind) +
                    ", is over since step " + std::to_string(*now.until));
      if (writer_->findings().any() != troubled && events_.troubled) events_.troubled(!troubled);
      saver_->collect();
      if (events_.progressed) events_.progressed(records_.newest(), records_.seconds_left(), last);
    });
  }

  void write_histograms() {
    const TimeSheet::Stage stage(*times_, Part::histograms);
    on_root(ranks_, [&] { writer_->write_histograms(); });
  }

  void write_grid(std::uint64_t step) {
    const TimeSheet::Stage stage(*times_, Part::picture);
    picture_ = folder_.sample(step);
    on_root(ranks_, [&] { writer_->write_grid(step, records_.images_seen(step)); });
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
        if (missing_.insert(what).second) log_.warn(std::string(what) + " was not written: " + failure.what());
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
    saver_->save(step, records_.images_seen(step));
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
      const std::uint64_t steps = setup_.step->steps();
      writer_->write_weights(generator, discriminator, {steps, records_.images_seen(steps)});
    });
  }

  const TrainOptions& options_;
  Communicator& ranks_;
  const TrainEvents& events_;
  RunFolder folder_;
  std::unique_ptr<RunLock> lock_;  // rank 0
  TrainSetup setup_;
  TrainLog log_{ranks_.is_root() ? events_.warned : nullptr};
  Records records_{options_, setup_};
  std::set<std::string_view> missing_;  // what could not be written when it was to be last
  std::optional<RunWriter> writer_;     // rank 0
  std::optional<Diagnostics> diagnostics_;
  std::optional<Evaluation> evaluation_;
  Stragglers stragglers_{!setup_.device->is_host()};
  std::uint64_t continued_ = times_continued();  // as the ranks were last compared
  std::optional<TimeSheet> times_;               // since the loop began
  std::string timing_;                           // all ranks', of when they last met for it
  std::vector<std::string> hosts_;               // by rank
  NanGuard guard_{options_.on_nan};
  std::filesystem::path picture_;
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
