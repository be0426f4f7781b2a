/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitor trap flag: the exit behind one instruction or one event, pending exits
 * by injection, and what goes before them (SDM vol. 3, 26.5.2, 27.6.2).
 */
#include "vmx.h"

const char test_name[] = "vmx_mtf";

#define VECTOR_TEST     0x61
#define DR6_BS          BIT(14)
#define MTF_EVENT       (INTR_VALID | INTR_TYPE_OTHER)

static Vm vm;
static volatile u64 seen, count, db_rip;
static u8 source[4], target[4];

/* Code whose addresses the tests know. */
extern char g_nops[], g_nop1[], g_nop2[], g_rep[], g_rep_end[], g_ud[], g_int[],
            g_cpuid[], g_hlt[], g_hlt_end[], g_sti[], g_sti_end[], g_lock[],
            g_lock_end[], g_apic[], g_apic_end[], g_out[], g_out_end[], g_jump[],
            g_pf[];
asm(".pushsection .text\n"
    "g_nops: nop\n"
    "g_nop1: nop\n"
    "g_nop2: mov $0x656e64, %eax\n  vmcall\n"
    "g_rep: rep movsb\n"
    "g_rep_end: nop\n"
    "g_ud: ud2\n"
    "g_int: int $0x61\n"
    "g_cpuid: cpuid\n"
    "g_hlt: hlt\n"
    "g_hlt_end: nop\n"
    "g_sti: sti\n"
    "g_sti_end: nop\n"
    "g_lock: lock incq (%rdi)\n"
    "g_lock_end: nop\n"
    "g_apic: mov 0xfee00030, %eax\n"
    "g_apic_end: nop\n"
    "g_out: out %al, $0x84\n"
    "g_out_end: nop\n"
    "g_jump: jmp g_jump\n"
    "g_pf: mov (%rdi), %eax\n"
    ".popsection\n");

static void record(Regs *r)
{
    seen = r->vector;
    count++;
}

static void on_db(Regs *r)
{
    db_rip = r->rip;
    r->rflags &= ~(u64)FLAGS_TF;
}

static u64 handler_address(u32 vector)
{
    u64 lo = idt[vector][0];

    return (lo & 0xffff) | (lo >> 48 & 0xffff) << 16 | idt[vector][1] << 32;
}

static void entry(char *code)
{
    vm_set_entry(&vm, (void (*)(void))code);
}

static void step_to(u64 rip, const char *what)
{
    u32 r = vm_run(&vm);

    check_eq(r, VMX_EXIT_MTF, "%s: exit 37", what);
    check_eq(vmread(VMCS_GUEST_RIP), rip, "%s: RIP", what);
    check_eq(vmread(VMCS_IDT_VECTORING_INFO) & INTR_VALID, 0,
             "%s: no IDT-vectoring information", what);
}

static void instructions(void)
{
    u64 counter[2] = { 5 };

    entry(g_nops);
    step_to((u64)g_nop1, "NOP");
    check_eq(vm_qual(), 0, "NOP: qualification");
    step_to((u64)g_nop2, "NOP after it");
    vm_run(&vm);
    check_eq(vm_reason(), VMX_EXIT_MTF, "MOV behind it");
    vm_run(&vm);
    check(vm_ended(&vm), "an instruction that exits has that exit (reason %u)",
          vm_reason() & 0xffff);
    entry(g_cpuid);
    check_eq(vm_run(&vm), VMX_EXIT_CPUID, "CPUID: its exit, none of MTF (26.5.2)");
    entry(g_jump);
    step_to((u64)g_jump, "JMP to itself");
    step_to((u64)g_jump, "JMP to itself again");
    entry(g_lock);
    vm.rdi = (u64)counter;
    step_to((u64)g_lock_end, "locked INC");
    check_eq(counter[0], 6, "locked INC: once");
    vm.rdi = (u64)counter + 1;
    entry(g_lock);
    step_to((u64)g_lock_end, "locked INC, not aligned");
    check_eq(counter[0], 0x106, "locked INC, not aligned: once");
    entry(g_apic);
    step_to((u64)g_apic_end, "load from a device");
    vm_clear_bits(VMCS_PRIMARY_CONTROLS, CPU_UNCOND_IO);
    entry(g_out);
    step_to((u64)g_out_end, "OUT without an exit");
    vm_set_bits(VMCS_PRIMARY_CONTROLS, CPU_UNCOND_IO);
}

static void repeated_string(void)
{
    memcpy(source, "abcd", 4);
    memset(target, 0, 4);
    entry(g_rep);
    vm.rsi = (u64)source;
    vm.rdi = (u64)target;
    vm.rcx = 4;
    step_to((u64)g_rep, "REP MOVSB: behind the first iteration");
    check_eq(vm.rcx, 3, "REP MOVSB: RCX");
    check_eq(target[0] | target[1] << 8, 'a', "REP MOVSB: one byte is copied");
    step_to((u64)g_rep, "REP MOVSB: behind the second iteration");
    check_eq(vm.rcx, 2, "REP MOVSB: RCX");
    for (u32 i = 0; i < 3 && vmread(VMCS_GUEST_RIP) == (u64)g_rep; i++) {
        vm_run(&vm);
    }
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_rep_end, "REP MOVSB: ends");
    check(!memcmp(source, target, 4), "REP MOVSB: all is copied");
}

/* The boundary is the one behind the delivery of an event. */
static void events(void)
{
    entry(g_ud);
    step_to(handler_address(UD), "#UD: in its handler");
    entry(g_int);
    step_to(handler_address(VECTOR_TEST), "INT n: in its handler");
    entry(g_pf);
    vm.rdi = BIT(40);
    step_to(handler_address(PF), "#PF: in its handler");
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << UD);
    entry(g_ud);
    check_eq(vm_run(&vm), VMX_EXIT_EXCEPTION_NMI, "#UD in the bitmap: its exit");
    vmwrite(VMCS_EXCEPTION_BITMAP, 0);
    entry(g_nops);
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_IF);
    vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_TYPE_EXT | VECTOR_TEST);
    step_to(handler_address(VECTOR_TEST), "injected interrupt: in its handler");
    entry(g_nops);
    vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_TYPE_HW_EXC | UD);
    step_to(handler_address(UD), "injected exception: in its handler");
    vm_clear_bits(VMCS_PIN_CONTROLS, PIN_EXT_INTR);
    apic_self(VECTOR_TEST);
    entry(g_nops);
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_IF);
    step_to(handler_address(VECTOR_TEST),
            "an interrupt in front of the instruction: in its handler");
    vm_set_bits(VMCS_PIN_CONTROLS, PIN_EXT_INTR);
    apic_write(APIC_EOI, 0);
}

static void states(void)
{
    u32 primary = vmread(VMCS_PRIMARY_CONTROLS);

    entry(g_sti);
    step_to((u64)g_sti_end, "STI");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY), BLOCKED_BY_STI,
             "STI: blocking is saved");
    vmwrite(VMCS_PRIMARY_CONTROLS, primary & ~CPU_HLT);
    entry(g_hlt);
    step_to((u64)g_hlt_end, "HLT");
    check_eq(vmread(VMCS_GUEST_ACTIVITY), ACTIVITY_HLT, "HLT: activity state");
    vmwrite(VMCS_PRIMARY_CONTROLS, primary);
    /* 26.5.2: MTF goes before the trap of single-stepping, which stays pending */
    vm.cpu->handler[DB] = on_db;
    db_rip = 0;
    entry(g_nops);
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_TF);
    step_to((u64)g_nop1, "NOP with TF");
    check_eq(vmread(VMCS_GUEST_PENDING_DEBUG), DR6_BS, "NOP with TF: #DB is pending");
    check_eq(db_rip, 0, "NOP with TF: #DB is not delivered");
    step_to(handler_address(DB), "NOP with TF: #DB comes with the next entry");
    vm_clear_bits(VMCS_PRIMARY_CONTROLS, CPU_MTF);
    vm_run(&vm);
    check(vm_ended(&vm), "without the flag the guest runs on (reason %u)",
          vm_reason() & 0xffff);
    check_eq(db_rip, (u64)g_nop1, "#DB has the RIP of the boundary");
    vm_set_bits(VMCS_PRIMARY_CONTROLS, CPU_MTF);
}

/* Pending MTF VM exits, whatever the control is (27.6.2). */
static void injection(void)
{
    vm_clear_bits(VMCS_PRIMARY_CONTROLS, CPU_MTF);
    entry(g_nops);
    vmwrite(VMCS_ENTRY_INTR_INFO, MTF_EVENT);
    step_to((u64)g_nops, "injected MTF: no instruction runs");
    check_eq(vmread(VMCS_ENTRY_INTR_INFO) & INTR_VALID, 0, "injected MTF: valid bit");
    vm_run(&vm);
    check(vm_ended(&vm), "behind the injected MTF the guest runs on");
    entry(g_nops);
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_IF);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_STI);
    vmwrite(VMCS_ENTRY_INTR_INFO, MTF_EVENT);
    step_to((u64)g_nops, "injected MTF with blocking by STI");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY), BLOCKED_BY_STI,
             "injected MTF: blocking by STI stays");
    entry(g_nops);
    vmwrite(VMCS_GUEST_PENDING_DEBUG, DR6_BS);
    vmwrite(VMCS_ENTRY_INTR_INFO, MTF_EVENT);
    step_to((u64)g_nops, "injected MTF with a pending #DB");
    check_eq(vmread(VMCS_GUEST_PENDING_DEBUG), DR6_BS,
             "injected MTF: the #DB stays pending");
    entry(g_nops);
    vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
    vmwrite(VMCS_ENTRY_INTR_INFO, MTF_EVENT);
    step_to((u64)g_nops, "injected MTF in HLT");
    check_eq(vmread(VMCS_GUEST_ACTIVITY), ACTIVITY_HLT,
             "injected MTF: HLT stays (26.5.2)");
    entry(g_nops);
    vmwrite(VMCS_ENTRY_INTR_INFO, MTF_EVENT | 1);
    check_eq(vm_enter(&vm), VM_VALID, "other event of vector 1: VMfail (27.2.1.3)");
    check_eq(vm_error(), 7, "other event of vector 1: error 7");
    vmwrite(VMCS_ENTRY_INTR_INFO, MTF_EVENT | INTR_DELIVER_ERROR);
    check_eq(vm_enter(&vm), VM_VALID, "MTF with an error code: VMfail (27.2.1.3)");
    vmwrite(VMCS_ENTRY_INTR_INFO, 0);
}

void test_main(void)
{
    if (!vmx_supported()) {
        panic("no VMX");
    }
    vmx_on();
    vm_create(&vm);
    vm.cpu->handler[UD] = record;
    vm.cpu->handler[PF] = record;
    vm.cpu->handler[VECTOR_TEST] = record;
    if (!check(vmx_may(VMCS_PRIMARY_CONTROLS, CPU_MTF), "MTF is offered (26.5.2)")) {
        return;
    }
    vm_set_bits(VMCS_PRIMARY_CONTROLS, CPU_MTF);
    instructions();
    repeated_string();
    events();
    states();
    check_eq(count, 0, "no handler went beyond its first instruction");
    injection();
}
