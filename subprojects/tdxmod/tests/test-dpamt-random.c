/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT under random calls, right ones and wrong ones, against the reference
 * model (ref.h): after each call all registers, all 2M entries and the bitmap must be
 * as the reference says; now and then every page and every invariant.  The seed is
 * printed by the test program; run with --seed to repeat.
 *
 * TDXMOD_RANDOM_CALLS: how many calls, three million by default.
 */
#include <stdlib.h>
#include "fuzz.h"

#define CALLS           3000000
#define FULL_CHECK      32768           /* calls between */
#define TEARDOWN_LASTS  400

/* --- the call and the comparison --- */

static uint64_t raw_2m(const RefRegion *r, unsigned word)
{
    switch (r->kind) {
    case REF_PAIR:
        return word ? r->pair[1] >> 12 << 28 | r->count
                    : r->pair[0] >> 12 << 28 | PT_PAMT << 16;
    case REF_LEAF:
        return word ? r->leaf.bepoch : r->leaf.owner >> 12 << 24 | PT_REG << 16;
    default:
        return 0;
    }
}

static void compare_regions(Fuzz *z)
{
    for (unsigned i = 0; i < REF_REGIONS; i++) {
        const uint64_t *w = machine_entry_2m(z->mc, REF_FIRST + i * 2 * MIB).words;
        const RefRegion *r = &z->ref.region[i];

        g_assert_cmphex(w[0], ==, raw_2m(r, 0));
        if (r->kind != REF_LEAF || r->leaf.bepoch) {
            g_assert_cmphex(w[1], ==, raw_2m(r, 1));
        }
    }
    g_assert_cmpmem(machine_pamt_byte(z->mc, REF_FIRST), sizeof(z->ref.bits),
                    z->ref.bits, sizeof(z->ref.bits));
}

static void compare_stats(Fuzz *z)
{
    TdxPamtStats s;

    tdxmod_pamt_stats(z->mc->mod, &s);
    g_assert_cmpuint(s.pairs, ==, z->base.pairs + z->ref.pairs);
    g_assert_cmpuint(s.adds, ==, z->base.adds + z->ref.adds);
    g_assert_cmpuint(s.removes, ==, z->base.removes + z->ref.removes);
    g_assert_cmpuint(s.placed_own, ==, z->base.placed_own + z->ref.own);
    g_assert_cmpuint(s.placed_backed, ==, z->base.placed_backed + z->ref.backed);
    g_assert_cmpuint(s.placed_unbacked, ==, z->base.placed_unbacked + z->ref.unbacked);
    g_assert_cmpuint(s.failures, ==, z->ref.failures);
    g_assert_cmpuint(s.peak, >=, z->ref.peak);
    g_assert_cmpuint(s.corruptions, ==, 0);
}

/* The harness itself added pairs: these are not counted. */
static void rebase(Fuzz *z)
{
    TdxPamtStats s;

    tdxmod_pamt_stats(z->mc->mod, &s);
    z->base.pairs = s.pairs - z->ref.pairs;
    z->base.adds = s.adds - z->ref.adds;
    z->base.removes = s.removes - z->ref.removes;
    z->base.placed_own = s.placed_own - z->ref.own;
    z->base.placed_backed = s.placed_backed - z->ref.backed;
    z->base.placed_unbacked = s.placed_unbacked - z->ref.unbacked;
}

static void compare_all(Fuzz *z)
{
    z->mc->no_check = false;
    machine_check(z->mc);
    z->mc->no_check = true;
    compare_stats(z);
    for (unsigned i = 0; i < REF_PAGES; i++) {
        uint64_t pa = REF_FIRST + i * 4096ull;
        const RefPage *p = &z->ref.page[i];
        const uint64_t *w = machine_entry_4k(z->mc, pa);

        if (i % 512 == 0) {
            const RefRegion *r = &z->ref.region[i / 512];

            dpamt_expect(z->mc, pa, r->kind == REF_PAIR ? (int)r->count : DPAMT_NONE);
        }
        if (w) {
            g_assert_cmphex(w[0], ==, p->owner >> 12 << 24 | (uint64_t)p->type << 16);
            g_assert_cmphex(p->bepoch ? w[1] : 0, ==, p->bepoch);
        } else {
            g_assert_cmpuint(p->type, ==, PT_NDA);
        }
    }
}

static void differ(Fuzz *z, const RefAnswer *a, const uint64_t got[16])
{
    GString *s = g_string_new(NULL);

    for (unsigned i = 0; i < 16; i++) {
        g_string_append_printf(s, "\n  r%-2u in %016" PRIx64 " expected %016" PRIx64
                               " mask %016" PRIx64 " got %016" PRIx64 "%s", i, z->gpr[i],
                               a->value[i], a->mask[i], got[i],
                               (a->value[i] ^ got[i]) & a->mask[i] ? " <--" : "");
    }
    g_error("call %" PRIu64 ", leaf %u: not what the reference says%s", z->calls,
            (unsigned)z->gpr[TDX_RAX] & 0xffff, s->str);
}

static uint64_t both_call(Fuzz *z, uint64_t rax)
{
    uint64_t gpr[16];
    RefAnswer a;

    z->gpr[TDX_RAX] = rax;
    memcpy(gpr, z->gpr, sizeof(gpr));
    a = ref_call(&z->ref, z->gpr);
    seamcall_gpr(z->mc, 0, gpr);
    for (unsigned i = 0; i < 16; i++) {
        if ((gpr[i] ^ a.value[i]) & a.mask[i]) {
            differ(z, &a, gpr);
        }
    }
    compare_regions(z);
    g_hash_table_add(z->seen, GSIZE_TO_POINTER((rax << 56) ^ gpr[TDX_RAX]));
    if (++z->calls % FULL_CHECK == 0) {
        compare_all(z);
    }
    return gpr[TDX_RAX];
}

static void both_accept(Fuzz *z, RefTd *td, uint64_t gpa, unsigned level)
{
    g_assert_cmpint(life_accept(&z->life[td - z->ref.td], gpa, level), ==,
                    ref_accept(td, gpa, level));
}

/* --- the lives of the TDs --- */

static void ref_build(Fuzz *z, unsigned i, unsigned op_state)
{
    const Life *l = &z->life[i];

    z->ref.td[i] = (RefTd){
        .lifecycle = REF_KEYED, .op_state = op_state, .tdr = l->tdr, .hkid = l->hkid,
        .tdcs = REF_TDCS, .epoch = 1,
    };
}

static void build(Fuzz *z, unsigned i)
{
    Life *l = &z->life[i];

    z->mc->no_check = false;
    z->mc->auto_back = true;
    life_build(l, z->mc, i == REF_A ? LIFE_HKID : LIFE_HKID + 1);
    life_sept(l, REF_GPA, TDX_2M);
    if (i == REF_B) {
        life_add_vcpu(l, 0);
        life_finalize(l);
    }
    z->mc->no_check = true;
    ref_build(z, i, i == REF_B ? 2 : 1);
    rebase(z);
}

static void release_keys(Fuzz *z, RefTd *td)
{
    assert_status(CALL(z->mc, 0, TDH_MNG_VPFLUSHDONE, .rcx = td->tdr), TDX_SUCCESS);
    assert_status(CALL(z->mc, 0, TDH_PHYMEM_CACHE_WB), TDX_SUCCESS);
    assert_status(CALL(z->mc, 0, TDH_MNG_KEY_FREEID, .rcx = td->tdr), TDX_SUCCESS);
    td->lifecycle = REF_TEARDOWN;
}

/* Every page of TD A that the reference knows, in some order; then the rest of it. */
static void rebuild(Fuzz *z)
{
    RefTd *td = &z->ref.td[REF_A];
    unsigned offset = fuzz_below(z, REF_PAGES);

    for (unsigned n = 0; n < REF_PAGES; n++) {
        uint64_t pa = REF_FIRST + (offset + n * 1001ull) % REF_PAGES * 4096;
        const RefRegion *r = ref_region_at(&z->ref, pa);

        if (ref_page_at(&z->ref, pa)->owner == td->tdr ||
            (r->kind == REF_LEAF && r->leaf.owner == td->tdr && pa % (2 * MIB) == 0)) {
            z->gpr[TDX_RCX] = pa;
            assert_status(fuzz_call(z, TDH_PHYMEM_PAGE_RECLAIM), TDX_SUCCESS);
        }
    }
    g_assert_cmpuint(td->children, ==, 0);
    z->mc->no_check = false;
    life_reclaim(&z->life[REF_A]);
    td->lifecycle = REF_NO_TD;
    build(z, REF_A);
}

static void lives(Fuzz *z, uint64_t n)
{
    RefTd *t = &z->ref.td[REF_T];

    if (n % FUZZ_TEARDOWN == 0) {
        release_keys(z, &z->ref.td[REF_A]);
    } else if (n % FUZZ_TEARDOWN == TEARDOWN_LASTS) {
        if (n > FUZZ_TEARDOWN) {
            rebuild(z);
        }
    }
    if (t->lifecycle == REF_ASSIGNED && fuzz_below(z, 300) == 0) {
        assert_status(CALL(z->mc, 0, TDH_MNG_KEY_CONFIG, .rcx = t->tdr), TDX_SUCCESS);
        t->lifecycle = REF_KEYED;
    } else if ((t->lifecycle == REF_KEYED && fuzz_below(z, 600) == 0) ||
               (t->lifecycle == REF_ASSIGNED && fuzz_below(z, 900) == 0)) {
        release_keys(z, t);
    }
}

/* --- */

/* What must have come up, or the operands are not what they should be. */
static const struct {
    unsigned leaf;
    uint64_t status;
} must_see[] = {
    { TDH_PHYMEM_PAMT_ADD, TDX_SUCCESS },
    { TDH_PHYMEM_PAMT_ADD, OPERAND(TDX_OPERAND_INVALID, RCX) },
    { TDH_PHYMEM_PAMT_ADD, OPERAND(TDX_OPERAND_INVALID, RDX) },
    { TDH_PHYMEM_PAMT_ADD, OPERAND(TDX_OPERAND_INVALID, R8) },
    { TDH_PHYMEM_PAMT_ADD, OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX) },
    { TDH_PHYMEM_PAMT_ADD, OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RDX) },
    { TDH_PHYMEM_PAMT_ADD, OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, R8) },
    { TDH_PHYMEM_PAMT_ADD, OPERAND(TDX_HPA_RANGE_NOT_FREE, RCX) },
    { TDH_PHYMEM_PAMT_ADD, OPERAND(TDX_PAGE_NOT_FREE, RDX) },
    { TDH_PHYMEM_PAMT_ADD, OPERAND(TDX_PAGE_NOT_FREE, R8) },
    { TDH_PHYMEM_PAMT_REMOVE, TDX_SUCCESS },
    { TDH_PHYMEM_PAMT_REMOVE, OPERAND(TDX_OPERAND_INVALID, RCX) },
    { TDH_PHYMEM_PAMT_REMOVE, OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX) },
    { TDH_PHYMEM_PAMT_REMOVE, OPERAND(TDX_NO_PAMT_PAGE_PAIR, RCX) },
    { TDH_PHYMEM_PAMT_REMOVE, TDX_PAMT_PAGE_NOT_EMPTY },
    { TDH_PHYMEM_PAMT_REMOVE, TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 1) },
    { TDH_MNG_CREATE, TDX_SUCCESS },
    { TDH_MNG_CREATE, OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, RCX) },
    { TDH_MNG_ADDCX, TDX_SUCCESS },
    { TDH_VP_CREATE, TDX_SUCCESS },
    { TDH_VP_ADDCX, TDX_SUCCESS },
    { TDH_VP_ADDCX, OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, RCX) },
    { TDH_MEM_SEPT_ADD, TDX_SUCCESS },
    { TDH_MEM_SEPT_ADD, OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, R8) },
    { TDH_MEM_PAGE_ADD, TDX_SUCCESS },
    { TDH_MEM_PAGE_ADD, OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, R8) },
    { TDH_MEM_PAGE_ADD, OPERAND(TDX_PAGE_METADATA_INCORRECT, R8) },
    { TDH_MEM_PAGE_AUG, TDX_SUCCESS },
    { TDH_MEM_PAGE_AUG, OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, R8) },
    { TDH_MEM_PAGE_AUG, OPERAND(TDX_PAGE_METADATA_INCORRECT, R8) },
    { TDH_MEM_PAGE_RELOCATE, TDX_SUCCESS },
    { TDH_MEM_PAGE_RELOCATE, OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, R8) },
    { TDH_MEM_PAGE_REMOVE, TDX_SUCCESS },
    { TDH_MEM_SEPT_REMOVE, TDX_SUCCESS },
    { TDH_MEM_PAGE_DEMOTE, TDX_SUCCESS },
    { TDH_MEM_PAGE_DEMOTE, OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, R8) },
    { TDH_MEM_PAGE_DEMOTE, OPERAND(TDX_PAGE_NOT_FREE, R12) },
    { TDH_MEM_PAGE_DEMOTE, OPERAND(TDX_PAGE_NOT_FREE, R13) },
    { TDH_MEM_PAGE_PROMOTE, TDX_SUCCESS },
    { TDH_MEM_PAGE_PROMOTE, OPERAND(TDX_EPT_INVALID_PROMOTE_CONDITIONS, RCX) },
    { TDH_PHYMEM_PAGE_RECLAIM, TDX_SUCCESS },
    { TDH_PHYMEM_PAGE_RECLAIM, OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX) },
    { TDH_PHYMEM_PAGE_RDMD, TDX_SUCCESS },
    { TDH_PHYMEM_PAGE_WBINVD, TDX_SUCCESS },
};

static void test_random(void)
{
    const char *env = getenv("TDXMOD_RANDOM_CALLS");
    uint64_t calls = env ? strtoull(env, NULL, 0) : CALLS;
    Fuzz *z = g_new0(Fuzz, 1);

    z->call = both_call;
    z->accept = both_accept;
    z->mc = dpamt_machine(1);
    z->rand = g_rand_new_with_seed(g_test_rand_int());
    z->seen = g_hash_table_new(NULL, NULL);
    z->ref.td[REF_T].hkid = FUZZ_HKID_T;
    build(z, REF_A);
    build(z, REF_B);
    for (uint64_t n = 1; z->calls < calls; n++) {
        lives(z, n);
        fuzz_random_call(z);
    }
    compare_all(z);
    for (size_t i = 0; i < G_N_ELEMENTS(must_see) && calls >= CALLS; i++) {
        if (!g_hash_table_contains(z->seen, GSIZE_TO_POINTER(
                (uint64_t)must_see[i].leaf << 56 ^ must_see[i].status))) {
            g_error("leaf %u never gave 0x%" PRIx64, must_see[i].leaf,
                    must_see[i].status);
        }
    }
    g_test_message("%" PRIu64 " calls, %" PRIu64 " pairs added, %u kinds of answers",
                   z->calls, z->ref.adds, g_hash_table_size(z->seen));
    g_hash_table_destroy(z->seen);
    g_rand_free(z->rand);
    machine_free(z->mc);
    g_free(z);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dpamt-random/reference", test_random);
    return g_test_run();
}
