/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.VP.ENTER (vp_enter.c), for the table of rows in vp.c.
 */
#ifndef TDXMOD_VP_H
#define TDXMOD_VP_H

#include "module.h"

LeafHandler tdh_vp_enter;

#endif
