/* Positions that replays took, as the differences of ascending ones. */
#include "ledger.h"

static void put_varint(sl_buffer *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        sl_buffer_byte(out, (uint8_t)(value | 0x80));
    sl_buffer_byte(out, (uint8_t)value);
}

static bool get_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

sl_status sl_ledger_replay_put(sl_ledger *ledger, const sl_ledger_replay *replay, sl_error *error) {
    sl_buffer packed = SL_BUFFER_EMPTY;
    uint64_t last = 0;
    for (uint64_t i = 0; i < replay->count; i++) {
        put_varint(&packed, replay->positions[i] - last);
        last = replay->positions[i];
    }
    sl_sql_statement *s;
    sl_status status = packed.failed ? ledger_no_memory(error)
                                     : sl_sql_prepare(ledger->sql,
                                                      replay->count != 0
                                                          ? "INSERT OR REPLACE INTO replays(keeper, stream, positions) VALUES(?,?,?)"
                                                          : "DELETE FROM replays WHERE keeper = ? AND stream = ?",
                                                      &s, error);
    if (status == SL_OK) {
        bind_position(s, 1, replay->keeper);
        sl_sql_bind_string(s, 2, replay->stream);
        if (replay->count != 0)
            sl_sql_bind_blob(s, 3, packed.bytes, packed.length);
        status = sl_sql_run(s, error);
    }
    sl_buffer_fini(&packed);
    return status;
}

static sl_status unpack_replay(sl_sql_statement *s, sl_ledger_replay *replay, uint64_t **positions, sl_error *error) {
    size_t length;
    const uint8_t *at = sl_sql_blob(s, 2, &length), *end = at + length;
    *positions = sl_malloc((length + 1) * sizeof **positions); /* A position takes a byte or more. */
    if (*positions == NULL)
        return ledger_no_memory(error);
    uint64_t last = 0, step;
    while (at < end && get_varint(&at, end, &step))
        (*positions)[replay->count++] = last += step;
    if (at != end)
        return sl_error_set(error, SL_ECORRUPT, "ledger: replays at %" PRIu64 " can't be read", replay->keeper);
    replay->positions = *positions;
    return SL_OK;
}

sl_status sl_ledger_replays(sl_ledger *ledger, sl_ledger_replay_fn *each, void *context, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(ledger->sql, "SELECT keeper, stream, positions FROM replays", &s, error);
    while (status == SL_OK && (status = sl_sql_step(s, error)) == SL_OK) {
        sl_ledger_replay replay = {.keeper = position_of(s, 0), .stream = sl_sql_text(s, 1, NULL)};
        uint64_t *positions = NULL;
        status = unpack_replay(s, &replay, &positions, error);
        if (status == SL_OK)
            status = each(context, &replay);
        sl_free(positions);
        if (status != SL_OK)
            sl_sql_reset(s);
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
}
