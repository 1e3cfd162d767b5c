// links: sluice_journal sluice_fake_disk
/* Recovery and reading over arbitrary bytes: the input is patches (file byte, length, bytes) laid over
 * the segments of a sound journal, or, where its first byte is odd, a whole segment. */
#include "fake_disk.h"
#include "sluice/journal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sl_status open_journal(fake_disk *disk, sl_journal **journal) {
    const sl_journal_options options = {
        .quota_bytes = 8 << 16, .segment_bytes = 1 << 16, .sync = true};
    sl_journal_recovery recovery;
    return sl_journal_open(fake_disk_files(disk), "j", &options, 0, journal, &recovery, NULL);
}

static void write_groups(sl_journal *journal, sl_group *group, const uint8_t *data, size_t size) {
    for (unsigned i = 0; i < 8; i++) {
        const sl_journal_input input = {.stream = "s",
                                        .source = "http",
                                        .body = data,
                                        .stream_length = 1,
                                        .source_length = 4,
                                        .length = (uint32_t)(size < 20000 ? size : 20000)};
        sl_group_reset(group);
        if (sl_group_add(group, &input) || sl_group_add(group, &input) ||
            sl_journal_write(journal, group, NULL))
            abort();
    }
}

static void spoil(sl_files *files, const uint8_t *data, size_t size) {
    const char *paths[] = {"j/00000000000000000000.journal", "j/00000000000000061440.journal"};
    int file;
    if (size < 4 || files->open(files, paths[data[1] & 1], SL_FILE_WRITE, &file, NULL))
        return;
    if (data[0] & 1)
        (void)files->write(files, file, data + 2, size - 2, 0, NULL);
    for (size_t at = 1; !(data[0] & 1) && at + 4 < size;) {
        uint64_t offset = (uint64_t)data[at] << 8 | data[at + 1];
        size_t length = data[at + 2] < size - at - 3 ? data[at + 2] : size - at - 3;
        (void)files->write(files, file, data + at + 3, length, offset, NULL);
        at += 3 + length;
    }
    files->close(files, file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fake_disk *disk = fake_disk_create(1);
    sl_group *group = sl_group_create(1 << 16, NULL);
    sl_journal *journal;
    if (!group || open_journal(disk, &journal))
        abort();
    write_groups(journal, group, data, size);
    sl_journal_close(journal);
    spoil(fake_disk_files(disk), data, size);
    if (open_journal(disk, &journal) == SL_OK) {
        uint64_t offset = sl_journal_begin(journal), quarantined = 0;
        while (sl_journal_read(journal, offset, group, &quarantined, NULL) == SL_OK) {
            if (group->next <= offset)
                abort();
            for (uint32_t i = 0; i < group->count; i++)
                if ((uint64_t)group->records[i].body + group->records[i].length > group->length)
                    abort();
            offset = group->next;
        }
        write_groups(journal, group, data, size);
        sl_journal_close(journal);
    }
    sl_group_destroy(group);
    fake_disk_destroy(disk);
    return 0;
}
