// Files as a program that must lose nothing treats them: read whole, written aside and renamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace ganymede {

/// The whole file. Throws Error(data) with the system's reason, and for a file of more than `limit` bytes
/// (0: no limit), which it does not read to the end: where the file has a size, not at all.
std::string read_file(const std::filesystem::path& file, std::size_t limit = 0);

/// Looks at what a file of `size` bytes begins with, and returns how many bytes of it have to be there for more to be
/// told: so many as there are, or fewer, when all has been. What it throws refuses the file.
using FileJudge = std::function<std::size_t(std::string_view start, std::uint64_t size)>;

/// The same of a file that `judge` has seen the start of before there is memory for the rest, unless the file has no
/// size (a pipe).
std::string read_file(const std::filesystem::path& file, const FileJudge& judge);

/// Writes a file beside `name` (mode 0600 until complete, then as the umask says), fsyncs it, renames it
/// onto `name` and fsyncs the folder. A symbolic link stays, and what it leads to is replaced; a device or a pipe is
/// written to as it is. Throws Error(data) with the system's reason and leaves no trace; so does what `permit` throws,
/// which is called before the rename, or before a device or a pipe is written to.
void write_file_atomically(const std::filesystem::path& name, std::string_view bytes,
                           const std::function<void()>& permit = {});

/// Reads a file that write_file_atomically() has written back, from the disk where its file system does not keep it in
/// memory all the same. Throws Error(data) unless it holds `bytes`.
void check_written(const std::filesystem::path& file, std::string_view bytes);

/// A file that grows piece by piece: a piece is there to its last byte, or nothing of it, also for whoever reads it
/// meanwhile.
class AppendedFile {
 public:
  /// Opens it at its end, and makes it when it is missing. Throws Error(data).
  explicit AppendedFile(std::filesystem::path file);
  AppendedFile(const AppendedFile&) = delete;
  AppendedFile& operator=(const AppendedFile&) = delete;
  ~AppendedFile();
  /// Throws Error(data); the file is then as it was.
  void append(std::string_view bytes);

 private:
  std::filesystem::path path_;
  int file_;
};

/// Writes all of `text` to an open file, as far as that goes.
void write_out(int file, std::string_view text) noexcept;

/// The name of the file that write_file_atomically() would have put in place, by that of what it leaves beside it when
/// the process is killed; empty for any other name.
std::string name_of_unfinished(std::string_view name);

/// Whether write_file_atomically() could write there, as far as that can be told without trying: for what takes long to
/// make. Throws Error(data) that says why not.
void check_file_place(const std::filesystem::path& name);

/// fsync of a file that others append to; of one that is missing nothing. Throws Error(data).
void sync_file(const std::filesystem::path& file);

/// fsync of a folder, so that a rename in it survives a power cut.
void sync_folder(const std::filesystem::path& folder);

/// Creates a folder and its parents; throws Error(data).
void make_folders(const std::filesystem::path& folder);

/// The folder with the program's own files (recipes, mnist-mini): $GANYMEDE_SHARE, else
/// ../share/ganymede beside the executable's folder, else the one of set_installed_share_folder().
/// Throws Error(data) that names the places looked at.
std::filesystem::path share_folder();

/// Two lower-case hex digits a byte.
std::string hex(std::span<const unsigned char> bytes);

/// XXH3-128 in hex: 32 digits, as `xxhsum -H2` prints them.
std::string digest(std::string_view bytes);
/// The same of several pieces, one after the other.
std::string digest(std::initializer_list<std::string_view> pieces);

}  // namespace ganymede
