/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.VP.ENTER: the checks, and what a running vCPU holds until its TD exit:
 * TDR and TDVPR shared, OP_STATE shared, and its count in the epoch REFCOUNT.
 */
#include "td.h"
#include "guest.h"
#include "vp.h"

#define ENTER_RECOVERABILITY_HINT       (1ull << 52)
#define ENTER_RESUME_L1                 (1ull << 53)

static uint64_t check_vcpu(TdxCall *c, Td *td, Vcpu *v)
{
    uint64_t status = vcpu_check_pages(c, v);

    if (status) {
        return status;
    }
    if (v->vp->state != VCPU_READY) {
        return tdx_operand(TDX_VCPU_STATE_INCORRECT, v->vp->state);
    }
    status = vcpu_associate(c, td, v);
    if (status) {
        return status;
    }
    if (c->m->platform.tsc(c->m->platform.opaque) < v->vp->last_exit_tsc) {
        return TDX_TSC_ROLLBACK;
    }
    return TDX_SUCCESS;
}

/*
 * Count the vCPU in the present epoch.  True in *@flush if it may have
 * translations of an earlier one.  BUSY|TD_EPOCH against TDH.MEM.TRACK.
 */
static uint64_t join_epoch(Td *td, Vcpu *v, bool *flush)
{
    struct tdcs *t = td->tdcs;
    uint64_t epoch;

    if (!tdx_trylock(&t->epoch_lock, LOCK_SHARED)) {
        return tdx_operand(TDX_OPERAND_BUSY, TDX_OPERAND_ID_TD_EPOCH);
    }
    epoch = __atomic_load_n(&t->td_epoch, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&t->refcount[epoch & 1], 1, __ATOMIC_SEQ_CST);
    tdx_unlock(&t->epoch_lock, LOCK_SHARED);
    *flush = v->vp->vcpu_epoch != epoch;
    v->vp->vcpu_epoch = epoch;
    return TDX_SUCCESS;
}

/* From here on the LP is inside the TD; the locks stay with the run record. */
static void enter(TdxCall *c, Td *td, Vcpu *v, bool flush)
{
    TdxRun *run = &c->m->lp[c->lp].run;
    TdxEnter *e = c->enter;

    v->vp->state = VCPU_ACTIVE;
    run->tdr_pa = td->pa;
    run->tdvpr_pa = v->pa;
    run->epoch = v->vp->vcpu_epoch;
    __atomic_store_n(&run->active, true, __ATOMIC_RELEASE);
    memset(e, 0, sizeof(*e));
    guest_prepare_entry(c, td, v);
    memcpy(e->tdvps, v->tdvps, sizeof(e->tdvps));
    e->shared_mask = td_shared_mask(td);
    e->hkid = td->tdr->hkid;
    e->flush = flush;
    e->first = true;
    vcpu_written(c->m, v);
    td_written(c->m, td);
    pamt_keep_leaf(&td->page);
    pamt_keep_leaf(&v->page);
    c->action = TDX_ENTER_TD;
}

/* TDH.VP.ENTER: RCX TDVPR and hints; the other registers belong to the guest. */
uint64_t tdh_vp_enter(TdxCall *c)
{
    const uint64_t hints = ENTER_RECOVERABILITY_HINT | ENTER_RESUME_L1;
    uint64_t status, tdvpr = c->gpr[TDX_RCX] & ~hints;
    bool flush = false;
    Td td = { 0 };
    Vcpu v;

    if (c->m->lp[c->lp].run.active || !c->enter) {
        /* The processor calls from outside of TDs only. */
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RAX);
    }
    status = vcpu_lock(c, &v, TDX_RCX, tdvpr, LOCK_SHARED);
    if (!status) {
        status = td_lock_owner(c, &td, &v.page, LOCK_SHARED);
    }
    if (!status) {
        status = td_check_state(c, &td);
    }
    if (!status) {
        status = check_vcpu(c, &td, &v);
    }
    if (!status) {
        status = join_epoch(&td, &v, &flush);
    }
    if (!status) {
        enter(c, &td, &v, flush);
        return TDX_SUCCESS;
    }
    td_unlock(c, &td);
    vcpu_unlock(c, &v);
    return status;
}

/* One less; a count that was scribbled on stays at 0. */
static void uncount(uint32_t *count)
{
    uint32_t old = __atomic_load_n(count, __ATOMIC_SEQ_CST);

    while (old && !__atomic_compare_exchange_n(count, &old, old - 1, true,
                                               __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
}

static void unlock_held(TdxMod *m, uint64_t pa)
{
    PamtPage page;

    if (pamt_held(m, &page, pa, LOCK_SHARED)) {
        pamt_unlock(m, &page);
    }
}

void vp_run_end(TdxMod *m, unsigned lp)
{
    TdxRun *run = &m->lp[lp].run;
    TdxCall c = { .m = m, .lp = lp };
    Td td;
    Vcpu v;

    if (!run->active) {
        return;
    }
    if (td_reopen(&c, &td, &v)) {
        if (v.vp->state == VCPU_ACTIVE) {
            v.vp->state = VCPU_READY;
        }
        v.vp->last_exit_tsc = m->platform.tsc(m->platform.opaque);
        uncount(&td.tdcs->refcount[run->epoch & 1]);
        tdx_unlock(&td.tdcs->op_state_lock, LOCK_SHARED);
        vcpu_written(m, &v);
        td_written(m, &td);
    } else {
        tdx_log(m, "LP %u: the pages of the TD that it ran were overwritten", lp);
    }
    unlock_held(m, run->tdvpr_pa);
    unlock_held(m, run->tdr_pa);
    __atomic_store_n(&run->active, false, __ATOMIC_RELEASE);
}
