# cmake -DSOURCE=<dir> -DOUTPUT=<file.h> -DVERSION=<x.y.z> [-DCOMMIT=<id>] -P version.cmake
#
# Run at each build, so that the commit is the one being built; the header is
# touched only when it changes. A tree without git has an empty commit.
if(NOT COMMIT)
    execute_process(
        COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD
        OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE
        ERROR_QUIET RESULT_VARIABLE failed)
    if(failed)
        set(COMMIT "")
    endif()
endif()
set(text "/* Generated at each build. */\n#ifndef HOLDFAST_VERSION_H\n#define HOLDFAST_VERSION_H\n")
string(APPEND text "#define HOLDFAST_VERSION \"${VERSION}\"\n")
string(APPEND text "#define HOLDFAST_COMMIT \"${COMMIT}\"\n#endif\n")
set(before "")
if(EXISTS ${OUTPUT})
    file(READ ${OUTPUT} before)
endif()
if(NOT text STREQUAL before)
    file(WRITE ${OUTPUT} "${text}")
endif()
