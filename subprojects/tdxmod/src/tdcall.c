/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TDCALL: the table of the guest's leaves, and TDG.VP.VMCALL. */
#include "tdg.h"

#define VMCALL_FORBIDDEN        0xffffffff00000013ull   /* RAX, RCX, RSP */
#define VMCALL_RBP              (1ull << TDX_RBP)

/* TDG.VP.VMCALL: RCX mask of the registers that the host sees and answers in. */
static uint64_t tdg_vp_vmcall(TdxCall *c)
{
    GuestExit *x = c->exit;
    uint64_t mask = c->gpr[TDX_RCX];
    uint64_t forbidden = VMCALL_FORBIDDEN;

    if (c->td->tdcs->config_flags & TDX_CONFIG_NO_RBP_MOD) {
        forbidden |= VMCALL_RBP;
    }
    if (mask & forbidden) {
        return tdg_invalid(TDX_RCX);
    }
    x->tdvmcall = true;
    x->vmcall_mask = mask;
    exit_to_host(x, TDX_SUCCESS);
    x->rcx = mask;
    return TDX_SUCCESS;
}

const Leaf tdx_leaves_tdg[] = {
    { TDG_VP_VMCALL, 0, 0, "TDG.VP.VMCALL", tdg_vp_vmcall, 0 },
    { TDG_VP_INFO, 0, 0, "TDG.VP.INFO", tdg_vp_info, 0 },
    { TDG_MR_RTMR_EXTEND, 0, 0, "TDG.MR.RTMR.EXTEND", tdg_mr_rtmr_extend, 0 },
    { TDG_VP_VEINFO_GET, 0, 0, "TDG.VP.VEINFO.GET", tdg_vp_veinfo_get, 0 },
    { TDG_MR_REPORT, 0, 0, "TDG.MR.REPORT", tdg_mr_report, 0 },
    { TDG_VP_CPUIDVE_SET, 0, 0, "TDG.VP.CPUIDVE.SET", tdg_vp_cpuidve_set, 0 },
    { TDG_MEM_PAGE_ACCEPT, 0, 0, "TDG.MEM.PAGE.ACCEPT", tdg_mem_page_accept, 0 },
    { TDG_VM_RD, 1, 0, "TDG.VM.RD", tdg_vm_rd, 0 },
    { TDG_VM_WR, 0, 0, "TDG.VM.WR", tdg_vm_wr, 0 },
    { TDG_VP_RD, 1, 0, "TDG.VP.RD", tdg_vp_rd, 0 },
    { TDG_VP_WR, 0, 0, "TDG.VP.WR", tdg_vp_wr, 0 },
    { TDG_SYS_RD, 0, 0, "TDG.SYS.RD", tdg_sys_rd, 0 },
    { TDG_MR_VERIFYREPORT, 0, 0, "TDG.MR.VERIFYREPORT", tdg_mr_verifyreport, 0 },
    { TDG_MEM_PAGE_ATTR_RD, 0, 0, "TDG.MEM.PAGE.ATTR.RD", tdg_mem_page_attr_rd, 0 },
    { TDG_MEM_PAGE_ATTR_WR, 0, 0, "TDG.MEM.PAGE.ATTR.WR", tdg_mem_page_attr_wr, 0 },
    { 0 },
};

/* VM exit 77: only 64-bit code at CPL 0 may call. */
void exit_tdcall(GuestExit *x)
{
    uint64_t status;

    if (exit_cpl(x) != 0 || !exit_mode64(x)) {
        exit_inject_error(x, VECTOR_GP, 0);
        return;
    }
    status = tdx_dispatch_guest(x->c);
    if (x->restart) {
        return;
    }
    if (!x->tdvmcall) {                 /* else TDH.VP.ENTER brings it */
        x->v->guest->gpr[TDX_RAX] = status;
    }
    exit_skip_instruction(x);
}
