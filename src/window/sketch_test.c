// HyperLogLog and DDSketch alone: accuracy at many sizes, and that no order of adding and
// merging shows.

#include "quantiles.h"
#include "tags.h"
#include "unique.h"

#include "sluice/hash.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t next_random(uint64_t *state) { // SplitMix64.
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void unique_add(sl_unique *set, uint64_t hash, sl_window_purse *purse) {
    assert_true(sl_unique_prepare(set, hash, purse));
    sl_unique_add(set, hash, purse);
}

static void unique_merge(sl_unique *into, const sl_unique *from, sl_window_purse *purse) {
    sl_buffer bytes = SL_BUFFER_EMPTY;
    sl_unique_write(from, &bytes);
    sl_window_reader reader = {bytes.bytes, bytes.bytes + bytes.length, false};
    uint8_t tag = sl_window_read_byte(&reader);
    assert_int_equal(sl_unique_absorb(into, tag, &reader, purse), SL_OK);
    assert_ptr_equal(reader.at, reader.end);
    sl_buffer_fini(&bytes);
}

static void assert_same_bytes(sl_buffer *a, sl_buffer *b) {
    assert_false(a->failed || b->failed);
    assert_int_equal(a->length, b->length);
    assert_memory_equal(a->bytes, b->bytes, a->length);
    sl_buffer_fini(a);
    sl_buffer_fini(b);
}

static void assert_same_unique(const sl_unique *a, const sl_unique *b) {
    sl_buffer bytes_a = SL_BUFFER_EMPTY, bytes_b = SL_BUFFER_EMPTY;
    sl_unique_write(a, &bytes_a);
    sl_unique_write(b, &bytes_b);
    assert_same_bytes(&bytes_a, &bytes_b);
}

static void small_sets_are_counted_one_by_one(void **state) {
    (void)state;
    uint64_t random = 1;
    for (uint32_t n = 0; n <= 600; n += 1 + n / 8) {
        sl_window_purse purse = {0};
        sl_unique set = {0};
        for (uint32_t i = 0; i < n; i++) {
            uint64_t hash = next_random(&random);
            unique_add(&set, hash, &purse);
            unique_add(&set, hash, &purse);
        }
        assert_int_equal(sl_unique_estimate(&set), n);
        sl_unique_fini(&set, &purse);
        assert_int_equal(purse.bytes, 0);
    }
}

// Standard deviation is 1.04/sqrt(4096) = 1.63 %; over 24 sets, 4 of its own deviations
// are 2.6 %.
static void error_of_large_sets_stays_near_its_theory(void **state) {
    (void)state;
    static const uint32_t sizes[] = {800,   1500,  3000,   6000,  10000,
                                     20000, 40000, 100000, 300000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        double squares = 0, bias = 0;
        const unsigned tries = 24;
        for (unsigned t = 0; t < tries; t++) {
            sl_window_purse purse = {0};
            sl_unique set = {0};
            char user[32];
            for (uint32_t i = 0; i < sizes[s]; i++) {
                int length = snprintf(user, sizeof user, "user_%u_%u", t, i);
                unique_add(&set, sl_hash64(user, (size_t)length, 0), &purse);
            }
            double error = (double)sl_unique_estimate(&set) / sizes[s] - 1;
            squares += error * error;
            bias += error;
            sl_unique_fini(&set, &purse);
        }
        double deviation = sqrt(squares / tries);
        print_message("unique %7u: rms error %.2f %%, mean %+.2f %%\n", sizes[s],
                      100 * deviation, 100 * bias / tries);
        assert_true(deviation < 0.026);
        assert_true(fabs(bias / tries) < 0.014);
    }
}

static void list_and_registers_agree_on_every_register(void **state) {
    (void)state;
    uint64_t random = 7;
    sl_window_purse purse = {0};
    // The list, when it becomes registers, must give what adding to registers directly
    // gives.
    sl_unique stepped = {0}, direct = {0};
    direct.dense = sl_window_purse_get(&purse, SL_UNIQUE_REGISTERS);
    assert_non_null(direct.dense);
    for (uint32_t i = 0; i < SL_UNIQUE_CODES + 1; i++) {
        uint64_t hash = next_random(&random);
        if (i % 16 == 0) // Ranks beyond the prefix, up to the very last bit.
            hash &= ~(UINT64_MAX >> (12 + i / 16 % 52)) | (i % 32 == 0 ? 0 : 1);
        unique_add(&stepped, hash, &purse);
        unique_add(&direct, hash, &purse);
    }
    for (uint32_t i = 0; i < 4096; i++) {
        uint64_t hash = next_random(&random);
        unique_add(&stepped, hash, &purse);
        unique_add(&direct, hash, &purse);
    }
    assert_true(sl_unique_is_dense(&stepped));
    assert_same_unique(&stepped, &direct);
    sl_unique_fini(&stepped, &purse);
    sl_unique_fini(&direct, &purse);
    assert_int_equal(purse.bytes, 0);
}

static void sets_merge_alike_in_any_order(void **state) {
    (void)state;
    uint64_t random = 99;
    static const uint32_t sizes[] = {0, 1, 40, 500, 767, 768, 769, 1200, 5000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        sl_window_purse purse = {0};
        sl_unique whole = {0}, parts[5] = {0}, forward = {0}, backward = {0};
        for (uint32_t i = 0; i < sizes[s]; i++) {
            uint64_t hash = next_random(&random);
            unique_add(&whole, hash, &purse);
            unique_add(&parts[next_random(&random) % 5], hash, &purse);
            unique_add(&parts[next_random(&random) % 5], hash, &purse);
        }
        for (int i = 0; i < 5; i++)
            unique_merge(&forward, &parts[i], &purse);
        for (int i = 4; i >= 0; i--)
            unique_merge(&backward, &parts[i], &purse);
        unique_merge(&backward, &parts[2], &purse); // Twice is once.
        assert_same_unique(&whole, &forward);
        assert_same_unique(&whole, &backward);
        for (int i = 0; i < 5; i++)
            sl_unique_fini(&parts[i], &purse);
        sl_unique_fini(&whole, &purse);
        sl_unique_fini(&forward, &purse);
        sl_unique_fini(&backward, &purse);
        assert_int_equal(purse.bytes, 0);
    }
}

static void quantiles_add(sl_quantiles *sketch, double value, sl_window_purse *purse) {
    assert_true(sl_quantiles_prepare(sketch, sl_quantiles_find(value), purse));
    sl_quantiles_add(sketch, sl_quantiles_find(value), purse);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double sample(uint64_t *random, int shape) {
    double u = ((double)(next_random(random) >> 11) + 0.5) * 0x1p-53;
    double v = ((double)(next_random(random) >> 11) + 0.5) * 0x1p-53;
    switch (shape) {
    case 0:
        return u * 1000; // Uniform.
    case 1:
        return -log(u) * 50; // Exponential.
    case 2:
        return exp(3 * sqrt(-2 * log(u)) * cos(6.283185307179586 * v)); // Log-normal.
    case 3:
        return (u - 0.5) * 200; // On both sides of zero.
    case 4:
        return floor(u * 12) - 3; // Few different values, zero among them.
    default:
        return pow(u, -1.0 / 1.2); // Heavy tail.
    }
}

#define SAMPLES 20000

static void quantiles_are_within_one_percent(void **state) {
    (void)state;
    static double values[SAMPLES];
    static const double at[] = {0,    0.001, 0.01, 0.1,  0.25,  0.5,
                                0.75, 0.9,   0.95, 0.99, 0.999, 1};
    uint64_t random = 5;
    for (int shape = 0; shape < 6; shape++)
        for (size_t n = 1; n <= SAMPLES; n = n * 3 + 1) {
            sl_window_purse purse = {0};
            sl_quantiles sketch = {0};
            for (size_t i = 0; i < n; i++) {
                values[i] = sample(&random, shape);
                quantiles_add(&sketch, values[i], &purse);
            }
            qsort(values, n, sizeof *values, ascending);
            for (size_t q = 0; q < sizeof at / sizeof *at; q++) {
                double exact = values[(size_t)floor(at[q] * (double)(n - 1))];
                double found = sl_quantiles_at(&sketch, at[q]);
                assert_true(fabs(found - exact) <= 0.0100001 * fabs(exact));
            }
            sl_quantiles_fini(&sketch, &purse);
            assert_int_equal(purse.bytes, 0);
        }
}

// Every bin's neighbours: values spread over all magnitudes lie within 1 % of what their
// bin says.
static void each_bin_spans_at_most_two_percent(void **state) {
    (void)state;
    uint64_t random = 11;
    int32_t before = INT32_MIN;
    for (double x = 0x1p-1022; x < 0x1p1020; x *= 1.7) {
        double value = x * (1 + (double)(next_random(&random) >> 12) * 0x1p-53);
        int32_t bin = sl_quantiles_bin(value);
        assert_true(bin > before);
        before = bin;
        sl_window_purse purse = {0};
        sl_quantiles sketch = {0};
        quantiles_add(&sketch, value / 1.5, &purse);
        quantiles_add(&sketch, value, &purse);
        quantiles_add(&sketch, value * 1.5, &purse);
        double found = sl_quantiles_at(&sketch, 0.5);
        assert_true(fabs(found - value) <= 0.0100001 * value);
        sl_quantiles_fini(&sketch, &purse);
    }
}

static void quantiles_merge(sl_quantiles *into, const sl_quantiles *from,
                            sl_window_purse *purse) {
    sl_buffer bytes = SL_BUFFER_EMPTY;
    sl_quantiles_write(from, &bytes);
    sl_window_reader reader = {bytes.bytes, bytes.bytes + bytes.length, false};
    assert_int_equal(sl_window_read_byte(&reader), SL_TAG_QUANTILES);
    assert_int_equal(sl_quantiles_absorb(into, &reader, purse), SL_OK);
    assert_ptr_equal(reader.at, reader.end);
    sl_buffer_fini(&bytes);
}

static void assert_same_quantiles(const sl_quantiles *a, const sl_quantiles *b) {
    sl_buffer bytes_a = SL_BUFFER_EMPTY, bytes_b = SL_BUFFER_EMPTY;
    sl_quantiles_write(a, &bytes_a);
    sl_quantiles_write(b, &bytes_b);
    assert_same_bytes(&bytes_a, &bytes_b);
}

// Values over 600 decades need far more bins than there are: the low ones collapse, in
// any order alike.
static void collapsed_sketches_merge_alike_in_any_order(void **state) {
    (void)state;
    uint64_t random = 3;
    for (int round = 0; round < 40; round++) {
        sl_window_purse purse = {0};
        sl_quantiles whole = {0}, parts[4] = {0}, forward = {0}, backward = {0};
        double decades = round % 2 == 0 ? 300 : 4;
        for (int i = 0; i < 400; i++) {
            double u = (double)(next_random(&random) >> 11) * 0x1p-53;
            double value = pow(10, (u - 0.5) * 2 * decades);
            value = i % 3 == 0 ? -value : i % 7 == 0 ? 0 : value;
            quantiles_add(&whole, value, &purse);
            quantiles_add(&parts[next_random(&random) % 4], value, &purse);
        }
        for (int i = 0; i < 4; i++)
            quantiles_merge(&forward, &parts[i], &purse);
        for (int i = 3; i >= 0; i--)
            quantiles_merge(&backward, &parts[i], &purse);
        assert_same_quantiles(&whole, &forward);
        assert_same_quantiles(&whole, &backward);
        assert_int_equal(whole.count, 400);
        assert_true(sl_quantiles_at(&whole, 0) == whole.least);
        assert_true(sl_quantiles_at(&whole, 1) == whole.greatest);
        for (int i = 0; i < 4; i++)
            sl_quantiles_fini(&parts[i], &purse);
        sl_quantiles_fini(&whole, &purse);
        sl_quantiles_fini(&forward, &purse);
        sl_quantiles_fini(&backward, &purse);
        assert_int_equal(purse.bytes, 0);
    }
}

// What was prepared and never added leaves no trace, whatever comes next.
static void abandoned_preparation_changes_nothing(void **state) {
    (void)state;
    uint64_t random = 21;
    sl_window_purse purse = {0};
    sl_quantiles plain = {0}, disturbed = {0};
    sl_unique set = {0}, disturbed_set = {0};
    for (int i = 0; i < 2000; i++) {
        double value = sample(&random, 3);
        uint64_t hash = next_random(&random);
        quantiles_add(&plain, value, &purse);
        unique_add(&set, hash, &purse);
        assert_true(sl_quantiles_prepare(
            &disturbed, sl_quantiles_find(1e300 * sample(&random, 3)), &purse));
        assert_true(sl_unique_prepare(&disturbed_set, next_random(&random), &purse));
        quantiles_add(&disturbed, value, &purse);
        unique_add(&disturbed_set, hash, &purse);
        if (i % 64 == 0 || (i > 700 && i < 800)) {
            assert_same_quantiles(&plain, &disturbed);
            assert_same_unique(&set, &disturbed_set);
        }
    }
    sl_quantiles_fini(&plain, &purse);
    sl_quantiles_fini(&disturbed, &purse);
    sl_unique_fini(&set, &purse);
    sl_unique_fini(&disturbed_set, &purse);
    assert_int_equal(purse.bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_sets_are_counted_one_by_one),
        cmocka_unit_test(error_of_large_sets_stays_near_its_theory),
        cmocka_unit_test(list_and_registers_agree_on_every_register),
        cmocka_unit_test(sets_merge_alike_in_any_order),
        cmocka_unit_test(quantiles_are_within_one_percent),
        cmocka_unit_test(each_bin_spans_at_most_two_percent),
        cmocka_unit_test(collapsed_sketches_merge_alike_in_any_order),
        cmocka_unit_test(abandoned_preparation_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
