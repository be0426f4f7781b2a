/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same processor without a tdx-module object: a plain VMX machine. */
#include "seam.h"

const char test_name[] = "seam_none";

static Vm vm;
static TdxRegs regs;

static void g_nothing(void) { }

void test_main(void)
{
    u64 v = 0;

    check_eq(cpuid(7, 0).c >> 13 & 1, 0, "CPUID.7.ECX[13]: no TME");
    check(rdmsr_safe(MSR_KEYID_PARTITIONING, &v) == GP || !(v >> 32),
          "MSR 87H: #GP, or no TDX KeyIDs");
    check_eq(seamcall_regs(&regs), VM_FAULT(UD), "SEAMCALL out of VMX operation is #UD");
    vmx_on();
    check_eq(seamcall_regs(&regs), VM_FAULT(GP),
             "SEAMCALL in VMX root without SEAMRR is #GP(0)");
    check_eq(this_cpu()->fault_error, 0, "SEAMCALL: error code 0");
    regs.rax = BIT(63);
    check_eq(seamcall_regs(&regs), VM_FAULT(GP), "SEAMCALL to P-SEAMLDR: also #GP");
    check_eq(tdcall_regs(&regs), VM_FAULT(UD), "TDCALL in VMX root is #UD");
    vm_create(&vm);
    vm_start(&vm, g_nothing);
    check(vm_ended(&vm), "an ordinary guest runs");
}
