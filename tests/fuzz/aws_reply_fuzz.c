// links: sluice_aws
/* Replies with credentials, JSON and XML: keys that are taken can stand in a header, and a refusal in a line of a log. */
#include "../../src/io/aws/replies.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, bool required) {
    if (required && text[0] == 0)
        abort();
    for (; *text != 0; text++)
        if (*text < 0x21 || *text > 0x7e)
            abort();
}

static void check_keys(sl_status status, sl_aws_owned_keys *keys) {
    if ((status == SL_OK) != (keys->access_key_id != NULL))
        abort();
    if (status == SL_OK) {
        check_text(keys->access_key_id, true);
        check_text(keys->secret_access_key, true);
        check_text(keys->session_token != NULL ? keys->session_token : "", false);
    }
    sl_aws_owned_keys_fini(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sl_aws_owned_keys keys = {0};
    sl_error error = {0};
    char words[64];
    check_keys(sl_aws_read_json_keys(data, size, &keys, &error), &keys);
    check_keys(sl_aws_read_sts_keys(data, size, &keys, &error), &keys);
    sl_aws_read_sts_error(data, size, words, sizeof words);
    for (const char *c = words; *c != 0; c++)
        if (*c < 0x20 || *c > 0x7e)
            abort();
    return 0;
}
