/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module's CPUID table: which bits of which leaf a TD gets from the
 * processor, from its host, or always.  A bit in no mask is 0 in every TD.
 * Order of the rows with CPUID_ROW_CONFIG: that of TD_PARAMS.CPUID_CONFIG.
 */
#include "cpuid.h"

#define ALL                     0xffffffffu
#define CONFIG                  CPUID_ROW_CONFIG
#define TOPOLOGY                (CPUID_ROW_CONFIG | CPUID_ROW_TOPOLOGY)
#define CACHE_LEVEL(n) \
    { 4, n, CONFIG, .native = { 0x00003c00, 0x00000fff, 0, 0 }, \
      .config = { 0xffffc3ff, 0xfffff000, ALL, 7 } }
#define TOPOLOGY_LEVEL(n) \
    { 0x1f, n, TOPOLOGY, .config = { 0x1f, 0xffff, 0xffff, 0 } }
/* State components: the processor's layout, if XFAM has them. */
#define XSAVE_COMPONENT(n)      { 0xd, n, 0, .native = { ALL, ALL, ALL, ALL } }
#define ZERO(l, s)              { .leaf = l, .sub = s }
#define VE(l, s)                { .leaf = l, .sub = s, .flags = CPUID_ROW_VE }
#define NO_SUB                  CPUID_NO_SUBLEAF

static const struct cpuid_row rows[] = {
    /* "GenuineIntel" */
    { 0, NO_SUB, 0,
      .fixed1 = { CPUID_LAST_BASE, 0x756e6547, 0x6c65746e, 0x49656e69 } },
    /* ECX: x2APIC and "hypervisor" are the module's. */
    { 1, NO_SUB, CONFIG,
      .native = { 0x0fff3fff, 0x0000ff00, 0x77fab217, 0x1fa9fbff },
      .config = { 0x0fff3fff, 0x00ff0000, 0, 0 },
      .allow = { 0, 0, 0x31044d88, 0xb8445080 },
      .fixed1 = { 0, 0, 0x80200000, 0 } },
    VE(2, NO_SUB),
    ZERO(3, NO_SUB),
    CACHE_LEVEL(0), CACHE_LEVEL(1), CACHE_LEVEL(2), CACHE_LEVEL(3),
    { 5, NO_SUB, 0, .native = { ALL, ALL, ALL, ALL } },
    VE(6, NO_SUB),
    /* EDX: IA32_ARCH_CAPABILITIES is the module's own. */
    { 7, 0, CONFIG,
      .native = { 2, 0xfdbfbffb, 0x9b41ffef, 0xffdd453c },
      .allow = { 0, 0xdc2b9b18, 0x02417f65, 0x4005411c },
      .fixed1 = { 0, 0, 0, 0x20000000 } },
    { 7, 1, CONFIG,
      .native = { 0x04a81dff, 0, 0, 0x00024430 },
      .allow = { 0x04a81dbf, 0, 0, 0x00024430 } },
    { 7, 2, CONFIG, .native = { 0, 0, 0, 0x3f }, .allow = { 0, 0, 0, 0x28 } },
    VE(9, NO_SUB),
    ZERO(0xa, NO_SUB),
    VE(0xc, NO_SUB),
    XSAVE_COMPONENT(0), XSAVE_COMPONENT(1), XSAVE_COMPONENT(2),
    XSAVE_COMPONENT(3), XSAVE_COMPONENT(4), XSAVE_COMPONENT(5),
    XSAVE_COMPONENT(6), XSAVE_COMPONENT(7), XSAVE_COMPONENT(8),
    XSAVE_COMPONENT(9), XSAVE_COMPONENT(10), XSAVE_COMPONENT(11),
    XSAVE_COMPONENT(12), XSAVE_COMPONENT(13), XSAVE_COMPONENT(14),
    XSAVE_COMPONENT(15), XSAVE_COMPONENT(16), XSAVE_COMPONENT(17),
    XSAVE_COMPONENT(18),
    VE(0xf, 0), VE(0xf, 1),
    VE(0x10, 0), VE(0x10, 1), VE(0x10, 2), VE(0x10, 3),
    ZERO(0x14, 0), ZERO(0x14, 1),
    /* EBX: the TD's own frequency */
    { 0x15, NO_SUB, 0, .fixed1 = { 1, 0, 25000000, 0 } },
    VE(0x16, NO_SUB),
    VE(0x17, NO_SUB),
    { 0x1a, NO_SUB, 0, .native = { ALL, 0, 0, 0 } },
    VE(0x1b, NO_SUB),
    ZERO(0x1c, NO_SUB),
    ZERO(0x1d, 0), ZERO(0x1d, 1), ZERO(0x1e, 0),
    TOPOLOGY_LEVEL(0), TOPOLOGY_LEVEL(1), TOPOLOGY_LEVEL(2),
    TOPOLOGY_LEVEL(3), TOPOLOGY_LEVEL(4), TOPOLOGY_LEVEL(5),
    /* "IntelTDX    " */
    { 0x21, 0, 0, .fixed1 = { 0, 0x65746e49, 0x20202020, 0x5844546c } },
    ZERO(0x23, 0),
    { 0x80000000, NO_SUB, 0, .fixed1 = { CPUID_LAST_EXTENDED, 0, 0, 0 } },
    { 0x80000001, NO_SUB, 0, .native = { 0, 0, 0x121, 0x2c100800 } },
    VE(0x80000002, NO_SUB), VE(0x80000003, NO_SUB), VE(0x80000004, NO_SUB),
    VE(0x80000005, NO_SUB),
    { 0x80000006, NO_SUB, 0, .native = { 0, 0, ALL, 0 } },
    { 0x80000007, NO_SUB, 0, .fixed1 = { 0, 0, 0, 0x100 } },
    /* EAX[15:8] follows LA57 */
    { 0x80000008, NO_SUB, CONFIG, .native = { 0xff, 0x200, 0, 0 },
      .config = { 0xff, 0, 0, 0 }, .allow = { 0, 0x200, 0, 0 } },
};
_Static_assert(G_N_ELEMENTS(rows) <= TDCS_MAX_CPUID, "TDCS has room");
_Static_assert(G_N_ELEMENTS(rows) <= 128, "TDVPR.cpuid_control has room");

const struct cpuid_row *cpuid_row(unsigned index)
{
    return index < G_N_ELEMENTS(rows) ? &rows[index] : NULL;
}

int cpuid_find(uint32_t leaf, uint32_t sub)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].leaf == leaf && rows[i].sub == sub) {
            return i;
        }
    }
    return -1;
}
