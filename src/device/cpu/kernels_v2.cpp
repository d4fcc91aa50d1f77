// The kernels for x86-64-v2; see src/device/CMakeLists.txt for the flags.
#define GANYMEDE_KERNELS kernels_v2
#include "device/cpu/kernels.inl.cpp"
