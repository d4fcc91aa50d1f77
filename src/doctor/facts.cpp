// See facts.hpp.
#include "doctor/facts.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string_view>

#include "core/cores.hpp"
#include "core/files.hpp"
#include "core/host_memory.hpp"
#include "core/numbers.hpp"
#include "core/stopwatch.hpp"
#include "device/cuda_module.hpp"
#include "doctor/probe.hpp"
#include "ganymede/communicator.hpp"

namespace ganymede::doctor {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Interface, name, address, prefix, megabits)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Facts, rank, host, program, cores, host_cores, core_quota, numa_nodes, gpus_known,
                                   gpus, cuda, gpu_problem, interfaces, infiniband, locked_memory, shared_memory,
                                   shared_memory_free, environment)

namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

/// Of cgroup v2 (cpu.max: "200000 100000" or "max 100000") and v1.
double core_quota() {
  double least = 0;
  for (const fs::path& place : control_groups("cpu")) {
    double quota = 0;
    double period = 0;
    if (std::istringstream both(first_line(place / "cpu.max")); !(both >> quota >> period)) {
      std::istringstream v1(first_line(place / "cpu.cfs_quota_us") + " " + first_line(place / "cpu.cfs_period_us"));
      if (!(v1 >> quota >> period)) continue;
    }
    if (quota > 0 && period > 0 && (least == 0 || quota / period < least)) least = quota / period;
  }
  return least;
}

std::vector<int> numa_nodes(const std::vector<int>& cores) {
  std::set<int> nodes;
  for (const int core : cores) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator("/sys/devices/system/cpu/cpu" + std::to_string(core), error)) {
      const std::string name = entry.path().filename();
      if (name.starts_with("node")) nodes.insert(std::atoi(name.c_str() + 4));
    }
  }
  return {nodes.begin(), nodes.end()};
}

/// In Mbit/s; 0 where the driver does not say. By ioctl, because /sys shows the interfaces of another network
/// namespace where it was mounted in that.
double link_speed(int socket, const char* name) {
  ethtool_cmd command = {};
  command.cmd = ETHTOOL_GSET;
  ifreq request = {};
  std::strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  request.ifr_data = reinterpret_cast<char*>(&command);
  if (::ioctl(socket, SIOCETHTOOL, &request) != 0) return 0;
  const std::uint32_t speed = ethtool_cmd_speed(&command);
  return speed == 0 || speed == std::numeric_limits<std::uint32_t>::max() ? 0 : speed;
}

std::vector<Interface> interfaces() {
  std::vector<Interface> found;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return found;
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  for (const ifaddrs* i = first; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || i->ifa_addr->sa_family != AF_INET || i->ifa_netmask == nullptr) continue;
    if ((i->ifa_flags & IFF_UP) == 0 || (i->ifa_flags & IFF_LOOPBACK) != 0) continue;
    std::array<char, INET_ADDRSTRLEN> text{};
    sockaddr_in address = {};
    std::memcpy(&address, i->ifa_addr, sizeof address);
    ::inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
    std::memcpy(&address, i->ifa_netmask, sizeof address);
    found.push_back({i->ifa_name, text.data(), std::popcount(address.sin_addr.s_addr),
                     socket < 0 ? 0 : link_speed(socket, i->ifa_name)});
  }
  if (socket >= 0) ::close(socket);
  ::freeifaddrs(first);
  return found;
}

std::map<std::string, std::string> environment() {
  std::map<std::string, std::string> found;
  for (const char* name : {"CUDA_VISIBLE_DEVICES",
                           "GANYMEDE_DATA",
                           "GANYMEDE_SHARE",
                           "GANYMEDE_CUDA_MODULE",
                           "XDG_CACHE_HOME",
                           "OMPI_COMM_WORLD_SIZE",
                           "OMPI_MCA_btl",
                           "OMPI_MCA_btl_tcp_if_include",
                           "OMPI_MCA_btl_tcp_if_exclude",
                           "OMPI_MCA_pml",
                           "PMIX_NAMESPACE",
                           "PMIX_RANK",
                           "SLURM_JOB_ID",
                           "SLURM_JOB_NODELIST",
                           "SLURM_NTASKS",
                           "SLURM_STEP_ID",
                           "SLURM_STEP_NUM_TASKS",
                           "SLURM_CPUS_PER_TASK",
                           "SLURM_STEP_GPUS",
                           "SLURM_RESTART_COUNT"})
    if (const char* value = std::getenv(name)) found[name] = value;
  // Whatever NCCL was told.
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view setting = *each;
    const std::size_t end = setting.find('=');
    if (setting.starts_with("NCCL_") && end != std::string_view::npos)
      found.emplace(setting.substr(0, end), setting.substr(end + 1));
  }
  return found;
}

std::string reason() { return std::strerror(errno); }

/// Of the mount that holds the folder: the last that is the longest of its parents.
std::string file_system_of(const fs::path& folder) {
  std::ifstream mounts("/proc/self/mounts");
  std::string best = "unknown";
  std::size_t length = 0;
  for (std::string line; std::getline(mounts, line);) {
    std::string device;
    std::string place;
    std::string type;
    if (!(std::istringstream(line) >> device >> place >> type)) continue;
    const std::string with_end = place == "/" ? place : place + "/";
    if ((folder.string() + "/").starts_with(with_end) && with_end.size() >= length) {
      best = type;
      length = with_end.size();
    }
  }
  return best;
}

constexpr double unlink_seconds = 1;

/// The file that a look at a folder makes there, for whoever no longer waits for its answer.
struct MadeFile {
  std::mutex mutex;  // of all below
  std::string name;
  bool abandoned = false;
};

/// Of the folder what its file system shows, with an empty file as `probe`.
Folder find_folder(const fs::path& folder, MadeFile& made) {
  Folder found;
  found.path = folder.string();
  std::error_code error;
  fs::path existing = fs::absolute(folder, error).lexically_normal();
  while (!fs::is_directory(existing, error) && existing.has_relative_path()) existing = existing.parent_path();
  if (const fs::path real = fs::canonical(existing, error); !error) existing = real;
  found.existing = existing.string();
  found.file_system = file_system_of(existing);
  struct statvfs space = {};
  if (::statvfs(existing.c_str(), &space) == 0)
    found.free = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
  std::string name = (existing / ".ganymede-doctor.XXXXXX").string();
  const int file = ::mkostemp(name.data(), O_CLOEXEC);
  if (file < 0) {
    found.problem = reason();
    return found;
  }
  bool abandoned = false;
  {
    const std::lock_guard lock(made.mutex);
    made.name = name;
    abandoned = made.abandoned;
  }
  if (abandoned) ::unlink(name.c_str());
  ::close(file);
  found.probe = name;
  return found;
}

/// Brings 1 MiB to the disk. Empty, or why that did not do.
std::string fill_and_sync(const std::string& name) {
  const int file = ::open(name.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return reason();
  const std::string block(1U << 20U, 'x');
  const ssize_t written = ::write(file, block.data(), block.size());
  std::string problem;
  if (written != static_cast<ssize_t>(block.size()) || ::fsync(file) != 0)
    problem = written >= 0 && written < static_cast<ssize_t>(block.size()) ? "no space left" : reason();
  ::close(file);
  return problem;
}

}  // namespace

Facts look_around(int rank) {
  Probe<std::string> program([] { return digest(read_file("/proc/self/exe")); });
  Probe<CudaProbe> cuda([] { return probe_cuda(); });
  Facts facts;
  facts.rank = rank;
  facts.host = host_name();
  facts.cores = usable_cores();
  facts.host_cores = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  facts.core_quota = core_quota();
  facts.numa_nodes = numa_nodes(facts.cores);
  facts.interfaces = interfaces();
  std::error_code error;
  facts.infiniband = fs::exists("/sys/class/infiniband", error) && !fs::is_empty("/sys/class/infiniband", error);
  rlimit limit = {};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0)
    facts.locked_memory = limit.rlim_cur == RLIM_INFINITY ? std::numeric_limits<std::uint64_t>::max() : limit.rlim_cur;
  struct statvfs space = {};
  if (::statvfs("/dev/shm", &space) == 0) {
    facts.shared_memory = static_cast<std::uint64_t>(space.f_blocks) * space.f_frsize;
    facts.shared_memory_free = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
  }
  facts.environment = environment();
  const Stopwatch watch;
  if (const std::optional<CudaProbe> answer = cuda.within(look_seconds)) {
    for (const CudaGpu& gpu : answer->sight.gpus)
      // Where none can be used, all are what the problem is about.
      if (gpu.supported() || !answer->problem.empty()) facts.gpus.push_back(gpu.name + ", " + gpu.pci_id);
    facts.cuda = cuda_versions(answer->sight);
    if (!answer->expected) facts.gpu_problem = answer->problem;
  } else {
    facts.gpus_known = false;
  }
  facts.program = program.within(look_seconds - watch.seconds()).value_or("");
  return facts;
}

std::string to_text(const Facts& facts) { return nlohmann::json(facts).dump(); }
Facts from_text(const std::string& text) { return nlohmann::json::parse(text).get<Facts>(); }

Folder try_folder(const fs::path& folder, const std::function<std::string()>& check) {
  const auto made = std::make_shared<MadeFile>();
  Probe<Folder> look([folder, check, made] {
    Folder found = find_folder(folder, *made);
    if (found.problem.empty()) found.refused = check();
    return found;
  });
  std::optional<Folder> found = look.within(folder_seconds);
  if (!found) {
    found.emplace();
    found->path = found->existing = folder.string();
    found->file_system = "unknown";
    found->problem = "its file system has not answered in " + pretty(folder_seconds) + " s";
    std::string left;
    {
      const std::lock_guard lock(made->mutex);
      made->abandoned = true;
      left = made->name;
    }
    if (!left.empty()) Probe<int>([left] { return ::unlink(left.c_str()); }).within(unlink_seconds);
  }
  if (found->probe.empty()) return *found;
  const Stopwatch watch;
  Probe<std::string> sync([name = found->probe] { return fill_and_sync(name); });
  if (const std::optional<std::string> problem = sync.within(folder_seconds)) {
    found->problem = *problem;
    found->synced = problem->empty();
  }
  found->sync_seconds = watch.seconds();
  return *found;
}

}  // namespace ganymede::doctor
