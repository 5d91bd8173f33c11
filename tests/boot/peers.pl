#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# peers.pl WAY SOCKET [DISK] : a process at SOCKET to which a machine is to move, and that does it wrong
# (docs/migration.md has the protocol). It ends when the other side has hung up; but one that keeps the machine's disk
# doesn't.
use strict;
use FindBin;
use lib $FindBin::Bin;
use IO::Socket::UNIX;
use wire;
my ($way, $path, $disk) = @ARGV;
$SIG{PIPE} = "IGNORE";

# Whoever sees it can connect.
my $listener = IO::Socket::UNIX->new(Listen => 1, Local => "$path.new") or die "$path: $!";
rename "$path.new", $path or die "$path: $!";
my $peer = $listener->accept or die;
sub take { defined take_bytes($peer, $_[0]) or exit }
sub hear { # until a message of this type
	while (1) {
		my ($type) = take_message($peer) or exit;
		return if $type == $type{$_[0]};
	}
}
sub say_ { syswrite $peer, message($type{$_[0]}, "") }
# As one that has opened it; the lock is an open file's (F_OFD_SETLK), and whole.
my $held;
sub take_disk {
	open $held, "+<", $disk or die "$disk: $!";
	my $lock = pack("s s x4 q q i x4", 1, 0, 0, 0, 0);
	fcntl $held, 37, $lock or die "it is locked: $!";
}
sub until_end { 1 while sysread $peer, my $bytes, 65536 }

exit if $way eq "gone-at-once";
until_end if $way eq "silent";
hear "HELLO";
exit if $way eq "gone-after-hello";
if ($way eq "trickle") {
	for (split //, message($type{READY}, "")) { syswrite $peer, $_ or last; sleep 1 }
	until_end;
}
if ($way eq "absurd-size") { syswrite $peer, message($type{READY}, "", 0, 0xffffffff); until_end }
if ($way eq "large-size") { syswrite $peer, message($type{READY}, "", 0, 1 << 20); until_end }
if ($way eq "wrong-sum") { my $bytes = message($type{READY}, "x"); substr($bytes, 24, 1) = "y"; syswrite $peer, $bytes; until_end }
if ($way eq "out-of-turn") { say_ "RUNNING"; until_end }
if ($way eq "refuses") { syswrite $peer, message($type{REFUSE}, "no\e[2J\n" . "x" x 100000); until_end }
say_ "READY";
exit if $way eq "gone-after-ready";
if ($way eq "gone-in-memory") { take(24 + 100); exit }
if ($way eq "reads-nothing") { sleep 60 }
hear "STATE";
exit if $way eq "gone-after-state";
until_end if $way eq "never-loaded";
if ($way eq "refuses-late") { syswrite $peer, message($type{REFUSE}, "no disk"); until_end }
if ($way eq "late-disk") {
	take_disk;
	syswrite $peer, message($type{REFUSE}, "wait");
	hear "CANCEL";
	select undef, undef, undef, 0.5;
	exit;
}
if ($way eq "keeps-disk") { take_disk; sleep 60 }
say_ "LOADED";
exit if $way eq "gone-after-loaded";
hear "GO";
exit if $way eq "gone-after-go";
# never-runs
sleep 60;
