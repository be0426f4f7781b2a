/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SEAMCALL and TDCALL as instructions (TDX module ABI, "SEAMCALL instruction"):
 * faults, VM exits 76 and 77, flags, the decoding of RAX, P-SEAMLDR.
 */
#include "seam.h"

const char test_name[] = "seam_insn";

static Vm vm;
static TdxRegs regs;
static u32 user_result;

static u32 call(u64 rax, u64 rcx)
{
    memset(&regs, 0x5a, sizeof(regs));
    regs.rax = rax;
    regs.rcx = rcx;
    return seamcall_regs(&regs);
}

static u32 insn_byte3(u8 n)
{
    switch (n) {
    case 0xcd: return VM_INSN(".byte 0x66, 0x0f, 0x01, 0xcd", "i"(0));
    default:   return VM_INSN(".byte 0x66, 0x0f, 0x01, 0xce", "i"(0));
    }
}

static void user_seamcall(void)
{
    user_result = call(TDH_SYS_INIT, 0);
}

static void user_tdcall(void)
{
    user_result = tdcall_regs(&regs);
}

static void outside(void)
{
    check_eq(call(TDH_SYS_INIT, 0), VM_FAULT(UD), "SEAMCALL out of VMX operation is #UD");
    check_eq(call(BIT(63), 0), VM_FAULT(UD), "SEAMCALL to P-SEAMLDR: also #UD");
    check_eq(tdcall_regs(&regs), VM_FAULT(UD), "TDCALL out of VMX operation is #UD");
    check_eq(insn_byte3(0xcd), VM_FAULT(UD), "SEAMRET out of SEAM is #UD");
    check_eq(insn_byte3(0xce), VM_FAULT(UD), "SEAMOPS out of SEAM is #UD");
    run_user(user_seamcall);
    check_eq(user_result, VM_FAULT(UD), "SEAMCALL at CPL 3 out of VMX operation is #UD");
}

static void in_root(void)
{
    TdxRegs before;

    check_eq(tdcall_regs(&regs), VM_FAULT(UD), "TDCALL in VMX root is #UD");
    check_eq(insn_byte3(0xcd), VM_FAULT(UD), "SEAMRET in VMX root out of SEAM is #UD");
    run_user(user_seamcall);
    check_eq(user_result, VM_FAULT(GP), "SEAMCALL at CPL 3 in VMX root is #GP");
    check_eq(this_cpu()->fault_error, 0, "SEAMCALL at CPL 3: error code 0");
    run_user(user_tdcall);
    check_eq(user_result, VM_FAULT(UD), "TDCALL at CPL 3 in VMX root is #UD");

    check_eq(call(0xffff, 0), VM_SUCCEED, "SEAMCALL of an unknown leaf: all flags clear");
    check_eq(TDX_STATUS_CODE(regs.rax), TDX_SYS_NOT_READY,
             "an unknown leaf before READY: TDX_SYS_NOT_READY (dispatcher order)");
    memset(&before, 0x5a, sizeof(before));
    before.rcx = 0;
    check(!memcmp(&before.rcx, &regs.rcx, offsetof(TdxRegs, rflags) - 8),
          "an unknown leaf changes RAX only");
    call(TDH_SYS_LP_INIT | BIT(24), 0);
    check_eq(regs.rax, OPERAND(TDX_OPERAND_INVALID, RAX), "RAX[24] is reserved");
    call(TDH_SYS_LP_INIT | BIT(62), 0);
    check_eq(regs.rax, OPERAND(TDX_OPERAND_INVALID, RAX), "RAX[62] is reserved");
    call(TDX_RAX(TDH_SYS_LP_INIT, 1), 0);
    check_eq(regs.rax, OPERAND(TDX_OPERAND_INVALID, RAX),
             "version 1 of a leaf that has only version 0");
    call(TDX_RAX(TDH_VP_INIT, 2), 0);
    check_eq(TDX_STATUS_CODE(regs.rax) != 0, 1,
             "version 2 of a leaf with versions 0 and 1");
}

static void seamldr(void)
{
    struct seamldr_info *info = page_alloc();

    check_eq(call(BIT(63) | SEAMLDR_INFO, (u64)info), VM_SUCCEED, "SEAMLDR.INFO: flags");
    check_eq(regs.rax, 0, "SEAMLDR.INFO: status");
    check_eq(info->version, 0, "SEAMLDR_INFO: version");
    check_eq(info->vendor_id, 0x8086, "SEAMLDR_INFO: vendor");
    check_eq(info->p_seam_ready, 1, "SEAMLDR_INFO: P-SEAMLDR is ready");
    check_eq(info->seam_ready, 1, "SEAMLDR_INFO: the module is loaded");
    call(BIT(63) | SEAMLDR_INFO, (u64)info | 128);
    check_eq(regs.rax, 0x8000000000000000,
             "SEAMLDR.INFO: an unaligned buffer is EBADPARAM");
    call(BIT(63) | 0x777, 0);
    check_eq(regs.rax, 0x8000000000000003, "an unknown SEAMLDR leaf is EBADCALL");
}

static void g_seamcall(void) { seamcall_regs(&regs); }
static void g_tdcall(void) { tdcall_regs(&regs); }
static void g_user_seamcall(void) { run_user(user_seamcall); }

static void in_guest(void)
{
    vm_create(&vm);
    memset(&regs, 0, sizeof(regs));
    regs.rax = 0x21;
    check_eq(vm_start(&vm, g_seamcall), VMX_EXIT_SEAMCALL,
             "SEAMCALL in a guest: exit 76");
    check_eq(vmread(VMCS_EXIT_INSN_LEN), 4, "SEAMCALL exit: length 4");
    check_eq(vm.rax, 0x21, "SEAMCALL exit: the guest's RAX");
    vm_skip();
    vm_run(&vm);
    check(vm_ended(&vm), "SEAMCALL exit: the guest goes on behind it");
    check_eq(vm_start(&vm, g_tdcall), VMX_EXIT_TDCALL, "TDCALL in a guest: exit 77");
    check_eq(vmread(VMCS_EXIT_INSN_LEN), 4, "TDCALL exit: length 4");
    check_eq(vm_start(&vm, g_user_seamcall), VMX_EXIT_SEAMCALL,
             "SEAMCALL at CPL 3 in a guest: exit 76 before #GP");
}

void test_main(void)
{
    if (!vmx_supported()) {
        panic("no VMX");
    }
    outside();
    vmx_on();
    in_root();
    seamldr();
    in_guest();
    vmx_off();
    check_eq(call(TDH_SYS_LP_INIT, 0), VM_FAULT(UD), "SEAMCALL after VMXOFF is #UD");
}
