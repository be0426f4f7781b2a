/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TDCALL: TDVMCALL and the guest's own leaves. */
#include "guest.h"
#include "sept.h"

static uint64_t *gpr(Guest *g)
{
    return g->regs->gpr;
}

/* Mapped, pending and free private pages at these GPAs. */
#define MAPPED          0x1000ull
#define MAPPED2         0x3000ull
#define PENDING         0x2000ull
#define FREE            0x4000ull

typedef struct Pages {
    uint64_t mapped, mapped2, pending;  /* HPAs */
} Pages;

static void no_ve_disable(TdxMod *m, struct td_params *p)
{
    (void)m;
    p->attributes = 0;
    p->config_flags |= TDX_CONFIG_FLEXIBLE_PENDING_VE;
}

static void start(Guest *g, Pages *p, void (*edit)(TdxMod *m, struct td_params *p))
{
    Machine *mc = machine_new(2, 1);

    machine_ready(mc);
    guest_build(g, mc, 2, edit);
    p->mapped = life_page_add(&g->l, MAPPED);
    p->mapped2 = life_page_add(&g->l, MAPPED2);
    p->pending = life_page_aug(&g->l, PENDING);
    guest_run(g);
}

static void test_mode(void)
{
    Guest g;
    Pages p;

    start(&g, &p, NULL);
    gpr(&g)[TDX_RAX] = TDG_VP_INFO;
    guest_set_vmcs(&g, VMCS_GUEST_SS_AR, 0xc0f3);               /* CPL 3 */
    guest_expect_event(&g, VMX_EXIT_TDCALL, 0, EVENT_GP);
    guest_set_vmcs(&g, VMCS_GUEST_SS_AR, 0xc093);
    guest_set_vmcs(&g, VMCS_GUEST_CS_AR, 0xc09b);               /* not 64-bit */
    guest_expect_event(&g, VMX_EXIT_TDCALL, 0, EVENT_GP);
    guest_end(&g);
}

static void test_rax(void)
{
    static const uint64_t rax[] = {
        255, 63, 0x8000000000000001, 0x1000001, TDX_RAX(TDG_VP_INFO, 1), 300,
    };
    Guest g;
    Pages p;

    start(&g, &p, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rax); i++) {
        assert_status(guest_tdcall(&g, rax[i]), OPERAND(TDX_OPERAND_INVALID, RAX));
    }
    guest_end(&g);
}

static void test_vmcall(void)
{
    Guest g;
    Pages p;

    start(&g, &p, NULL);
    for (unsigned r = 0; r < 16; r++) {
        gpr(&g)[r] = 0x100 + r;
        g.host[r] = 0x1111111111111111ull * r;
    }
    gpr(&g)[TDX_RAX] = TDG_VP_VMCALL;
    gpr(&g)[TDX_RCX] = 0xfc04;          /* RDX, R10..R15 */
    g_assert_false(guest_exit(&g, VMX_EXIT_TDCALL, 0));
    g_assert_cmphex(g.host[TDX_RAX], ==, 77);
    g_assert_cmphex(g.host[TDX_RCX], ==, 0xfc04);
    g_assert_cmphex(g.host[TDX_RDX], ==, 0x102);
    g_assert_cmphex(g.host[TDX_RBX], ==, 0);
    g_assert_cmphex(g.host[TDX_RBP], ==, 0x5555555555555555);
    g_assert_cmphex(g.host[TDX_R8], ==, 0);
    g_assert_cmphex(g.host[TDX_R10], ==, 0x10a);
    g_assert_cmphex(g.host[TDX_R15], ==, 0x10f);
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_RIP), ==, GUEST_RIP + 3);
    g_assert_cmpint(g.vp->last_exit, ==, LAST_EXIT_TDVMCALL);

    for (unsigned r = 0; r < 16; r++) {
        g.host[r] = 0x200 + r;
    }
    guest_enter(&g);
    g_assert_cmphex(gpr(&g)[TDX_RAX], ==, 0);
    g_assert_cmphex(gpr(&g)[TDX_RCX], ==, 0xfc04);
    g_assert_cmphex(gpr(&g)[TDX_RDX], ==, 0x202);
    g_assert_cmphex(gpr(&g)[TDX_RBX], ==, 0x103);
    g_assert_cmphex(gpr(&g)[TDX_RBP], ==, 0x105);
    g_assert_cmphex(gpr(&g)[TDX_R9], ==, 0x109);
    g_assert_cmphex(gpr(&g)[TDX_R10], ==, 0x20a);

    /* After an asynchronous exit the host's registers do not count. */
    guest_set_vmcs(&g, VMCS_EXIT_INTR_INFO, 0x800000ec);
    g_assert_false(guest_exit(&g, VMX_EXIT_EXT_INTR, 0));
    g.host[TDX_R10] = 0x30a;
    guest_enter(&g);
    g_assert_cmphex(gpr(&g)[TDX_R10], ==, 0x20a);
    guest_end(&g);
}

static void test_vmcall_mask(void)
{
    static const uint64_t bad[] = { 1, 2, 0x10, 0x20, 1ull << 32, 1ull << 63, 0xffec };
    Guest g;
    Pages p;

    start(&g, &p, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        gpr(&g)[TDX_RCX] = bad[i];
        assert_status(guest_tdcall(&g, TDG_VP_VMCALL), OPERAND(TDX_OPERAND_INVALID, RCX));
    }
    guest_end(&g);
}

static void rbp_mod(TdxMod *m, struct td_params *p)
{
    (void)m;
    p->config_flags = 0;
}

/* A TD without NO_RBP_MOD may pass RBP, and its exits clear the host's. */
static void test_rbp(void)
{
    Guest g;
    Pages p;

    start(&g, &p, rbp_mod);
    gpr(&g)[TDX_RAX] = TDG_VP_VMCALL;
    gpr(&g)[TDX_RCX] = 0x20;
    gpr(&g)[TDX_RBP] = 0x42;
    g_assert_false(guest_exit(&g, VMX_EXIT_TDCALL, 0));
    g_assert_cmphex(g.host[TDX_RBP], ==, 0x42);
    g.host[TDX_RBP] = 0x43;
    guest_enter(&g);
    g_assert_cmphex(gpr(&g)[TDX_RBP], ==, 0x43);
    guest_set_vmcs(&g, VMCS_EXIT_INTR_INFO, 0x800000ec);
    g_assert_false(guest_exit(&g, VMX_EXIT_EXT_INTR, 0));
    g_assert_cmphex(g.host[TDX_RBP], ==, 0);
    guest_end(&g);
}

static void test_info(void)
{
    Guest g;
    Pages p;

    start(&g, &p, NULL);
    gpr(&g)[TDX_R12] = 0x77;
    assert_status(guest_tdcall(&g, TDG_VP_INFO), TDX_SUCCESS);
    g_assert_cmphex(gpr(&g)[TDX_RCX], ==, 48);
    g_assert_cmphex(gpr(&g)[TDX_RDX], ==, TDX_ATTR_SEPT_VE_DISABLE);
    g_assert_cmphex(gpr(&g)[TDX_R8], ==, 2 | (uint64_t)LIFE_MAX_VCPUS << 32);
    g_assert_cmphex(gpr(&g)[TDX_R9], ==, 0);
    g_assert_cmphex(gpr(&g)[TDX_R10], ==, 1);
    g_assert_cmphex(gpr(&g)[TDX_R11], ==, 0);
    g_assert_cmphex(gpr(&g)[TDX_R12], ==, 0x77);
    guest_end(&g);
}

static void test_cpuidve(void)
{
    Guest g;
    Pages p;

    start(&g, &p, NULL);
    gpr(&g)[TDX_RCX] = 4;
    assert_status(guest_tdcall(&g, TDG_VP_CPUIDVE_SET),
                  OPERAND(TDX_OPERAND_INVALID, RCX));
    gpr(&g)[TDX_RCX] = 1;
    assert_status(guest_tdcall(&g, TDG_VP_CPUIDVE_SET), TDX_SUCCESS);
    gpr(&g)[TDX_RAX] = 0;
    guest_expect_event(&g, VMX_EXIT_CPUID, 0, EVENT_VE);
    guest_fetch_ve(&g);
    guest_set_vmcs(&g, VMCS_GUEST_SS_AR, 0xc0f3);
    gpr(&g)[TDX_RAX] = 0;
    guest_expect_done(&g, VMX_EXIT_CPUID, 0);
    guest_set_vmcs(&g, VMCS_GUEST_SS_AR, 0xc093);
    gpr(&g)[TDX_RCX] = 2;
    assert_status(guest_tdcall(&g, TDG_VP_CPUIDVE_SET), TDX_SUCCESS);
    guest_set_vmcs(&g, VMCS_GUEST_SS_AR, 0xc0f3);
    gpr(&g)[TDX_RAX] = 0;
    guest_expect_event(&g, VMX_EXIT_CPUID, 0, EVENT_VE);
    guest_end(&g);
}

/* TDCALL that ends in a TD exit and runs again later: nothing of it is seen. */
static void expect_retry(Guest *g, uint64_t rax, uint64_t rcx, uint64_t rdx)
{
    uint64_t rip = guest_vmcs(g, VMCS_GUEST_RIP);

    gpr(g)[TDX_RAX] = rax;
    gpr(g)[TDX_RCX] = rcx;
    gpr(g)[TDX_RDX] = rdx;
    g_assert_false(guest_exit(g, VMX_EXIT_TDCALL, 0));
    g_assert_cmphex(guest_vmcs(g, VMCS_GUEST_RIP), ==, rip);
    g_assert_cmphex(gpr(g)[TDX_RAX], ==, rax);
    g_assert_cmphex(gpr(g)[TDX_RCX], ==, rcx);
    g_assert_cmphex(gpr(g)[TDX_RDX], ==, rdx);
    g_assert_cmphex(g->host[TDX_RAX], ==, 48);
    guest_enter(g);
    g_assert_cmphex(gpr(g)[TDX_RAX], ==, rax);
}

#define ACCEPT_INFO(requested, level, state, leaf) \
    (1 | (uint64_t)((requested) | (level) << 3 | (state) << 6 | (leaf) << 14) << 32)

static void test_accept(void)
{
    static const uint64_t bad[] = {
        0x2002, 0x1001, 0x2008, 0x2800, 0x200000 | 1 << 11, GUEST_SHARED | 0x2000,
        1ull << 48, 1ull << 52, 0x2007,
    };
    Guest g;
    Pages p;
    uint8_t *page;

    start(&g, &p, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        gpr(&g)[TDX_RCX] = bad[i];
        assert_status(guest_tdcall(&g, TDG_MEM_PAGE_ACCEPT),
                      OPERAND(TDX_OPERAND_INVALID, RCX));
    }
    page = machine_ptr(g.mc, p.pending, 4096);
    memset(page, 0xa5, 4096);
    gpr(&g)[TDX_RCX] = PENDING;
    assert_status(guest_tdcall(&g, TDG_MEM_PAGE_ACCEPT), TDX_SUCCESS);
    for (unsigned i = 0; i < 4096; i++) {
        g_assert_cmphex(page[i], ==, 0);
    }
    gpr(&g)[TDX_RCX] = PENDING;
    assert_status(guest_tdcall(&g, TDG_MEM_PAGE_ACCEPT), TDX_PAGE_ALREADY_ACCEPTED | 0);
    gpr(&g)[TDX_RCX] = 0 | TDX_2M;      /* 4K pages are there */
    assert_status(guest_tdcall(&g, TDG_MEM_PAGE_ACCEPT), TDX_PAGE_SIZE_MISMATCH | TDX_2M);

    expect_retry(&g, TDG_MEM_PAGE_ACCEPT, FREE, 0x5a5a);
    guest_end(&g);
}

/* What the host learns of an ACCEPT that waits for it. */
static void test_accept_exit(void)
{
    static const struct {
        uint64_t rcx, rdx;
    } rows[] = {
        { FREE, ACCEPT_INFO(0, 0, 0, 0) },
        { 0x200000 | TDX_2M, ACCEPT_INFO(1, 1, 0, 0) },
        { 0x40000000, ACCEPT_INFO(0, 2, 0, 0) },        /* no S-EPT page: ends at 1G */
    };
    Guest g;
    Pages p;

    start(&g, &p, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        gpr(&g)[TDX_RAX] = TDG_MEM_PAGE_ACCEPT;
        gpr(&g)[TDX_RCX] = rows[i].rcx;
        g_assert_false(guest_exit(&g, VMX_EXIT_TDCALL, 0));
        g_assert_cmphex(g.host[TDX_RAX], ==, 48);
        g_assert_cmphex(g.host[TDX_RCX], ==, 2);
        g_assert_cmphex(g.host[TDX_RDX], ==, rows[i].rdx);
        g_assert_cmphex(g.host[TDX_R8], ==, rows[i].rcx & ~0xfffull);
        guest_enter(&g);
    }
    /* Blocked after it was accepted. */
    assert_status(CALL(g.mc, 1, TDH_MEM_RANGE_BLOCK, .rcx = MAPPED, .rdx = g.l.tdr),
                  TDX_SUCCESS);
    gpr(&g)[TDX_RCX] = MAPPED;
    g_assert_false(guest_exit(&g, VMX_EXIT_TDCALL, 0));
    g_assert_cmphex(g.host[TDX_RDX], ==, ACCEPT_INFO(0, 0, SEPT_BLOCKED, 1));
    guest_end(&g);
}

/* 2 MiB: accepted whole, and a 4K request on it waits for DEMOTE. */
static void test_accept_2m(void)
{
    Machine *mc = machine_new(2, 1);
    uint64_t page;
    Guest g;

    machine_ready(mc);
    guest_build(&g, mc, 1, NULL);
    page = machine_2m(mc);
    life_sept(&g.l, 0x400000, TDX_2M);
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_AUG, .rcx = 0x400000 | TDX_2M,
                       .rdx = g.l.tdr, .r8 = page), TDX_SUCCESS);
    guest_run(&g);
    gpr(&g)[TDX_RAX] = TDG_MEM_PAGE_ACCEPT;
    gpr(&g)[TDX_RCX] = 0x401000;
    g_assert_false(guest_exit(&g, VMX_EXIT_TDCALL, 0));
    g_assert_cmphex(g.host[TDX_RDX], ==, ACCEPT_INFO(0, 1, SEPT_PENDING, 1));
    guest_enter(&g);
    memset(machine_ptr(mc, page + 0x1ff000, 4096), 0xa5, 4096);
    gpr(&g)[TDX_RCX] = 0x400000 | TDX_2M;
    assert_status(guest_tdcall(&g, TDG_MEM_PAGE_ACCEPT), TDX_SUCCESS);
    g_assert_cmphex(*(uint8_t *)machine_ptr(mc, page + 0x1fffff, 1), ==, 0);
    gpr(&g)[TDX_RCX] = 0x401000;
    assert_status(guest_tdcall(&g, TDG_MEM_PAGE_ACCEPT),
                  TDX_PAGE_ALREADY_ACCEPTED | TDX_2M);
    guest_end(&g);
}

/* While the host holds the S-EPT lock a TDCALL simply runs again. */
static void test_accept_busy(void)
{
    Guest g;
    Pages p;

    start(&g, &p, NULL);
    gpr(&g)[TDX_RAX] = TDG_MEM_PAGE_ACCEPT;
    gpr(&g)[TDX_RCX] = PENDING;
    guest_set_vmcs(&g, VMCS_EXIT_REASON, VMX_EXIT_TDCALL);
    g.tdcs->sept_lock = 0x8000;         /* exclusive; machine_check() would object */
    g_assert_cmpint(tdxmod_td_exit(g.mc->mod, 0, false, g.host, &g.mc->enter), ==,
                    TDX_ENTER_TD);
    g.tdcs->sept_lock = 0;
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_RIP), ==, GUEST_RIP);
    g_assert_cmphex(gpr(&g)[TDX_RAX], ==, TDG_MEM_PAGE_ACCEPT);
    g_assert_cmphex(guest_vmcs(&g, VMCS_ENTRY_INTR_INFO), ==, EVENT_NONE);
    assert_status(guest_tdcall(&g, TDG_MEM_PAGE_ACCEPT), TDX_SUCCESS);
    guest_end(&g);
}

static void test_rtmr(void)
{
    uint8_t data[96] = { 0 };
    uint8_t digest[48];
    gsize len = sizeof(digest);
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA384);
    Guest g;
    Pages p;

    start(&g, &p, NULL);
    gpr(&g)[TDX_RCX] = MAPPED + 32;
    gpr(&g)[TDX_RDX] = 0;
    assert_status(guest_tdcall(&g, TDG_MR_RTMR_EXTEND),
                  OPERAND(TDX_OPERAND_INVALID, RCX));
    gpr(&g)[TDX_RCX] = MAPPED | GUEST_SHARED;
    assert_status(guest_tdcall(&g, TDG_MR_RTMR_EXTEND),
                  OPERAND(TDX_OPERAND_INVALID, RCX));
    gpr(&g)[TDX_RCX] = MAPPED;
    gpr(&g)[TDX_RDX] = 4;
    assert_status(guest_tdcall(&g, TDG_MR_RTMR_EXTEND),
                  OPERAND(TDX_OPERAND_INVALID, RDX));
    expect_retry(&g, TDG_MR_RTMR_EXTEND, FREE, 3);
    guest_end(&g);

    start(&g, &p, NULL);
    memset(data + 48, 0x3c, 48);
    memcpy(machine_ptr(g.mc, p.mapped + 64, 48), data + 48, 48);
    gpr(&g)[TDX_RCX] = MAPPED + 64;
    gpr(&g)[TDX_RDX] = 2;
    assert_status(guest_tdcall(&g, TDG_MR_RTMR_EXTEND), TDX_SUCCESS);
    g_checksum_update(sum, data, sizeof(data));
    g_checksum_get_digest(sum, digest, &len);
    g_assert_cmpmem(g.tdcs->rtmr[2], 48, digest, 48);
    memcpy(data, digest, 48);
    gpr(&g)[TDX_RCX] = MAPPED + 64;
    gpr(&g)[TDX_RDX] = 2;
    assert_status(guest_tdcall(&g, TDG_MR_RTMR_EXTEND), TDX_SUCCESS);
    g_checksum_reset(sum);
    g_checksum_update(sum, data, sizeof(data));
    len = sizeof(digest);
    g_checksum_get_digest(sum, digest, &len);
    g_assert_cmpmem(g.tdcs->rtmr[2], 48, digest, 48);
    memset(digest, 0, 48);
    g_assert_cmpmem(g.tdcs->rtmr[3], 48, digest, 48);
    g_checksum_free(sum);
    guest_end(&g);
}

static void assert_sha384(const void *data, size_t len, const uint8_t expected[48])
{
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA384);
    uint8_t digest[48];
    gsize n = sizeof(digest);

    g_checksum_update(sum, data, len);
    g_checksum_get_digest(sum, digest, &n);
    g_assert_cmpmem(digest, 48, expected, 48);
    g_checksum_free(sum);
}

static void owners(TdxMod *m, struct td_params *p)
{
    (void)m;
    memset(p->mrconfigid, 0x11, 48);
    memset(p->mrowner, 0x22, 48);
    memset(p->mrownerconfig, 0x33, 48);
}

/* Offsets are those of TDREPORT_STRUCT in the ABI. */
static void test_report(void)
{
    uint8_t expected[48], *r;
    Guest g;
    Pages p;

    start(&g, &p, owners);
    memset(machine_ptr(g.mc, p.mapped + 128, 64), 0x5e, 64);
    gpr(&g)[TDX_RCX] = MAPPED2 + 1024;
    gpr(&g)[TDX_RDX] = MAPPED + 128;
    gpr(&g)[TDX_R8] = 0;
    assert_status(guest_tdcall(&g, TDG_MR_REPORT), TDX_SUCCESS);
    r = machine_ptr(g.mc, p.mapped2 + 1024, 1024);
    g_assert_cmphex(r[0], ==, 0x81);
    g_assert_cmphex(r[1] | r[2] | r[3], ==, 0);
    assert_sha384(r + 256, 239, r + 32);
    assert_sha384(r + 512, 512, r + 80);
    for (unsigned i = 0; i < 64; i++) {
        g_assert_cmphex(r[128 + i], ==, 0x5e);
    }
    g_assert_cmphex(r[512 + 3], ==, 0x10);              /* SEPT_VE_DISABLE */
    g_assert_cmphex(r[520], ==, 3);                     /* XFAM */
    g_assert_cmpmem(r + 528, 48, g.tdcs->mrtd, 48);
    memset(expected, 0x11, 48);
    g_assert_cmpmem(r + 576, 48, expected, 48);
    memset(expected, 0x22, 48);
    g_assert_cmpmem(r + 624, 48, expected, 48);
    memset(expected, 0x33, 48);
    g_assert_cmpmem(r + 672, 48, expected, 48);

    gpr(&g)[TDX_RCX] = MAPPED2 + 1024;
    assert_status(guest_tdcall(&g, TDG_MR_VERIFYREPORT), TDX_SUCCESS);
    r[150] ^= 1;
    assert_status(guest_tdcall(&g, TDG_MR_VERIFYREPORT), TDX_INVALID_REPORTMACSTRUCT);
    r[150] ^= 1;
    r[16] ^= 1;
    assert_status(guest_tdcall(&g, TDG_MR_VERIFYREPORT), TDX_INVALID_CPUSVN);
    guest_end(&g);
}

static void test_report_operands(void)
{
    static const struct {
        uint64_t rcx, rdx, r8, status;
    } rows[] = {
        { MAPPED2 + 512, MAPPED, 0, OPERAND(TDX_OPERAND_INVALID, RCX) },
        { MAPPED2 | GUEST_SHARED, MAPPED, 0, OPERAND(TDX_OPERAND_INVALID, RCX) },
        { MAPPED2, MAPPED + 32, 0, OPERAND(TDX_OPERAND_INVALID, RDX) },
        { MAPPED2, MAPPED | GUEST_SHARED, 0, OPERAND(TDX_OPERAND_INVALID, RDX) },
        { MAPPED2, MAPPED, 1, OPERAND(TDX_OPERAND_INVALID, R8) },
        { MAPPED2 + 1, MAPPED + 1, 1, OPERAND(TDX_OPERAND_INVALID, RCX) },
    };
    Guest g;
    Pages p;

    start(&g, &p, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        gpr(&g)[TDX_RCX] = rows[i].rcx;
        gpr(&g)[TDX_RDX] = rows[i].rdx;
        gpr(&g)[TDX_R8] = rows[i].r8;
        assert_status(guest_tdcall(&g, TDG_MR_REPORT), rows[i].status);
    }
    gpr(&g)[TDX_RCX] = MAPPED2;
    gpr(&g)[TDX_RDX] = MAPPED;
    gpr(&g)[TDX_R8] = 0;
    g.mc->no_entropy = true;            /* no key for the MAC yet */
    assert_status(guest_tdcall(&g, TDG_MR_REPORT), TDX_RND_NO_ENTROPY);
    g.mc->no_entropy = false;
    assert_status(guest_tdcall(&g, TDG_MR_REPORT), TDX_SUCCESS);
    guest_end(&g);
}

/* A buffer in a page that the guest has not accepted. */
static void test_pending_buffer(void)
{
    Guest g;
    Pages p;

    start(&g, &p, NULL);
    gpr(&g)[TDX_RAX] = TDG_MR_REPORT;
    gpr(&g)[TDX_RCX] = PENDING;
    gpr(&g)[TDX_RDX] = MAPPED;
    gpr(&g)[TDX_R8] = 0;
    g_assert_false(guest_exit(&g, VMX_EXIT_TDCALL, 0));
    g_assert_cmphex(g.host[TDX_RAX], ==, 48);
    g_assert_cmphex(g.host[TDX_RCX], ==, 2);
    g_assert_cmphex(g.host[TDX_RDX], ==, 6);
    g_assert_cmphex(g.host[TDX_R8], ==, PENDING);
    guest_end(&g);

    start(&g, &p, no_ve_disable);
    gpr(&g)[TDX_RAX] = TDG_MR_REPORT;
    gpr(&g)[TDX_RCX] = PENDING;
    gpr(&g)[TDX_RDX] = MAPPED;
    gpr(&g)[TDX_R8] = 0;
    guest_expect_event(&g, VMX_EXIT_TDCALL, 0, EVENT_VE);
    g_assert_cmphex(g.vp->ve.exit_reason, ==, 48);
    g_assert_cmphex(g.vp->ve.gpa, ==, PENDING);
    guest_end(&g);
}

/* What a Linux guest reads and writes at boot, with its ids. */
static void test_metadata(void)
{
    Guest g;
    Pages p;

    start(&g, &p, NULL);
    gpr(&g)[TDX_RCX] = 1;
    gpr(&g)[TDX_RDX] = TDX_MD_TDCS_CONFIG_FLAGS;
    gpr(&g)[TDX_R8] = 0x99;
    assert_status(guest_tdcall(&g, TDG_VM_RD), OPERAND(TDX_OPERAND_INVALID, RCX));
    g_assert_cmphex(gpr(&g)[TDX_R8], ==, 0);
    gpr(&g)[TDX_RCX] = 0;
    assert_status(guest_tdcall(&g, TDG_VM_RD), TDX_SUCCESS);
    g_assert_cmphex(gpr(&g)[TDX_R8], ==, TDX_CONFIG_NO_RBP_MOD);
    g_assert_cmphex(gpr(&g)[TDX_RDX], ==, TDX_MD_TDCS_CONFIG_FLAGS);
    gpr(&g)[TDX_RDX] = TDX_MD_TDCS_TD_CTLS;
    assert_status(guest_tdcall(&g, TDG_VM_RD), TDX_SUCCESS);
    g_assert_cmphex(gpr(&g)[TDX_R8], ==, TDX_TD_CTLS_PENDING_VE_DISABLE);

    gpr(&g)[TDX_RDX] = 0x9100000000000010;      /* NOTIFY_ENABLES */
    gpr(&g)[TDX_R8] = 0;
    gpr(&g)[TDX_R9] = UINT64_MAX;
    assert_status(guest_tdcall(&g, TDG_VM_WR), TDX_SUCCESS);
    gpr(&g)[TDX_RDX] = TDX_MD_TDCS_XFAM;
    g_assert_cmphex(TDX_STATUS_CODE(guest_tdcall(&g, TDG_VM_WR)), ==,
                    TDX_METADATA_FIELD_NOT_WRITABLE);

    /* No topology was configured: the host's #VE stay. */
    gpr(&g)[TDX_RDX] = TDX_MD_TDCS_TD_CTLS;
    gpr(&g)[TDX_R8] = TDX_TD_CTLS_REDUCE_VE;
    gpr(&g)[TDX_R9] = TDX_TD_CTLS_REDUCE_VE;
    g_assert_cmphex(TDX_STATUS_CODE(guest_tdcall(&g, TDG_VM_WR)), ==,
                    TDX_METADATA_FIELD_VALUE_NOT_VALID);

    gpr(&g)[TDX_RDX] = TDX_MD_MAJOR_VERSION;
    assert_status(guest_tdcall(&g, TDG_SYS_RD), TDX_SUCCESS);
    g_assert_cmphex(gpr(&g)[TDX_R8], ==, 2);
    gpr(&g)[TDX_RDX] = 0x3e00000000001234;
    g_assert_cmphex(TDX_STATUS_CODE(guest_tdcall(&g, TDG_SYS_RD)), ==,
                    TDX_METADATA_FIELD_ID_INCORRECT);
    g_assert_cmphex(gpr(&g)[TDX_RDX], ==, UINT64_MAX);
    guest_end(&g);
}

static void test_attr(void)
{
    Guest g;
    Pages p;

    start(&g, &p, NULL);
    gpr(&g)[TDX_RCX] = MAPPED;
    gpr(&g)[TDX_RDX] = 0x99;
    assert_status(guest_tdcall(&g, TDG_MEM_PAGE_ATTR_RD), TDX_SUCCESS);
    g_assert_cmphex(gpr(&g)[TDX_RCX], ==, MAPPED | TDX_4K);
    g_assert_cmphex(gpr(&g)[TDX_RDX], ==, 0);
    gpr(&g)[TDX_R8] = 0;
    assert_status(guest_tdcall(&g, TDG_MEM_PAGE_ATTR_WR), TDX_SUCCESS);
    gpr(&g)[TDX_RDX] = 1 << 16;
    assert_status(guest_tdcall(&g, TDG_MEM_PAGE_ATTR_WR),
                  OPERAND(TDX_OPERAND_INVALID, RDX));
    gpr(&g)[TDX_RCX] = MAPPED | GUEST_SHARED;
    assert_status(guest_tdcall(&g, TDG_MEM_PAGE_ATTR_RD),
                  OPERAND(TDX_OPERAND_INVALID, RCX));
    expect_retry(&g, TDG_MEM_PAGE_ATTR_RD, FREE, 0x5a5a);
    guest_end(&g);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tdg/mode", test_mode);
    g_test_add_func("/tdg/rax", test_rax);
    g_test_add_func("/tdg/vmcall", test_vmcall);
    g_test_add_func("/tdg/vmcall-mask", test_vmcall_mask);
    g_test_add_func("/tdg/rbp", test_rbp);
    g_test_add_func("/tdg/info", test_info);
    g_test_add_func("/tdg/cpuidve", test_cpuidve);
    g_test_add_func("/tdg/accept", test_accept);
    g_test_add_func("/tdg/accept-exit", test_accept_exit);
    g_test_add_func("/tdg/accept-2m", test_accept_2m);
    g_test_add_func("/tdg/accept-busy", test_accept_busy);
    g_test_add_func("/tdg/rtmr", test_rtmr);
    g_test_add_func("/tdg/report", test_report);
    g_test_add_func("/tdg/report-operands", test_report_operands);
    g_test_add_func("/tdg/pending-buffer", test_pending_buffer);
    g_test_add_func("/tdg/metadata", test_metadata);
    g_test_add_func("/tdg/attr", test_attr);
    return g_test_run();
}
