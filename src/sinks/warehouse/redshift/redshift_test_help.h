/* A delivery thread's furniture, entries, and a look at the server through a connection of the test's own. */
#pragma once

#include "private.h"

#include "sluice/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HERE "journal:11111111-aaaa"
#define THERE "journal:22222222-bbbb"

typedef struct world {
    sl_loop *loop;
    sl_http_client *http;
    sl_aws_credentials *credentials;
    sl_object_store *store;
    sl_target *target;
    sl_postgres *admin;
    char stage[200], spool[200];
    const char *id;           /* of upserts */
    int64_t turns_left;       /* the loop is stopped after so many; 0: when done */
    sl_delivery delivery;     /* on its way */
    sl_buffer found;          /* with SL_EMOVED, by the last deliver_once() */
    unsigned objects;         /* counted by staged_objects() */
    bool done;
    sl_status status;
    sl_error error;
} world;

/** An entry with what it points to. */
typedef struct parcel {
    sl_delivery delivery;
    sl_entry entry;
    char hash[40];
} parcel;

sl_clock test_clock(void);
/** @param change May alter options before the target is made; NULL. */
void world_open(world *w, void (*change)(sl_redshift_options *options));
void world_close(world *w);
void target_open(world *w);
void target_close(world *w);
/** Deliver once; the target's answer. */
sl_status deliver_once(world *w, const parcel *p);
/** As the engine does: again until it is in, or stops. */
sl_status deliver(world *w, const parcel *p);

/** First cell of the statement's result, "" when there is none; valid until the next call. */
const char *ask(world *w, const char *format, ...) SL_PRINTF(2, 3);
int64_t ask_number(world *w, const char *format, ...) SL_PRINTF(2, 3);
/** Objects below the stage. */
unsigned staged_objects(world *w);
/** Once deletions had some seconds to be carried out. */
unsigned staged_objects_at_last(world *w);
void rest_ms(unsigned ms);

/* Events: id, kind, user, amount, price, at, paid, day, tags. */
sl_schema *test_schema(void);
typedef struct event {
    int64_t position, at_us;
    const char *id, *kind, *user, *tags;
    double amount;
    int64_t price;
} event;
event numbered(int64_t n);
/** Event rows [first, first + count) as `files` row files. */
parcel rows_parcel(world *w, const char *table, const char *partition, uint64_t sequence, int64_t first,
                   int64_t count, unsigned files);
parcel parcel_of(world *w, const char *table, const char *partition, uint64_t sequence, uint64_t from, uint64_t to);
/** It brings offsets [from, to) of the partition kafka:c/t/N@g; as often as called. */
void parcel_brings(parcel *p, unsigned n, uint64_t from, uint64_t to);
void parcel_file(world *w, parcel *p, const sl_buffer *rows, uint64_t count);
sl_window_plan *test_plan(const sl_schema *schema);
/** The deltas of the same events. */
parcel window_parcel(world *w, const sl_window_plan *plan, const char *table, const char *partition,
                     uint64_t sequence, int64_t first, int64_t count);
void parcel_fini(world *w, parcel *p);
/** The ledger's position of kafka:c/t/N@g, -1: it has none; and its id is its own. */
int64_t part_position(world *w, const char *table, unsigned n);

/** Drop a table, and what is beside it. */
void forget(world *w, const char *table);
/** Deliver and free. */
void take(world *w, parcel p);
/** Every event of 0 … count-1 once, with what it had; and nothing is staged any more. */
void check_rows(world *w, const char *table, int64_t count);
