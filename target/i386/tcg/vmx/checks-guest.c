/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM entry's checks of the guest-state area (SDM vol. 3, 27.3).
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/memory.h"
#include "vmx.h"
#include "ram.h"
#include "checks.h"

#define DEBUGCTL_BTF    (1ull << 1)
#define RFLAGS_RESERVED (~0x3fffffull | 1 << 15 | 1 << 5 | 1 << 3)
#define PENDING_BS      (1ull << 14)
#define PENDING_KNOWN   (0xfull | 1 << 12 | PENDING_BS)

/* --- guest registers (27.3.1.1) ----------------------------------------- */

static bool guest_crs(VmxCheck *c)
{
    uint64_t cr0_must = vmx_cr0_fixed0();

    if (c->unrestricted) {
        cr0_must &= ~(uint64_t)(CR0_PE_MASK | CR0_PG_MASK);
    }
    return vmx_check_fixed(c->cr0, cr0_must, vmx_cr0_fixed1()) &&
           vmx_check_fixed(c->cr4, vmx_cr4_fixed0(), vmx_cr4_fixed1(c->env)) &&
           vmx_check_cr3(c, field(c, VMCS_GUEST_CR3));
}

static bool guest_paging(VmxCheck *c)
{
    bool paging = c->cr0 & CR0_PG_MASK;

    if (paging && !(c->cr0 & CR0_PE_MASK)) {
        return false;
    }
    return c->ia32e ? paging && (c->cr4 & CR4_PAE_MASK)
                    : !(c->cr4 & CR4_PCIDE_MASK);
}

static bool guest_debug(VmxCheck *c)
{
    return !ctl(c, VMX_CAP_ENTRY, ENTRY_LOAD_DEBUG) ||
           (!(field(c, VMCS_GUEST_DEBUGCTL) & ~vmx_debugctl_known(c->env)) &&
            field(c, VMCS_GUEST_DR7) <= UINT32_MAX);
}

static bool guest_msrs(VmxCheck *c)
{
    return (!ctl(c, VMX_CAP_ENTRY, ENTRY_LOAD_PAT) ||
            vmx_check_pat(field(c, VMCS_GUEST_PAT))) &&
           (!ctl(c, VMX_CAP_ENTRY, ENTRY_LOAD_EFER) ||
            vmx_check_efer(c, field(c, VMCS_GUEST_EFER), c->ia32e,
                            c->cr0 & CR0_PG_MASK));
}

static bool guest_addresses(VmxCheck *c)
{
    static const uint16_t fields[] = {
        VMCS_GUEST_SYSENTER_ESP, VMCS_GUEST_SYSENTER_EIP,
        VMCS_GUEST_GDTR_BASE, VMCS_GUEST_IDTR_BASE,
    };

    return vmx_check_all_canonical(c, fields, ARRAY_SIZE(fields));
}

static bool guest_table_limits(VmxCheck *c)
{
    return field(c, VMCS_GUEST_GDTR_LIMIT) <= UINT16_MAX &&
           field(c, VMCS_GUEST_IDTR_LIMIT) <= UINT16_MAX;
}

/* --- guest segments (27.3.1.2) ------------------------------------------ */

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR };

typedef struct Segment {
    uint16_t selector;
    uint32_t limit, ar;
    uint64_t base;
    bool usable;
} Segment;

#define AR_TYPE(ar)     ((ar) & 15)
#define AR_S            (1u << 4)
#define AR_DPL(ar)      ((ar) >> 5 & 3)
#define AR_P            (1u << 7)
#define AR_L            (1u << 13)
#define AR_DB           (1u << 14)
#define AR_G            (1u << 15)
#define AR_RESERVED     (~0x1ffffu | 0xf00)     /* the unusable bit is not */
#define AR_VM86         0xf3

static Segment segment(const VmxCheck *c, int seg)
{
    Segment s = {
        .selector = vmcs_read_nth(c->v, VMCS_GUEST_ES_SEL, seg),
        .base = vmcs_read_nth(c->v, VMCS_GUEST_ES_BASE, seg),
        .limit = vmcs_read_nth(c->v, VMCS_GUEST_ES_LIMIT, seg),
        .ar = vmcs_read_nth(c->v, VMCS_GUEST_ES_AR, seg),
    };

    s.usable = seg == SEG_CS || !(s.ar & VMCS_AR_UNUSABLE);
    return s;
}

/* Present, no reserved bits, and a granularity that the limit can have. */
static bool descriptor_valid(const Segment *s, bool code_or_data)
{
    if (!(s->ar & AR_P) || (s->ar & AR_RESERVED) ||
        !(s->ar & AR_S) == code_or_data) {
        return false;
    }
    return s->ar & AR_G ? (s->limit & 0xfff) == 0xfff : !(s->limit >> 20);
}

static bool code_segment(VmxCheck *c)
{
    Segment cs = segment(c, SEG_CS), ss = segment(c, SEG_SS);
    unsigned dpl = AR_DPL(cs.ar), ss_dpl = AR_DPL(ss.ar);
    bool dpl_fits;

    if (c->vm86) {
        return true;
    }
    switch (AR_TYPE(cs.ar)) {
    case 3:                     /* data, of an unrestricted guest */
        dpl_fits = c->unrestricted && dpl == 0;
        break;
    case 9:
    case 11:
        dpl_fits = dpl == ss_dpl;
        break;
    case 13:                    /* conforming */
    case 15:
        dpl_fits = dpl <= ss_dpl;
        break;
    default:
        dpl_fits = false;
    }
    return dpl_fits && descriptor_valid(&cs, true) && cs.base <= UINT32_MAX &&
           !(c->ia32e && (cs.ar & AR_L) && (cs.ar & AR_DB));
}

static bool stack_segment(VmxCheck *c)
{
    Segment cs = segment(c, SEG_CS), ss = segment(c, SEG_SS);
    unsigned type = AR_TYPE(ss.ar), dpl = AR_DPL(ss.ar);

    if (c->vm86) {
        return true;
    }
    if (!c->unrestricted &&
        ((ss.selector ^ cs.selector) & 3 || dpl != (ss.selector & 3))) {
        return false;
    }
    if (dpl && (AR_TYPE(cs.ar) == 3 || !(c->cr0 & CR0_PE_MASK))) {
        return false;
    }
    return !ss.usable || ((type == 3 || type == 7) &&
                          descriptor_valid(&ss, true) && ss.base <= UINT32_MAX);
}

static bool data_segment(const VmxCheck *c, int seg)
{
    Segment s = segment(c, seg);
    unsigned type = AR_TYPE(s.ar);

    if (seg >= SEG_FS ? !vmx_check_canonical(c, s.base) : s.usable && s.base >> 32) {
        return false;
    }
    if (!s.usable) {
        return true;
    }
    /* Accessed, and readable if it is code. */
    if (!(type & 1) || ((type & 8) && !(type & 2)) ||
        !descriptor_valid(&s, true)) {
        return false;
    }
    return c->unrestricted || type > 11 || AR_DPL(s.ar) >= (s.selector & 3);
}

static bool data_segments(VmxCheck *c)
{
    static const int segs[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

    for (int i = 0; i < ARRAY_SIZE(segs); i++) {
        if (!c->vm86 && !data_segment(c, segs[i])) {
            return vmx_check_broken("a data segment is valid",
                                    VMCS_GUEST_ES_AR + 2 * segs[i]);
        }
    }
    return true;
}

static bool vm86_segments(VmxCheck *c)
{
    for (int seg = SEG_ES; c->vm86 && seg <= SEG_GS; seg++) {
        Segment s = segment(c, seg);

        if (s.base != s.selector << 4 || s.limit != 0xffff || s.ar != AR_VM86) {
            return vmx_check_broken("a segment is one of virtual-8086 mode",
                                    VMCS_GUEST_ES_AR + 2 * seg);
        }
    }
    return true;
}

static bool task_register(VmxCheck *c)
{
    Segment tr = segment(c, SEG_TR);
    unsigned type = AR_TYPE(tr.ar);

    return !(tr.selector & 4) && vmx_check_canonical(c, tr.base) && tr.usable &&
           (type == 11 || (type == 3 && !c->ia32e)) &&
           descriptor_valid(&tr, false);
}

static bool local_table(VmxCheck *c)
{
    Segment ldtr = segment(c, SEG_LDTR);

    return !ldtr.usable ||
           (!(ldtr.selector & 4) && vmx_check_canonical(c, ldtr.base) &&
            AR_TYPE(ldtr.ar) == 2 && descriptor_valid(&ldtr, false));
}

/* --- RIP, RFLAGS and the state that is no register (27.3.1.4, .5) -------- */

static bool guest_rip(VmxCheck *c)
{
    uint64_t rip = field(c, VMCS_GUEST_RIP);
    int bits = vmx_check_linear_bits(c);

    if (!c->ia32e || !(field(c, VMCS_GUEST_CS_AR) & AR_L)) {
        return rip <= UINT32_MAX;
    }
    /* Bits 63:N are equal; bit N - 1 may differ from them. */
    return (int64_t)rip >> bits == 0 || (int64_t)rip >> bits == -1;
}

static bool injects(const VmxCheck *c, uint32_t type)
{
    return (c->inject & INTR_VALID) && (c->inject & INTR_TYPE) == type;
}

static bool guest_rflags(VmxCheck *c)
{
    return !(c->rflags & RFLAGS_RESERVED) && (c->rflags & 2) &&
           !(c->vm86 && (c->ia32e || !(c->cr0 & CR0_PE_MASK))) &&
           ((c->rflags & IF_MASK) || !injects(c, INTR_TYPE_EXT));
}

/* Active or HLT, by the capabilities that IA32_VMX_MISC reports. */
static bool guest_activity(VmxCheck *c)
{
    uint32_t activity = field(c, VMCS_GUEST_ACTIVITY);
    uint8_t vector = c->inject & INTR_VECTOR;

    if (activity == ACTIVITY_ACTIVE) {
        return true;
    }
    if (activity != ACTIVITY_HLT || AR_DPL(segment(c, SEG_SS).ar) ||
        (field(c, VMCS_GUEST_INTERRUPTIBILITY) &
         (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS))) {
        return false;
    }
    return !(c->inject & INTR_VALID) || injects(c, INTR_TYPE_EXT) ||
           injects(c, INTR_TYPE_NMI) || vmx_injects_mtf(c->inject) ||
           (injects(c, INTR_TYPE_HW_EXC) &&
            (vector == EXCP01_DB || vector == EXCP12_MCHK));
}

static bool guest_interruptibility(VmxCheck *c)
{
    uint32_t blocked = field(c, VMCS_GUEST_INTERRUPTIBILITY);
    bool sti = blocked & BLOCKED_BY_STI, mov_ss = blocked & BLOCKED_BY_MOV_SS;

    if ((blocked & ~(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS | BLOCKED_BY_NMI)) ||
        (sti && mov_ss) || (sti && !(c->rflags & IF_MASK))) {
        return false;
    }
    if (injects(c, INTR_TYPE_EXT)) {
        return !sti && !mov_ss;
    }
    if (injects(c, INTR_TYPE_NMI) && sti) {
        c->qual = 3;
        return false;
    }
    return !injects(c, INTR_TYPE_NMI) ||
           (!mov_ss && !((blocked & BLOCKED_BY_NMI) &&
                         ctl(c, VMX_CAP_PIN, PIN_VIRTUAL_NMIS)));
}

static bool guest_pending_debug(VmxCheck *c)
{
    uint64_t pending = field(c, VMCS_GUEST_PENDING_DEBUG);
    bool stepping = (c->rflags & TF_MASK) &&
                    !(field(c, VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF);
    bool held = (field(c, VMCS_GUEST_INTERRUPTIBILITY) &
                 (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) ||
                field(c, VMCS_GUEST_ACTIVITY) == ACTIVITY_HLT;

    return !(pending & ~PENDING_KNOWN) &&
           (!held || !(pending & PENDING_BS) == !stepping);
}

static bool link_pointer(VmxCheck *c)
{
    uint64_t link = field(c, VMCS_LINK_POINTER);
    uint32_t revision;

    if (link == VMX_NO_PTR) {
        return true;
    }
    c->qual = 4;
    if (!vmx_check_physical(c, link, 0xfff) || link == c->env->vmx->vmcs_ptr) {
        return false;
    }
    /* Bit 31 would make it a shadow VMCS, which is not offered. */
    revision = address_space_ldl_le(env_cpu(c->env)->as, link & ~vmx_keyid_mask(),
                                    MEMTXATTRS_UNSPECIFIED, NULL);
    if (revision != VMCS_REVISION_ID) {
        return false;
    }
    c->qual = 0;
    return true;
}

/* With EPT the PDPTEs are fields, else they come from memory (27.3.1.6). */
static bool guest_pdptes(VmxCheck *c)
{
    uint64_t base = field(c, VMCS_GUEST_CR3) & 0xffffffe0u & ~vmx_keyid_mask();

    if (c->ia32e || !(c->cr0 & CR0_PG_MASK) || !(c->cr4 & CR4_PAE_MASK)) {
        return true;
    }
    c->qual = 2;
    for (int i = 0; i < 4; i++) {
        uint64_t pdpte = ctl(c, VMX_CAP_SECONDARY, CPU2_EPT) ?
            field(c, VMCS_GUEST_PDPTE0 + 2 * i) :
            address_space_ldq_le(env_cpu(c->env)->as, base + 8 * i,
                                 MEMTXATTRS_UNSPECIFIED, NULL);

        if (!vmx_pdpte_valid(c->env, pdpte)) {
            return false;
        }
    }
    c->qual = 0;
    return true;
}

bool vmx_check_guest(CPUX86State *env, const Vmcs *v, bool known, uint64_t *qual)
{
    static const VmxRule rules[] = {
        { "guest control registers are valid", guest_crs },
        { "paging fits the mode", guest_paging },
        { "DR7 and DEBUGCTL are valid", guest_debug },
        { "guest PAT and EFER are valid", guest_msrs },
        { "guest addresses are canonical", guest_addresses },
        { "GDTR and IDTR limits are 16 bits wide", guest_table_limits },
        { "CS is valid", code_segment },
        { "SS is valid", stack_segment },
        { "data segments are valid", data_segments },
        { "segments are those of virtual-8086 mode", vm86_segments },
        { "TR is valid", task_register },
        { "LDTR is valid", local_table },
    };
    static const VmxRule always[] = {
        { "RIP is valid", guest_rip },
        { "RFLAGS is valid", guest_rflags },
        { "the activity state is valid", guest_activity },
        { "the interruptibility state is valid", guest_interruptibility },
        { "pending debug exceptions are valid", guest_pending_debug },
        { "the VMCS link pointer is valid", link_pointer },
        { "the PDPTEs are valid", guest_pdptes },
    };
    VmxCheck c;

    vmx_check_init(&c, env, v);
    if ((known || vmx_check_run(&c, rules, ARRAY_SIZE(rules))) &&
        vmx_check_run(&c, always, ARRAY_SIZE(always))) {
        return true;
    }
    *qual = c.qual;
    return false;
}
