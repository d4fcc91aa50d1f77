// `ganymede report`
#include <cstdio>

#include "cli/commands.hpp"
#include "cli/file_ending.hpp"
#include "cli/recorded_run.hpp"
#include "core/files.hpp"
#include "ganymede/error.hpp"
#include "report/animation.hpp"
#include "report/report.hpp"
#include "report/run_folder.hpp"

namespace ganymede::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_runs = 8;
constexpr const char* default_comparison = "comparison.html";

// Beside the page of one run in its own place: what a reader can pass on.
void write_animation(const RunFolder& folder) {
  const Animation animation = animated_progress(folder);
  if (animation.frames == 0) return;
  write_file_atomically(folder.progress(), animation.gif);
  std::printf("its progress in %zu of %zu sample grids: %s\n", animation.frames, folder.sampled_steps().size(),
              folder.progress().c_str());
}

int run(const Parsed& parsed, Communicator& ranks) {
  on_root(ranks, [&] {
    const std::vector<std::string>& places = parsed.positional;
    if (places.size() > most_runs)
      throw Error(ExitCode::usage, "report compares at most " + std::to_string(most_runs) +
                                       " runs, as many as there are colours to tell apart, and was given " +
                                       std::to_string(places.size()));
    if (parsed.has("out")) refuse_other_ending(parsed.values.at("out"), "page", {".html", ".htm"});
    std::vector<ReportedRun> runs;
    for (const std::string& place : places) runs.push_back(read_recorded_run(place));
    const fs::path out = parsed.get(
        "out", runs.size() > 1 ? std::string(default_comparison) : RunFolder(places.front()).report().string());
    write_file_atomically(out, report_page(runs, train_option_specs()));
    // Not into the file itself, should that be the standard output.
    std::fprintf(fs::is_regular_file(out) ? stdout : stderr, "report of %s in %s\n",
                 runs.size() == 1 ? places.front().c_str() : (std::to_string(runs.size()) + " runs").c_str(),
                 out.c_str());
    if (runs.size() == 1 && !parsed.has("out")) write_animation(RunFolder(places.front()));
  });
  return 0;
}

}  // namespace

Command report_command() {
  return {
      {"report",
       "Writes a page and an animation that show how a run went, or a page that compares several.",
       "RUN...",
       {{"out", "FILE.html",
         "the page, one file that needs no others; without this one run's progress goes into RUN/samples/progress.gif",
         "Options", std::string("RUN/report.html; of several runs ") + default_comparison}}},
      run};
}

}  // namespace ganymede::cli
