# SPDX-License-Identifier: BSD-2-Clause
# The messages of a move (docs/migration.md), for peers.pl and senders.pl.
package wire;
use strict;
use Exporter "import";
our @EXPORT = qw(%type message take_bytes take_message);
our %type = (HELLO => 1, READY => 2, REFUSE => 3, MEMORY => 4, STATE => 5, LOADED => 6, GO => 7, RUNNING => 8, CANCEL => 9, NETWORK => 10);

my @table = map {
	my $sum = $_;
	$sum = $sum & 1 ? $sum >> 1 ^ 0x82f63b78 : $sum >> 1 for 1 .. 8;
	$sum;
} 0 .. 255;
sub crc32c {
	my $sum = 0xffffffff;
	$sum = $sum >> 8 ^ $table[($sum ^ $_) & 255] for unpack "C*", $_[0];
	return $sum ^ 0xffffffff;
}
sub message {
	my ($type, $payload, $argument, $length) = @_;
	$length = length $payload unless defined $length;
	my $head = pack "VVQ<V", 0x45474d4c, $type, $argument || 0, $length;
	return $head . pack("V", crc32c($head . $payload)) . $payload;
}
# undef: it has ended before
sub take_bytes {
	my ($from, $left) = @_;
	my $bytes = "";
	while (length $bytes < $left) { sysread($from, $bytes, $left - length $bytes, length $bytes) or return undef }
	return $bytes;
}
# (type, argument, payload); none: it has ended
sub take_message {
	my $head = take_bytes($_[0], 24);
	return () unless defined $head;
	my (undef, $type, $argument, $length) = unpack "VVQ<V", $head;
	my $payload = take_bytes($_[0], $length);
	return defined $payload ? ($type, $argument, $payload) : ();
}
1;
