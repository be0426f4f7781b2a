/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PAE paging with EPT: the four PDPTEs are registers, which VM entry and exit
 * move between VMCS and processor (SDM vol. 3, 4.4.1, 27.3.2.4, 28.3.1).
 * Elsewhere TCG reads them from memory in each walk.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/memory.h"
#include "vmx.h"
#include "ram.h"

#define RESERVED    0x1e6ull        /* below the address */
#define CR3_PDPT    0xffffffe0ull

static bool in_use(CPUX86State *env)
{
    return vmx_nonroot(env) && (env->vmx->cpu2 & CPU2_EPT) &&
           (env->cr[0] & CR0_PG_MASK) && (env->cr[4] & CR4_PAE_MASK) &&
           !(env->efer & MSR_EFER_LMA);
}

bool x86_vmx_pdpte(CPUX86State *env, int index, uint64_t *pdpte)
{
    if (!env->vmx || !in_use(env)) {
        return false;
    }
    *pdpte = env->vmx->pdpte[index & 3];
    return true;
}

bool vmx_pdpte_valid(CPUX86State *env, uint64_t pdpte)
{
    return !(pdpte & PG_PRESENT_MASK) ||
           !(pdpte & (RESERVED | ~0ull << env_archcpu(env)->phys_bits));
}

void vmx_pdptes_entry(CPUX86State *env, const Vmcs *v)
{
    for (int i = 0; i < 4; i++) {
        env->vmx->pdpte[i] = vmcs_read(v, VMCS_GUEST_PDPTE0 + 2 * i);
    }
}

void vmx_pdptes_save(CPUX86State *env, Vmcs *v)
{
    for (int i = 0; i < 4 && in_use(env); i++) {
        vmcs_write(v, VMCS_GUEST_PDPTE0 + 2 * i, env->vmx->pdpte[i]);
    }
}

/* A guest's MOV to CR0, CR3 or CR4 that loads them: may exit or be #GP. */
void vmx_pdptes_load(CPUX86State *env, uint64_t cr3, uintptr_t ra)
{
    X86VMX *vmx = env->vmx;
    uint64_t table = cr3 & CR3_PDPT, pa, pdpte[4];
    int prot, page_size;

    if (!vmx_nonroot(env) || !(vmx->cpu2 & CPU2_EPT)) {
        return;
    }
    if (!vmx_ept_walk(env, table, MMU_DATA_LOAD, &pa, &prot, &page_size)) {
        vmx->fault_gla_valid = vmx->fault_on_walk = false;
        vmx_ept_exit(env, ra);
    }
    for (int i = 0; i < 4; i++) {
        pdpte[i] = address_space_ldq_le(env_cpu(env)->as,
                                        (pa & ~vmx_keyid_mask()) + 8 * i,
                                        MEMTXATTRS_UNSPECIFIED, NULL);
        if (!vmx_pdpte_valid(env, pdpte[i])) {
            raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);
        }
    }
    memcpy(vmx->pdpte, pdpte, sizeof(pdpte));
}
