// What all ranks learn: failures, and texts of rank 0.
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "comm/failure.hpp"
#include "ganymede/communicator.hpp"

namespace ganymede {
namespace {

struct Failure {
  std::int64_t code = 0;
  std::string message;
  std::string host;
};

/// The failure of rank `origin`, on every rank.
Failure share(Communicator& ranks, const Failure& mine, int origin) {
  std::array<std::int64_t, 3> header = {mine.code, static_cast<std::int64_t>(mine.message.size()),
                                        static_cast<std::int64_t>(mine.host.size())};
  ranks.broadcast(header.data(), sizeof header, origin);
  std::string text = mine.message + mine.host;
  text.resize(static_cast<std::size_t>(header[1] + header[2]));
  ranks.broadcast(text.data(), text.size(), origin);
  const auto length = static_cast<std::size_t>(header[1]);
  return {header[0], text.substr(0, length), text.substr(length)};
}

}  // namespace

void together(Communicator& ranks, const std::function<void()>& action) {
  Failure mine;
  bool failed = false;
  try {
    action();
  } catch (...) {
    const Error error = comm::as_error(std::current_exception());
    mine = {static_cast<std::int64_t>(error.code()), error.what(), host_name()};
    failed = true;
  }
  // Who has waited for another in vain knows less than that one.
  const std::int64_t size = ranks.size();
  const bool waited = mine.code == static_cast<std::int64_t>(ExitCode::rank_lost);
  constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
  std::int64_t first = !failed ? none : ranks.rank() + (waited ? size : 0);
  ranks.all_min(std::span(&first, 1));
  if (first == none) return;

  const int origin = static_cast<int>(first % size);
  const Failure shared = share(ranks, mine, origin);
  std::int64_t same = failed && mine.message == shared.message ? 1 : 0;
  ranks.all_min(std::span(&same, 1));
  std::string message = shared.message;
  if (same == 0) message = "rank " + std::to_string(origin) + " on " + shared.host + ": " + message;
  throw AgreedError(static_cast<ExitCode>(shared.code), message);
}

void on_root(Communicator& ranks, const std::function<void()>& action) {
  together(ranks, [&] {
    if (ranks.is_root()) action();
  });
}

std::string shared_text(Communicator& ranks, std::string text) {
  auto size = static_cast<std::uint64_t>(text.size());
  ranks.broadcast(&size, sizeof size, 0);
  text.resize(size);
  ranks.broadcast(text.data(), text.size(), 0);
  return text;
}

std::map<std::string, std::string> shared_map(Communicator& ranks, const std::map<std::string, std::string>& map) {
  auto size = static_cast<std::uint64_t>(map.size());
  ranks.broadcast(&size, sizeof size, 0);
  std::map<std::string, std::string> shared;
  auto at = map.begin();
  for (std::uint64_t i = 0; i < size; ++i) {
    const bool root = ranks.is_root();
    std::string name = shared_text(ranks, root ? at->first : std::string());
    shared[std::move(name)] = shared_text(ranks, root ? at->second : std::string());
    if (root) ++at;
  }
  return shared;
}

}  // namespace ganymede
