/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest with a sane state under SVM. */
#include "svm.h"

#define MSR_VM_CR       0xc0010114u
#define MSR_VM_HSAVE_PA 0xc0010117u
#define VM_CR_SVMDIS    BIT(4)
#define EFER_SVME       BIT(12)
#define NPT_LARGE       0x87ull         /* present, writable, user, 2 MiB */

bool svm_supported(void)
{
    return cpuid(0x80000000, 0).a >= 0x8000000a && (cpuid(0x80000001, 0).c & BIT(2)) &&
           (cpuid(0x8000000a, 0).d & BIT(0)) && !(rdmsr(MSR_VM_CR) & VM_CR_SVMDIS);
}

void svm_on(void)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, (u64)page_alloc());
}

static u64 nested_identity(void)
{
    u64 *root = page_alloc(), *pdpt = page_alloc();

    root[0] = (u64)pdpt | 7;
    for (u64 i = 0; i < 4; i++) {
        u64 *pd = page_alloc();

        pdpt[i] = (u64)pd | 7;
        for (u64 j = 0; j < 512; j++) {
            pd[j] = (i << 30 | j << 21) | NPT_LARGE;
        }
    }
    return (u64)root;
}

u64 *svm_nested_entry(Vmcb *vmcb, u64 gpa)
{
    u64 *pdpt = (u64 *)(*(u64 *)vmcb->nested_cr3 & ~0xfffull);
    u64 *pde = (u64 *)(pdpt[gpa >> 30 & 511] & ~0xfffull) + (gpa >> 21 & 511);

    if (*pde & 0x80) {
        u64 *table = page_alloc();

        for (u64 i = 0; i < 512; i++) {
            table[i] = (*pde & ~0x80ull) + i * PAGE_SIZE;
        }
        *pde = (u64)table | 7;
    }
    return (u64 *)(*pde & ~0xfffull) + (gpa >> 12 & 511);
}

Vmcb *svm_create(void)
{
    const VmcbSeg code = { SEL_CODE64, 0xa9b, 0xffffffff, 0 };
    const VmcbSeg data = { SEL_DATA, 0xc93, 0xffffffff, 0 };
    Vmcb *v = page_alloc();

    v->misc1 = SVM1_INTR;
    v->misc2 = SVM2_VMRUN;
    v->iopm = (u64)pages_alloc(3, PAGE_SIZE);
    v->msrpm = (u64)pages_alloc(2, PAGE_SIZE);
    v->asid = 1;
    v->vintr = VINTR_MASKING;
    v->nested = 1;
    v->nested_cr3 = nested_identity();
    v->cs = code;
    v->es = v->ss = v->ds = data;
    v->gdtr = (VmcbSeg) { .limit = GDT_SIZE - 1, .base = (u64)this_cpu()->gdt };
    v->idtr = (VmcbSeg) { .limit = 0xfff, .base = (u64)idt };
    v->efer = rdmsr(MSR_EFER);
    v->cr0 = read_cr0();
    v->cr3 = read_cr3();
    v->cr4 = read_cr4();
    v->dr6 = 0xffff0ff0;
    v->dr7 = 0x400;
    v->rflags = 2;
    v->rsp = (u64)pages_alloc(8, PAGE_SIZE) + 8 * PAGE_SIZE;
    v->pat = rdmsr(MSR_PAT);
    return v;
}
