/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM exits of instructions and exceptions.  TCG asks at the places where SVM
 * has intercepts; a table turns its codes into VMX controls and exit reasons.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "target/i386/svm.h"
#include "vmx.h"
#include "ram.h"

enum { ALWAYS, PRIMARY, SECONDARY };

typedef struct Intercept {
    uint16_t svm;               /* SVM_EXIT_* or X86_EXIT_* */
    uint8_t where;
    uint8_t reason;
    uint32_t control;
    bool cpl0;                  /* #GP(0) at CPL > 0 comes first, TCG has no check */
} Intercept;

static const Intercept intercepts[] = {
    { SVM_EXIT_CPUID, ALWAYS, VMX_EXIT_CPUID },
    { SVM_EXIT_HLT, PRIMARY, VMX_EXIT_HLT, CPU_HLT },
    { SVM_EXIT_INVD, ALWAYS, VMX_EXIT_INVD, 0, true },
    { SVM_EXIT_WBINVD, SECONDARY, VMX_EXIT_WBINVD, CPU2_WBINVD, true },
    { SVM_EXIT_PAUSE, PRIMARY, VMX_EXIT_PAUSE, CPU_PAUSE },
    { SVM_EXIT_RDPMC, PRIMARY, VMX_EXIT_RDPMC, CPU_RDPMC },
    { SVM_EXIT_XSETBV, ALWAYS, VMX_EXIT_XSETBV, 0, true },
    { SVM_EXIT_MONITOR, PRIMARY, VMX_EXIT_MONITOR, CPU_MONITOR },
    { SVM_EXIT_MWAIT, PRIMARY, VMX_EXIT_MWAIT, CPU_MWAIT },
    { SVM_EXIT_INIT, ALWAYS, VMX_EXIT_INIT },
    { X86_EXIT_RDRAND, SECONDARY, VMX_EXIT_RDRAND, CPU2_RDRAND },
    { X86_EXIT_RDSEED, SECONDARY, VMX_EXIT_RDSEED, CPU2_RDSEED },
};

static bool control_set(X86VMX *vmx, const Intercept *i)
{
    return i->where == ALWAYS ||
           ((i->where == PRIMARY ? vmx->cpu : vmx->cpu2) & i->control);
}

bool vmx_exception_exits(CPUX86State *env, int vector, uint32_t error_code)
{
    X86VMX *vmx = env->vmx;
    bool bit = vmx->exception_bitmap >> vector & 1;

    if (vector == EXCP0E_PAGE) {
        uint32_t mask = vmcs_read(vmx->cur, VMCS_PFEC_MASK);
        uint32_t match = vmcs_read(vmx->cur, VMCS_PFEC_MATCH);

        return (error_code & mask) == match ? bit : !bit;
    }
    return bit;
}

static void check_exception_exit(CPUX86State *env, int vector,
                                 uint32_t error_code, uintptr_t ra)
{
    uint32_t info = vector | INTR_TYPE_HW_EXC | INTR_VALID;
    uint64_t qual = 0;

    if (vector == EXCP01_DB) {
        vmx_debug_exception(env, ra);
        return;
    }
    if (!vmx_exception_exits(env, vector, error_code)) {
        return;
    }
    if (exception_has_error_code(vector) && (env->cr[0] & CR0_PE_MASK)) {
        info |= INTR_DELIVER_ERROR;
    }
    if (vector == EXCP0E_PAGE) {
        qual = env->vmx->fault_gla;
    }
    vmx_exit_event(env, VMX_EXIT_EXCEPTION_NMI, qual, info,
                   info & INTR_DELIVER_ERROR ? error_code : 0, ra);
}

/*
 * The instruction at @ra, for those that may turn out not to exit: the TB counts
 * on RIP and cc_op as it has left them.
 */
static void peek_and_go_on(CPUX86State *env, VmxInsn *insn, uintptr_t ra)
{
    target_ulong eip = env->eip;
    uint32_t cc_op = env->cc_op;

    cpu_restore_state(env_cpu(env), ra);
    vmx_peek_insn(env, insn);
    env->eip = eip;
    env->cc_op = cc_op;
}

/*
 * MOV from CR3 or CR8; CR0 and CR4 are read through their shadows.  TCG's
 * decoder passes SVM_EXIT_READ_CR0, which is 0, for every register.
 */
static void check_cr_read(CPUX86State *env, uintptr_t ra)
{
    VmxInsn insn;
    uint32_t control;

    if (!(env->vmx->cpu & (CPU_CR3_STORE | CPU_CR8_STORE))) {
        return;
    }
    peek_and_go_on(env, &insn, ra);
    if (insn.opcode[1] != 0x20) {
        return;                 /* SMSW */
    }
    control = insn.reg == 3 ? CPU_CR3_STORE : insn.reg == 8 ? CPU_CR8_STORE : 0;
    if (env->vmx->cpu & control) {
        vmx_exit(env, VMX_EXIT_CR, insn.reg | 1 << 4 | insn.rm << 8, ra);
    }
}

static void check_dr(CPUX86State *env, int dr, bool read, uintptr_t ra)
{
    VmxInsn insn;

    if (env->vmx->cpu & CPU_MOV_DR) {
        cpu_restore_state(env_cpu(env), ra);
        vmx_peek_insn(env, &insn);
        vmx_exit(env, VMX_EXIT_DR, dr | read << 4 | insn.rm << 8, ra);
    }
}

static void check_msr(CPUX86State *env, bool write, uintptr_t ra)
{
    uint32_t msr = env->regs[R_ECX];
    bool exits = true;

    if (env->vmx->cpu & CPU_MSR_BITMAPS) {
        uint32_t offset = write ? 2048 : 0;

        if (msr <= 0x1fff) {
            offset += msr / 8;
        } else if (msr >= 0xc0000000 && msr <= 0xc0001fff) {
            offset += 1024 + (msr - 0xc0000000) / 8;
        } else {
            offset = 0;
        }
        if (offset || msr < 8) {
            exits = x86_ldub_phys(env_cpu(env), env->vmx->msr_bitmap + offset)
                    >> (msr & 7) & 1;
        }
    }
    if (exits) {
        vmx_exit(env, write ? VMX_EXIT_WRMSR : VMX_EXIT_RDMSR, 0, ra);
    }
}

/* RDTSC and RDTSCP come through one helper; RDTSCP is the longer one. */
static void check_rdtsc(CPUX86State *env, uintptr_t ra)
{
    VmxInsn insn;

    if (!(env->vmx->cpu & CPU_RDTSC) && (env->vmx->cpu2 & CPU2_RDTSCP)) {
        return;
    }
    peek_and_go_on(env, &insn, ra);
    if (insn.opcode[1] == 0x31) {
        if (env->vmx->cpu & CPU_RDTSC) {
            vmx_exit(env, VMX_EXIT_RDTSC, 0, ra);
        }
    } else if (!(env->vmx->cpu2 & CPU2_RDTSCP)) {
        raise_exception_ra(env, EXCP06_ILLOP, ra);
    } else {
        vmx_exit(env, VMX_EXIT_RDTSCP, 0, ra);
    }
}

static void check_invlpg(CPUX86State *env, uintptr_t ra)
{
    VmxInsn insn;

    if (env->vmx->cpu & CPU_INVLPG) {
        cpu_restore_state(env_cpu(env), ra);
        vmx_peek_insn(env, &insn);
        vmx_exit(env, VMX_EXIT_INVLPG, insn.ea, ra);
    }
}

/* PAUSE-loop exiting, at CPL 0 only (25.1.3). */
static void check_pause_loop(CPUX86State *env, uintptr_t ra)
{
    X86VMX *vmx = env->vmx;
    uint64_t now;

    if ((vmx->cpu & CPU_PAUSE) || !(vmx->cpu2 & CPU2_PLE) ||
        (env->hflags & HF_CPL_MASK)) {
        return;
    }
    now = cpu_get_tsc(env);
    if (!vmx->pause_seen ||
        now - vmx->pause_last > vmcs_read(vmx->cur, VMCS_PLE_GAP)) {
        vmx->pause_seen = true;
        vmx->pause_first = now;
    }
    vmx->pause_last = now;
    if (now - vmx->pause_first > vmcs_read(vmx->cur, VMCS_PLE_WINDOW)) {
        vmx_exit(env, VMX_EXIT_PAUSE, 0, ra);
    }
}

/*
 * Descriptor-table exiting.  SDM tables 28-10 and 28-11: the identity is in bits
 * 29:28; GDTR and IDTR have the operand size in bit 11, which LDTR and TR use
 * for none, but they tell a register (bits 6:3) by bit 10.
 */
static void check_descriptor_table(CPUX86State *env, uint32_t type, uintptr_t ra)
{
    static const struct { uint8_t reason, identity; } of[] = {
        { VMX_EXIT_GDTR_IDTR, 1 }, { VMX_EXIT_GDTR_IDTR, 0 },   /* SIDT, SGDT */
        { VMX_EXIT_LDTR_TR, 0 }, { VMX_EXIT_LDTR_TR, 1 },       /* SLDT, STR */
        { VMX_EXIT_GDTR_IDTR, 3 }, { VMX_EXIT_GDTR_IDTR, 2 },   /* LIDT, LGDT */
        { VMX_EXIT_LDTR_TR, 2 }, { VMX_EXIT_LDTR_TR, 3 },       /* LLDT, LTR */
    };
    uint32_t reason = of[type - SVM_EXIT_IDTR_READ].reason, info;
    VmxInsn insn;

    if (!(env->vmx->cpu2 & CPU2_DESC_TABLE)) {
        return;
    }
    cpu_restore_state(env_cpu(env), ra);
    vmx_peek_insn(env, &insn);
    info = vmx_insn_info(&insn) |
           (uint32_t)of[type - SVM_EXIT_IDTR_READ].identity << 28;
    if (reason == VMX_EXIT_GDTR_IDTR) {
        info |= insn.op_size == 1 ? 1u << 11 : 0;
    } else if (!insn.mem) {
        info |= 1u << 10 | (uint32_t)insn.rm << 3;
    }
    vmcs_write(env->vmx->cur, VMCS_EXIT_INSN_INFO, info);
    vmx_exit(env, reason, insn.disp, ra);
}

/*
 * SDM 28.2.1: the qualification is the displacement.  Tables 28-12 to 28-14: two
 * have a type in a register, VMREAD and VMWRITE may do without memory.
 */
void vmx_exit_operands(CPUX86State *env, uint32_t reason, uintptr_t ra)
{
    VmxInsn insn;
    uint32_t info;

    cpu_restore_state(env_cpu(env), ra);
    vmx_peek_insn(env, &insn);
    info = vmx_insn_info(&insn);
    switch (reason) {
    case VMX_EXIT_VMREAD:
    case VMX_EXIT_VMWRITE:
        info |= insn.mem ? 0 : 1u << 10 | (uint32_t)insn.rm << 3;
        /* fall through */
    case VMX_EXIT_INVEPT:
    case VMX_EXIT_INVVPID:
        info |= (uint32_t)insn.reg << 28;
        break;
    }
    vmcs_write(env->vmx->cur, VMCS_EXIT_INSN_INFO, info);
    vmx_exit(env, reason, insn.disp, ra);
}

void x86_vmx_check_intercept(CPUX86State *env, uint32_t type, uint64_t param,
                             uintptr_t ra)
{
    X86VMX *vmx = env->vmx;

    if (likely(!vmx_nonroot(env))) {
        return;                 /* a guest of SVM comes here with codes of ours */
    }
    switch (type) {
    case SVM_EXIT_READ_CR0 ... SVM_EXIT_READ_CR0 + 8:
        check_cr_read(env, ra);
        return;
    case SVM_EXIT_READ_DR0 ... SVM_EXIT_READ_DR0 + 7:
        check_dr(env, type - SVM_EXIT_READ_DR0, true, ra);
        return;
    case SVM_EXIT_WRITE_DR0 ... SVM_EXIT_WRITE_DR0 + 7:
        check_dr(env, type - SVM_EXIT_WRITE_DR0, false, ra);
        return;
    case SVM_EXIT_EXCP_BASE ... SVM_EXIT_EXCP_BASE + 31:
        check_exception_exit(env, type - SVM_EXIT_EXCP_BASE, param, ra);
        return;
    case SVM_EXIT_MSR:
        check_msr(env, param, ra);
        return;
    case SVM_EXIT_RDTSC:
        check_rdtsc(env, ra);
        return;
    case SVM_EXIT_INVLPG:
        check_invlpg(env, ra);
        return;
    case SVM_EXIT_PAUSE:
        check_pause_loop(env, ra);
        break;
    case SVM_EXIT_IDTR_READ ... SVM_EXIT_TR_WRITE:
        check_descriptor_table(env, type, ra);
        return;
    case X86_EXIT_RDPID:
        if (!(vmx->cpu2 & CPU2_RDTSCP)) {
            raise_exception_ra(env, EXCP06_ILLOP, ra);
        }
        return;
    case SVM_EXIT_ICEBP:
        if (vmx->exception_bitmap & (1u << EXCP01_DB)) {
            vmx_exit_event(env, VMX_EXIT_EXCEPTION_NMI, 0,
                           EXCP01_DB | INTR_TYPE_PRIV_SW_EXC | INTR_VALID, 0, ra);
        }
        return;
    }
    for (int i = 0; i < ARRAY_SIZE(intercepts); i++) {
        const Intercept *in = &intercepts[i];

        if (in->svm != type || !control_set(vmx, in)) {
            continue;
        }
        if (in->cpl0 && (env->hflags & HF_CPL_MASK)) {
            raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);
        }
        vmx_exit(env, in->reason, 0, ra);
    }
}

/* @param: as SVM's EXITINFO1 for IOIO: 0 IN, 2 string, 3 REP, 6:4 size. */
void x86_vmx_check_io(CPUX86State *env, uint32_t port, uint32_t param,
                      uintptr_t ra)
{
    X86VMX *vmx = env->vmx;
    unsigned size = param >> 4 & 7;
    bool exits = vmx->cpu & CPU_UNCOND_IO;
    uint64_t qual;
    VmxInsn insn;

    if (vmx->cpu & CPU_IO_BITMAPS) {
        exits = port + size > 0x10000;
        for (unsigned i = 0; i < size && !exits; i++) {
            uint32_t p = port + i;
            uint64_t pa = vmcs_read(vmx->cur, p < 0x8000 ? VMCS_IO_BITMAP_A
                                                        : VMCS_IO_BITMAP_B);

            pa = (pa & ~vmx_keyid_mask()) + (p & 0x7fff) / 8;
            exits = x86_ldub_phys(env_cpu(env), pa) >> (p & 7) & 1;
        }
    }
    if (!exits) {
        return;
    }
    cpu_restore_state(env_cpu(env), ra);
    vmx_peek_insn(env, &insn);
    qual = (size - 1) | (param & 1) << 3 | (param & 4) << 2 | (param & 8) << 2 |
           (uint64_t)((insn.opcode[0] & 0xfc) == 0xe4) << 6 |
           (uint64_t)port << 16;
    if (param & 4) {
        vmcs_write(vmx->cur, VMCS_GUEST_LINEAR_ADDR,
                   vmx_string_address(env, param & 1));
    }
    vmx_exit(env, VMX_EXIT_IO, qual, ra);
}

/* INT3 and INTO obey the exception bitmap, INT n never exits. */
void x86_vmx_check_swint(CPUX86State *env, int intno, uintptr_t ra)
{
    uint8_t opcode;
    VmxInsn insn;

    if (!vmx_nonroot(env) || (intno != EXCP03_INT3 && intno != EXCP04_INTO) ||
        !(env->vmx->exception_bitmap >> intno & 1)) {
        return;
    }
    peek_and_go_on(env, &insn, ra);
    opcode = insn.opcode[0];
    if (opcode == 0xcc || opcode == 0xce) {
        env->insn_len = 1;
        vmx_exit_event(env, VMX_EXIT_EXCEPTION_NMI, 0,
                       intno | INTR_TYPE_SOFT_EXC | INTR_VALID, 0, ra);
    }
}

/* SVM's way to say that something is wrong, in a guest or (stock bug) out of it. */
void x86_vmx_svm_exit(CPUX86State *env, uint64_t exit_code, uintptr_t ra)
{
    if (vmx_nonroot(env) && exit_code == SVM_EXIT_SHUTDOWN) {
        vmx_exit(env, VMX_EXIT_TRIPLE_FAULT, 0, ra);
    }
    raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);
}

void x86_vmx_task_switch(CPUX86State *env, int sel, int source, uintptr_t ra)
{
    /* seg_helper.c: 0 JMP, 1 IRET, 2 CALL (or a task gate in delivery) */
    static const uint8_t kind[] = { 2, 1, 0 };
    uint32_t type = kind[source % 3];

    if (type == 0 && (env->vmx->vect_info & INTR_VALID)) {
        type = 3;
    }
    vmx_exit(env, VMX_EXIT_TASK_SWITCH, (sel & 0xffff) | (uint64_t)type << 30, ra);
}
