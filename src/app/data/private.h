/** @file private.h
 * What the files of this folder share.
 */
#pragma once

#include "sluice/data.h"

/** A loader for the request, and the end of it. @param columns Typed ones, where nothing was before. */
sl_status sl_data_begin(const sl_data_request *r, sl_lookup_format format, const sl_lookup_column *columns,
                        uint32_t count, sl_lookup_loader **out, sl_error *error);
sl_status sl_data_finish(sl_lookup_loader *loader, sl_lookup **out, sl_buffer *left_out, sl_error *error);
/** Size, time and identity of a file. @param[out] quiet_us Since it was changed last. */
sl_status sl_data_look(const char *path, sl_data_seen *seen, int64_t *quiet_us, sl_error *error);

sl_status sl_data_object(const sl_data_request *r, sl_lookup **out, sl_buffer *left_out, sl_error *error);
sl_status sl_data_sqlite(const sl_data_request *r, sl_lookup **out, sl_buffer *left_out, sl_error *error);
sl_status sl_data_postgres(const sl_data_request *r, sl_lookup **out, sl_buffer *left_out, sl_error *error);

/** SELECT of a table or query with its rows in the order of the key. */
void sl_data_select(const sl_config_lookup *lookup, sl_buffer *out);

struct sl_loop;
/** A loop that runs until one thing is done. */
typedef struct sl_data_wait {
    struct sl_loop *loop;
    const _Atomic bool *stop;
    bool done;
    sl_status status;
    sl_error error;
} sl_data_wait;
sl_status sl_data_wait_open(sl_data_wait *w, const _Atomic bool *stop, sl_error *error);
void sl_data_wait_done(sl_data_wait *w, sl_status status, const sl_error *error);
/** @return what it ended with; SL_EAGAIN: `stop`. */
sl_status sl_data_wait_for(sl_data_wait *w, sl_error *error);
void sl_data_wait_close(sl_data_wait *w);
