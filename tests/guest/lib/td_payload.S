/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code that TDs of the tests run: 5 pages at GPA 0xFFFFB000 with the TD
 * reset vector at their end.  It goes to 64-bit mode and then, for ever, asks
 * L1 for an operation by TDG.VP.VMCALL, does it, and reports the outcome with
 * the next one.
 *
 * Linear 0..4 GiB is the private GPA of the same number; 512 GiB + x is the
 * shared GPA of x.  Each vCPU has 512 bytes for its stack and this record:
 */
#define REC_VECTOR  0
#define REC_ERROR   8
#define REC_RIP     16
#define REC_CR2     24
#define REC_FIRST   32          /* initial RCX RDX RBX RSI R8 RBP */

#define BASE        0xffffb000
#define AT(sym)     (sym - td_payload + BASE)
#define CODE        0xfffff000

    .section .data
    .balign 4096
    .globl td_payload, td_payload_end
td_payload:
    /* page 0: PML4 */
    .quad BASE + 0x1000 + 0x27, BASE + 0x2000 + 0x27
    .org td_payload + 0x1000
    /* page 1: private memory in 1 GiB pages */
    .quad 0xe3, 0x400000e3, 0x800000e3, 0xc00000e3
    .org td_payload + 0x2000
    /* page 2: shared memory */
    .quad 0x8000000000e3, 0x8000400000e3, 0x8000800000e3, 0x8000c00000e3
    .org td_payload + 0x3000
    /* page 3: GDT, IDT, per-vCPU areas from A00H */
p_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
p_gdtr:
    .word 31
    .long BASE + 0x3000
    .balign 8
p_idtr:
    .word 0x61f
    .quad BASE + 0x3200
p_idtr_none:
    .word 0
    .quad 0
    .org td_payload + 0x3100
p_far32:
    .long AT(compat_code)
    .word 0x18
p_far64:
    .long AT(op_tdcall32_back)
    .word 0x08
    .org td_payload + 0x3200
    vector = 0
    .rept 32
    .word 0xf800 + vector * 16, 0x08, 0x8e00, 0xffff
    .long 0, 0
    vector = vector + 1
    .endr
    .org td_payload + 0x3200 + 0x61 * 16
    .word 0xf800 + 32 * 16, 0x08, 0x8e00, 0xffff
    .long 0, 0
    .org td_payload + 0x4000

    /* page 4: code; ESI is the vCPU's index, EAX and EDI are free */
    .code32
p_start:
    movl $BASE, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    lgdt AT(p_gdtr)
    ljmp $0x08, $AT(p_start64)

    .code64
p_start64:
    movl $0x10, %eax
    movl %eax, %ss
    movl %eax, %ds
    movl %eax, %es
    movl %esi, %eax
    shll $9, %eax
    movl $BASE + 0x3a00, %edi
    addq %rax, %rdi
    movq %rcx, REC_FIRST(%rdi)
    movq %rdx, REC_FIRST + 8(%rdi)
    movq %rbx, REC_FIRST + 16(%rdi)
    movq %rsi, REC_FIRST + 24(%rdi)
    movq %r8, REC_FIRST + 32(%rdi)
    movq %rbp, REC_FIRST + 40(%rdi)
    leaq 512(%rdi), %rsp
    movl $AT(p_idtr), %eax
    lidt (%rax)
    movq %rdi, %rbp
    movl $0xff, REC_VECTOR(%rbp)

    /*
     * Results: RAX RCX RDX R8 R9 R10 R11.  The report: R10 magic, R11..R15, RBX,
     * RSI the results; RDI vector, RDX error code, R8 CR2, R9 RIP.
     */
report:
    movq %r11, %rsi
    movq %r10, %rbx
    movq %r9, %r15
    movq %r8, %r14
    movq %rdx, %r13
    movq %rcx, %r12
    movq %rax, %r11
    movl $0x746478, %r10d
    movq REC_VECTOR(%rbp), %rdi
    movq REC_ERROR(%rbp), %rdx
    movq REC_CR2(%rbp), %r8
    movq REC_RIP(%rbp), %r9
    xorl %eax, %eax
    movl $0xffcc, %ecx
    .byte 0x66, 0x0f, 0x01, 0xcc
    /* the next operation: R10; arguments R11 R12 R13 R14 R15 */
    movl $0xff, %eax
    movq %rax, REC_VECTOR(%rbp)
    cmpl $(op_table_end - op_table) / 2, %r10d
    jae report
    leaq op_table(%rip), %rdi
    movzwl (%rdi, %r10, 2), %eax
    leaq td_payload(%rip), %rdi
    addq %rdi, %rax
    jmp *%rax

op_table:
    .word op_tdcall - td_payload, op_cpuid - td_payload, op_rdmsr - td_payload
    .word op_wrmsr - td_payload, op_read - td_payload, op_write - td_payload
    .word op_hlt - td_payload, op_out - td_payload, op_crs - td_payload
    .word op_cr0 - td_payload, op_cr4 - td_payload, op_vmcall - td_payload
    .word op_wbinvd - td_payload, op_seamcall - td_payload
    .word op_vmptrld - td_payload, op_call - td_payload, op_wait - td_payload
    .word op_xsetbv - td_payload, op_ud2 - td_payload, op_triple - td_payload
    .word op_rdtsc - td_payload, op_invd - td_payload, op_initial - td_payload
    .word op_tdcall32 - td_payload, op_spin - td_payload, op_icr - td_payload
    .word op_accept - td_payload
op_table_end:

op_tdcall:
    movq %r11, %rax
    movq %r12, %rcx
    movq %r13, %rdx
    movq %r14, %r8
    movq %r15, %r9
    .byte 0x66, 0x0f, 0x01, 0xcc
    jmp report
op_cpuid:
    movl %r11d, %eax
    movl %r12d, %ecx
    cpuid
    movl %ecx, %r8d
    movl %edx, %r9d
    movq %r8, %rdx
    movq %r9, %r8
    movl %ebx, %ecx
    jmp report
op_rdmsr:
    movl %r11d, %ecx
    rdmsr
    shlq $32, %rdx
    orq %rdx, %rax
    jmp report
op_wrmsr:
    movl %r11d, %ecx
    movq %r12, %rax
    movq %r12, %rdx
    shrq $32, %rdx
    wrmsr
    jmp report
op_read:
    xorl %eax, %eax
    movq (%r11), %rax
    jmp report
op_write:
    movq %r12, (%r11)
    jmp report
op_hlt:
    hlt
    jmp report
op_out:
    movl $0x5a, %eax
    outb %al, $0x84
    jmp report
op_crs:
    movl $0xc0000080, %ecx
    rdmsr
    movl %eax, %r8d
    movq %cr0, %rax
    movq %cr3, %rcx
    movq %cr4, %rdx
    jmp report
op_cr0:
    movq %r11, %cr0
    jmp report
op_cr4:
    movq %r11, %cr4
    jmp report
op_vmcall:
    vmcall
    jmp report
op_wbinvd:
    wbinvd
    jmp report
op_seamcall:
    .byte 0x66, 0x0f, 0x01, 0xcf
    jmp report
op_vmptrld:
    vmptrld (%rbp)
    jmp report
op_call:
    call *%r11
    jmp report
op_wait:                        /* R11: rounds; result: rounds left */
    sti
1:  pause
    cmpq $0xff, REC_VECTOR(%rbp)
    jne 2f
    decq %r11
    jnz 1b
2:  cli
    movq %r11, %rax
    jmp report
op_xsetbv:
    movl %r11d, %ecx
    movq %r12, %rax
    movq %r12, %rdx
    shrq $32, %rdx
    xsetbv
    jmp report
op_ud2:
    ud2
op_triple:
    movl $AT(p_idtr_none), %eax
    lidt (%rax)
    ud2
op_rdtsc:
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    jmp report
op_invd:
    invd
    jmp report
op_initial:
    movq REC_FIRST(%rbp), %rax
    movq REC_FIRST + 8(%rbp), %rcx
    movq REC_FIRST + 16(%rbp), %rdx
    movq REC_FIRST + 24(%rbp), %r8
    movq REC_FIRST + 32(%rbp), %r9
    movq REC_FIRST + 40(%rbp), %r10
    pushfq
    popq %r11
    jmp report
op_tdcall32:
    movl $AT(p_far32), %eax
    ljmpl *(%rax)
op_tdcall32_back:
    jmp report
op_spin:
    pause
    jmp op_spin
op_icr:                         /* WRMSR of the x2APIC self-IPI register */
    movl $0x83f, %ecx
    movl %r11d, %eax
    xorl %edx, %edx
    wrmsr
    jmp report
op_accept:
1:  movl $6, %eax               /* TDG.MEM.PAGE.ACCEPT */
    movq %r11, %rcx
    .byte 0x66, 0x0f, 0x01, 0xcc
    testq %rax, %rax
    jnz 2f
    addq $4096, %r11
    decq %r12
    jnz 1b
2:  jmp report

    .code32
compat_code:
    movl $1, %eax
    .byte 0x66, 0x0f, 0x01, 0xcc
    ljmp *AT(p_far64)

    .code64
    /* An exception ends the operation; an interrupt is noted and goes on. */
p_exception:
    pushq %rax
    pushq %rbx
    leaq -1(%rsp), %rbx
    andq $-512, %rbx
    movq 16(%rsp), %rax
    movq %rax, REC_VECTOR(%rbx)
    movq 24(%rsp), %rax
    movq %rax, REC_ERROR(%rbx)
    movq 32(%rsp), %rax
    movq %rax, REC_RIP(%rbx)
    movq %cr2, %rax
    movq %rax, REC_CR2(%rbx)
    movq %rbx, %rbp
    leaq report(%rip), %rax
    movq %rax, 32(%rsp)
    movq $0x08, 40(%rsp)        /* from compatibility mode as well */
    leaq 512(%rbp), %rax
    movq %rax, 56(%rsp)
    popq %rbx
    popq %rax
    addq $16, %rsp
    iretq
p_interrupt:
    pushq %rax
    pushq %rcx
    pushq %rdx
    movq $0x61, REC_VECTOR(%rbp)
    movl $0x80b, %ecx
    xorl %eax, %eax
    xorl %edx, %edx
    wrmsr
    popq %rdx
    popq %rcx
    popq %rax
    iretq

    .org td_payload + 0x4800
    vector = 0
    .rept 32
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
    pushq $0
    .endif
    pushq $vector
    jmp p_exception
    vector = vector + 1
    .endr
    .org td_payload + 0x4800 + 32 * 16
    jmp p_interrupt

    .org td_payload + 0x4ff0
    .code32
    jmp p_start
    .org td_payload + 0x5000
td_payload_end:

    .section .note.GNU-stack, "", @progbits
