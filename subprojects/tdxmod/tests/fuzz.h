/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The random test of Dynamic PAMT: the module model and the reference in step.
 * test-dpamt-random.c makes calls and compares, fuzz.c chooses them.
 */
#ifndef TDXMOD_TEST_FUZZ_H
#define TDXMOD_TEST_FUZZ_H

#include "dpamt.h"
#include "ref.h"

#define FUZZ_TEARDOWN   8192            /* calls between the ends of TD A */
#define FUZZ_HKID_T     (LIFE_HKID + 2) /* of TD T */

typedef struct Fuzz Fuzz;
struct Fuzz {
    uint64_t (*call)(Fuzz *z, uint64_t rax);
    void (*accept)(Fuzz *z, RefTd *td, uint64_t gpa, unsigned level);
    Machine *mc;
    GRand *rand;
    Life life[2];               /* REF_A, REF_B */
    Ref ref;
    uint64_t calls;
    TdxPamtStats base;          /* of the pairs that the reference does not know */
    bool drain;                 /* take back more than is given */
    GHashTable *seen;           /* set of leaf << 56 ^ status */
    uint64_t gpr[16];           /* the call that is being made */
};

static inline unsigned fuzz_below(Fuzz *z, unsigned n)
{
    return g_rand_int_range(z->rand, 0, n);
}

/* The call in z->gpr, by both: their answers must agree.  Its status. */
static inline uint64_t fuzz_call(Fuzz *z, uint64_t rax)
{
    return z->call(z, rax);
}

/* The guest accepts a page, or cannot, in both. */
static inline void fuzz_accept(Fuzz *z, RefTd *td, uint64_t gpa, unsigned level)
{
    z->accept(z, td, gpa, level);
}

/* fuzz.c */
void fuzz_random_call(Fuzz *z);

#endif
