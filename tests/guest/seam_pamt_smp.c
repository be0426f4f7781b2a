/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT on two LPs: pairs come and go beside a running vCPU; then
 * both LPs do everything at random in a few regions, where races give OPERAND_BUSY
 * and nothing else that is not true.
 */
#include "seam.h"

const char test_name[] = "seam_pamt_smp";

#ifndef SEED
#define SEED        0
#endif
#ifndef ROUNDS
#define ROUNDS      40000
#endif
#define GPA         0x40000000ull
#define BUSY(reg)   OPERAND(TDX_OPERAND_BUSY, reg)
#define VECTOR_KICK 0x71

/* A SEAMCALL with registers of its own, as both LPs need it. */
static u64 call(TdxRegs *r, u64 rax, u64 rcx, u64 rdx, u64 r8)
{
    *r = (TdxRegs){ .rax = rax, .rcx = rcx, .rdx = rdx, .r8 = r8 };
    if (seamcall_regs(r)) {
        panic("SEAMCALL %llx fails on CPU %u", (long long)rax, this_cpu()->index);
    }
    return r->rax;
}

/* --- a vCPU that runs --- */

static Td td;
static volatile u64 spin_exit;

static void spin(void *arg)
{
    TdxRegs r;

    do {                        /* LP 0 may look at the TDVPR at that moment */
        r = (TdxRegs){ .rax = TDH_VP_ENTER, .rcx = td.vcpu[0].tdvpr, .r10 = OP_SPIN };
        if (seamcall_regs(&r)) {
            panic("TDH.VP.ENTER on LP 1");
        }
    } while (TDX_STATUS_CODE(r.rax) == TDX_OPERAND_BUSY);
    spin_exit = r.rax;
    apic_write(APIC_EOI, 0);
}

static void enter(void *arg)
{
    spin_exit = td_enter(&td, 0);
}

static void flush(void *arg)
{
    TdxRegs r;

    spin_exit = call(&r, TDH_VP_FLUSH, td.vcpu[0].tdvpr, 0, 0);
}

/* Two regions in turn, so that a page of the other one is in the pair. */
static void beside_a_vcpu(void)
{
    u64 a = (u64)pages_alloc(512, REGION_SIZE), b = (u64)pages_alloc(512, REGION_SIZE);
    u64 vp = td.vcpu[0].tdvpr, used = vp & -REGION_SIZE, page = (u64)page_alloc();
    u32 bad = 0, busy = 0;

    tdh_1(TDH_VP_FLUSH, vp);
    smp_call(1, enter, NULL);
    check_eq(spin_exit, VMX_EXIT_TDCALL, "a TD with Dynamic PAMT starts on LP 1");
    smp_run(1, spin, NULL);
    for (u32 i = 0; i < 2000000 && busy < 20; i++) {
        busy = tdh_1(TDH_VP_FLUSH, vp) == BUSY(RCX) ? busy + 1 : 0;
    }
    check_eq(busy, 20, "the vCPU runs on LP 1 and holds its TDVPR (1.8)");
    for (u32 i = 0; i < 200; i++) {
        bad += pamt_add(a, b + i * PAGE_SIZE, page) != TDX_SUCCESS;
        bad += pamt_add(b, a, a + i * PAGE_SIZE + PAGE_SIZE) != TDX_SUCCESS;
        bad += pamt_remove(a) != TDX_SUCCESS;
        bad += pamt_remove(b) != TDX_SUCCESS;
    }
    check_eq(bad, 0, "200 pairs come and go while a vCPU runs: never BUSY");
    for (u32 i = 0; i < 200; i++) {
        bad += TDX_STATUS_CODE(pamt_remove(used)) != TDX_PAMT_PAGE_NOT_EMPTY;
    }
    check_eq(bad, 0, "PAMT.REMOVE of the region with its TDVPR: PAMT_PAGE_NOT_EMPTY");
    check_eq(tdh_1(TDH_PHYMEM_PAGE_RECLAIM, vp), BUSY(RCX), "the TDVPR is locked still");
    pamt_add(a, page, b);
    for (u32 i = 0; i < 200; i++) {
        bad += tdh_3(TDH_MEM_PAGE_AUG, GPA, td.tdr, a) != TDX_SUCCESS;
        bad += tdh_2(TDH_MEM_RANGE_BLOCK, GPA, td.tdr) != TDX_SUCCESS;
        bad += TDX_STATUS_CODE(tdh_2(TDH_MEM_PAGE_REMOVE, GPA, td.tdr)) !=
               TDX_TLB_TRACKING_NOT_DONE;
        bad += pamt_remove(a) != TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 0);
        if (i == 0) {
            tdh_1(TDH_MEM_TRACK, td.tdr);
            apic_send(percpu[1].apic_id, VECTOR_KICK);
            smp_wait(1);
        } else {
            bad += tdh_1(TDH_MEM_TRACK, td.tdr) != TDX_SUCCESS;
        }
        bad += tdh_2(TDH_MEM_PAGE_REMOVE, GPA, td.tdr) != TDX_SUCCESS;
        bad += tdh_out.rcx != (a | PAMT_HINT);
    }
    check_eq(bad, 0, "AUG, block, track and REMOVE of a region's only page");
    check_eq(spin_exit, VMX_EXIT_EXT_INTR, "an IPI ended the vCPU's run");
    check_eq(pamt_remove(a), TDX_SUCCESS, "PAMT.REMOVE of its region");
    smp_call(1, flush, NULL);
    check_eq(spin_exit, TDX_SUCCESS, "VP.FLUSH on LP 1");
}

/* --- both LPs at random --- */

#define REGIONS     4
#define SLOTS       64          /* GPAs of one LP, each with its page */
#define MAX_STORMS  10
#define POOL        12          /* pages for pairs that one LP begins with */

enum { ADD, REMOVE, AUG, UNAUG, RDMD, NUM_OPS };
#define MAX_LEGAL   5

/* What may come out when each LP uses pages of its own; 0 is TDX_SUCCESS. */
static const struct {
    const char *name;
    u64 legal[MAX_LEGAL];
    const char *rule[MAX_LEGAL];
} op_table[NUM_OPS] = {
    [ADD] = { "PAMT.ADD", { 0, BUSY(RCX), BUSY(RDX), BUSY(R8),
                            OPERAND(TDX_HPA_RANGE_NOT_FREE, RCX) },
              { "success", "the region is locked", "RDX's region is locked",
                "R8's region is locked", "the other LP was first" } },
    [REMOVE] = { "PAMT.REMOVE", { 0, BUSY(RCX), OPERAND(TDX_NO_PAMT_PAGE_PAIR, RCX),
                                  TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 0),
                                  TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 1) },
                 { "success", "the region is locked", "there is no pair",
                   "a page is in use", "a page of the second half is in use" } },
    [AUG] = { "PAGE.AUG", { 0, BUSY(R8), OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, R8) },
              { "success", "the region is locked", "there is no pair" } },
    [UNAUG] = { "PAGE.REMOVE", { 0, BUSY(RCX) }, { "success", "the region is locked" } },
    [RDMD] = { "PAGE.RDMD", { 0, BUSY(RCX) }, { "success", "the region is locked" } },
};

typedef struct Lp {
    u32 cpu, num_pool, wrong;
    u64 seed, pool[2 * POOL];
    u64 hpa[SLOTS];             /* of the slot's page; bit 0: the TD has it */
    u32 seen[NUM_OPS][MAX_LEGAL + 1];   /* the last: illegal */
} Lp;

static Lp lp[2];
static u64 area[REGIONS], all_pages[2 * POOL];
static volatile u32 ready;

static u64 random(Lp *l)
{
    l->seed ^= l->seed << 13;
    l->seed ^= l->seed >> 7;
    l->seed ^= l->seed << 17;
    return l->seed >> 11;
}

static u64 op(Lp *l, u32 n, TdxRegs *r, u64 rax, u64 rcx, u64 rdx, u64 r8)
{
    u64 st = call(r, rax, rcx, rdx, r8);
    u32 i = 0;

    while (i < MAX_LEGAL && (op_table[n].legal[i] != st || (i && !st))) {
        i++;
    }
    l->seen[n][i]++;
    if (i == MAX_LEGAL && l->wrong++ < 5) {
        print("# %s on LP %u: %llx\n", op_table[n].name, l->cpu, (long long)st);
    }
    return st;
}

static u64 take(Lp *l)
{
    u32 i = random(l) % l->num_pool;
    u64 page = l->pool[i];

    l->pool[i] = l->pool[--l->num_pool];
    return page;
}

static void random_add(Lp *l, u64 r)
{
    TdxRegs regs;
    u64 a, b;

    if (l->num_pool < 2) {
        return;
    }
    a = take(l);
    b = take(l);
    if (op(l, ADD, &regs, TDH_PHYMEM_PAMT_ADD, r | 1, a, b)) {
        l->pool[l->num_pool++] = a;
        l->pool[l->num_pool++] = b;
    }
}

static void random_remove(Lp *l, u64 r)
{
    TdxRegs regs;

    if (l->num_pool + 2 <= ARRAY_SIZE(l->pool) &&
        !op(l, REMOVE, &regs, TDH_PHYMEM_PAMT_REMOVE, r | 1, 0, 0)) {
        l->pool[l->num_pool++] = regs.rdx;
        l->pool[l->num_pool++] = regs.r8;
    }
}

static u64 slot_gpa(const Lp *l, u32 slot)
{
    return GPA + (l->cpu * SLOTS + slot) * PAGE_SIZE;
}

static void take_page(Lp *l, u32 slot)
{
    TdxRegs regs;
    u64 page = l->hpa[slot] & ~1ull;

    if (!op(l, UNAUG, &regs, TDH_MEM_PAGE_REMOVE, slot_gpa(l, slot), td.tdr, 0)) {
        l->hpa[slot] = page;
        l->wrong += (regs.rcx & ~PAMT_HINT) != page;
    }
}

static void random_page(Lp *l, u32 slot, bool give)
{
    TdxRegs regs;

    if (l->hpa[slot] & 1) {
        take_page(l, slot);
    } else if (give && !op(l, AUG, &regs, TDH_MEM_PAGE_AUG, slot_gpa(l, slot), td.tdr,
                   l->hpa[slot])) {
        l->hpa[slot] |= 1;
    }
}

static void storm(void *arg)
{
    Lp *l = arg;
    TdxRegs regs;

    __atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
    while (ready < 2) {
        cpu_relax();
    }
    for (u32 i = 0; i < ROUNDS; i++) {
        u64 what = random(l), r = area[random(l) % REGIONS];

        /* a while without pages, so that regions are empty and lose their pairs */
        bool give = i & 1024;

        switch (what % 8) {
        case 0 ... 1:
            random_add(l, r);
            break;
        case 2 ... 3:
            random_remove(l, r);
            break;
        case 4:
            op(l, RDMD, &regs, TDH_PHYMEM_PAGE_RDMD,
               r + random(l) % 512 * PAGE_SIZE, 0, 0);
            break;
        default:
            random_page(l, what / 8 % SLOTS, give);
        }
    }
    for (u32 slot = 0; slot < SLOTS; slot++) {
        while (l->hpa[slot] & 1 && !l->wrong) {
            take_page(l, slot);
        }
    }
}

/* Pairs for all regions: half of the pages lie in these regions themselves. */
static void prepare(void)
{
    u32 n = 0;

    for (u32 i = 0; i < REGIONS; i++) {
        area[i] = (u64)pages_alloc(512, REGION_SIZE);
    }
    for (u32 c = 0; c < 2; c++) {
        Lp *l = &lp[c];

        l->cpu = c;
        l->seed = 0x9e3779b97f4a7c15ull * (SEED + c + 1);
        for (u32 i = 0; i < POOL; i++) {
            l->pool[i] = i % 2 ? (u64)page_alloc()
                               : area[i / 2 % REGIONS] + (c * 8 + i / 2) * PAGE_SIZE;
            all_pages[n++] = l->pool[i];
        }
        l->num_pool = POOL;
        for (u32 i = 0; i < SLOTS; i++) {
            l->hpa[i] = area[i % REGIONS] + (16 + i / REGIONS * 30 + c) * PAGE_SIZE;
        }
    }
}

/* All pages of pairs are in the pools again, each once. */
static bool pools_are_whole(void)
{
    u32 n = 0, found = 0;

    for (u32 c = 0; c < 2; c++) {
        for (u32 i = 0; i < lp[c].num_pool; i++, n++) {
            for (u32 j = 0; j < ARRAY_SIZE(all_pages); j++) {
                if (all_pages[j] == lp[c].pool[i]) {
                    all_pages[j] = 0;
                    found++;
                }
            }
        }
    }
    return n == 2 * POOL && found == n;
}

static void outcome(void)
{
    for (u32 n = 0; n < NUM_OPS; n++) {
        check_eq(lp[0].seen[n][MAX_LEGAL] + lp[1].seen[n][MAX_LEGAL], 0,
                 "storm: %s: only legal statuses", op_table[n].name);
        for (u32 i = 0; i < MAX_LEGAL && op_table[n].rule[i]; i++) {
            u32 seen = lp[0].seen[n][i] + lp[1].seen[n][i];

            if (seen) {
                check(true, "storm: %s: %s", op_table[n].name, op_table[n].rule[i]);
            } else {
                check_skip("the LPs did not meet", "storm: %s: %s", op_table[n].name,
                           op_table[n].rule[i]);
            }
        }
    }
}

/* Something that both LPs together have not met yet. */
static bool unseen(void)
{
    for (u32 n = 0; n < NUM_OPS; n++) {
        for (u32 i = 0; i < MAX_LEGAL && op_table[n].rule[i]; i++) {
            if (!lp[0].seen[n][i] && !lp[1].seen[n][i]) {
                return true;
            }
        }
    }
    return false;
}

static void both_at_random(void)
{
    u32 left = 0, times = 0;

    prepare();
    for (int level = 2; level > 0; level--) {
        td_add_sept(&td, GPA, level);
    }
    do {
        ready = 0;
        smp_run(1, storm, &lp[1]);
        storm(&lp[0]);
        smp_wait(1);
    } while (unseen() && ++times < MAX_STORMS);
    for (u32 i = 0; i < REGIONS; i++) {
        random_remove(&lp[0], area[i]);
        left += pamt_remove(area[i]) != OPERAND(TDX_NO_PAMT_PAGE_PAIR, RCX);
    }
    check_eq(lp[0].wrong + lp[1].wrong, 0, "storm: PAGE.REMOVE gives the right pages");
    check_eq(left, 0, "storm: all regions are empty, all pairs come back");
    check(pools_are_whole(), "storm: each page of a pair came back, once");
    outcome();
}

void test_main(void)
{
    seam_bring_up_dynamic();
    td_build(&td, first_keyid + 1, 1);
    for (int level = 2; level > 0; level--) {
        td_add_sept(&td, GPA, level);
    }
    beside_a_vcpu();
    td_destroy(&td);
    td_make_tdr(&td, first_keyid + 1);      /* not finalised: pages go unblocked */
    td_add_tdcs(&td);
    td_default_params(&td);
    if (tdh_2(TDH_MNG_INIT, td.tdr, (u64)td.params)) {
        panic("TDH.MNG.INIT: %llx", (long long)tdh_out.rax);
    }
    td_add_sept(&td, GPA, 3);
    both_at_random();
    td_destroy(&td);
    seam_unback();
    check(true, "all other pairs come back");
    check_eq(tdh_clobbered, 0, "no leaf changed a register that is not its output");
}
