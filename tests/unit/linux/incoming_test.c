/* SPDX-License-Identifier: BSD-2-Clause */
/* Whose the machine is once all of it has come: what the side that it comes to does. */
#include "test.h"

#include "../probe_device.h"
#include "tcp_pair.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/device.h"
#include "core/snapshot.h"
#include "engines/scripted/scripted.h"
#include "hosts/linux/linux.h"
#include "machines/saved_state.h"
#include "manage/exitcodes.h"
#include "manage/restore.h"
#include "manage/run_state.h"

static struct run *run;
static struct wire old;
static struct wire_message message;
static struct options options;

static void begin(void)
{
	int ends[2];

	run = calloc(1, sizeof(*run));
	REQUIRE(run && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	run->incoming.address = "unix:/here";
	options.net = NET_NONE;
	run->options = &options;
	run->incoming.message.payload = malloc(WIRE_PAYLOAD_MAX);
	message.payload = malloc(WIRE_PAYLOAD_MAX);
	REQUIRE(wire_init(&run->incoming.wire, ends[0], NULL) == 0);
	REQUIRE(wire_init(&old, ends[1], NULL) == 0);
}

static void end(void)
{
	incoming_end(run);
	free(run);
	free(message.payload);
}

static void hear(enum wire_type type)
{
	REQUIRE(wire_receive(&old, &message, 1000) == 0);
	EXPECT_EQ(message.type, type);
}

TEST(go_makes_it_ours)
{
	begin();
	REQUIRE(wire_send(&old, WIRE_GO, 0, NULL, 0) == 0);
	EXPECT_EQ(incoming_commit(run), LODGE_OK);
	EXPECT(!run->incoming.paused);
	hear(WIRE_LOADED);
	hear(WIRE_RUNNING);
	end();
}

TEST(a_paused_machine_stays_so)
{
	begin();
	REQUIRE(wire_send(&old, WIRE_GO, 1, NULL, 0) == 0);
	EXPECT_EQ(incoming_commit(run), LODGE_OK);
	EXPECT(run->incoming.paused);
	end();
}

/* A process that lives says something before it closes. */
TEST(the_end_of_the_other_process_makes_it_ours)
{
	begin();
	close(old.fd);
	EXPECT_EQ(incoming_commit(run), LODGE_OK);
	end();
}

TEST(cancel_leaves_it_there)
{
	begin();
	REQUIRE(wire_send(&old, WIRE_CANCEL, 0, NULL, 0) == 0);
	EXPECT_EQ(incoming_commit(run), LODGE_HOST_LACKS);
	hear(WIRE_LOADED);
	end();
	begin();
	REQUIRE(wire_send(&old, WIRE_CANCEL, 0, NULL, 0) == 0);
	close(old.fd); /* also behind it */
	EXPECT_EQ(incoming_commit(run), LODGE_HOST_LACKS);
	end();
}

/* As the old process ends a connection of TCP on which CANCEL couldn't be sent. */
TEST(a_reset_of_tcp_leaves_it_there)
{
	const struct linger at_once = {.l_onoff = 1};
	int from, to;

	tcp_pair(&from, &to);
	begin();
	close(old.fd);
	close(run->incoming.wire.fd);
	REQUIRE(wire_init(&run->incoming.wire, to, NULL) == 0);
	setsockopt(from, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(from);
	EXPECT_EQ(incoming_commit(run), LODGE_HOST_LACKS);
	end();
}

TEST(nonsense_leaves_it_there)
{
	static const char words[] = "200 OK, or so it seems to be";

	begin();
	REQUIRE(write(old.fd, words, sizeof(words)) == sizeof(words));
	EXPECT_EQ(incoming_commit(run), LODGE_BAD_INPUT);
	hear(WIRE_LOADED);
	end();
	begin();
	REQUIRE(wire_send(&old, WIRE_MEMORY, 0, words, 4) == 0);
	EXPECT_EQ(incoming_commit(run), LODGE_BAD_INPUT);
	end();
}

static void begin_vm(void)
{
	const struct vm_config config = {.vcpus = 1,
					 .memory_size = 4 << 20,
					 .hole_base = UINT64_C(0xc0000000),
					 .engine = &engine_scripted};

	begin();
	REQUIRE(vm_create(&run->vm, &config) == 0);
}

/* Memory that comes, until the state does. */
static void fill(void)
{
	static uint8_t chunk[SAVED_CHUNK];

	begin_vm();
	memset(chunk, 7, sizeof(chunk));
	REQUIRE(wire_send_chunk(&old, 0x20000, chunk, 0x0003) == 0);
}

TEST(memory_and_state_come)
{
	fill();
	REQUIRE(wire_send(&old, WIRE_STATE, 0, "state", 5) == 0);
	EXPECT_EQ(incoming_memory(run), LODGE_OK);
	EXPECT_EQ(run->vm.memory.base[0x20000], 7);
	EXPECT_EQ(run->vm.memory.base[0x21fff], 7);
	EXPECT_EQ(run->vm.memory.base[0x22000], 0);
	EXPECT_EQ(run->restore.file.state_length, 5);
	hear(WIRE_READY);
	free(run->restore.file.state);
	vm_destroy(&run->vm);
	end();
}

/* One on a network of machines brings its end of it, once; others bring none. */
TEST(an_end_of_a_network_comes_where_there_is_to_be_one)
{
	static const int expected[4] = {LODGE_OK, LODGE_BAD_INPUT, LODGE_BAD_INPUT,
					LODGE_BAD_INPUT};
	int ends[2];

	for (unsigned i = 0; i < 4; i++) {
		REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
		fill();
		options.net = i == 1 ? NET_NONE : NET_LAN;
		for (unsigned time = 0; time < (i == 2 ? 2 : i == 3 ? 0 : 1); time++)
			REQUIRE(wire_send_files(&old, WIRE_NETWORK, ends, 2) == 0);
		REQUIRE(wire_send(&old, WIRE_STATE, 0, "state", 5) == 0);
		EXPECT_EQ(incoming_memory(run), expected[i]);
		if (i == 0)
			EXPECT_EQ(run->incoming.file_count, 2);
		free(run->restore.file.state);
		vm_destroy(&run->vm);
		end();
		/* Nothing is left over. */
		close(ends[1]);
		EXPECT_EQ(recv(ends[0], &i, 1, MSG_DONTWAIT | MSG_PEEK), 0);
		close(ends[0]);
	}
}

TEST(only_more_of_a_state_follows_it)
{
	static uint8_t part[WIRE_PAYLOAD_MAX];
	pid_t peer;

	fill();
	peer = fork();
	if (peer == 0) {
		if (wire_send(&old, WIRE_STATE, 5, part, sizeof(part)) == 0)
			wire_send_chunk(&old, 0, part, 1);
		_exit(0);
	}
	EXPECT_EQ(incoming_memory(run), LODGE_BAD_INPUT);
	waitpid(peer, NULL, 0);
	free(run->restore.file.state);
	vm_destroy(&run->vm);
	end();
}

TEST(memory_without_end_is_refused)
{
	static const uint8_t nothing[4];
	pid_t peer;

	fill();
	peer = fork();
	REQUIRE(peer >= 0);
	if (peer == 0) {
		for (unsigned i = 0; i < 1000000; i++)
			if (wire_send(&old, WIRE_MEMORY, 0, nothing, sizeof(nothing)))
				break;
		_exit(0);
	}
	close(old.fd);
	EXPECT_EQ(incoming_memory(run), LODGE_HOST_LACKS);
	vm_destroy(&run->vm);
	kill(peer, SIGKILL);
	waitpid(peer, NULL, 0);
	end();
}

TEST(an_end_before_the_state_is_the_end)
{
	fill();
	close(old.fd);
	EXPECT_EQ(incoming_memory(run), LODGE_HOST_LACKS);
	vm_destroy(&run->vm);
	end();
	fill();
	REQUIRE(wire_send(&old, WIRE_GO, 0, NULL, 0) == 0);
	EXPECT_EQ(incoming_memory(run), LODGE_BAD_INPUT);
	vm_destroy(&run->vm);
	end();
}

/* A machine that has come whole, as the old process's word leaves it; how often its device has
 * begun. */
static unsigned come(enum wire_type word, bool other_tsc, int expected)
{
	struct device probe;
	struct vm *vm;
	size_t length = 0;

	begin_vm();
	vm = &run->vm;
	vm->cpu_model = &run->cpu_model;
	run->engine = &engine_scripted;
	run->cpu_model = *cpu_model_find("max");
	run->cpu_model.tsc_frequency = host_tsc_frequency() * (other_tsc ? 2 : 1);
	run->restore.path = "unix:/here";
	device_init(&probe, vm, &probe_ops, "0");
	vm_reset(vm);
	vm_lock(vm);
	vm_pause(vm);
	vm->vcpus[0]->parked = true;
	vm_vcpu_parked(vm);
	run->restore.file.state = malloc(SAVED_STATE_USUAL);
	REQUIRE(run->restore.file.state);
	REQUIRE(saved_state_write(vm, run->restore.file.state, SAVED_STATE_USUAL, &length) == 0);
	vm_unlock(vm);
	run->restore.file.state_length = length;
	REQUIRE(wire_send(&old, word, 0, NULL, 0) == 0);
	probes_begun = 0;
	EXPECT_EQ(restore_machine(run), expected);
	vm_destroy(vm);
	end();
	return probes_begun;
}

/* Before, it goes on there: disks would be used twice. */
TEST(devices_begin_when_it_is_ours)
{
	linux_init();
	EXPECT_EQ(come(WIRE_GO, false, LODGE_OK), 1);
	EXPECT_EQ(come(WIRE_CANCEL, false, LODGE_HOST_LACKS), 0);
	EXPECT_EQ(come(WIRE_MEMORY, false, LODGE_BAD_INPUT), 0);
	EXPECT_EQ(come(WIRE_GO, true, LODGE_HOST_LACKS), 0);
}
