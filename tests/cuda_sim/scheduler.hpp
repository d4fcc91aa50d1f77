// Streams, events and the operations in them, and the order in which operations run. An operation runs when a
// synchronisation (or a query, now and then) makes the scheduler run it: at random, after everything that it must
// follow.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cuda_sim/races.hpp"

namespace cuda_sim {

struct Capture;
struct Node;
struct Operation;
using OperationPtr = std::shared_ptr<Operation>;

struct Access {
  const void* begin;
  std::size_t bytes;
  bool write;
};

/// What all operations on one NCCL communicator follow: the one enqueued before.
struct Sequence {
  OperationPtr last;
};

/// What an operation does; a graph's launches share it.
struct Work {
  cudaGraphNodeType kind = cudaGraphNodeTypeEmpty;
  std::string name;
  std::vector<Access> accesses;  ///< those known beforehand
  std::function<void()> run;
  /// For what takes time (a collective), instead of `run`: starts it and returns a function that says when it is done.
  std::function<std::function<bool()>()> start;
  std::shared_ptr<Sequence> sequence;
};
using WorkPtr = std::shared_ptr<const Work>;

struct Operation {
  WorkPtr work;
  StampPtr stamp;
  Clock clock;
  int device = 0;
  int priority = 0;
  std::vector<OperationPtr> before;  ///< those not done yet when it was enqueued
  std::vector<Operation*> after;
  std::size_t waiting = 0;  ///< of `before`, not done
  std::uint64_t wanted = 0;
  std::function<bool()> poll;  ///< set while under way
  bool done = false;
  // By the device's clock: see cuda_sim.hpp.
  std::uint64_t begins = 0;  ///< nanoseconds; final once it runs
  std::uint64_t takes = 0;
  std::uint64_t ends = 0;  ///< once it is done
};

struct Stream {
  unsigned number = 0;  ///< 0: a device's legacy default stream
  int device = 0;
  bool blocking = true;  ///< synchronises with the legacy default stream
  int priority = 0;
  unsigned lane = 0;
  OperationPtr last;
  Clock clock;                      ///< of `last` and of what was waited for since
  std::vector<OperationPtr> waits;  ///< what the next operation follows besides
  Capture* capture = nullptr;
  std::vector<Node*> captured;  ///< while capturing: what the next node follows
};

struct Event {
  bool timed = true;
  OperationPtr operation;  ///< null: never recorded
  Capture* capture = nullptr;
  std::uint64_t capture_id = 0;
  std::vector<Node*> captured;
};

/// The stream of a handle; null when there is none. Null handle: the current device's legacy stream.
Stream* find_stream(cudaStream_t handle);
Event* find_event(cudaEvent_t handle);
std::vector<Stream*> streams();

/// Adds work to a stream (which is not capturing) behind everything before; `also` is followed too.
OperationPtr enqueue(Stream& stream, WorkPtr work, const std::vector<OperationPtr>& also = {});
/// The same, or a node where the stream is capturing: what every asynchronous API function calls.
cudaError_t issue(Stream& stream, WorkPtr work);
/// Where an operation runs, and how urgent it is: a stream's priority.
struct Where {
  int device = 0;
  int priority = 0;
};
/// A new operation that follows `before`, with a clock that has seen them and `clock`, on `lane`.
OperationPtr make_operation(WorkPtr work, Stamp stamp, const Clock& clock, Where where,
                            const std::vector<OperationPtr>& before);

/// Runs operations until these are done, then some more. The host has then seen them.
void run_until(const std::vector<OperationPtr>& targets);
/// Runs a random number of operations (more, the more often nothing else is called); as a query does.
void run_some();
/// Runs what collectives wait for, without the host's having asked; true when there was something to do.
bool run_collectives();

/// The operation now running; null if none. Readable by the signal handler.
Operation* executing();
bool in_host_function();
Clock& host_clock();
Lanes& lanes();
std::mt19937_64& random_numbers();
/// A random number in 0 … count-1.
std::size_t pick(std::size_t count);

/// Reads the environment at the first call.
void start();
std::uint64_t seed();
void reset_scheduler();
void reset_streams();
void describe_stream_leaks(std::vector<std::string>& to);

}  // namespace cuda_sim
