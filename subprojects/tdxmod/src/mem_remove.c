/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking private memory away: BLOCK, TRACK, REMOVE, and TDH.MEM.SEPT.RD.
 *
 * An entry is blocked first, at the TD's present epoch; TDH.MEM.TRACK starts a
 * new epoch, whose vCPUs enter with nothing cached; once those of the old one
 * have left, nobody can hold the old translation and the page may go.
 */
#include "mem.h"
#include "mem_leaves.h"

#define LEAF_STATES     (MEM_STATE(SEPT_MAPPED) | MEM_STATE(SEPT_BLOCKED) | \
                         MEM_STATE(SEPT_PENDING) | MEM_STATE(SEPT_PENDING_BLOCKED))
#define TABLE_STATES    (MEM_STATE(SEPT_NL_MAPPED) | MEM_STATE(SEPT_NL_BLOCKED))
#define BLOCKED_STATES  (MEM_STATE(SEPT_BLOCKED) | MEM_STATE(SEPT_PENDING_BLOCKED) | \
                         MEM_STATE(SEPT_NL_BLOCKED))
#define OPEN_STATES     (MEM_STATE(SEPT_MAPPED) | MEM_STATE(SEPT_PENDING) | \
                         MEM_STATE(SEPT_NL_MAPPED))

static bool is_table(enum sept_state state)
{
    return TABLE_STATES & MEM_STATE(state);
}

/* State after BLOCK, and after UNBLOCK. */
static enum sept_state blocked(enum sept_state state)
{
    return state == SEPT_NL_MAPPED ? SEPT_NL_BLOCKED :
           state == SEPT_PENDING ? SEPT_PENDING_BLOCKED : SEPT_BLOCKED;
}

static enum sept_state unblocked(enum sept_state state)
{
    return state == SEPT_NL_BLOCKED ? SEPT_NL_MAPPED :
           state == SEPT_PENDING_BLOCKED ? SEPT_PENDING : SEPT_MAPPED;
}

static uint64_t range_block(TdxCall *c, MemOp *op)
{
    uint64_t hpa, status = mem_entry(c, op, OPEN_STATES | BLOCKED_STATES);
    unsigned page_level;
    uint64_t bepoch;

    if (status) {
        return status;
    }
    if (BLOCKED_STATES & MEM_STATE(op->w.state)) {
        return mem_error(c, op, TDX_GPA_RANGE_ALREADY_BLOCKED);
    }
    hpa = sept_entry_pa(c->m, op->w.value);
    page_level = is_table(op->w.state) ? TDX_4K : op->level;
    if (!pamt_bepoch_get(c->m, hpa, page_level, &bepoch)) {
        return mem_error(c, op, TDX_PAGE_METADATA_INCORRECT);
    }
    /*
     * First the entry, then the epoch: a vCPU that enters between the two with
     * a later epoch must find the entry blocked.  The tree is held exclusively,
     * so no leaf sees the entry without its BEPOCH.
     */
    sept_unlock_as(c->m, &op->w, sept_make(blocked(op->w.state), op->level, hpa));
    pamt_bepoch_set(c->m, hpa, page_level,
                    __atomic_load_n(&op->td.tdcs->td_epoch, __ATOMIC_SEQ_CST));
    return TDX_SUCCESS;
}

/* TDH.MEM.RANGE.BLOCK: RCX GPA | level, RDX TDR. */
uint64_t tdh_mem_range_block(TdxCall *c)
{
    MemOp op;
    uint64_t status = mem_begin(c, &op, c->gpr[TDX_RDX], LOCK_SHARED, TDX_4K,
                                MEM_ROOT_LEVEL, LOCK_EXCLUSIVE);

    return mem_end(c, &op, status ? status : range_block(c, &op));
}

static uint64_t range_unblock(TdxCall *c, MemOp *op)
{
    uint64_t hpa, bepoch, status = mem_entry(c, op, BLOCKED_STATES);

    if (status) {
        return status;
    }
    hpa = sept_entry_pa(c->m, op->w.value);
    if (!pamt_bepoch_get(c->m, hpa, is_table(op->w.state) ? TDX_4K : op->level,
                         &bepoch)) {
        return mem_error(c, op, TDX_PAGE_METADATA_INCORRECT);
    }
    if (op->td.tdcs->op_state == OP_STATE_RUNNABLE && !mem_tracked(&op->td, bepoch)) {
        return tdx_operand(TDX_TLB_TRACKING_NOT_DONE, TDX_OPERAND_ID_SEPT_TREE);
    }
    sept_unlock_as(c->m, &op->w, sept_make(unblocked(op->w.state), op->level, hpa));
    return TDX_SUCCESS;
}

/* TDH.MEM.RANGE.UNBLOCK: RCX GPA | level, RDX TDR. */
uint64_t tdh_mem_range_unblock(TdxCall *c)
{
    MemOp op;
    uint64_t status = mem_begin(c, &op, c->gpr[TDX_RDX], LOCK_SHARED, TDX_4K,
                                MEM_ROOT_LEVEL, LOCK_EXCLUSIVE);

    return mem_end(c, &op, status ? status : range_unblock(c, &op));
}

/*
 * TDH.MEM.TRACK: RCX TDR.  PREVIOUS_TLB_EPOCH_BUSY while a vCPU of the epoch
 * before the present one is still inside.
 */
uint64_t tdh_mem_track(TdxCall *c)
{
    Td td;
    uint64_t epoch, status = td_lock(c, &td, TDX_RCX, c->gpr[TDX_RCX], LOCK_SHARED);

    if (!status) {
        status = td_check_state(c, &td);
    }
    if (!status && !tdx_trylock(&td.tdcs->epoch_lock, LOCK_EXCLUSIVE)) {
        status = tdx_operand(TDX_OPERAND_BUSY, TDX_OPERAND_ID_TD_EPOCH);
    } else if (!status) {
        epoch = td.tdcs->td_epoch;
        if (__atomic_load_n(&td.tdcs->refcount[(epoch - 1) & 1], __ATOMIC_SEQ_CST)) {
            status = TDX_PREVIOUS_TLB_EPOCH_BUSY;
        } else {
            __atomic_store_n(&td.tdcs->td_epoch, epoch + 1, __ATOMIC_SEQ_CST);
        }
        tdx_unlock(&td.tdcs->epoch_lock, LOCK_EXCLUSIVE);
        td_written(c->m, &td);
    }
    td_unlock(c, &td);
    return status;
}

void mem_give_back(TdxCall *c, PamtPage *page)
{
    uint64_t hpa = page->pa;
    bool hint = pamt_unlock_as(c, page, PT_NDA, 0);

    c->gpr[TDX_RCX] = hpa | (hint ? PAMT_REMOVAL_HINT : 0);
}

void mem_no_l2_pages(TdxCall *c)
{
    c->gpr[TDX_R9] = UINT64_MAX;
    c->gpr[TDX_R10] = UINT64_MAX;
    c->gpr[TDX_R11] = UINT64_MAX;
}

static uint64_t free_page(TdxCall *c, MemOp *op, PamtPage *page, int64_t pages)
{
    sept_unlock_as(c->m, &op->w, SEPT_ENTRY_FREE);
    mem_give_back(c, page);
    td_add_children(c->m, &op->td, -pages);
    return TDX_SUCCESS;
}

static uint64_t page_remove(TdxCall *c, MemOp *op)
{
    PamtPage page = { 0 };
    uint64_t status = mem_entry(c, op, LEAF_STATES);

    if (!status) {
        status = mem_lock_page(c, op, &page);
    }
    if (!status) {
        status = mem_check_tracked(c, op, pamt_bepoch(&page));
    }
    if (status) {
        pamt_unlock(c->m, &page);
        return status;
    }
    return free_page(c, op, &page, 1ll << (9 * op->level));
}

/*
 * TDH.MEM.PAGE.REMOVE: RCX GPA | level, RDX TDR.  RCX := the page, with bit 62
 * if its 2 MiB region has no user left (Dynamic PAMT).
 */
uint64_t tdh_mem_page_remove(TdxCall *c)
{
    MemOp op;
    uint64_t status = mem_begin(c, &op, c->gpr[TDX_RDX], LOCK_SHARED, TDX_4K, TDX_1G,
                                LOCK_SHARED);

    return mem_end(c, &op, status ? status : page_remove(c, &op));
}

static bool table_empty(TdxMod *m, uint64_t pa)
{
    const uint64_t *table = tdx_map_page(m, pa);

    for (unsigned i = 0; table && i < 512; i++) {
        if (sept_entry_state(table[i], TDX_4K) != SEPT_FREE) {
            return false;
        }
    }
    return true;
}

static uint64_t sept_remove(TdxCall *c, MemOp *op)
{
    PamtPage page = { 0 };
    uint64_t status = mem_entry(c, op, TABLE_STATES);

    if (!status) {
        status = mem_lock_page(c, op, &page);
    }
    if (!status) {
        status = mem_check_tracked(c, op, pamt_bepoch(&page));
    }
    if (!status && !table_empty(c->m, page.pa)) {
        status = mem_error(c, op, TDX_EPT_PAGE_NOT_FREE);
    }
    if (status) {
        pamt_unlock(c->m, &page);
        return status;
    }
    return free_page(c, op, &page, 1);
}

/*
 * TDH.MEM.SEPT.REMOVE: RCX GPA | level of the parent entry, RDX TDR.  RCX := the
 * S-EPT page; version 1 also R9 to R11 := -1, as there are no L2 pages.
 */
uint64_t tdh_mem_sept_remove(TdxCall *c)
{
    MemOp op;
    uint64_t status = mem_begin(c, &op, c->gpr[TDX_RDX], LOCK_SHARED, TDX_2M,
                                MEM_ROOT_LEVEL, LOCK_EXCLUSIVE);

    status = mem_end(c, &op, status ? status : sept_remove(c, &op));
    if (!status && c->version) {
        mem_no_l2_pages(c);
    }
    return status;
}

/* TDH.MEM.SEPT.RD: RCX GPA | level, RDX TDR.  RCX, RDX := entry; R8 := 0 (no L2). */
uint64_t tdh_mem_sept_rd(TdxCall *c)
{
    MemOp op;
    uint64_t status = mem_begin(c, &op, c->gpr[TDX_RDX], LOCK_SHARED, TDX_4K,
                                MEM_ROOT_LEVEL, LOCK_SHARED);

    if (!status) {
        status = sept_walk(c, &op.td, op.gpa, op.level, &op.w);
    }
    if (!status) {
        sept_error_info(c, &op.w);
        c->gpr[TDX_R8] = 0;
    }
    return mem_end(c, &op, status);
}
