# The commit shown by `execd --version`; without git (a source archive, an image build) it can be given with
# -DEXECD_COMMIT=..., or the version alone is shown. A new commit configures again; only version.cpp sees the value.
if(NOT DEFINED CACHE{EXECD_COMMIT})
  execute_process(COMMAND git -C ${CMAKE_SOURCE_DIR} rev-parse --short=12 HEAD OUTPUT_VARIABLE EXECD_COMMIT
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  execute_process(COMMAND git -C ${CMAKE_SOURCE_DIR} rev-parse --path-format=absolute --git-path logs/HEAD
    OUTPUT_VARIABLE execd_head_log OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(EXISTS "${execd_head_log}")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${execd_head_log}")
  endif()
endif()
