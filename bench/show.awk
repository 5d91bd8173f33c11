# SPDX-License-Identifier: BSD-2-Clause
# How a figure is shown, by its unit: ns, MiB (ns for each of them), KiB, us/s (of processor).

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
		return sprintf(number > 10000000 ? "%.3g MiB/s" : "%.0f MiB/s", 1000000000 / number)
	if (what == "KiB")
		return sprintf("%.1f MiB", number / 1024)
	return sprintf("%.2f %%", number / 10000)
}
