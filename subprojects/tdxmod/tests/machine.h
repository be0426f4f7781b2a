/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine for unit tests: RAM, LPs and the module model, no processor.
 *
 * RAM is [0, 64M) and [1G, 1G + 64M), each a CMR and the usable part of a TDMR
 * of 1 GiB.  machine_page() gives pages of the first; the PAMT is at its end.  A
 * flat machine has one bank that is all RAM, of any size, and more KeyIDs.
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

#define MACHINE_FLAT_KEYIDS     128
#define MACHINE_RIP             0xffffffff81000000ull   /* where calls come from */
#define MACHINE_RSP             0xffffc90000123450ull

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
    uint64_t next_pair;
    unsigned num_banks;
    uint64_t bank_size, bank_stride;    /* RAM and TDMR of a bank */
    bool dynamic;               /* machine_ready() enables Dynamic PAMT */
    bool auto_back;             /* machine_page() makes its region have a pair */
    uint64_t calls;             /* SEAMCALLs so far; atomic */
    uint64_t maps, mapped_bytes;        /* TdxPlatform.map that found RAM; atomic */
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

typedef struct MachineShape {
    unsigned lps, pkgs;
    bool dynamic_pamt;          /* offered, and used by machine_ready() */
    unsigned flat_gib;          /* RAM of a flat machine */
} MachineShape;

/* Module loaded, nothing initialised.  @pkgs: LPs are dealt out in turn. */
Machine *machine_new(unsigned lps, unsigned pkgs);
Machine *machine_new_as(MachineShape shape);
void machine_free(Machine *mc);
/* Bring the module to READY, all TDMRs initialised. */
void machine_ready(Machine *mc);
/* The parts of it: SYS.INIT and LP.INITs; a valid list of num_banks TDMRs. */
void machine_init(Machine *mc);
uint64_t machine_tdmr_list(Machine *mc);        /* PA of the list */
struct tdmr_info *machine_tdmr(Machine *mc, unsigned i);
struct tdmr_info machine_bank_tdmr(const Machine *mc, unsigned bank);
void machine_tdmr_init(Machine *mc);

/* A fresh zeroed page, or 2 MiB aligned 2 MiB, never given before. */
uint64_t machine_page(Machine *mc);
uint64_t machine_2m(Machine *mc);
/* A fresh page for a pair: of the second bank.  It has no pair at first. */
uint64_t machine_pair_page(Machine *mc);
/* Give the 2 MiB region of @pa a pair of such pages, unless it has one. */
void machine_back(Machine *mc, uint64_t pa);
/* Host address of RAM; fails the test if [pa, pa + len) is not RAM. */
void *machine_ptr(Machine *mc, uint64_t pa, size_t len);

/* SEAMCALL with these registers; status; results in mc->out. */
uint64_t seamcall(Machine *mc, unsigned lp, uint64_t rax, Regs in);
#define CALL(mc, lp, rax, ...) seamcall(mc, lp, rax, (Regs){ __VA_ARGS__ })
/* With all registers, which are changed as the leaf does. */
uint64_t seamcall_gpr(Machine *mc, unsigned lp, uint64_t gpr[16]);
/* The instruction pointer of this thread's last call (TdxCallSite.rip). */
uint64_t machine_rip(void);
/* The stack pointer of this thread's next calls, MACHINE_RSP at first. */
void machine_set_rsp(uint64_t rsp);
/* A TD exit of the TD that @lp runs; @gpr as tdxmod_td_exit(). */
TdxAction machine_td_exit(Machine *mc, unsigned lp, bool suppress_ve, uint64_t gpr[16]);

/* The call's status is @status (name of TDX_* without the prefix), exactly. */
#define assert_status(status, expected) \
    machine_assert_status(__FILE__, __LINE__, status, expected)
void machine_assert_status(const char *file, int line, uint64_t status,
                           uint64_t expected);
#define OPERAND(status, reg)    ((status) | TDX_OPERAND_ID_##reg)

/*
 * The call of a leaf, for functions of the model that want one: which leaf does not
 * matter to them.  Needs module.h.
 */
#define CALLER(mod_)            (&(TdxCall){ .m = (mod_) })

/* audit.c */
/* A 2M PAMT entry as Dynamic PAMT has it in RAM. */
typedef struct MachineEntry2m {
    uint64_t *words;            /* two, in RAM */
    unsigned type;              /* enum pamt_type */
    bool backed;                /* PT_PAMT: the next two mean something */
    uint64_t pair[2];
    unsigned count;
} MachineEntry2m;
MachineEntry2m machine_entry_2m(Machine *mc, uint64_t pa);
/* The 4K entry of @pa in the pair of its region; NULL: it has no pair. */
uint64_t *machine_entry_4k(Machine *mc, uint64_t pa);
/* The bit of @pa in the bitmap of PAMT pages, and the byte that it is in. */
bool machine_pamt_bit(Machine *mc, uint64_t pa);
uint8_t *machine_pamt_byte(Machine *mc, uint64_t pa);
/* Pages in use among the 512 of a region, counted one by one. */
unsigned machine_recount(Machine *mc, uint64_t pa);

/*
 * Invariants: page counts of 2M entries equal a recount; each TD's chldcnt
 * equals the pages that name it as owner; no lock is held but by a running vCPU.
 * With Dynamic PAMT: what TDs own lies in regions with a pair; the bitmap has the
 * bits of reserved areas and pair pages, no others; no page is in two pairs, or in
 * a pair and in use.
 */
void machine_check(Machine *mc);

#endif
