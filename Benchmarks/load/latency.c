#include "load.h"

#include <stdlib.h>

/* Sixty-four steps in each doubling. */
enum { STEP_BITS = 6, STEPS = 1 << STEP_BITS, BUCKETS = (64 - STEP_BITS + 1) * STEPS };

struct latency {
    uint64_t total;
    uint64_t buckets[BUCKETS];
};

struct latency *latency_new(void) {
    struct latency *latency = calloc(1, sizeof *latency);
    if (!latency) fail("calloc");
    return latency;
}

static unsigned bucket_of(uint64_t value) {
    if (value < STEPS) return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - STEP_BITS;
    return (shift + 1) * STEPS + (unsigned)((value >> shift) - STEPS);
}

/* The middle of a bucket. */
static double value_of(unsigned bucket) {
    if (bucket < STEPS) return bucket;
    unsigned shift = bucket / STEPS - 1;
    return ((double)(bucket % STEPS + STEPS) + 0.5) * (double)(1ull << shift);
}

void latency_add(struct latency *latency, uint64_t nanoseconds) {
    latency->buckets[bucket_of(nanoseconds)]++;
    latency->total++;
}

double latency_at(const struct latency *latency, double share) {
    uint64_t below = 0, wanted = (uint64_t)(share * (double)latency->total);
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        below += latency->buckets[bucket];
        if (below > wanted) return value_of(bucket) / 1000;
    }
    return 0;
}
