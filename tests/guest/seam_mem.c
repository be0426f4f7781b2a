/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A TD's memory: operand errors, entry states and their information, TLB
 * tracking and measurement of TDH.MEM.* and TDH.MR.EXTEND.  Rules are those of
 * the TDX module ABI's leaf pages and of its Secure EPT chapter.
 */
#include "seam.h"

const char test_name[] = "seam_mem";

static Td td;
static u64 free_page, source;

#define INVALID(reg)    OPERAND(TDX_OPERAND_INVALID, reg)
#define METADATA(reg)   OPERAND(TDX_PAGE_METADATA_INCORRECT, reg)
#define SVE             BIT(63)

/* Architectural entry states, RDX[15:8] */
enum { FREE = 0, BLOCKED = 1, PENDING = 2, PENDING_BLOCKED = 3, MAPPED = 4,
       NL_BLOCKED = 0x81, NL_MAPPED = 0x84 };

static u64 sept_add(u64 rcx, u64 page)
{
    return tdh_3(TDH_MEM_SEPT_ADD, rcx, td.tdr, page);
}
static u64 page_add(u64 rcx, u64 page)
{
    return tdh4(TDH_MEM_PAGE_ADD, rcx, td.tdr, page, source);
}
static u64 page_aug(u64 rcx, u64 page)
{
    return tdh_3(TDH_MEM_PAGE_AUG, rcx, td.tdr, page);
}
static u64 block(u64 rcx) { return tdh_2(TDH_MEM_RANGE_BLOCK, rcx, td.tdr); }
static u64 unblock(u64 rcx) { return tdh_2(TDH_MEM_RANGE_UNBLOCK, rcx, td.tdr); }
static u64 page_remove(u64 rcx) { return tdh_2(TDH_MEM_PAGE_REMOVE, rcx, td.tdr); }
static u64 sept_remove(u64 rcx) { return tdh_2(TDH_MEM_SEPT_REMOVE, rcx, td.tdr); }
static u64 extend(u64 rcx) { return tdh_2(TDH_MR_EXTEND, rcx, td.tdr); }
static u64 track(void) { return tdh_1(TDH_MEM_TRACK, td.tdr); }

/* The S-EPT information that an error or SEPT.RD leaves in RCX and RDX. */
static void info(u64 rcx, u32 level, u32 state, const char *what)
{
    check_eq(tdh_out.rcx, rcx, "%s: RCX is the entry", what);
    check_eq(tdh_out.rdx, level | state << 8, "%s: RDX is level %u, state %x", what,
             level, state);
}

/* Checks of RCX = GPA | level for a leaf that takes levels @min.. @max. */
static void page_info(const char *leaf, u64 (*call)(u64 rcx), int min, int max)
{
    check_eq(call(7), INVALID(RCX), "%s: level 7", leaf);
    check_eq(call(max + 1), INVALID(RCX), "%s: level %u", leaf, max + 1);
    if (min > 0) {
        check_eq(call(min - 1), INVALID(RCX), "%s: level %u", leaf, min - 1);
    }
    check_eq(call(BIT(3) | min), INVALID(RCX), "%s: RCX[3]", leaf);
    check_eq(call(BIT(52) | min), INVALID(RCX), "%s: RCX[52]", leaf);
    check_eq(call(TD_SHARED_BIT | min), INVALID(RCX), "%s: shared GPA", leaf);
    check_eq(call(BIT(48) | min), INVALID(RCX), "%s: GPA beyond 48 bits", leaf);
    if (max > 0) {
        check_eq(call((TDX_LEVEL_SIZE(max) >> 1) | max), INVALID(RCX),
                 "%s: GPA not aligned to its level", leaf);
    }
}

static u64 call_sept_add(u64 rcx) { return sept_add(rcx, free_page); }
static u64 call_page_add(u64 rcx) { return page_add(rcx, free_page); }
static u64 call_page_aug(u64 rcx) { return page_aug(rcx, free_page); }

static void bad_tdr(const char *name, u64 leaf, u32 id)
{
    bool rcx = id == TDX_OPERAND_ID_RCX;
    static const struct { u64 page, status; const char *rule; } t[] = {
        { BIT(52), TDX_OPERAND_INVALID, "beyond MAXPA" },
        { BIT(33), TDX_OPERAND_ADDR_RANGE_ERROR, "in no TDMR" },
        { 0x10000, TDX_PAGE_METADATA_INCORRECT, "reserved" },
    };

    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        check_eq(tdh_2(leaf, rcx ? t[i].page : 7, rcx ? 0 : t[i].page),
                 TDX_ST(t[i].status, id), "%s: TDR %s", name, t[i].rule);
    }
    check_eq(tdh_2(leaf, rcx ? free_page : 7, rcx ? 0 : free_page),
             TDX_ST(TDX_PAGE_METADATA_INCORRECT, id), "%s: TDR is a free page", name);
}

static void tdr_operands(void)
{
    bad_tdr("SEPT.ADD", TDH_MEM_SEPT_ADD, TDX_OPERAND_ID_RDX);
    bad_tdr("PAGE.ADD", TDH_MEM_PAGE_ADD, TDX_OPERAND_ID_RDX);
    bad_tdr("PAGE.AUG", TDH_MEM_PAGE_AUG, TDX_OPERAND_ID_RDX);
    bad_tdr("RANGE.BLOCK", TDH_MEM_RANGE_BLOCK, TDX_OPERAND_ID_RDX);
    bad_tdr("PAGE.REMOVE", TDH_MEM_PAGE_REMOVE, TDX_OPERAND_ID_RDX);
    bad_tdr("MR.EXTEND", TDH_MR_EXTEND, TDX_OPERAND_ID_RDX);
    bad_tdr("MEM.TRACK", TDH_MEM_TRACK, TDX_OPERAND_ID_RCX);
}

static void sept_pages(void)
{
    u64 used = td.tdcs[0];

    page_info("SEPT.ADD", call_sept_add, 1, 3);
    check_eq(tdh_3(TDH_MEM_SEPT_ADD, 3, td.tdr | BIT(5), free_page), INVALID(RDX),
             "SEPT.ADD: reserved bit of RDX");
    check_eq(sept_add(2, free_page), OPERAND(TDX_EPT_WALK_FAILED, RCX),
             "SEPT.ADD: the table above is missing");
    info(SVE, 3, FREE, "walk failed");
    check_eq(page_add(0, free_page), OPERAND(TDX_EPT_WALK_FAILED, RCX),
             "PAGE.ADD: the tables are missing");
    check_eq(sept_add(3, ~0ull), INVALID(R8), "SEPT.ADD: no page");
    check_eq(sept_add(3, free_page | 8), INVALID(R8), "SEPT.ADD: page unaligned");
    check_eq(sept_add(3, BIT(33)), OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, R8),
             "SEPT.ADD: page in no TDMR");
    check_eq(sept_add(3, used), METADATA(R8), "SEPT.ADD: page in use");
    td_add_sept(&td, 0, 3);
    check(!tdh_out.rcx && !tdh_out.rdx, "SEPT.ADD: RCX and RDX are 0");
    tdh_1(TDH_PHYMEM_PAGE_RDMD, td.sept[0]);
    check_eq(tdh_out.rcx, PT_EPT, "RDMD of an S-EPT page");
    check_eq(sept_add(3, free_page), OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX),
             "SEPT.ADD: the entry is not free");
    check_eq(tdh_out.rdx, 3 | NL_MAPPED << 8, "SEPT.ADD: RDX is level 3, NL_MAPPED");
    check_eq(tdh_out.rcx & ~SVE, 7, "SEPT.ADD: RCX hides the table's address");
    td_add_sept(&td, 0, 2);
    td_add_sept(&td, 0, 1);
}

static void adding(void)
{
    u64 a = (u64)page_alloc();

    page_info("PAGE.ADD", call_page_add, 0, 0);
    check_eq(tdh4(TDH_MEM_PAGE_ADD, 0x1000, td.tdr, free_page, source | 8), INVALID(R9),
             "PAGE.ADD: source unaligned");
    check_eq(tdh4(TDH_MEM_PAGE_ADD, 0x1000, td.tdr, free_page, KEYED(source, td.hkid)),
             INVALID(R9), "PAGE.ADD: source at a private KeyID");
    check_eq(page_add(0x1000, free_page | 8), INVALID(R8), "PAGE.ADD: page unaligned");
    check_eq(page_add(0x1000, td.tdcs[0]), METADATA(R8), "PAGE.ADD: page in use");
    check_eq(tdh4(TDH_MEM_PAGE_ADD, 0x1000, td.tdr, td.tdcs[0], source | 8), INVALID(R9),
             "PAGE.ADD: R9 before the page's type");
    check_eq(extend(0x1000), OPERAND(TDX_EPT_ENTRY_NOT_PRESENT, RCX),
             "MR.EXTEND: the page is not there");
    check_eq(page_add(0x1000, a), TDX_SUCCESS, "PAGE.ADD");
    check(!tdh_out.rcx && !tdh_out.rdx, "PAGE.ADD: RCX and RDX are 0");
    td.payload[0] = a;
    tdh_1(TDH_PHYMEM_PAGE_RDMD, a);
    check_eq(tdh_out.rcx, PT_REG, "RDMD of a private page");
    check_eq(tdh_out.rdx, td.tdr, "RDMD of a private page: owner");
    check_eq(page_add(0x1000, free_page), OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX),
             "PAGE.ADD: the entry is not free");
    check_eq(tdh_out.rdx, MAPPED << 8, "PAGE.ADD: RDX is level 0, MAPPED");
    check_eq(tdh_out.rcx & 0xffffffffff007, a | 7,
             "PAGE.ADD: RCX is the entry with its HPA");
    check_eq(extend(0x1080), INVALID(RCX), "MR.EXTEND: GPA not 256-byte aligned");
    check_eq(extend(TD_SHARED_BIT), INVALID(RCX), "MR.EXTEND: shared GPA");
    check_eq(extend(0x1100), TDX_SUCCESS, "MR.EXTEND");
}

/* Before MR.FINALIZE a page goes without block and tracking. */
static void before_finalize(void)
{
    u64 a = (u64)page_alloc();

    check_eq(page_aug(0x5000, a), TDX_SUCCESS, "PAGE.AUG when INITIALIZED");
    check_eq(page_remove(0x5000), TDX_SUCCESS,
             "PAGE.REMOVE when INITIALIZED, not blocked");
    check_eq(tdh_out.rcx, a, "PAGE.REMOVE: RCX is the page");
    check_eq(tdh_out.rdx, 0, "PAGE.REMOVE: RDX is 0");
}

/* MRTD over one PAGE.ADD at 1000H and one MR.EXTEND at 1100H of bytes A5H. */
static void measurement(void)
{
    static const u64 mrtd[6] = {
        0xacc356eb2516be0e, 0xdaf55f6a86613ebf, 0xf5b9fb2c1ec0a201,
        0x6ab4e274bdede52a, 0xf670a39c511fef85, 0x6002ce3a69b3d12b,
    };

    check_eq(tdh_1(TDH_MR_FINALIZE, td.tdr), TDX_SUCCESS, "MR.FINALIZE");
    for (u32 i = 0; i < 6; i++) {
        tdh_2(TDH_MNG_RD, td.tdr, TDX_MD_TDCS_MRTD + i);
        check_eq(tdh_out.r8, mrtd[i], "MRTD, part %u", i);
    }
    check_eq(page_add(0x2000, free_page), TDX_OP_STATE_INCORRECT,
             "PAGE.ADD when RUNNABLE");
    check_eq(extend(0x1000), TDX_OP_STATE_INCORRECT, "MR.EXTEND when RUNNABLE");
}

static void augmenting(void)
{
    u64 big = (u64)pages_alloc(512, 0x200000), partly = (u64)pages_alloc(512, 0x200000);

    page_info("PAGE.AUG", call_page_aug, 0, 1);
    check_eq(page_aug(0x2000, td.tdcs[0]), METADATA(R8), "PAGE.AUG: page in use");
    check_eq(page_aug(0x2000, free_page | 8), INVALID(R8), "PAGE.AUG: page unaligned");
    check_eq(page_aug(0x2000, KEYED(free_page, td.hkid)), INVALID(R8),
             "PAGE.AUG: page with a KeyID");
    check_eq(page_aug(0x200001, big + 0x1000), INVALID(R8),
             "PAGE.AUG 2 MiB: page not 2 MiB aligned");
    check_eq(page_aug(1, big), OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX),
             "PAGE.AUG 2 MiB over a table");
    check_eq(tdh_out.rdx, 1 | NL_MAPPED << 8, "PAGE.AUG 2 MiB over a table: RDX");
    td.payload[1] = (u64)page_alloc();
    check_eq(page_aug(0x2000, td.payload[1]), TDX_SUCCESS, "PAGE.AUG 4 KiB");
    check_eq(page_aug(0x2000, free_page), OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX),
             "PAGE.AUG: the entry is not free");
    check_eq(tdh_out.rdx, PENDING << 8, "PAGE.AUG: RDX is level 0, PENDING");
    td.payload[2] = partly + 0x3000;
    check_eq(page_aug(0x3000, td.payload[2]), TDX_SUCCESS,
             "PAGE.AUG of a page in a 2 MiB range");
    check_eq(page_aug(0x200001, partly), METADATA(R8),
             "PAGE.AUG 2 MiB: a page of it is used");
    check_eq(page_aug(0x200001, big), TDX_SUCCESS, "PAGE.AUG 2 MiB");
    tdh_1(TDH_PHYMEM_PAGE_RDMD, big + 0x5000);
    check_eq(tdh_out.rcx, PT_REG, "RDMD inside a 2 MiB page: type");
    check_eq(tdh_out.r8, 1, "RDMD inside a 2 MiB page: size");
    check_eq(page_aug(0x300000, free_page), OPERAND(TDX_EPT_WALK_FAILED, RCX),
             "PAGE.AUG under a 2 MiB leaf");
    check_eq(tdh_out.rdx, 1 | PENDING << 8, "PAGE.AUG under a 2 MiB leaf: RDX");
    check_eq(tdh_3(TDH_MEM_SEPT_ADD, 0x400001, td.tdr, big + 0x1000), METADATA(R8),
             "SEPT.ADD: a page inside a 2 MiB page");
    check_eq(block(0x200001), TDX_SUCCESS, "RANGE.BLOCK 2 MiB");
    check_eq(track(), TDX_SUCCESS, "MEM.TRACK");
    check_eq(page_remove(0x200000), OPERAND(TDX_EPT_WALK_FAILED, RCX),
             "PAGE.REMOVE: level 0 of a 2 MiB page");
    check_eq(page_remove(0x200001), TDX_SUCCESS, "PAGE.REMOVE 2 MiB");
    check_eq(tdh_out.rcx, big, "PAGE.REMOVE 2 MiB: RCX");
    tdh_1(TDH_PHYMEM_PAGE_RDMD, big + 0x5000);
    check_eq(tdh_out.rcx, PT_NDA, "RDMD after PAGE.REMOVE: all 2 MiB are free");
}

static void blocking(void)
{
    u64 epoch;

    page_info("RANGE.BLOCK", block, 0, 3);
    page_info("PAGE.REMOVE", page_remove, 0, 2);
    check_eq(block(0x4000), OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX),
             "RANGE.BLOCK of a free entry");
    info(SVE, 0, FREE, "RANGE.BLOCK of a free entry");
    check_eq(block(0x40000000), OPERAND(TDX_EPT_WALK_FAILED, RCX),
             "RANGE.BLOCK: no table there");
    info(SVE, 2, FREE, "RANGE.BLOCK: no table there");
    check_eq(page_remove(0x4000), OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX),
             "PAGE.REMOVE of a free entry");
    check_eq(page_remove(0x1000), OPERAND(TDX_GPA_RANGE_NOT_BLOCKED, RCX),
             "PAGE.REMOVE of a page that is not blocked");
    check_eq(tdh_out.rdx, MAPPED << 8, "PAGE.REMOVE not blocked: RDX");
    check_eq(block(0x1000), TDX_SUCCESS, "RANGE.BLOCK");
    check(!tdh_out.rcx && !tdh_out.rdx, "RANGE.BLOCK: RCX and RDX are 0");
    check_eq(block(0x1000), OPERAND(TDX_GPA_RANGE_ALREADY_BLOCKED, RCX),
             "RANGE.BLOCK twice");
    check_eq(tdh_out.rdx, BLOCKED << 8, "RANGE.BLOCK twice: RDX");
    check_eq(page_remove(0x1000), OPERAND(TDX_TLB_TRACKING_NOT_DONE, RCX),
             "PAGE.REMOVE before MEM.TRACK");
    tdh_2(TDH_MNG_RD, td.tdr, TDX_MD_TDCS_TD_EPOCH);
    epoch = tdh_out.r8;
    check_eq(track(), TDX_SUCCESS, "MEM.TRACK");
    tdh_2(TDH_MNG_RD, td.tdr, TDX_MD_TDCS_TD_EPOCH);
    check_eq(tdh_out.r8, epoch + 1, "MEM.TRACK: TD_EPOCH + 1");
    check_eq(unblock(0x1000), TDX_SUCCESS, "RANGE.UNBLOCK of a tracked page");
    check_eq(unblock(0x1000), OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX),
             "RANGE.UNBLOCK of a mapped page");
    check_eq(page_remove(0x1000), OPERAND(TDX_GPA_RANGE_NOT_BLOCKED, RCX),
             "PAGE.REMOVE after RANGE.UNBLOCK");
    block(0x1000);
    track();
    check_eq(page_remove(0x1000), TDX_SUCCESS, "PAGE.REMOVE");
    check_eq(tdh_out.rcx, td.payload[0], "PAGE.REMOVE: RCX");
    tdh_1(TDH_PHYMEM_PAGE_RDMD, td.payload[0]);
    check_eq(tdh_out.rcx, PT_NDA, "PAGE.REMOVE: the page is free");
    check_eq(tdh_1(TDH_PHYMEM_PAGE_WBINVD, KEYED(td.payload[0], td.hkid)), TDX_SUCCESS,
             "PAGE.WBINVD of it");
    check_eq(page_aug(0x1000, td.payload[0]), TDX_SUCCESS,
             "PAGE.AUG at the same GPA again");

    check_eq(block(0x2000), TDX_SUCCESS, "RANGE.BLOCK of a pending page");
    block(0x2000);
    check_eq(tdh_out.rdx, PENDING_BLOCKED << 8, "blocked while pending: RDX");
    track();
    check_eq(unblock(0x2000), TDX_SUCCESS, "RANGE.UNBLOCK of a pending page");
    check_eq(tdh_2(TDH_MEM_SEPT_RD, 0x2000, td.tdr), TDX_SUCCESS, "SEPT.RD");
    check_eq(tdh_out.rdx, PENDING << 8, "SEPT.RD: pending again");
}

static void sept_removal(void)
{
    u64 st, page;

    td_add_sept(&td, 0x400000, 1);
    page = td.sept[td.num_sept - 1];
    st = sept_remove(0x400001);
    if (st == INVALID(RAX)) {
        check_skip("not modelled", "SEPT.REMOVE");
        return;
    }
    check_eq(st, OPERAND(TDX_GPA_RANGE_NOT_BLOCKED, RCX), "SEPT.REMOVE: not blocked");
    block(0x400001);
    check_eq(sept_remove(0x400001), OPERAND(TDX_TLB_TRACKING_NOT_DONE, RCX),
             "SEPT.REMOVE before MEM.TRACK");
    track();
    check_eq(sept_remove(0x400001), TDX_SUCCESS, "SEPT.REMOVE of an empty table");
    check_eq(tdh_out.rcx, page, "SEPT.REMOVE: RCX is the page");
    td.num_sept--;
    block(1);
    track();
    check_eq(sept_remove(1), OPERAND(TDX_EPT_PAGE_NOT_FREE, RCX),
             "SEPT.REMOVE of a table with pages");
    check_eq(unblock(1), TDX_SUCCESS, "RANGE.UNBLOCK of a table");
}

static void after_teardown(void)
{
    td_destroy(&td);
    check_eq(block(0x1000), METADATA(RDX), "RANGE.BLOCK of a destroyed TD");
    tdh_1(TDH_PHYMEM_PAGE_RDMD, td.payload[2]);
    check_eq(tdh_out.rcx, PT_NDA, "all pages are free");
}

void test_main(void)
{
    seam_bring_up();
    free_page = (u64)page_alloc();
    source = (u64)page_alloc();
    memset((void *)source, 0xa5, PAGE_SIZE);
    td_make_tdr(&td, first_keyid + 1);
    check_eq(block(0), TDX_TDCS_NOT_ALLOCATED, "RANGE.BLOCK without TDCS");
    td_add_tdcs(&td);
    check_eq(call_page_add(0), TDX_OP_STATE_INCORRECT, "PAGE.ADD before MNG.INIT");
    check_eq(sept_add(3, free_page), TDX_OP_STATE_INCORRECT, "SEPT.ADD before MNG.INIT");
    check_eq(track(), TDX_OP_STATE_INCORRECT, "MEM.TRACK before MNG.INIT");
    td_default_params(&td);
    check_eq(tdh_2(TDH_MNG_INIT, td.tdr, (u64)td.params), TDX_SUCCESS, "MNG.INIT");
    td_make_vcpu(&td, 0);
    tdr_operands();
    sept_pages();
    adding();
    before_finalize();
    measurement();
    augmenting();
    blocking();
    sept_removal();
    after_teardown();
    check_eq(tdh_clobbered, 0, "no leaf changed a register that is not its output");
}
