/* tests/faults/stage.h: where the points of a layer take place: one private mariadbd for
 * the layer, and for each point empty tables, a sample and an engine with a journal of
 * its own.
 *
 * The engine's user in the database has what `holdfast schema` prints (rights.h).
 *
 *     open:   stage_open(&stage, run, NULL, err)
 *     point:  code = stage_begin(&stage, &plan, err);
 *             code = code ? code : stage_start(&stage, err);
 *             code = code ? code : stage_feed(&stage, err);
 *             ...                                  // the fault
 *             code = code ? code : stage_settle(&stage, err);
 *             code = code ? code : stage_compare(&stage, err);
 *             return stage_end(&stage, code, in_flight, out_verdict, err);
 *     close:  stage_close(&stage)
 *
 * Errors are returned. Where the engine is to blame for one (it doesn't start, doesn't
 * settle), stage_end makes it a broken invariant. Threads: one.
 */
#ifndef HOLDFAST_TESTS_FAULTS_STAGE_H
#define HOLDFAST_TESTS_FAULTS_STAGE_H

#include "tests/engine_process.h"
#include "tests/faults/layer.h"
#include "tests/feeder.h"
#include "tests/oracle.h"
#include "tests/private_server.h"
#include "tests/sample.h"

struct st_mysql;

enum { STAGE_NAME_MAX = 32, STAGE_TEXT_MAX = 512 };

/* What a point's engine and sample are like; zeros are fine. */
struct stage_plan {
    uint64_t seed;
    uint32_t records; /* 0: 300 */
    uint32_t lanes;   /* of each stream; 0: 1 */
    uint32_t streams; /* 1: mozi; 0, 2: and test */
    uint32_t transaction_records;
    bool checked_only;   /* replay.fast: false */
    bool fresh_tables;   /* dropped, not emptied: the engine makes them */
    bool may_rewind;     /* the fault may take the database back */
    bool may_stop;       /* a lane may stop meanwhile */
    const char *socket;  /* instead of the server's, such as a proxy's */
    const char *host;    /* instead of a socket */
    const char *server;  /* more keys of `database`, as ", timeouts: {call: 1s}" */
    const char *journal; /* so too; the sizes are set */
};

struct stage {
    const struct layer_run *run;
    struct private_server server;
    struct st_mysql *session; /* root's, on the database */
    struct stage_plan plan;
    struct engine_process engine;
    struct engine_options options;
    struct sample sample;
    struct feeder *feeder;
    struct feeder_line *lines;
    char name[STAGE_NAME_MAX]; /* of the point's files in run->dir */
    char streams[STAGE_TEXT_MAX];
    char journal[STAGE_TEXT_MAX];
    char more[STAGE_TEXT_MAX];
    uint32_t points;
    uint32_t granted; /* streams that the engine's user has the rights for */
    uint16_t port;    /* the engines' */
    bool blame;       /* the error at hand is the engine's */
    bool broken;      /* stage_compare found something */
    bool keep_files;  /* of the last point: it failed */
    bool not_run;     /* the point at hand can't be run on this machine */

    /* Another engine's producers, whose log counts in stage_compare too, which leaves out
     * `audit` then; zeros: none. */
    struct oracle_log second;
    uint64_t second_accepted;
};

/* The server with further arguments (NULL: none). ERR_NOT_FOUND: there is no mariadbd. */
int stage_open(struct stage *stage, const struct layer_run *run,
               const char *const *server_args, struct err *err);
void stage_close(struct stage *stage);

/* After the server was started again: a session on it. */
int stage_connect(struct stage *stage, struct err *err);

/* The server, on its data; and first SIGKILL. */
int stage_kill_server(struct stage *stage, struct err *err);
int stage_start_server(struct stage *stage, struct err *err);

int stage_begin(struct stage *stage, const struct stage_plan *plan, struct err *err);

/* The engine's user anew, with the rights for what is configured now; for a point that
 * has streams of its own, or that took rights away. */
int stage_grant(struct stage *stage, struct err *err);

/* Writes the engine's configuration anew, with what is in stage->options now. */
int stage_configure(struct stage *stage, struct err *err);

/* The engine, ready; and without waiting, with LD_PRELOAD (NULL: none). */
int stage_start(struct stage *stage, struct err *err);
int stage_launch(struct stage *stage, const char *preload, struct err *err);

/* TERM; it must end with 0. */
int stage_stop(struct stage *stage, struct err *err);

/* Producers that send the sample: all of it, until acknowledged; or beside the fault. */
int stage_feed(struct stage *stage, struct err *err);
int stage_feed_begin(struct stage *stage, uint32_t pause_us, struct err *err);
int stage_feed_end(struct stage *stage, struct err *err);

/* Waits until all is applied, and each lane says so after a look at its ledger. */
int stage_settle(struct stage *stage, struct err *err);

/* Compares database and log with what was sent: I1 to I4, and the law by `audit`. What is
 * wrong is said; stage->broken then. */
int stage_compare(struct stage *stage, struct err *err);

/* One value about all that the tables hold, to be compared with a later one. */
int stage_digest(struct stage *stage, char out_digest[STAGE_TEXT_MAX], struct err *err);

/* Restarts in order `times` and compares the digests: I10. */
int stage_restart_alike(struct stage *stage, uint32_t times, struct err *err);

/* How often the engine's log holds the text. */
int stage_log_count(const struct stage *stage, const char *text, uint64_t *out_count,
                    struct err *err);

/* A tmpfs as a small disk, with the options of mount, on a directory that is there; in a
 * mount namespace of this process, so that it is gone with it however it ends. False:
 * this machine can't have it, which is said, and stage_end says LAYER_NOT_RUN. */
bool stage_mount_small(struct stage *stage, const char *dir, const char *options);

/* Ends the point's processes. */
int stage_end(struct stage *stage, int code, bool in_flight,
              enum layer_verdict *out_verdict, struct err *err);

/* A statement, or several by semicolons; and the first column of the first row as a
 * number (0: NULL or no row). ERR_TRANSIENT with the server's reason. */
int stage_exec(struct stage *stage, const char *sql, struct err *err);
int stage_number(struct stage *stage, const char *sql, int64_t *out_number,
                 struct err *err);

/* Waits until the query gives a number that isn't 0. ERR_TIMEOUT. */
int stage_await(struct stage *stage, const char *sql, struct err *err);

/* All files of a directory into another, which is made. */
int stage_copy_files(const char *from, const char *to, struct err *err);

#endif
