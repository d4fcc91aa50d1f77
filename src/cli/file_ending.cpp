// See file_ending.hpp.
#include "cli/file_ending.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "ganymede/error.hpp"

namespace ganymede::cli {

void refuse_other_ending(const std::filesystem::path& out, const std::string& what, const std::vector<std::string>& own,
                         const std::string& option) {
  if (out == "-")
    throw Error(ExitCode::usage, option + " - names no file: let it end in " + own.front() +
                                     ", or give /dev/stdout for the standard output");
  constexpr std::array known = {".png",  ".jpg",   ".jpeg", ".gif",  ".bmp",  ".webp",        ".tif", ".tiff", ".svg",
                                ".pdf",  ".ppm",   ".pgm",  ".html", ".htm",  ".txt",         ".md",  ".csv",  ".tsv",
                                ".json", ".jsonl", ".ini",  ".log",  ".onnx", ".safetensors", ".pt",  ".pth",  ".ckpt",
                                ".pkl",  ".npy",   ".npz",  ".h5",   ".zip",  ".tar",         ".gz"};
  std::string ending = out.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  if (std::find(own.begin(), own.end(), ending) != own.end()) return;
  if (std::find(known.begin(), known.end(), ending) != known.end())
    throw Error(ExitCode::usage, option + " " + out.string() + " names another kind of file than the " + what +
                                     " that is written: let it end in " + own.front());
}

}  // namespace ganymede::cli
