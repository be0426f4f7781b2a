/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of a machine that target/i386/tcg/vmx/ needs to run without an
 * emulator around it: RAM, memory accesses of instructions, exceptions.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <setjmp.h>

#define FUZZ_RAM        0x10000ull      /* the rest of the address space is empty */

extern uint8_t fuzz_ram[FUZZ_RAM];
extern AddressSpace fuzz_memory;
extern sigjmp_buf fuzz_return;          /* where instructions end that do not return */
extern int fuzz_exception;              /* the one that was raised, or -1 */
extern bool fuzz_entering;              /* exceptions are those of a guest */

uint64_t fuzz_random(void);
/* Print the seed and the round, then end with a failure. */
G_NORETURN void fuzz_finding(const char *text);

#endif
