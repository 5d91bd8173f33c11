# SPDX-License-Identifier: BSD-2-Clause
# Says whether the floors hold: those of the file `floors`, of what was measured.

# A figure of Lodge's own, in the unit of results: ns, ns for a MiB, KiB, or us/s of processor. Of one that can't
# be read, the number 0, which nothing holds.
function figure_of(text,    number) {
	number = text + 0
	sub(/^[0-9.]+/, "", text)
	return text == "MiB/s" ? 1000000000 / number : number * figure_scale[text]
}

# The median, over the pairs that held, of what row `over` took with engine over_engine over what row `name` took
# with engine; "" for none.
function row_ratio(section, name, engine, over, over_engine,    round, list, count) {
	for (round = 1; round <= rounds[section]; round++) {
		if (!counts(section, round, 0) || !((section, name, round, engine) in value) ||
		    !((section, over, round, over_engine) in value))
			continue
		list[++count] = value[section, over, round, over_engine] / value[section, name, round, engine]
	}
	return count ? median(list, count) : ""
}

# Leaves reached ("" if it can't be judged) of a floor: of what, the row's own ratio, or Lodge's figure.
function judge_reached(section, name, what,    other, here) {
	if (name == "mean")
		return mean_reached(section)
	if (!((section, name) in known) || doubted(section, name))
		return ""
	if (what == "ratio")
		return ratio_middle
	here = middle(section, name, "lodge", 0)
	if (what == "value")
		return here
	if (what ~ /^row:/)
		return row_ratio(section, name, "lodge", substr(what, 5), "lodge")
	other = middle(substr(what, 4), name, "lodge", 0)
	return other == "" || here == "" ? "" : other / here
}

# Of the section's rows that have a floor of their own; all of them, or it is another mean.
function mean_reached(section,    i, sum, count) {
	for (i = 1; i <= floor_count; i++) {
		if (floor_section[i] != section || floor_name[i] == "mean" || floor_what[i] != "ratio")
			continue
		if (!((section, floor_name[i]) in known) || doubted(section, floor_name[i]))
			return ""
		sum += log(ratio_middle)
		count++
	}
	return count ? exp(sum / count) : ""
}

function floor_add(section, name, what, least, goal, limit) {
	floor_count++
	floor_section[floor_count] = section
	floor_name[floor_count] = name
	floor_what[floor_count] = what
	floor_least[floor_count] = least
	floor_goal[floor_count] = goal
	floor_limit[floor_count] = limit
	floor_index[section, name] = floor_count
}

# One line of the file. * becomes a floor for each row that has none yet.
function floor_line(line,    word, count, i) {
	sub(/#.*/, "", line)
	count = split(line, word)
	if (!count)
		return
	if (count != 6) {
		print "bench: " floors ": a line without six words: " line >"/dev/stderr"
		exit 2
	}
	if (word[2] != "*") {
		floor_add(word[1], word[2], word[3], word[4], word[5], word[6])
		return
	}
	for (i = 1; i <= name_count[word[1]]; i++)
		if (!((word[1], names[word[1], i]) in floor_index))
			floor_add(word[1], names[word[1], i], word[3], word[4], word[5], word[6])
}

# Does `reached` meet `wanted`?
function meets(reached, what, wanted) {
	return what == "value" ? reached <= figure_of(wanted) : reached >= wanted + 0
}

function floor_shown(i) {
	if (floor_least[i] ~ /MB$/) # as it is written there, not in MiB
		return sprintf("%.2fMB", floor_reached[i] / figure_scale["MB"])
	if (floor_what[i] == "value")
		return show(floor_reached[i], unit[floor_section[i], floor_name[i]])
	return sprintf("%.2f", floor_reached[i])
}

# What the same program reaches without any hypervisor, or "".
function native_reached(i) {
	if (floor_what[i] == "ratio" && floor_name[i] != "mean")
		return row_ratio(floor_section[i], floor_name[i], "native", floor_name[i], "qemu")
	if (floor_what[i] ~ /^row:/)
		return row_ratio(floor_section[i], floor_name[i], "native", floor_other(i), "native")
	return ""
}

function native_shown(i,    ratio) {
	ratio = native_reached(i)
	return ratio == "" ? "" : sprintf(" (native %.2f)", ratio)
}

# The section or row that it is compared with.
function floor_other(i) {
	return substr(floor_what[i], index(floor_what[i], ":") + 1)
}

function floor_judge(i,    reached) {
	floor_reached[i] = judge_reached(floor_section[i], floor_name[i], floor_what[i])
	if (floor_reached[i] == "") {
		floor_verdict[i] = "unknown"
	} else if (meets(floor_reached[i], floor_what[i], floor_least[i])) {
		floor_verdict[i] = "holds"
		if (floor_what[i] ~ /^(of|row):/) # which no table shows
			printf "floor holds: %s %s is %s of %s%s, floor %s\n", floor_section[i],
				floor_name[i], floor_shown(i), floor_other(i), native_shown(i),
				floor_least[i]
	} else {
		floor_verdict[i] = "missed"
		printf "floor missed: %s %s is %s%s%s, floor %s, goal %s\n", floor_section[i], floor_name[i],
			floor_shown(i), (floor_what[i] ~ /^(of|row):/ ? " of " floor_other(i) : ""),
			native_shown(i), floor_least[i], floor_goal[i]
		reached = native_reached(i)
		missed_natively += reached != "" && !meets(reached, floor_what[i], floor_least[i])
	}
	floor_verdicts[floor_verdict[i]]++
	if (floor_goal[i] != "-" && floor_reached[i] != "") {
		goals_judged++
		goals_reached += meets(floor_reached[i], floor_what[i], floor_goal[i])
	}
}

END {
	figure_scale["ns"] = figure_scale["KiB"] = 1
	figure_scale["us"] = 1000
	figure_scale["ms"] = 1000000
	figure_scale["s"] = 1000000000
	figure_scale["MB"] = 1000000 / 1024
	figure_scale["%"] = 10000
	while ((got = (getline floors_line <floors)) > 0)
		floor_line(floors_line)
	if (got < 0) {
		print "bench: can't read " floors >"/dev/stderr"
		exit 2
	}
	print ""
	for (i = 1; i <= floor_count; i++)
		floor_judge(i)
	printf "%d floors hold, %d missed%s, %d not judged (not run, or no pair held); %d of %d goals reached\n",
		floor_verdicts["holds"], floor_verdicts["missed"],
		(missed_natively ? sprintf(" (%d of them natively, too)", missed_natively) : ""),
		floor_verdicts["unknown"], goals_reached, goals_judged
}
