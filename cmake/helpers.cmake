# helpers.cmake - how a layer, the program, a unit test and a fuzz target are built.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})

option(STRICT "treat every warning as an error" OFF)
option(NO_DEMO "build without the demo page's bundled pusher-js (no Node needed)" OFF)
option(FUZZ "build the fuzz targets (clang only)" OFF)
set(SANITIZE "" CACHE STRING "sanitizers of this build, as -fsanitize= takes them")

add_compile_definitions(_GNU_SOURCE)
add_compile_options(
  -fno-omit-frame-pointer -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wundef -Wcast-qual -Wcast-align
  -Wwrite-strings -Wpointer-arith -Wformat=2 -Wvla -Wswitch-enum -Wimplicit-fallthrough
  -Wnull-dereference -Wdouble-promotion)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wjump-misses-init)
else()
  add_compile_options(-Wmissing-variable-declarations -Wunreachable-code -Wcomma)
endif()
if(STRICT)
  add_compile_options(-Werror)
endif()
if(SANITIZE)
  add_compile_options(-fsanitize=${SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SANITIZE})
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection
    -fcf-protection)
  add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  add_link_options(-pie)
  # The program is optimised as a whole when it is linked.  A unit test takes the same objects as
  # they are: a hundred programs would be optimised anew, which takes minutes.
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
  add_compile_options($<$<C_COMPILER_ID:GNU>:-ffat-lto-objects>)
endif()

# layer(NAME [USES layer...] [LIBS target...]): src/NAME/*.c as a static library.
function(layer name)
  cmake_parse_arguments(L "" "" "USES;LIBS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c)
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(${name} PUBLIC ${L_USES} ${L_LIBS})
endfunction()

# program(NAME ...): src/*.c. All but main.c is a library too, so that unit tests can link it.
function(program name)
  cmake_parse_arguments(P "" "" "USES;LIBS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/*.c)
  list(REMOVE_ITEM sources ${CMAKE_SOURCE_DIR}/src/main.c)
  add_library(top STATIC ${sources})
  target_link_libraries(top PUBLIC ${P_USES} ${P_LIBS})
  add_executable(${name} ${CMAKE_SOURCE_DIR}/src/main.c)
  target_link_libraries(${name} PRIVATE top)
  target_compile_definitions(top PUBLIC CARILLON_VERSION="${PROJECT_VERSION}")
endfunction()

enable_testing() # not inside of a function: what it sets ends there

# tests(): one program per tests/unit/**/NAME_test.c, named after its path.
function(tests)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/*_test.c)
  foreach(file ${files})
    file(RELATIVE_PATH path ${CMAKE_SOURCE_DIR}/tests/unit ${file})
    string(REGEX REPLACE "\\.c$" "" test ${path})
    string(REPLACE "/" "_" test ${test})
    add_executable(unit_${test} ${file})
    target_include_directories(unit_${test} PRIVATE ${CMAKE_SOURCE_DIR}/tests/unit)
    target_link_libraries(unit_${test} PRIVATE top)
    target_link_options(unit_${test} PRIVATE -fno-lto)
    set_target_properties(unit_${test} PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF
      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/unit)
    add_test(NAME ${test} COMMAND unit_${test})
    set_tests_properties(${test} PROPERTIES LABELS unit TIMEOUT 600
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  endforeach()
endfunction()

# fuzz_targets(): one libFuzzer program per tests/fuzz/NAME_fuzz.c.
function(fuzz_targets)
  if(NOT FUZZ)
    return()
  endif()
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/*_fuzz.c)
  foreach(file ${files})
    get_filename_component(target ${file} NAME_WE)
    add_executable(${target} ${file})
    target_link_libraries(${target} PRIVATE top)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  endforeach()
endfunction()
