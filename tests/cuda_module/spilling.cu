// A kernel that cannot keep what it holds in registers, because it does not know where in it, for the test of
// resource_usage.py.
extern "C" __global__ void spilling(float* values, const int* at) {
  float local[256];
  for (int i = 0; i < 256; ++i) local[at[i] & 255] = values[i];
  for (int i = 0; i < 256; ++i) values[i] = local[at[i + 256] & 255];
}
