/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.SYS.*: bringing the module up and down (TDX ABI, "System leaves").
 *
 * sys_lock is exclusive while the state changes.  TDH.SYS.SHUTDOWN and DISABLE
 * also need that no other LP is in a leaf (inside_lock) and that no TD runs.
 */
#include "module.h"
#include "metadata.h"
#include "pamt.h"

/* RAX bits of the TDH.SYS.CONFIG, R8 operand that are not used */
#define CONFIG_R8_RESERVED      ~(TDX_SYS_CONFIG_HKID | TDX_SYS_CONFIG_DYNAMIC_PAMT)

static void set_state(TdxMod *m, SysState state)
{
    __atomic_store_n(&m->state, state, __ATOMIC_RELEASE);
}

static bool all_lps_done(const TdxMod *m)
{
    for (unsigned i = 0; i < m->config.num_lps; i++) {
        if (!__atomic_load_n(&m->lp[i].init_done, __ATOMIC_ACQUIRE)) {
            return false;
        }
    }
    return true;
}

static void zero_outputs(TdxCall *c, uint16_t regs)
{
    for (unsigned r = 0; r < 16; r++) {
        if (regs & TDX_REG(r)) {
            c->gpr[r] = 0;
        }
    }
}

#define INIT_OUTPUTS    (TDX_REG(TDX_RCX) | TDX_REG(TDX_RDX) | TDX_REG(TDX_R8) | \
                         TDX_REG(TDX_R9) | TDX_REG(TDX_R10))

/* RCX: attributes, 0. */
static uint64_t tdh_sys_init(TdxCall *c)
{
    TdxMod *m = c->m;
    uint64_t st = TDX_SUCCESS;

    if (!tdx_trylock(&m->sys_lock, LOCK_EXCLUSIVE)) {
        return TDX_SYS_BUSY;
    }
    if (c->gpr[TDX_RCX]) {
        st = tdx_operand(TDX_OPERAND_INVALID, TDX_RCX);
    } else if (m->state != SYS_INIT_PENDING) {
        st = TDX_SYS_INIT_NOT_PENDING;
    } else {
        zero_outputs(c, INIT_OUTPUTS);
        set_state(m, SYS_INIT_DONE);
    }
    tdx_unlock(&m->sys_lock, LOCK_EXCLUSIVE);
    return st;
}

static uint64_t tdh_sys_lp_init(TdxCall *c)
{
    TdxMod *m = c->m;
    TdxLp *lp = &m->lp[c->lp];
    uint64_t st = TDX_SUCCESS, seed;

    if (!tdx_trylock(&m->sys_lock, LOCK_SHARED)) {
        return TDX_SYS_BUSY;
    }
    if (m->state != SYS_INIT_DONE) {
        st = TDX_SYS_LP_INIT_NOT_PENDING;
    } else if (lp->init_done) {
        st = TDX_SYS_LP_INIT_DONE;
    } else if (!tdx_random(m, &seed, sizeof(seed))) {
        st = TDX_RND_NO_ENTROPY;
    } else {
        zero_outputs(c, INIT_OUTPUTS);
        __atomic_store_n(&lp->init_done, true, __ATOMIC_RELEASE);
    }
    tdx_unlock(&m->sys_lock, LOCK_SHARED);
    return st;
}

/* RDX: field id.  Out: RDX next id, R8 value. */
static uint64_t tdh_sys_rd(TdxCall *c)
{
    MdContext x = { .c = c };
    uint64_t value = 0, next = TDX_FIELD_NULL;
    uint64_t st = TDX_SYS_LP_INIT_NOT_DONE;

    if (c->m->lp[c->lp].init_done) {
        st = md_read(&md_sys, &x, c->gpr[TDX_RDX], &value, &next);
    }
    c->gpr[TDX_RDX] = next;
    c->gpr[TDX_R8] = value;
    return st;
}

static uint64_t check_config(TdxCall *c, uint64_t *list_pa)
{
    TdxMod *m = c->m;
    uint64_t n = c->gpr[TDX_RDX], r8 = c->gpr[TDX_R8];

    *list_pa = c->gpr[TDX_RCX];
    if (m->state != SYS_INIT_DONE || !all_lps_done(m)) {
        return TDX_SYS_CONFIG_NOT_PENDING;
    }
    if (!tdx_shared_hpa(m, list_pa, 512)) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RCX);
    }
    if (n < 1 || n > TDX_MAX_TDMRS) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RDX);
    }
    if ((r8 & CONFIG_R8_RESERVED) ||
        !tdx_hkid_private(m, r8 & TDX_SYS_CONFIG_HKID)) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_R8);
    }
    if ((r8 & TDX_SYS_CONFIG_DYNAMIC_PAMT) &&
        (!m->config.dynamic_pamt || m->hkid_shift > TDX_DYNAMIC_PAMT_MAX_PA)) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_R8);
    }
    return TDX_SUCCESS;
}

/*
 * RCX: PA of an array of PAs of TDMR_INFO; RDX: how many; R8: global KeyID, bit 16
 * Dynamic PAMT.
 */
static uint64_t tdh_sys_config(TdxCall *c)
{
    TdxMod *m = c->m;
    bool dynamic = c->gpr[TDX_R8] & TDX_SYS_CONFIG_DYNAMIC_PAMT;
    uint64_t st, list_pa;

    if (!tdx_trylock(&m->sys_lock, LOCK_EXCLUSIVE)) {
        return TDX_SYS_BUSY;
    }
    st = check_config(c, &list_pa);
    if (!st) {
        st = tdmr_config(m, list_pa, c->gpr[TDX_RDX], dynamic);
    }
    if (!st) {
        m->dynamic_pamt = dynamic;
        m->global_hkid = c->gpr[TDX_R8] & TDX_SYS_CONFIG_HKID;
        m->kot[m->global_hkid].state = KOT_RESERVED;
        set_state(m, SYS_CONFIG_DONE);
    }
    tdx_unlock(&m->sys_lock, LOCK_EXCLUSIVE);
    return st;
}

/* Once on every package. */
static uint64_t tdh_sys_key_config(TdxCall *c)
{
    TdxMod *m = c->m;
    uint64_t pkg = 1ull << tdx_pkg(c), st = TDX_SUCCESS;

    if (!tdx_trylock(&m->sys_lock, LOCK_EXCLUSIVE)) {
        return TDX_SYS_BUSY;
    }
    if (m->state != SYS_CONFIG_DONE) {
        st = TDX_SYS_KEY_CONFIG_NOT_PENDING;
    } else if (m->pkgs_key_done & pkg) {
        st = TDX_KEY_CONFIGURED;
    } else {
        m->pkgs_key_done |= pkg;
        if (m->pkgs_key_done == tdx_all_pkgs(m)) {
            set_state(m, SYS_READY);
        }
    }
    tdx_unlock(&m->sys_lock, LOCK_EXCLUSIVE);
    return st;
}

static Tdmr *tdmr_by_base(TdxMod *m, uint64_t base)
{
    for (unsigned i = 0; i < m->num_tdmrs; i++) {
        if (m->tdmr[i].base == base) {
            return &m->tdmr[i];
        }
    }
    return NULL;
}

/* RCX: base of a TDMR.  Out: RDX, up to where whole 1 GiB blocks are usable. */
static uint64_t tdh_sys_tdmr_init(TdxCall *c)
{
    Tdmr *t = tdmr_by_base(c->m, c->gpr[TDX_RCX]);
    uint64_t st;

    if (!t) {
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RCX);
    }
    if (!tdx_trylock(&t->lock, LOCK_EXCLUSIVE)) {
        return tdx_operand(TDX_OPERAND_BUSY, TDX_RCX);
    }
    st = t->next == t->base + t->size ? TDX_TDMR_ALREADY_INITIALIZED
                                      : tdmr_init_step(c->m, t);
    c->gpr[TDX_RDX] = t->next & ~(TDX_LEVEL_SIZE(TDX_1G) - 1);
    tdx_unlock(&t->lock, LOCK_EXCLUSIVE);
    return st;
}

/* Both locks, and no TD runs: nobody else is in the module. */
static bool lock_alone(TdxMod *m)
{
    if (!tdx_trylock(&m->sys_lock, LOCK_EXCLUSIVE)) {
        return false;
    }
    if (!tdx_trylock(&m->inside_lock, LOCK_EXCLUSIVE)) {
        tdx_unlock(&m->sys_lock, LOCK_EXCLUSIVE);
        return false;
    }
    for (unsigned i = 0; i < m->config.num_lps; i++) {
        if (__atomic_load_n(&m->lp[i].run.active, __ATOMIC_ACQUIRE)) {
            tdx_unlock(&m->inside_lock, LOCK_EXCLUSIVE);
            tdx_unlock(&m->sys_lock, LOCK_EXCLUSIVE);
            return false;
        }
    }
    return true;
}

static void unlock_alone(TdxMod *m)
{
    tdx_unlock(&m->inside_lock, LOCK_EXCLUSIVE);
    tdx_unlock(&m->sys_lock, LOCK_EXCLUSIVE);
}

/*
 * Drop everything: TDs, keys, PAMT, LP states.  Linux calls this before kexec
 * and expects to bring the module up anew, from TDH.SYS.INIT.
 *
 * It repeats the call while that is busy, and counts on the module to let nobody
 * else in meanwhile (tdx_sys_disable() in arch/x86/virt/vmx/tdx): otherwise TDs that
 * never halt, on several LPs, would hold it up for ever.
 */
static uint64_t tdh_sys_disable(TdxCall *c)
{
    __atomic_store_n(&c->m->disabling, true, __ATOMIC_RELEASE);
    if (!lock_alone(c->m)) {
        return TDX_SYS_BUSY;
    }
    tdx_reset_state(c->m);
    unlock_alone(c->m);
    return TDX_SUCCESS;
}

/* RCX: handoff version [15:0].  The way to an update, which is not modelled. */
static uint64_t tdh_sys_shutdown(TdxCall *c)
{
    MdContext x = { .c = c };
    uint64_t min, max, hv = c->gpr[TDX_RCX];

    if (!lock_alone(c->m)) {
        return TDX_SYS_BUSY;
    }
    md_read(&md_sys, &x, TDX_MD_MIN_UPDATE_HV, &min, NULL);
    md_read(&md_sys, &x, TDX_MD_MODULE_HV, &max, NULL);
    if (hv < min || hv > max) {
        unlock_alone(c->m);
        return tdx_operand(TDX_OPERAND_INVALID, TDX_RCX);
    }
    set_state(c->m, SYS_SHUTDOWN);
    unlock_alone(c->m);
    return TDX_SUCCESS;
}

static uint64_t tdh_sys_lp_shutdown(TdxCall *c)
{
    if (!tdx_trylock(&c->m->sys_lock, LOCK_EXCLUSIVE)) {
        return TDX_SYS_BUSY;
    }
    c->m->lp[c->lp].init_done = false;
    set_state(c->m, SYS_SHUTDOWN);
    tdx_unlock(&c->m->sys_lock, LOCK_EXCLUSIVE);
    return TDX_SUCCESS;
}

/*
 * After an update: take over what the module before left.  P-SEAMLDR installs no
 * module here, so there never is a handoff.  ABI leaf 53.
 */
static uint64_t tdh_sys_update(TdxCall *c)
{
    uint64_t st = TDX_SYS_INVALID_HANDOFF;

    if (!tdx_trylock(&c->m->sys_lock, LOCK_EXCLUSIVE)) {
        return TDX_SYS_BUSY;
    }
    if (c->m->state != SYS_INIT_DONE || !all_lps_done(c->m)) {
        st = TDX_SYS_STATE_INCORRECT;
    }
    tdx_unlock(&c->m->sys_lock, LOCK_EXCLUSIVE);
    return st;
}

const Leaf tdx_leaves_sys[] = {
    { TDH_SYS_INIT, 0, LEAF_BEFORE_READY, "TDH.SYS.INIT", tdh_sys_init, INIT_OUTPUTS },
    { TDH_SYS_LP_INIT, 0, LEAF_BEFORE_READY, "TDH.SYS.LP.INIT", tdh_sys_lp_init,
      INIT_OUTPUTS },
    { TDH_SYS_RD, 0, LEAF_BEFORE_READY, "TDH.SYS.RD", tdh_sys_rd, 0 },
    { TDH_SYS_CONFIG, 0, LEAF_BEFORE_READY, "TDH.SYS.CONFIG", tdh_sys_config, 0 },
    { TDH_SYS_KEY_CONFIG, 0, LEAF_BEFORE_READY, "TDH.SYS.KEY.CONFIG",
      tdh_sys_key_config, 0 },
    { TDH_SYS_TDMR_INIT, 0, 0, "TDH.SYS.TDMR.INIT", tdh_sys_tdmr_init,
      TDX_REG(TDX_RDX) },
    { TDH_SYS_SHUTDOWN, 0, LEAF_ALONE, "TDH.SYS.SHUTDOWN", tdh_sys_shutdown, 0 },
    { TDH_SYS_LP_SHUTDOWN, 0, LEAF_BEFORE_READY | LEAF_IN_SHUTDOWN,
      "TDH.SYS.LP.SHUTDOWN", tdh_sys_lp_shutdown, 0 },
    { TDH_SYS_UPDATE, 0, LEAF_BEFORE_READY, "TDH.SYS.UPDATE", tdh_sys_update, 0 },
    { TDH_SYS_DISABLE, 0, LEAF_BEFORE_READY | LEAF_IN_SHUTDOWN | LEAF_ALONE,
      "TDH.SYS.DISABLE", tdh_sys_disable, 0 },
    { 0 },
};
