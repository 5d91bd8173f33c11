/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread sends memory while the machine runs, in rounds: all of it, then what has been written
 * to meanwhile, until what is left can be sent within the downtime. Then the machine stands, and
 * the main thread does the rest.
 *
 * Who has the machine is never in doubt to more than one side (docs/migration.md): until GO is sent
 * it is here, and all that fails lets it go on here, once the other side has been told and has left
 * the disks. Once GO is sent, only the sure knowledge that the other process has ended brings it
 * back; silence does not.
 */
#include "manage/migrate.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/device.h"
#include "core/engine.h"
#include "lib/bits.h"
#include "manage/control.h"
#include "manage/net.h"
#include "manage/restore.h"
#include "manage/run_state.h"
#include "manage/save.h"
#include "manage/saved_file.h"

#define MILLISECOND    1000000.0
#define STAND_MAX      UINT64_C(30) /* seconds beyond the downtime that the guest stands at the most */
#define DOWNTIME_USUAL 30
#define DOWNTIME_MAX   60000
#define OVERHEAD       5	      /* milliseconds of the stand that memory doesn't take */
#define TELL_EVERY     250	      /* milliseconds */
#define BACK_MAX       UINT64_C(2000) /* milliseconds for the other side to close the disks */
#define BACK_LOOK      20
#define PAGE_MASK      ((1u << SAVED_CHUNK_PAGES) - 1)

/* Progress */

static uint64_t pages_left(const struct run *run)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < dirty_words(&run->vm); i++)
		pages += (unsigned)__builtin_popcountll(run->migrate.bitmap[i]);
	return pages;
}

static void tell(struct run *run, uint64_t left)
{
	struct migrate *migrate = &run->migrate;

	vm_lock(&run->vm);
	if (!control_alive(migrate->call))
		atomic_store(&migrate->cancel, true);
	control_tell(migrate->call, "migrate-progress",
		     json_pack("{s:i, s:I, s:I, s:f}", "round", (int)migrate->rounds, "sent",
			       (json_int_t)migrate->wire.bytes, "left", (json_int_t)left,
			       "bandwidth", migrate->bandwidth * 1000));
	vm_unlock(&run->vm);
}

/* Memory */

struct round {
	uint64_t began, told, bytes;
};

static void measure(struct migrate *migrate, const struct round *round)
{
	double time = (double)(host_now() - round->began) / MILLISECOND;
	double bytes = (double)(migrate->wire.bytes - round->bytes);

	/* A handful of pages says nothing about the way there. */
	if (bytes >= SAVED_CHUNK * 4 && time > 0)
		migrate->bandwidth = bytes / time;
}

static int send_chunk(struct run *run, uint64_t offset, uint16_t pages)
{
	memory_fetch(&run->vm.memory, offset, SAVED_CHUNK);
	return wire_send_chunk(&run->migrate.wire, offset, run->vm.memory.base + offset, pages);
}

/* All that is not zero. The new process's memory is zero. */
static int send_all_memory(struct run *run, struct round *round)
{
	const struct memory *memory = &run->vm.memory;
	int error = 0;

	for (uint64_t offset = 0; offset < memory->size && !error; offset += SAVED_CHUNK) {
		uint16_t used;

		if (!memory_is_absent(memory, offset) &&
		    saved_next_data(&run->vm, offset) >= offset + SAVED_CHUNK)
			continue;
		memory_fetch(&run->vm.memory, offset, SAVED_CHUNK);
		used = saved_pages_used(memory->base + offset);
		if (used)
			error = send_chunk(run, offset, used);
		if ((double)(host_now() - round->told) > TELL_EVERY * MILLISECOND) {
			round->told = host_now();
			tell(run, memory->size - offset);
		}
		if (atomic_load(&run->migrate.cancel))
			error = -ECANCELED;
	}
	return error;
}

/* What is in the bitmap, which is empty then. */
static int send_written(struct run *run)
{
	const unsigned chunks = 64 / SAVED_CHUNK_PAGES;
	int error = 0;

	for (size_t word = 0; word < dirty_words(&run->vm) && !error; word++) {
		uint64_t bits = run->migrate.bitmap[word];

		run->migrate.bitmap[word] = 0;
		for (unsigned i = 0; i < chunks && bits && !error; i++) {
			uint16_t pages = bits >> i * SAVED_CHUNK_PAGES & PAGE_MASK;

			if (pages)
				error = send_chunk(run, (word * chunks + i) * SAVED_CHUNK, pages);
		}
	}
	return error;
}

static bool fits(const struct migrate *migrate, uint64_t left)
{
	double time = migrate->downtime > OVERHEAD ? (double)(migrate->downtime - OVERHEAD) : 0.5;

	return (double)left <= time * migrate->bandwidth;
}

static int rounds(struct run *run)
{
	struct migrate *migrate = &run->migrate;
	struct round round = {host_now(), host_now(), migrate->wire.bytes};
	int error = send_all_memory(run, &round);

	measure(migrate, &round);
	while (!error) {
		uint64_t left;

		error = dirty_collect(&run->vm, migrate->bitmap);
		if (error)
			break;
		left = pages_left(run) * SAVED_PAGE;
		migrate->rounds++;
		tell(run, left);
		if (fits(migrate, left) || run->vm.paused)
			break; /* these go with the rest */
		if (migrate->rounds == WIRE_ROUNDS_MAX - 1)
			return -EAGAIN;
		round = (struct round){host_now(), host_now(), migrate->wire.bytes};
		error = send_written(run);
		measure(migrate, &round);
		if (atomic_load(&migrate->cancel))
			error = -ECANCELED;
	}
	return error;
}

/* The beginning */

/* What the other side says, which must be of this type. */
static int expect(struct migrate *migrate, enum wire_type type, int timeout)
{
	int error = wire_receive(&migrate->wire, &migrate->message, timeout);

	if (error)
		return error;
	if (migrate->message.type == WIRE_REFUSE) {
		char text[401];

		wire_text(&migrate->message, text, sizeof(text));
		snprintf(migrate->reason, sizeof(migrate->reason), "the other side refuses: %s",
			 text);
		return -EREMOTEIO;
	}
	return migrate->message.type == type ? 0 : -EPROTO;
}

static int introduce(struct run *run)
{
	uint8_t *bytes = malloc(SAVED_CONFIG_MAX);
	size_t length;
	int error = bytes ? 0 : -ENOMEM;

	if (!error)
		error = saved_config_write(run->description, bytes, SAVED_CONFIG_MAX, &length);
	if (!error)
		error = wire_send(&run->migrate.wire, WIRE_HELLO, MIGRATE_VERSION, bytes, length);
	free(bytes);
	return error ? error : expect(&run->migrate, WIRE_READY, WIRE_PATIENCE);
}

static void explain(struct migrate *migrate, int error)
{
	if (!migrate->reason[0] && error == -EAGAIN)
		snprintf(migrate->reason, sizeof(migrate->reason),
			 "the guest writes faster than memory can be sent: give it a larger "
			 "--downtime");
	else if (!migrate->reason[0])
		snprintf(migrate->reason, sizeof(migrate->reason), "%s", wire_error(error));
}

/* It stays, and the other side knows. Vm's lock held; the thread has ended or is about to. */
static void fail(struct run *run, int error)
{
	struct migrate *migrate = &run->migrate;
	struct control_call *call = migrate->call;

	explain(migrate, error);
	close(migrate->wire.fd);
	free(migrate->bitmap);
	free(migrate->message.payload);
	migrate->call = NULL;
	control_fail(call, CONTROL_HOST, "migrate: %s: the machine goes on here", migrate->reason);
}

static void *work(void *argument)
{
	struct run *run = argument;
	struct migrate *migrate = &run->migrate;
	int error;

	pthread_setname_np(pthread_self(), "migrate");
	error = introduce(run);
	if (!error)
		error = dirty_start(&run->vm);
	if (!error) {
		error = rounds(run);
		if (error)
			dirty_stop(&run->vm);
	} else if (error == -ENOTSUP) {
		snprintf(migrate->reason, sizeof(migrate->reason), "engine %s has no dirty log",
			 run->engine->name);
	}
	if (error)
		wire_cancel(&migrate->wire);
	vm_lock(&run->vm);
	if (error) {
		fail(run, error);
	} else {
		migrate->ready = true;
		migrate->stood = host_now();
		vm_pause(&run->vm);
	}
	vm_unlock(&run->vm);
	return NULL;
}

/* The end */

static void join(struct migrate *migrate)
{
	if (migrate->threaded)
		pthread_join(migrate->thread, NULL);
	migrate->threaded = false;
}

static int lend_disk(struct disk *disk, bool away)
{
	return disk->ops->lend ? disk->ops->lend(disk, away) : 0;
}

/* All of them, or none. */
static int lend_disks(struct run *run, bool away)
{
	unsigned count = 0;
	int error = 0;

	while (count < run->disk_count && !error)
		error = lend_disk(run->disks[count++], away);
	if (!error)
		return 0;
	for (unsigned i = 0; i < count - 1; i++)
		lend_disk(run->disks[i], !away);
	return error;
}

/* Files and ports are given up, for the other side to have; or taken back: not the network while
 * another process has a disk, for it has that too. */
static int lend(struct run *run, bool away)
{
	char reason[512];
	int error = lend_disks(run, away);

	if (error)
		return error;
	vm_lock(&run->vm);
	if (net_has_files(run->options))
		net_hold(run->netport, away);
	for (unsigned i = 0; run_is_behind_nat(run) && i < run->forward_count; i++) {
		if (away)
			user_forward_remove(run->netport, &run->forwards[i]);
		else if (user_forward_add(run->netport, &run->forwards[i], reason, sizeof(reason)))
			host_log(LOG_WARNING, "migrate: %s", reason);
	}
	vm_unlock(&run->vm);
	return 0;
}

/* The other side, which has been told, needs a moment to close them. */
static int take_back(struct run *run)
{
	const uint64_t until = host_now() + BACK_MAX * UINT64_C(1000000);
	int error = lend(run, false);

	while (error && host_now() < until) {
		usleep(BACK_LOOK * 1000);
		error = lend(run, false);
	}
	return error;
}

/* Under the vm's lock, so that the network's thread changes neither memory nor devices. */
static int send_state(struct run *run)
{
	struct migrate *migrate = &run->migrate;
	int files[NET_FILES_MAX];
	size_t length = 0;
	uint8_t *state;
	int error = save_state(run, &state, &length);

	if (error)
		return error;
	error = dirty_collect(&run->vm, migrate->bitmap);
	if (!error)
		error = send_written(run);
	if (!error && migrate->wire.local && net_has_files(run->options))
		error = wire_send_files(&migrate->wire, WIRE_NETWORK, files,
					net_files(run->netport, files));
	if (!error)
		error = wire_send_state(&migrate->wire, state, length);
	migrate->sent = !error;
	free(state);
	return error;
}

/* All until the other side could go on. */
static int prepare_leave(struct run *run)
{
	int error = save_settle(run);

	if (!error) {
		run->migrate.lent = true;
		error = lend(run, true);
	}
	if (!error) {
		run->migrate.wire.deadline =
			host_now() + (STAND_MAX * 1000 + run->migrate.downtime) * UINT64_C(1000000);
		vm_lock(&run->vm);
		error = send_state(run);
		vm_unlock(&run->vm);
	}
	if (!error)
		error = expect(&run->migrate, WIRE_LOADED, WIRE_PATIENCE);
	if (!error && atomic_load(&run->migrate.cancel))
		error = -ECANCELED;
	return error;
}

/*
 * 0: the machine is the other side's. -ENODATA: the other process has surely ended before it had
 * it. Else nobody here knows.
 */
static int leave(struct run *run)
{
	struct migrate *migrate = &run->migrate;
	int error;

	migrate->wire.cancel = NULL;
	migrate->wire.deadline = 0;
	error = wire_send(&migrate->wire, WIRE_GO, run->paused, NULL, 0);
	if (!error)
		error = expect(migrate, WIRE_RUNNING, WIRE_PATIENCE);
	/* A Unix socket is reset by nothing but the end of its peer. */
	return error == -ECONNRESET && migrate->wire.local ? -ENODATA : error;
}

static void left(struct run *run)
{
	struct migrate *migrate = &run->migrate;
	struct control_call *call = migrate->call;

	close(migrate->wire.fd);
	free(migrate->bitmap);
	free(migrate->message.payload);
	migrate->call = NULL;
	control_answer(call, json_pack("{s:i, s:I, s:f, s:f}", "rounds", (int)migrate->rounds,
				       "sent", (json_int_t)migrate->wire.bytes, "downtime",
				       (double)(host_now() - migrate->stood) / MILLISECOND,
				       "milliseconds",
				       (double)(host_now() - migrate->began) / MILLISECOND));
	run->left = "migrated";
	vm_stop(&run->vm, VM_KILLED, 0);
}

/* It stands here, and a person says what becomes of it. */
static void in_doubt(struct run *run, int error, const char *text)
{
	char why[sizeof(run->migrate.reason)];

	explain(&run->migrate, error);
	snprintf(why, sizeof(why), "%s (%.256s)", text, run->migrate.reason);
	host_log(LOG_ERROR, "migrate: %s", why);
	vm_lock(&run->vm);
	control_fail(run->migrate.call, CONTROL_HOST, "migrate: %s", why);
	run->migrate.call = NULL;
	close(run->migrate.wire.fd);
	free(run->migrate.bitmap);
	free(run->migrate.message.payload);
	run->in_doubt = true;
	run_stays_paused(run);
	vm_unlock(&run->vm);
}

/*
 * It stays after all. The other side is told before anything else: until then it may take the
 * machine when this process ends, and it has the disks.
 */
static void come_back(struct run *run, int error)
{
	if (wire_cancel(&run->migrate.wire) && run->migrate.sent) {
		in_doubt(run, error,
			 "the other side can't be told that it is over: the machine stands here. "
			 "If it does not run there, and never will, resume it; if it does, kill "
			 "it");
		return;
	}
	if (run->migrate.lent && take_back(run)) {
		in_doubt(run, error,
			 "another process still has a disk of it: the machine stands here. Once "
			 "that process has ended, resume it");
		return;
	}
	vm_lock(&run->vm);
	if (!run->paused)
		vm_resume(&run->vm);
	fail(run, error);
	vm_unlock(&run->vm);
}

void migrate_paused(struct run *run)
{
	struct migrate *migrate = &run->migrate;
	int error;

	if (!migrate->call || !migrate->ready || !vm_paused(&run->vm))
		return;
	migrate->ready = false;
	join(migrate);
	error = prepare_leave(run);
	dirty_stop(&run->vm);
	if (error) {
		come_back(run, error);
		return;
	}
	error = leave(run);
	if (!error) {
		vm_lock(&run->vm);
		left(run);
		vm_unlock(&run->vm);
	} else if (error == -ENODATA || error == -EREMOTEIO) {
		come_back(run, error);
	} else {
		in_doubt(run, error,
			 "the other side was told to go on and has not answered: the machine "
			 "stands here. If it does not run there, and never will, resume it; if it "
			 "does, kill it");
	}
}

bool migrate_resume(struct run *run)
{
	if (!run->in_doubt)
		return true;
	vm_unlock(&run->vm);
	run->in_doubt = lend(run, false) != 0;
	vm_lock(&run->vm);
	return !run->in_doubt;
}

void migrate_abandon(struct run *run, const char *why)
{
	struct migrate *migrate = &run->migrate;
	bool under_way;

	vm_lock(&run->vm);
	under_way = migrate->call != NULL;
	if (under_way)
		atomic_store(&migrate->cancel, true);
	vm_unlock(&run->vm);
	join(migrate);
	if (!under_way)
		return;
	vm_lock(&run->vm);
	if (migrate->call) {
		snprintf(migrate->reason, sizeof(migrate->reason), "%s", why);
		wire_cancel(&migrate->wire);
		fail(run, -ECANCELED);
	}
	vm_unlock(&run->vm);
	dirty_stop(&run->vm);
}

/* Commands */

static int begin(struct run *run, struct control_call *call, int fd)
{
	struct migrate *migrate = &run->migrate;
	sigset_t all, old;
	int error;

	/* One that has failed: it has no more to do than to return. */
	join(migrate);
	*migrate = (struct migrate){
		.downtime = (uint64_t)control_integer(call, "downtime", DOWNTIME_USUAL),
		.began = host_now()};
	error = wire_init(&migrate->wire, fd, &migrate->cancel);
	if (error)
		return error;
	migrate->bitmap = calloc(dirty_words(&run->vm), sizeof(uint64_t));
	migrate->message.payload = malloc(WIRE_PAYLOAD_MAX);
	describe_again(run);
	migrate->call = call;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = migrate->bitmap && migrate->message.payload
			? -pthread_create(&migrate->thread, NULL, work, run)
			: -ENOMEM;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	migrate->threaded = !error;
	if (!error)
		return 0;
	free(migrate->bitmap);
	free(migrate->message.payload);
	migrate->call = NULL;
	return error;
}

static int domain_of(int fd)
{
	int domain = 0;
	socklen_t size = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) ? 0 : domain;
}

static bool is_stream_socket(int fd)
{
	struct stat status;
	socklen_t size = sizeof(int);
	int type = 0;

	return fd >= 0 && fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

void migrate_command(struct run *run, struct control_call *call)
{
	const char *obstacle = save_obstacle(run);
	long long downtime = control_integer(call, "downtime", DOWNTIME_USUAL);
	int error = 0, fd = control_take_file(call);

	if (obstacle)
		control_fail(call, CONTROL_BAD_STATE, "this machine can't be migrated: %s",
			     obstacle);
	else if (!is_stream_socket(fd))
		control_fail(call, CONTROL_BAD_ARGUMENT,
			     "migrate needs a connected socket, sent along with it");
	else if (run->shares.count && domain_of(fd) != AF_UNIX)
		control_fail(call, CONTROL_BAD_STATE,
			     "this machine can't be migrated so: it shares folders (-v), which are "
			     "this host's: only to unix:PATH");
	else if (run->options->net == NET_LAN && domain_of(fd) != AF_UNIX)
		control_fail(call, CONTROL_BAD_STATE,
			     "this machine can't be migrated so: it is on a network of machines "
			     "(lodge net), which is this host's: only to unix:PATH");
	else if (downtime < 1 || downtime > DOWNTIME_MAX)
		control_fail(call, CONTROL_BAD_ARGUMENT,
			     "migrate: downtime must be 1 to %d milliseconds", DOWNTIME_MAX);
	else if (run->save.begun || run->migrate.call || run->in_doubt)
		control_fail(call, CONTROL_BUSY, "the machine is being saved or migrated already");
	else if (atomic_load(&run->vm.stop) != VM_RUNNING)
		control_fail(call, CONTROL_BAD_STATE, "the machine has stopped");
	else if ((error = begin(run, call, fd)))
		control_fail(call, CONTROL_HOST, "migrate: %s", strerror(-error));
	else
		return;
	if (fd >= 0)
		close(fd);
}

void migrate_cancel_command(struct run *run, struct control_call *call)
{
	if (!run->migrate.call) {
		control_fail(call, CONTROL_BAD_STATE, "the machine is not being migrated");
		return;
	}
	atomic_store(&run->migrate.cancel, true);
	control_answer(call, NULL);
}
