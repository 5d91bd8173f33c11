# SPDX-License-Identifier: BSD-2-Clause
# Reads JSON into json[PATH], where PATH is the names and numbers (from 0) that lead to a value, with dots between
# them: json["results.0.name"]. json_count[PATH] is how many members an array has. null is "".

{ json_rest = json_rest $0 "\n" }

function json_fail(what) {
	print "this is no JSON: " what " at " substr(json_rest, 1, 30) >"/dev/stderr"
	json_failed = 1
	exit 2
}

# Takes what matches the pattern from the front, blanks before it included.
function json_take(pattern,    taken) {
	sub(/^[ \t\r\n]+/, "", json_rest)
	if (!match(json_rest, "^(" pattern ")"))
		return ""
	taken = substr(json_rest, 1, RLENGTH)
	json_rest = substr(json_rest, RLENGTH + 1)
	return taken
}

function json_string(    text) {
	text = json_take("\"([^\"\\\\]|\\\\.)*\"")
	if (text == "")
		json_fail("no string")
	text = substr(text, 2, length(text) - 2)
	gsub(/\\"/, "\"", text)
	gsub(/\\\\/, "\\", text)
	return text
}

function json_members(path, close_by,    count, key) {
	count = 0
	if (json_take(close_by) != "")
		return 0
	do {
		if (close_by == "}") {
			key = json_string()
			if (json_take(":") == "")
				json_fail("no colon")
		} else {
			key = count
		}
		json_value((path == "" ? "" : path ".") key)
		count++
	} while (json_take(",") != "")
	if (json_take(close_by) == "")
		json_fail("no end")
	return count
}

function json_value(path,    text) {
	if (json_take("[{]") != "") {
		json_members(path, "}")
	} else if (json_take("\\[") != "") {
		json_count[path] = json_members(path, "]")
	} else if ((text = json_take("-?[0-9][0-9.eE+-]*|true|false|null")) != "") {
		json[path] = text == "null" ? "" : text
	} else {
		json[path] = json_string()
	}
}

END {
	if (!json_failed)
		json_value("")
	if (!json_failed && json_rest !~ /^[ \t\r\n]*$/)
		json_fail("something behind its end")
}
