# What every test finds in its environment.

# mpirun refuses root, as users are in containers, unless told twice.
set(ENV{OMPI_ALLOW_RUN_AS_ROOT} 1)
set(ENV{OMPI_ALLOW_RUN_AS_ROOT_CONFIRM} 1)

# Where there is no /sys, as in a bare chroot, hwloc says so once a process, beside what tests look for.
set(ENV{HWLOC_HIDE_ERRORS} 2)

# For those built with sanitizers. What Open MPI never frees is no leak of ours.
set(ENV{LSAN_OPTIONS} suppressions=${CMAKE_CURRENT_LIST_DIR}/leaks.supp:print_suppressions=0)
# Memory that cannot be had is a null pointer to a sanitizer too: what is said then has a test.
set(ENV{ASAN_OPTIONS} allocator_may_return_null=1)
set(ENV{UBSAN_OPTIONS} print_stacktrace=1)
set(ENV{TSAN_OPTIONS} halt_on_error=1:allocator_may_return_null=1)
