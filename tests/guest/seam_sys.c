/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module's bring-up on two LPs, step by step: KeyIDs and their MSRs, the
 * states and errors of TDH.SYS.*, metadata, TDMR checks; MOVDIR64B.  Sections
 * are those of the TDX module ABI's leaf descriptions.
 */
#include "seam.h"

const char test_name[] = "seam_sys";

static u64 other_status;

static void platform(void)
{
    u64 tme = rdmsr(MSR_TME_ACTIVATE), v;
    u32 bits = tme >> 32 & 15;

    check_eq(cpuid(7, 0).c >> 13 & 1, 1, "CPUID.7.ECX[13]: TME");
    check_eq(tme & 3, 3, "MSR 982H: locked and enabled");
    check(bits > 0, "MSR 982H[35:32]: KeyID bits");
    check_eq(wrmsr_safe(MSR_TME_ACTIVATE, 0), GP, "MSR 982H is locked: WRMSR is #GP");
    check_eq(rdmsr_safe(MSR_KEYID_PARTITIONING, &v), NO_FAULT, "MSR 87H is readable");
    check_eq(wrmsr_safe(MSR_KEYID_PARTITIONING, v), GP, "MSR 87H is read-only");
    check(tdx_keyids >= 2, "MSR 87H[63:32]: at least two TDX KeyIDs");
    check(mktme_keyids + tdx_keyids < BIT(bits), "all KeyIDs fit the KeyID bits");
}

/* 64 bytes of its own, so that each test has a fresh source. */
static void movdir64b(void)
{
    u8 *src = page_alloc(), *dst = page_alloc();

    for (u32 i = 0; i < 64; i++) {
        src[8 + i] = i + 1;
    }
    check_eq(TRY(".byte 0x66, 0x0f, 0x38, 0xf8, 0x06", : : "S"(src + 8), "a"(dst + 64)
                 : "memory"), NO_FAULT, "MOVDIR64B from an unaligned source");
    check(!memcmp(dst + 64, src + 8, 64) && !dst[63] && !dst[128],
          "MOVDIR64B stores 64 bytes, no more");
    check_eq(TRY(".byte 0x66, 0x0f, 0x38, 0xf8, 0x06", : : "S"(src), "a"(dst + 8)
                 : "memory"), GP, "MOVDIR64B to an unaligned destination is #GP(0)");
    check_eq(TRY(".byte 0x66, 0x0f, 0x38, 0xf8, 0x06", : : "S"(BIT(40)), "a"(dst)
                 : "memory"), PF, "MOVDIR64B from a not-present page is #PF");
}

static void keyed_addresses(void)
{
    volatile u64 *page = page_alloc();
    volatile u64 *alias = (volatile u64 *)BIT(37);

    if (!mktme_keyids) {
        check_skip("no MKTME KeyIDs", "keyed addresses");
        return;
    }
    page[0] = 0x1234567890abcdef;
    map_page((u64)alias, KEYED((u64)page, 1), PAGE_SIZE, 0x67);
    alias[1] = 0xfeed;
    check_eq(alias[1], 0xfeed, "RAM through an MKTME KeyID holds what was written");
    map_page((u64)alias, KEYED((u64)page, 0), PAGE_SIZE, 0x67);
    check_eq(alias[0], 0x1234567890abcdef, "KeyID 0 is the plain address");
}

static void before_init(void)
{
    check_eq(tdh_2(TDH_SYS_RD, 0, TDX_MD_FEATURES0), TDX_SYS_LP_INIT_NOT_DONE,
             "SYS.RD before LP.INIT");
    check_eq(tdh_out.rdx, ~0ull, "SYS.RD with an error: RDX = -1");
    check_eq(tdh_out.r8, 0, "SYS.RD with an error: R8 = 0");
    check_eq(tdh_0(TDH_SYS_LP_INIT), TDX_SYS_LP_INIT_NOT_PENDING, "LP.INIT before INIT");
    check_eq(tdh_0(TDH_SYS_CONFIG), TDX_SYS_CONFIG_NOT_PENDING, "CONFIG before INIT");
    check_eq(tdh_0(TDH_SYS_KEY_CONFIG), TDX_SYS_KEY_CONFIG_NOT_PENDING,
             "KEY.CONFIG before CONFIG");
    check_eq(tdh_0(TDH_SYS_TDMR_INIT), TDX_SYS_NOT_READY, "TDMR.INIT before READY");
    check_eq(tdh_0(TDH_MNG_CREATE), TDX_SYS_NOT_READY, "MNG.CREATE before READY");
    check_eq(tdh_0(TDH_VP_ENTER), TDX_SYS_NOT_READY, "VP.ENTER before READY");
    check_eq(tdh_0(TDH_SYS_SHUTDOWN), TDX_SYS_NOT_READY, "SYS.SHUTDOWN before READY");
    check_eq(tdh_0(TDH_SYS_UPDATE), TDX_SYS_STATE_INCORRECT, "SYS.UPDATE before INIT");
}

static void other_rd(void *arg)
{
    TdxRegs r = { .rax = TDH_SYS_RD, .rdx = TDX_MD_FEATURES0 };

    vmx_on();
    seamcall_regs(&r);
    other_status = r.rax;
}

static void other_lp_init(void *arg)
{
    TdxRegs r = { .rax = TDH_SYS_LP_INIT };

    seamcall_regs(&r);
    other_status = r.rax;
}

static void init(void)
{
    check_eq(tdh_1(TDH_SYS_INIT, 1), OPERAND(TDX_OPERAND_INVALID, RCX),
             "SYS.INIT: attributes are reserved");
    check_eq(tdh_0(TDH_SYS_INIT), TDX_SUCCESS, "SYS.INIT");
    check(!tdh_out.rcx && !tdh_out.rdx && !tdh_out.r8 && !tdh_out.r9 && !tdh_out.r10,
          "SYS.INIT: RCX, RDX, R8, R9, R10 are 0");
    check_eq(tdh_0(TDH_SYS_INIT), TDX_SYS_INIT_NOT_PENDING, "SYS.INIT twice");
    check_eq(tdh_2(TDH_SYS_RD, 0, TDX_MD_FEATURES0), TDX_SYS_LP_INIT_NOT_DONE,
             "SYS.RD between INIT and LP.INIT");
    check_eq(tdh_0(TDH_SYS_LP_INIT), TDX_SUCCESS, "LP.INIT");
    check_eq(tdh_0(TDH_SYS_LP_INIT), TDX_SYS_LP_INIT_DONE, "LP.INIT twice on one LP");
    check_eq(tdh_0(TDH_SYS_CONFIG), TDX_SYS_CONFIG_NOT_PENDING,
             "CONFIG before LP.INIT on every LP");
    smp_call(1, other_rd, NULL);
    check_eq(other_status, TDX_SYS_LP_INIT_NOT_DONE, "SYS.RD on the LP without LP.INIT");
    smp_call(1, other_lp_init, NULL);
    check_eq(other_status, TDX_SUCCESS, "LP.INIT on the second LP");
    for (u32 i = 2; i < cpus_online; i++) {
        smp_call(i, other_rd, NULL);
        smp_call(i, other_lp_init, NULL);
    }
    check_eq(tdh_0(TDH_MNG_CREATE), TDX_SYS_NOT_READY, "MNG.CREATE before READY");
}

static void metadata(void)
{
    static const u64 linux_reads[] = {
        TDX_MD_MINOR_VERSION, TDX_MD_MAJOR_VERSION, TDX_MD_UPDATE_VERSION,
        TDX_MD_FEATURES0, TDX_MD_MAX_TDMRS, TDX_MD_MAX_RESERVED_PER_TDMR,
        TDX_MD_PAMT_4K_ENTRY_SIZE, TDX_MD_PAMT_2M_ENTRY_SIZE, TDX_MD_PAMT_1G_ENTRY_SIZE,
        TDX_MD_TDR_BASE_SIZE, TDX_MD_TDCS_BASE_SIZE, TDX_MD_TDVPS_BASE_SIZE,
        TDX_MD_ATTRIBUTES_FIXED0, TDX_MD_ATTRIBUTES_FIXED1, TDX_MD_XFAM_FIXED0,
        TDX_MD_XFAM_FIXED1, TDX_MD_NUM_CPUID_CONFIG, TDX_MD_MAX_VCPUS_PER_TD,
    };
    u64 features, id, n = 0;

    for (u32 i = 0; i < ARRAY_SIZE(linux_reads); i++) {
        check_eq(tdh_2(TDH_SYS_RD, 0, linux_reads[i]), TDX_SUCCESS, "SYS.RD of %llx",
                 (long long)linux_reads[i]);
    }
    features = sys_rd(TDX_MD_FEATURES0);
    check(features & BIT(TDX_FEATURE_NO_RBP_MOD), "FEATURES0[18]: NO_RBP_MOD");
    check(features & BIT(TDX_FEATURE_TOPOLOGY_ENUM), "FEATURES0[20]: TOPOLOGY_ENUM");
    check_eq(sys_rd(TDX_MD_PAMT_4K_ENTRY_SIZE), 16, "PAMT_4K_ENTRY_SIZE");
    check_eq(sys_rd(TDX_MD_PAMT_2M_ENTRY_SIZE), 16, "PAMT_2M_ENTRY_SIZE");
    check_eq(sys_rd(TDX_MD_PAMT_1G_ENTRY_SIZE), 16, "PAMT_1G_ENTRY_SIZE");
    check(!(features & BIT(TDX_FEATURE_DYNAMIC_PAMT)),
          "FEATURES0[36]: Dynamic PAMT is not offered unless asked for");
    check_eq(tdh_2(TDH_SYS_RD, 0, TDX_MD_PAMT_PAGE_BITMAP_BITS),
             OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX),
             "SYS.RD of PAMT_PAGE_BITMAP_ENTRY_BITS: no such field then");
    check_eq(sys_rd(TDX_MD_MAX_TDMRS), 64, "MAX_TDMRS");
    check_eq(sys_rd(TDX_MD_MAX_RESERVED_PER_TDMR), 16, "MAX_RESERVED_PER_TDMR");
    check_eq(sys_rd(TDX_MD_TDR_BASE_SIZE), 4096, "TDR_BASE_SIZE");
    check_eq(sys_rd(TDX_MD_TDVPS_BASE_SIZE), 6 * 4096, "TDVPS_BASE_SIZE");
    check(!(sys_rd(TDX_MD_TDCS_BASE_SIZE) & 0xfff) &&
          sys_rd(TDX_MD_TDCS_BASE_SIZE) <= 12 * 4096, "TDCS_BASE_SIZE: up to 12 pages");
    check(sys_rd(TDX_MD_ATTRIBUTES_FIXED0) & TDX_ATTR_SEPT_VE_DISABLE,
          "ATTRIBUTES_FIXED0 allows SEPT_VE_DISABLE");
    check_eq(sys_rd(TDX_MD_ATTRIBUTES_FIXED1) & ~TDX_ATTR_SEPT_VE_DISABLE, 0,
             "ATTRIBUTES_FIXED1 demands at most SEPT_VE_DISABLE");
    check_eq(sys_rd(TDX_MD_XFAM_FIXED0) & 3, 3, "XFAM_FIXED0 contains x87 and SSE");
    check_eq(sys_rd(TDX_MD_XFAM_FIXED1), 3, "XFAM_FIXED1 is x87 and SSE");
    check(sys_rd(TDX_MD_MAX_VCPUS_PER_TD) >= cpu_count(), "MAX_VCPUS_PER_TD");
    n = sys_rd(TDX_MD_NUM_CPUID_CONFIG);
    check(n > 0 && n <= 128, "NUM_CPUID_CONFIG: 1 to 128");
    for (u64 i = 0; i < n; i++) {
        tdh_2(TDH_SYS_RD, 0, TDX_MD_CPUID_CONFIG_LEAVES + i);
        if (tdh_out.rax) {
            panic("CPUID_CONFIG_LEAVES[%u]", (u32)i);
        }
        for (u64 j = 0; j < 2; j++) {
            if (tdh_2(TDH_SYS_RD, 0, TDX_MD_CPUID_CONFIG_VALUES + 2 * i + j)) {
                panic("CPUID_CONFIG_VALUES[%u][%u]", (u32)i, (u32)j);
            }
        }
    }
    check(true, "CPUID_CONFIG_LEAVES and VALUES: all entries are readable");

    check_eq(tdh_2(TDH_SYS_RD, 0, 0x3f00000300777777),
             OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX), "SYS.RD of no field");
    check_eq(tdh_out.rdx, ~0ull, "SYS.RD of no field: RDX = -1");
    check_eq(tdh_out.r8, 0, "SYS.RD of no field: R8 = 0");
    check_eq(TDX_STATUS_CODE(tdh_2(TDH_SYS_RD, 0, TDX_MD_FEATURES0 | BIT(47))),
             TDX_METADATA_FIELD_ID_INCORRECT, "SYS.RD: reserved bit of the id");
    check_eq(tdh_2(TDH_SYS_RD, 0, TDX_FIELD_NULL), TDX_METADATA_FIRST_FIELD_ID_IN_CONTEXT,
             "SYS.RD of the null id: the first field");
    features = n = 0;
    for (id = tdh_out.rdx; id != TDX_FIELD_NULL && n < 4000; n++) {
        features += TDX_FIELD_CLASS(id) == TDX_FIELD_CLASS(TDX_MD_FEATURES0) &&
                    TDX_FIELD_CODE(id) == TDX_FIELD_CODE(TDX_MD_FEATURES0);
        if (tdh_2(TDH_SYS_RD, 0, id)) {
            panic("SYS.RD of the enumerated field %llx", (long long)id);
        }
        id = tdh_out.rdx;
    }
    check(n > 20 && n < 4000, "SYS.RD: the chain of next ids ends");
    check_eq(features, 1, "SYS.RD: the chain passes FEATURES0 once");
}

static struct tdmr_info *tdmr, good;
static u64 *list;

static u64 config(u32 n)
{
    return tdh_3(TDH_SYS_CONFIG, (u64)list, n, first_keyid);
}

/* One defect at a time; the code proper and the TDMR's index in its details. */
static void bad_tdmr(u64 want, const char *rule)
{
    u64 st = config(1);

    check_eq(TDX_STATUS_CODE(st), want, "CONFIG: %s", rule);
    check_eq(st & 0xff, 0, "CONFIG: %s: TDMR 0 in the details", rule);
    *tdmr = good;
}

static void config_operands(void)
{
    list = page_alloc();
    tdmr = seam_tdmr();
    good = *tdmr;
    list[0] = (u64)tdmr;
    check_eq(tdh_3(TDH_SYS_CONFIG, (u64)list | 8, 1, first_keyid),
             OPERAND(TDX_OPERAND_INVALID, RCX), "CONFIG: array not 512-byte aligned");
    check_eq(tdh_3(TDH_SYS_CONFIG, KEYED((u64)list, first_keyid), 1, first_keyid),
             OPERAND(TDX_OPERAND_INVALID, RCX), "CONFIG: array at a private KeyID");
    check_eq(tdh_3(TDH_SYS_CONFIG, BIT(55), 1, first_keyid),
             OPERAND(TDX_OPERAND_INVALID, RCX), "CONFIG: array beyond MAXPA");
    check_eq(config(0), OPERAND(TDX_OPERAND_INVALID, RDX), "CONFIG: no TDMR");
    check_eq(config(65), OPERAND(TDX_OPERAND_INVALID, RDX), "CONFIG: 65 TDMRs");
    check_eq(tdh_3(TDH_SYS_CONFIG, (u64)list, 1, 0), OPERAND(TDX_OPERAND_INVALID, R8),
             "CONFIG: KeyID 0 is not private");
    check_eq(tdh_3(TDH_SYS_CONFIG, (u64)list, 1, mktme_keyids),
             OPERAND(TDX_OPERAND_INVALID, R8), "CONFIG: the last MKTME KeyID");
    check_eq(tdh_3(TDH_SYS_CONFIG, (u64)list, 1, first_keyid + tdx_keyids),
             OPERAND(TDX_OPERAND_INVALID, R8), "CONFIG: a KeyID beyond the last");
    check_eq(tdh_3(TDH_SYS_CONFIG, (u64)list, 1, first_keyid | BIT(20)),
             OPERAND(TDX_OPERAND_INVALID, R8), "CONFIG: reserved bit of R8");
    check_eq(tdh_3(TDH_SYS_CONFIG, (u64)list, 1,
                   first_keyid | TDX_SYS_CONFIG_DYNAMIC_PAMT),
             OPERAND(TDX_OPERAND_INVALID, R8), "CONFIG: Dynamic PAMT is not offered");
    list[0] = (u64)tdmr | 256;
    check_eq(config(1), OPERAND(TDX_OPERAND_INVALID, RCX),
             "CONFIG: TDMR_INFO not 512-byte aligned");
    list[0] = (u64)tdmr;
}

static void config_tdmrs(void)
{
    struct tdmr_info *second = page_alloc();
    u32 last = tdmr->reserved[2].size ? 2 : 1;

    tdmr->base = 0x1000;
    bad_tdmr(TDX_INVALID_TDMR, "base not 1 GiB aligned");
    tdmr->size = BIT(30) + 0x1000;
    bad_tdmr(TDX_INVALID_TDMR, "size not a multiple of 1 GiB");
    tdmr->size = 0;
    bad_tdmr(TDX_INVALID_TDMR, "size 0");
    tdmr->base = BIT(52);
    bad_tdmr(TDX_INVALID_TDMR, "base beyond MAXPA");
    tdmr->size = -BIT(30);
    tdmr->base = BIT(30);
    bad_tdmr(TDX_INVALID_TDMR, "base and size wrap around");
    tdmr->reserved[0].offset = tdmr->reserved[1].offset + 0x1000;
    bad_tdmr(TDX_NON_ORDERED_RESERVED_IN_TDMR, "reserved areas not ascending");
    tdmr->reserved[0].size = tdmr->reserved[1].offset + 0x1000;
    bad_tdmr(TDX_NON_ORDERED_RESERVED_IN_TDMR, "reserved areas overlap");
    tdmr->reserved[last + 2].offset = 0x1000;
    tdmr->reserved[last + 2].size = 0x1000;
    bad_tdmr(TDX_NON_ORDERED_RESERVED_IN_TDMR,
             "a reserved area behind the end of the list");
    tdmr->reserved[0].size = 0x100800;
    bad_tdmr(TDX_INVALID_RESERVED_IN_TDMR, "reserved area not 4 KiB aligned");
    tdmr->reserved[last].size += 0x1000;
    bad_tdmr(TDX_INVALID_RESERVED_IN_TDMR, "reserved area beyond the TDMR");
    tdmr->pamt_4k_base += 0x800;
    bad_tdmr(TDX_INVALID_PAMT, "PAMT not 4 KiB aligned");
    tdmr->pamt_4k_size -= 0x1000;
    bad_tdmr(TDX_INVALID_PAMT, "4 KiB PAMT too small");
    tdmr->pamt_2m_size = 0x1000;
    bad_tdmr(TDX_INVALID_PAMT, "2 MiB PAMT too small");
    tdmr->pamt_1g_size = 0;
    bad_tdmr(TDX_INVALID_PAMT, "1 GiB PAMT too small");
    tdmr->pamt_2m_base = tdmr->pamt_4k_base;
    bad_tdmr(TDX_PAMT_OVERLAP, "two PAMT levels overlap");
    tdmr->pamt_2m_base = 0x200000;
    bad_tdmr(TDX_PAMT_OVERLAP, "PAMT in the usable part of the TDMR");
    tdmr->reserved[0].size = 0x100000;
    tdmr->reserved[last].offset += tdmr->reserved[2].size ? 0x1000 : 0;
    if (tdmr->reserved[2].size) {
        tdmr->reserved[last].size -= 0x1000;
        bad_tdmr(TDX_TDMR_OUTSIDE_CMRS, "a page behind the CMRs is not reserved");
    }
    tdmr->pamt_1g_base = 0x3000000000;
    bad_tdmr(TDX_PAMT_OUTSIDE_CMRS, "PAMT not in a CMR");

    *second = good;
    list[1] = (u64)second;
    check_eq(config(2), TDX_ST(TDX_NON_ORDERED_TDMR, 1), "CONFIG: the same TDMR twice");
    second->base = BIT(30) / 2;
    check_eq(TDX_STATUS_CODE(config(2)), TDX_INVALID_TDMR, "CONFIG: TDMR 1 unaligned");
}

static void configure(void)
{
    u64 next = 0, calls = 0;

    check_eq(config(1), TDX_SUCCESS, "CONFIG");
    check_eq(config(1), TDX_SYS_CONFIG_NOT_PENDING, "CONFIG twice");
    check_eq(tdh_1(TDH_SYS_TDMR_INIT, 0), TDX_SYS_NOT_READY,
             "TDMR.INIT before KEY.CONFIG");
    check_eq(tdh_0(TDH_SYS_KEY_CONFIG), TDX_SUCCESS, "KEY.CONFIG");
    check_eq(tdh_0(TDH_SYS_KEY_CONFIG), TDX_SYS_KEY_CONFIG_NOT_PENDING,
             "KEY.CONFIG twice");
    check_eq(tdh_1(TDH_SYS_TDMR_INIT, 0x1000), OPERAND(TDX_OPERAND_INVALID, RCX),
             "TDMR.INIT: unaligned base");
    check_eq(tdh_1(TDH_SYS_TDMR_INIT, BIT(30)), OPERAND(TDX_OPERAND_INVALID, RCX),
             "TDMR.INIT: not a TDMR");
    check_eq(tdh_2(TDH_MNG_CREATE, (u64)page_alloc(), first_keyid + 1),
             OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, RCX),
             "a page of a TDMR that is not initialised yet");
    do {
        if (!check_eq(tdh_1(TDH_SYS_TDMR_INIT, 0), TDX_SUCCESS, "TDMR.INIT")) {
            return;
        }
        check(tdh_out.rdx >= next && !(tdh_out.rdx & (BIT(30) - 1)),
              "TDMR.INIT: RDX grows in units of 1 GiB");
        next = tdh_out.rdx;
    } while (next < BIT(30) && ++calls < 1000);
    check_eq(next, BIT(30), "TDMR.INIT ends at the TDMR's end");
    check_eq(tdh_1(TDH_SYS_TDMR_INIT, 0), TDX_TDMR_ALREADY_INITIALIZED,
             "TDMR.INIT of an initialised TDMR");
    check_eq(tdh_0(0xfffe), OPERAND(TDX_OPERAND_INVALID, RAX), "READY: an unknown leaf");
    check_eq(tdh_3(TDH_PHYMEM_PAMT_ADD, 1, 0, 0), OPERAND(TDX_OPERAND_INVALID, RAX),
             "READY: PAMT.ADD without Dynamic PAMT");
    check_eq(tdh_1(TDH_PHYMEM_PAMT_REMOVE, 1), OPERAND(TDX_OPERAND_INVALID, RAX),
             "READY: PAMT.REMOVE without Dynamic PAMT");
    check_eq(tdh_0(TDH_SYS_INIT), TDX_SYS_INIT_NOT_PENDING, "READY: SYS.INIT");
    check_eq(config(1), TDX_SYS_CONFIG_NOT_PENDING, "READY: CONFIG");
    check_eq(tdh_0(TDH_MNG_KEY_RECLAIMID), TDX_SUCCESS, "MNG.KEY.RECLAIMID does nothing");
}

static void shutdown(void)
{
    if (!(sys_rd(TDX_MD_FEATURES0) & BIT(TDX_FEATURE_TD_PRESERVING))) {
        check_skip("FEATURES0[1] is 0", "SYS.SHUTDOWN");
        return;
    }
    check_eq(tdh_1(TDH_SYS_SHUTDOWN, 0xfffe), OPERAND(TDX_OPERAND_INVALID, RCX),
             "SHUTDOWN: handoff version out of range");
    check_eq(tdh_1(TDH_SYS_SHUTDOWN, sys_rd(TDX_MD_MODULE_HV)), TDX_SUCCESS, "SHUTDOWN");
    check_eq(tdh_2(TDH_SYS_RD, 0, TDX_MD_FEATURES0), TDX_SYS_SHUTDOWN, "SYS.RD after it");
}

void test_main(void)
{
    if (!vmx_supported() || !(cpuid(7, 0).c & BIT(13))) {
        panic("no VMX or no TME");
    }
    smp_start();
    seam_platform();
    platform();
    movdir64b();
    keyed_addresses();
    vmx_on();
    before_init();
    init();
    metadata();
    config_operands();
    config_tdmrs();
    configure();
    shutdown();
    check_eq(tdh_clobbered, 0, "no leaf changed a register that is not its output");
}
