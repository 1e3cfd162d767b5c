// links: sluice_window
// Texts of measures: whatever they say, a plan is made or refused with a message, and a
// plan makes a window.

#include "sluice/window.h"

#include <stdlib.h>

static sl_schema *make_schema(bool inferred) {
    static const struct {
        const char *name;
        sl_type type;
    } fields[] = {{"user", SL_TYPE_STRING},   {"amount", SL_TYPE_DOUBLE},
                  {"price", SL_TYPE_DECIMAL}, {"n", SL_TYPE_INT64},
                  {"paid", SL_TYPE_BOOL},     {"at", SL_TYPE_TIMESTAMP},
                  {"tags", SL_TYPE_JSON},     {"geo", SL_TYPE_GROUP}};
    sl_schema *schema = sl_schema_create("fuzz");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (schema == NULL ||
            sl_schema_add(schema, 0, fields[i].name, strlen(fields[i].name),
                          fields[i].type) == SL_NO_FIELD)
            abort();
    schema->inferred = inferred;
    return schema;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static sl_schema *schemas[2];
    if (schemas[0] == NULL) {
        schemas[0] = make_schema(false);
        schemas[1] = make_schema(true);
    }
    char *text = sl_strndup((const char *)data, size);
    if (text == NULL)
        abort();
    sl_measure_definition measures[] = {{"events", "count()"}, {"m", text}};
    sl_window_definition definition = {
        .name = "w", .width_us = 1, .measures = measures, .measure_count = 2};
    for (int i = 0; i < 2; i++) {
        sl_window_plan *plan;
        sl_window *window = NULL;
        sl_error error = {0};
        sl_status status = sl_window_plan_create(&definition, schemas[i], &plan, &error);
        if ((status == SL_OK) != (plan != NULL) ||
            (status != SL_OK && error.text[0] == '\0'))
            abort();
        if (plan != NULL && sl_window_create(plan, NULL, &window) != SL_OK)
            abort();
        sl_window_destroy(window);
        sl_window_plan_destroy(plan);
    }
    sl_free(text);
    return 0;
}
