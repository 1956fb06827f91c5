/* engine/json.h: the one door to the JSON library: writing answers and reading small
 * documents. Bodies of records are read in engine/body_json.c. */
#ifndef HOLDFAST_ENGINE_JSON_H
#define HOLDFAST_ENGINE_JSON_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* Writing. A writer can't produce invalid JSON: text that isn't UTF-8 has its bad bytes
 * replaced by U+FFFD; misuse (a value where a key belongs) asserts. */
struct json_writer;

struct json_writer *json_new(void); /* NULL: out of memory */
void json_free(struct json_writer *json);
void json_object(struct json_writer *json);
void json_object_end(struct json_writer *json);
void json_array(struct json_writer *json);
void json_array_end(struct json_writer *json);
void json_key(struct json_writer *json, const char *key);
void json_text(struct json_writer *json, struct slice text);
void json_integer(struct json_writer *json, int64_t value);
void json_unsigned(struct json_writer *json, uint64_t value);
void json_real(struct json_writer *json, double value);
void json_bool(struct json_writer *json, bool value);
void json_null(struct json_writer *json);
/* key and value in one */
void json_put_text(struct json_writer *json, const char *key, const char *value);
void json_put_unsigned(struct json_writer *json, const char *key, uint64_t value);
void json_put_integer(struct json_writer *json, const char *key, int64_t value);
void json_put_bool(struct json_writer *json, const char *key, bool value);
/* What has been written, valid until the next call; empty if memory ran out. */
struct slice json_result(struct json_writer *json);
/* Drops that, once it has been printed: a document can be longer than memory. */
void json_drop(struct json_writer *json);

/* Reading small documents whole (answers of the control socket). */
struct json_value;
struct json_value *json_parse(struct slice text); /* NULL: not JSON, or too deep */
void json_value_free(struct json_value *value);
const struct json_value *json_get(const struct json_value *object, const char *key);
size_t json_count(const struct json_value *array);
const struct json_value *json_item(const struct json_value *array, size_t index);
/* NULL, fallback where it is absent or of another type */
const char *json_as_text(const struct json_value *value);
int64_t json_as_integer(const struct json_value *value, int64_t fallback);
bool json_as_bool(const struct json_value *value, bool fallback);

#endif
