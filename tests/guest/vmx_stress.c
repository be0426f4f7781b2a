/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nothing is lost under load: posted interrupts, kicks and NMIs from another
 * CPU to a guest that runs or halts, each acknowledged before the next.  A lost
 * one shows as a time-out of the wait for its acknowledgement.
 */
#include "vmx.h"

const char test_name[] = "vmx_stress";

#ifndef ROUNDS
#define ROUNDS  150
#endif

#define V_POST  0x61
#define V_KICK  0x71
#define NV      0xf2

static Vm vm;
static u8 *vapic;
static volatile u64 *desc;
static volatile u32 acked, stop, lost;
static volatile u32 kicks, nmis;
static volatile u32 *lost_what, lost_round;

static void g_ack(Regs *r)
{
    acked++;
    wrmsr(0x80b, 0);
}

static void g_run(void)
{
    sti();
    while (!stop) {
        cpu_relax();
    }
    cli();
}

static void g_halt(void)
{
    while (!stop) {
        asm volatile("sti; hlt; cli");
    }
}

static void count_nmi(Regs *r)
{
    nmis++;
}

static bool wait_for(volatile u32 *counter, u32 value)
{
    u64 limit = rdtsc() + 20000000000ull;

    while (*counter < value) {
        if (rdtsc() > limit) {
            lost++;
            lost_what = counter;
            return false;
        }
        cpu_relax();
    }
    return true;
}

static void post(void)
{
    __atomic_fetch_or(&desc[V_POST / 64], BIT(V_POST % 64), __ATOMIC_SEQ_CST);
    if (!(__atomic_fetch_or(&desc[4], 1, __ATOMIC_SEQ_CST) & 1)) {
        apic_send(percpu[0].apic_id, NV);
    }
}

/* On CPU 1. */
static void sender(void *arg)
{
    u32 mode = (u64)arg;

    for (u32 i = 0; i < ROUNDS && !lost; i++) {
        u32 before = acked;

        if (mode & 1 && i % 3 == 0) {
            u32 k = kicks;

            apic_send(percpu[0].apic_id, V_KICK);
            wait_for(&kicks, k + 1);
        }
        if (mode & 2 && i % 5 == 0) {
            u32 k = nmis;

            apic_send(percpu[0].apic_id, 0x400);
            wait_for(&nmis, k + 1);
        }
        post();
        wait_for(&acked, before + 1);
        lost_round = i;
    }
    stop = 1;
    post();                             /* wakes the guest to see it */
}

static void host_iret(void)
{
    asm volatile("movq %%rsp, %%rax; pushq %0; pushq %%rax; pushfq; pushq %1;"
                 "leaq 1f(%%rip), %%rcx; pushq %%rcx; iretq; 1:"
                 : : "i"(SEL_DATA), "i"(SEL_CODE64) : "rax", "rcx", "memory");
}

static void session(void (*fn)(void), u32 mode, const char *what)
{
    u32 reason;

    memset(vapic, 0, PAGE_SIZE);
    memset((void *)desc, 0, 64);
    desc[4] = (u64)NV << 16;
    vmwrite(VMCS_GUEST_INTR_STATUS, 0);
    acked = stop = lost = 0;
    vm_set_entry(&vm, fn);
    smp_run(1, sender, (void *)(u64)mode);
    for (;;) {
        reason = vm_run(&vm);
        if (reason == VMX_EXIT_EXT_INTR) {
            u32 vector = vmread(VMCS_EXIT_INTR_INFO) & 0xff;

            kicks += vector == V_KICK;
            apic_write(APIC_EOI, 0);
        } else if (reason == VMX_EXIT_EXCEPTION_NMI) {
            nmis++;
            host_iret();
        } else {
            break;
        }
    }
    check(vm_ended(&vm), "%s: the guest ends (reason %u)", what, reason & 0xffff);
    smp_wait(1);
    if (!check_eq(lost, 0, "%s: nothing is lost", what)) {
        print("# in round %u: %s\n", lost_round, lost_what == &kicks ? "a kick" :
              lost_what == &nmis ? "an NMI" : "a posted interrupt");
    }
    check(acked >= ROUNDS, "%s: %u interrupts were delivered", what, ROUNDS);
    sti_nop_cli();                      /* a notification that came after the end */
}

void test_main(void)
{
    if (!vmx_supported() || !vmx_may(VMCS_PIN_CONTROLS, PIN_POSTED_INTR)) {
        panic("no posted interrupts");
    }
    smp_start();
    set_handler(NMI, count_nmi);
    vmx_on();
    vm_create(&vm);
    vapic = page_alloc();
    desc = page_alloc();
    vm.cpu->handler[V_POST] = g_ack;
    vmwrite(VMCS_VIRTUAL_APIC_ADDR, (u64)vapic);
    vmwrite(VMCS_TPR_THRESHOLD, 0);
    vmwrite(VMCS_POSTED_INTR_NV, NV);
    vmwrite(VMCS_POSTED_INTR_DESC, (u64)desc);
    vm_set_bits(VMCS_PRIMARY_CONTROLS, CPU_TPR_SHADOW);
    vm_clear_bits(VMCS_PRIMARY_CONTROLS, CPU_HLT);
    vm_secondary(CPU2_VINTR_DELIVERY | CPU2_APIC_REGISTER | CPU2_X2APIC);
    vm_set_bits(VMCS_EXIT_CONTROLS, EXIT_ACK_INTR);
    vm_set_bits(VMCS_PIN_CONTROLS, PIN_POSTED_INTR);
    session(g_run, 0, "running guest");
    session(g_halt, 0, "halting guest");
    session(g_run, 1, "running guest with kicks");
    session(g_halt, 1, "halting guest with kicks");
    session(g_run, 3, "running guest with kicks and NMIs");
    session(g_halt, 3, "halting guest with kicks and NMIs");
}
