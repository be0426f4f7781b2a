/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.MEM.*: what these leaves share, adding pages and S-EPT pages, and the
 * table of their rows.
 */
#include "mem.h"
#include "guest.h"
#include "mem_leaves.h"

uint64_t mem_error(TdxCall *c, const MemOp *op, uint64_t status)
{
    sept_error_info(c, &op->w);
    return tdx_operand(status, TDX_OPERAND_ID_RCX);
}

/* RCX as page info: 2:0 level, 51:12 GPA, the rest 0; a private GPA. */
static bool parse_page_info(MemOp *op, uint64_t info, unsigned min_level,
                            unsigned max_level)
{
    op->level = info & 7;
    op->gpa = info & 0x000ffffffffff000ull;
    return (info & ~7ull) == op->gpa && op->level >= min_level &&
           op->level <= MIN(max_level, sept_root_level(&op->td)) &&
           !(op->gpa & (TDX_LEVEL_SIZE(op->level) - 1)) &&
           sept_gpa_private(&op->td, op->gpa);
}

uint64_t mem_begin(TdxCall *c, MemOp *op, uint64_t tdr, LockMode td_mode,
                   unsigned min_level, unsigned max_level, LockMode sept_mode)
{
    uint64_t status, info = c->gpr[TDX_RCX];

    memset(op, 0, sizeof(*op));
    c->gpr[TDX_RCX] = 0;
    c->gpr[TDX_RDX] = 0;
    status = td_lock(c, &op->td, TDX_RDX, tdr, td_mode);
    if (!status) {
        status = td_check_state(c, &op->td);
    }
    if (!status && !parse_page_info(op, info, min_level, max_level)) {
        status = tdx_operand(TDX_OPERAND_INVALID, TDX_OPERAND_ID_RCX);
    }
    return status ? status : td_lock_sept(&op->td, sept_mode);
}

uint64_t mem_entry(TdxCall *c, MemOp *op, uint64_t states)
{
    uint64_t status = sept_walk(c, &op->td, op->gpa, op->level, &op->w);

    if (status) {
        return status;
    }
    if (!sept_lock(c->m, &op->w)) {
        return mem_error(c, op, TDX_OPERAND_BUSY);
    }
    if (!(states & MEM_STATE(op->w.state))) {
        return mem_error(c, op, TDX_EPT_ENTRY_STATE_INCORRECT);
    }
    return TDX_SUCCESS;
}

uint64_t mem_end(TdxCall *c, MemOp *op, uint64_t status)
{
    sept_unlock(c->m, &op->w);
    td_unlock(c, &op->td);
    return status;
}

bool mem_tracked(const Td *td, uint64_t bepoch)
{
    uint64_t epoch = __atomic_load_n(&td->tdcs->td_epoch, __ATOMIC_SEQ_CST);

    if (bepoch + 1 < epoch) {
        return true;
    }
    return bepoch + 1 == epoch &&
           !__atomic_load_n(&td->tdcs->refcount[bepoch & 1], __ATOMIC_SEQ_CST);
}

uint64_t mem_check_tracked(TdxCall *c, const MemOp *op, uint64_t bepoch)
{
    if (op->td.tdcs->op_state != OP_STATE_RUNNABLE) {
        return TDX_SUCCESS;
    }
    switch (op->w.state) {
    case SEPT_MAPPED:
    case SEPT_PENDING:
    case SEPT_NL_MAPPED:
        return mem_error(c, op, TDX_GPA_RANGE_NOT_BLOCKED);
    default:
        break;
    }
    if (!mem_tracked(&op->td, bepoch)) {
        return mem_error(c, op, TDX_TLB_TRACKING_NOT_DONE);
    }
    return TDX_SUCCESS;
}

uint64_t mem_lock_page(TdxCall *c, const MemOp *op, PamtPage *page)
{
    bool table = op->w.state == SEPT_NL_MAPPED || op->w.state == SEPT_NL_BLOCKED;
    uint64_t status = pamt_lock_any(c, page, TDX_RCX, sept_entry_pa(c->m, op->w.value),
                                    LOCK_EXCLUSIVE);

    if (status) {
        return mem_error(c, op, TDX_STATUS_CODE(status));
    }
    if (pamt_type(page) != (table ? PT_EPT : PT_REG) ||
        page->level != (table ? TDX_4K : op->w.level) ||
        pamt_owner(page) != op->td.pa) {
        pamt_unlock(c->m, page);
        return mem_error(c, op, TDX_PAGE_METADATA_INCORRECT);
    }
    return TDX_SUCCESS;
}

/* A new S-EPT page: 512 free entries. */
static bool fill_free(TdxMod *m, uint64_t pa)
{
    uint64_t *table = tdx_map_page(m, pa);

    if (!table) {
        return false;
    }
    for (unsigned i = 0; i < 512; i++) {
        table[i] = SEPT_ENTRY_FREE;
    }
    tdx_written(m, pa, TDX_PAGE_SIZE);
    return true;
}

static uint64_t sept_add(TdxCall *c, MemOp *op, bool allow_existing, bool *consumed)
{
    uint64_t states = MEM_STATE(SEPT_FREE);
    PamtPage page = { 0 };
    uint64_t status;

    if (allow_existing) {
        states |= MEM_STATE(SEPT_NL_MAPPED);
    }
    status = mem_entry(c, op, states);
    if (status || op->w.state == SEPT_NL_MAPPED) {
        return status;
    }
    status = pamt_lock(c, &page, TDX_R8, c->gpr[TDX_R8], PT_NDA, LOCK_EXCLUSIVE);
    if (status) {
        return status;
    }
    if (!fill_free(c->m, page.pa)) {
        pamt_unlock(c->m, &page);
        return tdx_operand(TDX_OPERAND_ADDR_RANGE_ERROR, TDX_OPERAND_ID_R8);
    }
    pamt_unlock_as(c, &page, PT_EPT, op->td.pa);
    td_add_children(c->m, &op->td, 1);
    sept_unlock_as(c->m, &op->w, sept_make(SEPT_NL_MAPPED, op->level,
                                           c->gpr[TDX_R8]));
    *consumed = true;
    return TDX_SUCCESS;
}

/*
 * TDH.MEM.SEPT.ADD: RCX GPA | level of the parent entry, RDX TDR (version 1:
 * bit 0 accepts an existing table), R8 new page.  Version 1 returns R8 = -1 if
 * the page was used; R9 to R11, for L2 VMs, are not looked at.
 */
uint64_t tdh_mem_sept_add(TdxCall *c)
{
    uint64_t rdx = c->gpr[TDX_RDX];
    bool allow_existing = c->version && (rdx & 1);
    bool consumed = false;
    uint64_t status;
    MemOp op;

    if (rdx & 0xfff & ~(uint64_t)(c->version ? 1 : 0)) {
        c->gpr[TDX_RCX] = 0;
        c->gpr[TDX_RDX] = 0;
        return tdx_operand(TDX_OPERAND_INVALID, TDX_OPERAND_ID_RDX);
    }
    status = mem_begin(c, &op, rdx & ~1ull, LOCK_SHARED, TDX_2M, MEM_ROOT_LEVEL,
                       LOCK_SHARED);
    if (!status) {
        status = sept_add(c, &op, allow_existing, &consumed);
    }
    if (consumed && c->version) {
        c->gpr[TDX_R8] = UINT64_MAX;
    }
    return mem_end(c, &op, status);
}

static uint64_t page_add(TdxCall *c, MemOp *op)
{
    uint64_t source = c->gpr[TDX_R9];
    uint8_t *from, *to;
    PamtPage page = { 0 };
    uint64_t status = mem_entry(c, op, MEM_STATE(SEPT_FREE));

    if (status) {
        return status;
    }
    if (!tdx_shared_hpa(c->m, &source, TDX_PAGE_SIZE) ||
        !(from = tdx_map_page(c->m, source))) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_OPERAND_ID_R9);
    }
    status = pamt_lock(c, &page, TDX_R8, c->gpr[TDX_R8], PT_NDA, LOCK_EXCLUSIVE);
    if (status) {
        return status;
    }
    to = tdx_map_page(c->m, page.pa);
    if (!to) {
        pamt_unlock(c->m, &page);
        return tdx_operand(TDX_OPERAND_ADDR_RANGE_ERROR, TDX_OPERAND_ID_R8);
    }
    memmove(to, from, TDX_PAGE_SIZE);       /* the same page is allowed */
    tdx_written(c->m, page.pa, TDX_PAGE_SIZE);
    mr_page_add(op->td.tdcs, op->gpa);
    td_written(c->m, &op->td);
    pamt_unlock_as(c, &page, PT_REG, op->td.pa);
    td_add_children(c->m, &op->td, 1);
    sept_unlock_as(c->m, &op->w, sept_make(SEPT_MAPPED, TDX_4K, c->gpr[TDX_R8]));
    return TDX_SUCCESS;
}

/*
 * TDH.MEM.PAGE.ADD: RCX GPA, RDX TDR, R8 the new page, R9 shared source page.
 * The TDR is exclusive: the page is measured.
 */
uint64_t tdh_mem_page_add(TdxCall *c)
{
    MemOp op;
    uint64_t status = mem_begin(c, &op, c->gpr[TDX_RDX], LOCK_EXCLUSIVE, TDX_4K, TDX_4K,
                                LOCK_SHARED);

    return mem_end(c, &op, status ? status : page_add(c, &op));
}

static uint64_t page_aug(TdxCall *c, MemOp *op)
{
    uint64_t hpa = c->gpr[TDX_R8];
    PamtPage page = { 0 };
    uint64_t status = mem_entry(c, op, MEM_STATE(SEPT_FREE));

    if (!status) {
        status = pamt_lock_free(c, &page, TDX_R8, hpa, op->level);
    }
    if (status) {
        return status;
    }
    pamt_unlock_as(c, &page, PT_REG, op->td.pa);
    td_add_children(c->m, &op->td, 1ll << (9 * op->level));
    sept_unlock_as(c->m, &op->w, sept_make(SEPT_PENDING, op->level, hpa));
    return TDX_SUCCESS;
}

/*
 * TDH.MEM.PAGE.AUG: RCX GPA | level 0 or 1, RDX TDR, R8 the new page.  The
 * guest must accept it; it is cleared then, not here.
 */
uint64_t tdh_mem_page_aug(TdxCall *c)
{
    MemOp op;
    uint64_t status = mem_begin(c, &op, c->gpr[TDX_RDX], LOCK_SHARED, TDX_4K, TDX_2M,
                                LOCK_SHARED);

    return mem_end(c, &op, status ? status : page_aug(c, &op));
}

const Leaf tdx_leaves_mem[] = {
    { TDH_MEM_PAGE_ADD, 0, 0, "TDH.MEM.PAGE.ADD", tdh_mem_page_add, 0 },
    { TDH_MEM_SEPT_ADD, 1, 0, "TDH.MEM.SEPT.ADD", tdh_mem_sept_add, 0 },
    { TDH_MEM_PAGE_RELOCATE, 0, 0, "TDH.MEM.PAGE.RELOCATE", tdh_mem_page_relocate, 0 },
    { TDH_MEM_PAGE_AUG, 0, 0, "TDH.MEM.PAGE.AUG", tdh_mem_page_aug, 0 },
    { TDH_MEM_RANGE_BLOCK, 0, 0, "TDH.MEM.RANGE.BLOCK", tdh_mem_range_block, 0 },
    { TDH_MEM_PAGE_DEMOTE, 0, 0, "TDH.MEM.PAGE.DEMOTE", tdh_mem_page_demote, 0 },
    { TDH_MEM_PAGE_PROMOTE, 1, 0, "TDH.MEM.PAGE.PROMOTE", tdh_mem_page_promote, 0 },
    { TDH_MEM_SEPT_RD, 0, 0, "TDH.MEM.SEPT.RD", tdh_mem_sept_rd, TDX_REG(TDX_R8) },
    { TDH_MEM_PAGE_REMOVE, 0, 0, "TDH.MEM.PAGE.REMOVE", tdh_mem_page_remove, 0 },
    { TDH_MEM_SEPT_REMOVE, 1, 0, "TDH.MEM.SEPT.REMOVE", tdh_mem_sept_remove, 0 },
    { TDH_MEM_TRACK, 0, 0, "TDH.MEM.TRACK", tdh_mem_track, 0 },
    { TDH_MEM_RANGE_UNBLOCK, 0, 0, "TDH.MEM.RANGE.UNBLOCK", tdh_mem_range_unblock, 0 },
    { 0 },
};
