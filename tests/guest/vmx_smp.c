/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMX on two processors: a VMCS that moves, INIT in root and non-root
 * operation, the wait-for-SIPI state, IPIs to a running guest, guests side by
 * side (SDM vol. 3, 23.8, 24.1, 25.2).
 */
#include "vmx.h"

const char test_name[] = "vmx_smp";

#define VECTOR_KICK     0x71

static Vm vm, vm1;
static volatile u32 reason, info, result, started;
static volatile u64 qual;

static void g_nothing(void) { }
static void g_spin(void)
{
    started = 1;
    for (;;) {
        cpu_relax();
    }
}

static void enable(void *arg)
{
    vmx_on();
}

static void migrate_in(void *arg)
{
    vmptrld(vm.vmcs);
    vm_host_state();
    vm.launched = true;
    result = vm_enter(&vm);
    if (result == VM_VALID) {
        info = vm_error();
    }
    vm.launched = false;
    vm_set_entry(&vm, g_nothing);
    reason = vm_run(&vm);
    qual = vm_ended(&vm);
    vmclear(vm.vmcs);
}

static void migration(void)
{
    vm_create(&vm);
    vm_start(&vm, g_nothing);
    vmwrite(VMCS_TSC_OFFSET, 0x1234567);
    vmclear(vm.vmcs);
    smp_call(1, migrate_in, NULL);
    check_eq(result, VM_VALID, "a cleared VMCS on another CPU: VMRESUME fails");
    check_eq(info, VMX_ERR_VMRESUME_NOT_LAUNCHED, "VMRESUME: error 5");
    check_eq(reason, VMX_EXIT_VMCALL, "VMLAUNCH on the other CPU");
    check_eq(qual, 1, "the guest ended there");
    vmptrld(vm.vmcs);
    check_eq(vmread(VMCS_TSC_OFFSET), 0x1234567, "its fields came along");
    vm_host_state();
    vm.launched = false;
    check_eq(vm_start(&vm, g_nothing), VMX_EXIT_VMCALL, "VMLAUNCH back on the first CPU");
}

static void make_and_spin(void *arg)
{
    if (!vm1.vmcs) {
        vm_create(&vm1);
        vm_set_bits(VMCS_EXIT_CONTROLS, EXIT_ACK_INTR);
    }
    reason = vm_start(&vm1, g_spin);
    info = vmread(VMCS_EXIT_INTR_INFO);
    qual = vm_qual();
    if (reason == VMX_EXIT_EXT_INTR) {
        apic_write(APIC_EOI, 0);
    }
}

static void spin_on_other(void)
{
    started = 0;
    smp_run(1, make_and_spin, NULL);
    while (!started) {
        cpu_relax();
    }
}

static void ipis(void)
{
    spin_on_other();
    check_eq(vm_start(&vm, g_nothing), VMX_EXIT_VMCALL, "two guests run side by side");
    apic_send(percpu[1].apic_id, VECTOR_KICK);
    smp_wait(1);
    check_eq(reason, VMX_EXIT_EXT_INTR, "an IPI kicks the other guest out");
    check_eq(info, INTR_VALID | VECTOR_KICK, "IPI: vector");
    spin_on_other();
    apic_send(percpu[1].apic_id, 0x400);
    smp_wait(1);
    check_eq(reason, VMX_EXIT_EXCEPTION_NMI, "an NMI kicks the other guest out");
    check_eq(info, INTR_VALID | INTR_TYPE_NMI | 2, "NMI: interruption information");
}

static void wait_sipi(void *arg)
{
    vm_set_entry(&vm1, g_nothing);
    vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_WAIT_SIPI);
    started = 1;
    reason = vm_run(&vm1);
    qual = vm_qual();
}

/* A guest in HLT without HLT exiting: nothing but the INIT can end it. */
static void halt(void *arg)
{
    vm_clear_bits(VMCS_PRIMARY_CONTROLS, CPU_HLT);
    vm_set_entry(&vm1, g_nothing);
    vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
    started = 1;
    reason = vm_run(&vm1);
    qual = vmread(VMCS_GUEST_ACTIVITY);
    vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
    vm_set_bits(VMCS_PRIMARY_CONTROLS, CPU_HLT);
}

static void init_of_halted(void)
{
    started = 0;
    smp_run(1, halt, NULL);
    while (!started) {
        cpu_relax();
    }
    for (u32 i = 0; i < 100000; i++) {
        cpu_relax();
    }
    apic_send(percpu[1].apic_id, 0x4500);
    smp_wait(1);
    check_eq(reason, VMX_EXIT_INIT, "INIT ends the HLT state of a guest: exit 3 (25.2)");
    check_eq(qual, ACTIVITY_HLT, "its exit saves the activity state HLT (27.3.4)");
}

static volatile u32 alive;

static void answer(void *arg)
{
    alive++;
}

static void inits(void)
{
    spin_on_other();
    apic_send(percpu[1].apic_id, 0x4500);
    smp_wait(1);
    check_eq(reason, VMX_EXIT_INIT, "INIT in non-root operation: exit 3 (25.2)");
    alive = 0;
    smp_call(1, answer, NULL);
    check_eq(alive, 1, "the host of CPU 1 goes on after exit 3");
    if (rdmsr(MSR_VMX_MISC) & BIT(8)) {
        started = 0;
        smp_run(1, wait_sipi, NULL);
        while (!started) {
            cpu_relax();
        }
        for (u32 i = 0; i < 100000; i++) {
            cpu_relax();
        }
        apic_send(percpu[1].apic_id, 0x4642);
        smp_wait(1);
        check_eq(reason, VMX_EXIT_SIPI, "SIPI in the wait-for-SIPI state: exit 4 (25.2)");
        check_eq(qual, 0x42, "exit 4: qualification is the vector");
    } else {
        check_skip("VMX_MISC[8] is 0", "the wait-for-SIPI state");
    }
}

static void leave(void *arg)
{
    alive++;
    vmx_off();          /* the INIT that waits resets this CPU here */
    alive += 100;
}

static void init_in_root(void)
{
    u32 online = cpus_online;

    alive = 0;
    apic_send(percpu[1].apic_id, 0x4500);
    for (u32 i = 0; i < 100000; i++) {
        cpu_relax();
    }
    smp_call(1, answer, NULL);
    check_eq(alive, 1, "INIT is blocked in VMX root operation (25.2)");
    smp_run(1, leave, NULL);
    for (u32 i = 0; i < 1000000; i++) {
        cpu_relax();
    }
    check_eq(alive, 2, "after VMXOFF the INIT that waited takes effect (23.8)");
    apic_send(percpu[1].apic_id, 0x4600 | AP_TRAMPOLINE >> 12);
    for (u32 i = 0; i < 10000000 && cpus_online == online; i++) {
        cpu_relax();
    }
    check_eq(cpus_online, online + 1, "the CPU starts again by SIPI");
}

void test_main(void)
{
    if (!vmx_supported()) {
        panic("no VMX");
    }
    smp_start();
    vmx_on();
    smp_call(1, enable, NULL);
    migration();
    ipis();
    inits();
    init_of_halted();
    init_in_root();
}
