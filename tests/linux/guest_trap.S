/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GDT, IDT and trap entries of a 64-bit guest. */
#include "guest.h"

    .code64
    .section .data
    .balign 16
    .global gdt, gdt_ptr
gdt:
    .quad 0
    .quad 0x00af9b000000ffff        /* SEL_CODE64 */
    .quad 0x00cf93000000ffff        /* SEL_DATA */
    .quad 0x00cf9b000000ffff        /* SEL_CODE32 */
gdt_end:
    .balign 8
    .word 0, 0, 0
gdt_ptr:
    .word gdt_end - gdt - 1
    .quad gdt

    .bss
    .balign 16
idt:
    .skip 256 * 16
    .section .data
    .balign 8
    .word 0, 0, 0
idt_ptr:
    .word 256 * 16 - 1
    .quad idt

    .text
    /* void idt_load(void): every CPU writes the same table, then loads it. */
    .global idt_load
idt_load:
    leaq trap_stubs(%rip), %rax
    leaq idt(%rip), %rdi
    movl $256, %ecx
1:
    movw %ax, (%rdi)
    movw $SEL_CODE64, 2(%rdi)
    movw $0x8e00, 4(%rdi)           /* present interrupt gate, IST 0 */
    movq %rax, %rdx
    shrq $16, %rdx
    movw %dx, 6(%rdi)
    shrq $16, %rdx
    movl %edx, 8(%rdi)
    movl $0, 12(%rdi)
    addq $16, %rax
    addq $16, %rdi
    decl %ecx
    jnz 1b
    lidt idt_ptr(%rip)
    ret

    /* One stub of 16 bytes a vector; vectors without an error code push a zero. */
    .balign 16
trap_stubs:
    vector = 0
    .rept 256
    .balign 16
    .if !((vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || \
          (vector == 21))
    pushq $0
    .endif
    pushq $vector
    jmp trap_common
    vector = vector + 1
    .endr

    .balign 16
trap_common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %rdi
    movq %rsp, %rbp
    andq $-16, %rsp
    cld
    call trap
    movq %rbp, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq
