# CMake's part of the GPU backend, given a cuDNN and an NCCL that are too old beside a real toolkit, says which versions
# these are and which are needed.
# cmake -D source=… -D work=… -D compiler=… -P old_libraries.cmake
file(REMOVE_RECURSE ${work})
file(WRITE ${work}/old/include/nccl.h "#define NCCL_MAJOR 2\n#define NCCL_MINOR 18\n#define NCCL_PATCH 3\n")
file(WRITE ${work}/old/include/cudnn_graph.h "")
file(WRITE ${work}/old/include/cudnn_version.h
  "#define CUDNN_MAJOR 9\n#define CUDNN_MINOR 7\n#define CUDNN_PATCHLEVEL 1\n")
foreach(name IN ITEMS nccl cudnn_graph)
  file(WRITE ${work}/old/lib/lib${name}.so "")
endforeach()
file(WRITE ${work}/project/CMakeLists.txt "cmake_minimum_required(VERSION 3.25)
project(old LANGUAGES CXX)
list(APPEND CMAKE_MODULE_PATH ${source}/cmake)
include(Cuda)
")
set(ENV{NCCL_ROOT} ${work}/old)
set(ENV{CUDNN_ROOT} ${work}/old)
execute_process(COMMAND ${CMAKE_COMMAND} -S ${work}/project -B ${work}/build -D GANYMEDE_CUDA=ON
                        -D CMAKE_CXX_COMPILER=${compiler}
                RESULT_VARIABLE code OUTPUT_QUIET ERROR_VARIABLE said)
# CMake breaks lines.
string(REGEX REPLACE "[ \n]+" " " said "${said}")
foreach(text IN ITEMS "NCCL 2.19 or later (that in ${work}/old/include is 2.18.3)"
                      "cuDNN 9.8 or later (that in ${work}/old/include is 9.7.1)")
  string(FIND "${said}" "${text}" at)
  if(code EQUAL 0 OR at EQUAL -1)
    message(FATAL_ERROR "ended with ${code} and does not say '${text}': ${said}")
  endif()
endforeach()
