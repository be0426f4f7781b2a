/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT: its enumeration and TDH.SYS.CONFIG; each error of
 * TDH.PHYMEM.PAMT.ADD and REMOVE in their order; where a pair may lie; L1 that
 * writes into the pages it gave away.
 */
#include "seam.h"

const char test_name[] = "seam_pamt";

#define INVALID(reg)    OPERAND(TDX_OPERAND_INVALID, reg)
#define OUTSIDE(reg)    OPERAND(TDX_OPERAND_ADDR_RANGE_ERROR, reg)
#define NOT_FREE(reg)   OPERAND(TDX_PAGE_NOT_FREE, reg)
#define BUSY(reg)       OPERAND(TDX_OPERAND_BUSY, reg)
#define METADATA(reg)   OPERAND(TDX_PAGE_METADATA_INCORRECT, reg)
#define NO_PAIR         OPERAND(TDX_NO_PAMT_PAGE_PAIR, RCX)
#define LINUX_BITMAP_BITS   0x9100000100000013ull   /* the id that Linux uses */
#define IN_NO_TDMR      BIT(33)
#define RESERVED        0x10000ull      /* below 1 MiB: reserved area of the TDMR */
#define NO_RAM          0x30000000ull   /* in the TDMR, reserved */
#define GPA             0x40000000ull   /* of the pages that the tests use */

static struct tdmr_info *tdmr;
static Td td;
static u64 region, other;       /* no pair, no page in use */
static u64 big;                 /* a 2 MiB page of the TD */
static u64 page, page2, spare;  /* ordinary memory in regions without a pair */

/* --- enumeration and bring-up --- */

static void enumeration(void)
{
    u64 maxpa = phys_bits;

    check_eq(sys_rd(TDX_MD_FEATURES0) >> TDX_FEATURE_DYNAMIC_PAMT & 1, 1,
             "FEATURES0[36]: Dynamic PAMT (3.2)");
    check_eq(sys_rd(TDX_MD_PAMT_PAGE_BITMAP_BITS), 1, "PAMT_PAGE_BITMAP_ENTRY_BITS");
    check_eq(sys_rd(LINUX_BITMAP_BITS), 1, "the same with the size bits of Linux' id");
    check_eq(sys_rd(TDX_MD_MIN_DPAMT_HKID_BITS), maxpa > 48 ? maxpa - 48 : 0,
             "MIN_DYNAMIC_PAMT_NUM_HKID_BITS: MAXPA - 48");
    check_eq(sys_rd(TDX_MD_PAMT_4K_ENTRY_SIZE), 16, "PAMT_4K_ENTRY_SIZE stays 16");
}

static u64 config(u64 r8)
{
    u64 *list = page_alloc();

    list[0] = (u64)tdmr;
    return tdh_3(TDH_SYS_CONFIG, (u64)list, 1, r8);
}

static void bad_tdmr(const struct tdmr_info *good, u64 want, const char *rule)
{
    check_eq(config(first_keyid | TDX_SYS_CONFIG_DYNAMIC_PAMT), want, "CONFIG: %s",
             rule);
    *tdmr = *good;
}

static void configuration(void)
{
    struct tdmr_info good;

    tdmr = seam_tdmr();
    tdmr->pamt_4k_size = PAMT_BITMAP_SIZE;
    good = *tdmr;
    check_eq(config(first_keyid | TDX_SYS_CONFIG_DYNAMIC_PAMT | BIT(17)), INVALID(R8),
             "CONFIG: R8[17] is reserved");
    check_eq(config(TDX_SYS_CONFIG_DYNAMIC_PAMT), INVALID(R8),
             "CONFIG: KeyID 0 is not private");
    check_eq(config(first_keyid), TDX_ST(TDX_INVALID_PAMT, 0),
             "CONFIG without R8[16]: 1 bit a page is too small for entries (4.3)");
    tdmr->pamt_4k_size -= PAGE_SIZE;
    bad_tdmr(&good, TDX_ST(TDX_INVALID_PAMT, 0), "bitmap too small (3.3, 4.3)");
    tdmr->pamt_4k_base += 0x800;
    bad_tdmr(&good, TDX_ST(TDX_INVALID_PAMT, 0), "bitmap not 4 KiB aligned");
    tdmr->pamt_4k_size += 0x800;
    bad_tdmr(&good, TDX_ST(TDX_INVALID_PAMT, 0), "size of the bitmap not 4 KiB aligned");
    tdmr->pamt_2m_size -= PAGE_SIZE;
    bad_tdmr(&good, TDX_ST(TDX_INVALID_PAMT, TDX_2M << 8),
             "2 MiB PAMT too small: it stays static");
    tdmr->pamt_1g_size = 0;
    bad_tdmr(&good, TDX_ST(TDX_INVALID_PAMT, TDX_1G << 8),
             "1 GiB PAMT too small: it stays static");
    tdmr->pamt_2m_base = tdmr->pamt_4k_base + PAMT_BITMAP_SIZE - PAGE_SIZE;
    check_eq(TDX_STATUS_CODE(config(first_keyid | TDX_SYS_CONFIG_DYNAMIC_PAMT)),
             TDX_PAMT_OVERLAP, "CONFIG: the last page of the bitmap is the 2 MiB PAMT");
    *tdmr = good;
    tdmr->pamt_4k_base = region;
    check_eq(TDX_STATUS_CODE(config(first_keyid | TDX_SYS_CONFIG_DYNAMIC_PAMT)),
             TDX_PAMT_OVERLAP, "CONFIG: the bitmap in the usable part of the TDMR");
    *tdmr = good;
    check_eq(pamt_add(region, page, page2), TDX_SYS_NOT_READY, "PAMT.ADD before READY");
    check_eq(pamt_remove(region), TDX_SYS_NOT_READY, "PAMT.REMOVE before READY");
    check_eq(config(first_keyid | TDX_SYS_CONFIG_DYNAMIC_PAMT), TDX_SUCCESS,
             "CONFIG with Dynamic PAMT");
    check_eq(tdh_0(TDH_SYS_KEY_CONFIG), TDX_SUCCESS, "KEY.CONFIG");
    check_eq(pamt_add(region, page, page2), OUTSIDE(RDX), "PAMT.ADD before TDMR.INIT");
    check_eq(pamt_remove(region), OUTSIDE(RCX), "PAMT.REMOVE before TDMR.INIT");
    do {
        check_eq(tdh_1(TDH_SYS_TDMR_INIT, 0), TDX_SUCCESS, "TDMR.INIT");
    } while (!tdh_out.rax && tdh_out.rdx < BIT(30));
    seam_dynamic = true;
}

/* --- errors, in their order --- */

typedef struct Row {
    u64 rcx, rdx, r8, want;
    const char *rule;
} Row;

static void add_rows(const Row *t, u32 n)
{
    for (u32 i = 0; i < n; i++) {
        check_eq(tdh_3(TDH_PHYMEM_PAMT_ADD, t[i].rcx, t[i].rdx, t[i].r8), t[i].want,
                 "PAMT.ADD: %s", t[i].rule);
        if (tdh_out.rcx != t[i].rcx || tdh_out.rdx != t[i].rdx ||
            tdh_out.r8 != t[i].r8) {
            check(false, "PAMT.ADD: %s: it changes RAX only", t[i].rule);
        }
    }
}

/* What is wrong with RCX itself, for both leaves; everything else is wrong as well. */
static void bad_rcx(const char *leaf, u64 rax)
{
    const struct { u64 rcx; const char *rule; } t[] = {
        { region, "level 0" }, { region | 2, "level 2" }, { region | 7, "level 7" },
        { region | 1 | BIT(3), "RCX[3]" }, { region | 1 | BIT(11), "RCX[11]" },
        { (region + 0x1000) | 1, "not 2 MiB aligned" },
        { (region + 0x100000) | 1, "not 2 MiB aligned" },
        { KEYED(region, first_keyid) | 1, "a private KeyID" },
        { KEYED(region, 1) | 1, "a shared KeyID" },
        { region | BIT(52) | 1, "beyond MAXPA" }, { region | BIT(63) | 1, "RCX[63]" },
    };

    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        check_eq(tdh_3(rax, t[i].rcx, 8, 8), INVALID(RCX), "%s: %s", leaf, t[i].rule);
    }
    check_eq(tdh_3(TDX_RAX(rax, 1), region | 1, page, page2), INVALID(RAX),
             "%s: no version 1", leaf);
}

static void add_operands(void)
{
    u64 used = td.tdcs[0], far = IN_NO_TDMR;
    const Row t[] = {
        { far | 1, page | 8, 8, INVALID(RDX), "RDX unaligned" },
        { far | 1, KEYED(page, first_keyid), 8, INVALID(RDX), "RDX with a KeyID" },
        { far | 1, page | BIT(52), 8, INVALID(RDX), "RDX beyond MAXPA" },
        { far | 1, far, 8, OUTSIDE(RDX), "RDX in no TDMR" },
        { far | 1, used, page | 8, INVALID(R8), "R8 unaligned" },
        { far | 1, used, KEYED(page, first_keyid), INVALID(R8), "R8 with a KeyID" },
        { far | 1, used, page | BIT(52), INVALID(R8), "R8 beyond MAXPA" },
        { far | 1, used, far, OUTSIDE(R8), "R8 in no TDMR" },
        { far | 1, used, used, OUTSIDE(RCX), "RCX in no TDMR" },
    };

    bad_rcx("PAMT.ADD", TDH_PHYMEM_PAMT_ADD);
    add_rows(t, ARRAY_SIZE(t));
}

static void add_states(void)
{
    u64 used = td.tdcs[0], paired = spare, backed = used & -REGION_SIZE;
    const Row t[] = {
        { backed | 1, used, used, OPERAND(TDX_HPA_RANGE_NOT_FREE, RCX),
          "the region has a pair" },
        { big | 1, used, used, OPERAND(TDX_HPA_RANGE_NOT_FREE, RCX),
          "the region is a 2 MiB page" },
        { region | 1, used, used, NOT_FREE(RDX), "RDX in use" },
        { region | 1, td.tdr, page, NOT_FREE(RDX), "RDX is a TDR" },
        { region | 1, big + 0x3000, page, NOT_FREE(RDX), "RDX in a 2 MiB page" },
        { region | 1, page, used, NOT_FREE(R8), "R8 in use" },
        { region | 1, page, big + 0x3000, NOT_FREE(R8), "R8 in a 2 MiB page" },
        { region | 1, RESERVED, RESERVED, NOT_FREE(RDX), "RDX in a reserved area" },
        { region | 1, page, RESERVED, NOT_FREE(R8), "R8 in a reserved area" },
        { region | 1, tdmr->pamt_4k_base, page, NOT_FREE(RDX), "RDX in the bitmap" },
        { region | 1, paired, page, NOT_FREE(RDX), "RDX is in a pair" },
        { region | 1, page, paired, NOT_FREE(R8), "R8 is in a pair" },
        { region | 1, page, page, NOT_FREE(R8), "RDX = R8" },
    };

    check_eq(pamt_add(other, paired, paired + PAGE_SIZE), TDX_SUCCESS, "PAMT.ADD");
    add_rows(t, ARRAY_SIZE(t));
    check_eq(pamt_add(other, paired, paired + PAGE_SIZE),
             OPERAND(TDX_HPA_RANGE_NOT_FREE, RCX), "PAMT.ADD of the same pair again");
    check_eq(pamt_remove(region), NO_PAIR, "none of these gave the region a pair");
    check_eq(pamt_add(region, page, page2), TDX_SUCCESS,
             "PAMT.ADD: what failed before has not kept a page");
    check_eq(pamt_remove(region), TDX_SUCCESS, "PAMT.REMOVE of it");
    check_eq(pamt_remove(other), TDX_SUCCESS, "PAMT.REMOVE of the other");
}

static u64 aug(u64 gpa, u64 hpa) { return tdh_3(TDH_MEM_PAGE_AUG, gpa, td.tdr, hpa); }

/* The TD is not finalised: no blocking and tracking. */
static u64 unaug(u64 gpa) { return tdh_2(TDH_MEM_PAGE_REMOVE, gpa, td.tdr); }

static void remove_refused(u64 want, const char *rule)
{
    check_eq(tdh_3(TDH_PHYMEM_PAMT_REMOVE, region | 1, 0x77, 0x77), want,
             "PAMT.REMOVE: %s", rule);
    check(tdh_out.rcx == (region | 1) && !tdh_out.rdx && !tdh_out.r8,
          "PAMT.REMOVE: %s: RCX is as it was, RDX and R8 are 0", rule);
}

static void remove_errors(void)
{
    static const struct { u32 index, half; } use[] = {
        { 0, 0 }, { 255, 0 }, { 256, 1 }, { 511, 1 },
    };

    bad_rcx("PAMT.REMOVE", TDH_PHYMEM_PAMT_REMOVE);
    check_eq(pamt_remove(IN_NO_TDMR), OUTSIDE(RCX), "PAMT.REMOVE: RCX in no TDMR");
    check_eq(pamt_remove(big), NO_PAIR, "PAMT.REMOVE: a 2 MiB page has none");
    remove_refused(NO_PAIR, "there is none");
    pamt_add(region, page, page2);
    for (u32 i = 0; i < ARRAY_SIZE(use); i++) {
        check_eq(aug(GPA, region + use[i].index * PAGE_SIZE), TDX_SUCCESS,
                 "PAGE.AUG of page %u", use[i].index);
        remove_refused(TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, use[i].half), "a page is in use");
        check_eq(unaug(GPA), TDX_SUCCESS, "PAGE.REMOVE of page %u", use[i].index);
    }
    aug(GPA, region + 300 * PAGE_SIZE);
    aug(GPA + PAGE_SIZE, region + 100 * PAGE_SIZE);
    remove_refused(TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 0), "both halves are in use");
    unaug(GPA);
    unaug(GPA + PAGE_SIZE);
    check_eq(tdh_3(TDH_PHYMEM_PAMT_REMOVE, region | 1, 0, 0), TDX_SUCCESS, "PAMT.REMOVE");
    remove_refused(NO_PAIR, "it is gone");
}

/* Entries of the 2 MiB PAMT begin with their lock (3.4): another LP is at work there. */
static volatile u16 *lock_2m(u64 pa)
{
    return (volatile u16 *)(tdmr->pamt_2m_base + pa / REGION_SIZE * 16);
}

static void conflicts(void)
{
    u64 used = td.tdcs[0];

    *lock_2m(region) = 0xffff;
    check_eq(pamt_add(region, used, used), BUSY(RCX),
             "PAMT.ADD: the region is locked; its pages are looked at later");
    check_eq(pamt_remove(region), BUSY(RCX), "PAMT.REMOVE: the region is locked");
    *lock_2m(region) = 0;
    *lock_2m(other) = 0xffff;
    check_eq(pamt_add(region, other, used), BUSY(RDX), "PAMT.ADD: RDX's region is busy");
    check_eq(pamt_add(region, page, other), BUSY(R8), "PAMT.ADD: R8's region is busy");
    *lock_2m(other) = 0;
    check_eq(pamt_add(region, region, other), TDX_SUCCESS,
             "PAMT.ADD: a page of the region itself takes no second lock");
    check_eq(pamt_remove(region), TDX_SUCCESS, "PAMT.REMOVE of it");
}

/* --- where a pair lies --- */

static bool gives(u64 r, u64 a, u64 b)
{
    return !pamt_remove(r) && ((tdh_out.rdx == a && tdh_out.r8 == b) ||
                               (tdh_out.rdx == b && tdh_out.r8 == a));
}

/* A pair at @a, @b serves a page of @region from AUG to REMOVE, then comes back. */
static void place(u64 a, u64 b, const char *where)
{
    u64 used = region + 7 * PAGE_SIZE;

    check_eq(pamt_add(region, a, b), TDX_SUCCESS, "pair %s: PAMT.ADD", where);
    check_eq(aug(GPA, used), TDX_SUCCESS, "pair %s: PAGE.AUG", where);
    tdh_1(TDH_PHYMEM_PAGE_RDMD, used);
    check(tdh_out.rcx == PT_REG && tdh_out.rdx == td.tdr, "pair %s: the page's entry",
          where);
    check_eq(unaug(GPA), TDX_SUCCESS, "pair %s: PAGE.REMOVE", where);
    check_eq(tdh_out.rcx, used | PAMT_HINT, "pair %s: the pair may go", where);
    check(gives(region, a, b), "pair %s: PAMT.REMOVE gives back these two pages", where);
}

static void placement(void)
{
    u64 in_backed = td.tdcs[0] & -REGION_SIZE;  /* seam_page() begins at the end */

    place(page, page2, "in a region without a pair");
    place(page2, page, "the higher page first");
    place(region + 0x5000, region + 0x9000, "in the region itself");
    place(region + 0x1ff000, region, "at both ends of the region itself");
    place(in_backed, in_backed + PAGE_SIZE, "in a region with a pair");
    place(region + 0x5000, page, "half in the region itself");
    place(in_backed, page, "half in a region with a pair");
}

/* Pages of pairs are no users of the region in which they lie. */
static void two_regions(void)
{
    pamt_add(region, other, other + PAGE_SIZE);
    check_eq(pamt_add(other, region, region + PAGE_SIZE), TDX_SUCCESS,
             "PAMT.ADD: each of two regions has the other's pair");
    check_eq(aug(GPA, other), METADATA(R8), "PAGE.AUG of a page that is in a pair");
    check_eq(aug(GPA, other + 2 * PAGE_SIZE), TDX_SUCCESS, "PAGE.AUG of the page beside");
    check_eq(pamt_remove(other), TDX_ST(TDX_PAMT_PAGE_NOT_EMPTY, 0),
             "PAMT.REMOVE: that one counts");
    unaug(GPA);
    check_eq(tdh_out.rcx, (other + 2 * PAGE_SIZE) | PAMT_HINT,
             "PAGE.REMOVE: the pages of a pair are not counted");
    check(gives(other, region, region + PAGE_SIZE),
          "PAMT.REMOVE of a region in which a pair lies");
    check(gives(region, other, other + PAGE_SIZE), "PAMT.REMOVE of the other one");
    pamt_add(region, page, page2);
    check_eq(aug(GPA, other), OPERAND(TDX_MISSING_PAMT_PAGE_PAIR, R8),
             "that region has no pair any more");
    check_eq(aug(GPA, region), TDX_SUCCESS, "a page that was in a pair is free");
    unaug(GPA);
    check(gives(region, page, page2), "PAMT.REMOVE of the last one");
}

/* --- L1 writes into pages of the module --- */

static u64 seed = 88172645463325252ull;

static u64 random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Bits 59:48 are 0 and the class is none of software's. */
static bool is_status(u64 st)
{
    return !(st & 0x0fff000000000000ull) && (st >> 40 & 0xff) != 0xff;
}

/* Everything that looks at the entries of the region, or at its pair. */
static bool battery(void)
{
    bool ok = true;

    for (u64 at = region; at < region + REGION_SIZE; at += 63 * PAGE_SIZE) {
        ok &= is_status(tdh_1(TDH_PHYMEM_PAGE_RDMD, at));
        ok &= is_status(tdh_1(TDH_PHYMEM_PAGE_RECLAIM, at));
        ok &= is_status(tdh_1(TDH_PHYMEM_PAGE_WBINVD, at));
        ok &= is_status(tdh_2(TDH_VP_CREATE, at, td.tdr));
        ok &= is_status(pamt_add(big, at, at + PAGE_SIZE));
    }
    ok &= is_status(tdh_1(TDH_PHYMEM_PAGE_RDMD, region | 1));
    ok &= is_status(pamt_add(region, spare, spare + PAGE_SIZE));
    ok &= is_status(aug(GPA + PAGE_SIZE, region + 9 * PAGE_SIZE));
    ok &= is_status(unaug(GPA));
    ok &= is_status(unaug(GPA + PAGE_SIZE));
    return ok && is_status(pamt_remove(region));
}

static void scribble(void *to, u32 bytes, bool ones)
{
    u64 *p = to;

    for (u32 i = 0; i < bytes / 8; i++) {
        p[i] = ones ? ~0ull : random();
    }
}

static void scribbled_pair(void)
{
    u8 *saved = pages_alloc(2, PAGE_SIZE);
    u64 *pair = pages_alloc(2, PAGE_SIZE);

    pamt_add(region, (u64)pair, (u64)pair + PAGE_SIZE);
    for (u32 round = 0; round < 8; round++) {
        scribble(pair, 2 * PAGE_SIZE, !round);
        check(battery(), "entries of a free region overwritten: statuses, round %u",
              round);
    }
    scribble(pair, 2 * PAGE_SIZE, true);
    check_eq(TDX_STATUS_CODE(pamt_remove(region)), TDX_PAMT_PAGE_NOT_EMPTY,
             "PAMT.REMOVE: entries are not as they were");
    memset(pair, 0, 2 * PAGE_SIZE);
    check(gives(region, (u64)pair, (u64)pair + PAGE_SIZE),
          "entries cleared: PAMT.REMOVE gives back the pair");

    pamt_add(region, (u64)pair, (u64)pair + PAGE_SIZE);
    aug(GPA, region + 7 * PAGE_SIZE);
    memcpy(saved, pair, 2 * PAGE_SIZE);
    scribble(pair, 2 * PAGE_SIZE, true);
    check(battery(), "entries of a used region overwritten: statuses");
    memcpy(pair, saved, 2 * PAGE_SIZE);
    check_eq(unaug(GPA), TDX_SUCCESS, "entries restored: PAGE.REMOVE");
    check_eq(tdh_out.rcx, (region + 7 * PAGE_SIZE) | PAMT_HINT,
             "entries restored: the region's count is right");
    check(gives(region, (u64)pair, (u64)pair + PAGE_SIZE),
          "entries restored: PAMT.REMOVE gives back the pair");
}

/* The 2 MiB entry holds the pair's addresses. */
static void scribbled_entry(void)
{
    u8 *entry = (u8 *)lock_2m(region), saved[16];
    bool ok = true;

    pamt_add(region, page, page2);
    memcpy(saved, entry, sizeof(saved));
    for (u32 round = 0; round < 2000; round++) {
        scribble(entry, 16, !round);
        if (round % 4) {
            memset(entry, 0, 2);                    /* unlocked */
        }
        if (round % 4 > 1) {
            entry[2] = (entry[2] & ~31) | PT_PAMT;  /* and of the right type */
        }
        ok &= is_status(tdh_1(TDH_PHYMEM_PAGE_RDMD, region | (round & 1)));
        ok &= is_status(aug(GPA, region + 7 * PAGE_SIZE));
        ok &= is_status(unaug(GPA));
        ok &= is_status(pamt_add(region, spare, spare + PAGE_SIZE));
        ok &= is_status(pamt_remove(region));
    }
    check(ok, "the 2 MiB entry overwritten: statuses");
    memcpy(entry, saved, sizeof(saved));
    check(is_status(unaug(GPA)), "the 2 MiB entry restored: statuses");
    check(is_status(pamt_remove(region)), "the 2 MiB entry restored: PAMT.REMOVE");
}

/* After the bitmap was cleared a page can be in two pairs. */
static void scribbled_bitmap(void)
{
    void *map = (void *)tdmr->pamt_4k_base, *saved = pages_alloc(8, PAGE_SIZE);
    u64 third = (u64)pages_alloc(512, REGION_SIZE);

    memcpy(saved, map, PAMT_BITMAP_SIZE);
    memset(map, 0xff, PAMT_BITMAP_SIZE);
    check_eq(pamt_add(third, page, page2), NOT_FREE(RDX),
             "bitmap full: PAMT.ADD finds no free page");
    memcpy(map, saved, PAMT_BITMAP_SIZE);
    check_eq(pamt_add(third, page, page2), TDX_SUCCESS, "bitmap restored: PAMT.ADD");
    memset(map, 0, PAMT_BITMAP_SIZE);
    check(is_status(pamt_add(other, page, page2)) && is_status(pamt_remove(third)) &&
          is_status(pamt_remove(other)) && is_status(pamt_remove(third)),
          "bitmap cleared, one pair for two regions: statuses");
    check(is_status(pamt_add(other, NO_RAM, page)) && is_status(pamt_remove(other)) &&
          is_status(pamt_add(NO_RAM, page, page2)) && is_status(aug(GPA, NO_RAM)) &&
          is_status(unaug(GPA)) && is_status(tdh_2(TDH_VP_CREATE, NO_RAM, td.tdr)) &&
          is_status(pamt_remove(NO_RAM)),
          "bitmap cleared, pages where no memory is: statuses");
    memcpy(map, saved, PAMT_BITMAP_SIZE);
}

/* Another region serves as if nothing had been. */
static void unharmed(void)
{
    u64 pair = (u64)pages_alloc(2, PAGE_SIZE), r = (u64)pages_alloc(512, REGION_SIZE);

    check_eq(pamt_add(r, pair, pair + PAGE_SIZE), TDX_SUCCESS, "afterwards: PAMT.ADD");
    check_eq(aug(GPA + 2 * PAGE_SIZE, r), TDX_SUCCESS, "afterwards: PAGE.AUG");
    check_eq(unaug(GPA + 2 * PAGE_SIZE), TDX_SUCCESS, "afterwards: PAGE.REMOVE");
    check_eq(tdh_out.rcx, r | PAMT_HINT, "afterwards: the page and the hint");
    check(gives(r, pair, pair + PAGE_SIZE), "afterwards: PAMT.REMOVE gives it back");
}

static void build_td(void)
{
    td_make_tdr(&td, first_keyid + 1);
    td_add_tdcs(&td);
    td_default_params(&td);
    if (tdh_2(TDH_MNG_INIT, td.tdr, (u64)td.params)) {
        panic("TDH.MNG.INIT: %llx", (long long)tdh_out.rax);
    }
    for (int level = 3; level > 0; level--) {
        td_add_sept(&td, GPA, level);
    }
    check_eq(aug((GPA + REGION_SIZE) | 1, big), TDX_SUCCESS,
             "PAGE.AUG of 2 MiB without a pair");
}

void test_main(void)
{
    seam_init();
    region = (u64)pages_alloc(512, REGION_SIZE);
    other = (u64)pages_alloc(512, REGION_SIZE);
    big = (u64)pages_alloc(512, REGION_SIZE);
    page = (u64)page_alloc();
    page2 = (u64)page_alloc();
    spare = (u64)pages_alloc(2, PAGE_SIZE);
    enumeration();
    configuration();
    build_td();
    add_operands();
    add_states();
    remove_errors();
    conflicts();
    placement();
    two_regions();
    scribbled_pair();
    check_eq(unaug((GPA + REGION_SIZE) | 1), TDX_SUCCESS, "PAGE.REMOVE of 2 MiB");
    check_eq(tdh_out.rcx, big, "PAGE.REMOVE of 2 MiB: no pair, no hint");
    td_destroy(&td);
    seam_unback();
    check(true, "the TD is destroyed, all pairs come back");
    build_td();
    scribbled_entry();
    scribbled_bitmap();
    unharmed();
    check_eq(tdh_clobbered, 0, "no leaf changed a register that is not its output");
}
