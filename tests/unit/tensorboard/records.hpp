// Event files read back, with every sum checked.
#pragma once

#include <event.pb.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "tensorboard/tf_record.hpp"

namespace ganymede::test {

inline std::vector<tensorboard::Event> events_of(std::string_view file) {
  std::vector<tensorboard::Event> events;
  while (!file.empty()) {
    std::uint64_t length = 0;
    if (file.size() >= sizeof length) std::memcpy(&length, file.data(), sizeof length);
    if (file.size() < 16 || length > file.size() - 16) {
      ADD_FAILURE() << "the file ends within a record";
      break;
    }
    const std::string_view data = file.substr(12, length);
    EXPECT_EQ(file.substr(0, 16 + length), tensorboard::tf_record(data));
    tensorboard::Event& event = events.emplace_back();
    EXPECT_TRUE(event.ParseFromArray(data.data(), static_cast<int>(data.size())));
    file.remove_prefix(16 + length);
  }
  return events;
}

}  // namespace ganymede::test
