/* engine/letters.h: choosing dead letters, and doing something with all that are chosen.
 * For the running engine (over its control socket) and for the command line alike.
 * Threads: any; each call is on its own.
 */
#ifndef HOLDFAST_ENGINE_LETTERS_H
#define HOLDFAST_ENGINE_LETTERS_H

#include "engine/intake.h"
#include "engine/json.h"

struct letters_filter {
    const char *stream; /* NULL: any; so are the next ones */
    const char *reason;
    uint64_t from_seq; /* entries; 0 and UINT64_MAX: all */
    uint64_t to_seq;
    int64_t since_us; /* when the letter was made; INT64_MIN, INT64_MAX: whenever */
    int64_t until_us;
    bool one; /* only the letter `index` of from_seq, which is to_seq then */
    uint32_t index;
};

/* One that takes every letter. */
void letters_filter_all(struct letters_filter *filter);
bool letters_match(const struct letters_filter *filter,
                   const struct journal_dead_entry *letter);

/* What a letter's place is called: "1042/7". False: not so. */
bool letters_parse_place(const char *text, uint64_t *out_seq, uint32_t *out_index);

enum { LETTERS_REASONS_MAX = 32, LETTERS_SAMPLES = 10 };

/* How many of each reason, by first appearance; further ones in the last, "others". */
struct letters_reasons {
    struct letters_reason {
        char reason[64];
        uint64_t count;
    } items[LETTERS_REASONS_MAX];
    size_t count;
};
/* Counts one more; the place of its reason. */
size_t letters_reasons_add(struct letters_reasons *reasons, const char *reason);

/* What would be chosen: letters that are kept, and copies of conflicts. */
struct letters_plan {
    uint64_t kept;
    uint64_t conflicts;
    struct letters_reasons reasons;
    struct journal_dead_place samples[LETTERS_SAMPLES];
    size_t sample_count;
};
int letters_plan(struct journal *journal, const struct letters_filter *filter,
                 struct letters_plan *out_plan, struct err *err);

/* name=value, in place of the record's own field. */
struct letters_set {
    const char *name;
    const char *value;
};
enum { LETTERS_SETS_MAX = 16, LETTERS_ERRORS_MAX = 10 };

struct letters_retry {
    const struct letters_filter *filter;
    const struct letters_set *sets;
    size_t set_count;
    const struct intake_rules *rules;
    bool execute; /* false: only find out which would pass now */
};

struct letters_retried {
    uint64_t retried; /* in new entries now, or would be */
    uint64_t refused; /* stay as they are: refused once more, */
    struct letters_error {
        struct journal_dead_place place;
        struct intake_error error;
    } errors[LETTERS_ERRORS_MAX]; /* the first of these */
    size_t error_count;
};

/* "isp=x" cut in place. False: not so, or no name. */
bool letters_parse_set(char *text, struct letters_set *out);

/* As one JSON object: retried, refused, errors. */
void letters_put_retried(struct json_writer *json, const struct letters_retried *retried);

/* Tries what is chosen again, as if it had come in now: records that pass become entries
 * of their streams, in the commit that marks their letters as retried, so that none can
 * be tried twice. In bounded batches; what was done before an error stays. */
int letters_retry(struct journal *journal, const struct letters_retry *retry,
                  struct letters_retried *out, struct err *err);

/* Purges what is chosen, in bounded commits; what was purged before an error stays so. */
int letters_purge(struct journal *journal, const struct letters_filter *filter,
                  uint64_t *out_purged, struct err *err);

#endif
