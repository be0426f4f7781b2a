/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nested guest: real mode at VM_START (with a few checks there), protected mode, 64-bit
 * mode. Other CPUs start at VM_AP_START by a start-up IPI and take the same way without
 * the checks.
 */
#include "guest.h"
#include "vm_proto.h"

#define PTE_PRESENT_RW  0x3
#define PTE_LARGE       0x80
#define CR4_PAE         0x20
#define EFER_LME_NXE    0x900
#define CR0_PG_WP_NE_PE 0x80010021

    .section .boot, "ax"
    .code16
    .global start16
start16:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7000, %sp

    /* Port I/O */
    movw $VM_PORT_ECHO, %dx
    movw $0x1234, %ax
    outw %ax, %dx
    inw %dx, %ax
    movw %ax, real_io
    /* A software interrupt through the real-mode vector table */
    movw $real_handler, 0x21 * 4
    movw $0, 0x21 * 4 + 2
    int $0x21
    /* A segment with another base: 0x1000:0x5678 is 0x15678 */
    movw $0x1000, %ax
    movw %ax, %es
    movl $0xcafe1234, %es:0x5678
    /* CPUID exits in real mode as well */
    xorl %eax, %eax
    xorl %ecx, %ecx
    cpuid
    movl %ebx, real_cpuid

    xorl %esi, %esi
    jmp enter32

real_handler:
    movw $0x4321, real_int
    iret

    .global real_io, real_int, real_cpuid
    .balign 4
real_cpuid:
    .long 0
real_io:
    .word 0
real_int:
    .word 0

enter32:
    lgdtl gdt32_ptr
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $SEL_CODE32, $start32

    .balign 8
gdt32:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00cf9b000000ffff
gdt32_ptr:
    .word . - gdt32 - 1
    .long gdt32

    .section .ap, "ax"
    .code16
start_ap:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movl $1, %esi
    ljmp $0, $enter32

    .text
    .code32
start32:
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    imull $-VM_STACK_SIZE, %esi, %esp
    addl $VM_STACK_TOP, %esp
    testl %esi, %esi
    jnz 1f
    call build_page_tables
1:  movl $pml4, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $MSR_EFER_NUM, %ecx
    rdmsr
    orl $EFER_LME_NXE, %eax
    wrmsr
    movl $CR0_PG_WP_NE_PE, %eax
    movl %eax, %cr0
    lgdt gdt_ptr
    ljmp $SEL_CODE64, $start64

    .set MSR_EFER_NUM, 0xc0000080

    /*
     * VA = GPA for the first and the fourth GiB by 2M pages; GiB 2 starts with a page
     * table.
     */
build_page_tables:
    movl $pdpt + PTE_PRESENT_RW, pml4
    movl $pd0 + PTE_PRESENT_RW, pdpt
    movl $pd1 + PTE_PRESENT_RW, pdpt + 1 * 8
    movl $pd3 + PTE_PRESENT_RW, pdpt + 3 * 8
    movl $test_pt + PTE_PRESENT_RW, pd1
    xorl %ecx, %ecx
    movl $PTE_PRESENT_RW | PTE_LARGE, %eax
2:  movl %eax, pd0(, %ecx, 8)
    leal 0xc0000000(%eax), %edx
    movl %edx, pd3(, %ecx, 8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $512, %ecx
    jne 2b
    ret

    .code64
start64:
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %esp, %esp
    movl %esi, %edi
    xorl %ebp, %ebp
    call vmguest_main
3:  hlt
    jmp 3b

    .section .bss.pages, "aw", @nobits
    .balign 4096
    .global test_pt
pml4:
    .skip 4096
pdpt:
    .skip 4096
pd0:
    .skip 4096
pd1:
    .skip 4096
pd3:
    .skip 4096
test_pt:
    .skip 4096
