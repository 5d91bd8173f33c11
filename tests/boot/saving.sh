# SPDX-License-Identifier: BSD-2-Clause
# What boot-save and boot-migrate share: Debian on two processors with a load, each part of which
# notices when anything is lost: a file that is appended to and synced, sums that must not change,
# a TCP connection, timers. Sourced behind boot.sh.
socket=$work/control
pid=

stop() {
	tr -d '\r' <"$work/raw" >"$work/out"
	[ -z "$pid" ] || kill "$pid" 2>/dev/null
	cat "$work"/err* 2>/dev/null | tail -n 5
	fail "$1"
}
# wait_for PATTERN : until the guest has printed it since the last `mark`
mark() { marked=$(stat -c %s "$work/raw"); }
wait_for() {
	local left=$((${LIMIT:-120} * 10))
	until tail -c +$((marked + 1)) "$work/raw" | grep -aq "$1"; do
		kill -0 "$pid" 2>/dev/null || { wait "$pid"; stop "ended with status $? before it printed: $1"; }
		[ $((left -= 1)) -gt 0 ] || stop "never printed: $1"
		sleep 0.1
	done
}
type() { printf '%s\r' "$*" >&3; }
# start OPTION... : a machine whose console is $work/in and $work/raw
start() {
	timeout -k 5 "${LIMIT:-600}" "$lodge" run --engine "$engine" --control "$socket" "$@" \
		<&3 >>"$work/raw" 2>>"$work/err" &
	pid=$!
}
# ends_well : the machine has ended with status 0
ends_well() {
	local status
	wait "$pid"
	status=$?
	[ $status -eq 0 ] || stop "$1: status $status"
}

boot_loaded() {
	fresh_disk
	mkfifo "$work/in"
	exec 3<>"$work/in"
	: >"$work/raw"
	mark
	start --kernel "$kernel" --initrd "$guest/initrd" --cpus "${CPUS:-2}" --memory "${MEMORY:-512M}" \
		--append "console=ttyS0 root=/dev/vda rw quiet panic=-1" --disk "$work/root.img" \
		--net user "$@"
	wait_for 'root@lodge:~#'
	# Lines are short: a serial line's tty takes 4096 characters at the most.
	type 'bind "set enable-bracketed-paste off"; cat >load.pl <<"E"'
	type 'use strict; use IO::Socket::INET; use Time::HiRes qw(time sleep);'
	type 'my $l=IO::Socket::INET->new(Listen=>1,LocalAddr=>"127.0.0.1:7777",ReuseAddr=>1);'
	type 'if(!fork){my $s=$l->accept;while(<$s>){print $s $_;$s->flush}exit}'
	type 'my $c=IO::Socket::INET->new("127.0.0.1:7777");my $n=0;my $last=time;'
	type 'open(my $f,">>","count");$f->autoflush(1);$SIG{TERM}=sub{print "n=$n\n";exit};'
	type 'while(1){$n++;print $c "$n\n";my $b=<$c>;die "tcp" if $b!=$n;print $f "$n\n";'
	type 'system("sync","count") if $n%200==0;sleep 0.002;'
	type 'die "clock" if time<$last;$last=time}'
	type 'E'
	type 'perl load.pl & sums() { while :; do head -c 200000 load.bin | md5sum; done; }'
	type 'head -c 200000 /dev/urandom >load.bin; sums | uniq -c >sums & cat >more <<"E"'
	type 'until [ -e count ]; do sleep 0.05; done'
	type 'c=$(wc -l <count); until [ $(wc -l <count) -gt $((c+$1)) ]; do sleep 0.05; done'
	type 'E'
	goes_on 100
}

# goes_on N : the load writes N further lines
serial=1000
goes_on() {
	mark
	serial=$((serial + 1))
	type "sh more $1; echo on=\$(($serial+1))"
	wait_for "on=$((serial + 1))"
}

# Whether the load has noticed anything, and the kernel. Powers off.
check_load() {
	mark
	type 'kill -0 %1 && echo still=$((1)); kill %1; pkill md5sum; pkill head; sleep 0.3'
	type 'awk "\$1!=NR{bad++}END{print \"lost=\" bad+0, \"of\", NR}" count'
	type 'dmesg | grep -E "BUG:|stall|lockup|I/O error|EXT4-fs error"; echo kernel=$((6*7))'
	wait_for 'kernel=42'
	tail -c +$((marked + 1)) "$work/raw" | grep -aq 'still=1' || stop "the load has ended"
	tail -c +$((marked + 1)) "$work/raw" | grep -aq '^lost=0 of' || stop "writes are lost"
	if tail -c +$((marked + 1)) "$work/raw" | grep -aE '\] .*(BUG:|stall|lockup|I/O error|EXT4-fs error)'; then
		stop "the kernel complains"
	fi
	lines=$(tail -c +$((marked + 1)) "$work/raw" | tr -d '\r' | sed -n 's/^lost=0 of //p')
	type 'wc -l <sums | sed s/^/sums=/; poweroff'
	wait_for '^sums=1\|sums=0'
	ends_well "power off"
}
