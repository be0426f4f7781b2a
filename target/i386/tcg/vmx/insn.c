/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMX instructions (SDM vol. 3, chapter 31), and MOVDIR64B.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/helper-proto.h"
#include "exec/cpu_ldst.h"
#include "vmx.h"
#include "ram.h"

/* Operands as translate.c.inc packs them. */
typedef struct VmxOperands {
    int reg, rm;                /* general registers */
    bool mem;                   /* @ea is an operand, not @rm */
    int len;                    /* of the instruction */
    uint64_t ea;                /* linear address */
    uintptr_t ra;
} VmxOperands;

static G_NORETURN void ud(CPUX86State *env, uintptr_t ra)
{
    raise_exception_ra(env, EXCP06_ILLOP, ra);
}

static G_NORETURN void gp(CPUX86State *env, uintptr_t ra)
{
    raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);
}

void vmx_insn_done(CPUX86State *env, int len)
{
    CPUState *cs = env_cpu(env);

    env->eip += len;
    if (!(env->hflags & HF_CS64_MASK)) {
        env->eip = (uint32_t)env->eip;
    }
    env->eflags &= ~RF_MASK;
    env->hflags &= ~HF_INHIBIT_IRQ_MASK;
    if (env->eflags & TF_MASK) {
        /* a helper may not raise a trap here: RIP has moved on already */
        env->dr[6] |= DR6_BS;
        cs->exception_index = EXCP01_DB;
        env->error_code = 0;
        env->exception_is_int = 0;
        cpu_loop_exit(cs);
    }
}

static void set_flags(CPUX86State *env, uint32_t flags)
{
    cpu_load_eflags(env, flags, CC_C | CC_P | CC_A | CC_Z | CC_S | CC_O);
}

void vmx_succeed(CPUX86State *env)
{
    set_flags(env, 0);
}

void vmx_fail_invalid(CPUX86State *env)
{
    set_flags(env, CC_C);
}

void vmx_fail_valid(CPUX86State *env, uint32_t error)
{
    set_flags(env, CC_Z);
    vmcs_write(&env->vmx->vmcs, VMCS_INSTRUCTION_ERROR, error);
}

/* Either, as there is a current VMCS or not. */
static void vmx_fail(CPUX86State *env, uint32_t error)
{
    if (env->vmx->vmcs_ptr == VMX_NO_PTR) {
        vmx_fail_invalid(env);
    } else {
        vmx_fail_valid(env, error);
    }
}

/* A VMCS or VMXON region: 4 KiB aligned, within the physical address width. */
static bool bad_region(CPUX86State *env, uint64_t pa)
{
    return (pa & 0xfff) || (pa & (~0ull << env_archcpu(env)->phys_bits));
}

/* The register operand: 32 bits wide outside of 64-bit mode. */
static uint64_t register_operand(CPUX86State *env, VmxOperands *op)
{
    uint64_t val = env->regs[op->reg];

    return env->hflags & HF_CS64_MASK ? val : (uint32_t)val;
}

static uint64_t read_m64(CPUX86State *env, VmxOperands *op)
{
    return cpu_ldq_data_ra(env, op->ea, op->ra);
}

/* --- entering and leaving VMX operation --------------------------------- */

static void vmxon(CPUX86State *env, VmxOperands *op)
{
    X86VMX *vmx = env->vmx;
    const uint64_t enable = FEATURE_CONTROL_LOCKED |
                            FEATURE_CONTROL_VMXON_ENABLED_OUTSIDE_SMX;
    uint64_t pa;

    if (vmx->vmxon) {
        if (env->hflags & HF_CPL_MASK) {
            gp(env, op->ra);
        }
        vmx_fail(env, VMX_ERR_VMXON_ROOT);
        return;
    }
    if ((env->hflags & HF_CPL_MASK) || env->a20_mask != -1 ||
        (env->cr[0] & vmx_cr0_fixed0()) != vmx_cr0_fixed0() ||
        (env->cr[4] & vmx_cr4_fixed0()) != vmx_cr4_fixed0() ||
        (env->cr[4] & ~vmx_cr4_fixed1(env)) ||
        (env->msr_ia32_feature_control & enable) != enable) {
        gp(env, op->ra);
    }
    pa = read_m64(env, op);
    if (bad_region(env, pa) ||
        x86_ldl_phys(env_cpu(env), pa & ~vmx_keyid_mask()) != VMCS_REVISION_ID) {
        vmx_fail_invalid(env);
        return;
    }
    vmx->vmxon = true;
    vmx->vmxon_ptr = pa;
    vmx->vmcs_ptr = VMX_NO_PTR;
    vmx_succeed(env);
}

static void flush_current(CPUX86State *env)
{
    X86VMX *vmx = env->vmx;

    if (vmx->vmcs_ptr != VMX_NO_PTR) {
        vmcs_store_region(env, &vmx->vmcs, vmx->vmcs_ptr);
        vmx->vmcs_ptr = VMX_NO_PTR;
    }
}

static void vmxoff(CPUX86State *env, VmxOperands *op)
{
    X86VMX *vmx = env->vmx;

    flush_current(env);
    vmx->vmxon = false;
    vmx->vmxon_ptr = VMX_NO_PTR;
    vmx_succeed(env);
}

/* --- the current VMCS --------------------------------------------------- */

/* The VMCS that the operand points to; false: failed with one of the errors. */
static bool vmcs_operand(CPUX86State *env, VmxOperands *op, uint32_t bad_address,
                         uint32_t is_vmxon_region, uint64_t *pa)
{
    *pa = read_m64(env, op);
    if (bad_region(env, *pa)) {
        vmx_fail(env, bad_address);
        return false;
    }
    if (*pa == env->vmx->vmxon_ptr) {
        vmx_fail(env, is_vmxon_region);
        return false;
    }
    return true;
}

static void vmclear(CPUX86State *env, VmxOperands *op)
{
    X86VMX *vmx = env->vmx;
    uint64_t pa;
    Vmcs v;

    if (!vmcs_operand(env, op, VMX_ERR_VMCLEAR_ADDR, VMX_ERR_VMCLEAR_VMXON, &pa)) {
        return;
    }
    if (pa == vmx->vmcs_ptr) {
        vmx->vmcs.launched = 0;
        flush_current(env);
    } else {
        vmcs_load_region(env, &v, pa);
        v.launched = 0;
        vmcs_store_region(env, &v, pa);
    }
    vmx_succeed(env);
}

static void vmptrld(CPUX86State *env, VmxOperands *op)
{
    X86VMX *vmx = env->vmx;
    uint64_t pa;

    if (!vmcs_operand(env, op, VMX_ERR_VMPTRLD_ADDR, VMX_ERR_VMPTRLD_VMXON, &pa)) {
        return;
    }
    if (x86_ldl_phys(env_cpu(env), pa & ~vmx_keyid_mask()) != VMCS_REVISION_ID) {
        vmx_fail(env, VMX_ERR_VMPTRLD_REVISION);
        return;
    }
    if (pa != vmx->vmcs_ptr) {
        flush_current(env);
        vmcs_load_region(env, &vmx->vmcs, pa);
        vmx->vmcs_ptr = pa;
    }
    vmx_succeed(env);
}

static void vmptrst(CPUX86State *env, VmxOperands *op)
{
    cpu_stq_data_ra(env, op->ea, env->vmx->vmcs_ptr, op->ra);
    vmx_succeed(env);
}

/* --- VMCS fields -------------------------------------------------------- */

static void vmread(CPUX86State *env, VmxOperands *op)
{
    X86VMX *vmx = env->vmx;
    bool code64 = env->hflags & HF_CS64_MASK;
    uint64_t field = register_operand(env, op), val;

    if (vmx->vmcs_ptr == VMX_NO_PTR) {
        vmx_fail_invalid(env);
        return;
    }
    if (field > UINT32_MAX || !vmcs_field_read(&vmx->vmcs, field, &val)) {
        vmx_fail_valid(env, VMX_ERR_UNSUPPORTED_FIELD);
        return;
    }
    if (op->mem && code64) {
        cpu_stq_data_ra(env, op->ea, val, op->ra);
    } else if (op->mem) {
        cpu_stl_data_ra(env, op->ea, val, op->ra);
    } else {
        env->regs[op->rm] = code64 ? val : (uint32_t)val;
    }
    vmx_succeed(env);
}

static void vmwrite(CPUX86State *env, VmxOperands *op)
{
    X86VMX *vmx = env->vmx;
    bool code64 = env->hflags & HF_CS64_MASK;
    uint64_t field = register_operand(env, op), val;

    if (vmx->vmcs_ptr == VMX_NO_PTR) {
        vmx_fail_invalid(env);
        return;
    }
    if (!op->mem) {
        val = env->regs[op->rm];
    } else {
        val = code64 ? cpu_ldq_data_ra(env, op->ea, op->ra)
                     : cpu_ldl_data_ra(env, op->ea, op->ra);
    }
    if (field > UINT32_MAX || !vmcs_field_info(field)) {
        vmx_fail_valid(env, VMX_ERR_UNSUPPORTED_FIELD);
    } else if (!vmcs_field_writable(field)) {
        vmx_fail_valid(env, VMX_ERR_READ_ONLY_FIELD);
    } else {
        vmcs_field_write(&vmx->vmcs, field, code64 ? val : (uint32_t)val);
        vmx_succeed(env);
    }
}

/* --- translations ------------------------------------------------------- */

static void invept(CPUX86State *env, VmxOperands *op)
{
    uint64_t type = register_operand(env, op);
    uint64_t eptp, zero;

    if (type < 1 || type > 2) {
        vmx_fail(env, VMX_ERR_INVEPT_OPERAND);
        return;
    }
    eptp = read_m64(env, op);
    zero = cpu_ldq_data_ra(env, op->ea + 8, op->ra);
    if (zero || (type == 1 && !vmx_eptp_valid(env, eptp))) {
        vmx_fail(env, VMX_ERR_INVEPT_OPERAND);
        return;
    }
    vmx_invept(env, type, eptp);
    vmx_succeed(env);
}

/* Types: 0 address, 1 single context, 2 all, 3 single but globals. */
static void invvpid(CPUX86State *env, VmxOperands *op)
{
    uint64_t type = register_operand(env, op);
    uint64_t vpid, addr;

    if (type > 3) {
        vmx_fail(env, VMX_ERR_INVEPT_OPERAND);
        return;
    }
    vpid = read_m64(env, op);
    addr = cpu_ldq_data_ra(env, op->ea + 8, op->ra);
    if (vpid >> 16 || (type != 2 && !vpid) ||
        (type == 0 && sextract64(addr, 0, vmx_linear_bits(env)) != addr)) {
        vmx_fail(env, VMX_ERR_INVEPT_OPERAND);
        return;
    }
    vmx_flush_guest_tlb(env);
    vmx_succeed(env);
}

/* --- dispatch ----------------------------------------------------------- */

typedef struct VmxInsnInfo {
    void (*exec)(CPUX86State *env, VmxOperands *op);
    uint8_t exit_reason;        /* in non-root operation */
} VmxInsnInfo;

static void vmcall_root(CPUX86State *env, VmxOperands *op)
{
    vmx_fail(env, VMX_ERR_VMCALL_ROOT);
}

static const VmxInsnInfo insns[VMX_OP_NONE] = {
    [VMX_OP_VMCALL] = { vmcall_root, VMX_EXIT_VMCALL },
    [VMX_OP_VMLAUNCH] = { NULL, VMX_EXIT_VMLAUNCH },
    [VMX_OP_VMRESUME] = { NULL, VMX_EXIT_VMRESUME },
    [VMX_OP_VMXOFF] = { vmxoff, VMX_EXIT_VMXOFF },
    [VMX_OP_VMPTRLD] = { vmptrld, VMX_EXIT_VMPTRLD },
    [VMX_OP_VMPTRST] = { vmptrst, VMX_EXIT_VMPTRST },
    [VMX_OP_VMCLEAR] = { vmclear, VMX_EXIT_VMCLEAR },
    [VMX_OP_VMXON] = { vmxon, VMX_EXIT_VMXON },
    [VMX_OP_VMREAD] = { vmread, VMX_EXIT_VMREAD },
    [VMX_OP_VMWRITE] = { vmwrite, VMX_EXIT_VMWRITE },
    [VMX_OP_INVEPT] = { invept, VMX_EXIT_INVEPT },
    [VMX_OP_INVVPID] = { invvpid, VMX_EXIT_INVVPID },
};

/* #UD outside of protected mode, in virtual-8086 and in compatibility mode. */
static bool mode_ok(CPUX86State *env)
{
    return (env->cr[0] & CR0_PE_MASK) && !(env->eflags & VM_MASK) &&
           !((env->hflags & HF_LMA_MASK) && !(env->hflags & HF_CS64_MASK));
}

void helper_vmx_insn(CPUX86State *env, uint32_t opcode, uint64_t packed,
                     target_ulong ea)
{
    VmxOperands op = {
        .reg = packed & 15, .rm = packed >> 4 & 15, .mem = packed >> 8 & 1,
        .len = packed >> 32 & 15, .ea = ea, .ra = GETPC(),
    };
    const VmxInsnInfo *insn = opcode < VMX_OP_NONE ? &insns[opcode] : NULL;
    X86VMX *vmx = env->vmx;

    if (vmx && opcode >= VMX_OP_TDCALL && opcode <= VMX_OP_SEAMCALL) {
        if (!vmx_seam_ops || !vmx_seam_ops->insn) {
            ud(env, op.ra);
        }
        vmx_seam_ops->insn(env, opcode, op.len, op.ra);
        return;
    }
    if (!vmx || !insn || !insn->exit_reason) {
        ud(env, op.ra);
    }
    /* VMCALL leaves a guest at any CPL and in any mode */
    if (opcode == VMX_OP_VMCALL && vmx_nonroot(env)) {
        vmx_exit(env, VMX_EXIT_VMCALL, 0, op.ra);
    }
    if (opcode == VMX_OP_VMXON ? !(env->cr[4] & CR4_VMXE_MASK) : !vmx->vmxon) {
        ud(env, op.ra);
    }
    if (!mode_ok(env)) {
        ud(env, op.ra);
    }
    if (vmx_nonroot(env)) {
        vmx_exit_operands(env, insn->exit_reason, op.ra);
    }
    if ((env->hflags & HF_CPL_MASK) && opcode != VMX_OP_VMXON) {
        gp(env, op.ra);
    }
    if (!insn->exec) {
        vmx_vmentry(env, opcode == VMX_OP_VMLAUNCH, op.len);
        return;
    }
    insn->exec(env, &op);
    if (opcode != VMX_OP_VMREAD && opcode != VMX_OP_VMWRITE) {
        vmx_insn_done(env, op.len);     /* else the translation block goes on */
    }
}

void helper_movdir64b(CPUX86State *env, target_ulong dst, target_ulong src)
{
    uintptr_t ra = GETPC();
    uint64_t q[8];

    if (dst & 63) {
        gp(env, ra);
    }
    for (int i = 0; i < 8; i++) {
        q[i] = cpu_ldq_data_ra(env, src + 8 * i, ra);
    }
    for (int i = 0; i < 8; i++) {
        cpu_stq_data_ra(env, dst + 8 * i, q[i], ra);
    }
}
