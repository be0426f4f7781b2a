/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.VP.*: making a vCPU, its metadata, and its release from an LP.
 */
#include "td.h"
#include "guest.h"
#include "metadata.h"
#include "vp.h"

#define X2APIC_IDS_PER_PAGE     (TDX_PAGE_SIZE / sizeof(uint32_t))
_Static_assert(TDX_MAX_VCPUS_PER_TD <= 2 * X2APIC_IDS_PER_PAGE, "x2APIC ids fit");

static void release(TdxCall *c, Td *td, Vcpu *v)
{
    td_unlock(c, td);
    vcpu_unlock(c, v);
}

/* TDVPR operand in @reg, its TD, and the TD's state. */
static uint64_t begin(TdxCall *c, Td *td, Vcpu *v, unsigned reg, LockMode mode,
                      LockMode td_mode)
{
    uint64_t status;

    memset(td, 0, sizeof(*td));
    status = vcpu_lock(c, v, reg, c->gpr[reg], mode);
    if (!status) {
        status = td_lock_owner(c, td, &v->page, td_mode);
    }
    return status ? status : td_check_state(c, td);
}

/* TDH.VP.CREATE: RCX page of the TDVPR, RDX TDR. */
static uint64_t tdh_vp_create(TdxCall *c)
{
    Td td;
    PamtPage page = { 0 };
    struct tdvpr *vp;
    uint64_t status = td_lock(c, &td, TDX_RDX, c->gpr[TDX_RDX], LOCK_SHARED);

    if (!status) {
        status = td_check_state(c, &td);
    }
    if (!status) {
        status = pamt_lock(c, &page, TDX_RCX, c->gpr[TDX_RCX], PT_NDA,
                           LOCK_EXCLUSIVE);
    }
    if (!status && !tdx_zero_page(c->m, page.pa)) {
        status = tdx_operand(TDX_OPERAND_ADDR_RANGE_ERROR, TDX_RCX);
    }
    if (!status) {
        vp = tdx_map_page(c->m, page.pa);
        vp->state = VCPU_UNINITIALIZED;
        vp->assoc_lpid = TDX_NO_LP;
        vp->x2apic_id = UINT32_MAX;
        tdx_written(c->m, page.pa, sizeof(*vp));
        pamt_unlock_as(c, &page, PT_TDVPR, td.pa);
        td_add_children(c->m, &td, 1);
    }
    pamt_unlock(c->m, &page);
    td_unlock(c, &td);
    return status;
}

static uint64_t add_tdvps_page(TdxCall *c, Td *td, Vcpu *v)
{
    uint64_t status, pa = c->gpr[TDX_RCX];
    PamtPage page;

    if (v->vp->state != VCPU_UNINITIALIZED) {
        return tdx_operand(TDX_VCPU_STATE_INCORRECT, v->vp->state);
    }
    if (v->vp->num_tdcx >= TDVPS_TDCX_PAGES) {
        return TDX_TDCX_NUM_INCORRECT;
    }
    status = pamt_lock(c, &page, TDX_RCX, pa, PT_NDA, LOCK_EXCLUSIVE);
    if (status) {
        return status;
    }
    if (!tdx_zero_page(c->m, pa)) {
        pamt_unlock(c->m, &page);
        return tdx_operand(TDX_OPERAND_ADDR_RANGE_ERROR, TDX_RCX);
    }
    pamt_unlock_as(c, &page, PT_TDCX, td->pa);
    v->vp->tdcx_pa[v->vp->num_tdcx++] = pa;
    vcpu_written(c->m, v);
    td_add_children(c->m, td, 1);
    return TDX_SUCCESS;
}

/* TDH.VP.ADDCX: RCX new TDVPS page, RDX TDVPR. */
static uint64_t tdh_vp_addcx(TdxCall *c)
{
    Td td;
    Vcpu v;
    uint64_t status = begin(c, &td, &v, TDX_RDX, LOCK_EXCLUSIVE, LOCK_SHARED);

    if (!status) {
        status = add_tdvps_page(c, &td, &v);
    }
    release(c, &td, &v);
    return status;
}

/* Where the x2APIC id of VCPU_INDEX @index is kept; NULL: RAM was scribbled on. */
static uint32_t *x2apic_id_slot(TdxMod *m, const Td *td, uint32_t index)
{
    uint32_t *ids;

    if (index >= TDX_MAX_VCPUS_PER_TD) {
        return NULL;
    }
    ids = td_tdcs_page(m, td, TDCS_X2APIC_IDS + index / X2APIC_IDS_PER_PAGE);
    return ids ? &ids[index % X2APIC_IDS_PER_PAGE] : NULL;
}

/* Version 1: the id must be new.  Version 0 gives none, and enumeration is off. */
static uint64_t set_x2apic_id(TdxCall *c, Td *td, uint32_t *id)
{
    if (!c->version) {
        td->tdcs->topology_enum_configured = 0;
        td->tdcs->ve_reduction_valid = 0;
        *id = UINT32_MAX;
        return TDX_SUCCESS;
    }
    if (c->gpr[TDX_R8] > UINT32_MAX) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_R8);
    }
    *id = c->gpr[TDX_R8];
    for (uint32_t i = 0; i < td->tdcs->num_vcpus; i++) {
        uint32_t *slot = x2apic_id_slot(c->m, td, i);

        if (slot && *slot == *id) {
            return tdx_operand(TDX_X2APIC_ID_NOT_UNIQUE, *id);
        }
    }
    return TDX_SUCCESS;
}

/* Under vcpu_lock: the number and id of the vCPU. */
static uint64_t number_vcpu(TdxCall *c, Td *td, Vcpu *v)
{
    uint32_t id, index = td->tdcs->num_vcpus;
    uint32_t *slot = x2apic_id_slot(c->m, td, index);
    uint64_t status;

    if (index >= td->tdcs->max_vcpus || !slot) {
        return TDX_MAX_VCPUS_EXCEEDED;
    }
    status = set_x2apic_id(c, td, &id);
    if (!status) {
        status = vcpu_associate(c, td, v);
    }
    if (status) {
        return status;
    }
    *slot = id;
    tdx_written(c->m, td->tdr->tdcx_pa[TDCS_X2APIC_IDS + index / X2APIC_IDS_PER_PAGE] &
                c->m->hpa_mask, TDX_PAGE_SIZE);
    v->vp->x2apic_id = id;
    v->vp->vcpu_index = index;
    td->tdcs->num_vcpus = index + 1;
    return TDX_SUCCESS;
}

static uint64_t init_vcpu(TdxCall *c, Td *td, Vcpu *v)
{
    uint64_t status = vcpu_check_pages(c, v);

    if (status) {
        return status;
    }
    if (v->vp->state != VCPU_UNINITIALIZED) {
        return tdx_operand(TDX_VCPU_STATE_INCORRECT, v->vp->state);
    }
    /* Version 0 holds the TDR shared only: two vCPUs may be numbered at once. */
    if (!tdx_trylock(&td->tdcs->vcpu_lock, LOCK_EXCLUSIVE)) {
        return tdx_operand(TDX_OPERAND_BUSY, TDX_OPERAND_ID_NUM_VCPUS);
    }
    status = number_vcpu(c, td, v);
    tdx_unlock(&td->tdcs->vcpu_lock, LOCK_EXCLUSIVE);
    if (status) {
        return status;
    }
    vp_init_state(c, td, v, c->gpr[TDX_RDX]);
    v->vp->vcpu_epoch = 0;
    v->vp->last_exit = LAST_EXIT_ASYNC_FAULT;
    v->vp->state = VCPU_READY;
    vcpu_written(c->m, v);
    td_written(c->m, td);
    return TDX_SUCCESS;
}

/*
 * TDH.VP.INIT: RCX TDVPR, RDX the guest's initial RCX and R8, R8 (version 1)
 * x2APIC id.
 */
static uint64_t tdh_vp_init(TdxCall *c)
{
    Td td;
    Vcpu v;
    uint64_t status = begin(c, &td, &v, TDX_RCX, LOCK_EXCLUSIVE,
                            c->version ? LOCK_EXCLUSIVE : LOCK_SHARED);

    if (!status) {
        status = init_vcpu(c, &td, &v);
    }
    release(c, &td, &v);
    return status;
}

/* TDH.VP.RD: RCX TDVPR, RDX field.  R8 := value; version 1: RDX := next field. */
static uint64_t tdh_vp_rd(TdxCall *c)
{
    Td td;
    Vcpu v;
    MdContext x = { .c = c, .td = &td, .vcpu = &v };
    uint64_t next = TDX_FIELD_NULL, value = 0;
    uint64_t status = begin(c, &td, &v, TDX_RCX, LOCK_SHARED, LOCK_SHARED);

    if (!status) {
        status = vcpu_check_pages(c, &v);
    }
    if (!status) {
        status = vcpu_associate(c, &td, &v);
    }
    if (!status) {
        status = md_read(&md_vcpu, &x, c->gpr[TDX_RDX], &value,
                         c->version ? &next : NULL);
    }
    c->gpr[TDX_R8] = value;
    if (c->version) {
        c->gpr[TDX_RDX] = next;
    }
    release(c, &td, &v);
    return status;
}

/* TDH.VP.WR: RCX TDVPR, RDX field, R8 value, R9 mask.  R8 := the old value. */
static uint64_t tdh_vp_wr(TdxCall *c)
{
    Td td;
    Vcpu v;
    MdContext x = { .c = c, .td = &td, .vcpu = &v };
    uint64_t old = 0, status = begin(c, &td, &v, TDX_RCX, LOCK_SHARED, LOCK_SHARED);

    if (!status) {
        status = vcpu_check_pages(c, &v);
    }
    if (!status) {
        status = vcpu_associate(c, &td, &v);
    }
    if (!status && v.vp->state != VCPU_READY) {
        status = tdx_operand(TDX_VCPU_STATE_INCORRECT, v.vp->state);
    }
    if (!status) {
        status = md_write(&md_vcpu, &x, c->gpr[TDX_RDX], c->gpr[TDX_R8],
                          c->gpr[TDX_R9], &old);
        vcpu_written(c->m, &v);
    }
    c->gpr[TDX_R8] = old;
    release(c, &td, &v);
    return status;
}

static uint64_t flush_vcpu(TdxCall *c, Td *td, Vcpu *v)
{
    struct tdcs *tdcs = td_tdcs_page(c->m, td, TDCS_CONTROL);

    if (td->tdr->lifecycle != TD_KEYS_CONFIGURED || !tdcs) {
        return TDX_TD_KEYS_NOT_CONFIGURED;
    }
    if (vcpu_check_pages(c, v)) {
        return TDX_TDCX_NUM_INCORRECT;
    }
    if (v->vp->assoc_lpid != c->lp) {
        return TDX_VCPU_NOT_ASSOCIATED;
    }
    __atomic_store_n(&v->vp->assoc_lpid, TDX_NO_LP, __ATOMIC_SEQ_CST);
    __atomic_fetch_sub(&tdcs->num_assoc_vcpus, 1, __ATOMIC_SEQ_CST);
    td->tdcs = tdcs;
    td_written(c->m, td);
    vcpu_written(c->m, v);
    return TDX_SUCCESS;
}

/*
 * TDH.VP.FLUSH: RCX TDVPR.  Ends the association with this LP; a TD that is
 * fatally ill must be torn down too, so its state is not looked at.
 */
static uint64_t tdh_vp_flush(TdxCall *c)
{
    Td td = { 0 };
    Vcpu v;
    uint64_t status = vcpu_lock(c, &v, TDX_RCX, c->gpr[TDX_RCX], LOCK_EXCLUSIVE);

    if (!status) {
        status = td_lock_owner(c, &td, &v.page, LOCK_SHARED);
    }
    if (!status) {
        status = flush_vcpu(c, &td, &v);
    }
    release(c, &td, &v);
    return status;
}

const Leaf tdx_leaves_vp[] = {
    { TDH_VP_ENTER, 0, 0, "TDH.VP.ENTER", tdh_vp_enter, 0 },
    { TDH_VP_ADDCX, 0, 0, "TDH.VP.ADDCX", tdh_vp_addcx, 0 },
    { TDH_VP_CREATE, 0, 0, "TDH.VP.CREATE", tdh_vp_create, 0 },
    { TDH_VP_FLUSH, 0, 0, "TDH.VP.FLUSH", tdh_vp_flush, 0 },
    { TDH_VP_INIT, 1, 0, "TDH.VP.INIT", tdh_vp_init, 0 },
    { TDH_VP_RD, 1, 0, "TDH.VP.RD", tdh_vp_rd, 0 },
    { TDH_VP_WR, 0, 0, "TDH.VP.WR", tdh_vp_wr, 0 },
    { 0 },
};
