// Opens the CUDA module, and says in one sentence what is in the way of a GPU.
#include "device/cuda_module.hpp"

#include <dlfcn.h>
#include <link.h>

#include <cstdlib>
#include <sstream>
#include <string_view>

#include "core/build_info.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* file_name = "libganymede_cuda.so";
constexpr const char* on_the_cpu = "; --device cpu trains without a GPU";

/// A module that is not there at all, which on a machine without a GPU is as it should be.
struct NoModule : Error {
  using Error::Error;
};

fs::path program_folder() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path() : program.parent_path();
}

fs::path find_module(const fs::path& program) {
  std::error_code error;
  if (const char* chosen = std::getenv("GANYMEDE_CUDA_MODULE"); chosen != nullptr && *chosen != '\0') {
    if (fs::exists(chosen, error)) return fs::absolute(chosen, error);
    throw Error(ExitCode::launch, std::string("GANYMEDE_CUDA_MODULE is set to ") + chosen +
                                      ", which is not there: set it to a " + file_name + ", or unset it" + on_the_cpu);
  }
  std::string looked_at;
  for (const char* folder : {"../lib", GANYMEDE_INSTALLED_MODULES}) {
    if (program.empty()) break;
    const fs::path place = (program / folder).lexically_normal();
    if (fs::exists(place / file_name, error)) return place / file_name;
    looked_at += (looked_at.empty() ? "" : " and ") + place.string();
  }
  throw NoModule(ExitCode::launch, std::string("this build has no GPU backend: there is no ") + file_name + " in " +
                                       (looked_at.empty() ? "any place, because /proc is not there" : looked_at) +
                                       "; build with CUDA (launch/install --cuda brings a toolkit, cmake "
                                       "-DGANYMEDE_CUDA=ON names what is missing), or name one with "
                                       "GANYMEDE_CUDA_MODULE" +
                                       on_the_cpu);
}

/// The library of the module whose name begins as the function's does, with its folder; empty where none is known.
std::string library_of(const fs::path& module, const std::string& function) {
  // Without the functions that are missing, which nobody calls.
  void* opened = dlopen(module.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (opened == nullptr) return {};
  struct Search {
    const std::string& function;
    std::string found;
  } search{function, {}};
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        auto& wanted = *static_cast<Search*>(data);
        for (const char* name : {"cublasLt", "cudnn", "nccl"})
          if (wanted.function.starts_with(name) &&
              fs::path(info->dlpi_name).filename().string().starts_with(std::string("lib") + name))
            wanted.found = info->dlpi_name;
        return 0;
      },
      &search);
  dlclose(opened);
  return search.found;
}

bool in_library_path(const fs::path& library) {
  const char* path = std::getenv("LD_LIBRARY_PATH");
  std::stringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');)
    if (fs::path(folder) / library.filename() == library) return true;
  return false;
}

/// A library that was found and does not do.
std::string library_problem(const fs::path& module, const std::string& library, const std::string& reason) {
  return "the GPU backend " + module.string() + " cannot be opened with " + library + " (" + reason + "): " +
         (in_library_path(library) ? "LD_LIBRARY_PATH names its folder: take that out, or put before it a folder with "
                                     "the library of the toolkit that this was built with"
                                   : "put a folder with the library of the toolkit that this was built with into "
                                     "LD_LIBRARY_PATH, or build anew with the one that is there") +
         on_the_cpu;
}

/// Why dlopen could not. The loader says "NAME: cannot open shared object file: …" of a library that is missing,
/// "FILE: file too short" or the like of one that is none, and "MODULE: undefined symbol: FUNCTION" of what an older
/// one has not.
std::string why_not_opened(const fs::path& module, const std::string& reason) {
  const auto before = [&](const std::string& text) {
    const std::size_t end = reason.find(text);
    return end == std::string::npos ? "" : reason.substr(0, end);
  };
  const std::string missing = before(": cannot open shared object file");
  const std::string named = before(": ");
  if (!missing.empty() && missing != module.string())
    return "the GPU backend " + module.string() + " needs " + missing +
           ", which is neither where it was when this was built, nor in LD_LIBRARY_PATH, nor in the system's folders: "
           "add its folder to LD_LIBRARY_PATH, or build anew with a toolkit that is there (launch/install --cuda "
           "brings "
           "one)" +
           on_the_cpu;
  if (named.starts_with("/") && named != module.string())
    return library_problem(module, named, reason.substr(named.size() + 2));
  const std::string_view undefined = "undefined symbol: ";
  if (const std::size_t at = reason.find(undefined); at != std::string::npos) {
    const std::size_t begin = at + undefined.size();
    const std::string function = reason.substr(begin, reason.find_first_of(", ", begin) - begin);
    const std::string library = library_of(module, function);
    if (!library.empty()) return library_problem(module, library, "it has no " + function);
  }
  return "the GPU backend " + module.string() + " cannot be opened: " + reason + "; build it anew" + on_the_cpu;
}

bool driver_is_there() {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (driver == nullptr) return false;
  dlclose(driver);
  return true;
}

}  // namespace

std::string cuda_version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string cuda_versions(const CudaSight& sight) {
  if (sight.runtime == 0) return {};
  return (sight.driver > 0 ? "driver for CUDA " + cuda_version_text(sight.driver) + ", " : "") + "CUDA runtime " +
         cuda_version_text(sight.runtime) + ", " + sight.libraries;
}

std::string cuda_problem(const CudaSight& sight) {
  const std::string runtime = cuda_version_text(sight.runtime);
  switch (sight.state) {
    case CudaSight::State::no_driver:
      return "there is no NVIDIA driver here (libcuda.so.1): install one" +
             (sight.runtime > 0 ? " that runs CUDA " + runtime : "") +
             ", or in a container start it with GPU access (docker run --gpus all)" + on_the_cpu;
    case CudaSight::State::old_driver:
      return "the NVIDIA driver is too old: it runs CUDA " + cuda_version_text(sight.driver) +
             ", and this program is built with " + runtime +
             ": install a newer driver, or build with an older toolkit" + on_the_cpu;
    case CudaSight::State::no_gpu:
      return std::string(
                 "the NVIDIA driver sees no GPU that this process may use: nvidia-smi lists those of the "
                 "machine, ") +
             (std::getenv("CUDA_VISIBLE_DEVICES") == nullptr
                  ? "and a Slurm job asks for them with --gpus-per-task"
                  : "and CUDA_VISIBLE_DEVICES says \"" + std::string(std::getenv("CUDA_VISIBLE_DEVICES")) + "\"") +
             on_the_cpu;
    case CudaSight::State::failed:
      return "CUDA cannot be used: " + sight.reason + "; nvidia-smi should work first" + on_the_cpu;
    case CudaSight::State::ready:
      break;
  }
  std::string names;
  for (const CudaGpu& gpu : sight.gpus) {
    if (gpu.supported()) return {};
    names +=
        (names.empty() ? "" : ", ") + gpu.name + " has " + std::to_string(gpu.major) + "." + std::to_string(gpu.minor);
  }
  return "no GPU here has compute capability 7.5 or more (Turing, 2018): " + names + on_the_cpu;
}

const CudaModule& open_cuda_module(const fs::path& program) {
  const fs::path file = find_module(program);
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    throw Error(ExitCode::launch, why_not_opened(file, reason == nullptr ? "no reason given" : reason));
  }
  const auto* module = static_cast<const CudaModule*>(dlsym(library, "ganymede_cuda_module"));
  if (module == nullptr || std::string_view(module->interface) != build_interface) {
    const std::string what = module == nullptr ? "is no CUDA module of Ganymede"
                                               : std::string("is of another build (") + module->interface +
                                                     ") than this program (" + build_interface + ")";
    dlclose(library);
    throw Error(ExitCode::launch,
                "the GPU backend " + file.string() + " " + what + ": build or install both together" + on_the_cpu);
  }
  return *module;
}

const CudaModule& open_cuda_module() { return open_cuda_module(program_folder()); }

CudaProbe probe_cuda(const fs::path& program) {
  CudaProbe probe;
  try {
    // Found first: where none was built, no driver makes a difference.
    find_module(program);
    if (!driver_is_there()) {
      probe.sight.state = CudaSight::State::no_driver;
      probe.problem = cuda_problem(probe.sight);
      probe.expected = true;
      return probe;
    }
    probe.sight = open_cuda_module(program).look();
    probe.problem = cuda_problem(probe.sight);
    probe.expected = probe.sight.state == CudaSight::State::no_gpu;
  } catch (const NoModule& missing) {
    probe.problem = missing.what();
    probe.expected = true;
  } catch (const std::exception& error) {
    probe.problem = error.what();
  }
  return probe;
}

CudaProbe probe_cuda() { return probe_cuda(program_folder()); }

MakeCudaDevice cuda_device_factory(const fs::path& program) {
  const CudaModule& module = open_cuda_module(program);
  const std::string problem = cuda_problem(module.look());
  if (!problem.empty()) throw Error(ExitCode::launch, problem);
  module.mark_in(heartbeat::memory());
  return module.make_device;
}

MakeCudaDevice cuda_device_factory() { return cuda_device_factory(program_folder()); }

}  // namespace ganymede
