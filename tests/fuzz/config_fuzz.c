// links: sluice_configuration
/* Any text as a configuration: it loads or is refused, and what loads is shown in a form
 * that loads again and is shown the same. Paths stay inside an empty world: there is no
 * directory below them.
 */
#include "sluice/config.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const environment[] = {"USER_NAME=someone", "EMPTY=", "DOLLAR=$${x}",
                                          NULL};

/** Librdkafka isn't asked. */
static sl_status any_property(const char *name, const char *value, sl_error *error) {
    return *name == 'x' ? sl_error_set(error, SL_EINVAL, "no property %s (%s)", name, value) : SL_OK;
}

/** @param same What it must be shown as, or NULL: it may be refused. */
static void load(const char *text, const char *same) {
    sl_config_source source = {.text = text, .environment = environment, .kafka_property = any_property};
    sl_config *config = NULL;
    sl_error error = {0};
    sl_status status = sl_config_load(&source, NULL, NULL, &config, &error);
    assert((status == SL_OK) == (config != NULL));
    assert(status == SL_OK || (!same && strlen(error.text)));
    assert(!same || !strcmp(config->text, same));
    /* With secrets the shown text lacks them; "***" is no token. */
    if (config && !same && !config->http.token_count)
        load(config->text, config->text);
    sl_config_destroy(config);
}

/** As `sluice test` loads it, and its values as it reads stored JSON. */
static void for_a_test(const char *text) {
    sl_config_source source = {.text = text, .environment = environment, .trial = 1, .kafka_property = any_property};
    sl_config *config = NULL;
    sl_error error = {0};
    sl_status status = sl_config_load(&source, NULL, NULL, &config, &error);
    assert((status == SL_OK) == (config != NULL) && (status == SL_OK || strlen(error.text)));
    for (uint32_t i = 0; config && i < config->test_count; i++)
        assert(config->tests[i].name && (config->tests[i].event_count == 0 || config->tests[i].events));
    sl_config_destroy(config);
    sl_arena arena;
    sl_arena_init(&arena, 4096);
    (void)sl_trial_value_parse(&arena, text, strlen(text));
    sl_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 65536)
        return 0;
    char *text = sl_strndup((const char *)data, size);
    if (text) {
        load(text, NULL);
        for_a_test(text);
    }
    sl_free(text);
    return 0;
}
