# SPDX-License-Identifier: BSD-2-Clause
# Kernels of a few bytes, for tests/manage/run: multiboot, header with addresses, code at 0x100020.

bytes() { printf "$(printf '\\x%s' "$@")"; }
le32() { bytes $(printf '%02x %02x %02x %02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255))); }
header() {
	le32 $((0x1badb002)) && le32 $((0x10000)) && le32 $((0x100000000 - 0x1badb002 - 0x10000))
	le32 $((0x100000)) && le32 $((0x100000)) && le32 0 && le32 0 && le32 $((0x100020))
}
# Halts for ever.
{ header && bytes fa f4 eb fd; } >idle
# Writes 5 to port 0xf4, which ends a machine with test devices.
{ header && bytes b0 05 e6 f4 fa f4 eb fd; } >tiny
# Writes a text to COM1, then all that it reads from there.
{
	header && bytes be 42 00 10 00 66 ba f8 03 ac 84 c0 74 03 ee eb f8
	bytes 66 ba fd 03 ec a8 01 74 fb 66 ba f8 03 ec ee eb ef
	printf 'echo at your service\n\0'
} >echo
# Loads a null IDT and runs into a fault: triple fault.
{ header && bytes 0f 01 1d 40 00 10 00 0f 0b && head -c 32 /dev/zero; } >faults
