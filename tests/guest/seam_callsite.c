/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SEAMCALLs with every kind of RSP.  The instruction does not use the stack, so
 * none may fault or fail, although the emulator looks for L1's callers there.
 */
#include "seam.h"

const char test_name[] = "seam_callsite";

#define HOLE        0x7f0000000000ull   /* nothing is mapped here */
#define WINDOW      0x7f8000000000ull   /* pages are mapped here */
#define PTE_RW      3

typedef struct Row {
    u64 rsp;
    const char *what;
} Row;

/* TDH.PHYMEM.PAMT.ADD or REMOVE with @rsp; status, and RDX and R8 in @pair. */
static u64 call_with_rsp(u64 rsp, u64 leaf, u64 rcx, u64 pair[2])
{
    register u64 r8 asm("r8") = pair[1];
    register u64 stack asm("r15");

    asm volatile("mov %%rsp, %[stack]\n\t"
                 "mov %[rsp], %%rsp\n\t"
                 ".byte 0x66, 0x0f, 0x01, 0xcf\n\t"     /* SEAMCALL */
                 "xchg %[stack], %%rsp"
                 : "+a"(leaf), "+c"(rcx), "+d"(pair[0]), "+r"(r8),
                   [stack] "=&r"(stack)
                 : [rsp] "b"(rsp)
                 : "r9", "r10", "r11", "memory", "cc");
    pair[1] = r8;
    if (stack != rsp) {
        check_eq(stack, rsp, "RSP stays");
    }
    return leaf;
}

static void add_and_remove(const Row *t, u64 region, u64 page)
{
    u64 pair[2] = { page, page + PAGE_SIZE }, cr2 = 0x1234;

    asm volatile("mov %0, %%cr2" : : "r"(cr2));
    check_eq(call_with_rsp(t->rsp, TDH_PHYMEM_PAMT_ADD, region | TDX_2M, pair),
             TDX_SUCCESS, "PAMT.ADD, RSP is %s", t->what);
    pair[0] = pair[1] = 0;
    check_eq(call_with_rsp(t->rsp, TDH_PHYMEM_PAMT_REMOVE, region | TDX_2M, pair),
             TDX_SUCCESS, "PAMT.REMOVE, RSP is %s", t->what);
    check(pair[0] == page && pair[1] == page + PAGE_SIZE,
          "PAMT.REMOVE, RSP is %s: the pair", t->what);
    asm volatile("mov %%cr2, %0" : "=r"(cr2));
    check_eq(cr2, 0x1234, "RSP is %s: CR2 stays", t->what);
}

void test_main(void)
{
    u64 region, page;
    Row t[] = {
        { 0, "0" }, { 1, "unaligned" }, { -8ull, "the last word of all" },
        { -1ull, "the last byte of all" }, { BIT(47), "not canonical" },
        { 0xffff7ffffffffff8, "the last word that is not canonical" },
        { BIT(47) - 8, "the last word of the lower half" },
        { HOLE, "not mapped" }, { 0xfee00000, "the local APIC" },
        { 0xfed00000, "a device" }, { 0xfffffff8, "the end of the ROM" },
        { WINDOW + PAGE_SIZE - 8, "followed by nothing" },
        { WINDOW + PAGE_SIZE - 4, "across the end of what is mapped" },
        { WINDOW + 0x11000 - 16, "followed by a device" },
        { WINDOW + 0x20000, "mapped to no memory" },
    };

    seam_bring_up_dynamic();
    region = (u64)pages_alloc(512, REGION_SIZE);
    page = (u64)pages_alloc(2, PAGE_SIZE);
    map_page(WINDOW, (u64)page_alloc(), PAGE_SIZE, PTE_RW);
    map_page(WINDOW + 0x10000, (u64)page_alloc(), PAGE_SIZE, PTE_RW);
    map_page(WINDOW + 0x11000, 0xfed00000, PAGE_SIZE, PTE_RW);
    map_page(WINDOW + 0x20000, BIT(40), PAGE_SIZE, PTE_RW);
    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        add_and_remove(&t[i], region, page);
    }
}
