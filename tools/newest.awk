# SPDX-License-Identifier: BSD-2-Clause
# Of lines VERSION TAB REST, prints the one with the newest version, by the Version Format Specification (UAPI.10) that the Boot
# Loader Specification refers to: the first of equals.

# Takes the leading digits or letters off what is left of a and b, and says which are greater: 1, -1 or 0.
function digits(    x, y) {
	match(a, /^[0-9]*/); x = substr(a, 1, RLENGTH); a = substr(a, RLENGTH + 1)
	match(b, /^[0-9]*/); y = substr(b, 1, RLENGTH); b = substr(b, RLENGTH + 1)
	sub(/^0+/, "", x); sub(/^0+/, "", y)
	if (length(x) != length(y)) return length(x) > length(y) ? 1 : -1
	return x "" > y "" ? 1 : x "" < y "" ? -1 : 0
}
function letters(    x, y) {
	match(a, /^[A-Za-z]*/); x = substr(a, 1, RLENGTH); a = substr(a, RLENGTH + 1)
	match(b, /^[A-Za-z]*/); y = substr(b, 1, RLENGTH); b = substr(b, RLENGTH + 1)
	return x "" > y "" ? 1 : x "" < y "" ? -1 : 0
}
# A mark that only one has: ~ makes it older than the end; - and ^ and . older than what goes on, newer than the end.
function mark(c,    x, y) {
	x = substr(a, 1, 1) == c; y = substr(b, 1, 1) == c
	if (x && y) { a = substr(a, 2); b = substr(b, 2) }
	return x == y ? 0 : x ? -1 : 1
}
function compare(first, second,    how) {
	a = first; b = second
	for (;;) {
		sub(/^[^A-Za-z0-9~.^-]+/, "", a); sub(/^[^A-Za-z0-9~.^-]+/, "", b)
		if ((how = mark("~"))) return how
		if (a == "" || b == "") return a != "" ? 1 : b != "" ? -1 : 0
		if ((how = mark("-")) || (how = mark("^")) || (how = mark("."))) return how
		if (a ~ /^[0-9]/ || b ~ /^[0-9]/) how = digits()
		else how = letters()
		if (how) return how
	}
}
BEGIN { FS = "\t" }
NR == 1 || compare($1, version) > 0 { version = $1; line = $0 }
END { if (NR) print line }
