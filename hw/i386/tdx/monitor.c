/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HMP: "info tdx-pamt", what query-tdx-pamt says as a person reads it. */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-tdx-target.h"
#include "qobject/qdict.h"

#define ADDRESS         "0x%012" PRIx64

static void print_totals(Monitor *mon, const TdxPamtInfo *i)
{
    monitor_printf(mon, "Dynamic PAMT:      %s\n",
                   i->enabled ? "in use" :
                   i->offered ? "offered, not in use" : "not offered");
    monitor_printf(mon, "static memory:     %" PRIu64 " bytes\n",
                   i->static_bytes);
    monitor_printf(mon, "dynamic memory:    %" PRIu64 " bytes\n",
                   i->dynamic_bytes);
    monitor_printf(mon, "page pairs:        %" PRIu64 " now, %" PRIu64 " at "
                   "most, %" PRIu64 " added, %" PRIu64 " removed\n",
                   i->pairs, i->peak_pairs, i->adds, i->removes);
    monitor_printf(mon, "for one mapping:   at most %" PRIu32 " pairs added\n",
                   i->deepest_pairs);
    monitor_printf(mon, "their pages lay:   %" PRIu64 " in the region itself, %"
                   PRIu64 " in an unbacked one, %" PRIu64 " in another backed "
                   "one\n", i->placed_own, i->placed_unbacked, i->placed_backed);
    monitor_printf(mon, "failed calls:      %" PRIu64 "\n", i->failures);
    monitor_printf(mon, "corruptions found: %" PRIu64 "\n", i->corruptions);
}

static void print_failed(Monitor *mon, const TdxPamtStatusCountList *l)
{
    if (l) {
        monitor_printf(mon, "\n%-32s %10s %10s\n", "status", "PAMT.ADD",
                       "REMOVE");
    }
    for (; l; l = l->next) {
        monitor_printf(mon, "%-32s %10" PRIu64 " %10" PRIu64 "\n",
                       l->value->status, l->value->add, l->value->remove);
    }
}

static void print_call(Monitor *mon, const TdxPamtCallInfo *c)
{
    monitor_printf(mon, "#%" PRIu64 " CPU %" PRIu32 " %s: %s", c->number, c->cpu,
                   c->leaf, c->status);
    if (c->has_page) {
        monitor_printf(mon, ", page " ADDRESS, c->page);
    }
    monitor_printf(mon, "\n    at 0x%" PRIx64, c->ip);
    for (uint64List *l = c->callers; l; l = l->next) {
        monitor_printf(mon, " < 0x%" PRIx64, l->value);
    }
    monitor_printf(mon, "\n");
}

static void print_failures(Monitor *mon, const TdxPamtFailureInfoList *l)
{
    for (; l; l = l->next) {
        monitor_printf(mon, "\nregion " ADDRESS ": ", l->value->region);
        print_call(mon, l->value->call);
        monitor_printf(mon, "  after ");
        if (l->value->other) {
            print_call(mon, l->value->other);
        } else {
            monitor_printf(mon, "no other call\n");
        }
    }
}

/* A column of the table: which call, and who led to it (else its RIP). */
static void print_short(Monitor *mon, const TdxPamtCallInfo *c)
{
    g_autoptr(GString) text = g_string_new("-");
    const uint64List *l = c ? c->callers : NULL;

    if (c) {
        g_string_printf(text, "#%" PRIu64, c->number);
        if (!l) {
            g_string_append_printf(text, " 0x%" PRIx64, c->ip);
        }
    }
    for (int i = 0; l && i < 2; l = l->next, i++) {
        g_string_append_printf(text, " 0x%" PRIx64, l->value);
    }
    monitor_printf(mon, "  %-43s", text->str);
}

static void print_regions(Monitor *mon, const TdxPamtRegionInfoList *l)
{
    if (l) {
        monitor_printf(mon, "\n%-14s  %-29s  %5s  %-43s  %s\n", "region", "pair",
                       "pages", "last added (#call, callers)", "last removed");
    }
    for (; l; l = l->next) {
        const TdxPamtRegionInfo *r = l->value;

        monitor_printf(mon, ADDRESS, r->address);
        if (r->pair) {
            monitor_printf(mon, "  " ADDRESS " " ADDRESS, r->pair->value,
                           r->pair->next->value);
        } else {
            monitor_printf(mon, "  %-29s", "-");
        }
        monitor_printf(mon, "  %5" PRIu32, r->count);
        print_short(mon, r->add);
        print_short(mon, r->remove);
        if (r->recount != r->count) {
            monitor_printf(mon, "  WRONG: a recount gives %" PRIu32, r->recount);
        }
        monitor_printf(mon, "\n");
    }
}

static void hmp_info_tdx_pamt(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    bool all = qdict_get_try_bool(qdict, "all", false);
    g_autoptr(TdxPamtInfo) info = qmp_query_tdx_pamt(true, all, &err);

    if (hmp_handle_error(mon, err)) {
        return;
    }
    print_totals(mon, info);
    print_failed(mon, info->failed);
    print_failures(mon, info->last_failures);
    print_regions(mon, info->regions);
}

static void tdx_monitor_register(void)
{
    monitor_register_hmp("tdx-pamt", true, hmp_info_tdx_pamt);
}
type_init(tdx_monitor_register)
