/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDs and the rest of the machine: VMX off and on, an ordinary guest between TD
 * entries, INIT for an LP that runs a TD, self-IPIs, waking by interrupts, and
 * TDH.SYS.DISABLE with a TD alive, as kexec does it.
 */
#include "seam.h"

const char test_name[] = "seam_life";

#define VECTOR_TD   0x61
#define NV          0xf2

static Td td;
static TdReport r;
static Vm vm;
static TdxRegs other;

static u64 op(u32 n, u64 a0, u64 a1)
{
    r = td_op(&td, 0, n, a0, a1, 0, 0, 0);
    return r.out[0];
}

static void g_marks(void)
{
    wrmsr(MSR_LSTAR, 0x7777);
    asm volatile("movq %0, %%dr1" : : "r"(0x4000ull));
    write_cr2(0x1111);
    guest_vmcall(5);
}

/* The current VMCS of L1 and its guest survive TDH.VP.ENTER. */
static void with_an_ordinary_guest(void)
{
    u64 ptr = 0;

    vm_create(&vm);
    vm_clear_bits(VMCS_PRIMARY_CONTROLS, CPU_MOV_DR);
    check_eq(vm_start(&vm, g_marks), VMX_EXIT_VMCALL, "an ordinary guest runs");
    op(OP_WRMSR, MSR_LSTAR, 0x4242);
    check_eq(vmptrst(&ptr), VM_SUCCEED, "VMPTRST after a TD exit");
    check_eq(ptr, vm.vmcs, "TDH.VP.ENTER keeps L1's current VMCS");
    check_eq(vm_reason(), VMX_EXIT_VMCALL,
             "the exit information of L1's VMCS is its own");
    check_eq(rdmsr(MSR_LSTAR), 0, "after the TD: LSTAR is 0, not the TD's (8.6)");
    vm_skip();
    vm_run(&vm);
    check(vm_ended(&vm), "VMRESUME of the ordinary guest after a TD exit");
    check_eq(op(OP_RDMSR, MSR_LSTAR, 0), 0x4242, "the TD kept its LSTAR");
    for (u32 i = 0; i < 50; i++) {
        op(OP_WRITE, TD_PAYLOAD_GPA + 0x3180, i);
        vm_start(&vm, g_marks);
        if (!vm_ended(&vm) && vm.rax != 5) {
            panic("the ordinary guest in round %u", i);
        }
        if (op(OP_READ, TD_PAYLOAD_GPA + 0x3180, 0) != i) {
            panic("the TD in round %u", i);
        }
    }
    check(true, "50 rounds of both guests in turn");
    vmclear(vm.vmcs);
}

static void vmx_off_and_on(void)
{
    vmx_off();
    vmx_on();
    check_eq(tdh_2(TDH_SYS_RD, 0, TDX_MD_FEATURES0), TDX_SUCCESS,
             "the module's state survives VMXOFF and VMXON");
    check_eq(op(OP_RDMSR, MSR_LSTAR, 0), 0x4242, "a TD survives VMXOFF and VMXON");
    check_eq(op(OP_READ, TD_PAYLOAD_GPA + 0x3180, 0), 49, "its memory survives as well");
}

/* Virtual x2APIC of the TD: a self-IPI needs no host. */
static void self_ipi(void)
{
    op(OP_ICR, VECTOR_TD, 0);
    check_eq(r.vector, NO_FAULT, "WRMSR 83FH in a TD is native (10.5)");
    op(OP_WAIT_IRQ, 100000, 0);
    check_eq(r.vector, VECTOR_TD, "the self-IPI arrives");
    check(r.out[0] > 0, "the self-IPI arrives before the wait is over");
    op(OP_RDMSR, 0x808, 0);
    check_eq(r.vector, NO_FAULT, "RDMSR 808H in a TD is native (10.5)");
    op(OP_WRMSR, 0x808, 0x70);
    op(OP_ICR, VECTOR_TD, 0);
    check_eq(op(OP_WAIT_IRQ, 1000, 0), 0, "a TPR above the vector holds it back (8.9)");
    tdh_2(TDH_VP_RD, td.vcpu[0].tdvpr, TDX_MD_VCPU_STATE_DETAILS);
    check_eq(tdh_out.r8 & 1, 0, "VCPU_STATE_DETAILS compares RVI with PPR (8.9)");
    op(OP_WRMSR, 0x808, 0);
    op(OP_WAIT_IRQ, 100000, 0);
    check_eq(r.vector, VECTOR_TD, "a lower TPR lets it in");
}

static void enter_other(void *arg)
{
    do {
        other = (TdxRegs){ .rax = TDH_VP_ENTER, .rcx = td.vcpu[0].tdvpr, .r10 = OP_SPIN };
        seamcall_regs(&other);
    } while (TDX_STATUS_CODE(other.rax) == TDX_OPERAND_BUSY);
}

static volatile u32 alive;

static void answer(void *arg)
{
    alive++;
}

static void init_in_td(void)
{
    u32 busy = 0;

    tdh_1(TDH_VP_FLUSH, td.vcpu[0].tdvpr);
    smp_run(1, enter_other, NULL);
    for (u32 i = 0; i < 200000 && busy < 20; i++) {
        busy = tdh_1(TDH_VP_FLUSH, td.vcpu[0].tdvpr) == OPERAND(TDX_OPERAND_BUSY, RCX) ?
               busy + 1 : 0;
        for (u32 j = 0; j < 50; j++) {
            cpu_relax();
        }
    }
    check_eq(busy, 20, "the TD runs on LP 1");
    apic_send(percpu[1].apic_id, 0x4500);
    smp_wait(1);
    check_eq(other.rax, VMX_EXIT_INIT, "INIT for an LP that runs a TD: exit 3 (8.4)");
    smp_call(1, answer, NULL);
    check_eq(alive, 1, "LP 1 goes on after it");
}

static void config_again(void)
{
    u64 *list = page_alloc();

    list[0] = (u64)seam_tdmr();
    check_eq(tdh_3(TDH_SYS_CONFIG, (u64)list, 1, first_keyid), TDX_SUCCESS,
             "after SYS.DISABLE: SYS.CONFIG");
    check_eq(tdh_0(TDH_SYS_KEY_CONFIG), TDX_SUCCESS, "after SYS.DISABLE: SYS.KEY.CONFIG");
    do {
        if (tdh_1(TDH_SYS_TDMR_INIT, 0)) {
            panic("TDH.SYS.TDMR.INIT after SYS.DISABLE");
        }
    } while (tdh_out.rdx < BIT(30));
}

static void lp_init(void *arg)
{
    TdxRegs g = { .rax = TDH_SYS_LP_INIT };

    seamcall_regs(&g);
    other.rax = g.rax;
}

static void disable(void)
{
    u64 st = tdh_0(TDH_SYS_DISABLE);

    if (st == OPERAND(TDX_OPERAND_INVALID, RAX)) {
        check_skip("not modelled", "SYS.DISABLE");
        return;
    }
    check_eq(st, TDX_SUCCESS, "SYS.DISABLE with a TD alive (11.2)");
    check(tdh_1(TDH_VP_ENTER, td.vcpu[0].tdvpr) & TDX_ERROR, "the TD is gone");
    check_eq(tdh_0(TDH_SYS_INIT), TDX_SUCCESS, "after SYS.DISABLE: SYS.INIT");
    check_eq(tdh_0(TDH_SYS_LP_INIT), TDX_SUCCESS, "after SYS.DISABLE: SYS.LP.INIT");
    smp_call(1, lp_init, NULL);
    check_eq(other.rax, TDX_SUCCESS, "after SYS.DISABLE: SYS.LP.INIT on LP 1");
    config_again();
    td_build(&td, first_keyid + 1, 1);
    check_eq(td_enter(&td, 0), VMX_EXIT_TDCALL,
             "a TD runs after SYS.DISABLE and new set-up");
    td_destroy(&td);
}

void test_main(void)
{
    seam_bring_up();
    td_build(&td, first_keyid + 1, 1);
    td_map_shared(&td);
    check_eq(td_enter(&td, 0), VMX_EXIT_TDCALL, "a TD runs");
    with_an_ordinary_guest();
    vmx_off_and_on();
    self_ipi();
    init_in_td();
    disable();
}
