/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitor trap flag (SDM vol. 3, 26.5.2): a VM exit behind one instruction of
 * the guest, or behind the event that came in its place.
 *
 * Nothing is asked of translated code: the step is one TB of one instruction,
 * and the pending exit is found at the boundary behind it, as a window is.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/translation-block.h"
#include "vmx.h"

/* Execute one instruction, or one iteration of a REP, and come back. */
void vmx_single_step(CPUX86State *env)
{
    CPUState *cs = env_cpu(env);

    cs->cflags_next_tb = cs->tcg_cflags | CF_NOIRQ | CF_SINGLE_STEP |
                         CF_NO_GOTO_TB | CF_NO_GOTO_PTR | 1;
}

void vmx_mtf_entry(CPUX86State *env, const Vmcs *v)
{
    X86VMX *vmx = env->vmx;
    uint32_t info = vmcs_read(v, VMCS_ENTRY_INTR_INFO);

    if (vmx_injects_mtf(info)) {
        vmx->mtf = VMX_MTF_PENDING;
    } else if (!(vmx->cpu & CPU_MTF)) {
        vmx->mtf = VMX_MTF_NONE;
    } else {
        vmx->mtf = info & INTR_VALID ? VMX_MTF_PENDING : VMX_MTF_ARMED;
    }
}

void vmx_mtf_event(CPUX86State *env)
{
    if (env->vmx->mtf == VMX_MTF_ARMED) {
        env->vmx->mtf = VMX_MTF_PENDING;
    }
}

bool vmx_mtf_due(CPUX86State *env)
{
    return env->vmx->mtf == VMX_MTF_STEPPING || env->vmx->mtf == VMX_MTF_PENDING;
}

bool vmx_mtf_armed(CPUX86State *env)
{
    return env->vmx->mtf == VMX_MTF_ARMED && !env_cpu(env)->halted &&
           !env->vmx->was_halted;
}

/* Nothing goes before the guest's instruction. */
void vmx_mtf_step(CPUX86State *env)
{
    env->vmx->mtf = VMX_MTF_STEPPING;
    vmx_single_step(env);
}
