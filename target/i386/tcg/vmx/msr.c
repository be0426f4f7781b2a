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
#define MSR_P5_MC_TYPE          0x01            /* and P5_MC_ADDR, 0 */
#define MSR_SMM_MONITOR_CTL     0x9b
#define MSR_BIOS_UPDT_TRIG      0x79
#define DEBUGCTL_KNOWN          0x5fc3ull       /* bits 1:0, 12:6, 14 */
#define DEBUGCTL_RTM            (1ull << 15)

static bool x2apic_msr(uint32_t msr)
{
    return msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST;
}

/*
 * Registers of the real local APIC that exist in x2APIC mode (SDM table 12-6),
 * bit n: MSR 800H + n; TCG's APIC would ignore wrong accesses.
 */
#define X2APIC_READ     0x43fd01ffffffa50cull
#define X2APIC_WRITE    0xc1fd010000008900ull

/* @val: to be written, or NULL. */
static bool x2apic_allows(uint32_t msr, const uint64_t *val)
{
    unsigned reg = msr - MSR_X2APIC_FIRST;

    if (!val) {
        return reg < 64 && (X2APIC_READ >> reg & 1);
    }
    if (reg >= 64 || !(X2APIC_WRITE >> reg & 1)) {
        return false;
    }
    switch (reg) {
    case 0x0b:                  /* EOI */
    case 0x28:                  /* ESR */
        return !*val;
    case 0x08:                  /* TPR */
    case 0x3f:                  /* SELF IPI */
        return *val <= 0xff;
    case 0x30:                  /* ICR */
        return true;
    default:
        return *val <= UINT32_MAX;
    }
}

/* The capability MSRs and those of SEAM, which firmware has locked. */
static bool read_only_msr(CPUX86State *env, uint32_t msr, uint64_t *val)
{
    return vmx_cap_rdmsr(env, msr, val) ||
           (vmx_seam_ops && vmx_seam_ops->rdmsr &&
            vmx_seam_ops->rdmsr(env, msr, val));
}

uint64_t vmx_efer_known(CPUX86State *env)
{
    uint32_t edx = env->features[FEAT_8000_0001_EDX];

    return MSR_EFER_SCE | MSR_EFER_LME | MSR_EFER_LMA |
           (edx & CPUID_EXT2_NX ? MSR_EFER_NXE : 0) |
           (edx & CPUID_EXT2_FFXSR ? MSR_EFER_FFXSR : 0);
}

uint64_t vmx_debugctl_known(CPUX86State *env)
{
    return env->features[FEAT_7_0_EBX] & CPUID_7_0_EBX_RTM
           ? DEBUGCTL_KNOWN | DEBUGCTL_RTM : DEBUGCTL_KNOWN;
}

/* MSRs that hold a linear address; TCG would take any value. */
static bool canonical_msr(uint32_t msr)
{
    switch (msr) {
    case MSR_IA32_SYSENTER_ESP:
    case MSR_IA32_SYSENTER_EIP:
    case MSR_LSTAR:
    case MSR_CSTAR:
    case MSR_FSBASE:
    case MSR_GSBASE:
    case MSR_KERNELGSBASE:
        return true;
    default:
        return false;
    }
}

/* Each of the eight types must be UC, WC, WT, WP, WB or UC-. */
static bool bad_pat(uint64_t val)
{
    for (int i = 0; i < 8; i++, val >>= 8) {
        uint8_t type = val;

        if (type > 7 || type == 2 || type == 3) {
            return true;
        }
    }
    return false;
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
    if (x2apic_msr(msr) && !x2apic_allows(msr, NULL)) {
        raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);
    }
    if (read_only_msr(env, msr, val)) {
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

/* Values for which WRMSR is #GP where TCG's own handler has no check. */
static bool value_bad(CPUX86State *env, uint32_t msr, uint64_t val)
{
    uint64_t ignored;

    if (canonical_msr(msr)) {
        return sextract64(val, 0, vmx_linear_bits(env)) != val;
    }
    switch (msr) {
    case MSR_EFER:
        return (val & ~vmx_efer_known(env)) ||
               ((env->cr[0] & CR0_PG_MASK) && ((val ^ env->efer) & MSR_EFER_LME));
    case MSR_PAT:
        return bad_pat(val);
    case MSR_DEBUGCTL:
        return val & ~vmx_debugctl_known(env);
    case MSR_IA32_PKRS:
    case MSR_TSC_AUX:
        return val >> 32;
    case MSR_VM_HSAVE_PA:
        return true;
    default:
        return msr != MSR_IA32_FEATURE_CONTROL &&
               read_only_msr(env, msr, &ignored);
    }
}

bool x86_vmx_wrmsr(CPUX86State *env, uint32_t msr, uint64_t val, uintptr_t ra)
{
    X86VMX *vmx = env->vmx;

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
    if (value_bad(env, msr, val) ||
        (x2apic_msr(msr) && !x2apic_allows(msr, &val))) {
        raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);
    }
    if (msr == MSR_DEBUGCTL) {
        vmx->debugctl = val;
        return true;
    }
    return false;
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

/* MSRs that no MSR list may name: SDM 27.4, 28.4. */
static bool list_forbids(uint32_t msr)
{
    return x2apic_msr(msr) || msr == MSR_SMM_MONITOR_CTL;
}

/*
 * More of them that a list must not load: the bases are those of the segments,
 * and a processor may refuse others, as Intel's do with a microcode update.
 */
static bool load_list_forbids(uint32_t msr)
{
    return list_forbids(msr) || msr == MSR_FSBASE || msr == MSR_GSBASE ||
           msr == MSR_BIOS_UPDT_TRIG || msr == MSR_IA32_APICBASE ||
           msr <= MSR_P5_MC_TYPE;
}

/*
 * RDMSR and WRMSR work on ECX, EDX:EAX; borrow these for the MSR lists.  The
 * guest's MSR bitmap does not apply, and nothing may raise an exception: TCG's
 * own handlers only do so for values that vmx_msr_write() refuses first.
 */
static void borrow_msr_helper(CPUX86State *env, void (*helper)(CPUX86State *),
                              uint32_t msr, uint64_t *val)
{
    uint64_t rax = env->regs[R_EAX], rcx = env->regs[R_ECX],
             rdx = env->regs[R_EDX];
    uint32_t guest = env->hflags & HF_GUEST_MASK;
    uint64_t tsc_offset = env->tsc_offset;

    env->hflags &= ~HF_GUEST_MASK;
    env->tsc_offset = 0;        /* SDM 28.4: the list holds the counter itself */
    env->regs[R_ECX] = msr;
    env->regs[R_EAX] = (uint32_t)*val;
    env->regs[R_EDX] = *val >> 32;
    helper(env);
    *val = (uint32_t)env->regs[R_EAX] | env->regs[R_EDX] << 32;
    env->regs[R_EAX] = rax;
    env->regs[R_ECX] = rcx;
    env->regs[R_EDX] = rdx;
    env->hflags |= guest;
    env->tsc_offset = tsc_offset;
}

bool vmx_msr_read(CPUX86State *env, uint32_t msr, uint64_t *val)
{
    if (list_forbids(msr)) {
        return false;
    }
    *val = 0;
    borrow_msr_helper(env, helper_rdmsr, msr, val);
    return true;
}

static bool list_value_bad(CPUX86State *env, uint32_t msr, uint64_t val)
{
    return msr == MSR_IA32_FEATURE_CONTROL || value_bad(env, msr, val);
}

bool vmx_msr_write(CPUX86State *env, uint32_t msr, uint64_t val)
{
    if (load_list_forbids(msr) || list_value_bad(env, msr, val)) {
        return false;
    }
    borrow_msr_helper(env, helper_wrmsr, msr, &val);
    return true;
}
