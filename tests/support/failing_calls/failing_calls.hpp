// System calls that fail on demand: a library whose open(), write(), fsync(), rename() … take the place of libc's in a
// program that is linked with it, or started with LD_PRELOAD. Only calls on paths that contain a given text count.
//
// A preloaded one reads GANYMEDE_FAILING_CALLS = "PATH:FIRST:LAST:ERROR" (see Failures; ERROR as a number).
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace ganymede::test {

struct Failures {
  const char* path;    ///< calls count whose file's name contains it; must stay where it is
  std::int64_t first;  ///< of the counted calls, from 0, the first that fails
  std::int64_t last;   ///< and the last
  int error;           ///< errno of them; 0: writes write half of what they are given, the others work; -N: none
                       ///< fails, and each takes N ms more; `garbled`: none fails, and writes write something else
  bool looks = false;  ///< calls that change nothing count as well: read(), pread(), stat(), readdir(), …; of error 0
                       ///< reads read half of what is there
};
constexpr int garbled = std::numeric_limits<int>::max();

/// From now on; the count begins at 0.
void arm(const Failures& failures);
/// No call fails any more. Returns how many have counted.
std::int64_t disarm();
/// How many did not do what they were asked to.
std::int64_t failed_calls();

struct Call {
  std::string name;  ///< "open", "write", "fsync", "rename", …
  std::string path;
  std::string to;  ///< of a rename
};
/// From now on calls are kept on paths that contain `path`; null: none is, any more.
void record(const char* path);
/// Those since then, in the order in which they began.
std::vector<Call> recorded();

}  // namespace ganymede::test
