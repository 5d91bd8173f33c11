# SPDX-License-Identifier: BSD-2-Clause
# Makes disks like those of cloud images, without root; sourced by tests. Whoever sources it has fail() and $work.
PATH=$PATH:/usr/sbin:/sbin

disk_tools() { tool_missing debugfs fakeroot mkfs.xfs mkfs.btrfs mkfs.vfat mcopy sfdisk grub-fstest; }
tool_missing() {
	local tool
	for tool in "$@"; do command -v "$tool" >/dev/null || echo "$tool"; done
}

# tree_of IMAGE TREE : what is in an ext4 image, with its owners, which are kept in TREE.owners.
tree_of() {
	mkdir -p "$2"
	fakeroot -s "$2.owners" debugfs -R "rdump / \"$2\"" "$1" >/dev/null 2>&1
	rmdir "$2/lost+found" 2>/dev/null
	[ -e "$2/etc/os-release" ] || fail "debugfs can't read $1"
}
as_owner() {
	local tree=$1
	shift
	[ -e "$tree.owners" ] || : >"$tree.owners"
	fakeroot -i "$tree.owners" "$@"
}
# xfs_of TREE IMAGE SIZE
xfs_of() {
	as_owner "$1" find "$1" -mindepth 1 -printf '%d\t%y\t%m\t%U %G\t%f\t%p\t%l\n' | awk -F'\t' '
		function mode(m) { m = sprintf("%04d", m); s = substr(m, 1, 1); return (s >= 4 ? "u" : "-") (s % 4 >= 2 ? "g" : "-") substr(m, 2) }
		BEGIN { print "/\n0 0\nd--755 0 0" }
		{ while (open > $1 - 1) { print "$"; open-- } }
		$2 == "d" { print $5, "d" mode($3), $4; open++ }
		$2 == "f" { print $5, "-" mode($3), $4, $6 }
		$2 == "l" { print $5, "l" mode($3), $4, $7 }
		END { while (open-- > 0) print "$"; print "$" }' >"$2.proto"
	truncate -s "$3" "$2"
	mkfs.xfs -q -f -p "$2.proto" "$2" >"$2.log" 2>&1 || fail "mkfs.xfs: $(tail -n 3 "$2.log")"
	rm "$2.proto" "$2.log"
}
# btrfs_of TREE IMAGE SIZE
btrfs_of() {
	truncate -s "$3" "$2"
	as_owner "$1" mkfs.btrfs -q -f --rootdir "$1" "$2" >"$2.log" 2>&1 || fail "mkfs.btrfs: $(tail -n 3 "$2.log")"
	rm "$2.log"
}
# ext4_of TREE IMAGE SIZE
ext4_of() { rm -f "$2" && as_owner "$1" mke2fs -q -t ext4 -d "$1" "$2" "$3" >/dev/null || fail "mke2fs"; }
# vfat_of TREE IMAGE SIZE
vfat_of() {
	truncate -s "$3" "$2"
	mkfs.vfat "$2" >/dev/null && mcopy -s -i "$2" "$1"/* :: || fail "mkfs.vfat or mcopy"
}
# disk_of DISK IMAGE... : a disk with a GPT, and each in a partition of its own, from 1 on.
disk_of() {
	local disk=$1 image at=2048 sectors table=
	shift
	for image in "$@"; do
		sectors=$((($(stat -c %s "$image") + 511) / 512))
		table+="start=$at, size=$sectors"$'\n'
		at=$(((at + sectors + 2047) / 2048 * 2048))
	done
	rm -f "$disk"
	truncate -s $(((at + 2048) * 512)) "$disk"
	printf 'label: gpt\n%s' "$table" | sfdisk -q "$disk" || fail "sfdisk"
	at=2048
	for image in "$@"; do
		dd if="$image" of="$disk" bs=1M seek=$((at / 2048)) conv=notrunc,sparse status=none
		at=$(((at + ($(stat -c %s "$image") + 511) / 512 + 2047) / 2048 * 2048))
	done
}

little() { for i in 0 8 16 24; do printf "\\x$(printf %02x $(($1 >> i & 255)))"; done; }
# uki_of FILE NAME=CONTENTS... : a PE file with these sections, and nothing that would run (PE/COFF specification, 3 and 4).
# An entry NAME=CONTENTS:LENGTH says another length than the file has.
uki_of() {
	local uki=$1 entry file length at=4096 claim
	shift
	{
		printf 'MZ%58s' '' | tr ' ' '\0'
		little 64
		printf 'PE\0\0\x64\x86'
		printf "\\x$(printf %02x $#)\\0"
		printf '%16s' '' | tr ' ' '\0'
		for entry in "$@"; do
			file=${entry#*=} claim=
			[[ $file != *:* ]] || { claim=${file##*:} && file=${file%:*}; }
			length=$(stat -c %s "$file")
			printf '%-8s' "${entry%%=*}" | tr ' ' '\0'
			little "${claim:-$length}"
			little 0
			little "${claim:-$length}"
			little $at
			printf '%16s' '' | tr ' ' '\0'
			at=$(((at + length + 511) / 512 * 512))
		done
	} >"$uki"
	at=4096
	for entry in "$@"; do
		file=${entry#*=}
		file=${file%:*}
		dd if="$file" of="$uki" bs=512 seek=$((at / 512)) conv=notrunc status=none
		at=$(((at + $(stat -c %s "$file") + 511) / 512 * 512))
	done
}
