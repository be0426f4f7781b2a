/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PAMT side of TDH.MEM.PAGE.DEMOTE and PROMOTE: a 2M entry to 512 entries of 4K pages
 * of the same owner, and back.
 */
#include "pamt.h"

/* Where the 4K entry of @pa is if @pair belongs to its region. */
static struct pamt_entry *entry_4k(TdxMod *m, const Tdmr *t, uint64_t pa,
                                   const uint64_t pair[2], uint64_t *entry_pa)
{
    if (!m->dynamic_pamt) {
        return pamt_entry_at(m, t, pa, TDX_4K, entry_pa);
    }
    *entry_pa = pair_entry_pa(pair, pa / TDX_PAGE_SIZE % 512);
    return tdx_map(m, *entry_pa, sizeof(struct pamt_entry));
}

uint64_t pamt_split(TdxCall *c, PamtPage *p, const uint64_t pair[2])
{
    TdxMod *m = c->m;
    const Tdmr *t = tdmr_find(m, p->pa);
    uint64_t entry_pa;

    if (p->level != TDX_2M || !t) {
        return TDX_PAGE_METADATA_INCORRECT;
    }
    for (uint64_t pa = p->pa; pa < p->pa + TDX_LEVEL_SIZE(TDX_2M); pa += TDX_PAGE_SIZE) {
        struct pamt_entry *e = entry_4k(m, t, pa, pair, &entry_pa);

        if (!e) {
            return TDX_PAGE_METADATA_INCORRECT;
        }
        memset(e, 0, sizeof(*e));
        e->type = p->entry->type;
        memcpy(e->owner, p->entry->owner, sizeof(e->owner));
        tdx_written(m, entry_pa, sizeof(*e));
    }
    if (m->dynamic_pamt) {
        pair_attach(c, p, pair, 512);
        return TDX_SUCCESS;
    }
    pamt_set_bits_63_24(p->entry, 0);
    p->entry->aux = 512;
    __atomic_store_n(&p->entry->type, PT_NDA, __ATOMIC_RELEASE);
    tdx_written(m, p->entry_pa, sizeof(*p->entry));
    return TDX_SUCCESS;
}

/*
 * All 512 pages below @p, which is locked exclusively, are PT_REG of @owner.  @pair:
 * where their entries are, with Dynamic PAMT.
 */
static bool mergeable(TdxCall *c, const Tdmr *t, const PamtPage *p, uint64_t owner,
                      const uint64_t **pair)
{
    uint64_t entry_pa;

    if (p->level != TDX_2M || (c->m->dynamic_pamt ? !pair_sound(c, p)
                                                  : pamt_type(p) != PT_NDA)) {
        return false;
    }
    *pair = c->m->dynamic_pamt ? pair_region(t, p->pa)->pair : NULL;
    for (uint64_t pa = p->pa; pa < p->pa + TDX_LEVEL_SIZE(TDX_2M); pa += TDX_PAGE_SIZE) {
        struct pamt_entry *e = entry_4k(c->m, t, pa, *pair, &entry_pa);

        if (!e || pamt_entry_type(e) != PT_REG || pamt_entry_owner(e) != owner) {
            return false;
        }
    }
    return true;
}

uint64_t pamt_merge(TdxCall *c, unsigned reg, uint64_t pa, uint64_t owner,
                    uint64_t pair[2])
{
    TdxMod *m = c->m;
    const uint64_t *entries;
    PamtPage p;
    uint64_t entry_pa, st = pamt_lock_region(c, &p, reg, pa);
    const Tdmr *t = tdmr_find(m, pa);

    if (st) {
        return st;
    }
    if (!mergeable(c, t, &p, owner, &entries)) {
        pamt_unlock(m, &p);
        return tdx_operand(TDX_PAGE_METADATA_INCORRECT, reg);
    }
    for (uint64_t a = p.pa; a < p.pa + TDX_LEVEL_SIZE(TDX_2M); a += TDX_PAGE_SIZE) {
        struct pamt_entry *e = entry_4k(m, t, a, entries, &entry_pa);

        if (e) {
            memset(e, 0, sizeof(*e));
            tdx_written(m, entry_pa, sizeof(*e));
        }
    }
    if (m->dynamic_pamt) {
        pair_detach(c, &p, PT_REG, pair);
    }
    pamt_unlock_as(c, &p, PT_REG, owner);
    return TDX_SUCCESS;
}
