#include "thrift.h"

#include <assert.h>

sl_thrift_writer sl_thrift_begin(sl_buffer *out) { return (sl_thrift_writer){.out = out}; }

static void field(sl_thrift_writer *writer, int16_t id, uint8_t type) {
    int delta = id - writer->last[writer->depth];
    if (delta >= 1 && delta <= 15) {
        sl_buffer_byte(writer->out, (uint8_t)(delta << 4 | type));
    } else {
        sl_buffer_byte(writer->out, type);
        sl_buffer_zigzag(writer->out, id);
    }
    writer->last[writer->depth] = id;
}

void sl_thrift_i16(sl_thrift_writer *writer, int16_t id, int16_t value) {
    field(writer, id, THRIFT_I16);
    sl_buffer_zigzag(writer->out, value);
}

void sl_thrift_i32(sl_thrift_writer *writer, int16_t id, int32_t value) {
    field(writer, id, THRIFT_I32);
    sl_buffer_zigzag(writer->out, value);
}

void sl_thrift_i64(sl_thrift_writer *writer, int16_t id, int64_t value) {
    field(writer, id, THRIFT_I64);
    sl_buffer_zigzag(writer->out, value);
}

void sl_thrift_bool(sl_thrift_writer *writer, int16_t id, bool value) {
    field(writer, id, value ? THRIFT_TRUE : THRIFT_FALSE);
}

void sl_thrift_binary(sl_thrift_writer *writer, int16_t id, const void *bytes, size_t length) {
    field(writer, id, THRIFT_BINARY);
    sl_buffer_varint(writer->out, length);
    sl_buffer_append(writer->out, bytes, length);
}

void sl_thrift_element(sl_thrift_writer *writer) {
    writer->depth++;
    assert(writer->depth < sizeof writer->last / sizeof writer->last[0]);
    writer->last[writer->depth] = 0;
}

void sl_thrift_struct(sl_thrift_writer *writer, int16_t id) {
    field(writer, id, THRIFT_STRUCT);
    sl_thrift_element(writer);
}

void sl_thrift_list(sl_thrift_writer *writer, int16_t id, uint8_t type, size_t count) {
    field(writer, id, THRIFT_LIST);
    if (count < 15) {
        sl_buffer_byte(writer->out, (uint8_t)(count << 4 | type));
    } else {
        sl_buffer_byte(writer->out, (uint8_t)(0xf0 | type));
        sl_buffer_varint(writer->out, count);
    }
}

void sl_thrift_end(sl_thrift_writer *writer) {
    sl_buffer_byte(writer->out, THRIFT_STOP);
    if (writer->depth)
        writer->depth--;
}

static uint8_t byte(sl_thrift_reader *reader) {
    if (reader->failed || reader->at == reader->end) {
        reader->failed = true;
        return 0;
    }
    return *reader->at++;
}

static uint64_t varint(sl_thrift_reader *reader) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b = byte(reader);
        value |= (uint64_t)(b & 127) << shift;
        if (!(b & 128))
            return reader->failed ? 0 : value;
    }
    reader->failed = true;
    return 0;
}

static int64_t zigzag(sl_thrift_reader *reader) {
    uint64_t value = varint(reader);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

uint8_t sl_thrift_field(sl_thrift_reader *reader, int16_t *id) {
    uint8_t head = byte(reader);
    if (head == THRIFT_STOP)
        return THRIFT_STOP;
    int64_t next = head >> 4 ? *id + (head >> 4) : zigzag(reader);
    uint8_t type = head & 15;
    if (next < 0 || next > INT16_MAX || type > THRIFT_STRUCT || type == THRIFT_STOP)
        reader->failed = true;
    if (reader->failed)
        return THRIFT_STOP;
    *id = (int16_t)next;
    return type;
}

int64_t sl_thrift_integer(sl_thrift_reader *reader, uint8_t type) {
    if (type == THRIFT_BYTE)
        return (int8_t)byte(reader);
    if (type < THRIFT_I16 || type > THRIFT_I64) {
        reader->failed = true;
        return 0;
    }
    return zigzag(reader);
}

sl_thrift_text sl_thrift_text_of(sl_thrift_reader *reader, uint8_t type) {
    sl_thrift_text text = {reader->at, 0};
    uint64_t length = varint(reader);
    if (type != THRIFT_BINARY || length > (uint64_t)(reader->end - reader->at))
        reader->failed = true;
    if (reader->failed)
        return text;
    text = (sl_thrift_text){reader->at, (size_t)length};
    reader->at += length;
    return text;
}

uint32_t sl_thrift_list_head(sl_thrift_reader *reader, uint8_t type, uint8_t *element) {
    uint8_t head = byte(reader);
    uint64_t count = head >> 4 == 15 ? varint(reader) : head >> 4;
    *element = head & 15;
    // Every element takes a byte at least, which bounds the work by the input's length.
    if ((type != THRIFT_LIST && type != THRIFT_SET) || *element == THRIFT_STOP ||
        *element > THRIFT_STRUCT || count > (uint64_t)(reader->end - reader->at) ||
        count > UINT32_MAX)
        reader->failed = true;
    return reader->failed ? 0 : (uint32_t)count;
}

static void skip(sl_thrift_reader *reader, uint8_t type, bool element, unsigned depth);

static void skip_list(sl_thrift_reader *reader, uint8_t type, unsigned depth) {
    uint8_t inner = 0;
    uint32_t count = sl_thrift_list_head(reader, type, &inner);
    for (uint32_t i = 0; i < count && !reader->failed; i++)
        skip(reader, inner, true, depth + 1);
}

static void skip_map(sl_thrift_reader *reader, unsigned depth) {
    uint64_t count = varint(reader);
    if (!count || reader->failed)
        return;
    uint8_t types = byte(reader);
    if (count > (uint64_t)(reader->end - reader->at))
        reader->failed = true;
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        skip(reader, types >> 4, true, depth + 1);
        skip(reader, types & 15, true, depth + 1);
    }
}

static void skip_struct(sl_thrift_reader *reader, unsigned depth) {
    int16_t id = 0;
    uint8_t type;
    while ((type = sl_thrift_field(reader, &id)) != THRIFT_STOP)
        skip(reader, type, false, depth + 1);
}

static void skip(sl_thrift_reader *reader, uint8_t type, bool element, unsigned depth) {
    if (depth > SL_THRIFT_DEPTH_MAX) {
        reader->failed = true;
        return;
    }
    switch (type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE:
        if (element)
            byte(reader);
        break;
    case THRIFT_BYTE:
        byte(reader);
        break;
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64:
        varint(reader);
        break;
    case THRIFT_DOUBLE:
        for (int i = 0; i < 8; i++)
            byte(reader);
        break;
    case THRIFT_BINARY:
        sl_thrift_text_of(reader, type);
        break;
    case THRIFT_LIST:
    case THRIFT_SET:
        skip_list(reader, type, depth);
        break;
    case THRIFT_MAP:
        skip_map(reader, depth);
        break;
    case THRIFT_STRUCT:
        skip_struct(reader, depth);
        break;
    default:
        reader->failed = true;
    }
}

void sl_thrift_skip(sl_thrift_reader *reader, uint8_t type, bool element) {
    skip(reader, type, element, 0);
}
