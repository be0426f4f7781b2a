/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM entries with random VMCSs, and the VM exits after them: vmx_entry ROUNDS
 * [SEED].  Runs the code of target/i386/tcg/vmx/ on the machine of
 * qemu_stubs.c, under ASan and UBSan.
 *
 * What has to hold after an entry (SDM vol. 3, 27.1, 27.2, 27.7, 27.8): either
 * nothing changed but the flags and the error number, or the host state is
 * loaded and the VMCS says why and nothing else, or the guest runs.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/helper-proto.h"
#include "qemu/log.h"
#include "vmx.h"
#include "fuzz.h"

#define VMXON_PAGE      0x1000ull
#define VMCS_PAGE       0x2000ull
#define OPERAND         0x0100ull
#define MSR_LISTS       0x3000ull
#define VIRTUAL_APIC    0x4000ull
#define EPT_ROOT        0x5000ull
#define PHYS_BITS       46
#define INSN_LEN        3
#define HOST_RIP        0xffffffff81234567ull

static X86CPU *cpu;
static CPUX86State *env;
static uint64_t seed, state;
static unsigned long rounds, round_now;
static struct { unsigned long failed, refused, bad_msr, entered; } outcome;

uint64_t fuzz_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

void fuzz_finding(const char *text)
{
    printf("# seed %" PRIu64 ", round %lu\nnot ok - %s\n1..1\n", seed, round_now, text);
    exit(1);
}

static void expect(bool holds, const char *text)
{
    if (!holds) {
        fuzz_finding(text);
    }
}

/* --- the processor ------------------------------------------------------ */

static void create_cpu(void)
{
    cpu = g_new0(X86CPU, 1);
    env = &cpu->env;
    cpu->phys_bits = PHYS_BITS;
    env->features[FEAT_1_ECX] = CPUID_EXT_VMX | CPUID_EXT_PCID | CPUID_EXT_XSAVE;
    env->features[FEAT_1_EDX] = CPUID_PSE | CPUID_PAE | CPUID_PGE | CPUID_SSE;
    env->features[FEAT_7_0_EBX] = CPUID_7_0_EBX_SMEP | CPUID_7_0_EBX_SMAP;
    env->features[FEAT_8000_0001_EDX] = CPUID_EXT2_NX | CPUID_EXT2_LM |
                                        CPUID_EXT2_SYSCALL;
    env_cpu(env)->as = &fuzz_memory;
    env->mcg_cap = 10;
    env->a20_mask = -1;
    x86_vmx_realize(cpu);
    x86_vmx_reset(env);
    env->msr_ia32_feature_control = FEATURE_CONTROL_LOCKED |
                                    FEATURE_CONTROL_VMXON_ENABLED_OUTSIDE_SMX;
}

/* Root operation, 64-bit mode, CPL 0. */
static void host_mode(void)
{
    env->cr[0] = CR0_PE_MASK | CR0_ET_MASK | CR0_NE_MASK | CR0_PG_MASK;
    env->cr[3] = 0x8000;
    env->cr[4] = CR4_PAE_MASK | CR4_VMXE_MASK;
    env->efer = MSR_EFER_LME | MSR_EFER_LMA | MSR_EFER_SCE | MSR_EFER_NXE;
    env->hflags = HF_PE_MASK | HF_LMA_MASK | HF_CS64_MASK | HF_CS32_MASK;
    env->eflags = 2;
    env->eip = 0x1000;
    env->dr[7] = DR7_FIXED_1;
    env_cpu(env)->halted = 0;
    env_cpu(env)->interrupt_request = 0;
}

/* False: it did not return, and fuzz_exception tells of an exception. */
static bool execute(uint32_t op, uint64_t reg, uint64_t ea)
{
    fuzz_exception = -1;
    env->regs[R_ECX] = reg;
    if (sigsetjmp(fuzz_return, 0)) {
        return false;
    }
    helper_vmx_insn(env, op, R_ECX | R_EDX << 4 | 1 << 8 | (uint64_t)INSN_LEN << 32, ea);
    return true;
}

static void set_operand(uint64_t lo, uint64_t hi)
{
    stq_le_p(fuzz_ram + OPERAND, lo);
    stq_le_p(fuzz_ram + OPERAND + 8, hi);
}

/* VMX operation with the VMCS at VMCS_PAGE. */
static void make_current(void)
{
    struct X86VMX *vmx = env->vmx;

    if (!vmx->vmxon) {
        stl_le_p(fuzz_ram + VMXON_PAGE, VMCS_REVISION_ID);
        set_operand(VMXON_PAGE, 0);
        execute(VMX_OP_VMXON, 0, OPERAND);
        expect(vmx->vmxon, "VMXON succeeds");
    }
    if (vmx->vmcs_ptr != VMCS_PAGE) {
        stl_le_p(fuzz_ram + VMCS_PAGE, VMCS_REVISION_ID);
        set_operand(VMCS_PAGE, 0);
        execute(VMX_OP_VMPTRLD, 0, OPERAND);
        expect(vmx->vmcs_ptr == VMCS_PAGE, "VMPTRLD succeeds");
    }
}

/* --- a VMCS that can be entered, and defects ---------------------------- */

static void sound_vmcs(Vmcs *v)
{
    static const struct { uint16_t field; uint64_t value; } fields[] = {
        { VMCS_HOST_CR0, 0x80000021 }, { VMCS_HOST_CR3, 0x8000 },
        { VMCS_HOST_CR4, 0x2020 }, { VMCS_HOST_EFER, 0xd01 },
        { VMCS_HOST_PAT, 0x0007040600070406 }, { VMCS_HOST_CS_SEL, 8 },
        { VMCS_HOST_SS_SEL, 16 }, { VMCS_HOST_TR_SEL, 24 },
        { VMCS_HOST_RSP, 0x7000 }, { VMCS_HOST_RIP, HOST_RIP },
        { VMCS_GUEST_CR0, 0x80000021 }, { VMCS_GUEST_CR3, 0x9000 },
        { VMCS_GUEST_CR4, 0x2020 }, { VMCS_GUEST_EFER, 0xd01 },
        { VMCS_GUEST_PAT, 0x0007040600070406 }, { VMCS_GUEST_DR7, 0x400 },
        { VMCS_GUEST_RFLAGS, 2 }, { VMCS_GUEST_RIP, 0x2000 },
        { VMCS_LINK_POINTER, UINT64_MAX }, { VMCS_VPID, 1 },
        { VMCS_EPT_POINTER, EPT_ROOT | 3 << 3 | 6 },
        { VMCS_VIRTUAL_APIC_ADDR, VIRTUAL_APIC },
        { VMCS_POSTED_INTR_DESC, VIRTUAL_APIC + 0x800 },
        { VMCS_TSC_MULTIPLIER, VMX_TSC_UNSCALED },
        { VMCS_ENTRY_MSR_LOAD_ADDR, MSR_LISTS },
        { VMCS_EXIT_MSR_STORE_ADDR, MSR_LISTS + 0x400 },
        { VMCS_EXIT_MSR_LOAD_ADDR, MSR_LISTS + 0x800 },
        { VMCS_GUEST_TR_LIMIT, 0x67 },
    };
    static const uint32_t rights[8] = {
        0xc093, 0xa09b, 0xc093, 0xc093, 0xc093, 0xc093, VMCS_AR_UNUSABLE, 0x8b,
    };

    memset(v->field, 0, sizeof(v->field));
    for (int i = 0; i < 8; i++) {
        vmcs_write(v, VMCS_GUEST_ES_AR + 2 * i, rights[i]);
        vmcs_write(v, VMCS_GUEST_ES_LIMIT + 2 * i, UINT32_MAX);
    }
    for (int i = 0; i < ARRAY_SIZE(fields); i++) {
        vmcs_write(v, fields[i].field, fields[i].value);
    }
}

/* Controls that VM entry accepts one by one: half of the optional bits at random. */
static void random_controls(Vmcs *v)
{
    static const struct { VmxCap cap; uint16_t field; uint32_t on; } words[] = {
        { VMX_CAP_PIN, VMCS_PIN_CONTROLS, PIN_EXT_INTR | PIN_NMI },
        { VMX_CAP_PRIMARY, VMCS_PRIMARY_CONTROLS, CPU_SECONDARY },
        { VMX_CAP_SECONDARY, VMCS_SECONDARY_CONTROLS, CPU2_EPT },
        { VMX_CAP_EXIT, VMCS_EXIT_CONTROLS, EXIT_HOST_64 },
        { VMX_CAP_ENTRY, VMCS_ENTRY_CONTROLS, ENTRY_IA32E },
    };

    for (int i = 0; i < ARRAY_SIZE(words); i++) {
        uint32_t must, may, some = fuzz_random();

        vmx_cap_masks(words[i].cap, &must, &may);
        if (fuzz_random() & 3) {
            some &= fuzz_random() & fuzz_random();      /* few of them */
        }
        vmcs_write(v, words[i].field, must | (may & (some | words[i].on)));
    }
}

static uint64_t random_value(uint64_t old)
{
    uint64_t r = fuzz_random();

    switch (r & 7) {
    case 0:
        return fuzz_random();
    case 1:
        return (uint32_t)fuzz_random();
    case 2:
        return r >> 63 ? 0 : UINT64_MAX;
    case 3:
        return r >> 8 & 0xffff;
    case 4:
        return (r >> 8 & 0xf) << 12;
    default:
        return old ^ 1ull << (r >> 8 & (r >> 20 & 1 ? 63 : 15));
    }
}

static uint16_t writable[256];
static int writable_count;

static void find_fields(void)
{
    for (uint32_t f = 0; f < 0x8000; f += 2) {
        if (vmcs_field_writable(f)) {
            expect(writable_count < ARRAY_SIZE(writable), "few enough fields");
            writable[writable_count++] = f;
        }
    }
}

static void break_fields(Vmcs *v, int count)
{
    while (count--) {
        uint16_t f = writable[fuzz_random() % writable_count];

        vmcs_field_write(v, f, random_value(vmcs_read(v, f)));
    }
}

/* MSRs that exist and may be in a list, those that may not, and others. */
static void random_msr_lists(Vmcs *v)
{
    static const uint32_t msrs[] = {
        MSR_STAR, MSR_LSTAR, MSR_FMASK, MSR_KERNELGSBASE, MSR_TSC_AUX, MSR_EFER, MSR_PAT,
        MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, 0x1d9, MSR_IA32_APICBASE, MSR_FSBASE,
        0x808, MSR_IA32_FEATURE_CONTROL, MSR_VM_HSAVE_PA, MSR_IA32_PKRS, MSR_IA32_TSC,
        MSR_MTRRphysBase(0), MSR_MC0_CTL, MSR_IA32_VMX_BASIC, MSR_IA32_BNDCFGS,
    };

    for (uint64_t at = MSR_LISTS; at < MSR_LISTS + 0xc00; at += 16) {
        uint64_t r = fuzz_random();

        stl_le_p(fuzz_ram + at, r & 31 ? msrs[(r >> 8) % ARRAY_SIZE(msrs)] : r >> 32);
        stl_le_p(fuzz_ram + at + 4, r >> 16 & 31 ? 0 : r >> 40);
        stq_le_p(fuzz_ram + at + 8, random_value(0));
    }
    vmcs_write(v, VMCS_ENTRY_MSR_LOAD_COUNT, fuzz_random() % 3);
    vmcs_write(v, VMCS_EXIT_MSR_STORE_COUNT, fuzz_random() % 3);
    vmcs_write(v, VMCS_EXIT_MSR_LOAD_COUNT, fuzz_random() % 3);
}

/* --- judging ------------------------------------------------------------ */

/* VMCSs are the same but for up to two fields (0: none). */
static bool same_vmcs(const Vmcs *a, const Vmcs *b, uint16_t one, uint16_t other)
{
    Vmcs x = *a, y = *b;

    vmcs_write(&x, one, 0);
    vmcs_write(&y, one, 0);
    vmcs_write(&x, other, 0);
    vmcs_write(&y, other, 0);
    return !memcmp(&x, &y, sizeof(x));
}

static void expect_failed(const CPUX86State *before, const Vmcs *v, uint32_t error)
{
    CPUX86State now = *env;

    expect(now.cc_src == CC_Z, "VMfailValid sets ZF only");
    expect(vmcs_read(&env->vmx->vmcs, VMCS_INSTRUCTION_ERROR) == error,
           "the VM-instruction error is that of the first check that fails");
    expect(same_vmcs(&env->vmx->vmcs, v, VMCS_INSTRUCTION_ERROR, VMCS_INSTRUCTION_ERROR),
           "VMfailValid changes no other field");
    now.eip = before->eip;
    now.eflags = before->eflags;
    now.cc_src = before->cc_src;
    now.cc_op = before->cc_op;
    now.df = before->df;
    expect(!memcmp(&now, before, sizeof(now)), "VMfailValid changes no other register");
    outcome.failed++;
}

static void expect_host(const Vmcs *v)
{
    const uint64_t checked = CR0_PE_MASK | CR0_NE_MASK | CR0_PG_MASK | CR0_WP_MASK;

    expect(!(env->hflags & (HF_GUEST_MASK | HF_INHIBIT_IRQ_MASK)), "not in a guest");
    expect(!((env->cr[0] ^ vmcs_read(v, VMCS_HOST_CR0)) & checked), "the host's CR0");
    expect(env->cr[3] == vmcs_read(v, VMCS_HOST_CR3), "the host's CR3");
    expect(env->cr[4] == vmcs_read(v, VMCS_HOST_CR4), "the host's CR4");
    expect(env->regs[R_ESP] == vmcs_read(v, VMCS_HOST_RSP), "the host's RSP");
    expect(env->eip == vmcs_read(v, VMCS_HOST_RIP), "the host's RIP");
    expect(env->efer & MSR_EFER_LMA, "the host's EFER.LMA");
    expect(env->dr[7] == DR7_FIXED_1, "DR7 is 400H");
    expect(env->eflags == 2 && !env->cc_src, "RFLAGS is 2");
    expect(env->segs[R_CS].selector == vmcs_read(v, VMCS_HOST_CS_SEL), "the host's CS");
    expect(env->idt.limit == 0xffff && env->tr.limit == 0x67, "limits of tables");
}

static void expect_refused(const Vmcs *v)
{
    const Vmcs *now = &env->vmx->vmcs;
    uint64_t reason = vmcs_read(now, VMCS_EXIT_REASON);
    uint64_t qual = vmcs_read(now, VMCS_EXIT_QUALIFICATION);

    expect(reason == (VMX_EXIT_BAD_GUEST | VMX_EXIT_ENTRY_FAILURE) ||
           reason == (VMX_EXIT_BAD_MSR_LOAD | VMX_EXIT_ENTRY_FAILURE),
           "the exit reason of a failed entry");
    if ((uint16_t)reason == VMX_EXIT_BAD_GUEST) {
        expect(qual == 0 || qual == 2 || qual == 4, "qualification of reason 33");
        outcome.refused++;
    } else {
        expect(qual && qual <= vmcs_read(now, VMCS_ENTRY_MSR_LOAD_COUNT),
               "qualification of reason 34: an entry of the list");
        outcome.bad_msr++;
    }
    expect(same_vmcs(now, v, VMCS_EXIT_REASON, VMCS_EXIT_QUALIFICATION),
           "a failed entry changes no field but reason and qualification");
    expect_host(now);
}

/* The guest of @v is about to run, or an event of it to be delivered (27.3.2). */
static void expect_guest(const Vmcs *v)
{
    uint32_t event = vmcs_read(v, VMCS_ENTRY_INTR_INFO);
    Vmcs launched = *v;

    launched.launched = 1;
    expect(same_vmcs(&env->vmx->vmcs, &launched, VMCS_GUEST_INTR_STATUS,
                     VMCS_GUEST_INTR_STATUS),
           "entry changes no field but the guest interrupt status");
    expect(env->cr[3] == vmcs_read(v, VMCS_GUEST_CR3), "the guest's CR3");
    expect(env->cr[4] == vmcs_read(v, VMCS_GUEST_CR4), "the guest's CR4");
    expect(env->regs[R_ESP] == vmcs_read(v, VMCS_GUEST_RSP), "the guest's RSP");
    expect(cpu_compute_eflags(env) == vmcs_read(v, VMCS_GUEST_RFLAGS),
           "the guest's RFLAGS");
    expect((event & INTR_VALID && (event & INTR_TYPE) == INTR_TYPE_PRIV_SW_EXC) ||
           env->eip == vmcs_read(v, VMCS_GUEST_RIP), "the guest's RIP");
    expect(!(vmcs_read(v, VMCS_ENTRY_CONTROLS) & ENTRY_LOAD_DEBUG) ||
           env->dr[7] == ((vmcs_read(v, VMCS_GUEST_DR7) & ~0xd000ull) | DR7_FIXED_1),
           "the guest's DR7");
    for (int i = 0; i < 6; i++) {
        expect(env->segs[i].selector == vmcs_read(v, VMCS_GUEST_ES_SEL + 2 * i) &&
               env->segs[i].base == vmcs_read(v, VMCS_GUEST_ES_BASE + 2 * i) &&
               env->segs[i].limit == vmcs_read(v, VMCS_GUEST_ES_LIMIT + 2 * i),
               "the guest's segments");
    }
    expect(env->idt.limit == vmcs_read(v, VMCS_GUEST_IDTR_LIMIT), "the guest's IDTR");
}

/* Walk EPTs of random bytes, then leave the guest; the next entry is possible. */
static void leave_guest(void)
{
    struct X86VMX *vmx = env->vmx;
    int prot, page_size;
    uint64_t pa, qual = 0;

    outcome.entered++;
    expect(vmx->vmcs.launched, "the VMCS of a guest that runs is launched");
    if (!sigsetjmp(fuzz_return, 0)) {
        if (vmx->cpu2 & CPU2_EPT) {
            vmx_ept_walk(env, fuzz_random() >> 16, fuzz_random() % 3, &pa, &prot,
                         &page_size);
        }
        vmx_exit(env, VMX_EXIT_CPUID, 0, 0);
    }
    expect(!vmx_nonroot(env), "a VM exit leaves the guest");
    expect(!(vmcs_read(&vmx->vmcs, VMCS_EXIT_REASON) & VMX_EXIT_ENTRY_FAILURE),
           "the exit reason of a VM exit");
    expect(!(vmcs_read(&vmx->vmcs, VMCS_ENTRY_INTR_INFO) & INTR_VALID),
           "a VM exit ends the event to inject");
    expect_host(&vmx->vmcs);
    if (!vmx_check_guest(env, &vmx->vmcs, false, &qual)) {
        qemu_set_log(LOG_GUEST_ERROR, NULL);          /* which rule it is */
        vmx_check_guest(env, &vmx->vmcs, false, &qual);
        fuzz_finding("what a VM exit saves can be entered");
    }
}

/* --- rounds ------------------------------------------------------------- */

/* One instruction with random operands, anything but an entry. */
static void random_instruction(void)
{
    static const struct { uint8_t op; uint32_t errors; } insns[] = {
        { VMX_OP_VMCALL, 1u << VMX_ERR_VMCALL_ROOT },
        { VMX_OP_VMXON, 1u << VMX_ERR_VMXON_ROOT },
        { VMX_OP_VMXOFF, 0 },
        { VMX_OP_VMPTRST, 0 },
        { VMX_OP_VMCLEAR, 1u << VMX_ERR_VMCLEAR_ADDR | 1u << VMX_ERR_VMCLEAR_VMXON },
        { VMX_OP_VMPTRLD, 1u << VMX_ERR_VMPTRLD_ADDR | 1u << VMX_ERR_VMPTRLD_VMXON |
                          1u << VMX_ERR_VMPTRLD_REVISION },
        { VMX_OP_VMREAD, 1u << VMX_ERR_UNSUPPORTED_FIELD },
        { VMX_OP_VMWRITE, 1u << VMX_ERR_UNSUPPORTED_FIELD |
                          1u << VMX_ERR_READ_ONLY_FIELD },
        { VMX_OP_INVEPT, 1u << VMX_ERR_INVEPT_OPERAND },
        { VMX_OP_INVVPID, 1u << VMX_ERR_INVEPT_OPERAND },
    };
    uint64_t r = fuzz_random();
    int i = (r >> 8) % ARRAY_SIZE(insns);
    uint64_t reg = r & 1 ? fuzz_random() & 0x7fff : random_value(0);
    uint64_t ea = r & 14 ? OPERAND : fuzz_random();

    set_operand(random_value(VMCS_PAGE), r & 16 ? 0 : random_value(0));
    env->hflags = r & 0xe0 ? env->hflags : env->hflags & ~(HF_LMA_MASK | HF_CS64_MASK);
    if (execute(insns[i].op, reg, ea) && env->cc_src == CC_Z) {
        uint64_t error = vmcs_read(&env->vmx->vmcs, VMCS_INSTRUCTION_ERROR);

        expect(error < 32 && (insns[i].errors >> error & 1),
               "a VM-instruction error is one of the instruction's");
    }
    expect(fuzz_exception == -1 || fuzz_exception == EXCP0E_PAGE ||
           fuzz_exception == EXCP06_ILLOP || fuzz_exception == EXCP0D_GPF,
           "exceptions of VMX instructions");
    expect(!vmx_nonroot(env), "only VMLAUNCH and VMRESUME enter a guest");
}

static void random_entry(void)
{
    static bool again;          /* enter a VMCS anew that has just been entered */
    struct X86VMX *vmx = env->vmx;
    uint64_t r = fuzz_random();
    uint32_t error, launch_error;
    uint64_t qual = 0;
    CPUX86State before;
    bool refused;
    Vmcs v;

    if (!again) {
        sound_vmcs(&vmx->vmcs);
        random_controls(&vmx->vmcs);
        random_msr_lists(&vmx->vmcs);
    }
    break_fields(&vmx->vmcs, r & 0x1f0 ? r & 3 : 40);
    vmx->vmcs.launched = r >> 16 & 1;
    launch_error = (r >> 17 & 31) ? 0 : VMX_ERR_VMLAUNCH_NOT_CLEAR + !vmx->vmcs.launched;
    v = vmx->vmcs;
    before = *env;
    error = launch_error ?: vmx_check_controls(env, &v, false) ?: vmx_check_host(env, &v);
    refused = !vmx_check_guest(env, &v, false, &qual);

    fuzz_entering = true;
    execute(vmx->vmcs.launched ^ !launch_error ? VMX_OP_VMLAUNCH : VMX_OP_VMRESUME, 0, 0);
    fuzz_entering = false;
    if (error) {
        before.regs[R_ECX] = env->regs[R_ECX];
        expect_failed(&before, &v, error);
    } else if (vmx_nonroot(env)) {
        expect(!refused, "a guest that the checks refuse does not run");
        expect_guest(&v);
        leave_guest();
        again = r >> 32 & 3;
        return;
    } else if (vmcs_read(&vmx->vmcs, VMCS_EXIT_REASON) & VMX_EXIT_ENTRY_FAILURE) {
        expect_refused(&v);
    } else {
        expect_host(&vmx->vmcs);        /* an exit before the first instruction */
    }
    again = false;
}

int main(int argc, char **argv)
{
    rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000000;
    seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    state = 0x853c49e6748fea9bull ^ seed << 20;
    create_cpu();
    find_fields();
    for (round_now = 0; round_now < rounds; round_now++) {
        host_mode();
        if (!(round_now & 15)) {
            for (int i = 0; i < FUZZ_RAM; i += 8) {
                stq_le_p(fuzz_ram + i, fuzz_random());
            }
        }
        random_instruction();
        host_mode();
        make_current();
        host_mode();
        random_entry();
    }
    printf("# %lu entries: %lu failed, %lu refused, %lu with bad MSR lists, %lu ran\n",
           rounds, outcome.failed, outcome.refused, outcome.bad_msr, outcome.entered);
    expect(outcome.failed > rounds / 20 && outcome.refused > rounds / 20 &&
           outcome.bad_msr > rounds / 100 && outcome.entered > rounds / 20,
           "the rounds were of all kinds");
    printf("ok - %lu VM entries with random VMCSs, seed %" PRIu64 "\n1..1\n", rounds,
           seed);
    return 0;
}
