/* Linked into a program that lets calls fail, beside tests/faults/preload_control.c: the
 * calls of its own objects that stand between them and LMDB, and those that look or
 * start something. The linker brings them here (--wrap, see tests/CMakeLists.txt); a call
 * that fails does nothing, but that a commit is aborted.
 */
#include "tests/faults/preload_control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The linker's names. NOLINTBEGIN(*-identifier-naming, *-reserved-identifier) */
#define WRAP_(type, name, parameters, arguments, kind, failed)                           \
    type __real_##name parameters;                                                       \
    type __wrap_##name parameters;                                                       \
    type __wrap_##name parameters                                                        \
    {                                                                                    \
        return control_fails(kind) ? (failed) : __real_##name arguments;                 \
    }

#define WRAP_LOOK_(name, parameters, arguments)                                          \
    WRAP_(int, name, parameters, arguments, CONTROL_LOOK, -1)
#define WRAP_LMDB_(name, parameters, arguments)                                          \
    WRAP_(int, name, parameters, arguments, CONTROL_LMDB, errno)

WRAP_(char *, strdup, (const char *text), (text), CONTROL_MEMORY, NULL)

WRAP_LOOK_(fstat, (int fd, struct stat *about), (fd, about))
WRAP_LOOK_(stat, (const char *path, struct stat *about), (path, about))
WRAP_LOOK_(fstatvfs, (int fd, struct statvfs *disk), (fd, disk))
WRAP_LOOK_(flock, (int fd, int how), (fd, how))
/* A pipe's reading end doesn't fail. */
static enum control_kind kind_of(int fd)
{
    struct stat about;
    bool is_file = !fstatat(fd, "", &about, AT_EMPTY_PATH) && S_ISREG(about.st_mode);
    return is_file ? CONTROL_LOOK : CONTROL_NONE;
}

WRAP_(ssize_t, read, (int fd, void *to, size_t len), (fd, to, len), kind_of(fd), -1)
WRAP_(ssize_t, pread, (int fd, void *to, size_t len, off_t at), (fd, to, len, at),
      CONTROL_LOOK, -1)
WRAP_(DIR *, opendir, (const char *path), (path), CONTROL_LOOK, NULL)
WRAP_(ssize_t, getrandom, (void *to, size_t len, unsigned flags), (to, len, flags),
      CONTROL_LOOK, -1)
WRAP_(char *, mkdtemp, (char *path), (path), CONTROL_NAME, NULL)

WRAP_(FILE *, fdopen, (int fd, const char *mode), (fd, mode), CONTROL_START, NULL)
WRAP_(int, pipe, (int fds[2]), (fds), CONTROL_START, -1)
WRAP_(pid_t, fork, (void), (), CONTROL_START, -1)
WRAP_(int, pthread_create,
      (pthread_t * thread, const pthread_attr_t *how, void *(*run)(void *),
       void *argument),
      (thread, how, run, argument), CONTROL_START, errno)

WRAP_LMDB_(mdb_env_create, (MDB_env * *env), (env))
WRAP_LMDB_(mdb_env_set_maxdbs, (MDB_env * env, MDB_dbi count), (env, count))
WRAP_LMDB_(mdb_env_set_maxreaders, (MDB_env * env, unsigned count), (env, count))
WRAP_LMDB_(mdb_env_set_mapsize, (MDB_env * env, size_t len), (env, len))
WRAP_LMDB_(mdb_env_open, (MDB_env * env, const char *path, unsigned flags, mode_t mode),
           (env, path, flags, mode))
WRAP_LMDB_(mdb_env_stat, (MDB_env * env, MDB_stat *about), (env, about))
WRAP_LMDB_(mdb_env_info, (MDB_env * env, MDB_envinfo *about), (env, about))
WRAP_LMDB_(mdb_env_sync, (MDB_env * env, int force), (env, force))
WRAP_LMDB_(mdb_reader_check, (MDB_env * env, int *cleared), (env, cleared))
WRAP_LMDB_(mdb_txn_begin, (MDB_env * env, MDB_txn *parent, unsigned flags, MDB_txn **txn),
           (env, parent, flags, txn))
WRAP_LMDB_(mdb_dbi_open, (MDB_txn * txn, const char *name, unsigned flags, MDB_dbi *dbi),
           (txn, name, flags, dbi))
WRAP_LMDB_(mdb_stat, (MDB_txn * txn, MDB_dbi dbi, MDB_stat *about), (txn, dbi, about))
WRAP_LMDB_(mdb_get, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value),
           (txn, dbi, key, value))
WRAP_LMDB_(mdb_cursor_open, (MDB_txn * txn, MDB_dbi dbi, MDB_cursor **cursor),
           (txn, dbi, cursor))
WRAP_LMDB_(mdb_cursor_get,
           (MDB_cursor * at, MDB_val *key, MDB_val *value, MDB_cursor_op op),
           (at, key, value, op))

#define WRAP_PUT_(name, parameters, arguments)                                           \
    int __real_##name parameters;                                                        \
    int __wrap_##name parameters;                                                        \
    int __wrap_##name parameters                                                         \
    {                                                                                    \
        return control_fails(CONTROL_LMDB) || control_fails(CONTROL_PUT)                 \
                   ? errno                                                               \
                   : __real_##name arguments;                                            \
    }

WRAP_PUT_(mdb_put,
          (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags),
          (txn, dbi, key, value, flags))
WRAP_PUT_(mdb_del, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value),
          (txn, dbi, key, value))
WRAP_PUT_(mdb_cursor_del, (MDB_cursor * at, unsigned flags), (at, flags))
WRAP_PUT_(mdb_drop, (MDB_txn * txn, MDB_dbi dbi, int del), (txn, dbi, del))

int __real_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn)
{
    if (!control_fails(CONTROL_LMDB) && !control_fails(CONTROL_PUT)) {
        return __real_mdb_txn_commit(txn);
    }
    int failed = errno;
    mdb_txn_abort(txn);
    return failed;
}
/* NOLINTEND(*-identifier-naming, *-reserved-identifier) */
