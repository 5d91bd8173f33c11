# SPDX-License-Identifier: BSD-2-Clause
# What the boot tests share; each is a script of its own that sources this.
#
# $LODGE is the program, $LODGE_GUEST_DIR the prepared guest, $ENGINE the engine (auto), $LIMIT the
# seconds that each boot has.
set -u
lodge=${LODGE:-build/lodge}
guest=${LODGE_GUEST_DIR:-build/guest}
engine=${ENGINE:-auto}
work=$(mktemp -d)
started=$(date +%s%N)
trap 'rm -rf "$work"' EXIT

# The kernel that is packed starts as Debian ships it; this is what people boot.
kernel=${KERNEL:-$guest/vmlinuz}

fail() {
	echo "failed: $(basename "$0"): $*"
	[ ! -s "$work/out" ] || tail -n 40 "$work/out" | sed 's/^/    /'
	exit 1
}
seconds() { echo "$(((($(date +%s%N) - started) / 10000000)))" | sed 's/\(..\)$/.\1/; s/^\./0./'; }
skip() {
	echo "skipped: $(basename "$0"): $*"
	exit 77
}
pass() { echo "passed: $(basename "$0") in $(seconds) s${1:+: $1}"; }

# A copy of the disk, as sparse as it is, so that a test can write.
fresh_disk() { cp --sparse=always --reflink=auto "$guest/root.img" "$work/root.img"; }

# run_lodge SECONDS OPTION... : its output, without carriage returns, goes to $work/out
run_lodge() {
	local limit=$1 status
	shift
	timeout -k 5 "$limit" "$lodge" run --engine "$engine" --kernel "$kernel" \
		--initrd "$guest/initrd" "$@" >"$work/raw" 2>&1 </dev/null
	status=$?
	tr -d '\r' <"$work/raw" >"$work/out"
	[ $status -ne 124 ] && [ $status -ne 137 ] || fail "no end after $limit s"
	return $status
}
