/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Most VM entries resume a guest whose controls, host state, segments and control
 * registers are what they were.  Those need no second check: we keep the fields that
 * the last successful entry checked and compare.  What rules of checks.c and
 * checks-guest.c call "always" is not among them, as it depends on memory, or
 * changes at each exit.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "vmx.h"

#define VALID   1u      /* there was such an entry */

/* All that the rules depend on and that is no field. */
static uint32_t conditions(CPUX86State *env, const Vmcs *v)
{
    return VALID | (env->hflags & HF_LMA_MASK) |
           (vmcs_read(v, VMCS_GUEST_RFLAGS) & VM_MASK);
}
_Static_assert(!((HF_LMA_MASK | VM_MASK) & VALID) && !(HF_LMA_MASK & VM_MASK),
               "bits of their own");

/* @count fields from @first on, which are neighbours in their group. */
#define SAME(first, count)                                              \
    (!memcmp(&known[vmcs_slot(first)], &v->field[vmcs_slot(first)], (count) * 8))

bool vmx_checks_known(CPUX86State *env, const Vmcs *v)
{
    const uint64_t *known = env->vmx->known;

    /* Those that change most are first.  Not here: CR0 and CR4 masks and shadows, */
    /* event injection, RSP, RIP, RFLAGS, interruptibility, activity, HOST_RSP */
    return env->vmx->known_flags == conditions(env, v) &&
           SAME(VMCS_GUEST_CR0, 14) &&                  /* to DR7 */
           SAME(VMCS_GUEST_ES_SEL, 8) &&
           SAME(VMCS_GUEST_ES_LIMIT, 18) &&             /* and access rights */
           SAME(VMCS_LINK_POINTER, 16) &&               /* all of 64 bits */
           SAME(VMCS_GUEST_SYSENTER_ESP, 6) &&
           SAME(VMCS_PIN_CONTROLS, 11) &&               /* to MSR-load count */
           SAME(VMCS_TPR_THRESHOLD, 10) &&              /* and secondary controls */
           SAME(VMCS_IO_BITMAP_A, 40) &&
           SAME(VMCS_VPID, 4) &&
           SAME(VMCS_HOST_CR0, 10) && SAME(VMCS_HOST_RIP, 5) &&
           SAME(VMCS_HOST_ES_SEL, 8) && SAME(VMCS_HOST_PAT, 8) &&
           SAME(VMCS_HOST_SYSENTER_CS, 4);
}

void vmx_checks_passed(CPUX86State *env, const Vmcs *v)
{
    memcpy(env->vmx->known, v->field, sizeof(v->field));
    env->vmx->known_flags = conditions(env, v);
}
