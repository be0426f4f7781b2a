/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the processor says of itself: CPUID, the VMX capability MSRs and their
 * mutual consistency (SDM vol. 3, appendix A), IA32_FEATURE_CONTROL, CR4.VMXE.
 */
#include "vmx.h"

const char test_name[] = "cpuid_msr";

static void cpuid_bits(void)
{
    Cpuid c = cpuid(0, 0);

    check(c.b == 0x756e6547 && c.d == 0x49656e69 && c.c == 0x6c65746e,
          "CPUID.0: GenuineIntel");
    check_eq(cpuid(1, 0).c >> 5 & 1, 1, "CPUID.1.ECX[5]: VMX");
    check_eq(cpuid(1, 0).c >> 6 & 1, 0, "CPUID.1.ECX[6]: SMX is not offered");
    check_eq(cpuid(1, 0).c >> 21 & 1, 1, "CPUID.1.ECX[21]: x2APIC");
    check_eq(cpuid(1, 0).c >> 26 & 1, 1, "CPUID.1.ECX[26]: XSAVE");
    check_eq(cpuid(1, 0).d >> 27 & 1, 1, "CPUID.1.EDX[27]: self-snoop");
    check_eq(cpuid(7, 0).c >> 28 & 1, 1, "CPUID.7.ECX[28]: MOVDIR64B");
    check_eq(cpuid(0x80000001, 0).c >> 2 & 1, 0,
             "CPUID.80000001.ECX[2]: no SVM together with VMX");
    check_eq(cpuid(0x80000001, 0).d >> 27 & 1, 1, "CPUID.80000001.EDX[27]: RDTSCP");
}

static void basic_msr(void)
{
    u64 v = rdmsr(MSR_VMX_BASIC);

    check_eq(v >> 31 & 1, 0, "VMX_BASIC[31]: 0 (A.1)");
    check((v >> 32 & 0x1fff) <= 4096 && (v >> 32 & 0x1fff),
          "VMX_BASIC[44:32]: region size is 1 to 4096 (A.1)");
    check_eq(v >> 45 & 7, 0, "VMX_BASIC[47:45]: reserved (A.1)");
    check_eq(v >> 48 & 1, 0, "VMX_BASIC[48]: no 32-bit limit with Intel 64 (A.1)");
    check_eq(v >> 50 & 15, 6, "VMX_BASIC[53:50]: write-back (A.1)");
    check_eq(v >> 55 & 1, 1, "VMX_BASIC[55]: TRUE control MSRs exist (A.1)");
}

static void control_msr(const char *name, u32 legacy, u32 truth, u32 default1)
{
    u64 l = rdmsr(legacy), t = rdmsr(truth);

    check_eq((u32)l & default1, default1, "%s: default1 bits are 1 (A.2)", name);
    check_eq((u32)l & ~(u32)(l >> 32), 0, "%s: allowed-0 within allowed-1", name);
    check_eq((u32)t & ~(u32)(t >> 32), 0, "TRUE %s: allowed-0 within allowed-1", name);
    check_eq(t >> 32, l >> 32, "TRUE %s: the same allowed-1 as %s", name, name);
    check_eq((u32)t & ~(u32)l, 0, "TRUE %s: fixed-1 bits are fixed in %s", name, name);
    check_eq((u32)(l & ~t) & ~default1, 0,
             "%s: only default1 bits differ from the TRUE MSR", name);
}

static void control_msrs(void)
{
    u32 sec;

    control_msr("PIN", MSR_VMX_PIN, MSR_VMX_TRUE_PIN, 0x16);
    control_msr("PRIMARY", MSR_VMX_PRIMARY, MSR_VMX_TRUE_PRIMARY, 0x0401e172);
    control_msr("EXIT", MSR_VMX_EXIT, MSR_VMX_TRUE_EXIT, 0x00036dff);
    control_msr("ENTRY", MSR_VMX_ENTRY, MSR_VMX_TRUE_ENTRY, 0x000011ff);
    check(rdmsr(MSR_VMX_PIN) >> 48 == 0, "PIN: allowed-1 above bit 15 is 0");
    check(vmx_may(VMCS_PIN_CONTROLS, PIN_EXT_INTR | PIN_NMI),
          "PIN: external-interrupt and NMI exiting");
    check(vmx_may(VMCS_PRIMARY_CONTROLS,
                  CPU_INTR_WINDOW | CPU_TSC_OFFSETTING | CPU_HLT | CPU_INVLPG |
                  CPU_MWAIT | CPU_RDPMC | CPU_CR3_LOAD | CPU_CR3_STORE | CPU_CR8_LOAD |
                  CPU_CR8_STORE | CPU_MOV_DR | CPU_UNCOND_IO | CPU_MONITOR |
                  CPU_MSR_BITMAPS | CPU_TPR_SHADOW | CPU_SECONDARY),
          "PRIMARY: what kvm_intel needs");
    check(!((u32)rdmsr(MSR_VMX_TRUE_PRIMARY) & (CPU_CR3_LOAD | CPU_CR3_STORE)),
          "TRUE PRIMARY: CR3 exiting may be 0");
    check(vmx_may(VMCS_EXIT_CONTROLS, EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_ACK_INTR),
          "EXIT: save debug controls, 64-bit host, acknowledge interrupt");
    check(vmx_may(VMCS_ENTRY_CONTROLS, ENTRY_LOAD_DEBUG | ENTRY_IA32E),
          "ENTRY: load debug controls, IA-32e guest");
    check_eq((u32)rdmsr(MSR_VMX_SECONDARY), 0, "SECONDARY: allowed-0 is 0 (A.3.3)");
    sec = CPU2_EPT | CPU2_UNRESTRICTED | CPU2_APIC_REGISTER | CPU2_VINTR_DELIVERY |
          CPU2_X2APIC;
    check(vmx_may(VMCS_SECONDARY_CONTROLS, sec),
          "SECONDARY: EPT, unrestricted guest, APICv");
    check(vmx_may(VMCS_PIN_CONTROLS, PIN_POSTED_INTR), "PIN: posted interrupts");
    check(!vmx_may(VMCS_PRIMARY_CONTROLS, CPU_NMI_WINDOW) ||
          vmx_may(VMCS_PIN_CONTROLS, PIN_VIRTUAL_NMIS),
          "NMI-window exiting comes with virtual NMIs (26.2.1.1)");
    check(!vmx_may(VMCS_EXIT_CONTROLS, EXIT_SAVE_TIMER) ||
          vmx_may(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER),
          "save of the preemption timer comes with the timer (26.2.1.2)");
}

static void paired_controls(void)
{
    static const struct { u8 entry, exit; const char *name; } pair[] = {
        { 13, 12, "IA32_PERF_GLOBAL_CTRL" }, { 14, 19, "IA32_PAT" },
        { 15, 21, "IA32_EFER" }, { 16, 23, "IA32_BNDCFGS" },
        { 18, 25, "IA32_RTIT_CTL" }, { 20, 28, "CET" },
    };
    u64 entry = rdmsr(MSR_VMX_ENTRY) >> 32, exit = rdmsr(MSR_VMX_EXIT) >> 32;

    for (u32 i = 0; i < ARRAY_SIZE(pair); i++) {
        check_eq(entry >> pair[i].entry & 1, exit >> pair[i].exit & 1,
                 "%s: load on entry and its exit control come as a pair", pair[i].name);
    }
    check_eq(exit >> 18 & 1, exit >> 19 & 1, "IA32_PAT: save and load on exit");
    check_eq(exit >> 20 & 1, exit >> 21 & 1, "IA32_EFER: save and load on exit");
}

static void ept_and_misc(void)
{
    u64 ept = rdmsr(MSR_VMX_EPT_VPID), misc = rdmsr(MSR_VMX_MISC);
    u64 reserved = ~(0x1ull | BIT(6) | BIT(7) | BIT(8) | BIT(14) | BIT(16) | BIT(17) |
                     BIT(20) | BIT(21) | BIT(22) | BIT(23) | BIT(25) | BIT(26) |
                     BIT(32) | 0xfull << 40 | 0x3full << 48);

    check(vmx_ept_cap(EPT_CAP_WALK4 | EPT_CAP_WB | EPT_CAP_INVEPT |
                      EPT_CAP_INVEPT_GLOBAL),
          "EPT_VPID_CAP: 4 levels, write-back, INVEPT all contexts");
    check(vmx_ept_cap(EPT_CAP_AD), "EPT_VPID_CAP[21]: accessed and dirty flags");
    check_eq(ept & reserved, 0, "EPT_VPID_CAP: reserved bits (A.10)");
    check_eq(!!(ept >> 32), vmx_may(VMCS_SECONDARY_CONTROLS, CPU2_VPID),
             "EPT_VPID_CAP[63:32]: not zero if and only if VPID is offered (A.10)");
    check(!vmx_may(VMCS_SECONDARY_CONTROLS, CPU2_UNRESTRICTED) || misc & BIT(5),
          "VMX_MISC[5] is 1 with unrestricted guest (A.6)");
    check_eq(misc & (0x3eull << 8 | BIT(31)), 0, "VMX_MISC: reserved bits (A.6)");
    check((misc >> 16 & 0x1ff) <= 256, "VMX_MISC[24:16]: at most 256 CR3 targets");
    check(misc & BIT(6), "VMX_MISC[6]: the HLT activity state");
}

static void fixed_bits(void)
{
    u64 f0 = rdmsr(MSR_VMX_CR0_FIXED0), f1 = rdmsr(MSR_VMX_CR0_FIXED1);
    u64 enumeration = rdmsr(MSR_VMX_ENUM);

    check_eq(f0, CR0_PE | CR0_NE | CR0_PG, "CR0_FIXED0: PE, NE, PG (A.7)");
    check_eq(f1 & 0xe005003f, 0xe005003f, "CR0_FIXED1: all defined bits (A.7)");
    f0 = rdmsr(MSR_VMX_CR4_FIXED0);
    f1 = rdmsr(MSR_VMX_CR4_FIXED1);
    check_eq(f0, CR4_VMXE, "CR4_FIXED0: VMXE (A.8)");
    check_eq(f0 & ~f1, 0, "CR4_FIXED1 contains CR4_FIXED0 (A.8)");
    check_eq(f1 & (CR4_PAE | CR4_MCE | CR4_VMXE | CR4_OSXSAVE),
             CR4_PAE | CR4_MCE | CR4_VMXE | CR4_OSXSAVE,
             "CR4_FIXED1: PAE, MCE, VMXE, OSXSAVE");
    check_eq(f1 >> 16 & 1, cpuid(7, 0).b & 1, "CR4_FIXED1[16] follows CPUID FSGSBASE");
    check_eq(f1 >> 20 & 1, cpuid(7, 0).b >> 7 & 1, "CR4_FIXED1[20] follows CPUID SMEP");
    check_eq(f1 >> 21 & 1, cpuid(7, 0).b >> 20 & 1, "CR4_FIXED1[21] follows CPUID SMAP");
    check_eq(f1 >> 14 & 1, 0, "CR4_FIXED1[14]: SMXE is not supported");
    check_eq(enumeration & ~0x3feull, 0, "VMCS_ENUM: reserved bits (A.9)");
    check((enumeration >> 1 & 0x1ff) >= (VMCS_PREEMPTION_TIMER >> 1 & 0x1ff),
          "VMCS_ENUM: at least the index of the preemption timer (A.9)");
}

static void read_only(void)
{
    for (u32 msr = MSR_VMX_BASIC; msr <= MSR_VMX_TRUE_ENTRY; msr++) {
        u64 v;

        check_eq(rdmsr_safe(msr, &v), NO_FAULT, "MSR %x: readable", msr);
        check_eq(wrmsr_safe(msr, v), GP, "MSR %x: WRMSR is #GP (A)", msr);
    }
}

static u64 other[32];

static void read_caps(void *arg)
{
    u64 *out = arg;

    for (u32 i = 0; i <= MSR_VMX_TRUE_ENTRY - MSR_VMX_BASIC; i++) {
        out[i] = rdmsr(MSR_VMX_BASIC + i);
    }
}

static void all_cpus_alike(void)
{
    static u64 mine[32];

    read_caps(mine);
    smp_call(1, read_caps, other);
    check(!memcmp(mine, other, sizeof(mine)), "CPU 1 reports the same VMX MSRs");
}

static void cr4_vmxe(void)
{
    u64 cr4 = read_cr4();

    check_eq(write_cr4_safe(cr4 | CR4_VMXE), NO_FAULT, "CR4.VMXE can be set");
    check_eq(read_cr4(), cr4 | CR4_VMXE, "CR4.VMXE reads back");
    check_eq(write_cr4_safe(cr4), NO_FAULT,
             "CR4.VMXE can be cleared out of VMX operation");
    check_eq(write_cr4_safe(cr4 | BIT(14)), GP, "CR4.SMXE without SMX is #GP");
    check_eq(write_cr4_safe(cr4 | BIT(63)), GP, "CR4[63] is #GP");
    check_eq(read_cr4(), cr4, "a faulting MOV to CR4 changes nothing");
}

static u32 locked_off_vmxon, locked_off_lock;

/* On CPU 1, whose lock then stays without VMX. */
static void lock_without_vmx(void *arg)
{
    u64 region = vmx_new_region();

    wrmsr(MSR_FEATURE_CONTROL, 1);
    locked_off_lock = wrmsr_safe(MSR_FEATURE_CONTROL, 5);
    write_cr4(read_cr4() | CR4_VMXE);
    locked_off_vmxon = vmxon(region);
    write_cr4(read_cr4() & ~CR4_VMXE);
}

static void feature_control(void)
{
    u64 region = vmx_new_region(), v;

    check_eq(rdmsr_safe(MSR_FEATURE_CONTROL, &v), NO_FAULT,
             "FEATURE_CONTROL is readable");
    check_eq(v, 0, "FEATURE_CONTROL is 0 after reset");
    write_cr4(read_cr4() | CR4_VMXE);
    check_eq(vmxon(region), VM_FAULT(GP), "VMXON with the lock bit 0 is #GP (23.7)");
    check_eq(wrmsr_safe(MSR_FEATURE_CONTROL, 4), NO_FAULT, "unlocked: writable");
    check_eq(vmxon(region), VM_FAULT(GP), "VMXON with bit 2 but unlocked is #GP (23.7)");
    check_eq(wrmsr_safe(MSR_FEATURE_CONTROL, 5), NO_FAULT, "locking succeeds");
    check_eq(rdmsr(MSR_FEATURE_CONTROL), 5, "FEATURE_CONTROL reads back");
    check_eq(wrmsr_safe(MSR_FEATURE_CONTROL, 5), GP,
             "locked: WRMSR is #GP, even of the same value (23.7)");
    check_eq(wrmsr_safe(MSR_FEATURE_CONTROL, 0), GP, "locked: cannot be unlocked");
    check_eq(vmxon(region), VM_SUCCEED, "VMXON with lock and bit 2 (23.7)");
    check_eq(write_cr4_safe(read_cr4() & ~CR4_VMXE), GP,
             "in VMX operation CR4.VMXE cannot be cleared (23.8)");
    check_eq(write_cr0_safe(read_cr0() & ~CR0_NE), GP,
             "in VMX operation CR0.NE cannot be cleared (23.8)");
    check_eq(write_cr0_safe(read_cr0() & ~CR0_PG), GP,
             "in VMX operation CR0.PG cannot be cleared (23.8)");
    check_eq(vmxoff(), VM_SUCCEED, "VMXOFF");
    check_eq(write_cr4_safe(read_cr4() & ~CR4_VMXE), NO_FAULT,
             "after VMXOFF CR4.VMXE can be cleared");
    smp_call(1, lock_without_vmx, NULL);
    check_eq(locked_off_lock, GP, "locked without bit 2: WRMSR is #GP");
    check_eq(locked_off_vmxon, VM_FAULT(GP), "locked without bit 2: VMXON is #GP (23.7)");
}

/* Registers of the local APIC in x2APIC mode, bit n: MSR 800H + n (table 10-6). */
#define X2APIC_READ     0x43fd01ffffffa50cull
#define X2APIC_WRITE    0xc1fd010000008900ull

static void x2apic_registers(void *arg)
{
    u64 base = rdmsr(MSR_APIC_BASE), v;

    wrmsr(MSR_APIC_BASE, base | BIT(10));
    for (u32 reg = 0; reg < 64; reg++) {
        bool may_read = X2APIC_READ >> reg & 1, may_write = X2APIC_WRITE >> reg & 1;

        check_eq(rdmsr_safe(0x800 + reg, &v), may_read ? NO_FAULT : GP,
                 "RDMSR of x2APIC register %x (10.12.1.2)", reg);
        if (!may_write) {
            check_eq(wrmsr_safe(0x800 + reg, 0), GP,
                     "WRMSR of x2APIC register %x (10.12.1.2)", reg);
        }
    }
    check_eq(wrmsr_safe(0x80b, 1), GP, "x2APIC: EOI must be 0");
    check_eq(wrmsr_safe(0x808, 0x100), GP, "x2APIC: reserved bits of TPR");
    check_eq(wrmsr_safe(0x80b, 0), NO_FAULT, "x2APIC: EOI");
    check_eq(wrmsr_safe(0x828, 0), NO_FAULT, "x2APIC: ESR");
}

static void cr4_without_feature(void)
{
    if (cpuid(1, 0).c & BIT(17)) {
        check_skip("PCID is there", "CR4 bit of a feature that is not");
        return;
    }
    check_eq(rdmsr(MSR_VMX_CR4_FIXED1) >> 17 & 1, 0, "CR4_FIXED1: no PCID, no PCIDE");
    check_eq(write_cr4_safe(read_cr4() | BIT(17)), GP, "CR4.PCIDE without PCID (2.5)");
}

void test_main(void)
{
    cpuid_bits();
    if (!vmx_supported()) {
        panic("no VMX");
    }
    smp_start();
    basic_msr();
    control_msrs();
    paired_controls();
    ept_and_misc();
    fixed_bits();
    read_only();
    all_cpus_alike();
    cr4_vmxe();
    cr4_without_feature();
    feature_control();
    smp_call(1, x2apic_registers, NULL);
}
