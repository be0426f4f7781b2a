/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host may configure of a TD's CPUID, and the values that follow at
 * TDH.MNG.INIT from the processor, XFAM, ATTRIBUTES and that configuration.
 */
#include "cpuid.h"

#define MAX_ROWS                128
#define FMS_MASK                0x0fff3fffu     /* CPUID(1).EAX */

/* The processor's own CPUID, read once: it must not change under a TD. */
struct CpuidModel {
    uint32_t native[MAX_ROWS][4];
    uint8_t config[MAX_ROWS];   /* rows that have a slot in TD_PARAMS */
    unsigned num_config;
};

struct CpuidModel *cpuid_model_new(TdxMod *m)
{
    struct CpuidModel *model = g_new0(struct CpuidModel, 1);
    const struct cpuid_row *r;

    for (unsigned i = 0; (r = cpuid_row(i)); i++) {
        m->platform.cpuid(m->platform.opaque, r->leaf,
                          r->sub == CPUID_NO_SUBLEAF ? 0 : r->sub,
                          model->native[i]);
        if (r->flags & CPUID_ROW_CONFIG) {
            model->config[model->num_config++] = i;
        }
    }
    return model;
}

void cpuid_model_free(struct CpuidModel *model)
{
    g_free(model);
}

unsigned cpuid_config_count(const TdxMod *m)
{
    return m->cpuid->num_config;
}

bool cpuid_config(const TdxMod *m, unsigned i, uint32_t *leaf, uint32_t *subleaf,
                  struct tdx_cpuid_value *mask)
{
    const struct CpuidModel *model = m->cpuid;
    const struct cpuid_row *r;
    const uint32_t *native;

    if (i >= model->num_config) {
        return false;
    }
    r = cpuid_row(model->config[i]);
    native = model->native[model->config[i]];
    *leaf = r->leaf;
    *subleaf = r->sub;
    mask->eax = r->config[0] | (r->allow[0] & native[0]);
    mask->ebx = r->config[1] | (r->allow[1] & native[1]);
    mask->ecx = r->config[2] | (r->allow[2] & native[2]);
    mask->edx = r->config[3] | (r->allow[3] & native[3]);
    return true;
}

static void value_get(const struct tdx_cpuid_value *v, uint32_t reg[4])
{
    reg[CPUID_EAX] = v->eax;
    reg[CPUID_EBX] = v->ebx;
    reg[CPUID_ECX] = v->ecx;
    reg[CPUID_EDX] = v->edx;
}

static void value_set(struct tdx_cpuid_value *v, const uint32_t reg[4])
{
    v->eax = reg[CPUID_EAX];
    v->ebx = reg[CPUID_EBX];
    v->ecx = reg[CPUID_ECX];
    v->edx = reg[CPUID_EDX];
}

/* Bits that a TD has only with these state components (SDM vol. 1, 13.1). */
static const struct xfam_mask {
    uint64_t xfam;
    uint32_t leaf, sub;
    uint32_t mask[4];
} xfam_masks[] = {
    { 1 << 2, 1, CPUID_NO_SUBLEAF, { 0, 0, 0x30001000, 0 } },
    { 1 << 2, 7, 0, { 0, 0x20, 0x600, 0 } },
    { 1 << 2, 7, 1, { 0x800010, 0, 0, 0x430 } },
    { 7 << 5, 7, 0, { 0, 0xdc230000, 0x5842, 0x80010c } },
    { 7 << 5, 7, 1, { 0x20, 0, 0, 0 } },
    { 1 << 8, 7, 0, { 0, 0x02000000, 0, 0 } },
    { 1 << 9, 7, 0, { 0, 0, 8, 0 } },
    { 3 << 11, 7, 0, { 0, 0, 0x80, 0x100000 } },
    { 1 << 14, 7, 0, { 0, 0, 0, 0x20 } },
    { 1 << 15, 7, 0, { 0, 0, 0, 0x80000 } },
    { 3 << 17, 7, 0, { 0, 0, 0, 0x03400000 } },
    { 3 << 17, 7, 1, { 0x200000, 0, 0, 0 } },
};

static const struct attr_mask {
    uint64_t attribute;
    uint32_t leaf, sub;
    uint32_t mask[4];
} attr_masks[] = {
    { TDX_ATTR_PKS, 7, 0, { 0, 0, 0x80000000, 0 } },
    { TDX_ATTR_LASS, 7, 1, { 0x40, 0, 0, 0 } },
};

static void apply_masks(const struct tdcs *t, const struct cpuid_row *r,
                        uint32_t reg[4])
{
    for (unsigned i = 0; i < G_N_ELEMENTS(xfam_masks); i++) {
        const struct xfam_mask *x = &xfam_masks[i];

        if (x->leaf == r->leaf && x->sub == r->sub &&
            (t->xfam & x->xfam) != x->xfam) {
            for (unsigned k = 0; k < 4; k++) {
                reg[k] &= ~x->mask[k];
            }
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(attr_masks); i++) {
        const struct attr_mask *a = &attr_masks[i];

        if (a->leaf == r->leaf && a->sub == r->sub &&
            !(t->attributes & a->attribute)) {
            for (unsigned k = 0; k < 4; k++) {
                reg[k] &= ~a->mask[k];
            }
        }
    }
}

#define XFAM_XSS                0x1dd00ull      /* components of IA32_XSS */

/* Leaf 0DH: only the components of XFAM; sizes are filled in at run time. */
static void xsave_values(const TdxMod *m, const struct tdcs *t,
                         const struct cpuid_row *r, uint32_t reg[4])
{
    uint64_t xcr0 = t->xfam & m->config.xcr0 & ~XFAM_XSS;
    uint64_t xss = t->xfam & m->config.xss & XFAM_XSS;

    switch (r->sub) {
    case 0:
        reg[CPUID_EAX] = xcr0;
        reg[CPUID_EBX] = reg[CPUID_ECX] = 0;
        reg[CPUID_EDX] = xcr0 >> 32;
        break;
    case 1:
        reg[CPUID_EAX] &= 0xf;
        reg[CPUID_EBX] = 0;
        reg[CPUID_ECX] = xss;
        reg[CPUID_EDX] = xss >> 32;
        break;
    default:
        if (!((xcr0 | xss) >> r->sub & 1)) {
            memset(reg, 0, 4 * sizeof(reg[0]));
        }
    }
}

static void combine(TdxMod *m, const struct tdcs *t, unsigned row,
                    const uint32_t input[4], uint32_t reg[4])
{
    const struct cpuid_row *r = cpuid_row(row);
    const uint32_t *native = m->cpuid->native[row];

    for (unsigned k = 0; k < 4; k++) {
        reg[k] = native[k] & r->native[k] & ~(r->config[k] | r->allow[k]);
        reg[k] |= input[k] & r->config[k];
        reg[k] |= input[k] & r->allow[k] & native[k];
    }
    apply_masks(t, r, reg);
    for (unsigned k = 0; k < 4; k++) {
        reg[k] |= r->fixed1[k];
    }
    if (r->leaf == 0xd) {
        xsave_values(m, t, r, reg);
    }
}

/* What the host may configure of each feature: its CPUID bit. */
static const struct feature_bit {
    uint32_t feature;
    uint32_t leaf, sub;
    enum cpuid_reg reg;
    unsigned bit;
} feature_bits[] = {
    { CPUID_F_CORE_CAP, 7, 0, CPUID_EDX, 30 },
    { CPUID_F_DCA, 1, CPUID_NO_SUBLEAF, CPUID_ECX, 18 },
    { CPUID_F_EST, 1, CPUID_NO_SUBLEAF, CPUID_ECX, 7 },
    { CPUID_F_MCA, 1, CPUID_NO_SUBLEAF, CPUID_EDX, 14 },
    { CPUID_F_MTRR, 1, CPUID_NO_SUBLEAF, CPUID_EDX, 12 },
    { CPUID_F_PCONFIG, 7, 0, CPUID_EDX, 18 },
    { CPUID_F_RDT_A, 7, 0, CPUID_EBX, 15 },
    { CPUID_F_RDT_M, 7, 0, CPUID_EBX, 12 },
    { CPUID_F_ACPI, 1, CPUID_NO_SUBLEAF, CPUID_EDX, 22 },
    { CPUID_F_TM2, 1, CPUID_NO_SUBLEAF, CPUID_ECX, 8 },
    { CPUID_F_TME, 7, 0, CPUID_ECX, 13 },
    { CPUID_F_TSC_DEADLINE, 1, CPUID_NO_SUBLEAF, CPUID_ECX, 24 },
    /* MCE comes and goes with MCA. */
    { CPUID_F_MCA, 1, CPUID_NO_SUBLEAF, CPUID_EDX, 7 },
};

void cpuid_apply_features(uint32_t leaf, uint32_t sub, uint32_t effective,
                          uint32_t out[4])
{
    for (unsigned i = 0; i < G_N_ELEMENTS(feature_bits); i++) {
        const struct feature_bit *f = &feature_bits[i];

        if (f->leaf != leaf || (f->sub != CPUID_NO_SUBLEAF && f->sub != sub)) {
            continue;
        }
        if (effective & f->feature) {
            out[f->reg] |= 1u << f->bit;
        } else {
            out[f->reg] &= ~(1u << f->bit);
        }
    }
}

static uint32_t configured_features(const struct cpuid_row *r, const uint32_t reg[4])
{
    uint32_t features = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(feature_bits); i++) {
        const struct feature_bit *f = &feature_bits[i];

        if (f->leaf == r->leaf && f->sub == r->sub && reg[f->reg] >> f->bit & 1) {
            features |= f->feature;
        }
    }
    return features;
}

uint32_t cpuid_effective(const struct tdcs *t)
{
    if (t->td_ctls & TDX_TD_CTLS_REDUCE_VE) {
        return t->cpuid_flags & t->feature_paravirt_ctrl & CPUID_F_ALL;
    }
    return (t->cpuid_flags & CPUID_F_ALL) |
           CPUID_F_MCA | CPUID_F_MTRR | CPUID_F_CORE_CAP;
}

/* Virtual family, model, stepping: the processor's own, also as 0, or family 6. */
static bool fms_valid(const TdxMod *m, uint32_t fms)
{
    uint32_t native = m->cpuid->native[cpuid_find(1, CPUID_NO_SUBLEAF)][CPUID_EAX];

    return fms == 0 || fms == (native & FMS_MASK) || (fms >> 8 & 0xf) == 6;
}

/*
 * Virtual topology: all levels absent, or level types ascending from SMT with
 * growing shifts, and only absent ones after the last (SDM, CPUID leaf 1FH).
 */
static bool topology_valid(const struct tdcs_cpuid *v, int first, unsigned *bad)
{
    uint32_t type = 0, shift = 0;
    bool ended = false;

    for (unsigned i = 0; i < 6; i++) {
        const struct tdx_cpuid_value *l = &v->value[first + i];
        uint32_t t = l->ecx >> 8 & 0xff, s = l->eax & 0x1f;

        *bad = i;
        if (t == 0) {
            ended = true;
            continue;
        }
        if (ended || t <= type || t > 6 || s < shift || (l->ebx & 0xffff) == 0 ||
            (i == 0 && t != 1)) {
            return false;
        }
        type = t;
        shift = s;
    }
    return true;
}

static uint64_t invalid(uint64_t *where, uint32_t leaf, uint32_t sub)
{
    *where = leaf | (uint64_t)sub << 32;
    return tdx_operand(TDX_OPERAND_INVALID, TDX_OPERAND_ID_CPUID_CONFIG);
}

static uint64_t check_masks(TdxMod *m, const struct td_params *p, uint64_t *where)
{
    const struct CpuidModel *model = m->cpuid;

    for (unsigned i = 0; i < model->num_config; i++) {
        const struct cpuid_row *r = cpuid_row(model->config[i]);
        uint32_t in[4];

        value_get(&p->cpuid[i], in);
        for (unsigned k = 0; k < 4; k++) {
            if (in[k] & ~(r->config[k] | r->allow[k])) {
                return invalid(where, r->leaf, r->sub);
            }
        }
    }
    return TDX_SUCCESS;
}

static void build_values(TdxMod *m, struct tdcs *t, const struct td_params *p,
                         struct tdcs_cpuid *out)
{
    const struct cpuid_row *r;
    unsigned slot = 0, i;

    memset(out, 0, sizeof(*out));
    t->cpuid_flags = 0;
    for (i = 0; (r = cpuid_row(i)); i++) {
        uint32_t input[4] = { 0 }, reg[4];

        if (r->flags & CPUID_ROW_CONFIG) {
            value_get(&p->cpuid[slot++], input);
        }
        combine(m, t, i, input, reg);
        t->cpuid_flags |= configured_features(r, reg);
        value_set(&out->value[i], reg);
        if (!(r->flags & CPUID_ROW_VE)) {
            out->valid[i / 8] |= 1u << (i % 8);
        }
    }
    t->num_cpuid_values = i;
}

/* Values that are not made bit by bit. */
static void special_values(TdxMod *m, struct tdcs *t, struct tdcs_cpuid *out)
{
    int i1 = cpuid_find(1, CPUID_NO_SUBLEAF);
    int i8 = cpuid_find(0x80000008, CPUID_NO_SUBLEAF);
    int i7 = cpuid_find(7, 0);
    struct tdx_cpuid_value *v = out->value;

    if (v[i1].eax == 0) {
        v[i1].eax = m->cpuid->native[i1][CPUID_EAX] & FMS_MASK;
    }
    t->virt_fms = v[i1].eax;
    v[cpuid_find(0x15, CPUID_NO_SUBLEAF)].ebx = t->tsc_frequency;
    /* Without MAXPA_VIRT a TD has the processor's physical address width. */
    v[i8].eax = m->config.max_pa | (v[i7].ecx >> 16 & 1 ? 57u : 48u) << 8;
}

uint64_t cpuid_build(TdxMod *m, struct tdcs *t, const struct td_params *p,
                     struct tdcs_cpuid *out, uint64_t *where)
{
    int topology = cpuid_find(0x1f, 0), i7 = cpuid_find(7, 0);
    uint64_t st = check_masks(m, p, where);
    unsigned bad;

    if (st) {
        return st;
    }
    build_values(m, t, p, out);
    if (!fms_valid(m, out->value[cpuid_find(1, CPUID_NO_SUBLEAF)].eax)) {
        return invalid(where, 1, CPUID_NO_SUBLEAF);
    }
    if ((out->value[i7].ebx >> 4 & 1) != (out->value[i7].ebx >> 11 & 1)) {
        return invalid(where, 7, 0);    /* HLE and RTM: both or none */
    }
    if (!topology_valid(out, topology, &bad)) {
        return invalid(where, 0x1f, bad);
    }
    t->topology_enum_configured = out->value[topology].ecx >> 8 & 0xff ? 1 : 0;
    t->ve_reduction_valid = t->topology_enum_configured;
    special_values(m, t, out);
    return TDX_SUCCESS;
}

static const struct tdcs_cpuid *td_values(TdxMod *m, const Td *td)
{
    return td_tdcs_page(m, td, TDCS_CPUID);
}

bool cpuid_td_value(TdxMod *m, Td *td, uint32_t leaf, uint32_t subleaf,
                    struct tdx_cpuid_value *value)
{
    const struct tdcs_cpuid *v = td_values(m, td);
    int i = cpuid_find(leaf, subleaf);

    if (!v || i < 0 || cpuid_row(i)->flags & CPUID_ROW_VE) {
        return false;
    }
    *value = v->value[i];
    return true;
}

uint32_t cpuid_td_reg(TdxMod *m, const Td *td, uint32_t leaf, uint32_t sub,
                      enum cpuid_reg reg)
{
    const struct tdcs_cpuid *v = td_values(m, td);
    int i = cpuid_find(leaf, sub);
    uint32_t r[4];

    if (!v || i < 0) {
        return 0;
    }
    value_get(&v->value[i], r);
    return r[reg];
}
