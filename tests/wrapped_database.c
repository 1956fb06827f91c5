/* Linked into a program that lets calls fail, beside tests/wrapped_calls.c: the calls of
 * its own objects to the database's client library. A statement fails as the server
 * would say it, by a SIGNAL in its place, or for want of a connection, before it is sent
 * or after it was done: the error that is asked for says which.
 */
#include "tests/faults/preload_control.h"

#include <errmsg.h>
#include <errno.h>
#include <mysql.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* What the library says of its last call. */
static void say(MYSQL *handle, int number)
{
    handle->net.last_errno = (unsigned)number;
    (void)snprintf(handle->net.last_error, sizeof handle->net.last_error,
                   "made to fail, with %d", number);
}

static void cut(MYSQL *handle)
{
    (void)shutdown(mysql_get_socket(handle), SHUT_RDWR);
}

/* The linker's names. NOLINTBEGIN(*-identifier-naming, *-reserved-identifier) */
#define WRAP_(type, name, parameters, arguments, kind, failed)                           \
    type __real_##name parameters;                                                       \
    type __wrap_##name parameters;                                                       \
    type __wrap_##name parameters                                                        \
    {                                                                                    \
        return control_fails(kind) ? (failed) : __real_##name arguments;                 \
    }

WRAP_(int, vasprintf, (char **out_text, const char *format, va_list arguments),
      (out_text, format, arguments), CONTROL_MEMORY, -1)
WRAP_(int, mysql_server_init, (int argc, char **argv, char **groups),
      (argc, argv, groups), CONTROL_CLIENT, 1)
WRAP_(MYSQL *, mysql_init, (MYSQL * handle), (handle), CONTROL_CLIENT, NULL)
WRAP_(int, mysql_options, (MYSQL * handle, enum mysql_option option, const void *value),
      (handle, option, value), CONTROL_CLIENT, 1)

/* Eight parameters, as the library has it; all but the handle are passed on.
 * NOLINTBEGIN(readability-function-size) */
#define LOGIN_                                                                           \
    (MYSQL * handle, const char *host, const char *user, const char *password,           \
     const char *name, unsigned port, const char *socket, unsigned long flags)
MYSQL *__real_mysql_real_connect LOGIN_;
MYSQL *__wrap_mysql_real_connect LOGIN_;
MYSQL *__wrap_mysql_real_connect LOGIN_
{
    if (control_fails(CONTROL_CLIENT)) {
        say(handle, errno);
        return NULL;
    }
    MYSQL *connected = __real_mysql_real_connect(handle, host, user, password, name, port,
                                                 socket, flags);
    if (connected && control_fails(CONTROL_CLIENT)) { /* as where strdup has failed */
        free(handle->server_version);
        handle->server_version = NULL;
    }
    return connected;
}
/* NOLINTEND(readability-function-size) */

int __real_mysql_real_query(MYSQL *handle, const char *sql, unsigned long len);
int __wrap_mysql_real_query(MYSQL *handle, const char *sql, unsigned long len);
int __wrap_mysql_real_query(MYSQL *handle, const char *sql, unsigned long len)
{
    char signal[128];
    if (!control_fails(CONTROL_QUERY)) {
        return __real_mysql_real_query(handle, sql, len);
    }
    int number = errno;
    if (number == CR_SERVER_GONE_ERROR) {
        cut(handle);
        return __real_mysql_real_query(handle, sql, len);
    }
    if (number == CR_SERVER_LOST) { /* its answer is */
        if (!__real_mysql_real_query(handle, sql, len) && mysql_field_count(handle)) {
            mysql_free_result(mysql_use_result(handle));
        }
        cut(handle);
        say(handle, number);
        return 1;
    }
    int signal_len = snprintf(signal, sizeof signal,
                              "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = %d, "
                              "MESSAGE_TEXT = 'made to fail'",
                              number);
    return __real_mysql_real_query(handle, signal, (unsigned long)signal_len);
}

#define WRAP_RESULT_(name)                                                               \
    MYSQL_RES *__real_##name(MYSQL *handle);                                             \
    MYSQL_RES *__wrap_##name(MYSQL *handle);                                             \
    MYSQL_RES *__wrap_##name(MYSQL *handle)                                              \
    {                                                                                    \
        bool fails = control_fails(CONTROL_RESULT);                                      \
        int number = errno;                                                              \
        MYSQL_RES *result = __real_##name(handle);                                       \
        if (fails) {                                                                     \
            mysql_free_result(result);                                                   \
            say(handle, number);                                                         \
        }                                                                                \
        return fails ? NULL : result;                                                    \
    }

WRAP_RESULT_(mysql_store_result)
WRAP_RESULT_(mysql_use_result)

/* What was stored can't fail. */
MYSQL_ROW __real_mysql_fetch_row(MYSQL_RES *result);
MYSQL_ROW __wrap_mysql_fetch_row(MYSQL_RES *result);
MYSQL_ROW __wrap_mysql_fetch_row(MYSQL_RES *result)
{
    if (result->handle && control_fails(CONTROL_RESULT)) {
        say(result->handle, errno);
        return NULL;
    }
    return __real_mysql_fetch_row(result);
}
/* NOLINTEND(*-identifier-naming, *-reserved-identifier) */
