# SPDX-License-Identifier: BSD-2-Clause
# Machines that are saved in the store, and go on from their memory. For tests/manage/run.

# echoes NAME TEXT : it hears what is typed, and says it again
echoes() {
	local i
	[ -p saying ] || mkfifo saying
	timeout 20 "$lodge" console "$1" <saying >echoed 2>&1 &
	exec 7>saying
	echo "$2" >&7
	for i in $(seq 200); do grep -q "$2" echoed && break; sleep 0.02; done
	exec 7>&-
	kill $! 2>/dev/null
	wait $! 2>/dev/null
	grep -q "$2" echoed && ok || bad "$1 doesn't echo $2: $(cat echoed)"
}
memory() { ls "$machines/$1" | grep -c '^memory'; }

[ -e base.qcow2 ] || "$lodge" image create base.qcow2 64M || bad "no base disk"
expect 0 "" launch $tiny echo --image ./base.qcow2 --until "at your service" kept
expect 74 "kept is running, not saved" restore kept
expect 74 "kept is running, not saved" discard kept
expect 0 "MiB of memory" save kept
is "state after save" saved "$(state kept)"
is "ls after save" saved "$("$lodge" ls | awk '$1 == "kept" {print $2}')"
expect 0 "MiB kept" info kept
expect 0 '"kept":' info --json kept
[ "$(memory kept)" = 1 ] && ok || bad "save: $(ls "$machines/kept")"

# What can't be done to it; each says why and what to do.
expect 74 "saved already" save kept
expect 74 "kept is saved" set --memory 32M kept
expect 0 "" set --weight 50 kept
expect 74 "kept is saved" clone kept copy
expect 74 "kept is saved" clone --linked kept copy
expect 74 "kept is saved" snapshot create kept one
expect 74 "kept is saved" restart kept
expect 74 "not running, but saved" kill kept
expect 74 "not running" pause kept
expect 0 "" stop kept
is "state after all that" saved "$(state kept)"

# It goes on, and doesn't begin anew; its memory is kept no longer.
port=$((20000 + ($$ + 7000) % 20000))
expect 0 "" port add kept $port:80
echo 'net = user' >>"$machines/kept/machine.conf"
before=$(grep -c 'at your service' "$machines/kept/console.log")
expect 0 "" start kept
is "state after start" running "$(state kept)"
is "files of memory after start" 0 "$(memory kept)"
echoes kept "still here"
grep -q "at your service" echoed && bad "it began anew: $(cat echoed)" || ok
is "greetings after start" "$before" "$(grep -c 'at your service' "$machines/kept/console.log")"
expect 0 "" save kept
expect 0 "" restore kept
echoes kept "and again"

# Ended, it begins anew: what it was saved with has no say any more.
expect 0 "" kill kept
is "state after kill" stopped "$(state kept)"
expect 0 "" start --until "at your service" kept
expect 0 "" save kept
expect 0 "" discard kept
is "state after discard" stopped "$(state kept)"
is "files of memory after discard" 0 "$(memory kept)"
expect 0 "(discarded)" info kept
expect 74 "is stopped, not saved" restore kept
expect 0 "" start --until "at your service" kept
expect 0 "" save kept
expect 0 "" start --fresh --until "at your service" kept
is "files of memory after start --fresh" 0 "$(memory kept)"

# A paused one; one whose file somebody has removed; one in the foreground.
expect 0 "" pause kept
expect 0 "" save kept
is "state of one that was paused" saved "$(state kept)"
rm "$machines/kept/memory"
is "state without its memory" stopped "$(state kept)"
expect 0 "" start --until "at your service" kept
expect 0 "" save kept
"$lodge" start --foreground kept >out 2>errors </dev/null &
foreground=$!
for _ in $(seq 100); do [ "$(state kept)" = running ] && break; sleep 0.02; done
echoes kept "in front"
expect 0 "" save kept
wait $foreground
is "status of start --foreground after save" 0 $?
is "state after that" saved "$(state kept)"

# Its disk was written to: refused, and nothing has changed.
disk=$machines/kept/$(sed -n 's/^disk = root/root/p' "$machines/kept/machine.conf")
cp -p "$disk" disk.kept
touch "$disk"
expect 65 "lodge start --fresh" start kept
is "state after a refused start" saved "$(state kept)"
is "files of memory after a refused start" 1 "$(memory kept)"
cp -p disk.kept "$disk"
expect 0 "" start kept
echoes kept "the same disk"

# The file is damaged: one line, and the machine is what it was.
expect 0 "" save kept
cp "$machines/kept/memory" memory.good
head -c 100 memory.good >"$machines/kept/memory"
expect 65 "memory" start kept
is "state after a damaged file" saved "$(state kept)"
cat memory.good >"$machines/kept/memory"
# It has moved: its disk is looked for beside its machine.conf.
mv "$XDG_DATA_HOME" "$XDG_DATA_HOME.moved" && mkdir "$XDG_DATA_HOME" &&
	mv "$XDG_DATA_HOME.moved/lodge" "$XDG_DATA_HOME/lodge" && rmdir "$XDG_DATA_HOME.moved"
expect 0 "" start kept
echoes kept "moved"
expect 0 "" save kept
expect 0 "" rm kept
expect 66 "there is no machine kept" info kept

# A file that is left of a save whose command was killed doesn't count, and goes away.
expect 0 "" launch $tiny echo --until "at your service" kept
cp memory.good "$machines/kept/memory"
cp memory.good "$machines/kept/memory.12-0"
is "state with a file that is left" running "$(state kept)"
expect 0 "" kill kept
is "state after its end" stopped "$(state kept)"
expect 0 "" start --until "at your service" kept
is "files of memory that were left" 0 "$(memory kept)"
kill -KILL "$(pid kept)"
for _ in $(seq 100); do [ "$(state kept)" = crashed ] && break; sleep 0.02; done
expect 74 "not running" save kept
expect 66 "there is no machine nobody" save nobody
expect 64 "say where to save it" save ./socket
expect 0 "" rm --force kept

# Limits are those of its machine.conf, whatever it goes on from.
# limited WHAT DISK NETWORK : what info says of slow
limited() {
	is "limits of the disk, $1" "$2" "$("$lodge" info slow | sed -n 's/^limits *lodge0 //p')"
	is "limit of the network, $1" "$3" "$("$lodge" info slow | sed -n 's/^limits *network rate=//p')"
}
expect 0 "" launch $tiny echo --net user,rate=3M --image ./base.qcow2 --until "at your service" slow
expect 0 "" set --disk vda,rate=2M,ops=50 slow
limited "before save" "rate=2097152 ops=50" 3145728
expect 0 "" save slow
expect 0 "" restore slow
limited "after restore" "rate=2097152 ops=50" 3145728
expect 0 "" snapshot create slow one
expect 0 "" set --disk vda,ops=40,burst=4M --net user,rate=1M slow
expect 0 "" kill slow
expect 0 "" snapshot restore slow one
limited "after snapshot restore" "rate=2097152 burst=4194304 ops=40" 1048576
expect 0 "" save slow
expect 74 "slow is saved" set --net none slow
expect 74 "slow is saved" set --net user,rate=2M --cpus 2 slow
expect 0 "" set --net user --disk vda,rate=0 slow
expect 0 "" start slow
limited "changed while it was saved" "burst=4194304 ops=40" ""
expect 0 "" rm --force slow

# Of a machine that isn't kept, those that it had, or those that are named.
# quick OPTION... : runs it, saves it to quick.saved, and has what it says of its limits in `limits`
quick() {
	timeout 60 "$lodge" run --control "$work/quick" --console none "$@" 2>errors </dev/null &
	for _ in $(seq 200); do [ -S quick ] && break; sleep 0.02; done
	limits=$(perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Peer => "quick") or die "no socket";
		print $s qq({"id": 1, "command": "status"}\n);
		while (<$s>) { next unless /"id": ?1/; s/\s//g; print join " ", /"limits":(\{.*?\})/, /"rate":(\d+)\}?,"(?:ports|received|sent)/; last }')
	expect 0 "" save --stop ./quick quick.saved
	wait $!
	is "status of lodge run $1" 0 $?
	rm -f quick
}
quick --kernel echo --memory 16M --net user,rate=1M --disk base.qcow2,ops=70
was=$limits
[[ $was == *70*1048576* ]] && ok || bad "limits of lodge run: $was"
quick --restore quick.saved
is "limits of run --restore" "$was" "$limits"
quick --restore quick.saved --net user,rate=2M --disk base.qcow2,ops=71
is "limits of run --restore with others" "$(echo "$was" | sed 's/70/71/; s/1048576/2097152/')" "$limits"
expect 64 "only user[,rate=SIZE]" run --restore quick.saved --net none

# Killed at any moment: it runs, or it is saved and goes on; never both, never neither.
expect 0 "" launch $tiny echo --image ./base.qcow2 --until "at your service" kept
for round in $(seq "$rounds"); do
	"$lodge" save kept >/dev/null 2>&1 &
	sleep "0.0$((RANDOM % 3))$((RANDOM % 10))"
	kill -KILL $! 2>/dev/null
	wait $! 2>/dev/null
	for _ in $(seq 250); do
		now=$(state kept)
		[ "$now" = running ] || [ "$now" = saved ] && break
		sleep 0.02
	done
	case $now in
	running) ok ;;
	saved) expect 0 "" restore kept ;;
	*) bad "save killed, round $round: $now" ;;
	esac
done
echoes kept "after all that"
grep -q "at your service" echoed && bad "it began anew: $(cat echoed)" || ok
expect 0 "" rm --force kept
