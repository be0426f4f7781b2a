/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metadata of global scope: TDH.SYS.RD and TDG.SYS.RD.
 */
#include <stddef.h>
#include "metadata.h"
#include "guest.h"

#define CMRS_REPORTED           32
#define CPUID_CONFIG_ROOM       128     /* elements a host may try to read */
#define HANDOFF_VERSION         1

static bool get_const(const MdContext *x, const MdField *f, unsigned element,
                      uint64_t *value)
{
    (void)x;
    (void)element;
    *value = f->arg;
    return true;
}

/* 64-bit members of struct TdxMod; arg: offset. */
static bool get_mod64(const MdContext *x, const MdField *f, unsigned element,
                      uint64_t *value)
{
    (void)element;
    memcpy(value, (const uint8_t *)x->c->m + f->arg, sizeof(*value));
    return true;
}

/* 16- and 32-bit members of struct TdxModConfig; arg: offset, size in 63:32. */
static bool get_config(const MdContext *x, const MdField *f, unsigned element,
                       uint64_t *value)
{
    (void)element;
    *value = 0;
    memcpy(value, (const uint8_t *)&x->c->m->config + (uint32_t)f->arg, f->arg >> 32);
    return true;
}

static bool get_pkg_fms(const MdContext *x, const MdField *f, unsigned element,
                        uint64_t *value)
{
    TdxPlatform *p = &x->c->m->platform;
    uint32_t out[4];

    (void)f;
    if (element >= x->c->m->config.num_pkgs) {
        return false;
    }
    p->cpuid(p->opaque, 1, 0, out);
    *value = out[0];
    return true;
}

/* arg: 0 base, 1 size */
static bool get_cmr(const MdContext *x, const MdField *f, unsigned element,
                    uint64_t *value)
{
    const TdxModConfig *config = &x->c->m->config;

    *value = 0;
    if (element < config->num_cmrs) {
        *value = f->arg ? config->cmr[element].size : config->cmr[element].base;
    }
    return true;
}

/* KeyID bits that a PA of MAXPA bits must give up for Dynamic PAMT. */
static bool get_dpamt_hkid_bits(const MdContext *x, const MdField *f,
                                unsigned element, uint64_t *value)
{
    (void)f;
    (void)element;
    *value = MAX(x->c->m->config.max_pa, TDX_DYNAMIC_PAMT_MAX_PA) -
             TDX_DYNAMIC_PAMT_MAX_PA;
    return true;
}

static bool get_num_cpuid_config(const MdContext *x, const MdField *f,
                                 unsigned element, uint64_t *value)
{
    (void)f;
    (void)element;
    *value = cpuid_config_count(x->c->m);
    return true;
}

static bool get_cpuid_config_leaf(const MdContext *x, const MdField *f,
                                  unsigned element, uint64_t *value)
{
    struct tdx_cpuid_value mask;
    uint32_t leaf, subleaf;

    (void)f;
    *value = UINT64_MAX;
    if (cpuid_config(x->c->m, element, &leaf, &subleaf, &mask)) {
        *value = leaf | (uint64_t)subleaf << 32;
    }
    return true;
}

static bool get_cpuid_config_value(const MdContext *x, const MdField *f,
                                   unsigned element, uint64_t *value)
{
    struct tdx_cpuid_value mask;
    uint32_t leaf, subleaf;

    (void)f;
    *value = UINT64_MAX;
    if (cpuid_config(x->c->m, element / 2, &leaf, &subleaf, &mask)) {
        *value = element % 2 ? mask.ecx | (uint64_t)mask.edx << 32
                             : mask.eax | (uint64_t)mask.ebx << 32;
    }
    return true;
}

#define ANYONE          (MD_HOST | MD_GUEST)
#define CONST(id_, who, value) \
    { .id = TDX_MD_##id_, .read = who, .get = get_const, .arg = value }
#define MOD(id_, member) \
    { .id = TDX_MD_##id_, .read = MD_HOST, .get = get_mod64, \
      .arg = offsetof(struct TdxMod, member) }
#define CONFIG(id_, who, member) \
    { .id = TDX_MD_##id_, .read = who, .get = get_config, \
      .arg = offsetof(TdxModConfig, member) | \
             (uint64_t)sizeof(((TdxModConfig *)0)->member) << 32 }

static const MdField sys_fields[] = {
    CONFIG(NUM_PKGS, MD_HOST, num_pkgs),
    { .id = TDX_MD_PKG_FMS, .elements = TDXMOD_MAX_LPS, .read = MD_HOST,
      .get = get_pkg_fms },
    CONST(VENDOR_ID, ANYONE, 0x8086),
    CONFIG(BUILD_DATE, ANYONE, build_date),
    CONFIG(BUILD_NUM, ANYONE, build_num),
    CONFIG(MINOR_VERSION, ANYONE, minor),
    CONFIG(MAJOR_VERSION, ANYONE, major),
    CONFIG(UPDATE_VERSION, ANYONE, update),
    CONST(INTERNAL_VERSION, ANYONE, 0),
    CONST(MODULE_HV, MD_HOST, HANDOFF_VERSION),
    CONST(MIN_UPDATE_HV, MD_HOST, HANDOFF_VERSION),
    CONST(NO_DOWNGRADE, MD_HOST, 0),
    CONST(NUM_HANDOFF_PAGES, MD_HOST, 1),
    CONST(SYS_ATTRIBUTES, ANYONE, 0),
    CONST(NUM_TDX_FEATURES, ANYONE, 1),
    { .id = TDX_MD_FEATURES0, .read = ANYONE, .get = get_mod64,
      .arg = offsetof(struct TdxMod, features0) },
    CONST(NUM_CMRS, MD_HOST, CMRS_REPORTED),
    { .id = TDX_MD_CMR_BASE, .elements = CMRS_REPORTED, .read = MD_HOST,
      .get = get_cmr, .arg = 0 },
    { .id = TDX_MD_CMR_SIZE, .elements = CMRS_REPORTED, .read = MD_HOST,
      .get = get_cmr, .arg = 1 },
    CONST(MAX_TDMRS, MD_HOST, TDX_MAX_TDMRS),
    CONST(MAX_RESERVED_PER_TDMR, MD_HOST, TDX_MAX_RESERVED),
    CONST(PAMT_4K_ENTRY_SIZE, MD_HOST, TDX_PAMT_ENTRY_SIZE),
    CONST(PAMT_2M_ENTRY_SIZE, MD_HOST, TDX_PAMT_ENTRY_SIZE),
    CONST(PAMT_1G_ENTRY_SIZE, MD_HOST, TDX_PAMT_ENTRY_SIZE),
    { .id = TDX_MD_PAMT_PAGE_BITMAP_BITS, .read = MD_HOST, .get = get_const,
      .arg = 1, .dynamic_pamt = true },
    { .id = TDX_MD_MIN_DPAMT_HKID_BITS, .read = MD_HOST,
      .get = get_dpamt_hkid_bits, .dynamic_pamt = true },
    CONST(TDR_BASE_SIZE, MD_HOST, TDX_PAGE_SIZE),
    CONST(TDCS_BASE_SIZE, MD_HOST, TDCS_PAGES * TDX_PAGE_SIZE),
    CONST(TDCS_PER_L2, MD_HOST, TDX_PAGE_SIZE),
    CONST(TDVPS_BASE_SIZE, MD_HOST, TDXMOD_TDVPS_PAGES * TDX_PAGE_SIZE),
    CONST(TDVPS_PER_L2, MD_HOST, 3 * TDX_PAGE_SIZE),
    MOD(ATTRIBUTES_FIXED0, attributes_fixed0),
    MOD(ATTRIBUTES_FIXED1, attributes_fixed1),
    MOD(XFAM_FIXED0, xfam_fixed0),
    MOD(XFAM_FIXED1, xfam_fixed1),
    { .id = TDX_MD_NUM_CPUID_CONFIG, .read = MD_HOST, .get = get_num_cpuid_config },
    MOD(CONFIG_FLAGS_FIXED0, config_flags_fixed0),
    MOD(CONFIG_FLAGS_FIXED1, config_flags_fixed1),
    CONST(MAX_VCPUS_PER_TD, MD_HOST, TDX_MAX_VCPUS_PER_TD),
    CONST(MIN_VIRT_MAXPA, MD_HOST, 36),
    CONST(MAX_EVENT_FILTERS, MD_HOST, 0),
    { .id = TDX_MD_CPUID_CONFIG_LEAVES, .elements = CPUID_CONFIG_ROOM,
      .read = MD_HOST, .get = get_cpuid_config_leaf },
    { .id = TDX_MD_CPUID_CONFIG_VALUES, .elements = 2 * CPUID_CONFIG_ROOM,
      .read = MD_HOST, .get = get_cpuid_config_value },
    CONST(ARCH_CAP_CONFIG_MASK, MD_HOST, 0),
};

const MdTable md_sys = { sys_fields, G_N_ELEMENTS(sys_fields) };
