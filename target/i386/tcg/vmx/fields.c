/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMCS fields: which exist, and how VMREAD and VMWRITE see them (SDM vol. 3,
 * 25.11 and appendix B); the copy between the region in RAM and our cache.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/memory.h"
#include "vmx.h"
#include "ram.h"

/* A run of fields with consecutive indexes. */
struct VmcsFieldInfo {
    uint16_t first, last;
    bool read_only;
};

/* In ascending order.  A field is here if a control of caps.c uses it. */
static const struct VmcsFieldInfo fields[] = {
    { VMCS_VPID, VMCS_POSTED_INTR_NV },
    { VMCS_GUEST_ES_SEL, VMCS_GUEST_PML_INDEX },
    { VMCS_HOST_ES_SEL, VMCS_HOST_TR_SEL },
    { VMCS_IO_BITMAP_A, VMCS_POSTED_INTR_DESC },
    { VMCS_EPT_POINTER, VMCS_EOI_EXIT_BITMAP0 + 6 },
    { VMCS_TSC_MULTIPLIER, VMCS_TSC_MULTIPLIER },
    { VMCS_GUEST_PHYSICAL_ADDR, VMCS_GUEST_PHYSICAL_ADDR, true },
    { VMCS_LINK_POINTER, VMCS_GUEST_EFER },
    { VMCS_GUEST_PDPTE0, VMCS_GUEST_PDPTE0 + 6 },
    { VMCS_HOST_PAT, VMCS_HOST_EFER },
    { VMCS_PIN_CONTROLS, VMCS_PLE_WINDOW },
    { VMCS_INSTRUCTION_ERROR, VMCS_EXIT_INSN_INFO, true },
    { VMCS_GUEST_ES_LIMIT, VMCS_GUEST_SYSENTER_CS },
    { VMCS_PREEMPTION_TIMER, VMCS_PREEMPTION_TIMER },
    { VMCS_HOST_SYSENTER_CS, VMCS_HOST_SYSENTER_CS },
    { VMCS_CR0_MASK, VMCS_CR3_TARGET0 + 6 },
    { VMCS_EXIT_QUALIFICATION, VMCS_GUEST_LINEAR_ADDR, true },
    { VMCS_GUEST_CR0, VMCS_GUEST_SYSENTER_EIP },
    { VMCS_HOST_CR0, VMCS_HOST_RIP },
};

enum { WIDTH_16, WIDTH_64, WIDTH_32, WIDTH_NATURAL };   /* bits 14:13 */

static const uint64_t width_mask[] = {
    [WIDTH_16] = UINT16_MAX,
    [WIDTH_64] = UINT64_MAX,
    [WIDTH_32] = UINT32_MAX,
    [WIDTH_NATURAL] = UINT64_MAX,
};

static unsigned field_width(uint32_t encoding)
{
    return encoding >> 13 & 3;
}

/* Bit 0: the upper half of a 64-bit field (and of no other). */
static bool is_high(uint32_t encoding)
{
    return encoding & 1;
}

/* Row of fields[] with @full, or their number. */
static int find_row(uint32_t full)
{
    int i = 0;

    while (i < ARRAY_SIZE(fields) && (full < fields[i].first || full > fields[i].last)) {
        i++;
    }
    return i;
}

const struct VmcsFieldInfo *vmcs_field_info(uint32_t encoding)
{
    static uint8_t row_of[ARRAY_SIZE(((Vmcs *)0)->field)];      /* + 1; 0: to be found */
    int slot = vmcs_slot(encoding & ~1u), row;

    if (slot < 0 || (is_high(encoding) && field_width(encoding) != WIDTH_64)) {
        return NULL;
    }
    row = qatomic_read(&row_of[slot]);
    if (!row) {
        row = find_row(encoding & ~1u) + 1;
        qatomic_set(&row_of[slot], row);
    }
    return row <= ARRAY_SIZE(fields) ? &fields[row - 1] : NULL;
}

/* VMREAD in 64-bit mode.  False: error 12, unsupported field. */
bool vmcs_field_read(const Vmcs *v, uint32_t encoding, uint64_t *value)
{
    if (!vmcs_field_info(encoding)) {
        return false;
    }
    *value = vmcs_read(v, encoding & ~1u);
    if (is_high(encoding)) {
        *value >>= 32;
    }
    return true;
}

bool vmcs_field_writable(uint32_t encoding)
{
    const struct VmcsFieldInfo *info = vmcs_field_info(encoding);

    return info && !info->read_only;
}

/*
 * VMWRITE: bits beyond the field's width are ignored; any value of the others
 * is accepted, as VM entry is what judges it.  False: error 12 or 13, as
 * vmcs_field_writable() tells.
 */
bool vmcs_field_write(Vmcs *v, uint32_t encoding, uint64_t value)
{
    uint32_t full = encoding & ~1u;

    if (!vmcs_field_writable(encoding)) {
        return false;
    }
    value &= width_mask[field_width(encoding)];
    if (is_high(encoding)) {
        value = value << 32 | (uint32_t)vmcs_read(v, full);
    }
    vmcs_write(v, full, value);
    return true;
}

/* What software scribbled on the region must not exceed a field's width. */
static void clamp_fields(Vmcs *v)
{
    static const struct { uint8_t first, count; } group[] = VMCS_GROUPS;

    for (int g = 0; g < ARRAY_SIZE(group); g++) {
        for (int i = 0; i < group[g].count; i++) {
            v->field[group[g].first + i] &= width_mask[g >> 2];
        }
    }
}

/*
 * The region's format is private to the processor, hence in host byte order.
 * @pa may carry a KeyID.  RAM that is not there reads as zeros: with no valid
 * revision.
 */
void vmcs_load_region(CPUX86State *env, Vmcs *v, uint64_t pa)
{
    memset(v, 0, sizeof(*v));
    address_space_read(env_cpu(env)->as, pa & ~vmx_keyid_mask(),
                       MEMTXATTRS_UNSPECIFIED, v, sizeof(*v));
    clamp_fields(v);
}

void vmcs_store_region(CPUX86State *env, const Vmcs *v, uint64_t pa)
{
    address_space_write(env_cpu(env)->as, pa & ~vmx_keyid_mask(),
                        MEMTXATTRS_UNSPECIFIED, v, sizeof(*v));
}
