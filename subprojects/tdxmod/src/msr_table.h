/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of the MSR virtualisation table; see msr.h for what it is used for. */
#ifndef TDXMOD_MSR_TABLE_H
#define TDXMOD_MSR_TABLE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum msr_action {
    MSR_ACT_NATIVE,             /* the processor; not intercepted */
    MSR_ACT_VE,
    MSR_ACT_GP,
    MSR_ACT_RVE,                /* #GP with REDUCE_VE, else #VE */
    MSR_ACT_EMULATED,
    /* Native if the TD has the feature, else #GP. */
    MSR_ACT_NATIVE_IF_PERFMON, MSR_ACT_NATIVE_IF_WAITPKG, MSR_ACT_NATIVE_IF_TSX,
    MSR_ACT_NATIVE_IF_XFD, MSR_ACT_NATIVE_IF_PT, MSR_ACT_NATIVE_IF_CET,
    MSR_ACT_NATIVE_IF_PKS, MSR_ACT_NATIVE_IF_UINTR, MSR_ACT_NATIVE_IF_LBR,
    /* #VE if the TD sees the feature, else #GP; order of FEATURE_PARAVIRT_CTRL. */
    MSR_ACT_VE_IF_CORE_CAP, MSR_ACT_VE_IF_DCA, MSR_ACT_VE_IF_EST, MSR_ACT_VE_IF_MCA,
    MSR_ACT_VE_IF_MTRR, MSR_ACT_VE_IF_PCONFIG, MSR_ACT_VE_IF_RDT_A,
    MSR_ACT_VE_IF_RDT_M, MSR_ACT_VE_IF_ACPI, MSR_ACT_VE_IF_TM2, MSR_ACT_VE_IF_TME,
    MSR_ACT_VE_IF_TSC_DEADLINE,
};

struct msr_row {
    uint32_t first, last;
    uint8_t rd, wr;             /* enum msr_action */
};

const struct msr_row *msr_row(unsigned index);          /* NULL: no such row */
/* The action for an access; also for MSRs without a row. */
enum msr_action msr_action(uint32_t msr, bool write);

#endif
