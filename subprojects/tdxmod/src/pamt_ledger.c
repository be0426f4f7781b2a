/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT for developers: figures, and for each 2 MiB region the last calls that
 * gave or took its pair, or assigned or freed a page of it.  Nothing here decides
 * what a leaf answers.
 */
#include "pamt.h"

#define FAILURES_KEPT   64
#define STACK_SIZE      (16 * 1024)     /* of a thread of Linux; aligned to it */

struct PamtLedger {
    GMutex lock;                /* of all but what is atomic, and of tdmr[].region */
    uint64_t calls;             /* atomic: the number of the last remembered call */
    uint64_t corruptions;       /* atomic */
    uint64_t pairs, peak, adds, removes, failures;
    uint64_t placed[3];         /* by enum pair_place */
    unsigned deepest;
    struct {
        uint64_t status, add, remove;
    } failed[TDXMOD_PAMT_STATUSES];
    TdxPamtFailure failure[FAILURES_KEPT];
};

struct PamtLedger *ledger_new(void)
{
    struct PamtLedger *l = g_new0(struct PamtLedger, 1);

    g_mutex_init(&l->lock);
    return l;
}

void ledger_free(struct PamtLedger *l)
{
    g_mutex_clear(&l->lock);
    g_free(l);
}

/* --- the regions ---------------------------------------------------------------- */

bool ledger_make_room(Tdmr tdmr[], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        tdmr[i].region = g_try_new0(PamtRegion *, tdmr[i].size / TDX_LEVEL_SIZE(TDX_2M));
        if (!tdmr[i].region) {
            while (i--) {
                g_clear_pointer(&tdmr[i].region, g_free);
            }
            return false;
        }
    }
    return true;
}

void ledger_start(TdxMod *m)
{
    struct PamtLedger *l = m->ledger;

    g_mutex_lock(&l->lock);
    l->pairs = l->peak = l->adds = l->removes = l->failures = l->deepest = 0;
    memset(l->placed, 0, sizeof(l->placed));
    memset(l->failed, 0, sizeof(l->failed));
    __atomic_store_n(&l->corruptions, 0, __ATOMIC_RELAXED);
    g_mutex_unlock(&l->lock);
}

static void free_regions(Tdmr *t)
{
    for (uint64_t i = 0; t->region && i < t->size / TDX_LEVEL_SIZE(TDX_2M); i++) {
        if (t->region[i]) {
            g_mutex_clear(&t->region[i]->lock);
            g_free(t->region[i]);
        }
    }
    g_clear_pointer(&t->region, g_free);
}

void ledger_stop(TdxMod *m)
{
    struct PamtLedger *l = m->ledger;

    g_mutex_lock(&l->lock);
    m->num_tdmrs = 0;
    for (unsigned i = 0; i < TDX_MAX_TDMRS; i++) {
        free_regions(&m->tdmr[i]);
    }
    l->pairs = 0;
    g_mutex_unlock(&l->lock);
}

PamtRegion *ledger_region(const Tdmr *t, uint64_t pa)
{
    PamtRegion *r = pair_region(t, pa);

    if (!r) {
        r = g_new0(PamtRegion, 1);
        r->pa = pa & ~(TDX_LEVEL_SIZE(TDX_2M) - 1);
        g_mutex_init(&r->lock);
        __atomic_store_n(&t->region[(pa - t->base) / TDX_LEVEL_SIZE(TDX_2M)], r,
                         __ATOMIC_RELEASE);
    }
    return r;
}

/* --- what happened -------------------------------------------------------------- */

/* Of the call; a TD's own calls and exits have no name here. */
static const char *leaf_name(const TdxCall *c)
{
    const Leaf *row = c->guest ? NULL : c->m->host_leaf[c->leaf];

    return row ? row->name : "a TD";
}

static TdxPamtCall call_now(TdxCall *c, uint64_t status, uint64_t page)
{
    return (TdxPamtCall) {
        .number = __atomic_add_fetch(&c->m->ledger->calls, 1, __ATOMIC_RELAXED),
        .leaf = leaf_name(c),
        .lp = c->lp,
        .status = status,
        .page = page,
        .site = *tdx_call_site(c),
    };
}

void ledger_pair(TdxCall *c, PamtRegion *r, bool came)
{
    struct PamtLedger *l = c->m->ledger;
    PamtChain *chain = &c->m->lp[c->lp].chain;
    TdxPamtCall call = call_now(c, TDX_SUCCESS, 0);
    uint64_t stack = call.site.rsp & ~(uint64_t)(STACK_SIZE - 1);

    g_mutex_lock(&r->lock);
    *(came ? &r->add : &r->remove) = call;
    g_mutex_unlock(&r->lock);
    g_mutex_lock(&l->lock);
    l->adds += came;
    l->removes += !came;
    l->pairs += came ? 1 : -1;
    l->peak = MAX(l->peak, l->pairs);
    g_mutex_unlock(&l->lock);
    if (came) {
        if (chain->stack != stack) {
            *chain = (PamtChain){ .stack = stack };
        }
        chain->pairs++;
    }
}

void ledger_placed(TdxCall *c, enum pair_place place)
{
    __atomic_fetch_add(&c->m->ledger->placed[place], 1, __ATOMIC_RELAXED);
}

void ledger_page(TdxCall *c, PamtRegion *r, uint64_t pa, bool assigned)
{
    TdxPamtCall call = call_now(c, TDX_SUCCESS, pa);

    g_mutex_lock(&r->lock);
    *(assigned ? &r->assign : &r->release) = call;
    g_mutex_unlock(&r->lock);
}

void ledger_corrupt(TdxCall *c, uint64_t pa, const char *what)
{
    uint64_t region = pa & ~(TDX_LEVEL_SIZE(TDX_2M) - 1);

    __atomic_fetch_add(&c->m->ledger->corruptions, 1, __ATOMIC_RELAXED);
    tdx_log(c->m, "%s finds the PAMT of region 0x%" PRIx64 " corrupt: %s", leaf_name(c),
            region, what);
}

/* --- what failed ---------------------------------------------------------------- */

static void latest(TdxPamtCall *best, const TdxPamtCall *call)
{
    if (call->number > best->number) {
        *best = *call;
    }
}

/* The call that the failing one is at odds with; the region's lock is held. */
static TdxPamtCall opponent(PamtRegion *r, uint64_t status)
{
    TdxPamtCall any = { 0 };

    switch (status) {
    case TDX_HPA_RANGE_NOT_FREE:
        return __atomic_load_n(&r->backed, __ATOMIC_ACQUIRE) ? r->add : r->assign;
    case TDX_NO_PAMT_PAGE_PAIR:
    case TDX_MISSING_PAMT_PAGE_PAIR:
        return r->remove;
    case TDX_PAMT_PAGE_NOT_EMPTY:
        return r->assign;
    default:
        latest(&any, &r->add);
        latest(&any, &r->remove);
        latest(&any, &r->assign);
        latest(&any, &r->release);
        return any;
    }
}

static bool has_in_pair(PamtRegion *r, uint64_t page)
{
    bool found;

    g_mutex_lock(&r->lock);
    found = __atomic_load_n(&r->backed, __ATOMIC_ACQUIRE) &&
            (r->pair[0] == page || r->pair[1] == page);
    g_mutex_unlock(&r->lock);
    return found;
}

/* The region whose pair the page is part of; NULL: none. */
static PamtRegion *region_of_pair_page(TdxMod *m, uint64_t page)
{
    for (unsigned i = 0; i < m->num_tdmrs; i++) {
        const Tdmr *t = &m->tdmr[i];

        for (uint64_t pa = t->base; pa < t->base + t->size;
             pa += TDX_LEVEL_SIZE(TDX_2M)) {
            PamtRegion *r = pair_region(t, pa);

            if (r && has_in_pair(r, page)) {
                return r;
            }
        }
    }
    return NULL;
}

static void count_failed(struct PamtLedger *l, bool add, uint64_t status)
{
    for (int i = 0; i < TDXMOD_PAMT_STATUSES; i++) {
        if (!l->failed[i].status || l->failed[i].status == status) {
            l->failed[i].status = status;
            l->failed[i].add += add;
            l->failed[i].remove += !add;
            return;
        }
    }
}

void ledger_failure(TdxCall *c, uint64_t status, uint64_t pa, uint64_t page)
{
    struct PamtLedger *l = c->m->ledger;
    uint64_t code = TDX_STATUS_CODE(status);
    const char *name = tdxmod_status_name(status);
    TdxPamtFailure f = {
        .region = pa & ~(TDX_LEVEL_SIZE(TDX_2M) - 1),
        .call = call_now(c, status, page),
    };
    PamtRegion *r = NULL;

    if (c->m->dynamic_pamt) {
        r = code == TDX_PAGE_NOT_FREE && page ? region_of_pair_page(c->m, page) : NULL;
        r = r ? r : pair_region(tdmr_find(c->m, code == TDX_PAGE_NOT_FREE ? page : pa),
                                code == TDX_PAGE_NOT_FREE ? page : pa);
    }
    if (r) {
        g_mutex_lock(&r->lock);
        f.other = opponent(r, code);
        g_mutex_unlock(&r->lock);
    }
    g_mutex_lock(&l->lock);
    if (c->leaf == TDH_PHYMEM_PAMT_ADD || c->leaf == TDH_PHYMEM_PAMT_REMOVE) {
        count_failed(l, c->leaf == TDH_PHYMEM_PAMT_ADD, code);
    }
    l->failure[l->failures++ % FAILURES_KEPT] = f;
    g_mutex_unlock(&l->lock);
    tdx_log(c->m, "%s on region 0x%" PRIx64 ": %s (0x%" PRIx64 ")", f.call.leaf, f.region,
            name ? name : "unknown status", status);
}

/* --- chains --------------------------------------------------------------------- */

/* The mapping of a GPA is over, one way or another: so much did it take. */
static void close_chain(TdxCall *c)
{
    struct PamtLedger *l = c->m->ledger;
    PamtChain *chain = &c->m->lp[c->lp].chain;
    uint64_t stack;

    if (!chain->pairs) {
        return;
    }
    stack = tdx_call_site(c)->rsp & ~(uint64_t)(STACK_SIZE - 1);
    if (chain->stack == stack) {
        g_mutex_lock(&l->lock);
        l->deepest = MAX(l->deepest, chain->pairs);
        g_mutex_unlock(&l->lock);
    }
    chain->pairs = 0;
}

void ledger_after(TdxCall *c, uint64_t status, const uint64_t gpr0[16])
{
    uint64_t operand = status & 0xffffffff;

    switch (c->leaf) {
    case TDH_PHYMEM_PAMT_ADD:
    case TDH_PHYMEM_PAMT_REMOVE:
        break;
    case TDH_MEM_SEPT_ADD:
        if (status) {
            close_chain(c);
        }
        break;
    case TDH_MEM_PAGE_ADD:
    case TDH_MEM_PAGE_AUG:
        close_chain(c);
        break;
    default:
        c->m->lp[c->lp].chain.pairs = 0;
    }
    if (TDX_STATUS_CODE(status) == TDX_MISSING_PAMT_PAGE_PAIR && operand < 16) {
        uint64_t page = gpr0[operand] & c->m->hpa_mask & ~(TDX_PAGE_SIZE - 1);

        ledger_failure(c, status, page, page);
    }
}

/* --- the view ------------------------------------------------------------------- */

/* TDH.SYS.CONFIG may be at work; its end, ledger_stop(), is not: it takes our lock. */
static unsigned num_tdmrs(const TdxMod *m)
{
    return __atomic_load_n(&m->num_tdmrs, __ATOMIC_ACQUIRE);
}

void tdxmod_pamt_stats(TdxMod *m, TdxPamtStats *s)
{
    struct PamtLedger *l = m->ledger;

    *s = (TdxPamtStats) {
        .offered = m->config.dynamic_pamt,
        .corruptions = __atomic_load_n(&l->corruptions, __ATOMIC_RELAXED),
        .placed_own = __atomic_load_n(&l->placed[PAIR_OWN], __ATOMIC_RELAXED),
        .placed_unbacked = __atomic_load_n(&l->placed[PAIR_UNBACKED], __ATOMIC_RELAXED),
        .placed_backed = __atomic_load_n(&l->placed[PAIR_BACKED], __ATOMIC_RELAXED),
    };
    g_mutex_lock(&l->lock);
    s->enabled = m->dynamic_pamt;
    for (unsigned i = 0; i < num_tdmrs(m); i++) {
        s->static_bytes += m->tdmr[i].pamt_bytes;
    }
    s->pairs = l->pairs;
    s->peak = l->peak;
    s->adds = l->adds;
    s->removes = l->removes;
    s->failures = l->failures;
    s->deepest = l->deepest;
    for (int i = 0; i < TDXMOD_PAMT_STATUSES; i++) {
        s->failed[i].status = l->failed[i].status;
        s->failed[i].add = l->failed[i].add;
        s->failed[i].remove = l->failed[i].remove;
    }
    g_mutex_unlock(&l->lock);
}

static void describe(TdxMod *m, const Tdmr *t, PamtRegion *r, TdxPamtRegion *out)
{
    uint64_t entry_pa, first;
    const struct pamt_entry *e = pamt_entry_at(m, t, r->pa, TDX_2M, &entry_pa);

    g_mutex_lock(&r->lock);
    *out = (TdxPamtRegion) {
        .pa = r->pa,
        .backed = __atomic_load_n(&r->backed, __ATOMIC_ACQUIRE),
        .add = r->add,
        .remove = r->remove,
        .assign = r->assign,
        .release = r->release,
    };
    if (out->backed) {
        out->pair[0] = r->pair[0];
        out->pair[1] = r->pair[1];
        out->count = e ? __atomic_load_n(&e->aux, __ATOMIC_RELAXED) & PAMT_2M_USED : 0;
        out->recount = pair_recount(m, r, &first);
    }
    g_mutex_unlock(&r->lock);
}

bool tdxmod_pamt_region(TdxMod *m, uint64_t pa, TdxPamtRegion *out)
{
    bool found = false;

    g_mutex_lock(&m->ledger->lock);
    for (unsigned i = 0; i < num_tdmrs(m) && !found; i++) {
        const Tdmr *t = &m->tdmr[i];
        uint64_t at = MAX(pa, t->base) & ~(TDX_LEVEL_SIZE(TDX_2M) - 1);

        if (pa >= t->base + t->size) {
            continue;
        }
        for (at = at < pa ? at + TDX_LEVEL_SIZE(TDX_2M) : at;
             at < t->base + t->size && !found; at += TDX_LEVEL_SIZE(TDX_2M)) {
            PamtRegion *r = pair_region(t, at);

            if (r) {
                describe(m, t, r, out);
                found = true;
            }
        }
    }
    g_mutex_unlock(&m->ledger->lock);
    return found;
}

unsigned tdxmod_pamt_failures(TdxMod *m, TdxPamtFailure *f, unsigned max)
{
    struct PamtLedger *l = m->ledger;
    uint64_t n;

    g_mutex_lock(&l->lock);
    n = MIN(MIN(l->failures, FAILURES_KEPT), max);
    for (uint64_t i = 0; i < n; i++) {
        f[i] = l->failure[(l->failures - n + i) % FAILURES_KEPT];
    }
    g_mutex_unlock(&l->lock);
    return n;
}
