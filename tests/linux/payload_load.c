/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads for the host's accounting of private pages: all vCPUs at once accept memory,
 * give it back as shared and take it again. What goes wrong on any vCPU is counted and
 * told by the first one at the end.
 */
#include "payload_td.h"

#define PAGE_4K 0x1000ull
#define PAGE_2M 0x200000ull
#define SPINS   4096            /* then the host's CPU goes to another vCPU */
#define FEW_ROUNDS 16

struct load {
    unsigned index, vcpus;
    u32 rounds;
    u64 start, pages;           /* the memory of all vCPUs */
};

enum fault { REFUSED, NOT_ZERO, LOST, NOT_MAPPED, NOT_SHARED, FAULTS };
static u32 faults[FAULTS];
static const char *const fault_checks[FAULTS] = {
    "load: every page is accepted",
    "load: accepted pages read as zeros",
    "load: pages keep what is written",
    "load: MapGPA succeeds every time",
    "load: shared pages keep what is written",
};

static void expect(bool ok, enum fault what)
{
    if (!ok) {
        __atomic_fetch_add(&faults[what], 1, __ATOMIC_RELAXED);
    }
}

/* Waits until all vCPUs are here. */
static void barrier(const struct load *l)
{
    static u32 arrived, passed;
    u32 before = __atomic_load_n(&passed, __ATOMIC_ACQUIRE);

    if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == l->vcpus) {
        __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&passed, before + 1, __ATOMIC_RELEASE);
        return;
    }
    for (u32 spins = 1; __atomic_load_n(&passed, __ATOMIC_ACQUIRE) == before; spins++) {
        cpu_relax();
        if (!(spins % SPINS)) {
            port_out32(TD_PORT_YIELD, 0);
        }
    }
}

static u64 page_gpa(const struct load *l, u64 page)
{
    return l->start + page * PAGE_4K;
}

/* Accepts a page, which must be all zeros, and leaves a mark in it. */
static void take(u64 gpa)
{
    u64 status;

    do {
        status = accept_page(gpa, 0);
    } while ((status & TDX_STATUS_MASK) == TDX_OPERAND_BUSY);
    expect(!status, REFUSED);
    if (!status) {
        expect(page_is(gpa, 0), NOT_ZERO);
        *(volatile u64 *)gpa = gpa ^ 0x5a5a5a5a;
        *(volatile u64 *)(gpa + PAGE_4K - 8) = ~gpa;
    }
}

static void check_mark(u64 gpa)
{
    expect(*(volatile u64 *)gpa == (gpa ^ 0x5a5a5a5a) &&
           *(volatile u64 *)(gpa + PAGE_4K - 8) == ~gpa, LOST);
}

static void to_shared(u64 gpa, u64 pages)
{
    expect(!map_gpa(shared_gpa(gpa), pages * PAGE_4K), NOT_MAPPED);
    __atomic_fetch_add(&pages_converted, pages, __ATOMIC_RELAXED);
}

static void to_private(u64 gpa, u64 pages)
{
    expect(!map_gpa(gpa, pages * PAGE_4K), NOT_MAPPED);
}

/* First page of vCPU @index when each has one part of the memory. */
static u64 part(const struct load *l, unsigned index)
{
    return l->pages * index / l->vcpus;
}

static void fill_in(const struct load *l, u64 from, u64 to, bool turns)
{
    for (u64 page = from; page < to; page++) {
        if (turns) {
            port_out32(TD_PORT_TURN, 0);
        }
        take(page_gpa(l, page));
    }
}

/*
 * The last eighth of each part comes when the host lets the TD go on: TDs that ended
 * before it have given their pages back by then.
 */
static void fill_parts(const struct load *l, bool turns)
{
    u64 from = part(l, l->index), to = part(l, l->index + 1);
    u64 late = to - (to - from) / 8;
    unsigned other = (l->index + 1) % l->vcpus;

    fill_in(l, from, late, turns);
    barrier(l);
    if (!l->index) {
        port_out32(TD_PORT_STEP, 0);
    }
    barrier(l);
    fill_in(l, late, to, false);
    barrier(l);
    for (u64 page = part(l, other); page < part(l, other + 1); page++) {
        check_mark(page_gpa(l, page));
    }
}

static void fill(const struct load *l)
{
    fill_parts(l, false);
}

static void fill_in_turns(const struct load *l)
{
    fill_parts(l, true);
}

/* Both ways, in pieces of @size pages that the vCPUs take in turn. */
static void convert_pieces(const struct load *l, u64 size)
{
    for (u64 page = l->index * size; page + size <= l->pages; page += l->vcpus * size) {
        u64 gpa = page_gpa(l, page);

        for (u64 i = 0; i < size; i++) {
            check_mark(gpa + i * PAGE_4K);
        }
        to_shared(gpa, size);
        page_fill(SHARED_VA(gpa), gpa);
        expect(page_is(SHARED_VA(gpa), gpa), NOT_SHARED);
        to_private(gpa, size);
        for (u64 i = 0; i < size; i++) {
            take(gpa + i * PAGE_4K);
        }
    }
}

static void convert(const struct load *l)
{
    static const u64 sizes[] = { 1, 512, 8 };

    fill_in(l, part(l, l->index), part(l, l->index + 1), false);
    for (u32 round = 0; round < l->rounds; round++) {
        barrier(l);
        convert_pieces(l, sizes[round % 3]);
    }
}

/*
 * Rounds with neighbouring single pages and rounds with one range for each vCPU take
 * turns; each step begins on all vCPUs at once.
 */
static void storm_round(const struct load *l, bool ranges)
{
    u64 from = ranges ? part(l, l->index) : l->index;
    u64 to = ranges ? part(l, l->index + 1) : l->pages;
    u64 step = ranges ? 1 : l->vcpus;

    barrier(l);
    for (u64 page = from; page < to; page += step) {
        take(page_gpa(l, page));
    }
    barrier(l);
    if (ranges) {
        to_shared(page_gpa(l, from), to - from);
        to_private(page_gpa(l, from), to - from);
        return;
    }
    for (u64 page = from; page < to; page += step) {
        to_shared(page_gpa(l, page), 1);
    }
    barrier(l);
    if (!l->index) {
        to_private(l->start, l->pages);
    }
}

/* After all the memory, a page for each vCPU: the first and last ones of their region. */
static void storm(const struct load *l)
{
    struct load few = *l;

    few.pages = l->vcpus;
    for (u32 round = 0; round < l->rounds; round++) {
        storm_round(l, round & 1);
        for (u32 i = 0; i < FEW_ROUNDS; i++) {
            storm_round(&few, false);
        }
    }
}

static void flood(const struct load *l)
{
    u64 from = part(l, l->index), to = part(l, l->index + 1);

    barrier(l);
    if (!l->index) {
        port_out32(TD_PORT_ALIVE, 1);
    }
    for (;;) {
        fill_in(l, from, to, false);
        to_shared(page_gpa(l, from), to - from);
        page_fill(SHARED_VA(page_gpa(l, from)), from);
        to_private(page_gpa(l, from), to - from);
    }
}

static void (*const loads[])(const struct load *l) = {
    [TD_MODE_FILL] = fill,       [TD_MODE_TURNS] = fill_in_turns,
    [TD_MODE_CONVERT] = convert, [TD_MODE_STORM] = storm,
    [TD_MODE_FLOOD] = flood,
};

static void report(const struct load *l)
{
    for (unsigned i = 0; i < FAULTS; i++) {
        check_eq(faults[i], 0, fault_checks[i]);
    }
    stat_out(TD_STAT_VCPUS, l->vcpus);
    report_stats(l->vcpus);
}

void load_main(unsigned index, u32 cfg)
{
    struct load l = {
        .index = index,
        .vcpus = TD_CFG_VCPUS(cfg),
        .rounds = port_in32(TD_PORT_ROUNDS),
        .start = TD_ACCEPT_GPA,
        .pages = TD_CFG_ACCEPT(cfg) / PAGE_4K,
    };

    if (!index) {
        gpaw = boot_regs.rbx & 0x3f;
        check_eq(accept_range(0, TD_LOW_SIZE), TD_LOW_SIZE / PAGE_4K,
                 "load: the first 2 MiB are accepted");
        ap_release = 1;
    }
    barrier(&l);
    loads[TD_CFG_MODE(cfg)](&l);
    barrier(&l);
    if (!index) {
        report(&l);
        guest_die();
    }
    for (;;) {
        safe_halt();
    }
}
