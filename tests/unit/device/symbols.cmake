# Fails where an object of the kernels, compiled for a newer CPU, offers a symbol that the linker may take
# in place of another object's (weak, vague or unique): older CPUs would then run it.
#   cmake -DNM=nm "-DOBJECTS=a.o|b.o" -P symbols.cmake
string(REPLACE "|" ";" OBJECTS "${OBJECTS}")
if(NOT OBJECTS)
  message(FATAL_ERROR "no objects to look at")
endif()
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${NM} --demangle ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  if(NOT symbols MATCHES "kernels_v[234]")
    message(FATAL_ERROR "${object} does not hold a table of kernels")
  endif()
  if(symbols MATCHES "(^|\n)[0-9a-f ]* [WwVvu] ([^\n]*)")
    message(FATAL_ERROR "${object} offers ${CMAKE_MATCH_2} to the whole program: inline it or make it local")
  endif()
endforeach()
