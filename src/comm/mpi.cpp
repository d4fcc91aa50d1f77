// The communicator over MPI. Inside a node sums go through shared memory, between nodes through MPI.
#include "comm/mpi.hpp"

#include <mpi.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <optional>
#include <stdexcept>

#include "comm/end_process.hpp"
#include "comm/host_sum.hpp"
#include "comm/mpi_check.hpp"
#include "comm/node_sum.hpp"
#include "core/heartbeat.hpp"

namespace ganymede::comm {
namespace {

/// A communicator handle of MPI, freed with its owner.
class MpiGroup {
 public:
  MpiGroup() = default;
  MpiGroup(const MpiGroup&) = delete;
  MpiGroup& operator=(const MpiGroup&) = delete;
  ~MpiGroup() {
    // Freeing waits for the others, who may not come when this rank is in trouble.
    if (handle_ != MPI_COMM_NULL && std::uncaught_exceptions() == 0) MPI_Comm_free(&handle_);
  }
  [[nodiscard]] MPI_Comm get() const { return handle_; }
  [[nodiscard]] MPI_Comm* out() { return &handle_; }
  [[nodiscard]] int rank() const {
    int result = 0;
    check(MPI_Comm_rank(handle_, &result), "tell the rank");
    return result;
  }
  [[nodiscard]] int size() const {
    int result = 0;
    check(MPI_Comm_size(handle_, &result), "tell the number of ranks");
    return result;
  }

 private:
  MPI_Comm handle_ = MPI_COMM_NULL;
};

/// MPI between its initialisation and its end.
class MpiLibrary {
 public:
  MpiLibrary() {
    int initialised = 0;
    MPI_Initialized(&initialised);
    if (initialised != 0) return;
    // Without the first, waiting ranks keep the others off the processors when there are more ranks than
    // those. The second: containers often forbid the system calls behind it, each message then fails aloud.
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);
    // MULTIPLE, because a thread that watches over this one may have to abort the job while it waits in MPI.
    int provided = 0;
    if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided) != MPI_SUCCESS) {
      throw Error(ExitCode::launch, "MPI did not start; `mpirun -n 2 hostname` shows whether the launcher works");
    }
    owned_ = true;
    if (provided < MPI_THREAD_MULTIPLE)
      throw Error(ExitCode::launch,
                  "this MPI is built without threads (MPI_THREAD_MULTIPLE); the distribution's Open "
                  "MPI has them, and launch/install brings it");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  }
  MpiLibrary(const MpiLibrary&) = delete;
  MpiLibrary& operator=(const MpiLibrary&) = delete;
  ~MpiLibrary() {
    if (!owned_ || std::uncaught_exceptions() > 0) return;
    flush_output();
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Finalize();
  }

 private:
  bool owned_ = false;
};

/// Lets MPI move what is on its way, while this rank waits for something else than a message.
void mpi_progress() {
  int found = 0;
  MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_SELF, &found, MPI_STATUS_IGNORE);
}

/// MPI counts in int.
constexpr std::size_t largest_message = std::size_t{1} << 30;

/// Buffers of the ranks that share memory, and the way to the others.
class Exchange {
 public:
  /// `across` and `hosts` join the first ranks of all nodes, and are null on the other ranks.
  Exchange(NodeBuffers buffers, MPI_Comm across, std::unique_ptr<HostSum> hosts, bool several_nodes)
      : buffers_(std::move(buffers)), across_(across), hosts_(std::move(hosts)), several_nodes_(several_nodes) {}

  [[nodiscard]] std::byte* mine() const { return buffers_.buffer(buffers_.rank()); }
  [[nodiscard]] const std::byte* result() const { return buffers_.result(); }

  void start() {
    buffers_.gate().arrive();
    stage_ = Stage::writing;
  }

  /// After start(): combines the first `count` elements of all ranks' buffers into the result, as far as that goes
  /// without waiting (`may_wait`: as HostSum's); true once it is there.
  template <class T, class Combine>
  bool advance(std::size_t count, bool may_wait) {
    Gate& gate = buffers_.gate();
    if (stage_ == Stage::writing && gate.open()) {
      combine_slice<T, Combine>(buffers_, count);
      gate.arrive();
      stage_ = Stage::combining;
    }
    if (stage_ == Stage::combining && gate.open()) {
      stage_ = several_nodes_ ? Stage::exchanging : Stage::complete;
      if (stage_ == Stage::exchanging) {
        if (buffers_.rank() == 0)
          hosts_->start<T, Combine>(reinterpret_cast<T*>(buffers_.result()), count, buffers_.memory());
        else
          gate.arrive();
      }
    }
    if (stage_ == Stage::exchanging && buffers_.rank() == 0 && hosts_->advance(may_wait)) {
      gate.arrive();
      stage_ = Stage::handing_out;
    }
    if (stage_ == Stage::exchanging && buffers_.rank() != 0) stage_ = Stage::handing_out;
    if (stage_ == Stage::handing_out && gate.open()) stage_ = Stage::complete;
    return stage_ == Stage::complete;
  }

  template <class T, class Combine>
  void finish(std::size_t count) {
    const heartbeat::Waiting waiting("a sum over all ranks");
    Patience patience(mpi_progress);
    while (!advance<T, Combine>(count, true)) patience.wait();
  }

  void barrier() {
    const heartbeat::Waiting waiting("a barrier");
    buffers_.gate().meet();
    if (!several_nodes_) return;
    if (buffers_.rank() == 0) check(MPI_Barrier(across_), "wait for all ranks");
    buffers_.gate().meet();
  }

 private:
  enum class Stage { writing, combining, exchanging, handing_out, complete };
  NodeBuffers buffers_;
  MPI_Comm across_;
  std::unique_ptr<HostSum> hosts_;
  bool several_nodes_;
  Stage stage_ = Stage::complete;
};

template <class T>
class MpiReduction final : public Reduction<T> {
 public:
  MpiReduction(Exchange exchange, std::size_t count) : exchange_(std::move(exchange)) {
    this->size_ = count;
    this->data_ = reinterpret_cast<T*>(exchange_.mine());
    this->sum_ = reinterpret_cast<const T*>(exchange_.result());
  }
  void start() override {
    exchange_.start();
    advance();
  }
  void advance() override { exchange_.template advance<T, Sum>(this->size_, false); }
  void finish() override {
    const heartbeat::Waiting waiting("the sum of gradients");
    exchange_.template finish<T, Sum>(this->size_);
  }

 private:
  Exchange exchange_;
};

/// Messages on a communicator of their own, so that they meet no others.
class MpiMailbox final : public Mailbox {
 public:
  explicit MpiMailbox(MPI_Comm ranks) { check(MPI_Comm_dup(ranks, group_.out()), "start"); }
  MpiMailbox(const MpiMailbox&) = delete;
  MpiMailbox& operator=(const MpiMailbox&) = delete;
  // What is still on its way at the end keeps its memory: MPI may read or write it later.
  ~MpiMailbox() override {
    for (std::vector<std::unique_ptr<Transfer>>* transfers : {&outgoing_, &incoming_})
      for (std::unique_ptr<Transfer>& transfer : *transfers)
        if (!is_complete(*transfer)) (void)transfer.release();
  }

  void send(int to, const std::string& text) override {
    std::erase_if(outgoing_, [](const auto& transfer) { return is_complete(*transfer); });
    auto transfer = std::make_unique<Transfer>(Transfer{to, text, MPI_REQUEST_NULL});
    if (MPI_Isend(transfer->text.data(), static_cast<int>(text.size()), MPI_BYTE, to, 0, group_.get(),
                  &transfer->request) == MPI_SUCCESS)
      outgoing_.push_back(std::move(transfer));
  }

  std::optional<Letter> receive() override {
    int found = 0;
    MPI_Message message{};
    MPI_Status status;
    if (MPI_Improbe(MPI_ANY_SOURCE, 0, group_.get(), &found, &message, &status) == MPI_SUCCESS && found != 0) {
      int length = 0;
      MPI_Get_count(&status, MPI_BYTE, &length);
      auto transfer = std::make_unique<Transfer>(
          Transfer{status.MPI_SOURCE, std::string(static_cast<std::size_t>(length), '\0'), MPI_REQUEST_NULL});
      if (MPI_Imrecv(transfer->text.data(), length, MPI_BYTE, &message, &transfer->request) == MPI_SUCCESS)
        incoming_.push_back(std::move(transfer));
    }
    for (auto transfer = incoming_.begin(); transfer != incoming_.end(); ++transfer) {
      if (!is_complete(**transfer)) continue;
      Letter letter{(*transfer)->other, std::move((*transfer)->text)};
      incoming_.erase(transfer);
      return letter;
    }
    return std::nullopt;
  }

 private:
  struct Transfer {
    int other;
    std::string text;
    MPI_Request request;
  };
  static bool is_complete(Transfer& transfer) {
    int complete = 0;
    return MPI_Test(&transfer.request, &complete, MPI_STATUS_IGNORE) != MPI_SUCCESS || complete != 0;
  }

  MpiGroup group_;
  std::vector<std::unique_ptr<Transfer>> outgoing_;
  std::vector<std::unique_ptr<Transfer>> incoming_;
};

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(const MpiOptions& options)
      : most_hosts_(options.most_hosts), folders_(options.shared_memory) {
    check(MPI_Comm_dup(MPI_COMM_WORLD, world_.out()), "start");
    rank_ = world_.rank();
    size_ = world_.size();
    MpiGroup host;
    check(MPI_Comm_split_type(world_.get(), MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, host.out()), "find its nodes");
    const int part = options.ranks_per_node > 0 ? host.rank() / options.ranks_per_node : 0;
    check(MPI_Comm_split(host.get(), part, rank_, node_.out()), "find its nodes");
    node_rank_ = node_.rank();
    node_size_ = node_.size();
    check(MPI_Comm_split(world_.get(), node_rank_ == 0 ? 0 : MPI_UNDEFINED, rank_, leaders_.out()), "find its nodes");
    if (node_rank_ == 0) nodes_ = leaders_.size();
    node_broadcast(&nodes_, sizeof nodes_);
    scratch_ = std::make_unique<Exchange>(make_exchange(scratch_bytes));
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] int node_rank() const override { return node_rank_; }
  [[nodiscard]] int node_size() const override { return node_size_; }

  [[nodiscard]] std::string description() const override {
    std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
    int length = 0;
    check(MPI_Get_library_version(text.data(), &length), "tell its version");
    // "Open MPI v4.1.4, package: Debian OpenMPI, …"
    std::string library(text.data(), static_cast<std::size_t>(length));
    library.resize(std::min(library.find(','), library.size()));
    if (const auto v = library.find(" v"); v != std::string::npos) library.erase(v + 1, 1);
    return library + ", " + std::to_string(size_) + (size_ == 1 ? " rank" : " ranks") + " on " +
           std::to_string(nodes_) + (nodes_ == 1 ? " host" : " hosts");
  }

  void barrier() override { scratch_->barrier(); }
  void node_barrier() override {
    const heartbeat::Waiting waiting("a barrier of its host");
    check(MPI_Barrier(node_.get()), "wait for the ranks of this host");
  }
  void broadcast(void* data, std::size_t bytes, int root) override { broadcast_in(world_.get(), data, bytes, root); }
  void node_broadcast(void* data, std::size_t bytes) override { broadcast_in(node_.get(), data, bytes, 0); }

  void all_sum(std::span<float> values) override { all_combine(values, Sum()); }
  void all_sum(std::span<double> values) override { all_combine(values, Sum()); }
  void all_sum(std::span<std::int64_t> values) override { all_combine(values, Sum()); }
  void all_min(std::span<std::int64_t> values) override { all_combine(values, Min()); }
  void all_max(std::span<std::int64_t> values) override { all_combine(values, Max()); }

  [[nodiscard]] std::vector<std::string> all_gather(const std::string& mine) override {
    const heartbeat::Waiting waiting("a gathering");
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(size_));
    sizes[static_cast<std::size_t>(rank_)] = static_cast<std::int64_t>(mine.size());
    all_sum(sizes);
    std::vector<int> lengths;
    std::vector<int> offsets;
    std::int64_t total = 0;
    for (const std::int64_t bytes : sizes) {
      lengths.push_back(static_cast<int>(bytes));
      offsets.push_back(static_cast<int>(total));
      total += bytes;
      if (total > std::numeric_limits<int>::max()) throw std::length_error("all_gather of more than 2 GiB");
    }
    std::string text(static_cast<std::size_t>(total), '\0');
    check(MPI_Allgatherv(mine.data(), static_cast<int>(mine.size()), MPI_BYTE, text.data(), lengths.data(),
                         offsets.data(), MPI_BYTE, world_.get()),
          "gather");
    std::vector<std::string> result;
    for (std::size_t from = 0; from < sizes.size(); ++from) {
      result.push_back(text.substr(static_cast<std::size_t>(offsets[from]), static_cast<std::size_t>(lengths[from])));
    }
    return result;
  }

  [[nodiscard]] std::shared_ptr<void> node_shared(std::size_t bytes) override {
    if (node_size_ == 1) return private_memory(bytes);
    const heartbeat::Waiting waiting("sharing memory");
    std::vector<std::filesystem::path> folders = folders_;
    while (true) {
      std::string file;
      if (node_rank_ == 0) file = create_shared_file(folders, bytes).string();
      std::size_t length = file.size();
      node_broadcast(&length, sizeof length);
      if (length == 0) return nullptr;
      file.resize(length);
      node_broadcast(file.data(), length);

      std::shared_ptr<void> memory = map_shared_file(file, bytes);
      int mapped = memory == nullptr ? 0 : 1;
      check(MPI_Allreduce(MPI_IN_PLACE, &mapped, 1, MPI_INT, MPI_MIN, node_.get()), "share memory");
      if (node_rank_ == 0) unlink(file.c_str());
      if (mapped == 1) return memory;
      // Containers on one host may each have their own folder of that name: try the next.
      std::erase(folders, std::filesystem::path(file).parent_path());
    }
  }

  [[nodiscard]] std::unique_ptr<Reduction<float>> make_float_reduction(std::size_t count) override {
    return std::make_unique<MpiReduction<float>>(make_exchange(count * sizeof(float)), count);
  }
  [[nodiscard]] std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(std::size_t count) override {
    return std::make_unique<MpiReduction<std::int64_t>>(make_exchange(count * sizeof(std::int64_t)), count);
  }

  [[nodiscard]] std::unique_ptr<Mailbox> make_mailbox() override {
    if (size_ == 1) return nullptr;
    return std::make_unique<MpiMailbox>(world_.get());
  }

  [[noreturn]] void abort(ExitCode code) noexcept override {
    heartbeat::leave();
    end_process_after(2, code);
    flush_output();
    MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
    _exit(static_cast<int>(code));
  }

 private:
  static constexpr std::size_t scratch_bytes = std::size_t{1} << 16;

  /// Shared within nodes where every node can, else each rank counts as a node of its own.
  Exchange make_exchange(std::size_t bytes) {
    const std::shared_ptr<void> memory = node_shared(NodeBuffers::bytes(node_size_, bytes));
    int shared = memory == nullptr ? 0 : 1;
    check(MPI_Allreduce(MPI_IN_PLACE, &shared, 1, MPI_INT, MPI_MIN, world_.get()), "share memory");
    if (shared == 1) {
      return {NodeBuffers(memory, node_rank_, node_size_, bytes, mpi_progress), leaders_.get(),
              make_host_sum(leaders_.get(), bytes), nodes_ > 1};
    }
    return {NodeBuffers(private_memory(NodeBuffers::bytes(1, bytes)), 0, 1, bytes, mpi_progress), world_.get(),
            make_host_sum(world_.get(), bytes), size_ > 1};
  }
  std::unique_ptr<HostSum> make_host_sum(MPI_Comm hosts, std::size_t bytes) {
    const int tag = sums_++;
    return hosts == MPI_COMM_NULL ? nullptr : std::make_unique<HostSum>(hosts, tag, bytes, most_hosts_);
  }

  template <class T, class Combine>
  void all_combine(std::span<T> values, Combine /*combine*/) {
    constexpr std::size_t room = scratch_bytes / sizeof(T);
    for (std::size_t done = 0; done < values.size(); done += room) {
      const std::span<T> part = values.subspan(done, std::min(room, values.size() - done));
      std::memcpy(scratch_->mine(), part.data(), part.size_bytes());
      scratch_->start();
      scratch_->finish<T, Combine>(part.size());
      std::memcpy(part.data(), scratch_->result(), part.size_bytes());
    }
  }

  static void broadcast_in(MPI_Comm group, void* data, std::size_t bytes, int root) {
    const heartbeat::Waiting waiting("a broadcast");
    auto* position = static_cast<std::byte*>(data);
    for (std::size_t done = 0; done < bytes; done += largest_message) {
      const int part = static_cast<int>(std::min(bytes - done, largest_message));
      check(MPI_Bcast(position + done, part, MPI_BYTE, root, group), "broadcast");
    }
  }

  MpiLibrary library_;  // first in, last out
  MpiGroup world_;
  MpiGroup node_;
  MpiGroup leaders_;
  int rank_ = 0;
  int size_ = 1;
  int node_rank_ = 0;
  int node_size_ = 1;
  int nodes_ = 1;
  int most_hosts_;
  int sums_ = 0;  // made so far, the same number on every rank
  std::vector<std::filesystem::path> folders_;
  std::unique_ptr<Exchange> scratch_;
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(const MpiOptions& options) {
  return std::make_unique<MpiCommunicator>(options);
}

}  // namespace ganymede::comm
