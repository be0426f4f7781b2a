/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SEAM of the machine: life cycle, the MSRs through which software finds it,
 * and the hooks that the VMX layer calls.
 */
#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/log.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "cpu.h"
#include "internal.h"

Seam seam = { .seamldr_lp = SEAM_NO_LP };

#define MSR_MKTME_KEYID_PARTITIONING    0x87
#define MSR_TME_CAPABILITY              0x981
#define MSR_TME_ACTIVATE                0x982
#define MSR_SEAMRR_BASE                 0x1400
#define MSR_SEAMRR_MASK                 0x1401

#define SEAMRR_SIZE                     (128 * MiB)
#define SEAMRR_BASE_CONFIGURED          (1ull << 3)
#define SEAMRR_MASK_LOCK                (1ull << 10)
#define SEAMRR_MASK_VALID               (1ull << 11)

#define TME_AES_XTS_128                 (1ull << 0)
#define TME_ACTIVATE_LOCK               (1ull << 0)
#define TME_ACTIVATE_ENABLE             (1ull << 1)

static uint64_t keyid_partitioning(void)
{
    return (uint64_t)seam.config.num_tdx_keyids << 32 |
           seam.config.num_mktme_keyids;
}

/* SDM vol. 4: 35:32 largest number of KeyID bits, 50:36 of keys. */
static uint64_t tme_capability(void)
{
    uint64_t bits = seam.config.keyid_bits;

    return TME_AES_XTS_128 | bits << 32 | ((1ull << bits) - 1) << 36;
}

/*
 * 35:32 KeyID bits; 39:36 how many of these, at the upper end, are reserved
 * for TDX; 63:48 algorithms that software may choose.
 */
static uint64_t tme_activate(void)
{
    uint64_t bits = seam.config.keyid_bits;
    uint64_t mktme_bits = 32 - clz32(seam.config.num_mktme_keyids);

    return TME_ACTIVATE_LOCK | TME_ACTIVATE_ENABLE | bits << 32 |
           (bits - MIN(bits, mktme_bits)) << 36 | TME_AES_XTS_128 << 48;
}

/* The region has no RAM behind it: it ends where addresses without KeyID end. */
static uint64_t seamrr_base(void)
{
    return (1ull << (SEAM_MAX_PA - seam.config.keyid_bits)) - SEAMRR_SIZE;
}

static uint64_t seamrr_mask(void)
{
    return ((1ull << SEAM_MAX_PA) - 1) & ~(uint64_t)(SEAMRR_SIZE - 1);
}

/* All of these are read-only, or locked by the firmware that we stand for. */
static bool seam_rdmsr(CPUX86State *env, uint32_t msr, uint64_t *val)
{
    if (msr == MSR_IA32_ARCH_CAPABILITIES) {
        *val = env->features[FEAT_ARCH_CAPABILITIES];
        return env->features[FEAT_7_0_EDX] & CPUID_7_0_EDX_ARCH_CAPABILITIES;
    }
    if (!seam.present) {
        return false;
    }
    switch (msr) {
    case MSR_MKTME_KEYID_PARTITIONING:
        *val = keyid_partitioning();
        return true;
    case MSR_TME_CAPABILITY:
        *val = tme_capability();
        return true;
    case MSR_TME_ACTIVATE:
        *val = tme_activate();
        return true;
    case MSR_SEAMRR_BASE:
        *val = seamrr_base() | SEAMRR_BASE_CONFIGURED;
        return true;
    case MSR_SEAMRR_MASK:
        *val = seamrr_mask() | SEAMRR_MASK_LOCK | SEAMRR_MASK_VALID;
        return true;
    default:
        return false;
    }
}

static void seam_cpu_realize(X86CPU *cpu)
{
    CPUX86State *env = &cpu->env;

    if (seam.present && env->vmx && !env->vmx->seam) {
        SeamCpu *s = g_new0(SeamCpu, 1);

        s->lp = CPU(cpu)->cpu_index;
        env->vmx->seam = s;
    }
}

static void seam_cpu_reset(CPUX86State *env)
{
    SeamCpu *s = env->vmx ? env->vmx->seam : NULL;

    if (!s) {
        return;
    }
    s->in_td = false;
    s->entries = 0;
    env->vmx->shared_mask = 0;
    qatomic_cmpxchg(&seam.seamldr_lp, (int)s->lp, SEAM_NO_LP);
    if (seam.mod && s->lp < seam.num_lps) {
        tdxmod_lp_reset(seam.mod, s->lp);
    }
}

static VmxSeamOps seam_ops = {
    .realize = seam_cpu_realize,
    .reset = seam_cpu_reset,
    .insn = seam_insn,
    .rdmsr = seam_rdmsr,
};

void seam_configure(const SeamConfig *config)
{
    seam.config = *config;
    seam.present = true;
    seam_ops.keyid_mask = MAKE_64BIT_MASK(SEAM_MAX_PA - config->keyid_bits,
                                          config->keyid_bits);
}

/* Sockets as consecutive numbers in order of appearance. */
static bool fill_packages(TdxModConfig *c, Error **errp)
{
    uint32_t socket[TDXMOD_MAX_LPS];
    CPUState *cs;

    CPU_FOREACH(cs) {
        X86CPU *cpu = X86_CPU(cs);
        unsigned p;

        if (cs->cpu_index < 0 || cs->cpu_index >= TDXMOD_MAX_LPS) {
            error_setg(errp, "tdx-module: at most %d CPUs can run it; lower "
                       "-smp", TDXMOD_MAX_LPS);
            return false;
        }
        if (!cpu->env.vmx || !cpu->env.vmx->seam) {
            error_setg(errp, "tdx-module: CPU %d has no VMX; use -cpu tdx",
                       cs->cpu_index);
            return false;
        }
        if (cpu->phys_bits != SEAM_MAX_PA) {
            error_setg(errp, "tdx-module: CPU %d has %u physical address bits "
                       "and needs %d; use -cpu tdx", cs->cpu_index,
                       cpu->phys_bits, SEAM_MAX_PA);
            return false;
        }
        for (p = 0; p < c->num_pkgs && socket[p] != cpu->socket_id; p++) {
        }
        if (p == c->num_pkgs) {
            socket[c->num_pkgs++] = cpu->socket_id;
        }
        c->lp_pkg[cs->cpu_index] = p;
        c->num_lps = MAX(c->num_lps, cs->cpu_index + 1);
    }
    return true;
}

static void fill_cpu_state(TdxModConfig *c)
{
    CPUX86State *env = &X86_CPU(first_cpu)->env;

    c->xcr0 = (uint64_t)env->features[FEAT_XSAVE_XCR0_HI] << 32 |
              env->features[FEAT_XSAVE_XCR0_LO];
    c->xss = (uint64_t)env->features[FEAT_XSAVE_XSS_HI] << 32 |
             env->features[FEAT_XSAVE_XSS_LO];
}

/* CMRs are sorted: the last one ends where RAM ends. */
static bool ram_has_no_keyid(const TdxModConfig *c, Error **errp)
{
    const TdxCmr *last = c->num_cmrs ? &c->cmr[c->num_cmrs - 1] : NULL;

    if (last && last->base + last->size > seamrr_base()) {
        error_setg(errp, "tdx-module: RAM ends beyond the %d address bits that "
                   "keyid-bits=%u leaves; lower one of the two",
                   SEAM_MAX_PA - c->keyid_bits, c->keyid_bits);
        return false;
    }
    return true;
}

bool seam_start(const TdxCmr *cmr, unsigned num_cmrs, Error **errp)
{
    TdxModConfig c = {
        .max_pa = SEAM_MAX_PA,
        .keyid_bits = seam.config.keyid_bits,
        .num_mktme_keyids = seam.config.num_mktme_keyids,
        .num_tdx_keyids = seam.config.num_tdx_keyids,
        .major = seam.config.major,
        .minor = seam.config.minor,
        .update = seam.config.update,
        .build_date = seam.config.build_date,
        .dynamic_pamt = seam.config.dynamic_pamt,
        .num_cmrs = MIN(num_cmrs, TDXMOD_MAX_CMRS),
    };

    memcpy(c.cmr, cmr, c.num_cmrs * sizeof(*cmr));
    if (!ram_has_no_keyid(&c, errp) || !fill_packages(&c, errp)) {
        return false;
    }
    fill_cpu_state(&c);
    c.tsc_hz = seam_tsc_hz();
    seam.num_lps = c.num_lps;
    seam.mod = tdxmod_new(&seam_platform, &c);
    if (!seam.mod) {
        error_setg(errp, "tdx-module: the module model refuses this machine");
        return false;
    }
    return true;
}

void seam_system_reset(void)
{
    qatomic_set(&seam.random_counter, 0);
    if (seam.mod) {
        tdxmod_reset(seam.mod);
    }
}

TdxMod *seam_module(void)
{
    return seam.mod;
}

static void seam_register(void)
{
    vmx_seam_ops = &seam_ops;
}
type_init(seam_register)
