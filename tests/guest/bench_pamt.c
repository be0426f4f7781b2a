/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What leaves cost: a null SEAMCALL (TDH.SYS.RD), PAMT.ADD with PAMT.REMOVE, PAGE.AUG
 * with TDG.MEM.PAGE.ACCEPT, and CPUID as a measure of the emulator itself.  All CPUs
 * do the same at once, each with regions and a TD of its own; then again with 16
 * more TDs.  Without Dynamic PAMT in the module the pages go into static PAMT.
 *
 * A line is "# bench dynamic|static NAME cpus=N tds=N calls=N ns=N": calls of one CPU,
 * and the time that the slowest CPU took for them.  The time is the median of short
 * slices, times their number: what else the host does in between does not count.
 */
#include "bench.h"
#include "seam.h"

const char test_name[] = "bench_pamt";

#define ROUNDS      3
#define SLICES      16
#define REGIONS     4           /* of one CPU */
#define PAGES       (REGIONS * 512)
#define OTHER_TDS   16
#define GPA         0x40000000ull

typedef struct Worker {
    Td td;
    u64 region[REGIONS], pair[2];
    u64 ticks[SLICES];          /* of the last measurement */
    u32 bad;
} Worker;

static Worker worker[MAX_CPUS];
static Td other[OTHER_TDS];
static u32 cpus;
static volatile u32 arrived;

/* A SEAMCALL with registers of its own; wrong if it fails. */
static void call(Worker *w, u64 rax, u64 rcx, u64 rdx, u64 r8)
{
    TdxRegs r = { .rax = rax, .rcx = rcx, .rdx = rdx, .r8 = r8 };

    if (seamcall_regs(&r) || r.rax) {
        if (!w->bad++) {
            print("# leaf %llu of %llx: %llx\n", (long long)rax, (long long)rcx,
                  (long long)r.rax);
        }
    }
}

/* Calls @first.. of a step, @n of them. */
static void cpuid_loop(Worker *w, u32 first, u32 n)
{
    while (n--) {
        cpuid(0x80000000, 0);
    }
}

static void null_loop(Worker *w, u32 first, u32 n)
{
    while (n--) {
        call(w, TDH_SYS_RD, 0, TDX_MD_FEATURES0, 0);
    }
}

/* The last region has no pair yet. */
static void pair_loop(Worker *w, u32 first, u32 n)
{
    while (n--) {
        call(w, TDH_PHYMEM_PAMT_ADD, w->region[REGIONS - 1] | 1, w->pair[0], w->pair[1]);
        call(w, TDH_PHYMEM_PAMT_REMOVE, w->region[REGIONS - 1] | 1, 0, 0);
    }
}

static void aug_loop(Worker *w, u32 first, u32 n)
{
    for (u32 i = first; i < first + n; i++) {
        call(w, TDH_MEM_PAGE_AUG, GPA + i * PAGE_SIZE, w->td.tdr,
             w->region[i / 512] + i % 512 * PAGE_SIZE);
    }
}

static void accept_loop(Worker *w, u32 first, u32 n)
{
    TdReport r = td_op(&w->td, 0, OP_ACCEPT, GPA + first * PAGE_SIZE, n, 0, 0, 0);

    w->bad += r.out[0] || r.out[6] != GPA + (first + n) * PAGE_SIZE;
}

static void remove_loop(Worker *w, u32 first, u32 n)
{
    for (u32 i = first; i < first + n; i++) {
        call(w, TDH_MEM_RANGE_BLOCK, GPA + i * PAGE_SIZE, w->td.tdr, 0);
    }
    call(w, TDH_MEM_TRACK, w->td.tdr, 0, 0);
    for (u32 i = first; i < first + n; i++) {
        call(w, TDH_MEM_PAGE_REMOVE, GPA + i * PAGE_SIZE, w->td.tdr, 0);
    }
}

static void add_pair(Worker *w, u32 first, u32 n)
{
    call(w, TDH_PHYMEM_PAMT_ADD, w->region[REGIONS - 1] | 1, w->pair[0], w->pair[1]);
}

static void remove_pair(Worker *w, u32 first, u32 n)
{
    call(w, TDH_PHYMEM_PAMT_REMOVE, w->region[REGIONS - 1] | 1, 0, 0);
}

/* The order matters: the pages of a region are in use between AUG and REMOVE. */
static const struct {
    const char *name;           /* NULL: not measured */
    void (*loop)(Worker *w, u32 first, u32 n);
    u32 calls;                  /* 1, or in SLICES equal parts */
    bool dynamic;               /* with Dynamic PAMT only */
} step[] = {
    { "cpuid", cpuid_loop, SLICES * 50000, false },
    { "null", null_loop, SLICES * 2500, false },
    { "add-remove", pair_loop, SLICES * 500, true },
    { NULL, add_pair, 1, true },
    { "aug", aug_loop, PAGES, false },
    { "accept", accept_loop, PAGES, false },
    { "remove", remove_loop, PAGES, false },
    { NULL, remove_pair, 1, true },
};

static u32 now;                 /* index of the step at hand */

/* One step on one CPU, which begins when all have come. */
static void work(void *arg)
{
    Worker *w = arg;
    u32 n = step[now].calls / SLICES;

    __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
    while (arrived < cpus) {
        cpu_relax();
    }
    if (!step[now].name) {
        step[now].loop(w, 0, 1);
        return;
    }
    for (u32 i = 0; i < SLICES; i++) {
        u64 start = hpet();

        step[now].loop(w, i * n, n);
        w->ticks[i] = hpet() - start;
    }
}

static void measure(u32 tds)
{
    u64 ticks = 0;

    arrived = 0;
    for (u32 i = 1; i < cpus; i++) {
        smp_run(i, work, &worker[i]);
    }
    work(&worker[0]);
    for (u32 i = 0; i < cpus; i++) {
        smp_wait(i);
        if (median(worker[i].ticks, SLICES) > ticks) {
            ticks = median(worker[i].ticks, SLICES);
        }
    }
    if (step[now].name) {
        print("# bench %s %s cpus=%u tds=%u calls=%u ns=%llu\n",
              seam_dynamic ? "dynamic" : "static", step[now].name, cpus, tds,
              step[now].calls, (long long)hpet_ns(ticks * SLICES));
    }
}

static void rounds(u32 tds)
{
    for (u32 r = 0; r < ROUNDS; r++) {
        for (now = 0; now < ARRAY_SIZE(step); now++) {
            if (!step[now].dynamic || seam_dynamic) {
                measure(tds);
            }
        }
    }
}

static void first_entry(void *arg)
{
    Worker *w = arg;

    w->bad += td_enter(&w->td, 0) != VMX_EXIT_TDCALL;
}

/* On CPU 0: what CPU @cpu works with. */
static void prepare(Worker *w, u32 cpu)
{
    w->pair[0] = (u64)page_alloc();
    w->pair[1] = (u64)page_alloc();
    for (u32 i = 0; i < REGIONS; i++) {
        w->region[i] = (u64)pages_alloc(512, REGION_SIZE);
        if (seam_dynamic && i < REGIONS - 1) {
            call(w, TDH_PHYMEM_PAMT_ADD, w->region[i] | 1, (u64)page_alloc(),
                 (u64)page_alloc());
        }
    }
    td_build(&w->td, first_keyid + 1 + cpu, 1);
    td_add_sept(&w->td, GPA, 2);
    for (u32 i = 0; i < REGIONS; i++) {
        td_add_sept(&w->td, GPA + i * REGION_SIZE, 1);
    }
    call(w, TDH_VP_FLUSH, w->td.vcpu[0].tdvpr, 0, 0);
    if (cpu) {
        smp_call(cpu, first_entry, w);
    } else {
        first_entry(w);
    }
}

void test_main(void)
{
    u32 bad = 0;

    seam_bring_up_as_offered();
    cpus = cpus_online;
    hpet_start();
    for (u32 i = 0; i < cpus; i++) {
        prepare(&worker[i], i);
    }
    rounds(cpus);
    for (u32 i = 0; i < OTHER_TDS; i++) {
        td_build(&other[i], first_keyid + 1 + MAX_CPUS + i, 1);
        bad += td_enter(&other[i], 0) != VMX_EXIT_TDCALL;
    }
    rounds(cpus + OTHER_TDS);
    for (u32 i = 0; i < cpus; i++) {
        bad += worker[i].bad;
    }
    check_eq(bad, 0, "every call succeeds");
}
