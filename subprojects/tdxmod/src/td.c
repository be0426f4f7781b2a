/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handles of TDs and vCPUs: their locks, the state checks that every leaf
 * shares, and the way from the addresses in the TDR and TDVPR pages to memory.
 */
#include "td.h"

#define BIT(n)                  (1u << (n))
#define STATES_1_5_8_9          (0x3eu | BIT(8) | BIT(9))
#define STATES_1_10             0x7feu
#define STATES_WRITE            (BIT(1) | BIT(2) | BIT(3) | 0x7c0u)

/* Op-states in which a leaf may run, by leaf number (ABI: OP_STATE table). */
static const uint16_t op_states[] = {
    [TDH_VP_ENTER]          = BIT(2) | BIT(3) | BIT(9),
    [TDH_MNG_ADDCX]         = BIT(0),
    [TDH_MEM_PAGE_ADD]      = BIT(1),
    [TDH_MEM_SEPT_ADD]      = BIT(1) | BIT(2) | BIT(3) | 0x3c0u,
    [TDH_VP_ADDCX]          = BIT(1) | BIT(7),
    [TDH_MEM_PAGE_RELOCATE] = STATES_1_5_8_9,
    [TDH_MEM_PAGE_AUG]      = BIT(1) | BIT(2) | BIT(3) | BIT(9),
    [TDH_MEM_RANGE_BLOCK]   = STATES_1_5_8_9,
    [TDH_VP_CREATE]         = BIT(1) | BIT(7),
    [TDH_MNG_RD]            = STATES_1_10,
    [TDH_MEM_RD]            = STATES_1_10,
    [TDH_MNG_WR]            = STATES_WRITE,
    [TDH_MEM_WR]            = STATES_WRITE,
    [TDH_MEM_PAGE_DEMOTE]   = STATES_1_5_8_9,
    [TDH_MR_EXTEND]         = BIT(1),
    [TDH_MR_FINALIZE]       = BIT(1),
    [TDH_MNG_INIT]          = BIT(0),
    [TDH_VP_INIT]           = BIT(1),
    [TDH_MEM_PAGE_PROMOTE]  = STATES_1_5_8_9,
    [TDH_MEM_SEPT_RD]       = STATES_1_10,
    [TDH_VP_RD]             = STATES_1_10,
    [TDH_MEM_PAGE_REMOVE]   = STATES_1_5_8_9 | BIT(10),
    [TDH_MEM_SEPT_REMOVE]   = STATES_1_10,
    [TDH_MEM_TRACK]         = 0x3feu,
    [TDH_MEM_RANGE_UNBLOCK] = STATES_1_5_8_9,
    [TDH_VP_WR]             = STATES_WRITE,
};

static bool op_state_allowed(unsigned leaf, uint32_t state)
{
    return leaf < G_N_ELEMENTS(op_states) && state < 16 &&
           (op_states[leaf] >> state & 1);
}

/* A page address that was read from RAM: page aligned and without KeyID. */
static void *map_child(TdxMod *m, uint64_t pa)
{
    return tdx_map_page(m, pa & m->hpa_mask & ~(TDX_PAGE_SIZE - 1));
}

static uint64_t td_map(TdxCall *c, Td *td, unsigned id)
{
    td->pa = td->page.pa;
    td->tdr = tdx_map_page(c->m, td->pa);
    if (!td->tdr) {
        pamt_unlock(c->m, &td->page);
        return tdx_operand(TDX_OPERAND_ADDR_RANGE_ERROR, id);
    }
    return TDX_SUCCESS;
}

uint64_t td_lock(TdxCall *c, Td *td, unsigned reg, uint64_t pa, LockMode mode)
{
    uint64_t status;

    memset(td, 0, sizeof(*td));
    status = pamt_lock(c, &td->page, reg, pa, PT_TDR, mode);
    return status ? status : td_map(c, td, reg);
}

uint64_t td_lock_owner(TdxCall *c, Td *td, const PamtPage *child, LockMode mode)
{
    uint64_t status;

    memset(td, 0, sizeof(*td));
    status = pamt_lock_implicit(c->m, &td->page, TDX_OPERAND_ID_TDR,
                                pamt_owner(child), PT_TDR, mode);
    return status ? status : td_map(c, td, TDX_OPERAND_ID_TDR);
}

uint64_t td_check_state(TdxCall *c, Td *td)
{
    if (td->tdr->fatal) {
        return TDX_TD_FATAL;
    }
    if (td->tdr->lifecycle != TD_KEYS_CONFIGURED) {
        return TDX_TD_KEYS_NOT_CONFIGURED;
    }
    td->tdcs = td_tdcs_page(c->m, td, TDCS_CONTROL);
    if (td->tdr->num_tdcx < TDCS_PAGES || !td->tdcs) {
        return TDX_TDCS_NOT_ALLOCATED;
    }
    if (td->page.mode != LOCK_EXCLUSIVE) {
        if (!tdx_trylock(&td->tdcs->op_state_lock, LOCK_SHARED)) {
            return tdx_operand(TDX_OPERAND_BUSY, TDX_OPERAND_ID_OP_STATE);
        }
        td->op_state_locked = true;
    }
    if (!op_state_allowed(c->leaf, td->tdcs->op_state)) {
        return TDX_OP_STATE_INCORRECT;
    }
    return TDX_SUCCESS;
}

uint64_t td_lock_sept(Td *td, LockMode mode)
{
    if (!tdx_trylock(&td->tdcs->sept_lock, mode)) {
        return tdx_operand(TDX_OPERAND_BUSY, TDX_OPERAND_ID_SEPT_TREE);
    }
    td->sept_locked = true;
    td->sept_mode = mode;
    return TDX_SUCCESS;
}

void td_unlock(TdxCall *c, Td *td)
{
    if (td->sept_locked) {
        tdx_unlock(&td->tdcs->sept_lock, td->sept_mode);
        td->sept_locked = false;
    }
    if (td->op_state_locked) {
        tdx_unlock(&td->tdcs->op_state_lock, LOCK_SHARED);
        td->op_state_locked = false;
    }
    pamt_unlock(c->m, &td->page);
}

void *td_tdcs_page(TdxMod *m, const Td *td, enum tdcs_page role)
{
    if (role >= TDCS_PAGES || role >= td->tdr->num_tdcx) {
        return NULL;
    }
    return map_child(m, td->tdr->tdcx_pa[role]);
}

void td_written(TdxMod *m, const Td *td)
{
    tdx_written(m, td->pa, sizeof(struct tdr));
    if (td->tdcs) {
        tdx_written(m, td->tdr->tdcx_pa[TDCS_CONTROL] & m->hpa_mask &
                    ~(TDX_PAGE_SIZE - 1), sizeof(struct tdcs));
    }
}

void td_add_children(TdxMod *m, Td *td, int64_t pages)
{
    __atomic_fetch_add(&td->tdr->chldcnt, (uint64_t)pages, __ATOMIC_SEQ_CST);
    tdx_written(m, td->pa, sizeof(struct tdr));
}

void td_set_fatal(TdxMod *m, Td *td)
{
    __atomic_store_n(&td->tdr->fatal, 1, __ATOMIC_SEQ_CST);
    tdx_written(m, td->pa, sizeof(struct tdr));
}

static bool vcpu_map(TdxMod *m, Vcpu *v)
{
    uint8_t *page = tdx_map_page(m, v->pa);

    if (!page) {
        return false;
    }
    v->vp = (struct tdvpr *)page;
    v->guest = (struct tdvps_guest *)(page + TDVPS_GUEST_OFFSET);
    v->tdvps[TDVPS_TDVPR] = v->pa;
    return true;
}

/* All pages of the TDVPS, once they are complete. */
static bool vcpu_map_children(TdxMod *m, Vcpu *v)
{
    if (v->vp->num_tdcx < TDVPS_TDCX_PAGES) {
        return false;
    }
    for (unsigned i = 0; i < TDVPS_TDCX_PAGES; i++) {
        uint64_t pa = v->vp->tdcx_pa[i] & m->hpa_mask & ~(TDX_PAGE_SIZE - 1);

        if (!tdx_map_page(m, pa)) {
            return false;
        }
        v->tdvps[i + 1] = pa;
    }
    v->vmcs = tdx_map_page(m, v->tdvps[TDVPS_VMCS]);
    return v->vmcs != NULL;
}

uint64_t vcpu_lock(TdxCall *c, Vcpu *v, unsigned reg, uint64_t pa, LockMode mode)
{
    uint64_t status;

    memset(v, 0, sizeof(*v));
    status = pamt_lock(c, &v->page, reg, pa, PT_TDVPR, mode);
    if (status) {
        return status;
    }
    v->pa = v->page.pa;
    if (!vcpu_map(c->m, v)) {
        pamt_unlock(c->m, &v->page);
        return tdx_operand(TDX_OPERAND_ADDR_RANGE_ERROR, reg);
    }
    return TDX_SUCCESS;
}

uint64_t vcpu_check_pages(TdxCall *c, Vcpu *v)
{
    return vcpu_map_children(c->m, v) ? TDX_SUCCESS : TDX_TDCX_NUM_INCORRECT;
}

uint64_t vcpu_associate(TdxCall *c, Td *td, Vcpu *v)
{
    uint32_t lpid = TDX_NO_LP;

    /* The TDVPR is held shared by some callers: two LPs may come here at once. */
    if (__atomic_compare_exchange_n(&v->vp->assoc_lpid, &lpid, c->lp, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        __atomic_fetch_add(&td->tdcs->num_assoc_vcpus, 1, __ATOMIC_SEQ_CST);
        /* Whatever this LP cached of the vCPU's past is stale. */
        v->vp->vcpu_epoch = 0;
        vcpu_written(c->m, v);
        td_written(c->m, td);
        return TDX_SUCCESS;
    }
    return lpid == c->lp ? TDX_SUCCESS : TDX_VCPU_ASSOCIATED;
}

void vcpu_unlock(TdxCall *c, Vcpu *v)
{
    pamt_unlock(c->m, &v->page);
}

void *vcpu_page(TdxMod *m, const Vcpu *v, enum tdvps_page role)
{
    return role < TDXMOD_TDVPS_PAGES ? map_child(m, v->tdvps[role]) : NULL;
}

void vcpu_written(TdxMod *m, const Vcpu *v)
{
    tdx_written(m, v->pa, TDX_PAGE_SIZE);
    if (v->vmcs) {
        tdx_written(m, v->tdvps[TDVPS_VMCS], sizeof(Vmcs));
    }
}

bool td_reopen(TdxCall *c, Td *td, Vcpu *v)
{
    const TdxRun *run = &c->m->lp[c->lp].run;

    memset(td, 0, sizeof(*td));
    memset(v, 0, sizeof(*v));
    if (!run->active) {
        return false;
    }
    td->pa = run->tdr_pa;
    v->pa = run->tdvpr_pa;
    td->tdr = tdx_map_page(c->m, td->pa);
    if (!td->tdr || !vcpu_map(c->m, v)) {
        return false;
    }
    td->tdcs = td_tdcs_page(c->m, td, TDCS_CONTROL);
    return td->tdcs && vcpu_map_children(c->m, v);
}
