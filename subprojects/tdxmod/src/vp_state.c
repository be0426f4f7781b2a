/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDH.VP.INIT: what a vCPU starts with.  Registers: TDX module ABI, "TD VCPU
 * initial state"; VMX controls: those of a TD, as far as this processor has them.
 */
#include "cpuid.h"
#include "vp_state.h"

#define XFAM_PKRU               (1ull << 9)
#define XFAM_CET                (3ull << 11)
#define XFAM_UINTR              (1ull << 14)

struct vmcs_value {
    uint32_t field;
    uint64_t value;
};

/* Control bits that the SDM's appendix A wants to be 1. */
#define PIN_DEFAULT1            0x16u
#define CPU_DEFAULT1            0x04006172u
#define EXIT_DEFAULT1           0x36dfbu
#define ENTRY_DEFAULT1          0x11fbu

static const struct vmcs_value controls[] = {
    { VMCS_PIN_CONTROLS, PIN_DEFAULT1 | PIN_EXT_INTR | PIN_NMI | PIN_VIRTUAL_NMIS },
    { VMCS_SECONDARY_CONTROLS, CPU2_EPT | CPU2_RDTSCP | CPU2_X2APIC | CPU2_VPID |
      CPU2_WBINVD | CPU2_UNRESTRICTED | CPU2_APIC_REGISTER | CPU2_VINTR_DELIVERY |
      CPU2_INVPCID | CPU2_TSC_SCALING },
    { VMCS_EXIT_CONTROLS, EXIT_DEFAULT1 | EXIT_SAVE_DEBUG | EXIT_HOST_64 |
      EXIT_ACK_INTR | EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER |
      EXIT_LOAD_EFER },
    { VMCS_ENTRY_CONTROLS, ENTRY_DEFAULT1 | ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT |
      ENTRY_LOAD_EFER },
    { VMCS_EXCEPTION_BITMAP, 1u << 18 },        /* #MC */
    { VMCS_POSTED_INTR_NV, 0xffff },            /* none until the host says */
    { VMCS_POSTED_INTR_DESC, UINT64_MAX },
    { VMCS_CR0_SHADOW, CR0_PE | CR0_NE },
    { VMCS_CR4_SHADOW, CR4_MCE },
};

static const struct vmcs_value guest_state[] = {
    { VMCS_LINK_POINTER, UINT64_MAX },
    { VMCS_GUEST_CR0, CR0_PE | CR0_NE },
    { VMCS_GUEST_CR4, CR4_VMXE | CR4_MCE },
    { VMCS_GUEST_EFER, 0x901 },                 /* SCE, LME, NXE */
    { VMCS_GUEST_PAT, 0x0007040600070406ull },
    { VMCS_GUEST_RIP, 0xfffffff0 },
    { VMCS_GUEST_RFLAGS, 2 },
    { VMCS_GUEST_DR7, 0x400 },
    { VMCS_GUEST_CS_AR, 0xc09b },
    { VMCS_GUEST_LDTR_LIMIT, 0xffff }, { VMCS_GUEST_LDTR_AR, 0x10082 },
    { VMCS_GUEST_TR_LIMIT, 0xffff }, { VMCS_GUEST_TR_AR, 0x8b },
    { VMCS_GUEST_GDTR_LIMIT, 0xffff },
};

static void write_all(Vmcs *v, const struct vmcs_value *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        vmcs_write(v, f[i].field, f[i].value);
    }
}

/* CR4 bits of features that XFAM or ATTRIBUTES deny. */
uint64_t vp_cr4_denied(const struct tdcs *t)
{
    return (t->xfam & XFAM_PKRU ? 0 : CR4_PKE) |
           ((t->xfam & XFAM_CET) == XFAM_CET ? 0 : CR4_CET) |
           (t->xfam & XFAM_UINTR ? 0 : CR4_UINTR) |
           (t->attributes & TDX_ATTR_KL ? 0 : CR4_KL) |
           (t->attributes & TDX_ATTR_PKS ? 0 : CR4_PKS);
}

static uint32_t primary_controls(TdxMod *m, const Td *td)
{
    uint32_t ecx = cpuid_td_reg(m, td, 1, CPUID_NO_SUBLEAF, CPUID_ECX);
    uint32_t c = CPU_DEFAULT1 | CPU_TSC_OFFSETTING | CPU_HLT | CPU_TPR_SHADOW |
                 CPU_UNCOND_IO | CPU_MSR_BITMAPS | CPU_SECONDARY;

    if (!(ecx >> 3 & 1)) {
        c |= CPU_MWAIT | CPU_MONITOR;
    }
    if (!(td->tdcs->attributes & TDX_ATTR_PERFMON)) {
        c |= CPU_RDPMC;
    }
    return c;
}

static void init_vmcs(TdxMod *m, const Td *td, Vcpu *v)
{
    const struct tdcs *t = td->tdcs;
    Vmcs *vmcs = v->vmcs;

    memset(vmcs, 0, sizeof(*vmcs));
    vmcs->revision = VMCS_REVISION_ID;
    write_all(vmcs, controls, G_N_ELEMENTS(controls));
    for (unsigned seg = 0; seg < 6; seg++) {    /* ES CS SS DS FS GS: flat */
        vmcs_write(vmcs, VMCS_GUEST_ES_LIMIT + 2 * seg, 0xffffffff);
        vmcs_write(vmcs, VMCS_GUEST_ES_AR + 2 * seg, 0xc093);
    }
    write_all(vmcs, guest_state, G_N_ELEMENTS(guest_state));
    vmcs_write(vmcs, VMCS_PRIMARY_CONTROLS, primary_controls(m, td));
    vmcs_write(vmcs, VMCS_CR0_MASK, CR0_GUEST_MASK);
    vmcs_write(vmcs, VMCS_CR4_MASK, CR4_MCE | CR4_VMXE | CR4_SMXE | CR4_RESERVED |
               vp_cr4_denied(t));
    vmcs_write(vmcs, VMCS_VPID, td->tdr->hkid);
    vmcs_write(vmcs, VMCS_TD_HKID, td->tdr->hkid);
    vmcs_write(vmcs, VMCS_EPT_POINTER, t->eptp);
    vmcs_write(vmcs, VMCS_MSR_BITMAP, v->tdvps[TDVPS_MSR_BITMAP]);
    vmcs_write(vmcs, VMCS_VIRTUAL_APIC_ADDR, v->tdvps[TDVPS_VAPIC]);
    vmcs_write(vmcs, VMCS_TSC_OFFSET, t->tsc_offset);
    vmcs_write(vmcs, VMCS_TSC_MULTIPLIER, t->tsc_multiplier);
}

static void init_registers(const Td *td, Vcpu *v, uint64_t rcx)
{
    struct tdvps_guest *g = v->guest;

    memset(g, 0, sizeof(*g));
    g->gpr[TDX_RBX] = td->tdcs->gpaw ? 52 : 48;
    g->gpr[TDX_RCX] = g->gpr[TDX_R8] = rcx;
    g->gpr[TDX_RDX] = td->tdcs->virt_fms;
    g->gpr[TDX_RSI] = v->vp->vcpu_index;
    g->dr6 = 0xffff0ff0;
    g->xcr0 = 1;
    g->fmask = 0x20200;
}

/* x2APIC after reset (SDM vol. 3, 12.12.5); only what is native matters. */
static void init_vapic(const Vcpu *v, uint32_t *page)
{
    static const uint16_t lvt[] = { 0x2f0, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370 };
    uint32_t id = v->vp->x2apic_id;

    memset(page, 0, TDX_PAGE_SIZE);
    page[0x20 / 4] = id;
    page[0x30 / 4] = 0x60014;                   /* 7 LVT entries */
    page[0xd0 / 4] = (id >> 4) << 16 | 1u << (id & 15);
    page[0xf0 / 4] = 0xff;
    for (unsigned i = 0; i < G_N_ELEMENTS(lvt); i++) {
        page[lvt[i] / 4] = 1u << 16;            /* masked */
    }
}

/* All components in their initial state: XSTATE_BV = 0. */
static void init_xbuff(uint8_t *page)
{
    memset(page, 0, TDX_PAGE_SIZE);
    page[0] = 0x7f;                             /* FCW 037FH */
    page[1] = 0x03;
    page[24] = 0x80;                            /* MXCSR 1F80H */
    page[25] = 0x1f;
}

static void init_module_part(struct tdvpr *vp)
{
    memset(&vp->ve, 0, sizeof(vp->ve));
    memset(vp->cpuid_control, 0, sizeof(vp->cpuid_control));
    memset(vp->guest_private, 0, sizeof(vp->guest_private));
    vp->cpuid_supervisor_ve = vp->cpuid_user_ve = 0;
    vp->pend_nmi = vp->nmi_window = 0;
    vp->vmcall_mask = 0;
    vp->misc_enable = 1;                        /* fast strings */
}

/* Without one of the pages nothing is left to run: the vCPU is disabled. */
void vp_init_state(TdxCall *c, Td *td, Vcpu *v, uint64_t rcx)
{
    static const enum tdvps_page changed[] = {
        TDVPS_VAPIC, TDVPS_XBUFF, TDVPS_MSR_BITMAP,
    };
    const void *td_bitmap = td_tdcs_page(c->m, td, TDCS_MSR_BITMAP);
    uint32_t *vapic = vcpu_page(c->m, v, TDVPS_VAPIC);
    uint8_t *xbuff = vcpu_page(c->m, v, TDVPS_XBUFF);
    void *bitmap = vcpu_page(c->m, v, TDVPS_MSR_BITMAP);

    if (!td_bitmap || !vapic || !xbuff || !bitmap) {
        tdx_log(c->m, "TDH.VP.INIT: a page of the TD is not RAM any more");
        v->vp->state = VCPU_DISABLED;
        return;
    }
    init_module_part(v->vp);
    init_vmcs(c->m, td, v);
    init_registers(td, v, rcx);
    init_vapic(v, vapic);
    init_xbuff(xbuff);
    memcpy(bitmap, td_bitmap, TDX_PAGE_SIZE);
    for (unsigned i = 0; i < G_N_ELEMENTS(changed); i++) {
        tdx_written(c->m, v->tdvps[changed[i]], TDX_PAGE_SIZE);
    }
    vcpu_written(c->m, v);
}
