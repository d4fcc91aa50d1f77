// A module that calls such a library.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int ncclTest();
extern "C" int calls_nccl();
extern "C" int calls_nccl() { return ncclTest(); }
