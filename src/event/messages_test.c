// Messages of a record: what is put is what is read; whatever isn't whole is refused.

#include "sluice/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char partition[] = "kafka:cluster/orders/3";

static void three(sl_buffer *out, const sl_messages_origin *origin) {
    sl_messages_begin(out, origin);
    assert_true(sl_messages_add(out, &(sl_message_item){.bytes = (const uint8_t *)"{\"a\":1}", .length = 7, .place = 2}));
    uint8_t *to = sl_messages_reserve(out, 100);
    assert_non_null(to);
    to[0] = '\n'; /* Bytes are bytes. */
    sl_messages_commit(out, 1);
    assert_true(sl_messages_add(out, &(sl_message_item){.arrival_us = 1700000000000000, .place = 70000}));
}

static void messages_are_read_as_they_were_put(void **state) {
    (void)state;
    static const int64_t arrivals[] = {0, 0, 1700000000000000};
    static const char *const texts[] = {"{\"a\":1}", "\n", ""};
    static const uint32_t places[] = {2, 0, 70000};
    sl_buffer body = SL_BUFFER_EMPTY;
    sl_messages_reader reader;
    sl_message_item item;
    three(&body, NULL);
    assert_true(sl_messages_read(body.bytes, body.length, &reader));
    assert_int_equal(reader.count, 3);
    assert_int_equal(reader.origin.length, 0);
    for (size_t i = 0; i < 3; i++) {
        assert_true(sl_messages_next(&reader, &item));
        assert_int_equal(item.arrival_us, arrivals[i]);
        assert_int_equal(item.place, places[i]);
        assert_int_equal(item.length, strlen(texts[i]));
        assert_memory_equal(item.bytes, texts[i], item.length);
    }
    assert_false(sl_messages_next(&reader, &item));
    assert_int_equal(reader.at, body.length);
    sl_buffer_fini(&body);
}

/* Blocks of heads end at 1, 3, 7, 15, 31, 63, 127, 191. */
static void as_many_as_there_are_are_read_in_their_order(void **state) {
    (void)state;
    sl_buffer body = SL_BUFFER_EMPTY;
    sl_messages_begin(&body, NULL);
    for (uint32_t count = 0; count <= 260; count++) {
        sl_messages_reader reader;
        sl_message_item item;
        assert_true(sl_messages_valid(body.bytes, body.length));
        assert_true(sl_messages_read(body.bytes, body.length, &reader));
        assert_int_equal(reader.count, count);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(sl_messages_next(&reader, &item));
            assert_int_equal(item.place, i);
            assert_int_equal(item.length, i % 5);
            for (uint32_t k = 0; k < item.length; k++)
                assert_int_equal(item.bytes[k], (uint8_t)i);
        }
        assert_false(sl_messages_next(&reader, &item));
        const uint8_t bytes[4] = {(uint8_t)count, (uint8_t)count, (uint8_t)count, (uint8_t)count};
        assert_true(sl_messages_add(&body, &(sl_message_item){.bytes = bytes, .length = count % 5, .place = count}));
    }
    sl_buffer_fini(&body);
}

static void a_failed_one_leaves_the_others(void **state) {
    (void)state;
    for (uint32_t have = 0; have < 8; have++) {
        sl_buffer body = SL_BUFFER_EMPTY;
        sl_messages_begin(&body, NULL);
        for (uint32_t i = 0; i < have; i++)
            assert_true(sl_messages_add(&body, &(sl_message_item){.bytes = (const uint8_t *)"{}", .length = 2}));
        const size_t length = body.length;
        sl_memory_fail_at(1);
        assert_null(sl_messages_reserve(&body, 1 << 20));
        sl_memory_fail_at(0);
        body.failed = false;
        assert_int_equal(body.length, length);
        assert_true(sl_messages_add(&body, &(sl_message_item){.bytes = (const uint8_t *)"{}", .length = 2}));
        assert_true(sl_messages_valid(body.bytes, body.length));
        sl_buffer_fini(&body);
    }
}

static void an_origin_says_where_they_come_from(void **state) {
    (void)state;
    const sl_messages_origin put = {partition, sizeof partition - 1, 7, 8, 1, true};
    sl_buffer body = SL_BUFFER_EMPTY;
    sl_messages_origin got;
    three(&body, &put);
    sl_messages_end(&body, 10, 99);
    assert_true(sl_messages_head(body.bytes, body.length, &got));
    assert_int_equal(got.length, put.length);
    assert_memory_equal(got.partition, partition, put.length);
    assert_int_equal(got.from, 7);
    assert_int_equal(got.to, 10);
    assert_int_equal(got.check, 99);
    assert_true(got.history);
    assert_true(sl_messages_valid(body.bytes, body.length));
    sl_buffer_fini(&body);
}

static void a_body_that_is_cut_anywhere_is_refused(void **state) {
    (void)state;
    const sl_messages_origin put = {partition, sizeof partition - 1, 7, 10, 1, false};
    sl_buffer body = SL_BUFFER_EMPTY;
    three(&body, &put);
    uint8_t *copy = malloc(body.length);
    assert_non_null(copy);
    for (size_t length = 0; length <= body.length; length++) {
        memcpy(copy + body.length - length, body.bytes, length); /* What lies behind it belongs to others. */
        assert_int_equal(sl_messages_valid(copy + body.length - length, length), length == body.length);
    }
    memset(copy, 0xff, 12);
    assert_false(sl_messages_valid(copy, 12));
    memset(copy, 0, 4); /* More messages than heads of them would fit. */
    assert_false(sl_messages_valid(copy, 12));
    free(copy);
    sl_buffer_fini(&body);
}

static void without_memory_nothing_is_added(void **state) {
    (void)state;
    sl_buffer body = SL_BUFFER_EMPTY;
    sl_memory_fail_at(1);
    sl_messages_begin(&body, NULL);
    sl_memory_fail_at(0);
    assert_true(body.failed);
    assert_false(sl_messages_add(&body, &(sl_message_item){.bytes = (const uint8_t *)"{}", .length = 2}));
    assert_null(sl_messages_reserve(&body, 2));
    sl_messages_end(&body, 1, 2);
    assert_int_equal(body.length, 0);
    sl_buffer_fini(&body);
}

static void an_address_says_where_a_message_belongs(void **state) {
    (void)state;
    const uint8_t key[SL_ADDRESS_KEY] = "0123456789abcdef";
    const sl_message_address put = {.stream = "clicks",
                                    .stream_length = 6,
                                    .source = "http",
                                    .source_length = 4,
                                    .format = {SL_FORMAT_CSV, SL_HEADER_PRESENT, ';'},
                                    .key = key};
    for (int keyed = 0; keyed < 2; keyed++) {
        sl_message_address given = put, got;
        given.key = keyed ? key : NULL;
        sl_buffer out = SL_BUFFER_EMPTY;
        sl_message_address_put(&out, &given);
        const size_t length = out.length;
        sl_buffer_text(&out, "a;b");
        assert_int_equal(sl_message_address_get(out.bytes, out.length, &got), length);
        assert_int_equal(got.stream_length, 6);
        assert_memory_equal(got.stream, "clicks", 6);
        assert_int_equal(got.source_length, 4);
        assert_memory_equal(got.source, "http", 4);
        assert_memory_equal(&got.format, &put.format, sizeof put.format);
        assert_int_equal(got.key != NULL, keyed);
        if (keyed)
            assert_memory_equal(got.key, key, sizeof key);
        for (size_t n = 0; n < length; n++)
            assert_int_equal(sl_message_address_get(out.bytes, n, &got), 0);
        out.bytes[2] = SL_FORMAT_MESSAGES;
        assert_int_equal(sl_message_address_get(out.bytes, out.length, &got), 0);
        sl_buffer_fini(&out);
    }
}

static void messages_with_addresses_are_told_from_those_without(void **state) {
    (void)state;
    const sl_message_address nowhere = {.stream = "", .source = ""};
    sl_buffer bytes = SL_BUFFER_EMPTY, body = SL_BUFFER_EMPTY;
    sl_message_address_put(&bytes, &nowhere);
    sl_messages_begin(&body, NULL);
    assert_true(sl_messages_addressed(body.bytes, body.length));
    assert_true(sl_messages_add(&body, &(sl_message_item){.bytes = bytes.bytes, .length = (uint32_t)bytes.length}));
    assert_true(sl_messages_addressed(body.bytes, body.length));
    assert_true(sl_messages_add(&body, &(sl_message_item){.bytes = (const uint8_t *)"{}", .length = 2}));
    assert_true(sl_messages_valid(body.bytes, body.length));
    assert_false(sl_messages_addressed(body.bytes, body.length));
    sl_buffer_fini(&bytes);
    sl_buffer_fini(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_read_as_they_were_put),
        cmocka_unit_test(as_many_as_there_are_are_read_in_their_order),
        cmocka_unit_test(a_failed_one_leaves_the_others),
        cmocka_unit_test(an_origin_says_where_they_come_from),
        cmocka_unit_test(a_body_that_is_cut_anywhere_is_refused),
        cmocka_unit_test(without_memory_nothing_is_added),
        cmocka_unit_test(an_address_says_where_a_message_belongs),
        cmocka_unit_test(messages_with_addresses_are_told_from_those_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
