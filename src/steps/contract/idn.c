// International names: what a label beyond ASCII may hold, and its form in ASCII.
//
// The derived property PVALID of RFC 5892 is written as general categories less what NFKC
// and case folding would change (the ranges below; between them lie only characters of
// other categories), with the exceptions of its section 2.6 and the contextual rules of
// its appendix A; then the bidi rule of RFC 5893. Left out: whether a label is in NFC,
// and joining types of scripts other than Arabic.

#include "idn.h"

#define POINTS_MAX 64u

// Section 2.1 and following: unstable, ignorable and old Hangul letters, digits and
// marks.
#define NOT_VALID                                                                        \
    "\\x{aa}-\\x{ba}\\x{133}\\x{140}\\x{149}\\x{17f}\\x{1c6}-\\x{1cc}\\x{1f3}"           \
    "\\x{2b0}-\\x{2b8}\\x{2e0}-\\x{2e4}\\x{340}-\\x{341}\\x{343}-\\x{345}\\x{34f}"       \
    "\\x{374}\\x{37a}\\x{3d0}-\\x{3d6}\\x{3f0}-\\x{3f2}\\x{3f5}\\x{587}\\x{640}"         \
    "\\x{675}-\\x{678}\\x{7fa}\\x{958}-\\x{95f}\\x{9dc}-\\x{9df}\\x{a33}\\x{a36}"        \
    "\\x{a59}-\\x{a5b}\\x{a5e}\\x{b5c}-\\x{b5d}\\x{e33}\\x{eb3}\\x{edc}-\\x{edd}"        \
    "\\x{f43}\\x{f4d}\\x{f52}\\x{f57}\\x{f5c}\\x{f69}\\x{f73}\\x{f75}-\\x{f79}"          \
    "\\x{f81}\\x{f93}\\x{f9d}\\x{fa2}\\x{fa7}\\x{fac}\\x{fb9}\\x{10fc}"                  \
    "\\x{1100}-\\x{11ff}\\x{13f8}-\\x{13fd}\\x{17b4}-\\x{17b5}\\x{180b}-\\x{180f}"       \
    "\\x{1c80}-\\x{1c88}\\x{1d2c}-\\x{1d2e}\\x{1d30}-\\x{1d3a}\\x{1d3c}-\\x{1d4d}"       \
    "\\x{1d4f}-\\x{1d6a}\\x{1d78}\\x{1d9b}-\\x{1dbf}\\x{1e9a}-\\x{1e9b}\\x{1f71}"        \
    "\\x{1f73}\\x{1f75}\\x{1f77}\\x{1f79}\\x{1f7b}\\x{1f7d}-\\x{1fa7}"                   \
    "\\x{1fb2}-\\x{1fb4}\\x{1fb7}-\\x{1fc4}\\x{1fc7}\\x{1fd3}\\x{1fe3}"                  \
    "\\x{1ff2}-\\x{1ff4}\\x{1ff7}-\\x{2149}\\x{2c7c}-\\x{2c7d}\\x{2d6f}"                 \
    "\\x{302e}-\\x{302f}\\x{3031}-\\x{303b}\\x{309f}\\x{30ff}\\x{3131}-\\x{318e}"        \
    "\\x{a69c}-\\x{a69d}\\x{a770}\\x{a7f2}-\\x{a7f4}\\x{a7f8}-\\x{a7f9}"                 \
    "\\x{a960}-\\x{a97c}\\x{ab5c}-\\x{ab5f}\\x{ab69}-\\x{abbf}\\x{d7b0}-\\x{d7fb}"       \
    "\\x{f900}-\\x{fa0d}\\x{fa10}\\x{fa12}\\x{fa15}-\\x{fa1e}\\x{fa20}\\x{fa22}"         \
    "\\x{fa25}-\\x{fa26}\\x{fa2a}-\\x{fb1d}\\x{fb1f}-\\x{fe0f}\\x{fe70}-\\x{fe72}"       \
    "\\x{fe74}-\\x{ffdc}\\x{10781}-\\x{107ba}\\x{1d165}-\\x{1d7ff}"                      \
    "\\x{1ee00}-\\x{1fbf9}\\x{2f800}-\\x{2fa1d}\\x{e0100}-\\x{e01ef}"

// Canonical combining class 9.
#define VIRAMA                                                                           \
    "\\x{94d}\\x{9cd}\\x{a4d}\\x{acd}\\x{b4d}\\x{bcd}\\x{c4d}\\x{ccd}"                   \
    "\\x{d3b}-\\x{d3c}\\x{d4d}\\x{dca}\\x{e3a}\\x{eba}\\x{f84}\\x{1039}-\\x{103a}"       \
    "\\x{1714}-\\x{1715}\\x{1734}\\x{17d2}\\x{1a60}\\x{1b44}\\x{1baa}-\\x{1bab}"         \
    "\\x{1bf2}-\\x{1bf3}\\x{2d7f}\\x{a806}\\x{a82c}\\x{a8c4}\\x{a953}\\x{a9c0}"          \
    "\\x{aaf6}\\x{abed}\\x{10a3f}\\x{11046}\\x{11070}\\x{1107f}\\x{110b9}"               \
    "\\x{11133}-\\x{11134}\\x{111c0}\\x{11235}\\x{112ea}\\x{1134d}\\x{11442}"            \
    "\\x{114c2}\\x{115bf}\\x{1163f}\\x{116b6}\\x{1172b}\\x{11839}"                       \
    "\\x{1193d}-\\x{1193e}\\x{119e0}\\x{11a34}\\x{11a47}\\x{11a99}\\x{11c3f}"            \
    "\\x{11d44}-\\x{11d45}\\x{11d97}"

// Arabic letters that join to the right alone.
#define RIGHT_JOINING                                                                    \
    "\\x{622}-\\x{625}\\x{627}\\x{629}\\x{62f}-\\x{632}\\x{648}\\x{671}-\\x{673}"        \
    "\\x{675}-\\x{677}\\x{688}-\\x{699}\\x{6c0}\\x{6c3}-\\x{6cb}\\x{6cd}\\x{6cf}"        \
    "\\x{6d2}-\\x{6d3}\\x{6d5}\\x{6ee}-\\x{6ef}"

static const char label_pattern[] =
    "^(?!-)(?!\\p{M})(?!..--)"
    // Arabic-Indic digits and their extended form aren't mixed.
    "(?!(?=.*[\\x{660}-\\x{669}]).*[\\x{6f0}-\\x{6f9}])"
    // A Katakana middle dot needs Hiragana, Katakana or Han beside it.
    "(?!(?=.*\\x{30fb})(?!.*[\\p{sc:Hiragana}\\p{sc:Katakana}\\p{sc:Han}]))"
    "(?:[\\x{df}\\x{3c2}\\x{6fd}\\x{6fe}\\x{f0b}\\x{3007}\\x{30fb}0-9-]"
    "|(?![" NOT_VALID "])[\\p{Ll}\\p{Lo}\\p{Lm}\\p{Mn}\\p{Mc}\\p{Nd}]"
    "|(?<=l)\\x{b7}(?=l)"
    "|\\x{375}(?=\\p{sc:Greek})"
    "|(?<=\\p{sc:Hebrew})[\\x{5f3}\\x{5f4}]"
    "|(?<=[" VIRAMA "])[\\x{200c}\\x{200d}]"
    "|(?<=\\p{sc:Arabic})(?<![" RIGHT_JOINING "])\\x{200c}(?=\\p{sc:Arabic})"
    ")+(?<!-)$";

#define NEUTRAL "\\p{bc:ES}\\p{bc:CS}\\p{bc:ET}\\p{bc:ON}\\p{bc:BN}\\p{bc:NSM}"
#define RIGHT "\\p{bc:R}\\p{bc:AL}"
#define DIGITS "\\p{bc:EN}\\p{bc:AN}"

// RFC 5893, section 1.4: what makes a name a bidi one.
static const char right_pattern[] = "[" RIGHT "\\p{bc:AN}]";

// Section 2: conditions 1 to 4 of a label from right to left, or 1, 5 and 6 of the
// others.
static const char bidi_pattern[] =
    "^(?:(?=[" RIGHT "])(?!(?=.*\\p{bc:EN}).*\\p{bc:AN})"
    "[" RIGHT DIGITS NEUTRAL "]*[" RIGHT DIGITS "]\\p{bc:NSM}*"
    "|(?=\\p{bc:L})[\\p{bc:L}\\p{bc:EN}" NEUTRAL "]*[\\p{bc:L}\\p{bc:EN}]\\p{bc:NSM}*)$";

/** A label beyond ASCII by the rules above. */
static bool is_valid_label(const uint8_t *text, size_t length, regex_matcher *m,
                           idn_direction *d) {
    const regex_answer valid = sl_regex_match_fixed(m, REGEX_IDN_LABEL, label_pattern,
                                                    text, length),
                       right = sl_regex_match_fixed(m, REGEX_IDN_RIGHT, right_pattern,
                                                    text, length),
                       fits = sl_regex_match_fixed(m, REGEX_IDN_BIDI, bidi_pattern, text,
                                                   length);
    d->right_to_left |= right == REGEX_YES;
    d->breaks_rule |= fits != REGEX_YES;
    return valid == REGEX_YES;
}

// ---- Punycode: RFC 3492, sections 6.1 to 6.3

static uint32_t adapt(uint32_t delta, uint32_t count, bool first) {
    delta /= first ? 700 : 2;
    delta += delta / count;
    uint32_t bias = 0;
    for (; delta > 455; bias += 36)
        delta /= 35;
    return bias + 36 * delta / (delta + 38);
}

static uint32_t threshold(uint32_t k, uint32_t bias) {
    return k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
}

static uint32_t digit_of(uint8_t c) {
    if (c >= '0' && c <= '9')
        return c - '0' + 26u;
    c |= 0x20;
    return c >= 'a' && c <= 'z' ? c - 'a' + 0u : 36;
}

/** One number in digits of varying base, added to *i. @return behind it; 0: broken. */
static size_t decode_number(const uint8_t *text, size_t at, size_t length, uint32_t bias,
                            uint32_t *i) {
    uint32_t weight = 1;
    for (uint32_t k = 36; at < length; k += 36) {
        uint32_t digit = digit_of(text[at++]), t = threshold(k, bias);
        if (digit >= 36 || digit > (UINT32_MAX - *i) / weight)
            return 0;
        *i += digit * weight;
        if (digit < t)
            return at;
        if (weight > UINT32_MAX / (36 - t))
            return 0;
        weight *= 36 - t;
    }
    return 0;
}

/** What stands behind "xn--". @return How many code points; 0: broken, or nothing beyond
 * ASCII. */
static uint32_t decode(const uint8_t *text, size_t length, uint32_t points[POINTS_MAX]) {
    size_t at = length;
    uint32_t count = 0, n = 128, i = 0, bias = 72;
    while (at > 0 && text[at - 1] != '-')
        at--;
    for (size_t k = 0; k + 1 < at; k++)
        points[count++] = text[k] >= 'A' && text[k] <= 'Z' ? text[k] | 0x20u : text[k];
    const uint32_t plain = count;
    while (at < length) {
        const uint32_t before = i;
        at = decode_number(text, at, length, bias, &i);
        if (at == 0 || count == POINTS_MAX)
            return 0;
        count++;
        bias = adapt(i - before, count, count == plain + 1);
        if (i / count > 0x10FFFF - n)
            return 0;
        n += i / count;
        i %= count;
        memmove(points + i + 1, points + i, (count - 1 - i) * sizeof *points);
        points[i++] = n;
        if (n >= 0xD800 && n <= 0xDFFF)
            return 0;
    }
    return count == plain ? 0 : count;
}

/** Digits that `delta` takes. */
static size_t number_length(uint32_t delta, uint32_t bias) {
    size_t length = 1;
    for (uint32_t k = 36;; k += 36, length++) {
        uint32_t t = threshold(k, bias);
        if (delta < t)
            return length;
        delta = (delta - t) / (36 - t);
    }
}

/** Length of the label in ASCII, "xn--" included. */
static size_t encoded_length(const uint32_t *points, uint32_t count) {
    uint32_t n = 128, delta = 0, bias = 72, done = 0;
    size_t length = 4;
    for (uint32_t i = 0; i < count; i++)
        done += points[i] < 128;
    const uint32_t plain = done;
    length += done + (done != 0);
    while (done < count) {
        uint32_t next = UINT32_MAX;
        for (uint32_t i = 0; i < count; i++)
            if (points[i] >= n && points[i] < next)
                next = points[i];
        delta += (next - n) * (done + 1);
        n = next;
        for (uint32_t i = 0; i < count; i++) {
            delta += points[i] < n;
            if (points[i] != n)
                continue;
            length += number_length(delta, bias);
            bias = adapt(delta, done + 1, done == plain);
            delta = 0;
            done++;
        }
        delta++;
        n++;
    }
    return length;
}

static size_t to_utf8(const uint32_t *points, uint32_t count, uint8_t *out) {
    size_t length = 0;
    for (uint32_t i = 0; i < count; i++)
        length += sl_utf8_encode(points[i], out + length);
    return length;
}

bool sl_idn_ascii_label(const uint8_t *text, size_t length, regex_matcher *m,
                        idn_direction *d) {
    uint32_t points[POINTS_MAX];
    uint8_t utf8[POINTS_MAX * 4];
    if (length > 63)
        return false;
    uint32_t count = decode(text + 4, length - 4, points);
    return count != 0 && is_valid_label(utf8, to_utf8(points, count, utf8), m, d) &&
           encoded_length(points, count) == length;
}

size_t sl_idn_label(const uint8_t *text, size_t length, regex_matcher *m,
                    idn_direction *d) {
    uint32_t points[POINTS_MAX], count = 0;
    for (size_t at = 0; at < length;) {
        if (count == POINTS_MAX)
            return 0;
        at += sl_text_decode(text + at, &points[count++]);
    }
    size_t encoded = encoded_length(points, count);
    return encoded <= 63 && is_valid_label(text, length, m, d) ? encoded : 0;
}
