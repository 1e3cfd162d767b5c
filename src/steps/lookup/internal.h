/** @file internal.h
 * What the files of this folder share: content as rows of cells, and the table that they
 * become.
 */
#pragma once

#include "sluice/csv.h"
#include "sluice/lookup.h"

#define NAME_BYTES_MAX 255u
#define DECIMAL_DIGITS_MAX 18u

/** What a cell may be read as, when its column's type isn't declared. */
typedef enum cell_kind {
    CELL_NULL,
    CELL_ANY,    /**< CSV: says nothing about its type. */
    CELL_TEXT,   /**< A JSON string: perhaps a time. */
    CELL_STRING, /**< A string and nothing else. */
    CELL_NUMBER,
    CELL_DECIMAL, /**< A number that is to stay exact. */
    CELL_TRUTH,
    CELL_TIME,
    CELL_DATE,
} cell_kind;

typedef struct cell {
    cell_kind kind;
    bool quoted; /**< CSV: "" is a string of no length, nothing at all is null. */
    const uint8_t *bytes;
    uint32_t length;
    uint32_t line, column;
} cell;

/** A column of the content, and what was seen in it. */
typedef struct content_column {
    char *name;
    uint32_t name_length;
    bool ints, doubles, truths, times, dates; /**< Every value so far could be one. */
    bool decimals;                            /**< Some are meant to be exact. */
    bool seen;                                /**< There is a value at all. */
    uint8_t scale;                            /**< Most digits behind a point. */
} content_column;

struct sl_lookup_loader {
    sl_lookup_definition definition; /**< A copy; its texts are in `texts`. */
    sl_arena texts;
    sl_buffer content;
    content_column *columns; /**< Of the content, in its order. */
    uint32_t column_count, column_capacity;
    uint64_t rows;
    uint64_t charged; /**< Of the budget, for the content. */
};

// ---- content.c

/** Goes over the content's rows, as often as wanted. */
typedef struct cursor {
    sl_lookup_loader *loader;
    sl_csv csv;
    size_t at;
    uint32_t line;
    uint64_t row;                      /**< From 1. */
    cell cells[SL_LOOKUP_COLUMNS_MAX]; /**< One for each column that the content has had
                                          so far. */
    sl_buffer unescaped;
    bool discover; /**< NDJSON: members that are new become columns. */
} cursor;

/** Content's columns are found on the way where it is NDJSON, else at once. */
sl_status sl_lookup_cursor_open(cursor *c, sl_lookup_loader *loader, bool first_pass,
                                sl_error *error);
/** @return SL_OK; SL_ENOTFOUND: no row is left; else an error with its place. */
sl_status sl_lookup_cursor_next(cursor *c, sl_error *error);
void sl_lookup_cursor_close(cursor *c);
/** @return index of the column, or UINT32_MAX. */
uint32_t sl_lookup_content_column(const sl_lookup_loader *loader, const uint8_t *name,
                                  size_t length, uint32_t hint);
sl_status sl_lookup_add_column(sl_lookup_loader *loader, const uint8_t *name,
                               size_t length, sl_error *error);

// ---- ndjson.c

/** Members of the object on this line, which is known to be valid JSON, to the cursor's
 * cells. */
sl_status sl_lookup_members(cursor *c, const uint8_t *line, size_t length,
                            sl_error *error);

// ---- types.c

/** A cell as its column's type has it. */
typedef struct typed {
    bool null;
    int64_t i64;
    double f64;
    const uint8_t *bytes;
    uint32_t length;
} typed;

void sl_lookup_see(content_column *column, const cell *c);
sl_type sl_lookup_type_of(const content_column *column);
/** @return NULL, or what was expected. */
const char *sl_lookup_convert(const cell *c, const sl_lookup_column *column, typed *out);
/** Text that keys are compared by. @param room At least 64 bytes. @return length;
 * UINT32_MAX: such a value is no key. */
uint32_t sl_lookup_key_text(sl_type type, uint8_t scale, const typed *value, char *room,
                            const uint8_t **text);

// ---- table.c

struct sl_lookup {
    _Atomic uint32_t references;
    sl_lookup_column *columns; /**< The first is the key. */
    uint32_t *offsets;         /**< [columns] in a row. */
    uint32_t column_count;
    uint32_t width; /**< Of a row: values, then a bit for each column that is there. */
    uint32_t bits;  /**< Offset of these. */
    uint8_t *rows;
    uint64_t row_count, row_capacity;
    uint8_t *texts; /**< Length as a varint, bytes; equal ones once. Offset 0 is the empty
                       text. */
    uint64_t texts_length;
    struct lookup_slot *index; /**< A power of two. */
    uint64_t index_mask;
    sl_arena names;
    sl_lookup_facts facts;
    sl_budget *budget;
    uint64_t charged; /**< What is taken from it. */
};

typedef struct lookup_slot {
    uint32_t tag; /**< Upper half of the key's hash. */
    uint32_t row; /**< + 1; 0: nothing. */
} lookup_slot;

/** @return bytes of the text at `offset` of a table's texts, and its length. */
static inline const uint8_t *lookup_text(const uint8_t *texts, uint32_t offset,
                                         uint32_t *length) {
    const uint8_t *p = texts + offset;
    uint32_t number = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *p++;
        number |= (uint32_t)(byte & 127u) << shift;
        if (byte < 128)
            break;
    }
    *length = number;
    return p;
}

static inline const uint8_t *lookup_row(const sl_lookup *table, uint64_t row) {
    return table->rows + row * table->width;
}

/** @return the row with this key, or UINT64_MAX. */
uint64_t sl_lookup_row_of(const sl_lookup *table, uint64_t hash, const uint8_t *key,
                          uint32_t length);
