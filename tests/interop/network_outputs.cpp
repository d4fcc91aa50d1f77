// What our own networks give, as a binary file of float32, for tests that compare it with other programs:
// network_outputs RUN generator|discriminator INPUTS CLASSES OUTPUTS. INPUTS holds rows of float32, images in
// PyTorch's order; CLASSES a byte a row, or is "-".
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "cli/saved_run.hpp"
#include "gan/gan.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

std::vector<char> bytes_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw Error(ExitCode::data, "cannot read " + file);
  return {std::istreambuf_iterator<char>(in), {}};
}

// From [channel][y][x] to [y][x][channel], or the other way.
std::vector<float> reordered(const std::vector<float>& values, const ImageShape& image, bool to_memory) {
  std::vector<float> result(values.size());
  const auto size = static_cast<std::size_t>(image.size());
  const auto pixels = static_cast<std::size_t>(image.pixels());
  const auto channels = static_cast<std::size_t>(image.channels);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t at = i % size;
    const std::size_t pytorch = i - at + at % channels * pixels + at / channels;
    (to_memory ? result[i] : result[pytorch]) = to_memory ? values[pytorch] : values[i];
  }
  return result;
}

void run(const std::vector<std::string>& arguments) {
  const cli::SavedRun saved = cli::read_saved_run(arguments[0]);
  const TrainOptions options = cli::saved_options(saved);
  const DataShape shape = cli::saved_shape(saved);
  const std::unique_ptr<Device> device = make_cpu_device(1);
  const bool generator = arguments[1] == "generator";
  Network network = generator ? make_generator(options, shape, *device) : make_discriminator(options, shape, *device);
  network.load(generator ? cli::picture_weights(saved) : saved.files.at("discriminator"), arguments[0]);

  const std::vector<char> raw = bytes_of(arguments[2]);
  std::vector<float> inputs(raw.size() / sizeof(float));
  std::memcpy(inputs.data(), raw.data(), inputs.size() * sizeof(float));
  if (!generator) inputs = reordered(inputs, shape.image, true);
  const int rows = static_cast<int>(inputs.size()) / network.inputs();
  Tape tape = network.make_tape(rows, false);
  DeviceArray<std::uint8_t> classes;
  if (arguments[3] != "-") {
    const std::vector<char> labels = bytes_of(arguments[3]);
    classes = DeviceArray<std::uint8_t>(*device, labels.size());
    classes.assign(reinterpret_cast<const std::uint8_t*>(labels.data()));
    tape.set_labels(classes.data());
  }
  DeviceArray<float> x(*device, inputs.size());
  x.assign(inputs.data());
  DeviceArray<float> y(*device, static_cast<std::size_t>(rows) * static_cast<std::size_t>(network.outputs()));
  network.evaluate({1, rows, {0, rows}}, network.parameter_array(), x.data(), tape, y.data());
  std::vector<float> outputs = y.host();
  if (generator) outputs = reordered(outputs, shape.image, false);
  std::ofstream out(arguments[4], std::ios::binary);
  out.write(reinterpret_cast<const char*>(outputs.data()),
            static_cast<std::streamsize>(outputs.size() * sizeof(float)));
  if (!out.flush()) throw Error(ExitCode::data, "cannot write " + arguments[4]);
}

}  // namespace
}  // namespace ganymede

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: network_outputs RUN generator|discriminator INPUTS CLASSES OUTPUTS\n");
    return 2;
  }
  try {
    ganymede::run({argv + 1, argv + argc});
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "network_outputs: %s\n", failure.what());
    return 3;
  }
}
