/* base/err.h: one table of error codes, and the explanation that travels with one.
 *
 * The return code of a function is control flow: 0, or one of the codes below. The
 * struct err beside it is the explanation for a person: one message, the outermost
 * context first. What the caller may do about a code (try again, reject the input,
 * stop) is said once, by its class in ERR_TABLE.
 */
#ifndef HOLDFAST_BASE_ERR_H
#define HOLDFAST_BASE_ERR_H

#include <stdbool.h>

enum err_class {
    ERR_CLASS_NONE,   /* ERR_OK */
    ERR_CLASS_RETRY,  /* the same call may succeed later */
    ERR_CLASS_REJECT, /* the input is at fault; the same call fails again */
    ERR_CLASS_HALT,   /* stop and let a person look */
};

/* clang-format off */
#define ERR_TABLE(X)                                                                     \
    X(ERR_OK,        ERR_CLASS_NONE,   "ok",         "no error")                         \
    X(ERR_INVALID,   ERR_CLASS_REJECT, "invalid",    "invalid argument or input")        \
    X(ERR_TOO_LARGE, ERR_CLASS_REJECT, "too_large",  "larger than its limit")            \
    X(ERR_NOT_FOUND, ERR_CLASS_REJECT, "not_found",  "no such thing")                    \
    X(ERR_KEY_REUSED,ERR_CLASS_REJECT, "key_reused", "idempotency key used with another body") \
    X(ERR_DATA,      ERR_CLASS_REJECT, "data",       "the database refuses a value")     \
    X(ERR_NOMEM,     ERR_CLASS_RETRY,  "no_memory",  "out of memory")                    \
    X(ERR_FULL,      ERR_CLASS_RETRY,  "full",       "the journal is full")              \
    X(ERR_BUSY,      ERR_CLASS_RETRY,  "busy",       "a bounded queue is full")          \
    X(ERR_TIMEOUT,   ERR_CLASS_RETRY,  "timeout",    "no answer in time")                \
    X(ERR_UNKNOWN,   ERR_CLASS_RETRY,  "unknown",    "the outcome of the commit is unknown") \
    X(ERR_TRANSIENT, ERR_CLASS_RETRY,  "transient",  "a passing fault of the database")  \
    X(ERR_RESOURCE,  ERR_CLASS_RETRY,  "resource",   "the database lacks a resource")    \
    X(ERR_MISS,      ERR_CLASS_RETRY,  "miss",       "a statement touched other rows than expected") \
    X(ERR_CLOSED,    ERR_CLASS_RETRY,  "closed",     "shutting down")                    \
    X(ERR_LOCKED,    ERR_CLASS_HALT,   "locked",     "another process owns the journal") \
    X(ERR_IO,        ERR_CLASS_HALT,   "io",         "a write or a sync failed")         \
    X(ERR_CORRUPT,   ERR_CLASS_HALT,   "corrupt",    "stored bytes fail their check")    \
    X(ERR_VERSION,   ERR_CLASS_HALT,   "version",    "written by a newer version")       \
    X(ERR_IDENTITY,  ERR_CLASS_HALT,   "identity",   "journal and ledger do not belong together") \
    X(ERR_GAP,       ERR_CLASS_HALT,   "gap",        "entries that are needed are not retained") \
    X(ERR_SCHEMA,    ERR_CLASS_HALT,   "schema",     "tables, columns or rights are not as configured") \
    X(ERR_DURABILITY,ERR_CLASS_HALT,   "durability", "the database does not keep what it commits") \
    X(ERR_CONFIG,    ERR_CLASS_HALT,   "config",     "the configuration is wrong")       \
    X(ERR_INTERNAL,  ERR_CLASS_HALT,   "internal",   "a fault of the program itself")
/* clang-format on */

enum err_code {
#define X(code, class, name, text) code,
    ERR_TABLE(X)
#undef X
};

enum { ERR_MESSAGE_MAX = 768 };

/* Zero-initialise before use (`struct err err = {0};`). A plain value: copy freely. */
struct err {
    enum err_code code;
    int sys; /* errno, or the database server's error number; 0 where there is none */
    char message[ERR_MESSAGE_MAX];
};

/* Fills *err (NULL is accepted) and returns `code`, so that a failure is one line:
 * `return err_set(err, ERR_INVALID, 0, "...", ...)`. Too long a message is cut. */
int err_set(struct err *err, enum err_code code, int sys, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* As err_set, with ": " and the text of errno value `sys` appended. */
int err_set_errno(struct err *err, enum err_code code, int sys, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The code for a call that failed with errno value `sys`: ERR_NOMEM, ERR_BUSY or ERR_IO
 * where that passes by itself (memory, descriptors, an address in use, a failing disk),
 * so that a supervisor tries again, and `otherwise` where a person has to change
 * something. */
enum err_code err_code_of_errno(int sys, enum err_code otherwise);

/* Puts "context: " before the message that *err holds and returns its code. With NULL the
 * code is not known here: ERR_INTERNAL; so whoever wants the code passes an err. */
int err_wrap(struct err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What the caller may do about `code`. */
enum err_class err_class(enum err_code code);

/* The stable name of a code, for logs, metrics and JSON ("full"); static text. */
const char *err_name(enum err_code code);

/* The sentence that belongs to a code; static text. */
const char *err_text(enum err_code code);

#endif
