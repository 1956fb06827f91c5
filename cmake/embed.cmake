# cmake -DOUTPUT=<file.c> -DPREFIX=<p> "-DINPUTS=<a.yaml>|<b.html>" -P embed.cmake
#
# Writes each input as a C array: <p>_a_yaml, closed by a NUL that <p>_a_yaml_len does not
# count.
set(text "/* Generated, as cmake/embed.cmake says; edit its inputs. */\n#include <stddef.h>\n")
string(REPLACE "|" ";" inputs "${INPUTS}")
foreach(input IN LISTS inputs)
    get_filename_component(name ${input} NAME)
    string(MAKE_C_IDENTIFIER "${PREFIX}_${name}" symbol)
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
