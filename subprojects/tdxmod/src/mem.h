/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the TDH.MEM.* leaves share: the page-info operand, the locked S-EPT
 * entry of a call, and TLB tracking.
 */
#ifndef TDXMOD_MEM_H
#define TDXMOD_MEM_H

#include "sept_entry.h"

typedef struct MemOp {
    Td td;
    SeptWalk w;                 /* the entry at gpa and level */
    uint64_t gpa;
    unsigned level;
} MemOp;

#define MEM_ROOT_LEVEL          TDX_256T        /* max: as far as the S-EPT goes */
/* A set of S-EPT states; those of tables (bit 7) have the upper half. */
#define MEM_STATE(s)            (1ull << (((s) & 31) | ((s) & 0x80) >> 2))

/*
 * Start of every leaf with a GPA: RCX page info, @tdr in RDX.  Clears RCX and
 * RDX, then TDR, STATE, the page info (OPERAND_INVALID|RCX) and the S-EPT tree
 * lock, in this order.  mem_end() is due whatever it returns.
 */
uint64_t mem_begin(TdxCall *c, MemOp *op, uint64_t tdr, LockMode td_mode,
                   unsigned min_level, unsigned max_level, LockMode sept_mode);
/*
 * Walk to the entry and lock it: EPT_WALK_FAILED|RCX, OPERAND_BUSY|RCX, and
 * EPT_ENTRY_STATE_INCORRECT|RCX if its state is not in @states (MEM_STATE bits).
 * Errors fill RCX and RDX.
 */
uint64_t mem_entry(TdxCall *c, MemOp *op, uint64_t states);
/* @status with operand RCX, and the entry in RCX and RDX. */
uint64_t mem_error(TdxCall *c, const MemOp *op, uint64_t status);
/* Unlock the entry, if it still is locked, and the TD; returns @status. */
uint64_t mem_end(TdxCall *c, MemOp *op, uint64_t status);

/* No vCPU can hold a translation of the page that was blocked at @bepoch. */
bool mem_tracked(const Td *td, uint64_t bepoch);
/*
 * TLBTRK: once vCPUs run, the entry must be blocked and tracked before its page
 * goes.  GPA_RANGE_NOT_BLOCKED|RCX, TLB_TRACKING_NOT_DONE|RCX.
 */
uint64_t mem_check_tracked(TdxCall *c, const MemOp *op, uint64_t bepoch);
/*
 * Lock the PAMT entry of the page (or S-EPT page) that the entry refers to:
 * OPERAND_BUSY|RCX, PAGE_METADATA_INCORRECT|RCX.
 */
uint64_t mem_lock_page(TdxCall *c, const MemOp *op, PamtPage *page);
/*
 * Give @page back to the host: its PAMT entry is unlocked as PT_NDA, and RCX is
 * its HPA with the Dynamic PAMT removal hint in bit 62.
 */
void mem_give_back(TdxCall *c, PamtPage *page);
/* R9 to R11 of a version 1 leaf that frees a table: there are no L2 pages. */
void mem_no_l2_pages(TdxCall *c);

#endif
