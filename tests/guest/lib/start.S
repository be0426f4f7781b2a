/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the reset vector to C: real mode in the ROM, a copy to RAM, long mode
 * with an identity map of 4 GiB; the same for application processors, which
 * start at AP_TRAMPOLINE; and the entry points of all interrupt vectors.
 */
#include "layout.h"

    .code16
    .section .resetvector, "ax"
    jmp boot16
    .balign 16, 0

    .section .boot, "ax"
    .globl boot16
boot16:
    cli
    lgdtl %cs:(boot_gdtr - boot16 + 0xf000)
    movl %cr0, %eax
    andl $0x9fffffff, %eax          /* CD and NW are set after reset */
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $SEL_CODE32, $boot32

    .code32
boot32:
    movw $SEL_DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    cld
    movl $image_load, %esi
    movl $image_start, %edi
    movl $image_end, %ecx
    subl %edi, %ecx
    shrl $2, %ecx
    rep movsl
    movl $bss_start, %edi
    movl $bss_end, %ecx
    subl %edi, %ecx
    shrl $2, %ecx
    xorl %eax, %eax
    rep stosl
    movl $bsp32, %eax
    jmp *%eax

    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff        /* SEL_CODE32 */
    .quad 0x00cf93000000ffff        /* SEL_DATA */
    .quad 0x00af9b000000ffff        /* SEL_CODE64 */
boot_gdt_end:
boot_gdtr:
    .word boot_gdt_end - boot_gdt - 1
    .long boot_gdt

    /* Copied to AP_TRAMPOLINE by smp.c. */
    .text
    .code16
    .globl ap_trampoline, ap_trampoline_end
ap_trampoline:
    cli
    lgdtl %cs:(ap_gdtr - ap_trampoline)
    movl %cr0, %eax
    andl $0x9fffffff, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $SEL_CODE32, $ap32
    .balign 4
ap_gdtr:
    .word 31
    .long boot_gdt
ap_trampoline_end:

    .code32
bsp32:
    /* 4 page directories of 2 MiB pages; everything is user accessible */
    movl $boot_pd, %edi
    movl $0xe7, %eax
1:  movl %eax, (%edi)
    addl $8, %edi
    addl $0x200000, %eax
    jnc 1b
    movl $boot_pd + 7, boot_pdpt
    movl $boot_pd + 0x1007, boot_pdpt + 8
    movl $boot_pd + 0x2007, boot_pdpt + 16
    movl $boot_pd + 0x3007, boot_pdpt + 24
    movl $boot_pdpt + 7, boot_pml4
    xorl %ebx, %ebx
    movl $boot_stack + STACK_SIZE, %esp
    jmp long_mode

ap32:
    movw $SEL_DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $1, %ebx
    lock xaddl %ebx, ap_next
    movl %ebx, %eax
    imull $STACK_SIZE, %eax
    leal boot_stack + STACK_SIZE(%eax), %esp

long_mode:
    movl $0x620, %eax               /* PAE, OSFXSR, OSXMMEXCPT */
    movl %eax, %cr4
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x900, %eax                /* LME, NXE */
    wrmsr
    movl %cr0, %eax
    orl $0x80000022, %eax           /* PG, NE, MP */
    movl %eax, %cr0
    ljmpl $SEL_CODE64, $start64

    .code64
start64:
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %ebx, %edi
    call cpu_main
1:  hlt
    jmp 1b

    /* One stub of 16 bytes for each vector. */
    .balign 16
    .globl vector_stubs
vector_stubs:
    vector = 0
    .rept 256
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
    pushq $0
    .endif
    pushq $vector
    jmp vector_common
    vector = vector + 1
    .endr

    .balign 16
vector_common:
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
    movq %rsp, %rbx
    andq $-16, %rsp
    cld
    call vector_handler
    movq %rbx, %rsp
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

    /* void run_user(void (*fn)(void)): calls fn at CPL 3. */
    .globl run_user, user_return
run_user:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %gs:PERCPU_SAVED_RSP
    movq %gs:PERCPU_USER_RSP, %rax
    leaq user_end(%rip), %rcx
    movq %rcx, -8(%rax)
    subq $8, %rax
    pushq $SEL_USER_DATA | 3
    pushq %rax
    pushq $2
    pushq $SEL_USER_CODE | 3
    pushq %rdi
    iretq
user_end:
    int $VECTOR_USER_END
user_return:                        /* the gate of VECTOR_USER_END */
    movq %gs:PERCPU_SAVED_RSP, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

    .data
    .balign 4
ap_next:
    .long 1

    .bss
    .balign 4096
    .globl boot_pml4
boot_pml4:
    .skip 4096
boot_pdpt:
    .skip 4096
boot_pd:
    .skip 4 * 4096
boot_stack:
    .skip MAX_CPUS * STACK_SIZE

    .section .note.GNU-stack, "", @progbits
