#include "base64.h"

#define X 255 /* None of the alphabet. */

/* What a character stands for. */
static const uint8_t values[256] = {
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, 62, X, X, X, 63, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, X, X, X, X, X, X,
    X, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, X, X, X, X, X,
    X, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
};

#undef X

/* Whole groups, the last of which may be padded. */
static size_t decode_scalar(const uint8_t *text, size_t length, uint8_t *out) {
    uint8_t *to = out;
    for (; length > 4; text += 4, length -= 4, to += 3) {
        uint32_t a = values[text[0]], b = values[text[1]], c = values[text[2]], d = values[text[3]];
        if ((a | b | c | d) > 63)
            return AWS_BASE64_BAD;
        uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        to[0] = (uint8_t)(bits >> 16);
        to[1] = (uint8_t)(bits >> 8);
        to[2] = (uint8_t)bits;
    }
    if (length == 0)
        return 0;
    unsigned pads = text[3] != '=' ? 0u : text[2] != '=' ? 1u : 2u;
    uint32_t a = values[text[0]], b = values[text[1]];
    uint32_t c = pads == 2 ? 0 : values[text[2]], d = pads > 0 ? 0 : values[text[3]];
    if ((a | b | c | d) > 63)
        return AWS_BASE64_BAD;
    uint32_t bits = a << 18 | b << 12 | c << 6 | d;
    *to++ = (uint8_t)(bits >> 16);
    if (pads < 2)
        *to++ = (uint8_t)(bits >> 8);
    if (pads < 1)
        *to++ = (uint8_t)bits;
    return (size_t)(to - out);
}

#if defined(__x86_64__)
#include <immintrin.h>

/* Three tables of 16, asked by a character's halves. A character is in the alphabet when the bits that its lower
 * half rules out and those of its upper half don't meet; the third table says what to add to it, where '/' is told
 * from '+', whose upper half it shares, by one less. Then four times six bits move together: pairs by a multiply
 * with 64 and 1, pairs of pairs with 4096 and 1, and a shuffle drops the empty bytes. */
#define LOWER 0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a
#define UPPER 0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10
#define SHIFT 0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0
#define ORDER 2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1

/* Both stop before a vector with a foreign character, and leave the last group to the scalar form.
 * @return characters taken. */
__attribute__((target("ssse3"))) static size_t decode_ssse3(const uint8_t *text, size_t length, uint8_t *out) {
    const __m128i lower = _mm_setr_epi8(LOWER), upper = _mm_setr_epi8(UPPER), shift = _mm_setr_epi8(SHIFT);
    const __m128i half = _mm_set1_epi8(0x2f), order = _mm_setr_epi8(ORDER);
    size_t at = 0;
    for (; length - at > 16; at += 16, out += 12) {
        __m128i c = _mm_loadu_si128((const __m128i *)(const void *)(text + at));
        __m128i high = _mm_and_si128(_mm_srli_epi32(c, 4), half), low = _mm_and_si128(c, half);
        __m128i bad = _mm_and_si128(_mm_shuffle_epi8(lower, low), _mm_shuffle_epi8(upper, high));
        if (_mm_movemask_epi8(_mm_cmpeq_epi8(bad, _mm_setzero_si128())) != 0xffff)
            break;
        c = _mm_add_epi8(c, _mm_shuffle_epi8(shift, _mm_add_epi8(_mm_cmpeq_epi8(c, half), high)));
        c = _mm_madd_epi16(_mm_maddubs_epi16(c, _mm_set1_epi32(0x01400140)), _mm_set1_epi32(0x00011000));
        _mm_storeu_si128((__m128i *)(void *)out, _mm_shuffle_epi8(c, order));
    }
    return at;
}

__attribute__((target("avx2"))) static size_t decode_avx2(const uint8_t *text, size_t length, uint8_t *out) {
    const __m256i lower = _mm256_setr_epi8(LOWER, LOWER), upper = _mm256_setr_epi8(UPPER, UPPER);
    const __m256i shift = _mm256_setr_epi8(SHIFT, SHIFT), order = _mm256_setr_epi8(ORDER, ORDER);
    const __m256i half = _mm256_set1_epi8(0x2f), lanes = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7);
    size_t at = 0;
    for (; length - at > 32; at += 32, out += 24) {
        __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)(text + at));
        __m256i high = _mm256_and_si256(_mm256_srli_epi32(c, 4), half), low = _mm256_and_si256(c, half);
        if (!_mm256_testz_si256(_mm256_shuffle_epi8(lower, low), _mm256_shuffle_epi8(upper, high)))
            break;
        c = _mm256_add_epi8(c, _mm256_shuffle_epi8(shift, _mm256_add_epi8(_mm256_cmpeq_epi8(c, half), high)));
        c = _mm256_madd_epi16(_mm256_maddubs_epi16(c, _mm256_set1_epi32(0x01400140)), _mm256_set1_epi32(0x00011000));
        c = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(c, order), lanes);
        _mm256_storeu_si256((__m256i *)(void *)out, c);
    }
    return at;
}

static size_t decode_vectors(aws_base64_form form, const uint8_t *text, size_t length, uint8_t *out) {
    if (form == AWS_BASE64_AUTO)
        form = __builtin_cpu_supports("avx2")    ? AWS_BASE64_AVX2
               : __builtin_cpu_supports("ssse3") ? AWS_BASE64_SSSE3
                                                 : AWS_BASE64_SCALAR;
    if (length == 0 || form == AWS_BASE64_SCALAR)
        return 0;
    size_t taken = form == AWS_BASE64_AVX2 ? decode_avx2(text, length, out) : 0;
    return taken + decode_ssse3(text + taken, length - taken, out + taken / 4 * 3);
}
#else
static size_t decode_vectors(aws_base64_form form, const uint8_t *text, size_t length, uint8_t *out) {
    (void)form, (void)text, (void)length, (void)out;
    return 0;
}
#endif

size_t aws_base64_size(const uint8_t *text, size_t length) {
    size_t size = length / 4 * 3;
    return length < 4 ? 0 : size - (text[length - 1] == '=') - (text[length - 2] == '=');
}

size_t aws_base64_decode(aws_base64_form form, const uint8_t *text, size_t length, uint8_t *out) {
    if (length % 4 != 0)
        return AWS_BASE64_BAD;
    size_t taken = decode_vectors(form, text, length, out);
    size_t rest = decode_scalar(text + taken, length - taken, out + taken / 4 * 3);
    return rest == AWS_BASE64_BAD ? AWS_BASE64_BAD : taken / 4 * 3 + rest;
}
