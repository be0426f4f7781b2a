/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSRs of VMX, those that a guest has virtualised, and MSR access by number
 * for the MSR lists of VM entry and exit.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/helper-proto.h"
#include "vmx.h"

#define MSR_DEBUGCTL            0x1d9
#define MSR_X2APIC_FIRST        0x800
#define MSR_X2APIC_LAST         0x8ff
#define DEBUGCTL_KNOWN          0x7fc3ull

static bool x2apic_msr(uint32_t msr)
{
    return msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST;
}

/* IA32_FEATURE_CONTROL: lock, VMX in and outside of SMX (SDM 24.7). */
static void write_feature_control(CPUX86State *env, uint64_t val, uintptr_t ra)
{
    const uint64_t known = FEATURE_CONTROL_LOCKED |
                           FEATURE_CONTROL_VMXON_ENABLED_OUTSIDE_SMX;

    if ((env->msr_ia32_feature_control & FEATURE_CONTROL_LOCKED) ||
        (val & ~known)) {
        raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);
    }
    env->msr_ia32_feature_control = val;
}

bool x86_vmx_rdmsr(CPUX86State *env, uint32_t msr, uint64_t *val, uintptr_t ra)
{
    X86VMX *vmx = env->vmx;

    if (!vmx) {
        return false;
    }
    if (vmx_nonroot(env) && x2apic_msr(msr) &&
        vmx_x2apic_rdmsr(env, msr, val)) {
        return true;
    }
    if (vmx_cap_rdmsr(env, msr, val)) {
        return true;
    }
    if (vmx_seam_ops && vmx_seam_ops->rdmsr && vmx_seam_ops->rdmsr(env, msr, val)) {
        return true;
    }
    switch (msr) {
    case MSR_DEBUGCTL:
        *val = vmx->debugctl;
        return true;
    case MSR_IA32_TSC:
        *val = x86_vmx_tsc(env, cpu_get_tsc(env) + env->tsc_offset);
        return true;
    default:
        return false;
    }
}

bool x86_vmx_wrmsr(CPUX86State *env, uint32_t msr, uint64_t val, uintptr_t ra)
{
    X86VMX *vmx = env->vmx;
    uint64_t ignored;

    if (!vmx) {
        return false;
    }
    if (vmx_nonroot(env) && x2apic_msr(msr) &&
        vmx_x2apic_wrmsr(env, msr, val, ra)) {
        return true;
    }
    if (msr == MSR_IA32_FEATURE_CONTROL) {
        write_feature_control(env, val, ra);
        return true;
    }
    if (vmx_seam_ops && vmx_seam_ops->wrmsr && vmx_seam_ops->wrmsr(env, msr, val)) {
        return true;
    }
    if (vmx_cap_rdmsr(env, msr, &ignored)) {
        raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);     /* read-only */
    }
    if (msr == MSR_DEBUGCTL) {
        if (val & ~DEBUGCTL_KNOWN) {
            raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);
        }
        vmx->debugctl = val;
        return true;
    }
    return false;
}

void x86_vmx_cpuid(CPUX86State *env, uint32_t leaf, uint32_t sub,
                   uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
    if (env->vmx && vmx_seam_ops && vmx_seam_ops->cpuid) {
        vmx_seam_ops->cpuid(env, leaf, sub, a, b, c, d);
    }
}

/* @val: counter plus offset, as TCG has it; scaling comes before the offset. */
uint64_t x86_vmx_tsc(CPUX86State *env, uint64_t val)
{
    uint64_t lo, hi;

    if (!vmx_nonroot(env) || env->vmx->tsc_multiplier == VMX_TSC_UNSCALED) {
        return val;
    }
    mulu64(&lo, &hi, val - env->tsc_offset, env->vmx->tsc_multiplier);
    return (hi << 16 | lo >> 48) + env->tsc_offset;
}

/* MSRs that an MSR list must not name: SDM 27.4. */
static bool list_forbids(uint32_t msr)
{
    return msr == MSR_FSBASE || msr == MSR_GSBASE || x2apic_msr(msr);
}

/*
 * RDMSR and WRMSR work on ECX, EDX:EAX; borrow these for the MSR lists, which
 * must not raise an exception.  TCG's own handlers only raise #GP for values
 * that vmx_msr_write() refuses first.
 */
bool vmx_msr_read(CPUX86State *env, uint32_t msr, uint64_t *val)
{
    uint64_t rax = env->regs[R_EAX], rcx = env->regs[R_ECX],
             rdx = env->regs[R_EDX];

    if (list_forbids(msr)) {
        return false;
    }
    env->regs[R_ECX] = msr;
    helper_rdmsr(env);
    *val = (uint32_t)env->regs[R_EAX] | env->regs[R_EDX] << 32;
    env->regs[R_EAX] = rax;
    env->regs[R_ECX] = rcx;
    env->regs[R_EDX] = rdx;
    return true;
}

static bool msr_value_bad(CPUX86State *env, uint32_t msr, uint64_t val)
{
    uint64_t ignored;

    switch (msr) {
    case MSR_IA32_APICBASE:
    case MSR_IA32_FEATURE_CONTROL:
        return true;
    case MSR_DEBUGCTL:
        return val & ~DEBUGCTL_KNOWN;
    case MSR_IA32_PKRS:
        return val >> 32;
    case MSR_VM_HSAVE_PA:
        return true;
    default:
        return vmx_cap_rdmsr(env, msr, &ignored);
    }
}

bool vmx_msr_write(CPUX86State *env, uint32_t msr, uint64_t val)
{
    uint64_t rax = env->regs[R_EAX], rcx = env->regs[R_ECX],
             rdx = env->regs[R_EDX];

    if (list_forbids(msr) || msr_value_bad(env, msr, val)) {
        return false;
    }
    env->regs[R_ECX] = msr;
    env->regs[R_EAX] = (uint32_t)val;
    env->regs[R_EDX] = val >> 32;
    helper_wrmsr(env);
    env->regs[R_EAX] = rax;
    env->regs[R_ECX] = rcx;
    env->regs[R_EDX] = rdx;
    return true;
}
