/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TD payload: from the TD reset vector (32-bit flat protected mode, EFER.LME already
 * set) to 64-bit mode on every vCPU. The image is private memory added at build time,
 * so page tables, GDT and the first vCPU's stack are in it; nothing else may be touched
 * before it is accepted.
 *
 * Page tables: VA = GPA for the first and the fourth GiB, private; the same at 512 GiB
 * upwards as shared memory (the SHARED bit of the GPA is set in the PDEs).
 */
#include "guest.h"
#include "td_proto.h"

#define PTE_PRESENT_RW  0x3
#define PTE_LARGE       0x80
#define CR4_PAE         0x20
#define CR0_PG_WP       0x80010000
#define RELEASE_APS     1

    .section .reset, "ax"
    .code32
    .global reset_vector
reset_vector:
    jmp start32

    .text
    .code32
start32:
    /* ESP and EFLAGS first, without an instruction that changes flags. */
    movl %esp, start_esp(, %esi, 4)
    leal start_eflags + 4(, %esi, 4), %esp
    pushfl
    testl %esi, %esi
    jnz 2f

    movl %eax, boot_regs + 0x00
    movl %ebx, boot_regs + 0x08
    movl %ecx, boot_regs + 0x10
    movl %edx, boot_regs + 0x18
    movl %esi, boot_regs + 0x20
    movl %edi, boot_regs + 0x28
    movl %ebp, boot_regs + 0x30
    movl start_esp, %eax
    movl %eax, boot_regs + 0x38
    movl start_eflags, %eax
    movl %eax, boot_regs + 0x50
    movl $bsp_stack_top, %esp
    movl %cr0, %eax
    movl %eax, boot_regs + 0x40
    movl %cr4, %eax
    movl %eax, boot_regs + 0x48
    movl %cs, %eax
    movl %eax, boot_regs + 0x58
    call build_page_tables
    jmp 3f

2:  pause
    cmpl $RELEASE_APS, ap_release
    jne 2b
    movl %esi, %esp
    incl %esp
    imull $TD_AP_STACK_SIZE, %esp
    addl $TD_AP_STACKS, %esp

3:  movl $pml4, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $CR4_PAE, %eax
    movl %eax, %cr4
    lgdt gdt_ptr
    movl %cr0, %eax
    orl $CR0_PG_WP, %eax
    movl %eax, %cr0
    ljmp $SEL_CODE64, $start64

    /* EBX: GPAW, so the SHARED bit is bit EBX - 33 of a PDE's high half. */
build_page_tables:
    movl $pdpt_private + PTE_PRESENT_RW, pml4
    movl $pdpt_shared + PTE_PRESENT_RW, pml4 + 8
    movl $pd_private + PTE_PRESENT_RW, pdpt_private
    movl $pd_private + 4096 + PTE_PRESENT_RW, pdpt_private + 3 * 8
    movl $pd_shared + PTE_PRESENT_RW, pdpt_shared
    movl $pd_shared + 4096 + PTE_PRESENT_RW, pdpt_shared + 3 * 8
    leal -33(%ebx), %ecx
    movl $1, %edx
    shll %cl, %edx
    xorl %ecx, %ecx
    movl $PTE_PRESENT_RW | PTE_LARGE, %eax
1:
    movl %eax, pd_private(, %ecx, 8)
    movl %eax, pd_shared(, %ecx, 8)
    movl %edx, pd_shared + 4(, %ecx, 8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $512, %ecx
    jne 4f
    addl $0x80000000, %eax          /* the second directory maps the fourth GiB */
4:  cmpl $1024, %ecx
    jne 1b
    ret

    .code64
start64:
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl %esp, %esp
    movl %esi, %edi
    xorl %ebp, %ebp
    testl %esi, %esi
    jnz 5f
    movq %r8, boot_regs + 0x60(%rip)
5:  call payload_main
6:  jmp 6b

    /*
     * u64 tdcall(u64 leaf, struct td_regs *r): RAX = leaf; RCX, RDX, R8-R11 in and out;
     * returns RAX.
     */
    .global tdcall
tdcall:
    pushq %rsi
    movq %rdi, %rax
    movq 0x00(%rsi), %rcx
    movq 0x08(%rsi), %rdx
    movq 0x10(%rsi), %r8
    movq 0x18(%rsi), %r9
    movq 0x20(%rsi), %r10
    movq 0x28(%rsi), %r11
    .byte 0x66, 0x0f, 0x01, 0xcc
    popq %rsi
    movq %rcx, 0x00(%rsi)
    movq %rdx, 0x08(%rsi)
    movq %r8, 0x10(%rsi)
    movq %r9, 0x18(%rsi)
    movq %r10, 0x20(%rsi)
    movq %r11, 0x28(%rsi)
    ret

    /*
     * u64 tdvmcall(struct vmcall_regs *r): TDG.VP.VMCALL that passes R10-R15 both ways;
     * returns RAX, the status of TDCALL itself.
     */
    .global tdvmcall
tdvmcall:
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdi
    movq 0x00(%rdi), %r10
    movq 0x08(%rdi), %r11
    movq 0x10(%rdi), %r12
    movq 0x18(%rdi), %r13
    movq 0x20(%rdi), %r14
    movq 0x28(%rdi), %r15
    movl $0xfc00, %ecx
    xorl %eax, %eax
    .byte 0x66, 0x0f, 0x01, 0xcc
    popq %rdi
    movq %r10, 0x00(%rdi)
    movq %r11, 0x08(%rdi)
    movq %r12, 0x10(%rdi)
    movq %r13, 0x18(%rdi)
    movq %r14, 0x20(%rdi)
    movq %r15, 0x28(%rdi)
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    ret

    .data
    .balign 8
    .global boot_regs, ap_release
boot_regs:
    .skip 0x68
ap_release:
    .long 0
start_esp:
    .skip 4 * TD_MAX_VCPUS
start_eflags:
    .skip 4 * TD_MAX_VCPUS

    .section .bss.pages, "aw", @nobits
    .balign 4096
pml4:
    .skip 4096
pdpt_private:
    .skip 4096
pdpt_shared:
    .skip 4096
pd_private:
    .skip 8192
pd_shared:
    .skip 8192
    .skip 16384
bsp_stack_top:
