/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Local APIC, start-up of the other processors, work for them. */
#include "cpu.h"

PerCpu percpu[MAX_CPUS] __attribute__((aligned(64)));
volatile u32 cpus_online;

extern char ap_trampoline[], ap_trampoline_end[];

u32 apic_read(u32 reg)
{
    if (rdmsr(MSR_APIC_BASE) & BIT(10)) {
        return rdmsr(0x800 + (reg >> 4));
    }
    return *(volatile u32 *)(0xfee00000ull + reg);
}

void apic_write(u32 reg, u32 val)
{
    if (rdmsr(MSR_APIC_BASE) & BIT(10)) {
        wrmsr(0x800 + (reg >> 4), val);
    } else {
        *(volatile u32 *)(0xfee00000ull + reg) = val;
    }
}

void apic_send(u32 apic_id, u32 icr_low)
{
    if (rdmsr(MSR_APIC_BASE) & BIT(10)) {
        wrmsr(0x830, (u64)apic_id << 32 | icr_low);
        return;
    }
    apic_write(APIC_ICR2, apic_id << 24);
    apic_write(APIC_ICR, icr_low);
    while (apic_read(APIC_ICR) & BIT(12)) {
        cpu_relax();
    }
}

void apic_self(u32 vector)
{
    apic_send(this_cpu()->apic_id, vector);
}

bool apic_bit(u32 base, u32 vector)
{
    return apic_read(base + vector / 32 * 16) >> (vector % 32) & 1;
}

static u64 fw_cfg(u16 key, u32 bytes)
{
    u64 v = 0;

    outw(0x510, key);
    for (u32 i = 0; i < bytes; i++) {
        v |= (u64)inb(0x511) << i * 8;
    }
    return v;
}

u32 cpu_count(void)
{
    return fw_cfg(0x05, 2);
}

u64 ram_below_4g(void)
{
    u64 size = fw_cfg(0x03, 8);

    return size > 0x80000000ull ? 0x80000000ull : size;     /* q35 splits there */
}

static void idle(PerCpu *cpu)
{
    for (;;) {
        void (*work)(void *) = cpu->work;

        if (work) {
            work(cpu->work_arg);
            __atomic_store_n(&cpu->work, NULL, __ATOMIC_RELEASE);
        }
        cpu_relax();
    }
}

void cpu_main(u32 index)
{
    PerCpu *cpu = &percpu[index];
    u64 here;

    asm("movq %%rsp, %0" : "=r"(here));
    cpu_init(cpu, index, (here + 64) & ~15ull);
    apic_write(APIC_SVR, 0x1ff);
    cpu->apic_id = apic_read(APIC_ID);
    if (!(rdmsr(MSR_APIC_BASE) & BIT(10))) {
        cpu->apic_id >>= 24;
    }
    __atomic_add_fetch(&cpus_online, 1, __ATOMIC_SEQ_CST);
    if (index) {
        idle(cpu);
    }
    test_main();
    finish();
}

void smp_start(void)
{
    u32 n = cpu_count();

    if (n > MAX_CPUS) {
        panic("at most %u CPUs", MAX_CPUS);
    }
    memcpy((void *)AP_TRAMPOLINE, ap_trampoline, ap_trampoline_end - ap_trampoline);
    apic_send(0, 0xc4500);                              /* INIT, all but self */
    apic_send(0, 0xc4600 | AP_TRAMPOLINE >> 12);        /* SIPI */
    while (cpus_online < n) {
        cpu_relax();
    }
}

void smp_run(u32 cpu, void (*fn)(void *), void *arg)
{
    percpu[cpu].work_arg = arg;
    __atomic_store_n(&percpu[cpu].work, fn, __ATOMIC_RELEASE);
}

void smp_wait(u32 cpu)
{
    while (percpu[cpu].work) {
        cpu_relax();
    }
}

void smp_call(u32 cpu, void (*fn)(void *), void *arg)
{
    smp_run(cpu, fn, arg);
    smp_wait(cpu);
}
