// A question to something that may not answer, such as a file server or a driver: asked in a thread of its own, and
// waited for no longer than the one who asks can wait.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <utility>

#include "core/heartbeat.hpp"
#include "core/thread_without_signals.hpp"

namespace ganymede::doctor {

/// Questions that have not been answered yet.
inline std::atomic<int> unanswered = 0;

template <class Answer>
class Probe {
 public:
  /// `ask` may outlive whoever asks, up to the end of the process: it owns all that it needs.
  explicit Probe(std::function<Answer()> ask) {
    struct Question {
      std::function<Answer()> ask;
      std::promise<Answer> promise;
      std::atomic<std::uint32_t> pieces;
    };
    auto question = std::make_shared<Question>();
    question->ask = std::move(ask);
    answer_ = question->promise.get_future();
    thread_without_signals([question] {
      const heartbeat::Aside aside(question->pieces);
      const auto ask = [&] {
        const struct Counted {
          Counted() { ++unanswered; }
          Counted(const Counted&) = delete;
          Counted& operator=(const Counted&) = delete;
          ~Counted() { --unanswered; }
        } counted;
        return question->ask();
      };
      try {
        question->promise.set_value(ask());
      } catch (...) {
        question->promise.set_exception(std::current_exception());
      }
    }).detach();
  }

  /// The answer, or what the question threw; nothing where it has not come within so many seconds. Once.
  std::optional<Answer> within(double seconds) {
    if (answer_.wait_for(std::chrono::duration<double>(seconds)) != std::future_status::ready) return std::nullopt;
    return answer_.get();
  }

 private:
  std::future<Answer> answer_;
};

}  // namespace ganymede::doctor
