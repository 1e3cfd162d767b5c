// Lines of CSV as events: the rules of decode.h, by what comes out of them.

#include "decode_test_help.h"

static const char schema_text[] =
    "{\"type\":\"object\",\"required\":[\"id\"],\"properties\":{"
    "\"id\":{\"type\":\"string\"},"
    "\"n\":{\"type\":[\"integer\",\"null\"]},"
    "\"x\":{\"type\":[\"number\",\"null\"]},"
    "\"b\":{\"type\":[\"boolean\",\"null\"]},"
    "\"t\":{\"type\":\"string\",\"format\":\"date-time\"},"
    "\"m\":{\"type\":\"number\",\"x-decimal\":[10,2]},"
    "\"list\":{\"type\":\"array\"},"
    "\"a.b\":{\"type\":\"string\"},"
    "\"g\":{\"type\":\"object\",\"properties\":{"
    "\"k\":{\"type\":\"string\"},\"v\":{\"type\":\"integer\"},"
    "\"h\":{\"type\":\"object\",\"properties\":{\"z\":{\"type\":\"integer\"}}}}}}}";

static const sl_format with_header = {SL_FORMAT_CSV, SL_HEADER_PRESENT, ','};
static const sl_format without_header = {SL_FORMAT_CSV, SL_HEADER_ABSENT, ','};

static void expect_format(sl_format format, const char *body, bool places, const char *expected) {
    sl_schema *schema = make_schema(schema_text, true);
    expect_all(format, NULL, schema, &(sl_decoder_options){0}, body, strlen(body), places, expected);
    sl_schema_unref(schema);
}

static void expect(const char *body, const char *expected) {
    expect_format(with_header, body, false, expected);
}

static void expect_inferred(const char *body, const char *expected) {
    sl_schema *schema = make_inferred();
    expect_all(with_header, NULL, schema, &(sl_decoder_options){0}, body, strlen(body), false, expected);
    sl_schema_unref(schema);
}

static void every_type_lands_in_its_column(void **state) {
    (void)state;
    expect("id,n,x,b,t,m,list,g.k,g.h.z,g.v\r\n"
           "a,-5,2.5,true,1970-01-02T00:00:01.5Z,1.5,\"[1, {\"\"a\"\":2}]\",w,1,7\r\n",
           "row: id=a n=-5 x=2.5 b=true t=86401500000 m=150 list=[1, {\"a\":2}] g={} "
           "g.k=w g.v=7 g.h={} g.h.z=1\naccepted 1 rejected 0\n");
}

static void members_of_an_object_stand_together_wherever_their_columns_are(void **state) {
    (void)state;
    expect("g.k,id,g.h.z,n,g.v\nw,a,1,2,3\n",
           "row: id=a n=2 g={} g.k=w g.v=3 g.h={} g.h.z=1\naccepted 1 rejected 0\n");
}

static void a_dotted_name_that_the_schema_has_is_no_object(void **state) {
    (void)state;
    expect("id,a.b,.x,y.,c..d\n1,2,3,4,5\n",
           "row: id=1 a.b=2 _rest={\".x\":3,\"y.\":4,\"c..d\":5}\naccepted 1 rejected 0\n");
}

static void nothing_between_commas_is_no_value_and_quotes_are_an_empty_text(void **state) {
    (void)state;
    expect("id,n,x,b,a.b,g.k,g.h.z\n1,,,,,,\n\"\",\"\",\"\",\"\",\"\",\"\",\n",
           "row: id=1\nrow: id= a.b= g={} g.k=\naccepted 2 rejected 0\n");
    /* A required member that may be null is null; one that may not isn't there. */
    sl_schema *schema = make_schema("{\"type\":\"object\",\"required\":[\"n\",\"g\"],\"properties\":{\"n\":{\"type\":"
                                    "[\"integer\",\"null\"]},\"g\":{\"type\":\"object\",\"properties\":{\"k\":{"
                                    "\"type\":\"string\"}}},\"s\":{\"type\":\"string\"}}}", true);
    const char body[] = "s,n,g.k\n,,\n";
    expect_all(with_header, NULL, schema, &(sl_decoder_options){0}, body, sizeof body - 1, false,
               "row: g={}\naccepted 1 rejected 0\n");
    sl_schema_unref(schema);
    expect("n,id\n1,\n", "reject #0 5+2 at 2 required /id: line 2, column 3: required member is missing\n"
                         "accepted 0 rejected 1\n");
    expect("n\n1\n", "reject #0 2+1 at 0 required /id: line 2, column 1: required member is missing\n"
                     "accepted 0 rejected 1\n");
}

static void texts_stay_texts_and_numbers_are_numbers_in_jsons_way(void **state) {
    (void)state;
    expect("id,a.b\n01,true\n5,\"say \"\"hi\"\"\"\n\\,\"two\nlines\t\"\n\xC3\xA4,null\n",
           "row: id=01 a.b=true\nrow: id=5 a.b=say \"hi\"\nrow: id=\\ a.b=two\nlines\t\n"
           "row: id=\xC3\xA4 a.b=null\naccepted 4 rejected 0\n");
    expect("id,n\na,07\nb, 7\nc,7\nd,\"8\"\n",
           "row: id=c n=7\nrow: id=d n=8\n"
           "reject #0 5+4 at 2 type /n: line 2, column 3: expected int64, found a string\n"
           "reject #1 10+4 at 2 type /n: line 3, column 3: expected int64, found a string\n"
           "accepted 2 rejected 2\n");
}

static void inferred_columns_come_from_names_and_values(void **state) {
    (void)state;
    expect_inferred("id,n,x,b,time,g.z\nA1,5,2.5,false,2026-01-01T00:00:00Z,1e2\n",
                    "row: _rest={\"id\":\"A1\",\"n\":5,\"x\":2.5,\"b\":false,"
                    "\"time\":\"2026-01-01T00:00:00Z\",\"g\":{\"z\":1e2}}\n"
                    "proposal 0/id string\nproposal 0/n int64\nproposal 0/x double\nproposal 0/b bool\n"
                    "proposal 0/time timestamp\nproposal 0/g/z double\naccepted 1 rejected 0\n");
}

static void a_row_knows_its_bytes_and_broken_ones_spare_their_neighbours(void **state) {
    (void)state;
    expect_format(with_header,
                  "\xEF\xBB\xBFid,n\r\n"
                  "a,1\r\n\r\n"
                  "b\r\n"
                  "c,2,3\r\n"
                  "d,\"1\"x\r\n"
                  "\"two\nlines\",x\n"
                  "e,\xFF\n"
                  "f,2\n"
                  "\"g,3\nh,4",
                  true,
                  "row 9+3: id=a n=1\nrow 52+3: id=f n=2\nrow 61+3: id=h n=4\n"
                  "reject #1 16+1 at 0 syntax : line 4, column 1: 1 value for 2 names\n"
                  "reject #2 19+5 at 4 syntax : line 5, column 5: 3 values for 2 names\n"
                  "reject #3 26+6 at 5 syntax : line 6, column 6: text behind a closing quote\n"
                  "reject #4 34+13 at 12 type /n: line 8, column 8: expected int64, found a string\n"
                  "reject #5 48+3 at 2 syntax : line 9, column 3: not UTF-8\n"
                  "reject #7 56+4 at 0 syntax : line 11, column 1: the quote that the field begins with isn't closed\n"
                  "accepted 3 rejected 6\n");
}

static void names_may_come_from_the_configuration(void **state) {
    (void)state;
    static char id[] = "id", z[] = "g.h.z";
    char *const list[] = {id, z};
    const sl_decode_names names = {list, 2};
    sl_schema *schema = make_schema(schema_text, true);
    expect_all(without_header, &names, schema, &(sl_decoder_options){0}, "a,1\nb,2", 7, true,
               "row 0+3: id=a g={} g.h={} g.h.z=1\nrow 4+3: id=b g={} g.h={} g.h.z=2\naccepted 2 rejected 0\n");
    sl_format tabs = {SL_FORMAT_CSV, SL_HEADER_ABSENT, '\t'};
    expect_all(tabs, &names, schema, &(sl_decoder_options){0}, "a,1\t2", 5, true,
               "row 0+5: id=a,1 g={} g.h={} g.h.z=2\naccepted 1 rejected 0\n");
    sl_schema_unref(schema);
    expect_format(without_header, "a,1\nb,2", true,
                  "reject #0 0+7 at 0 syntax : there is no line of names, and the stream's csv.columns has none\n"
                  "accepted 0 rejected 1\n");
}

static void a_header_that_cannot_be_used_takes_its_record_along(void **state) {
    (void)state;
    expect("id,n,id\n1,2,3\n4,5,6\n",
           "reject #0 0+20 at 0 syntax : line 1, column 6: the name 'id' is there twice, or an object has it\n"
           "accepted 0 rejected 1\n");
    expect("g,g.k\n1,2\n", "reject #0 0+10 at 0 syntax : line 1, column 3: the name 'g.k' is there twice, or an object has it\n"
                           "accepted 0 rejected 1\n");
    // As old spreadsheets write lines: all of it is the first one.
    expect("id,n\r1,2\r3,4\r", "reject #0 0+13 at 0 syntax : line 1, column 4: a carriage return in a name; lines end in LF or CRLF\n"
                              "accepted 0 rejected 1\n");
    expect("id,n\r\r\n1,2\r\r\n", "reject #0 0+13 at 0 syntax : line 1, column 4: a carriage return in a name; lines end in LF or CRLF\n"
                                  "accepted 0 rejected 1\n");
    expect("g.k,g\n1,2\n", "reject #0 0+10 at 0 syntax : line 1, column 5: the name 'g' is there twice, or an object has it\n"
                           "accepted 0 rejected 1\n");
    expect("id,\"n\n1,2\n", "reject #0 0+10 at 0 syntax : line 1, column 4: the quote that the field begins with isn't "
                            "closed\naccepted 0 rejected 1\n");
    expect("", "reject #0 0+0 at 0 syntax : empty body\naccepted 0 rejected 1\n");
    expect("\r\n\n", "reject #0 3+0 at 0 syntax : empty body\naccepted 0 rejected 1\n");
    expect("id,n\n", "accepted 0 rejected 0\n"); /* A header says nothing wrong. */
}

static void a_format_of_a_later_version_is_refused_whole(void **state) {
    (void)state;
    expect_format((sl_format){9, 0, 0}, "?", false,
                  "reject #0 0+1 at 0 syntax : a record in a format that this version doesn't know\n"
                  "accepted 0 rejected 1\n");
}

static void an_event_may_be_an_objects_json(void **state) {
    (void)state;
    expect("id,g,list\n1,\"{\"\"k\"\":\"\"v\"\"}\",text\n2,x,1\n",
           "row: id=1 list=\"text\" g={} g.k=v\n"
           "reject #1 33+5 at 2 type /g: line 3, column 3: expected object, found a string\n"
           "accepted 1 rejected 1\n");
}

static void a_row_that_is_too_large_is_refused_with_its_place(void **state) {
    (void)state;
    sl_schema *schema = make_schema(schema_text, true);
    sl_decoder_options options = {.event_bytes_max = 16};
    const char body[] = "id,n\na234567890123,1\na23456789012345,1\n";
    expect_all(with_header, NULL, schema, &options, body, sizeof body - 1, true,
               "row 5+15: id=a234567890123 n=1\n"
               "reject #1 21+17 at 0 too_large : line 3: larger than 16 bytes\n"
               "accepted 1 rejected 1\n");
    sl_schema_unref(schema);
}

/** Many rows, over several batches, against the same as JSON. */
static void rows_over_batches_equal_those_of_json(void **state) {
    (void)state;
    sl_schema *schema = make_schema(schema_text, true);
    sl_buffer csv = SL_BUFFER_EMPTY, json = SL_BUFFER_EMPTY, out[2] = {SL_BUFFER_EMPTY, SL_BUFFER_EMPTY};
    sl_buffer_text(&csv, "n,g.k,id,unknown,g.h.z\n");
    for (int i = 0; i < 10000; i++) {
        sl_buffer_printf(&csv, "%d,\"k\"\"%d\",id %d,%s,%d\n", i, i, i, i % 3 == 0 ? "" : "u", i * 7);
        sl_buffer_printf(&json, "{\"n\":%d,\"g\":{\"k\":\"k\\\"%d\",\"h\":{\"z\":%d}},\"id\":\"id %d\"%s}\n", i, i,
                         i * 7, i, i % 3 == 0 ? "" : ",\"unknown\":\"u\"");
    }
    uint8_t *copies[2] = {padded_copy(json.bytes, json.length, 0), padded_copy(csv.bytes, csv.length, 0)};
    size_t lengths[2] = {json.length, csv.length};
    for (int i = 0; i < 2; i++)
        assert_int_equal(decode_dump_as(i == 0 ? (sl_format){SL_FORMAT_JSON} : with_header, NULL, &out[i], schema,
                                        &(sl_decoder_options){0}, copies[i], lengths[i], false),
                         SL_OK);
    assert_int_equal(out[0].length, out[1].length);
    assert_memory_equal(out[0].bytes, out[1].bytes, out[0].length);
    for (int i = 0; i < 2; i++) {
        free(copies[i]);
        sl_buffer_fini(&out[i]);
    }
    sl_buffer_fini(&csv);
    sl_buffer_fini(&json);
    sl_schema_unref(schema);
}

static void the_event_as_json_is_kept_beside_its_row(void **state) {
    (void)state;
    sl_schema *schema = make_schema(schema_text, true);
    const char body[] = "g.k,id,n\n\"a\"\"\",b,1\n,c,\n";
    uint8_t *copy = padded_copy(body, sizeof body - 1, 0);
    sl_decoder *decoder;
    sl_batch *batch = sl_batch_create(NULL);
    sl_record record = {.length = sizeof body - 1, .format = with_header};
    sl_decode_input input = {.record = 0};
    assert_int_equal(sl_decoder_create(schema, &(sl_decoder_options){0}, &decoder), SL_OK);
    assert_int_equal(sl_batch_prepare(batch, schema, copy, &record), SL_OK);
    assert_int_equal(sl_decode(decoder, batch, &input), SL_OK);
    static const char *const expected[] = {"{\"g\":{\"k\":\"a\\\"\"},\"id\":\"b\",\"n\":1}", "{\"id\":\"c\"}"};
    for (uint32_t row = 0; row < 2; row++) {
        uint32_t length;
        const uint8_t *text = sl_batch_json(batch, row, &length);
        assert_int_equal(length, strlen(expected[row]));
        assert_memory_equal(text, expected[row], length);
    }
    sl_batch_destroy(batch);
    sl_decoder_destroy(decoder);
    free(copy);
    sl_schema_unref(schema);
}

/** As streams that share a record do it: found by one decoder, decoded by another. */
static void a_row_that_was_found_is_decoded_by_another_schema(void **state) {
    (void)state;
    sl_schema *schema = make_schema(schema_text, true), *look = sl_schema_create("look");
    assert_non_null(look);
    assert_int_not_equal(sl_schema_add(look, 0, "n", 1, SL_TYPE_INT64), SL_NO_FIELD);
    const char body[] = "id,\"n\n\",n,g.k\na,\"x\ny\",1,\"\"\"\"\nb,,x,\n";
    uint8_t *copy = padded_copy(body, sizeof body - 1, 0);
    sl_decoder *finder, *decoder;
    sl_batch *found = sl_batch_create(NULL), *batch = sl_batch_create(NULL);
    sl_record record = {.length = sizeof body - 1, .format = with_header};
    sl_decode_input input = {.record = 0};
    assert_int_equal(sl_decoder_create(look, &(sl_decoder_options){.lenient = true}, &finder), SL_OK);
    assert_int_equal(sl_decoder_create(schema, &(sl_decoder_options){0}, &decoder), SL_OK);
    assert_int_equal(sl_batch_prepare(found, look, copy, &record), SL_OK);
    assert_int_equal(sl_batch_prepare(batch, schema, copy, &record), SL_OK);
    assert_int_equal(sl_decode(finder, found, &input), SL_OK);
    assert_int_equal(found->rows, 2);
    for (uint32_t row = 0; row < 2; row++) {
        const sl_decode_place place = {.index = sl_batch_index(found, row),
                                       .begin = found->row_begin[row],
                                       .length = found->row_length[row]};
        bool kept;
        assert_int_equal(sl_decode_event(decoder, batch, &place, &kept), SL_OK);
        assert_int_equal(kept, row == 0);
    }
    sl_buffer out = SL_BUFFER_EMPTY;
    dump_batch(&out, batch, true);
    assert_string_equal(sl_buffer_cstr(&out), "row 14+14: id=a n=1 g={} g.k=\" _rest={\"n\\n\":\"x\\ny\"}\n"
                                              "reject #1 29+5 at 3 type /n: column 4: expected int64, found a string\n");
    sl_buffer_fini(&out);
    sl_batch_destroy(found);
    sl_batch_destroy(batch);
    sl_decoder_destroy(finder);
    sl_decoder_destroy(decoder);
    free(copy);
    sl_schema_unref(look);
    sl_schema_unref(schema);
}

static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    sl_schema *schema = make_schema(schema_text, true), *inferred = make_inferred();
    sl_buffer body = SL_BUFFER_EMPTY;
    sl_buffer_text(&body, "id,g.k,new,g.h.z\n");
    for (int i = 0; i < 40; i++)
        sl_buffer_printf(&body, "%d,\"\"\"%d\",[%d],%d\nx,\n", i, i, i, i);
    uint8_t *copy = padded_copy(body.bytes, body.length, 0);
    for (int which = 0; which < 2; which++) {
        for (uint64_t n = 1;; n++) {
            sl_buffer out = SL_BUFFER_EMPTY;
            sl_memory_fail_at(n);
            sl_status status = decode_dump_as(with_header, NULL, &out, which ? inferred : schema, &(sl_decoder_options){0},
                                              copy, body.length, true);
            uint64_t calls = sl_memory_calls();
            sl_memory_fail_at(0);
            bool whole = !out.failed;
            sl_buffer_fini(&out);
            if (calls < n) {
                assert_int_equal(status, SL_OK);
                break;
            }
            assert_true(status == SL_ENOMEM || !whole); /* Or what failed was this test's own. */
        }
    }
    free(copy);
    sl_buffer_fini(&body);
    sl_schema_unref(schema);
    sl_schema_unref(inferred);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_lands_in_its_column),
        cmocka_unit_test(members_of_an_object_stand_together_wherever_their_columns_are),
        cmocka_unit_test(a_dotted_name_that_the_schema_has_is_no_object),
        cmocka_unit_test(nothing_between_commas_is_no_value_and_quotes_are_an_empty_text),
        cmocka_unit_test(texts_stay_texts_and_numbers_are_numbers_in_jsons_way),
        cmocka_unit_test(inferred_columns_come_from_names_and_values),
        cmocka_unit_test(a_row_knows_its_bytes_and_broken_ones_spare_their_neighbours),
        cmocka_unit_test(names_may_come_from_the_configuration),
        cmocka_unit_test(a_header_that_cannot_be_used_takes_its_record_along),
        cmocka_unit_test(a_format_of_a_later_version_is_refused_whole),
        cmocka_unit_test(an_event_may_be_an_objects_json),
        cmocka_unit_test(a_row_that_is_too_large_is_refused_with_its_place),
        cmocka_unit_test(rows_over_batches_equal_those_of_json),
        cmocka_unit_test(the_event_as_json_is_kept_beside_its_row),
        cmocka_unit_test(a_row_that_was_found_is_decoded_by_another_schema),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
