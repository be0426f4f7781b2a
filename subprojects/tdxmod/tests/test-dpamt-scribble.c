/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT and an L1 that writes over the module's memory: 2M entries, the bitmap
 * and pages of pairs.  Hardware would stop; here L1 gets an error or a corruption is
 * noticed, the figures stay right, and a pair that comes back is the pair that was
 * given.
 */
#include "dpamt.h"

#define METADATA(reg)   OPERAND(TDX_PAGE_METADATA_INCORRECT, reg)

typedef struct Scene {
    Machine *mc;
    Life l;
    uint64_t region, none;      /* with a pair, without */
    uint64_t pair[2];
    uint64_t page;              /* in the region, not in use */
} Scene;

static void scene_new(Scene *s)
{
    Machine *mc = s->mc = dpamt_machine(1);

    dpamt_td(&s->l, mc);
    s->region = machine_2m(mc);
    s->none = machine_2m(mc);
    s->pair[0] = dpamt_back(mc, s->region);
    s->pair[1] = s->pair[0] + 4096;
    s->page = s->region + 9 * 4096;
    mc->no_check = true;        /* the invariants do not hold */
    mc->scribbled = true;
}

/* All is as it should be again. */
static void scene_check(Scene *s, int count)
{
    TdxPamtStats st;
    uint64_t in_use = 0;

    s->mc->no_check = false;
    dpamt_expect(s->mc, s->region, count);
    dpamt_expect(s->mc, s->none, DPAMT_NONE);
    tdxmod_pamt_stats(s->mc->mod, &st);
    g_assert_cmpuint(st.adds - st.removes, ==, st.pairs);
    for (uint64_t pa = 0; pa < MACHINE_RAM_SIZE; pa += 2 * MIB) {
        in_use += machine_recount(s->mc, pa);
    }
    g_assert_cmpuint(tdxmod_pages_in_use(s->mc->mod), ==, in_use);
    s->mc->no_check = true;
}

static uint64_t corruptions(Scene *s)
{
    TdxPamtStats st;

    tdxmod_pamt_stats(s->mc->mod, &st);
    return st.corruptions;
}

/* One page pair more or less than before would be wrong. */
typedef struct Figures {
    uint64_t pairs, adds, removes;
} Figures;

static Figures figures(Scene *s)
{
    TdxPamtStats st;

    tdxmod_pamt_stats(s->mc->mod, &st);
    return (Figures){ st.pairs, st.adds, st.removes };
}

static void same_figures(Scene *s, Figures f)
{
    Figures now = figures(s);

    g_assert_cmpmem(&now, sizeof(now), &f, sizeof(f));
}

/* REMOVE fails, notices, tells the developer which region; and gives nothing. */
static void remove_notices(Scene *s, uint64_t region)
{
    g_autofree char *hex = g_strdup_printf("0x%" PRIx64, region);
    uint64_t before = corruptions(s), gpr[16] = { 0 };
    Figures f = figures(s);

    s->mc->no_check = false;            /* else nothing is logged */
    s->mc->errors = 0;
    gpr[TDX_RAX] = TDH_PHYMEM_PAMT_REMOVE;
    gpr[TDX_RCX] = region | TDX_2M;
    tdxmod_seamcall(s->mc->mod, 0, gpr, &s->mc->enter);
    s->mc->no_check = true;
    g_assert_cmphex(gpr[TDX_RAX] & TDX_ERROR, !=, 0);
    g_assert_cmphex(gpr[TDX_RDX] | gpr[TDX_R8], ==, 0);
    g_assert_cmpuint(corruptions(s), >, before);
    g_assert_cmpuint(s->mc->errors, >=, 1);
    g_assert_nonnull(strstr(s->mc->last_log, hex));
    same_figures(s, f);
}

/* The 2M entry of a region with a pair, changed in every field. */
static void test_entry(void)
{
    static const struct {
        const char *what;
        uint64_t xor0, xor1;
    } cases[] = {
        { "type: free", 0xf << 16, 0 },
        { "type: a 2 MiB page", 0xc << 16, 0 },
        { "type: none that exists", 0x10 << 16, 0 },
        { "first page", 1ull << 28, 0 },
        { "first page, not RAM", 1ull << 63, 0 },
        { "second page", 0, 1ull << 28 },
        { "second page, not RAM", 0, 1ull << 62 },
        { "count 1", 0, 1 },
        { "count 512", 0, 512 },
        { "count 1023", 0, 1023 },
        { "all free", 15 << 16, 0 },
    };
    Scene s;

    scene_new(&s);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t *w = machine_entry_2m(s.mc, s.region).words;
        const uint64_t good[2] = { w[0], w[1] };
        Figures f = figures(&s);

        g_test_message("%s", cases[i].what);
        w[0] ^= cases[i].xor0;
        w[1] ^= cases[i].xor1;
        remove_notices(&s, s.region);
        g_assert_cmphex(dpamt_add(s.mc, s.region, s.none, s.none + 4096) & TDX_ERROR,
                        !=, 0);
        same_figures(&s, f);
        CALL(s.mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = s.page);
        CALL(s.mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = s.region | TDX_2M);
        CALL(s.mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = s.page);
        CALL(s.mc, 0, TDH_PHYMEM_PAGE_RECLAIM, .rcx = s.page);
        dpamt_aug(&s.l, DPAMT_GPA_2M, TDX_2M, s.region);
        g_assert_cmpuint(tdxmod_pages_in_use(s.mc->mod), <, 2048);
        CALL(s.mc, 0, TDH_MEM_PAGE_REMOVE, .rcx = DPAMT_GPA_2M | TDX_2M, .rdx = s.l.tdr);
        w[0] = good[0];
        w[1] = good[1];
        scene_check(&s, 0);
        g_assert_cmpuint(figures(&s).pairs, ==, f.pairs);
    }
    /* A lock that nobody holds: only L1 suffers. */
    *(uint16_t *)machine_entry_2m(s.mc, s.region).words = 0xffff;
    assert_status(dpamt_remove(s.mc, s.region), OPERAND(TDX_OPERAND_BUSY, RCX));
    *(uint16_t *)machine_entry_2m(s.mc, s.region).words = 0;
    s.mc->no_check = false;
    assert_status(CALL(s.mc, 0, TDH_PHYMEM_PAMT_REMOVE, .rcx = s.region | TDX_2M),
                  TDX_SUCCESS);
    g_assert_cmphex(s.mc->out.rdx, ==, s.pair[0]);
    g_assert_cmphex(s.mc->out.r8, ==, s.pair[1]);
    machine_free(s.mc);
}

/* An entry that claims a pair which nobody gave. */
static void test_claimed(void)
{
    static const uint64_t claims[][2] = {
        { 15 << 16, 0 }, { 15 << 16, 5 }, { UINT64_MAX << 28 | 15 << 16, UINT64_MAX },
        { 600ull << 28 | 15 << 16, 601ull << 28 }, { 1ull << 60 | 15 << 16, 512 },
    };
    Scene s;

    scene_new(&s);
    for (size_t i = 0; i < G_N_ELEMENTS(claims); i++) {
        uint64_t *w = machine_entry_2m(s.mc, s.none).words, before;
        Figures f = figures(&s);

        memcpy(w, claims[i], 16);
        before = corruptions(&s);
        assert_status(dpamt_aug(&s.l, DPAMT_GPA, TDX_4K, s.none), METADATA(R8));
        g_assert_cmpuint(corruptions(&s), >, before);
        remove_notices(&s, s.none);
        assert_status(dpamt_add(s.mc, s.none, s.page, s.page + 4096),
                      OPERAND(TDX_HPA_RANGE_NOT_FREE, RCX));
        s.mc->no_check = false;
        {
            uint64_t gpr[16] = { TDH_PHYMEM_PAGE_RDMD, s.none | TDX_2M };

            tdxmod_seamcall(s.mc->mod, 0, gpr, &s.mc->enter);
            g_assert_cmphex(gpr[TDX_R10] | gpr[TDX_R11], ==, 0);
            gpr[TDX_RAX] = TDH_PHYMEM_PAGE_RECLAIM;
            gpr[TDX_RCX] = s.none;
            tdxmod_seamcall(s.mc->mod, 0, gpr, &s.mc->enter);
            g_assert_cmphex(gpr[TDX_RAX], ==, METADATA(RCX));
            g_assert_nonnull(strstr(s.mc->last_log, "TDH.PHYMEM.PAGE.RECLAIM finds"));
        }
        s.mc->no_check = true;
        same_figures(&s, f);
        memset(w, 0, 16);
        scene_check(&s, 0);
    }
    machine_free(s.mc);
}

static void test_bitmap(void)
{
    uint8_t *byte, good;
    uint64_t before;
    Scene s;

    scene_new(&s);
    /* A free page that is said to be part of a pair. */
    byte = machine_pamt_byte(s.mc, s.page);
    good = *byte;
    *byte = 0xff;
    assert_status(dpamt_aug(&s.l, DPAMT_GPA, TDX_4K, s.page), METADATA(R8));
    assert_status(dpamt_add(s.mc, s.none, s.page, s.page + 4096),
                  OPERAND(TDX_PAGE_NOT_FREE, RDX));
    *byte = good;
    scene_check(&s, 0);
    /* A pair whose pages are said to be free: that is seen when it goes. */
    byte = machine_pamt_byte(s.mc, s.pair[0]);
    *byte = 0;
    before = corruptions(&s);
    assert_status(dpamt_remove(s.mc, s.region), TDX_SUCCESS);
    g_assert_cmpuint(corruptions(&s), ==, before + 2);
    scene_check(&s, DPAMT_NONE);
    g_assert_cmpuint(*byte, ==, 0);
    machine_free(s.mc);
}

/* The 512 entries of a region. */
static void test_pair_pages(void)
{
    Figures f;
    Scene s;

    scene_new(&s);
    f = figures(&s);
    /* More in use than were assigned; garbage of all kinds. */
    for (unsigned byte = 1; byte < 256; byte++) {
        memset(machine_ptr(s.mc, s.pair[1], 4096), byte, 4096);
        g_assert_cmphex(dpamt_aug(&s.l, DPAMT_GPA, TDX_4K, s.region + 300 * 4096) &
                        TDX_ERROR, !=, 0);
        CALL(s.mc, 0, TDH_PHYMEM_PAGE_RECLAIM, .rcx = s.region + 300 * 4096);
        CALL(s.mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = s.region + 300 * 4096);
        CALL(s.mc, 0, TDH_VP_CREATE, .rcx = s.region + 300 * 4096, .rdx = s.l.tdr);
        CALL(s.mc, 0, TDH_MNG_RD, .rcx = s.region + 300 * 4096);
        if (byte & 31) {
            remove_notices(&s, s.region);
        }
        same_figures(&s, f);
    }
    memset(machine_ptr(s.mc, s.pair[1], 4096), 0, 4096);
    scene_check(&s, 0);
    /* Fewer: the pages that are in use cannot be forgotten. */
    assert_status(dpamt_aug(&s.l, DPAMT_GPA, TDX_4K, s.page), TDX_SUCCESS);
    assert_status(dpamt_aug(&s.l, DPAMT_GPA + 4096, TDX_4K, s.page + 4096), TDX_SUCCESS);
    scene_check(&s, 2);
    memset(machine_ptr(s.mc, s.pair[0], 4096), 0, 4096);
    remove_notices(&s, s.region);
    assert_status(CALL(s.mc, 0, TDH_MEM_PAGE_REMOVE, .rcx = DPAMT_GPA, .rdx = s.l.tdr),
                  METADATA(RCX));
    same_figures(&s, f);
    machine_free(s.mc);
}

/* --- everything at random --- */

#define REGIONS         4
#define STARTS          200
#define ROUNDS          1500

typedef struct Ledger {
    Scene *s;
    GRand *rand;
    uint64_t base;              /* of REGIONS times 2 MiB */
    uint64_t given[REGIONS][2]; /* pairs, 0: none */
    uint64_t pairs_before, adds, removes;
} Ledger;

static uint64_t any_page(Ledger *k)
{
    return k->base + g_rand_int_range(k->rand, 0, REGIONS) * 2 * MIB +
           g_rand_int_range(k->rand, 0, 8) * 73 * 4096ull;
}

static void overwrite(Ledger *k)
{
    uint64_t region = k->base + g_rand_int_range(k->rand, 0, REGIONS) * 2 * MIB;
    unsigned n = (region - k->base) / (2 * MIB);
    uint64_t *w = machine_entry_2m(k->s->mc, region).words;

    switch (g_rand_int_range(k->rand, 0, 4)) {
    case 0:
        w[g_rand_int_range(k->rand, 0, 2)] ^= 1ull << g_rand_int_range(k->rand, 0, 64);
        break;
    case 1:
        *machine_pamt_byte(k->s->mc, any_page(k)) = g_rand_int(k->rand);
        break;
    case 2:
        if (k->given[n][0]) {
            w = machine_ptr(k->s->mc, k->given[n][g_rand_int_range(k->rand, 0, 2)], 4096);
            w[g_rand_int_range(k->rand, 0, 512)] ^= 1ull <<
                                                    g_rand_int_range(k->rand, 0, 32);
        }
        break;
    default:                    /* put right: else nothing works after a while */
        memset(machine_pamt_byte(k->s->mc, region), 0, 64);
        if (!k->given[n][0]) {
            memset(w, 0, 16);
        } else {
            w[0] = k->given[n][0] >> 12 << 28 | 15 << 16;
            w[1] = k->given[n][1] >> 12 << 28;
            w[1] |= machine_recount(k->s->mc, region);
        }
        break;
    }
}

static void random_call(Ledger *k)
{
    static const uint8_t leaves[] = {
        TDH_PHYMEM_PAMT_ADD, TDH_PHYMEM_PAMT_ADD, TDH_PHYMEM_PAMT_REMOVE,
        TDH_PHYMEM_PAMT_REMOVE, TDH_MEM_PAGE_AUG, TDH_MEM_PAGE_AUG, TDH_MEM_PAGE_REMOVE,
        TDH_PHYMEM_PAGE_RDMD, TDH_PHYMEM_PAGE_WBINVD, TDH_PHYMEM_PAGE_RECLAIM,
        TDH_MEM_PAGE_DEMOTE, TDH_MEM_PAGE_PROMOTE, TDH_MEM_PAGE_RELOCATE,
    };
    unsigned leaf = leaves[g_rand_int_range(k->rand, 0, G_N_ELEMENTS(leaves))];
    uint64_t gpr[16] = { leaf }, status, region = any_page(k) & -2 * MIB;
    unsigned n = (region - k->base) / (2 * MIB);

    gpr[TDX_RCX] = leaf >= TDH_PHYMEM_PAMT_ADD ? region | TDX_2M : any_page(k);
    gpr[TDX_RDX] = gpr[TDX_R12] = any_page(k);
    gpr[TDX_R8] = gpr[TDX_R13] = any_page(k);
    if (leaf < TDH_PHYMEM_PAGE_RDMD || leaf == TDH_MEM_PAGE_REMOVE) {
        bool large = leaf == TDH_MEM_PAGE_DEMOTE || leaf == TDH_MEM_PAGE_PROMOTE ||
                     g_rand_int_range(k->rand, 0, 4) == 0;

        gpr[TDX_RCX] = large ? DPAMT_GPA_2M | TDX_2M
                             : DPAMT_GPA + g_rand_int_range(k->rand, 0, 4) * 4096;
        gpr[TDX_RDX] = k->s->l.tdr;
        gpr[TDX_R8] = large && leaf == TDH_MEM_PAGE_AUG ? region : gpr[TDX_R8];
    }
    {
        uint64_t pair[2] = { gpr[TDX_RDX], gpr[TDX_R8] };

        status = seamcall_gpr(k->s->mc, 0, gpr);
        if (!status && leaf == TDH_PHYMEM_PAMT_ADD) {
            g_assert_cmphex(k->given[n][0], ==, 0);
            memcpy(k->given[n], pair, sizeof(pair));
            k->adds++;
        } else if (!status && leaf == TDH_PHYMEM_PAMT_REMOVE) {
            g_assert_cmphex(k->given[n][0], ==, gpr[TDX_RDX]);
            g_assert_cmphex(k->given[n][1], ==, gpr[TDX_R8]);
            memset(k->given[n], 0, sizeof(k->given[n]));
            k->removes++;
        }
    }
}

/* DEMOTE and PROMOTE give and take pairs too: ask the view which region's. */
static void after_resize(Ledger *k)
{
    for (unsigned n = 0; n < REGIONS; n++) {
        uint64_t pa = k->base + n * 2 * MIB;
        TdxPamtRegion r;
        bool backed = tdxmod_pamt_region(k->s->mc->mod, pa, &r) && r.pa == pa &&
                      r.backed;

        if (backed && !k->given[n][0]) {
            g_assert_cmpstr(r.add.leaf, ==, "TDH.MEM.PAGE.DEMOTE");
            memcpy(k->given[n], r.pair, sizeof(r.pair));
            k->adds++;
        } else if (!backed && k->given[n][0]) {
            g_assert_cmpstr(r.remove.leaf, ==, "TDH.MEM.PAGE.PROMOTE");
            memset(k->given[n], 0, sizeof(k->given[n]));
            k->removes++;
        } else if (backed) {
            g_assert_cmpmem(r.pair, 16, k->given[n], 16);
        }
    }
}

/* DISABLE and a new start put everything right. */
static void start_again(Scene *s)
{
    assert_status(CALL(s->mc, 0, TDH_SYS_DISABLE), TDX_SUCCESS);
    s->mc->no_check = s->mc->scribbled = false;
    machine_ready(s->mc);
    g_assert_cmpuint(tdxmod_pages_in_use(s->mc->mod), ==, 0);
    g_assert_cmpuint(corruptions(s), ==, 0);
}

/* After a while L1 has locked itself out: so many times from the start. */
static void test_random(void)
{
    uint64_t adds = 0, removes = 0, noticed = 0;

    for (unsigned start = 0; start < STARTS; start++) {
        Scene s;
        Ledger k = { .s = &s };
        Figures before, f;

        scene_new(&s);
        k.rand = g_rand_new_with_seed(g_test_rand_int());
        k.base = machine_2m(s.mc);
        for (unsigned i = 1; i < REGIONS; i++) {
            machine_2m(s.mc);
        }
        before = figures(&s);
        for (unsigned i = 0; i < ROUNDS; i++) {
            if (g_rand_int_range(k.rand, 0, 12) == 0) {
                overwrite(&k);
            }
            random_call(&k);
            after_resize(&k);
            f = figures(&s);
            g_assert_cmpuint(f.adds - before.adds, ==, k.adds);
            g_assert_cmpuint(f.removes - before.removes, ==, k.removes);
            g_assert_cmpuint(f.pairs, ==, before.pairs + k.adds - k.removes);
        }
        adds += k.adds;
        removes += k.removes;
        noticed += corruptions(&s);
        start_again(&s);
        g_rand_free(k.rand);
        machine_free(s.mc);
    }
    g_assert_cmpuint(adds, >, STARTS);
    g_assert_cmpuint(removes, >, STARTS / 4);
    g_assert_cmpuint(noticed, >, STARTS);
    g_test_message("%" PRIu64 " pairs given, %" PRIu64 " came back, %" PRIu64
                   " times noticed", adds, removes, noticed);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dpamt-scribble/entry", test_entry);
    g_test_add_func("/dpamt-scribble/claimed", test_claimed);
    g_test_add_func("/dpamt-scribble/bitmap", test_bitmap);
    g_test_add_func("/dpamt-scribble/pair-pages", test_pair_pages);
    g_test_add_func("/dpamt-scribble/random", test_random);
    return g_test_run();
}
