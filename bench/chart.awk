# SPDX-License-Identifier: BSD-2-Clause
# A chart of the ratios: a bar for each row on a logarithmic axis, from 1 (QEMU) to the median, with a line from
# the least to the greatest and marks for floor, goal and native execution.

function escape(text) {
	gsub(/&/, "\\&amp;", text)
	gsub(/</, "\\&lt;", text)
	gsub(/>/, "\\&gt;", text)
	return text
}

function x_of(ratio) {
	return left + (log(ratio) - log(low)) / (log(high) - log(low)) * width
}

function text_at(x, y, class, text) {
	printf "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">%s</text>\n", x, y, class, escape(text)
}

function line_at(x1, y1, x2, y2, class) {
	printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1, y1, x2, y2, class
}

# Marks, around x and y: what a floor, a goal and native execution look like, in rows and in the legend.
function mark_floor(x, y) { line_at(x, y - 9, x, y + 9, "floor") }
function mark_goal(x, y) {
	printf "<path d=\"M%.1f %.1fl4 4l-4 4l-4 -4z\" class=\"goal\"/>\n", x, y - 4
}
function mark_native(x, y) { printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" class=\"native\"/>\n", x, y }
function mark_range(x1, x2, y) {
	line_at(x1, y, x2, y, "range")
	line_at(x1, y - 3, x1, y + 3, "range")
	line_at(x2, y - 3, x2, y + 3, "range")
}

function bar(x1, x2, y, class) {
	printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"2\" class=\"%s\"/>\n",
		x1 < x2 ? x1 : x2, y - 7, x1 < x2 ? x2 - x1 : x1 - x2, 14, class
}

# A bar and its marks; floor and goal may be "", least and greatest too.
function row_draw(y, label, figure, ratio, least, greatest, floor, goal, native, class, strong) {
	text_at(left - 10, y + 4, strong ? "label strong" : "label", label)
	bar(x_of(1), x_of(ratio), y, "bar " class)
	if (least != "")
		mark_range(x_of(least), x_of(greatest), y)
	if (native != "")
		mark_native(x_of(native), y)
	if (goal != "")
		mark_goal(x_of(goal), y)
	if (floor != "")
		mark_floor(x_of(floor), y)
	text_at(left + width + 52, y + 4, class == "missed" ? "ratio warn" : "ratio", sprintf(ratio + 0 < 9.95 ? "%.2f" : "%.1f", ratio))
	text_at(left + width + 134, y + 4, "figure", figure)
}

function result_draw(at, y,    native, class, is_ratio, figure) {
	is_ratio = json[at ".floor.what"] == "ratio"
	class = json[at ".floor.verdict"] == "missed" ? "missed" : "holds"
	if (json[at ".steady"] == "false")
		class = class " doubted"
	figure = json[at ".lodge"] == "" ? "" : show(json[at ".lodge"] + 0, json[at ".unit"])
	native = json[at ".native"] > 0 ? json[at ".qemu"] / json[at ".native"] : ""
	row_draw(y, json[at ".name"] (json[at ".steady"] == "false" ? " ?" : ""), figure, json[at ".ratio"],
		json[at ".least"], json[at ".greatest"], is_ratio ? json[at ".floor.floor"] : "",
		is_ratio ? json[at ".floor.goal"] : "", native, class, 0)
}

function is_wanted(section) {
	return wanted == "" || index(" " wanted " ", " " section " ")
}

function widen(ratio) {
	if (ratio == "")
		return
	ratio += 0
	if (ratio < low)
		low = ratio
	if (ratio > high)
		high = ratio
}

# What is drawn, and from where to where the axis goes.
function collect(    i, at, section) {
	low = 0.8
	high = 10
	for (i = 0; i < json_count["results"]; i++) {
		at = "results." i
		section = json[at ".section"]
		if (json[at ".ratio"] == "" || !is_wanted(section))
			continue
		rows[section, ++row_count[section]] = at
		any_doubted = any_doubted || json[at ".steady"] == "false"
		widen(json[at ".least"])
		widen(json[at ".greatest"])
		if (json[at ".floor.what"] == "ratio") {
			widen(json[at ".floor.floor"])
			widen(json[at ".floor.goal"])
		}
		if (json[at ".native"] > 0)
			widen(json[at ".qemu"] / json[at ".native"])
	}
	low *= 0.95
	high *= 1.1
}

# Without what the package says.
function version_of(text) {
	sub(/ emulator version/, "", text)
	sub(/ *\(.*/, "", text)
	return text
}

function style() {
	print "<style>"
	print ":root{--paper:#ffffff;--ink:#1f2328;--faint:#59636e;--grid:#e3e6ea;--one:#8a939d;" \
		"--bar:#5b93c9;--miss:#d9793b;--warn:#b4531a;--range:#1f3a57;--native:#2f8a4a}"
	print "@media (prefers-color-scheme:dark){:root{--paper:#0d1117;--ink:#e6edf3;--faint:#9da7b3;" \
		"--grid:#262c35;--one:#6e7783;--bar:#3f78b5;--miss:#c0622a;--warn:#f0975c;--range:#cfe3f7;--native:#56c271}}"
	print "text{font:13px system-ui,sans-serif;fill:#1f2328;fill:var(--ink)}"
	print ".title{font-size:18px;font-weight:600}"
	print ".note,.figure,.tick,.legend{font-size:12px;fill:#59636e;fill:var(--faint)}"
	print ".label,.figure,.ratio{text-anchor:end}.tick{text-anchor:middle}"
	print ".section{font-size:14px;font-weight:600}.strong,.ratio{font-weight:600}"
	print ".warn{fill:#b4531a;fill:var(--warn)}"
	print ".paper{fill:#ffffff;fill:var(--paper)}"
	print ".grid{stroke:#e3e6ea;stroke:var(--grid)}.one{stroke:#8a939d;stroke:var(--one);stroke-width:1.5}"
	print ".holds{fill:#5b93c9;fill:var(--bar)}.missed{fill:#d9793b;fill:var(--miss)}.doubted{opacity:.4}"
	print ".range{stroke:#1f3a57;stroke:var(--range);stroke-width:1.2}"
	print ".floor{stroke:#1f2328;stroke:var(--ink);stroke-width:2.5}"
	print ".goal{fill:#ffffff;fill:var(--paper);stroke:#1f2328;stroke:var(--ink);stroke-width:1.3}"
	print ".native{fill:#2f8a4a;fill:var(--native);stroke:#ffffff;stroke:var(--paper)}"
	print "</style>"
}

function legend_entry(x, y, text) {
	text_at(x + 12, y + 4, "legend", text)
	return x + 12 + length(text) * 6.4 + 26
}

function legend(y,    x) {
	x = 30
	bar(x - 8, x + 8, y, "bar holds")
	x = legend_entry(x, y, "Lodge, median")
	mark_range(x - 8, x + 8, y)
	x = legend_entry(x, y, "least to greatest")
	mark_floor(x, y)
	x = legend_entry(x, y, "floor")
	mark_goal(x, y)
	x = legend_entry(x, y, "goal")
	mark_native(x, y)
	x = legend_entry(x, y, "native execution")
	bar(x - 8, x + 8, y, "bar missed")
	x = legend_entry(x, y, "below its floor")
	if (any_doubted) {
		bar(x - 8, x + 8, y, "bar holds doubted")
		legend_entry(x, y, "? no pair held")
	}
}

function axis(top, bottom,    count, ticks, i) {
	count = split("0.1 0.2 0.5 1 2 5 10 20 50 100 200 500 1000", ticks, " ")
	for (i = 1; i <= count; i++) {
		if (ticks[i] < low || ticks[i] > high)
			continue
		line_at(x_of(ticks[i]), top, x_of(ticks[i]), bottom, ticks[i] == 1 ? "one" : "grid")
		text_at(x_of(ticks[i]), top - 6, "tick", ticks[i] == 1 ? "1 = QEMU" : ticks[i])
		text_at(x_of(ticks[i]), bottom + 16, "tick", ticks[i])
	}
	text_at(left + width + 52, top - 6, "ratio", "ratio")
	text_at(left + width + 134, top - 6, "figure", "Lodge")
}

function sections_draw(y,    i, k, at, name) {
	for (i = 0; i < json_count["sections"]; i++) {
		at = "sections." i
		name = json[at ".name"]
		if (!row_count[name])
			continue
		text_at(20, y + 4, "section", name)
		y += row_height
		for (k = 1; k <= row_count[name]; k++) {
			result_draw(rows[name, k], y)
			y += row_height
		}
		if (json[at ".floor.what"] == "ratio" && json[at ".floor.reached"] != "") {
			row_draw(y, "mean, of those with floors", "", json[at ".floor.reached"], "", "",
				json[at ".floor.floor"], json[at ".floor.goal"], json[at ".floor.limit"],
				json[at ".floor.verdict"], 1)
			y += row_height
		}
		y += 10
	}
	return y
}

function height_of(    i, name, height) {
	for (i = 0; i < json_count["sections"]; i++) {
		name = json["sections." i ".name"]
		if (row_count[name])
			height += row_height * (row_count[name] + 1) + 10
		if (row_count[name] && json["sections." i ".floor.reached"] != "")
			height += row_height
	}
	return height
}

function draw(    top, bottom, total) {
	left = 216
	width = 556
	row_height = 22
	top = 152
	bottom = top + height_of()
	total = left + width + 154
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n",
		total, bottom + 34, total, bottom + 34
	print "<title>How many times faster than QEMU's TCG Lodge's software engine is</title>"
	style()
	printf "<rect width=\"%d\" height=\"%d\" class=\"paper\"/>\n", total, bottom + 34
	text_at(20, 32, "title", "Lodge's software engine against QEMU's TCG")
	text_at(20, 54, "note", "QEMU's time / Lodge's (memory: size): above 1, Lodge is the faster or the smaller")
	text_at(20, 72, "note", json["lodge"] ", " version_of(json["qemu"]) "; guests of one processor, " json["memory"] \
		", cpu model " json["lodge_cpu"])
	text_at(20, 89, "note", json["processor"] ", " json["host"] ", " substr(json["date"], 1, 10))
	legend(114)
	axis(top, bottom)
	sections_draw(top + 14)
	print "</svg>"
}

END {
	if (json_failed)
		exit 2
	collect()
	draw()
}
