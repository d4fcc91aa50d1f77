// The same of several ranks: a step allocates nothing of its own. What MPI allocates inside its own libraries and
// plug-ins is theirs; it is listed, and nothing else may be in the list.
#include <gtest/gtest.h>

#include <cstdio>

#include "comm/mpi.hpp"
#include "gan/step.hpp"
#include "support/count_allocations.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {
namespace {

// Open MPI, the runtime and plug-ins it loads, and the libraries that only these use.
bool is_mpi(const std::string& object) {
  for (const char* start : {"libmpi", "libopen-", "libompi", "mca_", "libmca", "libpmix", "libevent", "libhwloc",
                            "libucp", "libuct", "libucs", "libucm", "libfabric", "libpsm", "libibverbs"})
    if (object.starts_with(start)) return true;
  return false;
}

TEST(StepOfRanks, AllocatesNothing) {
  const RandomImages images(60, 28, 3);
  // One host, where ranks add up in shared memory, and a host each, where MPI carries the sums.
  for (const int ranks_per_host : {0, 1}) {
    const std::unique_ptr<Communicator> ranks = comm::make_mpi_communicator({ranks_per_host});
    for (const int variant : {0, 1, 2, 3}) {
      TrainOptions o;
      o.reproducible = variant % 2 == 1;
      if (variant / 2 == 1)
        change_to_small_dcgan(o);
      else
        o.micro_batch = 25;
      const std::unique_ptr<Device> device = make_cpu_device(1);
      Gan gan = make_gan(o, images.set().shape(), *device);
      GanStep step(*device, *ranks, gan, images.set(), o);
      for (int i = 0; i < 5; ++i) step.run(false);  // MPI connects ranks when they first talk
      ranks->barrier();
      allocations::counting(true);
      for (int i = 0; i < 50; ++i) step.run(false);
      allocations::counting(false);
      for (const auto& [owner, count] : allocations::by_owner()) {
        EXPECT_TRUE(is_mpi(owner)) << count << " allocations of " << (owner.empty() ? "our own" : owner);
        std::printf("rank %d, %s, 50 steps: %zu allocations inside %s\n", ranks->rank(), ranks->description().c_str(),
                    count, owner.c_str());
      }
    }
  }
}

}  // namespace
}  // namespace ganymede::testing
