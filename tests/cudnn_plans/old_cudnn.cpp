// A cuDNN of before 9.8, of which nothing is called but its version.
#include <cstddef>

extern "C" std::size_t cudnnGetVersion() { return 90100; }
