#include "journal/change.h"

struct setting {
    struct slice key;
    struct slice value;
};

enum { NAME_MAX_LEN = 127, VALUE_MAX_LEN = 255 };

static size_t setting_key(char out[NAME_MAX_LEN + 1], const char *name)
{
    struct slice text = slice_text(name);
    out[0] = FORMAT_SETTING_TAG;
    memcpy(out + 1, text.data, text.len);
    return text.len + 1;
}

static int apply_put(struct change *change, struct operation *operation, struct err *err)
{
    const struct setting *setting = operation->context;
    return change_put(change, change->journal->store.meta, setting->key, setting->value,
                      0, err);
}

int journal_setting_put(struct journal *journal, const char *name, const char *value,
                        struct err *err)
{
    char key[NAME_MAX_LEN + 1];
    int rc = handle_check_writable(journal, err);
    if (rc) {
        return rc;
    }
    if (!*name || strlen(name) > NAME_MAX_LEN || strlen(value) > VALUE_MAX_LEN) {
        return err_set(err, ERR_INVALID, 0,
                       "a setting's name has 1 to %d bytes and its value at most %d",
                       NAME_MAX_LEN, VALUE_MAX_LEN);
    }
    struct setting setting = {slice_of(key, setting_key(key, name)), slice_text(value)};
    struct operation operation = {.apply = apply_put, .context = &setting};
    return handle_run(journal, &operation, err);
}

int journal_setting_get(struct journal *journal, const char *name, struct buf *out_value,
                        struct err *err)
{
    char key[NAME_MAX_LEN + 1];
    if (!*name || strlen(name) > NAME_MAX_LEN) {
        return err_set(err, ERR_NOT_FOUND, 0, "there is no setting %s", name);
    }
    MDB_val name_val = store_val(slice_of(key, setting_key(key, name)));
    MDB_val value;
    MDB_txn *txn = NULL;
    int rc = store_read_begin(&journal->store, &txn, err);
    if (rc) {
        return rc;
    }
    int found = mdb_get(txn, journal->store.meta, &name_val, &value);
    if (found == MDB_NOTFOUND) {
        rc = err_set(err, ERR_NOT_FOUND, 0, "the setting %s was never put", name);
    } else if (found) {
        rc = store_error(err, found, "cannot read a setting");
    } else if (!buf_append_slice(out_value, store_slice(value))) {
        rc = err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    mdb_txn_abort(txn);
    return rc;
}
