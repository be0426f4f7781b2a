/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What VM exits cost: round trips of a hypervisor that does as little as one can,
 * with VMX or, where the processor has that, SVM.  The guest repeats one instruction
 * and loads the registers that it needs itself; the host reads why and where it
 * stopped and steps over it.  SVM goes without VMLOAD and VMSAVE, which spares it
 * what VMX always does for FS, GS, TR and SYSENTER.
 *
 * A line is "# bench vmx|svm NAME calls=N ns=N".  The time is the median of short
 * slices, times their number: what else the host does in between does not count.
 */
#include "bench.h"
#include "svm.h"
#include "vmx.h"

const char test_name[] = "bench_vmexit";

#ifndef ROUNDS
#define ROUNDS  3
#endif
#ifndef ROWS
#define ROWS    ARRAY_SIZE(rows)
#endif
#define SLICES  16
#define PAGES   256             /* that a guest touches to miss in the TLB */
#define NO_PAGE 0x80000000ull   /* a GPA that the second stage does not map */

/* Guests: each goes on for ever, and sets all registers that its exits need. */
#define GUEST(name, text)                                               \
    extern char loop_##name[];                                         \
    asm(".pushsection .text\nloop_" #name ": " text "\n"               \
        "jmp loop_" #name "\n.popsection\n")

#define TOUCH(pages)                                                    \
    "movq touched(%rip), %rsi; movl $" #pages ", %ecx\n"                \
    "1: movb (%rsi), %al; addq $4096, %rsi; decl %ecx; jnz 1b\n"

GUEST(cpuid, "xorl %eax, %eax; cpuid");
GUEST(few, TOUCH(32) "xorl %eax, %eax; cpuid");
GUEST(hlt, "hlt");
GUEST(io, "outb %al, $0x80");
GUEST(rdmsr, "movl $0x277, %ecx; rdmsr");
GUEST(wrmsr, "movl $0x277, %ecx; wrmsr");
GUEST(rdtsc, "rdtsc");
GUEST(cr3, "movq %cr3, %rax; movq %rax, %cr3");
GUEST(vmcall, "vmcall");
GUEST(vmmcall, "vmmcall");
GUEST(pause, "pause");
GUEST(invlpg, "invlpg (%rsp)");
GUEST(ud2, "ud2");
GUEST(violation, "movl $0x80000000, %esi; movb (%rsi), %al");
GUEST(window, "nop");
GUEST(cold, TOUCH(256) "hlt");
GUEST(cr3_touch, "movl $16, %edx\n"
      "2: movq %cr3, %rax; movq %rax, %cr3\n" TOUCH(256) "decl %edx; jnz 2b; hlt");

u64 touched;                    /* PAGES of 4 KiB in both stages */

/* What is on in addition for one row: controls, or bits of the VMCB's words. */
enum { NOTHING, PRIMARY, MSRS, CR3_LOAD, EXCEPTIONS, VIOLATION, WINDOW, FLUSH };

typedef struct Row {
    const char *name;
    char *guest, *svm_guest;    /* the second one if that is different */
    u8 special;
    u8 length;                  /* to step over */
    u32 vmx_reason, vmx_control;
    u32 svm_reason, svm_control;
    u32 trips;                  /* of a slice */
    u32 calls;                  /* that one trip counts for */
} Row;

static const Row rows[] = {
    { "cpuid", loop_cpuid, 0, NOTHING, 2, VMX_EXIT_CPUID, 0,
      SVM_EXIT_CPUID, SVM1_CPUID, 500, 1 },
    { "cpuid-32pages", loop_few, 0, NOTHING, 2, VMX_EXIT_CPUID, 0,
      SVM_EXIT_CPUID, SVM1_CPUID, 200, 1 },
    { "hlt", loop_hlt, 0, NOTHING, 1, VMX_EXIT_HLT, 0,
      SVM_EXIT_HLT, SVM1_HLT, 300, 1 },
    { "io", loop_io, 0, NOTHING, 2, VMX_EXIT_IO, 0,
      SVM_EXIT_IO, SVM1_IO, 300, 1 },
    { "rdmsr", loop_rdmsr, 0, MSRS, 2, VMX_EXIT_RDMSR, 0,
      SVM_EXIT_MSR, SVM1_MSR, 300, 1 },
    { "wrmsr", loop_wrmsr, 0, MSRS, 2, VMX_EXIT_WRMSR, 0,
      SVM_EXIT_MSR, SVM1_MSR, 300, 1 },
    { "rdtsc", loop_rdtsc, 0, PRIMARY, 2, VMX_EXIT_RDTSC, CPU_RDTSC,
      SVM_EXIT_RDTSC, SVM1_RDTSC, 300, 1 },
    { "mov-cr3", loop_cr3, 0, CR3_LOAD, 3, VMX_EXIT_CR, CPU_CR3_LOAD,
      SVM_EXIT_CR3_WRITE, 0, 300, 1 },
    { "vmcall", loop_vmcall, loop_vmmcall, NOTHING, 3, VMX_EXIT_VMCALL, 0,
      SVM_EXIT_VMMCALL, 0, 300, 1 },
    { "pause", loop_pause, 0, PRIMARY, 2, VMX_EXIT_PAUSE, CPU_PAUSE,
      SVM_EXIT_PAUSE, SVM1_PAUSE, 300, 1 },
    { "invlpg", loop_invlpg, 0, PRIMARY, 4, VMX_EXIT_INVLPG, CPU_INVLPG,
      SVM_EXIT_INVLPG, SVM1_INVLPG, 300, 1 },
    { "exception", loop_ud2, 0, EXCEPTIONS, 2, VMX_EXIT_EXCEPTION_NMI, 0,
      SVM_EXIT_EXCEPTION + UD, 0, 300, 1 },
    { "violation", loop_violation, 0, VIOLATION, 2, VMX_EXIT_EPT_VIOLATION, 0,
      SVM_EXIT_NPF, 0, 300, 1 },
    { "window", loop_window, 0, WINDOW, 0, VMX_EXIT_INTR_WINDOW, CPU_INTR_WINDOW,
      SVM_EXIT_VINTR, SVM1_VINTR, 300, 1 },
    { "tlb-cold", loop_cold, 0, FLUSH, 1, VMX_EXIT_HLT, 0,
      SVM_EXIT_HLT, SVM1_HLT, 4, PAGES },
    { "tlb-cr3", loop_cr3_touch, 0, NOTHING, 1, VMX_EXIT_HLT, 0,
      SVM_EXIT_HLT, SVM1_HLT, 1, PAGES * 16 },
};

static bool use_svm;
static Vmcb *vmcb;
static Vm vm;
static u64 launch_rip;          /* HOST_RIP for vm_run() */
static u32 bad;

/* --- VMX ---------------------------------------------------------------- */

extern char vmx_stopped[];
u64 vmx_go(void);               /* 0, or 1: VMRESUME has failed */
u64 host_rsp;

/* HOST_RSP does not matter: the host's stack is where vmx_go() left it. */
asm(".pushsection .text\n"
    "vmx_go: pushq %rbx; pushq %rbp\n"
    "movq %rsp, host_rsp(%rip)\n"
    "vmresume\n"
    "movl $1, %eax; jmp 1f\n"
    "vmx_stopped: movq host_rsp(%rip), %rsp; xorl %eax, %eax\n"
    "1: popq %rbp; popq %rbx; ret\n"
    ".popsection\n");

static inline u64 field_read(u64 field)
{
    u64 v;

    asm volatile("vmread %1, %0" : "=r"(v) : "r"(field) : "cc");
    return v;
}

static inline void field_write(u64 field, u64 v)
{
    asm volatile("vmwrite %1, %0" : : "r"(field), "r"(v) : "cc");
}

static void vmx_loop(const Row *row)
{
    bool fault = row->special == EXCEPTIONS || row->special == VIOLATION;
    u64 eptp = EPTP(vm.ept);

    for (u32 i = 0; i < row->trips; i++) {
        if (row->special == FLUSH) {
            invept(1, eptp, 0);
        }
        bad += vmx_go() || field_read(VMCS_EXIT_REASON) != row->vmx_reason;
        if (row->length) {
            /* SDM 28.2.5: faults and EPT violations leave the length undefined */
            u64 length = fault ? row->length : field_read(VMCS_EXIT_INSN_LEN);

            field_write(VMCS_GUEST_RIP, field_read(VMCS_GUEST_RIP) + length);
        }
    }
}

static void vmx_prepare(const Row *row)
{
    u32 primary = vmx_adjust(VMCS_PRIMARY_CONTROLS,
                             CPU_HLT | CPU_UNCOND_IO | CPU_MSR_BITMAPS | CPU_SECONDARY);

    vm_set_entry(&vm, (void (*)(void))row->guest);
    vmwrite(VMCS_PRIMARY_CONTROLS, primary | row->vmx_control);
    vmwrite(VMCS_EXCEPTION_BITMAP, row->special == EXCEPTIONS ? 1 << UD : 0);
    memset(vm.msr_bitmap, row->special == MSRS ? 0xff : 0, PAGE_SIZE);
    vmwrite(VMCS_GUEST_RFLAGS, row->special == WINDOW ? 2 | FLAGS_IF : 2);
    vmwrite(VMCS_HOST_RIP, launch_rip);
    vm_run(&vm);
    vmwrite(VMCS_HOST_RIP, (u64)vmx_stopped);
    vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) + row->length);
}

static void vmx_set_up(void)
{
    vmx_on();
    vm_create(&vm);
    vm_secondary(CPU2_VPID);
    vmwrite(VMCS_VPID, 1);
    launch_rip = vmread(VMCS_HOST_RIP);
    *ept_entry(vm.ept, NO_PAGE, 0) = 0;
    ept_entry(vm.ept, touched, 0);
}

/* --- SVM ---------------------------------------------------------------- */

static void svm_loop(const Row *row)
{
    for (u32 i = 0; i < row->trips; i++) {
        vmcb->tlb_control = row->special == FLUSH;
        svm_run(vmcb);
        bad += vmcb->exit_code != row->svm_reason;
        vmcb->rip += row->length;
    }
}

static void svm_prepare(const Row *row)
{
    bool window = row->special == WINDOW;

    vmcb->rip = (u64)(row->svm_guest ?: row->guest);
    vmcb->misc1 = SVM1_INTR | row->svm_control;
    vmcb->misc2 = SVM2_VMRUN | SVM2_VMMCALL;
    vmcb->cr_write = row->special == CR3_LOAD ? 1 << 3 : 0;
    vmcb->exceptions = row->special == EXCEPTIONS ? 1 << UD : 0;
    memset((void *)vmcb->msrpm, row->special == MSRS ? 0xff : 0, 2 * PAGE_SIZE);
    memset((void *)vmcb->iopm, 0xff, 3 * PAGE_SIZE);
    vmcb->rflags = window ? 2 | FLAGS_IF : 2;
    vmcb->vintr = VINTR_MASKING | (window ? VINTR_IRQ | VINTR_IGNORE_TPR : 0);
}

static void svm_set_up(void)
{
    svm_on();
    vmcb = svm_create();
    *svm_nested_entry(vmcb, NO_PAGE) = 0;
    svm_nested_entry(vmcb, touched);
}

/* --- both --------------------------------------------------------------- */

static void measure(const Row *row)
{
    u64 ticks[SLICES];
    void (*loop)(const Row *) = use_svm ? svm_loop : vmx_loop;

    (use_svm ? svm_prepare : vmx_prepare)(row);
    loop(row);                  /* warm; not counted */
    for (u32 i = 0; i < SLICES; i++) {
        u64 start = hpet();

        loop(row);
        ticks[i] = hpet() - start;
    }
    print("# bench %s %s calls=%u ns=%llu\n", use_svm ? "svm" : "vmx", row->name,
          row->trips * row->calls * SLICES,
          (long long)hpet_ns(median(ticks, SLICES) * SLICES));
    check_eq(bad, 0, "%s: each exit is for the reason meant", row->name);
    bad = 0;
}

void test_main(void)
{
    use_svm = svm_supported();
    if (!use_svm && !vmx_supported()) {
        check(false, "the processor has VMX or SVM");
        return;
    }
    hpet_start();
    touched = (u64)pages_alloc(512, 512 * PAGE_SIZE);
    map_page(touched, touched, PAGE_SIZE, 0x67);
    (use_svm ? svm_set_up : vmx_set_up)();
    for (u32 r = 0; r < ROUNDS; r++) {
        for (u32 i = 0; i < ROWS; i++) {
            measure(&rows[i]);
        }
    }
}
