/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDs on two LPs: locks that a running vCPU holds (TDX_OPERAND_BUSY), TLB
 * tracking against it, kicks by IPI and NMI, posted interrupts from another LP,
 * two vCPUs of one TD, several TDs at once, many life cycles.
 */
#include "seam.h"

const char test_name[] = "seam_smp";

#define VECTOR_KICK     0x71
#define VECTOR_TD       0x61
#define NV              0xf2

static Td td;

/* vCPU work for the second LP; its registers are its own. */
typedef struct Job {
    u64 tdvpr;
    TdxRegs regs;
    volatile u32 host_nmis, host_kicks;
} Job;

static Job job;

static void count_nmi(Regs *r)
{
    job.host_nmis++;
}

static void enter_once(void *arg)
{
    TdxRegs in = job.regs;

    set_handler(NMI, count_nmi);
    do {                        /* LP 0 may hold a lock at that moment */
        job.regs = in;
        job.regs.rax = TDH_VP_ENTER;
        job.regs.rcx = job.tdvpr;
        if (seamcall_regs(&job.regs)) {
            panic("TDH.VP.ENTER on LP 1");
        }
    } while (TDX_STATUS_CODE(job.regs.rax) == TDX_OPERAND_BUSY);
    if (job.regs.rax == VMX_EXIT_EXT_INTR) {
        apic_write(APIC_EOI, 0);
    }
}

static void iret(void *arg)
{
    asm volatile("movq %%rsp, %%rax; pushq %0; pushq %%rax; pushfq; pushq %1;"
                 "leaq 1f(%%rip), %%rcx; pushq %%rcx; iretq; 1:"
                 : : "i"(SEL_DATA), "i"(SEL_CODE64) : "rax", "rcx", "memory");
}

static void flush_other(void *arg)
{
    TdxRegs r = { .rax = TDH_VP_FLUSH, .rcx = job.tdvpr };

    seamcall_regs(&r);
    job.regs.rax = r.rax;
}

/* LP 1 enters the vCPU with an operation that does not end by itself. */
static void start_other(u32 op)
{
    job.regs = (TdxRegs){ .r10 = op, .r11 = 1ull << 40 };
    smp_run(1, enter_once, NULL);
}

static bool wait_running(u64 tdvpr)
{
    u32 busy = 0;

    /* several times in a row: not just LP 1's VP.ENTER looking at its operands */
    for (u32 i = 0; i < 200000 && busy < 20; i++) {
        busy = tdh_1(TDH_VP_FLUSH, tdvpr) == OPERAND(TDX_OPERAND_BUSY,
        RCX) ? busy + 1 : 0;
        for (u32 j = 0; j < 50; j++) {
            cpu_relax();
        }
    }
    return busy == 20;
}

static void kick(u32 icr)
{
    apic_send(percpu[1].apic_id, icr);
    smp_wait(1);
}

static void running(void)
{
    u64 page = (u64)page_alloc(), vp = td.vcpu[0].tdvpr;
    u64 gpa = 0x20000;
    u64 st;

    td_add_sept(&td, 0, 2);
    td_add_sept(&td, 0, 1);
    check_eq(tdh_3(TDH_MEM_PAGE_AUG, gpa, td.tdr, page), TDX_SUCCESS, "PAGE.AUG");
    check_eq(tdh_1(TDH_VP_FLUSH, vp), TDX_SUCCESS, "VP.FLUSH on LP 0");
    job.tdvpr = vp;
    smp_call(1, enter_once, NULL);
    check_eq(job.regs.rax, VMX_EXIT_TDCALL, "VP.ENTER on LP 1");
    check_eq(job.regs.r10, TD_REPORT_MAGIC, "the payload came up on LP 1");
    start_other(OP_SPIN);
    if (!check(wait_running(vp), "VP.FLUSH of a running vCPU: OPERAND_BUSY, RCX (1.8)")) {
        finish();
    }
    check_eq(tdh_2(TDH_MNG_ADDCX, (u64)page_alloc(), td.tdr), OPERAND(TDX_OPERAND_BUSY,
                                                                      RDX),
             "MNG.ADDCX while a vCPU runs (1.8)");
    check_eq(tdh_1(TDH_MR_FINALIZE, td.tdr), OPERAND(TDX_OPERAND_BUSY, RCX),
             "MR.FINALIZE while a vCPU runs (1.8)");
    check_eq(tdh_1(TDH_MNG_VPFLUSHDONE, td.tdr), OPERAND(TDX_OPERAND_BUSY, RCX),
             "MNG.VPFLUSHDONE while a vCPU runs (1.8)");
    check_eq(tdh_1(TDH_MNG_KEY_CONFIG, td.tdr), OPERAND(TDX_OPERAND_BUSY, RCX),
             "MNG.KEY.CONFIG while a vCPU runs (1.8)");
    check_eq(tdh_1(TDH_MNG_KEY_FREEID, td.tdr), OPERAND(TDX_OPERAND_BUSY, RCX),
             "MNG.KEY.FREEID while a vCPU runs (1.8)");
    check_eq(tdh4(TDH_MEM_PAGE_ADD, 0x30000, td.tdr, (u64)page_alloc(), page),
             OPERAND(TDX_OPERAND_BUSY, RDX), "MEM.PAGE.ADD while a vCPU runs (1.8)");
    check_eq(tdh_1(TDH_PHYMEM_PAGE_RECLAIM, vp), OPERAND(TDX_OPERAND_BUSY, RCX),
             "PAGE.RECLAIM of a running vCPU's TDVPR (1.8)");
    check_eq(tdh_1(TDH_PHYMEM_PAGE_RECLAIM, td.tdr), OPERAND(TDX_OPERAND_BUSY, RCX),
             "PAGE.RECLAIM of the TDR (1.8)");
    check_eq(tdh_2(TDH_VP_RD, vp, TDX_MD_VCPU_INDEX), TDX_VCPU_ASSOCIATED,
             "VP.RD of a vCPU that runs on another LP");
    check(tdh_1(TDH_VP_ENTER, vp) & TDX_ERROR,
          "VP.ENTER of a vCPU that runs on another LP");
    check_eq(tdh_2(TDH_MNG_RD, td.tdr, TDX_MD_TDCS_OP_STATE), TDX_SUCCESS,
             "MNG.RD while a vCPU runs");

    check_eq(tdh_2(TDH_MEM_RANGE_BLOCK, gpa, td.tdr), TDX_SUCCESS,
             "RANGE.BLOCK while a vCPU runs");
    check_eq(tdh_2(TDH_MEM_PAGE_REMOVE, gpa, td.tdr), OPERAND(TDX_TLB_TRACKING_NOT_DONE,
                                                              RCX),
             "PAGE.REMOVE before MEM.TRACK");
    check_eq(tdh_1(TDH_MEM_TRACK, td.tdr), TDX_SUCCESS,
             "MEM.TRACK while a vCPU runs (5.6)");
    check_eq(tdh_1(TDH_MEM_TRACK, td.tdr), TDX_PREVIOUS_TLB_EPOCH_BUSY,
             "MEM.TRACK again before the vCPU left (5.6)");
    check_eq(tdh_2(TDH_MEM_PAGE_REMOVE, gpa, td.tdr), OPERAND(TDX_TLB_TRACKING_NOT_DONE,
                                                              RCX),
             "PAGE.REMOVE before the vCPU left (5.6)");
    kick(VECTOR_KICK);
    check_eq(job.regs.rax, VMX_EXIT_EXT_INTR, "an IPI kicks the vCPU out (8.4)");
    check_eq(job.regs.r9, INTR_VALID | VECTOR_KICK, "IPI: R9 (8.4)");
    check_eq(tdh_2(TDH_MEM_PAGE_REMOVE, gpa, td.tdr), TDX_SUCCESS,
             "PAGE.REMOVE after the vCPU left (5.6)");
    check_eq(tdh_out.rcx, page, "PAGE.REMOVE: RCX");
    st = tdh_1(TDH_MEM_TRACK, td.tdr);
    check_eq(st, TDX_SUCCESS, "MEM.TRACK after the vCPU left (5.6)");

    start_other(OP_SPIN);
    wait_running(vp);
    kick(0x400);
    check_eq(job.regs.rax, 0, "an NMI kicks the vCPU out: exit 0 (8.4)");
    check_eq(job.regs.r9, 0x80000202, "NMI: R9 (8.4)");
    check_eq(job.host_nmis, 0, "the NMI was not delivered in the host");
    apic_send(percpu[1].apic_id, 0x400);
    for (u32 i = 0; i < 100000; i++) {
        cpu_relax();
    }
    check_eq(job.host_nmis, 0, "NMIs are blocked after it (8.4)");
    smp_call(1, iret, NULL);
    for (u32 i = 0; i < 100000 && !job.host_nmis; i++) {
        cpu_relax();
    }
    check_eq(job.host_nmis, 1, "IRET unblocks NMIs");
    smp_call(1, flush_other, NULL);
    check_eq(job.regs.rax, TDX_SUCCESS, "VP.FLUSH on LP 1");
}

/* The vCPU waits with interrupts on; LP 0 posts to it. */
static void posted_from_other(void)
{
    u64 vp = td.vcpu[0].tdvpr;
    u64 *desc = page_alloc();

    tdh4(TDH_VP_WR, vp, TDX_MD_VMCS(VMCS_POSTED_INTR_NV, 1), NV, 0xffff);
    tdh4(TDH_VP_WR, vp, TDX_MD_VMCS(VMCS_POSTED_INTR_DESC, 3), (u64)desc, ~0ull);
    tdh4(TDH_VP_WR, vp, TDX_MD_VMCS(VMCS_PIN_CONTROLS, 2), 0x80, 0x80);
    tdh_1(TDH_VP_FLUSH, vp);
    /* leave the endless loop of the last operation: an NMI ends it */
    tdh4(TDH_VP_WR, vp, TDX_MD_VCPU_PEND_NMI, 1, 1);
    tdh_1(TDH_VP_FLUSH, vp);
    start_other(OP_SPIN);
    smp_wait(1);
    check_eq(job.regs.rdi & 0xff, NMI, "PEND_NMI ends an operation of the payload");
    start_other(OP_WAIT_IRQ);
    check(wait_running(vp), "the vCPU waits for an interrupt");
    desc[VECTOR_TD / 64] = BIT(VECTOR_TD % 64);
    __atomic_store_n(&desc[4], 1 | (u64)NV << 16, __ATOMIC_SEQ_CST);
    apic_send(percpu[1].apic_id, NV);
    smp_wait(1);
    check_eq(job.regs.rax, VMX_EXIT_TDCALL,
             "a posted interrupt from LP 0: no exit (8.9)");
    check_eq(job.regs.rdi & 0xff, VECTOR_TD, "it arrives in the TD on LP 1 (8.9)");
    check_eq(desc[VECTOR_TD / 64], 0, "PIR is cleared (8.9)");
    check_eq(percpu[1].count[NV], 0, "the host of LP 1 sees no notification");
}

static void two_vcpus(void)
{
    TdReport r;

    check_eq(td_enter(&td, 1), VMX_EXIT_TDCALL, "the second vCPU starts on LP 0");
    r = td_op(&td, 1, OP_INITIAL, 0, 0, 0, 0, 0);
    check_eq(r.out[3], 1, "its RSI is VCPU_INDEX 1 (9.6)");
    check_eq(r.out[0], 0x1001, "its RCX is its own");
    r = td_op(&td, 1, OP_TDCALL, TDG_VP_INFO, 0, 0, 0, 0);
    check_eq(r.out[3] & 0xffffffff, 2, "VP.INFO: two vCPUs");
    check_eq(r.out[4] & 0xffffffff, 1, "VP.INFO: index 1");
    td_op(&td, 1, OP_WRITE, TD_PAYLOAD_GPA + 0x3180, 0xabcd, 0, 0, 0);
    job.regs = (TdxRegs){ .r10 = OP_READ, .r11 = TD_PAYLOAD_GPA + 0x3180 };
    smp_call(1, enter_once, NULL);
    check_eq(job.regs.r11, 0xabcd, "both vCPUs see the same private memory");
    smp_call(1, flush_other, NULL);
}

static Td many[3];

static void three_tds(void)
{
    TdReport r;

    for (u32 i = 0; i < 3; i++) {
        td_build(&many[i], first_keyid + 1 + i, 1);
        check_eq(td_enter(&many[i], 0), VMX_EXIT_TDCALL, "TD %u starts", i);
    }
    for (u32 i = 0; i < 3; i++) {
        td_op(&many[i], 0, OP_WRITE, TD_PAYLOAD_GPA + 0x3180, 0x100 + i, 0, 0, 0);
        td_op(&many[i], 0, OP_WRMSR, MSR_LSTAR, 0x200 + i, 0, 0, 0);
    }
    for (u32 i = 0; i < 3; i++) {
        r = td_op(&many[i], 0, OP_READ, TD_PAYLOAD_GPA + 0x3180, 0, 0, 0, 0);
        check_eq(r.out[0], 0x100 + i, "TD %u: its memory is its own", i);
        r = td_op(&many[i], 0, OP_RDMSR, MSR_LSTAR, 0, 0, 0, 0);
        check_eq(r.out[0], 0x200 + i, "TD %u: its MSR is its own", i);
    }
    for (u32 i = 0; i < 3; i++) {
        td_destroy(&many[i]);
    }
}

static void cycles(void)
{
    u32 runs = 0;

    for (u32 i = 0; i < 30; i++) {
        td_build(&many[0], first_keyid + 1, 1);
        runs += td_enter(&many[0], 0) == VMX_EXIT_TDCALL;
        td_destroy(&many[0]);
    }
    check_eq(runs, 30, "30 cycles of create, run and destroy with one KeyID");
}

void test_main(void)
{
    seam_bring_up();
    td_build(&td, first_keyid + 1, 2);
    running();
    posted_from_other();
    two_vcpus();
    td_destroy(&td);
    three_tds();
    cycles();
    check_eq(tdh_clobbered, 0, "no leaf changed a register that is not its output");
}
