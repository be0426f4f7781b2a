/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The object tdx-module: what a user sets and reads of the TDX module. */
#ifndef HW_I386_TDX_MODULE_H
#define HW_I386_TDX_MODULE_H

#include "qemu/notify.h"
#include "qom/object.h"
#include "target/i386/tcg/seam/seam.h"

#define TYPE_TDX_MODULE "tdx-module"
OBJECT_DECLARE_SIMPLE_TYPE(TdxModule, TDX_MODULE)

struct TdxModule {
    Object parent_obj;

    uint32_t num_tdx_keyids;
    uint32_t num_mktme_keyids;
    uint32_t keyid_bits;
    uint64_t seed;
    char *version;
    char *build_date;
    bool dynamic_pamt;

    bool complete;              /* the properties have been used */
    Notifier machine_done;
};

/* cmr.c */
/*
 * The machine's RAM as convertible memory regions: @cmr has room for
 * TDXMOD_MAX_CMRS.  Their number, or 0 with a sentence in @errp.
 */
unsigned tdx_find_cmrs(TdxCmr *cmr, Error **errp);

/* stats.c: property "leaf-stats"; a JSON text, to be freed. */
char *tdx_leaf_stats_json(TdxMod *mod);

/* cpu-model.c: CPUID.7.0:ECX.TME is a feature that TCG offers from now on. */
void tdx_offer_tme(void);

#endif
