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

# A start that others overtake where it stands: what they keep stays.
# stopped_at CALL:N VERB... : lodge VERB..., stopped there, as $stopped
stopped_at() {
	local stop=$1 i
	shift
	STEPS_STOP=$stop LD_PRELOAD=$steps "$lodge" "$@" >out 2>&1 </dev/null &
	stopped=$!
	for ((i = 0; i < 500; i++)); do
		case $(sed 's/.*) //' /proc/$stopped/stat 2>/dev/null) in "" | [TZ]*) break ;; esac
		sleep 0.02
	done
}
goes_on() {
	kill -CONT $stopped 2>/dev/null # it may never have come there
	wait $stopped
	is "$step: status" 0 $?
}
expect 0 "" launch --quiet $tiny echo --image ./base.qcow2 --until service steps
expect 0 "" save steps
for at in unlinkat:1 unlink:1 lock:4; do
	step="start, stopped at $at, and a save"
	stopped_at $at start steps
	"$lodge" save steps >/dev/null 2>&1 &
	saving=$!
	sleep 0.7
	goes_on
	wait $saving
	is "$step: status of save" 0 $?
	is "$step: state" saved "$(state steps)"
	[ -s "$machines/steps/memory" ] && ok || bad "$step: the memory is gone"
done
expect 0 "" start steps

# A save whose command was killed behind its last step: the process ends while start waits for it.
step="start, while the machine becomes saved"
expect 0 "" save steps
cp "$machines/steps/state" saved.state
sed 's/"saved"/"running"/' saved.state >"$machines/steps/state"
stopped_at lock:2 start steps
cat saved.state >"$machines/steps/state"
goes_on
step="it went on"
is "greetings after that" 1 "$(grep -c 'at your service' "$machines/steps/console.log")"
expect 0 "" rm --force steps

# A snapshot whose command was killed before machine.conf named other layers: a clone doesn't make it one.
expect 0 "" create $tiny idle --image ./base.qcow2 steps
mkdir "$machines/steps/snapshots"
echo '{"time": 1, "description": "", "disks": ["root.qcow2"], "memory": false}' >"$machines/steps/snapshots/one"
expect 0 "" clone --linked steps linked
is "snapshots after that" 0 "$("$lodge" snapshot ls steps | grep -c '^one ')"
expect 0 "" rm linked steps

# A machine that goes away stands on nothing.
for name in steps unrelated; do expect 0 "" create $tiny idle --image ./base.qcow2 $name; done
step="rm, while another machine goes away"
stopped_at opendir:2 rm steps
expect 0 "" rm unrelated
goes_on

# An image isn't removed while a machine is being made of it; nor is what was removed used.
images=$XDG_DATA_HOME/lodge/images
mkdir -p "$images/steps"
cp idle base.qcow2 "$images/steps"
printf '[machine steps]\nkernel = idle\ndisk = base.qcow2\n' >"$images/steps/image.conf"
step="create, stopped before its machine appears, and image rm"
stopped_at mkostemp:1 create --memory 16M --image steps steps
"$lodge" image rm steps >rm.out 2>&1 &
removing=$!
sleep 0.7
goes_on
wait $removing
is "$step: status of image rm" 74 $?
expect 0 "" start steps
expect 0 "" rm --force steps
step="image rm, stopped before it goes, and create"
stopped_at rename:1 image rm steps
"$lodge" create --memory 16M --image steps steps >/dev/null 2>&1 &
making=$!
sleep 0.7
goes_on
wait $making
is "$step: status of create" 66 $?
[ -e "$machines/steps" ] && bad "a machine of an image that is gone" || ok

# What only looks like a memory stays.
expect 0 "" create $tiny idle --image ./base.qcow2 steps
mkdir "$machines/steps/snapshots"
for file in memory.qcow2 memory.img memory.1-2x snapshots/one.memory.img; do cp base.qcow2 "$machines/steps/$file"; done
for file in memory memory.12-0 snapshots/one.memory snapshots/one.memory.12-0; do : >"$machines/steps/$file"; done
expect 0 "" start steps
expect 0 "" snapshot create --disk-only steps two
is "files of memory" "memory.1-2x memory.img memory.qcow2 snapshots/one.memory.img" \
	"$(cd "$machines/steps" && echo memory* snapshots/*memory*)"
expect 0 "" rm --force steps
