// Training steps of as many hosts as SimGrid is told to simulate: the sums over hosts are the program's own
// (comm/host_sum.cpp), in the order of a step and between as many kernels, which are slept for instead of computed.
// Written for SMPI, where every rank is a host, sleeping takes simulated time and computing none; simulate.py builds
// and runs it.
//
//   simulated_step HOSTS_AT_MOST D_FLOATS G_FLOATS BEFORE MEANWHILE D_UPDATE G_UPDATE NODE_SUM KERNELS STEPS JITTER
//
// Times in seconds: of a step until D's sum starts, beside it, after it until G's, after that; of a sum within a host.
#include <mpi.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "comm/host_sum.hpp"
#include "comm/node_memory.hpp"
#include "comm/node_sum.hpp"

namespace {

using ganymede::comm::HostSum;

/// A network's gradient and its way over the hosts.
class Gradient {
 public:
  Gradient(int tag, std::size_t count, int most_hosts, double node_sum)
      : count_(count),
        node_sum_(node_sum),
        memory_(ganymede::comm::private_memory(count * sizeof(float))),
        sum_(MPI_COMM_WORLD, tag, count * sizeof(float), most_hosts) {}

  void start();
  void advance() { sum_.advance(false); }
  /// Returns how long that took.
  double finish() {
    const double begin = MPI_Wtime();
    while (!sum_.advance(true)) usleep(40);
    return MPI_Wtime() - begin;
  }

 private:
  std::size_t count_;
  double node_sum_;
  std::shared_ptr<void> memory_;
  HostSum sum_;
};

void compute(double seconds) {
  if (seconds > 0) usleep(static_cast<useconds_t>(std::lround(seconds * 1e6)));
}

void Gradient::start() {
  compute(node_sum_);
  sum_.start<float, ganymede::comm::Sum>(static_cast<float*>(memory_.get()), count_, memory_);
  advance();
}

/// Seconds that vary from rank to rank and step to step, evenly up to `share` more.
class Jitter {
 public:
  Jitter(int rank, double share) : state_(0x9e3779b9U * static_cast<unsigned>(rank + 1)), share_(share) {}
  double of(double seconds) {
    state_ = state_ * 1664525U + 1013904223U;
    return seconds * (1 + share_ * static_cast<double>(state_ >> 8U) / static_cast<double>(1U << 24U));
  }

 private:
  unsigned state_;
  double share_;
};

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  if (argc != 12) {
    std::fprintf(stderr, "simulated_step: 11 numbers are wanted, see its source\n");
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const auto number = [argv](int i) { return std::atof(argv[i]); };
  const int most_hosts = std::atoi(argv[1]);
  Gradient d(0, std::strtoul(argv[2], nullptr, 10), most_hosts, number(8));
  Gradient g(1, std::strtoul(argv[3], nullptr, 10), most_hosts, number(8));
  const int kernels = std::atoi(argv[9]);
  const int steps = std::atoi(argv[10]);
  Jitter jitter(rank, number(11));

  MPI_Barrier(MPI_COMM_WORLD);
  double begin = MPI_Wtime();
  for (int i = 0; i < steps; ++i) {
    d.start();
    d.finish();
  }
  const double alone = (MPI_Wtime() - begin) / steps;

  MPI_Barrier(MPI_COMM_WORLD);
  begin = MPI_Wtime();
  double waited = 0;
  for (int i = 0; i < steps; ++i) {
    compute(jitter.of(number(4)));
    d.start();
    const double meanwhile = jitter.of(number(5));
    for (int k = 0; k < kernels; ++k) {
      d.advance();
      compute(meanwhile / kernels);
    }
    waited += d.finish();
    compute(jitter.of(number(6)));
    g.start();
    g.finish();
    compute(jitter.of(number(7)));
  }
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank == 0)
    std::printf("{\"step\": %.9f, \"alone\": %.9f, \"waited\": %.9f}\n", (MPI_Wtime() - begin) / steps, alone,
                waited / steps);
  MPI_Finalize();
  return 0;
}
