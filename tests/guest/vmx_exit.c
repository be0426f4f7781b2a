/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM exits by instructions of the guest: reason, qualification, length, and
 * what the controls let pass (SDM vol. 3, 25 and 27.2).
 */
#include "vmx.h"

const char test_name[] = "vmx_exit";

static Vm vm;
static volatile u64 seen;

static void expect(void (*fn)(void), u32 reason, u32 len, const char *what)
{
    u32 r = vm_start(&vm, fn);

    check_eq(r, reason, "%s: exit %u", what, reason);
    if (r == reason && len) {
        check_eq(vmread(VMCS_EXIT_INSN_LEN), len, "%s: length %u", what, len);
    }
}

static void expect_qual(void (*fn)(void), u32 reason, u64 qual, const char *what)
{
    expect(fn, reason, 0, what);
    check_eq(vm_qual(), qual, "%s: qualification %llx", what, (long long)qual);
}

/* The guest goes on after the exit and returns. */
static void expect_end(const char *what)
{
    vm_skip();
    vm_run(&vm);
    check(vm_ended(&vm), "%s: goes on behind the instruction", what);
}

static void runs_through(void (*fn)(void), const char *what)
{
    vm_start(&vm, fn);
    check(vm_ended(&vm), "%s: no exit (reason %u)", what, vm_reason() & 0xffff);
}

static void g_cpuid(void) { cpuid(0, 0); }
static void g_hlt(void) { asm volatile("hlt"); }
static void g_invd(void) { asm volatile("invd" : : : "memory"); }
static void g_invlpg(void) { asm volatile("invlpg (%0)" : : "r"(0x123456789ull)); }
static void g_rdtsc(void) { seen = rdtsc(); }
static void g_rdtscp(void)
{
    seen = TRY("rdtscp", : : : "rax", "rcx", "rdx");
}

static void g_rdpid(void)
{
    seen = TRY("rdpid %%rax", : : : "rax");
}
static void g_rdpmc(void)
{
    seen = TRY("rdpmc", : : "c"(0) : "rax", "rdx");
}
static void g_xsetbv(void)
{
    asm volatile("xsetbv" : : "a"(1), "c"(0), "d"(0));
}
static void g_pause(void) { cpu_relax(); }
static void g_monitor(void) { asm volatile("monitor" : : "a"(&seen), "c"(0), "d"(0)); }
static void g_mwait(void) { asm volatile("mwait" : : "a"(0), "c"(0)); }
static void g_wbinvd(void) { asm volatile("wbinvd" : : : "memory"); }

static void unconditional(void)
{
    expect(g_cpuid, VMX_EXIT_CPUID, 2, "CPUID");
    expect_end("CPUID");
    expect(g_invd, VMX_EXIT_INVD, 2, "INVD");
    expect_end("INVD");
    write_cr4(read_cr4() | CR4_OSXSAVE);
    vmwrite(VMCS_HOST_CR4, read_cr4());
    expect(g_xsetbv, VMX_EXIT_XSETBV, 3, "XSETBV");
    check_eq(vm.rax, 1, "XSETBV: the guest's RAX");
    expect_end("XSETBV");
}

/* What follows an instruction that does not exit still has the right RIP. */
#define MARK    0x1122334455667788ull
#define READ_MARK "mov 1f(%%rip), %0; jmp 2f; 1: .quad 0x1122334455667788; 2:"
static void g_cr2(void)
{
    u64 v;

    asm volatile("nop; mov %%cr2, %0; " READ_MARK : "=&r"(v));
    seen = v;
}
static void g_rdtsc_on(void)
{
    u64 v;

    asm volatile("nop; rdtsc; " READ_MARK : "=&r"(v) : : "rax", "rdx");
    seen = v;
}

static void goes_on(void)
{
    u64 secondary = vmread(VMCS_SECONDARY_CONTROLS);

    seen = 0;
    vm_set_bits(VMCS_PRIMARY_CONTROLS, CPU_CR3_STORE);
    vm_start(&vm, g_cr2);
    check(vm_ended(&vm), "MOV from CR2 with CR3-store exiting: no exit");
    check_eq(seen, MARK, "MOV from CR2 with CR3-store exiting: RIP goes on");
    vm_clear_bits(VMCS_PRIMARY_CONTROLS, CPU_CR3_STORE);
    seen = 0;
    vmwrite(VMCS_SECONDARY_CONTROLS, secondary & ~(u64)CPU2_RDTSCP);
    vm_start(&vm, g_rdtsc_on);
    check(vm_ended(&vm), "RDTSC without its controls: no exit");
    check_eq(seen, MARK, "RDTSC without its controls: RIP goes on");
    vmwrite(VMCS_SECONDARY_CONTROLS, secondary);
}

/* Each VMX instruction exits without a look at its operands. */
static void g_vmxon(void) { vmxon(0); }
static void g_vmxoff(void) { vmxoff(); }
static void g_vmclear(void) { vmclear(0); }
static void g_vmptrld(void) { vmptrld(0); }
static void g_vmptrst(void) { vmptrst((u64 *)&seen); }
static void g_vmread(void) { vmread_res(0, (u64 *)&seen); }
static void g_vmwrite(void) { vmwrite_res(0, 0); }
static void g_vmlaunch(void) { vmlaunch(); }
static void g_vmresume(void) { vmresume(); }
static void g_invept(void) { invept(2, 0, 0); }
static void g_invvpid(void) { invvpid(2, 0, 0); }

static void vmx_instructions(void)
{
    static const struct { void (*fn)(void); u32 reason; const char *name; } t[] = {
        { g_vmxon, VMX_EXIT_VMXON, "VMXON" }, { g_vmxoff, VMX_EXIT_VMXOFF, "VMXOFF" },
        { g_vmclear, VMX_EXIT_VMCLEAR, "VMCLEAR" },
        { g_vmptrld, VMX_EXIT_VMPTRLD, "VMPTRLD" },
        { g_vmptrst, VMX_EXIT_VMPTRST, "VMPTRST" },
        { g_vmread, VMX_EXIT_VMREAD, "VMREAD" },
        { g_vmwrite, VMX_EXIT_VMWRITE, "VMWRITE" },
        { g_vmlaunch, VMX_EXIT_VMLAUNCH, "VMLAUNCH" },
        { g_vmresume, VMX_EXIT_VMRESUME, "VMRESUME" },
    };

    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        expect(t[i].fn, t[i].reason, 0, t[i].name);
        expect_end(t[i].name);
    }
    if (vmx_ept_cap(EPT_CAP_INVEPT)) {
        expect(g_invept, VMX_EXIT_INVEPT, 0, "INVEPT");
    }
    if (vmx_ept_cap(EPT_CAP_INVVPID)) {
        expect(g_invvpid, VMX_EXIT_INVVPID, 0, "INVVPID");
    }
}

static void user_only(void (*fn)(void)) { run_user(fn); }
static void u_vmclear(void) { seen = vmclear(0); }
static void u_invd(void) { seen = TRY("invd", : : : "memory"); }
static void u_hlt(void) { seen = TRY("hlt", : : : "memory"); }
static void u_xsetbv(void) { seen = TRY("xsetbv", : : "a"(1), "c"(0), "d"(0)); }
static void u_rdmsr(void) { u64 v; seen = rdmsr_safe(0x1b, &v); }
static void u_movcr(void) { seen = write_cr3_safe(0); }
static void u_vmcall(void) { guest_vmcall(7); }
static void u_cpuid(void) { cpuid(0, 0); }
static void g_u_vmclear(void) { user_only(u_vmclear); }
static void g_u_invd(void) { user_only(u_invd); }
static void g_u_hlt(void) { user_only(u_hlt); }
static void g_u_xsetbv(void) { user_only(u_xsetbv); }
static void g_u_rdmsr(void) { user_only(u_rdmsr); }
static void g_u_movcr(void) { user_only(u_movcr); }
static void g_u_vmcall(void) { user_only(u_vmcall); }
static void g_u_cpuid(void) { user_only(u_cpuid); }

/* 25.1.1: faults that depend on privilege have priority over the exit. */
static void privilege_first(void)
{
    static const struct { void (*fn)(void); const char *name; } t[] = {
        { g_u_invd, "INVD" }, { g_u_hlt, "HLT" }, { g_u_xsetbv, "XSETBV" },
        { g_u_rdmsr, "RDMSR" }, { g_u_movcr, "MOV to CR3" },
    };

    vm_set_bits(VMCS_PRIMARY_CONTROLS, CPU_HLT | CPU_CR3_LOAD);
    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        seen = 0;
        vm_start(&vm, t[i].fn);
        check(vm_ended(&vm), "%s at CPL 3: no exit (reason %u)", t[i].name,
              vm_reason() & 0xffff);
        check_eq(seen, GP, "%s at CPL 3: #GP before the exit (25.1.1)", t[i].name);
    }
    vm_clear_bits(VMCS_PRIMARY_CONTROLS, CPU_CR3_LOAD);
    expect(g_u_vmclear, VMX_EXIT_VMCLEAR, 0,
           "VMCLEAR at CPL 3 in non-root: the exit comes before #GP (25.1.2)");
    expect(g_u_vmcall, VMX_EXIT_VMCALL, 3, "VMCALL at CPL 3");
    check_eq(vm.rax, 7, "VMCALL at CPL 3: RAX");
    check_eq(vmread(VMCS_GUEST_CS_SEL), SEL_USER_CODE | 3, "VMCALL at CPL 3: CS");
    check_eq(vmread(VMCS_GUEST_SS_AR) >> 5 & 3, 3, "VMCALL at CPL 3: SS.DPL");
    expect(g_u_cpuid, VMX_EXIT_CPUID, 2, "CPUID at CPL 3");
}

static void by_primary_control(void)
{
    static const struct {
        void (*fn)(void); u32 bit, reason, len; bool free_runs; const char *name;
    } t[] = {
        { g_hlt, CPU_HLT, VMX_EXIT_HLT, 1, false, "HLT" },
        { g_invlpg, CPU_INVLPG, VMX_EXIT_INVLPG, 0, true, "INVLPG" },
        { g_rdtsc, CPU_RDTSC, VMX_EXIT_RDTSC, 2, true, "RDTSC" },
        { g_rdpmc, CPU_RDPMC, VMX_EXIT_RDPMC, 2, false, "RDPMC" },
        { g_pause, CPU_PAUSE, VMX_EXIT_PAUSE, 2, true, "PAUSE" },
        { g_monitor, CPU_MONITOR, VMX_EXIT_MONITOR, 3, true, "MONITOR" },
        { g_mwait, CPU_MWAIT, VMX_EXIT_MWAIT, 3, false, "MWAIT" },
    };
    u32 old = vmread(VMCS_PRIMARY_CONTROLS);

    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        if (!vmx_may(VMCS_PRIMARY_CONTROLS, t[i].bit)) {
            check_skip("control not offered", "%s exiting", t[i].name);
            continue;
        }
        vmwrite(VMCS_PRIMARY_CONTROLS, old | t[i].bit);
        expect(t[i].fn, t[i].reason, t[i].len, t[i].name);
        if (t[i].reason == VMX_EXIT_INVLPG) {
            check_eq(vm_qual(), 0x123456789, "INVLPG: qualification is the address");
        }
        expect_end(t[i].name);
        if (t[i].free_runs) {
            vmwrite(VMCS_PRIMARY_CONTROLS, old & ~t[i].bit);
            runs_through(t[i].fn, t[i].name);
        }
    }
    vmwrite(VMCS_PRIMARY_CONTROLS, old);
}

/* Three times PAUSE, the last one where the test knows. */
extern char g_pauses[], g_pause2[], g_pause3[];
asm(".pushsection .text\n"
    "g_pauses: pause\n"
    "g_pause2: pause\n"
    "g_pause3: pause\n"
    "  ret\n"
    ".popsection\n");
static void u_pauses(void)
{
    cpu_relax();
    cpu_relax();
    cpu_relax();
}
static void g_u_pauses(void) { run_user(u_pauses); }

/* Decided by limits that no machine reaches, or each one does (25.1.3). */
static void pause_loop(void)
{
    void (*pauses)(void) = (void (*)(void))g_pauses;
    u32 primary = vmread(VMCS_PRIMARY_CONTROLS), sec = vmread(VMCS_SECONDARY_CONTROLS);

    if (!check(vm_secondary(CPU2_PLE), "PAUSE-loop exiting is offered")) {
        return;
    }
    vmwrite(VMCS_PRIMARY_CONTROLS, primary & ~CPU_PAUSE);
    vmwrite(VMCS_PLE_GAP, 0xffffffff);
    vmwrite(VMCS_PLE_WINDOW, 0);
    expect(pauses, VMX_EXIT_PAUSE, 2, "PAUSE loop, window 0");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_pause2,
             "PAUSE loop: the first one begins it, the second one exits");
    vm_run(&vm);
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_pause3,
             "PAUSE loop: behind VM entry it begins anew");
    runs_through(g_u_pauses, "PAUSE loop at CPL 3");
    vmwrite(VMCS_PLE_GAP, 0);
    runs_through(pauses, "PAUSEs with a gap of 0: each one is the first");
    vmwrite(VMCS_PLE_GAP, 0xffffffff);
    vmwrite(VMCS_PLE_WINDOW, 0xffffffff);
    runs_through(pauses, "PAUSE loop shorter than the window");
    vmwrite(VMCS_PRIMARY_CONTROLS, primary | CPU_PAUSE);
    expect(g_u_pauses, VMX_EXIT_PAUSE, 2, "PAUSE exiting goes before, at CPL 3 too");
    vmwrite(VMCS_PRIMARY_CONTROLS, primary);
    vmwrite(VMCS_SECONDARY_CONTROLS, sec);
}

static void by_secondary_control(void)
{
    u32 pri = vmread(VMCS_PRIMARY_CONTROLS), sec = vmread(VMCS_SECONDARY_CONTROLS);

    vmwrite(VMCS_SECONDARY_CONTROLS, sec & ~CPU2_RDTSCP);
    seen = 0;
    runs_through(g_rdtscp, "RDTSCP not enabled");
    check_eq(seen, UD, "RDTSCP not enabled is #UD (25.3)");
    runs_through(g_rdpid, "RDPID with RDTSCP not enabled");
    check_eq(seen, UD, "RDPID with RDTSCP not enabled is #UD (25.3)");
    if (vm_secondary(CPU2_RDTSCP)) {
        runs_through(g_rdtscp, "RDTSCP enabled");
        check_eq(seen, NO_FAULT, "RDTSCP enabled: no fault");
        runs_through(g_rdpid, "RDPID with RDTSCP enabled");
        check_eq(seen, cpuid(7, 0).c & BIT(22) ? NO_FAULT : UD,
                 "RDTSCP enabled: RDPID too");
        if (vmx_may(VMCS_PRIMARY_CONTROLS, CPU_RDTSC)) {
            vmwrite(VMCS_PRIMARY_CONTROLS, pri | CPU_RDTSC);
            expect(g_rdtscp, VMX_EXIT_RDTSCP, 3, "RDTSCP with RDTSC exiting");
        }
    }
    vmwrite(VMCS_PRIMARY_CONTROLS, pri);
    vmwrite(VMCS_SECONDARY_CONTROLS, sec);
    runs_through(g_wbinvd, "WBINVD without its exiting");
    if (vm_secondary(CPU2_WBINVD)) {
        expect(g_wbinvd, VMX_EXIT_WBINVD, 2, "WBINVD");
    } else {
        check_skip("control not offered", "WBINVD exiting");
    }
    vmwrite(VMCS_SECONDARY_CONTROLS, sec);
}

static void g_out(void) { outb(0x84, 1); }
static void g_outl_dx(void) { outl(0x1234, 1); }
static void g_in(void) { inb(0x84); }
static void g_outs(void)
{
    u64 c = 3;
    const void *p = (const void *)&seen;

    asm volatile("rep outsb" : "+S"(p), "+c"(c) : "d"(0x84) : "memory");
}
static void g_out_ports(void)
{
    outb(0x84, 1);
    outb(0x80, 1);
}

static void io(void)
{
    u32 old = vmread(VMCS_PRIMARY_CONTROLS);
    u8 *a = page_alloc(), *b = page_alloc();

    vmwrite(VMCS_PRIMARY_CONTROLS, (old | CPU_UNCOND_IO) & ~CPU_IO_BITMAPS);
    expect_qual(g_out, VMX_EXIT_IO, 0x840040, "OUT imm8, AL");
    check_eq(vmread(VMCS_EXIT_INSN_LEN), 2, "OUT imm8: length 2");
    expect_qual(g_in, VMX_EXIT_IO, 0x840048, "IN AL, imm8");
    expect_qual(g_outl_dx, VMX_EXIT_IO, 0x12340003, "OUT DX, EAX");
    check_eq(vmread(VMCS_EXIT_INSN_LEN), 1, "OUT DX: length 1");
    expect_qual(g_outs, VMX_EXIT_IO, 0x840030, "REP OUTSB");
    check_eq(vm.rcx, 3, "REP OUTSB: RCX at the first iteration");
    if (vmread_res(VMCS_GUEST_LINEAR_ADDR, (u64 *)&seen) == VM_SUCCEED) {
        vm_start(&vm, g_outs);
        check_eq(vmread(VMCS_GUEST_LINEAR_ADDR), (u64)&seen,
                 "OUTS: guest-linear address (27.2.1)");
    }
    vmwrite(VMCS_PRIMARY_CONTROLS, old & ~CPU_UNCOND_IO);
    runs_through(g_out, "OUT without I/O exiting");
    if (!vmx_may(VMCS_PRIMARY_CONTROLS, CPU_IO_BITMAPS)) {
        check_skip("no I/O bitmaps", "I/O bitmaps");
        vmwrite(VMCS_PRIMARY_CONTROLS, old);
        return;
    }
    vmwrite(VMCS_IO_BITMAP_A, (u64)a);
    vmwrite(VMCS_IO_BITMAP_B, (u64)b);
    vmwrite(VMCS_PRIMARY_CONTROLS, old | CPU_IO_BITMAPS | CPU_UNCOND_IO);
    runs_through(g_out, "OUT with a clear bitmap (unconditional exiting is ignored)");
    a[0x80 / 8] = 1;
    expect_qual(g_out_ports, VMX_EXIT_IO, 0x800040, "OUT to the port in bitmap A");
    a[0x1237 / 8] = BIT(0x1237 % 8);
    expect_qual(g_outl_dx, VMX_EXIT_IO, 0x12340003,
                "4-byte OUT that touches one port of the bitmap (25.1.3)");
    vmwrite(VMCS_PRIMARY_CONTROLS, old);
}

static void g_rdmsr_low(void) { seen = rdmsr(MSR_SYSENTER_CS); }
static void g_wrmsr_low(void) { wrmsr(MSR_SYSENTER_CS, 0x30); }
static void g_rdmsr_high(void) { seen = rdmsr(MSR_LSTAR); }
static void g_wrmsr_high(void) { wrmsr(MSR_LSTAR, 0x1234); }
static void g_rdmsr_outside(void) { seen = rdmsr(0x40000000); }
static void g_wrmsr_outside(void) { wrmsr(0x4b564d00, 0); }

static void msr_bitmaps(void)
{
    u8 *map = (u8 *)vm.msr_bitmap;
    u32 old = vmread(VMCS_PRIMARY_CONTROLS);

    runs_through(g_rdmsr_low, "RDMSR with a clear bitmap");
    runs_through(g_wrmsr_low, "WRMSR with a clear bitmap");
    map[MSR_SYSENTER_CS / 8] = BIT(MSR_SYSENTER_CS % 8);
    expect(g_rdmsr_low, VMX_EXIT_RDMSR, 2, "RDMSR, low range");
    check_eq((u32)vm.rcx, MSR_SYSENTER_CS, "RDMSR exit: RCX");
    runs_through(g_wrmsr_low, "WRMSR with only the read bit");
    memset(map, 0, PAGE_SIZE);
    map[0x400 + (MSR_LSTAR & 0x1fff) / 8] = BIT(MSR_LSTAR % 8);
    expect(g_rdmsr_high, VMX_EXIT_RDMSR, 2, "RDMSR, high range");
    runs_through(g_wrmsr_high, "WRMSR, high range, with only the read bit");
    memset(map, 0, PAGE_SIZE);
    map[0x800 + MSR_SYSENTER_CS / 8] = BIT(MSR_SYSENTER_CS % 8);
    map[0xc00 + (MSR_LSTAR & 0x1fff) / 8] = BIT(MSR_LSTAR % 8);
    expect(g_wrmsr_low, VMX_EXIT_WRMSR, 2, "WRMSR, low range");
    expect(g_wrmsr_high, VMX_EXIT_WRMSR, 2, "WRMSR, high range");
    check_eq(vm.rax, 0x1234, "WRMSR exit: RAX");
    runs_through(g_rdmsr_low, "RDMSR with only the write bit");
    memset(map, 0, PAGE_SIZE);
    expect(g_rdmsr_outside, VMX_EXIT_RDMSR, 2, "RDMSR outside both ranges (25.1.3)");
    expect(g_wrmsr_outside, VMX_EXIT_WRMSR, 2, "WRMSR outside both ranges (25.1.3)");
    vmwrite(VMCS_PRIMARY_CONTROLS, old & ~CPU_MSR_BITMAPS);
    expect(g_rdmsr_low, VMX_EXIT_RDMSR, 2, "RDMSR without bitmaps (25.1.3)");
    expect(g_wrmsr_low, VMX_EXIT_WRMSR, 2, "WRMSR without bitmaps (25.1.3)");
    vmwrite(VMCS_PRIMARY_CONTROLS, old);
}

static void g_read_cr0(void) { seen = read_cr0(); }
static void g_clear_ts(void) { asm volatile("clts"); }
static void g_write_cr0_ts(void) { write_cr0(read_cr0() | CR0_TS); }
static void g_write_cr0_wp(void)
{
    asm volatile("movq %%cr0, %%rdx; xorq $0x10000, %%rdx; movq %%rdx, %%cr0"
                 : : : "rdx", "memory");
}
static void g_lmsw(void) { asm volatile("lmsw %w0" : : "r"(0x39)); }
static void g_smsw(void)
{
    u64 v;

    asm volatile("smswq %0" : "=r"(v));
    seen = v;
}
static void g_read_cr4(void) { seen = read_cr4(); }
static void g_write_cr4_tsd(void)
{
    asm volatile("movq %%cr4, %%rbx; xorq $4, %%rbx; movq %%rbx, %%cr4"
                 : : : "rbx", "memory");
}
static void g_read_cr3(void)
{
    asm volatile("movq %%cr3, %%r9" : : : "r9");
}
static void g_write_cr3(void)
{
    asm volatile("movq %%cr3, %%rsi; movq %%rsi, %%cr3" : : : "rsi", "memory");
}
static void g_read_cr8(void) { seen = read_cr8(); }
static void g_write_cr8(void) { asm volatile("movq %0, %%cr8" : : "d"(5ull)); }
static void g_bad_cr4(void) { seen = write_cr4_safe(read_cr4() & ~CR4_VMXE); }
static void g_bad_cr0(void) { seen = write_cr0_safe(read_cr0() & ~CR0_NE); }

static void control_registers(void)
{
    u32 old = vmread(VMCS_PRIMARY_CONTROLS);

    /* 25.3: reads give mask & shadow | ~mask & register */
    vmwrite(VMCS_CR0_MASK, CR0_WP | CR0_TS);
    vmwrite(VMCS_CR0_SHADOW, CR0_TS);
    vm_set_entry(&vm, g_read_cr0);
    vmwrite(VMCS_GUEST_CR0, vmread(VMCS_GUEST_CR0) | CR0_WP);
    vm_run(&vm);
    check_eq(seen & (CR0_WP | CR0_TS | CR0_NE), CR0_TS | CR0_NE,
             "MOV from CR0: shadow under the mask (25.3)");
    vm_start(&vm, g_smsw);
    check_eq(seen & 0xe, 0xa, "SMSW: shadow under the mask (25.3)");
    vmwrite(VMCS_CR0_MASK, CR0_WP);
    vmwrite(VMCS_CR0_SHADOW, 0);
    expect_qual(g_write_cr0_wp, VMX_EXIT_CR, 0x200,
                "MOV to CR0 that differs from the shadow");
    check_eq(vmread(VMCS_EXIT_INSN_LEN), 3, "MOV to CR0: length 3");
    vmwrite(VMCS_CR0_SHADOW, CR0_WP);
    vm_set_entry(&vm, g_write_cr0_ts);
    vm_run(&vm);
    check(vm_ended(&vm), "MOV to CR0 that agrees with the shadow: no exit");
    check_eq(vmread(VMCS_GUEST_CR0) & (CR0_WP | CR0_TS), CR0_TS | (read_cr0() & CR0_WP),
             "MOV to CR0: masked bits keep their value (25.3)");
    vmwrite(VMCS_CR0_MASK, CR0_TS);
    vmwrite(VMCS_CR0_SHADOW, CR0_TS);
    expect_qual(g_clear_ts, VMX_EXIT_CR, 0x20, "CLTS with TS in mask and shadow");
    vmwrite(VMCS_CR0_SHADOW, 0);
    vm_set_entry(&vm, g_clear_ts);
    vmwrite(VMCS_GUEST_CR0, vmread(VMCS_GUEST_CR0) | CR0_TS);
    vm_run(&vm);
    check(vm_ended(&vm), "CLTS with TS only in the mask: no exit");
    check_eq(vmread(VMCS_GUEST_CR0) & CR0_TS, CR0_TS,
             "CLTS with TS only in the mask leaves it (25.3)");
    expect_qual(g_lmsw, VMX_EXIT_CR, 0x390030, "LMSW that sets TS against the shadow");
    vmwrite(VMCS_CR0_MASK, 0);
    vm_set_entry(&vm, g_clear_ts);
    vmwrite(VMCS_GUEST_CR0, vmread(VMCS_GUEST_CR0) | CR0_TS);
    vm_run(&vm);
    check_eq(vmread(VMCS_GUEST_CR0) & CR0_TS, 0, "CLTS without mask clears TS");

    vmwrite(VMCS_CR4_MASK, CR4_VMXE | CR4_TSD);
    vmwrite(VMCS_CR4_SHADOW, CR4_TSD);
    vm_start(&vm, g_read_cr4);
    check_eq(seen & (CR4_VMXE | CR4_TSD | CR4_PAE), CR4_TSD | CR4_PAE,
             "MOV from CR4: shadow under the mask (25.3)");
    expect_qual(g_write_cr4_tsd, VMX_EXIT_CR, 0x304, "MOV to CR4 against the shadow");
    vmwrite(VMCS_CR4_MASK, 0);
    seen = 0;
    runs_through(g_bad_cr4, "MOV to CR4 that clears VMXE, not masked");
    check_eq(seen, GP, "MOV to CR4 that clears a fixed bit is #GP (25.3)");
    seen = 0;
    runs_through(g_bad_cr0, "MOV to CR0 that clears NE, not masked");
    check_eq(seen, GP, "MOV to CR0 that clears a fixed bit is #GP (25.3)");
    vmwrite(VMCS_CR4_MASK, CR4_VMXE);
    vmwrite(VMCS_CR4_SHADOW, 0);

    vmwrite(VMCS_PRIMARY_CONTROLS, (old | CPU_CR3_LOAD | CPU_CR3_STORE));
    expect_qual(g_read_cr3, VMX_EXIT_CR, 0x913, "MOV R9 from CR3");
    expect_end("MOV from CR3");
    vmwrite(VMCS_PRIMARY_CONTROLS, (old | CPU_CR3_LOAD) & ~CPU_CR3_STORE);
    expect_qual(g_write_cr3, VMX_EXIT_CR, 0x603, "MOV RSI to CR3");
    if ((rdmsr(MSR_VMX_MISC) >> 16 & 0x1ff) >= 1) {
        vmwrite(VMCS_CR3_TARGET0, read_cr3());
        vmwrite(VMCS_CR3_TARGET_COUNT, 1);
        runs_through(g_write_cr3, "MOV to CR3 of a target value (25.1.3)");
        vmwrite(VMCS_CR3_TARGET_COUNT, 0);
    }
    vmwrite(VMCS_PRIMARY_CONTROLS, old & ~(CPU_CR3_LOAD | CPU_CR3_STORE));
    runs_through(g_write_cr3, "MOV to CR3 without exiting");
    vmwrite(VMCS_PRIMARY_CONTROLS, old | CPU_CR8_LOAD | CPU_CR8_STORE);
    expect(g_read_cr8, VMX_EXIT_CR, 4, "MOV from CR8");
    check_eq(vm_qual() & 0x3f, 0x18, "MOV from CR8: qualification");
    expect_qual(g_write_cr8, VMX_EXIT_CR, 0x208, "MOV RDX to CR8");
    vmwrite(VMCS_PRIMARY_CONTROLS, old);
}

static void g_read_dr(void) { asm volatile("movq %%dr3, %%r10" : : : "r10"); }
static void g_write_dr(void) { asm volatile("movq %0, %%dr0" : : "c"(0ull)); }

static void debug_registers(void)
{
    u32 old = vmread(VMCS_PRIMARY_CONTROLS);

    vmwrite(VMCS_PRIMARY_CONTROLS, old | CPU_MOV_DR);
    expect_qual(g_read_dr, VMX_EXIT_DR, 0xa13, "MOV R10 from DR3");
    check_eq(vmread(VMCS_EXIT_INSN_LEN), 4, "MOV R10 from DR3: length 4");
    expect_qual(g_write_dr, VMX_EXIT_DR, 0x100, "MOV RCX to DR0");
    vmwrite(VMCS_PRIMARY_CONTROLS, old);
    runs_through(g_write_dr, "MOV to DR without exiting");
}

static void g_tsc(void) { seen = rdtsc(); }

static void tsc(void)
{
    u32 old = vmread(VMCS_PRIMARY_CONTROLS);
    u64 offset = BIT(50), before, after;
    u64 *list = page_alloc();

    list[0] = MSR_TSC;
    vmwrite(VMCS_PRIMARY_CONTROLS, (old | CPU_TSC_OFFSETTING) & ~CPU_RDTSC);
    vmwrite(VMCS_TSC_OFFSET, offset);
    vmwrite(VMCS_EXIT_MSR_STORE_ADDR, (u64)list);
    vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 1);
    before = rdtsc();
    vm_start(&vm, g_tsc);
    after = rdtsc();
    vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
    check(seen >= before + offset && seen <= after + offset,
          "RDTSC: the offset is added (25.3)");
    check(list[1] >= before && list[1] <= after,
          "the MSR list's IA32_TIME_STAMP_COUNTER is without the offset (28.4)");
    if (vm_secondary(CPU2_TSC_SCALING)) {
        vmwrite(VMCS_TSC_MULTIPLIER, BIT(49));
        before = rdtsc();
        vm_start(&vm, g_tsc);
        after = rdtsc();
        check(seen >= 2 * before + offset && seen <= 2 * after + offset,
              "RDTSC: multiplied, then offset (25.3)");
        vm_clear_bits(VMCS_SECONDARY_CONTROLS, CPU2_TSC_SCALING);
    }
    vmwrite(VMCS_PRIMARY_CONTROLS, old);
}

static u64 guest_efer, guest_pat;

static void g_efer_pat(void)
{
    guest_efer = rdmsr(MSR_EFER);
    guest_pat = rdmsr(MSR_PAT);
    wrmsr(MSR_EFER, guest_efer ^ 1);
    wrmsr(MSR_PAT, 0x0606060606060606);
}

static void efer_pat(void)
{
    u64 efer = rdmsr(MSR_EFER), pat = rdmsr(MSR_PAT);

    if (!vmx_may(VMCS_ENTRY_CONTROLS, ENTRY_LOAD_EFER | ENTRY_LOAD_PAT)) {
        check_skip("not offered", "load of IA32_EFER and IA32_PAT");
        return;
    }
    vm_set_entry(&vm, g_efer_pat);
    vmwrite(VMCS_GUEST_EFER, efer | 1);
    vmwrite(VMCS_GUEST_PAT, 0x0404040404040406);
    vm_run(&vm);
    check(vm_ended(&vm), "EFER and PAT: the guest ends");
    check_eq(guest_efer, efer | 1, "entry loads IA32_EFER");
    check_eq(guest_pat, 0x0404040404040406, "entry loads IA32_PAT");
    check_eq(vmread(VMCS_GUEST_EFER), efer & ~1ull, "exit saves IA32_EFER");
    check_eq(vmread(VMCS_GUEST_PAT), 0x0606060606060606, "exit saves IA32_PAT");
    check_eq(rdmsr(MSR_EFER), efer, "exit loads the host's IA32_EFER");
    check_eq(rdmsr(MSR_PAT), pat, "exit loads the host's IA32_PAT");
}

void test_main(void)
{
    if (!vmx_supported()) {
        panic("no VMX");
    }
    vmx_on();
    vm_create(&vm);
    unconditional();
    goes_on();
    vmx_instructions();
    privilege_first();
    by_primary_control();
    by_secondary_control();
    pause_loop();
    io();
    msr_bitmaps();
    control_registers();
    debug_registers();
    tsc();
    efer_pat();
}
