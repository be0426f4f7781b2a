/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended page tables (SDM vol. 3, 29.3): the walk, its accessed and dirty
 * flags, misconfigurations and violations.
 *
 * The walker serves ordinary guests and, with the S-EPT root in eptp and the
 * host's in shared_eptp, trust domains.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/cputlb.h"
#include "exec/exec-all.h"
#include "exec/memory.h"
#include "exec/page-protection.h"
#include "vmx.h"
#include "ram.h"

#define EPTP_MEMTYPE        7ull
#define EPTP_WALK_SHIFT     3
#define EPTP_WALK           (7ull << EPTP_WALK_SHIFT)   /* levels - 1 */
#define EPTP_AD             (1ull << 6)
#define EPTP_RESERVED       0xf80ull

#define EPT_R               (1ull << 0)
#define EPT_W               (1ull << 1)
#define EPT_X               (1ull << 2)
#define EPT_RWX             (EPT_R | EPT_W | EPT_X)
#define EPT_MEMTYPE_SHIFT   3
#define EPT_LEAF            (1ull << 7)
#define EPT_ACCESSED        (1ull << 8)
#define EPT_DIRTY           (1ull << 9)
#define EPT_SUPPRESS_VE     (1ull << 63)
#define EPT_ADDR            0x000ffffffffff000ull

#define EPT_MAX_LEVEL       5
#define MEMTYPE_UC          0
#define MEMTYPE_WB          6

/* Exit qualification of an EPT violation (SDM table 28-7) */
#define QUAL_READ           (1ull << 0)
#define QUAL_WRITE          (1ull << 1)
#define QUAL_ENTRY_SHIFT    3
#define QUAL_GLA_VALID      (1ull << 7)
#define QUAL_FINAL          (1ull << 8)

/* An entry that the walk used. */
typedef struct EptEntry {
    uint64_t pa;
    uint64_t value;
    void *host;                 /* NULL: not RAM */
} EptEntry;

static unsigned eptp_levels(uint64_t eptp)
{
    return ((eptp & EPTP_WALK) >> EPTP_WALK_SHIFT) + 1;
}

static uint64_t running_eptp(const struct X86VMX *vmx, uint64_t gpa)
{
    return gpa & vmx->shared_mask ? vmx->shared_eptp : vmx->eptp;
}

/* Physical address bits that do not exist, bits 51:0. */
static uint64_t reserved_addr(CPUX86State *env)
{
    return EPT_ADDR & ~MAKE_64BIT_MASK(0, env_archcpu(env)->phys_bits);
}

/* SDM 27.2.1.1: memory type, walk length, reserved bits; by EPT_VPID_CAP. */
bool vmx_eptp_valid(CPUX86State *env, uint64_t eptp)
{
    unsigned type = eptp & EPTP_MEMTYPE;

    return (type == MEMTYPE_UC || type == MEMTYPE_WB) &&
           eptp_levels(eptp) == 4 &&
           !(eptp & (EPTP_RESERVED | ~(EPT_ADDR | 0xfff) | reserved_addr(env)));
}

/* The TLB of physical addresses finds RAM faster than the memory map does. */
static void entry_read(CPUX86State *env, uint64_t pa, bool write, EptEntry *e)
{
    e->pa = pa;
    e->host = NULL;
    probe_access_full_mmu(env, pa & ~vmx_keyid_mask(), 0,
                          write ? MMU_DATA_STORE : MMU_DATA_LOAD, MMU_PHYS_IDX,
                          &e->host, NULL);
    if (e->host) {
        e->value = le64_to_cpu(qatomic_read((uint64_t *)e->host));
    } else {
        e->value = address_space_ldq_le(env_cpu(env)->as, pa & ~vmx_keyid_mask(),
                                        MEMTXATTRS_UNSPECIFIED, NULL);
    }
}

/* False: the entry changed meanwhile. */
static bool entry_set(CPUX86State *env, EptEntry *e, uint64_t flags)
{
    uint64_t old = cpu_to_le64(e->value);
    uint64_t new = cpu_to_le64(e->value | flags);

    if (old == new) {
        return true;
    }
    if (e->host) {
        if (qatomic_cmpxchg((uint64_t *)e->host, old, new) != old) {
            return false;
        }
    } else {
        address_space_stq_le(env_cpu(env)->as, e->pa & ~vmx_keyid_mask(),
                             e->value | flags, MEMTXATTRS_UNSPECIFIED, NULL);
    }
    e->value |= flags;
    return true;
}

static bool entry_is_leaf(uint64_t value, unsigned level)
{
    return level == 1 || (level <= 3 && (value & EPT_LEAF));
}

/* Settings of a present entry that cause an EPT misconfiguration (29.3.3.1). */
static bool entry_misconfigured(CPUX86State *env, uint64_t value, unsigned level)
{
    uint64_t rwx = value & EPT_RWX;
    unsigned type = value >> EPT_MEMTYPE_SHIFT & 7;

    if ((rwx & (EPT_R | EPT_W)) == EPT_W ||
        (rwx == EPT_X && !(vmx_ept_vpid_cap() & VMX_EPT_VPID_CAP_EXEC_ONLY)) ||
        (value & reserved_addr(env))) {
        return true;
    }
    if (!entry_is_leaf(value, level)) {
        return value & (level > 3 ? 0xf8 : 0x78);
    }
    return type == 2 || type == 3 || type == 7 ||
           (value & EPT_ADDR & MAKE_64BIT_MASK(0, 12 + 9 * (level - 1)));
}

static uint64_t access_bit(MMUAccessType access)
{
    return access == MMU_INST_FETCH ? EPT_X :
           access == MMU_DATA_STORE ? EPT_W : EPT_R;
}

/* @value: the entry that ended the walk; @rwx: what all entries permit. */
static bool fault(struct X86VMX *vmx, bool misconfig, uint64_t gpa,
                  uint64_t value, MMUAccessType access, uint64_t rwx)
{
    vmx->fault = (VmxFault) {
        .misconfig = misconfig,
        .suppress_ve = value & EPT_SUPPRESS_VE,
        .gpa = gpa,
        .qual = misconfig ? 0 : access_bit(access) | rwx << QUAL_ENTRY_SHIFT,
    };
    return false;
}

#define PML_ENTRIES         512

/* A write that has to set a dirty flag finds no room for its log entry (29.3.6). */
static bool pml_is_full(struct X86VMX *vmx)
{
    return (vmx->cpu2 & CPU2_PML) &&
           vmcs_read(vmx->cur, VMCS_GUEST_PML_INDEX) >= PML_ENTRIES;
}

/* The log grows downwards; its index wraps to FFFFH behind the last entry. */
static void pml_log(CPUX86State *env, uint64_t gpa)
{
    struct X86VMX *vmx = env->vmx;
    uint16_t index = vmcs_read(vmx->cur, VMCS_GUEST_PML_INDEX);
    uint64_t pa = vmcs_read(vmx->cur, VMCS_PML_ADDR) & ~vmx_keyid_mask();

    if (vmx->cpu2 & CPU2_PML) {
        address_space_stq_le(env_cpu(env)->as, pa + index * 8,
                             gpa & TARGET_PAGE_MASK, MEMTXATTRS_UNSPECIFIED, NULL);
        vmcs_write(vmx->cur, VMCS_GUEST_PML_INDEX, (uint16_t)(index - 1));
    }
}

/* Accessed and dirty flags of a completed walk; false: walk again. */
static bool set_flags(CPUX86State *env, EptEntry *entries, unsigned leaf,
                      unsigned levels, MMUAccessType access)
{
    for (unsigned level = levels; level >= leaf; level--) {
        uint64_t flags = EPT_ACCESSED;

        if (level == leaf && access == MMU_DATA_STORE) {
            flags |= EPT_DIRTY;
        }
        if (!entry_set(env, &entries[level], flags)) {
            return false;
        }
    }
    return true;
}

/*
 * The access of @access to @gpa; with accessed and dirty flags enabled, the
 * caller passes those of the guest's page walk as MMU_DATA_STORE.  Table
 * addresses lose their KeyID; the one of the leaf stays in *@pa.  *@prot lacks
 * PAGE_WRITE as long as the first write has a dirty flag to set.
 */
bool vmx_ept_walk(CPUX86State *env, uint64_t gpa, MMUAccessType access,
                  uint64_t *pa, int *prot, int *page_size)
{
    struct X86VMX *vmx = env->vmx;
    uint64_t eptp = running_eptp(vmx, gpa);
    unsigned levels = eptp_levels(eptp), level;
    bool ad = eptp & EPTP_AD, logs;
    EptEntry entries[EPT_MAX_LEVEL + 1];
    uint64_t rwx, offset_mask, value;

    /* The client's EPTPs have passed no check here. */
    if (levels > EPT_MAX_LEVEL || gpa >> (12 + 9 * levels)) {
        return fault(vmx, false, gpa, EPT_SUPPRESS_VE, access, 0);
    }
restart:
    rwx = EPT_RWX;
    value = eptp;
    for (level = levels; ; level--) {
        uint64_t index = gpa >> (12 + 9 * (level - 1)) & 0x1ff;

        entry_read(env, (value & EPT_ADDR) + index * 8, ad, &entries[level]);
        value = entries[level].value;
        if (!(value & EPT_RWX)) {
            return fault(vmx, false, gpa, value, access, 0);
        }
        if (entry_misconfigured(env, value, level)) {
            return fault(vmx, true, gpa, value, access, 0);
        }
        rwx &= value;
        if (entry_is_leaf(value, level)) {
            break;
        }
    }
    if (!(rwx & access_bit(access))) {
        return fault(vmx, false, gpa, value, access, rwx);
    }
    logs = ad && access == MMU_DATA_STORE && !(value & EPT_DIRTY);
    if (logs && pml_is_full(vmx)) {
        fault(vmx, false, gpa, value, access, rwx);
        vmx->fault.pml_full = true;
        return false;
    }
    if (ad && !set_flags(env, entries, level, levels, access)) {
        goto restart;
    }
    if (logs) {
        pml_log(env, gpa);
    }
    offset_mask = MAKE_64BIT_MASK(0, 12 + 9 * (level - 1));
    *page_size = offset_mask + 1;
    *pa = (value & EPT_ADDR & ~offset_mask) | (gpa & offset_mask);
    *prot = (rwx & EPT_R ? PAGE_READ : 0) | (rwx & EPT_X ? PAGE_EXEC : 0);
    if ((rwx & EPT_W) && (!ad || (entries[level].value & EPT_DIRTY))) {
        *prot |= PAGE_WRITE;
    }
    return true;
}

/*
 * What TCG's walk of the guest's tables for an access of @access needs of the
 * second stage at an entry: with EPT's accessed and dirty flags all such
 * accesses are writes (29.3.3.2), without them only those that set a flag are.
 */
MMUAccessType x86_vmx_ptw_access(CPUX86State *env, hwaddr gpa, int mmu_idx,
                                 MMUAccessType access)
{
    uint32_t flags = PG_ACCESSED_MASK | (access == MMU_DATA_STORE ? PG_DIRTY_MASK : 0);
    void *host = NULL;

    if (MMU_BASE_IDX(mmu_idx) != MMU_NESTED_IDX || !env->vmx ||
        (running_eptp(env->vmx, gpa) & EPTP_AD)) {
        return MMU_DATA_STORE;
    }
    if (probe_access_full_mmu(env, gpa, 0, MMU_DATA_LOAD, mmu_idx, &host, NULL) &
        TLB_INVALID_MASK) {
        return MMU_DATA_LOAD;
    }
    if (host) {
        uint32_t entry = ldl_le_p(host);

        return (entry & PG_PRESENT_MASK) && (flags & ~entry) ? MMU_DATA_STORE
                                                             : MMU_DATA_LOAD;
    }
    return MMU_DATA_STORE;
}

void vmx_flush_guest_tlb(CPUX86State *env)
{
    tlb_flush_by_mmuidx(env_cpu(env), MMU_GUEST_ALL);
}

/*
 * The TLB holds the translations of one (EPTP, tag) only, so that there is
 * nothing to choose by @type and @eptp.
 */
void vmx_invept(CPUX86State *env, uint32_t type, uint64_t eptp)
{
    vmx_flush_guest_tlb(env);
}

G_NORETURN void vmx_ept_exit(CPUX86State *env, uintptr_t ra)
{
    struct X86VMX *vmx = env->vmx;
    uint64_t qual = vmx->fault.qual;

    vmcs_write(vmx->cur, VMCS_GUEST_PHYSICAL_ADDR, vmx->fault.gpa);
    if (vmx->fault.misconfig) {
        vmx_exit(env, VMX_EXIT_EPT_MISCONFIG, 0, ra);
    }
    if (vmx->fault.pml_full) {
        vmx_exit(env, VMX_EXIT_PML_FULL, 0, ra);
    }
    if (vmx->fault_on_walk &&
        (running_eptp(vmx, vmx->fault.gpa) & EPTP_AD)) {
        qual |= QUAL_READ | QUAL_WRITE;
    } else if (vmx->fault_on_walk && (qual & QUAL_WRITE)) {
        qual |= QUAL_READ;      /* the guest's flags are set by a read and a write */
    }
    if (vmx->fault_gla_valid) {
        vmcs_write(vmx->cur, VMCS_GUEST_LINEAR_ADDR, vmx->fault_gla);
        qual |= QUAL_GLA_VALID | (vmx->fault_on_walk ? 0 : QUAL_FINAL);
    }
    vmx_exit(env, VMX_EXIT_EPT_VIOLATION, qual, ra);
}
