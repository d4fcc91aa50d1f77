// The emulation finds what is wrong with a kernel, and lets pass what is right.
#include <cmath>
#include <set>

#include "cuda_emulation/fiber.hpp"
#include "unit/cuda_kernels/memory.hpp"
#include "unit/cuda_kernels/mutants.hpp"

namespace ganymede::testing {
namespace {

template <class Call>
std::string complaint(Call&& call) {
  try {
    call();
  } catch (const emulation::Error& error) {
    return error.what();
  }
  return {};
}

class Emulation : public Kernels {
 protected:
  std::string reverse(mutants::Kind kind) {
    return complaint([&] { mutants::reverse(kind, from_.data(), to_.data()); });
  }
  std::string ticket(mutants::Ticket kind) {
    *counter_.data() = 0;
    return complaint([&] { mutants::sum_of_blocks(kind, 20, counter_.data(), partial_.data(), total_.data()); });
  }
  Memory<float> from_{draws(64, 1)};
  Memory<float> to_{64};
  Memory<unsigned> counter_{1};
  Memory<float> partial_{20};
  Memory<float> total_{1};
};

TEST_F(Emulation, RunsWhatIsRight) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    emulation::set_seed(seed);
    EXPECT_EQ(reverse(mutants::Kind::right), "");
    for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(to_[i], from_[63 - i]);
    EXPECT_EQ(ticket(mutants::Ticket::right), "");
    EXPECT_EQ(total_[0], 190.0F);
    Memory<float> through(32);
    EXPECT_EQ(
        complaint([&] { mutants::swap_neighbours(mutants::Warp::barrier, from_.data(), through.data(), to_.data()); }),
        "");
    for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(to_[i], from_[i ^ 1]);
    mutants::vote(from_.data(), counter_.data());
    for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(counter_[0] >> i & 1U, from_[i] > 0 ? 1U : 0U);
  }
}

TEST_F(Emulation, FindsDivergentBarriers) {
  const std::string block = reverse(mutants::Kind::divergent_barrier);
  EXPECT_NE(block.find("kernel reverse, block 0 of 1: a divergent barrier: thread 0 waits at __syncthreads of line"),
            std::string::npos)
      << block;
  const std::string warp = reverse(mutants::Kind::divergent_warp_barrier);
  EXPECT_NE(warp.find("kernel reverse, block 0 of 1: a divergent warp barrier: thread 0 waits for its warp at line"),
            std::string::npos)
      << warp;
  // And goes on afterwards.
  EXPECT_EQ(reverse(mutants::Kind::right), "");
}

#if defined(GANYMEDE_EMULATION_INSTRUMENTED)
TEST_F(Emulation, FindsRacesWithinABlock) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    emulation::set_seed(seed);
    const std::string race = reverse(mutants::Kind::no_barrier);
    EXPECT_NE(race.find("kernel reverse, block 0 of 1: a race at address 0x"), std::string::npos) << race;
    Memory<float> through(32);
    EXPECT_NE(complaint([&] {
                mutants::swap_neighbours(mutants::Warp::shuffle_alone, from_.data(), through.data(), to_.data());
              }).find("a race"),
              std::string::npos);
    EXPECT_NE(complaint([&] { mutants::all_write(1, total_.data()); }).find("write and write"), std::string::npos);
  }
}

TEST_F(Emulation, FindsRacesBetweenBlocks) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    emulation::set_seed(seed);
    for (mutants::Ticket kind : {mutants::Ticket::no_release, mutants::Ticket::no_acquire,
                                 mutants::Ticket::no_block_barrier, mutants::Ticket::no_atomic})
      EXPECT_NE(ticket(kind).find("a race"), std::string::npos) << static_cast<int>(kind);
  }
}

TEST_F(Emulation, FindsWhatIsOutOfBounds) {
  // One element longer than the kernel may know, so that it does no harm.
  Memory<float> whole(65);
  Bounds::instance().remove(whole.data());
  Bounds::instance().add(whole.data(), 64 * sizeof(float));
  EXPECT_EQ(complaint([&] { mutants::reverse(mutants::Kind::out_of_bounds, from_.data(), whole.data()); }), "");
  EXPECT_NE(Bounds::instance().strays().find("reverse wrote"), std::string::npos);
}
#elif defined(GANYMEDE_ASAN_FIBERS)
TEST_F(Emulation, LetsAddressSanitizerFindWhatIsOutOfBounds) {
  EXPECT_DEATH(reverse(mutants::Kind::out_of_bounds), "heap-buffer-overflow");
}
#endif

TEST_F(Emulation, PoisonsSharedMemoryForEveryBlock) {
  mutants::read_unwritten(to_.data());
  for (std::size_t i = 0; i < 32; ++i) EXPECT_TRUE(std::isnan(to_[i]));
  Memory<float> seen(32 * 7);
  mutants::peek(7, seen.data());
  for (float value : seen.host()) EXPECT_TRUE(std::isnan(value));
}

TEST_F(Emulation, HandsLaunchesOnAndTellsWhatTheyTouched) {
  std::vector<std::function<void()>> queue;
  emulation::set_submit([&](cudaStream_t stream, const char* kernel, std::function<void()> run) {
    EXPECT_EQ(stream, nullptr);
    EXPECT_STREQ(kernel, "reverse");
    queue.push_back(std::move(run));
  });
  mutants::reverse(mutants::Kind::right, from_.data(), to_.data());
  emulation::set_submit({});
  ASSERT_EQ(queue.size(), 1U);
  EXPECT_EQ(to_[0], 0.0F);
  std::vector<emulation::AccessRange> touched;
  emulation::set_access_hook([&](const char*, const std::vector<emulation::AccessRange>& ranges) { touched = ranges; });
  queue[0]();
  EXPECT_EQ(to_[0], from_[63]);
  if (!emulation::instrumented()) return;
  ASSERT_EQ(touched.size(), 2U);
  const auto* from = reinterpret_cast<const std::byte*>(from_.data());
  const auto* to = reinterpret_cast<const std::byte*>(to_.data());
  for (const emulation::AccessRange& range : touched) {
    EXPECT_EQ(range.bytes, 256U);
    EXPECT_TRUE(range.begin == from || range.begin == to);
    EXPECT_EQ(range.read, range.begin == from);
    EXPECT_EQ(range.written, range.begin == to);
  }
}

}  // namespace
}  // namespace ganymede::testing
