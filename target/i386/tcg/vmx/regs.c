/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control registers: what VMX operation allows, and what a guest sees of CR0
 * and CR4 through masks and shadows (SDM vol. 3, 24.8, 26.3, 27.1.3).
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/cpu_ldst.h"
#include "exec/helper-proto.h"
#include "vmx.h"

#define CR0_KNOWN   (CR0_PE_MASK | CR0_MP_MASK | CR0_EM_MASK | CR0_TS_MASK | \
                     CR0_ET_MASK | CR0_NE_MASK | CR0_WP_MASK | CR0_AM_MASK | \
                     CR0_NW_MASK | CR0_CD_MASK | CR0_PG_MASK)

static G_NORETURN void gp(CPUX86State *env, uintptr_t ra)
{
    raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);
}

/* CR access exit: @type 0 MOV to CR, 2 CLTS, 3 LMSW. */
static G_NORETURN void cr_exit(CPUX86State *env, int cr, uintptr_t ra)
{
    VmxInsn insn;
    uint64_t qual = cr;

    cpu_restore_state(env_cpu(env), ra);
    vmx_peek_insn(env, &insn);
    if (insn.opcode[1] == 0x01) {               /* LMSW */
        uint64_t source = env->regs[insn.rm] & 0xffff;

        qual |= 3 << 4;
        if (insn.modrm >> 6 != 3) {
            qual |= 1 << 6;
            vmcs_write(env->vmx->cur, VMCS_GUEST_LINEAR_ADDR, insn.ea);
            source = cpu_lduw_data_ra(env, insn.ea, 0);
        }
        qual |= source << 16;
    } else {
        qual |= insn.rm << 8;
    }
    vmx_exit(env, VMX_EXIT_CR, qual, ra);
}

/*
 * MOV to CR0 or CR4 in a guest: the value that the register gets, or a VM exit
 * if a bit that the host owns would differ from its shadow.
 */
static uint64_t guest_cr(CPUX86State *env, int cr, uint64_t val, uintptr_t ra)
{
    Vmcs *v = env->vmx->cur;
    uint64_t mask = vmcs_read(v, cr == 0 ? VMCS_CR0_MASK : VMCS_CR4_MASK);
    uint64_t shadow = vmcs_read(v, cr == 0 ? VMCS_CR0_SHADOW : VMCS_CR4_SHADOW);

    if ((val ^ shadow) & mask) {
        cr_exit(env, cr, ra);
    }
    return (val & ~mask) | (env->cr[cr] & mask);
}

static void check_fixed(CPUX86State *env, uint64_t val, uint64_t fixed0,
                        uint64_t fixed1, uintptr_t ra)
{
    if (env->vmx->vmxon && ((val & fixed0) != fixed0 || (val & ~fixed1))) {
        gp(env, ra);
    }
}

/* SDM 4.4.1: with PAE paging, changes of these bits load the PDPTEs. */
#define CR0_LOADS_PDPTES    (CR0_CD_MASK | CR0_NW_MASK | CR0_PG_MASK)
#define CR4_LOADS_PDPTES    (CR4_PAE_MASK | CR4_PGE_MASK | CR4_PSE_MASK | CR4_SMEP_MASK)

static bool pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return (cr0 & CR0_PG_MASK) && (cr4 & CR4_PAE_MASK) && !(efer & MSR_EFER_LME);
}

static void write_cr0(CPUX86State *env, uint64_t val, uintptr_t ra)
{
    uint64_t fixed0 = vmx_cr0_fixed0();

    if (vmx_nonroot(env)) {
        /* the exit comes before all but #UD and faults of privilege (26.1.1) */
        val = guest_cr(env, 0, val, ra);
        if (env->vmx->cpu2 & CPU2_UNRESTRICTED) {
            fixed0 &= ~(uint64_t)(CR0_PE_MASK | CR0_PG_MASK);
        }
    }
    if (val >> 32) {
        gp(env, ra);
    }
    val &= CR0_KNOWN;
    check_fixed(env, val, fixed0, vmx_cr0_fixed1(), ra);
    if (((val & CR0_PG_MASK) && !(val & CR0_PE_MASK)) ||
        ((val & CR0_NW_MASK) && !(val & CR0_CD_MASK)) ||
        ((val & CR0_PG_MASK) && !(env->cr[0] & CR0_PG_MASK) &&
         (env->efer & MSR_EFER_LME) && !(env->cr[4] & CR4_PAE_MASK)) ||
        (!(val & CR0_PG_MASK) && (env->hflags & HF_CS64_MASK))) {
        gp(env, ra);
    }
    if (((val ^ env->cr[0]) & CR0_LOADS_PDPTES) &&
        pae_paging(val, env->cr[4], env->efer)) {
        vmx_pdptes_load(env, env->cr[3], ra);
    }
    cpu_x86_update_cr0(env, val);
    if (vmx_nonroot(env)) {
        vmx_update_pending(env);
    }
}

static void write_cr3(CPUX86State *env, uint64_t val, uintptr_t ra)
{
    if (vmx_nonroot(env) && (env->vmx->cpu & CPU_CR3_LOAD)) {
        uint32_t n = MIN(vmcs_read(env->vmx->cur, VMCS_CR3_TARGET_COUNT), 4);
        bool target = false;

        for (uint32_t i = 0; i < n; i++) {
            target |= val == vmcs_read(env->vmx->cur, VMCS_CR3_TARGET0 + 2 * i);
        }
        if (!target) {
            cr_exit(env, 3, ra);
        }
    }
    if (!(env->efer & MSR_EFER_LMA)) {
        val = (uint32_t)val;
    } else if (val & (~0ull << env_archcpu(env)->phys_bits)) {
        gp(env, ra);
    }
    if (pae_paging(env->cr[0], env->cr[4], env->efer)) {
        vmx_pdptes_load(env, val, ra);
    }
    cpu_x86_update_cr3(env, val);
}

static void write_cr4(CPUX86State *env, uint64_t val, uintptr_t ra)
{
    uint64_t was = env->cr[4];

    if (vmx_nonroot(env)) {
        val = guest_cr(env, 4, val, ra);
    }
    /* a bit that cannot be 1 in VMX operation is one without its feature */
    if (val & ~vmx_cr4_fixed1(env)) {
        gp(env, ra);
    }
    check_fixed(env, val, vmx_cr4_fixed0(), vmx_cr4_fixed1(env), ra);
    if (((val ^ was) & CR4_LA57_MASK) && (env->hflags & HF_CS64_MASK)) {
        gp(env, ra);
    }
    if ((was & CR4_PAE_MASK) && !(val & CR4_PAE_MASK) &&
        (env->efer & MSR_EFER_LMA)) {
        gp(env, ra);
    }
    if (((val ^ was) & CR4_LOADS_PDPTES) && pae_paging(env->cr[0], val, env->efer)) {
        vmx_pdptes_load(env, env->cr[3], ra);
    }
    cpu_x86_update_cr4(env, val);
}

bool x86_vmx_write_cr(CPUX86State *env, int reg, target_ulong val, uintptr_t ra)
{
    X86VMX *vmx = env->vmx;

    if (!vmx) {
        return false;
    }
    switch (reg) {
    case 0:
        write_cr0(env, val, ra);
        return true;
    case 3:
        write_cr3(env, val, ra);
        return true;
    case 4:
        write_cr4(env, val, ra);
        return true;
    case 8:
        if (!vmx_nonroot(env)) {
            return false;
        }
        if (vmx->cpu & CPU_CR8_LOAD) {
            cr_exit(env, 8, ra);
        }
        if (vmx->cpu & CPU_TPR_SHADOW) {
            vmx_write_vtpr(env, (val & 15) << 4, ra);
            return true;
        }
        return false;
    default:
        return false;
    }
}

/* CLTS: with TS owned by the host, an exit if its shadow is 1, else nothing. */
bool x86_vmx_clts(CPUX86State *env, uintptr_t ra)
{
    Vmcs *v;

    if (!vmx_nonroot(env)) {
        return false;
    }
    v = env->vmx->cur;
    if (!(vmcs_read(v, VMCS_CR0_MASK) & CR0_TS_MASK)) {
        return false;
    }
    if (vmcs_read(v, VMCS_CR0_SHADOW) & CR0_TS_MASK) {
        vmx_exit(env, VMX_EXIT_CR, 2 << 4, ra);
    }
    return true;
}

bool x86_vmx_read_cr8(CPUX86State *env, target_ulong *val)
{
    if (!vmx_nonroot(env) || !(env->vmx->cpu & CPU_TPR_SHADOW)) {
        return false;
    }
    *val = vmx_read_vtpr_cr8(env);
    return true;
}

/* MOV from CR0/CR4, SMSW: bits that the host owns come from the shadow. */
target_ulong helper_vmx_read_cr(CPUX86State *env, target_ulong val, uint32_t cr)
{
    uint64_t mask, shadow;

    if (!vmx_nonroot(env) || (cr != 0 && cr != 4)) {
        return val;
    }
    mask = vmcs_read(env->vmx->cur, cr == 0 ? VMCS_CR0_MASK : VMCS_CR4_MASK);
    shadow = vmcs_read(env->vmx->cur,
                       cr == 0 ? VMCS_CR0_SHADOW : VMCS_CR4_SHADOW);
    return (val & ~mask) | (shadow & mask);
}
