#include "engine/waiters.h"

#include <pthread.h>
#include <stdlib.h>

struct waiter {
    struct waiter *next;
    int64_t deadline_us;
    void (*done)(void *context, bool applied);
    void *context;
    size_t count; /* entries not applied yet */
    struct intake_entry entries[];
};

struct waiters {
    pthread_mutex_t lock;
    struct waiter *first;
    size_t count;
};

int waiters_new(struct waiters **out_waiters, struct err *err)
{
    struct waiters *waiters = calloc(1, sizeof *waiters);
    if (!waiters) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the table of waiters");
    }
    pthread_mutex_init(&waiters->lock, NULL);
    *out_waiters = waiters;
    return ERR_OK;
}

void waiters_free(struct waiters *waiters)
{
    if (waiters) {
        waiters_expire(waiters, INT64_MAX);
        pthread_mutex_destroy(&waiters->lock);
        free(waiters);
    }
}

int waiters_add(struct waiters *waiters, const struct engine_wait *wait, struct err *err)
{
    size_t bytes = wait->count * sizeof *wait->entries;
    struct waiter *waiter = malloc(sizeof *waiter + bytes);
    if (!waiter) {
        return err_set(err, ERR_NOMEM, 0, "no memory to wait for a batch");
    }
    *waiter = (struct waiter){.deadline_us = wait->deadline_us,
                              .done = wait->done,
                              .context = wait->context,
                              .count = wait->count};
    memcpy(waiter->entries, wait->entries, bytes);
    pthread_mutex_lock(&waiters->lock);
    bool room = waiters->count < WAITERS_MAX;
    if (room) {
        waiter->next = waiters->first;
        waiters->first = waiter;
        waiters->count++;
    }
    pthread_mutex_unlock(&waiters->lock);
    if (!room) {
        free(waiter);
        return err_set(err, ERR_BUSY, 0, "%d requests wait for their batches already",
                       WAITERS_MAX);
    }
    return ERR_OK;
}

static void strike_out(struct waiter *waiter, const char *stream, uint32_t lane,
                       uint64_t seq)
{
    for (size_t i = 0; i < waiter->count;) {
        const struct intake_entry *entry = &waiter->entries[i];
        if (entry->lane == lane && entry->seq <= seq &&
            strcmp(entry->stream, stream) == 0) {
            waiter->entries[i] = waiter->entries[--waiter->count];
        } else {
            i++;
        }
    }
}

/* Takes those that are applied, or whose time is up, out of the table. Under the lock. */
static struct waiter *take_due(struct waiters *waiters, int64_t now_us)
{
    struct waiter *due = NULL;
    struct waiter **at = &waiters->first;
    while (*at) {
        struct waiter *waiter = *at;
        if (waiter->count > 0 && waiter->deadline_us > now_us) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        waiters->count--;
        waiter->next = due;
        due = waiter;
    }
    return due;
}

static void tell(struct waiter *due)
{
    while (due) {
        struct waiter *next = due->next;
        due->done(due->context, due->count == 0);
        free(due);
        due = next;
    }
}

void waiters_applied(struct waiters *waiters, const char *stream, uint32_t lane,
                     uint64_t seq)
{
    pthread_mutex_lock(&waiters->lock);
    for (struct waiter *waiter = waiters->first; waiter; waiter = waiter->next) {
        strike_out(waiter, stream, lane, seq);
    }
    struct waiter *due = take_due(waiters, INT64_MIN);
    pthread_mutex_unlock(&waiters->lock);
    tell(due);
}

bool waiters_any(struct waiters *waiters)
{
    pthread_mutex_lock(&waiters->lock);
    bool any = waiters->count > 0;
    pthread_mutex_unlock(&waiters->lock);
    return any;
}

void waiters_expire(struct waiters *waiters, int64_t now_us)
{
    pthread_mutex_lock(&waiters->lock);
    struct waiter *due = take_due(waiters, now_us);
    pthread_mutex_unlock(&waiters->lock);
    tell(due);
}
