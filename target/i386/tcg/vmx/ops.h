/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operations of VMX and SEAM, as the decoder hands them to helper_vmx_insn().
 */
#ifndef TCG_VMX_OPS_H
#define TCG_VMX_OPS_H

enum {
    VMX_OP_VMCALL, VMX_OP_VMLAUNCH, VMX_OP_VMRESUME, VMX_OP_VMXOFF,
    VMX_OP_VMFUNC, VMX_OP_PCONFIG,
    VMX_OP_TDCALL, VMX_OP_SEAMRET, VMX_OP_SEAMOPS, VMX_OP_SEAMCALL,
    VMX_OP_VMPTRLD, VMX_OP_VMPTRST, VMX_OP_VMCLEAR, VMX_OP_VMXON,
    VMX_OP_VMREAD, VMX_OP_VMWRITE, VMX_OP_INVEPT, VMX_OP_INVVPID,
    VMX_OP_MOVDIRI, VMX_OP_MOVDIR64B,       /* no VMX: decoded beside it */
    VMX_OP_NONE,
};

#endif
