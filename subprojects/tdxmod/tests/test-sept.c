/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secure EPT: entries as the processor sees them, walks, accept, both sizes of
 * the tree.
 */
#include "life.h"
#include "sept_entry.h"

/* SDM vol. 3, 29.3.2: what an EPT entry means to the processor. */
#define EPT_READ                (1ull << 0)
#define EPT_WRITE               (1ull << 1)
#define EPT_EXEC                (1ull << 2)
#define EPT_RWX                 (EPT_READ | EPT_WRITE | EPT_EXEC)
#define EPT_MT_WB               (6ull << 3)
#define EPT_MT                  (7ull << 3)
#define EPT_PS                  (1ull << 7)
#define EPT_TABLE_RESERVED      (0x1full << 3)  /* 7:3 of an entry to a table */
#define EPT_SUPPRESS_VE         (1ull << 63)
#define EPT_ADDRESS             0x000ffffffffff000ull

#define HPA                     0x12340000000ull

static void test_entries(void)
{
    static const struct {
        enum sept_state state;
        bool present;
    } leaf[] = {
        { SEPT_MAPPED, true }, { SEPT_BLOCKED, false }, { SEPT_PENDING, false },
        { SEPT_PENDING_BLOCKED, false },
    };

    for (unsigned level = TDX_4K; level <= TDX_2M; level++) {
        for (size_t i = 0; i < G_N_ELEMENTS(leaf); i++) {
            uint64_t e = sept_make(leaf[i].state, level, HPA);

            g_assert_cmphex(sept_entry_state(e, level), ==, leaf[i].state);
            g_assert_cmphex(e & EPT_RWX, ==, leaf[i].present ? EPT_RWX : 0);
            g_assert_cmphex(e & EPT_MT, ==, EPT_MT_WB);
            g_assert_cmphex(e & EPT_ADDRESS, ==, HPA);
            g_assert_cmphex(e & EPT_PS, ==, level == TDX_4K ? 0 : EPT_PS);
            g_assert_cmphex(e & EPT_SUPPRESS_VE, ==, EPT_SUPPRESS_VE);
        }
        g_assert_cmphex(sept_make(SEPT_FREE, level, HPA), ==, EPT_SUPPRESS_VE);
        g_assert_cmphex(sept_entry_state(EPT_SUPPRESS_VE, level), ==, SEPT_FREE);
    }
    for (unsigned level = TDX_2M; level <= TDX_256T; level++) {
        uint64_t e = sept_make(SEPT_NL_MAPPED, level, HPA);

        g_assert_cmphex(sept_entry_state(e, level), ==, SEPT_NL_MAPPED);
        g_assert_cmphex(e & (EPT_RWX | EPT_TABLE_RESERVED), ==, EPT_RWX);
        g_assert_cmphex(e & EPT_ADDRESS, ==, HPA);
        e = sept_make(SEPT_NL_BLOCKED, level, HPA);
        g_assert_cmphex(sept_entry_state(e, level), ==, SEPT_NL_BLOCKED);
        g_assert_cmphex(e & EPT_RWX, ==, 0);
        g_assert_cmphex(e & EPT_ADDRESS, ==, HPA);
        g_assert_cmphex(e & EPT_SUPPRESS_VE, ==, EPT_SUPPRESS_VE);
    }
}

/* The entry's lock bit is nothing to the processor and to the state. */
static void test_entry_lock(void)
{
    Machine *mc = machine_new(1, 1);
    uint64_t e = sept_make(SEPT_MAPPED, TDX_4K, HPA), pa = machine_page(mc);
    uint64_t *entry = machine_ptr(mc, pa, 8);
    SeptWalk w = { .entry = entry, .entry_pa = pa }, other = w;

    *entry = e;
    g_assert_true(sept_lock(mc->mod, &w));
    g_assert_cmphex(w.value, ==, e);
    g_assert_cmphex(*entry & ~(1ull << 11), ==, e);
    g_assert_false(sept_lock(mc->mod, &other));
    g_assert_false(other.locked);
    sept_unlock(mc->mod, &other);               /* not its own: no effect */
    g_assert_false(sept_lock(mc->mod, &other));
    sept_unlock(mc->mod, &w);
    g_assert_cmphex(*entry, ==, e);
    g_assert_true(sept_lock(mc->mod, &other));
    sept_unlock_as(mc->mod, &other, SEPT_ENTRY_FREE);
    g_assert_cmphex(*entry, ==, EPT_SUPPRESS_VE);
    g_assert_cmphex(other.state, ==, SEPT_FREE);
    machine_free(mc);
}

typedef struct Fixture {
    Machine *mc;
    Life l;
    Td td;                      /* as a running vCPU sees the TD */
} Fixture;

/* @data: 5-level EPT and 52-bit GPAs, if not NULL. */
static void set_up(Fixture *f, gconstpointer data)
{
    f->mc = machine_new(1, 1);
    machine_ready(f->mc);
    life_create(&f->l, f->mc, LIFE_HKID);
    life_key_config(&f->l);
    life_add_tdcs(&f->l);
    if (data) {
        f->mc->mod->config.ept_5_levels = true;
        f->mc->mod->config_flags_fixed0 |= TDX_CONFIG_GPAW;
        life_params(&f->l)->eptp_controls = 6 | 4 << 3;
        life_params(&f->l)->config_flags |= TDX_CONFIG_GPAW;
    }
    life_mng_init(&f->l);
    life_add_vcpu(&f->l, 0);
    f->td = (Td){ .pa = f->l.tdr, .tdr = life_tdr(&f->l), .tdcs = life_tdcs(&f->l) };
}

static void tear_down(Fixture *f, gconstpointer data)
{
    (void)data;
    machine_free(f->mc);
}

static void test_translate(Fixture *f, gconstpointer data)
{
    TdxMod *m = f->mc->mod;
    uint64_t small = life_page_add(&f->l, 0x1000), big = machine_2m(f->mc), hpa = 7;
    SeptWalk w;

    (void)data;
    life_sept(&f->l, 0x200000, TDX_2M);
    assert_status(CALL(f->mc, 0, TDH_MEM_PAGE_AUG, .rcx = 0x200000 | TDX_2M,
                       .rdx = f->l.tdr, .r8 = big), TDX_SUCCESS);
    g_assert_true(sept_translate(m, &f->td, 0x1abc, &hpa, &w));
    g_assert_cmphex(hpa, ==, small + 0xabc);
    g_assert_cmpuint(w.level, ==, TDX_4K);
    g_assert_false(sept_translate(m, &f->td, 0x212345, &hpa, &w));
    g_assert_cmphex(w.state, ==, SEPT_PENDING);
    g_assert_cmpuint(w.level, ==, TDX_2M);
    g_assert_false(life_accept(&f->l, 0x200000, TDX_4K));       /* not its size */
    g_assert_true(life_accept(&f->l, 0x200000, TDX_2M));
    g_assert_false(life_accept(&f->l, 0x200000, TDX_2M));       /* not twice */
    g_assert_true(sept_translate(m, &f->td, 0x212345, &hpa, &w));
    g_assert_cmphex(hpa, ==, big + 0x12345);
    g_assert_false(sept_translate(m, &f->td, 0x2000, &hpa, &w));
    g_assert_cmphex(w.state, ==, SEPT_FREE);
    g_assert_cmpuint(w.level, ==, TDX_4K);
    g_assert_false(sept_translate(m, &f->td, 0x8000000000, &hpa, &w));
    g_assert_cmpuint(w.level, ==, TDX_512G);
}

/* sept_accept() itself looks again: the host may have come first. */
static void test_accept_changed(Fixture *f, gconstpointer data)
{
    TdxMod *m = f->mc->mod;
    uint64_t hpa = life_page_aug(&f->l, 0x1000);
    SeptWalk w;

    (void)data;
    memset(machine_ptr(f->mc, hpa, 4096), 0x5a, 4096);
    g_assert_true(sept_walk_leaf(m, &f->td, 0x1000, &w));
    assert_status(CALL(f->mc, 0, TDH_MEM_RANGE_BLOCK, .rcx = 0x1000, .rdx = f->l.tdr),
                  TDX_SUCCESS);
    g_assert_false(sept_accept(m, &f->td, &w));
    g_assert_cmphex(*(uint8_t *)machine_ptr(f->mc, hpa, 1), ==, 0x5a);
    assert_status(CALL(f->mc, 0, TDH_MEM_RANGE_UNBLOCK, .rcx = 0x1000, .rdx = f->l.tdr),
                  TDX_SUCCESS);
    g_assert_true(sept_walk_leaf(m, &f->td, 0x1000, &w));
    *w.entry |= 1ull << 11;                     /* the host works on it */
    g_assert_false(sept_accept(m, &f->td, &w));
    *w.entry &= ~(1ull << 11);
    g_assert_true(sept_accept(m, &f->td, &w));
    g_assert_cmphex(*(uint8_t *)machine_ptr(f->mc, hpa, 1), ==, 0);
}

/* A PENDING entry whose page is no RAM: RAM was scribbled on. */
static void test_accept_no_ram(Fixture *f, gconstpointer data)
{
    SeptWalk w;

    (void)data;
    life_page_aug(&f->l, 0x1000);
    g_assert_true(sept_walk_leaf(f->mc->mod, &f->td, 0x1000, &w));
    *w.entry = sept_make(SEPT_PENDING, TDX_4K, 512 * MIB);
    g_assert_false(sept_accept(f->mc->mod, &f->td, &w));
    g_assert_cmphex(*w.entry, ==, sept_make(SEPT_PENDING, TDX_4K, 512 * MIB));
}

/* Memory of the tree that was overwritten: no state of its own, no crash. */
static void test_scribbled(Fixture *f, gconstpointer data)
{
    SeptWalk w;

    (void)data;
    life_sept(&f->l, 0x1000, TDX_4K);
    g_assert_true(sept_walk_leaf(f->mc->mod, &f->td, 0x1000, &w));
    *w.entry = 0x123456000;                     /* an address, no permission */
    assert_status(CALL(f->mc, 0, TDH_MEM_SEPT_RD, .rcx = 0x1000, .rdx = f->l.tdr),
                  TDX_SUCCESS);
    g_assert_cmphex(f->mc->out.rcx, ==, EPT_SUPPRESS_VE);
    g_assert_cmphex(f->mc->out.rdx, ==, 0);
    f->td.tdr->num_tdcx = TDCS_SEPT_ROOT;
    g_assert_false(sept_walk_leaf(f->mc->mod, &f->td, 0x1000, &w));
    f->td.tdr->num_tdcx = TDCS_PAGES;
}

/* What a blocked table hides: there for the host's walk, not for the guest's. */
static void test_guest_walk(Fixture *f, gconstpointer data)
{
    uint64_t gpr[16] = { 0 };
    TdxCall host = { .m = f->mc->mod, .gpr = gpr };
    TdxCall guest = { .m = f->mc->mod, .gpr = gpr, .guest = true };
    SeptWalk w;

    (void)data;
    life_page_aug(&f->l, 0x1000);
    assert_status(CALL(f->mc, 0, TDH_MEM_RANGE_BLOCK, .rcx = 0 | TDX_2M,
                       .rdx = f->l.tdr), TDX_SUCCESS);
    assert_status(sept_walk(&host, &f->td, 0x1000, TDX_4K, &w), TDX_SUCCESS);
    g_assert_cmphex(w.state, ==, SEPT_PENDING);
    assert_status(sept_walk(&guest, &f->td, 0x1000, TDX_4K, &w),
                  OPERAND(TDX_EPT_WALK_FAILED, RCX));
    g_assert_cmphex(w.state, ==, SEPT_NL_BLOCKED);
    g_assert_cmpuint(w.level, ==, TDX_2M);
    g_assert_false(life_accept(&f->l, 0x1000, TDX_4K));
}

static void test_five_levels(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    uint64_t rdx = f->l.tdr, gpa = 1ull << 50, hpa;
    const uint64_t invalid = OPERAND(TDX_OPERAND_INVALID, RCX);
    SeptWalk w;

    (void)data;
    g_assert_cmphex(td_shared_mask(&f->td), ==, 1ull << 51);
    assert_status(CALL(mc, 0, TDH_MEM_SEPT_RD, .rcx = gpa | 5, .rdx = rdx), invalid);
    assert_status(CALL(mc, 0, TDH_MEM_SEPT_RD, .rcx = 1ull << 51 | 3, .rdx = rdx),
                  invalid);
    for (unsigned level = TDX_256T; level > TDX_4K; level--) {
        assert_status(CALL(mc, 0, TDH_MEM_SEPT_ADD, .rcx = gpa | (level - 1), .rdx = rdx,
                           .r8 = 1), level > TDX_2M ? OPERAND(TDX_EPT_WALK_FAILED, RCX) :
                      invalid);
        assert_status(CALL(mc, 0, TDH_MEM_SEPT_ADD, .rcx = gpa | level, .rdx = rdx,
                           .r8 = machine_page(mc)), TDX_SUCCESS);
    }
    hpa = machine_page(mc);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_AUG, .rcx = gpa, .rdx = rdx, .r8 = hpa),
                  TDX_SUCCESS);
    g_assert_true(life_accept(&f->l, gpa, TDX_4K));
    g_assert_true(sept_translate(mc->mod, &f->td, gpa + 5, &hpa, &w));
    /* Bit 47 is an ordinary one here. */
    g_assert_true(sept_walk_leaf(mc->mod, &f->td, gpa | 1ull << 47, &w));
    g_assert_cmphex(w.state, ==, SEPT_FREE);
    g_assert_cmpuint(w.level, ==, TDX_512G);
}

static void test_private_gpas(Fixture *f, gconstpointer data)
{
    (void)data;
    g_assert_true(sept_gpa_private(&f->td, (1ull << 47) - 1));
    g_assert_false(sept_gpa_private(&f->td, 1ull << 47));
    g_assert_false(sept_gpa_private(&f->td, 1ull << 48));
    g_assert_false(sept_gpa_private(&f->td, 1ull << 63));
}

#define ADD(name, five, fn) \
    g_test_add("/sept/" name, Fixture, five ? "" : NULL, set_up, fn, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sept/entries", test_entries);
    g_test_add_func("/sept/entry-lock", test_entry_lock);
    ADD("translate", false, test_translate);
    ADD("accept-changed", false, test_accept_changed);
    ADD("accept-no-ram", false, test_accept_no_ram);
    ADD("scribbled", false, test_scribbled);
    ADD("guest-walk", false, test_guest_walk);
    ADD("five-levels", true, test_five_levels);
    ADD("private-gpas", false, test_private_gpas);
    return g_test_run();
}
