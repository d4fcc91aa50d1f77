// A libcuda.so.1 that says of itself what a driver too old for CUDA 13 says, or one that finds no GPU: all that CUDA's
// runtime asks before it gives up.
extern "C" int cuDriverGetVersion(int* version) {
  *version = DRIVER_VERSION;
  return 0;
}
extern "C" int cuInit(unsigned) { return INIT_RESULT; }
