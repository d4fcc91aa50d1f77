// A cuDNN for the GPU that is there, of what planning calls: graphs and plans are finished only with the handle that
// was created, which is how NVIDIA's cudnn-frontend plans on a GPU; and one engine is proposed, without notes.
#include <cudnn_graph.h>

namespace {

struct Descriptor {
  cudnnBackendDescriptorType_t type;
  cudnnHandle_t handle;
};
int context = 0;
const auto created = reinterpret_cast<cudnnHandle_t>(&context);

bool lacks_handle(const Descriptor& descriptor) {
  return (descriptor.type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR ||
          descriptor.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) &&
         descriptor.handle != created;
}

}  // namespace

extern "C" {

size_t cudnnGetVersion() { return 91900; }
const char* cudnnGetErrorString(cudnnStatus_t /*status*/) { return "status of the stand-in"; }
void cudnnGetLastErrorString(char* message, size_t /*size*/) { *message = '\0'; }
cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = created;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t /*handle*/) { return CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnSetStream(cudnnHandle_t /*handle*/, cudaStream_t /*stream*/) { return CUDNN_STATUS_SUCCESS; }

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* to) {
  *to = new Descriptor{type, nullptr};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  delete static_cast<Descriptor*>(descriptor);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  auto& to = *static_cast<Descriptor*>(descriptor);
  if (name == CUDNN_ATTR_OPERATIONGRAPH_HANDLE || name == CUDNN_ATTR_EXECUTION_PLAN_HANDLE) {
    if (type != CUDNN_TYPE_HANDLE || count != 1) return CUDNN_STATUS_BAD_PARAM;
    to.handle = *static_cast<const cudnnHandle_t*>(values);
  }
  // It is the GPU that is there.
  if (name == CUDNN_ATTR_ENGINEHEUR_DEVICEPROP || name == CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP)
    return CUDNN_STATUS_BAD_PARAM;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  return lacks_handle(*static_cast<Descriptor*>(descriptor)) ? CUDNN_STATUS_BAD_PARAM : CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t /*descriptor*/, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t /*type*/, int64_t /*room*/, int64_t* count,
                                       void* values) {
  *count = name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE ? 0 : 1;
  if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) *static_cast<int64_t*>(values) = 100;
  return CUDNN_STATUS_SUCCESS;
}

}  // extern "C"
