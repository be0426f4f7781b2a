/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metadata field identifiers, for TDH.SYS.RD, TDH.MNG.RD, TDH.VP.RD and their
 * relatives.  The leaf selects the scope; a single access is looked up by
 * class and field code only, the other bits are decoration.
 */
#ifndef TDX_FIELDS_H
#define TDX_FIELDS_H

#include <stdint.h>

#define TDX_FIELD_NULL                  UINT64_MAX
#define TDX_FIELD_CODE(id)              ((uint32_t)((id) & 0xffffff))
#define TDX_FIELD_SIZE_CODE(id)         ((unsigned)((id) >> 32 & 3))
#define TDX_FIELD_CLASS(id)             ((unsigned)((id) >> 56 & 0x3f))
#define TDX_FIELD_LAST_ELEMENT          (0xfull << 34)
#define TDX_FIELD_LAST_FIELD            (0x1ffull << 38)
#define TDX_FIELD_RESERVED              (7ull << 47 | 1ull << 55 | 1ull << 62)
#define TDX_FIELD_INC_SIZE              (1ull << 50)
#define TDX_FIELD_WRITE_MASK_VALID      (1ull << 51)
#define TDX_FIELD_NON_ARCH              (1ull << 63)
#define TDX_FIELD_ID(nonarch, class, context, size_code, code) \
    ((uint64_t)(nonarch) << 63 | (uint64_t)(class) << 56 | \
     (uint64_t)(context) << 52 | (uint64_t)(size_code) << 32 | (uint64_t)(code))

enum tdx_field_context { TDX_CONTEXT_SYS = 0, TDX_CONTEXT_TD = 1, TDX_CONTEXT_VCPU = 2 };

/* Global scope */
#define TDX_MD_NUM_PKGS                 0x0000000200000000ull
#define TDX_MD_PKG_FMS                  0x0000000200000001ull
#define TDX_MD_VENDOR_ID                0x0800000200000000ull
#define TDX_MD_BUILD_DATE               0x8800000200000001ull
#define TDX_MD_BUILD_NUM                0x8800000100000002ull
#define TDX_MD_MINOR_VERSION            0x0800000100000003ull
#define TDX_MD_MAJOR_VERSION            0x0800000100000004ull
#define TDX_MD_UPDATE_VERSION           0x0800000100000005ull
#define TDX_MD_INTERNAL_VERSION         0x0800000100000006ull
#define TDX_MD_MODULE_HV                0x8900000100000000ull
#define TDX_MD_MIN_UPDATE_HV            0x8900000100000001ull
#define TDX_MD_NO_DOWNGRADE             0x8900000000000002ull
#define TDX_MD_NUM_HANDOFF_PAGES        0x8900000100000003ull
#define TDX_MD_SYS_ATTRIBUTES           0x0a00000200000000ull
#define TDX_MD_NUM_TDX_FEATURES         0x0a00000000000001ull
#define TDX_MD_FEATURES0                0x0a00000300000008ull
#define TDX_MD_NUM_CMRS                 0x9000000100000000ull
#define TDX_MD_CMR_BASE                 0x9000000300000080ull
#define TDX_MD_CMR_SIZE                 0x9000000300000100ull
#define TDX_MD_MAX_TDMRS                0x9100000100000008ull
#define TDX_MD_MAX_RESERVED_PER_TDMR    0x9100000100000009ull
#define TDX_MD_PAMT_4K_ENTRY_SIZE       0x9100000100000010ull
#define TDX_MD_PAMT_2M_ENTRY_SIZE       0x9100000100000011ull
#define TDX_MD_PAMT_1G_ENTRY_SIZE       0x9100000100000012ull
#define TDX_MD_PAMT_PAGE_BITMAP_BITS    0x9100000000000013ull
#define TDX_MD_MIN_DPAMT_HKID_BITS      0x9100000000000014ull
#define TDX_MD_TDR_BASE_SIZE            0x9800000100000000ull
#define TDX_MD_TDCS_BASE_SIZE           0x9800000100000100ull
#define TDX_MD_TDCS_PER_L2              0x9800000100000101ull
#define TDX_MD_TDVPS_BASE_SIZE          0x9800000100000200ull
#define TDX_MD_TDVPS_PER_L2             0x9800000100000201ull
#define TDX_MD_ATTRIBUTES_FIXED0        0x1900000300000000ull
#define TDX_MD_ATTRIBUTES_FIXED1        0x1900000300000001ull
#define TDX_MD_XFAM_FIXED0              0x1900000300000002ull
#define TDX_MD_XFAM_FIXED1              0x1900000300000003ull
#define TDX_MD_NUM_CPUID_CONFIG         0x9900000100000004ull
#define TDX_MD_CONFIG_FLAGS_FIXED0      0x9900000300000006ull
#define TDX_MD_CONFIG_FLAGS_FIXED1      0x9900000300000007ull
#define TDX_MD_MAX_VCPUS_PER_TD         0x9900000100000008ull
#define TDX_MD_MIN_VIRT_MAXPA           0x9900000000000009ull
#define TDX_MD_MAX_EVENT_FILTERS        0x990000010000000aull
#define TDX_MD_CPUID_CONFIG_LEAVES      0x9900000300000400ull
#define TDX_MD_CPUID_CONFIG_VALUES      0x9900000300000500ull
#define TDX_MD_ARCH_CAP_CONFIG_MASK     0x9900000300000600ull

/* TD scope */
#define TDX_MD_TDR_FATAL                0x8010000000000001ull
#define TDX_MD_TDR_NUM_TDCX             0x8010000200000002ull
#define TDX_MD_TDR_CHLDCNT              0x8010000300000004ull
#define TDX_MD_TDR_LIFECYCLE_STATE      0x8010000200000005ull
#define TDX_MD_TDR_TDCX_PA              0x8010000300000010ull
#define TDX_MD_TDR_TD_UUID              0x8010000300000020ull
#define TDX_MD_TDR_HKID                 0x8110000100000001ull
#define TDX_MD_TDR_PKG_CONFIG_BITMAP    0x8110000300000002ull
#define TDX_MD_TDCS_NUM_VCPUS           0x9010000200000001ull
#define TDX_MD_TDCS_NUM_ASSOC_VCPUS     0x9010000200000002ull
#define TDX_MD_TDCS_OP_STATE            0x9010000200000004ull
#define TDX_MD_TDCS_NUM_L2_VMS          0x9010000100000005ull
#define TDX_MD_TDCS_ATTRIBUTES          0x1110000300000000ull
#define TDX_MD_TDCS_XFAM                0x1110000300000001ull
#define TDX_MD_TDCS_MAX_VCPUS           0x1110000200000002ull
#define TDX_MD_TDCS_GPAW                0x1110000000000003ull
#define TDX_MD_TDCS_EPTP                0x1110000300000004ull
#define TDX_MD_TDCS_TSC_OFFSET          0x111000030000000aull
#define TDX_MD_TDCS_TSC_MULTIPLIER      0x111000030000000bull
#define TDX_MD_TDCS_TSC_FREQUENCY       0x111000010000000cull
#define TDX_MD_TDCS_VIRTUAL_TSC         0x111000030000000dull
#define TDX_MD_TDCS_NUM_CPUID_VALUES    0x911000010000000eull
#define TDX_MD_TDCS_XBUFF_SIZE          0x911000020000000full
#define TDX_MD_TDCS_NOTIFY_ENABLES      0x9110000300000010ull
#define TDX_MD_TDCS_HP_LOCK_TIMEOUT     0x9110000300000011ull
#define TDX_MD_TDCS_CONFIG_FLAGS        0x1110000300000016ull
#define TDX_MD_TDCS_TD_CTLS             0x1110000300000017ull
#define TDX_MD_TDCS_FEATURE_PARAVIRT_CTRL 0x9110000300000020ull /* code not confirmed */
#define TDX_MD_TDCS_TOPOLOGY_ENUM_CONFIGURED 0x9110000000000019ull
#define TDX_MD_TDCS_CPUID_VALUES        0x9410000300000000ull
#define TDX_MD_TDCS_MRTD                0x1310000300000000ull
#define TDX_MD_TDCS_MRCONFIGID          0x1310000300000010ull
#define TDX_MD_TDCS_MROWNER             0x1310000300000018ull
#define TDX_MD_TDCS_MROWNERCONFIG       0x1310000300000020ull
#define TDX_MD_TDCS_RTMR                0x1310000300000040ull
#define TDX_MD_TDCS_TD_EPOCH            0x9210000300000000ull
#define TDX_MD_TDCS_REFCOUNT            0x9210000100000001ull
#define TDX_MD_TDCS_ARCH_CAPABILITIES   0x961000030000010aull
#define TDX_MD_TDCS_SERVTD_HASH         0x9910000300000000ull

/* Field code of a CPUID_VALUES element: 0 EAX | EBX << 32, 1 ECX | EDX << 32. */
#define TDX_CPUID_CODE_ELEMENT(code)    ((code) & 1)
#define TDX_CPUID_CODE_SUBLEAF(code)    ((code) >> 1 & 0x7f)
#define TDX_CPUID_CODE_NO_SUBLEAF(code) ((code) >> 8 & 1)
#define TDX_CPUID_CODE_LEAF(code) \
    (((code) >> 9 & 0x7f) | ((code) >> 16 & 1) << 31)

/* VCPU scope; class 0 is the VMCS: the code is the VMCS field's encoding */
#define TDX_MD_VMCS(encoding, size_code) TDX_FIELD_ID(0, 0, 2, size_code, encoding)
#define TDX_MD_VCPU_STATE_DETAILS       0x9120000300000100ull
#define TDX_MD_VCPU_INDEX               0xa020000200000002ull
#define TDX_MD_VCPU_NUM_TDCX            0xa020000000000003ull
#define TDX_MD_VCPU_ASSOC_LPID          0xa020000200000004ull
#define TDX_MD_VCPU_EPOCH               0xa020000300000006ull
#define TDX_MD_VCPU_CPUID_SUPERVISOR_VE 0xa020000000000007ull
#define TDX_MD_VCPU_CPUID_USER_VE       0xa020000000000008ull
#define TDX_MD_VCPU_PEND_NMI            0x202000000000000bull
#define TDX_MD_VCPU_CPUID_CONTROL       0xa120000000000000ull

#endif
