/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debug exceptions of guests: what an exit reports and what it leaves alone,
 * those that are pending upon entry, held back by MOV SS, or saved by an exit
 * (SDM vol. 3, 25.4.2, 27.3.1.5, 27.7.3, 28.1, 28.3.4).
 */
#include "vmx.h"

const char test_name[] = "vmx_debug";

#define DR6_INIT        0xffff0ff0ull
#define DR6_BD          BIT(13)
#define DR6_BS          BIT(14)
#define DR7_INIT        0x400ull
#define DR7_GD          BIT(13)
#define PENDING_ENABLED BIT(12)
#define MOV_SS          BIT(1)          /* interruptibility */
#define VECTOR_TEST     0x61

DEFINE_REG(dr6)

static Vm vm;
static volatile u64 db_rip, db_dr6, db_count;

/* Code whose addresses the tests know. */
extern char g_hlt[], g_after_hlt[], g_sti[], g_after_sti[];
extern char g_nops[], g_nop1[], g_nop2[], g_mov_ss[], g_cpuid[], g_mov_dr[];
asm(".pushsection .text\n"
    "g_nops: nop\n"
    "g_nop1: nop\n"
    "g_nop2: mov $0x656e64, %eax\n"
    "  vmcall\n"
    "g_mov_ss: mov %ss, %eax\n"
    "  pushfq\n"
    "  orq $0x100, (%rsp)\n"
    "  popfq\n"
    "  mov %eax, %ss\n"
    "g_cpuid: cpuid\n"
    "  nop\n"
    "  mov $0x656e64, %eax\n"
    "  vmcall\n"
    "g_hlt: hlt\n"
    "g_after_hlt: mov $0x656e64, %eax\n"
    "  vmcall\n"
    "g_sti: sti\n"
    "g_after_sti: mov $0x656e64, %eax\n"
    "  vmcall\n"
    "g_mov_dr: mov %dr0, %rax\n"
    "  mov $0x656e64, %eax\n"
    "  vmcall\n"
    ".popsection\n");

static void on_db(Regs *r)
{
    db_rip = r->rip;
    db_dr6 = read_dr6();
    db_count++;
    r->rflags &= ~(u64)FLAGS_TF;
}

static void ignore(Regs *r)
{
}

static void start_at(char *code, u64 pending, u64 blocked)
{
    vm_set_entry(&vm, (void (*)(void))code);
    vmwrite(VMCS_GUEST_PENDING_DEBUG, pending);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, blocked);
    db_count = 0;
    db_rip = db_dr6 = 0;
}

static void expect_exit(char *rip, u64 qual, u64 dr6, const char *what)
{
    check_eq(vm_run(&vm), VMX_EXIT_EXCEPTION_NMI, "%s: exit 0", what);
    check_eq(vmread(VMCS_EXIT_INTR_INFO), DB | INTR_TYPE_HW_EXC | INTR_VALID,
             "%s: a #DB", what);
    check_eq(vmread(VMCS_GUEST_RIP), (u64)rip, "%s: RIP", what);
    check_eq(vm_qual(), qual,
             "%s: the qualification has this exception's causes (28.2.1)", what);
    check_eq(read_dr6(), dr6, "%s: DR6 is not changed by the exit (28.1)", what);
    check_eq(vmread(VMCS_GUEST_PENDING_DEBUG), 0,
             "%s: nothing is pending any more", what);
}

/* Old causes in DR6 are neither reported nor lost. */
static void stale_dr6(void)
{
    const u64 stale = DR6_INIT | DR6_BD | 0xa;

    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << DB);
    start_at(g_nops, 0, 0);
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_TF);
    write_dr6(stale);
    expect_exit(g_nop1, DR6_BS, stale, "single step with old causes in DR6");
    vmwrite(VMCS_EXCEPTION_BITMAP, 0);
    start_at(g_nops, 0, 0);
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_TF);
    write_dr6(stale);
    vm_run(&vm);
    check(vm_ended(&vm) && db_count == 1, "single step, not in the bitmap: one #DB");
    check_eq(db_rip, (u64)g_nop1, "single step, not in the bitmap: a trap");
    check_eq(db_dr6 & (DR6_BS | DR6_BD), DR6_BS | DR6_BD,
             "single step, not in the bitmap: BS is set, BD stays (17.2.3)");
    write_dr6(DR6_INIT);
}

/* The trap of a STI that steps: STI blocks, but this #DB is no longer pending. */
static void step_of_sti(void)
{
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << DB);
    write_dr6(DR6_INIT);
    start_at(g_sti, 0, 0);
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_TF);
    expect_exit(g_after_sti, DR6_BS, DR6_INIT, "single step of STI");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY), BLOCKED_BY_STI,
             "single step of STI: blocking by STI is saved");
}

static void general_detect(void)
{
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << DB);
    start_at(g_mov_dr, 0, 0);
    vmwrite(VMCS_GUEST_DR7, DR7_INIT | DR7_GD);
    write_dr6(DR6_INIT);
    expect_exit(g_mov_dr, DR6_BD, DR6_INIT, "MOV from DR0 with DR7.GD");
    check_eq(vmread(VMCS_GUEST_DR7), DR7_INIT | DR7_GD,
             "MOV from DR0 with DR7.GD: GD is not cleared by the exit (28.1)");
    vmwrite(VMCS_GUEST_DR7, DR7_INIT);
}

static void pending_at_entry(void)
{
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << DB);
    start_at(g_nops, DR6_BS, 0);
    expect_exit(g_nops, DR6_BS, DR6_INIT, "BS pending");
    start_at(g_nops, PENDING_ENABLED | 5, 0);
    expect_exit(g_nops, 5, DR6_INIT, "B0 and B2 pending");
    start_at(g_nops, 5, 0);
    vm_run(&vm);
    check(vm_ended(&vm), "B0 and B2 without bit 12: no #DB (27.7.3)");

    vmwrite(VMCS_EXCEPTION_BITMAP, 0);
    start_at(g_nops, PENDING_ENABLED | DR6_BS | 2, 0);
    vm_run(&vm);
    check(vm_ended(&vm) && db_count == 1, "pending, not in the bitmap: one #DB");
    check_eq(db_rip, (u64)g_nops, "pending, not in the bitmap: before any instruction");
    check_eq(db_dr6 & (DR6_BS | 0xf), DR6_BS | 2, "pending, not in the bitmap: DR6");
    write_dr6(DR6_INIT);
}

/* A load of SS delays the exception by one instruction. */
static void held_by_mov_ss(void)
{
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << DB);
    start_at(g_nops, PENDING_ENABLED | 1, MOV_SS);
    expect_exit(g_nop1, 1, DR6_INIT, "B0 pending and MOV SS");
    start_at(g_nops, PENDING_ENABLED | DR6_BS | 1, MOV_SS);
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_TF);
    expect_exit(g_nop1, DR6_BS | 1, DR6_INIT, "B0 pending, MOV SS and a single step");
    start_at(g_nop2, PENDING_ENABLED | 1, MOV_SS);
    vmwrite(VMCS_GUEST_RIP, (u64)g_cpuid);
    check_eq(vm_run(&vm), VMX_EXIT_CPUID,
             "B0 pending, MOV SS, CPUID: its exit comes first");
    check_eq(vmread(VMCS_GUEST_PENDING_DEBUG), PENDING_ENABLED | 1,
             "B0 pending, MOV SS, CPUID: the exit saves it (28.3.4)");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY), MOV_SS,
             "B0 pending, MOV SS, CPUID: still blocked");
}

/* 27.3.1.5 demands BS in this state, so that exits must save it so. */
static void step_over_mov_ss(void)
{
    vmwrite(VMCS_EXCEPTION_BITMAP, 0);
    start_at(g_mov_ss, 0, 0);
    check_eq(vm_run(&vm), VMX_EXIT_CPUID, "TF, MOV SS, CPUID: exit 10");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_cpuid, "TF, MOV SS, CPUID: at CPUID");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY), MOV_SS, "TF, MOV SS, CPUID: blocked");
    check_eq(vmread(VMCS_GUEST_PENDING_DEBUG), DR6_BS,
             "TF, MOV SS, CPUID: BS is pending (28.3.4)");
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << DB);
    vmwrite(VMCS_GUEST_RIP, (u64)g_nops);
    expect_exit(g_nop1, DR6_BS, DR6_INIT, "VMRESUME of that state");
}

static void injected(void)
{
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << DB);
    start_at(g_nops, DR6_BS, 0);
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_IF);
    vmwrite(VMCS_ENTRY_INTR_INFO, VECTOR_TEST | INTR_TYPE_EXT | INTR_VALID);
    vm_run(&vm);
    check(vm_ended(&vm), "an injected interrupt: pending #DB are dropped (27.7.3)");
    if (!vmx_may(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER)) {
        check_skip("no preemption timer", "priority over the preemption timer");
        return;
    }
    vm_set_bits(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
    vmwrite(VMCS_PREEMPTION_TIMER, 0);
    start_at(g_nops, DR6_BS, 0);
    expect_exit(g_nops, DR6_BS, DR6_INIT, "BS pending, preemption timer at 0");
    vmwrite(VMCS_EXCEPTION_BITMAP, 0);
    start_at(g_nops, DR6_BS, 0);
    check_eq(vm_run(&vm), VMX_EXIT_PREEMPTION_TIMER,
             "BS pending, not in the bitmap: the timer comes after the #DB (26.5.1)");
    check_eq(vmread(VMCS_GUEST_RIP),
             (idt[DB][0] & 0xffff) | (idt[DB][0] >> 32 & 0xffff0000) | idt[DB][1] << 32,
             "BS pending, not in the bitmap: the exit is at the handler");
    /* the timer is there so that a HLT without trap ends as well */
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << DB);
    vm_clear_bits(VMCS_PRIMARY_CONTROLS, CPU_HLT);
    vmwrite(VMCS_PREEMPTION_TIMER, 1000000);
    start_at(g_hlt, 0, 0);
    write_dr6(DR6_INIT);
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_TF);
    expect_exit(g_after_hlt, DR6_BS, DR6_INIT, "single step of HLT");
    check_eq(vmread(VMCS_GUEST_ACTIVITY), 0,
             "single step of HLT: the guest is active again");
    vm_set_bits(VMCS_PRIMARY_CONTROLS, CPU_HLT);
    vm_clear_bits(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
}

void test_main(void)
{
    if (!vmx_supported()) {
        panic("no VMX");
    }
    vmx_on();
    vm_create(&vm);
    vm.cpu->handler[DB] = on_db;
    vm.cpu->handler[VECTOR_TEST] = ignore;
    write_dr6(DR6_INIT);
    stale_dr6();
    general_detect();
    step_of_sti();
    pending_at_entry();
    held_by_mov_ss();
    step_over_mov_ss();
    injected();
}
