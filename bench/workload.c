#include "bench/workload.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

enum { RECENT = 4096 };

struct workload {
    struct workload_config config;
    uint64_t state;
    uint64_t made;
    double *cumulative; /* cumulative[i]: share of records with ip_index <= i */
    struct workload_record recent[RECENT];
};

static const struct workload_place places[] = {
    {"中国", "广东省", "深圳市", "亚洲", "中国电信", "AS4134", 114.05, 22.54, 1},
    {"中国", "北京市", "北京市", "亚洲", "中国联通", "AS4808", 116.4, 39.9, 1},
    {"中国", "浙江省", "杭州市", "亚洲", "阿里云", "AS37963", 120.15, 30.28, 1},
    {"中国", "四川省", "成都市", "亚洲", "中国移动", "AS9808", 104.06, 30.67, 1},
    {"United States", "California", "San Jose", "North America", "Comcast Cable",
     "AS7922", -121.89, 37.33, 0},
    {"Germany", "Hesse", "Frankfurt am Main", "Europe", "Deutsche Telekom AG", "AS3320",
     8.68, 50.11, 0},
    {"Brazil", "São Paulo", "Campinas", "South America", "Vivo", "AS27699", -47.06, -22.9,
     0},
    {"India", "Maharashtra", "Mumbai", "Asia", "Reliance Jio", "AS55836", 72.87, 19.07,
     0},
};
static const char *const event_types[] = {"beacon", "scan", "download", "ddos_command"};

void workload_config_defaults(struct workload_config *config)
{
    *config = (struct workload_config){
        .seed = 1,
        .ips = 300000,
        .seeded = 293037,
        .zipf_exponent = 0.9,
        .duplicate_share = 0.03,
        .moved_share = 0.02,
        .late_share = 0.02,
        .start_s = 1767834266, /* 2026-01-08 01:04:26 UTC */
        .records_per_second = 5,
    };
}

/* splitmix64 (Steele, Lea and Flood, 2014) */
static uint64_t next_random(struct workload *workload)
{
    uint64_t z = workload->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double next_share(struct workload *workload)
{
    return (double)(next_random(workload) >> 11) / 9007199254740992.0;
}

int workload_new(const struct workload_config *config, struct workload **out_workload,
                 struct err *err)
{
    struct workload *workload = calloc(1, sizeof *workload);
    double *cumulative = malloc(config->ips * sizeof *cumulative);
    if (!workload || !cumulative) {
        free(workload);
        free(cumulative);
        return err_set(err, ERR_NOMEM, 0, "workload: out of memory");
    }
    double sum = 0;
    for (uint32_t i = 0; i < config->ips; i++) {
        sum += pow(i + 1.0, -config->zipf_exponent);
        cumulative[i] = sum;
    }
    for (uint32_t i = 0; i < config->ips; i++) {
        cumulative[i] /= sum;
    }
    workload->config = *config;
    workload->state = config->seed;
    workload->cumulative = cumulative;
    *out_workload = workload;
    return ERR_OK;
}

void workload_free(struct workload *workload)
{
    if (workload) {
        free(workload->cumulative);
        free(workload);
    }
}

const struct workload_config *workload_config(const struct workload *workload)
{
    return &workload->config;
}

/* Multiplying by an odd number permutes the 24-bit numbers: distinct, scattered ips. */
uint32_t workload_ip(uint32_t ip_index)
{
    return 0x0b000000u + ((ip_index * 0x9e3779b1u) & 0xffffffu);
}

const struct workload_place *workload_home(const struct workload *workload,
                                           uint32_t ip_index)
{
    (void)workload;
    return &places[(ip_index * 2654435761u >> 16) % (sizeof places / sizeof places[0])];
}

/* Rank r is the r-th most frequent; ranks are scattered over ip_index so that the hot
 * ones don't lie side by side in the table. */
static uint32_t pick_ip_index(struct workload *workload)
{
    double share = next_share(workload);
    uint32_t low = 0;
    uint32_t high = workload->config.ips - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (workload->cumulative[middle] < share) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (uint32_t)((uint64_t)low * 7919u % workload->config.ips);
}

static int64_t now_s(const struct workload *workload)
{
    return workload->config.start_s +
           (int64_t)(workload->made / workload->config.records_per_second);
}

static int64_t pick_time(struct workload *workload)
{
    const struct workload_config *config = &workload->config;
    int64_t now = now_s(workload);
    if (next_share(workload) < config->late_share) {
        now -= (int64_t)(next_random(workload) % 3600);
    }
    return now;
}

/* At home, now. */
static struct workload_record record_of(const struct workload *workload,
                                        uint32_t ip_index)
{
    return (struct workload_record){.ip_index = ip_index,
                                    .ip = workload_ip(ip_index),
                                    .time_s = now_s(workload),
                                    .event_type = event_types[ip_index % 4],
                                    .place = workload_home(workload, ip_index)};
}

void workload_next_of(struct workload *workload, uint32_t ip_index,
                      struct workload_record *out_record)
{
    *out_record = record_of(workload, ip_index);
    workload->recent[workload->made % RECENT] = *out_record;
    workload->made++;
}

void workload_next(struct workload *workload, struct workload_record *out_record)
{
    const struct workload_config *config = &workload->config;
    struct workload_record *slot = &workload->recent[workload->made % RECENT];
    bool filled = workload->made >= RECENT;
    if (filled && next_share(workload) < config->duplicate_share) {
        *out_record = workload->recent[next_random(workload) % RECENT];
        workload->made++;
        return;
    }
    struct workload_record record = record_of(workload, pick_ip_index(workload));
    record.time_s = pick_time(workload);
    if (next_share(workload) < config->moved_share) {
        size_t place = next_random(workload) % (sizeof places / sizeof places[0]);
        record.place = &places[place];
    }
    *slot = record;
    workload->made++;
    *out_record = record;
}

void workload_append_json(struct buf *out, const struct workload_record *record)
{
    const struct workload_place *place = record->place;
    time_t seconds = (time_t)record->time_s;
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc);
    buf_printf(out,
               "{\"botnet_type\":\"mozi\",\"ip\":\"%u.%u.%u.%u\",\"timestamp\":\"%s\","
               "\"event_type\":\"%s\",\"country\":\"%s\",\"province\":\"%s\","
               "\"city\":\"%s\",\"longitude\":%.2f,\"latitude\":%.2f,"
               "\"continent\":\"%s\",\"isp\":\"%s\",\"asn\":\"%s\",\"is_china\":%s}\n",
               record->ip >> 24, record->ip >> 16 & 255, record->ip >> 8 & 255,
               record->ip & 255, stamp, record->event_type, place->country,
               place->province, place->city, place->longitude, place->latitude,
               place->continent, place->isp, place->asn,
               place->is_china ? "true" : "false");
}
