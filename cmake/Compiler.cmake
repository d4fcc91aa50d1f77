# Flags for everything that is compiled here. They are set per directory, not on the library, because those
# who use the installed library choose their own.

# ganymede_compile_options(FLAG…): for C++, and for the host code of CUDA sources, where nvcc passes them on.
function(ganymede_compile_options)
  foreach(flag IN LISTS ARGN)
    add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:${flag}>" "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${flag}>")
  endforeach()
endfunction()

ganymede_compile_options(-Wall -Wextra)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overlapping copies inside std::string's operator+ where there are none (GCC bug 105651).
  ganymede_compile_options(-Wno-restrict)
endif()
if(GANYMEDE_WERROR)
  ganymede_compile_options(-Werror)
  # nvcc's own: of its front end and of ptxas.
  add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>")
endif()

# One binary for every x86-64-v2 machine; the kernels are compiled once more per wider instruction set.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  ganymede_compile_options(-march=x86-64-v2)
endif()

# What is built does not name the folder it was built in.
ganymede_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)

# Debian's Open MPI pulls in its C++ bindings, which nothing here uses.
add_link_options(-Wl,--as-needed)

# For what a fuzzer's input steers: the library, the command line, the fuzzers. Elsewhere it would only cost time.
set(ganymede_fuzzed "")
if(GANYMEDE_FUZZ)
  set(ganymede_fuzzed -fsanitize=fuzzer-no-link)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "GANYMEDE_FUZZ needs Clang (libFuzzer): configure with --preset asan")
  endif()
endif()
if(GANYMEDE_SANITIZE)
  add_compile_options(-fsanitize=${GANYMEDE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${GANYMEDE_SANITIZE})
endif()

find_program(CCACHE_PROGRAM ccache)
mark_as_advanced(CCACHE_PROGRAM)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
