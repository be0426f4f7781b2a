/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metadata fields: tables of rows, one table a scope, and the rules of single
 * reads and writes that all scopes share.
 */
#ifndef TDXMOD_METADATA_H
#define TDXMOD_METADATA_H

#include "td.h"
#include "tdx/fields.h"

typedef struct MdContext {
    TdxCall *c;
    Td *td;                     /* NULL in global scope */
    Vcpu *vcpu;                 /* VCPU scope only */
} MdContext;

typedef struct MdField MdField;
struct MdField {
    uint64_t id;                /* TDX_MD_*: of element 0, full form */
    uint32_t elements;          /* consecutive field codes; 0 means 1 */
    uint8_t read;               /* MD_HOST | MD_GUEST: who may */
    uint64_t host_wr, guest_wr; /* writable bits; 0: not writable */
    /* False: TDX_METADATA_FIELD_NOT_READABLE. */
    bool (*get)(const MdContext *x, const MdField *f, unsigned element,
                uint64_t *value);
    /* Status for RAX; @value is the complete new value, @old the present one. */
    uint64_t (*set)(const MdContext *x, const MdField *f, unsigned element,
                    uint64_t old, uint64_t value);
    uint64_t arg;               /* for get and set: an offset, a constant, ... */
    bool dynamic_pamt;          /* unknown to a module without Dynamic PAMT */
};
enum { MD_HOST = 1, MD_GUEST = 2 };

typedef struct MdTable {
    const MdField *field;       /* sorted as "next field" goes; any order */
    unsigned count;
} MdTable;

extern const MdTable md_sys;            /* fields_sys.c */
extern const MdTable md_td;             /* fields_td.c */
extern const MdTable md_vcpu;           /* fields_vcpu.c */

/* metadata.c */
/*
 * Read one field; x->c->guest says whose rights count.  On error *value = 0.
 * *next: the next readable field's id, -1 after the last and on error.
 * FIRST_FIELD_ID_IN_CONTEXT for @id = TDX_FIELD_NULL, FIELD_ID_INCORRECT|RDX,
 * FIELD_NOT_READABLE.
 */
uint64_t md_read(const MdTable *t, const MdContext *x, uint64_t id,
                 uint64_t *value, uint64_t *next);
/*
 * Write the bits of @mask.  *old: value before (0 on error).  Also
 * FIELD_NOT_WRITABLE, FIELD_VALUE_NOT_VALID (bits of @mask that are not
 * writable must keep their value), and what the row's set() returns.
 */
uint64_t md_write(const MdTable *t, const MdContext *x, uint64_t id,
                  uint64_t value, uint64_t mask, uint64_t *old);

#endif
