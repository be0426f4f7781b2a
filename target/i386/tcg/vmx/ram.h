/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Structures in guest RAM that the processor updates with atomic operations:
 * EPT entries, the virtual-APIC page, posted-interrupt descriptors.
 */
#ifndef TCG_VMX_RAM_H
#define TCG_VMX_RAM_H

#include "exec/memory.h"
#include "vmx.h"

typedef struct VmxRam {
    void *host;                 /* NULL: not RAM */
    MemoryRegion *mr;
    hwaddr offset;
} VmxRam;

static inline uint64_t vmx_keyid_mask(void)
{
    return vmx_seam_ops ? vmx_seam_ops->keyid_mask : 0;
}

/*
 * Find @len bytes of RAM at @pa, naturally aligned, KeyID ignored.  The result
 * holds while the caller stays in its RCU read-side section; a CPU thread is
 * in one all the time it executes.
 */
static inline bool vmx_ram_map(CPUX86State *env, uint64_t pa, hwaddr len,
                               bool write, VmxRam *ram)
{
    hwaddr got = len;

    ram->host = NULL;
    ram->mr = address_space_translate(env_cpu(env)->as, pa & ~vmx_keyid_mask(),
                                      &ram->offset, &got, write,
                                      MEMTXATTRS_UNSPECIFIED);
    if (got < len || !memory_region_is_ram(ram->mr) ||
        (write && (ram->mr->readonly || ram->mr->rom_device))) {
        return false;
    }
    ram->host = memory_region_get_ram_ptr(ram->mr) + ram->offset;
    return true;
}

/* After a write through @host: for migration. */
static inline void vmx_ram_dirty(const VmxRam *ram, hwaddr at, hwaddr len)
{
    memory_region_set_dirty(ram->mr, ram->offset + at, len);
}

#endif
