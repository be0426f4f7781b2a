/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SEAMCALL and the bring-up of the TDX module. */
#include "seam.h"

void seamcall_asm(TdxRegs *regs);
void tdcall_asm(TdxRegs *regs);

TdxRegs tdh_out;
u32 tdh_clobbered;
u32 mktme_keyids, tdx_keyids, first_keyid, keyid_shift, phys_bits;

u32 seamcall_regs(TdxRegs *regs)
{
    fault_clear();
    seamcall_asm(regs);
    return vm_result(regs->rflags);
}

u32 tdcall_regs(TdxRegs *regs)
{
    fault_clear();
    tdcall_asm(regs);
    return vm_result(regs->rflags);
}

u64 tdh4(u64 rax, u64 rcx, u64 rdx, u64 r8, u64 r9)
{
    TdxRegs in = {
        .rax = rax, .rcx = rcx, .rdx = rdx, .r8 = r8, .r9 = r9,
        .rbx = 0xb0b0, .rbp = 0xbbbb, .rsi = 0x5151, .rdi = 0xd1d1,
        .r12 = 0x1212, .r13 = 0x1313, .r14 = 0x1414, .r15 = 0x1515,
    };
    u32 r;

    tdh_out = in;
    r = seamcall_regs(&tdh_out);
    if (r) {
        panic("SEAMCALL %llx: result %x", (long long)rax, r);
    }
    if (tdh_out.rbx != in.rbx || tdh_out.rbp != in.rbp || tdh_out.rsi != in.rsi ||
        tdh_out.rdi != in.rdi || tdh_out.r12 != in.r12 || tdh_out.r13 != in.r13 ||
        tdh_out.r14 != in.r14 || tdh_out.r15 != in.r15) {
        print("# SEAMCALL %llx changes a register that is not its output\n",
              (long long)rax);
        tdh_clobbered++;
    }
    return tdh_out.rax;
}

void seam_platform(void)
{
    u64 v = rdmsr(MSR_KEYID_PARTITIONING);

    mktme_keyids = v;
    tdx_keyids = v >> 32;
    first_keyid = mktme_keyids + 1;
    phys_bits = cpuid(0x80000008, 0).a & 0xff;
    keyid_shift = phys_bits - (rdmsr(MSR_TME_ACTIVATE) >> 32 & 15);
}

u64 sys_rd(u64 field)
{
    u64 st = tdh_2(TDH_SYS_RD, 0, field);

    if (st) {
        panic("TDH.SYS.RD of %llx: %llx", (long long)field, (long long)st);
    }
    return tdh_out.r8;
}

u64 seam_lp_init(void)
{
    TdxRegs r = { .rax = TDH_SYS_LP_INIT };

    vmx_on();
    if (seamcall_regs(&r)) {
        panic("SEAMCALL fails on CPU %u", this_cpu()->index);
    }
    return r.rax;
}

/* The usable part of the TDMR: the CMR that holds 1 MiB.. of RAM. */
struct tdmr_info *seam_tdmr(void)
{
    struct tdmr_info *t = page_alloc();
    u64 pamt = (u64)pages_alloc(3 + 1024, 0x400000), end = 0;

    for (u64 i = 0; i < sys_rd(TDX_MD_NUM_CMRS); i++) {
        u64 base = sys_rd(TDX_MD_CMR_BASE + i), size = sys_rd(TDX_MD_CMR_SIZE + i);

        if (base <= 0x100000 && base + size > 0x100000) {
            end = base + size;
        }
    }
    if (!end || end > BIT(30)) {
        panic("no CMR for RAM above 1 MiB, or beyond 1 GiB");
    }
    t->base = 0;
    t->size = BIT(30);
    t->pamt_4k_base = pamt;
    t->pamt_4k_size = 0x400000;
    t->pamt_2m_base = pamt + 0x400000;
    t->pamt_2m_size = 0x2000;
    t->pamt_1g_base = pamt + 0x402000;
    t->pamt_1g_size = 0x1000;
    t->reserved[0].offset = 0;
    t->reserved[0].size = 0x100000;
    t->reserved[1].offset = pamt;
    t->reserved[1].size = 0x403000;
    if (end < BIT(30)) {
        t->reserved[2].offset = end;
        t->reserved[2].size = BIT(30) - end;
    }
    return t;
}

static void lp_init(void *arg)
{
    if (seam_lp_init()) {
        panic("TDH.SYS.LP.INIT on CPU %u", this_cpu()->index);
    }
}

static void must(u64 status, const char *what)
{
    if (status) {
        panic("%s: %llx", what, (long long)status);
    }
}

void seam_bring_up(void)
{
    u64 *list = page_alloc();

    smp_start();
    vmx_on();
    seam_platform();
    must(tdh_0(TDH_SYS_INIT), "TDH.SYS.INIT");
    must(tdh_0(TDH_SYS_LP_INIT), "TDH.SYS.LP.INIT");
    for (u32 i = 1; i < cpus_online; i++) {
        smp_call(i, lp_init, NULL);
    }
    list[0] = (u64)seam_tdmr();
    must(tdh_3(TDH_SYS_CONFIG, (u64)list, 1, first_keyid), "TDH.SYS.CONFIG");
    must(tdh_0(TDH_SYS_KEY_CONFIG), "TDH.SYS.KEY.CONFIG");
    do {
        must(tdh_1(TDH_SYS_TDMR_INIT, 0), "TDH.SYS.TDMR.INIT");
    } while (tdh_out.rdx < BIT(30));
}
