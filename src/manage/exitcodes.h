/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How lodge ends. lodge.1 and `lodge help` say the same. A guest's own statuses (COMMAND's, or
 * (value << 1) | 1 of the test port) may be any number, so these only stand out from the usual
 * ones.
 */
#ifndef MANAGE_EXITCODES_H
#define MANAGE_EXITCODES_H

enum lodge_exit {
	LODGE_OK = 0,		   /* the guest powered off (or what was asked for was reported) */
	LODGE_BAD_OPTION = 64,	   /* the command line makes no sense */
	LODGE_BAD_INPUT = 65,	   /* a kernel, initrd or disk, or too little memory for them */
	LODGE_NOT_FOUND = 66,	   /* there is no machine, image or snapshot of that name */
	LODGE_HOST_LACKS = 69,	   /* something that the host doesn't have, or doesn't allow */
	LODGE_INTERNAL = 70,	   /* Lodge itself, or its engine, failed */
	LODGE_EXISTS = 73,	   /* there is one of that name already */
	LODGE_BAD_STATE = 74,	   /* the machine's state forbids it: it runs, or it doesn't */
	LODGE_TIMEOUT = 75,	   /* it has not happened in the time that --timeout gives */
	LODGE_GUEST_PANICKED = 80, /* the guest's kernel said that it panicked */
	LODGE_GUEST_DIED = 81,	   /* a processor of the guest shut down (triple fault) */
	LODGE_NO_STATUS = 82,	   /* with COMMAND: the guest ended before the command did */
	LODGE_LEFT = 83,	   /* left from the terminal (Ctrl-] q) */
	LODGE_SIGNAL = 128,	   /* plus the number of the signal that ended lodge */
};

/* The status for a negative errno: `usual`, unless it is this host that has no room or no rights to
 * write, whatever the file was. */
int exit_for(int error, enum lodge_exit usual);

#endif
