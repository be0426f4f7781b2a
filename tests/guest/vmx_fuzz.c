/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hostile VMCSs: guest state and controls with random defects, guests of
 * random bytes in a sandbox of 2 MiB.  Whatever happens has to be a VMfail with
 * an architectural error number or a VM exit with an architectural reason, and
 * the host state has to be intact afterwards.
 */
#include "vmx.h"

const char test_name[] = "vmx_fuzz";

#ifndef ROUNDS
#define ROUNDS      4000
#endif
#ifndef SEED
#define SEED        0
#endif
#define SANDBOX     0x200000ull

static Vm vm;
static u64 state = 0x853c49e6748fea9b ^ ((u64)SEED << 20);

static u64 rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Fields that may be anything; no addresses that the processor writes to. */
static const u16 fields[] = {
    VMCS_PIN_CONTROLS, VMCS_PRIMARY_CONTROLS, VMCS_SECONDARY_CONTROLS,
    VMCS_EXIT_CONTROLS, VMCS_ENTRY_CONTROLS, VMCS_EXCEPTION_BITMAP, VMCS_PFEC_MASK,
    VMCS_PFEC_MATCH, VMCS_CR3_TARGET_COUNT, VMCS_ENTRY_INTR_INFO, VMCS_ENTRY_INTR_ERROR,
    VMCS_ENTRY_INSN_LEN, VMCS_CR0_MASK, VMCS_CR4_MASK, VMCS_CR0_SHADOW, VMCS_CR4_SHADOW,
    VMCS_TSC_OFFSET, VMCS_LINK_POINTER, VMCS_GUEST_DEBUGCTL, VMCS_GUEST_PAT,
    VMCS_GUEST_EFER, VMCS_GUEST_PDPTE0, VMCS_GUEST_PDPTE0 + 2,
    VMCS_GUEST_INTERRUPTIBILITY,
    VMCS_GUEST_ACTIVITY, VMCS_GUEST_SYSENTER_CS, VMCS_GUEST_CR0, VMCS_GUEST_CR3,
    VMCS_GUEST_CR4, VMCS_GUEST_DR7, VMCS_GUEST_RSP, VMCS_GUEST_RIP, VMCS_GUEST_RFLAGS,
    VMCS_GUEST_PENDING_DEBUG, VMCS_GUEST_SYSENTER_ESP, VMCS_GUEST_SYSENTER_EIP,
    VMCS_GUEST_GDTR_BASE, VMCS_GUEST_GDTR_LIMIT, VMCS_GUEST_IDTR_BASE,
    VMCS_GUEST_IDTR_LIMIT, VMCS_GUEST_PML_INDEX, VMCS_PLE_GAP, VMCS_PLE_WINDOW,
    VMCS_TPR_THRESHOLD, VMCS_GUEST_INTR_STATUS,
};

static u16 random_field(void)
{
    u64 r = rnd();

    if (r & 1) {
        return fields[(r >> 8) % ARRAY_SIZE(fields)];
    }
    return (u16[]){ VMCS_GUEST_ES_SEL, VMCS_GUEST_ES_LIMIT, VMCS_GUEST_ES_AR,
                    VMCS_GUEST_ES_BASE }[r >> 8 & 3] + (r >> 16 & 7) * 2;
}

static u64 random_value(u64 old)
{
    u64 r = rnd();

    switch (r & 7) {
    case 0: return rnd();
    case 1: return rnd() & 0xffffffff;
    case 2: return 0;
    case 3: return ~0ull;
    case 4: return r >> 8 & 0xffff;
    default: return old ^ BIT(r >> 8 & (r & BIT(20) ? 63 : 15));
    }
}

/* Every 2 MiB of guest-physical memory are the same sandbox; @pt: the first of them. */
static u64 *sandbox_ept(u8 *sandbox, u64 *pt)
{
    u64 *root = page_alloc(), *pdpt = page_alloc(), *pd = page_alloc();
    u64 *pdpt0 = page_alloc(), *pd0 = page_alloc();

    for (u32 i = 0; i < 512; i++) {
        root[i] = (u64)pdpt | EPT_RWX;
        pdpt[i] = (u64)pd | EPT_RWX;
        pd[i] = (u64)sandbox | EPT_RWX | EPT_WB | EPT_LARGE;
    }
    memcpy(pdpt0, pdpt, PAGE_SIZE);
    memcpy(pd0, pd, PAGE_SIZE);
    root[0] = (u64)pdpt0 | EPT_RWX;
    pdpt0[0] = (u64)pd0 | EPT_RWX;
    pd0[0] = (u64)pt | EPT_RWX;
    return root;
}

/* Holes, missing permissions and defects in the first 2 MiB. */
static void scramble_ept(u64 *pt, u8 *sandbox)
{
    for (u32 i = 0; i < 512; i++) {
        u64 r = rnd();

        pt[i] = ((u64)sandbox + i * PAGE_SIZE) | EPT_WB | EPT_RWX;
        if ((r & 7) == 0) {
            pt[i] = 0;
        } else if ((r & 7) == 1) {
            pt[i] &= ~(r >> 8 & EPT_RWX);
        } else if ((r & 0xff) == 2) {
            pt[i] ^= BIT(r >> 8 & 63);
        }
    }
    invept(2, 0, 0);
}

/* What VM exits look at around RIP: single steps, blocking, page boundaries. */
static void random_boundary(void)
{
    u64 r = rnd();

    vmwrite(VMCS_EPT_POINTER, vmread(VMCS_EPT_POINTER) ^ (r & BIT(6)));    /* A/D flags */
    vmwrite(VMCS_GUEST_RFLAGS, 2 | (r >> 16 & (FLAGS_TF | FLAGS_IF)));
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, r & BIT(0) ? r >> 1 & 3 : 0);
    vmwrite(VMCS_GUEST_PENDING_DEBUG, r & BIT(3) ? r >> 32 & 0x500f : 0);
    if (r & BIT(4)) {
        vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) & ~(PAGE_SIZE - 1));
    }
}

/* What keeps the guest in its box and lets it end. */
static void force_controls(void)
{
    u32 must = CPU_HLT | CPU_UNCOND_IO | CPU_CR8_LOAD | CPU_SECONDARY | CPU_MOV_DR;
    u32 pri = vmread(VMCS_PRIMARY_CONTROLS), sec = vmread(VMCS_SECONDARY_CONTROLS);
    u32 pin = vmread(VMCS_PIN_CONTROLS), exit = vmread(VMCS_EXIT_CONTROLS);

    vmwrite(VMCS_PRIMARY_CONTROLS, (pri | must) & ~CPU_IO_BITMAPS);
    vmwrite(VMCS_SECONDARY_CONTROLS, (sec | CPU2_EPT) & ~CPU2_VMFUNC);
    vmwrite(VMCS_PIN_CONTROLS, (pin | PIN_EXT_INTR | PIN_NMI | PIN_PREEMPTION_TIMER) &
            ~PIN_POSTED_INTR);
    vmwrite(VMCS_EXIT_CONTROLS, exit | EXIT_HOST_64 | EXIT_LOAD_EFER | EXIT_LOAD_PAT);
    if (vmread(VMCS_GUEST_ACTIVITY) == ACTIVITY_WAIT_SIPI) {
        vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);  /* nothing would end it */
    }
    vmwrite(VMCS_PREEMPTION_TIMER, 0x20000 >> (rdmsr(MSR_VMX_MISC) & 31));
}

static bool reason_known(u32 reason)
{
    u32 basic = reason & 0xffff;

    if (reason & VMX_EXIT_ENTRY_FAILURE) {
        return basic == VMX_EXIT_BAD_GUEST || basic == VMX_EXIT_BAD_MSR_LOAD;
    }
    return !(reason & 0xffff0000) && basic <= VMX_EXIT_TDCALL &&
           basic != VMX_EXIT_BAD_GUEST && basic != VMX_EXIT_BAD_MSR_LOAD;
}

void test_main(void)
{
    static u64 saved[512][2];
    u8 *sandbox;
    u64 *pt;
    u32 ran = 0, failed = 0, refused = 0, odd = 0;
    u64 cr0, cr3, efer, pat;

    if (!vmx_supported() || !vmx_may(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER)) {
        panic("no VMX or no preemption timer");
    }
    vmx_on();
    vm_create(&vm);
    sandbox = pages_alloc(512, SANDBOX);
    pt = page_alloc();
    vmwrite(VMCS_EPT_POINTER, EPTP(sandbox_ept(sandbox, pt)));
    vmwrite(VMCS_VIRTUAL_APIC_ADDR, (u64)page_alloc());
    vmwrite(VMCS_PML_ADDR, (u64)page_alloc());
    vmwrite(VMCS_APIC_ACCESS_ADDR, (u64)sandbox);
    memset(vm.msr_bitmap, 0xff, PAGE_SIZE);
    cr0 = read_cr0();
    cr3 = read_cr3();
    efer = rdmsr(MSR_EFER);
    pat = rdmsr(MSR_PAT);
    for (u32 round = 0; round < ROUNDS; round++) {
        u32 defects = rnd() % 4, n = 0, r;

        vm_set_entry(&vm, (void (*)(void))(rnd() % SANDBOX));
        for (u32 i = 0; i < 64; i++) {
            u64 at = vmread(VMCS_GUEST_RIP) + i * 8;

            *(u64 *)(sandbox + (at & (SANDBOX - 8))) = rnd();
        }
        scramble_ept(pt, sandbox);
        random_boundary();
        for (; n < defects; n++) {
            u16 f = random_field();

            saved[n][0] = f;
            saved[n][1] = vmread(f);
            vmwrite(f, random_value(saved[n][1]));
        }
        force_controls();
        r = vm_enter(&vm);
        if (r == VM_EXITED) {
            ran += !(vm_reason() & VMX_EXIT_ENTRY_FAILURE);
            refused += vm_reason() >> 31;
            if (!reason_known(vm_reason())) {
                print("# round %u: reason %x\n", round, vm_reason());
                odd++;
            }
        } else if (r == VM_VALID && (vm_error() == VMX_ERR_BAD_CONTROLS ||
                                     vm_error() == VMX_ERR_BAD_HOST)) {
            failed++;
        } else {
            print("# round %u: result %x\n", round, r);
            odd++;
        }
        if (read_cr0() != cr0 || read_cr3() != cr3 || rdmsr(MSR_EFER) != efer ||
            rdmsr(MSR_PAT) != pat || read_cr8() || !(read_cr4() & CR4_VMXE)) {
            panic("round %u: the host's state changed", round);
        }
        apic_write(APIC_EOI, 0);
        while (n--) {
            vmwrite(saved[n][0], saved[n][1]);
        }
        vmwrite(VMCS_ENTRY_INTR_INFO, 0);
    }
    print("# %u ran, %u refused by guest checks, %u by control checks\n", ran, refused,
          failed);
    check_eq(odd, 0, "%u hostile VMCSs: an architectural outcome each time", ROUNDS);
    check(ran > ROUNDS / 10 && refused > ROUNDS / 20, "the rounds were of both kinds");
    vmclear(vm.vmcs);
    check_eq(vmxoff(), VM_SUCCEED, "VMX operation is sound at the end");
}
