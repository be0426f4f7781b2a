/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events: exception bitmap, event injection, IDT-vectoring information,
 * interrupts, windows, NMIs, the preemption timer, activity states, guests in
 * real mode (SDM vol. 3, 25.2, 26.6, 26.7, 27.2).
 */
#include "vmx.h"

const char test_name[] = "vmx_event";

#define VECTOR_TEST     0x61
#define VECTOR_OTHER    0x71

static Vm vm;
static volatile u64 seen, seen_error, seen_rip, seen_count;

static void record(Regs *r)
{
    seen = r->vector;
    seen_error = r->error;
    seen_rip = r->rip;
    seen_count++;
}

static void record_eoi(Regs *r)
{
    record(r);
    apic_write(APIC_EOI, 0);
}

static void clear_seen(void)
{
    seen = NO_FAULT;
    seen_error = seen_rip = ~0ull;
    seen_count = 0;
}

static void g_nothing(void)
{
}

static void g_ud(void) { asm volatile("ud2"); }
static void g_gp(void)
{
    asm volatile("movw %w0, %%ds" : : "r"(0x1238) : "memory");  /* beyond the GDT */
}
static void g_pf(void) { *(volatile u64 *)BIT(40) = 1; }
static void g_pf_reserved(void) { seen = *(volatile u64 *)BIT(41); }
static void g_pf_read(void) { seen = *(volatile u64 *)BIT(40); }
static void g_bp(void) { asm volatile("int3"); }
static void g_int(void) { asm volatile("int $0x61"); }
static void g_icebp(void) { asm volatile(".byte 0xf1"); }

static void exception(void (*fn)(void), u32 info, const char *what)
{
    u32 r = vm_start(&vm, fn);

    check_eq(r, VMX_EXIT_EXCEPTION_NMI, "%s: exit 0", what);
    check_eq(vmread(VMCS_EXIT_INTR_INFO), info | INTR_VALID,
             "%s: exit interruption information (27.2.2)", what);
    check_eq(vmread(VMCS_IDT_VECTORING_INFO) & INTR_VALID, 0,
             "%s: no IDT-vectoring information", what);
}

static void exception_bitmap(void)
{
    u64 cr2 = 0x5555;

    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << UD | 1u << GP | 1u << PF | 1u << BP | 1u << DB);
    exception(g_ud, INTR_TYPE_HW_EXC | UD, "#UD");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_ud, "#UD: RIP of the instruction");
    exception(g_gp, INTR_TYPE_HW_EXC | GP | INTR_DELIVER_ERROR, "#GP");
    check_eq(vmread(VMCS_EXIT_INTR_ERROR), 0x1238, "#GP: error code");
    write_cr2(cr2);
    exception(g_pf, INTR_TYPE_HW_EXC | PF | INTR_DELIVER_ERROR, "#PF");
    check_eq(vmread(VMCS_EXIT_INTR_ERROR), 2, "#PF: error code of a supervisor write");
    check_eq(vm_qual(), BIT(40), "#PF: qualification is the address (27.2.1)");
    check_eq(read_cr2(), cr2, "#PF: CR2 is not changed by the exit (27.1)");
    map_page(BIT(41), 0, 0x200000, BIT(13) | 7);
    exception(g_pf_reserved, INTR_TYPE_HW_EXC | PF | INTR_DELIVER_ERROR,
              "#PF, reserved bit");
    check_eq(vmread(VMCS_EXIT_INTR_ERROR), 9,
             "#PF, reserved bit: error code with P and RSVD (4.7)");
    exception(g_bp, INTR_TYPE_SOFT_EXC | BP, "INT3");
    check_eq(vmread(VMCS_EXIT_INSN_LEN), 1, "INT3: length 1");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_bp, "INT3: RIP of the instruction");
    exception(g_icebp, INTR_TYPE_PRIV_SW_EXC | DB, "INT1");
    vmwrite(VMCS_EXCEPTION_BITMAP, 0);
    vm.cpu->handler[UD] = NULL;
    vm.cpu->handler[BP] = record;
    clear_seen();
    vm_start(&vm, g_bp);
    check(vm_ended(&vm), "INT3 not in the bitmap: no exit");
    check_eq(seen, BP, "INT3 not in the bitmap: delivered in the guest");
}

/* 25.2: #PF exits if (PFEC & MASK == MATCH) equals bit 14 of the bitmap. */
static void page_fault_match(void)
{
    static const struct { bool bit; u32 mask, match; bool write, exits; } t[] = {
        { true, 2, 2, true, true }, { true, 2, 2, false, false },
        { false, 2, 2, true, false }, { false, 2, 2, false, true },
        { true, 0, 1, true, false }, { false, 0, 1, true, true },
    };

    vm.cpu->handler[PF] = NULL;
    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        vmwrite(VMCS_EXCEPTION_BITMAP, t[i].bit ? 1u << PF : 0);
        vmwrite(VMCS_PFEC_MASK, t[i].mask);
        vmwrite(VMCS_PFEC_MATCH, t[i].match);
        /* a #PF that does not exit becomes a triple fault without an IDT */
        vm_set_entry(&vm, t[i].write ? g_pf : g_pf_read);
        vmwrite(VMCS_GUEST_IDTR_LIMIT, 0);
        check_eq(vm_run(&vm), t[i].exits ? VMX_EXIT_EXCEPTION_NMI : VMX_EXIT_TRIPLE_FAULT,
                 "#PF %s with bitmap %u, mask %x, match %x (25.2)",
                 t[i].write ? "write" : "read", t[i].bit, t[i].mask, t[i].match);
    }
    vmwrite(VMCS_EXCEPTION_BITMAP, 0);
    vmwrite(VMCS_PFEC_MASK, 0);
    vmwrite(VMCS_PFEC_MATCH, 0);
}

static void double_and_triple(void)
{
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << DF);
    vm_set_entry(&vm, g_gp);
    vmwrite(VMCS_GUEST_IDTR_LIMIT, DF * 16 + 15);   /* #GP cannot be delivered */
    check_eq(vm_run(&vm), VMX_EXIT_EXCEPTION_NMI, "#GP in delivery of #GP: exit by #DF");
    check_eq(vmread(VMCS_EXIT_INTR_INFO), INTR_VALID | INTR_TYPE_HW_EXC |
             INTR_DELIVER_ERROR | DF, "#DF: interruption information");
    check_eq(vmread(VMCS_IDT_VECTORING_INFO) & INTR_VALID, 0,
             "#DF: IDT-vectoring information is not valid (27.2.4)");
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << GP);
    vm_set_entry(&vm, g_pf);
    vmwrite(VMCS_GUEST_IDTR_LIMIT, PF * 16 - 1);
    check_eq(vm_run(&vm), VMX_EXIT_EXCEPTION_NMI, "#GP in delivery of #PF: exit 0");
    check_eq(vmread(VMCS_EXIT_INTR_INFO) & 0xfff,
             INTR_TYPE_HW_EXC | INTR_DELIVER_ERROR | GP,
             "#GP in delivery of #PF: the bitmap is consulted for the #GP");
    check_eq(vmread(VMCS_EXIT_INTR_ERROR), PF * 8 + 2,
             "#GP in delivery of #PF: error code");
    check_eq(vmread(VMCS_IDT_VECTORING_INFO),
             INTR_VALID | INTR_TYPE_HW_EXC | INTR_DELIVER_ERROR | PF,
             "#GP in delivery of #PF: IDT-vectoring information (27.2.4)");
    vmwrite(VMCS_EXCEPTION_BITMAP, 0);
    vm_set_entry(&vm, g_ud);
    vmwrite(VMCS_GUEST_IDTR_LIMIT, 0);
    check_eq(vm_run(&vm), VMX_EXIT_TRIPLE_FAULT, "triple fault");
    check_eq(vm_qual(), 0, "triple fault: qualification 0");
    check_eq(vmread(VMCS_GUEST_ACTIVITY), ACTIVITY_ACTIVE,
             "triple fault: activity state active (27.3.4)");
}

static void g_nops(void) { asm volatile("nop; nop; nop; nop; nop; nop; nop; nop"); }

static void inject(u32 info, u32 error, u32 len, u64 rflags)
{
    clear_seen();
    vm_set_entry(&vm, g_nops);
    vmwrite(VMCS_GUEST_RFLAGS, rflags);
    vmwrite(VMCS_ENTRY_INTR_ERROR, error);
    vmwrite(VMCS_ENTRY_INSN_LEN, len);
    vmwrite(VMCS_ENTRY_INTR_INFO, info | INTR_VALID);
    vm_run(&vm);
    check(vm_ended(&vm), "injected %x: the guest goes on and ends (reason %u)", info,
          vm_reason() & 0xffff);
    check_eq(vmread(VMCS_ENTRY_INTR_INFO) & INTR_VALID, 0,
             "injected %x: the exit clears the valid bit (24.8.3)", info);
}

static void injection(void)
{
    static const u8 vectors[] = { UD, GP, PF, BP, NMI, VECTOR_TEST, DB };

    for (u32 i = 0; i < ARRAY_SIZE(vectors); i++) {
        vm.cpu->handler[vectors[i]] = record;
    }
    inject(INTR_TYPE_HW_EXC | UD, 0, 0, 2);
    check_eq(seen, UD, "injected #UD arrives");
    check_eq(seen_rip, (u64)g_nops, "injected #UD: the guest's RIP is pushed");
    inject(INTR_TYPE_HW_EXC | GP | INTR_DELIVER_ERROR, 0x4321, 0, 2);
    check_eq(seen, GP, "injected #GP arrives");
    check_eq(seen_error, 0x4321, "injected #GP: error code");
    write_cr2(0x777);
    inject(INTR_TYPE_HW_EXC | PF | INTR_DELIVER_ERROR, 7, 0, 2);
    check_eq(seen, PF, "injected #PF arrives");
    check_eq(read_cr2(), 0x777, "injected #PF: CR2 is not changed (26.6)");
    inject(INTR_TYPE_SOFT_EXC | BP, 0, 1, 2);
    check_eq(seen, BP, "injected #BP arrives");
    check_eq(seen_rip, (u64)g_nops + 1, "injected #BP: RIP + length is pushed (26.6.1)");
    inject(INTR_TYPE_SOFT_INT | VECTOR_TEST, 0, 2, 2);
    check_eq(seen, VECTOR_TEST, "injected INT n arrives");
    check_eq(seen_rip, (u64)g_nops + 2,
             "injected INT n: RIP + length is pushed (26.6.1)");
    inject(INTR_TYPE_PRIV_SW_EXC | DB, 0, 1, 2);
    check_eq(seen, DB, "injected INT1 arrives");
    check_eq(seen_rip, (u64)g_nops + 1, "injected INT1: RIP + length is pushed (26.6.1)");
    inject(INTR_TYPE_EXT | VECTOR_TEST, 0, 0, 0x202);
    check_eq(seen, VECTOR_TEST, "injected external interrupt arrives");
    check_eq(seen_rip, (u64)g_nops, "injected external interrupt: RIP");
    inject(INTR_TYPE_NMI | 2, 0, 0, 2);
    check_eq(seen, NMI, "injected NMI arrives");
    vmwrite(VMCS_EXCEPTION_BITMAP, ~0u);
    inject(INTR_TYPE_HW_EXC | UD, 0, 0, 2);
    check_eq(seen, UD, "an injected exception does not exit by the bitmap (26.6.1.1)");
    vmwrite(VMCS_EXCEPTION_BITMAP, 0);
}

/* The IDT, or the stack, is not mapped by EPT while an event is delivered. */
static void idt_vectoring(void)
{
    u64 *e = ept_entry(vm.ept, (u64)idt, 0), old = *e;

    *e = 0;
    invept(2, 0, 0);
    clear_seen();
    check_eq(vm_start(&vm, g_int), VMX_EXIT_EPT_VIOLATION,
             "INT n with the IDT unmapped by EPT: exit 48");
    check_eq(vmread(VMCS_IDT_VECTORING_INFO), INTR_VALID | INTR_TYPE_SOFT_INT | 0x61,
             "INT n in delivery: IDT-vectoring information (27.2.4)");
    check_eq(vmread(VMCS_EXIT_INSN_LEN), 2, "INT n in delivery: length (27.2.5)");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_int, "INT n in delivery: RIP");
    check_eq(vmread(VMCS_GUEST_PHYSICAL_ADDR), (u64)&idt[0x61],
             "INT n in delivery: the address of the gate");
    check_eq(vm_qual() & 1, 1, "INT n in delivery: a read");

    /* inject again what was in delivery, as hypervisors do */
    *e = old;
    invept(2, 0, 0);
    vmwrite(VMCS_ENTRY_INSN_LEN, vmread(VMCS_EXIT_INSN_LEN));
    vmwrite(VMCS_ENTRY_INTR_INFO, vmread(VMCS_IDT_VECTORING_INFO));
    vm_run(&vm);
    check(vm_ended(&vm) && seen == 0x61 && seen_rip == (u64)g_int + 2,
          "INT n injected again is delivered");

    *e = 0;
    invept(2, 0, 0);
    check_eq(vm_start(&vm, g_gp), VMX_EXIT_EPT_VIOLATION, "#GP with the IDT unmapped");
    check_eq(vmread(VMCS_IDT_VECTORING_INFO),
             INTR_VALID | INTR_TYPE_HW_EXC | INTR_DELIVER_ERROR | GP,
             "#GP in delivery: IDT-vectoring information");
    check_eq(vmread(VMCS_IDT_VECTORING_ERROR), 0x1238, "#GP in delivery: error code");
    vm_set_entry(&vm, g_nothing);
    vmwrite(VMCS_GUEST_RFLAGS, 0x202);
    vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_TYPE_EXT | VECTOR_TEST);
    check_eq(vm_run(&vm), VMX_EXIT_EPT_VIOLATION, "injected interrupt, IDT unmapped");
    check_eq(vmread(VMCS_IDT_VECTORING_INFO), INTR_VALID | INTR_TYPE_EXT | VECTOR_TEST,
             "injected interrupt in delivery: IDT-vectoring information");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_nothing, "injected interrupt: RIP");
    *e = old;
    invept(2, 0, 0);
    vm_start(&vm, g_nothing);
    check_eq(vmread(VMCS_IDT_VECTORING_INFO) & INTR_VALID, 0,
             "the next exit without delivery: not valid");
}

static void g_wait_irq(void)
{
    sti();
    for (u32 i = 0; i < 100000000 && !seen_count; i++) {
        cpu_relax();
    }
    cli();
}

static void g_cli_nop(void)
{
    asm volatile("cli; nop; nop");
}

static void external_interrupts(void)
{
    u32 exit = vmread(VMCS_EXIT_CONTROLS), pin = vmread(VMCS_PIN_CONTROLS);
    u32 before = this_cpu()->count[VECTOR_TEST];

    vmwrite(VMCS_EXIT_CONTROLS, exit | EXIT_ACK_INTR);
    apic_self(VECTOR_TEST);
    check_eq(vm_start(&vm, g_cli_nop), VMX_EXIT_EXT_INTR,
             "a pending interrupt exits whatever RFLAGS.IF (25.2)");
    check_eq(vmread(VMCS_EXIT_INTR_INFO), INTR_VALID | INTR_TYPE_EXT | VECTOR_TEST,
             "acknowledge on exit: vector (27.2.2)");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_cli_nop, "before the first instruction");
    check(apic_bit(APIC_ISR, VECTOR_TEST) && !apic_bit(APIC_IRR, VECTOR_TEST),
          "acknowledge on exit: the interrupt is in service");
    sti_nop_cli();
    check_eq(this_cpu()->count[VECTOR_TEST], before,
             "acknowledge on exit: not delivered through the IDT");
    apic_write(APIC_EOI, 0);

    vmwrite(VMCS_EXIT_CONTROLS, exit & ~EXIT_ACK_INTR);
    apic_self(VECTOR_TEST);
    check_eq(vm_start(&vm, g_nothing), VMX_EXIT_EXT_INTR,
             "without acknowledgement: exit 1");
    check_eq(vmread(VMCS_EXIT_INTR_INFO) & INTR_VALID, 0,
             "without acknowledgement: no interruption information (27.2.2)");
    check(apic_bit(APIC_IRR, VECTOR_TEST), "without acknowledgement: still pending");
    sti_nop_cli();
    check_eq(this_cpu()->count[VECTOR_TEST], before + 1,
             "without acknowledgement: delivered when the host opens");

    if (!(rdmsr(MSR_VMX_TRUE_PIN) & PIN_EXT_INTR)) {
        vmwrite(VMCS_PIN_CONTROLS, pin & ~PIN_EXT_INTR);
        vm.cpu->handler[VECTOR_TEST] = record_eoi;
        clear_seen();
        apic_self(VECTOR_TEST);
        vm_start(&vm, g_wait_irq);
        check(vm_ended(&vm) && seen == VECTOR_TEST,
              "without interrupt exiting: delivered in the guest");
        clear_seen();
        apic_self(VECTOR_TEST);
        vm_start(&vm, g_nothing);
        check_eq(seen_count, 0, "without interrupt exiting: IF = 0 holds it back");
        sti_nop_cli();
        vmwrite(VMCS_PIN_CONTROLS, pin);
        vm.cpu->handler[VECTOR_TEST] = record;
    }
    vmwrite(VMCS_EXIT_CONTROLS, exit);
}

static void g_sti_nop(void)
{
    asm volatile("cli; nop; sti; nop; nop; cli");
}

static void g_inhibited(void)
{
    asm volatile("nop; nop; nop");
}

static void interrupt_window(void)
{
    vm_set_bits(VMCS_PRIMARY_CONTROLS, CPU_INTR_WINDOW);
    check_eq(vm_start(&vm, g_sti_nop), VMX_EXIT_INTR_WINDOW, "interrupt window: exit 7");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_sti_nop + 4,
             "interrupt window opens one instruction behind STI");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY) & 3, 0, "interrupt window: no blocking");
    vm_set_entry(&vm, g_inhibited);
    vmwrite(VMCS_GUEST_RFLAGS, 0x202);
    vm_run(&vm);
    check_eq(vm_reason(), VMX_EXIT_INTR_WINDOW, "interrupt window open at entry");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_inhibited, "interrupt window at entry: RIP");
    vm_set_entry(&vm, g_inhibited);
    vmwrite(VMCS_GUEST_RFLAGS, 0x202);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_STI);
    vm_run(&vm);
    check_eq(vm_reason(), VMX_EXIT_INTR_WINDOW,
             "interrupt window, STI blocking at entry");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_inhibited + 1,
             "STI blocking at entry lasts one instruction (26.3.1.5)");
    vm_set_entry(&vm, g_inhibited);
    vmwrite(VMCS_GUEST_RFLAGS, 0x202);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_MOV_SS);
    vm_run(&vm);
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_inhibited + 1,
             "MOV SS blocking at entry lasts one instruction");
    vm_clear_bits(VMCS_PRIMARY_CONTROLS, CPU_INTR_WINDOW);
}

static void g_sti_cpuid(void)
{
    asm volatile("sti; cpuid" : : "a"(0) : "rbx", "rcx", "rdx");
}
static void g_movss_cpuid(void)
{
    asm volatile("movl %%ss, %%eax; movl %%eax, %%ss; cpuid"
                 : : : "rax", "rbx", "rcx", "rdx");
}

static void interruptibility_saved(void)
{
    check_eq(vm_start(&vm, g_sti_cpuid), VMX_EXIT_CPUID, "CPUID behind STI");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY), BLOCKED_BY_STI,
             "the exit saves STI blocking (27.3.4)");
    check_eq(vm_start(&vm, g_movss_cpuid), VMX_EXIT_CPUID, "CPUID behind MOV SS");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY), BLOCKED_BY_MOV_SS,
             "the exit saves MOV SS blocking (27.3.4)");
}

static void self_nmi(void)
{
    apic_self(0x400);           /* delivery mode NMI */
}

static void g_self_nmi(void)
{
    self_nmi();
    asm volatile("nop; nop; nop; nop");
}

static void g_iret(void)
{
    asm volatile("movq %%rsp, %%rax; pushq %0; pushq %%rax; pushfq; pushq %1;"
                 "leaq 1f(%%rip), %%rcx; pushq %%rcx; iretq; 1: nop; nop"
                 : : "i"(SEL_DATA), "i"(SEL_CODE64) : "rax", "rcx", "memory");
}

static void g_bad_iret(void)
{
    asm volatile("pushq %0; pushq %%rsp; pushfq; pushq $0x1238; pushq $0; iretq"
                 : : "i"(SEL_DATA) : "memory");
}

static u64 iret_frame;

static void g_iret_there(void)
{
    asm volatile("movq %0, %%rsp; iretq" : : "r"(iret_frame) : "memory");
}

/* The frame of IRET is on a page that EPT does not map. */
static void iret_violation(void)
{
    u64 frame = (u64)pages_alloc(512, 0x200000), *e = ept_entry(vm.ept, frame, 0);

    *e = 0;
    iret_frame = frame;
    vm_set_entry(&vm, g_iret_there);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI);
    check_eq(vm_run(&vm), VMX_EXIT_EPT_VIOLATION, "EPT violation of an IRET: exit 48");
    check_eq(vm_qual() & BIT(12), BIT(12),
             "EPT violation of an IRET that unblocks NMIs: bit 12 (table 28-7)");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKED_BY_NMI, 0,
             "EPT violation of an IRET: virtual NMIs are not blocked any more");
    vm_start(&vm, g_iret_there);
    check_eq(vm_qual() & BIT(12), 0,
             "EPT violation of an IRET with no blocking: no bit 12");
    *e = frame | EPT_RWX | EPT_WB;
}

/* NMIs are not injected behind STI (27.3.1.5, 27.8). */
static void nmi_behind_sti(void)
{
    vm_set_entry(&vm, g_nothing);
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_IF);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_STI);
    vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_TYPE_NMI | 2);
    check_eq(vm_enter(&vm) == VM_EXITED ? vm_reason() : 0,
             VMX_EXIT_BAD_GUEST | VMX_EXIT_ENTRY_FAILURE,
             "injection of an NMI with blocking by STI: entry fails");
    check_eq(vm_qual(), 3, "injection of an NMI with blocking by STI: qualification 3");
    vmwrite(VMCS_ENTRY_INTR_INFO, 0);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
}

static void nmis(void)
{
    u32 pin = vmread(VMCS_PIN_CONTROLS), pri = vmread(VMCS_PRIMARY_CONTROLS);

    set_handler(NMI, record);
    clear_seen();
    check_eq(vm_start(&vm, g_self_nmi), VMX_EXIT_EXCEPTION_NMI, "NMI exiting: exit 0");
    check_eq(vmread(VMCS_EXIT_INTR_INFO), INTR_VALID | INTR_TYPE_NMI | 2,
             "NMI exiting: interruption information");
    check_eq(seen_count, 0, "NMI exiting: not delivered in the guest");
    self_nmi();
    for (u32 i = 0; i < 1000; i++) {
        cpu_relax();
    }
    check_eq(seen_count, 0, "an NMI exit blocks NMIs in the host (27.5.5)");
    g_iret();
    for (u32 i = 0; i < 100000 && !seen_count; i++) {
        cpu_relax();
    }
    check_eq(seen_count, 1, "IRET in the host unblocks them");

    if (!vmx_may(VMCS_PIN_CONTROLS, PIN_VIRTUAL_NMIS)) {
        check_skip("no virtual NMIs", "virtual NMIs");
        return;
    }
    vmwrite(VMCS_PIN_CONTROLS, pin | PIN_VIRTUAL_NMIS);
    vmwrite(VMCS_PRIMARY_CONTROLS, pri | CPU_NMI_WINDOW);
    vm_start(&vm, g_nothing);
    check_eq(vm_reason(), VMX_EXIT_NMI_WINDOW, "NMI window open at entry: exit 8");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_nothing, "NMI window at entry: RIP");
    vm_set_entry(&vm, g_iret);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI);
    vm_run(&vm);
    check_eq(vm_reason(), VMX_EXIT_NMI_WINDOW,
             "virtual-NMI blocking ends by IRET: exit 8");
    check(vmread(VMCS_GUEST_RIP) > (u64)g_iret, "NMI window behind IRET: RIP");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKED_BY_NMI, 0,
             "behind IRET: no virtual-NMI blocking");
    vmwrite(VMCS_PRIMARY_CONTROLS, pri);
    /* IRET unblocks also when it faults: the exit says so in bit 12 */
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << GP);
    vm_set_entry(&vm, g_bad_iret);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI);
    vm_run(&vm);
    check_eq(vmread(VMCS_EXIT_INTR_INFO) & ~INTR_NMI_UNBLOCK_IRET, INTR_VALID |
             INTR_DELIVER_ERROR | INTR_TYPE_HW_EXC | GP, "#GP of an IRET: exit 0");
    check(vmread(VMCS_EXIT_INTR_INFO) & INTR_NMI_UNBLOCK_IRET,
          "#GP of an IRET that unblocks NMIs: bit 12 (27.2.2)");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKED_BY_NMI, 0,
             "#GP of an IRET: virtual NMIs are not blocked any more");
    vm_set_entry(&vm, g_gp);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI);
    vm_run(&vm);
    check_eq(vmread(VMCS_EXIT_INTR_INFO), INTR_VALID | INTR_DELIVER_ERROR |
             INTR_TYPE_HW_EXC | GP, "#GP of another instruction: no bit 12");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKED_BY_NMI, BLOCKED_BY_NMI,
             "#GP of another instruction: virtual NMIs stay blocked");
    iret_violation();
    vmwrite(VMCS_EXCEPTION_BITMAP, 0);
    vm_set_entry(&vm, g_nothing);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI);
    vm_run(&vm);
    check(vm_ended(&vm), "virtual-NMI blocking: the guest runs");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKED_BY_NMI, BLOCKED_BY_NMI,
             "virtual-NMI blocking is saved (27.3.4)");
    vm_set_entry(&vm, g_self_nmi);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI);
    vm_run(&vm);
    check_eq(vm_reason(), VMX_EXIT_EXCEPTION_NMI,
             "virtual-NMI blocking does not hold back a physical NMI (25.3)");
    g_iret();
    vmwrite(VMCS_PIN_CONTROLS, pin);
}

static void g_spin(void)
{
    for (u64 i = 0; i < 2000000000; i++) {
        cpu_relax();
    }
}

static void preemption_timer(void)
{
    u32 pin = vmread(VMCS_PIN_CONTROLS), exit = vmread(VMCS_EXIT_CONTROLS);
    u32 shift = rdmsr(MSR_VMX_MISC) & 31;
    u64 t0, ticks = 0x100000 >> shift;

    if (!vmx_may(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER)) {
        check_skip("not offered", "preemption timer");
        return;
    }
    vmwrite(VMCS_PIN_CONTROLS, pin | PIN_PREEMPTION_TIMER);
    vmwrite(VMCS_PREEMPTION_TIMER, 0);
    check_eq(vm_start(&vm, g_nothing), VMX_EXIT_PREEMPTION_TIMER,
             "preemption timer of 0 exits at once (26.7.4)");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_nothing, "preemption timer of 0: RIP");
    vmwrite(VMCS_PREEMPTION_TIMER, ticks);
    t0 = rdtsc();
    check_eq(vm_start(&vm, g_spin), VMX_EXIT_PREEMPTION_TIMER,
             "preemption timer: exit 52");
    check(rdtsc() - t0 >= (ticks - 1) << shift, "preemption timer: not early");
    check_eq(vmread(VMCS_PREEMPTION_TIMER), ticks, "timer not saved without its control");
    if (vmx_may(VMCS_EXIT_CONTROLS, EXIT_SAVE_TIMER)) {
        vmwrite(VMCS_EXIT_CONTROLS, exit | EXIT_SAVE_TIMER);
        vm_start(&vm, g_spin);
        check_eq(vmread(VMCS_PREEMPTION_TIMER), 0,
                 "saved timer is 0 after expiry (27.3.5)");
        vmwrite(VMCS_PREEMPTION_TIMER, 0xfffffff0);
        vm_start(&vm, g_nothing);
        check(vm_ended(&vm) && vmread(VMCS_PREEMPTION_TIMER) <= 0xfffffff0 &&
              vmread(VMCS_PREEMPTION_TIMER) > 0x80000000, "saved timer of an early exit");
    }
    vmwrite(VMCS_PIN_CONTROLS, pin);
    vmwrite(VMCS_EXIT_CONTROLS, exit);
}

/* 26.7.2: a guest entered in the HLT state wakes by an event only. */
static void hlt_activity(void)
{
    u32 exit = vmread(VMCS_EXIT_CONTROLS);

    vmwrite(VMCS_EXIT_CONTROLS, exit | EXIT_ACK_INTR);
    vm_set_entry(&vm, g_nothing);
    vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
    apic_write(APIC_TIMER_DIV, 0xb);
    apic_write(APIC_TIMER, VECTOR_OTHER);
    apic_write(APIC_TIMER_INIT, 100000);
    check_eq(vm_run(&vm), VMX_EXIT_EXT_INTR, "HLT state: the timer interrupt exits");
    check_eq(vmread(VMCS_EXIT_INTR_INFO) & INTR_VECTOR, VECTOR_OTHER,
             "HLT state: vector");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_nothing, "HLT state: no instruction runs");
    check_eq(vmread(VMCS_GUEST_ACTIVITY), ACTIVITY_HLT,
             "HLT state: the exit saves the activity state HLT (27.3.4)");
    apic_write(APIC_EOI, 0);
    apic_write(APIC_TIMER, BIT(16));
    vm_set_entry(&vm, g_nothing);
    vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
    vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_TYPE_NMI | 2);
    clear_seen();
    vm_run(&vm);
    check(vm_ended(&vm) && seen == NMI, "HLT state: an injected NMI wakes (26.7.2)");
    vmwrite(VMCS_EXIT_CONTROLS, exit);
}

/* A real-mode guest: the code at 0:7000H, its IVT at 0 (unrestricted guest). */
static void real_mode(void)
{
    static const u8 code[] = {
        0xb8, 0x34, 0x12,               /* mov ax, 1234h */
        0x8e, 0xd8,                     /* mov ds, ax */
        0xcd, 0x61,                     /* int 61h */
        0x0f, 0xa2,                     /* cpuid */
        0xf4, 0xf4,                     /* hlt; hlt */
    };
    static const u8 handler[] = { 0x41, 0xcf };         /* inc cx; iret */
    u32 entry = vmread(VMCS_ENTRY_CONTROLS), exc = vmread(VMCS_EXCEPTION_BITMAP);

    if (!(vmread(VMCS_SECONDARY_CONTROLS) & CPU2_UNRESTRICTED)) {
        check_skip("no unrestricted guest", "real mode");
        return;
    }
    memcpy((void *)0x7000, code, sizeof(code));
    memcpy((void *)0x7100, handler, sizeof(handler));
    *(volatile u32 *)(0x61ull * 4) = 0x00007100;
    *(volatile u32 *)(0x62ull * 4) = 0x07100000;
    vm_set_entry(&vm, g_nothing);
    for (u32 i = 0; i < 6; i++) {
        vmwrite(VMCS_GUEST_ES_SEL + 2 * i, 0);
        vmwrite(VMCS_GUEST_ES_BASE + 2 * i, 0);
        vmwrite(VMCS_GUEST_ES_LIMIT + 2 * i, 0xffff);
        vmwrite(VMCS_GUEST_ES_AR + 2 * i, 0x93);
    }
    vmwrite(VMCS_GUEST_CS_AR, 0x9b);
    vmwrite(VMCS_GUEST_CR0, CR0_NE);
    vmwrite(VMCS_GUEST_CR4, CR4_VMXE);
    vmwrite(VMCS_GUEST_EFER, 0);
    vmwrite(VMCS_GUEST_IDTR_BASE, 0);
    vmwrite(VMCS_GUEST_IDTR_LIMIT, 0x3ff);
    vmwrite(VMCS_GUEST_RIP, 0x7000);
    vmwrite(VMCS_GUEST_RSP, 0x6000);
    vmwrite(VMCS_ENTRY_CONTROLS, entry & ~ENTRY_IA32E);
    vm.rcx = 5;
    check_eq(vm_run(&vm), VMX_EXIT_CPUID, "real mode: runs to CPUID");
    check_eq(vmread(VMCS_GUEST_RIP), 0x7007, "real mode: RIP");
    check_eq(vm.rcx & 0xffff, 6, "real mode: INT through the IVT and IRET");
    check_eq(vmread(VMCS_GUEST_ES_SEL + 6), 0x1234, "real mode: DS selector");
    check_eq(vmread(VMCS_GUEST_ES_BASE + 6), 0x12340, "real mode: DS base");
    check_eq(vmread(VMCS_GUEST_RSP), 0x6000, "real mode: SP after IRET");
    vm_skip();
    check_eq(vm_run(&vm), VMX_EXIT_HLT, "real mode: HLT");
    vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_TYPE_SOFT_INT | 0x62);
    vmwrite(VMCS_ENTRY_INSN_LEN, 1);
    vm.rcx = 8;
    check_eq(vm_run(&vm), VMX_EXIT_HLT,
             "real mode: INT 62H injected, then the HLT again");
    check_eq(vm.rcx & 0xffff, 9, "real mode: injection goes through the IVT (26.6.1.1)");
    check_eq(vmread(VMCS_GUEST_RIP), 0x700a, "real mode: behind the injected INT");
    vmwrite(VMCS_ENTRY_CONTROLS, entry);
    vmwrite(VMCS_EXCEPTION_BITMAP, exc);
    vm_start(&vm, g_nothing);
    check(vm_ended(&vm), "after real mode: a 64-bit guest again");
}

/* An interrupt is pending too: the other exits come first (25.2). */
static void priorities(void)
{
    u32 pin = vmread(VMCS_PIN_CONTROLS);

    cli();
    vm.cpu->handler[VECTOR_OTHER] = record_eoi;
    set_handler(VECTOR_OTHER, record_eoi);
    apic_self(VECTOR_OTHER);
    vm_set_bits(VMCS_PRIMARY_CONTROLS, CPU_INTR_WINDOW);
    vm_set_entry(&vm, g_nothing);
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_IF);
    check_eq(vm_run(&vm), VMX_EXIT_INTR_WINDOW,
             "the interrupt window has priority over an external interrupt");
    if (vmx_may(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER)) {
        vmwrite(VMCS_PIN_CONTROLS, pin | PIN_PREEMPTION_TIMER);
        vmwrite(VMCS_PREEMPTION_TIMER, 0);
        check_eq(vm_run(&vm), VMX_EXIT_PREEMPTION_TIMER,
                 "the preemption timer has priority over the interrupt window");
        vmwrite(VMCS_PIN_CONTROLS, pin);
    }
    vm_clear_bits(VMCS_PRIMARY_CONTROLS, CPU_INTR_WINDOW);
    check_eq(vm_run(&vm), VMX_EXIT_EXT_INTR, "the external interrupt is still there");
    clear_seen();
    sti_nop_cli();
    check_eq(seen, VECTOR_OTHER, "the host takes it");
}

void test_main(void)
{
    if (!vmx_supported()) {
        panic("no VMX");
    }
    vmx_on();
    vm_create(&vm);
    exception_bitmap();
    page_fault_match();
    double_and_triple();
    injection();
    idt_vectoring();
    external_interrupts();
    interrupt_window();
    interruptibility_saved();
    nmis();
    nmi_behind_sti();
    preemption_timer();
    priorities();
    hlt_activity();
    real_mode();
}
