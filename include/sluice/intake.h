/** @file intake.h
 * The port between those who receive requests (HTTP) and the engine that makes them durable.
 *
 * Threads  The loop.
 */
#pragma once

#include "sluice/replay.h"

typedef struct sl_intake_error {
    uint32_t index;      /**< Of the event in the request. */
    const char *code;    /**< sl_code_name() */
    const char *message;
    uint32_t at;         /**< Byte offset of the fault within the event. */
    const char *path;    /**< JSON pointer, or "". */
} sl_intake_error;

/** An event of a request that was only judged, or bytes that no event can be made of. */
typedef struct sl_intake_piece {
    const uint8_t *bytes; /**< As they came; borrowed for the call, as is all of this. */
    uint32_t length;
    bool rest;            /**< Of a JSON array that broke: read alone it is the same with a '[' before it. */
    sl_format format;     /**< Of the bytes alone. A record of CSV is one piece: its lines need the first. */
    uint32_t message;     /**< Place of the message in the body that carries it; 0 where it is none of messages. */
    uint32_t index;       /**< Of the event in that message, or in the body. */
    int64_t arrival_us;
    const uint8_t *id;    /**< By the stream's `id`, as text; NULL: it has none. */
    uint32_t id_length;
} sl_intake_piece;

/** @return false: enough. */
typedef bool sl_intake_piece_fn(void *context, const sl_intake_piece *piece);

/** A judged request, event by event. Those of one stream come in their order, behind them what no event can be made of. */
typedef struct sl_intake_judged sl_intake_judged;
struct sl_intake_judged {
    /** @return false: `take` said so. */
    bool (*each)(const sl_intake_judged *judged, sl_intake_piece_fn *take, void *context);
};

#define SL_INTAKE_ERRORS_MAX 100u /**< Errors listed in one reply; `rejected` counts all. */

typedef struct sl_intake_reply {
    int status;          /**< 200; 400: no record was good; 404, 422, 429, 503. */
    uint32_t accepted, rejected;
    const sl_intake_error *errors;
    uint32_t error_count;
    uint32_t retry_after_s; /**< With 429 and 503. */
    const char *message;    /**< For other statuses than 200, 400. */
    const sl_replay_outcome *replay; /**< Of a replay; else NULL. */
    const sl_intake_judged *judged; /**< Of a request that is only to be judged; else NULL. */
    uint64_t position;   /**< Where the log goes on behind the request's group: for sl_engine_delivered(). 0: a repeat. */
} sl_intake_reply;

/** Called once for each submitted request, on the loop, never from inside submit(). Everything is borrowed for the call. */
typedef void sl_intake_done_fn(void *token, const sl_intake_reply *reply);

typedef struct sl_intake_request {
    const char *stream;  /**< From the path, or "" (the configuration decides). */
    size_t stream_length;
    const char *source;  /**< "http" */
    int64_t arrival_us;  /**< When it came; 0: now. */
    bool dry_run;        /**< Of a replay: only tell what would become of it. */
    bool judge_only;     /**< It goes to somebody else's log: only tell what it holds, as `judged`. A key is nothing to it then. */
    sl_format format;    /**< Of the body; zeros are JSON. What it leaves open the stream's configuration says. */
    const void *key;     /**< Idempotency-Key; length 0: none. */
    size_t key_length;
    const uint8_t *body; /**< Borrowed for the call: it is copied into the journal's group. */
    size_t length;
    sl_intake_done_fn *done;
    void *token;
} sl_intake_request;

typedef struct sl_intake sl_intake;
struct sl_intake {
    /**
     * @return SL_OK: `done` will be called. SL_EFULL: memory budget or queue, answer 429 with Retry-After 1.
     *         SL_ENOSPC: the journal's quota or disk, answer 503. SL_ELIMIT: body too large, 413. SL_ENOMEM: 503.
     */
    sl_status (*submit)(sl_intake *intake, const sl_intake_request *request);
};
