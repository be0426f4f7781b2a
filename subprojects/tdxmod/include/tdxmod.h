/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The TDX module model: what a processor emulator calls.
 *
 * The model sees the machine only through TdxPlatform.  All state of TDs lives
 * in the RAM pages that the host gave (PAMT, TDR, TDCS, TDVPS, Secure EPT);
 * only the module's global state is in TdxMod.  Every function may be called
 * by several logical processors (LPs) at once; none waits for another.
 */
#ifndef TDXMOD_H
#define TDXMOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TDXMOD_MAX_LPS          64
#define TDXMOD_MAX_CMRS         32
#define TDXMOD_TDVPS_PAGES      6       /* TDVPR and five TDCX */

typedef struct TdxMod TdxMod;

/* Where L1 made a SEAMCALL. */
#define TDXMOD_CALLERS          16
typedef struct TdxCallSite {
    uint64_t rip, rsp;
    uint64_t caller[TDXMOD_CALLERS];    /* may be return addresses; 0 ends them */
} TdxCallSite;

typedef struct TdxPlatform {
    void *opaque;
    /*
     * Host address of guest RAM [pa, pa + len), len <= 4096 and not crossing
     * a 4 KiB boundary; NULL if that is not all RAM.  Valid until the call
     * into the model returns.
     */
    void *(*map)(void *opaque, uint64_t pa, size_t len);
    /*
     * The model wrote [pa, pa + len): translated code and dirty bits follow.
     * Ignored where no RAM is: L1 may change an address that it was read from.
     */
    void (*written)(void *opaque, uint64_t pa, size_t len);
    /* False: no entropy now (TDX_RND_NO_ENTROPY). */
    bool (*random)(void *opaque, void *buf, size_t len);
    /* The processor's own CPUID; out: EAX, EBX, ECX, EDX. */
    void (*cpuid)(void *opaque, uint32_t leaf, uint32_t subleaf,
                  uint32_t out[4]);
    /* The time-stamp counter of the machine, before offsetting. */
    uint64_t (*tsc)(void *opaque);
    /*
     * The SEAMCALL that is being executed: L1's RIP and RSP, and words of its stack
     * that point near RIP, innermost first.  Asked for with Dynamic PAMT only.
     */
    void (*call_site)(void *opaque, TdxCallSite *site);
    /* What the model wants a developer to see: guest errors, things not modelled. */
    void (*log)(void *opaque, bool unimplemented, const char *text);
} TdxPlatform;

typedef struct TdxCmr {
    uint64_t base, size;        /* bytes, multiples of 4096 */
} TdxCmr;

typedef struct TdxModConfig {
    unsigned num_lps;           /* LPs that must do TDH.SYS.LP.INIT */
    unsigned num_pkgs;
    uint8_t lp_pkg[TDXMOD_MAX_LPS];
    uint8_t max_pa;             /* physical address bits, KeyID included: 52 */
    uint8_t keyid_bits;         /* the upper ones of these */
    uint32_t num_mktme_keyids;  /* IA32_MKTME_KEYID_PARTITIONING[31:0] */
    uint32_t num_tdx_keyids;    /* IA32_MKTME_KEYID_PARTITIONING[63:32] */
    uint16_t major, minor, update, build_num;
    uint32_t build_date;        /* BCD, yyyymmdd */
    uint64_t tsc_hz;            /* of TdxPlatform.tsc */
    uint64_t xcr0, xss;         /* state components that the processor has */
    bool ept_5_levels;          /* the processor walks EPTs of 5 levels */
    bool dynamic_pamt;          /* offer Dynamic PAMT: max_pa - keyid_bits <= 48 */
    unsigned num_cmrs;
    TdxCmr cmr[TDXMOD_MAX_CMRS];
} TdxModConfig;

/* What the processor needs to run a TD's vCPU. */
typedef struct TdxEnter {
    uint64_t tdvps[TDXMOD_TDVPS_PAGES]; /* PAs; [0] TDVPR, see tdx/tdvps.h */
    uint64_t shared_mask;       /* the SHARED bit of a GPA */
    uint16_t hkid;
    bool flush;                 /* drop cached translations of this vCPU first */
    bool first;                 /* a new TDH.VP.ENTER, not a resumption */
    uint16_t host_xmm;          /* XMM registers that keep L1's value; first only */
} TdxEnter;

typedef enum TdxAction {
    TDX_RETURN_TO_HOST,         /* the SEAMCALL is complete: gpr[] is its result */
    TDX_ENTER_TD,               /* load the TD's state from its TDVPS and run it */
} TdxAction;

/* NULL: @config is not possible (counts, KeyIDs that do not fit their bits). */
TdxMod *tdxmod_new(const TdxPlatform *platform, const TdxModConfig *config);
void tdxmod_free(TdxMod *m);

/* Machine reset: the module is loaded and waits for TDH.SYS.INIT. */
void tdxmod_reset(TdxMod *m);

/*
 * One SEAMCALL with RAX[63] = 0 by logical processor @lp.  @gpr: L1's general
 * registers in the processor's numbering (0 RAX, 1 RCX, 2 RDX, 3 RBX, 4 RSP,
 * 5 RBP, 6 RSI, 7 RDI, 8.. R8..R15), changed as the leaf says.  Only
 * TDH.VP.ENTER answers TDX_ENTER_TD, and fills @enter.
 */
TdxAction tdxmod_seamcall(TdxMod *m, unsigned lp, uint64_t gpr[16],
                          TdxEnter *enter);

/*
 * The TD that @lp runs had a VM exit.  Its registers are in its TDVPS, the
 * exit information in the VMCS there.  @suppress_ve: bit 63 of the EPT entry
 * that caused an EPT violation.  Answers TDX_ENTER_TD to resume the TD, or
 * TDX_RETURN_TO_HOST with L1's registers of the completed TDH.VP.ENTER in
 * @gpr (which holds those that tdxmod_seamcall() was given).
 */
TdxAction tdxmod_td_exit(TdxMod *m, unsigned lp, bool suppress_ve,
                         uint64_t gpr[16], TdxEnter *enter);

/* @lp was reset while it ran a TD, or not: forget that it is inside. */
void tdxmod_lp_reset(TdxMod *m, unsigned lp);

/* Statistics: calls and errors of one leaf; false: no such leaf. */
bool tdxmod_leaf_stats(TdxMod *m, bool guest, unsigned leaf, const char **name,
                       uint64_t *calls, uint64_t *errors);

/* Pages that are not PT_NDA or PT_RSVD now, by PAMT type; for leak checks. */
uint64_t tdxmod_pages_in_use(TdxMod *m);

/*
 * Dynamic PAMT as a developer looks at it.  Any thread may ask while LPs run; pair and
 * calls of one region belong together, but a page may come into use between count and
 * recount, and several regions are no snapshot.
 */
/* A SEAMCALL that a 2 MiB region remembers. */
typedef struct TdxPamtCall {
    uint64_t number;            /* all calls that are remembered are numbered; 0: none */
    const char *leaf;           /* "TDH.PHYMEM.PAMT.ADD" */
    unsigned lp;
    uint64_t status;
    uint64_t page;              /* PA of the 4K or 2M page assigned or freed, or 0 */
    TdxCallSite site;
} TdxPamtCall;

typedef struct TdxPamtRegion {
    uint64_t pa;                /* of the 2 MiB */
    bool backed;                /* it has a page pair */
    uint64_t pair[2];           /* PAs */
    unsigned count;             /* 4K pages in use, as the 2M entry says */
    unsigned recount;           /* as the 512 entries say */
    TdxPamtCall add, remove;    /* last successful PAMT.ADD (or DEMOTE) and REMOVE */
    TdxPamtCall assign, release;        /* of its pages: the last one */
} TdxPamtRegion;

/*
 * A call that failed, and what it was at odds with: PAMT.ADD and REMOVE, and any leaf
 * that wanted a 4K page of a region without a pair (MISSING_PAMT_PAGE_PAIR).
 */
typedef struct TdxPamtFailure {
    uint64_t region;            /* PA of the 2 MiB that the call was about */
    TdxPamtCall call, other;    /* other.number 0: there was no call before */
} TdxPamtFailure;

#define TDXMOD_PAMT_STATUSES    12
typedef struct TdxPamtStats {
    bool offered, enabled;      /* TDX_FEATURES0; TDH.SYS.CONFIG */
    uint64_t static_bytes;      /* what TDH.SYS.CONFIG needs of the host, in all */
    uint64_t pairs, peak;       /* now, and most at once */
    uint64_t adds, removes;     /* pairs that came and went, DEMOTE and PROMOTE included */
    uint64_t corruptions;       /* L1 wrote into PAMT memory: times this was noticed */
    unsigned deepest;           /* most pairs added on the way to one mapping of a GPA */
    /* Where the pages of added pairs lay, seen from the region that they serve. */
    uint64_t placed_own, placed_unbacked, placed_backed;
    uint64_t failures;          /* calls that failed, see TdxPamtFailure */
    struct {                    /* PAMT.ADDs and REMOVEs that failed, by status */
        uint64_t status;        /* without the details; 0 ends the list */
        uint64_t add, remove;
    } failed[TDXMOD_PAMT_STATUSES];
} TdxPamtStats;

void tdxmod_pamt_stats(TdxMod *m, TdxPamtStats *s);
/* The first region from @pa up that ever had a pair since TDH.SYS.CONFIG. */
bool tdxmod_pamt_region(TdxMod *m, uint64_t pa, TdxPamtRegion *r);
/* The last failures, oldest first; how many were written. */
unsigned tdxmod_pamt_failures(TdxMod *m, TdxPamtFailure *f, unsigned max);

/* Name of a completion status ("TDX_OPERAND_INVALID"), or NULL. */
const char *tdxmod_status_name(uint64_t status);

#endif
