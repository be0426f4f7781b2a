/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions of a TD that the module emulates: CPUID, MSRs, XCR0, CR0, CR4. */
#include "cpuid.h"
#include "exit.h"
#include "msr.h"
#include "vp_state.h"

static uint64_t *gpr(GuestExit *x)
{
    return x->v->guest->gpr;
}

void exit_cpuid(GuestExit *x)
{
    uint64_t *r = gpr(x);
    uint32_t out[4];

    if (!cpuid_guest(x->m, x->td, x->v, exit_cpl(x), r[TDX_RAX], r[TDX_RCX], out)) {
        exit_inject_ve(x, false);
        return;
    }
    r[TDX_RAX] = out[CPUID_EAX];
    r[TDX_RBX] = out[CPUID_EBX];
    r[TDX_RCX] = out[CPUID_ECX];
    r[TDX_RDX] = out[CPUID_EDX];
    exit_skip_instruction(x);
}

static void msr_done(GuestExit *x, enum msr_result result)
{
    switch (result) {
    case MSR_DONE:
        exit_skip_instruction(x);
        break;
    case MSR_INJECT_VE:
        exit_inject_ve(x, false);
        break;
    case MSR_INJECT_GP:
        exit_inject_error(x, VECTOR_GP, 0);
        break;
    }
}

void exit_rdmsr(GuestExit *x)
{
    uint64_t *r = gpr(x), value = 0;
    enum msr_result result = msr_read(x->m, x->td, x->v, r[TDX_RCX], &value);

    if (result == MSR_DONE) {
        r[TDX_RAX] = (uint32_t)value;
        r[TDX_RDX] = value >> 32;
    }
    msr_done(x, result);
}

static uint64_t edx_eax(GuestExit *x)
{
    return (uint32_t)gpr(x)[TDX_RAX] | gpr(x)[TDX_RDX] << 32;
}

void exit_wrmsr(GuestExit *x)
{
    msr_done(x, msr_write(x->m, x->td, x->v, gpr(x)[TDX_RCX], edx_eax(x)));
}

void exit_xsetbv(GuestExit *x)
{
    uint64_t xcr0 = edx_eax(x);

    if ((uint32_t)gpr(x)[TDX_RCX] != 0 || !msr_xcr0_valid(x->td->tdcs->xfam, xcr0)) {
        exit_inject_error(x, VECTOR_GP, 0);
        return;
    }
    x->v->guest->xcr0 = xcr0;
    exit_skip_instruction(x);
}

/* IA-32e mode follows CR0.PG (SDM vol. 3, 4.1.2). */
static void set_cr0(GuestExit *x, uint64_t cr0)
{
    uint64_t efer = vmcs_read(x->vmcs, VMCS_GUEST_EFER);
    uint64_t entry = vmcs_read(x->vmcs, VMCS_ENTRY_CONTROLS);
    bool lma = (cr0 & CR0_PG) && (efer & EFER_LME);

    vmcs_write(x->vmcs, VMCS_GUEST_CR0, cr0);
    vmcs_write(x->vmcs, VMCS_GUEST_EFER, lma ? efer | EFER_LMA : efer & ~EFER_LMA);
    vmcs_write(x->vmcs, VMCS_ENTRY_CONTROLS,
               lma ? entry | ENTRY_IA32E : entry & ~(uint64_t)ENTRY_IA32E);
}

static void mov_to_cr0(GuestExit *x, uint64_t value)
{
    uint64_t old = vmcs_read(x->vmcs, VMCS_GUEST_CR0);
    uint64_t cr4 = vmcs_read(x->vmcs, VMCS_GUEST_CR4);
    bool paging_on = (value & CR0_PG) && !(old & CR0_PG);
    bool paging_off = !(value & CR0_PG) && (old & CR0_PG);

    if (!(value & CR0_NE) || ((value & CR0_PG) && !(value & CR0_PE)) ||
        (!(value & CR0_WP) && (cr4 & CR4_CET)) || (paging_on && !(cr4 & CR4_PAE)) ||
        (paging_off && exit_mode64(x))) {
        exit_inject_error(x, VECTOR_GP, 0);
    } else if (!(value & CR0_PE) || (value & (CR0_NW | CR0_CD | CR0_HIGH))) {
        exit_inject_ve(x, false);
    } else {
        set_cr0(x, (old & CR0_RESERVED) | (value & ~CR0_RESERVED));
        exit_skip_instruction(x);
    }
}

/* What MOV to CR4 refuses in any guest, as far as this exit can meet it. */
static bool cr4_legal(GuestExit *x, uint64_t value)
{
    bool lma = vmcs_read(x->vmcs, VMCS_GUEST_EFER) & EFER_LMA;
    uint64_t old = vmcs_read(x->vmcs, VMCS_GUEST_CR4);
    uint64_t cr0 = vmcs_read(x->vmcs, VMCS_GUEST_CR0);

    return !(value & (CR4_RESERVED | vp_cr4_denied(x->td->tdcs))) &&
           !((value & CR4_CET) && !(cr0 & CR0_WP)) &&
           !(lma && (!(value & CR4_PAE) || ((value ^ old) & CR4_LA57))) &&
           !(!lma && (value & CR4_PCIDE));
}

static void mov_to_cr4(GuestExit *x, uint64_t value)
{
    const struct tdcs *t = x->td->tdcs;
    bool mce_free = (t->td_ctls & TDX_TD_CTLS_REDUCE_VE) &&
                    !(cpuid_effective(t) & CPUID_F_MCA);

    if (!cr4_legal(x, value)) {
        exit_inject_error(x, VECTOR_GP, 0);
    } else if (mce_free && !(value & (CR4_VMXE | CR4_SMXE))) {
        /* Without MCE in CPUID its bit is the guest's; the real one stays 1. */
        vmcs_write(x->vmcs, VMCS_CR4_SHADOW, value & CR4_MCE);
        vmcs_write(x->vmcs, VMCS_GUEST_CR4, value | CR4_MCE | CR4_VMXE);
        exit_skip_instruction(x);
    } else {
        exit_inject_ve(x, false);
    }
}

static uint64_t source(GuestExit *x)
{
    unsigned reg = x->qual >> 8 & 15;
    uint64_t value = reg == TDX_RSP ? vmcs_read(x->vmcs, VMCS_GUEST_RSP) : gpr(x)[reg];

    return exit_mode64(x) ? value : (uint32_t)value;
}

/* SDM vol. 3, table 29-3: qualification of control-register accesses. */
void exit_cr_access(GuestExit *x)
{
    unsigned cr = x->qual & 15, type = x->qual >> 4 & 3;
    uint64_t cr0 = vmcs_read(x->vmcs, VMCS_GUEST_CR0);

    if (type == 0 && cr == 0) {
        mov_to_cr0(x, source(x));
    } else if (type == 0 && cr == 4) {
        mov_to_cr4(x, source(x));
    } else if (type == 2) {                     /* CLTS */
        vmcs_write(x->vmcs, VMCS_GUEST_CR0, cr0 & ~8ull);
        exit_skip_instruction(x);
    } else if (type == 3) {                     /* LMSW: PE MP EM TS */
        mov_to_cr0(x, (cr0 & ~0xeull) | (x->qual >> 16 & 0xf));
    } else {
        tdx_log(x->m, "unexpected CR access of a TD, qualification 0x%x",
                (unsigned)x->qual);
        exit_fatal(x, TDX_NON_RECOVERABLE_TD);
    }
}

void exit_pconfig(GuestExit *x)
{
    if (cpuid_effective(x->td->tdcs) & CPUID_F_PCONFIG) {
        exit_inject_ve(x, false);
    } else {
        exit_inject(x, VECTOR_UD);
    }
}
