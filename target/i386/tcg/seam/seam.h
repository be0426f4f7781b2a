/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SEAM as the rest of the machine sees it.  A machine without a tdx-module
 * object has no SEAM: nothing here is called, and SEAMCALL answers #GP(0).
 */
#ifndef TCG_SEAM_H
#define TCG_SEAM_H

#include "tdxmod.h"

typedef struct SeamConfig {
    uint8_t keyid_bits;         /* the upper ones of the physical address */
    uint32_t num_mktme_keyids;
    uint32_t num_tdx_keyids;
    uint16_t major, minor, update;      /* version of the TDX module */
    uint32_t build_date;        /* BCD, yyyymmdd */
    bool dynamic_pamt;          /* the module offers it */
    uint64_t seed;              /* of the module's randomness; 0: the host's */
} SeamConfig;

#define SEAM_MAX_PA             52      /* physical address bits, KeyID included */
#define SEAM_MAX_KEYID_BITS     15      /* what IA32_TME_ACTIVATE can say */
#define SEAM_DYNAMIC_PAMT_MAX_PA 48     /* 2M entries name their pair in 36 bits */

/* The machine has SEAM.  Before any CPU is realized; once. */
void seam_configure(const SeamConfig *config);

/*
 * Load the module, when all CPUs are realized.  False with a sentence in
 * @errp: these CPUs cannot run it.
 */
bool seam_start(const TdxCmr *cmr, unsigned num_cmrs, Error **errp);

/* System reset: the module starts afresh. */
void seam_system_reset(void);

/* The loaded module; NULL before seam_start(). */
TdxMod *seam_module(void);

/*
 * Does L1's code have a CALL instruction right before linear address @va, seen
 * from any CPU?  For TdxCallSite.caller; under the BQL, while CPUs run.
 */
bool seam_follows_call(uint64_t va);

#endif
