# SPDX-License-Identifier: BSD-2-Clause
# Reads outcomes (SECTION ROUND OUTCOME) and samples (SECTION NAME UNIT ROUND ENGINE VALUE), and prints
# a table of the ratios QEMU / Lodge: the median of the pairs that held, their least and greatest. Writes
# the same as JSON into the file `json`, if that is set. Fails when a section has nothing to tell.

FILENAME == ARGV[1] {
	if ($3 != "failed")
		outcome[$1, $2] = $3
	outcomes[$1, $3]++
	if (!($1 in rounds))
		section_names[++section_count] = $1
	if ($2 > rounds[$1])
		rounds[$1] = $2
	next
}

{
	value[$1, $2, $4, $5] = $6
	unit[$1, $2] = $3
	if (!(($1, $2) in known)) {
		known[$1, $2] = 1
		names[$1, ++name_count[$1]] = $2
	}
}

# Puts list[1..count] in order.
function sort(list, count,    i, j, moved) {
	for (i = 2; i <= count; i++) {
		moved = list[i]
		for (j = i - 1; j >= 1 && list[j] > moved; j--)
			list[j + 1] = list[j]
		list[j + 1] = moved
	}
}

function median(list, count) {
	sort(list, count)
	return count % 2 ? list[(count + 1) / 2] : (list[count / 2] + list[count / 2 + 1]) / 2
}

function show_time(ns) {
	if (ns < 1000)
		return sprintf("%.3g ns", ns)
	if (ns < 1000000)
		return sprintf("%.3g us", ns / 1000)
	if (ns < 999500000)
		return sprintf("%.3g ms", ns / 1000000)
	return sprintf("%.2f s", ns / 1000000000)
}

function show(number, what) {
	if (number == "")
		return "-"
	if (what == "ns")
		return show_time(number)
	if (what == "MiB")
		return sprintf("%.0f MiB/s", 1000000000 / number)
	if (what == "KiB")
		return sprintf("%.1f MiB", number / 1024)
	return sprintf("%.2f %%", number / 10000)
}

# The median of what `engine` took in the pairs that count; "" when there is none.
function middle(section, name, engine, all,    round, list, count) {
	count = 0
	for (round = 1; round <= rounds[section]; round++) {
		if (counts(section, round, all) && (section, name, round, engine) in value)
			list[++count] = value[section, name, round, engine]
	}
	return count ? median(list, count) : ""
}

function counts(section, round, all) {
	return outcome[section, round] == "held" || (all && outcome[section, round] == "moved")
}

# Leaves ratio_middle, ratio_low, ratio_high and ratio_count.
function ratios(section, name, all,    round, list, count, lodge, qemu) {
	count = 0
	for (round = 1; round <= rounds[section]; round++) {
		lodge = value[section, name, round, "lodge"]
		qemu = value[section, name, round, "qemu"]
		if (counts(section, round, all) && lodge > 0 && qemu > 0)
			list[++count] = qemu / lodge
	}
	ratio_count = count
	if (!count)
		return
	ratio_middle = median(list, count)
	ratio_low = list[1]
	ratio_high = list[count]
}

function mean_add(section, of, number) {
	if (number > 0) {
		mean_sum[section, of] += log(number)
		mean_count[section, of]++
	}
}

function mean(section, of) {
	return mean_count[section, of] ? exp(mean_sum[section, of] / mean_count[section, of]) : ""
}

function quote(text) {
	gsub(/["\\]/, "\\\\&", text)
	return "\"" text "\""
}

function number_or_null(number) {
	return number == "" ? "null" : sprintf("%.6g", number)
}

function row(section, name, all,    lodge, qemu, native, slow_qemu, slow_lodge) {
	lodge = middle(section, name, "lodge", all)
	qemu = middle(section, name, "qemu", all)
	native = middle(section, name, "native", all)
	ratios(section, name, all)
	if (ratio_count && name != "first-instruction") # no boot; it would hide how fast those are
		mean_add(section, "ratio", ratio_middle)
	if (native > 0) {
		mean_add(section, "qemu", slow_qemu = qemu / native)
		mean_add(section, "lodge", slow_lodge = lodge / native)
	}
	printf "  %-20s %11s %11s %11s ", name, show(native, unit[section, name]),
		show(qemu, unit[section, name]), show(lodge, unit[section, name])
	if (ratio_count)
		printf "%8.2f  %6.2f .. %-6.2f", ratio_middle, ratio_low, ratio_high
	else
		printf "%8s  %16s", "-", ""
	printf "%3d%s", ratio_count, all ? "?" : " "
	if (native > 0)
		printf "  %7.2f %7.2f", slow_qemu, slow_lodge
	printf "\n"
	if (json != "") {
		printf "%s\n    {\"section\": %s, \"name\": %s, \"unit\": %s, \"native\": %s, " \
			"\"qemu\": %s, \"lodge\": %s, ", json_comma, quote(section), quote(name),
			quote(unit[section, name]), number_or_null(native), number_or_null(qemu),
			number_or_null(lodge) >json
		printf "\"ratio\": %s, \"least\": %s, \"greatest\": %s, \"pairs\": %d, \"steady\": %s}",
			number_or_null(ratio_count ? ratio_middle : ""),
			number_or_null(ratio_count ? ratio_low : ""),
			number_or_null(ratio_count ? ratio_high : ""), ratio_count,
			(all ? "false" : "true") >json
		json_comma = ","
	}
}

function section_print(section,    i, all) {
	# When no pair held, all are shown, marked: better than nothing, but no measurement.
	all = outcomes[section, "held"] == 0
	printf "\n%-22s %11s %11s %11s %8s  %16s %s", section, "native", "QEMU", "Lodge",
		"ratio", "least .. most   ", "pairs"
	printf "%s\n", mean_header[section] ? "  times native: QEMU Lodge" : ""
	for (i = 1; i <= name_count[section]; i++)
		row(section, names[section, i], all)
	if (section != "memory" && mean(section, "ratio") != "") {
		printf "  %-20s %35s %8.2f", "geometric mean", "", mean(section, "ratio")
		if (mean(section, "qemu") != "")
			printf "  %20s  %7.2f %7.2f", "", mean(section, "qemu"), mean(section, "lodge")
		printf "\n"
	}
	if (outcomes[section, "moved"] || outcomes[section, "failed"])
		printf "  (of %d pairs, %d were dropped because the host's speed moved; failures: %d)\n",
			rounds[section], outcomes[section, "moved"], outcomes[section, "failed"]
	if (all && name_count[section])
		doubtful = 1
	if (!name_count[section]) {
		print "  no results"
		empty = 1
	}
}

END {
	mean_header["compute"] = mean_header["kernel"] = mean_header["net"] = 1
	print "host:  " processor
	print "Lodge: " lodge ", engine translate, cpu model " lodge_cpu
	print "QEMU:  " qemu ", tcg, cpu model " qemu_cpu
	print "1 processor, " memory " of memory; ratio = QEMU / Lodge: above 1, Lodge is the faster (or smaller)"
	if (json != "") {
		printf "{\n  \"processor\": %s,\n  \"lodge\": %s,\n  \"qemu\": %s,\n", quote(processor),
			quote(lodge), quote(qemu) >json
		printf "  \"lodge_cpu\": %s,\n  \"qemu_cpu\": %s,\n  \"memory\": %s,\n  \"results\": [",
			quote(lodge_cpu), quote(qemu_cpu), quote(memory) >json
	}
	for (i = 1; i <= section_count; i++)
		section_print(section_names[i])
	if (doubtful)
		print "\n? no pair held: the host was too unsteady, and these figures mean little"
	if (json != "") {
		printf "\n  ],\n  \"means\": {" >json
		for (i = 1; i <= section_count; i++) {
			printf "%s\n    %s: %s", (i > 1 ? "," : ""), quote(section_names[i]),
				number_or_null(mean(section_names[i], "ratio")) >json
		}
		printf "\n  }\n}\n" >json
	}
	exit empty
}
