/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handlers of TDH.MEM.*, for their table in mem.c.
 */
#ifndef TDXMOD_MEM_LEAVES_H
#define TDXMOD_MEM_LEAVES_H

#include "module.h"

LeafHandler tdh_mem_page_add, tdh_mem_sept_add, tdh_mem_page_aug;       /* mem.c */
LeafHandler tdh_mem_range_block, tdh_mem_range_unblock, tdh_mem_track;  /* mem_remove.c */
LeafHandler tdh_mem_page_remove, tdh_mem_sept_remove, tdh_mem_sept_rd;
LeafHandler tdh_mem_page_demote, tdh_mem_page_promote;                  /* mem_resize.c */
LeafHandler tdh_mem_page_relocate;                      /* mem_relocate.c */

#endif
