# SPDX-License-Identifier: BSD-2-Clause
# Commands and machines killed at random moments: whatever was begun is done or is not, and the next
# command finds its way. For tests/manage/run.

# A disk to be an overlay on.
[ -e base.qcow2 ] || "$lodge" image create base.qcow2 64M || bad "no base disk"

# sound NAME : the machine is one that can be used
sound() {
	case $(state "$1") in
	stopped | running | crashed | starting | paused) ;;
	*) bad "round $round: $1 is $(state "$1"): $("$lodge" info "$1" 2>&1 | head -n 3)" && return 1 ;;
	esac
}
verbs=("create $tiny idle --image ./base.qcow2 a" "create $tiny idle --image ./base.qcow2 b"
	"launch --quiet $tiny echo --image ./base.qcow2 --until service a" "start a" "start b" "stop --force a"
	"restart --force a" "kill b" "pause a" "resume a" "rm --force a" "rm --force b"
	"port add a $port:80" "port rm a $port:80" "set --memory 32M a" "snapshot create a one"
	"snapshot create a two" "snapshot restore a one" "snapshot rm a one" "snapshot rm a two" "clone a b"
	"clone --linked a c" "rm --force c" "snapshot create c one")
count=${#verbs[@]}
for round in $(seq "$rounds"); do
	good=1
	for _ in 1 2 3; do
		verb=${verbs[$((RANDOM % count))]}
		"$lodge" $verb >/dev/null 2>&1 </dev/null &
		command=$!
		sleep "0.0$((RANDOM % 40 + 10))"
		kill -KILL $command 2>/dev/null
		wait $command 2>/dev/null
	done
	if [ $((RANDOM % 3)) -eq 0 ] && process=$(pid a 2>/dev/null) && [ -n "$process" ]; then
		kill -KILL "$process"
	fi
	"$lodge" ls --json >list 2>errors || { bad "round $round: ls: $(cat errors)"; good=0; }
	for name in $(sed -n 's/^    "name": "\(.*\)",$/\1/p' list); do
		sound "$name" || good=0
		[ "$(state "$name")" = stopped ] || continue
		for disk in "$machines/$name"/*.qcow2; do
			"$lodge" image check "$disk" >out 2>&1 && continue
			[ -e "$disk" ] || continue # swept meanwhile
			bad "round $round: the disk $disk: $(cat out)"
			good=0
		done
		"$lodge" snapshot tree "$name" >out 2>&1 || { bad "round $round: tree: $(cat out)"; good=0; }
	done
	[ $good -eq 0 ] || ok
done 2>/dev/null
for name in c b a; do
	[ ! -d "$machines/$name" ] || expect 0 "" rm --force $name
	expect 0 "" launch --quiet $tiny echo --image ./base.qcow2 --until service $name
	expect 0 "" rm --force $name
done
is "no machine is left" "" "$(ls "$machines")"
