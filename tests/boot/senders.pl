#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# senders.pl LODGE CONTROL PID DISK [SEED] : what a machine says when it moves, which its process PID at CONTROL is asked to do once,
# said wrong, to a `lodge run --incoming` each, in folders of this one. Each must end with one line that says why, or
# go on with the machine where what came is whole; nothing may be left over.
use strict;
use FindBin;
use lib $FindBin::Bin;
use IO::Socket::UNIX;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);
use POSIX ":sys_wait_h";
use Cwd;
use Time::HiRes qw(sleep time);
use wire;
my ($lodge, $control, $source, $disk, $seed) = @ARGV;
$seed = int rand 1e6 unless defined $seed;
srand $seed;
$SIG{PIPE} = "IGNORE";
my $here = getcwd;
my $at_once = 8;

my $gone = qr/the other side has gone: the machine has not come/;
my $nonsense = qr/the other side doesn't speak this protocol: the machine has not come/;
my $silence = qr/the other side doesn't answer: the machine has not come/;
my $cancelled = qr/it was cancelled: the machine has not come/;

# A true stream.
sub record {
	my $listener = IO::Socket::UNIX->new(Listen => 1, Local => "record") or die "record: $!";
	my $mover = fork // die;
	if (!$mover) { open STDERR, ">", "record.err"; exec $lodge, "migrate", $control, "unix:$here/record" or die }
	my $peer = $listener->accept or die;
	my @messages;
	while (my @message = take_message($peer)) {
		push @messages, \@message;
		syswrite $peer, message($type{READY}, "") if $message[0] == $type{HELLO};
		syswrite $peer, message($type{LOADED}, "") if $message[0] == $type{STATE} && !$message[1];
		last if $message[0] == $type{GO};
	}
	close $peer;
	waitpid $mover, 0;
	unlink "record";
	die "no whole move was recorded" unless @messages > 3 && $messages[-1][0] == $type{GO};
	return @messages;
}
my @true = record;
kill TERM => $source;
my @bytes = map { message($_->[0], $_->[2], $_->[1]) } @true;
my $whole = join "", @bytes;
my @named = ("--kernel", "$here/echo", "--disk", "$disk,ro");
my ($state) = grep { $true[$_][0] == $type{STATE} } 0 .. $#true;
my ($memory) = grep { $true[$_][0] == $type{MEMORY} } 0 .. $#true;
sub before { join "", @bytes[0 .. $_[0] - 1] }
# Like message $_[0], with other payload or argument and a sum that is right.
sub other {
	my ($index, %with) = @_;
	return message($true[$index][0], $with{payload} // $true[$index][2], $with{argument} // $true[$index][1]);
}
sub with { my ($index, $bytes) = @_; before($index) . $bytes . join "", @bytes[$index + 1 .. $#bytes] }
sub flipped {
	my ($bytes, $from, $to, $bits) = @_;
	for (1 .. $bits) {
		my $bit = int rand(8 * ($to - $from));
		substr($bytes, $from + $bit / 8, 1) ^= chr(1 << $bit % 8);
	}
	return $bytes;
}

# An incoming lodge in a folder of its own.
my ($port, $pid, $err);
sub start_lodge {
	my ($name, $address, @options) = @_;
	mkdir $name;
	chdir $name or die "$name: $!";
	$pid = fork // die;
	if (!$pid) {
		open STDIN, "<", "/dev/null";
		open STDOUT, ">", "out";
		open STDERR, ">>", "err";
		exec $lodge, "run", "--engine", "translate", "--console", "none", "--incoming", $address, @options or die;
	}
}
sub said { open my $file, "<", "err" or return ""; local $/; my $text = <$file>; return $text // "" }
sub connect_to {
	my ($address) = @_;
	for (1 .. 400) {
		my $socket = $address =~ /^unix:(.*)/ ? IO::Socket::UNIX->new($1) : IO::Socket::INET->new($address);
		return $socket if $socket;
		sleep 0.02;
	}
	die "nothing listens at $address\n";
}
# Until it has ended, or says RUNNING, which is true then.
sub hear_end {
	my ($socket) = @_;
	while (my ($type) = take_message($socket)) { return 1 if $type == $type{RUNNING} }
	return 0;
}
sub wait_until { # true; what it is then
	for (1 .. 500) { return if $_[0]->(); sleep 0.02 }
	die "isn't $_[1], says " . said . "\n";
}
sub refusals { my @all = said =~ /: a peer was refused: /g; return @all }
# Its status, or undef when it runs: then it is ended.
sub end_lodge {
	my $ended = waitpid $pid, WNOHANG;
	if (!$ended) {
		kill TERM => $pid;
		waitpid $pid, 0;
	}
	die "status $?: " . said if $? & 127 && ($ended || ($? & 127) != POSIX::SIGTERM());
	return $ended ? $? >> 8 : undef;
}
sub clean_end {
	my ($waits) = @_;
	die "says " . said if said =~ /Sanitizer|runtime error|Assertion/;
	my @left = grep { !/^(?:\.\.?|out|err)$/ && !($waits && $_ eq "incoming") } do { opendir my $folder, "." or die; readdir $folder };
	die "@left left over\n" if @left;
}

# A case: a name, the words by which it ends (undef: the machine comes), and whoever is the peer; either: it may come all the same.
my @cases;
my $some = qr/^lodge: --incoming /;
sub add { my ($name, $words, $play, %more) = @_; push @cases, {name => $name, words => $words, play => $play, %more} }
sub sends { my ($bytes) = @_; return sub { syswrite $_[0], $bytes; shutdown $_[0], 1 } }
sub try {
	my ($case) = @_;
	my $address = $case->{tcp} ? "127.0.0.1:" . (20000 + $$ % 12000) : "unix:incoming";
	my $taken = qr/the other side has ended, and leaves the machine to this one/;
	alarm 60;
	$SIG{ALRM} = sub { kill KILL => $pid; die "hangs\n" };
	start_lodge($case->{name}, $address, @{$case->{options} // []});
	my $socket = connect_to($address);
	my $began = time;
	my $ran = $case->{play}($socket, $address) eq "ran" || hear_end($socket);
	close $socket;
	die "the machine has come\n" if $ran && $case->{words} && !$case->{either};
	if ($ran || !$case->{words}) {
		wait_until(sub { said =~ $taken }, "there") unless $ran;
		sleep 0.1;
		my $status = end_lodge;
		die "ends with $status, says " . said if defined $status && !$case->{words};
	} else {
		my ($ended, $status);
		for (1 .. 1500) {
			$ended = waitpid $pid, WNOHANG and last;
			last if $case->{either} && (said =~ $taken || refusals);
			sleep 0.02;
		}
		$status = $?;
		if (!$ended) {
			end_lodge;
			die "doesn't end, says " . said if !$case->{either};
		} else {
			die "status $status, says " . said if $status & 127;
			die "ends with @{[$status >> 8]}, says " . said if said !~ $taken && ($status >> 8 < 64 || $status >> 8 > 78);
			die "says " . said . " and not $case->{words}\n"
				if said !~ $taken && ((my $lines = said) =~ tr/\n// != 1 || said !~ $case->{words} || said =~ /[^\n -~]/);
		}
	}
	die sprintf("took %.1f s\n", time - $began) if time - $began > ($case->{seconds} // 8) + $ENV{SLOWER};
	# Who is refused leaves one behind that waits for the next, and is killed here.
	clean_end($case->{either} && refusals);
}

# Silence, first, for it takes longest.
add("silent-behind-loaded", $silence, sub { syswrite $_[0], before($#bytes) }, seconds => 24);
add("silent-behind-hello", $silence, sub { syswrite $_[0], $bytes[0] }, seconds => 14);
add("silent-in-memory", $silence, sub { syswrite $_[0], before($memory) . substr($bytes[$memory], 0, 50) }, seconds => 16);
add("trickles-memory", $silence, sub {
	my ($socket) = @_;
	syswrite $socket, before($memory);
	for (split //, $bytes[$memory]) { syswrite $socket, $_ or last; sleep 0.2 }
}, seconds => 16);

# Who has no machine to give isn't the last who may try. At the end of each: who has.
my @greetings = ("", "HTTP/1.0 200 OK\r\n\r\nHello, and much more than 24 bytes of it", join("", map { chr rand 256 } 1 .. 4096),
	substr($bytes[0], 0, 10), substr($bytes[0], 0, 24), substr($bytes[0], 0, 40), flipped($bytes[0], 24, length $bytes[0], 1),
	flipped($bytes[0], 0, 4, 1), message($type{HELLO}, "", 1, 0xffffffff), message($type{HELLO}, "", 1, (1 << 20) + 1),
	message($type{HELLO}, "", 1, 1 << 20), other(0, argument => 2), other(0, argument => ~0), other(0, payload => ""));
push @greetings, map { message($_, "", 0) } 0, 2 .. 11, 99, 0xffffffff;
push @greetings, map { other(0, payload => substr($true[0][2], 0, int rand length $true[0][2])) } 1 .. 5;
push @greetings, other(0, payload => $true[0][2] . "x"), other(0, payload => join("", map { chr rand 256 } 1 .. 2000));
push @greetings, other(0, payload => "\xff" x 2000);
for my $tcp (0, 1) {
	add($tcp ? "greetings-by-tcp" : "greetings", undef, sub {
		my ($socket, $address) = @_;
		for my $number (0 .. $#greetings) {
			syswrite $socket, $greetings[$number];
			shutdown $socket, 1;
			1 while sysread $socket, my $answer, 4096;
			wait_until(sub { refusals > $number }, "refused: greeting $number");
			$socket = connect_to($address);
		}
		# One that is silent, one that has begun and never ends, and one behind them.
		my $second = connect_to($address) if !$tcp;
		wait_until(sub { refusals > @greetings }, "refused: silence");
		if ($second) {
			my $third = connect_to($address);
			syswrite $second, substr($bytes[0], 0, 30);
			wait_until(sub { refusals > 1 + @greetings }, "refused: half a message");
			$socket = $third;
		} else {
			$socket = connect_to($address);
		}
		die "says " . said if said =~ /[^\n -~]/ || grep { !/^lodge: --incoming \S+: a peer was refused: / } split /\n/, said;
		syswrite $socket, $whole;
		hear_end($socket) or die "the right one isn't taken\n";
		return "ran";
	}, seconds => 20, tcp => $tcp, options => $tcp ? \@named : []);
}

# The end of the stream at each message, and in each. Behind LOADED it is the end of a process that had given the machine away.
for my $index (0 .. $#bytes) {
	my $name = "$index-of-type-$true[$index][0]";
	my $given = $index == $#bytes;
	add("ends-in-head-$name", $given ? undef : $gone, sends(before($index) . substr($bytes[$index], 0, 1 + int rand 23))) if $index;
	add("ends-in-payload-$name", $gone, sends(before($index) . substr($bytes[$index], 0, -1))) if $index && length $bytes[$index] > 24;
	add("ends-behind-$name", $index < $state ? $gone : undef, sends(before($index + 1))) unless $given;
	# Bits that are wrong, as its sum tells; not in the length, which is what is waited for then.
	add("wrong-head-$name", $nonsense, sends(before($index) . flipped($bytes[$index], 0, 16, 1) . join "", @bytes[$index + 1 .. $#bytes])) if $index;
	add("wrong-payload-$name", $nonsense, sends(with($index, flipped($bytes[$index], 20, length $bytes[$index], 3)))) if $index;
	add("wrong-length-$name", qr/the other side (?:has gone|doesn't speak this protocol): the/,
		sends(with($index, flipped($bytes[$index], 16, 20, 1))), either => $given) if $index;
	add("cancel-behind-$name", $cancelled, sends(before($index + 1) . message($type{CANCEL}, ""))) unless $given;
	# What isn't said there.
	for my $other (0, $type{HELLO}, $type{READY}, $type{REFUSE}, $type{LOADED}, $type{RUNNING}, $type{NETWORK}, 11, 0xffffffff) {
		add("type-$other-behind-$name", $nonsense, sends(before($index + 1) . message($other, "", 0)))
			if !$given && ($index == 0 || $index >= $state - 1);
	}
}
add("go-behind-hello", $nonsense, sends($bytes[0] . $bytes[-1]));
add("memory-behind-state", $nonsense, sends(before($state + 1) . $bytes[$memory]));
add("state-behind-state", $nonsense, sends(before($state + 1) . $bytes[$state]));
add("random-behind-hello", $nonsense, sends($bytes[0] . join "", map { chr rand 256 } 1 .. 5000));

# Lengths, offsets and masks that are absurd, by sums that are right.
for my $kind ($type{MEMORY}, $type{STATE}, $type{GO}) {
	for my $length (0xffffffff, 0x80000000, (1 << 20) + 1) {
		add("length-$length-of-type-$kind", $nonsense, sends(before($kind == $type{GO} ? $#bytes : 1) . message($kind, "", 0, $length)));
	}
}
my $chunk = pack("vv", 1, 1) . "x" x 4096;
my %chunks = ("behind-memory" => [8 << 20, $chunk], "at-the-end" => [~0xffff, $chunk], "unaligned" => [4096, $chunk], "negative" => [1 << 63, $chunk],
	"empty" => [0, ""], "no-masks" => [0, "abc"], "not-meant" => [0, pack("vv", 1, 2) . "x" x 4096], "too-short" => [0, pack("vv", 3, 3) . "x" x 4096],
	"too-long" => [0, pack("vv", 1, 0) . "x" x 4096], "much-too-long" => [0, pack("vv", 1, 1) . "x" x ((1 << 20) - 4)]);
add("chunk-$_", $nonsense, sends($bytes[0] . message($type{MEMORY}, $chunks{$_}[1], $chunks{$_}[0]))) for keys %chunks;
add("memory-without-end", qr/sends memory without end: the machine has not come/, sub {
	my $zeros = message($type{MEMORY}, pack("vv", 0xffff, 0), 0) x 1000;
	syswrite $_[0], $bytes[0];
	1 while syswrite $_[0], $zeros;
});
add("state-argument-$_", $nonsense, sends(before($state) . other($state, argument => $_))) for 1, 1 << 20, 1 << 28, 1 << 63, ~0;
add("state-empty", $some, sends(before($state) . other($state, payload => "") . $bytes[-1]));
add("state-more", $some, sends(with($state, other($state, payload => $true[$state][2] . "x"))));
add("state-short-$_", $some, sends(with($state, other($state, payload => substr($true[$state][2], 0, int rand length $true[$state][2]))))) for 1 .. 4;
add("state-random", $some, sends(with($state, other($state, payload => join "", map { chr rand 256 } 1 .. 5000))));

# Bits that are wrong by a sum that is right: refused, or it is the machine's own fault what it does then.
for my $round (1 .. $ENV{ROUNDS} || 4) {
	for my $index (0, $memory, $state) {
		my $payload = $true[$index][2];
		for my $bits (1, 8) {
			add("flips-$bits-of-type-$true[$index][0]-$round", $some,
				sends(with($index, other($index, payload => flipped($payload, 0, length $payload, $bits)))), either => 1);
		}
		my $at = 4 * int rand(length($payload) / 4);
		substr($payload, $at, 4) = ("\xff" x 4, "\0" x 4, "\x7f\xff\xff\xff", "\0\0\0\x80")[rand 4];
		add("word-at-$at-of-type-$true[$index][0]-$round", $some, sends(with($index, other($index, payload => $payload))), either => 1);
	}
}

# Over TCP a peer is a stranger: files aren't its to name, and a reset is no end.
add("tcp-names-files", qr/has not saved it on this host, and it names files/, sends($whole), tcp => 1);
add("tcp-reset", $gone, sub {
	my ($socket) = @_;
	syswrite $socket, before($#bytes);
	while (my ($type) = take_message($socket)) { last if $type == $type{LOADED} }
	setsockopt $socket, SOL_SOCKET, SO_LINGER, pack("ii", 1, 0);
	close $socket;
	return "";
}, tcp => 1, options => \@named);

# Descriptors that nobody has asked for are not kept.
sub send_with_files {
	my ($socket, $bytes, @files) = @_;
	my $piece = pack "PQ", $bytes, length $bytes;
	my $control = pack "Qll l*", 16 + 4 * @files, 1, 1, @files;
	$control .= "\0" x (-length($control) % 8);
	my $header = pack "QLx4PQPQlx4", 0, 0, $piece, 1, $control, 16 + 4 * @files, 0;
	syscall(46, fileno $socket, $header, 0) == length $bytes or die "sendmsg: $!"; # sendmsg(2)
}
add("descriptors-of-no-network", $nonsense, sub {
	my ($socket) = @_;
	syswrite $socket, before($state);
	send_with_files($socket, message($type{NETWORK}, ""), 0, 1);
	shutdown $socket, 1;
});
add("descriptors-with-all", undef, sub {
	my ($socket) = @_;
	pipe my $read, my $write or die;
	send_with_files($socket, $_, (fileno $write) x 2) for @bytes;
	close $write;
	hear_end($socket) or die "hasn't come, says " . said;
	vec(my $ready = "", fileno $read, 1) = 1;
	select($ready, undef, undef, 5) or die "has kept descriptors\n";
	return "ran";
});

# While one is under way there is no second; and once it has failed, the next lodge at that address takes one.
for my $tcp (0, 1) {
	my @options = $tcp ? @named : ();
	add("second" . "-by-tcp" x $tcp, undef, sub {
		my ($socket, $address) = @_;
		syswrite $socket, $bytes[0];
		my ($type) = take_message($socket) or die "isn't ready: " . said;
		my $second = $tcp ? IO::Socket::INET->new($address) : IO::Socket::UNIX->new("incoming");
		die "a second one is heard\n" if $second;
		sends(join "", @bytes[1 .. $#bytes])->($socket);
		return "";
	}, tcp => $tcp, options => \@options);
	add("next" . "-by-tcp" x $tcp, undef, sub {
		my ($socket, $address) = @_;
		syswrite $socket, before($state) . "nonsense" x 10;
		hear_end($socket) and die "has come\n";
		waitpid $pid, 0;
		unlink "err";
		chdir "..";
		start_lodge("next" . "-by-tcp" x $tcp, $address, @options);
		my $next = connect_to($address);
		sends($whole)->($next);
		hear_end($next) or die "the next doesn't come: " . said;
		return "ran";
	}, tcp => $tcp, options => \@options);
}
add("right", undef, sends($whole));

# All of them, some at once; those that begin first take longest.
my (%child, @failed);
my $ran = 0;
my $only = $ENV{ONLY} // "";
sub reap {
	my $done = wait;
	my $case = delete $child{$done} or return;
	push @failed, $case->{name} if $?;
}
for my $case (grep { $_->{name} =~ /$only/ } @cases) {
	reap while keys %child >= $at_once;
	my $child = fork // die;
	if (!$child) {
		eval { try($case); 1 } and POSIX::_exit(0);
		print STDERR "$case->{name}: $@\n";
		POSIX::_exit(1);
	}
	$child{$child} = $case;
	$ran++;
}
reap while %child;
print "seed $seed\n" if @failed;
print "$ran ways, ", scalar @failed, " failed\n";
exit(@failed > 0);
