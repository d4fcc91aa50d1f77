// See replicas.hpp.
#include "train/replicas.hpp"

#include <algorithm>
#include <cstddef>
#include <map>

#include "core/files.hpp"

namespace ganymede {
namespace {

std::string array_digest(const DeviceArray<float>& array) {
  const std::vector<float> values = array.host();
  return digest({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

}  // namespace

std::string replica_digest(const Gan& gan) {
  std::string all = array_digest(gan.generator.parameter_array()) + array_digest(gan.discriminator.parameter_array());
  for (Optimizer* optimizer : {gan.generator_optimizer.get(), gan.discriminator_optimizer.get()})
    for (const Optimizer::State& state : optimizer->state()) all += array_digest(state.values);
  if (gan.average.size() > 0) all += array_digest(gan.average);
  return digest(all);
}

OddReplicas odd_replicas(const std::vector<std::string>& digests, const std::vector<std::string>& hosts) {
  std::map<std::string, std::size_t> votes;
  for (const std::string& digest : digests) ++votes[digest];
  if (votes.size() <= 1) return {};
  const auto most =
      std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const bool majority = 2 * most->second > digests.size();
  std::string odd;
  for (std::size_t r = 0; r < digests.size(); ++r)
    if (!majority || digests[r] != most->first)
      odd += (odd.empty() ? "" : ", ") + std::to_string(r) + " on " + hosts[r];
  if (majority) return {"rank " + odd + " is not as the others", "without that host"};
  return {"ranks " + odd + " do not agree",
          "and first without the one, then without the other host, to find out which"};
}

}  // namespace ganymede
