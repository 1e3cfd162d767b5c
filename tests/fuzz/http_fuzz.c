// links: sluice_http
/* Bytes as they come from a peer. The first byte chooses how they are cut; any cut has to
 * give the same output as no cut. From 128 on the rest is the body of a coded request. */
#include "sluice/http.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void send_out(void *context, const void *bytes, size_t length) {
    sl_buffer_append(context, bytes, length);
}

static void handle(void *context, const sl_http_request *request) {
    (void)context;
    uint32_t sum = 0;
    for (size_t i = 0; i < request->length; i++)
        sum = sum * 31 + request->body[i];
    for (size_t i = 0; i < SL_PADDING; i++) /* Readable: the sanitizer looks. */
        sum ^= (uint32_t)(request->body[request->length + i] & 0);
    char text[32];
    int n = snprintf(text, sizeof text, "%zu %u", request->length, sum);
    sl_http_reply(request->exchange, 200, "text/plain", "", text, (size_t)n);
}

static sl_buffer run(const sl_http_options *options, const uint8_t *data, size_t size,
                     size_t step) {
    sl_buffer output = SL_BUFFER_EMPTY;
    sl_http_connection *connection =
        sl_http_connection_create(options, send_out, &output);
    if (connection == NULL)
        abort();
    for (size_t at = 0; at < size;) {
        size_t room;
        void *to = sl_http_connection_room(connection, &room);
        size_t n = size - at < step ? size - at : step;
        n = n < room ? n : room;
        memcpy(to, data + at, n);
        sl_http_connection_feed(connection, to, n);
        at += n;
    }
    sl_http_connection_finish(connection);
    sl_http_connection_destroy(connection);
    return output;
}

/** 100 (Continue) is said only when nothing of the body is there yet, which a cut may
 * change. */
static void drop_continues(sl_buffer *output) {
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    size_t n = sizeof text - 1, kept = 0;
    for (size_t at = 0; at < output->length;) {
        if (output->length - at >= n && memcmp(output->bytes + at, text, n) == 0)
            at += n;
        else
            output->bytes[kept++] = output->bytes[at++];
    }
    output->length = kept;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const codings[] = {"gzip", "deflate", "zstd"};
    sl_http_options options = {.body_bytes_max = 1 << 16, .handler = handle};
    if (size == 0)
        return 0;
    sl_buffer input = SL_BUFFER_EMPTY;
    if (data[0] >= 128)
        sl_buffer_printf(&input,
                         "POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: "
                         "%s\r\nContent-Length: %zu\r\n\r\n",
                         codings[data[0] % 3], size - 1);
    sl_buffer_append(&input, data + 1, size - 1);
    sl_buffer whole = run(&options, input.bytes, input.length, SIZE_MAX);
    sl_buffer cut = run(&options, input.bytes, input.length, (size_t)(data[0] & 63) + 1);
    drop_continues(&whole);
    drop_continues(&cut);
    if (whole.length != cut.length ||
        (whole.length > 0 && memcmp(whole.bytes, cut.bytes, cut.length) != 0))
        abort();
    sl_buffer_fini(&whole);
    sl_buffer_fini(&cut);
    sl_buffer_fini(&input);
    return 0;
}
