#include "replay/classify.h"

#include <criterion/criterion.h>

static void expect(const unsigned *numbers, size_t count, enum err_code code)
{
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(classify_server_error(numbers[i]), code, "%u is %s", numbers[i],
                     err_name(classify_server_error(numbers[i])));
    }
}

#define EXPECT(code, ...)                                                                \
    expect((const unsigned[]){__VA_ARGS__},                                              \
           sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned), (code))

Test(classify, every_code_of_the_table)
{
    EXPECT(ERR_OK, 0);
    EXPECT(ERR_TRANSIENT, 1205, 1213, 1040, 1047, 1053, 1062, 1020, 1203, 1226, 1290,
           1317, 1412, 1467, 1836, 2002, 2003, 4031);
    EXPECT(ERR_UNKNOWN, 2006, 2013, 1927);
    EXPECT(ERR_DATA, 1406, 1366, 1264, 1292, 1048);
    EXPECT(ERR_SCHEMA, 1146, 1054, 1142, 1045, 1364, 1452, 167, 1644, 3819, 4025);
    EXPECT(ERR_RESOURCE, 1114, 1021, 1153, 2008, 1037, 1041);
}

Test(classify, what_is_not_in_the_table_stops_the_lane)
{
    EXPECT(ERR_SCHEMA, 1, 1064, 1105, 1180, 1205 + 10000, 2026, 9999, 65535);
    cr_assert_eq(err_class(classify_server_error(1064)), ERR_CLASS_HALT);
}
