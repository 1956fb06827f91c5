/* bench/workload.h: sensor records as the platform's, made from a seed. Pure.
 *
 * ips with zipf-like repeats, times that mostly rise, a share of exact duplicates, a
 * share of entities whose place changes. The same parameters give the same records. Not
 * thread-safe; one workload a thread.
 */
#ifndef HOLDFAST_BENCH_WORKLOAD_H
#define HOLDFAST_BENCH_WORKLOAD_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

struct workload_config {
    uint64_t seed;
    uint32_t ips;           /* distinct, default 300000 */
    uint32_t seeded;        /* of these, already in the entity table: 293037 */
    double zipf_exponent;   /* 0.9: 15 % of 500 records repeat an ip of theirs, which is
                             * what   a writer of the platform that kept one of each lost */
    double duplicate_share; /* 0.03 */
    double moved_share;     /* of records that carry another place: 0.02 */
    double late_share;      /* of records older than ones before: 0.02 */
    int64_t start_s;        /* time of the first record, epoch seconds UTC */
    uint32_t records_per_second;
};
void workload_config_defaults(struct workload_config *config);

struct workload_place {
    const char *country;
    const char *province;
    const char *city;
    const char *continent;
    const char *isp;
    const char *asn;
    double longitude;
    double latitude;
    int is_china;
};

struct workload_record {
    uint32_t ip_index;
    uint32_t ip; /* distinct for each ip_index */
    int64_t time_s;
    const char *event_type;
    const struct workload_place *place;
};

struct workload;
int workload_new(const struct workload_config *config, struct workload **out_workload,
                 struct err *err);
void workload_free(struct workload *workload);
const struct workload_config *workload_config(const struct workload *workload);

void workload_next(struct workload *workload, struct workload_record *out_record);

/* The same of this ip, from its home: every ip once is how a running engine comes to know
 * them all. */
void workload_next_of(struct workload *workload, uint32_t ip_index,
                      struct workload_record *out_record);

/* The ip and home place of an ip_index, for seeding tables. */
uint32_t workload_ip(uint32_t ip_index);
const struct workload_place *workload_home(const struct workload *workload,
                                           uint32_t ip_index);

/* Appends the record as the producers send it, one line of JSON. */
void workload_append_json(struct buf *out, const struct workload_record *record);

#endif
