/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT: each conflict of locks on PAMT entries, with the test as the other
 * holder; and that nothing else gives OPERAND_BUSY, as Linux takes that for an error.
 */
#include "dpamt.h"
#include "lock.h"

static uint16_t *word(void *entry)
{
    return entry;               /* the lock is in bits 15:0 */
}

static uint16_t *lock_1g(Machine *mc, uint64_t pa)
{
    struct tdmr_info t = machine_bank_tdmr(mc, pa / mc->bank_stride);

    return word(machine_ptr(mc, t.pamt_1g_base, 16));
}

static uint16_t *lock_2m(Machine *mc, uint64_t pa)
{
    return word(machine_entry_2m(mc, pa).words);
}

static uint16_t *lock_4k(Machine *mc, uint64_t pa)
{
    return word(machine_entry_4k(mc, pa));
}

/* A machine with one region of each kind and a TD. */
typedef struct Place {
    Machine *mc;
    Life l;
    uint64_t none, idle, used;  /* no pair; a pair; a page at DPAMT_GPA and a pair */
    uint64_t page;              /* the one in use */
    uint64_t large;             /* a 2 MiB page at DPAMT_GPA_2M */
    uint64_t p, q;              /* for pairs, in a region with a pair */
    uint64_t table;             /* for an S-EPT page, backed */
} Place;

static void place_new(Place *x)
{
    Machine *mc = x->mc = dpamt_machine(2);

    dpamt_td(&x->l, mc);
    x->none = machine_2m(mc);
    x->idle = machine_2m(mc);
    x->used = machine_2m(mc);
    x->large = machine_2m(mc);
    x->page = x->used + 9 * 4096;
    dpamt_back(mc, x->idle);
    dpamt_back(mc, x->used);
    x->p = x->idle + 4096;
    x->q = machine_pair_page(mc);
    x->table = machine_page(mc);
    assert_status(dpamt_aug(&x->l, DPAMT_GPA, TDX_4K, x->page), TDX_SUCCESS);
    assert_status(dpamt_aug(&x->l, DPAMT_GPA_2M, TDX_2M, x->large), TDX_SUCCESS);
}

/* The call is refused while @lock is held in @mode, and leaves no trace. */
#define REFUSED(x, lock, mode, status, rax, ...) do { \
        TdxPamtStats before_, after_; \
        tdxmod_pamt_stats((x)->mc->mod, &before_); \
        assert_status(CALL_LOCKED((x)->mc, lock, mode, 1, rax, __VA_ARGS__), status); \
        tdxmod_pamt_stats((x)->mc->mod, &after_); \
        g_assert_cmpuint(after_.adds, ==, before_.adds); \
        g_assert_cmpuint(after_.removes, ==, before_.removes); \
    } while (0)
#define BUSY(reg)       OPERAND(TDX_OPERAND_BUSY, reg)
/* It is done although @lock is held in @mode. */
#define DONE(x, lock, mode, rax, ...) \
    assert_status(CALL_LOCKED((x)->mc, lock, mode, 1, rax, __VA_ARGS__), TDX_SUCCESS)
#define BOTH(mode)      for (LockMode mode = LOCK_SHARED; mode <= LOCK_EXCLUSIVE; mode++)

#define ADD(x)          TDH_PHYMEM_PAMT_ADD, .rcx = (x)->none | TDX_2M, .rdx = (x)->p, \
                        .r8 = (x)->q
#define ADD_SWAPPED(x)  TDH_PHYMEM_PAMT_ADD, .rcx = (x)->none | TDX_2M, .rdx = (x)->q, \
                        .r8 = (x)->p
#define REMOVE(pa)      TDH_PHYMEM_PAMT_REMOVE, .rcx = (pa) | TDX_2M

static void test_add(void)
{
    Place x;

    place_new(&x);
    /* The region's own entries: 1G shared, 2M exclusive. */
    REFUSED(&x, lock_1g(x.mc, x.none), LOCK_EXCLUSIVE, BUSY(RCX), ADD(&x));
    BOTH(mode) {
        REFUSED(&x, lock_2m(x.mc, x.none), mode, BUSY(RCX), ADD(&x));
        /* Said before it is seen that the region is not free. */
        REFUSED(&x, lock_2m(x.mc, x.used), mode, BUSY(RCX), TDH_PHYMEM_PAMT_ADD,
                .rcx = x.used | TDX_2M, .rdx = x.p, .r8 = x.q);
    }
    /* The pages: 1G, 2M and 4K entries shared, each. */
    REFUSED(&x, lock_2m(x.mc, x.p), LOCK_EXCLUSIVE, BUSY(RDX), ADD(&x));
    REFUSED(&x, lock_4k(x.mc, x.p), LOCK_EXCLUSIVE, BUSY(RDX), ADD(&x));
    REFUSED(&x, lock_2m(x.mc, x.p), LOCK_EXCLUSIVE, BUSY(R8), ADD_SWAPPED(&x));
    REFUSED(&x, lock_4k(x.mc, x.p), LOCK_EXCLUSIVE, BUSY(R8), ADD_SWAPPED(&x));
    REFUSED(&x, lock_2m(x.mc, x.q), LOCK_EXCLUSIVE, BUSY(R8), ADD(&x));
    REFUSED(&x, lock_1g(x.mc, x.q), LOCK_EXCLUSIVE, BUSY(R8), ADD(&x));
    g_assert_false(machine_pamt_bit(x.mc, x.p) || machine_pamt_bit(x.mc, x.q));
    /* Shared holders are no conflict there. */
    DONE(&x, lock_1g(x.mc, x.none), LOCK_SHARED, ADD(&x));
    dpamt_unback(x.mc, x.none);
    DONE(&x, lock_2m(x.mc, x.p), LOCK_SHARED, ADD(&x));
    dpamt_unback(x.mc, x.none);
    DONE(&x, lock_4k(x.mc, x.p), LOCK_SHARED, ADD(&x));
    dpamt_unback(x.mc, x.none);
    DONE(&x, lock_2m(x.mc, x.q), LOCK_SHARED, ADD(&x));
    dpamt_unback(x.mc, x.none);
    /* Somebody in other regions, and on other pages of the pages' region, even less. */
    DONE(&x, lock_2m(x.mc, x.used), LOCK_EXCLUSIVE, ADD(&x));
    dpamt_unback(x.mc, x.none);
    DONE(&x, lock_4k(x.mc, x.p + 4096), LOCK_EXCLUSIVE, ADD(&x));
    machine_free(x.mc);
}

static void test_remove(void)
{
    uint64_t pair;
    Place x;

    place_new(&x);
    pair = machine_entry_2m(x.mc, x.idle).pair[0];
    REFUSED(&x, lock_1g(x.mc, x.idle), LOCK_EXCLUSIVE, BUSY(RCX), REMOVE(x.idle));
    BOTH(mode) {
        REFUSED(&x, lock_2m(x.mc, x.idle), mode, BUSY(RCX), REMOVE(x.idle));
        /* Said before it is seen that there is no pair, or one in use. */
        REFUSED(&x, lock_2m(x.mc, x.none), mode, BUSY(RCX), REMOVE(x.none));
        REFUSED(&x, lock_2m(x.mc, x.used), mode, BUSY(RCX), REMOVE(x.used));
        /* Only bits change where the pages of the pair lie. */
        DONE(&x, lock_2m(x.mc, pair), mode, REMOVE(x.idle));
        dpamt_back(x.mc, x.idle);
        pair = machine_entry_2m(x.mc, x.idle).pair[0];
    }
    DONE(&x, lock_1g(x.mc, x.idle), LOCK_SHARED, REMOVE(x.idle));
    machine_free(x.mc);
}

/* A leaf that takes or gives back a 4K page holds the 2M entry shared. */
static void test_pages(void)
{
    uint64_t other, second;
    Place x;

    place_new(&x);
    other = x.used + 300 * 4096;
    second = x.idle + 2 * 4096;
#define AUG(pa)         TDH_MEM_PAGE_AUG, .rcx = DPAMT_GPA + 4096, .rdx = x.l.tdr, \
                        .r8 = (pa)
#define ZAP             TDH_MEM_PAGE_REMOVE, .rcx = DPAMT_GPA + 4096, .rdx = x.l.tdr
    REFUSED(&x, lock_1g(x.mc, second), LOCK_EXCLUSIVE, BUSY(RDX), AUG(second));
    REFUSED(&x, lock_2m(x.mc, other), LOCK_EXCLUSIVE, BUSY(R8), AUG(other));
    BOTH(mode) {
        REFUSED(&x, lock_4k(x.mc, other), mode, BUSY(R8), AUG(other));
    }
    /* In a region without a pair it is the 2M entry that is wanted exclusively. */
    BOTH(mode) {
        REFUSED(&x, lock_2m(x.mc, x.none), mode, BUSY(R8), AUG(x.none));
    }
    DONE(&x, lock_2m(x.mc, other), LOCK_SHARED, AUG(other));
    REFUSED(&x, lock_2m(x.mc, other), LOCK_EXCLUSIVE, BUSY(RCX), ZAP);
    BOTH(mode) {
        REFUSED(&x, lock_4k(x.mc, other), mode, BUSY(RCX), ZAP);
    }
    dpamt_expect(x.mc, x.used, 2);
    DONE(&x, lock_2m(x.mc, other), LOCK_SHARED, ZAP);
    /* Two pages of one region do not disturb each other. */
    DONE(&x, lock_4k(x.mc, x.page), LOCK_EXCLUSIVE, AUG(other));
    DONE(&x, lock_4k(x.mc, x.page), LOCK_EXCLUSIVE, ZAP);
    dpamt_expect(x.mc, x.used, 1);
    machine_free(x.mc);
}

static void test_large(void)
{
    uint64_t gpa = DPAMT_GPA_2M + 2 * MIB;
    Place x;

    place_new(&x);
#define AUG_2M          TDH_MEM_PAGE_AUG, .rcx = gpa | TDX_2M, .rdx = x.l.tdr, \
                        .r8 = x.none
#define DEMOTE          TDH_MEM_PAGE_DEMOTE, .rcx = DPAMT_GPA_2M | TDX_2M, \
                        .rdx = x.l.tdr, .r8 = x.table, .r12 = x.p, .r13 = x.q
#define PROMOTE         TDH_MEM_PAGE_PROMOTE, .rcx = DPAMT_GPA_2M | TDX_2M, \
                        .rdx = x.l.tdr
    BOTH(mode) {
        REFUSED(&x, lock_2m(x.mc, x.none), mode, BUSY(R8), AUG_2M);
        REFUSED(&x, lock_2m(x.mc, x.large), mode, BUSY(RCX), DEMOTE);
        REFUSED(&x, lock_4k(x.mc, x.table), mode, BUSY(R8), DEMOTE);
    }
    REFUSED(&x, lock_2m(x.mc, x.p), LOCK_EXCLUSIVE, BUSY(R12), DEMOTE);
    REFUSED(&x, lock_4k(x.mc, x.p), LOCK_EXCLUSIVE, BUSY(R12), DEMOTE);
    REFUSED(&x, lock_2m(x.mc, x.q), LOCK_EXCLUSIVE, BUSY(R13), DEMOTE);
    g_assert_false(machine_pamt_bit(x.mc, x.p) || machine_pamt_bit(x.mc, x.q));
    g_assert_true(life_accept(&x.l, DPAMT_GPA_2M, TDX_2M));
    DONE(&x, lock_2m(x.mc, x.p), LOCK_SHARED, DEMOTE);
    dpamt_expect(x.mc, x.large, 512);
    BOTH(mode) {
        REFUSED(&x, lock_2m(x.mc, x.large), mode, BUSY(RCX), PROMOTE);
        REFUSED(&x, lock_4k(x.mc, x.table), mode, BUSY(RCX), PROMOTE);
    }
    dpamt_expect(x.mc, x.large, 512);
    DONE(&x, lock_2m(x.mc, x.p), LOCK_EXCLUSIVE, PROMOTE);
    dpamt_expect(x.mc, x.large, DPAMT_NONE);
    machine_free(x.mc);
}

static void test_looking(void)
{
    Place x;

    place_new(&x);
#define RDMD(rcx_)      TDH_PHYMEM_PAGE_RDMD, .rcx = (rcx_)
#define WBINVD(pa)      TDH_PHYMEM_PAGE_WBINVD, .rcx = (pa)
    REFUSED(&x, lock_2m(x.mc, x.used), LOCK_EXCLUSIVE, BUSY(RCX), RDMD(x.page));
    REFUSED(&x, lock_2m(x.mc, x.used), LOCK_EXCLUSIVE, BUSY(RCX), RDMD(x.used | TDX_2M));
    REFUSED(&x, lock_4k(x.mc, x.page), LOCK_EXCLUSIVE, BUSY(RCX), RDMD(x.page));
    REFUSED(&x, lock_2m(x.mc, x.none), LOCK_EXCLUSIVE, BUSY(RCX), RDMD(x.none));
    REFUSED(&x, lock_4k(x.mc, x.p), LOCK_EXCLUSIVE, BUSY(RCX), WBINVD(x.p));
    DONE(&x, lock_4k(x.mc, x.page), LOCK_SHARED, RDMD(x.page));
    DONE(&x, lock_2m(x.mc, x.used), LOCK_SHARED, RDMD(x.used | TDX_2M));
    DONE(&x, lock_4k(x.mc, x.p), LOCK_SHARED, WBINVD(x.p));
    machine_free(x.mc);
}

/* A vCPU that runs holds two leaf entries: of no concern to pairs of its regions. */
static void test_running(void)
{
    Machine *mc = dpamt_machine(2);
    uint64_t tdvpr, region = machine_2m(mc), other = machine_2m(mc);
    Life l;

    dpamt_td(&l, mc);
    life_add_vcpu(&l, 0);
    life_finalize(&l);
    tdvpr = l.vcpu[0].tdvpr;
    life_enter(&l, 0, 0);
    assert_status(CALL(mc, 1, TDH_PHYMEM_PAMT_REMOVE, .rcx = (tdvpr & -2 * MIB) |
                       TDX_2M), TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 0));
    assert_status(CALL(mc, 1, TDH_PHYMEM_PAMT_ADD, .rcx = (tdvpr & -2 * MIB) | TDX_2M,
                       .rdx = region, .r8 = region + 4096),
                  OPERAND(TDX_HPA_RANGE_NOT_FREE, RCX));
    /* Its control pages as pages of a pair: in use, not busy. */
    assert_status(CALL(mc, 1, TDH_PHYMEM_PAMT_ADD, .rcx = region | TDX_2M, .rdx = tdvpr,
                       .r8 = other), OPERAND(TDX_PAGE_NOT_FREE, RDX));
    assert_status(CALL(mc, 1, TDH_PHYMEM_PAMT_ADD, .rcx = region | TDX_2M, .rdx = other,
                       .r8 = l.tdr), OPERAND(TDX_PAGE_NOT_FREE, R8));
    /* A pair and a page for the TD that runs. */
    assert_status(CALL(mc, 1, TDH_PHYMEM_PAMT_ADD, .rcx = region | TDX_2M,
                       .rdx = other, .r8 = other + 4096), TDX_SUCCESS);
    assert_status(CALL(mc, 1, TDH_MEM_PAGE_AUG, .rcx = DPAMT_GPA, .rdx = l.tdr,
                       .r8 = region), TDX_SUCCESS);
    dpamt_expect(mc, region, 1);
    life_exit(&l, 0);
    machine_free(mc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dpamt-lock/add", test_add);
    g_test_add_func("/dpamt-lock/remove", test_remove);
    g_test_add_func("/dpamt-lock/pages", test_pages);
    g_test_add_func("/dpamt-lock/large", test_large);
    g_test_add_func("/dpamt-lock/looking", test_looking);
    g_test_add_func("/dpamt-lock/running", test_running);
    return g_test_run();
}
