/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A reference model of Dynamic PAMT: plain arrays, written from the ABI's tables and
 * sharing nothing with the module model but the numbers of leaves and statuses.
 *
 * It knows the 2 MiB regions from REF_FIRST up, three TDs, and of two of these the
 * S-EPT entries of REF_SLOTS times 2 MiB from REF_GPA up.  Calls come one at a time.
 */
#ifndef TDXMOD_TEST_REF_H
#define TDXMOD_TEST_REF_H

#include <stdbool.h>
#include <stdint.h>
#include "tdx/leaves.h"
#include "tdx/status.h"
#include "tdx/structs.h"

#define REF_FIRST       (24ull << 20)
#define REF_REGIONS     8
#define REF_PAGES       (REF_REGIONS * 512)
#define REF_GPA         0x40000000ull
#define REF_SLOTS       6
#define REF_TDCS        9               /* pages of TDH.MNG.ADDCX */
#define REF_TDCX        5               /* pages of TDH.VP.ADDCX */

enum {
    REF_RAX, REF_RCX, REF_RDX,
    REF_R8 = 8, REF_R9, REF_R10, REF_R11, REF_R12, REF_R13,
};

enum ref_state {                        /* S-EPT, architectural numbers */
    REF_FREE = 0, REF_BLOCKED = 1, REF_PENDING = 2, REF_PENDING_BLOCKED = 3,
    REF_MAPPED = 4, REF_NL_MAPPED = 0x84, REF_NL_BLOCKED = 0x81,
};

enum ref_lifecycle { REF_NO_TD, REF_ASSIGNED, REF_KEYED, REF_TEARDOWN };

typedef struct RefPage {
    uint8_t type;                       /* PT_* */
    uint64_t owner;
    uint64_t bepoch;
    unsigned tdcx;                      /* of a PT_TDVPR */
} RefPage;

typedef struct RefRegion {
    enum { REF_NONE, REF_PAIR, REF_LEAF } kind;
    uint64_t pair[2];
    unsigned count;                     /* REF_PAIR: pages in use */
    RefPage leaf;                       /* REF_LEAF */
} RefRegion;

typedef struct RefEntry {
    uint8_t state;                      /* enum ref_state */
    uint64_t pa;
} RefEntry;

typedef struct RefSlot {
    RefEntry e;                         /* of level 2M */
    RefEntry child[512];
} RefSlot;

typedef struct RefTd {
    enum ref_lifecycle lifecycle;
    unsigned op_state;                  /* 0 UNINITIALIZED, 1 INITIALIZED, 2 RUNNABLE */
    uint64_t tdr;
    uint16_t hkid;
    unsigned tdcs;
    uint64_t epoch;
    uint64_t children;                  /* that the reference knows of */
    RefSlot slot[REF_SLOTS];
} RefTd;

enum { REF_A, REF_B, REF_T, REF_TDS };  /* INITIALIZED, RUNNABLE, never initialised */

typedef struct Ref {
    RefPage page[REF_PAGES];
    RefRegion region[REF_REGIONS];
    uint8_t bits[REF_PAGES / 8];
    RefTd td[REF_TDS];
    uint64_t pairs, peak, adds, removes, own, unbacked, backed;
    uint64_t held;                      /* TDR that the present call has locked, or 0 */
    uint64_t busy;                      /* another page that it has, exclusively, or 0 */
    uint64_t failures;                  /* PAMT.ADD and REMOVE, missing pairs */
} Ref;

/* What a call must leave in the registers: value, where the mask has a 1. */
typedef struct RefAnswer {
    uint64_t value[16], mask[16];
} RefAnswer;

/* The call with registers @gpr (RAX: leaf and version); it happens. */
RefAnswer ref_call(Ref *f, const uint64_t gpr[16]);
/* TDG.MEM.PAGE.ACCEPT; true: the page is MAPPED now. */
bool ref_accept(RefTd *td, uint64_t gpa, unsigned level);

/* Page number @pa of the arrays, or -1. */
int ref_index(uint64_t pa);
bool ref_bit(const Ref *f, uint64_t pa);
/* These for addresses that the arrays have. */
static inline const RefRegion *ref_region_at(const Ref *f, uint64_t pa)
{
    return &f->region[ref_index(pa) / 512];
}

static inline const RefPage *ref_page_at(const Ref *f, uint64_t pa)
{
    return &f->page[ref_index(pa)];
}

#endif
