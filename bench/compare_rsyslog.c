#include "bench/compare.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { QUIET_US = 5000000, POLL_MS = 100, LINE_MAX_BYTES = 4096, START_TRIES = 100 };

static void pause_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

static int connect_input(const char *directory)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(address.sun_path, sizeof address.sun_path, "%s/input", directory);
    if (len < 0 || (size_t)len >= sizeof address.sun_path) {
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static const char daemon_script[] = HOLDFAST_BENCH_SOURCE "/compare/rsyslog.sh";
static const char procedure[] = HOLDFAST_BENCH_SOURCE "/compare/put_record.sql";

/* ---- The daemon ------------------------------------------------------------------- */

int compare_fresh_rsyslog(struct compare *compare, struct err *err)
{
    const char *argv[] = {
        "sh", "-c", "rm -rf \"$1\" && mkdir -m 700 \"$1\"", "sh", compare->directory,
        NULL};
    int code = child_run(argv, compare->output, 60, err);
    struct buf sql = {0};
    FILE *file = fopen(procedure, "re");
    char part[LINE_MAX_BYTES];
    size_t got;
    while (file && (got = fread(part, 1, sizeof part, file)) > 0) {
        buf_append(&sql, part, got);
    }
    if (!file) {
        code = err_set_errno(err, ERR_IO, errno, "%s", procedure);
    } else {
        (void)fclose(file);
    }
    code = code ? code
                : db_execf(compare->db, NULL, err, "DROP PROCEDURE IF EXISTS put_record");
    code = code ? code : db_exec(compare->db, buf_slice(&sql), NULL, err);
    buf_free(&sql);
    return code;
}

int compare_start_rsyslog(struct compare *compare, struct child *out_child,
                          struct err *err)
{
    char input[COMPARE_PATH_MAX + 8];
    (void)snprintf(input, sizeof input, "%s/input", compare->directory);
    (void)unlink(input);
    const char *argv[] = {daemon_script, compare->directory, compare->bench->socket,
                          COMPARE_DATABASE, NULL};
    if (child_start(argv, compare->output, out_child, err) != ERR_OK) {
        return err->code;
    }
    for (int i = 0; i < START_TRIES && !child_ended(out_child); i++) {
        int fd = connect_input(compare->directory);
        if (fd >= 0) {
            (void)close(fd);
            return ERR_OK;
        }
        pause_ms(POLL_MS);
    }
    child_end(out_child, SIGKILL);
    return err_set(err, ERR_IO, 0, "rsyslogd doesn't take connections; see %s",
                   compare->output);
}

/* ---- The sender ------------------------------------------------------------------- */

struct rsyslog_sender {
    const char *directory;
    FILE *lines;
    atomic_uint sent;
    atomic_bool ending;
    pthread_t thread;
};

static bool write_line(int fd, const char *line, size_t len)
{
    while (len) {
        ssize_t written = send(fd, line, len, MSG_NOSIGNAL);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return false;
        }
        line += written;
        len -= (size_t)written;
    }
    return true;
}

/* Until the line is written in full or the end is asked for. */
static void send_line(struct rsyslog_sender *sender, int *fd, const char *line)
{
    while (!atomic_load(&sender->ending)) {
        if (*fd < 0) {
            *fd = connect_input(sender->directory);
        }
        if (*fd < 0) {
            pause_ms(POLL_MS / 10);
            continue;
        }
        if (write_line(*fd, line, strlen(line))) {
            atomic_fetch_add(&sender->sent, 1);
            return;
        }
        (void)close(*fd);
        *fd = -1;
    }
}

static void *send_all(void *context)
{
    struct rsyslog_sender *sender = context;
    char line[LINE_MAX_BYTES];
    int fd = -1;
    while (!atomic_load(&sender->ending) && fgets(line, sizeof line, sender->lines)) {
        send_line(sender, &fd, line);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return NULL;
}

int rsyslog_sender_start(struct compare *compare, const struct sent *sent,
                         struct rsyslog_sender **out_sender, struct err *err)
{
    struct rsyslog_sender *sender = calloc(1, sizeof *sender);
    FILE *lines = fopen(sent->path, "re");
    if (!sender || !lines) {
        free(sender);
        if (lines) {
            (void)fclose(lines);
        }
        return err_set(err, ERR_IO, 0, "%s can't be sent", sent->path);
    }
    sender->directory = compare->directory;
    sender->lines = lines;
    if (pthread_create(&sender->thread, NULL, send_all, sender)) {
        (void)fclose(lines);
        free(sender);
        return err_set(err, ERR_NOMEM, 0, "no thread for the sender");
    }
    *out_sender = sender;
    return ERR_OK;
}

uint32_t rsyslog_sender_sent(const struct rsyslog_sender *sender)
{
    return atomic_load(&sender->sent);
}

void rsyslog_sender_stop(struct rsyslog_sender *sender)
{
    if (!sender) {
        return;
    }
    atomic_store(&sender->ending, true);
    pthread_join(sender->thread, NULL);
    (void)fclose(sender->lines);
    free(sender);
}

/* ---- What has come through --------------------------------------------------------- */

static int count_events(struct compare *compare, uint64_t *out_count, struct err *err)
{
    struct buf sql = {0};
    buf_printf(&sql, "SELECT COUNT(*) FROM `%s`", compare->stream->event.name);
    struct db_rows rows = {0};
    int code = db_query(compare->db, buf_slice(&sql), &rows, err);
    if (code == ERR_OK) {
        *out_count = strtoull(db_cell(&rows, 0, 0).data, NULL, 10);
    }
    db_rows_free(&rows);
    buf_free(&sql);
    return code;
}

int compare_wait_events(struct compare *compare, uint64_t events, int64_t *out_last_us,
                        struct err *err)
{
    uint64_t seen = 0;
    int64_t last_us = clock_steady_us(&clock_system);
    int64_t now_us = last_us;
    while (seen < events && now_us - last_us < QUIET_US) {
        uint64_t count;
        if (count_events(compare, &count, err) != ERR_OK) {
            return err->code;
        }
        now_us = clock_steady_us(&clock_system);
        if (count != seen) {
            seen = count;
            last_us = now_us;
        }
        pause_ms(POLL_MS);
    }
    *out_last_us = last_us;
    return ERR_OK;
}
