# The GPU backend's toolchain. Sets ganymede_cuda to ON where the module is built, and ganymede_cuda_summary, a line
# for people. GANYMEDE_CUDA=AUTO builds without what is not there, ON names it and stops.
set(GANYMEDE_CUDA AUTO CACHE STRING "The GPU backend: AUTO (where a CUDA toolkit is found), ON or OFF")
set_property(CACHE GANYMEDE_CUDA PROPERTY STRINGS AUTO ON OFF)
set(GANYMEDE_CUDA_ARCHITECTURES auto CACHE STRING
  "GPUs to compile for: auto (those of this machine), all, or a list as CMAKE_CUDA_ARCHITECTURES")

set(ganymede_cuda OFF)
set(ganymede_cuda_lacks "")
set(hint "")
if(NOT GANYMEDE_CUDA)
  set(ganymede_cuda_summary "off (GANYMEDE_CUDA)")
  return()
elseif(NOT GANYMEDE_CUDA STREQUAL "AUTO" AND NOT GANYMEDE_CUDA STREQUAL "ON")
  message(FATAL_ERROR "GANYMEDE_CUDA takes AUTO, ON or OFF, not '${GANYMEDE_CUDA}'")
elseif(GANYMEDE_SANITIZE OR GANYMEDE_FUZZ)
  set(ganymede_cuda_lacks "a build without sanitizers and fuzzers")
elseif(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(ganymede_cuda_lacks "an x86-64 processor")
else()
  include(CudaToolkit)
  string(CONCAT hint "; `launch/install --cuda` brings a whole toolkit, CUDAToolkit_ROOT, CUDNN_ROOT and NCCL_ROOT name "
         "what is elsewhere")
endif()

if(NOT ganymede_cuda_lacks)
  # CMake 3.25 does not know which option makes nvcc compile C++20.
  if(CMAKE_VERSION VERSION_LESS 3.26)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  # nvcc leaves host code to the compiler of all the rest.
  if(NOT CMAKE_CUDA_HOST_COMPILER)
    set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER} CACHE FILEPATH "What nvcc compiles host code with")
  endif()

  if(NOT CMAKE_CUDA_COMPILER)
    # In the environment, so that check_language tries it: a compiler that does not work must not end the configure.
    if(NOT DEFINED ENV{CUDACXX})
      set(ENV{CUDACXX} ${ganymede_cuda_root}/bin/nvcc)
    endif()
    unset(CMAKE_CUDA_COMPILER CACHE)
    include(CheckLanguage)
    check_language(CUDA)
  endif()
  if(CMAKE_CUDA_COMPILER)
    # Which architectures are compiled is said per target; this is for the compiler's own trial.
    set(CMAKE_CUDA_ARCHITECTURES 75)
    enable_language(CUDA)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.0)
      set(ganymede_cuda_lacks "nvcc 12.0 or later, which compiles C++20 (${CMAKE_CUDA_COMPILER} is ${CMAKE_CUDA_COMPILER_VERSION})")
    endif()
  else()
    set(ganymede_cuda_lacks "an nvcc that works with ${CMAKE_CXX_COMPILER} (${ganymede_cuda_root}/bin/nvcc fails: CMakeFiles/CMakeError.log says why)")
  endif()
endif()

if(NOT ganymede_cuda_lacks)
  # The same toolkit as its compiler's.
  find_package(CUDAToolkit QUIET)
  set(least_NCCL 2.19)  # ncclMemAlloc, ncclCommRegister
  set(least_CUDNN 9.8)
  find_package(NCCL ${least_NCCL} QUIET)
  find_package(CUDNN ${least_CUDNN} QUIET)
  foreach(need IN ITEMS CUDA::cudart_static CUDA::cublasLt CUDNN::CUDNN NCCL::NCCL)
    if(NOT TARGET ${need})
      string(REGEX REPLACE ".*::" "" need ${need})
      string(REPLACE CUDNN cuDNN name ${need})
      if(DEFINED least_${need})
        string(APPEND name " ${least_${need}} or later")
      endif()
      if(${need}_VERSION AND ${need}_VERSION VERSION_LESS least_${need})
        string(APPEND name " (that in ${${need}_INCLUDE_DIR} is ${${need}_VERSION})")
      endif()
      list(APPEND ganymede_cuda_lacks "${name}")
    endif()
  endforeach()
  list(JOIN ganymede_cuda_lacks ", " ganymede_cuda_lacks)
endif()

if(ganymede_cuda_lacks)
  set(ganymede_cuda_summary "off, training runs on the CPU: it needs ${ganymede_cuda_lacks}${hint}")
  if(GANYMEDE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "GANYMEDE_CUDA is ON, and the GPU backend needs ${ganymede_cuda_lacks}${hint}")
  endif()
  return()
endif()

# What to compile for.
# - `all`, for binaries that others run: every generation since 7.5 in its own code, and PTX that the driver of a later
#   one compiles. 10.3 runs the code of 10.0, and 12.1 that of 12.0.
# - `auto`, for one's own: this machine's GPUs. Where there is none, code for 7.5 and its PTX, which the driver of any
#   GPU that is supported compiles at its first start: one pass of the compiler, and a binary that runs everywhere.
# A toolkit that is older than a generation leaves it to the PTX of the one before.
execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-code OUTPUT_VARIABLE known)
set(ganymede_cuda_release "")
foreach(architecture IN ITEMS 75 80 86 89 90 100 120)
  if(known MATCHES "sm_${architecture}[^0-9]")
    list(APPEND ganymede_cuda_release ${architecture}-real)
    set(last ${architecture}-virtual)
  endif()
endforeach()
list(APPEND ganymede_cuda_release ${last})
if(GANYMEDE_CUDA_ARCHITECTURES STREQUAL "all")
  set(ganymede_cuda_architectures ${ganymede_cuda_release})
elseif(GANYMEDE_CUDA_ARCHITECTURES STREQUAL "auto")
  set(ganymede_cuda_architectures 75)
  find_program(NVIDIA_SMI_PROGRAM nvidia-smi)
  mark_as_advanced(NVIDIA_SMI_PROGRAM)
  if(NVIDIA_SMI_PROGRAM)
    execute_process(COMMAND ${NVIDIA_SMI_PROGRAM} --query-gpu=compute_cap --format=csv,noheader
                    OUTPUT_VARIABLE capabilities ERROR_QUIET)
    string(REGEX MATCHALL "[0-9]+\\.[0-9]" capabilities "${capabilities}")
    list(TRANSFORM capabilities REPLACE "\\." "")
    list(REMOVE_DUPLICATES capabilities)
    list(FILTER capabilities EXCLUDE REGEX "^([0-6].|7[0-4])$")
    if(capabilities)
      list(TRANSFORM capabilities APPEND "-real" OUTPUT_VARIABLE ganymede_cuda_architectures)
    endif()
  endif()
else()
  set(ganymede_cuda_architectures ${GANYMEDE_CUDA_ARCHITECTURES})
endif()

if(CCACHE_PROGRAM AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

set(ganymede_cuda ON)
list(JOIN ganymede_cuda_architectures ", " architectures)
string(CONCAT ganymede_cuda_summary "CUDA ${CMAKE_CUDA_COMPILER_VERSION} (${ganymede_cuda_root}), "
       "cuDNN ${CUDNN_VERSION}, NCCL ${NCCL_VERSION}, for ${architectures}")
