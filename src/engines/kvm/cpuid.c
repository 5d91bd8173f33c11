/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUID: the kernel answers from the list that the machine's processor model makes. What a model
 * can be given is what KVM supports, which is less than what the processor has, and a little more.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engines/kvm/internal.h"
#include "lib/bits.h"
#include "x86/cpuid_entries.h"
#include "x86/msr.h"

#define SUPPORTED_MAX 256

enum { EAX, EBX, ECX, EDX };

struct cpuid_room {
	struct list_head head;
	struct kvm_cpuid_entry2 entry[SUPPORTED_MAX];
};

static void take(uint32_t to[4], const struct kvm_cpuid_entry2 *from)
{
	to[EAX] = from->eax, to[EBX] = from->ebx, to[ECX] = from->ecx, to[EDX] = from->edx;
}

static void take_leaf(struct cpuid_host *host, const struct kvm_cpuid_entry2 *entry)
{
	if (entry->function == 0)
		host->intel = entry->ebx == 0x756e6547; /* Genu */
	else if (entry->function == 1)
		take(host->leaf_1, entry);
	else if (entry->function == 7 && entry->index == 0)
		take(host->leaf_7, entry);
	else if (entry->function == 0xd && entry->index == 0)
		host->avx_enabled = (entry->eax & 6) == 6;
	else if (entry->function == 0xd && entry->index == 1)
		take(host->leaf_d_1, entry);
	else if (entry->function == 0x80000001)
		take(host->leaf_80000001, entry);
	else if (entry->function == 0x80000008)
		take(host->leaf_80000008, entry);
}

/* Which of its flaws KVM says that a guest need not care for. */
static uint64_t arch_capabilities(int kvm)
{
	struct {
		struct list_head head;
		struct kvm_msr_entry entry[1];
	} msrs = {.head = {.count = 1}, .entry = {{.index = MSR_ARCH_CAPABILITIES}}};

	return ioctl(kvm, KVM_GET_MSRS, &msrs) == 1 ? msrs.entry[0].data : 0;
}

void kvm_cpuid_host(struct cpuid_host *host)
{
	static struct cpuid_room room;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	*host = (struct cpuid_host){.executes = true};
	if (kvm < 0)
		return;
	memset(&room, 0, sizeof(room));
	room.head.count = SUPPORTED_MAX;
	if (!ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &room))
		for (unsigned i = 0; i < room.head.count; i++)
			take_leaf(host, &room.entry[i]);
	host->arch_capabilities = arch_capabilities(kvm);
	close(kvm);
}

int cpuid_prepare(struct kvm_processor *processor)
{
	const struct vm *vm = processor->vcpu->vm;
	struct cpuid_entry entries[CPUID_ENTRIES_MAX];
	struct {
		struct list_head head;
		struct kvm_cpuid_entry2 entry[CPUID_ENTRIES_MAX];
	} list;

	memset(&list, 0, sizeof(list));
	list.head.count =
		cpuid_entries(vm->cpu_model, processor->vcpu->id, vm->vcpu_total, entries);
	for (unsigned i = 0; i < list.head.count; i++)
		list.entry[i] = (struct kvm_cpuid_entry2){
			.function = entries[i].leaf,
			.index = entries[i].subleaf,
			.flags = entries[i].any_subleaf ? 0 : KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = entries[i].value[EAX],
			.ebx = entries[i].value[EBX],
			.ecx = entries[i].value[ECX],
			.edx = entries[i].value[EDX],
		};
	return sync_ioctl(processor, KVM_SET_CPUID2, "KVM_SET_CPUID2", &list);
}
