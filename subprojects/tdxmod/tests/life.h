/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a TD as Linux KVM drives it, for tests: each step is one or a
 * few SEAMCALLs that must succeed.
 */
#ifndef TDXMOD_TEST_LIFE_H
#define TDXMOD_TEST_LIFE_H

#include "machine.h"
#include "td.h"

#define LIFE_MAX_VCPUS  8
#define LIFE_MAX_PAGES  256

typedef struct Life {
    Machine *mc;
    uint16_t hkid;
    uint64_t tdr, tdcs[TDCS_PAGES], params;
    unsigned num_tdcs;
    struct {
        uint64_t tdvpr, tdcx[TDVPS_TDCX_PAGES];
        unsigned num_tdcx;
    } vcpu[LIFE_MAX_VCPUS];
    unsigned num_vcpus;
    uint64_t page[LIFE_MAX_PAGES];      /* S-EPT pages, for life_destroy() */
    unsigned num_pages;
} Life;

#define LIFE_HKID       (MACHINE_GLOBAL_HKID + 1)

/* MNG.CREATE, then KEY.CONFIG on each package. */
void life_create(Life *l, Machine *mc, uint16_t hkid);
void life_key_config(Life *l);
void life_add_tdcs(Life *l);
/* Valid TD_PARAMS, to be changed before life_mng_init(). */
struct td_params *life_params(Life *l);
void life_mng_init(Life *l);
/* All of the above. */
void life_build(Life *l, Machine *mc, uint16_t hkid);
/* VP.CREATE and all ADDCX; then VP.INIT (v1) on @lp.  Index of the vCPU. */
unsigned life_create_vcpu(Life *l);
unsigned life_add_vcpu(Life *l, unsigned lp);
/* SEPT.ADD of all missing levels above (@gpa, @level). */
void life_sept(Life *l, uint64_t gpa, unsigned level);
/* PAGE.ADD, before life_finalize(), and PAGE.AUG of a fresh page; its HPA. */
uint64_t life_page_add(Life *l, uint64_t gpa);
uint64_t life_page_aug(Life *l, uint64_t gpa);
void life_finalize(Life *l);
/* BLOCK, TRACK, REMOVE, WBINVD. */
void life_zap(Life *l, uint64_t gpa, unsigned level);
/* What TDG.MEM.PAGE.ACCEPT does to a PENDING page: true if it is MAPPED now. */
bool life_accept(Life *l, uint64_t gpa, unsigned level);
/* TDH.VP.ENTER on @lp; must enter.  And the TD exit's bookkeeping. */
void life_enter(Life *l, unsigned vcpu, unsigned lp);
void life_exit(Life *l, unsigned lp);
/* VP.FLUSH of all, VPFLUSHDONE, CACHE.WB on each package, FREEID. */
void life_release_hkid(Life *l);
/* RECLAIM of everything, the TDR last. */
void life_reclaim(Life *l);
/* The last two. */
void life_destroy(Life *l);

/* The PAMT lock word of the 4 KiB page at @pa. */
uint16_t *life_page_lock(Machine *mc, uint64_t pa);
/* CALL while somebody else holds @lock: no invariants, mc->out is not set. */
uint64_t life_call_locked(Machine *mc, uint16_t *lock, LockMode mode, unsigned lp,
                          uint64_t rax, Regs in);
#define CALL_LOCKED(mc, lock, mode, lp, rax, ...) \
    life_call_locked(mc, lock, mode, lp, rax, (Regs){ __VA_ARGS__ })

struct tdcs *life_tdcs(Life *l);
struct tdr *life_tdr(Life *l);
struct tdvpr *life_tdvpr(Life *l, unsigned vcpu);

#endif
