/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EPT violations and misconfigurations of a TD: #VE, a TD exit, or another try.
 * TDX module ABI, "EPT violation policy" and extended exit qualification.
 */
#include "exit.h"

#define QUAL_REPORTED           0x7full         /* access, R W X, user X */
#define QUAL_WRITE              (1ull << 1)
#define QUAL_FETCH              (1ull << 2)
#define QUAL_GLA_VALID          (1ull << 7)

/* GPA bits that the TD's width does not have: a reserved bit in its tables. */
static bool beyond_gpaw(const GuestExit *x, uint64_t gpa)
{
    return gpa >> (x->td->tdcs->gpaw ? 52 : 48);
}

static void inject_reserved_pf(GuestExit *x)
{
    uint32_t error = 1 | 1u << 3;

    if (!(x->qual & QUAL_GLA_VALID)) {
        exit_inject_error(x, VECTOR_GP, 0);
        return;
    }
    error |= x->qual & QUAL_WRITE ? 1u << 1 : 0;
    error |= x->qual & QUAL_FETCH ? 1u << 4 : 0;
    error |= exit_cpl(x) == 3 ? 1u << 2 : 0;
    x->v->guest->cr2 = vmcs_read(x->vmcs, VMCS_GUEST_LINEAR_ADDR);
    exit_inject_error(x, VECTOR_PF, error);
}

static void to_host(GuestExit *x, uint64_t gpa, enum ext_exit_type type)
{
    exit_to_host(x, TDX_SUCCESS);
    x->rcx = x->qual & QUAL_REPORTED;
    x->rdx = type;
    x->r8 = gpa & ~0xfffull;
}

static void private_violation(GuestExit *x, uint64_t gpa)
{
    bool pending_ve = !(x->td->tdcs->td_ctls & TDX_TD_CTLS_PENDING_VE_DISABLE);
    SeptWalk w = { 0 };

    if (td_lock_sept(x->td, LOCK_SHARED)) {
        return;                         /* the host changes it: try again */
    }
    if (!sept_walk_leaf(x->m, x->td, gpa, &w)) {
        exit_fatal(x, TDX_NON_RECOVERABLE_TD);
    } else if (w.state == SEPT_PENDING && pending_ve) {
        exit_inject_ve(x, true);
    } else if (w.state == SEPT_PENDING) {
        to_host(x, gpa, EXT_PENDING);
    } else if (w.state != SEPT_MAPPED) {
        to_host(x, gpa, EXT_NONE);
    }
    /* MAPPED by now: the instruction runs again. */
}

void exit_ept_violation(GuestExit *x)
{
    uint64_t gpa = vmcs_read(x->vmcs, VMCS_GUEST_PHYSICAL_ADDR);
    bool shared = gpa & td_shared_mask(x->td);

    if (beyond_gpaw(x, gpa) || (shared && (x->qual & QUAL_FETCH))) {
        inject_reserved_pf(x);          /* code in shared memory is refused, too */
    } else if (!shared) {
        private_violation(x, gpa);
    } else if (x->suppress_ve) {
        to_host(x, gpa, EXT_NONE);
    } else {
        exit_inject_ve(x, true);
    }
}

void exit_ept_misconfig(GuestExit *x)
{
    uint64_t gpa = vmcs_read(x->vmcs, VMCS_GUEST_PHYSICAL_ADDR);

    if (gpa & td_shared_mask(x->td)) {
        exit_to_host(x, TDX_SUCCESS);
        x->r8 = gpa & ~0xfffull;
    } else {
        /* The Secure EPT is the module's own: somebody wrote into it. */
        tdx_log(x->m, "Secure EPT of TD 0x%" G_GINT64_MODIFIER "x is damaged at GPA 0x%"
                G_GINT64_MODIFIER "x", x->td->pa, gpa);
        exit_fatal(x, TDX_NON_RECOVERABLE_TD);
    }
}

void exit_private_fault(GuestExit *x, uint64_t gpa, unsigned access,
                        const SeptWalk *w)
{
    bool pending_ve = !(x->td->tdcs->td_ctls & TDX_TD_CTLS_PENDING_VE_DISABLE);

    x->reason = VMX_EXIT_EPT_VIOLATION;
    x->qual = access;
    x->restart = true;
    vmcs_write(x->vmcs, VMCS_GUEST_PHYSICAL_ADDR, gpa);
    vmcs_write(x->vmcs, VMCS_GUEST_LINEAR_ADDR, 0);
    if (w->state == SEPT_PENDING && pending_ve) {
        exit_inject_ve(x, true);
    } else {
        to_host(x, gpa, w->state == SEPT_PENDING ? EXT_PENDING : EXT_NONE);
    }
}
