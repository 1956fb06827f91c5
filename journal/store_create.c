/* Creation, in this order: remove what a crashed creation left; build a whole journal in
 * `<path>.new-XXXXXX` beside the place; commit, mdb_env_sync; write journal.id; fsync
 * both files and the directory; rename onto `path`; fsync the parent.
 *
 * Power loss before the rename leaves a temporary directory, which the next creation
 * removes; after it, a journal. The temporary directory is flocked while it is being
 * built, so that two creators don't remove each other's.
 */
#include "journal/store_create.h"

#include "journal/format.h"
#include "journal/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char temporary_mark[] = ".new-";

int store_env_new(uint64_t map_bytes, MDB_env **out_env, struct err *err)
{
    enum { DATABASES = 4, READERS = 126 };
    MDB_env *env = NULL;
    int rc = mdb_env_create(&env);
    if (rc) {
        return store_error(err, rc, "mdb_env_create");
    }
    rc = mdb_env_set_maxdbs(env, DATABASES);
    if (!rc) {
        rc = mdb_env_set_maxreaders(env, READERS);
    }
    if (!rc && map_bytes) {
        rc = mdb_env_set_mapsize(env, map_bytes);
    }
    if (rc) {
        mdb_env_close(env);
        return store_error(err, rc, "cannot set the journal's map size");
    }
    *out_env = env;
    return ERR_OK;
}

static int sync_path(const char *path, int flags, struct err *err)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) {
        return err_set_errno(err, ERR_IO, errno, "cannot open %s", path);
    }
    int failed = fsync(fd) ? errno : 0;
    if (close(fd) && !failed) {
        failed = errno;
    }
    return failed ? err_set_errno(err, ERR_IO, failed, "cannot sync %s", path) : ERR_OK;
}

static int put_record(MDB_txn *txn, MDB_dbi meta, struct slice key, struct buf *value,
                      struct err *err)
{
    if (value->failed) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    MDB_val name = store_val(key);
    MDB_val data = store_val(buf_slice(value));
    int rc = mdb_put(txn, meta, &name, &data, 0);
    return rc ? store_error(err, rc, "cannot write the first records") : ERR_OK;
}

static int open_databases(MDB_txn *txn, MDB_dbi out_dbi[BUILDING_DATABASES],
                          struct err *err)
{
    static const struct {
        const char *name;
        unsigned flags;
    } databases[BUILDING_DATABASES] = {[BUILDING_META] = {"meta", 0},
                                       [BUILDING_ENTRIES] = {"entries", MDB_INTEGERKEY},
                                       [BUILDING_RECEIPTS] = {"receipts", 0},
                                       [BUILDING_DEAD] = {"deadletter", 0}};
    for (size_t i = 0; i < BUILDING_DATABASES; i++) {
        int rc = mdb_dbi_open(txn, databases[i].name, databases[i].flags | MDB_CREATE,
                              &out_dbi[i]);
        if (rc) {
            return store_error(err, rc, "cannot create the journal's databases");
        }
    }
    return ERR_OK;
}

int building_open(const struct building *building, uint64_t map_bytes, unsigned flags,
                  struct building_env *out_env, struct err *err)
{
    struct building_env made = {0};
    MDB_txn *txn = NULL;
    int rc = store_env_new(map_bytes, &made.env, err);
    if (rc) {
        return rc;
    }
    int failed = mdb_env_open(made.env, building->temporary, flags, 0600);
    failed = failed ? failed : mdb_txn_begin(made.env, NULL, 0, &txn);
    rc = failed ? store_error(err, failed, "cannot create the journal's file")
                : open_databases(txn, made.dbi, err);
    failed = !rc ? mdb_txn_commit(txn) : 0;
    if (failed) {
        rc = store_error(err, failed, "cannot create the journal's databases");
    } else if (rc && txn) {
        mdb_txn_abort(txn);
    }
    if (rc) {
        mdb_env_close(made.env);
        return rc;
    }
    *out_env = made;
    return ERR_OK;
}

static int put_first_records(MDB_txn *txn, MDB_dbi meta,
                             const struct format_identity *identity, struct err *err)
{
    struct buf value = {0};
    format_identity_encode(&value, identity);
    int rc = put_record(txn, meta, SLICE_LITERAL("id"), &value, err);
    buf_clear(&value);
    if (!rc) {
        format_state_encode(&value, &(struct format_state){.next_seq = 1});
        rc = put_record(txn, meta, SLICE_LITERAL("state"), &value, err);
    }
    buf_free(&value);
    return rc;
}

static int fill_env(const struct building_env *made,
                    const struct format_identity *identity, struct err *err)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(made->env, NULL, 0, &txn);
    if (rc) {
        return store_error(err, rc, "cannot begin the first transaction");
    }
    rc = put_first_records(txn, made->dbi[BUILDING_META], identity, err);
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    rc = mdb_txn_commit(txn);
    if (!rc) {
        rc = mdb_env_sync(made->env, 1);
    }
    return rc ? store_error(err, rc, "cannot commit the first records") : ERR_OK;
}

static int write_sentinel(const char *path, const char *id, int how, struct err *err)
{
    struct buf text = {0};
    format_sentinel_encode(&text, id);
    if (text.failed) {
        buf_free(&text);
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | how, 0600);
    if (fd < 0) {
        int failed = errno;
        buf_free(&text);
        return err_set_errno(err, ERR_IO, failed, "cannot create %s", path);
    }
    ssize_t put = store_pwrite(fd, text.data, text.len, 0);
    int failed = put == (ssize_t)text.len ? 0 : put < 0 ? errno : ENOSPC;
    buf_free(&text);
    if (close(fd) && !failed) {
        failed = errno;
    }
    return failed ? err_set_errno(err, ERR_IO, failed, "cannot write %s", path) : ERR_OK;
}

int store_draw_identity(struct format_identity *identity, struct err *err)
{
    struct timespec now;
    if (getrandom(identity->id, sizeof identity->id, 0) != (ssize_t)sizeof identity->id) {
        return err_set_errno(err, ERR_IO, errno, "cannot draw the journal's id");
    }
    clock_gettime(CLOCK_REALTIME, &now);
    identity->created_at_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    return ERR_OK;
}

static int sync_within(const char *directory, const char *name, struct err *err)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s", directory, name);
    int rc = buf_text(&path) ? sync_path(buf_text(&path), O_RDONLY, err)
                             : err_set(err, ERR_NOMEM, 0, "out of memory");
    buf_free(&path);
    return rc;
}

int building_seal(const struct building *building, const char *id, struct err *err)
{
    const char *directory = building->temporary;
    struct buf path = {0};
    buf_printf(&path, "%s/journal.id", directory);
    int rc = buf_text(&path) ? write_sentinel(buf_text(&path), id, O_EXCL, err)
                             : err_set(err, ERR_NOMEM, 0, "out of memory");
    buf_free(&path);
    rc = rc ? rc : sync_within(directory, "journal.id", err);
    rc = rc ? rc : sync_within(directory, "data.mdb", err);
    return rc ? rc : sync_path(directory, O_RDONLY | O_DIRECTORY, err);
}

int store_replace_sentinel(const char *directory, const char *id, struct err *err)
{
    struct buf fresh = {0};
    struct buf path = {0};
    buf_printf(&fresh, "%s/journal.id.new", directory);
    buf_printf(&path, "%s/journal.id", directory);
    int rc = buf_text(&fresh) && buf_text(&path)
                 ? write_sentinel(fresh.data, id, O_TRUNC, err)
                 : err_set(err, ERR_NOMEM, 0, "out of memory");
    rc = rc ? rc : sync_path(fresh.data, O_RDONLY, err);
    if (!rc && rename(fresh.data, path.data)) {
        rc = err_set_errno(err, ERR_IO, errno, "cannot replace %s", path.data);
    }
    buf_free(&fresh);
    buf_free(&path);
    return rc ? rc : sync_path(directory, O_RDONLY | O_DIRECTORY, err);
}

/* Removes a temporary directory and the files that creation puts there. */
static void discard(int parent_fd, const char *name)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "journal.id"};
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)unlinkat(fd, files[i], 0);
    }
    (void)close(fd);
    (void)unlinkat(parent_fd, name, AT_REMOVEDIR);
}

static bool is_left_over(int parent_fd, const char *name, struct slice base)
{
    struct slice entry = slice_text(name);
    size_t mark_len = sizeof temporary_mark - 1;
    if (entry.len != base.len + mark_len + 6 ||
        memcmp(entry.data, base.data, base.len) != 0 ||
        memcmp(entry.data + base.len, temporary_mark, mark_len) != 0) {
        return false;
    }
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool abandoned = flock(fd, LOCK_EX | LOCK_NB) == 0;
    (void)close(fd);
    return abandoned;
}

static void remove_left_overs(const char *parent, struct slice base)
{
    DIR *dir = opendir(parent);
    if (!dir) {
        return;
    }
    struct dirent *item;
    while ((item = readdir(dir)) != NULL) {
        if (is_left_over(dirfd(dir), item->d_name, base)) {
            discard(dirfd(dir), item->d_name);
        }
    }
    (void)closedir(dir);
}

/* ---- The directory beside its place ----------------------------------------------- */

/* Splits the path; removes what a crashed one left. */
static int prepare(const char *path, struct building *building, struct err *err)
{
    struct slice place = slice_text(path);
    while (place.len > 1 && place.data[place.len - 1] == '/') {
        place.len--;
    }
    const char *slash = memrchr(place.data, '/', place.len);
    struct slice base = place;
    struct buf parent = {0};
    struct buf temporary = {0};
    struct buf whole = {0};
    if (slash) {
        base = slice_of(slash + 1, place.len - (size_t)(slash + 1 - place.data));
        buf_append(&parent, path, slash == path ? 1 : (size_t)(slash - path));
    } else {
        buf_append_text(&parent, ".");
    }
    buf_append_slice(&whole, place);
    buf_append_slice(&temporary, place);
    buf_printf(&temporary, "%sXXXXXX", temporary_mark);
    bool made = buf_text(&parent) && buf_text(&temporary) && buf_text(&whole);
    *building = (struct building){
        .path = whole.data, .parent = parent.data, .temporary = temporary.data, .fd = -1};
    if (!made) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    remove_left_overs(building->parent, base);
    return ERR_OK;
}

static void forget(struct building *building)
{
    if (building->fd >= 0) {
        (void)close(building->fd);
    }
    free(building->path);
    free(building->parent);
    free(building->temporary);
    *building = (struct building){.fd = -1};
}

void building_discard(struct building *building)
{
    if (building->fd >= 0) {
        discard(AT_FDCWD, building->temporary);
    }
    forget(building);
}

int building_begin(const char *path, struct building *out_building, struct err *err)
{
    struct building building = {.fd = -1};
    int rc = prepare(path, &building, err);
    if (!rc && !mkdtemp(building.temporary)) {
        rc = err_set_errno(err, ERR_IO, errno, "cannot create %s", building.temporary);
    }
    if (rc) {
        forget(&building);
        return rc;
    }
    building.fd = open(building.temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (building.fd < 0 || flock(building.fd, LOCK_EX | LOCK_NB)) {
        rc = err_set_errno(err, ERR_IO, errno, "cannot lock %s", building.temporary);
        discard(AT_FDCWD, building.temporary);
        forget(&building);
        return rc;
    }
    *out_building = building;
    return ERR_OK;
}

int building_publish(struct building *building, bool *out_taken, struct err *err)
{
    *out_taken = false;
    if (rename(building->temporary, building->path)) {
        int failed = errno;
        *out_taken = failed == ENOTEMPTY || failed == EEXIST;
        return *out_taken ? ERR_OK
                          : err_set_errno(err, ERR_IO, failed,
                                          "cannot give the new journal its name %s (a "
                                          "mount point can't be one: use a directory in "
                                          "it)",
                                          building->path);
    }
    (void)close(building->fd);
    building->fd = -1; /* nothing is left to be discarded */
    return sync_path(building->parent, O_RDONLY | O_DIRECTORY, err);
}

/* ---- A fresh journal --------------------------------------------------------------- */

static int build(const struct building *building, uint64_t map_bytes, struct err *err)
{
    struct format_identity identity = {0};
    struct building_env made;
    char id[JOURNAL_ID_TEXT];
    int rc = store_draw_identity(&identity, err);
    rc = rc ? rc : building_open(building, map_bytes, 0, &made, err);
    if (rc) {
        return rc;
    }
    rc = fill_env(&made, &identity, err);
    mdb_env_close(made.env);
    format_id_text(identity.id, id);
    return rc ? rc : building_seal(building, id, err);
}

int store_create(const char *path, uint64_t map_bytes, struct err *err)
{
    struct building building = {.fd = -1};
    bool taken = false;
    int rc = building_begin(path, &building, err);
    if (rc) {
        return rc;
    }
    rc = build(&building, map_bytes, err);
    rc = rc ? rc : building_publish(&building, &taken, err);
    building_discard(&building);
    return rc;
}
