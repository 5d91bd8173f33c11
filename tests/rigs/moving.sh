# SPDX-License-Identifier: BSD-2-Clause
# Machines with a load (load.c) that is saved and moved: sourced on the rig and outside. A machine's NAME is a
# prefix: NAME.raw is all that it has ever said, in whatever process. A function that fails says why.
lodge=${lodge:-./lodge}
# The files of a machine are named, for it comes from another host: files NAME
files() { echo --kernel "$kernel" --initrd "$initrd" --disk "$1.disk,format=raw"; }

# start NAME OPTION... : a process for the machine; its errors are in NAME.err
start() {
	local name=$1
	shift
	[ -p "$name.in" ] || mkfifo "$name.in"
	exec 3<>"$name.in"
	: >>"$name.raw"
	timeout -k 5 "$limit" "$lodge" run --log info --control "$PWD/$name.control" "$@" \
		<&3 >>"$name.raw" 2>>"$name.err" &
	pid=$!
}
# complain NAME WHAT : of this machine
complain() {
	echo "$1: $2"
	tail -n 8 "$1.err" 2>/dev/null
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
# save NAME FILE : and its process ends well
save() {
	"$lodge" save --stop "$PWD/$1.control" "$2" >"$1.said" 2>&1 || complain "$1" "$(<"$1.said")" || return
	wait "$pid" || complain "$1" "status $? after it was saved"
}
# end NAME : told on its console
end() {
	printf q >&3
	wait "$pid" || complain "$1" "status $? at the end"
}
# restored NAME ENGINE FILE N : goes on there for N steps. Whatever its TSC: the rig's kernel measures its own with
# timers that are emulated, and is wrong by up to a thousandth when the machine is busy.
restored() {
	# shellcheck disable=SC2046
	start "$1" --engine "$2" --restore "$3" --any-tsc $(files "$1") && goes_on "$1" "$4"
}
# moved NAME ENGINE N : to a new process, and on for N steps
moved() {
	local old=$pid status
	# shellcheck disable=SC2046
	start "$1" --engine "$2" --incoming "unix:$PWD/$1.peer" --any-tsc $(files "$1")
	for _ in $(seq 100); do
		[ ! -S "$1.peer" ] || break
		sleep 0.1
	done
	"$lodge" migrate --downtime 500 "$PWD/$1.control" "unix:$PWD/$1.peer" >"$1.said" 2>&1
	status=$?
	[ $status -eq 0 ] || complain "$1" "no move: $(tail -n 1 "$1.said")" || return
	grep -ao 'it stood for.*' "$1.said"
	wait "$old" || complain "$1" "status $? of the old process" || return
	rm -f "$1.peer"
	goes_on "$1" "$3"
}
