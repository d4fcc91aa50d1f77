// See nan_guard.hpp.
#include "train/nan_guard.hpp"

namespace ganymede {

NanGuard::Verdict NanGuard::judge(const GanStep::NotFinite& known) {
  if (known.count == seen_) return Verdict::fine;
  seen_ = known.count;
  if (policy_ == "stop") return Verdict::fail;
  if (policy_ == "skip") return known.longest < row_to_give_up ? Verdict::skipped : Verdict::fail;
  if (known.longest < row_to_roll_back) return Verdict::skipped;
  return rollbacks_ < most_rollbacks ? Verdict::roll_back : Verdict::fail;
}

}  // namespace ganymede
