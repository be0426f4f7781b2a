/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The APIC-access page: exits 44, 56 and 43, reads and writes that the
 * virtual-APIC page answers (SDM vol. 3, 27.2.1.1, 27.7.7, 28.2.1, 30.4).
 */
#include "vmx.h"

const char test_name[] = "vmx_apic";

#define TPR             0x080
#define EOI             0x0b0
#define ISR             0x100
#define IRR             0x200
#define ICR             0x300
#define ICR_HIGH        0x310
#define TYPE_WRITE      0x1000
#define TYPE_FETCH      0x2000
#define TYPE_EVENT      0x3000
#define VECTOR          0x61

static Vm vm;
static u8 *page, *vapic;        /* the APIC-access page as RAM; the virtual one */
static volatile u64 seen, value, behind, taken;
static u64 access_at;
static u32 access_size;

static u32 vreg(u32 offset)
{
    return *(volatile u32 *)(vapic + offset);
}

static void set_vreg(u32 offset, u32 v)
{
    *(volatile u32 *)(vapic + offset) = v;
}

static void g_read(void)
{
    switch (access_size) {
    case 1: seen = *(volatile u8 *)access_at; break;
    case 2: seen = *(volatile u16 *)access_at; break;
    case 4: seen = *(volatile u32 *)access_at; break;
    default: seen = *(volatile u64 *)access_at; break;
    }
    behind++;
}

static void g_write(void)
{
    switch (access_size) {
    case 1: *(volatile u8 *)access_at = value; break;
    case 2: *(volatile u16 *)access_at = value; break;
    case 4: *(volatile u32 *)access_at = value; break;
    default: *(volatile u64 *)access_at = value; break;
    }
    behind++;
}

static void g_write_open(void)
{
    sti();
    g_write();
    cli();
}

static void g_call(void) { ((void (*)(void))access_at)(); }
static void g_lock_or(void)
{
    asm volatile("lock orl $0x20, (%0)" : : "r"(access_at) : "memory");
}
static void g_xchg(void)
{
    u32 v = 0x70;

    asm volatile("xchgl %0, (%1)" : "+r"(v) : "r"(access_at) : "memory");
    seen = v;
}
static void g_rep_stos(void)
{
    u64 n = 3, to = access_at;

    asm volatile("rep stosl" : "+c"(n), "+D"(to) : "a"(0x40) : "memory");
}
static void g_int_on_page(void)
{
    asm volatile("movq %%rsp, %%rbx; movq %0, %%rsp; int $0x61; movq %%rbx, %%rsp"
                 : : "r"(access_at) : "rbx", "memory");
}
static void g_nothing(void) { }
extern char g_stepped[], g_stepped_end[];
asm(".pushsection .text\n"
    "g_stepped: movl %eax, (%rdi)\n"
    "g_stepped_end: nop\n"
    ".popsection\n");

static void count(Regs *r)
{
    taken++;
}

static u32 access(void (*fn)(void), u32 offset, u32 size)
{
    access_at = (u64)page + offset;
    access_size = size;
    behind = 0;
    return vm_start(&vm, fn);
}

/* Exit 44 in front of the access; @qual: type and offset. */
static void exits(void (*fn)(void), u32 offset, u32 size, u64 qual, const char *what)
{
    check_eq(access(fn, offset, size), VMX_EXIT_APIC_ACCESS, "%s: exit 44", what);
    check_eq(vm_qual(), qual, "%s: qualification (table 28-6)", what);
    check_eq(behind, 0, "%s: the exit is fault-like", what);
}

static void runs(void (*fn)(void), u32 offset, u32 size, const char *what)
{
    access(fn, offset, size);
    check(vm_ended(&vm), "%s: no exit (reason %u)", what, vm_reason() & 0xffff);
}

/* A trap-like exit behind the write. */
static void write_exits(u32 offset, u32 reason, u64 qual, const char *what)
{
    check_eq(access(g_write, offset, 4), reason, "%s: exit %u", what, reason);
    check_eq(vm_qual(), qual, "%s: qualification", what);
    check_eq(vreg(offset & ~3u) & 0xff, value & 0xff, "%s: it has been written", what);
    vmwrite(VMCS_TPR_THRESHOLD, 0);
    vm_run(&vm);
    check(vm_ended(&vm) && behind == 1, "%s: goes on behind the write (30.4.3.2)", what);
}

static void controls(u32 bits)
{
    const u32 all = CPU2_APIC_ACCESS | CPU2_APIC_REGISTER | CPU2_VINTR_DELIVERY;

    vm_clear_bits(VMCS_SECONDARY_CONTROLS, all);
    vm_set_bits(VMCS_SECONDARY_CONTROLS, bits);
}

static void exits_only(void)
{
    u64 other = BIT(34);

    controls(CPU2_APIC_ACCESS);
    *(u32 *)(page + TPR) = 0x1234;
    exits(g_read, TPR, 4, TPR, "read");
    value = 5;
    exits(g_write, TPR, 4, TYPE_WRITE | TPR, "write");
    exits(g_read, 0xfff, 1, 0xfff, "read of the last byte");
    exits(g_write, 0xff8, 8, TYPE_WRITE | 0xff8, "write of 8 bytes");
    exits(g_call, 0x40, 0, TYPE_FETCH | 0x40, "instruction fetch");
    check_eq(access(g_lock_or, EOI, 0), VMX_EXIT_APIC_ACCESS, "locked OR: exit 44");
    check_eq(vm_qual() & 0xfff, EOI, "locked OR: offset");
    check_eq(*(u32 *)(page + TPR), 0x1234, "nothing is written to the page itself");
    check(access(g_int_on_page, 0x800, 0) == VMX_EXIT_APIC_ACCESS &&
          (vm_qual() & 0xf000) == TYPE_EVENT,
          "push of an event on the page: type 3 (qualification %llx)",
          (long long)vm_qual());
    check_eq(vmread(VMCS_IDT_VECTORING_INFO), INTR_VALID | INTR_TYPE_SOFT_INT | VECTOR,
             "push of an event: IDT-vectoring information");
    /* what counts is where the translations end */
    map_page(other, 0x8000000, PAGE_SIZE, 0x67);
    *ept_entry(vm.ept, 0x8000000, 0) = (u64)page | EPT_RWX | EPT_WB;
    invept(2, 0, 0);
    access_at = other + 0x30;
    check_eq(vm_start(&vm, g_read), VMX_EXIT_APIC_ACCESS,
             "through another mapping: exit 44");
    check_eq(vm_qual(), 0x30, "through another mapping: offset");
    controls(0);
    runs(g_read, TPR, 4, "without the control");
    check_eq(seen, 0x1234, "without the control the page is memory");
    if (vm_secondary(CPU2_VPID)) {
        vmwrite(VMCS_VPID, 1);
        runs(g_read, TPR, 4, "without the control, with a VPID");
        controls(CPU2_APIC_ACCESS);
        exits(g_read, TPR, 4, TPR, "a translation from before the control was set");
        vm_clear_bits(VMCS_SECONDARY_CONTROLS, CPU2_VPID);
    }
}

static void tpr_shadow(void)
{
    vm_set_bits(VMCS_PRIMARY_CONTROLS, CPU_TPR_SHADOW);
    vmwrite(VMCS_TPR_THRESHOLD, 0);
    controls(CPU2_APIC_ACCESS);
    set_vreg(TPR, 0x5a);
    runs(g_read, TPR, 4, "read of TPR");
    check_eq(seen, 0x5a, "read of TPR: from the virtual-APIC page (30.4.2)");
    runs(g_read, TPR, 1, "read of one byte of TPR");
    exits(g_read, TPR + 1, 1, TPR + 1, "read in the middle of TPR");
    exits(g_read, TPR, 8, TPR, "read of 8 bytes");
    exits(g_read, TPR + 4, 4, TPR + 4, "read behind TPR");
    exits(g_read, 0x20, 4, 0x20, "read of another register");
    exits(g_write, EOI, 4, TYPE_WRITE | EOI, "write of EOI");
    exits(g_write, ICR, 4, TYPE_WRITE | ICR, "write of ICR");
    value = 0x12345630;
    runs(g_write, TPR, 4, "write of TPR");
    check_eq(vreg(TPR), 0x30, "write of TPR: bytes 3:1 are cleared (30.4.3.2)");
    check_eq(behind, 1, "write of TPR: once");
    check_eq(*(u32 *)(page + TPR), 0x1234,
             "write of TPR: the page itself keeps its value");
    set_vreg(TPR, 0x10);
    runs(g_lock_or, TPR, 0, "locked OR to TPR");
    check_eq(vreg(TPR), 0x30, "locked OR to TPR: result");
    runs(g_xchg, TPR, 0, "XCHG with TPR");
    check(seen == 0x30 && vreg(TPR) == 0x70, "XCHG with TPR: both values");
    exits(g_rep_stos, TPR, 0, TYPE_WRITE | (TPR + 4), "REP STOS: its second word");
    check_eq(vreg(TPR), 0x40, "REP STOS: its first word is in TPR");
    vmwrite(VMCS_TPR_THRESHOLD, 5);
    value = 0x50;
    set_vreg(TPR, 0x70);
    runs(g_write, TPR, 4, "TPR at the threshold");
    value = 0x4f;
    write_exits(TPR, VMX_EXIT_TPR_THRESHOLD, 0, "TPR below the threshold");
    vmwrite(VMCS_TPR_THRESHOLD, 5);
    vm_set_entry(&vm, g_nothing);
    check_eq(vm_run(&vm), VMX_EXIT_TPR_THRESHOLD,
             "entry with VTPR below the threshold: exit 43 (27.7.7)");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_nothing, "exit 43 upon entry: RIP");
    vmwrite(VMCS_TPR_THRESHOLD, 0);
}

/* Registers that APIC-register virtualisation covers (30.4.2, 30.4.3). */
static bool is_one_of(u32 reg, const u16 *list, u32 n)
{
    for (u32 i = 0; i < n; i++) {
        if (list[i] == reg) {
            return true;
        }
    }
    return false;
}

static bool writable(u32 reg)
{
    static const u16 list[] = {
        0x20, TPR, EOI, 0xd0, 0xe0, 0xf0, 0x280, ICR, ICR_HIGH, 0x320, 0x330, 0x340,
        0x350, 0x360, 0x370, 0x380, 0x3e0,
    };

    return is_one_of(reg, list, ARRAY_SIZE(list));
}

static bool readable(u32 reg)
{
    return writable(reg) || reg == 0x30 || (reg >= ISR && reg < 0x280);
}

static void register_virtualisation(void)
{
    controls(CPU2_APIC_ACCESS | CPU2_APIC_REGISTER);
    for (u32 reg = 0; reg < 0x1000; reg += 16) {
        u32 want = readable(reg) ? VMX_EXIT_VMCALL : VMX_EXIT_APIC_ACCESS;

        set_vreg(reg, 0x1000 + reg);
        seen = 0;
        check_eq(access(g_read, reg, 4), want,
                 "register %x: read exits with %u", reg, want);
        check_eq(seen, readable(reg) ? 0x1000 + reg : 0, "register %x: value", reg);
        want = reg == TPR || reg == ICR_HIGH ? VMX_EXIT_VMCALL :
               writable(reg) ? VMX_EXIT_APIC_WRITE : VMX_EXIT_APIC_ACCESS;
        value = 0x0a000000 | reg;
        check_eq(access(g_write, reg, 4), want,
                 "register %x: write exits with %u", reg, want);
        if (want == VMX_EXIT_APIC_WRITE) {
            check_eq(vm_qual(), reg, "register %x: qualification is the offset", reg);
        }
        check_eq(vreg(reg), reg == TPR ? TPR : reg == ICR_HIGH ? 0x0a000000 :
                 writable(reg) ? value : 0x1000 + reg,
                 "register %x: behind the write", reg);
    }
    value = 0x33;
    write_exits(0xf1 - 1, VMX_EXIT_APIC_WRITE, 0xf0, "SVR");
    exits(g_read, 0x24, 4, 0x24, "bytes 7:4 of a register");
    runs(g_read, 0x22, 2, "upper half of a register");
    exits(g_read, 0x22, 4, 0x22, "a read that goes beyond byte 3");
}

/* The emulation of a write comes before the trap of single-stepping. */
static void single_stepping(void)
{
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << DB);
    vm_set_entry(&vm, (void (*)(void))g_stepped);
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_TF);
    vm.rdi = (u64)page + 0xf0;
    check_eq(vm_run(&vm), VMX_EXIT_APIC_WRITE, "SVR with TF: exit 56 first");
    check_eq(vmread(VMCS_GUEST_PENDING_DEBUG), BIT(14), "SVR with TF: #DB is pending");
    check_eq(vm_run(&vm), VMX_EXIT_EXCEPTION_NMI, "SVR with TF: then #DB");
    check_eq(vm_qual(), BIT(14), "SVR with TF: it is a single step");
    check_eq(vmread(VMCS_GUEST_RIP), (u64)g_stepped_end, "SVR with TF: RIP");
    vm_set_entry(&vm, (void (*)(void))g_stepped);
    vmwrite(VMCS_GUEST_RFLAGS, 2 | FLAGS_TF);
    vm.rdi = (u64)page + TPR;
    vm.rax = 0x12345620;
    check_eq(vm_run(&vm), VMX_EXIT_EXCEPTION_NMI, "TPR with TF: #DB");
    check_eq(vm_qual(), BIT(14), "TPR with TF: it is a single step");
    check_eq(vreg(TPR), 0x20, "TPR with TF: the write has been emulated before");
    vmwrite(VMCS_EXCEPTION_BITMAP, 0);
}

static void interrupt_delivery(void)
{
    vm_set_bits(VMCS_PIN_CONTROLS, PIN_EXT_INTR);
    vm.cpu->handler[VECTOR] = count;
    controls(CPU2_APIC_ACCESS | CPU2_VINTR_DELIVERY);
    memset(vapic, 0, PAGE_SIZE);
    for (u32 i = 0; i < 4; i++) {
        vmwrite(VMCS_EOI_EXIT_BITMAP0 + 2 * i, 0);
    }
    set_vreg(ISR + VECTOR / 32 * 16, 1u << VECTOR % 32);
    vmwrite(VMCS_GUEST_INTR_STATUS, VECTOR << 8);
    value = 0;
    runs(g_write, EOI, 4, "EOI");
    check_eq(vreg(ISR + VECTOR / 32 * 16), 0, "EOI: VISR (30.1.4)");
    check_eq(vmread(VMCS_GUEST_INTR_STATUS), 0, "EOI: SVI");
    set_vreg(ISR + VECTOR / 32 * 16, 1u << VECTOR % 32);
    vmwrite(VMCS_GUEST_INTR_STATUS, VECTOR << 8);
    vmwrite(VMCS_EOI_EXIT_BITMAP0 + VECTOR / 64 * 2, BIT(VECTOR % 64));
    write_exits(EOI, VMX_EXIT_EOI, VECTOR, "EOI of a vector in the exit bitmap");
    value = 1 << 18 | VECTOR;
    runs(g_write, ICR, 4, "self-IPI");
    check_eq(vreg(IRR + VECTOR / 32 * 16), 1u << VECTOR % 32, "self-IPI: VIRR (30.1.5)");
    check_eq(vmread(VMCS_GUEST_INTR_STATUS) & 0xff, VECTOR, "self-IPI: RVI");
    vmwrite(VMCS_GUEST_INTR_STATUS, 0);
    memset(vapic, 0, PAGE_SIZE);
    taken = 0;
    runs(g_write_open, ICR, 4, "self-IPI with interrupts open");
    check_eq(taken, 1, "self-IPI with interrupts open: it arrives");
    vmwrite(VMCS_GUEST_INTR_STATUS, 0);
    memset(vapic, 0, PAGE_SIZE);
    value = VECTOR;
    write_exits(ICR, VMX_EXIT_APIC_WRITE, ICR, "an IPI to others");
    value = 1 << 18 | 5;
    write_exits(ICR, VMX_EXIT_APIC_WRITE, ICR, "a self-IPI of vector 5");
    value = 1 << 18 | 1 << 15 | VECTOR;
    write_exits(ICR, VMX_EXIT_APIC_WRITE, ICR, "a level-triggered self-IPI");
    exits(g_write, 0x20, 4, TYPE_WRITE | 0x20, "a register without virtualisation");
    exits(g_read, EOI, 4, EOI, "a read of EOI");
}

/* What software should not do has an end of the guest or an exit, no other. */
static void survives(void (*fn)(void), u32 offset, u32 size, const char *what)
{
    u32 r = access(fn, offset, size);

    check(r == VMX_EXIT_APIC_ACCESS || r == VMX_EXIT_APIC_WRITE || vm_ended(&vm),
          "%s: an exit of APIC virtualisation, or none (reason %u)", what, r & 0xffff);
}

static void g_lock_unaligned(void)
{
    asm volatile("lock incw (%0)" : : "r"(access_at) : "memory");
}

static void hostile(void)
{
    static const u64 vapics[] = { 0xfee00000, 0xfed00000, BIT(40) };

    controls(CPU2_APIC_ACCESS | CPU2_APIC_REGISTER);
    value = 0x10;
    survives(g_lock_unaligned, TPR + 1, 0, "unaligned locked INC");
    survives(g_lock_unaligned, 0xfff, 0, "locked INC across the end of the page");
    vmwrite(VMCS_VIRTUAL_APIC_ADDR, (u64)page);
    survives(g_write, TPR, 4, "the virtual-APIC page is the APIC-access page");
    check_eq(*(u32 *)(page + TPR), 0x10, "both in one: the write arrives");
    for (u32 i = 0; i < ARRAY_SIZE(vapics); i++) {
        vmwrite(VMCS_VIRTUAL_APIC_ADDR, vapics[i]);
        survives(g_read, 0x20, 4, "no RAM as virtual-APIC page: read");
        survives(g_write, TPR, 4, "no RAM as virtual-APIC page: write");
        survives(g_lock_or, TPR, 0, "no RAM as virtual-APIC page: locked OR");
    }
    vmwrite(VMCS_VIRTUAL_APIC_ADDR, (u64)vapic);
}

static void rules(void)
{
    controls(CPU2_APIC_ACCESS);
    vmwrite(VMCS_APIC_ACCESS_ADDR, (u64)page + 0x10);
    check_eq(vm_enter(&vm), VM_VALID, "address that is not aligned: VMfail (27.2.1.1)");
    check_eq(vm_error(), 7, "address that is not aligned: error 7");
    vmwrite(VMCS_APIC_ACCESS_ADDR, BIT(52));
    check_eq(vm_enter(&vm), VM_VALID, "address that does not exist: VMfail (27.2.1.1)");
    vmwrite(VMCS_APIC_ACCESS_ADDR, (u64)page);
    vm_set_bits(VMCS_SECONDARY_CONTROLS, CPU2_X2APIC);
    check_eq(vm_enter(&vm), VM_VALID, "with x2APIC mode: VMfail (27.2.1.1)");
    vm_clear_bits(VMCS_SECONDARY_CONTROLS, CPU2_X2APIC);
}

void test_main(void)
{
    if (!vmx_supported()) {
        panic("no VMX");
    }
    vmx_on();
    vm_create(&vm);
    page = page_alloc();
    vapic = page_alloc();
    memset(page, 0xc3, PAGE_SIZE);                      /* ret */
    if (!check(vmx_may(VMCS_SECONDARY_CONTROLS, CPU2_APIC_ACCESS),
               "virtualised APIC accesses are offered (30.4)")) {
        return;
    }
    vmwrite(VMCS_APIC_ACCESS_ADDR, (u64)page);
    vmwrite(VMCS_VIRTUAL_APIC_ADDR, (u64)vapic);
    exits_only();
    tpr_shadow();
    register_virtualisation();
    single_stepping();
    interrupt_delivery();
    hostile();
    rules();
}
