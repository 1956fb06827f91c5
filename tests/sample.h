/* tests/sample.h: the records that sensors send, good and bad, made from a seed, with the
 * truth about each kept beside its bytes.
 *
 * Streams are botnet streams (SCHEMA.md). Batches are whole request bodies: JSON lines,
 * or plain log lines `timestamp,ip,event_type`. What the engine should make of a record
 * is not asked of the engine's parser: the generator says it, as it wrote the record.
 * The same configuration gives the same bytes.
 *
 * Within: repeated ips (zipf-like), mostly rising times, exact duplicates, conflicts (the
 * same ip and time, another event type), absent fields, places that change, statuses,
 * every way of writing a time, broken records of every kind, and in the first batch the
 * ten records of the field report.
 */
#ifndef HOLDFAST_TESTS_SAMPLE_H
#define HOLDFAST_TESTS_SAMPLE_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum { SAMPLE_STREAMS_MAX = 4, SAMPLE_KEY_MAX = 40, SAMPLE_NONE = -1 };

enum sample_fault {
    SAMPLE_GOOD,
    SAMPLE_BAD_IP,
    SAMPLE_FULL_WIDTH,   /* an ip in full-width digits */
    SAMPLE_FUTURE,       /* 2037: in the column's range, and not yet */
    SAMPLE_OUT_OF_RANGE, /* 2040: beyond TIMESTAMP */
    SAMPLE_BROKEN,       /* a line that is no JSON, or a CSV line without fields */
    SAMPLE_TOO_LONG,     /* a country of 60 characters */
    SAMPLE_UNKNOWN_ENUM, /* a status that is no member */
    SAMPLE_NO_TIME,      /* no timestamp */
    SAMPLE_NOT_UTF8,     /* bytes that are no text */
    SAMPLE_NO_NUMBER,    /* a longitude that is no number */
    SAMPLE_FAULTS,
    /* good for the engine; refused by a server whose event_type is narrower */
    SAMPLE_POISON = SAMPLE_FAULTS,
};

/* The truth about one record. */
struct sample_record {
    uint32_t ip;
    int64_t time_s; /* UTC */
    uint8_t stream; /* index into the configuration's streams */
    uint8_t fault;  /* enum sample_fault; ip and time mean nothing unless GOOD */
    int8_t event;   /* sample_event_name, or SAMPLE_NONE */
    int8_t city;    /* sample_city_name of what it carries, or SAMPLE_NONE */
    int8_t status;  /* sample_status_name, or SAMPLE_NONE */
};

struct sample_batch {
    const char *stream; /* of the path; NULL: routed by botnet_type */
    struct buf body;
    char key[SAMPLE_KEY_MAX]; /* Idempotency-Key; empty: sent without one */
    struct sample_record *records;
    uint32_t record_count;
    uint32_t bad_count; /* records that become dead letters at intake */
};

struct sample_config {
    uint64_t seed;
    const char *streams[SAMPLE_STREAMS_MAX];
    uint32_t stream_count;
    uint32_t records;
    uint32_t batch_max;     /* records; sizes vary from 1 to this */
    uint32_t ips;           /* distinct, about */
    double duplicate_share; /* of all records; likewise below */
    double conflict_share;
    double bad_share;
    double poison_share;
    double moved_share;
    double keyed_share;  /* of batches */
    double csv_share;    /* of batches */
    double routed_share; /* of batches */
    bool field_report;   /* with the ten records of the field report */
    int32_t zone_offset_s;
    int64_t start_s; /* of the first record, UTC */
};

/* 50,000 records of mozi and test in batches of up to 1000, zone +08:00. */
void sample_config_defaults(struct sample_config *config);

struct sample {
    struct sample_config config;
    struct sample_batch *batches;
    uint32_t batch_count;
};

/* ERR_NOMEM; ERR_INVALID: a configuration that makes no sense. */
int sample_new(const struct sample_config *config, struct sample *out_sample,
               struct err *err);
void sample_free(struct sample *sample);

/* Names by index, 0 to count - 1. */
const char *sample_event_name(int event);
const char *sample_city_name(int city);
const char *sample_status_name(int status);
uint32_t sample_event_count(void);
uint32_t sample_city_count(void);
uint32_t sample_status_count(void);

/* The field report's ten, in its order; the times are local ones at +08:00. */
enum { SAMPLE_REPORT_COUNT = 10 };
struct sample_report {
    const char *ip;
    const char *first_seen;
};
extern const struct sample_report sample_report[SAMPLE_REPORT_COUNT];

/* A small generator of random numbers (splitmix64), for tests that need chance. */
uint64_t sample_random(uint64_t *state);
/* 0 to bound - 1 */
uint32_t sample_below(uint64_t *state, uint32_t bound);
bool sample_chance(uint64_t *state, double share);

#endif
