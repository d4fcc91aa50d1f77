// Fetching from mirrors that serve well, badly or not at all.
#include "data/fetch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "core/files.hpp"
#include "ganymede/error.hpp"
#include "support/environment.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"
#include "unit/data/https_server.hpp"
#include "unit/data/idx_bytes.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using data::FetchSettings;
using data::RemoteFile;
using test::Environment;
using test::gzip;
using test::HttpsServer;
using test::Reply;
using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  if (fs::exists(folder)) {
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class FetchTest : public ::testing::Test {
 protected:
  // What a good mirror serves, and a mirror that serves it but for `changes`.
  [[nodiscard]] static Reply good(const std::string& path) {
    const std::map<std::string, std::string> served = {{"/set/one.gz", gzip(one)}, {"/set/two.gz", gzip(two)}};
    const auto found = served.find(path);
    if (found == served.end()) return {.status = 404, .body = "no such thing"};
    return {.body = found->second};
  }
  [[nodiscard]] HttpsServer::Answer but(const std::string& path, const Reply& reply) const {
    return [=](const std::string& asked) { return asked == path ? reply : good(asked); };
  }
  [[nodiscard]] fs::path certificate(const std::string& name) const { return scratch_ / name; }

  void fetch(const std::vector<std::string>& mirrors, std::chrono::milliseconds deadline = 20s) const {
    // One file of authorities for all servers of a test.
    std::string authorities;
    for (const auto& entry : fs::directory_iterator(scratch_.path())) {
      if (entry.path().extension() == ".pem") authorities += read_file(entry.path());
    }
    const fs::path all = scratch_ / ("all-" + std::to_string(mirrors.size()));
    write_file_atomically(all, authorities);
    data::fetch(files_, folder_, {mirrors, deadline, all});
  }
  [[nodiscard]] std::string error_of_fetch(const std::vector<std::string>& mirrors,
                                           std::chrono::milliseconds deadline = 20s) const {
    std::string said = testing::refusal(ExitCode::data, [&] { fetch(mirrors, deadline); });
    // Whatever happened: the files are named, and where they go.
    EXPECT_THAT(said, AllOf(HasSubstr("put one.gz, two.gz"), HasSubstr(folder_.string())));
    return said;
  }
  void expect_fetched() const {
    EXPECT_THAT(names_in(folder_), ElementsAre("one", "two"));
    EXPECT_EQ(read_file(folder_ / "one"), one);
    EXPECT_EQ(read_file(folder_ / "two"), two);
  }

  static inline const std::string one = test::idx_images(9, 5);
  static inline const std::string two = test::idx_labels(9);
  TemporaryFolder scratch_;
  fs::path folder_ = scratch_ / "cache/ganymede/set";
  std::vector<RemoteFile> files_ = {{"one", one.size(), data::sha256(one)}, {"two", two.size(), data::sha256(two)}};
  // The servers are on this machine, whatever proxy leads out of it.
  Environment no_proxy_{"no_proxy", "127.0.0.1"};
};

TEST_F(FetchTest, Sha256IsTheStandards) {
  // FIPS 180-2, appendix B.1, and the empty message.
  EXPECT_EQ(data::sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(data::sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_F(FetchTest, MnistComesFromItsMirrorsInOrder) {
  EXPECT_THAT(data::mnist_fetch_settings().mirrors, ElementsAre("https://ossci-datasets.s3.amazonaws.com/mnist/",
                                                                "https://storage.googleapis.com/cvdf-datasets/mnist/"));
  EXPECT_TRUE(data::mnist_fetch_settings().authorities.empty());
}

TEST_F(FetchTest, BringsWhatTheFolderLacks) {
  const HttpsServer mirror(certificate("a.pem"), good);
  fetch({mirror.address() + "set/"});
  expect_fetched();
  EXPECT_THAT(mirror.asked(), ElementsAre("/set/one.gz", "/set/two.gz"));
  fetch({mirror.address() + "set/"});
  EXPECT_EQ(mirror.asked().size(), 2U);
  fs::remove(folder_ / "two");
  fetch({mirror.address() + "set/"});
  expect_fetched();
  EXPECT_EQ(mirror.asked().back(), "/set/two.gz");
}

TEST_F(FetchTest, FollowsRedirectsOverHttpsOnly) {
  const HttpsServer mirror(certificate("a.pem"), good);
  const HttpsServer elsewhere(certificate("b.pem"), [&](const std::string& path) {
    return Reply{.status = 302, .redirect = mirror.address() + "set" + path};
  });
  fetch({elsewhere.address()});
  expect_fetched();

  fs::remove(folder_ / "two");
  for (const std::string& target :
       {"http://127.0.0.1:" + std::to_string(mirror.port()) + "/set/two.gz", "file://" + (folder_ / "one").string()}) {
    const HttpsServer wrong(certificate("c.pem"), but("/set/two.gz", {.status = 302, .redirect = target}));
    EXPECT_THAT(error_of_fetch({wrong.address() + "set/"}), HasSubstr("not supported or disabled")) << target;
    EXPECT_THAT(names_in(folder_), ElementsAre("one"));
  }
}

TEST_F(FetchTest, PlainHttpAndFilesAreNoMirrors) {
  EXPECT_THAT(error_of_fetch({"http://127.0.0.1:1/", "file:///etc/"}),
              AllOf(HasSubstr("http://127.0.0.1:1/one.gz: Protocol \"http\" not supported or disabled"),
                    HasSubstr("file:///etc/one.gz: Protocol \"file\" not supported or disabled")));
}

TEST_F(FetchTest, AStrangersCertificateIsRefused) {
  const TemporaryFolder other;
  const HttpsServer stranger(other / "unknown.pem", good);
  const HttpsServer known(certificate("a.pem"), good);
  EXPECT_THAT(error_of_fetch({stranger.address() + "set/"}), HasSubstr("certificate"));
  EXPECT_TRUE(stranger.asked().empty());
}

// Every way in which a mirror may fail: the next one helps, and without one the message tells.
TEST_F(FetchTest, AMirrorThatFailsIsPassedOver) {
  struct Case {
    const char* name;
    Reply reply;
    const char* says;
  };
  std::string other = one;
  other.back() = static_cast<char>(other.back() ^ 1);
  const std::string packed = gzip(one);
  const std::vector<Case> cases = {
      {"Absent", {.status = 404, .body = "gone"}, "404"},
      {"Broken", {.status = 500}, "500"},
      {"WrongContent", {.body = gzip(other)}, "SHA-256: expected"},
      {"NotPacked", {.body = std::string(one.size(), 'x')}, "SHA-256: expected"},
      {"APage", {.body = "<html>please log in</html>"}, "length: expected 241 bytes unpacked, found 26"},
      {"Empty", {}, "length: expected 241 bytes unpacked, found 0"},
      {"CutShort", {.body = packed.substr(0, 60), .claimed_length = packed.size()}, "remaining to read"},
      {"CutAtTheSource", {.body = packed.substr(0, 60)}, "gzip stream: expected its end"},
      {"Damaged", {.body = packed.substr(0, packed.size() - 7) + "damaged"}, "gzip check sum"},
      {"Bomb", {.body = gzip(one + std::string(5'000'000, 'x'))}, "expected"},
      {"Endless", {.body = std::string(1'000'000, 'x')}, "length: expected at most 1267 bytes, found more"},
  };
  const HttpsServer second(certificate("b.pem"), good);
  for (const Case& one_case : cases) {
    SCOPED_TRACE(one_case.name);
    const HttpsServer first(certificate("a.pem"), but("/set/one.gz", one_case.reply));
    EXPECT_THAT(error_of_fetch({first.address() + "set/"}),
                AllOf(HasSubstr(first.address() + "set/one.gz: "), HasSubstr(one_case.says)));
    EXPECT_TRUE(names_in(folder_).empty());
    fetch({first.address() + "set/", second.address() + "set/"});
    expect_fetched();
    EXPECT_THAT(first.asked(), ElementsAre("/set/one.gz", "/set/one.gz"));
    fs::remove_all(folder_);
  }
}

TEST_F(FetchTest, TheSecondMirrorGoesOnWhereTheFirstFailed) {
  const HttpsServer first(certificate("a.pem"), but("/set/two.gz", {.status = 503}));
  const HttpsServer second(certificate("b.pem"), good);
  fetch({first.address() + "set/", second.address() + "set/"});
  expect_fetched();
  EXPECT_THAT(second.asked(), ElementsAre("/set/two.gz"));
}

TEST_F(FetchTest, WithoutANetworkAllMirrorsAreNamed) {
  // Nobody listens at these ports.
  EXPECT_THAT(error_of_fetch({"https://127.0.0.1:1/a/", "https://127.0.0.1:2/b/"}),
              AllOf(HasSubstr("https://127.0.0.1:1/a/one.gz: "), HasSubstr("https://127.0.0.1:2/b/one.gz: ")));
}

TEST_F(FetchTest, TheDeadlineHoldsForAllMirrorsTogether) {
  const HttpsServer first(certificate("a.pem"), but("/set/two.gz", {.silent = true}));
  const HttpsServer second(certificate("b.pem"), good);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(error_of_fetch({first.address() + "set/", second.address() + "set/"}, 700ms),
              HasSubstr("the time of 0.7 s is up"));
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, 600ms);
  EXPECT_LT(took, 5s);
  EXPECT_TRUE(second.asked().empty());
  EXPECT_THAT(names_in(folder_), ElementsAre("one"));
}

TEST_F(FetchTest, AFolderThatCannotBeWrittenIsNoMirrorsFault) {
  const HttpsServer mirror(certificate("a.pem"), good);
  test::put(scratch_ / "cache", "a file in the way");
  const std::vector<std::string> mirrors(2, mirror.address() + "set/");
  EXPECT_THAT(testing::refusal(ExitCode::data, [&] { fetch(mirrors); }),
              AllOf(HasSubstr(folder_.string()), HasSubstr("the folder cannot be made")));
  EXPECT_TRUE(mirror.asked().empty());
}

TEST_F(FetchTest, SeveralMayFetchAtTheSameTime) {
  const HttpsServer mirror(certificate("a.pem"), good);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      data::fetch(files_, folder_, {{mirror.address() + "set/"}, 20s, certificate("a.pem")});
    });
  }
  threads.clear();
  expect_fetched();
}

}  // namespace
}  // namespace ganymede
