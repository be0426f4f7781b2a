/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the reference model share.
 */
#ifndef TDXMOD_TEST_REF_INTERNAL_H
#define TDXMOD_TEST_REF_INTERNAL_H

#include <stddef.h>
#include "ref.h"

#define REF_HINT        (1ull << 62)
#define REF_OP(n)       (1u << (n))     /* a set of op-states */

RefRegion *ref_region(Ref *f, uint64_t pa);
RefPage *ref_page(Ref *f, uint64_t pa);
/* An HPA operand: OPERAND_INVALID; and then OPERAND_ADDR_RANGE_ERROR. */
uint64_t ref_form(uint64_t pa, unsigned reg, uint64_t align);
uint64_t ref_operand(uint64_t pa, unsigned reg, uint64_t align);
/* The check of an explicit 4 KiB page. */
uint64_t ref_p4k(Ref *f, uint64_t pa, unsigned reg, unsigned type);
void ref_assign(Ref *f, uint64_t pa, unsigned type, RefTd *td);
/* True: the region has no page in use now. */
bool ref_release(Ref *f, uint64_t pa);
/* The region gets the pair, or nothing changes; @own: its pages may be taken. */
uint64_t ref_take_pair(Ref *f, const uint64_t pa[2], const unsigned reg[2],
                       uint64_t region, bool own);
void ref_give_pair(Ref *f, RefRegion *r, uint64_t pair[2]);
/* TDR operand and state of the TD. */
uint64_t ref_td(Ref *f, uint64_t tdr, unsigned reg, unsigned op_states, RefTd **td);
uint64_t ref_td_state(const RefTd *td, unsigned op_states);

/* ref_mem.c: TDH.MEM.* */
uint64_t ref_mem(Ref *f, unsigned leaf, RefAnswer *a);

#endif
