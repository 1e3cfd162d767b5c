/** @file s3_test_help.h
 * An S3 of its own on the loop of the test that uses it: keeps objects and uploads in
 * memory, checks checksums and conditions as AWS does, and does wrong on order.
 */
#pragma once

#include "sluice/object_store.h"

#include <uv.h>

typedef enum fake_action {
    FAKE_STATUS,          /* Answer `status`, `code`; nothing is done. */
    FAKE_REFUSE,          /* Close when the head is there. */
    FAKE_CUT,             /* Close when half of the body is there. */
    FAKE_LOSE,            /* Do it, then close without a word. */
    FAKE_SILENT,          /* Do it, then say nothing ever. */
    FAKE_WRONG_CRC,       /* Do it, then echo another checksum. */
    FAKE_ERROR_IN_200,    /* Nothing is done, 200 with an <Error>. */
    FAKE_DO_ERROR_IN_200, /* It is done, 200 with an <Error>. */
    FAKE_GARBAGE,         /* Do it, then 200 with no XML. */
    FAKE_DELAY,           /* Do it, answer after `status` ms. */
} fake_action;

typedef struct fake_fault {
    const char *method; /* NULL: any. */
    const char *match;  /* Part of the target; NULL: any. */
    int skip, times;
    fake_action action;
    unsigned status;
    const char *code, *more; /* more: header lines, each with its CR LF. */
} fake_fault;

typedef struct fake_object {
    char path[400]; /* "/bucket/key" as sent, encoded. */
    char hash[33], etag[40], crc[16], head[600];
    uint8_t *bytes;
    size_t length;
} fake_object;

typedef struct fake_part {
    uint8_t *bytes;
    size_t length;
    char crc[16];
} fake_part;

typedef struct fake_upload {
    char path[400], id[40], hash[33];
    fake_part parts[64];
} fake_upload;

enum { FAKE_OBJECTS = 64, FAKE_UPLOADS = 16, FAKE_FAULTS = 16, FAKE_LOG = 512 };

typedef struct fake {
    uv_loop_t *loop;
    uv_tcp_t listener;
    int port;
    fake_object objects[FAKE_OBJECTS];
    fake_upload uploads[FAKE_UPLOADS];
    size_t object_count, upload_count;
    fake_fault faults[FAKE_FAULTS];
    size_t fault_count;
    char log[FAKE_LOG][480]; /* "PUT /bucket/key?partNumber=1" */
    size_t log_count;
    char last_head[4096];    /* Of the last PUT or POST. */
    const char *expired_key; /* This access key is answered ExpiredToken. */
    int64_t now_us;          /* 0: any date passes. */
    unsigned next_upload, at_once, at_once_max;
    size_t list_page;
    struct fake_connection *connections;
} fake;

void fake_start(fake *f, uv_loop_t *loop);
void fake_stop(fake *f);
void fake_fail(fake *f, fake_fault fault);
fake_object *fake_find(fake *f, const char *path);
/* Something that was there before. */
void fake_add(fake *f, const char *path, const void *bytes, size_t length,
              const char *hash);
void fake_add_upload(fake *f, const char *path, const char *id);
/* Requests whose "METHOD target" holds both. */
size_t fake_count(const fake *f, const char *method, const char *match);
