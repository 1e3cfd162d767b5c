/* Events of the kinds web-analytics, iot, payments and food-delivery.
 *
 * They come as people and things send them: more by day than by night, a few users much
 * more often than most, and some events late. The tables of `--tables`
 * (generate_tables.c) tell of the same users, devices, restaurants; who is at home where
 * follows from the number alone. */
#include "generate_private.h"
#include "generate_text.h"

#define HOUR_MS (SL_HOUR_US / 1000)

/* How busy each hour of a day is, UTC. */
static const uint8_t steady_hours[24] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                         1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static const uint8_t shop_hours[24] = {3,  2,  1,  1,  1,  2,  4,  6,  8,  10, 11, 12,
                                       12, 11, 10, 10, 11, 12, 14, 15, 14, 11, 8,  5};
static const uint8_t meal_hours[24] = {4,  2,  1, 1, 1, 1,  1,  2,  3,  3,  5, 12,
                                       16, 11, 5, 4, 6, 13, 22, 24, 20, 13, 9, 6};

/* --- Draws
 * --------------------------------------------------------------------------------- */

/* The first hundredth of all comes in a fifth of the events. */
static uint32_t pick_favourite(uint64_t bits, uint32_t limit) {
    double u = (double)(bits >> 11) * 0x1p-53;
    return (uint32_t)(u * u * u * limit);
}

static bool percent(uint64_t bits, unsigned tenths) { return below(bits, 1000) < tenths; }

/* What has happened from 1970 to `ms`, if hours are as busy as `hours` says. */
static double passed(const uint8_t hours[24], unsigned day, int64_t ms) {
    int64_t days = sl_time_floor(ms, 24 * HOUR_MS) / (24 * HOUR_MS),
            rest = ms - days * 24 * HOUR_MS;
    double sum =
        (double)days * day + (double)(rest % HOUR_MS) / HOUR_MS * hours[rest / HOUR_MS];
    for (int64_t hour = 0; hour < rest / HOUR_MS; hour++)
        sum += hours[hour];
    return sum;
}

/* The time at which so much has happened. */
static int64_t reached(const uint8_t hours[24], unsigned day, double sum) {
    int64_t days = (int64_t)(sum / day) - (sum < 0), hour = 0;
    for (sum -= (double)days * day; hour < 23 && sum >= hours[hour]; hour++)
        sum -= hours[hour];
    double part = sum / hours[hour];
    return (days * 24 + hour) * HOUR_MS + (int64_t)((part < 1 ? part : 1) * HOUR_MS);
}

/* 94 of 100 events take up to two seconds to be sent, 5 up to a minute, 1 up to ten
 * minutes. */
static int64_t late_ms(uint64_t bits) {
    uint32_t percentile = below(bits, 100), most = 2000;
    if (percentile >= 94)
        most = percentile < 99 ? 60000 : SL_GENERATE_LATE_MS;
    return below(bits >> 32, most);
}

static int64_t event_time_ms(const sl_generator *g, const uint8_t hours[24],
                             uint64_t index, uint64_t bits) {
    if (g->now_ms != 0)
        return g->now_ms;
    int64_t time = g->start_ms + (int64_t)index;
    if (g->count > 0) {
        unsigned day = 0;
        for (unsigned hour = 0; hour < 24; hour++)
            day += hours[hour];
        double from = passed(hours, day, g->start_ms);
        double all = passed(hours, day, g->start_ms + g->span_ms) - from;
        time = reached(hours, day, from + all * ((double)index / (double)g->count));
    }
    time -= late_ms(bits);
    int64_t last = g->start_ms + (g->span_ms > 0 ? g->span_ms - 1 : 0);
    if (g->count > 0 && time > last)
        time = last; /* What rounding added. */
    return time > g->start_ms ? time : g->start_ms;
}

/* --- Texts
 * --------------------------------------------------------------------------------- */

static uint8_t *put_text(uint8_t *out, const char *text) {
    size_t length = strlen(text);
    memcpy(out, text, length);
    return out + length;
}

/* -123 tenths are -12.3. */
static uint8_t *put_tenths(uint8_t *out, int32_t tenths) {
    uint32_t n = (uint32_t)(tenths < 0 ? -tenths : tenths);
    if (tenths < 0)
        *out++ = '-';
    out = put_number(out, n / 10);
    *out++ = '.';
    *out++ = (uint8_t)('0' + n % 10);
    return out;
}

static uint8_t *put_serial(uint8_t *out, uint64_t index) {
    out = put_6_digits(out, (uint32_t)(index / 1000000 % 1000000));
    return put_6_digits(out, (uint32_t)(index % 1000000));
}

/* --- web-analytics
 * ------------------------------------------------------------------------- */

static const char *const agents[12] = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/122.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/122.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_3_1 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like "
    "Gecko) Version/17.3.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) "
    "Version/17.3.1 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:123.0) Gecko/20100101 Firefox/123.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/122.0.0.0 Safari/537.36 Edg/122.0.0.0",
    "Mozilla/5.0 (iPad; CPU OS 16_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) "
    "Version/16.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 13; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) "
    "SamsungBrowser/24.0 Chrome/117.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:123.0) Gecko/20100101 "
    "Firefox/123.0",
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/121.0.0.0 Safari/537.36",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
};

/* Drawn evenly: of a hundred events 3 are purchases, 2 errors. */
static const struct {
    uint8_t below;
    const char *name;
} visit_types[6] = {{62, "page_view"}, {84, "product_view"}, {92, "add_to_cart"},
                    {95, "checkout"},  {98, "purchase"},     {100, "error"}};

static const char *const pages[8] = {
    "/",        "/search", "/products/lamp", "/products/chair",
    "/account", "/cart",   "/products/desk", "/help"};
static const char *const origins[4] = {"direct", "search", "mail", "social"};

/* Addresses that are kept for documentation: RFC 5737 and RFC 3849. */
static uint8_t *put_address(uint8_t *out, uint64_t bits) {
    static const char *const networks[4] = {"192.0.2.", "198.51.100.", "203.0.113.",
                                            "2001:db8::"};
    unsigned network = (unsigned)(bits & 3);
    out = put_text(out, networks[network]);
    return network < 3 ? put_number(out, 1 + below(bits >> 8, 254))
                       : put_hex(out, bits << 8 | UINT64_C(1) << 63, 4);
}

uint8_t *sl_generate_web(uint8_t *out, sl_generator *g, uint64_t index, uint64_t state) {
    uint64_t high = next(&state), low = next(&state), a = next(&state), b = next(&state),
             c = next(&state);
    uint32_t user = pick_favourite(a, SL_GENERATE_VISITORS), percentile = below(b, 100),
             type = 0;
    uint64_t person = mix(UINT64_C(0x77656200) + user);
    while (percentile >= visit_types[type].below)
        type++;
    bool buys = type == 4, fails = type == 5;
    out = PUT(out, "{\"eventId\":\"");
    out = put_uuid(out, high, low);
    out = PUT(out, "\",\"userId\":\"user");
    out = put_6_digits(out, user);
    out = PUT(out, "\",\"eventType\":\"");
    out = put_text(out, visit_types[type].name);
    out = PUT(out, "\",\"timestamp\":\"");
    out = put_time(out, g, event_time_ms(g, shop_hours, index, c));
    out = PUT(out, "\",\"ip\":\"");
    out = put_address(out, person);
    out = PUT(out, "\",\"userAgent\":\"");
    out = put_text(out, agents[pick_skewed(mix(person), 12)]);
    out = PUT(out, "\",\"revenue\":");
    out = put_cents(out, buys ? 900 + pick_favourite(mix(b), 60000) : 0);
    /* Most answers take some tens of milliseconds; errors take seconds. */
    out = PUT(out, ",\"responseTime\":");
    out = put_number(out, fails ? 800 + below(mix(c), 9000)
                                : 12 + pick_favourite(mix(c), 1500));
    out = PUT(out, ",\"properties\":{\"page\":\"");
    out = put_text(out, pages[(b >> 32) & 7]);
    out = PUT(out, "\",\"referrer\":\"");
    out = put_text(out, origins[(b >> 35) & 3]);
    out = PUT(out, "\",\"sessionId\":\"");
    out = put_hex(out, mix(g->seed ^ person ^ (index >> 14)), 12);
    return PUT(out, "\"}}\n");
}

/* --- iot
 * ----------------------------------------------------------------------------------- */

/* Cold rooms, offices, machine rooms, roofs: tenths of a degree, and how far a day's sun
 * moves them. devices.csv says which device is where. */
static const struct {
    int32_t base, swing;
} rooms[4] = {{40, 4}, {210, 15}, {265, 6}, {120, 60}};

uint8_t *sl_generate_iot(uint8_t *out, sl_generator *g, uint64_t index, uint64_t state) {
    uint64_t a = next(&state), b = next(&state), c = next(&state);
    uint32_t device = below(a, SL_GENERATE_DEVICES);
    int64_t time = event_time_ms(g, steady_hours, index, c);
    int64_t of_day = time - sl_time_floor(time, 24 * HOUR_MS);
    /* -12 at 3:00, +12 at 15:00, and straight between. */
    int32_t hour = (int32_t)(of_day / HOUR_MS),
            from_noon = hour > 15 ? hour - 15 : 15 - hour;
    int32_t sun = 12 - 2 * (from_noon <= 12 ? from_noon : 24 - from_noon);
    int32_t tenths = rooms[device % 4].base + rooms[device % 4].swing * sun / 12 +
                     (int32_t)below(b, 11) - 5 + (int32_t)(device / 4 % 7) - 3;
    if (percent(b >> 32, 3)) /* A sensor that fails reads far too much. */
        tenths = 850 + (int32_t)below(mix(b), 400);
    out = PUT(out, "{\"reading_id\":\"r-");
    out = put_hex(out, mix(g->seed), 4);
    *out++ = '-';
    out = put_serial(out, index);
    out = PUT(out, "\",\"device_id\":\"dev");
    out = put_6_digits(out, device);
    out = PUT(out, "\",\"timestamp\":\"");
    out = put_time(out, g, time);
    out = PUT(out, "\",\"temperature\":");
    out = put_tenths(out, tenths);
    out = PUT(out, ",\"humidity\":");
    out = put_tenths(out, 300 + (int32_t)below(mix(c), 400));
    out = PUT(out, ",\"battery\":");
    out = put_number(out, 5 + (uint32_t)(mix(device) % 96));
    return PUT(out, "}\n");
}

/* --- payments
 * ------------------------------------------------------------------------------ */

const char *const sl_generate_shop_types[SL_GENERATE_SHOP_TYPES] = {
    "groceries",   "restaurants", "transport",  "clothing",
    "electronics", "travel",      "gift_cards", "gambling"};
static const char *const countries[8] = {"US", "DE", "GB", "FR", "NL", "ES", "CH", "NO"};
static const char *const monies[8] = {"USD", "EUR", "GBP", "EUR",
                                      "EUR", "EUR", "CHF", "NOK"};
static const char *const methods[4] = {"card", "card", "wallet", "transfer"};

static uint32_t home(uint32_t payer) {
    return pick_skewed(mix(UINT64_C(0x70617900) + payer), 8);
}

const char *sl_generate_home(uint32_t payer) { return countries[home(payer)]; }

uint8_t *sl_generate_payment(uint8_t *out, sl_generator *g, uint64_t index,
                             uint64_t state) {
    uint64_t id = next(&state), a = next(&state), b = next(&state), c = next(&state);
    uint32_t payer = pick_favourite(a, SL_GENERATE_PAYERS), type = pick_skewed(b, 8);
    /* 1.5 % are above 1,000.00. */
    uint32_t cents = percent(c >> 32, 15) ? 100001 + pick_favourite(mix(c), 900000)
                                          : 100 + pick_favourite(mix(c), 59900);
    uint32_t at = percent(mix(b), 30) ? below(mix(a), 8) : home(payer);
    out = PUT(out, "{\"transaction_id\":\"txn_");
    out = put_hex(out, id, 16);
    out = PUT(out, "\",\"user_id\":\"user");
    out = put_6_digits(out, payer);
    out = PUT(out, "\",\"amount\":");
    out = put_cents(out, cents);
    out = PUT(out, ",\"currency\":\"");
    out = put_text(out, monies[at]);
    out = PUT(out, "\",\"country\":\"");
    out = put_text(out, countries[at]);
    out = PUT(out, "\",\"category\":\"");
    out = put_text(out, sl_generate_shop_types[type]);
    out = PUT(out, "\",\"merchant_id\":\"m");
    out = put_6_digits(out, type * 1000 + pick_favourite(mix(id), 1000));
    out = PUT(out, "\",\"method\":\"");
    out = put_text(out, methods[(b >> 61) & 3]);
    out = PUT(out, "\",\"timestamp\":\"");
    out = put_time(out, g, event_time_ms(g, shop_hours, index, mix(id ^ a)));
    return PUT(out, "\"}\n");
}

/* --- food-delivery
 * ------------------------------------------------------------------------- */

/* Somebody of the restaurant's place: numbers that leave the same remainder. */
static uint32_t pick_near(uint64_t bits, uint32_t limit, uint32_t restaurant) {
    return pick_favourite(bits, limit / SL_GENERATE_PLACES) * SL_GENERATE_PLACES +
           restaurant % SL_GENERATE_PLACES;
}

static uint32_t minutes_taken(uint32_t restaurant, int64_t time_ms, uint64_t bits) {
    uint32_t hour =
        (uint32_t)((time_ms - sl_time_floor(time_ms, 24 * HOUR_MS)) / HOUR_MS);
    uint32_t rush = (hour >= 12 && hour < 14) || (hour >= 18 && hour < 21) ? 7 : 0;
    return 12 + restaurant % SL_GENERATE_PLACES + rush + pick_skewed(bits, 30);
}

uint8_t *sl_generate_food(uint8_t *out, sl_generator *g, uint64_t index, uint64_t state) {
    uint64_t a = next(&state), b = next(&state), c = next(&state), d = next(&state);
    uint32_t restaurant = pick_favourite(a, SL_GENERATE_RESTAURANTS),
             status = below(b, 100);
    uint32_t cents = 800 + pick_favourite(c, 9000);
    int64_t time = event_time_ms(g, meal_hours, index, d);
    bool is_cancelled = status >= 92 && status < 98;
    out = PUT(out, "{\"OrderID\":");
    /* Below 2^53, so that every reader of JSON has it exactly. */
    out = put_number(out, 1000 + (uint32_t)(mix(g->seed) % 8000));
    out = put_serial(out, index);
    out = PUT(out, ",\"CustomerID\":");
    out = put_number(out, 1 + pick_near(b, SL_GENERATE_EATERS, restaurant));
    out = PUT(out, ",\"RestaurantID\":");
    out = put_number(out, 1 + restaurant);
    out = PUT(out, ",\"RiderID\":");
    out = put_number(out, 1 + pick_near(mix(a), SL_GENERATE_RIDERS, restaurant));
    out = PUT(out, ",\"OrderDate\":\"");
    out = put_time(out, g, time);
    out = PUT(out, "\",\"DeliveryTime\":");
    out = is_cancelled ? PUT(out, "null")
                       : put_number(out, minutes_taken(restaurant, time, mix(d)));
    out = PUT(out, ",\"OrderValue\":");
    out = put_cents(out, cents);
    out = PUT(out, ",\"DeliveryFee\":");
    out = put_cents(out, cents >= 4000 ? 0 : 99 + 50 * below(mix(c), 8));
    /* Four of ten give no tip, the others 5 to 20 %. */
    out = PUT(out, ",\"TipAmount\":");
    out = put_cents(out, is_cancelled || percent(mix(b), 400)
                             ? 0
                             : cents * (5 + below(mix(b) >> 32, 16)) / 100);
    out = PUT(out, ",\"OrderStatus\":\"");
    out = put_text(out, is_cancelled  ? "Cancelled"
                        : status < 92 ? "Delivered"
                                      : "Refunded");
    return PUT(out, "\"}\n");
}
