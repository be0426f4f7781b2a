/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random VM exits of a TD: nothing that a guest does may crash the module,
 * change what the host owns of its vCPU, or leave a state that a VM entry
 * refuses.  Then the same with a TDVPS that is overwritten.
 */
#include <stdlib.h>
#include "guest.h"
#include "module.h"
#include "tdx/tdvps.h"

#define CHECK_EVERY     64

static unsigned exits(void)
{
    const char *env = getenv("TDXMOD_RANDOM_CALLS");

    return env ? atoi(env) : 20000;
}

/* VMCS fields that no TD exit may change. */
static const uint32_t host_owned[] = {
    VMCS_PIN_CONTROLS, VMCS_SECONDARY_CONTROLS, VMCS_EXIT_CONTROLS,
    VMCS_EXCEPTION_BITMAP, VMCS_EPT_POINTER, VMCS_SHARED_EPT_POINTER,
    VMCS_MSR_BITMAP, VMCS_VIRTUAL_APIC_ADDR, VMCS_POSTED_INTR_DESC,
    VMCS_POSTED_INTR_NV, VMCS_TSC_OFFSET, VMCS_TSC_MULTIPLIER, VMCS_TD_HKID,
    VMCS_VPID, VMCS_CR0_MASK, VMCS_CR4_MASK, VMCS_LINK_POINTER,
};

typedef struct Owned {
    uint64_t value[G_N_ELEMENTS(host_owned)];
} Owned;

static void read_owned(Guest *g, Owned *o)
{
    for (size_t i = 0; i < G_N_ELEMENTS(host_owned); i++) {
        o->value[i] = guest_vmcs(g, host_owned[i]);
    }
}

/* What a VM entry needs of the state, and what a TD is promised. */
static void check_vcpu(Guest *g, const Owned *before)
{
    uint64_t cr0 = guest_vmcs(g, VMCS_GUEST_CR0);
    uint64_t cr4 = guest_vmcs(g, VMCS_GUEST_CR4);
    uint64_t efer = guest_vmcs(g, VMCS_GUEST_EFER);
    uint32_t info = guest_vmcs(g, VMCS_ENTRY_INTR_INFO);
    bool ia32e = guest_vmcs(g, VMCS_ENTRY_CONTROLS) & ENTRY_IA32E;
    Owned now;

    read_owned(g, &now);
    for (size_t i = 0; i < G_N_ELEMENTS(host_owned); i++) {
        g_assert_cmphex(now.value[i], ==, before->value[i]);
    }
    g_assert_cmphex(cr0 & 0x60000020, ==, 0x20);        /* no CD, NW; NE */
    g_assert_cmphex(cr0 & 0x80000001, !=, 0x80000000);  /* no PG without PE */
    g_assert_cmphex(cr4 & 0x2040, ==, 0x2040);          /* VMXE, MCE */
    g_assert_cmphex(efer & 0x900, ==, 0x900);           /* LME, NXE */
    g_assert_cmpuint(!!(efer & 0x400), ==, ia32e);
    g_assert_cmpuint(!!(cr0 & 0x80000000), ==, ia32e);
    g_assert_cmphex(g->regs->xcr0 & 1, ==, 1);
    g_assert_cmphex(g->regs->xcr0 & ~g->tdcs->xfam, ==, 0);
    g_assert_cmphex(g->regs->xss & ~g->tdcs->xfam, ==, 0);
    if (info & INTR_VALID) {
        unsigned vector = info & INTR_VECTOR, type = info & INTR_TYPE;

        g_assert_cmphex(info & 0x7ffff000, ==, 0);
        g_assert_true(type != INTR_TYPE_HW_EXC || vector < 32);
        g_assert_true(type != INTR_TYPE_NMI || vector == 2);
    }
}

static uint64_t any_gpa(GRand *r)
{
    static const uint64_t gpas[] = {
        0, 0x1000, 0x2000, 0x200000, 0x40000000, GUEST_SHARED, GUEST_SHARED | 0x3000,
        1ull << 48, 1ull << 51, 1ull << 63, (1ull << 47) - 4096,
    };

    return gpas[g_rand_int_range(r, 0, G_N_ELEMENTS(gpas))] +
           (g_rand_boolean(r) ? 0 : g_rand_int_range(r, 0, 4096));
}

static uint64_t any_value(GRand *r)
{
    switch (g_rand_int_range(r, 0, 6)) {
    case 0:
        return any_gpa(r);
    case 1:
        return 1ull << g_rand_int_range(r, 0, 64);
    case 2:
        return (uint64_t)g_rand_int(r) << 32 | g_rand_int(r);
    case 3:
        return UINT64_MAX;
    default:
        return g_rand_int_range(r, 0, 64);
    }
}

/* Event in delivery, as a processor may report it. */
static uint32_t any_vectoring(GRand *r)
{
    static const uint32_t info[] = {
        0x80000b0d, 0x80000b0e, 0x80000306, 0x80000314, 0x80000202, 0x80000031,
        0x80000603, 0x80000480, 0x80000b08,
    };

    return g_rand_int_range(r, 0, 32) ? 0 :
           info[g_rand_int_range(r, 0, G_N_ELEMENTS(info))];
}

/* RIP, RSP, selectors stay what the guest ran with; the rest is the exit's. */
static uint32_t random_exit_info(Guest *g, GRand *r)
{
    static const uint8_t reasons[] = {
        VMX_EXIT_CPUID, VMX_EXIT_RDMSR, VMX_EXIT_WRMSR, VMX_EXIT_CR, VMX_EXIT_XSETBV,
        VMX_EXIT_EPT_VIOLATION, VMX_EXIT_EPT_VIOLATION, VMX_EXIT_TDCALL,
        VMX_EXIT_TDCALL, VMX_EXIT_TDCALL, VMX_EXIT_TDCALL, VMX_EXIT_IO, VMX_EXIT_HLT,
        VMX_EXIT_EXT_INTR, VMX_EXIT_NMI_WINDOW,
    };
    static const uint32_t msrs[] = {
        0x10, 0x1b, 0x34, 0x79, 0x8b, 0xce, 0x10a, 0x140, 0x1a0, 0x1d9, 0x345, 0x6e0,
        0x802, 0x830, 0xda0, 0xc0000080, 0xc0000083, 0x4b564d00,
    };
    uint64_t *regs = g->regs->gpr;

    for (unsigned i = 0; i < 16; i++) {
        regs[i] = any_value(r);
    }
    if (g_rand_boolean(r)) {
        regs[TDX_RCX] = msrs[g_rand_int_range(r, 0, G_N_ELEMENTS(msrs))];
    }
    guest_set_vmcs(g, VMCS_GUEST_PHYSICAL_ADDR, any_gpa(r));
    guest_set_vmcs(g, VMCS_GUEST_LINEAR_ADDR, any_value(r));
    guest_set_vmcs(g, VMCS_IDT_VECTORING_INFO, any_vectoring(r));
    guest_set_vmcs(g, VMCS_IDT_VECTORING_ERROR, 0);
    guest_set_vmcs(g, VMCS_EXIT_INTR_INFO, 0x80000031);
    guest_set_vmcs(g, VMCS_EXIT_INSN_LEN, g_rand_int_range(r, 1, 16));
    guest_set_vmcs(g, VMCS_EXIT_INSN_INFO, g_rand_int(r));
    guest_set_vmcs(g, VMCS_ENTRY_INTR_INFO, 0);
    if (g_rand_int_range(r, 0, 500) == 0) {
        return g_rand_int_range(r, 0, 80);
    }
    return reasons[g_rand_int_range(r, 0, G_N_ELEMENTS(reasons))];
}

/* MOV to CR0 or CR4 mostly: other accesses do not exit, and are fatal. */
static uint64_t random_qual(GRand *r, uint32_t reason)
{
    if (reason == VMX_EXIT_CR && g_rand_int_range(r, 0, 50)) {
        return (g_rand_boolean(r) ? 4 : 0) | g_rand_int_range(r, 0, 16) << 8;
    }
    return any_value(r);
}

/* A TDCALL with what a guest may well pass. */
static void likely_tdcall(Guest *g, GRand *r)
{
    static const uint8_t leaves[] = {
        TDG_VP_VMCALL, TDG_VP_INFO, TDG_MR_RTMR_EXTEND, TDG_VP_VEINFO_GET,
        TDG_VP_VEINFO_GET, TDG_MR_REPORT, TDG_VP_CPUIDVE_SET, TDG_MEM_PAGE_ACCEPT,
        TDG_VM_RD, TDG_VM_WR, TDG_VP_RD, TDG_VP_WR, TDG_SYS_RD, TDG_MR_VERIFYREPORT,
        TDG_MEM_PAGE_ATTR_RD, TDG_MEM_PAGE_ATTR_WR,
    };
    static const uint64_t fields[] = {
        TDX_MD_TDCS_TD_CTLS, TDX_MD_TDCS_NOTIFY_ENABLES, TDX_MD_TDCS_CONFIG_FLAGS,
        TDX_MD_TDCS_MRTD, TDX_MD_FEATURES0, TDX_MD_VCPU_CPUID_CONTROL,
    };
    uint64_t *regs = g->regs->gpr;
    unsigned leaf = leaves[g_rand_int_range(r, 0, G_N_ELEMENTS(leaves))];

    regs[TDX_RAX] = leaf;
    if (leaf == TDG_VP_VMCALL) {
        regs[TDX_RCX] = 0xffcc;
    } else if (leaf >= TDG_VM_RD && leaf <= TDG_SYS_RD) {
        regs[TDX_RCX] = 0;
        regs[TDX_RDX] = fields[g_rand_int_range(r, 0, G_N_ELEMENTS(fields))];
    } else if (g_rand_boolean(r)) {
        regs[TDX_RCX] = 0x1000ull * g_rand_int_range(r, 0, 4);
        regs[TDX_RDX] = g_rand_boolean(r) ? g_rand_int_range(r, 0, 5) : 0x1000;
        regs[TDX_R8] = 0;
    }
}

/* Memory in all states: GPA 0 MAPPED, 1000H PENDING, 2000H blocked. */
static void start(Guest *g)
{
    guest_start(g, NULL);
    guest_set_vmcs(g, VMCS_ENTRY_CONTROLS,
                   guest_vmcs(g, VMCS_ENTRY_CONTROLS) | ENTRY_IA32E);
    life_sept(&g->l, 0, TDX_4K);
    for (uint64_t gpa = 0; gpa < 0x3000; gpa += 0x1000) {
        life_page_aug(&g->l, gpa);
    }
    g_assert_true(life_accept(&g->l, 0, TDX_4K));
    assert_status(CALL(g->mc, 0, TDH_MEM_RANGE_BLOCK, .rcx = 0x2000, .rdx = g->l.tdr),
                  TDX_SUCCESS);
    g->mc->no_check = true;
}

static bool gone(const Guest *g)
{
    return g->vp->state == VCPU_DISABLED || life_tdr((Life *)&g->l)->fatal;
}

static void test_exits(void)
{
    g_autoptr(GRand) r = g_rand_new_with_seed(g_test_rand_int());
    unsigned resumed = 0, returned = 0, lives = 1;
    Owned owned;
    Guest g;

    start(&g);
    read_owned(&g, &owned);
    for (unsigned i = 0; i < exits(); i++) {
        uint32_t reason = random_exit_info(&g, r);

        if (reason == VMX_EXIT_TDCALL && g_rand_int_range(r, 0, 4)) {
            likely_tdcall(&g, r);
        }
        g.mc->no_check = i % CHECK_EVERY != 0;
        if (guest_exit(&g, reason, random_qual(r, reason))) {
            resumed++;
            check_vcpu(&g, &owned);
            continue;
        }
        returned++;
        g_assert_cmphex(g.host[TDX_RAX] & 0x0fff000000000000, ==, 0);
        if (gone(&g)) {
            guest_end(&g);
            start(&g);
            read_owned(&g, &owned);
            lives++;
        } else {
            g.mc->no_check = false;     /* guest_enter() wants to see */
            guest_enter(&g);
            check_vcpu(&g, &owned);
        }
    }
    g_test_message("%u resumed, %u to the host, %u TDs", resumed, returned, lives);
    g_assert_cmpuint(resumed, >, exits() / 10);
    g_assert_cmpuint(returned, >, exits() / 100);
    g.mc->no_check = false;
    guest_end(&g);
}

/* L1 writes over the vCPU's and the TD's pages while it runs. */
static void test_scribbled(void)
{
    g_autoptr(GRand) r = g_rand_new_with_seed(g_test_rand_int());

    for (unsigned life = 0; life < 20; life++) {
        uint64_t gpr[16] = { 0 };
        TdxEnter enter;
        Guest g;

        start(&g);
        g.mc->scribbled = true;
        for (unsigned i = 0; i < exits() / 100; i++) {
            uint64_t page[] = { g.l.tdr, g.l.tdcs[0], g.l.tdcs[TDCS_CPUID],
                                g.l.tdcs[TDCS_SEPT_ROOT], g.l.vcpu[0].tdvpr };
            uint64_t *p = machine_ptr(g.mc, page[g_rand_int_range(r, 0, 5)], 4096);
            uint32_t reason = random_exit_info(&g, r);

            if (g_rand_int_range(r, 0, 4) == 0) {
                p[g_rand_int_range(r, 0, g_rand_boolean(r) ? 40 : 512)] = any_value(r);
            }
            likely_tdcall(&g, r);
            guest_set_vmcs(&g, VMCS_EXIT_REASON, reason);
            guest_set_vmcs(&g, VMCS_EXIT_QUALIFICATION, any_value(r));
            if (tdxmod_td_exit(g.mc->mod, 0, g_rand_boolean(r), gpr, &enter) ==
                TDX_RETURN_TO_HOST) {
                gpr[TDX_RAX] = TDH_VP_ENTER;
                gpr[TDX_RCX] = g.l.vcpu[0].tdvpr;
                if (tdxmod_seamcall(g.mc->mod, 0, gpr, &enter) != TDX_ENTER_TD) {
                    break;
                }
            }
        }
        /* The LP can always be taken out, and the module started anew. */
        tdxmod_lp_reset(g.mc->mod, 0);
        g_assert_false(g.mc->mod->lp[0].run.active);
        assert_status(CALL(g.mc, 0, TDH_SYS_DISABLE), TDX_SUCCESS);
        machine_free(g.mc);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/random-guest/exits", test_exits);
    g_test_add_func("/random-guest/scribbled", test_scribbled);
    return g_test_run();
}
