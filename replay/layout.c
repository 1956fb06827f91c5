#include "replay/layout.h"

#include <stdio.h>
#include <stdlib.h>

/* The setting's text: the number of lanes, then the changes, separated by blanks. */
enum { NAME_MAX_BYTES = JOURNAL_STREAM_MAX + 8, TEXT_MAX = 11 + LAYOUT_CHANGES_MAX * 21 };

static void name_setting(const char *stream, char out_name[NAME_MAX_BYTES])
{
    snprintf(out_name, NAME_MAX_BYTES, "lanes:%s", stream);
}

static void parse(const char *text, struct layout *out)
{
    char *at;
    *out = (struct layout){.lanes = (uint32_t)strtoul(text, &at, 10)};
    while (*at == ' ' && out->change_count < LAYOUT_CHANGES_MAX) {
        out->changes[out->change_count++] = strtoull(at, &at, 10);
    }
}

static int save(struct journal *journal, const char *name, const struct layout *layout,
                struct err *err)
{
    char text[TEXT_MAX + 1];
    int len = snprintf(text, sizeof text, "%u", layout->lanes);
    for (size_t i = 0; i < layout->change_count; i++) {
        len += snprintf(text + len, sizeof text - (size_t)len, " %llu",
                        (unsigned long long)layout->changes[i]);
    }
    return journal_setting_put(journal, name, text, err);
}

static void add_change(struct layout *layout, uint64_t seq)
{
    if (layout->change_count == LAYOUT_CHANGES_MAX) {
        memmove(layout->changes, layout->changes + 1,
                (LAYOUT_CHANGES_MAX - 1) * sizeof *layout->changes);
        layout->change_count--;
    }
    layout->changes[layout->change_count++] = seq;
}

/* ERR_NOT_FOUND: it was never saved, and the layout is as it was. */
static int load(struct journal *journal, const char *name, struct layout *layout,
                struct err *err)
{
    struct buf text = {0};
    int code = journal_setting_get(journal, name, &text, err);
    const char *known = code == ERR_OK ? buf_text(&text) : NULL;
    if (known) {
        parse(known, layout);
    }
    buf_free(&text);
    return code;
}

int layout_read(struct journal *journal, const char *stream, struct layout *out_layout,
                struct err *err)
{
    char name[NAME_MAX_BYTES];
    struct layout layout = {0};
    name_setting(stream, name);
    int code = load(journal, name, &layout, err);
    if (code != ERR_OK && code != ERR_NOT_FOUND) {
        return code;
    }
    *out_layout = layout;
    return ERR_OK;
}

int layout_update(struct journal *journal, const char *stream, uint32_t lanes,
                  struct layout *out_layout, struct err *err)
{
    char name[NAME_MAX_BYTES];
    struct layout layout = {.lanes = lanes};
    name_setting(stream, name);
    int code = load(journal, name, &layout, err);
    bool is_new = code == ERR_NOT_FOUND;
    if (code != ERR_OK && !is_new) {
        return code;
    }
    struct journal_stat stat = {0};
    code = ERR_OK;
    if (layout.lanes != lanes) {
        code = journal_stat(journal, &stat, err);
        layout.lanes = lanes;
        add_change(&layout, stat.next_seq);
        is_new = true;
    }
    if (code == ERR_OK && is_new) {
        code = save(journal, name, &layout, err);
    }
    if (code == ERR_OK) {
        *out_layout = layout;
    }
    return code;
}

uint64_t layout_change_before(const struct layout *layout, uint64_t seq)
{
    uint64_t found = 0;
    for (size_t i = 0; i < layout->change_count; i++) {
        found = layout->changes[i] <= seq ? layout->changes[i] : found;
    }
    return found;
}

uint64_t layout_change_after(const struct layout *layout, uint64_t seq)
{
    for (size_t i = 0; i < layout->change_count; i++) {
        if (layout->changes[i] > seq) {
            return layout->changes[i];
        }
    }
    return UINT64_MAX;
}

/* Whether the lane has an unapplied entry before `change`, as far as is known: the done
 * mark of one whose ledger nobody has asked on the present connection may be above what
 * the database holds. */
static int has_older(struct journal *journal, const struct journal_lane *lane,
                     uint64_t change, bool *out_older, struct err *err)
{
    static const struct journal_read_limits one = {
        .bytes_max = 1, .records_max = 1, .entries_max = 1};
    *out_older = !lane->confirmed && lane->oldest_seq && lane->oldest_seq < change;
    if (*out_older || lane->last_seq <= lane->done.seq || lane->done.seq >= change) {
        return ERR_OK;
    }
    struct journal_entries entries = {0};
    int code = journal_read_lane(journal, lane->stream, lane->lane, lane->done.seq, &one,
                                 &entries, err);
    if (code == ERR_OK) {
        *out_older = entries.count && entries.items[0].seq < change;
        journal_entries_free(&entries);
    }
    return code;
}

int layout_is_settled(struct journal *journal, const char *stream, uint64_t change,
                      bool *out_settled, struct err *err)
{
    struct journal_lane *lanes = NULL;
    size_t count = 0;
    int code = journal_lanes(journal, &lanes, &count, err);
    bool older = false;
    for (size_t i = 0; i < count && code == ERR_OK && !older; i++) {
        if (strcmp(lanes[i].stream, stream) == 0) {
            code = has_older(journal, &lanes[i], change, &older, err);
        }
    }
    free(lanes);
    if (code == ERR_OK) {
        *out_settled = !older;
    }
    return code;
}
