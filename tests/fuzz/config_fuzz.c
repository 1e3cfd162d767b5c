// links: sluice_configuration
/* Any text as a configuration: it loads or is refused, and what loads is shown in a form
 * that loads again. Paths stay inside an empty world: there is no directory below them.
 */
#include "sluice/config.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const environment[] = {"USER_NAME=someone", "EMPTY=", "DOLLAR=$${x}",
                                          NULL};

static void load(const char *text, bool must) {
    sl_config_source source = {.text = text, .environment = environment};
    sl_config *config = NULL;
    sl_error error = {0};
    sl_status status = sl_config_load(&source, NULL, NULL, &config, &error);
    assert((status == SL_OK) == (config != NULL));
    assert(status == SL_OK || (!must && strlen(error.text)));
    /* With secrets the shown text lacks them; "***" is no token. */
    if (config && !must && !config->http.token_count)
        load(config->text, true);
    sl_config_destroy(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 65536)
        return 0;
    char *text = sl_strndup((const char *)data, size);
    if (text)
        load(text, false);
    sl_free(text);
    return 0;
}
