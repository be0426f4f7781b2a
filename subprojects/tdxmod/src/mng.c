/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.MNG.*: making a TD and its keys, TD-scope metadata, and the steps of
 * tear-down that concern the key.
 */
#include "td.h"
#include "guest.h"
#include "metadata.h"
#include "sept_entry.h"

static uint64_t operand_invalid(unsigned reg)
{
    return tdx_operand(TDX_OPERAND_INVALID, reg);
}

static bool kot_trylock(TdxMod *m)
{
    return tdx_trylock(&m->kot_lock, LOCK_EXCLUSIVE);
}

static void kot_unlock(TdxMod *m)
{
    tdx_unlock(&m->kot_lock, LOCK_EXCLUSIVE);
}

#define KOT_BUSY        (TDX_OPERAND_BUSY | TDX_OPERAND_ID_KOT)

/* The page of a new TDR: everything but the key table. */
static uint64_t init_tdr(TdxMod *m, uint64_t pa, uint16_t hkid)
{
    struct tdr *tdr = tdx_map_page(m, pa);
    uint64_t uuid[4];

    if (!tdr) {
        return tdx_operand(TDX_OPERAND_ADDR_RANGE_ERROR, TDX_RCX);
    }
    if (!tdx_random(m, uuid, sizeof(uuid))) {
        return TDX_RND_NO_ENTROPY;
    }
    tdx_zero_page(m, pa);
    tdr->hkid = hkid;
    tdr->lifecycle = TD_HKID_ASSIGNED;
    memcpy(tdr->td_uuid, uuid, sizeof(uuid));
    tdx_written(m, pa, sizeof(*tdr));
    return TDX_SUCCESS;
}

/* TDH.MNG.CREATE: RCX page of the TDR, RDX KeyID. */
static uint64_t tdh_mng_create(TdxCall *c)
{
    uint64_t status, hkid = c->gpr[TDX_RDX];
    TdxMod *m = c->m;
    PamtPage page;

    if (hkid > UINT16_MAX || !tdx_hkid_private(m, hkid) || hkid >= TDX_MAX_HKIDS) {
        return operand_invalid(TDX_RDX);
    }
    status = pamt_lock(c, &page, TDX_RCX, c->gpr[TDX_RCX], PT_NDA, LOCK_EXCLUSIVE);
    if (status) {
        return status;
    }
    if (!kot_trylock(m)) {
        pamt_unlock(m, &page);
        return KOT_BUSY;
    }
    status = m->kot[hkid].state != KOT_FREE ? TDX_HKID_NOT_FREE :
             init_tdr(m, page.pa, hkid);
    if (!status) {
        m->kot[hkid].state = KOT_ASSIGNED;
        pamt_unlock_as(c, &page, PT_TDR, 0);
    }
    kot_unlock(m);
    pamt_unlock(m, &page);
    return status;
}

/* TDH.MNG.KEY.CONFIG: RCX TDR; once on each package. */
static uint64_t tdh_mng_key_config(TdxCall *c)
{
    Td td;
    uint64_t pkg = 1ull << (tdx_pkg(c) & 63);
    uint64_t status = td_lock(c, &td, TDX_RCX, c->gpr[TDX_RCX], LOCK_EXCLUSIVE);

    if (status) {
        return status;
    }
    if (td.tdr->fatal) {
        status = TDX_TD_FATAL;
    } else if (td.tdr->lifecycle != TD_HKID_ASSIGNED) {
        status = TDX_LIFECYCLE_STATE_INCORRECT;
    } else if (td.tdr->pkg_config_bitmap & pkg) {
        status = TDX_KEY_CONFIGURED;
    } else {
        td.tdr->pkg_config_bitmap |= pkg;
        if (td.tdr->pkg_config_bitmap == tdx_all_pkgs(c->m)) {
            td.tdr->lifecycle = TD_KEYS_CONFIGURED;
        }
        td_written(c->m, &td);
    }
    td_unlock(c, &td);
    return status;
}

/* What a TDCS page holds at first, by its role. */
static bool init_tdcs_page(TdxMod *m, uint64_t pa, enum tdcs_page role)
{
    uint64_t *word = tdx_map_page(m, pa);
    uint64_t fill = role == TDCS_MSR_BITMAP ? UINT64_MAX :
                    role == TDCS_SEPT_ROOT ? SEPT_ENTRY_FREE : 0;

    for (unsigned i = 0; word && i < TDX_PAGE_SIZE / sizeof(*word); i++) {
        word[i] = fill;
    }
    if (word) {
        tdx_written(m, pa, TDX_PAGE_SIZE);
    }
    return word != NULL;
}

static uint64_t add_tdcs_page(TdxCall *c, Td *td)
{
    struct tdr *tdr = td->tdr;
    struct tdcs *tdcs = td_tdcs_page(c->m, td, TDCS_CONTROL);
    uint64_t pa = c->gpr[TDX_RCX];
    PamtPage page;
    uint64_t status;

    if (tdr->fatal) {
        return TDX_TD_FATAL;
    }
    if (tdr->lifecycle != TD_KEYS_CONFIGURED) {
        return TDX_TD_KEYS_NOT_CONFIGURED;
    }
    if (tdr->num_tdcx >= TDCS_PAGES) {
        return TDX_TDCX_NUM_INCORRECT;
    }
    status = pamt_lock(c, &page, TDX_RCX, pa, PT_NDA, LOCK_EXCLUSIVE);
    if (status) {
        return status;
    }
    if (tdcs && tdcs->op_state != OP_STATE_UNINITIALIZED) {
        status = TDX_OP_STATE_INCORRECT;
    } else if (!init_tdcs_page(c->m, pa, tdr->num_tdcx)) {
        status = tdx_operand(TDX_OPERAND_ADDR_RANGE_ERROR, TDX_RCX);
    } else {
        pamt_unlock_as(c, &page, PT_TDCX, td->pa);
        tdr->tdcx_pa[tdr->num_tdcx++] = pa;
        td_add_children(c->m, td, 1);
    }
    pamt_unlock(c->m, &page);
    return status;
}

/* TDH.MNG.ADDCX: RCX new TDCS page, RDX TDR. */
static uint64_t tdh_mng_addcx(TdxCall *c)
{
    Td td;
    uint64_t status = td_lock(c, &td, TDX_RDX, c->gpr[TDX_RDX], LOCK_EXCLUSIVE);

    if (!status) {
        status = add_tdcs_page(c, &td);
        td_unlock(c, &td);
    }
    return status;
}

static uint64_t init_td(TdxCall *c, Td *td)
{
    uint64_t status, params_pa = c->gpr[TDX_RDX];
    struct tdcs *t = td->tdcs;
    struct td_params params;

    if (!tdx_shared_hpa(c->m, &params_pa, sizeof(params)) ||
        !tdx_read(c->m, params_pa, &params, sizeof(params))) {
        return operand_invalid(TDX_RDX);
    }
    /* A private copy: other LPs may write the buffer while it is checked. */
    status = td_params_apply(c, td, &params);
    if (status) {
        return status;
    }
    t->td_epoch = 1;
    t->refcount[0] = t->refcount[1] = 0;
    memset(t->rtmr, 0, sizeof(t->rtmr));
    mr_init(t);
    t->op_state = OP_STATE_INITIALIZED;
    td_written(c->m, td);
    return TDX_SUCCESS;
}

/*
 * TDH.MNG.INIT: RCX TDR (bit 0, event filtering, is not modelled and so an
 * invalid operand), RDX TD_PARAMS.  RCX := 0, or the CPUID leaf at fault.
 */
static uint64_t tdh_mng_init(TdxCall *c)
{
    Td td;
    uint64_t tdr = c->gpr[TDX_RCX];
    uint64_t status;

    c->gpr[TDX_RCX] = 0;
    status = td_lock(c, &td, TDX_RCX, tdr, LOCK_EXCLUSIVE);
    if (!status) {
        status = td_check_state(c, &td);
    }
    if (!status) {
        status = init_td(c, &td);
    }
    td_unlock(c, &td);
    return status;
}

/* TDH.MNG.RD: RCX TDR, RDX field.  R8 := value; version 1: RDX := next field. */
static uint64_t tdh_mng_rd(TdxCall *c)
{
    Td td;
    MdContext x = { .c = c, .td = &td };
    uint64_t next = TDX_FIELD_NULL, value = 0;
    uint64_t status = td_lock(c, &td, TDX_RCX, c->gpr[TDX_RCX], LOCK_SHARED);

    if (!status) {
        status = td_check_state(c, &td);
    }
    if (!status) {
        status = md_read(&md_td, &x, c->gpr[TDX_RDX], &value,
                         c->version ? &next : NULL);
    }
    c->gpr[TDX_R8] = value;
    if (c->version) {
        c->gpr[TDX_RDX] = next;
    }
    td_unlock(c, &td);
    return status;
}

/* TDH.MNG.WR: RCX TDR, RDX field, R8 value, R9 mask.  R8 := the old value. */
static uint64_t tdh_mng_wr(TdxCall *c)
{
    Td td;
    MdContext x = { .c = c, .td = &td };
    uint64_t old = 0, status = td_lock(c, &td, TDX_RCX, c->gpr[TDX_RCX], LOCK_SHARED);

    if (!status) {
        status = td_check_state(c, &td);
    }
    if (!status) {
        status = md_write(&md_td, &x, c->gpr[TDX_RDX], c->gpr[TDX_R8],
                          c->gpr[TDX_R9], &old);
        td_written(c->m, &td);
    }
    c->gpr[TDX_R8] = old;
    td_unlock(c, &td);
    return status;
}

/* The KOT entry of a TD, or NULL if its TDR was scribbled on. */
static KotEntry *kot_entry(TdxMod *m, const Td *td, KotState state)
{
    uint16_t hkid = td->tdr->hkid;

    if (hkid >= TDX_MAX_HKIDS || m->kot[hkid].state != state) {
        tdx_log(m, "TDR 0x%" PRIx64 " names KeyID %u, which is not a TD's", td->pa, hkid);
        return NULL;
    }
    return &m->kot[hkid];
}

static uint64_t vpflushdone(TdxCall *c, Td *td)
{
    struct tdcs *tdcs = td_tdcs_page(c->m, td, TDCS_CONTROL);
    KotEntry *kot;

    if (td->tdr->lifecycle != TD_HKID_ASSIGNED &&
        td->tdr->lifecycle != TD_KEYS_CONFIGURED) {
        return TDX_LIFECYCLE_STATE_INCORRECT;
    }
    if (tdcs && __atomic_load_n(&tdcs->num_assoc_vcpus, __ATOMIC_SEQ_CST)) {
        return TDX_FLUSHVP_NOT_DONE;
    }
    kot = kot_entry(c->m, td, KOT_ASSIGNED);
    if (!kot) {
        return TDX_LIFECYCLE_STATE_INCORRECT;
    }
    kot->state = KOT_FLUSHED;
    kot->wb_pending = tdx_all_pkgs(c->m);
    td->tdr->lifecycle = TD_BLOCKED;
    return TDX_SUCCESS;
}

static uint64_t key_freeid(TdxCall *c, Td *td)
{
    KotEntry *kot = kot_entry(c->m, td, KOT_FLUSHED);

    if (!kot) {
        return TDX_LIFECYCLE_STATE_INCORRECT;
    }
    if (kot->wb_pending) {
        return TDX_WBCACHE_NOT_COMPLETE;
    }
    kot->state = KOT_FREE;
    td->tdr->lifecycle = TD_TEARDOWN;
    return TDX_SUCCESS;
}

/* TDH.MNG.VPFLUSHDONE: RCX TDR.  The caches of its KeyID must be written back. */
static uint64_t tdh_mng_vpflushdone(TdxCall *c)
{
    Td td;
    uint64_t status = td_lock(c, &td, TDX_RCX, c->gpr[TDX_RCX], LOCK_EXCLUSIVE);

    if (status) {
        return status;
    }
    if (!kot_trylock(c->m)) {
        status = KOT_BUSY;
    } else {
        status = vpflushdone(c, &td);
        kot_unlock(c->m);
        td_written(c->m, &td);
    }
    td_unlock(c, &td);
    return status;
}

/* TDH.MNG.KEY.FREEID: RCX TDR, whose pages can be reclaimed then. */
static uint64_t tdh_mng_key_freeid(TdxCall *c)
{
    Td td;
    uint64_t status = td_lock(c, &td, TDX_RCX, c->gpr[TDX_RCX], LOCK_EXCLUSIVE);

    if (status) {
        return status;
    }
    if (td.tdr->lifecycle != TD_BLOCKED) {
        status = TDX_LIFECYCLE_STATE_INCORRECT;
    } else if (!kot_trylock(c->m)) {
        status = KOT_BUSY;
    } else {
        status = key_freeid(c, &td);
        kot_unlock(c->m);
        td_written(c->m, &td);
    }
    td_unlock(c, &td);
    return status;
}

/* TDH.MNG.KEY.RECLAIMID: a retained number that does nothing. */
static uint64_t tdh_mng_key_reclaimid(TdxCall *c)
{
    (void)c;
    return TDX_SUCCESS;
}

const Leaf tdx_leaves_mng[] = {
    { TDH_MNG_ADDCX, 0, 0, "TDH.MNG.ADDCX", tdh_mng_addcx, 0 },
    { TDH_MNG_KEY_CONFIG, 0, 0, "TDH.MNG.KEY.CONFIG", tdh_mng_key_config, 0 },
    { TDH_MNG_CREATE, 0, 0, "TDH.MNG.CREATE", tdh_mng_create, 0 },
    { TDH_MNG_RD, 1, 0, "TDH.MNG.RD", tdh_mng_rd, 0 },
    { TDH_MNG_WR, 0, 0, "TDH.MNG.WR", tdh_mng_wr, 0 },
    { TDH_MNG_VPFLUSHDONE, 0, 0, "TDH.MNG.VPFLUSHDONE", tdh_mng_vpflushdone, 0 },
    { TDH_MNG_KEY_FREEID, 0, 0, "TDH.MNG.KEY.FREEID", tdh_mng_key_freeid, 0 },
    { TDH_MNG_INIT, 0, 0, "TDH.MNG.INIT", tdh_mng_init, 0 },
    { TDH_MNG_KEY_RECLAIMID, 0, 0, "TDH.MNG.KEY.RECLAIMID", tdh_mng_key_reclaimid, 0 },
    { 0 },
};
