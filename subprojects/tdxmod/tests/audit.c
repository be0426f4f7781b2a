/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The invariants of the module's state, read from RAM: what the PAMT says about
 * every page, against what TDs say and against the counts.
 *
 * Of Dynamic PAMT, the places and formats are those of the ABI (the PAMT section
 * and TDMR_INFO), not the model's headers.
 */
#include "machine.h"
#include "module.h"
#include "pamt.h"
#include "td.h"

typedef struct Audit {
    Machine *mc;
    GHashTable *owned;          /* TDR PA -> pages, both as pointers */
    GHashTable *pair_pages;     /* set of PAs */
    uint64_t in_use, pairs;
} Audit;

/* --- Dynamic PAMT in RAM --- */

#define DYN_LOCK(w)     ((w)[0] & 0xffff)
#define DYN_TYPE(w)     ((w)[0] >> 16 & 31)
#define DYN_OWNER(w)    ((w)[0] >> 24 << 12)
#define DYN_HPA(word)   ((word) >> 28 << 12)
#define DYN_COUNT(w)    ((w)[1] & 0x3ff)
/* Reserved bits of a 2M entry with a pair: 27:21 and 91:74. */
#define DYN_RSVD0       (0x7full << 21)
#define DYN_RSVD1       (0x3ffffull << 10)

static struct tdmr_info tdmr_of(Machine *mc, uint64_t pa)
{
    return machine_bank_tdmr(mc, pa / mc->bank_stride);
}

MachineEntry2m machine_entry_2m(Machine *mc, uint64_t pa)
{
    struct tdmr_info t = tdmr_of(mc, pa);
    uint64_t *w = machine_ptr(mc, t.pamt_2m_base + (pa - t.base) / (2 * MIB) * 16, 16);
    MachineEntry2m e = { .words = w, .type = DYN_TYPE(w) };

    if (e.type == PT_PAMT) {
        e.backed = true;
        e.pair[0] = DYN_HPA(w[0]);
        e.pair[1] = DYN_HPA(w[1]);
        e.count = DYN_COUNT(w);
    }
    return e;
}

uint64_t *machine_entry_4k(Machine *mc, uint64_t pa)
{
    MachineEntry2m e = machine_entry_2m(mc, pa);
    unsigned index = pa / 4096 % 512;

    return e.backed ? machine_ptr(mc, e.pair[index / 256] + index % 256 * 16, 16) : NULL;
}

uint8_t *machine_pamt_byte(Machine *mc, uint64_t pa)
{
    struct tdmr_info t = tdmr_of(mc, pa);

    return machine_ptr(mc, t.pamt_4k_base + (pa - t.base) / 4096 / 8, 1);
}

bool machine_pamt_bit(Machine *mc, uint64_t pa)
{
    return *machine_pamt_byte(mc, pa) >> (pa / 4096 % 8) & 1;
}

unsigned machine_recount(Machine *mc, uint64_t pa)
{
    unsigned n = 0;

    if (machine_entry_2m(mc, pa).backed) {
        for (uint64_t at = pa & -2 * MIB, end = at + 2 * MIB; at < end; at += 4096) {
            n += DYN_TYPE(machine_entry_4k(mc, at)) != PT_NDA;
        }
    }
    return n;
}

/* --- owners and locks --- */

static void add_owned(Audit *a, uint64_t tdr_pa, uint64_t pages)
{
    uint64_t sum = GPOINTER_TO_SIZE(g_hash_table_lookup(a->owned,
                                                        GSIZE_TO_POINTER(tdr_pa)));

    g_hash_table_insert(a->owned, GSIZE_TO_POINTER(tdr_pa),
                        GSIZE_TO_POINTER(sum + pages));
}

/* Locks that running vCPUs hold on the page at @pa. */
static unsigned running_locks(const Machine *mc, uint64_t pa)
{
    unsigned n = 0;

    for (unsigned lp = 0; lp < mc->config.num_lps; lp++) {
        const TdxRun *run = &mc->mod->lp[lp].run;

        n += run->active && (run->tdr_pa == pa || run->tdvpr_pa == pa);
    }
    return n;
}

/* A 4K entry at @pa; true: it is in use. */
static bool audit_4k(Audit *a, const uint64_t *w, uint64_t pa)
{
    unsigned type = DYN_TYPE(w);

    g_assert_cmphex(DYN_LOCK(w), ==, running_locks(a->mc, pa));
    if (type == PT_NDA || type == PT_RSVD) {
        return false;
    }
    if (type == PT_TDR) {
        add_owned(a, pa, 0);
    } else {
        add_owned(a, DYN_OWNER(w), 1);
    }
    return true;
}

static void audit_leaf_2m(Audit *a, const uint64_t *w)
{
    add_owned(a, DYN_OWNER(w), 512);
    a->in_use += 512;
}

/* --- static PAMT --- */

static void audit_static_2m(Audit *a, const Tdmr *t, uint64_t base)
{
    struct pamt_entry *e2m = machine_ptr(a->mc, t->pamt[TDX_2M] + (base - t->base) /
                                         (2 * MIB) * sizeof(*e2m), sizeof(*e2m));
    uint64_t *w = machine_ptr(a->mc, t->pamt[TDX_4K] + (base - t->base) / 4096 * 16,
                              512 * 16);
    unsigned used = 0, reserved = 0;

    g_assert_cmphex(e2m->lock, ==, 0);
    for (unsigned i = 0; i < 512; i++) {
        used += audit_4k(a, w + 2 * i, base + i * 4096);
        reserved += DYN_TYPE(w + 2 * i) == PT_RSVD;
    }
    if (e2m->type == PT_REG) {
        g_assert_cmpuint(used, ==, 0);
        audit_leaf_2m(a, (uint64_t *)e2m);
    } else {
        g_assert_cmpuint(e2m->type, ==, PT_NDA);
        g_assert_cmpuint(e2m->aux & PAMT_2M_USED, ==, used);
        g_assert_cmpuint((e2m->aux & PAMT_2M_RSVD) >> PAMT_2M_RSVD_SHIFT, ==, reserved);
        a->in_use += used;
    }
}

/* --- Dynamic PAMT --- */

static void audit_pair(Audit *a, uint64_t base, const MachineEntry2m *e)
{
    Machine *mc = a->mc;
    unsigned used = 0;

    for (unsigned i = 0; i < 2; i++) {
        machine_ptr(mc, e->pair[i], 4096);
        g_assert_true(g_hash_table_add(a->pair_pages, GSIZE_TO_POINTER(e->pair[i])));
    }
    g_assert_cmphex(e->words[0] & DYN_RSVD0, ==, 0);
    g_assert_cmphex(e->words[1] & DYN_RSVD1, ==, 0);
    for (unsigned i = 0; i < 512; i++) {
        uint64_t *w = machine_ptr(mc, e->pair[i / 256] + i % 256 * 16, 16);

        used += audit_4k(a, w, base + i * 4096);
        if (DYN_TYPE(w) == PT_NDA) {
            g_assert_cmphex(w[0] | w[1], ==, 0);
        } else {
            g_assert_false(machine_pamt_bit(mc, base + i * 4096));
        }
    }
    g_assert_cmpuint(e->count, ==, used);
    a->in_use += used;
    a->pairs++;
}

static void audit_dynamic_2m(Audit *a, uint64_t base)
{
    MachineEntry2m e = machine_entry_2m(a->mc, base);

    g_assert_cmphex(DYN_LOCK(e.words), ==, 0);
    switch (e.type) {
    case PT_PAMT:
        audit_pair(a, base, &e);
        break;
    case PT_REG:
        audit_leaf_2m(a, e.words);
        break;
    default:
        g_assert_cmpuint(e.type, ==, PT_NDA);
        g_assert_cmphex(e.words[0] | e.words[1], ==, 0);
        break;
    }
}

static void set_bits(uint8_t *map, uint64_t from, uint64_t to)
{
    while (from < to) {
        if (from % 8 == 0 && to - from >= 8) {
            memset(map + from / 8, 0xff, (to - from) / 8);
            from += (to - from) / 8 * 8;
        } else {
            map[from / 8] |= 1 << from % 8;
            from++;
        }
    }
}

/* Exactly the pages in reserved areas and in pairs have their bit set. */
static void audit_bitmap(Audit *a, unsigned bank)
{
    struct tdmr_info t = machine_bank_tdmr(a->mc, bank);
    uint64_t bytes = t.size / 4096 / 8, pa;
    g_autofree uint8_t *want = g_malloc0(bytes);
    GHashTableIter iter;
    gpointer key;

    for (unsigned i = 0; i < TDX_MAX_RESERVED; i++) {
        set_bits(want, t.reserved[i].offset / 4096,
                 (t.reserved[i].offset + t.reserved[i].size) / 4096);
    }
    g_hash_table_iter_init(&iter, a->pair_pages);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        pa = GPOINTER_TO_SIZE(key);
        if (pa - t.base < t.size) {
            uint64_t bit = (pa - t.base) / 4096;

            /* It is no usable page at the same time. */
            g_assert_cmpuint(want[bit / 8] >> bit % 8 & 1, ==, 0);
            g_assert_cmpuint(machine_entry_2m(a->mc, pa).type, !=, PT_REG);
            want[bit / 8] |= 1 << bit % 8;
        }
    }
    g_assert_cmpmem(want, bytes, machine_ptr(a->mc, t.pamt_4k_base, bytes), bytes);
}

static void audit_pamt_stats(Audit *a)
{
    TdxPamtStats s;

    tdxmod_pamt_stats(a->mc->mod, &s);
    g_assert_cmpuint(s.pairs, ==, a->pairs);
    g_assert_cmpuint(s.adds - s.removes, ==, a->pairs);
    g_assert_cmpuint(s.peak, >=, a->pairs);
    g_assert_true(a->mc->scribbled || !s.corruptions);
    g_assert_cmpuint(s.placed_own + s.placed_unbacked + s.placed_backed, ==,
                     2 * s.adds);
}

/* --- TDs --- */

static void audit_td(gpointer key, gpointer value, gpointer opaque)
{
    Audit *a = opaque;
    uint64_t pa = GPOINTER_TO_SIZE(key);
    const struct tdr *tdr = machine_ptr(a->mc, pa, 4096);
    const struct tdcs *tdcs;

    g_assert_cmpuint(tdr->chldcnt, ==, GPOINTER_TO_SIZE(value));
    if (tdr->num_tdcx && tdr->lifecycle != TD_TEARDOWN) {
        tdcs = machine_ptr(a->mc, tdr->tdcx_pa[TDCS_CONTROL], 4096);
        g_assert_cmphex(tdcs->op_state_lock, ==, running_locks(a->mc, pa));
        g_assert_cmphex(tdcs->sept_lock, ==, 0);
        g_assert_cmphex(tdcs->epoch_lock, ==, 0);
        g_assert_cmphex(tdcs->rtmr_lock, ==, 0);
        g_assert_cmphex(tdcs->vcpu_lock, ==, 0);
        g_assert_cmphex(tdcs->ctls_lock, ==, 0);
        g_assert_cmpuint(tdcs->refcount[0] + tdcs->refcount[1], ==,
                         running_locks(a->mc, pa));
    }
}

static void audit_tdmr(Audit *a, const Tdmr *t)
{
    Machine *mc = a->mc;
    bool dynamic = mc->mod->dynamic_pamt;
    const uint64_t *w = machine_ptr(mc, t->pamt[TDX_1G], 16);

    g_assert_cmphex(DYN_LOCK(w), ==, 0);
    for (uint64_t pa = t->base; pa < t->base + mc->bank_size; pa += 2 * MIB) {
        if (dynamic) {
            audit_dynamic_2m(a, pa);
        } else {
            audit_static_2m(a, t, pa);
        }
    }
}

void machine_check(Machine *mc)
{
    TdxMod *m = mc->mod;
    Audit a = { .mc = mc };
    bool complete = true;

    g_assert_cmphex(m->sys_lock, ==, 0);
    g_assert_cmphex(m->inside_lock, ==, 0);
    g_assert_cmphex(m->kot_lock, ==, 0);
    a.owned = g_hash_table_new(NULL, NULL);
    a.pair_pages = g_hash_table_new(NULL, NULL);
    for (unsigned i = 0; i < m->num_tdmrs; i++) {
        const Tdmr *t = &m->tdmr[i];

        g_assert_cmphex(t->lock, ==, 0);
        if (t->next == t->base + t->size) {
            audit_tdmr(&a, t);
        } else {
            complete = false;
        }
    }
    if (m->dynamic_pamt && m->num_tdmrs && complete) {
        for (unsigned i = 0; i < mc->num_banks; i++) {
            audit_bitmap(&a, i);
        }
        audit_pamt_stats(&a);
    }
    if (!mc->no_tds) {
        g_hash_table_foreach(a.owned, audit_td, &a);
    }
    g_hash_table_destroy(a.owned);
    g_hash_table_destroy(a.pair_pages);
    g_assert_cmpuint(tdxmod_pages_in_use(m), ==, a.in_use);
}
