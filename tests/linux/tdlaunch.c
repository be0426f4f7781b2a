/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tdlaunch: makes trust domains through /dev/kvm, runs the payload in them, checks what
 * comes out, and destroys them. Prints "ok - " and "not ok - " lines; exits 0 if there
 * is no "not ok".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "beside.h"
#include "tdlaunch.h"

static const char usage[] =
    "usage: tdlaunch [options]\n"
    "  --payload FILE   flat image of 128 KiB, default payload.bin\n"
    "  --vcpus N        1 to 16, default 1\n"
    "  --mem MB         default 32\n"
    "  --accept MB      memory to accept besides the first 2 MiB, default 2\n"
    "  --tds N          that many TDs at once, each in its own process\n"
    "  --cycles N       create, run and destroy N times in a row\n"
    "  --mode MODE      test, hold (until killed), fatal, triple, unaccepted, or a load\n"
    "                   of all vCPUs at once: fill, turns, convert, storm, flood\n"
    "  --rounds N       of convert and storm, default 1\n"
    "  --order up|down  TDs of --tds end one after the other, the first or last first\n"
    "  --migrate MS     vCPUs go to the next CPU every so many ms\n"
    "  --fail-create N  the Nth page allocation in KVM's TDX ioctls fails\n"
    "  --fail-every N   the Nth page allocation in each KVM_RUN fails\n"
    "  --scatter MB     leave --scatter-pages N (default 1) of each of that many 2 MiB\n"
    "                   blocks to the TD first; best on one CPU\n"
    "  --prefault       KVM maps the memory to accept before the TD runs\n"
    "  --hold           the same as --mode hold\n"
    "  --timeout S      a TD that runs longer has failed, default 120\n"
    "  --quiet          only failures and the summary of each TD\n"
    "  --json           a line of JSON for each TD\n";

static const struct {
    const char *name;
    enum td_end end;
} modes[] = {
    [TD_MODE_TEST] = { "test", TD_END_EXIT },
    [TD_MODE_HOLD] = { "hold", TD_END_EXIT },
    [TD_MODE_FATAL] = { "fatal", TD_END_FATAL },
    [TD_MODE_TRIPLE] = { "triple", TD_END_SHUTDOWN },
    [TD_MODE_UNACCEPTED] = { "unaccepted", TD_END_ERROR },
    [TD_MODE_FILL] = { "fill", TD_END_EXIT },
    [TD_MODE_TURNS] = { "turns", TD_END_EXIT },
    [TD_MODE_CONVERT] = { "convert", TD_END_EXIT },
    [TD_MODE_STORM] = { "storm", TD_END_EXIT },
    [TD_MODE_FLOOD] = { "flood", TD_END_EXIT },
};
#define MODES (sizeof(modes) / sizeof(modes[0]))

static void print_line(struct td *td, const char *head, const char *fmt, va_list ap)
{
    char text[512];

    vsnprintf(text, sizeof(text), fmt, ap);
    printf("%s%s: %s\n", head, td->name, text);
    fflush(stdout);
}

bool td_check(struct td *td, bool ok, const char *fmt, ...)
{
    va_list ap;

    pthread_mutex_lock(&td->lock);
    td->checks++;
    td->failed += !ok;
    if (!ok || !td->opt->quiet) {
        va_start(ap, fmt);
        print_line(td, ok ? "ok - " : "not ok - ", fmt, ap);
        va_end(ap);
    }
    pthread_mutex_unlock(&td->lock);
    return ok;
}

void td_say(struct td *td, const char *fmt, ...)
{
    va_list ap;

    if (!td->opt->quiet || td->opt->mode == TD_MODE_HOLD ||
        td->opt->mode == TD_MODE_FLOOD) {
        va_start(ap, fmt);
        print_line(td, "", fmt, ap);
        va_end(ap);
    }
}

static uint8_t *load_payload(const char *path)
{
    uint8_t *image = mmap(NULL, TD_IMAGE_SIZE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open(path, O_RDONLY);
    uint8_t extra;

    if (image == MAP_FAILED || fd < 0) {
        fprintf(stderr, "tdlaunch: cannot open the payload %s: %s\n", path,
                strerror(errno));
        exit(1);
    }
    if (read(fd, image, TD_IMAGE_SIZE) != TD_IMAGE_SIZE || read(fd, &extra, 1) != 0) {
        fprintf(stderr, "tdlaunch: the payload %s is not %d bytes long\n", path,
                TD_IMAGE_SIZE);
        exit(1);
    }
    close(fd);
    return image;
}

/* KVM's own count of mapped 4K pages must be what was added, accepted and shared. */
static void check_pages(struct td *td)
{
    int64_t mapped = td_kvm_stat(td, "pages_4k");
    int64_t accepted = td->stat[TD_STAT_ACCEPTED], want;

    want = (int64_t)td->pages_added + accepted - td->stat[TD_STAT_CONVERTED] +
           td->stat[TD_STAT_SHARED];
    td_say(td, "pages added %llu (measured), accepted through the fault path %lld",
           (unsigned long long)td->pages_added, (long long)accepted);
    td_check(td, accepted > 0 && mapped == want,
             "KVM maps %lld pages: added + accepted - converted + shared = %lld",
             (long long)mapped, (long long)want);
}

static void check_stress(struct td *td)
{
    if (td->opt->fail_every) {
        td_check(td, td->injected > 0,
                 "it survives that %u page allocations failed; KVM_RUN told of %u",
                 td->injected, td->no_memory);
    }
    for (unsigned i = 0; td->opt->migrate_ms && i < td->opt->vcpus; i++) {
        unsigned cpus = (unsigned)__builtin_popcount(td->vcpu[i].cpus);

        td_check(td, cpus > 1, "vCPU %u has run on %u CPUs", i, cpus);
    }
}

static void check_end(struct td *td)
{
    static const char *const ends[] = {
        [TD_RUNNING] = "is still running",
        [TD_END_EXIT] = "ended by itself",
        [TD_END_FATAL] = "reported a fatal error",
        [TD_END_SHUTDOWN] = "shut down",
        [TD_END_ERROR] = "was stopped by an error",
    };
    bool load = TD_MODE_IS_LOAD(td->opt->mode);
    int end = atomic_load(&td->end);

    td_check(td, end == (int)modes[td->opt->mode].end, "the TD %s", ends[end]);
    if (end == TD_END_FATAL) {
        td_check(td, td->exit_code == TD_FATAL_CODE, "ReportFatalError: code %#x",
                 td->exit_code);
    }
    if (td->opt->mode == TD_MODE_UNACCEPTED) {
        td_check(td, td->error == EIO, "use of a page not accepted: KVM_RUN: %s",
                 strerror(td->error));
    }
    if (end != TD_END_EXIT) {
        return;
    }
    td_check(td, td->memory_faults == (load ? 0 : 2), "%u implicit conversions",
             td->memory_faults);
    td_check(td, td->exit_code == 0, "the payload counted %u failures", td->exit_code);
    td_check(td, td->stat[TD_STAT_VCPUS] == td->opt->vcpus, "%u of %u vCPUs came up",
             td->stat[TD_STAT_VCPUS], td->opt->vcpus);
    td_say(td, "#VE %u, interrupts %u", td->stat[TD_STAT_VE], td->stat[TD_STAT_IRQS]);
    check_pages(td);
    check_stress(td);
    if (!load) {
        td_check_report(td);
    }
}

static void print_summary(struct td *td)
{
    if (td->opt->json) {
        printf("{\"td\": \"%s\", \"mode\": \"%s\", \"vcpus\": %u, \"added\": %llu, "
               "\"accepted\": %u, \"ve\": %u, \"interrupts\": %u, \"checks\": %u, "
               "\"failed\": %u}\n",
               td->name, modes[td->opt->mode].name, td->opt->vcpus,
               (unsigned long long)td->pages_added, td->stat[TD_STAT_ACCEPTED],
               td->stat[TD_STAT_VE], td->stat[TD_STAT_IRQS], td->checks, td->failed);
    } else {
        printf("%s: added %llu, accepted %u, %u checks, %u failed, destroyed\n", td->name,
               (unsigned long long)td->pages_added, td->stat[TD_STAT_ACCEPTED],
               td->checks, td->failed);
    }
    fflush(stdout);
}

/* One life of a TD; returns whether all checks passed. */
static bool live_once(const struct options *opt, struct td_group *group, uint8_t *image,
                      unsigned td_index, unsigned cycle)
{
    struct td *td = calloc(1, sizeof(*td));
    pthread_mutexattr_t recursive;
    bool ok;

    if (!td) {
        return false;
    }
    td->opt = opt;
    td->image = image;
    td->index = td_index;
    td->group = group;
    td->fail_left = opt->fail_create;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&td->lock, &recursive);
    if (opt->cycles > 1) {
        snprintf(td->name, sizeof(td->name), "td%u.%u", td_index, cycle);
    } else {
        snprintf(td->name, sizeof(td->name), "td%u", td_index);
    }
    td_measure(td);
    if (td_create(td)) {
        if (opt->prefault) {
            td_prefault(td);
        }
        td_run(td);
        check_end(td);
    }
    td_destroy(td);
    td_group_leave(td);
    print_summary(td);
    ok = !td->failed;
    free(td);
    return ok;
}

static bool live(const struct options *opt, struct td_group *group, uint8_t *image,
                 unsigned td_index)
{
    bool ok = true;

    for (unsigned cycle = 0; cycle < opt->cycles; cycle++) {
        ok &= live_once(opt, group, image, td_index, cycle);
    }
    return ok;
}

static bool live_in_children(const struct options *opt, uint8_t *image)
{
    struct td_group *group = td_group_create(opt->tds);
    bool ok = group;
    int status;

    fflush(stdout);
    for (unsigned i = 0; group && i < opt->tds; i++) {
        pid_t pid = fork();

        if (pid < 0) {
            perror("tdlaunch: fork");
            ok = false;
        } else if (!pid) {
            _exit(live(opt, group, image, i) ? 0 : 1);
        }
    }
    while (wait(&status) > 0) {
        ok &= WIFEXITED(status) && !WEXITSTATUS(status);
    }
    return ok;
}

static unsigned number(const char *option, const char *text, unsigned min, unsigned max)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);

    if (*end || end == text || v < min || v > max) {
        fprintf(stderr, "tdlaunch: --%s takes a number from %u to %u, not '%s'\n", option,
                min, max, text);
        exit(1);
    }
    return (unsigned)v;
}

static unsigned mode_number(const char *text)
{
    for (unsigned i = 0; i < MODES; i++) {
        if (!strcmp(text, modes[i].name)) {
            return i;
        }
    }
    fprintf(stderr, "tdlaunch: there is no --mode %s; see --help\n", text);
    exit(1);
}

static unsigned order_number(const char *text)
{
    if (!strcmp(text, "up") || !strcmp(text, "down")) {
        return text[0] == 'u' ? ORDER_UP : ORDER_DOWN;
    }
    fprintf(stderr, "tdlaunch: --order is up or down, not '%s'\n", text);
    exit(1);
}

/* Options that take a number. */
static const struct {
    const char *name;
    size_t offset;              /* in struct options */
    unsigned min, max;
} numbers[] = {
#define NUMBER(name, field, min, max) { name, offsetof(struct options, field), min, max }
    NUMBER("vcpus", vcpus, 1, TD_MAX_VCPUS),
    NUMBER("mem", mem_mb, 17, 3072),
    NUMBER("accept", accept_mb, 0, 3000),
    NUMBER("tds", tds, 1, 64),
    NUMBER("cycles", cycles, 1, 1000000),
    NUMBER("timeout", timeout, 1, 100000),
    NUMBER("rounds", rounds, 1, 1000000),
    NUMBER("migrate", migrate_ms, 1, 999),
    NUMBER("fail-create", fail_create, 1, 1000000),
    NUMBER("fail-every", fail_every, 1, 1000000),
    NUMBER("scatter", scatter_mb, 2, 16384),
    NUMBER("scatter-pages", scatter_pages, 1, 511),
#undef NUMBER
};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static const struct option words[] = {
    { "payload", 1, NULL, 'p' }, { "mode", 1, NULL, 'M' },  { "order", 1, NULL, 'o' },
    { "hold", 0, NULL, 'H' },    { "quiet", 0, NULL, 'q' }, { "json", 0, NULL, 'j' },
    { "prefault", 0, NULL, 'f' }, { "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
};
#define WORDS (sizeof(words) / sizeof(words[0]))

/* One of words[]. */
static void parse_word(struct options *o, int c, char *arg)
{
    switch (c) {
    case 'p':
        o->payload = arg;
        break;
    case 'M':
        o->mode = mode_number(arg);
        break;
    case 'o':
        o->order = order_number(arg);
        break;
    case 'H':
        o->mode = TD_MODE_HOLD;
        break;
    case 'f':
        o->prefault = true;
        break;
    case 'q':
        o->quiet = true;
        break;
    case 'j':
        o->json = true;
        break;
    default:
        fputs(usage, c == 'h' ? stdout : stderr);
        exit(c != 'h');
    }
}

static void parse(struct options *o, int argc, char **argv)
{
    struct option table[NUMBERS + WORDS];
    int n, c;

    for (unsigned i = 0; i < NUMBERS; i++) {
        table[i] = (struct option) { numbers[i].name, 1, NULL, 256 };
    }
    memcpy(&table[NUMBERS], words, sizeof(words));
    while ((c = getopt_long(argc, argv, "h", table, &n)) != -1) {
        if (c == 256) {
            *(unsigned *)((char *)o + numbers[n].offset) =
                number(numbers[n].name, optarg, numbers[n].min, numbers[n].max);
        } else {
            parse_word(o, c, optarg);
        }
    }
    if (optind < argc) {
        fputs(usage, stderr);
        exit(1);
    }
    if (o->mem_mb < TD_ACCEPT_GPA / 0x100000 + o->accept_mb) {
        fprintf(stderr, "tdlaunch: --accept %u needs --mem %u or more\n", o->accept_mb,
                (unsigned)(TD_ACCEPT_GPA / 0x100000) + o->accept_mb);
        exit(1);
    }
    if (TD_MODE_IS_LOAD(o->mode) && o->accept_mb > 1024 - TD_ACCEPT_GPA / 0x100000) {
        fprintf(stderr, "tdlaunch: a load takes --accept up to %u\n",
                1024 - (unsigned)(TD_ACCEPT_GPA / 0x100000));
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct options opt = {
        .payload = beside("payload.bin"),
        .vcpus = 1,
        .mem_mb = 32,
        .accept_mb = 2,
        .tds = 1,
        .cycles = 1,
        .timeout = 120,
        .rounds = 1,
        .scatter_pages = 1,
    };
    uint8_t *image;
    bool ok;

    parse(&opt, argc, argv);
    image = load_payload(opt.payload);
    ok = opt.tds == 1 ? live(&opt, NULL, image, 0) : live_in_children(&opt, image);
    return ok ? 0 : 1;
}
