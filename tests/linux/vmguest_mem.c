/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paging of a nested VM: its own page faults, access rights, INVLPG, accessed and dirty
 * bits.
 */
#include "vmguest.h"

#define TEST_VA      0x40000000ull /* mapped by test_pt, 4K pages */
#define DEMAND_VA    (TEST_VA + 0x100000)
#define DEMAND_PAGES 128
#define PHYS         0x400000ull /* guest-physical pages to map there */
#define PTE_P        1ull
#define PTE_W        2ull
#define PTE_A        0x20ull
#define PTE_D        0x40ull
#define PTE_NX       (1ull << 63)

extern volatile u64 test_pt[512];
static u32 demand_faults;

static volatile u64 *pte_of(u64 va)
{
    return &test_pt[(va - TEST_VA) >> 12];
}

/* Maps a page of the demand-paged area on its first use. */
bool page_fault(struct trap_frame *f)
{
    u64 va = read_cr2();

    if (va < DEMAND_VA || va >= DEMAND_VA + DEMAND_PAGES * 0x1000ull || (f->error & 1)) {
        return false;
    }
    demand_faults++;
    *pte_of(va) = (PHYS + (va & 0xfff000)) | PTE_P | PTE_W;
    return true;
}

static void test_faults(void)
{
    struct percpu *cpu = this_cpu();
    volatile u64 *pte = pte_of(TEST_VA);

    check_eq(TRAP_OF("movq (%0), %%rax", "r"(TEST_VA + 0x123)), X86_VEC_PF,
             "#PF: page not present");
    check_eq(cpu->trap_cr2, TEST_VA + 0x123, "#PF: CR2");
    check_eq(cpu->trap_error, 0, "#PF: error code of a read");
    check_eq(TRAP_OF("movq $1, (%0)", "r"(TEST_VA)), X86_VEC_PF,
             "#PF: write, not present");
    check_eq(cpu->trap_error, 2, "#PF: error code of a write");
    *pte = PHYS | PTE_P;
    check_eq(TRAP_OF("movq (%0), %%rax", "r"(TEST_VA)), NO_TRAP, "read-only page: read");
    check_eq(TRAP_OF("movq $1, (%0)", "r"(TEST_VA)), X86_VEC_PF, "read-only page: write");
    check_eq(cpu->trap_error, 3, "read-only page: error code");
    *(volatile u32 *)PHYS = 0xe3ff41; /* jmp *%r11, which TRY has set */
    *pte = PHYS | PTE_P | PTE_NX;
    invlpg((void *)TEST_VA);
    check_eq(TRAP_OF("jmp *%0", "r"(TEST_VA)), X86_VEC_PF, "no-execute page: fetch");
    check_eq(cpu->trap_error, 0x11, "no-execute page: error code");
    *pte = PHYS | PTE_P;
    invlpg((void *)TEST_VA);
    check_eq(TRAP_OF("jmp *%0", "r"(TEST_VA)), NO_TRAP, "executable page: fetch");
}

static void test_invlpg(void)
{
    volatile u64 *pte = pte_of(TEST_VA), *p = (volatile u64 *)TEST_VA;
    bool ok = true;

    for (u64 i = 0; i < 16; i++) {
        *(volatile u64 *)(PHYS + i * 0x1000) = 0x1000 + i;
    }
    for (u64 i = 0; i < 16; i++) {
        *pte = (PHYS + i * 0x1000) | PTE_P | PTE_W;
        invlpg((void *)TEST_VA);
        ok &= *p == 0x1000 + i;
    }
    check(ok, "INVLPG: shows each new page");
    check_eq(*pte & (PTE_A | PTE_D), PTE_A, "PTE: accessed, not dirty, after a read");
    *p = 1;
    check_eq(*pte & (PTE_A | PTE_D), PTE_A | PTE_D, "PTE: dirty after a write");
    *pte = PHYS | PTE_P | PTE_W;
    write_cr3(read_cr3());
    check_eq(*p, 0x1000, "CR3: writing it flushes");
}

static void test_demand(void)
{
    bool ok = true;

    for (u64 i = 0; i < DEMAND_PAGES; i++) {
        *(volatile u64 *)(DEMAND_VA + i * 0x1000 + 8) = i;
    }
    for (u64 i = 0; i < DEMAND_PAGES; i++) {
        ok &= *(volatile u64 *)(DEMAND_VA + i * 0x1000 + 8) == i;
    }
    check(ok, "demand paging: pages keep what is written");
    check_eq(demand_faults, DEMAND_PAGES, "demand paging: one #PF a page");
}

void test_memory(void)
{
    test_faults();
    test_invlpg();
    test_demand();
}
