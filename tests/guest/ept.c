/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended page tables: mappings of each size, violations and their
 * qualification, misconfigurations, accessed and dirty flags, INVEPT, VPID
 * (SDM vol. 3, 28.3, 28.4; 27.2.1, table 27-7).
 */
#include "vmx.h"

const char test_name[] = "ept";

#define QUAL_READ       BIT(0)
#define QUAL_WRITE      BIT(1)
#define QUAL_FETCH      BIT(2)
#define QUAL_RWX(p)     ((u64)(p) << 3)
#define QUAL_GLA        BIT(7)
#define QUAL_FINAL      BIT(8)
#define QUAL_BASIC      0x1bfull        /* without bit 6 (mode-based execute) */

static Vm vm;
static volatile u64 seen;
static u64 *target;             /* the guest works on this page */
static u64 target_gpa;

static void g_read(void) { seen = *(volatile u64 *)(target_gpa + 0x18); }
static void g_write(void) { *(volatile u64 *)(target_gpa + 0x18) = 0x5555; }
static void g_call(void) { ((void (*)(void))target_gpa)(); }
static void g_rmw(void)
{
    asm volatile("lock incq (%0)" : : "r"(target_gpa + 0x18) : "memory");
}
static void g_nothing(void) { }

static void flush(void)
{
    invept(2, 0, 0);
}

static void set_entry(u64 *e, u64 value)
{
    *(volatile u64 *)e = value;
    flush();
}

/* A guest-physical range above RAM at each page size maps where EPT says. */
static void mappings(void)
{
    u64 gpa = 0x4000000000ull - 0x40000000;     /* below 256 GiB */
    u64 pa = (u64)pages_alloc(512, 0x200000);

    *(u64 *)(pa + 0x18) = 0x1111;
    *(u64 *)(pa + 0x1018) = 0x2222;
    target_gpa = BIT(32) + 0x18000;
    map_page(target_gpa & ~0x1fffffull, gpa, 0x200000, 0x67);

    *ept_entry(vm.ept, gpa + 0x18000, 0) = (pa + 0x1000) | EPT_RWX | EPT_WB;
    flush();
    vm_start(&vm, g_read);
    check(vm_ended(&vm), "4 KiB: no exit (reason %u)", vm_reason() & 0xffff);
    check_eq(seen, 0x2222, "4 KiB: the read arrives at the mapped page");

    if (vmx_ept_cap(EPT_CAP_2M)) {
        set_entry(ept_entry(vm.ept, gpa, 1), pa | EPT_RWX | EPT_WB | EPT_LARGE);
        *(u64 *)(pa + 0x18018) = 0x3333;
        vm_start(&vm, g_read);
        check_eq(seen, 0x3333, "2 MiB: the read arrives at its offset");
    } else {
        check_skip("not offered", "2 MiB pages");
    }
    if (vmx_ept_cap(EPT_CAP_1G)) {
        set_entry(ept_entry(vm.ept, gpa, 2), EPT_RWX | EPT_WB | EPT_LARGE);
        map_page(target_gpa & ~0x1fffffull, gpa + pa, 0x200000, 0x67);
        vm_start(&vm, g_read);
        check_eq(seen, 0x3333, "1 GiB: the read arrives at its offset");
    } else {
        check_skip("not offered", "1 GiB pages");
    }
    set_entry(ept_entry(vm.ept, gpa, 2), 0);
}

static void violation(void (*fn)(void), u64 access, u64 perms, const char *what)
{
    u32 r = vm_start(&vm, fn);
    u64 offset = fn == g_call ? 0 : 0x18;

    check_eq(r, VMX_EXIT_EPT_VIOLATION, "%s: exit 48", what);
    if (r != VMX_EXIT_EPT_VIOLATION) {
        return;
    }
    check_eq(vm_qual() & QUAL_BASIC, access | QUAL_RWX(perms) | QUAL_GLA | QUAL_FINAL,
             "%s: qualification (table 27-7)", what);
    check_eq(vmread(VMCS_GUEST_PHYSICAL_ADDR), (u64)target + offset,
             "%s: guest-physical address", what);
    check_eq(vmread(VMCS_GUEST_LINEAR_ADDR), target_gpa + offset,
             "%s: guest-linear address", what);
}

static void violations(void)
{
    u64 *e, base;

    target = pages_alloc(512, 0x200000);        /* alone in its 2 MiB */
    *(u8 *)target = 0xc3;                               /* ret */
    target_gpa = BIT(32) + 0x200000;                    /* its linear address */
    map_page(target_gpa, (u64)target, PAGE_SIZE, 0x67);
    e = ept_entry(vm.ept, (u64)target, 0);
    base = (u64)target | EPT_WB;

    set_entry(e, 0);
    violation(g_read, QUAL_READ, 0, "read, not present");
    violation(g_write, QUAL_WRITE, 0, "write, not present");
    violation(g_call, QUAL_FETCH, 0, "fetch, not present");
    check_eq(vm_start(&vm, g_rmw), VMX_EXIT_EPT_VIOLATION, "read-modify-write: exit 48");
    set_entry(e, base | EPT_R);
    vm_start(&vm, g_read);
    check(vm_ended(&vm), "read of a read-only page");
    violation(g_write, QUAL_WRITE, EPT_R, "write, read-only");
    violation(g_call, QUAL_FETCH, EPT_R, "fetch, read-only");
    set_entry(e, base | EPT_R | EPT_W);
    vm_start(&vm, g_write);
    check(vm_ended(&vm), "write of a read-write page");
    violation(g_call, QUAL_FETCH, EPT_R | EPT_W, "fetch, read-write");
    set_entry(e, base | EPT_R | EPT_X);
    vm_start(&vm, g_call);
    check(vm_ended(&vm), "fetch of a read-execute page");
    violation(g_write, QUAL_WRITE, EPT_R | EPT_X, "write, read-execute");
    if (vmx_ept_cap(EPT_CAP_EXEC_ONLY)) {
        set_entry(e, base | EPT_X);
        vm_start(&vm, g_call);
        check(vm_ended(&vm), "fetch of an execute-only page");
        violation(g_read, QUAL_READ, EPT_X, "read, execute-only");
    }
    /* the permissions are the AND over the whole walk */
    set_entry(e, base | EPT_RWX);
    set_entry(ept_entry(vm.ept, (u64)target, 1),
              *ept_entry(vm.ept, (u64)target, 1) & ~EPT_W);
    violation(g_write, QUAL_WRITE, EPT_R | EPT_X, "write, read-only directory");
    set_entry(ept_entry(vm.ept, (u64)target, 1),
              *ept_entry(vm.ept, (u64)target, 1) | EPT_W);
    vm_start(&vm, g_write);
    check(vm_ended(&vm), "the violation goes away with its cause");
    check_eq(target[3], 0x5555, "the write arrived");
}

/* A violation on the walk of the guest's own page tables. */
static void walk_violation(void)
{
    u64 *table, *e;
    u64 old;

    map_page(BIT(33), (u64)target, PAGE_SIZE, 0x67);
    target_gpa = BIT(33);
    extern u64 boot_pml4[512];
    table = (u64 *)(boot_pml4[0] & 0xffffffffff000ull);         /* PDPT */
    table = (u64 *)(table[8] & 0xffffffffff000ull);             /* PD of 8 GiB */
    e = ept_entry(vm.ept, (u64)table, 0);
    old = *e;
    set_entry(e, 0);
    check_eq(vm_start(&vm, g_read), VMX_EXIT_EPT_VIOLATION,
             "page walk, not present: exit 48");
    check_eq(vm_qual() & (QUAL_GLA | QUAL_FINAL | QUAL_READ), QUAL_GLA | QUAL_READ,
             "page walk: a read, GLA valid, not the final translation (table 27-7)");
    check_eq(vmread(VMCS_GUEST_PHYSICAL_ADDR), (u64)table,
             "page walk: the address of the guest's entry");
    check_eq(vmread(VMCS_GUEST_LINEAR_ADDR), BIT(33) + 0x18, "page walk: linear address");
    set_entry(e, old);
    vm_start(&vm, g_read);
    check(vm_ended(&vm), "page walk: goes on when mapped");
}

/* Without EPT's own accessed and dirty flags, only new flags are writes. */
static void walk_read_only(void)
{
    u64 *table, *leaf, *e;
    u64 old;

    extern u64 boot_pml4[512];
    map_page(BIT(33), (u64)target, PAGE_SIZE, 0x67);
    target_gpa = BIT(33);
    table = (u64 *)(boot_pml4[0] & 0xffffffffff000ull);         /* PDPT */
    table = (u64 *)(table[8] & 0xffffffffff000ull);             /* PD of 8 GiB */
    table = (u64 *)(table[0] & 0xffffffffff000ull);             /* page table */
    leaf = &table[0];
    e = ept_entry(vm.ept, (u64)table, 0);
    old = *e;
    *leaf |= BIT(5) | BIT(6);                   /* accessed, dirty */
    set_entry(e, old & ~EPT_W);
    vm_start(&vm, g_read);
    check(vm_ended(&vm), "read-only page table, flags set: a read goes on (28.3.3.2)");
    vm_start(&vm, g_write);
    check(vm_ended(&vm), "read-only page table, flags set: a write goes on");
    *leaf &= ~BIT(6);
    invvpid(2, 0, 0);
    check_eq(vm_start(&vm, g_write), VMX_EXIT_EPT_VIOLATION,
             "read-only page table, no dirty flag: a write is exit 48");
    check_eq(vm_qual() & (QUAL_GLA | QUAL_FINAL | QUAL_READ | QUAL_WRITE),
             QUAL_GLA | QUAL_READ | QUAL_WRITE,
             "read-only page table: setting a flag reads and writes (table 27-7)");
    check_eq(vmread(VMCS_GUEST_PHYSICAL_ADDR), (u64)leaf,
             "read-only page table: the address of the guest's entry");
    vm_start(&vm, g_read);
    check(vm_ended(&vm), "read-only page table, no dirty flag: a read goes on");
    *leaf &= ~BIT(5);
    invvpid(2, 0, 0);
    check_eq(vm_start(&vm, g_read), VMX_EXIT_EPT_VIOLATION,
             "read-only page table, no accessed flag: a read is exit 48");
    set_entry(e, old);
    vm_start(&vm, g_read);
    check(vm_ended(&vm), "read-only page table: goes on when it is writable");
    check_eq(*leaf & BIT(5), BIT(5), "and the accessed flag is set");
}

static void misconfig(u64 *e, u64 value, const char *rule)
{
    u64 old = *e;

    set_entry(e, value);
    check_eq(vm_start(&vm, g_read), VMX_EXIT_EPT_MISCONFIG, "%s: exit 49 (28.3.3.1)",
             rule);
    if (vm_reason() == VMX_EXIT_EPT_MISCONFIG) {
        check_eq(vmread(VMCS_GUEST_PHYSICAL_ADDR), (u64)target + 0x18,
                 "%s: guest-physical address", rule);
    }
    set_entry(e, old);
}

static void misconfigs(void)
{
    u64 *e, *pd, base;
    u32 width = cpuid(0x80000008, 0).a & 0xff;

    target_gpa = BIT(32) + 0x200000;
    e = ept_entry(vm.ept, (u64)target, 0);
    pd = ept_entry(vm.ept, (u64)target, 1);
    base = (u64)target;
    misconfig(e, base | EPT_W | EPT_WB, "write without read");
    misconfig(e, base | EPT_W | EPT_X | EPT_WB, "write and execute without read");
    misconfig(e, base | 6, "the MMIO pattern of KVM (110B)");
    if (!vmx_ept_cap(EPT_CAP_EXEC_ONLY)) {
        misconfig(e, base | EPT_X | EPT_WB, "execute-only, not offered");
    }
    misconfig(e, base | EPT_RWX | 2 << 3, "memory type 2");
    misconfig(e, base | EPT_RWX | 3 << 3, "memory type 3");
    misconfig(e, base | EPT_RWX | 7 << 3, "memory type 7");
    if (width < 52) {
        misconfig(e, base | EPT_RWX | EPT_WB | BIT(width),
                  "address bit beyond the width");
    }
    misconfig(pd, *pd | BIT(3), "non-leaf, bit 3");
    misconfig(pd, *pd | BIT(6), "non-leaf, bit 6");
    misconfig(pd, (*pd & ~EPT_R), "non-leaf, write without read");
    misconfig(pd, (base & ~0x1fffffull) | EPT_RWX | EPT_WB | EPT_LARGE | BIT(13),
              "2 MiB leaf, address bit 13");
    /* bits that are ignored */
    set_entry(e, base | EPT_RWX | EPT_WB | BIT(11) | 3ull << 52 | BIT(62) | BIT(63));
    vm_start(&vm, g_read);
    check(vm_ended(&vm), "ignored bits 11, 53:52, 63:62 are ignored");
    set_entry(e, BIT(63) | 0x123000);
    check_eq(vm_start(&vm, g_read), VMX_EXIT_EPT_VIOLATION,
             "bits 2:0 = 0 is not present, whatever else is set");
    set_entry(e, base | EPT_RWX | EPT_WB);
}

static void accessed_dirty(void)
{
    u64 *e = ept_entry(vm.ept, (u64)target, 0), *pd = ept_entry(vm.ept, (u64)target, 1);
    u64 base = (u64)target | EPT_RWX | EPT_WB;
    u64 *table, *te;
    extern u64 boot_pml4[512];

    set_entry(e, base);
    vm_start(&vm, g_write);
    check_eq(*e & (EPT_A | EPT_D), 0, "EPTP[6] = 0: no accessed and dirty flags");
    if (!vmx_ept_cap(EPT_CAP_AD)) {
        check_skip("not offered", "accessed and dirty flags");
        return;
    }
    vmwrite(VMCS_EPT_POINTER, EPTP(vm.ept) | BIT(6));
    set_entry(e, base);
    set_entry(pd, *pd & ~(EPT_A | EPT_D));
    vm_start(&vm, g_read);
    check_eq(*e & (EPT_A | EPT_D), EPT_A, "a read sets accessed, not dirty (28.3.5)");
    check_eq(*pd & (EPT_A | EPT_D), EPT_A, "the directory entry: accessed, never dirty");
    vm_start(&vm, g_write);
    check_eq(*e & (EPT_A | EPT_D), EPT_A | EPT_D, "a write sets dirty (28.3.5)");
    set_entry(e, base | EPT_A);
    vm_start(&vm, g_write);
    check_eq(*e & EPT_D, EPT_D, "a write sets dirty again after INVEPT");

    /* 28.3.5: accesses to the guest's paging structures are writes */
    map_page(BIT(34), (u64)target, PAGE_SIZE, 0x67);
    table = (u64 *)(boot_pml4[0] & 0xffffffffff000ull);
    table = (u64 *)(table[16] & 0xffffffffff000ull);
    te = ept_entry(vm.ept, (u64)table, 0);
    set_entry(te, *te & ~(EPT_A | EPT_D));
    target_gpa = BIT(34);
    vm_start(&vm, g_read);
    check_eq(*te & (EPT_A | EPT_D), EPT_A | EPT_D,
             "a page walk of the guest sets dirty for its tables (28.3.5)");
    set_entry(te, *te & ~EPT_W);
    check_eq(vm_start(&vm, g_read), VMX_EXIT_EPT_VIOLATION,
             "with A/D flags a walk needs write permission (28.3.5)");
    check_eq(vm_qual() & (QUAL_READ | QUAL_WRITE), QUAL_READ | QUAL_WRITE,
             "such a violation reports read and write (table 27-7)");
    set_entry(te, *te | EPT_W);
    vmwrite(VMCS_EPT_POINTER, EPTP(vm.ept));
    target_gpa = BIT(32) + 0x200000;
}

static void g_read_twice(void)
{
    volatile u64 *p = (volatile u64 *)(target_gpa + 0x18);

    seen = *p;
    guest_vmcall(1);
    seen = *p;
}

static void invalidation(void)
{
    u64 *e = ept_entry(vm.ept, (u64)target, 0), *other = page_alloc();
    u64 base = (u64)target | EPT_RWX | EPT_WB;

    target[3] = 0xaaaa;
    other[3] = 0xbbbb;
    set_entry(e, base);
    vm_start(&vm, g_read_twice);
    check_eq(seen, 0xaaaa, "the first read");
    *(volatile u64 *)e = (u64)other | EPT_RWX | EPT_WB;
    check_eq(invept(2, 0, 0), VM_SUCCEED, "INVEPT all contexts");
    vm_skip();
    vm_run(&vm);
    check_eq(seen, 0xbbbb, "INVEPT all contexts: the guest sees the new page");
    if (vmx_ept_cap(EPT_CAP_INVEPT_SINGLE)) {
        set_entry(e, base);
        vm_start(&vm, g_read_twice);
        *(volatile u64 *)e = (u64)other | EPT_RWX | EPT_WB;
        invept(1, EPTP(vm.ept), 0);
        vm_skip();
        vm_run(&vm);
        check_eq(seen, 0xbbbb, "INVEPT single context: the guest sees the new page");
    }
    set_entry(e, base);
    vm_start(&vm, g_read_twice);
    *(volatile u64 *)e = 0;
    flush();
    vm_skip();
    check_eq(vm_run(&vm), VMX_EXIT_EPT_VIOLATION, "INVEPT after removal: violation");
    set_entry(e, base);
    vm_run(&vm);
    check(vm_ended(&vm), "a violation needs no INVEPT to go on (28.4.2)");
    check_eq(seen, 0xaaaa, "the access is done again");

    /* more permissions without INVEPT: at most one more violation */
    set_entry(e, (u64)target | EPT_R | EPT_WB);
    vm_start(&vm, g_write);
    check_eq(vm_reason(), VMX_EXIT_EPT_VIOLATION, "write of a read-only page");
    *(volatile u64 *)e = base;
    vm_run(&vm);
    check(vm_ended(&vm), "the violation dropped the stale mapping (28.4.3.1)");
}

/* Two EPTs at the same linear and guest-physical address, switched by VMWRITE. */
static void two_contexts(void)
{
    u64 *root = ept_identity(), *other = page_alloc();

    target[3] = 0x1212;
    other[3] = 0x3434;
    *ept_entry(root, (u64)target, 0) = (u64)other | EPT_RWX | EPT_WB;
    flush();
    for (u32 i = 0; i < 3; i++) {
        vmwrite(VMCS_EPT_POINTER, EPTP(vm.ept));
        vm_start(&vm, g_read);
        check_eq(seen, 0x1212, "EPT A, round %u", i);
        vmwrite(VMCS_EPT_POINTER, EPTP(root));
        vm_start(&vm, g_read);
        check_eq(seen, 0x3434, "EPT B, round %u", i);
    }
    vmwrite(VMCS_EPT_POINTER, EPTP(vm.ept));
    check_eq(*(volatile u64 *)(target_gpa + 0x18), 0x1212,
             "the host's own mapping is not the guest's");
}

/* A guest with its own page tables: CR3 of the host and guest do not mix. */
static void guest_cr3(void)
{
    extern u64 boot_pml4[512];
    u64 *pml4 = page_alloc(), *pdpt = page_alloc(), *pd = page_alloc();
    u64 *pt = page_alloc();
    u64 *other = page_alloc(), va = BIT(39), old;

    other[3] = 0x9999;
    memcpy(pml4, boot_pml4, PAGE_SIZE);
    pml4[1] = (u64)pdpt | 7;
    pdpt[0] = (u64)pd | 7;
    pd[0] = (u64)pt | 7;
    pt[0] = (u64)other | 7;
    map_page(va, (u64)target, PAGE_SIZE, 0x67);
    target[3] = 0x8888;
    old = target_gpa;
    target_gpa = va;
    check_eq(*(volatile u64 *)(va + 0x18), 0x8888, "the host's page at a linear address");
    vm_set_entry(&vm, g_read);
    vmwrite(VMCS_GUEST_CR3, (u64)pml4);
    vm_run(&vm);
    check_eq(seen, 0x9999, "the guest's page at the same linear address (28.4.1)");
    check_eq(*(volatile u64 *)(va + 0x18), 0x8888,
             "the host's page again after the exit");
    target_gpa = old;
}

/* With VPID 1 and 2: INVVPID makes the guest see its changed page table. */
static void vpid(void)
{
    u64 *other = page_alloc(), va = BIT(35);

    if (!vmx_may(VMCS_SECONDARY_CONTROLS, CPU2_VPID)) {
        check_skip("not offered", "VPID");
        return;
    }
    vmwrite(VMCS_VPID, 1);
    vm_secondary(CPU2_VPID);
    map_page(va, (u64)target, PAGE_SIZE, 0x67);
    target[3] = 0x1000;
    other[3] = 0x2000;
    target_gpa = va;
    vm_start(&vm, g_read_twice);
    check_eq(seen, 0x1000, "VPID: the first read");
    map_page(va, (u64)other, PAGE_SIZE, 0x67);
    for (u64 type = 0; type < 4; type++) {
        if (vmx_ept_cap(BIT(40 + type))) {
            check_eq(invvpid(type, 1, va), VM_SUCCEED, "INVVPID type %u", (u32)type);
        }
    }
    vm_skip();
    vm_run(&vm);
    check_eq(seen, 0x2000, "INVVPID: the guest sees its new page table");
    vm_clear_bits(VMCS_SECONDARY_CONTROLS, CPU2_VPID);
}

void test_main(void)
{
    if (!vmx_supported() || !vmx_may(VMCS_SECONDARY_CONTROLS, CPU2_EPT)) {
        panic("no EPT");
    }
    vmx_on();
    vm_create(&vm);
    vm_start(&vm, g_nothing);
    check(vm_ended(&vm), "a guest with 2 MiB mappings runs");
    mappings();
    violations();
    walk_violation();
    walk_read_only();
    misconfigs();
    accessed_dirty();
    invalidation();
    two_contexts();
    guest_cr3();
    vpid();
}
