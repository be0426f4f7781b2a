/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attestation from inside: RTMR extension and TDREPORT, handed to the host for
 * checking.
 */
#include "payload_td.h"

static u8 report[1024] __attribute__((aligned(1024)));
static u8 report_data[64] __attribute__((aligned(64)));
static u8 rtmr_data[64] __attribute__((aligned(64)));

static void test_rtmr(void)
{
    struct td_regs r = { .rcx = (u64)rtmr_data, .rdx = TD_RTMR_INDEX };

    for (unsigned i = 0; i < 48; i++) {
        rtmr_data[i] = TD_RTMR_BYTE(i);
    }
    check_eq(tdcall(TDG_MR_RTMR_EXTEND, &r), 0, "RTMR: extended");
    r = (struct td_regs) { .rcx = (u64)rtmr_data, .rdx = 4 };
    check_eq(tdcall(TDG_MR_RTMR_EXTEND, &r), TDX_OPERAND_INVALID | OPERAND_RDX,
             "RTMR: index 4 is refused");
    r = (struct td_regs) { .rcx = (u64)rtmr_data + 8, .rdx = 0 };
    check_eq(tdcall(TDG_MR_RTMR_EXTEND, &r), TDX_OPERAND_INVALID | OPERAND_RCX,
             "RTMR: misaligned buffer is refused");
}

/* Streams the report through a port, then leaves a copy in a shared page. */
static void hand_out(void)
{
    u64 gpa = TD_MAP_PAGE + 0x1000;

    for (unsigned i = 0; i < sizeof(report); i += 4) {
        port_out32(TD_PORT_REPORT, *(u32 *)(report + i));
    }
    if (check_eq(vmcall(TDVMCALL_MAP_GPA, gpa | 1ull << (gpaw - 1), 0x1000, 0, 0, NULL),
                 0, "TDREPORT: page for it is shared")) {
        pages_converted++;
        pages_shared++;
        memcpy((void *)SHARED_VA(gpa), report, sizeof(report));
        port_out32(TD_PORT_REPORT_GPA, gpa);
    }
}

void test_attest(void)
{
    struct td_regs r = { .rcx = (u64)report, .rdx = (u64)report_data };

    test_rtmr();
    for (unsigned i = 0; i < sizeof(report_data); i++) {
        report_data[i] = TD_REPORTDATA_BYTE(i);
    }
    check_eq(tdcall(TDG_MR_REPORT, &r), 0, "TDREPORT: made");
    check(!memcmp(report + 128, report_data, 64), "TDREPORT: holds REPORTDATA");
    r = (struct td_regs) { .rcx = (u64)report + 512, .rdx = (u64)report_data };
    check_eq(tdcall(TDG_MR_REPORT, &r), TDX_OPERAND_INVALID | OPERAND_RCX,
             "TDREPORT: misaligned buffer is refused");
    r = (struct td_regs) { .rcx = (u64)report, .rdx = (u64)report_data, .r8 = 1 };
    check_eq(tdcall(TDG_MR_REPORT, &r), TDX_OPERAND_INVALID | 8,
             "TDREPORT: subtype 1 is refused");
    hand_out();
}
