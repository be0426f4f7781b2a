/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the SEAM layer share. */
#ifndef TCG_SEAM_INTERNAL_H
#define TCG_SEAM_INTERNAL_H

#include "tcg/vmx/vmx.h"
#include "seam.h"

#define SEAM_NO_LP      (-1)

typedef struct Seam {
    bool present;               /* the machine has a tdx-module object */
    SeamConfig config;
    TdxMod *mod;                /* NULL until the machine is complete */
    unsigned num_lps;
    int seamldr_lp;             /* the LP inside P-SEAMLDR, or SEAM_NO_LP */
    uint64_t random_counter;
} Seam;
extern Seam seam;

/* L1's state that a VM exit does not bring back. */
typedef struct SeamL1 {
    SegmentCache segs[6], ldt, tr, gdt, idt;
    uint64_t eflags;
    uint64_t debugctl;
    uint64_t xcr0, xss, spec_ctrl;
    uint32_t pkru;
} SeamL1;

/* Per CPU; hangs off X86VMX.seam. */
typedef struct SeamCpu {
    unsigned lp;                /* what the module calls this CPU */
    bool in_call;               /* the module executes a SEAMCALL of this CPU */
    bool in_td;                 /* TDH.VP.ENTER is not complete */
    unsigned entries;           /* VM entries since an instruction ran */
    TdxEnter enter;             /* of the TD vCPU that runs */
    uint64_t gpr[16];           /* L1's at TDH.VP.ENTER */
    Vmcs vmcs;                  /* the vCPU's, with L1 in its host-state area */
    SeamL1 l1;
} SeamCpu;

static inline SeamCpu *seam_cpu(CPUX86State *env)
{
    return env->vmx->seam;
}

/* seamcall.c: VmxSeamOps.insn */
void seam_insn(CPUX86State *env, int op, int len, uintptr_t ra);

/* td.c */
/*
 * Enter the TD vCPU of @s->enter; L1's RIP and flags are those after SEAMCALL
 * and @s->gpr holds its registers.  On return @env is ready to run: the TD, or
 * L1 if the entry failed.
 */
void seam_td_enter(CPUX86State *env, SeamCpu *s);

/* callsite.c */
/* TdxPlatform.call_site; all zero when this thread executes no SEAMCALL. */
void seam_call_site(void *opaque, TdxCallSite *site);
/* L1's RIP at the SEAMCALL that this thread executes; false: none. */
bool seam_call_rip(uint64_t *rip);

/* platform.c */
extern const TdxPlatform seam_platform;
/* Host address of guest RAM, or NULL; see TdxPlatform.map. */
void *seam_map(uint64_t pa, size_t len);
void seam_written(uint64_t pa, size_t len);
/* Ticks per second of TdxPlatform.tsc. */
uint64_t seam_tsc_hz(void);

#endif
