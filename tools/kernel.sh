# SPDX-License-Identifier: BSD-2-Clause
# Which kernel a disk would start, and what its command line has to say; sourced by import-image with disk.sh.
#
# choose_kernel leaves the kernel in $work/vmlinuz, and what it is in $version, $kernel_name (for people) and
# $options, the command line that it had. Looked for, in this order:
#
#	entries		of the Boot Loader Specification (type 1): loader/entries/ID.conf
#	files		vmlinuz-VERSION, or vmlinuz-linux as Arch names it, in /boot
#	modules		/usr/lib/modules/VERSION/vmlinuz
#	UKIs		(type 2) EFI/Linux/NAME.efi: a PE file whose sections are the kernel and the rest

# Where what is in /boot may be, FS:FOLDER, and the names there. A partition of its own hides the root's folder.
places=()
declare -A place_names
find_places() {
	local i place names
	for i in "${!fs_type[@]}" boot efi boot/efi; do
		case $i in
		"$root") continue ;;
		[0-9]*) place=$i: ;;
		*) place=$root:/$i ;;
		esac
		names=$(fs_list "${place%%:*}" "${place#*:}")
		[ -n "$names" ] || continue
		places+=("$place")
		place_names[$place]=$names
	done
}
# list_boot FOLDER PATTERN : PLACE NAME of all files there that match
list_boot() {
	local place folder=${1#/}
	for place in ${places[@]+"${places[@]}"}; do
		if [ -z "$1" ]; then
			echo "${place_names[$place]}"
		elif grep -qixF -- "${folder%%/*}" <<<"${place_names[$place]}"; then
			fs_list "${place%%:*}" "${place#*:}$1"
		fi | grep -E -- "$2" | sed "s|^|$place |" || true
	done
}
# newest : of lines KEY TAB REST the one whose KEY is the newest version (UAPI.10).
newest() { awk -f "$here/newest.awk"; }

# take_from PLACE PATH : it, where a loader that knows only that file system, or a mounted one, would find it.
take_from() {
	local i=${1%%:*} path=/${2#/} at tried=" "
	for at in "$i:$path" "$1$path" "$root:$path" "$root:/boot$path" "$1/${path##*/}"; do
		[[ $tried != *" $at "* ]] || continue
		tried+="$at "
		! fs_take "${at%%:*}" "${at#*:}" "$work/vmlinuz" || return 0
	done
	return 1
}

# The values of grub's environment that entries refer to: the one that was chosen, the options of all.
read_grubenv() {
	local found place name
	grub_saved= grub_options=
	found=$(list_boot /grub2 '^grubenv$'; list_boot /grub '^grubenv$')
	for place in ${places[@]+"${places[@]}"}; do
		for name in /grub2/grubenv /grub/grubenv; do
			[[ $found == *"$place "* ]] && fs_take "${place%%:*}" "${place#*:}$name" "$work/grubenv" 64 || continue
			grub_saved=$(sed -n 's/^saved_entry=//p' "$work/grubenv" | tr -cd '[:print:]' | head -c 256)
			grub_options=$(sed -n 's/^kernelopts=//p' "$work/grubenv" | tr -cd '[:print:]' | head -c 4096)
			return
		done
	done
}

# One line of each entry: VERSION TAB PLACE TAB ID TAB LINUX TAB OPTIONS. None of a rescue system, or another processor's.
list_entries() {
	local place name
	while read -r place name; do
		fs_take "${place%%:*}" "${place#*:}/loader/entries/$name" "$work/entry" 64 || continue
		tr -cd '\t\n\040-\176' <"$work/entry" | awk -v place="$place" -v id="${name%.conf}" '
			function rest() { line = $0; sub(/^[ \t]*[^ \t]+[ \t]*/, "", line); gsub(/\t/, " ", line); return line }
			$1 == "version" || $1 == "linux" || $1 == "architecture" { value[$1] = rest() }
			$1 == "options" { options = options (options == "" ? "" : " ") rest() }
			END {
				if (value["linux"] == "" || (value["architecture"] != "" && value["architecture"] != "x64") ||
				    id ~ /rescue/ || value["version"] ~ /rescue/)
					exit
				version = value["version"] != "" ? value["version"] : id
				print version "\t" place "\t" id "\t" value["linux"] "\t" options
			}'
	done < <(list_boot /loader/entries '\.conf$' | head -n 64)
}
choose_entry() {
	local id path
	list_entries >"$work/entries"
	[ -s "$work/entries" ] || return 1
	read_grubenv
	# What was saved counts, if there is such a one.
	awk -F '\t' -v id="$grub_saved" '$3 == id' "$work/entries" >"$work/chosen"
	[ -s "$work/chosen" ] || newest <"$work/entries" >"$work/chosen"
	IFS=$'\t' read -r version place id path options <"$work/chosen" || true
	kernel_name="the entry $id"
	path_is_plain "/${path#/}" || fail "$source: its boot entry $id has a strange kernel: ${path:0:80}"
	take_from "$place" "$path" || fail "$source: the kernel $path of its boot entry $id isn't there, or is too large"
	options=${options//\$kernelopts/"$grub_options"}
}

choose_file() {
	local name
	list_boot "" '^vmlinuz' | grep -vE 'rescue|\.(old|bak|hmac|sig|rpmsave|signed)$' >"$work/files" || true
	# A name with a version before one without.
	sed -n 's/^\([^ ]* vmlinuz-\)\([0-9].*\)$/\2\t\1\2/p' "$work/files" | newest >"$work/chosen"
	[ -s "$work/chosen" ] || sed 's/^/0\t/' "$work/files" | head -n 1 >"$work/chosen"
	[ -s "$work/chosen" ] || return 1
	read -r version place name <"$work/chosen"
	options= kernel_name=$name
	# debugfs doesn't follow a link, as SUSE has one that leads there.
	! fs_take "${place%%:*}" "${place#*:}/$name" "$work/vmlinuz" || ! is_kernel "$work/vmlinuz" || return 0
	! fs_take "$root" "/usr/lib/modules/$version/vmlinuz" "$work/kernel" || { mv "$work/kernel" "$work/vmlinuz" && return 0; }
	[ -s "$work/vmlinuz" ] || fail "$source: its kernel $name can't be read, or is too large"
}

choose_modules() {
	fs_list "$root" /usr/lib/modules | grep '^[0-9]' | awk '{ print $0 "\t" $0 }' >"$work/files" || true
	while read -r version name < <(newest <"$work/files") && [ -n "$version" ]; do
		options= kernel_name=/usr/lib/modules/$version/vmlinuz
		! fs_take "$root" "$kernel_name" "$work/vmlinuz" || return 0
		grep -vxF "$version	$version" "$work/files" >"$work/files.new" || true
		mv "$work/files.new" "$work/files"
	done
	return 1
}

choose_uki() {
	local name
	list_boot /EFI/Linux '\.(efi|EFI)$' | grep -v rescue | awk '{ print $2 "\t" $1 " " $2 }' | newest >"$work/chosen" || true
	[ -s "$work/chosen" ] || return 1
	read -r version place name <"$work/chosen"
	kernel_name="the UKI $name"
	fs_take "${place%%:*}" "${place#*:}/EFI/Linux/$name" "$work/uki" || fail "$source: its UKI $name can't be read, or is too large"
	pe_section "$work/uki" .linux "$work/vmlinuz" || fail "$source: its UKI $name has no section .linux that lies in the file"
	! pe_section "$work/uki" .cmdline "$work/cmdline" || options=$(tr '\n' ' ' <"$work/cmdline" | tr -cd '[:print:]' | head -c 4096)
	rm -f "$work/uki"
}

# number FILE OFFSET SIZE : the little-endian number there; 0 behind the end.
number() {
	local value
	value=$(od -An -v -t"u$3" -j "$2" -N "$3" "$1" 2>/dev/null | tr -d ' ')
	echo "${value:-0}"
}
# pe_section FILE NAME TO : the first section of that name (PE/COFF specification, 3 and 4), if all of it lies in the file.
pe_section() {
	local size header count table at length offset i
	size=$(stat -c %s "$1")
	header=$(number "$1" 60 4)
	[ "$(number "$1" 0 2)" -eq $((0x5a4d)) ] && [ "$(number "$1" "$header" 4)" -eq $((0x4550)) ] || return 1
	count=$(number "$1" $((header + 6)) 2)
	table=$((header + 24 + $(number "$1" $((header + 20)) 2)))
	for ((i = 0; i < count && i < 96; i++)); do
		at=$((table + i * 40))
		[ $((at + 40)) -le "$size" ] || return 1
		[ "$(dd if="$1" iflag=skip_bytes,count_bytes skip=$at count=8 status=none | tr -d '\0')" = "$2" ] || continue
		length=$(number "$1" $((at + 8)) 4)
		# What is in the file may be padded, or less than there is in memory, which is zeroes then.
		[ "$length" -le "$(number "$1" $((at + 16)) 4)" ] || length=$(number "$1" $((at + 16)) 4)
		offset=$(number "$1" $((at + 20)) 4)
		[ "$length" -gt 0 ] && [ $((offset + length)) -le "$size" ] || return 1
		dd if="$1" of="$3" bs=1M iflag=skip_bytes,count_bytes skip="$offset" count="$length" status=none
		return
	done
	return 1
}

# Linux, Documentation/arch/x86/boot.rst: the header, and the version that it points to.
is_kernel() { [ "$(number "$1" $((0x202)) 4)" -eq $((0x53726448)) ]; }
kernel_version() {
	dd if="$1" iflag=skip_bytes,count_bytes skip=$((0x200 + $(number "$1" $((0x20e)) 2))) count=256 status=none |
		tr '\0' '\n' | head -n 1 | cut -d' ' -f1 | tr -cd '[:print:]'
}

# What of a command line is for the kernel or for the system, and not for an initrd, a loader or a screen.
kept_options='net.ifnames|biosdevname|selinux|enforcing|security|lsm|apparmor|systemd.unified_cgroup_hierarchy|cgroup_enable|cgroup_disable|swapaccount|psi|audit|ipv6.disable|user_namespace.enable|namespace.unpriv_enable'
keep_options() { tr ' ' '\n' <<<"$options" | grep -xE "($kept_options)=[A-Za-z0-9_.,-]{1,64}" | head -n 16 | sort -u | tr '\n' ' ' || true; }

# follow_subvolume : the root is the subvolume that the command line names, if it is one.
follow_subvolume() {
	local named before=${fs_root[root]}
	[ "${fs_type[root]}" = btrfs ] || return 0
	named=$(tr ' ' '\n' <<<"$options" | sed -nE 's|^rootflags=(.*,)?subvol=/*([^,]+).*|/\2|p' | tail -n 1)
	[ "$named" != "$before" ] && path_is_plain "$named" || return 0
	fs_root[root]=$named
	if fs_is_root "$root"; then
		root_flags=subvol=$named
		step "takes the subvolume that its command line names, $named"
	else
		fs_root[root]=$before
	fi
}

choose_kernel() {
	options=
	find_places
	choose_entry || choose_file || choose_modules || choose_uki ||
		fail "$source: no kernel was found: neither a boot entry (loader/entries/*.conf) nor vmlinuz-* in /boot, nor vmlinuz in /usr/lib/modules/*, nor EFI/Linux/*.efi"
	is_kernel "$work/vmlinuz" || fail "$source: $kernel_name is no kernel for x86-64"
	version=$(kernel_version "$work/vmlinuz")
	[[ $version =~ ^[0-9][A-Za-z0-9._+~-]{0,127}$ ]] || fail "$source: $kernel_name doesn't say its version"
	follow_subvolume
}
