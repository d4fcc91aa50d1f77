// The definition of a convolution, for tests to sum by: which pixels its weights join.
#pragma once

namespace ganymede::testing {

/// visit(coarse pixel, fine pixel, y · kernel + x) for every pair of an image's pixels that a weight joins; `geometry`
/// is a Convolution, or a kernel's ConvolutionShape.
template <class Geometry, class Visit>
void visit_taps(const Geometry& g, const Visit& visit) {
  for (int py = 0; py < g.coarse_height; ++py)
    for (int px = 0; px < g.coarse_width; ++px)
      for (int ky = 0; ky < g.kernel; ++ky)
        for (int kx = 0; kx < g.kernel; ++kx) {
          const int y = py * g.stride - g.padding + ky;
          const int x = px * g.stride - g.padding + kx;
          if (y >= 0 && y < g.fine_height && x >= 0 && x < g.fine_width)
            visit(py * g.coarse_width + px, y * g.fine_width + x, ky * g.kernel + kx);
        }
}

}  // namespace ganymede::testing
