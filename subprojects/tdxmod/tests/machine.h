/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine for unit tests: RAM, LPs and the module model, no processor.
 *
 * RAM is [0, 64M) and [1G, 1G + 64M), each a CMR and the usable part of a TDMR
 * of 1 GiB.  machine_page() gives pages of the first; the PAMT is at its end.
 * Every call checks the model's invariants (machine_check()).
 */
#ifndef TDXMOD_TEST_MACHINE_H
#define TDXMOD_TEST_MACHINE_H

#include <glib.h>
#include <inttypes.h>
#include <string.h>
#include "tdx/status.h"
#include "tdx/leaves.h"
#include "tdx/fields.h"
#include "tdx/structs.h"
#include "tdxmod.h"

#define MIB                     (1ull << 20)
#define GIB                     (1ull << 30)
#define MACHINE_RAM_SIZE        (64 * MIB)      /* of each of the two banks */
#define MACHINE_BANK1           GIB
#define MACHINE_MAX_PA          46
#define MACHINE_KEYID_BITS      6
#define MACHINE_HKID_SHIFT      (MACHINE_MAX_PA - MACHINE_KEYID_BITS)
#define MACHINE_MKTME_KEYIDS    15
#define MACHINE_TDX_KEYIDS      16
#define MACHINE_GLOBAL_HKID     16              /* the first private KeyID */
#define MACHINE_TSC_HZ          1000000000ull

/* Operands and results; the processor's other registers hold a pattern. */
typedef struct Regs {
    uint64_t rcx, rdx, r8, r9, r10, r11, r12, r13;
} Regs;

typedef struct Machine {
    TdxMod *mod;
    TdxModConfig config;
    uint8_t *ram;
    uint64_t next_page;         /* allocator of machine_page() */
    uint64_t next_2m;
    uint64_t tsc;
    bool no_entropy;
    bool no_check;              /* threads run: no invariants */
    bool scribbled;             /* the module's structures may be garbage */
    bool no_tds;                /* the PAMT's owners are made up */
    unsigned unimp, errors;     /* what the model logged */
    char last_log[256];
    Regs out;                   /* registers after the last call */
    TdxAction action;           /* and its action; TDX_ENTER_TD fills enter */
    TdxEnter enter;             /* these three: not while no_check is set */
} Machine;

/* Module loaded, nothing initialised.  @pkgs: LPs are dealt out in turn. */
Machine *machine_new(unsigned lps, unsigned pkgs);
void machine_free(Machine *mc);
/* Bring the module to READY, all TDMRs initialised. */
void machine_ready(Machine *mc);
/* The parts of it: SYS.INIT and LP.INITs; a valid list of two TDMRs. */
void machine_init(Machine *mc);
uint64_t machine_tdmr_list(Machine *mc);        /* PA of the list */
struct tdmr_info *machine_tdmr(Machine *mc, unsigned i);
void machine_tdmr_init(Machine *mc);

/* A fresh zeroed page, or 2 MiB aligned 2 MiB, never given before. */
uint64_t machine_page(Machine *mc);
uint64_t machine_2m(Machine *mc);
/* Host address of RAM; fails the test if [pa, pa + len) is not RAM. */
void *machine_ptr(Machine *mc, uint64_t pa, size_t len);

/* SEAMCALL with these registers; status; results in mc->out. */
uint64_t seamcall(Machine *mc, unsigned lp, uint64_t rax, Regs in);
#define CALL(mc, lp, rax, ...) seamcall(mc, lp, rax, (Regs){ __VA_ARGS__ })
/* With all registers, which are changed as the leaf does. */
uint64_t seamcall_gpr(Machine *mc, unsigned lp, uint64_t gpr[16]);
/* A TD exit of the TD that @lp runs; @gpr as tdxmod_td_exit(). */
TdxAction machine_td_exit(Machine *mc, unsigned lp, bool suppress_ve, uint64_t gpr[16]);

/* The call's status is @status (name of TDX_* without the prefix), exactly. */
#define assert_status(status, expected) \
    machine_assert_status(__FILE__, __LINE__, status, expected)
void machine_assert_status(const char *file, int line, uint64_t status,
                           uint64_t expected);
#define OPERAND(status, reg)    ((status) | TDX_OPERAND_ID_##reg)

/*
 * Invariants: page counts of 2M entries equal a recount; each TD's chldcnt
 * equals the pages that name it as owner; no lock is held but by a running vCPU.
 */
void machine_check(Machine *mc);

#endif
