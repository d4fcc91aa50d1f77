// `ganymede metrics`
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "cli/file_ending.hpp"
#include "cli/recorded_run.hpp"
#include "core/files.hpp"
#include "core/numbers.hpp"
#include "ganymede/error.hpp"
#include "report/metrics_log.hpp"

namespace ganymede::cli {
namespace {

constexpr std::size_t most_rows = 20;

// All that the records' lines show: of evaluations what was measured in any of them.
std::string csv(const std::vector<MetricsRecord>& records) {
  std::vector<MetricsField> fields;
  std::copy_if(metrics_fields().begin(), metrics_fields().end(), std::back_inserter(fields), [&](const auto& field) {
    return !field.evaluation || std::any_of(records.begin(), records.end(), [&](const MetricsRecord& record) {
      return !std::isnan(record.*field.member);
    });
  });
  std::string text = "step,images_seen";
  for (const MetricsField& field : fields) text += std::string(",") + field.key;
  text += '\n';
  for (const MetricsRecord& record : records) {
    text += std::to_string(record.step) + ',' + std::to_string(record.images_seen);
    for (const MetricsField& field : fields)
      text += ',' + (std::isfinite(record.*field.member) ? value_text(record, field) : std::string());
    text += '\n';
  }
  return text;
}

void print_table(const std::vector<MetricsRecord>& records) {
  std::printf("%10s %8s %9s %9s %7s %7s %9s %9s\n", "step", "epoch", "D loss", "G loss", "D real", "D fake", "variety",
              "img/s");
  for (const std::size_t i : evenly(records.size(), most_rows)) {
    const MetricsRecord& r = records[i];
    const auto number = [](double value, int digits) {
      return std::isfinite(value) ? formatted("%.*g", digits, value) : "-";
    };
    std::printf("%10llu %8s %9s %9s %7s %7s %9s %9s\n", static_cast<unsigned long long>(r.step),
                number(r.epoch, 4).c_str(), number(r.discriminator_loss, 4).c_str(),
                number(r.generator_loss, 4).c_str(), number(r.real_accuracy, 3).c_str(),
                number(r.fake_accuracy, 3).c_str(), number(r.sample_diversity, 3).c_str(),
                number(std::round(r.images_per_second), 6).c_str());
  }
  if (records.size() > most_rows)
    std::printf("%zu of %zu records; --csv writes all of them, with all their columns\n", most_rows, records.size());
}

void print_findings(const Findings& findings) {
  for (const Finding& finding : findings.all()) {
    const std::string until = finding.until ? " to " + std::to_string(*finding.until) : " on";
    std::printf("from step %llu%s: %s\n", static_cast<unsigned long long>(finding.since), until.c_str(),
                finding.text.c_str());
  }
}

int run(const Parsed& parsed, Communicator& ranks) {
  on_root(ranks, [&] {
    const std::string& place = parsed.positional[0];
    if (parsed.has("out")) refuse_other_ending(parsed.values.at("out"), "CSV", {".csv", ".txt"});
    std::vector<MetricsRecord> records;
    const ReportedRun recorded = read_recorded_run(place, &records);
    if (!recorded.damage.empty()) std::fprintf(stderr, "ganymede: warning: %s\n", recorded.damage.c_str());
    if (parsed.on("csv")) {
      const std::string out = parsed.get("out", "-");
      if (out == "-") {
        std::fputs(csv(records).c_str(), stdout);
      } else {
        write_file_atomically(out, csv(records));
        std::printf("%zu records in %s\n", records.size(), out.c_str());
      }
      return;
    }
    if (parsed.has("out")) throw Error(ExitCode::usage, "--out is where --csv writes to: give that too");
    if (records.empty()) throw Error(ExitCode::data, place + " has no records yet");
    print_table(records);
    print_findings(recorded.findings);
  });
  return 0;
}

}  // namespace

Command metrics_command() {
  return {{"metrics",
           "Shows the records of a run and what they say, or writes them as a table for other programs.",
           "RUN",
           {{"csv", "", "all records with all their columns, as comma-separated values", "Options"},
            {"out", "FILE", "with --csv: the file; -: the standard output", "Options", "-"}}},
          run};
}

}  // namespace ganymede::cli
