/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine as the TDX module model sees it: RAM, randomness, CPUID, TSC. */
#include "qemu/osdep.h"
#include "qemu/guest-random.h"
#include "qemu/log.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "cpu.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "system/cpu-timers.h"
#include "internal.h"

/* The RAM region behind [pa, pa + len), or NULL; caller holds the RCU lock. */
static MemoryRegion *ram_at(uint64_t pa, size_t len, hwaddr *offset)
{
    hwaddr got = len;
    MemoryRegion *mr;

    if (!len || len > TARGET_PAGE_SIZE ||
        (pa & ~TARGET_PAGE_MASK) + len > TARGET_PAGE_SIZE) {
        return NULL;
    }
    mr = address_space_translate(&address_space_memory, pa, offset, &got, true,
                                 MEMTXATTRS_UNSPECIFIED);
    if (!memory_region_is_ram(mr) || memory_region_is_ram_device(mr) ||
        memory_region_is_rom(mr) || got < len) {
        return NULL;
    }
    return mr;
}

/* vCPU threads hold the RCU lock while they execute, so the pointer stays. */
void *seam_map(uint64_t pa, size_t len)
{
    hwaddr offset;
    MemoryRegion *mr;

    RCU_READ_LOCK_GUARD();
    mr = ram_at(pa, len, &offset);
    return mr ? (uint8_t *)memory_region_get_ram_ptr(mr) + offset : NULL;
}

/* An unmap for writing does it all: dirty bits, and code translated from it. */
void seam_written(uint64_t pa, size_t len)
{
    hwaddr offset;
    MemoryRegion *mr;

    RCU_READ_LOCK_GUARD();
    mr = ram_at(pa, len, &offset);
    if (mr) {
        void *host = (uint8_t *)memory_region_get_ram_ptr(mr) + offset;

        memory_region_ref(mr);
        address_space_unmap(&address_space_memory, host, len, true, len);
    }
}

static void *platform_map(void *opaque, uint64_t pa, size_t len)
{
    return seam_map(pa, len);
}

static void platform_written(void *opaque, uint64_t pa, size_t len)
{
    seam_written(pa, len);
}

/* SHA-384 of seed and counter, block by block: the same in every run. */
static void seeded_random(uint8_t *buf, size_t len)
{
    while (len) {
        g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA384);
        uint64_t in[2] = {
            seam.config.seed, qatomic_fetch_inc(&seam.random_counter)
        };
        uint8_t block[48];
        gsize got = sizeof(block);
        size_t n = MIN(len, sizeof(block));

        g_checksum_update(sum, (const guchar *)in, sizeof(in));
        g_checksum_get_digest(sum, block, &got);
        memcpy(buf, block, n);
        buf += n;
        len -= n;
    }
}

static bool platform_random(void *opaque, void *buf, size_t len)
{
    if (seam.config.seed) {
        seeded_random(buf, len);
        return true;
    }
    return qemu_guest_getrandom(buf, len, NULL) == 0;
}

/* The boot CPU's, as an L1 program outside of any guest reads it. */
static void platform_cpuid(void *opaque, uint32_t leaf, uint32_t subleaf,
                           uint32_t out[4])
{
    CPUX86State *env = &X86_CPU(first_cpu)->env;

    cpu_x86_cpuid(env, leaf, subleaf, &out[0], &out[1], &out[2], &out[3]);
}

static uint64_t platform_tsc(void *opaque)
{
    return cpu_get_tsc(&X86_CPU(first_cpu)->env);
}

static void platform_log(void *opaque, bool unimplemented, const char *text)
{
    int mask = unimplemented ? LOG_UNIMP : LOG_GUEST_ERROR;
    uint64_t rip;

    if (seam_call_rip(&rip)) {
        qemu_log_mask(mask, "tdx: %s, L1 at 0x%" PRIx64 "\n", text, rip);
    } else {
        qemu_log_mask(mask, "tdx: %s\n", text);
    }
}

const TdxPlatform seam_platform = {
    .map = platform_map,
    .written = platform_written,
    .random = platform_random,
    .cpuid = platform_cpuid,
    .tsc = platform_tsc,
    .call_site = seam_call_site,
    .log = platform_log,
};

/* TCG's TSC is the host's tick counter, or the count of instructions. */
uint64_t seam_tsc_hz(void)
{
    return icount_enabled() ? NANOSECONDS_PER_SECOND / MAX(icount_to_ns(1), 1)
                            : vmx_tsc_hz();
}
