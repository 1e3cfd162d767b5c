/* Test events, each a function of (kind, seed, count, index).
 *
 * Randomness is SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
 * Generators", OOPSLA 2014) started at a hash of seed and index: any event can be made without
 * those before it. Texts are copied as whole 64-byte pieces, of which only the length counts,
 * because a copy of a constant size is a few vector moves and a copy of a variable size a call. */
#include "sluice/generate.h"

#include "sluice/time.h"

#include <assert.h>
#include <string.h>

#define PIECE_BYTES 64
#define USERS 100000
#define PRODUCTS 5000
#define CUSTOMERS 50000

typedef struct piece {
    uint8_t length;
    char text[PIECE_BYTES];
} piece;

#define PIECE(s) {sizeof(s) - 1, s}

/* The first entries are drawn most often, see pick_skewed(). */
static const piece event_types[20] = {
    PIECE("page_view"),       PIECE("product_view"),  PIECE("search"),
    PIECE("add_to_cart"),     PIECE("filter_apply"),  PIECE("login"),
    PIECE("purchase"),        PIECE("checkout"),      PIECE("wishlist_add"),
    PIECE("video_play"),      PIECE("sort_change"),   PIECE("remove_from_cart"),
    PIECE("coupon_apply"),    PIECE("logout"),        PIECE("review_submit"),
    PIECE("share"),           PIECE("support_chat"),  PIECE("signup"),
    PIECE("newsletter_join"), PIECE("payment_error"),
};

static const piece categories[12] = {
    PIECE("electronics"), PIECE("books"), PIECE("clothing"), PIECE("garden"),
    PIECE("toys"),        PIECE("food"),  PIECE("sports"),   PIECE("beauty"),
    PIECE("music"),       PIECE("pets"),  PIECE("office"),   PIECE("shoes"),
};

static const piece referrers[8] = {
    PIECE("mail"), PIECE("search"), PIECE("home"), PIECE("ad"),
    PIECE("app"),  PIECE("social"), PIECE("list"), PIECE("partner"),
};

/* 18 of the 64 are not ASCII: 28 % of the events. */
static const piece places[64] = {
    PIECE("\"country\":\"US\",\"city\":\"San Francisco\"}"),
    PIECE("\"country\":\"US\",\"city\":\"New York\"}"),
    PIECE("\"country\":\"US\",\"city\":\"Chicago\"}"),
    PIECE("\"country\":\"US\",\"city\":\"Austin\"}"),
    PIECE("\"country\":\"US\",\"city\":\"Seattle\"}"),
    PIECE("\"country\":\"US\",\"city\":\"Boston\"}"),
    PIECE("\"country\":\"US\",\"city\":\"Denver\"}"),
    PIECE("\"country\":\"CA\",\"city\":\"Toronto\"}"),
    PIECE("\"country\":\"CA\",\"city\":\"Vancouver\"}"),
    PIECE("\"country\":\"CA\",\"city\":\"Montréal\"}"),
    PIECE("\"country\":\"CA\",\"city\":\"Québec\"}"),
    PIECE("\"country\":\"GB\",\"city\":\"London\"}"),
    PIECE("\"country\":\"GB\",\"city\":\"Leeds\"}"),
    PIECE("\"country\":\"GB\",\"city\":\"Glasgow\"}"),
    PIECE("\"country\":\"GB\",\"city\":\"Bristol\"}"),
    PIECE("\"country\":\"DE\",\"city\":\"Berlin\"}"),
    PIECE("\"country\":\"DE\",\"city\":\"Hamburg\"}"),
    PIECE("\"country\":\"DE\",\"city\":\"München\"}"),
    PIECE("\"country\":\"DE\",\"city\":\"Köln\"}"),
    PIECE("\"country\":\"DE\",\"city\":\"Düsseldorf\"}"),
    PIECE("\"country\":\"CH\",\"city\":\"Zürich\"}"),
    PIECE("\"country\":\"CH\",\"city\":\"Bern\"}"),
    PIECE("\"country\":\"AT\",\"city\":\"Wien\"}"),
    PIECE("\"country\":\"FR\",\"city\":\"Paris\"}"),
    PIECE("\"country\":\"FR\",\"city\":\"Lyon\"}"),
    PIECE("\"country\":\"FR\",\"city\":\"Orléans\"}"),
    PIECE("\"country\":\"ES\",\"city\":\"Madrid\"}"),
    PIECE("\"country\":\"ES\",\"city\":\"Málaga\"}"),
    PIECE("\"country\":\"PT\",\"city\":\"Lisboa\"}"),
    PIECE("\"country\":\"IT\",\"city\":\"Milano\"}"),
    PIECE("\"country\":\"IT\",\"city\":\"Roma\"}"),
    PIECE("\"country\":\"NL\",\"city\":\"Utrecht\"}"),
    PIECE("\"country\":\"BE\",\"city\":\"Gent\"}"),
    PIECE("\"country\":\"DK\",\"city\":\"Odense\"}"),
    PIECE("\"country\":\"SE\",\"city\":\"Malmö\"}"),
    PIECE("\"country\":\"SE\",\"city\":\"Stockholm\"}"),
    PIECE("\"country\":\"NO\",\"city\":\"Oslo\"}"),
    PIECE("\"country\":\"FI\",\"city\":\"Helsinki\"}"),
    PIECE("\"country\":\"PL\",\"city\":\"Łódź\"}"),
    PIECE("\"country\":\"PL\",\"city\":\"Warszawa\"}"),
    PIECE("\"country\":\"CZ\",\"city\":\"Plzeň\"}"),
    PIECE("\"country\":\"TR\",\"city\":\"İzmir\"}"),
    PIECE("\"country\":\"GR\",\"city\":\"Αθήνα\"}"),
    PIECE("\"country\":\"IL\",\"city\":\"Haifa\"}"),
    PIECE("\"country\":\"JP\",\"city\":\"東京\"}"),
    PIECE("\"country\":\"JP\",\"city\":\"大阪\"}"),
    PIECE("\"country\":\"CN\",\"city\":\"上海\"}"),
    PIECE("\"country\":\"KR\",\"city\":\"서울\"}"),
    PIECE("\"country\":\"IN\",\"city\":\"Mumbai\"}"),
    PIECE("\"country\":\"IN\",\"city\":\"Pune\"}"),
    PIECE("\"country\":\"BR\",\"city\":\"São Paulo\"}"),
    PIECE("\"country\":\"BR\",\"city\":\"Recife\"}"),
    PIECE("\"country\":\"AR\",\"city\":\"Rosario\"}"),
    PIECE("\"country\":\"CL\",\"city\":\"Santiago\"}"),
    PIECE("\"country\":\"MX\",\"city\":\"Puebla\"}"),
    PIECE("\"country\":\"CO\",\"city\":\"Cali\"}"),
    PIECE("\"country\":\"AU\",\"city\":\"Sydney\"}"),
    PIECE("\"country\":\"AU\",\"city\":\"Perth\"}"),
    PIECE("\"country\":\"NZ\",\"city\":\"Auckland\"}"),
    PIECE("\"country\":\"ZA\",\"city\":\"Durban\"}"),
    PIECE("\"country\":\"KE\",\"city\":\"Nairobi\"}"),
    PIECE("\"country\":\"NG\",\"city\":\"Lagos\"}"),
    PIECE("\"country\":\"EG\",\"city\":\"Cairo\"}"),
    PIECE("\"country\":\"IE\",\"city\":\"Dublin\"}"),
};

static const piece order_states[8] = {
    PIECE("paid"),    PIECE("paid"),     PIECE("paid"),      PIECE("shipped"),
    PIECE("shipped"), PIECE("returned"), PIECE("cancelled"), PIECE("delivered"),
};
static const piece currencies[4] = {PIECE("USD"), PIECE("EUR"), PIECE("GBP"), PIECE("CHF")};
static const piece payments[4] = {PIECE("card"), PIECE("paypal"), PIECE("invoice"),
                                  PIECE("transfer")};

static const char hex_digits[16] = "0123456789abcdef";
/* Two digits at a time halve the divisions. */
static const char digit_pairs[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t next(uint64_t *state) {
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(*state);
}

/* A number below `limit` from 32 random bits, without a division (Lemire, "Fast Random Integer
 * Generation in an Interval", 2019; the bias of 2^-32 × limit doesn't matter here). */
static uint32_t below(uint64_t bits, uint32_t limit) {
    return (uint32_t)(((bits & UINT32_MAX) * limit) >> 32);
}

/* The smaller of two draws: low numbers come often, the last ones seldom. */
static uint32_t pick_skewed(uint64_t bits, uint32_t limit) {
    uint32_t a = below(bits, limit), b = below(bits >> 32, limit);
    return a < b ? a : b;
}

static uint8_t *put(uint8_t *out, const piece *p) {
    memcpy(out, p->text, PIECE_BYTES);
    return out + p->length;
}

/* For literals; their size is known, so this is a few moves. */
#define PUT(out, s) (memcpy((out), (s), sizeof(s) - 1), (out) + (sizeof(s) - 1))

static uint8_t *put_pair(uint8_t *out, uint32_t n) {
    memcpy(out, digit_pairs + 2 * (size_t)n, 2);
    return out + 2;
}

static uint8_t *put_6_digits(uint8_t *out, uint32_t n) {
    out = put_pair(out, n / 10000);
    out = put_pair(out, n / 100 % 100);
    return put_pair(out, n % 100);
}

static uint8_t *put_number(uint8_t *out, uint32_t n) {
    char digits[10];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    memcpy(out, digits + at, sizeof digits - at);
    return out + (sizeof digits - at);
}

/* 12345 cents are 123.45. */
static uint8_t *put_cents(uint8_t *out, uint32_t cents) {
    out = put_number(out, cents / 100);
    *out++ = '.';
    return put_pair(out, cents % 100);
}

static uint8_t *put_hex(uint8_t *out, uint64_t bits, unsigned digits) {
    for (unsigned i = 0; i < digits; i++, bits <<= 4)
        *out++ = (uint8_t)hex_digits[bits >> 60];
    return out;
}

/* Version 4, variant 10 (RFC 9562, section 5.4). */
static uint8_t *put_uuid(uint8_t *out, uint64_t high, uint64_t low) {
    high = (high & ~UINT64_C(0xf000)) | UINT64_C(0x4000);
    low = (low & ~(UINT64_C(3) << 62)) | (UINT64_C(2) << 62);
    out = put_hex(out, high, 8);
    *out++ = '-';
    out = put_hex(out, high << 32, 4);
    *out++ = '-';
    out = put_hex(out, high << 48, 4);
    *out++ = '-';
    out = put_hex(out, low, 4);
    *out++ = '-';
    return put_hex(out, low << 16, 12);
}

/* In order, but for a jitter that stays within the span where there is room for it. */
static int64_t event_time_ms(const sl_generator *g, uint64_t index, uint64_t bits) {
    if (g->now_ms != 0)
        return g->now_ms;
    uint32_t jitter = below(bits, SL_GENERATE_JITTER_MS);
    if (g->count == 0)
        return g->start_ms + (int64_t)index + jitter;
    uint64_t span = (uint64_t)g->span_ms;
    if (span <= SL_GENERATE_JITTER_MS)
        jitter = 0;
    else
        span -= SL_GENERATE_JITTER_MS;
    return g->start_ms + (int64_t)(index * span / g->count) + jitter;
}

static void set_minute(sl_generator *g, int64_t minute) {
    int64_t days = sl_time_floor(minute, 1440) / 1440;
    int year = 1970;
    unsigned month = 1, day = 1;
    sl_date_civil((int32_t)days, &year, &month, &day);
    uint32_t of_day = (uint32_t)(minute - days * 1440);
    uint8_t *out = (uint8_t *)g->prefix;
    out = put_pair(out, (uint32_t)year / 100);
    out = put_pair(out, (uint32_t)year % 100);
    *out++ = '-';
    out = put_pair(out, month);
    *out++ = '-';
    out = put_pair(out, day);
    *out++ = 'T';
    out = put_pair(out, of_day / 60);
    *out++ = ':';
    out = put_pair(out, of_day % 60);
    *out = ':';
    g->minute = minute;
}

/* RFC 3339 with milliseconds. All but the last 7 characters stay the same for a minute. */
static uint8_t *put_time(uint8_t *out, sl_generator *g, int64_t ms) {
    int64_t minute = sl_time_floor(ms, 60000) / 60000;
    if (minute != g->minute)
        set_minute(g, minute);
    uint32_t rest = (uint32_t)(ms - minute * 60000);
    memcpy(out, g->prefix, 17);
    out = put_pair(out + 17, rest / 1000);
    *out++ = '.';
    *out++ = (uint8_t)('0' + rest / 100 % 10);
    out = put_pair(out, rest % 100);
    *out++ = 'Z';
    return out;
}

static uint8_t *put_product(uint8_t *out, uint32_t product) {
    out = PUT(out, "prod");
    out = put_pair(out, product / 100);
    return put_pair(out, product % 100);
}

static uint8_t *put_clickstream(uint8_t *out, sl_generator *g, uint64_t index, uint64_t state) {
    uint64_t id_high = next(&state), id_low = next(&state), a = next(&state), b = next(&state),
             c = next(&state), d = next(&state);
    uint32_t user = pick_skewed(a, USERS), product = pick_skewed(b, PRODUCTS);
    const piece *category = &categories[product % 12];
    /* A user's session is a million events long: in an hour of five million, five sessions. */
    uint64_t session = mix(g->seed ^ ((uint64_t)user << 32) ^ (index >> 20));
    out = PUT(out, "{\"event_id\":\"");
    out = put_uuid(out, id_high, id_low);
    out = PUT(out, "\",\"event_type\":\"");
    out = put(out, &event_types[pick_skewed(c, 20)]);
    out = PUT(out, "\",\"timestamp\":\"");
    out = put_time(out, g, event_time_ms(g, index, d));
    out = PUT(out, "\",\"user_id\":\"user");
    out = put_6_digits(out, user);
    out = PUT(out, "\",\"data\":{\"session_id\":\"");
    out = put_hex(out, session, 12);
    out = PUT(out, "\",\"page_url\":\"https://example.com/");
    out = put(out, category);
    *out++ = '/';
    out = put_product(out, product);
    out = PUT(out, "?ref=");
    out = put(out, &referrers[(d >> 32) & 7]);
    out = PUT(out, "\",\"product_id\":\"");
    out = put_product(out, product);
    out = PUT(out, "\",\"category\":\"");
    out = put(out, category);
    out = PUT(out, "\",\"amount\":");
    out = put_cents(out, 100 + below(mix(d), 50000));
    out = PUT(out, ",\"quantity\":");
    *out++ = (uint8_t)('1' + ((d >> 35) & 3));
    out = PUT(out, ",\"location\":{");
    out = put(out, &places[(d >> 40) & 63]);
    return PUT(out, "}}\n");
}

static uint8_t *put_orders(uint8_t *out, sl_generator *g, uint64_t index, uint64_t state) {
    uint64_t a = next(&state), b = next(&state), c = next(&state);
    uint32_t items = 1 + pick_skewed(a, 4), total = 0;
    out = PUT(out, "{\"order_id\":\"ord-");
    out = put_hex(out, mix(g->seed), 4);
    *out++ = '-';
    out = put_6_digits(out, (uint32_t)(index / 1000000 % 1000000));
    out = put_6_digits(out, (uint32_t)(index % 1000000));
    out = PUT(out, "\",\"customer_id\":\"cust");
    out = put_6_digits(out, pick_skewed(b, CUSTOMERS));
    out = PUT(out, "\",\"timestamp\":\"");
    out = put_time(out, g, event_time_ms(g, index, c));
    out = PUT(out, "\",\"status\":\"");
    out = put(out, &order_states[(c >> 32) & 7]);
    out = PUT(out, "\",\"currency\":\"");
    out = put(out, &currencies[(c >> 35) & 3]);
    out = PUT(out, "\",\"payment_method\":\"");
    out = put(out, &payments[(c >> 37) & 3]);
    out = PUT(out, "\",\"items\":[");
    for (uint32_t i = 0; i < items; i++) {
        uint64_t bits = next(&state);
        uint32_t price = 100 + below(bits, 20000), quantity = 1 + (uint32_t)((bits >> 32) & 3);
        total += price * quantity;
        if (i > 0)
            *out++ = ',';
        out = PUT(out, "{\"product_id\":\"");
        out = put_product(out, below(mix(bits), PRODUCTS));
        out = PUT(out, "\",\"quantity\":");
        *out++ = (uint8_t)('0' + quantity);
        out = PUT(out, ",\"price\":");
        out = put_cents(out, price);
        *out++ = '}';
    }
    out = PUT(out, "],\"amount\":");
    out = put_cents(out, total);
    out = PUT(out, ",\"shipping\":{");
    out = put(out, &places[(c >> 40) & 63]);
    return PUT(out, "}\n");
}

static const char *const kind_names[SL_GENERATE_KIND_COUNT] = {
    [SL_GENERATE_CLICKSTREAM] = "clickstream",
    [SL_GENERATE_ORDERS] = "orders",
};

const char *sl_generate_kind_name(sl_generate_kind kind) {
    return kind < SL_GENERATE_KIND_COUNT ? kind_names[kind] : NULL;
}

bool sl_generate_kind_parse(const char *name, sl_generate_kind *kind) {
    for (unsigned i = 0; i < SL_GENERATE_KIND_COUNT; i++)
        if (strcmp(name, kind_names[i]) == 0) {
            *kind = (sl_generate_kind)i;
            return true;
        }
    return false;
}

void sl_generator_init(sl_generator *generator, sl_generate_kind kind, uint64_t seed,
                       uint64_t count) {
    assert(kind < SL_GENERATE_KIND_COUNT);
    *generator = (sl_generator){.kind = kind,
                                .seed = seed,
                                .count = count,
                                .start_ms = SL_GENERATE_START_MS,
                                .span_ms = SL_HOUR_US / 1000,
                                .minute = INT64_MIN};
}

size_t sl_generate_event(sl_generator *generator, uint64_t index, uint8_t *out) {
    uint64_t state = mix(mix(generator->seed) ^ (index + 1) * UINT64_C(0x9e3779b97f4a7c15));
    uint8_t *end = generator->kind == SL_GENERATE_CLICKSTREAM
                       ? put_clickstream(out, generator, index, state)
                       : put_orders(out, generator, index, state);
    return (size_t)(end - out);
}
