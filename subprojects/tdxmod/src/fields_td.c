/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metadata fields of TD scope: TDR and TDCS, for TDH.MNG.RD/WR and TDG.VM.RD/WR.
 */
#include "metadata.h"
#include "guest.h"

/* MdField.arg of a plain field: offset and element size in a structure. */
#define AT(type, member, size)  (offsetof(type, member) | (uint64_t)(size) << 32)
#define PLAIN(type, member)     AT(type, member, sizeof(((type *)0)->member))

static uint64_t load(const void *base, uint64_t arg, unsigned element)
{
    size_t size = arg >> 32;
    uint64_t value = 0;

    memcpy(&value, (const uint8_t *)base + (uint32_t)arg + element * size, size);
    return value;
}

static bool get_tdr(const MdContext *x, const MdField *f, unsigned element,
                    uint64_t *value)
{
    *value = load(x->td->tdr, f->arg, element);
    return true;
}

static bool get_tdcs(const MdContext *x, const MdField *f, unsigned element,
                     uint64_t *value)
{
    *value = load(x->td->tdcs, f->arg, element);
    return true;
}

static bool get_virtual_tsc(const MdContext *x, const MdField *f, unsigned element,
                            uint64_t *value)
{
    const struct tdcs *t = x->td->tdcs;
    TdxMod *m = x->c->m;
    unsigned __int128 tsc = m->platform.tsc(m->platform.opaque);

    (void)f, (void)element;
    *value = (uint64_t)(tsc * t->tsc_multiplier >> 48) + t->tsc_offset;
    return true;
}

static bool get_cpuid(const MdContext *x, const MdField *f, unsigned element,
                      uint64_t *value)
{
    uint32_t subleaf = TDX_CPUID_CODE_SUBLEAF(element);
    struct tdx_cpuid_value v;

    (void)f;
    if (TDX_CPUID_CODE_NO_SUBLEAF(element)) {
        if (subleaf != 0x7f) {
            return false;
        }
        subleaf = CPUID_NO_SUBLEAF;
    }
    if (!cpuid_td_value(x->c->m, x->td, TDX_CPUID_CODE_LEAF(element), subleaf, &v)) {
        return false;
    }
    *value = TDX_CPUID_CODE_ELEMENT(element) ? v.ecx | (uint64_t)v.edx << 32
                                             : v.eax | (uint64_t)v.ebx << 32;
    return true;
}

/* The guest's vCPUs may write at once: only one write that saw @old succeeds. */
static uint64_t swap_tdcs(const MdContext *x, uint64_t *field, uint64_t old,
                          uint64_t value)
{
    if (!__atomic_compare_exchange_n(field, &old, value, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST)) {
        return tdx_operand(TDX_OPERAND_BUSY, TDX_OPERAND_ID_TDCS);
    }
    td_written(x->c->m, x->td);
    return TDX_SUCCESS;
}

static uint64_t set_notify_enables(const MdContext *x, const MdField *f,
                                   unsigned element, uint64_t old, uint64_t value)
{
    (void)f, (void)element;
    return swap_tdcs(x, &x->td->tdcs->notify_enables, old, value);
}

static uint64_t set_hp_lock_timeout(const MdContext *x, const MdField *f,
                                    unsigned element, uint64_t old, uint64_t value)
{
    (void)f, (void)element;
    return swap_tdcs(x, &x->td->tdcs->hp_lock_timeout, old, value);
}

static uint64_t set_feature_paravirt(const MdContext *x, const MdField *f,
                                     unsigned element, uint64_t old, uint64_t value)
{
    (void)f, (void)element;
    return swap_tdcs(x, &x->td->tdcs->feature_paravirt_ctrl, old, value);
}

/* TD_CTLS: what each bit needs; see the ABI's section on TDG.VM.WR. */
static uint64_t set_td_ctls(const MdContext *x, const MdField *f, unsigned element,
                            uint64_t old, uint64_t value)
{
    struct tdcs *t = x->td->tdcs;
    uint64_t newly = value & ~old;

    (void)f, (void)element;
    if (old & TDX_TD_CTLS_LOCK) {
        return TDX_METADATA_FIELD_CURRENTLY_NOT_WRITABLE;
    }
    if (((old ^ value) & TDX_TD_CTLS_PENDING_VE_DISABLE &&
         !(t->config_flags & TDX_CONFIG_FLEXIBLE_PENDING_VE)) ||
        (newly & TDX_TD_CTLS_ENUM_TOPOLOGY && !t->topology_enum_configured) ||
        (newly & TDX_TD_CTLS_REDUCE_VE && !t->ve_reduction_valid)) {
        return TDX_METADATA_FIELD_VALUE_NOT_VALID;
    }
    if (value & TDX_TD_CTLS_REDUCE_VE) {
        value |= TDX_TD_CTLS_ENUM_TOPOLOGY | TDX_TD_CTLS_VIRT_CPUID2;
    }
    return swap_tdcs(x, &t->td_ctls, old, value);
}

#define H       MD_HOST
#define HG      (MD_HOST | MD_GUEST)
#define G       MD_GUEST
#define TDR(id, member, who) \
    { TDX_MD_TDR_##id, 0, who, 0, 0, get_tdr, NULL, PLAIN(struct tdr, member) }
#define TDCS(id, member, who) \
    { TDX_MD_TDCS_##id, 0, who, 0, 0, get_tdcs, NULL, PLAIN(struct tdcs, member) }
#define TDCS_BYTES(id, member, words, who) \
    { TDX_MD_TDCS_##id, words, who, 0, 0, get_tdcs, NULL, AT(struct tdcs, member, 8) }

static const MdField fields[] = {
    TDR(FATAL, fatal, H),
    TDR(NUM_TDCX, num_tdcx, H),
    TDR(CHLDCNT, chldcnt, H),
    TDR(LIFECYCLE_STATE, lifecycle, H),
    { TDX_MD_TDR_TDCX_PA, TDCS_PAGES, H, 0, 0, get_tdr, NULL,
      AT(struct tdr, tdcx_pa, 8) },
    { TDX_MD_TDR_TD_UUID, 4, HG, 0, 0, get_tdr, NULL, AT(struct tdr, td_uuid, 8) },
    TDR(HKID, hkid, H),
    TDR(PKG_CONFIG_BITMAP, pkg_config_bitmap, H),

    TDCS(NUM_VCPUS, num_vcpus, HG),
    TDCS(NUM_ASSOC_VCPUS, num_assoc_vcpus, H),
    TDCS(OP_STATE, op_state, H),
    TDCS(NUM_L2_VMS, num_l2_vms, HG),

    TDCS(ATTRIBUTES, attributes, HG),
    TDCS(XFAM, xfam, HG),
    TDCS(MAX_VCPUS, max_vcpus, HG),
    TDCS(GPAW, gpaw, HG),
    TDCS(EPTP, eptp, H),
    TDCS(TSC_OFFSET, tsc_offset, H),
    TDCS(TSC_MULTIPLIER, tsc_multiplier, H),
    TDCS(TSC_FREQUENCY, tsc_frequency, HG),
    { TDX_MD_TDCS_VIRTUAL_TSC, 0, H, 0, 0, get_virtual_tsc, NULL, 0 },
    TDCS(NUM_CPUID_VALUES, num_cpuid_values, H),
    TDCS(XBUFF_SIZE, xbuff_size, H),
    { TDX_MD_TDCS_NOTIFY_ENABLES, 0, HG, 0, 1, get_tdcs, set_notify_enables,
      PLAIN(struct tdcs, notify_enables) },
    { TDX_MD_TDCS_HP_LOCK_TIMEOUT, 0, G, 0, UINT64_MAX, get_tdcs, set_hp_lock_timeout,
      PLAIN(struct tdcs, hp_lock_timeout) },
    TDCS(CONFIG_FLAGS, config_flags, HG),
    { TDX_MD_TDCS_TD_CTLS, 0, HG, 0,
      TDX_TD_CTLS_PENDING_VE_DISABLE | TDX_TD_CTLS_ENUM_TOPOLOGY |
      TDX_TD_CTLS_VIRT_CPUID2 | TDX_TD_CTLS_REDUCE_VE | TDX_TD_CTLS_LOCK,
      get_tdcs, set_td_ctls, PLAIN(struct tdcs, td_ctls) },
    { TDX_MD_TDCS_FEATURE_PARAVIRT_CTRL, 0, HG, 0, 0xfff, get_tdcs,
      set_feature_paravirt, PLAIN(struct tdcs, feature_paravirt_ctrl) },
    TDCS(TOPOLOGY_ENUM_CONFIGURED, topology_enum_configured, HG),

    TDCS(TD_EPOCH, td_epoch, H),
    { TDX_MD_TDCS_REFCOUNT, 2, H, 0, 0, get_tdcs, NULL, AT(struct tdcs, refcount, 4) },

    TDCS_BYTES(MRTD, mrtd, 6, HG),
    TDCS_BYTES(MRCONFIGID, mrconfigid, 6, HG),
    TDCS_BYTES(MROWNER, mrowner, 6, HG),
    TDCS_BYTES(MROWNERCONFIG, mrownerconfig, 6, HG),
    TDCS_BYTES(RTMR, rtmr, 24, HG),
    TDCS(ARCH_CAPABILITIES, arch_capabilities, HG),
    TDCS_BYTES(SERVTD_HASH, servtd_hash, 6, HG),
    { TDX_MD_TDCS_CPUID_VALUES, 0x20000, HG, 0, 0, get_cpuid, NULL, 0 },
};

const MdTable md_td = { fields, G_N_ELEMENTS(fields) };
