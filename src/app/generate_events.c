/* Test events, each a function of (kind, seed, count, index): the table of kinds, clickstream and
 * orders, and which events come again or broken.
 *
 * Randomness is SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
 * Generators", OOPSLA 2014) started at a hash of seed and index: any event can be made without
 * those before it. Texts are copied as whole 64-byte pieces, of which only the length counts,
 * because a copy of a constant size is a few vector moves and a copy of a variable size a call. */
#include "generate_private.h"
#include "generate_text.h"

#include <assert.h>

#define PRODUCTS 5000

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

static uint8_t *put_product(uint8_t *out, uint32_t product) {
    out = PUT(out, "prod");
    out = put_pair(out, product / 100);
    return put_pair(out, product % 100);
}

static uint8_t *put_clickstream(uint8_t *out, sl_generator *g, uint64_t index, uint64_t state) {
    uint64_t id_high = next(&state), id_low = next(&state), a = next(&state), b = next(&state),
             c = next(&state), d = next(&state);
    uint32_t user = pick_skewed(a, SL_GENERATE_USERS), product = pick_skewed(b, PRODUCTS);
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
    out = put_6_digits(out, pick_skewed(b, SL_GENERATE_CUSTOMERS));
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

typedef struct kind_row {
    const char *name;
    sl_generate_writer *write;
    const char *id;    /* The member that a broken event lacks. */
    const char *typed; /* The member that has another type in a broken event. */
} kind_row;

static const kind_row kinds[SL_GENERATE_KIND_COUNT] = {
    [SL_GENERATE_CLICKSTREAM] = {"clickstream", put_clickstream, "user_id", "timestamp"},
    [SL_GENERATE_ORDERS] = {"orders", put_orders, "order_id", "amount"},
    [SL_GENERATE_WEB_ANALYTICS] = {"web-analytics", sl_generate_web, "eventId", "revenue"},
    [SL_GENERATE_IOT] = {"iot", sl_generate_iot, "device_id", "temperature"},
    [SL_GENERATE_PAYMENTS] = {"payments", sl_generate_payment, "transaction_id", "amount"},
    [SL_GENERATE_FOOD_DELIVERY] = {"food-delivery", sl_generate_food, "OrderID", "OrderValue"},
};

bool sl_generate_kind_parse(const char *name, sl_generate_kind *kind) {
    for (unsigned i = 0; i < SL_GENERATE_KIND_COUNT; i++)
        if (strcmp(name, kinds[i].name) == 0) {
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

static uint64_t state_of(const sl_generator *g, uint64_t index) {
    return mix(mix(g->seed) ^ (index + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

/* Draws of their own, so that events stay the same whatever shares are asked for. */
static bool is_drawn(const sl_generator *g, uint64_t index, uint64_t salt, double share,
                     uint64_t *bits) {
    *bits = mix(state_of(g, index) ^ salt);
    return share > 0 && (double)(*bits >> 11) * 0x1p-53 < share;
}

/* The event that is sent as number `index`: itself, or one shortly before it again. */
static uint64_t origin(const sl_generator *g, uint64_t index) {
    uint64_t bits = 0;
    while (index > 0 && is_drawn(g, index, UINT64_C(0x647570), g->duplicates, &bits)) {
        uint64_t back = 1 + below(mix(bits), SL_GENERATE_AGAIN_WITHIN);
        index -= back < index ? back : index;
    }
    return index;
}

size_t sl_generate_event(sl_generator *generator, uint64_t index, uint8_t *out) {
    index = origin(generator, index);
    const kind_row *kind = &kinds[generator->kind];
    uint64_t bits = 0;
    sl_generate_fault fault = {.kind = SL_FAULT_NONE, .id = kind->id, .typed = kind->typed};
    if (is_drawn(generator, index, UINT64_C(0x626164), generator->invalid, &bits)) {
        fault.kind = SL_FAULT_NONE + 1 + (sl_fault)below(mix(bits), SL_FAULT_COUNT - 1);
        fault.bits = bits;
    }
    uint8_t *end = kind->write(out, generator, index, state_of(generator, index));
    size_t length = (size_t)(end - out);
    if (generator->csv)
        return sl_generate_csv(out, length, &fault);
    return fault.kind == SL_FAULT_NONE ? length : sl_generate_break(out, length, &fault);
}

size_t sl_generate_header(const sl_generator *generator, uint8_t *out) {
    sl_generator g = *generator;
    uint8_t *end = kinds[g.kind].write(out, &g, 0, state_of(&g, 0));
    return sl_generate_csv_header(out, (size_t)(end - out));
}
