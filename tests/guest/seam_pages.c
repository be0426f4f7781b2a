/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that change size or place: TDH.MEM.PAGE.DEMOTE, PROMOTE and RELOCATE,
 * seen by the host (status, PAMT) and by the TD whose memory it is; and
 * TDH.MNG.WR.  Rules are those of the TDX module ABI's leaf pages.
 */
#include "seam.h"

const char test_name[] = "seam_pages";

#define INVALID(reg)    OPERAND(TDX_OPERAND_INVALID, reg)
#define GPA_2M          0x200000ull

enum { BLOCKED = 1, PENDING = 2, MAPPED = 4, NL_MAPPED = 0x84 };

static Td td;
static TdReport r;
static u64 free_page, big;

static u64 op(u32 n, u64 a0, u64 a1)
{
    r = td_op(&td, 0, n, a0, a1, 0, 0, 0);
    return r.out[0];
}

static u64 accept(u64 gpa)
{
    return td_tdcall(&td, &r, TDG_MEM_PAGE_ACCEPT, gpa, 0, 0, 0);
}

static u64 rdmd_type(u64 page)
{
    u64 st = tdh_1(TDH_PHYMEM_PAGE_RDMD, page);

    return st ? st : tdh_out.rcx;
}

static u64 sept_state(u64 rcx)
{
    u64 st = tdh_2(TDH_MEM_SEPT_RD, rcx, td.tdr);

    return st ? st : tdh_out.rdx >> 8 & 0xff;
}

static u64 demote(u64 rcx, u64 page)
{
    return tdh_3(TDH_MEM_PAGE_DEMOTE, rcx, td.tdr, page);
}

static u64 promote(u64 rcx) { return tdh_2(TDH_MEM_PAGE_PROMOTE, rcx, td.tdr); }

static u64 relocate(u64 rcx, u64 page)
{
    return tdh_3(TDH_MEM_PAGE_RELOCATE, rcx, td.tdr, page);
}

static void block(u64 rcx)
{
    if (tdh_2(TDH_MEM_RANGE_BLOCK, rcx, td.tdr) || tdh_1(TDH_MEM_TRACK, td.tdr)) {
        panic("RANGE.BLOCK or TRACK of %llx: %llx", (long long)rcx,
              (long long)tdh_out.rax);
    }
}

static void make_2m(void)
{
    big = (u64)pages_alloc(512, GPA_2M);
    td_add_sept(&td, 0, 2);
    if (tdh_3(TDH_MEM_PAGE_AUG, GPA_2M | 1, td.tdr, big) || accept(GPA_2M | 1)) {
        panic("a 2 MiB page");
    }
    for (u64 i = 0; i < 512; i += 73) {
        op(OP_WRITE, GPA_2M + i * PAGE_SIZE + 8, 0x1000 + i);
    }
}

static void check_content(const char *when)
{
    bool same = true;

    for (u64 i = 0; i < 512; i += 73) {
        same &= op(OP_READ, GPA_2M + i * PAGE_SIZE + 8, 0) == 0x1000 + i;
    }
    check(same, "%s: the TD sees its data", when);
}

static void demotion(void)
{
    u64 st = demote(GPA_2M | 1, free_page);

    if (st == INVALID(RAX)) {
        check_skip("not modelled", "PAGE.DEMOTE");
        finish();
    }
    check_eq(st, OPERAND(TDX_GPA_RANGE_NOT_BLOCKED, RCX), "PAGE.DEMOTE: not blocked");
    tdh_2(TDH_MEM_RANGE_BLOCK, GPA_2M | 1, td.tdr);
    check_eq(demote(GPA_2M | 1, free_page), OPERAND(TDX_TLB_TRACKING_NOT_DONE, RCX),
             "PAGE.DEMOTE before MEM.TRACK");
    tdh_1(TDH_MEM_TRACK, td.tdr);
    check_eq(demote(GPA_2M, free_page), INVALID(RCX), "PAGE.DEMOTE: level 0");
    check_eq(demote(GPA_2M | 0x1000 | 1, free_page), INVALID(RCX),
             "PAGE.DEMOTE: unaligned");
    check_eq(demote(0xc0000002, free_page), OPERAND(TDX_EPT_ENTRY_STATE_INCORRECT, RCX),
             "PAGE.DEMOTE of a table");
    check_eq(demote(GPA_2M | 1, td.tdcs[0]), OPERAND(TDX_PAGE_METADATA_INCORRECT, R8),
             "PAGE.DEMOTE: the new table's page is in use");
    check_eq(demote(GPA_2M | 1, free_page | 8), INVALID(R8),
             "PAGE.DEMOTE: the new table's page is unaligned");
    check_eq(demote(GPA_2M | 1, free_page), TDX_SUCCESS, "PAGE.DEMOTE");
    check_eq(rdmd_type(free_page), PT_EPT, "PAGE.DEMOTE: the new table is an S-EPT page");
    check_eq(rdmd_type(big + 0x5000), PT_REG, "PAGE.DEMOTE: its pages are private still");
    check_eq(tdh_out.r8, 0, "PAGE.DEMOTE: its pages are 4 KiB");
    check_eq(sept_state(GPA_2M | 1), NL_MAPPED,
             "PAGE.DEMOTE: the entry is a mapped table");
    check_eq(sept_state(GPA_2M + 0x7000), MAPPED, "PAGE.DEMOTE: a child is mapped");
    check_content("PAGE.DEMOTE");
    block(GPA_2M + 0x3000);
    check_eq(tdh_2(TDH_MEM_PAGE_REMOVE, GPA_2M + 0x3000, td.tdr), TDX_SUCCESS,
             "PAGE.REMOVE of one page of the range");
    check_eq(tdh_out.rcx, big + 0x3000, "PAGE.REMOVE: RCX is that page");
}

static void promotion(void)
{
    u64 st = promote(GPA_2M | 1);

    if (st == INVALID(RAX)) {
        check_skip("not modelled", "PAGE.PROMOTE");
        return;
    }
    check_eq(st, OPERAND(TDX_GPA_RANGE_NOT_BLOCKED, RCX), "PAGE.PROMOTE: not blocked");
    block(GPA_2M | 1);
    check_eq(promote(GPA_2M), INVALID(RCX), "PAGE.PROMOTE: level 0");
    check_eq(promote(GPA_2M | 1), OPERAND(TDX_EPT_INVALID_PROMOTE_CONDITIONS, RCX),
             "PAGE.PROMOTE with a hole");
    tdh_2(TDH_MEM_RANGE_UNBLOCK, GPA_2M | 1, td.tdr);
    check_eq(tdh_3(TDH_MEM_PAGE_AUG, GPA_2M + 0x3000, td.tdr, big + 0x3000), TDX_SUCCESS,
             "PAGE.AUG of the page that is missing");
    block(GPA_2M | 1);
    check_eq(promote(GPA_2M | 1), OPERAND(TDX_EPT_INVALID_PROMOTE_CONDITIONS, RCX),
             "PAGE.PROMOTE with a pending page");
    tdh_2(TDH_MEM_RANGE_UNBLOCK, GPA_2M | 1, td.tdr);
    check_eq(accept(GPA_2M + 0x3000), TDX_SUCCESS, "PAGE.ACCEPT of it");
    block(GPA_2M | 1);
    check_eq(promote(GPA_2M | 1), TDX_SUCCESS, "PAGE.PROMOTE");
    check_eq(tdh_out.rcx, free_page, "PAGE.PROMOTE: RCX is the table that is free now");
    check_eq(rdmd_type(free_page), PT_NDA, "PAGE.PROMOTE: the table's page is free");
    check_eq(rdmd_type(big + 0x5000), PT_REG, "PAGE.PROMOTE: the pages are private");
    check_eq(tdh_out.r8, 1, "PAGE.PROMOTE: one 2 MiB page");
    check_eq(sept_state(GPA_2M | 1), MAPPED, "PAGE.PROMOTE: the entry is a mapped leaf");
    check_content("PAGE.PROMOTE");
    op(OP_WRITE, GPA_2M + 0x3008, 3);
    check_eq(op(OP_READ, GPA_2M + 0x3008, 0), 3, "PAGE.PROMOTE: all of it is usable");
}

static void relocation(void)
{
    u64 old = (u64)page_alloc(), new = (u64)page_alloc(), gpa = 0x400000;
    u64 st;

    td_add_sept(&td, gpa, 1);
    tdh_3(TDH_MEM_PAGE_AUG, gpa, td.tdr, old);
    accept(gpa);
    op(OP_WRITE, gpa + 16, 0xfeedbeef);
    st = relocate(gpa, new);
    if (st == INVALID(RAX)) {
        check_skip("not modelled", "PAGE.RELOCATE");
        td.sept[td.num_sept++] = old;
        return;
    }
    check_eq(st, OPERAND(TDX_GPA_RANGE_NOT_BLOCKED, RCX), "PAGE.RELOCATE: not blocked");
    block(gpa);
    check_eq(relocate(gpa | 1, new), INVALID(RCX), "PAGE.RELOCATE: level 1");
    check_eq(relocate(gpa, old), INVALID(R8), "PAGE.RELOCATE to the same page");
    check_eq(relocate(gpa, td.tdcs[0]), OPERAND(TDX_PAGE_METADATA_INCORRECT, R8),
             "PAGE.RELOCATE to a page in use");
    check_eq(relocate(gpa, new), TDX_SUCCESS, "PAGE.RELOCATE");
    check_eq(tdh_out.rcx, old, "PAGE.RELOCATE: RCX is the old page");
    check_eq(rdmd_type(old), PT_NDA, "PAGE.RELOCATE: the old page is free");
    check_eq(rdmd_type(new), PT_REG, "PAGE.RELOCATE: the new one is private");
    check_eq(op(OP_READ, gpa + 16, 0), 0xfeedbeef, "PAGE.RELOCATE: the TD sees its data");
    op(OP_WRITE, gpa + 16, 0x1234);
    check_eq(op(OP_READ, gpa + 16, 0), 0x1234, "PAGE.RELOCATE: the TD can write");
    td.sept[td.num_sept++] = new;
}

static void mng_wr(void)
{
    u64 st = tdh4(TDH_MNG_WR, td.tdr, TDX_MD_TDCS_ATTRIBUTES, 0, ~0ull);

    if (st == INVALID(RAX)) {
        check_skip("not modelled", "MNG.WR");
        return;
    }
    check_eq(TDX_STATUS_CODE(st), TDX_METADATA_FIELD_NOT_WRITABLE,
             "MNG.WR of ATTRIBUTES");
    check_eq(TDX_STATUS_CODE(tdh4(TDH_MNG_WR, td.tdr, 0x3f10000300777777, 0, ~0ull)),
             TDX_METADATA_FIELD_ID_INCORRECT, "MNG.WR of no field");
    check_eq(tdh4(TDH_MNG_WR, free_page, TDX_MD_TDCS_ATTRIBUTES, 0, ~0ull),
             OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX), "MNG.WR: not a TDR");
}

void test_main(void)
{
    seam_bring_up();
    free_page = (u64)page_alloc();
    td_build(&td, first_keyid + 1, 1);
    check_eq(td_enter(&td, 0), VMX_EXIT_TDCALL, "the TD starts");
    make_2m();
    demotion();
    promotion();
    relocation();
    mng_wr();
    block(GPA_2M | 1);
    check_eq(tdh_2(TDH_MEM_PAGE_REMOVE, GPA_2M | 1, td.tdr), TDX_SUCCESS,
             "PAGE.REMOVE of the 2 MiB page");
    td_destroy(&td);
    check(true, "the TD is destroyed, no page is left");
    check_eq(tdh_clobbered, 0, "no leaf changed a register that is not its output");
}
