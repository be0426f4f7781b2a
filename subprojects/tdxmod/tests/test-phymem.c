/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.PHYMEM.*: reclaiming, reading and flushing pages of a TD in all states of
 * its life.
 */
#include "machine.h"
#include "module.h"
#include "pamt.h"

#define HKID            17

typedef struct TestTd {
    uint64_t tdr, tdcx[TDCS_PAGES];
} TestTd;

/* A TD up to KEYS_CONFIGURED with all its TDCX pages. */
static TestTd make_td(Machine *mc, uint16_t hkid)
{
    TestTd td = { .tdr = machine_page(mc) };

    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = td.tdr, .rdx = hkid), TDX_SUCCESS);
    for (unsigned pkg = 0; pkg < mc->config.num_pkgs; pkg++) {
        assert_status(CALL(mc, pkg, TDH_MNG_KEY_CONFIG, .rcx = td.tdr), TDX_SUCCESS);
    }
    for (unsigned i = 0; i < TDCS_PAGES; i++) {
        td.tdcx[i] = machine_page(mc);
        assert_status(CALL(mc, 0, TDH_MNG_ADDCX, .rcx = td.tdcx[i], .rdx = td.tdr),
                      TDX_SUCCESS);
    }
    return td;
}

static uint64_t reclaim(Machine *mc, uint64_t pa)
{
    return CALL(mc, 0, TDH_PHYMEM_PAGE_RECLAIM, .rcx = pa, .rdx = 1, .r8 = 1, .r9 = 1,
                .r10 = 1, .r11 = 1);
}

static void assert_outputs_zero(const Machine *mc)
{
    g_assert_cmphex(mc->out.rcx | mc->out.rdx | mc->out.r8 | mc->out.r9 | mc->out.r10 |
                    mc->out.r11, ==, 0);
}

static void test_operands(void)
{
    Machine *mc = machine_new(1, 1);
    uint64_t pa = machine_page(mc);
    static const unsigned leaves[] = {
        TDH_PHYMEM_PAGE_RECLAIM, TDH_PHYMEM_PAGE_RDMD,
    };

    machine_ready(mc);
    for (size_t i = 0; i < G_N_ELEMENTS(leaves); i++) {
        unsigned leaf = leaves[i];

        assert_status(CALL(mc, 0, leaf, .rcx = pa + 8, .rdx = 1, .r8 = 2, .r11 = 3),
                      OPERAND(TDX_OPERAND_INVALID, RCX));
        assert_outputs_zero(mc);
        assert_status(CALL(mc, 0, leaf, .rcx = pa | 1ull << MACHINE_HKID_SHIFT),
                      OPERAND(TDX_OPERAND_INVALID, RCX));
        assert_status(CALL(mc, 0, leaf, .rcx = pa | 1ull << 62),
                      OPERAND(TDX_OPERAND_INVALID, RCX));
        assert_status(CALL(mc, 0, leaf, .rcx = 2 * GIB, .rdx = 1),
                      OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX));
        assert_outputs_zero(mc);
    }
    assert_status(reclaim(mc, pa), OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    assert_outputs_zero(mc);
    assert_status(reclaim(mc, 0), OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    machine_free(mc);
}

static void test_rdmd(void)
{
    Machine *mc = machine_new(1, 1);
    TestTd td;

    machine_ready(mc);
    td = make_td(mc, HKID);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = td.tdr), TDX_SUCCESS);
    g_assert_cmpuint(mc->out.rcx, ==, PT_TDR);
    g_assert_cmphex(mc->out.rdx, ==, 0);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = td.tdcx[3]), TDX_SUCCESS);
    g_assert_cmpuint(mc->out.rcx, ==, PT_TDCX);
    g_assert_cmphex(mc->out.rdx, ==, td.tdr);
    g_assert_cmpuint(mc->out.r8, ==, 0);
    machine_free(mc);
}

/* The tear-down order, each step of it tried too early first. */
static void test_teardown(void)
{
    Machine *mc = machine_new(4, 2);
    TestTd td;

    machine_ready(mc);
    td = make_td(mc, HKID);
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, 1 + TDCS_PAGES);
    assert_status(reclaim(mc, td.tdr), TDX_LIFECYCLE_STATE_INCORRECT);
    assert_outputs_zero(mc);
    assert_status(reclaim(mc, td.tdcx[0]), TDX_LIFECYCLE_STATE_INCORRECT);
    assert_status(CALL(mc, 0, TDH_PHYMEM_CACHE_WB, .rcx = 0),
                  TDX_NO_HKID_READY_TO_WBCACHE);
    assert_status(CALL(mc, 0, TDH_MNG_VPFLUSHDONE, .rcx = td.tdr), TDX_SUCCESS);
    assert_status(reclaim(mc, td.tdcx[0]), TDX_LIFECYCLE_STATE_INCORRECT);
    assert_status(CALL(mc, 0, TDH_PHYMEM_CACHE_WB, .rcx = 2),
                  OPERAND(TDX_OPERAND_INVALID, RCX));
    assert_status(CALL(mc, 0, TDH_PHYMEM_CACHE_WB, .rcx = 1), TDX_WBCACHE_RESUME_ERROR);
    assert_status(CALL(mc, 0, TDH_PHYMEM_CACHE_WB, .rcx = 0), TDX_SUCCESS);
    assert_status(CALL(mc, 2, TDH_PHYMEM_CACHE_WB, .rcx = 0),
                  TDX_NO_HKID_READY_TO_WBCACHE);
    /* Package 1 has not done it. */
    assert_status(CALL(mc, 0, TDH_MNG_KEY_FREEID, .rcx = td.tdr),
                  TDX_WBCACHE_NOT_COMPLETE);
    assert_status(CALL(mc, 3, TDH_PHYMEM_CACHE_WB, .rcx = 0), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_MNG_KEY_FREEID, .rcx = td.tdr), TDX_SUCCESS);
    assert_status(reclaim(mc, td.tdr), TDX_TD_ASSOCIATED_PAGES_EXIST);
    for (unsigned i = 0; i < TDCS_PAGES; i++) {
        assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = td.tdcx[i]),
                      OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
        assert_status(reclaim(mc, td.tdcx[i]), TDX_SUCCESS);
        g_assert_cmpuint(mc->out.rcx, ==, PT_TDCX);
        g_assert_cmphex(mc->out.rdx, ==, td.tdr);
        g_assert_cmphex(mc->out.r8 | mc->out.r9 | mc->out.r10 | mc->out.r11, ==, 0);
        assert_status(reclaim(mc, td.tdcx[i]), OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    }
    assert_status(reclaim(mc, td.tdr), TDX_SUCCESS);
    g_assert_cmpuint(mc->out.rcx, ==, PT_TDR);
    g_assert_cmphex(mc->out.rdx, ==, 0);
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, 0);
    /* KVM's last step, with the global KeyID. */
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD,
                       .rcx = td.tdr | (uint64_t)MACHINE_GLOBAL_HKID <<
                              MACHINE_HKID_SHIFT), TDX_SUCCESS);
    /* The KeyID can be used again. */
    make_td(mc, HKID);
    machine_free(mc);
}

static void test_wbinvd(void)
{
    Machine *mc = machine_new(1, 1);
    uint64_t pa = machine_page(mc);

    machine_ready(mc);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = pa), TDX_SUCCESS);
    g_assert_cmphex(mc->out.rcx, ==, pa);
    for (uint64_t hkid = 0; hkid < 1u << MACHINE_KEYID_BITS; hkid += 9) {
        assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD,
                           .rcx = pa | hkid << MACHINE_HKID_SHIFT), TDX_SUCCESS);
    }
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = pa | 1ull << MACHINE_MAX_PA),
                  OPERAND(TDX_OPERAND_INVALID, RCX));
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = pa + 64),
                  OPERAND(TDX_OPERAND_INVALID, RCX));
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = 3 * GIB),
                  OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX));
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = 4096),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    machine_free(mc);
}

static void hold(Machine *mc, PamtPage *p, uint64_t pa, enum pamt_type type,
                 LockMode mode)
{
    assert_status(pamt_lock(CALLER(mc->mod), p, TDX_R13, pa, type, mode), TDX_SUCCESS);
}

static void test_busy(void)
{
    Machine *mc = machine_new(1, 1);
    TdxMod *m;
    TestTd td;
    PamtPage p;

    machine_ready(mc);
    m = mc->mod;
    td = make_td(mc, HKID);
    mc->no_check = true;
    /* RECLAIM: the page, then its owner. */
    hold(mc, &p, td.tdcx[0], PT_TDCX, LOCK_SHARED);
    assert_status(reclaim(mc, td.tdcx[0]), OPERAND(TDX_OPERAND_BUSY, RCX));
    /* RDMD shares. */
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = td.tdcx[0]), TDX_SUCCESS);
    pamt_unlock(m, &p);
    hold(mc, &p, td.tdr, PT_TDR, LOCK_EXCLUSIVE);
    assert_status(reclaim(mc, td.tdcx[0]), OPERAND(TDX_OPERAND_BUSY, TDR));
    assert_status(reclaim(mc, td.tdr), OPERAND(TDX_OPERAND_BUSY, RCX));
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = td.tdr),
                  OPERAND(TDX_OPERAND_BUSY, RCX));
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = td.tdr),
                  OPERAND(TDX_OPERAND_BUSY, RCX));
    pamt_unlock(m, &p);
    /* CACHE.WB: this package's lock, then the KOT. */
    g_assert_true(tdx_trylock(&m->kot_lock, LOCK_EXCLUSIVE));
    assert_status(CALL(mc, 0, TDH_PHYMEM_CACHE_WB), OPERAND(TDX_OPERAND_BUSY, KOT));
    g_assert_true(tdx_trylock(&m->wbcache_lock[0], LOCK_EXCLUSIVE));
    assert_status(CALL(mc, 0, TDH_PHYMEM_CACHE_WB), OPERAND(TDX_OPERAND_BUSY, WBCACHE));
    tdx_unlock(&m->wbcache_lock[0], LOCK_EXCLUSIVE);
    tdx_unlock(&m->kot_lock, LOCK_EXCLUSIVE);
    mc->no_check = false;
    assert_status(CALL(mc, 0, TDH_PHYMEM_CACHE_WB), TDX_NO_HKID_READY_TO_WBCACHE);
    machine_free(mc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/phymem/operands", test_operands);
    g_test_add_func("/phymem/rdmd", test_rdmd);
    g_test_add_func("/phymem/teardown", test_teardown);
    g_test_add_func("/phymem/wbinvd", test_wbinvd);
    g_test_add_func("/phymem/busy", test_busy);
    return g_test_run();
}
