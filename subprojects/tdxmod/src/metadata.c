/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single reads and writes of metadata fields (TDX ABI, "Metadata access").
 */
#include "metadata.h"

static uint32_t elements(const MdField *f)
{
    return f->elements ? f->elements : 1;
}

static bool known(const MdContext *x, const MdField *f)
{
    return !f->dynamic_pamt || x->c->m->config.dynamic_pamt;
}

static bool readable(const MdContext *x, const MdField *f)
{
    return known(x, f) && (f->read & (x->c->guest ? MD_GUEST : MD_HOST)) && f->get;
}

/* Look-up is by class and field code; the caller's size and context are not used. */
static const MdField *find(const MdTable *t, uint64_t id, unsigned *element)
{
    for (unsigned i = 0; i < t->count; i++) {
        const MdField *f = &t->field[i];
        uint32_t code = TDX_FIELD_CODE(f->id);

        if (TDX_FIELD_CLASS(f->id) == TDX_FIELD_CLASS(id) &&
            TDX_FIELD_CODE(id) >= code && TDX_FIELD_CODE(id) - code < elements(f)) {
            *element = TDX_FIELD_CODE(id) - code;
            return f;
        }
    }
    return NULL;
}

/* First readable element at or after (@i, @element); -1: none. */
static uint64_t next_id(const MdTable *t, const MdContext *x, unsigned i,
                        unsigned element)
{
    uint64_t value;

    for (; i < t->count; i++, element = 0) {
        const MdField *f = &t->field[i];

        for (; readable(x, f) && element < elements(f); element++) {
            if (f->get(x, f, element, &value)) {
                return f->id + element;
            }
        }
    }
    return TDX_FIELD_NULL;
}

static const MdField *find_checked(const MdTable *t, uint64_t id, unsigned *element)
{
    if (id & (TDX_FIELD_LAST_ELEMENT | TDX_FIELD_LAST_FIELD | TDX_FIELD_RESERVED)) {
        return NULL;
    }
    return find(t, id, element);
}

uint64_t md_read(const MdTable *t, const MdContext *x, uint64_t id,
                 uint64_t *value, uint64_t *next)
{
    unsigned element;
    const MdField *f;

    *value = 0;
    if (next) {
        *next = TDX_FIELD_NULL;
    }
    if (id == TDX_FIELD_NULL) {
        if (next) {
            *next = next_id(t, x, 0, 0);
        }
        return TDX_METADATA_FIRST_FIELD_ID_IN_CONTEXT;
    }
    f = find_checked(t, id, &element);
    if (!f || !known(x, f)) {
        return tdx_operand(TDX_METADATA_FIELD_ID_INCORRECT, TDX_RDX);
    }
    if (!readable(x, f) || !f->get(x, f, element, value)) {
        *value = 0;
        return TDX_METADATA_FIELD_NOT_READABLE;
    }
    if (next) {
        *next = next_id(t, x, f - t->field, element + 1);
    }
    return TDX_SUCCESS;
}

uint64_t md_write(const MdTable *t, const MdContext *x, uint64_t id,
                  uint64_t value, uint64_t mask, uint64_t *old)
{
    unsigned element;
    const MdField *f;
    uint64_t writable, now, st;

    *old = 0;
    f = find_checked(t, id, &element);
    if (!f) {
        return tdx_operand(TDX_METADATA_FIELD_ID_INCORRECT, TDX_RDX);
    }
    writable = x->c->guest ? f->guest_wr : f->host_wr;
    if (!(writable & mask) || !f->set || !f->get) {
        return TDX_METADATA_FIELD_NOT_WRITABLE;
    }
    if (!f->get(x, f, element, &now)) {
        return TDX_METADATA_FIELD_NOT_WRITABLE;
    }
    if ((value ^ now) & mask & ~writable) {
        return TDX_METADATA_FIELD_VALUE_NOT_VALID;
    }
    mask &= writable;
    st = f->set(x, f, element, now, (now & ~mask) | (value & mask));
    if (!st) {
        *old = now;
    }
    return st;
}
