/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.SYS.*: states, order of errors, dispatch rules.
 */
#include "machine.h"
#include "module.h"

/* What tdxmod_new() refuses; one member is changed in a good configuration. */
static void test_configuration(void)
{
    Machine *mc = machine_new(2, 2);
    TdxPlatform platform = mc->mod->platform;
    TdxModConfig bad[12];
    TdxMod *m;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        bad[i] = mc->config;
    }
    bad[0].num_lps = 0;
    bad[1].num_lps = TDXMOD_MAX_LPS + 1;
    bad[2].num_pkgs = 0;
    bad[3].num_pkgs = 1;                        /* LP 1 is of package 1 */
    bad[4].num_tdx_keyids = 1;
    bad[5].num_tdx_keyids = 64 - MACHINE_MKTME_KEYIDS;  /* 6 bits: 63 KeyIDs */
    bad[6].num_mktme_keyids = UINT32_MAX;
    bad[7].max_pa = 53;
    bad[8].keyid_bits = MACHINE_MAX_PA;
    bad[9].num_cmrs = TDXMOD_MAX_CMRS + 1;
    bad[10].num_tdx_keyids = UINT32_MAX;
    bad[11].num_pkgs = TDXMOD_MAX_LPS + 1;
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        m = tdxmod_new(&platform, &bad[i]);
        g_assert_null(m);
    }
    mc->config.num_tdx_keyids = 63 - MACHINE_MKTME_KEYIDS;
    m = tdxmod_new(&platform, &mc->config);
    g_assert_nonnull(m);
    tdxmod_free(m);
    machine_free(mc);
}

static void test_dispatch(void)
{
    Machine *mc = machine_new(1, 1);
    const uint64_t bad_rax = OPERAND(TDX_OPERAND_INVALID, RAX);

    /* Reserved bits of RAX come before everything. */
    for (unsigned bit = 24; bit < 63; bit++) {
        assert_status(CALL(mc, 0, TDH_SYS_INIT | 1ull << bit), bad_rax);
    }
    /* A version, for a leaf that has none. */
    assert_status(CALL(mc, 0, TDX_RAX(TDH_SYS_LP_INIT, 1)), bad_rax);
    assert_status(CALL(mc, 0, TDX_RAX(TDH_PHYMEM_PAGE_RDMD, 1)), bad_rax);
    /* Not READY is said before unknown. */
    assert_status(CALL(mc, 0, 200), TDX_SYS_NOT_READY);
    assert_status(CALL(mc, 0, 0xffff), TDX_SYS_NOT_READY);
    assert_status(CALL(mc, 0, TDH_SYS_TDMR_INIT), TDX_SYS_NOT_READY);
    assert_status(CALL(mc, 0, TDH_SYS_SHUTDOWN, .rcx = 1), TDX_SYS_NOT_READY);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD), TDX_SYS_NOT_READY);
    machine_ready(mc);
    assert_status(CALL(mc, 0, 200), bad_rax);
    assert_status(CALL(mc, 0, 0xffff), bad_rax);
    g_assert_cmpuint(mc->unimp, >, 0);
    machine_free(mc);
}

static void test_init(void)
{
    Machine *mc = machine_new(2, 1);

    assert_status(CALL(mc, 0, TDH_SYS_LP_INIT), TDX_SYS_LP_INIT_NOT_PENDING);
    assert_status(CALL(mc, 0, TDH_SYS_INIT, .rcx = 1), OPERAND(TDX_OPERAND_INVALID, RCX));
    assert_status(CALL(mc, 0, TDH_SYS_INIT, .rdx = 5, .r8 = 6), TDX_SUCCESS);
    g_assert_cmphex(mc->out.rcx | mc->out.rdx | mc->out.r8 | mc->out.r9 | mc->out.r10,
                    ==, 0);
    /* The operand is checked before the state. */
    assert_status(CALL(mc, 1, TDH_SYS_INIT, .rcx = 1), OPERAND(TDX_OPERAND_INVALID, RCX));
    assert_status(CALL(mc, 1, TDH_SYS_INIT), TDX_SYS_INIT_NOT_PENDING);

    mc->no_entropy = true;
    assert_status(CALL(mc, 0, TDH_SYS_LP_INIT), TDX_RND_NO_ENTROPY);
    mc->no_entropy = false;
    assert_status(CALL(mc, 0, TDH_SYS_LP_INIT), TDX_SUCCESS);
    mc->no_entropy = true;
    assert_status(CALL(mc, 0, TDH_SYS_LP_INIT), TDX_SYS_LP_INIT_DONE);
    mc->no_entropy = false;
    machine_tdmr_list(mc);
    /* LP 1 is missing. */
    assert_status(CALL(mc, 0, TDH_SYS_CONFIG, .rcx = machine_tdmr_list(mc), .rdx = 2,
                       .r8 = MACHINE_GLOBAL_HKID), TDX_SYS_CONFIG_NOT_PENDING);
    assert_status(CALL(mc, 1, TDH_SYS_LP_INIT), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_CONFIG, .rcx = machine_tdmr_list(mc), .rdx = 2,
                       .r8 = MACHINE_GLOBAL_HKID), TDX_SUCCESS);
    assert_status(CALL(mc, 1, TDH_SYS_LP_INIT), TDX_SYS_LP_INIT_NOT_PENDING);
    machine_free(mc);
}

static void test_sys_rd(void)
{
    Machine *mc = machine_new(2, 1);
    static const struct {
        uint64_t id, value;
    } want[] = {
        /* As Linux writes them, whatever the size bits say. */
        { 0x0800000100000003, 5 }, { 0x0800000100000004, 2 }, { 0x0800000100000005, 7 },
        { 0x0A00000300000008, 1ull << 3 | 1ull << 4 | 1ull << 9 | 1ull << 16 |
                              1ull << 18 | 1ull << 20 | 1ull << 29 | 1ull << 30 |
                              1ull << 53 },
        { 0x9100000100000008, 64 }, { 0x9100000100000009, 16 },
        { 0x9100000100000010, 16 }, { 0x9100000100000011, 16 },
        { 0x9100000100000012, 16 },
        { 0x9800000100000000, 4096 }, { 0x9800000100000100, 36864 },
        { 0x9800000100000200, 24576 },
        { 0x1900000300000001, 0 }, { 0x1900000300000002, 0x207 },
        { 0x1900000300000003, 3 },
        { 0x9900000100000008, 1376 },
        { 0x0800000200000000, 0x8086 }, { 0x8800000200000001, 0x20260102 },
        { 0x8800000100000002, 42 }, { 0x0000000200000001, 0x806f8 },
        { 0x9000000100000000, 32 },
        { 0x9000000300000081, GIB }, { 0x9000000300000101, MACHINE_RAM_SIZE },
        { 0x9000000300000102, 0 },
    };

    assert_status(CALL(mc, 0, TDH_SYS_RD, .rdx = want[0].id, .r8 = 9),
                  TDX_SYS_LP_INIT_NOT_DONE);
    g_assert_cmphex(mc->out.rdx, ==, UINT64_MAX);
    g_assert_cmphex(mc->out.r8, ==, 0);
    machine_init(mc);
    for (size_t i = 0; i < G_N_ELEMENTS(want); i++) {
        assert_status(CALL(mc, 1, TDH_SYS_RD, .rdx = want[i].id), TDX_SUCCESS);
        g_assert_cmphex(mc->out.r8, ==, want[i].value);
    }
    /* ATTRIBUTES that KVM needs. */
    assert_status(CALL(mc, 0, TDH_SYS_RD, .rdx = TDX_MD_ATTRIBUTES_FIXED0), TDX_SUCCESS);
    g_assert_cmphex(mc->out.r8 & 1ull << 28, !=, 0);
    machine_free(mc);
}

static void test_sys_rd_errors(void)
{
    Machine *mc = machine_new(1, 1);
    const uint64_t bad_id = OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX);
    const uint64_t id = TDX_MD_MAX_TDMRS;
    const uint64_t bad[] = {
        0x9100000100000007,             /* no such code */
        0x8500000100000008,             /* no such class */
        0x9100000000000013, 0x9100000100000013,         /* Dynamic PAMT is off */
        id | 1ull << 34, id | 1ull << 37,       /* LAST_ELEMENT_IN_FIELD */
        id | 1ull << 38, id | 1ull << 46,       /* LAST_FIELD_IN_SEQUENCE */
        id | 1ull << 47, id | 1ull << 49, id | 1ull << 55, id | 1ull << 62,
    };

    machine_init(mc);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_status(CALL(mc, 0, TDH_SYS_RD, .rdx = bad[i], .r8 = 1), bad_id);
        g_assert_cmphex(mc->out.rdx, ==, UINT64_MAX);
        g_assert_cmphex(mc->out.r8, ==, 0);
    }
    machine_free(mc);
}

/* From the null id through all fields; every id is readable and new. */
static void test_sys_rd_sequence(void)
{
    Machine *mc = machine_new(1, 1);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);
    uint64_t ids[1024];
    unsigned n = 0;

    machine_init(mc);
    assert_status(CALL(mc, 0, TDH_SYS_RD, .rdx = UINT64_MAX),
                  TDX_METADATA_FIRST_FIELD_ID_IN_CONTEXT);
    while (mc->out.rdx != UINT64_MAX) {
        g_assert_cmpuint(n, <, G_N_ELEMENTS(ids));
        ids[n] = mc->out.rdx;
        g_assert_true(g_hash_table_add(seen, &ids[n]));
        assert_status(CALL(mc, 0, TDH_SYS_RD, .rdx = ids[n++]), TDX_SUCCESS);
    }
    g_assert_cmpuint(n, >, 40);
    machine_free(mc);
}

static void test_config_operands(void)
{
    Machine *mc = machine_new(1, 1);
    uint64_t list = machine_tdmr_list(mc);
    const uint64_t private_pa = 16ull << MACHINE_HKID_SHIFT;
    const uint64_t last = MACHINE_MKTME_KEYIDS + MACHINE_TDX_KEYIDS;
    struct {
        uint64_t rcx, rdx, r8, status;
    } bad[] = {
        { list + 256, 0, 0, OPERAND(TDX_OPERAND_INVALID, RCX) },
        { list | 1ull << MACHINE_MAX_PA, 2, 16, OPERAND(TDX_OPERAND_INVALID, RCX) },
        { list | private_pa, 2, 16, OPERAND(TDX_OPERAND_INVALID, RCX) },
        { 512 * MIB, 2, 16, OPERAND(TDX_OPERAND_INVALID, RCX) },        /* not RAM */
        { list, 0, 0, OPERAND(TDX_OPERAND_INVALID, RDX) },
        { list, 65, 0, OPERAND(TDX_OPERAND_INVALID, RDX) },
        { list, 2, MACHINE_MKTME_KEYIDS, OPERAND(TDX_OPERAND_INVALID, R8) },
        { list, 2, last + 1, OPERAND(TDX_OPERAND_INVALID, R8) },
        { list, 2, 16 | 1ull << 17, OPERAND(TDX_OPERAND_INVALID, R8) },
        { list, 2, 16 | 1ull << 63, OPERAND(TDX_OPERAND_INVALID, R8) },
        /* Dynamic PAMT is not offered. */
        { list, 2, 16 | 1ull << 16, OPERAND(TDX_OPERAND_INVALID, R8) },
    };

    assert_status(CALL(mc, 0, TDH_SYS_CONFIG), TDX_SYS_CONFIG_NOT_PENDING);
    machine_init(mc);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_status(CALL(mc, 0, TDH_SYS_CONFIG, .rcx = bad[i].rcx, .rdx = bad[i].rdx,
                           .r8 = bad[i].r8), bad[i].status);
    }
    /* An MKTME KeyID is shared memory. */
    assert_status(CALL(mc, 0, TDH_SYS_CONFIG, .rdx = 2, .r8 = last,
                       .rcx = list | 1ull << MACHINE_HKID_SHIFT), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_CONFIG, .rcx = list, .rdx = 2, .r8 = 16),
                  TDX_SYS_CONFIG_NOT_PENDING);
    machine_free(mc);
}

static void test_key_config(void)
{
    Machine *mc = machine_new(4, 2);

    assert_status(CALL(mc, 0, TDH_SYS_KEY_CONFIG), TDX_SYS_KEY_CONFIG_NOT_PENDING);
    machine_init(mc);
    assert_status(CALL(mc, 0, TDH_SYS_KEY_CONFIG), TDX_SYS_KEY_CONFIG_NOT_PENDING);
    assert_status(CALL(mc, 0, TDH_SYS_CONFIG, .rcx = machine_tdmr_list(mc), .rdx = 2,
                       .r8 = MACHINE_GLOBAL_HKID), TDX_SUCCESS);
    assert_status(CALL(mc, 2, TDH_SYS_KEY_CONFIG), TDX_SUCCESS);        /* package 0 */
    assert_status(CALL(mc, 0, TDH_SYS_KEY_CONFIG), TDX_KEY_CONFIGURED);
    assert_status(CALL(mc, 0, TDH_SYS_TDMR_INIT), TDX_SYS_NOT_READY);
    assert_status(CALL(mc, 3, TDH_SYS_KEY_CONFIG), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_KEY_CONFIG), TDX_SYS_KEY_CONFIG_NOT_PENDING);
    assert_status(CALL(mc, 0, TDH_SYS_TDMR_INIT, .rcx = 0), TDX_SUCCESS);
    machine_free(mc);
}

/* Another LP is in the module: the locks say so. */
static void test_busy(void)
{
    Machine *mc = machine_new(2, 1);
    TdxMod *m = mc->mod;
    static const unsigned exclusive[] = {
        TDH_SYS_INIT, TDH_SYS_LP_INIT, TDH_SYS_CONFIG, TDH_SYS_KEY_CONFIG,
        TDH_SYS_DISABLE, TDH_SYS_LP_SHUTDOWN,
    };

    mc->no_check = true;
    g_assert_true(tdx_trylock(&m->sys_lock, LOCK_EXCLUSIVE));
    for (size_t i = 0; i < G_N_ELEMENTS(exclusive); i++) {
        assert_status(CALL(mc, 0, exclusive[i]), TDX_SYS_BUSY);
    }
    tdx_unlock(&m->sys_lock, LOCK_EXCLUSIVE);
    assert_status(CALL(mc, 0, TDH_SYS_DISABLE), TDX_SUCCESS);
    machine_init(mc);
    /* LP.INIT runs on several LPs at once. */
    m->lp[1].init_done = false;
    g_assert_true(tdx_trylock(&m->sys_lock, LOCK_SHARED));
    assert_status(CALL(mc, 1, TDH_SYS_LP_INIT), TDX_SUCCESS);
    assert_status(CALL(mc, 1, TDH_SYS_CONFIG), TDX_SYS_BUSY);
    tdx_unlock(&m->sys_lock, LOCK_SHARED);
    machine_free(mc);

    mc = machine_new(2, 1);
    machine_ready(mc);
    m = mc->mod;
    mc->no_check = true;
    g_assert_true(tdx_trylock(&m->inside_lock, LOCK_EXCLUSIVE));
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD), TDX_SYS_BUSY);
    tdx_unlock(&m->inside_lock, LOCK_EXCLUSIVE);
    g_assert_true(tdx_trylock(&m->inside_lock, LOCK_SHARED));
    assert_status(CALL(mc, 0, TDH_SYS_SHUTDOWN, .rcx = 1), TDX_SYS_BUSY);
    assert_status(CALL(mc, 0, TDH_SYS_DISABLE), TDX_SYS_BUSY);
    tdx_unlock(&m->inside_lock, LOCK_SHARED);
    m->lp[1].run.active = true;         /* LP 1 runs a TD */
    assert_status(CALL(mc, 0, TDH_SYS_SHUTDOWN, .rcx = 1), TDX_SYS_BUSY);
    assert_status(CALL(mc, 0, TDH_SYS_DISABLE), TDX_SYS_BUSY);
    m->lp[1].run.active = false;
    mc->no_check = false;
    assert_status(CALL(mc, 0, TDH_SYS_DISABLE), TDX_SUCCESS);
    machine_free(mc);
}

/* Once TDH.SYS.DISABLE was busy, nobody else enters the module until it has succeeded. */
static void test_disable_locks_out(void)
{
    static const unsigned leaves[] = {
        TDH_PHYMEM_PAGE_RDMD, TDH_VP_ENTER, TDH_MNG_CREATE, TDH_SYS_RD, TDH_SYS_LP_INIT,
    };
    Machine *mc = machine_new(2, 1);
    TdxMod *m = mc->mod;

    mc->no_check = true;
    for (int by_reset = 0; by_reset < 2; by_reset++) {
        machine_ready(mc);
        m->lp[1].run.active = true;
        assert_status(CALL(mc, 0, TDH_SYS_DISABLE), TDX_SYS_BUSY);
        m->lp[1].run.active = false;    /* the TD's exit, by an interrupt */
        for (size_t i = 0; i < G_N_ELEMENTS(leaves); i++) {
            assert_status(CALL(mc, 1, leaves[i]), TDX_SYS_BUSY);
        }
        if (by_reset) {
            tdxmod_reset(m);
        } else {
            assert_status(CALL(mc, 0, TDH_SYS_DISABLE), TDX_SUCCESS);
        }
        assert_status(CALL(mc, 1, TDH_PHYMEM_PAGE_RDMD), TDX_SYS_NOT_READY);
    }
    machine_ready(mc);
    machine_free(mc);
}

static void test_shutdown(void)
{
    Machine *mc = machine_new(2, 1);

    machine_ready(mc);
    assert_status(CALL(mc, 0, TDH_SYS_SHUTDOWN, .rcx = 0),
                  OPERAND(TDX_OPERAND_INVALID, RCX));
    assert_status(CALL(mc, 0, TDH_SYS_SHUTDOWN, .rcx = 2),
                  OPERAND(TDX_OPERAND_INVALID, RCX));
    assert_status(CALL(mc, 0, TDH_SYS_SHUTDOWN, .rcx = 1), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_RD, .rdx = TDX_MD_FEATURES0), TDX_SYS_SHUTDOWN);
    assert_status(CALL(mc, 1, TDH_PHYMEM_PAGE_RDMD), TDX_SYS_SHUTDOWN);
    assert_status(CALL(mc, 1, TDH_SYS_INIT), TDX_SYS_SHUTDOWN);
    assert_status(CALL(mc, 1, 200), TDX_SYS_SHUTDOWN);
    assert_status(CALL(mc, 1, 200 | 1ull << 30), OPERAND(TDX_OPERAND_INVALID, RAX));
    assert_status(CALL(mc, 1, TDH_SYS_LP_SHUTDOWN), TDX_SUCCESS);
    machine_free(mc);
}

/* No module was installed over this one: there is nothing to take over. */
static void test_update(void)
{
    Machine *mc = machine_new(2, 1);

    assert_status(CALL(mc, 0, TDH_SYS_UPDATE), TDX_SYS_STATE_INCORRECT);
    assert_status(CALL(mc, 0, TDH_SYS_INIT), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_LP_INIT), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_UPDATE), TDX_SYS_STATE_INCORRECT);
    assert_status(CALL(mc, 1, TDH_SYS_LP_INIT), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_UPDATE), TDX_SYS_INVALID_HANDOFF);
    tdxmod_reset(mc->mod);
    machine_ready(mc);
    assert_status(CALL(mc, 0, TDH_SYS_UPDATE), TDX_SYS_STATE_INCORRECT);
    assert_status(CALL(mc, 0, TDH_SYS_SHUTDOWN, .rcx = 1), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_UPDATE), TDX_SYS_SHUTDOWN);
    machine_free(mc);
}

static void test_disable(void)
{
    Machine *mc = machine_new(2, 2);

    assert_status(CALL(mc, 0, TDH_SYS_DISABLE), TDX_SUCCESS);
    for (int i = 0; i < 2; i++) {
        machine_ready(mc);
        assert_status(CALL(mc, 1, TDH_PHYMEM_PAGE_RDMD, .rcx = machine_page(mc)),
                      TDX_SUCCESS);
        assert_status(CALL(mc, 1, TDH_SYS_DISABLE), TDX_SUCCESS);
        assert_status(CALL(mc, 1, TDH_PHYMEM_PAGE_RDMD), TDX_SYS_NOT_READY);
        assert_status(CALL(mc, 0, TDH_SYS_RD, .rdx = TDX_MD_FEATURES0),
                      TDX_SYS_LP_INIT_NOT_DONE);
    }
    /* Also from SHUTDOWN; a machine reset does the same. */
    machine_ready(mc);
    assert_status(CALL(mc, 0, TDH_SYS_LP_SHUTDOWN), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_SYS_DISABLE), TDX_SUCCESS);
    machine_ready(mc);
    tdxmod_reset(mc->mod);
    machine_ready(mc);
    machine_free(mc);
}

static void test_stats(void)
{
    Machine *mc = machine_new(1, 1);
    const char *name;
    uint64_t calls, errors;

    machine_ready(mc);
    CALL(mc, 0, TDH_SYS_INIT);
    g_assert_true(tdxmod_leaf_stats(mc->mod, false, TDH_SYS_INIT, &name, &calls,
                                    &errors));
    g_assert_cmpstr(name, ==, "TDH.SYS.INIT");
    g_assert_cmpuint(calls, ==, 2);
    g_assert_cmpuint(errors, ==, 1);
    g_assert_true(tdxmod_leaf_stats(mc->mod, false, TDH_SYS_TDMR_INIT, &name, &calls,
                                    &errors));
    /* Two TDMRs of 1 GiB, 4 MiB a call. */
    g_assert_cmpuint(calls, ==, 512);
    g_assert_cmpuint(errors, ==, 0);
    g_assert_false(tdxmod_leaf_stats(mc->mod, false, 200, &name, &calls, &errors));
    g_assert_false(tdxmod_leaf_stats(mc->mod, false, UINT32_MAX, &name, &calls, &errors));
    machine_free(mc);
}

static void test_status_names(void)
{
    g_assert_cmpstr(tdxmod_status_name(0), ==, "TDX_SUCCESS");
    g_assert_cmpstr(tdxmod_status_name(0x8000020000000092), ==, "TDX_OPERAND_BUSY");
    g_assert_cmpstr(tdxmod_status_name(0xC0000B0D00000001), ==,
                    "TDX_EPT_ENTRY_STATE_INCORRECT");
    g_assert_null(tdxmod_status_name(0x8000FF0000000006));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sys/configuration", test_configuration);
    g_test_add_func("/sys/dispatch", test_dispatch);
    g_test_add_func("/sys/init", test_init);
    g_test_add_func("/sys/rd", test_sys_rd);
    g_test_add_func("/sys/rd-errors", test_sys_rd_errors);
    g_test_add_func("/sys/rd-sequence", test_sys_rd_sequence);
    g_test_add_func("/sys/config-operands", test_config_operands);
    g_test_add_func("/sys/key-config", test_key_config);
    g_test_add_func("/sys/busy", test_busy);
    g_test_add_func("/sys/shutdown", test_shutdown);
    g_test_add_func("/sys/update", test_update);
    g_test_add_func("/sys/disable", test_disable);
    g_test_add_func("/sys/disable-locks-out", test_disable_locks_out);
    g_test_add_func("/sys/stats", test_stats);
    g_test_add_func("/sys/status-names", test_status_names);
    return g_test_run();
}
