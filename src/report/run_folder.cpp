// See run_folder.hpp.
#include "report/run_folder.hpp"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <string>
#include <string_view>

#include "core/files.hpp"
#include "core/numbers.hpp"
#include "ganymede/error.hpp"

namespace ganymede {

std::filesystem::path RunFolder::sample(std::uint64_t step) const {
  return samples() / formatted("step-%08" PRIu64 ".png", step);
}

std::filesystem::path RunFolder::log(int rank) const { return logs() / formatted("rank-%04d.log", rank); }

void RunFolder::make() const {
  make_folders(samples());
  make_folders(logs());
  make_folders(checkpoints());
}

void RunFolder::sweep() const {
  // Not eval.json: `ganymede eval` writes it, which holds no run.
  const std::array own = {config(), metrics(), timing(), generator(), discriminator(), report()};
  std::string stays;
  for (const std::filesystem::path& folder : {root_, samples()}) {
    std::error_code error;
    for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
      const std::string name = name_of_unfinished(entry->path().filename().string());
      if (name.empty()) continue;
      const std::filesystem::path file = folder / name;
      if (std::find(own.begin(), own.end(), file) == own.end() && (folder == root_ || file.extension() != ".png"))
        continue;
      std::error_code failure;
      if (!std::filesystem::remove(entry->path(), failure) && failure && stays.empty())
        stays = entry->path().string() + ": cannot be deleted: " + failure.message();
    }
  }
  if (!stays.empty()) throw Error(ExitCode::data, stays);
}

std::vector<std::uint64_t> RunFolder::sampled_steps() const {
  std::vector<std::uint64_t> steps;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(samples(), error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with("step-")) continue;
    const std::uint64_t step = leading_number(std::string_view(name).substr(5));
    if (sample(step).filename() == name) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

}  // namespace ganymede
