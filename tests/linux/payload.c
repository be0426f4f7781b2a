/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TD payload: main line and the checks of CPU state, CPUID, MSRs, I/O and exceptions. */
#include "payload_td.h"

static void test_boot_state(void)
{
    const struct boot_regs *b = &boot_regs;
    u32 r[4];

    gpaw = b->rbx & 0x3f;
    check(gpaw == 48 || gpaw == 52, "reset: RBX holds the GPA width");
    cpuid(1, 0, r);
    check_eq(b->rdx, r[0], "reset: RDX is CPUID.1.EAX");
    check_eq(b->rsi, 0, "reset: RSI is the vCPU index");
    check(!b->rax && !b->rdi && !b->rbp && !b->rsp, "reset: RAX, RDI, RBP, RSP are 0");
    check_eq((u32)b->r8, (u32)b->rcx, "reset: R8 equals RCX");
    check_eq(b->cr0 & ~0x10ull, 0x21,
             "reset: CR0, besides ET, which a processor hardwires");
    check_eq(b->cr4, 0x40, "reset: CR4 as the guest reads it");
    check_eq(b->eflags, 0x2, "reset: EFLAGS");
    check_eq(b->cs, 0, "reset: CS selector");
    check_eq(rdmsr(MSR_EFER), 0xd01, "EFER: SCE, LME, LMA, NXE");
}

static void test_info(unsigned vcpus)
{
    struct td_regs r = { 0 };

    check_eq(tdcall(TDG_VP_INFO, &r), 0, "VP.INFO succeeds");
    check_eq(r.rcx & 0x3f, gpaw, "VP.INFO: GPA width");
    check(r.rdx & TD_ATTR_SEPT_VE_DISABLE, "VP.INFO: SEPT_VE_DISABLE");
    check_eq((u32)r.r8, vcpus, "VP.INFO: number of vCPUs");
    check((r.r8 >> 32) >= vcpus, "VP.INFO: maximum of vCPUs");
    check_eq((u32)r.r9, 0, "VP.INFO: vCPU index");
    r = (struct td_regs) { 0 };
    check_eq(tdcall(999, &r), TDX_OPERAND_INVALID | OPERAND_RAX, "TDCALL: unknown leaf");
    check_eq(tdcall(TDG_VP_VEINFO_GET, &r), TDX_NO_VALID_VE_INFO,
             "VEINFO.GET without a #VE");
    r = (struct td_regs) { .rdx = TD_FIELD_NOTIFY_ENABLES, .r9 = ~0ull };
    check_eq(tdcall(TDG_VM_WR, &r), 0, "VM.WR: NOTIFY_ENABLES = 0");
    r = (struct td_regs) { .rdx = TD_FIELD_CONFIG_FLAGS };
    check_eq(tdcall(TDG_VM_RD, &r), 0, "VM.RD: CONFIG_FLAGS");
    check_eq(r.r8 & 5, 4 | (gpaw == 52),
             "VM.RD: CONFIG_FLAGS has NO_RBP_MOD and the GPA width");
    r = (struct td_regs) { .rdx = TD_FIELD_TOPOLOGY_CONFIGURED };
    check_eq(tdcall(TDG_VM_RD, &r), 0, "VM.RD: TOPOLOGY_ENUM_CONFIGURED");
}

static void test_cpuid(void)
{
    struct td_regs r = { .rcx = 1 };
    struct percpu *cpu = this_cpu();
    u32 before = cpu->ve_count[EXIT_CPUID], c[4];

    cpuid(0, 0, c);
    check(c[1] == 0x756e6547 && c[3] == 0x49656e69 && c[2] == 0x6c65746e,
          "CPUID 0: GenuineIntel");
    cpuid(0x21, 0, c);
    check(c[0] == 0 && c[1] == 0x65746e49 && c[3] == 0x5844546c && c[2] == 0x20202020,
          "CPUID 0x21: IntelTDX");
    cpuid(1, 0, c);
    check(c[2] & 1u << 31, "CPUID 1: hypervisor bit");
    check(c[2] & 1u << 21, "CPUID 1: x2APIC");
    cpuid(0x80000007, 0, c);
    check(c[3] & 1u << 8, "CPUID 0x80000007: invariant TSC");
    cpuid(0x15, 0, c);
    check(c[0] == 1 && c[1] >= 4 && c[2] == 25000000, "CPUID 0x15: TSC in 25 MHz units");
    check_eq(cpu->ve_count[EXIT_CPUID], before, "CPUID: these leaves take no #VE");

    cpuid(0x40000000, 0, c);
    check_eq(cpu->ve_count[EXIT_CPUID], before + 1, "CPUID 0x40000000: #VE");
    check(c[1] == 0x4b4d564b && c[2] == 0x564b4d56 && c[3] == 0x4d,
          "CPUID 0x40000000: KVM's signature comes from the host");

    check_eq(tdcall(TDG_VP_CPUIDVE_SET, &r), 0, "CPUIDVE.SET: on");
    cpuid(0, 0, c);
    check_eq(cpu->ve_count[EXIT_CPUID], before + 2, "CPUIDVE.SET: CPUID is a #VE");
    r.rcx = 0;
    check_eq(tdcall(TDG_VP_CPUIDVE_SET, &r), 0, "CPUIDVE.SET: off");
    cpuid(0, 0, c);
    check_eq(cpu->ve_count[EXIT_CPUID], before + 2, "CPUIDVE.SET: no #VE any more");
    r.rcx = 4;
    check_eq(tdcall(TDG_VP_CPUIDVE_SET, &r), TDX_OPERAND_INVALID | OPERAND_RCX,
             "CPUIDVE.SET: reserved bit is refused");
}

static void test_msr(void)
{
    struct percpu *cpu = this_cpu();
    u32 rd = cpu->ve_count[EXIT_RDMSR], wr = cpu->ve_count[EXIT_WRMSR];
    u64 v;

    wrmsr(MSR_LSTAR, 0xffff800012345678);
    check_eq(rdmsr(MSR_LSTAR), 0xffff800012345678, "MSR LSTAR: keeps its value");
    wrmsr(MSR_KERNEL_GS_BASE, 0x7654321);
    check_eq(rdmsr(MSR_KERNEL_GS_BASE), 0x7654321, "MSR KERNEL_GS_BASE: keeps its value");
    check_eq(wrmsr_try(MSR_LSTAR, 1ull << 63), X86_VEC_GP,
             "MSR LSTAR: not canonical is #GP");
    check(cpu->ve_count[EXIT_RDMSR] == rd && cpu->ve_count[EXIT_WRMSR] == wr,
          "MSR: native ones take no #VE");

    check_eq(rdmsr(MSR_APIC_BASE) & ~0x100ull, 0xfee00c00,
             "MSR APIC_BASE: x2APIC, by the host");
    check_eq(cpu->ve_count[EXIT_RDMSR], rd + 1, "MSR APIC_BASE: #VE");
    wrmsr(MSR_X2APIC_LVTT, 0x10000);
    check_eq(cpu->ve_count[EXIT_WRMSR], wr + 1, "MSR LVT timer: write is a #VE");

    check_eq(rdmsr_try(0x98, &v), X86_VEC_GP, "MSR 0x98: #GP");
    check_eq(rdmsr_try(0x17, &v), X86_VEC_VE, "MSR 0x17: #VE that the host refuses");
    check_eq(cpu->ve_status, TDVMCALL_INVALID_OPERAND, "MSR 0x17: TDVMCALL status");
    check_eq(wrmsr_try(MSR_EFER, rdmsr(MSR_EFER)), NO_TRAP,
             "MSR EFER: same value is accepted");
    wrmsr(MSR_KERNEL_GS_BASE, 0);
}

static void test_io(void)
{
    struct percpu *cpu = this_cpu();
    u32 before = cpu->ve_count[EXIT_IO];

    out8(TD_PORT_ECHO, 0x5a);
    check_eq(in8(TD_PORT_ECHO), 0xa5, "I/O: 8 bits through #VE");
    out16(TD_PORT_ECHO, 0x1234);
    check_eq(in16(TD_PORT_ECHO), 0xedcb, "I/O: 16 bits through #VE");
    out32(TD_PORT_ECHO, 0x89abcdef);
    check_eq(in32(TD_PORT_ECHO), 0x76543210, "I/O: 32 bits through #VE");
    check_eq(cpu->ve_count[EXIT_IO], before + 6, "I/O: every access is one #VE");
}

#define TRAP_OF(insn)                                                                    \
    ({                                                                                   \
        this_cpu()->trap_vector = NO_TRAP;                                               \
        __asm__ volatile(TRY(insn)                                                       \
                         :                                                               \
                         :                                                               \
                         : "memory", "r11", "rax", "rcx", "rdx", "rbx", "r10");          \
        this_cpu()->trap_vector;                                                         \
    })

static void test_exceptions(void)
{
    u64 hole = 0x80000000; /* the page tables do not map the third GiB */

    check_eq(TRAP_OF("ud2"), X86_VEC_UD, "exception: #UD");
    check_eq(TRAP_OF("int3"), X86_VEC_BP, "exception: #BP");
    check_eq(TRAP_OF("xorl %%edx, %%edx; xorl %%ecx, %%ecx; divl %%ecx"), X86_VEC_DE,
             "exception: #DE");
    check_eq(TRAP_OF("movl $0x80000000, %%eax; movl (%%rax), %%eax"), X86_VEC_PF,
             "exception: #PF");
    check_eq(this_cpu()->trap_cr2, hole, "exception: CR2 of the #PF");
    check_eq(this_cpu()->trap_error, 0, "exception: error code of the #PF");
    check_eq(TRAP_OF(".byte 0x0f, 0x01, 0xc4"), X86_VEC_UD, "VMXOFF is #UD");
    check_eq(TRAP_OF(".byte 0x66, 0x0f, 0x01, 0xcf"), X86_VEC_UD, "SEAMCALL is #UD");
}

static void test_control_registers(void)
{
    struct percpu *cpu = this_cpu();
    u64 cr4 = read_cr4();

    check_eq(TRAP_OF("movq %%cr0, %%rax; btrq $5, %%rax; movq %%rax, %%cr0"), X86_VEC_GP,
             "CR0: clearing NE is #GP");
    check_eq(TRAP_OF("movq %%cr4, %%rax; btrq $6, %%rax; movq %%rax, %%cr4"), X86_VEC_VE,
             "CR4: clearing MCE is #VE");
    check_eq(cpu->ve_count[EXIT_CR_ACCESS], 1, "CR4: #VE for a control register");
    check_eq(read_cr4(), cr4, "CR4: unchanged by it");
    write_cr8(5);
    check_eq(read_cr8(), 5, "CR8: keeps its value");
    write_cr8(0);
}

static void test_xcr0(void)
{
    u32 c[4];

    write_cr4(read_cr4() | 1u << 18);
    cpuid(1, 0, c);
    check(c[2] & 1u << 27, "CPUID 1: OSXSAVE follows CR4");
    check_eq(TRAP_OF("xorl %%ecx, %%ecx; xorl %%edx, %%edx; movl $3, %%eax; xsetbv"),
             NO_TRAP, "XSETBV: x87 and SSE");
    check_eq(TRAP_OF("xorl %%ecx, %%ecx; xorl %%edx, %%edx; movl $2, %%eax; xsetbv"),
             X86_VEC_GP, "XSETBV: without x87 is #GP");
    check_eq(TRAP_OF("movl $5, %%ecx; xorl %%edx, %%edx; movl $3, %%eax; xsetbv"),
             X86_VEC_GP, "XSETBV: XCR5 is #GP");
}

static void test_vmcalls(void)
{
    struct vmcall_regs r;
    struct percpu *cpu = this_cpu();
    u64 ret;

    check_eq(vmcall(TDVMCALL_GET_INFO, 0, 0, 0, 0, &r), 0, "GetTdVmCallInfo: leaf 0");
    check(!r.r11 && !r.r12 && !r.r13 && !r.r14, "GetTdVmCallInfo: leaf 0 is all zeros");
    check_eq(vmcall(TDVMCALL_GET_INFO, 1, 0, 0, 0, &r), 0, "GetTdVmCallInfo: leaf 1");
    check(r.r11 & 2, "GetTdVmCallInfo: leaf 1 offers SetupEventNotify");
    check_eq(vmcall(0x7777, 0, 0, 0, 0, NULL), TDVMCALL_UNSUPPORTED,
             "TDVMCALL: unknown function");
    check_eq(vmcall(TDVMCALL_GET_QUOTE, TD_MAP_PAGE, 0x1000, 0, 0, NULL),
             TDVMCALL_INVALID_OPERAND, "GetQuote: private buffer is refused");
    check_eq(
        vmcall(TDVMCALL_GET_QUOTE, TD_MAP_PAGE | 1ull << (gpaw - 1), 0x1000, 0, 0, NULL),
        TDVMCALL_UNSUPPORTED, "GetQuote: the launcher offers none");
    __asm__ volatile("vmcall"
                     : "=a"(ret)
                     : "0"(999ull), "b"(0ull), "c"(0ull), "d"(0ull), "S"(0ull)
                     : "memory");
    check_eq(ret, -1000ull, "VMCALL: KVM's ENOSYS through #VE");
    check_eq(cpu->ve_count[EXIT_VMCALL], 1, "VMCALL: #VE");
    __asm__ volatile("wbinvd" : : : "memory");
    check_eq(cpu->ve_count[EXIT_WBINVD], 1, "WBINVD: #VE");
}

void report_stats(unsigned vcpus)
{
    u64 ve = 0, irqs = 0;

    for (unsigned i = 0; i < vcpus; i++) {
        for (unsigned n = 0; n < 80; n++) {
            ve += percpu_of(i)->ve_count[n];
        }
        for (unsigned n = 32; n < 256; n++) {
            irqs += percpu_of(i)->irqs[n];
        }
    }
    stat_out(TD_STAT_ACCEPTED, pages_accepted);
    stat_out(TD_STAT_CONVERTED, pages_converted);
    stat_out(TD_STAT_SHARED, pages_shared);
    stat_out(TD_STAT_VE, ve);
    stat_out(TD_STAT_IRQS, irqs);
}

/* Timer interrupts, HLT and conversions until the host kills the TD. */
static void hold(void)
{
    u32 ticks = this_cpu()->irqs[0x40];

    port_out32(TD_PORT_ALIVE, 1);
    wrmsr(MSR_X2APIC_LVTT, 0x40);
    for (;;) {
        u64 gpa = TD_MAP_PAGE;

        wrmsr(MSR_X2APIC_TMICT, 25000);
        ticks++;
        while (this_cpu()->irqs[0x40] < ticks) {
            safe_halt();
        }
        if (vmcall(TDVMCALL_MAP_GPA, gpa | 1ull << (gpaw - 1), 0x1000, 0, 0, NULL) ||
            vmcall(TDVMCALL_MAP_GPA, gpa, 0x1000, 0, 0, NULL) ||
            accept_range(gpa, 0x1000) != 1) {
            check(false, "conversion while held");
            guest_die();
        }
    }
}

static void die_on_request(unsigned mode)
{
    if (mode == TD_MODE_FATAL) {
        vmcall(TDVMCALL_FATAL_ERROR, TD_FATAL_CODE, 0, 0, 0, NULL);
    }
    if (mode == TD_MODE_TRIPLE) {
        struct {
            u16 limit;
            u64 base;
        } __attribute__((packed)) none = { 0, 0 };

        __asm__ volatile("lidt %0; ud2" : : "m"(none));
    }
    if (mode == TD_MODE_UNACCEPTED) {
        *(volatile u64 *)TD_ACCEPT_GPA = 1;
    }
}

/* Called by payload_entry.S on every vCPU, in 64-bit mode on its own stack. */
void payload_main(unsigned index);
void payload_main(unsigned index)
{
    u32 cfg = boot_regs.r8;
    unsigned vcpus = TD_CFG_VCPUS(cfg);

    percpu_init(index);
    idt_load();
    if (TD_MODE_IS_LOAD(TD_CFG_MODE(cfg))) {
        load_main(index, cfg);
    }
    if (index) {
        ap_main(index);
    }
    puts_("hello from a trust domain\n");
    die_on_request(TD_CFG_MODE(cfg));
    test_boot_state();
    test_info(vcpus);
    test_cpuid();
    test_msr();
    test_io();
    test_exceptions();
    test_control_registers();
    test_xcr0();
    test_accept(TD_CFG_ACCEPT(cfg));
    test_vmcalls();
    test_mmio();
    test_map_gpa();
    test_interrupts();
    test_aps(vcpus);
    test_attest();
    report_stats(vcpus);
    if (TD_CFG_MODE(cfg) == TD_MODE_HOLD && !checks_failed) {
        hold();
    }
    guest_die();
}
