/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers and layouts of KVM's user interface for TDs that the distribution's
 * <linux/kvm.h> may be too old to have: VM type, guest_memfd, memory attributes,
 * KVM_MEMORY_ENCRYPT_OP of TDX and the exits. The names of structures are ours
 * (tdx_uapi_*), so that newer headers do not clash.
 */
#ifndef TESTS_LINUX_KVM_TDX_H
#define TESTS_LINUX_KVM_TDX_H

#include <linux/kvm.h>
#include <stdint.h>

#ifndef KVM_X86_TDX_VM
#define KVM_X86_TDX_VM 5
#endif
#ifndef KVM_CAP_VM_TYPES
#define KVM_CAP_VM_TYPES 235
#endif
#ifndef KVM_CAP_X86_APIC_BUS_CYCLES_NS
#define KVM_CAP_X86_APIC_BUS_CYCLES_NS 237
#endif
#ifndef KVM_CAP_GUEST_MEMFD
#define KVM_CAP_GUEST_MEMFD 234
#endif
#ifndef KVM_MEM_GUEST_MEMFD
#define KVM_MEM_GUEST_MEMFD (1UL << 2)
#endif
#ifndef KVM_MEMORY_ATTRIBUTE_PRIVATE
#define KVM_MEMORY_ATTRIBUTE_PRIVATE (1ULL << 3)
#endif
#ifndef KVM_HC_MAP_GPA_RANGE
#define KVM_HC_MAP_GPA_RANGE 12
#endif
#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39
#endif
#ifndef KVM_MEMORY_EXIT_FLAG_PRIVATE
#define KVM_MEMORY_EXIT_FLAG_PRIVATE (1ULL << 3)
#endif
#ifndef KVM_EXIT_TDX
#define KVM_EXIT_TDX 40
#endif
#ifndef KVM_SYSTEM_EVENT_TDX_FATAL
#define KVM_SYSTEM_EVENT_TDX_FATAL 7
#endif
#define MAP_GPA_ENCRYPTED (1ULL << 4)   /* in args[2] of KVM_HC_MAP_GPA_RANGE */

struct tdx_uapi_region2 {
    uint32_t slot;
    uint32_t flags;
    uint64_t guest_phys_addr;
    uint64_t memory_size;
    uint64_t userspace_addr;
    uint64_t guest_memfd_offset;
    uint32_t guest_memfd;
    uint32_t pad1;
    uint64_t pad2[14];
};
#define TDX_UAPI_SET_REGION2 _IOW(KVMIO, 0x49, struct tdx_uapi_region2)

struct tdx_uapi_attributes {
    uint64_t address;
    uint64_t size;
    uint64_t attributes;
    uint64_t flags;
};
#define TDX_UAPI_SET_ATTRIBUTES _IOW(KVMIO, 0xd2, struct tdx_uapi_attributes)

struct tdx_uapi_gmem {
    uint64_t size;
    uint64_t flags;
    uint64_t reserved[6];
};
#define TDX_UAPI_CREATE_GMEM _IOWR(KVMIO, 0xd4, struct tdx_uapi_gmem)

struct tdx_uapi_pre_fault {
    uint64_t gpa;               /* both move on by what was mapped */
    uint64_t size;
    uint64_t flags;
    uint64_t padding[5];
};
#define TDX_UAPI_PRE_FAULT _IOWR(KVMIO, 0xd5, struct tdx_uapi_pre_fault)

/* Sub-commands of KVM_MEMORY_ENCRYPT_OP */
enum {
    TDX_CMD_CAPABILITIES, TDX_CMD_INIT_VM, TDX_CMD_INIT_VCPU, TDX_CMD_INIT_MEM_REGION,
    TDX_CMD_FINALIZE_VM, TDX_CMD_GET_CPUID,
};
#define TDX_MEASURE_MEMORY_REGION 1u

struct tdx_uapi_cmd {
    uint32_t id;
    uint32_t flags;
    uint64_t data;
    uint64_t hw_error;
};

#define TDX_MAX_CPUID 256

struct tdx_uapi_cpuid {
    uint32_t nent;
    uint32_t padding;
    struct kvm_cpuid_entry2 entries[TDX_MAX_CPUID];
};

struct tdx_uapi_caps {
    uint64_t supported_attrs;
    uint64_t supported_xfam;
    uint64_t kernel_r11, user_r11, kernel_r12, user_r12;
    uint64_t reserved[250];
    struct tdx_uapi_cpuid cpuid;
};

struct tdx_uapi_init_vm {
    uint64_t attributes;
    uint64_t xfam;
    uint8_t mrconfigid[48];
    uint8_t mrowner[48];
    uint8_t mrownerconfig[48];
    uint64_t reserved[12];
    struct tdx_uapi_cpuid cpuid;
};
_Static_assert(__builtin_offsetof(struct tdx_uapi_caps, cpuid) == 2048, "uapi layout");
_Static_assert(__builtin_offsetof(struct tdx_uapi_init_vm, cpuid) == 256, "uapi layout");

struct tdx_uapi_mem_region {
    uint64_t source_addr;
    uint64_t gpa;
    uint64_t nr_pages;
};

/* In the union of struct kvm_run, for KVM_EXIT_MEMORY_FAULT and KVM_EXIT_TDX. */
struct tdx_uapi_memory_fault {
    uint64_t flags;
    uint64_t gpa;
    uint64_t size;
};

struct tdx_uapi_exit {
    uint64_t flags;
    uint64_t nr;                /* TDVMCALL sub-function */
    uint64_t ret;
    union {
        uint64_t data[5];
        struct { uint64_t leaf, r11, r12, r13, r14; } info;
        struct { uint64_t gpa, size; } quote;
        struct { uint64_t vector; } notify;
    };
};
#define TDVMCALL_GET_INFO           0x10000
#define TDVMCALL_GET_QUOTE          0x10002
#define TDVMCALL_SETUP_EVENT_NOTIFY 0x10004
#define TDVMCALL_UNSUPPORTED        0x8000000000000003ULL

#endif
