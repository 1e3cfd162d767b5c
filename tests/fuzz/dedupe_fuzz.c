// links: sluice_dedupe sluice_fake_disk
// What a store finds on disk and in the ledger: refused, or opened and judged with. Checksums are made right where there is
// room for them, so that what lies behind them is reached.
//
// Input: u16 length of the record, u16 length of the file of keys, the two, then the tail.

#include "sluice/dedupe.h"

#include "fake_disk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD_HEAD = 24, FOOTER = 128, FOOTER_INDEX_AT = 72, FOOTER_CRC_AT = 96, SEGMENT_HEAD = 48 };

static void put_file(sl_files *files, const char *path, const uint8_t *bytes, size_t length) {
    int file;
    if (files->open(files, path, SL_FILE_WRITE | SL_FILE_CREATE, &file, NULL) != SL_OK ||
        files->write(files, file, bytes, length, 0, NULL) != SL_OK)
        abort();
    files->close(files, file);
}

// Index and filter, as far as they lie in the file, then the footer.
static void seal_keys(uint8_t *bytes, size_t length) {
    uint64_t offsets[2];
    uint8_t *foot = bytes + length - FOOTER;
    memcpy(offsets, foot + FOOTER_INDEX_AT, sizeof offsets);
    if (offsets[0] < offsets[1] && offsets[1] < length - FOOTER) {
        uint32_t crcs[2] = {sl_crc32c(0, bytes + offsets[0], offsets[1] - offsets[0]),
                            sl_crc32c(0, bytes + offsets[1], length - FOOTER - offsets[1])};
        memcpy(foot + FOOTER_CRC_AT, crcs, sizeof crcs);
    }
    uint32_t crc = sl_crc32c(0, foot, FOOTER - sizeof crc);
    memcpy(foot + FOOTER - sizeof crc, &crc, sizeof crc);
}

static void seal_tail(uint8_t *bytes, size_t length) {
    uint32_t count, crc;
    memcpy(&count, bytes + 20, sizeof count);
    if (count <= (length - SEGMENT_HEAD) / 24) {
        crc = sl_crc32c(0, bytes + 8, SEGMENT_HEAD - 8 + (size_t)count * 24);
        memcpy(bytes + 4, &crc, sizeof crc);
    }
}

// Keys of claims as they lie in the file, so that some are found.
static uint32_t find_keys(const uint8_t *bytes, size_t length, sl_hash128 keys[16]) {
    uint32_t found = 0, count;
    for (size_t at = 16; at + 8 <= length && found < 16; at += 8 + (size_t)count * 24) {
        memcpy(&count, bytes + at + 4, sizeof count);
        if (count > (length - at - 8) / 24)
            break;
        for (uint32_t i = 0; i < count && found < 16; i++) {
            memcpy(&keys[found].high, bytes + at + 8 + 24 * (size_t)i, 8);
            memcpy(&keys[found++].low, bytes + at + 16 + 24 * (size_t)i, 4);
        }
    }
    return found;
}

static void judge(sl_dedupe *store, const uint8_t *keys, size_t length) {
    sl_dedupe_event events[16] = {0};
    uint8_t verdict[16];
    uint32_t done;
    sl_hash128 known[16] = {0};
    (void)find_keys(keys, length, known);
    for (uint32_t i = 0; i < 16; i++)
        events[i] = (sl_dedupe_event){known[i], 100000 + i, i, i, i};
    (void)!sl_dedupe_judge(store, events, 16, verdict, &done, &(sl_error){0});
    for (sl_dedupe_work *w; (w = sl_dedupe_work_next(store)) != NULL;) {
        sl_status status;
        while ((status = sl_dedupe_work_run(w, &(sl_error){0})) == SL_EAGAIN)
            ;
        sl_dedupe_work_done(store, w);
        if (status != SL_OK)
            break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint16_t lengths[2];
    if (size < sizeof lengths)
        return 0;
    memcpy(lengths, data, sizeof lengths);
    size_t record_length = lengths[0], keys_length = lengths[1], left = size - sizeof lengths;
    if (left < record_length || left - record_length < keys_length)
        return 0;
    size_t tail_length = left - record_length - keys_length;
    uint8_t *record = malloc(record_length + 4), *keys = malloc(keys_length + 1), *tail = malloc(tail_length + 1);
    if (record == NULL || keys == NULL || tail == NULL)
        abort();
    memcpy(record, data + sizeof lengths, record_length);
    memcpy(keys, data + sizeof lengths + record_length, keys_length);
    memcpy(tail, data + size - tail_length, tail_length);
    if (keys_length >= FOOTER)
        seal_keys(keys, keys_length);
    if (tail_length >= SEGMENT_HEAD)
        seal_tail(tail, tail_length);
    if (record_length >= RECORD_HEAD + 40 && keys_length >= 4) // The CRC of the first file's footer.
        memcpy(record + RECORD_HEAD + 32, keys + keys_length - 4, 4);
    uint32_t crc = sl_crc32c(0, record, record_length);
    memcpy(record + record_length, &crc, sizeof crc);

    uint64_t claims;
    (void)!sl_dedupe_file_check(keys, keys_length, &claims, &(sl_error){0});
    fake_disk *disk = fake_disk_create(1);
    sl_files *files = fake_disk_files(disk);
    if (files->make_directories(files, "d", NULL) != SL_OK)
        abort();
    put_file(files, "d/0000000000000001.keys", keys, keys_length);
    put_file(files, "d/0000000000000002.tail", tail, tail_length);
    sl_dedupe_options options = {.files = files, .directory = "d", .horizon_us = SL_DAY_US};
    sl_dedupe *store;
    if (sl_dedupe_open(&options, record, record_length + 4, UINT64_MAX, &store, &(sl_error){0}) == SL_OK) {
        judge(store, keys, keys_length);
        sl_dedupe_close(store);
    }
    fake_disk_destroy(disk);
    free(record);
    free(keys);
    free(tail);
    return 0;
}
