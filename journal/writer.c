/* Group commit.
 *
 * Happy path. A caller puts its batch at the end of the queue and waits. The writer takes
 * all that waits, up to a cap; begins one transaction; copies the lanes' state with the
 * done marks that came since; applies operations and batches; lets what is due expire;
 * commits (LMDB: pages, fdatasync, meta page on an O_DSYNC descriptor); publishes the
 * new state; answers each caller in order; tells the listener. While it commits, the next
 * group gathers: there is no other timer for batches. Marks without a batch are committed
 * alone after a second, expiry is looked after every minute. When nothing waits it writes
 * zeros ahead, one step between two looks at the queue; behind small groups too, whose
 * time goes into the flush and not into bytes. Behind large ones zeros would take as much
 * of the disk as the data that they make room for.
 *
 * Failure modes.
 *   - A batch that finds too little room, by count, is refused with ERR_FULL while the
 *     group goes on; only after applied entries that may leave have left.
 *   - MDB_MAP_FULL, from a put or the commit: the transaction is aborted, nothing of it
 *     happened. Marks and expiry go through alone, then each operation and batch is tried
 *     alone; what doesn't fit after room was made gets ERR_FULL. Freed pages come back
 *     two transactions later, and a large value needs neighbouring ones, so room is made
 *     in several commits.
 *   - The disk has less room than the commit may need, which is found before it writes
 *     (change.h): as MDB_MAP_FULL. What comes too late to be found, since the file system
 *     can't give room in advance, is the next one.
 *   - The commit fails otherwise: nobody knows what the disk holds. The group gets
 *     ERR_UNKNOWN, the queue ERR_IO, and the handle is dead: no second try.
 *   - Anything else fails before the commit: nothing was written, the group and the queue
 *     get ERR_IO, and the handle is dead too.
 */
#include "journal/writer.h"

#include "base/steady.h"
#include "journal/change.h"
#include "journal/lanes.h"
#include "journal/preallocate.h"

#include <errno.h>
#include <stdlib.h>

enum {
    GROUP_APPENDS = 4096,
    GROUP_BYTES = 32 << 20,
    SECOND_US = 1000 * 1000,
    EXPIRY_EVERY_US = 60 * SECOND_US,
    READER_CHECK_EVERY_US = 30 * SECOND_US,
    IDLE_WAIT_US = SECOND_US,
    QUIET_US = 1000,         /* nothing came for so long: there is time for zeros */
    GROUP_SMALL = 256 << 10, /* bytes of a group that a step of zeros may follow */
    BITES_MAX = 64,
    IDLE_BITES = 3, /* commits until pages freed before them are back */
};

struct group {
    struct journal_append *appends;
    struct operation *operations;
    uint64_t queue_bytes;
};

/* ---- Taking ---------------------------------------------------------------------- */

static uint64_t payload_bytes(const struct journal_append *append)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < append->part_count; i++) {
        bytes += append->parts[i].payload.len;
    }
    return bytes;
}

/* All operations and the first appends, up to the cap. Under the lock. */
static struct group take_group(struct journal *journal)
{
    struct group group = {.operations = journal->operations, .appends = journal->appends};
    journal->operations = NULL;
    journal->operations_end = &journal->operations;
    struct journal_append **end = &group.appends;
    unsigned count = 0;
    while (*end && count < GROUP_APPENDS && group.queue_bytes < GROUP_BYTES) {
        group.queue_bytes += payload_bytes(*end);
        end = &(*end)->next;
        count++;
    }
    journal->appends = *end;
    *end = NULL;
    if (!journal->appends) {
        journal->appends_end = &journal->appends;
    }
    return group;
}

/* ---- Answering ------------------------------------------------------------------- */

static void answer_append(struct journal_append *append)
{
    /* The answer of a replay is the journal's own copy; `append` itself may be gone once
     * it was told. */
    char *copy = NULL;
    if (append->err.code == ERR_OK && append->outcome == JOURNAL_REPLAYED) {
        union {
            const char *in;
            char *out;
        } pointer = {.in = append->answer.data};
        copy = pointer.out;
    }
    append->done(append);
    free(copy);
}

static void answer_appends(struct journal_append *appends)
{
    while (appends) {
        struct journal_append *next = appends->next;
        answer_append(appends);
        appends = next;
    }
}

static void answer_operations(struct operation *operations)
{
    while (operations) {
        struct operation *next = operations->next;
        sem_post(&operations->finished);
        operations = next;
    }
}

/* What a lookup left in an append whose transaction came to nothing. */
static void forget_outcome(struct journal_append *append)
{
    if (append->err.code == ERR_OK && append->outcome == JOURNAL_REPLAYED) {
        union {
            const char *in;
            char *out;
        } pointer = {.in = append->answer.data};
        free(pointer.out);
    }
    append->answer = (struct slice){0};
    append->outcome = JOURNAL_APPENDED;
    append->first_seq = 0;
}

static void fail_group(struct group *group, enum err_code code, const struct err *why)
{
    for (struct journal_append *a = group->appends; a; a = a->next) {
        if (a->err.code == ERR_OK) {
            forget_outcome(a);
            err_set(&a->err, code, why->sys, "%s", why->message);
        }
    }
    for (struct operation *o = group->operations; o; o = o->next) {
        if (o->err.code == ERR_OK) {
            err_set(&o->err, code, why->sys, "%s", why->message);
        }
    }
}

/* The handle is dead from now on. */
static void die(struct journal *journal, const struct err *why)
{
    pthread_mutex_lock(&journal->lock);
    if (!journal->fatal.code) {
        journal->fatal = *why;
        if (err_class(why->code) != ERR_CLASS_HALT) {
            journal->fatal.code = ERR_IO;
        }
    }
    pthread_mutex_unlock(&journal->lock);
}

static bool is_dead(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    bool dead = journal->fatal.code != ERR_OK;
    pthread_mutex_unlock(&journal->lock);
    return dead;
}

/* ---- One transaction ------------------------------------------------------------- */

struct result {
    uint64_t freed_bytes;
    bool refused; /* a batch found no room */
    bool unknown; /* the commit itself failed */
};

static int apply_all(struct change *change, const struct group *group, struct err *err)
{
    int rc = ERR_OK;
    for (struct operation *o = group->operations; o && !rc; o = o->next) {
        o->err.code = ERR_OK;
        rc = o->apply(change, o, err);
    }
    for (struct journal_append *a = group->appends; a && !rc; a = a->next) {
        rc = change_append(change, a, err);
    }
    return rc;
}

/* A transaction that had nothing to commit still knows whether intake was refused, and
 * how far it looked for what may leave. */
static void note_refusing(struct journal *journal, const struct change *change,
                          bool failed)
{
    if (!failed) {
        journal->expiry = change->expiry;
    }
    pthread_mutex_lock(&journal->lock);
    journal->refusing = change->refused;
    pthread_mutex_unlock(&journal->lock);
}

static bool needs_room(const struct change *change)
{
    return change->refused ||
           change->intake_left < change->journal->reserve_bytes + change->appended_bytes;
}

/* ERR_FULL: MDB_MAP_FULL, nothing happened. `room`: expire for room in any case, and
 * commit in any case, so that freed pages come back. */
static int transact(struct journal *journal, const struct group *group, bool room,
                    struct result *out_result, struct err *err)
{
    struct change change;
    *out_result = (struct result){0};
    int rc = change_begin(journal, &change, err);
    if (rc) {
        return rc;
    }
    rc = apply_all(&change, group, err);
    if (!rc) {
        rc = expiry_run(&change, room || needs_room(&change), err);
    }
    out_result->refused = change.refused;
    if (rc || (!change.dirty && !room)) {
        note_refusing(journal, &change, rc != ERR_OK);
        change_abort(&change);
        return rc;
    }
    rc = change_commit(&change, &out_result->unknown, err);
    if (!rc) {
        out_result->freed_bytes = change.freed_bytes;
        rc = preallocate_cover(journal, err);
        out_result->unknown = rc != ERR_OK;
    }
    return rc;
}

/* Final: says it to the group and to the handle. */
static void give_up(struct journal *journal, struct group *group, bool unknown,
                    struct err *why)
{
    die(journal, why);
    fail_group(group, unknown ? ERR_UNKNOWN : ERR_IO, why);
}

/* ---- When it doesn't fit --------------------------------------------------------- */

/* Marks and expiry alone. */
static int drain(struct journal *journal, struct result *out_result, struct err *err)
{
    struct group nothing = {0};
    return transact(journal, &nothing, true, out_result, err);
}

/* One batch or operation alone, with room made for it in bites. ERR_FULL: it doesn't
 * fit. Any other code is final. */
static int try_alone(struct journal *journal, const struct group *one, bool *out_unknown,
                     struct err *err)
{
    unsigned idle = 0;
    for (unsigned bite = 0; bite < BITES_MAX && idle < IDLE_BITES; bite++) {
        struct result tried;
        struct result drained;
        int rc = transact(journal, one, false, &tried, err);
        *out_unknown = tried.unknown;
        if (rc != ERR_FULL && (rc || !tried.refused)) {
            return rc;
        }
        if (one->appends) {
            forget_outcome(one->appends);
        }
        bool by_count = rc == ERR_OK;
        rc = drain(journal, &drained, err);
        *out_unknown = drained.unknown;
        if (rc && rc != ERR_FULL) {
            return rc;
        }
        bool freed = tried.freed_bytes || drained.freed_bytes;
        if (by_count && !freed) {
            return ERR_FULL; /* a count doesn't change by waiting */
        }
        idle = freed ? 0 : idle + 1;
    }
    return ERR_FULL;
}

static void refuse(struct journal *journal, const struct group *one)
{
    struct err *err = one->appends ? &one->appends->err : &one->operations->err;
    if (err->code != ERR_FULL) {
        err_set(err, ERR_FULL, 0, "%s", handle_full_advice);
    }
    /* What was committed to make room has said otherwise. */
    pthread_mutex_lock(&journal->lock);
    journal->refusing = journal->refusing || one->appends;
    pthread_mutex_unlock(&journal->lock);
}

/* Tries and answers a group of one. */
static void settle_alone(struct journal *journal, struct group *one)
{
    struct err err = {0};
    bool unknown = false;
    if (is_dead(journal)) {
        pthread_mutex_lock(&journal->lock);
        err = journal->fatal;
        pthread_mutex_unlock(&journal->lock);
        fail_group(one, ERR_IO, &err);
    } else {
        int rc = try_alone(journal, one, &unknown, &err);
        if (rc == ERR_FULL) {
            refuse(journal, one);
        } else if (rc) {
            give_up(journal, one, unknown, &err);
        }
    }
    answer_operations(one->operations);
    answer_appends(one->appends);
}

static void settle_one_by_one(struct journal *journal, const struct group *group)
{
    struct operation *operation = group->operations;
    while (operation) {
        struct operation *next = operation->next;
        operation->next = NULL;
        settle_alone(journal, &(struct group){.operations = operation});
        operation = next;
    }
    struct journal_append *append = group->appends;
    while (append) {
        struct journal_append *next = append->next;
        append->next = NULL;
        settle_alone(journal, &(struct group){.appends = append});
        append = next;
    }
}

/* Takes those out of the group that found no room. */
static struct group part_refused(struct group *group)
{
    struct group refused = {0};
    struct journal_append **kept_end = &group->appends;
    struct journal_append **refused_end = &refused.appends;
    struct journal_append *append = group->appends;
    while (append) {
        struct journal_append *next = append->next;
        struct journal_append ***end =
            append->err.code == ERR_FULL ? &refused_end : &kept_end;
        **end = append;
        *end = &append->next;
        append = next;
    }
    *kept_end = *refused_end = NULL;
    return refused;
}

/* ---- One group ------------------------------------------------------------------- */

static void forget_outcomes(const struct group *group)
{
    for (struct journal_append *a = group->appends; a; a = a->next) {
        forget_outcome(a);
    }
}

/* Before the callers are told, so that one who is told finds its room free again. What is
 * still tried alone is not counted any more: it is bounded by one group. */
static void leave_queue(struct journal *journal, uint64_t bytes)
{
    pthread_mutex_lock(&journal->lock);
    journal->queue_bytes -= bytes;
    pthread_mutex_unlock(&journal->lock);
}

static void tell_listener(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    void (*on_commit)(void *context) = journal->on_commit;
    void *context = journal->on_commit_context;
    pthread_mutex_unlock(&journal->lock);
    if (on_commit) {
        on_commit(context);
    }
}

static void process_group(struct journal *journal, struct group *group)
{
    struct err err = {0};
    struct result result;
    struct group refused = {0};
    int rc = transact(journal, group, false, &result, &err);
    leave_queue(journal, group->queue_bytes);
    if (rc == ERR_FULL) {
        forget_outcomes(group);
        settle_one_by_one(journal, group);
    } else {
        if (rc) {
            give_up(journal, group, result.unknown, &err);
        } else if (result.refused && result.freed_bytes) {
            refused = part_refused(group);
        }
        answer_operations(group->operations);
        answer_appends(group->appends);
        settle_one_by_one(journal, &refused);
    }
    if (!is_dead(journal)) {
        tell_listener(journal);
    }
}

/* The queue of a dead handle. */
static void fail_queue(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    struct group group = {.operations = journal->operations, .appends = journal->appends};
    journal->operations = NULL;
    journal->operations_end = &journal->operations;
    journal->appends = NULL;
    journal->appends_end = &journal->appends;
    journal->queue_bytes = 0;
    struct err why = journal->fatal;
    pthread_mutex_unlock(&journal->lock);
    fail_group(&group, ERR_IO, &why);
    answer_operations(group.operations);
    answer_appends(group.appends);
}

/* ---- The thread ------------------------------------------------------------------ */

static bool has_queue(const struct journal *journal)
{
    return journal->appends || journal->operations;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Waits for work, at most until something is due. `zeros`: that is soon. Under the lock.
 */
static void wait_for_work(struct journal *journal, bool zeros)
{
    int64_t now = clock_steady_us(journal->config.clock);
    int64_t wait = earlier(journal->next_expiry_us, journal->next_reader_check_us) - now;
    if (journal->marks_dirty) {
        wait = earlier(wait, journal->marks_since_us + SECOND_US - now);
    }
    /* The clock may be a test's: look at it again before long. */
    wait = journal->fatal.code ? IDLE_WAIT_US : earlier(wait, IDLE_WAIT_US);
    wait = zeros ? earlier(wait, QUIET_US) : wait;
    if (wait <= 0) {
        return;
    }
    int64_t until_us = clock_steady_us(&clock_system) + wait;
    journal->waiting = true;
    (void)steady_cond_wait(&journal->work, &journal->lock, until_us);
    journal->waiting = false;
}

enum next_step { STEP_GROUP, STEP_DRAIN, STEP_IDLE, STEP_STOP };

/* Takes a group where something waits. `zeros`: there are some to be written. */
static enum next_step choose(struct journal *journal, bool zeros, struct group *out_group)
{
    pthread_mutex_lock(&journal->lock);
    if (!has_queue(journal) && !journal->stopping) {
        wait_for_work(journal, zeros);
    }
    int64_t now = clock_steady_us(journal->config.clock);
    enum next_step step = STEP_IDLE;
    bool marks_due = journal->marks_dirty &&
                     (journal->stopping || now - journal->marks_since_us >= SECOND_US);
    if (has_queue(journal)) {
        *out_group = take_group(journal);
        step = STEP_GROUP;
    } else if (!journal->fatal.code && (marks_due || now >= journal->next_expiry_us)) {
        step = STEP_DRAIN;
    } else if (journal->stopping) {
        step = STEP_STOP;
    }
    pthread_mutex_unlock(&journal->lock);
    return step;
}

/* Marks and expiry without a batch. */
static void commit_alone(struct journal *journal)
{
    struct group nothing = {0};
    struct result result;
    struct err err = {0};
    int rc = transact(journal, &nothing, false, &result, &err);
    if (rc == ERR_FULL) {
        rc = drain(journal, &result, &err);
    }
    if (rc && rc != ERR_FULL) {
        die(journal, &err);
        return;
    }
    pthread_mutex_lock(&journal->lock);
    if (rc) {
        /* Not even a mark fits: wait another second before the next try. At the end there
         * is none: a lost mark is found again in the ledger. */
        journal->marks_since_us = clock_steady_us(journal->config.clock);
        journal->marks_dirty = journal->marks_dirty && !journal->stopping;
    }
    pthread_mutex_unlock(&journal->lock);
    if (!rc) {
        tell_listener(journal);
    }
}

static void check_readers(struct journal *journal)
{
    int64_t now = clock_steady_us(journal->config.clock);
    if (now < journal->next_reader_check_us) {
        return;
    }
    journal->next_reader_check_us = now + READER_CHECK_EVERY_US;
    int cleared = 0;
    struct err err = {0};
    int rc = mdb_reader_check(journal->store.env, &cleared);
    if (rc) {
        store_error(&err, rc, "cannot clear slots of dead readers");
        die(journal, &err);
    }
}

static void run_step(struct journal *journal, enum next_step step, struct group *group)
{
    if (step == STEP_GROUP && is_dead(journal)) {
        struct err why;
        pthread_mutex_lock(&journal->lock);
        why = journal->fatal;
        pthread_mutex_unlock(&journal->lock);
        fail_group(group, ERR_IO, &why);
        answer_operations(group->operations);
        answer_appends(group->appends);
    } else if (step == STEP_GROUP) {
        process_group(journal, group);
    } else if (step == STEP_DRAIN) {
        commit_alone(journal);
    }
    int64_t now = clock_steady_us(journal->config.clock);
    if (step == STEP_DRAIN || now >= journal->next_expiry_us) {
        journal->next_expiry_us = now + EXPIRY_EVERY_US;
    }
}

static void *run(void *argument)
{
    struct journal *journal = argument;
    bool more = false;
    for (;;) {
        struct group group = {0};
        enum next_step step = choose(journal, more, &group);
        if (step == STEP_STOP) {
            return NULL;
        }
        run_step(journal, step, &group);
        if (is_dead(journal)) {
            fail_queue(journal);
            more = false;
            continue;
        }
        check_readers(journal);
        struct err err = {0};
        if (step == STEP_GROUP && group.queue_bytes > GROUP_SMALL) {
            more = preallocate_due(journal);
        } else if (preallocate_step(journal, step == STEP_IDLE, &more, &err)) {
            die(journal, &err);
        }
    }
}

int writer_start(struct journal *journal, struct err *err)
{
    int64_t now = clock_steady_us(journal->config.clock);
    journal->next_expiry_us = now + EXPIRY_EVERY_US;
    journal->next_reader_check_us = now + READER_CHECK_EVERY_US;
    int rc = pthread_create(&journal->thread, NULL, run, journal);
    return rc ? err_set_errno(err, ERR_NOMEM, rc, "cannot start the writer's thread")
              : ERR_OK;
}

void writer_stop(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    journal->stopping = true;
    pthread_cond_signal(&journal->work);
    pthread_mutex_unlock(&journal->lock);
    pthread_join(journal->thread, NULL);
}
