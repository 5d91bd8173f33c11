# SPDX-License-Identifier: BSD-2-Clause
# What the scripts share that run tiny guests on a processor of QEMU's TCG; sourced, not run. TCG does not do
# all that these tests expect of a processor. So a guest that fails is run on it once more, without Lodge:
# if the same checks fail there, that is not ours.
#
# $folder has the guests, $work what they said ($work/NAME.out); $form is how Lodge ran them. $passed, $failed
# and $skipped are counted.

tests=$(dirname "${BASH_SOURCE[0]}")

# What the source says that lodge is to be given: /* lodge: OPTION... */
options_of() {
	cat "$tests/guests/$1".[cS] "$tests/metal/guests/$1".[cS] 2>/dev/null |
		sed -n 's/.*lodge: *\(--.*[^ *\/]\).*/\1/p' | head -n 1
}

# The places of the checks that failed, in a guest's output.
places() { sed -n 's/^\([^ ]*:[0-9]*\): expected.*/\1/p; s/^\(line [0-9]*\):.*/\1/p' | sort -u; }

# excused < PLACES : those of them whose line in the source says that it does not hold on KVM, and why.
excused() {
	local place
	[[ $form == kvm* ]] || return 0
	while read -r place; do
		sed -n "${place##*:}p" "$tests/../${place%:*}" 2>/dev/null | grep -q '/\* not on kvm: ' && echo "$place"
	done
}

# The guest on the processor alone, its output into $work/bare. The status is QEMU's.
bare() {
	local -a words more=(-m 64)
	local status
	read -r -a words <<<"$(options_of "$1")"
	set -- "$1" ${words[@]+"${words[@]}"}
	while [ $# -ge 3 ]; do
		case $2 in
		--cpus) more+=(-smp "$3") ;;
		--memory) more+=(-m "$3") ;;
		--append) more+=(-append "$3") ;;
		esac
		set -- "$1" "${@:4}"
	done
	timeout -k 1 20 qemu-system-x86_64 -accel tcg -machine q35 -cpu max -display none -no-reboot \
		-device isa-debug-exit,iobase=0xf4,iosize=4 -debugcon stdio -kernel "$folder/$1.elf" \
		"${more[@]}" </dev/null >"$work/bare" 2>"$work/bare.errors"
}

fail() {
	failed=$((failed + 1))
	echo "failed: $1 [$form]: $2"
	tail -n 25 "$work/$1.out" | sed 's/^/    /'
}

# pass_if_excused NAME : whether all that failed is excused.
pass_if_excused() {
	places <"$work/$1.out" >"$work/ours"
	excused <"$work/ours" >"$work/excused"
	[ -s "$work/ours" ] && cmp -s "$work/ours" "$work/excused" || return 1
	passed=$((passed + 1))
	echo "passed: $1 [$form], but for checks in $(wc -l <"$work/ours") places that KVM does not hold"
}

# fail_unless_bare NAME REASON : failed, unless the processor alone does no better.
fail_unless_bare() {
	local name=$1 reason=$2 status new
	[ "$reason" != "code 1" ] || ! pass_if_excused "$name" || return 0
	bare "$name"
	status=$?
	if [ $status -ne 3 ] && [ $status -ne 1 ]; then
		skipped=$((skipped + 1))
		echo "skipped: $name [$form]: this processor, which is QEMU's, does not get through it without Lodge either"
		return
	fi
	places <"$work/$name.out" >"$work/ours"
	{ places <"$work/bare"; excused <"$work/ours"; } | sort -u >"$work/theirs"
	new=$(comm -23 "$work/ours" "$work/theirs" | tr '\n' ' ')
	if [ -z "$new" ] && [ -s "$work/ours" ] && [ "$reason" = "code 1" ]; then
		passed=$((passed + 1))
		echo "passed: $name [$form], but for checks in $(wc -l <"$work/ours") places that fail on this processor without Lodge too$(grep -q . < <(excused <"$work/ours") && echo ", or not on KVM")"
	else
		fail "$name" "$reason${new:+, and without Lodge not at $new}"
	fi
}
