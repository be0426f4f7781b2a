/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -cpu tdx: what TCG can emulate of a server CPU that runs TDs.  It is the
 * model "max" as Intel would have built it, plus VMX.  Without a tdx-module
 * object it is a VMX machine with no trace of TDX.
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "qapi/error.h"
#include "cpu.h"
#include "target/i386/cpu-internal.h"
#include "tdx-module.h"

#define CPUID_7_0_ECX_TME       (1u << 13)
#define TME_BIT                 13

/*
 * Immune to what has a bit saying so, as CPUs with TDX are: otherwise the
 * kernel looks for workarounds that mean nothing to an emulator.
 * 0 RDCL_NO, 1 IBRS_ALL, 3 SKIP_L1DFL_VMENTRY, 4 SSB_NO, 5 MDS_NO,
 * 6 PSCHANGE_MC_NO, 8 TAA_NO, 13-15 SBDR_SSDP_NO FBSDP_NO PSDP_NO,
 * 20 BHI_NO, 24 PBRSB_NO, 26 GDS_NO, 27 RFDS_NO.
 */
#define ARCH_CAPABILITIES       0x0d10e17bull

typedef struct FeatureSet {
    FeatureWord word;
    uint64_t bits;
} FeatureSet;

/* On, if this TCG has them: some come from other files of this extension. */
static const FeatureSet features_on[] = {
    { FEAT_1_ECX, CPUID_EXT_VMX },
    { FEAT_1_EDX, CPUID_SS },
    { FEAT_7_0_ECX, CPUID_7_0_ECX_MOVDIRI | CPUID_7_0_ECX_MOVDIR64B |
                    CPUID_7_0_ECX_TME },
    { FEAT_7_0_EDX, CPUID_7_0_EDX_ARCH_CAPABILITIES },
    { FEAT_8000_0007_EDX, CPUID_APM_INVTSC },
};

/*
 * Off: what only AMD's CPUs have, and what VMX guests cannot be given yet
 * (five-level EPT, MPX and PKS state at VM entry).
 */
static const FeatureSet features_off[] = {
    { FEAT_7_0_EBX, CPUID_7_0_EBX_MPX },
    { FEAT_7_0_ECX, CPUID_7_0_ECX_LA57 | CPUID_7_0_ECX_PKS },
    { FEAT_8000_0001_EDX, CPUID_EXT2_AMD_ALIASES | CPUID_EXT2_MMXEXT |
                          CPUID_EXT2_FFXSR | CPUID_EXT2_3DNOWEXT |
                          CPUID_EXT2_3DNOW },
    { FEAT_8000_0001_ECX, CPUID_EXT3_SVM | CPUID_EXT3_CR8LEG |
                          CPUID_EXT3_SSE4A | CPUID_EXT3_CMP_LEG },
    { FEAT_SVM, ~0ull },
    { FEAT_8000_0021_EAX, ~0ull },
    { FEAT_ARCH_CAPABILITIES, ~ARCH_CAPABILITIES },
};

/* -cpu tdx,NAME=... on the command line comes later and wins. */
static void set_features(CPUX86State *env)
{
    for (int i = 0; i < ARRAY_SIZE(features_on); i++) {
        const FeatureSet *f = &features_on[i];

        env->features[f->word] |=
            f->bits & feature_word_info[f->word].tcg_features;
    }
    for (int i = 0; i < ARRAY_SIZE(features_off); i++) {
        const FeatureSet *f = &features_off[i];

        env->features[f->word] &= ~f->bits;
        env->user_features[f->word] |= f->bits;
    }
    env->features[FEAT_ARCH_CAPABILITIES] |= ARCH_CAPABILITIES;
}

static void tdx_cpu_init(Object *obj)
{
    static const struct { const char *name; int64_t value; } number[] = {
        { "family", 6 }, { "model", 173 }, { "stepping", 1 },
        { "phys-bits", 52 }, { "min-level", 0x1f }, { "xlevel", 0x80000008 },
    };

    object_property_set_str(obj, "vendor", CPUID_VENDOR_INTEL, &error_abort);
    object_property_set_str(obj, "model-id", "tdxemu virtual CPU",
                            &error_abort);
    for (int i = 0; i < ARRAY_SIZE(number); i++) {
        object_property_set_int(obj, number[i].name, number[i].value,
                                &error_abort);
    }
    object_property_set_bool(obj, "pmu", false, &error_abort);
    set_features(&X86_CPU(obj)->env);
}

static void tdx_cpu_class_init(ObjectClass *oc, void *data)
{
    X86CPUClass *xcc = X86_CPU_CLASS(oc);

    xcc->model_description =
        "Emulated Intel CPU with VMX; with -object tdx-module, a TDX host";
}

static const TypeInfo tdx_cpu_info = {
    .name = X86_CPU_TYPE_NAME("tdx"),
    .parent = X86_CPU_TYPE_NAME("max"),
    .instance_init = tdx_cpu_init,
    .class_init = tdx_cpu_class_init,
};

/*
 * TCG's feature tables are writable.  Only the model above, or a user who
 * asks, gets the additions: other models stay as they are.
 */
static void offer(FeatureWord word, uint64_t bits)
{
    FeatureWordInfo *w = &feature_word_info[word];

    w->tcg_features |= bits;
    w->no_autoenable_flags |= bits;
}

void tdx_offer_tme(void)
{
    offer(FEAT_7_0_ECX, CPUID_7_0_ECX_TME);
}

static void tdx_cpu_register(void)
{
    feature_word_info[FEAT_7_0_ECX].feat_names[TME_BIT] = "tme";
    feature_word_info[FEAT_1_ECX].no_autoenable_flags |= CPUID_EXT_VMX;
    feature_word_info[FEAT_7_0_ECX].no_autoenable_flags |=
        CPUID_7_0_ECX_MOVDIRI | CPUID_7_0_ECX_MOVDIR64B;
    offer(FEAT_7_0_EDX, CPUID_7_0_EDX_ARCH_CAPABILITIES);
    offer(FEAT_8000_0007_EDX, CPUID_APM_INVTSC);
    type_register_static(&tdx_cpu_info);
}
type_init(tdx_cpu_register)
