// Runs a fuzzer without libFuzzer: every seed of a folder, then COUNT mutations of them, the same ones each
// time. An input that ends the program is left in the working folder as fuzz-crash.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes running;

/// Leaves the input that ended the program in the working folder.
extern "C" void keep_input(int signal) {
  const int file = open("fuzz-crash", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const bool kept = file >= 0 && write(file, running.data(), running.size()) == static_cast<ssize_t>(running.size());
  static constexpr char message[] = "the input is in the file fuzz-crash\n";
  if (kept && write(STDERR_FILENO, message, sizeof message - 1) < 0) _exit(1);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(Bytes input) {
  running = std::move(input);
  LLVMFuzzerTestOneInput(running.data(), running.size());
}

/// One to four edits: a bit flipped, a byte replaced by an extreme, a range cut out, doubled or taken from
/// another seed, the end cut off.
Bytes mutate(Bytes bytes, const std::vector<Bytes>& seeds, std::mt19937& random) {
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (std::size_t edits = 1 + below(4); edits > 0; --edits) {
    const std::size_t size = bytes.size();
    const std::size_t at = size == 0 ? 0 : below(size);
    const std::size_t length = size == 0 ? 0 : 1 + below(std::min<std::size_t>(size - at, 16));
    const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    const auto last = first + static_cast<std::ptrdiff_t>(length);
    switch (below(6)) {
      case 0:
        if (size > 0) bytes[at] ^= static_cast<std::uint8_t>(1U << below(8));
        break;
      case 1:
        if (size > 0) bytes[at] = std::vector<std::uint8_t>{0x00, 0x01, 0x7F, 0x80, 0xFF, '"', '-', '9'}[below(8)];
        break;
      case 2:
        bytes.erase(first, last);
        break;
      case 3: {
        const Bytes range(first, last);
        bytes.insert(first, range.begin(), range.end());
        break;
      }
      case 4: {
        const Bytes& other = seeds[below(seeds.size())];
        const std::size_t from = other.empty() ? 0 : below(other.size());
        const std::size_t count = std::min<std::size_t>(other.size() - from, 16);
        bytes.insert(first, other.begin() + static_cast<std::ptrdiff_t>(from),
                     other.begin() + static_cast<std::ptrdiff_t>(from + count));
        break;
      }
      default:
        bytes.resize(at);
    }
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " FOLDER COUNT\n";
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<Bytes> seeds;
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  if (seeds.empty()) {
    std::cerr << argv[1] << " holds no seeds\n";
    return 3;
  }

  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(signal, keep_input);
  for (const Bytes& seed : seeds) run(seed);
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same mutations each time
  const int count = std::atoi(argv[2]);
  for (int i = 0; i < count; ++i) run(mutate(seeds[random() % seeds.size()], seeds, random));
  std::cout << seeds.size() << " seeds, " << count << " mutations\n";
  return 0;
}
