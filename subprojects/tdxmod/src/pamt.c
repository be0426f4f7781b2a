/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PAMT walks, locks and transitions.
 *
 * Lock order of a walk: 1G entry shared, 2M entry shared, leaf as asked.  A 2M
 * or 1G entry is locked exclusively to become a leaf or stop being one, so it
 * cannot change while any page below is locked through it.  Dynamic PAMT: a 2M entry
 * PT_PAMT leads on to the 4K entries in its page pair; PT_NDA ends the walk, as there
 * are no 4K entries.
 */
#include "pamt.h"

enum { UPPER_2M, UPPER_1G };

static void entry_written(TdxMod *m, uint64_t entry_pa)
{
    tdx_written(m, entry_pa, sizeof(struct pamt_entry));
}

struct pamt_entry *pamt_entry_at(TdxMod *m, const Tdmr *t, uint64_t pa, unsigned level,
                                 uint64_t *entry_pa)
{
    *entry_pa = t->pamt[level] + ((pa - t->base) >> TDX_LEVEL_SHIFT(level)) *
                                 sizeof(struct pamt_entry);
    return tdx_map(m, *entry_pa, sizeof(struct pamt_entry));
}

/* The entry of @level that covers @pa; NULL: not RAM, or no pair has it. */
static struct pamt_entry *find_entry(TdxMod *m, const Tdmr *t, uint64_t pa,
                                     unsigned level, uint64_t *entry_pa)
{
    return m->dynamic_pamt && level == TDX_4K ? pair_entry(m, t, pa, entry_pa)
                                              : pamt_entry_at(m, t, pa, level, entry_pa);
}

static void unlock_upper(PamtPage *p)
{
    if (p->upper_held) {
        for (int i = UPPER_2M; i <= UPPER_1G; i++) {
            if (p->upper[i]) {
                tdx_unlock(&p->upper[i]->lock, LOCK_SHARED);
            }
        }
        p->upper_held = false;
    }
}

static void forget(PamtPage *p)
{
    *p = (PamtPage){ 0 };
}

/* A walk to @stop ends at this entry of @level. */
static bool ends_at(const TdxMod *m, const struct pamt_entry *e, unsigned level,
                    unsigned stop)
{
    enum pamt_type down = m->dynamic_pamt && level == TDX_2M ? PT_PAMT : PT_NDA;

    return level == stop || pamt_entry_type(e) != down;
}

/*
 * Walk down to the leaf that covers @pa and lock it, but not below @stop.
 * Fails with BUSY|id or ADDR_RANGE_ERROR|id, and then holds nothing; also with
 * PAGE_METADATA_INCORRECT|id where L1 made a 2M entry claim a pair.
 */
static uint64_t walk(TdxCall *c, PamtPage *p, unsigned id, uint64_t pa, unsigned stop,
                     LockMode mode)
{
    TdxMod *m = c->m;
    const Tdmr *t = tdmr_find(m, pa);

    forget(p);
    if (!t) {
        return tdx_operand(TDX_OPERAND_ADDR_RANGE_ERROR, id);
    }
    p->mode = mode;
    p->upper_held = true;
    for (unsigned level = TDX_1G;; level--) {
        uint64_t entry_pa;
        struct pamt_entry *e = find_entry(m, t, pa, level, &entry_pa);
        bool leaf;

        if (!e) {
            unlock_upper(p);
            if (m->dynamic_pamt && level == TDX_4K) {
                ledger_corrupt(c, pa, "2M entry has no such page pair");
                return tdx_operand(TDX_PAGE_METADATA_INCORRECT, id);
            }
            return tdx_operand(TDX_OPERAND_ADDR_RANGE_ERROR, id);
        }
        leaf = ends_at(m, e, level, stop);
        if (!tdx_trylock(&e->lock, leaf ? mode : LOCK_SHARED)) {
            unlock_upper(p);
            return tdx_operand(TDX_OPERAND_BUSY, id);
        }
        if (leaf != ends_at(m, e, level, stop)) {
            /* It changed before the lock was ours: whoever did was in conflict. */
            tdx_unlock(&e->lock, leaf ? mode : LOCK_SHARED);
            unlock_upper(p);
            return tdx_operand(TDX_OPERAND_BUSY, id);
        }
        if (leaf) {
            p->entry = e;
            p->entry_pa = entry_pa;
            p->level = level;
            p->pa = pa & ~(TDX_LEVEL_SIZE(level) - 1);
            return TDX_SUCCESS;
        }
        p->upper[level - 1] = e;
        p->upper_pa[level - 1] = entry_pa;
    }
}

uint64_t pamt_lock(TdxCall *c, PamtPage *p, unsigned reg, uint64_t pa,
                   enum pamt_type type, LockMode mode)
{
    TdxMod *m = c->m;
    uint64_t st;

    forget(p);
    if (!tdx_private_hpa_valid(m, pa, TDX_PAGE_SIZE)) {
        return tdx_operand(TDX_OPERAND_INVALID, reg);
    }
    st = walk(c, p, reg, pa, TDX_4K, mode);
    if (st) {
        return st;
    }
    if (m->dynamic_pamt && p->level == TDX_2M && pamt_type(p) == PT_NDA &&
        type == PT_NDA) {
        st = TDX_MISSING_PAMT_PAGE_PAIR;
    } else if (p->level != TDX_4K || pamt_type(p) != type ||
               (m->dynamic_pamt && type == PT_NDA &&
                pair_bit(m, tdmr_find(m, pa), pa))) {
        st = TDX_PAGE_METADATA_INCORRECT;
    }
    if (st) {
        pamt_unlock(m, p);
        return tdx_operand(st, reg);
    }
    return TDX_SUCCESS;
}

uint64_t pamt_lock_region(TdxCall *c, PamtPage *p, unsigned reg, uint64_t pa)
{
    return walk(c, p, reg, pa, TDX_2M, LOCK_EXCLUSIVE);
}

/* The 2M page @p, locked exclusively, is free as a whole. */
static bool free_2m(TdxMod *m, const PamtPage *p)
{
    if (p->level != TDX_2M || pamt_type(p) != PT_NDA) {
        return false;
    }
    return m->dynamic_pamt ? pair_bits_clear_2m(m, tdmr_find(m, p->pa), p->pa)
                           : !(p->entry->aux & (PAMT_2M_USED | PAMT_2M_RSVD));
}

uint64_t pamt_lock_free(TdxCall *c, PamtPage *p, unsigned reg, uint64_t pa,
                        unsigned level)
{
    TdxMod *m = c->m;
    uint64_t st;

    if (level == TDX_4K) {
        return pamt_lock(c, p, reg, pa, PT_NDA, LOCK_EXCLUSIVE);
    }
    forget(p);
    if (!tdx_private_hpa_valid(m, pa, TDX_LEVEL_SIZE(level))) {
        return tdx_operand(TDX_OPERAND_INVALID, reg);
    }
    st = walk(c, p, reg, pa, level, LOCK_EXCLUSIVE);
    if (st) {
        return st;
    }
    if (level != TDX_2M || !free_2m(m, p)) {
        pamt_unlock(m, p);
        return tdx_operand(TDX_PAGE_METADATA_INCORRECT, reg);
    }
    return TDX_SUCCESS;
}

uint64_t pamt_lock_any(TdxCall *c, PamtPage *p, unsigned reg, uint64_t pa,
                       LockMode mode)
{
    return walk(c, p, reg, pa, TDX_4K, mode);
}

uint64_t pamt_lock_level(TdxCall *c, PamtPage *p, unsigned reg, uint64_t pa,
                         unsigned level)
{
    return walk(c, p, reg, pa, level, LOCK_SHARED);
}

/* The leaf entry of @pa with no lock; its level, or -1: there is none. */
static int find_leaf(TdxMod *m, uint64_t pa, struct pamt_entry **e, uint64_t *entry_pa)
{
    const Tdmr *t = tdmr_find(m, pa);

    for (int level = TDX_1G; t && level >= TDX_4K; level--) {
        *e = find_entry(m, t, pa, level, entry_pa);
        if (!*e) {
            break;
        }
        if (ends_at(m, *e, level, TDX_4K)) {
            return level;
        }
    }
    return -1;
}

bool pamt_held(TdxMod *m, PamtPage *p, uint64_t pa, LockMode mode)
{
    forget(p);
    if (find_leaf(m, pa, &p->entry, &p->entry_pa) != TDX_4K) {
        forget(p);
        return false;
    }
    p->pa = pa;
    p->mode = mode;
    return true;
}

uint64_t pamt_lock_implicit(TdxMod *m, PamtPage *p, unsigned id, uint64_t pa,
                            enum pamt_type type, LockMode mode)
{
    if (!tdx_private_hpa_valid(m, pa, TDX_PAGE_SIZE) || !pamt_held(m, p, pa, mode)) {
        forget(p);
        return tdx_operand(TDX_PAGE_METADATA_INCORRECT, id);
    }
    if (!tdx_trylock(&p->entry->lock, mode)) {
        forget(p);
        return tdx_operand(TDX_OPERAND_BUSY, id);
    }
    if (pamt_entry_type(p->entry) != type) {
        pamt_unlock(m, p);
        return tdx_operand(TDX_PAGE_METADATA_INCORRECT, id);
    }
    return TDX_SUCCESS;
}

void pamt_keep_leaf(PamtPage *p)
{
    unlock_upper(p);
}

void pamt_unlock(TdxMod *m, PamtPage *p)
{
    (void)m;
    if (p->entry) {
        tdx_unlock(&p->entry->lock, p->mode);
        unlock_upper(p);
        forget(p);
    }
}

/* Count 4K pages of a 2M region in and out in its entry; true: none is left. */
static bool count_entry(TdxCall *c, const PamtPage *p, int change)
{
    TdxMod *m = c->m;
    struct pamt_entry *e = p->upper[UPPER_2M];
    uint64_t old, used;

    old = __atomic_load_n(&e->aux, __ATOMIC_RELAXED);
    do {
        used = old & PAMT_2M_USED;
        if (change < 0 ? used == 0 : used >= 512) {
            ledger_corrupt(c, p->pa, "impossible number of pages in use");
            return false;
        }
        used += change;
    } while (!__atomic_compare_exchange_n(&e->aux, &old, (old & ~PAMT_2M_USED) | used,
                                          true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    entry_written(m, p->upper_pa[UPPER_2M]);
    return used == 0;
}

/* The 4K page @p came into use (@change 1) or out of it (-1); true: the last one. */
static bool count_page(TdxCall *c, const PamtPage *p, int change)
{
    PamtRegion *r;
    bool last;

    if (!change || !p->upper[UPPER_2M]) {
        return false;
    }
    last = count_entry(c, p, change);
    if (!c->m->dynamic_pamt) {
        return false;
    }
    r = pair_region(tdmr_find(c->m, p->pa), p->pa);
    if (r) {
        __atomic_fetch_add(&r->used, change, __ATOMIC_RELAXED);
        ledger_page(c, r, p->pa, change > 0);
    }
    return last;
}

/* The 2M page @p likewise: nothing to count, but a call to remember. */
static void remember_2m(TdxCall *c, const PamtPage *p, int change)
{
    PamtRegion *r = pair_region(tdmr_find(c->m, p->pa), p->pa);

    if (r && change) {
        ledger_page(c, r, p->pa, change > 0);
    }
}

bool pamt_unlock_as(TdxCall *c, PamtPage *p, enum pamt_type type, uint64_t owner)
{
    TdxMod *m = c->m;
    enum pamt_type was = pamt_type(p);
    int change = (type != PT_NDA) - (was != PT_NDA);
    bool last = false;

    pamt_set_bits_63_24(p->entry, owner / TDX_PAGE_SIZE);
    p->entry->aux = 0;
    __atomic_store_n(&p->entry->type, type, __ATOMIC_RELEASE);
    entry_written(m, p->entry_pa);
    if (p->level == TDX_4K) {
        last = count_page(c, p, change);
    } else {
        remember_2m(c, p, change);
    }
    pamt_unlock(m, p);
    return last;
}

uint64_t pamt_owner(const PamtPage *p)
{
    return pamt_entry_owner(p->entry);
}

uint64_t pamt_bepoch(const PamtPage *p)
{
    return p->entry->aux;
}

static struct pamt_entry *find_blockable(TdxMod *m, uint64_t pa, unsigned level,
                                         uint64_t *entry_pa)
{
    struct pamt_entry *e;
    enum pamt_type type;

    if (find_leaf(m, pa, &e, entry_pa) != (int)level) {
        return NULL;
    }
    type = pamt_entry_type(e);
    return type == PT_REG || type == PT_EPT ? e : NULL;
}

bool pamt_bepoch_get(TdxMod *m, uint64_t pa, unsigned level, uint64_t *epoch)
{
    uint64_t entry_pa;
    struct pamt_entry *e = find_blockable(m, pa, level, &entry_pa);

    if (e) {
        *epoch = __atomic_load_n(&e->aux, __ATOMIC_RELAXED);
    }
    return e != NULL;
}

bool pamt_bepoch_set(TdxMod *m, uint64_t pa, unsigned level, uint64_t epoch)
{
    uint64_t entry_pa;
    struct pamt_entry *e = find_blockable(m, pa, level, &entry_pa);

    if (e) {
        __atomic_store_n(&e->aux, epoch, __ATOMIC_RELAXED);
        entry_written(m, entry_pa);
    }
    return e != NULL;
}

/* Used 4K pages of one 2M entry. */
static uint64_t entry_in_use(const struct pamt_entry *e)
{
    switch (pamt_entry_type(e)) {
    case PT_NDA:
    case PT_PAMT:
        return MIN(e->aux & PAMT_2M_USED, 512);
    case PT_RSVD:
        return 0;
    default:
        return 512;
    }
}

uint64_t tdxmod_pages_in_use(TdxMod *m)
{
    uint64_t sum = 0, entry_pa;

    for (unsigned i = 0; i < m->num_tdmrs; i++) {
        const Tdmr *t = &m->tdmr[i];
        uint64_t end = MIN(__atomic_load_n(&t->next, __ATOMIC_ACQUIRE) &
                           ~(TDX_LEVEL_SIZE(TDX_1G) - 1), t->base + t->size);

        for (uint64_t pa = t->base; pa < end; pa += TDX_LEVEL_SIZE(TDX_2M)) {
            struct pamt_entry *e = find_entry(m, t, pa, TDX_2M, &entry_pa);

            sum += e ? entry_in_use(e) : 0;
        }
    }
    return sum;
}
