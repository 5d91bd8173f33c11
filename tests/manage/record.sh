# SPDX-License-Identifier: BSD-2-Clause
# The record of how a machine does: what its process could write there once a guest has got hold of it, and what
# it says while a machine starts and ends. For tests/manage/run.

# put_record NAME JSON : as its process writes it
put_record() { printf '%-1023s\n' "$2" | dd of="$machines/$1/state" conv=notrunc status=none; }

expect 0 "" launch --quiet $tiny idle web
expect 0 "" launch --quiet $tiny idle victim
web=$(pid web) victim=$(pid victim)
own=$("$lodge" info --json web | sed -n 's/^  "control": "\(.*\)",$/\1/p')

# Another's socket, and another's process.
put_record web "{\"state\":\"running\",\"pid\":$victim,\"control\":\"${own%/web/control}/victim/control\"}"
"$lodge" kill web >out 2>errors
is "status of kill by another's socket" 69 $?
is "a machine whose socket another names" running "$(state victim)"
mkdir -p "$work/shared/lodge"
ln -s "${own%/web/control}/victim" "$work/shared/lodge/web"
put_record web "{\"state\":\"running\",\"pid\":$victim,\"control\":\"$work/shared/lodge/web/control\"}"
expect 69 "can't be used" pause web
is "a machine that another's link leads to" running "$(state victim)"
put_record web "{\"state\":\"running\",\"pid\":$victim,\"control\":\"$own\"}"
before=$(taskset -cp "$victim" | sed 's/.*: //')
expect 0 "" set --processors 0 web
is "processors of a process that another names" "$before" "$(taskset -cp "$victim" | sed 's/.*: //')"
is "processors of its own" 0 "$(taskset -cp "$web" | sed 's/.*: //')"

# What a terminal would obey.
"$lodge" events --timeout 2 web >told 2>&1 &
watching=$!
sleep 0.5
put_record web '{"state":"stopped","pid":1,"reason":"\u001b]0;x\u0007\u009bm","control":""}'
kill -KILL "$web"
for _ in $(seq 100); do [ "$(state web)" = stopped ] && break; sleep 0.02; done
wait $watching
grep -qF 'stopped ?]0;x???m' told && ok || bad "events of a reason with escapes: $(od -c told)"
expect 0 'stopped (?]0;x???m)' info web
expect 0 "" rm --force web victim

# A crash isn't what the next start looks like.
expect 0 "" launch --quiet $tiny idle fell
for _ in 1 2 3 4 5; do
	old=$(pid fell)
	kill -KILL "$old"
	for _ in $(seq 100); do [ "$(state fell)" = crashed ] && break; sleep 0.02; done
	"$lodge" start fell 2>/dev/null &
	starting=$! wrong=0
	while kill -0 $starting 2>/dev/null; do
		[ "$(pid fell 2>/dev/null)" != "$old" ] || wrong=$((wrong + 1))
	done
	wait $starting
	is "looks at a start after a crash that saw the old process" 0 $wrong
done
expect 0 "" rm --force fell

# One that is just ending (its lock is held, and its record says so) is waited for.
if command -v python3 >/dev/null; then
	expect 0 "" launch --quiet $tiny idle ends
	expect 0 "" kill ends
	python3 - "$machines/ends/lock" <<'PYTHON' &
import fcntl, sys, time
with open(sys.argv[1], "r+") as file:
    fcntl.lockf(file, fcntl.LOCK_EX, 1, 1)
    print("locked", file=open("locked", "w"))
    time.sleep(1)
PYTHON
	for _ in $(seq 100); do [ -s locked ] && break; sleep 0.02; done
	expect 74 "just ending" pause ends
	expect 0 "" stop ends
	wait $!
	expect 0 "" rm ends
else
	skipped=$((skipped + 1))
	echo "skipped: a machine that is just ending: there is no python3"
fi
