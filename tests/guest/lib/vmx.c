/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMX operation, and guests with a sane state that tests then change. */
#include "vmx.h"

extern char vm_host_entry[];
extern u64 boot_pml4[512];
u64 vm_enter_asm(Vm *vm);
void vm_guest_end(void);

u32 vm_result(u64 flags)
{
    u64 a = flags & FLAGS_ARITH;

    if (fault_vector() != NO_FAULT) {
        return VM_FAULT(fault_vector());
    }
    return a == 0 ? VM_SUCCEED : a == FLAGS_CF ? VM_INVALID :
           a == FLAGS_ZF ? VM_VALID : VM_ODD | a;
}

u64 vmread(u32 field)
{
    u64 v = 0;
    u32 r = vmread_res(field, &v);

    if (r) {
        panic("VMREAD of field %x: result %x", field, r);
    }
    return v;
}

void vmwrite(u32 field, u64 value)
{
    u32 r = vmwrite_res(field, value);

    if (r) {
        panic("VMWRITE of field %x: result %x", field, r);
    }
}

void vm_set_bits(u32 field, u64 bits)
{
    vmwrite(field, vmread(field) | bits);
}

void vm_clear_bits(u32 field, u64 bits)
{
    vmwrite(field, vmread(field) & ~bits);
}

bool vmx_supported(void)
{
    return cpuid(1, 0).c & BIT(5);
}

u64 vmx_new_region(void)
{
    u32 *p = page_alloc();

    p[0] = rdmsr(MSR_VMX_BASIC) & 0x7fffffff;
    return (u64)p;
}

void vmx_on(void)
{
    u64 fc = rdmsr(MSR_FEATURE_CONTROL);
    u32 r;

    if (!(fc & 1)) {
        wrmsr(MSR_FEATURE_CONTROL, 5);
    }
    write_cr4(read_cr4() | CR4_VMXE);
    r = vmxon(vmx_new_region());
    if (r) {
        panic("VMXON: result %x", r);
    }
}

void vmx_off(void)
{
    vmxoff();
    write_cr4(read_cr4() & ~CR4_VMXE);
}

static u64 control_cap(u32 field)
{
    switch (field) {
    case VMCS_PIN_CONTROLS:       return rdmsr(MSR_VMX_TRUE_PIN);
    case VMCS_PRIMARY_CONTROLS:   return rdmsr(MSR_VMX_TRUE_PRIMARY);
    case VMCS_EXIT_CONTROLS:      return rdmsr(MSR_VMX_TRUE_EXIT);
    case VMCS_ENTRY_CONTROLS:     return rdmsr(MSR_VMX_TRUE_ENTRY);
    default:                      return rdmsr(MSR_VMX_SECONDARY);
    }
}

bool vmx_may(u32 field, u64 bits)
{
    return (control_cap(field) >> 32 & bits) == bits;
}

u32 vmx_adjust(u32 field, u32 want)
{
    u64 cap = control_cap(field);

    return (want | (u32)cap) & (u32)(cap >> 32);
}

bool vmx_ept_cap(u64 bits)
{
    return (rdmsr(MSR_VMX_EPT_VPID) & bits) == bits;
}

static void write_control(u32 field, u32 want)
{
    vmwrite(field, vmx_adjust(field, want));
}

void vm_host_state(void)
{
    PerCpu *cpu = this_cpu();

    for (u32 f = VMCS_HOST_ES_SEL; f <= VMCS_HOST_GS_SEL; f += 2) {
        vmwrite(f, f == VMCS_HOST_CS_SEL ? SEL_CODE64 : SEL_DATA);
    }
    vmwrite(VMCS_HOST_FS_SEL, 0);
    vmwrite(VMCS_HOST_GS_SEL, 0);
    vmwrite(VMCS_HOST_TR_SEL, SEL_TSS);
    vmwrite(VMCS_HOST_PAT, rdmsr(MSR_PAT));
    vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER));
    vmwrite(VMCS_HOST_CR0, read_cr0());
    vmwrite(VMCS_HOST_CR3, read_cr3());
    vmwrite(VMCS_HOST_CR4, read_cr4());
    vmwrite(VMCS_HOST_FS_BASE, 0);
    vmwrite(VMCS_HOST_GS_BASE, (u64)cpu);
    vmwrite(VMCS_HOST_TR_BASE, (u64)cpu->tss);
    vmwrite(VMCS_HOST_GDTR_BASE, (u64)cpu->gdt);
    vmwrite(VMCS_HOST_IDTR_BASE, (u64)idt);
    vmwrite(VMCS_HOST_SYSENTER_CS, 0);
    vmwrite(VMCS_HOST_SYSENTER_ESP, 0);
    vmwrite(VMCS_HOST_SYSENTER_EIP, 0);
    vmwrite(VMCS_HOST_RIP, (u64)vm_host_entry);
}

static void guest_state(Vm *vm)
{
    static const struct { u32 sel, ar; } seg[8] = {
        { SEL_DATA, 0xc093 }, { SEL_CODE64, 0xa09b }, { SEL_DATA, 0xc093 },
        { SEL_DATA, 0xc093 }, { 0, 0xc093 }, { 0, 0xc093 },
        { 0, VMCS_AR_UNUSABLE }, { SEL_TSS, 0x8b },
    };

    for (u32 i = 0; i < 8; i++) {
        vmwrite(VMCS_GUEST_ES_SEL + 2 * i, seg[i].sel);
        vmwrite(VMCS_GUEST_ES_AR + 2 * i, seg[i].ar);
        vmwrite(VMCS_GUEST_ES_LIMIT + 2 * i, i == 7 ? 0x67 : 0xffffffff);
        vmwrite(VMCS_GUEST_ES_BASE + 2 * i, i == 5 ? (u64)vm->cpu :
                                            i == 7 ? (u64)vm->cpu->tss : 0);
    }
    vmwrite(VMCS_GUEST_GDTR_BASE, (u64)vm->cpu->gdt);
    vmwrite(VMCS_GUEST_GDTR_LIMIT, GDT_SIZE - 1);
    vmwrite(VMCS_GUEST_IDTR_BASE, (u64)idt);
    vmwrite(VMCS_GUEST_IDTR_LIMIT, 0xfff);
    vmwrite(VMCS_GUEST_CR0, read_cr0());
    vmwrite(VMCS_GUEST_CR3, read_cr3());
    vmwrite(VMCS_GUEST_CR4, read_cr4());
    vmwrite(VMCS_GUEST_EFER, rdmsr(MSR_EFER));
    vmwrite(VMCS_GUEST_PAT, rdmsr(MSR_PAT));
    vmwrite(VMCS_GUEST_DR7, 0x400);
    vmwrite(VMCS_GUEST_RFLAGS, 2);
    vmwrite(VMCS_GUEST_DEBUGCTL, 0);
    vmwrite(VMCS_GUEST_SYSENTER_CS, 0);
    vmwrite(VMCS_GUEST_SYSENTER_ESP, 0);
    vmwrite(VMCS_GUEST_SYSENTER_EIP, 0);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
    vmwrite(VMCS_GUEST_ACTIVITY, 0);
    vmwrite(VMCS_GUEST_PENDING_DEBUG, 0);
    vmwrite(VMCS_GUEST_SMBASE, 0);
    vmwrite(VMCS_LINK_POINTER, ~0ull);
}

static void control_state(Vm *vm)
{
    write_control(VMCS_PIN_CONTROLS, PIN_EXT_INTR | PIN_NMI);
    write_control(VMCS_PRIMARY_CONTROLS,
                  CPU_HLT | CPU_UNCOND_IO | CPU_MSR_BITMAPS | CPU_SECONDARY);
    write_control(VMCS_SECONDARY_CONTROLS, CPU2_EPT | CPU2_UNRESTRICTED);
    write_control(VMCS_EXIT_CONTROLS,
                  EXIT_HOST_64 | EXIT_SAVE_DEBUG | EXIT_SAVE_PAT | EXIT_LOAD_PAT |
                  EXIT_SAVE_EFER | EXIT_LOAD_EFER);
    write_control(VMCS_ENTRY_CONTROLS,
                  ENTRY_IA32E | ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER);
    vmwrite(VMCS_EXCEPTION_BITMAP, 0);
    vmwrite(VMCS_PFEC_MASK, 0);
    vmwrite(VMCS_PFEC_MATCH, 0);
    vmwrite(VMCS_CR3_TARGET_COUNT, 0);
    vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
    vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 0);
    vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
    vmwrite(VMCS_ENTRY_INTR_INFO, 0);
    vmwrite(VMCS_CR0_MASK, 0);
    vmwrite(VMCS_CR4_MASK, CR4_VMXE);
    vmwrite(VMCS_CR0_SHADOW, 0);
    vmwrite(VMCS_CR4_SHADOW, 0);
    vmwrite(VMCS_MSR_BITMAP, (u64)vm->msr_bitmap);
    vmwrite(VMCS_EPT_POINTER, EPTP(vm->ept));
}

void vm_create(Vm *vm)
{
    memset(vm, 0, sizeof(*vm));
    vm->ept = ept_identity();
    vm->msr_bitmap = page_alloc();
    vm->stack_top = (u64)pages_alloc(8, PAGE_SIZE) + 8 * PAGE_SIZE;
    vm->cpu = pages_alloc(2, PAGE_SIZE);
    memcpy(vm->cpu, this_cpu(), sizeof(*vm->cpu));
    memset(vm->cpu->handler, 0, sizeof(vm->cpu->handler));
    vm->cpu->self = vm->cpu;
    vm->cpu->user_rsp = vm->stack_top - 0x4000;
    *(u64 *)(vm->cpu->tss + 4) = vm->stack_top - 0x2000;
    vm->vmcs = vmx_new_region();
    if (vmclear(vm->vmcs) || vmptrld(vm->vmcs)) {
        panic("VMCLEAR or VMPTRLD fails");
    }
    control_state(vm);
    vm_host_state();
    guest_state(vm);
}

void vm_set_entry(Vm *vm, void (*fn)(void))
{
    u64 rsp = vm->stack_top - 8;

    *(u64 *)rsp = (u64)vm_guest_end;
    guest_state(vm);
    vmwrite(VMCS_GUEST_RIP, (u64)fn);
    vmwrite(VMCS_GUEST_RSP, rsp);
}

u32 vm_enter(Vm *vm)
{
    u64 r;

    fault_clear();
    r = vm_enter_asm(vm);
    if (r == VM_EXITED) {
        if (!(vm_reason() & VMX_EXIT_ENTRY_FAILURE)) {
            vm->launched = true;
        }
        return VM_EXITED;
    }
    return vm_result(r);
}

u32 vm_run(Vm *vm)
{
    u32 r = vm_enter(vm);

    if (r != VM_EXITED) {
        panic("VM entry: result %x, error %u", r, r == VM_VALID ? vm_error() : 0);
    }
    return vm_reason();
}

void vm_skip(void)
{
    vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) + vmread(VMCS_EXIT_INSN_LEN));
}

u32 vm_start(Vm *vm, void (*fn)(void))
{
    vm_set_entry(vm, fn);
    return vm_run(vm);
}

bool vm_ended(Vm *vm)
{
    return vm_reason() == VMX_EXIT_VMCALL && vm->rax == VM_END_MAGIC;
}

bool vm_secondary(u32 bits)
{
    if (!vmx_may(VMCS_SECONDARY_CONTROLS, bits)) {
        return false;
    }
    vm_set_bits(VMCS_SECONDARY_CONTROLS, bits);
    return true;
}

u64 *ept_identity(void)
{
    u64 *root = page_alloc(), *pdpt = page_alloc();

    root[0] = (u64)pdpt | EPT_RWX;
    for (u64 i = 0; i < 4; i++) {
        u64 *pd = page_alloc();

        pdpt[i] = (u64)pd | EPT_RWX;
        for (u64 j = 0; j < 512; j++) {
            pd[j] = (i << 30 | j << 21) | EPT_RWX | EPT_WB | EPT_LARGE;
        }
    }
    return root;
}

u64 *ept_entry(u64 *root, u64 gpa, int level)
{
    u64 *table = root;

    for (int l = 3; ; l--) {
        u64 *e = &table[gpa >> (12 + 9 * l) & 511];

        if (l == level) {
            return e;
        }
        if (!(*e & EPT_RWX)) {
            *e = (u64)page_alloc() | EPT_RWX;
        } else if (l < 3 && (*e & EPT_LARGE)) {
            u64 *t = page_alloc();
            u64 base = *e & ~EPT_LARGE;

            for (u64 i = 0; i < 512; i++) {
                t[i] = (base + (i << (12 + 9 * (l - 1)))) | (l > 1 ? EPT_LARGE : 0);
            }
            *e = (u64)t | EPT_RWX;
        }
        table = (u64 *)(*e & 0xffffffffff000ull);
    }
}
