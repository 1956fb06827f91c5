#include "schema/recovery.h"

static bool is_in_key(const struct stream *stream, size_t column)
{
    for (size_t i = 0; i < stream->event_key_count; i++) {
        if ((size_t)stream->event_key[i] == column) {
            return true;
        }
    }
    return false;
}

int recovery_column(const struct stream *stream)
{
    for (size_t i = 0; i < stream->event.column_count; i++) {
        const struct stream_column *column = &stream->event.columns[i];
        if (strcmp(column->name, "event_type") == 0 && column->type == COLUMN_STRING &&
            column->field >= 0 && column->spec.max >= strlen(RECOVERY_EVENT_TYPE) &&
            !is_in_key(stream, i)) {
            return (int)i;
        }
    }
    return -1;
}
