# SPDX-License-Identifier: BSD-2-Clause
# What is given is odd, but somebody gives it: sizes, lists, names, clocks; and what a file system can't promise.
# For tests/manage/run.

[ -e base.qcow2 ] || "$lodge" image create base.qcow2 64M || bad "no base disk"

# A disk is no smaller than its image's.
for size in 0 1000 1M 65535K; do
	expect 64 "--disk-size $size" create $tiny idle --image ./base.qcow2 --disk-size $size sized
done
expect 66 "there is no machine sized" info sized
for size in 64M 67109376; do
	expect 0 "" create $tiny idle --image ./base.qcow2 --disk-size $size sized
	expect 0 "" rm sized
done
