/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Register state across VM entry and exit, field by field; debug exceptions;
 * task switches; the order of the entry checks (SDM vol. 3, 26.2, 26.3.2, 27.3,
 * 27.5).
 */
#include "vmx.h"

const char test_name[] = "vmx_state";

static Vm vm;
static volatile u64 seen[16];

static void g_read_state(void)
{
    struct __attribute__((packed)) { u16 limit; u64 base; } gdtr, idtr;
    u16 ldt, tr, es;

    asm volatile("sgdt %0; sidt %1" : "=m"(gdtr), "=m"(idtr));
    asm volatile("sldt %0; str %1" : "=r"(ldt), "=r"(tr));
    asm volatile("movw %%es, %0" : "=r"(es));
    seen[0] = gdtr.base;
    seen[1] = gdtr.limit;
    seen[2] = idtr.limit;
    seen[3] = ldt;
    seen[4] = tr;
    seen[5] = es;
    seen[6] = rdmsr(MSR_FS_BASE);
    seen[7] = rdmsr(MSR_SYSENTER_CS);
    seen[8] = rdmsr(0x175);
    seen[9] = rdmsr(0x176);
    seen[10] = read_dr7();
    seen[11] = read_cr3();
    seen[12] = rdmsr(0x1d9);
}

static void loaded_by_entry(void)
{
    vm_set_entry(&vm, g_read_state);
    vmwrite(VMCS_GUEST_GDTR_LIMIT, GDT_SIZE - 1);
    vmwrite(VMCS_GUEST_IDTR_LIMIT, 0x7ff);
    vmwrite(VMCS_GUEST_FS_BASE, 0x123456789a);
    vmwrite(VMCS_GUEST_SYSENTER_CS, 0x18);
    vmwrite(VMCS_GUEST_SYSENTER_ESP, 0x5000);
    vmwrite(VMCS_GUEST_SYSENTER_EIP, 0x6000);
    vmwrite(VMCS_GUEST_DR7, 0x402);
    vmwrite(VMCS_GUEST_DEBUGCTL, 2);
    vm_run(&vm);
    check_eq(seen[0], (u64)vm.cpu->gdt, "entry loads the GDTR base");
    check_eq(seen[1], GDT_SIZE - 1, "entry loads the GDTR limit");
    check_eq(seen[2], 0x7ff, "entry loads the IDTR limit");
    check_eq(seen[3], 0, "entry: LDTR unusable, selector 0");
    check_eq(seen[4], SEL_TSS, "entry loads the TR selector");
    check_eq(seen[5], SEL_DATA, "entry loads the ES selector");
    check_eq(seen[6], 0x123456789a, "entry loads the FS base");
    check_eq(seen[7], 0x18, "entry loads SYSENTER_CS");
    check_eq(seen[8], 0x5000, "entry loads SYSENTER_ESP");
    check_eq(seen[9], 0x6000, "entry loads SYSENTER_EIP");
    check_eq(seen[10] & 0xffff, 0x402, "entry loads DR7 (load debug controls)");
    check_eq(seen[12], 2, "entry loads IA32_DEBUGCTL (load debug controls)");
    check_eq(rdmsr(0x1d9), 0, "exit clears IA32_DEBUGCTL (27.5.1)");
    check_eq(vmread(VMCS_GUEST_DEBUGCTL), 2, "exit saves IA32_DEBUGCTL");
    check_eq(vmread(VMCS_GUEST_DR7), 0x402, "exit saves DR7");
}

static u64 new_gdt[8];

static void g_change_state(void)
{
    struct __attribute__((packed)) { u16 limit; u64 base; } d;

    memcpy(new_gdt, this_cpu()->gdt, GDT_SIZE);
    new_gdt[SEL_TSS / 8] &= ~(2ull << 40);      /* available again */
    d.limit = GDT_SIZE - 1;
    d.base = (u64)new_gdt;
    asm volatile("lgdt %0" : : "m"(d));
    asm volatile("ltr %w0" : : "r"(SEL_TSS));
    d.limit = 0x5ff;
    d.base = (u64)idt;
    asm volatile("lidt %0" : : "m"(d));
    asm volatile("movl %0, %%es" : : "r"(0));
    wrmsr(MSR_FS_BASE, 0x777000);
    wrmsr(MSR_SYSENTER_CS, 0x28);
    wrmsr(0x175, 0x9000);
    wrmsr(0x176, 0xa000);
    asm volatile("movq %0, %%dr7" : : "r"(0x408ull));
    asm volatile("movq $0x1234567, %%rbx; movq $-2, %%r15; stc; movl $3, %%eax; vmcall"
                 : : : "rax", "rbx", "r15", "memory");
}

static void saved_by_exit(void)
{
    vm_start(&vm, g_change_state);
    check_eq(vm_reason(), VMX_EXIT_VMCALL, "the guest that changes its state: VMCALL");
    check_eq(vm.rbx, 0x1234567, "general registers are the guest's");
    check_eq(vm.r15, ~1ull, "R15 is the guest's");
    check_eq(vmread(VMCS_GUEST_RFLAGS) & FLAGS_CF, FLAGS_CF, "exit saves RFLAGS");
    check_eq(vmread(VMCS_GUEST_GDTR_BASE), (u64)new_gdt, "exit saves the GDTR base");
    check_eq(vmread(VMCS_GUEST_IDTR_LIMIT), 0x5ff, "exit saves the IDTR limit");
    check_eq(vmread(VMCS_GUEST_TR_BASE), (u64)this_cpu()->tss,
             "exit saves the TR base that LTR loaded");
    check_eq(vmread(VMCS_GUEST_TR_AR) & 0xff, 0x8b, "exit saves the TR rights, busy");
    check(vmread(VMCS_GUEST_ES_AR) & VMCS_AR_UNUSABLE, "a null ES is saved as unusable");
    check_eq(vmread(VMCS_GUEST_ES_SEL), 0, "a null ES: selector");
    check_eq(vmread(VMCS_GUEST_FS_BASE), 0x777000, "exit saves the FS base");
    check_eq(vmread(VMCS_GUEST_SYSENTER_CS), 0x28, "exit saves SYSENTER_CS");
    check_eq(vmread(VMCS_GUEST_SYSENTER_ESP), 0x9000, "exit saves SYSENTER_ESP");
    check_eq(vmread(VMCS_GUEST_SYSENTER_EIP), 0xa000, "exit saves SYSENTER_EIP");
    check_eq(vmread(VMCS_GUEST_DR7), 0x408, "exit saves DR7");
}

/* Host fields with other values than the ones before entry. */
static void host_fields(void)
{
    u16 fs;

    vmwrite(VMCS_HOST_FS_BASE, 0xabcde000);
    vmwrite(VMCS_HOST_FS_SEL, SEL_DATA);
    vmwrite(VMCS_HOST_SYSENTER_CS, 0x10);
    vmwrite(VMCS_HOST_SYSENTER_ESP, 0x1000);
    vmwrite(VMCS_HOST_SYSENTER_EIP, 0x2000);
    vmwrite(VMCS_HOST_CR4, read_cr4() | BIT(3));
    vmwrite(VMCS_HOST_CR0, read_cr0() | CR0_WP);
    vm_start(&vm, g_read_state);
    asm volatile("movw %%fs, %0" : "=r"(fs));
    check_eq(fs, SEL_DATA, "exit loads the FS selector");
    check_eq(rdmsr(MSR_FS_BASE), 0xabcde000, "exit loads the FS base (27.5.2)");
    check_eq(rdmsr(MSR_SYSENTER_CS), 0x10, "exit loads SYSENTER_CS (27.5.1)");
    check_eq(rdmsr(0x175), 0x1000, "exit loads SYSENTER_ESP (27.5.1)");
    check_eq(rdmsr(0x176), 0x2000, "exit loads SYSENTER_EIP (27.5.1)");
    check_eq(read_cr4() & BIT(3), BIT(3), "exit loads CR4 (27.5.1)");
    check_eq(read_cr0() & CR0_WP, CR0_WP, "exit loads CR0 (27.5.1)");
    write_cr4(read_cr4() & ~BIT(3));
    write_cr0(read_cr0() & ~CR0_WP);
    vm_host_state();
    if (vmx_may(VMCS_EXIT_CONTROLS, EXIT_LOAD_EFER)) {
        vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER) | 1);
        vm_start(&vm, g_read_state);
        check_eq(rdmsr(MSR_EFER) & 1, 1, "exit loads IA32_EFER (27.5.1)");
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~1ull);
        vm_host_state();
    }
}

static void g_single_step(void)
{
    asm volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop;"
                 "pushfq; andq $~0x100, (%%rsp); popfq" : : : "memory");
}

static void g_breakpoint(void)
{
    asm volatile("movq %0, %%dr0; movq %1, %%dr7" : : "r"(&seen[15]), "r"(0xd0402ull));
    seen[15] = 1;
    asm volatile("nop");
}

static void debug_exceptions(void)
{
    u64 dr6 = 0xffff0ff0, now;

    asm volatile("movq %0, %%dr6" : : "r"(dr6));
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << DB);
    check_eq(vm_start(&vm, g_single_step), VMX_EXIT_EXCEPTION_NMI, "single step: exit 0");
    check_eq(vmread(VMCS_EXIT_INTR_INFO), INTR_VALID | INTR_TYPE_HW_EXC | DB,
             "single step: interruption information");
    check_eq(vm_qual(), BIT(14), "single step: qualification is BS (27.2.1)");
    asm volatile("movq %%dr6, %0" : "=r"(now));
    check_eq(now, dr6, "single step: DR6 is not changed by the exit (27.1)");
    check_eq(vmread(VMCS_GUEST_RFLAGS) & FLAGS_TF, FLAGS_TF, "single step: TF is saved");
    check_eq(vm_start(&vm, g_breakpoint), VMX_EXIT_EXCEPTION_NMI,
             "data breakpoint: exit 0");
    check_eq(vm_qual() & 0xf, 1, "data breakpoint: qualification is B0 (27.2.1)");
    vmwrite(VMCS_EXCEPTION_BITMAP, 0);
    asm volatile("movq %0, %%dr0" : : "r"(0ull));
}

/* 26.1, 26.2, 26.3: controls before host state before guest state. */
static void check_order(void)
{
    u64 rip = vmread(VMCS_HOST_RIP);

    vm_set_entry(&vm, g_read_state);
    vmwrite(VMCS_GUEST_RFLAGS, 0);
    vmwrite(VMCS_HOST_RIP, BIT(63));
    vmwrite(VMCS_CR3_TARGET_COUNT, 300);
    check_eq(vm_enter(&vm), VM_VALID, "bad controls, host and guest: VMfailValid");
    check(vm_error() == VMX_ERR_BAD_CONTROLS || vm_error() == VMX_ERR_BAD_HOST,
          "bad controls, host and guest: error 7 or 8 (26.2: in any order)");
    vmwrite(VMCS_CR3_TARGET_COUNT, 0);
    check_eq(vm_enter(&vm), VM_VALID, "bad host and guest: VMfailValid");
    check_eq(vm_error(), VMX_ERR_BAD_HOST, "bad host and guest: error 8 (26.1)");
    vmwrite(VMCS_HOST_RIP, rip);
    check_eq(vm_enter(&vm), VM_EXITED, "bad guest: exit");
    check_eq(vm_reason(), VMX_EXIT_BAD_GUEST | VMX_EXIT_ENTRY_FAILURE, "bad guest: 33");
    vmwrite(VMCS_GUEST_RFLAGS, 2);
    vm.launched = !vm.launched;
    vmwrite(VMCS_CR3_TARGET_COUNT, 300);
    check_eq(vm_enter(&vm), VM_VALID, "wrong launch state and bad controls: fails");
    check_eq(vm_error(), vm.launched ? VMX_ERR_VMRESUME_NOT_LAUNCHED :
             VMX_ERR_VMLAUNCH_NOT_CLEAR, "the launch state is checked first (26.1)");
    vm.launched = !vm.launched;
    vmwrite(VMCS_CR3_TARGET_COUNT, 0);
}

/* A far jump to a TSS in a 32-bit guest: always exit 9 (25.2). */
static void task_switch(void)
{
    static const u8 code[] = {
        0xea, 0, 0, 0, 0, 0x40, 0,              /* ljmp $40H, $0 */
    };
    u64 *gdt = page_alloc();
    u64 tss = (u64)page_alloc();

    memcpy(gdt, this_cpu()->gdt, GDT_SIZE);
    gdt[8] = 0x67 | (tss & 0xffffff) << 16 | 0x89ull << 40 | (tss >> 24 & 0xff) << 56;
    memcpy((void *)0x7000, code, sizeof(code));
    vm_set_entry(&vm, g_read_state);
    vm_clear_bits(VMCS_ENTRY_CONTROLS, ENTRY_IA32E);
    vmwrite(VMCS_GUEST_EFER, 0);
    vmwrite(VMCS_GUEST_CR0, CR0_PE | CR0_NE);
    vmwrite(VMCS_GUEST_CR4, CR4_VMXE);
    vmwrite(VMCS_GUEST_CS_SEL, SEL_CODE32);
    vmwrite(VMCS_GUEST_CS_AR, 0xc09b);
    vmwrite(VMCS_GUEST_GS_BASE, 0);
    vmwrite(VMCS_GUEST_GDTR_BASE, (u64)gdt);
    vmwrite(VMCS_GUEST_GDTR_LIMIT, 0x47);
    vmwrite(VMCS_GUEST_RIP, 0x7000);
    check_eq(vm_run(&vm), VMX_EXIT_TASK_SWITCH, "task switch: exit 9");
    check_eq(vm_qual(), 0x40 | 2ull << 30, "task switch: selector and JMP (table 27-2)");
    check_eq(vmread(VMCS_GUEST_RIP), 0x7000, "task switch: RIP of the JMP");
    check_eq(vmread(VMCS_EXIT_INSN_LEN), 7, "task switch: length 7");
    vm_set_bits(VMCS_ENTRY_CONTROLS, ENTRY_IA32E);
}

/* Blocking that entry set, and an exit by the guest's first instruction. */
static void first_instruction_blocked(void)
{
    static const u8 code[] = { 0xfb, 0x0f, 0xa2 };      /* STI in front of CPUID */
    u8 *pages = pages_alloc(2, PAGE_SIZE);

    memcpy(pages + PAGE_SIZE - 1, code, sizeof(code));
    vm_set_entry(&vm, (void (*)(void))(pages + PAGE_SIZE));
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BIT(1));
    check_eq(vm_run(&vm), VMX_EXIT_CPUID, "blocking by MOV SS, CPUID: exit 10");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY), BIT(1),
             "blocking by MOV SS is saved as such (28.3.4)");
    if (!(vmread(VMCS_SECONDARY_CONTROLS) & CPU2_EPT)) {
        check_skip("no EPT", "blocking with nothing in front of RIP");
        return;
    }
    *ept_entry(vm.ept, (u64)pages, 0) = 0;
    vm_set_entry(&vm, (void (*)(void))(pages + PAGE_SIZE));
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_IF);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BIT(0));
    invept(2, 0, 0);
    check_eq(vm_run(&vm), VMX_EXIT_CPUID, "no page in front of RIP: exit 10");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY), BIT(0),
             "blocking by STI is saved as such");
    *ept_entry(vm.ept, (u64)pages, 0) = (u64)pages | EPT_RWX | EPT_WB;
    invept(2, 0, 0);
}

static void g_far_return(void)
{
    asm volatile("pushq %0; leaq 1f(%%rip), %%rax; pushq %%rax; lretq; 1: vmcall"
                 : : "i"(SEL_CODE64) : "rax", "memory");
}

/* The descriptor need not be marked; the register always is (SDM vol. 3, 3.4.5.1). */
static void accessed_code(void)
{
    u64 *descriptor = &vm.cpu->gdt[SEL_CODE64 / 8];

    *descriptor &= ~BIT(40);
    check_eq(vm_start(&vm, g_far_return), VMX_EXIT_VMCALL, "far return: exit 18");
    check_eq(vmread(VMCS_GUEST_CS_AR), 0xa09b, "CS is saved as accessed");
    vm_skip();
    check_eq(vm_run(&vm), VMX_EXIT_VMCALL, "so that the guest can go on");
    *descriptor |= BIT(40);
}

void test_main(void)
{
    if (!vmx_supported()) {
        panic("no VMX");
    }
    vmx_on();
    vm_create(&vm);
    loaded_by_entry();
    saved_by_exit();
    host_fields();
    debug_exceptions();
    check_order();
    task_switch();
    first_instruction_blocked();
    accessed_code();
}
