/** @file audit_remote.h
 * What `sluice audit` reads outside this machine: objects in S3, tables of PostgreSQL and Redshift. Clients are made when they
 * are first needed; calls wait.
 */
#pragma once

#include "sluice/config.h"
#include "sluice/object_store.h"
#include "sluice/warehouse.h"

typedef struct sl_audit_remote {
    const sl_config *config;
    sl_files *files;
    sl_object_reader *objects;
    bool whole; /**< Read objects, not only what S3 says of them. */
} sl_audit_remote;

/** @param url "s3://bucket/prefix/KEY" @return as sl_object_reader_verify(). */
SL_CHECKED sl_status sl_audit_remote_object(sl_audit_remote *remote, const char *url, const sl_entry_file *file,
                                            sl_error *error);
/** All objects below `url`, each by its own URL. */
typedef sl_status sl_audit_object_fn(void *context, const char *url, uint64_t bytes);
SL_CHECKED sl_status sl_audit_remote_list(sl_audit_remote *remote, const char *url, sl_audit_object_fn *each,
                                          void *context, sl_error *error);
/** Its last bytes, `length` at most; all of a smaller one. */
SL_CHECKED sl_status sl_audit_remote_tail(sl_audit_remote *remote, const char *url, uint64_t bytes, uint64_t length,
                                          sl_buffer *out, sl_error *error);
/** As sl_warehouse_audit(), of the warehouse behind a socket. */
SL_CHECKED sl_status sl_audit_remote_table(sl_audit_remote *remote, const char *table, const char *partition,
                                           bool window, uint64_t from, uint64_t to, sl_warehouse_fact *out,
                                           sl_error *error);
/** Up to where a table is in its topic. @param[out] position -1: it has no marker there. */
SL_CHECKED sl_status sl_audit_remote_marker(sl_audit_remote *remote, const char *topic, const char *table, const char *partition,
                                            int64_t *position, sl_error *error);
void sl_audit_remote_fini(sl_audit_remote *remote);
