/** @file replay.h
 * Events that the log had before, as the body of a record that brings them again (SL_FORMAT_REPLAY): each with the bytes it came
 * in, where it first was, and when it arrived then.
 *
 * Format   Items one after another: u64 position, i64 arrival (µs), u32 length of the bytes, u8 kind, u8 header, u8 delimiter
 *          (sl_format), u8 length of the source; source; bytes. Little-endian. All items are of the record's stream.
 * Threads  Any.
 */
#pragma once

#include "sluice/batch.h"

typedef struct sl_replay_item {
    uint64_t position;
    int64_t arrival_us;
    sl_format format;
    const char *source; /**< At most 255 bytes. Borrowed, as `bytes`. */
    uint32_t source_length;
    const uint8_t *bytes;
    uint32_t length;
} sl_replay_item;

void sl_replay_put(const sl_replay_item *item, sl_buffer *out);
/** @return Bytes of the first item; 0: there is no whole one, or it isn't one. */
size_t sl_replay_get(const uint8_t *bytes, size_t length, sl_replay_item *item);

/** What became of a record's items, as far as it is known when it is answered. */
typedef struct sl_replay_outcome {
    uint32_t taken;    /**< Go on to the tables (where `dedupe` still may find a duplicate). */
    uint32_t filtered; /**< `where` passes them over. */
    uint32_t repeated; /**< Taken by a replay before. */
    uint32_t refused[SL_CODE_COUNT]; /**< Stay dead letters. */
} sl_replay_outcome;

struct sl_intake;
struct sl_http_request;
/** POST /v1/replay?stream=NAME[&dry_run=1]: what `sluice replay` sends. Answers, now or later. */
void sl_replay_route(struct sl_intake *intake, const struct sl_http_request *request);
/** `sluice replay`. @param argv From the verb on. @return The process's exit code: 0, 1, 64, 78. */
int sl_replay_main(int argc, char **argv);
