// What tests of contracts on texts share: a verdict on a text. Include it after cmocka.h.
#pragma once

#include "sluice/contract.h"

#include <stdio.h>
#include <stdlib.h>

static const sl_contract_options plain = {0};

static inline sl_contract *compile_with(const char *schema,
                                        const sl_contract_options *options) {
    sl_contract *contract;
    sl_error error = {.text = ""};
    if (sl_contract_compile(schema, strlen(schema), options, &contract, &error) != SL_OK)
        fail_msg("%s: %s", schema, error.text);
    return contract;
}

/** "" when the text is good, else "pointer keyword: message". */
static const char *verdict_with(const char *schema, const char *text,
                                const sl_contract_options *options) {
    static char said[2048];
    sl_contract *contract = compile_with(schema, options);
    sl_contract_checker *checker;
    sl_contract_refusal r;
    assert_int_equal(sl_contract_checker_create(contract, NULL, &checker), SL_OK);
    size_t length = strlen(text);
    uint8_t *padded = calloc(1, length + SL_PADDING);
    memcpy(padded, text, length);
    said[0] = 0;
    sl_status status = sl_contract_check(checker, padded, length, &r);
    if (status == SL_EINVAL) {
        assert_int_equal(strlen(r.pointer), r.pointer_length);
        assert_int_equal(strlen(r.message), r.message_length);
        assert_int_equal(strlen(r.rule), r.rule_length);
        assert_true(r.at + r.value_length <= length);
        assert_memory_equal(r.value, padded + r.at, r.value_length);
        snprintf(said, sizeof said, "%s %s: %s", r.pointer, r.keyword, r.message);
    } else {
        assert_int_equal(status, SL_OK);
    }
    free(padded);
    sl_contract_checker_destroy(checker);
    sl_contract_unref(contract);
    return said;
}

static const char *verdict(const char *schema, const char *text) {
    return verdict_with(schema, text, &plain);
}

static inline void good(const char *schema, const char *text) {
    const char *said = verdict(schema, text);
    if (*said != 0)
        fail_msg("%s refuses %s: %s", schema, text, said);
}

static inline void bad(const char *schema, const char *text) {
    if (*verdict(schema, text) == 0)
        fail_msg("%s lets %s pass", schema, text);
}
