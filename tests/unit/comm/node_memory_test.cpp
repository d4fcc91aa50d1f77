// Files that hold shared memory: where they are made, who may open them, what happens without room.
#include "comm/node_memory.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

namespace ganymede::comm {
namespace {

namespace fs = std::filesystem;

class NodeMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("ganymede-node-memory-" + std::to_string(getpid()));
    fs::create_directory(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path folder_;
};

TEST_F(NodeMemory, IsForThisUserAlone) {
  const fs::path file = create_shared_file({folder_}, 12345);
  ASSERT_FALSE(file.empty());
  struct stat status = {};
  ASSERT_EQ(stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
  EXPECT_EQ(status.st_size, 12345);
  EXPECT_GE(status.st_blocks * 512, 12345);  // reserved, not a hole that could fail later
}

TEST_F(NodeMemory, IsOneMemoryForAllWhoMapIt) {
  const fs::path file = create_shared_file({folder_}, 5000);
  const auto first = map_shared_file(file, 5000);
  const auto second = map_shared_file(file, 5000);
  fs::remove(file);
  ASSERT_NE(first, nullptr);
  ASSERT_NE(second, nullptr);
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(static_cast<char*>(first.get())[i], 0);
  static_cast<char*>(first.get())[4999] = 'x';
  EXPECT_EQ(static_cast<char*>(second.get())[4999], 'x');
}

TEST_F(NodeMemory, TakesTheFirstFolderWithRoom) {
  const fs::path readable = folder_ / "file";
  std::ofstream(readable) << "not a folder";
  const fs::path file = create_shared_file({"/nonexistent", readable, folder_, "/tmp"}, 100);
  EXPECT_EQ(file.parent_path(), folder_);
}

TEST_F(NodeMemory, HasNoFileWhereNothingHasRoom) {
  EXPECT_TRUE(create_shared_file({}, 1).empty());
  EXPECT_TRUE(create_shared_file({folder_}, std::size_t{1} << 50U).empty());
  EXPECT_TRUE(create_shared_file({folder_}, ~std::size_t{0}).empty());

  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_TRUE(create_shared_file({folder_}, 10000).empty());
  EXPECT_FALSE(create_shared_file({folder_}, 4096).empty());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
}

TEST_F(NodeMemory, IsNotMappedBeyondTheFileOrThroughALink) {
  const fs::path file = create_shared_file({folder_}, 100);
  EXPECT_EQ(map_shared_file(file, 101), nullptr);
  EXPECT_EQ(map_shared_file(folder_ / "missing", 1), nullptr);
  fs::create_symlink(file, folder_ / "link");
  EXPECT_EQ(map_shared_file(folder_ / "link", 100), nullptr);
}

TEST(SharedMemoryFolders, PreferMemoryThenTheUsersTemporaryFolder) {
  setenv("TMPDIR", "/somewhere", 1);
  EXPECT_EQ(shared_memory_folders(), (std::vector<fs::path>{"/dev/shm", "/somewhere", "/tmp"}));
  unsetenv("TMPDIR");
  EXPECT_EQ(shared_memory_folders(), (std::vector<fs::path>{"/dev/shm", "/tmp"}));
}

}  // namespace
}  // namespace ganymede::comm
