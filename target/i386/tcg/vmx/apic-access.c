/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The APIC-access page (SDM vol. 3, 30.4): a guest's accesses leave it, or go to
 * the virtual-APIC page.
 *
 * The page never gets a lasting TLB entry, so each access comes here.  A write
 * that is virtualised has something to happen behind its instruction: that runs
 * in a TB of its own, and the emulation is found pending at the boundary.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/exec-all.h"
#include "exec/page-protection.h"
#include "exec/translation-block.h"
#include "tcg/tcg.h"
#include "vmx.h"
#include "ram.h"

/* Access types of the exit qualification (SDM table 28-6) */
enum { TYPE_READ, TYPE_WRITE, TYPE_FETCH, TYPE_EVENT };

#define TPR             0x080
#define EOI             0x0b0
#define ICR_LOW         0x300

/* Registers of APIC-register virtualisation, bit n: offset n * 16 */
#define READABLE        0x41ff01ffffffe90cull
#define WRITABLE        0x41ff01000000e904ull

/*
 * 30.4.2, 30.4.3: does the virtual-APIC page stand in for this access?  Not if it
 * is misaligned: TCG may begin such a locked one anew with no boundary between.
 */
static bool is_virtualised(CPUX86State *env, unsigned offset, int size, bool write)
{
    X86VMX *vmx = env->vmx;
    unsigned reg = offset & 0xff0;
    VmxRam page;

    if (!(vmx->cpu & CPU_TPR_SHADOW) || size < 1 || (offset & 15) + size > 4 ||
        (offset & (size - 1)) || reg >= 0x400 ||
        !vmx_ram_map(env, vmx->vapic_page, TARGET_PAGE_SIZE, true, &page)) {
        return false;
    }
    if (vmx->apic_write_pending &&
        (!write || offset != vmx->apic_write_offset || size != vmx->apic_write_size)) {
        return false;
    }
    if (vmx->cpu2 & CPU2_APIC_REGISTER) {
        return (write ? WRITABLE : READABLE) >> (reg >> 4) & 1;
    }
    return offset == TPR || (write && (vmx->cpu2 & CPU2_VINTR_DELIVERY) &&
                             (offset == EOI || offset == ICR_LOW));
}

/* Returns when the instruction at @ra has no other behind it in its TB. */
static void begin_write(CPUX86State *env, unsigned offset, int size, uintptr_t ra)
{
    X86VMX *vmx = env->vmx;
    TranslationBlock *tb = ra ? tcg_tb_lookup(ra) : NULL;

    if (tb && (tb->cflags & CF_COUNT_MASK) != 1) {
        cpu_restore_state(env_cpu(env), ra);
        vmx_single_step(env);
        cpu_loop_exit_noexc(env_cpu(env));
    }
    vmx->apic_write_offset = offset;
    vmx->apic_write_size = size;
    vmx->apic_write_pending = true;
    vmx_update_pending(env);
}

/*
 * The access at @addr is about to be mapped to *@paddr.  False: @probe is set,
 * and it is no plain memory.
 */
bool x86_vmx_map(CPUX86State *env, vaddr addr, int size, MMUAccessType access,
                 int mmu_idx, bool probe, hwaddr *paddr, int *prot,
                 int *page_size, uintptr_t ra)
{
    X86VMX *vmx = env->vmx;
    unsigned offset = addr & ~TARGET_PAGE_MASK;
    uint64_t type = access;

    if (!vmx) {
        return true;
    }
    *paddr &= ~vmx_keyid_mask();
    if (likely((*paddr & TARGET_PAGE_MASK) != vmx->apic_access) ||
        !vmx_nonroot(env) || MMU_BASE_IDX(mmu_idx) >= MMU_PHYS_IDX) {
        return true;
    }
    if (probe) {
        return false;
    }
    if (access != MMU_INST_FETCH &&
        is_virtualised(env, offset, size, access == MMU_DATA_STORE)) {
        if (access == MMU_DATA_STORE) {
            begin_write(env, offset, size, ra);
        }
        *paddr = vmx->vapic_page & ~vmx_keyid_mask() & TARGET_PAGE_MASK;
        *prot = access == MMU_DATA_STORE ? PAGE_READ | PAGE_WRITE : PAGE_READ;
        *page_size = 1;         /* the next access is looked at again */
        return true;
    }
    type = access == MMU_DATA_STORE ? TYPE_WRITE : TYPE_READ;
    if (vmx->vect_info & INTR_VALID) {
        type = TYPE_EVENT;
    } else if (access == MMU_INST_FETCH) {
        type = TYPE_FETCH;
    }
    vmx_exit(env, VMX_EXIT_APIC_ACCESS, offset | type << 12, ra);
}
