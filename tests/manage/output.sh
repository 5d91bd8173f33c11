# SPDX-License-Identifier: BSD-2-Clause
# What verbs report: JSON that is valid, by the names of the man page; and an output that can't be written is an
# error. For tests/manage/run.

# is_json VERB... : it is, and has no name that lodge.1 doesn't (its section JSON)
is_json() {
	local wrong
	timeout 60 "$lodge" "$@" >json 2>errors </dev/null || bad "lodge $*: $(cat errors)"
	wrong=$(python3 - "$page" <json 2>&1 <<'PYTHON'
import json, re, sys
page = open(sys.argv[1]).read().replace("\\-", "-")
section = set(re.findall(r"[a-z-]+", page.split(".SH JSON\n")[1].split("\n.SH ")[0]))
def names(value):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names(inner)
print(*sorted({name for name in names(json.load(open("json"))) if name not in section}))
PYTHON
)
	is "lodge $*: what is no JSON, or not in lodge.1" "" "$wrong"
}
# to_full STATUS VERB... : its standard output is on a full device
to_full() {
	local status=$1
	shift
	timeout 60 "$lodge" "$@" >/dev/full 2>errors </dev/null
	is "lodge $* >/dev/full" "$status" $?
	is "lines of lodge $* >/dev/full" 1 "$(grep -cv 'engine translate: needs' errors)"
}

[ -e base.qcow2 ] || "$lodge" image create base.qcow2 64M || bad "no base disk"
odd=$(printf 'odd "\\\377\303\n.qcow2')
"$lodge" image create "$odd" 1M
expect 0 "" net create told
expect 0 "" launch --quiet $tiny echo -p $((20000 + ($$ + 9000) % 20000)):80 --image ./base.qcow2 --until service told
expect 0 "" snapshot create --description $'a\t"b\\ü' told one
expect 0 "" create $tiny idle broken
echo nonsense >>"$machines/broken/machine.conf"
if command -v python3 >/dev/null; then
	for what in "ls" "info told" "info broken" "top" "port ls told" "snapshot ls told" "snapshot tree told" "image ls" \
		"image info base.qcow2" "image check base.qcow2" "net ls" "doctor" "version"; do
		is_json $what --json
	done
	is_json image info --json "$odd"
	is_json launch --json $tiny idle also
	expect 0 "" rm --force also
	"$lodge" events --json --timeout 2 told >json &
	watching=$!
	sleep 0.5
	"$lodge" pause told
	wait $watching
	is "an event" "told paused" "$(python3 -c 'import json; e = json.loads(open("json").readline()); print(e["machine"], e["event"])')"
	expect 0 "" resume told
else
	skipped=$((skipped + 1))
	echo "skipped: JSON: there is no python3"
fi
# An error is a line on standard error, with nothing on standard output.
for what in "info" "port ls" "snapshot ls" "snapshot tree"; do
	expect 66 "there is no machine nobody" $what --json nobody
	is "output of lodge $what --json nobody" "" "$(cat out)"
done
for what in "ls" "info told" "top" "port ls told" "snapshot ls told" "snapshot tree told" "image ls" "net ls" "logs told" \
	"image info base.qcow2" "image check base.qcow2" "doctor" "version" "help" "help run" "completion bash" \
	"logs --process told"; do
	[ "$what" = "logs --process told" ] && [ -z "$("$lodge" $what)" ] && continue
	to_full 69 $what
done
{ sleep 0.5; "$lodge" pause told; } &
to_full 69 events --timeout 5 told
wait
"$lodge" ls >&- 2>errors
is "ls with its output closed" 69 $?
expect 0 "" rm --force told broken
expect 0 "" net rm told
