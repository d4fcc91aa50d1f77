// What a failing call of MPI becomes.
#pragma once

#include <mpi.h>

#include <array>
#include <string>

#include "ganymede/error.hpp"

namespace ganymede::comm {

/// Throws Error(rank_lost) when a call that was to `action` has failed.
inline void check(int status, const char* action) {
  if (status == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(status, text.data(), &length) != MPI_SUCCESS) length = 0;
  throw Error(ExitCode::rank_lost, std::string("MPI could not ") + action + " (" +
                                       std::string(text.data(), static_cast<std::size_t>(length)) +
                                       "): a rank or its host was probably lost; the logs of the other ranks say more");
}

}  // namespace ganymede::comm
