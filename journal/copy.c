#include "journal/copy.h"

#include "journal/store.h"

static int taken(const char *target, struct err *err)
{
    return err_set(err, ERR_INVALID, 0,
                   "%s exists already and is not empty: name a new directory", target);
}

int copy_begin(const char *target, uint64_t map_bytes, struct copy *out_copy,
               struct err *err)
{
    struct copy copy = {0};
    enum store_place place;
    int rc = store_look(target, &place, err);
    if (!rc && place == STORE_USED) {
        rc = taken(target, err);
    }
    rc = rc ? rc : building_begin(target, &copy.building, err);
    if (rc) {
        return rc;
    }
    rc = building_open(&copy.building, map_bytes, MDB_NOSYNC, &copy.made, err);
    if (rc) {
        copy_end(&copy);
        return rc;
    }
    *out_copy = copy;
    return ERR_OK;
}

int copy_txn(struct copy *copy, MDB_txn **out_txn, struct err *err)
{
    int rc = copy->txn ? 0 : mdb_txn_begin(copy->made.env, NULL, 0, &copy->txn);
    if (rc) {
        copy->txn = NULL;
        return store_error(err, rc, "cannot begin a transaction of the copy");
    }
    *out_txn = copy->txn;
    return ERR_OK;
}

static int commit(struct copy *copy, struct err *err)
{
    int rc = copy->txn ? mdb_txn_commit(copy->txn) : 0;
    copy->txn = NULL;
    copy->bytes = 0;
    copy->puts = 0;
    return rc ? store_error(err, rc, "cannot write the copy") : ERR_OK;
}

static int put(struct copy *copy, enum building_database database, MDB_val key,
               MDB_val value, struct err *err)
{
    enum { BYTES_MAX = 16 << 20, PUTS_MAX = 8192 };
    MDB_txn *txn = NULL;
    int rc = copy_txn(copy, &txn, err);
    if (rc) {
        return rc;
    }
    rc = mdb_put(txn, copy->made.dbi[database], &key, &value, 0);
    if (rc) {
        return store_error(err, rc, "cannot write the copy");
    }
    copy->bytes += key.mv_size + value.mv_size;
    copy->puts++;
    return copy->bytes >= BYTES_MAX || copy->puts >= PUTS_MAX ? commit(copy, err)
                                                              : ERR_OK;
}

int copy_put(struct copy *copy, enum building_database database, struct slice key,
             struct slice value, struct err *err)
{
    return put(copy, database, store_val(key), store_val(value), err);
}

int copy_put_entry(struct copy *copy, uint64_t seq, struct slice value, struct err *err)
{
    return put(copy, BUILDING_ENTRIES, (MDB_val){sizeof seq, &seq}, store_val(value),
               err);
}

int copy_drop_entries(struct copy *copy, struct err *err)
{
    MDB_txn *txn = NULL;
    int rc = copy_txn(copy, &txn, err);
    if (rc) {
        return rc;
    }
    rc = mdb_drop(txn, copy->made.dbi[BUILDING_ENTRIES], 0);
    return rc ? store_error(err, rc, "cannot take entries out of the copy")
              : commit(copy, err);
}

static void close_env(struct copy *copy)
{
    if (copy->txn) {
        mdb_txn_abort(copy->txn);
    }
    if (copy->made.env) {
        mdb_env_close(copy->made.env);
    }
    copy->txn = NULL;
    copy->made.env = NULL;
}

int copy_seal(struct copy *copy, const char *id, struct err *err)
{
    int rc = commit(copy, err);
    if (!rc) {
        int failed = mdb_env_sync(copy->made.env, 1);
        rc = failed ? store_error(err, failed, "cannot sync the copy") : ERR_OK;
    }
    close_env(copy);
    return rc ? rc : building_seal(&copy->building, id, err);
}

int copy_publish(struct copy *copy, struct err *err)
{
    bool occupied = false;
    int rc = building_publish(&copy->building, &occupied, err);
    return !rc && occupied ? taken(copy->building.path, err) : rc;
}

void copy_end(struct copy *copy)
{
    close_env(copy);
    if (copy->building.path) {
        building_discard(&copy->building);
    }
    *copy = (struct copy){.building.fd = -1};
}
