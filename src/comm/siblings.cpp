// See siblings.hpp.
#include "comm/siblings.hpp"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "core/numbers.hpp"

namespace ganymede::comm {
namespace {

// The innermost launcher's first: a Slurm job's step may start mpirun. srun --mpi=pmix sets the second alone.
constexpr std::array<const char*, 2> rank_variables = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK"};
// Of launchers whose processes cannot find each other.
constexpr std::array<const char*, 2> task_variables = {"PMI_RANK", "SLURM_PROCID"};

// Behind the name in parentheses, which may hold any character: " S PARENT …".
std::optional<long> parent_of(const std::filesystem::path& process) {
  std::ifstream file(process / "stat");
  std::string text;
  if (!std::getline(file, text)) return std::nullopt;
  const std::size_t begin = text.rfind(") ");
  if (begin == std::string::npos || begin + 4 >= text.size()) return std::nullopt;
  return number_from<long>(std::string_view(text).substr(begin + 4, text.find(' ', begin + 4) - begin - 4));
}

std::optional<long> rank_of(const std::filesystem::path& process) {
  std::array<std::optional<long>, rank_variables.size()> found;
  std::ifstream file(process / "environ");
  for (std::string variable; std::getline(file, variable, '\0');)
    for (std::size_t i = 0; i < found.size(); ++i)
      if (const std::string begin = std::string(rank_variables[i]) + "="; variable.starts_with(begin))
        found[i] = number_from<long>(std::string_view(variable).substr(begin.size()));
  return found[0] ? found[0] : found[1];
}

std::optional<int> of_environment(const char* name) {
  const char* text = std::getenv(name);
  const std::optional<long> value = text == nullptr ? std::nullopt : number_from<long>(text);
  return value ? std::optional(static_cast<int>(*value)) : std::nullopt;
}

}  // namespace

std::map<int, std::uint64_t> sibling_ranks() {
  std::map<int, std::uint64_t> found;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc", error), end; !error && at != end; at.increment(error)) {
    const std::optional<long> process = number_from<long>(at->path().filename().string());
    if (!process || parent_of(at->path()) != ::getppid()) continue;
    if (const std::optional<long> rank = rank_of(at->path()))
      found[static_cast<int>(*rank)] = static_cast<std::uint64_t>(*process);
  }
  return found;
}

int launched_ranks() {
  if (const std::optional<int> size = of_environment("OMPI_COMM_WORLD_SIZE")) return *size;
  return of_environment("PMIX_RANK") ? of_environment("SLURM_STEP_NUM_TASKS").value_or(1) : 1;
}

int launched_rank() {
  for (const char* name : rank_variables)
    if (const std::optional<int> rank = of_environment(name)) return *rank;
  return 0;
}

bool is_first_task() {
  for (const auto& names : {rank_variables, task_variables})
    for (const char* name : names)
      if (const std::optional<int> task = of_environment(name)) return *task == 0;
  return true;
}

}  // namespace ganymede::comm
