/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT from the offer to the end: metadata, TDH.SYS.CONFIG, TDMR.INIT and
 * TDH.SYS.DISABLE.
 */
#include "dpamt.h"

#define FEATURES0       0x0A00000300000008
#define BITMAP_BITS     0x9100000100000013      /* as Linux reads it */
#define BITMAP_BITS_8   0x9100000000000013      /* as the module lists it */
#define MIN_HKID_BITS   0x9100000000000014
#define ENTRY_SIZE_4K   0x9100000100000010
#define BIT_36          (1ull << 36)
#define GLOBAL_DYNAMIC  (MACHINE_GLOBAL_HKID | 1ull << 16)

static Machine *machine_of(bool offered, bool used)
{
    Machine *mc = machine_new_as((MachineShape){
        .lps = 1, .pkgs = 1, .dynamic_pamt = offered,
    });

    mc->dynamic = used;
    return mc;
}

static uint64_t field(Machine *mc, uint64_t id, uint64_t status)
{
    assert_status(CALL(mc, 0, TDH_SYS_RD, .rdx = id), status);
    return mc->out.r8;
}

static void test_metadata(void)
{
    for (int offered = 0; offered <= 1; offered++) {
        Machine *mc = machine_of(offered, false);
        uint64_t status = offered ? 0 : OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX);

        machine_init(mc);
        g_assert_cmpint((field(mc, FEATURES0, 0) & BIT_36) != 0, ==, offered);
        g_assert_cmpuint(field(mc, BITMAP_BITS, status), ==, offered);
        g_assert_cmpuint(field(mc, BITMAP_BITS_8, status), ==, offered);
        g_assert_cmpuint(field(mc, MIN_HKID_BITS, status), ==, 0);
        g_assert_cmpuint(field(mc, ENTRY_SIZE_4K, 0), ==, 16);
        machine_free(mc);
    }
}

/* Only what fits in 48 bits can be the address of a page of a pair. */
static void test_address_bits(void)
{
    static const struct {
        uint8_t max_pa, keyid_bits;
        bool possible;
        unsigned min_hkid_bits;
    } cases[] = {
        { 46, 6, true, 0 }, { 48, 5, true, 0 }, { 52, 6, true, 4 }, { 52, 5, true, 4 },
        { 51, 5, true, 3 }, { 52, 4, true, 4 }, { 52, 3, false, 0 }, { 51, 2, false, 0 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Machine *mc = machine_of(false, false);
        TdxPlatform platform = mc->mod->platform;
        TdxModConfig config = mc->config;
        TdxMod *m;

        config.max_pa = cases[i].max_pa;
        config.keyid_bits = cases[i].keyid_bits;
        config.num_mktme_keyids = 0;
        config.num_tdx_keyids = 3;
        m = tdxmod_new(&platform, &config);
        g_assert_nonnull(m);
        tdxmod_free(m);
        config.dynamic_pamt = true;
        m = tdxmod_new(&platform, &config);
        g_assert_cmpint(m != NULL, ==, cases[i].possible);
        if (m) {
            tdxmod_free(mc->mod);
            mc->mod = m;
            machine_init(mc);
            g_assert_cmpuint(field(mc, MIN_HKID_BITS, 0), ==, cases[i].min_hkid_bits);
        }
        machine_free(mc);
    }
}

static uint64_t config(Machine *mc, uint64_t r8)
{
    return CALL(mc, 0, TDH_SYS_CONFIG, .rcx = 1 * MIB, .rdx = 2, .r8 = r8);
}

static void test_flag(void)
{
    Machine *mc = machine_of(false, true);
    TdxPamtStats s;

    machine_init(mc);
    machine_tdmr_list(mc);
    /* Not offered; said before the list is looked at. */
    assert_status(config(mc, GLOBAL_DYNAMIC), OPERAND(TDX_OPERAND_INVALID, R8));
    assert_status(CALL(mc, 0, TDH_SYS_CONFIG, .rcx = 512 * MIB, .rdx = 2,
                       .r8 = GLOBAL_DYNAMIC), OPERAND(TDX_OPERAND_INVALID, R8));
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_false(s.offered || s.enabled);
    machine_free(mc);

    mc = machine_of(true, true);
    machine_init(mc);
    machine_tdmr_list(mc);
    assert_status(config(mc, GLOBAL_DYNAMIC | 1 << 17), OPERAND(TDX_OPERAND_INVALID, R8));
    assert_status(config(mc, 1 | 1 << 16), OPERAND(TDX_OPERAND_INVALID, R8));
    /* The areas are too small for static PAMT. */
    assert_status(config(mc, MACHINE_GLOBAL_HKID), TDX_ST(TDX_INVALID_PAMT, 0));
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_true(s.offered && !s.enabled);
    assert_status(config(mc, GLOBAL_DYNAMIC), TDX_SUCCESS);
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_true(s.offered && s.enabled);
    machine_free(mc);
}

/* One bit for each 4 KiB: 32 KiB for 1 GiB, in whole pages. */
static void test_bitmap_size(void)
{
    const struct {
        unsigned tdmr;
        uint64_t size, status;
    } cases[] = {
        { 0, 0, TDX_ST(TDX_INVALID_PAMT, 0) },
        { 0, 4096, TDX_ST(TDX_INVALID_PAMT, 0) },
        { 0, 28 * 1024, TDX_ST(TDX_INVALID_PAMT, 0) },
        { 1, 28 * 1024, TDX_ST(TDX_INVALID_PAMT, 1) },
        { 0, 32 * 1024 - 1, TDX_ST(TDX_INVALID_PAMT, 0) },
        { 1, 32 * 1024 + 512, TDX_ST(TDX_INVALID_PAMT, 1) },
        { 0, 4 * MIB, TDX_SUCCESS },
        { 1, 36 * 1024, TDX_SUCCESS },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Machine *mc = machine_of(true, true);

        machine_init(mc);
        machine_tdmr_list(mc);
        machine_tdmr(mc, cases[i].tdmr)->pamt_4k_size = cases[i].size;
        assert_status(config(mc, GLOBAL_DYNAMIC), cases[i].status);
        machine_free(mc);
    }
}

/* A static PAMT of the same module, as a kernel without the series has it. */
static void test_not_used(void)
{
    Machine *mc = machine_of(true, false);
    TdxPamtRegion r;
    TdxPamtStats s;
    Life l;

    machine_ready(mc);
    life_build(&l, mc, LIFE_HKID);
    life_page_add(&l, 0);
    life_release_hkid(&l);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RECLAIM, .rcx = l.tdcs[0]), TDX_SUCCESS);
    g_assert_cmphex(mc->out.r9, ==, 0);
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_true(s.offered && !s.enabled);
    /* 16 bytes for each 4 KiB, 2 MiB and 1 GiB, each array in whole pages. */
    g_assert_cmpuint(s.static_bytes, ==, 2 * (4 * MIB + 8192 + 4096));
    g_assert_cmpuint(s.pairs | s.adds | s.removes | s.failures, ==, 0);
    g_assert_false(tdxmod_pamt_region(mc->mod, 0, &r));
    machine_free(mc);
}

/*
 * TDMR.INIT: whatever was in the areas, the bitmap has reserved areas and nothing else
 * (machine_check() compares every bit); the other levels are free.
 */
static void test_tdmr_init(void)
{
    Machine *mc = machine_of(true, true);
    TdxPamtStats s;

    memset(machine_ptr(mc, 56 * MIB, 8 * MIB), 0xa5, 8 * MIB);
    memset(machine_ptr(mc, MACHINE_BANK1 + 56 * MIB, 8 * MIB), 0xff, 8 * MIB);
    machine_ready(mc);
    machine_check(mc);
    g_assert_true(machine_pamt_bit(mc, 0) && machine_pamt_bit(mc, 2 * MIB - 4096));
    g_assert_false(machine_pamt_bit(mc, 2 * MIB) ||
                   machine_pamt_bit(mc, 56 * MIB - 4096));
    g_assert_true(machine_pamt_bit(mc, 56 * MIB) && machine_pamt_bit(mc, GIB - 4096));
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_cmpuint(s.static_bytes, ==, 2 * (32 * 1024 + 8192 + 4096));
    assert_status(CALL(mc, 0, TDH_SYS_TDMR_INIT, .rcx = 0), TDX_TDMR_ALREADY_INITIALIZED);
    machine_free(mc);
}

/* Reserved areas of any shape: ends within a 2 MiB, within a byte of the bitmap. */
static void test_reserved(void)
{
    Machine *mc = machine_of(true, true);
    const uint64_t from = 30 * MIB + 3 * 4096, to = 34 * MIB + 509 * 4096;
    const uint64_t one = 40 * MIB + 7 * 4096;
    uint64_t region = 32 * MIB;

    machine_init(mc);
    machine_tdmr_list(mc);
    machine_tdmr(mc, 0)->reserved[3] = machine_tdmr(mc, 0)->reserved[1];
    machine_tdmr(mc, 0)->reserved[1].offset = from;
    machine_tdmr(mc, 0)->reserved[1].size = to - from;
    machine_tdmr(mc, 0)->reserved[2].offset = one;
    machine_tdmr(mc, 0)->reserved[2].size = 4096;
    mc->no_check = true;                /* which knows the usual areas only */
    assert_status(config(mc, GLOBAL_DYNAMIC), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_KEY_CONFIG), TDX_SUCCESS);
    machine_tdmr_init(mc);
    for (uint64_t pa = 28 * MIB; pa < 44 * MIB; pa += 4096) {
        g_assert_cmpint(machine_pamt_bit(mc, pa), ==,
                        (pa >= from && pa < to) || pa == one);
    }
    /* A pair serves the rest of such a region; the reserved pages stay what they are. */
    assert_status(dpamt_add(mc, 30 * MIB, 4 * MIB, 5 * MIB), TDX_SUCCESS);
    assert_status(dpamt_add(mc, region, region, 6 * MIB),
                  OPERAND(TDX_PAGE_NOT_FREE, RDX));
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = from, .rdx = LIFE_HKID),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = from - 4096, .rdx = LIFE_HKID),
                  TDX_SUCCESS);
    g_assert_cmpuint(machine_entry_2m(mc, 30 * MIB).count, ==, 1);
    machine_free(mc);
}

static void start_again(Machine *mc, bool dynamic)
{
    TdxPamtStats s;

    mc->dynamic = dynamic;
    machine_ready(mc);
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_cmpint(s.enabled, ==, dynamic);
    g_assert_cmpuint(s.pairs, ==, 0);
    if (dynamic) {
        g_assert_cmpuint(s.adds | s.removes | s.peak | s.failures, ==, 0);
    }
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, 0);
}

/* TDH.SYS.DISABLE: pairs and TDs are gone, the host has all its pages again. */
static void test_disable(void)
{
    Machine *mc = machine_of(true, true);
    uint64_t region = machine_2m(mc), p;
    TdxPamtRegion r;
    TdxPamtStats s;
    Life l;

    machine_ready(mc);
    dpamt_td(&l, mc);
    p = dpamt_back(mc, region);
    assert_status(dpamt_aug(&l, DPAMT_GPA, TDX_4K, region), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_DISABLE), TDX_SUCCESS);
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_true(s.offered && !s.enabled);
    g_assert_cmpuint(s.pairs | s.static_bytes, ==, 0);
    g_assert_false(tdxmod_pamt_region(mc->mod, 0, &r));
    assert_status(dpamt_remove(mc, region), TDX_SYS_NOT_READY);
    /* Dynamic PAMT again: the same pages are as good as any. */
    start_again(mc, true);
    assert_status(dpamt_add(mc, region, p, p + 4096), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_DISABLE), TDX_SUCCESS);
    start_again(mc, false);
    assert_status(dpamt_remove(mc, region), OPERAND(TDX_OPERAND_INVALID, RAX));
    machine_free(mc);
}

/* A reset of the machine is no different. */
static void test_reset(void)
{
    Machine *mc = machine_of(true, true);
    TdxPamtStats s;
    Life l;

    machine_ready(mc);
    dpamt_td(&l, mc);
    tdxmod_reset(mc->mod);
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_true(s.offered && !s.enabled);
    g_assert_cmpuint(s.pairs, ==, 0);
    machine_ready(mc);
    dpamt_td(&l, mc);
    machine_check(mc);
    machine_free(mc);
}

/* TDH.SYS.SHUTDOWN: Dynamic PAMT's leaves are refused as all others. */
static void test_shutdown(void)
{
    Machine *mc = machine_of(true, true);
    uint64_t region = machine_2m(mc);

    machine_ready(mc);
    dpamt_back(mc, region);
    assert_status(CALL(mc, 0, TDH_SYS_SHUTDOWN, .rcx = 1), TDX_SUCCESS);
    assert_status(dpamt_remove(mc, region), TDX_SYS_SHUTDOWN);
    assert_status(dpamt_add(mc, machine_2m(mc), 2 * MIB, 3 * MIB), TDX_SYS_SHUTDOWN);
    dpamt_expect(mc, region, 0);
    machine_free(mc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dpamt-sys/metadata", test_metadata);
    g_test_add_func("/dpamt-sys/address-bits", test_address_bits);
    g_test_add_func("/dpamt-sys/flag", test_flag);
    g_test_add_func("/dpamt-sys/bitmap-size", test_bitmap_size);
    g_test_add_func("/dpamt-sys/not-used", test_not_used);
    g_test_add_func("/dpamt-sys/tdmr-init", test_tdmr_init);
    g_test_add_func("/dpamt-sys/reserved", test_reserved);
    g_test_add_func("/dpamt-sys/disable", test_disable);
    g_test_add_func("/dpamt-sys/reset", test_reset);
    g_test_add_func("/dpamt-sys/shutdown", test_shutdown);
    return g_test_run();
}
