# Every target of the project links holdfast_flags: one place for warnings,
# sanitizers and hardening. Nothing of it reaches a user of the library.
add_library(holdfast_flags INTERFACE)
target_compile_definitions(holdfast_flags INTERFACE _GNU_SOURCE)
target_include_directories(holdfast_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(holdfast_flags INTERFACE
    -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
    -Wformat=2 -Wundef -Wvla -Wswitch-enum
    # clang's -Wconversion holds these, gcc's doesn't: the same meaning under both.
    -Wno-sign-conversion -Wno-string-conversion
    $<$<BOOL:${HF_WERROR}>:-Werror>)

set(hf_instrument "")
if(HF_SANITIZE STREQUAL "address")
    set(hf_instrument -fsanitize=address,undefined -fno-sanitize-recover=undefined)
elseif(HF_SANITIZE STREQUAL "thread")
    set(hf_instrument -fsanitize=thread)
elseif(NOT HF_SANITIZE STREQUAL "")
    message(FATAL_ERROR "HF_SANITIZE is '${HF_SANITIZE}': use address, thread or nothing")
endif()
if(HF_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "HF_FUZZ needs clang: cmake --preset fuzz")
    endif()
    # Every folder tells libFuzzer which way it went; the programs bring the main.
    set(hf_instrument -fsanitize=fuzzer-no-link,address,undefined
        -fno-sanitize-recover=undefined)
endif()
if(hf_instrument)
    target_compile_options(holdfast_flags INTERFACE
        ${hf_instrument} -fno-omit-frame-pointer)
    target_link_options(holdfast_flags INTERFACE ${hf_instrument})
endif()

# Atomic: several threads count the same lines, and gcovr refuses what goes wrong then.
if(HF_COVERAGE)
    target_compile_options(holdfast_flags INTERFACE --coverage -fprofile-update=atomic)
    target_link_options(holdfast_flags INTERFACE --coverage)
endif()

# A sanitizer brings its own checks, and _FORTIFY_SOURCE hides calls from it.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT hf_instrument)
    target_compile_options(holdfast_flags INTERFACE
        -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
        -fstack-protector-strong -fstack-clash-protection)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|i[3-6]86)$")
        target_compile_options(holdfast_flags INTERFACE -fcf-protection)
    endif()
    target_link_options(holdfast_flags INTERFACE -Wl,-z,relro,-z,now)
endif()
