/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The points at which QEMU's x86 TCG code calls into the VMX extension.
 * Without VMX (env->vmx is NULL) every one is "not handled" or a no-op.
 * cpu.h includes this file: keep it small.
 */
#ifndef TCG_VMX_HOOKS_H
#define TCG_VMX_HOOKS_H

typedef struct X86VMX X86VMX;           /* per CPU, opaque to QEMU's files */

/* Intercepts that SVM has no exit code for; above every SVM_EXIT_* in use. */
enum {
    X86_EXIT_RDRAND = 0x1000,
    X86_EXIT_RDSEED,
    X86_EXIT_RDPID,
};

#ifndef CONFIG_USER_ONLY
/* hooks.c: life cycle, MMU */
void x86_vmx_realize(X86CPU *cpu);
void x86_vmx_reset(CPUX86State *env);
int x86_vmx_mmu_base(CPUX86State *env);
void x86_vmx_tlb_flush(CPUX86State *env);
bool x86_vmx_map(CPUX86State *env, vaddr addr, int size, MMUAccessType access,
                 int mmu_idx, bool probe, hwaddr *paddr, int *prot,
                 int *page_size, uintptr_t ra);
G_NORETURN void x86_vmx_stage2_fault(CPUX86State *env, vaddr addr,
                                     bool on_walk, uintptr_t ra);
bool x86_vmx_fault_addr(CPUX86State *env, int exception, int error_code,
                        target_ulong cr2);
MMUAccessType x86_vmx_ptw_access(CPUX86State *env, hwaddr gpa, int mmu_idx,
                                 MMUAccessType access);
bool x86_vmx_pdpte(CPUX86State *env, int index, uint64_t *pdpte);
bool x86_vmx_ept(CPUX86State *env, hwaddr gpa, MMUAccessType access,
                 hwaddr *paddr, int *prot, int *page_size);

/* intercept.c: what an instruction or exception of a guest asks */
void x86_vmx_check_intercept(CPUX86State *env, uint32_t svm_type,
                             uint64_t param, uintptr_t ra);
void x86_vmx_check_io(CPUX86State *env, uint32_t port, uint32_t param,
                      uintptr_t ra);
void x86_vmx_check_swint(CPUX86State *env, int intno, uintptr_t ra);
G_NORETURN void x86_vmx_svm_exit(CPUX86State *env, uint64_t exit_code,
                                 uintptr_t ra);
G_NORETURN void x86_vmx_task_switch(CPUX86State *env, int sel, int source,
                                    uintptr_t ra);

/* debug.c */
target_ulong x86_vmx_debug_begin(CPUX86State *env);
bool x86_vmx_hlt_trap(CPUX86State *env);

/* events.c: interrupts and event delivery */
bool x86_vmx_init_blocked(CPUX86State *env);
void x86_vmx_event_begin(CPUX86State *env, int intno, int is_int,
                         int error_code, int is_hw, int next_eip_addend);
void x86_vmx_event_end(CPUX86State *env);
int x86_vmx_pending_interrupt(CPUState *cs, int interrupt_request);
bool x86_vmx_exec_interrupt(CPUState *cs, int interrupt_request);

/* regs.c, msr.c: control registers, MSRs, TSC; true: handled */
bool x86_vmx_write_cr(CPUX86State *env, int reg, target_ulong val,
                      uintptr_t ra);
bool x86_vmx_clts(CPUX86State *env, uintptr_t ra);
bool x86_vmx_read_cr8(CPUX86State *env, target_ulong *val);
uint64_t x86_vmx_tsc(CPUX86State *env, uint64_t val);
bool x86_vmx_wrmsr(CPUX86State *env, uint32_t msr, uint64_t val, uintptr_t ra);
bool x86_vmx_rdmsr(CPUX86State *env, uint32_t msr, uint64_t *val, uintptr_t ra);
#endif
#endif
