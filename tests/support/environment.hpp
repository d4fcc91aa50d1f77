// An environment variable for the length of a test.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>

namespace ganymede::test {

class Environment {
 public:
  /// No value: unset.
  Environment(const char* variable, const std::optional<std::string>& value) : variable_(variable) {
    if (const char* old = std::getenv(variable)) old_ = old;
    set(value);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() { set(old_); }

 private:
  void set(const std::optional<std::string>& value) {
    if (value) {
      setenv(variable_, value->c_str(), 1);
    } else {
      unsetenv(variable_);
    }
  }
  const char* variable_;
  std::optional<std::string> old_;
};

}  // namespace ganymede::test
