/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts and vCPUs of a TD: x2APIC timer, self-IPI, TPR, IPIs, an MSI from the
 * host.
 */
#include "payload_td.h"

#define VEC_TIMER         0x40
#define VEC_PING          0x41
#define VEC_PONG          0x42
#define VEC_SELF          0x50
#define VEC_NOTIFY        0x60
#define VEC_SPURIOUS      0xff

#define LVTT_TSC_DEADLINE (2u << 17)
/*
 * In TSC ticks; KVM's timer may be 5 % early, as L1 knows its TSC's rate by measuring
 * only.
 */
#define DEADLINE   2000000u
#define LVT_MASKED (1u << 16)

/* What every further vCPU has found about itself; bit n = check n of ap_checks passed. */
static volatile u32 ap_ok[TD_MAX_VCPUS];
static volatile u32 ap_done[TD_MAX_VCPUS];
static const char *const ap_checks[] = {
    "vCPU index of VP.INFO is that of RSI",
    "CPUID by the module on every vCPU",
    "MSR through #VE on every vCPU",
    "x2APIC id is the vCPU index",
    "concurrent accept on every vCPU",
};
#define AP_CHECKS (sizeof(ap_checks) / sizeof(ap_checks[0]))

void apic_enable(void)
{
    wrmsr(MSR_X2APIC_SVR, 0x100 | VEC_SPURIOUS);
    wrmsr(MSR_X2APIC_TPR, 0);
}

/* Halts until @vector has come @count times; the host ends a TD that hangs here. */
static void halt_for(unsigned vector, u32 count)
{
    struct percpu *cpu = this_cpu();

    while (cpu->irqs[vector] < count) {
        safe_halt();
    }
}

static void test_timer(void)
{
    struct percpu *cpu = this_cpu();
    u32 halts = cpu->ve_count[EXIT_HLT], r[4];
    u64 t0;

    wrmsr(MSR_X2APIC_TDCR, 0xb);       /* divide by 1 */
    wrmsr(MSR_X2APIC_LVTT, VEC_TIMER); /* one-shot */
    wrmsr(MSR_X2APIC_TMICT, 100000);   /* 4 ms at 25 MHz */
    halt_for(VEC_TIMER, 1);
    check_eq(cpu->irqs[VEC_TIMER], 1, "timer: one-shot interrupt wakes HLT");
    check(cpu->ve_count[EXIT_HLT] > halts, "timer: HLT was a #VE");

    cpuid(1, 0, r);
    if (r[2] & 1u << 24) {
        wrmsr(MSR_X2APIC_LVTT, VEC_TIMER | LVTT_TSC_DEADLINE);
        t0 = rdtsc();
        wrmsr(MSR_TSC_DEADLINE, t0 + DEADLINE);
        halt_for(VEC_TIMER, 2);
        check(rdtsc() - t0 >= DEADLINE - DEADLINE / 20,
              "timer: TSC deadline wakes HLT, not too early");
    } else {
        check_eq(wrmsr_try(MSR_TSC_DEADLINE, 0), X86_VEC_GP,
                 "timer: TSC_DEADLINE without the CPUID bit is #GP");
    }
    wrmsr(MSR_X2APIC_LVTT, LVT_MASKED);
}

static void test_self_ipi(void)
{
    struct percpu *cpu = this_cpu();
    u32 msr = cpu->ve_count[EXIT_WRMSR];

    irq_disable();
    wrmsr(MSR_X2APIC_SELF_IPI, VEC_SELF);
    check_eq(cpu->irqs[VEC_SELF], 0, "self-IPI: held back while interrupts are off");
    irq_enable();
    irq_disable();
    check_eq(cpu->irqs[VEC_SELF], 1, "self-IPI: delivered when interrupts come on");

    wrmsr(MSR_X2APIC_TPR, 0xf0);
    wrmsr(MSR_X2APIC_SELF_IPI, VEC_SELF);
    irq_enable();
    check_eq(cpu->irqs[VEC_SELF], 1, "TPR: holds a lower vector back");
    check_eq(rdmsr(MSR_X2APIC_TPR), 0xf0, "TPR: reads back");
    check_eq(read_cr8(), 0xf, "TPR: CR8 shows it");
    wrmsr(MSR_X2APIC_TPR, 0);
    __asm__ volatile("nop");
    irq_disable();
    check_eq(cpu->irqs[VEC_SELF], 2, "TPR: lowering it delivers");
    check_eq(cpu->ve_count[EXIT_WRMSR], msr, "TPR, EOI, self-IPI: no #VE");
}

static void test_notify(void)
{
    u32 r[4];

    check_eq(vmcall(TDVMCALL_SETUP_EVENT_NOTIFY, 5, 0, 0, 0, NULL),
             TDVMCALL_INVALID_OPERAND, "SetupEventNotify: vector below 32 is refused");
    check_eq(vmcall(TDVMCALL_SETUP_EVENT_NOTIFY, VEC_NOTIFY, 0, 0, 0, NULL), 0,
             "SetupEventNotify: accepted");
    port_out32(TD_PORT_RING, 0);
    halt_for(VEC_NOTIFY, 1);
    check_eq(this_cpu()->irqs[VEC_NOTIFY], 1, "MSI from the host arrives once");
    cpuid(1, 0, r);
    check_eq(rdmsr(MSR_X2APIC_ID), this_cpu()->index, "x2APIC id of the first vCPU");
}

static void wait_nmis(u32 count)
{
    for (u64 end = rdtsc() + (1ull << 34);
         this_cpu()->irqs[X86_VEC_NMI] < count && rdtsc() < end;) {
        cpu_relax();
    }
}

/* NMIs come with interrupts off; a second one, asked for in between, is not lost. */
static void test_nmi(void)
{
    struct percpu *cpu = this_cpu();

    port_out32(TD_PORT_NMI, 0);
    wait_nmis(1);
    check_eq(cpu->irqs[X86_VEC_NMI], 1, "NMI: injected by the host");
    port_out32(TD_PORT_NMI, 0);
    wait_nmis(2);
    check_eq(cpu->irqs[X86_VEC_NMI], 2, "NMI: IRET has unblocked the next one");
}

void test_interrupts(void)
{
    apic_enable();
    test_timer();
    test_self_ipi();
    test_notify();
    test_nmi();
}

static u32 ap_check_all(unsigned index)
{
    u64 gpa = TD_AP_PAGES + index * TD_AP_PAGES_EACH * 0x1000ull;
    struct td_regs info = { 0 };
    u32 r[4], ok = 0;

    ok |= (!tdcall(TDG_VP_INFO, &info) && (u32)info.r9 == index) << 0;
    cpuid(0x21, 0, r);
    ok |= (r[1] == 0x65746e49 && r[3] == 0x5844546c) << 1;
    ok |= ((rdmsr(MSR_APIC_BASE) & 0xc00) == 0xc00) << 2;
    ok |= (rdmsr(MSR_X2APIC_ID) == index) << 3;
    ok |= (accept_range(gpa, TD_AP_PAGES_EACH * 0x1000) == TD_AP_PAGES_EACH) << 4;
    return ok;
}

/* Never returns: answers every ping of the first vCPU. */
void ap_main(unsigned index)
{
    struct percpu *cpu = this_cpu();
    u32 answered = 0;

    apic_enable();
    ap_ok[index] = ap_check_all(index);
    __atomic_store_n(&ap_done[index], 1, __ATOMIC_RELEASE);
    for (;;) {
        while (cpu->irqs[VEC_PING] == answered) {
            safe_halt();
        }
        answered++;
        wrmsr(MSR_X2APIC_ICR, VEC_PONG); /* to x2APIC id 0 */
    }
}

void test_aps(unsigned vcpus)
{
    struct percpu *cpu = this_cpu();
    u32 rounds = 20, up = 1, ok = ap_check_all(0);

    ap_release = 1;
    for (unsigned i = 1; i < vcpus; i++) {
        while (!__atomic_load_n(&ap_done[i], __ATOMIC_ACQUIRE)) {
            cpu_relax();
        }
        up++;
        ok &= ap_ok[i];
    }
    check_eq(up, vcpus, "SMP: all vCPUs came up");
    for (unsigned i = 0; i < AP_CHECKS; i++) {
        check(ok >> i & 1, ap_checks[i]);
    }
    stat_out(TD_STAT_VCPUS, up);
    if (vcpus == 1) {
        return;
    }
    for (u32 round = 0; round < rounds; round++) {
        for (unsigned i = 1; i < vcpus; i++) {
            u32 before = cpu->irqs[VEC_PONG];

            wrmsr(MSR_X2APIC_ICR, (u64)i << 32 | VEC_PING);
            halt_for(VEC_PONG, before + 1);
        }
    }
    check_eq(cpu->irqs[VEC_PONG], rounds * (vcpus - 1),
             "SMP: every IPI is answered once");
    for (unsigned i = 1; i < vcpus; i++) {
        if (percpu_of(i)->irqs[VEC_PING] != rounds) {
            check_eq(percpu_of(i)->irqs[VEC_PING], rounds, "SMP: IPIs taken by a vCPU");
        }
    }
}
