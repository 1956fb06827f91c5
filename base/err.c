#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    enum err_class class;
    const char *name;
    const char *text;
} err_table[] = {
#define X(code, class, name, text) [code] = {class, name, text},
    ERR_TABLE(X)
#undef X
};

__attribute__((format(printf, 4, 0))) static void
explain(struct err *err, enum err_code code, int sys, const char *format, va_list args)
{
    err->code = code;
    err->sys = sys;
    vsnprintf(err->message, sizeof err->message, format, args);
}

int err_set(struct err *err, enum err_code code, int sys, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        explain(err, code, sys, format, args);
        va_end(args);
    }
    return (int)code;
}

int err_set_errno(struct err *err, enum err_code code, int sys, const char *format, ...)
{
    if (!err) {
        return (int)code;
    }
    va_list args;
    va_start(args, format);
    explain(err, code, sys, format, args);
    va_end(args);
    char text[128];
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, ": %s",
             strerror_r(sys, text, sizeof text));
    return (int)code;
}

enum err_code err_code_of_errno(int sys, enum err_code otherwise)
{
    switch (sys) {
    case ENOMEM:
        return ERR_NOMEM;
    case EIO:
        return ERR_IO;
    case EAGAIN:
    case EINTR:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case EADDRINUSE:
    case EADDRNOTAVAIL:
        return ERR_BUSY;
    default:
        return otherwise;
    }
}

int err_wrap(struct err *err, const char *format, ...)
{
    if (!err) {
        return ERR_INTERNAL;
    }
    assert(err->code != ERR_OK);
    char inner[ERR_MESSAGE_MAX];
    memcpy(inner, err->message, sizeof inner);
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, ": %s", inner);
    return (int)err->code;
}

static size_t err_index(enum err_code code)
{
    assert((size_t)code < sizeof err_table / sizeof err_table[0]);
    return (size_t)code;
}

enum err_class err_class(enum err_code code)
{
    return err_table[err_index(code)].class;
}

const char *err_name(enum err_code code)
{
    return err_table[err_index(code)].name;
}

const char *err_text(enum err_code code)
{
    return err_table[err_index(code)].text;
}
