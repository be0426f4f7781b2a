/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metadata fields of VCPU scope: TDVPR and the TD VMCS, for TDH.VP.RD/WR and
 * TDG.VP.RD/WR.
 */
#include "metadata.h"
#include "guest.h"

#define AT(type, member)        (offsetof(type, member) | \
                                 (uint64_t)sizeof(((type *)0)->member) << 32)

static bool get_vp(const MdContext *x, const MdField *f, unsigned element,
                   uint64_t *value)
{
    size_t size = f->arg >> 32;

    *value = 0;
    memcpy(value, (uint8_t *)x->vcpu->vp + (uint32_t)f->arg + element * size, size);
    return true;
}

static uint64_t set_vp_byte(const MdContext *x, const MdField *f, unsigned element,
                            uint64_t old, uint64_t value)
{
    (void)old;
    ((uint8_t *)x->vcpu->vp)[(uint32_t)f->arg + element] = value;
    vcpu_written(x->c->m, x->vcpu);
    return TDX_SUCCESS;
}

static bool get_state_details(const MdContext *x, const MdField *f, unsigned element,
                              uint64_t *value)
{
    (void)f, (void)element;
    *value = guest_interrupt_pending(x->c->m, x->vcpu);
    return true;
}

static bool get_vmcs(const MdContext *x, const MdField *f, unsigned element,
                     uint64_t *value)
{
    uint32_t encoding = TDX_FIELD_CODE(f->id) + element;

    *value = vmcs_read(x->vcpu->vmcs, encoding);
    return vmcs_slot(encoding) >= 0;
}

static uint64_t set_vmcs(const MdContext *x, const MdField *f, unsigned element,
                         uint64_t old, uint64_t value)
{
    (void)element, (void)old;
    vmcs_write(x->vcpu->vmcs, TDX_FIELD_CODE(f->id), value);
    vcpu_written(x->c->m, x->vcpu);
    return TDX_SUCCESS;
}

/* A shared physical address; arg is its alignment. */
static uint64_t set_shared_pa(const MdContext *x, const MdField *f, unsigned element,
                              uint64_t old, uint64_t value)
{
    uint64_t pa = value;

    if (!tdx_shared_hpa(x->c->m, &pa, f->arg)) {
        return TDX_METADATA_FIELD_VALUE_NOT_VALID;
    }
    return set_vmcs(x, f, element, old, value);
}

/* Posted interrupts need their vector and descriptor, which start invalid. */
static uint64_t set_pin_controls(const MdContext *x, const MdField *f,
                                 unsigned element, uint64_t old, uint64_t value)
{
    const Vmcs *v = x->vcpu->vmcs;

    if (value & ~old & PIN_POSTED_INTR) {
        if (vmcs_read(v, VMCS_POSTED_INTR_NV) > 255) {
            return tdx_operand(TDX_TD_VMCS_FIELD_NOT_INITIALIZED, VMCS_POSTED_INTR_NV);
        }
        if (vmcs_read(v, VMCS_POSTED_INTR_DESC) == UINT64_MAX) {
            return tdx_operand(TDX_TD_VMCS_FIELD_NOT_INITIALIZED,
                               VMCS_POSTED_INTR_DESC);
        }
    }
    return set_vmcs(x, f, element, old, value);
}

/* Bus-lock detection and notify exits: the processor has neither. */
static uint64_t set_secondary(const MdContext *x, const MdField *f, unsigned element,
                              uint64_t old, uint64_t value)
{
    if (value & ~old) {
        return TDX_METADATA_FIELD_VALUE_NOT_VALID;
    }
    return set_vmcs(x, f, element, old, value);
}

#define H               MD_HOST
#define HG              (MD_HOST | MD_GUEST)
#define VP(id, member, who) \
    { TDX_MD_VCPU_##id, 0, who, 0, 0, get_vp, NULL, AT(struct tdvpr, member) }
#define VMCS_RO(field, size_code) \
    { TDX_MD_VMCS(field, size_code), 0, H, 0, 0, get_vmcs, NULL, 0 }
/* Guest state: a debug TD's only, and there are none. */
#define GUEST_STATE(first, count, size_code) \
    { TDX_MD_VMCS(first, size_code), 2 * (count), 0, 0, 0, NULL, NULL, 0 }

static const MdField fields[] = {
    { TDX_MD_VMCS(VMCS_POSTED_INTR_NV, 1), 0, H, 0xffff, 0, get_vmcs, set_vmcs, 0 },
    GUEST_STATE(VMCS_GUEST_ES_SEL, 9, 1),
    VMCS_RO(VMCS_TSC_OFFSET, 3),
    VMCS_RO(VMCS_VIRTUAL_APIC_ADDR, 3),
    { TDX_MD_VMCS(VMCS_POSTED_INTR_DESC, 3), 0, H, UINT64_MAX, 0, get_vmcs,
      set_shared_pa, 64 },
    VMCS_RO(VMCS_EPT_POINTER, 3),
    VMCS_RO(VMCS_TSC_MULTIPLIER, 3),
    VMCS_RO(VMCS_TERTIARY_CONTROLS, 3),
    { TDX_MD_VMCS(VMCS_SHARED_EPT_POINTER, 3), 0, H, 0x000ffffffffff000ull, 0, get_vmcs,
      set_shared_pa, TDX_PAGE_SIZE },
    GUEST_STATE(VMCS_GUEST_DEBUGCTL, 4, 3),
    { TDX_MD_VMCS(VMCS_PIN_CONTROLS, 2), 0, H, PIN_POSTED_INTR, 0, get_vmcs,
      set_pin_controls, 0 },
    VMCS_RO(VMCS_PRIMARY_CONTROLS, 2),
    VMCS_RO(VMCS_EXCEPTION_BITMAP, 2),
    VMCS_RO(VMCS_EXIT_CONTROLS, 2),
    VMCS_RO(VMCS_ENTRY_CONTROLS, 2),
    { TDX_MD_VMCS(VMCS_SECONDARY_CONTROLS, 2), 0, H, 3u << 30, 0, get_vmcs,
      set_secondary, 0 },
    { TDX_MD_VMCS(VMCS_NOTIFY_WINDOW, 2), 0, H, UINT32_MAX, 0, get_vmcs, set_vmcs, 0 },
    VMCS_RO(VMCS_TD_HKID, 2),
    GUEST_STATE(VMCS_GUEST_ES_LIMIT, 22, 2),
    GUEST_STATE(VMCS_GUEST_CR0, 20, 3),

    { TDX_FIELD_ID(0, 16, TDX_CONTEXT_VCPU, 3, 0), 16, 0, 0, 0, NULL, NULL, 0 },
    { TDX_MD_VCPU_STATE_DETAILS, 0, H, 0, 0, get_state_details, NULL, 0 },
    VP(INDEX, vcpu_index, HG),
    VP(NUM_TDCX, num_tdcx, H),
    VP(ASSOC_LPID, assoc_lpid, H),
    VP(EPOCH, vcpu_epoch, H),
    { TDX_MD_VCPU_CPUID_SUPERVISOR_VE, 0, MD_GUEST, 0, 1, get_vp, set_vp_byte,
      AT(struct tdvpr, cpuid_supervisor_ve) },
    { TDX_MD_VCPU_CPUID_USER_VE, 0, MD_GUEST, 0, 1, get_vp, set_vp_byte,
      AT(struct tdvpr, cpuid_user_ve) },
    { TDX_MD_VCPU_PEND_NMI, 0, H, 1, 0, get_vp, set_vp_byte,
      AT(struct tdvpr, pend_nmi) },
    { TDX_MD_VCPU_CPUID_CONTROL, 128, MD_GUEST, 0, 3, get_vp, set_vp_byte,
      offsetof(struct tdvpr, cpuid_control) | 1ull << 32 },
};

const MdTable md_vcpu = { fields, G_N_ELEMENTS(fields) };
