/** @file recovery.h
 * A start: what it finds in the ledger and the journal, and what of it fits the configuration.
 */
#pragma once

#include "state.h"

#include "sluice/checkpoint.h"

/** A table as the ledger has it. */
typedef struct stored_table {
    struct stored_table *next;
    int64_t id;
    char *name, *stream, *target;
    uint64_t first, last, cursor, sequence;
    int64_t watermark_us;
    sl_table_kind kind;
    table *match;
    bool returned; /* It was not configured at the last start. */
    bool kept;     /* It can't be delivered: its files stay. */
} stored_table;

/** While the engine is put together. */
typedef struct recovery {
    sl_engine *engine;
    stored_table *tables, **last;
    uint64_t highest;
    sl_error *error;
    char **spool;
    uint32_t spool_count, spool_capacity;
} recovery;

/* recovery.c */
/** Journal, streams, tables, what is on its way out: all as the last run left it. */
sl_status recover(sl_engine *e, sl_error *error);

/* configured.c */
/** The configuration meets what the ledger has. Nothing stays of one that doesn't fit. */
sl_status enter_configuration(sl_engine *e, recovery *r, sl_error *error);
