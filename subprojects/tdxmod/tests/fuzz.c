/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random calls for the test of Dynamic PAMT against the reference: mostly operands
 * that may well be right, by what the reference knows.
 */
#include "fuzz.h"

#define DRAIN           2048            /* calls between filling and draining */
#define below           fuzz_below

/* --- operands --- */

/* Few pages, so that calls meet: the ends and the middle of each region. */
static uint64_t any_page(Fuzz *z)
{
    static const uint16_t index[] = { 0, 1, 2, 255, 256, 257, 510, 511 };

    return REF_FIRST + below(z, REF_REGIONS) * 2 * MIB +
           index[below(z, G_N_ELEMENTS(index))] * 4096ull;
}

static uint64_t any_region(Fuzz *z)
{
    return REF_FIRST + below(z, REF_REGIONS) * 2 * MIB;
}

/* Seldom the last two: some regions shall be free as a whole. */
static uint64_t region_for_pair(Fuzz *z)
{
    return REF_FIRST + below(z, below(z, 16) ? REF_REGIONS - 2 : REF_REGIONS) * 2 * MIB;
}

static uint64_t page_for_pair(Fuzz *z)
{
    return region_for_pair(z) | (any_page(z) & (2 * MIB - 1));
}

static uint64_t odd_pa(Fuzz *z)
{
    switch (below(z, 8)) {
    case 0:
        return any_page(z) + 1;
    case 1:
        return any_page(z) + 2048;
    case 2:
        return any_page(z) | 1ull << (MACHINE_HKID_SHIFT + below(z, 24));
    case 3:
        return 2 * GIB + 2 * MIB * below(z, 2);
    case 4:
        return MIB;
    case 5:
        return 60 * MIB;
    default:
        return z->ref.td[below(z, 2)].tdr;
    }
}

typedef bool Good(const Ref *f, uint64_t pa);

static bool free_backed(const Ref *f, uint64_t pa)
{
    return ref_region_at(f, pa)->kind == REF_PAIR && !ref_page_at(f, pa)->type &&
           !ref_bit(f, pa);
}

static bool fit_for_pair(const Ref *f, uint64_t pa)
{
    return ref_region_at(f, pa)->kind != REF_LEAF && !ref_page_at(f, pa)->type &&
           !ref_bit(f, pa);
}

static bool unbacked(const Ref *f, uint64_t pa)
{
    return ref_region_at(f, pa)->kind == REF_NONE;
}

static bool whole(const Ref *f, uint64_t pa)
{
    static const uint8_t none[512 / 8];

    return unbacked(f, pa) && !memcmp(&f->bits[ref_index(pa) / 8], none, sizeof(none));
}

static bool idle(const Ref *f, uint64_t pa)
{
    return ref_region_at(f, pa)->kind == REF_PAIR && !ref_region_at(f, pa)->count;
}

static bool in_use(const Ref *f, uint64_t pa)
{
    return ref_page_at(f, pa)->type;
}

static bool is_tdvpr(const Ref *f, uint64_t pa)
{
    return ref_page_at(f, pa)->type == PT_TDVPR;
}

static bool of_dead_td(const Ref *f, uint64_t pa)
{
    const RefPage *p = ref_page_at(f, pa);
    const RefTd *t = &f->td[REF_T];

    return p->type && t->lifecycle == REF_TEARDOWN &&
           (p->owner == t->tdr || (p->type == PT_TDR && !t->children));
}

static uint64_t pick(Fuzz *z, uint64_t (*any)(Fuzz *), Good *good)
{
    uint64_t pa = any(z);

    for (unsigned i = 0; i < 12 && !good(&z->ref, pa); i++) {
        pa = any(z);
    }
    return below(z, 40) ? pa : odd_pa(z);
}

static uint64_t operand_2m(Fuzz *z, Good *good)
{
    uint64_t rcx = pick(z, good == idle ? any_region : region_for_pair, good);

    if (ref_index(rcx & -4096ull) < 0 && rcx < 2 * GIB) {
        rcx = any_region(z);            /* the reference has no such region */
    }
    return below(z, 40) ? rcx | TDX_2M : rcx | below(z, 16);
}

static uint64_t any_tdr(Fuzz *z)
{
    return below(z, 40) ? z->ref.td[below(z, 2)].tdr :
           below(z, 2) && z->ref.td[REF_T].lifecycle ? z->ref.td[REF_T].tdr : odd_pa(z);
}

static RefTd *td_at(Fuzz *z, uint64_t tdr)
{
    return &z->ref.td[tdr == z->ref.td[REF_B].tdr ? REF_B : REF_A];
}

/* @wanted: a set of states, tables shifted down by 112. */
#define STATE(s)        (1u << ((s) & 0x80 ? (s) - 112 : (s)))
#define LEAVES          (STATE(REF_BLOCKED) | STATE(REF_PENDING) | STATE(REF_MAPPED) | \
                         STATE(REF_PENDING_BLOCKED))
#define TABLES          (STATE(REF_NL_MAPPED) | STATE(REF_NL_BLOCKED))
#define BLOCKED         (STATE(REF_BLOCKED) | STATE(REF_PENDING_BLOCKED) | \
                         STATE(REF_NL_BLOCKED))

static uint64_t any_gpa(Fuzz *z, unsigned level)
{
    static const uint16_t index[] = { 0, 1, 2, 255, 256, 511 };
    uint64_t gpa = REF_GPA + below(z, REF_SLOTS) * 2 * MIB;

    return level ? gpa : gpa + index[below(z, G_N_ELEMENTS(index))] * 4096;
}

static RefEntry *entry(RefTd *td, uint64_t gpa, unsigned level)
{
    RefSlot *s = &td->slot[(gpa - REF_GPA) / (2 * MIB)];

    return level ? &s->e : &s->child[gpa / 4096 % 512];
}

static bool in_state(RefTd *td, uint64_t gpa, unsigned level, unsigned wanted)
{
    return (level || STATE(entry(td, gpa, TDX_2M)->state) & TABLES) &&
           STATE(entry(td, gpa, level)->state) & wanted;
}

/* An entry in one of the wanted states, or not. */
static uint64_t gpa_operand(Fuzz *z, RefTd *td, unsigned level, unsigned wanted)
{
    uint64_t gpa = any_gpa(z, level);

    for (unsigned i = 0; i < 12 && !in_state(td, gpa, level, wanted); i++) {
        gpa = any_gpa(z, level);
    }
    if (below(z, 60)) {
        return gpa | level;
    }
    switch (below(z, 5)) {
    case 0:
        return gpa | level | 8 << below(z, 9);
    case 1:
        return gpa | level | 1ull << (47 + below(z, 17));
    case 2:
        return (gpa | level) + 4096 * (level != 0);
    case 3:
        return gpa | 5;
    default:
        return gpa | !level;
    }
}

/* --- one random call --- */

static void random_pamt(Fuzz *z)
{
    if (below(z, 8) < (z->drain ? 2 : 5)) {
        z->gpr[TDX_RCX] = operand_2m(z, unbacked);
        z->gpr[TDX_RDX] = pick(z, page_for_pair, fit_for_pair);
        z->gpr[TDX_R8] = below(z, 50) ? pick(z, page_for_pair, fit_for_pair)
                                      : z->gpr[TDX_RDX];
        fuzz_call(z, TDH_PHYMEM_PAMT_ADD);
    } else {
        z->gpr[TDX_RCX] = operand_2m(z, idle);
        fuzz_call(z, TDH_PHYMEM_PAMT_REMOVE);
    }
}

static void random_page(Fuzz *z)
{
    switch (below(z, 4)) {
    case 0:
    case 1:
        z->gpr[TDX_RCX] = below(z, 2) ? any_page(z) : any_region(z) | TDX_2M;
        if (below(z, 20) == 0) {
            z->gpr[TDX_RCX] |= 1ull << (3 + below(z, 61));
            if (z->gpr[TDX_RCX] < 2 * GIB &&
                ref_index(z->gpr[TDX_RCX] & -4096ull) < 0) {
                return;                 /* somebody else's page */
            }
        }
        fuzz_call(z, TDH_PHYMEM_PAGE_RDMD);
        break;
    case 2:
        z->gpr[TDX_RCX] = pick(z, any_page, free_backed) |
                          (uint64_t)below(z, 64) << MACHINE_HKID_SHIFT;
        fuzz_call(z, TDH_PHYMEM_PAGE_WBINVD);
        break;
    default:
        z->gpr[TDX_RCX] = pick(z, any_page, below(z, 2) ? of_dead_td : in_use);
        if (z->gpr[TDX_RCX] != z->ref.td[REF_A].tdr &&
            z->gpr[TDX_RCX] != z->ref.td[REF_B].tdr) {
            fuzz_call(z, TDH_PHYMEM_PAGE_RECLAIM);
        }
        break;
    }
}

static void random_control(Fuzz *z)
{
    RefTd *t = &z->ref.td[REF_T];

    z->gpr[TDX_RCX] = pick(z, any_page, free_backed);
    /* Those of TD A stay until its end: not too many of them. */
    switch (below(z, z->calls % FUZZ_TEARDOWN < FUZZ_TEARDOWN / 4 ? 4 : 2)) {
    case 0:
        if (t->lifecycle != REF_TEARDOWN) {
            z->gpr[TDX_RDX] = below(z, 20) ? FUZZ_HKID_T :
                              below(z, 2) ? 1 : 1 << 16 | FUZZ_HKID_T;
            fuzz_call(z, TDH_MNG_CREATE);
        }
        break;
    case 1:
        z->gpr[TDX_RDX] = t->lifecycle ? t->tdr : odd_pa(z);
        if (z->gpr[TDX_RDX] != z->ref.td[REF_A].tdr &&
            z->gpr[TDX_RDX] != z->ref.td[REF_B].tdr) {
            z->gpr[TDX_RCX] = below(z, 30) ? z->gpr[TDX_RCX] : z->gpr[TDX_RDX];
            fuzz_call(z, TDH_MNG_ADDCX);
        }
        break;
    case 2:
        z->gpr[TDX_RDX] = any_tdr(z);
        fuzz_call(z, TDH_VP_CREATE);
        break;
    case 3:
        z->gpr[TDX_RDX] = pick(z, any_page, is_tdvpr);
        z->gpr[TDX_RCX] = below(z, 30) ? z->gpr[TDX_RCX] : z->gpr[TDX_RDX];
        fuzz_call(z, TDH_VP_ADDCX);
        break;
    }
}

static void random_take(Fuzz *z, RefTd *td)
{
    unsigned level = 0;

    z->gpr[TDX_R8] = pick(z, any_page, free_backed);
    switch (below(z, 10)) {
    case 0:
        if (below(z, 2)) {
            z->gpr[TDX_RCX] = gpa_operand(z, td, TDX_2M, STATE(REF_FREE));
            /* Half of the GPAs are for large pages, most of the time. */
            if ((z->gpr[TDX_RCX] / (2 * MIB)) % 2 == 0 || !below(z, 50)) {
                fuzz_call(z, TDH_MEM_SEPT_ADD);
            }
        }
        break;
    case 1:
        z->gpr[TDX_RCX] = gpa_operand(z, td, level, STATE(REF_FREE));
        z->gpr[TDX_R9] = MIB + (below(z, 20) ? 0 : 512);
        fuzz_call(z, TDH_MEM_PAGE_ADD);
        break;
    case 2:
        z->gpr[TDX_RCX] = gpa_operand(z, td, level, LEAVES);
        if (below(z, 20) == 0 && ref_index(z->gpr[TDX_RCX]) < 0) {
            z->gpr[TDX_R8] = entry(td, any_gpa(z, level), level)->pa;
        }
        fuzz_call(z, TDH_MEM_PAGE_RELOCATE);
        break;
    case 3 ... 5:
        level = TDX_2M;
        z->gpr[TDX_R8] = pick(z, any_region, whole);
        /* fall through */
    default:
        z->gpr[TDX_RCX] = gpa_operand(z, td, level, STATE(REF_FREE));
        fuzz_call(z, TDH_MEM_PAGE_AUG);
        break;
    }
}

static void random_give(Fuzz *z, RefTd *td)
{
    unsigned level = below(z, 4) == 0, wanted = td->op_state == 2 ? BLOCKED : -1u;

    switch (below(z, 6)) {
    case 0:
        z->gpr[TDX_RCX] = gpa_operand(z, td, TDX_2M, TABLES & wanted);
        fuzz_call(z, TDX_RAX(TDH_MEM_SEPT_REMOVE, below(z, 2)));
        break;
    default:
        z->gpr[TDX_RCX] = gpa_operand(z, td, level, LEAVES & wanted);
        fuzz_call(z, TDH_MEM_PAGE_REMOVE);
        break;
    }
}

/* All pages of a table, as nobody else finds all of them after a DEMOTE. */
static void sweep(Fuzz *z, RefTd *td)
{
    static const unsigned leaves[] = { TDH_MEM_RANGE_BLOCK, TDH_MEM_PAGE_REMOVE };
    unsigned n = below(z, REF_SLOTS);
    const RefSlot *s = &td->slot[n];

    for (unsigned k = td->op_state == 1; k < 2; k++) {
        for (unsigned i = 0; i < 512 && STATE(s->e.state) & TABLES; i++) {
            if (s->child[i].state != REF_FREE) {
                z->gpr[TDX_RCX] = REF_GPA + n * 2 * MIB + i * 4096;
                z->gpr[TDX_RDX] = td->tdr;
                fuzz_call(z, leaves[k]);
            }
        }
        z->gpr[TDX_RCX] = td->tdr;
        fuzz_call(z, TDH_MEM_TRACK);
    }
}

/* Back to one page, after a DEMOTE of the entry at @gpa. */
static void regrow(Fuzz *z, RefTd *td, uint64_t gpa)
{
    for (unsigned i = 0; i < 512; i++) {
        fuzz_accept(z, td, gpa + i * 4096, TDX_4K);
    }
    z->gpr[TDX_RDX] = td->tdr;
    if (td->op_state == 2) {
        z->gpr[TDX_RCX] = gpa | TDX_2M;
        fuzz_call(z, TDH_MEM_RANGE_BLOCK);
        z->gpr[TDX_RCX] = td->tdr;
        fuzz_call(z, TDH_MEM_TRACK);
    }
    z->gpr[TDX_RCX] = gpa | TDX_2M;
    fuzz_call(z, TDX_RAX(TDH_MEM_PAGE_PROMOTE, below(z, 2)));
}

static void random_resize(Fuzz *z, RefTd *td)
{
    unsigned wanted = td->op_state == 2 ? BLOCKED : -1u;

    if (below(z, 2)) {
        z->gpr[TDX_RCX] = gpa_operand(z, td, TDX_2M, LEAVES & wanted);
        z->gpr[TDX_R8] = below(z, 10) ? pick(z, any_page, free_backed) : any_page(z);
        z->gpr[TDX_R12] = below(z, 10) ? pick(z, page_for_pair, fit_for_pair)
                                       : z->gpr[TDX_R8];
        z->gpr[TDX_R13] = below(z, 10) ? pick(z, page_for_pair, fit_for_pair) :
                          z->gpr[below(z, 2) ? TDX_R8 : TDX_R12];
        if (fuzz_call(z, TDH_MEM_PAGE_DEMOTE) == TDX_SUCCESS && below(z, 2)) {
            regrow(z, td, z->gpr[TDX_RCX] & -4096ull);
        }
    } else {
        z->gpr[TDX_RCX] = gpa_operand(z, td, TDX_2M, TABLES & wanted);
        if ((z->gpr[TDX_RCX] & 7) == TDX_2M) {
            fuzz_call(z, TDX_RAX(TDH_MEM_PAGE_PROMOTE, below(z, 2)));
        }
    }
}

static void random_block(Fuzz *z, RefTd *td)
{
    unsigned level = below(z, 3) == 0;

    switch (below(z, 8)) {
    case 0:
        z->gpr[TDX_RCX] = gpa_operand(z, td, level, BLOCKED);
        fuzz_call(z, TDH_MEM_RANGE_UNBLOCK);
        break;
    case 1:
    case 2:
    case 3:
        z->gpr[TDX_RCX] = z->gpr[TDX_RDX];
        fuzz_call(z, TDH_MEM_TRACK);
        break;
    default:
        z->gpr[TDX_RCX] = gpa_operand(z, td, level, (LEAVES | TABLES) & ~BLOCKED);
        fuzz_call(z, TDH_MEM_RANGE_BLOCK);
        break;
    }
}

static void random_accept(Fuzz *z, RefTd *td)
{
    unsigned level = below(z, 3) == 0;

    if (td->lifecycle == REF_KEYED) {
        fuzz_accept(z, td, any_gpa(z, level), level);
    }
}

void fuzz_random_call(Fuzz *z)
{
    RefTd *td;

    for (unsigned i = 0; i < 16; i++) {
        z->gpr[i] = 0xabcd000000000000ull + i;
    }
    z->gpr[TDX_RDX] = any_tdr(z);
    td = td_at(z, z->gpr[TDX_RDX]);
    z->drain = z->calls / DRAIN % 2;
    switch (below(z, 21)) {
    case 0 ... 4:
        random_pamt(z);
        break;
    case 5 ... 6:
        random_page(z);
        break;
    case 7:
        if (!z->drain || !below(z, 4)) {
            random_control(z);
        }
        break;
    case 8 ... 11:
        if (z->drain && below(z, 6)) {
            random_give(z, td);
        } else {
            random_take(z, td);
        }
        break;
    case 12 ... 13:
        if (below(z, 40)) {
            random_give(z, td);
        } else {
            sweep(z, td);
        }
        break;
    case 14 ... 15:
        random_block(z, td);
        break;
    case 16 ... 17:
        random_resize(z, td);
        break;
    case 18 ... 19:
        random_block(z, td);
        break;
    default:
        random_accept(z, td);
        break;
    }
}
