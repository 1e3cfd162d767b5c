/* Messages on their way to a topic: row files of position, key and value. Several workers make files of one range of the log; they are
 * merged by position when they go out, so that messages of one key stand in the topic as in the log. A file is then read into memory
 * whole, so that it is closed at some MiB; its name says where it begins. What a message can't hold is known here, before the cut: behind it a refusal would stand in the
 * way of all that follows. Its place is taken by a message that says where the event lies. */
#include "storage.h"
#include "worker_tables.h"

#include "sluice/rows.h"

#include <inttypes.h>

enum { MESSAGES_BUFFER = 1 << 20, MESSAGES_FILE = 4 << 20 };

static sl_status begin(worker_table *wt, uint64_t position) {
    static const sl_rows_column columns[] = {
        {.name = "position", .type = SL_TYPE_INT64}, {.name = "key", .type = SL_TYPE_STRING}, {.name = "value", .type = SL_TYPE_JSON}};
    if (wt->rows_columns != 0)
        return SL_OK;
    if (wt->rows_hash == NULL && (wt->rows_hash = sl_hasher_create()) == NULL)
        return SL_ENOMEM;
    wt->rows_first = position;
    wt->rows_columns = 3;
    sl_rows_begin(&wt->rows, columns, 3);
    return SL_OK;
}

/* The event's place in the log, by which it is found in the other tables. */
static void stand_in(const worker *w, const sl_buffer *value, uint64_t position, sl_buffer *out) {
    sl_buffer_printf(out, "{\"sluice_too_large\":{\"bytes\":%zu,\"partition\":\"%s\",\"position\":%" PRIu64 "}}", value->length,
                     w->engine->partition, position);
}

sl_status topic_message(worker *w, worker_table *wt, const sl_buffer *key, const sl_buffer *value, uint64_t position) {
    const uint64_t most = wt->of->topic->max_message, key_length = key != NULL ? key->length : 0;
    sl_buffer small = SL_BUFFER_EMPTY;
    const sl_buffer *kept = value;
    sl_status status = begin(wt, position);
    if (key_length + value->length > most) {
        stand_in(w, value, position, &small);
        kept = &small;
        sl_metric_add(wt->of->too_large, 1);
    }
    const bool keyed = key != NULL && key_length + kept->length <= most;
    const sl_value values[] = {
        {.type = SL_TYPE_INT64, .as.i64 = (int64_t)position},
        {.type = SL_TYPE_STRING, .null = !keyed, .as.text = {keyed ? key->bytes : NULL, keyed ? key_length : 0}},
        {.type = SL_TYPE_JSON, .as.text = {kept->bytes, kept->length}},
    };
    if (status == SL_OK && !small.failed)
        sl_rows_add(&wt->rows, values, 3);
    if (status == SL_OK && (small.failed || wt->rows.failed))
        status = SL_ENOMEM;
    sl_buffer_fini(&small);
    if (status != SL_OK)
        return status;
    wt->rows_count++;
    wt->counts.rows++;
    if (wt->rows.length >= MESSAGES_BUFFER)
        status = rows_flush(w, wt);
    return status == SL_OK && wt->rows_at >= MESSAGES_FILE ? rows_seal(w, wt) : status;
}

void topic_key_text(const sl_value *value, sl_buffer *out) {
    if (value->type == SL_TYPE_STRING || value->type == SL_TYPE_JSON) {
        sl_buffer_append(out, value->as.text.bytes, value->as.text.length);
        return;
    }
    sl_value_json(value, out);
    if (out->length > 1 && out->bytes[0] == '"') {
        memmove(out->bytes, out->bytes + 1, out->length - 2);
        out->length -= 2;
    }
}

sl_status topic_add(worker *w, worker_table *wt, const sl_batch *batch) {
    const char *path = wt->of->topic->key;
    const uint32_t field = path != NULL ? sl_schema_find(batch->schema, path) : SL_NO_FIELD;
    sl_buffer key = SL_BUFFER_EMPTY, value = SL_BUFFER_EMPTY;
    sl_status status = SL_OK;
    for (uint32_t row = 0; row < batch->rows && status == SL_OK; row++) {
        if (batch->verdict[row] != SL_VERDICT_KEEP)
            continue;
        sl_buffer_clear(&key);
        sl_buffer_clear(&value);
        const bool keyed = field != SL_NO_FIELD && batch->schema->fields[field].type != SL_TYPE_GROUP && sl_batch_present(batch, field, row);
        if (keyed) {
            const sl_value of = sl_value_of(batch, field, row);
            topic_key_text(&of, &key);
        }
        sl_batch_row_json(batch, row, &value);
        status = key.failed || value.failed ? SL_ENOMEM : topic_message(w, wt, keyed ? &key : NULL, &value, sl_batch_logged(batch, row));
    }
    sl_buffer_fini(&key);
    sl_buffer_fini(&value);
    return status;
}
