/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control registers of a TD vCPU, inside the guest side. */
#ifndef TDXMOD_VP_STATE_H
#define TDXMOD_VP_STATE_H

#include "guest.h"

#define CR0_PE                  (1ull << 0)
#define CR0_NE                  (1ull << 5)
#define CR0_WP                  (1ull << 16)
#define CR0_NW                  (1ull << 29)
#define CR0_CD                  (1ull << 30)
#define CR0_PG                  (1ull << 31)
#define CR0_RESERVED            0x1ffaffc0ull   /* writes are ignored */
#define CR0_HIGH                0xffffffff00000000ull
#define CR0_GUEST_MASK \
    (CR0_PE | CR0_NE | CR0_NW | CR0_CD | CR0_RESERVED | CR0_HIGH)

#define CR4_PAE                 (1ull << 5)
#define CR4_MCE                 (1ull << 6)
#define CR4_LA57                (1ull << 12)
#define CR4_VMXE                (1ull << 13)
#define CR4_SMXE                (1ull << 14)
#define CR4_PCIDE               (1ull << 17)
#define CR4_OSXSAVE             (1ull << 18)
#define CR4_KL                  (1ull << 19)
#define CR4_PKE                 (1ull << 22)
#define CR4_CET                 (1ull << 23)
#define CR4_PKS                 (1ull << 24)
#define CR4_UINTR               (1ull << 25)
#define CR4_RESERVED            0xfffffffffc000000ull

#define EFER_LME                (1ull << 8)
#define EFER_LMA                (1ull << 10)

/* CR4 bits of features that XFAM or ATTRIBUTES deny the TD. */
uint64_t vp_cr4_denied(const struct tdcs *t);

#endif
