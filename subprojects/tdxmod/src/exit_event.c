/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events of a TD that the module delivers: exceptions in place of an
 * instruction, #VE, what an exit interrupted, and the host's NMI.  SDM vol. 3,
 * 6.15 (double faults), 26.8.3 (event injection), 29.2.4 (IDT vectoring).
 */
#include "exit.h"
#include "vp_state.h"

#define RFLAGS_TF               (1ull << 8)
#define RFLAGS_RF               (1ull << 16)
#define PENDING_DEBUG_BS        (1ull << 14)

unsigned exit_cpl(const GuestExit *x)
{
    return vmcs_read(x->vmcs, VMCS_GUEST_SS_AR) >> 5 & 3;
}

bool exit_mode64(const GuestExit *x)
{
    return vmcs_read(x->vmcs, VMCS_GUEST_EFER) & EFER_LMA &&
           vmcs_read(x->vmcs, VMCS_GUEST_CS_AR) >> 13 & 1;
}

void exit_skip_instruction(GuestExit *x)
{
    Vmcs *v = x->vmcs;
    uint64_t rip = vmcs_read(v, VMCS_GUEST_RIP) + vmcs_read(v, VMCS_EXIT_INSN_LEN);
    uint64_t rflags = vmcs_read(v, VMCS_GUEST_RFLAGS);
    uint64_t blocking = vmcs_read(v, VMCS_GUEST_INTERRUPTIBILITY);

    vmcs_write(v, VMCS_GUEST_RIP, exit_mode64(x) ? rip : (uint32_t)rip);
    vmcs_write(v, VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
    vmcs_write(v, VMCS_GUEST_INTERRUPTIBILITY,
               blocking & ~(uint64_t)(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS));
    if (rflags & RFLAGS_TF) {
        vmcs_write(v, VMCS_GUEST_PENDING_DEBUG,
                   vmcs_read(v, VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
    }
}

static bool contributory(unsigned vector)
{
    return vector == 0 || (vector >= 10 && vector <= 13);
}

/* #VE counts as a page fault does. */
static bool page_fault(unsigned vector)
{
    return vector == VECTOR_PF || vector == VECTOR_VE;
}

static void queue(GuestExit *x, unsigned vector, bool has_error, uint32_t error)
{
    vmcs_write(x->vmcs, VMCS_ENTRY_INTR_INFO,
               INTR_VALID | INTR_TYPE_HW_EXC | vector |
               (has_error ? INTR_DELIVER_ERROR : 0));
    vmcs_write(x->vmcs, VMCS_ENTRY_INTR_ERROR, has_error ? error : 0);
    x->injected = true;
}

static void inject(GuestExit *x, unsigned vector, bool has_error, uint32_t error)
{
    uint32_t first = vmcs_read(x->vmcs, VMCS_IDT_VECTORING_INFO);
    unsigned v1 = first & INTR_VECTOR;

    if ((first & INTR_VALID) && (first & INTR_TYPE) == INTR_TYPE_HW_EXC) {
        if (v1 == VECTOR_DF) {
            x->reason = VMX_EXIT_TRIPLE_FAULT;
            exit_disable_vcpu(x);
            return;
        }
        if ((contributory(v1) && contributory(vector)) ||
            (page_fault(v1) && (contributory(vector) || page_fault(vector)))) {
            queue(x, VECTOR_DF, true, 0);
            return;
        }
    }
    queue(x, vector, has_error, error);
}

void exit_inject(GuestExit *x, unsigned vector)
{
    inject(x, vector, false, 0);
}

void exit_inject_error(GuestExit *x, unsigned vector, uint32_t error)
{
    inject(x, vector, true, error);
}

void exit_inject_ve(GuestExit *x, bool memory)
{
    struct tdvpr_ve_info *ve = &x->v->vp->ve;

    if (ve->valid) {
        inject(x, VECTOR_DF, true, 0);  /* the guest did not fetch the last one */
        return;
    }
    ve->exit_reason = x->reason & 0xffff;
    ve->exit_qualification = x->qual;
    ve->gla = memory || ve->exit_reason == VMX_EXIT_IO ?
              vmcs_read(x->vmcs, VMCS_GUEST_LINEAR_ADDR) : 0;
    ve->gpa = memory ? vmcs_read(x->vmcs, VMCS_GUEST_PHYSICAL_ADDR) : 0;
    ve->insn_len = vmcs_read(x->vmcs, VMCS_EXIT_INSN_LEN);
    ve->insn_info = vmcs_read(x->vmcs, VMCS_EXIT_INSN_INFO);
    ve->valid = 0xffffffff;
    inject(x, VECTOR_VE, false, 0);
}

static void unblock_nmi(Vmcs *v, bool blocked)
{
    uint64_t blocking = vmcs_read(v, VMCS_GUEST_INTERRUPTIBILITY);

    vmcs_write(v, VMCS_GUEST_INTERRUPTIBILITY,
               blocked ? blocking | BLOCKED_BY_NMI :
                         blocking & ~(uint64_t)BLOCKED_BY_NMI);
}

/*
 * An event that a queued exception replaces: exceptions come again by
 * themselves, an NMI stays pending; an interrupt is lost.
 */
static void displace_event(GuestExit *x, uint32_t info)
{
    switch (info & INTR_TYPE) {
    case INTR_TYPE_NMI:
        unblock_nmi(x->vmcs, false);
        x->v->vp->pend_nmi = 1;
        break;
    case INTR_TYPE_EXT:
        tdx_unimp(x->m, "interrupt 0x%x lost to an exception in its delivery",
                  info & INTR_VECTOR);
        break;
    default:
        break;
    }
}

void exit_requeue_event(GuestExit *x)
{
    Vmcs *v = x->vmcs;
    uint32_t info = vmcs_read(v, VMCS_IDT_VECTORING_INFO);
    unsigned basic = x->reason & 0xffff;

    if (!(info & INTR_VALID)) {
        /* The IRET that ended NMI blocking faulted: it did not end it. */
        if (basic == VMX_EXIT_EPT_VIOLATION && (x->qual & INTR_NMI_UNBLOCK_IRET)) {
            unblock_nmi(v, true);
        }
        return;
    }
    if (x->injected) {
        displace_event(x, info);
        return;
    }
    if ((info & INTR_TYPE) == INTR_TYPE_NMI) {
        unblock_nmi(v, false);          /* its delivery blocks again */
    }
    vmcs_write(v, VMCS_ENTRY_INTR_INFO, info & ~INTR_NMI_UNBLOCK_IRET);
    vmcs_write(v, VMCS_ENTRY_INTR_ERROR, vmcs_read(v, VMCS_IDT_VECTORING_ERROR));
    vmcs_write(v, VMCS_ENTRY_INSN_LEN, vmcs_read(v, VMCS_EXIT_INSN_LEN));
}

void vcpu_queue_nmi(Vcpu *v)
{
    uint32_t blocking = vmcs_read(v->vmcs, VMCS_GUEST_INTERRUPTIBILITY);
    uint32_t primary = vmcs_read(v->vmcs, VMCS_PRIMARY_CONTROLS);
    bool wanted = v->vp->pend_nmi && !v->vp->ve.valid;
    bool queued = vmcs_read(v->vmcs, VMCS_ENTRY_INTR_INFO) & INTR_VALID;

    if (wanted && !queued && !blocking) {
        vmcs_write(v->vmcs, VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_TYPE_NMI | 2);
        v->vp->pend_nmi = 0;
        wanted = false;
    }
    /* While #VE information is valid TDG.VP.VEINFO.GET comes first. */
    v->vp->nmi_window = wanted;
    vmcs_write(v->vmcs, VMCS_PRIMARY_CONTROLS,
               wanted ? primary | CPU_NMI_WINDOW : primary & ~CPU_NMI_WINDOW);
}
