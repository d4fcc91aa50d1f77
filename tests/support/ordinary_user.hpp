// For tests of what permissions forbid, which they do not forbid to root.
#pragma once

#include <unistd.h>

#include <filesystem>

namespace ganymede::test {

/// Should the process be root's, makes it an ordinary user's while this lives, and `folder` that user's; false where
/// root may not.
class AsOrdinaryUser {
 public:
  explicit AsOrdinaryUser(const std::filesystem::path& folder) : was_root_(geteuid() == 0) {
    if (!was_root_) return;
    works_ = chown(folder.c_str(), nobody, static_cast<gid_t>(-1)) == 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
      works_ = works_ && chown(entry.path().c_str(), nobody, static_cast<gid_t>(-1)) == 0;
    works_ = works_ && seteuid(nobody) == 0;
  }
  AsOrdinaryUser(const AsOrdinaryUser&) = delete;
  AsOrdinaryUser& operator=(const AsOrdinaryUser&) = delete;
  ~AsOrdinaryUser() {
    if (was_root_ && works_ && seteuid(0) != 0) _exit(1);
  }
  explicit operator bool() const { return works_; }

 private:
  static constexpr uid_t nobody = 65534;
  bool was_root_;
  bool works_ = true;
};

}  // namespace ganymede::test
