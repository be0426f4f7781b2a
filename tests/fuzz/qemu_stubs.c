/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the VMX code calls in QEMU, as little of it as makes sense: 64 KiB of
 * RAM at 0, linear addresses that are physical ones, no devices, no time.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "qemu/timer.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/rcu.h"
#include "exec/memory.h"
#include "exec/cputlb.h"
#include "exec/exec-all.h"
#include "exec/cpu_ldst.h"
#include "exec/helper-proto.h"
#include "hw/i386/apic.h"
#include "tcg/helper-tcg.h"
#include "migration/blocker.h"
#include "fuzz.h"

uint8_t fuzz_ram[FUZZ_RAM];
sigjmp_buf fuzz_return;
int fuzz_exception;
bool fuzz_entering;

/* --- the physical address space ----------------------------------------- */

static MemoryRegion ram_region = { .ram = true }, no_region;
AddressSpace fuzz_memory;

MemoryRegion *flatview_translate(FlatView *fv, hwaddr addr, hwaddr *xlat,
                                 hwaddr *plen, bool is_write, MemTxAttrs attrs)
{
    *xlat = addr;
    if (addr >= FUZZ_RAM) {
        return &no_region;
    }
    *plen = MIN(*plen, FUZZ_RAM - addr);
    return &ram_region;
}

void *memory_region_get_ram_ptr(MemoryRegion *mr)
{
    return fuzz_ram;
}

void *qemu_map_ram_ptr(RAMBlock *block, ram_addr_t addr)
{
    return fuzz_ram + addr;
}

bool memory_region_is_ram_device(MemoryRegion *mr)
{
    return false;
}

void memory_region_set_dirty(MemoryRegion *mr, hwaddr addr, hwaddr size)
{
    if (addr >= FUZZ_RAM || size > FUZZ_RAM - addr) {
        fuzz_finding("memory beyond the RAM is marked dirty");
    }
}

static void access_ram(hwaddr addr, void *buf, hwaddr len, bool write)
{
    uint8_t *bytes = buf;

    for (hwaddr i = 0; i < len; i++, addr++) {
        if (write && addr < FUZZ_RAM) {
            fuzz_ram[addr] = bytes[i];
        } else if (!write) {
            bytes[i] = addr < FUZZ_RAM ? fuzz_ram[addr] : 0;
        }
    }
}

MemTxResult flatview_read_continue(FlatView *fv, hwaddr addr, MemTxAttrs attrs,
                                   void *buf, hwaddr len, hwaddr mr_addr, hwaddr l,
                                   MemoryRegion *mr)
{
    access_ram(addr, buf, len, false);
    return MEMTX_OK;
}

MemTxResult address_space_read_full(AddressSpace *as, hwaddr addr, MemTxAttrs attrs,
                                    void *buf, hwaddr len)
{
    access_ram(addr, buf, len, false);
    return MEMTX_OK;
}

MemTxResult address_space_write(AddressSpace *as, hwaddr addr, MemTxAttrs attrs,
                                const void *buf, hwaddr len)
{
    access_ram(addr, (void *)buf, len, true);
    return MEMTX_OK;
}

/* The host is little-endian, as x86 is: the flags _le and none are the same. */
#define LOAD(type, name, ...)                                                   \
    type name(__VA_ARGS__, hwaddr addr, MemTxAttrs attrs, MemTxResult *result)  \
    { type v; access_ram(addr, &v, sizeof(v), false); return v; }
#define STORE(type, name, ...)                                                  \
    void name(__VA_ARGS__, hwaddr addr, type v, MemTxAttrs attrs,               \
              MemTxResult *result)                                              \
    { access_ram(addr, &v, sizeof(v), true); }
LOAD(uint32_t, address_space_ldl_le, AddressSpace *as)
LOAD(uint64_t, address_space_ldq_le, AddressSpace *as)
STORE(uint32_t, address_space_stl_le, AddressSpace *as)
STORE(uint64_t, address_space_stq_le, AddressSpace *as)

uint8_t x86_ldub_phys(CPUState *cs, hwaddr addr)
{
    uint8_t v;

    access_ram(addr, &v, sizeof(v), false);
    return v;
}

uint32_t x86_ldl_phys(CPUState *cs, hwaddr addr)
{
    uint32_t v;

    access_ram(addr, &v, sizeof(v), false);
    return v;
}

uint64_t x86_ldq_phys(CPUState *cs, hwaddr addr)
{
    uint64_t v;

    access_ram(addr, &v, sizeof(v), false);
    return v;
}

void x86_stq_phys(CPUState *cs, hwaddr addr, uint64_t v)
{
    access_ram(addr, &v, sizeof(v), true);
}

/* --- accesses of instructions ------------------------------------------- */

/* Linear addresses beyond the RAM are not mapped. */
static void instruction_access(CPUArchState *env, uint64_t addr, void *buf, size_t len,
                               bool write, uintptr_t ra)
{
    if (addr > FUZZ_RAM - len) {
        env->cr[2] = addr;
        raise_exception_err_ra(env, EXCP0E_PAGE, write << 1, ra);
    }
    access_ram(addr, buf, len, write);
}

#define LOAD_INSN(type, name, ret)                                              \
    ret name(CPUArchState *env, abi_ptr addr, uintptr_t ra)                     \
    { type v; instruction_access(env, addr, &v, sizeof(v), false, ra); return v; }
#define STORE_INSN(type, name)                                                  \
    void name(CPUArchState *env, abi_ptr addr, type v, uintptr_t ra)            \
    { instruction_access(env, addr, &v, sizeof(v), true, ra); }
LOAD_INSN(uint16_t, cpu_lduw_le_data_ra, uint32_t)
LOAD_INSN(uint32_t, cpu_ldl_le_data_ra, uint32_t)
LOAD_INSN(uint64_t, cpu_ldq_le_data_ra, uint64_t)
STORE_INSN(uint32_t, cpu_stl_le_data_ra)
STORE_INSN(uint64_t, cpu_stq_le_data_ra)

uint32_t cpu_ldub_code(CPUArchState *env, abi_ptr addr)
{
    return fuzz_ram[addr % FUZZ_RAM];
}

int probe_access_flags(CPUArchState *env, vaddr addr, int size, MMUAccessType type,
                       int mmu_idx, bool nonfault, void **phost, uintptr_t ra)
{
    *phost = addr < FUZZ_RAM ? fuzz_ram + addr : NULL;
    return addr < FUZZ_RAM ? 0 : TLB_INVALID_MASK;
}

int probe_access_full_mmu(CPUArchState *env, vaddr addr, int size, MMUAccessType type,
                          int mmu_idx, void **phost, CPUTLBEntryFull **pfull)
{
    return probe_access_flags(env, addr, size, type, mmu_idx, true, phost, 0);
}

void tlb_flush(CPUState *cs)
{
}

void tlb_flush_by_mmuidx(CPUState *cs, uint16_t idxmap)
{
}

/* --- leaving an instruction --------------------------------------------- */

bool cpu_restore_state(CPUState *cs, uintptr_t ra)
{
    return true;
}

void cpu_loop_exit(CPUState *cs)
{
    siglongjmp(fuzz_return, 1);
}

void raise_exception_err_ra(CPUX86State *env, int vector, int error, uintptr_t ra)
{
    if (fuzz_entering && !(env->hflags & HF_GUEST_MASK)) {
        fuzz_finding("VM entry or its MSR list raises an exception in the host");
    }
    fuzz_exception = vector;
    siglongjmp(fuzz_return, 1);
}

void raise_exception_ra(CPUX86State *env, int vector, uintptr_t ra)
{
    raise_exception_err_ra(env, vector, 0, ra);
}

int exception_has_error_code(int vector)
{
    return (0x227d00u >> vector) & 1;
}

/* Whoever delivers an event has recorded all we look at. */
void do_interrupt_all(X86CPU *cpu, int vector, int is_int, int error,
                      target_ulong next_eip, int is_hw)
{
}

void do_interrupt_x86_hardirq(CPUX86State *env, int vector, int is_hw)
{
}

/* --- registers ---------------------------------------------------------- */

void cpu_x86_update_cr0(CPUX86State *env, uint32_t cr0)
{
    env->cr[0] = cr0 | CR0_ET_MASK;
}

void cpu_x86_update_cr3(CPUX86State *env, target_ulong cr3)
{
    env->cr[3] = cr3;
}

void cpu_x86_update_cr4(CPUX86State *env, uint32_t cr4)
{
    env->cr[4] = cr4;
}

void cpu_x86_update_dr7(CPUX86State *env, uint32_t dr7)
{
    env->dr[7] = dr7 | DR7_FIXED_1;
}

void cpu_load_efer(CPUX86State *env, uint64_t efer)
{
    env->efer = efer;
    env->hflags = (env->hflags & ~HF_LMA_MASK) | (efer & MSR_EFER_LMA ? HF_LMA_MASK : 0);
}

void cpu_load_eflags(CPUX86State *env, int eflags, int mask)
{
    const int arithmetic = CC_O | CC_S | CC_Z | CC_A | CC_P | CC_C;

    env->cc_op = CC_OP_EFLAGS;
    env->cc_src = eflags & arithmetic;
    env->df = 1 - 2 * !!(eflags & DF_MASK);
    env->eflags = (env->eflags & ~mask) | (eflags & mask) | 2;
}

uint32_t cpu_cc_compute_all(CPUX86State *env)
{
    return env->cc_src;
}

void cpu_sync_bndcs_hflags(CPUX86State *env)
{
}

/* --- events, the local APIC, time --------------------------------------- */

void cpu_interrupt(CPUState *cs, int mask)
{
    cs->interrupt_request |= mask;
}

void cpu_reset_interrupt(CPUState *cs, int mask)
{
    cs->interrupt_request &= ~mask;
}

int cpu_get_pic_interrupt(CPUX86State *env)
{
    return 0x20;
}

uint64_t cpu_get_apic_base(DeviceState *apic)
{
    return 0xfee00900;
}

int cpu_set_apic_base(DeviceState *apic, uint64_t val)
{
    fuzz_finding("an MSR list moves the local APIC");
}

bool is_x2apic_mode(DeviceState *apic)
{
    return false;
}

int apic_msr_read(int index, uint64_t *val)
{
    *val = 0;
    return 0;
}

int apic_msr_write(int index, uint64_t val)
{
    return 0;
}

uint64_t cpu_get_tsc(CPUX86State *env)
{
    static uint64_t tsc;

    return tsc += 1000;
}

uint64_t cpu_x86_get_msr_core_thread_count(X86CPU *cpu)
{
    return 0x10001;
}

void cpu_svm_check_intercept_param(CPUX86State *env, uint32_t type, uint64_t param,
                                   uintptr_t ra)
{
    if (env->hflags & HF_GUEST_MASK) {
        fuzz_finding("an MSR list asks for intercepts");
    }
}

bool bql_locked(void)
{
    return true;
}

void bql_lock_impl(const char *file, int line)
{
}

void bql_unlock(void)
{
}

void timer_init_full(QEMUTimer *timer, QEMUTimerListGroup *group, QEMUClockType type,
                     int scale, int attributes, QEMUTimerCB *cb, void *opaque)
{
}

void timer_mod_ns(QEMUTimer *timer, int64_t at)
{
}

void timer_del(QEMUTimer *timer)
{
}

bool timer_pending(QEMUTimer *timer)
{
    return false;
}

uint64_t timer_expire_time_ns(QEMUTimer *timer)
{
    return -1;
}

int64_t qemu_clock_get_ns(QEMUClockType type)
{
    static int64_t now;

    return now += 100;
}

/* --- nothing of it is used ---------------------------------------------- */

int qemu_loglevel;
int use_rt_clock;
bool tcg_allowed = true;
unsigned long rcu_gp_ctr = 1;
QemuEvent rcu_gp_event;

bool qemu_set_log(int flags, Error **errp)
{
    qemu_loglevel = flags;
    return true;
}

void qemu_log(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    printf("# ");
    vprintf(fmt, args);
    va_end(args);
}

struct rcu_reader_data *get_ptr_rcu_reader(void)
{
    static struct rcu_reader_data reader = { .depth = 1 };

    return &reader;
}

void qemu_event_set(QemuEvent *ev)
{
}

void register_module_init(void (*fn)(void), module_init_type type)
{
}

int migrate_add_blocker(Error **reason, Error **errp)
{
    return 0;
}

void error_setg_internal(Error **errp, const char *src, int line, const char *func,
                         const char *fmt, ...)
{
}
