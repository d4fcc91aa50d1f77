# The libraries. Every missing one is looked for before the configure ends, so that one message names all.

set(ganymede_missing "")
set(ganymede_found "")

# ganymede_require(NAME TARGET DEBIAN_PACKAGE VERSION_VARIABLE [find_package arguments…])
macro(ganymede_require name target package version_variable)
  find_package(${name} ${ARGN} QUIET)
  if(TARGET ${target})
    string(STRIP "${name} ${${version_variable}}" ganymede_found_one)
    list(APPEND ganymede_found "${ganymede_found_one}")
  else()
    list(APPEND ganymede_missing "${name} (${package})")
    list(APPEND ganymede_missing_packages ${package})
  endif()
endmacro()

set(CMAKE_THREAD_PREFER_PTHREAD ON)
set(MPI_CXX_SKIP_MPICXX ON)
find_package(Threads REQUIRED)
ganymede_require(MPI MPI::MPI_CXX libopenmpi-dev MPI_CXX_VERSION COMPONENTS CXX)
ganymede_require(Boost Boost::program_options libboost-program-options-dev Boost_VERSION_STRING
                 COMPONENTS program_options)
ganymede_require(spdlog spdlog::spdlog libspdlog-dev spdlog_VERSION)
ganymede_require(nlohmann_json nlohmann_json::nlohmann_json nlohmann-json3-dev nlohmann_json_VERSION)
ganymede_require(ZLIB ZLIB::ZLIB zlib1g-dev ZLIB_VERSION_STRING)
ganymede_require(PNG PNG::PNG libpng-dev PNG_VERSION_STRING)
ganymede_require(XXHASH XXHASH::XXHASH libxxhash-dev XXHASH_VERSION)
ganymede_require(CURL CURL::libcurl libcurl4-openssl-dev CURL_VERSION_STRING)
ganymede_require(OpenSSL OpenSSL::Crypto libssl-dev OPENSSL_VERSION)
# Its package names libprotobuf without looking for it.
ganymede_require(Protobuf protobuf::libprotobuf libprotobuf-dev Protobuf_VERSION)
ganymede_require(ONNX onnx_proto libonnx-dev ONNX_VERSION CONFIG)
ganymede_require(LAPACK LAPACK::LAPACK liblapack-dev LAPACK_VERSION)  # which says no version of itself
if(GANYMEDE_TESTS)
  find_package(GTest QUIET)
endif()

if(ganymede_missing)
  list(JOIN ganymede_missing ", " missing)
  list(JOIN ganymede_missing_packages " " packages)
  message(FATAL_ERROR "Libraries that Ganymede needs are not installed: ${missing}. "
    "`launch/install` installs them on Debian, or: apt-get install ${packages}")
endif()

# Which MPI it is; FindMPI tells only the version of the standard.
set(ganymede_mpi "MPI ${MPI_CXX_VERSION}")
find_program(OMPI_INFO_PROGRAM ompi_info)
mark_as_advanced(OMPI_INFO_PROGRAM)
if(OMPI_INFO_PROGRAM)
  execute_process(COMMAND ${OMPI_INFO_PROGRAM} --version OUTPUT_VARIABLE ompi_info ERROR_QUIET)
  if(ompi_info MATCHES "Open MPI v([0-9.]+)")
    set(ganymede_mpi "Open MPI ${CMAKE_MATCH_1}")
  endif()
endif()
list(TRANSFORM ganymede_found REPLACE "^MPI .*" "${ganymede_mpi}")
list(JOIN ganymede_found ", " ganymede_libraries)
