# SPDX-License-Identifier: BSD-2-Clause
# Debian as a machine that is kept. For tests/manage/run.

# types COMMAND WORDS : types the command on the console of debian until it answers with a line of these words
types() {
	local i
	[ -p typing ] || mkfifo typing
	timeout 60 "$lodge" console debian <typing >typed 2>&1 &
	exec 7>typing
	echo "$1" >&7
	for i in $(seq 300); do
		tr '\r' '\n' <typed | grep -q "^$2" && break
		sleep 0.1
	done
	exec 7>&-
	kill $! 2>/dev/null
	wait $! 2>/dev/null
	tr '\r' '\n' <typed | grep -q "^$2"
}

if [ -e "$guest/root.img" ]; then
	expect 0 "has shown login:" launch --memory 256M --until login: --timeout 120 debian
	types 'seq 1000 | cksum >/root/kept; sync; echo "do""ne"' done && ok ||
		bad "a command on the console: $(tail -n 3 typed)"
	expect 0 "" stop --timeout 90 debian
	expect 0 "(powered-off)" info debian
	expect 0 "" start --until login: --timeout 120 debian
	kill -KILL "$(pid debian)"
	sleep 0.2
	is "state after a crash" crashed "$(state debian)"
	expect 0 "login:" info debian
	expect 0 sound image check "$machines/debian/root.qcow2"
	expect 0 "" start --until login: --timeout 120 debian
	sum=$(seq 1000 | cksum)
	types 'cat /root/kept' "$sum" && ok || bad "what was written isn't there: $(tail -n 3 typed)"
	expect 0 "" rm --force debian
else
	skipped=$((skipped + 1))
	echo "skipped: there is no prepared guest in $guest (make guest)"
fi
