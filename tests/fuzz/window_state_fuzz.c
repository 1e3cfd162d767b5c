// links: sluice_window
// Stored window states: two of them, split at the first two bytes' place. Whatever they
// hold, reading and merging end with a status; where both are sound, the order of merging
// doesn't show and the result reads back.

#include "sluice/window.h"

#include <stdlib.h>

#define MEASURES 10

static const sl_measure_definition measures[MEASURES] = {
    {"events", "count()"},     {"paid", "count(paid)"},
    {"total", "sum(price)"},   {"mean", "avg(price)"},
    {"least", "min(amount)"},  {"last", "max(user)"},
    {"users", "unique(user)"}, {"p99", "quantile(amount, 0.99)"},
    {"spent", "sum(amount)"},  {"each", "avg(amount)"},
};

// The last two add doubles up, where the last bits depend on the order.
static sl_window_plan *make_plan(uint32_t count) {
    static const struct {
        const char *name;
        sl_type type;
    } fields[] = {{"user", SL_TYPE_STRING},
                  {"amount", SL_TYPE_DOUBLE},
                  {"price", SL_TYPE_INT64},
                  {"paid", SL_TYPE_BOOL}};
    sl_schema *schema = sl_schema_create("fuzz");
    for (size_t i = 0; i < 4; i++)
        if (schema == NULL ||
            sl_schema_add(schema, 0, fields[i].name, strlen(fields[i].name),
                          fields[i].type) == SL_NO_FIELD)
            abort();
    sl_window_definition definition = {
        .name = "w", .width_us = 1, .measures = measures, .measure_count = count};
    sl_window_plan *plan;
    if (sl_window_plan_create(&definition, schema, &plan, NULL) != SL_OK)
        abort();
    sl_schema_unref(schema);
    return plan;
}

static void take_apart(const sl_window_plan *plan, const uint8_t *state, size_t length,
                       uint32_t count) {
    sl_value numbers[MEASURES], partials[MEASURES];
    sl_buffer kept[MEASURES] = {0}, built = SL_BUFFER_EMPTY;
    if (sl_window_state_numbers(plan, state, length, numbers) != SL_OK)
        return;
    for (uint32_t i = 0; i < count; i++) {
        partials[i] = (sl_value){.type = SL_TYPE_BYTES};
        if (sl_window_state_partial(plan, state, length, i, &kept[i]) != SL_OK)
            abort();
        partials[i].as.text.bytes = kept[i].bytes;
        partials[i].as.text.length = kept[i].length;
    }
    // A crafted sum may be no number that fits; then the row is marked, and all the same
    // built.
    sl_status status = sl_window_state_build(
        plan, sl_window_state_rows(plan, state, length), numbers, partials, &built);
    if (status != SL_OK && status != SL_ETYPE)
        abort();
    for (uint32_t i = 0; i < count; i++)
        sl_buffer_fini(&kept[i]);
    sl_buffer_fini(&built);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static sl_window_plan *plans[2];
    if (plans[0] == NULL) {
        plans[0] = make_plan(MEASURES - 2);
        plans[1] = make_plan(MEASURES);
    }
    if (size < 2)
        return 0;
    uint32_t which = data[1] & 1;
    size_t split = (size_t)(data[0] | (data[1] >> 1) << 8);
    data += 2;
    size -= 2;
    split = split < size ? split : size;
    const sl_window_plan *plan = plans[which];
    take_apart(plan, data, split, which ? MEASURES : MEASURES - 2);
    sl_buffer forward = SL_BUFFER_EMPTY, backward = SL_BUFFER_EMPTY;
    sl_status status =
        sl_window_state_merge(plan, data, split, data + split, size - split, &forward);
    if (sl_window_state_merge(plan, data + split, size - split, data, split, &backward) !=
        status)
        abort();
    if (status == SL_OK && which == 0 &&
        (forward.length != backward.length ||
         memcmp(forward.bytes, backward.bytes, forward.length) != 0))
        abort();
    if (status == SL_OK)
        take_apart(plan, forward.bytes, forward.length, which ? MEASURES : MEASURES - 2);
    sl_buffer_fini(&forward);
    sl_buffer_fini(&backward);
    return 0;
}
