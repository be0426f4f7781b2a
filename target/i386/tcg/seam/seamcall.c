/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instructions SEAMCALL, TDCALL, SEAMRET and SEAMOPS, and the leaves of
 * P-SEAMLDR.  The TDX module's own leaves are subprojects/tdxmod.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/log.h"
#include "cpu.h"
#include "tdx/leaves.h"
#include "internal.h"
#include "trace.h"

#define SEAMCALL_TO_SEAMLDR     (1ull << 63)

/* P-SEAMLDR's completion codes. */
#define SEAMLDR_EBADPARAM       0x8000000000000000ull
#define SEAMLDR_EBADCALL        0x8000000000000003ull
#define SEAMLDR_EUNSUPPORTED    0x8000000000000006ull

/* SEAMLDR_INFO, 256 bytes (P-SEAMLDR interface specification). */
typedef struct SeamldrInfo {
    uint32_t version;
    uint32_t attributes;
    uint32_t vendor_id;
    uint32_t build_date;
    uint16_t build_num;
    uint16_t minor, major, update;
    uint32_t acm_x2apicid;
    uint32_t num_remaining_updates;
    uint8_t seam_info[128];
    uint8_t seam_ready;
    uint8_t seam_debug;
    uint8_t p_seam_ready;
    uint8_t reserved[93];
} SeamldrInfo;
QEMU_BUILD_BUG_ON(sizeof(SeamldrInfo) != 256);

/* RCX: where to put the structure, aligned to its size. */
static uint64_t seamldr_info(CPUX86State *env)
{
    uint64_t pa = env->regs[R_ECX];
    SeamldrInfo *p;

    if (pa % sizeof(*p) || !(p = seam_map(pa, sizeof(*p)))) {
        return SEAMLDR_EBADPARAM;
    }
    *p = (SeamldrInfo) {
        .vendor_id = cpu_to_le32(0x8086),
        .build_date = cpu_to_le32(seam.config.build_date),
        .minor = cpu_to_le16(seam.config.minor),
        .major = cpu_to_le16(seam.config.major),
        .update = cpu_to_le16(seam.config.update),
        .seam_ready = 1,
        .p_seam_ready = 1,
    };
    seam_written(pa, sizeof(*p));
    return 0;
}

/* Run-time update is not modelled: SEAMLDR.INFO says that none remains. */
static uint64_t seamldr_unsupported(CPUX86State *env)
{
    qemu_log_mask(LOG_UNIMP, "seam: P-SEAMLDR leaf %" PRIu64
                  " is not modelled\n",
                  (uint64_t)(env->regs[R_EAX] & ~SEAMCALL_TO_SEAMLDR));
    return SEAMLDR_EUNSUPPORTED;
}

static uint64_t (*const seamldr_leaf[])(CPUX86State *env) = {
    [0] = seamldr_info,         /* SEAMLDR.INFO */
    [1] = seamldr_unsupported,  /* SEAMLDR.INSTALL */
    [2] = seamldr_unsupported,  /* SEAMLDR.SHUTDOWN */
    [3] = seamldr_unsupported,  /* SEAMLDR.SEAMINFO */
};

/* One LP at a time; false: another is inside. */
static bool seamldr_call(CPUX86State *env, SeamCpu *s)
{
    uint64_t leaf = env->regs[R_EAX] & ~SEAMCALL_TO_SEAMLDR;

    if (qatomic_cmpxchg(&seam.seamldr_lp, SEAM_NO_LP, (int)s->lp) != SEAM_NO_LP) {
        return false;
    }
    env->regs[R_EAX] = leaf < ARRAY_SIZE(seamldr_leaf)
                       ? seamldr_leaf[leaf](env) : SEAMLDR_EBADCALL;
    qatomic_set(&seam.seamldr_lp, SEAM_NO_LP);
    return true;
}

/* @env has L1's registers as they were, @s->gpr as the module left them. */
static void trace_call(CPUX86State *env, SeamCpu *s)
{
    switch (env->regs[R_EAX] & 0xffff) {
    case TDH_PHYMEM_PAMT_ADD:
        trace_tdx_pamt_add(s->lp, env->eip, env->regs[R_ECX], env->regs[R_EDX],
                           env->regs[R_R8], s->gpr[R_EAX]);
        break;
    case TDH_PHYMEM_PAMT_REMOVE:
        trace_tdx_pamt_remove(s->lp, env->eip, env->regs[R_ECX], s->gpr[R_EDX],
                              s->gpr[R_R8], s->gpr[R_EAX]);
        break;
    }
}

/* To the TDX module; the instruction is complete unless a TD is entered. */
static void module_call(CPUX86State *env, SeamCpu *s, int len)
{
    TdxAction action;

    for (int i = 0; i < 16; i++) {
        s->gpr[i] = env->regs[i];
    }
    memset(&s->enter, 0, sizeof(s->enter));
    s->in_call = true;
    action = tdxmod_seamcall(seam.mod, s->lp, s->gpr, &s->enter);
    s->in_call = false;
    trace_call(env, s);
    vmx_succeed(env);
    if (action == TDX_ENTER_TD) {
        /* not vmx_insn_done(): a single-step trap waits for the return */
        env->eip += len;
        env->eflags &= ~RF_MASK;
        env->hflags &= ~HF_INHIBIT_IRQ_MASK;
        seam_td_enter(env, s);
        return;
    }
    for (int i = 0; i < 16; i++) {
        if (i != R_ESP) {
            env->regs[i] = s->gpr[i];
        }
    }
    vmx_insn_done(env, len);
}

/* In root operation; the order of the checks is the instruction's. */
static void seamcall(CPUX86State *env, int len, uintptr_t ra)
{
    SeamCpu *s = seam_cpu(env);

    if ((env->hflags & HF_CPL_MASK) || !seam.present || !s) {
        raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);
    }
    if (!seam.mod || s->lp >= seam.num_lps) {
        vmx_fail_invalid(env);  /* a CPU that came after the module's start */
        vmx_insn_done(env, len);
    } else if (!(env->regs[R_EAX] & SEAMCALL_TO_SEAMLDR)) {
        module_call(env, s, len);
    } else {
        if (seamldr_call(env, s)) {
            vmx_succeed(env);
        } else {
            vmx_fail_invalid(env);
        }
        vmx_insn_done(env, len);
    }
}

void seam_insn(CPUX86State *env, int op, int len, uintptr_t ra)
{
    bool in_64bit = env->hflags & HF_CS64_MASK;

    if (op == VMX_OP_TDCALL && vmx_nonroot(env)) {
        vmx_exit(env, VMX_EXIT_TDCALL, 0, ra);
    }
    if (op != VMX_OP_SEAMCALL || !env->vmx || !env->vmx->vmxon || !in_64bit ||
        (env->hflags & HF_SMM_MASK)) {
        /* SEAMRET and SEAMOPS belong to the module, which is not code here. */
        raise_exception_ra(env, EXCP06_ILLOP, ra);
    }
    if (vmx_nonroot(env)) {
        vmx_exit(env, VMX_EXIT_SEAMCALL, 0, ra);
    }
    seamcall(env, len, ra);
}
