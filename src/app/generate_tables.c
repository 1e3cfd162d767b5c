/* The tables that belong to a kind's events, as CSV: who the users are, where the devices
 * hang. A row follows from its number alone, so the tables fit events of every seed. */
#include "generate_private.h"
#include "generate_text.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static const char *const first_names[32] = {
    "Ana",   "Ben",   "Chloé", "David", "Elif",  "Finn",   "Greta", "Hugo",
    "Ines",  "Jonas", "Kaya",  "Lena",  "Mats",  "Nora",   "Omar",  "Priya",
    "Quin",  "Rosa",  "Søren", "Tarek", "Uma",   "Viktor", "Wei",   "Xena",
    "Yusuf", "Zoë",   "Aisha", "Bo",    "Carla", "Dmitri", "Eva",   "Félix"};
static const char *const last_names[32] = {
    "Abel",    "Berg",   "Costa", "Díaz",   "Eriksen", "Fischer", "García",  "Hansen",
    "Ivanova", "Jensen", "Kaya",  "Lopez",  "Müller",  "Novak",   "O'Brien", "Petit",
    "Quist",   "Rossi",  "Smith", "Tanaka", "Ueda",    "Vogel",   "Walker",  "Xu",
    "Yılmaz",  "Zhang",  "Bauer", "Chen",   "Dubois",  "Evans",   "Fraser",  "Gupta"};
static const char *const segments[4] = {"new", "regular", "regular", "vip"};
/* Sixteen places in eight cities, so that some are larger. */
static const char *const cities[SL_GENERATE_PLACES] = {
    "Berlin",  "Berlin",  "Berlin", "Berlin", "Hamburg", "Hamburg", "Hamburg", "München",
    "München", "München", "Köln",   "Köln",   "Leipzig", "Bremen",  "Dresden", "Mainz"};
static const char *const cuisines[8] = {"Italian",  "Indian",     "Burgers", "Turkish",
                                        "Japanese", "Vietnamese", "Mexican", "Vegan"};
/* The last two need quotes in CSV. */
static const char *const signs[8] = {"Bella",        "Royal",         "Lucky",
                                     "Old Harbour",  "Golden",        "Corner",
                                     "\"\"Chez\"\"", "Salt, Pepper &"};
static const char *const vehicles[4] = {"bicycle", "bicycle", "scooter", "car"};
static const char *const rooms[4] = {"cold_room", "office", "machine_room", "roof"};

typedef void row_writer(FILE *file, uint32_t row, uint64_t bits);

static const char *first(uint64_t bits) { return first_names[bits & 31]; }
static const char *last(uint64_t bits) { return last_names[(bits >> 5) & 31]; }

/* In 2019 to 2023. */
static void put_date(FILE *file, uint64_t bits) {
    fprintf(file, "%u-%02u-%02u", 2019 + below(bits >> 10, 5), 1 + below(bits >> 15, 12),
            1 + below(bits >> 20, 28));
}

static void put_user(FILE *file, uint32_t row, uint64_t bits) {
    fprintf(file, "user%06u,%s %s,user%06u@example.com,%s,%s,", row, first(bits),
            last(bits), row, segments[(bits >> 40) & 3], sl_generate_home(row));
    put_date(file, bits);
}

static void put_customer(FILE *file, uint32_t row, uint64_t bits) {
    fprintf(file, "cust%06u,%s %s,cust%06u@example.com,%s,", row, first(bits), last(bits),
            row, segments[(bits >> 40) & 3]);
    put_date(file, bits);
}

static void put_payer(FILE *file, uint32_t row, uint64_t bits) {
    static const char *const risks[8] = {"low", "low",    "low",    "low",
                                         "low", "medium", "medium", "high"};
    fprintf(file, "user%06u,%s %s,%s,%s,", row, first(bits), last(bits),
            sl_generate_home(row), risks[(bits >> 40) & 7]);
    put_date(file, bits);
}

static void put_rule(FILE *file, uint32_t row, uint64_t bits) {
    bool is_risky = row >= SL_GENERATE_SHOP_TYPES - 2;
    (void)bits;
    fprintf(file, "%s,%s,%s", sl_generate_shop_types[row],
            is_risky ? "300.00" : "1000.00",
            is_risky ? "risky_category" : "large_amount");
}

static void put_device(FILE *file, uint32_t row, uint64_t bits) {
    static const char *const limits[4] = {"0.0,8.0", "16.0,27.0", "18.0,32.0",
                                          "-20.0,45.0"};
    fprintf(file, "dev%06u,site-%02u,%s,%s,", row, row / 4 % 12, rooms[row % 4],
            limits[row % 4]);
    put_date(file, bits);
}

static void put_eater(FILE *file, uint32_t row, uint64_t bits) {
    fprintf(file, "%u,%s %s,customer%u@example.com,%s,", row + 1, first(bits), last(bits),
            row + 1, cities[row % SL_GENERATE_PLACES]);
    put_date(file, bits);
}

static void put_restaurant(FILE *file, uint32_t row, uint64_t bits) {
    unsigned sign = (unsigned)(bits & 7), cuisine = pick_skewed(mix(bits), 8);
    fprintf(file, sign < 6 ? "%u,%s %s,%s,%s,%u.%u" : "%u,\"%s %s\",%s,%s,%u.%u", row + 1,
            signs[sign], last(bits), cuisines[cuisine], cities[row % SL_GENERATE_PLACES],
            3 + below(bits >> 10, 2), below(bits >> 20, 10));
}

static void put_rider(FILE *file, uint32_t row, uint64_t bits) {
    fprintf(file, "%u,%s %s,%s,%s,%u.%u", row + 1, first(bits), last(bits),
            vehicles[(bits >> 40) & 3], cities[row % SL_GENERATE_PLACES],
            3 + below(bits >> 10, 2), below(bits >> 20, 10));
}

static const struct {
    sl_generate_kind kind;
    uint32_t rows;
    const char *file, *header;
    row_writer *write;
} tables[] = {
    {SL_GENERATE_CLICKSTREAM, SL_GENERATE_USERS, "users.csv",
     "user_id,name,email,segment,country,signup_date", put_user},
    {SL_GENERATE_ORDERS, SL_GENERATE_CUSTOMERS, "customers.csv",
     "customer_id,name,email,segment,customer_since", put_customer},
    {SL_GENERATE_WEB_ANALYTICS, SL_GENERATE_VISITORS, "users.csv",
     "user_id,name,email,segment,country,signup_date", put_user},
    {SL_GENERATE_IOT, SL_GENERATE_DEVICES, "devices.csv",
     "device_id,site,room,min_temperature,max_temperature,installed", put_device},
    {SL_GENERATE_PAYMENTS, SL_GENERATE_PAYERS, "users.csv",
     "user_id,name,home_country,risk,customer_since", put_payer},
    {SL_GENERATE_PAYMENTS, SL_GENERATE_SHOP_TYPES, "fraud_rules.csv",
     "category,max_amount,reason", put_rule},
    {SL_GENERATE_FOOD_DELIVERY, SL_GENERATE_EATERS, "customers.csv",
     "CustomerID,CustomerName,CustomerEmail,City,RegistrationDate", put_eater},
    {SL_GENERATE_FOOD_DELIVERY, SL_GENERATE_RESTAURANTS, "restaurants.csv",
     "RestaurantID,RestaurantName,CuisineType,City,RestaurantRating", put_restaurant},
    {SL_GENERATE_FOOD_DELIVERY, SL_GENERATE_RIDERS, "riders.csv",
     "RiderID,RiderName,VehicleType,City,RiderRating", put_rider},
};

static sl_status write_table(size_t table, uint64_t rows, const char *directory,
                             sl_error *error) {
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", directory, tables[table].file);
    if (n < 0 || (size_t)n >= sizeof path)
        return sl_error_set(error, SL_EIO, "%s: the path is too long", directory);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return sl_error_set(error, SL_EIO, "open %s: %s", path, strerror(errno));
    if (rows == 0 || rows > tables[table].rows)
        rows = tables[table].rows;
    fprintf(file, "%s\n", tables[table].header);
    for (uint32_t row = 0; row < rows; row++) {
        tables[table].write(file, row, mix(mix(table + 1) ^ row));
        fputc('\n', file);
    }
    bool good = ferror(file) == 0;
    good = fclose(file) == 0 && good;
    return good ? SL_OK
                : sl_error_set(error, SL_EIO, "write %s: %s", path, strerror(errno));
}

sl_status sl_generate_tables(sl_generate_kind kind, uint64_t rows, const char *directory,
                             sl_error *error) {
    if (mkdir(directory, 0777) != 0 && errno != EEXIST)
        return sl_error_set(error, SL_EIO, "make %s: %s", directory, strerror(errno));
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (tables[i].kind == kind) {
            sl_status status = write_table(i, rows, directory, error);
            if (status != SL_OK)
                return status;
        }
    return SL_OK;
}
