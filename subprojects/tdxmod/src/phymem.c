/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.PHYMEM.*: physical pages and caches.
 */
#include "module.h"
#include "td.h"

#define PAGE_OUTPUTS    (TDX_REG(TDX_RCX) | TDX_REG(TDX_RDX) | TDX_REG(TDX_R8) | \
                         TDX_REG(TDX_R9) | TDX_REG(TDX_R10) | TDX_REG(TDX_R11))

static void zero_page_outputs(TdxCall *c)
{
    for (unsigned r = 0; r < 16; r++) {
        if (PAGE_OUTPUTS & TDX_REG(r)) {
            c->gpr[r] = 0;
        }
    }
}

/* Type and address of a page that is about to be reclaimed. */
static uint64_t check_reclaim(const PamtPage *p, uint64_t pa)
{
    switch (pamt_type(p)) {
    case PT_REG:
    case PT_TDR:
    case PT_TDCX:
    case PT_TDVPR:
    case PT_EPT:
        break;
    default:
        return tdx_operand(TDX_PAGE_METADATA_INCORRECT, TDX_RCX);
    }
    if (pa != p->pa) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RCX);
    }
    return TDX_SUCCESS;
}

/* The TDR itself: the last page of a TD that was torn down. */
static uint64_t check_reclaim_tdr(TdxMod *m, const PamtPage *p)
{
    const struct tdr *tdr = tdx_map(m, p->pa, sizeof(*tdr));

    if (!tdr || tdr->lifecycle != TD_TEARDOWN) {
        return TDX_LIFECYCLE_STATE_INCORRECT;
    }
    if (__atomic_load_n(&tdr->chldcnt, __ATOMIC_ACQUIRE)) {
        return TDX_TD_ASSOCIATED_PAGES_EXIST;
    }
    return TDX_SUCCESS;
}

/* RCX: HPA.  Out: RCX type, RDX owner, R8 size, R9 removal hint. */
static uint64_t tdh_phymem_page_reclaim(TdxCall *c)
{
    TdxMod *m = c->m;
    uint64_t pa = c->gpr[TDX_RCX], st, owner;
    enum pamt_type type;
    unsigned level;
    bool hint;
    PamtPage p;
    Td td = { 0 };

    zero_page_outputs(c);
    if (!tdx_private_hpa_valid(m, pa, TDX_PAGE_SIZE)) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RCX);
    }
    st = pamt_lock_any(c, &p, TDX_RCX, pa, LOCK_EXCLUSIVE);
    if (st) {
        return st;
    }
    st = check_reclaim(&p, pa);
    if (!st && pamt_type(&p) == PT_TDR) {
        st = check_reclaim_tdr(m, &p);
    } else if (!st) {
        st = td_lock_owner(c, &td, &p, LOCK_SHARED);
        if (!st && td.tdr->lifecycle != TD_TEARDOWN) {
            st = TDX_LIFECYCLE_STATE_INCORRECT;
        }
    }
    if (st) {
        td_unlock(c, &td);
        pamt_unlock(m, &p);
        return st;
    }
    type = pamt_type(&p);
    level = p.level;
    owner = type == PT_TDR ? 0 : pamt_owner(&p);
    hint = pamt_unlock_as(c, &p, PT_NDA, 0);
    if (td.tdr) {
        td_add_children(m, &td, -(int64_t)(TDX_LEVEL_SIZE(level) / TDX_PAGE_SIZE));
        td_unlock(c, &td);
    }
    c->gpr[TDX_RCX] = type;
    c->gpr[TDX_RDX] = owner;
    c->gpr[TDX_R8] = level;
    c->gpr[TDX_R9] = hint ? PAMT_REMOVAL_HINT : 0;
    return TDX_SUCCESS;
}

#define RDMD_NON_LEAF   (1ull << 63)    /* in RCX: the entry leads to a page pair */

static void describe_leaf(TdxCall *c, const PamtPage *p)
{
    enum pamt_type type = pamt_type(p);

    c->gpr[TDX_RCX] = type;
    c->gpr[TDX_R8] = p->level;
    if (type != PT_NDA && type != PT_RSVD && type != PT_TDR) {
        c->gpr[TDX_RDX] = pamt_owner(p);
    }
    if (type == PT_REG || type == PT_EPT) {
        c->gpr[TDX_R9] = pamt_bepoch(p);
    }
}

static void describe_pair(TdxCall *c, const PamtPage *p, const PamtRegion *r)
{
    c->gpr[TDX_RCX] = PT_PAMT | RDMD_NON_LEAF;
    c->gpr[TDX_R8] = p->level;
    c->gpr[TDX_R10] = r ? r->pair[0] : 0;
    c->gpr[TDX_R11] = r ? r->pair[1] : 0;
}

/*
 * RCX: HPA; with Dynamic PAMT, 2:0 the least level to look at.  Out: RCX type, RDX
 * owner, R8 size, R9 BEPOCH; R10 and R11 the page pair of a 2 MiB region that has one.
 */
static uint64_t tdh_phymem_page_rdmd(TdxCall *c)
{
    TdxMod *m = c->m;
    unsigned level = m->dynamic_pamt ? c->gpr[TDX_RCX] & 7 : TDX_4K;
    uint64_t pa = c->gpr[TDX_RCX] - level, st;
    PamtPage p;

    zero_page_outputs(c);
    if (level > TDX_1G || !tdx_private_hpa_valid(m, pa, TDX_LEVEL_SIZE(level))) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RCX);
    }
    st = pamt_lock_level(c, &p, TDX_RCX, pa, level);
    if (st) {
        return st;
    }
    if (m->dynamic_pamt && level == TDX_4K && pamt_type(&p) == PT_NDA &&
        pair_bit(m, tdmr_find(m, pa), pa)) {
        c->gpr[TDX_RCX] = PT_PAMT;      /* of a pair, or reserved */
    } else if (pamt_type(&p) == PT_PAMT) {
        describe_pair(c, &p, pair_region(tdmr_find(m, pa), pa));
    } else {
        describe_leaf(c, &p);
    }
    pamt_unlock(m, &p);
    return TDX_SUCCESS;
}

/*
 * RCX: HPA with any KeyID.  The model has no caches; what counts is that the
 * page is free.
 */
static uint64_t tdh_phymem_page_wbinvd(TdxCall *c)
{
    TdxMod *m = c->m;
    uint64_t pa = c->gpr[TDX_RCX], st;
    PamtPage p;

    if (pa >> m->config.max_pa) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RCX);
    }
    st = pamt_lock(c, &p, TDX_RCX, pa & m->hpa_mask, PT_NDA, LOCK_SHARED);
    if (!st) {
        pamt_unlock(m, &p);
    }
    return st;
}

/* This package wrote its caches back: no KeyID waits for it any more. */
static bool clear_wb_pending(TdxMod *m, uint64_t pkg)
{
    bool any = false;

    for (uint32_t i = m->hkid_first; i < m->hkid_end; i++) {
        KotEntry *k = &m->kot[i];

        if (k->state == KOT_FLUSHED &&
            (__atomic_fetch_and(&k->wb_pending, ~pkg, __ATOMIC_ACQ_REL) & pkg)) {
            any = true;
        }
    }
    return any;
}

/* RCX: 0 start, 1 resume.  Once on each package. */
static uint64_t tdh_phymem_cache_wb(TdxCall *c)
{
    TdxMod *m = c->m;
    unsigned pkg = tdx_pkg(c);
    uint64_t resume = c->gpr[TDX_RCX], st = TDX_SUCCESS;

    if (resume > 1) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RCX);
    }
    if (!tdx_trylock(&m->wbcache_lock[pkg], LOCK_EXCLUSIVE)) {
        return tdx_operand(TDX_OPERAND_BUSY, TDX_OPERAND_ID_WBCACHE);
    }
    if (!tdx_trylock(&m->kot_lock, LOCK_SHARED)) {
        st = tdx_operand(TDX_OPERAND_BUSY, TDX_OPERAND_ID_KOT);
    } else {
        if (resume) {
            st = TDX_WBCACHE_RESUME_ERROR;      /* it is never interrupted */
        } else if (!clear_wb_pending(m, 1ull << pkg)) {
            st = TDX_NO_HKID_READY_TO_WBCACHE;
        }
        tdx_unlock(&m->kot_lock, LOCK_SHARED);
    }
    tdx_unlock(&m->wbcache_lock[pkg], LOCK_EXCLUSIVE);
    return st;
}

const Leaf tdx_leaves_phymem[] = {
    { TDH_PHYMEM_PAGE_RECLAIM, 0, 0, "TDH.PHYMEM.PAGE.RECLAIM",
      tdh_phymem_page_reclaim, PAGE_OUTPUTS },
    { TDH_PHYMEM_PAGE_RDMD, 0, 0, "TDH.PHYMEM.PAGE.RDMD", tdh_phymem_page_rdmd,
      PAGE_OUTPUTS },
    { TDH_PHYMEM_PAGE_WBINVD, 0, 0, "TDH.PHYMEM.PAGE.WBINVD",
      tdh_phymem_page_wbinvd, 0 },
    { TDH_PHYMEM_CACHE_WB, 0, 0, "TDH.PHYMEM.CACHE.WB", tdh_phymem_cache_wb, 0 },
    { 0 },
};
