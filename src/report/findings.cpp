// See findings.hpp. The thresholds were chosen by what collapsing and healthy trainings on MNIST show; see
// docs/RESULTS.md.
#include "report/findings.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/numbers.hpp"
#include "core/quantile.hpp"

namespace ganymede {
namespace {

using Kind = Finding::Kind;

// In a healthy training, too, samples are alike at first. Samples that have never been varied may become so while they
// become more so from diagnosis to diagnosis, and until G's parameters have come so many times their own norm, summed
// over the steps; sooner where they have become so much less varied than they were, or where D is so steep at generated
// images that it leads G from shape to shape instead of spreading it.
constexpr double least_path = 4;
constexpr double least_path_sooner = 1.5;
constexpr double down = 0.7;
constexpr double leading = 2;  // logits for a unit of distance
// Or once G hardly moves any more: the part of its norm that an update changes it by.
constexpr double dead = 1e-6;
constexpr double most_collapsed_classes = 4;
constexpr double most_collapsed_diversity = 0.25;
constexpr double sure = 0.97;       // D's accuracy where it wins,
constexpr double sure_logit = 3;    // and how far from 0 its mean outputs are: p is beyond .95
constexpr double lost = 0.1;        // and where it loses
constexpr double steep = 20;        // times as steep at generated images as at real ones
constexpr double overfitted = 0.5;  // the part of D's margin that held-out images lose: r_v of Karras et al. 2020
constexpr double explosion = 30;
// Where one side has won, gradients nearly vanish, and what is many times as much is still nothing: the usual norm is
// never less than so much of what it has once been, and no norm below the other explodes.
constexpr double least_usual = 0.1;
constexpr double least_explosion = 1e-6;
constexpr std::size_t remembered_norms = 50;
constexpr std::size_t least_norms = 10;

// The fewest that D's accuracy and outputs are judged by: those of a few batches vary too much.
constexpr std::uint64_t balance_steps = 100;

struct KindOfFinding {
  Kind kind;
  const char* name;
  /// How many records or diagnoses in a row it takes to find it, and to take it back; of who wins, how many steps.
  std::uint64_t needed;
};

constexpr std::array kinds_of_findings = std::to_array<KindOfFinding>({
    {Kind::collapse, "collapse", 1},
    {Kind::discriminator_wins, "discriminator-wins", 500},
    {Kind::generator_wins, "generator-wins", 500},
    {Kind::steep_discriminator, "steep-discriminator", 2},
    {Kind::discriminator_gradient, "discriminator-gradient", 1},
    {Kind::generator_gradient, "generator-gradient", 1},
    {Kind::overfitting_discriminator, "overfitting-discriminator", 2},
});
static_assert(kinds_of_findings.size() == Finding::kinds);

constexpr const KindOfFinding& about(Kind kind) { return kinds_of_findings[static_cast<std::size_t>(kind)]; }
static_assert(std::all_of(kinds_of_findings.begin(), kinds_of_findings.end(),
                          [](const KindOfFinding& each) { return about(each.kind).kind == each.kind; }));

// As advice: one that is there already is to be greater.
std::string stronger(const char* option, double now) {
  return (now > 0 ? "more than --" : "--") + std::string(option) + (now > 0 ? " " + pretty(now) : "");
}

std::string percent(double share) { return pretty(std::round(100 * share)) + " %"; }

}  // namespace

std::vector<Finding> Findings::follow(const MetricsRecord& r) {
  std::vector<Finding> begun;

  const std::uint64_t steps = r.step - std::min(r.step, step_);
  step_ = r.step;
  if (std::isfinite(r.generator_update_ratio)) path_ += r.generator_update_ratio * static_cast<double>(steps);
  // Records between two diagnoses repeat the first.
  const bool diagnosed = std::isfinite(r.diagnosed_step) && r.diagnosed_step != diagnosed_step_;
  diagnosed_step_ = r.diagnosed_step;
  const bool few_classes = r.sample_classes <= most_collapsed_classes;
  const bool alike = few_classes || r.sample_diversity <= most_collapsed_diversity;
  if (diagnosed && !alike) varied_ = true;
  const bool grows = r.sample_diversity > greatest_diversity_;
  const bool falls = r.sample_diversity < down * greatest_diversity_;
  if (grows) greatest_diversity_ = r.sample_diversity;
  const bool leads = r.fake_slope >= leading;
  const bool has_had_time = (path_ >= least_path_sooner && (falls || leads)) ||
                            (!grows && (path_ >= least_path || r.generator_update_ratio < dead));
  if (diagnosed) recovering_ = r.sample_diversity > std::exchange(diversity_, r.sample_diversity);
  // It lasts until they are no longer alike, however much less alike than before.
  if (diagnosed)
    see(Kind::collapse, alike && (varied_ || has_had_time || present(Kind::collapse)), r.step, 1,
        (few_classes ? "samples have collapsed onto " + pretty(r.sample_classes) + " of 10 classes"
                     : "samples have collapsed: they vary " + pretty(std::round(1000 * r.sample_diversity) / 1000) +
                           " times as much as real images") +
            (training_.r1 > 0
                 ? "; " + stronger("r1", training_.r1) + ", or a smaller --learning-rate, may keep them varied"
                 : "; --r1 5, or the recipes gan and modern, keep them varied"),
        begun);

  judge_balance(r, steps, begun);

  if (diagnosed)
    see(Kind::steep_discriminator, r.fake_slope > steep * r.real_slope, r.step, 1,
        "D is " + pretty(std::round(r.fake_slope / r.real_slope)) +
            " times as steep at generated images as at real ones: trainings explode from there; " +
            stronger("r2", training_.r2) + " flattens it",
        begun);

  if (diagnosed)
    see(Kind::overfitting_discriminator, r.held_out_gap > overfitted, r.step, 1,
        "D knows its training images by heart: held-out real images lose " + percent(r.held_out_gap) +
            " of what sets real images apart from generated ones; more images help, or a greater --r1, --dropout or a "
            "smaller D",
        begun);

  const auto norms = [&](Kind kind, const char* name, double norm, Norms& known) {
    const std::optional<double> usual = known.usual();
    see(kind, usual && norm > std::max(explosion * *usual, least_explosion), r.step, 1,
        std::string(name) + "'s gradient explodes: its norm is " + pretty(norm) + ", " +
            (usual ? pretty(std::round(norm / *usual)) : "") +
            " times its usual one; --clip-gradient or a smaller --learning-rate hold it",
        begun);
    known.add(norm);
  };
  norms(Kind::discriminator_gradient, "D", r.discriminator_gradient_norm, discriminator_norms_);
  norms(Kind::generator_gradient, "G", r.generator_gradient_norm, generator_norms_);
  return begun;
}

void Findings::Balance::add(const MetricsRecord& record, std::uint64_t steps_of_record) {
  steps += steps_of_record;
  const double share = steps > 0 ? static_cast<double>(steps_of_record) / static_cast<double>(steps) : 0;
  const auto follow = [&](double& mean, double next) { mean += share * (next - mean); };
  follow(real_accuracy, record.real_accuracy);
  follow(fake_accuracy, record.fake_accuracy);
  follow(real_score, record.real_score);
  follow(fake_score, record.fake_score);
}

void Findings::judge_balance(const MetricsRecord& record, std::uint64_t steps, std::vector<Finding>& begun) {
  balance_.add(record, steps);
  if (balance_.steps < balance_steps) return;
  const Balance d = std::exchange(balance_, {});
  see(Kind::discriminator_wins,
      !training_.differences && std::min(d.real_accuracy, d.fake_accuracy) >= sure &&
          std::min(d.real_score, -d.fake_score) >= sure_logit,
      record.step, d.steps,
      "D wins: it is right about " + percent(d.real_accuracy) + " of real and " + percent(d.fake_accuracy) +
          " of generated images, and G has little to learn from it; " +
          (training_.r1 > 0 ? stronger("r1", training_.r1) : "a gradient penalty (--r1)") +
          ", --instance-noise or a "
          "smaller --discriminator-learning-rate weakens it",
      begun);
  see(Kind::generator_wins, !training_.differences && d.real_accuracy <= lost && d.fake_accuracy <= lost, record.step,
      d.steps,
      "G wins: D is right about " + percent(d.real_accuracy) + " of real and " + percent(d.fake_accuracy) +
          " of generated images alone; a greater --discriminator-learning-rate or more --d-steps strengthen it",
      begun);
}

const Finding* Findings::current(Kind kind) const {
  const State& state = states_[static_cast<std::size_t>(kind)];
  return state.found && !all_[*state.found].until ? &all_[*state.found] : nullptr;
}

bool Findings::any() const {
  return std::any_of(all_.begin(), all_.end(), [](const Finding& finding) { return !finding.until; });
}

void Findings::see(Kind kind, bool now, std::uint64_t step, std::uint64_t weight, const std::string& text,
                   std::vector<Finding>& begun) {
  State& state = states_[static_cast<std::size_t>(kind)];
  const bool before = present(kind);
  if (now == before) {
    state.in_a_row = 0;
    return;
  }
  if (state.in_a_row == 0) state.since = step;
  state.in_a_row += weight;
  if (state.in_a_row < about(kind).needed) return;
  state.in_a_row = 0;
  if (before) {
    all_[*state.found].until = state.since;
    return;
  }
  state.found = all_.size();
  all_.push_back({kind, state.since, {}, text});
  begun.push_back(all_.back());
}

std::optional<double> Findings::Norms::usual() {
  if (last.size() < least_norms) return std::nullopt;
  const double middle = median(std::vector<double>(last.begin(), last.end()));
  greatest_median = std::max(greatest_median, middle);
  const double usual = std::max(middle, least_usual * greatest_median);
  return usual > 0 ? std::optional(usual) : std::nullopt;
}

void Findings::Norms::add(double norm) {
  if (!std::isfinite(norm)) return;
  last.push_back(norm);
  if (last.size() > remembered_norms) last.pop_front();
}

const char* finding_name(Kind kind) { return about(kind).name; }

}  // namespace ganymede
