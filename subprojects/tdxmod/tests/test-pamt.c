/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PAMT: locks, types and counts, by its own interface and between threads.
 */
#include "machine.h"
#include "module.h"
#include "pamt.h"

#define OWNER           (2 * MIB)

static Machine *ready(void)
{
    Machine *mc = machine_new(2, 1);

    machine_ready(mc);
    mc->no_tds = true;
    return mc;
}

/* Take a free page, as leaves do. */
static void assign(Machine *mc, uint64_t pa, enum pamt_type type)
{
    PamtPage p;

    assert_status(pamt_lock(CALLER(mc->mod), &p, TDX_R8, pa, PT_NDA, LOCK_EXCLUSIVE), 0);
    pamt_unlock_as(CALLER(mc->mod), &p, type, OWNER);
}

static void release(Machine *mc, uint64_t pa, enum pamt_type type)
{
    PamtPage p;

    assert_status(pamt_lock(CALLER(mc->mod), &p, TDX_R8, pa, type, LOCK_EXCLUSIVE), 0);
    pamt_unlock_as(CALLER(mc->mod), &p, PT_NDA, 0);
}

static void test_operand(void)
{
    Machine *mc = ready();
    TdxMod *m = mc->mod;
    PamtPage p;
    const struct {
        uint64_t pa, status;
    } bad[] = {
        { 24 * MIB + 1, OPERAND(TDX_OPERAND_INVALID, R8) },
        { 24 * MIB + 2048, OPERAND(TDX_OPERAND_INVALID, R8) },
        { 24 * MIB | 1ull << MACHINE_HKID_SHIFT, OPERAND(TDX_OPERAND_INVALID, R8) },
        { 24 * MIB | 1ull << 63, OPERAND(TDX_OPERAND_INVALID, R8) },
        { 2 * GIB, OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, R8) },
        { (1ull << MACHINE_HKID_SHIFT) - 4096,
          OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, R8) },
        { 0, OPERAND(TDX_PAGE_METADATA_INCORRECT, R8) },        /* reserved */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_status(pamt_lock(CALLER(m), &p, TDX_R8, bad[i].pa, PT_NDA, LOCK_EXCLUSIVE),
                      bad[i].status);
        g_assert_null(p.entry);
    }
    machine_check(mc);
    machine_free(mc);
}

static void test_types(void)
{
    Machine *mc = ready();
    TdxMod *m = mc->mod;
    PamtPage p;
    uint64_t pa = machine_page(mc);

    assign(mc, pa, PT_TDCX);
    g_assert_cmpuint(tdxmod_pages_in_use(m), ==, 1);
    assert_status(pamt_lock(CALLER(m), &p, TDX_RCX, pa, PT_NDA, LOCK_EXCLUSIVE),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    assert_status(pamt_lock(CALLER(m), &p, TDX_RCX, pa, PT_TDR, LOCK_SHARED),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    assert_status(pamt_lock(CALLER(m), &p, TDX_RCX, pa, PT_TDCX, LOCK_SHARED), 0);
    g_assert_cmphex(pamt_owner(&p), ==, OWNER);
    g_assert_cmpuint(p.level, ==, TDX_4K);
    pamt_unlock(m, &p);
    pamt_unlock(m, &p);                 /* nothing is held: ignored */
    release(mc, pa, PT_TDCX);
    g_assert_cmpuint(tdxmod_pages_in_use(m), ==, 0);
    assert_status(pamt_lock(CALLER(m), &p, TDX_RCX, pa, PT_NDA, LOCK_SHARED), 0);
    g_assert_cmphex(pamt_owner(&p), ==, 0);
    pamt_unlock(m, &p);
    machine_check(mc);
    machine_free(mc);
}

static void test_conflicts(void)
{
    Machine *mc = ready();
    TdxMod *m = mc->mod;
    PamtPage p, q, big;
    uint64_t pa = machine_2m(mc);

    /* Shared with shared; not with exclusive; BUSY is said before the type. */
    assert_status(pamt_lock(CALLER(m), &p, TDX_RCX, pa, PT_NDA, LOCK_SHARED), 0);
    assert_status(pamt_lock(CALLER(m), &q, TDX_RCX, pa, PT_NDA, LOCK_SHARED), 0);
    pamt_unlock(m, &q);
    assert_status(pamt_lock(CALLER(m), &q, TDX_RDX, pa, PT_TDR, LOCK_EXCLUSIVE),
                  OPERAND(TDX_OPERAND_BUSY, RDX));
    /* The 2M page needs all its 4K pages to be left alone. */
    assert_status(pamt_lock_free(CALLER(m), &big, TDX_R8, pa, TDX_2M),
                  OPERAND(TDX_OPERAND_BUSY, R8));
    pamt_unlock(m, &p);
    /* Neighbours do not disturb each other. */
    assert_status(pamt_lock(CALLER(m), &p, TDX_RCX, pa, PT_NDA, LOCK_EXCLUSIVE), 0);
    assert_status(pamt_lock(CALLER(m), &q, TDX_RCX, pa + 4096, PT_NDA, LOCK_EXCLUSIVE),
                  0);
    pamt_unlock(m, &q);
    pamt_unlock(m, &p);
    assert_status(pamt_lock_free(CALLER(m), &big, TDX_R8, pa, TDX_2M), 0);
    assert_status(pamt_lock(CALLER(m), &p, TDX_RCX, pa + 4096, PT_NDA, LOCK_SHARED),
                  OPERAND(TDX_OPERAND_BUSY, RCX));
    pamt_unlock(m, &big);
    machine_check(mc);
    machine_free(mc);
}

static void test_2m(void)
{
    Machine *mc = ready();
    TdxMod *m = mc->mod;
    PamtPage p;
    uint64_t pa = machine_2m(mc), epoch;

    assert_status(pamt_lock_free(CALLER(m), &p, TDX_R8, pa + 4096, TDX_2M),
                  OPERAND(TDX_OPERAND_INVALID, R8));
    /* One page in use, one reserved page: not free as a whole. */
    assign(mc, pa + 17 * 4096, PT_REG);
    assert_status(pamt_lock_free(CALLER(m), &p, TDX_R8, pa, TDX_2M),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, R8));
    release(mc, pa + 17 * 4096, PT_REG);
    assert_status(pamt_lock_free(CALLER(m), &p, TDX_R8, 56 * MIB, TDX_2M),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, R8));
    assert_status(pamt_lock_free(CALLER(m), &p, TDX_R8, pa, TDX_2M), 0);
    pamt_unlock_as(CALLER(m), &p, PT_REG, OWNER);
    g_assert_cmpuint(tdxmod_pages_in_use(m), ==, 512);
    /* Its 4K pages cannot be had singly, nor twice as a whole. */
    assert_status(pamt_lock(CALLER(m), &p, TDX_R8, pa + 4096, PT_NDA, LOCK_EXCLUSIVE),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, R8));
    assert_status(pamt_lock_free(CALLER(m), &p, TDX_R8, pa, TDX_2M),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, R8));
    assert_status(pamt_lock_any(CALLER(m), &p, TDX_RCX, pa + 5 * 4096, LOCK_SHARED), 0);
    g_assert_cmpuint(p.level, ==, TDX_2M);
    g_assert_cmphex(p.pa, ==, pa);
    pamt_unlock(m, &p);
    g_assert_true(pamt_bepoch_set(m, pa, TDX_2M, 7));
    g_assert_true(pamt_bepoch_get(m, pa, TDX_2M, &epoch));
    g_assert_cmpuint(epoch, ==, 7);
    g_assert_false(pamt_bepoch_get(m, pa, TDX_4K, &epoch));
    /* To 512 pages and back. */
    assert_status(pamt_lock_any(CALLER(m), &p, TDX_RCX, pa, LOCK_EXCLUSIVE), 0);
    assert_status(pamt_split(CALLER(m), &p, NULL), 0);
    pamt_unlock(m, &p);
    machine_check(mc);
    g_assert_cmpuint(tdxmod_pages_in_use(m), ==, 512);
    assert_status(pamt_lock(CALLER(m), &p, TDX_RCX, pa + 511 * 4096, PT_REG,
                            LOCK_SHARED), 0);
    g_assert_cmphex(pamt_owner(&p), ==, OWNER);
    pamt_unlock(m, &p);
    assert_status(pamt_merge(CALLER(m), TDX_RCX, pa, OWNER + 4096, NULL),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    assert_status(pamt_merge(CALLER(m), TDX_RCX, pa, OWNER, NULL), 0);
    machine_check(mc);
    assert_status(pamt_lock_any(CALLER(m), &p, TDX_RCX, pa, LOCK_EXCLUSIVE), 0);
    g_assert_cmpuint(p.level, ==, TDX_2M);
    pamt_unlock_as(CALLER(m), &p, PT_NDA, 0);
    g_assert_cmpuint(tdxmod_pages_in_use(m), ==, 0);
    machine_check(mc);
    machine_free(mc);
}

/* Locks that outlive a call: only the leaf's, found again by address. */
static void test_keep_leaf(void)
{
    Machine *mc = ready();
    TdxMod *m = mc->mod;
    PamtPage p, q;
    uint64_t pa = machine_page(mc);

    assign(mc, pa, PT_TDVPR);
    assert_status(pamt_lock(CALLER(m), &p, TDX_RCX, pa, PT_TDVPR, LOCK_SHARED), 0);
    pamt_keep_leaf(&p);
    g_assert_cmphex(p.entry->lock, ==, 1);
    g_assert_cmphex(p.upper[0]->lock, ==, 0);
    g_assert_cmphex(p.upper[1]->lock, ==, 0);
    assert_status(pamt_lock_implicit(m, &q, TDX_OPERAND_ID_TDR, pa, PT_TDVPR,
                                     LOCK_EXCLUSIVE), OPERAND(TDX_OPERAND_BUSY, TDR));
    g_assert_true(pamt_held(m, &q, pa, LOCK_SHARED));
    pamt_unlock(m, &q);
    assert_status(pamt_lock_implicit(m, &q, TDX_OPERAND_ID_TDR, pa, PT_TDR, LOCK_SHARED),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, TDR));
    /* An owner field may hold anything. */
    assert_status(pamt_lock_implicit(m, &q, TDX_OPERAND_ID_TDR, 1ull << 51, PT_TDR,
                                     LOCK_SHARED),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, TDR));
    g_assert_false(pamt_held(m, &q, 2 * GIB, LOCK_SHARED));
    release(mc, pa, PT_TDVPR);
    machine_check(mc);
    machine_free(mc);
}

/* The host writes over its PAMT memory: wrong answers, but no crash. */
static void test_scribbled(void)
{
    Machine *mc = ready();
    TdxMod *m = mc->mod;
    PamtPage p;
    uint64_t pa = machine_page(mc);

    mc->no_check = true;
    for (unsigned byte = 0; byte < 256; byte++) {
        memset(machine_ptr(mc, 56 * MIB, 4 * MIB + 65536 + 4096), byte,
               4 * MIB + 65536 + 4096);
        for (int level = TDX_4K; level <= TDX_2M; level++) {
            if (!pamt_lock_free(CALLER(m), &p, TDX_R8, pa & -TDX_LEVEL_SIZE(level),
                                level)) {
                pamt_unlock_as(CALLER(m), &p, PT_REG, OWNER);
            }
        }
        if (!pamt_lock_any(CALLER(m), &p, TDX_R8, pa, LOCK_EXCLUSIVE)) {
            pamt_unlock_as(CALLER(m), &p, PT_NDA, 0);
        }
        g_assert_cmpuint(tdxmod_pages_in_use(m), <=, 2 * GIB / 4096);
    }
    machine_free(mc);
}

#define THREADS         4
#define ROUNDS          3000

typedef struct Race {
    Machine *mc;
    uint64_t base;
    int owners[512];            /* atomic: who holds a page; never two */
    int broken;                 /* atomic */
    int assigned;               /* atomic */
} Race;

static void take_and_give(Race *r, unsigned i)
{
    TdxMod *m = r->mc->mod;
    PamtPage p;

    if (pamt_lock(CALLER(m), &p, TDX_R8, r->base + i * 4096, PT_NDA, LOCK_EXCLUSIVE)) {
        return;
    }
    pamt_unlock_as(CALLER(m), &p, PT_REG, OWNER);
    if (g_atomic_int_add(&r->owners[i], 1)) {
        g_atomic_int_inc(&r->broken);
    }
    g_atomic_int_inc(&r->assigned);
    g_atomic_int_add(&r->owners[i], -1);
    while (pamt_lock(CALLER(m), &p, TDX_R8, r->base + i * 4096, PT_REG, LOCK_EXCLUSIVE)) {
        g_thread_yield();
    }
    pamt_unlock_as(CALLER(m), &p, PT_NDA, 0);
}

static gpointer racer(gpointer opaque)
{
    Race *r = opaque;
    GRand *rand = g_rand_new();
    PamtPage p;

    for (unsigned n = 0; n < ROUNDS; n++) {
        if (n % 16 == 0 &&
            !pamt_lock_free(CALLER(r->mc->mod), &p, TDX_R8, r->base, TDX_2M)) {
            for (unsigned i = 0; i < 512; i++) {
                if (g_atomic_int_get(&r->owners[i])) {
                    g_atomic_int_inc(&r->broken);
                }
            }
            pamt_unlock(r->mc->mod, &p);
        }
        take_and_give(r, g_rand_int_range(rand, 0, 8));
    }
    g_rand_free(rand);
    return NULL;
}

static void test_threads(void)
{
    Race r = { .mc = ready() };
    GThread *t[THREADS];

    r.base = machine_2m(r.mc);
    for (unsigned i = 0; i < THREADS; i++) {
        t[i] = g_thread_new("racer", racer, &r);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(t[i]);
    }
    g_assert_cmpint(r.broken, ==, 0);
    g_assert_cmpint(r.assigned, >, ROUNDS / 2);
    g_assert_cmpuint(tdxmod_pages_in_use(r.mc->mod), ==, 0);
    machine_check(r.mc);
    machine_free(r.mc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pamt/operand", test_operand);
    g_test_add_func("/pamt/types", test_types);
    g_test_add_func("/pamt/conflicts", test_conflicts);
    g_test_add_func("/pamt/2m", test_2m);
    g_test_add_func("/pamt/keep-leaf", test_keep_leaf);
    g_test_add_func("/pamt/scribbled", test_scribbled);
    g_test_add_func("/pamt/threads", test_threads);
    return g_test_run();
}
