// What the kernels know of a convolution with fewer multiplications: kernels/winograd.inl.cpp says how it goes,
// winograd_plan.cpp makes these tables. Plain data alone, see kernels.hpp.
#pragma once

#include <cstddef>

namespace ganymede::cpu {

/// Points that a tile is evaluated at, along one axis.
inline constexpr int winograd_points = 5;
inline constexpr int winograd_outputs = 4;
inline constexpr int winograd_taps = 3;
/// Convolutions of stride 1 that one of stride 2 is the sum of, along one axis.
inline constexpr int winograd_terms = 2;
inline constexpr int winograd_groups = 16;

/// A value of the transform's domain: Σ factor · the source at `position`, all of which lie inside.
struct WinogradInput {
  int count;
  int position[winograd_points];
  float factor[winograd_points];
};

/// A tile at one point.
struct WinogradSlot {
  int group;
  int index;                            ///< in its group
  float factor[winograd_outputs];       ///< what its product counts for in the tile's outputs
  WinogradInput output;                 ///< the same as an input: the adjoints of the outputs that it has a share in
  WinogradInput input[winograd_terms];  ///< none for a term that has no share in it
};

struct WinogradTile {
  int first, outputs;
  int first_slot, slots;
};

/// Slots at the same point in which the same terms have a share: the rows of one matrix product.
struct WinogradGroup {
  int point;
  int slots;
  int terms;                 ///< that have a share
  int rank[winograd_terms];  ///< the place of a term among them, -1 for others
};

struct WinogradTerm {
  int taps;
  int tap[winograd_taps];                        ///< of the kernel
  float factor[winograd_points][winograd_taps];  ///< what they count for at each point
  bool used[winograd_points];                    ///< has it a share anywhere at this point?
};

struct WinogradAxis {
  int target, target_step;  ///< where outputs lie in the result
  int tiles, slots, groups, terms;
  const WinogradTile* tile;
  const WinogradSlot* slot;
  WinogradGroup group[winograd_groups];
  WinogradTerm term[winograd_terms];
};

/// Where the rows of a pair of groups lie, in floats per image of the block: among the transformed sources of the same
/// group along y, and among the sums of all.
struct WinogradPlace {
  std::ptrdiff_t source, sums;
  int source_pitch;
};

/// Outputs that the same taps reach. Filters are [point y][point x] planes of panels of [terms y][terms x][source
/// channels][columns]; gradients of [sums channels][terms y][terms x][source channels].
struct WinogradPiece {
  WinogradAxis y, x;
  WinogradPlace place[winograd_groups][winograd_groups];
  std::ptrdiff_t sums_floats;     ///< per image
  std::ptrdiff_t filters, plane;  ///< where its filters begin, and floats of a plane
  std::ptrdiff_t gradient_plane;
  int gradient_pitch;
};

struct WinogradPlan {
  int pieces;
  const WinogradPiece* piece;
  int sums_columns;  ///< the result's channels, with what fills the last vector
};

}  // namespace ganymede::cpu
