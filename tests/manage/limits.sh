# SPDX-License-Identifier: BSD-2-Clause
# What a cap comes to, by the kernel's own figures: a guest in an endless loop.

# ran PROCESS : microseconds that its threads have run so far, and those that the vcpus' have waited for a processor.
ran() {
	local thread sum=0 waited=0 run wait _
	for thread in /proc/"$1"/task/*; do
		read -r run wait _ <"$thread/schedstat" || continue
		sum=$((sum + run / 1000))
		[[ $(cat "$thread/comm") != vcpu* ]] || waited=$((waited + wait / 1000))
	done
	echo "$sum $waited"
}
# share NAME SECONDS : of one processor, in thousandths, in $used; and in $missed what this host did not give it.
share() {
	local before after from to process
	process=$(pid "$1")
	from=${EPOCHREALTIME/[.,]/}
	before=($(ran "$process"))
	sleep "$2"
	to=${EPOCHREALTIME/[.,]/}
	after=($(ran "$process"))
	used=$(((after[0] - before[0]) * 1000 / (to - from)))
	missed=$(((after[1] - before[1]) * 1000 / (to - from)))
}
# kept WHAT CAP : within a tenth; on a busy host less, as far as the guest's threads waited for their turn.
kept() {
	local most=$(($2 * 11)) least=$(($2 * 9))
	if [ "$used" -le "$most" ] && [ $((used + missed)) -ge "$least" ]; then ok; else
		bad "$1: $used thousandths of a processor (and waited for $missed), not $(($2 * 10))"
	fi
}

{ header && bytes eb fe; } >spin
expect 0 "" create $tiny spin --cap 50 spin
expect 0 "cap         50" info spin
for engine in translate translate,interpret; do
	expect 0 "" set --engine "$engine" spin
	expect 0 "" start spin
	sleep 1
	share spin 3
	kept "cap 50, engine $engine" 50
	expect 0 "" kill spin
done
expect 0 "" start spin
expect 0 "" set --cap 20 spin
sleep 0.5
share spin 3
kept "cap 20, while it runs" 20
# It parks at once though it stands most of the time.
expect 0 "" set --cap 1 spin
expect 0 "" pause spin
expect 0 "" resume spin
expect 0 "" set --cap 0 spin
share spin 1
[ $((used + missed)) -gt 700 ] && ok || bad "without a cap: $used thousandths of a processor (and waited for $missed)"
held() { "$lodge" info --json spin | sed -n 's/.*"cap": \([0-9]*\),*$/\1/p' | tr '\n' ' '; }
is "cap in force, and in machine.conf" "0 0 " "$(held)"
expect 0 "" rm --force spin
