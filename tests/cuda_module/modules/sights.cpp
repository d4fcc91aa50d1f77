// A module of this build that sees what GANYMEDE_TEST_SIGHT says instead of a machine: the program's sentences for GPUs
// and drivers that the machine of the tests has not.
#include <cstdlib>
#include <string_view>

#include "core/build_info.hpp"
#include "device/cuda_module.hpp"

namespace {

using ganymede::CudaSight;

CudaSight look() {
  const char* wanted = std::getenv("GANYMEDE_TEST_SIGHT");
  const std::string_view sight = wanted == nullptr ? "" : wanted;
  CudaSight seen;
  seen.driver = seen.runtime = 13000;
  if (sight == "volta") {
    seen.state = CudaSight::State::ready;
    seen.gpus = {{"Tesla V100-SXM2-16GB", "0000:06:00.0", 7, 0, std::size_t{16} << 30},
                 {"Quadro P2000", "0000:07:00.0", 6, 1, std::size_t{5} << 30}};
  } else if (sight == "turing beside volta") {
    seen.state = CudaSight::State::ready;
    seen.gpus = {{"Tesla V100-SXM2-16GB", "0000:06:00.0", 7, 0, std::size_t{16} << 30},
                 {"Tesla T4", "0000:07:00.0", 7, 5, std::size_t{16} << 30}};
  } else if (sight == "old driver") {
    seen.state = CudaSight::State::old_driver;
    seen.driver = 12040;
  } else {
    seen.state = CudaSight::State::failed;
    seen.reason = "cudaErrorSystemNotReady, system not yet initialized";
  }
  return seen;
}

std::unique_ptr<ganymede::Device> make_device(ganymede::Communicator&, const ganymede::CudaOptions&) { return nullptr; }

}  // namespace

extern "C" {
// NOLINTNEXTLINE(readability-identifier-naming)
extern const ganymede::CudaModule ganymede_cuda_module;
const ganymede::CudaModule ganymede_cuda_module = {ganymede::build_interface, look, make_device,
                                                   [](ganymede::Pulse* /*marks*/) {}};
}
