#include "journal/carve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[] = {'H', 'F', 'E', 'N'};
enum { WINDOW = 1 << 20, HEADER_LEN_AT = 6, PAYLOAD_LEN_AT = 80, STATE_AT = 5 };

struct search {
    struct carving *carving;
    bool (*wants)(uint64_t seq, void *context);
    void *context;
    uint64_t file_len;
    char *window;
    size_t window_len;
    uint64_t window_at;
};

static uint64_t little_endian(const char *bytes, size_t width)
{
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++) {
        value |= (uint64_t)(uint8_t)bytes[i] << (8 * i);
    }
    return value;
}

/* Up to `len` bytes; a part that can't be read is cut off. */
static size_t read_at(int fd, uint64_t at, char *out, size_t len)
{
    size_t got = 0;
    while (got < len) {
        ssize_t more = pread(fd, out + got, len - got, (off_t)(at + got));
        if (more < 0 && errno == EINTR) {
            continue;
        }
        if (more <= 0) {
            break;
        }
        got += (size_t)more;
    }
    return got;
}

/* ---- What was found ---------------------------------------------------------------- */

static bool find_lane(struct carving *carving, const struct entry_header *header,
                      uint32_t *out_lane)
{
    for (size_t i = carving->lane_count; i-- > 0;) {
        if (carving->lanes[i].number == header->lane &&
            strcmp(carving->lanes[i].stream, header->stream) == 0) {
            *out_lane = (uint32_t)i;
            return true;
        }
    }
    if (carving->lane_count == carving->lane_capacity) {
        size_t capacity = carving->lane_capacity ? 2 * carving->lane_capacity : 16;
        struct carved_lane *lanes =
            realloc(carving->lanes, capacity * sizeof *carving->lanes);
        if (!lanes) {
            return false;
        }
        carving->lanes = lanes;
        carving->lane_capacity = capacity;
    }
    struct carved_lane *lane = &carving->lanes[carving->lane_count];
    memcpy(lane->stream, header->stream, sizeof lane->stream);
    lane->number = header->lane;
    *out_lane = (uint32_t)carving->lane_count++;
    return true;
}

static int keep(struct carving *carving, const struct entry_header *header, uint64_t at,
                struct err *err)
{
    struct carved item = {
        .seq = header->seq, .at = at, .len = header->header_len + header->payload_len};
    memcpy(item.sum, header->sum, sizeof item.sum);
    if (carving->count == carving->capacity) {
        size_t capacity = carving->capacity ? 2 * carving->capacity : 64;
        struct carved *items = realloc(carving->items, capacity * sizeof *items);
        if (!items) {
            return err_set(err, ERR_NOMEM, 0, "out of memory for what was found");
        }
        carving->items = items;
        carving->capacity = capacity;
    }
    if (!find_lane(carving, header, &item.lane)) {
        return err_set(err, ERR_NOMEM, 0, "out of memory for what was found");
    }
    carving->items[carving->count++] = item;
    return ERR_OK;
}

/* ---- Searching --------------------------------------------------------------------- */

/* A header that holds, of a full entry that fits into the file. */
static bool is_header(const char *bytes, size_t len, uint64_t room,
                      struct entry_header *out_header)
{
    if (len < format_header_len(0)) {
        return false;
    }
    uint64_t header_len = little_endian(bytes + HEADER_LEN_AT, 2);
    uint64_t payload_len = little_endian(bytes + PAYLOAD_LEN_AT, 8);
    if (header_len > len || payload_len > room || header_len + payload_len > room ||
        bytes[STATE_AT] != JOURNAL_ENTRY_FULL) {
        return false;
    }
    struct err err;
    return format_entry_decode(slice_of(bytes, (size_t)(header_len + payload_len)),
                               out_header, &err) == ERR_OK;
}

static int look_at(struct search *search, const char *bytes, size_t len, struct err *err)
{
    struct entry_header header;
    struct carved item = {.at = search->window_at + (uint64_t)(bytes - search->window)};
    uint64_t room = search->file_len - item.at;
    if (!is_header(bytes, len, room, &header) ||
        !search->wants(header.seq, search->context)) {
        return ERR_OK;
    }
    struct slice value;
    struct err damage;
    item.len = header.header_len + header.payload_len;
    int rc = carved_read(search->carving, &item, &header, &value, &damage);
    if (rc == ERR_NOMEM) {
        return err_set(err, rc, 0, "%s", damage.message);
    }
    return rc ? ERR_OK : keep(search->carving, &header, item.at, err);
}

/* Whatever begins before `end`; headers may reach beyond it. */
static int look_through(struct search *search, size_t end, struct err *err)
{
    const char *bytes = search->window;
    const char *limit = bytes + search->window_len;
    int rc = ERR_OK;
    while (!rc && bytes < limit) {
        const char *found = memmem(bytes, (size_t)(limit - bytes), magic, sizeof magic);
        if (!found || found >= search->window + end) {
            break;
        }
        rc = look_at(search, found, (size_t)(limit - found), err);
        bytes = found + 1;
    }
    return rc;
}

static int compare_items(const void *a, const void *b)
{
    const struct carved *left = a;
    const struct carved *right = b;
    if (left->seq != right->seq) {
        return left->seq < right->seq ? -1 : 1;
    }
    return (left->at > right->at) - (left->at < right->at);
}

/* Behind a window; where the disk can't read a page, behind that page. */
static uint64_t next_window(const struct search *search)
{
    enum { PAGE = 4096 };
    uint64_t unread = search->window_at + search->window_len;
    return search->window_len >= WINDOW || unread >= search->file_len
               ? search->window_at + WINDOW
               : (unread / PAGE + 1) * PAGE;
}

static int search_file(struct search *search, struct err *err)
{
    int fd = search->carving->fd;
    int rc = ERR_OK;
    for (uint64_t at = 0; at < search->file_len && !rc; at = next_window(search)) {
        search->window_at = at;
        search->window_len = read_at(fd, at, search->window, WINDOW + FORMAT_HEADER_MAX);
        rc = look_through(search, WINDOW, err);
    }
    return rc;
}

int carve(const char *path, bool (*wants)(uint64_t seq, void *context), void *context,
          struct carving *out_carving, struct err *err)
{
    struct buf name = {0};
    struct stat about = {0};
    *out_carving = (struct carving){.fd = -1};
    struct search search = {.carving = out_carving,
                            .wants = wants,
                            .context = context,
                            .window = malloc(WINDOW + FORMAT_HEADER_MAX)};
    buf_printf(&name, "%s/data.mdb", path);
    int rc = ERR_OK;
    if (!search.window || !buf_text(&name)) {
        rc = err_set(err, ERR_NOMEM, 0, "out of memory");
    } else {
        out_carving->fd = open(name.data, O_RDONLY | O_CLOEXEC);
        if (out_carving->fd < 0 || fstat(out_carving->fd, &about)) {
            rc = err_set_errno(err, ERR_IO, errno, "cannot open %s", name.data);
        }
    }
    if (!rc) {
        search.file_len = (uint64_t)about.st_size;
        rc = search_file(&search, err);
    }
    if (out_carving->count) {
        qsort(out_carving->items, out_carving->count, sizeof *out_carving->items,
              compare_items);
    }
    free(search.window);
    buf_free(&name);
    return rc;
}

void carving_free(struct carving *carving)
{
    if (carving->fd >= 0) {
        (void)close(carving->fd);
    }
    free(carving->items);
    free(carving->lanes);
    buf_free(&carving->value);
    *carving = (struct carving){.fd = -1};
}

/* ---- Asking ------------------------------------------------------------------------ */

/* The first item with that seq or a higher one. */
static size_t place_of(const struct carving *carving, uint64_t seq)
{
    size_t low = 0;
    size_t high = carving->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (carving->items[middle].seq < seq) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct carved *carved_find(const struct carving *carving,
                                 const struct journal_position *position)
{
    for (size_t i = place_of(carving, position->seq);
         i < carving->count && carving->items[i].seq == position->seq; i++) {
        if (memcmp(carving->items[i].sum, position->sum, JOURNAL_SUM_LEN) == 0) {
            return &carving->items[i];
        }
    }
    return NULL;
}

const struct carved *carved_before(const struct carving *carving, const char *stream,
                                   uint32_t lane, uint64_t seq)
{
    for (size_t i = place_of(carving, seq); i-- > 0;) {
        const struct carved_lane *of = &carving->lanes[carving->items[i].lane];
        if (of->number == lane && strcmp(of->stream, stream) == 0) {
            return &carving->items[i];
        }
    }
    return NULL;
}

int carved_read(struct carving *carving, const struct carved *item,
                struct entry_header *out_header, struct slice *out_value, struct err *err)
{
    size_t len = (size_t)item->len;
    buf_clear(&carving->value);
    if (!buf_reserve(&carving->value, len)) {
        return err_set(err, ERR_NOMEM, 0, "out of memory for an entry of %zu bytes", len);
    }
    if (read_at(carving->fd, item->at, carving->value.data, len) != len) {
        return err_set(
            err, ERR_IO, 0,
            "an entry can't be read from the disk, or not every time: copy the "
            "journal to a sound disk, as far as it can be read, and repair "
            "the copy");
    }
    struct slice value = slice_of(carving->value.data, len);
    int rc = format_entry_decode(value, out_header, err);
    rc = rc ? rc
            : format_entry_check(out_header, (const uint8_t *)value.data,
                                 format_entry_payload(out_header, value), err);
    if (!rc) {
        *out_value = value;
    }
    return rc;
}
