/* SPDX-License-Identifier: BSD-2-Clause */
/* AMD's SVM: what its files share. */
#ifndef KERNEL_SVM_SVM_H
#define KERNEL_SVM_SVM_H

/* Offsets that enter.S knows. */
#define SVM_VMCB     0
#define SVM_HOST     8
#define SVM_GUEST_GS 16
#define SVM_HOST_GS  24
#define SVM_STAYS    32

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

#include "kernel/svm/vmcb.h"
#include "kernel/vcpu.h"

/* What a processor has. */
struct svm_cpu {
	uint64_t host; /* physical address of a VMCB that VMSAVE and VMLOAD keep the host's in */
	/* Address space ids: none is used twice in one generation, and a new one begins with a
	 * flush of all. */
	uint32_t next_asid;
	uint64_t generation;
	const void *last; /* the struct svm that ran last */
	uint64_t tsc_aux; /* in its MSR now */
};

/* What the processors can do; the same for all. */
struct svm_features {
	bool nrips, flush_asid, tsc_aux, ibpb;
	uint32_t clean; /* the clean bits that there are */
	uint32_t asids;
	uint64_t io_map, msr_map; /* physical addresses */
};
extern struct svm_features svm_features;

/* The vendor's part of a vcpu. */
struct svm {
	uint64_t vmcb_pa, host_pa;  /* the guest's, this processor's */
	uint64_t guest_gs, host_gs; /* while one of them isn't in the processor */
	uint64_t stays;		    /* svm_fast may be asked: the processor has wrgsbase */
	struct vmcb *vmcb;
	struct svm_cpu *cpu; /* where its ASID is from */
	uint64_t generation;
	bool handled; /* svm_fast has dealt with the exit, but wants to leave */
	/* After an NMI: the iret that ends it, once it is reached. */
	bool iret_reached;
	uint64_t iret_rip;
	bool stepping, stepping_tf; /* one instruction, with TF of ours; the guest's own TF */
	uint64_t stepping_dr6;
};

/* enter.S */
void svm_enter(struct vcpu *vcpu, struct svm *svm);

/* fast.c: deals with what is frequent. True: back into the guest. GIF is 0. */
bool svm_fast(struct vcpu *vcpu);

/* exits.c: says in vcpu->exit why the guest left. */
void svm_exit(struct vcpu *vcpu);

/* registers.c */
void svm_load(struct vcpu *vcpu);
void svm_store(struct vcpu *vcpu);
void svm_segment(struct vcpu *vcpu, unsigned number, struct metal_segment *segment);

/* run.c */
void svm_run(struct vcpu *vcpu);
#endif

#endif
