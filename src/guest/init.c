/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first process of a guest that boots with Lodge's initrd: loads the modules that reach the
 * disk, mounts the root file system, and then either becomes what the kernel's command line asks
 * for (`init=`, or /sbin/init), or, with lodge.command=1, runs the one command that the host sends
 * and powers off.
 *
 * Options on the kernel's command line: root=/dev/NAME, rootfstype= (ext4), rootflags= (options of
 * that file system, as subvol= of btrfs), ro, rw, init=, lodge.command=1 (protocol.h),
 * lodge.stop=init (say so and power off: the shortest boot there is), lodge.dhcp=no (the network is
 * brought up, but nobody asked for an address), lodge.dhcp=guest (it is left alone, for a guest
 * whose udev gives interfaces other names, which it can't once they are up),
 * lodge.mount=TAG:PATH[:ro] (a folder that the host shares is mounted at PATH, in which \ooo is a
 * byte in octal; up to 8), lodge.exec=PROGRAM (run that one of the initrd, with the words after
 * `--` as its arguments, and power off; no root file system is mounted).
 */
#include "agent.h"
#include "boot_options.h"
#include "init.h"
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROOT_WAIT_MILLISECONDS 10000

static struct boot_options options;

void init_log(const char *format, ...)
{
	char line[512];
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (size >= (int)sizeof(line))
		size = sizeof(line) - 1;
	dprintf(STDERR_FILENO, "lodge-init: %.*s\n", size, line);
}

void init_power_off(void)
{
	sync();
	/* A read-only root can't be left dirty. A busy file system stays as sync left it. */
	mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	reboot(RB_POWER_OFF);
	init_log("power off: %s", strerror(errno));
	for (;;)
		pause();
}

static void mount_or_log(const char *source, const char *target, const char *type,
			 unsigned long flags, const char *data)
{
	mkdir(target, 0755);
	/* The kernel may have mounted devtmpfs already: EBUSY. */
	if (mount(source, target, type, flags, data) && errno != EBUSY)
		init_log("mount %s on %s: %s", source, target, strerror(errno));
}

static void options_read(void)
{
	char line[4096];
	int file = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t size = file < 0 ? 0 : read(file, line, sizeof(line) - 1);

	if (file >= 0)
		close(file);
	line[size < 0 ? 0 : size] = '\0';
	boot_options_read(&options, line);
}

static void module_load(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);

	if (file < 0 || syscall(SYS_finit_module, file, "", 0))
		init_log("module %s: %s", path, strerror(errno));
	if (file >= 0)
		close(file);
}

/* FOLDER/order names the files in the folder, dependencies first. None of them is needed
 * afterwards; if not `wanted`, not even before. */
static void modules_load(const char *folder, bool wanted)
{
	char line[128], path[160];
	FILE *order;

	snprintf(path, sizeof(path), "%s/order", folder);
	order = fopen(path, "re");
	if (!order)
		return;
	while (fgets(line, sizeof(line), order)) {
		line[strcspn(line, "\n")] = '\0';
		snprintf(path, sizeof(path), "%s/%s", folder, line);
		if (wanted)
			module_load(path);
		unlink(path);
	}
	fclose(order);
}

static void folders_make(const char *path)
{
	char part[sizeof(options.mounts[0].path)];

	for (size_t i = 1; path[i - 1]; i++) {
		if (path[i] && path[i] != '/')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)i, path);
		mkdir(part, 0755);
	}
}

/* The folders that the host shares. What can't be mounted is told of, and the guest goes on. */
static void shares_mount(void)
{
	for (unsigned i = 0; i < options.mount_count; i++) {
		const char *path = options.mounts[i].path;
		unsigned long flags = MS_NODEV | (options.mounts[i].read_only ? MS_RDONLY : 0);

		folders_make(path);
		if (mount(options.mounts[i].tag, path, "virtiofs", flags, NULL))
			init_log("shared folder %s: %s", path, strerror(errno));
	}
}

/* Mounts the root file system on /root. Returns 0 or a negative errno. */
static int root_mount(void)
{
	static const struct timespec millisecond = {.tv_nsec = 1000000};
	unsigned long flags = options.read_only ? MS_RDONLY : 0;
	const char *data = options.flags[0] ? options.flags : NULL;

	for (int i = 0; access(options.root, F_OK) && i < ROOT_WAIT_MILLISECONDS; i++)
		nanosleep(&millisecond, NULL);
	mkdir("/root", 0755);
	if (mount(options.root, "/root", options.type, flags, data) == 0)
		return 0;
	/* A disk that the host attached read-only refuses a writable mount. */
	if ((errno == EACCES || errno == EROFS) && !options.read_only &&
	    mount(options.root, "/root", options.type, MS_RDONLY, data) == 0)
		return 0;
	return -errno;
}

/* Makes /root the root of the tree, with /dev, /proc and /sys moved over. */
static int root_switch(void)
{
	static const char *const moved[] = {"/dev", "/proc", "/sys", "/run"};

	unlink("/init");
	unlink("/modules/order");
	unlink("/modules-share/order");
	for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
		char target[16];

		snprintf(target, sizeof(target), "/root%s", moved[i]);
		if (mount(moved[i], target, NULL, MS_MOVE, NULL))
			init_log("%s: %s", target, strerror(errno));
	}
	if (chdir("/root") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		return -errno;
	return 0;
}

/* What a command expects that systemd would otherwise have mounted. */
static void world_set_up(void)
{
	static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
					       {"/proc/self/fd/0", "/dev/stdin"},
					       {"/proc/self/fd/1", "/dev/stdout"},
					       {"/proc/self/fd/2", "/dev/stderr"}};

	mount_or_log("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		     "mode=0620,gid=5,ptmxmode=0666");
	mount_or_log("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, NULL);
	mount_or_log("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	mkdir("/run/lock", 01777);
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		(void)!symlink(links[i][0], links[i][1]);
	if (sethostname("lodge", 5))
		init_log("host name: %s", strerror(errno));
}

static void command_run(void)
{
	char text[256];
	int port = runner_open();
	int error;

	if (port < 0) {
		init_log("no port %s: %s: was the machine started with -- COMMAND?",
			 LODGE_PORT_NAME, strerror(-port));
		init_power_off();
	}
	error = root_mount();
	if (!error)
		error = root_switch();
	if (error) {
		snprintf(text, sizeof(text),
			 "lodge: the guest can't mount %s (%s) as its root file system: %s\n",
			 options.root, options.type, strerror(-error));
		runner_refuse(port, text);
	} else {
		world_set_up();
		shares_mount();
		network_resolve();
		runner_run(port);
	}
	init_power_off();
}

static void program_run(char **argv)
{
	pid_t child = fork();
	int status;

	argv[0] = options.exec;
	if (child == 0) {
		execv(options.exec, argv);
		init_log("can't run %s: %s", options.exec, strerror(errno));
		_exit(127);
	}
	if (child < 0)
		init_log("fork: %s", strerror(errno));
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	init_power_off();
}

/* Where the init is not systemd, whose unit starts it, the agent is a child of ours from the
 * beginning. */
static void agent_start(void)
{
	if (fork() == 0) {
		setsid();
		execl(AGENT_PATH, AGENT_PATH, (char *)NULL);
		_exit(127);
	}
}

int main(int argc, char **argv)
{
	bool agent, systemd;
	int error;

	if (argc > 0 && strcmp(argv[0], AGENT_PATH) == 0)
		return agent_main();
	mount_or_log("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, NULL);
	mount_or_log("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_or_log("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_or_log("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
	umask(022);
	options_read();
	if (options.stop) {
		init_log("reached");
		init_power_off();
	}
	modules_load("/modules", true);
	modules_load("/modules-share", options.mount_count > 0);
	if (!options.guest_dhcp)
		network_up(!options.no_dhcp);
	if (options.exec[0]) {
		shares_mount();
		program_run(argv);
	}
	if (options.command)
		command_run();

	error = root_mount();
	if (error) {
		init_log("can't mount %s (%s) as the root file system: %s", options.root,
			 options.type, strerror(-error));
		return 1; /* the kernel panics, which the host sees */
	}
	agent = agent_install("/root", &systemd);
	error = root_switch();
	if (error) {
		init_log("can't change to the root file system: %s", strerror(-error));
		return 1;
	}
	shares_mount();
	if (agent && !systemd)
		agent_start();
	execl(options.init, options.init, (char *)NULL);
	init_log("can't run %s: %s", options.init, strerror(errno));
	return 1;
}
