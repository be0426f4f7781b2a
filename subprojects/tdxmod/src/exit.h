/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A TD exit while the module handles it, inside the guest side.  A handler
 * either leaves the guest ready to be resumed or calls exit_to_host().
 */
#ifndef TDXMOD_EXIT_H
#define TDXMOD_EXIT_H

#include "guest.h"
#include "sept.h"

#define VECTOR_DF               8
#define VECTOR_UD               6
#define VECTOR_GP               13
#define VECTOR_PF               14
#define VECTOR_MC               18
#define VECTOR_VE               20

/* Extended exit qualification, bits 3:0 */
enum ext_exit_type {
    EXT_NONE = 0, EXT_ACCEPT = 1, EXT_GPA_DETAILS = 2, EXT_PENDING = 6,
};

typedef struct GuestExit {
    TdxMod *m;
    TdxCall *c;
    Td *td;
    Vcpu *v;
    Vmcs *vmcs;
    uint32_t reason;            /* as in the VMCS, bit 31 included */
    uint64_t qual;
    bool suppress_ve;
    bool injected;              /* an event is queued for the next VM entry */
    bool restart;               /* TDCALL: not done, no result, RIP stays */

    /* Set by exit_to_host() and the like */
    bool to_host;
    uint64_t rax, rcx, rdx, r8, r9;     /* of TDH.VP.ENTER */
    uint64_t vmcall_mask;       /* TDG.VP.VMCALL: GPRs 15:0, XMM 31:16; else 0 */
    bool tdvmcall;
} GuestExit;

/* exit.c */
/* Return to the host: RAX = @status | exit reason, RCX..R9 = 0 so far. */
void exit_to_host(GuestExit *x, uint64_t status);
/* The TD, or the vCPU, cannot go on. */
void exit_fatal(GuestExit *x, uint64_t status);
void exit_disable_vcpu(GuestExit *x);

/* exit_event.c */
unsigned exit_cpl(const GuestExit *x);
bool exit_mode64(const GuestExit *x);
/* The instruction is done: RIP, RF, blocking by STI and MOV SS, single step. */
void exit_skip_instruction(GuestExit *x);
/* Hardware exceptions, with double and triple fault if one is in delivery. */
void exit_inject(GuestExit *x, unsigned vector);
void exit_inject_error(GuestExit *x, unsigned vector, uint32_t error);
/* #VE with what the VMCS says of this exit; GLA and GPA only if @memory. */
void exit_inject_ve(GuestExit *x, bool memory);
/* The event that the exit interrupted is delivered again by the next entry. */
void exit_requeue_event(GuestExit *x);
/* Queue the host's NMI, or open an NMI window; before every VM entry. */
void vcpu_queue_nmi(Vcpu *v);

/* exit_ept.c */
void exit_ept_violation(GuestExit *x);
void exit_ept_misconfig(GuestExit *x);
/*
 * TD exit as if the instruction accessed private @gpa with @access (bits 2:0 of
 * the qualification) and was stopped where @w ended; it runs again later.
 */
void exit_private_fault(GuestExit *x, uint64_t gpa, unsigned access,
                        const SeptWalk *w);

/* exit_insn.c */
void exit_cpuid(GuestExit *x);
void exit_rdmsr(GuestExit *x);
void exit_wrmsr(GuestExit *x);
void exit_xsetbv(GuestExit *x);
void exit_cr_access(GuestExit *x);
void exit_pconfig(GuestExit *x);

/* tdcall.c */
void exit_tdcall(GuestExit *x);

#endif
