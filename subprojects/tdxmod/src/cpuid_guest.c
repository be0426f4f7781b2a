/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUID executed in a TD: #VE, or the TD's values with what changes at run time. */
#include "cpuid.h"
#include "vp_state.h"

/* Leaves whose sub-leaves beyond the table, or all of them, read as zeros. */
static const uint8_t fixed0_leaves[] = {
    0x4, 0x7, 0x8, 0xd, 0xe, 0x11, 0x12, 0x13, 0x14, 0x18, 0x19, 0x1d, 0x1e, 0x20,
    0x21, 0x22, 0x23,
};

/* Leaves that raise #VE even with REDUCE_VE, while the TD has the feature. */
static const struct {
    uint8_t leaf;
    uint32_t feature;
} feature_leaves[] = {
    { 0x9, CPUID_F_DCA }, { 0xf, CPUID_F_RDT_M }, { 0x10, CPUID_F_RDT_A },
    { 0x1b, CPUID_F_PCONFIG },
};

typedef struct CpuidGuest {
    TdxMod *m;
    const Td *td;
    const Vcpu *v;
    unsigned cpl;
    uint32_t leaf, sub;
    bool reduce_ve, topology, cpuid2;
} CpuidGuest;

static bool fixed0(uint32_t leaf)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(fixed0_leaves); i++) {
        if (fixed0_leaves[i] == leaf) {
            return true;
        }
    }
    return false;
}

static bool feature_leaf(const CpuidGuest *g)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(feature_leaves); i++) {
        if (feature_leaves[i].leaf == g->leaf) {
            return cpuid_effective(g->td->tdcs) & feature_leaves[i].feature;
        }
    }
    return false;
}

static uint32_t td_reg(const CpuidGuest *g, uint32_t leaf, uint32_t sub,
                       enum cpuid_reg reg)
{
    return cpuid_td_reg(g->m, g->td, leaf, sub, reg);
}

/* Standard format: up to the end of the last component of @mask. */
static uint32_t xsave_size(const CpuidGuest *g, uint64_t mask)
{
    uint32_t size = 576;

    for (unsigned n = 2; n <= 18; n++) {
        if (mask >> n & 1) {
            size = MAX(size, td_reg(g, 0xd, n, CPUID_EAX) +
                             td_reg(g, 0xd, n, CPUID_EBX));
        }
    }
    return size;
}

/* Compacted format: the components of @mask one behind the other. */
static uint32_t xsavec_size(const CpuidGuest *g, uint64_t mask)
{
    uint32_t size = 576;

    for (unsigned n = 2; n <= 18; n++) {
        if (mask >> n & 1) {
            if (td_reg(g, 0xd, n, CPUID_ECX) & 2) {
                size = (size + 63) & ~63u;
            }
            size += td_reg(g, 0xd, n, CPUID_EAX);
        }
    }
    return size;
}

/* Leaf BH knows two levels: SMT, and all above it as "core". */
static void topology_0b(const CpuidGuest *g, uint32_t out[4])
{
    unsigned last = 0;

    memset(out, 0, 4 * sizeof(out[0]));
    out[CPUID_ECX] = g->sub & 0xff;
    out[CPUID_EDX] = g->v->vp->x2apic_id;
    if (g->sub > 1 || !g->td->tdcs->topology_enum_configured) {
        return;
    }
    while (last < 5 && td_reg(g, 0x1f, last + 1, CPUID_ECX) >> 8 & 0xff) {
        last++;
    }
    if (g->sub == 1 && last == 0) {
        return;
    }
    last = g->sub == 0 ? 0 : last;
    out[CPUID_EAX] = td_reg(g, 0x1f, last, CPUID_EAX) & 0x1f;
    out[CPUID_EBX] = td_reg(g, 0x1f, last, CPUID_EBX) & 0xffff;
    out[CPUID_ECX] |= (g->sub + 1) << 8;
}

/* (leaf, sub) is not in the table.  False: #VE. */
static bool absent(const CpuidGuest *g, uint32_t out[4])
{
    bool topology_leaf = g->leaf == 0xb || g->leaf == 0x1f;

    memset(out, 0, 4 * sizeof(out[0]));
    if (topology_leaf && (g->topology || g->reduce_ve)) {
        if (g->leaf == 0xb) {
            topology_0b(g, out);
        } else {
            out[CPUID_ECX] = g->sub;
            out[CPUID_EDX] = g->v->vp->x2apic_id;
        }
        return true;
    }
    return g->reduce_ve || fixed0(g->leaf);
}

static void assign_bit(uint32_t *reg, unsigned bit, bool value)
{
    *reg = (*reg & ~(1u << bit)) | (uint32_t)value << bit;
}

/* What depends on the vCPU, its registers and what the guest asked for. */
static void dynamic(const CpuidGuest *g, uint32_t out[4])
{
    const Vmcs *vmcs = g->v->vmcs;
    const struct tdvps_guest *regs = g->v->guest;
    uint64_t cr4 = vmcs_read(vmcs, VMCS_GUEST_CR4);
    uint64_t xfam = g->td->tdcs->xfam;
    bool mode64 = vmcs_read(vmcs, VMCS_GUEST_EFER) & EFER_LMA &&
                  vmcs_read(vmcs, VMCS_GUEST_CS_AR) >> 13 & 1;

    cpuid_apply_features(g->leaf, g->sub, cpuid_effective(g->td->tdcs), out);
    switch (g->leaf) {
    case 1:
        out[CPUID_EBX] = (out[CPUID_EBX] & 0x00ffffff) |
            (g->topology ? g->v->vp->x2apic_id : g->v->vp->vcpu_index) << 24;
        assign_bit(&out[CPUID_ECX], 27, cr4 & CR4_OSXSAVE);
        break;
    case 5:
        if (!(td_reg(g, 1, CPUID_NO_SUBLEAF, CPUID_ECX) >> 3 & 1)) {
            memset(out, 0, 4 * sizeof(out[0]));
        }
        break;
    case 7:
        if (g->sub == 0) {
            assign_bit(&out[CPUID_ECX], 4, cr4 & CR4_PKE);
        }
        break;
    case 0xd:
        if (g->sub == 0) {
            out[CPUID_EBX] = xsave_size(g, regs->xcr0 & xfam);
            out[CPUID_ECX] = xsave_size(g, out[CPUID_EAX] |
                                           (uint64_t)out[CPUID_EDX] << 32);
        } else if (g->sub == 1 && (out[CPUID_EAX] & 0xa)) {
            out[CPUID_EBX] = xsavec_size(g, (regs->xcr0 | regs->xss) & xfam);
        }
        break;
    case 0x1f:
        out[CPUID_ECX] = (out[CPUID_ECX] & 0xff00) | g->sub;
        out[CPUID_EDX] = g->v->vp->x2apic_id;
        break;
    case 0x80000001:
        if (!mode64) {
            assign_bit(&out[CPUID_EDX], 11, false);
        }
        break;
    }
}

/* A row that gives #VE to a TD that did not ask for less of them. */
static bool faulting(const CpuidGuest *g, const struct cpuid_row *r, uint32_t out[4])
{
    if (r->flags & CPUID_ROW_TOPOLOGY) {
        return !g->topology;
    }
    if (!(r->flags & CPUID_ROW_VE)) {
        return false;
    }
    if (g->leaf == 2 && g->cpuid2) {
        out[CPUID_EAX] = 0x00feff01;    /* leaf 4 describes the caches */
        return false;
    }
    return !g->reduce_ve || feature_leaf(g);
}

bool cpuid_guest(TdxMod *m, const Td *td, const Vcpu *v, unsigned cpl,
                 uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    uint64_t ctls = td->tdcs->td_ctls;
    CpuidGuest g = {
        .m = m, .td = td, .v = v, .cpl = cpl, .leaf = leaf, .sub = sub,
        .reduce_ve = ctls & TDX_TD_CTLS_REDUCE_VE,
        .topology = ctls & TDX_TD_CTLS_ENUM_TOPOLOGY,
        .cpuid2 = ctls & (TDX_TD_CTLS_VIRT_CPUID2 | TDX_TD_CTLS_REDUCE_VE),
    };
    int i;

    if (leaf >> 28 == 4 ||
        (cpl == 0 ? v->vp->cpuid_supervisor_ve : v->vp->cpuid_user_ve) & 1) {
        return false;
    }
    if (leaf > CPUID_LAST_EXTENDED || (leaf > CPUID_LAST_BASE && leaf < 0x80000000u)) {
        g.leaf = CPUID_LAST_BASE;
    }
    i = cpuid_find(g.leaf, CPUID_NO_SUBLEAF);
    if (i < 0 && sub != CPUID_NO_SUBLEAF) {
        i = cpuid_find(g.leaf, sub);
    }
    if (i < 0) {
        return absent(&g, out);
    }
    for (unsigned k = 0; k < 4; k++) {
        out[k] = td_reg(&g, cpuid_row(i)->leaf, cpuid_row(i)->sub, k);
    }
    if (faulting(&g, cpuid_row(i), out) ||
        v->vp->cpuid_control[i] & (cpl == 0 ? 1 : 2)) {
        return false;
    }
    if (!(cpuid_row(i)->flags & CPUID_ROW_VE)) {
        dynamic(&g, out);
    }
    return true;
}
