/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where L1 made a SEAMCALL.  Taken at the call, which must stay cheap: words of
 * the stack that may be return addresses.  Looked at later, when somebody asks:
 * those that follow a CALL instruction in L1's code.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "cpu.h"
#include "exec/exec-all.h"
#include "internal.h"

/* --- at the call --------------------------------------------------------- */

#define STACK_WORDS     128     /* that are looked at */
#define NEAR            (1ull << 31)
#define MAX_ERRNO       4095    /* Linux: pointers from -4095 up are error codes */

static bool near_code(uint64_t word, uint64_t rip)
{
    return word - rip + NEAR < 2 * NEAR && word && word < -(uint64_t)MAX_ERRNO;
}

/* RSP may be anything: what cannot be read without a fault is left out. */
static void find_callers(CPUX86State *env, TdxCallSite *site)
{
    int mmu_idx = cpu_mmu_index(env_cpu(env), false);
    uint64_t sp = site->rsp;
    unsigned left = sp % 8 ? 0 : STACK_WORDS, found = 0;

    while (left && found < TDXMOD_CALLERS) {
        unsigned here = MIN(left, -(sp | TARGET_PAGE_MASK) / 8);
        void *host;

        probe_access_flags(env, sp, 8, MMU_DATA_LOAD, mmu_idx, true, &host, 0);
        if (!host) {
            return;
        }
        for (unsigned i = 0; i < here && found < TDXMOD_CALLERS; i++) {
            uint64_t word = ldq_le_p((uint64_t *)host + i);

            if (near_code(word, site->rip)) {
                site->caller[found++] = word;
            }
        }
        left -= here;
        sp += 8 * here;
    }
}

/* The CPU of this thread, if it is executing a SEAMCALL. */
static CPUX86State *calling_cpu(void)
{
    CPUX86State *env = current_cpu ? cpu_env(current_cpu) : NULL;
    SeamCpu *s = env && env->vmx ? seam_cpu(env) : NULL;

    return s && s->in_call ? env : NULL;
}

void seam_call_site(void *opaque, TdxCallSite *site)
{
    CPUX86State *env = calling_cpu();

    memset(site, 0, sizeof(*site));
    if (env) {
        site->rip = env->eip;
        site->rsp = env->regs[R_ESP];
        find_callers(env, site);
    }
}

bool seam_call_rip(uint64_t *rip)
{
    CPUX86State *env = calling_cpu();

    if (env) {
        *rip = env->eip;
    }
    return env;
}

/* --- later --------------------------------------------------------------- */

#define CALL_MAX        7       /* bytes of the longest CALL, without prefixes */

/* L1's address space on a CPU, also while a guest runs there. */
typedef struct L1Paging {
    uint64_t cr3;
    int levels;                 /* 0: not in 64-bit mode */
} L1Paging;

static L1Paging l1_paging(CPUX86State *env)
{
    bool guest = vmx_nonroot(env);
    uint64_t cr4 = guest ? vmcs_read(env->vmx->cur, VMCS_HOST_CR4) : env->cr[4];

    if (!guest && !(env->hflags & HF_LMA_MASK)) {
        return (L1Paging) { 0 };
    }
    return (L1Paging) {
        .cr3 = guest ? vmcs_read(env->vmx->cur, VMCS_HOST_CR3) : env->cr[3],
        .levels = cr4 & CR4_LA57_MASK ? 5 : 4,
    };
}

/* Host address of the byte at @va, or NULL; the page tables are only read. */
static const uint8_t *l1_byte(const L1Paging *p, uint64_t va)
{
    uint64_t keyid_mask = vmx_seam_ops->keyid_mask, entry = p->cr3;
    int shift = 12 + 9 * p->levels;

    do {
        uint64_t table = entry & PG_ADDRESS_MASK & ~keyid_mask;
        uint64_t *at;

        shift -= 9;
        at = seam_map(table + 8 * (va >> shift & 0x1ff), 8);
        entry = at ? le64_to_cpu(qatomic_read(at)) : 0;
        if (!(entry & PG_PRESENT_MASK)) {
            return NULL;
        }
    } while (shift > 12 && !(entry & PG_PSE_MASK));

    entry &= PG_ADDRESS_MASK & ~keyid_mask & -(1ull << shift);
    return seam_map(entry | (va & MAKE_64BIT_MASK(0, shift)), 1);
}

static bool l1_read(CPUX86State *env, uint64_t va, uint8_t *buf, size_t len)
{
    L1Paging paging = l1_paging(env);

    for (size_t i = 0; i < len; i++) {
        const uint8_t *byte = paging.levels ? l1_byte(&paging, va + i) : NULL;

        if (!byte) {
            return false;
        }
        buf[i] = *byte;
    }
    return true;
}

/* Bytes that ModRM, SIB and displacement take at @p (ModRM first). */
static int modrm_length(const uint8_t *p)
{
    int mod = p[0] >> 6, rm = p[0] & 7;
    bool sib = mod != 3 && rm == 4;

    if (mod == 2 || (!mod && (rm == 5 || (sib && (p[1] & 7) == 5)))) {
        return 1 + sib + 4;
    }
    return 1 + sib + (mod == 1);
}

/* @end: behind the last of CALL_MAX bytes; one more can be read. */
static bool ends_in_call(const uint8_t *end)
{
    if (end[-5] == 0xe8) {
        return true;
    }
    for (int len = 2; len <= CALL_MAX; len++) {
        const uint8_t *p = end - len;

        if (p[0] == 0xff && (p[1] >> 3 & 7) == 2 &&
            modrm_length(p + 1) == len - 1) {
            return true;
        }
    }
    return false;
}

bool seam_follows_call(uint64_t va)
{
    uint8_t code[CALL_MAX + 1] = { 0 };
    CPUState *cs;

    CPU_FOREACH(cs) {
        CPUX86State *env = cpu_env(cs);

        if (l1_read(env, va - CALL_MAX, code, CALL_MAX) &&
            ends_in_call(code + CALL_MAX)) {
            return true;
        }
    }
    return false;
}
