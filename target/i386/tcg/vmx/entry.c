/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM entry: VMLAUNCH, VMRESUME, and the loading of guest state
 * (SDM vol. 3, chapter 27).
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "vmx.h"
#include "ram.h"

#define DR7_LOADED      0xffff2fffull   /* not bits 15, 14 and 12 */
#define CC_ALL  (CC_O | CC_S | CC_Z | CC_A | CC_P | CC_C)

/* --- pieces of guest and host state ------------------------------------- */

void vmx_load_crs(CPUX86State *env, uint64_t cr0, uint64_t cr3, uint64_t cr4,
                  uint64_t efer)
{
    X86VMX *vmx = env->vmx;

    vmx->keep_tlb = true;
    /* no transition into or out of long mode on the way: CR4 is still the old one */
    cpu_load_efer(env, env->efer & ~(uint64_t)(MSR_EFER_LME | MSR_EFER_LMA));
    cpu_x86_update_cr0(env, cr0);
    cpu_x86_update_cr4(env, cr4);
    cpu_x86_update_cr3(env, cr3);
    cpu_load_efer(env, efer);
    vmx->keep_tlb = false;
}

/* VMX access rights to descriptor bits as QEMU caches them. */
static uint32_t ar_to_flags(uint32_t ar)
{
    uint32_t flags = (ar & 0xf0ff) << 8;

    return ar & VMCS_AR_UNUSABLE ? flags & ~DESC_P_MASK : flags;
}

/* @seg: R_ES..R_GS; the fields of one segment are 2 apart in each group. */
static void load_segment(CPUX86State *env, const Vmcs *v, int seg)
{
    uint32_t ar = vmcs_read_nth(v, VMCS_GUEST_ES_AR, seg);

    if (seg == R_CS) {
        ar &= ~VMCS_AR_UNUSABLE;        /* CS is always usable; no check of the bit */
    }
    cpu_x86_load_seg_cache(env, seg,
                           vmcs_read_nth(v, VMCS_GUEST_ES_SEL, seg),
                           vmcs_read_nth(v, VMCS_GUEST_ES_BASE, seg),
                           vmcs_read_nth(v, VMCS_GUEST_ES_LIMIT, seg),
                           ar_to_flags(ar));
}

static void load_system_segment(const Vmcs *v, SegmentCache *sc, int index)
{
    uint32_t ar = vmcs_read_nth(v, VMCS_GUEST_ES_AR, index);

    sc->selector = vmcs_read_nth(v, VMCS_GUEST_ES_SEL, index);
    sc->base = vmcs_read_nth(v, VMCS_GUEST_ES_BASE, index);
    sc->limit = vmcs_read_nth(v, VMCS_GUEST_ES_LIMIT, index);
    sc->flags = ar_to_flags(ar);
    if (index == 7) {
        /* QEMU caches a TSS descriptor as LTR found it: not yet busy */
        sc->flags &= ~DESC_TSS_BUSY_MASK;
    }
}

static void load_guest_segments(CPUX86State *env, const Vmcs *v)
{
    static const int order[] = { R_CS, R_SS, R_DS, R_ES, R_FS, R_GS };

    for (int i = 0; i < ARRAY_SIZE(order); i++) {
        load_segment(env, v, order[i]);
    }
    load_system_segment(v, &env->ldt, 6);
    load_system_segment(v, &env->tr, 7);
    env->gdt.base = vmcs_read(v, VMCS_GUEST_GDTR_BASE);
    env->gdt.limit = vmcs_read(v, VMCS_GUEST_GDTR_LIMIT);
    env->idt.base = vmcs_read(v, VMCS_GUEST_IDTR_BASE);
    env->idt.limit = vmcs_read(v, VMCS_GUEST_IDTR_LIMIT);
}

static uint64_t guest_efer(CPUX86State *env, const Vmcs *v, uint64_t cr0)
{
    uint32_t ctl = vmcs_read(v, VMCS_ENTRY_CONTROLS);
    uint64_t efer = env->efer;

    if (ctl & ENTRY_LOAD_EFER) {
        efer = vmcs_read(v, VMCS_GUEST_EFER);
    }
    efer &= ~(uint64_t)MSR_EFER_LMA;
    if (ctl & ENTRY_IA32E) {
        efer |= MSR_EFER_LMA;
    }
    if (!(ctl & ENTRY_LOAD_EFER) && (cr0 & CR0_PG_MASK)) {
        efer = ctl & ENTRY_IA32E ? efer | MSR_EFER_LME
                                 : efer & ~(uint64_t)MSR_EFER_LME;
    }
    return efer;
}

static void load_guest_registers(CPUX86State *env, const Vmcs *v)
{
    X86VMX *vmx = env->vmx;
    uint32_t ctl = vmx->entry_ctl;
    uint64_t cr0 = vmcs_read(v, VMCS_GUEST_CR0);

    cr0 = (cr0 & VMX_CR0_LOADED) | (env->cr[0] & ~VMX_CR0_LOADED);
    vmx_load_crs(env, cr0, vmcs_read(v, VMCS_GUEST_CR3),
                 vmcs_read(v, VMCS_GUEST_CR4), guest_efer(env, v, cr0));
    if (ctl & ENTRY_LOAD_DEBUG) {
        cpu_x86_update_dr7(env, vmcs_read(v, VMCS_GUEST_DR7) & DR7_LOADED);
        vmx->debugctl = vmcs_read(v, VMCS_GUEST_DEBUGCTL);
    }
    if (ctl & ENTRY_LOAD_PAT) {
        env->pat = vmcs_read(v, VMCS_GUEST_PAT);
    }
    env->sysenter_cs = vmcs_read(v, VMCS_GUEST_SYSENTER_CS);
    env->sysenter_esp = vmcs_read(v, VMCS_GUEST_SYSENTER_ESP);
    env->sysenter_eip = vmcs_read(v, VMCS_GUEST_SYSENTER_EIP);
    env->regs[R_ESP] = vmcs_read(v, VMCS_GUEST_RSP);
    env->eip = vmcs_read(v, VMCS_GUEST_RIP);
    env->eflags = 0;
    cpu_load_eflags(env, vmcs_read(v, VMCS_GUEST_RFLAGS), ~(CC_ALL | DF_MASK));
}

static void load_blocking(CPUX86State *env, const Vmcs *v)
{
    X86VMX *vmx = env->vmx;
    uint32_t blocked = vmcs_read(v, VMCS_GUEST_INTERRUPTIBILITY);

    env->hflags &= ~HF_INHIBIT_IRQ_MASK;
    vmx->entry_blocking = blocked & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
    vmx->entry_rip = env->eip;
    if (vmx->entry_blocking) {
        env->hflags |= HF_INHIBIT_IRQ_MASK;
    }
    vmx->host_nmi_blocked = env->hflags2 & HF2_NMI_MASK;
    if (blocked & BLOCKED_BY_NMI) {
        env->hflags2 |= HF2_NMI_MASK;
    } else {
        env->hflags2 &= ~HF2_NMI_MASK;
    }
}

/* --- MSR lists ---------------------------------------------------------- */

uint32_t vmx_msr_load_list(CPUX86State *env, uint64_t pa, uint32_t count)
{
    CPUState *cs = env_cpu(env);

    /* VMX_MISC[27:25] recommends at most 512; hardware may machine-check */
    count = MIN(count, 4096);
    pa &= ~vmx_keyid_mask();
    for (uint32_t i = 0; i < count; i++, pa += 16) {
        if (x86_ldl_phys(cs, pa + 4) ||
            !vmx_msr_write(env, x86_ldl_phys(cs, pa), x86_ldq_phys(cs, pa + 8))) {
            return i + 1;
        }
    }
    return 0;
}

/* --- entry -------------------------------------------------------------- */

/* Copies of the controls that are asked for often. */
static void cache_controls(X86VMX *vmx, Vmcs *v, const VmxClient *client)
{
    vmx->cur = v;
    vmx->client = client;
    vmx->pin = vmcs_read(v, VMCS_PIN_CONTROLS);
    vmx->cpu = vmcs_read(v, VMCS_PRIMARY_CONTROLS);
    vmx->cpu2 = vmx->cpu & CPU_SECONDARY
                ? vmcs_read(v, VMCS_SECONDARY_CONTROLS) : 0;
    vmx->exit_ctl = vmcs_read(v, VMCS_EXIT_CONTROLS);
    vmx->entry_ctl = vmcs_read(v, VMCS_ENTRY_CONTROLS);
    vmx->exception_bitmap = vmcs_read(v, VMCS_EXCEPTION_BITMAP);
    vmx->eptp = vmcs_read(v, VMCS_EPT_POINTER);
    vmx->msr_bitmap = vmcs_read(v, VMCS_MSR_BITMAP) & ~vmx_keyid_mask();
    vmx->vapic_page = vmcs_read(v, VMCS_VIRTUAL_APIC_ADDR);
    vmx->apic_access = vmx->cpu2 & CPU2_APIC_ACCESS
        ? vmcs_read(v, VMCS_APIC_ACCESS_ADDR) & ~vmx_keyid_mask() : VMX_NO_PTR;
    vmx->tsc_multiplier = vmx->cpu2 & CPU2_TSC_SCALING
        ? vmcs_read(v, VMCS_TSC_MULTIPLIER) : VMX_TSC_UNSCALED;
}

/*
 * The non-root half of the TLB holds one context.  Without VPID its linear
 * translations end at each entry (@tag 0).
 */
static void switch_tlb(CPUX86State *env, uint64_t tag)
{
    X86VMX *vmx = env->vmx;
    uint64_t eptp = vmx->cpu2 & CPU2_EPT ? vmx->eptp : 0;

    if (vmx->tlb_eptp != eptp || vmx->tlb_tag != tag || !tag ||
        vmx->tlb_apic != vmx->apic_access) {
        vmx_flush_guest_tlb(env);
        vmx->tlb_apic = vmx->apic_access;
        vmx->tlb_eptp = eptp;
        vmx->tlb_tag = tag;
    }
}

static void start_events(CPUX86State *env, Vmcs *v)
{
    X86VMX *vmx = env->vmx;
    uint32_t info = vmcs_read(v, VMCS_ENTRY_INTR_INFO);

    vmx->vect_info = 0;
    vmx->was_halted = false;
    env->old_exception = -1;
    vmx_preemption_timer_start(env);
    vmx->apic_write_pending = vmx->tpr_below = false;
    if (vmx->cpu & CPU_TPR_SHADOW) {
        vmx_apicv_entry(env);
    }
    vmx->pause_seen = false;
    vmx_debug_entry(env, v);
    vmx_mtf_entry(env, v);
    vmx_update_pending(env);
    if ((info & INTR_VALID) && !vmx_injects_mtf(info)) {
        env->hflags &= ~HF_INHIBIT_IRQ_MASK;
        vmx_inject(env, info, vmcs_read(v, VMCS_ENTRY_INTR_ERROR),
                   vmcs_read(v, VMCS_ENTRY_INSN_LEN));
    } else if (vmx_debug_due(env) && !vmx_injects_mtf(info)) {
        vmx_mtf_event(env);
        raise_exception_ra(env, EXCP01_DB, 0);
    } else if (vmcs_read(v, VMCS_GUEST_ACTIVITY) == ACTIVITY_HLT) {
        CPUState *cs = env_cpu(env);

        cs->halted = 1;
        cs->exception_index = EXCP_HLT;
        cpu_loop_exit(cs);
    }
}

/* Everything of VM entry but the checks, the MSR list and the events. */
static void load_guest(CPUX86State *env, Vmcs *v, const VmxClient *client,
                       uint64_t tag)
{
    X86VMX *vmx = env->vmx;

    cache_controls(vmx, v, client);
    env->hflags |= HF_GUEST_MASK;
    if (vmx->cpu2 & CPU2_EPT) {
        env->hflags2 |= HF2_NPT_MASK;
    }
    switch_tlb(env, tag);
    load_guest_registers(env, v);
    load_guest_segments(env, v);
    vmx_pdptes_entry(env, v);
    load_blocking(env, v);
    env->tsc_offset = vmx->cpu & CPU_TSC_OFFSETTING
                      ? vmcs_read(v, VMCS_TSC_OFFSET) : 0;
}

void vmx_enter_guest(CPUX86State *env, Vmcs *v, const VmxClient *client,
                     uint64_t tag)
{
    load_guest(env, v, client, tag);
    start_events(env, v);
}

/* Entry fails after the checks of controls and host: SDM 27.8. */
static void entry_failure(CPUX86State *env, uint32_t reason, uint64_t qual)
{
    Vmcs *v = &env->vmx->vmcs;

    vmcs_write(v, VMCS_EXIT_REASON, reason | VMX_EXIT_ENTRY_FAILURE);
    vmcs_write(v, VMCS_EXIT_QUALIFICATION, qual);
    env->hflags &= ~HF_INHIBIT_IRQ_MASK;        /* 28.5.5: nothing is blocked */
    vmx_load_host(env, v);
}

/* 0: go on; else the VM-instruction error, 0xff for "no current VMCS". */
static uint32_t launch_state_error(CPUX86State *env, bool launch)
{
    X86VMX *vmx = env->vmx;

    if ((env->hflags & HF_INHIBIT_IRQ_MASK) && !vmx_after_sti(env)) {
        return VMX_ERR_MOV_SS;
    }
    if (launch && vmx->vmcs.launched) {
        return VMX_ERR_VMLAUNCH_NOT_CLEAR;
    }
    if (!launch && !vmx->vmcs.launched) {
        return VMX_ERR_VMRESUME_NOT_LAUNCHED;
    }
    return 0;
}

static void enter_or_fail(CPUX86State *env, bool launch, int insn_len)
{
    X86VMX *vmx = env->vmx;
    Vmcs *v = &vmx->vmcs;
    uint32_t error;
    uint64_t qual = 0, tag = 0;
    bool known;

    if (vmx->vmcs_ptr == VMX_NO_PTR) {
        vmx_fail_invalid(env);
        vmx_insn_done(env, insn_len);
        return;
    }
    known = vmx_checks_known(env, v);
    error = launch_state_error(env, launch);
    error = error ?: vmx_check_controls(env, v, known);
    error = error || known ? error : vmx_check_host(env, v);
    if (error) {
        vmx_fail_valid(env, error);
        vmx_insn_done(env, insn_len);
        return;
    }
    if (!vmx_check_guest(env, v, known, &qual)) {
        entry_failure(env, VMX_EXIT_BAD_GUEST, qual);
        return;
    }
    if (!known) {
        vmx_checks_passed(env, v);
    }
    if ((vmcs_read(v, VMCS_PRIMARY_CONTROLS) & CPU_SECONDARY) &&
        (vmcs_read(v, VMCS_SECONDARY_CONTROLS) & CPU2_VPID)) {
        tag = vmcs_read(v, VMCS_VPID);
    }
    env->insn_len = insn_len;   /* RIP and flags are in env already */
    load_guest(env, v, NULL, tag);
    error = vmx_msr_load_list(env, vmcs_read(v, VMCS_ENTRY_MSR_LOAD_ADDR),
                              vmcs_read(v, VMCS_ENTRY_MSR_LOAD_COUNT));
    if (error) {
        entry_failure(env, VMX_EXIT_BAD_MSR_LOAD, error);
        return;
    }
    v->launched = 1;
    start_events(env, v);
}

void vmx_vmentry(CPUX86State *env, bool launch, int insn_len)
{
    CPUState *cs = env_cpu(env);

    enter_or_fail(env, launch, insn_len);
    /*
     * The next translation block follows at once.  What was pending and held
     * back before may be open now: that is for the main loop.
     */
    if (qatomic_read(&cs->interrupt_request) || cs->cflags_next_tb != -1) {
        qatomic_set(&cs->neg.icount_decr.u16.high, -1);
    }
}
