/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest may write of its TD's and vCPU's metadata (TDG.VM.WR, TDG.VP.WR):
 * the rules of TD_CTLS and of write masks.
 */
#include "life.h"
#include "metadata.h"

#define NOT_VALID       TDX_METADATA_FIELD_VALUE_NOT_VALID

typedef struct Fixture {
    Machine *mc;
    Life l;
    TdxCall c;
    Td td;
    Vcpu vcpu;
    struct tdcs *tdcs;
    uint64_t old;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    (void)data;
    f->mc = machine_new(1, 1);
    machine_ready(f->mc);
    life_build(&f->l, f->mc, LIFE_HKID);
    life_add_vcpu(&f->l, 0);
    life_finalize(&f->l);
    life_enter(&f->l, 0, 0);
    f->c = (TdxCall){ .m = f->mc->mod, .guest = true };
    g_assert_true(td_reopen(&f->c, &f->td, &f->vcpu));
    f->tdcs = f->td.tdcs;
    f->tdcs->topology_enum_configured = f->tdcs->ve_reduction_valid = 0;
    f->tdcs->td_ctls = TDX_TD_CTLS_PENDING_VE_DISABLE;
}

static void tear_down(Fixture *f, gconstpointer data)
{
    (void)data;
    life_exit(&f->l, 0);
    machine_free(f->mc);
}

static uint64_t vm_wr(Fixture *f, uint64_t id, uint64_t value, uint64_t mask)
{
    MdContext x = { .c = &f->c, .td = &f->td };

    return md_write(&md_td, &x, id, value, mask, &f->old);
}

static uint64_t vp_wr(Fixture *f, uint64_t id, uint64_t value, uint64_t mask)
{
    MdContext x = { .c = &f->c, .td = &f->td, .vcpu = &f->vcpu };

    return md_write(&md_vcpu, &x, id, value, mask, &f->old);
}

static void test_td_ctls(Fixture *f, gconstpointer data)
{
    const uint64_t id = 0x1110000300000017;

    (void)data;
    /* PENDING_VE_DISABLE changes only with FLEXIBLE_PENDING_VE. */
    assert_status(vm_wr(f, id, 0, 1), NOT_VALID);
    assert_status(vm_wr(f, id, 1, 1), TDX_SUCCESS);     /* as it is */
    f->tdcs->config_flags |= TDX_CONFIG_FLEXIBLE_PENDING_VE;
    assert_status(vm_wr(f, id, 0, 1), TDX_SUCCESS);
    g_assert_cmphex(f->old, ==, 1);
    g_assert_cmphex(f->tdcs->td_ctls, ==, 0);
    /* Reserved bits. */
    assert_status(vm_wr(f, id, 1 << 4, 1 << 4), TDX_METADATA_FIELD_NOT_WRITABLE);
    assert_status(vm_wr(f, id, 1 << 4 | 1, 1 << 4 | 1), NOT_VALID);
    /* ENUM_TOPOLOGY and REDUCE_VE need what the host configured. */
    assert_status(vm_wr(f, id, 2, 2), NOT_VALID);
    assert_status(vm_wr(f, id, 8, 8), NOT_VALID);
    g_assert_cmphex(f->tdcs->td_ctls, ==, 0);
    f->tdcs->topology_enum_configured = 1;
    assert_status(vm_wr(f, id, 2, 2), TDX_SUCCESS);
    assert_status(vm_wr(f, id, 0, 2), TDX_SUCCESS);
    assert_status(vm_wr(f, id, 8, 8), NOT_VALID);
    f->tdcs->ve_reduction_valid = 1;
    assert_status(vm_wr(f, id, 8, 8), TDX_SUCCESS);
    g_assert_cmphex(f->tdcs->td_ctls, ==, 0xe);         /* with bits 1 and 2 */
    assert_status(vm_wr(f, id, 1ull << 63, 1ull << 63), TDX_SUCCESS);
    g_assert_cmphex(vm_wr(f, id, 0, 8) & TDX_ERROR, ==, TDX_ERROR);
    g_assert_cmphex(f->tdcs->td_ctls, ==, 1ull << 63 | 0xe);
}

static void test_notify_enables(Fixture *f, gconstpointer data)
{
    const uint64_t id = 0x9100000000000010;     /* as Linux writes it */

    (void)data;
    assert_status(vm_wr(f, id, 0, UINT64_MAX), TDX_SUCCESS);
    assert_status(vm_wr(f, id, 1, UINT64_MAX), TDX_SUCCESS);
    g_assert_cmphex(f->tdcs->notify_enables, ==, 1);
    assert_status(vm_wr(f, id, 3, UINT64_MAX), NOT_VALID);
    assert_status(vm_wr(f, id, 0, 0), TDX_METADATA_FIELD_NOT_WRITABLE);
    assert_status(vm_wr(f, TDX_MD_TDCS_HP_LOCK_TIMEOUT, 12345, UINT64_MAX), TDX_SUCCESS);
    g_assert_cmphex(f->tdcs->hp_lock_timeout, ==, 12345);
    assert_status(vm_wr(f, TDX_MD_TDCS_ATTRIBUTES, 1, 1),
                  TDX_METADATA_FIELD_NOT_WRITABLE);
}

static void test_vcpu(Fixture *f, gconstpointer data)
{
    struct tdvpr *vp = f->vcpu.vp;

    (void)data;
    assert_status(vp_wr(f, TDX_MD_VCPU_CPUID_SUPERVISOR_VE, 1, 1), TDX_SUCCESS);
    assert_status(vp_wr(f, TDX_MD_VCPU_CPUID_USER_VE, 1, 0xff), TDX_SUCCESS);
    g_assert_cmpuint(vp->cpuid_supervisor_ve, ==, 1);
    g_assert_cmpuint(vp->cpuid_user_ve, ==, 1);
    assert_status(vp_wr(f, TDX_MD_VCPU_CPUID_CONTROL + 127, 3, 0xff), TDX_SUCCESS);
    g_assert_cmpuint(vp->cpuid_control[127], ==, 3);
    g_assert_cmpuint(vp->cpuid_control[126], ==, 0);
    assert_status(vp_wr(f, TDX_MD_VCPU_CPUID_CONTROL, 4, 0xff), NOT_VALID);
    assert_status(vp_wr(f, TDX_MD_VCPU_CPUID_CONTROL + 128, 1, 1),
                  OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX));
    /* The host's fields are not the guest's. */
    assert_status(vp_wr(f, 0x203c, 0x1000, UINT64_MAX), TDX_METADATA_FIELD_NOT_WRITABLE);
    assert_status(vp_wr(f, TDX_MD_VCPU_PEND_NMI, 1, 1), TDX_METADATA_FIELD_NOT_WRITABLE);
}

static void test_read_rights(Fixture *f, gconstpointer data)
{
    static const struct {
        uint64_t id;
        bool guest;
    } field[] = {
        { TDX_MD_TDCS_CONFIG_FLAGS, true }, { TDX_MD_TDCS_TD_CTLS, true },
        { 0x9100000000000019, true }, { TDX_MD_TDCS_ATTRIBUTES, true },
        { TDX_MD_TDCS_MRTD + 5, true }, { TDX_MD_TDCS_RTMR + 23, true },
        { TDX_MD_TDR_TD_UUID, true }, { TDX_MD_TDCS_NUM_VCPUS, true },
        { TDX_MD_TDR_HKID, false }, { TDX_MD_TDR_TDCX_PA, false },
        { TDX_MD_TDCS_EPTP, false }, { TDX_MD_TDCS_TSC_OFFSET, false },
        { TDX_MD_TDCS_TD_EPOCH, false }, { TDX_MD_TDCS_OP_STATE, false },
    };
    MdContext x = { .c = &f->c, .td = &f->td };
    uint64_t value;

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(field); i++) {
        g_test_message("field 0x%" PRIx64, field[i].id);
        assert_status(md_read(&md_td, &x, field[i].id, &value, NULL), field[i].guest ?
                      TDX_SUCCESS : TDX_METADATA_FIELD_NOT_READABLE);
    }
}

#define ADD(name, fn) g_test_add("/fields/" name, Fixture, NULL, set_up, fn, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("td-ctls", test_td_ctls);
    ADD("notify-enables", test_notify_enables);
    ADD("vcpu", test_vcpu);
    ADD("read-rights", test_read_rights);
    return g_test_run();
}
