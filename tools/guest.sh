# SPDX-License-Identifier: BSD-2-Clause
# What the scripts share that make guests; sourced, not run. Whoever sources it has fail().

# What reaches disk, network, host and entropy in Debian's kernels, and hears the power button.
guest_modules="virtio_pci virtio_blk virtio_net virtio_console virtio_rng virtio_balloon vmw_vsock_virtio_transport button evdev"
# What mounts a folder that the host shares; loaded only where there is one.
guest_modules_share=virtiofs

# unpack_vmlinux VMLINUZ VMLINUX SCRATCH : the kernel as it is when it is unpacked, which starts sooner.
# The setup header (Documentation/x86/boot.rst) says where the compressed kernel lies: from the
# end of the setup sectors, payload_offset (0x248) bytes on, payload_length (0x24c) long.
unpack_vmlinux() {
	local sectors offset length unpack
	sectors=$(od -An -tu1 -j $((0x1f1)) -N 1 "$1" | tr -d ' ')
	offset=$(od -An -tu4 -j $((0x248)) -N 4 "$1" | tr -d ' ')
	length=$(od -An -tu4 -j $((0x24c)) -N 4 "$1" | tr -d ' ')
	# The last four bytes are the unpacked size, which is no part of the stream.
	tail -c +$(((sectors + 1) * 512 + offset + 1)) "$1" >"$3"
	truncate -s $((length - 4)) "$3"
	case $(od -An -tx1 -N 4 "$3" | tr -d ' ') in
	02214c18) unpack=lz4 ;;
	fd377a58) unpack=xz ;;
	28b52ffd) unpack=zstd ;;
	1f8b*) unpack=gzip ;;
	*) fail "the kernel is compressed in a way that I don't know" ;;
	esac
	$unpack -dc <"$3" >"$2" || fail "$unpack can't unpack the kernel"
}

# add_module NAME FROM TO [BEFORE] : copies the kernel's module, after those that it says it depends on, and
# notes the order in TO/order. A module's name has _ where its file may have -. What is built into the
# kernel needs none, nor what is in BEFORE.
add_module() {
	local path name file
	[[ $1 =~ ^[A-Za-z0-9_-]+$ ]] || fail "a module depends on one with a strange name"
	path=$(find "$2" -regextype posix-extended -regex ".*/${1//_/[-_]}\.ko(\.xz|\.zst|\.gz)?" -print -quit)
	if [ -z "$path" ]; then
		find "$2" -name modules.builtin -exec grep -q "/${1//_/[-_]}\.ko$" {} + ||
			fail "this kernel has no module $1"
		return 0
	fi
	file=$3/$(basename "$path")
	file=${file%.ko*}.ko
	# Half made, it depends on itself: a stranger's may.
	[ ! -e "$file" ] && [ ! -e "$file.part" ] && [ -z "${4-}" -o ! -e "${4-}/${file##*/}" ] || return 0
	# Compressed, it would need its unpacker before there is a system.
	case $path in
	*.xz) xz -dc <"$path" >"$file.part" || fail "xz can't unpack the module $1" ;;
	*.zst) zstd -qdc <"$path" >"$file.part" || fail "zstd can't unpack the module $1" ;;
	*.gz) gzip -dc <"$path" >"$file.part" || fail "gzip can't unpack the module $1" ;;
	*) cp "$path" "$file.part" ;;
	esac
	for name in $(tr '\0' '\n' <"$file.part" | sed -n 's/^depends=//p' | tr ',' ' '); do
		add_module "$name" "$2" "$3" "${4-}"
	done
	mv "$file.part" "$file"
	echo "${file##*/}" >>"$3/order"
}

# add_share_modules FROM TREE : those that mount shared folders, into an initrd that has all the others.
add_share_modules() {
	local name
	mkdir -p "$2/modules-share"
	for name in $guest_modules_share; do
		add_module "$name" "$1" "$2/modules-share" "$2/modules"
	done
}

# add_program FILE TREE [FOLDER] : a program and the libraries that it is linked with, at their places;
# those that are in FOLDER, where packages were unpacked, come from there.
add_program() {
	local file from=${3-} libraries
	libraries=$from/usr/lib/x86_64-linux-gnu:$from/lib/x86_64-linux-gnu
	libraries=$(LD_LIBRARY_PATH=${from:+$libraries} ldd "$from$1") || fail "$1 can't be looked into"
	[[ $libraries != *"not found"* ]] || fail "$1 needs what isn't here: ${libraries%%=> not found*}"
	for file in "$1" $(grep -o '/[^ ]*' <<<"$libraries"); do
		[ -z "$from" ] || file=${file#"$from"}
		[ ! -e "$2$file" ] || continue
		mkdir -p "$2${file%/*}"
		if [ -n "$from" ] && [ -e "$from$file" ]; then cp -L "$from$file" "$2$file"; else cp -L "$file" "$2$file"; fi
	done
}

# pack_tree TREE FILE : the tree as an initrd that is the same whenever it is made of the same files.
pack_tree() {
	find "$1" -exec touch -h -d @"${SOURCE_DATE_EPOCH:-0}" {} +
	(cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible --quiet) >"$2.new"
	mv "$2.new" "$2"
}

# make_root SUITE TAR OPTION... : a Debian root file system as a tar file, by mmdebstrap with these options,
# its messages in TAR.log. The mirror is $mirror. It gets no descriptors of ours: one that it hands to sh has to have
# a single digit.
make_root() {
	local suite=$1 tar=$2 attempt mode
	shift 2
	# auto is root's or a user namespace; the others are for where neither mounts nor namespaces
	# are allowed. The last one is for a mirror that did not answer for a moment.
	for attempt in "--mode=auto" "--mode=auto --skip=chroot/mount" "--mode=fakechroot" again; do
		if [ "$attempt" = again ]; then
			sleep 20
			attempt=--mode=auto
		fi
		read -r -a mode <<<"$attempt"
		PATH=$PATH:/usr/sbin:/sbin mmdebstrap "${mode[@]}" --format=tar "$@" "$suite" "$tar" \
			"deb $mirror $suite main" "deb $mirror $suite-updates main" \
			"deb $mirror-security $suite-security main" >"$tar.log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- && return
		{ grep -aE '^(E|Err|W):' "$tar.log" | head -n 5; tail -n 3 "$tar.log"; } | sed 's/^/    /' >&2
	done
	tail -n 30 "$tar.log" >&2
	fail "mmdebstrap can't make a root file system of $suite"
}

# write_image TAR SIZE LABEL : the ext4 image of a root file system that is in a tar file: TAR with .img for
# .tar. Unpacks and packs under one fakeroot, so that the image has the owners that the tar file says. It
# remembers modes as well, so a file that only root may read is made readable behind its back.
write_image() {
	local tree=${1%.tar} run=(bash -eu -o pipefail -c)
	[ "$(id -u)" -eq 0 ] || run=(fakeroot bash -eu -o pipefail -c)
	mkdir "$tree"
	PATH=$PATH:/usr/sbin:/sbin "${run[@]}" 'tar -C "$1" --numeric-owner -xpf "$1.tar"
		[ "$2" = 0 ] || env -u LD_PRELOAD find "$1" ! -type l ! -perm -400 -exec chmod u+r {} +
		mke2fs -q -t ext4 -L "$4" -m 1 -E lazy_itable_init=0,lazy_journal_init=1 -d "$1" "$1.img" "$3"' \
		image "$tree" "$(id -u)" "$2" "$3" >"$tree.log" 2>&1 ||
		{ tail -n 5 "$tree.log" >&2; fail "mke2fs can't write the image"; }
	chmod -R u+rwX "$tree" && rm -rf "$tree" "$tree.log"
}
