#include "tests/faults/crash_fs.h"

#include "tests/faults/layer.h"
#include "tests/faults/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, BLOCK = 4096, PATH_SIZE = 512, NO_NODE = 0 };

const char *const crash_mode_names[CRASH_MODES] = {"prefix", "lost", "some lost", "torn",
                                                   "reordered"};

/* A file or directory; [0] is none. A number of the trace that is made anew is another
 * one. */
struct node {
    uint64_t number;
    bool directory;
    uint64_t capacity; /* the most that it ever held */
    char *data;
    uint64_t size;
};

enum fate { DROPPED, WHOLE, TORN, SIZE_ONLY };

struct event {
    struct trace_event head;
    size_t node; /* indexes into nodes */
    size_t parent;
    size_t to_parent;
    const char *name;
    const char *to_name;
    const char *data;
    size_t sure_from; /* the event that makes it sure; SIZE_MAX: none does */
    enum fate fate;
};

struct name {
    size_t parent;
    size_t node;
    const char *text; /* NULL: gone */
};

struct crash_fs {
    char *text; /* the trace; its names are closed by NULs of their own */
    char *names_text;
    struct event *events;
    size_t count;
    struct node *nodes;
    size_t node_count;
    struct name *names;
    size_t name_count;
};

/* ---- Reading the trace ------------------------------------------------------------- */

static int read_all(const char *path, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_set_errno(err, ERR_IO, errno, "can't open %s", path);
    }
    char part[1 << 16];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) > 0) {
        buf_append(out, part, (size_t)n);
    }
    (void)close(fd);
    return n < 0 || out->failed ? err_set(err, ERR_IO, 0, "can't read %s", path) : ERR_OK;
}

static size_t find_node(const struct crash_fs *fs, uint64_t number)
{
    for (size_t i = fs->node_count; number != 0 && i > 1; i--) {
        if (fs->nodes[i - 1].number == number) {
            return i - 1;
        }
    }
    return NO_NODE;
}

static size_t add_node(struct crash_fs *fs, uint64_t number, bool directory)
{
    fs->nodes[fs->node_count] = (struct node){.number = number, .directory = directory};
    return fs->node_count++;
}

static void resolve(struct crash_fs *fs, struct event *event)
{
    const struct trace_event *head = &event->head;
    bool makes = head->kind == TRACE_ROOT || head->kind == TRACE_CREATE ||
                 head->kind == TRACE_MKDIR;
    event->parent = find_node(fs, head->parent);
    event->to_parent = find_node(fs, head->to_parent);
    event->node = makes ? add_node(fs, head->node, head->kind != TRACE_CREATE)
                        : find_node(fs, head->node);
    struct node *node = &fs->nodes[event->node];
    uint64_t end = head->kind == TRACE_WRITE  ? head->offset + head->len
                   : head->kind == TRACE_SIZE ? head->len
                                              : 0;
    if (node->capacity < end) {
        node->capacity = end;
    }
    event->sure_from = head->kind == TRACE_WRITE && head->durable
                           ? (size_t)(event - fs->events)
                           : SIZE_MAX;
}

/* Takes the events apart; with fs->events NULL it only counts them. */
static bool parse(struct crash_fs *fs, struct slice text)
{
    size_t at = 0;
    size_t count = 0;
    char *names = fs->names_text;
    while (at + sizeof(struct trace_event) <= text.len) {
        struct event event = {.sure_from = SIZE_MAX};
        memcpy(&event.head, text.data + at, sizeof event.head);
        at += sizeof event.head;
        if (event.head.name_len + (size_t)event.head.data_len > text.len - at) {
            return false;
        }
        if (fs->events != NULL) {
            memcpy(names, text.data + at, event.head.name_len);
            names[event.head.name_len] = '\0';
            event.name = names;
            event.to_name = names + strlen(names) + 1;
            names += event.head.name_len + 1;
            event.data = text.data + at + event.head.name_len;
            fs->events[count] = event;
            resolve(fs, &fs->events[count]);
        }
        at += event.head.name_len + event.head.data_len;
        count++;
    }
    fs->count = count;
    return at == text.len && count > 0;
}

static bool is_name_event(const struct event *event)
{
    return event->head.kind == TRACE_CREATE || event->head.kind == TRACE_MKDIR ||
           event->head.kind == TRACE_RENAME || event->head.kind == TRACE_UNLINK;
}

/* The file or directory whose sync makes the event sure. */
static size_t keeper(const struct event *event)
{
    if (is_name_event(event)) {
        return event->head.kind == TRACE_RENAME ? event->to_parent : event->parent;
    }
    bool data = event->head.kind == TRACE_WRITE || event->head.kind == TRACE_SIZE;
    return data ? event->node : NO_NODE;
}

static void find_syncs(struct crash_fs *fs)
{
    for (size_t i = 0; i < fs->count; i++) {
        if (fs->events[i].head.kind != TRACE_SYNC || fs->events[i].node == NO_NODE) {
            continue;
        }
        for (size_t j = 0; j < i; j++) {
            struct event *event = &fs->events[j];
            if (event->sure_from == SIZE_MAX && keeper(event) == fs->events[i].node) {
                event->sure_from = i;
            }
        }
    }
}

/* The arrays, by the number of events. */
static bool make_room(struct crash_fs *fs, size_t text_len)
{
    fs->names_text = malloc(text_len + fs->count + 1);
    fs->events = calloc(fs->count + 1, sizeof *fs->events);
    fs->nodes = calloc(fs->count + 1, sizeof *fs->nodes);
    fs->names = calloc(fs->count + 1, sizeof *fs->names);
    fs->node_count = 1;
    return fs->names_text && fs->events && fs->nodes && fs->names;
}

static bool make_files(struct crash_fs *fs)
{
    for (size_t i = 1; i < fs->node_count; i++) {
        fs->nodes[i].data = calloc(1, fs->nodes[i].capacity + 1);
        if (fs->nodes[i].data == NULL) {
            return false;
        }
    }
    return true;
}

static int build(struct crash_fs *fs, const char *trace, struct err *err)
{
    struct buf text = {0};
    int code = read_all(trace, &text, err);
    if (code == ERR_OK && !parse(fs, buf_slice(&text))) {
        code = err_set(err, ERR_CORRUPT, 0, "%s is no whole trace", trace);
    }
    fs->text = text.data;
    if (code != ERR_OK) {
        return code;
    }
    if (!make_room(fs, text.len)) {
        return err_set(err, ERR_NOMEM, 0, "no memory for a trace");
    }
    (void)parse(fs, buf_slice(&text));
    find_syncs(fs);
    return make_files(fs) ? ERR_OK : err_set(err, ERR_NOMEM, 0, "no memory for a trace");
}

int crash_fs_load(const char *trace, struct crash_fs **out_fs, struct err *err)
{
    struct crash_fs *fs = calloc(1, sizeof *fs);
    if (fs == NULL) {
        return err_set(err, ERR_NOMEM, 0, "no memory for a trace");
    }
    int code = build(fs, trace, err);
    if (code != ERR_OK) {
        crash_fs_free(fs);
        return code;
    }
    *out_fs = fs;
    return ERR_OK;
}

void crash_fs_free(struct crash_fs *fs)
{
    if (fs == NULL) {
        return;
    }
    for (size_t i = 1; fs->nodes && i < fs->node_count; i++) {
        free(fs->nodes[i].data);
    }
    free(fs->text);
    free(fs->names_text);
    free(fs->events);
    free(fs->nodes);
    free(fs->names);
    free(fs);
}

size_t crash_fs_events(const struct crash_fs *fs)
{
    return fs->count;
}

struct slice crash_fs_mark(const struct crash_fs *fs, size_t i)
{
    const struct event *event = &fs->events[i];
    return event->head.kind == TRACE_MARK ? slice_of(event->data, event->head.data_len)
                                          : (struct slice){0};
}

/* ---- Fates ------------------------------------------------------------------------- */

/* How much of what isn't sure comes through, for one image. */
struct odds {
    enum crash_mode mode;
    uint64_t percent;
    uint64_t pivot; /* CRASH_REORDERED: what comes before it is lost */
    uint64_t *random;
};

static bool comes_through(const struct odds *odds, size_t number)
{
    if (odds->mode == CRASH_REORDERED) {
        return number >= odds->pivot;
    }
    return odds->mode != CRASH_LOST && layer_random(odds->random) % 100 < odds->percent;
}

static enum fate fate_of_data(const struct odds *odds, const struct event *event,
                              size_t number)
{
    bool arrives = comes_through(odds, number);
    if (arrives) {
        bool tears = odds->mode == CRASH_TORN && event->head.kind == TRACE_WRITE;
        return tears ? TORN : WHOLE;
    }
    /* the size may be written before the bytes are */
    bool sized = odds->mode == CRASH_SOME && event->head.kind == TRACE_WRITE &&
                 layer_random(odds->random) % 4 == 0;
    return sized ? SIZE_ONLY : DROPPED;
}

/* Names that aren't sure, of one directory: so many of the first ones are there. */
static void draw_names(struct crash_fs *fs, size_t moment, size_t directory,
                       const struct odds *odds)
{
    size_t end = moment < fs->count ? moment + 1 : fs->count;
    size_t unsure = 0;
    for (size_t i = 0; i < end; i++) {
        const struct event *event = &fs->events[i];
        unsure += is_name_event(event) && keeper(event) == directory &&
                  event->sure_from >= moment;
    }
    size_t kept =
        odds->mode == CRASH_LOST ? 0 : layer_random(odds->random) % (unsure + 1);
    for (size_t i = 0; i < end; i++) {
        struct event *event = &fs->events[i];
        if (is_name_event(event) && keeper(event) == directory) {
            bool sure = event->sure_from < moment;
            event->fate = sure || kept > 0 ? WHOLE : DROPPED;
            kept -= !sure && kept > 0;
        }
    }
}

/* The event at `moment` is under way: nothing that it does is sure. */
static void draw_fates(struct crash_fs *fs, size_t moment, enum crash_mode mode,
                       uint64_t *random)
{
    static const uint64_t percents[] = {5, 50, 50, 95};
    size_t end = moment < fs->count ? moment + 1 : fs->count;
    struct odds odds = {.mode = mode, .random = random};
    odds.percent = percents[layer_random(random) % 4];
    size_t reach = layer_random(random) % 2 ? 12 : 60; /* about what one commit writes */
    size_t back = layer_random(random) % reach;
    odds.pivot = back < moment ? moment - back : 0;
    for (size_t i = 0; i < fs->count; i++) {
        struct event *event = &fs->events[i];
        event->fate = i < moment && mode == CRASH_PREFIX ? WHOLE : DROPPED;
        if (mode == CRASH_PREFIX || i >= end || is_name_event(event)) {
            continue;
        }
        event->fate = event->sure_from < moment ? WHOLE : fate_of_data(&odds, event, i);
    }
    for (size_t i = 1; mode != CRASH_PREFIX && i < fs->node_count; i++) {
        if (fs->nodes[i].directory) {
            draw_names(fs, moment, i, &odds);
        }
    }
    fs->events[0].fate = WHOLE;
}

/* ---- Applying ---------------------------------------------------------------------- */

static void copy_sectors(struct node *node, const struct event *event, uint64_t *random)
{
    uint64_t mask = layer_random(random);
    uint64_t at = event->head.offset;
    uint64_t end = at + event->head.len;
    for (unsigned i = 0; at < end; i++) {
        uint64_t next = (at / SECTOR + 1) * SECTOR;
        uint64_t part = (next < end ? next : end) - at;
        if (i % 64 == 63) {
            mask = layer_random(random);
        }
        if (mask >> i % 64 & 1) {
            if (event->head.data_len > 0) {
                memcpy(node->data + at, event->data + (at - event->head.offset), part);
            } else {
                memset(node->data + at, 0, part);
            }
            node->size = node->size < at + part ? at + part : node->size;
        }
        at += part;
    }
}

static void apply_write(struct node *node, const struct event *event, uint64_t *random)
{
    uint64_t end = event->head.offset + event->head.len;
    if (event->fate == TORN) {
        copy_sectors(node, event, random);
        return;
    }
    if (event->fate == WHOLE && event->head.data_len > 0) {
        memcpy(node->data + event->head.offset, event->data, event->head.len);
    } else if (event->fate == WHOLE) {
        memset(node->data + event->head.offset, 0, event->head.len);
    }
    node->size = node->size < end ? end : node->size;
}

static void apply_size(struct node *node, uint64_t len)
{
    if (len < node->size) {
        memset(node->data + len, 0, node->size - len);
    }
    node->size = len;
}

static void remove_name(struct crash_fs *fs, size_t parent, const char *text)
{
    for (size_t i = 0; i < fs->name_count; i++) {
        struct name *name = &fs->names[i];
        if (name->text && name->parent == parent && strcmp(name->text, text) == 0) {
            name->text = NULL;
        }
    }
}

static void apply_name(struct crash_fs *fs, const struct event *event)
{
    bool moves = event->head.kind == TRACE_RENAME;
    size_t parent = moves ? event->to_parent : event->parent;
    const char *text = moves ? event->to_name : event->name;
    remove_name(fs, event->parent, event->name);
    remove_name(fs, parent, text);
    if (event->head.kind != TRACE_UNLINK) {
        fs->names[fs->name_count++] = (struct name){parent, event->node, text};
    }
}

static void apply(struct crash_fs *fs, uint64_t *random)
{
    fs->name_count = 0;
    for (size_t i = 1; i < fs->node_count; i++) {
        memset(fs->nodes[i].data, 0, fs->nodes[i].size);
        fs->nodes[i].size = 0;
    }
    for (size_t i = 0; i < fs->count; i++) {
        const struct event *event = &fs->events[i];
        struct node *node = &fs->nodes[event->node];
        if (event->fate == DROPPED || (!is_name_event(event) && event->node == NO_NODE)) {
            continue;
        }
        if (event->head.kind == TRACE_WRITE) {
            apply_write(node, event, random);
        } else if (event->head.kind == TRACE_SIZE) {
            apply_size(node, event->head.len);
        } else if (is_name_event(event)) {
            apply_name(fs, event);
        }
    }
}

/* ---- Onto a real file system ------------------------------------------------------- */

static bool is_zero(const char *bytes, size_t len)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

static int put_file(const struct node *node, const char *path, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && ftruncate(fd, (off_t)node->size) == 0;
    for (uint64_t at = 0; good && at < node->size; at += BLOCK) {
        size_t len = node->size - at < BLOCK ? (size_t)(node->size - at) : BLOCK;
        good = is_zero(node->data + at, len) ||
               pwrite(fd, node->data + at, len, (off_t)at) == (ssize_t)len;
    }
    int failed = errno;
    if (fd >= 0 && close(fd) != 0) {
        good = false;
    }
    return good ? ERR_OK : err_set_errno(err, ERR_IO, failed, "can't write %s", path);
}

static int put_directory(const struct crash_fs *fs, size_t directory, const char *path,
                         struct err *err)
{
    int code = ERR_OK;
    for (size_t i = 0; i < fs->name_count && code == ERR_OK; i++) {
        const struct name *name = &fs->names[i];
        char within[PATH_SIZE];
        if (name->text == NULL || name->parent != directory) {
            continue;
        }
        (void)snprintf(within, sizeof within, "%s/%s", path, name->text);
        if (!fs->nodes[name->node].directory) {
            code = put_file(&fs->nodes[name->node], within, err);
        } else if (mkdir(within, 0700) != 0) {
            code = err_set_errno(err, ERR_IO, errno, "can't make %s", within);
        } else {
            code = put_directory(fs, name->node, within, err);
        }
    }
    return code;
}

int crash_fs_image(struct crash_fs *fs, size_t moment, enum crash_mode mode,
                   uint64_t *random, const char *directory, struct err *err)
{
    draw_fates(fs, moment, mode, random);
    apply(fs, random);
    return put_directory(fs, fs->events[0].node, directory, err);
}
