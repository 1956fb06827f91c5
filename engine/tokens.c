#include "engine/tokens.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TOKENS_MAX = 1024, TOKEN_LINE_MAX = 4096 };

struct token_set {
    size_t count;
    uint8_t digests[TOKENS_MAX][DIGEST_LEN];
};

struct tokens {
    char *path;
    pthread_mutex_t lock;
    struct token_set *set;
};

static int read_set(FILE *file, const char *path, struct token_set *set, struct err *err)
{
    char line[TOKEN_LINE_MAX];
    while (fgets(line, sizeof line, file)) {
        size_t len = strlen(line);
        if (len + 1 == sizeof line && line[len - 1] != '\n') {
            explicit_bzero(line, sizeof line);
            return err_set(err, ERR_CONFIG, 0,
                           "intake.token_file %s: a line is longer than %d bytes", path,
                           TOKEN_LINE_MAX - 2);
        }
        struct slice token = slice_trim(slice_of(line, len));
        if (token.len == 0 || token.data[0] == '#') {
            continue;
        }
        if (set->count == TOKENS_MAX) {
            explicit_bzero(line, sizeof line);
            return err_set(err, ERR_CONFIG, 0,
                           "intake.token_file %s: more than %d tokens", path, TOKENS_MAX);
        }
        digest_sha256(token, set->digests[set->count++]);
    }
    explicit_bzero(line, sizeof line);
    if (ferror(file)) {
        return err_set_errno(err, err_code_of_errno(errno, ERR_CONFIG), errno,
                             "intake.token_file %s", path);
    }
    if (set->count == 0) {
        return err_set(err, ERR_CONFIG, 0,
                       "intake.token_file %s: it holds no token; write one a line", path);
    }
    return ERR_OK;
}

static int load(const char *path, struct token_set **out_set, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        return err_set_errno(err, err_code_of_errno(errno, ERR_CONFIG), errno,
                             "intake.token_file %s", path);
    }
    struct token_set *set = calloc(1, sizeof *set);
    int code = set ? read_set(file, path, set, err)
                   : err_set(err, ERR_NOMEM, 0, "no memory for tokens");
    (void)fclose(file); /* it was only read */
    if (code != ERR_OK) {
        free(set);
        return code;
    }
    *out_set = set;
    return ERR_OK;
}

int tokens_new(const char *path, struct tokens **out_tokens, struct err *err)
{
    struct tokens *tokens = calloc(1, sizeof *tokens);
    char *copy = strdup(path);
    if (!tokens || !copy) {
        free(tokens);
        free(copy);
        return err_set(err, ERR_NOMEM, 0, "no memory for tokens");
    }
    if (load(path, &tokens->set, err) != ERR_OK) {
        free(tokens);
        free(copy);
        return err->code;
    }
    tokens->path = copy;
    pthread_mutex_init(&tokens->lock, NULL);
    *out_tokens = tokens;
    return ERR_OK;
}

void tokens_free(struct tokens *tokens)
{
    if (tokens) {
        pthread_mutex_destroy(&tokens->lock);
        free(tokens->set);
        free(tokens->path);
        free(tokens);
    }
}

int tokens_reload(struct tokens *tokens, struct err *err)
{
    struct token_set *set = NULL;
    int code = load(tokens->path, &set, err);
    if (code != ERR_OK) {
        return code;
    }
    pthread_mutex_lock(&tokens->lock);
    struct token_set *old = tokens->set;
    tokens->set = set;
    pthread_mutex_unlock(&tokens->lock);
    free(old);
    return ERR_OK;
}

bool tokens_check(struct tokens *tokens, struct slice token,
                  uint8_t out_scope[DIGEST_BODY_LEN])
{
    uint8_t digest[DIGEST_LEN];
    digest_sha256(token, digest);
    bool known = false;
    pthread_mutex_lock(&tokens->lock);
    for (size_t i = 0; i < tokens->set->count; i++) {
        bool equal = digest_equal(digest, tokens->set->digests[i]);
        known = known | equal;
    }
    pthread_mutex_unlock(&tokens->lock);
    memcpy(out_scope, digest, DIGEST_BODY_LEN);
    return known;
}
