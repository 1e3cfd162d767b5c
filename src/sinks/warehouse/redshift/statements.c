/* Redshift's SQL. No ON CONFLICT, no RETURNING, no E'…', no alias for what is deleted from. */
#include "private.h"

#include "sluice/time.h"

#include <inttypes.h>

static void quote(const char *name, sl_buffer *out) {
    sl_dialect_quote(SL_DIALECT_REDSHIFT, name, out);
}

static void literal(const char *text, sl_buffer *out) {
    sl_dialect_literal(SL_DIALECT_REDSHIFT, text, strlen(text), out);
}

static bool json(const sl_warehouse_column *c) {
    return c->type == SL_TYPE_JSON || c->type == SL_TYPE_GROUP;
}

void statement_stage_create(const sl_warehouse_table *table, sl_buffer *out) {
    sl_buffer_text(out, "CREATE TEMP TABLE \"" STAGE_TABLE "\" (");
    bool first = true;
    for (uint32_t i = 0; i < table->count; i++) {
        const sl_warehouse_column *c = &table->columns[i];
        if (!stage_has(c))
            continue;
        sl_buffer_text(out, first ? "" : ", ");
        first = false;
        quote(c->name, out);
        sl_buffer_byte(out, ' ');
        if (json(c))
            sl_buffer_text(out, "VARCHAR(65535)");
        else
            sl_warehouse_type(SL_DIALECT_REDSHIFT, c, out);
    }
    sl_buffer_byte(out, ')');
}

void statement_copy(const char *bucket, const char *manifest, const char *iam_role,
                    const sl_aws_keys *keys, sl_buffer *out) {
    sl_buffer url = SL_BUFFER_EMPTY;
    sl_buffer_printf(&url, "s3://%s/%s", bucket, manifest);
    sl_buffer_text(out, "COPY \"" STAGE_TABLE "\" FROM ");
    literal(sl_buffer_cstr(&url), out);
    out->failed = out->failed || url.failed;
    sl_buffer_fini(&url);
    if (keys == NULL && strcmp(iam_role, "default") == 0) {
        sl_buffer_text(out, " IAM_ROLE default");
    } else if (keys == NULL) {
        sl_buffer_text(out, " IAM_ROLE ");
        literal(iam_role, out);
    } else {
        sl_buffer_text(out, " ACCESS_KEY_ID ");
        literal(keys->access_key_id, out);
        sl_buffer_text(out, " SECRET_ACCESS_KEY ");
        literal(keys->secret_access_key, out);
        if (keys->session_token != NULL && *keys->session_token != 0) {
            sl_buffer_text(out, " SESSION_TOKEN ");
            literal(keys->session_token, out);
        }
    }
    sl_buffer_text(out, " FORMAT AS PARQUET MANIFEST");
}

static const sl_warehouse_column *id_of(const sl_warehouse_table *table) {
    for (uint32_t i = 0; i < table->count; i++)
        if (table->columns[i].unique)
            return &table->columns[i];
    return NULL;
}

/* table."x" = stage."x" */
static void joined(const sl_warehouse_table *table, const char *name, sl_buffer *out) {
    sl_buffer_text(out, table->full);
    sl_buffer_byte(out, '.');
    quote(name, out);
    sl_buffer_text(out, " = \"" STAGE_TABLE "\".");
    quote(name, out);
}

bool statement_delete(const sl_warehouse_table *table, sl_buffer *out) {
    const sl_warehouse_column *id = id_of(table);
    if (!table->window && id == NULL)
        return false;
    sl_buffer_printf(out, "DELETE FROM %s USING \"" STAGE_TABLE "\" WHERE ", table->full);
    joined(table, id != NULL ? id->name : "_key", out);
    if (table->window) { /* The sort key: spares reading other blocks. */
        sl_buffer_text(out, " AND ");
        joined(table, "window_start", out);
    }
    return true;
}

static bool super(const sl_live_table *live, const char *name) {
    const sl_live_column *c = sl_live_find(live, name);
    return c != NULL && (strcmp(c->type, "super") == 0 || strcmp(c->type, "jsonb") == 0);
}

void statement_insert(const sl_warehouse_table *table, const sl_live_table *live,
                      int64_t partition, sl_buffer *out) {
    const sl_warehouse_column *id = id_of(table);
    sl_buffer_printf(out, "INSERT INTO %s (", table->full);
    sl_warehouse_columns(table, "", out);
    sl_buffer_text(out, ") SELECT ");
    for (uint32_t i = 0; i < table->count; i++) {
        const sl_warehouse_column *c = &table->columns[i];
        if (i != 0)
            sl_buffer_byte(out, ',');
        if (!stage_has(c)) {
            sl_buffer_printf(out, "%" PRId64, partition);
            continue;
        }
        bool parse = json(c) && super(live, c->name);
        sl_buffer_text(out, parse ? "JSON_PARSE(s." : "s.");
        quote(c->name, out);
        if (parse)
            sl_buffer_byte(out, ')');
    }
    if (id == NULL) {
        sl_buffer_text(out, " FROM \"" STAGE_TABLE "\" s");
        return;
    }
    /* Of rows with one id the last counts; rows without an id are all kept. */
    sl_buffer_text(out, " FROM (SELECT t.*, ROW_NUMBER() OVER (PARTITION BY t.");
    quote(id->name, out);
    sl_buffer_text(out, " ORDER BY t.\"_position\" DESC) AS \"_turn\" FROM \"" STAGE_TABLE
                        "\" t) s WHERE s.\"_turn\" = 1 OR s.");
    quote(id->name, out);
    sl_buffer_text(out, " IS NULL");
}

static void time_literal(int64_t us, sl_buffer *out) {
    char text[32];
    size_t length = sl_time_format(us, text);
    for (size_t i = 0; i < length; i++) /* "2026-01-01 00:00:00.5": a TIMESTAMP has no zone. */
        text[i] = text[i] == 'T' ? ' ' : text[i];
    if (length != 0 && text[length - 1] == 'Z')
        length--;
    sl_dialect_literal(SL_DIALECT_REDSHIFT, text, length, out);
}

void statement_select(const sl_warehouse_table *table, int64_t first_us, int64_t last_us,
                      sl_buffer *out) {
    sl_buffer_text(out, "SELECT ");
    sl_warehouse_columns(table, "", out);
    sl_buffer_printf(out, " FROM %s WHERE \"window_start\" BETWEEN ", table->full);
    time_literal(first_us, out);
    sl_buffer_text(out, " AND ");
    time_literal(last_us, out);
    sl_buffer_text(out, " AND \"_key\" IN (");
}

void statement_dead_create(const sl_warehouse_table *table, const char *target, sl_buffer *out) {
    sl_buffer_text(out, "CREATE TABLE IF NOT EXISTS ");
    sl_warehouse_dead_table(table, target, out);
    sl_buffer_text(out, " (\"partition\" VARCHAR(512) NOT NULL, \"position\" BIGINT NOT NULL,"
                        " \"column\" VARCHAR(512) NOT NULL, \"part\" BIGINT NOT NULL,"
                        " \"row\" VARCHAR(65535) NOT NULL) SORTKEY(\"position\")");
}

void statement_dead_begin(const sl_warehouse_table *table, const char *target, sl_buffer *out) {
    sl_buffer_text(out, "INSERT INTO ");
    sl_warehouse_dead_table(table, target, out);
    sl_buffer_text(out, " (\"partition\",\"position\",\"column\",\"part\",\"row\") VALUES ");
}

void statement_dead_row(const char *partition, int64_t position, const char *column,
                        uint32_t part, const char *text, size_t length, sl_buffer *out) {
    sl_buffer_byte(out, '(');
    literal(partition, out);
    sl_buffer_printf(out, ",%" PRId64 ",", position);
    literal(column, out);
    sl_buffer_printf(out, ",%" PRIu32 ",", part);
    sl_dialect_literal(SL_DIALECT_REDSHIFT, text, length, out);
    sl_buffer_byte(out, ')');
}

const char *statement_load_errors(unsigned n) {
    return n == 0 ? "SELECT error_code, TRIM(error_message), TRIM(column_name), TRIM(file_name)"
                    " FROM sys_load_error_detail WHERE session_id = pg_backend_pid()"
                    " ORDER BY start_time DESC, query_id DESC LIMIT 3"
           : n == 1 ? "SELECT err_code, TRIM(err_reason), TRIM(colname), TRIM(filename)"
                      " FROM stl_load_errors WHERE session = pg_backend_pid()"
                      " ORDER BY starttime DESC, query DESC LIMIT 3"
                    : NULL;
}

void manifest_text(const char *bucket, const staged_file *files, uint32_t count,
                   sl_buffer *out) {
    sl_buffer url = SL_BUFFER_EMPTY;
    sl_buffer_text(out, "{\"entries\":[");
    for (uint32_t i = 0; i < count; i++) {
        sl_buffer_clear(&url);
        sl_buffer_printf(&url, "s3://%s/%s", bucket, files[i].key);
        sl_buffer_text(out, i == 0 ? "{\"url\":" : ",{\"url\":");
        sl_buffer_json_string(out, sl_buffer_cstr(&url), url.length);
        sl_buffer_printf(out, ",\"mandatory\":true,\"meta\":{\"content_length\":%" PRIu64 "}}",
                         files[i].bytes);
    }
    sl_buffer_text(out, "]}");
    out->failed = out->failed || url.failed;
    sl_buffer_fini(&url);
}

static void safe(const char *text, sl_buffer *out) {
    for (size_t i = 0; text[i] != 0 && i < 100; i++) {
        char c = text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
        sl_buffer_byte(out, (uint8_t)(plain ? c : '-'));
    }
}

void stage_prefix(const char *prefix, size_t prefix_length, const char *table,
                  const char *partition, sl_buffer *out) {
    sl_buffer_append(out, prefix, prefix_length);
    if (prefix_length != 0)
        sl_buffer_byte(out, '/');
    safe(table, out);
    uint64_t hash = sl_hash64(partition, strlen(partition), sl_hash64(table, strlen(table), 0));
    sl_buffer_printf(out, "-%08" PRIx32 ".", (uint32_t)hash);
    safe(partition, out);
    sl_buffer_byte(out, '.');
}
