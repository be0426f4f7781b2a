/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making and resetting a module, and the dispatch of leaves: what is checked
 * for all of them alike, in the module's order.
 */
#include <string.h>
#include "module.h"
#include "pamt.h"
#include "td.h"
#include "guest.h"

static const Leaf *const host_tables[] = {
    tdx_leaves_sys,
    tdx_leaves_phymem,
    tdx_leaves_pamt,
    tdx_leaves_mng,
    tdx_leaves_vp,
    tdx_leaves_mem,
    tdx_leaves_mr,
};

static const Leaf *const guest_tables[] = {
    tdx_leaves_tdg,
};

static void index_leaves(const Leaf *rows[TDX_MAX_LEAF], const Leaf *const tables[],
                         size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (const Leaf *row = tables[i]; row && row->handler; row++) {
            g_assert(row->number < TDX_MAX_LEAF && !rows[row->number]);
            rows[row->number] = row;
        }
    }
}

/*
 * What TDs may be given.  ATTRIBUTES: only what the processor side can do;
 * XFAM: what it has, less what the model does not handle.
 */
static void set_personality(TdxMod *m)
{
    static const uint8_t features[] = {
        TDX_FEATURE_TDG_VP_RDWR, TDX_FEATURE_RELAXED_MEM_MNG,
        TDX_FEATURE_TD_ENTRY_ENHANCEMENTS, TDX_FEATURE_PENDING_EPT_VIOLATION_V2,
        TDX_FEATURE_NO_RBP_MOD, TDX_FEATURE_TOPOLOGY_ENUM, TDX_FEATURE_CPUID2_VIRT,
        TDX_FEATURE_VE_REDUCTION, TDX_FEATURE_SYS_DISABLE,
    };

    for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
        m->features0 |= 1ull << features[i];
    }
    if (m->config.dynamic_pamt) {
        m->features0 |= 1ull << TDX_FEATURE_DYNAMIC_PAMT;
    }
    m->attributes_fixed0 = TDX_ATTR_SEPT_VE_DISABLE;
    m->xfam_fixed0 = (m->config.xcr0 | m->config.xss) & 0x6dbe7;
    m->xfam_fixed1 = 3;
    m->xfam_fixed0 |= m->xfam_fixed1;
    m->config_flags_fixed0 = TDX_CONFIG_FLEXIBLE_PENDING_VE | TDX_CONFIG_NO_RBP_MOD;
    if (m->config.ept_5_levels) {
        m->config_flags_fixed0 |= TDX_CONFIG_GPAW;
    }
}

void tdx_reset_state(TdxMod *m)
{
    ledger_stop(m);
    m->state = SYS_INIT_PENDING;
    __atomic_store_n(&m->disabling, false, __ATOMIC_RELEASE);
    m->dynamic_pamt = false;
    m->global_hkid = 0;
    m->pkgs_key_done = 0;
    m->num_tdmrs = 0;
    memset(m->tdmr, 0, sizeof(m->tdmr));
    memset(m->kot, 0, sizeof(m->kot));
    memset(m->lp, 0, sizeof(m->lp));
}

static bool config_valid(const TdxModConfig *c)
{
    /* Sums of 32-bit numbers in 64 bits; KeyID 0 is not a TD's nor MKTME's. */
    uint64_t last_keyid = (uint64_t)c->num_mktme_keyids + c->num_tdx_keyids;

    if (!c->num_lps || c->num_lps > TDXMOD_MAX_LPS || !c->num_pkgs ||
        c->num_pkgs > TDXMOD_MAX_LPS || c->num_cmrs > TDXMOD_MAX_CMRS) {
        return false;
    }
    for (unsigned i = 0; i < c->num_lps; i++) {
        if (c->lp_pkg[i] >= c->num_pkgs) {
            return false;
        }
    }
    return c->max_pa <= 52 && c->keyid_bits < c->max_pa && c->keyid_bits < 16 &&
           (!c->dynamic_pamt || c->max_pa - c->keyid_bits <= TDX_DYNAMIC_PAMT_MAX_PA) &&
           c->num_tdx_keyids >= 2 && last_keyid < TDX_MAX_HKIDS &&
           last_keyid < 1ull << c->keyid_bits;
}

TdxMod *tdxmod_new(const TdxPlatform *platform, const TdxModConfig *config)
{
    TdxMod *m;

    if (!config_valid(config)) {
        return NULL;
    }
    m = g_new0(TdxMod, 1);
    m->platform = *platform;
    m->config = *config;
    m->hkid_shift = config->max_pa - config->keyid_bits;
    m->hpa_mask = (1ull << m->hkid_shift) - 1;
    m->hkid_first = config->num_mktme_keyids + 1;
    m->hkid_end = m->hkid_first + config->num_tdx_keyids;
    set_personality(m);
    index_leaves(m->host_leaf, host_tables, G_N_ELEMENTS(host_tables));
    index_leaves(m->guest_leaf, guest_tables, G_N_ELEMENTS(guest_tables));
    m->cpuid = cpuid_model_new(m);
    m->ledger = ledger_new();
    tdx_reset_state(m);
    return m;
}

void tdxmod_free(TdxMod *m)
{
    if (m) {
        cpuid_model_free(m->cpuid);
        ledger_stop(m);
        ledger_free(m->ledger);
        g_free(m);
    }
}

void tdxmod_reset(TdxMod *m)
{
    tdx_reset_state(m);
    m->sys_lock = 0;
    m->inside_lock = 0;
    m->kot_lock = 0;
    memset(m->wbcache_lock, 0, sizeof(m->wbcache_lock));
}

void tdxmod_lp_reset(TdxMod *m, unsigned lp)
{
    if (lp < TDXMOD_MAX_LPS && m->lp[lp].run.active) {
        vp_run_end(m, lp);
    }
}

static void count(LeafStats *s, uint64_t status)
{
    __atomic_fetch_add(&s->calls, 1, __ATOMIC_RELAXED);
    if (status & TDX_ERROR) {
        __atomic_fetch_add(&s->errors, 1, __ATOMIC_RELAXED);
    }
}

static uint64_t run(TdxCall *c, const Leaf *row)
{
    uint64_t status = row->handler(c);

    if (status & TDX_ERROR) {
        for (unsigned r = 0; r < 16; r++) {
            if (row->zero_on_error & TDX_REG(r)) {
                c->gpr[r] = 0;
            }
        }
    }
    count(&(c->guest ? c->m->guest_stats : c->m->host_stats)[c->leaf], status);
    return status;
}

/* Checks that come before the handler; the order is the module's. */
static uint64_t check_host_call(const TdxCall *c, const Leaf *row)
{
    const uint64_t bad_rax = TDX_OPERAND_INVALID | TDX_OPERAND_ID_RAX;
    unsigned flags = row ? row->flags : 0;
    SysState state = __atomic_load_n(&c->m->state, __ATOMIC_ACQUIRE);

    if ((c->gpr[TDX_RAX] & TDX_RAX_RESERVED) ||
        (c->version && !(row && row->max_version))) {
        return bad_rax;
    }
    if (state == SYS_SHUTDOWN && !(flags & LEAF_IN_SHUTDOWN)) {
        return TDX_SYS_SHUTDOWN;
    }
    if (state != SYS_READY && !(flags & (LEAF_BEFORE_READY | LEAF_IN_SHUTDOWN))) {
        return TDX_SYS_NOT_READY;
    }
    if (!row || c->version > row->max_version) {
        return bad_rax;
    }
    return TDX_SUCCESS;
}

TdxAction tdxmod_seamcall(TdxMod *m, unsigned lp, uint64_t gpr[16], TdxEnter *enter)
{
    TdxCall c = {
        .m = m,
        .lp = lp,
        .leaf = TDX_RAX_LEAF(gpr[TDX_RAX]),
        .version = TDX_RAX_VERSION(gpr[TDX_RAX]),
        .gpr = gpr,
        .action = TDX_RETURN_TO_HOST,
        .enter = enter,
    };
    const Leaf *row = c.leaf < TDX_MAX_LEAF ? m->host_leaf[c.leaf] : NULL;
    uint64_t status, gpr0[16];
    bool alone;

    if (lp >= m->config.num_lps) {
        tdx_log(m, "SEAMCALL %u from unknown LP %u", c.leaf, lp);
        gpr[TDX_RAX] = TDX_OPERAND_INVALID | TDX_OPERAND_ID_RAX;
        return TDX_RETURN_TO_HOST;
    }
    alone = row && (row->flags & LEAF_ALONE);
    if (!alone && (__atomic_load_n(&m->disabling, __ATOMIC_ACQUIRE) ||
                   !tdx_trylock(&m->inside_lock, LOCK_SHARED))) {
        if (row) {
            count(&m->host_stats[c.leaf], TDX_SYS_BUSY);
        }
        gpr[TDX_RAX] = TDX_SYS_BUSY;
        return TDX_RETURN_TO_HOST;
    }
    status = check_host_call(&c, row);
    if (!status && m->dynamic_pamt) {
        memcpy(gpr0, gpr, sizeof(gpr0));
        status = run(&c, row);
        ledger_after(&c, status, gpr0);
    } else if (!status) {
        status = run(&c, row);
    } else if (c.leaf < TDX_MAX_LEAF) {
        count(&m->host_stats[c.leaf], status);
    }
    if (!row) {
        tdx_unimp(m, "SEAMCALL leaf %u", c.leaf);
    }
    if (!alone) {
        tdx_unlock(&m->inside_lock, LOCK_SHARED);
    }
    if (c.action == TDX_RETURN_TO_HOST) {
        gpr[TDX_RAX] = status;
    }
    return c.action;
}

uint64_t tdx_dispatch_guest(TdxCall *c)
{
    const Leaf *row;

    c->guest = true;
    c->leaf = TDX_RAX_LEAF(c->gpr[TDX_RAX]);
    c->version = TDX_RAX_VERSION(c->gpr[TDX_RAX]);
    row = c->leaf < TDX_MAX_LEAF ? c->m->guest_leaf[c->leaf] : NULL;
    if ((c->gpr[TDX_RAX] & ~0xffffffull) || !row || c->version > row->max_version) {
        if (c->leaf < TDX_MAX_LEAF) {
            count(&c->m->guest_stats[c->leaf], TDX_OPERAND_INVALID);
        }
        if (!row) {
            tdx_unimp(c->m, "TDCALL leaf %u", c->leaf);
        }
        return TDX_OPERAND_INVALID | TDX_OPERAND_ID_RAX;
    }
    return run(c, row);
}

bool tdxmod_leaf_stats(TdxMod *m, bool guest, unsigned leaf, const char **name,
                       uint64_t *calls, uint64_t *errors)
{
    const Leaf *row;
    LeafStats *s;

    if (leaf >= TDX_MAX_LEAF) {
        return false;
    }
    row = (guest ? m->guest_leaf : m->host_leaf)[leaf];
    if (!row) {
        return false;
    }
    s = &(guest ? m->guest_stats : m->host_stats)[leaf];
    *name = row->name;
    *calls = __atomic_load_n(&s->calls, __ATOMIC_RELAXED);
    *errors = __atomic_load_n(&s->errors, __ATOMIC_RELAXED);
    return true;
}
