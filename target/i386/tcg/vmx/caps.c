/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMX capability reporting (SDM vol. 3, appendix A).
 *
 * The tables hold what the other files implement; checks.c rejects everything
 * else, so that software cannot come to rely on a control that does nothing.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "vmx.h"

#define BIT_FROM(value, bit)    ((uint64_t)(value) << (bit))

/*
 * @must: bits that have to be 1, by the "true" MSRs.  @default1: more of them
 * which the older MSRs report as fixed, for software that does not know of
 * the true ones.  @optional: bits of either value.
 */
static const struct {
    uint32_t must, default1, optional;
} controls[] = {
    [VMX_CAP_PIN] = {
        .must = 0x00000016,
        .optional = PIN_EXT_INTR | PIN_NMI | PIN_VIRTUAL_NMIS |
                    PIN_PREEMPTION_TIMER | PIN_POSTED_INTR,
    },
    [VMX_CAP_PRIMARY] = {
        .must = 0x04006172,
        .default1 = CPU_CR3_LOAD | CPU_CR3_STORE,
        .optional = CPU_INTR_WINDOW | CPU_TSC_OFFSETTING | CPU_HLT |
                    CPU_INVLPG | CPU_MWAIT | CPU_RDPMC | CPU_RDTSC |
                    CPU_CR8_LOAD | CPU_CR8_STORE | CPU_TPR_SHADOW |
                    CPU_NMI_WINDOW | CPU_MOV_DR | CPU_UNCOND_IO |
                    CPU_IO_BITMAPS | CPU_MTF | CPU_MSR_BITMAPS | CPU_MONITOR |
                    CPU_PAUSE | CPU_SECONDARY,
    },
    [VMX_CAP_SECONDARY] = {
        .optional = CPU2_APIC_ACCESS | CPU2_EPT | CPU2_DESC_TABLE |
                    CPU2_RDTSCP | CPU2_X2APIC | CPU2_VPID | CPU2_WBINVD |
                    CPU2_UNRESTRICTED | CPU2_APIC_REGISTER |
                    CPU2_VINTR_DELIVERY | CPU2_PLE | CPU2_RDRAND |
                    CPU2_RDSEED | CPU2_PML | CPU2_TSC_SCALING,
    },
    [VMX_CAP_EXIT] = {
        .must = 0x00036dfb,
        .default1 = EXIT_SAVE_DEBUG,
        .optional = EXIT_HOST_64 | EXIT_ACK_INTR | EXIT_SAVE_PAT |
                    EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER |
                    EXIT_SAVE_TIMER,
    },
    [VMX_CAP_ENTRY] = {
        .must = 0x000011fb,
        .default1 = ENTRY_LOAD_DEBUG,
        .optional = ENTRY_IA32E | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER,
    },
};

void vmx_cap_masks(VmxCap cap, uint32_t *must, uint32_t *may)
{
    *must = controls[cap].must;
    *may = controls[cap].must | controls[cap].default1 | controls[cap].optional;
}

/* Bits 31:0: allowed 0-settings; bits 63:32: allowed 1-settings. */
static uint64_t control_msr(VmxCap cap, bool is_true)
{
    uint32_t must, may;

    vmx_cap_masks(cap, &must, &may);
    if (!is_true) {
        must |= controls[cap].default1;
    }
    return BIT_FROM(may, 32) | must;
}

uint64_t vmx_cr0_fixed0(void)
{
    return CR0_PE_MASK | CR0_NE_MASK | CR0_PG_MASK;
}

uint64_t vmx_cr0_fixed1(void)
{
    return UINT32_MAX;
}

uint64_t vmx_cr4_fixed0(void)
{
    return CR4_VMXE_MASK;
}

/* The bits this processor model has in CR4. */
uint64_t vmx_cr4_fixed1(CPUX86State *env)
{
    uint64_t bits = ~(uint64_t)cr4_reserved_bits(env);

    if (!(env->features[FEAT_1_ECX] & CPUID_EXT_PCID)) {
        bits &= ~(uint64_t)CR4_PCIDE_MASK;
    }
    return bits | CR4_VMXE_MASK;
}

uint64_t vmx_ept_vpid_cap(void)
{
    return VMX_EPT_VPID_CAP_EXEC_ONLY |
           BIT_FROM(1, 6) |                     /* page-walk length 4 */
           BIT_FROM(1, 8) | BIT_FROM(1, 14) |   /* structures UC or WB */
           BIT_FROM(1, 16) | BIT_FROM(1, 17) |  /* 2 MiB and 1 GiB pages */
           BIT_FROM(1, 20) |                    /* INVEPT: */
           BIT_FROM(1, 25) | BIT_FROM(1, 26) |  /* single, all contexts */
           BIT_FROM(1, 21) |                    /* accessed and dirty flags */
           BIT_FROM(1, 32) |                    /* INVVPID: */
           BIT_FROM(15, 40);                    /* types 0 to 3 */
}

/*
 * The preemption timer counts at TSC rate >> 5; IA-32e mode guest is stored on
 * exit; HLT is an activity state; four CR3 targets; MSR lists of up to 512;
 * software events may be injected with an instruction length of 0.
 */
uint64_t vmx_misc(void)
{
    return 5 | BIT_FROM(1, 5) | BIT_FROM(1, 6) | BIT_FROM(4, 16) |
           BIT_FROM(1, 30);
}

static uint64_t vmx_basic(void)
{
    return VMCS_REVISION_ID | BIT_FROM(VMCS_REGION_SIZE, 32) |
           BIT_FROM(6, 50) |                    /* write-back */
           BIT_FROM(1, 54) |                    /* INS and OUTS information */
           BIT_FROM(1, 55) |                    /* the true MSRs exist */
           BIT_FROM(1, 60);                     /* SEAMRET keeps the VMCS */
}

/* Bits 9:1: the highest index of any field. */
static uint64_t vmcs_enum(void)
{
    uint32_t encoding, highest = 0;

    for (encoding = 0; encoding < 0x8000; encoding += 2) {
        if (vmcs_field_info(encoding)) {
            highest = MAX(highest, encoding & 0x3fe);
        }
    }
    return highest;
}

/*
 * IA32_VMX_VMFUNC (491H) and the tertiary controls (492H) do not exist, as
 * the controls that they describe are not offered.
 */
bool vmx_cap_rdmsr(CPUX86State *env, uint32_t msr, uint64_t *val)
{
    if (!(env->features[FEAT_1_ECX] & CPUID_EXT_VMX)) {
        return false;
    }
    switch (msr) {
    case MSR_IA32_FEATURE_CONTROL:
        *val = env->msr_ia32_feature_control;
        return true;
    case MSR_IA32_VMX_BASIC:
        *val = vmx_basic();
        return true;
    case MSR_IA32_VMX_PINBASED_CTLS:
    case MSR_IA32_VMX_TRUE_PINBASED_CTLS:
        *val = control_msr(VMX_CAP_PIN, msr == MSR_IA32_VMX_TRUE_PINBASED_CTLS);
        return true;
    case MSR_IA32_VMX_PROCBASED_CTLS:
    case MSR_IA32_VMX_TRUE_PROCBASED_CTLS:
        *val = control_msr(VMX_CAP_PRIMARY,
                           msr == MSR_IA32_VMX_TRUE_PROCBASED_CTLS);
        return true;
    case MSR_IA32_VMX_EXIT_CTLS:
    case MSR_IA32_VMX_TRUE_EXIT_CTLS:
        *val = control_msr(VMX_CAP_EXIT, msr == MSR_IA32_VMX_TRUE_EXIT_CTLS);
        return true;
    case MSR_IA32_VMX_ENTRY_CTLS:
    case MSR_IA32_VMX_TRUE_ENTRY_CTLS:
        *val = control_msr(VMX_CAP_ENTRY, msr == MSR_IA32_VMX_TRUE_ENTRY_CTLS);
        return true;
    case MSR_IA32_VMX_PROCBASED_CTLS2:
        *val = control_msr(VMX_CAP_SECONDARY, true);
        return true;
    case MSR_IA32_VMX_MISC:
        *val = vmx_misc();
        return true;
    case MSR_IA32_VMX_CR0_FIXED0:
        *val = vmx_cr0_fixed0();
        return true;
    case MSR_IA32_VMX_CR0_FIXED1:
        *val = vmx_cr0_fixed1();
        return true;
    case MSR_IA32_VMX_CR4_FIXED0:
        *val = vmx_cr4_fixed0();
        return true;
    case MSR_IA32_VMX_CR4_FIXED1:
        *val = vmx_cr4_fixed1(env);
        return true;
    case MSR_IA32_VMX_VMCS_ENUM:
        *val = vmcs_enum();
        return true;
    case MSR_IA32_VMX_EPT_VPID_CAP:
        *val = vmx_ept_vpid_cap();
        return true;
    default:
        return false;
    }
}
