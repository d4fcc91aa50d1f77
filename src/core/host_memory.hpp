// How much memory there is on this host for this process.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace ganymede {

/// Bytes that processes here may still take: what the kernel thinks it can give without swapping, or less where a
/// control group grants less. 0 where neither is known.
std::size_t available_host_memory();

/// The most that this process has had of it, in bytes.
std::size_t peak_host_memory();

/// Where the limits of this process's control group for `controller` ("cpu", "memory") may stand: v2's and v1's
/// folders. In a container its own group is the root that it sees; on a host /proc/self/cgroup says where it is.
std::vector<std::filesystem::path> control_groups(const std::string& controller);

}  // namespace ganymede
