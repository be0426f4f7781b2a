/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bits of an S-EPT entry and the operations on a locked one, for the leaves
 * that change entries.
 */
#ifndef TDXMOD_SEPT_ENTRY_H
#define TDXMOD_SEPT_ENTRY_H

#include "sept.h"

#define SEPT_RWX                0x7ull
#define SEPT_MT                 (7ull << 3)
#define SEPT_WB                 (6ull << 3)
#define SEPT_IPAT               (1ull << 6)
#define SEPT_PS                 (1ull << 7)
#define SEPT_TDEL               (1ull << 11)    /* entry lock */
#define SEPT_TDB                (1ull << 55)    /* blocked */
#define SEPT_TDP                (1ull << 56)    /* pending */
#define SEPT_SVE                (1ull << 63)    /* suppress #VE */

/* The entry of a state; @hpa: page or table, without meaning for SEPT_FREE. */
uint64_t sept_make(enum sept_state state, unsigned level, uint64_t hpa);

/* Level of the entries in the root page: 3 or 4, whatever RAM says. */
static inline unsigned sept_root_level(const Td *td)
{
    return td->tdcs->ept_levels == TDX_256T ? TDX_256T : TDX_512G;
}

/* Set the entry's lock bit and read it again; false: somebody else holds it. */
bool sept_lock(TdxMod *m, SeptWalk *w);
/* Clear the lock bit; the entry keeps its value, or gets a new one. */
void sept_unlock(TdxMod *m, SeptWalk *w);
void sept_unlock_as(TdxMod *m, SeptWalk *w, uint64_t value);

#endif
