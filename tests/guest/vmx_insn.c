/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMX instructions in root operation: success, both kinds of failure with
 * their error numbers (SDM vol. 3, 31.3 and 31.4), faults.
 */
#include "vmx.h"

const char test_name[] = "vmx_insn";

#define HIGH_PA     BIT(55)             /* beyond any physical-address width */
#define NO_RAM      BIT(35)

static void check_error(u32 result, u32 error, const char *what)
{
    check_eq(result, VM_VALID, "%s: VMfailValid", what);
    if (result == VM_VALID) {
        check_eq(vm_error(), error, "%s: VM-instruction error %u", what, error);
    }
}

/* Each of these is #UD out of VMX operation (or with CR4.VMXE = 0). */
static void outside(void)
{
    u64 region = vmx_new_region(), v = 0x1234;
    u32 ud = VM_FAULT(UD);

    check_eq(vmxon(region), ud, "VMXON with CR4.VMXE = 0 is #UD");
    check_eq(vmxoff(), ud, "VMXOFF out of VMX operation is #UD");
    check_eq(vmclear(region), ud, "VMCLEAR out of VMX operation is #UD");
    check_eq(vmptrld(region), ud, "VMPTRLD out of VMX operation is #UD");
    check_eq(vmptrst(&v), ud, "VMPTRST out of VMX operation is #UD");
    check_eq(vmread_res(VMCS_GUEST_RIP, &v), ud, "VMREAD out of VMX operation is #UD");
    check_eq(vmwrite_res(VMCS_GUEST_RIP, 0), ud, "VMWRITE out of VMX operation is #UD");
    check_eq(vmlaunch(), ud, "VMLAUNCH out of VMX operation is #UD");
    check_eq(vmresume(), ud, "VMRESUME out of VMX operation is #UD");
    check_eq(vmcall_root(), ud, "VMCALL out of VMX operation is #UD");
    check_eq(invept(2, 0, 0), ud, "INVEPT out of VMX operation is #UD");
    check_eq(invvpid(2, 0, 0), ud, "INVVPID out of VMX operation is #UD");
    check_eq(v, 0x1234, "an instruction that faults stores nothing");
}

static u32 user_result;
static u64 user_region;

static void user_vmxon(void) { user_result = vmxon(user_region); }
static void user_vmxoff(void) { user_result = vmxoff(); }
static void user_vmclear(void) { user_result = vmclear(user_region); }
static void user_vmptrld(void) { user_result = vmptrld(user_region); }
static void user_vmptrst(void) { u64 v; user_result = vmptrst(&v); }
static void user_vmread(void) { u64 v; user_result = vmread_res(VMCS_GUEST_RIP, &v); }
static void user_vmwrite(void) { user_result = vmwrite_res(VMCS_GUEST_RIP, 1); }
static void user_vmlaunch(void) { user_result = vmlaunch(); }
static void user_vmresume(void) { user_result = vmresume(); }
static void user_vmcall(void) { user_result = vmcall_root(); }
static void user_invept(void) { user_result = invept(2, 0, 0); }
static void user_invvpid(void) { user_result = invvpid(2, 0, 0); }

static void from_user(void)
{
    static const struct { const char *name; void (*fn)(void); } t[] = {
        { "VMXON", user_vmxon }, { "VMXOFF", user_vmxoff }, { "VMCLEAR", user_vmclear },
        { "VMPTRLD", user_vmptrld }, { "VMPTRST", user_vmptrst },
        { "VMREAD", user_vmread }, { "VMWRITE", user_vmwrite },
        { "VMLAUNCH", user_vmlaunch }, { "VMRESUME", user_vmresume },
        { "VMCALL", user_vmcall }, { "INVEPT", user_invept },
        { "INVVPID", user_invvpid },
    };

    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        user_result = ~0u;
        run_user(t[i].fn);
        check_eq(user_result, VM_FAULT(GP), "%s at CPL 3 in VMX root is #GP(0)",
                 t[i].name);
        check_eq(this_cpu()->fault_error, 0, "%s at CPL 3: error code 0", t[i].name);
    }
}

static void vmxon_errors(u64 region)
{
    u32 *bad = (u32 *)vmx_new_region();
    u64 cr0 = read_cr0();

    write_cr4(read_cr4() | CR4_VMXE);
    check_eq(vmxon(region), VM_FAULT(GP), "VMXON with FEATURE_CONTROL 0 is #GP (23.7)");
    wrmsr(MSR_FEATURE_CONTROL, 4);
    check_eq(vmxon(region), VM_FAULT(GP), "VMXON with FEATURE_CONTROL unlocked is #GP");
    write_cr4(read_cr4() & ~CR4_VMXE);
    wrmsr(MSR_FEATURE_CONTROL, 5);
    user_region = region;
    run_user(user_vmxon);
    check_eq(user_result, VM_FAULT(UD), "VMXON at CPL 3 with CR4.VMXE = 0 is #UD first");
    write_cr4(read_cr4() | CR4_VMXE);
    run_user(user_vmxon);
    check_eq(user_result, VM_FAULT(GP), "VMXON at CPL 3 is #GP(0)");
    write_cr0(cr0 & ~CR0_NE);
    check_eq(vmxon(region), VM_FAULT(GP), "VMXON with CR0.NE = 0 is #GP (23.8)");
    write_cr0(cr0);
    check_eq(vmxon(region | 0x800), VM_INVALID, "VMXON: unaligned pointer fails invalid");
    check_eq(vmxon(region | HIGH_PA), VM_INVALID,
             "VMXON: pointer beyond the address width fails invalid");
    check_eq(vmxon(NO_RAM), VM_INVALID, "VMXON: no memory there fails invalid");
    bad[0] ^= 1;
    check_eq(vmxon((u64)bad), VM_INVALID, "VMXON: wrong revision fails invalid");
    bad[0] ^= 1 | BIT(31);
    check_eq(vmxon((u64)bad), VM_INVALID, "VMXON: bit 31 of the revision fails invalid");
    check_eq(vmxon(region), VM_SUCCEED, "VMXON");
    check_eq(vmxon(region), VM_INVALID,
             "VMXON in root without current VMCS fails invalid");
}

/* No current VMCS: VMfailInvalid, whatever the operand. */
static void no_current(u64 region)
{
    u64 v = 0;

    check_eq(vmptrst(&v), VM_SUCCEED, "VMPTRST without current VMCS");
    check_eq(v, ~0ull, "VMPTRST without current VMCS stores all ones");
    check_eq(vmread_res(VMCS_GUEST_RIP, &v), VM_INVALID,
             "VMREAD without current VMCS fails invalid");
    check_eq(vmwrite_res(VMCS_GUEST_RIP, 0), VM_INVALID,
             "VMWRITE without current VMCS fails invalid");
    check_eq(vmlaunch(), VM_INVALID, "VMLAUNCH without current VMCS fails invalid");
    check_eq(vmresume(), VM_INVALID, "VMRESUME without current VMCS fails invalid");
    check_eq(vmcall_root(), VM_INVALID, "VMCALL without current VMCS fails invalid");
    check_eq(vmclear(region), VM_INVALID,
             "VMCLEAR of the VMXON region without current VMCS fails invalid");
    check_eq(vmptrld(1), VM_INVALID,
             "VMPTRLD unaligned without current VMCS fails invalid");
}

static void pointers(u64 region)
{
    u64 a = vmx_new_region(), b = vmx_new_region(), bad = vmx_new_region(), v;

    *(u32 *)bad ^= 2;
    check_eq(vmclear(a), VM_SUCCEED, "VMCLEAR");
    check_eq(vmptrld(a), VM_SUCCEED, "VMPTRLD");
    vmptrst(&v);
    check_eq(v, a, "VMPTRST gives the current VMCS");
    check_error(vmptrld(region), VMX_ERR_VMPTRLD_VMXON, "VMPTRLD of the VMXON region");
    check_error(vmptrld(b | 8), VMX_ERR_VMPTRLD_ADDR, "VMPTRLD unaligned");
    check_error(vmptrld(b | HIGH_PA), VMX_ERR_VMPTRLD_ADDR, "VMPTRLD beyond the width");
    check_error(vmptrld(bad), VMX_ERR_VMPTRLD_REVISION, "VMPTRLD wrong revision");
    check_error(vmptrld(NO_RAM), VMX_ERR_VMPTRLD_REVISION, "VMPTRLD where no memory is");
    check_eq(vmclear(NO_RAM), VM_SUCCEED, "VMCLEAR where no memory is");
    *(u32 *)bad ^= 2 | BIT(31);
    check_error(vmptrld(bad), VMX_ERR_VMPTRLD_REVISION, "VMPTRLD shadow indicator");
    vmptrst(&v);
    check_eq(v, a, "a failing VMPTRLD leaves the current VMCS");
    check_error(vmclear(region), VMX_ERR_VMCLEAR_VMXON, "VMCLEAR of the VMXON region");
    check_error(vmclear(b | 8), VMX_ERR_VMCLEAR_ADDR, "VMCLEAR unaligned");
    check_error(vmclear(b | HIGH_PA), VMX_ERR_VMCLEAR_ADDR, "VMCLEAR beyond the width");
    check_error(vmxon(region), VMX_ERR_VMXON_ROOT, "VMXON in root operation");
    check_error(vmcall_root(), VMX_ERR_VMCALL_ROOT, "VMCALL in root operation");
    check_error(vmresume(), VMX_ERR_VMRESUME_NOT_LAUNCHED, "VMRESUME of a clear VMCS");

    vmwrite(VMCS_GUEST_RIP, 0x1111);
    vmclear(b);
    vmptrld(b);
    vmwrite(VMCS_GUEST_RIP, 0x2222);
    vmptrld(a);
    check_eq(vmread(VMCS_GUEST_RIP), 0x1111, "VMPTRLD switches between two VMCSs");
    vmclear(b);
    vmptrst(&v);
    check_eq(v, a, "VMCLEAR of another VMCS leaves the current one");
    check_eq(vmclear(a), VM_SUCCEED, "VMCLEAR of the current VMCS");
    vmptrst(&v);
    check_eq(v, ~0ull, "VMCLEAR of the current VMCS: no VMCS is current");
    vmptrld(a);
    check_eq(vmread(VMCS_GUEST_RIP), 0x1111, "fields survive VMCLEAR and VMPTRLD");
    /* VMCLEAR flushes: the region in memory is the whole truth (24.11.1). */
    vmclear(a);
    memcpy((void *)bad, (void *)a, PAGE_SIZE);
    vmptrld(bad);
    check_eq(vmread(VMCS_GUEST_RIP), 0x1111, "VMCLEAR writes all data to the region");
    vmclear(bad);
    vmptrld(a);
}

typedef struct Field { u32 encoding, width; } Field;

/* Fields of each width and type, and all that exist without optional features. */
static void field_widths(void)
{
    static const Field t[] = {
        { VMCS_GUEST_CS_SEL, 16 }, { VMCS_HOST_TR_SEL, 16 },
        { VMCS_IO_BITMAP_A, 64 }, { VMCS_LINK_POINTER, 64 }, { VMCS_TSC_OFFSET, 64 },
        { VMCS_PIN_CONTROLS, 32 }, { VMCS_GUEST_TR_LIMIT, 32 },
        { VMCS_HOST_SYSENTER_CS, 32 }, { VMCS_EXCEPTION_BITMAP, 32 },
        { VMCS_CR0_MASK, 64 }, { VMCS_GUEST_RSP, 64 }, { VMCS_HOST_CR3, 64 },
    };
    u64 pattern = 0xfedcba9876543210, v;

    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        u64 want = t[i].width == 64 ? pattern : pattern & (BIT(t[i].width) - 1);

        check_eq(vmwrite_res(t[i].encoding, pattern), VM_SUCCEED, "VMWRITE %x",
                 t[i].encoding);
        v = ~0ull;
        check_eq(vmread_res(t[i].encoding, &v), VM_SUCCEED, "VMREAD %x", t[i].encoding);
        check_eq(v, want, "field %x holds %u bits, zero-extended", t[i].encoding,
                 t[i].width);
    }
}

static void high_access(void)
{
    u64 v;

    vmwrite(VMCS_TSC_OFFSET, 0x1111111122222222);
    check_eq(vmread_res(VMCS_TSC_OFFSET + 1, &v), VM_SUCCEED, "VMREAD of the high half");
    check_eq(v, 0x11111111, "the high half is bits 63:32 (24.11.2)");
    check_eq(vmwrite_res(VMCS_TSC_OFFSET + 1, 0x33333333), VM_SUCCEED,
             "VMWRITE of the high half");
    check_eq(vmread(VMCS_TSC_OFFSET), 0x3333333322222222,
             "VMWRITE of the high half keeps the low half");
}

static void field_errors(void)
{
    static const u32 none[] = {
        0x0ffe, 0x5ffe, 0x7ffe, 0x8000, VMCS_GUEST_CS_SEL + 1, VMCS_GUEST_RIP + 1,
        VMCS_PIN_CONTROLS + 1,
    };
    u64 v = 0x77;

    for (u32 i = 0; i < ARRAY_SIZE(none); i++) {
        check_error(vmread_res(none[i], &v), VMX_ERR_UNSUPPORTED_FIELD,
                    "VMREAD of no field");
        check_error(vmwrite_res(none[i], 0), VMX_ERR_UNSUPPORTED_FIELD,
                    "VMWRITE of no field");
    }
    check_error(vmread_res(BIT(32) | VMCS_GUEST_RIP, &v), VMX_ERR_UNSUPPORTED_FIELD,
                "VMREAD with bits 63:32 of the encoding");
    check_eq(v, 0x77, "a failing VMREAD stores nothing");
    if (rdmsr(MSR_VMX_MISC) & BIT(29)) {
        check_eq(vmwrite_res(VMCS_EXIT_REASON, 5), VM_SUCCEED,
                 "VMX_MISC[29]: VMWRITE to any supported field");
    } else {
        check_error(vmwrite_res(VMCS_EXIT_REASON, 5), VMX_ERR_READ_ONLY_FIELD,
                    "VMWRITE to read-only data");
        check_error(vmwrite_res(VMCS_EXIT_QUALIFICATION, 5), VMX_ERR_READ_ONLY_FIELD,
                    "VMWRITE to the exit qualification");
    }
}

static void field_existence(void)
{
    static const struct { u32 field, control, bits; const char *name; } t[] = {
        { VMCS_VPID, VMCS_SECONDARY_CONTROLS, CPU2_VPID, "VPID" },
        { VMCS_POSTED_INTR_NV, VMCS_PIN_CONTROLS, PIN_POSTED_INTR,
        "notification vector" },
        { VMCS_EPT_POINTER, VMCS_SECONDARY_CONTROLS, CPU2_EPT, "EPT pointer" },
        { VMCS_TSC_MULTIPLIER, VMCS_SECONDARY_CONTROLS, CPU2_TSC_SCALING,
          "TSC multiplier" },
        { VMCS_PLE_GAP, VMCS_SECONDARY_CONTROLS, CPU2_PLE, "PLE gap" },
        { VMCS_PML_ADDR, VMCS_SECONDARY_CONTROLS, CPU2_PML, "PML address" },
        { VMCS_PREEMPTION_TIMER, VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER,
          "preemption timer" },
        { VMCS_VIRTUAL_APIC_ADDR, VMCS_PRIMARY_CONTROLS, CPU_TPR_SHADOW,
          "virtual-APIC address" },
        { VMCS_EOI_EXIT_BITMAP0, VMCS_SECONDARY_CONTROLS, CPU2_VINTR_DELIVERY,
          "EOI-exit bitmap" },
        { VMCS_GUEST_INTR_STATUS, VMCS_SECONDARY_CONTROLS, CPU2_VINTR_DELIVERY,
          "guest interrupt status" },
        { VMCS_GUEST_EFER, VMCS_ENTRY_CONTROLS, ENTRY_LOAD_EFER, "guest IA32_EFER" },
        { VMCS_HOST_PAT, VMCS_EXIT_CONTROLS, EXIT_LOAD_PAT, "host IA32_PAT" },
    };
    u64 v;

    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        check_eq(vmread_res(t[i].field, &v),
                 vmx_may(t[i].control, t[i].bits) ? VM_SUCCEED : VM_VALID,
                 "%s exists if and only if its control may be 1 (B)", t[i].name);
    }
}

static void operand_faults(void)
{
    u64 *noncanonical = (u64 *)BIT(63), *absent = (u64 *)BIT(40);
    u64 before = vmread(VMCS_GUEST_RIP);
    u64 v;

    check_eq(vmptrst(noncanonical), VM_FAULT(GP), "VMPTRST: non-canonical is #GP");
    check_eq(vmptrst(absent), VM_FAULT(PF), "VMPTRST: not-present page is #PF");
    check_eq(vmread_res(VMCS_GUEST_RIP, absent), VM_FAULT(PF),
             "VMREAD to memory: not-present page is #PF");
    check_eq(this_cpu()->fault_cr2, (u64)absent, "VMREAD to memory: CR2");
    check_eq(this_cpu()->fault_error & 3, 2, "VMREAD to memory: a write, not present");
    check_eq(VM_INSN("vmwrite (%[p]), %[e]", [p] "r"(absent), [e] "r"(0x681eull)),
             VM_FAULT(PF), "VMWRITE from memory: not-present page is #PF");
    check_eq(vmread(VMCS_GUEST_RIP), before, "VMWRITE that faults changes nothing");
    v = 0x4444;
    check_eq(VM_INSN("vmwrite (%[p]), %[e]", [p] "r"(&v), [e] "r"(0x681eull)),
             VM_SUCCEED, "VMWRITE from memory");
    check_eq(vmread(VMCS_GUEST_RIP), 0x4444, "VMWRITE from memory: value");
    v = 0;
    check_eq(VM_INSN("vmread %[e], %[f]; movq %[f], (%[p])", [p] "r"(&v),
                     [e] "r"(0x681eull)), VM_SUCCEED, "VMREAD to a register");
    check_eq(v, 0x4444, "VMREAD to a register: value");
    check_eq(VM_INSN("vmptrld (%[p])", [p] "r"(absent)), VM_FAULT(PF),
             "VMPTRLD: not-present page is #PF");
    check_eq(VM_INSN("vmclear (%[p])", [p] "r"(noncanonical)), VM_FAULT(GP),
             "VMCLEAR: non-canonical is #GP");
    check_eq(VM_INSN("invept (%[p]), %[t]", [p] "r"(absent), [t] "r"(2ull)),
             VM_FAULT(PF), "INVEPT: not-present descriptor is #PF");
}

static void inv_instructions(void)
{
    u64 *root = ept_identity();

    if (vmx_ept_cap(EPT_CAP_INVEPT)) {
        check_eq(invept(2, 0, 0), VM_SUCCEED, "INVEPT all contexts");
        check_eq(invept(1, EPTP(root), 0), vmx_ept_cap(EPT_CAP_INVEPT_SINGLE) ?
                 VM_SUCCEED : VM_VALID, "INVEPT single context as EPT_VPID_CAP[25] says");
        check_error(invept(0, EPTP(root), 0), VMX_ERR_INVEPT_OPERAND, "INVEPT type 0");
        check_error(invept(3, EPTP(root), 0), VMX_ERR_INVEPT_OPERAND, "INVEPT type 3");
        check_error(VM_INSN("invept (%[p]), %[t]", [p] "r"(BIT(40)), [t] "r"(3ull)),
                    VMX_ERR_INVEPT_OPERAND,
                    "INVEPT of a bad type does not read its descriptor");
        check_error(invept(1, EPTP(root) ^ 1, 0), VMX_ERR_INVEPT_OPERAND,
                    "INVEPT of an EPTP that VM entry would refuse");
    } else {
        check_eq(invept(2, 0, 0), VM_FAULT(UD), "INVEPT not offered is #UD");
    }
    if (!vmx_ept_cap(EPT_CAP_INVVPID)) {
        check_eq(invvpid(2, 0, 0), VM_FAULT(UD), "INVVPID not offered is #UD");
        return;
    }
    for (u64 type = 0; type < 4; type++) {
        check_eq(invvpid(type, 1, 0x1000), vmx_ept_cap(BIT(40 + type)) ?
                 VM_SUCCEED : VM_VALID, "INVVPID type %u as EPT_VPID_CAP says",
                 (u32)type);
    }
    check_error(invvpid(4, 1, 0), VMX_ERR_INVEPT_OPERAND, "INVVPID type 4");
    check_error(VM_INSN("invvpid (%[p]), %[t]", [p] "r"(BIT(40)), [t] "r"(4ull)),
                VMX_ERR_INVEPT_OPERAND,
                "INVVPID of a bad type does not read its descriptor");
    check_error(invvpid(1, 0, 0), VMX_ERR_INVEPT_OPERAND,
                "INVVPID single context, VPID 0");
    check_error(invvpid(1, 1 | BIT(16), 0), VMX_ERR_INVEPT_OPERAND,
                "INVVPID descriptor bits 63:16");
    check_error(invvpid(0, 1, BIT(63)), VMX_ERR_INVEPT_OPERAND,
                "INVVPID individual address, non-canonical");
}

/* MOV SS blocks VM entry (error 26), checked before the controls. */
static void mov_ss_blocking(void)
{
    u32 r = VM_INSN("movl %%ss, %k[f]; movl %k[f], %%ss; vmlaunch", "i"(0));

    check_error(r, VMX_ERR_MOV_SS, "VMLAUNCH after MOV SS");
}

void test_main(void)
{
    u64 region;

    if (!vmx_supported()) {
        panic("no VMX");
    }
    outside();
    region = vmx_new_region();
    vmxon_errors(region);
    user_region = vmx_new_region();
    from_user();
    no_current(region);
    pointers(region);
    field_widths();
    high_access();
    field_errors();
    field_existence();
    operand_faults();
    inv_instructions();
    mov_ss_blocking();
    check_eq(vmxoff(), VM_SUCCEED, "VMXOFF");
    check_eq(vmxoff(), VM_FAULT(UD), "VMXOFF twice is #UD");
    check_eq(vmxon(region), VM_SUCCEED, "VMXON again");
    check_eq(vmxoff(), VM_SUCCEED, "VMXOFF again");
}
