/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDG.MEM.*, and the guest's buffers.  Where the host holds a lock, or has not
 * mapped the memory, the TDCALL is not done and runs again later.
 */
#include "tdg.h"

#define ACCESS_READ             1u
#define ACCESS_WRITE            2u

typedef struct PageOp {
    uint64_t gpa;
    unsigned level;
} PageOp;

/* RCX: GPA of a private page | level. */
static bool page_operand(TdxCall *c, unsigned max_level, PageOp *op)
{
    uint64_t rcx = c->gpr[TDX_RCX];

    op->level = rcx & 7;
    op->gpa = rcx & ~7ull;
    return op->level <= max_level && !(op->gpa & (TDX_LEVEL_SIZE(op->level) - 1)) &&
           sept_gpa_private(c->td, op->gpa);
}

static bool lock_sept(TdxCall *c)
{
    if (td_lock_sept(c->td, LOCK_SHARED)) {
        c->exit->restart = true;
        return false;
    }
    return true;
}

/* An entry that holds a translation or a page to come. */
static bool is_leaf(const SeptWalk *w)
{
    return w->state == SEPT_MAPPED || w->state == SEPT_PENDING ||
           w->state == SEPT_BLOCKED || w->state == SEPT_PENDING_BLOCKED;
}

/* TD exit: the host must put a page of the requested size there. */
static uint64_t accept_exit(TdxCall *c, const PageOp *op, const SeptWalk *w)
{
    GuestExit *x = c->exit;
    bool mapped = w->state == SEPT_MAPPED || w->state == SEPT_NL_MAPPED;
    uint64_t info = op->level | w->level << 3 | (uint64_t)w->state << 6 |
                    (uint64_t)is_leaf(w) << 14;

    x->restart = true;
    x->reason = VMX_EXIT_EPT_VIOLATION;
    exit_to_host(x, TDX_SUCCESS);
    x->rcx = ACCESS_WRITE | (mapped ? 7 << 3 : 0);
    x->rdx = EXT_ACCEPT | info << 32;
    x->r8 = op->gpa;
    return TDX_SUCCESS;
}

static uint64_t accept_page(TdxCall *c, const PageOp *op, SeptWalk *w)
{
    if (w->level == op->level && w->state == SEPT_PENDING) {
        c->exit->restart = w->locked || !sept_accept(c->m, c->td, w);
        return TDX_SUCCESS;
    }
    if (w->state == SEPT_MAPPED) {
        return tdx_operand(TDX_PAGE_ALREADY_ACCEPTED, w->level);
    }
    if (w->level == op->level && w->state == SEPT_NL_MAPPED) {
        return tdx_operand(TDX_PAGE_SIZE_MISMATCH, w->level);
    }
    return accept_exit(c, op, w);
}

/* RCX: GPA | level 0 or 1. */
uint64_t tdg_mem_page_accept(TdxCall *c)
{
    uint64_t rcx = c->gpr[TDX_RCX], rdx = c->gpr[TDX_RDX];
    SeptWalk w = { 0 };
    PageOp op;

    if (!page_operand(c, TDX_2M, &op)) {
        return tdg_invalid(TDX_RCX);
    }
    if (!lock_sept(c)) {
        return TDX_OPERAND_BUSY;
    }
    /* Its error is for the host; what counts here is where it ended. */
    sept_walk(c, c->td, op.gpa, op.level, &w);
    c->gpr[TDX_RCX] = rcx;
    c->gpr[TDX_RDX] = rdx;
    return accept_page(c, &op, &w);
}

void *tdg_map(TdxCall *c, uint64_t gpa, size_t len, bool write, uint64_t *hpa)
{
    void *p = NULL;
    SeptWalk w = { 0 };

    if (!c->td->sept_locked && !lock_sept(c)) {
        return NULL;
    }
    if (sept_translate(c->m, c->td, gpa, hpa, &w)) {
        p = tdx_map(c->m, *hpa, len);
        if (!p) {
            tdx_log(c->m, "private GPA 0x%" G_GINT64_MODIFIER "x is not mapped to RAM",
                    gpa);
            c->exit->restart = true;
            exit_fatal(c->exit, TDX_NON_RECOVERABLE_TD);
        }
        return p;
    }
    exit_private_fault(c->exit, gpa, write ? ACCESS_WRITE : ACCESS_READ, &w);
    return NULL;
}

/*
 * Attributes are those of L2 VMs, and no TD has one: RCX GPA | level found, RDX
 * 0.  The page must be there.
 */
uint64_t tdg_mem_page_attr_rd(TdxCall *c)
{
    SeptWalk w = { 0 };
    PageOp op;

    if (!page_operand(c, TDX_1G, &op)) {
        return tdg_invalid(TDX_RCX);
    }
    if (!lock_sept(c)) {
        return TDX_OPERAND_BUSY;
    }
    if (!sept_walk_leaf(c->m, c->td, op.gpa, &w) || w.state != SEPT_MAPPED) {
        exit_private_fault(c->exit, op.gpa, ACCESS_READ, &w);
        return TDX_SUCCESS;
    }
    c->gpr[TDX_RCX] = (op.gpa & ~(TDX_LEVEL_SIZE(w.level) - 1)) | w.level;
    c->gpr[TDX_RDX] = 0;
    return TDX_SUCCESS;
}

/* RCX GPA | level, RDX attributes, R8 flags: only "no L2 VM may access" is possible. */
uint64_t tdg_mem_page_attr_wr(TdxCall *c)
{
    SeptWalk w = { 0 };
    PageOp op;

    if (!page_operand(c, TDX_2M, &op)) {
        return tdg_invalid(TDX_RCX);
    }
    if (c->gpr[TDX_RDX]) {
        return tdg_invalid(TDX_RDX);
    }
    if (c->gpr[TDX_R8]) {
        return tdg_invalid(TDX_R8);
    }
    if (!lock_sept(c)) {
        return TDX_OPERAND_BUSY;
    }
    if (!sept_walk_leaf(c->m, c->td, op.gpa, &w) || w.state != SEPT_MAPPED) {
        exit_private_fault(c->exit, op.gpa, ACCESS_WRITE, &w);
        return TDX_SUCCESS;
    }
    if (w.level != op.level) {
        return tdx_operand(TDX_PAGE_SIZE_MISMATCH, w.level);
    }
    return TDX_SUCCESS;
}
