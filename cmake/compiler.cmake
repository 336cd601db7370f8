# Language level, warnings, sanitizers, ccache and the static link: the same for every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
# -fPIE for everything, not PIC for libraries and PIE for programs: they share one precompiled header.
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
add_compile_options(-fPIE)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(EXECD_CCACHE ccache)
  if(EXECD_CCACHE)
    # A precompiled header carries macros and time stamps that ccache must be told to look past; base_dir lets two
    # checkouts share one cache.
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
        CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 CCACHE_PCH_EXTSUM=1 ${EXECD_CCACHE})
  endif()
endif()

add_compile_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror -fdiagnostics-color=auto)
add_compile_definitions(
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED
  BOOST_ASIO_DISABLE_BOOST_COROUTINE BOOST_ALL_NO_LIB)
include_directories(${CMAKE_SOURCE_DIR})

# -O2 although -Os is a tenth smaller: the stream encoders are hot and the size budget has room.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1 -DEXECD_DEBUG")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1 -DEXECD_DEBUG")  # the tsan and fuzz builds
add_compile_options(-ffunction-sections -fdata-sections -fno-plt)
add_link_options(-Wl,--gc-sections)
# The sanitizer builds are linked after every edit: mold takes a second or two where GNU ld took nine.
find_program(EXECD_MOLD mold)
if(EXECD_MOLD AND NOT EXECD_STATIC)
  add_link_options(-fuse-ld=mold)
endif()

# g++ 12 sees impossible sizes in inlined std::string code and a wrong delete in every coroutine frame as soon as it
# optimizes.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_compile_options(-Wno-stringop-overflow -Wno-restrict -Wno-array-bounds -Wno-mismatched-new-delete)
endif()

# The same source makes the same program wherever it is built (tests/conformance/test_reproducible.py): neither the
# assertions nor the debug information, whose checksum the program carries, name the directory. ccache hands the compiler
# paths relative to the build directory, so those are mapped too, and an option of its own, so options are not recorded.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  file(RELATIVE_PATH execd_up ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR})
  string(REGEX REPLACE "/$" "" execd_up "${execd_up}")
  add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}=/usr/src/execd -ffile-prefix-map=${execd_up}=/usr/src/execd
    -gno-record-gcc-switches)
endif()

# Hardening whose cost was not measurable in the release build; the sanitizers bring their own checks.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
endif()

if(EXECD_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()

if(EXECD_SANITIZE)
  add_compile_options(-fsanitize=${EXECD_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${EXECD_SANITIZE})
  if(EXECD_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)  # Asio's fences: TSan does not model them, its mutexes suffice
  endif()
  if(EXECD_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()
if(EXECD_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
  # g++ is the compiler whose warnings count; clang only builds the fuzzers, and must not fail on its own opinions.
  add_compile_options(-Wno-error)
endif()
