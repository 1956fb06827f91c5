/* tests/faults/hostile.h: the points of the layer "hostile", each with the real binary
 * and, where a database is needed, the real server. Private to layer_hostile.c and
 * hostile_*.c.
 *
 * A point returns an error of the suite itself, and says with hostile_breaks what the
 * engine broke. Threads: one. */
#ifndef HOLDFAST_TESTS_FAULTS_HOSTILE_H
#define HOLDFAST_TESTS_FAULTS_HOSTILE_H

#include "tests/faults/stage.h"

enum { HOSTILE_PATH_MAX = 512 };

/* As layer_broken, noted in the stage. */
void hostile_breaks(struct stage *stage, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The engine with these further keys of `intake` (NULL: none), on empty tables. */
int hostile_start(struct stage *stage, const char *intake, struct err *err);

/* <the run's directory>/<name>. */
void hostile_path(const struct stage *stage, const char *name,
                  char out_path[HOSTILE_PATH_MAX]);

/* Writes a file of mode 0600. */
int hostile_write(const char *path, const char *text, struct err *err);

/* Appends the file to `out`; false where it can't be read. */
bool hostile_read(const char *path, struct buf *out);

/* Runs a program to its end; what it wrote to standard output and error is appended to
 * `out` (NULL: not wanted). The exit code as process_wait has it, or -1. Waits at most a
 * minute. */
int hostile_run(struct stage *stage, const char *const *argv, struct buf *out);

/* One connection, on which `bytes` are sent as they are and everything is read until the
 * other side closes. True where that was before patience_ms passed in silence; the
 * answers are appended to `out`. */
bool hostile_converse(uint16_t port, struct slice bytes, uint32_t patience_ms,
                      struct buf *out);
/* A connection to 127.0.0.1, or -1. */
int hostile_connect(uint16_t port);

/* How often `text` is in it. */
size_t hostile_count(struct slice in, const char *text);

/* One POST of JSON to /v1/streams/<stream>/records?wait=applied; the answer's status. */
int hostile_post(struct stage *stage, const char *stream, struct slice body,
                 struct buf *out);

/* ---- The points -------------------------------------------------------------------- */

/* hostile_http.c */
int hostile_smuggling(struct stage *stage, struct err *err);
int hostile_paths(struct stage *stage, struct err *err);
int hostile_endless(struct stage *stage, struct err *err);
int hostile_slow_readers(struct stage *stage, struct err *err);
int hostile_many_connections(struct stage *stage, struct err *err);

/* hostile_text.c */
int hostile_text_fast(struct stage *stage, struct err *err);
int hostile_text_checked(struct stage *stage, struct err *err);
int hostile_text_fast_modes(struct stage *stage, struct err *err);
int hostile_text_checked_modes(struct stage *stage, struct err *err);
int hostile_names_refused(struct stage *stage, struct err *err);
int hostile_names_taken(struct stage *stage, struct err *err);

/* hostile_rights.c */
int hostile_least_rights(struct stage *stage, struct err *err);
int hostile_least_rights_without_create(struct stage *stage, struct err *err);
int hostile_init_connect(struct stage *stage, struct err *err);
int hostile_grant_wildcards(struct stage *stage, struct err *err);
int hostile_permissions(struct stage *stage, struct err *err);

/* hostile_secrets.c */
int hostile_secrets(struct stage *stage, struct err *err);
int hostile_binary(struct stage *stage, struct err *err);

/* hostile_senders.c */
int hostile_tokens(struct stage *stage, struct err *err);
int hostile_refused_beside(struct stage *stage, struct err *err);

/* hostile_tls.c */
int hostile_tls_versions(struct stage *stage, struct err *err);
int hostile_tls_ingest(struct stage *stage, struct err *err);
int hostile_tls_database(struct stage *stage, struct err *err);

#endif
