// RUN/report.html: what a run was told, how it went and what it drew, in one file for a browser that needs nothing
// else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ganymede/options.hpp"
#include "report/curves.hpp"
#include "report/findings.hpp"

namespace ganymede {

/// A run as its report has it, besides what is read in its folder: pictures, log and eval.json.
struct ReportedRun {
  std::filesystem::path folder;
  std::map<std::string, std::string> options;  ///< as config.ini has them
  std::string recipe;                          ///< empty: not known
  Curves curves;
  Findings findings = {};
  std::string damage = {};  ///< why metrics.jsonl was not read to its end; empty where it was
};

/// The page of one run, or of several beside each other. What is missing in a folder is missing in the page, and the
/// page says so, as it does of what cannot be read; pictures are chosen evenly so that it stays below some 10 MB.
/// `known` are the options that the program has: train_option_specs().
std::string report_page(std::span<const ReportedRun> runs, std::span<const OptionSpec> known);

/// At most `most` of the numbers 0 … count-1: the last one, the first one, and others evenly between them.
std::vector<std::size_t> evenly(std::size_t count, std::size_t most);

/// RFC 4648, with padding.
std::string base64(std::string_view bytes);

/// JSON as a <script> element may hold it: no "<" is left that could end the element or begin a comment.
std::string for_script_element(std::string json);

}  // namespace ganymede
