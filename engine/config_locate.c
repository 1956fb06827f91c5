#include "engine/config_locate.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

enum { NODES_MAX = 20000, KEY_MAX = 128, PATH_MAX_BYTES = 2200 };

struct node {
    char *path;
    size_t line;
};

struct locate {
    const char *name;
    struct node *nodes;
    size_t count;
    size_t capacity;
};

/* A mapping or sequence that is open. */
struct level {
    bool is_mapping;
    bool has_key;      /* mapping: the next value belongs to the key in path */
    size_t path_len;   /* of the path that names the collection itself */
    size_t next_index; /* sequence */
    size_t first_node; /* nodes from here on lie within it */
};

struct walk {
    struct locate *locate;
    struct level levels[LOCATE_DEPTH_MAX];
    size_t depth;
    char path[PATH_MAX_BYTES];
    size_t documents;
    struct err *err;
};

static size_t find(const struct locate *locate, const char *path, size_t path_len)
{
    for (size_t i = 0; i < locate->count; i++) {
        const char *have = locate->nodes[i].path;
        if (strncmp(have, path, path_len) == 0 && have[path_len] == '\0') {
            return i;
        }
    }
    return locate->count;
}

size_t locate_line(const struct locate *locate, const char *path)
{
    size_t len = strlen(path);
    while (len > 0) {
        size_t at = find(locate, path, len);
        if (at < locate->count) {
            return locate->nodes[at].line;
        }
        do {
            len--;
        } while (len > 0 && path[len] != '.' && path[len] != '[');
    }
    return 1;
}

int locate_refuse(const struct locate *locate, struct err *err, const char *path,
                  const char *format, ...)
{
    char message[ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return err_set(err, ERR_CONFIG, 0, "%s:%zu: %s%s%s", locate->name,
                   locate_line(locate, path), path, path[0] ? ": " : "", message);
}

static int refuse_line(struct walk *walk, size_t line, const char *path,
                       const char *message)
{
    return err_set(walk->err, ERR_CONFIG, 0, "%s:%zu: %s%s%s", walk->locate->name, line,
                   path, path[0] ? ": " : "", message);
}

static int add_node(struct walk *walk, size_t line)
{
    struct locate *locate = walk->locate;
    if (locate->count == NODES_MAX) {
        return refuse_line(walk, line, "", "more keys than a configuration may have");
    }
    if (locate->count == locate->capacity) {
        size_t capacity = locate->capacity ? locate->capacity * 2 : 128;
        struct node *nodes = realloc(locate->nodes, capacity * sizeof *nodes);
        if (!nodes) {
            return err_set(walk->err, ERR_NOMEM, 0, "no memory for the configuration");
        }
        locate->nodes = nodes;
        locate->capacity = capacity;
    }
    char *path = strdup(walk->path);
    if (!path) {
        return err_set(walk->err, ERR_NOMEM, 0, "no memory for the configuration");
    }
    locate->nodes[locate->count++] = (struct node){path, line};
    return ERR_OK;
}

static struct level *top(struct walk *walk)
{
    return walk->depth ? &walk->levels[walk->depth - 1] : NULL;
}

static int take_key(struct walk *walk, struct level *level, const yaml_event_t *event)
{
    const char *key = (const char *)event->data.scalar.value;
    size_t line = event->start_mark.line + 1;
    size_t len = event->data.scalar.length;
    if (len == 0 || len > KEY_MAX || strlen(key) != len) {
        return refuse_line(walk, line, "", "a key here is empty or too long");
    }
    size_t room = sizeof walk->path - level->path_len;
    snprintf(walk->path + level->path_len, room, "%s%s", level->path_len ? "." : "", key);
    for (size_t i = level->first_node; i < walk->locate->count; i++) {
        if (strcmp(walk->locate->nodes[i].path, walk->path) == 0) {
            char message[96];
            snprintf(message, sizeof message,
                     "this key is already on line %zu; keep one of the two",
                     walk->locate->nodes[i].line);
            return refuse_line(walk, line, walk->path, message);
        }
    }
    level->has_key = true;
    return add_node(walk, line);
}

/* A value begins: names its place where a sequence holds it. */
static int begin_value(struct walk *walk, const yaml_event_t *event)
{
    struct level *level = top(walk);
    if (!level || level->is_mapping) {
        return ERR_OK;
    }
    snprintf(walk->path + level->path_len, sizeof walk->path - level->path_len, "[%zu]",
             level->next_index++);
    return add_node(walk, event->start_mark.line + 1);
}

static void end_value(struct walk *walk)
{
    struct level *level = top(walk);
    if (level) {
        level->has_key = false;
        walk->path[level->path_len] = '\0';
    }
}

static int open_level(struct walk *walk, const yaml_event_t *event, bool is_mapping)
{
    size_t line = event->start_mark.line + 1;
    struct level *level = top(walk);
    if (level && level->is_mapping && !level->has_key) {
        return refuse_line(walk, line, walk->path, "a key must be a plain word");
    }
    int code = begin_value(walk, event);
    if (code) {
        return code;
    }
    if (walk->depth == LOCATE_DEPTH_MAX) {
        return refuse_line(walk, line, walk->path, "nested deeper than anything here is");
    }
    walk->levels[walk->depth++] = (struct level){
        .is_mapping = is_mapping,
        .path_len = strlen(walk->path),
        .first_node = walk->locate->count,
    };
    return ERR_OK;
}

static int take_scalar(struct walk *walk, const yaml_event_t *event)
{
    struct level *level = top(walk);
    if (level && level->is_mapping && !level->has_key) {
        return take_key(walk, level, event);
    }
    if (strlen((const char *)event->data.scalar.value) != event->data.scalar.length) {
        return refuse_line(walk, event->start_mark.line + 1, walk->path,
                           "holds a NUL byte; remove it");
    }
    int code = begin_value(walk, event);
    end_value(walk);
    return code;
}

static int take_event(struct walk *walk, const yaml_event_t *event)
{
    size_t line = event->start_mark.line + 1;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(walk, event);
    case YAML_MAPPING_START_EVENT:
        return open_level(walk, event, true);
    case YAML_SEQUENCE_START_EVENT:
        return open_level(walk, event, false);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        walk->depth--;
        end_value(walk);
        return ERR_OK;
    case YAML_ALIAS_EVENT:
        return refuse_line(walk, line, walk->path,
                           "YAML aliases are not taken; write the value out");
    case YAML_DOCUMENT_START_EVENT:
        return ++walk->documents > 1
                   ? refuse_line(walk, line, "",
                                 "a second document; one file holds one configuration")
                   : ERR_OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return ERR_OK;
}

static int refuse_syntax(struct walk *walk, const yaml_parser_t *parser)
{
    char message[256];
    if (parser->error == YAML_MEMORY_ERROR) {
        return err_set(walk->err, ERR_NOMEM, 0, "no memory for the configuration");
    }
    snprintf(message, sizeof message, "not YAML: %s%s%s; check indentation and quotes",
             parser->problem ? parser->problem : "unreadable", parser->context ? " " : "",
             parser->context ? parser->context : "");
    return refuse_line(walk, parser->problem_mark.line + 1, "", message);
}

static int walk_events(struct walk *walk, yaml_parser_t *parser)
{
    bool ended = false;
    int code = ERR_OK;
    while (!code && !ended) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            return refuse_syntax(walk, parser);
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        code = take_event(walk, &event);
        yaml_event_delete(&event);
    }
    return code;
}

int locate_new(const char *name, struct slice text, struct locate **out_locate,
               struct err *err)
{
    if (text.len > LOCATE_TEXT_MAX) {
        return err_set(err, ERR_CONFIG, 0, "%s: larger than %d bytes: no configuration",
                       name, LOCATE_TEXT_MAX);
    }
    struct locate *locate = calloc(1, sizeof *locate);
    yaml_parser_t parser;
    if (!locate || !yaml_parser_initialize(&parser)) {
        free(locate);
        return err_set(err, ERR_NOMEM, 0, "no memory for the configuration");
    }
    locate->name = name;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, text.len);
    struct walk walk = {.locate = locate, .err = err};
    int code = walk_events(&walk, &parser);
    yaml_parser_delete(&parser);
    if (code) {
        locate_free(locate);
        return code;
    }
    assert(walk.depth == 0);
    *out_locate = locate;
    return ERR_OK;
}

void locate_free(struct locate *locate)
{
    if (!locate) {
        return;
    }
    for (size_t i = 0; i < locate->count; i++) {
        free(locate->nodes[i].path);
    }
    free(locate->nodes);
    free(locate);
}
