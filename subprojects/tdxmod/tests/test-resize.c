/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.MEM.PAGE.DEMOTE and PROMOTE.
 */
#include "life.h"
#include "sept_entry.h"

#define GPA             0x40000000ull
#define LEVEL_2M        (GPA | TDX_2M)

/* A runnable TD with a vCPU and a 2 MiB page, PENDING, at GPA. */
static uint64_t start(Life *l, Machine **mc)
{
    uint64_t pa;

    *mc = machine_new(2, 1);
    machine_ready(*mc);
    life_build(l, *mc, LIFE_HKID);
    life_add_vcpu(l, 0);
    life_finalize(l);
    life_sept(l, GPA, TDX_2M);
    pa = machine_2m(*mc);
    assert_status(CALL(*mc, 0, TDH_MEM_PAGE_AUG, .rcx = LEVEL_2M, .rdx = l->tdr,
                       .r8 = pa), TDX_SUCCESS);
    return pa;
}

static void block_track(Life *l)
{
    assert_status(CALL(l->mc, 0, TDH_MEM_RANGE_BLOCK, .rcx = LEVEL_2M, .rdx = l->tdr),
                  TDX_SUCCESS);
    assert_status(CALL(l->mc, 0, TDH_MEM_TRACK, .rcx = l->tdr), TDX_SUCCESS);
}

static uint64_t demote(Life *l, uint64_t table)
{
    return CALL(l->mc, 0, TDH_MEM_PAGE_DEMOTE, .rcx = LEVEL_2M, .rdx = l->tdr,
                .r8 = table);
}

static uint64_t promote(Life *l)
{
    return CALL(l->mc, 0, TDH_MEM_PAGE_PROMOTE, .rcx = LEVEL_2M, .rdx = l->tdr);
}

/* Entry at @gpa | @level: architectural state, and its page if it shows one. */
static unsigned state(Life *l, uint64_t info, uint64_t *hpa)
{
    assert_status(CALL(l->mc, 0, TDH_MEM_SEPT_RD, .rcx = info, .rdx = l->tdr),
                  TDX_SUCCESS);
    if (hpa) {
        *hpa = l->mc->out.rcx & 0x000ffffffffff000ull;
    }
    g_assert_cmpuint(l->mc->out.rdx & 7, ==, info & 7);
    return l->mc->out.rdx >> 8 & 0xff;
}

static void check_pages(Life *l, uint64_t pa, unsigned want)
{
    static const unsigned samples[] = { 0, 1, 255, 256, 511 };

    for (unsigned i = 0; i < G_N_ELEMENTS(samples); i++) {
        uint64_t offset = samples[i] * 4096ull, hpa;

        g_assert_cmpuint(state(l, (GPA + offset) | TDX_4K, &hpa), ==, want);
        g_assert_cmphex(hpa, ==, pa + offset);
        assert_status(CALL(l->mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = pa + offset),
                      TDX_SUCCESS);
        g_assert_cmpuint(l->mc->out.rcx, ==, PT_REG);
        g_assert_cmphex(l->mc->out.rdx, ==, l->tdr);
        g_assert_cmpuint(l->mc->out.r8, ==, TDX_4K);
    }
}

static void end(Life *l, Machine *mc)
{
    life_release_hkid(l);
    machine_free(mc);
}

/* PENDING: nothing is lost that the guest must accept. */
static void test_pending(void)
{
    Machine *mc;
    Life l;
    uint64_t pa = start(&l, &mc), table = machine_page(mc);

    block_track(&l);
    assert_status(demote(&l, table), TDX_SUCCESS);
    g_assert_cmphex(mc->out.rcx | mc->out.rdx, ==, 0);
    g_assert_cmpuint(state(&l, LEVEL_2M, NULL), ==, 0x84);
    check_pages(&l, pa, 2);
    /* Its pages lead their own lives now; they are not MAPPED all. */
    g_assert_true(life_accept(&l, GPA, TDX_4K));
    block_track(&l);
    assert_status(promote(&l), OPERAND(TDX_EPT_INVALID_PROMOTE_CONDITIONS, RCX));
    g_assert_cmphex(mc->out.rdx, ==, 1 | 0x81 << 8);
    end(&l, mc);
}

static void test_mapped_and_back(void)
{
    Machine *mc;
    Life l;
    uint64_t pa = start(&l, &mc), table = machine_page(mc), hpa;
    uint8_t *memory = machine_ptr(mc, pa, 2 * MIB);
    uint64_t in_use;

    g_assert_true(life_accept(&l, GPA, TDX_2M));
    in_use = tdxmod_pages_in_use(mc->mod);
    for (unsigned i = 0; i < 2 * MIB; i += 4096) {
        memory[i] = i >> 12;
    }
    block_track(&l);
    assert_status(demote(&l, table), TDX_SUCCESS);
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, in_use + 1);
    check_pages(&l, pa, 4);
    for (unsigned i = 0; i < 2 * MIB; i += 4096) {
        g_assert_cmphex(memory[i], ==, (i >> 12) & 0xff);
    }
    /* A single page can be zapped; the rest is not promoted without it. */
    block_track(&l);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_PROMOTE | 1 << 16, .rcx = LEVEL_2M,
                       .rdx = l.tdr, .r12 = 5), TDX_SUCCESS);
    g_assert_cmphex(mc->out.rcx, ==, table);
    g_assert_cmphex(mc->out.rdx, ==, 0);
    g_assert_cmphex(mc->out.r9 & mc->out.r10 & mc->out.r11, ==, UINT64_MAX);
    g_assert_cmphex(mc->out.r12, ==, 5);
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, in_use);
    g_assert_cmpuint(state(&l, LEVEL_2M, &hpa), ==, 4);
    g_assert_cmphex(hpa, ==, pa);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = table), TDX_SUCCESS);
    g_assert_cmpuint(mc->out.rcx, ==, PT_NDA);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = pa + 4096), TDX_SUCCESS);
    g_assert_cmpuint(mc->out.r8, ==, TDX_2M);
    life_zap(&l, GPA, TDX_2M);
    end(&l, mc);
}

static void test_tracking(void)
{
    Machine *mc;
    Life l;
    uint64_t table;

    start(&l, &mc);
    table = machine_page(mc);
    assert_status(demote(&l, table), OPERAND(TDX_GPA_RANGE_NOT_BLOCKED, RCX));
    g_assert_cmphex(mc->out.rdx, ==, 1 | 2 << 8);
    life_enter(&l, 0, 0);
    assert_status(CALL(mc, 1, TDH_MEM_RANGE_BLOCK, .rcx = LEVEL_2M, .rdx = l.tdr),
                  TDX_SUCCESS);
    assert_status(CALL(mc, 1, TDH_MEM_PAGE_DEMOTE, .rcx = LEVEL_2M, .rdx = l.tdr,
                       .r8 = table), OPERAND(TDX_TLB_TRACKING_NOT_DONE, RCX));
    assert_status(CALL(mc, 1, TDH_MEM_TRACK, .rcx = l.tdr), TDX_SUCCESS);
    /* The vCPU is inside since before the block. */
    assert_status(CALL(mc, 1, TDH_MEM_PAGE_DEMOTE, .rcx = LEVEL_2M, .rdx = l.tdr,
                       .r8 = table), OPERAND(TDX_TLB_TRACKING_NOT_DONE, RCX));
    life_exit(&l, 0);
    assert_status(demote(&l, table), TDX_SUCCESS);
    /* The same for the way back. */
    assert_status(promote(&l), OPERAND(TDX_GPA_RANGE_NOT_BLOCKED, RCX));
    g_assert_cmphex(mc->out.rdx, ==, 1 | 0x84 << 8);
    assert_status(CALL(mc, 1, TDH_MEM_RANGE_BLOCK, .rcx = LEVEL_2M, .rdx = l.tdr),
                  TDX_SUCCESS);
    assert_status(promote(&l), OPERAND(TDX_TLB_TRACKING_NOT_DONE, RCX));
    end(&l, mc);
}

static void test_demote_errors(void)
{
    Machine *mc;
    Life l;
    uint64_t pa = start(&l, &mc), table = machine_page(mc);
    const struct {
        uint64_t rcx, rdx, r8, status;
    } bad[] = {
        { LEVEL_2M, l.tdr | 2, table, OPERAND(TDX_OPERAND_INVALID, RDX) },
        { LEVEL_2M, table, table, OPERAND(TDX_PAGE_METADATA_INCORRECT, RDX) },
        { GPA | TDX_4K, l.tdr, table, OPERAND(TDX_OPERAND_INVALID, RCX) },
        { GPA | TDX_512G, l.tdr, table, OPERAND(TDX_OPERAND_INVALID, RCX) },
        { LEVEL_2M + 4096, l.tdr, table, OPERAND(TDX_OPERAND_INVALID, RCX) },
        { LEVEL_2M | 1ull << 47, l.tdr, table, OPERAND(TDX_OPERAND_INVALID, RCX) },
        { (2 * GPA) | TDX_2M, l.tdr, table, OPERAND(TDX_EPT_WALK_FAILED, RCX) },
        { GPA | TDX_1G, l.tdr, table, OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX) },
        { (GPA + 2 * MIB) | TDX_2M, l.tdr, table,
          OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX) },
        { LEVEL_2M, l.tdr, table + 8, OPERAND(TDX_OPERAND_INVALID, R8) },
        { LEVEL_2M, l.tdr, 2 * GIB, OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, R8) },
        { LEVEL_2M, l.tdr, l.tdr, OPERAND(TDX_OPERAND_BUSY, R8) },
        { LEVEL_2M, l.tdr, pa, OPERAND(TDX_OPERAND_BUSY, R8) },
        { LEVEL_2M, l.tdr, l.tdcs[0], OPERAND(TDX_PAGE_METADATA_INCORRECT, R8) },
    };
    uint64_t in_use;

    block_track(&l);
    in_use = tdxmod_pages_in_use(mc->mod);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_status(CALL(mc, 0, TDH_MEM_PAGE_DEMOTE, .rcx = bad[i].rcx,
                           .rdx = bad[i].rdx, .r8 = bad[i].r8), bad[i].status);
        g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, in_use);
    }
    assert_status(demote(&l, table), TDX_SUCCESS);
    assert_status(demote(&l, machine_page(mc)),
                  OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));
    end(&l, mc);
}

static void test_promote_errors(void)
{
    Machine *mc;
    Life l;
    uint64_t pa = start(&l, &mc), other, table, *entries;

    assert_status(promote(&l), OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_PROMOTE, .rcx = GPA | TDX_4K, .rdx = l.tdr),
                  OPERAND(TDX_OPERAND_INVALID, RCX));
    /* No 1 GiB pages: a table of tables is not promoted. */
    assert_status(CALL(mc, 0, TDH_MEM_RANGE_BLOCK, .rcx = GPA | TDX_1G, .rdx = l.tdr),
                  TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_MEM_TRACK, .rcx = l.tdr), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_PROMOTE, .rcx = GPA | TDX_1G, .rdx = l.tdr),
                  OPERAND(TDX_EPT_INVALID_PROMOTE_CONDITIONS, RCX));
    assert_status(CALL(mc, 0, TDH_MEM_RANGE_UNBLOCK, .rcx = GPA | TDX_1G,
                       .rdx = l.tdr), TDX_SUCCESS);
    g_assert_true(life_accept(&l, GPA, TDX_2M));
    block_track(&l);
    table = machine_page(mc);
    assert_status(demote(&l, table), TDX_SUCCESS);
    block_track(&l);
    /* Not contiguous, a page from elsewhere. */
    entries = machine_ptr(mc, table, 4096);
    other = entries[7];
    entries[7] = entries[8];
    assert_status(promote(&l), OPERAND(TDX_EPT_INVALID_PROMOTE_CONDITIONS, RCX));
    entries[7] = sept_make(SEPT_PENDING, TDX_4K, pa + 7 * 4096);
    assert_status(promote(&l), OPERAND(TDX_EPT_INVALID_PROMOTE_CONDITIONS, RCX));
    entries[7] = other;
    assert_status(promote(&l), TDX_SUCCESS);
    end(&l, mc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/resize/pending", test_pending);
    g_test_add_func("/resize/mapped-and-back", test_mapped_and_back);
    g_test_add_func("/resize/tracking", test_tracking);
    g_test_add_func("/resize/demote-errors", test_demote_errors);
    g_test_add_func("/resize/promote-errors", test_promote_errors);
    return g_test_run();
}
