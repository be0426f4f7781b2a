/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory of a TD: accepting pages, MapGPA both ways, MMIO through a shared GPA. */
#include "payload_td.h"

volatile u64 pages_accepted, pages_converted, pages_shared;
unsigned gpaw;

#define PAGE_4K 0x1000ull
#define PAGE_2M 0x200000ull

u64 shared_gpa(u64 gpa)
{
    return gpa | 1ull << (gpaw - 1);
}

u64 accept_page(u64 gpa, unsigned level)
{
    struct td_regs r = { .rcx = gpa | level };
    u64 status = tdcall(TDG_MEM_PAGE_ACCEPT, &r);

    if (!status) {
        __atomic_fetch_add(&pages_accepted, level ? 512 : 1, __ATOMIC_RELAXED);
    }
    return status;
}

u64 accept_range(u64 gpa, u64 size)
{
    u64 end = gpa + size, count = 0;

    while (gpa < end) {
        if (!(gpa & (PAGE_2M - 1)) && end - gpa >= PAGE_2M && !accept_page(gpa, 1)) {
            gpa += PAGE_2M;
            count += 512;
            continue;
        }
        for (u64 stop = (gpa | (PAGE_2M - 1)) + 1; gpa < stop && gpa < end;
             gpa += PAGE_4K) {
            count += !accept_page(gpa, 0);
        }
    }
    return count;
}

/* Ends at the first 8 bytes that differ. */
bool page_is(u64 va, u64 val)
{
    volatile u64 *p = (volatile u64 *)va;

    for (unsigned i = 0; i < 512; i++) {
        if (p[i] != val) {
            return false;
        }
    }
    return true;
}

void page_fill(u64 va, u64 val)
{
    volatile u64 *p = (volatile u64 *)va;

    for (unsigned i = 0; i < 512; i++) {
        p[i] = val;
    }
}

static void test_accept_errors(void)
{
    struct td_regs r = { .rcx = TD_MAP_PAGE | 8 };

    check_eq(tdcall(TDG_MEM_PAGE_ACCEPT, &r), TDX_OPERAND_INVALID | OPERAND_RCX,
             "accept: reserved bit of RCX is refused");
    r.rcx = TD_MAP_PAGE | 1;
    check_eq(tdcall(TDG_MEM_PAGE_ACCEPT, &r), TDX_OPERAND_INVALID | OPERAND_RCX,
             "accept: misaligned 2M page is refused");
    r.rcx = 0x40000000 | 2;
    check_eq(tdcall(TDG_MEM_PAGE_ACCEPT, &r), TDX_OPERAND_INVALID | OPERAND_RCX,
             "accept: 1G page is refused");
    r.rcx = shared_gpa(TD_MAP_PAGE);
    check_eq(tdcall(TDG_MEM_PAGE_ACCEPT, &r), TDX_OPERAND_INVALID | OPERAND_RCX,
             "accept: shared GPA is refused");
    r.rcx = TD_MAP_PAGE;
    check_eq(tdcall(TDG_MEM_PAGE_ACCEPT, &r) & TDX_STATUS_MASK, TDX_PAGE_ALREADY_ACCEPTED,
             "accept: second time says PAGE_ALREADY_ACCEPTED");
    r.rcx = TD_IMAGE_GPA;
    check_eq(tdcall(TDG_MEM_PAGE_ACCEPT, &r) & TDX_STATUS_MASK, TDX_PAGE_ALREADY_ACCEPTED,
             "accept: page added at build time says PAGE_ALREADY_ACCEPTED");
}

void test_accept(u64 size)
{
    u64 want = TD_LOW_SIZE / PAGE_4K;
    bool zero = true, kept = true;

    check_eq(accept_range(0, TD_LOW_SIZE), want, "accept: the first 2 MiB");
    for (u64 gpa = 0; gpa < TD_LOW_SIZE; gpa += PAGE_4K) {
        zero &= page_is(gpa, 0);
        *(volatile u64 *)gpa = gpa ^ 0x5a5a5a5a;
    }
    for (u64 gpa = 0; gpa < TD_LOW_SIZE; gpa += PAGE_4K) {
        kept &= *(volatile u64 *)gpa == (gpa ^ 0x5a5a5a5a);
    }
    check(zero, "accept: accepted pages read as zeros");
    check(kept, "accept: accepted pages keep what is written");
    test_accept_errors();
    if (size) {
        check_eq(accept_range(TD_ACCEPT_GPA, size), size / PAGE_4K,
                 "accept: the memory that the host asked for");
    }
}

/* Retries what KVM did not finish because of a pending interrupt. */
u64 map_gpa(u64 gpa, u64 size)
{
    u64 end = gpa + size;
    struct vmcall_regs r;
    u64 status;

    do {
        status = vmcall(TDVMCALL_MAP_GPA, gpa, end - gpa, 0, 0, &r);
        gpa = r.r11;
    } while (status == TDVMCALL_STATUS_RETRY && gpa < end);
    return status;
}

static void test_map_page(void)
{
    u64 gpa = TD_MAP_PAGE;

    page_fill(gpa, 0x1122334455667788);
    check_eq(map_gpa(shared_gpa(gpa), PAGE_4K), 0, "MapGPA: private page to shared");
    pages_converted++;
    check(!page_is(SHARED_VA(gpa), 0x1122334455667788),
          "MapGPA: the shared page does not show the private content");
    page_fill(SHARED_VA(gpa), 0xa1a2a3a4a5a6a7a8);
    check(page_is(SHARED_VA(gpa), 0xa1a2a3a4a5a6a7a8), "MapGPA: shared page is writable");
    check_eq(map_gpa(gpa, PAGE_4K), 0, "MapGPA: shared page back to private");
    check_eq(accept_page(gpa, 0), 0, "MapGPA: page is accepted again");
    check(page_is(gpa, 0), "MapGPA: page accepted again reads as zeros");
    page_fill(gpa, gpa);
    check(page_is(gpa, gpa), "MapGPA: page accepted again is writable");
}

static void test_map_range(void)
{
    bool ok = true;

    check_eq(map_gpa(shared_gpa(TD_MAP_RANGE), TD_MAP_RANGE_SIZE), 0,
             "MapGPA: 4 MiB that were never accepted to shared");
    for (u64 gpa = TD_MAP_RANGE; gpa < TD_MAP_RANGE + TD_MAP_RANGE_SIZE; gpa += PAGE_2M) {
        page_fill(SHARED_VA(gpa), gpa);
        ok &= page_is(SHARED_VA(gpa), gpa);
    }
    check(ok, "MapGPA: the shared range is writable");
    check_eq(map_gpa(TD_MAP_RANGE, TD_MAP_RANGE_SIZE), 0,
             "MapGPA: 4 MiB back to private");
    check_eq(accept_page(TD_MAP_RANGE, 0), 0, "MapGPA: a page of the range is accepted");
    check(page_is(TD_MAP_RANGE, 0), "MapGPA: a page of the range reads as zeros");
}

/*
 * KVM tells user space of an access that does not fit the page's attribute: it
 * converts.
 */
static void test_implicit(void)
{
    u64 gpa = TD_IMPLICIT_PAGE;

    page_fill(SHARED_VA(gpa), 0x1234);
    check(page_is(SHARED_VA(gpa), 0x1234), "implicit conversion to shared");
    check_eq(accept_page(gpa, 0), 0, "implicit conversion to private by accepting");
    check(page_is(gpa, 0), "implicit conversion to private: zeros");
}

void test_map_gpa(void)
{
    test_map_page();
    test_map_range();
    test_implicit();
    check_eq(vmcall(TDVMCALL_MAP_GPA, TD_MAP_PAGE + 0x800, PAGE_4K, 0, 0, NULL),
             TDVMCALL_ALIGN_ERROR, "MapGPA: misaligned GPA is refused");
    check_eq(vmcall(TDVMCALL_MAP_GPA, TD_MAP_PAGE, 0, 0, 0, NULL),
             TDVMCALL_INVALID_OPERAND, "MapGPA: size 0 is refused");
}

void test_mmio(void)
{
    u64 va = SHARED_VA(TD_MMIO_GPA);
    struct percpu *cpu = this_cpu();
    u32 before = cpu->ve_count[EXIT_EPT];

    mmio_write8(va, 0x5a);
    check_eq(mmio_read8(va), 0xa5, "MMIO: 8 bits through #VE");
    mmio_write16(va + 0x10, 0x1234);
    check_eq(mmio_read16(va + 0x10), 0xedcb, "MMIO: 16 bits through #VE");
    mmio_write32(va + 0x20, 0x89abcdef);
    check_eq(mmio_read32(va + 0x20), 0x76543210, "MMIO: 32 bits through #VE");
    mmio_write64(va + 0x30, 0x0123456789abcdef);
    check_eq(mmio_read64(va + 0x30), 0xfedcba9876543210, "MMIO: 64 bits through #VE");
    check_eq(cpu->ve_count[EXIT_EPT] - before, 8, "MMIO: every access is one #VE");
    check_eq(cpu->ve_gpa, shared_gpa(TD_MMIO_GPA + 0x30),
             "MMIO: VE_INFO has the shared GPA");
    check_eq(vmcall(EXIT_EPT, 4, 0, TD_MMIO_GPA, 0, NULL), TDVMCALL_INVALID_OPERAND,
             "MMIO: TDVMCALL with a private GPA is refused");
}
