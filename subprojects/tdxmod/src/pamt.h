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

/* aux of a 2M entry of type PT_NDA (static PAMT) or PT_PAMT (dynamic). */
#define PAMT_2M_USED            0x3ffull        /* 4K pages in use: 0..512 */
#define PAMT_2M_RSVD_SHIFT      10              /* 4K pages PT_RSVD: 0..512 */
#define PAMT_2M_RSVD            (0x3ffull << PAMT_2M_RSVD_SHIFT)

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

/* In what frees a page: no page of its 2 MiB region is in use (Dynamic PAMT). */
#define PAMT_REMOVAL_HINT       (1ull << 62)

/* pamt.c */
/*
 * A private 4 KiB page as operand of a leaf: lock the 4 KiB page at @pa.  Status:
 * OPERAND_INVALID, OPERAND_ADDR_RANGE_ERROR, OPERAND_BUSY,
 * PAGE_METADATA_INCORRECT, MISSING_PAMT_PAGE_PAIR, with operand @reg.
 */
uint64_t pamt_lock(TdxMod *m, PamtPage *p, unsigned reg, uint64_t pa,
                   enum pamt_type type, LockMode mode);
/* The same for a free page of @level (TDX_2M: all of its 4K pages are free). */
uint64_t pamt_lock_free(TdxMod *m, PamtPage *p, unsigned reg, uint64_t pa,
                        unsigned level);
/*
 * Lock whatever leaf covers @pa (RECLAIM, RDMD; S-EPT leaves): p->level says
 * its size.  The type is not checked.
 */
uint64_t pamt_lock_any(TdxMod *m, PamtPage *p, unsigned reg, uint64_t pa,
                       LockMode mode);
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

/* Unlock with nothing changed.  A zeroed handle is ignored. */
void pamt_unlock(TdxMod *m, PamtPage *p);
/*
 * Change the type of an exclusively locked page, then unlock.  @owner: PA of
 * the TDR (0 for PT_TDR and PT_NDA).  BEPOCH becomes 0.  The returned bit says
 * that the 2 MiB region has no user left (the Dynamic PAMT removal hint).
 */
bool pamt_unlock_as(TdxMod *m, PamtPage *p, enum pamt_type type, uint64_t owner);

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
/*
 * 2M leaf <-> 512 4K leaves PT_REG of the same owner, for DEMOTE and PROMOTE.
 * Split: @p is the 2M page locked exclusively, and stays so.  Merge: locks it,
 * OPERAND_BUSY|reg or PAGE_METADATA_INCORRECT|reg.
 */
uint64_t pamt_split(TdxMod *m, PamtPage *p);
uint64_t pamt_merge(TdxMod *m, unsigned reg, uint64_t pa, uint64_t owner);

/* tdmr.c */
/* TDMR that covers @pa with an initialised 1 GiB block, or NULL. */
const Tdmr *tdmr_find(TdxMod *m, uint64_t pa);
/* TDH.SYS.CONFIG's list of @n TDMR_INFOs; fills m->tdmr only on success. */
uint64_t tdmr_config(TdxMod *m, uint64_t list_pa, unsigned n);
/* One step of TDH.SYS.TDMR.INIT; call with tdmr->lock held. */
uint64_t tdmr_init_step(TdxMod *m, Tdmr *t);

#endif
