/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debug exceptions of a guest: a VM exit reports their causes and leaves DR6
 * and DR7 alone (SDM vol. 3, 28.1), and VM entry and exit carry those that are
 * pending (25.4.2, 27.7.3, 28.3.4).
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "vmx.h"

#define DEBUGCTL_BTF    (1ull << 1)
#define DR6_B0_B3       0xfull
#define PENDING_ENABLED (1ull << 12)    /* one of B0-B3 is enabled in DR7 */
#define CAUSES          (DR6_B0_B3 | DR6_BD | DR6_BS)

/*
 * TCG is about to write the causes of a debug exception to DR6.  Keep what it
 * held, so that only they are there; the result: bits to leave out of a value
 * that was read from DR6 before.
 */
target_ulong x86_vmx_debug_begin(CPUX86State *env)
{
    X86VMX *vmx = env->vmx;

    if (!vmx_nonroot(env)) {
        return 0;
    }
    vmx->dr6 = env->dr[6];
    vmx->dr7 = env->dr[7];
    vmx->debug_begun = true;
    env->dr[6] &= ~CAUSES;
    return DR6_BD | DR6_BS;
}

/* A trap, behind an instruction: by single-stepping or a data breakpoint. */
static bool is_trap(uint64_t causes, target_ulong dr7)
{
    for (int i = 0; i < 4; i++) {
        unsigned type = dr7 >> (DR7_TYPE_SHIFT + 4 * i) & 3;

        if ((causes >> i & 1) && type != DR7_TYPE_BP_INST) {
            return true;
        }
    }
    return causes & DR6_BS;
}

void vmx_debug_exception(CPUX86State *env, uintptr_t ra)
{
    X86VMX *vmx = env->vmx;
    uint64_t causes;

    if (!vmx->debug_begun) {
        x86_vmx_debug_begin(env);
    }
    vmx->debug_begun = vmx->was_halted = false;
    causes = (env->dr[6] & CAUSES) | vmx->pending_debug;
    if (vmx->apic_write_pending && is_trap(causes, env->dr[7])) {
        /* the write's emulation goes first; if it exits, the trap stays pending */
        vmx->pending_debug = causes & (DR6_B0_B3 | DR6_BS);
        env->dr[6] = vmx->dr6;
        vmx_apic_write_emulation(env);
        vmx->pending_debug = 0;
        env->dr[6] &= ~CAUSES;
    }
    if (vmx->mtf == VMX_MTF_STEPPING && is_trap(causes, env->dr[7])) {
        /* 26.5.2: this exit goes first, and the trap stays pending */
        vmx->pending_debug = causes & (DR6_B0_B3 | DR6_BS);
        env->dr[6] = vmx->dr6;
        env->dr[7] = vmx->dr7;
        vmx_exit(env, VMX_EXIT_MTF, 0, ra);
    }
    vmx->pending_debug = 0;
    vmx_update_pending(env);
    if (vmx_exception_exits(env, EXCP01_DB, 0)) {
        env->dr[6] = vmx->dr6;
        env->dr[7] = vmx->dr7;
        vmx->debug_exit = true;
        vmx_exit_event(env, VMX_EXIT_EXCEPTION_NMI, causes,
                       EXCP01_DB | INTR_TYPE_HW_EXC | INTR_VALID, 0, ra);
    }
    /* B0-B3 are of this exception only, the others stay until cleared */
    env->dr[6] |= causes | (vmx->dr6 & (DR6_BD | DR6_BS));
}

/*
 * SDM 27.7.3: those that MOV SS does not hold back come in front of the guest's
 * first instruction, and events that VM entry injects replace them.
 */
void vmx_debug_entry(CPUX86State *env, const Vmcs *v)
{
    uint64_t pending = vmcs_read(v, VMCS_GUEST_PENDING_DEBUG);
    uint32_t info = vmcs_read(v, VMCS_ENTRY_INTR_INFO), type = info & INTR_TYPE;
    bool mov_ss = vmcs_read(v, VMCS_GUEST_INTERRUPTIBILITY) & BLOCKED_BY_MOV_SS;
    bool software = type == INTR_TYPE_SOFT_INT || type == INTR_TYPE_SOFT_EXC;

    env->vmx->debug_begun = false;
    env->vmx->pending_debug = 0;
    if (!(pending & (PENDING_ENABLED | DR6_BS)) ||
        ((info & INTR_VALID) && !vmx_injects_mtf(info) && !(software && mov_ss))) {
        return;
    }
    env->vmx->pending_debug = pending & (DR6_B0_B3 | DR6_BS);
    if (!mov_ss) {
        env->hflags &= ~HF_INHIBIT_IRQ_MASK;    /* STI does not hold them back */
    }
}

bool vmx_debug_due(CPUX86State *env)
{
    return env->vmx->pending_debug && !(env->hflags & HF_INHIBIT_IRQ_MASK);
}

static bool single_stepping(CPUX86State *env)
{
    return (env->eflags & TF_MASK) && !(env->vmx->debugctl & DEBUGCTL_BTF);
}

/* HLT with TF has ended; true: the guest's trap is pending, TCG has none to raise. */
bool x86_vmx_hlt_trap(CPUX86State *env)
{
    if (!vmx_nonroot(env)) {
        return false;
    }
    vmx_debug_insn_done(env);
    vmx_update_pending(env);
    return true;
}

uint64_t vmx_debug_to_save(CPUX86State *env, bool held)
{
    uint64_t pending = env->vmx->pending_debug;

    env->vmx->pending_debug = 0;
    if (env->vmx->debug_exit) {         /* this exit reports them (28.3.4) */
        env->vmx->debug_exit = false;
        return 0;
    }
    if (pending & DR6_B0_B3) {
        pending |= PENDING_ENABLED;
    }
    /* VM entry insists on BS for a guest that steps and is blocked */
    return held && single_stepping(env) ? pending | DR6_BS : pending;
}

void vmx_debug_insn_done(CPUX86State *env)
{
    if (single_stepping(env)) {
        env->vmx->pending_debug |= DR6_BS;
    }
}
