/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls: all that an unprivileged process can ask of the bare-metal kernel. Shared by
 * the kernel and by what runs above it (hosts/metal, engines/metal); docs/metal.md has them as a
 * table.
 *
 * A call is the instruction syscall with its number in rax and arguments in rdi, rsi, rdx, r10, r8;
 * the result comes in rax: 0 or more, or a negative errno (lib/error.h). rcx and r11 are lost, all
 * other registers stay. Processes use no x87 and no vector registers: those hold the guest's
 * values.
 *
 * There are two kinds of process. The manager, one, is started by the kernel, owns the serial line,
 * starts and ends machines. Each machine is a process of its own, which can do the first half
 * of the calls only.
 *
 * Every argument is hostile: a bad pointer is -EFAULT, a number out of range -EINVAL, a call that
 * is not for this process -EPERM, an unknown number -ENOSYS.
 */
#ifndef KERNEL_ABI_H
#define KERNEL_ABI_H

#ifndef __ASSEMBLER__
#include <stdint.h>
#endif

/* Address space of a process. What is not named here is where the program's ELF file puts it. */
#define METAL_START_ADDRESS   0x10000	  /* struct metal_start, one page */
#define METAL_PROGRAM_MIN     0x400000	  /* the program lies from here ... */
#define METAL_PROGRAM_MAX     0x10000000  /* ... to here */
#define METAL_CHANNEL_ADDRESS 0x10000000  /* a machine: memory shared with the manager */
#define METAL_CHANNEL_SIZE    0x20000	  /* 128 KiB */
#define METAL_MAP_MIN	      0x100000000 /* METAL_MAP, METAL_MODULE, channels: by the kernel */
#define METAL_MAP_MAX	      0x100000000000
#define METAL_GUEST_ADDRESS   0x100000000000 /* guest memory, METAL_GUEST_MEMORY */
#define METAL_USER_END	      0x7fffffff0000 /* nothing of a process is at or above it */

#define METAL_MACHINES_MAX 64
#define METAL_VCPUS_MAX	   32
#define METAL_MODULES_MAX  64
#define METAL_NAME_MAX	   32	/* bytes, with the NUL */
#define METAL_FRAME_MAX	   1514 /* bytes of an Ethernet frame without its checksum */
#define METAL_SLICES_MAX   64

enum metal_call {
	/* Any process. */
	METAL_LOG,	     /* text, length (1..256): a line into the kernel's log */
	METAL_EXIT,	     /* code: ends the process */
	METAL_THREAD_CREATE, /* entry, stack pointer, argument (in rdi): a thread id */
	METAL_THREAD_EXIT,   /* ends the calling thread; with the last one the process, code 0 */
	METAL_WAIT,	     /* u32 *word, value, deadline (ns, UINT64_MAX: none): sleeps while
			      *word == value; 0, -EAGAIN (it was not), -ETIMEDOUT. May wake early */
	METAL_WAKE,   /* u32 *word, count: how many sleepers were woken; shared memory works */
	METAL_MAP,    /* size: address of zeroed memory, readable and writable. A process has at
			 most 256 mappings, its modules and vcpus included: -ENOMEM */
	METAL_UNMAP,  /* address, size, as METAL_MAP gave them */
	METAL_MODULE, /* index, struct metal_module *: fills it in; maps the module, read-only.
			 -EPERM for one that was not granted, -ENOENT behind the last */
	METAL_NOTIFY, /* process, bits: sets them in its metal_start.events and wakes whoever
			 waits for that word. Between the manager and its machines only */

	/* Machines only. */
	METAL_GUEST_MEMORY, /* size (multiple of 2 MiB): METAL_GUEST_ADDRESS; once. -ENOMEM */
	METAL_GUEST_MAP, /* guest-physical base, size, offset into that memory (multiples of 2 MiB)
			  */
	METAL_VCPU_CREATE, /* id (0..31, in order), struct metal_vcpu_config *: page-aligned address
			      of its struct metal_vcpu, which the kernel maps */
	METAL_VCPU_RUN,	   /* id: runs it on the calling thread until metal_vcpu.exit is filled */
	METAL_VCPU_KICK,   /* id: a running vcpu, or its next run, returns with METAL_EXIT_KICKED */
	METAL_VCPU_STATE, /* id: stores the registers and the APIC into its metal_vcpu. -EBUSY while
			     it runs */
	METAL_APIC_MESSAGE, /* address, data: an interrupt message (MSI); whether anyone took it */
	METAL_APIC_LINE,    /* input (0: INTR of the 8259s, 1: NMI), level */
	METAL_SWITCH_SEND,  /* struct metal_slice *, count: a frame to the machine's switch. It may
			       be lost */
	METAL_SWITCH_RECEIVE, /* buffer, size: the next frame's length; -EAGAIN: none
				 (METAL_EVENT_FRAME tells when there is one); too small a buffer
				 cuts it */

	/* The manager only. */
	METAL_PROCESS_CREATE, /* struct metal_process_config *: the machine's process; it does not
				 run yet */
	METAL_PROCESS_SET,    /* process, struct metal_process_set *: starts it; scheduling */
	METAL_PROCESS_KILL, /* process: ends it if it runs, and gives back all it had; frees its id
			     */
	METAL_PROCESS_INFO, /* process (0: the kernel and manager), struct metal_process_info * */
	METAL_CONSOLE,	    /* bytes, length, write (1) or read (0): how many were taken or given.
			       METAL_EVENT_INPUT and METAL_EVENT_OUTPUT tell when to ask again */
	METAL_SYSTEM,	    /* enum metal_system, pointer, size */
	METAL_CALLS
};

enum metal_system {
	METAL_SYSTEM_REBOOT,
	METAL_SYSTEM_POWER_OFF,
	METAL_SYSTEM_LOG, /* copies the newest `size` bytes of the kernel's log: their count */
	METAL_SYSTEM_TEST_EXIT, /* pointer is a code: QEMU's isa-debug-exit at port 0xf4 */
};

/* Bits of metal_start.events. The upper 16 are free for METAL_NOTIFY, the lower are the kernel's.
 */
enum {
	METAL_EVENT_INPUT = 1,	/* manager: the serial line has bytes */
	METAL_EVENT_OUTPUT = 2, /* manager: the serial line has room again */
	METAL_EVENT_CHILD =
		4, /* manager: a machine's process has ended: look with METAL_PROCESS_INFO */
	METAL_EVENT_FRAME = 8,	      /* machine: frames wait */
	METAL_EVENT_NOTIFY = 0x10000, /* and above: METAL_NOTIFY */
};

#ifndef __ASSEMBLER__

/* At METAL_START_ADDRESS: what a process knows when it starts. Its own to write to. */
struct metal_start {
	_Atomic uint32_t events;      /* METAL_EVENT_*: set by the kernel, cleared by the process */
	uint32_t process;	      /* its id: 0 is the manager, machines have 1 and up */
	uint32_t processors;	      /* of the computer */
	uint32_t modules;	      /* boot modules there are */
	uint64_t tsc_frequency;	      /* Hz */
	uint64_t tsc_zero;	      /* TSC at which the clock of deadlines was 0 */
	uint64_t wall_zero;	      /* ns since 1970-01-01 00:00 UTC then */
	uint64_t memory;	      /* bytes of RAM that the computer has */
	uint64_t thread_pointer_size; /* 0 */
	uint8_t seed[32];	      /* unpredictable; for this process alone */
};

struct metal_module {
	uint64_t address, size; /* size in bytes; mapped up to the next page, with zeroes */
	char name[64];	     /* the first word of the command line that the boot loader gave it */
	char arguments[192]; /* the rest of it */
};

struct metal_slice {
	uint64_t address, length;
};

/* Registers. Arrays in the order of their encodings; segments es cs ss ds fs gs. */
struct metal_segment {
	uint16_t selector;
	uint16_t attributes; /* a descriptor's bits 40..55 */
	uint32_t limit;	     /* bytes */
	uint64_t base;
};

#define METAL_XSAVE_SIZE 1024

struct metal_state {
	uint64_t gpr[16], rip, rflags;
	struct metal_segment segment[6], ldtr, tr;
	uint64_t gdtr_base, idtr_base;
	uint16_t gdtr_limit, idtr_limit;
	uint8_t interrupt_shadow, nmi_blocked;
	uint8_t halted; /* waits for an interrupt: hlt was executed */
	uint8_t exception_pending, exception_vector, exception_has_error;
	uint32_t exception_error;
	uint64_t cr0, cr2, cr3, cr4, cr8, xcr0;
	uint64_t dr[8];
	uint64_t efer, star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, tsc_aux, misc_enable, spec_ctrl, debugctl, xss;
	uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_variable[16];
	uint64_t tsc_offset, tsc_adjust;
	_Alignas(64) uint8_t xsave[METAL_XSAVE_SIZE]; /* standard form */
};

enum metal_exit_kind {
	METAL_EXIT_KICKED, /* METAL_VCPU_KICK, or nothing: look at what is wanted, and run it again
			    */
	METAL_EXIT_PORT,   /* address, size, write, value; run it again with the answer in value */
	METAL_EXIT_MEMORY, /* the same at a guest-physical address */
	METAL_EXIT_EOI,	   /* address: the vector of a level-triggered interrupt that was ended */
	METAL_EXIT_EXTINT, /* the guest takes an interrupt of the 8259s: its vector is to be in
			      value, or ~0: none after all */
	METAL_EXIT_INIT,   /* an INIT message arrived */
	METAL_EXIT_SIPI,   /* a start-up message arrived; address is its vector */
	METAL_EXIT_SHUTDOWN, /* triple fault */
	METAL_EXIT_FAILED,   /* address: the processor's own exit code, or a bug of ours */
};

struct metal_exit {
	uint32_t kind; /* enum metal_exit_kind */
	uint8_t size, write;
	uint16_t reserved;
	uint64_t address, value;
};

/* Bits of metal_vcpu.load: what METAL_VCPU_RUN is to take from the page before it runs. */
enum {
	METAL_LOAD_STATE = 1, /* state, but tsc_offset */
	METAL_LOAD_APIC = 2,
	METAL_LOAD_TIME = 4, /* state.tsc_offset and time_offset */
};

/* One page that the kernel and the vm process share. The kernel copies what it reads, then checks
 * it. */
#define METAL_APIC_SIZE 512 /* room for struct apic (x86/apic.h) */
struct metal_vcpu {
	_Alignas(4096) uint32_t load; /* METAL_LOAD_*; the kernel clears it */
	uint32_t runnable;	/* 0: waits for INIT or SIPI, METAL_VCPU_RUN blocks until then */
	uint64_t time_offset;	/* guest time in ns = clock + time_offset (wrapping) */
	struct metal_exit exit; /* as METAL_VCPU_RUN found it; the answer when it is called again */
	struct metal_state state;
	_Alignas(64) uint8_t apic[METAL_APIC_SIZE];
	/* Counted by the kernel, for reading. */
	uint64_t exits[16];  /* by enum metal_exit_reason */
	uint64_t guest_time; /* ns in the guest */
};

/* Why a guest left, for statistics: the same words for every vendor. */
enum metal_exit_reason {
	METAL_REASON_CPUID,
	METAL_REASON_MSR,
	METAL_REASON_APIC, /* its registers, in memory or as MSRs */
	METAL_REASON_PORT,
	METAL_REASON_MEMORY, /* of a device */
	METAL_REASON_PAGE,   /* a page of RAM that was not mapped yet */
	METAL_REASON_HALT,
	METAL_REASON_INTERRUPT, /* of the computer */
	METAL_REASON_WINDOW,	/* the guest can take an interrupt or NMI now */
	METAL_REASON_REGISTER,	/* control and debug registers, xsetbv */
	METAL_REASON_EXCEPTION,
	METAL_REASON_OTHER,
	METAL_REASONS
};

/* One answer to cpuid. Bits that depend on the registers (OSXSAVE; leaf 0xd's sizes) are the
 * kernel's to fill in. */
struct metal_cpuid {
	uint32_t leaf, subleaf;
	uint32_t value[4];    /* eax ebx ecx edx */
	uint32_t any_subleaf; /* 1: whatever ecx holds */
	uint32_t reserved;
};
#define METAL_CPUID_MAX 80

struct metal_vcpu_config {
	uint64_t xcr0; /* bits that the guest may set */
	uint64_t cr4;  /* bits that the guest may set, of those that the kernel knows */
	uint64_t arch_capabilities;
	uint32_t physical_bits;
	uint32_t cpuid_count;
	struct metal_cpuid cpuid[METAL_CPUID_MAX]; /* by leaf, then subleaf; others answer 0 */
};

/* Scheduling of one machine. */
struct metal_process_set {
	uint32_t start;	     /* 1: it begins to run, if it has not yet */
	uint32_t paused;     /* 1: its threads are not run */
	uint32_t weight;     /* 1..10000; share of processor time is in proportion; 100 is usual */
	uint32_t cap;	     /* percent of one processor that it may use at most; 0: no cap */
	uint64_t processors; /* where it may run: a bit for each, at least one that exists */
};

struct metal_process_config {
	char name[METAL_NAME_MAX];
	uint64_t guest_memory; /* bytes METAL_GUEST_MEMORY may ask for: set aside now, or -ENOMEM */
	uint64_t memory_max;   /* bytes of its own beside that, its disks' changes included */
	uint64_t modules;      /* which boot modules it may map: a bit for each */
	uint32_t switch_number; /* which switch it is plugged into: 1..255; 0: none */
	uint32_t vcpus;		/* how many it may create */
	uint8_t mac[6];
	uint8_t reserved[2];
	struct metal_process_set set;
	uint64_t channel; /* filled in: where its channel is mapped in the manager */
};

enum metal_process_state {
	METAL_PROCESS_NEW,
	METAL_PROCESS_RUNNING,
	METAL_PROCESS_EXITED,  /* code: what METAL_EXIT said */
	METAL_PROCESS_CRASHED, /* code: the exception's vector; address, rip: where */
	METAL_PROCESS_KILLED,
};

struct metal_process_info {
	char name[METAL_NAME_MAX];
	uint32_t state; /* enum metal_process_state */
	uint32_t vcpus;
	uint64_t code, rip, address;
	uint64_t time;		/* ns of processor time, all threads, guest included */
	uint64_t guest_memory;	/* bytes of guest memory set aside */
	uint64_t guest_touched; /* of these, bytes that have been used */
	uint64_t
		memory; /* bytes of its own: program, page tables, kernel objects, disks' changes */
	uint64_t memory_kernel;		     /* of process 0: bytes that the kernel itself holds */
	uint64_t memory_free;		     /* of process 0: bytes that nobody has */
	uint64_t vcpu_time[METAL_VCPUS_MAX]; /* ns in the guest */
	uint64_t exits[16];		     /* of all vcpus, by enum metal_exit_reason */
	uint64_t frames_sent, frames_received, frames_lost;
	struct metal_process_set set;
};

_Static_assert(sizeof(struct metal_vcpu) == 4096, "one page");
_Static_assert(sizeof(struct metal_start) <= 4096, "one page");
#endif
#endif
