/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reference model of Dynamic PAMT: pages, pairs and the leaves of physical memory.
 * ref_mem.c has the leaves with a GPA.
 */
#include <string.h>
#include "ref_internal.h"

/* --- pages --- */

int ref_index(uint64_t pa)
{
    return pa >= REF_FIRST && pa < REF_FIRST + REF_PAGES * 4096ull
           ? (int)((pa - REF_FIRST) / 4096) : -1;
}

bool ref_bit(const Ref *f, uint64_t pa)
{
    int i = ref_index(pa);

    return f->bits[i / 8] >> i % 8 & 1;
}

static void set_bit(Ref *f, uint64_t pa, bool on)
{
    int i = ref_index(pa);

    f->bits[i / 8] &= ~(1 << i % 8);
    f->bits[i / 8] |= on << i % 8;
}

RefRegion *ref_region(Ref *f, uint64_t pa)
{
    return &f->region[ref_index(pa) / 512];
}

RefPage *ref_page(Ref *f, uint64_t pa)
{
    return &f->page[ref_index(pa)];
}

/* All TDMRs end here; of what the reference does not have, TDRs are in use, the rest
   is reserved and without a pair. */
#define TDMR_END        (2ull << 30)
#define KEYID_BITS      (-1ull << 40)

static bool is_tdr(const Ref *f, uint64_t pa)
{
    for (int i = 0; i < REF_TDS; i++) {
        if (f->td[i].lifecycle != REF_NO_TD && f->td[i].tdr == pa) {
            return true;
        }
    }
    return false;
}

uint64_t ref_form(uint64_t pa, unsigned reg, uint64_t align)
{
    if (pa % align || (pa & KEYID_BITS)) {
        return TDX_OPERAND_INVALID | reg;
    }
    return 0;
}

uint64_t ref_operand(uint64_t pa, unsigned reg, uint64_t align)
{
    uint64_t st = ref_form(pa, reg, align);

    return st ? st : pa < TDMR_END ? 0 : TDX_OPERAND_ADDR_RANGE_ERROR | reg;
}

uint64_t ref_p4k(Ref *f, uint64_t pa, unsigned reg, unsigned type)
{
    uint64_t st = ref_operand(pa, reg, 4096);
    unsigned is;

    if (st) {
        return st;
    }
    if (pa == f->held && type == PT_NDA) {
        return TDX_OPERAND_BUSY | reg;          /* the call itself holds it */
    }
    if (ref_index(pa) < 0) {
        if (is_tdr(f, pa)) {
            return type == PT_TDR ? 0 : TDX_PAGE_METADATA_INCORRECT | reg;
        }
        return (type ? TDX_PAGE_METADATA_INCORRECT : TDX_MISSING_PAMT_PAGE_PAIR) | reg;
    }
    if (ref_region(f, pa)->kind == REF_NONE && !type) {
        return TDX_MISSING_PAMT_PAGE_PAIR | reg;
    }
    is = ref_page(f, pa)->type;
    return ref_region(f, pa)->kind != REF_PAIR || is != type ||
           (!type && ref_bit(f, pa)) ? TDX_PAGE_METADATA_INCORRECT | reg : 0;
}

void ref_assign(Ref *f, uint64_t pa, unsigned type, RefTd *td)
{
    *ref_page(f, pa) = (RefPage){ .type = type, .owner = type == PT_TDR ? 0 : td->tdr };
    ref_region(f, pa)->count++;
    td->children += type != PT_TDR;
}

bool ref_release(Ref *f, uint64_t pa)
{
    *ref_page(f, pa) = (RefPage){ 0 };
    return --ref_region(f, pa)->count == 0;
}

/* --- pairs --- */

/* What the PAMT says of a page that is to be half of a pair. */
static uint64_t pair_page(Ref *f, uint64_t pa, unsigned reg, uint64_t region, bool own)
{
    bool taken;

    if (pa >> 21 == region >> 21) {
        return own ? 0 : TDX_OPERAND_BUSY | reg;        /* held by the call itself */
    }
    if (f->busy && pa == f->busy) {
        return TDX_OPERAND_BUSY | reg;
    }
    taken = ref_index(pa) < 0 ? is_tdr(f, pa)
                              : ref_region(f, pa)->kind == REF_LEAF ||
                                ref_page(f, pa)->type;
    return taken ? TDX_PAGE_NOT_FREE | reg : 0;
}

uint64_t ref_take_pair(Ref *f, const uint64_t pa[2], const unsigned reg[2],
                       uint64_t region, bool own)
{
    for (int i = 0; i < 2; i++) {
        uint64_t st = pair_page(f, pa[i], reg[i], region, own);

        if (st) {
            return st;
        }
    }
    for (int i = 0; i < 2; i++) {
        if (ref_index(pa[i]) < 0 || ref_bit(f, pa[i]) || (i && pa[0] == pa[1])) {
            return TDX_PAGE_NOT_FREE | reg[i];
        }
    }
    for (int i = 0; i < 2; i++) {
        set_bit(f, pa[i], true);
        if (pa[i] >> 21 == region >> 21) {
            f->own++;
        } else if (ref_region(f, pa[i])->kind == REF_PAIR) {
            f->backed++;
        } else {
            f->unbacked++;
        }
    }
    *ref_region(f, region) = (RefRegion){ .kind = REF_PAIR, .pair = { pa[0], pa[1] } };
    f->adds++;
    f->pairs++;
    f->peak = f->pairs > f->peak ? f->pairs : f->peak;
    return 0;
}

void ref_give_pair(Ref *f, RefRegion *r, uint64_t pair[2])
{
    for (int i = 0; i < 2; i++) {
        pair[i] = r->pair[i];
        set_bit(f, pair[i], false);
    }
    memset(r, 0, sizeof(*r));
    f->removes++;
    f->pairs--;
}

/* RCX of PAMT.ADD and REMOVE */
static uint64_t region_operand(uint64_t rcx, uint64_t *region)
{
    *region = rcx & ~0xfffull;
    if ((rcx & 0xfff) != 1 || *region % (2 << 20) || (*region & KEYID_BITS)) {
        return TDX_OPERAND_INVALID | REF_RCX;
    }
    return 0;
}

static uint64_t pamt_add(Ref *f, uint64_t *r)
{
    static const unsigned reg[2] = { REF_RDX, REF_R8 };
    const uint64_t pa[2] = { r[REF_RDX], r[REF_R8] };
    uint64_t region, st = region_operand(r[REF_RCX], &region);

    for (int i = 0; i < 2 && !st; i++) {
        st = ref_operand(pa[i], reg[i], 4096);
    }
    if (st) {
        return st;
    }
    if (region >= TDMR_END) {
        return TDX_OPERAND_ADDR_RANGE_ERROR | REF_RCX;
    }
    if (ref_region(f, region)->kind != REF_NONE) {
        return TDX_HPA_RANGE_NOT_FREE | REF_RCX;
    }
    return ref_take_pair(f, pa, reg, region, true);
}

static uint64_t pamt_remove(Ref *f, uint64_t *r)
{
    uint64_t region, pair[2], st = region_operand(r[REF_RCX], &region);
    RefRegion *at;

    r[REF_RDX] = r[REF_R8] = 0;
    if (st) {
        return st;
    }
    if (region >= TDMR_END) {
        return TDX_OPERAND_ADDR_RANGE_ERROR | REF_RCX;
    }
    at = ref_region(f, region);
    if (at->kind != REF_PAIR) {
        return TDX_NO_PAMT_PAGE_PAIR | REF_RCX;
    }
    for (unsigned i = 0; i < 512; i++) {
        if (ref_page(f, region + i * 4096)->type) {
            return TDX_PAMT_PAGE_NOT_EMPTY | i / 256;
        }
    }
    ref_give_pair(f, at, pair);
    r[REF_RDX] = pair[0];
    r[REF_R8] = pair[1];
    return 0;
}

/* --- RDMD, WBINVD, RECLAIM --- */

static uint64_t rdmd(Ref *f, uint64_t *r, RefAnswer *a)
{
    unsigned level = r[REF_RCX] & 7;
    uint64_t pa = r[REF_RCX] - level, st;
    const RefPage *p;
    RefRegion *at;

    r[REF_RCX] = r[REF_RDX] = r[REF_R8] = r[REF_R9] = r[REF_R10] = r[REF_R11] = 0;
    st = level > 1 ? TDX_OPERAND_INVALID | REF_RCX
                   : ref_operand(pa, REF_RCX, level ? 2 << 20 : 4096);
    if (st) {
        return st;
    }
    at = ref_region(f, pa);
    p = at->kind == REF_LEAF ? &at->leaf : ref_page(f, pa);
    if (!level && !p->type && ref_bit(f, pa)) {
        r[REF_RCX] = PT_PAMT;
        return 0;
    }
    r[REF_R8] = level || at->kind != REF_PAIR;
    if (level && at->kind == REF_PAIR) {
        r[REF_RCX] = PT_PAMT | 1ull << 63;
        r[REF_R10] = at->pair[0];
        r[REF_R11] = at->pair[1];
        return 0;
    }
    if (at->kind == REF_NONE) {
        return 0;
    }
    r[REF_RCX] = p->type;
    r[REF_RDX] = p->owner;
    r[REF_R9] = p->bepoch;
    /* It means something while the page is blocked; when it is reset is not said. */
    a->mask[REF_R9] = p->bepoch ? -1ull : 0;
    return 0;
}

static uint64_t wbinvd(Ref *f, uint64_t *r)
{
    if (r[REF_RCX] >> 46) {
        return TDX_OPERAND_INVALID | REF_RCX;
    }
    return ref_p4k(f, r[REF_RCX] & ~KEYID_BITS, REF_RCX, PT_NDA);
}

static RefTd *td_of(Ref *f, uint64_t tdr)
{
    for (int i = 0; i < REF_TDS; i++) {
        if (f->td[i].lifecycle != REF_NO_TD && f->td[i].tdr == tdr) {
            return &f->td[i];
        }
    }
    return NULL;
}

static uint64_t reclaim_state(const RefTd *td, bool tdr)
{
    if (td->lifecycle != REF_TEARDOWN) {
        return TDX_LIFECYCLE_STATE_INCORRECT;
    }
    return tdr && td->children ? TDX_TD_ASSOCIATED_PAGES_EXIST : 0;
}

static uint64_t reclaim(Ref *f, uint64_t *r)
{
    uint64_t pa = r[REF_RCX], st = ref_operand(pa, REF_RCX, 4096);
    RefRegion *at;
    RefPage p;
    RefTd *td;
    bool hint = false, large;

    r[REF_RCX] = r[REF_RDX] = r[REF_R8] = r[REF_R9] = r[REF_R10] = r[REF_R11] = 0;
    if (st) {
        return st;
    }
    if (ref_index(pa) < 0) {
        return TDX_PAGE_METADATA_INCORRECT | REF_RCX;
    }
    at = ref_region(f, pa);
    large = at->kind == REF_LEAF;
    p = large ? at->leaf : *ref_page(f, pa);
    if (!p.type) {
        return TDX_PAGE_METADATA_INCORRECT | REF_RCX;
    }
    if (large && pa % (2 << 20)) {
        return TDX_OPERAND_INVALID | REF_RCX;
    }
    td = td_of(f, p.type == PT_TDR ? pa : p.owner);
    st = reclaim_state(td, p.type == PT_TDR);
    if (st) {
        return st;
    }
    if (large) {
        memset(at, 0, sizeof(*at));
        td->children -= 512;
    } else {
        hint = ref_release(f, pa);
        td->children -= p.type != PT_TDR;
    }
    if (p.type == PT_TDR) {
        td->lifecycle = REF_NO_TD;
    }
    r[REF_RCX] = p.type;
    r[REF_RDX] = p.owner;
    r[REF_R8] = large;
    r[REF_R9] = hint ? REF_HINT : 0;
    return 0;
}

/* --- control pages --- */

static uint64_t mng_create(Ref *f, uint64_t *r)
{
    RefTd *td = &f->td[REF_T];
    uint64_t st = ref_p4k(f, r[REF_RCX], REF_RCX, PT_NDA);

    if (r[REF_RDX] != td->hkid) {
        return TDX_OPERAND_INVALID | REF_RDX;   /* only such other values are tried */
    }
    if (st) {
        return st;
    }
    /* The key is free again from TDH.MNG.KEY.FREEID on. */
    if (td->lifecycle == REF_ASSIGNED || td->lifecycle == REF_KEYED) {
        return TDX_HKID_NOT_FREE;
    }
    *td = (RefTd){ .lifecycle = REF_ASSIGNED, .tdr = r[REF_RCX], .hkid = td->hkid };
    ref_assign(f, r[REF_RCX], PT_TDR, td);
    return 0;
}

static uint64_t mng_addcx(Ref *f, uint64_t *r)
{
    uint64_t st = ref_p4k(f, r[REF_RDX], REF_RDX, PT_TDR);
    RefTd *td;

    if (st) {
        return st;
    }
    td = td_of(f, r[REF_RDX]);
    if (td->lifecycle != REF_KEYED) {
        return TDX_TD_KEYS_NOT_CONFIGURED;
    }
    if (td->tdcs == REF_TDCS) {
        return TDX_TDCX_NUM_INCORRECT;
    }
    f->held = td->tdr;
    st = ref_p4k(f, r[REF_RCX], REF_RCX, PT_NDA);
    if (!st) {
        ref_assign(f, r[REF_RCX], PT_TDCX, td);
        td->tdcs++;
    }
    return st;
}

uint64_t ref_td(Ref *f, uint64_t tdr, unsigned reg, unsigned op_states, RefTd **td)
{
    uint64_t st = ref_p4k(f, tdr, reg, PT_TDR);

    if (st) {
        return st;
    }
    *td = td_of(f, tdr);
    f->held = tdr;
    return ref_td_state(*td, op_states);
}

uint64_t ref_td_state(const RefTd *td, unsigned op_states)
{
    if (td->lifecycle != REF_KEYED) {
        return TDX_TD_KEYS_NOT_CONFIGURED;
    }
    if (td->tdcs < REF_TDCS) {
        return TDX_TDCS_NOT_ALLOCATED;
    }
    return op_states >> td->op_state & 1 ? 0 : TDX_OP_STATE_INCORRECT;
}

static uint64_t vp_create(Ref *f, uint64_t *r)
{
    RefTd *td;
    uint64_t st = ref_td(f, r[REF_RDX], REF_RDX, REF_OP(1), &td);

    if (!st) {
        st = ref_p4k(f, r[REF_RCX], REF_RCX, PT_NDA);
    }
    if (!st) {
        ref_assign(f, r[REF_RCX], PT_TDVPR, td);
    }
    return st;
}

static uint64_t vp_addcx(Ref *f, uint64_t *r)
{
    uint64_t st = ref_p4k(f, r[REF_RDX], REF_RDX, PT_TDVPR);
    RefTd *td;

    if (st) {
        return st;
    }
    td = td_of(f, ref_page(f, r[REF_RDX])->owner);
    st = ref_td_state(td, REF_OP(1));
    if (st) {
        return st;
    }
    f->held = td->tdr;
    if (ref_page(f, r[REF_RDX])->tdcx == REF_TDCX) {
        return TDX_TDCX_NUM_INCORRECT;
    }
    if (r[REF_RCX] == r[REF_RDX]) {
        return TDX_OPERAND_BUSY | REF_RCX;
    }
    st = ref_p4k(f, r[REF_RCX], REF_RCX, PT_NDA);
    if (!st) {
        ref_assign(f, r[REF_RCX], PT_TDCX, td);
        ref_page(f, r[REF_RDX])->tdcx++;
    }
    return st;
}

/* --- */

RefAnswer ref_call(Ref *f, const uint64_t gpr[16])
{
    unsigned leaf = gpr[REF_RAX] & 0xffff;
    RefAnswer a;
    uint64_t *r = a.value, st;

    memcpy(r, gpr, sizeof(a.value));
    memset(a.mask, 0xff, sizeof(a.mask));
    f->held = f->busy = 0;
    switch (leaf) {
    case TDH_PHYMEM_PAMT_ADD:
        st = pamt_add(f, r);
        f->failures += st != 0;
        break;
    case TDH_PHYMEM_PAMT_REMOVE:
        st = pamt_remove(f, r);
        f->failures += st != 0;
        break;
    case TDH_PHYMEM_PAGE_RDMD:
        st = rdmd(f, r, &a);
        break;
    case TDH_PHYMEM_PAGE_WBINVD:
        st = wbinvd(f, r);
        break;
    case TDH_PHYMEM_PAGE_RECLAIM:
        st = reclaim(f, r);
        break;
    case TDH_MNG_CREATE:
        st = mng_create(f, r);
        break;
    case TDH_MNG_ADDCX:
        st = mng_addcx(f, r);
        break;
    case TDH_VP_CREATE:
        st = vp_create(f, r);
        break;
    case TDH_VP_ADDCX:
        st = vp_addcx(f, r);
        break;
    default:
        st = ref_mem(f, leaf, &a);
        break;
    }
    f->failures += st >> 32 << 32 == TDX_MISSING_PAMT_PAGE_PAIR;
    r[REF_RAX] = st;
    return a;
}
