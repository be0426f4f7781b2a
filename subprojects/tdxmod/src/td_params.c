/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TD_PARAMS: the checks of TDH.MNG.INIT in their order, and what a TD gets
 * from them.  Layout and limits: struct td_params, metadata *_FIXED0/1.
 */
#include "cpuid.h"
#include "msr.h"

#define EPTP_WB                 6
#define EPTP_LEVELS(eptp)       ((eptp) >> 3 & 7)       /* walk length - 1 */
#define TSC_UNIT                25000000ull             /* Hz */

/* Kept by a TD that may not be told apart from the silicon it asks for. */
#define ARCH_CAP_IBRS_ALL       (1ull << 1)
#define ARCH_CAP_BASE           0x20fd69ull     /* 0 3 5 6 8 10-15 21 */

static uint64_t invalid(unsigned id)
{
    return tdx_operand(TDX_OPERAND_INVALID, id);
}

static bool all_zero(const void *p, size_t len)
{
    const uint8_t *b = p;

    while (len--) {
        if (*b++) {
            return false;
        }
    }
    return true;
}

static bool attributes_valid(const TdxMod *m, uint64_t a)
{
    return !(a & ~m->attributes_fixed0) &&
           (a & m->attributes_fixed1) == m->attributes_fixed1 &&
           !((a & TDX_ATTR_MIGRATABLE) &&
             (a & (TDX_ATTR_DEBUG | TDX_ATTR_PERFMON)));
}

static bool none_or_all(uint64_t value, uint64_t mask)
{
    return (value & mask) == 0 || (value & mask) == mask;
}

static bool xfam_valid(const TdxMod *m, uint64_t xfam)
{
    return !(xfam & ~m->xfam_fixed0) && (xfam & m->xfam_fixed1) == m->xfam_fixed1 &&
           none_or_all(xfam, 7 << 5) && (!(xfam & 7 << 5) || (xfam & 1 << 2)) &&
           none_or_all(xfam, 3 << 11) && none_or_all(xfam, 3 << 17);
}

static bool config_flags_valid(const TdxMod *m, uint64_t flags)
{
    return !(flags & ~m->config_flags_fixed0) &&
           (flags & m->config_flags_fixed1) == m->config_flags_fixed1;
}

/* 52-bit GPAs need the fifth level, and that the processor must have. */
static bool eptp_valid(const TdxMod *m, const struct td_params *p)
{
    uint64_t levels = EPTP_LEVELS(p->eptp_controls);

    return p->eptp_controls == (EPTP_WB | levels << 3) &&
           ((levels == 4 && m->config.ept_5_levels) ||
            (levels == 3 && !(p->config_flags & TDX_CONFIG_GPAW)));
}

static uint64_t check_before_cpuid(const TdxMod *m, const struct td_params *p)
{
    if (!attributes_valid(m, p->attributes)) {
        return invalid(TDX_OPERAND_ID_ATTRIBUTES);
    }
    if (!xfam_valid(m, p->xfam)) {
        return invalid(TDX_OPERAND_ID_XFAM);
    }
    if (p->max_vcpus == 0 || p->max_vcpus > TDX_MAX_VCPUS_PER_TD) {
        return invalid(TDX_OPERAND_ID_MAX_VCPUS);
    }
    if (p->num_l2_vms > 3) {
        return invalid(TDX_OPERAND_ID_NUM_L2_VMS);
    }
    if (p->num_l2_vms) {
        return TDX_TDCS_NOT_ALLOCATED;  /* an L2 VM needs a page of its own */
    }
    if (p->reserved0) {
        return invalid(TDX_OPERAND_ID_RDX);
    }
    if (!config_flags_valid(m, p->config_flags)) {
        return invalid(TDX_OPERAND_ID_CONFIG_FLAGS);
    }
    if (!eptp_valid(m, p)) {
        return invalid(TDX_OPERAND_ID_EPTP_CONTROLS);
    }
    if (p->tsc_frequency < 4 || p->tsc_frequency > 400) {
        return invalid(TDX_OPERAND_ID_TSC_FREQUENCY);
    }
    /*
     * IA32_ARCH_CAPABILITIES is not configurable: its control and its value
     * are reserved.
     */
    if (!all_zero(p->reserved1, sizeof(p->reserved1)) || p->msr_config_ctls ||
        p->arch_capabilities_config || !all_zero(p->reserved2, sizeof(p->reserved2))) {
        return invalid(TDX_OPERAND_ID_RDX);
    }
    return TDX_SUCCESS;
}

static uint64_t check_after_cpuid(const TdxMod *m, const struct td_params *p)
{
    unsigned used = cpuid_config_count(m), left = TDX_PARAMS_CPUID_ROOM - used;

    if (!all_zero(&p->cpuid[used], left * sizeof(p->cpuid[0]))) {
        return invalid(TDX_OPERAND_ID_RDX);
    }
    return TDX_SUCCESS;
}

/* The TD's TSC counts from about 0 at its own frequency. */
static void set_tsc(const TdxMod *m, struct tdcs *t)
{
    uint64_t hz = m->config.tsc_hz ? m->config.tsc_hz : 1000000000;
    unsigned __int128 scaled = (unsigned __int128)t->tsc_frequency * TSC_UNIT << 48;

    t->tsc_multiplier = scaled / hz;
    scaled = (unsigned __int128)m->platform.tsc(m->platform.opaque) * t->tsc_multiplier;
    t->tsc_offset = -(uint64_t)(scaled >> 48);
}

/* Size of a standard-format XSAVE area for all of XFAM. */
static uint32_t xbuff_size(const TdxMod *m, uint64_t xfam)
{
    uint32_t size = 576, r[4];

    for (unsigned i = 2; i < 63; i++) {
        if ((xfam & ~XFAM_SUPERVISOR) >> i & 1) {
            m->platform.cpuid(m->platform.opaque, 0xd, i, r);
            if (r[CPUID_EAX] <= TDX_PAGE_SIZE && r[CPUID_EBX] <= TDX_PAGE_SIZE) {
                size = MAX(size, r[CPUID_EAX] + r[CPUID_EBX]);
            }
        }
    }
    return size;
}

static void apply(const TdxMod *m, Td *td, const struct td_params *p)
{
    struct tdcs *t = td->tdcs;

    t->attributes = p->attributes;
    t->xfam = p->xfam;
    t->max_vcpus = p->max_vcpus;
    t->num_l2_vms = p->num_l2_vms;
    t->config_flags = p->config_flags;
    t->gpaw = p->config_flags & TDX_CONFIG_GPAW ? 1 : 0;
    t->eptp = p->eptp_controls | td->tdr->tdcx_pa[TDCS_SEPT_ROOT];
    t->ept_levels = EPTP_LEVELS(p->eptp_controls);
    t->tsc_frequency = p->tsc_frequency;
    t->td_ctls = p->attributes & TDX_ATTR_SEPT_VE_DISABLE ?
                 TDX_TD_CTLS_PENDING_VE_DISABLE : 0;
    t->notify_enables = t->hp_lock_timeout = t->feature_paravirt_ctrl = 0;
    t->xbuff_size = xbuff_size(m, p->xfam);
    memcpy(t->mrconfigid, p->mrconfigid, sizeof(t->mrconfigid));
    memcpy(t->mrowner, p->mrowner, sizeof(t->mrowner));
    memcpy(t->mrownerconfig, p->mrownerconfig, sizeof(t->mrownerconfig));
}

static void set_arch_capabilities(TdxMod *m, Td *td)
{
    bool spec_ctrl = cpuid_td_reg(m, td, 7, 0, CPUID_EDX) >> 26 & 1;

    td->tdcs->arch_capabilities = ARCH_CAP_BASE | (spec_ctrl ? ARCH_CAP_IBRS_ALL : 0);
}

/*
 * TD_PARAMS is copied to the TDCS only after all checks: a failed
 * TDH.MNG.INIT leaves the TD as it was.
 */
uint64_t td_params_apply(TdxCall *c, Td *td, const struct td_params *p)
{
    struct tdcs_cpuid *cpuid = td_tdcs_page(c->m, td, TDCS_CPUID);
    uint8_t *bitmap = td_tdcs_page(c->m, td, TDCS_MSR_BITMAP);
    struct tdcs_cpuid values;
    struct tdcs tdcs;
    uint64_t st, where = 0;

    st = check_before_cpuid(c->m, p);
    if (st) {
        return st;
    }
    if (!cpuid || !bitmap) {
        return TDX_TDCS_NOT_ALLOCATED;
    }
    tdcs = *td->tdcs;
    tdcs.attributes = p->attributes;
    tdcs.xfam = p->xfam;
    tdcs.tsc_frequency = p->tsc_frequency;
    st = cpuid_build(c->m, &tdcs, p, &values, &where);
    if (st) {
        c->gpr[TDX_RCX] = where;
        return st;
    }
    st = check_after_cpuid(c->m, p);
    if (st) {
        return st;
    }

    td->tdcs->num_cpuid_values = tdcs.num_cpuid_values;
    td->tdcs->cpuid_flags = tdcs.cpuid_flags;
    td->tdcs->virt_fms = tdcs.virt_fms;
    td->tdcs->topology_enum_configured = tdcs.topology_enum_configured;
    td->tdcs->ve_reduction_valid = tdcs.ve_reduction_valid;
    *cpuid = values;
    apply(c->m, td, p);
    set_tsc(c->m, td->tdcs);
    set_arch_capabilities(c->m, td);
    msr_build_bitmap(c->m, td, bitmap);
    tdx_written(c->m, td->tdr->tdcx_pa[TDCS_CPUID], TDX_PAGE_SIZE);
    tdx_written(c->m, td->tdr->tdcx_pa[TDCS_MSR_BITMAP], TDX_PAGE_SIZE);
    td_written(c->m, td);
    return TDX_SUCCESS;
}
