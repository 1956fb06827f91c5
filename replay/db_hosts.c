#include "replay/db_hosts.h"

#include <pthread.h>
#include <stdlib.h>

struct db_hosts {
    pthread_mutex_t lock;
    uint64_t generation;
    size_t present;
    size_t count;
    struct db_host list[DB_HOSTS_MAX];
};

static bool parse_port(struct slice text, uint16_t *out_port)
{
    uint32_t port = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || port > UINT16_MAX) {
            return false;
        }
        port = port * 10 + (uint32_t)(text.data[i] - '0');
    }
    if (port == 0 || port > UINT16_MAX) {
        return false;
    }
    *out_port = (uint16_t)port;
    return true;
}

/* "name", "name:port", "[v6]", "[v6]:port"; a bare v6 address is ambiguous. */
static bool parse_host(struct slice text, struct db_host *out_host)
{
    const char *end = NULL;
    struct slice name = text;
    struct slice port = {0};
    if (text.len && text.data[0] == '[') {
        end = memchr(text.data, ']', text.len);
        if (!end) {
            return false;
        }
        name = slice_of(text.data + 1, (size_t)(end - text.data - 1));
        port = slice_of(end + 1, text.len - name.len - 2);
        if (port.len && port.data[0] != ':') {
            return false;
        }
    } else if ((end = memchr(text.data, ':', text.len))) {
        name.len = (size_t)(end - text.data);
        port = slice_of(end, text.len - name.len);
    }
    struct db_host host = {.port = DB_PORT_DEFAULT};
    if (name.len == 0 || name.len > DB_HOST_NAME_MAX ||
        (port.len && !parse_port(slice_of(port.data + 1, port.len - 1), &host.port))) {
        return false;
    }
    memcpy(host.name, name.data, name.len);
    *out_host = host;
    return true;
}

int db_hosts_new(const struct db_config *config, struct db_hosts **out_hosts,
                 struct err *err)
{
    if (!config->socket && config->host_count == 0) {
        return err_set(err, ERR_CONFIG, 0, "database: neither hosts nor a socket");
    }
    if (config->host_count > DB_HOSTS_MAX) {
        return err_set(err, ERR_CONFIG, 0, "database.hosts: %zu hosts, at most %d",
                       config->host_count, DB_HOSTS_MAX);
    }
    struct db_hosts *hosts = calloc(1, sizeof *hosts);
    if (!hosts) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the list of hosts");
    }
    hosts->count = config->socket ? 0 : config->host_count;
    for (size_t i = 0; i < hosts->count; i++) {
        if (!parse_host(slice_text(config->hosts[i]), &hosts->list[i])) {
            free(hosts);
            return err_set(err, ERR_CONFIG, 0,
                           "database.hosts: can't read '%s'; write host:port or "
                           "[v6 address]:port",
                           config->hosts[i]);
        }
    }
    if (pthread_mutex_init(&hosts->lock, NULL)) {
        free(hosts);
        return err_set(err, ERR_NOMEM, 0, "no memory for a mutex");
    }
    *out_hosts = hosts;
    return 0;
}

void db_hosts_free(struct db_hosts *hosts)
{
    if (hosts) {
        pthread_mutex_destroy(&hosts->lock);
        free(hosts);
    }
}

struct db_host db_hosts_present(struct db_hosts *hosts)
{
    struct db_host host = {0};
    pthread_mutex_lock(&hosts->lock);
    if (hosts->count) {
        host = hosts->list[hosts->present];
    }
    host.generation = hosts->generation;
    pthread_mutex_unlock(&hosts->lock);
    return host;
}

bool db_hosts_is_present(struct db_hosts *hosts, uint64_t generation)
{
    pthread_mutex_lock(&hosts->lock);
    bool present = hosts->generation == generation;
    pthread_mutex_unlock(&hosts->lock);
    return present;
}

void db_hosts_move_on(struct db_hosts *hosts, uint64_t generation)
{
    pthread_mutex_lock(&hosts->lock);
    if (hosts->count > 1 && hosts->generation == generation) {
        hosts->present = (hosts->present + 1) % hosts->count;
        hosts->generation++;
    }
    pthread_mutex_unlock(&hosts->lock);
}
