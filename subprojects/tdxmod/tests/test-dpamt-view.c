/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT as a developer sees it: tdxmod_pamt_stats(), tdxmod_pamt_region(),
 * tdxmod_pamt_failures() and the log.
 */
#include "dpamt.h"

/* The next calls come from this LP. */
static uint64_t add_on(Machine *mc, unsigned lp, uint64_t region, uint64_t p, uint64_t q)
{
    return CALL(mc, lp, TDH_PHYMEM_PAMT_ADD, .rcx = region | TDX_2M, .rdx = p, .r8 = q);
}

static uint64_t remove_on(Machine *mc, unsigned lp, uint64_t region)
{
    return CALL(mc, lp, TDH_PHYMEM_PAMT_REMOVE, .rcx = region | TDX_2M);
}

static TdxPamtRegion region_at(Machine *mc, uint64_t pa)
{
    TdxPamtRegion r;

    g_assert_true(tdxmod_pamt_region(mc->mod, pa, &r));
    g_assert_cmphex(r.pa, ==, pa);
    return r;
}

static void is_call(const TdxPamtCall *c, const char *leaf, unsigned lp, uint64_t status,
                    uint64_t page, uint64_t rip)
{
    g_assert_cmpuint(c->number, >, 0);
    g_assert_cmpstr(c->leaf, ==, leaf);
    g_assert_cmpuint(c->lp, ==, lp);
    g_assert_cmphex(c->status, ==, status);
    g_assert_cmphex(c->page, ==, page);
    g_assert_cmphex(c->site.rip, ==, rip);
    g_assert_cmphex(c->site.rsp, ==, MACHINE_RSP);
    g_assert_cmphex(c->site.caller[0], ==, rip + 1);
    g_assert_cmphex(c->site.caller[1], ==, rip + 2);
    g_assert_cmphex(c->site.caller[2], ==, 0);
}

/* Who gave and took the pair, who assigned and freed a page: the last of each. */
static void test_calls(void)
{
    Machine *mc = dpamt_machine(3);
    uint64_t region = machine_2m(mc), p = machine_pair_page(mc),
             q = machine_pair_page(mc), rip[4];
    TdxPamtRegion r;
    Life l;

    dpamt_td(&l, mc);
    for (unsigned round = 0; round < 2; round++) {
        uint64_t page = region + (round + 1) * 4096;

        assert_status(add_on(mc, round, region, p, q), TDX_SUCCESS);
        rip[0] = machine_rip();
        r = region_at(mc, region);
        g_assert_cmpint(r.assign.number != 0, ==, round);       /* a new life */
        assert_status(CALL(mc, round + 1, TDH_MEM_PAGE_AUG, .rcx = DPAMT_GPA,
                           .rdx = l.tdr, .r8 = page), TDX_SUCCESS);
        rip[1] = machine_rip();
        r = region_at(mc, region);
        is_call(&r.add, "TDH.PHYMEM.PAMT.ADD", round, 0, 0, rip[0]);
        is_call(&r.assign, "TDH.MEM.PAGE.AUG", round + 1, 0, page, rip[1]);
        g_assert_cmpuint(r.assign.number, >, r.add.number);
        assert_status(CALL(mc, 2 - round, TDH_MEM_PAGE_REMOVE, .rcx = DPAMT_GPA,
                           .rdx = l.tdr), TDX_SUCCESS);
        rip[2] = machine_rip();
        assert_status(remove_on(mc, 1, region), TDX_SUCCESS);
        rip[3] = machine_rip();
        r = region_at(mc, region);
        g_assert_false(r.backed);
        g_assert_cmphex(r.pair[0] | r.pair[1] | r.count | r.recount, ==, 0);
        is_call(&r.release, "TDH.MEM.PAGE.REMOVE", 2 - round, 0, page, rip[2]);
        is_call(&r.remove, "TDH.PHYMEM.PAMT.REMOVE", 1, 0, 0, rip[3]);
        is_call(&r.add, "TDH.PHYMEM.PAMT.ADD", round, 0, 0, rip[0]);
        g_assert_cmpuint(r.remove.number, >, r.release.number);
        g_assert_cmpuint(r.release.number, >, r.assign.number);
    }
    machine_free(mc);
}

/* DEMOTE gives a pair and PROMOTE takes it; of a 2 MiB page the call is told too. */
static void test_resize(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t region = machine_2m(mc), p = machine_pair_page(mc),
             q = machine_pair_page(mc), table, rip;
    TdxPamtRegion r;
    Life l;

    dpamt_td(&l, mc);
    table = machine_page(mc);
    dpamt_back(mc, region);
    dpamt_unback(mc, region);
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, region), TDX_SUCCESS);
    rip = machine_rip();
    r = region_at(mc, region);
    is_call(&r.assign, "TDH.MEM.PAGE.AUG", 0, 0, region, rip);
    g_assert_true(life_accept(&l, DPAMT_GPA_2M, TDX_2M));
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_DEMOTE, .rcx = DPAMT_GPA_2M | TDX_2M,
                       .rdx = l.tdr, .r8 = table, .r12 = p, .r13 = q), TDX_SUCCESS);
    rip = machine_rip();
    r = region_at(mc, region);
    g_assert_cmphex(r.pair[0], ==, p);
    g_assert_cmphex(r.pair[1], ==, q);
    g_assert_cmpuint(r.count, ==, 512);
    g_assert_cmpuint(r.recount, ==, 512);
    is_call(&r.add, "TDH.MEM.PAGE.DEMOTE", 0, 0, 0, rip);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_PROMOTE, .rcx = DPAMT_GPA_2M | TDX_2M,
                       .rdx = l.tdr), TDX_SUCCESS);
    rip = machine_rip();
    r = region_at(mc, region);
    g_assert_false(r.backed);
    is_call(&r.remove, "TDH.MEM.PAGE.PROMOTE", 0, 0, 0, rip);
    dpamt_zap(&l, DPAMT_GPA_2M, TDX_2M, region, false);
    rip = machine_rip();
    r = region_at(mc, region);
    is_call(&r.release, "TDH.MEM.PAGE.REMOVE", 0, 0, region, rip);
    machine_free(mc);
}

/* From an address up, in order; also those whose pair is gone. */
static void test_walk(void)
{
    Machine *mc = dpamt_machine(1);
    const uint64_t at[] = { 26 * MIB, 30 * MIB, 32 * MIB, GIB + 8 * MIB };
    uint64_t pa = 0;
    TdxPamtRegion r;
    size_t n = 0;

    g_assert_false(tdxmod_pamt_region(mc->mod, 0, &r));
    for (size_t i = G_N_ELEMENTS(at); i-- > 0;) {
        dpamt_back(mc, at[i]);
    }
    dpamt_unback(mc, at[1]);
    for (; tdxmod_pamt_region(mc->mod, pa, &r); pa = r.pa + 1) {
        g_assert_cmpuint(n, <, G_N_ELEMENTS(at));
        g_assert_cmphex(r.pa, ==, at[n]);
        g_assert_cmpint(r.backed, ==, n != 1);
        n++;
    }
    g_assert_cmpuint(n, ==, G_N_ELEMENTS(at));
    g_assert_true(tdxmod_pamt_region(mc->mod, at[3], &r));
    g_assert_false(tdxmod_pamt_region(mc->mod, at[3] + 1, &r));
    g_assert_false(tdxmod_pamt_region(mc->mod, UINT64_MAX, &r));
    machine_free(mc);
}

/* --- failures --- */

static TdxPamtFailure last_failure(Machine *mc)
{
    TdxPamtFailure f[64];
    unsigned n = tdxmod_pamt_failures(mc->mod, f, G_N_ELEMENTS(f));

    g_assert_cmpuint(n, >, 0);
    return f[n - 1];
}

/* The log names the leaf and the region; where L1 was is the platform's to add. */
static void logged(Machine *mc, const char *leaf, uint64_t region)
{
    g_autofree char *hex = g_strdup_printf("0x%" PRIx64, region);

    g_assert_nonnull(strstr(mc->last_log, leaf));
    g_assert_nonnull(strstr(mc->last_log, hex));
}

static void test_failures(void)
{
    Machine *mc = dpamt_machine(2);
    uint64_t region = machine_2m(mc), other = machine_2m(mc), page = region + 7 * 4096,
             p = machine_pair_page(mc), q = machine_pair_page(mc), rip, assign_rip,
             remove_rip, add_rip;
    unsigned errors = mc->errors;
    TdxPamtFailure f;
    Life l;

    dpamt_td(&l, mc);
    g_assert_cmpuint(tdxmod_pamt_failures(mc->mod, &f, 1), ==, 0);
    /* A page of a region that never had a pair: there is no other call. */
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, page),
                  OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, R8));
    f = last_failure(mc);
    g_assert_cmphex(f.region, ==, region);
    is_call(&f.call, "TDH.MEM.PAGE.AUG", 0, OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, R8),
            page, machine_rip());
    g_assert_cmpuint(f.other.number, ==, 0);
    logged(mc, "TDH.MEM.PAGE.AUG", region);
    /* A pair twice. */
    assert_status(add_on(mc, 1, region, p, q), TDX_SUCCESS);
    add_rip = machine_rip();
    assert_status(add_on(mc, 0, region, machine_pair_page(mc), machine_pair_page(mc)),
                  OPERAND(TDX_HPA_RANGE_NOT_FREE, RCX));
    f = last_failure(mc);
    g_assert_cmphex(f.region, ==, region);
    is_call(&f.call, "TDH.PHYMEM.PAMT.ADD", 0, OPERAND(TDX_HPA_RANGE_NOT_FREE, RCX), 0,
            machine_rip());
    is_call(&f.other, "TDH.PHYMEM.PAMT.ADD", 1, 0, 0, add_rip);
    g_assert_cmpuint(f.call.number, >, f.other.number);
    logged(mc, "TDH.PHYMEM.PAMT.ADD", region);
    /* The same page for two pairs: at odds with the pair that has it. */
    assert_status(add_on(mc, 0, other, q, machine_pair_page(mc)),
                  OPERAND(TDX_PAGE_NOT_FREE, RDX));
    f = last_failure(mc);
    g_assert_cmphex(f.region, ==, other);
    is_call(&f.call, "TDH.PHYMEM.PAMT.ADD", 0, OPERAND(TDX_PAGE_NOT_FREE, RDX), q,
            machine_rip());
    is_call(&f.other, "TDH.PHYMEM.PAMT.ADD", 1, 0, 0, add_rip);
    logged(mc, "TDH.PHYMEM.PAMT.ADD", other);
    /* A pair in use is removed. */
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, page), TDX_SUCCESS);
    assign_rip = machine_rip();
    assert_status(remove_on(mc, 1, region), TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 0));
    f = last_failure(mc);
    g_assert_cmphex(f.region, ==, region);
    is_call(&f.call, "TDH.PHYMEM.PAMT.REMOVE", 1, TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 0),
            page, machine_rip());
    is_call(&f.other, "TDH.MEM.PAGE.AUG", 0, 0, page, assign_rip);
    logged(mc, "TDH.PHYMEM.PAMT.REMOVE", region);
    /* A page of a TD for a pair: at odds with who assigned it. */
    assert_status(add_on(mc, 0, other, machine_pair_page(mc), page),
                  OPERAND(TDX_PAGE_NOT_FREE, R8));
    f = last_failure(mc);
    g_assert_cmphex(f.region, ==, other);
    g_assert_cmphex(f.call.page, ==, page);
    is_call(&f.other, "TDH.MEM.PAGE.AUG", 0, 0, page, assign_rip);
    /* Twice removed; and used after that. */
    dpamt_zap(&l, DPAMT_GPA, TDX_4K, page, true);
    assert_status(remove_on(mc, 1, region), TDX_SUCCESS);
    remove_rip = machine_rip();
    assert_status(remove_on(mc, 0, region), OPERAND(TDX_NO_PAMT_PAGE_PAIR, RCX));
    rip = machine_rip();
    f = last_failure(mc);
    is_call(&f.call, "TDH.PHYMEM.PAMT.REMOVE", 0, OPERAND(TDX_NO_PAMT_PAGE_PAIR, RCX), 0,
            rip);
    is_call(&f.other, "TDH.PHYMEM.PAMT.REMOVE", 1, 0, 0, remove_rip);
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, page),
                  OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, R8));
    f = last_failure(mc);
    g_assert_cmphex(f.region, ==, region);
    is_call(&f.other, "TDH.PHYMEM.PAMT.REMOVE", 1, 0, 0, remove_rip);
    /* One line for each. */
    g_assert_cmpuint(mc->errors, ==, errors + 7);
    machine_free(mc);
}

static void count_of(const TdxPamtStats *s, uint64_t status, uint64_t add,
                     uint64_t removed)
{
    for (unsigned i = 0; i < TDXMOD_PAMT_STATUSES; i++) {
        if (s->failed[i].status == status) {
            g_assert_cmpuint(s->failed[i].add, ==, add);
            g_assert_cmpuint(s->failed[i].remove, ==, removed);
            return;
        }
    }
    g_error("status 0x%" PRIx64 " is not counted", status);
}

static void test_failed_by_status(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t region = machine_2m(mc), p = machine_pair_page(mc);
    TdxPamtStats s;

    assert_status(dpamt_add(mc, region, p, p), OPERAND(TDX_PAGE_NOT_FREE, R8));
    assert_status(dpamt_add(mc, region, MIB, p), OPERAND(TDX_PAGE_NOT_FREE, RDX));
    assert_status(dpamt_add(mc, region + 4096, p, p), OPERAND(TDX_OPERAND_INVALID, RCX));
    assert_status(dpamt_add(mc, region, p + 1, p), OPERAND(TDX_OPERAND_INVALID, RDX));
    assert_status(dpamt_remove(mc, region + 4096), OPERAND(TDX_OPERAND_INVALID, RCX));
    assert_status(dpamt_remove(mc, region), OPERAND(TDX_NO_PAMT_PAGE_PAIR, RCX));
    assert_status(dpamt_remove(mc, 2 * GIB), OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX));
    /* Not PAMT.ADD nor REMOVE: among the failures, but not in this list. */
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = region, .rdx = LIFE_HKID),
                  OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, RCX));
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_cmpuint(s.failures, ==, 8);
    count_of(&s, TDX_PAGE_NOT_FREE, 2, 0);
    count_of(&s, TDX_OPERAND_INVALID, 2, 1);
    count_of(&s, TDX_NO_PAMT_PAGE_PAIR, 0, 1);
    count_of(&s, TDX_OPERAND_ADDR_RANGE_ERROR, 0, 1);
    g_assert_cmphex(s.failed[4].status, ==, 0);
    g_assert_cmpuint(s.adds | s.removes | s.pairs, ==, 0);
    machine_free(mc);
}

/* The last ones, oldest first, however many there were. */
static void test_many_failures(void)
{
    Machine *mc = dpamt_machine(1);
    TdxPamtFailure f[300];
    TdxPamtStats s;
    unsigned n;

    for (unsigned i = 0; i < 300; i++) {
        dpamt_remove(mc, 24 * MIB + i % 16 * 2 * MIB);
    }
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_cmpuint(s.failures, ==, 300);
    n = tdxmod_pamt_failures(mc->mod, f, 300);
    g_assert_cmpuint(n, >=, 16);
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmphex(f[i].region, ==, 24 * MIB + (300 - n + i) % 16 * 2 * MIB);
        g_assert_cmpint(i == 0 || f[i].call.number > f[i - 1].call.number, ==, true);
    }
    g_assert_cmpuint(tdxmod_pamt_failures(mc->mod, f, 3), ==, 3);
    g_assert_cmphex(f[2].region, ==, 24 * MIB + 299 % 16 * 2 * MIB);
    g_assert_cmpuint(tdxmod_pamt_failures(mc->mod, f, 0), ==, 0);
    machine_free(mc);
}

/* --- figures --- */

static void test_figures(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t region[5];
    TdxPamtStats s;

    for (unsigned i = 0; i < 5; i++) {
        region[i] = machine_2m(mc);
        dpamt_back(mc, region[i]);
    }
    dpamt_unback(mc, region[0]);
    dpamt_unback(mc, region[1]);
    dpamt_back(mc, region[0]);
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_cmpuint(s.pairs, ==, 4);
    g_assert_cmpuint(s.peak, ==, 5);
    g_assert_cmpuint(s.adds, ==, 6);
    g_assert_cmpuint(s.removes, ==, 2);
    g_assert_cmpuint(s.placed_unbacked, ==, 12);
    /* In its own region, in one with a pair. */
    assert_status(dpamt_add(mc, region[1], region[1], region[2]), TDX_SUCCESS);
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_cmpuint(s.placed_own, ==, 1);
    g_assert_cmpuint(s.placed_backed, ==, 1);
    g_assert_cmpuint(s.placed_unbacked, ==, 12);
    machine_free(mc);
}

static unsigned deepest(Machine *mc)
{
    TdxPamtStats s;

    tdxmod_pamt_stats(mc->mod, &s);
    return s.deepest;
}

/* As Linux maps a page: for each missing level a pair and a table, then the page. */
static void test_deepest(void)
{
    Machine *mc = dpamt_machine(2);
    uint64_t region[6], gpa = 3ull << 39;
    Life l;

    mc->auto_back = true;
    life_build(&l, mc, LIFE_HKID);
    mc->auto_back = false;
    g_assert_cmpuint(deepest(mc), ==, 0);
    for (unsigned i = 0; i < 6; i++) {
        region[i] = machine_2m(mc);
    }
    for (unsigned i = 0; i < 3; i++) {
        dpamt_back(mc, region[i]);
        assert_status(CALL(mc, 0, TDH_MEM_SEPT_ADD, .rcx = gpa | (TDX_512G - i),
                           .rdx = l.tdr, .r8 = region[i]), TDX_SUCCESS);
        g_assert_cmpuint(deepest(mc), ==, 0);
    }
    dpamt_back(mc, region[3]);
    assert_status(dpamt_aug(&l, gpa, TDX_4K, region[3]), TDX_SUCCESS);
    g_assert_cmpuint(deepest(mc), ==, 4);
    /* The next page starts from 0, and needs one; it is not more. */
    dpamt_back(mc, region[4]);
    assert_status(dpamt_aug(&l, gpa + 4096, TDX_4K, region[4]), TDX_SUCCESS);
    assert_status(dpamt_aug(&l, gpa + 8192, TDX_4K, region[4] + 4096), TDX_SUCCESS);
    g_assert_cmpuint(deepest(mc), ==, 4);
    machine_free(mc);
}

/* Two threads of L1 on one LP: one after the other, their pairs are not added up. */
static void test_deepest_threads(void)
{
    Machine *mc = dpamt_machine(2);
    uint64_t region[4];
    Life l;

    dpamt_td(&l, mc);
    for (unsigned i = 0; i < 4; i++) {
        region[i] = machine_2m(mc);
    }
    dpamt_back(mc, region[0]);
    machine_set_rsp(MACHINE_RSP + 0x10000);
    dpamt_back(mc, region[1]);
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, region[1]), TDX_SUCCESS);
    machine_set_rsp(MACHINE_RSP);
    g_assert_cmpuint(deepest(mc), ==, 1);
    /* Two LPs: each has its own. */
    assert_status(add_on(mc, 0, region[2], machine_pair_page(mc), machine_pair_page(mc)),
                  TDX_SUCCESS);
    assert_status(add_on(mc, 1, region[3], machine_pair_page(mc), machine_pair_page(mc)),
                  TDX_SUCCESS);
    assert_status(dpamt_aug(&l, DPAMT_GPA + 4096, TDX_4K, region[2]), TDX_SUCCESS);
    g_assert_cmpuint(deepest(mc), ==, 1);
    machine_free(mc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dpamt-view/calls", test_calls);
    g_test_add_func("/dpamt-view/resize", test_resize);
    g_test_add_func("/dpamt-view/walk", test_walk);
    g_test_add_func("/dpamt-view/failures", test_failures);
    g_test_add_func("/dpamt-view/failed-by-status", test_failed_by_status);
    g_test_add_func("/dpamt-view/many-failures", test_many_failures);
    g_test_add_func("/dpamt-view/figures", test_figures);
    g_test_add_func("/dpamt-view/deepest", test_deepest);
    g_test_add_func("/dpamt-view/deepest-threads", test_deepest_threads);
    return g_test_run();
}
