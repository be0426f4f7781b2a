/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT under several LPs at once: as Linux uses it, where no call may fail; and
 * without any order among them, where OPERAND_BUSY must have a reason.
 */
#include "dpamt.h"

#define THREADS         4
#define REGIONS         4
#define ROUNDS          6000

typedef struct Shared {
    Machine *mc;
    Life l;
    uint64_t base;              /* of REGIONS times 2 MiB */
    int started;                /* atomic: threads that are there */
    int stop;                   /* atomic */

    /* A host as Linux: its free pages, and what backs them. */
    GMutex pool_lock, pamt_lock;
    unsigned pool[REGIONS * 512], free;
    int refcount[REGIONS];      /* atomic */

    /* Anarchy: who is at work where, and what came of it. */
    uint64_t visits[REGIONS];   /* atomic; 31:0 now, 63:32 begun so far */
    int paired[REGIONS * 512];  /* atomic: ADDs less REMOVEs of a page */
    int adds, removes, busy;    /* atomic */
} Shared;

typedef struct Worker {
    Shared *s;
    unsigned lp;
    uint32_t seed;
    uint64_t mapped[512];       /* page under a GPA, or 0 */
    unsigned num_mapped;
} Worker;

static uint64_t page_pa(const Shared *s, unsigned page)
{
    return s->base + page * 4096ull;
}

static uint64_t region_pa(const Shared *s, unsigned region)
{
    return s->base + region * 2 * MIB;
}

static unsigned page_of(const Shared *s, uint64_t pa)
{
    g_assert_cmphex(pa, >=, s->base);
    g_assert_cmphex(pa, <, s->base + REGIONS * 2 * MIB);
    return (pa - s->base) / 4096;
}

/* Each thread has 2 MiB of GPA of its own. */
static uint64_t gpa_of(const Worker *w, unsigned i)
{
    return DPAMT_GPA + w->lp * 2 * MIB + i * 4096;
}

/* gpr[]: in and out */
static uint64_t do_call(Worker *w, uint64_t rax, uint64_t gpr[16])
{
    gpr[TDX_RAX] = rax;
    return seamcall_gpr(w->s->mc, w->lp, gpr);
}

static uint64_t pamt_call(Worker *w, unsigned leaf, unsigned region, uint64_t pair[2])
{
    uint64_t gpr[16] = { 0 }, st;

    gpr[TDX_RCX] = region_pa(w->s, region) | TDX_2M;
    gpr[TDX_RDX] = pair[0];
    gpr[TDX_R8] = pair[1];
    st = do_call(w, leaf, gpr);
    pair[0] = gpr[TDX_RDX];
    pair[1] = gpr[TDX_R8];
    return st;
}

/* AUG and REMOVE of the thread's page @i; *pa: the page. */
static uint64_t page_call(Worker *w, unsigned leaf, unsigned i, uint64_t *pa)
{
    uint64_t gpr[16] = { 0 }, st;

    gpr[TDX_RCX] = gpa_of(w, i);
    gpr[TDX_RDX] = w->s->l.tdr;
    gpr[TDX_R8] = *pa;
    st = do_call(w, leaf, gpr);
    if (leaf == TDH_MEM_PAGE_REMOVE && !st) {
        *pa = gpr[TDX_RCX] & ~DPAMT_HINT;
    }
    return st;
}

static void shared_new(Shared *s)
{
    memset(s, 0, sizeof(*s));
    g_mutex_init(&s->pool_lock);
    g_mutex_init(&s->pamt_lock);
    s->mc = dpamt_machine(THREADS + 1);
    dpamt_td(&s->l, s->mc);
    for (unsigned i = 1; i < THREADS; i++) {
        life_sept(&s->l, DPAMT_GPA + i * 2 * MIB, TDX_4K);
    }
    s->base = machine_2m(s->mc);
    for (unsigned i = 1; i < REGIONS; i++) {
        machine_2m(s->mc);
    }
    s->mc->no_check = true;
}

static void shared_free(Shared *s)
{
    machine_free(s->mc);
    g_mutex_clear(&s->pool_lock);
    g_mutex_clear(&s->pamt_lock);
}

static void run(Shared *s, Worker w[THREADS], GThreadFunc fn)
{
    GThread *t[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (Worker){ .s = s, .lp = i, .seed = g_test_rand_int() };
    }
    for (unsigned i = 0; i < THREADS; i++) {
        t[i] = g_thread_new("lp", fn, &w[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(t[i]);
    }
}

/* No thread starts before all are there. */
static void wait_for_all(Shared *s)
{
    g_atomic_int_inc(&s->started);
    while (g_atomic_int_get(&s->started) < THREADS) {
        g_thread_yield();
    }
}

/* --- as Linux: one reference for each page, ADD and REMOVE under one lock --- */

static unsigned take_page(Shared *s, GRand *rand)
{
    unsigned page, at;

    g_mutex_lock(&s->pool_lock);
    g_assert_cmpuint(s->free, >, 0);
    at = g_rand_int_range(rand, 0, s->free);
    page = s->pool[at];
    s->pool[at] = s->pool[--s->free];
    g_mutex_unlock(&s->pool_lock);
    return page;
}

static void give_page(Shared *s, unsigned page)
{
    g_mutex_lock(&s->pool_lock);
    s->pool[s->free++] = page;
    g_mutex_unlock(&s->pool_lock);
}

static bool inc_not_zero(int *count)
{
    int old = g_atomic_int_get(count);

    while (old && !g_atomic_int_compare_and_exchange(count, old, old + 1)) {
        old = g_atomic_int_get(count);
    }
    return old;
}

static void get(Worker *w, unsigned page, GRand *rand)
{
    Shared *s = w->s;
    int *count = &s->refcount[page / 512];
    uint64_t pair[2];

    if (inc_not_zero(count)) {
        return;
    }
    g_mutex_lock(&s->pamt_lock);
    if (!inc_not_zero(count)) {
        pair[0] = page_pa(s, take_page(s, rand));
        pair[1] = page_pa(s, take_page(s, rand));
        assert_status(pamt_call(w, TDH_PHYMEM_PAMT_ADD, page / 512, pair), TDX_SUCCESS);
        g_atomic_int_set(count, 1);
        g_atomic_int_inc(&s->adds);
    }
    g_mutex_unlock(&s->pamt_lock);
}

static bool dec_unless_last(int *count)
{
    int old = g_atomic_int_get(count);

    while (old > 1 && !g_atomic_int_compare_and_exchange(count, old, old - 1)) {
        old = g_atomic_int_get(count);
    }
    return old > 1;
}

static void put(Worker *w, unsigned page)
{
    Shared *s = w->s;
    int *count = &s->refcount[page / 512];
    uint64_t pair[2] = { 0 };

    if (dec_unless_last(count)) {
        return;
    }
    g_mutex_lock(&s->pamt_lock);
    if (g_atomic_int_dec_and_test(count)) {
        assert_status(pamt_call(w, TDH_PHYMEM_PAMT_REMOVE, page / 512, pair),
                      TDX_SUCCESS);
        give_page(s, page_of(s, pair[0]));
        give_page(s, page_of(s, pair[1]));
    }
    g_mutex_unlock(&s->pamt_lock);
}

static void map_page(Worker *w, unsigned i, GRand *rand)
{
    unsigned page = take_page(w->s, rand);
    uint64_t pa = page_pa(w->s, page);

    get(w, page, rand);
    assert_status(page_call(w, TDH_MEM_PAGE_AUG, i, &pa), TDX_SUCCESS);
    w->mapped[i] = pa;
}

static void unmap_page(Worker *w, unsigned i)
{
    uint64_t pa = 0, gpr[16] = { 0 };

    assert_status(page_call(w, TDH_MEM_PAGE_REMOVE, i, &pa), TDX_SUCCESS);
    g_assert_cmphex(pa, ==, w->mapped[i]);
    gpr[TDX_RCX] = pa | (uint64_t)LIFE_HKID << MACHINE_HKID_SHIFT;
    assert_status(do_call(w, TDH_PHYMEM_PAGE_WBINVD, gpr), TDX_SUCCESS);
    put(w, page_of(w->s, pa));
    give_page(w->s, page_of(w->s, pa));
    w->mapped[i] = 0;
}

/* Few pages at a time, so that counts go between 0 and 1 all the time. */
static gpointer orderly(gpointer opaque)
{
    Worker *w = opaque;
    g_autoptr(GRand) rand = g_rand_new_with_seed(w->seed);

    wait_for_all(w->s);
    for (unsigned n = 0; n < ROUNDS; n++) {
        unsigned i = g_rand_int_range(rand, 0, 2);

        if (w->mapped[i]) {
            unmap_page(w, i);
        } else {
            map_page(w, i, rand);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        if (w->mapped[i]) {
            unmap_page(w, i);
        }
    }
    return NULL;
}

/* Somebody looks on all the time. */
static gpointer watch(gpointer opaque)
{
    Shared *s = opaque;
    TdxPamtFailure f[8];
    TdxPamtRegion r;
    TdxPamtStats st;

    while (!g_atomic_int_get(&s->stop)) {
        for (uint64_t pa = s->base; tdxmod_pamt_region(s->mc->mod, pa, &r);
             pa = r.pa + 1) {
            g_assert_cmpuint(r.count, <=, 512);
            g_assert_cmpuint(r.recount, <=, 512);
            g_assert_cmpint(r.backed, ==, r.pair[0] != 0);
        }
        tdxmod_pamt_stats(s->mc->mod, &st);
        g_assert_cmpuint(st.adds, ==, st.removes + st.pairs);
        tdxmod_pamt_failures(s->mc->mod, f, G_N_ELEMENTS(f));
        g_usleep(200);
    }
    return NULL;
}

static void test_as_linux(void)
{
    GThread *watcher;
    Worker w[THREADS];
    TdxPamtStats st, before;
    Shared s;

    shared_new(&s);
    for (unsigned i = 0; i < REGIONS * 512; i++) {
        s.pool[s.free++] = i;
    }
    tdxmod_pamt_stats(s.mc->mod, &before);
    watcher = g_thread_new("watch", watch, &s);
    run(&s, w, orderly);
    g_atomic_int_set(&s.stop, 1);
    g_thread_join(watcher);
    g_assert_cmpuint(s.free, ==, REGIONS * 512);
    tdxmod_pamt_stats(s.mc->mod, &st);
    g_assert_cmpuint(st.adds - before.adds, ==, s.adds);
    g_assert_cmpuint(st.pairs, ==, before.pairs);
    g_assert_cmpuint(st.failures, ==, 0);
    g_assert_cmpint(s.adds, >, 100);
    for (unsigned i = 0; i < REGIONS; i++) {
        dpamt_expect(s.mc, region_pa(&s, i), DPAMT_NONE);
    }
    machine_check(s.mc);
    shared_free(&s);
}

/* --- anarchy --- */

#define SET(...)        ((const uint64_t[]){ __VA_ARGS__, UINT64_MAX })

static void legal(uint64_t status, const uint64_t *set)
{
    for (; *set != UINT64_MAX; set++) {
        if (*set == status) {
            return;
        }
    }
    g_error("status 0x%" PRIx64 " is not one of this leaf", status);
}

/* A call that locks things in the regions of @mask. */
typedef struct Visit {
    unsigned mask;
    bool other;                 /* somebody else was there in the meantime */
    uint32_t begun[REGIONS];
} Visit;

static void visit_begin(Shared *s, Visit *v)
{
    for (unsigned i = 0; i < REGIONS; i++) {
        if (v->mask & 1 << i) {
            uint64_t old = __atomic_fetch_add(&s->visits[i], 1ull << 32 | 1,
                                              __ATOMIC_SEQ_CST);

            v->other |= (uint32_t)old != 0;
            v->begun[i] = (old >> 32) + 1;
        }
    }
}

static void visit_end(Shared *s, Visit *v, uint64_t status)
{
    for (unsigned i = 0; i < REGIONS; i++) {
        if (v->mask & 1 << i) {
            uint64_t old = __atomic_fetch_sub(&s->visits[i], 1, __ATOMIC_SEQ_CST);

            v->other |= old >> 32 != v->begun[i];
        }
    }
    if (TDX_STATUS_CODE(status) == TDX_OPERAND_BUSY) {
        g_assert_true(v->other);
        g_atomic_int_inc(&s->busy);
    }
}

static unsigned any_page(Shared *s, GRand *rand)
{
    (void)s;
    return g_rand_int_range(rand, 0, REGIONS) * 512 + g_rand_int_range(rand, 0, 8) * 73;
}

static void anarchic_add(Worker *w, GRand *rand)
{
    Shared *s = w->s;
    unsigned region = g_rand_int_range(rand, 0, REGIONS), a = any_page(s, rand),
             b = any_page(s, rand);
    uint64_t pair[2] = { page_pa(s, a), page_pa(s, b) }, st;
    Visit v = { .mask = 1 << region | 1 << a / 512 | 1 << b / 512 };

    visit_begin(s, &v);
    st = pamt_call(w, TDH_PHYMEM_PAMT_ADD, region, pair);
    visit_end(s, &v, st);
    legal(st, SET(TDX_SUCCESS, OPERAND(TDX_OPERAND_BUSY, RCX),
                  OPERAND(TDX_OPERAND_BUSY, RDX), OPERAND(TDX_OPERAND_BUSY, R8),
                  OPERAND(TDX_HPA_RANGE_NOT_FREE, RCX), OPERAND(TDX_PAGE_NOT_FREE, RDX),
                  OPERAND(TDX_PAGE_NOT_FREE, R8)));
    if (!st) {
        g_atomic_int_inc(&s->paired[a]);
        g_atomic_int_inc(&s->paired[b]);
        g_atomic_int_inc(&s->adds);
    }
}

static void anarchic_remove(Worker *w, GRand *rand)
{
    Shared *s = w->s;
    unsigned region = g_rand_int_range(rand, 0, REGIONS);
    uint64_t pair[2] = { 0 }, st;
    Visit v = { .mask = 1 << region };

    visit_begin(s, &v);
    st = pamt_call(w, TDH_PHYMEM_PAMT_REMOVE, region, pair);
    visit_end(s, &v, st);
    legal(st, SET(TDX_SUCCESS, OPERAND(TDX_OPERAND_BUSY, RCX),
                  OPERAND(TDX_NO_PAMT_PAGE_PAIR, RCX), TDX_PAMT_PAGE_NOT_EMPTY,
                  TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 1)));
    if (!st) {
        g_atomic_int_add(&s->paired[page_of(s, pair[0])], -1);
        g_atomic_int_add(&s->paired[page_of(s, pair[1])], -1);
        g_atomic_int_inc(&s->removes);
    } else {
        g_assert_cmphex(pair[0] | pair[1], ==, 0);
    }
}

static void anarchic_page(Worker *w, unsigned i, GRand *rand)
{
    Shared *s = w->s;
    bool map = !w->mapped[i];
    unsigned page = map ? any_page(s, rand) : page_of(s, w->mapped[i]);
    uint64_t pa = page_pa(s, page), st;
    Visit v = { .mask = 1 << page / 512 };

    visit_begin(s, &v);
    st = page_call(w, map ? TDH_MEM_PAGE_AUG : TDH_MEM_PAGE_REMOVE, i, &pa);
    visit_end(s, &v, st);
    if (map) {
        legal(st, SET(TDX_SUCCESS, OPERAND(TDX_OPERAND_BUSY, R8),
                      OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, R8),
                      OPERAND(TDX_PAGE_METADATA_INCORRECT, R8)));
    } else {
        legal(st, SET(TDX_SUCCESS, OPERAND(TDX_OPERAND_BUSY, RCX)));
    }
    if (!st) {
        w->mapped[i] = map ? pa : 0;
    }
}

static gpointer anarchic(gpointer opaque)
{
    Worker *w = opaque;
    g_autoptr(GRand) rand = g_rand_new_with_seed(w->seed);

    wait_for_all(w->s);
    for (unsigned n = 0; n < 4 * ROUNDS; n++) {
        switch (g_rand_int_range(rand, 0, 6)) {
        case 0:
            anarchic_add(w, rand);
            break;
        case 1:
            anarchic_remove(w, rand);
            break;
        default:
            anarchic_page(w, g_rand_int_range(rand, 0, 4), rand);
            break;
        }
    }
    return NULL;
}

static void test_anarchy(void)
{
    Worker w[THREADS];
    unsigned in_use[REGIONS] = { 0 }, pairs = 0;
    TdxPamtStats before, st;
    Shared s;

    shared_new(&s);
    tdxmod_pamt_stats(s.mc->mod, &before);
    run(&s, w, anarchic);
    g_assert_cmpint(s.adds, >, 100);
    machine_check(s.mc);
    for (unsigned i = 0; i < THREADS; i++) {
        for (unsigned j = 0; j < 4; j++) {
            if (w[i].mapped[j]) {
                in_use[page_of(&s, w[i].mapped[j]) / 512]++;
            }
        }
    }
    for (unsigned i = 0; i < REGIONS * 512; i++) {
        g_assert_cmpint(s.paired[i], ==, machine_pamt_bit(s.mc, page_pa(&s, i)));
    }
    for (unsigned i = 0; i < REGIONS; i++) {
        bool backed = machine_entry_2m(s.mc, region_pa(&s, i)).backed;

        g_assert_true(backed || !in_use[i]);
        dpamt_expect(s.mc, region_pa(&s, i), backed ? (int)in_use[i] : DPAMT_NONE);
        pairs += backed;
    }
    tdxmod_pamt_stats(s.mc->mod, &st);
    g_assert_cmpuint(st.adds - before.adds, ==, s.adds);
    g_assert_cmpuint(st.removes - before.removes, ==, s.removes);
    g_assert_cmpuint(s.adds - s.removes, ==, pairs);
    g_test_message("%d pairs added, %d times busy", s.adds, s.busy);
    shared_free(&s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dpamt-threads/as-linux", test_as_linux);
    g_test_add_func("/dpamt-threads/anarchy", test_anarchy);
    return g_test_run();
}
