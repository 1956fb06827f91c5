#include "replay/classify.h"

#include <stddef.h>

/* Names are the server's (errmsg), so that the reader can look them up. */
static const struct {
    unsigned number;
    enum err_code code;
} classes[] = {
    {0, ERR_OK},
    {1205, ERR_TRANSIENT}, /* ER_LOCK_WAIT_TIMEOUT: rolled back one statement only */
    {1213, ERR_TRANSIENT}, /* ER_LOCK_DEADLOCK, on Galera also a failed certification */
    {1040, ERR_TRANSIENT}, /* ER_CON_COUNT_ERROR */
    {1047, ERR_TRANSIENT}, /* ER_UNKNOWN_COM_ERROR: a Galera node without a majority */
    {1053, ERR_TRANSIENT}, /* ER_SERVER_SHUTDOWN */
    {1062, ERR_TRANSIENT}, /* ER_DUP_ENTRY: another writer was quicker */
    {1020, ERR_TRANSIENT}, /* ER_CHECKREAD */
    {1203, ERR_TRANSIENT}, /* ER_TOO_MANY_USER_CONNECTIONS */
    {1226, ERR_TRANSIENT}, /* ER_USER_LIMIT_REACHED */
    {1290, ERR_TRANSIENT}, /* ER_OPTION_PREVENTS_STATEMENT: read-only after a failover */
    {1317, ERR_TRANSIENT}, /* ER_QUERY_INTERRUPTED */
    {1412, ERR_TRANSIENT}, /* ER_TABLE_DEF_CHANGED */
    {1836, ERR_TRANSIENT}, /* ER_READ_ONLY_MODE */
    {1467, ERR_TRANSIENT}, /* ER_AUTOINC_READ_FAILED: as 1205, for the next id; used up
                            * are ids with 167 */
    {2002, ERR_TRANSIENT}, /* CR_CONNECTION_ERROR */
    {2003, ERR_TRANSIENT}, /* CR_CONN_HOST_ERROR */
    {4031, ERR_TRANSIENT}, /* ER_CLIENT_INTERACTION_TIMEOUT */
    {2006, ERR_UNKNOWN},   /* CR_SERVER_GONE_ERROR */
    {2013, ERR_UNKNOWN},   /* CR_SERVER_LOST, also a time-out */
    {1927, ERR_UNKNOWN},   /* MariaDB's ER_CONNECTION_KILLED: as 2013, but it says so */
    {1406, ERR_DATA},      /* ER_DATA_TOO_LONG */
    {1366, ERR_DATA},      /* ER_TRUNCATED_WRONG_VALUE_FOR_FIELD */
    {1264, ERR_DATA},      /* ER_WARN_DATA_OUT_OF_RANGE */
    {1292, ERR_DATA},      /* ER_TRUNCATED_WRONG_VALUE */
    {1048, ERR_DATA},      /* ER_BAD_NULL_ERROR */
    {1114, ERR_RESOURCE},  /* ER_RECORD_FILE_FULL */
    {1021, ERR_RESOURCE},  /* ER_DISK_FULL */
    {1153, ERR_RESOURCE},  /* ER_NET_PACKET_TOO_LARGE */
    {2008, ERR_RESOURCE},  /* CR_OUT_OF_MEMORY: ours */
    {1037, ERR_RESOURCE},  /* ER_OUTOFMEMORY: the server's */
    {1041, ERR_RESOURCE},  /* ER_OUT_OF_RESOURCES */
};

enum err_code classify_server_error(unsigned number)
{
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (classes[i].number == number) {
            return classes[i].code;
        }
    }
    /* Unknown errors stop the lane: a person looks, and no record is given up. */
    return ERR_SCHEMA;
}
