// See host_memory.hpp.
#include "core/host_memory.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <tuple>

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

std::optional<std::uint64_t> number_in(const fs::path& file) {
  std::ifstream in(file);
  std::uint64_t value = 0;
  if (in >> value) return value;
  return {};  // "max", or no such file
}

// A line "name value" or "name: value kB".
std::uint64_t value_of(const fs::path& file, const std::string& name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string first;
    std::uint64_t value = 0;
    if (words >> first >> value && first == name) return value;
  }
  return 0;
}

std::uint64_t left_in_group(const fs::path& group) {
  for (const auto& [limit_file, used_file, cache] :
       {std::tuple("memory.max", "memory.current", "inactive_file"),
        std::tuple("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")}) {
    const auto limit = number_in(group / limit_file);
    const auto used = number_in(group / used_file);
    if (!limit || !used) continue;
    // Files that the kernel keeps in memory because nobody else wants it.
    const std::uint64_t kept = std::min(*used, value_of(group / "memory.stat", cache));
    return *limit > *used - kept ? *limit - (*used - kept) : 0;
  }
  return unlimited;
}

}  // namespace

std::size_t available_host_memory() {
  std::uint64_t least = value_of("/proc/meminfo", "MemAvailable:") * 1024;
  if (least == 0) least = unlimited;
  for (const fs::path& group : control_groups("memory")) least = std::min(least, left_in_group(group));
  return least == unlimited ? 0 : least;
}

std::size_t peak_host_memory() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

std::vector<fs::path> control_groups(const std::string& controller) {
  const fs::path root = "/sys/fs/cgroup";
  std::vector<fs::path> places = {root};
  std::ifstream own("/proc/self/cgroup");
  for (std::string line; std::getline(own, line);) {
    if (line.starts_with("0::/")) places.push_back(root / line.substr(4));
    if (const auto at = line.find(":/"); line.find(":" + controller) != std::string::npos && at != std::string::npos)
      places.push_back(root / controller / line.substr(at + 2));
  }
  places.push_back(root / controller);
  return places;
}

}  // namespace ganymede
