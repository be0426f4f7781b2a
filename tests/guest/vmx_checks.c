/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checks of VM entry bit by bit, beside the samples of vmx_entry.c: every
 * reserved bit of a field, the segments of each mode, activity and
 * interruptibility against events and pending debug exceptions, what a failed
 * entry leaves alone.  Section numbers are those of the SDM, vol. 3
 * (26: VM entries); docs/vmx.md has the list of checks and their tests.
 */
#include "vmx.h"

const char test_name[] = "vmx_checks";

#define NONCANONICAL    BIT(63)
#define TF_IF           (FLAGS_TF | FLAGS_IF | 2)

static Vm vm;
static volatile u64 seen[4];

static void g_nothing(void)
{
}

enum { RUNS, BAD_CONTROLS, BAD_HOST, BAD_GUEST };

typedef struct Write { u32 field; u64 value; } Write;

/* Enter the sane guest after @n writes: the outcome, and the qualification. */
static u32 outcome(const Write *w, u32 n, u64 *qual)
{
    u64 old[8];
    u32 r, result;

    vm_set_entry(&vm, g_nothing);
    for (u32 i = 0; i < n; i++) {
        old[i] = vmread(w[i].field);
        vmwrite(w[i].field, w[i].value);
    }
    r = vm_enter(&vm);
    *qual = r == VM_EXITED ? vm_qual() : 0;
    result = r == VM_VALID && vm_error() == VMX_ERR_BAD_CONTROLS ? BAD_CONTROLS :
             r == VM_VALID && vm_error() == VMX_ERR_BAD_HOST ? BAD_HOST :
             r != VM_EXITED ? 0x1000 | r :
             vm_reason() == (VMX_EXIT_BAD_GUEST | VMX_EXIT_ENTRY_FAILURE) ? BAD_GUEST :
             vm_reason() >> 31 ? vm_reason() : RUNS;
    while (n--) {
        vmwrite(w[n].field, old[n]);
    }
    vmwrite(VMCS_ENTRY_INTR_INFO, 0);
    return result;
}

#define WITH(...) (const Write[]){ __VA_ARGS__ }, \
    sizeof((const Write[]){ __VA_ARGS__ }) / sizeof(Write)

static void expect(u32 want, u64 want_qual, const Write *w, u32 n, const char *rule)
{
    u64 qual;

    check_eq(outcome(w, n, &qual), want, "%s", rule);
    if (want == BAD_GUEST) {
        check_eq(qual, want_qual, "%s: qualification", rule);
    }
}

/* Each bit of @bits in turn, on top of the field's sane value, is refused. */
static void each_bit(u32 want, u32 field, u64 bits, const char *rule)
{
    u32 wrong = 0, tried = 0;

    for (u32 i = 0; i < 64; i++) {
        u64 qual;

        if (bits & BIT(i)) {
            Write w = { field, vmread(field) ^ BIT(i) };

            tried++;
            if (outcome(&w, 1, &qual) != want || qual) {
                print("# bit %u of field %x\n", i, field);
                wrong++;
            }
        }
    }
    check(tried && !wrong, "%s (%u bits)", rule, tried);
}

static u64 width_mask(void)
{
    return ~0ull << (cpuid(0x80000008, 0).a & 0xff);
}

/* EFER and PAT, host's and guest's: one rule each. */
static void efer_and_pat(u32 want, u32 efer, u32 pat)
{
    static const u8 types[] = { 2, 3, 8, 0x10, 0x80, 0xff };
    u64 good = vmread(pat);
    u32 wrong = 0;

    each_bit(want, efer, ~0xd01ull, "EFER: each reserved bit (26.2.2, 26.3.1.1)");
    each_bit(want, efer, 0x500, "EFER: LME or LMA differs from the control");
    for (u32 i = 0; i < 8 * ARRAY_SIZE(types); i++) {
        u32 at = i % 8 * 8;
        Write w = { pat, (good & ~(0xffull << at)) | (u64)types[i / 8] << at };
        u64 qual;

        wrong += outcome(&w, 1, &qual) != want;
    }
    check_eq(wrong, 0, "PAT: each byte with each wrong type (26.2.2, 26.3.1.1)");
}

static void controls(void)
{
    static const struct { u32 count, addr; const char *name; } lists[] = {
        { VMCS_EXIT_MSR_STORE_COUNT, VMCS_EXIT_MSR_STORE_ADDR, "exit MSR-store" },
        { VMCS_EXIT_MSR_LOAD_COUNT, VMCS_EXIT_MSR_LOAD_ADDR, "exit MSR-load" },
        { VMCS_ENTRY_MSR_LOAD_COUNT, VMCS_ENTRY_MSR_LOAD_ADDR, "entry MSR-load" },
    };
    u64 end = -width_mask(), page = (u64)page_alloc();
    u32 primary = vmread(VMCS_PRIMARY_CONTROLS) | CPU_IO_BITMAPS;

    for (u32 i = 0; i < ARRAY_SIZE(lists); i++) {
        print("# %s list (26.2.1.2, 26.2.1.3)\n", lists[i].name);
        expect(BAD_CONTROLS, 0, WITH({ lists[i].count, 1 }, { lists[i].addr, page | 8 }),
               "unaligned");
        expect(BAD_CONTROLS, 0, WITH({ lists[i].count, 1 }, { lists[i].addr, end }),
               "beyond the physical-address width");
        expect(BAD_CONTROLS, 0, WITH({ lists[i].count, 2 }, { lists[i].addr, end - 16 }),
               "the last byte is beyond the width");
        expect(RUNS, 0, WITH({ lists[i].count, 0 }, { lists[i].addr, ~0ull }),
               "without entries the address does not matter");
    }
    for (u32 f = VMCS_IO_BITMAP_A; f <= VMCS_IO_BITMAP_B; f += 2) {
        expect(BAD_CONTROLS, 0, WITH({ VMCS_PRIMARY_CONTROLS, primary },
               { VMCS_IO_BITMAP_A, page }, { VMCS_IO_BITMAP_B, page },
               { f, page | 0x800 }),
               "I/O bitmap unaligned (26.2.1.1)");
        expect(BAD_CONTROLS, 0, WITH({ VMCS_PRIMARY_CONTROLS, primary },
               { VMCS_IO_BITMAP_A, page }, { VMCS_IO_BITMAP_B, page }, { f, page | end }),
               "I/O bitmap beyond the width (26.2.1.1)");
    }
    each_bit(BAD_CONTROLS, VMCS_EPT_POINTER, width_mask() | 0xf80,
             "EPTP: each reserved bit (26.2.1.1)");
    if (vmx_may(VMCS_SECONDARY_CONTROLS, CPU2_TSC_SCALING)) {
        expect(BAD_CONTROLS, 0, WITH({ VMCS_TSC_MULTIPLIER, 0 },
               { VMCS_SECONDARY_CONTROLS,
                 vmread(VMCS_SECONDARY_CONTROLS) | CPU2_TSC_SCALING }),
               "TSC multiplier 0 (26.2.1.1)");
    }
}

static void injection(void)
{
    u32 info = INTR_VALID | INTR_TYPE_HW_EXC | UD;
    u32 gp = INTR_VALID | INTR_TYPE_HW_EXC | GP;

    for (u32 i = 13; i < 31; i++) {
        expect(BAD_CONTROLS, 0, WITH({ VMCS_ENTRY_INTR_INFO, info | BIT(i) }),
               "reserved bit of the interruption information (26.2.1.3)");
    }
    for (u32 v = 0; v < 32; v++) {
        bool code = v == 8 || (v >= 10 && v <= 14) || v == 17;

        /* whether #CP has one depends on CET */
        if (v != 21 && !(rdmsr(MSR_VMX_BASIC) & BIT(56))) {
            expect(BAD_CONTROLS, 0, WITH({ VMCS_ENTRY_INTR_INFO, INTR_VALID |
                   INTR_TYPE_HW_EXC | v | (code ? 0 : INTR_DELIVER_ERROR) }),
                   "error code against the vector's kind (26.2.1.3)");
        }
    }
    expect(BAD_CONTROLS, 0, WITH({ VMCS_ENTRY_INTR_INFO,
           INTR_VALID | INTR_TYPE_PRIV_SW_EXC | DB }, { VMCS_ENTRY_INSN_LEN, 16 }),
           "privileged software exception of 16 bytes (26.2.1.3)");
    expect(BAD_CONTROLS, 0, WITH({ VMCS_ENTRY_INTR_INFO, gp | INTR_DELIVER_ERROR },
           { VMCS_GUEST_CR0, CR0_NE }),
           "error code in real mode (26.2.1.3)");
    expect(RUNS, 0, WITH({ VMCS_ENTRY_INTR_INFO, 0x7fffffff }),
           "without the valid bit, nothing is checked (26.2.1.3)");
}

static void host_state(void)
{
    u32 wrong = 0;
    u64 qual;

    for (u32 f = VMCS_HOST_ES_SEL; f <= VMCS_HOST_TR_SEL; f += 2) {
        for (u32 bit = 1; bit <= 4; bit <<= 1) {
            Write w = { f, vmread(f) | bit };

            wrong += outcome(&w, 1, &qual) != BAD_HOST;
        }
    }
    check_eq(wrong, 0, "each host selector with RPL bits or TI (26.2.3)");
    each_bit(BAD_HOST, VMCS_HOST_CR0, rdmsr(MSR_VMX_CR0_FIXED0),
             "host CR0: each bit that is fixed to 1 (26.2.2)");
    each_bit(BAD_HOST, VMCS_HOST_CR0, ~rdmsr(MSR_VMX_CR0_FIXED1),
             "host CR0: each bit that is fixed to 0 (26.2.2)");
    each_bit(BAD_HOST, VMCS_HOST_CR4, ~rdmsr(MSR_VMX_CR4_FIXED1),
             "host CR4: each bit that is fixed to 0 (26.2.2)");
    each_bit(BAD_HOST, VMCS_HOST_CR3, width_mask() & ~(3ull << 61),
             "host CR3: each bit beyond the width (26.2.2)");
    efer_and_pat(BAD_HOST, VMCS_HOST_EFER, VMCS_HOST_PAT);
    expect(RUNS, 0, WITH({ VMCS_HOST_ES_SEL, 0 }, { VMCS_HOST_DS_SEL, 0 },
           { VMCS_HOST_SS_SEL, 0 }),
           "a 64-bit host may have null data and stack selectors (26.2.3)");
}

static void guest_registers(void)
{
    u64 fixed = rdmsr(MSR_VMX_CR0_FIXED0) & ~(CR0_PE | CR0_PG);

    each_bit(BAD_GUEST, VMCS_GUEST_CR0, fixed | ~rdmsr(MSR_VMX_CR0_FIXED1),
             "guest CR0: each fixed bit (26.3.1.1)");
    each_bit(BAD_GUEST, VMCS_GUEST_CR4, ~rdmsr(MSR_VMX_CR4_FIXED1),
             "guest CR4: each bit that is fixed to 0 (26.3.1.1)");
    each_bit(BAD_GUEST, VMCS_GUEST_CR3, width_mask() & ~(3ull << 61),
             "guest CR3: each bit beyond the width (26.3.1.1)");
    each_bit(BAD_GUEST, VMCS_GUEST_DR7, 0xffffffff00000000,
             "guest DR7: each bit above 31 (26.3.1.1)");
    each_bit(BAD_GUEST, VMCS_GUEST_DEBUGCTL, ~0xffc7ull,
             "guest DEBUGCTL: each reserved bit (26.3.1.1)");
    each_bit(BAD_GUEST, VMCS_GUEST_RFLAGS, ~0x3fffffull | 0x802a,
             "guest RFLAGS: each reserved bit (26.3.1.4)");
    efer_and_pat(BAD_GUEST, VMCS_GUEST_EFER, VMCS_GUEST_PAT);
    expect(BAD_GUEST, 0, WITH({ VMCS_GUEST_CS_AR, 0xc09b },
           { VMCS_GUEST_RIP, BIT(32) | (u64)g_nothing }),
           "RIP above 32 bits with CS.L = 0 (26.3.1.4)");
}

/* The guest's segments with and without unrestricted guest, in each mode. */
static void segments(void)
{
    const u32 sec = vmread(VMCS_SECONDARY_CONTROLS), ds_ar = VMCS_GUEST_ES_AR + 6;
    const Write restricted = { VMCS_SECONDARY_CONTROLS, sec & ~CPU2_UNRESTRICTED };

    expect(RUNS, 0, WITH(restricted), "the sane guest, without unrestricted guest");
    expect(BAD_GUEST, 0, WITH(restricted, { VMCS_GUEST_SS_SEL, SEL_DATA | 3 }),
           "SS.RPL differs from CS.RPL and SS.DPL (26.3.1.2)");
    expect(BAD_GUEST, 0, WITH(restricted, { VMCS_GUEST_SS_SEL, SEL_DATA | 3 },
           { VMCS_GUEST_CS_SEL, SEL_CODE64 | 3 }),
           "SS.DPL differs from SS.RPL (26.3.1.2)");
    expect(BAD_GUEST, 0, WITH(restricted, { VMCS_GUEST_ES_SEL + 6, SEL_DATA | 3 }),
           "DS.DPL below DS.RPL (26.3.1.2)");
    expect(RUNS, 0, WITH({ VMCS_GUEST_ES_SEL + 6, SEL_DATA | 3 }),
           "DS.DPL below DS.RPL in an unrestricted guest");
    expect(RUNS, 0, WITH(restricted, { VMCS_GUEST_ES_SEL + 6, SEL_DATA | 3 },
           { ds_ar, 0xc09f }), "DS conforming code: no check of its DPL (26.3.1.2)");
    expect(BAD_GUEST, 0, WITH(restricted, { VMCS_GUEST_CS_AR, 0xa093 }),
           "CS writable data in a restricted guest (26.3.1.2)");
    expect(BAD_GUEST, 0, WITH({ VMCS_GUEST_CS_AR, 0xc0f3 }),
           "CS writable data with DPL 3 (26.3.1.2)");
    expect(BAD_GUEST, 0, WITH({ VMCS_GUEST_CS_AR, 0xa0bf }),
           "CS conforming with a DPL above SS.DPL (26.3.1.2)");
    expect(RUNS, 0, WITH({ VMCS_GUEST_CS_AR, 0xa09f }), "CS conforming with SS.DPL");
    expect(BAD_GUEST, 0, WITH({ VMCS_GUEST_SS_AR, 0xc0f3 }),
           "SS.DPL above a non-conforming CS.DPL (26.3.1.2)");
    expect(RUNS, 0, WITH({ VMCS_GUEST_CS_AR, BIT(16) | 0xa09b }),
           "the unusable bit of CS is not looked at (26.3.1.2)");
    expect(RUNS, 0, WITH({ VMCS_GUEST_ES_AR, BIT(16) | 0xf00 },
           { VMCS_GUEST_ES_BASE, ~0ull }),
           "nothing of an unusable ES is checked (26.3.1.2)");
    expect(BAD_GUEST, 0, WITH({ VMCS_GUEST_ES_AR + 8, BIT(16) },
           { VMCS_GUEST_FS_BASE, NONCANONICAL }),
           "the base of an unusable FS is (26.3.1.2)");
    each_bit(BAD_GUEST, VMCS_GUEST_TR_AR, 0xfffe0f90,
             "TR rights: S, P, reserved (26.3.1.2)");
    each_bit(BAD_GUEST, VMCS_GUEST_CS_AR, 0xfffe0f90,
             "CS rights: S, P, reserved (26.3.1.2)");
    each_bit(BAD_GUEST, VMCS_GUEST_SS_AR, 0xfffe0f90,
             "SS rights: S, P, reserved (26.3.1.2)");
    each_bit(BAD_GUEST, ds_ar, 0xfffe0f90, "DS rights: S, P, reserved (26.3.1.2)");
}

static void local_descriptor_table(void)
{
    static const struct { u32 field; u64 value; const char *rule; } t[] = {
        { VMCS_GUEST_ES_SEL + 12, 0x30 | 4, "selector with TI" },
        { VMCS_GUEST_LDTR_BASE, NONCANONICAL, "base not canonical" },
        { VMCS_GUEST_LDTR_AR, 0x83, "type 3" },
        { VMCS_GUEST_LDTR_AR, 0x92, "S = 1" },
        { VMCS_GUEST_LDTR_AR, 0x02, "not present" },
        { VMCS_GUEST_LDTR_AR, 0x182, "reserved bit 8" },
        { VMCS_GUEST_LDTR_AR, 0x20082, "reserved bit 17" },
        { VMCS_GUEST_LDTR_AR, 0x8082, "granular with a limit of FFFH - 1" },
        { VMCS_GUEST_LDTR_LIMIT, 0x100000, "byte granular with a limit above FFFFFH" },
    };
    const Write ar = { VMCS_GUEST_LDTR_AR, 0x82 };
    const Write limit = { VMCS_GUEST_LDTR_LIMIT, 0xffe };

    print("# a usable LDTR (26.3.1.2)\n");
    expect(RUNS, 0, WITH(ar, limit), "a sane one");
    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        expect(BAD_GUEST, 0, WITH(ar, limit, { t[i].field, t[i].value }), t[i].rule);
    }
}

/* Virtual-8086 mode: the fields of six segments have no choice. */
static void vm86_segments(void)
{
    u32 entry = vmread(VMCS_ENTRY_CONTROLS);
    u32 wrong = 0;
    u64 qual;

    vmwrite(VMCS_ENTRY_CONTROLS, entry & ~ENTRY_IA32E);
    for (u32 seg = 0; seg < 6; seg++) {
        for (u32 bad = 0; bad < 4; bad++) {
            u32 base = VMCS_GUEST_ES_BASE + 2 * seg, ar = VMCS_GUEST_ES_AR + 2 * seg;
            u32 limit = VMCS_GUEST_ES_LIMIT + 2 * seg;

            vm_set_entry(&vm, g_nothing);
            vmwrite(VMCS_GUEST_EFER, 0);
            vmwrite(VMCS_GUEST_CR0, CR0_PE | CR0_NE);
            vmwrite(VMCS_GUEST_RFLAGS, 2 | BIT(17) | BIT(13) | BIT(12));
            vmwrite(VMCS_GUEST_RIP, 0x7000);
            for (u32 i = 0; i < 6; i++) {
                vmwrite(VMCS_GUEST_ES_SEL + 2 * i, 0);
                vmwrite(VMCS_GUEST_ES_BASE + 2 * i, 0);
                vmwrite(VMCS_GUEST_ES_LIMIT + 2 * i, 0xffff);
                vmwrite(VMCS_GUEST_ES_AR + 2 * i, 0xf3);
            }
            vmwrite(bad == 1 ? base : bad == 2 ? limit : ar,
                    bad == 1 ? 0x10 : bad == 2 ? 0xfffe : bad == 3 ? 0x93 : 0xf3);
            *(volatile u8 *)0x7000 = 0xf4;          /* HLT, which is #GP here */
            qual = vm_enter(&vm);
            qual = qual != VM_EXITED ? 0x1000 : vm_reason();
            if (bad ? qual != (VMX_EXIT_BAD_GUEST | VMX_EXIT_ENTRY_FAILURE)
                    : qual >> 31 || qual == 0x1000) {
                print("# segment %u, defect %u: %lx\n", seg, bad, qual);
                wrong++;
            }
        }
    }
    check_eq(wrong, 0,
             "virtual-8086 mode: base, limit, rights of each segment (26.3.1.2)");
    vmwrite(VMCS_ENTRY_CONTROLS, entry);
}

/* 26.3.1.5: activity state and interruptibility against the event to inject. */
static void activity(void)
{
    const Write hlt = { VMCS_GUEST_ACTIVITY, ACTIVITY_HLT };
    const Write flags = { VMCS_GUEST_RFLAGS, FLAGS_IF | 2 };
    static const struct { u32 info; bool ok; const char *rule; } t[] = {
        { INTR_TYPE_SOFT_INT | 0x80, false, "HLT with a software interrupt" },
        { INTR_TYPE_SOFT_EXC | 3, false, "HLT with #BP" },
        { INTR_TYPE_PRIV_SW_EXC | 1, false, "HLT with INT1" },
        { INTR_TYPE_HW_EXC | UD, false, "HLT with #UD" },
        { INTR_TYPE_HW_EXC | DB, true, "HLT with #DB" },
        { INTR_TYPE_HW_EXC | 18, true, "HLT with #MC" },
    };

    each_bit(BAD_GUEST, VMCS_GUEST_ACTIVITY, ~7u, "activity states above 7 (26.3.1.5)");
    if (!(rdmsr(MSR_VMX_MISC) & BIT(6))) {
        expect(BAD_GUEST, 0, WITH(hlt), "HLT is not offered (26.3.1.5)");
        return;
    }
    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        u64 qual;
        u32 want = t[i].ok ? RUNS : BAD_GUEST;

        check_eq(outcome(WITH(hlt, flags, { VMCS_ENTRY_INSN_LEN, 1 },
                              { VMCS_GUEST_IDTR_LIMIT, 0 },
                              { VMCS_EXCEPTION_BITMAP, ~0u },
                              { VMCS_ENTRY_INTR_INFO, t[i].info | INTR_VALID }), &qual),
                 want, "%s (26.3.1.5)", t[i].rule);
    }
    expect(BAD_GUEST, 0, WITH(hlt, { VMCS_GUEST_CS_AR, 0xa0fb },
           { VMCS_GUEST_SS_AR, 0xc0f3 },
           { VMCS_GUEST_CS_SEL, SEL_CODE64 | 3 }, { VMCS_GUEST_SS_SEL, SEL_DATA | 3 }),
           "HLT with SS.DPL 3 (26.3.1.5)");
    expect(BAD_GUEST, 0, WITH(hlt, flags, { VMCS_GUEST_INTERRUPTIBILITY, 1 }),
           "HLT with blocking by STI (26.3.1.5)");
    expect(BAD_GUEST, 0, WITH(hlt, flags, { VMCS_GUEST_INTERRUPTIBILITY, 2 }),
           "HLT with blocking by MOV SS (26.3.1.5)");
}

static void interruptibility(void)
{
    const Write flags = { VMCS_GUEST_RFLAGS, FLAGS_IF | 2 };
    const u32 pin = vmread(VMCS_PIN_CONTROLS);

    each_bit(BAD_GUEST, VMCS_GUEST_INTERRUPTIBILITY, 0xfffffff4,
             "interruptibility: SMI out of SMM, enclave, reserved bits (26.3.1.5)");
    for (u32 blocked = 1; blocked <= 2; blocked++) {
        expect(BAD_GUEST, 0, WITH(flags, { VMCS_GUEST_INTERRUPTIBILITY, blocked },
               { VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_TYPE_EXT | 0x40 }),
               "external interrupt with blocking (26.3.1.5)");
    }
    if (vmx_may(VMCS_PIN_CONTROLS, PIN_VIRTUAL_NMIS)) {
        expect(BAD_GUEST, 0, WITH({ VMCS_PIN_CONTROLS, pin | PIN_VIRTUAL_NMIS },
               { VMCS_GUEST_INTERRUPTIBILITY, 8 },
               { VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_TYPE_NMI | 2 }),
               "virtual NMI with virtual-NMI blocking (26.3.1.5)");
    }
}

static void pending_debug(void)
{
    static const struct {
        u64 flags, pending, debugctl, blocked, activity;
        bool ok;
    } t[] = {
        { TF_IF, BIT(14), 0, 1, 0, true }, { TF_IF, 0, 0, 1, 0, false },
        { TF_IF, BIT(14), 2, 1, 0, false }, { TF_IF, 0, 2, 1, 0, true },
        { TF_IF, 0, 0, 2, 0, false }, { FLAGS_IF | 2, BIT(14), 0, 2, 0, false },
        { FLAGS_IF | 2, BIT(14), 0, 1, 0, false }, { TF_IF, 0, 0, 0, 1, false },
        { FLAGS_IF | 2, BIT(14), 0, 0, 1, false }, { TF_IF, 0, 0, 0, 0, true },
    };

    each_bit(BAD_GUEST, VMCS_GUEST_PENDING_DEBUG, ~0x1d80full & ~(7ull << 9),
             "pending debug exceptions: each reserved bit (26.3.1.5)");
    for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
        u64 qual;
        u32 r = outcome(WITH({ VMCS_GUEST_RFLAGS, t[i].flags },
                             { VMCS_GUEST_PENDING_DEBUG, t[i].pending },
                             { VMCS_GUEST_DEBUGCTL, t[i].debugctl },
                             { VMCS_GUEST_INTERRUPTIBILITY, t[i].blocked },
                             { VMCS_EXCEPTION_BITMAP, 1u << DB },
                             { VMCS_GUEST_ACTIVITY, t[i].activity }), &qual);

        check_eq(r, t[i].ok ? RUNS : BAD_GUEST,
                 "pending BS against TF, BTF, blocking and HLT, case %u (26.3.1.5)", i);
    }
}

static void link_pointer(void)
{
    u64 region = vmx_new_region(), other = vmx_new_region();

    *(u32 *)other ^= 1;
    expect(BAD_GUEST, 4, WITH({ VMCS_LINK_POINTER, vm.vmcs }),
           "VMCS link pointer to the current VMCS (26.3.1.5)");
    expect(BAD_GUEST, 4, WITH({ VMCS_LINK_POINTER, other }),
           "VMCS link pointer to another revision (26.3.1.5)");
    *(u32 *)other ^= 1 | BIT(31);
    expect(BAD_GUEST, 4, WITH({ VMCS_LINK_POINTER, other }),
           "VMCS link pointer to a shadow VMCS (26.3.1.5)");
    expect(RUNS, 0, WITH({ VMCS_LINK_POINTER, region }), "VMCS link pointer to a VMCS");
}

static void g_read_registers(void)
{
    seen[0] = read_cr0();
    seen[1] = read_dr7();
}

/* 26.3.2.1, 27.5.1: bits that entry and exit do not take from the VMCS. */
static void bits_not_loaded(void)
{
    const u64 reserved = 0x1ffaffc0;            /* bits 28:19, 17, 15:6 */

    vm_set_entry(&vm, g_read_registers);
    vmwrite(VMCS_GUEST_CR0, read_cr0() | reserved | CR0_CD | CR0_NW);
    vmwrite(VMCS_GUEST_DR7, 0x400 | 0xd000);
    vmwrite(VMCS_HOST_CR0, read_cr0() | reserved | CR0_CD | CR0_NW);
    check_eq(vm_run(&vm), VMX_EXIT_VMCALL, "reserved bits of CR0 do not fail entry");
    check_eq(seen[0] & (reserved | CR0_CD | CR0_NW), 0, "entry: CR0 bits not loaded");
    check_eq(seen[1], 0x400, "entry: DR7 bits 15:14 and 12 are 0 (26.3.2.1)");
    check_eq(read_cr0() & (reserved | CR0_CD | CR0_NW), 0, "exit: CR0 bits not loaded");
    vmwrite(VMCS_HOST_CR0, read_cr0());
}

typedef struct MsrEntry { u32 index, reserved; u64 value; } MsrEntry;

/* 26.4, 26.8: the list up to the entry that fails; then the exit's load list. */
static void failed_msr_list(void)
{
    static const MsrEntry bad[] = {
        { 0x9b, 0, 0 }, { MSR_GS_BASE, 0, 0 }, { 0x8ff, 0, 0 },
        { MSR_EFER, 0, 0 }, { MSR_EFER, 0, 0xd01 | BIT(1) }, { MSR_PAT, 0, 2 },
        { MSR_VMX_BASIC, 0, 0 }, { MSR_FEATURE_CONTROL, 0, 5 }, { MSR_STAR, BIT(31), 0 },
        { 0xc0000103, 0, BIT(32) }, { 0x1d9, 0, BIT(20) },
    };
    MsrEntry *load = page_alloc(), *store = page_alloc(), *host = page_alloc();
    u64 efer = rdmsr(MSR_EFER);

    host[0] = (MsrEntry){ MSR_STAR, 0, BIT(50) };
    store[0] = (MsrEntry){ MSR_STAR, 0, 0x1234 };
    load[0] = (MsrEntry){ MSR_STAR, 0, BIT(51) };
    load[1] = (MsrEntry){ MSR_KERNEL_GS_BASE, 0, 0x77000 };
    vm_set_entry(&vm, g_nothing);
    vmwrite(VMCS_ENTRY_MSR_LOAD_ADDR, (u64)load);
    vmwrite(VMCS_EXIT_MSR_STORE_ADDR, (u64)store);
    vmwrite(VMCS_EXIT_MSR_LOAD_ADDR, (u64)host);
    vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 3);
    vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 1);
    vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 1);
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        load[2] = bad[i];
        wrmsr(MSR_STAR, 0);
        check(vm_enter(&vm) == VM_EXITED &&
              vm_reason() == (VMX_EXIT_BAD_MSR_LOAD | VMX_EXIT_ENTRY_FAILURE) &&
              vm_qual() == 3, "MSR %x in the list: failure 34, entry 3 (26.4)",
              bad[i].index);
        check_eq(rdmsr(MSR_STAR), BIT(50), "the exit's list is loaded after it (26.8)");
    }
    check_eq(rdmsr(MSR_KERNEL_GS_BASE), 0x77000, "entries before the bad one are loaded");
    check_eq(store[0].value, 0x1234, "no MSR is stored by a failed entry (26.8)");
    check_eq(rdmsr(MSR_EFER), efer, "the host's EFER is loaded");
    vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
    vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
    vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 0);
}

/* 26.8: of the exit information only reason and qualification, of the guest nothing. */
static void failed_entry_leaves(void)
{
    static const u32 kept[] = {
        VMCS_EXIT_INTR_INFO, VMCS_EXIT_INSN_LEN, VMCS_IDT_VECTORING_INFO,
        VMCS_EXIT_INSN_INFO, VMCS_GUEST_RIP, VMCS_GUEST_RSP, VMCS_GUEST_CR3,
        VMCS_GUEST_ACTIVITY, VMCS_GUEST_CS_AR, VMCS_INSTRUCTION_ERROR,
    };
    u64 before[ARRAY_SIZE(kept)];

    vm_start(&vm, g_nothing);               /* leaves an instruction length */
    vmwrite(VMCS_GUEST_RFLAGS, 0);
    for (u32 i = 0; i < ARRAY_SIZE(kept); i++) {
        before[i] = vmread(kept[i]);
    }
    asm volatile("movq %0, %%dr7" : : "r"(0x401ull));
    check_eq(vm_enter(&vm), VM_EXITED, "a guest with RFLAGS = 0: exit");
    check_eq(read_dr7(), 0x400, "failed entry: DR7 is 400H (26.8)");
    check_eq(read_flags() & ~(u64)FLAGS_ARITH, 2, "failed entry: RFLAGS is 2 (26.8)");
    for (u32 i = 0; i < ARRAY_SIZE(kept); i++) {
        check_eq(vmread(kept[i]), before[i], "failed entry keeps field %x (26.8)",
                 kept[i]);
    }
}

void test_main(void)
{
    if (!vmx_supported()) {
        panic("no VMX");
    }
    vmx_on();
    vm_create(&vm);
    controls();
    injection();
    host_state();
    guest_registers();
    segments();
    local_descriptor_table();
    vm86_segments();
    activity();
    interruptibility();
    pending_debug();
    link_pointer();
    bits_not_loaded();
    failed_msr_list();
    failed_entry_leaves();
}
