// Lines of CSV as events: each row is written down as the JSON text that says the same, and decoded like any other.
//
// The names make a plan, kept as long as records come with the same line of them: what to write before which
// value, objects opened and closed in between, so that the members of one stand together wherever their columns do.
//
// The text lies twice: where it is written, which stays where it is while it is read, and in the batch's arena, which
// may move meanwhile and which spans point into.

#include "number.h"

#include "sluice/csv.h"
#include "sluice/hash.h"

#include <stdio.h>

#define HEADER_BYTES_MAX (64u << 10) /**< Names stand in the text of every row. */
#define NAMES_MAX 1024u
#define TEXT_KEEP_BYTES ((size_t)1 << 20)
#define NONE UINT32_MAX
#define LINE_UNKNOWN 0u

/** How a value is written. */
typedef enum value_kind {
    VALUE_STRING,  /**< As a string. */
    VALUE_TIME,    /**< As a string; no text between quotes is nothing, as it is no time. */
    VALUE_SCALAR,  /**< Bare where it is a number, true or false; no text between quotes is nothing. */
    VALUE_UNKNOWN, /**< Bare where it is a number, true or false. */
    VALUE_JSON,    /**< Bare where it is JSON. */
} value_kind;

/** A name, or part of one: a member of the event. */
typedef struct csv_node {
    const uint8_t *name;
    uint32_t length;
    uint32_t parent, first, last, next; /**< Children in the order of their first columns; NONE. */
    uint32_t cell;                      /**< Its column; NONE: an object. */
    uint32_t group;                     /**< An object's index among the decoder's groups; NONE: the schema lacks it. */
    uint32_t field;
    value_kind kind;
} csv_node;

typedef enum csv_action { CSV_OPEN, CSV_VALUE, CSV_CLOSE } csv_action;

typedef struct csv_op {
    uint8_t action; /**< csv_action */
    uint8_t kind;   /**< CSV_VALUE: value_kind */
    bool required;  /**< Where nothing is: null, or an empty object. */
    uint32_t cell;
    uint32_t field;
    uint32_t key, key_length; /**< `"name":` in `keys`. */
    /* Of the row that was written last. */
    uint32_t start; /**< Where the value, or the object's key, begins in the text; NONE: nothing was there. */
    uint32_t outer; /**< CSV_OPEN: the object around it. */
} csv_op;

struct csv_state {
    sl_csv reader;
    bool planned;
    const sl_decode_names *from; /**< What the plan is made from; NULL: `header`. */
    uint8_t delimiter;
    sl_buffer header; /**< The line that the plan is made from; configured names have none. */
    uint32_t columns;
    csv_op *ops;
    uint32_t op_count, op_capacity;
    sl_buffer keys;
    sl_buffer text; /**< Of the last row, with SL_PADDING behind it. */
    csv_node *nodes;
    uint32_t node_count, node_capacity;
    uint32_t *slots;
    uint32_t slot_mask;
};

static csv_state *state_of(sl_decoder *decoder) {
    if (decoder->csv == NULL) {
        decoder->csv = sl_calloc(1, sizeof *decoder->csv);
        if (decoder->csv != NULL)
            sl_csv_init(&decoder->csv->reader);
    }
    return decoder->csv;
}

static void forget_plan(csv_state *s) {
    s->planned = false;
    s->from = NULL;
    s->op_count = s->node_count = 0;
    sl_buffer_clear(&s->keys);
    sl_buffer_clear(&s->header);
}

void sl_decode_csv_forget(sl_decoder *decoder) {
    csv_state *s = decoder->csv;
    if (s == NULL)
        return;
    sl_csv_fini(&s->reader);
    sl_buffer_fini(&s->header);
    sl_buffer_fini(&s->keys);
    sl_buffer_fini(&s->text);
    sl_free(s->ops);
    sl_free(s->nodes);
    sl_free(s->slots);
    sl_free(s);
    decoder->csv = NULL;
}

// --- the plan

static bool grow(void **items, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity)
        return true;
    uint32_t more = *capacity == 0 ? 32 : 2 * *capacity;
    void *grown = sl_realloc(*items, more * size);
    if (grown == NULL)
        return false;
    *items = grown;
    *capacity = more;
    return true;
}

/** The slot of this member: its node's index + 1, or 0 where it belongs. */
static uint32_t *slot_of(csv_state *s, uint32_t parent, const uint8_t *name, uint32_t length) {
    uint32_t slot = (uint32_t)sl_hash64(name, length, parent) & s->slot_mask;
    for (; s->slots[slot] != 0; slot = (slot + 1) & s->slot_mask) {
        const csv_node *n = &s->nodes[s->slots[slot] - 1];
        if (n->parent == parent && n->length == length && memcmp(n->name, name, length) == 0)
            break;
    }
    return &s->slots[slot];
}

static bool make_slots(csv_state *s, size_t members) {
    uint32_t count = 64;
    while (count < 2 * members)
        count *= 2;
    if (s->slots == NULL || s->slot_mask + 1 < count) {
        sl_free(s->slots);
        s->slots = sl_malloc(count * sizeof *s->slots);
        if (s->slots == NULL)
            return false;
        s->slot_mask = count - 1;
    }
    memset(s->slots, 0, ((size_t)s->slot_mask + 1) * sizeof *s->slots);
    return true;
}

/** What the schema has of this name in the object. */
static const plan_entry *entry_of(sl_decoder *decoder, uint32_t group, const uint8_t *name,
                                  uint32_t length) {
    return group == NONE ? decoder->stranger
                         : sl_plan_find(decoder, &decoder->groups[group], name, length);
}

static value_kind kind_of(const sl_decoder *decoder, uint32_t field) {
    if (field == SL_NO_FIELD)
        return VALUE_UNKNOWN;
    switch (decoder->schema->fields[field].type) {
    case SL_TYPE_GROUP:
    case SL_TYPE_JSON:
        return VALUE_JSON;
    case SL_TYPE_BOOL:
    case SL_TYPE_INT64:
    case SL_TYPE_DOUBLE:
    case SL_TYPE_DECIMAL:
        return VALUE_SCALAR;
    case SL_TYPE_DATE:
    case SL_TYPE_TIMESTAMP:
        return VALUE_TIME;
    case SL_TYPE_STRING:
    case SL_TYPE_BYTES:
        break;
    }
    return VALUE_STRING;
}

/** @return Index of a new node, NONE: no memory. */
static uint32_t add_node(sl_decoder *decoder, csv_state *s, uint32_t parent, const uint8_t *name,
                         uint32_t length) {
    if (!grow((void **)&s->nodes, s->node_count, &s->node_capacity, sizeof *s->nodes))
        return NONE;
    uint32_t index = s->node_count++;
    csv_node *n = &s->nodes[index];
    *n = (csv_node){name, length, parent, NONE, NONE, NONE, NONE, 0, SL_NO_FIELD, VALUE_UNKNOWN};
    if (parent == NONE)
        return index;
    csv_node *p = &s->nodes[parent];
    const plan_entry *e = entry_of(decoder, p->group, name, length);
    n->field = e->field;
    n->group = e->field != SL_NO_FIELD && e->kind == SL_TYPE_GROUP ? e->group : NONE;
    n->kind = kind_of(decoder, e->field);
    if (p->first == NONE)
        p->first = index;
    else
        s->nodes[p->last].next = index;
    p->last = index;
    return index;
}

/** Has every part of a dotted name at least a character? Else it is a name as a whole. */
static bool is_dotted(const uint8_t *name, uint32_t length) {
    bool dot = false, part = false;
    for (uint32_t i = 0; i < length; i++) {
        if (name[i] == '.' && !part)
            return false;
        dot |= name[i] == '.';
        part = name[i] != '.';
    }
    return dot && part;
}

/** A column's member. @return SL_OK, SL_EEXIST: the name is taken, SL_ENOMEM. */
static sl_status place_column(sl_decoder *decoder, csv_state *s, uint32_t cell, const uint8_t *name,
                              uint32_t length) {
    uint32_t parent = 0;
    if (is_dotted(name, length) &&
        sl_plan_find(decoder, &decoder->groups[0], name, length)->field == SL_NO_FIELD)
        for (const uint8_t *dot; (dot = memchr(name, '.', length)) != NULL;) {
            uint32_t part = (uint32_t)(dot - name);
            uint32_t *slot = slot_of(s, parent, name, part);
            if (*slot == 0) {
                uint32_t added = add_node(decoder, s, parent, name, part);
                if (added == NONE)
                    return SL_ENOMEM;
                *slot = added + 1;
            }
            parent = *slot - 1;
            if (s->nodes[parent].cell != NONE)
                return SL_EEXIST;
            name = dot + 1;
            length -= part + 1;
        }
    uint32_t *slot = slot_of(s, parent, name, length);
    if (*slot != 0)
        return SL_EEXIST;
    uint32_t added = add_node(decoder, s, parent, name, length);
    if (added == NONE)
        return SL_ENOMEM;
    *slot = added + 1;
    s->nodes[added].cell = cell;
    return SL_OK;
}

static bool add_op(sl_decoder *decoder, csv_state *s, csv_action action, const csv_node *n) {
    if (!grow((void **)&s->ops, s->op_count, &s->op_capacity, sizeof *s->ops))
        return false;
    csv_op *op = &s->ops[s->op_count++];
    *op = (csv_op){.action = (uint8_t)action,
                   .kind = (uint8_t)n->kind,
                   .cell = n->cell,
                   .field = n->field,
                   .key = (uint32_t)s->keys.length};
    if (n->field != SL_NO_FIELD) {
        const sl_field *f = &decoder->schema->fields[n->field];
        op->required = f->required && (f->nullable || action == CSV_OPEN);
    }
    if (action != CSV_CLOSE) {
        sl_buffer_json_string(&s->keys, (const char *)n->name, n->length);
        sl_buffer_byte(&s->keys, ':');
    }
    op->key_length = (uint32_t)s->keys.length - op->key;
    return true;
}

/** The tree below the root in its order: objects are closed behind their last member. */
static bool make_ops(sl_decoder *decoder, csv_state *s) {
    uint32_t at = s->nodes[0].first;
    while (at != NONE) {
        const csv_node *n = &s->nodes[at];
        if (!add_op(decoder, s, n->cell == NONE ? CSV_OPEN : CSV_VALUE, n))
            return false;
        if (n->first != NONE) {
            at = n->first;
            continue;
        }
        while (n->next == NONE && n->parent != 0) {
            n = &s->nodes[n->parent];
            if (!add_op(decoder, s, CSV_CLOSE, n))
                return false;
        }
        at = n->next;
    }
    return !s->keys.failed;
}

static sl_status begin_plan(sl_decoder *decoder, csv_state *s, uint32_t columns, size_t members) {
    forget_plan(s);
    s->columns = columns;
    if (!make_slots(s, members) || add_node(decoder, s, NONE, NULL, 0) == NONE)
        return SL_ENOMEM;
    s->nodes[0].group = 0;
    return SL_OK;
}

static sl_status end_plan(sl_decoder *decoder, csv_state *s) {
    if (!make_ops(decoder, s))
        return SL_ENOMEM;
    s->planned = true;
    return SL_OK;
}

/** From the names in the reader's row. @return SL_OK, SL_ENOMEM; SL_EINVAL: refused, with an error. */
static sl_status plan_header(sl_decoder *decoder, csv_state *s, const uint8_t *line, size_t length,
                             sl_error *error) {
    const sl_csv *csv = &s->reader;
    size_t members = csv->count;
    for (size_t i = 0; i < length; i++)
        members += line[i] == '.';
    sl_status status = begin_plan(decoder, s, csv->count, members);
    for (uint32_t i = 0; status == SL_OK && i < csv->count; i++) {
        const sl_csv_cell *cell = &csv->cells[i];
        // Lines that end in CR alone would be one line of names, and no event would be missed.
        if (!cell->quoted && memchr(cell->bytes, '\r', cell->length) != NULL)
            return sl_error_set(error, SL_EINVAL, "line %u, column %u: a carriage return in a name; lines end in LF or CRLF",
                                cell->line, cell->column);
        status = place_column(decoder, s, i, cell->bytes, cell->length);
        if (status == SL_EEXIST)
            return sl_error_set(error, SL_EINVAL, "line %u, column %u: the name '%.*s' is there twice, or an object has it",
                                cell->line, cell->column, cell->length > 64 ? 64 : (int)cell->length,
                                (const char *)cell->bytes);
    }
    if (status == SL_OK)
        status = end_plan(decoder, s);
    sl_buffer_append(&s->header, line, length);
    s->planned &= !s->header.failed;
    s->delimiter = (uint8_t)csv->delimiter;
    return status == SL_OK && s->header.failed ? SL_ENOMEM : status;
}

/** From names that the record doesn't bring. */
static sl_status plan_names(sl_decoder *decoder, csv_state *s, const sl_decode_names *names, sl_error *error) {
    if (names == NULL || names->count == 0)
        return sl_error_set(error, SL_EINVAL, "there is no line of names, and the stream's csv.columns has none");
    size_t members = 0;
    for (uint32_t i = 0; i < names->count; i++)
        members += strlen(names->names[i]) + 1;
    sl_status status = begin_plan(decoder, s, names->count, members);
    for (uint32_t i = 0; status == SL_OK && i < names->count; i++) {
        const char *name = names->names[i];
        status = place_column(decoder, s, i, (const uint8_t *)name, (uint32_t)strlen(name));
        if (status == SL_EEXIST)
            return sl_error_set(error, SL_EINVAL, "csv.columns has '%.64s' twice, or as an object, too", name);
    }
    if (status == SL_OK)
        status = end_plan(decoder, s);
    s->from = names;
    return status;
}

// --- a row as JSON

static bool has_special(const uint8_t *p, const uint8_t *end) {
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    for (; end - p >= 8; p += 8) {
        uint64_t x = load64(p), quote = x ^ (ones * '"'), back = x ^ (ones * '\\');
        if ((((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) | ((back - ones) & ~back)) & highs)
            return true;
    }
    for (; p < end; p++)
        if (*p < 0x20 || *p == '"' || *p == '\\')
            return true;
    return false;
}

static bool is_word(const sl_csv_cell *cell) {
    return (cell->length == 4 && memcmp(cell->bytes, "true", 4) == 0) ||
           (cell->length == 5 && memcmp(cell->bytes, "false", 5) == 0);
}

static bool is_scalar(const sl_csv_cell *cell) {
    uint8_t c = cell->length != 0 ? *cell->bytes : 0;
    if (c != '-' && (c < '0' || c > '9'))
        return is_word(cell);
    json_number n;
    const uint8_t *at, *end = cell->bytes + cell->length;
    return sl_number_scan(cell->bytes, end, &n, &at) == end;
}

static bool is_json(const sl_csv_cell *cell) {
    size_t at;
    return cell->length != 0 && *cell->bytes > ' ' && cell->bytes[cell->length - 1] > ' ' &&
           sl_json_valid(cell->bytes, cell->length, &at);
}

static bool is_nothing(const csv_op *op, const sl_csv_cell *cell) {
    return cell->length == 0 && (!cell->quoted || op->kind == VALUE_SCALAR || op->kind == VALUE_TIME);
}

/** Behind it is room for all values without escapes; see write_row(). */
static void put(sl_buffer *out, const void *bytes, size_t length) {
    memcpy(out->bytes + out->length, bytes, length);
    out->length += length;
}

static void put_value(sl_buffer *out, const csv_op *op, const sl_csv_cell *cell, size_t later) {
    bool bare = op->kind == VALUE_JSON                                ? is_json(cell)
                : op->kind == VALUE_SCALAR || op->kind == VALUE_UNKNOWN ? is_scalar(cell)
                                                                      : false;
    if (bare) {
        put(out, cell->bytes, cell->length);
    } else if (has_special(cell->bytes, cell->bytes + cell->length)) {
        sl_buffer_json_string(out, (const char *)cell->bytes, cell->length);
        sl_buffer_reserve(out, later);
    } else {
        put(out, "\"", 1);
        put(out, cell->bytes, cell->length);
        put(out, "\"", 1);
    }
}

/** An object ends: one without members is taken back, unless it has to be there. @return the object around it. */
static uint32_t close_object(csv_state *s, uint32_t open) {
    const csv_op *opened = &s->ops[open];
    sl_buffer *out = &s->text;
    bool empty = out->bytes[out->length - 1] == '{';
    if (empty && !opened->required) {
        out->length = opened->start;
    } else {
        out->length -= !empty; /* The last member's comma. */
        put(out, "},", 2);
    }
    return opened->outer;
}

/** `length`: of the row. @return false: no memory. */
static bool write_row(csv_state *s, size_t length) {
    sl_buffer *out = &s->text;
    /* Each value once, its quotes and comma or "null,", each object's braces and comma, each key. */
    const size_t most = s->keys.length + length + (size_t)8 * s->op_count + 8 + SL_PADDING;
    uint32_t open = NONE;
    sl_buffer_clear(out);
    if (!sl_buffer_reserve(out, most))
        return false;
    put(out, "{", 1);
    for (uint32_t i = 0; i < s->op_count && !out->failed; i++) {
        csv_op *op = &s->ops[i];
        const sl_csv_cell *cell = op->action == CSV_VALUE ? &s->reader.cells[op->cell] : NULL;
        if (op->action == CSV_CLOSE) {
            open = close_object(s, open);
            continue;
        }
        bool nothing = cell != NULL && is_nothing(op, cell);
        op->start = nothing ? NONE : (uint32_t)out->length;
        if (nothing && !op->required)
            continue;
        put(out, s->keys.bytes + op->key, op->key_length);
        if (cell == NULL) {
            op->outer = open;
            open = i;
            put(out, "{", 1);
        } else if (nothing) {
            put(out, "null,", 5);
        } else {
            put_value(out, op, cell, most);
            if (!out->failed)
                put(out, ",", 1);
        }
    }
    if (out->failed)
        return false;
    out->length -= out->bytes[out->length - 1] == ',';
    put(out, "}", 1);
    memset(out->bytes + out->length, 0, SL_PADDING);
    return true;
}

// --- a record

#define PLACE_BYTES 64u

/** Refuse [begin, end) for what is no matter of a value. `error` says line and column itself. */
static sl_status refuse(sl_decoder *decoder, sl_decode_input *input, const uint8_t *begin,
                        const uint8_t *end, uint32_t at, const char *text) {
    decoder->failure = (failure){.code = SL_CODE_SYNTAX, .at = begin, .text = text, .field = SL_NO_FIELD};
    return sl_decode_reject(decoder, input, begin, end, at, "");
}

/** The value that was found at fault; NULL: none, such as a member that has no column. */
static const sl_csv_cell *fault_cell(const sl_decoder *decoder, const csv_state *s) {
    const failure *f = &decoder->failure;
    const sl_csv_cell *cells = s->reader.cells, *found = NULL;
    const uint32_t at = (uint32_t)(f->at - s->text.bytes);
    for (uint32_t i = 0; i < s->op_count; i++) {
        const csv_op *op = &s->ops[i];
        if (op->action != CSV_VALUE)
            continue;
        if (f->field != SL_NO_FIELD && op->field == f->field)
            return &cells[op->cell];
        if (op->start != NONE && op->start <= at)
            found = &cells[op->cell];
    }
    return f->code == SL_CODE_REQUIRED ? NULL : found;
}

static sl_status refuse_value(sl_decoder *decoder, csv_state *s, sl_decode_input *input,
                              const uint8_t *begin, const uint8_t *end) {
    const sl_csv_cell *cell = fault_cell(decoder, s);
    char place[PLACE_BYTES];
    int length = 0;
    if (s->reader.row_line != LINE_UNKNOWN)
        length = snprintf(place, sizeof place, "line %u, ", cell != NULL ? cell->line : s->reader.row_line);
    (void)snprintf(place + length, sizeof place - (size_t)length, "column %u: ", cell != NULL ? cell->column : 1);
    return sl_decode_reject(decoder, input, begin, end, cell != NULL ? cell->at : 0, place);
}

static sl_status refuse_count(sl_decoder *decoder, csv_state *s, sl_decode_input *input,
                              const uint8_t *begin, const uint8_t *end) {
    const sl_csv *csv = &s->reader;
    const sl_csv_cell *cell = &csv->cells[csv->count > s->columns ? s->columns : csv->count - 1];
    char text[128];
    (void)snprintf(text, sizeof text, "line %u, column %u: %u value%s for %u name%s", cell->line, cell->column,
                   csv->count, csv->count == 1 ? "" : "s", s->columns, s->columns == 1 ? "" : "s");
    return refuse(decoder, input, begin, end, cell->at, text);
}

/** The row [begin, end) has its values in the reader. */
static sl_status row_event(sl_decoder *decoder, csv_state *s, sl_decode_input *input,
                           const uint8_t *begin, const uint8_t *end) {
    sl_batch *batch = decoder->batch;
    if (s->reader.count != s->columns)
        return refuse_count(decoder, s, input, begin, end);
    if (decoder->event_bytes_max != 0 && (size_t)(end - begin) > decoder->event_bytes_max) {
        decoder->failure = (failure){.code = SL_CODE_TOO_LARGE, .at = begin, .field = SL_NO_FIELD};
        char place[PLACE_BYTES];
        (void)snprintf(place, sizeof place, "line %u: ", s->reader.row_line);
        return sl_decode_reject(decoder, input, begin, end, 0, place);
    }
    if (!write_row(s, (size_t)(end - begin)))
        return SL_ENOMEM;
    mark before = sl_decode_mark(decoder);
    sl_decode_begin(decoder);
    sl_span json = sl_batch_keep_text(batch, s->text.bytes, s->text.length);
    decoder->raw = s->text.bytes;
    decoder->base = json.offset;
    decoder->end = s->text.bytes + s->text.length;
    const uint8_t *behind = batch->arena.failed ? NULL : decoder->kernel->event(decoder, s->text.bytes);
    if (behind == NULL)
        return sl_decode_undo(decoder, &before) ? refuse_value(decoder, s, input, begin, end) : SL_ENOMEM;
    if (decoder->rest_count != 0)
        sl_rest_write(decoder);
    batch->row_json[decoder->row] = json;
    sl_decode_accept(decoder, input, begin, end);
    return batch->arena.failed || decoder->no_memory ? SL_ENOMEM : SL_OK;
}

/** Without the end of its last line. */
static const uint8_t *row_end(const uint8_t *begin, const uint8_t *end) {
    if (end > begin && end[-1] == '\n') {
        end--;
        end -= end > begin && end[-1] == '\r';
    }
    return end;
}

static sl_status rows(sl_decoder *decoder, csv_state *s, sl_decode_input *input, const uint8_t *body,
                      uint32_t length) {
    sl_csv *csv = &s->reader;
    sl_status status = SL_OK;
    csv->begun = input->at != 0;
    csv->line = input->line;
    while (status == SL_OK) {
        if (sl_decode_is_full(decoder->batch))
            return SL_EFULL;
        size_t used;
        sl_error error;
        const uint8_t *text = body + input->at;
        status = sl_csv_row(csv, text, length - input->at, true, &used, &error);
        if (status == SL_ENOTFOUND) {
            input->at = length;
            return input->index == 0 && s->from != NULL
                       ? refuse(decoder, input, body + length, body + length, 0, "empty body")
                       : SL_OK;
        }
        const uint8_t *begin = text + csv->row_begin, *end = row_end(begin, text + used);
        if (status == SL_OK)
            status = row_event(decoder, s, input, begin, end);
        else if (status != SL_ENOMEM)
            status = refuse(decoder, input, begin, end, status == SL_ESYNTAX ? csv->broken_at : 0, error.text);
        if (status == SL_OK) {
            input->at += (uint32_t)used;
            input->line = csv->line;
        }
    }
    return status;
}

/**
 * The record's line of names: the plan is made, or was made for the same line.
 * @return SL_OK and *used; SL_ENOTFOUND: the record is empty; SL_ENOMEM; else it is refused, with an error.
 */
static sl_status header(sl_decoder *decoder, csv_state *s, const uint8_t *body, uint32_t length,
                        size_t *used, sl_error *error) {
    sl_csv *csv = &s->reader;
    csv->begun = false;
    csv->line = 1;
    sl_status status = sl_csv_row(csv, body, length, true, used, error);
    if (status != SL_OK)
        return status;
    const uint8_t *line = body + csv->row_begin;
    size_t bytes = *used - csv->row_begin;
    if (bytes > HEADER_BYTES_MAX || csv->count > NAMES_MAX)
        return sl_error_set(error, SL_ELIMIT, "line %u: a line of names has at most %u names and %u bytes",
                            csv->row_line, NAMES_MAX, HEADER_BYTES_MAX);
    if (s->planned && s->from == NULL && s->delimiter == (uint8_t)csv->delimiter && s->header.length == bytes &&
        memcmp(s->header.bytes, line, bytes) == 0)
        return SL_OK;
    return plan_header(decoder, s, line, bytes, error);
}

/** The record's bytes that are rows, or the line of names before them. */
static uint32_t rows_length(const sl_decoder *decoder, const sl_record *record) {
    uint32_t names;
    if (record->format.header != SL_HEADER_BEHIND || record->length < sizeof names)
        return record->length;
    uint32_t rest = record->length - (uint32_t)sizeof names;
    memcpy(&names, decoder->batch->raw + record->body + rest, sizeof names);
    return names <= rest ? rest - names : 0;
}

/** How the record is to be read. @return As header(). */
static sl_status prepare(sl_decoder *decoder, csv_state *s, const sl_decode_input *input, size_t *used,
                         sl_error *error) {
    const sl_record *record = &decoder->batch->records[input->record];
    *used = 0;
    s->reader.delimiter = (char)record->format.delimiter;
    s->reader.row_bytes_max = UINT32_MAX;
    if (record->format.kind != SL_FORMAT_CSV)
        return sl_error_set(error, SL_EUNSUPPORTED, "a record in a format that this version doesn't know");
    const uint8_t *body = decoder->batch->raw + record->body;
    if (record->format.header == SL_HEADER_PRESENT)
        return header(decoder, s, body, record->length, used, error);
    if (record->format.header == SL_HEADER_BEHIND) {
        uint32_t before = rows_length(decoder, record), behind = record->length - before;
        size_t names;
        behind -= behind < sizeof(uint32_t) ? behind : (uint32_t)sizeof(uint32_t);
        return header(decoder, s, body + before, behind, &names, error);
    }
    return s->planned && s->from == input->names && s->from != NULL ? SL_OK
                                                                    : plan_names(decoder, s, input->names, error);
}

static void trim_text(csv_state *s) {
    if (s->text.capacity > TEXT_KEEP_BYTES) /* One odd row. */
        sl_buffer_fini(&s->text);
}

sl_status sl_decode_csv(sl_decoder *decoder, sl_decode_input *input) {
    const sl_record *record = &decoder->batch->records[input->record];
    const uint32_t length = rows_length(decoder, record);
    const uint8_t *body = decoder->batch->raw + record->body, *end = body + length;
    csv_state *s = state_of(decoder);
    if (s == NULL)
        return SL_ENOMEM;
    if (!input->started && sl_decode_is_full(decoder->batch))
        return SL_EFULL;
    size_t used;
    sl_error error;
    sl_status status = prepare(decoder, s, input, &used, &error);
    if (status == SL_ENOMEM)
        return status;
    if (!input->started) {
        input->started = true;
        input->at = status == SL_OK ? (uint32_t)used : length;
        input->line = used != 0 ? s->reader.line : 1;
        if (status == SL_ENOTFOUND)
            return refuse(decoder, input, end, end, 0, "empty body");
        if (status != SL_OK)
            return refuse(decoder, input, body, end, 0, error.text);
    }
    status = rows(decoder, s, input, body, length);
    trim_text(s);
    return status;
}

sl_status sl_decode_csv_row(sl_decoder *decoder, sl_decode_input *input, const uint8_t *row, size_t length) {
    csv_state *s = state_of(decoder);
    if (s == NULL)
        return SL_ENOMEM;
    size_t used;
    sl_error error;
    sl_status status = prepare(decoder, s, input, &used, &error);
    if (status == SL_OK) {
        s->reader.begun = true; /* A byte order mark would be within the row. */
        s->reader.line = LINE_UNKNOWN;
        status = sl_csv_row(&s->reader, row, length, true, &used, &error);
    }
    if (status == SL_OK)
        status = row_event(decoder, s, input, row, row + length);
    else if (status != SL_ENOMEM)
        status = refuse(decoder, input, row, row + length, 0, error.text);
    trim_text(s);
    return status;
}
