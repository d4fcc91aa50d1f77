// The shape of what networks are trained on.
#pragma once

namespace ganymede {

/// An image as a layer's input or output: [y][x][channel] in memory, [channel][y][x] in PyTorch's order.
struct ImageShape {
  int height = 1, width = 1, channels = 1;
  [[nodiscard]] int pixels() const { return height * width; }
  [[nodiscard]] int size() const { return pixels() * channels; }
};

/// What a GAN makes: images, and of how many classes where it is told which (0: it is not).
struct DataShape {
  ImageShape image;
  int classes = 0;
  /// Grey square images without classes.
  static DataShape grey(int side) { return {{side, side, 1}, 0}; }
};

}  // namespace ganymede
