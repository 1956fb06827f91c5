#include "replay/tsv.h"

/* '\r', too, so that no setting of line ends can matter. */
static const char *const escapes[256] = {
    ['\0'] = "\\0", ['\t'] = "\\t", ['\n'] = "\\n", ['\r'] = "\\r", ['\\'] = "\\\\",
};

void tsv_append_number(struct buf *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    buf_append(out, digits + at, sizeof digits - at);
}

static void append_integer(struct buf *out, const struct stream_column *column,
                           int64_t integer)
{
    bool negative = integer < 0 && !column->spec.is_unsigned;
    if (negative) {
        buf_append_char(out, '-');
    }
    tsv_append_number(out, negative ? 0 - (uint64_t)integer : (uint64_t)integer);
}

static void append_time(struct buf *out, const struct stream_column *column,
                        int64_t time_us, int32_t zone_offset_s)
{
    char text[VALUE_TIME_TEXT];
    int32_t offset_s = column->type == COLUMN_DATETIME ? zone_offset_s : 0;
    buf_append(out, text,
               value_format_time(time_us, offset_s, column->spec.precision, text));
}

void tsv_append_value(struct buf *out, const struct stream_column *column,
                      const struct value *value, int32_t zone_offset_s)
{
    char ip[VALUE_IP_TEXT];
    switch (value->type) {
    case VALUE_ABSENT:
        buf_append_text(out, "\\N");
        break;
    case VALUE_TEXT:
        buf_append_escaped(out, value->text, escapes);
        break;
    case VALUE_IP:
        buf_append(out, ip, value_format_ip(value->ip, ip));
        break;
    case VALUE_TIME:
        append_time(out, column, value->time_us, zone_offset_s);
        break;
    case VALUE_INTEGER:
        append_integer(out, column, value->integer);
        break;
    case VALUE_FLOAT:
        if (column->spec.bits == 64) {
            value_append_text(out, value);
        } else {
            value_append_float(out, (float)value->real);
        }
        break;
    case VALUE_BOOL:
        buf_append_char(out, value->boolean ? '1' : '0');
        break;
    }
}
