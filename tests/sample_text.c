/* tests/sample_text.c: see sample_text.h. */
#include "tests/sample_text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>

enum { TIME_TEXT = 96, REPORT_OFFSET_S = 28800 };

struct place {
    const char *country;
    const char *province;
    const char *city;
    const char *continent;
    const char *isp;
    const char *asn;
    const char *longitude;
    const char *latitude;
    bool is_china;
};

/* clang-format off */
static const struct place places[] = {
    {"中国", "广东省", "深圳市", "亚洲", "中国电信", "AS4134", "114.05", "22.54", true},
    {"中国", "北京市", "北京市", "亚洲", "中国联通", "AS4808", "116.4", "39.9", true},
    {"中国", "四川省", "成都市", "亚洲", "中国移动", "AS9808", "104.07", "30.67", true},
    {"中国", "浙江省", "杭州市", "亚洲", "阿里云", "AS37963", "120.16", "30.29", true},
    {"中国", "新疆维吾尔自治区", "乌鲁木齐市", "亚洲", "中国电信", "AS4134", "87.6", "43.8", true},
    {"Brazil", "São Paulo", "São Paulo", "South America", "Claro S.A.", "AS28573", "-46.63", "-23.55", false},
    {"Germany", "Nordrhein-Westfalen", "Köln", "Europe", "NetCologne", "AS8422", "6.96", "50.94", false},
    {"United States", "Virginia", "Ashburn", "North America", "O'Reilly \\\"Net\\\"", "AS14618", "-77.49", "39.04", false},
    {"Россия", "Москва", "Москва", "Europe", "Ростелеком", "AS12389", "37.62", "55.75", false},
    {"Viet Nam", "Hà Nội", "Hà Nội", "Asia", "VNPT \\\\ Corp\\t", "AS45899", "105.85", "21.03", false},
};
static const char *const events[] = {"beacon", "scan", "login", "download", "端口扫描", "ddos"};
static const char *const statuses[] = {"active", "inactive", "cleaned"};

const struct sample_report sample_report[SAMPLE_REPORT_COUNT] = {
    {"65.14.49.254",   "2026-01-08 01:04:26"}, {"149.2.220.143",   "2026-01-08 01:04:27"},
    {"239.150.91.100", "2026-01-08 01:04:28"}, {"227.59.207.111",  "2026-01-08 01:04:29"},
    {"52.166.36.133",  "2026-01-08 01:04:29"}, {"177.32.101.165",  "2026-01-08 01:04:32"},
    {"53.103.193.109", "2026-01-08 01:04:32"}, {"143.123.151.40",  "2026-01-08 01:04:34"},
    {"212.139.121.196","2026-01-08 01:04:34"}, {"35.125.51.121",   "2026-01-08 01:04:34"},
};
/* clang-format on */

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

uint32_t sample_city_count(void)
{
    return COUNT(places);
}

uint32_t sample_event_count(void)
{
    return COUNT(events);
}

uint32_t sample_status_count(void)
{
    return COUNT(statuses);
}

const char *sample_event_name(int event)
{
    return event < 0 ? "" : events[event];
}

const char *sample_city_name(int city)
{
    return city < 0 ? "" : places[city].city;
}

const char *sample_status_name(int status)
{
    return status < 0 ? "" : statuses[status];
}

struct sample_record sample_report_truth(size_t index)
{
    struct tm tm = {0};
    struct in_addr address = {0};
    (void)strptime(sample_report[index].first_seen, "%Y-%m-%d %H:%M:%S", &tm);
    (void)inet_pton(AF_INET, sample_report[index].ip, &address);
    return (struct sample_record){.ip = ntohl(address.s_addr),
                                  .time_s = timegm(&tm) - REPORT_OFFSET_S,
                                  .event = 0,
                                  .city = SAMPLE_NONE,
                                  .status = SAMPLE_NONE};
}

static void ip_text(uint32_t ip, char out[INET_ADDRSTRLEN])
{
    struct in_addr address = {.s_addr = htonl(ip)};
    (void)inet_ntop(AF_INET, &address, out, INET_ADDRSTRLEN);
}

/* Returns false where it is a number, to be written without quotes. */
static bool time_text(const struct sample_text *text, char out[TIME_TEXT])
{
    static const struct {
        char date;
        char between;
        int offset_s; /* of the time as written; -1: the configured zone */
        const char *end;
    } forms[] = {
        {'-', ' ', -1, ""},
        {'/', ' ', -1, ""},
        {'-', 'T', -1, ""},
        {'-', 'T', 0, "Z"},
        {'-', 'T', REPORT_OFFSET_S, "+08:00"},
        {'-', 'T', 0, ".250Z"},
    };
    int64_t utc = text->truth.time_s;
    if (text->time_form >= COUNT(forms)) {
        bool milliseconds = text->time_form > COUNT(forms);
        (void)snprintf(out, TIME_TEXT, "%lld%s", (long long)utc,
                       milliseconds ? "123" : "");
        return false;
    }
    int offset_s = forms[text->time_form].offset_s;
    time_t at = (time_t)(utc + (offset_s < 0 ? text->zone_offset_s : offset_s));
    struct tm tm;
    (void)gmtime_r(&at, &tm);
    char date = forms[text->time_form].date;
    (void)snprintf(out, TIME_TEXT, "%04d%c%02d%c%02d%c%02d:%02d:%02d%s",
                   tm.tm_year + 1900, date, tm.tm_mon + 1, date, tm.tm_mday,
                   forms[text->time_form].between, tm.tm_hour, tm.tm_min, tm.tm_sec,
                   forms[text->time_form].end);
    return true;
}

static const char *bad_ip(uint32_t variant)
{
    static const char *const forms[] = {"300.1.2.3", "1.2.3",     "01.2.3.4",
                                        "1.2.3.4.5", "localhost", "::1"};
    return forms[variant % COUNT(forms)];
}

static void put_ip(struct buf *out, const struct sample_text *text)
{
    char ip[INET_ADDRSTRLEN];
    ip_text(text->truth.ip, ip);
    if (text->truth.fault == SAMPLE_BAD_IP)
        buf_append_text(out, bad_ip(text->variant));
    else if (text->truth.fault == SAMPLE_FULL_WIDTH)
        buf_append_text(out, "１.２.３.４");
    else
        buf_append_text(out, ip);
}

/* The time with its quotes (JSON) or without (CSV). */
static void put_time(struct buf *out, const struct sample_text *text, bool csv)
{
    char written[TIME_TEXT];
    bool quoted = time_text(text, written);
    if (text->truth.fault == SAMPLE_FUTURE || text->truth.fault == SAMPLE_OUT_OF_RANGE) {
        (void)snprintf(written, sizeof written, "%s-03-01 12:00:00",
                       text->truth.fault == SAMPLE_FUTURE ? "2037" : "2040");
        quoted = true;
    }
    if (quoted && !csv)
        buf_printf(out, "\"%s\"", written);
    else
        buf_append_text(out, written);
}

static void put_place(struct buf *out, struct sample_text *text)
{
    const struct place *place = &places[text->place];
    const struct {
        const char *name;
        const char *value;
        const char *quote;
    } fields[] = {
        {"country", place->country, "\""},
        {"province", place->province, "\""},
        {"city", place->city, "\""},
        {"continent", place->continent, "\""},
        {"isp", place->isp, "\""},
        {"asn", place->asn, "\""},
        {"longitude", place->longitude, ""},
        {"latitude", place->latitude, ""},
        {"is_china", place->is_china ? "true" : "false", ""},
    };
    for (unsigned i = 0; i < COUNT(fields); i++) {
        bool absent = text->absent >> i & 1;
        if (i == 2 && !absent)
            text->truth.city = (int8_t)text->place;
        /* Some senders write null for what they don't know. */
        if (absent && text->absent >> 16 & 1)
            buf_printf(out, ", \"%s\": null", fields[i].name);
        else if (!absent)
            buf_printf(out, ", \"%s\": %s%s%s", fields[i].name, fields[i].quote,
                       fields[i].value, fields[i].quote);
    }
}

static void put_fault(struct buf *out, const struct sample_text *text)
{
    switch (text->truth.fault) {
    case SAMPLE_TOO_LONG:
        buf_append_text(out, ", \"country\": \"");
        for (int i = 0; i < 60; i++)
            buf_append_text(out, "国");
        buf_append_text(out, "\"");
        break;
    case SAMPLE_UNKNOWN_ENUM:
        buf_append_text(out, ", \"status\": \"zombie\"");
        break;
    case SAMPLE_NOT_UTF8:
        buf_append_text(out, ", \"isp\": \"\xff\xfe\xc3\"");
        break;
    case SAMPLE_NO_NUMBER:
        buf_append_text(out, ", \"longitude\": \"east\"");
        break;
    default:
        break;
    }
}

static void put_event(struct buf *out, const struct sample_text *text)
{
    if (text->truth.fault == SAMPLE_POISON)
        buf_append_text(
            out, ", \"event_type\": \"poison-that-needs-forty-characters-at-least\"");
    else if (text->truth.event != SAMPLE_NONE)
        buf_printf(out, ", \"event_type\": \"%s\"", events[text->truth.event]);
}

static void append_json(struct buf *out, struct sample_text *text, const char *stream)
{
    if (text->truth.fault == SAMPLE_BROKEN) {
        static const char *const forms[] = {
            "{\"ip\": \"9.9.9.9\" \"timestamp\": \"2026-01-08 01:00:00\"}\n",
            "{\"ip\": \"9.9.9.9\", \"timest\n",
            "{ip: 9.9.9.9, timestamp: 2026-01-08 01:00:00}\n",
        };
        buf_append_text(out, forms[text->variant % COUNT(forms)]);
        return;
    }
    buf_printf(out, "{\"botnet_type\": \"%s\", \"ip\": \"", stream);
    put_ip(out, text);
    buf_append_text(out, "\"");
    if (text->truth.fault != SAMPLE_NO_TIME) {
        buf_append_text(out, ", \"timestamp\": ");
        put_time(out, text, false);
    }
    put_event(out, text);
    bool plain = text->truth.fault == SAMPLE_GOOD;
    if (plain && text->place != SAMPLE_NONE)
        put_place(out, text);
    if (plain && text->truth.status != SAMPLE_NONE)
        buf_printf(out, ", \"status\": \"%s\"", statuses[text->truth.status]);
    put_fault(out, text);
    buf_append_text(out, "}\n");
}

static void append_csv(struct buf *out, struct sample_text *text)
{
    text->truth.city = text->truth.status = SAMPLE_NONE;
    if (text->truth.fault == SAMPLE_BROKEN) {
        buf_append_text(out, "2026-01-08 01:00:00\n");
        return;
    }
    put_time(out, text, true);
    buf_append_text(out, ",");
    put_ip(out, text);
    buf_printf(out, ",%s\n", sample_event_name(text->truth.event));
}

void sample_append(struct buf *out, struct sample_text *text, bool csv,
                   const char *stream)
{
    /* A copy of a record from another kind of body carries what this one can. */
    text->truth.city = SAMPLE_NONE;
    if (csv)
        append_csv(out, text);
    else
        append_json(out, text, stream);
}
