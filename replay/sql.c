#include "replay/sql.h"
#include "replay/db.h"
#include "schema/ddl.h"

void db_append_quoted(struct buf *out, struct slice text)
{
    static const char *const escapes[256] = {
        ['\0'] = "\\0",   ['\n'] = "\\n", ['\r'] = "\\r",
        ['\x1a'] = "\\Z", ['\''] = "\\'", ['\\'] = "\\\\",
    };
    buf_append_char(out, '\'');
    buf_append_escaped(out, text, escapes);
    buf_append_char(out, '\'');
}

static void append_integer(struct buf *out, const struct stream_column *column,
                           int64_t integer)
{
    if (column->spec.is_unsigned) {
        buf_printf(out, "%llu", (unsigned long long)integer);
    } else {
        buf_printf(out, "%lld", (long long)integer);
    }
}

/* With an exponent, so that the server reads a double and not a decimal. */
static void append_real(struct buf *out, const struct value *value)
{
    size_t start = out->len;
    value_append_text(out, value);
    if (out->len > start && !memchr(out->data + start, 'e', out->len - start)) {
        buf_append_text(out, "e0");
    }
}

static void append_time(struct buf *out, const struct stream_column *column,
                        int64_t time_us, int32_t zone_offset_s)
{
    char text[VALUE_TIME_TEXT];
    int32_t offset_s = column->type == COLUMN_DATETIME ? zone_offset_s : 0;
    size_t len = value_format_time(time_us, offset_s, column->spec.precision, text);
    buf_append_char(out, '\'');
    buf_append(out, text, len);
    buf_append_char(out, '\'');
}

void sql_append_value(struct buf *out, const struct stream_column *column,
                      const struct value *value, int32_t zone_offset_s)
{
    char ip[VALUE_IP_TEXT];
    switch (value->type) {
    case VALUE_ABSENT:
        buf_append_text(out, "NULL");
        break;
    case VALUE_TEXT:
        db_append_quoted(out, value->text);
        break;
    case VALUE_IP:
        db_append_quoted(out, slice_of(ip, value_format_ip(value->ip, ip)));
        break;
    case VALUE_TIME:
        append_time(out, column, value->time_us, zone_offset_s);
        break;
    case VALUE_INTEGER:
        append_integer(out, column, value->integer);
        break;
    case VALUE_FLOAT:
        append_real(out, value);
        break;
    case VALUE_BOOL:
        buf_append_char(out, value->boolean ? '1' : '0');
        break;
    }
}

void sql_append_exact(struct buf *out, const struct stream_column *column)
{
    ddl_append_identifier(out, column->name);
    if (column->type == COLUMN_FLOAT) {
        buf_append_text(out, "+0e0");
    }
}

bool sql_read_value(const struct stream_column *column, struct slice cell,
                    int32_t zone_offset_s, struct value *out_value)
{
    struct value value = {.type = VALUE_ABSENT};
    bool read = true;
    if (!cell.data) {
        *out_value = value;
        return true;
    }
    switch (column->type) {
    case COLUMN_STRING:
    case COLUMN_ENUM:
        value = (struct value){.type = VALUE_TEXT, .text = cell};
        break;
    case COLUMN_IP:
        value.type = VALUE_IP;
        read = value_parse_ip(cell, &value.ip);
        break;
    case COLUMN_TIMESTAMP:
    case COLUMN_DATETIME:
        value.type = VALUE_TIME;
        read = value_parse_time(cell, column->type == COLUMN_DATETIME ? zone_offset_s : 0,
                                &value.time_us);
        break;
    case COLUMN_INTEGER:
        value.type = VALUE_INTEGER;
        read = value_parse_integer(cell, column->spec.is_unsigned, &value.integer);
        break;
    case COLUMN_FLOAT:
        value.type = VALUE_FLOAT;
        read = value_parse_float(cell, &value.real);
        break;
    case COLUMN_BOOL:
        value.type = VALUE_BOOL;
        value.boolean = !slice_is(cell, "0");
        break;
    }
    if (read) {
        *out_value = value;
    }
    return read;
}

void sql_append_filler(struct buf *out, const struct stream_column *column,
                       int32_t zone_offset_s)
{
    struct value filler = {.type = VALUE_INTEGER};
    if (column->fallback.type != VALUE_ABSENT) {
        filler = column->fallback;
    } else if (column->type == COLUMN_TIMESTAMP || column->type == COLUMN_DATETIME) {
        /* in range for every zone */
        filler = (struct value){.type = VALUE_TIME, .time_us = (int64_t)86400 * 1000000};
    } else if (column->type == COLUMN_ENUM) {
        filler = (struct value){.type = VALUE_TEXT,
                                .text = slice_text(column->spec.members[0])};
    }
    sql_append_value(out, column, &filler, zone_offset_s);
}
