/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checks of VM entry (SDM vol. 3, 27.2 and 27.3): controls and host state
 * in checks.c, guest state in checks-guest.c.
 *
 * Each pass is a table of rules; the rule that a VMCS breaks is logged under
 * guest_errors.
 */
#ifndef TCG_VMX_CHECKS_H
#define TCG_VMX_CHECKS_H

#include "vmx.h"

typedef struct VmxCheck {
    CPUX86State *env;
    const Vmcs *v;
    uint32_t ctl[VMX_CAP_ENTRY + 1];    /* by VmxCap */
    uint32_t inject;
    uint64_t qual;                      /* of a failure in the guest's state */
    /* The guest's */
    uint64_t cr0, cr4, rflags;
    bool unrestricted, ia32e, vm86;
} VmxCheck;

typedef struct VmxRule {
    const char *text;           /* what has to be true */
    bool (*holds)(VmxCheck *c);
} VmxRule;

void vmx_check_init(VmxCheck *c, CPUX86State *env, const Vmcs *v);
bool vmx_check_run(VmxCheck *c, const VmxRule *rules, int count);
/* Log that @text does not hold, for @field if it is not 0; returns false. */
bool vmx_check_broken(const char *text, uint32_t field);

static inline uint64_t field(const VmxCheck *c, uint32_t encoding)
{
    return vmcs_read(c->v, encoding);
}

static inline bool ctl(const VmxCheck *c, VmxCap word, uint32_t bits)
{
    return c->ctl[word] & bits;
}

/* Properties of values, for this processor */
bool vmx_check_physical(const VmxCheck *c, uint64_t pa, uint64_t align_mask);
int vmx_check_linear_bits(const VmxCheck *c);
bool vmx_check_canonical(const VmxCheck *c, uint64_t addr);
bool vmx_check_all_canonical(const VmxCheck *c, const uint16_t *fields, int count);
bool vmx_check_pat(uint64_t pat);
/* @lma: what the address-space size or IA-32e control says. */
bool vmx_check_efer(const VmxCheck *c, uint64_t efer, bool lma, bool paging);
bool vmx_check_fixed(uint64_t value, uint64_t fixed0, uint64_t fixed1);
bool vmx_check_cr3(const VmxCheck *c, uint64_t cr3);

#endif
