// The tables of src/device/cpu/winograd.hpp for a geometry.
#pragma once

#include <vector>

#include "device/cpu/kernels.hpp"
#include "device/cpu/winograd.hpp"

namespace ganymede::cpu {

class WinogradTables {
 public:
  /// A convolution, or a transposed one, of this shape.
  WinogradTables(const ConvolutionShape& shape, bool transposed);
  WinogradTables(const WinogradTables&) = delete;
  WinogradTables& operator=(const WinogradTables&) = delete;
  ~WinogradTables() = default;

  /// Whether it pays: a function of the geometry alone, so that all ranks do the same.
  [[nodiscard]] bool pays() const { return plan_.pieces > 0; }
  [[nodiscard]] const WinogradPlan& plan() const { return plan_; }
  /// Floats of all transformed filters.
  [[nodiscard]] std::size_t filter_floats() const { return filter_floats_; }
  /// Floats of all planes of gradients.
  [[nodiscard]] std::size_t gradient_floats() const { return gradient_floats_; }
  /// Floats that an image's transform takes at most: its source's and its adjoint's in a group along y, and its sums.
  [[nodiscard]] std::size_t source_floats() const { return source_floats_; }
  [[nodiscard]] std::size_t adjoint_floats() const { return adjoint_floats_; }
  [[nodiscard]] std::size_t sums_floats() const { return sums_floats_; }

 private:
  struct Term {
    int taps;
    int source;  // where its first tap meets the source for output 0
    int first_tap, tap_step;
  };
  struct Line {
    std::vector<Term> terms;
    int outputs;
    int source_size, source_step;
    int target, target_step;
  };
  struct Axis {
    WinogradAxis plain;
    std::vector<WinogradTile> tiles;
    std::vector<WinogradSlot> slots;
    int products = 0;  // with which its outputs are done,
    int direct = 0;    // and without the transform
  };

  static std::vector<Line> lines_of(const ConvolutionShape& shape, bool transposed, int fine, int coarse);
  static WinogradInput input_of(const Line& line, const Term& term, int first, int outputs, int point);
  static Axis axis_of(const Line& line);

  std::vector<Axis> axes_;  // of y, then of x
  std::vector<WinogradPiece> pieces_;
  WinogradPlan plan_{};
  std::size_t filter_floats_ = 0;
  std::size_t gradient_floats_ = 0;
  std::size_t source_floats_ = 0;
  std::size_t adjoint_floats_ = 0;
  std::size_t sums_floats_ = 0;
};

}  // namespace ganymede::cpu
