// The machine's name.
#include <unistd.h>

#include <array>

#include "ganymede/communicator.hpp"

namespace ganymede {

std::string host_name() {
  std::array<char, 256> name{};  // Linux allows 64 characters; gethostname may leave out the final zero
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown-host";
  return name.data();
}

}  // namespace ganymede
