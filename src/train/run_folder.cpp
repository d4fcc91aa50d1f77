// See run_folder.hpp.
#include "train/run_folder.hpp"

#include <cinttypes>
#include <cstdio>

#include "core/files.hpp"

namespace ganymede {

std::filesystem::path RunFolder::sample(std::uint64_t step) const {
  char name[40];
  std::snprintf(name, sizeof name, "step-%08" PRIu64 ".png", step);
  return samples() / name;
}

std::filesystem::path RunFolder::log(int rank) const {
  char name[40];
  std::snprintf(name, sizeof name, "rank-%04d.log", rank);
  return root_ / "logs" / name;
}

void RunFolder::make() const {
  make_folders(samples());
  make_folders(root_ / "logs");
  make_folders(root_ / "checkpoints");
}

}  // namespace ganymede
