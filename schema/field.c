/* What a record field must obey, from the columns that it feeds. */
#include "schema/internal.h"

#include <assert.h>

enum value_type field_value_type(enum column_type type)
{
    static const enum value_type types[] = {
        [COLUMN_STRING] = VALUE_TEXT,     [COLUMN_IP] = VALUE_IP,
        [COLUMN_TIMESTAMP] = VALUE_TIME,  [COLUMN_DATETIME] = VALUE_TIME,
        [COLUMN_INTEGER] = VALUE_INTEGER, [COLUMN_FLOAT] = VALUE_FLOAT,
        [COLUMN_BOOL] = VALUE_BOOL,       [COLUMN_ENUM] = VALUE_TEXT,
    };
    return types[type];
}

struct stream_field field_widest(const char *name, enum value_type type)
{
    return (struct stream_field){
        .name = name,
        .type = type,
        .characters_max = UINT32_MAX,
        .integer_min = INT64_MIN,
        .integer_max = UINT64_MAX,
        .is_unsigned = true,
        .float_bits = 64,
        .precision = 6,
    };
}

/* Signed and unsigned together leave what both hold, which reads the same either way. */
static void narrow_integer(struct stream_field *field, const struct column_spec *column)
{
    uint32_t value_bits = column->is_unsigned ? column->bits : column->bits - 1;
    uint64_t max = UINT64_MAX >> (64 - value_bits);
    int64_t min = column->is_unsigned ? 0 : -(int64_t)max - 1;
    field->integer_max = max < field->integer_max ? max : field->integer_max;
    field->integer_min = min > field->integer_min ? min : field->integer_min;
    field->is_unsigned = field->is_unsigned && column->is_unsigned;
}

void field_narrow(struct stream_field *field, const struct column_spec *column)
{
    switch (column->type) {
    case COLUMN_STRING:
        if (column->max < field->characters_max) {
            field->characters_max = column->max;
        }
        break;
    case COLUMN_TIMESTAMP:
    case COLUMN_DATETIME:
        if (column->precision < field->precision) {
            field->precision = column->precision;
        }
        field->timestamp_range |= column->type == COLUMN_TIMESTAMP;
        break;
    case COLUMN_INTEGER:
        narrow_integer(field, column);
        break;
    case COLUMN_FLOAT:
        if (column->bits < field->float_bits) {
            field->float_bits = column->bits;
        }
        break;
    case COLUMN_ENUM:
        assert(!field->members); /* stream_new intersects several */
        field->members = column->members;
        field->member_count = column->member_count;
        break;
    case COLUMN_IP:
    case COLUMN_BOOL:
        break;
    }
}
