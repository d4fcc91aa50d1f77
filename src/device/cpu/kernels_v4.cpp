// The kernels for x86-64-v4; see src/device/CMakeLists.txt for the flags.
#define GANYMEDE_KERNELS kernels_v4
#include "device/cpu/kernels.inl.cpp"
