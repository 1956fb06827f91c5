#include "engine/client.h"

#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    ANSWER_MAX = 64 << 20,
    CONNECT_TIMEOUT_S = 10,
    REDIRECTS_MAX = 0,
};

struct client {
    CURL *curl;
    char *base; /* "http://localhost", "https://host:port" */
    char *socket_path;
    char *authorization; /* a whole header line, or NULL */
    char *ca;            /* file, or NULL */
    char error[CURL_ERROR_SIZE];
};

static void init_library(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, 0, "no memory for a connection to the engine");
}

static int client_new(const char *base, struct client **out_client, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_library);
    struct client *client = calloc(1, sizeof *client);
    if (!client) {
        return no_memory(err);
    }
    client->curl = curl_easy_init();
    client->base = strdup(base);
    if (!client->curl || !client->base) {
        client_free(client);
        return no_memory(err);
    }
    *out_client = client;
    return ERR_OK;
}

int client_new_socket(const char *socket_path, struct client **out_client,
                      struct err *err)
{
    struct client *client = NULL;
    int code = client_new("http://localhost", &client, err);
    if (code) {
        return code;
    }
    assert(client);
    client->socket_path = strdup(socket_path);
    if (!client->socket_path) {
        client_free(client);
        return no_memory(err);
    }
    *out_client = client;
    return ERR_OK;
}

int client_new_url(const char *url, const char *token, const char *ca,
                   struct client **out_client, struct err *err)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return err_set(err, ERR_INVALID, 0,
                       "'%.200s' is no address of an engine; write "
                       "http://host:port or https://host:port",
                       url);
    }
    struct client *client = NULL;
    int code = client_new(url, &client, err);
    if (code) {
        return code;
    }
    assert(client);
    size_t len = strlen(client->base);
    while (len && client->base[len - 1] == '/') {
        client->base[--len] = '\0';
    }
    if (ca) {
        client->ca = strdup(ca);
        if (!client->ca) {
            client_free(client);
            return no_memory(err);
        }
    }
    if (token) {
        struct buf line = {0};
        buf_printf(&line, "Authorization: Bearer %s", token);
        if (!buf_text(&line)) {
            buf_free(&line);
            client_free(client);
            return no_memory(err);
        }
        client->authorization = line.data;
    }
    *out_client = client;
    return ERR_OK;
}

void client_free(struct client *client)
{
    if (!client) {
        return;
    }
    curl_easy_cleanup(client->curl);
    free(client->base);
    free(client->socket_path);
    free(client->authorization);
    free(client->ca);
    free(client);
}

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    struct buf *body = context;
    return buf_append(body, data, size * count) ? size * count : 0;
}

static bool add_header(struct curl_slist **headers, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*headers, line);
    if (longer) {
        *headers = longer;
    }
    return longer != NULL;
}

/* What curl would add by itself and no engine needs is switched off. */
static bool make_headers(const struct client *client, const char *idempotency_key,
                         struct curl_slist **headers)
{
    struct buf key = {0};
    bool fine = add_header(headers, "Expect:") &&
                add_header(headers, "Content-Type: application/octet-stream");
    if (fine && client->authorization) {
        fine = add_header(headers, client->authorization);
    }
    if (fine && idempotency_key) {
        buf_printf(&key, "Idempotency-Key: %s", idempotency_key);
        fine = buf_text(&key) && add_header(headers, key.data);
    }
    buf_free(&key);
    return fine;
}

static int explain(const struct client *client, CURLcode failure, struct err *err)
{
    const char *place = client->socket_path ? client->socket_path : client->base;
    const char *why = client->error[0] ? client->error : curl_easy_strerror(failure);
    switch ((int)failure) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return err_set(err, ERR_NOT_FOUND, 0, "no engine listens at %s: %s", place, why);
    case CURLE_OPERATION_TIMEDOUT:
        return err_set(err, ERR_TIMEOUT, 0, "no answer from the engine at %s: %s", place,
                       why);
    case CURLE_WRITE_ERROR:
        return err_set(err, ERR_TOO_LARGE, 0,
                       "the engine at %s answers with more than %d bytes", place,
                       ANSWER_MAX);
    case CURLE_OUT_OF_MEMORY:
        return no_memory(err);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return err_set(
            err, ERR_CONFIG, 0,
            "the engine at %s can't be trusted: %s; give the file of those who "
            "signed its certificate with --ca",
            place, why);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return err_set(err, ERR_INVALID, 0, "%s: %s", place, why);
    default:
        return err_set(err, ERR_TRANSIENT, 0, "connection to the engine at %s: %s", place,
                       why);
    }
}

/* A libcurl setter only fails without memory or for options it was built without. */
static CURLcode set_request(struct client *client, const struct client_call *call,
                            const char *url, struct curl_slist *headers)
{
    struct slice body = call->body;
    CURL *curl = client->curl;
    curl_easy_reset(curl);
    CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, url);
    if (!code && client->socket_path) {
        code = curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket_path);
    }
    if (!code && client->ca) {
        code = curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca);
    }
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, client->socket_path ? "" : NULL);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->error);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    if (!code && (body.len || strcmp(call->method, "GET") != 0)) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
        code = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.len ? body.data : "");
    }
    code = code ? code : curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
    return code ? code : curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
}

static int perform(struct client *client, struct client_answer *answer, struct err *err)
{
    long status = 0;
    CURLcode failure = curl_easy_perform(client->curl);
    if (failure) {
        return explain(client, failure, err);
    }
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    answer->status = (int)status;
    return ERR_OK;
}

int client_request(struct client *client, const struct client_call *call,
                   struct client_answer *out_answer, struct err *err)
{
    struct buf url = {0};
    struct curl_slist *headers = NULL;
    struct client_answer answer = {.body = {.max = ANSWER_MAX}};
    int code = ERR_OK;
    client->error[0] = '\0';
    buf_printf(&url, "%s%s", client->base, call->path);
    if (!buf_text(&url) || !make_headers(client, call->idempotency_key, &headers) ||
        set_request(client, call, url.data, headers)) {
        code = no_memory(err);
    } else {
        curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &answer.body);
        curl_easy_setopt(client->curl, CURLOPT_TIMEOUT, (long)call->timeout_s);
        code = perform(client, &answer, err);
        code = code || buf_text(&answer.body) ? code : no_memory(err);
    }
    curl_slist_free_all(headers);
    buf_free(&url);
    if (code) {
        buf_free(&answer.body);
        return code;
    }
    *out_answer = answer;
    return ERR_OK;
}
