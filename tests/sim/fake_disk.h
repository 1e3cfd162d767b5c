/** @file fake_disk.h
 * A disk in memory behind the files port, which forgets on a crash what was not synced.
 *
 * State      Each file has bytes that readers see and bytes that a crash leaves; they differ in
 *            512-byte units. Each change of a directory waits in order until the directory is
 *            synced. sync() moves a file's units, sync_directory() a directory's changes.
 * Writeback  Now and then a waiting unit reaches the disk early, as a kernel does.
 * Crash      Each waiting unit and each waiting change of a directory is kept or lost by itself;
 *            so a write can be torn at any unit. Handles from before it answer SL_EIO.
 * Sync error As Linux: some units reach the disk, all count as clean, readers go on seeing what
 *            was written until the crash.
 * Seed       All chance comes from the seeds; the same calls give the same bytes.
 * Threads    Any; one lock.
 * Limits     Only files are renamed and linked. "/dev/urandom" reads as numbers from the seed.
 */
#pragma once

#include "sluice/files.h"

typedef struct fake_disk fake_disk;

/** What an operation of the disk can be, to let it fail. */
typedef enum fake_disk_operation {
    FAKE_DISK_OPEN,
    FAKE_DISK_READ,
    FAKE_DISK_WRITE,
    FAKE_DISK_SYNC,
    FAKE_DISK_ALLOCATE,
    FAKE_DISK_NAMES, /**< rename, link, unlink, making a directory. */
    FAKE_DISK_SYNC_DIRECTORY,
    FAKE_DISK_OPERATIONS
} fake_disk_operation;

fake_disk *fake_disk_create(uint64_t seed); /**< Aborts when out of memory, as all of this file. */
void fake_disk_destroy(fake_disk *disk);
sl_files *fake_disk_files(fake_disk *disk);

/** Power fails and comes back. */
void fake_disk_crash(fake_disk *disk, uint64_t seed);
/** Power fails within the n-th operation from now (1: the next): it happens in part or not at all,
 * and all later ones answer SL_EIO until fake_disk_crash(). 0: not. */
void fake_disk_stop_at(fake_disk *disk, uint64_t n);
bool fake_disk_stopped(const fake_disk *disk);
/** A process dies and the machine goes on: while it is `dead` nothing of what it still asks for happens, but it can close its
 * handles. With `dead` false a new one begins: the rule of fake_disk_guard() is for one process's life. */
void fake_disk_process(fake_disk *disk, bool dead);

/** The n-th operation of this kind from now fails (writes and syncs in part). 0: none. */
void fake_disk_fail(fake_disk *disk, fake_disk_operation operation, uint64_t n, sl_status status);
/** Of 1,000 operations of this kind so many fail with SL_EIO. */
void fake_disk_fail_often(fake_disk *disk, fake_disk_operation operation, unsigned per_mille);
/** Bytes that fit, 0: no limit. */
void fake_disk_set_capacity(fake_disk *disk, uint64_t bytes);
uint64_t fake_disk_used(const fake_disk *disk);
/** allocate() answers SL_EUNSUPPORTED. */
void fake_disk_without_allocate(fake_disk *disk);

/** Has a sync failed since the last crash? Then only a crash shows what the disk really holds. */
bool fake_disk_sync_failed(const fake_disk *disk);
/** As above, of a file that is still there and not below the guarded directory. */
bool fake_disk_sync_failed_elsewhere(const fake_disk *disk);
/** Has a write below the guarded directory failed since the last crash? */
bool fake_disk_write_failed(const fake_disk *disk);

/** From now on a file below `directory` whose sync failed may not be synced again. */
void fake_disk_guard(fake_disk *disk, const char *directory);
/** These bytes have been acknowledged to somebody: they have to be synced now, and may not be
 * written again before the file is renamed. */
void fake_disk_protect(fake_disk *disk, const char *path, uint64_t offset, uint64_t length);
/** @return What broke one of these rules first; NULL: nothing did. */
const char *fake_disk_violation(const fake_disk *disk);

/** Damage what is stored, for both readers and a crash. @return false: no such byte. */
bool fake_disk_corrupt(fake_disk *disk, const char *path, uint64_t offset, uint8_t mask);
/** A hash over all names and all bytes that readers see. */
uint64_t fake_disk_fingerprint(fake_disk *disk);
