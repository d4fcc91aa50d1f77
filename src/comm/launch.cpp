// Decides between one process and MPI.
#include "comm/launch.hpp"

#include <cstdlib>

#include "comm/mpi.hpp"
#include "core/numbers.hpp"
#include "ganymede/communicator.hpp"

namespace ganymede {
namespace comm {
namespace {

std::optional<int> number(const char* text) { return text == nullptr ? std::nullopt : number_from<int>(text); }

constexpr const char* slurm_advice = "start it with `srun --mpi=pmix`, or with `mpirun` inside the batch script";

}  // namespace

Launch detect_launch(const Environment& environment) {
  if (const auto size = number(environment("OMPI_COMM_WORLD_SIZE"))) return {true, size};

  // Under srun this is the number of its tasks. (SLURM_NTASKS is the job's, and is set in a batch script too,
  // where one process alone is right.)
  const auto tasks = number(environment("SLURM_STEP_NUM_TASKS"));
  if (environment("PMIX_RANK") != nullptr && environment("PMIX_NAMESPACE") != nullptr) return {true, tasks};
  if (tasks.value_or(1) > 1) {
    throw Error(ExitCode::launch, "Slurm started " + std::to_string(*tasks) +
                                      " tasks without PMIx, so they cannot find each other: " + slurm_advice);
  }
  const auto pmi_size = number(environment("PMI_SIZE"));
  if (pmi_size.value_or(1) > 1) {
    throw Error(ExitCode::launch, "a launcher of another MPI started " + std::to_string(*pmi_size) +
                                      " processes that cannot find each other: use Open MPI's mpirun");
  }
  return {};
}

}  // namespace comm

std::unique_ptr<Communicator> make_communicator() {
  const comm::Launch launch = comm::detect_launch([](const char* name) { return std::getenv(name); });
  if (!launch.mpi) return make_local_communicator();

  auto ranks = comm::make_mpi_communicator({});
  if (launch.expected_size && ranks->size() != *launch.expected_size) {
    throw Error(ExitCode::launch, "the launcher started " + std::to_string(*launch.expected_size) +
                                      " ranks, but MPI sees " + std::to_string(ranks->size()) +
                                      ": launcher and Open MPI do not fit together; under Slurm " + comm::slurm_advice);
  }
  return ranks;
}

}  // namespace ganymede
