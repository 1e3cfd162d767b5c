/* One test's world: a loop with an S3 that does wrong on order, a client, a store, and
 * credentials that the tests decide on, in place of the real ones. */
#pragma once

#include "s3_private.h"
#include "s3_test_help.h"

struct sl_aws_credentials {
    uv_timer_t timer;
    sl_aws_wait *waiting;
    char key[32];
    unsigned generation, fetched;
    bool valid, refuse;
    sl_aws_identity identity;
};

extern struct sl_aws_credentials credentials;

enum { MIB = 1 << 20 };

typedef struct world {
    uv_loop_t *loop;
    fake *fake;
    sl_http_client *http;
    sl_object_store *store;
    sl_metrics *metrics;
    char endpoint[64], root[64];
    bool done;
    sl_status status;
    sl_error error;
    sl_buffer text;
    unsigned calls;
} world;

enum { CONTENT_BYTES = 5 * MIB };
extern uint8_t *content; /* Noise, from make_content() on. */
int make_content(void **state);
int free_content(void **state);

/* The real clocks. */
int64_t wall_us(void *context);
int64_t monotonic_us(void *context);

/** @param options Times and sizes are small unless it says otherwise. */
void open_world_with(world *w, sl_object_store_options options);
void open_world(world *w);
void close_world(world *w);
void on_done(void *context, sl_status status, const sl_error *error);
/** Until on_done(). @return What it was told. */
sl_status run(world *w);
sl_status put_bytes(world *w, const char *key, const void *bytes, size_t length);
/** Of the bytes, as its metadata has it; static. */
const char *hash_text(const void *bytes, size_t length);
void assert_object(world *w, const char *path, const void *bytes, size_t length);
