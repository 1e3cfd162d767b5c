/** @file generate_private.h
 * What `sluice generate` is made of: options, the histogram of latencies, the reader of HTTP
 * replies, and the sender.
 */
#pragma once

#include "sluice/buffer.h"
#include "sluice/generate.h"

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
    bool has_kind, has_start, now, idempotent, progress;
    uint64_t count; /* 0: no end but the duration's. */
    uint64_t seed;
    double rate; /* Events a second; 0: as fast as the other side takes them. */
    int64_t duration_us, start_ms, span_ms, retry_for_us;
    unsigned connections;
    uint64_t batch;
    const char *to, *token, *file, *summary;
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
} sl_url;

/** http://HOST[:PORT][/PATH]; no path is /v1/events. @return SL_OK, SL_EINVAL, SL_EUNSUPPORTED. */
SL_CHECKED sl_status sl_url_parse(const char *text, sl_url *url, sl_error *error);

/** Set by SIGINT and SIGTERM: no new request, but a summary. */
bool sl_generate_stopped(void);

/** Monotonic, microseconds. */
int64_t sl_generate_clock_us(void);

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
