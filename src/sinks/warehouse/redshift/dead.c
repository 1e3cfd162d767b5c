/* Rows with a text that is too long for its column, where the policy is dead_letter: into
 * `sluice_dead_TABLE`, in the transaction that loads the entry's other rows.
 *
 * Nothing of them is cut: a row is a JSON object in pieces of what VARCHAR holds at most,
 * part 0, 1, … They go as INSERT statements, since there are few; where there are many
 * the table is wrong, and that is told instead. */
#include "job.h"

enum { PIECE_BYTES = 65535, STATEMENT_BYTES = 1 << 20, DEAD_BYTES_MAX = 16 << 20 };

/* Bytes of the next piece: whole characters. */
static size_t piece(const uint8_t *text, size_t length) {
    if (length <= PIECE_BYTES)
        return length;
    size_t end = PIECE_BYTES;
    while (end > 0 && (text[end] & 0xc0) == 0x80)
        end--;
    return end;
}

static void row_json(const job *j, sl_buffer *out) {
    bool any = false;
    sl_buffer_byte(out, '{');
    for (uint32_t i = 0; i < j->table.count; i++) {
        const sl_warehouse_column *c = &j->table.columns[i];
        if (c->role != SL_COLUMN_FIELD || j->values[i].null)
            continue;
        sl_buffer_text(out, any ? "," : "");
        any = true;
        sl_buffer_json_string(out, c->name, strlen(c->name));
        sl_buffer_byte(out, ':');
        sl_value_json(&j->values[i], out);
    }
    sl_buffer_byte(out, '}');
}

static int64_t position_of(const job *j) {
    for (uint32_t i = 0; i < j->table.count; i++)
        if (j->table.columns[i].role == SL_COLUMN_POSITION)
            return j->values[i].as.i64;
    return 0;
}

void dead_row(job *j, uint32_t column, sl_buffer *json) {
    const char *name = j->table.columns[column].name;
    int64_t position = position_of(j);
    sl_buffer_clear(json);
    row_json(j, json);
    size_t at = 0;
    for (uint32_t part = 0; at < json->length; part++) {
        if (j->dead.length - j->dead_statement >=
            STATEMENT_BYTES) { /* Each ends with a 0. */
            sl_buffer_byte(&j->dead, 0);
            j->dead_statement = j->dead.length;
        }
        if (j->dead.length == j->dead_statement)
            statement_dead_begin(&j->table, j->delivery->target, &j->dead);
        else
            sl_buffer_byte(&j->dead, ',');
        size_t length = piece(json->bytes + at, json->length - at);
        statement_dead_row(j->delivery->partition, position, name, part,
                           (const char *)json->bytes + at, length, &j->dead);
        at += length;
    }
    j->dead.failed = j->dead.failed || json->failed;
    j->dead_rows++;
}

sl_status dead_check(const job *j, uint32_t column, sl_error *error) {
    if (j->dead.failed)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    if (j->dead.length > DEAD_BYTES_MAX)
        return sl_error_set(
            error, SL_EIO,
            "nearly nothing fits into column \"%s\" of the warehouse's table",
            j->table.columns[column].name);
    return SL_OK;
}

void dead_forget(job *j) {
    sl_buffer_clear(&j->dead);
    j->dead_statement = j->dead_sent = 0;
    j->dead_rows = 0;
}

static void dead_put(job *j, const sl_postgres_result *result) {
    (void)result;
    if (j->dead_sent >= j->dead.length) {
        j->then_dead(j, result);
        return;
    }
    const char *text = (const char *)j->dead.bytes + j->dead_sent;
    sl_buffer_clear(&j->text);
    sl_buffer_text(&j->text, text);
    j->dead_sent += strlen(text) + 1;
    job_query(j, "put rows that don't fit", dead_put);
}

void dead_send(job *j, job_step *then) {
    (void)sl_buffer_cstr(&j->dead);
    j->dead_sent = 0;
    j->then_dead = then;
    dead_put(j, NULL);
}
