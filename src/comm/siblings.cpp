// See siblings.hpp.
#include "comm/siblings.hpp"

#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

namespace ganymede::comm {
namespace {

constexpr std::string_view rank_variable = "OMPI_COMM_WORLD_RANK=";

std::optional<long> number(std::string_view text) {
  long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Behind the name in parentheses, which may hold any character: " S PARENT …".
std::optional<long> parent_of(const std::filesystem::path& process) {
  std::ifstream file(process / "stat");
  std::string text;
  if (!std::getline(file, text)) return std::nullopt;
  const std::size_t begin = text.rfind(") ");
  if (begin == std::string::npos || begin + 4 >= text.size()) return std::nullopt;
  return number(std::string_view(text).substr(begin + 4, text.find(' ', begin + 4) - begin - 4));
}

std::optional<long> rank_of(const std::filesystem::path& process) {
  std::ifstream file(process / "environ");
  for (std::string variable; std::getline(file, variable, '\0');)
    if (variable.starts_with(rank_variable)) return number(std::string_view(variable).substr(rank_variable.size()));
  return std::nullopt;
}

int of_environment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<int>(number(text).value_or(otherwise));
}

}  // namespace

std::map<int, std::uint64_t> sibling_ranks() {
  std::map<int, std::uint64_t> found;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc", error), end; !error && at != end; at.increment(error)) {
    const std::optional<long> process = number(at->path().filename().string());
    if (!process || parent_of(at->path()) != ::getppid()) continue;
    if (const std::optional<long> rank = rank_of(at->path()))
      found[static_cast<int>(*rank)] = static_cast<std::uint64_t>(*process);
  }
  return found;
}

int launched_ranks() { return of_environment("OMPI_COMM_WORLD_SIZE", 1); }
int launched_rank() { return of_environment("OMPI_COMM_WORLD_RANK", 0); }

}  // namespace ganymede::comm
