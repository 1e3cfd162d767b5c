/* Values to cells, and the hash that audit compares. */
#include "private.h"

#include "sluice/time.h"

#include <math.h>
#include <string.h>

/* Times as RFC 3339 text, which SQLite's date functions read; decimals as REAL beside an exact state. */
void sl_sqlite_bind(sl_sql_statement *s, int at, const sl_value *v) {
    char text[40];
    if (v->null) {
        sl_sql_bind_null(s, at);
        return;
    }
    switch (v->type) {
    case SL_TYPE_BOOL:
    case SL_TYPE_INT64:
        sl_sql_bind_int(s, at, v->as.i64);
        break;
    case SL_TYPE_DOUBLE:
        sl_sql_bind_double(s, at, v->as.f64);
        break;
    case SL_TYPE_DECIMAL:
        sl_sql_bind_double(s, at, (double)v->as.i64 / pow(10, v->scale));
        break;
    case SL_TYPE_DATE:
        (void)sl_date_format((int32_t)v->as.i64, text);
        sl_sql_bind_string(s, at, text);
        break;
    case SL_TYPE_TIMESTAMP:
        (void)sl_time_format(v->as.i64, text);
        sl_sql_bind_string(s, at, text);
        break;
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
        sl_sql_bind_text(s, at, (const char *)v->as.text.bytes, v->as.text.length);
        break;
    case SL_TYPE_BYTES:
        sl_sql_bind_blob(s, at, v->as.text.bytes, v->as.text.length);
        break;
    case SL_TYPE_GROUP:
        sl_sql_bind_null(s, at);
        break;
    }
}

static void hash_bytes(cell_hash *h, const char *column, char kind, const void *bytes, size_t length) {
    *h += sl_hash64(bytes, length, sl_hash64(column, strlen(column), (unsigned char)kind));
}

void sl_sqlite_hash_value(cell_hash *h, const char *column, const sl_value *v) {
    char text[40];
    if (v->null || v->type == SL_TYPE_GROUP)
        return;
    if (v->type == SL_TYPE_BOOL || v->type == SL_TYPE_INT64) {
        hash_bytes(h, column, 'i', &v->as.i64, 8);
    } else if (v->type == SL_TYPE_DOUBLE || v->type == SL_TYPE_DECIMAL) {
        double d = v->type == SL_TYPE_DOUBLE ? v->as.f64 : (double)v->as.i64 / pow(10, v->scale);
        if (!isnan(d)) /* SQLite stores NaN as NULL. */
            hash_bytes(h, column, 'f', &d, 8);
    } else if (v->type == SL_TYPE_DATE || v->type == SL_TYPE_TIMESTAMP) {
        size_t n = v->type == SL_TYPE_DATE ? sl_date_format((int32_t)v->as.i64, text)
                                           : sl_time_format(v->as.i64, text);
        hash_bytes(h, column, 't', text, n);
    } else {
        hash_bytes(h, column, v->type == SL_TYPE_BYTES ? 'b' : 't', v->as.text.bytes, v->as.text.length);
    }
}

void sl_sqlite_hash_cell(cell_hash *h, const char *column, sl_sql_statement *s, int at) {
    size_t length;
    switch (sl_sql_type(s, at)) {
    case SL_SQL_NULL:
        break;
    case SL_SQL_INT: {
        int64_t i = sl_sql_int(s, at);
        hash_bytes(h, column, 'i', &i, 8);
        break;
    }
    case SL_SQL_DOUBLE: {
        double d = sl_sql_double(s, at);
        hash_bytes(h, column, 'f', &d, 8);
        break;
    }
    case SL_SQL_TEXT: {
        const char *text = sl_sql_text(s, at, &length);
        hash_bytes(h, column, 't', text, length);
        break;
    }
    case SL_SQL_BLOB: {
        const void *bytes = sl_sql_blob(s, at, &length);
        hash_bytes(h, column, 'b', bytes, length);
        break;
    }
    }
}
