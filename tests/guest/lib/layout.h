/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers that assembly and C share: selectors, memory layout. */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

#define SEL_CODE32      0x08
#define SEL_DATA        0x10
#define SEL_CODE64      0x18
#define SEL_USER_DATA   0x20
#define SEL_USER_CODE   0x28
#define SEL_TSS         0x30    /* 16 bytes */
#define GDT_SIZE        0x40

#define MAX_CPUS        8
#define STACK_SIZE      0x8000
#define AP_TRAMPOLINE   0x8000
#define HEAP_START      0x1000000       /* 16 MiB: pages for the allocator */

#define VECTOR_USER_END 0x81

/* struct PerCpu */
#define PERCPU_SAVED_RSP        8
#define PERCPU_USER_RSP         16

#endif
