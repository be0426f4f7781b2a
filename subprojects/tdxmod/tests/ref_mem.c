/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reference model of Dynamic PAMT: the leaves with a GPA.
 */
#include <string.h>
#include "ref_internal.h"

#define HPA_BITS        0x000ffffffffff000ull

/* One call: its TD and the entry that it is about. */
typedef struct Mem {
    Ref *f;
    RefTd *td;
    uint64_t *r;
    RefAnswer *a;
    unsigned level;
    RefSlot *slot;
    RefEntry *e;
    RefEntry above;             /* stands for entries of tables that never go */
} Mem;

static bool is_table(const RefEntry *e)
{
    return e->state & 0x80;
}

static bool is_blocked(const RefEntry *e)
{
    return e->state & 1;
}

static bool is_pending(const RefEntry *e)
{
    return e->state == REF_PENDING || e->state == REF_PENDING_BLOCKED;
}

static bool is_leaf(const RefEntry *e)
{
    return e->state != REF_FREE && !is_table(e);
}

/* RCX and RDX say which entry stopped the call. */
static uint64_t info(Mem *c, uint64_t status, const RefEntry *e, unsigned level)
{
    c->r[REF_RCX] = is_leaf(e) ? e->pa : 0;
    c->a->mask[REF_RCX] = HPA_BITS;
    c->r[REF_RDX] = level | e->state << 8;
    return status | REF_RCX;
}

/* The ABI does not say what RCX and RDX are then. */
static uint64_t no_info(Mem *c, uint64_t status)
{
    c->a->mask[REF_RCX] = c->a->mask[REF_RDX] = 0;
    return status | REF_RCX;
}

/* RCX: GPA and level; then the walk. */
static uint64_t find(Mem *c, uint64_t rcx, unsigned min, unsigned max)
{
    uint64_t gpa = rcx & HPA_BITS, size = 4096ull << 9 * (rcx & 7);

    c->level = rcx & 7;
    if ((rcx & ~7ull) != gpa || c->level < min || c->level > max || gpa % size ||
        gpa >> 47) {
        return TDX_OPERAND_INVALID | REF_RCX;
    }
    if (c->level > 1) {
        c->above = (RefEntry){ .state = REF_NL_MAPPED };
        c->e = &c->above;
        return 0;
    }
    c->slot = &c->td->slot[(gpa - REF_GPA) >> 21];
    c->e = &c->slot->e;
    if (!c->level) {
        if (!is_table(c->e)) {
            return info(c, TDX_EPT_WALK_FAILED, c->e, 1);
        }
        c->e = &c->slot->child[gpa / 4096 % 512];
    }
    return 0;
}

/* The page that the entry is about: of the PAMT, its own one or the table's. */
static RefPage *entry_page(Mem *c)
{
    return c->level == 1 && !is_table(c->e) ? &ref_region(c->f, c->e->pa)->leaf
                                            : ref_page(c->f, c->e->pa);
}

static uint64_t tracked(Mem *c)
{
    if (c->td->op_state != 2) {
        return 0;
    }
    if (!is_blocked(c->e)) {
        return info(c, TDX_GPA_RANGE_NOT_BLOCKED, c->e, c->level);
    }
    /* No vCPU ever runs. */
    return entry_page(c)->bepoch < c->td->epoch ? 0
           : no_info(c, TDX_TLB_TRACKING_NOT_DONE);
}

static uint64_t wrong_state(Mem *c)
{
    return info(c, TDX_EPT_ENTRY_STATE_INCORRECT, c->e, c->level);
}

static uint64_t sept_add(Mem *c, const uint64_t *in)
{
    uint64_t st = find(c, in[REF_RCX], 1, 3);

    if (!st && c->e->state != REF_FREE) {
        st = wrong_state(c);
    }
    if (!st) {
        st = ref_p4k(c->f, in[REF_R8], REF_R8, PT_NDA);
    }
    if (!st) {
        ref_assign(c->f, in[REF_R8], PT_EPT, c->td);
        *c->e = (RefEntry){ REF_NL_MAPPED, in[REF_R8] };
        memset(c->slot->child, 0, sizeof(c->slot->child));
    }
    return st;
}

static uint64_t page_add(Mem *c, const uint64_t *in)
{
    uint64_t st = find(c, in[REF_RCX], 0, 0);

    if (!st && c->e->state != REF_FREE) {
        st = wrong_state(c);
    }
    if (!st && in[REF_R9] % 4096) {
        st = TDX_OPERAND_INVALID | REF_R9;
    }
    if (!st) {
        st = ref_p4k(c->f, in[REF_R8], REF_R8, PT_NDA);
    }
    if (!st) {
        ref_assign(c->f, in[REF_R8], PT_REG, c->td);
        *c->e = (RefEntry){ REF_MAPPED, in[REF_R8] };
    }
    return st;
}

/* A 2 MiB page: the region is free as a whole. */
static uint64_t take_2m(Mem *c, uint64_t pa)
{
    uint64_t st = ref_operand(pa, REF_R8, 2 << 20);

    if (st) {
        return st;
    }
    if (pa >> 21 == c->f->held >> 21) {
        return TDX_OPERAND_BUSY | REF_R8;
    }
    if (ref_index(pa) < 0 || ref_region(c->f, pa)->kind != REF_NONE) {
        return TDX_PAGE_METADATA_INCORRECT | REF_R8;
    }
    for (unsigned i = 0; i < 512; i++) {
        if (ref_bit(c->f, pa + i * 4096)) {
            return TDX_PAGE_METADATA_INCORRECT | REF_R8;
        }
    }
    *ref_region(c->f, pa) = (RefRegion){
        .kind = REF_LEAF,
        .leaf = { .type = PT_REG, .owner = c->td->tdr },
    };
    c->td->children += 512;
    return 0;
}

static uint64_t page_aug(Mem *c, const uint64_t *in)
{
    uint64_t st = find(c, in[REF_RCX], 0, 1);

    if (!st && c->e->state != REF_FREE) {
        st = wrong_state(c);
    }
    if (!st && c->level) {
        st = take_2m(c, in[REF_R8]);
    } else if (!st) {
        st = ref_p4k(c->f, in[REF_R8], REF_R8, PT_NDA);
        if (!st) {
            ref_assign(c->f, in[REF_R8], PT_REG, c->td);
        }
    }
    if (!st) {
        *c->e = (RefEntry){ REF_PENDING, in[REF_R8] };
    }
    return st;
}

static uint64_t page_remove(Mem *c, const uint64_t *in)
{
    uint64_t pa, st = find(c, in[REF_RCX], 0, 2);
    bool hint = false;

    if (!st && !is_leaf(c->e)) {
        st = wrong_state(c);
    }
    if (!st) {
        st = tracked(c);
    }
    if (st) {
        return st;
    }
    pa = c->e->pa;
    if (c->level) {
        memset(ref_region(c->f, pa), 0, sizeof(RefRegion));
    } else {
        hint = ref_release(c->f, pa);
    }
    c->td->children -= c->level ? 512 : 1;
    *c->e = (RefEntry){ 0 };
    c->r[REF_RCX] = pa | (hint ? REF_HINT : 0);
    return 0;
}

/* The table of the entry goes; RCX says so. */
static void drop_table(Mem *c)
{
    uint64_t pa = c->e->pa;

    c->td->children--;
    c->r[REF_RCX] = pa | (ref_release(c->f, pa) ? REF_HINT : 0);
    if (c->r[REF_RAX] >> 16 & 1) {
        c->r[REF_R9] = c->r[REF_R10] = c->r[REF_R11] = -1ull;
    }
}

static uint64_t sept_remove(Mem *c, const uint64_t *in)
{
    uint64_t st = find(c, in[REF_RCX], 1, 3);

    if (!st && !is_table(c->e)) {
        st = wrong_state(c);
    }
    if (!st) {
        st = tracked(c);
    }
    for (unsigned i = 0; i < 512 && !st; i++) {
        if (c->slot->child[i].state != REF_FREE) {
            st = info(c, TDX_EPT_PAGE_NOT_FREE, c->e, 1);
        }
    }
    if (!st) {
        drop_table(c);
        *c->e = (RefEntry){ 0 };
    }
    return st;
}

static uint64_t relocate(Mem *c, const uint64_t *in)
{
    uint64_t to = in[REF_R8], pa, st = find(c, in[REF_RCX], 0, 0);

    if (!st && !is_leaf(c->e)) {
        st = wrong_state(c);
    }
    if (!st && to == c->e->pa) {
        st = TDX_OPERAND_INVALID | REF_R8;
    }
    if (!st) {
        st = tracked(c);
    }
    if (!st) {
        st = ref_p4k(c->f, to, REF_R8, PT_NDA);
    }
    if (st) {
        return st;
    }
    pa = c->e->pa;
    ref_assign(c->f, to, PT_REG, c->td);
    *c->e = (RefEntry){ is_pending(c->e) ? REF_PENDING : REF_MAPPED, to };
    c->td->children--;
    c->r[REF_RCX] = pa | (ref_release(c->f, pa) ? REF_HINT : 0);
    return 0;
}

static uint64_t demote(Mem *c, const uint64_t *in)
{
    static const unsigned reg[2] = { REF_R12, REF_R13 };
    const uint64_t pair[2] = { in[REF_R12], in[REF_R13] };
    uint64_t table = in[REF_R8], pa, st = find(c, in[REF_RCX], 1, 2);

    if (!st && !is_leaf(c->e)) {
        st = wrong_state(c);
    }
    if (!st) {
        st = tracked(c);
    }
    if (st) {
        return st;
    }
    pa = c->e->pa;
    st = ref_operand(table, REF_R8, 4096);
    if (!st && table >> 21 == pa >> 21) {
        st = TDX_OPERAND_BUSY | REF_R8;         /* the call holds the large page */
    }
    if (!st) {
        st = ref_p4k(c->f, table, REF_R8, PT_NDA);
    }
    for (int i = 0; i < 2 && !st; i++) {
        st = ref_form(pair[i], reg[i], 4096);
    }
    for (int i = 0; i < 2 && !st; i++) {
        st = ref_operand(pair[i], reg[i], 4096);
    }
    c->f->busy = table;
    if (!st) {
        st = ref_take_pair(c->f, pair, reg, pa, false);
    }
    if (st) {
        return st;
    }
    for (unsigned i = 0; i < 512; i++) {
        *ref_page(c->f, pa + i * 4096) = (RefPage){ .type = PT_REG,
                                                    .owner = c->td->tdr };
        c->slot->child[i] = (RefEntry){ is_pending(c->e) ? REF_PENDING : REF_MAPPED,
                                        pa + i * 4096 };
    }
    ref_region(c->f, pa)->count = 512;
    ref_assign(c->f, table, PT_EPT, c->td);
    *c->e = (RefEntry){ REF_NL_MAPPED, table };
    return 0;
}

static uint64_t promote(Mem *c, const uint64_t *in)
{
    uint64_t pa, st = find(c, in[REF_RCX], 1, 1);

    if (!st && !is_table(c->e)) {
        st = wrong_state(c);
    }
    if (!st) {
        st = tracked(c);
    }
    if (st) {
        return st;
    }
    pa = c->slot->child[0].pa;
    for (unsigned i = 0; i < 512; i++) {
        if (c->slot->child[i].state != REF_MAPPED || pa % (2 << 20) ||
            c->slot->child[i].pa != pa + i * 4096) {
            return no_info(c, TDX_EPT_INVALID_PROMOTE_CONDITIONS);
        }
    }
    for (unsigned i = 0; i < 512; i++) {
        *ref_page(c->f, pa + i * 4096) = (RefPage){ 0 };
    }
    ref_give_pair(c->f, ref_region(c->f, pa), &c->r[REF_R12]);
    *ref_region(c->f, pa) = (RefRegion){
        .kind = REF_LEAF,
        .leaf = { .type = PT_REG, .owner = c->td->tdr },
    };
    drop_table(c);
    *c->e = (RefEntry){ REF_MAPPED, pa };
    return 0;
}

static uint64_t block(Mem *c, const uint64_t *in)
{
    uint64_t st = find(c, in[REF_RCX], 0, 1);

    if (st) {
        return st;
    }
    if (c->e->state == REF_FREE) {
        return wrong_state(c);
    }
    if (is_blocked(c->e)) {
        return info(c, TDX_GPA_RANGE_ALREADY_BLOCKED, c->e, c->level);
    }
    entry_page(c)->bepoch = c->td->epoch;
    c->e->state = c->e->state == REF_NL_MAPPED ? REF_NL_BLOCKED :
                  c->e->state == REF_MAPPED ? REF_BLOCKED : REF_PENDING_BLOCKED;
    return 0;
}

static uint64_t unblock(Mem *c, const uint64_t *in)
{
    uint64_t st = find(c, in[REF_RCX], 0, 1);

    if (st) {
        return st;
    }
    if (!is_blocked(c->e)) {
        return wrong_state(c);
    }
    if (c->td->op_state == 2 && entry_page(c)->bepoch >= c->td->epoch) {
        c->a->mask[REF_RCX] = c->a->mask[REF_RDX] = 0;
        return TDX_TLB_TRACKING_NOT_DONE | TDX_OPERAND_ID_SEPT_TREE;
    }
    c->e->state = c->e->state == REF_NL_BLOCKED ? REF_NL_MAPPED :
                  c->e->state == REF_BLOCKED ? REF_MAPPED : REF_PENDING;
    entry_page(c)->bepoch = 0;          /* without meaning now */
    return 0;
}

static const struct {
    unsigned leaf, op_states;
    uint64_t (*fn)(Mem *c, const uint64_t *in);
} leaves[] = {
    { TDH_MEM_SEPT_ADD, REF_OP(1) | REF_OP(2), sept_add },
    { TDH_MEM_PAGE_ADD, REF_OP(1), page_add },
    { TDH_MEM_PAGE_AUG, REF_OP(1) | REF_OP(2), page_aug },
    { TDH_MEM_PAGE_REMOVE, REF_OP(1) | REF_OP(2), page_remove },
    { TDH_MEM_SEPT_REMOVE, REF_OP(1) | REF_OP(2), sept_remove },
    { TDH_MEM_PAGE_RELOCATE, REF_OP(1) | REF_OP(2), relocate },
    { TDH_MEM_PAGE_DEMOTE, REF_OP(1) | REF_OP(2), demote },
    { TDH_MEM_PAGE_PROMOTE, REF_OP(1) | REF_OP(2), promote },
    { TDH_MEM_RANGE_BLOCK, REF_OP(1) | REF_OP(2), block },
    { TDH_MEM_RANGE_UNBLOCK, REF_OP(1) | REF_OP(2), unblock },
};

uint64_t ref_mem(Ref *f, unsigned leaf, RefAnswer *a)
{
    uint64_t in[16], st;
    Mem c = { .f = f, .r = a->value, .a = a };

    memcpy(in, a->value, sizeof(in));
    if (leaf == TDH_MEM_TRACK) {
        st = ref_td(f, in[REF_RCX], REF_RCX, REF_OP(1) | REF_OP(2), &c.td);
        if (!st) {
            c.td->epoch++;
        }
        return st;
    }
    a->value[REF_RCX] = a->value[REF_RDX] = 0;
    for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
        if (leaves[i].leaf == leaf) {
            /* DEMOTE has a flag for L2 pages in bit 0. */
            uint64_t flags = leaf == TDH_MEM_PAGE_DEMOTE;

            st = ref_td(f, in[REF_RDX] & ~flags, REF_RDX, leaves[i].op_states, &c.td);
            return st ? st : leaves[i].fn(&c, in);
        }
    }
    return TDX_OPERAND_INVALID;         /* no such leaf here */
}

bool ref_accept(RefTd *td, uint64_t gpa, unsigned level)
{
    RefSlot *s = &td->slot[(gpa - REF_GPA) >> 21];
    RefEntry *e = level ? &s->e : &s->child[gpa / 4096 % 512];

    if ((!level && s->e.state != REF_NL_MAPPED) || e->state != REF_PENDING) {
        return false;
    }
    e->state = REF_MAPPED;
    return true;
}
