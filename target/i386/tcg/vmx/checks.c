/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What VM entry checks before it loads anything (SDM vol. 3, 27.2): controls
 * and host state.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/memory.h"
#include "qemu/log.h"
#include "vmx.h"
#include "ram.h"
#include "checks.h"

#define CR3_LAM         (3ull << 61)

#define MAX_CR3_TARGETS (vmx_misc() >> 16 & 0x1ff)

void vmx_check_init(VmxCheck *c, CPUX86State *env, const Vmcs *v)
{
    *c = (VmxCheck) { .env = env, .v = v };
    c->ctl[VMX_CAP_PIN] = vmcs_read(v, VMCS_PIN_CONTROLS);
    c->ctl[VMX_CAP_PRIMARY] = vmcs_read(v, VMCS_PRIMARY_CONTROLS);
    if (c->ctl[VMX_CAP_PRIMARY] & CPU_SECONDARY) {
        c->ctl[VMX_CAP_SECONDARY] = vmcs_read(v, VMCS_SECONDARY_CONTROLS);
    }
    c->ctl[VMX_CAP_EXIT] = vmcs_read(v, VMCS_EXIT_CONTROLS);
    c->ctl[VMX_CAP_ENTRY] = vmcs_read(v, VMCS_ENTRY_CONTROLS);
    c->inject = vmcs_read(v, VMCS_ENTRY_INTR_INFO);
    c->cr0 = vmcs_read(v, VMCS_GUEST_CR0);
    c->cr4 = vmcs_read(v, VMCS_GUEST_CR4);
    c->rflags = vmcs_read(v, VMCS_GUEST_RFLAGS);
    c->unrestricted = c->ctl[VMX_CAP_SECONDARY] & CPU2_UNRESTRICTED;
    c->ia32e = c->ctl[VMX_CAP_ENTRY] & ENTRY_IA32E;
    c->vm86 = c->rflags & VM_MASK;
}

bool vmx_check_broken(const char *text, uint32_t field)
{
    qemu_log_mask(LOG_GUEST_ERROR, "VM entry: not so: %s (field %04x)\n", text,
                  field);
    return false;
}

bool vmx_check_run(VmxCheck *c, const VmxRule *rules, int count)
{
    for (int i = 0; i < count; i++) {
        if (!rules[i].holds(c)) {
            qemu_log_mask(LOG_GUEST_ERROR, "VM entry: not so: %s\n",
                          rules[i].text);
            return false;
        }
    }
    return true;
}

/* --- values ------------------------------------------------------------- */

bool vmx_check_physical(const VmxCheck *c, uint64_t pa, uint64_t align_mask)
{
    unsigned bits = env_archcpu(c->env)->phys_bits;

    return !(pa & align_mask) && pa < 1ull << bits;
}

int vmx_check_linear_bits(const VmxCheck *c)
{
    return vmx_linear_bits(c->env);
}

bool vmx_check_canonical(const VmxCheck *c, uint64_t addr)
{
    return sextract64(addr, 0, vmx_check_linear_bits(c)) == addr;
}

bool vmx_check_pat(uint64_t pat)
{
    for (int i = 0; i < 8; i++, pat >>= 8) {
        unsigned type = pat & 0xff;

        if (type > 7 || type == 2 || type == 3) {
            return false;
        }
    }
    return true;
}

/* @lma: what the address-space size or IA-32e control says. */
bool vmx_check_efer(const VmxCheck *c, uint64_t efer, bool lma, bool paging)
{
    return !(efer & ~vmx_efer_known(c->env)) && !(efer & MSR_EFER_LMA) == !lma &&
           (!paging || !(efer & MSR_EFER_LME) == !lma);
}

bool vmx_check_fixed(uint64_t value, uint64_t fixed0, uint64_t fixed1)
{
    return (value & fixed0) == fixed0 && !(value & ~fixed1);
}

bool vmx_check_cr3(const VmxCheck *c, uint64_t cr3)
{
    if (c->env->features[FEAT_7_1_EAX] & CPUID_7_1_EAX_LAM) {
        cr3 &= ~CR3_LAM;
    }
    return vmx_check_physical(c, cr3, 0);
}

bool vmx_check_all_canonical(const VmxCheck *c, const uint16_t *fields, int count)
{
    for (int i = 0; i < count; i++) {
        if (!vmx_check_canonical(c, field(c, fields[i]))) {
            return vmx_check_broken("an address is canonical", fields[i]);
        }
    }
    return true;
}

/* --- controls (27.2.1) -------------------------------------------------- */

static bool controls_supported(VmxCheck *c)
{
    for (VmxCap cap = VMX_CAP_PIN; cap <= VMX_CAP_ENTRY; cap++) {
        uint32_t must, may;

        vmx_cap_masks(cap, &must, &may);
        if (cap == VMX_CAP_SECONDARY && !ctl(c, VMX_CAP_PRIMARY, CPU_SECONDARY)) {
            continue;
        }
        if (!vmx_check_fixed(c->ctl[cap], must, may)) {
            qemu_log_mask(LOG_GUEST_ERROR,
                          "VM entry: control word %d: %08x, must %08x, may %08x\n",
                          cap, c->ctl[cap], must, may);
            return false;
        }
    }
    return true;
}

/* If @bit of @word is @value, then all of @need_bits are @need_value. */
static const struct {
    VmxCap word;
    uint32_t bit;
    bool value;
    VmxCap need_word;
    uint32_t need_bits;
    bool need_value;
    const char *text;
} dependencies[] = {
    { VMX_CAP_PIN, PIN_NMI, false, VMX_CAP_PIN, PIN_VIRTUAL_NMIS, false,
      "virtual NMIs need NMI exiting" },
    { VMX_CAP_PIN, PIN_VIRTUAL_NMIS, false, VMX_CAP_PRIMARY, CPU_NMI_WINDOW,
      false, "NMI-window exiting needs virtual NMIs" },
    { VMX_CAP_PRIMARY, CPU_TPR_SHADOW, false, VMX_CAP_SECONDARY,
      CPU2_X2APIC | CPU2_APIC_REGISTER | CPU2_VINTR_DELIVERY, false,
      "APIC virtualization needs the TPR shadow" },
    { VMX_CAP_SECONDARY, CPU2_X2APIC, true, VMX_CAP_SECONDARY,
      CPU2_APIC_ACCESS, false, "x2APIC mode excludes APIC accesses" },
    { VMX_CAP_SECONDARY, CPU2_VINTR_DELIVERY, true, VMX_CAP_PIN, PIN_EXT_INTR,
      true, "virtual-interrupt delivery needs external-interrupt exiting" },
    { VMX_CAP_PIN, PIN_POSTED_INTR, true, VMX_CAP_SECONDARY,
      CPU2_VINTR_DELIVERY, true,
      "posted interrupts need virtual-interrupt delivery" },
    { VMX_CAP_PIN, PIN_POSTED_INTR, true, VMX_CAP_EXIT, EXIT_ACK_INTR, true,
      "posted interrupts need acknowledge interrupt on exit" },
    { VMX_CAP_SECONDARY, CPU2_PML, true, VMX_CAP_SECONDARY, CPU2_EPT, true,
      "the page-modification log needs EPT" },
    { VMX_CAP_SECONDARY, CPU2_UNRESTRICTED, true, VMX_CAP_SECONDARY, CPU2_EPT,
      true, "unrestricted guest needs EPT" },
    { VMX_CAP_PIN, PIN_PREEMPTION_TIMER, false, VMX_CAP_EXIT, EXIT_SAVE_TIMER,
      false, "saving the preemption timer needs the timer" },
};

static bool dependencies_met(VmxCheck *c)
{
    for (int i = 0; i < ARRAY_SIZE(dependencies); i++) {
        uint32_t need = dependencies[i].need_bits;

        if (ctl(c, dependencies[i].word, dependencies[i].bit) ==
            dependencies[i].value &&
            (c->ctl[dependencies[i].need_word] & need) !=
            (dependencies[i].need_value ? need : 0)) {
            return vmx_check_broken(dependencies[i].text, 0);
        }
    }
    return true;
}

/* Addresses that are used if @bit is 1. */
static const struct {
    VmxCap word;
    uint32_t bit;
    uint16_t field;
    uint16_t align_mask;
} addresses[] = {
    { VMX_CAP_PRIMARY, CPU_IO_BITMAPS, VMCS_IO_BITMAP_A, 0xfff },
    { VMX_CAP_PRIMARY, CPU_IO_BITMAPS, VMCS_IO_BITMAP_B, 0xfff },
    { VMX_CAP_PRIMARY, CPU_MSR_BITMAPS, VMCS_MSR_BITMAP, 0xfff },
    { VMX_CAP_PRIMARY, CPU_TPR_SHADOW, VMCS_VIRTUAL_APIC_ADDR, 0xfff },
    { VMX_CAP_PIN, PIN_POSTED_INTR, VMCS_POSTED_INTR_DESC, 0x3f },
    { VMX_CAP_SECONDARY, CPU2_PML, VMCS_PML_ADDR, 0xfff },
    { VMX_CAP_SECONDARY, CPU2_APIC_ACCESS, VMCS_APIC_ACCESS_ADDR, 0xfff },
};

static bool addresses_valid(VmxCheck *c)
{
    for (int i = 0; i < ARRAY_SIZE(addresses); i++) {
        if (ctl(c, addresses[i].word, addresses[i].bit) &&
            !vmx_check_physical(c, field(c, addresses[i].field),
                                addresses[i].align_mask)) {
            return vmx_check_broken("a structure's address is valid", addresses[i].field);
        }
    }
    return true;
}

/* The three lists of MSRs: 16 bytes an entry. */
static bool msr_lists_valid(VmxCheck *c)
{
    static const struct { uint16_t count, address; } lists[] = {
        { VMCS_EXIT_MSR_STORE_COUNT, VMCS_EXIT_MSR_STORE_ADDR },
        { VMCS_EXIT_MSR_LOAD_COUNT, VMCS_EXIT_MSR_LOAD_ADDR },
        { VMCS_ENTRY_MSR_LOAD_COUNT, VMCS_ENTRY_MSR_LOAD_ADDR },
    };

    for (int i = 0; i < ARRAY_SIZE(lists); i++) {
        uint64_t count = field(c, lists[i].count);
        uint64_t pa = field(c, lists[i].address);

        if (count && (!vmx_check_physical(c, pa, 15) ||
                      !vmx_check_physical(c, pa + count * 16 - 1, 0))) {
            return vmx_check_broken("an MSR list's address is valid", lists[i].address);
        }
    }
    return true;
}

static bool cr3_targets_valid(VmxCheck *c)
{
    return field(c, VMCS_CR3_TARGET_COUNT) <= MAX_CR3_TARGETS;
}

/*
 * With virtual-interrupt delivery the threshold is not used; with virtualized
 * APIC accesses a VTPR below it is no error, but a VM exit after entry.
 */
static bool tpr_threshold_valid(VmxCheck *c)
{
    uint32_t threshold = field(c, VMCS_TPR_THRESHOLD);
    uint8_t vtpr = 0;

    if (!ctl(c, VMX_CAP_PRIMARY, CPU_TPR_SHADOW) ||
        ctl(c, VMX_CAP_SECONDARY, CPU2_VINTR_DELIVERY)) {
        return true;
    }
    if (threshold & ~15u) {
        return false;
    }
    if (ctl(c, VMX_CAP_SECONDARY, CPU2_APIC_ACCESS)) {
        return true;            /* a VM exit behind the entry instead */
    }
    if (ctl(c, VMX_CAP_SECONDARY, CPU2_APIC_ACCESS)) {
        return true;
    }
    address_space_read(env_cpu(c->env)->as,
                       (field(c, VMCS_VIRTUAL_APIC_ADDR) & ~vmx_keyid_mask()) + 0x80,
                       MEMTXATTRS_UNSPECIFIED, &vtpr, sizeof(vtpr));
    return threshold <= vtpr >> 4;
}

static bool tsc_multiplier_valid(VmxCheck *c)
{
    return !ctl(c, VMX_CAP_SECONDARY, CPU2_TSC_SCALING) ||
           field(c, VMCS_TSC_MULTIPLIER);
}

static bool notification_vector_valid(VmxCheck *c)
{
    return !ctl(c, VMX_CAP_PIN, PIN_POSTED_INTR) ||
           field(c, VMCS_POSTED_INTR_NV) < 256;
}

static bool vpid_valid(VmxCheck *c)
{
    return !ctl(c, VMX_CAP_SECONDARY, CPU2_VPID) || field(c, VMCS_VPID);
}

static bool eptp_valid(VmxCheck *c)
{
    return !ctl(c, VMX_CAP_SECONDARY, CPU2_EPT) ||
           vmx_eptp_valid(c->env, field(c, VMCS_EPT_POINTER));
}

static bool vector_fits_type(uint32_t type, uint8_t vector)
{
    switch (type) {
    case INTR_TYPE_NMI:
        return vector == EXCP02_NMI;
    case INTR_TYPE_HW_EXC:
        return vector < 32;
    case 1u << 8:               /* reserved */
        return false;
    case INTR_TYPE_OTHER:       /* a pending MTF VM exit */
        return vector == 0;
    default:
        return true;
    }
}

static bool error_code_valid(const VmxCheck *c, uint32_t type, uint8_t vector)
{
    const uint32_t with_code = 1 << EXCP08_DBLE | 1 << EXCP0A_TSS |
                               1 << EXCP0B_NOSEG | 1 << EXCP0C_STACK |
                               1 << EXCP0D_GPF | 1 << EXCP0E_PAGE |
                               1 << EXCP11_ALGN;
    bool deliver = c->inject & INTR_DELIVER_ERROR;
    bool expected = (!c->unrestricted || (c->cr0 & CR0_PE_MASK)) &&
                    type == INTR_TYPE_HW_EXC && (with_code >> vector & 1);

    return deliver == expected &&
           (!deliver || field(c, VMCS_ENTRY_INTR_ERROR) <= UINT16_MAX);
}

static bool injection_valid(VmxCheck *c)
{
    const uint32_t known = INTR_VECTOR | INTR_TYPE | INTR_DELIVER_ERROR |
                           INTR_VALID;
    uint32_t type = c->inject & INTR_TYPE;
    uint8_t vector = c->inject & INTR_VECTOR;
    bool has_length = type == INTR_TYPE_SOFT_INT || type == INTR_TYPE_SOFT_EXC ||
                      type == INTR_TYPE_PRIV_SW_EXC;

    if (!(c->inject & INTR_VALID)) {
        return true;
    }
    return !(c->inject & ~known) && vector_fits_type(type, vector) &&
           error_code_valid(c, type, vector) &&
           (!has_length || field(c, VMCS_ENTRY_INSN_LEN) <= 15);
}

uint32_t vmx_check_controls(CPUX86State *env, const Vmcs *v, bool known)
{
    static const VmxRule always[] = {
        { "the TPR threshold fits VTPR", tpr_threshold_valid },
        { "the event to inject is valid", injection_valid },
    };
    static const VmxRule rules[] = {
        { "all controls are supported", controls_supported },
        { "controls agree with each other", dependencies_met },
        { "at most four CR3 targets", cr3_targets_valid },
        { "addresses are aligned and exist", addresses_valid },
        { "the notification vector is 8 bits wide", notification_vector_valid },
        { "the VPID is not 0", vpid_valid },
        { "the EPTP is valid", eptp_valid },
        { "the TSC multiplier is not 0", tsc_multiplier_valid },
        { "the MSR lists are valid", msr_lists_valid },
    };
    VmxCheck c;

    vmx_check_init(&c, env, v);
    return (known || vmx_check_run(&c, rules, ARRAY_SIZE(rules))) &&
           vmx_check_run(&c, always, ARRAY_SIZE(always)) ? 0 : VMX_ERR_BAD_CONTROLS;
}

/* --- host state (27.2.2 to 27.2.4) -------------------------------------- */

static bool host_crs(VmxCheck *c)
{
    return vmx_check_fixed(field(c, VMCS_HOST_CR0), vmx_cr0_fixed0(), vmx_cr0_fixed1()) &&
           vmx_check_fixed(field(c, VMCS_HOST_CR4), vmx_cr4_fixed0(),
                           vmx_cr4_fixed1(c->env)) &&
           vmx_check_cr3(c, field(c, VMCS_HOST_CR3));
}

static bool host_msrs(VmxCheck *c)
{
    bool is_64 = ctl(c, VMX_CAP_EXIT, EXIT_HOST_64);

    return (!ctl(c, VMX_CAP_EXIT, EXIT_LOAD_PAT) ||
            vmx_check_pat(field(c, VMCS_HOST_PAT))) &&
           (!ctl(c, VMX_CAP_EXIT, EXIT_LOAD_EFER) ||
            vmx_check_efer(c, field(c, VMCS_HOST_EFER), is_64, true));
}

static bool host_addresses(VmxCheck *c)
{
    static const uint16_t fields[] = {
        VMCS_HOST_SYSENTER_ESP, VMCS_HOST_SYSENTER_EIP, VMCS_HOST_FS_BASE,
        VMCS_HOST_GS_BASE, VMCS_HOST_GDTR_BASE, VMCS_HOST_IDTR_BASE,
        VMCS_HOST_TR_BASE,
    };

    return vmx_check_all_canonical(c, fields, ARRAY_SIZE(fields));
}

static bool host_selectors(VmxCheck *c)
{
    for (uint32_t f = VMCS_HOST_ES_SEL; f <= VMCS_HOST_TR_SEL; f += 2) {
        if (field(c, f) & 7) {
            return vmx_check_broken("host selectors have RPL 0 and TI 0", f);
        }
    }
    return field(c, VMCS_HOST_CS_SEL) && field(c, VMCS_HOST_TR_SEL) &&
           (field(c, VMCS_HOST_SS_SEL) || ctl(c, VMX_CAP_EXIT, EXIT_HOST_64));
}

static bool host_size(VmxCheck *c)
{
    bool is_64 = ctl(c, VMX_CAP_EXIT, EXIT_HOST_64);
    bool lma = c->env->hflags & HF_LMA_MASK;
    uint64_t cr4 = field(c, VMCS_HOST_CR4), rip = field(c, VMCS_HOST_RIP);
    int bits = cr4 & CR4_LA57_MASK ? 57 : 48;

    if (is_64 != lma) {
        return false;
    }
    if (!is_64) {
        return !c->ia32e && !(cr4 & CR4_PCIDE_MASK) && rip <= UINT32_MAX;
    }
    return (cr4 & CR4_PAE_MASK) && sextract64(rip, 0, bits) == rip;
}

uint32_t vmx_check_host(CPUX86State *env, const Vmcs *v)
{
    static const VmxRule rules[] = {
        { "host control registers are valid", host_crs },
        { "host PAT and EFER are valid", host_msrs },
        { "host addresses are canonical", host_addresses },
        { "host selectors are valid", host_selectors },
        { "the host address-space size fits mode, CR4 and RIP", host_size },
    };
    VmxCheck c;

    vmx_check_init(&c, env, v);
    return vmx_check_run(&c, rules, ARRAY_SIZE(rules)) ? 0 : VMX_ERR_BAD_HOST;
}
