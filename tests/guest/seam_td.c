/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A TD that runs: its initial state, TDCALL leaves, #VE, private and shared
 * memory, TDG.VP.VMCALL's registers, asynchronous exits and what they leave in
 * the host, virtual interrupts.  Rules: TDX module ABI, TDH.VP.ENTER, TDG.*,
 * the #VE chapter; numbers in brackets: README.md.
 */
#include "seam.h"

const char test_name[] = "seam_td";

#define VECTOR_HOST     0x71
#define VECTOR_TD       0x61
#define NV              0xf2

static Td td;
static TdReport r;

static u64 op(u32 n, u64 a0, u64 a1)
{
    r = td_op(&td, 0, n, a0, a1, 0, 0, 0);
    return r.out[0];
}

static u64 tdcall(u64 leaf, u64 rcx, u64 rdx, u64 r8, u64 r9)
{
    return td_tdcall(&td, &r, leaf, rcx, rdx, r8, r9);
}

static void first_entry(void)
{
    TdxRegs *g = &td.regs;
    u64 st;

    *g = (TdxRegs){ .rbp = 0xb0b, .r10 = 77, .r11 = 78, .rdi = 79 };
    wrmsr(MSR_LSTAR, 0x1111);
    st = td_enter(&td, 0);
    check_eq(st, VMX_EXIT_TDCALL, "VP.ENTER returns with TDG.VP.VMCALL: RAX is 77 (8.5)");
    check_eq(g->rcx, 0xffcc, "VMCALL exit: RCX is the guest's mask (8.5)");
    check_eq(g->r10, TD_REPORT_MAGIC, "VMCALL exit: R10 is the guest's (8.5)");
    check_eq(g->rdi & 0xff, NO_FAULT, "the payload came up without exception");
    check_eq(g->rbp, 0xb0b, "RBP is untouched with NO_RBP_MOD (8.4)");
    check_eq(g->rflags & FLAGS_ARITH, 0, "VP.ENTER: arithmetic flags are 0");
}

static void initial_state(void)
{
    u64 signature;

    op(OP_INITIAL, 0, 0);
    check_eq(r.out[0], 0x1000, "initial RCX is VP.INIT's RDX (9.6)");
    signature = r.out[1];
    check_eq(r.out[2], 48, "initial RBX is GPAW 48 (9.6)");
    check_eq(r.out[3], 0, "initial RSI is the vCPU's index (9.6)");
    check_eq(r.out[4], 0x1000, "initial R8 is VP.INIT's RDX (9.6)");
    check_eq(r.out[5], 0, "initial RBP is 0 (9.6)");
    op(OP_CPUID, 1, 0);
    check_eq(signature, r.out[0], "initial RDX is CPUID(1).EAX (9.6)");
    op(OP_CRS, 0, 0);
    check_eq(r.out[0] & (CR0_PE | CR0_NE | CR0_PG), CR0_PE | CR0_NE | CR0_PG, "CR0");
    check_eq(r.out[2] & (CR4_MCE | CR4_VMXE | CR4_PAE), CR4_MCE | CR4_PAE,
             "CR4: MCE reads 1, VMXE reads 0 (9.6)");
    check_eq(r.out[3] & 0xd01, 0xd01, "EFER: SCE, LME, LMA, NXE (9.6)");
    op(OP_RDMSR, MSR_FMASK, 0);
    check_eq(r.out[0], 0x20200, "IA32_FMASK (9.6)");
    op(OP_RDMSR, MSR_LSTAR, 0);
    check_eq(r.out[0], 0, "IA32_LSTAR is not the host's (9.6)");
    op(OP_RDMSR, MSR_PAT, 0);
    check_eq(r.out[0], 0x0007040600070406, "IA32_PAT (9.6)");
    op(OP_WRMSR, MSR_LSTAR, 0x4242);
    op(OP_RDMSR, MSR_LSTAR, 0);
    check_eq(r.out[0], 0x4242, "IA32_LSTAR is kept across VP.ENTER");
}

static void tdcalls(void)
{
    u64 first;

    check_eq(tdcall(TDG_VP_INFO, 0, 0, 0, 0), TDX_SUCCESS, "TDG.VP.INFO");
    check_eq(r.out[1] & 0x3f, 48, "VP.INFO: GPAW");
    check_eq(r.out[2], td.params->attributes, "VP.INFO: ATTRIBUTES");
    check_eq(r.out[3], td.num_vcpus | (u64)TD_MAX_VCPUS << 32,
             "VP.INFO: NUM and MAX_VCPUS");
    check_eq(r.out[4] & 0xffffffff, 0, "VP.INFO: VCPU_INDEX");
    check_eq(tdcall(0x777, 0, 0, 0, 0), OPERAND(TDX_OPERAND_INVALID, RAX),
             "TDCALL of an unknown leaf");
    check_eq(tdcall(TDG_VP_INFO | BIT(30), 0, 0, 0, 0), OPERAND(TDX_OPERAND_INVALID, RAX),
             "TDCALL: reserved bit of RAX");
    check_eq(tdcall(TDG_VP_VEINFO_GET, 0, 0, 0, 0), TDX_NO_VALID_VE_INFO,
             "VEINFO.GET without #VE");
    check_eq(tdcall(TDG_VM_RD, 1, TDX_MD_TDCS_ATTRIBUTES, 0, 0),
             OPERAND(TDX_OPERAND_INVALID, RCX), "VM.RD: RCX is reserved");
    check_eq(tdcall(TDG_VM_RD, 0, TDX_MD_TDCS_CONFIG_FLAGS, 0, 0), TDX_SUCCESS, "VM.RD");
    check_eq(r.out[3], td.params->config_flags, "VM.RD: CONFIG_FLAGS");
    check_eq(tdcall(TDG_VM_RD, 0, TDX_MD_TDCS_TD_CTLS, 0, 0), TDX_SUCCESS,
             "VM.RD: TD_CTLS");
    check_eq(r.out[3] & 1, 1,
             "TD_CTLS: PENDING_VE_DISABLE follows SEPT_VE_DISABLE (9.4)");
    check_eq(tdcall(TDG_VM_WR, 0, 0x9100000000000010, 0, ~0ull), TDX_SUCCESS,
             "VM.WR: NOTIFY_ENABLES, as Linux does it (9.4)");
    check_eq(TDX_STATUS_CODE(tdcall(TDG_VM_WR, 0, TDX_MD_TDCS_ATTRIBUTES, 0, ~0ull)),
             TDX_METADATA_FIELD_NOT_WRITABLE, "VM.WR: ATTRIBUTES");
    check_eq(TDX_STATUS_CODE(tdcall(TDG_VM_WR, 0, TDX_MD_TDCS_TD_CTLS, 0, 1)),
             TDX_METADATA_FIELD_VALUE_NOT_VALID,
             "VM.WR: PENDING_VE_DISABLE without FLEXIBLE_PENDING_VE (9.4)");
    check_eq(TDX_STATUS_CODE(tdcall(TDG_VM_RD, 0, 0x3f10000300777777, 0, 0)),
             TDX_METADATA_FIELD_ID_INCORRECT, "VM.RD of no field");
    check_eq(r.out[3], 0, "VM.RD of no field: R8 is 0");
    check_eq(tdcall(TDG_SYS_RD, 0, TDX_MD_FEATURES0, 0, 0), TDX_SUCCESS, "TDG.SYS.RD");
    first = r.out[3];
    check_eq(first, sys_rd(TDX_MD_FEATURES0),
             "TDG.SYS.RD: FEATURES0 as the host reads it");
    check_eq(tdcall(TDG_VP_CPUIDVE_SET, 4, 0, 0, 0), OPERAND(TDX_OPERAND_INVALID, RCX),
             "CPUIDVE.SET: reserved bit");
}

/* The last operation raised #VE: fetch and check its information. */
static void expect_ve(u32 reason, u32 len, const char *what)
{
    if (!check_eq(r.vector, VE, "%s: #VE (9.5)", what)) {
        return;
    }
    check_eq(tdcall(TDG_VP_VEINFO_GET, 0, 0, 0, 0), TDX_SUCCESS, "%s: VEINFO.GET", what);
    check_eq(r.out[1] & 0xffffffff, reason, "%s: exit reason %u", what, reason);
    if (len) {
        check_eq(r.out[5] & 0xffffffff, len, "%s: instruction length %u", what, len);
    }
}

static void virtualization_exceptions(void)
{
    op(OP_CPUID, 0x40000000, 0);
    expect_ve(VMX_EXIT_CPUID, 2, "CPUID 40000000H");
    check_eq(tdcall(TDG_VP_VEINFO_GET, 0, 0, 0, 0), TDX_NO_VALID_VE_INFO,
             "VEINFO.GET takes the information away");
    op(OP_HLT, 0, 0);
    expect_ve(VMX_EXIT_HLT, 1, "HLT");
    op(OP_OUT, 0, 0);
    expect_ve(VMX_EXIT_IO, 2, "OUT");
    check_eq(r.out[2], 0x840040, "OUT: qualification");
    op(OP_RDMSR, MSR_APIC_BASE, 0);
    expect_ve(VMX_EXIT_RDMSR, 2, "RDMSR 1BH");
    op(OP_WRMSR, MSR_APIC_BASE, 0);
    expect_ve(VMX_EXIT_WRMSR, 2, "WRMSR 1BH");
    op(OP_RDMSR, 0x4b564d00, 0);
    expect_ve(VMX_EXIT_RDMSR, 2, "RDMSR outside both ranges");
    op(OP_WRMSR, 0x10, 0);
    expect_ve(VMX_EXIT_WRMSR, 2, "WRMSR of the TSC");
    op(OP_VMCALL, 0, 0);
    expect_ve(VMX_EXIT_VMCALL, 3, "VMCALL");
    op(OP_WBINVD, 0, 0);
    expect_ve(VMX_EXIT_WBINVD, 2, "WBINVD");
    op(OP_INVD, 0, 0);
    expect_ve(VMX_EXIT_INVD, 2, "INVD");
    op(OP_CRS, 0, 0);
    op(OP_SET_CR0, r.out[0] | CR0_CD, 0);
    expect_ve(VMX_EXIT_CR, 0, "MOV to CR0 that sets CD");
    op(OP_CRS, 0, 0);
    op(OP_SET_CR4, r.out[2] & ~CR4_MCE, 0);
    expect_ve(VMX_EXIT_CR, 0, "MOV to CR4 that clears MCE");

    op(OP_HLT, 0, 0);
    check_eq(r.vector, VE, "HLT: #VE");
    op(OP_HLT, 0, 0);
    check_eq(r.vector, DF, "#VE before VEINFO.GET becomes #DF (9.5)");
    tdcall(TDG_VP_VEINFO_GET, 0, 0, 0, 0);
    check_eq(r.out[0], TDX_SUCCESS, "the first #VE's information is still there");
}

static void faults(void)
{
    op(OP_SEAMCALL, 0, 0);
    check_eq(r.vector, UD, "SEAMCALL in a TD is #UD (1.1)");
    op(OP_VMPTRLD, 0, 0);
    check_eq(r.vector, UD, "VMPTRLD in a TD is #UD (9.5)");
    op(OP_UD2, 0, 0);
    check_eq(r.vector, UD, "UD2 is delivered in the TD");
    op(OP_TDCALL32, 0, 0);
    check_eq(r.vector, GP, "TDCALL out of 64-bit mode is #GP(0) (1.1)");
    check_eq(r.error, 0, "TDCALL out of 64-bit mode: error code 0");
    op(OP_RDMSR, 0x480 + 1, 0);
    check_eq(r.vector, VE, "RDMSR 481H is #VE (10.5)");
    tdcall(TDG_VP_VEINFO_GET, 0, 0, 0, 0);
    op(OP_WRMSR, 0x480, 0);
    check_eq(r.vector, GP, "WRMSR 480H is #GP (10.5)");
    op(OP_RDMSR, 0x801, 0);
    check_eq(r.vector, GP, "RDMSR 801H is #GP (10.5)");
    op(OP_RDMSR, 0x500, 0);
    check_eq(r.vector, GP, "RDMSR 500H is #GP (10.5)");
    op(OP_RDMSR, 0xbd, 0);
    check_eq(r.vector, NO_FAULT, "RDMSR BDH does not fault (10.5)");
    check_eq(r.out[0], 1, "RDMSR BDH: xAPIC is disabled (10.5)");
}

static void cpuids(void)
{
    op(OP_CPUID, 0, 0);
    check_eq(r.out[0], 0x23, "CPUID 0: EAX (10.2)");
    check(r.out[1] == 0x756e6547 && r.out[2] == 0x6c65746e && r.out[3] == 0x49656e69,
          "CPUID 0: GenuineIntel (10.2)");
    op(OP_CPUID, 0x21, 0);
    check(r.out[0] == 0 && r.out[1] == 0x65746e49 && r.out[3] == 0x5844546c &&
          r.out[2] == 0x20202020, "CPUID 21H: IntelTDX (10.2)");
    op(OP_CPUID, 0x80000000, 0);
    check_eq(r.out[0], 0x80000008, "CPUID 80000000H: EAX (10.2)");
    op(OP_CPUID, 1, 0);
    check_eq(r.out[2] >> 31 & 1, 1, "CPUID 1: ECX[31], hypervisor (10.2)");
    check_eq(r.out[2] >> 5 & 1, 0, "CPUID 1: no VMX in a TD");
    op(OP_CPUID, 0x15, 0);
    check(r.out[0] == 1 && r.out[1] == 40 && r.out[2] == 25000000,
          "CPUID 15H: the TSC frequency of TD_PARAMS (10.2)");
    op(OP_CPUID, 0x80000007, 0);
    check_eq(r.out[3] >> 8 & 1, 1, "CPUID 80000007H: invariant TSC (10.2)");
    check_eq(tdcall(TDG_VP_CPUIDVE_SET, 1, 0, 0, 0), TDX_SUCCESS, "CPUIDVE.SET");
    op(OP_CPUID, 0, 0);
    expect_ve(VMX_EXIT_CPUID, 2, "CPUID with CPUIDVE set");
    tdcall(TDG_VP_CPUIDVE_SET, 0, 0, 0, 0);
}

static void vmcall_registers(void)
{
    static const u64 bad[] = { BIT(0), BIT(1), BIT(4), BIT(5), BIT(32), BIT(63) };
    TdxRegs *g = &td.regs;

    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        check_eq(tdcall(TDG_VP_VMCALL, bad[i] | 0xc00, 0, 0, 0),
                 OPERAND(TDX_OPERAND_INVALID, RCX), "VP.VMCALL: mask bit %u (9.1)",
                 (u32)__builtin_ctzll(bad[i]));
    }
    /* The guest passes R8 and R9 only; the host answers in all registers. */
    td_start_op(&td, OP_TDCALL, TDG_VP_VMCALL, 0x300, 0xdddd, 0x8888, 0x9999);
    check_eq(td_enter(&td, 0), VMX_EXIT_TDCALL, "VP.VMCALL: exit 77");
    check_eq(g->rcx, 0x300, "VP.VMCALL: mask");
    check(g->r8 == 0x8888 && g->r9 == 0x9999, "VP.VMCALL: selected registers");
    check(!g->rdx && !g->rbx && !g->rsi && !g->rdi && !g->r10 && !g->r11 && !g->r12 &&
          !g->r13 && !g->r14 && !g->r15, "VP.VMCALL: the others are 0 (8.5)");
    *g = (TdxRegs){ .rdx = 1, .rbx = 2, .rsi = 3, .rdi = 4, .r8 = 5, .r9 = 6, .r10 = 7,
                    .r11 = 8, .r12 = 9, .r13 = 10, .r14 = 11, .r15 = 12 };
    td_finish_op(&td, 0, &r);
    check_eq(r.out[0], 0, "after VP.VMCALL the guest's RAX is 0 (8.5)");
    check_eq(r.out[1], 0x300, "after VP.VMCALL the guest's RCX is the mask (8.5)");
    check_eq(r.out[2], 0xdddd, "after VP.VMCALL RDX, not selected, is the guest's (8.5)");
    check(r.out[3] == 5 && r.out[4] == 6,
          "after VP.VMCALL R8 and R9 are the host's (8.5)");
}

static u64 exit_of(u32 n, u64 a0, u64 a1)
{
    td_start_op(&td, n, a0, a1, 0, 0, 0);
    return td_finish_op(&td, 0, &r);
}

static u64 aug(u64 gpa)
{
    u64 page = (u64)page_alloc();

    memset((void *)page, 0x77, PAGE_SIZE);
    td.sept[td.num_sept++] = page;
    return tdh_3(TDH_MEM_PAGE_AUG, gpa, td.tdr, page);
}

static void private_memory(void)
{
    TdxRegs *g = &td.regs;

    td_add_sept(&td, 0, 2);
    td_add_sept(&td, 0, 1);
    check_eq(tdcall(TDG_MEM_PAGE_ACCEPT, 0x10002, 0, 0, 0),
             OPERAND(TDX_OPERAND_INVALID, RCX), "PAGE.ACCEPT: level 2 (9.3)");
    check_eq(tdcall(TDG_MEM_PAGE_ACCEPT, 0x10001, 0, 0, 0),
             OPERAND(TDX_OPERAND_INVALID, RCX), "PAGE.ACCEPT 2 MiB: unaligned (9.3)");
    check_eq(tdcall(TDG_MEM_PAGE_ACCEPT, 0x10008, 0, 0, 0),
             OPERAND(TDX_OPERAND_INVALID, RCX), "PAGE.ACCEPT: RCX[3] (9.3)");
    check_eq(tdcall(TDG_MEM_PAGE_ACCEPT, TD_SHARED_BIT | 0x10000, 0, 0, 0),
             OPERAND(TDX_OPERAND_INVALID, RCX), "PAGE.ACCEPT: shared GPA (9.3)");

    check_eq(exit_of(OP_READ, 0x20123, 0), VMX_EXIT_EPT_VIOLATION,
             "access to a free private GPA: exit 48 (6.5)");
    check_eq(g->r8, 0x20000, "exit 48: R8 is the GPA without its low 12 bits (8.4)");
    check_eq(g->rcx & 0x3f, 1, "exit 48: RCX, a read of an entry without rights (8.4)");
    check_eq(g->rdx, 0, "exit 48: no extended qualification (8.7)");
    check(!g->r9 && !g->r10 && !g->r11 && !g->r12 && !g->rbx && !g->rsi && !g->rdi,
          "asynchronous exit: the other registers are 0 (8.4)");
    check_eq(aug(0x20000), TDX_SUCCESS, "PAGE.AUG");
    check_eq(td_finish_op(&td, 0, &r), VMX_EXIT_EPT_VIOLATION,
             "access to a pending page with SEPT_VE_DISABLE: exit 48 (6.5)");
    check_eq(g->rdx & 0xf, 6, "pending page: extended qualification type 6 (8.7)");
    check_eq(g->rcx & 0x38, 0, "pending page: no rights in the qualification");
    check_eq(g->r8, 0x20000, "pending page: GPA");
}

/* A fresh TD, because the vCPU of the last one sticks at its access. */
static void accepting(void)
{
    TdxRegs *g = &td.regs;

    td_start_op(&td, OP_TDCALL, TDG_MEM_PAGE_ACCEPT, 0x30000, 0, 0, 0);
    check_eq(td_finish_op(&td, 0, &r), VMX_EXIT_EPT_VIOLATION,
             "PAGE.ACCEPT of a free entry: exit 48 (9.3)");
    check_eq(g->rdx & 0xf, 1, "PAGE.ACCEPT: extended qualification type ACCEPT (8.7)");
    check_eq(g->rdx >> 32 & 7, 0, "PAGE.ACCEPT: requested level 0 (8.7)");
    check_eq(g->rdx >> 35 & 7, 0, "PAGE.ACCEPT: the walk ended at level 0 (8.7)");
    check_eq(g->rcx & 7, 2, "PAGE.ACCEPT: qualification is a write (8.4)");
    check_eq(g->r8, 0x30000, "PAGE.ACCEPT: GPA");
    aug(0x30000);
    check_eq(td_finish_op(&td, 0, &r), VMX_EXIT_TDCALL, "PAGE.ACCEPT starts again (9.3)");
    check_eq(r.out[0], TDX_SUCCESS, "PAGE.ACCEPT succeeds");
    check_eq(op(OP_READ, 0x30008, 0), 0, "an accepted page is zero (9.3)");
    op(OP_WRITE, 0x30008, 0x1234);
    check_eq(op(OP_READ, 0x30008, 0), 0x1234, "an accepted page is writable");
    check_eq(tdcall(TDG_MEM_PAGE_ACCEPT, 0x30000, 0, 0, 0),
             TDX_ST(TDX_PAGE_ALREADY_ACCEPTED, 0), "PAGE.ACCEPT twice (9.3)");
    check_eq(tdcall(TDG_MEM_PAGE_ACCEPT, 0 | 1, 0, 0, 0), TDX_ST(TDX_PAGE_SIZE_MISMATCH,
                                                                 1),
             "PAGE.ACCEPT 2 MiB of a range of 4 KiB pages (9.3)");
    td_start_op(&td, OP_TDCALL, TDG_MEM_PAGE_ACCEPT, 0x200001, 0, 0, 0);
    check_eq(td_finish_op(&td, 0, &r), VMX_EXIT_EPT_VIOLATION,
             "PAGE.ACCEPT 2 MiB of a free entry: exit 48 (9.3)");
    check_eq(g->rdx >> 32 & 7, 1, "PAGE.ACCEPT 2 MiB: requested level 1 (8.7)");
    td.sept[td.num_sept] = (u64)pages_alloc(512, 0x200000);
    check_eq(tdh_3(TDH_MEM_PAGE_AUG, 0x200001, td.tdr, td.sept[td.num_sept++]),
             TDX_SUCCESS,
             "PAGE.AUG 2 MiB");
    check_eq(td_finish_op(&td, 0, &r), VMX_EXIT_TDCALL, "PAGE.ACCEPT 2 MiB starts again");
    check_eq(r.out[0], TDX_SUCCESS, "PAGE.ACCEPT 2 MiB succeeds");
    op(OP_WRITE, 0x3ffff8, 0x4321);
    check_eq(op(OP_READ, 0x3ffff8, 0), 0x4321, "the end of the 2 MiB page is usable");

    /* BLOCK takes the page away at the next entry at the latest, UNBLOCK gives it back */
    check_eq(tdh_2(TDH_MEM_RANGE_BLOCK, 0x30000, td.tdr), TDX_SUCCESS, "RANGE.BLOCK");
    check_eq(tdh_1(TDH_MEM_TRACK, td.tdr), TDX_SUCCESS, "MEM.TRACK");
    check_eq(exit_of(OP_READ, 0x30008, 0), VMX_EXIT_EPT_VIOLATION,
             "access to a blocked page: exit 48 (6.5)");
    check_eq(g->r8, 0x30000, "blocked page: GPA");
    check_eq(tdh_2(TDH_MEM_RANGE_UNBLOCK, 0x30000, td.tdr), TDX_SUCCESS, "RANGE.UNBLOCK");
    check_eq(td_finish_op(&td, 0, &r), VMX_EXIT_TDCALL,
             "after UNBLOCK the access is done");
    check_eq(r.out[0], 0x1234, "the page kept its content");
}

static void shared_memory(void)
{
    volatile u64 *buffer = page_alloc();
    u64 va = TD_SHARED_VA + (u64)buffer, mmio = 0x30000000;
    u64 *pd;

    buffer[0] = 0xcafe;
    check_eq(op(OP_READ, va, 0), 0xcafe, "the TD reads shared memory of the host");
    op(OP_WRITE, va + 8, 0xbeef);
    check_eq(buffer[1], 0xbeef, "the host reads what the TD wrote to shared memory");
    check_eq(exit_of(OP_READ, TD_SHARED_VA + mmio, 0), VMX_EXIT_EPT_VIOLATION,
             "shared GPA not present, suppress-#VE set: exit 48 (6.5)");
    check_eq(td.regs.r8, TD_SHARED_BIT | mmio,
             "shared violation: R8 has the SHARED bit (8.4)");
    check_eq(td.regs.rcx & 7, 1, "shared violation: a read");
    check_eq(td.regs.rdx, 0, "shared violation: no extended qualification");
    pd = (u64 *)(td.shared_ept[256] & 0xffffffffff000);
    pd = (u64 *)(pd[0] & 0xffffffffff000);
    pd[mmio >> 21] = 0;
    invept(2, 0, 0);
    check_eq(td_finish_op(&td, 0, &r), VMX_EXIT_TDCALL, "suppress-#VE clear: no exit");
    expect_ve(VMX_EXIT_EPT_VIOLATION, 0, "shared GPA not present, suppress-#VE clear");
    check_eq(r.out[2] & 7, 1, "MMIO #VE: a read");
    check_eq(r.out[3], TD_SHARED_VA + mmio, "MMIO #VE: GLA");
    check_eq(r.out[4], TD_SHARED_BIT | mmio, "MMIO #VE: GPA");
    pd[mmio >> 21] = (u64)buffer & ~0x1fffffull;
    pd[mmio >> 21] |= EPT_R | EPT_W | EPT_WB | EPT_LARGE;
    invept(2, 0, 0);
    check_eq(op(OP_READ, TD_SHARED_VA + mmio + ((u64)buffer & 0x1fffff), 0), 0xcafe,
             "a shared mapping that the host adds");
}

static void measurements(void)
{
    struct tdx_report *rep;
    u64 gpa = 0x40000;

    for (u32 i = 0; i < 2; i++) {
        aug(gpa + i * PAGE_SIZE);
        if (tdcall(TDG_MEM_PAGE_ACCEPT, gpa + i * PAGE_SIZE, 0, 0, 0)) {
            panic("PAGE.ACCEPT");
        }
    }
    op(OP_WRITE, gpa + 8, 0x1122334455667788);
    check_eq(tdcall(TDG_MR_RTMR_EXTEND, gpa | 8, 0, 0, 0), OPERAND(TDX_OPERAND_INVALID,
                                                                   RCX),
             "RTMR.EXTEND: unaligned");
    check_eq(tdcall(TDG_MR_RTMR_EXTEND, gpa, 4, 0, 0), OPERAND(TDX_OPERAND_INVALID, RDX),
             "RTMR.EXTEND: index 4");
    check_eq(tdcall(TDG_MR_REPORT, gpa | 512, gpa, 0, 0), OPERAND(TDX_OPERAND_INVALID,
                                                                  RCX),
             "MR.REPORT: unaligned");
    check_eq(tdcall(TDG_MR_REPORT, gpa + PAGE_SIZE, gpa | 8, 0, 0),
             OPERAND(TDX_OPERAND_INVALID, RDX), "MR.REPORT: REPORTDATA unaligned");
    check_eq(tdcall(TDG_MR_REPORT, gpa + PAGE_SIZE, gpa, 1, 0),
             OPERAND(TDX_OPERAND_INVALID, R8), "MR.REPORT: subtype 1");
    check_eq(tdcall(TDG_MR_REPORT, gpa + PAGE_SIZE, gpa, 0, 0), TDX_SUCCESS, "MR.REPORT");
    rep = page_alloc();
    for (u32 i = 0; i < sizeof(*rep) / 8; i++) {
        ((u64 *)rep)[i] = op(OP_READ, gpa + PAGE_SIZE + i * 8, 0);
    }
    check_eq(rep->mac.type, TDX_REPORT_TYPE_TDX, "TDREPORT: type 81H (7.4)");
    check_eq(((u64 *)rep->mac.report_data)[1], 0x1122334455667788,
             "TDREPORT: REPORTDATA");
    check_eq(rep->tdinfo.attributes, td.params->attributes, "TDREPORT: ATTRIBUTES");
    check_eq(rep->tdinfo.xfam, td.params->xfam, "TDREPORT: XFAM");
    tdh_2(TDH_MNG_RD, td.tdr, TDX_MD_TDCS_MRTD + 3);
    check_eq(((u64 *)rep->tdinfo.mrtd)[3], tdh_out.r8,
             "TDREPORT: MRTD as MNG.RD gives it");
    check_eq(((u64 *)rep->tdinfo.rtmr[2])[0], 0, "TDREPORT: RTMR2 is 0");
    check_eq(tdcall(TDG_MR_RTMR_EXTEND, gpa, 2, 0, 0), TDX_SUCCESS, "RTMR.EXTEND");
    tdcall(TDG_MR_REPORT, gpa + PAGE_SIZE, gpa, 0, 0);
    /* SHA-384 of 48 zero bytes and the 48 bytes of the buffer */
    check_eq(op(OP_READ, gpa + PAGE_SIZE + offsetof(struct tdx_report, tdinfo.rtmr[2]),
                0),
             0xeac31f202c40c5bb, "RTMR2 = SHA-384(RTMR2, buffer) (7.3)");
}

static void host_after_exit(void)
{
    asm volatile("movq %0, %%dr0" : : "r"(0x1234ull));
    write_cr2(0x5678);
    wrmsr(MSR_STAR, 0x23001000000000);
    wrmsr(MSR_KERNEL_GS_BASE, 0x9999);
    op(OP_RDTSC, 0, 0);
    u64 dr0;

    asm volatile("movq %%dr0, %0" : "=r"(dr0));
    check_eq(dr0, 0, "after a TD exit DR0 is 0 (8.6)");
    check_eq(read_dr7(), 0x400, "after a TD exit DR7 is 400H (8.6)");
    check_eq(read_cr2(), 0, "after a TD exit CR2 is 0 (8.6)");
    check_eq(rdmsr(MSR_FMASK), 0x20200, "after a TD exit IA32_FMASK is 20200H (8.6)");
    check(!rdmsr(MSR_STAR) && !rdmsr(MSR_LSTAR) && !rdmsr(MSR_KERNEL_GS_BASE),
          "after a TD exit STAR, LSTAR, KERNEL_GS_BASE are 0 (8.6)");
    check_eq(rdmsr(MSR_GS_BASE), (u64)this_cpu(),
             "after a TD exit the GS base is kept (8.6)");
    check_eq(read_cr4() & CR4_VMXE, CR4_VMXE, "after a TD exit CR4.VMXE is kept");
}

static void asynchronous_exits(void)
{
    TdxRegs *g = &td.regs;

    apic_write(APIC_TIMER_DIV, 0xb);
    apic_write(APIC_TIMER, VECTOR_HOST);
    apic_write(APIC_TIMER_INIT, 2000000);
    td_start_op(&td, OP_WAIT_IRQ, 1000000000, 0, 0, 0, 0);
    check_eq(td_finish_op(&td, 0, &r), VMX_EXIT_EXT_INTR,
             "an interrupt for the host: exit 1 (8.4)");
    check_eq(g->r9, INTR_VALID | VECTOR_HOST,
             "interrupt: R9 is the vector, acknowledged (8.4)");
    check(apic_bit(APIC_ISR, VECTOR_HOST),
          "interrupt: in service in the host's APIC (8.4)");
    check(!g->rcx && !g->rdx && !g->r8 && !g->r10 && !g->r15 && !g->rbx && !g->rsi,
          "interrupt: the other registers are 0 (8.4)");
    check_eq(g->rbp, 0xbbbb, "interrupt: RBP is untouched (8.4)");
    apic_write(APIC_EOI, 0);

    /* a posted interrupt ends the wait in the TD */
    u64 *desc = page_alloc();
    u64 vp = td.vcpu[0].tdvpr;

    check_eq(tdh4(TDH_VP_WR, vp, TDX_MD_VMCS(VMCS_POSTED_INTR_NV, 1), NV, 0xffff),
             TDX_SUCCESS, "VP.WR: notification vector");
    check_eq(tdh4(TDH_VP_WR, vp, TDX_MD_VMCS(VMCS_POSTED_INTR_DESC, 3), (u64)desc, ~0ull),
             TDX_SUCCESS, "VP.WR: descriptor");
    check_eq(tdh4(TDH_VP_WR, vp, TDX_MD_VMCS(VMCS_PIN_CONTROLS, 2), 0x80, 0x80),
             TDX_SUCCESS, "VP.WR: process posted interrupts");
    desc[VECTOR_TD / 64] = BIT(VECTOR_TD % 64);
    desc[4] = 1 | (u64)NV << 16;
    apic_self(NV);
    check_eq(td_finish_op(&td, 0, &r), VMX_EXIT_TDCALL,
             "a notification pending at entry does not exit (8.9)");
    check_eq(r.vector, VECTOR_TD, "the posted interrupt arrives in the TD (8.9)");
    check(r.out[0] != 0, "it ended the wait");
    check_eq(desc[VECTOR_TD / 64], 0, "PIR is cleared (8.9)");
    check_eq(desc[4] & 1, 0, "ON is cleared (8.9)");
    check(!apic_bit(APIC_ISR, NV) && !apic_bit(APIC_IRR, NV),
          "the notification is gone from the host's APIC (8.9)");

    tdh_2(TDH_VP_RD, vp, TDX_MD_VCPU_STATE_DETAILS);
    check_eq(tdh_out.r8 & 1, 0, "VCPU_STATE_DETAILS: no virtual interrupt pending (8.9)");
    desc[VECTOR_TD / 64] = BIT(VECTOR_TD % 64);
    desc[4] = 1 | (u64)NV << 16;
    apic_self(NV);
    op(OP_RDTSC, 0, 0);
    tdh_2(TDH_VP_RD, vp, TDX_MD_VCPU_STATE_DETAILS);
    check_eq(tdh_out.r8 & 1, 1,
             "VCPU_STATE_DETAILS: a virtual interrupt is pending (8.9)");
    op(OP_WAIT_IRQ, 1000, 0);
    check_eq(r.vector, VECTOR_TD, "it arrives when the TD opens");

    check_eq(tdh4(TDH_VP_WR, vp, TDX_MD_VCPU_PEND_NMI, 1, 1), TDX_SUCCESS,
             "VP.WR: PEND_NMI");
    op(OP_RDTSC, 0, 0);
    check_eq(r.vector, NMI, "PEND_NMI injects an NMI at the next entry (8.3)");
    tdh_2(TDH_VP_RD, vp, TDX_MD_VCPU_PEND_NMI);
    check_eq(tdh_out.r8 & 1, 0, "PEND_NMI is cleared by the injection (8.3)");

    check_eq(exit_of(OP_TRIPLE, 0, 0), TDX_NON_RECOVERABLE_VCPU | VMX_EXIT_TRIPLE_FAULT,
             "triple fault: NON_RECOVERABLE_VCPU, exit 2 (8.4)");
    td.regs.rbp = 1;
    check_eq(TDX_STATUS_CODE(td_enter(&td, 0)), TDX_VCPU_STATE_INCORRECT,
             "VP.ENTER of a disabled vCPU (5.4)");
}

static void start(u64 hkid)
{
    td_build(&td, hkid, 1);
    td_map_shared(&td);
}

void test_main(void)
{
    seam_bring_up();
    start(first_keyid + 1);
    first_entry();
    initial_state();
    tdcalls();
    virtualization_exceptions();
    faults();
    cpuids();
    vmcall_registers();
    private_memory();
    td_destroy(&td);
    check(true, "the first TD is destroyed");

    start(first_keyid + 1);
    td_enter(&td, 0);
    td_add_sept(&td, 0, 2);
    td_add_sept(&td, 0, 1);
    accepting();
    shared_memory();
    measurements();
    host_after_exit();
    asynchronous_exits();
    td_destroy(&td);
    check(true, "the second TD is destroyed");
    check_eq(tdh_clobbered, 0, "no leaf changed a register that is not its output");
}
