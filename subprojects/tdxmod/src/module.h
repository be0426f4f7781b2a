/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module's global state, the context of one leaf call, and the rows that
 * make up the dispatch table.
 */
#ifndef TDXMOD_MODULE_H
#define TDXMOD_MODULE_H

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <glib.h>
#include "tdx/status.h"
#include "tdx/leaves.h"
#include "tdx/structs.h"
#include "tdxmod.h"
#include "lock.h"

/* Sizes that metadata reports, in 4 KiB pages. */
#define TDCS_PAGES              9
#define TDVPS_TDCX_PAGES        (TDXMOD_TDVPS_PAGES - 1)
#define TDX_MAX_VCPUS_PER_TD    1376
#define TDX_MAX_HKIDS           2048
#define TDX_NO_LP               UINT32_MAX

/* Register numbers of gpr[]; the same numbers are the operand ids. */
enum tdx_reg {
    TDX_RAX, TDX_RCX, TDX_RDX, TDX_RBX, TDX_RSP, TDX_RBP, TDX_RSI, TDX_RDI,
    TDX_R8, TDX_R9, TDX_R10, TDX_R11, TDX_R12, TDX_R13, TDX_R14, TDX_R15,
};

typedef enum SysState {
    SYS_INIT_PENDING,           /* module loaded */
    SYS_INIT_DONE,
    SYS_CONFIG_DONE,
    SYS_READY,
    SYS_SHUTDOWN,
} SysState;

typedef struct Tdmr {
    uint64_t base, size;
    uint64_t pamt[3];           /* PAs of the arrays; index: enum tdx_level */
    uint64_t pamt_bytes;        /* their least size, in whole pages */
    struct {
        uint64_t start, end;    /* PAs */
    } reserved[TDX_MAX_RESERVED];
    unsigned num_reserved;
    uint16_t lock;              /* of TDH.SYS.TDMR.INIT */
    uint64_t next;              /* first PA not initialised; atomic */
    /* Dynamic PAMT: by 2 MiB; NULL until the region's first pair.  Atomic. */
    struct PamtRegion **region;
} Tdmr;

typedef enum KotState { KOT_FREE, KOT_ASSIGNED, KOT_FLUSHED, KOT_RESERVED } KotState;

typedef struct KotEntry {
    uint8_t state;              /* KotState */
    uint64_t wb_pending;        /* packages that must do TDH.PHYMEM.CACHE.WB */
} KotEntry;

/* The TD that an LP runs: between TDH.VP.ENTER and its TD exit. */
typedef struct TdxRun {
    bool active;
    uint64_t tdr_pa, tdvpr_pa;  /* their PAMT entries are locked shared */
    uint64_t epoch;             /* whose REFCOUNT counts this vCPU */
} TdxRun;

/* Page pairs that a host thread added since it last mapped a GPA. */
typedef struct PamtChain {
    uint64_t stack;             /* which thread: its stack's address */
    unsigned pairs;
} PamtChain;

typedef struct TdxLp {
    bool init_done;
    TdxRun run;                 /* touched by this LP only */
    PamtChain chain;            /* likewise */
} TdxLp;

typedef struct LeafStats {
    uint64_t calls, errors;
} LeafStats;

#define TDX_MAX_LEAF            256

struct TdxMod {
    TdxPlatform platform;
    TdxModConfig config;
    uint64_t features0;
    uint64_t attributes_fixed0, attributes_fixed1;
    uint64_t xfam_fixed0, xfam_fixed1;
    uint64_t config_flags_fixed0, config_flags_fixed1;
    uint64_t hpa_mask;          /* PA bits below the KeyID */
    unsigned hkid_shift;        /* first KeyID bit of a PA */
    uint32_t hkid_first, hkid_end;      /* private KeyIDs [first, end) */

    uint16_t sys_lock;          /* changes of state and what follows below */
    uint16_t inside_lock;       /* shared: a leaf runs; DISABLE, SHUTDOWN: exclusive */
    SysState state;
    bool disabling;             /* TDH.SYS.DISABLE waits for the others; atomic */
    bool dynamic_pamt;
    uint16_t global_hkid;
    uint64_t pkgs_key_done;     /* packages that did TDH.SYS.KEY.CONFIG */
    unsigned num_tdmrs;
    Tdmr tdmr[TDX_MAX_TDMRS];

    uint16_t kot_lock;
    KotEntry kot[TDX_MAX_HKIDS];
    uint16_t wbcache_lock[TDXMOD_MAX_LPS];      /* by package */

    TdxLp lp[TDXMOD_MAX_LPS];
    const struct Leaf *host_leaf[TDX_MAX_LEAF], *guest_leaf[TDX_MAX_LEAF];
    LeafStats host_stats[TDX_MAX_LEAF], guest_stats[TDX_MAX_LEAF];
    struct PamtLedger *ledger;  /* pamt_ledger.c */
    uint16_t report_key_lock;   /* key of TDREPORT MACs: made when first needed */
    bool report_key_valid;
    uint8_t report_key[32];
    struct CpuidModel *cpuid;   /* guest.h; made by cpuid_model_new() */
};

/*
 * One call of a leaf, from the host or from a TD.  A handler returns the
 * completion status for RAX; outputs go to gpr[].
 */
typedef struct TdxCall {
    TdxMod *m;
    unsigned lp;
    unsigned leaf, version;
    bool guest;                 /* TDCALL */
    uint64_t *gpr;              /* the caller's registers; enum tdx_reg */
    TdxAction action;           /* of TDH.VP.ENTER */
    TdxEnter *enter;
    struct Td *td;              /* guest: the TD and vCPU that called */
    struct Vcpu *vcpu;
    struct GuestExit *exit;     /* guest: private to the guest side */
    bool site_known;
    TdxCallSite site;           /* see tdx_call_site() */
} TdxCall;

typedef uint64_t LeafHandler(TdxCall *c);

enum leaf_flags {
    LEAF_BEFORE_READY = 1 << 0, /* allowed in every state but SHUTDOWN */
    LEAF_IN_SHUTDOWN = 1 << 1,
    LEAF_ALONE = 1 << 2,        /* takes inside_lock itself */
};

typedef struct Leaf {
    uint16_t number;
    uint8_t max_version;
    uint8_t flags;
    const char *name;           /* "TDH.MEM.PAGE.AUG" */
    LeafHandler *handler;
    uint16_t zero_on_error;     /* 1 << enum tdx_reg: plain outputs, 0 on error */
} Leaf;

/*
 * Tables of rows end with .handler = NULL.  A file of leaves defines one and
 * module.c lists it: tdx_leaves_sys (sys.c), tdx_leaves_phymem (phymem.c),
 * tdx_leaves_pamt (phymem_pamt.c),
 * tdx_leaves_mng (mng*.c), tdx_leaves_vp (vp*.c), tdx_leaves_mem (mem*.c),
 * tdx_leaves_mr (mr.c); of the guest: tdx_leaves_tdg (tdg*.c).
 */
extern const Leaf tdx_leaves_sys[], tdx_leaves_phymem[], tdx_leaves_pamt[];
extern const Leaf tdx_leaves_mng[], tdx_leaves_vp[], tdx_leaves_mem[], tdx_leaves_mr[];
extern const Leaf tdx_leaves_tdg[];

#define TDX_REG(r)              (uint16_t)(1u << (r))

/* module.c */
/* Forget everything but the configuration; the module waits for TDH.SYS.INIT. */
void tdx_reset_state(TdxMod *m);
/*
 * RAX of TDCALL: look the guest leaf up and run it; NULL handler never
 * happens: an unknown leaf, version or reserved bit gives OPERAND_INVALID|RAX.
 * Does the statistics.  Does not write gpr[TDX_RAX].
 */
uint64_t tdx_dispatch_guest(TdxCall *c);
/* Package of the LP that calls. */
static inline unsigned tdx_pkg(const TdxCall *c)
{
    return c->m->config.lp_pkg[c->lp];
}
static inline uint64_t tdx_all_pkgs(const TdxMod *m)
{
    return m->config.num_pkgs >= 64 ? UINT64_MAX : (1ull << m->config.num_pkgs) - 1;
}
/* @status with a register's (or other) operand id in its details. */
static inline uint64_t tdx_operand(uint64_t status, unsigned id)
{
    return TDX_ST(status, id);
}

/* platform.c: guest RAM */
/* Host address of [pa, pa + len) inside one page, or NULL: not RAM.  No KeyID bits. */
void *tdx_map(TdxMod *m, uint64_t pa, size_t len);
/* The whole page at 4 KiB aligned @pa, or NULL. */
void *tdx_map_page(TdxMod *m, uint64_t pa);
/* After writing through such a pointer. */
void tdx_written(TdxMod *m, uint64_t pa, size_t len);
/* False: not RAM.  Any length and alignment, but no access beyond @pa + len. */
bool tdx_read(TdxMod *m, uint64_t pa, void *buf, size_t len);
/* Fill a page with zeros; false: not RAM. */
bool tdx_zero_page(TdxMod *m, uint64_t pa);
bool tdx_random(TdxMod *m, void *buf, size_t len);
/* Where L1 made this call; asked of the platform once. */
const TdxCallSite *tdx_call_site(TdxCall *c);
void tdx_log(TdxMod *m, const char *fmt, ...) G_GNUC_PRINTF(2, 3);      /* guest error */
void tdx_unimp(TdxMod *m, const char *fmt, ...) G_GNUC_PRINTF(2, 3);    /* not modelled */
/* A private HPA operand: 4 KiB aligned, no KeyID bits, below MAXPA. */
bool tdx_private_hpa_valid(const TdxMod *m, uint64_t pa, uint64_t align);
/*
 * A shared buffer operand (SHPA): aligned, below MAXPA, KeyID not private.
 * *@pa loses its KeyID bits.  False: OPERAND_INVALID of the register.
 */
bool tdx_shared_hpa(const TdxMod *m, uint64_t *pa, uint64_t align);
bool tdx_hkid_private(const TdxMod *m, uint64_t hkid);

#endif
