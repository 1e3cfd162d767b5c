/** @file ledger.h
 * What the ledger's files share: the database, positions and times in it.
 */
#pragma once

#include "sluice/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct sl_ledger {
    sl_sql *sql;
};

static inline sl_status ledger_no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "ledger: out of memory");
}

static inline uint64_t position_of(sl_sql_statement *s, int column) {
    return strtoull(sl_sql_text(s, column, NULL), NULL, 10);
}

static inline void bind_position(sl_sql_statement *s, int at, uint64_t position) {
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, position);
    sl_sql_bind_string(s, at, text);
}

static inline int64_t time_of(sl_sql_statement *s, int column) {
    return sl_sql_is_null(s, column) ? INT64_MIN : sl_sql_int(s, column);
}

static inline void bind_time(sl_sql_statement *s, int at, int64_t us) {
    if (us == INT64_MIN)
        sl_sql_bind_null(s, at);
    else
        sl_sql_bind_int(s, at, us);
}
