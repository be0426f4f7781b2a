/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile host: random SEAMCALLs over a few pages, also while it scribbles on
 * the module's pages in RAM.  Every call has to end with a status; no status
 * may be one of the class FFH, which belongs to software.
 */
#include "seam.h"

const char test_name[] = "seam_fuzz";

#ifndef ROUNDS
#define ROUNDS      30000
#endif
#ifndef SEED
#define SEED        0
#endif
#define POOL        96

static u64 pool[POOL];
static Td td;
static u64 state[2] = {
    0xda3e39cb94b95bdb ^ ((u64)SEED << 20), 0x9e3779b97f4a7c15 ^ SEED,
};

static u64 rnd(void)
{
    u64 *s = &state[this_cpu()->index];

    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static u64 operand(void)
{
    u64 r = rnd(), page = pool[(r >> 32) % POOL];

    switch (r & 15) {
    case 0: case 1: case 2: case 3: return page;
    case 4: return page | (r >> 8 & 0xfff);
    case 5: return KEYED(page, r >> 8 & 0x3f);
    case 6: return td.tdr;
    case 7: return td.vcpu[0].tdvpr;
    case 8: return r >> 8 & 0xff;
    case 9: return (r >> 8 & 0x1ff) << 12 | (r >> 48 & 3);
    case 10: return TD_PAYLOAD_GPA + (r >> 8 & 7) * PAGE_SIZE;
    case 11: return rnd();
    case 12: return r >> 8 & 32 ? BIT(r >> 8 & 63) : page + BIT(r >> 8 & 31);
    case 13: return first_keyid + (r >> 8 & 3);
    case 14: return ~0ull;
    case 15: return r & 16 ? (page & -REGION_SIZE) | TDX_2M : 0;
    }
    return 0;
}

static const u64 ids[] = {
    TDX_MD_TDCS_ATTRIBUTES, TDX_MD_TDCS_OP_STATE, TDX_MD_TDCS_CPUID_VALUES,
    TDX_MD_VMCS(VMCS_PIN_CONTROLS, 2), TDX_MD_VMCS(VMCS_POSTED_INTR_DESC, 3),
    TDX_MD_VCPU_PEND_NMI, TDX_MD_VCPU_STATE_DETAILS, TDX_MD_FEATURES0, TDX_FIELD_NULL,
};

/* Pages of the module: flags and types change, addresses stay in the pool. */
static void scribble(void)
{
    u64 *page = (u64 *)pool[rnd() % POOL], r = rnd();

    page[r & 511] ^= (rnd() & 0xfff0000000000fff);
}

/* RSP is unused and RBP kept, so what is left is one random register file. */
static u64 random_call(bool enter)
{
    TdxRegs g = {
        .rax = rnd() % 72, .rcx = operand(), .rdx = operand(), .r8 = operand(),
        .r9 = operand(), .r10 = operand(), .r11 = operand(), .r12 = operand(),
        .r13 = operand(),
    };
    u32 r;

    if (rnd() % 8 == 0) {
        g.rax |= BIT(16);
    }
    if (seam_dynamic && rnd() % 8 == 0) {
        g.rax = rnd() & 1 ? TDH_PHYMEM_PAMT_ADD : TDH_PHYMEM_PAMT_REMOVE;
        g.rcx = (pool[rnd() % POOL] & -REGION_SIZE) | TDX_2M;
    }
    if (rnd() % 64 == 0) {
        g.rax = rnd() & ~BIT(63);
    }
    if (rnd() % 4 == 0) {
        g.rdx = ids[rnd() % ARRAY_SIZE(ids)];
    }
    switch (g.rax & 0xffff) {
    case TDH_VP_ENTER:
        if (!enter) {
            return 0;
        }
        break;
    case TDH_SYS_INFO: case TDH_SYS_RDALL: case TDH_SYS_LP_SHUTDOWN:
    case TDH_SYS_SHUTDOWN: case TDH_SYS_DISABLE:
        return 0;               /* write to any page, or end it all */
    case TDH_VP_WR:
        if ((g.rdx & 0xffffff) == VMCS_SHARED_EPT_POINTER) {
            return 0;
        }
    }
    r = seamcall_regs(&g);
    if (r) {
        panic("SEAMCALL %llx: result %x", (long long)g.rax, r);
    }
    return g.rax;
}

static void fill_pool(void)
{
    u32 n = 0;

    pool[n++] = td.tdr;
    for (u32 i = 0; i < td.num_tdcs; i++) {
        pool[n++] = td.tdcs[i];
    }
    pool[n++] = td.vcpu[0].tdvpr;
    for (u32 i = 0; i < td.num_tdcx; i++) {
        pool[n++] = td.vcpu[0].tdcx[i];
    }
    for (u32 i = 0; i < td.num_sept; i++) {
        pool[n++] = td.sept[i];
    }
    for (u32 i = 0; i < 5; i++) {
        pool[n++] = td.payload[i];
    }
    while (n < POOL) {
        pool[n++] = (u64)page_alloc();
    }
}

static u32 errors, fine, reserved;

static void count(u64 st)
{
    fine += !(st & TDX_ERROR);
    errors += st >> 63;
    reserved += (st >> 40 & 0xff) == 0xff;
}

static void timer(void)
{
    apic_write(APIC_TIMER_DIV, 0xb);
    apic_write(APIC_TIMER, 0x71 | BIT(17));             /* ends runs of the TD */
    apic_write(APIC_TIMER_INIT, 1000000);
}

static volatile u32 other_reserved, other_calls;
static volatile bool no_entry;

static void hammer(void *arg)
{
    timer();
    for (u32 i = 0; i < ROUNDS; i++) {
        other_reserved += (random_call(!no_entry) >> 40 & 0xff) == 0xff;
        other_calls++;
        apic_write(APIC_EOI, 0);
    }
}

void test_main(void)
{
    seam_bring_up_as_offered(); /* enables VMX on all CPUs */
    td_build(&td, first_keyid + 1, 1);
    fill_pool();
    timer();
    td_enter(&td, 0);
    apic_write(APIC_EOI, 0);
    for (u32 i = 0; i < ROUNDS; i++) {
        count(random_call(true));
        apic_write(APIC_EOI, 0);
    }
    check_eq(reserved, 0, "random calls: no status of class FFH (1.1)");
    check(fine > ROUNDS / 100 && errors > ROUNDS / 4,
          "random calls: both kinds of outcome");
    check_eq(tdh_2(TDH_SYS_RD, 0, TDX_MD_FEATURES0), TDX_SUCCESS,
             "the module still answers");
    smp_run(1, hammer, NULL);
    for (u32 i = 0; i < ROUNDS; i++) {
        count(random_call(true));
        apic_write(APIC_EOI, 0);
    }
    smp_wait(1);
    check_eq(reserved + other_reserved, 0,
             "calls on two LPs at once: no status of class FFH");
    check_eq(other_calls, ROUNDS, "calls on two LPs at once: all ended");
    for (u32 i = 0; i < ROUNDS; i++) {
        scribble();
        count(random_call(false));
    }
    check_eq(reserved, 0, "calls over scribbled pages: no status of class FFH");
    no_entry = true;
    smp_run(1, hammer, NULL);
    while (other_calls < 2 * ROUNDS) {
        scribble();
    }
    smp_wait(1);
    check_eq(other_reserved, 0, "scribbling during calls: no status of class FFH");
    for (u32 i = 0; i < ROUNDS / 30; i++) {
        scribble();
        td.regs.rax = TDH_VP_ENTER;
        td.regs.rcx = td.vcpu[0].tdvpr;
        seamcall_regs(&td.regs);
        count(td.regs.rax);
        apic_write(APIC_EOI, 0);
    }
    check_eq(reserved, 0, "entries of a scribbled TD: no status of class FFH");
    check_eq(tdh_2(TDH_SYS_RD, 0, TDX_MD_FEATURES0), TDX_SUCCESS,
             "the module answers at the end");
    check(read_cr4() & CR4_VMXE, "the host is sound at the end");
}
