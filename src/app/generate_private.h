/** @file generate_private.h
 * What `sluice generate` is made of: options, the kinds' writers, CSV and faults, tables, the
 * histogram of latencies, the reader of HTTP replies, and the sender.
 */
#pragma once

#include "sluice/buffer.h"
#include "sluice/aws.h"
#include "sluice/generate.h"

/* --- Events ------------------------------------------------------------------------------ */

/* How many there are of whom; the tables of `--tables` have as many rows. */
enum {
    SL_GENERATE_USERS = 100000,    /* clickstream */
    SL_GENERATE_CUSTOMERS = 50000, /* orders */
    SL_GENERATE_VISITORS = 10000,  /* web-analytics */
    SL_GENERATE_PAYERS = 10000,
    SL_GENERATE_DEVICES = 500,
    SL_GENERATE_EATERS = 10000, /* food-delivery; these three are multiples of SL_GENERATE_PLACES */
    SL_GENERATE_RESTAURANTS = 400,
    SL_GENERATE_RIDERS = 800,
    SL_GENERATE_PLACES = 16, /* Number n of any of the three is at home in place n % 16. */
    SL_GENERATE_SHOP_TYPES = 8,
};

/* Their names, in events and tables. */
extern const char *const sl_generate_shop_types[SL_GENERATE_SHOP_TYPES];
/* Where a payer is at home: two letters. */
const char *sl_generate_home(uint32_t payer);

/* Writes one event as a line of JSON from random bits that begin at `state`. @return its end. */
typedef uint8_t *sl_generate_writer(uint8_t *out, sl_generator *generator, uint64_t index,
                                    uint64_t state);
sl_generate_writer sl_generate_web, sl_generate_iot, sl_generate_payment, sl_generate_food;

/* What producers do to events. */
typedef enum sl_fault {
    SL_FAULT_NONE,
    SL_FAULT_NO_ID,
    SL_FAULT_TYPE, /* "n/a" where a number or a time belongs. */
    SL_FAULT_CUT,
    SL_FAULT_COUNT
} sl_fault;

typedef struct sl_generate_fault {
    sl_fault kind;
    uint64_t bits; /* Say where a line is cut. */
    const char *id, *typed;
} sl_generate_fault;

/** Break a line of JSON, in place. @return its new length. */
size_t sl_generate_break(uint8_t *line, size_t length, const sl_generate_fault *fault);
/** Turn a line of JSON into one of CSV, in place, with the fault in it. @return its new length. */
size_t sl_generate_csv(uint8_t *line, size_t length, const sl_generate_fault *fault);
/** Turn a line of JSON into the header of its CSV: members' paths, with dots. */
size_t sl_generate_csv_header(uint8_t *line, size_t length);

/**
 * Write the tables that belong to a kind, as CSV, into a directory that is made where it lacks.
 * @param rows At most so many of each; 0: all.
 * @return SL_OK, SL_EIO.
 */
SL_CHECKED sl_status sl_generate_tables(sl_generate_kind kind, uint64_t rows, const char *directory,
                                        sl_error *error);

/* --- Latencies --------------------------------------------------------------------------- */

/* Log-linear buckets as in HdrHistogram: 64 for each power of two, so a value is known to 1.6 %
 * from 1 µs to 12 days, in 19 KiB. */
#define SL_HISTOGRAM_BUCKETS (128 + 34 * 64)

typedef struct sl_histogram {
    uint64_t counts[SL_HISTOGRAM_BUCKETS];
    uint64_t total, max;
} sl_histogram;

void sl_histogram_add(sl_histogram *histogram, uint64_t value);
/** @param share 0.99 for p99. @return the upper end of its bucket, at most the maximum; 0 when empty. */
uint64_t sl_histogram_at(const sl_histogram *histogram, double share);

/* --- Replies ----------------------------------------------------------------------------- */

#define SL_REPLY_HEAD_MAX 8192
#define SL_REPLY_BODY_KEPT 2048 /* The counts stand first; the list of errors may be long. */

/* One HTTP/1.1 reply, fed piece by piece. Content-Length only: that is what the intake sends. */
typedef struct sl_reply {
    char head[SL_REPLY_HEAD_MAX];
    size_t head_length;
    bool head_done, done, close;
    int status;
    uint64_t body_left;
    double retry_after_s; /* Negative: the reply has none. */
    char body[SL_REPLY_BODY_KEPT + 1];
    size_t body_length;
    sl_buffer *whole; /* Gets all of the body, if there is one; sl_reply_reset() forgets it. */
} sl_reply;

void sl_reply_reset(sl_reply *reply);
/**
 * @param[out] used Bytes taken; what follows belongs to the next reply.
 * @return SL_OK (see `done`), SL_ESYNTAX, SL_ELIMIT, SL_EUNSUPPORTED: close the connection.
 */
SL_CHECKED sl_status sl_reply_feed(sl_reply *reply, const char *bytes, size_t length,
                                   size_t *used);
/** The number after "name": in the kept body. @return false when there is none. */
bool sl_reply_count(const sl_reply *reply, const char *name, uint64_t *value);

/* --- The sender -------------------------------------------------------------------------- */

typedef struct sl_generate_options {
    sl_generate_kind kind;
    bool has_kind, has_start, now, idempotent, progress, csv;
    uint64_t count; /* 0: no end but the duration's. */
    uint64_t seed, rows;
    double duplicates, invalid;
    double rate; /* Events a second; 0: as fast as the other side takes them. */
    int64_t duration_us, start_ms, span_ms, retry_for_us;
    unsigned connections;
    uint64_t batch;
    const char *to, *token, *file, *summary, *tables;
} sl_generate_options;

typedef struct sl_generate_summary {
    uint64_t requests, sent, accepted, rejected, retries, lost; /* lost: no answer, fate unknown */
    uint64_t given_up; /* Events the other side never took. */
    uint64_t bytes;
    int64_t wall_us, cpu_us;
    sl_histogram latency; /* Of 2xx replies, µs; from the time it was due when there is a rate. */
} sl_generate_summary;

typedef struct sl_url {
    char host[256], port[8], path[512];
    bool kinesis; /* The path is the stream's name. */
} sl_url;

/** http://HOST[:PORT][/PATH], no path is /v1/events; kinesis://HOST[:PORT]/STREAM. @return SL_OK, SL_EINVAL, SL_EUNSUPPORTED. */
SL_CHECKED sl_status sl_url_parse(const char *text, sl_url *url, sl_error *error);

/* --- The Kinesis API --------------------------------------------------------------------- */

#define SL_KINESIS_RECORDS_MAX 500

/** The body of a PutRecords request. */
typedef struct sl_kinesis_body {
    sl_buffer text;
    size_t starts[SL_KINESIS_RECORDS_MAX]; /* Of its records in the text. */
    uint32_t count;
} sl_kinesis_body;

/** Lines as records, whose partition keys count on from `first`. @return false: out of memory. */
bool sl_kinesis_wrap(sl_kinesis_body *body, const char *stream, const uint8_t *lines, size_t length, uint64_t first);
/** Whether all were taken, told from how the usual reply begins or ends. */
bool sl_kinesis_none_failed(const sl_buffer *reply);
/** Leave what a reply says was not taken. @return false: it is no reply to this body. */
bool sl_kinesis_failed(sl_kinesis_body *body, const sl_buffer *reply);
/** Is what an error says over after a while? */
bool sl_kinesis_may_retry(int status, const char *body);

typedef struct sl_kinesis_signer {
    sl_aws_signer signer;
    sl_aws_keys keys; /* The environment's. */
    sl_aws_signed outcome;
    bool signs;
    char host[272]; /* As the Host header says. */
} sl_kinesis_signer;

void sl_kinesis_signer_init(sl_kinesis_signer *signer, const sl_url *url);
void sl_kinesis_signer_fini(sl_kinesis_signer *signer);
/** Request line and header fields, to the empty line, 0-terminated. */
SL_CHECKED sl_status sl_kinesis_head(sl_kinesis_signer *signer, const void *body, size_t length, char *out, size_t room,
                                     sl_error *error);

/* --- Kafka ------------------------------------------------------------------------------- */

bool sl_generate_is_kafka(const char *to);
/** kafka://HOST[:PORT][,HOST[:PORT]]/TOPIC. @return SL_OK, SL_EINVAL. */
SL_CHECKED sl_status sl_generate_kafka_check(const char *to, sl_error *error);
/** As sl_generate_send(), one message for each event. */
SL_CHECKED sl_status sl_generate_to_kafka(const sl_generate_options *options, sl_generate_summary *summary, sl_error *error);

/** A generator as the options want it. */
sl_generator sl_generate_options_generator(const sl_generate_options *options);

/** Set by SIGINT and SIGTERM: no new request, but a summary. */
bool sl_generate_stopped(void);

/**
 * Send all events (or the lines of `options->file`) to `options->to`.
 * @param summary Filled also after a failure.
 * @return SL_OK: every event was answered for good (see the summary for how); SL_EIO, SL_ENOMEM,
 *         SL_EINVAL, SL_EUNSUPPORTED otherwise.
 */
SL_CHECKED sl_status sl_generate_send(const sl_generate_options *options,
                                      sl_generate_summary *summary, sl_error *error);
/** The line of figures that is shown each second. */
void sl_generate_progress(const sl_generate_summary *summary, int64_t elapsed_us,
                          uint64_t events_before, int64_t interval_us);
