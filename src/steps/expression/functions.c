// The functions there are: a row here and a kernel make a new one.

#include "internal.h"

#define TEXT SL_TYPE_STRING

static const function functions[] = {
    {"size", true, true, 1, SL_TYPE_INT64, {TEXT}, run_size},
    {"startsWith", false, true, 2, SL_TYPE_BOOL, {TEXT, TEXT}, run_starts_with},
    {"endsWith", false, true, 2, SL_TYPE_BOOL, {TEXT, TEXT}, run_ends_with},
    {"contains", false, true, 2, SL_TYPE_BOOL, {TEXT, TEXT}, run_contains},
};

// Of CEL's standard definitions (langdef.md, "List of Standard Definitions") and macros.
static const char *const standard[] = {
    "all",          "bool",        "bytes",         "double",
    "duration",     "dyn",         "exists",        "exists_one",
    "filter",       "getDate",     "getDayOfMonth", "getDayOfWeek",
    "getDayOfYear", "getFullYear", "getHours",      "getMilliseconds",
    "getMinutes",   "getMonth",    "getSeconds",    "int",
    "map",          "matches",     "string",        "timestamp",
    "type",         "uint",
};

const function *find_function(const char *name) {
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, name) == 0)
            return &functions[i];
    return NULL;
}

bool is_standard_function(const char *name) {
    for (size_t i = 0; i < sizeof standard / sizeof *standard; i++)
        if (strcmp(standard[i], name) == 0)
            return true;
    return false;
}

const char *nearest_function(const char *word) {
    static const char *const macros[] = {"has"};
    const char *name = NULL;
    uint32_t best = 3;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        uint32_t distance = edit_distance(functions[i].name, word, best);
        if (distance < best) {
            best = distance;
            name = functions[i].name;
        }
    }
    return name == NULL && edit_distance(macros[0], word, 1) <= 1 ? macros[0] : name;
}
