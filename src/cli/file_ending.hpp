// Whether the name of a file that is to be written belongs to what is written.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace ganymede::cli {

/// Throws Error(usage) where `out` ends as files of another kind do than `what` that is written ("PNG"): the next
/// program alone would find that out; and where it is "-", by which a file of that name is hardly meant. `option` has
/// named it. `own` are the endings that `what` has, the usual one first. Endings that name no kind of file are as good
/// as none.
void refuse_other_ending(const std::filesystem::path& out, const std::string& what, const std::vector<std::string>& own,
                         const std::string& option = "--out");

}  // namespace ganymede::cli
