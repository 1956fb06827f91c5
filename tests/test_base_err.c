#include "base/err.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(base_err, is_filled_in_and_returned)
{
    struct err err = {0};
    cr_assert_eq(err_set(&err, ERR_FULL, 7, "%d of %s", 3, "four"), ERR_FULL);
    cr_assert_eq(err.code, ERR_FULL);
    cr_assert_eq(err.sys, 7);
    cr_assert_str_eq(err.message, "3 of four");
    cr_assert_eq(err_set(NULL, ERR_IO, 0, "nobody asks"), ERR_IO);
    cr_assert_eq(err_set_errno(NULL, ERR_IO, EIO, "nobody asks"), ERR_IO);
}

Test(base_err, says_what_errno_means)
{
    struct err err = {0};
    cr_assert_eq(err_set_errno(&err, ERR_IO, ENOSPC, "write %s", "x"), ERR_IO);
    cr_assert_eq(err.sys, ENOSPC);
    cr_assert_str_eq(err.message, "write x: No space left on device");
}

Test(base_err, context_goes_outwards)
{
    struct err err = {0};
    err_set(&err, ERR_DATA, 1406, "too long");
    cr_assert_eq(err_wrap(&err, "column %s", "city"), ERR_DATA);
    cr_assert_eq(err_wrap(&err, "stream mozi"), ERR_DATA);
    cr_assert_str_eq(err.message, "stream mozi: column city: too long");
    cr_assert_eq(err.sys, 1406);
}

Test(base_err, too_long_a_message_is_cut)
{
    struct err err = {0};
    char text[2 * ERR_MESSAGE_MAX];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    err_set(&err, ERR_DATA, 0, "%s", text);
    cr_assert_eq(strlen(err.message), ERR_MESSAGE_MAX - 1);
    err_wrap(&err, "outer");
    cr_assert_eq(strlen(err.message), ERR_MESSAGE_MAX - 1);
    cr_assert_eq(strncmp(err.message, "outer: aaa", 10), 0);
    err_wrap(&err, "%s", text);
    cr_assert_eq(strlen(err.message), ERR_MESSAGE_MAX - 1);
    err_set_errno(&err, ERR_IO, EIO, "%s", text);
    cr_assert_eq(strlen(err.message), ERR_MESSAGE_MAX - 1);
}

/* An error may be wrapped with its own message as an argument. */
Test(base_err, may_quote_itself)
{
    struct err err = {0};
    struct err copy;
    err_set(&err, ERR_DATA, 0, "inner");
    copy = err;
    err_wrap(&err, "again %s", copy.message);
    cr_assert_str_eq(err.message, "again inner: inner");
}

Test(base_err, each_code_has_a_name_a_text_and_a_class)
{
    static const enum err_code codes[] = {
#define X(code, class, name, text) code,
        ERR_TABLE(X)
#undef X
    };
    size_t count = sizeof codes / sizeof codes[0];
    for (size_t i = 0; i < count; i++) {
        cr_assert_gt(strlen(err_text(codes[i])), 5);
        cr_assert_eq(err_class(codes[i]) == ERR_CLASS_NONE, codes[i] == ERR_OK);
        for (size_t j = 0; j < i; j++) {
            cr_assert_str_neq(err_name(codes[i]), err_name(codes[j]));
        }
    }
    cr_assert_eq(ERR_OK, 0);
    cr_assert_str_eq(err_name(ERR_FULL), "full");
    cr_assert_eq(err_class(ERR_FULL), ERR_CLASS_RETRY);
    cr_assert_eq(err_class(ERR_DATA), ERR_CLASS_REJECT);
    cr_assert_eq(err_class(ERR_IO), ERR_CLASS_HALT);
}

/* Not every caller wants the explanation; none may be brought down by its absence. */
Test(base_err, wrapping_without_an_err)
{
    cr_assert_eq(err_wrap(NULL, "outer"), ERR_INTERNAL);
    cr_assert_eq(err_set(NULL, ERR_FULL, 0, "inner"), ERR_FULL);
}

Test(base_err, what_passes_by_itself_is_told_from_what_a_person_must_change)
{
    cr_assert_eq(err_code_of_errno(ENOMEM, ERR_CONFIG), ERR_NOMEM);
    cr_assert_eq(err_code_of_errno(EIO, ERR_CONFIG), ERR_IO);
    cr_assert_eq(err_code_of_errno(EMFILE, ERR_CONFIG), ERR_BUSY);
    cr_assert_eq(err_code_of_errno(EADDRINUSE, ERR_CONFIG), ERR_BUSY);
    cr_assert_eq(err_code_of_errno(EACCES, ERR_CONFIG), ERR_CONFIG);
}
