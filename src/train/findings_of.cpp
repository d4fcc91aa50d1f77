// See findings_of.hpp.
#include "train/findings_of.hpp"

#include "gan/losses.hpp"
#include "ganymede/error.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

Findings findings_of(const std::map<std::string, std::string>& options) {
  TrainOptions known;
  known.loss = "non-saturating";
  known.r1 = 0;
  known.r2 = 0;
  for (const char* name : {"loss", "r1", "r2"}) {
    const auto found = options.find(name);
    if (found == options.end()) continue;
    const OptionSpec& spec = *find_train_option(name);
    try {
      spec.set(known, spec, found->second);
    } catch (const Error&) {
      // Another version's: as most runs have it.
    }
  }
  return Findings({loss_of_differences(loss_index(known.loss)), known.r1, known.r2});
}

}  // namespace ganymede
