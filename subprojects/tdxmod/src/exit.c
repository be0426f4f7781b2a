/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module as the VMM of a TD: each VM exit of it is handled here, resumed or
 * made the TD exit that completes TDH.VP.ENTER.  TDX module ABI, TDH.VP.ENTER
 * output operands; SDM vol. 3, appendix C (exit reasons).
 */
#include "exit.h"

typedef void ExitHandler(GuestExit *x);

void exit_to_host(GuestExit *x, uint64_t status)
{
    x->to_host = true;
    x->rax = TDX_STATUS_CODE(status) | x->reason;
    x->rcx = x->rdx = x->r8 = x->r9 = 0;
}

void exit_fatal(GuestExit *x, uint64_t status)
{
    td_set_fatal(x->m, x->td);
    exit_to_host(x, status);
}

void exit_disable_vcpu(GuestExit *x)
{
    x->v->vp->state = VCPU_DISABLED;
    exit_to_host(x, TDX_NON_RECOVERABLE_VCPU);
}

static void exit_exception_nmi(GuestExit *x)
{
    uint32_t info = vmcs_read(x->vmcs, VMCS_EXIT_INTR_INFO);

    if ((info & INTR_TYPE) == INTR_TYPE_NMI) {
        exit_to_host(x, TDX_SUCCESS);
    } else {
        exit_fatal(x, TDX_NON_RECOVERABLE_TD_NON_ACCESSIBLE);   /* #MC */
    }
    x->r9 = info;
}

static void exit_external_interrupt(GuestExit *x)
{
    exit_to_host(x, TDX_SUCCESS);
    x->r9 = (uint32_t)vmcs_read(x->vmcs, VMCS_EXIT_INTR_INFO);
}

static void exit_triple_fault(GuestExit *x)
{
    exit_disable_vcpu(x);
}

static void exit_plain(GuestExit *x)
{
    exit_to_host(x, TDX_SUCCESS);
}

static void exit_resume(GuestExit *x)
{
    (void)x;
}

static void exit_ve(GuestExit *x)
{
    exit_inject_ve(x, false);
}

static void exit_ud(GuestExit *x)
{
    exit_inject(x, VECTOR_UD);
}

static void exit_gp(GuestExit *x)
{
    exit_inject_error(x, VECTOR_GP, 0);
}

/* An exit that none of the controls of a TD ask for. */
static void exit_unexpected(GuestExit *x)
{
    tdx_log(x->m, "unexpected VM exit of a TD, reason %u", x->reason);
    if (x->td->tdcs->attributes & TDX_ATTR_DEBUG) {
        exit_to_host(x, TDX_SUCCESS);
    } else {
        exit_fatal(x, TDX_NON_RECOVERABLE_TD);
    }
    x->rcx = (uint32_t)x->qual;
}

/* By basic exit reason; a hole is exit_unexpected(). */
static ExitHandler *const handlers[] = {
    [VMX_EXIT_EXCEPTION_NMI] = exit_exception_nmi,
    [VMX_EXIT_EXT_INTR] = exit_external_interrupt,
    [VMX_EXIT_TRIPLE_FAULT] = exit_triple_fault,
    [VMX_EXIT_INIT] = exit_plain,
    [6] = exit_plain,                   /* other SMI */
    [VMX_EXIT_NMI_WINDOW] = exit_resume,
    [VMX_EXIT_TASK_SWITCH] = exit_plain,
    [VMX_EXIT_CPUID] = exit_cpuid,
    [VMX_EXIT_GETSEC] = exit_ud,
    [VMX_EXIT_HLT] = exit_ve,
    [VMX_EXIT_INVD] = exit_ve,
    [VMX_EXIT_RDPMC] = exit_gp,
    [17] = exit_ud,                     /* RSM */
    [VMX_EXIT_VMCALL] = exit_ve,
    [VMX_EXIT_VMCLEAR] = exit_ud,
    [VMX_EXIT_VMLAUNCH] = exit_ud,
    [VMX_EXIT_VMPTRLD] = exit_ud,
    [VMX_EXIT_VMPTRST] = exit_ud,
    [VMX_EXIT_VMREAD] = exit_ud,
    [VMX_EXIT_VMRESUME] = exit_ud,
    [VMX_EXIT_VMWRITE] = exit_ud,
    [VMX_EXIT_VMXOFF] = exit_ud,
    [VMX_EXIT_VMXON] = exit_ud,
    [VMX_EXIT_CR] = exit_cr_access,
    [VMX_EXIT_IO] = exit_ve,
    [VMX_EXIT_RDMSR] = exit_rdmsr,
    [VMX_EXIT_WRMSR] = exit_wrmsr,
    [VMX_EXIT_MWAIT] = exit_ve,
    [VMX_EXIT_MONITOR] = exit_ve,
    [VMX_EXIT_EPT_VIOLATION] = exit_ept_violation,
    [VMX_EXIT_EPT_MISCONFIG] = exit_ept_misconfig,
    [VMX_EXIT_INVEPT] = exit_ud,
    [VMX_EXIT_INVVPID] = exit_ud,
    [VMX_EXIT_WBINVD] = exit_ve,
    [VMX_EXIT_XSETBV] = exit_xsetbv,
    [VMX_EXIT_APIC_WRITE] = exit_ve,
    [VMX_EXIT_VMFUNC] = exit_ud,
    [60] = exit_ud,                     /* ENCLS */
    [VMX_EXIT_PCONFIG] = exit_pconfig,
    [70] = exit_ud,                     /* ENCLV */
    [VMX_EXIT_SEAMCALL] = exit_ud,
    [VMX_EXIT_TDCALL] = exit_tdcall,
};

static void handle(GuestExit *x)
{
    uint32_t basic = x->reason & 0xffff;
    ExitHandler *h = basic < G_N_ELEMENTS(handlers) ? handlers[basic] : NULL;

    if (x->reason & VMX_EXIT_ENTRY_FAILURE) {
        exit_fatal(x, basic == VMX_EXIT_MCE_ENTRY ?
                      TDX_NON_RECOVERABLE_TD_NON_ACCESSIBLE : TDX_NON_RECOVERABLE_TD);
    } else if (h) {
        h(x);
    } else {
        exit_unexpected(x);
    }
}

/* Registers of the completed TDH.VP.ENTER. */
static void host_registers(const GuestExit *x, uint64_t gpr[16])
{
    const struct tdvps_guest *g = x->v->guest;
    bool keep_rbp = x->td->tdcs->config_flags & TDX_CONFIG_NO_RBP_MOD;

    for (unsigned r = 0; r < 16; r++) {
        if (r != TDX_RSP && !(r == TDX_RBP && keep_rbp)) {
            gpr[r] = x->tdvmcall && x->vmcall_mask >> r & 1 ? g->gpr[r] : 0;
        }
    }
    gpr[TDX_RAX] = x->rax;
    gpr[TDX_RCX] = x->rcx;
    if (!x->tdvmcall) {
        gpr[TDX_RDX] = x->rdx;
        gpr[TDX_R8] = x->r8;
        gpr[TDX_R9] = x->r9;
    }
}

/* The TDVPS pages are gone: what is left is to tell the host. */
static TdxAction lost(TdxMod *m, unsigned lp, uint64_t gpr[16])
{
    for (unsigned r = 0; r < 16; r++) {
        if (r != TDX_RSP && r != TDX_RBP) {
            gpr[r] = 0;
        }
    }
    gpr[TDX_RAX] = TDX_NON_RECOVERABLE_TD_CORRUPTED_MD;
    if (lp < m->config.num_lps) {
        vp_run_end(m, lp);
    }
    return TDX_RETURN_TO_HOST;
}

static void fill_enter(const GuestExit *x, TdxEnter *enter)
{
    memset(enter, 0, sizeof(*enter));
    memcpy(enter->tdvps, x->v->tdvps, sizeof(enter->tdvps));
    enter->shared_mask = td_shared_mask(x->td);
    enter->hkid = x->td->tdr->hkid;
}

/*
 * A VM exit of the TD that @lp runs.  Only this LP touches the vCPU's pages now;
 * other LPs may change the TD's.
 */
TdxAction tdxmod_td_exit(TdxMod *m, unsigned lp, bool suppress_ve,
                         uint64_t gpr[16], TdxEnter *enter)
{
    TdxCall c = { .m = m, .lp = lp, .guest = true };
    GuestExit x = { .m = m, .c = &c, .suppress_ve = suppress_ve };
    Vcpu v;
    Td td;

    if (lp >= m->config.num_lps || !td_reopen(&c, &td, &v)) {
        return lost(m, lp, gpr);
    }
    x.td = c.td = &td;
    x.v = c.vcpu = &v;
    x.vmcs = v.vmcs;
    c.exit = &x;
    c.gpr = v.guest->gpr;
    x.reason = vmcs_read(v.vmcs, VMCS_EXIT_REASON);
    x.qual = vmcs_read(v.vmcs, VMCS_EXIT_QUALIFICATION);
    vmcs_write(v.vmcs, VMCS_ENTRY_INTR_INFO, 0);

    handle(&x);
    exit_requeue_event(&x);
    if (x.to_host) {
        v.vp->last_exit = x.tdvmcall ? LAST_EXIT_TDVMCALL : LAST_EXIT_ASYNC_FAULT;
        v.vp->vmcall_mask = x.vmcall_mask;
        host_registers(&x, gpr);
    } else {
        vcpu_queue_nmi(&v);
        fill_enter(&x, enter);
    }
    td_unlock(&c, &td);
    vcpu_written(m, &v);
    td_written(m, &td);
    if (x.to_host) {
        vp_run_end(m, lp);
    }
    return x.to_host ? TDX_RETURN_TO_HOST : TDX_ENTER_TD;
}
