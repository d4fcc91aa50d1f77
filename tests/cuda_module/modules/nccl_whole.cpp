// Stands for a library of NVIDIA's as the module was built with it.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int ncclTest() { return 1; }
