/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest side: what a TD and its vCPUs start with, what happens at their
 * exits, and what they are told about the processor.
 */
#ifndef TDXMOD_GUEST_H
#define TDXMOD_GUEST_H

#include "td.h"

/* cpuid.c: the module's CPUID table */
/* NULL if the model cannot be made; reads the processor's CPUID. */
struct CpuidModel *cpuid_model_new(TdxMod *m);
void cpuid_model_free(struct CpuidModel *model);
#define CPUID_NO_SUBLEAF        UINT32_MAX
/* What the host may configure: the order of TD_PARAMS and of metadata. */
unsigned cpuid_config_count(const TdxMod *m);
/* False: @i is beyond the table. */
bool cpuid_config(const TdxMod *m, unsigned i, uint32_t *leaf, uint32_t *subleaf,
                  struct tdx_cpuid_value *mask);
/*
 * CPUID_VALUES for TDH.MNG.RD and TDG.VM.RD.  False: no such leaf in the table,
 * or one that gives the TD a #VE (NOT_READABLE).
 */
bool cpuid_td_value(TdxMod *m, Td *td, uint32_t leaf, uint32_t subleaf,
                    struct tdx_cpuid_value *value);

/* td_params.c */
/*
 * TDH.MNG.INIT: check @p in the order of the ABI and fill td->tdcs (all but
 * op_state, epochs, RTMRs, MRTD context) and the TDCS CPUID and MSR bitmap
 * pages.  Status with operand; RCX := leaf | subleaf << 32 if CPUID_CONFIG.
 */
uint64_t td_params_apply(TdxCall *c, Td *td, const struct td_params *p);

/* vp_state.c */
/* TDH.VP.INIT: VMCS, registers, XSAVE area, MSR bitmap, virtual APIC of @v. */
void vp_init_state(TdxCall *c, Td *td, Vcpu *v, uint64_t rcx);

/* measure.c */
void mr_init(struct tdcs *t);
void mr_page_add(struct tdcs *t, uint64_t gpa);
void mr_extend(struct tdcs *t, uint64_t gpa, const uint8_t data[256]);
void mr_finalize(struct tdcs *t);

/* enter.c */
/*
 * TDH.VP.ENTER, after all checks: host registers of c->gpr to the guest after a
 * TDVMCALL, a pending NMI.  VCPU state is ACTIVE already; fills nothing in
 * c->enter (vp_enter.c does).
 */
void guest_prepare_entry(TdxCall *c, Td *td, Vcpu *v);

/* exit.c: tdxmod_td_exit(); tdg*.c: tdx_leaves_tdg */
/* VCPU_STATE_DETAILS bit 0: RVI[7:4] > PPR[7:4]. */
bool guest_interrupt_pending(TdxMod *m, const Vcpu *v);

#endif
