/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SEAMCALL and the bring-up of the TDX module. */
#include "seam.h"

void seamcall_asm(TdxRegs *regs);
void tdcall_asm(TdxRegs *regs);

TdxRegs tdh_out;
u32 tdh_clobbered;
bool seam_dynamic;
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

static void call(TdxRegs in)
{
    u32 r;

    in.rbx = 0xb0b0;
    in.rbp = 0xbbbb;
    in.rsi = 0x5151;
    in.rdi = 0xd1d1;
    in.r14 = 0x1414;
    in.r15 = 0x1515;
    tdh_out = in;
    r = seamcall_regs(&tdh_out);
    if (r) {
        panic("SEAMCALL %llx: result %x", (long long)in.rax, r);
    }
    if (tdh_out.rbx != in.rbx || tdh_out.rbp != in.rbp || tdh_out.rsi != in.rsi ||
        tdh_out.rdi != in.rdi || tdh_out.r14 != in.r14 || tdh_out.r15 != in.r15) {
        print("# SEAMCALL %llx changes a register that is not its output\n",
              (long long)in.rax);
        tdh_clobbered++;
    }
}

u64 tdh4(u64 rax, u64 rcx, u64 rdx, u64 r8, u64 r9)
{
    call((TdxRegs){ .rax = rax, .rcx = rcx, .rdx = rdx, .r8 = r8, .r9 = r9,
                    .r12 = 0x1212, .r13 = 0x1313 });
    if (tdh_out.r12 != 0x1212 || tdh_out.r13 != 0x1313) {
        print("# SEAMCALL %llx changes R12 or R13\n", (long long)rax);
        tdh_clobbered++;
    }
    return tdh_out.rax;
}

u64 tdh_pair(u64 rax, u64 rcx, u64 rdx, u64 r8, u64 r12, u64 r13)
{
    call((TdxRegs){ .rax = rax, .rcx = rcx, .rdx = rdx, .r8 = r8, .r12 = r12,
                    .r13 = r13 });
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

void seam_init(void)
{
    smp_start();
    vmx_on();
    seam_platform();
    must(tdh_0(TDH_SYS_INIT), "TDH.SYS.INIT");
    must(tdh_0(TDH_SYS_LP_INIT), "TDH.SYS.LP.INIT");
    for (u32 i = 1; i < cpus_online; i++) {
        smp_call(i, lp_init, NULL);
    }
}

void seam_configure(struct tdmr_info *tdmr, u64 flags)
{
    u64 *list = page_alloc();

    list[0] = (u64)tdmr;
    must(tdh_3(TDH_SYS_CONFIG, (u64)list, 1, first_keyid | flags), "TDH.SYS.CONFIG");
    seam_dynamic = flags & TDX_SYS_CONFIG_DYNAMIC_PAMT;
    must(tdh_0(TDH_SYS_KEY_CONFIG), "TDH.SYS.KEY.CONFIG");
    do {
        must(tdh_1(TDH_SYS_TDMR_INIT, 0), "TDH.SYS.TDMR.INIT");
    } while (tdh_out.rdx < BIT(30));
}

void seam_bring_up(void)
{
    seam_init();
    seam_configure(seam_tdmr(), 0);
}

static void configure_dynamic(void)
{
    struct tdmr_info *tdmr = seam_tdmr();

    tdmr->pamt_4k_size = PAMT_BITMAP_SIZE;
    seam_configure(tdmr, TDX_SYS_CONFIG_DYNAMIC_PAMT);
}

void seam_bring_up_dynamic(void)
{
    seam_init();
    configure_dynamic();
}

void seam_bring_up_as_offered(void)
{
    seam_init();
    if (sys_rd(TDX_MD_FEATURES0) & BIT(TDX_FEATURE_DYNAMIC_PAMT)) {
        configure_dynamic();
    } else {
        seam_configure(seam_tdmr(), 0);
    }
}

/* --- pages for the module --- */

#define MAX_BACKED      32
static u64 backed[MAX_BACKED];
static u32 num_backed, pages_left;

u64 seam_page(void)
{
    if (!seam_dynamic) {
        return (u64)page_alloc();
    }
    if (!pages_left) {
        u64 pair = (u64)pages_alloc(2, PAGE_SIZE);

        if (num_backed == MAX_BACKED) {
            panic("more than %u backed regions", MAX_BACKED);
        }
        backed[num_backed] = (u64)pages_alloc(512, REGION_SIZE);
        must(pamt_add(backed[num_backed++], pair, pair + PAGE_SIZE),
             "TDH.PHYMEM.PAMT.ADD");
        pages_left = 512;
    }
    return backed[num_backed - 1] + --pages_left * PAGE_SIZE;
}

void seam_unback(void)
{
    while (num_backed) {
        must(pamt_remove(backed[--num_backed]), "TDH.PHYMEM.PAMT.REMOVE");
    }
    pages_left = 0;
}
