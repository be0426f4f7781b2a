/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of vmtest's guest. */
#ifndef TESTS_LINUX_VMGUEST_H
#define TESTS_LINUX_VMGUEST_H

#include "guest.h"
#include "vm_proto.h"

#define TRAP_OF(insn, ...) ({                                           \
    this_cpu()->trap_vector = NO_TRAP;                                       \
    __asm__ volatile(TRY(insn) : : __VA_ARGS__                          \
                     : "memory", "r11", "rax", "rcx", "rdx");           \
    this_cpu()->trap_vector; })

/* vmguest_cpu.c */
void test_cpu(void);
/*
 * vmguest_mem.c: #PF, INVLPG, access rights; page_fault() serves the demand-paged area.
 */
void test_memory(void);
bool page_fault(struct trap_frame *f);
/* vmguest_irq.c */
void test_irq(void);
void test_smp(void);
void ap_main(void) __attribute__((noreturn));
extern bool x2apic;

#endif
