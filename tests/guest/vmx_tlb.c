/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the TLBs may not keep: linear mappings across VM entries without VPID,
 * the guest's own invalidations, mappings of one context seen in another (SDM
 * vol. 3, 28.4; 4.10.4).
 */
#include "vmx.h"

const char test_name[] = "vmx_tlb";

static Vm vm;
static u64 *a, *b, *pte;
static u64 va = BIT(36);
static volatile u64 seen, second;

extern u64 boot_pml4[512];

/* The PTE of a linear address in the boot page tables. */
static u64 *find_pte(u64 addr)
{
    u64 *t = boot_pml4;

    for (int shift = 39; shift > 12; shift -= 9) {
        t = (u64 *)(t[addr >> shift & 511] & 0xffffffffff000);
    }
    return &t[addr >> 12 & 511];
}

static void set_pte(u64 *page, u64 flags)
{
    *(volatile u64 *)pte = (u64)page | flags;
}

static u64 load(void)
{
    return *(volatile u64 *)va;
}

static void g_two_reads(void)
{
    seen = load();
    guest_vmcall(1);
    second = load();
}

/* Without VPID each entry and exit invalidates linear mappings (28.4.3.1). */
static void across_entries(void)
{
    set_pte(a, 0x67);
    vm_start(&vm, g_two_reads);
    check_eq(seen, 0xaaaa, "the guest reads page A");
    set_pte(b, 0x67);
    vm_skip();
    vm_run(&vm);
    check_eq(second, 0xbbbb,
             "VM entry without VPID drops the guest's linear mappings (28.4.3.1)");
    set_pte(a, 0x67);
    check_eq(load(), 0xaaaa, "VM exit without VPID drops the host's mappings (28.4.3.1)");
    vm_start(&vm, g_two_reads);
    check_eq(seen, 0xaaaa, "and the next entry as well");
    set_pte(b, 0x67);
    invlpg((void *)va);
    check_eq(load(), 0xbbbb, "INVLPG in the host");
    set_pte(a, 0x67);
    vm_skip();
    vm_run(&vm);
    check_eq(second, 0xaaaa, "an access of the host does not serve the guest");
}

static void g_invlpg(void)
{
    seen = load();
    set_pte(b, 0x67);
    invlpg((void *)va);
    second = load();
}

static void g_mov_cr3(void)
{
    seen = load();
    set_pte(b, 0x67);
    write_cr3(read_cr3());
    second = load();
}

static void g_cr4_pge(void)
{
    write_cr4(read_cr4() | BIT(7));
    seen = load();
    set_pte(b, 0x167);
    write_cr4(read_cr4() & ~BIT(7));
    second = load();
}

static void g_cr0_wp(void)
{
    write_cr0(read_cr0() & ~CR0_WP);
    *(volatile u64 *)(va + 8) = 1;              /* a read-only page, no WP */
    write_cr0(read_cr0() | CR0_WP);
    seen = TRY("movq $2, (%0)", : : "r"(va + 8) : "memory");
    write_cr0(read_cr0() & ~CR0_WP);
}

static void g_fault_then_map(void)
{
    seen = TRY("movq (%0), %%rax", : : "r"(va) : "rax", "memory");
    set_pte(a, 0x67);
    second = load();                            /* not present is not cached */
}

static void u_read(void)
{
    seen = TRY("movq (%0), %%rax", : : "r"(va) : "rax", "memory");
}

static void g_supervisor_page(void)
{
    second = load();
    run_user(u_read);
}

static void inside_the_guest(void)
{
    static const struct { void (*fn)(void); u64 flags; const char *what; } t[] = {
        { g_invlpg, 0x67, "INVLPG in the guest" },
        { g_mov_cr3, 0x67, "MOV to CR3 in the guest" },
        { g_cr4_pge, 0x167, "CR4.PGE cleared in the guest, a global page" },
    };

    for (u32 vpid = 0; vpid < 2; vpid++) {
        if (vpid) {
            vmwrite(VMCS_VPID, 7);
            if (!vm_secondary(CPU2_VPID)) {
                check_skip("no VPID", "the same with VPID");
                break;
            }
            invvpid(2, 0, 0);
        }
        for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
            set_pte(a, t[i].flags);
            invvpid(2, 0, 0);
            vm_start(&vm, t[i].fn);
            check(vm_ended(&vm), "VPID %u, %s: the guest ends", vpid * 7, t[i].what);
            check_eq(seen, 0xaaaa, "VPID %u, %s: before", vpid * 7, t[i].what);
            check_eq(second, 0xbbbb, "VPID %u, %s: after", vpid * 7, t[i].what);
        }
        set_pte(a, 0x65);
        invvpid(2, 0, 0);
        vm_start(&vm, g_cr0_wp);
        check_eq(seen, PF, "VPID %u: CR0.WP takes effect at once", vpid * 7);
        *(volatile u64 *)pte = 0;
        invvpid(2, 0, 0);
        vm_start(&vm, g_fault_then_map);
        check_eq(seen, PF, "VPID %u: a page that is not present", vpid * 7);
        check_eq(second, 0xaaaa, "VPID %u: the page as soon as it is mapped", vpid * 7);
        set_pte(a, 0x63);
        invvpid(2, 0, 0);
        vm_start(&vm, g_supervisor_page);
        check_eq(second, 0xaaaa, "VPID %u: a supervisor page at CPL 0", vpid * 7);
        check_eq(seen, PF, "VPID %u: the same page at CPL 3", vpid * 7);
    }
    vm_clear_bits(VMCS_SECONDARY_CONTROLS, CPU2_VPID);
}

static void g_read(void)
{
    seen = load();
}

/* Two guests with different CR3, one EPT; entries take turns. */
static void two_guests(void)
{
    u64 *pml4 = page_alloc(), *t[3];
    u32 good = 0;

    for (u32 i = 0; i < 3; i++) {
        t[i] = page_alloc();
    }
    memcpy(pml4, boot_pml4, PAGE_SIZE);
    t[0] = memcpy(page_alloc(), (void *)(boot_pml4[0] & 0xffffffffff000), PAGE_SIZE);
    pml4[0] = (u64)t[0] | 7;
    t[0][va >> 30 & 511] = (u64)t[1] | 7;
    t[1][0] = (u64)t[2] | 7;
    t[2][0] = (u64)b | 0x67;
    set_pte(a, 0x67);
    for (u32 i = 0; i < 40; i++) {
        vm_set_entry(&vm, g_read);
        if (i & 1) {
            vmwrite(VMCS_GUEST_CR3, (u64)pml4);
        }
        vm_run(&vm);
        good += seen == (i & 1 ? 0xbbbb : 0xaaaa);
    }
    check_eq(good, 40, "two address spaces in turn: each sees its own page");
}

void test_main(void)
{
    if (!vmx_supported()) {
        panic("no VMX");
    }
    a = page_alloc();
    b = page_alloc();
    a[0] = 0xaaaa;
    b[0] = 0xbbbb;
    map_page(va, (u64)a, PAGE_SIZE, 0x67);
    pte = find_pte(va);
    vmx_on();
    vm_create(&vm);
    across_entries();
    inside_the_guest();
    two_guests();
}
