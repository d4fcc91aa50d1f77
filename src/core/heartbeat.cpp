// The memory of the marks.
#include "core/heartbeat.hpp"

#include <sys/stat.h>
#include <unistd.h>

namespace ganymede {
namespace {

Pulse own_memory{};

// Where this thread's pieces count; null: they are beats.
constinit thread_local std::atomic<std::uint32_t>* pieces_aside = nullptr;

}  // namespace

std::string Label::text() const {
  std::string name;
  for (const std::uint64_t word : words_)
    for (int at = 0; at < 8; ++at) {
      const char c = static_cast<char>(word >> at * 8 & 0xFFU);
      if (c == '\0') return name;
      name += c;
    }
  return name;
}

Label Pulse::load(const StoredLabel& from) noexcept {
  Label::Words words{};
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = from[i].load(std::memory_order_relaxed);
  return Label(words);
}

namespace heartbeat {
namespace detail {

constinit std::atomic<Pulse*> current = &own_memory;

}  // namespace detail

void keep_in(Pulse* memory) noexcept {
  Pulse& from = detail::pulse();
  Pulse& to = memory == nullptr ? own_memory : *memory;
  if (&from == &to) return;
  to.beats = from.beats.load();
  to.step = from.step.load();
  to.waited = from.waited.load();
  Pulse::store(to.stage, Pulse::load(from.stage));
  Pulse::store(to.phase, Pulse::load(from.phase));
  Pulse::store(to.waiting, Pulse::load(from.waiting));
  struct stat names {};
  to.process_names = ::stat("/proc/self/ns/pid", &names) == 0 ? names.st_ino : 0;
  to.process = static_cast<std::uint64_t>(::getpid());
  detail::current = &to;
}

void piece() noexcept {
  if (pieces_aside == nullptr) return beat();
  pieces_aside->fetch_add(1);
  pieces_aside->notify_all();
}

Aside::Aside(std::atomic<std::uint32_t>& pieces) noexcept { pieces_aside = &pieces; }
Aside::~Aside() { pieces_aside = nullptr; }

void leave() noexcept { detail::pulse().leaving.store(1); }

}  // namespace heartbeat
}  // namespace ganymede
