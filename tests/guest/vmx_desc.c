/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptor-table exiting: exits 46 and 47 with the instruction's operand in
 * every form (SDM vol. 3, 25.1.3, 28.2.1 and 28.2.5), and the operands of VMX
 * instructions, which exit always.
 */
#include "vmx.h"

const char test_name[] = "vmx_desc";

static Vm vm;
static volatile u64 seen;

enum { A16, A32, A64 };                         /* address size */
enum { ES, CS, SS_, DS, FS, GS };               /* segment register */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R9 = 9, R11 = 11, R12, R13, NONE };
enum { SGDT, SIDT, LGDT, LIDT };
enum { SLDT, STR, LLDT, LTR };

#define NO_INDEX        BIT(22)
#define NO_BASE         BIT(27)
#define OP32            BIT(11)
#define REGISTER        BIT(10)

/* An instruction in a code segment of @bits, and what its exit reports. */
typedef struct Form {
    const char *name;
    u8 bits, len, code[11];
    u8 reason, identity;            /* bits 31:28: which one, or its register */
    u8 addr, seg, base, index, scale;
    bool op32;
    u64 qual;
    bool rip_relative;
} Form;

#define GI VMX_EXIT_GDTR_IDTR
#define LT VMX_EXIT_LDTR_TR
#define MEM(a, s, b, i) .addr = a, .seg = s, .base = b, .index = i

static const Form forms[] = {
    { "SGDT [rax]", 64, 3, { 0x0f, 0x01, 0x00 },
      GI, SGDT, MEM(A64, DS, RAX, NONE) },
    { "SIDT [rsp+16]", 64, 5, { 0x0f, 0x01, 0x4c, 0x24, 0x10 },
      GI, SIDT, MEM(A64, SS_, RSP, NONE), .qual = 0x10 },
    { "LGDT [rbp-8]", 64, 4, { 0x0f, 0x01, 0x55, 0xf8 },
      GI, LGDT, MEM(A64, SS_, RBP, NONE), .qual = -8ull },
    { "LIDT [rbx+rcx*4+disp32]", 64, 8,
      { 0x0f, 0x01, 0x9c, 0x8b, 0x78, 0x56, 0x34, 0x12 },
      GI, LIDT, MEM(A64, DS, RBX, RCX), .scale = 2, .qual = 0x12345678 },
    { "LGDT [r13+r12*8+disp32]", 64, 9,
      { 0x43, 0x0f, 0x01, 0x94, 0xe5, 0x00, 0x00, 0x00, 0x80 },
      GI, LGDT, MEM(A64, DS, R13, R12), .scale = 3, .qual = -0x80000000ull },
    { "SIDT [rip+256]", 64, 7, { 0x0f, 0x01, 0x0d, 0x00, 0x01, 0x00, 0x00 },
      GI, SIDT, MEM(A64, DS, NONE, NONE), .qual = 0x100 + 7, .rip_relative = true },
    { "SGDT [disp32]", 64, 8, { 0x0f, 0x01, 0x04, 0x25, 0xf0, 0xff, 0xff, 0xff },
      GI, SGDT, MEM(A64, DS, NONE, NONE), .qual = -16ull },
    { "LIDT fs:[r9]", 64, 5, { 0x64, 0x41, 0x0f, 0x01, 0x19 },
      GI, LIDT, MEM(A64, FS, R9, NONE) },
    { "LGDT gs:[eax*2+4]", 64, 10,
      { 0x65, 0x67, 0x0f, 0x01, 0x14, 0x45, 0x04, 0x00, 0x00, 0x00 },
      GI, LGDT, MEM(A32, GS, NONE, RAX), .scale = 1, .qual = 4 },
    { "SLDT eax", 64, 3, { 0x0f, 0x00, 0xc0 }, LT, SLDT, .base = RAX },
    { "SLDT r11d", 64, 4, { 0x41, 0x0f, 0x00, 0xc3 }, LT, SLDT, .base = R11 },
    { "STR [r12]", 64, 5, { 0x41, 0x0f, 0x00, 0x0c, 0x24 },
      LT, STR, MEM(A64, DS, R12, NONE) },
    { "LLDT cx", 64, 3, { 0x0f, 0x00, 0xd1 }, LT, LLDT, .base = RCX },
    { "LTR [rdi+8]", 64, 4, { 0x0f, 0x00, 0x5f, 0x08 },
      LT, LTR, MEM(A64, DS, RDI, NONE), .qual = 8 },
    { "LTR dx", 64, 3, { 0x0f, 0x00, 0xda }, LT, LTR, .base = RDX },
    { "SGDT [ebx+esi*2+16]", 32, 5, { 0x0f, 0x01, 0x44, 0x73, 0x10 },
      GI, SGDT, MEM(A32, DS, RBX, RSI), .scale = 1, .op32 = true, .qual = 0x10 },
    { "LIDT [disp32], 16-bit operand", 32, 8,
      { 0x66, 0x0f, 0x01, 0x1d, 0x00, 0x20, 0x00, 0x00 },
      GI, LIDT, MEM(A32, DS, NONE, NONE), .qual = 0x2000 },
    { "LGDT [bp+si+2] in a 32-bit segment", 32, 5, { 0x67, 0x0f, 0x01, 0x52, 0x02 },
      GI, LGDT, MEM(A16, SS_, RBP, RSI), .op32 = true, .qual = 2 },
    { "SIDT es:[edi]", 32, 4, { 0x26, 0x0f, 0x01, 0x0f },
      GI, SIDT, MEM(A32, ES, RDI, NONE), .op32 = true },
    { "LLDT [ebp]", 32, 4, { 0x0f, 0x00, 0x55, 0x00 },
      LT, LLDT, MEM(A32, SS_, RBP, NONE) },
    { "LGDT [bx+di-1]", 16, 4, { 0x0f, 0x01, 0x51, 0xff },
      GI, LGDT, MEM(A16, DS, RBX, RDI), .qual = 0xffff },
    { "SIDT [disp16]", 16, 5, { 0x0f, 0x01, 0x0e, 0x34, 0x12 },
      GI, SIDT, MEM(A16, DS, NONE, NONE), .qual = 0x1234 },
    { "SGDT [eax], 32-bit operand in a 16-bit segment", 16, 5,
      { 0x66, 0x67, 0x0f, 0x01, 0x00 }, GI, SGDT, MEM(A32, DS, RAX, NONE), .op32 = true },
    { "STR ax", 16, 3, { 0x0f, 0x00, 0xc8 }, LT, STR, .base = RAX },
};

static const Form vmx_forms[] = {
    { "VMXON [rsp-8]", 64, 6, { 0xf3, 0x0f, 0xc7, 0x74, 0x24, 0xf8 },
      VMX_EXIT_VMXON, 0, MEM(A64, SS_, RSP, NONE), .qual = -8ull },
    { "VMPTRLD [rbx+r9*8+disp32]", 64, 9,
      { 0x42, 0x0f, 0xc7, 0xb4, 0xcb, 0x00, 0x10, 0x00, 0x00 },
      VMX_EXIT_VMPTRLD, 0, MEM(A64, DS, RBX, R9), .scale = 3, .qual = 0x1000 },
    { "VMCLEAR [rip+16]", 64, 8, { 0x66, 0x0f, 0xc7, 0x35, 0x10, 0x00, 0x00, 0x00 },
      VMX_EXIT_VMCLEAR, 0, MEM(A64, DS, NONE, NONE), .qual = 0x10 + 8,
      .rip_relative = true },
    { "VMPTRST gs:[eax+4]", 64, 6, { 0x65, 0x67, 0x0f, 0xc7, 0x78, 0x04 },
      VMX_EXIT_VMPTRST, 0, MEM(A32, GS, RAX, NONE), .qual = 4 },
    { "VMREAD [r12], r9", 64, 5, { 0x4d, 0x0f, 0x78, 0x0c, 0x24 },
      VMX_EXIT_VMREAD, R9, MEM(A64, DS, R12, NONE) },
    { "VMREAD r11, rdx", 64, 4, { 0x41, 0x0f, 0x78, 0xd3 },
      VMX_EXIT_VMREAD, RDX, .base = R11 },
    { "VMWRITE rdi, [rbp+16]", 64, 4, { 0x0f, 0x79, 0x7d, 0x10 },
      VMX_EXIT_VMWRITE, RDI, MEM(A64, SS_, RBP, NONE), .qual = 0x10 },
    { "VMWRITE r13, rcx", 64, 4, { 0x44, 0x0f, 0x79, 0xe9 },
      VMX_EXIT_VMWRITE, R13, .base = RCX },
    { "INVEPT r11, [rcx+rax*2]", 64, 7, { 0x66, 0x44, 0x0f, 0x38, 0x80, 0x1c, 0x41 },
      VMX_EXIT_INVEPT, R11, MEM(A64, DS, RCX, RAX), .scale = 1 },
    { "INVVPID rdx, [rsi-1]", 64, 6, { 0x66, 0x0f, 0x38, 0x81, 0x56, 0xff },
      VMX_EXIT_INVVPID, RDX, MEM(A64, DS, RSI, NONE), .qual = -1ull },
};

static bool has_type(const Form *f)     /* or VMREAD's second register */
{
    return f->reason == VMX_EXIT_VMREAD || f->reason == VMX_EXIT_VMWRITE ||
           f->reason == VMX_EXIT_INVEPT || f->reason == VMX_EXIT_INVVPID;
}

/* VMCLEAR and its like take memory only, and INVEPT and INVVPID do. */
static bool has_register_form(const Form *f)
{
    return f->reason == LT || f->reason == VMX_EXIT_VMREAD ||
           f->reason == VMX_EXIT_VMWRITE;
}

/* The information field, and which of its bits are defined (tables 28-10 to -14). */
static u64 information(const Form *f, u64 *defined)
{
    u64 info = (u64)f->identity << 28;

    *defined = has_type(f) ? 15ull << 28 : f->reason == GI || f->reason == LT
               ? 3ull << 28 : 0;
    *defined |= has_register_form(f) || f->reason == GI ? REGISTER : 0;
    if (f->code[f->len - 1] >= 0xc0 && has_register_form(f)) {
        *defined |= 15ull << 3;
        return info | REGISTER | (u64)f->base << 3;
    }
    *defined |= 7ull << 7 | 7ull << 15 | NO_INDEX | NO_BASE;
    info |= (u64)f->addr << 7 | (u64)f->seg << 15;
    if (f->reason == GI && f->bits != 64) {
        *defined |= OP32;
        info |= f->op32 ? OP32 : 0;
    }
    if (f->index == NONE) {
        info |= NO_INDEX;
    } else {
        *defined |= 15ull << 18 | 3;
        info |= (u64)f->index << 18 | f->scale;
    }
    if (f->base == NONE) {
        info |= NO_BASE;
    } else {
        *defined |= 15ull << 23;
        info |= (u64)f->base << 23;
    }
    return info;
}

static void run_form(const Form *f, u8 *page)
{
    static const u64 width[] = { 0xffff, 0xffffffff, ~0ull };
    u64 defined, info = information(f, &defined);
    u32 r;

    memset(page, 0x90, 64);
    memcpy(page, f->code, f->len);
    vm_set_entry(&vm, (void (*)(void))page);
    if (f->bits != 64) {
        vmwrite(VMCS_GUEST_CS_AR, f->bits == 32 ? 0xc09b : 0x809b);
        vmwrite(VMCS_GUEST_CS_BASE, (u64)page);
        vmwrite(VMCS_GUEST_RIP, 0);
    }
    r = vm_run(&vm);
    check_eq(r, f->reason, "%s: exit %u", f->name, f->reason);
    check_eq(vm_qual() & width[f->addr],
             (f->qual + (f->rip_relative ? (u64)page : 0)) & width[f->addr],
             "%s: the qualification is the displacement (28.2.1)", f->name);
    check_eq(vmread(VMCS_EXIT_INSN_INFO) & defined, info,
             "%s: instruction information (28.2.5)", f->name);
    check_eq(vmread(VMCS_EXIT_INSN_LEN), f->len, "%s: instruction length", f->name);
    check_eq(vmread(VMCS_GUEST_RIP), f->bits == 64 ? (u64)page : 0,
             "%s: RIP is the instruction's", f->name);
}

static u8 table[16] __attribute__((aligned(16)));

static void g_sgdt(void) { asm volatile("sgdt %0" : "=m"(table)); }
static void g_lgdt_sgdt(void)
{
    asm volatile("sgdt %0; lgdt %0" : "+m"(table));
}
static void g_sldt(void)
{
    u64 v = 1;

    asm volatile("sldt %0" : "+r"(v));
    seen = v;
}
static void u_lgdt(void) { seen = TRY("lgdt %0", : : "m"(table) : "memory"); }
static void u_lldt(void) { seen = TRY("lldt %w0", : : "r"(0) : "memory"); }
static void u_sidt(void) { asm volatile("sidt %0" : "=m"(table)); }
static void g_u_lgdt(void) { run_user(u_lgdt); }
static void g_u_lldt(void) { run_user(u_lldt); }
static void g_u_sidt(void) { run_user(u_sidt); }

static void goes_on(void)
{
    u64 *gdt = (u64 *)(table + 2);

    memset(table, 0, sizeof(table));
    check_eq(vm_start(&vm, g_sgdt), GI, "SGDT exits");
    check_eq(table[0] | table[1], 0, "SGDT that exits has stored nothing");
    vm_clear_bits(VMCS_SECONDARY_CONTROLS, CPU2_DESC_TABLE);
    vm_run(&vm);
    check(vm_ended(&vm), "SGDT runs when the control is 0 again (reason %u)",
          vm_reason() & 0xffff);
    check_eq(*gdt, (u64)vm.cpu->gdt, "it stores the guest's GDTR");
    vm_start(&vm, g_lgdt_sgdt);
    check(vm_ended(&vm), "LGDT without the control: no exit");
    seen = 1;
    vm_start(&vm, g_sldt);
    check(vm_ended(&vm) && !seen, "SLDT without the control: no exit");
    vm_set_bits(VMCS_SECONDARY_CONTROLS, CPU2_DESC_TABLE);
}

static void privilege(void)
{
    seen = 0;
    vm_start(&vm, g_u_lgdt);
    check(vm_ended(&vm), "LGDT at CPL 3: no exit (reason %u)", vm_reason() & 0xffff);
    check_eq(seen, GP, "LGDT at CPL 3: #GP before the exit (25.1.1)");
    seen = 0;
    vm_start(&vm, g_u_lldt);
    check(vm_ended(&vm), "LLDT at CPL 3: no exit (reason %u)", vm_reason() & 0xffff);
    check_eq(seen, GP, "LLDT at CPL 3: #GP before the exit (25.1.1)");
    check_eq(vm_start(&vm, g_u_sidt), GI, "SIDT at CPL 3 exits");
    check_eq(vmread(VMCS_GUEST_SS_AR) >> 5 & 3, 3, "SIDT at CPL 3: SS.DPL");
}

void test_main(void)
{
    u8 *page = page_alloc();

    if (!vmx_supported()) {
        panic("no VMX");
    }
    vmx_on();
    vm_create(&vm);
    if (!check(vm_secondary(CPU2_DESC_TABLE), "descriptor-table exiting is offered")) {
        return;
    }
    for (u32 i = 0; i < ARRAY_SIZE(forms); i++) {
        run_form(&forms[i], page);
    }
    for (u32 i = 0; i < ARRAY_SIZE(vmx_forms); i++) {
        run_form(&vmx_forms[i], page);
    }
    goes_on();
    privilege();
}
