/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT: the page pairs that hold the 4K entries of 2 MiB regions, the 2M entry
 * of a region that has one, and the bitmap of pages that no TD may get.
 *
 * The 2M entry with a pair: 15:0 lock, 20:16 PT_PAMT, 63:28 page number of the first
 * page; 73:64 pages in use, 127:92 page number of the second page.
 */
#include "pamt.h"

#define PAGES_PER_2M    512

PamtRegion *pair_region(const Tdmr *t, uint64_t pa)
{
    return t && t->region ? __atomic_load_n(&t->region[(pa - t->base) /
                                                       TDX_LEVEL_SIZE(TDX_2M)],
                                            __ATOMIC_ACQUIRE) : NULL;
}

static bool is_backed(const PamtRegion *r)
{
    return r && __atomic_load_n(&r->backed, __ATOMIC_ACQUIRE);
}

struct pamt_entry *pair_entry(TdxMod *m, const Tdmr *t, uint64_t pa, uint64_t *entry_pa)
{
    const PamtRegion *r = pair_region(t, pa);

    if (!is_backed(r)) {
        return NULL;
    }
    *entry_pa = pair_entry_pa(r->pair, pa / TDX_PAGE_SIZE % PAGES_PER_2M);
    return tdx_map(m, *entry_pa, sizeof(struct pamt_entry));
}

unsigned pair_recount(TdxMod *m, const PamtRegion *r, uint64_t *first)
{
    unsigned used = 0;

    *first = 0;
    for (unsigned i = 0; i < PAGES_PER_2M; i += PAMT_ENTRIES_PER_PAGE) {
        const struct pamt_entry *e = tdx_map_page(m, pair_entry_pa(r->pair, i));

        for (unsigned j = 0; e && j < PAMT_ENTRIES_PER_PAGE; j++) {
            if (__atomic_load_n(&e[j].type, __ATOMIC_RELAXED) & 31) {
                *first = used ? *first : r->pa + (i + j) * TDX_PAGE_SIZE;
                used++;
            }
        }
    }
    return used;
}

/* --- the bitmap --------------------------------------------------------------- */

/* The byte with the bit of @pa; NULL: not RAM. */
static uint8_t *bitmap_byte(TdxMod *m, const Tdmr *t, uint64_t pa, uint64_t *byte_pa,
                            uint8_t *bit)
{
    uint64_t index = (pa - t->base) / TDX_PAGE_SIZE;

    *byte_pa = t->pamt[TDX_4K] + index / 8;
    *bit = 1u << index % 8;
    return tdx_map(m, *byte_pa, 1);
}

bool pair_bit(TdxMod *m, const Tdmr *t, uint64_t pa)
{
    uint64_t byte_pa;
    uint8_t bit, *byte = t ? bitmap_byte(m, t, pa, &byte_pa, &bit) : NULL;

    return !byte || (__atomic_load_n(byte, __ATOMIC_ACQUIRE) & bit);
}

/* Set or clear the bit of @pa; what it was. */
static bool bit_change(TdxMod *m, const Tdmr *t, uint64_t pa, bool set)
{
    uint64_t byte_pa;
    uint8_t bit, old, *byte = bitmap_byte(m, t, pa, &byte_pa, &bit);

    if (!byte) {
        return true;
    }
    old = set ? __atomic_fetch_or(byte, bit, __ATOMIC_ACQ_REL)
              : __atomic_fetch_and(byte, (uint8_t)~bit, __ATOMIC_ACQ_REL);
    tdx_written(m, byte_pa, 1);
    return old & bit;
}

/* The 64 bytes of the 2 MiB at @pa: they do not cross a page. */
static uint64_t *bits_2m(TdxMod *m, const Tdmr *t, uint64_t pa, uint64_t *bits_pa)
{
    *bits_pa = t->pamt[TDX_4K] + (pa - t->base) / TDX_PAGE_SIZE / 8;
    return tdx_map(m, *bits_pa, PAGES_PER_2M / 8);
}

bool pair_bits_clear_2m(TdxMod *m, const Tdmr *t, uint64_t pa)
{
    uint64_t bits_pa, any = 0;
    const uint64_t *bits = bits_2m(m, t, pa, &bits_pa);

    for (unsigned i = 0; bits && i < PAGES_PER_2M / 64; i++) {
        any |= __atomic_load_n(&bits[i], __ATOMIC_ACQUIRE);
    }
    return bits && !any;
}

bool pair_bits_init(TdxMod *m, const Tdmr *t, uint64_t pa)
{
    uint64_t bits_pa;
    uint64_t *bits = bits_2m(m, t, pa, &bits_pa);

    if (!bits) {
        return false;
    }
    memset(bits, 0, PAGES_PER_2M / 8);
    for (unsigned j = 0; j < t->num_reserved; j++) {
        uint64_t start = MAX(pa, t->reserved[j].start);
        uint64_t end = MIN(pa + TDX_LEVEL_SIZE(TDX_2M), t->reserved[j].end);

        for (; start < end; start += TDX_PAGE_SIZE) {
            unsigned i = start / TDX_PAGE_SIZE % PAGES_PER_2M;

            bits[i / 64] |= 1ull << i % 64;
        }
    }
    tdx_written(m, bits_pa, PAGES_PER_2M / 8);
    return true;
}

/* --- pairs -------------------------------------------------------------------- */

uint64_t pair_page_valid(TdxMod *m, uint64_t pa, unsigned reg)
{
    return tdx_private_hpa_valid(m, pa, TDX_PAGE_SIZE)
           ? TDX_SUCCESS : tdx_operand(TDX_OPERAND_INVALID, reg);
}

uint64_t pair_page_in_tdmr(TdxMod *m, uint64_t pa, unsigned reg)
{
    return tdmr_find(m, pa) ? TDX_SUCCESS
                            : tdx_operand(TDX_OPERAND_ADDR_RANGE_ERROR, reg);
}

/* Look at one page of a pair to be, and keep its entry locked in @p. */
static uint64_t lock_free_page(TdxCall *c, PamtPage *p, uint64_t pa, unsigned reg,
                               uint64_t own, enum pair_place *place)
{
    uint64_t st;

    *place = PAIR_OWN;
    if ((pa & ~(TDX_LEVEL_SIZE(TDX_2M) - 1)) == own) {
        return TDX_SUCCESS;
    }
    st = pamt_lock_any(c, p, reg, pa, LOCK_SHARED);
    if (st) {
        return st;
    }
    *place = p->level == TDX_4K ? PAIR_BACKED : PAIR_UNBACKED;
    return pamt_type(p) == PT_NDA ? TDX_SUCCESS : tdx_operand(TDX_PAGE_NOT_FREE, reg);
}

/* Set the bits of both pages, or none: PAGE_NOT_FREE|reg. */
static uint64_t mark_pair(TdxCall *c, const uint64_t pa[2], const unsigned reg[2])
{
    const Tdmr *t0 = tdmr_find(c->m, pa[0]);

    if (bit_change(c->m, t0, pa[0], true)) {
        return tdx_operand(TDX_PAGE_NOT_FREE, reg[0]);
    }
    if (bit_change(c->m, tdmr_find(c->m, pa[1]), pa[1], true)) {
        bit_change(c->m, t0, pa[0], false);
        return tdx_operand(TDX_PAGE_NOT_FREE, reg[1]);
    }
    if (!tdx_zero_page(c->m, pa[0]) || !tdx_zero_page(c->m, pa[1])) {
        pair_release(c, pa);
        return tdx_operand(TDX_OPERAND_ADDR_RANGE_ERROR, reg[0]);
    }
    return TDX_SUCCESS;
}

/*
 * The pages' own entries stay locked until their bits are set, so that nobody makes
 * one of them a TD's page in between.
 */
uint64_t pair_reserve(TdxCall *c, const uint64_t pa[2], const unsigned reg[2],
                      uint64_t own)
{
    enum pair_place place[2];
    PamtPage p[2] = { 0 };
    uint64_t st = lock_free_page(c, &p[0], pa[0], reg[0], own, &place[0]);

    if (!st) {
        st = lock_free_page(c, &p[1], pa[1], reg[1], own, &place[1]);
    }
    if (!st) {
        st = mark_pair(c, pa, reg);
    }
    pamt_unlock(c->m, &p[1]);
    pamt_unlock(c->m, &p[0]);
    if (!st) {
        ledger_placed(c, place[0]);
        ledger_placed(c, place[1]);
    }
    return st;
}

void pair_release(TdxCall *c, const uint64_t pa[2])
{
    for (int i = 0; i < 2; i++) {
        if (!bit_change(c->m, tdmr_find(c->m, pa[i]), pa[i], false)) {
            ledger_corrupt(c, pa[i], "bitmap does not have a page of a pair");
        }
    }
}

static void set_2m(TdxMod *m, PamtPage *p, enum pamt_type type, uint64_t page0,
                   uint64_t aux)
{
    pamt_set_bits_63_24(p->entry, page0 / TDX_PAGE_SIZE << 4);
    /* Developers look at it without the lock. */
    __atomic_store_n(&p->entry->aux, aux, __ATOMIC_RELAXED);
    __atomic_store_n(&p->entry->type, type, __ATOMIC_RELEASE);
    tdx_written(m, p->entry_pa, sizeof(*p->entry));
}

/* aux of a 2M entry: its pair's second page and the pages in use. */
static uint64_t pair_aux(uint64_t page1, unsigned used)
{
    return page1 / TDX_PAGE_SIZE << PAMT_2M_PAGE1_SHIFT | used;
}

void pair_attach(TdxCall *c, PamtPage *p, const uint64_t pair[2], unsigned used)
{
    PamtRegion *r = ledger_region(tdmr_find(c->m, p->pa), p->pa);

    g_mutex_lock(&r->lock);
    r->pair[0] = pair[0];
    r->pair[1] = pair[1];
    __atomic_store_n(&r->used, used, __ATOMIC_RELAXED);
    __atomic_store_n(&r->backed, true, __ATOMIC_RELEASE);
    g_mutex_unlock(&r->lock);
    set_2m(c->m, p, PT_PAMT, pair[0], pair_aux(pair[1], used));
    ledger_pair(c, r, true);
}

void pair_detach(TdxCall *c, PamtPage *p, enum pamt_type type, uint64_t pair[2])
{
    PamtRegion *r = ledger_region(tdmr_find(c->m, p->pa), p->pa);

    set_2m(c->m, p, type, 0, 0);
    __atomic_store_n(&r->backed, false, __ATOMIC_RELEASE);
    pair[0] = r->pair[0];
    pair[1] = r->pair[1];
    pair_release(c, pair);
    ledger_pair(c, r, false);
}

static uint64_t page0_of(const struct pamt_entry *e)
{
    return (pamt_bits_63_24(e) >> 4) * TDX_PAGE_SIZE;
}

bool pair_sound(TdxCall *c, const PamtPage *p)
{
    const PamtRegion *r = pair_region(tdmr_find(c->m, p->pa), p->pa);

    if (pamt_type(p) != PT_PAMT && !is_backed(r)) {
        return false;
    }
    if (pamt_type(p) == PT_PAMT && is_backed(r) && page0_of(p->entry) == r->pair[0] &&
        p->entry->aux == pair_aux(r->pair[1], __atomic_load_n(&r->used,
                                                              __ATOMIC_RELAXED))) {
        return true;
    }
    ledger_corrupt(c, p->pa, "2M entry is not what it was");
    return false;
}
