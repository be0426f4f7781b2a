/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.MNG.* and TDH.MR.*: making a TD, its keys, metadata, measurement, and the
 * key's way back.
 */
#include "life.h"
#include "sept.h"

#define RCX_INVALID     OPERAND(TDX_OPERAND_INVALID, RCX)
#define RDX_INVALID     OPERAND(TDX_OPERAND_INVALID, RDX)
#define RCX_BUSY        OPERAND(TDX_OPERAND_BUSY, RCX)

typedef struct Fixture {
    Machine *mc;
    Life l;
    uint64_t page;
} Fixture;

/* @data: the packages, if not NULL 2. */
static void set_up(Fixture *f, gconstpointer data)
{
    f->mc = machine_new(2, data ? 2 : 1);
    machine_ready(f->mc);
    f->page = machine_page(f->mc);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    (void)data;
    machine_free(f->mc);
}

static void test_create(Fixture *f, gconstpointer data)
{
    static const uint64_t bad_hkid[] = {
        0, MACHINE_MKTME_KEYIDS, MACHINE_MKTME_KEYIDS + MACHINE_TDX_KEYIDS + 1,
        1ull << 16 | LIFE_HKID, UINT64_MAX,
    };
    Machine *mc = f->mc;
    struct tdr *tdr = machine_ptr(mc, f->page, 4096);

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(bad_hkid); i++) {
        assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = 1, .rdx = bad_hkid[i]),
                      RDX_INVALID);
    }
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = 1, .rdx = LIFE_HKID), RCX_INVALID);
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = 8 * GIB, .rdx = LIFE_HKID),
                  OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX));
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = 0x1000, .rdx = LIFE_HKID),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    assert_status(CALL_LOCKED(mc, life_page_lock(mc, f->page), LOCK_SHARED, 0,
                              TDH_MNG_CREATE, .rcx = f->page, .rdx = LIFE_HKID),
                  RCX_BUSY);
    assert_status(CALL_LOCKED(mc, &mc->mod->kot_lock, LOCK_SHARED, 0, TDH_MNG_CREATE,
                              .rcx = f->page, .rdx = LIFE_HKID),
                  OPERAND(TDX_OPERAND_BUSY, KOT));
    mc->no_entropy = true;
    /* The global KeyID; the key table comes before entropy. */
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = f->page,
                       .rdx = MACHINE_GLOBAL_HKID), TDX_HKID_NOT_FREE);
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = f->page, .rdx = LIFE_HKID),
                  TDX_RND_NO_ENTROPY);
    mc->no_entropy = false;
    g_assert_cmpuint(tdxmod_pages_in_use(mc->mod), ==, 0);
    memset(tdr, 0xff, 4096);
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = f->page, .rdx = LIFE_HKID),
                  TDX_SUCCESS);
    g_assert_cmpuint(tdr->lifecycle, ==, TD_HKID_ASSIGNED);
    g_assert_cmpuint(tdr->hkid, ==, LIFE_HKID);
    g_assert_cmpuint(tdr->chldcnt, ==, 0);
    g_assert_cmpuint(tdr->fatal | tdr->num_tdcx | tdr->pkg_config_bitmap, ==, 0);
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = f->page, .rdx = LIFE_HKID + 1),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = machine_page(mc),
                       .rdx = LIFE_HKID), TDX_HKID_NOT_FREE);
    assert_status(CALL(mc, 0, TDX_RAX(TDH_MNG_CREATE, 1)),
                  OPERAND(TDX_OPERAND_INVALID, RAX));
}

/* TDR operand in RCX, exclusive: the same for four leaves. */
static void check_tdr_operand(Fixture *f, unsigned leaf)
{
    Machine *mc = f->mc;

    assert_status(CALL(mc, 0, leaf, .rcx = f->l.tdr + 8), RCX_INVALID);
    assert_status(CALL(mc, 0, leaf, .rcx = 8 * GIB),
                  OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX));
    assert_status(CALL(mc, 0, leaf, .rcx = f->page),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    assert_status(CALL_LOCKED(mc, life_page_lock(mc, f->l.tdr), LOCK_SHARED, 0, leaf,
                              .rcx = f->l.tdr), RCX_BUSY);
}

static void test_key_config(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;

    (void)data;
    life_create(&f->l, mc, LIFE_HKID);
    check_tdr_operand(f, TDH_MNG_KEY_CONFIG);
    life_tdr(&f->l)->fatal = 1;
    assert_status(CALL(mc, 0, TDH_MNG_KEY_CONFIG, .rcx = f->l.tdr), TDX_TD_FATAL);
    life_tdr(&f->l)->fatal = 0;
    assert_status(CALL(mc, 1, TDH_MNG_KEY_CONFIG, .rcx = f->l.tdr), TDX_SUCCESS);
    g_assert_cmpuint(life_tdr(&f->l)->lifecycle, ==, TD_HKID_ASSIGNED);
    assert_status(CALL(mc, 1, TDH_MNG_KEY_CONFIG, .rcx = f->l.tdr), TDX_KEY_CONFIGURED);
    assert_status(CALL(mc, 0, TDH_MNG_ADDCX, .rcx = f->page, .rdx = f->l.tdr),
                  TDX_TD_KEYS_NOT_CONFIGURED);
    assert_status(CALL(mc, 0, TDH_MNG_KEY_CONFIG, .rcx = f->l.tdr), TDX_SUCCESS);
    g_assert_cmpuint(life_tdr(&f->l)->lifecycle, ==, TD_KEYS_CONFIGURED);
    assert_status(CALL(mc, 0, TDH_MNG_KEY_CONFIG, .rcx = f->l.tdr),
                  TDX_LIFECYCLE_STATE_INCORRECT);
}

static void test_addcx(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l;
    const uint64_t *word;

    (void)data;
    life_create(l, mc, LIFE_HKID);
    life_key_config(l);
    assert_status(CALL(mc, 0, TDH_MNG_ADDCX, .rcx = 1, .rdx = l->tdr + 8), RDX_INVALID);
    assert_status(CALL_LOCKED(mc, life_page_lock(mc, l->tdr), LOCK_SHARED, 0,
                              TDH_MNG_ADDCX, .rcx = 1, .rdx = l->tdr),
                  OPERAND(TDX_OPERAND_BUSY, RDX));
    life_tdr(l)->fatal = 1;
    life_tdr(l)->lifecycle = TD_BLOCKED;
    assert_status(CALL(mc, 0, TDH_MNG_ADDCX, .rcx = 1, .rdx = l->tdr), TDX_TD_FATAL);
    life_tdr(l)->fatal = 0;
    assert_status(CALL(mc, 0, TDH_MNG_ADDCX, .rcx = 1, .rdx = l->tdr),
                  TDX_TD_KEYS_NOT_CONFIGURED);
    life_tdr(l)->lifecycle = TD_KEYS_CONFIGURED;
    assert_status(CALL(mc, 0, TDH_MNG_ADDCX, .rcx = 1, .rdx = l->tdr), RCX_INVALID);
    assert_status(CALL(mc, 0, TDH_MNG_ADDCX, .rcx = l->tdr, .rdx = l->tdr), RCX_BUSY);
    assert_status(CALL_LOCKED(mc, life_page_lock(mc, f->page), LOCK_SHARED, 0,
                              TDH_MNG_ADDCX, .rcx = f->page, .rdx = l->tdr), RCX_BUSY);
    assert_status(CALL(mc, 0, TDH_MNG_INIT, .rcx = l->tdr), TDX_TDCS_NOT_ALLOCATED);
    for (unsigned i = 0; i < TDCS_PAGES; i++) {
        uint64_t page = machine_page(mc);

        memset(machine_ptr(mc, page, 4096), 0x77, 4096);
        assert_status(CALL(mc, 0, TDH_MNG_ADDCX, .rcx = page, .rdx = l->tdr),
                      TDX_SUCCESS);
        g_assert_cmpuint(life_tdr(l)->num_tdcx, ==, i + 1);
        g_assert_cmpuint(life_tdr(l)->chldcnt, ==, i + 1);
        word = machine_ptr(mc, page, 4096);
        for (unsigned j = 0; j < 512; j++) {
            /* MSR bitmaps exit on all, the S-EPT root is free */
            g_assert_cmphex(word[j], ==, i == 5 ? UINT64_MAX : i == 6 ? 1ull << 63 : 0);
        }
        assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = page), TDX_SUCCESS);
        g_assert_cmphex(mc->out.rcx, ==, PT_TDCX);
        g_assert_cmphex(mc->out.rdx, ==, l->tdr);
    }
    assert_status(CALL(mc, 0, TDH_MNG_ADDCX, .rcx = 1, .rdx = l->tdr),
                  TDX_TDCX_NUM_INCORRECT);
}

static void test_init(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l;
    struct tdcs *tdcs;
    const uint64_t bad[] = {
        0x800 + 512, 1ull << 52, 512 * MIB,
        f->page | (uint64_t)LIFE_HKID << MACHINE_HKID_SHIFT,
    };

    (void)data;
    life_create(l, mc, LIFE_HKID);
    life_key_config(l);
    life_add_tdcs(l);
    check_tdr_operand(f, TDH_MNG_INIT);
    assert_status(CALL(mc, 0, TDH_MNG_INIT, .rcx = l->tdr | 1, .rdx = 1), RCX_INVALID);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_status(CALL(mc, 0, TDH_MNG_INIT, .rcx = l->tdr, .rdx = bad[i]),
                      RDX_INVALID);
        g_assert_cmphex(mc->out.rcx, ==, 0);
    }
    /* No TD with all zeros; what each field may be is tested elsewhere. */
    assert_status(CALL(mc, 0, TDH_MNG_INIT, .rcx = l->tdr, .rdx = f->page),
                  OPERAND(TDX_OPERAND_INVALID, XFAM));
    tdcs = life_tdcs(l);
    g_assert_cmpuint(tdcs->op_state, ==, OP_STATE_UNINITIALIZED);
    life_mng_init(l);
    g_assert_cmpuint(tdcs->op_state, ==, OP_STATE_INITIALIZED);
    g_assert_cmpuint(tdcs->td_epoch, ==, 1);
    g_assert_cmpuint(tdcs->refcount[0] + tdcs->refcount[1], ==, 0);
    assert_status(CALL(mc, 0, TDH_MNG_INIT, .rcx = l->tdr, .rdx = l->params),
                  TDX_OP_STATE_INCORRECT);
    assert_status(CALL(mc, 0, TDH_MNG_ADDCX, .rcx = f->page, .rdx = l->tdr),
                  TDX_TDCX_NUM_INCORRECT);
}

/* --- metadata --- */

static uint64_t mng_rd(Fixture *f, uint64_t field)
{
    assert_status(CALL(f->mc, 0, TDH_MNG_RD, .rcx = f->l.tdr, .rdx = field),
                  TDX_SUCCESS);
    g_assert_cmphex(f->mc->out.rdx, ==, field);         /* version 0 */
    return f->mc->out.r8;
}

static void build_for_metadata(Fixture *f)
{
    struct td_params *p;

    life_create(&f->l, f->mc, LIFE_HKID);
    life_key_config(&f->l);
    life_add_tdcs(&f->l);
    p = life_params(&f->l);
    for (unsigned i = 0; i < 48; i++) {
        p->mrconfigid[i] = i;
        p->mrowner[i] = 0x40 + i;
        p->mrownerconfig[i] = 0x80 + i;
    }
    life_mng_init(&f->l);
}

static void test_rd(Fixture *f, gconstpointer data)
{
    Life *l = &f->l;
    uint64_t eax_ebx;

    (void)data;
    build_for_metadata(f);
    life_add_vcpu(l, 0);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDR_FATAL), ==, 0);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDR_NUM_TDCX), ==, TDCS_PAGES);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDR_CHLDCNT), ==, TDCS_PAGES + 6);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDR_LIFECYCLE_STATE), ==, TD_KEYS_CONFIGURED);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDR_TDCX_PA + 3), ==, l->tdcs[3]);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDR_HKID), ==, LIFE_HKID);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDR_PKG_CONFIG_BITMAP), ==, 1);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_NUM_VCPUS), ==, 1);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_NUM_ASSOC_VCPUS), ==, 1);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_OP_STATE), ==, OP_STATE_INITIALIZED);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_ATTRIBUTES), ==, 1 << 28);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_XFAM), ==, 3);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_MAX_VCPUS), ==, LIFE_MAX_VCPUS);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_GPAW), ==, 0);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_EPTP), ==, l->tdcs[6] | 6 | 3 << 3);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_CONFIG_FLAGS), ==, 4);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_TD_EPOCH), ==, 1);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_MRCONFIGID), ==, 0x0706050403020100);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_MRCONFIGID + 5), ==, 0x2f2e2d2c2b2a2928);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_MROWNER), ==, 0x4746454443424140);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_MROWNERCONFIG), ==, 0x8786858483828180);
    /* As KVM writes them: without context and size. */
    g_assert_cmphex(mng_rd(f, 0x110000000000000a), ==,
                    mng_rd(f, TDX_MD_TDCS_TSC_OFFSET));
    g_assert_cmphex(mng_rd(f, 0x110000000000000b), ==, 1ull << 48);     /* 1:1 */
    /* CPUID(0): max. leaf and "Genu"; "ntel", "ineI" */
    eax_ebx = mng_rd(f, TDX_MD_TDCS_CPUID_VALUES | 0x1fe);
    g_assert_cmphex(eax_ebx >> 32, ==, 0x756e6547);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_CPUID_VALUES | 0x1ff), ==,
                    0x6c65746e | 0x49656e69ull << 32);
}

static void test_rd_errors(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l;
    uint64_t id, n = 0, last = 0;
    const struct {
        uint64_t field, status;
    } bad[] = {
        { 0x1f10000000000000, OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX) },
        { TDX_MD_TDCS_ATTRIBUTES | 1ull << 47, OPERAND(TDX_METADATA_FIELD_ID_INCORRECT,
                                                       RDX) },
        { TDX_MD_TDCS_ATTRIBUTES | 1ull << 34, OPERAND(TDX_METADATA_FIELD_ID_INCORRECT,
                                                       RDX) },
        { TDX_MD_TDCS_HP_LOCK_TIMEOUT, TDX_METADATA_FIELD_NOT_READABLE },
        /* CPUID leaf 70H is in no table; leaf 0 has no sub-leaf 5. */
        { TDX_MD_TDCS_CPUID_VALUES | 0x70 << 9 | 0x1fe, TDX_METADATA_FIELD_NOT_READABLE },
        { TDX_MD_TDCS_CPUID_VALUES | 0x100, TDX_METADATA_FIELD_NOT_READABLE },
    };

    (void)data;
    build_for_metadata(f);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_status(CALL(mc, 0, TDH_MNG_RD, .rcx = l->tdr, .rdx = bad[i].field,
                           .r8 = 5), bad[i].status);
        g_assert_cmphex(mc->out.r8, ==, 0);
    }
    assert_status(CALL(mc, 0, TDH_MNG_RD, .rcx = l->tdr + 1, .r8 = 5), RCX_INVALID);
    g_assert_cmphex(mc->out.r8, ==, 0);
    assert_status(CALL(mc, 0, TDX_RAX(TDH_MNG_RD, 2), .rcx = l->tdr),
                  OPERAND(TDX_OPERAND_INVALID, RAX));
    /* Version 1 walks through all readable fields. */
    assert_status(CALL(mc, 0, TDX_RAX(TDH_MNG_RD, 1), .rcx = l->tdr, .rdx = UINT64_MAX),
                  TDX_METADATA_FIRST_FIELD_ID_IN_CONTEXT);
    for (id = mc->out.rdx; id != UINT64_MAX; id = mc->out.rdx) {
        assert_status(CALL(mc, 0, TDX_RAX(TDH_MNG_RD, 1), .rcx = l->tdr, .rdx = id),
                      TDX_SUCCESS);
        g_assert_cmphex(id, !=, last);
        last = id;
        n++;
    }
    g_assert_cmpuint(n, >, 100);
}

static void test_wr(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;

    (void)data;
    build_for_metadata(f);
    /* The host may write none of a production TD's fields. */
    assert_status(CALL(mc, 0, TDH_MNG_WR, .rcx = f->l.tdr, .rdx = TDX_MD_TDCS_ATTRIBUTES,
                       .r8 = 1, .r9 = 1), TDX_METADATA_FIELD_NOT_WRITABLE);
    g_assert_cmphex(mc->out.r8, ==, 0);
    assert_status(CALL(mc, 0, TDH_MNG_WR, .rcx = f->l.tdr, .rdx = TDX_MD_TDCS_TD_CTLS,
                       .r8 = 1, .r9 = 1), TDX_METADATA_FIELD_NOT_WRITABLE);
    assert_status(CALL(mc, 0, TDH_MNG_WR, .rcx = f->l.tdr, .rdx = 0x1f10000000000000,
                       .r8 = 1, .r9 = 1), OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX));
}

/* --- the key's way back --- */

static void test_vpflushdone(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l;

    (void)data;
    life_build(l, mc, LIFE_HKID);
    life_add_vcpu(l, 0);
    check_tdr_operand(f, TDH_MNG_VPFLUSHDONE);
    assert_status(CALL_LOCKED(mc, &mc->mod->kot_lock, LOCK_SHARED, 0,
                              TDH_MNG_VPFLUSHDONE, .rcx = l->tdr),
                  OPERAND(TDX_OPERAND_BUSY, KOT));
    assert_status(CALL(mc, 0, TDH_MNG_VPFLUSHDONE, .rcx = l->tdr), TDX_FLUSHVP_NOT_DONE);
    assert_status(CALL(mc, 0, TDH_MNG_KEY_FREEID, .rcx = l->tdr),
                  TDX_LIFECYCLE_STATE_INCORRECT);
    assert_status(CALL(mc, 0, TDH_VP_FLUSH, .rcx = l->vcpu[0].tdvpr), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_MNG_VPFLUSHDONE, .rcx = l->tdr), TDX_SUCCESS);
    g_assert_cmpuint(life_tdr(l)->lifecycle, ==, TD_BLOCKED);
    assert_status(CALL(mc, 0, TDH_MNG_VPFLUSHDONE, .rcx = l->tdr),
                  TDX_LIFECYCLE_STATE_INCORRECT);
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = f->page, .rdx = LIFE_HKID),
                  TDX_HKID_NOT_FREE);
    assert_status(CALL(mc, 0, TDH_VP_FLUSH, .rcx = l->vcpu[0].tdvpr),
                  TDX_TD_KEYS_NOT_CONFIGURED);
}

static void test_freeid(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l;

    (void)data;
    life_build(l, mc, LIFE_HKID);
    check_tdr_operand(f, TDH_MNG_KEY_FREEID);
    assert_status(CALL(mc, 0, TDH_PHYMEM_CACHE_WB), TDX_NO_HKID_READY_TO_WBCACHE);
    assert_status(CALL(mc, 0, TDH_MNG_VPFLUSHDONE, .rcx = l->tdr), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_MNG_KEY_FREEID, .rcx = l->tdr),
                  TDX_WBCACHE_NOT_COMPLETE);
    assert_status(CALL(mc, 0, TDH_PHYMEM_CACHE_WB), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_MNG_KEY_FREEID, .rcx = l->tdr),
                  TDX_WBCACHE_NOT_COMPLETE);          /* the other package */
    assert_status(CALL(mc, 1, TDH_PHYMEM_CACHE_WB), TDX_SUCCESS);
    assert_status(CALL_LOCKED(mc, &mc->mod->kot_lock, LOCK_SHARED, 0,
                              TDH_MNG_KEY_FREEID, .rcx = l->tdr),
                  OPERAND(TDX_OPERAND_BUSY, KOT));
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RECLAIM, .rcx = l->tdcs[0]),
                  TDX_LIFECYCLE_STATE_INCORRECT);
    assert_status(CALL(mc, 0, TDH_MNG_KEY_FREEID, .rcx = l->tdr), TDX_SUCCESS);
    g_assert_cmpuint(life_tdr(l)->lifecycle, ==, TD_TEARDOWN);
    assert_status(CALL(mc, 0, TDH_MNG_KEY_FREEID, .rcx = l->tdr),
                  TDX_LIFECYCLE_STATE_INCORRECT);
    /* The KeyID is free while the pages are not yet. */
    assert_status(CALL(mc, 0, TDH_MNG_CREATE, .rcx = f->page, .rdx = LIFE_HKID),
                  TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RECLAIM, .rcx = l->tdr),
                  TDX_TD_ASSOCIATED_PAGES_EXIST);
    life_reclaim(l);
    assert_status(CALL(mc, 0, TDH_MNG_KEY_RECLAIMID, .rcx = 123), TDX_SUCCESS);
}

/* A TDR that names another's KeyID does not free it. */
static void test_freeid_scribbled(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l;

    (void)data;
    life_build(l, mc, LIFE_HKID);
    life_tdr(l)->hkid = MACHINE_GLOBAL_HKID;
    assert_status(CALL(mc, 0, TDH_MNG_VPFLUSHDONE, .rcx = l->tdr),
                  TDX_LIFECYCLE_STATE_INCORRECT);
    life_tdr(l)->hkid = 0xffff;
    assert_status(CALL(mc, 0, TDH_MNG_VPFLUSHDONE, .rcx = l->tdr),
                  TDX_LIFECYCLE_STATE_INCORRECT);
    g_assert_cmpuint(mc->errors, >, 0);
}

/* --- measurement --- */

static void add_block(GChecksum *sum, const char *name, uint64_t gpa)
{
    uint8_t block[128] = { 0 };

    strcpy((char *)block, name);
    for (unsigned i = 0; i < 8; i++) {
        block[16 + i] = gpa >> 8 * i;
    }
    g_checksum_update(sum, block, sizeof(block));
}

static void test_measurement(Fixture *f, gconstpointer data)
{
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA384);
    uint8_t want[48], chunk[256];
    gsize len = sizeof(want);
    Machine *mc = f->mc;
    Life *l = &f->l;

    (void)data;
    life_build(l, mc, LIFE_HKID);
    life_add_vcpu(l, 0);
    for (uint64_t gpa = 0x3000; gpa >= 0x2000; gpa -= 0x1000) {
        life_page_add(l, gpa);
        add_block(sum, "MEM.PAGE.ADD", gpa);
        memset(chunk, gpa >> 12, sizeof(chunk));
        for (uint64_t at = gpa; at < gpa + 0x1000; at += 256) {
            assert_status(CALL(mc, 0, TDH_MR_EXTEND, .rcx = at, .rdx = l->tdr),
                          TDX_SUCCESS);
            g_assert_cmphex(mc->out.rcx | mc->out.rdx, ==, 0);
            add_block(sum, "MR.EXTEND", at);
            g_checksum_update(sum, chunk, sizeof(chunk));
        }
    }
    life_page_aug(l, 0x5000);           /* not measured */
    g_checksum_get_digest(sum, want, &len);
    life_finalize(l);
    g_assert_cmpmem(life_tdcs(l)->mrtd, 48, want, len);
    memcpy(chunk, want, 8);
    g_assert_cmphex(mng_rd(f, TDX_MD_TDCS_MRTD), ==, *(uint64_t *)(void *)chunk);
    g_checksum_free(sum);
}

static void test_extend_errors(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l;
    static const uint64_t bad[] = { 0x2080, 1ull << 47, 1ull << 51, 1ull << 63 };

    (void)data;
    life_build(l, mc, LIFE_HKID);
    life_page_aug(l, 0x3000);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_status(CALL(mc, 0, TDH_MR_EXTEND, .rcx = bad[i], .rdx = l->tdr),
                      RCX_INVALID);
        g_assert_cmphex(mc->out.rcx | mc->out.rdx, ==, 0);
    }
    assert_status(CALL(mc, 0, TDH_MR_EXTEND, .rcx = 0x2000, .rdx = l->tdr),
                  OPERAND(TDX_EPT_ENTRY_NOT_PRESENT, RCX));
    g_assert_cmphex(mc->out.rcx, ==, 1ull << 63);
    g_assert_cmphex(mc->out.rdx, ==, 0);        /* level 0, FREE */
    assert_status(CALL(mc, 0, TDH_MR_EXTEND, .rcx = 0x3000, .rdx = l->tdr),
                  OPERAND(TDX_EPT_ENTRY_NOT_PRESENT, RCX));
    g_assert_cmphex(mc->out.rdx, ==, SEPT_PENDING << 8);
    assert_status(CALL(mc, 0, TDH_MR_EXTEND, .rcx = 0x700000000000, .rdx = l->tdr),
                  OPERAND(TDX_EPT_ENTRY_NOT_PRESENT, RCX));
    g_assert_cmphex(mc->out.rdx, ==, TDX_512G);
}

static void test_finalize(Fixture *f, gconstpointer data)
{
    Life *l = &f->l;

    (void)data;
    life_build(l, f->mc, LIFE_HKID);
    check_tdr_operand(f, TDH_MR_FINALIZE);
    assert_status(CALL(f->mc, 0, TDH_MR_FINALIZE, .rcx = l->tdr), TDX_NO_VCPUS);
    life_add_vcpu(l, 0);
    assert_status(CALL(f->mc, 0, TDH_VP_ENTER, .rcx = l->vcpu[0].tdvpr),
                  TDX_OP_STATE_INCORRECT);
    life_finalize(l);
    g_assert_cmpuint(life_tdcs(l)->op_state, ==, OP_STATE_RUNNABLE);
    assert_status(CALL(f->mc, 0, TDH_MR_FINALIZE, .rcx = l->tdr), TDX_OP_STATE_INCORRECT);
}

#define ADD(name, two_pkgs, fn) \
    g_test_add("/mng/" name, Fixture, two_pkgs ? "" : NULL, set_up, fn, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("create", false, test_create);
    ADD("key-config", true, test_key_config);
    ADD("addcx", false, test_addcx);
    ADD("init", false, test_init);
    ADD("rd", false, test_rd);
    ADD("rd-errors", false, test_rd_errors);
    ADD("wr", false, test_wr);
    ADD("vpflushdone", false, test_vpflushdone);
    ADD("freeid", true, test_freeid);
    ADD("freeid-scribbled", false, test_freeid_scribbled);
    ADD("measurement", false, test_measurement);
    ADD("extend-errors", false, test_extend_errors);
    ADD("finalize", false, test_finalize);
    return g_test_run();
}
