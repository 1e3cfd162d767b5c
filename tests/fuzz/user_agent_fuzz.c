// links: sluice_user_agent
// Rules, a 0 byte, and a string: the rules are refused with a message, or answer; and the
// filter before the expressions never changes an answer.

#include "sluice/user_agent.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT_MAX 4096u

static void keep(const sl_user_agent_text *parts, sl_buffer *out) {
    for (unsigned i = 0; i < SL_UA_PARTS; i++) {
        sl_buffer_u32(out, parts[i].bytes != NULL ? parts[i].length : UINT32_MAX);
        sl_buffer_append(out, parts[i].bytes != NULL ? parts[i].bytes : "",
                         parts[i].length);
    }
}

static void compare(const sl_user_agent_rules *rules, const char *text, size_t length) {
    static const uint32_t nowhere[SL_UA_PARTS] = {0};
    sl_user_agent_step *step;
    if (sl_user_agent_step_create(rules, 1, nowhere, 0, &step) != SL_OK)
        abort();
    sl_user_agent_text parts[SL_UA_PARTS];
    sl_buffer plain = SL_BUFFER_EMPTY, filtered = SL_BUFFER_EMPTY;
    bool known = sl_user_agent_parse(step, text, length, false, parts);
    keep(parts, &plain);
    if (sl_user_agent_parse(step, text, length, true, parts) != known)
        abort();
    keep(parts, &filtered);
    if (plain.length != filtered.length ||
        memcmp(plain.bytes, filtered.bytes, plain.length) != 0)
        abort();
    sl_buffer_fini(&plain);
    sl_buffer_fini(&filtered);
    sl_user_agent_step_destroy(step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > TEXT_MAX)
        return 0;
    const uint8_t *end = memchr(data, 0, size);
    size_t yaml_length = end != NULL ? (size_t)(end - data) : size;
    sl_user_agent_rules *rules;
    sl_error error = {0};
    sl_status status =
        sl_user_agent_rules_load((const char *)data, yaml_length, &rules, &error);
    if (status != SL_OK) {
        if (error.text[0] == 0 || error.status != status || rules != NULL)
            abort();
        return 0;
    }
    const char *text = (const char *)data + (end != NULL ? yaml_length + 1 : 0);
    compare(rules, text, (size_t)((const char *)data + size - text));
    sl_user_agent_rules_unref(rules);
    return 0;
}
