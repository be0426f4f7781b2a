/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts of a nested VM: xAPIC by MMIO, x2APIC by MSRs, timer and HLT, self-IPI,
 * TPR, NMI, the I/O APIC with edge and level, and a second CPU with INIT, start-up IPI
 * and IPIs.
 */
#include "vmguest.h"

#define VEC_TIMER         0x40
#define VEC_PING          0x41
#define VEC_PONG          0x42
#define VEC_SELF          0x50
#define VEC_IOAPIC        0x70
#define LAPIC             0xfee00000ull
#define LAPIC_ID          0x20
#define LAPIC_VERSION     0x30
#define LAPIC_EOI         0xb0
#define LAPIC_SVR         0xf0
#define LAPIC_ICR         0x300
#define LAPIC_ICR2        0x310
#define LAPIC_LVTT        0x320
#define LAPIC_TMICT       0x380
#define LAPIC_TDCR        0x3e0
#define IOAPIC            0xfec00000ull
#define ICR_INIT          0x4500
#define ICR_STARTUP       0x4600
#define ICR_NMI           0x4400
#define LVTT_TSC_DEADLINE (2u << 17)
#define LVT_MASKED        (1u << 16)
#define ADDITIONS         20000u
/*
 * In TSC ticks; KVM's timer may be 5 % early, as L1 knows its TSC's rate by measuring
 * only.
 */
#define DEADLINE 3000000u
#define ROUNDS   100u

bool x2apic;
static volatile u32 ap_up, ap_go, shared_count;

void guest_eoi(void)
{
    if (x2apic) {
        wrmsr(MSR_X2APIC_EOI, 0);
    } else {
        mmio_write32(LAPIC + LAPIC_EOI, 0);
    }
}

static void halt_for(unsigned vector, u32 count)
{
    while (this_cpu()->irqs[vector] < count) {
        safe_halt();
    }
}

static void test_xapic(void)
{
    check_eq(mmio_read32(LAPIC + LAPIC_ID) >> 24, 0, "xAPIC: id");
    check_eq(mmio_read32(LAPIC + LAPIC_VERSION) & 0xf0, 0x10, "xAPIC: version");
    mmio_write32(LAPIC + LAPIC_SVR, 0x1ff);
    mmio_write32(LAPIC + LAPIC_TDCR, 0xb);
    mmio_write32(LAPIC + LAPIC_LVTT, VEC_TIMER);
    mmio_write32(LAPIC + LAPIC_TMICT, 1000000);
    halt_for(VEC_TIMER, 1);
    check_eq(this_cpu()->irqs[VEC_TIMER], 1, "xAPIC: timer wakes HLT");
    mmio_write32(LAPIC + LAPIC_ICR2, 0);
    mmio_write32(LAPIC + LAPIC_ICR, VEC_SELF);
    check(wait_irqs(this_cpu(), VEC_SELF, 1), "xAPIC: IPI to itself");
}

static void enable_x2apic(void)
{
    u64 base = rdmsr(MSR_APIC_BASE);

    wrmsr(MSR_APIC_BASE, base | 0xc00);
    check_eq(rdmsr(MSR_APIC_BASE), base | 0xc00, "x2APIC: enabled");
    x2apic = true;
    wrmsr(MSR_X2APIC_SVR, 0x1ff);
    check_eq(rdmsr(MSR_X2APIC_ID), 0, "x2APIC: id");
}

static void test_timer(void)
{
    struct percpu *cpu = this_cpu();
    u32 r[4], n = cpu->irqs[VEC_TIMER];
    u64 t0;

    wrmsr(MSR_X2APIC_LVTT, VEC_TIMER | 1u << 17); /* periodic */
    wrmsr(MSR_X2APIC_TMICT, 1000000);
    halt_for(VEC_TIMER, n + 5);
    check(cpu->irqs[VEC_TIMER] >= n + 5, "x2APIC: periodic timer wakes HLT five times");
    wrmsr(MSR_X2APIC_LVTT, LVT_MASKED);
    irq_enable(); /* one may be pending */
    irq_disable();
    cpuid(1, 0, r);
    if (check(r[2] & 1u << 24, "CPUID: TSC deadline timer")) {
        wrmsr(MSR_X2APIC_LVTT, VEC_TIMER | LVTT_TSC_DEADLINE);
        n = cpu->irqs[VEC_TIMER];
        t0 = rdtsc();
        wrmsr(MSR_TSC_DEADLINE, t0 + DEADLINE);
        halt_for(VEC_TIMER, n + 1);
        check(rdtsc() - t0 >= DEADLINE - DEADLINE / 20,
              "x2APIC: TSC deadline, not too early");
        wrmsr(MSR_X2APIC_LVTT, LVT_MASKED);
    }
}

static void test_delivery(void)
{
    struct percpu *cpu = this_cpu();
    u32 n = cpu->irqs[VEC_SELF];

    irq_disable();
    wrmsr(MSR_X2APIC_SELF_IPI, VEC_SELF);
    check_eq(cpu->irqs[VEC_SELF], n, "self-IPI: held back while interrupts are off");
    irq_enable();
    irq_disable();
    check_eq(cpu->irqs[VEC_SELF], n + 1, "self-IPI: delivered when interrupts come on");
    write_cr8(0xf);
    wrmsr(MSR_X2APIC_SELF_IPI, VEC_SELF);
    irq_enable();
    check_eq(cpu->irqs[VEC_SELF], n + 1, "TPR: holds a lower vector back");
    check_eq(rdmsr(MSR_X2APIC_TPR), 0xf0, "TPR: CR8 is in the MSR");
    write_cr8(0);
    __asm__ volatile("nop");
    irq_disable();
    check_eq(cpu->irqs[VEC_SELF], n + 2, "TPR: lowering it delivers");

    wrmsr(MSR_X2APIC_ICR, ICR_NMI);
    for (u64 end = rdtsc() + (1ull << 32); !cpu->irqs[2] && rdtsc() < end;) {
        cpu_relax();
    }
    check_eq(cpu->irqs[2], 1, "NMI: IPI to itself, with interrupts off");
    __asm__ volatile("sti; int $0x81; cli" : : : "memory");
    check_eq(cpu->irqs[0x81], 1, "INT n");
}

static void ioapic_write(u32 reg, u32 v)
{
    mmio_write32(IOAPIC, reg);
    mmio_write32(IOAPIC + 0x10, v);
}

static void test_ioapic(void)
{
    struct percpu *cpu = this_cpu();

    ioapic_write(0x10 + 2 * VM_GSI + 1, 0);
    ioapic_write(0x10 + 2 * VM_GSI, VEC_IOAPIC);
    out32(VM_PORT_IRQ, VM_GSI);
    check(wait_irqs(cpu, VEC_IOAPIC, 1), "I/O APIC: edge interrupt");
    out32(VM_PORT_LEVEL, VM_GSI);
    /*
     * Level: stays asserted across the EOI, so it comes again until user space lowers
     * it.
     */
    ioapic_write(0x10 + 2 * VM_GSI, VEC_IOAPIC | 1 << 15);
    out32(VM_PORT_IRQ, VM_GSI);
    check(wait_irqs(cpu, VEC_IOAPIC, 3),
          "I/O APIC: level interrupt comes again after EOI");
    out32(VM_PORT_LEVEL, VM_GSI);
    irq_enable();
    irq_disable();
    ioapic_write(0x10 + 2 * VM_GSI, 1 << 16);
}

void test_irq(void)
{
    out8(0x21, 0xff); /* the PICs stay out of this */
    out8(0xa1, 0xff);
    test_xapic();
    enable_x2apic();
    test_timer();
    test_delivery();
    test_ioapic();
}

static void add_up(void)
{
    for (u32 i = 0; i < ADDITIONS; i++) {
        __asm__ volatile("lock incl %0" : "+m"(shared_count));
    }
}

void ap_main(void)
{
    struct percpu *cpu = this_cpu();
    u32 answered = 0;

    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 0xc00);
    wrmsr(MSR_X2APIC_SVR, 0x1ff);
    ap_up = rdmsr(MSR_X2APIC_ID) == 1 ? 1 : 2;
    while (!ap_go) {
        cpu_relax();
    }
    add_up();
    for (;;) {
        while (cpu->irqs[VEC_PING] == answered) {
            safe_halt();
        }
        answered++;
        wrmsr(MSR_X2APIC_ICR, VEC_PONG);
    }
}

static void wait_value(volatile u32 *p, u32 v)
{
    for (u64 end = rdtsc() + (1ull << 34); *p != v && rdtsc() < end;) {
        cpu_relax();
    }
}

void test_smp(void)
{
    struct percpu *cpu = this_cpu();

    wrmsr(MSR_X2APIC_ICR, 1ull << 32 | ICR_INIT);
    wrmsr(MSR_X2APIC_ICR, 1ull << 32 | ICR_STARTUP | VM_AP_START >> 12);
    wait_value(&ap_up, 1);
    if (!check_eq(ap_up, 1, "SMP: INIT and start-up IPI start the second CPU")) {
        return;
    }
    ap_go = 1;
    add_up();
    wait_value(&shared_count, 2 * ADDITIONS);
    check_eq(shared_count, 2 * ADDITIONS, "SMP: locked additions of both CPUs");
    for (u32 i = 0; i < ROUNDS; i++) {
        wrmsr(MSR_X2APIC_ICR, 1ull << 32 | VEC_PING);
        halt_for(VEC_PONG, i + 1);
    }
    check_eq(cpu->irqs[VEC_PONG], ROUNDS, "SMP: every IPI is answered once");
    check_eq(percpu_of(1)->irqs[VEC_PING], ROUNDS, "SMP: the second CPU took them all");
}
