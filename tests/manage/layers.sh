# SPDX-License-Identifier: BSD-2-Clause
# Snapshots, clones, images: what is kept of disks, and what goes away. For tests/manage/run.

"$lodge" image create base.qcow2 64M || bad "no base disk"
layers() { ls "$machines/$1" | grep -c '\.qcow2$'; }
chain() { "$lodge" image info "$machines/$1/$(sed -n 's/^disk = root/root/p' "$machines/$1/machine.conf")" | sed -n 's/^backing file *//p'; }
# write_disk NAME TEXT : into the disk as a guest would: at its beginning
write_disk() {
	local disk
	disk=$machines/$1/$(sed -n 's/^disk = root/root/p' "$machines/$1/machine.conf")
	if command -v qemu-io >/dev/null; then
		qemu-io -f qcow2 -c "write -P $2 0 64k" "$disk" >/dev/null || bad "qemu-io $disk"
	fi
}
# has_byte NAME BYTE : what is there now
has_byte() {
	local disk
	command -v qemu-io >/dev/null || { skipped=$((skipped + 1)); return; }
	disk=$machines/$1/$(sed -n 's/^disk = root/root/p' "$machines/$1/machine.conf")
	qemu-io -r -f qcow2 -c "read -P $2 0 64k" "$disk" 2>&1 | grep -q "verification failed" &&
		bad "$1: the disk has not the bytes $2" || ok
}

expect 0 "" create $tiny idle --image ./base.qcow2 snap
write_disk snap 1
expect 0 "" snapshot create --description "the first" snap one
write_disk snap 2
expect 73 "has a snapshot one already" snapshot create snap one
expect 0 "" snapshot create snap two
write_disk snap 3
expect 0 "the first" snapshot ls snap
expect 0 '"current": "two"' snapshot tree --json snap
has_byte snap 3
expect 0 "" snapshot restore snap one
has_byte snap 1
is "a tree" "one|  two|  (now)" "$("$lodge" snapshot tree snap | tr '\n' '|' | sed 's/|$//')"
expect 0 "" snapshot restore snap two
has_byte snap 2
expect 66 "has no snapshot three" snapshot restore snap three
expect 66 "has no snapshot three" snapshot rm snap three
expect 64 "is no name" snapshot create snap a/b
expect 0 "" start snap
expect 0 "stood for" snapshot create snap four
expect 0 "" snapshot create --disk-only snap five
expect 0 "" snapshot rm snap five
expect 0 "" snapshot rm snap four
expect 74 "is running" snapshot restore snap one
expect 0 "one" snapshot ls snap
expect 0 "" kill snap

# Copies
expect 0 "" clone snap whole
has_byte whole 2
expect 0 "" clone --linked snap linked
has_byte linked 2
write_disk linked 7
write_disk snap 8
has_byte linked 7
has_byte snap 8
has_byte whole 2
expect 74 "is what linked stands on" rm snap
expect 73 "there is a whole already" clone snap whole
expect 64 "is no name" clone snap ../x
expect 0 "" start whole
expect 74 "is running" clone whole more
expect 0 "" kill whole
expect 0 "" snapshot rm snap one
expect 0 "" snapshot rm snap two
has_byte linked 7
has_byte snap 8
for name in snap linked whole; do
	for disk in "$machines/$name"/*.qcow2; do expect 0 sound image check "$disk"; done
done
expect 0 "" rm linked
expect 0 "" snapshot create snap again
expect 0 "" snapshot rm snap again
has_byte snap 8
expect 0 "" rm snap whole

# A layer that nothing needs goes away.
expect 0 "" create $tiny idle --image ./base.qcow2 short
expect 0 "" snapshot create short one
expect 0 "" snapshot restore short one
expect 0 "" snapshot restore short one
is "layers after two restores" 2 "$(layers short)"
expect 0 "" rm short

# A copy has what its machine has beside its disks.
expect 0 "" create $tiny idle --image ./base.qcow2 own
cp idle "$machines/own/kernel"
: >"$machines/own/module"
truncate -s 1M "$machines/own/more.img"
"$lodge" image create "$machines/own/below.qcow2" 1M >/dev/null
"$lodge" image create --backing ./below.qcow2 --backing-format qcow2 "$machines/own/data.qcow2" >/dev/null
sed -i 's|^kernel = .*|kernel = ./kernel\ninitrd = module with words,module|' "$machines/own/machine.conf"
printf 'disk = more.img,format=raw,ro\ndisk = data.qcow2,ro\n' >>"$machines/own/machine.conf"
for how in "" --linked; do
	expect 0 "" clone $how own copy
	expect 0 "" start copy
	expect 0 "" rm --force copy
done
mkdir "$machines/own/boot"
cp idle "$machines/own/boot/kernel"
sed -i 's|^kernel = .*|kernel = boot/kernel|' "$machines/own/machine.conf"
expect 74 "which is in a folder in its own" clone own copy
sed -i "s|^kernel = .*|kernel = ../own/boot/kernel|" "$machines/own/machine.conf"
expect 0 "" clone own copy
expect 0 "" start copy
expect 0 "" kill copy
expect 74 "is what copy stands on" rm own
expect 0 "" rm copy own

# A disk that was made larger stays so when the layers below it are nothing else's.
expect 0 "" create $tiny idle --image ./base.qcow2 grown
expect 0 "" snapshot create grown one
expect 0 "" image resize "$machines/grown/root-2.qcow2" +64M
expect 0 "" snapshot rm grown one
expect 0 "" start grown
expect 0 "" kill grown
expect 0 "134217728 (128.0 MiB)" image info "$machines/grown/$(sed -n 's/^disk = root/root/p' "$machines/grown/machine.conf")"
expect 0 "" rm grown

# A snapshot that can't be read is still one: what it may need stays, until it is removed itself.
expect 0 "" launch --quiet $tiny idle --image ./base.qcow2 torn
expect 0 "" snapshot create torn one
expect 0 "" snapshot create torn two
two=$(sed -n 's/.*"disks": \["\([^"]*\)"\].*/\1/p' "$machines/torn/snapshots/two")
expect 0 "" kill torn
write_disk torn 4
expect 0 "" snapshot restore --disk-only torn one
cp "$machines/torn/snapshots/two" two.whole
echo x >"$machines/torn/snapshots/two"
expect 0 "damaged" snapshot ls torn
expect 0 '"damaged": true' snapshot ls --json torn
expect 65 "damaged" snapshot restore torn two
expect 73 "has a snapshot two already" snapshot create torn two
expect 0 "" start torn
expect 0 "" kill torn
expect 0 "" snapshot create torn three
expect 0 "" snapshot rm torn three
if [ -e "$machines/torn/$two" ] && [ -e "$machines/torn/snapshots/two.memory" ]; then ok; else bad "what a damaged snapshot needs is gone"; fi
cat two.whole >"$machines/torn/snapshots/two"
expect 0 "" snapshot restore --disk-only torn two
echo x >"$machines/torn/snapshots/two"
expect 0 "" snapshot rm torn two
is "memories after that" one.memory "$(ls "$machines/torn/snapshots" | grep memory)"
expect 0 "" rm torn

# What no command has made stays, whatever it is named by; and so does what others stand on.
# there FILE... : they are in the folder of mine
there() {
	local file
	for file in "$@"; do [ -e "$machines/mine/$file" ] && ok || bad "$step: $file is gone"; done
}
expect 0 "" create $tiny idle --image ./base.qcow2 mine
conf=$machines/mine/machine.conf
cp "$conf" conf.mine
for disk in ./data.qcow2 "$machines/mine/data.qcow2" ../mine/data.qcow2; do
	step="disk = $disk"
	"$lodge" image create "$machines/mine/below.qcow2" 1M >/dev/null
	"$lodge" image create --backing ./below.qcow2 --backing-format qcow2 "$machines/mine/data.qcow2" >/dev/null
	{ cat conf.mine; echo "disk = $disk"; } >"$conf"
	expect 0 "" start mine
	expect 0 "" kill mine
	there root.qcow2 data.qcow2 below.qcow2
	echo "disk = $machines/mine/below.qcow2,ro" >>"$conf"
	sed -i "s|^disk = $disk\$|disk = data.qcow2|" "$conf"
	expect 0 "" snapshot create mine one
	expect 0 "" snapshot restore mine one
	expect 0 "" snapshot rm mine one
	there root.qcow2 data.qcow2 below.qcow2
	rm "$machines/mine"/{data*,below*,root-*}
done
step="a disk that isn't named yet, and another in its place"
cp conf.mine "$conf"
"$lodge" image create "$machines/mine/data.qcow2" 1M >/dev/null
cp base.qcow2 "$machines/mine/rescue.qcow2"
write_disk mine 5
sed -i 's/^disk = root/disk = rescue/' "$conf"
expect 0 "" start mine
expect 0 "" kill mine
there root.qcow2 data.qcow2
expect 0 "" snapshot create mine one
expect 0 "" snapshot rm mine one
there root.qcow2 data.qcow2
step="what another machine has"
cp conf.mine "$conf"
expect 0 "" snapshot create mine one
write_disk mine 6
expect 0 "" create $tiny idle --image ./base.qcow2 theirs
expect 0 "" snapshot create theirs one
disk=$(sed -n 's/^disk = \(root.*\)/\1/p' "$conf")
cp "$machines/theirs/machine.conf" conf.theirs
for word in ../mine/ "$machines/mine/"; do
	{ cat conf.theirs; echo "disk = $word$disk,ro"; } >"$machines/theirs/machine.conf"
	expect 0 "" snapshot restore mine one
	there "$disk"
	expect 74 "is what theirs stands on" rm mine
	cp conf.theirs "$machines/theirs/machine.conf"
	"$lodge" image create --backing "$word$disk" --backing-format qcow2 "$machines/theirs/more.qcow2" >/dev/null
	sed -i "s/^disk = root.*/disk = $disk/" "$conf"
	expect 0 "" snapshot restore mine one
	there "$disk"
	expect 74 "is what theirs stands on" rm mine
	rm "$machines/theirs/more.qcow2"
	sed -i "s/^disk = root.*/disk = $disk/" "$conf"
done
expect 0 "" rm theirs mine

# Machines on something that can't be read any more, and one whose machine.conf is wrong, can go.
cp base.qcow2 lost.qcow2
for name in mine theirs wrong; do expect 0 "" create $tiny idle --image ./lost.qcow2 $name; done
echo x >lost.qcow2
echo "disk = x,rate=much" >>"$machines/wrong/machine.conf"
expect 0 "" rm mine
echo "diks = x" >>"$machines/wrong/machine.conf"
expect 0 "" rm theirs wrong

# But what a machine's own damaged layer stands on stays, also if machine.conf names the layer.
expect 0 "" create $tiny idle --image ./base.qcow2 mine
expect 0 "" clone --linked mine theirs
cp "$machines/theirs/root.qcow2" theirs.qcow2
echo x >"$machines/theirs/root.qcow2"
expect 74 "or that can't be read whole: lodge rm theirs first" rm mine
cp theirs.qcow2 "$machines/theirs/root.qcow2"
expect 0 "" rm theirs

# A disk outside that is gone keeps no layer, and what is in a shared folder no machine.
: >disc.iso
echo "disk = $PWD/disc.iso,ro" >>"$machines/mine/machine.conf"
expect 0 "" snapshot create mine one
expect 0 "" snapshot create mine two
layers=("$machines"/mine/*.qcow2)
rm disc.iso
expect 0 "" snapshot rm mine one
expect 0 "" snapshot rm mine two
sed -i /disc.iso/d "$machines/mine/machine.conf"
expect 0 "" start mine
expect 0 "" kill mine
after=("$machines"/mine/*.qcow2)
[ ${#after[@]} -lt ${#layers[@]} ] && ok || bad "layers: ${#layers[@]} before, ${#after[@]} after their snapshots have gone"
mkdir -p "$machines/mine/a/b/c/d/e/f/g/h/i" "$machines/mine/closed"
chmod 000 "$machines/mine/closed"
expect 0 "" rm mine

# Another raw disk can't be kept apart.
truncate -s 1M raw.img
expect 0 "" create $tiny idle --disk raw.img raw
expect 74 "which is no qcow2 file in its folder" snapshot create raw one
expect 0 "" rm raw
[ -e raw.img ] && ok || bad "rm: a disk outside is gone"

# set
expect 0 "" create $tiny idle set
expect 0 "" set --cpus 2 --memory 32M set
expect 0 32M ls
expect 65 "must be a number from 1 to 32" set --cpus 99 set
expect 64 "says nothing" set set
expect 0 "" set --processors 0 --weight 40 set
expect 65 "must be all, or numbers" set --processors x set
expect 0 "" start set
process=$(pid set)
is "processors" 0 "$(awk '/^Cpus_allowed_list/ {print $2}' /proc/$process/status)"
usual=$(nice)
is "the nice value of weight 40" $((usual + 4 > 19 ? 19 : usual + 4)) "$(awk '{print $19}' /proc/$process/stat)"
expect 0 "" kill set
expect 0 "" set --processors 63 --weight 100 set
[ "$(nproc --all)" -gt 63 ] || expect 69 "none of them" start set
expect 0 "" set --processors all set
expect 0 "" start set
expect 0 "from its next start on" set --memory 64M set
process=$(pid set)
is "limits of processors at once" "" "$("$lodge" set --cap 50 --processors 0 --weight 40 set 2>&1)"
is "processors of all threads" 0 "$(awk '/^Cpus_allowed_list/ {print $2}' /proc/$process/task/*/status | sort -u)"
is "the nice values of all threads" $((usual + 4 > 19 ? 19 : usual + 4)) "$(sed 's/.*) //' /proc/$process/task/*/stat | awk '{print $17}' | sort -u)"
expect 0 "cpu cap=50, by Lodge itself" info set
expect 0 "cpu nice=$((usual + 4 > 19 ? 19 : usual + 4))" info set
expect 0 '"cap-by": "lodge"' info --json set
# Whoever isn't root can't raise it again.
expect 0 "from its next start on" set --weight 100 set
[ "$(nproc --all)" -gt 63 ] || expect 69 "none of them" set --processors 63 set
expect 0 "" set --cap 0 --processors all set
is "no cap any more" "" "$("$lodge" info set | grep 'cpu cap=')"
expect 65 "from 0 to 6400" set --cap 6401 set
expect 65 "from 0 to 6400" set --processors 0 --cap 6401 set
is "processors after a set that failed" 1 "$("$lodge" info set | grep -c 'processors  all')"
expect 0 "" rm --force set

# What the machine refuses, or can't be, changes nothing: neither machine.conf nor the machine.
truncate -s 1M one.img
expect 0 "" launch --quiet --disk "$PWD/one.img" --net none $tiny idle refused
conf=$machines/refused/machine.conf
echo "disk = $PWD/one.img,ro" >>"$conf"
sed -i 's/^net = none/net = user/' "$conf"
cp "$conf" conf.before
same() { cmp -s "$conf" conf.before && ok || bad "$1: machine.conf has changed: $(diff conf.before "$conf")"; }
expect 74 "there is no disk" set --disk vdb,rate=1M refused
same "set --disk of a disk that it hasn't"
expect 74 "there is no disk" set --disk vda,rate=1M --disk vdb,rate=1M refused
same "set of one that it has and one that it hasn't"
"$lodge" info refused | grep -q "rate=" && bad "set: a limit stayed: $("$lodge" info refused)" || ok
expect 74 "no network card" set --net user,rate=1M refused
same "set --net of a card that it hasn't"
expect 65 "must be a number from 1 to 32" set --memory 64M --disk vda,rate=1M --cpus 99 refused
same "set with a word that is no good"
expect 0 "" set --disk vda,rate=1M --disk vda,ops=50 refused
expect 0 "lodge0 rate=1048576 ops=50" info refused
grep -q "one.img,rate=1M,ops=50" "$conf" && ok || bad "set --disk twice: $(cat "$conf")"
expect 0 "" rm --force refused

# Images of the store: a folder with an image.conf.
images=$XDG_DATA_HOME/lodge/images
mkdir -p "$images/small"
cp idle base.qcow2 "$images/small"
printf '[machine small]\nkernel = idle\ndisk = base.qcow2\nmemory = 16M\n' >"$images/small/image.conf"
expect 0 small image ls
expect 0 '"size": 67108864' image ls --json
expect 0 "" create --image small of-small
expect 0 16M info of-small
expect 0 "" start of-small
expect 74 "is what machine of-small stands on" image rm small
expect 0 "" kill of-small
expect 0 "" clone of-small other
expect 0 "" snapshot create of-small one
expect 0 "" rm other
expect 74 "is what machine of-small stands on" image rm small
expect 0 "" rm of-small
# By paths, of the folder and of its files; by one that the person has written.
expect 0 "" create --image "$images/small" of-small
grep -q '^kernel = ../../images/small/idle$' "$machines/of-small/machine.conf" && ok ||
	bad "an image of the store by its path: $(cat "$machines/of-small/machine.conf")"
expect 74 "is what machine of-small stands on" image rm small
expect 0 "" rm of-small
expect 0 "" create $tiny idle --image "$images/small/base.qcow2" of-small
expect 74 "is what machine of-small stands on" image rm small
expect 0 "" rm of-small
expect 0 "" create --kernel "$images/small/idle" of-small
expect 74 "is what machine of-small stands on" image rm small
sed -i 's|^kernel = .*|kernel = ../../machines/../images/small/idle|' "$machines/of-small/machine.conf"
expect 74 "is what machine of-small stands on" image rm small
if [ "$(id -u)" -ne 0 ]; then
	cp idle "$machines/of-small/kernel"
	sed -i 's|^kernel = .*|kernel = kernel|' "$machines/of-small/machine.conf"
	chmod 0 "$machines/of-small/machine.conf"
	expect 74 "is what machine of-small stands on" image rm small
	chmod 600 "$machines/of-small/machine.conf"
fi
expect 0 "" rm of-small
expect 0 "" image rm small
expect 66 "there is no image small" image rm small
expect 64 "is no name" image rm ../machines
mkdir "$images/broken"
expect 0 broken image ls
expect 65 "image.conf" create --image broken one
expect 0 "" image rm broken

# The guest that is prepared is copied once, and while nobody writes to it.
mkdir prepared
cp idle prepared/vmlinuz
cp idle prepared/initrd
truncate -s 1M prepared/root.img
timeout 60 "$lodge" run --console none $tiny idle --disk prepared/root.img >/dev/null 2>&1 </dev/null &
running=$!
for _ in $(seq 100); do LODGE_GUEST_DIR=$PWD/prepared "$lodge" run --disk prepared/root.img --kernel missing 2>&1 | grep -q "in use" && break; sleep 0.05; done
LODGE_GUEST_DIR=$PWD/prepared expect 74 "the prepared guest is running" create of-prepared
[ -e "$images/prepared" ] && bad "an image of a guest that is running" || ok
kill $running
wait $running
LODGE_GUEST_DIR=$PWD/prepared expect 0 "" create of-prepared
expect 0 "" rm of-prepared
expect 0 "" image rm prepared

# top and events
truncate -s 1M limited.img
expect 0 "" create --disk "$PWD/limited.img,rate=1M,ops=50" --net user,rate=2M $tiny idle seen
timeout 60 "$lodge" events --json >events &
watching=$!
sleep 0.5
expect 0 "" start seen
expect 0 "" pause seen
expect 0 "" resume seen
expect 0 seen top
expect 0 '"disk-operations-per-second": 0,' top --json
is "widest line of top in 80 columns" 79 "$(COLUMNS=80 "$lodge" top | wc -L)"
is "top in 40 columns" "NAME STATE CPU% MEMORY READ/s" "$(COLUMNS=40 "$lodge" top | awk 'NR == 1 {$1 = $1; print}')"
expect 0 "lodge0 rate=1048576 ops=50" info seen
expect 0 "network rate=2097152" info seen
expect 0 '"network-rate": 2097152' info --json seen
kill -KILL "$(pid seen)"
for _ in $(seq 100); do grep -q crashed events && break; sleep 0.1; done
expect 0 "" rm seen
for _ in $(seq 100); do grep -q removed events && break; sleep 0.1; done
kill $watching
wait $watching 2>/dev/null
is "events" "started paused resumed crashed removed" \
	"$(sed -n 's/.*"event":"\([a-z-]*\)".*/\1/p' events | tr '\n' ' ' | sed 's/ $//')"

# Throw-away machines of an image: nothing is left.
expect 66 "no-such-image" run no-such-image
expect 64 "image some brings its own" run --kernel x some
expect 64 "what is more" run some more

mkdir -p "$images/two"
cp idle base.qcow2 "$images/two"
truncate -s 1M "$images/two/second.img" "$images/two/third.img"
printf '[machine two]\nkernel = idle\ndisk = base.qcow2\ndisk = second.img,format=raw\ndisk = third.img,ro\nmemory = 16M\n' \
	>"$images/two/image.conf"
# Several may run: none writes to a disk of the image.
for _ in 1 2; do timeout 3 "$lodge" run --console none two >/dev/null 2>errors </dev/null & done
sleep 1
is "folders of two that run" "" "$(ls -A "$machines" | grep '^\.new')"
timeout 1 "$lodge" run --console none two >out 2>errors </dev/null
is "status of a third" 124 $?
grep -q "in use" errors && bad "run IMAGE: $(cat errors)" || ok
wait
expect 65 "has 3 disks" create --image two of-two
rm -r "$images/two"

# Completion, by the shell itself
expect 0 "" create $tiny idle complete-me
mkdir -p "$XDG_DATA_HOME/lodge/images/colon:12" beside
: >beside/only-file
# in_bash LINE : what Tab finds at its end
in_bash() {
	bash -c '
		lodge() { "$LODGE" "$@"; }
		source <("$0" completion bash)
		COMP_LINE="$0 $1" COMP_POINT=${#COMP_LINE}
		_lodge; echo "${COMPREPLY[*]}"' "$lodge" "$1"
}
is "completion in bash" complete-me "$(in_bash "start comp")"
is "completion in bash, of a name with a colon" "colon:12" "$(in_bash "image rm col")"
is "completion in bash, behind its colon" 12 "$(in_bash "image rm colon:")"
if command -v zsh >/dev/null; then
	mkdir fpath
	"$lodge" completion zsh >fpath/_lodge
	timeout 100 zsh -f "$here/complete.zsh" "$lodge" source "lodge start comp" "lodge snapshot res" \
		"lodge image rm colon:" "lodge cp comp" "lodge image info beside/on" "lodge run --net no" \
		"lodge create --ima" >zsh.out 2>&1
	timeout 100 zsh -f "$here/complete.zsh" "$lodge" "$PWD/fpath" "lodge stop comp" "$lodge info comp" >>zsh.out 2>&1
	is "completion in zsh" "lodge start complete-me
lodge snapshot restore
lodge image rm colon:12
lodge cp complete-me:
lodge image info beside/only-file
lodge run --net none
lodge create --image
lodge stop complete-me
$lodge info complete-me" "$(sed 's/ $//' zsh.out)"
else
	skipped=$((skipped + 1))
	echo "skipped: completion in zsh: it isn't installed"
fi
rm -r "$XDG_DATA_HOME/lodge/images/colon:12"
expect 0 "" rm complete-me
expect 64 "must be bash or zsh" completion fish
