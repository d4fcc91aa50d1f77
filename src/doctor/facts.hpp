// What one rank sees of its place: found without the other ranks and without a device, in milliseconds where file
// systems and drivers answer, and in seconds where they do not.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ganymede::doctor {

/// A network interface that is up, has an IPv4 address and is not the loopback: what Open MPI may use.
struct Interface {
  std::string name;
  std::string address;  ///< "10.1.0.7"
  int prefix = 0;       ///< bits of its network's part
  double megabits = 0;  ///< a second, as its driver says; 0: it does not
};

struct Facts {
  int rank = 0;
  std::string host;
  std::string program;            ///< digest of the running executable; empty: it could not be read in time
  std::vector<int> cores;         ///< that it may run on
  int host_cores = 0;             ///< that are online
  double core_quota = 0;          ///< cores' worth of time that its cgroup grants; 0: no limit
  std::vector<int> numa_nodes;    ///< that its cores belong to
  bool gpus_known = true;         ///< the driver has answered in time
  std::vector<std::string> gpus;  ///< that can be used: "NVIDIA H100 80GB HBM3, 0000:1B:00.0"
  std::string cuda;               ///< what of CUDA is loaded, as cuda_versions() says it; empty: nothing
  std::string gpu_problem;        ///< why there is no training on a GPU where one would be expected; else empty
  std::vector<Interface> interfaces;
  bool infiniband = false;
  std::uint64_t locked_memory = 0;                 ///< bytes that it may lock; 2⁶⁴ - 1: no limit
  std::uint64_t shared_memory = 0;                 ///< bytes that /dev/shm can hold; 0: there is none
  std::uint64_t shared_memory_free = 0;            ///< bytes of these that are free
  std::map<std::string, std::string> environment;  ///< what launchers, Open MPI, CUDA and NCCL were told
};

/// Seconds that its files and its GPUs' driver are waited for. (A driver that keeps no state takes some to wake up.)
constexpr double look_seconds = 4;

Facts look_around(int rank);

/// To travel between ranks, and for --json.
std::string to_text(const Facts& facts);
Facts from_text(const std::string& text);

/// The folder of a run, or the nearest of its parents that exists.
struct Folder {
  std::string path;         ///< the folder itself
  std::string existing;     ///< what exists of it
  std::string file_system;  ///< "ext4", "nfs4", "tmpfs"
  std::uint64_t free = 0;   ///< bytes
  std::string problem;      ///< why nothing can be written there; else empty
  double sync_seconds = 0;  ///< until 1 MiB was on the disk
  bool synced = false;      ///< it was, in time
  std::string probe;        ///< a file that was left there, for others to look for
  std::string refused;      ///< why a training would not take it, though its file system can be written to; else empty
};

/// Seconds that a folder's file system is waited for, to show it and again to bring 1 MiB to the disk.
constexpr double folder_seconds = 2.5;

/// Makes a file there, writes 1 MiB to it, forces that to the disk, and leaves it as `probe`, for the caller to remove.
/// `check` says why a training would not take the folder, or nothing.
Folder try_folder(const std::filesystem::path& folder, const std::function<std::string()>& check);

}  // namespace ganymede::doctor
