/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine's process from its first instruction to its end: reads what the manager wants from the
 * channel, builds the vm and the PC, boots the kernel, starts the vcpus' threads and serves events
 * until the guest has ended. What hosts/linux and manage/run.c are on Linux.
 *
 * The channel's contents are copied and checked before they are believed.
 */
#include "core/engine.h"
#include "engines/metal/call.h"
#include "engines/metal/metal.h"
#include "hosts/metal/common.h"
#include "hosts/metal/disk.h"
#include "hosts/metal/dump.h"
#include "hosts/metal/machine.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/format.h"
#include "lib/string.h"
#include "machines/pc.h"
#include "x86/cpuid.h"

#define MIB		 (UINT64_C(1) << 20)
#define DEFAULT_MODEL	 "x86-64-v2"
#define DEFAULT_APPEND	 "console=ttyS0 panic=-1" /* Linux's; others get nothing */
#define MODEL_NAMES_SIZE 128

/* All of it, zero at the start. */
static struct machine {
	struct channel *channel;
	struct machine_config config; /* our copy */
	struct cpu_model cpu_model;
	struct metal_module kernel, initrd;
	struct vm vm;
	struct metal_vm metal_vm;
	struct pc *pc;
	struct pc_config pc_config;
	struct disk_pool pool;
	struct netport *netport;
	struct metal_console serial, debug;
	char reason[256];
} machine;

/* What went wrong, for the manager. */
static bool fail(const char *text, ...) __attribute__((format(printf, 1, 2)));
static bool fail(const char *text, ...)
{
	va_list arguments;

	va_start(arguments, text);
	vformat(machine.reason, sizeof(machine.reason), text, arguments);
	va_end(arguments);
	return false;
}

/* What the manager wants */

static void end_text(char *text, size_t size)
{
	text[size - 1] = '\0';
}

static bool read_config(void)
{
	struct machine_config *config = &machine.config;

	bytes_copy(config, &machine.channel->config, sizeof(*config));
	end_text(config->name, sizeof(config->name));
	end_text(config->kernel, sizeof(config->kernel));
	end_text(config->initrd, sizeof(config->initrd));
	end_text(config->append, sizeof(config->append));
	end_text(config->cpu_model, sizeof(config->cpu_model));
	for (unsigned i = 0; i < MACHINE_DISKS_MAX; i++)
		end_text(config->disks[i].file, sizeof(config->disks[i].file));
	if (config->cpus < 1 || config->cpus > VM_VCPUS_MAX)
		return fail("cpus = %u: take 1 to %u", config->cpus, VM_VCPUS_MAX);
	if (config->memory < PC_MEMORY_MIN || config->memory > PC_MEMORY_MAX ||
	    config->memory % PC_MEMORY_UNIT)
		return fail("memory = %llu bytes: take a multiple of %llu MiB from %llu MiB on",
			    (unsigned long long)config->memory,
			    (unsigned long long)(PC_MEMORY_UNIT / MIB),
			    (unsigned long long)(PC_MEMORY_MIN / MIB));
	if (config->disk_count > MACHINE_DISKS_MAX)
		return fail("disk: there can be %u disks at most", MACHINE_DISKS_MAX);
	if (!config->disk_memory)
		config->disk_memory = CHANNEL_DISK_MEMORY;
	return true;
}

static bool choose_cpu_model(void)
{
	const char *name = machine.config.cpu_model[0] ? machine.config.cpu_model : DEFAULT_MODEL;
	const struct cpu_model *model = cpu_model_find(name);
	char names[MODEL_NAMES_SIZE] = "";
	struct cpuid_host host;
	size_t length = 0;

	for (unsigned i = 0; !model && cpu_model_name(i) && length < sizeof(names); i++)
		length += format(names + length, sizeof(names) - length, "%s%s", i ? ", " : "",
				 cpu_model_name(i));
	if (!model)
		return fail("cpu-model = %s: there is no such model: take one of %s", name, names);
	cpuid_host_read(&host);
	host.executes = true;
	host.tsc_frequency = host_tsc_frequency();
	cpu_model_limit(&machine.cpu_model, model, &host);
	for (unsigned i = 0; cpu_model_missing(&machine.cpu_model, model, i); i++)
		host_log(LOG_INFO, "cpu-model %s: this processor lacks %s", name,
			 cpu_model_missing(&machine.cpu_model, model, i));
	return true;
}

/* Building */

static bool map_module(int32_t index, const char *key, const char *file,
		       struct metal_module *module)
{
	int64_t error =
		index < 0 ? -ENOENT : METAL_CALL(METAL_MODULE, (uint32_t)index, (uintptr_t)module);

	if (error < 0)
		return fail("%s = %s: there is no such boot module for this machine (error %lld)",
			    key, file, (long long)-error);
	end_text(module->name, sizeof(module->name));
	return true;
}

static bool map_images(void)
{
	const struct machine_config *config = &machine.config;

	if (!map_module(machine.channel->kernel, "kernel", config->kernel, &machine.kernel))
		return false;
	return !config->initrd[0] ||
	       map_module(machine.channel->initrd, "initrd", config->initrd, &machine.initrd);
}

static bool open_disk(unsigned number)
{
	const struct machine_disk *described = &machine.config.disks[number];
	struct metal_module module;
	struct disk *disk;
	int error;

	if (!map_module(machine.channel->disk[number], "disk", described->file, &module))
		return false;
	error = disk_module_open(&disk, (const void *)module.address, module.size,
				 described->read_only, &machine.pool);
	if (error == -EINVAL)
		return fail("disk = %s: its size, %llu bytes, is not a multiple of 512: was it cut "
			    "off?",
			    described->file, (unsigned long long)module.size);
	if (error)
		return fail("disk = %s: no memory for it (error %d)", described->file, -error);
	format(disk->serial, sizeof(disk->serial), "lodge%u", number);
	machine.pc_config.disks[machine.pc_config.disk_count++] = disk;
	return true;
}

static bool open_disks(void)
{
	bool opened = true;

	if (disk_pool_init(&machine.pool, machine.config.disk_memory))
		return fail("disk-memory = %llu MiB: there is not so much",
			    (unsigned long long)(machine.config.disk_memory / MIB));
	for (unsigned i = 0; i < machine.config.disk_count && opened; i++)
		opened = open_disk(i);
	return opened;
}

static bool make_vm(void)
{
	const struct vm_config config = {
		.vcpus = machine.config.cpus,
		.memory_size = machine.config.memory,
		.hole_base = PC_HOLE_BASE,
		.engine = &engine_metal,
		.cpu_model = &machine.cpu_model,
	};
	int error = vm_create(&machine.vm, &config);

	if (error == -ENOMEM)
		return fail("memory = %llu MiB: there is not so much: try less",
			    (unsigned long long)(config.memory_size / MIB));
	if (error)
		return fail("can't make a machine (error %d)", -error);
	machine.metal_vm.wanted = UINT64_MAX;
	machine.vm.host_private = &machine.metal_vm;
	return true;
}

static bool make_pc(void)
{
	struct pc_config *config = &machine.pc_config;
	int error;

	console_init(&machine.serial, machine.channel, true);
	console_init(&machine.debug, machine.channel, false);
	config->serial = &machine.serial.console;
	config->debug = &machine.debug.console;
	config->test_devices = machine.config.test_devices;
	config->netport = machine.netport = netport_open(machine.channel->mac);
	error = pc_create(&machine.pc, &machine.vm, config);
	if (!error)
		error = threads_create(&machine.vm);
	return !error || fail("can't make the machine (error %d)", -error);
}

static struct boot_file boot_file(const struct metal_module *module, const char *name)
{
	return (struct boot_file){
		.image = {.bytes = (const uint8_t *)module->address, .size = module->size},
		.name = name};
}

/* Power-on or reset: files into memory, the first processor at the kernel's entry. */
static bool boot(void)
{
	static struct boot_config config;
	const struct machine_config *own = &machine.config;
	struct boot_result result;
	bool may_be_linux;

	config.kernel = boot_file(&machine.kernel, own->kernel);
	config.module_count = own->initrd[0] ? 1 : 0;
	config.modules[0] = boot_file(&machine.initrd, own->initrd);
	may_be_linux =
		boot_is_linux(&config.kernel.image) || !boot_is_multiboot(&config.kernel.image);
	config.command_line = own->append;
	if (!own->lines[MACHINE_APPEND] && !own->append[0] && may_be_linux)
		config.command_line = DEFAULT_APPEND;
	if (!pc_boot(machine.pc, &config, &result))
		return true;
	if (result.memory_needed)
		return fail("memory = %llu MiB: %s: give it %llu MiB or more",
			    (unsigned long long)(own->memory / MIB), result.reason,
			    (unsigned long long)(result.memory_needed / MIB));
	return fail("kernel = %s", result.reason);
}

static bool prepare(void)
{
	return read_config() && choose_cpu_model() && map_images() && open_disks() && make_vm() &&
	       make_pc() && boot();
}

/* Running */

static void tell_state(enum channel_state state)
{
	if (atomic_exchange(&machine.channel->state, (uint32_t)state) != (uint32_t)state)
		METAL_CALL(METAL_NOTIFY, 0, METAL_EVENT_NOTIFY);
}

/* What the manager asks. Vm's lock held. */
static void serve_requests(void)
{
	uint32_t requests = atomic_exchange(&machine.channel->requests, 0);

	if (requests & CHANNEL_STOP)
		vm_stop(&machine.vm, VM_KILLED, 0);
	if (requests & CHANNEL_RESET)
		vm_stop(&machine.vm, VM_RESET, 0);
	if (requests & CHANNEL_PAUSE)
		vm_pause(&machine.vm);
	if (requests & CHANNEL_RESUME)
		vm_resume(&machine.vm);
	if (requests & CHANNEL_POWER_BUTTON)
		pc_power_button(machine.pc);
}

static void serve(uint32_t events)
{
	struct vm *vm = &machine.vm;

	vm_lock(vm);
	if (events & ~(EVENT_SELF | METAL_EVENT_FRAME)) {
		serve_requests();
		console_look(&machine.serial);
		console_look(&machine.debug);
	}
	if ((events & METAL_EVENT_FRAME) && machine.netport)
		netport_look(machine.netport);
	tell_state(vm_paused(vm) ? CHANNEL_PAUSED : CHANNEL_BOOTED);
	vm_unlock(vm);
}

/* Until the guest stops, why ever. */
static enum vm_stop run_once(void)
{
	struct vm *vm = &machine.vm;

	tell_state(CHANNEL_BOOTED);
	threads_start(vm);
	/* Requests may have come before there was anybody to take them. */
	serve(METAL_EVENT_NOTIFY);
	while (atomic_load(&vm->stop) == VM_RUNNING)
		serve(wake_wait(vm));
	threads_join(vm);
	return (enum vm_stop)atomic_load(&vm->stop);
}

static const char *outcome(enum vm_stop why)
{
	switch (why) {
	case VM_PANICKED:
		return "the guest's kernel panicked";
	case VM_SHUTDOWN:
		return "a processor of the guest shut down (triple fault)";
	case VM_FAILED:
		return machine.vm.stop_reason ? machine.vm.stop_reason : "the engine failed";
	default:
		return "";
	}
}

int main(void)
{
	enum vm_stop why = VM_FAILED;

	machine.channel = metal_channel();
	if (!machine.channel || !prepare()) {
		metal_tell_end(VM_FAILED, 0, machine.reason);
		return 1;
	}
	while ((why = run_once()) == VM_RESET) {
		machine.channel->resets++;
		host_log(LOG_INFO, "the guest resets");
		if (!boot()) {
			metal_tell_end(VM_FAILED, 0, machine.reason);
			return 1;
		}
	}
	if (why == VM_SHUTDOWN || why == VM_FAILED || why == VM_PANICKED)
		dump_vcpus(&machine.vm);
	metal_tell_end(why, machine.vm.stop_code, outcome(why));
	return 0;
}
