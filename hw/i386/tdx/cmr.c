/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Convertible memory regions (CMRs): the RAM that may become TD memory, in the
 * place of the table that BIOS and MCHECK would have left for the module.
 */
#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/i386/e820_memory_layout.h"
#include "tdx-module.h"

#define PAGE            4096ull
/* The legacy video and option ROM window: the e820 entry spans it. */
#define HOLE_START      (640 * KiB)
#define HOLE_END        (1 * MiB)

typedef struct CmrList {
    TdxCmr *cmr;
    unsigned count;
    bool overflow;
} CmrList;

static void add(CmrList *l, uint64_t start, uint64_t end)
{
    start = ROUND_UP(start, PAGE);
    end = ROUND_DOWN(end, PAGE);
    if (start >= end) {
        return;
    }
    if (l->count == TDXMOD_MAX_CMRS) {
        l->overflow = true;
        return;
    }
    l->cmr[l->count++] = (TdxCmr) { .base = start, .size = end - start };
}

static int compare(const void *a, const void *b)
{
    uint64_t x = ((const TdxCmr *)a)->base, y = ((const TdxCmr *)b)->base;

    return x < y ? -1 : x > y;
}

/* Sorted neighbours that touch become one. */
static void merge(CmrList *l)
{
    unsigned n = 0;

    qsort(l->cmr, l->count, sizeof(*l->cmr), compare);
    for (unsigned i = 0; i < l->count; i++) {
        TdxCmr *last = n ? &l->cmr[n - 1] : NULL;
        uint64_t end = l->cmr[i].base + l->cmr[i].size;

        if (last && l->cmr[i].base <= last->base + last->size) {
            last->size = MAX(last->base + last->size, end) - last->base;
        } else {
            l->cmr[n++] = l->cmr[i];
        }
    }
    l->count = n;
}

unsigned tdx_find_cmrs(TdxCmr *cmr, Error **errp)
{
    CmrList l = { .cmr = cmr };
    int entries = e820_get_table(NULL);
    uint64_t start, len;

    for (int i = 0; i < entries; i++) {
        if (!e820_get_entry(i, E820_RAM, &start, &len)) {
            continue;
        }
        add(&l, start, MIN(start + len, HOLE_START));
        add(&l, MAX(start, HOLE_END), start + len);
    }
    merge(&l);
    if (l.overflow) {
        error_setg(errp, "tdx-module: the RAM of this machine is in more than "
                   "%d pieces", TDXMOD_MAX_CMRS);
        return 0;
    }
    if (!l.count) {
        error_setg(errp, "tdx-module: this machine has no e820 memory map; "
                   "use -machine q35");
    }
    return l.count;
}
