/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The unit tests' machine.
 */
#include <sys/mman.h>
#include "machine.h"
#include "module.h"

/* Places in the first bank */
#define TDMR_LIST       (1 * MIB)               /* then the TDMR_INFOs */
#define PAGES           (2 * MIB)
#define PAGES_END       (24 * MIB)
#define PAGES_2M        (24 * MIB)
#define PAMT_4K         (56 * MIB)              /* 4 MiB */
#define PAMT_2M         (60 * MIB)              /* 8 KiB */
#define PAMT_1G         (60 * MIB + 64 * 1024)  /* 4 KiB */
/* Places in the RAM of a flat machine: the PAMT, then pages for pairs */
#define FLAT_PAMT       (512 * MIB)
#define FLAT_PAIRS      (768 * MIB)

/* The SEAMCALL that this thread makes: an instruction pointer of its own. */
static __thread uint64_t call_rip, call_rsp = MACHINE_RSP;

static bool is_ram(const Machine *mc, uint64_t pa, size_t len)
{
    return pa < mc->num_banks * mc->bank_stride &&
           pa % mc->bank_stride + len <= mc->bank_size;
}

static void *platform_map(void *opaque, uint64_t pa, size_t len)
{
    Machine *mc = opaque;

    g_assert_cmpuint(pa % 4096 + len, <=, 4096);
    if (!is_ram(mc, pa, len)) {
        return NULL;
    }
    __atomic_add_fetch(&mc->maps, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&mc->mapped_bytes, len, __ATOMIC_RELAXED);
    return mc->ram + pa;
}

static void platform_written(void *opaque, uint64_t pa, size_t len)
{
    Machine *mc = opaque;

    g_assert(mc->scribbled || is_ram(mc, pa, len));
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

static void platform_call_site(void *opaque, TdxCallSite *site)
{
    (void)opaque;
    *site = (TdxCallSite){
        .rip = call_rip,
        .rsp = call_rsp,
        .caller = { call_rip + 1, call_rip + 2 },
    };
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
    return machine_new_as((MachineShape){ .lps = lps, .pkgs = pkgs });
}

/* Banks of RAM, and the allocators' places in them. */
static void lay_out(Machine *mc, uint64_t flat_gib)
{
    mc->num_banks = flat_gib ? 1 : 2;
    mc->bank_stride = flat_gib ? flat_gib * GIB : GIB;
    mc->bank_size = flat_gib ? flat_gib * GIB : MACHINE_RAM_SIZE;
    mc->config.num_cmrs = mc->num_banks;
    for (unsigned i = 0; i < mc->num_banks; i++) {
        mc->config.cmr[i] = (TdxCmr){ i * mc->bank_stride, mc->bank_size };
    }
    mc->next_page = PAGES;
    mc->next_2m = PAGES_2M;
    mc->next_pair = flat_gib ? FLAT_PAIRS : MACHINE_BANK1 + PAGES;
    mc->ram = mmap(NULL, mc->num_banks * mc->bank_stride, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert(mc->ram != MAP_FAILED);
}

Machine *machine_new_as(MachineShape shape)
{
    Machine *mc = g_new0(Machine, 1);
    bool many_tds = shape.flat_gib;     /* more KeyIDs, of the same place */
    TdxPlatform platform = {
        .opaque = mc,
        .map = platform_map,
        .written = platform_written,
        .random = platform_random,
        .cpuid = platform_cpuid,
        .tsc = platform_tsc,
        .call_site = platform_call_site,
        .log = platform_log,
    };

    mc->config = (TdxModConfig) {
        .num_lps = shape.lps,
        .num_pkgs = shape.pkgs,
        .max_pa = MACHINE_MAX_PA + 2 * many_tds,
        .keyid_bits = MACHINE_KEYID_BITS + 2 * many_tds,
        .num_mktme_keyids = MACHINE_MKTME_KEYIDS,
        .num_tdx_keyids = many_tds ? MACHINE_FLAT_KEYIDS : MACHINE_TDX_KEYIDS,
        .major = 2,
        .minor = 5,
        .update = 7,
        .build_num = 42,
        .build_date = 0x20260102,
        .tsc_hz = MACHINE_TSC_HZ,
        .xcr0 = 0x207,
        .dynamic_pamt = shape.dynamic_pamt,
    };
    for (unsigned i = 0; i < shape.lps; i++) {
        mc->config.lp_pkg[i] = i % shape.pkgs;
    }
    lay_out(mc, shape.flat_gib);
    mc->dynamic = shape.dynamic_pamt;
    mc->mod = tdxmod_new(&platform, &mc->config);
    g_assert(mc->mod);
    return mc;
}

void machine_free(Machine *mc)
{
    tdxmod_free(mc->mod);
    munmap(mc->ram, mc->num_banks * mc->bank_stride);
    g_free(mc);
}

void *machine_ptr(Machine *mc, uint64_t pa, size_t len)
{
    g_assert(is_ram(mc, pa, len));
    return mc->ram + pa;
}

uint64_t machine_page(Machine *mc)
{
    uint64_t pa = mc->next_page;

    g_assert_cmpuint(pa, <, PAGES_END);
    mc->next_page += 4096;
    if (mc->auto_back) {
        machine_back(mc, pa);
    }
    return pa;
}

uint64_t machine_pair_page(Machine *mc)
{
    uint64_t pa = mc->next_pair;

    mc->next_pair += 4096;
    g_assert(is_ram(mc, pa, 4096));
    return pa;
}

void machine_back(Machine *mc, uint64_t pa)
{
    if (!machine_entry_2m(mc, pa).backed) {
        uint64_t p0 = machine_pair_page(mc), p1 = machine_pair_page(mc);

        assert_status(CALL(mc, 0, TDH_PHYMEM_PAMT_ADD, .rcx = (pa & -2 * MIB) | TDX_2M,
                           .rdx = p0, .r8 = p1), TDX_SUCCESS);
    }
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
    call_rip = MACHINE_RIP + 16 * __atomic_add_fetch(&mc->calls, 1, __ATOMIC_RELAXED);
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

uint64_t machine_rip(void)
{
    return call_rip;
}

void machine_set_rsp(uint64_t rsp)
{
    call_rsp = rsp;
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

struct tdmr_info machine_bank_tdmr(const Machine *mc, unsigned bank)
{
    uint64_t base = bank * mc->bank_stride;
    uint64_t size = mc->bank_stride, pamt_4k = base + PAMT_4K, pamt_2m = base + PAMT_2M;
    uint64_t pamt_1g = base + PAMT_1G, reserved = PAMT_4K, end = GIB;

    if (mc->num_banks == 1) {
        reserved = pamt_1g = FLAT_PAMT;
        pamt_2m = pamt_1g + MAX(size / GIB * 16, 4096);
        pamt_4k = pamt_2m + size / (2 * MIB) * 16;
        end = FLAT_PAIRS;
    }
    return (struct tdmr_info){
        .base = base,
        .size = size,
        .pamt_1g_base = pamt_1g,
        .pamt_1g_size = MAX(size / GIB * 16, 4096),
        .pamt_2m_base = pamt_2m,
        .pamt_2m_size = size / (2 * MIB) * 16,
        .pamt_4k_base = pamt_4k,
        .pamt_4k_size = mc->dynamic ? size / 4096 / 8 : size / 4096 * 16,
        .reserved = { { 0, PAGES }, { reserved, end - reserved } },
    };
}

uint64_t machine_tdmr_list(Machine *mc)
{
    uint64_t *list = machine_ptr(mc, TDMR_LIST, 512);

    memset(list, 0, 512);
    for (unsigned i = 0; i < mc->num_banks; i++) {
        list[i] = TDMR_LIST + 512 * (i + 1);
        *machine_tdmr(mc, i) = machine_bank_tdmr(mc, i);
    }
    return TDMR_LIST;
}

/* Many calls: the invariants are checked after the last. */
void machine_tdmr_init(Machine *mc)
{
    bool no_check = mc->no_check;

    if (!no_check) {
        mc->no_check = true;
    }
    for (unsigned i = 0; i < mc->num_banks; i++) {
        uint64_t gpr[16], base = i * mc->bank_stride;

        do {
            memset(gpr, 0, sizeof(gpr));
            gpr[TDX_RAX] = TDH_SYS_TDMR_INIT;
            gpr[TDX_RCX] = base;
            assert_status(seamcall_gpr(mc, 0, gpr), TDX_SUCCESS);
        } while (gpr[TDX_RDX] < base + mc->bank_stride);
    }
    if (!no_check) {
        mc->no_check = false;
    }
}

void machine_ready(Machine *mc)
{
    uint64_t r8 = MACHINE_GLOBAL_HKID | (mc->dynamic ? TDX_SYS_CONFIG_DYNAMIC_PAMT : 0);

    machine_init(mc);
    assert_status(CALL(mc, 0, TDH_SYS_CONFIG, .rcx = machine_tdmr_list(mc),
                       .rdx = mc->num_banks, .r8 = r8), TDX_SUCCESS);
    for (unsigned pkg = 0; pkg < mc->config.num_pkgs; pkg++) {
        assert_status(CALL(mc, pkg, TDH_SYS_KEY_CONFIG), TDX_SUCCESS);
    }
    machine_tdmr_init(mc);
    if (!mc->no_check) {
        machine_check(mc);
    }
}
