// What NVTX opens as a profiler (NVTX_INJECTION64_PATH): writes each range's name as it begins, and "." as it ends,
// each on a line of the file that GANYMEDE_RANGES names.
#include <nvtx3/nvToolsExt.h>

#include <cstdio>
#include <cstdlib>

namespace {

std::FILE* file = nullptr;
int depth = 0;

int begin(const char* name) {
  std::fprintf(file, "%s\n", name);
  return depth++;
}
int end() {
  std::fputs(".\n", file);
  return --depth;
}

template <class Function>
void put(NvtxFunctionTable table, NvtxCallbackIdCore which, Function function) {
  *table[which] = reinterpret_cast<NvtxFunctionPointer>(function);
}

}  // namespace

// NVTX's name for it.
extern "C" __attribute__((visibility("default"))) int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t export_table) {
  const auto* const callbacks = static_cast<const NvtxExportTableCallbacks*>(export_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  const char* const name = std::getenv("GANYMEDE_RANGES");
  if (name == nullptr || callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &size) == 0) return 0;
  file = std::fopen(name, "w");
  if (file == nullptr) return 0;
  put(table, NVTX_CBID_CORE_RangePushA, begin);
  put(table, NVTX_CBID_CORE_RangePop, end);
  return 1;
}
