#include "replay/ahead.h"

#include <pthread.h>
#include <stdlib.h>

enum state { EMPTY, ASKED, MAKING, MADE, FAILED };

struct ahead {
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    /* under the lock */
    enum state state;
    bool dropped; /* while MAKING: nobody wants it */
    bool ending;
    struct portion_wish wish;
    struct portion portion; /* while MADE */
};

/* Under the lock, which it lets go of meanwhile. */
static void make(struct ahead *ahead)
{
    struct portion_wish wish = ahead->wish;
    struct portion portion = {0};
    struct err err = {0}; /* the lane meets it itself when it gets there */
    ahead->state = MAKING;
    pthread_mutex_unlock(&ahead->lock);
    int code = portion_make(&wish, &portion, &err);
    pthread_mutex_lock(&ahead->lock);
    ahead->portion = portion;
    ahead->state = code == ERR_OK ? MADE : FAILED;
    if (ahead->dropped) {
        portion_free(&ahead->portion);
        ahead->dropped = false;
        ahead->state = EMPTY;
    }
    pthread_cond_broadcast(&ahead->changed);
}

static void *work(void *context)
{
    struct ahead *ahead = context;
    pthread_mutex_lock(&ahead->lock);
    while (!ahead->ending) {
        if (ahead->state == ASKED) {
            make(ahead);
        } else {
            pthread_cond_wait(&ahead->changed, &ahead->lock);
        }
    }
    pthread_mutex_unlock(&ahead->lock);
    return NULL;
}

int ahead_new(struct ahead **out_ahead, struct err *err)
{
    struct ahead *ahead = calloc(1, sizeof *ahead);
    if (!ahead) {
        return err_set(err, ERR_NOMEM, 0, "no memory to work ahead");
    }
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->changed, NULL);
    int rc = pthread_create(&ahead->thread, NULL, work, ahead);
    if (rc) {
        ahead_free(ahead);
        return err_set_errno(err, ERR_NOMEM, rc, "starting a thread to work ahead");
    }
    ahead->started = true;
    *out_ahead = ahead;
    return ERR_OK;
}

void ahead_free(struct ahead *ahead)
{
    if (!ahead) {
        return;
    }
    if (ahead->started) {
        pthread_mutex_lock(&ahead->lock);
        ahead->ending = true;
        pthread_cond_broadcast(&ahead->changed);
        pthread_mutex_unlock(&ahead->lock);
        pthread_join(ahead->thread, NULL);
    }
    portion_free(&ahead->portion);
    pthread_cond_destroy(&ahead->changed);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead);
}

void ahead_ask(struct ahead *ahead, const struct portion_wish *wish)
{
    pthread_mutex_lock(&ahead->lock);
    if (ahead->state == EMPTY) {
        ahead->wish = *wish;
        ahead->state = ASKED;
        pthread_cond_broadcast(&ahead->changed);
    }
    pthread_mutex_unlock(&ahead->lock);
}

/* Under the lock. */
static void drop(struct ahead *ahead)
{
    if (ahead->state == MAKING) {
        ahead->dropped = true;
        return;
    }
    portion_free(&ahead->portion);
    ahead->state = EMPTY;
}

/* Under the lock. */
static bool take(struct ahead *ahead, struct portion *out_portion)
{
    while (ahead->state == ASKED || ahead->state == MAKING) {
        pthread_cond_wait(&ahead->changed, &ahead->lock);
    }
    bool made = ahead->state == MADE;
    if (made) {
        *out_portion = ahead->portion;
        ahead->portion = (struct portion){0};
    }
    ahead->state = EMPTY;
    return made;
}

bool ahead_take(struct ahead *ahead, const struct portion_wish *wish,
                struct portion *out_portion)
{
    bool taken = false;
    pthread_mutex_lock(&ahead->lock);
    bool any = ahead->state != EMPTY && !ahead->dropped;
    if (any && portion_wish_equal(wish, &ahead->wish)) {
        taken = take(ahead, out_portion);
    } else if (any && ahead->wish.stream == wish->stream &&
               ahead->wish.lane == wish->lane) {
        drop(ahead);
    }
    pthread_mutex_unlock(&ahead->lock);
    return taken;
}

void ahead_drop(struct ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    drop(ahead);
    pthread_mutex_unlock(&ahead->lock);
}
