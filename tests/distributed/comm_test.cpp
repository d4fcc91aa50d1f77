// The communicator of an MPI job: collectives, shared memory, failures that all ranks learn of. Each test runs
// over several layouts of the ranks: one host, the same cut into "hosts" of one, two or three ranks, hosts of one that
// count as very many, and one host without shared memory.
#include <gtest/gtest.h>
#include <mpi.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <new>
#include <thread>
#include <type_traits>

#include "comm/mpi.hpp"
#include "distributed/distributed.hpp"
#include "support/refusal.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

struct Layout {
  const char* name;
  comm::MpiOptions options;
};

std::vector<Layout> layouts() {
  return {{"OneHost", {}},
          {"HostsOfTwo", {.ranks_per_node = 2}},
          {"HostsOfThree", {.ranks_per_node = 3}},
          {"HostsOfOne", {.ranks_per_node = 1}},
          {"ManyHosts", {.ranks_per_node = 1, .most_hosts = 1}},
          {"NoSharedMemory", {.shared_memory = {}}}};
}

constexpr std::size_t sizes[] = {0, 1, 3, 1000, 8192, 16384, 16385, 117005};

/// A number that looks random, for element i of a rank's part.
std::uint64_t scrambled(int rank, std::size_t i, int round) {
  std::uint64_t x = (static_cast<std::uint64_t>(rank) << 48U) ^ (static_cast<std::uint64_t>(round) << 32U) ^ i;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31U);
}

template <class T>
T part_of(int rank, std::size_t i, int round) {
  const std::uint64_t x = scrambled(rank, i, round);
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(x) >> 8;  // no overflow for up to 256 ranks
  } else {
    // Exponents from -32 to 31, so that the order of the additions shows.
    const auto exponent = static_cast<std::uint32_t>(x >> 58U);
    const float scale = std::bit_cast<float>((127 - 32 - 31 + exponent) << 23U);
    return static_cast<T>(static_cast<std::int32_t>(x)) * static_cast<T>(scale);
  }
}

/// The sum in the order that is promised: the ranks of a host one after the other, then hosts.
template <class T>
T expected_sum(const std::vector<std::vector<int>>& hosts, std::size_t i, int round) {
  T total{};
  for (std::size_t host = 0; host < hosts.size(); ++host) {
    T sum = part_of<T>(hosts[host][0], i, round);
    for (std::size_t k = 1; k < hosts[host].size(); ++k) sum += part_of<T>(hosts[host][k], i, round);
    total = host == 0 ? sum : total + sum;
  }
  return total;
}

/// The same bytes on all ranks, told by MPI itself.
template <class T>
bool same_everywhere(const T* values, std::size_t count) {
  std::uint64_t hash = 14695981039346656037ULL;
  using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t,
                                  std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint8_t>>;
  for (std::size_t i = 0; i < count; ++i) hash = (hash ^ std::bit_cast<Bits>(values[i])) * 1099511628211ULL;
  std::uint64_t lowest = 0;
  std::uint64_t highest = 0;
  MPI_Allreduce(&hash, &lowest, 1, MPI_UINT64_T, MPI_MIN, MPI_COMM_WORLD);
  MPI_Allreduce(&hash, &highest, 1, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
  return lowest == highest;
}

class Comm : public ::testing::TestWithParam<Layout> {
 protected:
  void SetUp() override {
    ranks_ = comm::make_mpi_communicator(GetParam().options);
    const int per_host = GetParam().options.ranks_per_node;
    for (int rank = 0; rank < ranks_->size(); ++rank) {
      if (rank == 0 || (per_host > 0 && rank % per_host == 0)) hosts_.emplace_back();
      hosts_.back().push_back(rank);
    }
    // Without shared memory every rank counts as a host when sums are made.
    if (GetParam().options.shared_memory.empty()) {
      sum_groups_.clear();
      for (int rank = 0; rank < ranks_->size(); ++rank) sum_groups_.push_back({rank});
    } else {
      sum_groups_ = hosts_;
    }
  }

  /// The order in which MPI adds more than two hosts, where there are too many for us, is its own.
  [[nodiscard]] bool order_is_known() const { return sum_groups_.size() <= 2 || !by_mpi(); }
  [[nodiscard]] static bool by_mpi() { return GetParam().options.most_hosts == 1; }

  template <class T>
  void expect_sum(const T* values, std::size_t count, int round) const {
    for (std::size_t i = 0; i < count; ++i) {
      const T expected = expected_sum<T>(sum_groups_, i, round);
      if (order_is_known() || std::is_integral_v<T>) {
        ASSERT_EQ(values[i], expected) << "element " << i << " of " << count;
      } else {
        double scale = 0;
        for (int rank = 0; rank < ranks_->size(); ++rank)
          scale += std::abs(static_cast<double>(part_of<T>(rank, i, round)));
        const double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
        ASSERT_NEAR(static_cast<double>(values[i]), static_cast<double>(expected), 4 * epsilon * scale)
            << "element " << i;
      }
    }
    ASSERT_TRUE(same_everywhere(values, count));
  }

  template <class T>
  void check_all_sum() {
    for (const std::size_t count : sizes) {
      std::vector<T> first(count);
      for (std::size_t i = 0; i < count; ++i) first[i] = part_of<T>(ranks_->rank(), i, 0);
      std::vector<T> second = first;
      ranks_->all_sum(std::span(first));
      expect_sum(first.data(), count, 0);
      ranks_->all_sum(std::span(second));
      ASSERT_TRUE(count == 0 || std::memcmp(first.data(), second.data(), count * sizeof(T)) == 0);
    }
  }

  template <class T>
  void check_reduction() {
    for (const std::size_t count : sizes) {
      const auto reduction = ranks_->make_reduction<T>(count);
      ASSERT_EQ(reduction->size(), count);
      ASSERT_EQ(reinterpret_cast<std::uintptr_t>(reduction->data()) % 64, 0U);
      ASSERT_EQ(reinterpret_cast<std::uintptr_t>(reduction->sum()) % 64, 0U);
      for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(reduction->data()[i], T{});
      for (int round = 0; round < 3; ++round) {
        for (std::size_t i = 0; i < count; ++i) reduction->data()[i] = part_of<T>(ranks_->rank(), i, round);
        reduction->start();
        reduction->finish();
        expect_sum(reduction->sum(), count, round);
      }
    }
  }

  std::unique_ptr<Communicator> ranks_;
  std::vector<std::vector<int>> hosts_;
  std::vector<std::vector<int>> sum_groups_;
};

INSTANTIATE_TEST_SUITE_P(Layouts, Comm, ::testing::ValuesIn(layouts()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(Comm, KnowsItsPlace) {
  int rank = -1;
  int size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  EXPECT_EQ(ranks_->rank(), rank);
  EXPECT_EQ(ranks_->size(), size);
  const auto host = std::find_if(hosts_.begin(), hosts_.end(), [&](const auto& members) {
    return std::find(members.begin(), members.end(), rank) != members.end();
  });
  ASSERT_NE(host, hosts_.end());
  EXPECT_EQ(ranks_->node_size(), static_cast<int>(host->size()));
  EXPECT_EQ(ranks_->node_rank(), rank - host->front());
  const std::string ranks = std::to_string(size) + (size == 1 ? " rank" : " ranks");
  const std::string hosts = std::to_string(hosts_.size()) + (hosts_.size() == 1 ? " host" : " hosts");
  EXPECT_EQ(ranks_->description().rfind("Open MPI ", 0), 0U) << ranks_->description();
  EXPECT_NE(ranks_->description().find(", " + ranks + " on " + hosts), std::string::npos) << ranks_->description();
}

TEST_P(Comm, SumsFloats) { check_all_sum<float>(); }
TEST_P(Comm, SumsDoubles) { check_all_sum<double>(); }
TEST_P(Comm, SumsIntegers) { check_all_sum<std::int64_t>(); }
TEST_P(Comm, ReducesFloats) { check_reduction<float>(); }
TEST_P(Comm, ReducesIntegers) { check_reduction<std::int64_t>(); }

TEST_P(Comm, FindsExtremes) {
  for (const std::size_t count : sizes) {
    std::vector<std::int64_t> least(count);
    for (std::size_t i = 0; i < count; ++i) least[i] = part_of<std::int64_t>(ranks_->rank(), i, 0);
    std::vector<std::int64_t> most = least;
    ranks_->all_min(least);
    ranks_->all_max(most);
    for (std::size_t i = 0; i < count; ++i) {
      std::int64_t low = std::numeric_limits<std::int64_t>::max();
      std::int64_t high = std::numeric_limits<std::int64_t>::min();
      for (int rank = 0; rank < ranks_->size(); ++rank) {
        low = std::min(low, part_of<std::int64_t>(rank, i, 0));
        high = std::max(high, part_of<std::int64_t>(rank, i, 0));
      }
      ASSERT_EQ(least[i], low);
      ASSERT_EQ(most[i], high);
    }
  }
}

TEST_P(Comm, SumsCarryWhatIsNotFinite) {
  const auto reduction = ranks_->make_reduction<float>(3);
  const int last = ranks_->size() - 1;
  reduction->data()[0] = ranks_->rank() == last ? std::numeric_limits<float>::quiet_NaN() : 1.0F;
  reduction->data()[1] = ranks_->rank() == 0 ? std::numeric_limits<float>::infinity() : 1.0F;
  reduction->data()[2] = 1.0F;
  reduction->start();
  reduction->finish();
  EXPECT_TRUE(std::isnan(reduction->sum()[0]));
  EXPECT_EQ(reduction->sum()[1], std::numeric_limits<float>::infinity());
  EXPECT_EQ(reduction->sum()[2], static_cast<float>(ranks_->size()));
}

// Ranks that run ahead, lag behind and overwrite their part as soon as they may must not disturb each other.
TEST_P(Comm, ReductionsUnderWayTogetherKeepApart) {
  constexpr std::size_t first_size = 5000;
  constexpr std::size_t second_size = 700;
  const auto first = ranks_->make_reduction<float>(first_size);
  const auto second = ranks_->make_reduction<std::int64_t>(second_size);
  const auto dawdle = [&](int moment) {
    const std::uint64_t draw = scrambled(ranks_->rank(), 7, moment);
    if (draw % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(draw % 700));
  };
  for (int round = 0; round < 60; ++round) {
    for (std::size_t i = 0; i < first_size; ++i)
      first->data()[i] = static_cast<float>((ranks_->rank() + 1) * (round + 1));
    dawdle(4 * round);
    first->start();
    for (std::size_t i = 0; i < second_size; ++i) second->data()[i] = ranks_->rank() - round;
    second->start();
    dawdle(4 * round + 1);
    first->finish();
    if (first->data() != first->sum()) std::fill_n(first->data(), first_size, -1e30F);
    dawdle(4 * round + 2);
    second->finish();
    if (second->data() != second->sum()) std::fill_n(second->data(), second_size, std::int64_t{1} << 50U);
    dawdle(4 * round + 3);
    const int n = ranks_->size();
    for (std::size_t i = 0; i < first_size; ++i)
      ASSERT_EQ(first->sum()[i], static_cast<float>((round + 1) * n * (n + 1) / 2));
    for (std::size_t i = 0; i < second_size; ++i) ASSERT_EQ(second->sum()[i], n * (n - 1) / 2 - n * round);
  }
}

// A rank that computes, and calls advance() now and then, holds nobody up: the others' sums come to their end.
TEST_P(Comm, ReductionsAdvanceBesideWork) {
  if (ranks_->size() == 1 || by_mpi()) return;
  for (const std::size_t count : {std::size_t{100}, std::size_t{1} << 20U}) {
    const auto reduction = ranks_->make_reduction<float>(count);
    for (int busy = 0; busy < ranks_->size(); ++busy) {
      std::fill_n(reduction->data(), count, 1.0F);
      reduction->start();
      std::array<char, 1> nothing{};
      if (ranks_->rank() == busy) {
        for (int told = 0; told + 1 < ranks_->size();) {
          reduction->advance();
          int found = 0;
          MPI_Iprobe(MPI_ANY_SOURCE, 77, MPI_COMM_WORLD, &found, MPI_STATUS_IGNORE);
          if (found == 0) continue;
          MPI_Recv(nothing.data(), 0, MPI_BYTE, MPI_ANY_SOURCE, 77, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
          ++told;
        }
      }
      reduction->finish();
      if (ranks_->rank() != busy) MPI_Send(nothing.data(), 0, MPI_BYTE, busy, 77, MPI_COMM_WORLD);
      for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(reduction->sum()[i], static_cast<float>(ranks_->size()));
      ranks_->barrier();
    }
  }
}

TEST_P(Comm, BarriersHoldEveryoneBack) {
  // Rank r enters late by r ms; nobody may leave before the last has entered. Clocks are one machine's.
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(ranks_->rank()));
    const auto entered = std::chrono::steady_clock::now().time_since_epoch().count();
    ranks_->barrier();
    std::int64_t left = std::chrono::steady_clock::now().time_since_epoch().count();
    std::int64_t last_entered = entered;
    MPI_Allreduce(MPI_IN_PLACE, &last_entered, 1, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD);
    EXPECT_GE(left, last_entered);
    ranks_->node_barrier();
  }
}

TEST_P(Comm, BroadcastsFromAnyRank) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{100003}}) {
    for (int root = 0; root < ranks_->size(); ++root) {
      std::string text(bytes, static_cast<char>('a' + ranks_->rank()));
      ranks_->broadcast(text.data(), bytes, root);
      EXPECT_EQ(text, std::string(bytes, static_cast<char>('a' + root)));
    }
    std::string text(bytes, static_cast<char>('a' + ranks_->rank()));
    ranks_->node_broadcast(text.data(), bytes);
    EXPECT_EQ(text, std::string(bytes, static_cast<char>('a' + ranks_->rank() - ranks_->node_rank())));
  }
}

TEST_P(Comm, GathersStrings) {
  for (const int length : {0, 1, 5, 40000}) {
    const auto text = [length](int rank) {
      return std::string(static_cast<std::size_t>(rank % 2 == 0 ? length : length / 2), static_cast<char>('a' + rank));
    };
    const std::vector<std::string> all = ranks_->all_gather(text(ranks_->rank()));
    ASSERT_EQ(all.size(), static_cast<std::size_t>(ranks_->size()));
    for (int rank = 0; rank < ranks_->size(); ++rank) EXPECT_EQ(all[static_cast<std::size_t>(rank)], text(rank));
  }
}

TEST_P(Comm, SharesMemoryWithinAHost) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{4097}, std::size_t{1} << 20U}) {
    const std::shared_ptr<void> memory = ranks_->node_shared(bytes);
    if (GetParam().options.shared_memory.empty() && ranks_->node_size() > 1) {
      EXPECT_EQ(memory, nullptr);
      continue;
    }
    ASSERT_NE(memory, nullptr);
    auto* values = static_cast<unsigned char*>(memory.get());
    for (std::size_t i = 0; i < bytes; ++i) ASSERT_EQ(values[i], 0);
    ranks_->node_barrier();
    const int mine = ranks_->node_rank();
    for (std::size_t i = 0; i < bytes; ++i) {
      if (static_cast<int>(i) % ranks_->node_size() == mine) values[i] = static_cast<unsigned char>(ranks_->rank() + i);
    }
    ranks_->node_barrier();
    const int first = ranks_->rank() - mine;
    for (std::size_t i = 0; i < bytes; ++i) {
      const auto writer = static_cast<std::size_t>(first) + i % static_cast<std::size_t>(ranks_->node_size());
      ASSERT_EQ(values[i], static_cast<unsigned char>(writer + i));
    }
    ranks_->node_barrier();
  }
}

/// Our shared files in a folder.
std::vector<fs::path> shared_files(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().rfind("ganymede-" + std::to_string(getpid()) + "-", 0) == 0) {
      found.push_back(entry.path());
    }
  }
  return found;
}

TEST(SharedMemory, LeavesNoNameBehind) {
  const auto memory = testing::world().node_shared(1000);
  ASSERT_NE(memory, nullptr);
  testing::world().barrier();
  EXPECT_TRUE(shared_files("/dev/shm").empty());
}

TEST(SharedMemory, FallsBackToTheNextFolder) {
  const auto ranks = comm::make_mpi_communicator({.shared_memory = {"/nonexistent", fs::temp_directory_path()}});
  const auto memory = ranks->node_shared(100000);
  ASSERT_NE(memory, nullptr);
  if (ranks->is_root()) static_cast<char*>(memory.get())[99999] = 'x';
  ranks->barrier();
  EXPECT_EQ(static_cast<char*>(memory.get())[99999], 'x');
  EXPECT_TRUE(shared_files(fs::temp_directory_path()).empty());
}

// As in containers on one host, each with a folder of its own behind the same name.
TEST(SharedMemory, FallsBackWhereOnlySomeRanksSeeTheFile) {
  const fs::path before = fs::current_path();
  const fs::path own = fs::temp_directory_path() / ("ganymede-test-" + std::to_string(getpid()));
  fs::create_directory(own);
  fs::current_path(own);
  {
    const auto ranks = comm::make_mpi_communicator({.shared_memory = {".", fs::temp_directory_path()}});
    const auto memory = ranks->node_shared(1000);
    EXPECT_NE(memory, nullptr);
    EXPECT_TRUE(shared_files(own).empty());
    const auto lonely = comm::make_mpi_communicator({.shared_memory = {"."}});
    EXPECT_EQ(lonely->node_shared(1000) == nullptr, lonely->size() > 1);
    std::int64_t one = 1;
    lonely->all_sum(std::span(&one, 1));
    EXPECT_EQ(one, lonely->size());
  }
  fs::current_path(before);
  fs::remove_all(own);
}

TEST(SharedMemory, IsNullWhereNothingHasRoom) {
  Communicator& ranks = testing::world();
  const bool alone = ranks.size() == 1;  // then it is ordinary memory
  if (!alone) {
    EXPECT_EQ(ranks.node_shared(std::size_t{1} << 50U), nullptr);
  }

  // A limit on file sizes, which would otherwise kill the process by SIGXFSZ. Sums then go by messages.
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_EQ(ranks.node_shared(10000) == nullptr, !alone);
  const auto reduction = ranks.make_reduction<float>(10000);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::fill_n(reduction->data(), 10000, 1.0F);
  reduction->start();
  reduction->finish();
  for (std::size_t i = 0; i < 10000; ++i) ASSERT_EQ(reduction->sum()[i], static_cast<float>(ranks.size()));
}

// --- failures ---------------------------------------------------------------------------------------------

/// What together() throws, as "code: message"; empty when it returns. The same on all ranks.
std::string outcome(Communicator& ranks, const std::function<void()>& action) {
  std::string text;
  try {
    together(ranks, action);
  } catch (const AgreedError& error) {
    text = std::to_string(static_cast<int>(error.code())) + ": " + error.what();
  }
  EXPECT_TRUE(same_everywhere(text.data(), text.size())) << text;
  return text;
}

std::string prefix(Communicator& ranks, int rank) {
  return ranks.size() == 1 ? "" : "rank " + std::to_string(rank) + " on " + host_name() + ": ";
}

TEST_P(Comm, TogetherReturnsWhenAllSucceed) {
  int calls = 0;
  EXPECT_EQ(outcome(*ranks_, [&] { ++calls; }), "");
  EXPECT_EQ(calls, 1);
}

TEST_P(Comm, TogetherNamesTheOneThatFails) {
  for (int failing = 0; failing < ranks_->size(); ++failing) {
    const std::string text = outcome(*ranks_, [&] {
      if (ranks_->rank() == failing) throw Error(ExitCode::data, "no such folder");
    });
    EXPECT_EQ(text, "3: " + prefix(*ranks_, failing) + "no such folder");
  }
}

TEST_P(Comm, TogetherSaysOnceWhatAllSay) {
  EXPECT_EQ(outcome(*ranks_, [] { throw Error(ExitCode::usage, "no such recipe"); }), "2: no such recipe");
}

TEST_P(Comm, TogetherTakesTheLowestRanksFailure) {
  const int first = std::min(1, ranks_->size() - 1);
  const std::string text = outcome(*ranks_, [&] {
    if (ranks_->rank() < first) return;
    const bool lowest = ranks_->rank() == first;
    throw Error(lowest ? ExitCode::launch : ExitCode::training_failed, "rank's own " + std::to_string(ranks_->rank()));
  });
  const bool alone = ranks_->size() == 1;
  EXPECT_EQ(text, "4: " + (alone ? "" : prefix(*ranks_, first)) + "rank's own " + std::to_string(first));
}

TEST_P(Comm, TogetherPrefersWhoDidNotMerelyWait) {
  const int last = ranks_->size() - 1;
  const auto on_last = [&](ExitCode code) {
    return outcome(*ranks_, [&] {
      throw ranks_->rank() == last ? Error(code, "its own") : Error(ExitCode::rank_lost, "it waited");
    });
  };
  EXPECT_EQ(on_last(ExitCode::launch), "4: " + prefix(*ranks_, last) + "its own");
  const bool alone = ranks_->size() == 1;
  EXPECT_EQ(on_last(ExitCode::rank_lost), "6: " + prefix(*ranks_, 0) + (alone ? "its own" : "it waited"));
}

TEST_P(Comm, TogetherUnderstandsEveryException) {
  const int last = ranks_->size() - 1;
  const auto on_last = [&](const auto& exception) {
    return outcome(*ranks_, [&] {
      if (ranks_->rank() == last) throw exception;
    });
  };
  EXPECT_NE(on_last(std::bad_alloc()).find("4: " + prefix(*ranks_, last) + "out of memory"), std::string::npos);
  EXPECT_EQ(on_last(std::runtime_error("odd")), "4: " + prefix(*ranks_, last) + "unexpected failure: odd");
  EXPECT_EQ(on_last(17), "4: " + prefix(*ranks_, last) + "unexpected failure of an unknown kind");
  EXPECT_EQ(on_last(Error(ExitCode::data, "")), "3: " + prefix(*ranks_, last));
  const fs::filesystem_error full("cannot write", "/run", std::make_error_code(std::errc::no_space_on_device));
  EXPECT_EQ(on_last(full), "3: " + prefix(*ranks_, last) + full.what());
}

TEST_P(Comm, TogetherWithinTogetherSaysItOnce) {
  const std::string text = outcome(*ranks_, [&] {
    together(*ranks_, [&] {
      if (ranks_->is_root()) throw Error(ExitCode::data, "inner");
    });
  });
  EXPECT_EQ(text, "3: " + prefix(*ranks_, 0) + "inner");
}

TEST_P(Comm, OnRootRunsOnRankZeroAlone) {
  int calls = 0;
  on_root(*ranks_, [&] { ++calls; });
  EXPECT_EQ(calls, ranks_->is_root() ? 1 : 0);
  const auto fail = [] { throw Error(ExitCode::data, "disk full"); };
  EXPECT_EQ(testing::refusal<AgreedError>(ExitCode::data, [&] { on_root(*ranks_, fail); }),
            prefix(*ranks_, 0) + "disk full");
}

TEST(Launch, JoinsTheRanksOfMpirun) {
  const auto ranks = make_communicator();
  EXPECT_EQ(ranks->size(), testing::world().size());
  EXPECT_EQ(ranks->rank(), testing::world().rank());
}

}  // namespace
}  // namespace ganymede
