/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What TDH.SYS.CONFIG refuses in a list of TDMRs, and TDH.SYS.TDMR.INIT.
 */
#include "machine.h"
#include "module.h"
#include "pamt.h"

/* Details of a TDMR error: bytes, little endian. */
#define AT(status, b0, b1, b2)  (TDX_##status | (b0) | (b1) << 8 | (b2) << 16)

typedef struct Case {
    const char *what;
    unsigned tdmr;
    size_t offset;              /* of the 64-bit member that is changed */
    uint64_t value;
    uint64_t status;
} Case;

#define FIELD(f)        offsetof(struct tdmr_info, f)

static uint64_t config(Machine *mc, unsigned n)
{
    return CALL(mc, 0, TDH_SYS_CONFIG, .rcx = 1 * MIB, .rdx = n,
                .r8 = MACHINE_GLOBAL_HKID);
}

/* One member of a valid list changed, each in a list that is valid otherwise. */
static void test_one_wrong(void)
{
    static const Case cases[] = {
        { "base alignment", 0, FIELD(base), 4096, AT(INVALID_TDMR, 0, 0, 0) },
        { "size alignment", 1, FIELD(size), GIB + 4096, AT(INVALID_TDMR, 1, 0, 0) },
        { "size 0", 1, FIELD(size), 0, AT(INVALID_TDMR, 1, 0, 0) },
        { "beyond MAXPA", 1, FIELD(base), 1ull << MACHINE_HKID_SHIFT,
          AT(INVALID_TDMR, 1, 0, 0) },
        { "end beyond MAXPA", 1, FIELD(size), 1ull << MACHINE_HKID_SHIFT,
          AT(INVALID_TDMR, 1, 0, 0) },
        { "overflow", 1, FIELD(size), -GIB, AT(INVALID_TDMR, 1, 0, 0) },
        { "overlap with TDMR 0", 1, FIELD(base), 0, AT(NON_ORDERED_TDMR, 1, 0, 0) },
        { "reserved overlap", 0, FIELD(reserved[1].offset), 1 * MIB,
          AT(NON_ORDERED_RESERVED_IN_TDMR, 0, 1, 0) },
        { "reserved after the end", 1, FIELD(reserved[3].size), 4096,
          AT(NON_ORDERED_RESERVED_IN_TDMR, 1, 3, 0) },
        { "reserved offset alignment", 0, FIELD(reserved[1].offset), 56 * MIB + 512,
          AT(INVALID_RESERVED_IN_TDMR, 0, 1, 0) },
        { "reserved size alignment", 0, FIELD(reserved[0].size), 2 * MIB - 1,
          AT(INVALID_RESERVED_IN_TDMR, 0, 0, 0) },
        { "reserved beyond the TDMR", 0, FIELD(reserved[1].size), GIB,
          AT(INVALID_RESERVED_IN_TDMR, 0, 1, 0) },
        { "reserved overflow", 0, FIELD(reserved[1].size), -4096ull,
          AT(INVALID_RESERVED_IN_TDMR, 0, 1, 0) },
        { "1G base alignment", 0, FIELD(pamt_1g_base), 60 * MIB + 512,
          AT(INVALID_PAMT, 0, 2, 0) },
        { "2M size alignment", 0, FIELD(pamt_2m_size), 8200, AT(INVALID_PAMT, 0, 1, 0) },
        { "2M size too small", 0, FIELD(pamt_2m_size), 4096, AT(INVALID_PAMT, 0, 1, 0) },
        { "4K size too small", 1, FIELD(pamt_4k_size), 4 * MIB - 4096,
          AT(INVALID_PAMT, 1, 0, 0) },
        { "1G size 0", 1, FIELD(pamt_1g_size), 0, AT(INVALID_PAMT, 1, 2, 0) },
        { "4K beyond MAXPA", 1, FIELD(pamt_4k_base), 1ull << MACHINE_HKID_SHIFT,
          AT(INVALID_PAMT, 1, 0, 0) },
        { "4K overflow", 1, FIELD(pamt_4k_size), -4096ull, AT(INVALID_PAMT, 1, 0, 0) },
        { "4K over 2M of the same TDMR", 0, FIELD(pamt_4k_base), 56 * MIB + 4096,
          AT(PAMT_OVERLAP, 0, 0, 0) },
        { "2M over 2M of TDMR 0", 1, FIELD(pamt_2m_base), 60 * MIB + 4096,
          AT(PAMT_OVERLAP, 1, 1, 0) },
        { "1G in usable memory", 0, FIELD(pamt_1g_base), 8 * MIB,
          AT(PAMT_OVERLAP, 0, 2, 0) },
        { "1G in usable memory of TDMR 0", 1, FIELD(pamt_1g_base), 8 * MIB,
          AT(PAMT_OVERLAP, 1, 2, 0) },
        { "1G of TDMR 0 in usable memory of TDMR 1", 0, FIELD(pamt_1g_base),
          GIB + 8 * MIB, AT(PAMT_OVERLAP, 0, 2, 1) },
        { "1G outside CMRs", 0, FIELD(pamt_1g_base), 100 * MIB,
          AT(PAMT_OUTSIDE_CMRS, 0, 2, 0) },
        { "4K over the end of its CMR", 1, FIELD(pamt_4k_base), GIB + 61 * MIB,
          AT(PAMT_OUTSIDE_CMRS, 1, 0, 0) },
        { "usable memory outside CMRs", 1, FIELD(reserved[1].size), GIB - 57 * MIB,
          AT(TDMR_OUTSIDE_CMRS, 1, 0, 0) },
    };
    Machine *mc = machine_new(1, 1);

    machine_init(mc);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case *k = &cases[i];

        machine_tdmr_list(mc);
        memcpy((uint8_t *)machine_tdmr(mc, k->tdmr) + k->offset, &k->value, 8);
        g_test_message("%s", k->what);
        assert_status(config(mc, 2), k->status);
    }
    /* After all these the module still takes a good list. */
    machine_tdmr_list(mc);
    assert_status(config(mc, 2), TDX_SUCCESS);
    machine_free(mc);
}

/* The order of checks when several things are wrong. */
static void test_order(void)
{
    Machine *mc = machine_new(1, 1);
    uint64_t *list;

    machine_init(mc);
    /* TDMR 0 completely before TDMR 1. */
    list = machine_ptr(mc, machine_tdmr_list(mc), 16);
    machine_tdmr(mc, 0)->reserved[1].size = GIB - 57 * MIB;
    list[1] = 0x123;
    assert_status(config(mc, 2), AT(TDMR_OUTSIDE_CMRS, 0, 0, 0));
    machine_tdmr_list(mc);
    list[1] = 0x123;
    assert_status(config(mc, 2), OPERAND(TDX_OPERAND_INVALID, RCX));
    list[1] = 1 * MIB + 1024 + (16ull << MACHINE_HKID_SHIFT);
    assert_status(config(mc, 2), OPERAND(TDX_OPERAND_INVALID, RCX));
    list[1] = 512 * MIB;                /* not RAM */
    assert_status(config(mc, 2), OPERAND(TDX_OPERAND_INVALID, RCX));
    /* Within one TDMR: base, order, reserved areas, PAMT, CMRs. */
    machine_tdmr_list(mc);
    machine_tdmr(mc, 1)->reserved[0].size = 1;
    machine_tdmr(mc, 1)->pamt_1g_size = 0;
    machine_tdmr(mc, 1)->base = 1;
    assert_status(config(mc, 2), AT(INVALID_TDMR, 1, 0, 0));
    machine_tdmr(mc, 1)->base = 0;
    assert_status(config(mc, 2), AT(NON_ORDERED_TDMR, 1, 0, 0));
    machine_tdmr(mc, 1)->base = GIB;
    assert_status(config(mc, 2), AT(INVALID_RESERVED_IN_TDMR, 1, 0, 0));
    machine_tdmr(mc, 1)->reserved[0].size = 2 * MIB;
    assert_status(config(mc, 2), AT(INVALID_PAMT, 1, 2, 0));
    machine_free(mc);
}

static void test_all_reserved(void)
{
    Machine *mc = machine_new(1, 1);

    machine_init(mc);
    machine_tdmr_list(mc);
    /* 16 areas that leave nothing but one page. */
    for (unsigned j = 0; j < 16; j++) {
        machine_tdmr(mc, 1)->reserved[j].offset = j * (GIB / 16);
        machine_tdmr(mc, 1)->reserved[j].size = GIB / 16 - (j == 0 ? 4096 : 0);
    }
    assert_status(config(mc, 2), TDX_SUCCESS);
    machine_free(mc);
}

static void test_cmrs_merge(void)
{
    /* CMRs in any order, neighbours: one range. */
    Machine *mc = machine_new(1, 1);
    TdxMod *m = mc->mod;

    m->config.num_cmrs = 4;
    m->config.cmr[0] = (TdxCmr){ GIB, MACHINE_RAM_SIZE };
    m->config.cmr[1] = (TdxCmr){ 10 * MIB, MACHINE_RAM_SIZE - 10 * MIB };
    m->config.cmr[2] = (TdxCmr){ 0, 10 * MIB };
    m->config.cmr[3] = (TdxCmr){ 0, 0 };
    machine_init(mc);
    machine_tdmr_list(mc);
    assert_status(config(mc, 2), TDX_SUCCESS);
    machine_free(mc);

    mc = machine_new(1, 1);
    mc->mod->config.num_cmrs = 2;
    mc->mod->config.cmr[0].size = 10 * MIB;
    mc->mod->config.cmr[1] = (TdxCmr){ 10 * MIB + 4096, 54 * MIB - 4096 };
    machine_init(mc);
    machine_tdmr_list(mc);
    assert_status(config(mc, 1), AT(TDMR_OUTSIDE_CMRS, 0, 0, 0));
    machine_free(mc);
}

/* 4 MiB a call; RDX moves when 1 GiB is complete. */
static void test_tdmr_init(void)
{
    Machine *mc = machine_new(1, 1);
    const uint64_t page = machine_page(mc);

    machine_init(mc);
    machine_tdmr_list(mc);
    assert_status(config(mc, 2), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_KEY_CONFIG), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_TDMR_INIT, .rcx = 4096, .rdx = 1),
                  OPERAND(TDX_OPERAND_INVALID, RCX));
    g_assert_cmphex(mc->out.rdx, ==, 0);
    assert_status(CALL(mc, 0, TDH_SYS_TDMR_INIT, .rcx = 2 * GIB),
                  OPERAND(TDX_OPERAND_INVALID, RCX));
    memset(machine_ptr(mc, 56 * MIB, 4 * MIB), 0xa5, 4 * MIB);
    for (unsigned i = 0; i < 255; i++) {
        assert_status(CALL(mc, 0, TDH_SYS_TDMR_INIT, .rcx = 0), TDX_SUCCESS);
        g_assert_cmphex(mc->out.rdx, ==, 0);
    }
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = page),
                  OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX));
    assert_status(CALL(mc, 0, TDH_SYS_TDMR_INIT, .rcx = 0), TDX_SUCCESS);
    g_assert_cmphex(mc->out.rdx, ==, GIB);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = page), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_TDMR_INIT, .rcx = 0), TDX_TDMR_ALREADY_INITIALIZED);
    g_assert_cmphex(mc->out.rdx, ==, GIB);
    /* The other TDMR is not there yet. */
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = GIB + page),
                  OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX));
    /* Somebody else works on it. */
    mc->no_check = true;
    g_assert_true(tdx_trylock(&mc->mod->tdmr[1].lock, LOCK_EXCLUSIVE));
    assert_status(CALL(mc, 0, TDH_SYS_TDMR_INIT, .rcx = GIB),
                  OPERAND(TDX_OPERAND_BUSY, RCX));
    tdx_unlock(&mc->mod->tdmr[1].lock, LOCK_EXCLUSIVE);
    machine_free(mc);
}

/* Reserved areas are PT_RSVD, all else is free; nothing is in use. */
static void test_types(void)
{
    Machine *mc = machine_new(1, 1);
    static const struct {
        uint64_t pa;
        unsigned type;
    } want[] = {
        { 0, PT_RSVD }, { 2 * MIB - 4096, PT_RSVD }, { 2 * MIB, PT_NDA },
        { 56 * MIB - 4096, PT_NDA }, { 56 * MIB, PT_RSVD }, { 500 * MIB, PT_RSVD },
        { GIB - 4096, PT_RSVD }, { GIB, PT_RSVD }, { GIB + 2 * MIB, PT_NDA },
    };

    machine_ready(mc);
    for (size_t i = 0; i < G_N_ELEMENTS(want); i++) {
        assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = want[i].pa, .rdx = 1,
                           .r8 = 1, .r9 = 1, .r10 = 1, .r11 = 1), TDX_SUCCESS);
        g_assert_cmpuint(mc->out.rcx, ==, want[i].type);
        g_assert_cmphex(mc->out.rdx | mc->out.r8 | mc->out.r9 | mc->out.r10 |
                        mc->out.r11, ==, 0);
    }
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, 0);
    machine_free(mc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tdmr/one-wrong", test_one_wrong);
    g_test_add_func("/tdmr/order", test_order);
    g_test_add_func("/tdmr/all-reserved", test_all_reserved);
    g_test_add_func("/tdmr/cmrs-merge", test_cmrs_merge);
    g_test_add_func("/tdmr/init", test_tdmr_init);
    g_test_add_func("/tdmr/types", test_types);
    return g_test_run();
}
