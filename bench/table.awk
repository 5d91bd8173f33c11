# SPDX-License-Identifier: BSD-2-Clause
# A table of the ratios QEMU / Lodge: the median of the pairs that held, their least and greatest.

function row(section, name,    all, lodge, qemu, native, slow_qemu, slow_lodge) {
	all = doubted(section, name)
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
	printf "%3d%s", ratio_count ? ratio_count : pairs(section, name, all), all ? "?" : " "
	if (native > 0)
		printf "  %7.2f %7.2f", slow_qemu, slow_lodge
	printf "\n"
	doubtful += all
}

function section_print(section,    i) {
	printf "\n%-22s %11s %11s %11s %8s  %16s %s", section, "native", "QEMU", "Lodge",
		"ratio", "least .. most   ", "pairs"
	printf "%s\n", mean_header[section] ? "  times native: QEMU Lodge" : ""
	for (i = 1; i <= name_count[section]; i++)
		row(section, names[section, i])
	if (section != "memory" && section != "machines" && mean(section, "ratio") != "") {
		printf "  %-20s %35s %8.2f", "geometric mean", "", mean(section, "ratio")
		if (mean(section, "qemu") != "")
			printf "  %20s  %7.2f %7.2f", "", mean(section, "qemu"), mean(section, "lodge")
		printf "\n"
	}
	if (outcomes[section, "moved"] || outcomes[section, "failed"])
		printf "  (of %d pairs %d dropped, for the host moved; failures: %d)\n",
			rounds[section], outcomes[section, "moved"], outcomes[section, "failed"]
	if (!name_count[section]) {
		print "  no results"
		empty = 1
	}
}

END {
	mean_header["compute"] = mean_header["kernel"] = mean_header["programs"] = mean_header["net"] = 1
	print "host:  " processor
	print "Lodge: " lodge ", engine translate, cpu model " lodge_cpu
	print "QEMU:  " qemu ", tcg, cpu model " qemu_cpu
	print "1 processor (smp: 2, and 1 in rows that end with -1), " memory " of memory; ratio = QEMU / Lodge: above 1, Lodge is the faster (or smaller)"
	for (i = 1; i <= section_count; i++)
		section_print(section_names[i])
	if (doubtful)
		print "\n? no pair held: the host was too unsteady, and these figures mean little"
}
