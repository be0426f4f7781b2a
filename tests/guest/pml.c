/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page-modification log: what is logged, the index, the exit when the log is
 * full (SDM vol. 3, 27.2.1.1, 29.3.6).
 */
#include "vmx.h"

const char test_name[] = "pml";

#define PAGES           4
#define EPTP_AD         BIT(6)
#define ENTRIES         512

static Vm vm;
static u8 *pages;               /* the guest works here, alone in its 2 MiB */
static u64 *log;
static u32 first, last;         /* which pages it writes */
static volatile u64 seen;

static void g_write(void)
{
    for (u32 i = first; i <= last; i++) {
        *(volatile u64 *)(pages + i * PAGE_SIZE + 0x118) = i + 1;
    }
}

static void g_read(void)
{
    seen = *(volatile u64 *)(pages + 0x118);
}

/* The page tables of @pages, a linear address of its own. */
static void g_write_mapped(void)
{
    *(volatile u8 *)(BIT(33) + 5) = 1;
}

static u64 *entry_of(u32 page)
{
    return ept_entry(vm.ept, (u64)pages + page * PAGE_SIZE, 0);
}

static void clear_dirty(void)
{
    for (u32 i = 0; i < PAGES; i++) {
        *entry_of(i) &= ~EPT_D;
    }
    memset(log, 0xee, PAGE_SIZE);
    invept(2, 0, 0);
}

static bool logged(u64 gpa, u32 from)
{
    for (u32 i = from; i < ENTRIES; i++) {
        if (log[i] == gpa) {
            return true;
        }
    }
    return false;
}

static void index_is(u32 want, const char *what)
{
    check_eq(vmread(VMCS_GUEST_PML_INDEX), want, "%s: PML index", what);
}

/* Write the pages from @f to @l with the log at @index. */
static u32 write_pages(u32 f, u32 l, u32 index)
{
    clear_dirty();
    first = f;
    last = l;
    vmwrite(VMCS_GUEST_PML_INDEX, index);
    return vm_start(&vm, g_write);
}

/* The guest's other pages (stack, variables) get dirty before we look. */
static void warm_up(void)
{
    write_pages(0, PAGES - 1, ENTRIES - 1);
    check(vm_ended(&vm), "the guest runs (reason %u)", vm_reason() & 0xffff);
}

static void entries(void)
{
    write_pages(0, 2, 100);
    check(vm_ended(&vm), "three pages: no exit (reason %u)", vm_reason() & 0xffff);
    index_is(97, "three pages");
    for (u32 i = 0; i < 3; i++) {
        check_eq(log[100 - i], (u64)pages + i * PAGE_SIZE,
                 "page %u: its 4 KiB-aligned address is logged (29.3.6)", i);
        check(*entry_of(i) & EPT_D, "page %u: the dirty flag is set", i);
    }
    check_eq(log[97], 0xeeeeeeeeeeeeeeee, "the entry at the index is not written");
    vmwrite(VMCS_GUEST_PML_INDEX, 100);
    vm_start(&vm, g_write);
    index_is(100, "pages that are dirty already");
    clear_dirty();
    vm_start(&vm, g_read);
    index_is(100, "a read");
    write_pages(3, 3, 0);
    check(vm_ended(&vm), "index 0 has room for one entry");
    check_eq(log[0], (u64)pages + 3 * PAGE_SIZE, "it is the first of the page");
    index_is(0xffff, "behind it");
}

static void full(void)
{
    write_pages(1, 3, 0);
    check_eq(vm_reason(), VMX_EXIT_PML_FULL,
             "the second page finds the log full: exit 62");
    check_eq(vm_qual(), 0, "exit 62: qualification");
    check_eq(vmread(VMCS_IDT_VECTORING_INFO) & INTR_VALID, 0,
             "exit 62: no IDT-vectoring information");
    index_is(0xffff, "exit 62");
    check_eq(log[0], (u64)pages + PAGE_SIZE, "the first page is logged");
    check(!(*entry_of(2) & EPT_D), "exit 62: the dirty flag is not set (29.3.6)");
    check_eq(*(u64 *)(pages + 2 * PAGE_SIZE + 0x118), 3, "(an older write)");
    vmwrite(VMCS_GUEST_PML_INDEX, ENTRIES - 1);
    vm_run(&vm);
    check(vm_ended(&vm), "with room the instruction runs again");
    check_eq(log[ENTRIES - 1], (u64)pages + 2 * PAGE_SIZE, "and is logged");
    write_pages(0, 0, ENTRIES);
    check_eq(vm_reason(), VMX_EXIT_PML_FULL, "index 512 is out of range: exit 62");
    index_is(ENTRIES, "out of range");
}

/* With accessed and dirty flags, a walk of the guest's tables is a write. */
static void page_walk(void)
{
    u64 pml4 = read_cr3() & ~0xfffull, *leaf;

    map_page(BIT(33), (u64)pages, PAGE_SIZE, 0x67);
    leaf = (u64 *)pml4;
    leaf = (u64 *)(leaf[0] & ~0xfffull);
    leaf = (u64 *)(leaf[8] & ~0xfffull);
    leaf = (u64 *)(leaf[0] & ~0xfffull);
    clear_dirty();
    *ept_entry(vm.ept, (u64)leaf, 0) &= ~EPT_D;
    invept(2, 0, 0);
    vmwrite(VMCS_GUEST_PML_INDEX, ENTRIES - 1);
    vm_start(&vm, g_write_mapped);
    check(vm_ended(&vm), "write through a new mapping: no exit");
    check(logged((u64)leaf, 0), "the guest's page table is logged (29.3.3.2)");
    check(logged((u64)pages, 0), "the page is logged");
}

/* A log that is a device, nothing, or the EPT itself: the guest's own affair. */
static void hostile(void)
{
    u64 place[] = { 0xfee00000, BIT(40), (u64)entry_of(0) & ~0xfffull };
    u64 saved[PAGES], *table = (u64 *)place[2];

    for (u32 i = 0; i < PAGES; i++) {
        saved[i] = *entry_of(i);
    }
    for (u32 i = 0; i < ARRAY_SIZE(place); i++) {
        vmwrite(VMCS_PML_ADDR, place[i]);
        write_pages(0, 2, 300);
        check(vm_ended(&vm), "log at %llx: the guest runs on (reason %u)",
              (long long)place[i], vm_reason() & 0xffff);
        index_is(297, "log at an odd place");
    }
    check_eq(table[300], (u64)pages, "a log in the EPT is written as any other");
    for (u32 i = 0; i < PAGES; i++) {
        *entry_of(i) = saved[i];
    }
    vmwrite(VMCS_PML_ADDR, (u64)log);
}

static void rules(void)
{
    clear_dirty();
    vmwrite(VMCS_PML_ADDR, (u64)log + 8);
    check_eq(vm_enter(&vm), VM_VALID,
             "PML address that is not aligned: VMfail (27.2.1.1)");
    check_eq(vm_error(), 7, "PML address: error 7");
    vmwrite(VMCS_PML_ADDR, BIT(52));
    check_eq(vm_enter(&vm), VM_VALID,
             "PML address that does not exist: VMfail (27.2.1.1)");
    vmwrite(VMCS_PML_ADDR, (u64)log);
    vm_clear_bits(VMCS_SECONDARY_CONTROLS, CPU2_EPT | CPU2_UNRESTRICTED);
    check_eq(vm_enter(&vm), VM_VALID, "PML without EPT: VMfail (27.2.1.1)");
    vm_set_bits(VMCS_SECONDARY_CONTROLS, CPU2_EPT | CPU2_UNRESTRICTED);
    vmwrite(VMCS_EPT_POINTER, EPTP(vm.ept));
    write_pages(0, 2, 77);
    check(vm_ended(&vm), "no dirty flags: the guest runs");
    index_is(77, "no dirty flags: nothing is logged (29.3.6)");
    vmwrite(VMCS_EPT_POINTER, EPTP(vm.ept) | EPTP_AD);
    vm_clear_bits(VMCS_SECONDARY_CONTROLS, CPU2_PML);
    write_pages(0, 2, 77);
    index_is(77, "without the control");
    check(*entry_of(1) & EPT_D, "without the control dirty flags are set");
}

void test_main(void)
{
    if (!vmx_supported()) {
        panic("no VMX");
    }
    vmx_on();
    vm_create(&vm);
    pages = pages_alloc(512, 0x200000);
    log = page_alloc();
    if (!check(vmx_ept_cap(EPT_CAP_AD) && vm_secondary(CPU2_PML), "PML is offered")) {
        return;
    }
    vmwrite(VMCS_PML_ADDR, (u64)log);
    vmwrite(VMCS_EPT_POINTER, EPTP(vm.ept) | EPTP_AD);
    warm_up();
    entries();
    full();
    page_walk();
    hostile();
    rules();
}
