/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Output to the debug console (port E9H), checks, the end.  A line is
 * "ok - TEST: text"; run.sh adds the numbers.
 */
#include "cpu.h"

static u32 checks, failures;

static void put(char c)
{
    outb(0xe9, c);
}

static void put_number(u64 v, u32 base, u32 width, char fill)
{
    char buf[24];
    u32 n = 0;

    do {
        buf[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    while (n < width && n < sizeof(buf)) {
        buf[n++] = fill;
    }
    while (n) {
        put(buf[--n]);
    }
}

/* %s %c %d %u %x %lx %llx, width, zero fill */
static void vprint(const char *fmt, va_list ap)
{
    for (; *fmt; fmt++) {
        char fill = ' ';
        u32 width = 0;
        bool wide = false;

        if (*fmt != '%') {
            put(*fmt);
            continue;
        }
        fmt++;
        if (*fmt == '0') {
            fill = '0';
        }
        while (*fmt >= '0' && *fmt <= '9') {
            width = width * 10 + *fmt++ - '0';
        }
        while (*fmt == 'l') {
            wide = true;
            fmt++;
        }
        switch (*fmt) {
        case 's':
            for (const char *s = va_arg(ap, const char *); *s; s++) {
                put(*s);
            }
            break;
        case 'c':
            put(va_arg(ap, int));
            break;
        case 'd': {
            int64_t v = wide ? va_arg(ap, int64_t) : va_arg(ap, int);

            if (v < 0) {
                put('-');
                v = -v;
            }
            put_number(v, 10, width, fill);
            break;
        }
        case 'u':
            put_number(wide ? va_arg(ap, u64) : va_arg(ap, u32), 10, width, fill);
            break;
        case 'x':
            put_number(wide ? va_arg(ap, u64) : va_arg(ap, u32), 16, width, fill);
            break;
        default:
            put(*fmt);
        }
    }
}

void print(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vprint(fmt, ap);
    va_end(ap);
}

static void verdict(bool ok, const char *fmt, va_list ap)
{
    checks++;
    failures += !ok;
    print("%s - %s: ", ok ? "ok" : "not ok", test_name);
    vprint(fmt, ap);
}

bool check(bool ok, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    verdict(ok, fmt, ap);
    va_end(ap);
    put('\n');
    return ok;
}

bool check_eq(u64 got, u64 want, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    verdict(got == want, fmt, ap);
    va_end(ap);
    put('\n');
    if (got != want) {
        print("# got %llx, expected %llx\n", (long long)got, (long long)want);
    }
    return got == want;
}

void check_skip(const char *why, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    verdict(true, fmt, ap);
    va_end(ap);
    print(" # SKIP %s\n", why);
}

void check_gap(bool ok, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    verdict(ok, fmt, ap);
    va_end(ap);
    failures -= !ok;
    print(ok ? "\n" : " # TODO docs/not-modelled.md\n");
}

/* Exit status of the emulator: 33 (all well) or 35, by isa-debug-exit. */
void finish(void)
{
    print("# end of %s: %u checks, %u failed\n", test_name, checks, failures);
    for (;;) {
        outb(0xf4, failures || !checks ? 0x11 : 0x10);
    }
}

void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    verdict(false, fmt, ap);
    va_end(ap);
    put('\n');
    finish();
}
