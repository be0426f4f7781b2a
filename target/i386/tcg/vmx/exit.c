/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM exit: exit information, saving the guest, loading the host
 * (SDM vol. 3, chapter 28).
 */
#include "qemu/osdep.h"
#include "qemu/log.h"
#include "cpu.h"
#include "vmx.h"
#include "ram.h"

#define CC_ALL  (CC_O | CC_S | CC_Z | CC_A | CC_P | CC_C)

/* --- saving the guest --------------------------------------------------- */

static uint32_t flags_to_ar(uint32_t flags)
{
    uint32_t ar = flags >> 8 & 0xf0ff;

    return flags & DESC_P_MASK ? ar : ar | VMCS_AR_UNUSABLE;
}

static void save_segment(Vmcs *v, const SegmentCache *sc, int index, uint32_t ar)
{
    vmcs_write_nth(v, VMCS_GUEST_ES_SEL, index, sc->selector);
    vmcs_write_nth(v, VMCS_GUEST_ES_BASE, index, sc->base);
    vmcs_write_nth(v, VMCS_GUEST_ES_LIMIT, index, sc->limit);
    vmcs_write_nth(v, VMCS_GUEST_ES_AR, index, ar);
}

static void save_segments(CPUX86State *env, Vmcs *v)
{
    uint32_t cpl = env->hflags & HF_CPL_MASK;

    for (int seg = R_ES; seg <= R_GS; seg++) {
        uint32_t ar = flags_to_ar(env->segs[seg].flags);

        if (seg == R_SS) {
            ar = (ar & ~0x60) | cpl << 5;       /* SS.DPL is the CPL */
        }
        if (!(ar & VMCS_AR_UNUSABLE)) {
            ar |= 1;            /* accessed: TCG's far transfers do not set it in CS */
        }
        save_segment(v, &env->segs[seg], seg, ar);
    }
    save_segment(v, &env->ldt, 6, flags_to_ar(env->ldt.flags));
    save_segment(v, &env->tr, 7, flags_to_ar(env->tr.flags) | 2);
    vmcs_write(v, VMCS_GUEST_GDTR_BASE, env->gdt.base);
    vmcs_write(v, VMCS_GUEST_GDTR_LIMIT, env->gdt.limit);
    vmcs_write(v, VMCS_GUEST_IDTR_BASE, env->idt.base);
    vmcs_write(v, VMCS_GUEST_IDTR_LIMIT, env->idt.limit);
}

static uint32_t blocking_state(CPUX86State *env)
{
    uint32_t blocked = 0;

    if (!(env->hflags & HF_INHIBIT_IRQ_MASK)) {
        ;
    } else if (env->vmx->entry_blocking && env->eip == env->vmx->entry_rip) {
        blocked = env->vmx->entry_blocking;
    } else {
        blocked = (env->eflags & IF_MASK) && vmx_after_sti(env)
                  ? BLOCKED_BY_STI : BLOCKED_BY_MOV_SS;
    }
    return blocked | (env->hflags2 & HF2_NMI_MASK ? BLOCKED_BY_NMI : 0);
}

static void save_guest(CPUX86State *env, Vmcs *v)
{
    X86VMX *vmx = env->vmx;
    uint32_t timer = vmx_preemption_timer_stop(env);
    uint32_t blocked = blocking_state(env);
    bool held = vmx->was_halted || (blocked & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS));

    vmcs_write(v, VMCS_GUEST_CR0, env->cr[0]);
    vmcs_write(v, VMCS_GUEST_CR3, env->cr[3]);
    vmcs_write(v, VMCS_GUEST_CR4, env->cr[4]);
    vmcs_write(v, VMCS_GUEST_RSP, env->regs[R_ESP]);
    vmcs_write(v, VMCS_GUEST_RIP, env->eip);
    vmcs_write(v, VMCS_GUEST_RFLAGS, cpu_compute_eflags(env));
    vmcs_write(v, VMCS_GUEST_SYSENTER_CS, env->sysenter_cs);
    vmcs_write(v, VMCS_GUEST_SYSENTER_ESP, env->sysenter_esp);
    vmcs_write(v, VMCS_GUEST_SYSENTER_EIP, env->sysenter_eip);
    vmcs_write(v, VMCS_GUEST_INTERRUPTIBILITY, blocked);
    vmcs_write(v, VMCS_GUEST_ACTIVITY,
               vmx->was_halted ? ACTIVITY_HLT : ACTIVITY_ACTIVE);
    vmx->was_halted = false;
    vmcs_write(v, VMCS_GUEST_PENDING_DEBUG, vmx_debug_to_save(env, held));
    save_segments(env, v);
    vmx_pdptes_save(env, v);
    if (vmx->exit_ctl & EXIT_SAVE_DEBUG) {
        vmcs_write(v, VMCS_GUEST_DR7, env->dr[7]);
        vmcs_write(v, VMCS_GUEST_DEBUGCTL, vmx->debugctl);
    }
    if (vmx->exit_ctl & EXIT_SAVE_PAT) {
        vmcs_write(v, VMCS_GUEST_PAT, env->pat);
    }
    if (vmx->exit_ctl & EXIT_SAVE_EFER) {
        vmcs_write(v, VMCS_GUEST_EFER, env->efer);
    }
    if (vmx->exit_ctl & EXIT_SAVE_TIMER) {
        vmcs_write(v, VMCS_PREEMPTION_TIMER, timer);
    }
    if (vmx->cpu2 & CPU2_UNRESTRICTED) {
        /* the control follows the guest in and out of IA-32e mode */
        vmcs_write(v, VMCS_ENTRY_CONTROLS,
                   (vmx->entry_ctl & ~ENTRY_IA32E) |
                   (env->efer & MSR_EFER_LMA ? ENTRY_IA32E : 0));
    }
}

static void store_msr_list(CPUX86State *env, const Vmcs *v)
{
    CPUState *cs = env_cpu(env);
    uint64_t pa = vmcs_read(v, VMCS_EXIT_MSR_STORE_ADDR) & ~vmx_keyid_mask(), val;
    uint32_t n = MIN(vmcs_read(v, VMCS_EXIT_MSR_STORE_COUNT), 4096);

    for (uint32_t i = 0; i < n; i++, pa += 16) {
        if (vmx_msr_read(env, x86_ldl_phys(cs, pa), &val)) {
            x86_stq_phys(cs, pa + 8, val);
        }
    }
}

/* --- loading the host --------------------------------------------------- */

static void load_host_segments(CPUX86State *env, const Vmcs *v)
{
    const uint32_t data = DESC_P_MASK | DESC_S_MASK | DESC_W_MASK | DESC_A_MASK |
                          DESC_G_MASK | DESC_B_MASK;
    bool host64 = vmcs_read(v, VMCS_EXIT_CONTROLS) & EXIT_HOST_64;
    static const int others[] = { R_SS, R_DS, R_ES, R_FS, R_GS };

    cpu_x86_load_seg_cache(env, R_CS, vmcs_read(v, VMCS_HOST_CS_SEL), 0,
                           0xffffffff, DESC_P_MASK | DESC_S_MASK | DESC_CS_MASK |
                           DESC_R_MASK | DESC_A_MASK | DESC_G_MASK |
                           (host64 ? DESC_L_MASK : DESC_B_MASK));
    for (int i = 0; i < ARRAY_SIZE(others); i++) {
        int seg = others[i];
        uint16_t sel = vmcs_read_nth(v, VMCS_HOST_ES_SEL, seg);
        uint64_t base = seg == R_FS ? vmcs_read(v, VMCS_HOST_FS_BASE)
                      : seg == R_GS ? vmcs_read(v, VMCS_HOST_GS_BASE) : 0;

        cpu_x86_load_seg_cache(env, seg, sel, base, sel ? 0xffffffff : 0,
                               sel ? data : 0);
    }
    env->tr = (SegmentCache) {
        .selector = vmcs_read(v, VMCS_HOST_TR_SEL),
        .base = vmcs_read(v, VMCS_HOST_TR_BASE),
        .limit = 0x67,
        .flags = DESC_P_MASK | 9 << DESC_TYPE_SHIFT,
    };
    env->ldt = (SegmentCache) { 0 };
    env->gdt.base = vmcs_read(v, VMCS_HOST_GDTR_BASE);
    env->idt.base = vmcs_read(v, VMCS_HOST_IDTR_BASE);
    env->gdt.limit = env->idt.limit = 0xffff;
}

static uint64_t host_efer(CPUX86State *env, const Vmcs *v, uint32_t ctl)
{
    const uint64_t lma = MSR_EFER_LMA | MSR_EFER_LME;

    if (ctl & EXIT_LOAD_EFER) {
        return vmcs_read(v, VMCS_HOST_EFER);
    }
    return ctl & EXIT_HOST_64 ? env->efer | lma : env->efer & ~lma;
}

void vmx_load_host(CPUX86State *env, const Vmcs *v)
{
    X86VMX *vmx = env->vmx;
    uint32_t ctl = vmcs_read(v, VMCS_EXIT_CONTROLS);
    bool vnmi = vmcs_read(v, VMCS_PIN_CONTROLS) & PIN_VIRTUAL_NMIS;

    if (env->hflags & HF_GUEST_MASK) {
        if (vnmi) {
            env->hflags2 &= ~HF2_NMI_MASK;
            env->hflags2 |= vmx->host_nmi_blocked ? HF2_NMI_MASK : 0;
        }
        env->hflags &= ~(HF_GUEST_MASK | HF_INHIBIT_IRQ_MASK);
        env->hflags2 &= ~HF2_NPT_MASK;
    }
    env->tsc_offset = 0;
    vmx_load_crs(env,
                 (vmcs_read(v, VMCS_HOST_CR0) & VMX_CR0_LOADED) |
                 (env->cr[0] & ~VMX_CR0_LOADED),
                 vmcs_read(v, VMCS_HOST_CR3), vmcs_read(v, VMCS_HOST_CR4),
                 host_efer(env, v, ctl));
    if (ctl & EXIT_LOAD_PAT) {
        env->pat = vmcs_read(v, VMCS_HOST_PAT);
    }
    env->sysenter_cs = vmcs_read(v, VMCS_HOST_SYSENTER_CS);
    env->sysenter_esp = vmcs_read(v, VMCS_HOST_SYSENTER_ESP);
    env->sysenter_eip = vmcs_read(v, VMCS_HOST_SYSENTER_EIP);
    load_host_segments(env, v);
    env->regs[R_ESP] = vmcs_read(v, VMCS_HOST_RSP);
    env->eip = vmcs_read(v, VMCS_HOST_RIP);
    env->eflags = 0;
    cpu_load_eflags(env, 2, ~(CC_ALL | DF_MASK));
    cpu_x86_update_dr7(env, DR7_FIXED_1);
    vmx->debugctl = 0;
    if (vmx_msr_load_list(env, vmcs_read(v, VMCS_EXIT_MSR_LOAD_ADDR),
                          vmcs_read(v, VMCS_EXIT_MSR_LOAD_COUNT))) {
        qemu_log_mask(LOG_GUEST_ERROR,
                      "vmx: VM-exit MSR-load failed; a processor would abort\n");
    }
}

/* --- leaving ------------------------------------------------------------ */

/* Fields that describe an event whose delivery the exit interrupted. */
static void record_vectoring(CPUX86State *env, Vmcs *v, uint32_t reason)
{
    X86VMX *vmx = env->vmx;
    uint32_t info = vmx->vect_info, type = info & INTR_TYPE;

    vmcs_write(v, VMCS_IDT_VECTORING_INFO, 0);
    if (!(info & INTR_VALID) || reason == VMX_EXIT_TRIPLE_FAULT ||
        (reason == VMX_EXIT_EXCEPTION_NMI &&
         (vmcs_read(v, VMCS_EXIT_INTR_INFO) & (INTR_TYPE | INTR_VECTOR)) ==
         (INTR_TYPE_HW_EXC | EXCP08_DBLE))) {
        return;                 /* SDM 28.2.4: not for double and triple faults */
    }
    vmcs_write(v, VMCS_IDT_VECTORING_INFO, info);
    vmcs_write(v, VMCS_IDT_VECTORING_ERROR,
               info & INTR_DELIVER_ERROR ? vmx->vect_error : 0);
    if (type == INTR_TYPE_SOFT_INT || type == INTR_TYPE_SOFT_EXC ||
        type == INTR_TYPE_PRIV_SW_EXC) {
        vmcs_write(v, VMCS_EXIT_INSN_LEN, vmx->vect_insn_len);
    }
    if (type == INTR_TYPE_NMI) {
        /* a NMI whose delivery failed has not blocked any others yet */
        env->hflags2 &= ~HF2_NMI_MASK;
    }
}

/* The exit proper; env describes the guest at the boundary to save. */
static G_NORETURN void leave(CPUX86State *env, uint32_t reason, uint64_t qual,
                             uint32_t info, uint32_t error)
{
    CPUState *cs = env_cpu(env);
    X86VMX *vmx = env->vmx;
    const VmxClient *client = vmx->client;
    Vmcs *v = vmx->cur;

    vmcs_write(v, VMCS_EXIT_REASON, reason);
    vmcs_write(v, VMCS_EXIT_QUALIFICATION, qual);
    vmcs_write(v, VMCS_EXIT_INTR_INFO, info);
    vmcs_write(v, VMCS_EXIT_INTR_ERROR, error);
    vmcs_write(v, VMCS_EXIT_INSN_LEN, env->insn_len);
    vmcs_write(v, VMCS_ENTRY_INTR_INFO,
               vmcs_read(v, VMCS_ENTRY_INTR_INFO) & ~INTR_VALID);
    record_vectoring(env, v, reason);
    save_guest(env, v);
    store_msr_list(env, v);
    qemu_log_mask(CPU_LOG_INT, "vmx: CPU %d exit %u qualification 0x%" PRIx64
                  " intr 0x%x rip 0x%" PRIx64 " gpa 0x%" PRIx64 "\n",
                  cs->cpu_index, reason, qual, info,
                  vmcs_read(v, VMCS_GUEST_RIP),
                  vmcs_read(v, VMCS_GUEST_PHYSICAL_ADDR));
    vmx->vect_info = vmx->inject_info = 0;
    vmx->mtf = VMX_MTF_NONE;
    vmx->apic_write_pending = vmx->tpr_below = false;
    vmx->fault_gla_valid = false;
    env->old_exception = -1;
    vmx_load_host(env, v);
    if (reason == VMX_EXIT_EXCEPTION_NMI &&
        (info & INTR_TYPE) == INTR_TYPE_NMI) {
        env->hflags2 |= HF2_NMI_MASK;
    }
    vmx_update_pending(env);
    vmx->client = NULL;
    cs->halted = 0;
    cs->exception_index = -1;
    if (client) {
        client->exited(env);
    }
    cpu_loop_exit(cs);
}

/*
 * IRET ends blocking by NMI before it can fault (28.2.1, 28.2.2): an exit by its
 * fault tells so, for the host to block again.
 */
static bool iret_unblocks(CPUX86State *env, uint32_t reason, uint32_t info)
{
    uint8_t vector = info & INTR_VECTOR;
    bool fault = reason == VMX_EXIT_EPT_VIOLATION || reason == VMX_EXIT_PML_FULL ||
                 (reason == VMX_EXIT_EXCEPTION_NMI &&
                  (info & INTR_TYPE) == INTR_TYPE_HW_EXC &&
                  vector != EXCP01_DB && vector != EXCP08_DBLE);

    return fault && vmx_iret_unblocks_nmi(env);
}

void vmx_exit_event(CPUX86State *env, uint32_t reason, uint64_t qual,
                    uint32_t info, uint32_t error, uintptr_t ra)
{
    cpu_restore_state(env_cpu(env), ra);
    if (iret_unblocks(env, reason, info)) {
        env->hflags2 &= ~HF2_NMI_MASK;
        if (reason == VMX_EXIT_EXCEPTION_NMI) {
            info |= INTR_NMI_UNBLOCK_IRET;
        } else {
            qual |= INTR_NMI_UNBLOCK_IRET;      /* the same bit */
        }
    }
    leave(env, reason, qual, info, error);
}

void vmx_exit(CPUX86State *env, uint32_t reason, uint64_t qual, uintptr_t ra)
{
    vmx_exit_event(env, reason, qual, 0, 0, ra);
}

void vmx_exit_trap(CPUX86State *env, uint32_t reason, uint64_t qual, uintptr_t ra)
{
    if (cpu_restore_state(env_cpu(env), ra)) {
        env->eip += env->insn_len;
        env->eflags &= ~RF_MASK;
        env->hflags &= ~HF_INHIBIT_IRQ_MASK;
        vmx_debug_insn_done(env);
    }
    leave(env, reason, qual, 0, 0);
}
