/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.VP.*: making vCPUs, their metadata, association, and TDH.VP.ENTER's checks
 * in the ABI's order.
 */
#include "life.h"
#include "vmx/vmcs.h"

#define RCX_INVALID     OPERAND(TDX_OPERAND_INVALID, RCX)
#define RDX_INVALID     OPERAND(TDX_OPERAND_INVALID, RDX)
#define RCX_BUSY        OPERAND(TDX_OPERAND_BUSY, RCX)

typedef struct Fixture {
    Machine *mc;
    Life l;
    uint64_t page;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    (void)data;
    f->mc = machine_new(3, 1);
    machine_ready(f->mc);
    life_build(&f->l, f->mc, LIFE_HKID);
    f->page = machine_page(f->mc);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    (void)data;
    machine_free(f->mc);
}

static void test_create(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l;
    struct tdvpr *vp = machine_ptr(mc, f->page, 4096);

    (void)data;
    assert_status(CALL(mc, 0, TDH_VP_CREATE, .rcx = 1, .rdx = l->tdr + 8), RDX_INVALID);
    assert_status(CALL(mc, 0, TDH_VP_CREATE, .rcx = 1, .rdx = l->tdr), RCX_INVALID);
    assert_status(CALL(mc, 0, TDH_VP_CREATE, .rcx = 8 * GIB, .rdx = l->tdr),
                  OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX));
    assert_status(CALL(mc, 0, TDH_VP_CREATE, .rcx = l->tdcs[0], .rdx = l->tdr),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    assert_status(CALL_LOCKED(mc, life_page_lock(mc, f->page), LOCK_SHARED, 0,
                              TDH_VP_CREATE, .rcx = f->page, .rdx = l->tdr), RCX_BUSY);
    memset(vp, 0xff, 4096);
    assert_status(CALL(mc, 0, TDH_VP_CREATE, .rcx = f->page, .rdx = l->tdr), TDX_SUCCESS);
    g_assert_cmpuint(vp->state, ==, VCPU_UNINITIALIZED);
    g_assert_cmphex(vp->assoc_lpid, ==, UINT32_MAX);
    g_assert_cmpuint(vp->num_tdcx, ==, 0);
    g_assert_cmpuint(life_tdr(l)->chldcnt, ==, TDCS_PAGES + 1);
    assert_status(CALL(mc, 0, TDH_PHYMEM_PAGE_RDMD, .rcx = f->page), TDX_SUCCESS);
    g_assert_cmphex(mc->out.rcx, ==, PT_TDVPR);
    g_assert_cmphex(mc->out.rdx, ==, l->tdr);
    g_assert_cmpuint(life_tdcs(l)->num_vcpus, ==, 0);
}

/* The TDVPR operand in @reg: the errors of the page and of its owner's lock. */
static void check_tdvpr_operand(Fixture *f, unsigned rax, bool rdx, bool exclusive)
{
    Machine *mc = f->mc;
    uint64_t tdvpr = f->l.vcpu[0].tdvpr;
    const struct {
        uint64_t pa, status;
    } bad[] = {
        { tdvpr + 8, TDX_OPERAND_INVALID },
        { 8 * GIB, TDX_OPERAND_ADDR_RANGE_ERROR },
        { f->page, TDX_PAGE_METADATA_INCORRECT },
        { f->l.tdr, TDX_PAGE_METADATA_INCORRECT },
        { f->l.vcpu[0].tdcx[0], TDX_PAGE_METADATA_INCORRECT },
    };
    unsigned id = rdx ? TDX_OPERAND_ID_RDX : TDX_OPERAND_ID_RCX;
    Regs in = { .rcx = rdx ? 1 : tdvpr, .rdx = rdx ? tdvpr : UINT64_MAX - 1 };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        Regs r = in;

        *(rdx ? &r.rdx : &r.rcx) = bad[i].pa;
        assert_status(seamcall(mc, 0, rax, r), bad[i].status | id);
    }
    assert_status(life_call_locked(mc, life_page_lock(mc, tdvpr),
                                   exclusive ? LOCK_SHARED : LOCK_EXCLUSIVE, 0, rax, in),
                  TDX_OPERAND_BUSY | id);
    assert_status(life_call_locked(mc, life_page_lock(mc, f->l.tdr), LOCK_EXCLUSIVE, 0,
                                   rax, in), OPERAND(TDX_OPERAND_BUSY, TDR));
}

static void test_addcx(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l;
    uint64_t tdvpr;

    (void)data;
    life_create_vcpu(l);
    tdvpr = l->vcpu[0].tdvpr;
    check_tdvpr_operand(f, TDH_VP_ADDCX, true, true);
    assert_status(CALL(mc, 0, TDH_VP_ADDCX, .rcx = 1, .rdx = tdvpr),
                  TDX_TDCX_NUM_INCORRECT);
    life_tdvpr(l, 0)->num_tdcx = 4;
    assert_status(CALL(mc, 0, TDH_VP_ADDCX, .rcx = 1, .rdx = tdvpr), RCX_INVALID);
    assert_status(CALL(mc, 0, TDH_VP_ADDCX, .rcx = l->tdcs[0], .rdx = tdvpr),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    assert_status(CALL(mc, 0, TDX_RAX(TDH_VP_INIT, 1), .rcx = tdvpr),
                  TDX_TDCX_NUM_INCORRECT);
    life_tdvpr(l, 0)->num_tdcx = 5;
    assert_status(CALL(mc, 0, TDX_RAX(TDH_VP_INIT, 1), .rcx = tdvpr), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_VP_ADDCX, .rcx = 1, .rdx = tdvpr),
                  TDX_VCPU_STATE_INCORRECT | VCPU_READY);
}

static void test_init(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l;
    const uint64_t v1 = TDX_RAX(TDH_VP_INIT, 1);
    struct tdvpr *vp;

    (void)data;
    life_create_vcpu(l);
    life_create_vcpu(l);
    life_create_vcpu(l);
    check_tdvpr_operand(f, v1, false, true);
    check_tdvpr_operand(f, TDH_VP_INIT, false, true);
    assert_status(CALL_LOCKED(mc, life_page_lock(mc, l->tdr), LOCK_SHARED, 0, v1,
                              .rcx = l->vcpu[0].tdvpr), OPERAND(TDX_OPERAND_BUSY, TDR));
    assert_status(CALL(mc, 0, TDX_RAX(TDH_VP_INIT, 2), .rcx = l->vcpu[0].tdvpr),
                  OPERAND(TDX_OPERAND_INVALID, RAX));
    assert_status(CALL(mc, 0, v1, .rcx = l->vcpu[0].tdvpr, .r8 = 1ull << 32),
                  OPERAND(TDX_OPERAND_INVALID, R8));
    assert_status(CALL(mc, 1, v1, .rcx = l->vcpu[0].tdvpr, .rdx = 0xabcd, .r8 = 9),
                  TDX_SUCCESS);
    vp = life_tdvpr(l, 0);
    g_assert_cmpuint(vp->state, ==, VCPU_READY);
    g_assert_cmpuint(vp->assoc_lpid, ==, 1);
    g_assert_cmpuint(vp->vcpu_index, ==, 0);
    g_assert_cmpuint(vp->x2apic_id, ==, 9);
    g_assert_cmpuint(life_tdcs(l)->num_assoc_vcpus, ==, 1);
    assert_status(CALL(mc, 1, v1, .rcx = l->vcpu[0].tdvpr, .r8 = 1),
                  TDX_VCPU_STATE_INCORRECT | VCPU_READY);
    assert_status(CALL(mc, 0, v1, .rcx = l->vcpu[1].tdvpr, .r8 = 9),
                  TDX_X2APIC_ID_NOT_UNIQUE | 9);
    g_assert_cmpuint(life_tdcs(l)->num_vcpus, ==, 1);
    assert_status(CALL(mc, 0, v1, .rcx = l->vcpu[1].tdvpr, .r8 = 10), TDX_SUCCESS);
    g_assert_cmpuint(life_tdvpr(l, 1)->vcpu_index, ==, 1);
    life_tdcs(l)->max_vcpus = 2;
    /* The number comes before the id. */
    assert_status(CALL(mc, 0, v1, .rcx = l->vcpu[2].tdvpr, .r8 = 1ull << 32),
                  TDX_MAX_VCPUS_EXCEEDED);
    g_assert_cmphex(life_tdvpr(l, 2)->assoc_lpid, ==, UINT32_MAX);
    /* Numbers that only an overwritten TDCS can hold. */
    life_tdcs(l)->max_vcpus = UINT16_MAX;
    life_tdcs(l)->num_vcpus = 3000;
    assert_status(CALL(mc, 0, v1, .rcx = l->vcpu[2].tdvpr, .r8 = 11),
                  TDX_MAX_VCPUS_EXCEEDED);
}

static void test_init_v0(Fixture *f, gconstpointer data)
{
    Life *l = &f->l;

    (void)data;
    life_create_vcpu(l);
    life_tdcs(l)->topology_enum_configured = 1;
    life_tdcs(l)->ve_reduction_valid = 1;
    /* The TDR is shared: two vCPUs could get their numbers at once. */
    assert_status(CALL_LOCKED(f->mc, &life_tdcs(l)->vcpu_lock, LOCK_EXCLUSIVE, 0,
                              TDH_VP_INIT, .rcx = l->vcpu[0].tdvpr),
                  OPERAND(TDX_OPERAND_BUSY, NUM_VCPUS));
    assert_status(CALL(f->mc, 0, TDH_VP_INIT, .rcx = l->vcpu[0].tdvpr, .r8 = 1ull << 40),
                  TDX_SUCCESS);
    g_assert_cmpuint(life_tdcs(l)->topology_enum_configured, ==, 0);
    g_assert_cmpuint(life_tdcs(l)->ve_reduction_valid, ==, 0);
    g_assert_cmpuint(life_tdcs(l)->num_vcpus, ==, 1);
}

/* --- metadata --- */

static uint64_t vp_rd(Fixture *f, uint64_t field)
{
    assert_status(CALL(f->mc, 0, TDH_VP_RD, .rcx = f->l.vcpu[0].tdvpr, .rdx = field),
                  TDX_SUCCESS);
    return f->mc->out.r8;
}

static uint64_t vp_wr(Fixture *f, uint64_t field, uint64_t value, uint64_t mask)
{
    return CALL(f->mc, 0, TDH_VP_WR, .rcx = f->l.vcpu[0].tdvpr, .rdx = field,
                .r8 = value, .r9 = mask);
}

/* KVM's ids: class and field code only. */
#define VMCS_ID(encoding)       ((uint64_t)(encoding))
#define STATE_DETAILS_ID        (1ull << 63 | 17ull << 56 | 0x100)
#define PEND_NMI_ID             (32ull << 56 | 11)

static void test_kvm_fields(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;

    (void)data;
    life_add_vcpu(&f->l, 0);
    /* Posted interrupts: not before their vector and descriptor. */
    assert_status(vp_wr(f, VMCS_ID(0x4000), 0x80, 0x80),
                  TDX_TD_VMCS_FIELD_NOT_INITIALIZED | 0x0002);
    assert_status(vp_wr(f, VMCS_ID(0x0002), 0xf2, 0xffff), TDX_SUCCESS);
    g_assert_cmphex(mc->out.r8, ==, 0xffff);            /* the initial value */
    assert_status(vp_wr(f, VMCS_ID(0x4000), 0x80, 0x80),
                  TDX_TD_VMCS_FIELD_NOT_INITIALIZED | 0x2016);
    assert_status(vp_wr(f, VMCS_ID(0x2016), 0x123440, UINT64_MAX), TDX_SUCCESS);
    assert_status(vp_wr(f, VMCS_ID(0x4000), 0x80, 0x80), TDX_SUCCESS);
    g_assert_cmphex(vp_rd(f, VMCS_ID(0x4000)) & 0xa9, ==, 0xa9);
    g_assert_cmphex(vp_rd(f, VMCS_ID(0x2016)), ==, 0x123440);
    g_assert_cmphex(vp_rd(f, VMCS_ID(0x0002)), ==, 0xf2);
    /* Shared EPT: the mask is all ones, the low bits stay 0. */
    assert_status(vp_wr(f, VMCS_ID(0x203c), 0x345000, UINT64_MAX), TDX_SUCCESS);
    g_assert_cmphex(vp_rd(f, VMCS_ID(0x203c)), ==, 0x345000);
    assert_status(vp_wr(f, VMCS_ID(0x203c), 0x34501e, UINT64_MAX),
                  TDX_METADATA_FIELD_VALUE_NOT_VALID);
    g_assert_cmphex(mc->out.r8, ==, 0);
    g_assert_cmphex(vp_rd(f, VMCS_ID(0x203c)), ==, 0x345000);
    assert_status(vp_wr(f, PEND_NMI_ID, 1, 0xff), TDX_SUCCESS);
    g_assert_cmphex(vp_rd(f, PEND_NMI_ID), ==, 1);
    g_assert_cmphex(vp_rd(f, STATE_DETAILS_ID), ==, 0);
}

/* RVI[7:4] > PPR[7:4]: a virtual interrupt can be delivered. */
static void test_state_details(Fixture *f, gconstpointer data)
{
    uint32_t *vapic;
    Vmcs *vmcs;

    (void)data;
    life_add_vcpu(&f->l, 0);
    vmcs = machine_ptr(f->mc, f->l.vcpu[0].tdcx[0], sizeof(*vmcs));
    vapic = machine_ptr(f->mc, f->l.vcpu[0].tdcx[1], 4096);
    vmcs_write(vmcs, VMCS_GUEST_INTR_STATUS, 0x31);
    g_assert_cmphex(vp_rd(f, STATE_DETAILS_ID), ==, 1);
    vapic[0xa0 / 4] = 0x30;                             /* PPR */
    g_assert_cmphex(vp_rd(f, STATE_DETAILS_ID), ==, 0);
    vmcs_write(vmcs, VMCS_GUEST_INTR_STATUS, 0x4100);   /* SVI is not asked */
    g_assert_cmphex(vp_rd(f, STATE_DETAILS_ID), ==, 0);
    vmcs_write(vmcs, VMCS_GUEST_INTR_STATUS, 0x40);
    g_assert_cmphex(vp_rd(f, STATE_DETAILS_ID), ==, 1);
}

static void test_wr_refused(Fixture *f, gconstpointer data)
{
    const uint64_t hkid = (uint64_t)LIFE_HKID << MACHINE_HKID_SHIFT;
    const struct {
        uint64_t field, value, mask, status;
    } bad[] = {
        { 0x0002, 0xf2, 0, TDX_METADATA_FIELD_NOT_WRITABLE },
        { 0x0002, 0x100f2, 0x1ffff, TDX_METADATA_FIELD_VALUE_NOT_VALID },
        { 0x2016, 0x123450, UINT64_MAX, TDX_METADATA_FIELD_VALUE_NOT_VALID },
        { 0x2016, 0x123440 | hkid, UINT64_MAX, TDX_METADATA_FIELD_VALUE_NOT_VALID },
        { 0x203c, 0x345000 | hkid, UINT64_MAX, TDX_METADATA_FIELD_VALUE_NOT_VALID },
        { 0x203c, 1ull << 52, UINT64_MAX, TDX_METADATA_FIELD_VALUE_NOT_VALID },
        { 0x4000, 0x40, 0x40, TDX_METADATA_FIELD_NOT_WRITABLE },
        { 0x401e, 1u << 30, 1u << 30, TDX_METADATA_FIELD_VALUE_NOT_VALID },
        { 0x401e, 1, 1, TDX_METADATA_FIELD_NOT_WRITABLE },
        { 0x2010, 5, UINT64_MAX, TDX_METADATA_FIELD_NOT_WRITABLE },
        { 0x201a, 5, UINT64_MAX, TDX_METADATA_FIELD_NOT_WRITABLE },
        { 0x4026, 5, UINT32_MAX, TDX_METADATA_FIELD_NOT_WRITABLE },
        { 0x681e, 5, UINT64_MAX, TDX_METADATA_FIELD_NOT_WRITABLE },     /* RIP */
        { 0x7ffe, 5, UINT64_MAX, OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX) },
        { PEND_NMI_ID, 2, 0xff, TDX_METADATA_FIELD_VALUE_NOT_VALID },
        { TDX_MD_VCPU_INDEX, 1, 1, TDX_METADATA_FIELD_NOT_WRITABLE },
        { TDX_MD_VCPU_CPUID_USER_VE, 1, 1, TDX_METADATA_FIELD_NOT_WRITABLE },
    };

    (void)data;
    life_add_vcpu(&f->l, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_test_message("field 0x%" PRIx64, bad[i].field);
        assert_status(vp_wr(f, bad[i].field, bad[i].value, bad[i].mask), bad[i].status);
        g_assert_cmphex(f->mc->out.r8, ==, 0);
    }
}

static void test_rd(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    uint64_t tdvpr;

    (void)data;
    life_add_vcpu(&f->l, 1);
    tdvpr = f->l.vcpu[0].tdvpr;
    assert_status(CALL(mc, 1, TDH_VP_FLUSH, .rcx = tdvpr), TDX_SUCCESS);
    g_assert_cmphex(vp_rd(f, TDX_MD_VCPU_INDEX), ==, 0);
    g_assert_cmphex(vp_rd(f, TDX_MD_VCPU_NUM_TDCX), ==, 5);
    g_assert_cmphex(vp_rd(f, TDX_MD_VCPU_ASSOC_LPID), ==, 0);   /* by this RD */
    g_assert_cmphex(vp_rd(f, TDX_MD_VMCS(0x4026, 2)), ==, LIFE_HKID);
    g_assert_cmphex(vp_rd(f, TDX_MD_VMCS(0x201a, 3)), ==, f->l.tdcs[6] | 6 | 3 << 3);
    /* A production TD's registers are its own. */
    assert_status(CALL(mc, 0, TDH_VP_RD, .rcx = tdvpr, .rdx = 0x681e, .r8 = 5),
                  TDX_METADATA_FIELD_NOT_READABLE);
    g_assert_cmphex(mc->out.r8, ==, 0);
    assert_status(CALL(mc, 0, TDH_VP_RD, .rcx = tdvpr, .rdx = 16ull << 56, .r8 = 5),
                  TDX_METADATA_FIELD_NOT_READABLE);
    assert_status(CALL(mc, 0, TDH_VP_RD, .rcx = tdvpr, .rdx = TDX_MD_VCPU_CPUID_USER_VE),
                  TDX_METADATA_FIELD_NOT_READABLE);
    assert_status(CALL(mc, 0, TDH_VP_RD, .rcx = tdvpr, .rdx = 0x7ffe),
                  OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX));
    assert_status(CALL(mc, 0, TDX_RAX(TDH_VP_RD, 1), .rcx = tdvpr,
                       .rdx = TDX_MD_VCPU_INDEX), TDX_SUCCESS);
    g_assert_cmphex(mc->out.rdx, ==, TDX_MD_VCPU_NUM_TDCX);
}

static void test_rdwr_order(Fixture *f, gconstpointer data)
{
    static const unsigned leaves[] = { TDH_VP_RD, TDH_VP_WR };
    const uint64_t bad_field = OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX);
    Machine *mc = f->mc;
    Life *l = &f->l;
    uint64_t tdvpr;

    (void)data;
    life_create_vcpu(l);
    tdvpr = l->vcpu[0].tdvpr;
    for (size_t i = 0; i < G_N_ELEMENTS(leaves); i++) {
        struct tdvpr *vp = life_tdvpr(l, 0);
        Regs in = { .rcx = tdvpr, .rdx = 0x7ffe, .r8 = 5, .r9 = 5 };

        check_tdvpr_operand(f, leaves[i], false, false);
        vp->num_tdcx = 4;
        vp->assoc_lpid = 1;
        assert_status(seamcall(mc, 0, leaves[i], in), TDX_TDCX_NUM_INCORRECT);
        vp->num_tdcx = 5;
        assert_status(seamcall(mc, 0, leaves[i], in), TDX_VCPU_ASSOCIATED);
        g_assert_cmphex(mc->out.r8, ==, 0);
        assert_status(seamcall(mc, 1, leaves[i], in), leaves[i] == TDH_VP_WR ?
                      TDX_VCPU_STATE_INCORRECT | VCPU_UNINITIALIZED : bad_field);
        vp->state = VCPU_READY;
        assert_status(seamcall(mc, 1, leaves[i], in), bad_field);
        vp->state = VCPU_UNINITIALIZED;
        vp->assoc_lpid = UINT32_MAX;
    }
}

/* --- association --- */

static void test_flush(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l;
    uint64_t tdvpr;
    struct tdvpr *vp;

    (void)data;
    life_create_vcpu(l);
    tdvpr = l->vcpu[0].tdvpr;
    vp = life_tdvpr(l, 0);
    check_tdvpr_operand(f, TDH_VP_FLUSH, false, true);
    life_tdr(l)->lifecycle = TD_HKID_ASSIGNED;
    vp->num_tdcx = 4;
    assert_status(CALL(mc, 0, TDH_VP_FLUSH, .rcx = tdvpr), TDX_TD_KEYS_NOT_CONFIGURED);
    life_tdr(l)->lifecycle = TD_KEYS_CONFIGURED;
    assert_status(CALL(mc, 0, TDH_VP_FLUSH, .rcx = tdvpr), TDX_TDCX_NUM_INCORRECT);
    vp->num_tdcx = 5;
    assert_status(CALL(mc, 0, TDH_VP_FLUSH, .rcx = tdvpr), TDX_VCPU_NOT_ASSOCIATED);
    assert_status(CALL(mc, 1, TDX_RAX(TDH_VP_INIT, 1), .rcx = tdvpr), TDX_SUCCESS);
    assert_status(CALL(mc, 0, TDH_VP_FLUSH, .rcx = tdvpr), TDX_VCPU_NOT_ASSOCIATED);
    g_assert_cmpuint(life_tdcs(l)->num_assoc_vcpus, ==, 1);
    life_tdr(l)->fatal = 1;             /* not looked at */
    life_tdcs(l)->op_state = 15;        /* nor this */
    assert_status(CALL(mc, 1, TDH_VP_FLUSH, .rcx = tdvpr), TDX_SUCCESS);
    g_assert_cmpuint(life_tdcs(l)->num_assoc_vcpus, ==, 0);
    g_assert_cmphex(vp->assoc_lpid, ==, UINT32_MAX);
    assert_status(CALL(mc, 1, TDH_VP_FLUSH, .rcx = tdvpr), TDX_VCPU_NOT_ASSOCIATED);
}

/* A vCPU that moves to another LP and back starts there with nothing cached. */
static void test_move(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l;
    uint64_t tdvpr;

    (void)data;
    life_add_vcpu(l, 0);
    tdvpr = l->vcpu[0].tdvpr;
    life_finalize(l);
    life_enter(l, 0, 0);
    g_assert_true(mc->enter.flush);
    life_exit(l, 0);
    life_enter(l, 0, 0);
    g_assert_false(mc->enter.flush);
    life_exit(l, 0);
    assert_status(CALL(mc, 1, TDH_VP_ENTER, .rcx = tdvpr), TDX_VCPU_ASSOCIATED);
    assert_status(CALL(mc, 1, TDH_VP_RD, .rcx = tdvpr, .rdx = 2), TDX_VCPU_ASSOCIATED);
    assert_status(CALL(mc, 0, TDH_VP_FLUSH, .rcx = tdvpr), TDX_SUCCESS);
    life_enter(l, 0, 1);
    g_assert_true(mc->enter.flush);
    life_exit(l, 1);
    assert_status(CALL(mc, 1, TDH_VP_FLUSH, .rcx = tdvpr), TDX_SUCCESS);
    life_enter(l, 0, 0);
    g_assert_true(mc->enter.flush);
    life_exit(l, 0);
    g_assert_cmpuint(life_tdcs(l)->num_assoc_vcpus, ==, 1);
}

/* --- TDH.VP.ENTER --- */

static uint64_t enter(Fixture *f, unsigned lp, uint64_t rcx)
{
    uint64_t st = CALL(f->mc, lp, TDH_VP_ENTER, .rcx = rcx, .rdx = 0x55, .r8 = 0x66);

    if (f->mc->action == TDX_RETURN_TO_HOST && !f->mc->no_check) {
        /* The host's registers for the next try. */
        g_assert_cmphex(f->mc->out.rcx, ==, rcx);
        g_assert_cmphex(f->mc->out.rdx, ==, 0x55);
        g_assert_cmphex(f->mc->out.r8, ==, 0x66);
    }
    return st;
}

static void test_enter_order(Fixture *f, gconstpointer data)
{
    static const unsigned not_ready[] = {
        VCPU_UNINITIALIZED, VCPU_ACTIVE, VCPU_DISABLED, 16, 255,
    };
    Machine *mc = f->mc;
    Life *l = &f->l;
    struct tdcs *tdcs = life_tdcs(l);
    struct tdr *tdr = life_tdr(l);
    struct tdvpr *vp;
    uint64_t tdvpr;

    (void)data;
    life_add_vcpu(l, 0);
    tdvpr = l->vcpu[0].tdvpr;
    vp = life_tdvpr(l, 0);
    for (unsigned bit = 0; bit < 64; bit++) {
        if (bit < 12 || bit > 53) {
            assert_status(enter(f, 0, tdvpr | 1ull << bit), RCX_INVALID);
        }
    }
    assert_status(enter(f, 0, 8 * GIB), OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX));
    assert_status(enter(f, 0, f->page), OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    tdr->fatal = 1;
    assert_status(CALL_LOCKED(mc, life_page_lock(mc, tdvpr), LOCK_EXCLUSIVE, 0,
                              TDH_VP_ENTER, .rcx = tdvpr), RCX_BUSY);
    assert_status(CALL_LOCKED(mc, life_page_lock(mc, l->tdr), LOCK_EXCLUSIVE, 0,
                              TDH_VP_ENTER, .rcx = tdvpr),
                  OPERAND(TDX_OPERAND_BUSY, TDR));
    tdr->lifecycle = TD_BLOCKED;
    assert_status(enter(f, 0, tdvpr), TDX_TD_FATAL);
    tdr->fatal = 0;
    assert_status(enter(f, 0, tdvpr), TDX_TD_KEYS_NOT_CONFIGURED);
    tdr->lifecycle = TD_KEYS_CONFIGURED;
    assert_status(CALL_LOCKED(mc, &tdcs->op_state_lock, LOCK_EXCLUSIVE, 0, TDH_VP_ENTER,
                              .rcx = tdvpr), OPERAND(TDX_OPERAND_BUSY, OP_STATE));
    vp->num_tdcx = 4;
    assert_status(enter(f, 0, tdvpr), TDX_OP_STATE_INCORRECT);
    life_finalize(l);
    vp->assoc_lpid = 1;
    vp->state = VCPU_DISABLED;
    assert_status(enter(f, 0, tdvpr), TDX_TDCX_NUM_INCORRECT);
    vp->num_tdcx = 5;
    for (size_t i = 0; i < G_N_ELEMENTS(not_ready); i++) {
        vp->state = not_ready[i];
        assert_status(enter(f, 0, tdvpr), TDX_VCPU_STATE_INCORRECT | not_ready[i]);
    }
    vp->state = VCPU_READY;
    vp->last_exit_tsc = UINT64_MAX;
    assert_status(enter(f, 0, tdvpr), TDX_VCPU_ASSOCIATED);
    vp->assoc_lpid = 0;
    assert_status(CALL_LOCKED(mc, &tdcs->epoch_lock, LOCK_EXCLUSIVE, 0, TDH_VP_ENTER,
                              .rcx = tdvpr), TDX_TSC_ROLLBACK);
    vp->last_exit_tsc = 0;
    assert_status(CALL_LOCKED(mc, &tdcs->epoch_lock, LOCK_EXCLUSIVE, 0, TDH_VP_ENTER,
                              .rcx = tdvpr), OPERAND(TDX_OPERAND_BUSY, TD_EPOCH));
    g_assert_cmpuint(tdcs->refcount[0] + tdcs->refcount[1], ==, 0);
    life_enter(l, 0, 0);
    life_exit(l, 0);
    /* The two hints are accepted. */
    assert_status(enter(f, 0, tdvpr | 3ull << 52), TDH_VP_ENTER);
    g_assert_cmpint(mc->action, ==, TDX_ENTER_TD);
    life_exit(l, 0);
}

/* What the processor is told, what is held, and that the exit gives it back. */
static void test_enter(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l;
    struct tdcs *tdcs = life_tdcs(l);

    (void)data;
    life_add_vcpu(l, 0);
    life_add_vcpu(l, 1);
    life_finalize(l);
    life_enter(l, 0, 0);
    g_assert_cmphex(mc->enter.tdvps[0], ==, l->vcpu[0].tdvpr);
    for (unsigned i = 0; i < 5; i++) {
        g_assert_cmphex(mc->enter.tdvps[i + 1], ==, l->vcpu[0].tdcx[i]);
    }
    g_assert_cmphex(mc->enter.shared_mask, ==, 1ull << 47);
    g_assert_cmpuint(mc->enter.hkid, ==, LIFE_HKID);
    g_assert_true(mc->enter.first);
    g_assert_cmpuint(life_tdvpr(l, 0)->state, ==, VCPU_ACTIVE);
    g_assert_cmpuint(*life_page_lock(mc, l->tdr), ==, 1);
    g_assert_cmpuint(*life_page_lock(mc, l->vcpu[0].tdvpr), ==, 1);
    g_assert_cmpuint(tdcs->refcount[1], ==, 1);
    /* No SEAMCALL comes from inside; the record of LP 0 must not be lost. */
    assert_status(enter(f, 0, l->vcpu[1].tdvpr), OPERAND(TDX_OPERAND_INVALID, RAX));
    life_enter(l, 1, 1);
    g_assert_cmpuint(*life_page_lock(mc, l->tdr), ==, 2);
    g_assert_cmpuint(tdcs->refcount[1], ==, 2);
    /* Another LP cannot take a vCPU that runs. */
    assert_status(enter(f, 2, l->vcpu[0].tdvpr), TDX_VCPU_STATE_INCORRECT | VCPU_ACTIVE);
    life_exit(l, 0);
    life_exit(l, 0);                            /* no effect */
    g_assert_cmpuint(life_tdvpr(l, 0)->state, ==, VCPU_READY);
    g_assert_cmpuint(life_tdvpr(l, 0)->last_exit_tsc, >, 0);
    g_assert_cmpuint(*life_page_lock(mc, l->tdr), ==, 1);
    /* The exit belongs to the epoch of the entry. */
    assert_status(CALL(mc, 0, TDH_MEM_TRACK, .rcx = l->tdr), TDX_SUCCESS);
    life_enter(l, 0, 0);
    g_assert_cmpuint(tdcs->refcount[0], ==, 1);
    g_assert_cmpuint(tdcs->refcount[1], ==, 1);
    life_exit(l, 1);
    g_assert_cmpuint(tdcs->refcount[1], ==, 0);
    tdxmod_lp_reset(mc->mod, 0);                /* INIT while in the TD */
    tdxmod_lp_reset(mc->mod, 0);
    machine_check(mc);
    g_assert_cmpuint(*life_page_lock(mc, l->tdr), ==, 0);
    life_enter(l, 0, 0);
    life_exit(l, 0);
    life_destroy(l);
}

/* A disabled vCPU stays disabled; its memory can be torn down. */
static void test_disabled(Fixture *f, gconstpointer data)
{
    Life *l = &f->l;

    (void)data;
    life_add_vcpu(l, 0);
    life_finalize(l);
    life_enter(l, 0, 0);
    life_tdvpr(l, 0)->state = VCPU_DISABLED;    /* as a triple fault does */
    life_exit(l, 0);
    assert_status(enter(f, 0, l->vcpu[0].tdvpr),
                  TDX_VCPU_STATE_INCORRECT | VCPU_DISABLED);
    life_destroy(l);
    g_assert_cmpuint(tdxmod_pages_in_use(f->mc->mod), ==, 0);
}

/* The TDVPR is overwritten while the vCPU runs: the LP still gets out. */
static void test_scribbled(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l;

    (void)data;
    life_add_vcpu(l, 0);
    life_finalize(l);
    life_enter(l, 0, 0);
    mc->no_check = true;
    memset(life_tdvpr(l, 0), 0, 4096);
    memset(life_tdr(l), 0xff, 4096);
    vp_run_end(mc->mod, 0);
    g_assert_false(mc->mod->lp[0].run.active);
    g_assert_cmpuint(*life_page_lock(mc, l->tdr), ==, 0);
    g_assert_cmpuint(*life_page_lock(mc, l->vcpu[0].tdvpr), ==, 0);
    assert_status(enter(f, 0, l->vcpu[0].tdvpr), TDX_TD_FATAL);
}

#define ADD(name, fn) g_test_add("/vp/" name, Fixture, NULL, set_up, fn, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("create", test_create);
    ADD("addcx", test_addcx);
    ADD("init", test_init);
    ADD("init-v0", test_init_v0);
    ADD("kvm-fields", test_kvm_fields);
    ADD("state-details", test_state_details);
    ADD("wr-refused", test_wr_refused);
    ADD("rd", test_rd);
    ADD("rdwr-order", test_rdwr_order);
    ADD("flush", test_flush);
    ADD("move", test_move);
    ADD("enter-order", test_enter_order);
    ADD("enter", test_enter);
    ADD("disabled", test_disabled);
    ADD("scribbled", test_scribbled);
    return g_test_run();
}
