# SPDX-License-Identifier: BSD-2-Clause
# Each verb, with tiny guests. For tests/manage/run.

tiny="--memory 16M --kernel"

head -c 4096 /dev/zero >raw.bin

# Nothing there yet.
expect 0 NAME ls
is "an empty list" "[]" "$("$lodge" ls --json | tr -d ' \n')"
expect 66 "there is no machine web" start web
expect 66 "there is no machine web" stop web
expect 66 "there is no machine web" info web
expect 66 "there is no machine web" rm web

# Made, looked at, started, ended.
expect 0 "" create $tiny idle web
expect 73 "there is a web already" create $tiny idle web
expect 65 "create: nofolder: -v $work/nofolder: No such file or directory: is the name right?" create $tiny idle -v "$work/nofolder:/mnt" nofolder
expect 65 "create: nofolder: -v $work/idle: Not a directory: only folders" create $tiny idle -v "$work/idle:/mnt" nofolder
expect 66 "there is no machine nofolder" info nofolder
expect 64 "network '': a name has letters" net create ""
expect 0 stopped info web
expect 74 "web is not running" console web
expect 74 "web is not running" pause web
expect 74 "web is not running" kill web
expect 0 "" stop web
expect 0 "" logs web
expect 0 "" start web
expect 74 "web is running already" start web
expect 74 "web is running: lodge stop web first" rm web
is "ls" running "$("$lodge" ls | awk '$1 == "web" {print $2}')"
expect 0 "seccomp" info web
expect 0 "" pause web
is "state after pause" paused "$(state web)"
expect 0 "" pause web
expect 0 "" resume web
is "state after resume" running "$(state web)"
expect 75 "has not shut down within 1 s" stop --no-kill --timeout 1 web
is "state after stop --no-kill" running "$(state web)"
before=$(pid web)
expect 0 "" restart --force web
is "state after restart" running "$(state web)"
[ "$(pid web)" != "$before" ] && ok || bad "restart: the same process"
expect 0 "" kill web
is "state after kill" stopped "$(state web)"
expect 0 "(killed)" info web

# Its process is killed: crashed, and it can be started.
expect 0 "" start web
kill -KILL "$(pid web)"
for _ in $(seq 100); do [ "$(state web)" = crashed ] && break; sleep 0.02; done
is "state after a crash" crashed "$(state web)"
expect 0 "ended without a word" info web
expect 0 "" stop web
is "state after stop of a crashed one" stopped "$(state web)"
expect 0 "" start web
expect 0 "" rm --force web
expect 66 "there is no machine web" info web

# In the foreground, for service managers: it stays, is there for the others, and ends with the machine.
expect 0 "" create $tiny idle front
"$lodge" start --foreground front >out 2>errors </dev/null &
foreground=$!
for _ in $(seq 100); do [ "$(state front)" = running ] && break; sleep 0.02; done
is "pid of start --foreground" $foreground "$(pid front)"
expect 0 "" pause front
expect 0 "" kill front
wait $foreground
is "status of start --foreground" 83 $?
"$lodge" start --foreground front >out 2>errors </dev/null &
foreground=$!
for _ in $(seq 100); do [ "$(state front)" = running ] && break; sleep 0.02; done
kill -TERM $foreground
wait $foreground
is "status of start --foreground after SIGTERM" 143 $?
is "state after SIGTERM" stopped "$(state front)"
expect 64 "--foreground is for one machine" start --foreground front web
expect 0 "" rm front

# How it ends is kept.
expect 0 "" launch $tiny tiny --test-devices --quiet quick
for _ in $(seq 100); do [ "$(state quick)" = stopped ] && break; sleep 0.02; done
expect 0 "(test-exit)" info quick
expect 0 '"status": 11' info --json quick
expect 0 "" create $tiny faults dies
expect 0 "" start dies
for _ in $(seq 100); do [ "$(state dies)" = stopped ] && break; sleep 0.02; done
expect 0 "(died)" info dies
expect 0 "triple fault" logs --process dies
expect 0 "" rm quick dies

# The console: read and written by others, its log.
expect 0 "has shown at your" launch $tiny echo --until "at your service" talk
expect 0 "echo at your service" logs talk
is "console" "echo at your service|hello guest" \
	"$({ echo 'hello guest'; sleep 0.5; "$lodge" kill talk; } | timeout 20 "$lodge" console talk | tr '\n' '|' | sed 's/|$//')"
expect 0 "hello guest" logs --lines 1 talk
expect 0 "" start talk
mkfifo keep
timeout 30 "$lodge" console talk >first <keep &
exec 8>keep
for _ in $(seq 100); do [ -s first ] && break; sleep 0.02; done
expect 74 "another console writes to it" console talk
timeout 30 "$lodge" console --read-only talk >second </dev/null &
{ echo mine; sleep 0.5; } | timeout 30 "$lodge" console --take talk >third &
sleep 0.3
echo lost >&8
sleep 0.5
"$lodge" kill talk
wait %1 %2 %3
exec 8>&-
grep -q "taken the input over" first && ok || bad "console --take: the first isn't told: $(cat first)"
grep -q mine second && ok || bad "console --read-only: nothing of what the other wrote"
grep -q mine third && ! grep -q lost third && ok || bad "console --take: $(cat third)"
"$lodge" start talk
timeout 5 "$lodge" logs --follow talk >followed &
sleep 0.3
"$lodge" kill talk
wait $!
is "logs --follow ends with the machine" 0 $?
[ "$(grep -c 'at your service' followed)" -eq 3 ] && ok || bad "logs --follow: $(cat followed)"
"$lodge" start --until "never said" --timeout 1 talk >out 2>errors
is "start --until in vain" 75 $?
grep -q "within 1 s" errors && grep -q "    echo at your service" errors && ok ||
	bad "start --until in vain: $(cat errors)"
is "state after that" running "$(state talk)"
expect 0 "" rm --force talk

# A log has a limit, and the last of it stays.
expect 0 "" create $tiny echo chatty
head -c 3000000 /dev/zero | tr '\0' x | fold -w 99 >"$machines/chatty/console.log"
expect 0 "" start --until "at your service" chatty
expect 0 "" kill chatty
[ "$(stat -c %s "$machines/chatty/console.log")" -lt 1100000 ] && ok || bad "console.log: no limit"
expect 0 "at your service" logs --lines 1 chatty
expect 0 "" rm chatty

# Help fits the terminal, and mistakes are named.
for what in "help" "help run" "help create" "help image" "snapshot create --help"; do
	[ "$(COLUMNS=60 "$lodge" $what | grep -v 'lodge.*\[' | wc -L)" -lt 60 ] && ok ||
		bad "lodge $what in 60 columns: $(COLUMNS=60 "$lodge" $what | wc -L)"
	[ "$("$lodge" $what | grep -v 'lodge.*\[' | wc -L)" -le 96 ] && ok || bad "lodge $what: $("$lodge" $what | wc -L) columns"
done
expect 64 "there is no command image frob: it is one of ls," image frob
expect 64 "are both in machines" cp one:/a two:/b
timeout 20 "$lodge" events --timeout 1 nobody >out 2>errors
is "status of events" 0 $?
grep -q "no machine nobody.*waits for it" errors && ok || bad "events of none: $(cat errors)"

# What is wrong is named.
expect 64 "$work/no-disk: No such file" create --disk "$work/no-disk" $tiny idle lacking
expect 64 "needs a value: --lines N" logs -f -n
expect 0 "" launch $tiny idle asleep
expect 0 "" pause asleep
is "lodge ls in 60 columns" 59 "$(COLUMNS=60 "$lodge" ls | wc -L)"
is "lodge ls in 80 columns" 62 "$(COLUMNS=80 "$lodge" ls | wc -L)"
expect 74 "asleep is paused: lodge resume asleep" exec asleep -- true
expect 74 "asleep is paused" cp asleep:/x .
expect 0 "" rm --force asleep

# Ports, while it runs and not.
port=$((20000 + $$ % 20000))
other=$((port + 1))
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
expect 0 "" net create --isolated alone
expect 0 "" create --net none $tiny idle cardless
expect 74 "cardless has no network card: lodge set --net user" port add cardless 8080:80
expect 0 "" set --net alone cardless
expect 74 "network alone is isolated" port add cardless 8080:80
expect 0 "" rm cardless
expect 0 "" net rm alone
expect 0 "" create $tiny idle -p $port:80 net
expect 0 "127.0.0.1:$port:80" port ls net
expect 0 "" start net
listens $port && ok || bad "port $port isn't there"
expect 0 "" port add net $other:81
listens $other && ok || bad "port $other isn't there"
expect 73 "is forwarded already" port add net $other:81
expect 74 "is in use already" port add net $other:82
expect 0 "\"host\": $other" port ls --json net
expect 69 "is in use already" launch $tiny idle -p $port:80 taken
expect 66 "there is no machine taken" info taken
expect 65 "not a kernel" launch $tiny raw.bin none
expect 66 "there is no machine none" info none
expect 0 "" port rm net $port:80
listens $port && bad "port $port is still there" || ok
expect 66 "is not forwarded" port rm net $port:80
expect 0 "" restart --force net
listens $other && ok || bad "port $other isn't there after a restart"
expect 64 "should be" port add net 80
expect 74 "forwards port 127.0.0.1:$other:81: lodge port rm net" set --net none net
expect 0 "" rm --force net

# tell NAME REQUEST... : what no verb asks for, all in one go; shows the answers.
tell() {
	python3 - "$XDG_RUNTIME_DIR/lodge/$1/control" "${@:2}" <<'PYTHON'
import socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.settimeout(10)
peer.connect(sys.argv[1])
peer.sendall("".join(line + "\n" for line in sys.argv[2:]).encode())
answers = peer.makefile()
for _ in sys.argv[2:]:
    print(answers.readline(), end="")
PYTHON
}
if command -v python3 >/dev/null; then
	# Two events at once are told at once.
	expect 0 "" launch --quiet $tiny echo -p $port:80 --until service told
	timeout 30 "$lodge" events --timeout 3 told >events &
	sleep 1
	tell told "{\"command\":\"port-add\",\"arguments\":{\"port\":\"$other:81\"}}" \
		"{\"command\":\"port-remove\",\"arguments\":{\"port\":\"$other:81\"}}" >answers
	is "answers to two requests at once" 2 "$(grep -c result answers)"
	wait $!
	is "two events at once" "port-added 127.0.0.1:$other:81 port-removed 127.0.0.1:$other:81" \
		"$(cut -d' ' -f4- events | tr '\n' ' ' | sed 's/ $//')"
	# A paused machine that is reset stays paused, for everybody.
	expect 0 "" pause told
	is "a reset of a paused machine" 1 "$(tell told '{"command":"reset"}' | grep -c result)"
	is "a pause behind it" 1 "$(tell told '{"command":"pause"}' | grep -c result)"
	is "status after that" 1 "$(tell told '{"command":"status"}' | grep -c '"state":"paused"')"
	is "ls after that" paused "$("$lodge" ls | awk '$1 == "told" {print $2}')"
	is "what the guest has said" 1 "$(grep -c service "$machines/told/console.log")"
	expect 0 "" resume told
	is "ls after its resume" running "$("$lodge" ls | awk '$1 == "told" {print $2}')"
	for _ in $(seq 100); do [ "$(grep -c service "$machines/told/console.log")" -eq 2 ] && break; sleep 0.02; done
	is "what the guest has said anew" 2 "$(grep -c service "$machines/told/console.log")"
	expect 0 "" rm --force told
	# A switch keeps no file of a stranger.
	expect 0 "" net create strict
	expect 0 "" launch --quiet $tiny idle --net strict told
	is "files that come with no hello" closed "$(python3 - "$XDG_RUNTIME_DIR"/lodge/net.strict <<'PYTHON'
import os, select, socket, sys
peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
peer.connect(sys.argv[1])
out, into = os.pipe()
socket.send_fds(peer, [b"hello"], [into, into])
os.close(into)
print("closed" if select.select([out], [], [], 5)[0] else "kept")
PYTHON
)"
	expect 0 "" rm --force told
	for _ in $(seq 100); do "$lodge" net rm strict 2>/dev/null && break; sleep 0.1; done
else
	skipped=$((skipped + 1))
	echo "skipped: requests that no verb makes: there is no python3"
fi

# Where no port can be, the line is named; on a network of machines they are.
expect 0 "" create $tiny idle -p $port:80 -p $other:81 net
echo "net = none" >"$machines/net/more"
sed -i '/^net/d' "$machines/net/machine.conf"
cat "$machines/net/more" >>"$machines/net/machine.conf"
expect 65 "line $(grep -n "^port = $port" "$machines/net/machine.conf" | cut -d: -f1): port = $port:80: with net = none" start net
sed -i 's/^net = none/net = tap/' "$machines/net/machine.conf"
expect 65 "port = $port:80: with net = tap" start net
expect 0 "" net create both
sed -i 's/^net = tap/net = both/' "$machines/net/machine.conf"
expect 0 "" start net
listens $port && ok || bad "port $port isn't there on a network of machines"
listens $other && ok || bad "port $other isn't there on a network of machines"
expect 0 "" port rm net $other:81
listens $other && bad "port $other is still there on a network of machines" || ok
expect 0 "" port add net $other:82
listens $other && ok || bad "port $other isn't back"
expect 0 "" launch --quiet $tiny idle --net both second
expect 0 "" rm --force net
sleep 0.2
is "a network whose first machine has gone" "in use" "$("$lodge" net ls | awk '$1 == "both" {print $3, $4}')"
expect 0 "" rm --force second
for _ in $(seq 100); do "$lodge" net rm both 2>/dev/null && break; sleep 0.1; done
expect 66 "no network both" net rm both

# A machine may be called as a network's socket might be: either one is there first.
expect 0 "" net create blue
expect 0 "" launch --quiet $tiny idle net-blue
expect 0 "" launch --quiet $tiny idle --net blue on
expect 0 "" rm --force net-blue
expect 0 "" launch --quiet $tiny idle net-blue
expect 0 "" rm --force net-blue on
for _ in $(seq 100); do "$lodge" net rm blue 2>/dev/null && break; sleep 0.1; done
expect 66 "no network blue" net rm blue

# Ports of IPv6.
listens6() { (exec 3<>"/dev/tcp/::1/$1") 2>/dev/null; }
if grep -q '^0*1 ' /proc/net/if_inet6 2>/dev/null; then
	expect 0 "" create $tiny idle -p "[::1]:$port:80" net
	expect 0 "[::1]:$port:80" port ls net
	expect 0 "" start net
	listens6 $port && ok || bad "port $port isn't there at ::1"
	listens $port && bad "port $port is there at 127.0.0.1, too" || ok
	expect 0 "" port add net "[::1]:$other:81" "127.0.0.1:$other:81"
	listens6 $other && listens $other && ok || bad "port $other isn't there at both"
	expect 74 "TCP port [::1]:$other is in use already" port add net "[::1]:$other:82"
	expect 0 "" port rm net "[0::1]:$other:81"
	listens6 $other && bad "port $other is still there at ::1" || ok
	listens $other && ok || bad "port $other is gone at 127.0.0.1, too"
	expect 0 "" rm --force net
else
	skipped=$((skipped + 1))
	echo "skipped: forwarded ports of IPv6: this host has no ::1"
fi

# A machine file that was edited, and one that can't be read.
expect 0 "" create $tiny idle edited
sed -i 's/^memory.*/memory = 32M/; s/^# .*/# mine/' "$machines/edited/machine.conf"
expect 0 32M info edited
expect 0 "" port add edited $port:80
grep -q '^# mine' "$machines/edited/machine.conf" && ok || bad "port add: the comment is gone"
echo nonsense >>"$machines/edited/machine.conf"
expect 0 broken ls
expect 65 "line 7: nonsense" start edited
expect 0 "line 7: nonsense" info edited
expect 0 "" rm edited

# Names and words of every odd kind.
for name in "" . .. a/b ../x -x "a b" $'a\nb' "a;b" all "$(printf 'x%.0s' {1..32})" '$HOME' "ü" "a'b" '*'; do
	expect 64 "" create $tiny idle -- "$name"
	expect 64 "" rm -- "$name"
done
longest=$(printf 'x%.0s' {1..31})
expect 0 "" create $tiny idle $longest
expect 0 "" start $longest
expect 0 "" rm --force $longest
expect 64 "write lodge create" create
expect 64 "what is more" create $tiny idle one more
expect 64 "unknown option --memroy: did you mean --memory" create --memroy 1G one
expect 64 "needs one of add, ls, rm" port
expect 64 "did you mean lodge port ls" port lss
expect 64 "did you mean lodge start" strat
expect 64 "must be a number" stop --timeout x one
expect 66 "there is no image nowhere" create --image nowhere one
expect 66 "No such file" create --image ./nowhere one
expect 64 "nowhere: No such file" create --kernel nowhere one
expect 64 "should be" create $tiny idle -p 80 one
expect 64 "--disk-size" create $tiny idle --disk-size 1G one
is "nothing is left behind" "" "$(ls -A "$machines")"

# Where things are kept.
(unset XDG_DATA_HOME HOME; "$lodge" ls >out 2>errors)
is "neither HOME nor XDG_DATA_HOME" 69 $?
(export HOME=$work/home XDG_DATA_HOME=relative; "$lodge" ls >out 2>errors)
[ -d home/.local/share/lodge/machines ] && ok || bad "a relative XDG_DATA_HOME isn't ignored"
expect 0 "" create $tiny idle same
expect 0 "" start same
(export XDG_DATA_HOME=$work/other; "$lodge" create $tiny idle same && "$lodge" start same) 2>errors
is "the same name in another store" 74 $?
grep -q "another data folder" errors && ok || bad "the same name in another store: $(cat errors)"
expect 0 "" kill same
# A folder for sockets that others may write to is not used, whatever asks for it.
expect 0 "" net create any
mkdir loose && mkdir -m 777 loose/lodge
for what in "start same" "save same file" "migrate same unix:$PWD/socket" "net rm any"; do
	XDG_RUNTIME_DIR=$PWD/loose "$lodge" $what >out 2>errors </dev/null && bad "$what in a folder of everybody's"
	grep -q "loose/lodge: must be a folder of yours with mode 0700" errors && ok || bad "$what: $(cat errors)"
done
expect 0 "" net rm any
(unset XDG_RUNTIME_DIR; "$lodge" start same) && expect 0 "" pause same
expect 0 "" rm --force same
[ "$(stat -c %a "/tmp/lodge-$(id -u)")" = 700 ] && ok || bad "/tmp/lodge-$(id -u) has not mode 700"

# What a guest writes doesn't reach a terminal as commands to it: logs there, and the tail of a crash.
expect 0 "" create $tiny idle wicked
printf 'a\033]0;title\007b\033[31mred\033[0m\033[2Jc\302\2332Jd\n' >"$machines/wicked/console.log"
cp "$machines/wicked/console.log" said
if command -v script >/dev/null; then
	script -qec "$lodge logs wicked" /dev/null </dev/null >shown
	is "logs on a terminal" "$(printf 'ab\033[31mred\033[0mc?2Jd')" "$(tr -d '\r' <shown)"
else
	skipped=$((skipped + 1))
fi
expect 0 "" logs wicked
cmp -s out said && ok || bad "logs into a file: $(od -c out | head)"
expect 0 "" rm wicked
