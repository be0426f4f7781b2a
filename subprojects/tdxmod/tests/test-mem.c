/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.MEM.*: the errors that these leaves share, in the ABI's order; adding,
 * blocking, tracking and removing pages.
 */
#include "life.h"
#include "sept.h"

#define RCX_INVALID     OPERAND(TDX_OPERAND_INVALID, RCX)
#define RDX_INVALID     OPERAND(TDX_OPERAND_INVALID, RDX)
#define FREE_ENTRY      0x8000000000000000ull   /* only suppress #VE */
#define INFO(level, state)      ((uint64_t)(level) | (uint64_t)(state) << 8)

/* GPAs: one with all tables, one whose 2M table is missing. */
#define GPA             0x00200000ull
#define GPA_NO_TABLE    0x700000000000ull

typedef struct Fixture {
    Machine *mc;
    Life l;
    uint64_t page;              /* free */
} Fixture;

static void set_up(Fixture *f, gconstpointer finalized)
{
    f->mc = machine_new(2, 1);
    machine_ready(f->mc);
    life_build(&f->l, f->mc, LIFE_HKID);
    life_add_vcpu(&f->l, 0);
    life_add_vcpu(&f->l, 1);
    life_sept(&f->l, GPA, TDX_4K);
    if (finalized) {
        life_finalize(&f->l);
    }
    f->page = machine_page(f->mc);
}

static void tear_down(Fixture *f, gconstpointer finalized)
{
    (void)finalized;
    machine_free(f->mc);
}

#define assert_info(mc, entry, level_state) do { \
        g_assert_cmphex((mc)->out.rcx, ==, entry); \
        g_assert_cmphex((mc)->out.rdx, ==, level_state); \
    } while (0)

typedef struct MemLeaf {
    unsigned rax, min, max;
    bool td_exclusive, tree_exclusive;
    bool page;                  /* R8 */
    const char *name;
} MemLeaf;

static const MemLeaf mem_leaves[] = {
    { TDH_MEM_SEPT_ADD, 1, 3, false, false, true, "SEPT.ADD" },
    { TDX_RAX(TDH_MEM_SEPT_ADD, 1), 1, 3, false, false, true, "SEPT.ADD v1" },
    { TDH_MEM_PAGE_ADD, 0, 0, true, false, true, "PAGE.ADD" },
    { TDH_MEM_PAGE_AUG, 0, 1, false, false, true, "PAGE.AUG" },
    { TDH_MEM_RANGE_BLOCK, 0, 3, false, true, false, "RANGE.BLOCK" },
    { TDH_MEM_RANGE_UNBLOCK, 0, 3, false, true, false, "RANGE.UNBLOCK" },
    { TDH_MEM_PAGE_REMOVE, 0, 2, false, false, false, "PAGE.REMOVE" },
    { TDH_MEM_SEPT_REMOVE, 1, 3, false, true, false, "SEPT.REMOVE" },
    { TDH_MEM_SEPT_RD, 0, 3, false, false, false, "SEPT.RD" },
    { TDH_MEM_PAGE_DEMOTE, 1, 2, false, false, true, "PAGE.DEMOTE" },
    { TDH_MEM_PAGE_PROMOTE, 1, 2, false, true, false, "PAGE.PROMOTE" },
    { TDH_MEM_PAGE_RELOCATE, 0, 0, false, false, true, "PAGE.RELOCATE" },
};

/* Errors about the TD: before those of the GPA, which is bad here. */
static void check_td_errors(Fixture *f, const MemLeaf *leaf)
{
    Machine *mc = f->mc;
    Life *l = &f->l;
    struct tdr *tdr = life_tdr(l);
    const struct {
        uint64_t rdx, status;
    } bad[] = {
        { l->tdr + 0x800, RDX_INVALID },
        { l->tdr | (uint64_t)LIFE_HKID << MACHINE_HKID_SHIFT, RDX_INVALID },
        { 1ull << 52, RDX_INVALID },
        { 8 * GIB, OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RDX) },
        { f->page, OPERAND(TDX_PAGE_METADATA_INCORRECT, RDX) },
        { l->tdcs[0], OPERAND(TDX_PAGE_METADATA_INCORRECT, RDX) },
        { l->vcpu[0].tdvpr, OPERAND(TDX_PAGE_METADATA_INCORRECT, RDX) },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_status(CALL(mc, 0, leaf->rax, .rcx = 0xff8, .rdx = bad[i].rdx,
                           .r8 = f->page), bad[i].status);
        assert_info(mc, 0, 0);
    }
    assert_status(CALL_LOCKED(mc, life_page_lock(mc, l->tdr), LOCK_EXCLUSIVE, 0,
                              leaf->rax, .rcx = 0xff8, .rdx = l->tdr),
                  OPERAND(TDX_OPERAND_BUSY, RDX));
    assert_status(CALL_LOCKED(mc, life_page_lock(mc, l->tdr), LOCK_SHARED, 0,
                              leaf->rax, .rcx = 0xff8, .rdx = l->tdr),
                  leaf->td_exclusive ? OPERAND(TDX_OPERAND_BUSY, RDX) : RCX_INVALID);
    tdr->fatal = 1;
    tdr->lifecycle = TD_BLOCKED;
    assert_status(CALL(mc, 0, leaf->rax, .rcx = 0xff8, .rdx = l->tdr), TDX_TD_FATAL);
    tdr->fatal = 0;
    for (unsigned state = TD_HKID_ASSIGNED; state <= TD_TEARDOWN; state++) {
        tdr->lifecycle = state;
        assert_status(CALL(mc, 0, leaf->rax, .rcx = 0xff8, .rdx = l->tdr),
                      state == TD_KEYS_CONFIGURED ? RCX_INVALID :
                      TDX_TD_KEYS_NOT_CONFIGURED);
    }
    tdr->lifecycle = TD_KEYS_CONFIGURED;
    tdr->num_tdcx = TDCS_PAGES - 1;
    assert_status(CALL(mc, 0, leaf->rax, .rcx = 0xff8, .rdx = l->tdr),
                  TDX_TDCS_NOT_ALLOCATED);
    tdr->num_tdcx = TDCS_PAGES;
    assert_status(CALL_LOCKED(mc, &life_tdcs(l)->op_state_lock, LOCK_EXCLUSIVE, 0,
                              leaf->rax, .rcx = 0xff8, .rdx = l->tdr),
                  leaf->td_exclusive ? RCX_INVALID :
                  OPERAND(TDX_OPERAND_BUSY, OP_STATE));
}

static void check_gpa_errors(Fixture *f, const MemLeaf *leaf)
{
    uint64_t rdx = f->l.tdr;
    const uint64_t bad[] = {
        leaf->max + 1, 4, 5, 7,                         /* levels */
        leaf->min | 0x8, leaf->min | 0x800,             /* 11:3 */
        leaf->min | 1ull << 47,                         /* SHARED */
        leaf->min | 1ull << 48, leaf->min | 1ull << 51, /* beyond GPAW */
        leaf->min | 1ull << 52, leaf->min | 1ull << 63, /* reserved */
        leaf->max | TDX_LEVEL_SIZE(leaf->max) / 2,      /* alignment */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_status(CALL(f->mc, 0, leaf->rax, .rcx = bad[i], .rdx = rdx, .r8 = 1,
                           .r9 = 1), RCX_INVALID);
        assert_info(f->mc, 0, 0);
    }
    if (leaf->min) {
        assert_status(CALL(f->mc, 0, leaf->rax, .rcx = 0, .rdx = rdx, .r8 = 1),
                      RCX_INVALID);
    }
    /* The GPA comes before the tree's lock. */
    assert_status(CALL_LOCKED(f->mc, &life_tdcs(&f->l)->sept_lock, LOCK_EXCLUSIVE, 0,
                              leaf->rax, .rcx = 0xff8, .rdx = rdx), RCX_INVALID);
}

static void check_tree_errors(Fixture *f, const MemLeaf *leaf)
{
    Machine *mc = f->mc;
    uint64_t rdx = f->l.tdr, busy = OPERAND(TDX_OPERAND_BUSY, SEPT_TREE);
    uint16_t *lock = &life_tdcs(&f->l)->sept_lock;
    uint64_t walk_failed = OPERAND(TDX_EPT_WALK_FAILED, RCX);

    assert_status(CALL_LOCKED(mc, lock, LOCK_EXCLUSIVE, 0, leaf->rax,
                              .rcx = GPA_NO_TABLE | leaf->min, .rdx = rdx), busy);
    assert_status(CALL_LOCKED(mc, lock, LOCK_SHARED, 0, leaf->rax,
                              .rcx = GPA_NO_TABLE | leaf->min, .rdx = rdx),
                  leaf->tree_exclusive ? busy : walk_failed);
    /* The walk ends at the free 512G entry; R8 and R9 are bad, but come later. */
    assert_status(CALL(mc, 0, leaf->rax, .rcx = GPA_NO_TABLE | leaf->min, .rdx = rdx,
                       .r8 = 1, .r9 = 1), walk_failed);
    assert_info(mc, FREE_ENTRY, INFO(TDX_512G, SEPT_FREE));
}

static void test_common_errors(Fixture *f, gconstpointer data)
{
    (void)data;
    /* The model's own limits are those of a 4-level S-EPT here. */
    for (size_t i = 0; i < G_N_ELEMENTS(mem_leaves); i++) {
        g_test_message("%s", mem_leaves[i].name);
        check_td_errors(f, &mem_leaves[i]);
        check_gpa_errors(f, &mem_leaves[i]);
        check_tree_errors(f, &mem_leaves[i]);
    }
}

/* A locked entry: OPERAND_BUSY|RCX, with the entry; nothing changes. */
static void test_entry_lock(Fixture *f, gconstpointer data)
{
    static const unsigned leaves[] = {
        TDH_MEM_PAGE_ADD, TDH_MEM_PAGE_AUG, TDH_MEM_RANGE_BLOCK, TDH_MEM_PAGE_REMOVE,
    };
    Machine *mc = f->mc;
    uint64_t *entry, hpa = life_page_add(&f->l, GPA);
    Td td = { .tdr = life_tdr(&f->l), .tdcs = life_tdcs(&f->l) };
    SeptWalk w;

    (void)data;
    g_assert_true(sept_walk_leaf(mc->mod, &td, GPA, &w));
    entry = w.entry;
    *entry |= 1ull << 11;
    for (size_t i = 0; i < G_N_ELEMENTS(leaves); i++) {
        assert_status(CALL(mc, 0, leaves[i], .rcx = GPA, .rdx = f->l.tdr, .r8 = f->page),
                      OPERAND(TDX_OPERAND_BUSY, RCX));
        /* RWX, WB, IPAT, HPA, suppress #VE */
        assert_info(mc, FREE_ENTRY | hpa | 0x77, INFO(TDX_4K, SEPT_MAPPED));
    }
    *entry &= ~(1ull << 11);
    assert_status(CALL(mc, 0, TDH_MEM_RANGE_BLOCK, .rcx = GPA, .rdx = f->l.tdr),
                  TDX_SUCCESS);
    assert_info(mc, 0, 0);
}

/*
 * R8 of the leaves that take a page: all that is wrong with it, then success
 * with RCX = @out and @more pages of the TD.
 */
static void check_new_page_as(Fixture *f, uint64_t rax, uint64_t rcx, uint64_t r9,
                              uint64_t out, unsigned more)
{
    Machine *mc = f->mc;
    Life *l = &f->l;
    uint64_t before = life_tdr(l)->chldcnt;
    const struct {
        uint64_t r8, status;
    } bad[] = {
        { UINT64_MAX, OPERAND(TDX_OPERAND_INVALID, R8) },
        { f->page + 64, OPERAND(TDX_OPERAND_INVALID, R8) },
        { f->page | 1ull << MACHINE_HKID_SHIFT, OPERAND(TDX_OPERAND_INVALID, R8) },
        { 8 * GIB, OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, R8) },
        { l->tdcs[1], OPERAND(TDX_PAGE_METADATA_INCORRECT, R8) },
        { l->page[0], OPERAND(TDX_PAGE_METADATA_INCORRECT, R8) },
        { 0x1000, OPERAND(TDX_PAGE_METADATA_INCORRECT, R8) },       /* reserved */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_status(CALL(mc, 0, rax, .rcx = rcx, .rdx = l->tdr, .r8 = bad[i].r8,
                           .r9 = r9), bad[i].status);
    }
    assert_status(CALL_LOCKED(mc, life_page_lock(mc, f->page), LOCK_SHARED, 0, rax,
                              .rcx = rcx, .rdx = l->tdr, .r8 = f->page, .r9 = r9),
                  OPERAND(TDX_OPERAND_BUSY, R8));
    g_assert_cmpuint(life_tdr(l)->chldcnt, ==, before);
    assert_status(CALL(mc, 0, rax, .rcx = rcx, .rdx = l->tdr, .r8 = f->page, .r9 = r9),
                  TDX_SUCCESS);
    assert_info(mc, out, 0);
    g_assert_cmpuint(life_tdr(l)->chldcnt, ==, before + more);
}

static void check_new_page(Fixture *f, uint64_t rax, uint64_t rcx, uint64_t r9)
{
    check_new_page_as(f, rax, rcx, r9, 0, 1);
}

static void assert_page(Fixture *f, enum pamt_type type, uint64_t page)
{
    assert_status(CALL(f->mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = page), TDX_SUCCESS);
    g_assert_cmphex(f->mc->out.rcx, ==, type);
    g_assert_cmphex(f->mc->out.rdx, ==, type == PT_NDA ? 0 : f->l.tdr);
}

static void assert_entry(Fixture *f, uint64_t gpa_level, uint64_t entry,
                         enum sept_state state)
{
    assert_status(CALL(f->mc, 0, TDH_MEM_SEPT_RD, .rcx = gpa_level, .rdx = f->l.tdr,
                       .r8 = 5), TDX_SUCCESS);
    assert_info(f->mc, entry, INFO(gpa_level & 7, state));
    g_assert_cmphex(f->mc->out.r8, ==, 0);
}

static void test_sept_add(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    uint64_t rdx = f->l.tdr, again = machine_page(mc);

    (void)data;
    check_new_page(f, TDH_MEM_SEPT_ADD, GPA_NO_TABLE | TDX_512G, 0);
    assert_page(f, PT_EPT, f->page);
    assert_entry(f, GPA_NO_TABLE | TDX_512G, 7, SEPT_NL_MAPPED);
    for (unsigned i = 0; i < 512; i++) {
        g_assert_cmphex(((uint64_t *)machine_ptr(mc, f->page, 4096))[i], ==, FREE_ENTRY);
    }
    /* An existing table. */
    assert_status(CALL(mc, 0, TDH_MEM_SEPT_ADD, .rcx = GPA_NO_TABLE | TDX_512G,
                       .rdx = rdx, .r8 = again),
                  OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));
    assert_info(mc, 7, INFO(TDX_512G, SEPT_NL_MAPPED));
    assert_status(CALL(mc, 0, TDH_MEM_SEPT_ADD, .rcx = GPA_NO_TABLE | TDX_512G,
                       .rdx = rdx | 1, .r8 = again), RDX_INVALID);
    assert_status(CALL(mc, 0, TDX_RAX(TDH_MEM_SEPT_ADD, 1), .rcx = GPA_NO_TABLE | 3,
                       .rdx = rdx, .r8 = again),
                  OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));
    assert_status(CALL(mc, 0, TDX_RAX(TDH_MEM_SEPT_ADD, 1), .rcx = GPA_NO_TABLE | 3,
                       .rdx = rdx | 3, .r8 = again), RDX_INVALID);
    assert_status(CALL(mc, 0, TDX_RAX(TDH_MEM_SEPT_ADD, 1), .rcx = GPA_NO_TABLE | 3,
                       .rdx = rdx | 1, .r8 = again), TDX_SUCCESS);
    g_assert_cmphex(mc->out.r8, ==, again);     /* not used */
    assert_page(f, PT_NDA, again);
    assert_status(CALL(mc, 0, TDX_RAX(TDH_MEM_SEPT_ADD, 1), .rcx = GPA_NO_TABLE | 2,
                       .rdx = rdx, .r8 = again), TDX_SUCCESS);
    g_assert_cmphex(mc->out.r8, ==, UINT64_MAX);
    assert_page(f, PT_EPT, again);
    assert_status(CALL(mc, 0, TDX_RAX(TDH_MEM_SEPT_ADD, 2)),
                  OPERAND(TDX_OPERAND_INVALID, RAX));
    /* Where a page is mapped. */
    life_page_add(&f->l, GPA);
    assert_status(CALL(mc, 0, TDH_MEM_SEPT_ADD, .rcx = GPA | TDX_2M, .rdx = rdx,
                       .r8 = machine_page(mc)),
                  OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));
}

static void test_page_add(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    uint64_t rdx = f->l.tdr, source = machine_page(mc);
    uint64_t shared = source | 3ull << MACHINE_HKID_SHIFT;      /* an MKTME KeyID */
    const uint64_t bad[] = {
        source + 8, 1ull << 52, source | (uint64_t)LIFE_HKID << MACHINE_HKID_SHIFT,
        512 * MIB,                                              /* not RAM */
    };

    (void)data;
    memset(machine_ptr(mc, source, 4096), 0x5a, 4096);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_status(CALL(mc, 0, TDH_MEM_PAGE_ADD, .rcx = GPA, .rdx = rdx, .r8 = 1,
                           .r9 = bad[i]), OPERAND(TDX_OPERAND_INVALID, R9));
    }
    check_new_page(f, TDH_MEM_PAGE_ADD, GPA, shared);
    assert_page(f, PT_REG, f->page);
    assert_entry(f, GPA, FREE_ENTRY | f->page | 0x77, SEPT_MAPPED);
    g_assert_cmpmem(machine_ptr(mc, f->page, 4096), 4096, machine_ptr(mc, source, 4096),
                    4096);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_ADD, .rcx = GPA, .rdx = rdx, .r8 = 1,
                       .r9 = 1), OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));
    assert_info(mc, FREE_ENTRY | f->page | 0x77, INFO(TDX_4K, SEPT_MAPPED));
    /* In place. */
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_ADD, .rcx = GPA + 4096, .rdx = rdx,
                       .r8 = source, .r9 = source), TDX_SUCCESS);
    g_assert_cmphex(*(uint8_t *)machine_ptr(mc, source, 1), ==, 0x5a);
    life_finalize(&f->l);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_ADD, .rcx = GPA + 8192, .rdx = rdx,
                       .r8 = machine_page(mc), .r9 = machine_page(mc)),
                  TDX_OP_STATE_INCORRECT);
}

static void test_page_aug(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    uint64_t rdx = f->l.tdr;

    (void)data;
    memset(machine_ptr(mc, f->page, 4096), 0x5a, 4096);
    check_new_page(f, TDH_MEM_PAGE_AUG, GPA, 0);
    assert_page(f, PT_REG, f->page);
    assert_entry(f, GPA, FREE_ENTRY | f->page | 0x70, SEPT_PENDING);
    g_assert_cmphex(*(uint8_t *)machine_ptr(mc, f->page, 1), ==, 0x5a);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_AUG, .rcx = GPA, .rdx = rdx, .r8 = 1),
                  OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));
    assert_info(mc, FREE_ENTRY | f->page | 0x70, INFO(TDX_4K, SEPT_PENDING));
    /* A table is where the 2M page would be. */
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_AUG, .rcx = GPA | TDX_2M, .rdx = rdx,
                       .r8 = machine_2m(mc)),
                  OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));
    assert_info(mc, 7, INFO(TDX_2M, SEPT_NL_MAPPED));
}

static void test_page_aug_2m(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    uint64_t rdx = f->l.tdr, gpa = GPA + 2 * MIB, hpa = machine_2m(mc);
    uint64_t partly = machine_2m(mc);
    uint64_t before = life_tdr(&f->l)->chldcnt;
    uint64_t entry = FREE_ENTRY | hpa | 1 << 7 | 0x70;

    (void)data;
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_AUG, .rcx = gpa | TDX_2M, .rdx = rdx,
                       .r8 = hpa + 4096), OPERAND(TDX_OPERAND_INVALID, R8));
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_AUG, .rcx = GPA, .rdx = rdx,
                       .r8 = partly + 4096), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_AUG, .rcx = gpa | TDX_2M, .rdx = rdx,
                       .r8 = partly), OPERAND(TDX_PAGE_METADATA_INCORRECT, R8));
    life_zap(&f->l, GPA, TDX_4K);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_AUG, .rcx = gpa | TDX_2M, .rdx = rdx,
                       .r8 = hpa), TDX_SUCCESS);
    g_assert_cmpuint(life_tdr(&f->l)->chldcnt, ==, before + 512);
    assert_entry(f, gpa | TDX_2M, entry, SEPT_PENDING);
    /* Below it there is no table. */
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_AUG, .rcx = gpa, .rdx = rdx, .r8 = f->page),
                  OPERAND(TDX_EPT_WALK_FAILED, RCX));
    assert_info(mc, entry, INFO(TDX_2M, SEPT_PENDING));
    /* Nor are its pages free. */
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_AUG, .rcx = GPA, .rdx = rdx,
                       .r8 = hpa + 4096), OPERAND(TDX_PAGE_METADATA_INCORRECT, R8));
    g_assert_true(life_accept(&f->l, gpa, TDX_2M));
    assert_entry(f, gpa | TDX_2M, entry | 7, SEPT_MAPPED);
    assert_status(CALL(mc, 0, TDH_MEM_RANGE_BLOCK, .rcx = gpa | TDX_2M, .rdx = rdx),
                  TDX_SUCCESS);
    assert_entry(f, gpa | TDX_2M, entry, SEPT_BLOCKED);
    assert_status(CALL(mc, 0, TDH_MEM_TRACK, .rcx = rdx), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_REMOVE, .rcx = gpa | TDX_2M, .rdx = rdx),
                  TDX_SUCCESS);
    assert_info(mc, hpa, 0);
    g_assert_cmpuint(life_tdr(&f->l)->chldcnt, ==, before);
    assert_entry(f, gpa | TDX_2M, FREE_ENTRY, SEPT_FREE);
}

static void test_relocate(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    uint64_t rdx = f->l.tdr, hpa = life_page_aug(&f->l, GPA), again = machine_page(mc);
    const uint64_t track = OPERAND(TDX_TLB_TRACKING_NOT_DONE, RCX);

    (void)data;
    g_assert_true(life_accept(&f->l, GPA, TDX_4K));
    memset(machine_ptr(mc, hpa, 4096), 0x33, 4096);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_RELOCATE, .rcx = GPA + 4096, .rdx = rdx,
                       .r8 = 1), OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_RELOCATE, .rcx = GPA, .rdx = rdx, .r8 = hpa),
                  OPERAND(TDX_OPERAND_INVALID, R8));
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_RELOCATE, .rcx = GPA, .rdx = rdx, .r8 = 1),
                  OPERAND(TDX_GPA_RANGE_NOT_BLOCKED, RCX));
    assert_status(CALL(mc, 0, TDH_MEM_RANGE_BLOCK, .rcx = GPA, .rdx = rdx), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_RELOCATE, .rcx = GPA, .rdx = rdx, .r8 = 1),
                  track);
    assert_status(CALL(mc, 0, TDH_MEM_TRACK, .rcx = rdx), TDX_SUCCESS);
    check_new_page_as(f, TDH_MEM_PAGE_RELOCATE, GPA, 0, hpa, 0);
    assert_page(f, PT_NDA, hpa);
    assert_page(f, PT_REG, f->page);
    assert_entry(f, GPA, FREE_ENTRY | f->page | 0x77, SEPT_MAPPED);
    g_assert_cmphex(*(uint8_t *)machine_ptr(mc, f->page + 4095, 1), ==, 0x33);
    /* What was not accepted stays so, and is not copied. */
    hpa = life_page_aug(&f->l, GPA + 4096);
    memset(machine_ptr(mc, hpa, 4096), 0x44, 4096);
    assert_status(CALL(mc, 0, TDH_MEM_RANGE_BLOCK, .rcx = GPA + 4096, .rdx = rdx),
                  TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_MEM_TRACK, .rcx = rdx), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_RELOCATE, .rcx = GPA + 4096, .rdx = rdx,
                       .r8 = again), TDX_SUCCESS);
    assert_entry(f, GPA + 4096, FREE_ENTRY | again | 0x70, SEPT_PENDING);
    g_assert_cmphex(*(uint8_t *)machine_ptr(mc, again, 1), ==, 0);
}

/* --- blocking and tracking --- */

static uint64_t call_gpa(Fixture *f, unsigned leaf, uint64_t gpa_level)
{
    return CALL(f->mc, 0, leaf, .rcx = gpa_level, .rdx = f->l.tdr);
}

static void test_block_states(Fixture *f, gconstpointer data)
{
    uint64_t pending = life_page_aug(&f->l, GPA);
    uint64_t mapped = life_page_aug(&f->l, GPA + 4096);

    (void)data;
    g_assert_true(life_accept(&f->l, GPA + 4096, TDX_4K));
    assert_status(call_gpa(f, TDH_MEM_RANGE_BLOCK, GPA + 8192),
                  OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));
    assert_info(f->mc, FREE_ENTRY, INFO(TDX_4K, SEPT_FREE));
    assert_status(call_gpa(f, TDH_MEM_RANGE_UNBLOCK, GPA),
                  OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));

    assert_status(call_gpa(f, TDH_MEM_RANGE_BLOCK, GPA), TDX_SUCCESS);
    assert_entry(f, GPA, FREE_ENTRY | pending | 0x70, SEPT_PENDING_BLOCKED);
    assert_status(call_gpa(f, TDH_MEM_RANGE_BLOCK, GPA + 4096), TDX_SUCCESS);
    assert_entry(f, GPA + 4096, FREE_ENTRY | mapped | 0x70, SEPT_BLOCKED);
    assert_status(call_gpa(f, TDH_MEM_RANGE_BLOCK, GPA + 4096),
                  OPERAND(TDX_GPA_RANGE_ALREADY_BLOCKED, RCX));
    assert_info(f->mc, FREE_ENTRY | mapped | 0x70, INFO(TDX_4K, SEPT_BLOCKED));
    g_assert_false(life_accept(&f->l, GPA, TDX_4K));

    assert_status(call_gpa(f, TDH_MEM_RANGE_UNBLOCK, GPA),
                  OPERAND(TDX_TLB_TRACKING_NOT_DONE, SEPT_TREE));
    assert_status(CALL(f->mc, 0, TDH_MEM_TRACK, .rcx = f->l.tdr), TDX_SUCCESS);
    assert_status(call_gpa(f, TDH_MEM_RANGE_UNBLOCK, GPA), TDX_SUCCESS);
    assert_entry(f, GPA, FREE_ENTRY | pending | 0x70, SEPT_PENDING);
    assert_status(call_gpa(f, TDH_MEM_RANGE_UNBLOCK, GPA + 4096), TDX_SUCCESS);
    assert_entry(f, GPA + 4096, FREE_ENTRY | mapped | 0x77, SEPT_MAPPED);
}

/* A blocked table hides all below it, whose states stay. */
static void test_block_table(Fixture *f, gconstpointer data)
{
    uint64_t hpa = life_page_aug(&f->l, GPA);
    Td td = { .tdr = life_tdr(&f->l), .tdcs = life_tdcs(&f->l) };
    SeptWalk w;

    (void)data;
    g_assert_true(life_accept(&f->l, GPA, TDX_4K));
    assert_status(call_gpa(f, TDH_MEM_RANGE_BLOCK, GPA | TDX_2M), TDX_SUCCESS);
    assert_entry(f, GPA | TDX_2M, 0, SEPT_NL_BLOCKED);
    assert_entry(f, GPA, FREE_ENTRY | hpa | 0x77, SEPT_MAPPED);
    g_assert_true(sept_walk_leaf(f->mc->mod, &td, GPA, &w));
    g_assert_cmpuint(w.level, ==, TDX_2M);
    g_assert_cmphex(w.state, ==, SEPT_NL_BLOCKED);
    g_assert_cmphex(*w.entry & 7, ==, 0);       /* what the processor sees */
    assert_status(call_gpa(f, TDH_MEM_RANGE_BLOCK, GPA | TDX_2M),
                  OPERAND(TDX_GPA_RANGE_ALREADY_BLOCKED, RCX));
    assert_status(CALL(f->mc, 0, TDH_MEM_TRACK, .rcx = f->l.tdr), TDX_SUCCESS);
    assert_status(call_gpa(f, TDH_MEM_SEPT_REMOVE, GPA | TDX_2M),
                  OPERAND(TDX_EPT_PAGE_NOT_FREE, RCX));
    assert_info(f->mc, 0, INFO(TDX_2M, SEPT_NL_BLOCKED));
    assert_status(call_gpa(f, TDH_MEM_RANGE_UNBLOCK, GPA | TDX_2M), TDX_SUCCESS);
    assert_entry(f, GPA | TDX_2M, 7, SEPT_NL_MAPPED);
    g_assert_true(sept_walk_leaf(f->mc->mod, &td, GPA, &w));
    g_assert_cmphex(w.state, ==, SEPT_MAPPED);
}

static void test_remove_rules(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    uint64_t hpa = life_page_aug(&f->l, GPA), pending = life_page_aug(&f->l, GPA + 4096);

    (void)data;
    g_assert_true(life_accept(&f->l, GPA, TDX_4K));
    assert_status(call_gpa(f, TDH_MEM_PAGE_REMOVE, GPA + 8192),
                  OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));
    assert_status(call_gpa(f, TDH_MEM_PAGE_REMOVE, GPA | TDX_2M),
                  OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));
    assert_info(mc, 7, INFO(TDX_2M, SEPT_NL_MAPPED));
    /* The page's lock comes before tracking. */
    assert_status(CALL_LOCKED(mc, life_page_lock(mc, hpa), LOCK_SHARED, 0,
                              TDH_MEM_PAGE_REMOVE, .rcx = GPA, .rdx = f->l.tdr),
                  OPERAND(TDX_OPERAND_BUSY, RCX));
    assert_status(call_gpa(f, TDH_MEM_PAGE_REMOVE, GPA),
                  OPERAND(TDX_GPA_RANGE_NOT_BLOCKED, RCX));
    assert_info(mc, FREE_ENTRY | hpa | 0x77, INFO(TDX_4K, SEPT_MAPPED));
    assert_status(call_gpa(f, TDH_MEM_PAGE_REMOVE, GPA + 4096),
                  OPERAND(TDX_GPA_RANGE_NOT_BLOCKED, RCX));
    assert_info(mc, FREE_ENTRY | pending | 0x70, INFO(TDX_4K, SEPT_PENDING));
    assert_status(call_gpa(f, TDH_MEM_RANGE_BLOCK, GPA), TDX_SUCCESS);
    assert_status(call_gpa(f, TDH_MEM_PAGE_REMOVE, GPA),
                  OPERAND(TDX_TLB_TRACKING_NOT_DONE, RCX));
    assert_info(mc, FREE_ENTRY | hpa | 0x70, INFO(TDX_4K, SEPT_BLOCKED));
    assert_status(CALL(mc, 0, TDH_MEM_TRACK, .rcx = f->l.tdr), TDX_SUCCESS);
    assert_status(call_gpa(f, TDH_MEM_PAGE_REMOVE, GPA), TDX_SUCCESS);
    assert_info(mc, hpa, 0);
    assert_page(f, PT_NDA, hpa);
    assert_entry(f, GPA, FREE_ENTRY, SEPT_FREE);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = hpa |
                       (uint64_t)f->l.hkid << MACHINE_HKID_SHIFT), TDX_SUCCESS);
}

/* Before TDH.MR.FINALIZE nothing runs: no block, no tracking. */
static void test_remove_before_finalize(Fixture *f, gconstpointer data)
{
    uint64_t hpa = life_page_add(&f->l, GPA), table = f->l.page[f->l.num_pages - 1];

    (void)data;
    assert_status(call_gpa(f, TDH_MEM_PAGE_REMOVE, GPA), TDX_SUCCESS);
    assert_info(f->mc, hpa, 0);
    assert_status(call_gpa(f, TDX_RAX(TDH_MEM_SEPT_REMOVE, 1), GPA | TDX_2M),
                  TDX_SUCCESS);
    assert_info(f->mc, table, 0);
    g_assert_cmphex(f->mc->out.r9 & f->mc->out.r10 & f->mc->out.r11, ==, UINT64_MAX);
    assert_page(f, PT_NDA, table);
    assert_entry(f, GPA | TDX_2M, FREE_ENTRY, SEPT_FREE);
    assert_status(call_gpa(f, TDH_MEM_SEPT_REMOVE, GPA | TDX_2M),
                  OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX));
    life_page_add(&f->l, GPA);
    assert_status(call_gpa(f, TDH_MEM_RANGE_BLOCK, GPA), TDX_SUCCESS);
    assert_status(call_gpa(f, TDH_MEM_RANGE_UNBLOCK, GPA), TDX_SUCCESS);
}

static void test_sept_remove(Fixture *f, gconstpointer data)
{
    uint64_t table = f->l.page[f->l.num_pages - 1];

    (void)data;
    assert_status(CALL_LOCKED(f->mc, life_page_lock(f->mc, table), LOCK_SHARED, 0,
                              TDH_MEM_SEPT_REMOVE, .rcx = GPA | TDX_2M,
                              .rdx = f->l.tdr), OPERAND(TDX_OPERAND_BUSY, RCX));
    assert_status(call_gpa(f, TDH_MEM_SEPT_REMOVE, GPA | TDX_2M),
                  OPERAND(TDX_GPA_RANGE_NOT_BLOCKED, RCX));
    assert_status(call_gpa(f, TDH_MEM_RANGE_BLOCK, GPA | TDX_2M), TDX_SUCCESS);
    assert_status(call_gpa(f, TDH_MEM_SEPT_REMOVE, GPA | TDX_2M),
                  OPERAND(TDX_TLB_TRACKING_NOT_DONE, RCX));
    assert_status(CALL(f->mc, 0, TDH_MEM_TRACK, .rcx = f->l.tdr), TDX_SUCCESS);
    assert_status(call_gpa(f, TDH_MEM_SEPT_REMOVE, GPA | TDX_2M), TDX_SUCCESS);
    assert_info(f->mc, table, 0);
    assert_page(f, PT_NDA, table);
    assert_status(call_gpa(f, TDH_MEM_PAGE_AUG, GPA), OPERAND(TDX_EPT_WALK_FAILED, RCX));
    assert_info(f->mc, FREE_ENTRY, INFO(TDX_2M, SEPT_FREE));
}

static void test_track_operands(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    struct tdcs *tdcs = life_tdcs(&f->l);

    (void)data;
    assert_status(CALL(mc, 0, TDH_MEM_TRACK, .rcx = f->l.tdr | 1), RCX_INVALID);
    assert_status(CALL(mc, 0, TDH_MEM_TRACK, .rcx = 8 * GIB),
                  OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX));
    assert_status(CALL(mc, 0, TDH_MEM_TRACK, .rcx = f->page),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    assert_status(CALL_LOCKED(mc, life_page_lock(mc, f->l.tdr), LOCK_EXCLUSIVE, 0,
                              TDH_MEM_TRACK, .rcx = f->l.tdr),
                  OPERAND(TDX_OPERAND_BUSY, RCX));
    assert_status(CALL_LOCKED(mc, &tdcs->op_state_lock, LOCK_EXCLUSIVE, 0,
                              TDH_MEM_TRACK, .rcx = f->l.tdr),
                  OPERAND(TDX_OPERAND_BUSY, OP_STATE));
    assert_status(CALL_LOCKED(mc, &tdcs->epoch_lock, LOCK_SHARED, 0, TDH_MEM_TRACK,
                              .rcx = f->l.tdr), OPERAND(TDX_OPERAND_BUSY, TD_EPOCH));
    g_assert_cmpuint(tdcs->td_epoch, ==, 1);
    assert_status(CALL(mc, 0, TDH_MEM_TRACK, .rcx = f->l.tdr, .rdx = 7), TDX_SUCCESS);
    g_assert_cmphex(mc->out.rcx, ==, f->l.tdr);
    g_assert_cmphex(mc->out.rdx, ==, 7);
    g_assert_cmpuint(tdcs->td_epoch, ==, 2);
}

/* The ABI's epoch rules with two vCPUs inside at different epochs. */
static void test_track_epochs(Fixture *f, gconstpointer data)
{
    Life *l = &f->l;
    Machine *mc = f->mc;
    uint64_t rdx = l->tdr;

    (void)data;
    life_page_aug(l, GPA);
    g_assert_true(life_accept(l, GPA, TDX_4K));
    life_enter(l, 0, 0);                                /* in epoch 1 */
    g_assert_true(mc->enter.flush);
    assert_status(CALL(mc, 1, TDH_MEM_RANGE_BLOCK, .rcx = GPA, .rdx = rdx), TDX_SUCCESS);
    assert_status(CALL(mc, 1, TDH_PHYMEM_PAGE_RDMD, .rcx = machine_page(mc)), 0);
    assert_status(CALL(mc, 1, TDH_MEM_TRACK, .rcx = rdx), TDX_SUCCESS);  /* now 2 */
    /* vCPU 0 may still use the translation. */
    assert_status(CALL(mc, 1, TDH_MEM_PAGE_REMOVE, .rcx = GPA, .rdx = rdx),
                  OPERAND(TDX_TLB_TRACKING_NOT_DONE, RCX));
    assert_status(CALL(mc, 1, TDH_MEM_TRACK, .rcx = rdx), TDX_PREVIOUS_TLB_EPOCH_BUSY);
    life_enter(l, 1, 1);                                /* in epoch 2 */
    g_assert_true(mc->enter.flush);
    life_exit(l, 1);
    assert_status(CALL(mc, 1, TDH_MEM_PAGE_REMOVE, .rcx = GPA, .rdx = rdx),
                  OPERAND(TDX_TLB_TRACKING_NOT_DONE, RCX));
    life_exit(l, 0);
    life_enter(l, 0, 0);                                /* again, in epoch 2 */
    g_assert_true(mc->enter.flush);
    assert_status(CALL(mc, 1, TDH_MEM_PAGE_REMOVE, .rcx = GPA, .rdx = rdx), TDX_SUCCESS);
    assert_status(CALL(mc, 1, TDH_MEM_TRACK, .rcx = rdx), TDX_SUCCESS);  /* now 3 */
    assert_status(CALL(mc, 1, TDH_MEM_TRACK, .rcx = rdx), TDX_PREVIOUS_TLB_EPOCH_BUSY);
    life_exit(l, 0);
    assert_status(CALL(mc, 1, TDH_MEM_TRACK, .rcx = rdx), TDX_SUCCESS);
    life_enter(l, 1, 1);
    life_exit(l, 1);
    life_enter(l, 1, 1);                                /* same epoch and LP */
    g_assert_false(mc->enter.flush);
    life_exit(l, 1);
}

/* A page blocked two epochs ago is tracked, whoever runs now. */
static void test_track_old(Fixture *f, gconstpointer data)
{
    uint64_t rdx = f->l.tdr;

    (void)data;
    life_page_aug(&f->l, GPA);
    assert_status(call_gpa(f, TDH_MEM_RANGE_BLOCK, GPA), TDX_SUCCESS);   /* in 1 */
    assert_status(CALL(f->mc, 0, TDH_MEM_TRACK, .rcx = rdx), TDX_SUCCESS);
    assert_status(CALL(f->mc, 0, TDH_MEM_TRACK, .rcx = rdx), TDX_SUCCESS);
    life_enter(&f->l, 0, 0);                            /* 3: parity of 1 */
    assert_status(CALL(f->mc, 1, TDH_MEM_PAGE_REMOVE, .rcx = GPA, .rdx = rdx),
                  TDX_SUCCESS);
    life_exit(&f->l, 0);
}

#define ADD(name, finalized, fn) \
    g_test_add("/mem/" name, Fixture, finalized ? "" : NULL, set_up, fn, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("common-errors", false, test_common_errors);
    ADD("entry-lock", false, test_entry_lock);
    ADD("sept-add", false, test_sept_add);
    ADD("page-add", false, test_page_add);
    ADD("page-aug", true, test_page_aug);
    ADD("page-aug-2m", true, test_page_aug_2m);
    ADD("relocate", true, test_relocate);
    ADD("block-states", true, test_block_states);
    ADD("block-table", true, test_block_table);
    ADD("remove-rules", true, test_remove_rules);
    ADD("remove-before-finalize", false, test_remove_before_finalize);
    ADD("sept-remove", true, test_sept_remove);
    ADD("track-operands", true, test_track_operands);
    ADD("track-epochs", true, test_track_epochs);
    ADD("track-old", true, test_track_old);
    return g_test_run();
}
