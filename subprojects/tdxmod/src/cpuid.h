/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID in a TD, inside the guest side: the module's table, the values of one
 * TD (TDH.MNG.INIT) and what an execution of CPUID finds.
 */
#ifndef TDXMOD_CPUID_H
#define TDXMOD_CPUID_H

#include "guest.h"

#define CPUID_LAST_BASE         0x23
#define CPUID_LAST_EXTENDED     0x80000008u

enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

enum cpuid_row_flags {
    CPUID_ROW_VE = 1 << 0,      /* #VE; zeros with REDUCE_VE */
    CPUID_ROW_TOPOLOGY = 1 << 1,        /* #VE unless ENUM_TOPOLOGY */
    CPUID_ROW_CONFIG = 1 << 2,  /* has a slot in TD_PARAMS */
};

/* Masks by register, in the order of enum cpuid_reg. */
struct cpuid_row {
    uint32_t leaf, sub;
    unsigned flags;
    uint32_t native[4];         /* a TD has it if the processor has */
    uint32_t config[4];         /* CONFIG_DIRECT: what the host says */
    uint32_t allow[4];          /* ALLOW_DIRECT: native, if the host agrees */
    uint32_t fixed1[4];         /* 1 in every TD: emulated by the module */
};

/*
 * Features whose MSRs a TD reaches only by #VE.  The bits are those of
 * FEATURE_PARAVIRT_CTRL; TDCS.cpuid_flags holds what the host configured.
 */
enum cpuid_feature {
    CPUID_F_CORE_CAP = 1 << 0, CPUID_F_DCA = 1 << 1, CPUID_F_EST = 1 << 2,
    CPUID_F_MCA = 1 << 3, CPUID_F_MTRR = 1 << 4, CPUID_F_PCONFIG = 1 << 5,
    CPUID_F_RDT_A = 1 << 6, CPUID_F_RDT_M = 1 << 7, CPUID_F_ACPI = 1 << 8,
    CPUID_F_TM2 = 1 << 9, CPUID_F_TME = 1 << 10, CPUID_F_TSC_DEADLINE = 1 << 11,
};
#define CPUID_F_ALL             0xfffu

const struct cpuid_row *cpuid_row(unsigned index);      /* NULL: no such row */
int cpuid_find(uint32_t leaf, uint32_t sub);            /* index, or -1 */

/*
 * TDH.MNG.INIT: check TD_PARAMS' CPUID values and fill @out and what td->tdcs
 * keeps of them (virt_fms, cpuid_flags, topology).  OPERAND_INVALID|
 * CPUID_CONFIG with @where = leaf | subleaf << 32.
 */
uint64_t cpuid_build(TdxMod *m, struct tdcs *t, const struct td_params *p,
                     struct tdcs_cpuid *out, uint64_t *where);
/* One register of a TD's configured CPUID; 0 if (leaf, sub) is not in the table. */
uint32_t cpuid_td_reg(TdxMod *m, const Td *td, uint32_t leaf, uint32_t sub,
                      enum cpuid_reg reg);

/* Which of the features of enum cpuid_feature the TD sees now. */
uint32_t cpuid_effective(const struct tdcs *t);
/* Set or clear the features' bits in the values of one leaf. */
void cpuid_apply_features(uint32_t leaf, uint32_t sub, uint32_t effective,
                          uint32_t out[4]);
/* CPUID executed at @cpl by @v.  False: #VE. */
bool cpuid_guest(TdxMod *m, const Td *td, const Vcpu *v, unsigned cpl,
                 uint32_t leaf, uint32_t sub, uint32_t out[4]);

#endif
