/* replay/apply_checked.c: the checked path. Portable SQL, any MariaDB or MySQL.
 *
 * 1. Lock the entities' rows in key order: SELECT ... FOR UPDATE. Whoever else applies
 *    events of the same entities waits here, so that what follows sees a settled state.
 * 2. INSERT the missing entities, with count 0, and lock again: now every key has exactly
 *    one row, whose id and watermark are known. 1062 means that another writer was
 *    quicker: the transaction is tried again.
 * 3. Look the events up by their key: each record is new, a duplicate or a conflict. READ
 *    COMMITTED reads what the predecessor under the entity's lock has committed.
 * 4. Merge into the entities by primary key. Every SET is relative to the row.
 * 5. INSERT the new events.
 * 6. Validate: no entity of this run is without an event.
 *
 * The merge is INSERT ... ON DUPLICATE KEY UPDATE with the id listed, since VALUES(c) has
 * the type of column c: LEAST and GREATEST then compare as the columns do. Literals
 * through a derived table (UPDATE ... JOIN (SELECT ... UNION ALL ...)) would be compared
 * as text, differently in MariaDB and MySQL.
 *
 * What can go wrong: any statement fails (its class says what then), or a gate misses: a
 * statement touched other rows than expected, or warned. Both end in ROLLBACK, which is
 * the caller's.
 */
#include "replay/apply_work.h"

int apply_checked(const struct apply_context *context, struct apply_outcome *out,
                  struct err *err)
{
    struct work at;
    int code = work_start(&at, context, out->fates, err);
    code = code ? code : work_settle(&at, err);
    code = code ? code : work_decide(&at, err);
    code = code ? code : work_merge(&at, err);
    code = code ? code : work_insert_events(&at, err);
    code = code ? code : work_validate(&at, true, err);
    if (code == 0) {
        out->entities_new = at.made;
    }
    work_free(&at);
    return code;
}
