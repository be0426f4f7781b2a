/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Completion status of TDX module leaves: RAX after SEAMCALL and TDCALL.
 * Bit 63 error, 62 not recoverable, 61 fatal to the TD, 60 recoverability
 * hint, 47:40 class, 39:32 code, 31:0 details (often an operand id).
 */
#ifndef TDX_STATUS_H
#define TDX_STATUS_H

#include <stdint.h>

#define TDX_ERROR               0x8000000000000000ull
#define TDX_NON_RECOVERABLE     0x4000000000000000ull
#define TDX_FATAL               0x2000000000000000ull
#define TDX_STATUS_MASK         0xffffffff00000000ull
#define TDX_STATUS_CODE(status) ((status) & TDX_STATUS_MASK)
/* The status with an operand id (or other details) in bits 31:0. */
#define TDX_ST(status, details) ((status) | (uint32_t)(details))

/* General, TD exits */
#define TDX_SUCCESS                                 0x0000000000000000ull
#define TDX_NON_RECOVERABLE_VCPU                    0x4000000100000000ull
#define TDX_NON_RECOVERABLE_TD                      0x6000000200000000ull
#define TDX_INTERRUPTED_RESUMABLE                   0x8000000300000000ull
#define TDX_INTERRUPTED_RESTARTABLE                 0x8000000400000000ull
#define TDX_NON_RECOVERABLE_TD_NON_ACCESSIBLE       0x6000000500000000ull
#define TDX_INVALID_RESUMPTION                      0xc000000600000000ull
#define TDX_NON_RECOVERABLE_TD_WRONG_APIC_MODE      0xe000000700000000ull
#define TDX_CROSS_TD_FAULT                          0x8000000800000000ull
#define TDX_CROSS_TD_TRAP                           0x9000000900000000ull
#define TDX_NON_RECOVERABLE_TD_CORRUPTED_MD         0x6000000a00000000ull
/* Invalid operands */
#define TDX_OPERAND_INVALID                         0xc000010000000000ull
#define TDX_OPERAND_ADDR_RANGE_ERROR                0xc000010100000000ull
#define TDX_EVENT_FILTER_INVALID                    0xc000010200000000ull
#define TDX_EVENT_FILTER_ORDER_INVALID              0xc000010300000000ull
/* Busy; retry */
#define TDX_OPERAND_BUSY                            0x8000020000000000ull
#define TDX_PREVIOUS_TLB_EPOCH_BUSY                 0x8000020100000000ull
#define TDX_SYS_BUSY                                0x8000020200000000ull
#define TDX_RND_NO_ENTROPY                          0x8000020300000000ull
#define TDX_OPERAND_BUSY_HOST_PRIORITY              0x8000020400000000ull
#define TDX_HOST_PRIORITY_BUSY_TIMEOUT              0x9000020500000000ull
/* Page metadata */
#define TDX_PAGE_METADATA_INCORRECT                 0xc000030000000000ull
#define TDX_PAGE_ALREADY_FREE                       0x0000030100000000ull
#define TDX_PAGE_NOT_OWNED_BY_TD                    0xc000030200000000ull
#define TDX_PAGE_NOT_FREE                           0xc000030300000000ull
#define TDX_HPA_RANGE_NOT_FREE                      0xc000030400000000ull
#define TDX_NO_PAMT_PAGE_PAIR                       0xc000030500000000ull
#define TDX_PAMT_PAGE_NOT_EMPTY                     0xc000030600000000ull
#define TDX_INTERRUPTED_PAMT                        0x8000030700000000ull
#define TDX_MISSING_PAMT_PAGE_PAIR                  0x8000030800000000ull
/* Dependents */
#define TDX_TD_ASSOCIATED_PAGES_EXIST               0xc000040000000000ull
/* System */
#define TDX_SYS_INIT_NOT_PENDING                    0xc000050000000000ull
#define TDX_SYS_LP_INIT_NOT_DONE                    0xc000050200000000ull
#define TDX_SYS_LP_INIT_DONE                        0xc000050300000000ull
#define TDX_SYS_NOT_READY                           0xc000050500000000ull
#define TDX_SYS_SHUTDOWN                            0xc000050600000000ull
#define TDX_SYS_KEY_CONFIG_NOT_PENDING              0xc000050700000000ull
#define TDX_SYS_STATE_INCORRECT                     0xc000050800000000ull
#define TDX_SYS_INVALID_HANDOFF                     0xc000050900000000ull
#define TDX_SYS_INCOMPATIBLE_SIGSTRUCT              0xc000050a00000000ull
#define TDX_SYS_LP_INIT_NOT_PENDING                 0xc000050b00000000ull
#define TDX_SYS_CONFIG_NOT_PENDING                  0xc000050c00000000ull
#define TDX_INCOMPATIBLE_SEAM_CAPABILITIES          0xc000050d00000000ull
#define TDX_CRYPTO_SELF_TEST_FAILED                 0xc000051100000000ull
/* TD */
#define TDX_TD_FATAL                                0xe000060400000000ull
#define TDX_TD_NON_DEBUG                            0xc000060500000000ull
#define TDX_TDCS_NOT_ALLOCATED                      0xc000060600000000ull
#define TDX_LIFECYCLE_STATE_INCORRECT               0xc000060700000000ull
#define TDX_OP_STATE_INCORRECT                      0xc000060800000000ull
#define TDX_NO_VCPUS                                0xc000060900000000ull
#define TDX_TDCX_NUM_INCORRECT                      0xc000061000000000ull
#define TDX_X2APIC_ID_NOT_UNIQUE                    0xc000062100000000ull
/* VCPU */
#define TDX_VCPU_STATE_INCORRECT                    0xc000070000000000ull
#define TDX_VCPU_ASSOCIATED                         0x8000070100000000ull
#define TDX_VCPU_NOT_ASSOCIATED                     0x8000070200000000ull
#define TDX_NO_VALID_VE_INFO                        0xc000070400000000ull
#define TDX_MAX_VCPUS_EXCEEDED                      0xc000070500000000ull
#define TDX_TSC_ROLLBACK                            0xc000070600000000ull
#define TDX_INTERRUPTIBILITY_BLOCKED                0xc000070700000000ull
#define TDX_TD_VMCS_FIELD_NOT_INITIALIZED           0xc000073000000000ull
#define TDX_TD_VMCS_FIELD_ERROR                     0xc000073100000000ull
/* Keys */
#define TDX_KEY_GENERATION_FAILED                   0x8000080000000000ull
#define TDX_TD_KEYS_NOT_CONFIGURED                  0x8000081000000000ull
#define TDX_KEY_STATE_INCORRECT                     0xc000081100000000ull
#define TDX_KEY_CONFIGURED                          0x0000081500000000ull
#define TDX_WBCACHE_NOT_COMPLETE                    0x8000081700000000ull
#define TDX_HKID_NOT_FREE                           0xc000082000000000ull
#define TDX_NO_HKID_READY_TO_WBCACHE                0x0000082100000000ull
#define TDX_WBCACHE_RESUME_ERROR                    0xc000082300000000ull
#define TDX_FLUSHVP_NOT_DONE                        0x8000082400000000ull
#define TDX_NUM_ACTIVATED_HKIDS_NOT_SUPPORTED       0xc000082500000000ull
/* Platform */
#define TDX_INCORRECT_CPUID_VALUE                   0xc000090000000000ull
#define TDX_LIMIT_CPUID_MAXVAL_SET                  0xc000090100000000ull
#define TDX_INCONSISTENT_CPUID_FIELD                0xc000090200000000ull
#define TDX_CPUID_MAX_SUBLEAVES_UNRECOGNIZED        0xc000090300000000ull
#define TDX_CPUID_LEAF_1F_FORMAT_UNRECOGNIZED       0xc000090400000000ull
#define TDX_INVALID_WBINVD_SCOPE                    0xc000090500000000ull
#define TDX_INVALID_PKG_ID                          0xc000090600000000ull
#define TDX_ENABLE_MONITOR_FSM_NOT_SET              0xc000090700000000ull
#define TDX_CPUID_LEAF_NOT_SUPPORTED                0xc000090800000000ull
#define TDX_SMRR_NOT_LOCKED                         0xc000091000000000ull
#define TDX_INVALID_SMRR_CONFIGURATION              0xc000091100000000ull
#define TDX_SMRR_OVERLAPS_CMR                       0xc000091200000000ull
#define TDX_SMRR_LOCK_NOT_SUPPORTED                 0xc000091300000000ull
#define TDX_SMRR_NOT_SUPPORTED                      0xc000091400000000ull
#define TDX_INCONSISTENT_MSR                        0xc000092000000000ull
#define TDX_INCORRECT_MSR_VALUE                     0xc000092100000000ull
#define TDX_SEAMREPORT_NOT_AVAILABLE                0xc000093000000000ull
#define TDX_SEAMDB_GETREF_NOT_AVAILABLE             0xc000093100000000ull
#define TDX_SEAMDB_REPORT_NOT_AVAILABLE             0xc000093200000000ull
#define TDX_SEAMVERIFYREPORT_NOT_AVAILABLE          0xc000093300000000ull
/* TDMR, PAMT, CMR */
#define TDX_INVALID_TDMR                            0xc0000a0000000000ull
#define TDX_NON_ORDERED_TDMR                        0xc0000a0100000000ull
#define TDX_TDMR_OUTSIDE_CMRS                       0xc0000a0200000000ull
#define TDX_TDMR_ALREADY_INITIALIZED                0x00000a0300000000ull
#define TDX_INVALID_PAMT                            0xc0000a1000000000ull
#define TDX_PAMT_OUTSIDE_CMRS                       0xc0000a1100000000ull
#define TDX_PAMT_OVERLAP                            0xc0000a1200000000ull
#define TDX_INVALID_RESERVED_IN_TDMR                0xc0000a2000000000ull
#define TDX_NON_ORDERED_RESERVED_IN_TDMR            0xc0000a2100000000ull
#define TDX_CMR_LIST_INVALID                        0xc0000a2200000000ull
/* Secure EPT */
#define TDX_EPT_WALK_FAILED                         0xc0000b0000000000ull
#define TDX_EPT_ENTRY_FREE                          0xc0000b0100000000ull
#define TDX_EPT_ENTRY_NOT_FREE                      0xc0000b0200000000ull
#define TDX_EPT_ENTRY_NOT_PRESENT                   0xc0000b0300000000ull
#define TDX_EPT_ENTRY_NOT_LEAF                      0xc0000b0400000000ull
#define TDX_EPT_ENTRY_LEAF                          0xc0000b0500000000ull
#define TDX_GPA_RANGE_NOT_BLOCKED                   0xc0000b0600000000ull
#define TDX_GPA_RANGE_ALREADY_BLOCKED               0x00000b0700000000ull
#define TDX_TLB_TRACKING_NOT_DONE                   0xc0000b0800000000ull
#define TDX_EPT_INVALID_PROMOTE_CONDITIONS          0xc0000b0900000000ull
#define TDX_PAGE_ALREADY_ACCEPTED                   0x00000b0a00000000ull
#define TDX_PAGE_SIZE_MISMATCH                      0xc0000b0b00000000ull
#define TDX_GPA_RANGE_BLOCKED                       0xc0000b0c00000000ull
#define TDX_EPT_ENTRY_STATE_INCORRECT               0xc0000b0d00000000ull
#define TDX_EPT_PAGE_NOT_FREE                       0xc0000b0e00000000ull
#define TDX_L2_SEPT_WALK_FAILED                     0xc0000b0f00000000ull
#define TDX_L2_SEPT_ENTRY_NOT_FREE                  0xc0000b1000000000ull
#define TDX_PAGE_ATTR_INVALID                       0xc0000b1100000000ull
#define TDX_L2_SEPT_PAGE_NOT_PROVIDED               0xc0000b1200000000ull
/* Metadata */
#define TDX_METADATA_FIELD_ID_INCORRECT             0xc0000c0000000000ull
#define TDX_METADATA_FIELD_NOT_WRITABLE             0xc0000c0100000000ull
#define TDX_METADATA_FIELD_NOT_READABLE             0xc0000c0200000000ull
#define TDX_METADATA_FIELD_VALUE_NOT_VALID          0xc0000c0300000000ull
#define TDX_METADATA_LIST_OVERFLOW                  0xc0000c0400000000ull
#define TDX_INVALID_METADATA_LIST_HEADER            0xc0000c0500000000ull
#define TDX_REQUIRED_METADATA_FIELD_MISSING         0xc0000c0600000000ull
#define TDX_METADATA_ELEMENT_SIZE_INCORRECT         0xc0000c0700000000ull
#define TDX_METADATA_LAST_ELEMENT_INCORRECT         0xc0000c0800000000ull
#define TDX_METADATA_FIELD_CURRENTLY_NOT_WRITABLE   0xc0000c0900000000ull
#define TDX_METADATA_WR_MASK_NOT_VALID              0xc0000c0a00000000ull
#define TDX_METADATA_FIRST_FIELD_ID_IN_CONTEXT      0x00000c0b00000000ull
#define TDX_METADATA_FIELD_SKIP                     0x00000c0c00000000ull
#define TDX_VIRTUAL_MSR_VALUE_NOT_VALID             0xc0000c0d00000000ull
#define TDX_METADATA_FIELD_NOT_ALLOCATED            0xc0000c0e00000000ull
/* Migration */
#define TDX_ALREADY_WRITE_BLOCKED                   0x00000e0300000000ull
/* Reports */
#define TDX_INVALID_CPUSVN                          0xc000100000000000ull
#define TDX_INVALID_REPORTMACSTRUCT                 0xc000100100000000ull
/* TD partitioning */
#define TDX_L2_EXIT_HOST_ROUTED_ASYNC               0x0000110000000000ull
#define TDX_L2_EXIT_HOST_ROUTED_TDVMCALL            0x0000110100000000ull
#define TDX_L2_EXIT_PENDING_INTERRUPT               0x0000110200000000ull
#define TDX_L2_VM_ENTRY_FAILED                      0x8000110300000000ull
#define TDX_PENDING_INTERRUPT                       0x0000112000000000ull
#define TDX_TD_EXIT_BEFORE_L2_ENTRY                 0x0000114000000000ull
#define TDX_TD_EXIT_ON_L2_VM_EXIT                   0x0000114100000000ull
#define TDX_TD_EXIT_ON_L2_TO_L1                     0x0000114200000000ull
#define TDX_GLA_NOT_CANONICAL                       0xc000116000000000ull

/* Operand ids, in bits 31:0; registers have the processor's numbers. */
#define TDX_OPERAND_ID_RAX                            0
#define TDX_OPERAND_ID_RCX                            1
#define TDX_OPERAND_ID_RDX                            2
#define TDX_OPERAND_ID_RBX                            3
#define TDX_OPERAND_ID_RBP                            5
#define TDX_OPERAND_ID_RSI                            6
#define TDX_OPERAND_ID_RDI                            7
#define TDX_OPERAND_ID_R8                             8
#define TDX_OPERAND_ID_R9                             9
#define TDX_OPERAND_ID_R10                            10
#define TDX_OPERAND_ID_R11                            11
#define TDX_OPERAND_ID_R12                            12
#define TDX_OPERAND_ID_R13                            13
#define TDX_OPERAND_ID_R14                            14
#define TDX_OPERAND_ID_R15                            15
#define TDX_OPERAND_ID_ATTRIBUTES                     64
#define TDX_OPERAND_ID_XFAM                           65
#define TDX_OPERAND_ID_CONFIG_FLAGS                   66
#define TDX_OPERAND_ID_EPTP_CONTROLS                  67
#define TDX_OPERAND_ID_MAX_VCPUS                      68
#define TDX_OPERAND_ID_CPUID_CONFIG                   69
#define TDX_OPERAND_ID_TSC_FREQUENCY                  70
#define TDX_OPERAND_ID_NUM_L2_VMS                     71
#define TDX_OPERAND_ID_IA32_ARCH_CAPABILITIES_CONFIG  72
#define TDX_OPERAND_ID_PAGE                           95
#define TDX_OPERAND_ID_TDMR_INFO_PA                   96
#define TDX_OPERAND_ID_GPA_LIST_ENTRY                 97
#define TDX_OPERAND_ID_MIG_BUFF_LIST_ENTRY            98
#define TDX_OPERAND_ID_NEW_PAGE_LIST_ENTRY            99
#define TDX_OPERAND_ID_TDR                            128
#define TDX_OPERAND_ID_TDCX                           129
#define TDX_OPERAND_ID_TDVPR                          130
#define TDX_OPERAND_ID_REG_PAGE                       132
#define TDX_OPERAND_ID_TDCS                           144
#define TDX_OPERAND_ID_TDVPS                          145
#define TDX_OPERAND_ID_SEPT_TREE                      146
#define TDX_OPERAND_ID_SEPT_ENTRY                     147
#define TDX_OPERAND_ID_RTMR                           168
#define TDX_OPERAND_ID_TD_EPOCH                       169
#define TDX_OPERAND_ID_L2_VAPIC_GPA                   170
#define TDX_OPERAND_ID_MIGSC                          171
#define TDX_OPERAND_ID_OP_STATE                       172
#define TDX_OPERAND_ID_MIG                            173
#define TDX_OPERAND_ID_SERVTD_BINDINGS                174
#define TDX_OPERAND_ID_PASID_TRK                      175
#define TDX_OPERAND_ID_METADATA_FIELD                 176
#define TDX_OPERAND_ID_NUM_VCPUS                      177
#define TDX_OPERAND_ID_CPUID_FIXED0_BITMAP            178
#define TDX_OPERAND_ID_SYS                            184
#define TDX_OPERAND_ID_TDMR                           185
#define TDX_OPERAND_ID_KOT                            186
#define TDX_OPERAND_ID_KET                            187
#define TDX_OPERAND_ID_WBCACHE                        188

#endif
