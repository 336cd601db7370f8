# Every third-party library in one place; docs/third-party.md says where each comes from.
find_package(Threads REQUIRED)
find_package(GTest)  # tests only: an image build has none
if(EXECD_STATIC)
  set(OPENSSL_USE_STATIC_LIBS ON)
endif()
find_package(OpenSSL REQUIRED)

# RSA only (execd/auth/rsa.cpp): libcrypto's would bring its provider, 3 MB.
if(EXECD_STATIC)
  find_library(EXECD_MBEDCRYPTO NAMES libmbedcrypto.a REQUIRED)
else()
  find_library(EXECD_MBEDCRYPTO NAMES mbedcrypto REQUIRED)
endif()

# libzmq: Debian's archive pulls in gssapi, pgm, norm and sodium, so the static build has its own (scripts/deps).
add_library(zmq_lib INTERFACE)
if(EXECD_STATIC)
  find_library(EXECD_ZMQ_ARCHIVE NAMES libzmq.a PATHS ${EXECD_DEPS_DIR}/lib NO_DEFAULT_PATH)
  if(NOT EXECD_ZMQ_ARCHIVE)
    message(FATAL_ERROR "no static libzmq in '${EXECD_DEPS_DIR}/lib': run scripts/deps first (scripts/build does)")
  endif()
  target_link_libraries(zmq_lib INTERFACE ${EXECD_ZMQ_ARCHIVE})
else()
  target_link_libraries(zmq_lib INTERFACE zmq)
endif()

# Xeus, the Jupyter protocol's server side, for the native kernels: Debian's archive in every build, since we use few of
# its members (its own ZeroMQ server is not among them).
add_library(xeus_lib INTERFACE)
find_library(EXECD_XEUS_ARCHIVE NAMES libxeus.a REQUIRED)
target_link_libraries(xeus_lib INTERFACE ${EXECD_XEUS_ARCHIVE} uuid)

# -static-pie costs 0.4 MB of private memory in every process and 0.7 MB of size (its relocations), and buys addresses that
# nobody can know. The map says what the file is made of (scripts/check-binary).
function(execd_link_static target)
  if(EXECD_STATIC)
    target_link_options(${target} PRIVATE -static-pie -Wl,-Map=$<TARGET_FILE:${target}>.map
      -Wl,--wrap=__clone3 -Wl,-u,__wrap___clone3)  # base/clone3_eperm.cpp
  endif()
endfunction()

# The program that is deployed carries no symbols; a debugger finds them in <target>.debug beside it.
function(execd_split_debug target)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    add_custom_command(TARGET ${target} POST_BUILD
      COMMAND ${CMAKE_OBJCOPY} --only-keep-debug $<TARGET_FILE:${target}> $<TARGET_FILE:${target}>.debug
      COMMAND ${CMAKE_STRIP} --strip-all $<TARGET_FILE:${target}>
      COMMAND ${CMAKE_OBJCOPY} --add-gnu-debuglink=$<TARGET_FILE:${target}>.debug $<TARGET_FILE:${target}>
      VERBATIM)
  endif()
endfunction()
