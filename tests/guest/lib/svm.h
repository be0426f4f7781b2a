/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SVM, for benchmarks beside a peer: a guest of this program in a VMCB
 * (AMD64 Architecture Programmer's Manual vol. 2, chapter 15, appendix B).
 */
#ifndef GUEST_SVM_H
#define GUEST_SVM_H

#include "cpu.h"

typedef struct VmcbSeg {
    u16 selector, attrib;
    u32 limit;
    u64 base;
} VmcbSeg;

typedef struct Vmcb {
    u16 cr_read, cr_write, dr_read, dr_write;
    u32 exceptions;
    u32 misc1, misc2;                   /* SVM1_*, SVM2_* */
    u8 unused1[0x40 - 0x14];
    u64 iopm, msrpm, tsc_offset;
    u32 asid;
    u8 tlb_control, unused2[3];
    u64 vintr;                          /* VINTR_* */
    u64 interrupt_shadow;
    u64 exit_code, exit_info1, exit_info2, exit_int_info;
    u64 nested;                         /* bit 0: nested paging */
    u8 unused3[0xa8 - 0x98];
    u64 event_inject, nested_cr3;
    u8 unused4[0x400 - 0xb8];
    VmcbSeg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    u8 unused5[0x4d0 - 0x4a0];
    u64 efer;
    u8 unused6[0x548 - 0x4d8];
    u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
    u8 unused7[0x5d8 - 0x580];
    u64 rsp;
    u8 unused8[0x5f8 - 0x5e0];
    u64 rax;
    u8 unused9[0x668 - 0x600];
    u64 pat;
    u8 unused10[0x1000 - 0x670];
} Vmcb;
_Static_assert(offsetof(Vmcb, asid) == 0x58, "APM vol. 2, table B-1");
_Static_assert(offsetof(Vmcb, exit_code) == 0x70, "APM vol. 2, table B-1");
_Static_assert(offsetof(Vmcb, nested_cr3) == 0xb0, "APM vol. 2, table B-1");
_Static_assert(offsetof(Vmcb, rip) == 0x578, "APM vol. 2, table B-2");
_Static_assert(offsetof(Vmcb, pat) == 0x668, "APM vol. 2, table B-2");
_Static_assert(sizeof(Vmcb) == PAGE_SIZE, "a page");

#define SVM1_INTR       BIT(0)
#define SVM1_VINTR      BIT(4)
#define SVM1_RDTSC      BIT(14)
#define SVM1_CPUID      BIT(18)
#define SVM1_PAUSE      BIT(23)
#define SVM1_HLT        BIT(24)
#define SVM1_INVLPG     BIT(25)
#define SVM1_IO         BIT(27)
#define SVM1_MSR        BIT(28)
#define SVM2_VMRUN      BIT(0)
#define SVM2_VMMCALL    BIT(1)
#define VINTR_IRQ       BIT(8)
#define VINTR_IGNORE_TPR BIT(20)
#define VINTR_MASKING   BIT(24)

#define SVM_EXIT_CR3_WRITE      0x13
#define SVM_EXIT_EXCEPTION      0x40    /* + vector */
#define SVM_EXIT_VINTR          0x64
#define SVM_EXIT_RDTSC          0x6e
#define SVM_EXIT_CPUID          0x72
#define SVM_EXIT_PAUSE          0x77
#define SVM_EXIT_HLT            0x78
#define SVM_EXIT_INVLPG         0x79
#define SVM_EXIT_IO             0x7b
#define SVM_EXIT_MSR            0x7c
#define SVM_EXIT_VMMCALL        0x81
#define SVM_EXIT_NPF            0x400

bool svm_supported(void);
void svm_on(void);
/*
 * 64-bit code of this program at CPL 0, on a stack of its own, with nested
 * paging that maps 4 GiB one to one and no permission bitmap bit set.
 */
Vmcb *svm_create(void);
/* The nested entry of @gpa for 4 KiB, made by splitting what is there. */
u64 *svm_nested_entry(Vmcb *vmcb, u64 gpa);

/* VMRUN; of the general registers, the guest's RAX only is in the VMCB. */
static inline void svm_run(Vmcb *vmcb)
{
    asm volatile("vmrun %%rax" : "+a"(vmcb)
                 : : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory",
                     "cc");
}

#endif
