/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests in every paging mode: a boot from real mode to 64-bit mode with each
 * step checked by VM exits, PAE with its PDPTE fields, 32-bit paging, and
 * exits from CPL 3 (SDM vol. 3, 26.3.2, 27.3, 28.3).
 */
#include "vmx.h"

const char test_name[] = "vmx_modes";

#define CODE    0x7000          /* where the guest's blob runs */
#define TABLES  0x10000         /* PML4, PDPT, PD; 32-bit PD at +3000H */

static Vm vm;

extern char blob[], blob_end[];
extern char blob_flat32[], blob_flat32_end[];

/*
 * Real mode to long mode as boot loaders do it.  Each CPUID is an exit where
 * the test looks at the state.  Positions are relative to CODE.
 */
asm(".pushsection .rodata\n"
    ".code16\n"
    "blob: cli\n"
    "  lgdtl %cs:(blob_gdtr - blob + 0x7000)\n"
    "  mov %cr0, %eax\n"
    "  or $1, %eax\n"
    "  mov %eax, %cr0\n"
    "blob_prot: cpuid\n"                        /* PE, still 16-bit code */
    "  ljmpl $8, $(blob_prot_code - blob + 0x7000)\n"
    ".code32\n"
    "blob_prot_code: mov $16, %eax\n"
    "  mov %eax, %ds\n  mov %eax, %es\n  mov %eax, %ss\n"
    "  cpuid\n"                                 /* flat 32-bit code */
    "  mov $0x20, %eax\n  mov %eax, %cr4\n"
    "  mov $0x10000, %eax\n  mov %eax, %cr3\n"
    "  mov $0xc0000080, %ecx\n  rdmsr\n  or $0x100, %eax\n  wrmsr\n"
    "  mov %cr0, %eax\n  or $0x80000000, %eax\n  mov %eax, %cr0\n"
    "blob_comp: cpuid\n"                        /* compatibility mode */
    "  ljmp $24, $(blob_long - blob + 0x7000)\n"
    ".code64\n"
    "blob_long: movabs $0x1122334455667788, %rbx\n"
    "  cpuid\n"                                 /* 64-bit mode */
    "  mov %rbx, 0x9000\n"
    "  hlt\n"
    ".balign 8\n"
    "blob_gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff\n"
    "blob_gdtr: .word 31\n  .long blob_gdt - blob + 0x7000\n"
    "blob_end:\n"
    ".code32\n"
    /* ESI: linear address to read; EAX to report; then MOV CR3 and again */
    "blob_flat32: mov (%esi), %eax\n"
    "  cpuid\n"
    "  mov %cr3, %edx\n  mov %edx, %cr3\n"
    "  mov (%esi), %eax\n"
    "  cpuid\n"
    "  hlt\n"
    "blob_flat32_end:\n"
    ".code64\n"
    ".popsection\n");

static void real_segments(void)
{
    for (u32 i = 0; i < 6; i++) {
        vmwrite(VMCS_GUEST_ES_SEL + 2 * i, 0);
        vmwrite(VMCS_GUEST_ES_BASE + 2 * i, 0);
        vmwrite(VMCS_GUEST_ES_LIMIT + 2 * i, 0xffff);
        vmwrite(VMCS_GUEST_ES_AR + 2 * i, i == 1 ? 0x9b : 0x93);
    }
}

static void flat_segments(void)
{
    for (u32 i = 0; i < 6; i++) {
        vmwrite(VMCS_GUEST_ES_SEL + 2 * i, i == 1 ? SEL_CODE32 : SEL_DATA);
        vmwrite(VMCS_GUEST_ES_BASE + 2 * i, 0);
        vmwrite(VMCS_GUEST_ES_LIMIT + 2 * i, 0xffffffff);
        vmwrite(VMCS_GUEST_ES_AR + 2 * i, i == 1 ? 0xc09b : 0xc093);
    }
}

static void not_64(void)
{
    vm_clear_bits(VMCS_ENTRY_CONTROLS, ENTRY_IA32E);
    vmwrite(VMCS_GUEST_EFER, 0);
    vmwrite(VMCS_GUEST_CR4, CR4_VMXE);
}

static void g_nothing(void) { }

static void next(const char *where)
{
    check_eq(vm_run(&vm), VMX_EXIT_CPUID, "%s: reached", where);
    vm_skip();
}

static void boot(void)
{
    u64 *t = (u64 *)TABLES;

    memset(t, 0, 0x3000);
    t[0] = (TABLES + 0x1000) | 7;
    t[512] = (TABLES + 0x2000) | 7;
    t[1024] = 0x87;                             /* 2 MiB at 0 */
    memcpy((void *)CODE, blob, blob_end - blob);
    vm_set_entry(&vm, g_nothing);
    not_64();
    real_segments();
    vmwrite(VMCS_GUEST_CR0, CR0_NE);
    vmwrite(VMCS_GUEST_CR3, 0);
    vmwrite(VMCS_GUEST_RIP, CODE);
    vmwrite(VMCS_GUEST_RSP, 0x6000);
    next("protected mode, 16-bit code");
    check_eq(vmread(VMCS_GUEST_CR0) & (CR0_PE | CR0_PG), CR0_PE, "16-bit code: PE");
    check_eq(vmread(VMCS_GUEST_CS_AR) & 0xffff, 0x9b,
             "16-bit code: CS is as in real mode");
    check_eq(vmread(VMCS_GUEST_GDTR_LIMIT), 31, "16-bit code: LGDT's limit");
    next("protected mode, 32-bit code");
    check_eq(vmread(VMCS_GUEST_CS_SEL), 8, "32-bit code: CS selector");
    check_eq(vmread(VMCS_GUEST_CS_AR), 0xc09b, "32-bit code: CS rights");
    check_eq(vmread(VMCS_GUEST_ES_LIMIT + 2), 0xffffffff, "32-bit code: CS limit");
    check_eq(vmread(VMCS_GUEST_ES_AR), 0xc093, "32-bit code: ES rights");
    next("compatibility mode");
    check_eq(vmread(VMCS_GUEST_EFER) & 0x500, 0x500, "EFER.LMA follows CR0.PG");
    check_eq(vmread(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E,
             rdmsr(MSR_VMX_MISC) & BIT(5) ? ENTRY_IA32E : 0,
             "VMX_MISC[5]: the exit stores EFER.LMA in the entry control (27.2)");
    check_eq(vmread(VMCS_GUEST_CR3), TABLES, "compatibility mode: CR3");
    vm_set_bits(VMCS_ENTRY_CONTROLS, ENTRY_IA32E);
    next("64-bit mode");
    check_eq(vmread(VMCS_GUEST_CS_AR), 0xa09b, "64-bit mode: CS.L");
    *(volatile u64 *)0x9000 = 0;
    vm.rbx = 0x99887766aabbccdd;
    check_eq(vm_run(&vm), VMX_EXIT_HLT, "64-bit mode: HLT");
    check_eq(*(volatile u64 *)0x9000, 0x99887766aabbccdd,
             "64-bit mode: 64-bit registers");
}

/* The exit must not pass through a mode with LME, PG and no PAE. */
static void long_mode_enabled_only(void)
{
    memcpy((void *)CODE, blob_flat32, blob_flat32_end - blob_flat32);
    vm_set_entry(&vm, g_nothing);
    not_64();
    flat_segments();
    vmwrite(VMCS_GUEST_CR0, CR0_PE | CR0_NE);
    vmwrite(VMCS_GUEST_EFER, BIT(8));           /* LME, not LMA */
    vmwrite(VMCS_GUEST_RIP, CODE);
    vm.rsi = CODE;
    next("EFER.LME without paging and PAE");
    check_eq((u32)vm.rax, *(u32 *)CODE, "EFER.LME without paging and PAE: memory");
    check_eq(vmread(VMCS_GUEST_EFER), BIT(8), "EFER.LME without paging and PAE: EFER");
    check_eq(read_cr0() & (CR0_PE | CR0_PG), CR0_PE | CR0_PG,
             "its exit: the host's CR0 has PE and PG (27.5.1)");
    check_eq(read_cr4() & CR4_PAE, CR4_PAE, "its exit: the host's CR4 has PAE");
    check_eq(rdmsr(MSR_EFER) & 0x500, 0x500, "its exit: the host's EFER has LME and LMA");
}

/* A read at @va under 32-bit or PAE paging, before and after MOV to CR3. */
static void flat32(u64 cr4, u64 cr3, u32 va)
{
    memcpy((void *)CODE, blob_flat32, blob_flat32_end - blob_flat32);
    vm_set_entry(&vm, g_nothing);
    not_64();
    flat_segments();
    vmwrite(VMCS_GUEST_CR0, CR0_PE | CR0_NE | CR0_PG);
    vmwrite(VMCS_GUEST_CR4, CR4_VMXE | cr4);
    vmwrite(VMCS_GUEST_CR3, cr3);
    vmwrite(VMCS_GUEST_RIP, CODE);
    vm.rsi = va;
}

static void paging_32(void)
{
    u32 *pd = (u32 *)(TABLES + 0x3000), *pt = (u32 *)(TABLES + 0x4000);
    u64 *page = page_alloc();

    page[0] = 0x32323232;
    memset(pd, 0, 0x2000);
    pd[0] = 0x87;                               /* 4 MiB at 0 */
    pd[0x3ff] = (u32)(u64)pt | 7;
    pt[0x123] = (u32)(u64)page | 7;
    flat32(BIT(4), (u64)pd, 0xffd23000);
    next("32-bit paging");
    check_eq((u32)vm.rax, 0x32323232, "32-bit paging: 4 KiB page");
    check_eq(pt[0x123] & 0x60, 0x20,
             "32-bit paging: the accessed flag of the guest's entry");
    next("32-bit paging after MOV to CR3");
    check_eq((u32)vm.rax, 0x32323232, "32-bit paging: the same page");
}

static void paging_pae(void)
{
    u64 *pdpt = (u64 *)(TABLES + 0x5020), *pd = page_alloc(), *pd2 = page_alloc();
    u64 *a = (u64 *)pages_alloc(512, 0x200000), *b = (u64 *)pages_alloc(512, 0x200000);

    a[0] = 0xaaaaaaaa;
    b[0] = 0xbbbbbbbb;
    memset((void *)(TABLES + 0x5000), 0, PAGE_SIZE);
    pd[0] = pd2[0] = 0x87;
    pd[5] = (u64)a | 0x87;
    pd2[5] = (u64)b | 0x87;
    pdpt[0] = (u64)pd2 | 1;                     /* what memory says */
    flat32(CR4_PAE, (u64)pdpt, 0xa00000);
    vmwrite(VMCS_GUEST_PDPTE0, (u64)pd2 | 1);
    vmwrite(VMCS_GUEST_PDPTE0 + 2, 0);
    vmwrite(VMCS_GUEST_PDPTE0 + 4, 0);
    vmwrite(VMCS_GUEST_PDPTE0 + 6, 0);
    next("PAE paging");
    check_eq((u32)vm.rax, 0xbbbbbbbb, "PAE paging: 2 MiB page");
    check_eq(vmread(VMCS_GUEST_PDPTE0), (u64)pd2 | 1,
             "PAE paging: the exit saves PDPTE0");
    check_eq(pdpt[0], (u64)pd2 | 1, "PAE paging: PDPTEs have no accessed flag (4.4.1)");
    next("PAE paging after MOV to CR3");
    check_eq((u32)vm.rax, 0xbbbbbbbb, "PAE paging: the same page");
    check_eq(vm_run(&vm), VMX_EXIT_HLT, "PAE paging: HLT");

    flat32(CR4_PAE, (u64)pdpt, 0xa00000);
    vmwrite(VMCS_GUEST_PDPTE0, (u64)pd | 1);    /* other than memory */
    next("PAE with PDPTE fields");
    check_eq((u32)vm.rax, 0xaaaaaaaa,
             "VM entry with EPT loads the PDPTEs from the VMCS (26.3.2.4)");
    next("PAE with PDPTE fields, after MOV to CR3");
    check_eq((u32)vm.rax, 0xbbbbbbbb, "MOV to CR3 loads the PDPTEs from memory (4.4.1)");
    check_eq(vmread(VMCS_GUEST_PDPTE0), (u64)pd2 | 1,
             "the exit saves the PDPTEs (27.3.1)");

    pdpt[1] = (u64)pd2 | 3;                     /* a reserved bit */
    flat32(CR4_PAE, (u64)pdpt, 0xa00000);
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << GP);
    next("PAE with a bad PDPTE in memory");
    check_eq(vm_run(&vm), VMX_EXIT_EXCEPTION_NMI,
             "MOV to CR3 with reserved bits in a PDPTE is #GP (4.4.1)");
    check_eq(vmread(VMCS_EXIT_INTR_INFO) & 0xff, GP, "its vector");
    vmwrite(VMCS_EXCEPTION_BITMAP, 0);
    pdpt[1] = 0;
}

static void u_cpuid(void) { cpuid(0, 0); }
static void g_user(void) { run_user(u_cpuid); }

static void user_mode(void)
{
    vm_set_bits(VMCS_ENTRY_CONTROLS, ENTRY_IA32E);
    check_eq(vm_start(&vm, g_user), VMX_EXIT_CPUID, "CPUID at CPL 3");
    check_eq(vmread(VMCS_GUEST_SS_AR) >> 5 & 3, 3, "CPL 3: SS.DPL");
    check_eq(vmread(VMCS_GUEST_CS_AR), 0xa0fb, "CPL 3: CS rights");
    vm_skip();
    vm_run(&vm);
    check(vm_ended(&vm), "VMRESUME to CPL 3 goes on");
}

void test_main(void)
{
    if (!vmx_supported()) {
        panic("no VMX");
    }
    vmx_on();
    vm_create(&vm);
    if (!(vmread(VMCS_SECONDARY_CONTROLS) & CPU2_UNRESTRICTED)) {
        panic("no unrestricted guest");
    }
    boot();
    long_mode_enabled_only();
    paging_32();
    paging_pae();
    user_mode();
}
