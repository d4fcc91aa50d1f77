// Whole-file reading, atomic writing, the share folder, digests.
#include "core/files.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "ganymede/error.hpp"
#include "support/environment.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;
using test::Environment;
using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

template <class Action>
std::string error_of(const Action& action) {
  std::string said = testing::refusal(ExitCode::data, action);
  EXPECT_NE(said, "") << "did not fail";
  return said;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  return names;
}

mode_t mode_of(const fs::path& file) {
  struct stat status {};
  EXPECT_EQ(stat(file.c_str(), &status), 0);
  return status.st_mode & 07777;
}

class Umask {
 public:
  explicit Umask(mode_t mask) : old_(umask(mask)) {}
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;
  ~Umask() { umask(old_); }

 private:
  mode_t old_;
};

TEST(ReadFile, GivesAllBytes) {
  const TemporaryFolder folder;
  for (const std::size_t size : {0U, 1U, 4095U, 4096U, 4097U, 3'000'001U}) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * i % 253);
    std::ofstream(folder / "file", std::ios::binary) << bytes;
    EXPECT_EQ(read_file(folder / "file"), bytes);
    if (size > 0) {
      EXPECT_EQ(read_file(folder / "file", size), bytes);
      if (size > 1) {
        EXPECT_THAT(error_of([&] { read_file(folder / "file", size - 1); }),
                    HasSubstr("expected at most " + std::to_string(size - 1) + " bytes"));
      }
    }
  }
}

TEST(ReadFile, ReadsWhatHasNoSize) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  const std::string bytes(200'000, 'x');
  const std::jthread writer([&] { std::ofstream(folder / "pipe", std::ios::binary) << bytes; });
  EXPECT_EQ(read_file(folder / "pipe"), bytes);
}

TEST(ReadFile, SaysWhyItCannot) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { read_file(folder / "absent"); }),
              AllOf(HasSubstr((folder / "absent").string()), HasSubstr("No such file")));
  EXPECT_THAT(error_of([&] { read_file(folder.path()); }), HasSubstr("Is a directory"));
}

TEST(WriteFileAtomically, WritesAndReplaces) {
  const TemporaryFolder folder;
  const Umask mask(027);
  for (const std::string& bytes : {std::string("first"), std::string(), std::string(5'000'000, 'y')}) {
    write_file_atomically(folder / "file", bytes);
    EXPECT_EQ(read_file(folder / "file"), bytes);
    EXPECT_EQ(mode_of(folder / "file"), 0640U);
    EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("file"));
  }
}

TEST(WriteFileAtomically, TakesANameWithoutAFolder) {
  const TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  write_file_atomically("file", "bytes");
  fs::current_path(before);
  EXPECT_EQ(read_file(folder / "file"), "bytes");
}

TEST(WriteFileAtomically, FollowsSymbolicLinks) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "far");
  fs::create_symlink("far/link", folder / "link");
  fs::create_symlink("file", folder / "far/link");  // relative to its own folder
  for (const char* const bytes : {"first", "second"}) {
    write_file_atomically(folder / "link", bytes);
    EXPECT_TRUE(fs::is_symlink(folder / "link") && fs::is_symlink(folder / "far/link"));
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(folder / "far/file")));
    EXPECT_EQ(read_file(folder / "far/file"), bytes);
  }
  EXPECT_THAT(names_in(folder / "far"), ::testing::UnorderedElementsAre("link", "file"));
  fs::create_symlink("circle", folder / "circle");
  EXPECT_THAT(error_of([&] { write_file_atomically(folder / "circle", "x"); }), HasSubstr("cannot be followed"));
}

TEST(WriteFileAtomically, WritesIntoAPipe) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  fs::create_symlink("pipe", folder / "link");
  const std::string bytes(200'000, 'x');
  for (const char* const name : {"pipe", "link"}) {
    std::string got;
    std::jthread reader([&] { got = read_file(folder / "pipe"); });
    write_file_atomically(folder / name, bytes);
    reader.join();
    EXPECT_EQ(got, bytes);
    EXPECT_TRUE(fs::is_fifo(folder / "pipe"));
  }
}

TEST(WriteFileAtomically, WritesIntoADevice) {
  const TemporaryFolder folder;
  // As /dev/null, without touching the machine's.
  if (mknod((folder / "null").c_str(), S_IFCHR | 0600, makedev(1, 3)) != 0) GTEST_SKIP() << "only root makes devices";
  write_file_atomically(folder / "null", "bytes");
  EXPECT_TRUE(fs::is_character_file(folder / "null"));
  EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("null"));
}

// As /dev/stdout is where the shell has opened a file that was then removed.
TEST(WriteFileAtomically, WritesIntoAnOpenFileWithoutAName) {
  const TemporaryFolder folder;
  const int file = ::open((folder / "file").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(file, 0);
  fs::remove(folder / "file");
  const std::string name = "/proc/self/fd/" + std::to_string(file);
  write_file_atomically(name, "bytes");
  EXPECT_EQ(read_file(name), "bytes");
  // What is not permitted is not written there either.
  EXPECT_THROW(write_file_atomically(name, "others", [] { throw Error(ExitCode::data, "no"); }), Error);
  EXPECT_NE(read_file(name), "others");
  ::close(file);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(WriteFileAtomically, LeavesNoTraceWhenItFails) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { write_file_atomically(folder / "absent/file", "x"); }),
              AllOf(HasSubstr((folder / "absent/file").string()),
                    HasSubstr("there is no folder " + (folder / "absent").string())));
  fs::create_directories(folder / "taken/inside");
  EXPECT_THAT(error_of([&] { write_file_atomically(folder / "taken", "x"); }),
              HasSubstr("taken is a folder: name a file"));
  EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("taken"));
}

// A disk with room for 10 000 bytes, as far as a process can have one of its own.
class LittleRoom {
 public:
  LittleRoom() {
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before_), 0);
    rlimit small = before_;
    small.rlim_cur = 10'000;
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  }
  LittleRoom(const LittleRoom&) = delete;
  LittleRoom& operator=(const LittleRoom&) = delete;
  ~LittleRoom() { EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before_), 0); }

 private:
  rlimit before_{};
};

const std::string too_much(20'000, 'n');

TEST(WriteFileAtomically, KeepsTheOldFileWhenThereIsNoRoom) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "file", "old");
  std::string message;
  {
    auto* const before = std::signal(SIGXFSZ, SIG_IGN);
    const LittleRoom room;
    message = error_of([&] { write_file_atomically(folder / "file", too_much); });
    std::signal(SIGXFSZ, before);
  }
  EXPECT_THAT(message, AllOf(HasSubstr("cannot be written"), HasSubstr("too large")));
  EXPECT_EQ(read_file(folder / "file"), "old");
  EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("file"));
}

void write_too_much(const fs::path& file) {
  const rlimit no_core{};
  setrlimit(RLIMIT_CORE, &no_core);
  const LittleRoom room;
  write_file_atomically(file, too_much);
}

// Whatever the umask, nobody else reads what is not complete: seen in what a process leaves that dies while it writes.
TEST(WriteFileAtomically, KeepsToItselfWhatIsHalfDone) {
  const TemporaryFolder folder;
  const Umask mask(0);
  EXPECT_EXIT(write_too_much(folder / "file"), ::testing::KilledBySignal(SIGXFSZ), "");
  const std::vector<std::string> left = names_in(folder.path());
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(fs::file_size(folder / left[0]), 10'000U);
  EXPECT_EQ(mode_of(folder / left[0]), 0600U);
  write_file_atomically(folder / "file", "whole");
  EXPECT_EQ(mode_of(folder / "file"), 0666U);
}

// Readers see one of the whole files, never a part or nothing.
TEST(WriteFileAtomically, IsNeverSeenHalfDone) {
  const TemporaryFolder folder;
  const std::string a(300'000, 'a');
  const std::string b(200'000, 'b');
  write_file_atomically(folder / "file", a);
  std::vector<std::jthread> writers;
  for (int i = 0; i < 3; ++i) {
    writers.emplace_back([&] {
      for (int round = 0; round < 10; ++round) write_file_atomically(folder / "file", round % 2 == 0 ? b : a);
    });
  }
  for (int round = 0; round < 100; ++round) {
    const std::string seen = read_file(folder / "file");
    EXPECT_TRUE(seen == a || seen == b);
  }
  writers.clear();
  EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("file"));
}

TEST(MakeFolders, MakesParentsAndTakesWhatIsThere) {
  const TemporaryFolder folder;
  make_folders(folder / "a/b/c");
  make_folders(folder / "a/b/c");
  EXPECT_TRUE(fs::is_directory(folder / "a/b/c"));
  write_file_atomically(folder / "a/file", "x");
  for (const char* blocked : {"a/file", "a/file/below"}) {
    EXPECT_THAT(error_of([&] { make_folders(folder / blocked); }),
                AllOf(HasSubstr((folder / blocked).string()), HasSubstr("the folder cannot be made")));
  }
  sync_folder(folder / "a/b");
  EXPECT_THAT(error_of([&] { sync_folder(folder / "absent"); }), HasSubstr("No such file"));
}

TEST(ShareFolder, IsTheOneThatTheUserNames) {
  const TemporaryFolder folder;
  {
    const Environment chosen("GANYMEDE_SHARE", folder.path().string());
    EXPECT_EQ(share_folder(), folder.path());
  }
  const Environment wrong("GANYMEDE_SHARE", (folder / "absent").string());
  EXPECT_THAT(error_of([] { (void)share_folder(); }),
              AllOf(HasSubstr("GANYMEDE_SHARE"), HasSubstr((folder / "absent").string())));
}

// The build tree has the layout of an installation.
TEST(ShareFolder, IsFoundBesideTheProgram) {
  const Environment unset("GANYMEDE_SHARE", std::nullopt);
  EXPECT_EQ(share_folder(), fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "share/ganymede");
  EXPECT_TRUE(fs::exists(share_folder() / "data/mnist-mini/train-images-idx3-ubyte.gz"));
}

TEST(Digest, IsXxh3Of128Bits) {
  EXPECT_EQ(digest("abc"), "06b05ab6733a618578af5f94892f3950");
  EXPECT_EQ(digest(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(digest({"a", "", "bc"}), digest("abc"));
  const std::string large(100'000, 'q');
  EXPECT_EQ(digest({large.substr(0, 77), large.substr(77)}), digest(large));
}

TEST(Hex, WritesTwoDigitsAByte) {
  const std::vector<unsigned char> bytes = {0x00, 0x0f, 0xa5, 0xff};
  EXPECT_EQ(hex(bytes), "000fa5ff");
}

}  // namespace
}  // namespace ganymede
