/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic PAMT for tests: calls on page pairs, and what a 2 MiB region looks like
 * from all sides.
 */
#ifndef TDXMOD_TEST_DPAMT_H
#define TDXMOD_TEST_DPAMT_H

#include "life.h"

#define DPAMT_HINT      (1ull << 62)    /* no page of the region is in use */

/* A machine with Dynamic PAMT enabled, READY. */
Machine *dpamt_machine(unsigned lps);

/* PAMT.ADD, LP 0: status. */
uint64_t dpamt_add(Machine *mc, uint64_t region, uint64_t p0, uint64_t p1);
/* It must succeed, with fresh pages of the second bank; the first one's PA. */
uint64_t dpamt_back(Machine *mc, uint64_t region);
/* PAMT.REMOVE, LP 0: status; RDX and R8 are in mc->out. */
uint64_t dpamt_remove(Machine *mc, uint64_t region);
/* It must succeed and give back the very pair that the region's entry names. */
void dpamt_unback(Machine *mc, uint64_t region);

/*
 * The region at @region has @count pages in use, or no pair (DPAMT_NONE): by its 2M
 * entry, by a count of its 4K entries and by tdxmod_pamt_region().
 */
#define DPAMT_NONE      (-1)
void dpamt_expect(Machine *mc, uint64_t region, int count);

/*
 * A TD of OP_STATE INITIALIZED whose control pages lie in regions of their own, with
 * S-EPT tables for 4 KiB pages of the 2 MiB at DPAMT_GPA, and for 2 MiB pages after
 * that.  It takes no page from machine_2m().
 */
#define DPAMT_GPA       0x40000000ull
#define DPAMT_GPA_2M    (DPAMT_GPA + 2 * MIB)
void dpamt_td(Life *l, Machine *mc);
/* AUG and REMOVE of one page; REMOVE's answer in RCX is @pa, with @hint or without. */
uint64_t dpamt_aug(Life *l, uint64_t gpa, unsigned level, uint64_t pa);
void dpamt_zap(Life *l, uint64_t gpa, unsigned level, uint64_t pa, bool hint);

#endif
