// Runs GoogleTest on every rank. Rank 0 reports; other ranks report only what fails. When a test fails on some
// rank, the program fails on all.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <sstream>

#include "comm/mpi.hpp"
#include "distributed/distributed.hpp"

namespace {

std::unique_ptr<ganymede::Communicator>& all_ranks() {
  static std::unique_ptr<ganymede::Communicator> ranks;
  return ranks;
}

/// Names the rank of each failure. A failed ASSERT or an exception leaves its test, in which the other ranks may
/// wait for this one for ever: then the job ends at once.
class RankReport : public testing::EmptyTestEventListener {
 public:
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::ostringstream text;
    text << "rank " << all_ranks()->rank() << ": " << (result.file_name() == nullptr ? "?" : result.file_name()) << ":"
         << result.line_number() << ": " << result.message() << "\n";
    std::fputs(text.str().c_str(), stderr);
    if (result.fatally_failed()) all_ranks()->abort(static_cast<ganymede::ExitCode>(1));
  }
};

}  // namespace

ganymede::Communicator& ganymede::testing::world() { return *all_ranks(); }

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  all_ranks() = ganymede::comm::make_mpi_communicator({});
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (!all_ranks()->is_root()) delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new RankReport);

  std::int64_t failed = RUN_ALL_TESTS();
  all_ranks()->all_max(std::span(&failed, 1));
  all_ranks().reset();
  return static_cast<int>(failed);
}
