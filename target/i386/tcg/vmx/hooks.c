/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Life cycle of the VMX state of a CPU, and the hooks of the MMU.
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "cpu.h"
#include "target/i386/cpu-internal.h"
#include "exec/cputlb.h"
#include "exec/exec-all.h"
#include "migration/blocker.h"
#include "qapi/error.h"
#include "vmx.h"
#include "ram.h"

const VmxSeamOps *vmx_seam_ops;

/* What this extension adds to the features that TCG offers. */
static void vmx_register_features(void)
{
    feature_word_info[FEAT_1_ECX].tcg_features |= CPUID_EXT_VMX;
    feature_word_info[FEAT_7_0_ECX].tcg_features |=
        CPUID_7_0_ECX_MOVDIRI | CPUID_7_0_ECX_MOVDIR64B;
}
type_init(vmx_register_features)

/* A snapshot would silently lose the state behind env->vmx. */
static void vmx_block_migration(void)
{
    static Error *blocker;

    if (!blocker) {
        error_setg(&blocker, "a CPU with VMX cannot be saved or migrated yet; "
                   "start with -cpu ...,-vmx if you need snapshots");
        migrate_add_blocker(&blocker, NULL);
    }
}

void x86_vmx_realize(X86CPU *cpu)
{
    CPUX86State *env = &cpu->env;

    if (!(env->features[FEAT_1_ECX] & CPUID_EXT_VMX)) {
        return;
    }
    /* One CPU cannot have both: they share the flags of a running guest. */
    env->features[FEAT_8000_0001_ECX] &= ~CPUID_EXT3_SVM;
    env->vmx = g_new0(X86VMX, 1);
    env->vmx->preemption_timer =
        timer_new_ns(QEMU_CLOCK_VIRTUAL, vmx_preemption_timer_cb, env);
    vmx_block_migration();
    if (vmx_seam_ops && vmx_seam_ops->realize) {
        vmx_seam_ops->realize(cpu);
    }
}

void x86_vmx_reset(CPUX86State *env)
{
    X86VMX *vmx = env->vmx;
    QEMUTimer *timer;
    void *seam;

    if (!vmx) {
        return;
    }
    timer = vmx->preemption_timer;
    seam = vmx->seam;
    timer_del(timer);
    memset(vmx, 0, sizeof(*vmx));
    vmx->preemption_timer = timer;
    vmx->seam = seam;
    vmx->vmxon_ptr = vmx->vmcs_ptr = VMX_NO_PTR;
    vmx->cur = &vmx->vmcs;
    vmx->tsc_multiplier = VMX_TSC_UNSCALED;
    vmx->tlb_eptp = vmx->tlb_tag = UINT64_MAX;
    vmx->apic_access = vmx->tlb_apic = VMX_NO_PTR;
    vmx->preemption_deadline = INT64_MAX;
    if (vmx_seam_ops && vmx_seam_ops->reset) {
        vmx_seam_ops->reset(env);
    }
}

int x86_vmx_mmu_base(CPUX86State *env)
{
    return vmx_nonroot(env) ? MMU_GUEST : 0;
}

/* A control register changed: only the half of the TLB in use is stale. */
void x86_vmx_tlb_flush(CPUX86State *env)
{
    if (!env->vmx) {
        tlb_flush(env_cpu(env));
    } else if (!env->vmx->keep_tlb) {
        /* the second stage (index 7 of each half) does not depend on CRs */
        tlb_flush_by_mmuidx(env_cpu(env), 0x7f << x86_vmx_mmu_base(env));
    }
}

bool x86_vmx_ept(CPUX86State *env, hwaddr gpa, MMUAccessType access,
                 hwaddr *paddr, int *prot, int *page_size)
{
    return vmx_ept_walk(env, gpa, access, paddr, prot, page_size);
}

void x86_vmx_stage2_fault(CPUX86State *env, vaddr addr, bool on_walk,
                          uintptr_t ra)
{
    X86VMX *vmx = env->vmx;

    vmx->fault_gla = addr;
    vmx->fault_gla_valid = true;
    vmx->fault_on_walk = on_walk;
    vmx_ept_exit(env, ra);
}

/*
 * A page fault is about to be raised.  True: it will be a VM exit, CR2 keeps
 * its value, and the address is in the exit qualification instead.
 */
bool x86_vmx_fault_addr(CPUX86State *env, int exception, int error_code,
                        target_ulong cr2)
{
    if (!vmx_nonroot(env) || exception != EXCP0E_PAGE) {
        return false;
    }
    env->vmx->fault_gla = cr2;
    return vmx_exception_exits(env, exception, error_code);
}
