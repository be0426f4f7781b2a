/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUID, MSRs, control and debug registers, exceptions, FPU state in a nested VM. */
#include "vmguest.h"

#define X86_VEC_DB 1
#define X86_VEC_NM 7
#define DR6_FIXED  0xffff0ff0

static void test_cpuid(void)
{
    u32 r[4], brand[12];

    for (u32 i = 0; i < 3; i++) {
        cpuid(0x80000002 + i, 0, &brand[4 * i]);
    }
    check(!memcmp(brand, VM_BRAND, 48), "CPUID: brand string set by user space");
    cpuid(0x40000000, 0, r);
    check(r[1] == 0x4b4d564b && r[2] == 0x564b4d56 && r[3] == 0x4d,
          "CPUID: KVM's signature");
    cpuid(1, 0, r);
    check(r[2] & 1u << 31, "CPUID: hypervisor bit");
    check_eq(r[1] >> 24, 0, "CPUID: APIC id of the first CPU");
}

static void test_msr(void)
{
    u64 v, efer = rdmsr(MSR_EFER), t0;

    wrmsr(MSR_LSTAR, 0xffff800012345678);
    check_eq(rdmsr(MSR_LSTAR), 0xffff800012345678, "MSR LSTAR: keeps its value");
    wrmsr(MSR_KERNEL_GS_BASE, 0x7654321);
    check_eq(rdmsr(MSR_KERNEL_GS_BASE), 0x7654321, "MSR KERNEL_GS_BASE: keeps its value");
    wrmsr(0x176, 0x123456789a);
    check_eq(rdmsr(0x176), 0x123456789a, "MSR SYSENTER_EIP: keeps its value");
    wrmsr(MSR_EFER, efer | 1);
    check_eq(rdmsr(MSR_EFER), efer | 1, "MSR EFER: SCE can be set");
    v = rdmsr(0x277);
    wrmsr(0x277, 0x0606060606060606);
    check_eq(rdmsr(0x277), 0x0606060606060606, "MSR PAT: keeps its value");
    wrmsr(0x277, v);
    check_eq(wrmsr_try(MSR_LSTAR, 1ull << 63), X86_VEC_GP,
             "MSR LSTAR: not canonical is #GP");
    check_eq(wrmsr_try(MSR_EFER, efer | 1 << 1), X86_VEC_GP,
             "MSR EFER: reserved bit is #GP");
    check_eq(rdmsr_try(0xdeadbeef, &v), X86_VEC_GP, "MSR 0xdeadbeef: #GP");
    check_eq(this_cpu()->trap_error, 0, "MSR 0xdeadbeef: error code 0");
    t0 = rdtsc();
    check(rdmsr(0x10) >= t0 && rdtsc() > t0, "TSC: goes on, RDMSR and RDTSC agree");
}

static void test_control_registers(void)
{
    u64 cr0 = read_cr0(), cr4 = read_cr4();

    write_cr0(cr0 | 8);
    check_eq(read_cr0(), cr0 | 8, "CR0: TS can be set");
    check_eq(TRAP_OF("fninit"), X86_VEC_NM, "CR0: TS makes x87 instructions #NM");
    __asm__ volatile("clts");
    check_eq(read_cr0(), cr0, "CLTS");
    __asm__ volatile("smsw %%ax; orw $8, %%ax; lmsw %%ax" : : : "rax");
    check_eq(read_cr0(), cr0 | 8, "LMSW");
    write_cr0(cr0);
    check_eq(TRAP_OF("movq %%cr0, %%rax; btrq $0, %%rax; movq %%rax, %%cr0"), X86_VEC_GP,
             "CR0: clearing PE with paging is #GP");
    write_cr4(cr4 | 1 << 7);
    check_eq(read_cr4(), cr4 | 1 << 7, "CR4: PGE can be set");
    write_cr4(cr4);
    check_eq(read_cr4(), cr4, "CR4: and cleared");
    check_eq(TRAP_OF("movq %%cr4, %%rax; btsq $63, %%rax; movq %%rax, %%cr4"), X86_VEC_GP,
             "CR4: reserved bit is #GP");
    check_eq(TRAP_OF("movq %%cr4, %%rax; btrq $5, %%rax; movq %%rax, %%cr4"), X86_VEC_GP,
             "CR4: clearing PAE in long mode is #GP");
    write_cr3(read_cr3());
    write_cr8(5);
    check_eq(read_cr8(), 5, "CR8: keeps its value");
    write_cr8(0);
}

static void test_debug_registers(void)
{
    static volatile u64 watched;
    u64 dr6, dr7, v;

    __asm__ volatile("mov %0, %%dr1" : : "r"(0x123456789abcull));
    __asm__ volatile("mov %%dr1, %0" : "=r"(v));
    check_eq(v, 0x123456789abc, "DR1: keeps its value");

    /* DR0: break on 8-byte writes to watched (R/W = 1, LEN = 2). */
    __asm__ volatile("mov %0, %%dr6; mov %1, %%dr0; mov %2, %%dr7"
                     :
                     : "r"((u64)DR6_FIXED), "r"(&watched), "r"(0x90402ull));
    check_eq(TRAP_OF("movq $1, (%0)", "r"(&watched)), X86_VEC_DB, "#DB: data breakpoint");
    __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
    check_eq(dr6 & 0xf, 1, "#DB: DR6 names the breakpoint");
    __asm__ volatile("mov %%dr7, %0" : "=r"(dr7));
    check_eq(dr7, 0x90402, "DR7: keeps its value");
    __asm__ volatile("mov %0, %%dr7; mov %1, %%dr6"
                     :
                     : "r"(0x400ull), "r"((u64)DR6_FIXED));

    check_eq(TRAP_OF("pushfq; orq $0x100, (%%rsp); popfq; nop"), X86_VEC_DB,
             "#DB: single step");
    __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
    check(dr6 & 1 << 14, "#DB: DR6.BS");
}

static void test_exceptions(void)
{
    u64 ret;

    check_eq(TRAP_OF("ud2"), X86_VEC_UD, "exception: #UD");
    check_eq(TRAP_OF("int3"), X86_VEC_BP, "exception: #BP");
    check_eq(TRAP_OF("xorl %%edx, %%edx; xorl %%ecx, %%ecx; divl %%ecx"), X86_VEC_DE,
             "exception: #DE");
    check_eq(TRAP_OF("movq $0x800000000000, %%rax; movq (%%rax), %%rax"), X86_VEC_GP,
             "exception: #GP of an address that is not canonical");
    check_eq(TRAP_OF("movw $0x7f8, %%ax; movw %%ax, %%es"), X86_VEC_GP,
             "exception: #GP of a selector");
    check_eq(this_cpu()->trap_error, 0x7f8, "exception: error code of that #GP");
    check_eq(TRAP_OF(".byte 0x0f, 0x01, 0xc4"), X86_VEC_UD,
             "VMXOFF outside of VMX is #UD");
    __asm__ volatile("vmcall" : "=a"(ret) : "0"(999ull) : "memory");
    check_eq(ret, -1000ull, "VMCALL: KVM's ENOSYS");
    __asm__ volatile("wbinvd" : : : "memory");
    check(true, "WBINVD");
}

/* XMM registers survive exits. */
static void test_fpu(void)
{
    u64 a = 0x1122334455667788, b = 0;

    write_cr0((read_cr0() & ~0xcull) | 2);
    write_cr4(read_cr4() | 0x600);
    __asm__ volatile("movq %0, %%xmm3; movq %0, %%xmm15" : : "r"(a));
    for (int i = 0; i < 100; i++) {
        out32(VM_PORT_COUNT, 0);
    }
    __asm__ volatile("movq %%xmm3, %0" : "=r"(b));
    check_eq(b, a, "FPU: XMM3 survives exits");
    __asm__ volatile("movq %%xmm15, %0" : "=r"(b));
    check_eq(b, a, "FPU: XMM15 survives exits");
}

void test_cpu(void)
{
    test_cpuid();
    test_msr();
    test_control_registers();
    test_debug_registers();
    test_exceptions();
    test_fpu();
}
