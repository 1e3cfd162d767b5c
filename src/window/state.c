// The partials of one (window, group) as bytes, and what a warehouse sink does with them.
// src/window/README.md has the form.

#include "private.h"

void sl_slots_write(const sl_window_plan *plan, uint64_t rows, const uint8_t *slots,
                    sl_buffer *out) {
    sl_buffer_byte(out, SL_WINDOW_STATE_VERSION);
    sl_buffer_varint(out, rows);
    for (uint32_t i = 0; i < plan->measure_count; i++)
        sl_slot_write(&plan->measures[i], slots + plan->aims[i].slot, out);
}

// A state that was read back.
typedef struct contents {
    const sl_window_plan *plan;
    sl_window_purse memory;
    uint64_t rows;
    uint8_t *slots;
} contents;

static sl_status content_init(contents *content, const sl_window_plan *plan) {
    content->plan = plan;
    content->memory = (sl_window_purse){0};
    content->rows = 0;
    content->slots = sl_window_purse_get(&content->memory, plan->slot_bytes + 1u);
    return content->slots == NULL ? SL_ENOMEM : SL_OK;
}

static void content_fini(contents *content) {
    if (content->slots == NULL)
        return;
    sl_slots_fini(content->plan, content->slots, &content->memory);
    sl_window_purse_give(&content->memory, content->slots,
                         content->plan->slot_bytes + 1u);
}

static bool is_text_extreme(const sl_measure *measure) {
    return (measure->kind == SL_MEASURE_MIN || measure->kind == SL_MEASURE_MAX) &&
           measure->type == SL_TYPE_STRING;
}

// @param numbers Where least and greatest texts go, borrowed from `state`; NULL: nowhere.
static sl_status content_absorb(contents *content, const uint8_t *state, size_t length,
                                sl_value *numbers) {
    const sl_window_plan *plan = content->plan;
    sl_window_reader reader = {.at = state, .end = length == 0 ? state : state + length};
    if (sl_window_read_byte(&reader) != SL_WINDOW_STATE_VERSION)
        return SL_ECORRUPT;
    content->rows += sl_window_read_varint(&reader);
    for (uint32_t i = 0; i < plan->measure_count; i++) {
        const uint8_t *partial = reader.at;
        const sl_measure *measure = &plan->measures[i];
        sl_status status = sl_slot_absorb(measure, content->slots + plan->aims[i].slot,
                                          &reader, &content->memory);
        if (status != SL_OK)
            return status;
        if (numbers != NULL &&
            is_text_extreme(measure)) // Behind the tag: an encoded value.
            sl_value_decode(partial + 1, (size_t)(reader.at - partial) - 1, &numbers[i]);
    }
    return reader.bad || reader.at != reader.end ? SL_ECORRUPT : SL_OK;
}

static sl_status content_write(const contents *content, sl_buffer *out) {
    sl_slots_write(content->plan, content->rows, content->slots, out);
    return out->failed ? SL_ENOMEM : SL_OK;
}

sl_status sl_window_state_merge(const sl_window_plan *plan, const uint8_t *a,
                                size_t a_length, const uint8_t *b, size_t b_length,
                                sl_buffer *out) {
    contents merged;
    sl_status status = content_init(&merged, plan);
    if (status == SL_OK)
        status = content_absorb(&merged, a, a_length, NULL);
    if (status == SL_OK)
        status = content_absorb(&merged, b, b_length, NULL);
    if (status == SL_OK)
        status = content_write(&merged, out);
    content_fini(&merged);
    return status;
}

uint64_t sl_window_state_rows(const sl_window_plan *plan, const uint8_t *state,
                              size_t length) {
    (void)plan; // The head is the same for all.
    sl_window_reader reader = {.at = state, .end = length == 0 ? state : state + length};
    if (sl_window_read_byte(&reader) != SL_WINDOW_STATE_VERSION)
        return 0;
    return sl_window_read_varint(&reader);
}

static void derive(const sl_window_plan *plan, sl_value *numbers) {
    sl_window_derived *derived = plan->derived;
    if (derived == NULL)
        return;
    pthread_mutex_lock(&derived->lock);
    for (uint32_t i = 0; i < plan->order_count; i++) {
        uint32_t index = plan->order[i];
        const sl_measure *measure = &plan->measures[index];
        if (measure->kind == SL_MEASURE_DERIVED) {
            sl_value value = sl_expression_value(measure->derived, derived->values);
            bool fits =
                value.type == measure->type && !value.null &&
                (value.type != SL_TYPE_DOUBLE || value.as.f64 - value.as.f64 == 0);
            numbers[index] = fits ? value
                                  : (sl_value){.type = measure->type,
                                               .null = true,
                                               .scale = measure->scale};
        }
        derived->values[i] = numbers[index];
    }
    pthread_mutex_unlock(&derived->lock);
}

sl_status sl_window_state_numbers(const sl_window_plan *plan, const uint8_t *state,
                                  size_t length, sl_value *numbers) {
    contents read;
    sl_status status = content_init(&read, plan);
    if (status == SL_OK)
        status = content_absorb(&read, state, length, numbers);
    if (status == SL_OK) {
        for (uint32_t i = 0; i < plan->measure_count; i++)
            if (!is_text_extreme(&plan->measures[i]))
                numbers[i] = sl_slot_number(&plan->measures[i],
                                            read.slots + plan->aims[i].slot, read.rows);
        derive(plan, numbers);
    }
    content_fini(&read);
    return status;
}

sl_status sl_window_state_partial(const sl_window_plan *plan, const uint8_t *state,
                                  size_t length, uint32_t index, sl_buffer *out) {
    if (index >= plan->measure_count)
        return SL_EINVAL;
    contents read;
    sl_status status = content_init(&read, plan);
    if (status == SL_OK)
        status = content_absorb(&read, state, length, NULL);
    if (status == SL_OK) {
        sl_buffer_byte(out, SL_WINDOW_STATE_VERSION);
        sl_slot_write(&plan->measures[index], read.slots + plan->aims[index].slot, out);
        status = out->failed ? SL_ENOMEM : SL_OK;
    }
    content_fini(&read);
    return status;
}

// A null partial is one that has counted nothing.
static sl_status absorb_partial(const sl_measure *measure, uint8_t *slot,
                                const sl_value *partial, sl_window_purse *memory) {
    if (partial->null)
        return SL_OK;
    if (!sl_is_text(partial->type))
        return SL_ETYPE;
    size_t length = partial->as.text.length;
    sl_window_reader reader = {.at = partial->as.text.bytes};
    reader.end = length == 0 ? reader.at : reader.at + length;
    if (sl_window_read_byte(&reader) != SL_WINDOW_STATE_VERSION)
        return SL_ECORRUPT;
    sl_status status = sl_slot_absorb(measure, slot, &reader, memory);
    return status == SL_OK && reader.at != reader.end ? SL_ECORRUPT : status;
}

sl_status sl_window_state_build(const sl_window_plan *plan, uint64_t rows,
                                const sl_value *numbers, const sl_value *partials,
                                sl_buffer *out) {
    contents built;
    sl_status status = content_init(&built, plan);
    built.rows = rows;
    for (uint32_t i = 0; i < plan->measure_count && status == SL_OK; i++) {
        const sl_measure *measure = &plan->measures[i];
        uint8_t *slot = built.slots + plan->aims[i].slot;
        if (sl_slot_bytes(measure) == 0)
            continue;
        status = measure->state
                     ? absorb_partial(measure, slot, &partials[i], &built.memory)
                     : sl_slot_from_number(measure, slot, &numbers[i], &built.memory);
    }
    if (status == SL_OK)
        status = content_write(&built, out);
    content_fini(&built);
    return status;
}
