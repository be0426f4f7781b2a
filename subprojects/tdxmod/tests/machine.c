/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The unit tests' machine.
 */
#include <sys/mman.h>
#include "machine.h"
#include "module.h"
#include "pamt.h"
#include "td.h"

/* Places in the first bank */
#define TDMR_LIST       (1 * MIB)               /* then the TDMR_INFOs */
#define PAGES           (2 * MIB)
#define PAGES_END       (24 * MIB)
#define PAGES_2M        (24 * MIB)
#define PAMT_4K         (56 * MIB)              /* 4 MiB */
#define PAMT_2M         (60 * MIB)              /* 8 KiB */
#define PAMT_1G         (60 * MIB + 64 * 1024)  /* 4 KiB */

static void *platform_map(void *opaque, uint64_t pa, size_t len)
{
    Machine *mc = opaque;
    uint64_t in_bank = pa % GIB;

    g_assert_cmpuint(pa % 4096 + len, <=, 4096);
    if (pa >= 2 * GIB || in_bank >= MACHINE_RAM_SIZE ||
        in_bank + len > MACHINE_RAM_SIZE) {
        return NULL;
    }
    return mc->ram + pa;
}

static void platform_written(void *opaque, uint64_t pa, size_t len)
{
    Machine *mc = opaque;

    g_assert(mc->scribbled || platform_map(opaque, pa, len));
}

static bool platform_random(void *opaque, void *buf, size_t len)
{
    Machine *mc = opaque;

    if (mc->no_entropy) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)buf)[i] = g_random_int();
    }
    return true;
}

/* A processor with what TDs need; leaves not listed are zero. */
static void platform_cpuid(void *opaque, uint32_t leaf, uint32_t subleaf,
                           uint32_t out[4])
{
    static const struct {
        uint32_t leaf, subleaf, out[4];
    } table[] = {
        { 0, 0, { 0x21, 0x756e6547, 0x6c65746e, 0x49656e69 } },
        { 1, 0, { 0x806f8, 0x800, 0x7ffafbff, 0xbfebfbff } },
        { 4, 0, { 0x121, 0x2c0003f, 0x3f, 0 } },
        { 4, 1, { 0x122, 0x1c0003f, 0x3f, 0 } },
        { 4, 2, { 0x143, 0x3c0003f, 0x7ff, 0 } },
        { 4, 3, { 0x163, 0x3c0003f, 0x7fff, 4 } },
        { 7, 0, { 2, 0xf3bfbfeb, 0x9b415f7e, 0xffdd4412 } },
        { 7, 1, { 0x1c30, 0, 0, 0 } },
        { 7, 2, { 0, 0, 0, 0x3f } },
        { 0xd, 0, { 0x207, 0x340, 0xa88, 0 } },
        { 0xd, 1, { 0xf, 0x340, 0x1800, 0 } },
        { 0xd, 2, { 0x100, 0x240, 0, 0 } },
        { 0xd, 9, { 8, 0xa80, 0, 0 } },
        { 0x15, 0, { 2, 0x50, 25000000, 0 } },
        { 0x1f, 0, { 1, 2, 0x100, 0 } },
        { 0x1f, 1, { 6, 8, 0x201, 0 } },
        { 0x80000000, 0, { 0x80000008, 0, 0, 0 } },
        { 0x80000001, 0, { 0, 0, 0x121, 0x2c100800 } },
        { 0x80000006, 0, { 0, 0, 0x8007040, 0 } },
        { 0x80000007, 0, { 0, 0, 0, 0x100 } },
        { 0x80000008, 0, { 0x302e, 0x200, 0, 0 } },
    };

    (void)opaque;
    memset(out, 0, 4 * sizeof(out[0]));
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        if (table[i].leaf == leaf && table[i].subleaf == subleaf) {
            memcpy(out, table[i].out, sizeof(table[i].out));
        }
    }
}

static uint64_t platform_tsc(void *opaque)
{
    Machine *mc = opaque;

    return __atomic_add_fetch(&mc->tsc, 1000, __ATOMIC_SEQ_CST);
}

static void platform_log(void *opaque, bool unimplemented, const char *text)
{
    Machine *mc = opaque;

    if (mc->no_check) {
        return;
    }
    g_strlcpy(mc->last_log, text, sizeof(mc->last_log));
    if (unimplemented) {
        mc->unimp++;
    } else {
        mc->errors++;
    }
}

Machine *machine_new(unsigned lps, unsigned pkgs)
{
    Machine *mc = g_new0(Machine, 1);
    TdxPlatform platform = {
        .opaque = mc,
        .map = platform_map,
        .written = platform_written,
        .random = platform_random,
        .cpuid = platform_cpuid,
        .tsc = platform_tsc,
        .log = platform_log,
    };

    mc->ram = mmap(NULL, 2 * GIB, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert(mc->ram != MAP_FAILED);
    mc->config = (TdxModConfig) {
        .num_lps = lps,
        .num_pkgs = pkgs,
        .max_pa = MACHINE_MAX_PA,
        .keyid_bits = MACHINE_KEYID_BITS,
        .num_mktme_keyids = MACHINE_MKTME_KEYIDS,
        .num_tdx_keyids = MACHINE_TDX_KEYIDS,
        .major = 2,
        .minor = 5,
        .update = 7,
        .build_num = 42,
        .build_date = 0x20260102,
        .tsc_hz = MACHINE_TSC_HZ,
        .xcr0 = 0x207,
        .num_cmrs = 2,
        .cmr = { { 0, MACHINE_RAM_SIZE }, { MACHINE_BANK1, MACHINE_RAM_SIZE } },
    };
    for (unsigned i = 0; i < lps; i++) {
        mc->config.lp_pkg[i] = i % pkgs;
    }
    mc->mod = tdxmod_new(&platform, &mc->config);
    g_assert(mc->mod);
    mc->next_page = PAGES;
    mc->next_2m = PAGES_2M;
    return mc;
}

void machine_free(Machine *mc)
{
    tdxmod_free(mc->mod);
    munmap(mc->ram, 2 * GIB);
    g_free(mc);
}

void *machine_ptr(Machine *mc, uint64_t pa, size_t len)
{
    g_assert(pa < 2 * GIB && pa % GIB + len <= MACHINE_RAM_SIZE);
    return mc->ram + pa;
}

uint64_t machine_page(Machine *mc)
{
    uint64_t pa = mc->next_page;

    g_assert_cmpuint(pa, <, PAGES_END);
    mc->next_page += 4096;
    return pa;
}

uint64_t machine_2m(Machine *mc)
{
    uint64_t pa = mc->next_2m;

    g_assert_cmpuint(pa, <, PAMT_4K);
    mc->next_2m += 2 * MIB;
    return pa;
}

static uint64_t pattern(unsigned reg)
{
    return 0x5ca1ab1e00000000ull | reg;
}

uint64_t seamcall_gpr(Machine *mc, unsigned lp, uint64_t gpr[16])
{
    unsigned leaf = TDX_RAX_LEAF(gpr[TDX_RAX]);
    uint64_t before[16];
    TdxEnter enter = { 0 };
    TdxAction action;

    memcpy(before, gpr, sizeof(before));
    action = tdxmod_seamcall(mc->mod, lp, gpr, &enter);
    if (leaf != TDH_VP_ENTER) {
        g_assert_cmpint(action, ==, TDX_RETURN_TO_HOST);
        /* No leaf but VP.ENTER changes these. */
        for (unsigned r = TDX_RBX; r <= TDX_RDI; r++) {
            g_assert_cmphex(gpr[r], ==, before[r]);
        }
        g_assert_cmphex(gpr[TDX_R14], ==, before[TDX_R14]);
        g_assert_cmphex(gpr[TDX_R15], ==, before[TDX_R15]);
    }
    if (!mc->no_check) {
        mc->action = action;
        mc->enter = enter;
        machine_check(mc);
    }
    return gpr[TDX_RAX];
}

uint64_t seamcall(Machine *mc, unsigned lp, uint64_t rax, Regs in)
{
    uint64_t gpr[16], st;

    for (unsigned r = 0; r < 16; r++) {
        gpr[r] = pattern(r);
    }
    gpr[TDX_RAX] = rax;
    gpr[TDX_RCX] = in.rcx;
    gpr[TDX_RDX] = in.rdx;
    memcpy(&gpr[TDX_R8], &in.r8, 6 * sizeof(uint64_t));
    st = seamcall_gpr(mc, lp, gpr);
    if (!mc->no_check) {
        mc->out.rcx = gpr[TDX_RCX];
        mc->out.rdx = gpr[TDX_RDX];
        memcpy(&mc->out.r8, &gpr[TDX_R8], 6 * sizeof(uint64_t));
    }
    return st;
}

TdxAction machine_td_exit(Machine *mc, unsigned lp, bool suppress_ve, uint64_t gpr[16])
{
    memset(&mc->enter, 0, sizeof(mc->enter));
    mc->action = tdxmod_td_exit(mc->mod, lp, suppress_ve, gpr, &mc->enter);
    if (!mc->no_check) {
        machine_check(mc);
    }
    return mc->action;
}

void machine_assert_status(const char *file, int line, uint64_t status,
                           uint64_t expected)
{
    if (status != expected) {
        const char *got = tdxmod_status_name(status);
        const char *want = tdxmod_status_name(expected);

        g_error("%s:%d: status %s 0x%016" PRIx64 ", expected %s 0x%016" PRIx64, file,
                line, got ? got : "?", status, want ? want : "?", expected);
    }
}

void machine_init(Machine *mc)
{
    assert_status(CALL(mc, 0, TDH_SYS_INIT), TDX_SUCCESS);
    for (unsigned lp = 0; lp < mc->config.num_lps; lp++) {
        assert_status(CALL(mc, lp, TDH_SYS_LP_INIT), TDX_SUCCESS);
    }
}

struct tdmr_info *machine_tdmr(Machine *mc, unsigned i)
{
    return machine_ptr(mc, TDMR_LIST + 512 * (i + 1), 512);
}

uint64_t machine_tdmr_list(Machine *mc)
{
    uint64_t *list = machine_ptr(mc, TDMR_LIST, 512);

    memset(list, 0, 512);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t base = i * GIB;

        list[i] = TDMR_LIST + 512 * (i + 1);
        *machine_tdmr(mc, i) = (struct tdmr_info) {
            .base = base,
            .size = GIB,
            .pamt_1g_base = base + PAMT_1G,
            .pamt_1g_size = 4096,
            .pamt_2m_base = base + PAMT_2M,
            .pamt_2m_size = 8192,
            .pamt_4k_base = base + PAMT_4K,
            .pamt_4k_size = 4 * MIB,
            .reserved = { { 0, PAGES }, { PAMT_4K, GIB - PAMT_4K } },
        };
    }
    return TDMR_LIST;
}

/* 512 calls: the invariants are checked after the last. */
void machine_tdmr_init(Machine *mc)
{
    bool no_check = mc->no_check;

    if (!no_check) {
        mc->no_check = true;
    }
    for (uint64_t base = 0; base < 2 * GIB; base += GIB) {
        uint64_t gpr[16];

        do {
            memset(gpr, 0, sizeof(gpr));
            gpr[TDX_RAX] = TDH_SYS_TDMR_INIT;
            gpr[TDX_RCX] = base;
            assert_status(seamcall_gpr(mc, 0, gpr), TDX_SUCCESS);
        } while (gpr[TDX_RDX] < base + GIB);
    }
    if (!no_check) {
        mc->no_check = false;
    }
}

void machine_ready(Machine *mc)
{
    machine_init(mc);
    assert_status(CALL(mc, 0, TDH_SYS_CONFIG, .rcx = machine_tdmr_list(mc), .rdx = 2,
                       .r8 = MACHINE_GLOBAL_HKID), TDX_SUCCESS);
    for (unsigned pkg = 0; pkg < mc->config.num_pkgs; pkg++) {
        assert_status(CALL(mc, pkg, TDH_SYS_KEY_CONFIG), TDX_SUCCESS);
    }
    machine_tdmr_init(mc);
    if (!mc->no_check) {
        machine_check(mc);
    }
}

/* --- invariants --- */


typedef struct Audit {
    Machine *mc;
    GHashTable *owned;          /* TDR PA -> pages, both as pointers */
    uint64_t in_use;
} Audit;

static uint64_t owner_pa(const struct pamt_entry *e)
{
    uint64_t pfn = 0;

    for (int i = 0; i < 5; i++) {
        pfn |= (uint64_t)e->owner[i] << 8 * i;
    }
    return pfn << 12;
}

static void add_owned(Audit *a, uint64_t tdr_pa, uint64_t pages)
{
    uint64_t sum = GPOINTER_TO_SIZE(g_hash_table_lookup(a->owned,
                                                        GSIZE_TO_POINTER(tdr_pa)));

    g_hash_table_insert(a->owned, GSIZE_TO_POINTER(tdr_pa),
                        GSIZE_TO_POINTER(sum + pages));
}

/* Locks that running vCPUs hold on the page at @pa. */
static unsigned running_locks(const Machine *mc, uint64_t pa)
{
    unsigned n = 0;

    for (unsigned lp = 0; lp < mc->config.num_lps; lp++) {
        const TdxRun *run = &mc->mod->lp[lp].run;

        n += run->active && (run->tdr_pa == pa || run->tdvpr_pa == pa);
    }
    return n;
}

static void audit_2m(Audit *a, const Tdmr *t, uint64_t base)
{
    struct pamt_entry *e2m = machine_ptr(a->mc, t->pamt[TDX_2M] + (base - t->base) /
                                         (2 * MIB) * sizeof(*e2m), sizeof(*e2m));
    struct pamt_entry *e = machine_ptr(a->mc, t->pamt[TDX_4K] + (base - t->base) / 4096 *
                                       sizeof(*e), 512 * sizeof(*e));
    unsigned used = 0, reserved = 0;

    g_assert_cmphex(e2m->lock, ==, 0);
    for (unsigned i = 0; i < 512; i++) {
        used += e[i].type != PT_NDA && e[i].type != PT_RSVD;
        reserved += e[i].type == PT_RSVD;
        g_assert_cmphex(e[i].lock, ==, running_locks(a->mc, base + i * 4096));
        if (e[i].type != PT_NDA && e[i].type != PT_RSVD && e[i].type != PT_TDR) {
            add_owned(a, owner_pa(&e[i]), 1);
        }
        if (e[i].type == PT_TDR) {
            add_owned(a, base + i * 4096, 0);
        }
    }
    if (e2m->type == PT_REG) {
        g_assert_cmpuint(used, ==, 0);
        add_owned(a, owner_pa(e2m), 512);
        a->in_use += 512;
    } else {
        g_assert_cmpuint(e2m->type, ==, PT_NDA);
        g_assert_cmpuint(e2m->aux & PAMT_2M_USED, ==, used);
        g_assert_cmpuint((e2m->aux & PAMT_2M_RSVD) >> PAMT_2M_RSVD_SHIFT, ==, reserved);
        a->in_use += used;
    }
}

static void audit_td(gpointer key, gpointer value, gpointer opaque)
{
    Audit *a = opaque;
    uint64_t pa = GPOINTER_TO_SIZE(key);
    const struct tdr *tdr = machine_ptr(a->mc, pa, 4096);
    const struct tdcs *tdcs;

    g_assert_cmpuint(tdr->chldcnt, ==, GPOINTER_TO_SIZE(value));
    if (tdr->num_tdcx && tdr->lifecycle != TD_TEARDOWN) {
        tdcs = machine_ptr(a->mc, tdr->tdcx_pa[TDCS_CONTROL], 4096);
        g_assert_cmphex(tdcs->op_state_lock, ==, running_locks(a->mc, pa));
        g_assert_cmphex(tdcs->sept_lock, ==, 0);
        g_assert_cmphex(tdcs->epoch_lock, ==, 0);
        g_assert_cmphex(tdcs->rtmr_lock, ==, 0);
        g_assert_cmphex(tdcs->vcpu_lock, ==, 0);
        g_assert_cmphex(tdcs->ctls_lock, ==, 0);
        g_assert_cmpuint(tdcs->refcount[0] + tdcs->refcount[1], ==,
                         running_locks(a->mc, pa));
    }
}

void machine_check(Machine *mc)
{
    TdxMod *m = mc->mod;
    Audit a = { .mc = mc };

    g_assert_cmphex(m->sys_lock, ==, 0);
    g_assert_cmphex(m->inside_lock, ==, 0);
    g_assert_cmphex(m->kot_lock, ==, 0);
    a.owned = g_hash_table_new(NULL, NULL);
    for (unsigned i = 0; i < m->num_tdmrs; i++) {
        const Tdmr *t = &m->tdmr[i];

        g_assert_cmphex(t->lock, ==, 0);
        if (t->next == t->base + t->size) {
            struct pamt_entry *e1g = machine_ptr(mc, t->pamt[TDX_1G], sizeof(*e1g));

            g_assert_cmphex(e1g->lock, ==, 0);
            for (uint64_t pa = t->base; pa < t->base + MACHINE_RAM_SIZE; pa += 2 * MIB) {
                audit_2m(&a, t, pa);
            }
        }
    }
    if (!mc->no_tds) {
        g_hash_table_foreach(a.owned, audit_td, &a);
    }
    g_hash_table_destroy(a.owned);
    g_assert_cmpuint(tdxmod_pages_in_use(m), ==, a.in_use);
}
