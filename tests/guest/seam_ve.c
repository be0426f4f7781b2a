/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a TD's configuration changes: pending pages with and without
 * SEPT_VE_DISABLE, TD_CTLS (topology, #VE reduction), CPUID values, the virtual
 * TSC, XMM registers of TDG.VP.VMCALL.  Numbers in brackets: README.md.
 */
#include "seam.h"

const char test_name[] = "seam_ve";

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

static u64 aug(u64 gpa)
{
    u64 page = (u64)page_alloc();

    td.sept[td.num_sept++] = page;
    return tdh_3(TDH_MEM_PAGE_AUG, gpa, td.tdr, page);
}

/* A TD with its own ATTRIBUTES and flags, running, with GPAs from 0 mappable. */
static void build(u64 attributes, u64 config_flags)
{
    td_make_tdr(&td, first_keyid + 1);
    td_add_tdcs(&td);
    td_default_params(&td);
    td.params->attributes = attributes;
    td.params->config_flags |= config_flags;
    if (tdh_2(TDH_MNG_INIT, td.tdr, (u64)td.params)) {
        panic("TDH.MNG.INIT: %llx", (long long)tdh_out.rax);
    }
    td_make_vcpu(&td, 0x55);
    td_add_payload(&td);
    td_add_sept(&td, 0, 2);
    td_add_sept(&td, 0, 1);
    if (tdh_1(TDH_MR_FINALIZE, td.tdr)) {
        panic("TDH.MR.FINALIZE");
    }
    td_map_shared(&td);
    check_eq(td_enter(&td, 0), VMX_EXIT_TDCALL, "ATTRIBUTES %llx: the TD starts",
             (long long)attributes);
}

static void pending_ve(void)
{
    build(0, 0);
    check_eq(aug(0x20000), TDX_SUCCESS, "PAGE.AUG");
    op(OP_READ, 0x20010, 0);
    check_eq(r.vector, VE, "pending page without SEPT_VE_DISABLE: #VE (6.5)");
    check_eq(tdcall(TDG_VP_VEINFO_GET, 0, 0, 0, 0), TDX_SUCCESS, "VEINFO.GET");
    check_eq(r.out[1], VMX_EXIT_EPT_VIOLATION, "#VE: exit reason 48");
    check_eq(r.out[2] & 7, 1, "#VE: a read");
    check_eq(r.out[3], 0x20010, "#VE: GLA");
    check_eq(r.out[4] & ~0xfffull, 0x20000, "#VE: GPA");
    check_eq(tdcall(TDG_MEM_PAGE_ACCEPT, 0x20000, 0, 0, 0), TDX_SUCCESS, "PAGE.ACCEPT");
    check_eq(op(OP_READ, 0x20010, 0), 0, "the access succeeds after PAGE.ACCEPT");
    td_start_op(&td, OP_READ, 0x21000, 0, 0, 0, 0);
    check_eq(td_finish_op(&td, 0, &r), VMX_EXIT_EPT_VIOLATION,
             "a free GPA exits also without SEPT_VE_DISABLE (6.5)");
    td_destroy(&td);
}

static void td_ctls(void)
{
    u64 configured;

    build(TDX_ATTR_SEPT_VE_DISABLE, 0);
    check_eq(tdcall(TDG_VM_RD, 0, 0x9100000000000019, 0, 0), TDX_SUCCESS,
             "VM.RD: TOPOLOGY_ENUM_CONFIGURED by Linux's id (9.4)");
    configured = r.out[3];
    check_eq(TDX_STATUS_CODE(tdcall(TDG_VM_WR, 0, TDX_MD_TDCS_TD_CTLS, BIT(20),
                                    BIT(20))) != 0,
             1, "VM.WR of TD_CTLS: bit 20 is reserved (9.4)");
    op(OP_CPUID, 2, 0);
    check_eq(r.vector, VE, "CPUID 2 before #VE reduction: #VE (10.2)");
    tdcall(TDG_VP_VEINFO_GET, 0, 0, 0, 0);
    op(OP_RDMSR, 0x1b0, 0);
    check_eq(r.vector, VE, "RDMSR 1B0H before #VE reduction: #VE (10.5)");
    tdcall(TDG_VP_VEINFO_GET, 0, 0, 0, 0);
    if (!(sys_rd(TDX_MD_FEATURES0) & BIT(TDX_FEATURE_VE_REDUCTION)) ||
        tdcall(TDG_VM_WR, 0, TDX_MD_TDCS_TD_CTLS, BIT(3), BIT(3))) {
        check_skip("not offered for this TD", "#VE reduction");
        td_destroy(&td);
        return;
    }
    tdcall(TDG_VM_RD, 0, TDX_MD_TDCS_TD_CTLS, 0, 0);
    check_eq(r.out[3] & 0xe, 0xe, "REDUCE_VE sets ENUM_TOPOLOGY and VIRT_CPUID2 (9.4)");
    op(OP_CPUID, 2, 0);
    check(r.vector == NO_FAULT && r.out[0] == 0x00feff01 && !r.out[1] && !r.out[2],
          "REDUCE_VE: CPUID 2 is virtual (10.2)");
    op(OP_CPUID, 6, 0);
    check(r.vector == NO_FAULT && !r.out[0], "REDUCE_VE: CPUID 6 is 0 (10.2)");
    op(OP_CPUID, 0x40000000, 0);
    check_eq(r.vector, VE, "REDUCE_VE: CPUID 40000000H is still #VE (10.2)");
    tdcall(TDG_VP_VEINFO_GET, 0, 0, 0, 0);
    op(OP_RDMSR, 0x1b0, 0);
    check_eq(r.vector, GP, "REDUCE_VE: RDMSR 1B0H is #GP (10.5)");
    op(OP_RDMSR, 0x4b564d00, 0);
    check_eq(r.vector, VE, "REDUCE_VE: MSRs outside both ranges are still #VE (10.5)");
    tdcall(TDG_VP_VEINFO_GET, 0, 0, 0, 0);
    op(OP_RDMSR, MSR_APIC_BASE, 0);
    check_eq(r.vector, VE, "REDUCE_VE: RDMSR 1BH is still #VE (10.5)");
    tdcall(TDG_VP_VEINFO_GET, 0, 0, 0, 0);
    if (configured) {
        op(OP_CPUID, 0xb, 0);
        check_eq(r.vector, NO_FAULT, "ENUM_TOPOLOGY: CPUID BH does not fault (10.2)");
        check_eq(r.out[3], 0, "ENUM_TOPOLOGY: CPUID BH: EDX is the x2APIC id (10.2)");
    }
    td_destroy(&td);
}

/* CPUID in the TD is what TDH.MNG.RD says, for leaves that do not fault. */
static void cpuid_values(void)
{
    static const u32 leaves[] = { 0x80000008, 0x15, 0x80000006 };

    for (u32 i = 0; i < ARRAY_SIZE(leaves); i++) {
        u64 code = (leaves[i] & 0x7f) << 9 | (u64)(leaves[i] >> 31) << 16 | 0x1fe;

        if (tdh_2(TDH_MNG_RD, td.tdr, TDX_MD_TDCS_CPUID_VALUES | code)) {
            check_skip("not in the module's table", "CPUID %x by MNG.RD", leaves[i]);
            continue;
        }
        u64 ab = tdh_out.r8;

        op(OP_CPUID, leaves[i], 0);
        check_eq(r.out[0] | r.out[1] << 32, ab, "CPUID %x: EAX, EBX as MNG.RD gives them",
                 leaves[i]);
    }
}

static void tsc(void)
{
    u64 first = op(OP_RDTSC, 0, 0), second;
    u64 offset, multiplier, host;

    check(first < 60ull * 1000000000, "the TD's TSC starts near 0 (2.3, MNG.INIT)");
    second = op(OP_RDTSC, 0, 0);
    check(second > first, "the TD's TSC advances");
    tdh_2(TDH_MNG_RD, td.tdr, TDX_MD_TDCS_TSC_OFFSET);
    offset = tdh_out.r8;
    tdh_2(TDH_MNG_RD, td.tdr, TDX_MD_TDCS_TSC_MULTIPLIER);
    multiplier = tdh_out.r8;
    host = rdtsc();
    first = op(OP_RDTSC, 0, 0);
    second = (u64)(((unsigned __int128)host * multiplier) >> 48) + offset;
    check(first >= second, "the TD's TSC: not behind host TSC x multiplier + offset");
    host = rdtsc();
    second = (u64)(((unsigned __int128)host * multiplier) >> 48) + offset;
    check(first <= second, "the TD's TSC: not ahead of host TSC x multiplier + offset");
}

/* 8.5: XMM registers pass by bits 31:16 of the mask, else they are 0. */
static void xmm(void)
{
    u64 v[2] = { 0 };

    asm volatile("movq %0, %%xmm3" : : "r"(0x3333ull));
    asm volatile("movq %0, %%xmm4" : : "r"(0x4444ull));
    td_start_op(&td, OP_TDCALL, TDG_VP_VMCALL, BIT(19) | 0xfcc0, 0, 0, 0);
    check_eq(td_enter(&td, 0), VMX_EXIT_TDCALL, "VP.VMCALL with XMM3 in its mask");
    asm volatile("movq %%xmm4, %0" : "=r"(v[1]));
    check_eq(v[1], 0, "an XMM register that is not selected is 0 in the host (8.5)");
    asm volatile("movq %%xmm3, %0" : "=r"(v[0]));
    check_eq(v[0], 0, "XMM3 is the TD's, which never wrote it (8.5)");
    asm volatile("movq %0, %%xmm3" : : "r"(0x3333ull));
    td.regs.r10 = OP_RDTSC;
    check_eq(td_finish_op(&td, 0, &r), VMX_EXIT_TDCALL, "the TD goes on");
    td_start_op(&td, OP_TDCALL, TDG_VP_VMCALL, BIT(19) | BIT(20) | 0xfcc0, 0, 0, 0);
    td_enter(&td, 0);
    asm volatile("movq %%xmm3, %0" : "=r"(v[0]));
    asm volatile("movq %%xmm4, %0" : "=r"(v[1]));
    check_eq(v[0], 0x3333, "XMM3: what the host gave to the last VMCALL (8.5)");
    check_eq(v[1], 0, "XMM4: the host's value did not reach the TD (8.5)");
    td.regs.r10 = OP_RDTSC;
    td_finish_op(&td, 0, &r);
}

/* TDG.VP.RD and WR: the vCPU's own fields (4.7, 9.1, 9.4). */
static void vcpu_fields(void)
{
    const u64 id = TDX_MD_VCPU_CPUID_SUPERVISOR_VE;

    check_eq(tdcall(TDG_VP_RD, 1, id, 0, 0), OPERAND(TDX_OPERAND_INVALID, RCX),
             "VP.RD: RCX is reserved");
    check_eq(tdcall(TDG_VP_WR, 1, id, 1, 1), OPERAND(TDX_OPERAND_INVALID, RCX),
             "VP.WR: RCX is reserved");
    check_eq(TDX_STATUS_CODE(tdcall(TDG_VP_RD, 0, 0x3f20000300777777, 0, 0)),
             TDX_METADATA_FIELD_ID_INCORRECT, "VP.RD of no field");
    check_eq(r.out[3], 0, "VP.RD of no field: R8 is 0");
    check_eq(TDX_STATUS_CODE(tdcall(TDG_VP_WR, 0, id, 1, 0)),
             TDX_METADATA_FIELD_NOT_WRITABLE, "VP.WR: an empty mask (9.4)");
    check_eq(TDX_STATUS_CODE(tdcall(TDG_VP_WR, 0, id, 2, 2)) != TDX_SUCCESS, 1,
             "VP.WR: a bit that the field does not have");
    check_eq(tdcall(TDG_VP_WR, 0, id, 1, 1), TDX_SUCCESS, "VP.WR");
    check_eq(r.out[3], 0, "VP.WR: R8 is the old value");
    check_eq(tdcall(TDG_VP_RD, 0, id, 0, 0), TDX_SUCCESS, "VP.RD");
    check_eq(r.out[3], 1, "VP.RD: what was written");
    check_eq(tdcall(TDG_VP_WR, 0, id, 0, 1), TDX_SUCCESS, "VP.WR: back to 0");
    check_eq(r.out[3], 1, "VP.WR: the old value was 1");
}

/* TDG.MEM.PAGE.ATTR.RD and WR without L2 VMs (9.1). */
static void page_attributes(u64 gpa)
{
    u64 status;

    check_eq(tdcall(TDG_MEM_PAGE_ATTR_RD, gpa | BIT(5), 0, 0, 0),
             OPERAND(TDX_OPERAND_INVALID, RCX), "ATTR.RD: reserved bit");
    check_eq(tdcall(TDG_MEM_PAGE_ATTR_RD, gpa | BIT(47), 0, 0, 0),
             OPERAND(TDX_OPERAND_INVALID, RCX), "ATTR.RD: shared GPA");
    check_eq(tdcall(TDG_MEM_PAGE_ATTR_RD, gpa, 0, 0, 0), TDX_SUCCESS, "ATTR.RD");
    check_eq(r.out[1], gpa, "ATTR.RD: RCX is the GPA and level 0");
    check_eq(r.out[2], 0, "ATTR.RD: no L2 VM may access the page");
    check_eq(tdcall(TDG_MEM_PAGE_ATTR_WR, gpa | BIT(5), 0, 0, 0),
             OPERAND(TDX_OPERAND_INVALID, RCX), "ATTR.WR: reserved bit");
    check_eq(tdcall(TDG_MEM_PAGE_ATTR_WR, gpa | BIT(47), 0, 0, 0),
             OPERAND(TDX_OPERAND_INVALID, RCX), "ATTR.WR: shared GPA");
    status = TDX_STATUS_CODE(tdcall(TDG_MEM_PAGE_ATTR_WR, gpa, 7ull << 16, 0, 0));
    check(status == TDX_OPERAND_INVALID || status == TDX_PAGE_ATTR_INVALID,
          "ATTR.WR: attributes of an L2 VM that the TD does not have");
    check_eq(tdcall(TDG_MEM_PAGE_ATTR_WR, gpa, 0, 0, 0), TDX_SUCCESS,
             "ATTR.WR: nothing to change");
}

/* Change one word of the report at @gpa, verify it, and put the word back. */
static u64 verify_changed(u64 gpa, u32 offset)
{
    u64 was = op(OP_READ, gpa + offset, 0), status;

    op(OP_WRITE, gpa + offset, was ^ 1);
    status = tdcall(TDG_MR_VERIFYREPORT, gpa, 0, 0, 0);
    op(OP_WRITE, gpa + offset, was);
    return status;
}

/* TDG.MR.VERIFYREPORT (7.4, 9.1). */
static void verify_report(u64 gpa, u64 data)
{
    check_eq(tdcall(TDG_MR_REPORT, gpa, data, 0, 0), TDX_SUCCESS, "MR.REPORT");
    check_eq(tdcall(TDG_MR_VERIFYREPORT, gpa | 128, 0, 0, 0),
             OPERAND(TDX_OPERAND_INVALID, RCX), "VERIFYREPORT: unaligned");
    check_eq(tdcall(TDG_MR_VERIFYREPORT, gpa | BIT(47), 0, 0, 0),
             OPERAND(TDX_OPERAND_INVALID, RCX), "VERIFYREPORT: shared GPA");
    check_eq(tdcall(TDG_MR_VERIFYREPORT, gpa, 0, 0, 0), TDX_SUCCESS,
             "VERIFYREPORT: the report of this machine");
    check_eq(TDX_STATUS_CODE(verify_changed(gpa, offsetof(struct tdx_report_mac, type))),
             TDX_INVALID_REPORTMACSTRUCT, "VERIFYREPORT: another type");
    check_eq(TDX_STATUS_CODE(verify_changed(gpa, offsetof(struct tdx_report_mac, cpusvn))),
             TDX_INVALID_CPUSVN, "VERIFYREPORT: another CPUSVN");
    check_eq(TDX_STATUS_CODE(verify_changed(gpa,
                                            offsetof(struct tdx_report_mac, report_data))),
             TDX_INVALID_REPORTMACSTRUCT, "VERIFYREPORT: other REPORTDATA");
    check_eq(TDX_STATUS_CODE(verify_changed(gpa, offsetof(struct tdx_report_mac, mac))),
             TDX_INVALID_REPORTMACSTRUCT, "VERIFYREPORT: another MAC");
    check_eq(tdcall(TDG_MR_VERIFYREPORT, gpa, 0, 0, 0), TDX_SUCCESS,
             "VERIFYREPORT: all put back");
}

static void own_leaves(void)
{
    const u64 gpa = 0x60000;

    for (u32 i = 0; i < 2; i++) {
        if (aug(gpa + i * PAGE_SIZE) ||
            tdcall(TDG_MEM_PAGE_ACCEPT, gpa + i * PAGE_SIZE, 0, 0, 0)) {
            panic("a page for the report");
        }
    }
    vcpu_fields();
    page_attributes(gpa);
    verify_report(gpa, gpa + PAGE_SIZE);
}

void test_main(void)
{
    seam_bring_up();
    pending_ve();
    td_ctls();
    build(TDX_ATTR_SEPT_VE_DISABLE, 0);
    cpuid_values();
    tsc();
    xmm();
    own_leaves();
    td_destroy(&td);
    check_eq(tdh_clobbered, 0, "no leaf changed a register that is not its output");
}
