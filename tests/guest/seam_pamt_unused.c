/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host that knows nothing of Dynamic PAMT on a module that offers it: without
 * the flag in TDH.SYS.CONFIG all is as it was.
 */
#include "seam.h"

const char test_name[] = "seam_pamt_unused";

#define INVALID(reg)    OPERAND(TDX_OPERAND_INVALID, reg)
#define GPA_2M          0x200000ull

static Td td;

static void leaves(void)
{
    u64 region = (u64)pages_alloc(512, REGION_SIZE), page = (u64)page_alloc();

    check_eq(sys_rd(TDX_MD_FEATURES0) >> TDX_FEATURE_DYNAMIC_PAMT & 1, 1,
             "FEATURES0[36]: Dynamic PAMT is offered");
    check_eq(sys_rd(TDX_MD_PAMT_PAGE_BITMAP_BITS), 1, "PAMT_PAGE_BITMAP_ENTRY_BITS");
    check_eq(pamt_add(region, page, region), INVALID(RAX), "PAMT.ADD: not enabled");
    check_eq(tdh_3(TDH_PHYMEM_PAMT_ADD, 7, 8, 8), INVALID(RAX),
             "PAMT.ADD: not enabled comes before all operands");
    check_eq(pamt_remove(region), INVALID(RAX), "PAMT.REMOVE: not enabled");
    check_eq(tdh_1(TDH_PHYMEM_PAMT_REMOVE, 7), INVALID(RAX),
             "PAMT.REMOVE: not enabled comes before all operands");
    check_eq(tdh_1(TDH_PHYMEM_PAGE_RDMD, region), TDX_SUCCESS, "RDMD of a free page");
    check_eq(tdh_out.rcx, PT_NDA, "RDMD of a free page: type");
}

static u64 block(u64 rcx)
{
    return tdh_2(TDH_MEM_RANGE_BLOCK, rcx, td.tdr) | tdh_1(TDH_MEM_TRACK, td.tdr);
}

/* A 2 MiB page from AUG to REMOVE; DEMOTE and PROMOTE leave R12 and R13 alone. */
static void big_page(void)
{
    u64 big = (u64)pages_alloc(512, REGION_SIZE), page = seam_page();
    TdReport r;

    td_add_sept(&td, GPA_2M, 2);
    check_eq(tdh_3(TDH_MEM_PAGE_AUG, GPA_2M | 1, td.tdr, big), TDX_SUCCESS,
             "PAGE.AUG of 2 MiB");
    check_eq(td_tdcall(&td, &r, TDG_MEM_PAGE_ACCEPT, GPA_2M | 1, 0, 0, 0), TDX_SUCCESS,
             "PAGE.ACCEPT of 2 MiB");
    check_eq(block(GPA_2M | 1), TDX_SUCCESS, "RANGE.BLOCK and TRACK");
    check_eq(tdh_pair(TDH_MEM_PAGE_DEMOTE, GPA_2M | 1, td.tdr, page, 8, 8), TDX_SUCCESS,
             "PAGE.DEMOTE takes no pair");
    check_eq(block(GPA_2M), TDX_SUCCESS, "RANGE.BLOCK and TRACK");
    check_eq(tdh_2(TDH_MEM_PAGE_REMOVE, GPA_2M, td.tdr), TDX_SUCCESS, "PAGE.REMOVE");
    check_eq(tdh_out.rcx, big, "PAGE.REMOVE: the page");
    check_eq(tdh_3(TDH_MEM_PAGE_AUG, GPA_2M, td.tdr, big), TDX_SUCCESS, "PAGE.AUG");
    check_eq(td_tdcall(&td, &r, TDG_MEM_PAGE_ACCEPT, GPA_2M, 0, 0, 0), TDX_SUCCESS,
             "PAGE.ACCEPT");
    check_eq(block(GPA_2M | 1), TDX_SUCCESS, "RANGE.BLOCK and TRACK");
    check_eq(tdh_2(TDH_MEM_PAGE_PROMOTE, GPA_2M | 1, td.tdr), TDX_SUCCESS,
             "PAGE.PROMOTE");
    check_eq(tdh_out.rcx, page, "PAGE.PROMOTE: the table, no hint");
    check_eq(block(GPA_2M | 1), TDX_SUCCESS, "RANGE.BLOCK and TRACK");
    check_eq(tdh_2(TDH_MEM_PAGE_REMOVE, GPA_2M | 1, td.tdr), TDX_SUCCESS,
             "PAGE.REMOVE of 2 MiB");
    check_eq(tdh_out.rcx, big, "PAGE.REMOVE of 2 MiB: the page");
}

static void last_page(void)
{
    u64 page = (u64)pages_alloc(512, REGION_SIZE);

    td_add_sept(&td, GPA_2M, 1);
    check_eq(tdh_3(TDH_MEM_PAGE_AUG, GPA_2M, td.tdr, page), TDX_SUCCESS,
             "PAGE.AUG of the only page of a region");
    td_teardown(&td);
    check_eq(tdh_1(TDH_PHYMEM_PAGE_RECLAIM, page), TDX_SUCCESS, "PAGE.RECLAIM of it");
    check_eq(tdh_out.r9, 0, "PAGE.RECLAIM: R9 is 0");
    td_reclaim(&td);
    check(true, "the TD is destroyed");
}

void test_main(void)
{
    seam_bring_up();
    leaves();
    td_build(&td, first_keyid + 1, 1);
    check_eq(td_enter(&td, 0), VMX_EXIT_TDCALL, "a TD starts");
    big_page();
    last_page();
    check_eq(tdh_clobbered, 0, "no leaf changed a register that is not its output");
}
