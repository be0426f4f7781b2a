/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM entry: the life cycle of a VMCS, failures of the checks on controls (7),
 * host state (8) and guest state (33), MSR lists, what an exit leaves.
 * Section numbers are those of the SDM, vol. 3 (26: VM entries).
 */
#include "vmx.h"

const char test_name[] = "vmx_entry";

#define HIGH_PA         BIT(55)
#define NONCANONICAL    BIT(63)

static Vm vm;

static void g_nothing(void)
{
}

static void life_cycle(void)
{
    u64 v;

    check_eq(vm_start(&vm, g_nothing), VMX_EXIT_VMCALL, "VMLAUNCH runs the guest");
    check(vm_ended(&vm), "the guest's RAX is its VMCALL's");
    check_eq(vmread(VMCS_EXIT_INSN_LEN), 3, "VMCALL: instruction length 3");
    vm_skip();
    check_eq(vm_run(&vm), VMX_EXIT_VMCALL, "VMRESUME goes on");
    vm.launched = false;
    check_eq(vm_enter(&vm), VM_VALID, "VMLAUNCH of a launched VMCS fails");
    check_eq(vm_error(), VMX_ERR_VMLAUNCH_NOT_CLEAR, "VMLAUNCH of a launched VMCS: 4");
    vmclear(vm.vmcs);
    vmptrld(vm.vmcs);
    vm.launched = true;
    check_eq(vm_enter(&vm), VM_VALID, "VMRESUME after VMCLEAR fails");
    check_eq(vm_error(), VMX_ERR_VMRESUME_NOT_LAUNCHED, "VMRESUME after VMCLEAR: 5");
    vm.launched = false;
    check_eq(vm_start(&vm, g_nothing), VMX_EXIT_VMCALL, "VMLAUNCH after VMCLEAR");
    v = vmx_new_region();
    vmclear(v);
    vmptrld(v);
    vmptrld(vm.vmcs);
    vm_skip();
    check_eq(vm_run(&vm), VMX_EXIT_VMCALL, "the launch state survives VMPTRLD of others");
}

/* What VM exits load (27.5). */
static void host_state_loaded(void)
{
    struct __attribute__((packed)) { u16 limit; u64 base; } gdtr, idtr;
    u16 ldt = 1;
    u32 lim = 0;

    asm volatile("movq %0, %%dr7" : : "r"(0x401ull));
    vm_start(&vm, g_nothing);
    asm volatile("sgdt %0" : "=m"(gdtr));
    asm volatile("sidt %0" : "=m"(idtr));
    asm volatile("sldt %0" : "=r"(ldt));
    asm volatile("lsl %1, %0" : "+r"(lim) : "r"((u32)SEL_TSS));
    check_eq(read_dr7(), 0x400, "exit: DR7 is 400H (27.5.1)");
    check_eq(read_flags() & ~(u64)(FLAGS_ARITH), 2, "exit: RFLAGS is 2 (27.5.3)");
    check_eq(gdtr.base, (u64)this_cpu()->gdt, "exit: GDTR base");
    check_eq(gdtr.limit, 0xffff, "exit: GDTR limit FFFFH (27.5.2)");
    check_eq(idtr.base, (u64)idt, "exit: IDTR base");
    check_eq(idtr.limit, 0xffff, "exit: IDTR limit FFFFH (27.5.2)");
    check_eq(ldt, 0, "exit: LDTR is null (27.5.2)");
    check_eq(read_cr4() & CR4_VMXE, CR4_VMXE, "exit: CR4.VMXE");
    check_eq(rdmsr(MSR_GS_BASE), (u64)this_cpu(), "exit: GS base");
    check_eq(rdmsr(MSR_EFER) >> 8 & 5, 5, "exit: EFER.LMA, LME with a 64-bit host");
}

/* One field gets @value, entry must fail as said, the field is restored. */
static void expect_error(u32 field, u64 value, u32 error, const char *rule)
{
    u64 old = vmread(field);
    u32 r;

    vmwrite(field, value);
    r = vm_enter(&vm);
    if (check_eq(r, VM_VALID, "%s: VMfailValid", rule)) {
        check_eq(vm_error(), error, "%s: error %u", rule, error);
    } else if (r == VM_EXITED) {
        print("# exit reason %x\n", vm_reason());
        vmclear(vm.vmcs);
        vmptrld(vm.vmcs);
        vm.launched = false;
    }
    vmwrite(field, old);
}

static void expect_control(u32 field, u64 value, const char *rule)
{
    expect_error(field, value, VMX_ERR_BAD_CONTROLS, rule);
}

/* The same with one control bit on while it is tried; skipped if not offered. */
static void expect_with(u32 control, u32 bits, u32 field, u64 value, const char *rule)
{
    u64 old = vmread(control);

    if (!vmx_may(control, bits)) {
        check_skip("control not offered", "%s", rule);
        return;
    }
    vmwrite(control, old | bits);
    expect_control(field, value, rule);
    vmwrite(control, old);
}

static void reserved_controls(void)
{
    static const struct { u32 field, msr; const char *name; } t[] = {
        { VMCS_PIN_CONTROLS, MSR_VMX_TRUE_PIN, "pin-based" },
        { VMCS_PRIMARY_CONTROLS, MSR_VMX_TRUE_PRIMARY, "primary" },
        { VMCS_SECONDARY_CONTROLS, MSR_VMX_SECONDARY, "secondary" },
        { VMCS_EXIT_CONTROLS, MSR_VMX_TRUE_EXIT, "exit" },
        { VMCS_ENTRY_CONTROLS, MSR_VMX_TRUE_ENTRY, "entry" },
    };

    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        u64 cap = rdmsr(t[i].msr), now = vmread(t[i].field);
        u32 must = cap, never = ~(u32)(cap >> 32);

        print("# %s controls\n", t[i].name);
        if (must) {
            expect_control(t[i].field, now & ~(must & -must), "a fixed-1 control is 0");
        }
        if (never) {
            expect_control(t[i].field, now | (never & -never), "a fixed-0 control is 1");
            expect_control(t[i].field, now | BIT(31 - __builtin_clz(never)),
                           "a fixed-0 control is 1, high");
        }
    }
}

static void control_addresses(void)
{
    u64 page = (u64)page_alloc();

    expect_control(VMCS_CR3_TARGET_COUNT, (rdmsr(MSR_VMX_MISC) >> 16 & 0x1ff) + 1,
                   "CR3-target count above VMX_MISC[24:16] (26.2.1.1)");
    expect_control(VMCS_MSR_BITMAP, page | 0x10, "MSR bitmap unaligned (26.2.1.1)");
    expect_control(VMCS_MSR_BITMAP, page | HIGH_PA, "MSR bitmap too high (26.2.1.1)");
    vmwrite(VMCS_IO_BITMAP_A, page);
    vmwrite(VMCS_IO_BITMAP_B, page);
    expect_with(VMCS_PRIMARY_CONTROLS, CPU_IO_BITMAPS, VMCS_IO_BITMAP_A, page | 1,
                "I/O bitmap A unaligned (26.2.1.1)");
    expect_with(VMCS_PRIMARY_CONTROLS, CPU_IO_BITMAPS, VMCS_IO_BITMAP_B, page | HIGH_PA,
                "I/O bitmap B too high (26.2.1.1)");
    expect_with(VMCS_EXIT_CONTROLS, 0, VMCS_EPT_POINTER, EPTP(vm.ept) ^ 7,
                "EPTP memory type 1 (26.2.1.1)");
    expect_control(VMCS_EPT_POINTER, EPTP(vm.ept) ^ 8, "EPTP walk length 3 (26.2.1.1)");
    expect_control(VMCS_EPT_POINTER, EPTP(vm.ept) | BIT(8), "EPTP[8] (26.2.1.1)");
    expect_control(VMCS_EPT_POINTER, EPTP(vm.ept) | HIGH_PA, "EPTP too high (26.2.1.1)");
    expect_control(VMCS_SECONDARY_CONTROLS, vmread(VMCS_SECONDARY_CONTROLS) & ~CPU2_EPT,
                   "unrestricted guest without EPT (26.2.1.1)");
    vmwrite(VMCS_EXIT_MSR_STORE_ADDR, page | 8);
    expect_control(VMCS_EXIT_MSR_STORE_COUNT, 1,
                   "exit MSR-store area unaligned (26.2.1.2)");
    vmwrite(VMCS_EXIT_MSR_LOAD_ADDR, page | HIGH_PA);
    expect_control(VMCS_EXIT_MSR_LOAD_COUNT, 1, "exit MSR-load area too high (26.2.1.2)");
    vmwrite(VMCS_ENTRY_MSR_LOAD_ADDR, page | 1);
    expect_control(VMCS_ENTRY_MSR_LOAD_COUNT, 1,
                   "entry MSR-load area unaligned (26.2.1.3)");
    expect_with(VMCS_SECONDARY_CONTROLS, CPU2_VPID, VMCS_VPID, 0, "VPID 0 (26.2.1.1)");
    expect_with(VMCS_PIN_CONTROLS, PIN_VIRTUAL_NMIS, VMCS_PIN_CONTROLS,
                (vmread(VMCS_PIN_CONTROLS) | PIN_VIRTUAL_NMIS) & ~PIN_NMI,
                "virtual NMIs without NMI exiting (26.2.1.1)");
    expect_with(VMCS_PRIMARY_CONTROLS, CPU_NMI_WINDOW, VMCS_VPID, 0,
                "NMI-window exiting without virtual NMIs (26.2.1.1)");
    expect_with(VMCS_EXIT_CONTROLS, EXIT_SAVE_TIMER, VMCS_VPID, 0,
                "save of the preemption timer without the timer (26.2.1.2)");
}

static void apic_controls(void)
{
    u32 sec = vmread(VMCS_SECONDARY_CONTROLS), pri = vmread(VMCS_PRIMARY_CONTROLS);
    u32 pin = vmread(VMCS_PIN_CONTROLS), exit = vmread(VMCS_EXIT_CONTROLS);
    u64 page = (u64)page_alloc(), desc = (u64)page_alloc();

    if (!vmx_may(VMCS_PRIMARY_CONTROLS, CPU_TPR_SHADOW)) {
        check_skip("no TPR shadow", "controls of APIC virtualisation");
        return;
    }
    expect_with(VMCS_SECONDARY_CONTROLS, CPU2_X2APIC, VMCS_PRIMARY_CONTROLS, pri,
                "x2APIC virtualisation without TPR shadow (26.2.1.1)");
    expect_with(VMCS_SECONDARY_CONTROLS, CPU2_APIC_REGISTER, VMCS_PRIMARY_CONTROLS, pri,
                "APIC-register virtualisation without TPR shadow (26.2.1.1)");
    expect_with(VMCS_SECONDARY_CONTROLS, CPU2_VINTR_DELIVERY, VMCS_PRIMARY_CONTROLS, pri,
                "virtual-interrupt delivery without TPR shadow (26.2.1.1)");
    vmwrite(VMCS_PRIMARY_CONTROLS, pri | CPU_TPR_SHADOW);
    vmwrite(VMCS_VIRTUAL_APIC_ADDR, page);
    vmwrite(VMCS_TPR_THRESHOLD, 0);
    expect_control(VMCS_VIRTUAL_APIC_ADDR, page | 0x80, "virtual APIC unaligned");
    expect_control(VMCS_VIRTUAL_APIC_ADDR, page | HIGH_PA, "virtual APIC too high");
    expect_control(VMCS_TPR_THRESHOLD, 0x10, "TPR threshold bits 31:4 (26.2.1.1)");
    expect_control(VMCS_TPR_THRESHOLD, 1, "TPR threshold above VTPR (26.2.1.1)");
    if (vmx_may(VMCS_SECONDARY_CONTROLS, CPU2_APIC_ACCESS)) {
        expect_with(VMCS_SECONDARY_CONTROLS, CPU2_APIC_ACCESS, VMCS_APIC_ACCESS_ADDR,
                    page | 8, "APIC-access address unaligned (26.2.1.1)");
        expect_control(VMCS_SECONDARY_CONTROLS, sec | CPU2_APIC_ACCESS | CPU2_X2APIC,
                       "APIC accesses and x2APIC mode together (26.2.1.1)");
    }
    if (!vmx_may(VMCS_SECONDARY_CONTROLS, CPU2_VINTR_DELIVERY)) {
        check_skip("no virtual-interrupt delivery", "controls of posted interrupts");
        return;
    }
    vmwrite(VMCS_SECONDARY_CONTROLS, sec | CPU2_VINTR_DELIVERY);
    expect_control(VMCS_PIN_CONTROLS, pin & ~PIN_EXT_INTR,
                   "virtual-interrupt delivery without interrupt exiting (26.2.1.1)");
    if (vmx_may(VMCS_PIN_CONTROLS, PIN_POSTED_INTR)) {
        vmwrite(VMCS_PIN_CONTROLS, pin | PIN_POSTED_INTR);
        vmwrite(VMCS_POSTED_INTR_NV, 0xf2);
        vmwrite(VMCS_POSTED_INTR_DESC, desc);
        expect_control(VMCS_EXIT_CONTROLS, exit & ~EXIT_ACK_INTR,
                       "posted interrupts without acknowledgement (26.2.1.1)");
        vmwrite(VMCS_EXIT_CONTROLS, exit | EXIT_ACK_INTR);
        expect_control(VMCS_SECONDARY_CONTROLS, sec,
                       "posted interrupts without delivery (26.2.1.1)");
        expect_control(VMCS_POSTED_INTR_NV, 0x100, "notification vector 100H (26.2.1.1)");
        expect_control(VMCS_POSTED_INTR_DESC, desc | 32,
                       "descriptor unaligned (26.2.1.1)");
        expect_control(VMCS_POSTED_INTR_DESC, desc | HIGH_PA, "descriptor too high");
    }
    vmwrite(VMCS_PIN_CONTROLS, pin);
    vmwrite(VMCS_PRIMARY_CONTROLS, pri);
    vmwrite(VMCS_SECONDARY_CONTROLS, sec);
    vmwrite(VMCS_EXIT_CONTROLS, exit);
}

/* 26.2.1.3: the interruption information that entry refuses. */
static void injection_controls(void)
{
    static const struct { u32 info, error, len; const char *rule; } t[] = {
        { (1 << 8) | 0x20, 0, 0, "type 1 is reserved" },
        { INTR_TYPE_OTHER | 1, 0, 0, "type 7 with a vector other than 0" },
        { INTR_TYPE_NMI | 3, 0, 0, "NMI with a vector other than 2" },
        { INTR_TYPE_HW_EXC | 32, 0, 0, "hardware exception above 31" },
        { INTR_TYPE_HW_EXC | UD | INTR_DELIVER_ERROR, 0, 0, "#UD with an error code" },
        { INTR_TYPE_HW_EXC | GP, 0, 0, "#GP without error code" },
        { INTR_TYPE_EXT | 0x20 | INTR_DELIVER_ERROR, 0, 0, "interrupt with error code" },
        { INTR_TYPE_HW_EXC | GP | INTR_DELIVER_ERROR, 0x10000, 0,
          "error code with bits 31:16" },
        { INTR_TYPE_HW_EXC | UD | BIT(12), 0, 0, "bit 12 is reserved" },
        { INTR_TYPE_HW_EXC | UD | BIT(30), 0, 0, "bit 30 is reserved" },
        { INTR_TYPE_SOFT_INT | 0x80, 0, 16, "software interrupt of 16 bytes" },
        { INTR_TYPE_SOFT_EXC | 3, 0, 20, "software exception of 20 bytes" },
    };

    bool free_errors = rdmsr(MSR_VMX_BASIC) & BIT(56);

    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        if (free_errors && (i == 4 || i == 5)) {
            check_skip("VMX_BASIC[56]", "%s", t[i].rule);
            continue;
        }
        vmwrite(VMCS_ENTRY_INTR_ERROR, t[i].error);
        vmwrite(VMCS_ENTRY_INSN_LEN, t[i].len);
        print("# VM-entry interruption information (26.2.1.3)\n");
        expect_control(VMCS_ENTRY_INTR_INFO, t[i].info | INTR_VALID, t[i].rule);
    }
    if (!(rdmsr(MSR_VMX_MISC) & BIT(30))) {
        vmwrite(VMCS_ENTRY_INSN_LEN, 0);
        expect_control(VMCS_ENTRY_INTR_INFO, INTR_TYPE_SOFT_INT | 0x80 | INTR_VALID,
                       "software interrupt of 0 bytes without VMX_MISC[30]");
    }
}

static void host_state(void)
{
    static const struct { u32 field; u64 value; const char *rule; } t[] = {
        { VMCS_HOST_CR3, HIGH_PA, "CR3 beyond the width (26.2.2)" },
        { VMCS_HOST_CS_SEL, 0, "CS selector 0 (26.2.3)" },
        { VMCS_HOST_TR_SEL, 0, "TR selector 0 (26.2.3)" },
        { VMCS_HOST_CS_SEL, SEL_CODE64 | 4, "CS selector with TI (26.2.3)" },
        { VMCS_HOST_SS_SEL, SEL_DATA | 3, "SS selector with RPL 3 (26.2.3)" },
        { VMCS_HOST_DS_SEL, SEL_DATA | 1, "DS selector with RPL 1 (26.2.3)" },
        { VMCS_HOST_TR_SEL, SEL_TSS | 4, "TR selector with TI (26.2.3)" },
        { VMCS_HOST_GS_SEL, 3, "GS selector with RPL 3 (26.2.3)" },
        { VMCS_HOST_FS_BASE, NONCANONICAL, "FS base not canonical (26.2.3)" },
        { VMCS_HOST_GS_BASE, NONCANONICAL, "GS base not canonical (26.2.3)" },
        { VMCS_HOST_TR_BASE, NONCANONICAL, "TR base not canonical (26.2.3)" },
        { VMCS_HOST_GDTR_BASE, NONCANONICAL, "GDTR base not canonical (26.2.3)" },
        { VMCS_HOST_IDTR_BASE, NONCANONICAL, "IDTR base not canonical (26.2.3)" },
        { VMCS_HOST_SYSENTER_ESP, NONCANONICAL, "SYSENTER_ESP not canonical (26.2.2)" },
        { VMCS_HOST_SYSENTER_EIP, NONCANONICAL, "SYSENTER_EIP not canonical (26.2.2)" },
        { VMCS_HOST_RIP, NONCANONICAL, "RIP not canonical (26.2.4)" },
        { VMCS_HOST_PAT, 0x0007040600070402, "PAT type 2 (26.2.2)" },
        { VMCS_HOST_PAT, 0x0807040600070406, "PAT type 8 (26.2.2)" },
    };

    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        expect_error(t[i].field, t[i].value, VMX_ERR_BAD_HOST, t[i].rule);
    }
    expect_error(VMCS_HOST_CR0, read_cr0() & ~CR0_NE, VMX_ERR_BAD_HOST,
                 "CR0.NE = 0 (26.2.2)");
    expect_error(VMCS_HOST_CR4, read_cr4() & ~CR4_VMXE, VMX_ERR_BAD_HOST,
                 "CR4.VMXE = 0 (26.2.2)");
    expect_error(VMCS_HOST_CR4, read_cr4() | BIT(14), VMX_ERR_BAD_HOST,
                 "CR4.SMXE is not supported (26.2.2)");
    expect_error(VMCS_HOST_CR4, read_cr4() & ~CR4_PAE, VMX_ERR_BAD_HOST,
                 "64-bit host without CR4.PAE (26.2.4)");
    expect_error(VMCS_HOST_EFER, rdmsr(MSR_EFER) & ~BIT(10), VMX_ERR_BAD_HOST,
                 "EFER.LMA differs from the host size (26.2.2)");
    expect_error(VMCS_HOST_EFER, rdmsr(MSR_EFER) | BIT(1), VMX_ERR_BAD_HOST,
                 "EFER reserved bit (26.2.2)");
    expect_error(VMCS_EXIT_CONTROLS, vmread(VMCS_EXIT_CONTROLS) & ~EXIT_HOST_64,
                 VMX_ERR_BAD_HOST,
                 "64-bit host without host address-space size (26.2.4)");
}

static void expect_guest_qual(u32 field, u64 value, u64 qual, const char *rule)
{
    u64 old = vmread(field);
    u32 r;

    vmwrite(field, value);
    r = vm_enter(&vm);
    check_eq(r, VM_EXITED, "%s: VM exit", rule);
    if (r == VM_EXITED) {
        check_eq(vm_reason(), VMX_EXIT_BAD_GUEST | VMX_EXIT_ENTRY_FAILURE,
                 "%s: reason 33 with bit 31", rule);
        check_eq(vm_qual(), qual, "%s: qualification %u", rule, (u32)qual);
    }
    vmwrite(field, old);
    vmwrite(VMCS_GUEST_RIP, (u64)g_nothing);
}

static void expect_guest(u32 field, u64 value, const char *rule)
{
    expect_guest_qual(field, value, 0, rule);
}

static void guest_registers(void)
{
    u64 efer = rdmsr(MSR_EFER);

    expect_guest(VMCS_GUEST_CR0, read_cr0() & ~CR0_NE, "CR0.NE = 0 (26.3.1.1)");
    expect_guest(VMCS_GUEST_CR0, read_cr0() & ~CR0_PE, "PG without PE (26.3.1.1)");
    expect_guest(VMCS_GUEST_CR0, read_cr0() & ~CR0_PG, "IA-32e without PG (26.3.1.1)");
    expect_guest(VMCS_GUEST_CR4, read_cr4() & ~CR4_VMXE, "CR4.VMXE = 0 (26.3.1.1)");
    expect_guest(VMCS_GUEST_CR4, read_cr4() | BIT(14), "CR4.SMXE (26.3.1.1)");
    expect_guest(VMCS_GUEST_CR4, read_cr4() & ~CR4_PAE, "IA-32e without PAE (26.3.1.1)");
    expect_guest(VMCS_GUEST_CR3, read_cr3() | HIGH_PA, "CR3 too high (26.3.1.1)");
    expect_guest(VMCS_GUEST_DR7, BIT(32) | 0x400, "DR7[63:32] (26.3.1.1)");
    expect_guest(VMCS_GUEST_DEBUGCTL, BIT(20), "DEBUGCTL reserved bit (26.3.1.1)");
    expect_guest(VMCS_GUEST_SYSENTER_ESP, NONCANONICAL, "SYSENTER_ESP (26.3.1.1)");
    expect_guest(VMCS_GUEST_SYSENTER_EIP, NONCANONICAL, "SYSENTER_EIP (26.3.1.1)");
    expect_guest(VMCS_GUEST_PAT, 0x0007040600070403, "PAT type 3 (26.3.1.1)");
    expect_guest(VMCS_GUEST_EFER, efer & ~BIT(10), "EFER.LMA = 0 in IA-32e (26.3.1.1)");
    expect_guest(VMCS_GUEST_EFER, efer & ~BIT(8), "EFER.LME <> LMA with PG (26.3.1.1)");
    expect_guest(VMCS_GUEST_EFER, efer | BIT(2), "EFER reserved bit (26.3.1.1)");
    expect_guest(VMCS_GUEST_RIP, NONCANONICAL | (u64)g_nothing, "RIP (26.3.1.4)");
    expect_guest(VMCS_GUEST_RFLAGS, 0, "RFLAGS[1] = 0 (26.3.1.4)");
    expect_guest(VMCS_GUEST_RFLAGS, 2 | BIT(15), "RFLAGS[15] (26.3.1.4)");
    expect_guest(VMCS_GUEST_RFLAGS, 2 | BIT(40), "RFLAGS[63:22] (26.3.1.4)");
    expect_guest(VMCS_GUEST_RFLAGS, 2 | BIT(17), "RFLAGS.VM in IA-32e (26.3.1.4)");
    expect_guest(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_TYPE_EXT | 0x40,
                 "external interrupt with IF = 0 (26.3.1.4)");
}

static void guest_segments(void)
{
    static const struct { u32 field; u64 value; const char *rule; } t[] = {
        { VMCS_GUEST_TR_SEL, SEL_TSS | 4, "TR selector with TI" },
        { VMCS_GUEST_TR_AR, 0x1008b, "TR unusable" },
        { VMCS_GUEST_TR_AR, 0x89, "TR available, not busy" },
        { VMCS_GUEST_TR_AR, 0x83, "16-bit TSS in IA-32e" },
        { VMCS_GUEST_TR_AR, 0x0b, "TR not present" },
        { VMCS_GUEST_TR_AR, 0x18b, "TR reserved bit 8" },
        { VMCS_GUEST_TR_AR, 0x2008b, "TR reserved bit 17" },
        { VMCS_GUEST_TR_AR, 0x9b, "TR with S = 1" },
        { VMCS_GUEST_TR_AR, 0x808b, "TR granular with a limit of 67H" },
        { VMCS_GUEST_CS_AR, 0xa091, "CS read-only data" },
        { VMCS_GUEST_CS_AR, 0xa09a, "CS not accessed" },
        { VMCS_GUEST_CS_AR, 0xa08b, "CS with S = 0" },
        { VMCS_GUEST_CS_AR, 0xa01b, "CS not present" },
        { VMCS_GUEST_CS_AR, 0xe09b, "CS with L and D" },
        { VMCS_GUEST_CS_AR, 0xa19b, "CS reserved bit 8" },
        { VMCS_GUEST_CS_AR, 0xa0fb, "CS.DPL 3, SS.DPL 0" },
        { VMCS_GUEST_CS_AR, 0x209b, "CS byte granular with a 4 GiB limit" },
        { VMCS_GUEST_SS_AR, 0xc09b, "SS code" },
        { VMCS_GUEST_SS_AR, 0xc013, "SS not present" },
        { VMCS_GUEST_SS_AR, 0xc193, "SS reserved bit" },
        { VMCS_GUEST_ES_AR + 6, 0xc092, "DS not accessed" },
        { VMCS_GUEST_ES_AR + 6, 0xc099, "DS execute-only" },
        { VMCS_GUEST_ES_AR + 6, 0x4093, "DS byte granular with a 4 GiB limit" },
        { VMCS_GUEST_ES_AR, 0xc083, "ES with S = 0" },
        { VMCS_GUEST_ES_BASE, BIT(32), "ES base above 32 bits" },
        { VMCS_GUEST_CS_BASE, BIT(32), "CS base above 32 bits" },
        { VMCS_GUEST_FS_BASE, NONCANONICAL, "FS base not canonical" },
        { VMCS_GUEST_TR_BASE, NONCANONICAL, "TR base not canonical" },
        { VMCS_GUEST_LDTR_AR, 0x8b, "LDTR of another type" },
        { VMCS_GUEST_GDTR_BASE, NONCANONICAL, "GDTR base not canonical" },
        { VMCS_GUEST_IDTR_BASE, NONCANONICAL, "IDTR base not canonical" },
        { VMCS_GUEST_GDTR_LIMIT, 0x10000, "GDTR limit above FFFFH" },
        { VMCS_GUEST_IDTR_LIMIT, 0x10000, "IDTR limit above FFFFH" },
    };

    print("# guest segment and descriptor-table registers (26.3.1.2, 26.3.1.3)\n");
    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        expect_guest(t[i].field, t[i].value, t[i].rule);
    }
}

static void guest_non_registers(void)
{
    expect_guest(VMCS_GUEST_ACTIVITY, 4, "activity state 4 (26.3.1.5)");
    expect_guest(VMCS_GUEST_INTERRUPTIBILITY, BIT(6),
                 "interruptibility bit 6 (26.3.1.5)");
    expect_guest(VMCS_GUEST_INTERRUPTIBILITY, 1, "STI blocking with IF = 0 (26.3.1.5)");
    vmwrite(VMCS_GUEST_RFLAGS, 0x202);
    expect_guest(VMCS_GUEST_INTERRUPTIBILITY, 3, "STI and MOV SS blocking (26.3.1.5)");
    vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_TYPE_EXT | 0x40);
    expect_guest(VMCS_GUEST_INTERRUPTIBILITY, 1,
                 "external interrupt with STI blocking (26.3.1.5)");
    check_eq(vmread(VMCS_ENTRY_INTR_INFO), INTR_VALID | INTR_TYPE_EXT | 0x40,
             "a failed entry leaves the valid bit of the event (26.8)");
    vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_TYPE_NMI | 2);
    expect_guest(VMCS_GUEST_INTERRUPTIBILITY, 2, "NMI with MOV SS blocking (26.3.1.5)");
    vmwrite(VMCS_ENTRY_INTR_INFO, 0);
    vmwrite(VMCS_GUEST_RFLAGS, 2);
    expect_guest(VMCS_GUEST_PENDING_DEBUG, BIT(5), "pending debug bit 5 (26.3.1.5)");
    expect_guest_qual(VMCS_LINK_POINTER, 0x1001, 4,
                      "VMCS link pointer unaligned (26.3.1.5)");
    expect_guest_qual(VMCS_LINK_POINTER, HIGH_PA, 4,
                      "VMCS link pointer too high (26.3.1.5)");
}

/* A 32-bit guest with PAE paging: the PDPTE fields are checked. */
static void guest_pdptes(void)
{
    u32 entry = vmread(VMCS_ENTRY_CONTROLS);
    u64 efer = vmread(VMCS_GUEST_EFER);

    vmwrite(VMCS_ENTRY_CONTROLS, entry & ~ENTRY_IA32E);
    vmwrite(VMCS_GUEST_EFER, 0);
    vmwrite(VMCS_GUEST_CS_AR, 0xc09b);
    for (u32 i = 0; i < 4; i++) {
        vmwrite(VMCS_GUEST_PDPTE0 + 2 * i, 0);
    }
    expect_guest_qual(VMCS_GUEST_PDPTE0 + 4, 7, 2, "PDPTE2 with bits 2:1 (26.3.1.6)");
    expect_guest_qual(VMCS_GUEST_PDPTE0, 1 | HIGH_PA, 2, "PDPTE0 too high (26.3.1.6)");
    vmwrite(VMCS_ENTRY_CONTROLS, entry);
    vmwrite(VMCS_GUEST_EFER, efer);
    vmwrite(VMCS_GUEST_CS_AR, 0xa09b);
}

static void failed_entry_state(void)
{
    vmclear(vm.vmcs);
    vmptrld(vm.vmcs);
    vm.launched = false;
    expect_guest(VMCS_GUEST_ACTIVITY, 5, "VMLAUNCH with a bad activity state");
    vm.launched = true;
    check_eq(vm_enter(&vm), VM_VALID, "a failed VMLAUNCH leaves the VMCS clear (26.8)");
    check_eq(vm_error(), VMX_ERR_VMRESUME_NOT_LAUNCHED, "VMRESUME of it: error 5");
    vm.launched = false;
    check_eq(vm_start(&vm, g_nothing), VMX_EXIT_VMCALL, "after all failures: VMLAUNCH");
    check(vm_ended(&vm), "after all failures: the guest runs");
}

typedef struct MsrEntry { u32 index, reserved; u64 value; } MsrEntry;

static u64 guest_star;

static void g_star(void)
{
    guest_star = rdmsr(MSR_STAR);
    wrmsr(MSR_STAR, 0x7777000000000000);
}

static void msr_lists(void)
{
    MsrEntry *load = page_alloc(), *store = page_alloc(), *host = page_alloc();
    static const struct { u32 msr; const char *rule; } bad[] = {
        { MSR_FS_BASE, "IA32_FS_BASE" }, { MSR_GS_BASE, "IA32_GS_BASE" },
        { 0x808, "an x2APIC MSR" },
    };

    load[0] = (MsrEntry){ MSR_STAR, 0, 0x5555000000000000 };
    store[0] = (MsrEntry){ MSR_STAR, 0, 0 };
    host[0] = (MsrEntry){ MSR_STAR, 0, 0x6666000000000000 };
    vmwrite(VMCS_ENTRY_MSR_LOAD_ADDR, (u64)load);
    vmwrite(VMCS_EXIT_MSR_STORE_ADDR, (u64)store);
    vmwrite(VMCS_EXIT_MSR_LOAD_ADDR, (u64)host);
    vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 1);
    vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 1);
    vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 1);
    vm_start(&vm, g_star);
    check_eq(guest_star, 0x5555000000000000, "entry loads the MSR of its list (26.4)");
    check_eq(store[0].value, 0x7777000000000000, "exit stores the guest's value (27.4)");
    check_eq(rdmsr(MSR_STAR), 0x6666000000000000, "exit loads the host's value (27.6)");
    vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
    vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 0);

    vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 2);
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        load[1] = (MsrEntry){ bad[i].msr, 0, 0 };
        vm_set_entry(&vm, g_nothing);
        check_eq(vm_enter(&vm), VM_EXITED, "MSR-load list with %s: exit", bad[i].rule);
        check_eq(vm_reason(), VMX_EXIT_BAD_MSR_LOAD | VMX_EXIT_ENTRY_FAILURE,
                 "MSR-load list with %s: reason 34 (26.4)", bad[i].rule);
        check_eq(vm_qual(), 2, "MSR-load list with %s: entry 2 (26.8)", bad[i].rule);
    }
    load[1] = (MsrEntry){ MSR_STAR, 1, 0 };
    check_eq(vm_enter(&vm), VM_EXITED, "MSR-load list, reserved bits: exit");
    check_eq(vm_reason(), VMX_EXIT_BAD_MSR_LOAD | VMX_EXIT_ENTRY_FAILURE,
             "MSR-load list, reserved bits: reason 34 (26.4)");
    load[1] = (MsrEntry){ MSR_LSTAR, 0, NONCANONICAL };
    check_eq(vm_enter(&vm), VM_EXITED, "MSR-load list, WRMSR would be #GP: exit");
    check_eq(vm_reason(), VMX_EXIT_BAD_MSR_LOAD | VMX_EXIT_ENTRY_FAILURE,
             "MSR-load list, WRMSR would be #GP: reason 34 (26.4)");
    vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
}

void test_main(void)
{
    if (!vmx_supported()) {
        panic("no VMX");
    }
    vmx_on();
    vm_create(&vm);
    life_cycle();
    host_state_loaded();
    vm_set_entry(&vm, g_nothing);
    reserved_controls();
    control_addresses();
    apic_controls();
    injection_controls();
    host_state();
    vm_set_entry(&vm, g_nothing);
    guest_registers();
    guest_segments();
    guest_non_registers();
    guest_pdptes();
    failed_entry_state();
    msr_lists();
}
