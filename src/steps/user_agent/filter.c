// Aho and Corasick's automaton over all literals, in lower case. Bytes that are in no
// literal share a class, so that a row of the table is short: some 60 classes of two
// bytes.
//
// Source   Aho, Corasick, "Efficient String Matching", CACM 18 (1975).

#include "internal.h"

#define STATES_MAX                                                                       \
    60000u /**< A state is 16 bits; literals beyond that are left out, and their rules   \
              always tried. */
#define NONE UINT32_MAX

static uint8_t lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static void number_classes(filter *f, const literal_set *sets, uint32_t rules) {
    f->classes = 1;
    for (uint32_t r = 0; r < rules; r++) {
        for (uint32_t i = 0; i < sets[r].count; i++) {
            for (uint32_t k = 0; k < sets[r].length[i]; k++) {
                uint8_t byte = (uint8_t)sets[r].text[i][k];
                if (f->class_of[byte] == 0 && f->classes < 256)
                    f->class_of[byte] = (uint8_t)f->classes++;
            }
        }
    }
    for (unsigned c = 'A'; c <= 'Z'; c++)
        f->class_of[c] = f->class_of[lower((uint8_t)c)];
}

static uint32_t states_needed(const literal_set *sets, uint32_t rules) {
    uint64_t states = 1;
    for (uint32_t r = 0; r < rules; r++)
        for (uint32_t i = 0; i < sets[r].count; i++)
            states += sets[r].length[i];
    return states > STATES_MAX ? STATES_MAX : (uint32_t)states;
}

// Walk the literal into the tree. @return its atom; NONE: no room for its states.
static uint32_t plant(filter *f, const char *text, uint32_t length, uint32_t room) {
    uint32_t state = 0;
    for (uint32_t i = 0; i < length; i++) {
        uint16_t *child = &f->next[state * f->classes + f->class_of[(uint8_t)text[i]]];
        if (*child == 0) {
            if (f->states == room)
                return NONE;
            *child = (uint16_t)f->states++;
        }
        state = *child;
    }
    if (f->atom_of[state] == NONE)
        f->atom_of[state] = f->atoms++;
    return f->atom_of[state];
}

typedef struct pair {
    uint32_t atom, rule;
} pair;

static void set_bit(uint64_t *words, uint32_t bit) {
    words[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static uint32_t plant_all(filter *f, const literal_set *sets, uint32_t rules,
                          uint32_t room, pair *pairs) {
    uint32_t count = 0;
    for (uint32_t r = 0; r < rules; r++) {
        bool always = sets[r].count == 0;
        for (uint32_t i = 0; i < sets[r].count && !always; i++) {
            uint32_t atom = plant(f, sets[r].text[i], sets[r].length[i], room);
            if (atom == NONE)
                always = true;
            else
                pairs[count++] = (pair){atom, r};
        }
        if (always)
            set_bit(f->always, r);
    }
    return count;
}

// Breadth first: a state's suffix is shorter, so it is done. `queue` and `suffix` have
// room for all states.
static void link_suffixes(filter *f, uint16_t *queue, uint16_t *suffix) {
    uint32_t head = 0, tail = 0;
    for (uint32_t c = 0; c < f->classes; c++) {
        uint16_t child = f->next[c];
        if (child != 0) {
            suffix[child] = 0;
            queue[tail++] = child;
        }
    }
    while (head < tail) {
        uint32_t state = queue[head++];
        uint16_t *row = f->next + state * f->classes;
        const uint16_t *other = f->next + (size_t)suffix[state] * f->classes;
        f->after[state] = f->output[suffix[state]];
        f->output[state] = f->atom_of[state] != NONE ? (uint16_t)state : f->after[state];
        for (uint32_t c = 0; c < f->classes; c++) {
            if (row[c] == 0) {
                row[c] = other[c];
            } else {
                suffix[row[c]] = other[c];
                queue[tail++] = row[c];
            }
        }
    }
}

static void list_rules(filter *f, const pair *pairs, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        f->first[pairs[i].atom + 1]++;
    for (uint32_t a = 0; a < f->atoms; a++)
        f->first[a + 1] += f->first[a];
    // Filled from the back, first[a + 1] sinks to where a's rules begin, and is put back
    // by the next loop.
    for (uint32_t i = count; i-- > 0;)
        f->rules[--f->first[pairs[i].atom + 1]] = pairs[i].rule;
    for (uint32_t a = 0; a < f->atoms; a++)
        f->first[a] = f->first[a + 1];
    f->first[f->atoms] = count;
}

static bool allocate(filter *f, uint32_t room, uint32_t literals, uint32_t rules) {
    f->words = (rules + 63) / 64;
    f->next = sl_calloc((size_t)room * f->classes, sizeof *f->next);
    f->output = sl_calloc(room, sizeof *f->output);
    f->after = sl_calloc(room, sizeof *f->after);
    f->atom_of = sl_malloc(room * sizeof *f->atom_of);
    f->first = sl_calloc(literals + 2, sizeof *f->first);
    f->rules = sl_calloc(literals + 1, sizeof *f->rules);
    f->always = sl_calloc(f->words + 1, sizeof *f->always);
    f->caseless = sl_calloc(f->words + 1, sizeof *f->caseless);
    if (f->next == NULL || f->output == NULL || f->after == NULL || f->atom_of == NULL ||
        f->first == NULL || f->rules == NULL || f->always == NULL || f->caseless == NULL)
        return false;
    memset(f->atom_of, 0xFF, room * sizeof *f->atom_of);
    f->memory = (size_t)room * (f->classes * sizeof *f->next + 8) +
                (2 * (size_t)literals + 3) * 4 + (2 * (size_t)f->words + 2) * 8;
    return true;
}

bool sl_user_agent_filter_init(filter *f, const literal_set *sets, const bool *caseless,
                               uint32_t rules) {
    *f = (filter){.states = 1};
    number_classes(f, sets, rules);
    uint32_t room = states_needed(sets, rules), literals = 0;
    for (uint32_t r = 0; r < rules; r++)
        literals += sets[r].count;
    pair *pairs = sl_malloc((literals + 1) * sizeof *pairs);
    uint16_t *scratch = sl_calloc(room, 2 * sizeof *scratch);
    bool good = pairs != NULL && scratch != NULL && allocate(f, room, literals, rules);
    if (good) {
        uint32_t count = plant_all(f, sets, rules, room, pairs);
        link_suffixes(f, scratch, scratch + room);
        list_rules(f, pairs, count);
        for (uint32_t r = 0; r < rules; r++)
            if (caseless[r])
                set_bit(f->caseless, r);
    }
    sl_free(pairs);
    sl_free(scratch);
    if (!good)
        sl_user_agent_filter_fini(f);
    return good;
}

void sl_user_agent_filter_fini(filter *f) {
    sl_free(f->next);
    sl_free(f->output);
    sl_free(f->after);
    sl_free(f->atom_of);
    sl_free(f->first);
    sl_free(f->rules);
    sl_free(f->always);
    sl_free(f->caseless);
    *f = (filter){0};
}

static void note(const filter *f, uint32_t atom, uint64_t *seen, uint64_t *candidates) {
    uint64_t bit = UINT64_C(1) << (atom % 64);
    if (seen[atom / 64] & bit)
        return;
    seen[atom / 64] |= bit;
    for (uint32_t i = f->first[atom]; i < f->first[atom + 1]; i++)
        set_bit(candidates, f->rules[i]);
}

void sl_user_agent_filter_run(const filter *f, const uint8_t *text, size_t length,
                              uint64_t *seen, uint64_t *candidates) {
    memcpy(candidates, f->always, f->words * sizeof *candidates);
    memset(seen, 0, (f->atoms + 63) / 64 * sizeof *seen);
    uint32_t state = 0;
    uint8_t high = 0;
    for (size_t i = 0; i < length; i++) {
        high |= text[i];
        state = f->next[state * f->classes + f->class_of[text[i]]];
        for (uint32_t end = f->output[state]; end != 0; end = f->after[end])
            note(f, f->atom_of[end], seen, candidates);
    }
    // Without regard to case, "ſ" is an s and the Kelvin sign a k, which the table
    // doesn't know.
    if (high >= 0x80)
        for (uint32_t w = 0; w < f->words; w++)
            candidates[w] |= f->caseless[w];
}
