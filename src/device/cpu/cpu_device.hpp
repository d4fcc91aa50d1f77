// What the CPU device offers beside the Device interface.
#pragma once

namespace ganymede {

/// The fused multiply-adds in single precision that one thread of this machine can do, in GFLOP/s, with
/// the widest instruction set: measured on registers alone, the best of several runs in some 10 ms.
double measure_fma_peak_gflops();

}  // namespace ganymede
