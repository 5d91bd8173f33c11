# SPDX-License-Identifier: BSD-2-Clause
# What is given is odd, but somebody gives it: sizes, lists, names, clocks; and what a file system can't promise.
# For tests/manage/run.

[ -e base.qcow2 ] || "$lodge" image create base.qcow2 64M || bad "no base disk"

# A disk is no smaller than its image's.
for size in 0 1000 1M 65535K; do
	expect 64 "--disk-size $size" create $tiny idle --image ./base.qcow2 --disk-size $size sized
done
expect 66 "there is no machine sized" info sized
for size in 64M 67109376; do
	expect 0 "" create $tiny idle --image ./base.qcow2 --disk-size $size sized
	expect 0 "" rm sized
done

# Modules: several, with what the kernel is told of each.
echo one >module1 && echo two >module,2
expect 0 "" create $tiny idle --initrd "module1 a=b c,idle" listed
grep -qx "initrd = $work/module1 a=b c,$work/idle" "$machines/listed/machine.conf" && ok ||
	bad "a list of modules: $(cat "$machines/listed/machine.conf")"
expect 0 "" start listed
expect 0 "" rm --force listed
expect 0 "" create $tiny idle --initrd module,2 listed
grep -qx "initrd = $work/module,2" "$machines/listed/machine.conf" && ok || bad "a name with a comma"
expect 0 "" rm listed
expect 64 "module1,absent: No such file" create $tiny idle --initrd module1,absent listed

# Folders that JSON can't name.
odd=$work/$(printf 'b\377d')
mkdir -m 700 "$odd"
XDG_RUNTIME_DIR=$odd expect 69 "XDG_RUNTIME_DIR: $odd/lodge: is not UTF-8" launch $tiny idle odd
XDG_DATA_HOME=$odd expect 69 "XDG_DATA_HOME: $odd/lodge: is not UTF-8" create $tiny idle odd
(unset XDG_DATA_HOME; export HOME=$odd; "$lodge" ls) >out 2>errors
is "HOME that is not UTF-8" 69 $?
is "what was made there" "" "$(ls -A "$odd")"

# A guest that has shown it, and has gone.
{ header && bytes be 36 00 10 00 66 ba f8 03 ac 84 c0 74 03 ee eb f8 b0 05 e6 f4 f4 && printf 'said in passing\n\0'; } >passing
expect 0 "" create $tiny passing --test-devices passing
for _ in 1 2 3; do
	expect 0 "" start --until "in passing" passing
	for _ in $(seq 100); do [ "$(state passing)" = stopped ] && break; sleep 0.02; done
done
sed -i "s|^kernel = .*|kernel = $work/tiny|" "$machines/passing/machine.conf"
"$lodge" start --until "in passing" passing >out 2>errors
is "status of one that has ended, and said it the last time only" 74 $?
grep -q 'has ended before it showed "in passing"' errors && ok || bad "what ended: $(cat errors)"
for _ in $(seq 100); do [ "$(state passing)" = stopped ] && break; sleep 0.02; done
expect 0 "" rm passing

# A clock that was set back; a folder whose name has a comma; a description that a terminal would obey.
mkdir "$work/a,b"
(
	export XDG_DATA_HOME=$work/a,b machines=$work/a,b/lodge/machines passed=0 failed=0
	expect 0 "" launch --quiet $tiny idle --image ./base.qcow2 early
	sed -i 's/"started":[0-9]*/"started":99999999999/; s/^\(.\{1023\}\).*/\1/' "$machines/early/state"
	is "UP of one that starts in the future" 0s "$("$lodge" ls | awk '$1 == "early" {print $5}')"
	"$lodge" info early | grep -q 'root.qcow2, 0.0 MiB' && bad "a disk in a folder with a comma has no size" || ok
	expect 0 "" kill early
	expect 0 "" snapshot create --description $'\033]0;x\007y' early one
	is "a description with escapes" '?]0;x?y' "$("$lodge" snapshot ls early | awk '$1 == "one" {print $NF}')"
	expect 0 "" rm --force early
	echo "$passed $failed" >"$work/edges"
)
read -r more worse <"$work/edges"
passed=$((passed + more)) failed=$((failed + worse))

# What has its name by then has happened, also if the folder can't be written out.
expect 0 "" create $tiny idle unsure
chmod 300 "$machines/unsure"
expect 0 "" set --memory 32M unsure
grep -q "after a power failure it may be what it was" errors && ok || bad "no word of what is unsure: $(cat errors)"
chmod 700 "$machines/unsure"
expect 0 32M info unsure
expect 0 "" rm unsure

# A disk that takes long to mend: who waits for that may end it.
if command -v python3 >/dev/null && "$lodge" image create slow.qcow2 128G --cluster-size 512; then
	python3 - <<'PYTHON'
import struct
with open("slow.qcow2", "r+b") as file:
    file.seek(36)
    count, l1 = struct.unpack(">IQ", file.read(12))
    end = file.seek(0, 2) + 511 & ~511
    file.seek(l1)
    file.write(b"".join(struct.pack(">Q", end + i * 512 | 1 << 63) for i in range(count)))
    file.truncate(end + count * 512)
    file.seek(72)
    file.write(struct.pack(">Q", 1))
PYTHON
	timeout -k 3 1 "$lodge" run $tiny idle --disk slow.qcow2 --console none >out 2>errors </dev/null
	is "status of a run that was ended while a disk was mended" 124 $?
	rm slow.qcow2
else
	skipped=$((skipped + 1))
	echo "skipped: a disk that takes long to mend: there is no python3"
fi
