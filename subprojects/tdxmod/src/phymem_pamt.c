/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.PHYMEM.PAMT.ADD and REMOVE: the host gives a 2 MiB region the page pair that its
 * 4K PAMT entries need, and gets it back (TDX ABI, Dynamic PAMT).
 */
#include "pamt.h"

static const unsigned pair_regs[2] = { TDX_RDX, TDX_R8 };

/* RCX of both: a 2 MiB region | level 1, the rest 0. */
static uint64_t parse_region(TdxCall *c, uint64_t *region)
{
    uint64_t rcx = c->gpr[TDX_RCX];

    if (!c->m->dynamic_pamt) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RAX);
    }
    *region = rcx - TDX_2M;
    if ((rcx & 0xfff) != TDX_2M ||
        !tdx_private_hpa_valid(c->m, *region, TDX_LEVEL_SIZE(TDX_2M))) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RCX);
    }
    return TDX_SUCCESS;
}

/* Lock the region, which must have no pair and no 2M page; fill @p. */
static uint64_t lock_unbacked(TdxCall *c, PamtPage *p, uint64_t region)
{
    const PamtRegion *r;
    uint64_t st = pamt_lock_region(c, p, TDX_RCX, region);

    if (st) {
        return st;
    }
    r = pair_region(tdmr_find(c->m, region), region);
    if (p->level != TDX_2M || pamt_type(p) != PT_NDA || (r && r->backed)) {
        if (r && r->backed) {
            pair_sound(c, p);           /* says so if L1 wrote over the entry */
        }
        pamt_unlock(c->m, p);
        return tdx_operand(TDX_HPA_RANGE_NOT_FREE, TDX_RCX);
    }
    return TDX_SUCCESS;
}

static uint64_t pamt_add(TdxCall *c, uint64_t *region)
{
    uint64_t pair[2] = { c->gpr[TDX_RDX], c->gpr[TDX_R8] };
    PamtPage p;
    uint64_t st = parse_region(c, region);

    for (int i = 0; i < 2 && !st; i++) {
        st = pair_page_valid(c->m, pair[i], pair_regs[i]);
        if (!st) {
            st = pair_page_in_tdmr(c->m, pair[i], pair_regs[i]);
        }
    }
    if (!st) {
        st = lock_unbacked(c, &p, *region);
    }
    if (st) {
        return st;
    }
    st = pair_reserve(c, pair, pair_regs, *region);
    if (!st) {
        pair_attach(c, &p, pair, 0);
    }
    pamt_unlock(c->m, &p);
    return st;
}

/* The page that the failing call was about, for the developer. */
static uint64_t page_in_question(const TdxCall *c, uint64_t status)
{
    switch (status & 0xffffffff) {
    case TDX_RDX:
        return c->gpr[TDX_RDX];
    case TDX_R8:
        return c->gpr[TDX_R8];
    default:
        return 0;
    }
}

/*
 * TDH.PHYMEM.PAMT.ADD: RCX region | 1, RDX and R8 two free pages, anywhere.  Errors in
 * order: OPERAND_INVALID|RAX (Dynamic PAMT is off), OPERAND_INVALID|RCX; by page
 * OPERAND_INVALID, OPERAND_ADDR_RANGE_ERROR; OPERAND_ADDR_RANGE_ERROR|RCX,
 * OPERAND_BUSY|RCX, HPA_RANGE_NOT_FREE|RCX; by page OPERAND_BUSY, PAGE_NOT_FREE.
 */
static uint64_t tdh_phymem_pamt_add(TdxCall *c)
{
    uint64_t region = 0, st = pamt_add(c, &region);

    if (st) {
        ledger_failure(c, st, region, page_in_question(c, st));
    }
    return st;
}

/* @p is the region's locked 2M entry.  @page: one that is in use. */
static uint64_t remove_pair(TdxCall *c, PamtPage *p, uint64_t pair[2], uint64_t *page)
{
    const PamtRegion *r = pair_region(tdmr_find(c->m, p->pa), p->pa);
    unsigned recount;

    if (p->level != TDX_2M || pamt_type(p) != PT_PAMT || !r || !r->backed) {
        pair_sound(c, p);
        return tdx_operand(TDX_NO_PAMT_PAGE_PAIR, TDX_RCX);
    }
    recount = pair_recount(c->m, r, page);
    if ((int)recount != __atomic_load_n(&r->used, __ATOMIC_RELAXED)) {
        ledger_corrupt(c, p->pa, "entries in use are not as many as they were");
    }
    if (recount) {
        unsigned index = (*page - r->pa) / TDX_PAGE_SIZE;

        return TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, index / PAMT_ENTRIES_PER_PAGE);
    }
    if (r->used || !pair_sound(c, p)) {
        return tdx_operand(TDX_PAGE_METADATA_INCORRECT, TDX_RCX);
    }
    pair_detach(c, p, PT_NDA, pair);
    return TDX_SUCCESS;
}

/*
 * TDH.PHYMEM.PAMT.REMOVE: RCX region | 1.  Out: RDX and R8 the pair.  Errors in order:
 * OPERAND_INVALID|RAX (Dynamic PAMT is off), OPERAND_INVALID|RCX,
 * OPERAND_ADDR_RANGE_ERROR|RCX, OPERAND_BUSY|RCX, NO_PAMT_PAGE_PAIR|RCX,
 * PAMT_PAGE_NOT_EMPTY with 0 or 1: in which page of the pair.  Memory that L1 wrote
 * over, where the module would stop the machine: PAGE_METADATA_INCORRECT|RCX.
 */
static uint64_t tdh_phymem_pamt_remove(TdxCall *c)
{
    uint64_t region = 0, page = 0, pair[2], st = parse_region(c, &region);
    PamtPage p;

    if (!st) {
        st = pamt_lock_region(c, &p, TDX_RCX, region);
    }
    if (!st) {
        st = remove_pair(c, &p, pair, &page);
        pamt_unlock(c->m, &p);
    }
    if (st) {
        ledger_failure(c, st, region, page);
        return st;
    }
    c->gpr[TDX_RDX] = pair[0];
    c->gpr[TDX_R8] = pair[1];
    return TDX_SUCCESS;
}

const Leaf tdx_leaves_pamt[] = {
    { TDH_PHYMEM_PAMT_ADD, 0, 0, "TDH.PHYMEM.PAMT.ADD", tdh_phymem_pamt_add, 0 },
    { TDH_PHYMEM_PAMT_REMOVE, 0, 0, "TDH.PHYMEM.PAMT.REMOVE", tdh_phymem_pamt_remove,
      TDX_REG(TDX_RDX) | TDX_REG(TDX_R8) },
    { 0 },
};
