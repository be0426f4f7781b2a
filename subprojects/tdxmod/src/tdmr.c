/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDMRs: what TDH.SYS.CONFIG accepts, and the step-by-step initialisation of
 * their PAMT.
 */
#include "pamt.h"

#define BLOCK           TDX_LEVEL_SIZE(TDX_1G)
/* Memory that one TDH.SYS.TDMR.INIT initialises: 1024 4K entries. */
#define INIT_STEP       (1024 * TDX_PAGE_SIZE)

typedef struct Range {
    uint64_t start, end;
} Range;

/* A list under check: the result, and every PAMT array seen so far. */
typedef struct Check {
    TdxMod *m;
    bool dynamic_pamt;
    Tdmr tdmr[TDX_MAX_TDMRS];
    Range pamt[TDX_MAX_TDMRS][3];
    Range cmr[TDXMOD_MAX_CMRS];
    unsigned num_cmrs;
} Check;

/* Details: little-endian bytes. */
static uint64_t fail(uint64_t status, unsigned tdmr, unsigned b1, unsigned b2)
{
    return TDX_ST(status, tdmr | b1 << 8 | b2 << 16);
}

static bool overlaps(Range a, Range b)
{
    return a.start < b.end && b.start < a.end;
}

static int by_start(const void *a, const void *b)
{
    const Range *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

/* The configured CMRs, ascending, neighbours merged. */
static void merge_cmrs(Check *k)
{
    unsigned n = 0;

    for (unsigned i = 0; i < k->m->config.num_cmrs; i++) {
        const TdxCmr *c = &k->m->config.cmr[i];

        if (c->size) {
            k->cmr[n++] = (Range){ c->base, c->base + c->size };
        }
    }
    qsort(k->cmr, n, sizeof(k->cmr[0]), by_start);
    for (unsigned i = 0; i < n; i++) {
        if (k->num_cmrs && k->cmr[i].start <= k->cmr[k->num_cmrs - 1].end) {
            Range *last = &k->cmr[k->num_cmrs - 1];

            last->end = MAX(last->end, k->cmr[i].end);
        } else {
            k->cmr[k->num_cmrs++] = k->cmr[i];
        }
    }
}

static bool in_cmrs(const Check *k, Range r)
{
    if (r.start == r.end) {
        return true;
    }
    for (unsigned i = 0; i < k->num_cmrs; i++) {
        if (r.start >= k->cmr[i].start && r.end <= k->cmr[i].end) {
            return true;
        }
    }
    return false;
}

/* Usable part @n of a TDMR: before reserved area @n, or after the last. */
static Range usable_part(const Tdmr *t, unsigned n)
{
    return (Range){
        n ? t->reserved[n - 1].end : t->base,
        n < t->num_reserved ? t->reserved[n].start : t->base + t->size,
    };
}

static bool overlaps_usable(const Tdmr *t, Range r)
{
    for (unsigned n = 0; n <= t->num_reserved; n++) {
        if (overlaps(usable_part(t, n), r)) {
            return true;
        }
    }
    return false;
}

static uint64_t check_base(Check *k, unsigned i, const struct tdmr_info *info)
{
    const Tdmr *before = i ? &k->tdmr[i - 1] : NULL;

    if (info->base % BLOCK || info->size % BLOCK || !info->size ||
        info->base > k->m->hpa_mask || info->size > k->m->hpa_mask + 1 - info->base) {
        return fail(TDX_INVALID_TDMR, i, 0, 0);
    }
    if (before && info->base < before->base + before->size) {
        return fail(TDX_NON_ORDERED_TDMR, i, 0, 0);
    }
    k->tdmr[i].base = k->tdmr[i].next = info->base;
    k->tdmr[i].size = info->size;
    return TDX_SUCCESS;
}

static uint64_t check_reserved(Check *k, unsigned i, const struct tdmr_info *info)
{
    Tdmr *t = &k->tdmr[i];
    uint64_t end = 0;
    bool ended = false;

    for (unsigned j = 0; j < TDX_MAX_RESERVED; j++) {
        uint64_t offset = info->reserved[j].offset, size = info->reserved[j].size;

        if (!size) {
            ended = true;
            continue;
        }
        if (ended || offset < end) {
            return fail(TDX_NON_ORDERED_RESERVED_IN_TDMR, i, j, 0);
        }
        if (offset % TDX_PAGE_SIZE || size % TDX_PAGE_SIZE || offset >= t->size ||
            size > t->size - offset) {
            return fail(TDX_INVALID_RESERVED_IN_TDMR, i, j, 0);
        }
        end = offset + size;
        t->reserved[j].start = t->base + offset;
        t->reserved[j].end = t->base + end;
        t->num_reserved++;
    }
    return TDX_SUCCESS;
}

/* Bytes of the array of @level; with Dynamic PAMT the 4K one is a bitmap. */
static uint64_t pamt_needed(const Check *k, unsigned i, unsigned level)
{
    uint64_t entries = k->tdmr[i].size >> TDX_LEVEL_SHIFT(level);

    return k->dynamic_pamt && level == TDX_4K ? entries / 8
                                              : entries * TDX_PAMT_ENTRY_SIZE;
}

static uint64_t check_pamt(Check *k, unsigned i, unsigned level, uint64_t base,
                           uint64_t size)
{
    const TdxMod *m = k->m;
    uint64_t needed = pamt_needed(k, i, level);

    if (base % TDX_PAGE_SIZE || size % TDX_PAGE_SIZE || base > m->hpa_mask ||
        size > m->hpa_mask + 1 - base || size < needed) {
        return fail(TDX_INVALID_PAMT, i, level, 0);
    }
    k->tdmr[i].pamt[level] = base;
    k->tdmr[i].pamt_bytes += (needed + TDX_PAGE_SIZE - 1) & ~(TDX_PAGE_SIZE - 1);
    k->pamt[i][level] = (Range){ base, base + size };
    return TDX_SUCCESS;
}

/* PAMT array (i, level) against the arrays accepted before it. */
static uint64_t check_pamt_overlap(const Check *k, unsigned i, unsigned level)
{
    for (unsigned j = 0; j <= i; j++) {
        for (unsigned l = 0; l < 3; l++) {
            /* Of TDMR i itself, the larger levels come first. */
            if ((j < i || l > level) && overlaps(k->pamt[i][level], k->pamt[j][l])) {
                return fail(TDX_PAMT_OVERLAP, i, level, j);
            }
        }
    }
    return TDX_SUCCESS;
}

/* PAMT arrays against memory that TDs may get, both ways. */
static uint64_t check_pamt_in_tdmrs(const Check *k, unsigned i)
{
    for (unsigned j = 0; j <= i; j++) {
        for (int level = TDX_1G; level >= TDX_4K; level--) {
            if (overlaps_usable(&k->tdmr[j], k->pamt[i][level])) {
                return fail(TDX_PAMT_OVERLAP, i, level, j);
            }
            if (overlaps_usable(&k->tdmr[i], k->pamt[j][level])) {
                return fail(TDX_PAMT_OVERLAP, j, level, i);
            }
        }
    }
    return TDX_SUCCESS;
}

static uint64_t check_pamts(Check *k, unsigned i, const struct tdmr_info *info)
{
    const uint64_t base[3] = { info->pamt_4k_base, info->pamt_2m_base,
                               info->pamt_1g_base };
    const uint64_t size[3] = { info->pamt_4k_size, info->pamt_2m_size,
                               info->pamt_1g_size };
    uint64_t st;

    for (int level = TDX_1G; level >= TDX_4K; level--) {
        st = check_pamt(k, i, level, base[level], size[level]);
        if (st) {
            return st;
        }
        st = check_pamt_overlap(k, i, level);
        if (st) {
            return st;
        }
    }
    st = check_pamt_in_tdmrs(k, i);
    if (st) {
        return st;
    }
    for (int level = TDX_1G; level >= TDX_4K; level--) {
        if (!in_cmrs(k, k->pamt[i][level])) {
            return fail(TDX_PAMT_OUTSIDE_CMRS, i, level, 0);
        }
    }
    return TDX_SUCCESS;
}

static uint64_t check_tdmr(Check *k, unsigned i, uint64_t info_pa)
{
    struct tdmr_info info;
    uint64_t st;

    if (!tdx_shared_hpa(k->m, &info_pa, sizeof(info)) ||
        !tdx_read(k->m, info_pa, &info, sizeof(info))) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RCX);
    }
    st = check_base(k, i, &info);
    if (!st) {
        st = check_reserved(k, i, &info);
    }
    if (!st) {
        st = check_pamts(k, i, &info);
    }
    for (unsigned n = 0; !st && n <= k->tdmr[i].num_reserved; n++) {
        if (!in_cmrs(k, usable_part(&k->tdmr[i], n))) {
            st = fail(TDX_TDMR_OUTSIDE_CMRS, i, 0, 0);
        }
    }
    return st;
}

uint64_t tdmr_config(TdxMod *m, uint64_t list_pa, unsigned n, bool dynamic_pamt)
{
    g_autofree Check *k = g_new0(Check, 1);
    uint64_t info_pa[TDX_MAX_TDMRS];

    k->m = m;
    k->dynamic_pamt = dynamic_pamt;
    merge_cmrs(k);
    if (!tdx_read(m, list_pa, info_pa, n * sizeof(info_pa[0]))) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RCX);
    }
    for (unsigned i = 0; i < n; i++) {
        uint64_t st = check_tdmr(k, i, info_pa[i]);

        if (st) {
            return st;
        }
    }
    if (dynamic_pamt && !ledger_make_room(k->tdmr, n)) {
        tdx_log(m, "no memory of the emulator's for the regions of the TDMRs");
        return TDX_SYS_BUSY;
    }
    ledger_start(m);
    memcpy(m->tdmr, k->tdmr, sizeof(m->tdmr));
    __atomic_store_n(&m->num_tdmrs, n, __ATOMIC_RELEASE);
    return TDX_SUCCESS;
}

const Tdmr *tdmr_find(TdxMod *m, uint64_t pa)
{
    unsigned low = 0, high = m->num_tdmrs;

    while (low < high) {
        unsigned mid = (low + high) / 2;
        const Tdmr *t = &m->tdmr[mid];

        if (pa < t->base) {
            high = mid;
        } else if (pa - t->base >= t->size) {
            low = mid + 1;
        } else {
            /* Whole blocks only: the entries behind next are not there yet. */
            return pa / BLOCK < __atomic_load_n(&t->next, __ATOMIC_ACQUIRE) / BLOCK
                   ? t : NULL;
        }
    }
    return NULL;
}

/* 4K pages of [start, end) that lie in reserved areas. */
static unsigned reserved_pages(const Tdmr *t, uint64_t start, uint64_t end)
{
    uint64_t sum = 0;

    for (unsigned j = 0; j < t->num_reserved; j++) {
        uint64_t s = MAX(start, t->reserved[j].start);
        uint64_t e = MIN(end, t->reserved[j].end);

        sum += s < e ? e - s : 0;
    }
    return sum / TDX_PAGE_SIZE;
}

/* The array of @count zeroed entries at @entry_pa, all in one page. */
static struct pamt_entry *fresh_entries(TdxMod *m, uint64_t entry_pa, unsigned count)
{
    size_t len = count * sizeof(struct pamt_entry);
    struct pamt_entry *e = tdx_map(m, entry_pa, len);

    if (e) {
        memset(e, 0, len);
        tdx_written(m, entry_pa, len);
    }
    return e;
}

/* The 2M entry of one region and its part of the bitmap. */
static bool init_2m_dynamic(TdxMod *m, const Tdmr *t, uint64_t start)
{
    uint64_t index = (start - t->base) / TDX_LEVEL_SIZE(TDX_2M);

    return fresh_entries(m, t->pamt[TDX_2M] + index * sizeof(struct pamt_entry), 1) &&
           pair_bits_init(m, t, start);
}

/* The 2M entry and the 512 4K entries (two PAMT pages) of one region. */
static bool init_2m(TdxMod *m, const Tdmr *t, uint64_t start)
{
    const unsigned per_page = TDX_PAGE_SIZE / sizeof(struct pamt_entry);
    uint64_t index = (start - t->base) / TDX_PAGE_SIZE;
    unsigned reserved = reserved_pages(t, start, start + TDX_LEVEL_SIZE(TDX_2M));
    struct pamt_entry *e;

    e = fresh_entries(m, t->pamt[TDX_2M] + index / 512 * sizeof(*e), 1);
    if (!e) {
        return false;
    }
    e->aux = (uint64_t)reserved << PAMT_2M_RSVD_SHIFT;
    for (unsigned half = 0; half < 512; half += per_page) {
        e = fresh_entries(m, t->pamt[TDX_4K] + (index + half) * sizeof(*e), per_page);
        if (!e) {
            return false;
        }
        for (unsigned i = 0; reserved && i < per_page; i++) {
            uint64_t pa = start + (half + i) * TDX_PAGE_SIZE;

            if (reserved_pages(t, pa, pa + TDX_PAGE_SIZE)) {
                e[i].type = PT_RSVD;
            }
        }
    }
    return true;
}

uint64_t tdmr_init_step(TdxMod *m, Tdmr *t)
{
    uint64_t pa = t->next, end = pa + INIT_STEP;
    bool ok = true;

    if (pa % BLOCK == 0) {
        ok = fresh_entries(m, t->pamt[TDX_1G] + (pa - t->base) / BLOCK *
                           sizeof(struct pamt_entry), 1) != NULL;
    }
    for (; ok && pa < end; pa += TDX_LEVEL_SIZE(TDX_2M)) {
        ok = m->dynamic_pamt ? init_2m_dynamic(m, t, pa) : init_2m(m, t, pa);
    }
    if (!ok) {
        tdx_log(m, "PAMT of the TDMR at 0x%" PRIx64 " is not RAM", t->base);
        return tdx_operand(TDX_OPERAND_ADDR_RANGE_ERROR, TDX_RCX);
    }
    __atomic_store_n(&t->next, end, __ATOMIC_RELEASE);
    return TDX_SUCCESS;
}
