/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.MEM.PAGE.RELOCATE: another page under the same GPA, with the same content.
 */
#include "mem.h"
#include "mem_leaves.h"

#define LEAF_STATES     (MEM_STATE(SEPT_MAPPED) | MEM_STATE(SEPT_BLOCKED) | \
                         MEM_STATE(SEPT_PENDING) | MEM_STATE(SEPT_PENDING_BLOCKED))

static bool is_pending(enum sept_state state)
{
    return state == SEPT_PENDING || state == SEPT_PENDING_BLOCKED;
}

static bool copy_page(TdxMod *m, uint64_t to_pa, uint64_t from_pa)
{
    void *to = tdx_map_page(m, to_pa), *from = tdx_map_page(m, from_pa);

    if (!to || !from) {
        return false;
    }
    memcpy(to, from, TDX_PAGE_SIZE);
    tdx_written(m, to_pa, TDX_PAGE_SIZE);
    return true;
}

static uint64_t page_relocate(TdxCall *c, MemOp *op)
{
    PamtPage old = { 0 }, new = { 0 };
    uint64_t new_pa = c->gpr[TDX_R8], old_pa = 0;
    uint64_t status = mem_entry(c, op, LEAF_STATES);
    bool pending = is_pending(op->w.state);

    if (!status) {
        old_pa = sept_entry_pa(c->m, op->w.value);
        status = new_pa == old_pa ? tdx_operand(TDX_OPERAND_INVALID, TDX_R8) :
                 mem_lock_page(c, op, &old);
    }
    if (!status) {
        status = mem_check_tracked(c, op, pamt_bepoch(&old));
    }
    if (!status) {
        status = pamt_lock(c, &new, TDX_R8, new_pa, PT_NDA, LOCK_EXCLUSIVE);
    }
    if (!status && !pending && !copy_page(c->m, new_pa, old_pa)) {
        status = tdx_operand(TDX_OPERAND_ADDR_RANGE_ERROR, TDX_R8);
    }
    if (!status) {
        pamt_unlock_as(c, &new, PT_REG, op->td.pa);
        sept_unlock_as(c->m, &op->w, sept_make(pending ? SEPT_PENDING : SEPT_MAPPED,
                                                  TDX_4K, new_pa));
        mem_give_back(c, &old);
    }
    pamt_unlock(c->m, &new);
    pamt_unlock(c->m, &old);
    return status;
}

/*
 * TDH.MEM.PAGE.RELOCATE: RCX GPA, RDX TDR, R8 the new page.  RCX := the old page.
 * The new mapping is not blocked; a page that is not accepted has no content.
 */
uint64_t tdh_mem_page_relocate(TdxCall *c)
{
    MemOp op;
    uint64_t status = mem_begin(c, &op, c->gpr[TDX_RDX], LOCK_SHARED, TDX_4K, TDX_4K,
                                LOCK_SHARED);

    return mem_end(c, &op, status ? status : page_relocate(c, &op));
}
