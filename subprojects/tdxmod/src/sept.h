/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secure EPT: entries in EPT format in S-EPT pages.  Bits of an entry that the
 * processor ignores hold the module's state, so the processor walks the same
 * tables: an entry that is not to be used by the TD has RWX = 0.
 */
#ifndef TDXMOD_SEPT_H
#define TDXMOD_SEPT_H

#include "td.h"

/* Architectural state numbers (ABI table of S-EPT states). */
enum sept_state {
    SEPT_FREE = 0, SEPT_BLOCKED = 1, SEPT_PENDING = 2, SEPT_PENDING_BLOCKED = 3,
    SEPT_MAPPED = 4, SEPT_NL_MAPPED = 0x84, SEPT_NL_BLOCKED = 0x81,
};
#define SEPT_ENTRY_FREE         (1ull << 63)    /* suppress #VE */

typedef struct SeptWalk {
    unsigned level;             /* where the walk ended */
    uint64_t *entry;            /* in the S-EPT page */
    uint64_t entry_pa;
    uint64_t value;             /* as read, once */
    enum sept_state state;
    bool locked;                /* the entry's own lock bit */
} SeptWalk;

/* sept.c */
enum sept_state sept_entry_state(uint64_t value, unsigned level);
static inline uint64_t sept_entry_pa(const TdxMod *m, uint64_t value)
{
    return value & 0x000ffffffffff000ull & m->hpa_mask;
}
/* RCX, RDX of an S-EPT error. */
void sept_error_info(TdxCall *c, const SeptWalk *w);
/*
 * Walk to @level; the caller holds the tree lock.  EPT_WALK_FAILED|RCX (w: where
 * it ended) if an entry above is free or a leaf.  Does not lock the entry.
 */
uint64_t sept_walk(TdxCall *c, Td *td, uint64_t gpa, unsigned level, SeptWalk *w);
/* For guest accesses: walks down to the leaf or to what stops it; never fails
   but for RAM that was scribbled on (false). */
bool sept_walk_leaf(TdxMod *m, Td *td, uint64_t gpa, SeptWalk *w);
/* The private GPA operand: SHARED bit clear and within the TD's GPA width. */
bool sept_gpa_private(const Td *td, uint64_t gpa);
/*
 * A PENDING leaf of w->level that the guest accepts: zero the page(s), make it
 * MAPPED.  False: the entry changed.
 */
bool sept_accept(TdxMod *m, Td *td, SeptWalk *w);
/*
 * HPA of a MAPPED private GPA, for guest buffers: RTMR.EXTEND, MR.REPORT.
 * False: @w says why (an EPT violation).  The caller holds the tree lock shared.
 */
bool sept_translate(TdxMod *m, Td *td, uint64_t gpa, uint64_t *hpa, SeptWalk *w);

#endif
