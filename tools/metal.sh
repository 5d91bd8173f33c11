# SPDX-License-Identifier: BSD-2-Clause
# What the scripts share that boot the bare-metal image; sourced, not run.
#
# The computer is QEMU's TCG with SVM. $METAL_PROCESSORS (2), $METAL_MEMORY (1024 MiB), $METAL_MACHINE (q35),
# $METAL_CPU (max) and $METAL_QEMU (further options) say more about it. With $METAL_ICOUNT=N its clock counts instructions, 2^N ns
# each, and time in which it has nothing to do is skipped.

# metal_command QEMU_OPTION... : the command that starts it, with its serial line on stdio, in $metal_command.
# The image is to be among the options: -cdrom IMAGE. The status is (N << 1) | 1 if `exit N` ended it at the
# prompt, and 0 after `poweroff`.
metal_command() {
	local more threads=multi clock=()
	if [ -n "${METAL_ICOUNT:-}" ]; then
		threads=single
		clock=(-icount "shift=$METAL_ICOUNT,sleep=off")
	fi
	read -r -a more <<<"${METAL_QEMU:-}"
	metal_command=(qemu-system-x86_64 -machine "${METAL_MACHINE:-q35}" -accel "tcg,thread=$threads" -cpu "${METAL_CPU:-max}"
		-smp "${METAL_PROCESSORS:-2}" -m "${METAL_MEMORY:-1024}" -nodefaults -no-user-config -display none
		-chardev stdio,id=serial,signal=off
		-serial chardev:serial -no-reboot -device "isa-debug-exit,iobase=0xf4,iosize=4"
		${clock[@]+"${clock[@]}"} ${more[@]+"${more[@]}"} "$@")
}

# metal_boot SECONDS IMAGE LOG : boots it to its end, or for so long; its serial line, without carriage returns
# and what GRUB does to a screen, goes to LOG. The status is QEMU's, 124 when the time was up.
metal_boot() {
	metal_command -cdrom "$2"
	timeout -k 5 "$1" "${metal_command[@]}" </dev/null 2>&1 |
		sed -u 's/\r//g; s/\x1b\[[0-9;]*[A-Za-z]//g' >"$3"
	return "${PIPESTATUS[0]}"
}
