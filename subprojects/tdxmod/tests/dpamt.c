/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT for tests.
 */
#include "dpamt.h"

Machine *dpamt_machine(unsigned lps)
{
    Machine *mc = machine_new_as((MachineShape){
        .lps = lps, .pkgs = 1, .dynamic_pamt = true,
    });

    machine_ready(mc);
    return mc;
}

uint64_t dpamt_add(Machine *mc, uint64_t region, uint64_t p0, uint64_t p1)
{
    return CALL(mc, 0, TDH_PHYMEM_PAMT_ADD, .rcx = region | TDX_2M, .rdx = p0, .r8 = p1);
}

uint64_t dpamt_back(Machine *mc, uint64_t region)
{
    uint64_t p0 = machine_pair_page(mc), p1 = machine_pair_page(mc);

    assert_status(dpamt_add(mc, region, p0, p1), TDX_SUCCESS);
    dpamt_expect(mc, region, 0);
    return p0;
}

uint64_t dpamt_remove(Machine *mc, uint64_t region)
{
    return CALL(mc, 0, TDH_PHYMEM_PAMT_REMOVE, .rcx = region | TDX_2M, .rdx = 0x123,
                .r8 = 0x456);
}

void dpamt_unback(Machine *mc, uint64_t region)
{
    MachineEntry2m e = machine_entry_2m(mc, region);

    assert_status(dpamt_remove(mc, region), TDX_SUCCESS);
    g_assert_cmphex(mc->out.rdx, ==, e.pair[0]);
    g_assert_cmphex(mc->out.r8, ==, e.pair[1]);
    g_assert_false(machine_pamt_bit(mc, e.pair[0]));
    g_assert_false(machine_pamt_bit(mc, e.pair[1]));
    dpamt_expect(mc, region, DPAMT_NONE);
}

void dpamt_expect(Machine *mc, uint64_t region, int count)
{
    MachineEntry2m e = machine_entry_2m(mc, region);
    TdxPamtRegion r;
    bool known = tdxmod_pamt_region(mc->mod, region, &r) && r.pa == region;

    g_assert_cmpint(e.backed, ==, count != DPAMT_NONE);
    g_assert_cmpint(known && r.backed, ==, e.backed);
    if (e.backed) {
        g_assert_cmpuint(e.count, ==, count);
        g_assert_cmpuint(machine_recount(mc, region), ==, count);
        g_assert_cmpuint(r.count, ==, count);
        g_assert_cmpuint(r.recount, ==, count);
        g_assert_cmphex(r.pair[0], ==, e.pair[0]);
        g_assert_cmphex(r.pair[1], ==, e.pair[1]);
    }
}

void dpamt_td(Life *l, Machine *mc)
{
    mc->auto_back = true;
    life_build(l, mc, LIFE_HKID);
    life_sept(l, DPAMT_GPA, TDX_4K);
}

uint64_t dpamt_aug(Life *l, uint64_t gpa, unsigned level, uint64_t pa)
{
    return CALL(l->mc, 0, TDH_MEM_PAGE_AUG, .rcx = gpa | level, .rdx = l->tdr,
                .r8 = pa);
}

void dpamt_zap(Life *l, uint64_t gpa, unsigned level, uint64_t pa, bool hint)
{
    assert_status(CALL(l->mc, 0, TDH_MEM_PAGE_REMOVE, .rcx = gpa | level, .rdx = l->tdr),
                  TDX_SUCCESS);
    g_assert_cmphex(l->mc->out.rcx, ==, pa | (hint ? DPAMT_HINT : 0));
    g_assert_cmphex(l->mc->out.rdx, ==, 0);
}
