# SPDX-License-Identifier: BSD-2-Clause
# Reads files out of the file systems on a disk, without root and mounts; sourced by import-image, not run. Whoever
# sources it has fail(), the program $confine, a folder $work, and the disk, raw, as $work/disk; absolute paths.
#
# The disk is a stranger's, and so is every name on it. Files are written to names of ours alone; a name of the disk is
# an argument of these functions only when it has been matched (name_is_plain, path_is_plain). Readers are programs that may have
# faults, so they run by confined. Why these: docs/decisions/0040-reading-strangers-disks.md.

# In each line: NUMBER of the partition, or - for the whole disk; its file system, by its first bytes; where its reader
# finds it; the folder of it that is /, which is not "" in a subvolume of btrfs.
fs_part=() fs_type=() fs_device=() fs_root=()

file_limit=$((512 << 10)) # KiB: the largest file that is taken
reader_limit=60		  # seconds
grub_fstest=$(command -v grub-fstest || command -v grub2-fstest || true)

name_is_plain() { [[ $1 =~ ^[A-Za-z0-9_][A-Za-z0-9._+~@,^-]*$ && ${#1} -le 255 ]]; }
# Absolute, without . and .., and without what means something to debugfs or grub-fstest.
path_is_plain() { [[ $1 =~ ^(/[A-Za-z0-9_.@][A-Za-z0-9._+~@,^-]*)+$ && ! $1/ =~ /\.\.?/ && ${#1} -le 1024 ]]; }

# confined KIB FILE PROGRAM... : the program, which can open that file of all (or none: -), in the sandbox of confine
# (src/confine), with no file that it writes larger than KIB, no core, 2 GiB of memory, a minute. What hangs or crashes
# once is run no more: why is in $work/trouble then, which fail() says.
confined() {
	local status=0
	[ ! -e "$work/trouble" ] || return 1
	(ulimit -c 0 -v $((2 << 20)) -f "$1" && exec timeout -k 1 $reader_limit "$confine" "${@:2}") || status=$?
	case $status in
	124 | 137) echo "${3##*/} had to be ended after $reader_limit s: the file systems on the disk may be damaged" >"$work/trouble" ;;
	125) echo "$3 can't be run in the sandbox: lodge's $confine is missing, or refused" >"$work/trouble" ;;
	132 | 134 | 135 | 136 | 139 | 159) echo "${3##*/} crashed (signal $((status - 128))): the file systems on the disk may be damaged" >"$work/trouble" ;;
	esac
	return $status
}

# fs_find : what is on the disk.
fs_find() {
	local number start sectors scheme
	fs_add - 0 "$(($(stat -c %s "$work/disk") / 512))" ""
	while read -r number start sectors scheme; do
		[[ $number =~ ^[0-9]{1,3}$ && $start =~ ^[0-9]{1,15}$ && $sectors =~ ^[0-9]{1,15}$ ]] || continue
		case $scheme in gpt) ;; dos) scheme=msdos ;; *) continue ;; esac
		fs_add "$number" "$start" "$sectors" ",$scheme$number"
	done < <(confined 0 "$work/disk" partx -g -r -o NR,START,SECTORS,SCHEME "$work/disk" 2>/dev/null | head -n 128)
}
fs_add() {
	local type at=$(($2 * 512))
	type=$(confined 0 "$work/disk" blkid -p -O $at -S $(($3 * 512)) -o value -s TYPE "$work/disk" 2>/dev/null | tr -cd 'A-Za-z0-9_') || true
	[ -n "$type" ] || return 0
	fs_part+=("$1") fs_type+=("$type") fs_root+=("")
	case $type in
	ext2 | ext3 | ext4) fs_device+=("$work/disk?offset=$at") ;;
	*) fs_device+=("(loop0$4)") ;;
	esac
}
# fs_reads FS : whether it can be read here.
fs_reads() {
	case ${fs_type[$1]} in
	ext2 | ext3 | ext4) return 0 ;;
	xfs | btrfs | vfat) [ -n "$grub_fstest" ] ;;
	*) return 1 ;;
	esac
}
# fs_describe : what was found, in words.
fs_describe() {
	local i text=
	for i in "${!fs_type[@]}"; do
		text+="${text:+, }${fs_type[i]}$([ "${fs_part[i]}" = - ] || echo " on partition ${fs_part[i]}")"
	done
	echo "${text:-no file system}"
}

# fs_missing : what to install, if it is that.
fs_missing() {
	[ -n "$grub_fstest" ] || ! [[ " ${fs_type[*]} " =~ " "(xfs|btrfs)" " ]] ||
		echo ", which grub-fstest would read: install grub-common"
}

# fs_read FS PATH KIB : the file, to standard output. What is wrong with it isn't said, and debugfs ends with 0 always.
fs_read() {
	path_is_plain "${fs_root[$1]}$2" && fs_reads "$1" || return 1
	case ${fs_type[$1]} in
	ext?) confined "$3" "$work/disk" debugfs -R "cat \"$2\"" "${fs_device[$1]}" ;;
	*) confined "$3" "$work/disk" "$grub_fstest" "$work/disk" cat "${fs_device[$1]}${fs_root[$1]}$2" ;;
	esac 2>/dev/null </dev/null
}
# fs_take FS PATH FILE [KIB] : the file as FILE; it isn't empty, and all of it.
fs_take() {
	local limit=${4:-$file_limit}
	fs_read "$1" "$2" "$limit" >"$3" && [ -s "$3" ] && [ "$(stat -c %s "$3")" -lt $((limit * 1024)) ] ||
		{ rm -f "$3" && return 1; }
}
# fs_list FS FOLDER : the plain ones of the names in it, a line each.
fs_list() {
	local name
	[ -z "${fs_root[$1]}$2" ] || path_is_plain "${fs_root[$1]}$2" || return 0
	fs_reads "$1" || return 0
	case ${fs_type[$1]} in
	ext?) confined 1024 "$work/disk" debugfs -R "ls -p \"$2/\"" "${fs_device[$1]}" 2>/dev/null | cut -d/ -f6 ;;
	*) confined 1024 "$work/disk" "$grub_fstest" "$work/disk" ls "${fs_device[$1]}${fs_root[$1]}$2/" 2>/dev/null | tr ' ' '\n' | sed 's|/$||' ;;
	esac </dev/null | head -n 4096 | grep -aE '^[A-Za-z0-9_][A-Za-z0-9._+~@,^-]{0,254}$' || true
}
# fs_has FS FOLDER PATTERN : whether there is a name in it that is one of these.
fs_has() { fs_list "$1" "$2" | grep -qxE -- "$3"; }

# fs_is_root FS : whether it is a system's root, in fs_root; its os-release is $work/release then.
fs_is_root() {
	local path
	for path in /etc/os-release /usr/lib/os-release; do
		! fs_take "$1" $path "$work/release" 1024 || ! grep -aq '^ID=' "$work/release" || return 0
	done
	return 1
}
# btrfs_folders FS : the subvolumes that may be a root. As Fedora, Ubuntu and Arch, and Debian name it; SUSE's first
# one, which is mounted there when none is named; and what else lies at the top.
btrfs_folders() {
	printf '%s\n' "" root @ @rootfs @/.snapshots/1/snapshot
	fs_list "$1" "" | head -n 64
}
# fs_find_root : the first that is one: $root, and $root_flags that it has to be mounted with.
fs_find_root() {
	local i folder
	for i in "${!fs_type[@]}"; do
		root=$i root_flags=
		[ "${fs_type[i]}" = btrfs ] || { fs_is_root "$i" && return 0 || continue; }
		while read -r folder; do
			fs_root[i]=${folder:+/$folder} root_flags=subvol=/$folder
			! fs_is_root "$i" || return 0
		done < <(btrfs_folders "$i")
		fs_root[i]=
	done
	root=
	return 1
}
