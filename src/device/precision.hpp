// What a GPU's large matrix products and convolutions are made of: option --precision.
#pragma once

namespace ganymede {

enum class Precision {
  float32,
  tf32,      ///< arrays of float32, which tensor cores round to 10 bits of fraction
  bfloat16,  ///< arrays of bfloat16: see struct Rounded in device.hpp
};

}  // namespace ganymede
