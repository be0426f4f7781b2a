/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * APIC virtualisation and virtual interrupts (SDM vol. 3, chapter 30).
 *
 * The virtual-APIC page and the posted-interrupt descriptor are RAM that other
 * CPUs change at any time: each access is atomic, nothing read is trusted.  A
 * page that is not RAM reads as zeros.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/memory.h"
#include "hw/i386/apic.h"
#include "vmx.h"
#include "ram.h"

/* Offsets on the virtual-APIC page */
#define VTPR            0x080
#define VPPR            0x0a0
#define VEOI            0x0b0
#define VICR_LOW        0x300
#define VICR_HIGH       0x310
#define VISR            0x100
#define VIRR            0x200
#define VSELF_IPI       0x3f0

/* The posted-interrupt descriptor (SDM 30.6): PIR, then ON in bit 256 */
#define PID_SIZE        64
#define PID_CONTROL     32
#define PID_ON          1u

#define X2APIC_MSR      0x800
#define X2APIC_TPR      0x808
#define X2APIC_EOI      0x80b
#define X2APIC_SELF_IPI 0x83f
#define APIC_EOI        0x0b0

/* --- the virtual-APIC page ---------------------------------------------- */

static bool vapic_map(CPUX86State *env, VmxRam *page)
{
    return vmx_ram_map(env, env->vmx->vapic_page & TARGET_PAGE_MASK,
                       TARGET_PAGE_SIZE, true, page);
}

static uint32_t *vapic_reg(const VmxRam *page, unsigned offset)
{
    return (uint32_t *)((uint8_t *)page->host + offset);
}

static uint32_t vapic_read(const VmxRam *page, unsigned offset)
{
    return page->host ? le32_to_cpu(qatomic_read(vapic_reg(page, offset))) : 0;
}

static void vapic_write(const VmxRam *page, unsigned offset, uint32_t value)
{
    if (page->host) {
        qatomic_set(vapic_reg(page, offset), cpu_to_le32(value));
        vmx_ram_dirty(page, offset, sizeof(value));
    }
}

/* VIRR and VISR: 256 bits in eight registers, 16 bytes apart. */
static unsigned vector_reg(unsigned base, uint8_t vector)
{
    return base + (vector / 32) * 16;
}

static void vector_set(const VmxRam *page, unsigned base, uint8_t vector)
{
    unsigned offset = vector_reg(base, vector);

    if (page->host) {
        qatomic_or(vapic_reg(page, offset), cpu_to_le32(1u << (vector % 32)));
        vmx_ram_dirty(page, offset, sizeof(uint32_t));
    }
}

static void vector_clear(const VmxRam *page, unsigned base, uint8_t vector)
{
    unsigned offset = vector_reg(base, vector);

    if (page->host) {
        qatomic_and(vapic_reg(page, offset), cpu_to_le32(~(1u << (vector % 32))));
        vmx_ram_dirty(page, offset, sizeof(uint32_t));
    }
}

/* The highest vector; 0 if there is none, as RVI and SVI have it. */
static uint8_t vector_highest(const VmxRam *page, unsigned base)
{
    for (int i = 7; i >= 0; i--) {
        uint32_t bits = vapic_read(page, base + i * 16);

        if (bits) {
            return i * 32 + 31 - clz32(bits);
        }
    }
    return 0;
}

/* --- guest interrupt status: RVI in bits 7:0, SVI in bits 15:8 ----------- */

static uint8_t get_rvi(CPUX86State *env)
{
    return vmcs_read(env->vmx->cur, VMCS_GUEST_INTR_STATUS);
}

static uint8_t get_svi(CPUX86State *env)
{
    return vmcs_read(env->vmx->cur, VMCS_GUEST_INTR_STATUS) >> 8;
}

static void set_status(CPUX86State *env, uint8_t rvi, uint8_t svi)
{
    vmcs_write(env->vmx->cur, VMCS_GUEST_INTR_STATUS, svi << 8 | rvi);
}

static bool has_vid(CPUX86State *env)
{
    return env->vmx->cpu2 & CPU2_VINTR_DELIVERY;
}

/* PPR virtualisation (30.1.3) */
static void update_vppr(CPUX86State *env, const VmxRam *page)
{
    uint8_t tpr = vapic_read(page, VTPR);
    uint8_t svi = get_svi(env);

    vapic_write(page, VPPR, tpr >> 4 >= svi >> 4 ? tpr : svi & 0xf0);
}

/* --- virtual interrupts (30.2) ------------------------------------------ */

bool vmx_vintr_pending(CPUX86State *env)
{
    uint8_t rvi;
    VmxRam page;

    if (!has_vid(env)) {
        return false;
    }
    rvi = get_rvi(env);
    if (rvi < 16 || !vapic_map(env, &page)) {
        return false;
    }
    return rvi >> 4 > (vapic_read(&page, VPPR) & 0xff) >> 4;
}

void vmx_apicv_entry(CPUX86State *env)
{
    VmxRam page;

    vapic_map(env, &page);
    if (has_vid(env)) {
        update_vppr(env, &page);
        vmx_update_pending(env);
    } else if (env->vmx->cpu2 & CPU2_APIC_ACCESS) {
        /* 27.7.7; without the page the check of controls has seen to it */
        env->vmx->tpr_below = vapic_read(&page, VTPR) >> 4 <
                              vmcs_read(env->vmx->cur, VMCS_TPR_THRESHOLD);
    }
}

uint8_t vmx_vintr_deliver(CPUX86State *env)
{
    uint8_t vector = get_rvi(env);
    VmxRam page;

    vapic_map(env, &page);
    vector_set(&page, VISR, vector);
    vapic_write(&page, VPPR, vector & 0xf0);
    vector_clear(&page, VIRR, vector);
    set_status(env, vector_highest(&page, VIRR), vector);
    vmx_update_pending(env);
    return vector;
}

/* EOI virtualisation (30.1.4); may exit. */
static void virtual_eoi(CPUX86State *env, const VmxRam *page, uintptr_t ra)
{
    uint8_t vector = get_svi(env);
    uint64_t bitmap = vmcs_read(env->vmx->cur,
                                VMCS_EOI_EXIT_BITMAP0 + vector / 64 * 2);

    vector_clear(page, VISR, vector);
    set_status(env, get_rvi(env), vector_highest(page, VISR));
    update_vppr(env, page);
    vmx_update_pending(env);
    if (bitmap >> (vector % 64) & 1) {
        vmx_exit_trap(env, VMX_EXIT_EOI, vector, ra);
    }
}

/* Self-IPI virtualisation (30.1.5) */
static void virtual_self_ipi(CPUX86State *env, const VmxRam *page,
                             uint8_t vector)
{
    vector_set(page, VIRR, vector);
    set_status(env, MAX(get_rvi(env), vector), get_svi(env));
    vmx_update_pending(env);
}

/* --- the task priority -------------------------------------------------- */

uint64_t vmx_read_vtpr_cr8(CPUX86State *env)
{
    VmxRam page;

    vapic_map(env, &page);
    return vapic_read(&page, VTPR) >> 4 & 15;
}

/* TPR virtualisation (30.1.2) */
void vmx_write_vtpr(CPUX86State *env, uint8_t tpr, uintptr_t ra)
{
    uint32_t threshold = vmcs_read(env->vmx->cur, VMCS_TPR_THRESHOLD) & 15;
    VmxRam page;

    vapic_map(env, &page);
    vapic_write(&page, VTPR, tpr);
    if (has_vid(env)) {
        update_vppr(env, &page);
        vmx_update_pending(env);
    } else if (tpr >> 4 < threshold) {
        vmx_exit_trap(env, VMX_EXIT_TPR_THRESHOLD, 0, ra);
    }
}

/* --- APIC-write emulation (30.4.3.2) ------------------------------------ */

/* A fixed, edge-triggered interrupt to itself, of no reserved vector or bit. */
static bool is_self_ipi(uint32_t icr)
{
    const uint32_t shorthand = 3u << 18, self = 1u << 18;
    const uint32_t zero = 0xfff33000 | 1u << 15 | 7u << 8;

    return (icr & shorthand) == self && !(icr & zero) && (icr & 0xf0);
}

void vmx_apic_write_emulation(CPUX86State *env)
{
    unsigned offset = env->vmx->apic_write_offset;
    uint32_t value;
    VmxRam page;

    env->vmx->apic_write_pending = false;
    vapic_map(env, &page);
    value = vapic_read(&page, offset & 0xff0);
    switch (offset & 0xff0) {
    case VTPR:
        vmx_write_vtpr(env, value, 0);
        return;
    case VEOI:
        if (has_vid(env)) {
            vapic_write(&page, VEOI, 0);
            virtual_eoi(env, &page, 0);
            return;
        }
        break;
    case VICR_LOW:
        if (has_vid(env) && is_self_ipi(value)) {
            virtual_self_ipi(env, &page, value);
            return;
        }
        break;
    case VICR_HIGH:
        vapic_write(&page, VICR_HIGH, value & 0xff000000);
        return;
    }
    vmx_exit_trap(env, VMX_EXIT_APIC_WRITE, offset, 0);
}

/* --- x2APIC MSRs (30.5) ------------------------------------------------- */

bool vmx_x2apic_rdmsr(CPUX86State *env, uint32_t msr, uint64_t *val)
{
    unsigned offset = (msr - X2APIC_MSR) << 4;
    VmxRam page;

    if (!(env->vmx->cpu2 & CPU2_X2APIC) || msr - X2APIC_MSR > 0xff ||
        (msr != X2APIC_TPR && !(env->vmx->cpu2 & CPU2_APIC_REGISTER))) {
        return false;
    }
    vapic_map(env, &page);
    *val = vapic_read(&page, offset) |
           (uint64_t)vapic_read(&page, offset + 4) << 32;
    return true;
}

static void check_reserved(CPUX86State *env, uint64_t bits, uintptr_t ra)
{
    if (bits) {
        raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);
    }
}

static void write_self_ipi(CPUX86State *env, uint8_t vector, uintptr_t ra)
{
    VmxRam page;

    vapic_map(env, &page);
    vapic_write(&page, VSELF_IPI, vector);
    vapic_write(&page, VSELF_IPI + 4, 0);
    if (vector < 16) {
        vmx_exit_trap(env, VMX_EXIT_APIC_WRITE, VSELF_IPI, ra);
    }
    virtual_self_ipi(env, &page, vector);
}

static void write_eoi(CPUX86State *env, uintptr_t ra)
{
    VmxRam page;

    vapic_map(env, &page);
    vapic_write(&page, VEOI, 0);
    vapic_write(&page, VEOI + 4, 0);
    virtual_eoi(env, &page, ra);
}

bool vmx_x2apic_wrmsr(CPUX86State *env, uint32_t msr, uint64_t val, uintptr_t ra)
{
    if (!(env->vmx->cpu2 & CPU2_X2APIC) ||
        (msr != X2APIC_TPR && !has_vid(env))) {
        return false;
    }
    switch (msr) {
    case X2APIC_TPR:
        check_reserved(env, val & ~0xffull, ra);
        vmx_write_vtpr(env, val, ra);
        return true;
    case X2APIC_EOI:
        check_reserved(env, val, ra);
        write_eoi(env, ra);
        return true;
    case X2APIC_SELF_IPI:
        check_reserved(env, val & ~0xffull, ra);
        write_self_ipi(env, val, ra);
        return true;
    default:
        return false;
    }
}

/* --- posted interrupts (30.6) ------------------------------------------- */

/*
 * End the notification in the real local APIC.  Its registers act on the
 * current CPU, which is ours.
 */
static void lapic_eoi(CPUX86State *env)
{
    DeviceState *apic = env_archcpu(env)->apic_state;

    if (!apic) {
        return;
    }
    if (is_x2apic_mode(apic)) {
        apic_msr_write(X2APIC_EOI - X2APIC_MSR, 0);
    } else {
        hwaddr base = cpu_get_apic_base(apic) & TARGET_PAGE_MASK;

        address_space_stl_le(env_cpu(env)->as, base + APIC_EOI, 0,
                             MEMTXATTRS_UNSPECIFIED, NULL);
    }
}

/* Move @bits of PIR, for the vectors from @first on, to VIRR. */
static uint8_t post(const VmxRam *page, unsigned first, uint64_t bits)
{
    uint8_t highest = 0;

    while (bits) {
        highest = first + ctz64(bits);
        vector_set(page, VIRR, highest);
        bits &= bits - 1;
    }
    return highest;
}

/* SDM 30.6, in the order of its steps.  Runs with the BQL held. */
void vmx_posted_interrupt(CPUX86State *env)
{
    uint64_t pa = vmcs_read(env->vmx->cur, VMCS_POSTED_INTR_DESC);
    bool valid;
    VmxRam pid, page;
    uint8_t rvi = get_rvi(env);

    valid = vmx_ram_map(env, pa & ~(uint64_t)(PID_SIZE - 1), PID_SIZE, true, &pid);
    vapic_map(env, &page);
    if (valid) {
        qatomic_and((uint32_t *)((uint8_t *)pid.host + PID_CONTROL),
                    cpu_to_le32(~PID_ON));
    }
    lapic_eoi(env);
    if (valid) {
        uint64_t *pir = pid.host;

        for (int i = 0; i < 4; i++) {
            uint64_t bits = le64_to_cpu(qatomic_xchg(&pir[i], 0));

            rvi = MAX(rvi, post(&page, i * 64, bits));
        }
        vmx_ram_dirty(&pid, 0, PID_SIZE);
    }
    set_status(env, rvi, get_svi(env));
    vmx_update_pending(env);
}
