/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSRs of a TD, inside the guest side. */
#ifndef TDXMOD_MSR_H
#define TDXMOD_MSR_H

#include "guest.h"

enum msr_result { MSR_DONE, MSR_INJECT_VE, MSR_INJECT_GP };

/*
 * The VMX MSR bitmap (SDM vol. 3, 26.6.9) of a TD: clear where the processor
 * handles the access.  Needs attributes, xfam and the CPUID of @td.
 */
void msr_build_bitmap(TdxMod *m, const Td *td, uint8_t bitmap[4096]);
/* An intercepted RDMSR, WRMSR of the guest in @v. */
enum msr_result msr_read(TdxMod *m, const Td *td, const Vcpu *v, uint32_t msr,
                         uint64_t *value);
enum msr_result msr_write(TdxMod *m, const Td *td, Vcpu *v, uint32_t msr,
                          uint64_t value);
/* XCR0 that a TD with this XFAM may load (SDM vol. 1, 13.3). */
bool msr_xcr0_valid(uint64_t xfam, uint64_t xcr0);

#define XFAM_SUPERVISOR         0x1dd00ull      /* components of IA32_XSS */

#endif
