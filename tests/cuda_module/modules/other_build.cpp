// A module whose first member is another build's, and whose rest must not be touched.
namespace {
struct Module {
  const char* interface;
  void* rest[2];
};
}  // namespace

extern "C" {
extern const Module ganymede_cuda_module;
const Module ganymede_cuda_module = {"0.0.9, GNU 11.4.0, 0123456789ab", {nullptr, nullptr}};
}
