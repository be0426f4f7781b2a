/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * APIC virtualisation and virtual interrupts (SDM vol. 3, chapter 29): TPR
 * shadow and threshold, virtual-interrupt delivery, EOI exits, x2APIC MSRs,
 * posted interrupts.
 */
#include "vmx.h"

const char test_name[] = "apicv";

#define V_LOW           0x41
#define V_MID           0x61
#define V_HIGH          0x91
#define NV              0xf2

#define VTPR            0x80
#define VPPR            0xa0
#define VISR            0x100
#define VIRR            0x200

#define X2_ID           0x802
#define X2_TPR          0x808
#define X2_EOI          0x80b
#define X2_ICR          0x830
#define X2_SELF_IPI     0x83f

typedef struct PostedDesc {
    volatile u32 pir[8];
    volatile u64 control;               /* bit 0 ON, bit 1 SN, NV, NDST */
    u64 reserved[3];
} PostedDesc;

static Vm vm;
static u8 *vapic;
static PostedDesc *desc;
static volatile u32 order[8], taken;
static volatile u64 seen, isr_in_handler, ppr_in_handler;

static u32 vreg(u32 off)
{
    return *(volatile u32 *)(vapic + off);
}

static void set_vreg(u32 off, u32 v)
{
    *(volatile u32 *)(vapic + off) = v;
}

static bool vbit(u32 base, u32 vector)
{
    return vreg(base + vector / 32 * 16) >> (vector % 32) & 1;
}

static void set_vbit(u32 base, u32 vector)
{
    set_vreg(base + vector / 32 * 16, vreg(base + vector / 32 * 16) | 1u << vector % 32);
}

static void g_handler(Regs *r)
{
    if (taken < ARRAY_SIZE(order)) {
        order[taken] = r->vector;
    }
    taken++;
    isr_in_handler = vbit(VISR, r->vector) && !vbit(VIRR, r->vector);
    ppr_in_handler = vreg(VPPR);
    wrmsr(X2_EOI, 0);
}

static void g_nothing(void) { }
static void g_open(void) { asm volatile("sti; nop; nop; nop; cli"); }
static void g_spin(void)
{
    sti();
    for (u64 i = 0; i < 500000000 && !taken; i++) {
        cpu_relax();
    }
    cli();
}
static void g_spin_more(void)
{
    for (u32 i = 0; i < 20000; i++) {
        cpu_relax();
    }
}
static void g_tpr_msr(void)
{
    sti();
    wrmsr(X2_TPR, 0);
    asm volatile("nop; cli");
}
static void g_tpr_cr8(void)
{
    sti();
    write_cr8(0);
    asm volatile("nop; cli");
}
static void g_hlt(void) { asm volatile("sti; hlt; cli"); }
static void g_cr8(void)
{
    seen = read_cr8();
    write_cr8(2);
    guest_vmcall(0x99);
}

static void reset(void)
{
    memset(vapic, 0, PAGE_SIZE);
    memset(desc, 0, sizeof(*desc));
    desc->control = (u64)NV << 16;
    taken = 0;
    memset((void *)order, 0, sizeof(order));
    if (vmx_may(VMCS_SECONDARY_CONTROLS, CPU2_VINTR_DELIVERY)) {
        vmwrite(VMCS_GUEST_INTR_STATUS, 0);
        for (u32 i = 0; i < 4; i++) {
            vmwrite(VMCS_EOI_EXIT_BITMAP0 + 2 * i, 0);
        }
    }
    isr_in_handler = ppr_in_handler = 0;
}

static void post_virtual(u32 vector)
{
    u64 status = vmread(VMCS_GUEST_INTR_STATUS);

    set_vbit(VIRR, vector);
    if (vector > (status & 0xff)) {
        vmwrite(VMCS_GUEST_INTR_STATUS, (status & 0xff00) | vector);
    }
}

/* TPR shadow without virtual-interrupt delivery. */
static void tpr_shadow(void)
{
    reset();
    vm_clear_bits(VMCS_PRIMARY_CONTROLS, CPU_CR8_LOAD | CPU_CR8_STORE);
    set_vreg(VTPR, 0x50);
    vmwrite(VMCS_TPR_THRESHOLD, 0);
    vm_start(&vm, g_cr8);
    check_eq(vm_reason(), VMX_EXIT_VMCALL, "TPR shadow: MOV to CR8 does not exit");
    check_eq(seen, 5, "MOV from CR8 reads VTPR[7:4] (29.3)");
    check_eq(vreg(VTPR), 0x20, "MOV to CR8 writes VTPR (29.3)");
    check_eq(read_cr8(), 0, "the host's CR8 is not touched");
    set_vreg(VTPR, 0x50);
    vmwrite(VMCS_TPR_THRESHOLD, 3);
    check_eq(vm_start(&vm, g_cr8), VMX_EXIT_TPR_THRESHOLD,
             "MOV to CR8 below the threshold: exit 43 (29.1.2)");
    check_eq(vreg(VTPR), 0x20, "exit 43 is trap-like: VTPR is written");
    check_eq(seen, 5, "exit 43: behind MOV from CR8");
    vmwrite(VMCS_TPR_THRESHOLD, 0);
    vm_run(&vm);
    check_eq(vm_reason(), VMX_EXIT_VMCALL, "exit 43: RIP is behind MOV to CR8");
    vmwrite(VMCS_TPR_THRESHOLD, 0);
}

static void delivery(void)
{
    reset();
    post_virtual(V_MID);
    check_eq(vm_start(&vm, g_open), VMX_EXIT_VMCALL, "virtual interrupt: no exit");
    check(taken == 1 && order[0] == V_MID, "virtual interrupt: delivered (29.2.2)");
    check(isr_in_handler, "delivery moves the vector from VIRR to VISR (29.2.2)");
    check_eq(ppr_in_handler, V_MID & 0xf0, "delivery raises VPPR (29.2.2)");
    check(!vbit(VISR, V_MID), "EOI clears VISR (29.1.4)");
    check_eq(vreg(VPPR), 0, "EOI lowers VPPR (29.1.4)");
    check_eq(vmread(VMCS_GUEST_INTR_STATUS), 0, "RVI and SVI are 0 afterwards");

    reset();
    post_virtual(V_MID);
    vm_start(&vm, g_nothing);
    check_eq(taken, 0, "IF = 0 holds a virtual interrupt back");
    check_eq(vmread(VMCS_GUEST_INTR_STATUS), V_MID, "RVI remains");
    check(vbit(VIRR, V_MID), "VIRR remains");

    reset();
    post_virtual(V_HIGH);
    post_virtual(V_LOW);
    vm_start(&vm, g_open);
    check(taken == 2 && order[0] == V_HIGH && order[1] == V_LOW,
          "two virtual interrupts come by priority");

    reset();
    set_vbit(VISR, V_HIGH);
    post_virtual(V_MID);
    vmwrite(VMCS_GUEST_INTR_STATUS, (u64)V_HIGH << 8 | V_MID);
    vm_start(&vm, g_open);
    check_eq(taken, 0, "an interrupt in service of higher class holds it back (29.2.1)");
    check_eq(vreg(VPPR), V_HIGH & 0xf0, "VM entry computes VPPR from SVI (26.3.2.5)");
}

static void tpr_virtualisation(void)
{
    reset();
    set_vreg(VTPR, 0x70);
    post_virtual(V_MID);
    vm_start(&vm, g_open);
    check_eq(taken, 0, "VTPR above holds a virtual interrupt back (29.2.1)");
    vm_start(&vm, g_tpr_msr);
    check(vm_ended(&vm), "WRMSR of the TPR: no exit (reason %u)", vm_reason() & 0xffff);
    check(taken == 1 && order[0] == V_MID, "WRMSR that lowers the TPR delivers (29.5)");
    check_eq(vreg(VTPR), 0, "WRMSR writes VTPR (29.5)");
    reset();
    set_vreg(VTPR, 0x70);
    post_virtual(V_MID);
    vm_start(&vm, g_tpr_cr8);
    check(taken == 1 && order[0] == V_MID,
          "MOV to CR8 that lowers the TPR delivers (29.3)");
}

static void eoi_exit(void)
{
    reset();
    vmwrite(VMCS_EOI_EXIT_BITMAP0 + 2 * (V_MID / 64), BIT(V_MID % 64));
    post_virtual(V_MID);
    check_eq(vm_start(&vm, g_open), VMX_EXIT_EOI, "EOI with its exit bit: exit 45");
    check_eq(vm_qual(), V_MID, "exit 45: qualification is the vector");
    check(!vbit(VISR, V_MID), "exit 45 is trap-like: VISR is cleared (29.1.4)");
    vm_run(&vm);
    check(vm_ended(&vm) && taken == 1, "exit 45: RIP is behind the WRMSR");
    reset();
    vmwrite(VMCS_EOI_EXIT_BITMAP0 + 2 * (V_MID / 64), BIT(V_MID % 64));
    post_virtual(V_LOW);
    vm_start(&vm, g_open);
    check(vm_ended(&vm) && taken == 1, "EOI of another vector does not exit");
}

static void window(void)
{
    reset();
    vm_set_bits(VMCS_PRIMARY_CONTROLS, CPU_INTR_WINDOW);
    post_virtual(V_MID);
    vm_start(&vm, g_open);
    check_eq(vm_reason(), VMX_EXIT_INTR_WINDOW,
             "interrupt-window exiting: exit 7 instead of delivery (29.2.2)");
    check_eq(taken, 0, "interrupt-window exiting: not delivered");
    vm_clear_bits(VMCS_PRIMARY_CONTROLS, CPU_INTR_WINDOW);
    vm_run(&vm);
    check(vm_ended(&vm) && taken == 1, "without the window: delivered");
}

static u64 msr_value;
static u32 msr_fault, msr_index;

static void g_rdmsr(void) { msr_fault = rdmsr_safe(msr_index, &msr_value); }
static void g_wrmsr(void) { msr_fault = wrmsr_safe(msr_index, msr_value); }
static void g_self_ipi(void)
{
    sti();
    wrmsr(X2_SELF_IPI, V_LOW);
    asm volatile("nop; nop; cli");
}

static void x2apic_msrs(void)
{
    u8 *map = (u8 *)vm.msr_bitmap;

    reset();
    set_vreg(0x20, 0x12345678);
    msr_index = X2_ID;
    vm_start(&vm, g_rdmsr);
    check_eq(msr_value, 0x12345678, "RDMSR 802H reads the virtual-APIC page (29.5)");
    check_eq(msr_fault, NO_FAULT, "RDMSR 802H: no fault");
    set_vreg(VTPR, 0x30);
    msr_index = X2_TPR;
    vm_start(&vm, g_rdmsr);
    check_eq(msr_value, 0x30, "RDMSR 808H reads VTPR (29.5)");
    msr_value = 0x100;
    vm_start(&vm, g_wrmsr);
    check_eq(msr_fault, GP, "WRMSR 808H with reserved bits is #GP (29.5)");
    check_eq(vreg(VTPR), 0x30, "WRMSR 808H that faults leaves VTPR");
    msr_index = X2_EOI;
    msr_value = 1;
    vm_start(&vm, g_wrmsr);
    check_eq(msr_fault, GP, "WRMSR 80BH of a value other than 0 is #GP (29.5)");
    msr_index = X2_SELF_IPI;
    msr_value = 0x100;
    vm_start(&vm, g_wrmsr);
    check_eq(msr_fault, GP, "WRMSR 83FH with bits 31:8 is #GP (29.5)");
    vm_start(&vm, g_self_ipi);
    check(vm_ended(&vm) && taken == 1 && order[0] == V_LOW,
          "WRMSR 83FH delivers a self-IPI without exit (29.1.5)");
    map[0x800 + X2_ICR / 8] |= BIT(X2_ICR % 8);
    msr_index = X2_ICR;
    check_eq(vm_start(&vm, g_wrmsr), VMX_EXIT_WRMSR, "WRMSR 830H exits by the bitmap");
    map[0x800 + X2_ICR / 8] = 0;
    map[X2_TPR / 8] |= BIT(X2_TPR % 8);
    msr_index = X2_TPR;
    check_eq(vm_start(&vm, g_rdmsr), VMX_EXIT_RDMSR,
             "the MSR bitmap has priority over virtualisation (29.5)");
    map[X2_TPR / 8] = 0;
}

static void post(u32 vector)
{
    __atomic_fetch_or(&desc->pir[vector / 32], 1u << vector % 32, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&desc->control, 1, __ATOMIC_SEQ_CST);
}

static void post_from_other(void *arg)
{
    for (u32 i = 0; i < 20000; i++) {
        cpu_relax();
    }
    post(V_MID);
    apic_send(percpu[0].apic_id, NV);
}

static void posted(void)
{
    u32 nv_count = this_cpu()->count[NV];

    if (!vmx_may(VMCS_PIN_CONTROLS, PIN_POSTED_INTR)) {
        check_skip("not offered", "posted interrupts");
        return;
    }
    vmwrite(VMCS_POSTED_INTR_NV, NV);
    vmwrite(VMCS_POSTED_INTR_DESC, (u64)desc);
    vm_set_bits(VMCS_PIN_CONTROLS, PIN_POSTED_INTR);

    reset();
    post(V_MID);
    apic_self(NV);                      /* pending at entry, as KVM does it */
    check_eq(vm_start(&vm, g_spin), VMX_EXIT_VMCALL,
             "notification pending at entry: no exit (29.6)");
    check(taken == 1 && order[0] == V_MID, "the posted interrupt is delivered (29.6)");
    check_eq(desc->pir[V_MID / 32], 0, "PIR is cleared (29.6)");
    check_eq(desc->control & 1, 0, "the outstanding-notification bit is cleared (29.6)");
    check(!apic_bit(APIC_ISR, NV) && !apic_bit(APIC_IRR, NV),
          "the notification's EOI is done (29.6)");
    check_eq(vmread(VMCS_GUEST_INTR_STATUS), 0, "RVI and SVI are 0 afterwards");

    reset();
    smp_run(1, post_from_other, NULL);
    check_eq(vm_start(&vm, g_spin), VMX_EXIT_VMCALL,
             "notification from another CPU: no exit");
    smp_wait(1);
    check(taken == 1 && order[0] == V_MID, "notification from another CPU: delivered");

    reset();
    smp_run(1, post_from_other, NULL);
    vm_clear_bits(VMCS_PRIMARY_CONTROLS, CPU_HLT);
    check_eq(vm_start(&vm, g_hlt), VMX_EXIT_VMCALL, "a halted guest: no exit");
    smp_wait(1);
    check(taken == 1, "a notification wakes a halted guest (29.6)");
    vm_set_bits(VMCS_PRIMARY_CONTROLS, CPU_HLT);

    reset();
    post(V_HIGH);
    post(V_LOW);
    post_virtual(V_MID);
    apic_self(NV);
    vm_start(&vm, g_spin_more);
    check(vm_ended(&vm) && !taken,
          "IF = 0: the notification is processed, none delivered");
    check(vbit(VIRR, V_HIGH) && vbit(VIRR, V_MID) && vbit(VIRR, V_LOW),
          "PIR is merged into VIRR (29.6)");
    check_eq(vmread(VMCS_GUEST_INTR_STATUS), V_HIGH, "RVI is the highest (29.6)");
    vm_start(&vm, g_open);
    check(taken == 3 && order[0] == V_HIGH && order[1] == V_MID && order[2] == V_LOW,
          "all three are delivered by priority");

    reset();
    apic_self(NV);
    vm_start(&vm, g_spin_more);
    check(vm_ended(&vm) && !taken, "a notification without PIR bits does nothing");
    check_eq(this_cpu()->count[NV], nv_count, "no notification reached the host's IDT");

    reset();
    post(V_MID);
    apic_self(V_HIGH);
    check_eq(vm_start(&vm, g_spin), VMX_EXIT_EXT_INTR, "another vector exits (29.6)");
    check_eq(vmread(VMCS_EXIT_INTR_INFO), INTR_VALID | V_HIGH,
             "another vector: acknowledged");
    check_eq(desc->pir[V_MID / 32], 1u << V_MID % 32, "another vector leaves PIR");
    apic_write(APIC_EOI, 0);

    apic_self(NV);
    sti_nop_cli();
    check_eq(this_cpu()->count[NV], nv_count + 1,
             "in root operation the notification vector is an ordinary interrupt");
    vm_clear_bits(VMCS_PIN_CONTROLS, PIN_POSTED_INTR);
}

void test_main(void)
{
    if (!vmx_supported() || !vmx_may(VMCS_PRIMARY_CONTROLS, CPU_TPR_SHADOW)) {
        panic("no TPR shadow");
    }
    smp_start();
    vmx_on();
    vm_create(&vm);
    vapic = page_alloc();
    desc = page_alloc();
    vm.cpu->handler[V_LOW] = g_handler;
    vm.cpu->handler[V_MID] = g_handler;
    vm.cpu->handler[V_HIGH] = g_handler;
    vmwrite(VMCS_VIRTUAL_APIC_ADDR, (u64)vapic);
    vmwrite(VMCS_TPR_THRESHOLD, 0);
    vm_set_bits(VMCS_PRIMARY_CONTROLS, CPU_TPR_SHADOW);
    vm_set_bits(VMCS_EXIT_CONTROLS, EXIT_ACK_INTR);
    tpr_shadow();
    if (!vm_secondary(CPU2_VINTR_DELIVERY | CPU2_APIC_REGISTER | CPU2_X2APIC)) {
        check_skip("not offered", "virtual-interrupt delivery");
        return;
    }
    delivery();
    tpr_virtualisation();
    eoi_exit();
    window();
    x2apic_msrs();
    posted();
}
