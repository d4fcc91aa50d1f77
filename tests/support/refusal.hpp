// What is refused, and with which words.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "ganymede/error.hpp"

namespace ganymede::testing {

/// The message of the error that `action` ends with, whose code must be `code`; empty when it ends without one. Any
/// other exception than a `Refusal` is the test's failure.
template <class Refusal = Error, class Action>
std::string refusal(ExitCode code, const Action& action) {
  try {
    action();
  } catch (const Refusal& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  return "";
}

}  // namespace ganymede::testing
