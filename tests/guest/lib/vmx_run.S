/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VM entry and exit with the guest's general registers in a Vm. */

    /*
     * u64 vm_enter_asm(Vm *vm): VM_EXITED (2000H), or RFLAGS after a VMLAUNCH
     * or VMRESUME that failed (or whatever, after a fault).
     */
    .text
    .globl vm_enter_asm, vm_host_entry, vm_guest_end
vm_enter_asm:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdi
    movl $0x6c14, %eax              /* HOST_RSP */
    vmwrite %rsp, %rax
    cmpb $0, 160(%rdi)        /* launched */
    pushfq
    popq %rax
    orq $0x895, %rax                /* the flags that failure must clear; */
    pushq %rax                      /* ZF tells VMLAUNCH from VMRESUME */
    popfq
    movq 0(%rdi), %rax
    movq 8(%rdi), %rcx
    movq 16(%rdi), %rdx
    movq 24(%rdi), %rbx
    movq 32(%rdi), %rbp
    movq 40(%rdi), %rsi
    movq 56(%rdi), %r8
    movq 64(%rdi), %r9
    movq 72(%rdi), %r10
    movq 80(%rdi), %r11
    movq 88(%rdi), %r12
    movq 96(%rdi), %r13
    movq 104(%rdi), %r14
    movq 112(%rdi), %r15
    movq 48(%rdi), %rdi
    jne 2f
1:  vmlaunch
    jmp 3f
2:  vmresume
3:  pushfq
    popq %rax
    jmp 4f

    .pushsection .ex_table, "a"
    .quad 1b, 3b, 2b, 3b
    .popsection

vm_host_entry:
    pushq %rdi
    movq 8(%rsp), %rdi
    movq %rax, 0(%rdi)
    movq %rcx, 8(%rdi)
    movq %rdx, 16(%rdi)
    movq %rbx, 24(%rdi)
    movq %rbp, 32(%rdi)
    movq %rsi, 40(%rdi)
    popq 48(%rdi)
    movq %r8, 56(%rdi)
    movq %r9, 64(%rdi)
    movq %r10, 72(%rdi)
    movq %r11, 80(%rdi)
    movq %r12, 88(%rdi)
    movq %r13, 96(%rdi)
    movq %r14, 104(%rdi)
    movq %r15, 112(%rdi)
    movl $0x2000, %eax
4:  popq %rdi
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

    /* A guest function returns here. */
vm_guest_end:
    movl $0x656e64, %eax
    vmcall
    jmp vm_guest_end

    .section .note.GNU-stack, "", @progbits
