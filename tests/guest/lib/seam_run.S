/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SEAMCALL and TDCALL with all registers, fault-safe. */
    .text
    .macro insn name, bytes:vararg
    .globl \name
\name:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdi
    pushfq
    orq $0x8d5, (%rsp)          /* the flags that must come out defined */
    popfq
    movq 0(%rdi), %rax
    movq 8(%rdi), %rcx
    movq 16(%rdi), %rdx
    movq 24(%rdi), %rbx
    movq 40(%rdi), %rbp
    movq 48(%rdi), %rsi
    movq 64(%rdi), %r8
    movq 72(%rdi), %r9
    movq 80(%rdi), %r10
    movq 88(%rdi), %r11
    movq 96(%rdi), %r12
    movq 104(%rdi), %r13
    movq 112(%rdi), %r14
    movq 120(%rdi), %r15
    movq 56(%rdi), %rdi
1:  .byte \bytes
2:  pushq %rdi
    pushfq
    movq 16(%rsp), %rdi
    popq 128(%rdi)
    movq %rax, 0(%rdi)
    movq %rcx, 8(%rdi)
    movq %rdx, 16(%rdi)
    movq %rbx, 24(%rdi)
    movq %rbp, 40(%rdi)
    movq %rsi, 48(%rdi)
    popq 56(%rdi)
    movq %r8, 64(%rdi)
    movq %r9, 72(%rdi)
    movq %r10, 80(%rdi)
    movq %r11, 88(%rdi)
    movq %r12, 96(%rdi)
    movq %r13, 104(%rdi)
    movq %r14, 112(%rdi)
    movq %r15, 120(%rdi)
    popq %rdi
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret
    .pushsection .ex_table, "a"
    .quad 1b, 2b
    .popsection
    .endm

    insn seamcall_asm, 0x66, 0x0f, 0x01, 0xcf
    insn tdcall_asm, 0x66, 0x0f, 0x01, 0xcc

    .section .note.GNU-stack, "", @progbits
