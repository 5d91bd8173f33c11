/* SPDX-License-Identifier: BSD-2-Clause */
/* What the engine's files share. Names of the kernel's own structs begin with kvm_, too. */
#ifndef ENGINES_KVM_INTERNAL_H
#define ENGINES_KVM_INTERNAL_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/vm.h"
#include "x86/apic.h"
#include "x86/cpuid.h"

/* vm->engine_private. */

#define ROUTES_MAX 24 /* "pins" that the kernel keeps for an I/O APIC outside of it */

/* A level-triggered message whose end the kernel is to report. */
struct route {
	uint32_t address, data;
	bool waits;    /* sent, and not ended */
	uint64_t used; /* when it was sent last, by routes.clock */
};

struct routes {
	unsigned count;
	uint64_t clock;
	struct route route[ROUTES_MAX];
};

#define BELLS_MAX 128

/* Doorbells that the kernel takes the writes of. Vm's lock. */
struct bells {
	bool runs; /* the thread, and the two files with it */
	pthread_t thread;
	int epoll, end;
	uint64_t heard;
	struct bell {
		struct doorbell *rings; /* NULL: unused */
		int fd;
	} bell[BELLS_MAX];
};

struct kvm_machine {
	int fd;
	int process;
	size_t run_size;
	_Atomic bool intr;	 /* level of the 8259s' INTR, which is LINT0 of all APICs */
	_Atomic unsigned logged; /* lines about what guests do */
	struct routes routes;	 /* vm's lock */
	uint64_t *dirty_log;	 /* room for what KVM_GET_DIRTY_LOG says of one range */
	size_t dirty_log_size;
	struct bells bells;
	/* Held while registers are handed to the kernel, and while a message is sent. Behind vm's
	 * lock. */
	pthread_mutex_t hand_over;
	_Atomic bool replaced; /* some have to be, before any vcpu runs */
	unsigned last_lowest;  /* apics_deliver's */
};

/* Why KVM_RUN returned, for statistics. */
enum kvm_reason {
	KVM_REASON_PORT,
	KVM_REASON_MEMORY,
	KVM_REASON_MSR,
	KVM_REASON_EOI,
	KVM_REASON_WINDOW,
	KVM_REASON_KICK,
	KVM_REASON_OTHER,
	KVM_REASONS
};

/* vcpu->engine_private. All but what says otherwise belongs to the vcpu's thread, or to whoever has
 * seen to it that no vcpu runs. */
struct kvm_processor {
	struct vcpu *vcpu;
	int fd;
	struct kvm_run *run;
	_Atomic int thread;   /* that runs it; any thread kicks it */
	_Atomic bool nmi_pin; /* LINT1 has been raised; set by any thread */
	bool prepared;	      /* the kernel knows its CPUID */
	/* Whose registers count: the kernel's, but for these. */
	bool stale;	 /* vcpu->state: it has been replaced */
	bool synced;	 /* vcpu->state, if it is no longer as `known` */
	bool apic_stale; /* apic */
	bool unfinished; /* an access has been answered that KVM_RUN has to finish */
	bool fresh;	 /* registers have been set since the last KVM_RUN */
	struct vcpu_state known;
	struct apic apic;
	uint64_t tsc_offset; /* the kernel's, as far as we and the guest have set it */
	/* The APIC timer's current count when the vcpu left for a pause, and whether that is so. */
	uint32_t paused_count;
	bool paused;
	uint64_t reasons[KVM_REASONS];
	char reason[160]; /* of EXIT_FAILED */
};

static inline struct kvm_machine *machine_of(const struct vm *vm)
{
	return vm->engine_private;
}

static inline struct kvm_processor *processor_of(const struct vcpu *vcpu)
{
	return vcpu->engine_private;
}

/* A line about something that the guest does; only a few in a machine's life. */
void kvm_log(struct vcpu *vcpu, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* probe.c. The whole verdict; and what the guest of two instructions does. */
int kvm_probe(char *reason, size_t size);
enum probe_verdict { PROBE_TRUE, PROBE_FAILS, PROBE_EMULATED, PROBE_STUCK };
enum probe_verdict probe_guest(int kvm);
/* What this kernel's KVM lacks that we need; NULL if nothing. */
const char *probe_missing(int kvm);

/* How kvm_msrs, kvm_cpuid2 and kvm_irq_routing begin, whose entries are as many as one likes. */
struct list_head {
	uint32_t count, flags;
};
_Static_assert(sizeof(struct list_head) == offsetof(struct kvm_msrs, entries), "the same layout");
_Static_assert(sizeof(struct list_head) == offsetof(struct kvm_cpuid2, entries), "the same layout");
_Static_assert(sizeof(struct list_head) == offsetof(struct kvm_irq_routing, entries),
	       "the same layout");

/* registers.c. The kernel's form of a vcpu's registers, all of them. */
#define REGISTERS_MSRS 64
struct registers {
	struct kvm_regs regs;
	struct kvm_sregs sregs; /* apic_base and cr8 are the APIC's */
	uint32_t xsave[1024];	/* struct kvm_xsave without what follows in larger ones */
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	struct {
		struct list_head head;
		struct kvm_msr_entry entry[REGISTERS_MSRS];
	} msrs;
};
/* Conversions. tsc_offset is not touched; nor, on the way back, what MSRs are kept here (msr.c). */
void registers_from_state(struct registers *to, const struct vcpu_state *from,
			  const struct cpu_model *model);
void registers_to_state(struct vcpu_state *to, const struct registers *from,
			const struct cpu_model *model);

/* sync.c. Between vcpu->state, processor->apic and the kernel. 0, or a negative errno with
 * `reason`. */
int sync_fetch(struct kvm_processor *processor);
int sync_store(struct kvm_processor *processor);
void kvm_sync(struct vcpu *vcpu);
/* Before a run: hands over what has been changed; first, if all have been replaced, those of all
 * vcpus. */
int sync_hand_over(struct kvm_processor *processor);
/* The vcpu's registers, or its time, are to be handed over before any vcpu runs. */
void sync_replaced(struct kvm_processor *processor, bool *which);
/* One MSR, by KVM_GET_MSRS or KVM_SET_MSRS. */
int sync_msr(struct kvm_processor *processor, unsigned long request, uint32_t number,
	     uint64_t *value);
/* ioctl that says in `reason` what failed. */
int sync_ioctl(struct kvm_processor *processor, unsigned long request, const char *name,
	       void *argument);

/* apic.c. `now`: guest time. */
void apic_to_kvm(struct kvm_lapic_state *to, const struct apic *from, uint64_t now);
void apic_from_kvm(struct apic *to, const struct kvm_lapic_state *from, uint64_t base,
		   uint64_t deadline, uint64_t now);
uint32_t apic_kvm_register(const struct kvm_lapic_state *lapic, unsigned number);
extern const struct engine_apics kvm_apics;
int apic_fetch(struct kvm_processor *processor, struct apic *apic);
int apic_store(struct kvm_processor *processor);
int apic_store_deadline(struct kvm_processor *processor, uint64_t deadline);
/* The vcpu leaves for a pause; and has been paused. */
void apic_paused(struct kvm_processor *processor);
int apic_resumed(struct kvm_processor *processor);
/* Whether the guest has turned the broadcast of ends of interrupts off. */
bool apic_suppresses_eoi(struct kvm_processor *processor);
/* Whether LINT1 is an NMI. */
bool apic_lint1_is_nmi(struct kvm_processor *processor);

/* Numbers of registers (their offset in memory, divided by 16). */
enum {
	LAPIC_ID = 0x02,
	LAPIC_VERSION = 0x03,
	LAPIC_TPR = 0x08,
	LAPIC_LDR = 0x0d,
	LAPIC_DFR = 0x0e,
	LAPIC_SVR = 0x0f,
	LAPIC_ISR = 0x10,
	LAPIC_TMR = 0x18,
	LAPIC_IRR = 0x20,
	LAPIC_ESR = 0x28,
	LAPIC_ICR = 0x30,
	LAPIC_ICR_HIGH = 0x31,
	LAPIC_LVT = 0x32,
	LAPIC_INITIAL_COUNT = 0x38,
	LAPIC_CURRENT_COUNT = 0x39,
	LAPIC_DIVIDE = 0x3e,
};

/* msr.c. Which MSRs the kernel keeps, by the processor model's table: the filter for it. */
int msr_filter(int fd);
/* The list of those that are part of a vcpu's state, the index-th; NULL after the last. */
uint64_t *msr_kept(struct vcpu_state *state, const struct cpu_model *model, unsigned index,
		   uint32_t *number);
/* Those that the kernel does not keep. False: #GP. */
bool msr_read(struct vcpu *vcpu, uint32_t number, uint64_t *value);
bool msr_write(struct vcpu *vcpu, uint32_t number, uint64_t value);
/* Whether the kernel answers for it. */
bool msr_in_kernel(uint32_t number);

/* cpuid.c */
void kvm_cpuid_host(struct cpuid_host *host);
int cpuid_prepare(struct kvm_processor *processor);

/* routes.c. A level-triggered message is sent: whether the table has become another. */
bool routes_sent(struct routes *routes, uint64_t address, uint32_t data);
void routes_ended(struct routes *routes, uint8_t vector);
int routes_set(struct kvm_machine *machine);

/* dirty.c */
extern const struct engine_dirty kvm_dirty;
int memory_slot(const struct vm *vm, unsigned index, uint32_t flags);

/* tsc.c */
int kvm_tsc(struct vm *vm, uint64_t frequency, uint64_t *here);

/* doorbell.c. bells_end: no vcpu runs any more; vm's lock not held. */
extern const struct engine_doorbells kvm_doorbells;
void bells_end(struct kvm_machine *machine);

/* run.c */
void kvm_vcpu_run(struct vcpu *vcpu, struct exit *exit);
void kvm_vcpu_kick(struct vcpu *vcpu);
extern const char *const kvm_reason_names[KVM_REASONS];

#endif
