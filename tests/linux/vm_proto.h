/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What vmtest and its guest agree on: memory map and ports. Included by C and by
 * assembly.
 */
#ifndef TESTS_LINUX_VM_PROTO_H
#define TESTS_LINUX_VM_PROTO_H

#define VM_RAM_SIZE     0x1000000
#define VM_START        0x8000      /* real-mode CS:IP = 0:VM_START */
#define VM_AP_START     0x9000      /* start-up IPI vector 9 */
#define VM_STACK_TOP    0x90000     /* CPU n: VM_STACK_TOP - n * VM_STACK_SIZE */
#define VM_STACK_SIZE   0x4000
#define VM_MMIO_GPA     0xd0000000
#define VM_MAX_CPUS     2

#define VM_PORT_CONSOLE 0xe9        /* out 8 */
#define VM_PORT_EXIT    0xf4        /* out 8: number of failed checks */
#define VM_PORT_ECHO    0x510       /* in: complement of what was last written */
#define VM_PORT_COUNT   0x514       /* out: counted; in 32: how many so far */
#define VM_PORT_IRQ     0x518       /* out 32: GSI | level << 8 */
#define VM_PORT_LEVEL   0x51c       /* out 32: lower that GSI */

#define VM_GSI          5
/* 47 characters and the NUL */
#define VM_BRAND        "tdxemu nested virtual machine, brand string 1.0"

#endif
