/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Structures that software and the TDX module exchange in memory.  All little
 * endian; reserved fields are zero.
 */
#ifndef TDX_STRUCTS_H
#define TDX_STRUCTS_H

#include <stdint.h>

#define TDX_PAGE_SIZE           4096ull
#define TDX_MAX_TDMRS           64
#define TDX_MAX_RESERVED        16
#define TDX_PAMT_ENTRY_SIZE     16
#define TDX_PARAMS_CPUID_ROOM   48      /* CPUID values that fit TD_PARAMS */

/* S-EPT and PAMT page sizes, as leaves encode them. */
enum tdx_level {
    TDX_4K = 0, TDX_2M = 1, TDX_1G = 2, TDX_512G = 3, TDX_256T = 4,
};
#define TDX_LEVEL_SHIFT(level)  (12 + 9 * (unsigned)(level))
#define TDX_LEVEL_SIZE(level)   (1ull << TDX_LEVEL_SHIFT(level))

/* PAMT page types, as TDH.PHYMEM.PAGE.RDMD and RECLAIM report them. */
enum pamt_type {
    PT_NDA = 0, PT_RSVD = 1, PT_REG = 3, PT_TDR = 4, PT_TDCX = 5,
    PT_TDVPR = 6, PT_EPT = 8, PT_PAMT = 15,
};

/* TDH.SYS.CONFIG: one TDMR, 512-byte aligned. */
struct tdmr_info {
    uint64_t base, size;
    uint64_t pamt_1g_base, pamt_1g_size;
    uint64_t pamt_2m_base, pamt_2m_size;
    uint64_t pamt_4k_base, pamt_4k_size;
    struct {
        uint64_t offset, size;          /* offset from base; {0, 0} ends */
    } reserved[TDX_MAX_RESERVED];
    uint8_t pad[192];
};
_Static_assert(sizeof(struct tdmr_info) == 512, "TDMR_INFO");

/* TDH.SYS.CONFIG, R8 */
#define TDX_SYS_CONFIG_HKID             0xffffull
#define TDX_SYS_CONFIG_DYNAMIC_PAMT     (1ull << 16)
#define TDX_DYNAMIC_PAMT_MAX_PA         48      /* bits: what a pair's entry holds */

/* TDH.MNG.INIT */
struct tdx_cpuid_value {
    uint32_t eax, ebx, ecx, edx;
};

struct td_params {
    uint64_t attributes;
    uint64_t xfam;
    uint16_t max_vcpus;
    uint8_t num_l2_vms;
    uint8_t msr_config_ctls;
    uint32_t reserved0;
    uint64_t eptp_controls;
    uint64_t config_flags;
    uint16_t tsc_frequency;             /* 25 MHz */
    uint8_t reserved1[38];
    uint8_t mrconfigid[48];
    uint8_t mrowner[48];
    uint8_t mrownerconfig[48];
    uint64_t arch_capabilities_config;
    uint8_t reserved2[24];
    struct tdx_cpuid_value cpuid[TDX_PARAMS_CPUID_ROOM];
};
_Static_assert(sizeof(struct td_params) == 1024, "TD_PARAMS");

#define TDX_ATTR_DEBUG                  (1ull << 0)
#define TDX_ATTR_LASS                   (1ull << 27)
#define TDX_ATTR_SEPT_VE_DISABLE        (1ull << 28)
#define TDX_ATTR_MIGRATABLE             (1ull << 29)
#define TDX_ATTR_PKS                    (1ull << 30)
#define TDX_ATTR_KL                     (1ull << 31)
#define TDX_ATTR_TPA                    (1ull << 62)
#define TDX_ATTR_PERFMON                (1ull << 63)

#define TDX_CONFIG_GPAW                 (1ull << 0)     /* 52-bit GPAs */
#define TDX_CONFIG_FLEXIBLE_PENDING_VE  (1ull << 1)
#define TDX_CONFIG_NO_RBP_MOD           (1ull << 2)
#define TDX_CONFIG_MAXPA_VIRT           (1ull << 3)
#define TDX_CONFIG_MAXGPA_VIRT          (1ull << 4)

#define TDX_TD_CTLS_PENDING_VE_DISABLE  (1ull << 0)
#define TDX_TD_CTLS_ENUM_TOPOLOGY       (1ull << 1)
#define TDX_TD_CTLS_VIRT_CPUID2         (1ull << 2)
#define TDX_TD_CTLS_REDUCE_VE           (1ull << 3)
#define TDX_TD_CTLS_LOCK                (1ull << 63)

/* Bits of TDX_FEATURES0 */
enum tdx_feature {
    TDX_FEATURE_TD_MIGRATION = 0, TDX_FEATURE_TD_PRESERVING = 1,
    TDX_FEATURE_SERVICE_TD = 2, TDX_FEATURE_TDG_VP_RDWR = 3,
    TDX_FEATURE_RELAXED_MEM_MNG = 4, TDX_FEATURE_CPUID_VIRT_GUEST_CTL = 5,
    TDX_FEATURE_TDX_IO = 6, TDX_FEATURE_TD_PARTITIONING = 7,
    TDX_FEATURE_LOCAL_ATTESTATION = 8, TDX_FEATURE_TD_ENTRY_ENHANCEMENTS = 9,
    TDX_FEATURE_HOST_PRIORITY_LOCKS = 10, TDX_FEATURE_CONFIG_ARCH_CAP = 11,
    TDX_FEATURE_PENDING_EPT_VIOLATION_V2 = 16, TDX_FEATURE_FMS_CONFIG = 17,
    TDX_FEATURE_NO_RBP_MOD = 18, TDX_FEATURE_TOPOLOGY_ENUM = 20,
    TDX_FEATURE_CPUID2_VIRT = 29, TDX_FEATURE_VE_REDUCTION = 30,
    TDX_FEATURE_DYNAMIC_PAMT = 36, TDX_FEATURE_ENHANCED_DEMOTE = 51,
    TDX_FEATURE_SYS_DISABLE = 53,
};

/* TDREPORT_STRUCT, TDG.MR.REPORT */
struct tdx_report_mac {
    uint8_t type, subtype, version, reserved0;
    uint8_t reserved1[12];
    uint8_t cpusvn[16];
    uint8_t tee_tcb_info_hash[48];
    uint8_t tee_info_hash[48];
    uint8_t report_data[64];
    uint8_t reserved2[32];
    uint8_t mac[32];
};
_Static_assert(sizeof(struct tdx_report_mac) == 256, "REPORTMACSTRUCT");

#define TDX_REPORT_TYPE_TDX     0x81

struct tdx_tee_tcb_info {
    uint64_t valid;
    uint8_t tee_tcb_svn[16];
    uint8_t mrseam[48];
    uint8_t mrsignerseam[48];
    uint64_t attributes;
    uint8_t tee_tcb_svn2[16];
    uint8_t reserved[95];
} __attribute__((packed));
_Static_assert(sizeof(struct tdx_tee_tcb_info) == 239, "TEE_TCB_INFO");

struct tdx_tdinfo {
    uint64_t attributes;
    uint64_t xfam;
    uint8_t mrtd[48];
    uint8_t mrconfigid[48];
    uint8_t mrowner[48];
    uint8_t mrownerconfig[48];
    uint8_t rtmr[4][48];
    uint8_t servtd_hash[48];
    uint8_t reserved[64];
};
_Static_assert(sizeof(struct tdx_tdinfo) == 512, "TDINFO");

struct tdx_report {
    struct tdx_report_mac mac;
    struct tdx_tee_tcb_info tee_tcb_info;
    uint8_t reserved[17];
    struct tdx_tdinfo tdinfo;
} __attribute__((packed));
_Static_assert(sizeof(struct tdx_report) == 1024, "TDREPORT_STRUCT");

/* SEAMLDR.INFO, 256-byte aligned */
struct seamldr_info {
    uint32_t version, attributes, vendor_id, build_date;
    uint16_t build_num, minor, major, update;
    uint32_t acm_x2apicid;
    uint32_t num_remaining_updates;
    uint8_t seam_info[128];
    uint8_t seam_ready, seam_debug, p_seam_ready;
    uint8_t reserved[93];
};
_Static_assert(sizeof(struct seamldr_info) == 256, "SEAMLDR_INFO");

/* TDH.SYS.INFO */
struct tdsysinfo {
    uint32_t attributes, vendor_id, build_date;
    uint16_t build_num, minor, major;
    uint8_t sys_rd_available;
    uint8_t reserved0[13];
    uint16_t max_tdmrs, max_reserved_per_tdmr, pamt_entry_size;
    uint8_t reserved1[10];
    uint16_t tdcs_base_size, reserved2, tdvps_base_size;
    uint8_t tdvps_xfam_dependent_size, reserved3[9];
    uint64_t attributes_fixed0, attributes_fixed1, xfam_fixed0, xfam_fixed1;
    uint8_t reserved4[32];
    uint32_t num_cpuid_config;
    struct {
        uint32_t leaf, subleaf;
        struct tdx_cpuid_value mask;
    } __attribute__((packed)) cpuid_config[37];
    uint8_t reserved5[4];
} __attribute__((packed));

#endif
