# What is installed. Nothing in it names an absolute path: the tree can be moved as a whole.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ganymede)

# The program itself is installed by src/cli.
install(TARGETS ganymede_core EXPORT ganymede-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/ganymede ${PROJECT_BINARY_DIR}/include/ganymede DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp")
install(EXPORT ganymede-targets NAMESPACE ganymede:: DESTINATION ${package_dir})
configure_package_config_file(cmake/ganymede-config.cmake.in ${PROJECT_BINARY_DIR}/ganymede-config.cmake
  INSTALL_DESTINATION ${package_dir} PATH_VARS CMAKE_INSTALL_DATADIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ganymede-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ganymede-config.cmake ${PROJECT_BINARY_DIR}/ganymede-config-version.cmake
              cmake/FindXXHASH.cmake
        DESTINATION ${package_dir})

# New recipes are installed with no change here.
install(DIRECTORY share/recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/ganymede FILES_MATCHING PATTERN "*.ini")
install(DIRECTORY share/judge DESTINATION ${CMAKE_INSTALL_DATADIR}/ganymede FILES_MATCHING PATTERN "*.safetensors")
install(DIRECTORY data/mnist-mini DESTINATION ${CMAKE_INSTALL_DATADIR}/ganymede/data)
install(PROGRAMS launch/mpirun launch/mpirun-hosts DESTINATION ${CMAKE_INSTALL_DATADIR}/ganymede/launch)
install(DIRECTORY launch/slurm DESTINATION ${CMAKE_INSTALL_DATADIR}/ganymede/launch USE_SOURCE_PERMISSIONS)
install(FILES launch/common.sh DESTINATION ${CMAKE_INSTALL_DATADIR}/ganymede/launch)
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
