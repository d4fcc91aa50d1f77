// The time of the gradients' all-reduce: a Reduction against MPI_Allreduce, interleaved. Run it under mpirun:
//   mpirun -n 2 bench_allreduce [ELEMENTS] [ROUNDS]
// "reduce" is the call alone, "step" also the writing of every rank's part and the reading of the sum, which
// pay for moving memory between processors.
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "comm/mpi.hpp"

namespace {

using Clock = std::chrono::steady_clock;

double microseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::micro>(to - from).count();
}

struct Times {
  std::vector<double> reduce;
  std::vector<double> step;
};

void print(const char* name, Times times) {
  std::sort(times.reduce.begin(), times.reduce.end());
  std::sort(times.step.begin(), times.step.end());
  const std::size_t middle = times.reduce.size() / 2;
  std::printf("%-22s reduce min %7.1f us, median %7.1f us; step min %7.1f us, median %7.1f us\n", name,
              times.reduce.front(), times.reduce[middle], times.step.front(), times.step[middle]);
}

template <class T>
void compare(ganymede::Communicator& ranks, const char* type, MPI_Datatype mpi_type, std::size_t count, int rounds) {
  auto reduction = ranks.make_reduction<T>(count);
  std::vector<T> part(count);
  std::vector<T> consumer(count);
  Times ours;
  Times theirs;
  for (int round = 0; round < rounds; ++round) {
    const T value = static_cast<T>(round + ranks.rank());
    ranks.barrier();
    const auto a = Clock::now();
    std::fill_n(reduction->data(), count, value);
    const auto b = Clock::now();
    reduction->start();
    reduction->finish();
    const auto c = Clock::now();
    for (std::size_t i = 0; i < count; ++i) consumer[i] += reduction->sum()[i];
    const auto d = Clock::now();

    MPI_Barrier(MPI_COMM_WORLD);
    const auto e = Clock::now();
    std::fill_n(part.data(), count, value);
    const auto f = Clock::now();
    MPI_Allreduce(MPI_IN_PLACE, part.data(), static_cast<int>(count), mpi_type, MPI_SUM, MPI_COMM_WORLD);
    const auto g = Clock::now();
    for (std::size_t i = 0; i < count; ++i) consumer[i] += part[i];
    const auto h = Clock::now();

    ours.reduce.push_back(microseconds(b, c));
    ours.step.push_back(microseconds(a, d));
    theirs.reduce.push_back(microseconds(f, g));
    theirs.step.push_back(microseconds(e, h));
  }
  if (!ranks.is_root()) return;
  std::printf("%zu x %s, %s\n", count, type, ranks.description().c_str());
  print("  Reduction", ours);
  print("  MPI_Allreduce", theirs);
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 117056;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 2000;
  const auto ranks = ganymede::comm::make_mpi_communicator({});
  compare<float>(*ranks, "float", MPI_FLOAT, count, rounds);
  compare<std::int64_t>(*ranks, "int64", MPI_INT64_T, count, rounds);
  return 0;
}
