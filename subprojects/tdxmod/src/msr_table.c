/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which MSRs a TD reaches, and how: TDX module ABI, MSR virtualisation.
 * Sorted; within the ranges of the VMX MSR bitmap an MSR without a row is
 * MSR_ACT_RVE, outside of them every MSR is MSR_ACT_VE.
 */
#include "msr_table.h"

#define NATIVE          MSR_ACT_NATIVE
#define VE              MSR_ACT_VE
#define GP              MSR_ACT_GP
#define RVE             MSR_ACT_RVE
#define EMUL            MSR_ACT_EMULATED
#define IF(feature)     MSR_ACT_NATIVE_IF_##feature
#define VE_IF(feature)  MSR_ACT_VE_IF_##feature
#define BOTH(a)         a, a

static const struct msr_row rows[] = {
    { 0x000, 0x001, BOTH(VE) },                 /* P5_MC_ADDR, P5_MC_TYPE */
    { 0x006, 0x006, BOTH(VE) },                 /* MONITOR_FILTER_SIZE */
    { 0x010, 0x010, NATIVE, VE },               /* TIME_STAMP_COUNTER */
    { 0x017, 0x017, VE, RVE },                  /* PLATFORM_ID */
    { 0x01b, 0x01b, BOTH(VE) },                 /* APIC_BASE */
    { 0x033, 0x033, BOTH(VE_IF(CORE_CAP)) },    /* MEMORY_CTRL */
    { 0x034, 0x034, BOTH(EMUL) },               /* SMI_COUNT */
    { 0x03a, 0x03a, BOTH(EMUL) },               /* FEATURE_CONTROL */
    { 0x048, 0x049, BOTH(NATIVE) },             /* SPEC_CTRL, PRED_CMD */
    { 0x04e, 0x04e, BOTH(EMUL) },               /* PPIN_CTL */
    { 0x079, 0x079, BOTH(EMUL) },               /* BIOS_UPDT_TRIG */
    { 0x087, 0x087, BOTH(VE_IF(PCONFIG)) },     /* MKTME_KEYID_PARTITIONING */
    { 0x08b, 0x08b, BOTH(EMUL) },               /* BIOS_SIGN_ID */
    { 0x08c, 0x08f, BOTH(GP) },                 /* SGXLEPUBKEYHASH */
    { 0x098, 0x09b, BOTH(GP) },                 /* WBINVDP .. SMM_MONITOR_CTL */
    { 0x09e, 0x09e, BOTH(GP) },                 /* SMBASE */
    { 0x0bc, 0x0bc, NATIVE, VE },               /* MISC_PACKAGE_CTLS */
    { 0x0bd, 0x0bd, EMUL, GP },                 /* XAPIC_DISABLE_STATUS */
    { 0x0c1, 0x0c8, BOTH(IF(PERFMON)) },        /* PMC0.. */
    { 0x0ce, 0x0ce, BOTH(EMUL) },               /* PLATFORM_INFO */
    { 0x0cf, 0x0cf, VE_IF(CORE_CAP), GP },      /* CORE_CAPABILITIES */
    { 0x0e1, 0x0e1, BOTH(IF(WAITPKG)) },        /* UMWAIT_CONTROL */
    { 0x0ed, 0x0f0, BOTH(VE_IF(CORE_CAP)) },    /* RAR_CONTROL .. */
    { 0x0fe, 0x0fe, VE_IF(MTRR), GP },          /* MTRRCAP */
    { 0x10a, 0x10a, EMUL, GP },                 /* ARCH_CAPABILITIES */
    { 0x10b, 0x10b, BOTH(NATIVE) },             /* FLUSH_CMD */
    { 0x122, 0x122, BOTH(IF(TSX)) },            /* TSX_CTRL */
    { 0x140, 0x140, BOTH(EMUL) },               /* MISC_FEATURE_ENABLES */
    { 0x174, 0x176, BOTH(NATIVE) },             /* SYSENTER_* */
    { 0x179, 0x179, VE_IF(MCA), GP },           /* MCG_CAP */
    { 0x17a, 0x17b, BOTH(VE_IF(MCA)) },         /* MCG_STATUS, MCG_CTL */
    { 0x186, 0x18d, BOTH(IF(PERFMON)) },        /* PERFEVTSEL0.. */
    { 0x195, 0x195, BOTH(GP) },                 /* OVERCLOCKING_STATUS */
    { 0x198, 0x199, BOTH(VE_IF(EST)) },         /* PERF_STATUS, PERF_CTL */
    { 0x19a, 0x19c, BOTH(VE_IF(ACPI)) },        /* CLOCK_MODULATION, THERM_* */
    { 0x19d, 0x19d, BOTH(VE_IF(TM2)) },         /* THERM2_CTL */
    { 0x1a0, 0x1a0, BOTH(EMUL) },               /* MISC_ENABLE */
    { 0x1a6, 0x1a7, BOTH(IF(PERFMON)) },        /* OFFCORE_RSP_0, 1 */
    { 0x1c4, 0x1c5, BOTH(IF(XFD)) },            /* XFD, XFD_ERR */
    { 0x1d9, 0x1d9, BOTH(EMUL) },               /* DEBUGCTL */
    { 0x1f2, 0x1f3, BOTH(VE_IF(MTRR)) },        /* SMRR_PHYS* */
    { 0x1f6, 0x1f7, BOTH(VE_IF(MTRR)) },        /* SMRR2_PHYS* */
    { 0x1f8, 0x1fa, BOTH(VE_IF(DCA)) },         /* PLATFORM_DCA_CAP.. */
    { 0x200, 0x213, BOTH(VE_IF(MTRR)) },        /* MTRR_PHYS* */
    { 0x250, 0x26f, BOTH(VE_IF(MTRR)) },        /* MTRR_FIX* */
    { 0x276, 0x276, BOTH(GP) },
    { 0x277, 0x277, BOTH(NATIVE) },             /* PAT */
    { 0x280, 0x29f, BOTH(VE_IF(MCA)) },         /* MCi_CTL2 */
    { 0x2a0, 0x2a7, BOTH(VE_IF(MTRR)) },
    { 0x2c0, 0x2c1, BOTH(VE_IF(MTRR)) },
    { 0x2ff, 0x2ff, BOTH(VE_IF(MTRR)) },        /* MTRR_DEF_TYPE */
    { 0x309, 0x310, BOTH(IF(PERFMON)) },        /* FIXED_CTR0.. */
    { 0x329, 0x329, BOTH(IF(PERFMON)) },        /* PERF_METRICS */
    { 0x345, 0x345, EMUL, GP },                 /* PERF_CAPABILITIES */
    { 0x38d, 0x392, BOTH(IF(PERFMON)) },        /* FIXED_CTR_CTRL.. */
    { 0x3f1, 0x3f2, BOTH(IF(PERFMON)) },        /* PEBS_ENABLE.. */
    { 0x3f6, 0x3f7, BOTH(IF(PERFMON)) },
    { 0x400, 0x473, BOTH(VE_IF(MCA)) },         /* MCi_* */
    { 0x480, 0x492, RVE, GP },                  /* VMX_* */
    { 0x4c1, 0x4c8, BOTH(IF(PERFMON)) },        /* A_PMC0.. */
    { 0x4d0, 0x4d0, BOTH(VE_IF(MCA)) },         /* MCG_EXT_CTL */
    { 0x500, 0x500, BOTH(GP) },                 /* SGX_SVN_STATUS */
    { 0x550, 0x550, BOTH(GP) },
    { 0x560, 0x587, BOTH(IF(PT)) },             /* RTIT_* */
    { 0x600, 0x600, BOTH(NATIVE) },             /* DS_AREA */
    { 0x6a0, 0x6a8, BOTH(IF(CET)) },            /* U_CET .. INTERRUPT_SSP_TABLE */
    { 0x6e0, 0x6e0, BOTH(VE_IF(TSC_DEADLINE)) },
    { 0x6e1, 0x6e1, BOTH(IF(PKS)) },            /* PKRS */
    { 0x800, 0x801, BOTH(GP) },
    { 0x802, 0x802, EMUL, GP },                 /* X2APIC_APICID */
    { 0x803, 0x803, VE, GP },                   /* X2APIC_VERSION */
    { 0x804, 0x807, BOTH(GP) },
    { 0x808, 0x808, BOTH(NATIVE) },             /* X2APIC_TPR */
    { 0x809, 0x809, BOTH(GP) },
    { 0x80a, 0x80b, BOTH(NATIVE) },             /* X2APIC_PPR, EOI */
    { 0x80c, 0x80c, BOTH(GP) },
    { 0x80d, 0x80d, VE, GP },                   /* X2APIC_LDR */
    { 0x80e, 0x80e, BOTH(GP) },
    { 0x80f, 0x80f, BOTH(VE) },                 /* X2APIC_SIVR */
    { 0x810, 0x827, BOTH(NATIVE) },             /* X2APIC_ISR, TMR, IRR */
    { 0x828, 0x828, BOTH(VE) },                 /* X2APIC_ESR */
    { 0x829, 0x82e, BOTH(GP) },
    { 0x82f, 0x830, BOTH(VE) },                 /* X2APIC_LVT_CMCI, ICR */
    { 0x831, 0x831, BOTH(GP) },
    { 0x832, 0x83e, BOTH(VE) },                 /* X2APIC_LVT_*, timer */
    { 0x83f, 0x83f, BOTH(NATIVE) },             /* X2APIC_SELF_IPI */
    { 0x840, 0x8ff, BOTH(GP) },
    { 0x981, 0x984, BOTH(VE_IF(TME)) },         /* TME_* */
    { 0x985, 0x98a, BOTH(IF(UINTR)) },          /* UINTR_* */
    { 0xc80, 0xc80, NATIVE, VE },               /* DEBUG_INTERFACE */
    { 0xd90, 0xd90, BOTH(GP) },                 /* BNDCFGS */
    { 0xd93, 0xd93, BOTH(GP) },                 /* PASID */
    { 0xda0, 0xda0, BOTH(EMUL) },               /* XSS */
    { 0x1200, 0x12ff, BOTH(IF(LBR)) },          /* LBR_*_INFO */
    { 0x14ce, 0x14cf, BOTH(IF(LBR)) },          /* LBR_CTL, DEPTH */
    { 0x1500, 0x16ff, BOTH(IF(LBR)) },          /* LBR_*_FROM_IP, TO_IP */
    { 0x1900, 0x199b, BOTH(IF(PERFMON)) },
    { 0x1b01, 0x1b01, BOTH(NATIVE) },           /* UARCH_MISC_CTL */
    { 0xc0000080, 0xc0000080, NATIVE, EMUL },   /* EFER */
    { 0xc0000081, 0xc0000082, BOTH(NATIVE) },   /* STAR, LSTAR */
    { 0xc0000083, 0xc0000083, BOTH(VE) },       /* CSTAR */
    { 0xc0000084, 0xc0000084, BOTH(NATIVE) },   /* FMASK */
    { 0xc0000100, 0xc0000103, BOTH(NATIVE) },   /* *_BASE, TSC_AUX */
};

const struct msr_row *msr_row(unsigned index)
{
    return index < G_N_ELEMENTS(rows) ? &rows[index] : NULL;
}

/* One of the two ranges that the VMX MSR bitmap covers. */
static bool msr_in_bitmap(uint32_t msr)
{
    return (msr & ~0xc0000000u) <= 0x1fff && (msr >> 30 == 0 || msr >> 30 == 3);
}

enum msr_action msr_action(uint32_t msr, bool write)
{
    if (!msr_in_bitmap(msr)) {
        return MSR_ACT_VE;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(rows) && rows[i].first <= msr; i++) {
        if (msr <= rows[i].last) {
            return write ? rows[i].wr : rows[i].rd;
        }
    }
    return MSR_ACT_RVE;
}
