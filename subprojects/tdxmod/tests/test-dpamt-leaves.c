/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT in the other leaves: those that take a 4 KiB page, those that give one
 * back, and 2 MiB pages.
 */
#include "dpamt.h"

#define MISSING(reg)    OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, reg)
#define METADATA(reg)   OPERAND(TDX_PAGE_METADATA_INCORRECT, reg)
#define BAD_HKID        (1ull << MACHINE_HKID_SHIFT)

/* --- leaves that take a page --- */

/* TDs, each ready for some of the leaves. */
typedef struct Takers {
    Machine *mc;
    Life initialized;           /* and its first vCPU has no TDCX */
    Life keyed;                 /* it has no TDCS */
    uint64_t source;            /* of PAGE.ADD */
} Takers;

typedef uint64_t TakeFn(Takers *t, uint64_t page);

static uint64_t take_tdr(Takers *t, uint64_t page)
{
    return CALL(t->mc, 0, TDH_MNG_CREATE, .rcx = page, .rdx = LIFE_HKID + 2);
}

static uint64_t take_tdcs(Takers *t, uint64_t page)
{
    return CALL(t->mc, 0, TDH_MNG_ADDCX, .rcx = page, .rdx = t->keyed.tdr);
}

static uint64_t take_tdvpr(Takers *t, uint64_t page)
{
    return CALL(t->mc, 0, TDH_VP_CREATE, .rcx = page, .rdx = t->initialized.tdr);
}

static uint64_t take_tdcx(Takers *t, uint64_t page)
{
    return CALL(t->mc, 0, TDH_VP_ADDCX, .rcx = page,
                .rdx = t->initialized.vcpu[0].tdvpr);
}

static uint64_t take_add(Takers *t, uint64_t page)
{
    return CALL(t->mc, 0, TDH_MEM_PAGE_ADD, .rcx = DPAMT_GPA, .rdx = t->initialized.tdr,
                .r8 = page, .r9 = t->source);
}

static uint64_t take_aug(Takers *t, uint64_t page)
{
    return dpamt_aug(&t->initialized, DPAMT_GPA + 4096, TDX_4K, page);
}

static uint64_t take_sept(Takers *t, uint64_t page)
{
    return CALL(t->mc, 0, TDH_MEM_SEPT_ADD, .rcx = DPAMT_GPA_2M | TDX_2M,
                .rdx = t->initialized.tdr, .r8 = page);
}

static uint64_t take_relocate(Takers *t, uint64_t page)
{
    return CALL(t->mc, 0, TDH_MEM_PAGE_RELOCATE, .rcx = DPAMT_GPA + 2 * 4096,
                .rdx = t->initialized.tdr, .r8 = page);
}

static uint64_t take_demote(Takers *t, uint64_t page)
{
    return CALL(t->mc, 0, TDH_MEM_PAGE_DEMOTE, .rcx = (DPAMT_GPA_2M + 2 * MIB) | TDX_2M,
                .rdx = t->initialized.tdr, .r8 = page, .r12 = machine_pair_page(t->mc),
                .r13 = machine_pair_page(t->mc));
}

static const struct {
    const char *leaf;
    TakeFn *fn;
    unsigned reg;
    enum pamt_type type;
} takers[] = {
    { "MNG.CREATE", take_tdr, TDX_RCX, PT_TDR },
    { "MNG.ADDCX", take_tdcs, TDX_RCX, PT_TDCX },
    { "VP.CREATE", take_tdvpr, TDX_RCX, PT_TDVPR },
    { "VP.ADDCX", take_tdcx, TDX_RCX, PT_TDCX },
    { "MEM.PAGE.ADD", take_add, TDX_R8, PT_REG },
    { "MEM.PAGE.AUG", take_aug, TDX_R8, PT_REG },
    { "MEM.SEPT.ADD", take_sept, TDX_R8, PT_EPT },
    { "MEM.PAGE.RELOCATE", take_relocate, TDX_R8, PT_REG },
    { "MEM.PAGE.DEMOTE", take_demote, TDX_R8, PT_EPT },
};

static void takers_new(Takers *t)
{
    Machine *mc = t->mc = dpamt_machine(1);
    Life *l = &t->initialized;

    dpamt_td(l, mc);
    l->vcpu[0].tdvpr = machine_page(mc);
    assert_status(CALL(mc, 0, TDH_VP_CREATE, .rcx = l->vcpu[0].tdvpr, .rdx = l->tdr),
                  TDX_SUCCESS);
    life_create(&t->keyed, mc, LIFE_HKID + 1);
    life_key_config(&t->keyed);
    t->source = machine_page(mc);
    life_page_aug(l, DPAMT_GPA + 2 * 4096);
    assert_status(dpamt_aug(l, DPAMT_GPA_2M + 2 * MIB, TDX_2M, machine_2m(mc)),
                  TDX_SUCCESS);
}

/* The page's region has no pair; the page is one of a pair; then it is good. */
static void test_takers(void)
{
    uint64_t region[G_N_ELEMENTS(takers)], pair;
    Machine *mc;
    Takers t;

    takers_new(&t);
    mc = t.mc;
    for (size_t i = 0; i < G_N_ELEMENTS(takers); i++) {
        uint64_t page;

        g_test_message("%s", takers[i].leaf);
        region[i] = machine_2m(mc);
        page = region[i] + 300 * 4096;
        pair = region[i] + 5 * 4096;
        assert_status(takers[i].fn(&t, page),
                      TDX_ST(TDX_MISSING_PAMT_PAGE_PAIR, takers[i].reg));
        dpamt_expect(mc, region[i], DPAMT_NONE);
        assert_status(dpamt_add(mc, region[i], machine_pair_page(mc), pair),
                      TDX_SUCCESS);
        assert_status(takers[i].fn(&t, pair),
                      TDX_ST(TDX_PAGE_METADATA_INCORRECT, takers[i].reg));
        dpamt_expect(mc, region[i], 0);
        assert_status(takers[i].fn(&t, page), TDX_SUCCESS);
        dpamt_expect(mc, region[i], 1);
        assert_status(dpamt_remove(mc, region[i]), TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 1));
        assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = page), TDX_SUCCESS);
        g_assert_cmphex(mc->out.rcx, ==, takers[i].type);
        g_assert_cmphex(mc->out.r8, ==, TDX_4K);
        /* A page in use is refused as without Dynamic PAMT. */
        assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = page, .rdx = LIFE_HKID + 3),
                      METADATA(RCX));
    }
    machine_free(mc);
}

/* --- leaves that give a page back --- */

static void reclaim(Machine *mc, uint64_t page, enum pamt_type type, bool hint)
{
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RECLAIM, .rcx = page), TDX_SUCCESS);
    g_assert_cmphex(mc->out.rcx, ==, type);
    g_assert_cmphex(mc->out.r9, ==, hint ? DPAMT_HINT : 0);
    g_assert_cmphex(mc->out.r8 | mc->out.r10 | mc->out.r11, ==, 0);
}

/* A TD of which every control page lies in one region, S-EPT pages in another. */
static void test_reclaim(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t control = machine_2m(mc), tables = machine_2m(mc), page[16];
    unsigned n = 0;
    Life l = { .mc = mc, .hkid = LIFE_HKID, .tdr = control };

    dpamt_back(mc, control);
    dpamt_back(mc, tables);
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = l.tdr, .rdx = l.hkid), TDX_SUCCESS);
    life_key_config(&l);
    for (; n < TDCS_PAGES; n++) {
        page[n] = control + (n * 60 + 1) * 4096;
        assert_status(CALL(mc, 0, TDH_MNG_ADDCX, .rcx = page[n], .rdx = l.tdr),
                      TDX_SUCCESS);
        dpamt_expect(mc, control, n + 2);
    }
    life_mng_init(&l);
    for (unsigned i = 0; i < 2; i++, n++) {
        page[n] = tables + i * 511 * 4096;
        assert_status(CALL(mc, 0, TDH_MEM_SEPT_ADD, .rcx = TDX_512G - i, .rdx = l.tdr,
                           .r8 = page[n]), TDX_SUCCESS);
        dpamt_expect(mc, tables, i + 1);
    }
    life_release_hkid(&l);
    reclaim(mc, page[--n], PT_EPT, false);
    dpamt_expect(mc, tables, 1);
    reclaim(mc, page[--n], PT_EPT, true);
    dpamt_expect(mc, tables, 0);
    while (n) {
        reclaim(mc, page[--n], PT_TDCX, false);
        dpamt_expect(mc, control, n + 1);
    }
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RECLAIM, .rcx = control + 4096),
                  METADATA(RCX));
    g_assert_cmphex(mc->out.r9, ==, 0);
    reclaim(mc, control, PT_TDR, true);
    /* As Linux does it: the write-back is of a free page whose pair is still there. */
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = control |
                       (uint64_t)MACHINE_GLOBAL_HKID << MACHINE_HKID_SHIFT),
                  TDX_SUCCESS);
    dpamt_unback(mc, control);
    dpamt_unback(mc, tables);
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, 0);
    machine_free(mc);
}

static void test_sept_remove(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t region = machine_2m(mc);
    Life l;

    dpamt_td(&l, mc);
    dpamt_back(mc, region);
    for (unsigned i = 0; i < 2; i++) {
        assert_status(CALL(mc, 0, TDH_MEM_SEPT_ADD, .rcx = (DPAMT_GPA_2M + i * 2 * MIB) |
                           TDX_2M, .rdx = l.tdr, .r8 = region + i * 4096), TDX_SUCCESS);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_status(CALL(mc, 0, TDX_RAX(TDH_MEM_SEPT_REMOVE, i),
                           .rcx = (DPAMT_GPA_2M + i * 2 * MIB) | TDX_2M, .rdx = l.tdr),
                      TDX_SUCCESS);
        g_assert_cmphex(mc->out.rcx, ==, (region + i * 4096) | (i ? DPAMT_HINT : 0));
        dpamt_expect(mc, region, 1 - i);
    }
    machine_free(mc);
}

/* Between regions both counts move, within one neither. */
static void test_relocate(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t a = machine_2m(mc), b = machine_2m(mc), at = a;
    const struct {
        uint64_t to;
        bool hint;
        int in_a, in_b;
    } steps[] = {
        { a + 4096, false, 1, 0 }, { b, true, 0, 1 }, { b + 256 * 4096, false, 0, 1 },
        { a + 511 * 4096, true, 1, 0 },
    };
    Life l;

    dpamt_td(&l, mc);
    dpamt_back(mc, a);
    dpamt_back(mc, b);
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, at), TDX_SUCCESS);
    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
        assert_status(CALL(mc, 0, TDH_MEM_PAGE_RELOCATE, .rcx = DPAMT_GPA, .rdx = l.tdr,
                           .r8 = steps[i].to), TDX_SUCCESS);
        g_assert_cmphex(mc->out.rcx, ==, at | (steps[i].hint ? DPAMT_HINT : 0));
        at = steps[i].to;
        dpamt_expect(mc, a, steps[i].in_a);
        dpamt_expect(mc, b, steps[i].in_b);
    }
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_RELOCATE, .rcx = DPAMT_GPA, .rdx = l.tdr,
                       .r8 = machine_2m(mc)), MISSING(R8));
    dpamt_expect(mc, a, 1);
    machine_free(mc);
}

/* --- 2 MiB pages --- */

static void test_aug_2m(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t free = machine_2m(mc), backed = machine_2m(mc), holed = machine_2m(mc),
             first = machine_2m(mc), p = machine_pair_page(mc);
    Life l;

    dpamt_td(&l, mc);
    dpamt_back(mc, backed);
    /* With a pair, even if nothing is in use. */
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, backed), METADATA(R8));
    /* One of its pages is in a pair, the first or the last; or is reserved. */
    assert_status(dpamt_add(mc, machine_2m(mc), first, holed + 511 * 4096), TDX_SUCCESS);
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, holed), METADATA(R8));
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, first), METADATA(R8));
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, 56 * MIB), METADATA(R8));
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, free + 4096),
                  OPERAND(TDX_OPERAND_INVALID, R8));
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, 2 * GIB),
                  OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, R8));
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, free), TDX_SUCCESS);
    dpamt_expect(mc, free, DPAMT_NONE);
    g_assert_cmpuint(machine_entry_2m(mc, free).type, ==, PT_REG);
    /* It is one page now: no part of it is free, nor is it missing a pair. */
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, free + 4096), METADATA(R8));
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M + 2 * MIB, TDX_2M, free), METADATA(R8));
    assert_status(dpamt_add(mc, free, p, machine_pair_page(mc)),
                  OPERAND(TDX_HPA_RANGE_NOT_FREE, RCX));
    /* No count of 4 KiB pages came to 0: no hint. */
    dpamt_zap(&l, DPAMT_GPA_2M, TDX_2M, free, false);
    dpamt_back(mc, free);
    /* The pair is gone: now the region is free as a whole. */
    dpamt_unback(mc, backed);
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, backed), TDX_SUCCESS);
    machine_free(mc);
}

/* RECLAIM of a 2 MiB page of a TD that is gone: no hint; then it can have a pair. */
static void test_reclaim_2m(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t region = machine_2m(mc);
    Life l;

    dpamt_td(&l, mc);
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, region), TDX_SUCCESS);
    life_release_hkid(&l);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RECLAIM, .rcx = region), TDX_SUCCESS);
    g_assert_cmphex(mc->out.rcx, ==, PT_REG);
    g_assert_cmphex(mc->out.r8, ==, TDX_2M);
    g_assert_cmphex(mc->out.r9, ==, 0);
    dpamt_back(mc, region);
    life_reclaim(&l);
    machine_free(mc);
}

#define AT_2M           (DPAMT_GPA_2M | TDX_2M)

static uint64_t demote(Life *l, uint64_t table, uint64_t p0, uint64_t p1)
{
    return CALL(l->mc, 0, TDH_MEM_PAGE_DEMOTE, .rcx = AT_2M, .rdx = l->tdr, .r8 = table,
                .r12 = p0, .r13 = p1);
}

static void test_demote_errors(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t region = machine_2m(mc), unbacked = machine_2m(mc), other = machine_2m(mc),
             table, p = machine_pair_page(mc), q = machine_pair_page(mc), pair, used;
    Life l;

    dpamt_td(&l, mc);
    table = machine_page(mc);
    pair = dpamt_back(mc, other);
    used = other + 4096;
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, used), TDX_SUCCESS);
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, region), TDX_SUCCESS);
    {
        const struct {
            uint64_t table, p0, p1, status;
        } bad[] = {
            /* The S-EPT page comes first. */
            { table + 8, p + 1, q, OPERAND(TDX_OPERAND_INVALID, R8) },
            { unbacked, p + 1, q, MISSING(R8) },
            { pair, p + 1, q, MISSING(R8) },
            { used, p + 1, q, METADATA(R8) },
            /* Then the pair: forms, places, types, and last the bitmap. */
            { table, p + 1, q + 1, OPERAND(TDX_OPERAND_INVALID, R12) },
            { table, p | BAD_HKID, q, OPERAND(TDX_OPERAND_INVALID, R12) },
            { table, p, q + 2048, OPERAND(TDX_OPERAND_INVALID, R13) },
            { table, p, q | 1ull << 63, OPERAND(TDX_OPERAND_INVALID, R13) },
            { table, 2 * GIB, q + 1, OPERAND(TDX_OPERAND_INVALID, R13) },
            { table, 2 * GIB, q, OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, R12) },
            { table, used, 2 * GIB, OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, R13) },
            { table, pair, used, OPERAND(TDX_PAGE_NOT_FREE, R13) },
            { table, p, 2 * GIB, OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, R13) },
            { table, used, q, OPERAND(TDX_PAGE_NOT_FREE, R12) },
            { table, p, used, OPERAND(TDX_PAGE_NOT_FREE, R13) },
            { table, pair, q, OPERAND(TDX_PAGE_NOT_FREE, R12) },
            { table, p, pair, OPERAND(TDX_PAGE_NOT_FREE, R13) },
            { table, MIB, q, OPERAND(TDX_PAGE_NOT_FREE, R12) },
            { table, p, p, OPERAND(TDX_PAGE_NOT_FREE, R13) },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
            g_test_message("DEMOTE %zu", i);
            assert_status(demote(&l, bad[i].table, bad[i].p0, bad[i].p1), bad[i].status);
            g_assert_cmpuint(machine_entry_2m(mc, region).type, ==, PT_REG);
            g_assert_false(machine_pamt_bit(mc, p) || machine_pamt_bit(mc, q));
        }
    }
    /* The call itself has locked the page. */
    assert_status(demote(&l, table, region, q), OPERAND(TDX_OPERAND_BUSY, R12));
    assert_status(demote(&l, table, p, region + 4096), OPERAND(TDX_OPERAND_BUSY, R13));
    assert_status(demote(&l, region, p, q), OPERAND(TDX_OPERAND_BUSY, R8));
    /* So it has the S-EPT page. */
    assert_status(demote(&l, table, table, q), OPERAND(TDX_OPERAND_BUSY, R12));
    g_assert_false(machine_pamt_bit(mc, p) || machine_pamt_bit(mc, table));
    assert_status(demote(&l, table, p, q), TDX_SUCCESS);
    dpamt_expect(mc, region, 512);
    machine_free(mc);
}

/* 2 MiB to 512 pages and back: the pair that came is the pair that goes. */
static void test_demote_promote(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t region = machine_2m(mc), tables = machine_2m(mc),
             table = tables + 7 * 4096, p = tables + 8 * 4096, q = machine_pair_page(mc);
    TdxPamtStats before, s;
    Life l;

    dpamt_td(&l, mc);
    dpamt_back(mc, tables);
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, region), TDX_SUCCESS);
    tdxmod_pamt_stats(mc->mod, &before);
    assert_status(demote(&l, table, q, p), TDX_SUCCESS);
    dpamt_expect(mc, region, 512);
    dpamt_expect(mc, tables, 1);
    g_assert_true(machine_pamt_bit(mc, p) && machine_pamt_bit(mc, q));
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_cmpuint(s.adds, ==, before.adds + 1);
    g_assert_cmpuint(s.pairs, ==, before.pairs + 1);
    for (unsigned i = 0; i < 512; i += 73) {
        assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = region + i * 4096),
                      TDX_SUCCESS);
        g_assert_cmphex(mc->out.rcx, ==, PT_REG);
        g_assert_cmphex(mc->out.rdx, ==, l.tdr);
        g_assert_cmphex(mc->out.r8 | mc->out.r9, ==, 0);
    }
    /* Not while a page is PENDING; nothing comes back then. */
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_PROMOTE, .rcx = AT_2M, .rdx = l.tdr,
                       .r12 = 12, .r13 = 13),
                  OPERAND(TDX_EPT_INVALID_PROMOTE_CONDITIONS, RCX));
    dpamt_expect(mc, region, 512);
    for (unsigned i = 0; i < 512; i++) {
        g_assert_true(life_accept(&l, DPAMT_GPA_2M + i * 4096, TDX_4K));
    }
    assert_status(CALL(mc, 0, TDX_RAX(TDH_MEM_PAGE_PROMOTE, 1), .rcx = AT_2M,
                       .rdx = l.tdr, .r12 = 12, .r13 = 13), TDX_SUCCESS);
    g_assert_cmphex(mc->out.rcx, ==, table | DPAMT_HINT);
    g_assert_cmphex(mc->out.rdx, ==, 0);
    g_assert_cmphex(mc->out.r12, ==, q);
    g_assert_cmphex(mc->out.r13, ==, p);
    dpamt_expect(mc, region, DPAMT_NONE);
    dpamt_expect(mc, tables, 0);
    g_assert_cmpuint(machine_entry_2m(mc, region).type, ==, PT_REG);
    g_assert_false(machine_pamt_bit(mc, p) || machine_pamt_bit(mc, q));
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_cmpuint(s.removes, ==, before.removes + 1);
    dpamt_zap(&l, DPAMT_GPA_2M, TDX_2M, region, false);
    machine_free(mc);
}

/* The pages of a page that was split go one by one, and the last one says so. */
static void test_demote_and_remove(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t region = machine_2m(mc), p = machine_pair_page(mc),
             q = machine_pair_page(mc);
    Life l;

    dpamt_td(&l, mc);
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, region), TDX_SUCCESS);
    assert_status(demote(&l, machine_page(mc), p, q), TDX_SUCCESS);
    for (unsigned i = 512; i-- > 0;) {
        dpamt_zap(&l, DPAMT_GPA_2M + i * 4096, TDX_4K, region + i * 4096, i == 0);
        dpamt_expect(mc, region, i);
    }
    dpamt_unback(mc, region);
    machine_free(mc);
}

/* --- looking at pages --- */

typedef struct View {
    uint64_t rcx, status, type, rdx, r8, r10, r11;
} View;

#define NON_LEAF        (1ull << 63)

static void test_rdmd(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t backed = machine_2m(mc), none = machine_2m(mc), large = machine_2m(mc),
             pair = none + 4096, q = backed + 3 * 4096;
    Life l;

    dpamt_td(&l, mc);
    assert_status(dpamt_add(mc, backed, pair, q), TDX_SUCCESS);
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, backed), TDX_SUCCESS);
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, large), TDX_SUCCESS);
    {
        const View views[] = {
            { .rcx = backed, .type = PT_REG, .rdx = l.tdr },
            { .rcx = backed + 4096, .type = PT_NDA },
            /* A page of a pair, in a region with a pair and in one without. */
            { .rcx = q, .type = PT_PAMT },
            { .rcx = pair, .type = PT_PAMT },
            /* No 4K entry: the 2M entry says that it is free. */
            { .rcx = none, .type = PT_NDA, .r8 = TDX_2M },
            { .rcx = none | TDX_2M, .type = PT_NDA, .r8 = TDX_2M },
            /* The region itself. */
            { .rcx = backed | TDX_2M, .type = PT_PAMT | NON_LEAF, .r8 = TDX_2M,
              .r10 = pair, .r11 = q },
            { .rcx = large | TDX_2M, .type = PT_REG, .rdx = l.tdr, .r8 = TDX_2M },
            { .rcx = large + 4096, .type = PT_REG, .rdx = l.tdr, .r8 = TDX_2M },
            { .rcx = l.tdr, .type = PT_TDR },
            { .rcx = backed | 3, .status = OPERAND(TDX_OPERAND_INVALID, RCX) },
            { .rcx = backed | 8, .status = OPERAND(TDX_OPERAND_INVALID, RCX) },
            { .rcx = backed | BAD_HKID, .status = OPERAND(TDX_OPERAND_INVALID, RCX) },
            { .rcx = 2 * GIB, .status = OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX) },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(views); i++) {
            const View *v = &views[i];

            g_test_message("RDMD 0x%" PRIx64, v->rcx);
            assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = v->rcx), v->status);
            g_assert_cmphex(mc->out.rcx, ==, v->type);
            g_assert_cmphex(mc->out.rdx, ==, v->rdx);
            g_assert_cmphex(mc->out.r8, ==, v->r8);
            g_assert_cmphex(mc->out.r9, ==, 0);
            g_assert_cmphex(mc->out.r10, ==, v->r10);
            g_assert_cmphex(mc->out.r11, ==, v->r11);
        }
    }
    assert_status(CALL(mc, 0, TDH_MEM_RANGE_BLOCK, .rcx = DPAMT_GPA, .rdx = l.tdr),
                  TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = backed), TDX_SUCCESS);
    g_assert_cmphex(mc->out.r9, ==, 1);         /* TD_EPOCH at first */
    machine_free(mc);
}

/* Of free pages only; a page without a 4K entry has nothing to say that it is free. */
static void test_wbinvd(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t backed = machine_2m(mc), none = machine_2m(mc), q = backed + 4096,
             key = (uint64_t)LIFE_HKID << MACHINE_HKID_SHIFT;
    Life l;

    dpamt_td(&l, mc);
    assert_status(dpamt_add(mc, backed, machine_pair_page(mc), q), TDX_SUCCESS);
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, backed), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = backed | key),
                  METADATA(RCX));
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = q | key), METADATA(RCX));
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = none | key), MISSING(RCX));
    dpamt_zap(&l, DPAMT_GPA, TDX_4K, backed, true);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = backed | key), TDX_SUCCESS);
    dpamt_unback(mc, backed);
    machine_free(mc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dpamt-leaves/takers", test_takers);
    g_test_add_func("/dpamt-leaves/reclaim", test_reclaim);
    g_test_add_func("/dpamt-leaves/sept-remove", test_sept_remove);
    g_test_add_func("/dpamt-leaves/relocate", test_relocate);
    g_test_add_func("/dpamt-leaves/aug-2m", test_aug_2m);
    g_test_add_func("/dpamt-leaves/reclaim-2m", test_reclaim_2m);
    g_test_add_func("/dpamt-leaves/demote-errors", test_demote_errors);
    g_test_add_func("/dpamt-leaves/demote-promote", test_demote_promote);
    g_test_add_func("/dpamt-leaves/demote-and-remove", test_demote_and_remove);
    g_test_add_func("/dpamt-leaves/rdmd", test_rdmd);
    g_test_add_func("/dpamt-leaves/wbinvd", test_wbinvd);
    return g_test_run();
}
