// The kernels for x86-64-v3; see src/device/CMakeLists.txt for the flags.
#define GANYMEDE_KERNELS kernels_v3
#include "device/cpu/kernels.inl.cpp"
