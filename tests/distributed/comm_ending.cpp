// A program that ends in the way its argument names, for tests of what its launcher then returns:
//   agreed    the last rank fails in together(), all leave with its code
//   abort     the last rank aborts the job with code 5 while the others wait for it in a sum
//   hosts     the same with every rank on a "host" of its own
//   unwound   an exception of the last rank alone unwinds the stack past the communicator
// It writes "unreachable" where a rank went on that should not have.
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>

#include "comm/mpi.hpp"

namespace {

using ganymede::ExitCode;

void wait_for_all(ganymede::Communicator& ranks) {
  const auto reduction = ranks.make_reduction<float>(1000);
  ranks.barrier();
  if (ranks.rank() == ranks.size() - 1) return;
  reduction->start();
  reduction->finish();
  if (ranks.size() > 1) std::puts("unreachable");
}

int agreed() {
  const auto ranks = ganymede::comm::make_mpi_communicator({});
  try {
    together(*ranks, [&] {
      if (ranks->rank() == ranks->size() - 1) throw ganymede::Error(ExitCode::data, "as agreed");
    });
  } catch (const ganymede::AgreedError& error) {
    if (ranks->is_root()) std::printf("%s\n", error.what());
    return static_cast<int>(error.code());
  }
  std::puts("unreachable");
  return 0;
}

void abort_job(const ganymede::comm::MpiOptions& options) {
  const auto ranks = ganymede::comm::make_mpi_communicator(options);
  wait_for_all(*ranks);
  std::printf("last words");  // no end of line: abort() has to write it out
  ranks->abort(ExitCode::training_failed);
}

int unwound() {
  try {
    const auto ranks = ganymede::comm::make_mpi_communicator({});
    wait_for_all(*ranks);
    throw std::runtime_error("alone");
  } catch (const std::runtime_error&) {
    return static_cast<int>(ExitCode::launch);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string ending = argc == 2 ? argv[1] : "";
  if (ending == "agreed") return agreed();
  if (ending == "abort") abort_job({});
  if (ending == "hosts") abort_job({.ranks_per_node = 1});
  if (ending == "unwound") return unwound();
  std::fputs("usage: comm_ending agreed|abort|hosts|unwound\n", stderr);
  return 2;
}
