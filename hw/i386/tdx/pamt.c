/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP: what the TDX module knows of Dynamic PAMT, for the kernel's developer. */
#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-tdx-target.h"
#include "tdx/status.h"
#include "tdx-module.h"

#define REGION          (2 * MiB)
#define PAIR_BYTES      (2 * 4096ull)
#define MAX_FAILURES    64              /* that are asked for */

/* --- calls --------------------------------------------------------------- */

static const char *const operand_name[] = {
    [TDX_OPERAND_ID_RAX] = "RAX", [TDX_OPERAND_ID_RCX] = "RCX",
    [TDX_OPERAND_ID_RDX] = "RDX", [TDX_OPERAND_ID_RBX] = "RBX",
    [TDX_OPERAND_ID_RBP] = "RBP", [TDX_OPERAND_ID_RSI] = "RSI",
    [TDX_OPERAND_ID_RDI] = "RDI", [TDX_OPERAND_ID_R8] = "R8",
    [TDX_OPERAND_ID_R9] = "R9", [TDX_OPERAND_ID_R10] = "R10",
    [TDX_OPERAND_ID_R11] = "R11", [TDX_OPERAND_ID_R12] = "R12",
    [TDX_OPERAND_ID_R13] = "R13", [TDX_OPERAND_ID_R14] = "R14",
    [TDX_OPERAND_ID_R15] = "R15", [TDX_OPERAND_ID_TDR] = "TDR",
    [TDX_OPERAND_ID_TDCX] = "TDCX", [TDX_OPERAND_ID_TDVPR] = "TDVPR",
    [TDX_OPERAND_ID_TDCS] = "TDCS", [TDX_OPERAND_ID_TDVPS] = "TDVPS",
    [TDX_OPERAND_ID_SEPT_TREE] = "SEPT_TREE",
    [TDX_OPERAND_ID_SEPT_ENTRY] = "SEPT_ENTRY",
};

/* Classes whose details are an operand: invalid, busy, page metadata. */
static bool names_operand(uint64_t status)
{
    unsigned class = status >> 40 & 0xff;

    return class >= 1 && class <= 3 &&
           TDX_STATUS_CODE(status) != TDX_PAMT_PAGE_NOT_EMPTY;
}

static char *status_text(uint64_t status, bool with_operand)
{
    const char *name = tdxmod_status_name(status);
    uint32_t details = status;

    if (!name) {
        return g_strdup_printf("0x%016" PRIx64, status);
    }
    if (!with_operand || (!details && !names_operand(status))) {
        return g_strdup(name);
    }
    if (names_operand(status) && details < ARRAY_SIZE(operand_name) &&
        operand_name[details]) {
        return g_strdup_printf("%s %s", name, operand_name[details]);
    }
    return g_strdup_printf("%s 0x%" PRIx32, name, details);
}

/* @seen: what is known already, by address; many calls come the same way. */
static bool is_caller(GHashTable *seen, uint64_t va)
{
    gpointer key = (gpointer)(uintptr_t)va, value;

    if (!g_hash_table_lookup_extended(seen, key, NULL, &value)) {
        value = GINT_TO_POINTER(seam_follows_call(va));
        g_hash_table_insert(seen, key, value);
    }
    return GPOINTER_TO_INT(value);
}

/* NULL for a call that never was. */
static TdxPamtCallInfo *show_call(const TdxPamtCall *c, GHashTable *seen)
{
    TdxPamtCallInfo *q;
    uint64List **tail;

    if (!c->number) {
        return NULL;
    }
    q = g_new0(TdxPamtCallInfo, 1);
    tail = &q->callers;
    q->number = c->number;
    q->leaf = g_strdup(c->leaf ? c->leaf : "");
    q->cpu = c->lp;
    q->status = status_text(c->status, true);
    q->has_page = c->page;
    q->page = c->page;
    q->ip = c->site.rip;
    for (int i = 0; i < TDXMOD_CALLERS && c->site.caller[i]; i++) {
        if (is_caller(seen, c->site.caller[i])) {
            QAPI_LIST_APPEND(tail, c->site.caller[i]);
        }
    }
    return q;
}

/* --- the lists ----------------------------------------------------------- */

static TdxPamtRegionInfo *show_region(const TdxPamtRegion *r, GHashTable *seen)
{
    TdxPamtRegionInfo *q = g_new0(TdxPamtRegionInfo, 1);

    q->address = r->pa;
    q->backed = r->backed;
    for (int i = ARRAY_SIZE(r->pair) - 1; r->backed && i >= 0; i--) {
        QAPI_LIST_PREPEND(q->pair, r->pair[i]);
    }
    q->count = r->count;
    q->recount = r->recount;
    q->add = show_call(&r->add, seen);
    q->remove = show_call(&r->remove, seen);
    q->assign = show_call(&r->assign, seen);
    q->release = show_call(&r->release, seen);
    return q;
}

static TdxPamtRegionInfoList *show_regions(TdxMod *mod, bool all,
                                           GHashTable *seen)
{
    TdxPamtRegionInfoList *list = NULL, **tail = &list;
    TdxPamtRegion r;
    uint64_t next = 0;

    while (tdxmod_pamt_region(mod, next, &r)) {
        if (all || r.backed) {
            QAPI_LIST_APPEND(tail, show_region(&r, seen));
        }
        next = r.pa + REGION;
    }
    return list;
}

static TdxPamtFailureInfoList *show_failures(TdxMod *mod, GHashTable *seen)
{
    g_autofree TdxPamtFailure *f = g_new0(TdxPamtFailure, MAX_FAILURES);
    TdxPamtFailureInfoList *list = NULL, **tail = &list;
    unsigned n = tdxmod_pamt_failures(mod, f, MAX_FAILURES);

    for (unsigned i = 0; i < n; i++) {
        TdxPamtFailureInfo *q = g_new0(TdxPamtFailureInfo, 1);

        q->region = f[i].region;
        q->call = show_call(&f[i].call, seen);
        q->other = show_call(&f[i].other, seen);
        if (q->call) {
            QAPI_LIST_APPEND(tail, q);
        } else {
            qapi_free_TdxPamtFailureInfo(q);    /* nobody's */
        }
    }
    return list;
}

static TdxPamtStatusCountList *show_failed(const TdxPamtStats *s)
{
    TdxPamtStatusCountList *list = NULL, **tail = &list;

    for (int i = 0; i < TDXMOD_PAMT_STATUSES && s->failed[i].status; i++) {
        TdxPamtStatusCount *q = g_new0(TdxPamtStatusCount, 1);

        q->status = status_text(s->failed[i].status, false);
        q->add = s->failed[i].add;
        q->remove = s->failed[i].remove;
        QAPI_LIST_APPEND(tail, q);
    }
    return list;
}

TdxPamtInfo *qmp_query_tdx_pamt(bool has_all, bool all, Error **errp)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    TdxMod *mod = seam_module();
    TdxPamtInfo *q;
    TdxPamtStats s;

    if (!mod) {
        error_setg(errp, "this machine has no TDX module; start it with "
                   "-object tdx-module,id=tdx0,dynamic-pamt=on");
        return NULL;
    }
    tdxmod_pamt_stats(mod, &s);
    q = g_new0(TdxPamtInfo, 1);
    q->offered = s.offered;
    q->enabled = s.enabled;
    q->static_bytes = s.static_bytes;
    q->dynamic_bytes = s.pairs * PAIR_BYTES;
    q->pairs = s.pairs;
    q->peak_pairs = s.peak;
    q->adds = s.adds;
    q->removes = s.removes;
    q->corruptions = s.corruptions;
    q->deepest_pairs = s.deepest;
    q->placed_own = s.placed_own;
    q->placed_unbacked = s.placed_unbacked;
    q->placed_backed = s.placed_backed;
    q->failures = s.failures;
    q->failed = show_failed(&s);
    q->last_failures = show_failures(mod, seen);
    q->regions = show_regions(mod, has_all && all, seen);
    return q;
}
