/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDVPS: the six pages of a TD vCPU, as far as the processor itself loads and
 * saves them.  The module's own part of page 0 follows struct tdvps_guest.
 */
#ifndef TDX_TDVPS_H
#define TDX_TDVPS_H

#include <stdint.h>

enum tdvps_page {
    TDVPS_TDVPR = 0,            /* struct tdvps_guest at TDVPS_GUEST_OFFSET */
    TDVPS_VMCS = 1,             /* struct Vmcs, see vmx/vmcs.h */
    TDVPS_VAPIC = 2,            /* virtual-APIC page */
    TDVPS_XBUFF = 3,            /* XSAVE area, standard format, one page */
    TDVPS_MSR_BITMAP = 4,       /* VMX MSR bitmap of this vCPU */
    TDVPS_SPARE = 5,
};

#define TDVPS_GUEST_OFFSET      2048

/* Guest state that VM entry and exit do not switch. */
struct tdvps_guest {
    uint64_t gpr[16];           /* RSP's place is unused: it is in the VMCS */
    uint64_t cr2;
    uint64_t dr[4];
    uint64_t dr6;
    uint64_t xcr0;
    uint64_t xss;
    uint64_t star, lstar, fmask, kernel_gs_base, tsc_aux;
    uint64_t spec_ctrl;
};
_Static_assert(sizeof(struct tdvps_guest) <= 2048, "fits the TDVPR page");

#endif
