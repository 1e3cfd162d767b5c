#include "shared.h"

#include "sluice/time.h"

#include <stdio.h>

#define EXCHANGES_MAX 1024u

sl_http_shared *sl_http_shared_create(sl_budget *budget) {
    sl_http_shared *shared = sl_calloc(1, sizeof *shared);
    if (shared == NULL)
        return NULL;
    shared->read = sl_calloc(1, HTTP_READ_BYTES + SL_PADDING);
    if (shared->read == NULL) {
        sl_free(shared);
        return NULL;
    }
    shared->budget = budget;
    if (budget != NULL)
        sl_budget_force(budget, HTTP_READ_BYTES);
    return shared;
}

static void drop_block(sl_http_shared *shared, http_block block) {
    if (shared->budget != NULL)
        sl_budget_give(shared->budget, block.capacity);
    sl_free(block.bytes);
}

static void drop_spares(sl_http_shared *shared, unsigned count) {
    while (count-- > 0 && shared->spare_count > 0)
        drop_block(shared, shared->spare[--shared->spare_count]);
}

void sl_http_shared_destroy(sl_http_shared *shared) {
    if (shared == NULL)
        return;
    drop_spares(shared, HTTP_SPARE_MAX);
    while (shared->exchanges != NULL) {
        sl_http_exchange *next = shared->exchanges->next;
        sl_free(shared->exchanges);
        shared->exchanges = next;
    }
    http_decoder_fini(&shared->decoder);
    sl_buffer_fini(&shared->output);
    if (shared->budget != NULL)
        sl_budget_give(shared->budget, HTTP_READ_BYTES);
    sl_free(shared->read);
    sl_free(shared);
}

void sl_http_shared_tick(sl_http_shared *shared, int64_t unix_seconds) {
    static const char days[] = "ThuFriSatSunMonTueWed";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t day = sl_time_floor(unix_seconds, 86400) / 86400;
    unsigned second = (unsigned)(unix_seconds - day * 86400);
    int year;
    unsigned month, month_day;
    sl_date_civil((int32_t)day, &year, &month, &month_day);
    /* IMF-fixdate, RFC 9110 section 5.6.7. */
    int n = snprintf(shared->date, sizeof shared->date,
                     "Date: %.3s, %02u %.3s %04d %02u:%02u:%02u GMT\r\n",
                     days + 3 * (unsigned)(((day % 7) + 7) % 7), month_day,
                     months + 3 * ((month + 11) % 12), year, second / 3600,
                     second / 60 % 60, second % 60);
    shared->date_length = n > 0 && (size_t)n < sizeof shared->date ? (size_t)n : 0;
    drop_spares(shared, shared->spare_count_min);
    shared->spare_count_min = shared->spare_count;
    if (shared->output.capacity > 4 * HTTP_READ_BYTES && shared->output.length == 0)
        sl_buffer_fini(&shared->output);
}

static size_t rounded(size_t size) {
    size_t unit = size > 65536 ? 65536 : 4096;
    return size > SIZE_MAX - unit - SL_PADDING ? size : (size + unit - 1) / unit * unit;
}

sl_status http_block_take(sl_http_shared *shared, size_t size, http_block *out) {
    size_t capacity = rounded(size);
    for (unsigned i = shared->spare_count; i-- > 0;) {
        if (shared->spare[i].capacity < capacity)
            continue;
        *out = shared->spare[i];
        shared->spare[i] = shared->spare[--shared->spare_count];
        if (shared->spare_count < shared->spare_count_min)
            shared->spare_count_min = shared->spare_count;
        return SL_OK;
    }
    if (sl_budget_take(shared->budget, capacity) != SL_OK) {
        drop_spares(shared, HTTP_SPARE_MAX);
        shared->spare_count_min = 0;
        if (sl_budget_take(shared->budget, capacity) != SL_OK)
            return SL_EFULL;
    }
    out->bytes = sl_malloc(capacity + SL_PADDING);
    if (out->bytes == NULL) {
        if (shared->budget != NULL)
            sl_budget_give(shared->budget, capacity);
        return SL_ENOMEM;
    }
    out->capacity = capacity;
    return SL_OK;
}

sl_status http_block_grow(sl_http_shared *shared, http_block *block, size_t size,
                          size_t max) {
    if (size <= block->capacity)
        return SL_OK;
    size_t wanted = block->capacity > max / 2 ? max : block->capacity * 2;
    size_t capacity = rounded(wanted > size ? wanted : size);
    if (block->bytes == NULL)
        return http_block_take(shared, capacity, block);
    size_t more = capacity - block->capacity;
    if (sl_budget_take(shared->budget, more) != SL_OK)
        return SL_EFULL;
    uint8_t *bytes = sl_realloc(block->bytes, capacity + SL_PADDING);
    if (bytes == NULL) {
        if (shared->budget != NULL)
            sl_budget_give(shared->budget, more);
        return SL_ENOMEM;
    }
    block->bytes = bytes;
    block->capacity = capacity;
    return SL_OK;
}

void http_block_give(sl_http_shared *shared, http_block *block) {
    if (block->bytes == NULL)
        return;
    if (block->capacity > HTTP_SPARE_BYTES_MAX || shared->spare_count == HTTP_SPARE_MAX)
        drop_block(shared, *block);
    else
        shared->spare[shared->spare_count++] = *block;
    *block = (http_block){0};
}

sl_http_replies sl_http_shared_replies(const sl_http_shared *shared) { return shared->replies; }

sl_http_exchange *http_exchange_take(sl_http_shared *shared) {
    sl_http_exchange *exchange = shared->exchanges;
    if (exchange == NULL)
        return sl_calloc(1, sizeof *exchange);
    shared->exchanges = exchange->next;
    shared->exchange_count--;
    memset(exchange, 0, sizeof *exchange);
    return exchange;
}

void http_exchange_give(sl_http_shared *shared, sl_http_exchange *exchange) {
    if (exchange->stored_bytes > 0 && shared->budget != NULL)
        sl_budget_give(shared->budget, exchange->stored_bytes);
    sl_buffer_fini(&exchange->stored);
    if (shared->exchange_count == EXCHANGES_MAX) {
        sl_free(exchange);
        return;
    }
    exchange->next = shared->exchanges;
    shared->exchanges = exchange;
    shared->exchange_count++;
}
