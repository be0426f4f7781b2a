/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.MEM.PAGE.DEMOTE and PROMOTE: one 2 MiB page to 512 pages of 4 KiB with the
 * same memory, and back.  Contents and GPAs stay; an S-EPT page comes or goes.
 */
#include "mem.h"
#include "mem_leaves.h"

#define DEMOTE_STATES   (MEM_STATE(SEPT_MAPPED) | MEM_STATE(SEPT_BLOCKED) | \
                         MEM_STATE(SEPT_PENDING) | MEM_STATE(SEPT_PENDING_BLOCKED))
#define DEMOTE_RDX_L2   1ull            /* how L2 pages come; there are none */
#define PROMOTE_STATES  (MEM_STATE(SEPT_NL_MAPPED) | MEM_STATE(SEPT_NL_BLOCKED))

/* The new table: the parts of the page at @hpa, in its state but not blocked. */
static bool fill_children(TdxMod *m, uint64_t table_pa, const MemOp *op, uint64_t hpa)
{
    uint64_t *table = tdx_map_page(m, table_pa);
    bool pending = op->w.state == SEPT_PENDING || op->w.state == SEPT_PENDING_BLOCKED;

    if (!table) {
        return false;
    }
    for (unsigned i = 0; i < 512; i++) {
        table[i] = sept_make(pending ? SEPT_PENDING : SEPT_MAPPED, op->level - 1,
                             hpa + i * TDX_LEVEL_SIZE(op->level - 1));
    }
    tdx_written(m, table_pa, TDX_PAGE_SIZE);
    return true;
}

/* R12 and R13, the page pair that 4K pages need with Dynamic PAMT. */
static const unsigned pair_regs[2] = { TDX_R12, TDX_R13 };

static bool needs_pair(const TdxCall *c, const MemOp *op)
{
    return c->m->dynamic_pamt && op->level == TDX_2M;
}

/* The pair in R12 and R13, reserved. */
static uint64_t take_pair(TdxCall *c, uint64_t pair[2])
{
    uint64_t status = TDX_SUCCESS;

    for (int i = 0; i < 2 && !status; i++) {
        pair[i] = c->gpr[pair_regs[i]];
        status = pair_page_valid(c->m, pair[i], pair_regs[i]);
    }
    for (int i = 0; i < 2 && !status; i++) {
        status = pair_page_in_tdmr(c->m, pair[i], pair_regs[i]);
    }
    return status ? status : pair_reserve(c, pair, pair_regs, PAIR_NO_REGION);
}

/* The 2M page @page and its S-EPT entry become 512 4K ones. */
static uint64_t split(TdxCall *c, MemOp *op, PamtPage *page)
{
    uint64_t pair[2], status;

    if (needs_pair(c, op)) {
        status = take_pair(c, pair);
        if (status) {
            return status;
        }
    }
    status = fill_children(c->m, c->gpr[TDX_R8], op, page->pa)
             ? pamt_split(c, page, pair) : TDX_PAGE_METADATA_INCORRECT;
    if (status && needs_pair(c, op)) {
        pair_release(c, pair);
    }
    return status ? mem_error(c, op, status) : TDX_SUCCESS;
}

/* @page is the page of the entry, locked. */
static uint64_t demote(TdxCall *c, MemOp *op, PamtPage *page)
{
    uint64_t table_pa = c->gpr[TDX_R8], status;
    PamtPage table;

    status = mem_check_tracked(c, op, pamt_bepoch(page));
    if (!status) {
        status = pamt_lock(c, &table, TDX_R8, table_pa, PT_NDA, LOCK_EXCLUSIVE);
    }
    if (status) {
        return status;
    }
    status = split(c, op, page);
    if (status) {
        pamt_unlock(c->m, &table);
        return status;
    }
    pamt_unlock_as(c, &table, PT_EPT, op->td.pa);
    td_add_children(c->m, &op->td, 1);
    sept_unlock_as(c->m, &op->w, sept_make(SEPT_NL_MAPPED, op->level, table_pa));
    return TDX_SUCCESS;
}

static uint64_t page_demote(TdxCall *c, MemOp *op)
{
    PamtPage page = { 0 };
    uint64_t status = mem_entry(c, op, DEMOTE_STATES);

    if (!status) {
        status = mem_lock_page(c, op, &page);
    }
    if (!status) {
        status = demote(c, op, &page);
    }
    pamt_unlock(c->m, &page);
    return status;
}

/*
 * TDH.MEM.PAGE.DEMOTE: RCX GPA | level, RDX TDR, R8 the new S-EPT page; R12 and R13
 * the page pair of the 2 MiB with Dynamic PAMT.  It is never interrupted
 * (INTERRUPTED_RESTARTABLE).
 */
uint64_t tdh_mem_page_demote(TdxCall *c)
{
    uint64_t tdr = c->gpr[TDX_RDX] & ~DEMOTE_RDX_L2, status;
    MemOp op;

    status = mem_begin(c, &op, tdr, LOCK_SHARED, TDX_2M, TDX_1G, LOCK_SHARED);
    return mem_end(c, &op, status ? status : page_demote(c, &op));
}

/* The large page that the table at @pa maps bit by bit; false: it does not. */
static bool promotable(TdxMod *m, uint64_t pa, const MemOp *op, uint64_t *hpa)
{
    const uint64_t *table = tdx_map_page(m, pa);
    unsigned level = op->level - 1;

    if (!table || level != TDX_4K) {
        return false;
    }
    *hpa = sept_entry_pa(m, table[0]);
    for (unsigned i = 0; i < 512; i++) {
        if (table[i] != sept_make(SEPT_MAPPED, level, *hpa + i * TDX_LEVEL_SIZE(level))) {
            return false;
        }
    }
    return !(*hpa & (TDX_LEVEL_SIZE(op->level) - 1));
}

/* @table is the S-EPT page of the entry, locked; on success it is free. */
static uint64_t promote(TdxCall *c, MemOp *op, PamtPage *table)
{
    uint64_t hpa, status, pair[2];

    status = mem_check_tracked(c, op, pamt_bepoch(table));
    if (status) {
        return status;
    }
    if (!promotable(c->m, table->pa, op, &hpa)) {
        return mem_error(c, op, TDX_EPT_INVALID_PROMOTE_CONDITIONS);
    }
    status = pamt_merge(c, TDX_RCX, hpa, op->td.pa, pair);
    if (status) {
        return mem_error(c, op, TDX_STATUS_CODE(status));
    }
    if (needs_pair(c, op)) {
        c->gpr[pair_regs[0]] = pair[0];
        c->gpr[pair_regs[1]] = pair[1];
    }
    sept_unlock_as(c->m, &op->w, sept_make(SEPT_MAPPED, op->level, hpa));
    mem_give_back(c, table);
    td_add_children(c->m, &op->td, -1);
    return TDX_SUCCESS;
}

static uint64_t page_promote(TdxCall *c, MemOp *op)
{
    PamtPage table = { 0 };
    uint64_t status = mem_entry(c, op, PROMOTE_STATES);

    if (!status) {
        status = mem_lock_page(c, op, &table);
    }
    if (!status) {
        status = promote(c, op, &table);
    }
    pamt_unlock(c->m, &table);
    return status;
}

/*
 * TDH.MEM.PAGE.PROMOTE: RCX GPA | level of the page to be, RDX TDR.  RCX := the
 * S-EPT page; version 1 also R9 to R11 := -1, as there are no L2 pages; R12 and R13 :=
 * the page pair with Dynamic PAMT.
 *
 * The tree is held exclusively: nobody may be on the way to an entry of a table
 * that goes away.
 */
uint64_t tdh_mem_page_promote(TdxCall *c)
{
    MemOp op;
    uint64_t status = mem_begin(c, &op, c->gpr[TDX_RDX], LOCK_SHARED, TDX_2M, TDX_1G,
                                LOCK_EXCLUSIVE);

    status = mem_end(c, &op, status ? status : page_promote(c, &op));
    if (!status && c->version) {
        mem_no_l2_pages(c);
    }
    return status;
}
