/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Dynamic PAMT changes in other leaves: pages without a pair, pages that are
 * a pair, the count of a region and the removal hint, RDMD, 2 MiB pages, DEMOTE
 * and PROMOTE with their pairs.  Numbers in brackets as in README.md.
 */
#include "seam.h"

const char test_name[] = "seam_pamt_leaves";

#define INVALID(reg)    OPERAND(TDX_OPERAND_INVALID, reg)
#define OUTSIDE(reg)    OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, reg)
#define METADATA(reg)   OPERAND(TDX_PAGE_METADATA_INCORRECT, reg)
#define MISSING(reg)    OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, reg)
#define NOT_FREE(reg)   OPERAND(TDX_PAGE_NOT_FREE, reg)
#define NON_LEAF        BIT(63)         /* in RDMD's RCX */
#define RESERVED        0x10000ull      /* below 1 MiB: reserved area of the TDMR */
#define GPA_2M          0x200000ull
#define GPA_4K          0x400000ull

static Td td;
static u64 unbacked;            /* in a region without a pair */
static u64 paired;              /* page of a pair, in a region with a pair */
static u64 spare;               /* 8 pages of ordinary memory */

static u64 region_alloc(void) { return (u64)pages_alloc(512, REGION_SIZE); }

static void must(u64 status, const char *what)
{
    if (status) {
        panic("%s: %llx", what, (long long)status);
    }
}

static u64 create(u64 p) { return tdh_2(TDH_MNG_CREATE, p, first_keyid + 2); }
static u64 addcx(u64 p) { return tdh_2(TDH_MNG_ADDCX, p, td.tdr); }
static u64 vp_create(u64 p) { return tdh_2(TDH_VP_CREATE, p, td.tdr); }
static u64 vp_addcx(u64 p) { return tdh_2(TDH_VP_ADDCX, p, td.vcpu[0].tdvpr); }
static u64 sept_add(u64 p) { return tdh_3(TDH_MEM_SEPT_ADD, GPA_2M | 1, td.tdr, p); }
static u64 page_add(u64 p) { return tdh4(TDH_MEM_PAGE_ADD, GPA_4K, td.tdr, p, spare); }
static u64 aug(u64 gpa, u64 p) { return tdh_3(TDH_MEM_PAGE_AUG, gpa, td.tdr, p); }
static u64 aug_4k(u64 p) { return aug(GPA_4K, p); }
static u64 unaug(u64 gpa) { return tdh_2(TDH_MEM_PAGE_REMOVE, gpa, td.tdr); }

/* A leaf that wants a free page: no pair (2.0), and a free page that is none (3.6). */
static void needs_pair(const char *leaf, u64 (*call)(u64 page), u32 reg)
{
    check_eq(call(unbacked), TDX_ST(TDX_MISSING_PAMT_PAGE_PAIR, reg),
             "%s: the page's region has no pair", leaf);
    check_eq(call(paired), TDX_ST(TDX_PAGE_METADATA_INCORRECT, reg),
             "%s: the page is in a pair", leaf);
    check_eq(call(RESERVED), TDX_ST(TDX_PAGE_METADATA_INCORRECT, reg),
             "%s: the page is in a reserved area", leaf);
}

static void make_td(void)
{
    needs_pair("MNG.CREATE", create, TDX_OPERAND_ID_RCX);
    check_eq(tdh_1(TDH_MNG_KEY_CONFIG, unbacked), METADATA(RCX),
             "MNG.KEY.CONFIG: a TDR is wanted, a missing pair is not the news");
    check_eq(tdh_1(TDH_PHYMEM_PAGE_RECLAIM, unbacked), METADATA(RCX),
             "PAGE.RECLAIM in a region without a pair");
    td_make_tdr(&td, first_keyid + 1);
    needs_pair("MNG.ADDCX", addcx, TDX_OPERAND_ID_RCX);
    td_add_tdcs(&td);
    td_default_params(&td);
    must(tdh_2(TDH_MNG_INIT, td.tdr, (u64)td.params), "TDH.MNG.INIT");
    needs_pair("VP.CREATE", vp_create, TDX_OPERAND_ID_RCX);
    td.vcpu[0].tdvpr = seam_page();
    must(vp_create(td.vcpu[0].tdvpr), "TDH.VP.CREATE");
    needs_pair("VP.ADDCX", vp_addcx, TDX_OPERAND_ID_RCX);
    for (u32 i = 0; i < td.num_tdcx; i++) {
        td.vcpu[0].tdcx[i] = seam_page();
        must(vp_addcx(td.vcpu[0].tdcx[i]), "TDH.VP.ADDCX");
    }
    must(tdh_3(TDX_RAX(TDH_VP_INIT, 1), td.vcpu[0].tdvpr, 0, 0), "TDH.VP.INIT");
    td.num_vcpus = 1;
    td_add_payload(&td);
    td_add_sept(&td, 0, 2);
    td_add_sept(&td, GPA_4K, 1);
    needs_pair("MEM.SEPT.ADD", sept_add, TDX_OPERAND_ID_R8);
    needs_pair("MEM.PAGE.ADD", page_add, TDX_OPERAND_ID_R8);
    must(tdh_1(TDH_MR_FINALIZE, td.tdr), "TDH.MR.FINALIZE");
    needs_pair("MEM.PAGE.AUG", aug_4k, TDX_OPERAND_ID_R8);
    check_eq(td_enter(&td, 0), VMX_EXIT_TDCALL, "a TD with Dynamic PAMT starts");
}

static void block(u64 rcx)
{
    must(tdh_2(TDH_MEM_RANGE_BLOCK, rcx, td.tdr), "TDH.MEM.RANGE.BLOCK");
    must(tdh_1(TDH_MEM_TRACK, td.tdr), "TDH.MEM.TRACK");
}

static u64 accept(u64 gpa)
{
    TdReport r;

    return td_tdcall(&td, &r, TDG_MEM_PAGE_ACCEPT, gpa, 0, 0, 0);
}

/* --- TDH.PHYMEM.PAGE.RDMD --- */

/* Of RCX; the outputs that matter are checked by the caller. */
static u64 rdmd(u64 rcx)
{
    u64 st = tdh_1(TDH_PHYMEM_PAGE_RDMD, rcx);

    return st ? st : tdh_out.rcx;
}

static void metadata(void)
{
    u64 r = region_alloc(), p = spare + 2 * PAGE_SIZE;

    check_eq(rdmd(r), PT_NDA, "RDMD in a region without a pair: type");
    check_eq(rdmd(r | 1), PT_NDA, "RDMD at 2 MiB without a pair: a leaf, free");
    check(!tdh_out.r10 && !tdh_out.r11, "RDMD at 2 MiB without a pair: R10 = R11 = 0");
    must(pamt_add(r, p, p + PAGE_SIZE), "TDH.PHYMEM.PAMT.ADD");
    check_eq(rdmd(r | 1), NON_LEAF | PT_PAMT, "RDMD at 2 MiB with a pair: RCX");
    check_eq(tdh_out.r8, TDX_2M, "RDMD at 2 MiB with a pair: size");
    check((tdh_out.r10 == p && tdh_out.r11 == p + PAGE_SIZE) ||
          (tdh_out.r10 == p + PAGE_SIZE && tdh_out.r11 == p),
          "RDMD at 2 MiB with a pair: R10 and R11 are its pages");
    check_eq(rdmd(r + 0x5000), PT_NDA, "RDMD of a free page");
    check_eq(tdh_out.r8, TDX_4K, "RDMD of a free page: size");
    check_eq(rdmd(paired), PT_PAMT, "RDMD of a page of a pair");
    check_eq(tdh_out.r8, TDX_4K, "RDMD of a page of a pair: size");
    must(aug(GPA_4K, r + 0x5000), "TDH.MEM.PAGE.AUG");
    check_eq(rdmd(r + 0x5000), PT_REG, "RDMD of a page in use");
    check_eq(tdh_out.rdx, td.tdr, "RDMD of a page in use: owner");
    check_eq(rdmd(r + 0x5008), INVALID(RCX), "RDMD: RCX[3] is reserved");
    check_eq(rdmd(r | 7), INVALID(RCX), "RDMD: level 7");
    block(GPA_4K);
    must(unaug(GPA_4K), "TDH.MEM.PAGE.REMOVE");
    must(pamt_remove(r), "TDH.PHYMEM.PAMT.REMOVE");
}

/* --- the count of a region --- */

/* All 512 pages, freed in an order that changes halves: only the last one hints. */
static void count(void)
{
    u64 r = region_alloc(), p = spare + 2 * PAGE_SIZE, hints = 0, wrong = 0, refused = 0;

    must(pamt_add(r, p, p + PAGE_SIZE), "TDH.PHYMEM.PAMT.ADD");
    for (u64 i = 0; i < 512; i++) {
        must(aug(GPA_4K + i * PAGE_SIZE, r + i * PAGE_SIZE), "TDH.MEM.PAGE.AUG");
    }
    for (u64 i = 0; i < 512; i++) {
        must(tdh_2(TDH_MEM_RANGE_BLOCK, GPA_4K + i * PAGE_SIZE, td.tdr),
             "TDH.MEM.RANGE.BLOCK");
    }
    must(tdh_1(TDH_MEM_TRACK, td.tdr), "TDH.MEM.TRACK");
    for (u64 n = 0; n < 512; n++) {
        u64 i = n * 301 % 512;

        refused += TDX_STATUS_CODE(pamt_remove(r)) == TDX_PAMT_PAGE_NOT_EMPTY;
        must(unaug(GPA_4K + i * PAGE_SIZE), "TDH.MEM.PAGE.REMOVE");
        wrong += (tdh_out.rcx & ~PAMT_HINT) != r + i * PAGE_SIZE;
        hints += tdh_out.rcx & PAMT_HINT ? n : 0;
    }
    check_eq(wrong, 0, "512 pages: PAGE.REMOVE gives each back");
    check_eq(refused, 512, "512 pages: PAMT.REMOVE is refused while one is left");
    check_eq(hints, 511, "512 pages: the last PAGE.REMOVE hints, no other one");
    check_eq(pamt_remove(r), TDX_SUCCESS, "512 pages: PAMT.REMOVE then succeeds");
}

/* SEPT.REMOVE, RELOCATE: the hint of a page that was alone in its region. */
static void hints(void)
{
    u64 r = region_alloc(), s = region_alloc(), p = spare + 2 * PAGE_SIZE;

    must(pamt_add(r, p, p + PAGE_SIZE), "TDH.PHYMEM.PAMT.ADD");
    must(sept_add(r + 0x3000), "TDH.MEM.SEPT.ADD");
    check_eq(pamt_remove(r), TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 0),
             "PAMT.REMOVE: an S-EPT page is a page in use");
    block(GPA_2M | 1);
    check_eq(tdh_2(TDH_MEM_SEPT_REMOVE, GPA_2M | 1, td.tdr), TDX_SUCCESS, "SEPT.REMOVE");
    check_eq(tdh_out.rcx, (r + 0x3000) | PAMT_HINT, "SEPT.REMOVE: the page and the hint");

    must(aug_4k(r + 0x3000), "TDH.MEM.PAGE.AUG");
    must(accept(GPA_4K), "TDG.MEM.PAGE.ACCEPT");
    block(GPA_4K);
    check_eq(tdh_3(TDH_MEM_PAGE_RELOCATE, GPA_4K, td.tdr, s), MISSING(R8),
             "PAGE.RELOCATE to a region without a pair");
    check_eq(tdh_3(TDH_MEM_PAGE_RELOCATE, GPA_4K, td.tdr, paired), METADATA(R8),
             "PAGE.RELOCATE to a page of a pair");
    must(pamt_add(s, p + 2 * PAGE_SIZE, p + 3 * PAGE_SIZE), "TDH.PHYMEM.PAMT.ADD");
    check_eq(tdh_3(TDH_MEM_PAGE_RELOCATE, GPA_4K, td.tdr, s), TDX_SUCCESS,
             "PAGE.RELOCATE");
    check_eq(tdh_out.rcx, (r + 0x3000) | PAMT_HINT,
             "PAGE.RELOCATE: the old page and the hint");
    check_eq(pamt_remove(r), TDX_SUCCESS, "PAGE.RELOCATE: the old region is empty");
    check_eq(pamt_remove(s), TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 0),
             "PAGE.RELOCATE: the new one is not");
    block(GPA_4K);
    must(unaug(GPA_4K), "TDH.MEM.PAGE.REMOVE");
    must(pamt_remove(s), "TDH.PHYMEM.PAMT.REMOVE");
}

/* --- 2 MiB pages --- */

static u64 big;

static void big_page(void)
{
    u64 p = spare + 2 * PAGE_SIZE, r = region_alloc();

    big = region_alloc();
    must(pamt_add(big, p, p + PAGE_SIZE), "TDH.PHYMEM.PAMT.ADD");
    check_eq(aug(GPA_2M | 1, big), METADATA(R8), "PAGE.AUG of 2 MiB: there is a pair");
    must(pamt_remove(big), "TDH.PHYMEM.PAMT.REMOVE");
    must(pamt_add(r, p, big + 0x8000), "TDH.PHYMEM.PAMT.ADD");
    check_eq(aug(GPA_2M | 1, big), METADATA(R8),
             "PAGE.AUG of 2 MiB: one of its pages is in another region's pair");
    must(pamt_remove(r), "TDH.PHYMEM.PAMT.REMOVE");
    must(pamt_remove(0), "TDH.PHYMEM.PAMT.REMOVE");
    check_eq(aug(GPA_2M | 1, 0), METADATA(R8),
             "PAGE.AUG of 2 MiB: half of it is a reserved area");
    must(pamt_add(0, spare, spare + PAGE_SIZE), "TDH.PHYMEM.PAMT.ADD");
    check_eq(aug(GPA_2M | 1, big), TDX_SUCCESS, "PAGE.AUG of 2 MiB without a pair");
    check_eq(rdmd(big + 0x5000), PT_REG, "RDMD inside it");
    check_eq(tdh_out.r8, TDX_2M, "RDMD inside it: size");
    check_eq(pamt_add(big, p, p + PAGE_SIZE), OPERAND(TDX_HPA_RANGE_NOT_FREE, RCX),
             "PAMT.ADD of a region that is a 2 MiB page");
    check_eq(aug_4k(big + 0x5000), METADATA(R8), "PAGE.AUG of a page inside it");
    check_eq(create(big + 0x5000), METADATA(RCX), "MNG.CREATE of a page inside it");
    must(accept(GPA_2M | 1), "TDG.MEM.PAGE.ACCEPT");
    td_op(&td, 0, OP_WRITE, GPA_2M + 0x5008, 0x1234, 0, 0, 0);
}

static u64 demote(u64 sept, u64 a, u64 b)
{
    return tdh_pair(TDH_MEM_PAGE_DEMOTE, GPA_2M | 1, td.tdr, sept, a, b);
}

static void demotion_errors(u64 sept, u64 a, u64 b)
{
    u64 far = BIT(33);
    const struct { u64 sept, a, b, want; const char *rule; } t[] = {
        { unbacked, 8, 8, MISSING(R8), "the new table's region has no pair" },
        { paired, 8, 8, METADATA(R8), "the new table is in a pair" },
        { sept, a | 8, b, INVALID(R12), "R12 unaligned" },
        { sept, KEYED(a, first_keyid), b, INVALID(R12), "R12 with a KeyID" },
        { sept, a | BIT(52), b, INVALID(R12), "R12 beyond MAXPA" },
        { sept, a, b | 8, INVALID(R13), "R13 unaligned" },
        { sept, a, KEYED(b, first_keyid), INVALID(R13), "R13 with a KeyID" },
        { sept, far, b, OUTSIDE(R12), "R12 in no TDMR" },
        { sept, a, far, OUTSIDE(R13), "R13 in no TDMR" },
        { sept, td.tdr, b, NOT_FREE(R12), "R12 in use" },
        { sept, a, td.tdr, NOT_FREE(R13), "R13 in use" },
        { sept, paired, b, NOT_FREE(R12), "R12 in another pair" },
        { sept, a, paired, NOT_FREE(R13), "R13 in another pair" },
        { sept, RESERVED, b, NOT_FREE(R12), "R12 in a reserved area" },
        { sept, a, a, NOT_FREE(R13), "R12 = R13" },
    };

    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        check_eq(demote(t[i].sept, t[i].a, t[i].b), t[i].want, "PAGE.DEMOTE: %s",
                 t[i].rule);
    }
    check(demote(sept, big + 0x5000, b) & TDX_ERROR,
          "PAGE.DEMOTE: a page of the 2 MiB itself cannot be in its pair");
    check_eq(rdmd(big + 0x5000), PT_REG, "PAGE.DEMOTE: nothing happened yet");
    check_eq(tdh_out.r8, TDX_2M, "PAGE.DEMOTE: nothing happened yet: size");
}

static void demotion(void)
{
    u64 a = seam_page(), b = spare + 3 * PAGE_SIZE, sept = seam_page(), r;

    block(GPA_2M | 1);
    demotion_errors(sept, a, b);
    check_eq(demote(sept, a, b), TDX_SUCCESS, "PAGE.DEMOTE");
    check_eq(rdmd(big | 1), NON_LEAF | PT_PAMT, "PAGE.DEMOTE: the region has a pair");
    check((tdh_out.r10 == a && tdh_out.r11 == b) ||
          (tdh_out.r10 == b && tdh_out.r11 == a), "PAGE.DEMOTE: the pair is R12 and R13");
    check_eq(rdmd(big + 0x5000), PT_REG, "PAGE.DEMOTE: its pages are private");
    check_eq(tdh_out.r8, TDX_4K, "PAGE.DEMOTE: its pages are 4 KiB");
    check_eq(tdh_out.rdx, td.tdr, "PAGE.DEMOTE: its pages belong to the TD");
    check_eq(aug_4k(a), METADATA(R8), "PAGE.DEMOTE: R12 is in a pair now");
    check_eq(pamt_remove(big), TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 0),
             "PAGE.DEMOTE: all pages of the region are in use");
    check_eq(td_op(&td, 0, OP_READ, GPA_2M + 0x5008, 0, 0, 0, 0).out[0], 0x1234,
             "PAGE.DEMOTE: the TD sees its data");
    block(GPA_2M + 0x3000);
    must(unaug(GPA_2M + 0x3000), "TDH.MEM.PAGE.REMOVE");
    check_eq(tdh_out.rcx, big + 0x3000, "PAGE.REMOVE of one of the 512: no hint");
    must(aug(GPA_2M + 0x3000, big + 0x3000), "TDH.MEM.PAGE.AUG");
    must(accept(GPA_2M + 0x3000), "TDG.MEM.PAGE.ACCEPT");

    block(GPA_2M | 1);
    check_eq(tdh_pair(TDH_MEM_PAGE_PROMOTE, GPA_2M | 1, td.tdr, 0, 0, 0), TDX_SUCCESS,
             "PAGE.PROMOTE");
    check_eq(tdh_out.rcx, sept, "PAGE.PROMOTE: RCX is the table, others are used there");
    check((tdh_out.r12 == a && tdh_out.r13 == b) ||
          (tdh_out.r12 == b && tdh_out.r13 == a), "PAGE.PROMOTE: R12, R13: the pair");
    check_eq(rdmd(big | 1), PT_REG, "PAGE.PROMOTE: one 2 MiB page");
    check_eq(pamt_remove(big), OPERAND(TDX_NO_PAMT_PAGE_PAIR, RCX),
             "PAGE.PROMOTE: the region has no pair");
    check_eq(pamt_add(r = region_alloc(), a, b), TDX_SUCCESS,
             "PAGE.PROMOTE: another region can have the pair");
    must(pamt_remove(r), "TDH.PHYMEM.PAMT.REMOVE");
    check_eq(td_op(&td, 0, OP_READ, GPA_2M + 0x5008, 0, 0, 0, 0).out[0], 0x1234,
             "PAGE.PROMOTE: the TD sees its data");
    block(GPA_2M | 1);
    must(unaug(GPA_2M | 1), "TDH.MEM.PAGE.REMOVE");
    check_eq(tdh_out.rcx, big, "PAGE.REMOVE of 2 MiB: no hint");
    check_eq(pamt_add(big, a, b), TDX_SUCCESS, "PAMT.ADD where a 2 MiB page was");
    check_eq(pamt_remove(big), TDX_SUCCESS, "PAMT.REMOVE of it");
}

/* --- teardown --- */

static void reclaiming(void)
{
    u64 r = region_alloc(), p = spare + 2 * PAGE_SIZE;

    must(pamt_add(r, p, p + PAGE_SIZE), "TDH.PHYMEM.PAMT.ADD");
    must(aug(GPA_4K, r + 0x6000), "TDH.MEM.PAGE.AUG");
    must(aug(GPA_4K + PAGE_SIZE, r + 511 * PAGE_SIZE), "TDH.MEM.PAGE.AUG");
    td_teardown(&td);
    check_eq(tdh_1(TDH_PHYMEM_PAGE_RECLAIM, r + 0x6000), TDX_SUCCESS, "PAGE.RECLAIM");
    check_eq(tdh_out.r9, 0, "PAGE.RECLAIM: another page is left, no hint");
    check_eq(pamt_remove(r), TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 1),
             "PAMT.REMOVE between two RECLAIMs");
    check_eq(tdh_1(TDH_PHYMEM_PAGE_RECLAIM, r + 511 * PAGE_SIZE), TDX_SUCCESS,
             "PAGE.RECLAIM of the last page");
    check_eq(tdh_out.r9, PAMT_HINT, "PAGE.RECLAIM of the last page: the hint");
    check_eq(tdh_1(TDH_PHYMEM_PAGE_WBINVD, KEYED(r + 511 * PAGE_SIZE, td.hkid)),
             TDX_SUCCESS, "PAGE.WBINVD before PAMT.REMOVE");
    check_eq(pamt_remove(r), TDX_SUCCESS, "PAMT.REMOVE after the last RECLAIM");
    td_reclaim(&td);
    check_eq(tdh_out.r9, PAMT_HINT,
             "PAGE.RECLAIM of the TDR: the hint; a page of a pair does not count");
}

void test_main(void)
{
    u64 low;

    seam_bring_up_dynamic();
    spare = (u64)pages_alloc(8, PAGE_SIZE);
    unbacked = region_alloc();
    low = region_alloc();
    paired = seam_page();
    must(pamt_add(low, paired, spare + 7 * PAGE_SIZE), "TDH.PHYMEM.PAMT.ADD");
    /* region 0 holds reserved pages: with a pair, they are pages like others */
    must(pamt_add(0, spare, spare + PAGE_SIZE), "TDH.PHYMEM.PAMT.ADD");
    make_td();
    metadata();
    count();
    hints();
    big_page();
    demotion();
    reclaiming();
    check_eq(pamt_remove(0), TDX_SUCCESS, "PAMT.REMOVE: reserved pages are not in use");
    check_eq(pamt_remove(low), TDX_SUCCESS, "PAMT.REMOVE of the test's own pair");
    seam_unback();
    check(true, "all pairs come back");
    check_eq(tdh_clobbered, 0, "no leaf changed a register that is not its output");
}
