/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.MR.*: what the host adds to MRTD, and its end.
 */
#include "guest.h"
#include "sept_entry.h"

#define MR_CHUNK        256

static uint64_t extend(TdxCall *c, Td *td, uint64_t gpa)
{
    SeptWalk w;
    uint8_t *data;
    uint64_t status;

    if ((gpa & (MR_CHUNK - 1)) || !sept_gpa_private(td, gpa)) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RCX);
    }
    status = td_lock_sept(td, LOCK_SHARED);
    if (status) {
        return status;
    }
    if (!sept_walk_leaf(c->m, td, gpa, &w) || w.state != SEPT_MAPPED) {
        sept_error_info(c, &w);
        return tdx_operand(TDX_EPT_ENTRY_NOT_PRESENT, TDX_RCX);
    }
    data = tdx_map(c->m, (sept_entry_pa(c->m, w.value) &
                          ~(TDX_LEVEL_SIZE(w.level) - 1)) |
                         (gpa & (TDX_LEVEL_SIZE(w.level) - 1)), MR_CHUNK);
    if (!data) {
        sept_error_info(c, &w);
        return tdx_operand(TDX_EPT_ENTRY_NOT_PRESENT, TDX_RCX);
    }
    mr_extend(td->tdcs, gpa, data);
    td_written(c->m, td);
    return TDX_SUCCESS;
}

/* TDH.MR.EXTEND: RCX GPA of 256 bytes, RDX TDR. */
static uint64_t tdh_mr_extend(TdxCall *c)
{
    uint64_t gpa = c->gpr[TDX_RCX], tdr = c->gpr[TDX_RDX];
    uint64_t status;
    Td td;

    c->gpr[TDX_RCX] = 0;
    c->gpr[TDX_RDX] = 0;
    status = td_lock(c, &td, TDX_RDX, tdr, LOCK_EXCLUSIVE);
    if (!status) {
        status = td_check_state(c, &td);
    }
    if (!status) {
        status = extend(c, &td, gpa);
    }
    td_unlock(c, &td);
    return status;
}

/* TDH.MR.FINALIZE: RCX TDR, which can run from now on. */
static uint64_t tdh_mr_finalize(TdxCall *c)
{
    Td td;
    uint64_t status = td_lock(c, &td, TDX_RCX, c->gpr[TDX_RCX], LOCK_EXCLUSIVE);

    if (!status) {
        status = td_check_state(c, &td);
    }
    if (!status && !td.tdcs->num_vcpus) {
        status = TDX_NO_VCPUS;
    } else if (!status) {
        mr_finalize(td.tdcs);
        td.tdcs->op_state = OP_STATE_RUNNABLE;
        td_written(c->m, &td);
    }
    td_unlock(c, &td);
    return status;
}

const Leaf tdx_leaves_mr[] = {
    { TDH_MR_EXTEND, 0, 0, "TDH.MR.EXTEND", tdh_mr_extend, 0 },
    { TDH_MR_FINALIZE, 0, 0, "TDH.MR.FINALIZE", tdh_mr_finalize, 0 },
    { 0 },
};
