/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tdlaunch and its payload agree on: guest memory map, ports, configuration word.
 * Included by C (host and guest) and by assembly.
 */
#ifndef TESTS_LINUX_TD_PROTO_H
#define TESTS_LINUX_TD_PROTO_H

/* The image is measured and ends at 4 GiB, so that the TD reset vector lies in it. */
#define TD_IMAGE_SIZE       0x20000
#define TD_IMAGE_GPA        (0x100000000 - TD_IMAGE_SIZE)
#define TD_MAX_VCPUS        16

/*
 * RAM starts at 0; none of it is added at build time: the payload accepts what it uses,
 * which is the first 2 MiB, the areas below, and from TD_ACCEPT_GPA on as much as the
 * host asks for.
 */
#define TD_LOW_SIZE         0x200000
#define TD_ACCEPT_GPA       0x1000000
#define TD_AP_STACKS        0x100000
#define TD_AP_STACK_SIZE    0x4000
#define TD_MAP_PAGE         0x180000    /* the one page that MapGPA converts both ways */
#define TD_MAP_RANGE        0x600000    /* a larger range: KVM cuts MapGPA at 2 MiB */
#define TD_MAP_RANGE_SIZE   0x400000
#define TD_IMPLICIT_PAGE    0xa80000    /* converted without MapGPA: by its first use */
#define TD_AP_PAGES         0xb00000    /* pages that the vCPUs accept concurrently */
#define TD_AP_PAGES_EACH    16
#define TD_MMIO_GPA         0xe0000000  /* no memory slot here */

/* Ports, all answered by tdlaunch. */
#define TD_PORT_CONSOLE     0xe9        /* out: characters, lowest byte first, 0 = none */
#define TD_PORT_EXIT        0xf4        /* out 8: number of failed checks; ends the TD */
#define TD_PORT_ECHO        0x510       /* in: complement of what was last written */
#define TD_PORT_REPORT      0x514       /* out 32: next four bytes of the TDREPORT */
#define TD_PORT_REPORT_GPA  0x518       /* out 32: shared page with the report, too */
#define TD_PORT_RING        0x51c       /* out 32: inject the SetupEventNotify vector */
#define TD_PORT_ALIVE       0x520       /* out 32: a --hold payload has got this far */
#define TD_PORT_NMI         0x524       /* out 32: inject an NMI into that vCPU */
#define TD_PORT_ROUNDS      0x528       /* in 32: how often to repeat a load */
#define TD_PORT_YIELD       0x52c       /* out 32: waiting for another vCPU */
#define TD_PORT_TURN        0x530       /* out 32: returns when it is this TD's turn */
#define TD_PORT_STEP        0x534       /* out 32: returns when this TD may end */
#define TD_PORT_STAT        0x540       /* out 32: counter, at 4 * enum td_stat */

#ifndef __ASSEMBLER__
enum td_stat {
    TD_STAT_ACCEPTED,           /* 4K pages accepted, in all */
    TD_STAT_CONVERTED,          /* of these, given back by MapGPA to shared */
    TD_STAT_SHARED,             /* shared 4K pages touched and still shared at the end */
    TD_STAT_VCPUS,              /* vCPUs that came up */
    TD_STAT_VE,                 /* #VE taken by all vCPUs */
    TD_STAT_IRQS,               /* interrupts taken by all vCPUs */
    TD_STAT_COUNT,
};
#endif

/*
 * Initial RCX of every vCPU: [7:0] vCPUs, [23:8] memory to accept / 64 KiB, [31:24]
 * mode.
 */
#define TD_CFG_VCPUS(c)     ((c) & 0xff)
#define TD_CFG_ACCEPT(c)    ((unsigned long)(((c) >> 8) & 0xffff) << 16)
#define TD_CFG_MODE(c)      (((c) >> 24) & 0xff)
#define TD_CFG(vcpus, accept, mode) \
    ((unsigned)(vcpus) | (unsigned)((accept) >> 16) << 8 | (unsigned)(mode) << 24)

#define TD_MODE_TEST        0   /* all checks, then TD_PORT_EXIT */
#define TD_MODE_HOLD        1   /* all checks, then work until killed */
#define TD_MODE_FATAL       2   /* ReportFatalError at once */
#define TD_MODE_TRIPLE      3   /* triple fault at once */
#define TD_MODE_UNACCEPTED  4   /* uses a page without accepting it: KVM ends the TD */
/* Loads: all vCPUs work at once on the memory from TD_ACCEPT_GPA on (payload_load.c). */
#define TD_MODE_FILL        5   /* each accepts its part, page by page */
#define TD_MODE_TURNS       6   /* the same, but each page waits for this TD's turn */
#define TD_MODE_CONVERT     7   /* shared and private again, in pieces of several sizes */
#define TD_MODE_STORM       8   /* neighbouring pages at once: accepted, then shared */
#define TD_MODE_FLOOD       9   /* fill and convert, over and over until killed */
#define TD_MODE_IS_LOAD(m)  ((m) >= TD_MODE_FILL)

#define TD_FATAL_CODE       0x42
/* RTMR[2] is extended with 48 bytes 0, 3, 6, ...; REPORTDATA is 64 bytes 255, 254, ... */
#define TD_RTMR_INDEX       2
#define TD_RTMR_BYTE(i)     ((unsigned char)((i) * 3))
#define TD_REPORTDATA_BYTE(i) ((unsigned char)(255 - (i)))
/* MRCONFIGID, MROWNER, MROWNERCONFIG are filled with this plus the offset. */
#define TD_MRCONFIGID_BASE      0x10
#define TD_MROWNER_BASE         0x50
#define TD_MROWNERCONFIG_BASE   0x90

#endif
