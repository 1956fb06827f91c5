#include "journal/store.h"

#include "journal/store_create.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SMALLEST_FILE = 2 * 4096, OPEN_MAX = 64 };

static const char advice[] = "nothing was changed; keep the directory and see `holdfast "
                             "journal verify` and `journal repair`";

int store_error(struct err *err, int rc, const char *what)
{
    enum err_code code = ERR_IO;
    switch (rc) {
    case MDB_MAP_FULL:
        code = ERR_FULL;
        break;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_BAD_TXN:
    case MDB_NOTFOUND: /* whoever expects it doesn't come here */
    case MDB_INCOMPATIBLE:
        code = ERR_CORRUPT;
        break;
    case MDB_VERSION_MISMATCH:
        code = ERR_VERSION;
        break;
    case MDB_READERS_FULL:
        code = ERR_BUSY;
        break;
    case ENOMEM:
        code = ERR_NOMEM;
        break;
    default:
        break;
    }
    return err_set(err, code, rc > 0 ? rc : 0, "%s: %s", what, mdb_strerror(rc));
}

ssize_t store_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    ssize_t put;
    do {
        put = pwrite(fd, bytes, len, at);
    } while (put < 0 && errno == EINTR);
    return put;
}

/* ---- Open journals of this process ----------------------------------------------- */

/* LMDB's locks are lost for the whole process when one of two handles to the same lock
 * file is closed, so a second handle is refused here. A forked child starts afresh. */
static struct {
    pthread_mutex_t lock;
    pid_t pid;
    struct {
        dev_t device;
        ino_t inode;
        bool used;
    } items[OPEN_MAX];
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t registry_slot(const struct stat *about, bool *out_taken)
{
    size_t slot = OPEN_MAX;
    *out_taken = false;
    for (size_t i = 0; i < OPEN_MAX; i++) {
        if (!registry.items[i].used) {
            slot = i;
        } else if (registry.items[i].device == about->st_dev &&
                   registry.items[i].inode == about->st_ino) {
            *out_taken = true;
        }
    }
    return slot;
}

static int registry_add(struct store *store, struct err *err)
{
    struct stat about;
    if (stat(store->path, &about)) {
        return err_set_errno(err, ERR_IO, errno, "cannot look at %s", store->path);
    }
    bool taken = false;
    pthread_mutex_lock(&registry.lock);
    if (registry.pid != getpid()) {
        memset(registry.items, 0, sizeof registry.items);
        registry.pid = getpid();
    }
    size_t slot = registry_slot(&about, &taken);
    if (!taken && slot < OPEN_MAX) {
        registry.items[slot].used = true;
        registry.items[slot].device = about.st_dev;
        registry.items[slot].inode = about.st_ino;
        store->registered = slot + 1;
    }
    pthread_mutex_unlock(&registry.lock);
    if (taken) {
        return err_set(err, ERR_LOCKED, 0, "%s is open in this process (pid %ld) already",
                       store->path, (long)getpid());
    }
    if (slot == OPEN_MAX) {
        return err_set(err, ERR_LOCKED, 0, "too many journals are open in this process");
    }
    return ERR_OK;
}

static void registry_remove(struct store *store)
{
    if (!store->registered) {
        return;
    }
    pthread_mutex_lock(&registry.lock);
    if (registry.pid == getpid()) {
        registry.items[store->registered - 1].used = false;
    }
    pthread_mutex_unlock(&registry.lock);
    store->registered = 0;
}

/* ---- The directory --------------------------------------------------------------- */

int store_look(const char *path, enum store_place *out_place, struct err *err)
{
    DIR *dir = opendir(path);
    if (!dir && errno == ENOENT) {
        *out_place = STORE_MISSING;
        return ERR_OK;
    }
    if (!dir) {
        return err_set_errno(err, ERR_IO, errno, "cannot open the journal's directory %s",
                             path);
    }
    *out_place = STORE_EMPTY;
    struct dirent *item;
    while ((item = readdir(dir)) != NULL) {
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0) {
            *out_place = STORE_USED;
        }
    }
    (void)closedir(dir);
    return ERR_OK;
}

/* Opens <path>/<name>; -1 with errno. */
static int open_within(const char *path, const char *name, int flags)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return -1;
    }
    int fd = openat(directory, name, flags | O_CLOEXEC, 0600);
    int failed = errno;
    (void)close(directory);
    errno = failed;
    return fd;
}

static int read_sentinel(struct store *store, struct err *err)
{
    int fd = open_within(store->path, "journal.id", O_RDONLY);
    if (fd < 0 && errno == ENOENT) {
        int data = open_within(store->path, "data.mdb", O_RDONLY);
        if (data < 0) {
            return err_set(
                err, ERR_NOT_FOUND, 0,
                "%s holds other files and no journal: name a directory that is "
                "empty or doesn't exist yet",
                store->path);
        }
        (void)close(data);
        return err_set(err, ERR_CORRUPT, 0,
                       "%s/journal.id is missing beside data.mdb; %s", store->path,
                       advice);
    }
    if (fd < 0) {
        return err_set_errno(err, ERR_IO, errno, "cannot open %s/journal.id",
                             store->path);
    }
    char text[256];
    ssize_t len = read(fd, text, sizeof text);
    int failed = errno;
    (void)close(fd);
    if (len < 0) {
        return err_set_errno(err, ERR_IO, failed, "cannot read %s/journal.id",
                             store->path);
    }
    int rc = format_sentinel_decode(slice_of(text, (size_t)len), store->id, err);
    if (rc) {
        err_wrap(err, "%s", store->path);
    }
    return rc;
}

static int file_length(const struct store *store, uint64_t *out_len, struct err *err)
{
    int fd = open_within(store->path, "data.mdb", O_RDONLY);
    if (fd < 0 && errno == ENOENT) {
        return err_set(err, ERR_CORRUPT, 0,
                       "%s/data.mdb is missing, though journal.id says that journal %s "
                       "was here; put the file back; %s",
                       store->path, store->id, advice);
    }
    struct stat about;
    if (fd < 0 || fstat(fd, &about)) {
        int failed = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return err_set_errno(err, ERR_IO, failed, "cannot open %s/data.mdb", store->path);
    }
    (void)close(fd);
    *out_len = (uint64_t)about.st_size;
    return ERR_OK;
}

static int check_not_emptied(const struct store *store, struct err *err)
{
    uint64_t len = 0;
    int rc = file_length(store, &len, err);
    if (!rc && len < SMALLEST_FILE) {
        rc = err_set(err, ERR_CORRUPT, 0,
                     "%s/data.mdb has only %llu bytes: it was emptied or cut off, it is "
                     "no fresh journal; %s",
                     store->path, (unsigned long long)len, advice);
    }
    return rc;
}

/* LMDB divides by the page size that a meta page names (behind the page's header, magic,
 * version, address and map size) and believes it. Where the magic is wrong, it says so
 * itself. */
static int check_page_size(const struct store *store, struct err *err)
{
    enum {
        MAGIC_AT = 8 + sizeof(void *),
        SIZE_AT = MAGIC_AT + 8 + 2 * sizeof(void *),
        LEAST = 512,
        MOST = 1 << 16
    };
    static const uint32_t right_magic = 0xBEEFC0DE;
    uint8_t meta[SIZE_AT + sizeof(uint32_t)];
    uint32_t magic = 0;
    uint32_t size = 0;
    int fd = open_within(store->path, "data.mdb", O_RDONLY);
    ssize_t len = fd < 0 ? -1 : pread(fd, meta, sizeof meta, 0);
    int failed = errno;
    if (fd >= 0 && close(fd)) {
        failed = errno;
        len = -1;
    }
    if (len != (ssize_t)sizeof meta) {
        return err_set_errno(err, ERR_IO, failed, "cannot read %s/data.mdb", store->path);
    }
    memcpy(&magic, meta + MAGIC_AT, sizeof magic);
    memcpy(&size, meta + SIZE_AT, sizeof size);
    if (magic == right_magic && (size < LEAST || size > MOST || (size & (size - 1)))) {
        return err_set(
            err, ERR_CORRUPT, 0,
            "%s/data.mdb is damaged: its first page names a page size of %u; %s",
            store->path, size, advice);
    }
    return ERR_OK;
}

/* Before any page beyond the two meta pages is touched: LMDB would fault on them. */
static int check_not_truncated(const struct store *store, struct err *err)
{
    uint64_t len = 0;
    int rc = file_length(store, &len, err);
    if (!rc && len < store_end_bytes(store)) {
        rc = err_set(err, ERR_CORRUPT, 0,
                     "%s/data.mdb was cut off: it has %llu bytes of %llu; %s",
                     store->path, (unsigned long long)len,
                     (unsigned long long)store_end_bytes(store), advice);
    }
    return rc;
}

static int take_writer_lock(struct store *store, struct err *err)
{
    store->lock_fd = open_within(store->path, "writer.lock", O_RDWR | O_CREAT);
    if (store->lock_fd < 0) {
        return err_set_errno(err, ERR_IO, errno, "cannot open %s/writer.lock",
                             store->path);
    }
    char text[32] = "";
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB)) {
        int failed = errno;
        if (failed != EWOULDBLOCK) {
            return err_set_errno(err, ERR_IO, failed, "cannot lock %s", store->path);
        }
        ssize_t len = pread(store->lock_fd, text, sizeof text - 1, 0);
        long pid = len > 0 ? strtol(text, NULL, 10) : 0;
        return err_set(err, ERR_LOCKED, 0,
                       "%s is being written by the process with pid %ld: ask it, or stop "
                       "it first",
                       store->path, pid);
    }
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(store->lock_fd, 0) ||
        store_pwrite(store->lock_fd, text, (size_t)len, 0) != len) {
        return err_set_errno(err, ERR_IO, errno, "cannot write %s/writer.lock",
                             store->path);
    }
    return ERR_OK;
}

int store_lock(const char *path, int *out_fd, struct err *err)
{
    struct store store = {.path = strdup(path), .lock_fd = -1};
    int rc = store.path ? take_writer_lock(&store, err)
                        : err_set(err, ERR_NOMEM, 0, "out of memory");
    free(store.path);
    if (rc && store.lock_fd >= 0) {
        (void)close(store.lock_fd);
    }
    if (!rc) {
        *out_fd = store.lock_fd;
    }
    return rc;
}

int store_sentinel_id(const char *path, char out_id[JOURNAL_ID_TEXT], struct err *err)
{
    struct store store = {.path = strdup(path)};
    int rc = store.path ? read_sentinel(&store, err)
                        : err_set(err, ERR_NOMEM, 0, "out of memory");
    free(store.path);
    if (!rc) {
        memcpy(out_id, store.id, JOURNAL_ID_TEXT);
    }
    return rc;
}

/* LMDB's table of readers is a file with a hole, written through a map: a reader who
 * comes to a page of it that the disk has no room for would be ended by a signal. So it
 * gets its room while there is some, before LMDB opens it: whoever closes such a file
 * loses LMDB's locks of it. */
static int secure_readers(const struct store *store, struct err *err)
{
    enum { TABLE_BYTES = 8192 };
    int fd = open_within(store->path, "lock.mdb", O_RDWR | O_CREAT);
    if (fd < 0) {
        return err_set_errno(err, ERR_IO, errno, "cannot open %s/lock.mdb", store->path);
    }
    bool has_none = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, TABLE_BYTES) &&
                    (errno == ENOSPC || errno == EDQUOT);
    bool is_new = lseek(fd, 0, SEEK_END) <= 0;
    (void)close(fd);
    /* An older one has its first places at least. */
    return has_none && is_new
               ? err_set_errno(err, ERR_IO, ENOSPC,
                               "the disk has no room for %s/lock.mdb: free some",
                               store->path)
               : ERR_OK;
}

/* ---- The environment ------------------------------------------------------------- */

/* Only what isn't there, though it must be, is damage. */
static int lacks(const struct store *store, const char *what, int rc, struct err *err)
{
    int code = store_error(err, rc, what);
    if (code == ERR_CORRUPT) {
        return err_set(err, code, 0, "%s: %s: %s; %s", store->path, what,
                       mdb_strerror(rc), advice);
    }
    err_wrap(err, "%s", store->path);
    return code;
}

static int open_databases(struct store *store, MDB_txn *txn, struct err *err)
{
    struct {
        const char *name;
        unsigned flags;
        MDB_dbi *dbi;
    } databases[] = {{"meta", 0, &store->meta},
                     {"entries", MDB_INTEGERKEY, &store->entries},
                     {"receipts", 0, &store->receipts},
                     {"deadletter", 0, &store->dead}};
    for (size_t i = 0; i < sizeof databases / sizeof *databases; i++) {
        int rc =
            mdb_dbi_open(txn, databases[i].name, databases[i].flags, databases[i].dbi);
        if (rc) {
            char what[32];
            (void)snprintf(what, sizeof what, "database \"%s\"", databases[i].name);
            return lacks(store, what, rc, err);
        }
    }
    return ERR_OK;
}

/* `journal adopt` commits the new id first: a crash before journal.id has followed leaves
 * the id there that the records know as the one before. */
static bool was_adopted_from(const struct store *store, MDB_txn *txn)
{
    static const char name[] = {FORMAT_SETTING_TAG};
    char text[sizeof name + sizeof FORMAT_ADOPTED_FROM];
    memcpy(text, name, sizeof name);
    memcpy(text + sizeof name, FORMAT_ADOPTED_FROM, sizeof FORMAT_ADOPTED_FROM);
    MDB_val key = store_val(slice_text(text));
    MDB_val value;
    return !mdb_get(txn, store->meta, &key, &value) &&
           slice_is(store_slice(value), store->id);
}

static int check_identity(struct store *store, MDB_txn *txn, struct err *err)
{
    MDB_val key = store_val(SLICE_LITERAL("id"));
    MDB_val value;
    int rc = mdb_get(txn, store->meta, &key, &value);
    if (rc) {
        return lacks(store, "no identity record", rc, err);
    }
    struct format_identity identity;
    rc = format_identity_decode(store_slice(value), &identity, err);
    if (rc) {
        err_wrap(err, "%s", store->path);
        return rc;
    }
    char id[JOURNAL_ID_TEXT];
    format_id_text(identity.id, id);
    bool same = strcmp(id, store->id) == 0;
    store->sentinel_late = !same && was_adopted_from(store, txn);
    if (store->sentinel_late) {
        memcpy(store->id, id, sizeof id);
    } else if (!same) {
        return err_set(err, ERR_CORRUPT, 0,
                       "%s: data.mdb is of journal %s, journal.id names %s: files of two "
                       "journals were mixed; put the right data.mdb back",
                       store->path, id, store->id);
    }
    return ERR_OK;
}

static int open_env(struct store *store, uint64_t map_bytes, unsigned flags,
                    struct err *err)
{
    int rc = store_env_new(map_bytes, &store->env, err);
    if (rc) {
        return rc;
    }
    rc = mdb_env_open(store->env, store->path, flags | MDB_NOTLS, 0600);
    if (rc) {
        rc = store_error(err, rc, "cannot open the journal's file");
        err_wrap(err, "%s", store->path);
        return rc;
    }
    MDB_stat about;
    MDB_envinfo info;
    rc = mdb_env_stat(store->env, &about);
    if (!rc) {
        rc = mdb_env_info(store->env, &info);
    }
    if (rc) {
        return store_error(err, rc, "cannot examine the journal's file");
    }
    store->page_size = about.ms_psize;
    store->map_bytes = info.me_mapsize;
    rc = check_not_truncated(store, err);
    if (rc) {
        return rc;
    }
    int cleared = 0;
    rc = mdb_reader_check(store->env, &cleared);
    if (rc) {
        return store_error(err, rc, "cannot clear slots of dead readers");
    }
    MDB_txn *txn = NULL;
    rc = store_read_begin(store, &txn, err);
    if (rc) {
        return rc;
    }
    rc = open_databases(store, txn, err);
    if (!rc) {
        rc = check_identity(store, txn, err);
    }
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    /* An aborted transaction would take the handles with it. */
    rc = mdb_txn_commit(txn);
    return rc ? store_error(err, rc, "cannot keep the database handles") : ERR_OK;
}

static int open_parts(struct store *store, uint64_t map_bytes, bool writer,
                      struct err *err)
{
    int rc = read_sentinel(store, err);
    if (!rc && writer) {
        rc = take_writer_lock(store, err);
    }
    if (!rc) {
        rc = registry_add(store, err);
    }
    if (!rc) {
        rc = check_not_emptied(store, err);
    }
    if (!rc) {
        rc = check_page_size(store, err);
    }
    if (!rc && writer) {
        rc = secure_readers(store, err);
    }
    if (!rc) {
        rc = open_env(store, map_bytes, writer ? 0 : MDB_RDONLY, err);
    }
    if (!rc && writer && store->sentinel_late) {
        rc = store_replace_sentinel(store->path, store->id, err);
        store->sentinel_late = rc != ERR_OK;
    }
    if (!rc) {
        store->data_fd =
            open_within(store->path, "data.mdb", writer ? O_WRONLY : O_RDONLY);
        if (store->data_fd < 0) {
            rc =
                err_set_errno(err, ERR_IO, errno, "cannot open %s/data.mdb", store->path);
        }
    }
    return rc;
}

static int open_store(const char *path, uint64_t map_bytes, bool writer,
                      struct store *out_store, struct err *err)
{
    struct store store = {.lock_fd = -1, .data_fd = -1, .path = strdup(path)};
    memset(out_store, 0, sizeof *out_store);
    if (!store.path) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    int rc = open_parts(&store, map_bytes, writer, err);
    if (rc) {
        store_close(&store);
        return rc;
    }
    *out_store = store;
    return ERR_OK;
}

static int say_missing(const char *path, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, 0,
                   "there is no journal at %s: the engine makes one at its first start, "
                   "where journal.path says",
                   path);
}

int store_open_writer(const char *path, uint64_t map_bytes, bool create,
                      struct store *out_store, struct err *err)
{
    enum store_place place = STORE_MISSING;
    int rc = store_look(path, &place, err);
    if (rc) {
        return rc;
    }
    if (place != STORE_USED && !create) {
        return say_missing(path, err);
    }
    if (place != STORE_USED) {
        rc = store_create(path, map_bytes, err);
    }
    return rc ? rc : open_store(path, map_bytes, true, out_store, err);
}

int store_open_reader(const char *path, struct store *out_store, struct err *err)
{
    enum store_place place = STORE_MISSING;
    int rc = store_look(path, &place, err);
    if (rc) {
        return rc;
    }
    if (place != STORE_USED) {
        return say_missing(path, err);
    }
    return open_store(path, 0, false, out_store, err);
}

void store_close(struct store *store)
{
    if (store->data_fd >= 0) {
        (void)close(store->data_fd);
    }
    if (store->env) {
        mdb_env_close(store->env);
    }
    registry_remove(store);
    if (store->lock_fd >= 0) {
        (void)close(store->lock_fd); /* lets the lock go */
    }
    free(store->path);
    memset(store, 0, sizeof *store);
    store->lock_fd = store->data_fd = -1;
}

int store_read_begin(const struct store *store, MDB_txn **out_txn, struct err *err)
{
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, out_txn);
    return rc ? store_error(err, rc, "cannot begin reading the journal") : ERR_OK;
}

/* ---- Pages ----------------------------------------------------------------------- */

int store_trees(const struct store *store, MDB_txn *txn,
                struct store_tree out_trees[STORE_TREES], struct err *err)
{
    const MDB_dbi databases[STORE_TREES] = {
        [STORE_FREE] = 0,
        [STORE_MAIN] = 1,
        [STORE_META] = store->meta,
        [STORE_ENTRIES] = store->entries,
        [STORE_RECEIPTS] = store->receipts,
        [STORE_DEAD] = store->dead,
    };
    for (size_t i = 0; i < STORE_TREES; i++) {
        MDB_stat about;
        int rc = mdb_stat(txn, databases[i], &about);
        if (rc) {
            return store_error(err, rc, "cannot count the journal's pages");
        }
        out_trees[i] =
            (struct store_tree){.depth = about.ms_depth,
                                .pages = about.ms_branch_pages + about.ms_leaf_pages,
                                .overflow = about.ms_overflow_pages};
    }
    return ERR_OK;
}

size_t store_tree_of(const struct store *store, MDB_dbi dbi)
{
    return dbi == store->meta       ? STORE_META
           : dbi == store->entries  ? STORE_ENTRIES
           : dbi == store->receipts ? STORE_RECEIPTS
                                    : STORE_DEAD;
}

uint64_t store_used_pages(const struct store_tree trees[STORE_TREES])
{
    enum { META_PAGES = 2 };
    uint64_t pages = META_PAGES;
    for (size_t i = 0; i < STORE_TREES; i++) {
        pages += trees[i].pages + trees[i].overflow;
    }
    return pages;
}

/* One line of LMDB's table of readers: process, thread and, while it reads, the
 * transaction whose state it sees. */
static int note_reader(const char *line, void *context)
{
    uint64_t *oldest = context;
    unsigned long long txn = 0;
    if (sscanf(line, "%*d %*x %llu", &txn) == 1 && txn < *oldest) {
        *oldest = txn;
    }
    return 0;
}

/* The list has a record for each transaction that freed pages, by its number. */
static uint64_t count_listed(MDB_cursor *cursor, uint64_t oldest, uint64_t enough,
                             int *out_rc)
{
    uint64_t pages = 0;
    MDB_val key;
    MDB_val value;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    while (!rc && pages < enough) {
        size_t txn = 0;
        size_t count = 0;
        if (key.mv_size != sizeof txn || value.mv_size < sizeof count) {
            rc = MDB_CORRUPTED;
            break;
        }
        memcpy(&txn, key.mv_data, sizeof txn);
        memcpy(&count, value.mv_data, sizeof count);
        if (txn >= oldest) {
            break;
        }
        pages += count;
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    *out_rc = rc == MDB_NOTFOUND ? 0 : rc;
    return pages;
}

int store_usable_pages(const struct store *store, uint64_t enough, uint64_t *out_pages,
                       struct err *err)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (rc == MDB_READERS_FULL) {
        *out_pages = 0; /* it can't be told: none for sure */
        return ERR_OK;
    }
    if (rc) {
        return store_error(err, rc, "cannot look at the list of free pages");
    }
    /* The list can be read only beside the transaction that writes, which sees the same
     * state; what that one has taken since is the caller's to count. */
    uint64_t pages = 0;
    uint64_t oldest = mdb_txn_id(txn);
    int told = mdb_reader_list(store->env, note_reader, &oldest);
    rc = told < 0 ? told : mdb_cursor_open(txn, 0, &cursor);
    if (!rc) {
        pages = count_listed(cursor, oldest, enough, &rc);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    if (rc) {
        return store_error(err, rc, "cannot look at the list of free pages");
    }
    *out_pages = pages;
    return ERR_OK;
}

/* LMDB hands out the place for a value within the page that it will write, behind that
 * page's header, which is as it will be in the file. */
uint64_t store_value_page(const void *value, uint64_t pages)
{
    enum { OVERFLOW_DIRTY = 0x14 };
    struct {
        size_t number;
        uint16_t unused;
        uint16_t flags;
        uint32_t pages;
    } header;
    memcpy(&header, (const uint8_t *)value - sizeof header, sizeof header);
    return header.flags == OVERFLOW_DIRTY && header.pages == pages ? header.number : 0;
}

uint64_t store_end_bytes(const struct store *store)
{
    MDB_envinfo info;
    int rc = mdb_env_info(store->env, &info);
    return rc ? 0 : ((uint64_t)info.me_last_pgno + 1) * store->page_size;
}
