#include "kpl.h"

#include "sluice/buffer.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void put_bytes(sl_buffer *out, uint32_t number, const void *bytes, size_t length) {
    sl_buffer_varint(out, number << 3 | 2);
    sl_buffer_varint(out, length);
    sl_buffer_append(out, bytes, length);
}

static void put_record(sl_buffer *out, uint64_t key, const char *data) {
    sl_buffer record = SL_BUFFER_EMPTY;
    sl_buffer_varint(&record, 1 << 3);
    sl_buffer_varint(&record, key);
    put_bytes(&record, 3, data, strlen(data));
    put_bytes(&record, 4, "\n\1k", 3); /* A tag, which nobody asks for. */
    put_bytes(out, 3, record.bytes, record.length);
    sl_buffer_fini(&record);
}

/* Magic, message, MD5. */
static sl_buffer sealed(const sl_buffer *message) {
    sl_buffer out = SL_BUFFER_EMPTY;
    uint8_t sum[EVP_MAX_MD_SIZE];
    sl_buffer_append(&out, "\xf3\x89\x9a\xc2", 4);
    sl_buffer_append(&out, message->bytes, message->length);
    assert_int_equal(EVP_Digest(message->bytes, message->length, sum, NULL, EVP_md5(), NULL), 1);
    sl_buffer_append(&out, sum, 16);
    return out;
}

static uint32_t count_of(const sl_buffer *message) {
    sl_buffer whole = sealed(message);
    uint32_t count = aws_kpl_count(whole.bytes, whole.length);
    sl_buffer_fini(&whole);
    return count;
}

static bool take(void *context, const uint8_t *data, size_t length) {
    sl_buffer_append(context, data, length);
    sl_buffer_byte(context, ';');
    return true;
}

static bool take_none(void *context, const uint8_t *data, size_t length) {
    (void)data, (void)length;
    return ++*(int *)context < 2;
}

static sl_buffer three(void) {
    sl_buffer message = SL_BUFFER_EMPTY;
    put_record(&message, 0, "{\"a\":1}"); /* Records may come before the table that they name. */
    put_bytes(&message, 1, "key a", 5);
    put_bytes(&message, 1, "key b", 5);
    put_record(&message, 1, "");
    put_record(&message, 1, "three");
    return message;
}

static void user_records_come_out_in_their_order(void **state) {
    (void)state;
    sl_buffer message = three(), out = SL_BUFFER_EMPTY, whole = sealed(&message);
    int calls = 0;
    assert_int_equal(aws_kpl_count(whole.bytes, whole.length), 3);
    assert_true(aws_kpl_each(whole.bytes, whole.length, take, &out));
    assert_string_equal(sl_buffer_cstr(&out), "{\"a\":1};;three;");
    assert_false(aws_kpl_each(whole.bytes, whole.length, take_none, &calls));
    assert_int_equal(calls, 2);
    sl_buffer_fini(&message);
    sl_buffer_fini(&out);
    sl_buffer_fini(&whole);
}

static void damage_anywhere_makes_it_a_plain_record(void **state) {
    (void)state;
    sl_buffer message = three(), whole = sealed(&message);
    for (size_t i = 0; i < whole.length; i++) {
        whole.bytes[i] ^= 4;
        assert_int_equal(aws_kpl_count(whole.bytes, whole.length), 0);
        whole.bytes[i] ^= 4;
        assert_int_equal(aws_kpl_count(whole.bytes, i), 0);
    }
    assert_int_equal(aws_kpl_count(whole.bytes, whole.length), 3);
    sl_buffer_fini(&message);
    sl_buffer_fini(&whole);
}

/* With a checksum that is right. */
static void a_message_cut_short_is_no_message(void **state) {
    (void)state;
    sl_buffer message = three();
    size_t all = message.length;
    for (message.length = 0; message.length < all; message.length++) {
        uint32_t count = count_of(&message);
        assert_true(count < 3); /* Between two members it is whole, and has fewer records. */
    }
    assert_int_equal(count_of(&message), 3);
    sl_buffer_fini(&message);
}

static void indexes_beyond_their_tables_are_refused(void **state) {
    (void)state;
    sl_buffer message = SL_BUFFER_EMPTY;
    put_bytes(&message, 1, "key", 3);
    put_record(&message, 1, "x");
    assert_int_equal(count_of(&message), 0);
    sl_buffer_clear(&message);
    put_bytes(&message, 1, "key", 3);
    put_bytes(&message, 3, "\x08\x00\x10\x00\x1a\x01x", 7); /* An explicit hash key that there is none of. */
    assert_int_equal(count_of(&message), 0);
    put_bytes(&message, 2, "5", 1);
    assert_int_equal(count_of(&message), 1);
    put_bytes(&message, 3, "\x08\x00", 2); /* Without data. */
    assert_int_equal(count_of(&message), 0);
    sl_buffer_fini(&message);
}

static void strange_wires_and_numbers_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"\x0b", "\x02\x00", "\x80", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
                                      "\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x1a\x02\x08"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sl_buffer message = three();
        sl_buffer_append(&message, bad[i], strlen(bad[i]));
        assert_int_equal(count_of(&message), 0);
        sl_buffer_fini(&message);
    }
    sl_buffer message = three();
    sl_buffer_append(&message, "\x29" "12345678" "\x2d" "1234" "\x30\x7f", 16); /* Unknown, and well formed. */
    assert_int_equal(count_of(&message), 3);
    sl_buffer_fini(&message);
}

static void without_records_it_is_plain(void **state) {
    (void)state;
    sl_buffer message = SL_BUFFER_EMPTY;
    put_bytes(&message, 1, "key", 3);
    assert_int_equal(count_of(&message), 0);
    assert_int_equal(aws_kpl_count((const uint8_t *)"\xf3\x89\x9a\xc2", 4), 0);
    sl_buffer_fini(&message);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_records_come_out_in_their_order),   cmocka_unit_test(damage_anywhere_makes_it_a_plain_record),
        cmocka_unit_test(a_message_cut_short_is_no_message),      cmocka_unit_test(indexes_beyond_their_tables_are_refused),
        cmocka_unit_test(strange_wires_and_numbers_are_refused),  cmocka_unit_test(without_records_it_is_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
