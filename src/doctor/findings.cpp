// See findings.hpp.
#include "doctor/findings.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "core/cores.hpp"
#include "core/names.hpp"
#include "core/numbers.hpp"

namespace ganymede::doctor {
namespace {

constexpr double mebi = 1024.0 * 1024.0;

/// "rank 3", "ranks 0 to 3", "ranks 0, 2 and 5".
std::string ranks_text(const std::vector<int>& ranks) {
  if (ranks.size() == 1) return "rank " + std::to_string(ranks[0]);
  if (ranks.size() > 2 && ranks.back() - ranks.front() + 1 == static_cast<int>(ranks.size()))
    return "ranks " + std::to_string(ranks.front()) + " to " + std::to_string(ranks.back());
  std::vector<std::string> words;
  for (const int rank : ranks) words.push_back(std::to_string(rank));
  return "ranks " + every(words);
}

/// Findings as they are made.
class Examination {
 public:
  Examination(const std::vector<Facts>& ranks, const Links& links) : ranks_(ranks), links_(links) {
    for (const Facts& facts : ranks) hosts_[facts.host].push_back(&facts);
  }

  void programs() {
    const Facts* first = nullptr;  // of which it is known
    std::set<std::string> others;
    std::set<std::string> unknown;
    for (const Facts& facts : ranks_) {
      if (facts.program.empty())
        unknown.insert(facts.host);
      else if (first == nullptr)
        first = &facts;
      else if (facts.program != first->program)
        others.insert(facts.host);
    }
    if (!others.empty())
      error(ranks_text({first->rank}) + " on " + first->host + " runs another build of the program than ranks on " +
                every({others.begin(), others.end()}),
            "put the same build on all hosts, or on a file system that they share: results depend on it");
    if (!unknown.empty())
      warn("the program's own file was not read in " + time_text(look_seconds) + " on " +
               every({unknown.begin(), unknown.end()}) + ", so whether all ranks run the same build is not known",
           "look what its file system waits for, or copy the program to each host's own disk");
  }

  void cores() {
    for (const auto& [host, here] : hosts_) {
      std::map<std::vector<int>, std::vector<int>> by_cores;
      for (const Facts* facts : here) by_cores[facts->cores].push_back(facts->rank);
      for (const auto& [cores, sharing] : by_cores) {
        if (sharing.size() <= cores.size()) continue;
        const bool bound = static_cast<int>(cores.size()) < here[0]->host_cores;
        warn(ranks_text(sharing) + " on " + host + " share " +
                 (cores.size() == 1 ? "core " : std::to_string(cores.size()) + " cores, ") + core_list(cores),
             bound ? "start them unbound or on cores of their own: launch/mpirun (which is mpirun --bind-to none), or "
                     "srun --cpus-per-task=N"
                   : "start no more ranks than the host has cores");
      }
      const double quota = here[0]->core_quota;
      std::set<int> usable;
      for (const Facts* facts : here) usable.insert(facts->cores.begin(), facts->cores.end());
      if (quota > 0 && quota < static_cast<double>(usable.size()))
        warn("the cgroup of the ranks on " + host + " grants the time of " + formatted("%.3g", quota) + " of their " +
                 std::to_string(usable.size()) + " cores, so threads are stopped in turn",
             "train with --threads " +
                 std::to_string(std::max(1, static_cast<int>(quota / static_cast<double>(here.size())))) +
                 ", or raise the limit (docker run --cpus, Kubernetes limits.cpu)");
    }
  }

  void gpus() {
    for (const auto& [host, here] : hosts_) {
      const Facts& facts = *here[0];
      if (!facts.gpus_known)
        warn("whether there are GPUs on " + host + " is not known: their driver has not answered in " +
                 time_text(look_seconds),
             "keep it awake (nvidia-smi -pm 1); where nvidia-smi hangs too, restart the host; or train with --device "
             "cpu");
      if (!facts.gpu_problem.empty())
        warn("no GPU can be used on " + host + ": " + facts.gpu_problem, "or train with --device cpu");
      std::set<std::string> gpus;
      for (const Facts* rank : here) gpus.insert(rank->gpus.begin(), rank->gpus.end());
      if (!gpus.empty() && gpus.size() < here.size())
        warn(std::to_string(here.size()) + " ranks on " + host + " have " + std::to_string(gpus.size()) +
                 (gpus.size() == 1 ? " GPU" : " GPUs"),
             "start no more ranks on a host than it has GPUs (--gpus-per-task=1, mpirun --map-by ppr:N:node), or let "
             "ranks share them with --reduction mpi");
    }
  }

  void network() {
    // Such as docker0: the same on every host, and no way from one to another.
    std::map<std::string, std::map<std::string, std::string>> owners;  // address → host → interface
    for (const Facts& facts : ranks_)
      for (const Interface& i : facts.interfaces) owners[i.address][facts.host] = i.name;
    for (const auto& [address, by_host] : owners) {
      if (by_host.size() < 2) continue;
      std::vector<std::string> hosts;
      std::set<std::string> names;
      for (const auto& [host, name] : by_host) {
        hosts.push_back(host);
        names.insert(name);
      }
      std::string list = "lo";
      for (const std::string& name : names) list += "," + name;
      warn("hosts " + every(hosts) + " have the same address " + address + " on " +
               every({names.begin(), names.end()}) +
               ", which therefore joins no two of them; Open MPI may try it and hang",
           "mpirun --mca btl_tcp_if_exclude " + list + " --mca oob_tcp_if_exclude " + list);
    }
    if (hosts_.size() < 2) return;
    const double expected = expected_bandwidth(ranks_, links_.hosts);
    const double measured = links_.large_bytes / links_.large;
    if (expected > 0 && measured < 0.2 * expected)
      warn("a sum of " + bytes_text(links_.large_bytes) + " over the hosts moves " + bytes_text(measured) + "/s, " +
               formatted("%.0f %%", 100 * measured / expected) + " of what their interfaces give",
           "name the fastest network with --mca btl_tcp_if_include SUBNET, look for other traffic on it, and for more "
           "ranks than cores");
    latency(links_.latency, "the hosts");
  }

  void gpu_sums() {
    if (!links_.gpus) return;
    const GpuSums& sums = *links_.gpus;
    if (!sums.problem.empty()) {
      // NCCL's words, and then what helps.
      const std::size_t end = std::min(sums.problem.find("; "), sums.problem.size());
      const std::string what = "no sums over the GPUs: " + sums.problem.substr(0, end);
      const std::string mend = end < sums.problem.size() ? sums.problem.substr(end + 2) : "train with --reduction mpi";
      if (sums.late)
        warn(what, mend);
      else
        error(what, mend);
      return;
    }
    const double measured = sums.large_bytes / sums.large;
    const double expected = expected_bandwidth(ranks_, links_.hosts);
    const double by_mpi = links_.large_bytes / links_.large;
    const std::string moves =
        "a sum of " + bytes_text(sums.large_bytes) + " over the GPUs moves " + bytes_text(measured);
    if (expected > 0 && measured < 0.2 * expected)
      warn(moves + "/s, " + formatted("%.0f %%", 100 * measured / expected) + " of what the hosts' interfaces give",
           "name the fastest network with NCCL_SOCKET_IFNAME; NCCL_DEBUG=INFO tells which NCCL takes");
    else if (measured < 0.2 * by_mpi)  // which has no way over a bus
      warn(moves + "/s, " + formatted("%.0f %%", 100 * measured / by_mpi) + " of what MPI does from the hosts' memory",
           "look by NCCL_DEBUG=INFO which way NCCL takes: GPUs of a host should reach each other directly (nvidia-smi "
           "topo -p2p r), and a container's /dev/shm be large (docker run --shm-size=1g)");
    latency(sums.latency, "the GPUs");
  }

  void clocks() {
    const auto [least, most] = std::minmax_element(links_.clocks.begin(), links_.clocks.end());
    const double apart = *most - *least;
    if (apart < std::max(1.0, 2 * links_.clock_error)) return;
    warn("the clock of " + host_at(most) + " is " + time_text(apart) + " ahead of that of " + host_at(least),
         "set both by NTP (chronyd, timedatectl set-ntp true): logs and files' times are hard to compare");
  }

  void memory() {
    for (const auto& [host, here] : hosts_) {
      const Facts& facts = *here[0];
      const double wanted = 128 * mebi * static_cast<double>(here.size());
      if (here.size() > 1 && static_cast<double>(facts.shared_memory_free) < wanted)
        warn(facts.shared_memory == 0
                 ? "host " + host + " has no /dev/shm"
                 : "/dev/shm of " + host + " has " + bytes_text(static_cast<double>(facts.shared_memory_free)) +
                       " free of " + bytes_text(static_cast<double>(facts.shared_memory)) + ", for " +
                       std::to_string(here.size()) +
                       " ranks; where it is too little they exchange messages instead, which is slower",
             "make it " + bytes_text(wanted) + ": docker run --shm-size=" + formatted("%.0fm", wanted / mebi) +
                 " (or --ipc=host), mount -o remount,size=" + formatted("%.0fm /dev/shm", wanted / mebi));
      if (facts.infiniband && static_cast<double>(facts.locked_memory) < 64 * mebi)
        warn("ranks on " + host + " may lock " + bytes_text(static_cast<double>(facts.locked_memory)) +
                 " of memory, and the InfiniBand adapter needs more",
             "ulimit -l unlimited in /etc/security/limits.conf, for Slurm LimitMEMLOCK=infinity of slurmd, for Docker "
             "--ulimit memlock=-1");
    }
  }

  void folder(const Folder& folder, const std::vector<std::string>& blind) {
    const std::string where = folder.path + " (" + folder.file_system + ")";
    if (!folder.problem.empty()) {
      error("nothing can be written to " + folder.existing + " (" + folder.file_system + ") on " + ranks_[0].host +
                ": " + folder.problem,
            "choose another --out, or make room and give the right to write there");
      return;
    }
    if (!folder.refused.empty()) {
      error(folder.refused, "a training would refuse it for this reason");
      return;
    }
    if (!blind.empty())
      warn(where + " is not seen on " + every(blind),
           "choose an --out on a file system that all hosts share, or start with rank 0 on " + ranks_[0].host +
               " each time, where the results gather");
    if (!folder.synced || folder.sync_seconds > 0.5)
      warn("1 MiB " +
               (folder.synced ? "takes " + time_text(folder.sync_seconds) + " to the disk"
                              : "has not come to the disk in " + time_text(folder.sync_seconds)) +
               " in " + where,
           "checkpoint less often (--checkpoint-every), or choose an --out on a faster disk");
    if (static_cast<double>(folder.free) < 1024 * mebi)
      warn(bytes_text(static_cast<double>(folder.free)) + " are free in " + where,
           "make room, or keep fewer checkpoints");
    if (folder.file_system == "tmpfs" || folder.file_system == "overlay")
      warn(folder.path + " lies in " +
               (folder.file_system == "tmpfs" ? "memory (tmpfs) and is lost when the host restarts"
                                              : "the container's own layer (overlay) and is lost with it"),
           folder.file_system == "tmpfs" ? "choose an --out on a disk" : "mount a volume there (docker run --volume)");
  }

  void slurm() {
    const auto& environment = ranks_[0].environment;
    const auto tasks = environment.find("SLURM_NTASKS");
    if (ranks_.size() > 1 || tasks == environment.end() || tasks->second == "1") return;
    warn("this Slurm job has " + tasks->second + " tasks, and one rank was started",
         "srun --mpi=pmix ganymede …, launch/mpirun in the batch script, or launch/slurm/cpu.sbatch");
  }

  [[nodiscard]] std::vector<Finding> take() { return std::move(findings_); }

 private:
  void error(std::string what, std::string mend) { findings_.push_back({true, std::move(what), std::move(mend)}); }
  void warn(std::string what, std::string mend) { findings_.push_back({false, std::move(what), std::move(mend)}); }
  // Of a sum of 1 KiB over `whom`, in seconds.
  void latency(double seconds, const std::string& whom) {
    if (seconds > 2e-3)
      warn("a sum of 1 KiB over " + whom + " takes " + time_text(seconds) +
               ", so that a step of a small network is spent in waiting",
           "raise --batch, use fewer hosts, or a faster network");
  }
  [[nodiscard]] const std::string& host_at(std::vector<double>::const_iterator clock) const {
    return ranks_[static_cast<std::size_t>(clock - links_.clocks.begin())].host;
  }

  const std::vector<Facts>& ranks_;
  const Links& links_;
  std::map<std::string, std::vector<const Facts*>> hosts_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> examine(const std::vector<Facts>& ranks, const Links& links, const Folder& folder,
                             const std::vector<std::string>& blind) {
  Examination examination(ranks, links);
  examination.programs();
  examination.folder(folder, blind);
  examination.cores();
  examination.memory();
  examination.gpus();
  examination.network();
  examination.gpu_sums();
  examination.clocks();
  examination.slurm();
  std::vector<Finding> findings = examination.take();
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& a, const Finding& b) { return a.error && !b.error; });
  return findings;
}

double expected_bandwidth(const std::vector<Facts>& ranks, int hosts) {
  if (hosts < 2) return 0;
  double slowest = std::numeric_limits<double>::max();
  for (const Facts& facts : ranks) {
    double fastest = 0;
    for (const Interface& i : facts.interfaces) fastest = std::max(fastest, i.megabits);
    slowest = std::min(slowest, fastest);
  }
  return slowest * 1e6 / 8 * hosts / (2.0 * (hosts - 1));
}

std::string time_text(double seconds) {
  if (seconds < 1e-3) return formatted("%.3g µs", seconds * 1e6);
  return seconds < 1 ? formatted("%.3g ms", seconds * 1e3) : formatted("%.3g s", seconds);
}

std::string speed_text(double megabits) {
  if (megabits <= 0) return "unknown speed";
  return megabits < 1000 ? formatted("%.3g Mbit/s", megabits) : formatted("%.3g Gbit/s", megabits / 1000);
}

}  // namespace ganymede::doctor
