/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager_fixture.h"

#define TWO                                                                                        \
	"[machine web]\nkernel = k\ninitrd = i\ndisk = d\nnet = lan\ncpus = 2\nmemory = 64M\n"     \
	"[machine db]\nkernel = k\nnet = lan\nweight = 50\n"

static uint32_t requests(const char *name)
{
	return atomic_exchange(&fixture_channel(name)->requests, 0);
}

TEST(machines_start_as_the_file_says)
{
	const struct fixture_process *web;
	const struct channel *channel;

	fixture_begin(TWO "[machine later]\nkernel = k\nstart = no\n");
	EXPECT_SHOWN("web: started\r\n");
	EXPECT_SHOWN("db: started\r\n");
	EXPECT_NOT_SHOWN("later");
	EXPECT_SHOWN("lodge> ");
	web = fixture_of("web");
	channel = fixture_channel("web");
	EXPECT_EQ(web->config.guest_memory, 64u << 20);
	EXPECT_EQ(web->config.vcpus, 2);
	EXPECT_EQ(web->config.modules, 0xe); /* k, i and d, behind `machines` */
	EXPECT_EQ(web->config.switch_number, 1);
	EXPECT_EQ(web->set.start, 1);
	EXPECT_EQ(web->set.weight, 100);
	EXPECT_EQ(web->set.processors, 3);
	EXPECT_EQ(channel->kernel, 1);
	EXPECT_EQ(channel->initrd, 2);
	EXPECT_EQ(channel->disk[0], 3);
	EXPECT_EQ(channel->disk[1], -1);
	EXPECT_STR(channel->config.name, "web");
	EXPECT(bytes_equal(channel->mac, web->config.mac, 6) && channel->mac[0] == 0x52);
	EXPECT(!bytes_equal(web->config.mac, fixture_of("db")->config.mac, 6));
	EXPECT_EQ(fixture_of("db")->config.switch_number, 1);
	EXPECT_EQ(fixture_of("db")->config.modules, 2);
	EXPECT_EQ(fixture_channel("db")->initrd, -1);
}

TEST(a_wrong_file_is_told_by_line_and_the_prompt_comes)
{
	fixture_begin("[machine web]\nkernle = k\n");
	EXPECT_SHOWN("machines: line 2: there is no key kernle: did you mean kernel?\r\n");
	fixture_command("list");
	EXPECT_SHOWN("there are no machines");
}

TEST(without_a_file_the_prompt_comes)
{
	fixture_begin(NULL);
	EXPECT_SHOWN("there is no boot module named machines");
	EXPECT_SHOWN("lodge> ");
}

TEST(missing_modules_are_told_by_machine_key_and_module)
{
	fixture_begin("[machine a]\nkernel = kk\n[machine b]\nkernel = k\ndisk = big.img\n"
		      "[machine c]\nkernel = k\nnet = user\n[machine d]\nkernel = k\n");
	EXPECT_SHOWN(
		"a: can't be started: kernel = kk: there is no boot module of this name: did you "
		"mean k?\r\n");
	EXPECT_SHOWN(
		"b: can't be started: disk = big.img: there is no boot module of this name: add "
		"it");
	EXPECT_SHOWN("c: can't be started: net = user: bare metal has switches");
	EXPECT_SHOWN("d: started");
	fixture_command("start a");
	EXPECT_SHOWN("a: kernel = kk: there is no boot module");
}

TEST(too_little_memory_and_other_refusals)
{
	kernel.create_error = -ENOMEM;
	fixture_begin("[machine a]\nkernel = k\nmemory = 512M\nprocessors = 1\n");
	EXPECT_SHOWN("a: can't be started: it needs 512 MiB of memory, and 100 MiB are free");
	kernel.create_error = -EINVAL;
	fixture_command("start a");
	EXPECT_SHOWN("the kernel refuses its process (error 22)");
	kernel.create_error = 0;
	fixture_command("start a");
	EXPECT_SHOWN("a: started");
	fixture_command("start a");
	EXPECT_SHOWN("a: it runs already");
}

TEST(processors_must_exist)
{
	fixture_begin("[machine a]\nkernel = k\nprocessors = 2-5\n");
	EXPECT_SHOWN("a: can't be started: this computer has processors 0 to 1 only");
}

TEST(every_end_is_told_in_one_line)
{
	static const struct {
		uint32_t why;
		int32_t code;
		const char *reason, *line;
	} ends[] = {
		{VM_POWERED_OFF, 0, "", "web: powered off, after "},
		{VM_PANICKED, 0, "", "web: its kernel panicked, after "},
		{VM_SHUTDOWN, 0, "", "web: a processor of it shut down (triple fault), after "},
		{VM_TEST_EXIT, 5, "", "web: its test ended with code 5, after "},
		{VM_FAILED, 0, "no kernel\n\x1b[2J\x80", "web: failed: no kernel??[2J?, after "},
		{77, 0, "", "web: failed, after "},
	};

	fixture_begin(TWO);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		fixture_forget();
		fixture_ends("web", ends[i].why, ends[i].code, ends[i].reason);
		EXPECT_SHOWN(ends[i].line);
		fixture_command("start web");
		EXPECT_SHOWN("web: started");
	}
	fixture_forget();
	fixture_of("web")->info.rip = 0x401234;
	fixture_of("web")->info.address = 0x10;
	fixture_process_ends("web", METAL_PROCESS_CRASHED, 14);
	EXPECT_SHOWN(
		"web: its process crashed: vector 14 (page fault) at rip 0x401234, address 0x10");
	fixture_command("start web");
	fixture_process_ends("web", METAL_PROCESS_EXITED, 3);
	EXPECT_SHOWN("web: its process ended with code 3 and did not say why");
	fixture_command("start web");
	fixture_process_ends("web", METAL_PROCESS_KILLED, 0);
	EXPECT_SHOWN("web: the kernel ended its process");
}

TEST(a_line_that_is_being_typed_survives_messages)
{
	fixture_begin(TWO);
	fixture_type("inf");
	fixture_forget();
	fixture_ends("db", VM_POWERED_OFF, 0, "");
	EXPECT_SHOWN("\r          \rdb: powered off");
	EXPECT_SHOWN("\r\n\rlodge> inf");
	fixture_type("o db\r");
	EXPECT_SHOWN("db: ended");
}

TEST(stop_presses_the_button_and_kills_later)
{
	fixture_begin(TWO);
	fixture_command("stop web 5");
	EXPECT_SHOWN("web: power button pressed; killed in 5 s");
	EXPECT_EQ(requests("web"), CHANNEL_POWER_BUTTON);
	EXPECT_EQ(fixture_of("web")->notified, 1);
	fake_advance(4 * FIXTURE_SECOND);
	fixture_turn();
	EXPECT_NOT_SHOWN("had not ended");
	fake_advance(2 * FIXTURE_SECOND);
	fixture_turn();
	EXPECT_SHOWN("web: killed, for it had not ended within 5 s, after 6.0");
	fixture_command("stop web");
	EXPECT_SHOWN("web: it does not run: start web");
}

TEST(restart_starts_again)
{
	fixture_begin(TWO);
	fixture_command("restart web");
	EXPECT_EQ(requests("web"), CHANNEL_POWER_BUTTON);
	fixture_ends("web", VM_POWERED_OFF, 0, "");
	EXPECT_SHOWN("web: powered off");
	EXPECT_EQ(fixture_of("web")->set.start, 1);
	fixture_command("list");
	EXPECT_SHOWN(" 1  web   booting ");
	fixture_command("kill web");
	EXPECT_SHOWN("web: killed, after");
	fixture_command("restart web");
	EXPECT_SHOWN("web: started");
}

TEST(restart_keeps_the_terminal_attached)
{
	fixture_begin(TWO);
	fixture_command("restart web");
	fixture_command("attach web");
	fixture_ends("web", VM_POWERED_OFF, 0, "");
	EXPECT_SHOWN("[web: powered off, after ");
	EXPECT(manager.attached && machine_runs(manager.attached));
	fixture_write("web", "again");
	EXPECT_SHOWN("again");
	fixture_type("\x1dq");
	fixture_command("restart web");
	fixture_command("attach web");
	kernel.create_error = -ENOMEM;
	fixture_ends("web", VM_POWERED_OFF, 0, "");
	EXPECT_SHOWN("web: can't be started again: it needs 64 MiB");
	EXPECT(!manager.attached);
	fixture_command("list");
	EXPECT_SHOWN("web   failed");
}

TEST(pause_and_resume)
{
	fixture_begin(TWO);
	fixture_command("resume web");
	EXPECT_SHOWN("web: it is not paused");
	fixture_command("pause web");
	EXPECT_EQ(requests("web"), CHANNEL_PAUSE);
	fixture_state("web", CHANNEL_PAUSED);
	fixture_command("list");
	EXPECT_SHOWN("web   paused");
	fixture_command("pause web");
	EXPECT_SHOWN("web: it is paused already");
	fixture_command("resume web");
	EXPECT_EQ(requests("web"), CHANNEL_RESUME);
	fixture_state("web", CHANNEL_BOOTED);
	fixture_command("list");
	EXPECT_SHOWN("web   running");
}

TEST(set_changes_the_scheduling)
{
	fixture_begin(TWO);
	fixture_command("set web weight 300");
	EXPECT_EQ(fixture_of("web")->set.weight, 300);
	fixture_command("set web cap 50");
	EXPECT_EQ(fixture_of("web")->set.cap, 50);
	fixture_command("set web processors 1");
	EXPECT_EQ(fixture_of("web")->set.processors, 2);
	EXPECT_EQ(fixture_of("web")->set.weight, 300);
	fixture_command("set web processors 2-5");
	EXPECT_SHOWN("this computer has processors 0 to 1 only");
	fixture_command("set web processors x");
	EXPECT_SHOWN("numbers like 0-3,5");
	fixture_command("set web weight 0");
	EXPECT_SHOWN("from 1 to 10000");
	fixture_command("set web colour red");
	EXPECT_SHOWN("takes weight, cap or processors, not colour");
	fixture_command("kill web");
	fixture_command("set web weight 7");
	fixture_command("start web");
	EXPECT_EQ(fixture_of("web")->set.weight, 7);
	EXPECT_EQ(fixture_of("web")->set.processors, 2);
	EXPECT_EQ(fixture_of("web")->set.paused, 0);
}

TEST(mistakes_are_told_with_what_would_be_right)
{
	fixture_begin(TWO);
	fixture_command("lsit");
	EXPECT_SHOWN("there is no command lsit: did you mean list?");
	fixture_command("frobnicate");
	EXPECT_SHOWN("there is no command frobnicate: help lists them");
	fixture_command("stop wbe");
	EXPECT_SHOWN("there is no machine wbe: did you mean web?");
	fixture_command("stop mainframe");
	EXPECT_SHOWN("there is no machine mainframe: list shows those there are");
	fixture_command("stop");
	EXPECT_SHOWN("usage: stop NAME|all [SECONDS]");
	fixture_command("stop web soon");
	EXPECT_SHOWN("soon: must be a number of seconds");
	fixture_command("follow maybe");
	EXPECT_SHOWN("follow maybe: takes on or off");
	fixture_command("detach");
	EXPECT_SHOWN("Ctrl-] and then q");
	fixture_command("help halp");
	EXPECT_SHOWN("did you mean help?");
	EXPECT_EQ(manager.failures, 9);
	/* Neither of these is one. */
	fixture_command("   ");
	fixture_command("# comment");
	EXPECT_EQ(manager.failures, 9);
}

TEST(reports)
{
	struct metal_process_info *info;

	fixture_begin(TWO);
	info = &fixture_of("web")->info;
	info->time = 12345 * FIXTURE_SECOND / 1000;
	info->vcpu_time[1] = FIXTURE_SECOND;
	info->exits[METAL_REASON_CPUID] = 42;
	info->guest_touched = 20 << 20;
	fake_advance(64 * FIXTURE_SECOND);
	fixture_state("web", CHANNEL_BOOTED);
	fixture_command("list");
	EXPECT_SHOWN(" #  NAME  STATE     CPUS  MEMORY     CPU TIME      UP TIME\r\n"
		     " 1  web   running      2  64 MiB     12.3 s        1 min 4 s\r\n"
		     " 2  db    booting      1  512 MiB    0.000 s       1 min 4 s\r\n");
	fixture_command("stats web");
	EXPECT_SHOWN("web: running, up for 1 min 4 s\r\n");
	EXPECT_SHOWN("processor time     12.3 s, of it in the guest 1.000 s\r\n");
	EXPECT_SHOWN("  processor 1      1.000 s\r\n");
	EXPECT_SHOWN("  exits              42\r\n    cpuid            42\r\n");
	EXPECT_NOT_SHOWN("halt");
	fixture_command("info web");
	EXPECT_SHOWN("memory             64 MiB, of it in use 20 MiB\r\n");
	EXPECT_SHOWN("runs on            0-1\r\n");
	fixture_command("info");
	EXPECT_SHOWN("boot modules       machines\r\n");
	EXPECT_SHOWN("1 GiB, free 100 MiB");
	fixture_command("log");
	EXPECT_SHOWN("kernel: hello\r\n");
	fixture_command("log web");
	EXPECT_SHOWN("web: its log is empty");
	channel_put(fixture_channel("web"), CHANNEL_LOG, "odd MSR\n\x1b", 9);
	fixture_command("log web");
	EXPECT_SHOWN("odd MSR\r\n?\r\n");
	fixture_command("version");
	EXPECT_SHOWN("lodge ");
	fixture_command("help");
	EXPECT_SHOWN("stop NAME|all [SECONDS]");
	fixture_command("ls");
	EXPECT_SHOWN("web");
	fixture_command("stats");
	EXPECT_SHOWN("db: booting");
}

TEST(attach_and_the_keys_behind_control_bracket)
{
	fixture_begin(TWO);
	fixture_write("web", "boot...\r\nlogin: ");
	EXPECT_NOT_SHOWN("login:");
	fixture_command("attach web");
	EXPECT_SHOWN("[web: Ctrl-] q leaves");
	EXPECT_SHOWN("boot...\r\nlogin: ");
	fixture_forget();
	fixture_type("root\r\x03");
	EXPECT_STR(fixture_typed("web"), "root\r\x03");
	fixture_write("web", "\x1b[1mroot");
	EXPECT_SHOWN("\x1b[1mroot");
	fixture_type("\x1d\x1d");
	EXPECT_STR(fixture_typed("web"), "\x1d");
	fixture_type("\x1d?");
	EXPECT_SHOWN("[2: db, booting]");
	fixture_type("\x1dx");
	EXPECT_SHOWN("there is no such key");
	fixture_type("\x1d"
		     "7");
	EXPECT_SHOWN("there is no machine 7: there are 2");
	fixture_type("\x1dn"
		     "to db");
	EXPECT_STR(fixture_typed("db"), "to db");
	EXPECT_SHOWN("[db: Ctrl-] q leaves");
	fixture_type("\x1d"
		     "1"
		     "to web");
	EXPECT_STR(fixture_typed("web"), "to web");
	fixture_type("\x1dp");
	EXPECT_EQ(requests("web"), CHANNEL_POWER_BUTTON);
	fixture_forget();
	fixture_type("\x1dqlist\r");
	EXPECT_SHOWN("lodge> list\r\n");
	EXPECT_STR(fixture_typed("web"), "");
	/* The last line again, and nothing that was seen before it. */
	fixture_command("attach web");
	EXPECT_SHOWN("login: \x1b[1mroot");
	EXPECT_NOT_SHOWN("boot...");
	fixture_type("\x1d"
		     "d");
	EXPECT_SHOWN("lodge> ");
}

TEST(attached_output_waits_for_a_slow_line_and_is_not_lost)
{
	size_t sent = 0, seen = 0;

	fixture_begin(TWO);
	fixture_command("attach web");
	fixture_forget();
	for (unsigned i = 0; i < 3000; i++) {
		char line[] = "0000 line\r\n";

		line[0] = (char)('0' + sent / 1000 % 10);
		line[1] = (char)('0' + sent / 100 % 10);
		line[2] = (char)('0' + sent / 10 % 10);
		line[3] = (char)('0' + sent % 10);
		if (channel_room(fixture_channel("web"), CHANNEL_OUTPUT) >= 11) {
			channel_put(fixture_channel("web"), CHANNEL_OUTPUT, line, 11);
			sent++;
		}
		kernel.output_room = 7;
		atomic_fetch_or(&kernel.start.events, METAL_EVENT_NOTIFY);
		manager_turn(&manager);
		fake_advance(FIXTURE_SOON / 4);
	}
	/* Its process ends; all that it wrote still comes before that is said. */
	kernel.output_room = 0;
	fixture_ends("web", VM_POWERED_OFF, 0, "");
	for (unsigned i = 0; i < 10000 && manager.attached; i++) {
		kernel.output_room = 100;
		manager_turn(&manager);
		fake_advance(FIXTURE_SOON / 4);
	}
	kernel.output_room = SIZE_MAX;
	fixture_turn();
	for (size_t i = 0; i + 11 <= kernel.output_length && seen < sent; i += 11, seen++)
		if (kernel.output[i + 3] != (char)('0' + seen % 10))
			break;
	EXPECT(sent > 2500);
	EXPECT_EQ(seen, sent);
	EXPECT_SHOWN("web: powered off");
	EXPECT_SHOWN("lodge> ");
}

TEST(a_guest_that_reads_nothing_can_be_left)
{
	fixture_begin(TWO);
	fixture_command("attach web");
	for (unsigned i = 0; i < CHANNEL_INPUT_SIZE; i++)
		fixture_type("x");
	fixture_type("yyy");
	EXPECT_EQ(channel_room(fixture_channel("web"), CHANNEL_INPUT), 0);
	for (unsigned i = 0; i < 3 * CONSOLE_INPUT_MAX; i++)
		kernel.input[kernel.input_written++] = 'z';
	fixture_type("z");
	EXPECT(manager.attached);
	fixture_forget();
	fixture_type("\x1dq");
	EXPECT(!manager.attached);
	EXPECT_SHOWN("lodge> ");
	fixture_command("send web hello");
	EXPECT_SHOWN("web: it has not read what was sent before");
}

TEST(output_beyond_what_is_kept_is_told)
{
	char line[101];

	bytes_fill(line, 'z', 99);
	line[99] = '\n';
	line[100] = '\0';
	fixture_begin(TWO);
	for (unsigned i = 0; i < 400; i++)
		fixture_write("web", line);
	fixture_command("attach web");
	EXPECT_SHOWN("web: 23616 bytes of its output were not kept");
	fixture_type("\x1dq");
	fixture_command("attach web");
	EXPECT_NOT_SHOWN("were not kept");
}

TEST(the_attached_machine_ends)
{
	fixture_begin(TWO);
	fixture_command("attach web");
	fixture_write("web", "bye");
	fixture_ends("db", VM_PANICKED, 0, "");
	EXPECT_SHOWN("bye\r\n[db: its kernel panicked, after 0.0");
	fixture_ends("web", VM_POWERED_OFF, 0, "");
	EXPECT_SHOWN("web: powered off, after 0.0");
	EXPECT_SHOWN(" s\r\nlodge> ");
	fixture_command("attach web");
	EXPECT_SHOWN("bye\r\n[web does not run: powered off; start web]");
	EXPECT(!manager.attached);
	fixture_command("send web x");
	EXPECT_SHOWN("web: it does not run");
}

TEST(follow_shows_whole_lines_with_names)
{
	fixture_begin(TWO);
	fixture_command("follow on");
	fixture_type("li");
	fixture_forget();
	fixture_write("web", "one\r\ntw");
	EXPECT_SHOWN("\r         \r[web] one\r\n\rlodge> li");
	EXPECT_NOT_SHOWN("tw");
	fixture_write("db", "\x1b[31mred\r\n");
	EXPECT_SHOWN("[db] ?[31mred\r\n");
	fixture_write("web", "o\n");
	EXPECT_SHOWN("[web] two\r\n");
	fixture_write("web", "last");
	fixture_ends("web", VM_POWERED_OFF, 0, "");
	EXPECT_SHOWN("[web] last\r\n");
	EXPECT_SHOWN("web: powered off");
	fixture_type("\x15");
	fixture_command("follow off");
	fixture_write("db", "more\n");
	EXPECT_NOT_SHOWN("more");
}

TEST(wait_holds_what_is_typed_behind_it)
{
	fixture_begin(TWO);
	fixture_command("wait all\rversion");
	EXPECT_NOT_SHOWN("lodge unknown");
	fixture_ends("web", VM_POWERED_OFF, 0, "");
	EXPECT_NOT_SHOWN("version");
	fixture_ends("db", VM_POWERED_OFF, 0, "");
	EXPECT_SHOWN("lodge> version\r\nlodge ");
	EXPECT_EQ(manager.failures, 0);
	fixture_command("start db");
	fixture_command("wait db");
	fixture_type("abc\x03");
	EXPECT_SHOWN("^C");
	fixture_command("wait db 5");
	fake_advance(5 * FIXTURE_SECOND);
	fixture_turn();
	EXPECT_SHOWN("wait: the time is up, and 1 of them run still");
	fixture_command("wait db");
	fixture_ends("db", VM_PANICKED, 0, "");
	EXPECT_EQ(manager.failures, 3);
	/* Nothing to wait for. */
	fixture_command("wait web");
	EXPECT_SHOWN("lodge> ");
	EXPECT_EQ(manager.failures, 3);
}

TEST(more_is_typed_ahead_than_there_is_room_for)
{
	fixture_begin(TWO);
	fixture_command("wait web");
	for (unsigned i = 0; i < 2 * CONSOLE_INPUT_MAX / 16; i++)
		fixture_type("set db weight 1\r");
	fixture_type("set db weight 77\r");
	EXPECT_EQ(fixture_of("db")->set.weight, 50);
	fixture_ends("web", VM_POWERED_OFF, 0, "");
	EXPECT_EQ(fixture_of("db")->set.weight, 77);
	EXPECT_EQ(manager.failures, 0);
}

TEST(expect_finds_what_was_written)
{
	fixture_begin(TWO);
	fixture_write("web", "some login: ");
	fixture_command("expect web 10 login:");
	EXPECT_EQ(manager.job.kind, JOB_NONE);
	fixture_command("send web root");
	EXPECT_STR(fixture_typed("web"), "root\r");
	fixture_command("expect web 10 login:");
	EXPECT_EQ(manager.job.kind, JOB_EXPECT);
	fixture_write("web", "again log");
	fixture_write("web", "in:");
	EXPECT_EQ(manager.job.kind, JOB_NONE);
	EXPECT_EQ(manager.failures, 0);
	fixture_command("expect web 10 two words");
	fake_advance(10 * FIXTURE_SECOND);
	fixture_turn();
	EXPECT_SHOWN("expect web: 'two words' has not come in time");
	fixture_command("expect web 10 more");
	fixture_ends("web", VM_POWERED_OFF, 0, "");
	EXPECT_SHOWN("expect web: it ended, and had not written 'more'");
	EXPECT_EQ(manager.failures, 2);
	/* What it wrote before it was started again does not count. */
	fixture_command("start web");
	fixture_write("web", "prompt$");
	fixture_command("kill web");
	fixture_command("start web");
	fixture_command("expect web 10 prompt$");
	EXPECT_EQ(manager.job.kind, JOB_EXPECT);
}

TEST(scripts_run_by_themselves)
{
	fixture_begin(TWO "[lodge]\nscript = expect web 60 login:\nscript = send web poweroff\n"
			  "script = sleep 2\nscript = kill db\nscript = wait all\nscript = exit\n");
	EXPECT_SHOWN("lodge> expect web 60 login:\r\n");
	EXPECT_NOT_SHOWN("send");
	fixture_write("web", "login: ");
	EXPECT_STR(fixture_typed("web"), "poweroff\r");
	EXPECT_NOT_SHOWN("kill");
	fake_advance(2 * FIXTURE_SECOND);
	fixture_turn();
	EXPECT_SHOWN("db: killed");
	EXPECT_EQ(kernel.ends, 0);
	fixture_ends("web", VM_POWERED_OFF, 0, "");
	EXPECT_EQ(kernel.ends, 1);
	EXPECT_EQ(kernel.end, METAL_SYSTEM_TEST_EXIT);
	EXPECT_EQ(kernel.end_code, 0);
	/* There is no such device here: the prompt comes. */
	EXPECT_SHOWN("this computer has no test device");
}

TEST(scripts_tell_failures_by_their_exit)
{
	fixture_begin("[machine a]\nkernel = k\n[lodge]\nscript = wait a\nscript = exit\n");
	fixture_ends("a", VM_SHUTDOWN, 0, "");
	EXPECT_EQ(kernel.ends, 1);
	EXPECT_EQ(kernel.end_code, 1);
	fixture_command("exit 7");
	EXPECT_EQ(kernel.end_code, 7);
	fixture_command("exit 128");
	EXPECT_EQ(kernel.ends, 2);
}

TEST(control_c_ends_a_script)
{
	fixture_begin("[lodge]\nscript = sleep 100\nscript = exit\n");
	fixture_type("\x03");
	EXPECT_SHOWN("^C\r\nlodge> ");
	EXPECT_EQ(kernel.ends, 0);
}

TEST(poweroff_stops_the_machines_first)
{
	fixture_begin(TWO);
	fixture_command("poweroff");
	EXPECT_EQ(requests("web"), CHANNEL_POWER_BUTTON);
	EXPECT_EQ(requests("db"), CHANNEL_POWER_BUTTON);
	EXPECT_EQ(kernel.ends, 0);
	fixture_ends("web", VM_POWERED_OFF, 0, "");
	EXPECT_EQ(kernel.ends, 0);
	fake_advance(31 * FIXTURE_SECOND);
	fixture_turn();
	EXPECT_SHOWN("db: killed, for it had not ended within 30 s");
	EXPECT_EQ(kernel.ends, 1);
	EXPECT_EQ(kernel.end, METAL_SYSTEM_POWER_OFF);
	EXPECT_SHOWN("this computer can't do that (error 19)");
	fixture_command("start web");
	fixture_command("reboot now");
	EXPECT_EQ(kernel.ends, 2);
	EXPECT_EQ(kernel.end, METAL_SYSTEM_REBOOT);
}

/* Whatever a machine's process puts into its channel. */
TEST(hostile_channels)
{
	uint32_t random = 1;

	fixture_begin(TWO);
	fixture_command("follow on");
	for (unsigned round = 0; round < 300; round++) {
		uint8_t *bytes = fixture_of("web")->channel;
		bool attach = round % 3 == 0;

		for (unsigned i = 0; i < METAL_CHANNEL_SIZE; i++) {
			random = random * 1664525 + 1013904223;
			if (round % 2 || i < sizeof(struct channel))
				bytes[i] = (uint8_t)(random >> 24);
		}
		atomic_store(&fixture_channel("web")->state, random >> 16 & 7);
		kernel.output_room = SIZE_MAX;
		fixture_command(attach ? "attach web" : "info web");
		if (attach)
			fixture_type("keys\x1dq");
		fixture_command("stats web");
		EXPECT_SHOWN("processor time");
		if (round % 10 == 9) {
			fixture_process_ends("web", METAL_PROCESS_EXITED, round);
			EXPECT_SHOWN("web: ");
			fixture_command("start web");
		} else if (atomic_load(&fixture_channel("web")->state) == CHANNEL_ENDED) {
			/* It says that it has ended, and goes on. */
			fixture_command("kill web");
			fixture_command("start web");
		}
	}
	fixture_command("db");
}

TEST(a_machine_that_says_it_has_ended_and_stays_is_killed)
{
	fixture_begin(TWO);
	fixture_state("web", CHANNEL_ENDED);
	fake_advance(3 * FIXTURE_SECOND);
	fixture_turn();
	EXPECT_SHOWN("web: killed");
}

TEST(completion_knows_commands_machines_and_words)
{
	fixture_begin(TWO);
	fixture_forget();
	fixture_type("att\tw\t");
	EXPECT_STR(manager.edit.text, "attach web ");
	fixture_type("\x15set db w\t");
	EXPECT_STR(manager.edit.text, "set db weight ");
	fixture_type("\x15wait a\t");
	EXPECT_STR(manager.edit.text, "wait all ");
	fixture_type("\x15"
		     "follow o\t");
	EXPECT_STR(manager.edit.text, "follow o");
	fixture_type("\x15help rest\t");
	EXPECT_STR(manager.edit.text, "help restart ");
	fixture_type("\x15nonsense w\t");
	EXPECT_STR(manager.edit.text, "nonsense w");
}

/* Anything at any time: commands, keys, ends of machines, slow lines, no memory. */
TEST(random_sessions)
{
	static const char *const typed[] = {
		"start web\r",
		"start all\r",
		"stop web 1\r",
		"stop all 0\r",
		"kill all\r",
		"kill db\r",
		"restart web 1\r",
		"restart all 0\r",
		"pause all\r",
		"resume all\r",
		"list\r",
		"info web\r",
		"stats\r",
		"log web\r",
		"attach web\r",
		"attach db\r",
		"\x1dq",
		"\x1dn",
		"\x1d"
		"1",
		"\x1d"
		"2",
		"\x1dp",
		"\x1d?",
		"\x1d",
		"\x03",
		"\t",
		"\x1b[A\r",
		"follow on\r",
		"follow off\r",
		"send web hello\r",
		"set db weight 5\r",
		"wait all 1\r",
		"wait web\r",
		"expect web 1 hello\r",
		"sleep 0\r",
		"poweroff\r",
		"reboot now\r",
		"exit\r",
		"help\r",
		"x",
		"\r",
		"web",
		" ",
	};
	static const char *const names[] = {"web", "db"};
	uint32_t random = 7;

	fixture_begin(TWO);
	for (unsigned i = 0; i < 20000; i++) {
		const char *name = names[random >> 20 & 1];
		bool runs = machine_runs(machines_find(&manager.machines, name));

		random = random * 1664525 + 1013904223;
		kernel.output_room = random >> 8 & 1 ? SIZE_MAX : random >> 9 & 0xff;
		kernel.create_error = (random >> 12) % 16 ? 0 : -ENOMEM;
		if (kernel.output_length > sizeof(kernel.output) / 2)
			fixture_forget();
		if (kernel.input_written > sizeof(kernel.input) - 64)
			kernel.input_read = kernel.input_written = 0;
		switch ((random >> 16) % 8) {
		case 0:
			if (runs)
				fixture_ends(name, (random >> 24) % 9, 0, "why");
			break;
		case 1:
			if (runs)
				fixture_process_ends(name, METAL_PROCESS_CRASHED, random >> 24);
			break;
		case 2:
			if (runs)
				fixture_state(name, (enum channel_state)((random >> 24) % 4));
			break;
		case 3:
			if (runs)
				channel_put(fixture_channel(name), CHANNEL_OUTPUT,
					    "hello\r\nhello\x1b[1mhello", 21);
			atomic_fetch_or(&kernel.start.events, METAL_EVENT_NOTIFY);
			break;
		case 4:
			fake_advance(FIXTURE_SECOND);
			break;
		default:
			fixture_type(typed[(random >> 20) % (sizeof(typed) / sizeof(typed[0]))]);
		}
		fixture_turn();
		REQUIRE(manager.console.output_written - manager.console.output_read <=
			CONSOLE_OUTPUT_MAX);
	}
	/* It still answers. */
	kernel.output_room = SIZE_MAX;
	kernel.create_error = 0;
	fixture_type("\x1dq\x03\r");
	fixture_command("version");
	EXPECT_SHOWN("lodge ");
}
