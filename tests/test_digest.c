/* Digests, and the tokens that are known by theirs. */
#include "engine/digest.h"
#include "engine/tokens.h"
#include "tests/world.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <unistd.h>

static void expect_sha256(struct slice bytes, const char *wanted)
{
    uint8_t digest[DIGEST_LEN];
    char hex[2 * DIGEST_LEN + 1];
    digest_sha256(bytes, digest);
    for (size_t i = 0; i < DIGEST_LEN; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    cr_expect_str_eq(hex, wanted);
}

/* FIPS 180-4's examples, and the empty text. */
Test(digest, sha256)
{
    expect_sha256(slice_of(NULL, 0),
                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect_sha256(SLICE_LITERAL("abc"),
                  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_sha256(
        SLICE_LITERAL("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

Test(digest, equal_only_where_all_bytes_are)
{
    uint8_t a[DIGEST_LEN];
    uint8_t b[DIGEST_LEN];
    digest_sha256(SLICE_LITERAL("abc"), a);
    memcpy(b, a, sizeof b);
    cr_assert(digest_equal(a, b));
    for (size_t bit = 0; bit < 8 * sizeof a; bit++) {
        b[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        cr_expect_not(digest_equal(a, b), "bit %zu", bit);
        b[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

/* The sum is stored in receipts: it must never change. */
Test(digest, body_sum_is_stable)
{
    static const uint8_t of_nothing[DIGEST_BODY_LEN] = {
        0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8,
        0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f};
    uint8_t sum[DIGEST_BODY_LEN];
    uint8_t other[DIGEST_BODY_LEN];
    digest_body(slice_of("", 0), sum);
    cr_assert_arr_eq(sum, of_nothing, sizeof sum);
    digest_body(SLICE_LITERAL("a"), sum);
    digest_body(SLICE_LITERAL("b"), other);
    cr_assert_arr_neq(sum, other, sizeof sum);
}

/* ---- Tokens ---------------------------------------------------------------------- */

struct fixture {
    char dir[WORLD_PATH_MAX];
    char path[WORLD_PATH_MAX + 8];
    struct tokens *tokens;
};

static void start(struct fixture *f, const char *text)
{
    struct err err = {0};
    world_make_dir(f->dir);
    snprintf(f->path, sizeof f->path, "%s/token", f->dir);
    world_write_file(f->path, text);
    f->tokens = NULL;
    cr_assert_eq(tokens_new(f->path, &f->tokens, &err), ERR_OK, "%s", err.message);
}

static void end(struct fixture *f)
{
    tokens_free(f->tokens);
    world_remove_dir(f->dir);
}

static bool knows(const struct fixture *f, const char *token)
{
    uint8_t scope[DIGEST_BODY_LEN];
    return tokens_check(f->tokens, slice_text(token), scope);
}

Test(tokens, one_a_line)
{
    struct fixture f;
    start(&f, "# mine\nfirst-token\n\n  second-token \r\n#third\nlast");
    cr_expect(knows(&f, "first-token"));
    cr_expect(knows(&f, "second-token"));
    cr_expect(knows(&f, "last"));
    cr_expect_not(knows(&f, ""));
    cr_expect_not(knows(&f, "#third"));
    cr_expect_not(knows(&f, "third"));
    cr_expect_not(knows(&f, "first-toke"));
    cr_expect_not(knows(&f, "first-token2"));
    cr_expect_not(knows(&f, "First-token"));
    cr_expect_not(knows(&f, "first-token\nsecond-token"));
    end(&f);
}

Test(tokens, scopes_tell_tokens_apart)
{
    struct fixture f;
    uint8_t a[DIGEST_BODY_LEN];
    uint8_t b[DIGEST_BODY_LEN];
    start(&f, "one\ntwo\n");
    cr_assert(tokens_check(f.tokens, SLICE_LITERAL("one"), a));
    cr_assert(tokens_check(f.tokens, SLICE_LITERAL("two"), b));
    cr_assert_arr_neq(a, b, sizeof a);
    end(&f);
}

Test(tokens, read_again)
{
    struct fixture f;
    struct err err = {0};
    start(&f, "old\n");
    world_write_file(f.path, "new\n");
    cr_assert(knows(&f, "old"));
    cr_assert_eq(tokens_reload(f.tokens, &err), ERR_OK);
    cr_assert(knows(&f, "new"));
    cr_assert_not(knows(&f, "old"));
    /* a file that is gone or empty leaves the tokens as they were */
    world_write_file(f.path, "# nothing\n\n");
    cr_assert_eq(tokens_reload(f.tokens, &err), ERR_CONFIG);
    cr_assert(knows(&f, "new"));
    cr_assert_eq(unlink(f.path), 0);
    cr_assert_eq(tokens_reload(f.tokens, &err), ERR_CONFIG);
    cr_assert_not_null(strstr(err.message, f.path), "%s", err.message);
    cr_assert(knows(&f, "new"));
    end(&f);
}

/* Cut in two, a long line would make two tokens that nobody chose. */
Test(tokens, a_line_that_is_too_long_is_refused)
{
    struct fixture f;
    struct err err = {0};
    struct buf text = {0};
    start(&f, "old\n");
    for (int i = 0; i < 5000; i++) {
        buf_append_char(&text, 'x');
    }
    world_write_file(f.path, buf_text(&text));
    cr_assert_eq(tokens_reload(f.tokens, &err), ERR_CONFIG);
    cr_assert(knows(&f, "old"));
    buf_free(&text);
    end(&f);
}

Test(tokens, refused_files)
{
    struct tokens *tokens = NULL;
    struct err err = {0};
    cr_assert_eq(tokens_new("/nowhere/token", &tokens, &err), ERR_CONFIG);
    cr_assert_not_null(strstr(err.message, "/nowhere/token"));
    cr_assert_null(tokens);
}
