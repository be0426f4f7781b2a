/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Handlers of the guest's leaves (TDCALL), for the table in tdcall.c. */
#ifndef TDXMOD_TDG_H
#define TDXMOD_TDG_H

#include "exit.h"

/* tdg_vp.c */
LeafHandler tdg_vp_info, tdg_vp_veinfo_get, tdg_vp_cpuidve_set;
LeafHandler tdg_vm_rd, tdg_vm_wr, tdg_vp_rd, tdg_vp_wr, tdg_sys_rd;
/* tdg_mem.c */
LeafHandler tdg_mem_page_accept, tdg_mem_page_attr_rd, tdg_mem_page_attr_wr;
/*
 * Host address of [gpa, gpa + len) of the TD's private memory, in one page; the
 * S-EPT lock is kept until the TDCALL ends.  NULL: the TDCALL does not complete
 * (EPT violation, or the host holds the lock); return any status.
 */
void *tdg_map(TdxCall *c, uint64_t gpa, size_t len, bool write, uint64_t *hpa);
/* tdg_mr.c */
LeafHandler tdg_mr_rtmr_extend, tdg_mr_report, tdg_mr_verifyreport;

static inline uint64_t tdg_invalid(enum tdx_reg reg)
{
    return tdx_operand(TDX_OPERAND_INVALID, reg);
}

#endif
