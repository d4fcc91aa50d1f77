// Fetches a set's files over HTTPS into the user's cache: mirrors in order, one deadline for all, every file
// checked by SHA-256 before it is put in place.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace ganymede::data {

/// A file that mirrors serve gzipped, as name + ".gz".
struct RemoteFile {
  std::string name;
  std::uint64_t size = 0;  ///< bytes unpacked
  std::string sha256;      ///< of the unpacked bytes, in lower-case hex
};

struct FetchSettings {
  std::vector<std::string> mirrors;                              ///< https addresses that end in a slash
  std::chrono::milliseconds deadline = std::chrono::minutes(5);  ///< for all files from all mirrors
  std::filesystem::path authorities = {};  ///< PEM file of the authorities to trust; empty: the system's
};

/// MNIST's four files and who serves them.
const std::vector<RemoteFile>& mnist_files();
const FetchSettings& mnist_fetch_settings();

/// Brings the files that `folder` lacks into it, unpacked. Each is written aside and renamed, so that
/// processes that fetch at the same time do no harm to each other, and what is there is whole and checked.
/// Throws Error(data) that tells what each mirror answered and which files to put where by hand.
void fetch(const std::vector<RemoteFile>& files, const std::filesystem::path& folder, const FetchSettings& settings);

/// SHA-256 in lower-case hex.
std::string sha256(std::string_view bytes);

}  // namespace ganymede::data
