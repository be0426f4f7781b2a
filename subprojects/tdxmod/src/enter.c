/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What TDH.VP.ENTER brings into the TD, and what the host asks about it. */
#include "exit.h"

/*
 * The answer to TDG.VP.VMCALL: the registers of its mask come from the host,
 * RAX is its completion status, RCX stays the mask.
 */
static void finish_vmcall(TdxCall *c, Vcpu *v)
{
    struct tdvps_guest *g = v->guest;

    for (unsigned r = 0; r < 16; r++) {
        if (v->vp->vmcall_mask >> r & 1 && r != TDX_RAX && r != TDX_RCX && r != TDX_RSP) {
            g->gpr[r] = c->gpr[r];
        }
    }
    c->enter->host_xmm = v->vp->vmcall_mask >> 16;
    g->gpr[TDX_RAX] = TDX_SUCCESS;
    v->vp->vmcall_mask = 0;
}

void guest_prepare_entry(TdxCall *c, Td *td, Vcpu *v)
{
    (void)td;
    if (v->vp->last_exit == LAST_EXIT_TDVMCALL) {
        finish_vmcall(c, v);
    }
    v->vp->last_exit = LAST_EXIT_ASYNC_FAULT;
    vcpu_queue_nmi(v);
}

bool guest_interrupt_pending(TdxMod *m, const Vcpu *v)
{
    const uint32_t *vapic = vcpu_page(m, v, TDVPS_VAPIC);
    unsigned rvi = vmcs_read(v->vmcs, VMCS_GUEST_INTR_STATUS) & 0xff;

    return vapic && rvi >> 4 > (vapic[0xa0 / 4] >> 4 & 0xf);
}
