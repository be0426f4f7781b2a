/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a TD, for tests.
 */
#include "life.h"
#include "sept.h"

void life_key_config(Life *l)
{
    for (unsigned pkg = 0; pkg < l->mc->config.num_pkgs; pkg++) {
        assert_status(CALL(l->mc, pkg, TDH_MNG_KEY_CONFIG, .rcx = l->tdr), TDX_SUCCESS);
    }
}

void life_create(Life *l, Machine *mc, uint16_t hkid)
{
    memset(l, 0, sizeof(*l));
    l->mc = mc;
    l->hkid = hkid;
    l->tdr = machine_page(mc);
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = l->tdr, .rdx = hkid), TDX_SUCCESS);
}

void life_add_tdcs(Life *l)
{
    while (l->num_tdcs < TDCS_PAGES) {
        l->tdcs[l->num_tdcs] = machine_page(l->mc);
        assert_status(CALL(l->mc, 0, TDH_MNG_ADDCX, .rcx = l->tdcs[l->num_tdcs++],
                           .rdx = l->tdr), TDX_SUCCESS);
    }
}

struct td_params *life_params(Life *l)
{
    if (!l->params) {
        struct td_params *p;

        l->params = machine_page(l->mc);
        p = machine_ptr(l->mc, l->params, sizeof(*p));
        p->attributes = TDX_ATTR_SEPT_VE_DISABLE;
        p->xfam = 3;
        p->max_vcpus = LIFE_MAX_VCPUS;
        p->eptp_controls = 6 | 3 << 3;
        p->config_flags = TDX_CONFIG_NO_RBP_MOD;
        p->tsc_frequency = 40;          /* 1 GHz */
    }
    return machine_ptr(l->mc, l->params, sizeof(struct td_params));
}

void life_mng_init(Life *l)
{
    life_params(l);
    assert_status(CALL(l->mc, 0, TDH_MNG_INIT, .rcx = l->tdr, .rdx = l->params),
                  TDX_SUCCESS);
    g_assert_cmphex(l->mc->out.rcx, ==, 0);
}

void life_build(Life *l, Machine *mc, uint16_t hkid)
{
    life_create(l, mc, hkid);
    life_key_config(l);
    life_add_tdcs(l);
    life_mng_init(l);
}

unsigned life_create_vcpu(Life *l)
{
    unsigned i = l->num_vcpus++;

    g_assert(i < LIFE_MAX_VCPUS);
    l->vcpu[i].tdvpr = machine_page(l->mc);
    assert_status(CALL(l->mc, 0, TDH_VP_CREATE, .rcx = l->vcpu[i].tdvpr, .rdx = l->tdr),
                  TDX_SUCCESS);
    while (l->vcpu[i].num_tdcx < TDVPS_TDCX_PAGES) {
        uint64_t page = machine_page(l->mc);

        l->vcpu[i].tdcx[l->vcpu[i].num_tdcx++] = page;
        assert_status(CALL(l->mc, 0, TDH_VP_ADDCX, .rcx = page,
                           .rdx = l->vcpu[i].tdvpr), TDX_SUCCESS);
    }
    return i;
}

unsigned life_add_vcpu(Life *l, unsigned lp)
{
    unsigned i = life_create_vcpu(l);

    assert_status(CALL(l->mc, lp, TDX_RAX(TDH_VP_INIT, 1), .rcx = l->vcpu[i].tdvpr,
                       .rdx = 0x1000, .r8 = i), TDX_SUCCESS);
    return i;
}

void life_sept(Life *l, uint64_t gpa, unsigned level)
{
    for (unsigned at = TDX_512G; at > level; at--) {
        uint64_t aligned = gpa & ~(TDX_LEVEL_SIZE(at) - 1), page;
        uint64_t st = CALL(l->mc, 0, TDH_MEM_SEPT_RD, .rcx = aligned | at,
                           .rdx = l->tdr);

        assert_status(st, TDX_SUCCESS);
        if ((l->mc->out.rdx >> 8 & 0xff) != SEPT_FREE) {
            continue;
        }
        g_assert(l->num_pages < LIFE_MAX_PAGES);
        page = l->page[l->num_pages++] = machine_page(l->mc);
        assert_status(CALL(l->mc, 0, TDH_MEM_SEPT_ADD, .rcx = aligned | at,
                           .rdx = l->tdr, .r8 = page), TDX_SUCCESS);
    }
}

uint64_t life_page_add(Life *l, uint64_t gpa)
{
    uint64_t page = machine_page(l->mc), source = machine_page(l->mc);

    memset(machine_ptr(l->mc, source, 4096), (uint8_t)(gpa >> 12), 4096);
    life_sept(l, gpa, TDX_4K);
    assert_status(CALL(l->mc, 0, TDH_MEM_PAGE_ADD, .rcx = gpa, .rdx = l->tdr, .r8 = page,
                       .r9 = source), TDX_SUCCESS);
    return page;
}

uint64_t life_page_aug(Life *l, uint64_t gpa)
{
    uint64_t page = machine_page(l->mc);

    life_sept(l, gpa, TDX_4K);
    assert_status(CALL(l->mc, 0, TDH_MEM_PAGE_AUG, .rcx = gpa, .rdx = l->tdr,
                       .r8 = page), TDX_SUCCESS);
    return page;
}

void life_finalize(Life *l)
{
    assert_status(CALL(l->mc, 0, TDH_MR_FINALIZE, .rcx = l->tdr), TDX_SUCCESS);
}

void life_zap(Life *l, uint64_t gpa, unsigned level)
{
    Machine *mc = l->mc;
    uint64_t page;

    assert_status(CALL(mc, 0, TDH_MEM_RANGE_BLOCK, .rcx = gpa | level, .rdx = l->tdr),
                  TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_MEM_TRACK, .rcx = l->tdr), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_REMOVE, .rcx = gpa | level, .rdx = l->tdr),
                  TDX_SUCCESS);
    page = mc->out.rcx;
    for (uint64_t at = 0; at < TDX_LEVEL_SIZE(level); at += 4096) {
        assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = (page + at) |
                           (uint64_t)l->hkid << MACHINE_HKID_SHIFT), TDX_SUCCESS);
    }
}

bool life_accept(Life *l, uint64_t gpa, unsigned level)
{
    TdxMod *m = l->mc->mod;
    TdxCall c = { .m = m, .guest = true };
    SeptWalk w;
    bool done;
    Td td = { .pa = l->tdr, .tdr = life_tdr(l), .tdcs = life_tdcs(l) };

    if (td_lock_sept(&td, LOCK_SHARED)) {
        return false;
    }
    done = sept_walk_leaf(m, &td, gpa, &w) && w.level == level &&
           w.state == SEPT_PENDING && sept_accept(m, &td, &w);
    td_unlock(&c, &td);
    return done;
}

void life_enter(Life *l, unsigned vcpu, unsigned lp)
{
    assert_status(CALL(l->mc, lp, TDH_VP_ENTER, .rcx = l->vcpu[vcpu].tdvpr),
                  TDH_VP_ENTER);        /* RAX is as it was */
    g_assert_cmpint(l->mc->action, ==, TDX_ENTER_TD);
}

void life_exit(Life *l, unsigned lp)
{
    vp_run_end(l->mc->mod, lp);
    machine_check(l->mc);
}

void life_release_hkid(Life *l)
{
    Machine *mc = l->mc;

    for (unsigned i = 0; i < l->num_vcpus; i++) {
        uint32_t lp = life_tdvpr(l, i)->assoc_lpid;

        if (lp != TDX_NO_LP) {
            assert_status(CALL(mc, lp, TDH_VP_FLUSH, .rcx = l->vcpu[i].tdvpr),
                          TDX_SUCCESS);
        }
    }
    assert_status(CALL(mc, 0, TDH_MNG_VPFLUSHDONE, .rcx = l->tdr), TDX_SUCCESS);
    for (unsigned pkg = 0; pkg < mc->config.num_pkgs; pkg++) {
        assert_status(CALL(mc, pkg, TDH_PHYMEM_CACHE_WB, .rcx = 0), TDX_SUCCESS);
    }
    assert_status(CALL(mc, 0, TDH_MNG_KEY_FREEID, .rcx = l->tdr), TDX_SUCCESS);
}

static void reclaim(Life *l, uint64_t page, enum pamt_type type)
{
    Machine *mc = l->mc;

    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RECLAIM, .rcx = page), TDX_SUCCESS);
    g_assert_cmphex(mc->out.rcx, ==, type);
    g_assert_cmphex(mc->out.rdx, ==, type == PT_TDR ? 0 : l->tdr);
}

void life_reclaim(Life *l)
{
    for (unsigned i = 0; i < l->num_pages; i++) {
        reclaim(l, l->page[i], PT_EPT);
    }
    for (unsigned i = 0; i < l->num_vcpus; i++) {
        for (unsigned j = 0; j < l->vcpu[i].num_tdcx; j++) {
            reclaim(l, l->vcpu[i].tdcx[j], PT_TDCX);
        }
        reclaim(l, l->vcpu[i].tdvpr, PT_TDVPR);
    }
    for (unsigned i = 0; i < l->num_tdcs; i++) {
        reclaim(l, l->tdcs[i], PT_TDCX);
    }
    reclaim(l, l->tdr, PT_TDR);
    assert_status(CALL(l->mc, 0, TDH_PHYMEM_PAGE_WBINVD, .rcx = l->tdr |
                       (uint64_t)MACHINE_GLOBAL_HKID << MACHINE_HKID_SHIFT),
                  TDX_SUCCESS);
}

void life_destroy(Life *l)
{
    life_release_hkid(l);
    life_reclaim(l);
}

uint16_t *life_page_lock(Machine *mc, uint64_t pa)
{
    PamtPage p;

    g_assert_true(pamt_held(mc->mod, &p, pa, LOCK_SHARED));
    return &p.entry->lock;
}

uint64_t life_call_locked(Machine *mc, uint16_t *lock, LockMode mode, unsigned lp,
                          uint64_t rax, Regs in)
{
    uint64_t st;

    g_assert_true(tdx_trylock(lock, mode));
    mc->no_check = true;
    st = seamcall(mc, lp, rax, in);
    mc->no_check = false;
    tdx_unlock(lock, mode);
    machine_check(mc);          /* the call itself left nothing locked */
    return st;
}

struct tdr *life_tdr(Life *l)
{
    return machine_ptr(l->mc, l->tdr, sizeof(struct tdr));
}

struct tdcs *life_tdcs(Life *l)
{
    return machine_ptr(l->mc, l->tdcs[TDCS_CONTROL], sizeof(struct tdcs));
}

struct tdvpr *life_tdvpr(Life *l, unsigned vcpu)
{
    return machine_ptr(l->mc, l->vcpu[vcpu].tdvpr, sizeof(struct tdvpr));
}
