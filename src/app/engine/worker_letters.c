/* Dead letters: what the decoder refused, with its bytes and the reason, as rows of one Parquet file. */
#include "records.h"
#include "worker_tables.h"

#include "sluice/csv.h"
#include "sluice/utf8.h"

static void letter_text(sl_batch *b, uint32_t field, uint32_t row, const void *text, size_t length) {
    b->columns[field].valid[row] = 1;
    b->columns[field].values.span[row] = sl_batch_keep_text(b, text, length);
}

static void letter_int(sl_batch *b, uint32_t field, uint32_t row, int64_t value) {
    b->columns[field].valid[row] = 1;
    b->columns[field].values.i64[row] = value;
}

/* The record's first line, without its end. */
static sl_span record_header(sl_batch *b, const sl_record *record) {
    sl_csv csv;
    sl_csv_init(&csv);
    csv.delimiter = (char)record->format.delimiter;
    csv.row_bytes_max = UINT32_MAX;
    size_t used;
    const uint8_t *body = b->raw + record->body;
    sl_status status = sl_csv_row(&csv, body, record->length, true, &used, NULL);
    const uint8_t *line = body + csv.row_begin, *end = body + used;
    while (end > line && (end[-1] == '\n' || end[-1] == '\r'))
        end--;
    b->arena.failed |= status != SL_OK; /* It was read before. */
    sl_csv_fini(&csv);
    return sl_batch_keep_text(b, line, (size_t)(end - line));
}

/* What takes the letter's bytes to be read again: "json", "cloudevents"; or "csv" with the delimiter, and the line that names the values, ""
 * where it is the configuration that does. A record that was refused whole has a line of its own in it. */
static void letter_format(const part *p, const sl_reject *r, sl_batch *b, uint32_t field, uint32_t row) {
    const sl_record *record = &p->batch->records[r->record];
    char text[] = "csv,";
    text[3] = (char)record->format.delimiter;
    bool csv = record->format.kind == SL_FORMAT_CSV;
    const char *other = record->format.kind == SL_FORMAT_CLOUDEVENTS ? "cloudevents" : "json";
    letter_text(b, field, row, csv ? text : other, csv ? sizeof text - 1 : strlen(other));
    bool own = record->format.header == SL_HEADER_PRESENT && r->begin == record->body;
    if (!csv || own || r->length == 0)
        return;
    b->columns[field + 1].valid[row] = 1;
    b->columns[field + 1].values.span[row] = record->format.header == SL_HEADER_PRESENT
                                                 ? record_header(b, record)
                                                 : sl_batch_keep_text(b, "", 0);
}

static void letter(worker *w, const task *t, const part *p, const sl_reject *r, sl_batch *b) {
    const sl_record *record = &p->batch->records[r->record];
    const stream *s = p->shape->of;
    const char *code = sl_code_name(r->code);
    const char *source = w->engine->sources[record->source];
    const char *stage = r->code == SL_CODE_NO_STREAM                             ? "route"
                        : r->code == SL_CODE_REQUIRE                             ? "steps"
                        : r->code <= SL_CODE_TOO_DEEP && r->code != SL_CODE_NONE ? "decode"
                                                                                 : "schema";
    uint32_t row = b->rows++;
    b->row_record[row] = r->record;
    b->row_begin[row] = r->begin;
    b->row_length[row] = r->length;
    b->verdict[row] = SL_VERDICT_KEEP;
    uint32_t f = 1;
    letter_text(b, f++, row, s->name, strlen(s->name));
    letter_text(b, f++, row, stage, strlen(stage));
    letter_text(b, f++, row, code, strlen(code));
    letter_text(b, f++, row, sl_batch_text(p->batch, r->path), r->path.length);
    letter_text(b, f++, row, sl_batch_text(p->batch, r->message), r->message.length);
    letter_int(b, f++, row, r->at);
    b->columns[f].valid[row] = 1;
    b->columns[f++].values.span[row] = (sl_span){r->begin, r->length};
    letter_text(b, f++, row, w->engine->partition, strlen(w->engine->partition));
    letter_int(b, f++, row, (int64_t)(record->position + (r->begin - record->body)));
    letter_int(b, f++, row, r->index);
    letter_int(b, f++, row, p->shape->schema->version);
    letter_int(b, f++, row, record->arrival_us);
    letter_text(b, f++, row, source, strlen(source));
    const sl_journal_record *brought = &t->group->records[record->carrier != 0 ? record->carrier - 1 : r->record];
    sl_message_address address;
    const bool own = items_address(t, record, &address);
    letter_text(b, f++, row, own ? (const uint8_t *)address.stream : t->group->bytes + brought->stream,
                own ? address.stream_length : brought->stream_length);
    letter_format(p, r, b, f, row);
}

/* One letter as JSON: what came is a text where it is one, else `raw_base64`. */
static void letter_json(const sl_batch *b, uint32_t row, sl_buffer *out) {
    const char *comma = "{";
    for (uint32_t f = 1; f < b->schema->count; f++) {
        if (!b->columns[f].valid[row])
            continue;
        const sl_value value = sl_value_of(b, f, row);
        const bool bytes = value.type == SL_TYPE_BYTES;
        const bool text = bytes && sl_utf8_valid(value.as.text.bytes, value.as.text.length) == value.as.text.length;
        sl_buffer_printf(out, "%s\"%s%s\":", comma, b->schema->fields[f].name, bytes && !text ? "_base64" : "");
        if (text)
            sl_buffer_json_string(out, (const char *)value.as.text.bytes, value.as.text.length);
        else
            sl_value_json(&value, out);
        comma = ",";
    }
    sl_buffer_byte(out, '}');
}

static sl_status write_messages(worker *w, worker_table *wt, const sl_batch *b) {
    sl_buffer value = SL_BUFFER_EMPTY;
    sl_status status = SL_OK;
    for (uint32_t row = 0; row < b->rows && status == SL_OK; row++) {
        sl_buffer_clear(&value);
        letter_json(b, row, &value);
        status = value.failed ? SL_ENOMEM : topic_message(w, wt, NULL, &value, sl_batch_logged(b, row));
    }
    sl_buffer_fini(&value);
    return status;
}

static sl_status write_letters(worker *w, worker_table *wt, const sl_batch *b) {
    static const sl_hash128 whole = {0, 0};
    if (wt->of->kind == SL_TABLE_DEAD_TOPIC)
        return write_messages(w, wt, b);
    wt->counts.rows += b->rows;
    return files_write(w, wt, whole, "", b, NULL, b->rows);
}

sl_status letters_add(worker *w, worker_table *wt, const task *t, const part *p) {
    sl_batch *b = w->letters;
    for (uint32_t i = 0; i < p->batch->reject_count;) {
        sl_status status = sl_batch_prepare(b, w->engine->letters, t->group->bytes, t->records);
        if (status != SL_OK)
            return status;
        for (; i < p->batch->reject_count && b->rows < b->capacity; i++)
            if (!p->batch->records[p->batch->rejects[i].record].replay) /* Else it is one already. */
                letter(w, t, p, &p->batch->rejects[i], b);
        if (b->arena.failed)
            return SL_ENOMEM;
        if (b->rows == 0)
            continue;
        status = write_letters(w, wt, b);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}
