/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Console, checks, memory functions, per-CPU data and the common trap handler of a
 * guest.
 */
#include "guest.h"
#include "td_proto.h"

unsigned checks_run, checks_failed;
static struct percpu percpus[TD_MAX_VCPUS];

void *memset(void *p, int c, size_t n)
{
    void *d = p;

    __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
    return p;
}

void *memcpy(void *p, const void *s, size_t n)
{
    void *d = p;

    __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    return p;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const u8 *x = a, *y = b;

    for (size_t i = 0; i < n; i++) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}

void puts_(const char *s)
{
    console_write(s, strlen_(s));
}

static void put_base(u64 v, unsigned base)
{
    char buf[24];
    unsigned i = sizeof(buf);

    do {
        buf[--i] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    console_write(buf + i, sizeof(buf) - i);
}

void putx(u64 v)
{
    puts_("0x");
    put_base(v, 16);
}

void putd(u64 v)
{
    put_base(v, 10);
}

bool check(bool ok, const char *name)
{
    checks_run++;
    checks_failed += !ok;
    puts_(ok ? "ok - " : "not ok - ");
    puts_(name);
    puts_("\n");
    return ok;
}

bool check_eq(u64 got, u64 want, const char *name)
{
    if (!check(got == want, name)) {
        puts_("# got ");
        putx(got);
        puts_(", expected ");
        putx(want);
        puts_("\n");
        return false;
    }
    return true;
}

void percpu_init(unsigned index)
{
    struct percpu *p = &percpus[index];

    p->self = p;
    p->index = index;
    wrmsr(MSR_GS_BASE, (u64)p);
}

struct percpu *percpu_of(unsigned index)
{
    return &percpus[index];
}

/*
 * Waits with interrupts enabled until @cpu has taken @count interrupts of @vector, for
 * at most about 2^34 TSC ticks. Returns false on time-out.
 */
bool wait_irqs(struct percpu *cpu, unsigned vector, u32 count)
{
    u64 end = rdtsc() + (1ull << 34);

    irq_enable();
    while (cpu->irqs[vector] < count && rdtsc() < end) {
        cpu_relax();
    }
    irq_disable();
    return cpu->irqs[vector] >= count;
}

static void unexpected(struct trap_frame *f)
{
    puts_("not ok - unexpected exception ");
    putd(f->vector);
    puts_(" on CPU ");
    putd(this_cpu()->index);
    puts_("\n# rip ");
    putx(f->rip);
    puts_(" error ");
    putx(f->error);
    puts_(" cr2 ");
    putx(read_cr2());
    puts_(" rsp ");
    putx(f->rsp);
    puts_("\n");
    checks_failed++;
    guest_die();
}

/* Called by guest_trap.S for every vector, interrupts off. */
void trap(struct trap_frame *f)
{
    struct percpu *cpu = this_cpu();

    if (f->vector >= 32) {
        cpu->irqs[f->vector]++;
        guest_eoi();
        return;
    }
    if (guest_trap(f)) {
        return;
    }
    if (!cpu->fixup) {
        unexpected(f);
    }
    cpu->trap_vector = f->vector;
    cpu->trap_error = f->error;
    cpu->trap_cr2 = read_cr2();
    f->rip = cpu->fixup;
    f->rflags &= ~0x100ull; /* a single step ends here */
    cpu->fixup = 0;
}
