# SPDX-License-Identifier: BSD-2-Clause
# Commands, and the processes of machines, killed before each step that others could see (steps.c):
# the machine is one that can be used, what the command began is done or is not, and nothing is left
# over. STRIDE=1 takes every step; the usual is every eighth, from a different one on. For tests/manage/run.

stride=${STRIDE:-8}
[ -e base.qcow2 ] || "$lodge" image create base.qcow2 64M || bad "no base disk"
layers() { ls "$machines/$1" | grep -c '\.qcow2'; }

# at_each_step WHO VERB... : kills WHO (command, or process) at each step of lodge VERB... steps; before
# each calls before, and behind it after.
at_each_step() {
	local who=$1 at status=137 process
	shift
	for ((at = 1 + RANDOM % stride; status != 0 && at < 400; at += stride)); do
		step="$who killed at step $at of $*"
		before
		process=$([ "$who" = command ] || pid steps)
		{ STEPS_KILL_AT=$at STEPS_KILL_PID=$process LD_PRELOAD=$steps "$lodge" "$@" >out 2>&1 </dev/null; } 2>/dev/null
		status=$?
		# The command may say anything of a process that is gone; nobody has its lock once it is.
		[ "$who" = command ] || [ "$status" -eq 0 ] || status=137
		# Or it had all that it wanted of the process, and that is going now.
		for ((i = 0; i < 20 && status == 0; i++)); do
			[ "$who" = process ] || break
			kill -0 "$process" 2>/dev/null && sleep 0.05 || status=137
		done
		while [ "$who" = process ] && [ $status -eq 137 ] && kill -0 "$process" 2>/dev/null; do sleep 0.01; done
		[ "$status" -eq 0 ] || [ "$status" -eq 137 ] || bad "$step: status $status: $(cat out)"
		after
	done
	[ "$status" -eq 0 ] && ok || bad "$*: never comes to its end"
}
# good WORDS... : lodge WORDS... succeeds
good() {
	timeout 60 "$lodge" "$@" >out 2>&1 </dev/null && ok || { bad "$step: lodge $*: $(head -n 3 out)"; return 1; }
}
running() { [ "$(state steps)" = running ]; }
clean() {
	local name
	for name in $("$lodge" snapshot ls steps 2>/dev/null | sed 1d | cut -d' ' -f1); do good snapshot rm steps "$name"; done
	"$lodge" kill steps >/dev/null 2>&1
	good start --until service steps
	is "$step: layers" 1 "$(layers steps)"
	is "$step: what is left" "" "$(ls -A "$machines/steps/snapshots" 2>/dev/null; ls -A "$machines/steps" | grep -E '^\.|\.part|\.new-|^memory')"
}

if ! ${CC:-cc} -shared -fPIC -o "$work/steps.so" "$here/steps.c" -ldl 2>errors; then
	echo "skipped: steps.sh: no compiler: $(head -n 1 errors)"
	skipped=$((skipped + 1))
	return
fi
steps=$work/steps.so
expect 0 "" launch --quiet $tiny echo --image ./base.qcow2 --until service steps

# A snapshot while it runs: the machine goes on; it can be saved, started anew, and kept again.
before() { running || good start steps; }
after() {
	[ "$who" = command ] || running || good start steps
	case $((at / stride % 4)) in
	0) good save steps && good start steps ;;
	1) "$lodge" kill steps >/dev/null 2>&1; good start steps ;;
	2)
		good snapshot create steps again && good kill steps && good snapshot restore steps again
		;;
	3)
		good save steps && good start steps && good snapshot create --disk-only steps disks
		;;
	esac
	running && ok || bad "$step: it is $(state steps)"
	clean
}
at_each_step command snapshot create steps one
at_each_step process snapshot create steps one

# A save.
after() {
	[ "$(state steps)" = running ] || good start steps
	running && ok || bad "$step: it is $(state steps)"
	clean
}
at_each_step command save steps

# One of a machine that is stopped: what was killed doesn't appear with the next.
before() { "$lodge" kill steps >/dev/null 2>&1; }
after() {
	local known
	known=$("$lodge" snapshot ls steps | grep -c '^one ')
	good start steps
	good snapshot create --disk-only steps two
	is "$step: snapshots one" "$known" "$("$lodge" snapshot ls steps | grep -c '^one ')"
	clean
}
at_each_step command snapshot create steps one
expect 0 "" rm --force steps
