# cmake -DOUTPUT=<file.c> "-DINPUTS=<a.yaml>|<b.yaml>" -P embed.cmake
#
# Writes each input as a C array: preset_<name>_yaml, closed by a NUL that
# preset_<name>_yaml_len does not count.
set(text "/* Generated from engine/presets; edit those. */\n#include <stddef.h>\n")
string(REPLACE "|" ";" inputs "${INPUTS}")
foreach(input IN LISTS inputs)
    get_filename_component(name ${input} NAME_WE)
    string(MAKE_C_IDENTIFIER "preset_${name}_yaml" symbol)
    file(READ ${input} hex HEX)
    string(LENGTH "${hex}" digits)
    math(EXPR len "${digits} / 2")
    string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," hex "${hex}")
    string(APPEND text
        "\nextern const char ${symbol}[];\nextern const size_t ${symbol}_len;\n"
        "const char ${symbol}[] = {\n${hex}'\\0'};\n"
        "const size_t ${symbol}_len = ${len};\n")
endforeach()
file(WRITE ${OUTPUT} "${text}")
