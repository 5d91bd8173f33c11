/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the agent comes into the guest: the initrd's program lays itself into /run, which moves along
 * to the guest's root, with a unit for systemd. So any root file system has it, nothing is written
 * to its disk, and it is always the one that fits the lodge that made the initrd.
 */
#include "agent.h"
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNIT_FOLDER "/run/systemd/system"
#define UNIT	    "lodge-agent.service"

/* Early, for what it does needs nothing of the rest; and to the end, with its commands. */
static const char unit[] = "[Unit]\n"
			   "Description=Agent of the host's lodge\n"
			   "DefaultDependencies=no\n"
			   "Wants=systemd-remount-fs.service\n"
			   "After=systemd-remount-fs.service\n"
			   "Conflicts=shutdown.target\n"
			   "Before=shutdown.target\n"
			   "[Service]\n"
			   "ExecStart=" AGENT_PATH "\n"
			   "Restart=always\n"
			   "RestartSec=1\n"
			   "KillMode=process\n"
			   "OOMScoreAdjust=-900\n"
			   "TimeoutStopSec=5\n";

/* A file in /run has a label by which nobody may run it, and only when the policy is loaded can it
 * get another: that of what lies in /usr/bin. systemd then runs it as any service without a policy
 * of its own (unconfined_service_t, or initrc_t). */
static const char unit_selinux[] = "ExecStartPre=-/usr/bin/chcon -t bin_t " AGENT_PATH "\n";

/* Whether a device of this type (as /sys writes it) is on the virtio bus. */
static bool device_is_there(const char *type)
{
	static const char folder[] = "/sys/bus/virtio/devices";
	DIR *devices = opendir(folder);
	struct dirent *entry;
	bool found = false;

	while (devices && !found && (entry = readdir(devices))) {
		char path[512], text[16] = "";
		int file;

		snprintf(path, sizeof(path), "%s/%s/device", folder, entry->d_name);
		file = open(path, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			continue;
		if (read(file, text, sizeof(text) - 1) > 0)
			found = strncmp(text, type, strlen(type)) == 0;
		close(file);
	}
	if (devices)
		closedir(devices);
	return found;
}

static int program_copy(const char *from, const char *to)
{
	int source = open(from, O_RDONLY | O_CLOEXEC);
	int target = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	struct stat stat;
	int error = source < 0 || target < 0 || fstat(source, &stat) ? -errno : 0;

	while (!error && stat.st_size > 0) {
		ssize_t done = sendfile(target, source, NULL, (size_t)stat.st_size);

		if (done <= 0)
			error = done ? -errno : -EIO;
		else
			stat.st_size -= done;
	}
	if (source >= 0)
		close(source);
	if (target >= 0)
		close(target);
	return error;
}

/* Whether the system loads an SELinux policy, by its configuration. */
static bool has_selinux(const char *root)
{
	char path[128], line[256];
	bool has = false;
	FILE *file;

	snprintf(path, sizeof(path), "%s/etc/selinux/config", root);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, "SELINUX=", 8) == 0)
			has = strncmp(line + 8, "disabled", 8) != 0;
	if (file)
		fclose(file);
	return has;
}

static int unit_write(bool selinux)
{
	FILE *file;

	mkdir("/run/systemd", 0755);
	mkdir(UNIT_FOLDER, 0755);
	mkdir(UNIT_FOLDER "/sysinit.target.wants", 0755);
	file = fopen(UNIT_FOLDER "/" UNIT, "we");
	if (!file)
		return -errno;
	fputs(unit, file);
	if (selinux)
		fputs(unit_selinux, file);
	if (fclose(file))
		return -errno;
	return symlink("../" UNIT, UNIT_FOLDER "/sysinit.target.wants/" UNIT) ? -errno : 0;
}

bool agent_install(const char *root, bool *systemd)
{
	char path[128];
	int error;

	*systemd = false;
	if (!device_is_there("0x0013"))
		return false;
	mkdir("/run/lodge", 0755);
	error = program_copy("/init", AGENT_PATH);
	if (error) {
		init_log("can't put the agent into /run: %s", strerror(-error));
		return false;
	}
	snprintf(path, sizeof(path), "%s/usr/lib/systemd/systemd", root);
	if (access(path, X_OK)) {
		snprintf(path, sizeof(path), "%s/lib/systemd/systemd", root);
		if (access(path, X_OK))
			return true;
	}
	*systemd = true;
	error = unit_write(has_selinux(root));
	if (error)
		init_log("can't write the agent's unit: %s", strerror(-error));
	return true;
}
