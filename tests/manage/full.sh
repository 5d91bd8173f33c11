# SPDX-License-Identifier: BSD-2-Clause
# A full disk: each verb says so in one line, fails, loses nothing and leaves nothing half made; with room again
# all goes on. In a mount namespace of this user's own. For tests/manage/run.

# what_is_there : names in the store, but what machines that run and locks add
what_is_there() { (cd "$XDG_DATA_HOME/lodge" && find . -mindepth 1 ! -name '*.log*' ! -name lock ! -name snapshots ! -name networks ! -name state | sort); }
# no_room WORDS VERB... : fails by the full disk, and leaves the store as it was
no_room() {
	local words=$1 before
	shift
	before=$(what_is_there)
	expect 69 "$words" "$@"
	is "what lodge $* left on a full disk" "$before" "$(what_is_there)"
}
fill() { cat /dev/zero >"$XDG_DATA_HOME/filler" 2>/dev/null; }

full_inside() {
	passed=0 failed=0
	local full="No space left on device" here_conf
	mount -t tmpfs -o size=3m none "$small" || return
	export XDG_DATA_HOME=$small/data XDG_RUNTIME_DIR=$small/run
	mkdir -m 700 "$XDG_DATA_HOME" "$XDG_RUNTIME_DIR"
	machines=$XDG_DATA_HOME/lodge/machines
	head -c 5M /dev/urandom >random.img

	# What is larger than the whole.
	mkdir -p prepared "$XDG_DATA_HOME/lodge/machines" "$XDG_DATA_HOME/lodge/images"
	cp idle prepared/vmlinuz && cp idle prepared/initrd && cp random.img prepared/root.img
	LODGE_GUEST_DIR=$PWD/prepared no_room "into the store: $full" create big
	LODGE_GUEST_DIR=$PWD/prepared no_room "into the store: $full" launch big
	no_room "$full" image convert random.img "$small/data/x.qcow2"
	no_room "$full" image convert random.img "$small/data/x.img"
	is "images of convert" "" "$(ls "$small/data" | grep '^x')"
	expect 0 "" create $tiny idle --image ./base.qcow2 a
	local port=$((20000 + ($$ + 6000) % 20000))
	expect 0 "" launch --quiet $tiny echo --image ./base.qcow2 -p $port:80 --until service r
	expect 0 "" snapshot create --disk-only r before
	here_conf=$(cat "$machines/a/machine.conf")
	fill
	no_room "$full" start a
	no_room "$full" create $tiny idle b
	no_room "$full" create $tiny idle --image ./base.qcow2 b
	no_room "$full" clone a b
	no_room "$full" clone --linked a b
	no_room "$full" snapshot create a one
	no_room "$full" snapshot create r one
	no_room "$full" snapshot create --disk-only r one
	no_room "save: machine r: the file can't be written: $full" save r
	no_room "$full" save r "$XDG_DATA_HOME/saved"
	no_room "set: $machines/a/machine.conf: $full" set --memory 32M a
	no_room "set: $machines/r/machine.conf: $full" set --cap 50 r
	no_room "port add: $machines/a/machine.conf: $full" port add a 8080:80
	no_room "port add: $machines/r/machine.conf: $full" port add r $((port + 1)):81
	no_room "port rm: $machines/r/machine.conf: $full" port rm r $port:80
	(exec 3<>"/dev/tcp/127.0.0.1/$((port + 1))") 2>/dev/null && bad "a port that could not be added is there" || ok
	(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && ok || bad "a port that could not be removed isn't there"
	no_room "$full" net create blue
	is "machine.conf after all that" "$here_conf" "$(cat "$machines/a/machine.conf")"
	is "state of the one that runs" running "$(state r)"
	is "state of the one that didn't start" stopped "$(state a)"
	# What needs no room goes on.
	expect 0 "" pause r
	expect 0 "" resume r
	expect 0 running ls
	expect 0 "" restart --force r
	is "state after restart" running "$(state r)"
	expect 0 "" kill r
	is "state after kill" stopped "$(state r)"
	expect 0 "" start r
	rm "$XDG_DATA_HOME/filler"
	expect 0 "" start a
	expect 0 "" snapshot create r one
	expect 0 "" kill r
	expect 0 "" kill a
	for disk in "$machines"/*/*.qcow2; do expect 0 sound image check "$disk"; done
	expect 0 "" rm --force a r
	full_of_files
	echo "$passed $failed" >"$counts"
}

# Removing is what makes room again: it needs none.
full_of_files() {
	mount -t tmpfs -o size=3m,nr_inodes=60 none "$small" || return
	mkdir -m 700 "$XDG_DATA_HOME" "$XDG_RUNTIME_DIR"
	expect 0 "" create $tiny idle a
	expect 0 "" create $tiny idle b
	expect 0 "" launch --quiet $tiny idle r
	mkdir "$XDG_DATA_HOME/lodge/images/old"
	cp "$machines/a/machine.conf" "$XDG_DATA_HOME/lodge/images/old/image.conf"
	for i in $(seq 60); do : >"$XDG_DATA_HOME/filler$i" || break; done 2>/dev/null
	expect 0 "" rm a
	is "a machine that is removed" "" "$(ls -A "$machines" | grep -vx '[br]')"
	for i in $(seq 60); do : >"$XDG_DATA_HOME/more$i" || break; done 2>/dev/null
	expect 0 "" image rm old
	is "an image that is removed" "" "$(ls -A "$XDG_DATA_HOME/lodge/images")"
	for i in $(seq 60); do : >"$XDG_DATA_HOME/most$i" || break; done 2>/dev/null
	expect 0 "" rm --force r
	expect 0 "" rm b
	umount "$small"
}

small=$work/small counts=$work/counts
mkdir "$small"
[ -e base.qcow2 ] || "$lodge" image create base.qcow2 64M || bad "no base disk"
if unshare -rm mount -t tmpfs none "$small" 2>errors; then
	rm -f "$counts"
	export lodge small counts tiny
	unshare -rm bash -uc "$(declare -f ok bad is expect of_ls state what_is_there no_room fill full_of_files full_inside); full_inside"
	[ -e "$counts" ] || bad "full.sh: the part in the namespace has not come to its end"
	read -r more worse <"$counts"
	passed=$((passed + more)) failed=$((failed + worse))
	export -n lodge small counts tiny
else
	echo "skipped: full disks: $(head -n 1 errors)"
	skipped=$((skipped + 1))
fi
