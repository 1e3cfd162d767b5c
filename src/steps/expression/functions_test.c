// The table of functions beside the users' reference.

#include "internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define PAGE_BYTES_MAX 65535u

static void every_function_is_in_the_users_reference(void **state) {
    (void)state;
    FILE *file = fopen(EXPRESSION_REFERENCE, "r");
    assert_non_null(file);
    sl_buffer page = {0};
    assert_true(sl_buffer_reserve(&page, PAGE_BYTES_MAX + 1));
    page.length = fread(page.bytes, 1, PAGE_BYTES_MAX, file);
    fclose(file);
    const char *words = sl_buffer_cstr(&page);
    size_t count = 0;
    const function *all = all_functions(&count);
    for (size_t i = 0; i < count; i++)
        if (strstr(words, all[i].name) == NULL)
            fail_msg("%s is not in docs/expressions.md", all[i].name);
    sl_buffer_fini(&page);
}

// A signature decides how many operands a step has, and what the kernel reads.
static void every_signature_is_well_formed(void **state) {
    (void)state;
    size_t count = 0;
    const function *all = all_functions(&count);
    for (size_t i = 0; i < count; i++) {
        const char *signature = all[i].signature;
        size_t arguments = strspn(signature, "biudmatpsySLzr");
        assert_true(arguments >= 1 && arguments <= ARGUMENTS_MAX);
        assert_int_equal(signature[arguments], ':');
        assert_int_equal(strspn(signature + arguments + 1, "biudmatpsyS"), 1);
        assert_int_equal(strlen(signature), arguments + 2);
        assert_true(signature[0] != 'z' && signature[0] != 'r');
        assert_ptr_equal(find_function(all[i].name, signature), &all[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_is_in_the_users_reference),
        cmocka_unit_test(every_signature_is_well_formed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
