# SPDX-License-Identifier: BSD-2-Clause
# Reads what bench/run has measured: outcomes (SECTION ROUND OUTCOME) and samples (SECTION NAME UNIT ROUND
# ENGINE VALUE). table.awk, floors.awk and json.awk, loaded behind this file in this order, tell of them.

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

# The ratios of the pairs that count, in order, in ratio_list[1..ratio_count]; ratio_middle, ratio_low, ratio_high.
function ratios(section, name, all,    round, lodge, qemu) {
	ratio_count = 0
	for (round = 1; round <= rounds[section]; round++) {
		# To look at what isn't there would make it.
		if (!((section, name, round, "lodge") in value) || !((section, name, round, "qemu") in value))
			continue
		lodge = value[section, name, round, "lodge"]
		qemu = value[section, name, round, "qemu"]
		if (counts(section, round, all) && lodge > 0 && qemu > 0)
			ratio_list[++ratio_count] = qemu / lodge
	}
	ratio_middle = ratio_low = ratio_high = ""
	if (!ratio_count)
		return
	ratio_middle = median(ratio_list, ratio_count)
	ratio_low = ratio_list[1]
	ratio_high = ratio_list[ratio_count]
}

# How many pairs count in which this was measured of Lodge.
function pairs(section, name, all,    round, count) {
	for (round = 1; round <= rounds[section]; round++)
		count += counts(section, round, all) && (section, name, round, "lodge") in value
	return count + 0
}

# Did no pair hold in which this was measured (of both, but where it is Lodge's alone)? Then all are shown, marked:
# better than nothing, but no measurement.
function doubted(section, name) {
	ratios(section, name, 0)
	if (middle(section, name, "qemu", 1) == "")
		return pairs(section, name, 0) == 0
	return ratio_count == 0
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
