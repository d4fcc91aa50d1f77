// What a run's records say in words: that samples have collapsed, that D or G has won, that a gradient explodes. It
// is a function of the records alone, so that a run that is resumed, and whoever reads metrics.jsonl, finds the same.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "ganymede/metrics.hpp"

namespace ganymede {

struct Finding {
  enum class Kind {
    collapse,
    discriminator_wins,
    generator_wins,
    steep_discriminator,
    discriminator_gradient,
    generator_gradient,
    overfitting_discriminator
  };
  static constexpr int kinds = 7;

  Kind kind;
  std::uint64_t since = 0;             ///< the step of the first record of it
  std::optional<std::uint64_t> until;  ///< that of the first without it; none: it goes on
  std::string text;                    ///< a sentence, and what helps
};

/// Follows a run's records from the first to the last.
class Findings {
 public:
  /// What the run was told, as far as it matters here.
  struct Training {
    /// Its loss looks at differences of D's outputs alone, so that neither side is right or wrong by itself.
    bool differences = false;
    double r1 = 0;  ///< γ of the penalties that are advised
    double r2 = 0;
  };

  explicit Findings(Training training) : training_(training) {}
  Findings() = default;

  /// What began with this record.
  std::vector<Finding> follow(const MetricsRecord& record);
  /// All so far, in the order in which they began.
  [[nodiscard]] const std::vector<Finding>& all() const { return all_; }
  /// That of this kind which goes on; null where none does.
  [[nodiscard]] const Finding* current(Finding::Kind kind) const;
  [[nodiscard]] bool present(Finding::Kind kind) const { return current(kind) != nullptr; }
  [[nodiscard]] bool any() const;
  /// Whether samples varied more at the newest diagnosis than at the one before.
  [[nodiscard]] bool recovering() const { return recovering_; }

 private:
  /// A thing is found once enough says so in a row, records, diagnoses or steps, and gone once as much does not.
  struct State {
    std::uint64_t in_a_row = 0;
    std::uint64_t since = 0;
    std::optional<std::size_t> found;  // in all_
  };
  /// A gradient's norms, of which the median says what is usual.
  struct Norms {
    std::deque<double> last;
    double greatest_median = 0;
    [[nodiscard]] std::optional<double> usual();
    void add(double norm);
  };

  /// What D makes of images, as means over steps; added up over as many as a judgement takes, however few of them a
  /// record has.
  struct Balance {
    std::uint64_t steps = 0;
    double real_accuracy = 0;
    double fake_accuracy = 0;
    double real_score = 0;
    double fake_score = 0;
    void add(const MetricsRecord& record, std::uint64_t steps_of_record);
  };

  void judge_balance(const MetricsRecord& record, std::uint64_t steps, std::vector<Finding>& begun);
  /// `weight`: how much says so, as needed() counts it.
  void see(Finding::Kind kind, bool now, std::uint64_t step, std::uint64_t weight, const std::string& text,
           std::vector<Finding>& begun);

  Training training_;
  std::vector<Finding> all_;
  State states_[Finding::kinds];
  Norms discriminator_norms_;
  Norms generator_norms_;
  Balance balance_;                                 // since it was last judged
  double diagnosed_step_ = MetricsRecord::unknown;  // of the diagnosis before
  double greatest_diversity_ = 0;
  double diversity_ = MetricsRecord::unknown;  // at the newest diagnosis
  bool recovering_ = false;
  bool varied_ = false;     // samples have been
  double path_ = 0;         // of G's parameters, in multiples of their norm
  std::uint64_t step_ = 0;  // of the record before
};

/// As metrics.jsonl's readers name it: "collapse".
const char* finding_name(Finding::Kind kind);

}  // namespace ganymede
