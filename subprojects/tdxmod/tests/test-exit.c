/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TD exits: what the TD gets and what TDH.VP.ENTER returns. */
#include "guest.h"

#define NON_RECOVERABLE_TD      0x6000000200000000ull

/* Registers of an asynchronous TD exit; RBP and RSP are L1's own. */
static void expect_host(Guest *g, uint64_t rax, uint64_t rcx, uint64_t rdx, uint64_t r8,
                        uint64_t r9)
{
    static const uint8_t zero[] = {
        TDX_RBX, TDX_RSI, TDX_RDI, TDX_R10, TDX_R11, TDX_R12, TDX_R13, TDX_R14, TDX_R15,
    };

    g_assert_cmphex(g->host[TDX_RAX], ==, rax);
    g_assert_cmphex(g->host[TDX_RCX], ==, rcx);
    g_assert_cmphex(g->host[TDX_RDX], ==, rdx);
    g_assert_cmphex(g->host[TDX_R8], ==, r8);
    g_assert_cmphex(g->host[TDX_R9], ==, r9);
    for (unsigned i = 0; i < G_N_ELEMENTS(zero); i++) {
        g_assert_cmphex(g->host[zero[i]], ==, 0);
    }
    g_assert_cmphex(g->host[TDX_RBP], ==, 0x5555555555555555);
    g_assert_cmphex(g->host[TDX_RSP], ==, 0x4444444444444444);
}

static void test_interrupts(void)
{
    Guest g;

    guest_start(&g, NULL);
    guest_set_vmcs(&g, VMCS_EXIT_INTR_INFO, 0x800000ec);
    g_assert_false(guest_exit(&g, VMX_EXIT_EXT_INTR, 0));
    expect_host(&g, 1, 0, 0, 0, 0x800000ec);
    g_assert_cmpint(g.vp->state, ==, VCPU_READY);

    guest_enter(&g);
    guest_set_vmcs(&g, VMCS_EXIT_INTR_INFO, 0x80000202);
    g_assert_false(guest_exit(&g, VMX_EXIT_EXCEPTION_NMI, 0));
    expect_host(&g, 0, 0, 0, 0, 0x80000202);
    guest_end(&g);
}

static void test_machine_check(void)
{
    Guest g;

    guest_start(&g, NULL);
    guest_set_vmcs(&g, VMCS_EXIT_INTR_INFO, 0x80000312);
    g_assert_false(guest_exit(&g, VMX_EXIT_EXCEPTION_NMI, 0));
    expect_host(&g, 0x6000000500000000, 0, 0, 0, 0x80000312);
    assert_status(CALL(g.mc, 0, TDH_VP_ENTER, .rcx = g.l.vcpu[0].tdvpr), TDX_TD_FATAL);
    guest_end(&g);
}

static void test_triple_fault(void)
{
    Guest g;

    guest_start(&g, NULL);
    g_assert_false(guest_exit(&g, VMX_EXIT_TRIPLE_FAULT, 0));
    expect_host(&g, 0x4000000100000002, 0, 0, 0, 0);
    g_assert_cmpint(g.vp->state, ==, VCPU_DISABLED);
    g_assert_cmphex(TDX_STATUS_CODE(CALL(g.mc, 0, TDH_VP_ENTER,
                                         .rcx = g.l.vcpu[0].tdvpr)),
                    ==, TDX_VCPU_STATE_INCORRECT);
    guest_end(&g);
}

static void test_unexpected(void)
{
    static const struct {
        uint32_t reason;
        uint64_t rax;
    } rows[] = {
        { VMX_EXIT_DR, NON_RECOVERABLE_TD | 29 },
        { VMX_EXIT_INTR_WINDOW, NON_RECOVERABLE_TD | 7 },
        { VMX_EXIT_PAUSE, NON_RECOVERABLE_TD | 40 },
        { 65535, NON_RECOVERABLE_TD | 65535 },
        { 0x80000021, NON_RECOVERABLE_TD | 0x80000021 },
        { 0x80000029, 0x6000000580000029 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Guest g;

        guest_start(&g, NULL);
        g_assert_false(guest_exit(&g, rows[i].reason, 0));
        g_assert_cmphex(g.host[TDX_RAX], ==, rows[i].rax);
        g_assert_cmpint(life_tdr(&g.l)->fatal, ==, 1);
        guest_end(&g);
    }
}

static void test_ve(void)
{
    static const uint8_t reasons[] = {
        VMX_EXIT_HLT, VMX_EXIT_INVD, VMX_EXIT_WBINVD, VMX_EXIT_VMCALL, VMX_EXIT_IO,
        VMX_EXIT_MWAIT, VMX_EXIT_MONITOR,
    };
    Guest g;

    guest_start(&g, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(reasons); i++) {
        guest_set_vmcs(&g, VMCS_EXIT_INSN_INFO, 0x77);
        guest_expect_event(&g, reasons[i], 0x3f80008, EVENT_VE);
        guest_fetch_ve(&g);
        g_assert_cmphex(g.regs->gpr[TDX_RCX], ==, reasons[i]);
        g_assert_cmphex(g.regs->gpr[TDX_RDX], ==, 0x3f80008);
        g_assert_cmphex(g.regs->gpr[TDX_R9], ==, 0);
        g_assert_cmphex(g.regs->gpr[TDX_R10], ==, 0x7700000003);
    }
    guest_end(&g);
}

/* A second #VE before the first is fetched; fetching twice. */
static void test_ve_twice(void)
{
    Guest g;

    guest_start(&g, NULL);
    guest_expect_event(&g, VMX_EXIT_HLT, 0, EVENT_VE);
    guest_expect_event(&g, VMX_EXIT_HLT, 0, EVENT_DF);
    guest_fetch_ve(&g);
    assert_status(guest_tdcall(&g, TDG_VP_VEINFO_GET), TDX_NO_VALID_VE_INFO);
    guest_expect_event(&g, VMX_EXIT_HLT, 0, EVENT_VE);
    guest_end(&g);
}

static void test_faults(void)
{
    static const uint8_t ud[] = { 11, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 50, 53, 59,
                                  60, 65, 70, 76 };
    Guest g;

    guest_start(&g, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(ud); i++) {
        guest_expect_event(&g, ud[i], 0, EVENT_UD);
    }
    guest_expect_event(&g, VMX_EXIT_RDPMC, 0, EVENT_GP);
    guest_end(&g);
}

/* SDM vol. 3, table 6-5, #VE being of the page-fault class. */
static void test_double_fault(void)
{
    static const struct {
        uint32_t first;
        uint32_t reason;
        uint32_t event;         /* EVENT_NONE: triple fault */
    } rows[] = {
        { 0x80000b0d, VMX_EXIT_RDPMC, EVENT_DF },       /* #GP, #GP */
        { 0x80000b0d, VMX_EXIT_HLT, EVENT_VE },         /* #GP, #VE */
        { 0x80000b0e, VMX_EXIT_HLT, EVENT_DF },         /* #PF, #VE */
        { 0x80000b0e, VMX_EXIT_RDPMC, EVENT_DF },       /* #PF, #GP */
        { 0x80000314, VMX_EXIT_RDPMC, EVENT_DF },       /* #VE, #GP */
        { 0x80000306, VMX_EXIT_RDPMC, EVENT_GP },       /* #UD, #GP */
        { 0x80000b0e, VMX_EXIT_VMXON, EVENT_UD },       /* #PF, #UD */
        { 0x80000031, VMX_EXIT_RDPMC, EVENT_GP },       /* interrupt, #GP */
        { 0x80000b08, VMX_EXIT_RDPMC, EVENT_NONE },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Guest g;

        guest_start(&g, NULL);
        guest_set_vmcs(&g, VMCS_IDT_VECTORING_INFO, rows[i].first);
        if (rows[i].event) {
            guest_expect_event(&g, rows[i].reason, 0, rows[i].event);
        } else {
            g_assert_false(guest_exit(&g, rows[i].reason, 0));
            g_assert_cmphex(g.host[TDX_RAX], ==, 0x4000000100000002);
        }
        guest_end(&g);
    }
}

/* An event in delivery is delivered again, at once or by the next VP.ENTER. */
static void test_requeue(void)
{
    Guest g;

    guest_start(&g, NULL);
    guest_set_vmcs(&g, VMCS_IDT_VECTORING_INFO, 0x80000b0e);
    guest_set_vmcs(&g, VMCS_IDT_VECTORING_ERROR, 2);
    guest_set_vmcs(&g, VMCS_GUEST_PHYSICAL_ADDR, 0x5000);
    g_assert_false(guest_exit(&g, VMX_EXIT_EPT_VIOLATION, 2));
    guest_set_vmcs(&g, VMCS_IDT_VECTORING_INFO, 0);
    guest_enter(&g);
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_INTR_INFO), ==, 0x80000b0e);
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_INTR_ERROR), ==, 2);

    guest_set_vmcs(&g, VMCS_IDT_VECTORING_INFO, 0x80000680);    /* INT 80H */
    g_assert_true(guest_exit(&g, VMX_EXIT_NMI_WINDOW, 0));
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_INTR_INFO), ==, 0x80000680);
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_INSN_LEN), ==, 3);

    /* An NMI was in delivery: it is not blocked by itself. */
    guest_set_vmcs(&g, VMCS_IDT_VECTORING_INFO, 0x80000202);
    guest_set_vmcs(&g, VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI);
    g_assert_true(guest_exit(&g, VMX_EXIT_NMI_WINDOW, 0));
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_INTR_INFO), ==, EVENT_NMI);
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_INTERRUPTIBILITY), ==, 0);
    guest_end(&g);
}

static bool nmi_window(Guest *g)
{
    return guest_vmcs(g, VMCS_PRIMARY_CONTROLS) & CPU_NMI_WINDOW;
}

static void test_pend_nmi(void)
{
    Guest g;

    guest_start(&g, NULL);
    guest_set_vmcs(&g, VMCS_EXIT_INTR_INFO, 0x800000ec);
    g_assert_false(guest_exit(&g, VMX_EXIT_EXT_INTR, 0));
    assert_status(CALL(g.mc, 0, TDH_VP_WR, .rcx = g.l.vcpu[0].tdvpr,
                       .rdx = TDX_MD_VCPU_PEND_NMI, .r8 = 1, .r9 = 1), TDX_SUCCESS);
    guest_enter(&g);
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_INTR_INFO), ==, EVENT_NMI);
    g_assert_cmpint(g.vp->pend_nmi, ==, 0);
    g_assert_false(nmi_window(&g));

    /* The next one waits until the first has been handled. */
    guest_set_vmcs(&g, VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI);
    g_assert_false(guest_exit(&g, VMX_EXIT_EXT_INTR, 0));
    assert_status(CALL(g.mc, 0, TDH_VP_WR, .rcx = g.l.vcpu[0].tdvpr,
                       .rdx = TDX_MD_VCPU_PEND_NMI, .r8 = 1, .r9 = 1), TDX_SUCCESS);
    guest_enter(&g);
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_INTR_INFO), ==, EVENT_NONE);
    g_assert_true(nmi_window(&g));
    guest_set_vmcs(&g, VMCS_GUEST_INTERRUPTIBILITY, 0);
    g_assert_true(guest_exit(&g, VMX_EXIT_NMI_WINDOW, 0));
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_INTR_INFO), ==, EVENT_NMI);
    g_assert_false(nmi_window(&g));

    /* Between a #VE and TDG.VP.VEINFO.GET no NMI comes. */
    g.vp->pend_nmi = 1;
    guest_expect_event(&g, VMX_EXIT_HLT, 0, EVENT_VE);
    g_assert_false(nmi_window(&g));
    g.regs->gpr[TDX_RAX] = TDG_VP_VEINFO_GET;
    g_assert_true(guest_exit(&g, VMX_EXIT_TDCALL, 0));
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_INTR_INFO), ==, EVENT_NMI);
    guest_end(&g);
}

static void test_shared_ept(void)
{
    Guest g;

    guest_start(&g, NULL);
    guest_set_vmcs(&g, VMCS_GUEST_PHYSICAL_ADDR, GUEST_SHARED | 0xfee00123);
    guest_set_vmcs(&g, VMCS_GUEST_LINEAR_ADDR, 0xffff888000000123);
    g_assert_false(guest_exit_sve(&g, VMX_EXIT_EPT_VIOLATION, 0x1f82, true));
    expect_host(&g, 48, 2, 0, GUEST_SHARED | 0xfee00000, 0);

    guest_enter(&g);
    g_assert_true(guest_exit_sve(&g, VMX_EXIT_EPT_VIOLATION, 0x182, false));
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_INTR_INFO), ==, EVENT_VE);
    guest_fetch_ve(&g);
    g_assert_cmphex(g.regs->gpr[TDX_RCX], ==, 48);
    g_assert_cmphex(g.regs->gpr[TDX_RDX], ==, 0x182);
    g_assert_cmphex(g.regs->gpr[TDX_R8], ==, 0xffff888000000123);
    g_assert_cmphex(g.regs->gpr[TDX_R9], ==, GUEST_SHARED | 0xfee00123);

    g_assert_false(guest_exit(&g, VMX_EXIT_EPT_MISCONFIG, 0));
    expect_host(&g, 49, 0, 0, GUEST_SHARED | 0xfee00000, 0);
    guest_end(&g);
}

static void flexible_ve(TdxMod *m, struct td_params *p)
{
    (void)m;
    p->attributes = 0;
    p->config_flags |= TDX_CONFIG_FLEXIBLE_PENDING_VE;
}

static void private_ept(bool ve)
{
    Guest g;
    Machine *mc = machine_new(2, 1);

    machine_ready(mc);
    guest_build(&g, mc, 1, ve ? flexible_ve : NULL);
    life_page_add(&g.l, 0x1000);
    life_page_aug(&g.l, 0x2000);
    guest_run(&g);

    guest_set_vmcs(&g, VMCS_GUEST_PHYSICAL_ADDR, 0x3018);       /* free */
    g_assert_false(guest_exit(&g, VMX_EXIT_EPT_VIOLATION, 0x181));
    expect_host(&g, 48, 1, 0, 0x3000, 0);
    guest_enter(&g);
    guest_set_vmcs(&g, VMCS_GUEST_PHYSICAL_ADDR, 0x1018);       /* mapped by now */
    guest_expect_event(&g, VMX_EXIT_EPT_VIOLATION, 0x181, EVENT_NONE);
    guest_set_vmcs(&g, VMCS_GUEST_PHYSICAL_ADDR, 0x2018);       /* pending */
    if (ve) {
        guest_expect_event(&g, VMX_EXIT_EPT_VIOLATION, 0x181, EVENT_VE);
        g_assert_cmphex(g.vp->ve.gpa, ==, 0x2018);
    } else {
        g_assert_false(guest_exit(&g, VMX_EXIT_EPT_VIOLATION, 0x181));
        expect_host(&g, 48, 1, 6, 0x2000, 0);
    }
    guest_end(&g);
}

static void test_private_ept(void)
{
    private_ept(false);
}

static void test_pending_ve(void)
{
    private_ept(true);
}

/* A GPA wider than the TD's: a reserved bit in its page tables. */
static void test_wide_gpa(void)
{
    Guest g;

    guest_start(&g, NULL);
    guest_set_vmcs(&g, VMCS_GUEST_PHYSICAL_ADDR, 1ull << 48);
    guest_set_vmcs(&g, VMCS_GUEST_LINEAR_ADDR, 0x7000);
    guest_expect_event(&g, VMX_EXIT_EPT_VIOLATION, 0x182, EVENT_PF);
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_INTR_ERROR), ==, 0xb);    /* RSVD W P */
    g_assert_cmphex(g.regs->cr2, ==, 0x7000);
    guest_end(&g);
}

/* KVM takes an instruction fetch from shared memory for its own bug. */
static void test_shared_fetch(void)
{
    Guest g;

    guest_start(&g, NULL);
    guest_set_vmcs(&g, VMCS_GUEST_PHYSICAL_ADDR, GUEST_SHARED | 0x7000);
    guest_set_vmcs(&g, VMCS_GUEST_LINEAR_ADDR, 0x7000);
    guest_expect_event(&g, VMX_EXIT_EPT_VIOLATION, 0x184, EVENT_PF);
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_INTR_ERROR), ==, 0x19);   /* I RSVD P */
    guest_end(&g);
}

/* A faulting IRET that had ended NMI blocking: it is as before (SDM 29.2.3). */
static void test_iret(void)
{
    Guest g;

    guest_start(&g, NULL);
    guest_set_vmcs(&g, VMCS_GUEST_PHYSICAL_ADDR, 0x7000);
    g_assert_false(guest_exit(&g, VMX_EXIT_EPT_VIOLATION, 0x1181));
    g_assert_cmphex(g.host[TDX_RCX], ==, 1);
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_INTERRUPTIBILITY), ==, BLOCKED_BY_NMI);
    guest_end(&g);
}

static void test_cr0(void)
{
    static const struct {
        uint64_t value;
        uint32_t event;
    } rows[] = {
        { 0x80010021 | 1 << 30, EVENT_VE },             /* CD */
        { 0x80010021 | 3 << 29, EVENT_VE },             /* CD, NW */
        { 0x00010021, EVENT_GP },                       /* PG := 0 in 64-bit mode */
        { 0x80010020, EVENT_GP },                       /* PG without PE */
        { 0x80010001, EVENT_GP },                       /* NE */
        { 0x180010021, EVENT_VE },
    };
    Guest g;

    guest_start(&g, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g.regs->gpr[TDX_RBX] = rows[i].value;
        guest_expect_event(&g, VMX_EXIT_CR, 0x300, rows[i].event);
        g.vp->ve.valid = 0;
        g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_CR0), ==, 0x80010021);
    }
    g.regs->gpr[TDX_RBX] = 0x80000029 | 1 << 19;        /* TS, a reserved bit, no WP */
    guest_expect_done(&g, VMX_EXIT_CR, 0x300);
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_CR0), ==, 0x80000029);

    /* Paging off and on again from compatibility mode: IA-32e mode follows. */
    guest_set_vmcs(&g, VMCS_GUEST_CS_AR, 0xc09b);
    g.regs->gpr[TDX_RBX] = 0x00000020;                  /* PE := 0 */
    guest_expect_event(&g, VMX_EXIT_CR, 0x300, EVENT_VE);
    g.regs->gpr[TDX_RBX] = 0x00000021 | 1 << 19;
    guest_expect_done(&g, VMX_EXIT_CR, 0x300);
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_EFER), ==, 0x901);
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_CONTROLS) & ENTRY_IA32E, ==, 0);
    g.regs->gpr[TDX_RBX] = 0x80000021 | 1 << 19;
    guest_expect_done(&g, VMX_EXIT_CR, 0x300);
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_EFER), ==, 0xd01);
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_CONTROLS) & ENTRY_IA32E, ==, ENTRY_IA32E);
    guest_end(&g);
}

static void test_cr4(void)
{
    static const struct {
        uint64_t value;
        uint32_t event;
    } rows[] = {
        { 0x20, EVENT_VE },                             /* MCE := 0 */
        { 0x2060, EVENT_VE },                           /* VMXE */
        { 0x4060, EVENT_VE },                           /* SMXE */
        { 0x60 | 1 << 22, EVENT_GP },                   /* PKE, not in XFAM */
        { 0x60 | 1 << 23, EVENT_GP },                   /* CET */
        { 0x60 | 1 << 24, EVENT_GP },                   /* PKS */
        { 0x60 | 1 << 26, EVENT_GP },
        { 0x40, EVENT_GP },                             /* PAE := 0 in 64-bit mode */
    };
    Guest g;

    guest_start(&g, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g.regs->gpr[TDX_R9] = rows[i].value;
        guest_expect_event(&g, VMX_EXIT_CR, 0x904, rows[i].event);
        g.vp->ve.valid = 0;
    }
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_CR4), ==, 0x2060);
    guest_end(&g);
}

static void test_xsetbv(void)
{
    static const struct {
        uint32_t ecx, eax, edx;
        bool valid;
    } rows[] = {
        { 0, 3, 0, true }, { 0, 1, 0, true }, { 0, 2, 0, false }, { 0, 0, 0, false },
        { 1, 3, 0, false }, { 0, 7, 0, false },         /* AVX: not in XFAM */
        { 0, 3, 1, false },
    };
    Guest g;

    guest_start(&g, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g.regs->xcr0 = 1;
        g.regs->gpr[TDX_RCX] = rows[i].ecx;
        g.regs->gpr[TDX_RAX] = rows[i].eax;
        g.regs->gpr[TDX_RDX] = rows[i].edx;
        if (rows[i].valid) {
            guest_expect_done(&g, VMX_EXIT_XSETBV, 0);
        } else {
            guest_expect_event(&g, VMX_EXIT_XSETBV, 0, EVENT_GP);
        }
        g_assert_cmphex(g.regs->xcr0, ==, rows[i].valid ? rows[i].eax : 1);
    }
    guest_end(&g);
}

/* What else an emulated instruction ends; EIP wraps outside of 64-bit mode. */
static void test_skip(void)
{
    Guest g;

    guest_start(&g, NULL);
    guest_set_vmcs(&g, VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_STI);
    guest_set_vmcs(&g, VMCS_GUEST_RFLAGS, 0x10302);     /* RF, TF, IF */
    guest_expect_done(&g, VMX_EXIT_CPUID, 0);
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_INTERRUPTIBILITY), ==, 0);
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_RFLAGS), ==, 0x302);
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_PENDING_DEBUG), ==, 0x4000);
    guest_set_vmcs(&g, VMCS_GUEST_CS_AR, 0xc09b);
    guest_set_vmcs(&g, VMCS_GUEST_RIP, 0xfffffffe);
    g_assert_true(guest_exit(&g, VMX_EXIT_CPUID, 0));
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_RIP), ==, 1);
    guest_end(&g);
}

/* The seam layer calls only after VP.ENTER; a stray call must not crash. */
static void test_not_inside(void)
{
    Machine *mc = machine_new(1, 1);
    uint64_t gpr[16] = { 0 };

    machine_ready(mc);
    g_assert_cmpint(machine_td_exit(mc, 0, false, gpr), ==, TDX_RETURN_TO_HOST);
    g_assert_cmphex(gpr[TDX_RAX], ==, TDX_NON_RECOVERABLE_TD_CORRUPTED_MD);
    machine_free(mc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/exit/interrupts", test_interrupts);
    g_test_add_func("/exit/machine-check", test_machine_check);
    g_test_add_func("/exit/triple-fault", test_triple_fault);
    g_test_add_func("/exit/unexpected", test_unexpected);
    g_test_add_func("/exit/ve", test_ve);
    g_test_add_func("/exit/ve-twice", test_ve_twice);
    g_test_add_func("/exit/faults", test_faults);
    g_test_add_func("/exit/double-fault", test_double_fault);
    g_test_add_func("/exit/requeue", test_requeue);
    g_test_add_func("/exit/pend-nmi", test_pend_nmi);
    g_test_add_func("/exit/shared-ept", test_shared_ept);
    g_test_add_func("/exit/private-ept", test_private_ept);
    g_test_add_func("/exit/pending-ve", test_pending_ve);
    g_test_add_func("/exit/wide-gpa", test_wide_gpa);
    g_test_add_func("/exit/shared-fetch", test_shared_fetch);
    g_test_add_func("/exit/iret", test_iret);
    g_test_add_func("/exit/cr0", test_cr0);
    g_test_add_func("/exit/cr4", test_cr4);
    g_test_add_func("/exit/xsetbv", test_xsetbv);
    g_test_add_func("/exit/skip", test_skip);
    g_test_add_func("/exit/not-inside", test_not_inside);
    return g_test_run();
}
