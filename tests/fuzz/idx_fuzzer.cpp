// libFuzzer's entry to the IDX reader: any bytes are either a file of images or labels, or an Error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "data/idx.hpp"
#include "ganymede/error.hpp"

namespace {

template <class Parse>
void expect_error_or_result(const Parse& parse) {
  try {
    parse();
  } catch (const ganymede::Error& error) {
    if (error.code() != ganymede::ExitCode::data) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span bytes = std::as_bytes(std::span(data, size));
  expect_error_or_result([&] {
    const auto images = ganymede::data::parse_idx_images(bytes, "input");
    if (images.pixels.size() != std::size_t{images.count} * images.height * images.width) std::abort();
    if (images.count == 0 || images.height != images.width) std::abort();
  });
  expect_error_or_result([&] {
    for (const std::uint8_t label : ganymede::data::parse_idx_labels(bytes, "input")) {
      if (label > 9) std::abort();
    }
  });
  return 0;
}
