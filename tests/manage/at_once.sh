# SPDX-License-Identifier: BSD-2-Clause
# Several commands on one machine at the same time. For tests/manage/run.

# at_once N COMMAND... : runs it N times at once; prints how often each status came, "0:1 74:4"
at_once() {
	local n=$1 i
	shift
	for i in $(seq "$n"); do
		{ timeout 60 "$lodge" "$@" >/dev/null 2>&1 </dev/null; echo $? >"status.$i"; } &
	done
	wait
	cat status.* | sort -n | uniq -c | awk '{printf "%s%s:%s", s, $2, $1; s = " "}'
	rm -f status.*
}
is "five create one name" "0:1 73:4" "$(at_once 5 create $tiny idle one)"
is "five start one machine" "0:1 74:4" "$(at_once 5 start one)"
is "five look" "0:5" "$(at_once 5 info one)"
is "five pause" "0:5" "$(at_once 5 pause one)"
is "five stop it" "0:5" "$(at_once 5 stop --force one)"
is "five remove it" "0:1 66:4" "$(at_once 5 rm one)"
expect 0 "" create $tiny idle one
for _ in 1 2 3 4 5; do
	"$lodge" start one >/dev/null 2>&1 &
	"$lodge" rm --force one >/dev/null 2>&1 &
	"$lodge" restart --force one >/dev/null 2>&1 &
	"$lodge" kill one >/dev/null 2>&1 &
	wait
	"$lodge" create $tiny idle one 2>/dev/null
done
is "state after a quarrel" stopped "$("$lodge" stop --force one; state one)"
port=$((20000 + $$ % 20000))
for i in 1 2 3 4 5 6; do "$lodge" port add one $((port + i)):80 & done
wait
is "six ports added at once" 6 "$("$lodge" port ls one | wc -l)"
expect 0 "" rm one

# Machines that have nothing to do with each other, removed at once.
[ -e base.qcow2 ] || "$lodge" image create base.qcow2 64M || bad "no base disk"
for i in $(seq 20); do "$lodge" create $tiny idle --image ./base.qcow2 "of$i" || bad "create of$i"; done
for i in $(seq 20); do
	{ timeout 60 "$lodge" rm "of$i" >/dev/null 2>&1; echo $? >"status.$i"; } &
done
wait
is "twenty removed at once" "0:20" "$(cat status.* | sort -n | uniq -c | awk '{printf "%s%s:%s", s, $2, $1; s = " "}')"
rm -f status.*
