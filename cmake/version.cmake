# The commit goes into `execd --version`; without git the version alone is shown.
execute_process(COMMAND git -C ${CMAKE_SOURCE_DIR} rev-parse --short=12 HEAD OUTPUT_VARIABLE EXECD_COMMIT
  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
