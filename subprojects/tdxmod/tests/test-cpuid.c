/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUID of a TD: what the host may configure, and what the guest finds. */
#include "guest.h"
#include "../src/cpuid.h"

/* Slot of (leaf, sub) in TD_PARAMS, as the metadata tell. */
static struct tdx_cpuid_value *slot(TdxMod *m, struct td_params *p, uint32_t leaf,
                                    uint32_t sub)
{
    struct tdx_cpuid_value mask;
    uint32_t l, s;

    for (unsigned i = 0; cpuid_config(m, i, &l, &s, &mask); i++) {
        if (l == leaf && s == sub) {
            return &p->cpuid[i];
        }
    }
    g_error("no CPUID_CONFIG for 0x%x.0x%x", leaf, sub);
}

static void cpuid(Guest *g, uint32_t leaf, uint32_t sub)
{
    g->regs->gpr[TDX_RAX] = 0xffffffff00000000 | leaf;
    g->regs->gpr[TDX_RCX] = 0xffffffff00000000 | sub;
    guest_expect_done(g, VMX_EXIT_CPUID, 0);
}

static void expect(Guest *g, uint32_t leaf, uint32_t sub, uint64_t a, uint64_t b,
                   uint64_t c, uint64_t d)
{
    cpuid(g, leaf, sub);
    g_assert_cmphex(g->regs->gpr[TDX_RAX], ==, a);
    g_assert_cmphex(g->regs->gpr[TDX_RBX], ==, b);
    g_assert_cmphex(g->regs->gpr[TDX_RCX], ==, c);
    g_assert_cmphex(g->regs->gpr[TDX_RDX], ==, d);
}

static void expect_ve(Guest *g, uint32_t leaf, uint32_t sub)
{
    g->regs->gpr[TDX_RAX] = leaf;
    g->regs->gpr[TDX_RCX] = sub;
    guest_expect_event(g, VMX_EXIT_CPUID, 0, EVENT_VE);
    guest_fetch_ve(g);
    g_assert_cmphex(g->regs->gpr[TDX_RCX], ==, VMX_EXIT_CPUID);
}

/* The metadata that KVM reads, leaf by leaf. */
static void test_config_table(void)
{
    Machine *mc = machine_new(1, 1);
    unsigned n;

    machine_ready(mc);
    assert_status(CALL(mc, 0, TDH_SYS_RD, .rdx = TDX_MD_NUM_CPUID_CONFIG), TDX_SUCCESS);
    n = mc->out.r8;
    g_assert_cmpuint(n, >=, 15);
    g_assert_cmpuint(n, <=, TDX_PARAMS_CPUID_ROOM);
    for (unsigned i = 0; i < n; i++) {
        uint64_t leaf, ab;

        assert_status(CALL(mc, 0, TDH_SYS_RD, .rdx = TDX_MD_CPUID_CONFIG_LEAVES + i),
                      TDX_SUCCESS);
        leaf = mc->out.r8;
        assert_status(CALL(mc, 0, TDH_SYS_RD, .rdx = TDX_MD_CPUID_CONFIG_VALUES + 2 * i),
                      TDX_SUCCESS);
        ab = mc->out.r8;
        assert_status(CALL(mc, 0, TDH_SYS_RD,
                           .rdx = TDX_MD_CPUID_CONFIG_VALUES + 2 * i + 1), TDX_SUCCESS);
        if (leaf == (1 | 0xffffffffull << 32)) {
            g_assert_cmphex(ab, ==, 0x00ff00000fff3fff);
            /* ALLOW_DIRECT, as far as the test's processor has the bits */
            g_assert_cmphex(mc->out.r8, ==, (0xb8445080ull & 0xbfebfbff) << 32 |
                                            (0x31044d88 & 0x7ffafbff));
        } else if (leaf == (4 | 3ull << 32)) {
            g_assert_cmphex(ab, ==, 0xfffff000ffffc3ff);
            g_assert_cmphex(mc->out.r8, ==, 0x7ffffffff);
        } else if (leaf == 0x1f) {
            g_assert_cmphex(ab, ==, 0xffff0000001f);
            g_assert_cmphex(mc->out.r8, ==, 0xffff);
        }
    }
    machine_free(mc);
}

/* Everything configurable set. */
static void all_bits(TdxMod *m, struct td_params *p)
{
    uint32_t leaf, sub;

    for (unsigned i = 0; cpuid_config(m, i, &leaf, &sub, &p->cpuid[i]); i++) {
        if (leaf == 1) {
            p->cpuid[i].eax = 0;        /* the processor's */
        } else if (leaf == 0x1f) {
            memset(&p->cpuid[i], 0, sizeof(p->cpuid[i]));
        } else if (leaf == 7 && sub == 0) {
            p->cpuid[i].ebx &= ~0x810u; /* HLE, RTM: this processor has one only */
        }
    }
    p->xfam = 0x207;
}

static void test_values(void)
{
    Guest g;

    guest_start(&g, all_bits);
    expect(&g, 0, 0, 0x23, 0x756e6547, 0x6c65746e, 0x49656e69);
    cpuid(&g, 1, 0);
    g_assert_cmphex(g.regs->gpr[TDX_RAX], ==, 0x806f8);
    g_assert_cmphex(g.regs->gpr[TDX_RBX], ==, 0x00ff0800);
    /* SSE3 .. AVX, hypervisor, x2APIC; VMX, SMX and OSXSAVE are not there. */
    g_assert_cmphex(g.regs->gpr[TDX_RCX] & 0x88200060, ==, 0x80200000);
    g_assert_cmphex(g.regs->gpr[TDX_RCX] & 0x17eaa217, ==, 0x17eaa217);
    expect(&g, 4, 2, 0xffffc3ff, 0xffffffff & 0xfffff03f, 0xffffffff, 7);
    expect(&g, 4, 4, 0, 0, 0, 0);
    cpuid(&g, 7, 0);
    g_assert_cmphex(g.regs->gpr[TDX_RBX] & 0xdc230020, ==, 0x20);   /* AVX2, no AVX-512 */
    g_assert_cmphex(g.regs->gpr[TDX_RCX] & 8, ==, 8);               /* PKU */
    g_assert_cmphex(g.regs->gpr[TDX_RCX] >> 31, ==, 0);             /* PKS */
    g_assert_cmphex(g.regs->gpr[TDX_RDX] >> 29 & 1, ==, 1);         /* ARCH_CAP */
    expect(&g, 7, 3, 0, 0, 0, 0);
    expect(&g, 0xd, 2, 0x100, 0x240, 0, 0);
    expect(&g, 0xd, 5, 0, 0, 0, 0);
    expect(&g, 0x15, 0, 1, 40, 25000000, 0);
    expect(&g, 0x21, 0, 0, 0x65746e49, 0x20202020, 0x5844546c);
    expect(&g, 0x21, 1, 0, 0, 0, 0);
    expect(&g, 0x80000000, 0, 0x80000008, 0, 0, 0);
    expect(&g, 0x80000001, 0, 0, 0, 0x121, 0x2c100800);
    expect(&g, 0x80000007, 0, 0, 0, 0, 0x100);
    expect(&g, 0x80000008, 0, 0x3900 | MACHINE_MAX_PA, 0x200, 0, 0);    /* LA57 */
    expect(&g, 0x24, 0, 0, 0, 0, 0);    /* as leaf 23H */
    expect(&g, 0x80000009, 0, 0, 0, 0, 0);
    guest_end(&g);
}

/* Nothing configured: no allowed bit, no feature of XFAM 3. */
static void test_denied(void)
{
    Guest g;

    guest_start(&g, NULL);
    cpuid(&g, 1, 0);
    g_assert_cmphex(g.regs->gpr[TDX_RCX] & 0x31045d88, ==, 0);
    cpuid(&g, 7, 0);
    g_assert_cmphex(g.regs->gpr[TDX_RBX] & 0xdc2b9b38, ==, 0);
    g_assert_cmphex(g.regs->gpr[TDX_RCX] & 0x608, ==, 0);
    expect(&g, 0xd, 2, 0, 0, 0, 0);
    expect(&g, 0x80000008, 0, 0x3000 | MACHINE_MAX_PA, 0, 0, 0);
    guest_end(&g);
}

/* An allowed bit that the processor lacks: accepted, and 0. */
static void not_native(TdxMod *m, struct td_params *p)
{
    slot(m, p, 1, CPUID_NO_SUBLEAF)->ecx = 1 << 10 | 1 << 7;
}

static void test_allow_direct(void)
{
    Guest g;

    guest_start(&g, not_native);        /* the processor has bit 7 only */
    cpuid(&g, 1, 0);
    g_assert_cmphex(g.regs->gpr[TDX_RCX] & 0x31044d88, ==, 1 << 7);
    guest_end(&g);
}

static void test_faulting(void)
{
    static const uint32_t leaves[] = {
        0x40000000, 0x4fffffff, 2, 6, 9, 0xb, 0xc, 0xf, 0x10, 0x16, 0x17, 0x1b, 0x1f,
        0x80000002, 0x80000005,
    };
    Guest g;

    guest_start(&g, all_bits);
    for (unsigned i = 0; i < G_N_ELEMENTS(leaves); i++) {
        expect_ve(&g, leaves[i], 0);
    }
    guest_end(&g);
}

/* What follows the registers of the vCPU. */
static void test_dynamic(void)
{
    Guest g;

    guest_start(&g, all_bits);
    guest_set_vmcs(&g, VMCS_GUEST_CR4, 0x2060 | 1 << 18 | 1 << 22);
    cpuid(&g, 1, 0);
    g_assert_cmphex(g.regs->gpr[TDX_RCX] >> 27 & 1, ==, 1);
    cpuid(&g, 7, 0);
    g_assert_cmphex(g.regs->gpr[TDX_RCX] >> 4 & 1, ==, 1);
    g.regs->xcr0 = 3;
    expect(&g, 0xd, 0, 0x207, 0x240, 0xa88, 0);
    g.regs->xcr0 = 0x207;
    expect(&g, 0xd, 0, 0x207, 0xa88, 0xa88, 0);
    expect(&g, 0xd, 1, 0xf, 0x240 + 0x100 + 8, 0, 0);
    guest_set_vmcs(&g, VMCS_GUEST_CS_AR, 0xc09b);
    expect(&g, 0x80000001, 0, 0, 0, 0x121, 0x2c100000);
    guest_end(&g);
}

/* 1 socket of 4 cores with 2 threads. */
static void topology(TdxMod *m, struct td_params *p)
{
    all_bits(m, p);
    *slot(m, p, 0x1f, 0) = (struct tdx_cpuid_value){ 1, 2, 0x100, 0 };
    *slot(m, p, 0x1f, 1) = (struct tdx_cpuid_value){ 3, 8, 0x201, 0 };
}

static void set_ctls(Guest *g, uint64_t bits)
{
    g->regs->gpr[TDX_RCX] = 0;
    g->regs->gpr[TDX_RDX] = TDX_MD_TDCS_TD_CTLS;
    g->regs->gpr[TDX_R8] = g->regs->gpr[TDX_R9] = bits;
    assert_status(guest_tdcall(g, TDG_VM_WR), TDX_SUCCESS);
}

static void test_topology(void)
{
    Guest g;

    guest_start(&g, topology);
    g.vp->x2apic_id = 5;
    expect_ve(&g, 0x1f, 0);
    set_ctls(&g, TDX_TD_CTLS_ENUM_TOPOLOGY);
    expect(&g, 0x1f, 0, 1, 2, 0x100, 5);
    expect(&g, 0x1f, 1, 3, 8, 0x201, 5);
    expect(&g, 0x1f, 2, 0, 0, 2, 5);
    expect(&g, 0x1f, 9, 0, 0, 9, 5);
    expect(&g, 0xb, 0, 1, 2, 0x100, 5);
    expect(&g, 0xb, 1, 3, 8, 0x201, 5);
    expect(&g, 0xb, 2, 0, 0, 2, 5);
    cpuid(&g, 1, 0);
    g_assert_cmphex(g.regs->gpr[TDX_RBX] >> 24, ==, 5);
    guest_end(&g);
}

static void test_reduce_ve(void)
{
    Guest g;

    guest_start(&g, topology);
    cpuid(&g, 1, 0);
    g_assert_cmphex(g.regs->gpr[TDX_RDX] & 0x5080, ==, 0x5080);     /* MCA MTRR MCE */
    set_ctls(&g, TDX_TD_CTLS_REDUCE_VE);
    cpuid(&g, 1, 0);
    g_assert_cmphex(g.regs->gpr[TDX_RDX] & 0x405080, ==, 0);
    expect(&g, 2, 0, 0x00feff01, 0, 0, 0);
    expect(&g, 6, 0, 0, 0, 0, 0);
    expect(&g, 0x10, 0, 0, 0, 0, 0);
    expect(&g, 0x80000002, 0, 0, 0, 0, 0);
    expect(&g, 0x1f, 1, 3, 8, 0x201, 0);
    expect_ve(&g, 0x40000000, 0);
    g.tdcs->feature_paravirt_ctrl = CPUID_F_MTRR;
    cpuid(&g, 1, 0);
    g_assert_cmphex(g.regs->gpr[TDX_RDX] & 0x5080, ==, 0x1000);
    guest_end(&g);
}

static void test_control(void)
{
    Guest g;
    int i = cpuid_find(0x15, CPUID_NO_SUBLEAF);

    guest_start(&g, NULL);
    g.vp->cpuid_control[i] = 1;
    expect_ve(&g, 0x15, 0);
    g.vp->cpuid_control[i] = 2;
    cpuid(&g, 0x15, 0);
    guest_end(&g);
}

/* CPUID_VALUES as KVM_TDX_GET_CPUID reads them. */
static void test_mng_rd(void)
{
    static const struct {
        uint32_t code;
        uint64_t value;
    } rows[] = {
        { 0x1fe, 0x756e654700000023 },
        { 0x1ff, 0x49656e696c65746e },
        { 0x15 << 9 | 0x1fe, (40ull << 32) | 1 },
        { 1 << 16 | 0x1fe, 0x80000008 },
        { 0x21 << 9, 0x65746e4900000000 },
        { 0xd << 9 | 2 << 1, 0 },
    };
    static const uint32_t bad[] = {
        0x2 << 9 | 0x1fe, 0x2 << 9, 0x7 << 9 | 0x1fe, 0x7 << 9 | 3 << 1,
        0x30 << 9 | 0x1fe, 0x16 << 9 | 0x1fe, 0xb << 9,
    };
    Guest g;

    guest_start(&g, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        assert_status(CALL(g.mc, 1, TDH_MNG_RD, .rcx = g.l.tdr,
                           .rdx = TDX_MD_TDCS_CPUID_VALUES + rows[i].code), TDX_SUCCESS);
        g_assert_cmphex(g.mc->out.r8, ==, rows[i].value);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        uint64_t st = CALL(g.mc, 1, TDH_MNG_RD, .rcx = g.l.tdr,
                           .rdx = TDX_MD_TDCS_CPUID_VALUES + bad[i]);

        g_assert_true(st & TDX_ERROR);
        g_assert_cmphex(g.mc->out.r8, ==, 0);
    }
    guest_end(&g);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cpuid/config-table", test_config_table);
    g_test_add_func("/cpuid/values", test_values);
    g_test_add_func("/cpuid/denied", test_denied);
    g_test_add_func("/cpuid/allow-direct", test_allow_direct);
    g_test_add_func("/cpuid/faulting", test_faulting);
    g_test_add_func("/cpuid/dynamic", test_dynamic);
    g_test_add_func("/cpuid/topology", test_topology);
    g_test_add_func("/cpuid/reduce-ve", test_reduce_ve);
    g_test_add_func("/cpuid/control", test_control);
    g_test_add_func("/cpuid/mng-rd", test_mng_rd);
    return g_test_run();
}
