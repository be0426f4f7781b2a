/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TDH.MNG.INIT: each error of TD_PARAMS, their order; what a vCPU starts with. */
#include "guest.h"

typedef void Breaker(TdxMod *m, struct td_params *p);

#define BREAK(name, ...) \
    static void name(TdxMod *m, struct td_params *p) { (void)m; __VA_ARGS__; }

/* Slot of (leaf, sub) in TD_PARAMS. */
static struct tdx_cpuid_value *slot(TdxMod *m, struct td_params *p, uint32_t leaf,
                                    uint32_t sub)
{
    struct tdx_cpuid_value mask;
    uint32_t l, s;

    for (unsigned i = 0; cpuid_config(m, i, &l, &s, &mask); i++) {
        if (l == leaf && s == sub) {
            return &p->cpuid[i];
        }
    }
    g_error("no CPUID_CONFIG for 0x%x.0x%x", leaf, sub);
}

BREAK(attr_unknown, p->attributes |= 1 << 1)
BREAK(attr_migratable, p->attributes |= TDX_ATTR_MIGRATABLE | TDX_ATTR_DEBUG)
BREAK(attr_perfmon, p->attributes |= TDX_ATTR_PERFMON)
BREAK(xfam_none, p->xfam = 0)
BREAK(xfam_no_sse, p->xfam = 1)
BREAK(xfam_avx512_part, p->xfam = 0x27)
BREAK(xfam_avx512_absent, p->xfam = 0xe7)
BREAK(xfam_high, p->xfam |= 1ull << 63)
BREAK(vcpus_none, p->max_vcpus = 0)
BREAK(vcpus_many, p->max_vcpus = TDX_MAX_VCPUS_PER_TD + 1)
BREAK(l2_many, p->num_l2_vms = 4)
BREAK(l2_pages, p->num_l2_vms = 1)
BREAK(reserved_20, ((uint8_t *)p)[23] = 1)
BREAK(flags_maxpa, p->config_flags |= TDX_CONFIG_MAXPA_VIRT)
BREAK(flags_gpaw, m->config_flags_fixed0 &= ~TDX_CONFIG_GPAW;
      p->config_flags |= TDX_CONFIG_GPAW)
BREAK(flags_high, p->config_flags |= 1ull << 63)
BREAK(eptp_uc, p->eptp_controls = 3 << 3)
BREAK(eptp_3_levels, p->eptp_controls = 6 | 2 << 3)
BREAK(eptp_ad, p->eptp_controls |= 1 << 6)
BREAK(eptp_sss, p->eptp_controls |= 1 << 7)
BREAK(eptp_root, p->eptp_controls |= 1 << 12)
BREAK(eptp_gpaw, m->config_flags_fixed0 |= TDX_CONFIG_GPAW;
      p->config_flags |= TDX_CONFIG_GPAW)
BREAK(eptp_5_levels, p->eptp_controls = 6 | 4 << 3)
BREAK(tsc_slow, p->tsc_frequency = 3)
BREAK(tsc_fast, p->tsc_frequency = 401)
BREAK(reserved_42, ((uint8_t *)p)[42] = 1)
BREAK(reserved_79, ((uint8_t *)p)[79] = 0x80)
BREAK(msr_ctls, p->msr_config_ctls = 2)
BREAK(reserved_232, ((uint8_t *)p)[232] = 1)
BREAK(reserved_255, ((uint8_t *)p)[255] = 1)
BREAK(cpuid_vmx, slot(m, p, 1, UINT32_MAX)->ecx |= 1 << 5)
BREAK(cpuid_4, slot(m, p, 4, 2)->edx |= 8)
BREAK(cpuid_family, slot(m, p, 1, UINT32_MAX)->eax = 0xf00)
BREAK(cpuid_1f_type, slot(m, p, 0x1f, 0)->ecx = 0x200; slot(m, p, 0x1f, 0)->ebx = 1)
BREAK(cpuid_1f_hole,
      *slot(m, p, 0x1f, 0) = (struct tdx_cpuid_value){ 1, 2, 0x100, 0 };
      *slot(m, p, 0x1f, 2) = (struct tdx_cpuid_value){ 3, 8, 0x202, 0 })
BREAK(cpuid_1f_shift,
      *slot(m, p, 0x1f, 0) = (struct tdx_cpuid_value){ 2, 4, 0x100, 0 };
      *slot(m, p, 0x1f, 1) = (struct tdx_cpuid_value){ 1, 8, 0x201, 0 })
BREAK(tail, ((uint8_t *)p)[1023] = 1)
BREAK(after_cpuid, p->cpuid[cpuid_config_count(m)].eax = 1)

#define LEAF(leaf, sub) ((leaf) | (uint64_t)(sub) << 32)

/* In the order of the ABI; @group: of equal rank. */
static const struct {
    const char *name;
    Breaker *breaker;
    uint64_t status, rcx;
    unsigned group;
} rows[] = {
#define ROW(name, operand, group) \
    { #name, name, OPERAND(TDX_OPERAND_INVALID, operand), 0, group }
#define CPUID_ROW(name, where, group) \
    { #name, name, OPERAND(TDX_OPERAND_INVALID, CPUID_CONFIG), where, group }
    ROW(attr_unknown, ATTRIBUTES, 1), ROW(attr_migratable, ATTRIBUTES, 1),
    ROW(attr_perfmon, ATTRIBUTES, 1),
    ROW(xfam_none, XFAM, 2), ROW(xfam_no_sse, XFAM, 2), ROW(xfam_avx512_part, XFAM, 2),
    ROW(xfam_avx512_absent, XFAM, 2), ROW(xfam_high, XFAM, 2),
    ROW(vcpus_none, MAX_VCPUS, 3), ROW(vcpus_many, MAX_VCPUS, 3),
    ROW(l2_many, NUM_L2_VMS, 4),
    { "l2_pages", l2_pages, TDX_TDCS_NOT_ALLOCATED, 0, 4 },
    ROW(reserved_20, RDX, 5),
    ROW(flags_maxpa, CONFIG_FLAGS, 6), ROW(flags_gpaw, CONFIG_FLAGS, 6),
    ROW(flags_high, CONFIG_FLAGS, 6),
    ROW(eptp_uc, EPTP_CONTROLS, 7), ROW(eptp_3_levels, EPTP_CONTROLS, 7),
    ROW(eptp_ad, EPTP_CONTROLS, 7), ROW(eptp_sss, EPTP_CONTROLS, 7),
    ROW(eptp_root, EPTP_CONTROLS, 7), ROW(eptp_gpaw, EPTP_CONTROLS, 7),
    ROW(eptp_5_levels, EPTP_CONTROLS, 7),
    ROW(tsc_slow, TSC_FREQUENCY, 8), ROW(tsc_fast, TSC_FREQUENCY, 8),
    ROW(reserved_42, RDX, 9), ROW(reserved_79, RDX, 9), ROW(msr_ctls, RDX, 9),
    ROW(reserved_232, RDX, 9), ROW(reserved_255, RDX, 9),
    CPUID_ROW(cpuid_vmx, LEAF(1, UINT32_MAX), 10),
    CPUID_ROW(cpuid_4, LEAF(4, 2), 10),
    CPUID_ROW(cpuid_family, LEAF(1, UINT32_MAX), 11),
    CPUID_ROW(cpuid_1f_type, LEAF(0x1f, 0), 12),
    CPUID_ROW(cpuid_1f_hole, LEAF(0x1f, 2), 12),
    CPUID_ROW(cpuid_1f_shift, LEAF(0x1f, 1), 12),
    ROW(tail, RDX, 13), ROW(after_cpuid, RDX, 13),
};

static void setup(Life *l, Machine **mc)
{
    *mc = machine_new(1, 1);
    machine_ready(*mc);
    life_create(l, *mc, LIFE_HKID);
    life_key_config(l);
    life_add_tdcs(l);
    life_params(l);
}

static void try(Life *l, const char *name, uint64_t status, uint64_t rcx)
{
    g_test_message("%s", name);
    assert_status(CALL(l->mc, 0, TDH_MNG_INIT, .rcx = l->tdr, .rdx = l->params), status);
    if (status == OPERAND(TDX_OPERAND_INVALID, CPUID_CONFIG)) {
        g_assert_cmphex(l->mc->out.rcx, ==, rcx);
    }
    g_assert_cmpint(life_tdcs(l)->op_state, ==, OP_STATE_UNINITIALIZED);
}

static void test_errors(void)
{
    struct td_params good, *p;
    Machine *mc;
    Life l;

    setup(&l, &mc);
    p = life_params(&l);
    good = *p;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        *p = good;
        rows[i].breaker(mc->mod, p);
        try(&l, rows[i].name, rows[i].status, rows[i].rcx);
    }
    *p = good;
    life_mng_init(&l);          /* the failures left nothing behind */
    life_release_hkid(&l);
    machine_free(mc);
}

/* Two errors of different rank: the first one counts. */
static void test_order(void)
{
    struct td_params good, *p;
    Machine *mc;
    Life l;

    setup(&l, &mc);
    p = life_params(&l);
    good = *p;
    for (unsigned i = 0; i + 1 < G_N_ELEMENTS(rows); i++) {
        unsigned next = i + 1;

        while (next < G_N_ELEMENTS(rows) && rows[next].group == rows[i].group) {
            next++;
        }
        if (next == G_N_ELEMENTS(rows)) {
            break;
        }
        *p = good;
        rows[next].breaker(mc->mod, p);
        rows[i].breaker(mc->mod, p);
        try(&l, rows[i].name, rows[i].status, rows[i].rcx);
    }
    life_release_hkid(&l);
    machine_free(mc);
}

static void wide(TdxMod *m, struct td_params *p)
{
    /* A processor with 5-level EPT. */
    m->config.ept_5_levels = true;
    m->config_flags_fixed0 |= TDX_CONFIG_GPAW;
    p->config_flags |= TDX_CONFIG_GPAW;
    p->eptp_controls = 6 | 4 << 3;
    p->xfam = 0x207;
    p->tsc_frequency = 100;             /* 2.5 times the machine's */
    p->attributes = 0;
}

static void test_effects(void)
{
    Machine *mc = machine_new(1, 1);
    Guest g;

    machine_ready(mc);
    mc->tsc = 1000000000;
    guest_build(&g, mc, 0, wide);
    g_assert_cmpint(g.tdcs->gpaw, ==, 1);
    g_assert_cmpint(g.tdcs->ept_levels, ==, 4);
    g_assert_cmphex(g.tdcs->eptp, ==, g.l.tdcs[TDCS_SEPT_ROOT] | 0x26);
    g_assert_cmphex(g.tdcs->td_ctls, ==, 0);
    g_assert_cmphex(g.tdcs->xfam, ==, 0x207);
    g_assert_cmphex(g.tdcs->tsc_multiplier, ==, 5ull << 47);
    g_assert_cmphex(g.tdcs->virt_fms, ==, 0x806f8);
    g_assert_cmpuint(g.tdcs->xbuff_size, ==, 0xa88);
    g_assert_cmpint(g.tdcs->topology_enum_configured, ==, 0);
    /* The virtual TSC starts near 0: mc->tsc * 2.5 + offset. */
    g_assert_cmpuint(mc->tsc * 5 / 2 + g.tdcs->tsc_offset, <, 100000);
    life_release_hkid(&g.l);
    machine_free(mc);
}

static void expect_segment(Guest *g, unsigned seg, uint32_t limit, uint32_t ar)
{
    g_assert_cmphex(guest_vmcs(g, VMCS_GUEST_ES_SEL + 2 * seg), ==, 0);
    g_assert_cmphex(guest_vmcs(g, VMCS_GUEST_ES_BASE + 2 * seg), ==, 0);
    g_assert_cmphex(guest_vmcs(g, VMCS_GUEST_ES_LIMIT + 2 * seg), ==, limit);
    g_assert_cmphex(guest_vmcs(g, VMCS_GUEST_ES_AR + 2 * seg), ==, ar);
}

/* The table of the TD VCPU's initial state. */
static void test_initial_state(void)
{
    static const struct {
        uint32_t field;
        uint64_t value;
    } fields[] = {
        { VMCS_GUEST_RIP, 0xfffffff0 }, { VMCS_GUEST_RSP, 0 }, { VMCS_GUEST_RFLAGS, 2 },
        { VMCS_GUEST_CR0, 0x21 }, { VMCS_GUEST_CR3, 0 }, { VMCS_GUEST_CR4, 0x2040 },
        { VMCS_CR0_SHADOW, 0x21 }, { VMCS_CR4_SHADOW, 0x40 },
        { VMCS_GUEST_EFER, 0x901 }, { VMCS_GUEST_PAT, 0x0007040600070406 },
        { VMCS_GUEST_DR7, 0x400 }, { VMCS_GUEST_GDTR_LIMIT, 0xffff },
        { VMCS_GUEST_IDTR_LIMIT, 0 }, { VMCS_EXCEPTION_BITMAP, 1 << 18 },
        { VMCS_LINK_POINTER, UINT64_MAX }, { VMCS_POSTED_INTR_NV, 0xffff },
        { VMCS_POSTED_INTR_DESC, UINT64_MAX }, { VMCS_EOI_EXIT_BITMAP0, 0 },
    };
    static const struct {
        uint32_t field;
        uint32_t set, clear;
    } controls[] = {
        { VMCS_PIN_CONTROLS, 0x29, 0xc0 },
        /* Of 91220088H what the processor has; MONITOR, MWAIT, RDPMC exit. */
        { VMCS_PRIMARY_CONTROLS, 0xb1200c88, 0x40d89204 | CPU_TERTIARY },
        { VMCS_SECONDARY_CONTROLS, 0x020013fa, 0x00000405 },
        { VMCS_EXIT_CONTROLS, 0x003c8204, 0 },
        { VMCS_ENTRY_CONTROLS, 0x0000c004, ENTRY_IA32E },
    };
    Machine *mc = machine_new(1, 1);
    Guest g;

    machine_ready(mc);
    guest_build(&g, mc, 2, NULL);
    g_assert_cmphex(g.vmcs->revision, ==, VMCS_REVISION_ID);
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        g_assert_cmphex(guest_vmcs(&g, fields[i].field), ==, fields[i].value);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(controls); i++) {
        uint32_t v = guest_vmcs(&g, controls[i].field);

        g_assert_cmphex(v & controls[i].set, ==, controls[i].set);
        g_assert_cmphex(v & controls[i].clear, ==, 0);
    }
    for (unsigned seg = 0; seg < 6; seg++) {
        expect_segment(&g, seg, 0xffffffff, seg == 1 ? 0xc09b : 0xc093);
    }
    expect_segment(&g, 6, 0xffff, 0x10082);             /* LDTR */
    expect_segment(&g, 7, 0xffff, 0x8b);                /* TR */
    g_assert_cmphex(guest_vmcs(&g, VMCS_EPT_POINTER), ==,
                    g.l.tdcs[TDCS_SEPT_ROOT] | 0x1e);
    g_assert_cmphex(guest_vmcs(&g, VMCS_VIRTUAL_APIC_ADDR), ==,
                    g.vp->tdcx_pa[TDVPS_VAPIC - 1]);
    g_assert_cmphex(guest_vmcs(&g, VMCS_TSC_OFFSET), ==, g.tdcs->tsc_offset);
    life_release_hkid(&g.l);
    machine_free(mc);
}

static void test_initial_registers(void)
{
    static const uint8_t zero[] = {
        TDX_RAX, TDX_RBP, TDX_RDI, TDX_R9, TDX_R10, TDX_R11, TDX_R12, TDX_R13, TDX_R14,
        TDX_R15,
    };
    const struct tdvps_guest *r;
    const uint8_t *xbuff;
    Machine *mc = machine_new(1, 1);
    Guest g;

    machine_ready(mc);
    guest_build(&g, mc, 2, NULL);
    r = machine_ptr(mc, g.l.vcpu[1].tdvpr + TDVPS_GUEST_OFFSET, sizeof(*r));
    g_assert_cmphex(r->gpr[TDX_RBX], ==, 48);
    g_assert_cmphex(r->gpr[TDX_RCX], ==, 0x1000);
    g_assert_cmphex(r->gpr[TDX_R8], ==, 0x1000);
    g_assert_cmphex(r->gpr[TDX_RDX], ==, 0x806f8);
    g_assert_cmphex(r->gpr[TDX_RSI], ==, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(zero); i++) {
        g_assert_cmphex(r->gpr[zero[i]], ==, 0);
    }
    g_assert_cmphex(r->dr6, ==, 0xffff0ff0);
    g_assert_cmphex(r->xcr0, ==, 1);
    g_assert_cmphex(r->xss | r->cr2 | r->star | r->lstar | r->kernel_gs_base, ==, 0);
    g_assert_cmphex(r->fmask, ==, 0x20200);
    xbuff = machine_ptr(mc, g.vp->tdcx_pa[TDVPS_XBUFF - 1], 4096);
    g_assert_cmphex(xbuff[0] | xbuff[1] << 8, ==, 0x37f);
    g_assert_cmphex(xbuff[24] | xbuff[25] << 8, ==, 0x1f80);
    for (unsigned i = 32; i < 4096; i++) {
        g_assert_cmphex(xbuff[i], ==, 0);
    }
    life_release_hkid(&g.l);
    machine_free(mc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/td-params/errors", test_errors);
    g_test_add_func("/td-params/order", test_order);
    g_test_add_func("/td-params/effects", test_effects);
    g_test_add_func("/vcpu/initial-state", test_initial_state);
    g_test_add_func("/vcpu/initial-registers", test_initial_registers);
    return g_test_run();
}
