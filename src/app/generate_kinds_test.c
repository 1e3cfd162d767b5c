/* Tests of what `sluice generate` makes: each kind's members and how they are spread,
 * events that come again or broken, CSV, and the tables that belong to a kind. */
#include "generate_private.h"

#include "sluice/time.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define EVENTS 5000

static sl_generator of_kind(sl_generate_kind kind) {
    sl_generator g;
    sl_generator_init(&g, kind, 11, EVENTS);
    g.span_ms = 24 * SL_HOUR_US / 1000;
    return g;
}

static json_t *event_at(sl_generator *g, uint64_t index) {
    uint8_t line[SL_GENERATE_EVENT_BYTES_MAX];
    size_t length = sl_generate_event(g, index, line);
    assert_true(length < sizeof line - 128 && line[length - 1] == '\n');
    return json_loadb((char *)line, length - 1, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                      NULL);
}

static const char *text_of(const json_t *event, const char *name) {
    const char *text = json_string_value(json_object_get(event, name));
    assert_non_null(text);
    return text;
}

static int64_t time_of(const json_t *event) {
    int64_t us = 0;
    const char *name =
        json_object_get(event, "OrderDate") != NULL ? "OrderDate" : "timestamp";
    const char *text = text_of(event, name);
    assert_true(sl_time_parse(text, strlen(text), &us));
    return us;
}

/* --- Kinds
 * --------------------------------------------------------------------------------- */

static void every_event_of_a_kind_has_the_same_members(void **state) {
    (void)state;
    static const char *const members[SL_GENERATE_KIND_COUNT] = {
        [SL_GENERATE_WEB_ANALYTICS] =
            "eventId userId eventType timestamp ip userAgent revenue "
            "responseTime properties ",
        [SL_GENERATE_IOT] =
            "reading_id device_id timestamp temperature humidity battery ",
        [SL_GENERATE_PAYMENTS] =
            "transaction_id user_id amount currency country category "
            "merchant_id method timestamp ",
        [SL_GENERATE_FOOD_DELIVERY] =
            "OrderID CustomerID RestaurantID RiderID OrderDate DeliveryTime "
            "OrderValue DeliveryFee TipAmount OrderStatus ",
    };
    for (unsigned kind = SL_GENERATE_WEB_ANALYTICS; kind < SL_GENERATE_KIND_COUNT;
         kind++) {
        sl_generator g = of_kind((sl_generate_kind)kind);
        for (uint64_t i = 0; i < EVENTS; i++) {
            json_t *event = event_at(&g, i);
            char names[256] = "";
            const char *name = NULL;
            json_t *value = NULL;
            json_object_foreach(event, name, value) {
                assert_true(!json_is_null(value) || strcmp(name, "DeliveryTime") == 0);
                strcat(strcat(names, name), " ");
            }
            assert_string_equal(names, members[kind]);
            json_decref(event);
        }
    }
}

static void events_lie_within_their_span_and_some_are_late(void **state) {
    (void)state;
    for (unsigned kind = SL_GENERATE_WEB_ANALYTICS; kind < SL_GENERATE_KIND_COUNT;
         kind++) {
        sl_generator g = of_kind((sl_generate_kind)kind);
        int64_t start = g.start_ms * 1000, highest = start;
        unsigned late = 0;
        for (uint64_t i = 0; i < EVENTS; i++) {
            json_t *event = event_at(&g, i);
            int64_t us = time_of(event);
            assert_true(us >= start && us < start + 24 * SL_HOUR_US);
            assert_true(us > highest - SL_GENERATE_LATE_MS * INT64_C(1000));
            late += us < highest - 5 * SL_SECOND_US;
            highest = us > highest ? us : highest;
            json_decref(event);
        }
        assert_true(highest > start + 23 * SL_HOUR_US);
        assert_in_range(late, EVENTS / 200, EVENTS / 10);
    }
}

static void people_sleep_and_things_do_not(void **state) {
    (void)state;
    for (unsigned kind = SL_GENERATE_WEB_ANALYTICS; kind < SL_GENERATE_KIND_COUNT;
         kind++) {
        sl_generator g = of_kind((sl_generate_kind)kind);
        unsigned hours[24] = {0};
        for (uint64_t i = 0; i < EVENTS; i++) {
            json_t *event = event_at(&g, i);
            hours[time_of(event) / SL_HOUR_US % 24]++;
            json_decref(event);
        }
        if (kind == SL_GENERATE_IOT)
            assert_true(hours[19] < hours[3] * 11 / 10);
        else
            assert_true(hours[19] > hours[3] * 10 && hours[3] > 0);
    }
}

static void one_payment_of_a_hundred_is_large_and_a_few_users_pay_most(void **state) {
    (void)state;
    sl_generator g = of_kind(SL_GENERATE_PAYMENTS);
    unsigned large = 0, frequent = 0;
    for (uint64_t i = 0; i < EVENTS; i++) {
        json_t *event = event_at(&g, i);
        large += json_number_value(json_object_get(event, "amount")) > 1000;
        frequent += strcmp(text_of(event, "user_id"), "user000100") < 0;
        json_decref(event);
    }
    assert_in_range(large, EVENTS / 100, EVENTS / 50);
    assert_in_range(frequent, EVENTS * 18 / 100,
                    EVENTS * 25 / 100); /* 1 % of the users. */
}

static void money_has_two_decimals(void **state) {
    (void)state;
    static const struct {
        sl_generate_kind kind;
        const char *key;
    } money[] = {{SL_GENERATE_WEB_ANALYTICS, "\"revenue\":"},
                 {SL_GENERATE_PAYMENTS, "\"amount\":"},
                 {SL_GENERATE_FOOD_DELIVERY, "\"OrderValue\":"},
                 {SL_GENERATE_FOOD_DELIVERY, "\"DeliveryFee\":"},
                 {SL_GENERATE_FOOD_DELIVERY, "\"TipAmount\":"}};
    for (size_t k = 0; k < sizeof money / sizeof *money; k++) {
        sl_generator g = of_kind(money[k].kind);
        char line[SL_GENERATE_EVENT_BYTES_MAX + 1];
        for (uint64_t i = 0; i < EVENTS; i++) {
            line[sl_generate_event(&g, i, (uint8_t *)line)] = '\0';
            const char *value = strstr(line, money[k].key);
            assert_non_null(value);
            value += strlen(money[k].key);
            size_t whole = strspn(value, "0123456789");
            assert_true(whole > 0 && value[whole] == '.');
            assert_int_equal(strspn(value + whole + 1, "0123456789"), 2);
        }
    }
}

static void cancelled_orders_have_no_delivery_time(void **state) {
    (void)state;
    sl_generator g = of_kind(SL_GENERATE_FOOD_DELIVERY);
    unsigned cancelled = 0;
    int64_t last = 0;
    for (uint64_t i = 0; i < EVENTS; i++) {
        json_t *event = event_at(&g, i),
               *minutes = json_object_get(event, "DeliveryTime");
        bool is_cancelled = strcmp(text_of(event, "OrderStatus"), "Cancelled") == 0;
        int64_t id = json_integer_value(json_object_get(event, "OrderID"));
        assert_int_equal(json_is_null(minutes), is_cancelled);
        if (!is_cancelled)
            assert_in_range(json_integer_value(minutes), 12, 70);
        assert_true(id > last && id < INT64_C(1) << 53);
        last = id;
        cancelled += is_cancelled;
        json_decref(event);
    }
    assert_in_range(cancelled, EVENTS * 4 / 100, EVENTS * 8 / 100);
}

/* --- Again and broken
 * ---------------------------------------------------------------------- */

static void duplicates_are_one_of_the_last_hundred_again(void **state) {
    (void)state;
    static uint8_t lines[EVENTS][SL_GENERATE_EVENT_BYTES_MAX];
    static size_t lengths[EVENTS];
    for (unsigned kind = 0; kind < SL_GENERATE_KIND_COUNT; kind++) {
        sl_generator g = of_kind((sl_generate_kind)kind);
        unsigned again = 0, own = 0;
        g.duplicates = 0.05;
        g.invalid = 0.01;
        for (uint64_t i = 0; i < EVENTS; i++)
            lengths[i] = sl_generate_event(&g, i, lines[i]);
        g.duplicates = 0;
        for (uint64_t i = 0; i < EVENTS; i++) {
            uint8_t fresh[SL_GENERATE_EVENT_BYTES_MAX];
            size_t length = sl_generate_event(&g, i, fresh);
            if (length == lengths[i] && memcmp(fresh, lines[i], length) == 0) {
                own++;
                continue;
            }
            uint64_t back = 1;
            while (back <= i && (lengths[i - back] != lengths[i] ||
                                 memcmp(lines[i - back], lines[i], lengths[i]) != 0))
                back++;
            assert_in_range(back, 1, SL_GENERATE_AGAIN_WITHIN);
            again++;
        }
        assert_int_equal(again + own, EVENTS);
        assert_in_range(again, EVENTS * 4 / 100, EVENTS * 6 / 100);
    }
}

static void broken_events_lack_their_id_have_a_wrong_type_or_are_cut_off(void **state) {
    (void)state;
    static const char *const ids[] = {"user_id",   "order_id",       "eventId",
                                      "device_id", "transaction_id", "OrderID"};
    for (unsigned kind = 0; kind < SL_GENERATE_KIND_COUNT; kind++) {
        sl_generator g = of_kind((sl_generate_kind)kind);
        unsigned no_id = 0, wrong = 0, cut = 0;
        g.invalid = 0.3;
        for (uint64_t i = 0; i < EVENTS; i++) {
            json_t *event = event_at(&g, i);
            const char *name = NULL;
            json_t *value = NULL;
            bool odd = false;
            if (event == NULL) {
                cut++;
                continue;
            }
            json_object_foreach(event, name, value) odd =
                odd ||
                (json_is_string(value) && strcmp(json_string_value(value), "n/a") == 0);
            bool lacks = json_object_get(event, ids[kind]) == NULL;
            assert_false(odd && lacks);
            wrong += odd;
            no_id += lacks;
            json_decref(event);
        }
        assert_in_range(no_id, EVENTS * 8 / 100, EVENTS * 12 / 100);
        assert_in_range(wrong, EVENTS * 8 / 100, EVENTS * 12 / 100);
        assert_in_range(cut, EVENTS * 8 / 100, EVENTS * 12 / 100);
    }
}

/* --- CSV
 * ----------------------------------------------------------------------------------- */

/* One line as RFC 4180 has it. @return how many fields. */
static size_t read_csv(const char *line, size_t length, char fields[16][512]) {
    size_t n = 0, at = 0;
    assert_int_equal(line[length - 1], '\n');
    for (; at < length; at++, n++) {
        size_t used = 0;
        bool quoted = line[at] == '"';
        at += quoted;
        for (; quoted || (line[at] != ',' && line[at] != '\n'); at++) {
            if (quoted && line[at] == '"' && line[at + 1] != '"')
                break;
            at += quoted && line[at] == '"';
            assert_true(at < length && n < 16 && used < 511);
            fields[n][used++] = line[at];
        }
        at += quoted;
        fields[n][used] = '\0';
    }
    return n;
}

static const json_t *member_at(const json_t *event, const char *path) {
    char name[128];
    const char *dot = strchr(path, '.');
    snprintf(name, sizeof name, "%.*s",
             (int)(dot == NULL ? strlen(path) : (size_t)(dot - path)), path);
    const json_t *value = json_object_get(event, name);
    return dot == NULL || value == NULL ? value : member_at(value, dot + 1);
}

static void assert_same_value(const json_t *value, const char *field) {
    if (json_is_string(value))
        assert_string_equal(field, json_string_value(value));
    else if (json_is_array(value)) {
        json_t *array = json_loads(field, 0, NULL);
        assert_true(json_equal(array, value));
        json_decref(array);
    } else if (json_is_null(value))
        assert_string_equal(field, "");
    else
        assert_true(json_is_number(value) &&
                    strtod(field, NULL) <= json_number_value(value) &&
                    strtod(field, NULL) >= json_number_value(value));
}

static void csv_has_the_same_values_under_a_header_of_paths(void **state) {
    (void)state;
    static char header[16][512], fields[16][512];
    for (unsigned kind = 0; kind < SL_GENERATE_KIND_COUNT; kind++) {
        sl_generator json = of_kind((sl_generate_kind)kind), csv = json;
        char line[SL_GENERATE_EVENT_BYTES_MAX];
        csv.csv = true;
        size_t columns =
            read_csv(line, sl_generate_header(&csv, (uint8_t *)line), header);
        assert_in_range(columns, 6, 16);
        for (uint64_t i = 0; i < EVENTS; i++) {
            json_t *event = event_at(&json, i);
            assert_int_equal(
                read_csv(line, sl_generate_event(&csv, i, (uint8_t *)line), fields),
                columns);
            for (size_t k = 0; k < columns; k++)
                assert_same_value(member_at(event, header[k]), fields[k]);
            json_decref(event);
        }
    }
}

static void broken_csv_is_a_line_for_itself(void **state) {
    (void)state;
    static char fields[16][512];
    for (unsigned kind = 0; kind < SL_GENERATE_KIND_COUNT; kind++) {
        sl_generator g = of_kind((sl_generate_kind)kind);
        char line[SL_GENERATE_EVENT_BYTES_MAX];
        unsigned shorter = 0, wrong = 0;
        g.csv = true;
        size_t columns = read_csv(line, sl_generate_header(&g, (uint8_t *)line), fields);
        g.invalid = 0.3;
        for (uint64_t i = 0; i < EVENTS; i++) {
            size_t n = read_csv(line, sl_generate_event(&g, i, (uint8_t *)line), fields);
            assert_in_range(n, 1, columns);
            shorter += n < columns;
            for (size_t k = 0; k < n; k++)
                wrong += strcmp(fields[k], "n/a") == 0;
        }
        assert_in_range(shorter, EVENTS * 8 / 100, EVENTS * 12 / 100);
        assert_in_range(wrong, EVENTS * 8 / 100, EVENTS * 12 / 100);
    }
}

/* --- The command
 * --------------------------------------------------------------------------- */

static int generate(const char *const *options, size_t count) {
    static char name[] = "generate";
    char *argv[16] = {name};
    for (size_t i = 0; i < count; i++)
        argv[i + 1] = (char *)(uintptr_t)options[i];
    return sl_generate_main((int)count + 1, argv);
}

#define GENERATE(...)                                                                    \
    generate((const char *const[]){__VA_ARGS__},                                         \
             sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static char *slurp(const char *path, size_t *lines) {
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    size_t length = fread(text, 1, (1 << 20) - 1, file);
    assert_true(length > 0 && length < (1 << 20) - 1);
    fclose(file);
    *lines = 0;
    for (const char *c = text; *c != '\0'; c++)
        *lines += *c == '\n';
    return text;
}

static void a_csv_file_has_one_header(void **state) {
    (void)state;
    char path[] = "generate_kinds_XXXXXX", to[64];
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    snprintf(to, sizeof to, "--to=%s", path);
    /* Long enough for two writes. */
    assert_int_equal(GENERATE("iot", "--count=6000", "--format=csv", to), 0);
    size_t lines = 0;
    char *text = slurp(path, &lines);
    assert_int_equal(lines, 6001);
    assert_ptr_equal(strstr(text, "reading_id"), text);
    assert_null(strstr(text + 1, "reading_id"));
    free(text);
    unlink(path);
}

static void tables_know_those_that_events_name(void **state) {
    (void)state;
    char directory[] = "generate_tables_XXXXXX", option[64], path[128];
    assert_non_null(mkdtemp(directory));
    snprintf(option, sizeof option, "--tables=%s", directory);
    static const struct {
        const char *kind, *file, *begins;
        size_t lines;
    } tables[] = {
        {"food-delivery", "restaurants.csv",
         "RestaurantID,RestaurantName,CuisineType,City,", 401},
        {"food-delivery", "riders.csv", "RiderID,RiderName,VehicleType,City,", 801},
        {"food-delivery", "customers.csv", "CustomerID,CustomerName,CustomerEmail,City,",
         10001},
        {"iot", "devices.csv", "device_id,site,room,min_temperature,max_temperature,",
         501},
        {"payments", "fraud_rules.csv", "category,max_amount,reason\ngroceries,1000.00,",
         9},
        {"payments", "users.csv", "user_id,name,home_country,risk,", 10001},
        {"web-analytics", "users.csv", "user_id,name,email,segment,", 10001},
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        size_t lines = 0;
        assert_int_equal(GENERATE(tables[i].kind, option), 0);
        snprintf(path, sizeof path, "%s/%s", directory, tables[i].file);
        char *text = slurp(path, &lines);
        assert_int_equal(lines, tables[i].lines);
        assert_ptr_equal(strstr(text, tables[i].begins), text);
        free(text);
    }
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        size_t lines = 0;
        assert_int_equal(GENERATE(tables[i].kind, option, "--rows=5"), 0);
        snprintf(path, sizeof path, "%s/%s", directory, tables[i].file);
        free(slurp(path, &lines));
        assert_int_equal(lines, 6);
    }
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, tables[i].file);
        unlink(path);
    }
    assert_int_equal(rmdir(directory), 0);
}

static void what_does_not_go_together_is_exit_64(void **state) {
    (void)state;
    assert_int_equal(GENERATE("iot", "--format=xml"), 64);
    assert_int_equal(GENERATE("iot", "--duplicates=1.5"), 64);
    assert_int_equal(GENERATE("iot", "--invalid=-1"), 64);
    assert_int_equal(GENERATE("iot", "--rows=5"), 64);
    assert_int_equal(GENERATE("--file=x", "--to=http://h", "--format=csv"), 64);
    assert_int_equal(GENERATE("--file=x", "--to=http://h", "--tables=x"), 64);
    assert_int_equal(GENERATE("iot", "--tables=/nowhere/at/all"), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_of_a_kind_has_the_same_members),
        cmocka_unit_test(events_lie_within_their_span_and_some_are_late),
        cmocka_unit_test(people_sleep_and_things_do_not),
        cmocka_unit_test(one_payment_of_a_hundred_is_large_and_a_few_users_pay_most),
        cmocka_unit_test(money_has_two_decimals),
        cmocka_unit_test(cancelled_orders_have_no_delivery_time),
        cmocka_unit_test(duplicates_are_one_of_the_last_hundred_again),
        cmocka_unit_test(broken_events_lack_their_id_have_a_wrong_type_or_are_cut_off),
        cmocka_unit_test(csv_has_the_same_values_under_a_header_of_paths),
        cmocka_unit_test(broken_csv_is_a_line_for_itself),
        cmocka_unit_test(a_csv_file_has_one_header),
        cmocka_unit_test(tables_know_those_that_events_name),
        cmocka_unit_test(what_does_not_go_together_is_exit_64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
