/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT: TDH.PHYMEM.PAMT.ADD and REMOVE with every error, in the order of the
 * ABI's checks, and the count of a 2 MiB region's pages.
 */
#include "dpamt.h"

#define BAD_HKID        (1ull << MACHINE_HKID_SHIFT)

/* The entry, the bitmap, the pages and the registers, bit by bit. */
static void test_add_remove(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t region = machine_2m(mc), p0 = machine_page(mc), p1 = machine_page(mc);
    const Regs add = { region | TDX_2M, p1, p0, 9, 10, 11, 12, 13 };
    const Regs remove = { region | TDX_2M, 2, 8, 9, 10, 11, 12, 13 };
    Regs want = add;
    MachineEntry2m e;

    memset(machine_ptr(mc, p0, 8192), 0xa5, 8192);
    assert_status(seamcall(mc, 0, TDH_PHYMEM_PAMT_ADD, add), TDX_SUCCESS);
    g_assert_cmpmem(&mc->out, sizeof(Regs), &want, sizeof(Regs));
    e = machine_entry_2m(mc, region);
    /* The higher page first: no order is asked for. */
    g_assert_cmphex(e.words[0], ==, p1 >> 12 << 28 | 15 << 16);
    g_assert_cmphex(e.words[1], ==, p0 >> 12 << 28);
    for (unsigned i = 0; i < 8192; i += 8) {
        g_assert_cmphex(*(uint64_t *)machine_ptr(mc, p0 + i, 8), ==, 0);
    }
    g_assert_true(machine_pamt_bit(mc, p0) && machine_pamt_bit(mc, p1));
    dpamt_expect(mc, region, 0);

    assert_status(seamcall(mc, 0, TDH_PHYMEM_PAMT_REMOVE, remove), TDX_SUCCESS);
    want = remove;
    want.rdx = p1;
    want.r8 = p0;
    g_assert_cmpmem(&mc->out, sizeof(Regs), &want, sizeof(Regs));
    g_assert_cmphex(e.words[0] | e.words[1], ==, 0);
    g_assert_false(machine_pamt_bit(mc, p0) || machine_pamt_bit(mc, p1));
    dpamt_expect(mc, region, DPAMT_NONE);
    /* It can all be done again; the pages are as free as any. */
    assert_status(dpamt_add(mc, region, p0, p1), TDX_SUCCESS);
    dpamt_unback(mc, region);
    machine_free(mc);
}

typedef struct Case {
    uint64_t rcx, rdx, r8, status;
} Case;

/* None of these changes anything, not even a register but RAX. */
static void refused(Machine *mc, const Case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const Case *k = &cases[i];
        const Regs in = { k->rcx, k->rdx, k->r8, 9, 10, 11, 12, 13 };

        g_test_message("ADD %zu: 0x%" PRIx64 " 0x%" PRIx64 " 0x%" PRIx64, i, k->rcx,
                       k->rdx, k->r8);
        assert_status(seamcall(mc, 0, TDH_PHYMEM_PAMT_ADD, in), k->status);
        g_assert_cmpmem(&mc->out, sizeof(Regs), &in, sizeof(Regs));
    }
}

#define REFUSED(mc, ...) \
    refused(mc, (const Case[]){ __VA_ARGS__ }, \
            sizeof((const Case[]){ __VA_ARGS__ }) / sizeof(Case))
#define INVALID(reg)    OPERAND(TDX_OPERAND_INVALID, reg)
#define OUTSIDE(reg)    OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, reg)
#define NOT_FREE(reg)   OPERAND(TDX_PAGE_NOT_FREE, reg)
#define RANGE_NOT_FREE  OPERAND(TDX_HPA_RANGE_NOT_FREE, RCX)

static void test_add_operands(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t region = machine_2m(mc), r = region | TDX_2M, p = machine_page(mc),
             q = machine_page(mc);

    REFUSED(mc,
            /* Each operand by itself */
            { region, p, q, INVALID(RCX) }, { region | 2, p, q, INVALID(RCX) },
            { region | 3, p, q, INVALID(RCX) }, { region | 7, p, q, INVALID(RCX) },
            { r | 8, p, q, INVALID(RCX) }, { r | 0x800, p, q, INVALID(RCX) },
            { r + 4096, p, q, INVALID(RCX) }, { r + MIB, p, q, INVALID(RCX) },
            { r | BAD_HKID, p, q, INVALID(RCX) }, { r | 1ull << 45, p, q, INVALID(RCX) },
            { r | 1ull << 63, p, q, INVALID(RCX) },
            { r, p + 1, q, INVALID(RDX) }, { r, p + 2048, q, INVALID(RDX) },
            { r, p | BAD_HKID, q, INVALID(RDX) },
            { r, p | 1ull << 63, q, INVALID(RDX) },
            { r, p, q + 1, INVALID(R8) }, { r, p, q + 2048, INVALID(R8) },
            { r, p, q | BAD_HKID, INVALID(R8) }, { r, p, q | 1ull << 52, INVALID(R8) },
            { r, 2 * GIB, q, OUTSIDE(RDX) }, { r, BAD_HKID - 4096, q, OUTSIDE(RDX) },
            { r, p, 2 * GIB, OUTSIDE(R8) },
            { 2 * GIB | TDX_2M, p, q, OUTSIDE(RCX) },
            /* Two at once: in this order. */
            { r + 4096, 1, 2 * GIB, INVALID(RCX) },
            { r, p + 1, q + 1, INVALID(RDX) },
            { r, 2 * GIB, q + 1, OUTSIDE(RDX) },
            { 2 * GIB | TDX_2M, p, q + 1, INVALID(R8) },
            { 2 * GIB | TDX_2M, p, 2 * GIB, OUTSIDE(R8) },
            { 2 * GIB | TDX_2M, p, p, OUTSIDE(RCX) });
    g_assert_false(machine_pamt_bit(mc, p) || machine_pamt_bit(mc, q));
    dpamt_expect(mc, region, DPAMT_NONE);
    machine_free(mc);
}

static void test_not_free(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t region = machine_2m(mc), other = machine_2m(mc), large = machine_2m(mc),
             r = region | TDX_2M, p = machine_pair_page(mc), q = machine_pair_page(mc),
             pair, used;
    Life l;

    dpamt_td(&l, mc);
    pair = dpamt_back(mc, other);
    used = other + 17 * 4096;
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, used), TDX_SUCCESS);
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, large), TDX_SUCCESS);
    REFUSED(mc,
            /* The region has a pair, or is one page; said before the pages are seen. */
            { other | TDX_2M, p, q, RANGE_NOT_FREE },
            { large | TDX_2M, p, q, RANGE_NOT_FREE },
            { other | TDX_2M, used, used, RANGE_NOT_FREE },
            /* A page of a TD, of a pair, of a 2 MiB page, of a reserved area. */
            { r, used, q, NOT_FREE(RDX) }, { r, p, used, NOT_FREE(R8) },
            { r, pair, q, NOT_FREE(RDX) }, { r, p, pair, NOT_FREE(R8) },
            { r, p, pair + 4096, NOT_FREE(R8) },
            /* The types of both pages come before the bitmap. */
            { r, pair, used, NOT_FREE(R8) },
            { r, large + 4096, q, NOT_FREE(RDX) }, { r, p, large, NOT_FREE(R8) },
            { r, MIB, q, NOT_FREE(RDX) }, { r, p, 60 * MIB, NOT_FREE(R8) },
            /* The same page twice, wherever it is. */
            { r, p, p, NOT_FREE(R8) }, { r, region, region, NOT_FREE(R8) },
            { r, other, other, NOT_FREE(R8) },
            { r, used, used, NOT_FREE(RDX) });
    /* What was taken first was given back each time. */
    g_assert_false(machine_pamt_bit(mc, p) || machine_pamt_bit(mc, region) ||
                   machine_pamt_bit(mc, other));
    assert_status(dpamt_add(mc, region, p, q), TDX_SUCCESS);
    dpamt_expect(mc, region, 0);
    dpamt_expect(mc, other, 1);
    machine_free(mc);
}

/* Pairs in the region that they serve, in one without a pair and in one with. */
static void test_placement(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t a = machine_2m(mc), b = machine_2m(mc), c = machine_2m(mc);
    TdxPamtStats s;
    Life l;

    dpamt_td(&l, mc);
    assert_status(dpamt_add(mc, a, a + 511 * 4096, b), TDX_SUCCESS);
    assert_status(dpamt_add(mc, c, a, a + 256 * 4096), TDX_SUCCESS);
    dpamt_expect(mc, a, 0);
    dpamt_expect(mc, c, 0);
    dpamt_expect(mc, b, DPAMT_NONE);
    /* None of them is to be had: b has no pair, so that is said of it. */
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, a + 511 * 4096),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, R8));
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, a),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, R8));
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, b),
                  OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, R8));
    dpamt_back(mc, b);
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, b),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, R8));
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, b + 4096), TDX_SUCCESS);
    dpamt_expect(mc, b, 1);
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_cmpuint(s.placed_own, ==, 1);
    g_assert_cmpuint(s.placed_backed, ==, 2);
    /* A region whose pages back others loses its own pair first. */
    dpamt_unback(mc, a);
    g_assert_true(machine_pamt_bit(mc, a));
    dpamt_unback(mc, c);
    g_assert_false(machine_pamt_bit(mc, a));
    /* The page that b's own neighbour used is free now. */
    assert_status(dpamt_aug(&l, DPAMT_GPA + 4096, TDX_4K, b), TDX_SUCCESS);
    dpamt_expect(mc, b, 2);
    machine_free(mc);
}

static void test_remove_errors(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t region = machine_2m(mc), other = machine_2m(mc), large = machine_2m(mc),
             r = region | TDX_2M;
    const struct {
        uint64_t rcx, status;
    } bad[] = {
        { region, INVALID(RCX) }, { region | TDX_1G, INVALID(RCX) },
        { r | 8, INVALID(RCX) }, { r + 4096, INVALID(RCX) },
        { r | BAD_HKID, INVALID(RCX) }, { r | 1ull << 63, INVALID(RCX) },
        { 2 * GIB | TDX_2M, OUTSIDE(RCX) },
        { other | TDX_2M, OPERAND(TDX_NO_PAMT_PAGE_PAIR, RCX) },
        { large | TDX_2M, OPERAND(TDX_NO_PAMT_PAGE_PAIR, RCX) },
        { r, TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 0) },
    };
    Life l;

    dpamt_td(&l, mc);
    dpamt_back(mc, region);
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, region + 255 * 4096), TDX_SUCCESS);
    assert_status(dpamt_aug(&l, DPAMT_GPA_2M, TDX_2M, large), TDX_SUCCESS);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_test_message("REMOVE %zu", i);
        assert_status(CALL(mc, 0, TDH_PHYMEM_PAMT_REMOVE, .rcx = bad[i].rcx, .rdx = 2,
                           .r8 = 8, .r9 = 9), bad[i].status);
        /* RCX stays for a retry; there is no pair to give back. */
        g_assert_cmphex(mc->out.rcx, ==, bad[i].rcx);
        g_assert_cmphex(mc->out.rdx | mc->out.r8, ==, 0);
        g_assert_cmphex(mc->out.r9, ==, 9);
    }
    /* Which page of the pair is not empty: the first such. */
    assert_status(dpamt_aug(&l, DPAMT_GPA + 4096, TDX_4K, region + 256 * 4096),
                  TDX_SUCCESS);
    assert_status(dpamt_remove(mc, region), TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 0));
    dpamt_zap(&l, DPAMT_GPA, TDX_4K, region + 255 * 4096, false);
    assert_status(dpamt_remove(mc, region), TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 1));
    dpamt_expect(mc, region, 1);
    dpamt_zap(&l, DPAMT_GPA + 4096, TDX_4K, region + 256 * 4096, true);
    dpamt_unback(mc, region);
    assert_status(dpamt_remove(mc, region), OPERAND(TDX_NO_PAMT_PAGE_PAIR, RCX));
    machine_free(mc);
}

/* All 512, up and down; the hint comes with the last one only. */
static void test_all_512(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t region = machine_2m(mc);
    Life l;

    dpamt_td(&l, mc);
    dpamt_back(mc, region);
    for (unsigned i = 0; i < 512; i++) {
        /* 167 is prime to 512: halves are mixed, each page comes once. */
        unsigned page = i * 167 % 512;

        assert_status(dpamt_aug(&l, DPAMT_GPA + i * 4096, TDX_4K, region + page * 4096),
                      TDX_SUCCESS);
        dpamt_expect(mc, region, i + 1);
        assert_status(dpamt_aug(&l, DPAMT_GPA + i * 4096, TDX_4K, region + page * 4096),
                      OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));
    }
    g_assert_cmpuint(machine_entry_2m(mc, region).words[1] & 0x3ff, ==, 512);
    assert_status(dpamt_remove(mc, region), TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 0));
    for (unsigned i = 0; i < 512; i++) {
        unsigned page = i * 167 % 512;
        bool last = i == 511;

        dpamt_zap(&l, DPAMT_GPA + i * 4096, TDX_4K, region + page * 4096, last);
        dpamt_expect(mc, region, 511 - i);
        if (!last) {
            g_assert_cmphex(TDX_STATUS_CODE(dpamt_remove(mc, region)), ==,
                            TDX_PAMT_PAGE_NOT_EMPTY);
        }
    }
    dpamt_unback(mc, region);
    machine_free(mc);
}

/* Only with Dynamic PAMT, and only once the module is READY. */
static void test_not_enabled(void)
{
    for (int offered = 0; offered <= 1; offered++) {
        Machine *mc = machine_new_as((MachineShape){
            .lps = 1, .pkgs = 1, .dynamic_pamt = offered,
        });
        uint64_t region = machine_2m(mc);

        mc->dynamic = false;
        assert_status(dpamt_add(mc, region, 2 * MIB, 3 * MIB), TDX_SYS_NOT_READY);
        machine_ready(mc);
        assert_status(dpamt_add(mc, region, 2 * MIB, 3 * MIB), INVALID(RAX));
        assert_status(dpamt_add(mc, region + 1, 2 * MIB, 1), INVALID(RAX));
        assert_status(dpamt_remove(mc, region), INVALID(RAX));
        assert_status(dpamt_remove(mc, region + 4096), INVALID(RAX));
        machine_free(mc);
    }
}

/* There is no version 1. */
static void test_version(void)
{
    Machine *mc = dpamt_machine(1);
    uint64_t region = machine_2m(mc);

    assert_status(CALL(mc, 0, TDX_RAX(TDH_PHYMEM_PAMT_ADD, 1), .rcx = region | TDX_2M,
                       .rdx = 2 * MIB, .r8 = 3 * MIB), INVALID(RAX));
    assert_status(CALL(mc, 0, TDX_RAX(TDH_PHYMEM_PAMT_REMOVE, 1),
                       .rcx = region | TDX_2M), INVALID(RAX));
    dpamt_expect(mc, region, DPAMT_NONE);
    machine_free(mc);
}

/* The blocks that TDH.SYS.TDMR.INIT has not done yet are no memory of TDs. */
static void test_not_initialised(void)
{
    Machine *mc = machine_new_as((MachineShape){
        .lps = 1, .pkgs = 1, .dynamic_pamt = true,
    });
    uint64_t r = 24 * MIB | TDX_2M, late = MACHINE_BANK1 + 4 * MIB;

    machine_init(mc);
    assert_status(CALL(mc, 0, TDH_SYS_CONFIG, .rcx = machine_tdmr_list(mc), .rdx = 2,
                       .r8 = MACHINE_GLOBAL_HKID | TDX_SYS_CONFIG_DYNAMIC_PAMT),
                  TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_KEY_CONFIG), TDX_SUCCESS);
    REFUSED(mc, { r, 2 * MIB, 3 * MIB, OUTSIDE(RDX) });
    do {
        assert_status(CALL(mc, 0, TDH_SYS_TDMR_INIT, .rcx = 0), TDX_SUCCESS);
    } while (mc->out.rdx < GIB);
    REFUSED(mc, { r, late, 3 * MIB, OUTSIDE(RDX) }, { r, 3 * MIB, late, OUTSIDE(R8) },
            { late | TDX_2M, 2 * MIB, 3 * MIB, OUTSIDE(RCX) });
    assert_status(dpamt_add(mc, 24 * MIB, 2 * MIB, 3 * MIB), TDX_SUCCESS);
    dpamt_expect(mc, 24 * MIB, 0);
    machine_free(mc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dpamt/add-remove", test_add_remove);
    g_test_add_func("/dpamt/add-operands", test_add_operands);
    g_test_add_func("/dpamt/not-free", test_not_free);
    g_test_add_func("/dpamt/placement", test_placement);
    g_test_add_func("/dpamt/remove-errors", test_remove_errors);
    g_test_add_func("/dpamt/all-512", test_all_512);
    g_test_add_func("/dpamt/not-enabled", test_not_enabled);
    g_test_add_func("/dpamt/version", test_version);
    g_test_add_func("/dpamt/not-initialised", test_not_initialised);
    return g_test_run();
}
