// Where this process is and that it gets on, for a watchdog to read while the thread that works may be stuck. Its one
// writer is the thread that works; a mark costs a few relaxed stores, without lock or allocation, and a wait two looks
// at the clock.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace ganymede {

/// A name of up to 23 bytes (longer ones are cut), as words that can be stored one by one: a reader who meets a change
/// half done sees a mixed name, and nothing worse.
class Label {
 public:
  static constexpr std::size_t words = 3;
  using Words = std::array<std::uint64_t, words>;

  constexpr Label() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a name in quotes is one
  constexpr Label(const char* name) {
    for (std::size_t at = 0; at < sizeof(Words) - 1 && name[at] != '\0'; ++at)
      words_[at / 8] |= std::uint64_t{static_cast<unsigned char>(name[at])} << at % 8 * 8;
  }
  constexpr explicit Label(const Words& stored) : words_(stored) {}

  friend constexpr bool operator==(const Label& a, const Label& b) { return a.words_ == b.words_; }

  [[nodiscard]] constexpr const Words& stored() const { return words_; }
  [[nodiscard]] std::string text() const;
  [[nodiscard]] constexpr bool empty() const { return words_[0] == 0; }

 private:
  Words words_{};
};

/// What the watchdog knows stages by.
namespace stages {
inline constexpr Label first_step("first step");
inline constexpr Label steps("steps");
inline constexpr Label output("output");  ///< waiting until what was printed has been taken
}  // namespace stages

/// The marks themselves. Zeroed memory is a valid one, also memory that processes of one host share.
struct Pulse {
  using StoredLabel = std::array<std::atomic<std::uint64_t>, Label::words>;
  std::atomic<std::uint64_t> beats;   ///< counts whatever was completed
  std::atomic<std::uint64_t> step;    ///< under way, counted from 1; 0: none yet
  StoredLabel stage;                  ///< "steps", "checkpoint", …
  StoredLabel phase;                  ///< within it; may be empty
  StoredLabel waiting;                ///< for the other ranks or a device, in what; empty: it is at work
  std::atomic<std::uint64_t> waited;  ///< nanoseconds, in all waits that are over
  std::atomic<std::uint64_t> process;
  std::atomic<std::uint64_t> process_names;  ///< in which process numbers are meant: the PID namespace
  std::atomic<std::uint64_t> leaving;        ///< not 0: it ends on purpose

  static void store(StoredLabel& to, const Label& name) noexcept {
    for (std::size_t i = 0; i < Label::words; ++i) to[i].store(name.stored()[i], std::memory_order_relaxed);
  }
  [[nodiscard]] static Label load(const StoredLabel& from) noexcept;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes share it");

namespace heartbeat {

namespace detail {
extern std::atomic<Pulse*> current;
inline Pulse& pulse() noexcept { return *current.load(std::memory_order_relaxed); }
}  // namespace detail

/// This process's marks.
inline const Pulse& pulse() noexcept { return detail::pulse(); }

/// From now on they are kept in `memory`, with what they say now; null: in this process's own again.
void keep_in(Pulse* memory) noexcept;

/// Where the marks are kept. The module of the GPU backend has all this once more, and makes its own there, too.
[[nodiscard]] inline Pulse* memory() noexcept { return &detail::pulse(); }
inline void mark_in(Pulse* memory) noexcept { detail::current.store(memory); }

/// Something was completed.
inline void beat() noexcept {
  std::atomic<std::uint64_t>& beats = detail::pulse().beats;
  beats.store(beats.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

/// A piece of input or output was completed, by whatever thread: a beat, unless the thread counts its pieces Aside.
void piece() noexcept;

/// While it lives the pieces of this thread, which is not the one that works, are no beats: they count in `pieces`, and
/// wake whoever waits for that to change.
class Aside {
 public:
  explicit Aside(std::atomic<std::uint32_t>& pieces) noexcept;
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;
  ~Aside();
};

/// A phase of the stage begins; an empty name: none.
inline void phase(const Label& name) noexcept {
  Pulse::store(detail::pulse().phase, name);
  beat();
}

/// A step begins.
inline void step(std::uint64_t number) noexcept {
  detail::pulse().step.store(number, std::memory_order_relaxed);
  phase({});
}

/// A stage begins.
inline void stage(const Label& name) noexcept {
  Pulse::store(detail::pulse().stage, name);
  phase({});
}

/// The process ends on purpose: whoever watches need not wonder.
void leave() noexcept;

/// A stage that gives way to the one before at the end of its scope.
class Stage {
 public:
  explicit Stage(const Label& name) noexcept
      : before_(Pulse::load(pulse().stage)), phase_before_(Pulse::load(pulse().phase)) {
    stage(name);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() {
    stage(before_);
    phase(phase_before_);
  }

 private:
  Label before_;
  Label phase_before_;
};

/// While it lives the process waits, in what `name` says. The outermost counts.
class Waiting {
 public:
  explicit Waiting(const Label& name) noexcept : outermost_(pulse().waiting[0].load(std::memory_order_relaxed) == 0) {
    if (outermost_) Pulse::store(detail::pulse().waiting, name);
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() {
    if (!outermost_) return;
    const std::chrono::nanoseconds waited = Clock::now() - began_;
    Pulse& marks = detail::pulse();
    marks.waited.store(marks.waited.load(std::memory_order_relaxed) + static_cast<std::uint64_t>(waited.count()),
                       std::memory_order_relaxed);
    Pulse::store(marks.waiting, {});
    beat();
  }

 private:
  using Clock = std::chrono::steady_clock;
  bool outermost_;
  Clock::time_point began_ = Clock::now();
};

}  // namespace heartbeat
}  // namespace ganymede
