/** @file claims.h
 * What the log has of partitions of other logs (Kafka), and which parts of them a warehouse table takes.
 */
#pragma once

#include "actors.h"

#include "sluice/checkpoint.h"
#include "sluice/journal.h"

/** What isn't delivered of a table is taken back: from storage, then to it and back. In the table itself. */
struct void_order {
    message head;          /**< MESSAGE_VOID */
    table *of;
    sl_buffer found;       /**< What the warehouse's ledger says of other logs' partitions. */
    sl_ledger_table place; /* storage: where the table stands then */
    sl_status status;
    enum { VOID_NONE, VOID_WAITS, VOID_SENT } stage; /* loop */
    int64_t retry_at_us;   /* loop */
};

/* origins.c: how far the log has what other logs' partitions hold */
bool origins_expect(sl_engine *e, const uint8_t *body, size_t length); /**< So that noting it can't fail. @return false: no memory. */
bool origins_note(sl_engine *e, const sl_group *group); /**< A durable group. @return false: no memory. */
void origins_write(const sl_engine *e, sl_buffer *out); /**< For the ledger. */
sl_status origins_read(sl_engine *e, sl_error *error);
/** @return Its index, which stays; UINT32_MAX: no memory. */
uint32_t origins_index(sl_engine *e, const char *partition, size_t length);
const char *origins_name(const sl_engine *e, uint32_t index);
void origins_destroy(sl_engine *e);

/* claims.c: which parts of other logs' partitions a warehouse table takes, where other daemons may bring them, too */
sl_status claims_read(sl_engine *e, sl_error *error); /**< After the origins. */
/** Before the ticket: all that can fail. @return false: no memory, again later. */
bool claims_expect(sl_engine *e, task *t);
void claims_ticket(sl_engine *e, task *t); /**< It has its ticket. */
/** What was ticketed since the last cut, as lines. @param[out] ranges NULL: none. @return false: no memory. */
bool claims_ranges(const sl_engine *e, const table *t, char **ranges);
void claims_forget(table *t); /**< … is in an entry now, or comes again. */
/** Worker: rows of the part that the table doesn't take get another verdict, until they are shown again. @return how many. */
uint32_t claims_hide(const task *t, const part *p, const table *of);
void claims_show(const part *p);
/** Storage: a load was refused, found is what the warehouse has instead. */
void claims_refused(storage_actor *a, pending *p);
void claims_void(storage_actor *a, void_order *order);
/** Loop: an order came back, or waits. */
void claims_voided(sl_engine *e, void_order *order);
void claims_poll(sl_engine *e, int64_t now);
/** Below it nothing of the table comes again, whatever is voided. @param[out] watermark_us Of the stream there. NULL is allowed. */
uint64_t claims_floor(const table *t, int64_t *watermark_us);
uint64_t claims_lowest(const sl_engine *e); /**< … of any table. */
void claims_fini(table *t);
