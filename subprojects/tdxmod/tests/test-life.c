/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole lives of TDs, with the SEAMCALL sequences of Linux KVM: no page is left,
 * no call fails, also with several TDs and many threads.
 */
#include "life.h"
#include "sept.h"

static Machine *ready(unsigned lps, unsigned pkgs)
{
    Machine *mc = machine_new(lps, pkgs);

    machine_ready(mc);
    return mc;
}

static void run_td(Life *l, unsigned lps)
{
    Machine *mc = l->mc;
    uint64_t hpa;

    for (unsigned i = 0; i < lps; i++) {
        g_assert_cmpuint(life_add_vcpu(l, i), ==, i);
    }
    for (uint64_t gpa = 0xfff00000; gpa < 0xfff04000; gpa += 4096) {
        hpa = life_page_add(l, gpa);
        g_assert_cmphex(*(uint8_t *)machine_ptr(mc, hpa + 100, 1), ==,
                        (uint8_t)(gpa >> 12));
        for (unsigned i = 0; i < 16; i++) {
            assert_status(CALL(mc, 0, TDH_MR_EXTEND, .rcx = gpa + 256 * i,
                               .rdx = l->tdr), TDX_SUCCESS);
        }
    }
    life_finalize(l);
    for (unsigned i = 0; i < lps; i++) {
        life_enter(l, i, i);
    }
    hpa = life_page_aug(l, 0x200000);
    memset(machine_ptr(mc, hpa, 4096), 0xcc, 4096);
    g_assert_true(life_accept(l, 0x200000, TDX_4K));
    g_assert_cmphex(*(uint8_t *)machine_ptr(mc, hpa + 4095, 1), ==, 0);
    life_sept(l, 0x40000000, TDX_2M);
    hpa = machine_2m(mc);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_AUG, .rcx = 0x40000000 | TDX_2M,
                       .rdx = l->tdr, .r8 = hpa), TDX_SUCCESS);
    memset(machine_ptr(mc, hpa, 2 * MIB), 0xcc, 2 * MIB);
    g_assert_true(life_accept(l, 0x40000000, TDX_2M));
    g_assert_cmphex(*(uint8_t *)machine_ptr(mc, hpa + 2 * MIB - 1, 1), ==, 0);
    for (unsigned i = 0; i < lps; i++) {
        life_exit(l, i);
    }
    life_zap(l, 0x200000, TDX_4K);
    life_zap(l, 0x40000000, TDX_2M);
    for (uint64_t gpa = 0xfff00000; gpa < 0xfff04000; gpa += 4096) {
        life_zap(l, gpa, TDX_4K);
    }
}

static void test_kvm_sequence(void)
{
    Machine *mc = ready(4, 2);
    Life l;

    for (unsigned round = 0; round < 3; round++) {
        life_build(&l, mc, LIFE_HKID);
        run_td(&l, 4);
        life_destroy(&l);
        g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, 0);
    }
    g_assert_cmpuint(mc->errors, ==, 0);
    machine_free(mc);
}

/* A creation that fails half-way is undone from where it was. */
static void test_partial(void)
{
    Machine *mc = ready(2, 2);
    Life l;

    life_create(&l, mc, LIFE_HKID);
    life_destroy(&l);
    life_create(&l, mc, LIFE_HKID);
    assert_status(CALL(mc, 0, TDH_MNG_KEY_CONFIG, .rcx = l.tdr), TDX_SUCCESS);
    life_destroy(&l);
    life_create(&l, mc, LIFE_HKID);
    life_key_config(&l);
    life_destroy(&l);
    life_create(&l, mc, LIFE_HKID);
    life_key_config(&l);
    life_add_tdcs(&l);
    life_destroy(&l);
    life_build(&l, mc, LIFE_HKID);
    life_create_vcpu(&l);               /* no VP.INIT: nothing to flush */
    life_page_add(&l, 0);
    assert_status(CALL(mc, 0, TDH_MEM_RANGE_BLOCK, .rcx = 0, .rdx = l.tdr), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_REMOVE, .rcx = 0, .rdx = l.tdr), TDX_SUCCESS);
    life_destroy(&l);
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, 0);
    machine_free(mc);
}

/* Three TDs at once; each has its own KeyID, pages and epochs. */
static void test_three_tds(void)
{
    Machine *mc = ready(2, 1);
    Life l[3];

    for (unsigned i = 0; i < 3; i++) {
        life_build(&l[i], mc, LIFE_HKID + i);
    }
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = machine_page(mc),
                       .rdx = LIFE_HKID + 1), TDX_HKID_NOT_FREE);
    for (unsigned i = 0; i < 3; i++) {
        run_td(&l[i], 2);
        g_assert_cmpuint(life_tdcs(&l[i])->td_epoch, ==, 1 + 6);
    }
    for (unsigned i = 0; i < 3; i++) {
        life_destroy(&l[2 - i]);
    }
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, 0);
    machine_free(mc);
}

/* A fatally ill TD is torn down like any other. */
static void test_fatal(void)
{
    Machine *mc = ready(1, 1);
    Life l;

    life_build(&l, mc, LIFE_HKID);
    life_add_vcpu(&l, 0);
    life_finalize(&l);
    life_tdr(&l)->fatal = 1;
    assert_status(CALL(mc, 0, TDH_VP_ENTER, .rcx = l.vcpu[0].tdvpr), TDX_TD_FATAL);
    assert_status(CALL(mc, 0, TDH_MEM_TRACK, .rcx = l.tdr), TDX_TD_FATAL);
    assert_status(CALL(mc, 0, TDH_MNG_ADDCX, .rcx = machine_page(mc), .rdx = l.tdr),
                  TDX_TD_FATAL);
    assert_status(CALL(mc, 0, TDH_MNG_KEY_CONFIG, .rcx = l.tdr), TDX_TD_FATAL);
    life_destroy(&l);
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, 0);
    machine_free(mc);
}

/* --- threads --- */

#define THREADS         4
#define ROUNDS          1000
#define THREAD_GPA(i)   (0x40000000ull + (i) * 2 * MIB)

typedef struct Worker {
    Life *l;
    unsigned lp;
    uint64_t page;
    int *stop;
} Worker;

/*
 * A fault path: AUG of the thread's own GPA and page.  Only SEPT_TREE may be
 * busy, while somebody blocks.
 */
static gpointer fault_worker(gpointer opaque)
{
    Worker *w = opaque;
    Machine *mc = w->l->mc;
    uint64_t st, busy = OPERAND(TDX_OPERAND_BUSY, SEPT_TREE);
    uint64_t gpr[16];

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t gpa = THREAD_GPA(w->lp);

        do {
            st = CALL(mc, w->lp, TDH_MEM_PAGE_AUG, .rcx = gpa, .rdx = w->l->tdr,
                      .r8 = w->page);
        } while (st == busy);
        assert_status(st, TDX_SUCCESS);
        while (!life_accept(w->l, gpa, TDX_4K)) {
        }
        do {
            st = CALL(mc, w->lp, TDH_MEM_RANGE_BLOCK, .rcx = gpa, .rdx = w->l->tdr);
        } while (st == busy);
        assert_status(st, TDX_SUCCESS);
        memset(gpr, 0, sizeof(gpr));
        gpr[TDX_RAX] = TDH_MEM_SEPT_RD;
        gpr[TDX_RCX] = gpa;
        gpr[TDX_RDX] = w->l->tdr;
        do {
            uint64_t g[16];

            memcpy(g, gpr, sizeof(g));
            st = seamcall_gpr(mc, w->lp, g);
            if (!st) {
                g_assert_cmphex(g[TDX_RDX] >> 8, ==, SEPT_BLOCKED);
                g_assert_cmphex(g[TDX_RCX] & 0xffffffffff000, ==, w->page);
            }
        } while (st == busy);
        assert_status(st, TDX_SUCCESS);
        /* TRACK twice at once is a real conflict; no vCPU runs, so it succeeds. */
        do {
            st = CALL(mc, w->lp, TDH_MEM_TRACK, .rcx = w->l->tdr);
        } while (st == OPERAND(TDX_OPERAND_BUSY, TD_EPOCH));
        assert_status(st, TDX_SUCCESS);
        do {
            st = CALL(mc, w->lp, TDH_MEM_PAGE_REMOVE, .rcx = gpa, .rdx = w->l->tdr);
        } while (st == busy);
        assert_status(st, TDX_SUCCESS);
    }
    return NULL;
}

/* Sum of what the threads return. */
static size_t run_threads(Life *l, GThreadFunc f, Worker w[THREADS])
{
    GThread *t[THREADS];
    size_t sum = 0;

    l->mc->no_check = true;
    for (unsigned i = 0; i < THREADS; i++) {
        t[i] = g_thread_new("lp", f, &w[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        sum += GPOINTER_TO_SIZE(g_thread_join(t[i]));
    }
    l->mc->no_check = false;
    machine_check(l->mc);
    return sum;
}

static void test_threads_memory(void)
{
    Machine *mc = ready(THREADS, 1);
    Worker w[THREADS];
    Life l;

    life_build(&l, mc, LIFE_HKID);
    life_add_vcpu(&l, 0);
    life_finalize(&l);
    for (unsigned i = 0; i < THREADS; i++) {
        life_sept(&l, THREAD_GPA(i), TDX_4K);
        w[i] = (Worker){ &l, i, machine_page(mc), NULL };
    }
    run_threads(&l, fault_worker, w);
    g_assert_cmpuint(life_tdcs(&l)->td_epoch, ==, 1 + THREADS * ROUNDS);
    life_destroy(&l);
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, 0);
    machine_free(mc);
}

/* AUG of neighbours only: different entries and pages never conflict. */
static gpointer aug_worker(gpointer opaque)
{
    Worker *w = opaque;

    for (unsigned i = 0; i < 500; i++) {
        unsigned n = i * THREADS + w->lp;       /* threads take turns in a table */

        assert_status(CALL(w->l->mc, w->lp, TDH_MEM_PAGE_AUG,
                           .rcx = 0x40000000 + n * 4096ull, .rdx = w->l->tdr,
                           .r8 = w->page + n * 4096ull), TDX_SUCCESS);
        g_assert_true(life_accept(w->l, 0x40000000 + n * 4096ull, TDX_4K));
    }
    return NULL;
}

static void test_threads_no_spurious_busy(void)
{
    Machine *mc = ready(THREADS, 1);
    uint64_t base = machine_2m(mc);
    Worker w[THREADS];
    Life l;

    for (unsigned i = 0; i < 3; i++) {          /* 2000 pages */
        g_assert_cmphex(machine_2m(mc), ==, base + (i + 1) * 2 * MIB);
    }
    life_build(&l, mc, LIFE_HKID);
    life_add_vcpu(&l, 0);
    life_finalize(&l);
    for (unsigned i = 0; i < 4; i++) {
        life_sept(&l, 0x40000000 + i * 2 * MIB, TDX_4K);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (Worker){ &l, i, base, NULL };
    }
    run_threads(&l, aug_worker, w);
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==,
                     1 + TDCS_PAGES + 6 + l.num_pages + 500 * THREADS);
    machine_free(mc);
}

/* vCPUs enter and leave while another LP tracks: only TD_EPOCH is ever busy. */
static gpointer enter_worker(gpointer opaque)
{
    Worker *w = opaque;
    Machine *mc = w->l->mc;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t gpr[16] = { [TDX_RAX] = TDH_VP_ENTER };
        TdxEnter enter;
        uint64_t st;

        if (w->lp == 0) {
            st = CALL(mc, 0, TDH_MEM_TRACK, .rcx = w->l->tdr);
            g_assert(st == TDX_SUCCESS || st == TDX_PREVIOUS_TLB_EPOCH_BUSY ||
                     st == OPERAND(TDX_OPERAND_BUSY, TD_EPOCH));
            continue;
        }
        gpr[TDX_RCX] = w->l->vcpu[w->lp].tdvpr;
        if (tdxmod_seamcall(mc->mod, w->lp, gpr, &enter) == TDX_ENTER_TD) {
            vp_run_end(mc->mod, w->lp);
        } else {
            assert_status(gpr[TDX_RAX], OPERAND(TDX_OPERAND_BUSY, TD_EPOCH));
        }
    }
    return NULL;
}

static void test_threads_enter(void)
{
    Machine *mc = ready(THREADS, 1);
    Worker w[THREADS];
    Life l;

    life_build(&l, mc, LIFE_HKID);
    for (unsigned i = 0; i < THREADS; i++) {
        life_add_vcpu(&l, i);
        w[i] = (Worker){ &l, i, 0, NULL };
    }
    life_finalize(&l);
    run_threads(&l, enter_worker, w);
    g_assert_cmpuint(life_tdcs(&l)->refcount[0], ==, 0);
    g_assert_cmpuint(life_tdcs(&l)->refcount[1], ==, 0);
    g_assert_cmpuint(life_tdcs(&l)->td_epoch, >, 1);
    life_destroy(&l);
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, 0);
    machine_free(mc);
}

/*
 * What TLB tracking is for.  vCPUs keep a translation until they are told to
 * flush, also over exits; the host writes to a page as soon as TDH.MEM.PAGE.
 * REMOVE gave it back.  No vCPU inside may ever see that.
 */
#define TLB_GPA         THREAD_GPA(0)
#define HOST_DATA       0xdeadull

static bool cache_translation(Life *l, uint64_t *hpa)
{
    TdxCall c = { .m = l->mc->mod, .guest = true };
    Td td = { .pa = l->tdr, .tdr = life_tdr(l), .tdcs = life_tdcs(l) };
    SeptWalk w;
    bool mapped;

    if (td_lock_sept(&td, LOCK_SHARED)) {
        return false;
    }
    mapped = sept_translate(c.m, &td, TLB_GPA, hpa, &w);
    td_unlock(&c, &td);
    return mapped;
}

static void zap_while_running(Worker *w)
{
    Machine *mc = w->l->mc;
    uint64_t *word = machine_ptr(mc, w->page, 8);
    uint64_t st;

    for (unsigned i = 0; i < ROUNDS; i++) {
        do {
            st = CALL(mc, 0, TDH_MEM_PAGE_AUG, .rcx = TLB_GPA, .rdx = w->l->tdr,
                      .r8 = w->page);
        } while (st == OPERAND(TDX_OPERAND_BUSY, SEPT_TREE));
        assert_status(st, TDX_SUCCESS);
        while (!life_accept(w->l, TLB_GPA, TDX_4K)) {
        }
        g_usleep(20);
        do {
            st = CALL(mc, 0, TDH_MEM_RANGE_BLOCK, .rcx = TLB_GPA, .rdx = w->l->tdr);
        } while (st == OPERAND(TDX_OPERAND_BUSY, SEPT_TREE));
        assert_status(st, TDX_SUCCESS);
        do {
            st = CALL(mc, 0, TDH_MEM_TRACK, .rcx = w->l->tdr);
        } while (st == OPERAND(TDX_OPERAND_BUSY, TD_EPOCH) ||
                 st == TDX_PREVIOUS_TLB_EPOCH_BUSY);
        assert_status(st, TDX_SUCCESS);
        do {
            st = CALL(mc, 0, TDH_MEM_PAGE_REMOVE, .rcx = TLB_GPA, .rdx = w->l->tdr);
        } while (st == OPERAND(TDX_TLB_TRACKING_NOT_DONE, RCX));
        assert_status(st, TDX_SUCCESS);
        __atomic_store_n(word, HOST_DATA, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(w->stop, 1, __ATOMIC_SEQ_CST);
}

/* Returns how often the vCPU used its translation. */
static gpointer tlb_worker(gpointer opaque)
{
    Worker *w = opaque;
    Machine *mc = w->l->mc;
    uint64_t hpa = 0;
    size_t used = 0;
    bool cached = false;

    if (w->lp == 0) {
        zap_while_running(w);
        return NULL;
    }
    while (!__atomic_load_n(w->stop, __ATOMIC_SEQ_CST)) {
        uint64_t gpr[16] = { [TDX_RAX] = TDH_VP_ENTER };
        TdxEnter enter;

        gpr[TDX_RCX] = w->l->vcpu[w->lp].tdvpr;
        if (tdxmod_seamcall(mc->mod, w->lp, gpr, &enter) != TDX_ENTER_TD) {
            assert_status(gpr[TDX_RAX], OPERAND(TDX_OPERAND_BUSY, TD_EPOCH));
            continue;
        }
        /* One look at the tree for each entry, so that BLOCK gets its turn. */
        cached = (cached && !enter.flush) || cache_translation(w->l, &hpa);
        for (unsigned i = 0; cached && i < 20; i++) {
            uint64_t *word = machine_ptr(mc, hpa, 8);

            g_assert_cmphex(__atomic_load_n(word, __ATOMIC_SEQ_CST), !=, HOST_DATA);
            used++;
            g_thread_yield();           /* stay inside while the host works */
        }
        vp_run_end(mc->mod, w->lp);
        g_usleep(1);
    }
    return GSIZE_TO_POINTER(used);
}

static void test_threads_tlb(void)
{
    Machine *mc = ready(THREADS, 1);
    Worker w[THREADS];
    int stop = 0;
    Life l;

    life_build(&l, mc, LIFE_HKID);
    for (unsigned i = 0; i < THREADS; i++) {
        life_add_vcpu(&l, i);
        w[i] = (Worker){ &l, i, machine_page(mc), &stop };
    }
    life_finalize(&l);
    life_sept(&l, TLB_GPA, TDX_4K);
    g_assert_cmpuint(run_threads(&l, tlb_worker, w), >, 0);
    life_destroy(&l);
    machine_free(mc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/life/kvm-sequence", test_kvm_sequence);
    g_test_add_func("/life/partial", test_partial);
    g_test_add_func("/life/three-tds", test_three_tds);
    g_test_add_func("/life/fatal", test_fatal);
    g_test_add_func("/life/threads-memory", test_threads_memory);
    g_test_add_func("/life/threads-no-spurious-busy", test_threads_no_spurious_busy);
    g_test_add_func("/life/threads-enter", test_threads_enter);
    g_test_add_func("/life/threads-tlb", test_threads_tlb);
    return g_test_run();
}
