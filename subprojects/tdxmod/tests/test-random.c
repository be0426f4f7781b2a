/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random calls: nothing that a host does may crash the module, leave a lock
 * behind or break the counts.  The seed is printed by the test program; run
 * with --seed to repeat.  TDXMOD_RANDOM_CALLS: how many calls.
 */
#include <stdlib.h>
#include "machine.h"
#include "module.h"
#include "pamt.h"
#include "life.h"

#define PAGES           96      /* small, so that calls meet each other's pages */
#define REGIONS         3
#define PAIR_PAGES      6       /* with Dynamic PAMT */
#define TDS             3
#define THREADS         4

typedef struct Chaos {
    Machine *mc;
    uint64_t page[PAGES], region[REGIONS], pair[PAIR_PAGES];
    uint64_t params;
    bool no_sys;                /* only leaves that need READY */
    int answers;                /* atomic: successful calls */
    int stop;                   /* atomic: threads end */
} Chaos;

/* Leaves with small numbers are drawn as they come; all others sometimes. */
static const uint8_t favourites[] = {
    TDH_MNG_CREATE, TDH_MNG_KEY_CONFIG, TDH_MNG_ADDCX, TDH_MNG_ADDCX, TDH_MNG_INIT,
    TDH_VP_CREATE, TDH_VP_ADDCX, TDH_VP_ADDCX, TDH_VP_INIT, TDH_VP_FLUSH, TDH_VP_RD,
    TDH_VP_WR, TDH_MNG_RD, TDH_MEM_SEPT_ADD, TDH_MEM_SEPT_ADD, TDH_MEM_PAGE_ADD,
    TDH_MEM_PAGE_AUG, TDH_MEM_PAGE_AUG, TDH_MEM_RANGE_BLOCK, TDH_MEM_RANGE_BLOCK,
    TDH_MEM_TRACK, TDH_MEM_TRACK, TDH_MEM_PAGE_REMOVE, TDH_MEM_PAGE_REMOVE,
    TDH_MEM_SEPT_REMOVE, TDH_MEM_RANGE_UNBLOCK, TDH_MEM_PAGE_DEMOTE,
    TDH_MEM_PAGE_PROMOTE, TDH_MEM_PAGE_RELOCATE, TDH_MR_EXTEND, TDH_MR_FINALIZE,
    TDH_PHYMEM_PAGE_RECLAIM, TDH_PHYMEM_PAGE_RECLAIM, TDH_PHYMEM_PAGE_RDMD,
    TDH_PHYMEM_PAGE_WBINVD, TDH_PHYMEM_CACHE_WB, TDH_MEM_SEPT_RD, TDH_MEM_RD,
    TDH_PHYMEM_PAMT_ADD, TDH_PHYMEM_PAMT_ADD, TDH_PHYMEM_PAMT_REMOVE,
};
/* Drawn seldom: they end the lives of TDs. */
static const uint8_t finals[] = {
    TDH_MNG_VPFLUSHDONE, TDH_PHYMEM_CACHE_WB, TDH_MNG_KEY_FREEID,
};

static uint64_t any_page(Chaos *k, GRand *r)
{
    return k->page[g_rand_int_range(r, 0, PAGES)];
}

/* A page for a pair: mostly of the few that are there for that. */
static uint64_t any_pair_page(Chaos *k, GRand *r)
{
    return g_rand_int_range(r, 0, 8) ? k->pair[g_rand_int_range(r, 0, PAIR_PAGES)]
                                     : any_page(k, r);
}

static uint64_t any_gpa(GRand *r)
{
    static const uint64_t base[] = { 0, 0, 0, 0x200000, 0x7fffffffe000 };
    static const uint8_t levels[] = { 0, 0, 0, 0, 1, 1, 2, 3 };
    unsigned level = levels[g_rand_int_range(r, 0, G_N_ELEMENTS(levels))];
    uint64_t gpa = base[g_rand_int_range(r, 0, G_N_ELEMENTS(base))] +
                   g_rand_int_range(r, 0, 4) * 4096ull;

    if (g_rand_int_range(r, 0, 16)) {
        gpa &= -TDX_LEVEL_SIZE(level);
    }
    return gpa | level;
}

static uint64_t any_value(Chaos *k, GRand *r)
{
    switch (g_rand_int_range(r, 0, 8)) {
    case 0:
        return any_gpa(r);
    case 1:
        return k->region[g_rand_int_range(r, 0, REGIONS)];
    case 2:
        return g_rand_int_range(r, 0, 40);
    case 3:
        return (uint64_t)g_rand_int(r) << 32 | g_rand_int(r);
    case 4:
        return 1ull << g_rand_int_range(r, 0, 64);
    case 5:
        return any_page(k, r) |
               (uint64_t)g_rand_int_range(r, 0, 64) << MACHINE_HKID_SHIFT;
    default:
        return any_page(k, r);
    }
}

/* Registers that a leaf may well accept. */
static Regs likely(Chaos *k, GRand *r, unsigned leaf)
{
    Regs regs = { .rcx = any_page(k, r), .rdx = any_page(k, r), .r8 = any_page(k, r),
                  .r9 = any_page(k, r) };

    switch (leaf) {
    case TDH_MNG_CREATE:
        regs.rcx = k->page[g_rand_int_range(r, 0, TDS)];
        regs.rdx = MACHINE_GLOBAL_HKID + g_rand_int_range(r, 0, 4);
        break;
    case TDH_MNG_KEY_CONFIG:
    case TDH_MNG_VPFLUSHDONE:
    case TDH_MNG_KEY_FREEID:
    case TDH_MR_FINALIZE:
    case TDH_MEM_TRACK:
        regs.rcx = k->page[g_rand_int_range(r, 0, TDS)];
        break;
    case TDH_MNG_RD:
        regs.rcx = k->page[g_rand_int_range(r, 0, TDS)];
        regs.rdx = TDX_MD_TDCS_OP_STATE;
        break;
    case TDH_MNG_INIT:
        regs.rcx = k->page[g_rand_int_range(r, 0, TDS)];
        regs.rdx = k->params;
        break;
    case TDH_MNG_ADDCX:
        regs.rdx = k->page[g_rand_int_range(r, 0, TDS)];
        break;
    case TDH_VP_CREATE:
        regs.rcx = k->page[g_rand_int_range(r, TDS, TDS + 4)];
        regs.rdx = k->page[g_rand_int_range(r, 0, TDS)];
        break;
    case TDH_VP_ADDCX:
        regs.rdx = k->page[g_rand_int_range(r, TDS, TDS + 4)];
        break;
    case TDH_VP_INIT:
    case TDH_VP_FLUSH:
        regs.rcx = k->page[g_rand_int_range(r, TDS, TDS + 4)];
        regs.r8 = g_rand_int_range(r, 0, 4);
        break;
    case TDH_VP_RD:
    case TDH_VP_WR:
        regs.rcx = k->page[g_rand_int_range(r, TDS, TDS + 4)];
        regs.rdx = TDX_MD_VCPU_PEND_NMI;
        regs.r8 = regs.r9 = 1;
        break;
    case TDH_PHYMEM_CACHE_WB:
        regs.rcx = 0;
        break;
    case TDH_PHYMEM_PAGE_RECLAIM:
    case TDH_PHYMEM_PAGE_RDMD:
    case TDH_PHYMEM_PAGE_WBINVD:
        break;
    case TDH_PHYMEM_PAMT_ADD:
    case TDH_PHYMEM_PAMT_REMOVE:
        regs.rcx = (g_rand_int_range(r, 0, 3) ? k->region[g_rand_int_range(r, 0, REGIONS)]
                                              : any_page(k, r) & -2 * MIB) | TDX_2M;
        regs.rdx = any_pair_page(k, r);
        regs.r8 = any_pair_page(k, r);
        break;
    default:                    /* MEM and MR leaves */
        regs.rcx = any_gpa(r);
        regs.rdx = k->page[g_rand_int_range(r, 0, TDS)];
        if ((regs.rcx & 7) == TDX_2M && g_rand_boolean(r)) {
            regs.r8 = k->region[g_rand_int_range(r, 0, REGIONS)];
        }
        regs.r12 = any_pair_page(k, r);
        regs.r13 = any_pair_page(k, r);
        break;
    }
    return regs;
}

static bool ends_module(unsigned leaf)
{
    return leaf == TDH_SYS_SHUTDOWN || leaf == TDH_SYS_LP_SHUTDOWN ||
           leaf == TDH_SYS_DISABLE;
}

static void random_call(Chaos *k, GRand *r, unsigned lp)
{
    unsigned leaf = favourites[g_rand_int_range(r, 0, G_N_ELEMENTS(favourites))];
    uint64_t gpr[16];
    Regs regs;

    if (leaf == TDH_MR_FINALIZE && g_rand_int_range(r, 0, 8)) {
        leaf = TDH_MEM_SEPT_ADD;
    }
    if (!g_rand_int_range(r, 0, 3000)) {
        leaf = finals[g_rand_int_range(r, 0, G_N_ELEMENTS(finals))];
    }
    regs = likely(k, r, leaf);
    for (unsigned i = 0; i < 16; i++) {
        gpr[i] = any_value(k, r);
    }
    if (g_rand_int_range(r, 0, 20)) {
        gpr[TDX_RCX] = regs.rcx;
        gpr[TDX_RDX] = regs.rdx;
        gpr[TDX_R8] = regs.r8;
        gpr[TDX_R9] = regs.r9;
        gpr[TDX_R12] = regs.r12;
        gpr[TDX_R13] = regs.r13;
    } else if (g_rand_boolean(r)) {
        leaf = g_rand_int_range(r, 1, 70);      /* VP.ENTER has its own tests */
        if (ends_module(leaf) || (k->no_sys && leaf >= TDH_SYS_KEY_CONFIG &&
                                  leaf <= TDH_SYS_CONFIG)) {
            return;
        }
    }
    gpr[TDX_RAX] = TDX_RAX(leaf, leaf == TDH_VP_INIT && g_rand_boolean(r));
    if (!(seamcall_gpr(k->mc, lp, gpr) & TDX_ERROR)) {
        g_atomic_int_inc(&k->answers);
    }
}

static void chaos_new(Chaos *k, unsigned lps, gconstpointer dynamic)
{
    Life l;

    memset(k, 0, sizeof(*k));
    k->mc = machine_new_as((MachineShape){
        .lps = lps, .pkgs = 1, .dynamic_pamt = dynamic != NULL,
    });
    machine_ready(k->mc);
    for (unsigned i = 0; i < PAIR_PAGES; i++) {
        k->pair[i] = machine_pair_page(k->mc);
    }
    for (unsigned i = 0; i < PAGES; i++) {
        k->page[i] = machine_page(k->mc);
    }
    for (unsigned i = 0; i < REGIONS; i++) {
        k->region[i] = machine_2m(k->mc);
    }
    memset(&l, 0, sizeof(l));
    l.mc = k->mc;
    life_params(&l);
    k->params = l.params;
}

static void take_pairs_back(Machine *mc, uint64_t end)
{
    TdxPamtStats s;

    mc->no_check = true;
    for (uint64_t pa = 0; pa < end; pa += 2 * MIB) {
        CALL(mc, 0, TDH_PHYMEM_PAMT_REMOVE, .rcx = pa | TDX_2M);
    }
    mc->no_check = false;
    machine_check(mc);
    tdxmod_pamt_stats(mc->mod, &s);
    g_assert_cmpuint(s.pairs, ==, 0);
    g_assert_cmpuint(s.adds, >, 0);
}

/*
 * Whatever happened, the host can take everything back: release the keys, then
 * reclaim until nothing is left.
 */
static void take_all_back(Chaos *k)
{
    Machine *mc = k->mc;
    const uint64_t end = 56 * MIB;

    mc->no_check = false;
    machine_check(mc);
    mc->no_check = true;
    for (unsigned lp = 0; lp < mc->config.num_lps; lp++) {
        for (uint64_t pa = 2 * MIB; pa < end; pa += 4096) {
            CALL(mc, lp, TDH_VP_FLUSH, .rcx = pa);
        }
    }
    for (uint64_t pa = 2 * MIB; pa < end; pa += 4096) {
        CALL(mc, 0, TDH_MNG_VPFLUSHDONE, .rcx = pa);
    }
    CALL(mc, 0, TDH_PHYMEM_CACHE_WB);
    for (uint64_t pa = 2 * MIB; pa < end; pa += 4096) {
        CALL(mc, 0, TDH_MNG_KEY_FREEID, .rcx = pa);
    }
    /* The second time for the TDRs, whose pages are gone then. */
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t pa = 2 * MIB; pa < end; pa += 4096) {
            CALL(mc, 0, TDH_PHYMEM_PAGE_RECLAIM, .rcx = pa);
        }
    }
    mc->no_check = false;
    machine_check(mc);
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, 0);
    if (mc->dynamic) {
        take_pairs_back(mc, end);
    }
}

static unsigned calls(void)
{
    const char *env = getenv("TDXMOD_RANDOM_CALLS");

    return env ? atoi(env) : 40000;
}

static void test_one_lp(gconstpointer dynamic)
{
    Chaos k;
    g_autoptr(GRand) r = g_rand_new_with_seed(g_test_rand_int());

    chaos_new(&k, 1, dynamic);
    for (unsigned i = 0; i < calls(); i++) {
        /* A check costs more than a call. */
        k.mc->no_check = i % 16 != 0;
        random_call(&k, r, 0);
    }
    g_assert_cmpint(k.answers, >, (int)calls() / 100);
    take_all_back(&k);
    machine_free(k.mc);
}

typedef struct Worker {
    Chaos *k;
    unsigned lp;
    uint32_t seed;
} Worker;

static gpointer work(gpointer opaque)
{
    Worker *w = opaque;
    g_autoptr(GRand) r = g_rand_new_with_seed(w->seed);

    for (unsigned i = 0; i < calls() / THREADS; i++) {
        random_call(w->k, r, w->lp);
    }
    return NULL;
}

static void test_threads(gconstpointer dynamic)
{
    Chaos k;
    Worker w[THREADS];
    GThread *t[THREADS];

    chaos_new(&k, THREADS, dynamic);
    k.mc->no_check = true;
    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (Worker){ &k, i, g_test_rand_int() };
        t[i] = g_thread_new("lp", work, &w[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(t[i]);
    }
    g_assert_cmpint(k.answers, >, (int)calls() / 100);
    take_all_back(&k);
    machine_free(k.mc);
}

static gpointer work_until_stopped(gpointer opaque)
{
    Worker *w = opaque;
    g_autoptr(GRand) r = g_rand_new_with_seed(w->seed);

    while (!g_atomic_int_get(&w->k->stop)) {
        random_call(w->k, r, w->lp);
    }
    return NULL;
}

/* TDH.SYS.DISABLE while other LPs work: they are told, nothing of them is left. */
static void test_disable(gconstpointer dynamic)
{
    Chaos k;
    Worker w[THREADS - 1];
    GThread *t[THREADS - 1];
    unsigned done = 0;

    chaos_new(&k, THREADS, dynamic);
    k.mc->no_check = k.no_sys = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(w); i++) {
        w[i] = (Worker){ &k, i, g_test_rand_int() };
        t[i] = g_thread_new("lp", work_until_stopped, &w[i]);
    }
    while (done < 10) {
        uint64_t status = CALL(k.mc, THREADS - 1, TDH_SYS_DISABLE);

        if (status != TDX_SYS_BUSY) {
            assert_status(status, TDX_SUCCESS);
            g_assert_cmpuint(tdxmod_pages_in_use(k.mc->mod), ==, 0);
            done++;
            if (done < 10) {
                machine_ready(k.mc);
                g_usleep(2000);
            }
        }
        g_thread_yield();
    }
    g_atomic_int_set(&k.stop, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(w); i++) {
        g_thread_join(t[i]);
    }
    k.mc->no_check = false;
    machine_ready(k.mc);
    g_assert_cmpuint(tdxmod_pages_in_use(k.mc->mod), ==, 0);
    machine_free(k.mc);
}

/* A page of the PAMT arrays; with Dynamic PAMT also of a pair. */
static uint64_t pamt_page(Chaos *k, GRand *r)
{
    if (!k->mc->dynamic) {
        return 56 * MIB + g_rand_int_range(r, 512, 1024) * 4096ull;
    }
    switch (g_rand_int_range(r, 0, 3)) {
    case 0:
        return 56 * MIB;        /* the bitmap's first 128 MiB */
    case 1:
        return 60 * MIB;        /* 2M entries */
    default:
        return k->pair[g_rand_int_range(r, 0, PAIR_PAGES)];
    }
}

/* RAM with the module's structures is overwritten between calls. */
static void test_scribble(gconstpointer dynamic)
{
    Chaos k;
    g_autoptr(GRand) r = g_rand_new_with_seed(g_test_rand_int());

    chaos_new(&k, 2, dynamic);
    k.mc->no_check = k.mc->scribbled = true;
    for (unsigned i = 0; i < calls(); i++) {
        if (g_rand_int_range(r, 0, 8) == 0) {
            uint64_t pa = g_rand_boolean(r) ? any_page(&k, r) : pamt_page(&k, r);
            uint64_t *p = machine_ptr(k.mc, pa, 4096);
            unsigned at = g_rand_int_range(r, 0, g_rand_boolean(r) ? 512 : 32);

            p[at] = g_rand_boolean(r) ? any_value(&k, r) : p[at] ^ 1ull <<
                    g_rand_int_range(r, 0, 64);
        }
        random_call(&k, r, g_rand_int_range(r, 0, 2));
    }
    /* DISABLE and a new start put everything right. */
    k.mc->no_check = false;
    assert_status(CALL(k.mc, 0, TDH_SYS_DISABLE), TDX_SUCCESS);
    machine_ready(k.mc);
    g_assert_cmpuint(tdxmod_pages_in_use(k.mc->mod), ==, 0);
    machine_free(k.mc);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        GTestDataFunc fn;
    } tests[] = {
        { "/random/one-lp", test_one_lp },
        { "/random/threads", test_threads },
        { "/random/disable", test_disable },
        { "/random/scribble", test_scribble },
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *dynamic = g_strdup_printf("%s/dynamic-pamt", tests[i].path);

        g_test_add_data_func(tests[i].path, NULL, tests[i].fn);
        g_test_add_data_func(dynamic, "", tests[i].fn);
    }
    return g_test_run();
}
