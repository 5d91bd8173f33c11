/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hold COMMAND... : goes on as the command, which inherits a virtual machine of KVM with one
 * processor that never runs. While there is one, the kernel does not patch its own code when
 * machines come and go: not its scheduler for preemption notifiers, nor KVM for APICs that software
 * has not enabled. QEMU's TCG can keep the breakpoint that a processor meets meanwhile for good
 * (docs/testing.md, "What QEMU gets wrong").
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int count, char **words)
{
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
	int kvm = open("/dev/kvm", O_RDWR);
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);

	if (count < 2 || vm < 0 || ioctl(vm, KVM_ENABLE_CAP, &split) ||
	    dup(ioctl(vm, KVM_CREATE_VCPU, 0)) < 0) {
		perror("hold");
		return 1;
	}
	execvp(words[1], words + 1);
	perror(words[1]);
	return 1;
}
