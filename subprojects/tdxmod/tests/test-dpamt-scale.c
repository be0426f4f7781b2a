/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT on machines of 1 GiB, 16 GiB and 1 TiB, with 1 TD and with 100: a call
 * looks at as much of RAM in all of them.  What is counted is how often the model asks
 * for RAM and for how many bytes; no clock.  RAM is address space of which only the
 * pages that are used exist.
 */
#include "dpamt.h"

#define TDS             100
#define MAX_STEPS       64

/* What one call cost. */
typedef struct Step {
    const char *what;
    uint64_t maps, bytes;
} Step;

typedef struct Script {
    Machine *mc;
    Life *l;                    /* the TD that is worked on */
    Step step[MAX_STEPS];
    unsigned num_steps;
} Script;

#define STEP(s, what, rax, ...) do { \
        uint64_t maps_ = (s)->mc->maps, bytes_ = (s)->mc->mapped_bytes; \
        assert_status(CALL((s)->mc, 0, rax, __VA_ARGS__), TDX_SUCCESS); \
        note(s, what, (s)->mc->maps - maps_, (s)->mc->mapped_bytes - bytes_); \
    } while (0)

static void note(Script *s, const char *what, uint64_t maps, uint64_t bytes)
{
    g_assert_cmpuint(s->num_steps, <, MAX_STEPS);
    s->step[s->num_steps++] = (Step){ what, maps, bytes };
}

/*
 * Each leaf that Dynamic PAMT has a part in, in a region at @region with a pair of the
 * region after it; @slot: which 2 MiB of GPA.
 */
static void script(Script *s, uint64_t region, unsigned slot)
{
    uint64_t tdr = s->l->tdr, p = region + 2 * MIB, q = region + 3 * MIB,
             gpa = DPAMT_GPA + slot * 2 * MIB, large = region + 4 * MIB,
             key = (uint64_t)s->l->hkid << MACHINE_HKID_SHIFT;

    STEP(s, "PAMT.ADD", TDH_PHYMEM_PAMT_ADD, .rcx = region | TDX_2M, .rdx = p, .r8 = q);
    STEP(s, "SEPT.ADD", TDH_MEM_SEPT_ADD, .rcx = gpa | TDX_2M, .rdx = tdr, .r8 = region);
    STEP(s, "PAGE.AUG", TDH_MEM_PAGE_AUG, .rcx = gpa, .rdx = tdr, .r8 = region + 4096);
    STEP(s, "PAGE.ADD", TDH_MEM_PAGE_ADD, .rcx = gpa + 4096, .rdx = tdr,
         .r8 = region + 511 * 4096, .r9 = MIB);
    STEP(s, "RELOCATE", TDH_MEM_PAGE_RELOCATE, .rcx = gpa + 4096, .rdx = tdr,
         .r8 = region + 256 * 4096);
    STEP(s, "RDMD", TDH_PHYMEM_PAGE_RDMD, .rcx = region + 4096);
    STEP(s, "RDMD of the region", TDH_PHYMEM_PAGE_RDMD, .rcx = region | TDX_2M);
    STEP(s, "BLOCK", TDH_MEM_RANGE_BLOCK, .rcx = gpa, .rdx = tdr);
    STEP(s, "TRACK", TDH_MEM_TRACK, .rcx = tdr);
    STEP(s, "PAGE.REMOVE", TDH_MEM_PAGE_REMOVE, .rcx = gpa, .rdx = tdr);
    STEP(s, "WBINVD", TDH_PHYMEM_PAGE_WBINVD, .rcx = (region + 4096) | key);
    STEP(s, "PAGE.REMOVE", TDH_MEM_PAGE_REMOVE, .rcx = gpa + 4096, .rdx = tdr);
    STEP(s, "SEPT.REMOVE", TDH_MEM_SEPT_REMOVE, .rcx = gpa | TDX_2M, .rdx = tdr);
    STEP(s, "PAGE.AUG of 2M", TDH_MEM_PAGE_AUG, .rcx = gpa | TDX_2M, .rdx = tdr,
         .r8 = large);
    g_assert_true(life_accept(s->l, gpa, TDX_2M));
    STEP(s, "DEMOTE", TDH_MEM_PAGE_DEMOTE, .rcx = gpa | TDX_2M, .rdx = tdr, .r8 = region,
         .r12 = p + 4096, .r13 = q + 4096);
    STEP(s, "PROMOTE", TDH_MEM_PAGE_PROMOTE, .rcx = gpa | TDX_2M, .rdx = tdr);
    STEP(s, "PAGE.REMOVE of 2M", TDH_MEM_PAGE_REMOVE, .rcx = gpa | TDX_2M, .rdx = tdr);
    STEP(s, "PAMT.REMOVE", TDH_PHYMEM_PAMT_REMOVE, .rcx = region | TDX_2M);
    STEP(s, "SYS.RD", TDH_SYS_RD, .rdx = TDX_MD_FEATURES0);
}

/* The same calls at the start of what is free and at the end of RAM. */
static void measure(Script *s, unsigned gib, unsigned tds)
{
    g_autofree Life *l = g_new0(Life, tds);
    uint64_t end = gib * GIB;
    TdxPamtStats before, after;
    Machine *mc;

    s->num_steps = 0;
    mc = s->mc = machine_new_as((MachineShape){
        .lps = 1, .pkgs = 1, .dynamic_pamt = true, .flat_gib = gib,
    });
    mc->no_check = true;
    machine_ready(mc);
    mc->auto_back = true;
    for (unsigned i = 0; i < tds; i++) {
        life_build(&l[i], mc, LIFE_HKID + i);
        mc->no_check = false;           /* which life_sept() needs */
        if (i == tds - 1) {
            life_sept(&l[i], DPAMT_GPA, TDX_2M);
        }
        mc->no_check = true;
    }
    s->l = &l[tds - 1];
    tdxmod_pamt_stats(mc->mod, &before);
    script(s, machine_2m(mc), 0);
    script(s, end - 6 * MIB, 1);
    tdxmod_pamt_stats(mc->mod, &after);
    g_assert_cmpuint(after.adds - before.adds, ==, 4);
    g_assert_cmpuint(after.pairs, ==, before.pairs);
    g_assert_cmpuint(after.failures + after.corruptions, ==, 0);
    mc->no_check = false;
    machine_check(mc);
    machine_free(mc);
}

static void test_cost(void)
{
    static const struct {
        unsigned gib, tds;
    } machines[] = {
        { 1, 1 }, { 1, TDS }, { 16, 1 }, { 16, TDS }, { 1024, 1 }, { 1024, TDS },
    };
    Script first, s;

    measure(&first, machines[0].gib, machines[0].tds);
    for (unsigned i = 0; i < first.num_steps / 2; i++) {
        g_test_message("%-20s %3" PRIu64 " times RAM, %6" PRIu64 " bytes",
                       first.step[i].what, first.step[i].maps, first.step[i].bytes);
        g_assert_cmpint(first.step[i].maps > 0, ==, i + 1 < first.num_steps / 2);
    }
    for (size_t m = 1; m < G_N_ELEMENTS(machines); m++) {
        measure(&s, machines[m].gib, machines[m].tds);
        g_assert_cmpuint(s.num_steps, ==, first.num_steps);
        for (unsigned i = 0; i < s.num_steps; i++) {
            const Step *is = &s.step[i], *was = &first.step[i];

            g_assert_cmpstr(is->what, ==, was->what);
            if (is->maps != was->maps || is->bytes != was->bytes) {
                g_error("%u GiB, %u TDs: %s: %" PRIu64 " times RAM, %" PRIu64
                        " bytes, before %" PRIu64 ", %" PRIu64, machines[m].gib,
                        machines[m].tds, is->what, is->maps, is->bytes, was->maps,
                        was->bytes);
            }
        }
        g_test_message("%u GiB, %u TDs: the same", machines[m].gib, machines[m].tds);
    }
}

/*
 * What the host pays before it has a TD: 16 bytes for each 4 KiB, or one bit; and then
 * two pages for each region in use.
 */
static void test_static_bytes(void)
{
    static const unsigned gibs[] = { 1, 16, 1024 };

    for (size_t i = 0; i < G_N_ELEMENTS(gibs); i++) {
        uint64_t size = gibs[i] * GIB, got[2];

        for (int dynamic = 0; dynamic <= 1; dynamic++) {
            Machine *mc = machine_new_as((MachineShape){
                .lps = 1, .pkgs = 1, .dynamic_pamt = true, .flat_gib = gibs[i],
            });
            uint64_t r8 = MACHINE_GLOBAL_HKID |
                          (dynamic ? TDX_SYS_CONFIG_DYNAMIC_PAMT : 0);
            TdxPamtStats s;

            mc->dynamic = dynamic;
            machine_init(mc);
            if (!dynamic && gibs[i] > 16) {
                /* 4 GiB of PAMT, for which this machine has not reserved enough. */
                machine_tdmr_list(mc);
                machine_tdmr(mc, 0)->pamt_4k_base = 8 * GIB;
                machine_tdmr(mc, 0)->reserved[2].offset = 8 * GIB;
                machine_tdmr(mc, 0)->reserved[2].size = 4 * GIB;
            } else {
                machine_tdmr_list(mc);
            }
            assert_status(CALL(mc, 0, TDH_SYS_CONFIG, .rcx = MIB, .rdx = 1, .r8 = r8),
                          TDX_SUCCESS);
            tdxmod_pamt_stats(mc->mod, &s);
            got[dynamic] = s.static_bytes;
            machine_free(mc);
        }
        g_assert_cmpuint(got[0] - got[1], ==, size / 4096 * 16 - size / 4096 / 8);
        g_assert_cmpuint(got[1], ==, size / 4096 / 8 + size / (2 * MIB) * 16 +
                         MAX(size / GIB * 16, 4096));
        g_test_message("%u GiB: %" PRIu64 " KiB static, %" PRIu64 " KiB dynamic",
                       gibs[i], got[0] / 1024, got[1] / 1024);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dpamt-scale/cost", test_cost);
    g_test_add_func("/dpamt-scale/static-bytes", test_static_bytes);
    return g_test_run();
}
