// The portable kernel: a byte at a time.

#include "decoder.h"

#define TARGET
#define KERNEL sl_kernel_scalar
#define STRIDE 32u

static inline bool entry_matches(const uint8_t *p, const plan_entry *e) {
    return memcmp(p, e->text, (size_t)e->length) == 0;
}

static inline unsigned find_stop(const uint8_t *p, const uint8_t *end, uint32_t *high) {
    unsigned run = 0;
    for (; run < STRIDE && p + run < end; run++) {
        uint8_t c = p[run];
        if (c < 0x20 || c == '"' || c == '\\')
            break;
        *high |= c & 0x80u;
    }
    return run;
}

#include "kernel.h"
