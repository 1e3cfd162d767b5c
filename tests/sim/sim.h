/** @file sim.h
 * The wired daemon without threads, sockets, disk or clock: one seed decides everything.
 *
 * Threads  One. A seed runs in a process of its own, so that nothing is left of the one before.
 */
#pragma once

#include "fake_disk.h"

#include "sluice/engine.h"
#include "sluice/target.h"

#include <setjmp.h>
#include <stdio.h>

#define SIM_DATA "/data"

enum { KINDS = 4, USERS = 50, STREAMS = 3, ACTORS_MAX = 16 };
extern const char *const sim_kinds[KINDS];

typedef struct sim sim;
typedef struct sim_target sim_target;
struct sqlite_files_world;

/** splitmix64 (Steele, Lea, Flood 2014). */
uint64_t sim_draw(uint64_t *state);

/** An event as the model remembers it; its id is its index. */
typedef struct sim_event {
    uint32_t request;
    int64_t at_us, cents;
    uint8_t kind, user;
} sim_event;

/** A request, from its making to what became of it. */
typedef struct sim_request {
    uint32_t stream;         /**< Into sim.streams. */
    char key[24];            /**< Idempotency-Key, or "". */
    char *lines;   /**< Its events. */
    size_t length;
    uint8_t *sent; /**< The body. */
    size_t sent_length;
    sl_format format;
    uint32_t offset;         /**< Of a message elsewhere; 0: it is none. */
    bool rival_rows, rival_window; /**< Another reader has brought it to the warehouse. */
    bool unsure;             /**< Whether the log has it: the engine is asked. */
    uint32_t first, good;    /**< Ids of its good events. */
    uint32_t bad;            /**< Refused ones. */
    uint32_t unmet, passed_over; /**< Accepted, then refused by a step, or passed over. */
    uint32_t guests;         /**< Events of the stream `guests`, which comes before others where streams share a path. */
    uint32_t strays;         /**< Of `bad`, those that no condition fits, in a request for clicks. */
    bool addressed;          /**< Its messages say where they belong, each under a key of its own: `addressed` request, line. */
    uint32_t doubles;        /**< Accepted, and kept from an earlier request already. */
    bool mismatch;           /**< Another's key with another body: only 422 will do. */
    bool in;                 /**< Answered 200 or 400: durable. */
    bool maybe;              /**< Unanswered and without a key: wholly there, or not at all. */
    bool refused;            /**< Answered 503 and without a key: not there, */
    bool certain;            /**< … and not even after a power failure, since a later group is durable. */
    uint32_t refused_at;     /**< Attempts that had been sent by then. */
    bool settled;            /**< The client wants nothing more. */
    uint32_t attempts;       /**< On their way. */
    uint32_t extra;          /**< Times the client repeats it although it was answered. */
    int64_t due_us;          /**< Sent again at this time. */
    uint32_t lake_rows;      /**< Found at the end, where the lake tells. */
    uint32_t rows;           /**< Found at the end in the warehouse. */
    uint32_t guest_rows;     /**< Of `guests`, in their lake. */
} sim_request;

typedef struct sim_stream {
    const char *path;        /**< As requests name it. */
    const char *name;        /**< As the engine names it. */
    bool schema, routed;
    const char *rows;        /**< Warehouse table of its rows, or NULL. */
    const char *window;      /**< Table that counts it, or NULL. */
    const char *count;       /**< The counting column. */
} sim_stream;

/** A row of a closed window, as its newest revision is. */
typedef struct sim_final {
    char start[40];
    unsigned kind, revision;
    uint64_t events;
} sim_final;

typedef struct sim_totals {
    uint64_t fingerprint, events, requests, crashes, kills, stops, faults, steps, repeats, refused, maybe,
        damaged, let_go, rewinds, elsewhere, rivals, voids, finals;
} sim_totals;

struct sim {
    uint64_t seed, state;
    bool verbose;
    bool allocations;        /**< Single allocations may fail, too. */
    FILE *report;
    sim_totals totals;
    /* What the seed chose. */
    bool embedded, by_request, late, faulty, quarantine, heavy, scarce, raw, steps, dedupe, shared;
    bool topic;              /**< Messages bring requests' keys: what comes again under one is nothing. */
    bool far_lake, far_warehouse;
    bool finals;             /**< Rows of closed windows go to a topic. */
    bool tight;              /**< Little memory, few tasks, short segments: groups are let go and trimmed. */
    uint32_t workers, planned, pace_us, step_us, fault_every;
    sim_stream streams[STREAMS];
    /* The world. */
    fake_disk *disk;
    sl_files *files;
    sl_config *config;
    uint32_t elsewhere;      /**< Messages of another log that were made. */
    sim_target *target;      /**< NULL: everything stays on this machine. */
    sl_budget budget;
    sl_metrics *metrics;
    int64_t now_us, wall_offset_us;
    /* The daemon. */
    sl_engine *engine;
    sl_actor *actors[ACTORS_MAX];
    uint32_t actor_count, weights[ACTORS_MAX + 1], weights_left;
    uint32_t epoch;          /**< Which daemon this is: replies of dead ones are a bug. */
    bool calm, faults_on;
    bool swept;              /**< This daemon's spool can hold nothing but its own. */
    uint32_t quiet;          /**< Turns in a row in which nothing was done. */
    jmp_buf crash;
    bool may_crash;
    const char *crash_point;
    bool flush_waits, peek_waits;
    sl_status flush_status;
    /* The clients. */
    sim_request *requests;
    uint32_t request_count;
    sim_event *events;       /**< By id, from 1. */
    uint32_t event_count, event_capacity;
    int64_t next_request_us;
    uint32_t sent;           /**< Attempts. */
    struct attempt *tries;   /**< All that were ever sent: a reply may come twice only by a bug. */
    bool torn;               /**< A crash point left a daemon as it lay: its memory can't be given back. */
};

static inline uint64_t sim_below(sim *s, uint64_t n) {
    return sim_draw(&s->state) % n;
}
/** True in `per_mille` of 1,000. */
static inline bool sim_chance(sim *s, uint32_t per_mille) {
    return sim_below(s, 1000) < per_mille;
}
/** Say what is wrong and end the process. */
_Noreturn void sim_fail(sim *s, const char *format, ...) SL_PRINTF(2, 3);
void sim_trace(sim *s, const char *format, ...) SL_PRINTF(2, 3);

/* clients.c */
#define SIM_ELSEWHERE "kafka:simulated/topic/0"
void clients_init(sim *s);
bool clients_turn(sim *s);       /**< Send what is due. @return whether anything was sent. */
void clients_power_failed(sim *s); /**< What failed may be on the disk after all. */
void clients_lost(sim *s);       /**< The daemon died: what it had not answered never will be. */
bool clients_done(const sim *s);
void clients_fini(sim *s);

/* target.c */
sim_target *target_create(sim *s, const struct sqlite_files_world *world);
sl_target *target_of(sim_target *target);
sl_actor *target_actor(sim_target *target);
sl_files *target_files(sim_target *target);
void target_daemon_gone(sim_target *target); /**< It died; what was on its way may arrive. NULL is allowed, as below. */
/** Another reader of the log elsewhere brings some of it to a table. */
void target_rival(sim_target *target);
/** What came to the topic. @param target NULL: nothing. */
const sim_final *target_finals(const sim_target *target, size_t *count);
void target_close(sim_target *target);
void target_destroy(sim_target *target);

/* prove.c: with the daemon stopped. */
void prove(sim *s);

/* prove_raw.c: the part of it about records as they came. */
void prove_raw(sim *s);
