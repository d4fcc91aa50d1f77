// Memory that processes of one node share: a file that all map and whose name is gone once they have.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ganymede::comm {

/// Zeroed memory of this process alone, 64-byte aligned; never null. Throws std::bad_alloc.
std::shared_ptr<void> private_memory(std::size_t bytes);

/// Where to put shared memory, best first: /dev/shm, which is small in many containers, then $TMPDIR, /tmp.
std::vector<std::filesystem::path> shared_memory_folders();

/// Creates a file of `bytes` zeros whose space is reserved (a write to a mapping can then not fail) and which
/// only this user can open, in the first of `folders` that has room. Empty when none has.
std::filesystem::path create_shared_file(const std::vector<std::filesystem::path>& folders, std::size_t bytes);

/// Maps a file that create_shared_file made; null when it cannot be opened from here.
std::shared_ptr<void> map_shared_file(const std::filesystem::path& file, std::size_t bytes);

}  // namespace ganymede::comm
