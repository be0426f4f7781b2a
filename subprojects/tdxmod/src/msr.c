/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RDMSR and WRMSR of a TD: the bitmap, and what is intercepted. */
#include "cpuid.h"
#include "msr.h"
#include "msr_table.h"

/* Slots of tdvpr.guest_private[] */
enum { PRIVATE_SMI_COUNT };

#define EFER_SCE                (1ull << 0)
#define EFER_LMA                (1ull << 10)

#define DEBUGCTL_VALID          0xffc7ull
#define DEBUGCTL_TR             (1ull << 6)
#define DEBUGCTL_UNCORE_PMI     (1ull << 13)
#define DEBUGCTL_FREEZE_SMM     (1ull << 14)
#define DEBUGCTL_RTM            (1ull << 15)

#define MISC_RESERVED           0xffffffffff3ae776ull
#define MISC_PERFMON            (1ull << 7)
#define MISC_NO_BTS             (1ull << 11)
#define MISC_NO_PEBS            (1ull << 12)
#define MISC_EST                (1ull << 16)
#define MISC_MONITOR            (1ull << 18)
#define MISC_LIMIT_CPUID        (1ull << 22)
#define MISC_NO_TPR_MESSAGES    (1ull << 23)

static bool has_feature(TdxMod *m, const Td *td, enum msr_action a)
{
    const struct tdcs *t = td->tdcs;

    switch (a) {
    case MSR_ACT_NATIVE_IF_PERFMON:
        return t->attributes & TDX_ATTR_PERFMON;
    case MSR_ACT_NATIVE_IF_PKS:
        return t->attributes & TDX_ATTR_PKS;
    case MSR_ACT_NATIVE_IF_WAITPKG:
        return cpuid_td_reg(m, td, 7, 0, CPUID_ECX) >> 5 & 1;
    case MSR_ACT_NATIVE_IF_TSX:
        return cpuid_td_reg(m, td, 7, 0, CPUID_EBX) >> 11 & 1;
    case MSR_ACT_NATIVE_IF_XFD:
        return cpuid_td_reg(m, td, 0xd, 1, CPUID_EAX) >> 4 & 1;
    case MSR_ACT_NATIVE_IF_PT:
        return t->xfam & 1 << 8;
    case MSR_ACT_NATIVE_IF_CET:
        return t->xfam & 3 << 11;
    case MSR_ACT_NATIVE_IF_UINTR:
        return t->xfam & 1 << 14;
    case MSR_ACT_NATIVE_IF_LBR:
        return t->xfam & 1 << 15;
    default:
        return a == MSR_ACT_NATIVE;
    }
}

void msr_build_bitmap(TdxMod *m, const Td *td, uint8_t bitmap[4096])
{
    const struct msr_row *r;

    memset(bitmap, 0xff, 4096);
    for (unsigned i = 0; (r = msr_row(i)); i++) {
        bool rd = has_feature(m, td, r->rd), wr = has_feature(m, td, r->wr);

        for (uint32_t msr = r->first; msr <= r->last; msr++) {
            unsigned byte = (msr >> 31 ? 1024 : 0) + (msr & 0x1fff) / 8;
            uint8_t bit = 1u << (msr & 7);

            if (rd) {
                bitmap[byte] &= ~bit;
            }
            if (wr) {
                bitmap[2048 + byte] &= ~bit;
            }
        }
    }
}

static bool reduce_ve(const Td *td)
{
    return td->tdcs->td_ctls & TDX_TD_CTLS_REDUCE_VE;
}

/* What a table action other than EMULATED means for an intercepted access. */
static enum msr_result intercept(const Td *td, enum msr_action a)
{
    if (a == MSR_ACT_VE) {
        return MSR_INJECT_VE;
    }
    if (a == MSR_ACT_RVE) {
        return reduce_ve(td) ? MSR_INJECT_GP : MSR_INJECT_VE;
    }
    if (a >= MSR_ACT_VE_IF_CORE_CAP) {
        return cpuid_effective(td->tdcs) >> (a - MSR_ACT_VE_IF_CORE_CAP) & 1 ?
               MSR_INJECT_VE : MSR_INJECT_GP;
    }
    return MSR_INJECT_GP;
}

static enum msr_result reduced_read(const Td *td, uint64_t v, uint64_t *value)
{
    *value = v;
    return reduce_ve(td) ? MSR_DONE : MSR_INJECT_VE;
}

static uint64_t misc_enable(TdxMod *m, const Td *td, const Vcpu *v)
{
    uint32_t ecx = cpuid_td_reg(m, td, 1, CPUID_NO_SUBLEAF, CPUID_ECX);
    uint64_t fixed = MISC_NO_BTS | MISC_NO_PEBS;

    if (ecx >> 3 & 1) {
        fixed |= MISC_MONITOR;
    }
    return (v->vp->misc_enable & ~(MISC_PERFMON | MISC_MONITOR)) | fixed;
}

static enum msr_result emulated_read(TdxMod *m, const Td *td, const Vcpu *v,
                                     uint32_t msr, uint64_t *value)
{
    switch (msr) {
    case 0x34:
        return reduced_read(td, v->vp->guest_private[PRIVATE_SMI_COUNT], value);
    case 0x3a:
    case 0x4e:
        return reduced_read(td, 1, value);      /* locked */
    case 0x8b:
        return reduced_read(td, 0xffffffff, value);
    case 0xce:
    case 0x140:
        return reduced_read(td, 0, value);
    case 0xbd:
        *value = 1;
        return MSR_DONE;
    case 0x10a:
        *value = td->tdcs->arch_capabilities;
        return MSR_DONE;
    case 0x1a0:
        *value = misc_enable(m, td, v);
        return MSR_DONE;
    case 0x1d9:
        *value = vmcs_read(v->vmcs, VMCS_GUEST_DEBUGCTL) & ~DEBUGCTL_UNCORE_PMI;
        return MSR_DONE;
    case 0x345:
        *value = 0;                             /* no PERFMON */
        return MSR_DONE;
    case 0x802:
        *value = v->vp->x2apic_id;
        return td->tdcs->td_ctls & TDX_TD_CTLS_ENUM_TOPOLOGY ? MSR_DONE : MSR_INJECT_VE;
    case 0xda0:
        *value = v->guest->xss;
        return MSR_DONE;
    default:                                    /* 79H is write-only */
        return intercept(td, MSR_ACT_RVE);
    }
}

static enum msr_result write_debugctl(TdxMod *m, const Td *td, Vcpu *v, uint64_t value)
{
    if ((value & ~DEBUGCTL_VALID) ||
        ((value & DEBUGCTL_FREEZE_SMM) && !(td->tdcs->attributes & TDX_ATTR_PERFMON)) ||
        ((value & DEBUGCTL_RTM) && !has_feature(m, td, MSR_ACT_NATIVE_IF_TSX))) {
        return MSR_INJECT_GP;
    }
    if (value & DEBUGCTL_TR) {
        return MSR_INJECT_VE;                   /* no branch trace store */
    }
    vmcs_write(v->vmcs, VMCS_GUEST_DEBUGCTL, value & ~DEBUGCTL_UNCORE_PMI);
    return MSR_DONE;
}

static enum msr_result write_misc_enable(TdxMod *m, const Td *td, Vcpu *v,
                                         uint64_t value)
{
    uint32_t ecx = cpuid_td_reg(m, td, 1, CPUID_NO_SUBLEAF, CPUID_ECX);

    if (!reduce_ve(td)) {
        return MSR_INJECT_VE;
    }
    if ((value & MISC_RESERVED) ||
        ((value & MISC_EST) && !(cpuid_effective(td->tdcs) & CPUID_F_EST))) {
        return MSR_INJECT_GP;
    }
    if (((value ^ misc_enable(m, td, v)) & MISC_MONITOR) || (value & MISC_LIMIT_CPUID)) {
        return MSR_INJECT_VE;
    }
    if ((value & MISC_NO_TPR_MESSAGES) && !(ecx >> 14 & 1)) {
        return MSR_INJECT_GP;
    }
    v->vp->misc_enable = value;
    return MSR_DONE;
}

/* Only SCE may change: LME and NXE are always 1, LMA follows paging. */
static enum msr_result write_efer(Vcpu *v, uint64_t value)
{
    uint64_t old = vmcs_read(v->vmcs, VMCS_GUEST_EFER);

    if ((old ^ value) & ~(EFER_SCE | EFER_LMA)) {
        return MSR_INJECT_VE;
    }
    vmcs_write(v->vmcs, VMCS_GUEST_EFER, (old & ~EFER_SCE) | (value & EFER_SCE));
    return MSR_DONE;
}

static enum msr_result emulated_write(TdxMod *m, const Td *td, Vcpu *v, uint32_t msr,
                                      uint64_t value)
{
    switch (msr) {
    case 0x34:
        if (reduce_ve(td)) {
            v->vp->guest_private[PRIVATE_SMI_COUNT] = value;
        }
        return reduce_ve(td) ? MSR_DONE : MSR_INJECT_VE;
    case 0x79:
    case 0x8b:
        return reduce_ve(td) ? MSR_DONE : MSR_INJECT_VE;
    case 0x140:
        return !reduce_ve(td) ? MSR_INJECT_VE : value ? MSR_INJECT_GP : MSR_DONE;
    case 0x1a0:
        return write_misc_enable(m, td, v, value);
    case 0x1d9:
        return write_debugctl(m, td, v, value);
    case 0xda0:
        if (value & ~(td->tdcs->xfam & XFAM_SUPERVISOR)) {
            return MSR_INJECT_GP;
        }
        v->guest->xss = value;
        return MSR_DONE;
    case 0xc0000080:
        return write_efer(v, value);
    default:                                    /* 3AH, 4EH, CEH */
        return intercept(td, MSR_ACT_RVE);
    }
}

enum msr_result msr_read(TdxMod *m, const Td *td, const Vcpu *v, uint32_t msr,
                         uint64_t *value)
{
    enum msr_action a = msr_action(msr, false);

    return a == MSR_ACT_EMULATED ? emulated_read(m, td, v, msr, value) :
                                   intercept(td, a);
}

enum msr_result msr_write(TdxMod *m, const Td *td, Vcpu *v, uint32_t msr,
                          uint64_t value)
{
    enum msr_action a = msr_action(msr, true);

    return a == MSR_ACT_EMULATED ? emulated_write(m, td, v, msr, value) :
                                   intercept(td, a);
}

bool msr_xcr0_valid(uint64_t xfam, uint64_t xcr0)
{
    uint64_t avx512 = xcr0 & 7 << 5, amx = xcr0 & 3 << 17;

    return (xcr0 & 1) && !(xcr0 & ~(xfam & ~XFAM_SUPERVISOR)) &&
           !((xcr0 & 4) && !(xcr0 & 2)) &&
           (!avx512 || (avx512 == 7 << 5 && (xcr0 & 4))) &&
           (!amx || amx == 3 << 17);
}
