/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PAMT: what every physical page is used for.  Entries live in the PAMT memory
 * that the host gave.  A page changes its type only between pamt_lock() and
 * pamt_unlock_as(), which keep the counts of the 2 MiB region right.
 */
#ifndef TDXMOD_PAMT_H
#define TDXMOD_PAMT_H

#include "module.h"

/* One entry, of a 4K, 2M or 1G page; owner and bepoch only if it is a leaf. */
struct pamt_entry {
    uint16_t lock;
    uint8_t type;               /* enum pamt_type */
    uint8_t owner[5];           /* page number of the owner's TDR */
    uint64_t aux;               /* leaf: BEPOCH; 2M non-leaf: see PAMT_2M_* */
};
_Static_assert(sizeof(struct pamt_entry) == TDX_PAMT_ENTRY_SIZE, "PAMT entry");

/* 63:24 of an entry: the owner's page number, or 4 bits and the first of a pair's. */
static inline uint64_t pamt_bits_63_24(const struct pamt_entry *e)
{
    uint64_t value = 0;

    for (int i = 0; i < 5; i++) {
        value |= (uint64_t)e->owner[i] << 8 * i;
    }
    return value;
}

static inline void pamt_set_bits_63_24(struct pamt_entry *e, uint64_t value)
{
    for (int i = 0; i < 5; i++) {
        e->owner[i] = value >> 8 * i;
    }
}

static inline enum pamt_type pamt_entry_type(const struct pamt_entry *e)
{
    return __atomic_load_n(&e->type, __ATOMIC_ACQUIRE) & 31;
}

/* PA of the TDR. */
static inline uint64_t pamt_entry_owner(const struct pamt_entry *e)
{
    return pamt_bits_63_24(e) * TDX_PAGE_SIZE;
}

/* aux of a 2M entry of type PT_NDA (static PAMT) or PT_PAMT (dynamic). */
#define PAMT_2M_USED            0x3ffull        /* 4K pages in use: 0..512 */
/* Static only */
#define PAMT_2M_RSVD_SHIFT      10              /* 4K pages PT_RSVD: 0..512 */
#define PAMT_2M_RSVD            (0x3ffull << PAMT_2M_RSVD_SHIFT)
/* Dynamic only; the page number of the first of the pair is in 63:28 of the entry */
#define PAMT_2M_PAGE1_SHIFT     28              /* page number of the second */
#define PAMT_ENTRIES_PER_PAGE   (TDX_PAGE_SIZE / TDX_PAMT_ENTRY_SIZE)

/* A locked page.  Zeroed: none.  Lives no longer than the call into the model. */
typedef struct PamtPage {
    uint64_t pa;                /* of the page, aligned to its level */
    unsigned level;             /* TDX_4K.. */
    LockMode mode;
    struct pamt_entry *entry;   /* locked in @mode; NULL: nothing is locked */
    uint64_t entry_pa;
    struct pamt_entry *upper[2];        /* 2M, 1G entries; locked shared if held */
    uint64_t upper_pa[2];
    bool upper_held;
} PamtPage;

/*
 * A 2 MiB region that has or had a page pair (Dynamic PAMT), in the emulator's memory.
 * What the 2M entry in RAM says is held against it: L1 can write there.
 */
typedef struct PamtRegion {
    uint64_t pa;
    bool backed;                /* changed with the 2M entry locked exclusively; atomic */
    uint64_t pair[2];           /* PAs; valid if backed */
    int used;                   /* 4K pages in use; atomic */
    GMutex lock;                /* of changes above, and of the calls below */
    TdxPamtCall add, remove, assign, release;
} PamtRegion;

/* In what frees a page: no page of its 2 MiB region is in use (Dynamic PAMT). */
#define PAMT_REMOVAL_HINT       (1ull << 62)

/* pamt.c */
/*
 * A private 4 KiB page as operand of a leaf: lock the 4 KiB page at @pa.  Status:
 * OPERAND_INVALID, OPERAND_ADDR_RANGE_ERROR, OPERAND_BUSY,
 * PAGE_METADATA_INCORRECT, MISSING_PAMT_PAGE_PAIR, with operand @reg.
 */
uint64_t pamt_lock(TdxCall *c, PamtPage *p, unsigned reg, uint64_t pa,
                   enum pamt_type type, LockMode mode);
/* The same for a free page of @level (TDX_2M: all of its 4K pages are free). */
uint64_t pamt_lock_free(TdxCall *c, PamtPage *p, unsigned reg, uint64_t pa,
                        unsigned level);
/*
 * Lock whatever leaf covers @pa (RECLAIM, RDMD; S-EPT leaves): p->level says
 * its size.  The type is not checked.
 */
uint64_t pamt_lock_any(TdxCall *c, PamtPage *p, unsigned reg, uint64_t pa,
                       LockMode mode);
/* The same, but not below @level, for RDMD: shared. */
uint64_t pamt_lock_level(TdxCall *c, PamtPage *p, unsigned reg, uint64_t pa,
                         unsigned level);
/*
 * A page known to be in use (an owner, an S-EPT page or leaf), found without
 * an operand: locks the leaf entry only; the details of a failure are @id.
 */
uint64_t pamt_lock_implicit(TdxMod *m, PamtPage *p, unsigned id, uint64_t pa,
                            enum pamt_type type, LockMode mode);
/* Keep only the leaf's lock; for a lock that outlives the call. */
void pamt_keep_leaf(PamtPage *p);
/* The handle of a 4 KiB page whose leaf lock the caller holds; false: no entry. */
bool pamt_held(TdxMod *m, PamtPage *p, uint64_t pa, LockMode mode);

/*
 * Lock the entry of the 2 MiB region at @pa, leaf or not, exclusively: BUSY|reg,
 * OPERAND_ADDR_RANGE_ERROR|reg.
 */
uint64_t pamt_lock_region(TdxCall *c, PamtPage *p, unsigned reg, uint64_t pa);

/* Unlock with nothing changed.  A zeroed handle is ignored. */
void pamt_unlock(TdxMod *m, PamtPage *p);
/*
 * Change the type of an exclusively locked page, then unlock.  @owner: PA of
 * the TDR (0 for PT_TDR and PT_NDA).  BEPOCH becomes 0.  The returned bit says
 * that the 2 MiB region has no user left (the Dynamic PAMT removal hint).
 */
bool pamt_unlock_as(TdxCall *c, PamtPage *p, enum pamt_type type, uint64_t owner);

static inline enum pamt_type pamt_type(const PamtPage *p)
{
    return p->entry->type & 31;
}
uint64_t pamt_owner(const PamtPage *p);         /* PA of the TDR */
uint64_t pamt_bepoch(const PamtPage *p);
/*
 * BEPOCH of a page that the caller keeps from changing by other locks (S-EPT):
 * no PAMT lock is taken.  False: no leaf entry of this level.
 */
bool pamt_bepoch_get(TdxMod *m, uint64_t pa, unsigned level, uint64_t *epoch);
bool pamt_bepoch_set(TdxMod *m, uint64_t pa, unsigned level, uint64_t epoch);
/* Entry of @level that covers @pa, not below a page pair; NULL: not RAM. */
struct pamt_entry *pamt_entry_at(TdxMod *m, const Tdmr *t, uint64_t pa, unsigned level,
                                 uint64_t *entry_pa);

/* pamt_resize.c */
/*
 * 2M leaf <-> 512 4K leaves PT_REG of the same owner, for DEMOTE and PROMOTE.
 * Split: @p is the 2M page locked exclusively, and stays so.  Merge: locks it,
 * OPERAND_BUSY|reg or PAGE_METADATA_INCORRECT|reg.  @pair, with Dynamic PAMT: the
 * PAs that pair_reserve() took, or that come back.
 */
uint64_t pamt_split(TdxCall *c, PamtPage *p, const uint64_t pair[2]);
uint64_t pamt_merge(TdxCall *c, unsigned reg, uint64_t pa, uint64_t owner,
                    uint64_t pair[2]);

/* pamt_pair.c: Dynamic PAMT */
/* The region of @pa if it ever had a pair, else NULL. */
PamtRegion *pair_region(const Tdmr *t, uint64_t pa);
/* PA of entry @index, 0 to 511, of a pair. */
static inline uint64_t pair_entry_pa(const uint64_t pair[2], unsigned index)
{
    return pair[index / PAMT_ENTRIES_PER_PAGE] +
           index % PAMT_ENTRIES_PER_PAGE * sizeof(struct pamt_entry);
}
/* The 4K entry of @pa in its region's pair; NULL: no pair, or not RAM. */
struct pamt_entry *pair_entry(TdxMod *m, const Tdmr *t, uint64_t pa, uint64_t *entry_pa);
/* Form of a page of a pair: OPERAND_INVALID|reg; OPERAND_ADDR_RANGE_ERROR|reg. */
uint64_t pair_page_valid(TdxMod *m, uint64_t pa, unsigned reg);
uint64_t pair_page_in_tdmr(TdxMod *m, uint64_t pa, unsigned reg);
/*
 * Reserve two free pages as a pair, both or none.  By operand @reg[i]: OPERAND_BUSY or
 * PAGE_NOT_FREE of the first, then of the second; then PAGE_NOT_FREE for a page that is
 * part of a pair.  @own: PA of a free region that the caller has locked exclusively, so
 * that its pages may be taken; or PAIR_NO_REGION.
 */
#define PAIR_NO_REGION  UINT64_MAX
uint64_t pair_reserve(TdxCall *c, const uint64_t pa[2], const unsigned reg[2],
                      uint64_t own);
void pair_release(TdxCall *c, const uint64_t pa[2]);
/*
 * The locked 2M entry @p gets the reserved pair, whose entries the caller filled so
 * that @used pages are in use; or it loses its pair, which @pair is then.
 */
void pair_attach(TdxCall *c, PamtPage *p, const uint64_t pair[2], unsigned used);
void pair_detach(TdxCall *c, PamtPage *p, enum pamt_type type, uint64_t pair[2]);
/* The locked 2M entry @p says PT_PAMT and what we know of it. */
bool pair_sound(TdxCall *c, const PamtPage *p);
/* In-use entries of a region's pair; @first: PA of the first one's page, or 0. */
unsigned pair_recount(TdxMod *m, const PamtRegion *r, uint64_t *first);
/* Bitmap: the page is part of a pair, or of a reserved area. */
bool pair_bit(TdxMod *m, const Tdmr *t, uint64_t pa);
bool pair_bits_clear_2m(TdxMod *m, const Tdmr *t, uint64_t pa);
/* TDH.SYS.TDMR.INIT: the bitmap of the 2 MiB at @pa; false: not RAM. */
bool pair_bits_init(TdxMod *m, const Tdmr *t, uint64_t pa);

/* pamt_ledger.c: who did what to a region, for developers */
struct PamtLedger *ledger_new(void);
void ledger_free(struct PamtLedger *l);
/* TDH.SYS.CONFIG: room for the regions (false: no memory); the figures begin at 0. */
bool ledger_make_room(Tdmr tdmr[], unsigned n);
void ledger_start(TdxMod *m);
/* The module forgets its TDMRs; the figures stay to be looked at. */
void ledger_stop(TdxMod *m);
/* The region of @pa, made if need be; its 2M entry is locked exclusively. */
PamtRegion *ledger_region(const Tdmr *t, uint64_t pa);
/* A pair came to (@came) or left @r; PAMT.ADD's @placed counts pages by enum. */
enum pair_place { PAIR_OWN, PAIR_UNBACKED, PAIR_BACKED };
void ledger_pair(TdxCall *c, PamtRegion *r, bool came);
void ledger_placed(TdxCall *c, enum pair_place place);
/* A page of a region was assigned or freed. */
void ledger_page(TdxCall *c, PamtRegion *r, uint64_t pa, bool assigned);
/* The call fails with @status; @pa: of the region; @page: which page was in the way. */
void ledger_failure(TdxCall *c, uint64_t status, uint64_t pa, uint64_t page);
/* The call finds that L1 has written into PAMT memory: count and log it. */
void ledger_corrupt(TdxCall *c, uint64_t pa, const char *what);
/* After each SEAMCALL; @gpr0: the registers as L1 gave them. */
void ledger_after(TdxCall *c, uint64_t status, const uint64_t gpr0[16]);

/* tdmr.c */
/* TDMR that covers @pa with an initialised 1 GiB block, or NULL. */
const Tdmr *tdmr_find(TdxMod *m, uint64_t pa);
/* TDH.SYS.CONFIG's list of @n TDMR_INFOs; fills m->tdmr only on success. */
uint64_t tdmr_config(TdxMod *m, uint64_t list_pa, unsigned n, bool dynamic_pamt);
/* One step of TDH.SYS.TDMR.INIT; call with tdmr->lock held. */
uint64_t tdmr_init_step(TdxMod *m, Tdmr *t);

#endif
