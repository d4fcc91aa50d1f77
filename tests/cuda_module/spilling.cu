// A kernel that cannot keep what it holds in registers, for the test of resource_usage.py.
extern "C" __global__ void spilling(float* values, int at) {
  float local[64];
  for (int i = 0; i < 64; ++i) local[i] = values[i] + static_cast<float>(at);
  values[threadIdx.x] = local[(at + static_cast<int>(threadIdx.x)) % 64];
}
