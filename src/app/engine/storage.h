/** @file storage.h
 * What happens to cuts on their way out: committed to the ledger, then delivered.
 */
#pragma once

#include "cuts.h"

#include "sluice/target.h"
#include "sluice/warehouse.h"

/** A committed entry on its way out: the storage thread's, then the loop's, delivered. */
struct pending {
    message head; /**< MESSAGE_DELIVERED */
    struct pending *next;
    table *of;
    sl_entry entry;
    shape *shape;
    uint64_t bytes;       /**< Of its files. */
    char hash[24];
    /* While the delivery actor has it. */
    sl_engine *engine;
    sl_delivery delivery;
    sl_buffer found;
    int64_t watermark_after_us; /**< Of the stream where the next pending one begins. */
    sl_status status;
    sl_error error;
};

struct storage_actor {
    sl_actor actor;
    sl_engine *engine;
    sl_ring in, out, arrived; /**< `arrived`: from the delivery actor. */
    sl_ledger *ledger;
    sl_warehouse *warehouse;
    cut *first_commit, **last_commit;
    table *tables[4096]; /**< Have (had) pending entries. */
    uint32_t table_count, turn;
    uint64_t file_number;
    _Atomic uint64_t spool_bytes[DESTINATIONS_MAX];
};

typedef struct delivery_actor {
    sl_actor actor;
    sl_engine *engine;
    sl_ring in;
} delivery_actor;

/* storage.c */
sl_status storage_create(sl_engine *e, sl_error *error);
void storage_destroy(sl_engine *e);
/** Inside a transaction: give tables without an id their row in the ledger; `fresh` until it is committed. */
sl_status storage_register(storage_actor *a, table **tables, uint32_t count, sl_error *error);
int64_t storage_retry_delay(uint32_t tries);

/* prepare.c */
/** Build and sync the files of all its entries; goes on where it failed. @return SL_EIO: what was written is lost. */
sl_status cut_prepare(storage_actor *a, cut *c, sl_error *error);
/** A file of rows, built here, for the entry of table i, which has it then, written or not. */
sl_status cut_rows(storage_actor *a, cut *c, uint32_t i, const char *name, const sl_buffer *rows, uint64_t count, sl_error *error);

/* finals.c: rows of closed windows, as messages */
/** The entry's files, and what states become. Nothing is stored, so that it may be done again. */
sl_status finals_prepare(storage_actor *a, cut *c, uint32_t i, sl_error *error);
/** In the transaction. */
sl_status finals_store(storage_actor *a, cut *c, uint32_t i, sl_error *error);
/** Worker, storage: texts as they are, everything else as in JSON, but without its quotes. */
void topic_key_text(const sl_value *value, sl_buffer *out);

/* deliver.c */
sl_status delivery_create(sl_engine *e, sl_error *error);
void delivery_destroy(sl_engine *e);
/** One delivery is begun, done or settled. @return false: nothing to do. */
bool storage_deliver(storage_actor *a);
/** Its files are needed no more. */
void storage_clear_spool(storage_actor *a, const pending *p);
/** A committed entry is to be delivered; entry is moved from. */
bool storage_enqueue(storage_actor *a, table *t, sl_entry *entry, shape *s);
