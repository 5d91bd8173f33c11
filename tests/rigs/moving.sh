# SPDX-License-Identifier: BSD-2-Clause
# Machines with a load (load.c) that is saved and moved: sourced on the rig and outside. A machine's NAME is a
# prefix: NAME.raw is all that it has ever said, in whatever process. A function that fails says why.
lodge=${lodge:-./lodge}
load=${load:-./load}
# The files of a machine are named, for it comes from another host: files NAME
files() { echo --kernel "$kernel" --initrd "$initrd" --disk "$1.disk,format=raw"; }

# start NAME OPTION... : a process for the machine; its errors are in NAME.err
start() {
	local name=$1
	shift
	[ -p "$name.in" ] || mkfifo "$name.in"
	exec 3<>"$name.in"
	: >>"$name.raw"
	timeout -k 5 $((4 * limit)) "$lodge" run --log info --control "$PWD/$name.control" "$@" \
		<&3 >>"$name.raw" 2>>"$name.err" &
	pid=$!
}
# what_stands NAME : the machine's processes, and those that ask it for something: what their threads are at (state, ticks of
# user and system time, system call, and where in the kernel if we may know it); what the machine says of itself
what_stands() {
	local file task
	for file in $(grep -alF "$PWD/$1.control" /proc/[0-9]*/cmdline 2>/dev/null); do
		for task in "${file%/cmdline}"/task/*; do
			echo "${task#/proc/} $(<"$task/comm"): $(sed 's/.*) //' "$task/stat" | cut -d ' ' -f 1,12,13)," \
				"call $(cut -d ' ' -f 1 "$task/syscall")" \
				"$(head -n 5 "$task/stack" | sed 's/^[^ ]* //' | tr '\n' ' ')"
		done
	done 2>/dev/null
	"$load" ask "$PWD/$1.control" status
	"$load" ask "$PWD/$1.control" stats
}
# complain NAME WHAT : of this machine
complain() {
	echo "$1: $2"
	[ ! -S "$1.control" ] || what_stands "$1"
	tail -n 30 "$1.err" 2>/dev/null
	tail -n 8 "$1.raw"
	return 1
}
# goes_on NAME N : it takes N steps more
goes_on() {
	local from seconds=$((SECONDS + limit)) steps
	from=$(grep -ac '^load: step' "$1.raw")
	while :; do
		steps=$(grep -ac '^load: step' "$1.raw")
		[ "$steps" -lt $((from + $2)) ] || return 0
		kill -0 "$pid" 2>/dev/null || complain "$1" "ended after $((steps - from)) steps" || return
		[ $SECONDS -lt $seconds ] || complain "$1" "took only $((steps - from)) steps" || return
		sleep 0.1
	done
}
# await NAME PID WHAT : it ends, in time, with status 0
await() {
	local seconds=$((SECONDS + limit))
	while kill -0 "$2" 2>/dev/null; do
		[ $SECONDS -lt $seconds ] || complain "$1" "$3 does not end" || { kill "$2"; return 1; }
		sleep 0.1
	done
	wait "$2" || complain "$1" "$3: status $?"
}
# asked NAME VERB... : a verb of lodge's, what it says in NAME.said
asked() {
	"$lodge" "${@:2}" >"$1.said" 2>&1 &
	await "$1" $! "lodge $2" || { cat "$1.said"; return 1; }
}
# save NAME FILE : and its process ends well
save() {
	asked "$1" save --stop "$PWD/$1.control" "$2" && await "$1" "$pid" "the process that was saved"
}
# end NAME : told on its console
end() {
	printf q >&3
	await "$1" "$pid" "the machine that was told to end"
}
# restored NAME ENGINE FILE N : goes on there for N steps. Whatever its TSC: the rig's kernel measures its own with
# timers that are emulated, and is wrong by up to a thousandth when the machine is busy.
restored() {
	# shellcheck disable=SC2046
	start "$1" --engine "$2" --restore "$3" --any-tsc $(files "$1") && goes_on "$1" "$4"
}
# moved NAME ENGINE N : to a new process, and on for N steps
moved() {
	local old=$pid
	# shellcheck disable=SC2046
	start "$1" --engine "$2" --incoming "unix:$PWD/$1.peer" --any-tsc $(files "$1")
	for _ in $(seq 100); do
		[ ! -S "$1.peer" ] || break
		sleep 0.1
	done
	asked "$1" migrate --downtime 500 "$PWD/$1.control" "unix:$PWD/$1.peer" || return
	grep -ao 'it stood for.*' "$1.said"
	await "$1" "$old" "the process it moved from" || return
	rm -f "$1.peer"
	goes_on "$1" "$3"
}
