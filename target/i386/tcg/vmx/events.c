/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts, NMIs, windows and the preemption timer while a guest runs, and
 * the record of the event in delivery (SDM vol. 3, 26.2, 26.5, 27.6, 28.2.4).
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "qemu/main-loop.h"
#include "cpu.h"
#include "vmx.h"

/* VMX_MISC[4:0]: the preemption timer counts this power of two of TSC ticks */
#define TIMER_SHIFT     (vmx_misc() & 31)

/*
 * INIT is held back in root operation.  In a guest it is a VM exit, which
 * x86_vmx_check_intercept() takes.
 */
bool x86_vmx_init_blocked(CPUX86State *env)
{
    if (!env->vmx || !env->vmx->vmxon) {
        return false;
    }
    if (vmx_nonroot(env)) {
        env_cpu(env)->interrupt_request &= ~CPU_INTERRUPT_INIT;
        return false;
    }
    return true;
}

static uint32_t event_type(CPUX86State *env, int intno, int is_int, int is_hw,
                           int len)
{
    if (is_hw) {
        return intno == EXCP02_NMI ? INTR_TYPE_NMI : INTR_TYPE_EXT;
    }
    if (is_int) {
        return (intno == EXCP03_INT3 || intno == EXCP04_INTO) && len == 1
               ? INTR_TYPE_SOFT_EXC : INTR_TYPE_SOFT_INT;
    }
    return INTR_TYPE_HW_EXC;
}

bool vmx_iret_unblocks_nmi(CPUX86State *env)
{
    X86VMX *vmx = env->vmx;

    return (env->hflags2 & HF2_NMI_MASK) && !(vmx->vect_info & INTR_VALID) &&
           (!(vmx->pin & PIN_NMI) || (vmx->pin & PIN_VIRTUAL_NMIS)) &&
           vmx_at_iret(env);
}

void x86_vmx_event_begin(CPUX86State *env, int intno, int is_int,
                         int error_code, int is_hw, int next_eip)
{
    X86VMX *vmx = env->vmx;
    int len = is_int ? next_eip - (int)env->eip : 0;

    if (vmx->inject_info) {
        vmx->vect_info = vmx->inject_info;
        vmx->inject_info = 0;
        return;                 /* error code and length are set already */
    }
    if (!is_int && !is_hw && intno != EXCP01_DB && vmx_nonroot(env) &&
        vmx_iret_unblocks_nmi(env)) {
        env->hflags2 &= ~HF2_NMI_MASK;
    }
    vmx->vect_info = intno | INTR_VALID |
                     event_type(env, intno, is_int, is_hw, len);
    vmx->vect_error = error_code;
    vmx->vect_insn_len = len;
    if (!is_int && !is_hw && exception_has_error_code(intno) &&
        (env->cr[0] & CR0_PE_MASK)) {
        vmx->vect_info |= INTR_DELIVER_ERROR;
    }
}

void x86_vmx_event_end(CPUX86State *env)
{
    env->vmx->vect_info = 0;
}

/*
 * Deliver the event of VM entry.  @info, @error, @insn_len: the VM-entry
 * fields 4016H, 4018H, 401AH, checked.
 */
void vmx_inject(CPUX86State *env, uint32_t info, uint32_t error,
                uint32_t insn_len)
{
    X86CPU *cpu = env_archcpu(env);
    int vector = info & INTR_VECTOR;
    uint32_t type = info & INTR_TYPE;

    env->vmx->inject_info = info & ~INTR_NMI_UNBLOCK_IRET;
    env->vmx->vect_error = error;
    env->vmx->vect_insn_len = insn_len;
    env->old_exception = -1;
    switch (type) {
    case INTR_TYPE_NMI:
        env->hflags2 |= HF2_NMI_MASK;
        /* fall through */
    case INTR_TYPE_EXT:
        do_interrupt_x86_hardirq(env, vector, 1);
        break;
    case INTR_TYPE_HW_EXC:
        /* a fault in its delivery may make a double fault */
        env->old_exception = vector;
        do_interrupt_all(cpu, vector, 0, error, 0, 0);
        break;
    case INTR_TYPE_PRIV_SW_EXC:
        env->eip += insn_len;
        do_interrupt_all(cpu, vector, 0, 0, 0, 0);
        break;
    case INTR_TYPE_SOFT_INT:
    case INTR_TYPE_SOFT_EXC:
        do_interrupt_all(cpu, vector, 1, 0, env->eip + insn_len, 0);
        break;
    default:
        break;
    }
    env->vmx->inject_info = 0;
    env->old_exception = -1;
}

/* --- what may happen at an instruction boundary ------------------------- */

static bool interrupts_open(CPUX86State *env)
{
    return (env->eflags & IF_MASK) && !(env->hflags & HF_INHIBIT_IRQ_MASK);
}

static bool nmi_window_open(CPUX86State *env)
{
    return !(env->hflags2 & HF2_NMI_MASK) && !(env->hflags & HF_INHIBIT_IRQ_MASK);
}

/* Of what CPU_INTERRUPT_VIRQ stands for, the part that goes before NMIs ... */
static bool due_before_nmi(CPUX86State *env)
{
    X86VMX *vmx = env->vmx;

    return vmx_mtf_due(env) || vmx->tpr_below || vmx_debug_due(env) ||
           vmx->preemption_expired ||
           ((vmx->cpu & CPU_NMI_WINDOW) && nmi_window_open(env));
}

/* ... and the part that goes before external interrupts. */
static bool due_before_interrupts(CPUX86State *env)
{
    return (env->vmx->cpu & CPU_INTR_WINDOW) && interrupts_open(env);
}

static bool virq_due(CPUX86State *env)
{
    return due_before_nmi(env) || due_before_interrupts(env) ||
           (interrupts_open(env) && vmx_vintr_pending(env));
}

/* Highest priority first: SDM 7.9, 26.2, 26.5.1. */
int x86_vmx_pending_interrupt(CPUState *cs, int request)
{
    CPUX86State *env = cpu_env(cs);
    X86VMX *vmx = env->vmx;
    bool virq = request & CPU_INTERRUPT_VIRQ;

    if (cs->halted) {
        vmx->was_halted = true;         /* TCG asks before it ends the HLT */
    }
    if (virq && vmx->apic_write_pending) {
        return CPU_INTERRUPT_VIRQ;      /* still part of what was executed last */
    }
    if (request & CPU_INTERRUPT_POLL) {
        return CPU_INTERRUPT_POLL;
    }
    if (request & CPU_INTERRUPT_INIT) {
        return CPU_INTERRUPT_INIT;      /* ends HLT; the exit is TCG's main loop's */
    }
    if (virq && due_before_nmi(env)) {
        return CPU_INTERRUPT_VIRQ;
    }
    if (request & CPU_INTERRUPT_NMI) {
        if ((vmx->pin & PIN_NMI) ? !vmx->host_nmi_blocked
                                 : !(env->hflags2 & HF2_NMI_MASK)) {
            return CPU_INTERRUPT_NMI;
        }
    }
    if (request & CPU_INTERRUPT_MCE) {
        return CPU_INTERRUPT_MCE;
    }
    if (virq && due_before_interrupts(env)) {
        return CPU_INTERRUPT_VIRQ;
    }
    if ((request & CPU_INTERRUPT_HARD) &&
        ((vmx->pin & PIN_EXT_INTR) || interrupts_open(env))) {
        return CPU_INTERRUPT_HARD;
    }
    if (virq && (virq_due(env) || vmx_mtf_armed(env))) {
        return CPU_INTERRUPT_VIRQ;
    }
    return 0;
}

/* The guest takes an event; if that causes a VM exit, HLT is over already. */
static void deliver(CPUX86State *env, int vector)
{
    env->vmx->was_halted = false;
    vmx_mtf_event(env);
    do_interrupt_x86_hardirq(env, vector, 1);
    if (vmx_mtf_due(env)) {
        vmx_exit(env, VMX_EXIT_MTF, 0, 0);      /* a TB would run before the next look */
    }
}

static void take_nmi(CPUState *cs, CPUX86State *env)
{
    cs->interrupt_request &= ~CPU_INTERRUPT_NMI;
    if (env->vmx->pin & PIN_NMI) {
        vmx_exit_event(env, VMX_EXIT_EXCEPTION_NMI, 0,
                       EXCP02_NMI | INTR_TYPE_NMI | INTR_VALID, 0, 0);
    }
    env->hflags2 |= HF2_NMI_MASK;
    deliver(env, EXCP02_NMI);
}

static void take_external(CPUState *cs, CPUX86State *env)
{
    X86VMX *vmx = env->vmx;
    int vector;

    if ((vmx->pin & PIN_EXT_INTR) && !(vmx->exit_ctl & EXIT_ACK_INTR)) {
        vmx_exit(env, VMX_EXIT_EXT_INTR, 0, 0);     /* it stays pending */
    }
    cs->interrupt_request &= ~CPU_INTERRUPT_HARD;
    vector = cpu_get_pic_interrupt(env);
    if (vector < 0) {
        return;
    }
    if (!(vmx->pin & PIN_EXT_INTR)) {
        deliver(env, vector);
    } else if ((vmx->pin & PIN_POSTED_INTR) &&
               vector == (vmcs_read(vmx->cur, VMCS_POSTED_INTR_NV) & 0xffff)) {
        vmx_posted_interrupt(env);
        if (vmx->was_halted && !virq_due(env)) {
            cs->halted = 1;             /* nothing for the guest: HLT goes on */
            cs->exception_index = EXCP_HLT;
            cpu_loop_exit(cs);
        }
    } else {
        vmx_exit_event(env, VMX_EXIT_EXT_INTR, 0,
                       vector | INTR_TYPE_EXT | INTR_VALID, 0, 0);
    }
}

/* Highest priority first: SDM 26.5 and table 7-2. */
static void take_own_event(CPUState *cs, CPUX86State *env)
{
    X86VMX *vmx = env->vmx;
    int vector;

    if (vmx_mtf_armed(env) && !virq_due(env)) {
        vmx_mtf_step(env);
        return;
    }
    if (vmx_mtf_due(env)) {
        vmx_exit(env, VMX_EXIT_MTF, 0, 0);
    }
    if (vmx->tpr_below) {
        vmx_exit(env, VMX_EXIT_TPR_THRESHOLD, 0, 0);
    }
    if (vmx_debug_due(env)) {
        vmx_mtf_event(env);
        raise_exception_ra(env, EXCP01_DB, 0);
    }
    if (vmx->preemption_expired) {
        vmx_exit(env, VMX_EXIT_PREEMPTION_TIMER, 0, 0);
    }
    if ((vmx->cpu & CPU_NMI_WINDOW) && nmi_window_open(env)) {
        vmx_exit(env, VMX_EXIT_NMI_WINDOW, 0, 0);
    }
    if (vmx->cpu & CPU_INTR_WINDOW) {
        vmx_exit(env, VMX_EXIT_INTR_WINDOW, 0, 0);
    }
    vector = vmx_vintr_deliver(env);
    vmx_update_pending(env);
    deliver(env, vector);
}

/* Interrupts of a running guest; false: leave it to the stock code. */
bool x86_vmx_exec_interrupt(CPUState *cs, int request)
{
    CPUX86State *env = cpu_env(cs);

    if (!vmx_nonroot(env)) {
        return false;
    }
    switch (request) {
    case CPU_INTERRUPT_NMI:
        take_nmi(cs, env);
        break;
    case CPU_INTERRUPT_HARD:
        take_external(cs, env);
        break;
    case CPU_INTERRUPT_VIRQ:
        if (env->vmx->apic_write_pending) {
            vmx_apic_write_emulation(env);
            vmx_update_pending(env);
            /* look again before the next instruction */
            qatomic_set(&cs->neg.icount_decr.u16.high, -1);
            return true;
        }
        take_own_event(cs, env);
        break;
    default:
        return false;
    }
    env->vmx->was_halted = false;
    return true;
}

/*
 * CPU_INTERRUPT_VIRQ stands while the guest waits for a window, steps or has a
 * virtual interrupt, so that TCG asks at each boundary only then.
 */
static bool wants_virq(CPUX86State *env)
{
    X86VMX *vmx = env->vmx;

    return vmx_nonroot(env) &&
           ((vmx->cpu & (CPU_INTR_WINDOW | CPU_NMI_WINDOW)) ||
            qatomic_read(&vmx->preemption_expired) || vmx->pending_debug ||
            vmx->mtf != VMX_MTF_NONE || vmx->apic_write_pending ||
            vmx->tpr_below || vmx_vintr_pending(env));
}

void vmx_update_pending(CPUX86State *env)
{
    CPUState *cs = env_cpu(env);
    bool have = qatomic_read(&cs->interrupt_request) & CPU_INTERRUPT_VIRQ;

    if (wants_virq(env) == have) {
        return;
    }
    BQL_LOCK_GUARD();
    if (wants_virq(env)) {      /* once more: the timer may have expired since */
        cpu_interrupt(cs, CPU_INTERRUPT_VIRQ);
    } else {
        cpu_reset_interrupt(cs, CPU_INTERRUPT_VIRQ);
    }
}

/* --- preemption timer --------------------------------------------------- */

/* Clock and ticks of one moment: of a few tries, the least disturbed one. */
static int64_t clock_with_ticks(uint64_t *ticks)
{
    uint64_t best = UINT64_MAX;
    int64_t clock = 0;

    for (int i = 0; i < 8; i++) {
        uint64_t before = cpu_get_host_ticks();
        int64_t now = get_clock();
        uint64_t width = cpu_get_host_ticks() - before;

        if (width < best) {
            best = width;
            clock = now;
            *ticks = before + width / 2;
        }
    }
    return clock;
}

/* TCG's TSC is the host's tick counter, whose rate only time tells. */
uint64_t vmx_tsc_hz(void)
{
    static uint64_t hz;
    uint64_t c0, c1;
    int64_t t0, t1;

    if (!qatomic_read(&hz)) {
        t0 = clock_with_ticks(&c0);
        while (get_clock() - t0 < 4 * SCALE_MS) {
            ;
        }
        t1 = clock_with_ticks(&c1);
        qatomic_set(&hz, (c1 - c0) * NANOSECONDS_PER_SECOND / (t1 - t0));
    }
    return qatomic_read(&hz);
}

void vmx_preemption_timer_cb(void *opaque)
{
    CPUX86State *env = opaque;

    /* called late, it may be the timer of an entry that is over */
    if (qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) >=
        qatomic_read(&env->vmx->preemption_deadline)) {
        qatomic_set(&env->vmx->preemption_expired, true);
        cpu_interrupt(env_cpu(env), CPU_INTERRUPT_VIRQ);
    }
}

void vmx_preemption_timer_start(CPUX86State *env)
{
    X86VMX *vmx = env->vmx;
    uint64_t ticks;
    int64_t deadline;

    vmx->preemption_expired = false;
    if (!(vmx->pin & PIN_PREEMPTION_TIMER)) {
        return;
    }
    ticks = vmcs_read(vmx->cur, VMCS_PREEMPTION_TIMER) << TIMER_SHIFT;
    if (!ticks) {
        vmx->preemption_expired = true;
        return;
    }
    deadline = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) +
               muldiv64(ticks, NANOSECONDS_PER_SECOND, vmx_tsc_hz());
    qatomic_set(&vmx->preemption_deadline, deadline);
    timer_mod_ns(vmx->preemption_timer, deadline);
}

/* Stop the timer; what was left of it, in its own unit. */
uint32_t vmx_preemption_timer_stop(CPUX86State *env)
{
    X86VMX *vmx = env->vmx;
    int64_t left;

    if (!(vmx->pin & PIN_PREEMPTION_TIMER)) {
        return 0;
    }
    left = timer_expire_time_ns(vmx->preemption_timer) -
           qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    if (vmx->preemption_expired || !timer_pending(vmx->preemption_timer) ||
        left < 0) {
        left = 0;
    }
    qatomic_set(&vmx->preemption_deadline, INT64_MAX);
    timer_del(vmx->preemption_timer);
    vmx->preemption_expired = false;
    return muldiv64(left, vmx_tsc_hz(), NANOSECONDS_PER_SECOND) >> TIMER_SHIFT;
}
