/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDs and vCPUs from creation to reclaim: operand errors and state errors of
 * TDH.MNG.*, TDH.VP.*, TDH.MR.FINALIZE, TDH.PHYMEM.* in the order in which the
 * module finds them.  Rules are those of the TDX module ABI's leaf pages.
 */
#include "seam.h"

const char test_name[] = "seam_mng";

static Td td;
static u64 free_page;
static u64 keyid;

#define INVALID(reg)    OPERAND(TDX_OPERAND_INVALID, reg)
#define METADATA(reg)   OPERAND(TDX_PAGE_METADATA_INCORRECT, reg)

/* The checks of an explicit private 4 KiB page in the register @id. */
static void bad_page(const char *leaf, u64 (*call)(u64 page), u32 id, u64 wrong_type)
{
    check_eq(call(free_page | BIT(5)), TDX_ST(TDX_OPERAND_INVALID, id),
             "%s: page not 4 KiB aligned", leaf);
    check_eq(call(KEYED(free_page, keyid)), TDX_ST(TDX_OPERAND_INVALID, id),
             "%s: page with a KeyID", leaf);
    check_eq(call(BIT(52)), TDX_ST(TDX_OPERAND_INVALID, id), "%s: page beyond MAXPA",
             leaf);
    check_eq(call(BIT(33)), TDX_ST(TDX_OPERAND_ADDR_RANGE_ERROR, id),
             "%s: page in no TDMR", leaf);
    check_eq(call(0x10000), TDX_ST(TDX_PAGE_METADATA_INCORRECT, id),
             "%s: page in a reserved area", leaf);
    check_eq(call(wrong_type), TDX_ST(TDX_PAGE_METADATA_INCORRECT, id),
             "%s: page of another type", leaf);
}

static u64 rdmd_type(u64 page)
{
    u64 st = tdh_1(TDH_PHYMEM_PAGE_RDMD, page);

    return st ? st : tdh_out.rcx;
}

static u64 mng_rd(u64 field)
{
    u64 st = tdh_2(TDH_MNG_RD, td.tdr, field);

    if (st) {
        print("# TDH.MNG.RD of %llx: %llx\n", (long long)field, (long long)st);
        return ~0ull;
    }
    return tdh_out.r8;
}

static u64 mng_create(u64 page) { return tdh_2(TDH_MNG_CREATE, page, keyid); }
static u64 mng_key_config(u64 page) { return tdh_1(TDH_MNG_KEY_CONFIG, page); }
static u64 mng_addcx_page(u64 page) { return tdh_2(TDH_MNG_ADDCX, page, td.tdr); }
static u64 mng_addcx_tdr(u64 page) { return tdh_2(TDH_MNG_ADDCX, free_page, page); }
static u64 mng_init(u64 page) { return tdh_2(TDH_MNG_INIT, page, (u64)td.params); }
static u64 mng_rd_tdr(u64 page) { return tdh_2(TDH_MNG_RD, page, TDX_MD_TDCS_XFAM); }
static u64 vp_create_page(u64 page) { return tdh_2(TDH_VP_CREATE, page, td.tdr); }
static u64 vp_create_tdr(u64 page) { return tdh_2(TDH_VP_CREATE, free_page, page); }
static u64 vp_addcx_page(u64 page) { return tdh_2(TDH_VP_ADDCX, page, td.vcpu[0].tdvpr); }
static u64 vp_addcx_vp(u64 page) { return tdh_2(TDH_VP_ADDCX, free_page, page); }
static u64 vp_init(u64 page) { return tdh_3(TDX_RAX(TDH_VP_INIT, 1), page, 0, 0); }
static u64 vp_flush(u64 page) { return tdh_1(TDH_VP_FLUSH, page); }
static u64 vp_rd(u64 page) { return tdh_2(TDH_VP_RD, page, TDX_MD_VCPU_INDEX); }
static u64 mr_finalize(u64 page) { return tdh_1(TDH_MR_FINALIZE, page); }
static u64 vpflushdone(u64 page) { return tdh_1(TDH_MNG_VPFLUSHDONE, page); }
static u64 key_freeid(u64 page) { return tdh_1(TDH_MNG_KEY_FREEID, page); }

static void create(void)
{
    u64 used = (u64)page_alloc();

    check_eq(tdh_2(TDH_MNG_CREATE, free_page, 0), INVALID(RDX), "MNG.CREATE: KeyID 0");
    check_eq(tdh_2(TDH_MNG_CREATE, free_page, mktme_keyids), INVALID(RDX),
             "MNG.CREATE: an MKTME KeyID");
    check_eq(tdh_2(TDH_MNG_CREATE, free_page, first_keyid + tdx_keyids), INVALID(RDX),
             "MNG.CREATE: a KeyID beyond the last");
    check_eq(tdh_2(TDH_MNG_CREATE, free_page, keyid | BIT(16)), INVALID(RDX),
             "MNG.CREATE: RDX[16]");
    check_eq(tdh_2(TDH_MNG_CREATE, 1, 0), INVALID(RDX), "MNG.CREATE: RDX before RCX");
    check_eq(tdh_2(TDH_MNG_CREATE, free_page, first_keyid), TDX_HKID_NOT_FREE,
             "MNG.CREATE: the global KeyID is reserved");
    memset(&td, 0, sizeof(td));
    td.params = page_alloc();
    td.tdr = used;
    td.num_tdcs = sys_rd(TDX_MD_TDCS_BASE_SIZE) / PAGE_SIZE;
    td.num_tdcx = sys_rd(TDX_MD_TDVPS_BASE_SIZE) / PAGE_SIZE - 1;
    check_eq(rdmd_type(used), PT_NDA, "RDMD of a free page: NDA");
    check_eq(mng_create(td.tdr), TDX_SUCCESS, "MNG.CREATE");
    check_eq(tdh_2(TDH_MNG_CREATE, td.tdr, keyid + 1), METADATA(RCX),
             "MNG.CREATE: the TDR's page again");
    bad_page("MNG.CREATE", mng_create, TDX_OPERAND_ID_RCX, td.tdr);
    check_eq(mng_create(free_page), TDX_HKID_NOT_FREE, "MNG.CREATE: a KeyID in use");
    check_eq(rdmd_type(td.tdr), PT_TDR, "RDMD of the TDR");
    check_eq(tdh_out.rdx, 0, "RDMD of the TDR: no owner");
    check_eq(rdmd_type(0x10000), PT_RSVD, "RDMD of a reserved page");
}

static void key_config(void)
{
    check_eq(mng_addcx_page(free_page), TDX_TD_KEYS_NOT_CONFIGURED,
             "MNG.ADDCX before KEY.CONFIG");
    check_eq(key_freeid(td.tdr), TDX_LIFECYCLE_STATE_INCORRECT,
             "KEY.FREEID in HKID_ASSIGNED");
    check_eq(mng_init(td.tdr), TDX_TD_KEYS_NOT_CONFIGURED, "MNG.INIT before KEY.CONFIG");
    bad_page("KEY.CONFIG", mng_key_config, TDX_OPERAND_ID_RCX, free_page);
    check_eq(mng_key_config(td.tdr), TDX_SUCCESS, "KEY.CONFIG");
    check_eq(mng_key_config(td.tdr), TDX_LIFECYCLE_STATE_INCORRECT, "KEY.CONFIG twice");
}

static void addcx(void)
{
    bad_page("MNG.ADDCX, TDR", mng_addcx_tdr, TDX_OPERAND_ID_RDX, free_page);
    check_eq(mng_addcx_page(td.tdr), OPERAND(TDX_OPERAND_BUSY, RCX),
             "MNG.ADDCX of the TDR itself: its PAMT entry is locked");
    check_eq(tdh_2(TDH_MNG_ADDCX, 1, 1), INVALID(RDX), "MNG.ADDCX: RDX before RCX");
    check_eq(mng_init(td.tdr), TDX_TDCS_NOT_ALLOCATED, "MNG.INIT without TDCX");
    check_eq(vp_create_page(free_page), TDX_TDCS_NOT_ALLOCATED, "VP.CREATE without TDCX");
    for (u32 i = 0; i < td.num_tdcs; i++) {
        if (i == 1) {
            bad_page("MNG.ADDCX", mng_addcx_page, TDX_OPERAND_ID_RCX, td.tdcs[0]);
        }
        td.tdcs[i] = (u64)page_alloc();
        check_eq(mng_addcx_page(td.tdcs[i]), TDX_SUCCESS, "MNG.ADDCX %u", i);
    }
    check_eq(rdmd_type(td.tdcs[0]), PT_TDCX, "RDMD of a TDCX");
    check_eq(tdh_out.rdx, td.tdr, "RDMD of a TDCX: its owner");
    check_eq(tdh_out.r8, 0, "RDMD of a TDCX: 4 KiB");
    check_eq(vp_create_page(free_page), TDX_OP_STATE_INCORRECT,
             "VP.CREATE before MNG.INIT");
    check_eq(mr_finalize(td.tdr), TDX_OP_STATE_INCORRECT, "MR.FINALIZE before MNG.INIT");
    check_eq(mng_rd_tdr(td.tdr), TDX_OP_STATE_INCORRECT, "MNG.RD before MNG.INIT");
}

static void bad_param(u32 id, const char *rule)
{
    check_eq(mng_init(td.tdr), TDX_ST(TDX_OPERAND_INVALID, id), "MNG.INIT: %s", rule);
    td_default_params(&td);
}

static void init(void)
{
    struct td_params *p = td.params;
    u64 attributes = sys_rd(TDX_MD_ATTRIBUTES_FIXED0), xfam = sys_rd(TDX_MD_XFAM_FIXED0);
    u32 n = sys_rd(TDX_MD_NUM_CPUID_CONFIG);
    u64 st;

    td_default_params(&td);
    bad_page("MNG.INIT", mng_init, TDX_OPERAND_ID_RCX, free_page);
    check_eq(tdh_2(TDH_MNG_INIT, td.tdr, (u64)p | 512), INVALID(RDX),
             "MNG.INIT: TD_PARAMS not 1024-byte aligned");
    check_eq(tdh_2(TDH_MNG_INIT, td.tdr, KEYED((u64)p, keyid)), INVALID(RDX),
             "MNG.INIT: TD_PARAMS at a private KeyID");
    p->attributes |= ~attributes & -~attributes;
    bad_param(TDX_OPERAND_ID_ATTRIBUTES, "ATTRIBUTES bit that is fixed 0");
    p->attributes = BIT(40);
    p->xfam = 0;
    bad_param(TDX_OPERAND_ID_ATTRIBUTES, "ATTRIBUTES before XFAM");
    p->xfam = 1;
    bad_param(TDX_OPERAND_ID_XFAM, "XFAM without SSE");
    p->xfam |= BIT(62);
    bad_param(TDX_OPERAND_ID_XFAM, "XFAM bit that is fixed 0");
    if (xfam & BIT(5)) {
        p->xfam |= BIT(2) | BIT(5);
        bad_param(TDX_OPERAND_ID_XFAM, "XFAM with a part of AVX-512");
    }
    p->max_vcpus = 0;
    bad_param(TDX_OPERAND_ID_MAX_VCPUS, "MAX_VCPUS 0");
    p->max_vcpus = 0xffff;
    bad_param(TDX_OPERAND_ID_MAX_VCPUS, "MAX_VCPUS above the limit");
    p->num_l2_vms = 4;
    bad_param(TDX_OPERAND_ID_NUM_L2_VMS, "NUM_L2_VMS 4");
    p->reserved0 = 1;
    bad_param(TDX_OPERAND_ID_RDX, "reserved bytes 20 to 23");
    p->config_flags |= BIT(40);
    bad_param(TDX_OPERAND_ID_CONFIG_FLAGS, "CONFIG_FLAGS bit that is fixed 0");
    p->eptp_controls = 0 | 3 << 3;
    bad_param(TDX_OPERAND_ID_EPTP_CONTROLS, "EPTP memory type UC");
    p->eptp_controls = 6 | 2 << 3;
    bad_param(TDX_OPERAND_ID_EPTP_CONTROLS, "EPTP walk length of 3");
    p->eptp_controls |= BIT(6);
    bad_param(TDX_OPERAND_ID_EPTP_CONTROLS, "EPTP accessed and dirty flags");
    p->config_flags |= TDX_CONFIG_GPAW;
    bad_param(sys_rd(TDX_MD_CONFIG_FLAGS_FIXED0) & TDX_CONFIG_GPAW ?
              TDX_OPERAND_ID_EPTP_CONTROLS : TDX_OPERAND_ID_CONFIG_FLAGS,
              "GPAW 52 with 4 levels");
    p->tsc_frequency = 3;
    bad_param(TDX_OPERAND_ID_TSC_FREQUENCY, "TSC below 100 MHz");
    p->tsc_frequency = 401;
    bad_param(TDX_OPERAND_ID_TSC_FREQUENCY, "TSC above 10 GHz");
    p->reserved1[0] = 1;
    bad_param(TDX_OPERAND_ID_RDX, "reserved bytes from 42");
    p->reserved2[23] = 1;
    bad_param(TDX_OPERAND_ID_RDX, "reserved bytes from 232");
    p->cpuid[n].eax = 1;
    bad_param(TDX_OPERAND_ID_RDX, "reserved tail");
    for (u32 i = 0; i < n; i++) {
        u64 mask = sys_rd(TDX_MD_CPUID_CONFIG_VALUES + 2 * i);
        u64 leaf = sys_rd(TDX_MD_CPUID_CONFIG_LEAVES + i);

        if ((u32)mask != ~0u) {
            p->cpuid[i].eax = ~(u32)mask & -~(u32)mask;
            check_eq(mng_init(td.tdr), INVALID(CPUID_CONFIG),
                     "MNG.INIT: CPUID %llx, a bit that is not configurable",
                     (long long)leaf);
            check_eq((u32)tdh_out.rcx, (u32)leaf, "MNG.INIT: RCX is the leaf");
            td_default_params(&td);
            break;
        }
    }
    check_eq(mng_init(td.tdr), TDX_SUCCESS, "MNG.INIT");
    check_eq(tdh_out.rcx, 0, "MNG.INIT: RCX is 0");
    check_eq(mng_init(td.tdr), TDX_OP_STATE_INCORRECT, "MNG.INIT twice");
    /* the number of pages is checked before the state, if it is the maximum */
    st = mng_addcx_page(free_page);
    check(st == TDX_OP_STATE_INCORRECT || st == TDX_TDCX_NUM_INCORRECT,
          "MNG.ADDCX after MNG.INIT (%llx)", (long long)st);
}

static void mng_rd_fields(void)
{
    check_eq(mng_rd(TDX_MD_TDCS_ATTRIBUTES), td.params->attributes, "MNG.RD: ATTRIBUTES");
    check_eq(mng_rd(TDX_MD_TDCS_XFAM), td.params->xfam, "MNG.RD: XFAM");
    check_eq(mng_rd(TDX_MD_TDCS_MAX_VCPUS), TD_MAX_VCPUS, "MNG.RD: MAX_VCPUS");
    check_eq(mng_rd(TDX_MD_TDCS_NUM_VCPUS), 0, "MNG.RD: NUM_VCPUS");
    check_eq(mng_rd(TDX_MD_TDCS_OP_STATE), 1, "MNG.RD: OP_STATE is INITIALIZED");
    check_eq(mng_rd(TDX_MD_TDCS_TD_EPOCH), 1, "MNG.RD: TD_EPOCH is 1");
    check_eq(mng_rd(TDX_MD_TDR_HKID), keyid, "MNG.RD: HKID");
    check_eq(mng_rd(TDX_MD_TDR_CHLDCNT), td.num_tdcs, "MNG.RD: CHLDCNT counts the TDCX");
    check_eq(mng_rd(TDX_MD_TDR_LIFECYCLE_STATE), 1, "MNG.RD: KEYS_CONFIGURED");
    check_eq(mng_rd(TDX_MD_TDCS_TSC_FREQUENCY), 40, "MNG.RD: TSC_FREQUENCY");
    check_eq(tdh_2(TDH_MNG_RD, td.tdr, 0x110000000000000a), TDX_SUCCESS,
             "MNG.RD: TSC_OFFSET by KVM's id");
    check_eq(tdh_2(TDH_MNG_RD, td.tdr, 0x110000000000000b), TDX_SUCCESS,
             "MNG.RD: TSC_MULTIPLIER by KVM's id");
    check_eq(TDX_STATUS_CODE(tdh_2(TDH_MNG_RD, td.tdr, 0x3f10000300777777)),
             TDX_METADATA_FIELD_ID_INCORRECT, "MNG.RD: no field");
    check_eq(tdh_out.r8, 0, "MNG.RD: no field: R8 is 0");
    check_eq(tdh_2(TDH_MNG_RD, td.tdr, TDX_FIELD_NULL),
             TDX_METADATA_FIRST_FIELD_ID_IN_CONTEXT, "MNG.RD of the null id");
    check_eq(tdh_2(TDX_RAX(TDH_MNG_RD, 1), td.tdr, TDX_MD_TDCS_XFAM), TDX_SUCCESS,
             "MNG.RD, version 1");
    check(tdh_out.rdx != TDX_MD_TDCS_XFAM, "MNG.RD, version 1: RDX is the next id");
    bad_page("MNG.RD", mng_rd_tdr, TDX_OPERAND_ID_RCX, free_page);
}

static void vcpus(void)
{
    TdVcpu *v = &td.vcpu[0];

    check_eq(mr_finalize(td.tdr), TDX_NO_VCPUS, "MR.FINALIZE without vCPUs");
    bad_page("VP.CREATE, TDR", vp_create_tdr, TDX_OPERAND_ID_RDX, free_page);
    bad_page("VP.CREATE", vp_create_page, TDX_OPERAND_ID_RCX, td.tdcs[0]);
    v->tdvpr = (u64)page_alloc();
    check_eq(vp_create_page(v->tdvpr), TDX_SUCCESS, "VP.CREATE");
    check_eq(rdmd_type(v->tdvpr), PT_TDVPR, "RDMD of the TDVPR");
    bad_page("VP.ADDCX, TDVPR", vp_addcx_vp, TDX_OPERAND_ID_RDX, td.tdr);
    bad_page("VP.ADDCX", vp_addcx_page, TDX_OPERAND_ID_RCX, td.tdcs[0]);
    check_eq(vp_init(v->tdvpr), TDX_TDCX_NUM_INCORRECT, "VP.INIT without TDCX");
    for (u32 i = 0; i < td.num_tdcx; i++) {
        v->tdcx[i] = (u64)page_alloc();
        check_eq(vp_addcx_page(v->tdcx[i]), TDX_SUCCESS, "VP.ADDCX %u", i);
    }
    check_eq(vp_addcx_page(free_page), TDX_TDCX_NUM_INCORRECT, "VP.ADDCX: one too many");
    bad_page("VP.INIT", vp_init, TDX_OPERAND_ID_RCX, td.tdr);
    check_eq(tdh_3(TDX_RAX(TDH_VP_INIT, 1), v->tdvpr, 0, BIT(32)), INVALID(R8),
             "VP.INIT: x2APIC id beyond 32 bits");
    check_eq(tdh_1(TDH_VP_ENTER, v->tdvpr), TDX_OP_STATE_INCORRECT,
             "VP.ENTER before MR.FINALIZE");
    check_eq(tdh_3(TDX_RAX(TDH_VP_INIT, 1), v->tdvpr, 0x1000, 0), TDX_SUCCESS, "VP.INIT");
    td.num_vcpus = 1;
    check_eq(TDX_STATUS_CODE(vp_init(v->tdvpr)), TDX_VCPU_STATE_INCORRECT,
             "VP.INIT twice");
    check_eq(TDX_STATUS_CODE(vp_addcx_page(free_page)), TDX_VCPU_STATE_INCORRECT,
             "VP.ADDCX after VP.INIT");
    check_eq(mng_rd(TDX_MD_TDCS_NUM_VCPUS), 1, "MNG.RD: NUM_VCPUS");
    check_eq(mng_rd(TDX_MD_TDCS_NUM_ASSOC_VCPUS), 1, "VP.INIT associates the vCPU");
}

static void second_vcpu(void)
{
    TdVcpu *v = &td.vcpu[1], third = { 0 };
    u64 st;

    v->tdvpr = (u64)page_alloc();
    third.tdvpr = (u64)page_alloc();
    vp_create_page(v->tdvpr);
    vp_create_page(third.tdvpr);
    for (u32 i = 0; i < td.num_tdcx; i++) {
        v->tdcx[i] = (u64)page_alloc();
        third.tdcx[i] = (u64)page_alloc();
        tdh_2(TDH_VP_ADDCX, v->tdcx[i], v->tdvpr);
        tdh_2(TDH_VP_ADDCX, third.tdcx[i], third.tdvpr);
    }
    st = tdh_3(TDX_RAX(TDH_VP_INIT, 1), v->tdvpr, 0, 0);
    check_eq(TDX_STATUS_CODE(st), TDX_X2APIC_ID_NOT_UNIQUE, "VP.INIT: x2APIC id in use");
    check_eq(tdh_3(TDX_RAX(TDH_VP_INIT, 1), v->tdvpr, 0, 7), TDX_SUCCESS,
             "VP.INIT of the second vCPU");
    check_eq(tdh_3(TDX_RAX(TDH_VP_INIT, 1), third.tdvpr, 0, 8), TDX_MAX_VCPUS_EXCEEDED,
             "VP.INIT beyond MAX_VCPUS");
    td.num_vcpus = 2;
    tdh_2(TDH_VP_RD, v->tdvpr, TDX_MD_VCPU_INDEX);
    check_eq(tdh_out.r8, 1, "VP.RD: the index of the second vCPU");
    /* the third stays uninitialised; its pages join the list for the reclaim */
    for (u32 i = 0; i < td.num_tdcx; i++) {
        td.sept[td.num_sept++] = third.tdcx[i];
    }
    td.sept[td.num_sept++] = third.tdvpr;
    check_eq(tdh_1(TDH_VP_FLUSH, third.tdvpr), TDX_VCPU_NOT_ASSOCIATED,
             "VP.FLUSH of a vCPU that was never associated");
}

static u64 vp_wr(u64 field, u64 value, u64 mask)
{
    return tdh4(TDH_VP_WR, td.vcpu[0].tdvpr, field, value, mask);
}

static void vp_fields(void)
{
    u64 pin = TDX_MD_VMCS(VMCS_PIN_CONTROLS, 2), nv = TDX_MD_VMCS(VMCS_POSTED_INTR_NV, 1);
    u64 desc = TDX_MD_VMCS(VMCS_POSTED_INTR_DESC, 3);

    bad_page("VP.RD", vp_rd, TDX_OPERAND_ID_RCX, td.tdr);
    check_eq(vp_rd(td.vcpu[0].tdvpr), TDX_SUCCESS, "VP.RD");
    check_eq(tdh_out.r8, 0, "VP.RD: VCPU_INDEX");
    check_eq(vp_wr(nv, 0xf2, 0xffff), TDX_SUCCESS, "VP.WR: notification vector");
    tdh_2(TDH_VP_RD, td.vcpu[0].tdvpr, nv);
    check_eq(tdh_out.r8, 0xf2, "VP.RD: notification vector");
    check_eq(vp_wr(desc, free_page | 64, ~0ull), TDX_SUCCESS, "VP.WR: descriptor");
    check_eq(TDX_STATUS_CODE(vp_wr(desc, free_page | 32, ~0ull)),
             TDX_METADATA_FIELD_VALUE_NOT_VALID, "VP.WR: descriptor not 64-byte aligned");
    check_eq(vp_wr(pin, 0x80, 0x80), TDX_SUCCESS, "VP.WR: process posted interrupts");
    check_eq(tdh_out.r8 & 0x80, 0, "VP.WR: R8 is the old value");
    tdh_2(TDH_VP_RD, td.vcpu[0].tdvpr, pin);
    check_eq(tdh_out.r8 & 0xa9, 0xa9, "VP.RD: pin controls with bit 7");
    check_eq(TDX_STATUS_CODE(vp_wr(pin, 0, 1)), TDX_METADATA_FIELD_NOT_WRITABLE,
             "VP.WR: external-interrupt exiting belongs to the module");
    check_eq(TDX_STATUS_CODE(vp_wr(TDX_MD_VMCS(VMCS_TSC_OFFSET, 3), 1, ~0ull)),
             TDX_METADATA_FIELD_NOT_WRITABLE, "VP.WR: the TSC offset is not writable");
    check_eq(TDX_STATUS_CODE(vp_wr(0x3f20000300777777, 0, ~0ull)),
             TDX_METADATA_FIELD_ID_INCORRECT, "VP.WR: no field");
    vp_wr(pin, 0, 0x80);
}

static u64 other_status;

static void other_call(u64 leaf, u64 rcx, u64 rdx)
{
    TdxRegs r = { .rax = leaf, .rcx = rcx, .rdx = rdx };

    seamcall_regs(&r);
    other_status = r.rax;
}

static void other_rd(void *arg)
{
    other_call(TDH_VP_RD, td.vcpu[0].tdvpr, TDX_MD_VCPU_INDEX);
}

static void other_flush(void *arg)
{
    other_call(TDH_VP_FLUSH, td.vcpu[0].tdvpr, 0);
}

static void association(void)
{
    u64 vp = td.vcpu[0].tdvpr;

    smp_call(1, other_rd, NULL);
    check_eq(other_status, TDX_VCPU_ASSOCIATED, "VP.RD on another LP");
    smp_call(1, other_flush, NULL);
    check_eq(other_status, TDX_VCPU_NOT_ASSOCIATED, "VP.FLUSH on another LP");
    bad_page("VP.FLUSH", vp_flush, TDX_OPERAND_ID_RCX, td.tdr);
    check_eq(vp_flush(vp), TDX_SUCCESS, "VP.FLUSH on the associated LP");
    check_eq(vp_flush(vp), TDX_VCPU_NOT_ASSOCIATED, "VP.FLUSH twice");
    smp_call(1, other_rd, NULL);
    check_eq(other_status, TDX_SUCCESS, "VP.RD associates with its LP");
    check_eq(vp_rd(vp), TDX_VCPU_ASSOCIATED, "VP.RD on the first LP now");
    smp_call(1, other_flush, NULL);
    check_eq(other_status, TDX_SUCCESS, "VP.FLUSH on the second LP");
}

static void finalize(void)
{
    /* SHA-384 of nothing: no page was added or extended */
    static const u64 mrtd[6] = {
        0x3896ac51a760b038, 0x6ae3b1b17e32d94c, 0x4307be1411b7fd21,
        0xdae1f663bfc70c4c, 0xfb656fe7bfde4e27, 0x5bb99848f1d21ad5,
    };

    bad_page("MR.FINALIZE", mr_finalize, TDX_OPERAND_ID_RCX, td.tdcs[0]);
    check_eq(mr_finalize(td.tdr), TDX_SUCCESS, "MR.FINALIZE");
    check_eq(mr_finalize(td.tdr), TDX_OP_STATE_INCORRECT, "MR.FINALIZE twice");
    check_eq(mng_rd(TDX_MD_TDCS_OP_STATE), 2, "MNG.RD: OP_STATE is RUNNABLE");
    for (u32 i = 0; i < 6; i++) {
        check_eq(mng_rd(TDX_MD_TDCS_MRTD + i), mrtd[i], "MRTD without pages, part %u", i);
    }
    check_eq(vp_create_page(free_page), TDX_OP_STATE_INCORRECT,
             "VP.CREATE when RUNNABLE");
    check_eq(vp_init(td.vcpu[0].tdvpr), TDX_OP_STATE_INCORRECT, "VP.INIT when RUNNABLE");
    check_eq(tdh_1(TDH_VP_ENTER, td.vcpu[0].tdvpr | BIT(60)), INVALID(RCX),
             "VP.ENTER: reserved bit of RCX");
    check_eq(tdh_1(TDH_VP_ENTER, td.tdr), METADATA(RCX), "VP.ENTER: not a TDVPR");
    check_eq(tdh_1(TDH_VP_ENTER, BIT(33)), OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX),
             "VP.ENTER: in no TDMR");
    check_eq(tdh_1(TDH_VP_ENTER, td.sept[td.num_sept - 1]), TDX_VCPU_STATE_INCORRECT,
             "VP.ENTER of a vCPU that is not initialised");
}

static u64 reclaim(u64 page) { return tdh_1(TDH_PHYMEM_PAGE_RECLAIM, page); }
static u64 cache_wb(u64 rcx) { return tdh_1(TDH_PHYMEM_CACHE_WB, rcx); }

static void tear_down(void)
{
    check_eq(key_freeid(td.tdr), TDX_LIFECYCLE_STATE_INCORRECT, "KEY.FREEID too early");
    check_eq(reclaim(td.tdcs[0]), TDX_LIFECYCLE_STATE_INCORRECT, "RECLAIM too early");
    check_eq(reclaim(td.tdr), TDX_LIFECYCLE_STATE_INCORRECT,
             "RECLAIM of the TDR too early");
    check_eq(cache_wb(0), TDX_NO_HKID_READY_TO_WBCACHE, "CACHE.WB with no KeyID waiting");
    check_eq(vpflushdone(td.tdr), TDX_FLUSHVP_NOT_DONE,
             "VPFLUSHDONE: a vCPU is associated");
    check_eq(vp_flush(td.vcpu[1].tdvpr), TDX_SUCCESS, "VP.FLUSH of the second vCPU");
    bad_page("VPFLUSHDONE", vpflushdone, TDX_OPERAND_ID_RCX, td.tdcs[0]);
    check_eq(vpflushdone(td.tdr), TDX_SUCCESS, "VPFLUSHDONE");
    check_eq(vpflushdone(td.tdr), TDX_LIFECYCLE_STATE_INCORRECT, "VPFLUSHDONE twice");
    check_eq(vp_flush(td.vcpu[0].tdvpr), TDX_TD_KEYS_NOT_CONFIGURED, "VP.FLUSH after it");
    check_eq(tdh_1(TDH_VP_ENTER, td.vcpu[0].tdvpr), TDX_TD_KEYS_NOT_CONFIGURED,
             "VP.ENTER after it");
    check_eq(vp_create_page(free_page), TDX_TD_KEYS_NOT_CONFIGURED, "VP.CREATE after it");
    check_eq(mng_create(free_page), TDX_HKID_NOT_FREE, "the KeyID is not free yet");
    check_eq(key_freeid(td.tdr), TDX_WBCACHE_NOT_COMPLETE, "KEY.FREEID before CACHE.WB");
    check_eq(cache_wb(2), INVALID(RCX), "CACHE.WB: RCX 2");
    check_eq(cache_wb(1), TDX_WBCACHE_RESUME_ERROR, "CACHE.WB: nothing to resume");
    for (u32 i = 0; i < 10000 && cache_wb(i != 0) == TDX_INTERRUPTED_RESUMABLE; i++) {
    }
    check_eq(tdh_out.rax, TDX_SUCCESS, "CACHE.WB");
    check_eq(cache_wb(0), TDX_NO_HKID_READY_TO_WBCACHE, "CACHE.WB again");
    check_eq(reclaim(td.tdcs[0]), TDX_LIFECYCLE_STATE_INCORRECT,
             "RECLAIM before KEY.FREEID");
    bad_page("KEY.FREEID", key_freeid, TDX_OPERAND_ID_RCX, td.tdcs[0]);
    check_eq(key_freeid(td.tdr), TDX_SUCCESS, "KEY.FREEID");
    check_eq(key_freeid(td.tdr), TDX_LIFECYCLE_STATE_INCORRECT, "KEY.FREEID twice");
}

static void reclaim_all(void)
{
    check_eq(reclaim(free_page | 16), INVALID(RCX), "RECLAIM: unaligned");
    check_eq(reclaim(BIT(33)), OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX),
             "RECLAIM: in no TDMR");
    check_eq(reclaim(free_page), METADATA(RCX), "RECLAIM of a free page");
    check_eq(reclaim(0x10000), METADATA(RCX), "RECLAIM of a reserved page");
    check_eq(reclaim(td.tdr), TDX_TD_ASSOCIATED_PAGES_EXIST, "RECLAIM of the TDR first");
    check_eq(tdh_1(TDH_PHYMEM_PAGE_WBINVD, KEYED(td.tdcs[0], keyid)), METADATA(RCX),
             "PAGE.WBINVD of a page in use");
    check_eq(reclaim(td.tdcs[0]), TDX_SUCCESS, "RECLAIM of a TDCX");
    check_eq(tdh_out.rcx, PT_TDCX, "RECLAIM: RCX is the type");
    check_eq(tdh_out.rdx, td.tdr, "RECLAIM: RDX is the owner");
    check_eq(tdh_out.r8, 0, "RECLAIM: R8 is the size");
    check(!tdh_out.r9 && !tdh_out.r10 && !tdh_out.r11, "RECLAIM: R9, R10, R11 are 0");
    check_eq(rdmd_type(td.tdcs[0]), PT_NDA, "RECLAIM: the page is free");
    check_eq(reclaim(td.tdcs[0]), METADATA(RCX), "RECLAIM twice");
    check_eq(tdh_1(TDH_PHYMEM_PAGE_WBINVD, KEYED(td.tdcs[0], keyid)), TDX_SUCCESS,
             "PAGE.WBINVD of a free page with the TD's KeyID");
    for (u32 i = 1; i < td.num_tdcs; i++) {
        reclaim(td.tdcs[i]);
    }
    for (u32 i = 0; i < 2; i++) {
        for (u32 j = 0; j < td.num_tdcx; j++) {
            reclaim(td.vcpu[i].tdcx[j]);
        }
        check_eq(reclaim(td.vcpu[i].tdvpr), TDX_SUCCESS, "RECLAIM of TDVPR %u", i);
        check_eq(tdh_out.rcx, PT_TDVPR, "RECLAIM of TDVPR %u: type", i);
    }
    for (u32 i = 0; i < td.num_sept; i++) {
        reclaim(td.sept[i]);
    }
    check_eq(reclaim(td.tdr), TDX_SUCCESS, "RECLAIM of the TDR last");
    check_eq(tdh_out.rcx, PT_TDR, "RECLAIM of the TDR: type");
    check_eq(tdh_out.rdx, 0, "RECLAIM of the TDR: no owner");
    check_eq(tdh_1(TDH_PHYMEM_PAGE_WBINVD, KEYED(td.tdr, first_keyid)), TDX_SUCCESS,
             "PAGE.WBINVD of the TDR's page with the global KeyID");
    check_eq(mng_create(td.tdr), TDX_SUCCESS, "page and KeyID serve a new TD");
}

void test_main(void)
{
    seam_bring_up();
    keyid = first_keyid + 1;
    free_page = (u64)page_alloc();
    create();
    key_config();
    addcx();
    init();
    mng_rd_fields();
    vcpus();
    second_vcpu();
    vp_fields();
    association();
    finalize();
    tear_down();
    reclaim_all();
    check_eq(tdh_clobbered, 0, "no leaf changed a register that is not its output");
}
