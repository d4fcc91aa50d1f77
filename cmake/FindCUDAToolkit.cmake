# CMake's own module, behind a mend of that of 3.25.1 (Debian 12), which looks for a property of nvToolsExt where no
# nvToolsExt is: since CUDA 13 there is none. Nothing here links with this one.
if(CMAKE_VERSION VERSION_LESS 3.26 AND NOT TARGET CUDA::nvToolsExt)
  add_library(CUDA::nvToolsExt INTERFACE IMPORTED)
endif()
include(${CMAKE_ROOT}/Modules/FindCUDAToolkit.cmake)
