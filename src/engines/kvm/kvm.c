/* SPDX-License-Identifier: BSD-2-Clause */
/* Machines and their processors are made here; and the table of the engine. */
#include "engines/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engines/kvm/internal.h"
#include "lib/bits.h"
#include "lib/format.h"

/* Pages that Intel's processors want for real mode, between the local APICs and the end of what the
 * machine keeps for them. */
#define IDENTITY_MAP 0xfeffc000u
#define TASK_STATE   0xfeffd000u

const uint32_t kvm_ioctls[] = {
	(uint32_t)KVM_RUN,
	(uint32_t)KVM_SIGNAL_MSI,
	(uint32_t)KVM_SET_GSI_ROUTING,
	(uint32_t)KVM_NMI,
	(uint32_t)KVM_SET_CPUID2,
	(uint32_t)KVM_GET_REGS,
	(uint32_t)KVM_SET_REGS,
	(uint32_t)KVM_GET_SREGS,
	(uint32_t)KVM_SET_SREGS,
	(uint32_t)KVM_GET_XSAVE,
	(uint32_t)KVM_SET_XSAVE,
	(uint32_t)KVM_GET_XCRS,
	(uint32_t)KVM_SET_XCRS,
	(uint32_t)KVM_GET_DEBUGREGS,
	(uint32_t)KVM_SET_DEBUGREGS,
	(uint32_t)KVM_GET_VCPU_EVENTS,
	(uint32_t)KVM_SET_VCPU_EVENTS,
	(uint32_t)KVM_GET_MP_STATE,
	(uint32_t)KVM_SET_MP_STATE,
	(uint32_t)KVM_GET_MSRS,
	(uint32_t)KVM_SET_MSRS,
	(uint32_t)KVM_GET_LAPIC,
	(uint32_t)KVM_SET_LAPIC,
	(uint32_t)KVM_SET_DEVICE_ATTR,
	(uint32_t)KVM_GET_TSC_KHZ,
	(uint32_t)KVM_SET_TSC_KHZ,
	(uint32_t)KVM_SET_USER_MEMORY_REGION,
	(uint32_t)KVM_GET_DIRTY_LOG,
	(uint32_t)KVM_IOEVENTFD,
	0,
};

/* A kick's signal has nothing to do but to end KVM_RUN. */
static void kicked(int signal)
{
}

static int machine_open(struct kvm_machine *machine)
{
	const struct sigaction action = {.sa_handler = kicked};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), size, error = 0;

	if (kvm < 0)
		return -errno;
	sigaction(SIGUSR1, &action, NULL);
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	machine->fd = ioctl(kvm, KVM_CREATE_VM, 0);
	if (size <= 0 || machine->fd < 0)
		error = -errno;
	machine->run_size = (size_t)size;
	machine->process = getpid();
	close(kvm);
	return error;
}

static int cap_enable(struct kvm_machine *machine, unsigned number, uint64_t argument)
{
	struct kvm_enable_cap cap = {.cap = number, .args = {argument}};

	return ioctl(machine->fd, KVM_ENABLE_CAP, &cap) ? -errno : 0;
}

static int machine_configure(struct vm *vm)
{
	struct kvm_machine *machine = machine_of(vm);
	uint64_t map = IDENTITY_MAP;
	int error = 0;

	for (unsigned i = 0; i < vm->memory.count && !error; i++)
		error = memory_slot(vm, i, 0);
	if (!error && (ioctl(machine->fd, KVM_SET_IDENTITY_MAP_ADDR, &map) ||
		       ioctl(machine->fd, KVM_SET_TSS_ADDR, TASK_STATE)))
		error = -errno;
	if (!error)
		error = cap_enable(machine, KVM_CAP_SPLIT_IRQCHIP, ROUTES_MAX);
	if (!error)
		error = msr_filter(machine->fd);
	/* No counters: no model has them. An older kernel has this not, and its counters' MSRs are
	 * filtered all the same. */
	if (!error)
		cap_enable(machine, KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE);
	return error;
}

static void kvm_vm_destroy(struct vm *vm)
{
	struct kvm_machine *machine = machine_of(vm);

	bells_end(machine);
	if (machine->fd >= 0)
		close(machine->fd);
	pthread_mutex_destroy(&machine->hand_over);
	host_pages_free(machine->dirty_log, machine->dirty_log_size);
	host_pages_free(machine, sizeof(*machine));
	vm->engine_private = NULL;
}

static int kvm_vm_create(struct vm *vm)
{
	struct kvm_machine *machine = host_pages(sizeof(*machine));
	int error;

	if (!machine)
		return -ENOMEM;
	machine->fd = -1;
	pthread_mutex_init(&machine->hand_over, NULL);
	vm->engine_private = machine;
	error = machine_open(machine);
	if (!error)
		error = machine_configure(vm);
	if (error)
		kvm_vm_destroy(vm);
	return error;
}

static void log_statistics(const struct kvm_processor *processor)
{
	char line[256];
	size_t length = 0;

	for (unsigned i = 0; i < KVM_REASONS && length < sizeof(line); i++)
		length +=
			format(line + length, sizeof(line) - length, "%s%lu for %s", i ? ", " : "",
			       (unsigned long)processor->reasons[i], kvm_reason_names[i]);
	host_log(LOG_INFO, "engine: vcpu %u: exits: %s", processor->vcpu->id, line);
}

static void processor_free(struct kvm_processor *processor, size_t run_size)
{
	if (processor->run)
		munmap(processor->run, run_size);
	if (processor->fd >= 0)
		close(processor->fd);
	host_pages_free(processor, sizeof(*processor));
}

static int processor_open(struct kvm_processor *processor, const struct kvm_machine *machine)
{
	void *run;

	processor->fd = ioctl(machine->fd, KVM_CREATE_VCPU, processor->vcpu->id);
	if (processor->fd < 0)
		return -errno;
	run = mmap(NULL, machine->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, processor->fd, 0);
	if (run == MAP_FAILED)
		return -errno;
	processor->run = run;
	return 0;
}

static int kvm_vcpu_create(struct vcpu *vcpu)
{
	const struct kvm_machine *machine = machine_of(vcpu->vm);
	struct kvm_processor *processor = host_pages(sizeof(*processor));
	int error;

	if (!processor)
		return -ENOMEM;
	processor->vcpu = vcpu;
	processor->apic.id = vcpu->id;
	processor->stale = true;
	error = processor_open(processor, machine);
	if (error) {
		processor_free(processor, machine->run_size);
		return error;
	}
	vcpu->engine_private = processor;
	return 0;
}

static void kvm_vcpu_destroy(struct vcpu *vcpu)
{
	log_statistics(processor_of(vcpu));
	processor_free(processor_of(vcpu), machine_of(vcpu->vm)->run_size);
	vcpu->engine_private = NULL;
}

static void kvm_reset(struct vcpu *vcpu)
{
	struct kvm_processor *processor = processor_of(vcpu);

	processor->synced = processor->unfinished = processor->paused = false;
	atomic_store(&processor->nmi_pin, false);
	/* After a reset of the machine another thread may run it. */
	atomic_store(&processor->thread, 0);
	sync_replaced(processor, &processor->stale);
}

const struct engine engine_kvm = {
	.name = "kvm",
	.probe = kvm_probe,
	.processor = kvm_cpuid_host,
	.vm_create = kvm_vm_create,
	.vm_destroy = kvm_vm_destroy,
	.vcpu_create = kvm_vcpu_create,
	.vcpu_destroy = kvm_vcpu_destroy,
	.run = kvm_vcpu_run,
	.kick = kvm_vcpu_kick,
	.reset = kvm_reset,
	.sync = kvm_sync,
	.apics = &kvm_apics,
	.dirty = &kvm_dirty,
	.tsc = kvm_tsc,
	.doorbells = &kvm_doorbells,
};
