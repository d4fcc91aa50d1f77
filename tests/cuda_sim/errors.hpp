// What every simulated function begins with: the lock, the count of calls, injected errors; and violations.
#pragma once

#include <cuda_runtime_api.h>

#include <mutex>
#include <string>

namespace cuda_sim {

/// The lock over the whole simulation.
std::recursive_mutex& simulation_mutex();

/// One call of an API function. Construct it first; when failed(), return error().
class Call {
 public:
  enum Kind { runtime, query, cublas, cudnn, nccl };
  /// `query`: a runtime function that neither a sticky error nor a host function's ban concerns.
  explicit Call(const char* function, Kind kind = runtime);
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call();
  [[nodiscard]] bool failed() const { return error_ != 0; }
  template <class Code = cudaError_t>
  [[nodiscard]] Code error() const {
    return static_cast<Code>(error_);
  }
  /// `code`, or the sticky error of an operation that ran meanwhile; remembered for cudaGetLastError.
  [[nodiscard]] cudaError_t result(cudaError_t code) const;
  /// When the last call of any function ended, in milliseconds of a steady clock.
  static long last_end();

 private:
  std::lock_guard<std::recursive_mutex> lock_;
  Kind kind_;
  int error_ = 0;
};

/// Reports a broken rule: collected, or printed, then the process aborts.
void violation(const std::string& text);
/// Prints and aborts, from a signal handler too.
[[noreturn]] void fatal(const char* text);

/// An error injected for the next operation, or cudaSuccess.
cudaError_t injected_operation_error();
/// An operation failed: every later call returns this.
void set_sticky_error(cudaError_t code);
[[nodiscard]] cudaError_t sticky_error();
void set_last_error(cudaError_t code);
/// Errors to inject as the environment says; forgets all others, counts and the sticky error.
void reset_errors();

}  // namespace cuda_sim
