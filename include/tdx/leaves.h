/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leaf numbers of SEAMCALL (TDH: host; SEAMLDR: P-SEAMLDR) and TDCALL (TDG:
 * guest), and the layout of RAX on entry.
 */
#ifndef TDX_LEAVES_H
#define TDX_LEAVES_H

#define TDX_RAX_LEAF(rax)       ((unsigned)((rax) & 0xffff))
#define TDX_RAX_VERSION(rax)    ((unsigned)((rax) >> 16 & 0xff))
#define TDX_RAX_RESERVED        0x7fffffffff000000ull   /* 62:24 */
#define TDX_RAX_SEAMLDR         0x8000000000000000ull
/* RAX of a leaf of the given interface version. */
#define TDX_RAX(leaf, version)  ((uint64_t)(leaf) | (uint64_t)(version) << 16)

enum tdh_leaf {
    TDH_VP_ENTER = 0,
    TDH_MNG_ADDCX = 1,
    TDH_MEM_PAGE_ADD = 2,
    TDH_MEM_SEPT_ADD = 3,
    TDH_VP_ADDCX = 4,
    TDH_MEM_PAGE_RELOCATE = 5,
    TDH_MEM_PAGE_AUG = 6,
    TDH_MEM_RANGE_BLOCK = 7,
    TDH_MNG_KEY_CONFIG = 8,
    TDH_MNG_CREATE = 9,
    TDH_VP_CREATE = 10,
    TDH_MNG_RD = 11,
    TDH_MEM_RD = 12,
    TDH_MNG_WR = 13,
    TDH_MEM_WR = 14,
    TDH_MEM_PAGE_DEMOTE = 15,
    TDH_MR_EXTEND = 16,
    TDH_MR_FINALIZE = 17,
    TDH_VP_FLUSH = 18,
    TDH_MNG_VPFLUSHDONE = 19,
    TDH_MNG_KEY_FREEID = 20,
    TDH_MNG_INIT = 21,
    TDH_VP_INIT = 22,
    TDH_MEM_PAGE_PROMOTE = 23,
    TDH_PHYMEM_PAGE_RDMD = 24,
    TDH_MEM_SEPT_RD = 25,
    TDH_VP_RD = 26,
    TDH_MNG_KEY_RECLAIMID = 27,
    TDH_PHYMEM_PAGE_RECLAIM = 28,
    TDH_MEM_PAGE_REMOVE = 29,
    TDH_MEM_SEPT_REMOVE = 30,
    TDH_SYS_KEY_CONFIG = 31,
    TDH_SYS_INFO = 32,
    TDH_SYS_INIT = 33,
    TDH_SYS_RD = 34,
    TDH_SYS_LP_INIT = 35,
    TDH_SYS_TDMR_INIT = 36,
    TDH_SYS_RDALL = 37,
    TDH_MEM_TRACK = 38,
    TDH_MEM_RANGE_UNBLOCK = 39,
    TDH_PHYMEM_CACHE_WB = 40,
    TDH_PHYMEM_PAGE_WBINVD = 41,
    TDH_MEM_SEPT_WR = 42,
    TDH_VP_WR = 43,
    TDH_SYS_LP_SHUTDOWN = 44,
    TDH_SYS_CONFIG = 45,
    TDH_SERVTD_BIND = 48,
    TDH_SERVTD_PREBIND = 49,
    TDH_SYS_SHUTDOWN = 52,
    TDH_SYS_UPDATE = 53,
    TDH_PHYMEM_PAMT_ADD = 58,
    TDH_PHYMEM_PAMT_REMOVE = 59,
    TDH_SYS_DISABLE = 69,
};

enum tdg_leaf {
    TDG_VP_VMCALL = 0,
    TDG_VP_INFO = 1,
    TDG_MR_RTMR_EXTEND = 2,
    TDG_VP_VEINFO_GET = 3,
    TDG_MR_REPORT = 4,
    TDG_VP_CPUIDVE_SET = 5,
    TDG_MEM_PAGE_ACCEPT = 6,
    TDG_VM_RD = 7,
    TDG_VM_WR = 8,
    TDG_VP_RD = 9,
    TDG_VP_WR = 10,
    TDG_SYS_RD = 11,
    TDG_SYS_RDALL = 12,
    TDG_SERVTD_RD = 18,
    TDG_SERVTD_WR = 20,
    TDG_MR_VERIFYREPORT = 22,
    TDG_MEM_PAGE_ATTR_RD = 23,
    TDG_MEM_PAGE_ATTR_WR = 24,
    TDG_VP_ENTER = 25,
    TDG_VP_INVEPT = 26,
    TDG_VP_INVVPID = 27,
};

/* With RAX bit 63. */
enum seamldr_leaf {
    SEAMLDR_INFO = 0,
    SEAMLDR_INSTALL = 1,
    SEAMLDR_SHUTDOWN = 2,
    SEAMLDR_SEAMINFO = 3,
};

#endif
