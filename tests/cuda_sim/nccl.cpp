// NCCL's communicators and all-reduce, over MPI. A communicator's ranks are those of MPI_COMM_WORLD. They find each
// other and exchange their parts by messages on a tag that the unique id makes: what belongs together is so even when
// a rank comes late or never, and no other collective of the program can be taken for one of these (a non-blocking MPI
// collective would have to be called in one order with all others). Every rank adds the parts in rank order: the
// same bits everywhere.
//
// All-reduces on one communicator run in the order in which they were enqueued, also those of captured graphs.
// A non-blocking communicator answers ncclInProgress for a while, and enqueues an operation that it answered so
// only when the program has polled long enough: going on too early shows.
//
// A GPU goes on with a collective while its host does something else, such as waiting for the same other rank in MPI.
// So does a thread here, once the host has called nothing for a few milliseconds; it runs what collectives wait for and
// nothing else. It needs MPI_THREAD_MULTIPLE.
#include <mpi.h>
#include <nccl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "cuda_sim/cuda_sim.hpp"
#include "cuda_sim/devices.hpp"
#include "cuda_sim/errors.hpp"
#include "cuda_sim/graphs.hpp"
#include "cuda_sim/libraries.hpp"
#include "cuda_sim/memory.hpp"
#include "cuda_sim/scheduler.hpp"

namespace cuda_sim {
namespace {

/// What ranks tell each other before anything else.
struct Hello {
  char host[64] = {};
  char pci[16] = {};
};

/// In front of each rank's part of an all-reduce.
struct Header {
  struct Call {
    std::uint64_t sequence = 0;
    std::uint64_t count = 0;
    std::uint64_t type = 0;
    bool operator==(const Call&) const = default;
  } call;
  std::uint64_t begins = 0;  ///< by the device's clock
};

struct Communicator {
  int rank = 0;
  int size = 1;
  int tag = 0;
  int device = 0;
  bool blocking = true;
  bool gone = false;     ///< destroyed or aborted
  bool aborted = false;  ///< what was enqueued before then ends without a sum
  bool ready = false;
  std::vector<bool> met;  ///< by rank: its Hello has come
  std::vector<Hello> hellos;
  std::size_t polls_left = 0;     ///< in progress until so many more
  std::function<void()> delayed;  ///< enqueues what was answered with ncclInProgress
  ncclResult_t failed = ncclSuccess;
  std::string error;
  std::uint64_t started = 0;  ///< all-reduces
  std::shared_ptr<Sequence> sequence = std::make_shared<Sequence>();
  std::map<void*, Allocation*> registered;
};
using CommunicatorPtr = std::shared_ptr<Communicator>;

struct Sent {
  MPI_Request request;
  std::shared_ptr<std::vector<std::byte>> data;
};

struct Nccl {
  std::map<ncclComm_t, CommunicatorPtr> communicators;
  std::vector<Sent> sent;
  bool unreachable = false;
  std::thread* background = nullptr;
  std::atomic<bool> stop{false};
};

Nccl& nccl() {
  static auto* const state = new Nccl;
  return *state;
}

bool mpi_runs() {
  int initialised = 0;
  int finalised = 0;
  PMPI_Initialized(&initialised);
  PMPI_Finalized(&finalised);
  return initialised != 0 && finalised == 0;
}

void send(int to, int tag, std::shared_ptr<std::vector<std::byte>> data) {
  MPI_Request request = MPI_REQUEST_NULL;
  PMPI_Isend(data->data(), static_cast<int>(data->size()), MPI_BYTE, to, tag, MPI_COMM_WORLD, &request);
  nccl().sent.push_back({request, std::move(data)});
}

/// Forgets what has gone out; true when nothing is left.
bool flush_sent() {
  if (!mpi_runs()) return true;
  std::erase_if(nccl().sent, [](Sent& sent) {
    int done = 0;
    PMPI_Test(&sent.request, &done, MPI_STATUS_IGNORE);
    return done != 0;
  });
  return nccl().sent.empty();
}

template <class T>
void add(const std::byte* from, std::byte* to, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    T a;
    T b;
    std::memcpy(&a, to + i * sizeof(T), sizeof(T));
    std::memcpy(&b, from + i * sizeof(T), sizeof(T));
    if constexpr (std::is_same_v<T, std::int64_t>) {
      a = static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
    } else {
      a += b;
    }
    std::memcpy(to + i * sizeof(T), &a, sizeof(T));
  }
}

/// One all-reduce under way.
class AllReduce {
 public:
  AllReduce(CommunicatorPtr communicator, const void* from, void* to, std::size_t count, ncclDataType_t type)
      : communicator_(std::move(communicator)),
        to_(static_cast<std::byte*>(to)),
        bytes_(count * (type == ncclFloat32 ? sizeof(float) : sizeof(std::int64_t))),
        header_{{communicator_->started++, count, static_cast<std::uint64_t>(type)}, executing()->begins},
        last_(header_.begins),
        parts_(static_cast<std::size_t>(communicator_->size)) {
    auto mine = std::make_shared<std::vector<std::byte>>(sizeof header_ + bytes_);
    std::memcpy(mine->data(), &header_, sizeof header_);
    std::memcpy(mine->data() + sizeof header_, from, bytes_);
    for (int rank = 0; rank < communicator_->size; ++rank) {
      if (rank != communicator_->rank) {
        send(rank, communicator_->tag, mine);
      } else {
        part(rank).data = *mine;
        part(rank).there = true;
      }
    }
    std::memset(to_, 0xFF, bytes_);  // the result's memory holds nothing until the sum is complete
  }

  /// True when the sum is there.
  bool poll() {
    if (communicator_->gone) return true;
    flush_sent();
    bool all = true;
    for (int rank = 0; rank < communicator_->size; ++rank) {
      if (!part(rank).there && !receive(rank)) all = false;
    }
    if (!all) {
      if (std::chrono::steady_clock::now() - start_ > std::chrono::seconds(60)) {
        violation("all-reduce " + std::to_string(header_.call.sequence) + " of rank " +
                  std::to_string(communicator_->rank) + " has waited for the other ranks for a minute");
        return true;
      }
      return false;
    }
    std::memcpy(to_, parts_[0].data.data() + sizeof(Header), bytes_);
    for (int rank = 1; rank < communicator_->size; ++rank) {
      const std::byte* const from = part(rank).data.data() + sizeof(Header);
      if (header_.call.type == ncclFloat32) {
        add<float>(from, to_, header_.call.count);
      } else {
        add<std::int64_t>(from, to_, header_.call.count);
      }
    }
    executing()->ends = last_;
    return true;
  }

 private:
  struct Part {
    bool there = false;
    MPI_Request request = MPI_REQUEST_NULL;
    std::vector<std::byte> data;
  };
  Part& part(int rank) { return parts_[static_cast<std::size_t>(rank)]; }

  bool receive(int rank) {
    Part& theirs = part(rank);
    int found = 0;
    if (theirs.request == MPI_REQUEST_NULL) {
      MPI_Message message = MPI_MESSAGE_NULL;
      MPI_Status status;
      PMPI_Improbe(rank, communicator_->tag, MPI_COMM_WORLD, &found, &message, &status);
      if (found == 0) return false;
      int bytes = 0;
      PMPI_Get_count(&status, MPI_BYTE, &bytes);
      theirs.data.resize(static_cast<std::size_t>(bytes));
      PMPI_Imrecv(theirs.data.data(), bytes, MPI_BYTE, &message, &theirs.request);
    }
    PMPI_Test(&theirs.request, &found, MPI_STATUS_IGNORE);
    if (found == 0) return false;
    theirs.there = true;
    Header header;
    std::memcpy(&header, theirs.data.data(), std::min(sizeof header, theirs.data.size()));
    last_ = std::max(last_, header.begins);
    if (header.call != header_.call) {
      violation("all-reduce " + std::to_string(header_.call.sequence) + " of rank " +
                std::to_string(communicator_->rank) + " has " + std::to_string(header_.call.count) +
                " elements of type " + std::to_string(header_.call.type) + ", rank " + std::to_string(rank) +
                "'s (its " + std::to_string(header.call.sequence) + ") has " + std::to_string(header.call.count) +
                " of type " + std::to_string(header.call.type));
      theirs.data.assign(sizeof header_ + bytes_, std::byte{0xFF});
    }
    return true;
  }

  CommunicatorPtr communicator_;
  std::byte* to_;
  std::size_t bytes_;
  Header header_;
  std::uint64_t last_;  ///< of the ranks' beginnings
  std::vector<Part> parts_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void fail(Communicator& communicator, ncclResult_t code, const std::string& text) {
  communicator.failed = code;
  communicator.error = text;
}

/// Takes what other ranks have said of themselves; makes the communicator ready when all have.
void meet(Communicator& communicator) {
  if (communicator.ready || communicator.failed != ncclSuccess || nccl().unreachable ||
      std::getenv("GANYMEDE_CUDA_SIM_UNREACHABLE") != nullptr)
    return;
  bool all = true;
  for (int rank = 0; rank < communicator.size; ++rank) {
    const auto at = static_cast<std::size_t>(rank);
    if (communicator.met[at]) continue;
    int found = 0;
    MPI_Message message = MPI_MESSAGE_NULL;
    PMPI_Improbe(rank, communicator.tag, MPI_COMM_WORLD, &found, &message, MPI_STATUS_IGNORE);
    if (found == 0) {
      all = false;
      continue;
    }
    PMPI_Mrecv(&communicator.hellos[at], sizeof(Hello), MPI_BYTE, &message, MPI_STATUS_IGNORE);
    communicator.met[at] = true;
  }
  flush_sent();
  if (!all) return;
  for (int a = 0; a < communicator.size; ++a) {
    for (int b = a + 1; b < communicator.size; ++b) {
      const Hello& one = communicator.hellos[static_cast<std::size_t>(a)];
      const Hello& other = communicator.hellos[static_cast<std::size_t>(b)];
      if (std::strcmp(one.host, other.host) != 0 || std::strcmp(one.pci, other.pci) != 0) continue;
      return fail(communicator, ncclInvalidUsage,
                  "Duplicate GPU detected : rank " + std::to_string(a) + " and rank " + std::to_string(b) +
                      " both on CUDA device " + one.pci);
    }
  }
  communicator.ready = true;
}

/// The state that ncclCommGetAsyncError tells, which also moves things on.
ncclResult_t state_of(Communicator& communicator) {
  meet(communicator);
  if (communicator.failed != ncclSuccess) return communicator.failed;
  if (!communicator.ready) return ncclInProgress;
  if (communicator.polls_left > 0) {
    --communicator.polls_left;
    return ncclInProgress;
  }
  if (communicator.delayed) std::exchange(communicator.delayed, nullptr)();
  return communicator.failed;
}

/// For blocking communicators: waits, with the lock open now and then.
ncclResult_t wait_until_ready(Communicator& communicator) {
  for (;;) {
    const ncclResult_t state = state_of(communicator);
    if (state != ncclInProgress) return state;
    simulation_mutex().unlock();
    usleep(100);
    simulation_mutex().lock();
  }
}

void work_in_background() {
  while (!nccl().stop) {
    usleep(1000);
    std::unique_lock lock(simulation_mutex(), std::try_to_lock);
    if (!lock.owns_lock() || !mpi_runs()) continue;
    const long now =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
    if (now - Call::last_end() < 5) continue;
    flush_sent();
    run_collectives();
    close_memory();
  }
}

void start_background() {
  int level = MPI_THREAD_SINGLE;
  PMPI_Query_thread(&level);
  if (nccl().background != nullptr || level != MPI_THREAD_MULTIPLE) return;
  nccl().stop = false;
  nccl().background = new std::thread(work_in_background);
}

/// When no communicator of several ranks is left. The thread never waits for the lock that the caller holds.
void stop_background_if_idle() {
  const bool needed = std::any_of(nccl().communicators.begin(), nccl().communicators.end(),
                                  [](const auto& entry) { return entry.second->size > 1; });
  if (needed || nccl().background == nullptr) return;
  for (int tries = 0; !flush_sent() && tries < 5000; ++tries) usleep(1000);
  nccl().stop = true;
  nccl().background->join();
  delete std::exchange(nccl().background, nullptr);
}

int tag_of(const ncclUniqueId& id) {
  std::uint64_t hash = 1469598103934665603U;  // FNV-1a
  for (const char byte : id.internal) hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211U;
  int* bound = nullptr;
  int found = 0;
  PMPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, static_cast<void*>(&bound), &found);
  const auto limit = static_cast<std::uint64_t>(found != 0 ? *bound : 32767);
  return static_cast<int>(limit / 2 + hash % (limit / 2));
}

ncclResult_t initialise(ncclComm_t* to, int size, const ncclUniqueId& id, int rank, const ncclConfig_t* config) {
  if (to == nullptr || size < 1 || rank < 0 || rank >= size) return ncclInvalidArgument;
  const ncclConfig_t defaults = NCCL_CONFIG_INITIALIZER;
  if (config != nullptr && config->magic != defaults.magic) return ncclInvalidArgument;
  if (use_device() != cudaSuccess) return ncclUnhandledCudaError;
  auto fresh = std::make_shared<Communicator>();
  fresh->rank = rank;
  fresh->size = size;
  fresh->device = current_device();
  fresh->blocking = config == nullptr || config->blocking != 0;  // unset: blocking
  fresh->polls_left = pick(6);
  fresh->met.assign(static_cast<std::size_t>(size), false);
  fresh->hellos.resize(static_cast<std::size_t>(size));
  Hello& mine = fresh->hellos[static_cast<std::size_t>(rank)];
  gethostname(mine.host, sizeof mine.host - 1);
  std::strncpy(mine.pci, device_pci(fresh->device).c_str(), sizeof mine.pci - 1);
  fresh->met[static_cast<std::size_t>(rank)] = true;
  if (size > 1) {
    int world_size = 0;
    int world_rank = 0;
    if (mpi_runs()) {
      PMPI_Comm_size(MPI_COMM_WORLD, &world_size);
      PMPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    }
    if (world_size != size || world_rank != rank) return ncclSystemError;  // only MPI_COMM_WORLD is simulated
    fresh->tag = tag_of(id);
    auto hello = std::make_shared<std::vector<std::byte>>(sizeof mine);
    std::memcpy(hello->data(), &mine, sizeof mine);
    for (int other = 0; other < size; ++other) {
      if (other != rank) send(other, fresh->tag, hello);
    }
    start_background();
  }
  *to = reinterpret_cast<ncclComm_t>(fresh.get());
  nccl().communicators.emplace(*to, fresh);
  return fresh->blocking ? wait_until_ready(*fresh) : ncclInProgress;
}

CommunicatorPtr find(ncclComm_t handle) {
  const auto found = nccl().communicators.find(handle);
  return found == nccl().communicators.end() ? nullptr : found->second;
}

bool in_allocation(const void* pointer, std::size_t bytes) {
  const Allocation* const allocation = find_device(pointer);
  const auto* const begin = static_cast<const std::byte*>(pointer);
  return allocation != nullptr && allocation->live && begin >= allocation->begin &&
         begin + bytes <= allocation->begin + allocation->bytes;
}

ncclResult_t all_reduce(const void* from, void* to, std::size_t count, ncclDataType_t type, ncclRedOp_t operation,
                        const CommunicatorPtr& communicator, cudaStream_t stream_handle) {
  Stream* const stream = find_stream(stream_handle);
  if (communicator == nullptr || stream == nullptr) return ncclInvalidArgument;
  // Before the last call has become ncclSuccess there may be no other.
  if (communicator->failed != ncclSuccess) return communicator->failed;
  if (!communicator->ready || communicator->polls_left > 0 || communicator->delayed) return ncclInvalidArgument;
  if (stream->device != communicator->device) return ncclInvalidUsage;
  if (operation != ncclSum || (type != ncclFloat32 && type != ncclInt64)) return ncclInvalidArgument;
  const std::size_t bytes = count * (type == ncclFloat32 ? sizeof(float) : sizeof(std::int64_t));
  if (!in_allocation(from, bytes) || !in_allocation(to, bytes)) return ncclInvalidArgument;

  auto work = std::make_shared<Work>();
  work->kind = cudaGraphNodeTypeKernel;
  work->name = "ncclAllReduce " + std::to_string(count) + (type == ncclFloat32 ? " float32" : " int64");
  work->accesses = {{from, bytes, false}, {to, bytes, true}};
  work->sequence = communicator->sequence;
  work->start = [=]() -> std::function<bool()> {
    if (communicator->gone) {
      if (!communicator->aborted) violation("an all-reduce runs on a communicator that was destroyed");
      return [] { return true; };
    }
    auto under_way = std::make_shared<AllReduce>(communicator, from, to, count, type);
    return [under_way] { return under_way->poll(); };
  };
  auto enqueue_now = [communicator, stream_handle, work = WorkPtr(work)] {
    Stream* const target = find_stream(stream_handle);
    if (target == nullptr || issue(*target, work) != cudaSuccess) {
      fail(*communicator, ncclUnhandledCudaError, "the all-reduce could not be enqueued");
    }
  };
  if (!communicator->blocking && pick(3) == 0) {
    communicator->delayed = std::move(enqueue_now);
    communicator->polls_left = pick(4);
    return ncclInProgress;
  }
  enqueue_now();
  return communicator->failed;
}

}  // namespace

void make_peers_unreachable() {
  const std::lock_guard lock(simulation_mutex());
  nccl().unreachable = true;
}

void reset_nccl() {
  for (auto& [handle, communicator] : nccl().communicators) communicator->gone = true;
  nccl().communicators.clear();
  nccl().unreachable = false;
  stop_background_if_idle();
}

void describe_nccl_leaks(std::vector<std::string>& to) {
  if (const std::size_t count = nccl().communicators.size(); count > 0) {
    to.push_back(std::to_string(count) + " NCCL communicator(s) were not destroyed");
  }
}

}  // namespace cuda_sim

using namespace cuda_sim;  // NOLINT(google-build-using-namespace): the functions below are C

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  const Call call(__func__, Call::nccl);
  if (call.failed()) return call.error<ncclResult_t>();
  if (version == nullptr) return ncclInvalidArgument;
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const Call call(__func__, Call::nccl);
  if (call.failed()) return call.error<ncclResult_t>();
  if (id == nullptr) return ncclInvalidArgument;
  *id = {};
  std::random_device random;
  for (std::size_t i = 0; i < sizeof id->internal; i += sizeof(unsigned)) {
    const unsigned value = random();
    std::memcpy(id->internal + i, &value, sizeof value);
  }
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank, ncclConfig_t* config) {
  const Call call(__func__, Call::nccl);
  return call.failed() ? call.error<ncclResult_t>() : initialise(comm, size, id, rank, config);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* to) {
  const Call call(__func__, Call::nccl);
  if (call.failed()) return call.error<ncclResult_t>();
  const CommunicatorPtr communicator = find(comm);
  if (communicator == nullptr || to == nullptr) return ncclInvalidArgument;
  *to = state_of(*communicator);
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t operation,
                           ncclComm_t comm, cudaStream_t stream) {
  const Call call(__func__, Call::nccl);
  if (call.failed()) return call.error<ncclResult_t>();
  return all_reduce(from, to, count, type, operation, find(comm), stream);
}

ncclResult_t ncclMemAlloc(void** to, size_t bytes) {
  const Call call(__func__, Call::nccl);
  if (call.failed()) return call.error<ncclResult_t>();
  if (to == nullptr) return ncclInvalidArgument;
  return cudaMalloc(to, bytes) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t ncclMemFree(void* pointer) {
  const Call call(__func__, Call::nccl);
  if (call.failed()) return call.error<ncclResult_t>();
  return cudaFree(pointer) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t ncclCommRegister(ncclComm_t comm, void* buffer, size_t bytes, void** handle) {
  const Call call(__func__, Call::nccl);
  if (call.failed()) return call.error<ncclResult_t>();
  const CommunicatorPtr communicator = find(comm);
  if (communicator == nullptr || handle == nullptr || !in_allocation(buffer, bytes)) return ncclInvalidArgument;
  if (!communicator->ready) return ncclInvalidArgument;
  *handle = buffer;
  communicator->registered[buffer] = find_device(buffer);
  return ncclSuccess;
}

ncclResult_t ncclCommDeregister(ncclComm_t comm, void* handle) {
  const Call call(__func__, Call::nccl);
  if (call.failed()) return call.error<ncclResult_t>();
  const CommunicatorPtr communicator = find(comm);
  if (communicator == nullptr) return ncclInvalidArgument;
  const auto found = communicator->registered.find(handle);
  if (found == communicator->registered.end()) return ncclInvalidArgument;
  if (!found->second->live) violation(found->second->text() + " was freed while registered with NCCL");
  communicator->registered.erase(found);
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const Call call(__func__, Call::nccl);
  if (call.failed()) return call.error<ncclResult_t>();
  const CommunicatorPtr communicator = find(comm);
  if (communicator == nullptr) return ncclInvalidArgument;
  if (!communicator->ready) return ncclInvalidArgument;
  run_until({communicator->sequence->last});
  if (communicator->blocking) return ncclSuccess;
  communicator->polls_left = pick(4);
  return communicator->polls_left > 0 ? ncclInProgress : ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const Call call(__func__, Call::nccl);
  if (call.failed()) return call.error<ncclResult_t>();
  const CommunicatorPtr communicator = find(comm);
  if (communicator == nullptr) return ncclInvalidArgument;
  if (communicator->ready) run_until({communicator->sequence->last});
  communicator->gone = true;
  nccl().communicators.erase(comm);
  stop_background_if_idle();
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const Call call(__func__, Call::nccl);
  if (call.failed()) return call.error<ncclResult_t>();
  const CommunicatorPtr communicator = find(comm);
  if (communicator == nullptr) return ncclInvalidArgument;
  communicator->gone = communicator->aborted = true;
  // What will never run refers to its communicator.
  communicator->sequence->last = nullptr;
  communicator->delayed = nullptr;
  nccl().communicators.erase(comm);
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error (run with NCCL_DEBUG=INFO for details)";
    case ncclSystemError:
      return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
    case ncclInternalError:
      return "internal error - please report this issue to the NCCL developers";
    case ncclInvalidArgument:
      return "invalid argument (run with NCCL_DEBUG=WARN for details)";
    case ncclInvalidUsage:
      return "invalid usage (run with NCCL_DEBUG=WARN for details)";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unknown result code";
  }
}

const char* ncclGetLastError(ncclComm_t comm) {
  const Call call(__func__, Call::nccl);
  const CommunicatorPtr communicator = find(comm);
  static thread_local std::string text;
  text = communicator == nullptr ? "" : communicator->error;
  return text.c_str();
}

}  // extern "C"
