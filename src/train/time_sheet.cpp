// See time_sheet.hpp.
#include "train/time_sheet.hpp"

namespace ganymede {
namespace {

using Part = TimeSheet::Part;

const char* name_of(Part part) {
  switch (part) {
    case Part::record:
      return "record";
    case Part::comparison:
      return "comparing replicas";
    case Part::diagnosis:
      return "diagnosis";
    case Part::evaluation:
      return "evaluation";
    case Part::picture:
      return "picture";
    case Part::histograms:
      return "histograms";
    case Part::checkpoint:
      return "checkpoint";
    case Part::report:
      return "report";
    case Part::rollback:
      return "roll-back";
    case Part::final_weights:
      return "final weights";
    case Part::count:
      break;
  }
  return "";
}

}  // namespace

TimeSheet::Stage::Stage(TimeSheet& sheet, Part part) noexcept : sheet_(sheet), part_(part), stage_(name_of(part)) {}

TimeSheet::Stage::~Stage() {
  const auto at = static_cast<std::size_t>(part_);
  sheet_.seconds_[at] += watch_.seconds();
  sheet_.waited_[at] += watch_.seconds_waited();
  // The marks are about to be those from before this stage.
  if (std::uncaught_exceptions() > exceptions_ && !sheet_.failed_at_)
    sheet_.failed_at_ = comm::read(heartbeat::pulse());
}

RankTiming TimeSheet::all() const {
  RankTiming timing;
  timing.steps = steps_;
  timing.seconds = watch_.seconds();
  double known = 0;
  const auto add = [&](const char* name, double seconds, double waited) {
    timing.parts.emplace_back(name, seconds - waited);
    timing.waiting += waited;
    known += seconds;
  };
  if (divided_)
    for (int p = 0; p < static_cast<int>(Phase::count); ++p) {
      const auto phase = static_cast<Phase>(p);
      add(phase_name(phase), phases_.seconds(phase), phases_.seconds_waited(phase));
    }
  for (int p = 0; p < static_cast<int>(Part::count); ++p) {
    const auto at = static_cast<std::size_t>(p);
    add(name_of(static_cast<Part>(p)), seconds_[at], waited_[at]);
  }
  // Undivided, the steps are all that no stage has: a device may be at work for some time after they were begun.
  timing.parts.emplace_back(divided_ ? "other" : undivided_steps, timing.seconds - known);
  return timing;
}

}  // namespace ganymede
