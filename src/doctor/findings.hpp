// What is wrong with a launch, from what its ranks have seen, and how to mend it. Plain functions of their arguments.
#pragma once

#include <string>
#include <vector>

#include "doctor/facts.hpp"
#include "doctor/links.hpp"

namespace ganymede::doctor {

struct Finding {
  bool error;        ///< prevents training, or makes it wrong; else it may be slow, or fail later
  std::string what;  ///< a sentence that names ranks, hosts, numbers
  std::string mend;  ///< what to do
};

/// All that the ranks, in order, know of a launch. `blind` are hosts that do not see what rank 0 wrote in the folder.
std::vector<Finding> examine(const std::vector<Facts>& ranks, const Links& links, const Folder& folder,
                             const std::vector<std::string>& blind);

/// The bandwidth, in bytes a second, that the slowest host's fastest interface gives to a sum over hosts (each host
/// sends and receives 2(h - 1)/h times the array); 0 where no driver says.
double expected_bandwidth(const std::vector<Facts>& ranks, int hosts);

/// "85 µs", "1.2 ms", "3.4 s".
std::string time_text(double seconds);
/// "10 Gbit/s", "100 Mbit/s", "unknown speed" for 0.
std::string speed_text(double megabits);

}  // namespace ganymede::doctor
