#include "engine/cli_control.h"
#include "engine/http.h"
#include "engine/json.h"

enum { CONTROL_TIMEOUT_S = 120, TEXT_MAX = 300 };

static enum err_code code_of(int status)
{
    switch (status) {
    case 429:
    case 503:
        return ERR_BUSY;
    case 422:
        return ERR_KEY_REUSED;
    case 413:
        return ERR_TOO_LARGE;
    default:
        return status >= 400 && status < 500 ? ERR_INVALID : ERR_INTERNAL;
    }
}

int cli_control_refused(int status, struct slice body, struct err *err)
{
    struct json_value *value = json_parse(body);
    const char *text = json_as_text(json_get(json_get(value, "error"), "message"));
    struct slice said = text ? slice_text(text) : slice_trim(body);
    if (said.len > TEXT_MAX) {
        said.len = TEXT_MAX;
    }
    int code = err_set(err, code_of(status), status, "the engine answers %d: %.*s",
                       status, (int)said.len, said.len ? said.data : "");
    json_value_free(value);
    return code;
}

int cli_control(const struct config *config, const char *method, const char *path,
                struct buf *out_body, struct err *err)
{
    struct buf socket_path = {0};
    struct client *client = NULL;
    struct client_answer answer = {0};
    struct client_call call = {
        .method = method, .path = path, .timeout_s = CONTROL_TIMEOUT_S};
    http_control_path(config->journal.path, &socket_path);
    const char *place = buf_text(&socket_path);
    int code = place ? client_new_socket(place, &client, err)
                     : err_set(err, ERR_NOMEM, 0, "no memory for the socket's path");
    code = code ? code : client_request(client, &call, &answer, err);
    if (!code && answer.status != 200) {
        code = cli_control_refused(answer.status, buf_slice(&answer.body), err);
        buf_free(&answer.body);
    }
    if (!code) {
        *out_body = answer.body;
    }
    client_free(client);
    buf_free(&socket_path);
    return code;
}
