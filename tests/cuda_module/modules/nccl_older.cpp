// The same library's older version, which lacks the function.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int ncclElse() { return 1; }
