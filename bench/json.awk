# SPDX-License-Identifier: BSD-2-Clause
# Writes what the table tells, and the single ratios, into the file `json`, if that is set. bench/README.md describes it.
# The last of the files: fails when a section has nothing to tell.

function quote(text) {
	gsub(/["\\]/, "\\\\&", text)
	gsub(/[\001-\037]/, " ", text)
	return "\"" text "\""
}

function number_or_null(number) {
	return number == "" ? "null" : sprintf("%.6g", number)
}

# A floor as it is written in its file: a number, or a figure with its unit.
function floor_json(text) {
	return text == "" || text == "-" ? "null" : text ~ /^[0-9.]+$/ ? text : quote(text)
}

function json_ratios(    i, text) {
	for (i = 1; i <= ratio_count; i++)
		text = text (i > 1 ? ", " : "") number_or_null(ratio_list[i])
	return "[" text "]"
}

function json_floor(i) {
	if (!i)
		return "null"
	return sprintf("{\"what\": %s, \"floor\": %s, \"goal\": %s, \"limit\": %s, \"reached\": %s, \"verdict\": %s}",
		quote(floor_what[i]), floor_json(floor_least[i]), floor_json(floor_goal[i]),
		floor_json(floor_limit[i]), number_or_null(floor_reached[i]), quote(floor_verdict[i]))
}

function json_row(section, name,    all) {
	all = doubted(section, name)
	printf "%s\n    {\"section\": %s, \"name\": %s, \"unit\": %s,\n", json_comma, quote(section), quote(name),
		quote(unit[section, name]) >json
	printf "     \"native\": %s, \"qemu\": %s, \"lodge\": %s,\n",
		number_or_null(middle(section, name, "native", all)),
		number_or_null(middle(section, name, "qemu", all)),
		number_or_null(middle(section, name, "lodge", all)) >json
	ratios(section, name, all)
	printf "     \"ratio\": %s, \"least\": %s, \"greatest\": %s, \"pairs\": %d, \"steady\": %s, \"ratios\": %s,\n",
		number_or_null(ratio_middle), number_or_null(ratio_low), number_or_null(ratio_high),
		(ratio_count ? ratio_count : pairs(section, name, all)), (all ? "false" : "true"), json_ratios() >json
	printf "     \"floor\": %s}", json_floor(floor_index[section, name]) >json
	json_comma = ","
}

function json_section(section) {
	printf "%s\n    {\"name\": %s, \"pairs\": %d, \"held\": %d, \"moved\": %d, \"failures\": %d, \"mean\": %s, \"floor\": %s}",
		json_comma, quote(section), rounds[section], outcomes[section, "held"], outcomes[section, "moved"],
		outcomes[section, "failed"], number_or_null(mean(section, "ratio")),
		json_floor(floor_index[section, "mean"]) >json
	json_comma = ","
}

function json_write(    i, j) {
	printf "{\n  \"date\": %s,\n  \"processor\": %s,\n  \"processors\": %d,\n  \"host\": %s,\n", quote(date),
		quote(processor), processors, quote(host) >json
	printf "  \"lodge\": %s,\n  \"qemu\": %s,\n  \"lodge_cpu\": %s,\n  \"qemu_cpu\": %s,\n  \"memory\": %s,\n",
		quote(lodge), quote(qemu), quote(lodge_cpu), quote(qemu_cpu), quote(memory) >json
	printf "  \"floors\": {\"hold\": %d, \"missed\": %d, \"unknown\": %d},\n", floor_verdicts["holds"],
		floor_verdicts["missed"], floor_verdicts["unknown"] >json
	printf "  \"sections\": [" >json
	for (i = 1; i <= section_count; i++)
		json_section(section_names[i])
	json_comma = ""
	printf "\n  ],\n  \"results\": [" >json
	for (i = 1; i <= section_count; i++)
		for (j = 1; j <= name_count[section_names[i]]; j++)
			json_row(section_names[i], names[section_names[i], j])
	printf "\n  ]\n}\n" >json
	close(json)
}

END {
	if (json != "")
		json_write()
	exit empty
}
