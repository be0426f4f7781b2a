/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSRs of a TD: the bitmap, and each kind of answer. */
#include "guest.h"
#include "../src/cpuid.h"

#define VALUE   0x123400005678ull

typedef enum Expect { VE, GP, DONE } Expect;

static void access_msr(Guest *g, uint32_t msr, bool write, Expect e)
{
    uint32_t reason = write ? VMX_EXIT_WRMSR : VMX_EXIT_RDMSR;

    g->regs->gpr[TDX_RCX] = 0xffffffff00000000 | msr;
    if (e == DONE) {
        guest_expect_done(g, reason, 0);
        return;
    }
    guest_expect_event(g, reason, 0, e == VE ? EVENT_VE : EVENT_GP);
    if (e == VE) {
        g_assert_cmphex(g->vp->ve.exit_reason, ==, reason);
        g->vp->ve.valid = 0;
    }
}

static void read_msr(Guest *g, uint32_t msr, uint64_t value)
{
    access_msr(g, msr, false, DONE);
    g_assert_cmphex(g->regs->gpr[TDX_RAX], ==, (uint32_t)value);
    g_assert_cmphex(g->regs->gpr[TDX_RDX], ==, value >> 32);
}

static void write_msr(Guest *g, uint32_t msr, uint64_t value, Expect e)
{
    g->regs->gpr[TDX_RAX] = (uint32_t)value;
    g->regs->gpr[TDX_RDX] = value >> 32;
    access_msr(g, msr, true, e);
}

static bool intercepted(const uint8_t *bitmap, uint32_t msr, bool write)
{
    unsigned bit = (write ? 2048 * 8 : 0) + (msr >> 31 ? 1024 * 8 : 0) + (msr & 0x1fff);

    return bitmap[bit / 8] >> (bit % 8) & 1;
}

/* The bitmap of the vCPU: MSR by MSR from the ABI's table. */
static void test_bitmap(void)
{
    static const struct {
        uint32_t first, last;
        bool rd, wr;            /* native */
    } rows[] = {
        { 0x10, 0x10, true, false }, { 0x1b, 0x1b, false, false },
        { 0x48, 0x49, true, true }, { 0x10a, 0x10a, false, false },
        { 0x10b, 0x10b, true, true }, { 0x174, 0x176, true, true },
        { 0x1a0, 0x1a0, false, false }, { 0x277, 0x277, true, true },
        { 0x200, 0x213, false, false }, { 0x600, 0x600, true, true },
        { 0x6a0, 0x6a8, false, false }, { 0x6e0, 0x6e1, false, false },
        { 0x800, 0x807, false, false }, { 0x808, 0x808, true, true },
        { 0x80a, 0x80b, true, true }, { 0x810, 0x827, true, true },
        { 0x828, 0x83e, false, false }, { 0x83f, 0x83f, true, true },
        { 0x840, 0x8ff, false, false }, { 0x1fff, 0x1fff, false, false },
        { 0xc1, 0xc8, false, false }, { 0xc0000080, 0xc0000080, true, false },
        { 0xc0000081, 0xc0000082, true, true }, { 0xc0000083, 0xc0000083, false, false },
        { 0xc0000084, 0xc0000084, true, true }, { 0xc0000100, 0xc0000103, true, true },
        { 0xc0000104, 0xc0001fff, false, false },
    };
    const uint8_t *bitmap;
    Guest g;

    guest_start(&g, NULL);
    bitmap = machine_ptr(g.mc, guest_vmcs(&g, VMCS_MSR_BITMAP), 4096);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (uint32_t msr = rows[i].first; msr <= rows[i].last; msr++) {
            g_assert_cmpint(intercepted(bitmap, msr, false), ==, !rows[i].rd);
            g_assert_cmpint(intercepted(bitmap, msr, true), ==, !rows[i].wr);
        }
    }
    guest_end(&g);
}

static void test_actions(void)
{
    static const struct {
        uint32_t msr;
        Expect rd, wr;
    } rows[] = {
        { 0x0, VE, VE }, { 0x1b, VE, VE }, { 0x17, VE, VE }, { 0x3a, VE, VE },
        { 0x34, VE, VE }, { 0x79, VE, VE }, { 0x8b, VE, VE }, { 0xce, VE, VE },
        { 0x8c, GP, GP }, { 0x9e, GP, GP }, { 0xc1, GP, GP }, { 0xe1, GP, GP },
        { 0x87, GP, GP },                       /* no PCONFIG */
        { 0xfe, VE, GP }, { 0x200, VE, VE }, { 0x2ff, VE, VE },
        { 0x179, VE, GP }, { 0x17a, VE, VE }, { 0x400, VE, VE },
        { 0x198, GP, GP },                      /* EST not configured */
        { 0xcf, VE, GP }, { 0x480, VE, GP }, { 0x550, GP, GP }, { 0x6e0, GP, GP },
        { 0x802, VE, GP }, { 0x803, VE, GP }, { 0x80f, VE, VE }, { 0x830, VE, VE },
        { 0x831, GP, GP }, { 0x838, VE, VE }, { 0x8ff, GP, GP }, { 0x982, GP, GP },
        { 0xd90, GP, GP }, { 0x1fff, VE, VE }, { 0x2000, VE, VE }, { 0x4b564d00, VE, VE },
        { 0xc0000083, VE, VE }, { 0xc0001000, VE, VE }, { 0xc0002000, VE, VE },
        { 0x40000010, VE, VE }, { 0xffffffff, VE, VE },
    };
    Guest g;

    guest_start(&g, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        access_msr(&g, rows[i].msr, false, rows[i].rd);
        access_msr(&g, rows[i].msr, true, rows[i].wr);
    }
    guest_end(&g);
}

/* REDUCE_VE without any paravirtual feature. */
static void test_reduce_ve(void)
{
    static const struct {
        uint32_t msr;
        Expect rd, wr;
    } rows[] = {
        { 0x0, VE, VE }, { 0x1b, VE, VE }, { 0x17, VE, GP }, { 0xe7, GP, GP },
        { 0xfe, GP, GP }, { 0x200, GP, GP }, { 0x179, GP, GP }, { 0x400, GP, GP },
        { 0x480, GP, GP }, { 0x80f, VE, VE }, { 0x1fff, GP, GP }, { 0xc0000083, VE, VE },
        { 0xc0001000, GP, GP }, { 0xc0002000, VE, VE }, { 0x4b564d00, VE, VE },
    };
    Guest g;

    guest_start(&g, NULL);
    g.tdcs->td_ctls |= TDX_TD_CTLS_REDUCE_VE | TDX_TD_CTLS_ENUM_TOPOLOGY;
    g.vp->x2apic_id = 3;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        access_msr(&g, rows[i].msr, false, rows[i].rd);
        access_msr(&g, rows[i].msr, true, rows[i].wr);
    }
    read_msr(&g, 0x3a, 1);
    write_msr(&g, 0x3a, 1, GP);
    write_msr(&g, 0x34, VALUE, DONE);
    read_msr(&g, 0x34, VALUE);
    write_msr(&g, 0x79, VALUE, DONE);
    access_msr(&g, 0x79, false, GP);
    read_msr(&g, 0x8b, 0xffffffff);
    write_msr(&g, 0x8b, 0, DONE);
    read_msr(&g, 0xce, 0);
    write_msr(&g, 0xce, 0, GP);
    write_msr(&g, 0x140, 0, DONE);
    write_msr(&g, 0x140, 1, GP);
    read_msr(&g, 0x802, 3);
    g.tdcs->cpuid_flags = g.tdcs->feature_paravirt_ctrl = CPUID_F_MTRR;
    access_msr(&g, 0x200, false, VE);
    access_msr(&g, 0x400, false, GP);
    guest_end(&g);
}

static void test_emulated(void)
{
    Guest g;

    guest_start(&g, NULL);
    read_msr(&g, 0xbd, 1);
    write_msr(&g, 0xbd, 1, GP);
    access_msr(&g, 0x10a, false, DONE);
    g_assert_cmphex(g.regs->gpr[TDX_RAX] & 5, ==, 1);   /* RDCL_NO; RSBA is 0 */
    write_msr(&g, 0x10a, 0, GP);
    read_msr(&g, 0x1a0, 1 | 1 << 11 | 1 << 12);
    write_msr(&g, 0x1a0, 1, VE);
    read_msr(&g, 0x345, 0);
    write_msr(&g, 0x345, 0, GP);
    read_msr(&g, 0xda0, 0);
    write_msr(&g, 0xda0, 0, DONE);
    write_msr(&g, 0xda0, 1 << 11, GP);
    guest_end(&g);
}

static void test_misc_enable(void)
{
    static const struct {
        uint64_t value;
        Expect e;
    } rows[] = {
        { 1 << 1, GP }, { 1ull << 40, GP }, { 1 << 16, GP }, { 1 << 18, VE },
        { 1 << 22, VE }, { 1 << 23, GP }, { 1 | 1 << 3, DONE },
    };
    Guest g;

    guest_start(&g, NULL);
    g.tdcs->td_ctls |= TDX_TD_CTLS_REDUCE_VE;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        write_msr(&g, 0x1a0, rows[i].value, rows[i].e);
    }
    read_msr(&g, 0x1a0, 1 | 1 << 3 | 1 << 11 | 1 << 12);
    guest_end(&g);
}

static void test_debugctl(void)
{
    static const struct {
        uint64_t value;
        Expect e;
    } rows[] = {
        { 0, DONE }, { 3, DONE }, { 1 << 3, GP }, { 1 << 16, GP }, { 1 << 6, VE },
        { 1 << 14, GP }, { 1 << 15, GP }, { 1 << 13 | 2, DONE },
    };
    Guest g;

    guest_start(&g, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        write_msr(&g, 0x1d9, rows[i].value, rows[i].e);
    }
    read_msr(&g, 0x1d9, 2);
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_DEBUGCTL), ==, 2);
    guest_end(&g);
}

static void test_efer(void)
{
    Guest g;

    guest_start(&g, NULL);      /* EFER D01H */
    write_msr(&g, 0xc0000080, 0xd01, DONE);
    write_msr(&g, 0xc0000080, 0x900, DONE);
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_EFER), ==, 0xd00);
    write_msr(&g, 0xc0000080, 0x501, VE);               /* NXE */
    write_msr(&g, 0xc0000080, 0xc01, VE);               /* LME */
    write_msr(&g, 0xc0000080, 0x1d01, VE);
    g_assert_cmphex(guest_vmcs(&g, VMCS_GUEST_EFER), ==, 0xd00);
    guest_end(&g);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/msr/bitmap", test_bitmap);
    g_test_add_func("/msr/actions", test_actions);
    g_test_add_func("/msr/reduce-ve", test_reduce_ve);
    g_test_add_func("/msr/emulated", test_emulated);
    g_test_add_func("/msr/misc-enable", test_misc_enable);
    g_test_add_func("/msr/debugctl", test_debugctl);
    g_test_add_func("/msr/efer", test_efer);
    return g_test_run();
}
