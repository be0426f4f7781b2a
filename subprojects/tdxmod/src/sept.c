/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secure EPT: the encoding of entries, walks, the lock bit of an entry, and
 * the transition that the guest makes (accept).
 *
 * What the processor sees of an entry is RWX, memory type, IPAT, PS and the
 * HPA.  The module's part is in bits that it ignores: 11 locks the entry, 55
 * says blocked, 56 pending.  An entry that the TD must not use has RWX = 0.
 */
#include "sept_entry.h"

#define HPA_BITS                0x000ffffffffff000ull

enum sept_state sept_entry_state(uint64_t value, unsigned level)
{
    bool blocked = value & SEPT_TDB;

    if (level > TDX_4K && !(value & SEPT_PS)) {
        return blocked ? SEPT_NL_BLOCKED : value & SEPT_RWX ? SEPT_NL_MAPPED : SEPT_FREE;
    }
    if (value & SEPT_TDP) {
        return blocked ? SEPT_PENDING_BLOCKED : SEPT_PENDING;
    }
    return blocked ? SEPT_BLOCKED : value & SEPT_RWX ? SEPT_MAPPED : SEPT_FREE;
}

uint64_t sept_make(enum sept_state state, unsigned level, uint64_t hpa)
{
    uint64_t leaf = SEPT_SVE | SEPT_IPAT | SEPT_WB | hpa |
                    (level > TDX_4K ? SEPT_PS : 0);

    switch (state) {
    case SEPT_NL_MAPPED:
        return hpa | SEPT_RWX;
    case SEPT_NL_BLOCKED:
        return hpa | SEPT_TDB | SEPT_SVE;
    case SEPT_MAPPED:
        return leaf | SEPT_RWX;
    case SEPT_BLOCKED:
        return leaf | SEPT_TDB;
    case SEPT_PENDING:
        return leaf | SEPT_TDP;
    case SEPT_PENDING_BLOCKED:
        return leaf | SEPT_TDP | SEPT_TDB;
    default:
        return SEPT_ENTRY_FREE;
    }
}

static void read_entry(SeptWalk *w)
{
    uint64_t value = __atomic_load_n(w->entry, __ATOMIC_ACQUIRE);

    w->value = value & ~SEPT_TDEL;
    w->state = sept_entry_state(value, w->level);
    w->locked = false;
}

/* Architectural form: a leaf shows its mapping, a table only RWX and PS. */
static uint64_t visible_entry(const SeptWalk *w)
{
    if (w->state == SEPT_FREE) {
        return SEPT_ENTRY_FREE;
    }
    if (w->state == SEPT_NL_MAPPED || w->state == SEPT_NL_BLOCKED) {
        return w->value & (SEPT_RWX | SEPT_PS);
    }
    return w->value & (SEPT_RWX | SEPT_MT | SEPT_IPAT | SEPT_PS | HPA_BITS | SEPT_SVE);
}

void sept_error_info(TdxCall *c, const SeptWalk *w)
{
    c->gpr[TDX_RCX] = visible_entry(w);
    c->gpr[TDX_RDX] = w->level | (uint64_t)w->state << 8;
}

/*
 * From the root down to @level, or to the first entry that has no table below;
 * through blocked tables only if @blocked.  False: the memory of a table is gone.
 */
static bool walk(TdxMod *m, Td *td, uint64_t gpa, unsigned level, bool blocked,
                 SeptWalk *w)
{
    uint64_t table_pa;

    memset(w, 0, sizeof(*w));
    if (td->tdr->num_tdcx <= TDCS_SEPT_ROOT) {
        return false;
    }
    table_pa = td->tdr->tdcx_pa[TDCS_SEPT_ROOT] & m->hpa_mask & HPA_BITS;
    w->level = sept_root_level(td);
    for (;;) {
        uint64_t *table = tdx_map_page(m, table_pa);
        unsigned index = gpa >> TDX_LEVEL_SHIFT(w->level) & 511;

        if (!table) {
            w->entry = NULL;
            w->value = 0;
            w->state = SEPT_FREE;
            return false;
        }
        w->entry = &table[index];
        w->entry_pa = table_pa + index * sizeof(uint64_t);
        read_entry(w);
        if (w->level <= level || !(w->state == SEPT_NL_MAPPED ||
                                   (blocked && w->state == SEPT_NL_BLOCKED))) {
            return true;
        }
        table_pa = sept_entry_pa(m, w->value);
        w->level--;
    }
}

uint64_t sept_walk(TdxCall *c, Td *td, uint64_t gpa, unsigned level, SeptWalk *w)
{
    /* The host manages what a blocked table hides; for the guest it is not there. */
    if (walk(c->m, td, gpa, level, !c->guest, w) && w->level == level) {
        return TDX_SUCCESS;
    }
    sept_error_info(c, w);
    return tdx_operand(TDX_EPT_WALK_FAILED, TDX_OPERAND_ID_RCX);
}

bool sept_walk_leaf(TdxMod *m, Td *td, uint64_t gpa, SeptWalk *w)
{
    return walk(m, td, gpa, TDX_4K, false, w);
}

bool sept_lock(TdxMod *m, SeptWalk *w)
{
    uint64_t value = __atomic_load_n(w->entry, __ATOMIC_ACQUIRE);

    do {
        if (value & SEPT_TDEL) {
            return false;
        }
    } while (!__atomic_compare_exchange_n(w->entry, &value, value | SEPT_TDEL, true,
                                          __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
    w->value = value;
    w->state = sept_entry_state(value, w->level);
    w->locked = true;
    tdx_written(m, w->entry_pa, sizeof(uint64_t));
    return true;
}

void sept_unlock(TdxMod *m, SeptWalk *w)
{
    if (w->locked) {
        sept_unlock_as(m, w, w->value);
    }
}

void sept_unlock_as(TdxMod *m, SeptWalk *w, uint64_t value)
{
    __atomic_store_n(w->entry, value & ~SEPT_TDEL, __ATOMIC_SEQ_CST);
    w->value = value;
    w->state = sept_entry_state(value, w->level);
    w->locked = false;
    tdx_written(m, w->entry_pa, sizeof(uint64_t));
}

bool sept_gpa_private(const Td *td, uint64_t gpa)
{
    /* GPAs stop at the SHARED bit: above it is either SHARED or beyond GPAW. */
    return gpa < td_shared_mask(td);
}

bool sept_accept(TdxMod *m, Td *td, SeptWalk *w)
{
    uint64_t hpa, size = TDX_LEVEL_SIZE(w->level);

    (void)td;
    /* The lock keeps the host from taking the page while it is cleared. */
    if (!sept_lock(m, w)) {
        return false;
    }
    if (w->state != SEPT_PENDING || w->level > TDX_2M) {
        sept_unlock(m, w);
        return false;
    }
    hpa = sept_entry_pa(m, w->value) & ~(size - 1);
    for (uint64_t done = 0; done < size; done += TDX_PAGE_SIZE) {
        if (!tdx_zero_page(m, hpa + done)) {
            sept_unlock(m, w);
            return false;
        }
    }
    sept_unlock_as(m, w, sept_make(SEPT_MAPPED, w->level, hpa));
    return true;
}

bool sept_translate(TdxMod *m, Td *td, uint64_t gpa, uint64_t *hpa, SeptWalk *w)
{
    uint64_t offset;

    if (!sept_walk_leaf(m, td, gpa, w) || w->state != SEPT_MAPPED) {
        return false;
    }
    offset = TDX_LEVEL_SIZE(w->level) - 1;
    *hpa = (sept_entry_pa(m, w->value) & ~offset) | (gpa & offset);
    return true;
}
