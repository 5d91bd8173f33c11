/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plugs to the outside: what a device calls, and the completion that it is called back with. A
 * device holds one, the host's side (storage, network, hosts) implements it.
 */
#ifndef CORE_PLUG_H
#define CORE_PLUG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snapshot;

/* A piece of host memory, laid out as POSIX struct iovec. */
struct slice {
	void *base;
	size_t length;
};

/* Links requests of one kind while their plug has them. */
struct plug_link {
	struct plug_link *next;
};

enum disk_operation { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_WRITE_ZEROES };

/* What submit says of a request that done() will be called for. */
#define DISK_PENDING 1

/*
 * One request, owned by the device, which keeps it (and its slices' memory) until it is done: until
 * submit() returned something else than DISK_PENDING, or done() is called. done() is never called
 * from within submit().
 */
struct disk_request {
	enum disk_operation operation;
	uint64_t offset; /* bytes, multiple of 512 */
	uint64_t length; /* bytes; for read and write the sum of the slices */
	bool unmap;	 /* with DISK_WRITE_ZEROES: space may be given back */
	const struct slice *slices;
	unsigned slice_count;
	bool direct; /* not to be held back: by whoever saves a machine that stands */
	/* result: 0 or a negative errno. Called on any thread without the vm's lock. */
	void (*done)(struct disk_request *request, int result);
	struct plug_link link; /* the disk's, while it has the request */
	/* Of a disk in front of another (storage/hold.h), while it has the request. */
	void (*front_done)(struct disk_request *request, int result);
	void *front;
};

struct disk;
struct disk_ops {
	/*
	 * Begins the request; never blocks. DISK_PENDING: done() will be called. Otherwise it is
	 * done already, and this is the result (0 or a negative errno): done() is not called. Flush
	 * covers all requests done before it was submitted. Any thread, with the vm's lock or not.
	 */
	int (*submit)(struct disk *disk, struct disk_request *request);
	/*
	 * Waits until done() has been called, and has returned, for everything submitted; but what
	 * is held back (storage/hold.h) stays so while the vm is paused, and nothing of it is
	 * begun before the vm goes on. Vm's lock not held. For whoever resets, saves or ends the
	 * machine while no vcpu runs.
	 */
	void (*drain)(struct disk *disk);
	/* Drains, and releases the disk. Vm's lock not held. */
	void (*close)(struct disk *disk);
	/*
	 * away: another process is to open it now, and to write to it; everything has been flushed,
	 * and until it is back nothing is submitted (close may be called, and writes nothing). Not
	 * away: it is back, and unchanged. 0, or a negative errno (-EBUSY: it is not). NULL where
	 * nothing has to be done for that.
	 */
	int (*lend)(struct disk *disk, bool away);
	/*
	 * An empty overlay on the file that is written now, open at `descriptor`, which is taken
	 * over if it is good: after overlay_end with `take` the disk writes to it, and to its file
	 * no more; without, it is closed. Overlay_begin may be called while the disk is at work,
	 * and wait; between the two it is the same disk. When it is taken, no vcpu runs, and all
	 * has been drained and flushed. 0 or a negative errno (-ENOTSUP: the format has no
	 * overlays; NULL likewise). Vm's lock not held.
	 */
	int (*overlay_begin)(struct disk *disk, int descriptor);
	void (*overlay_end)(struct disk *disk, bool take);
};
struct disk {
	const struct disk_ops *ops;
	uint64_t size;	     /* bytes, multiple of 512 */
	uint32_t block_size; /* preferred, for alignment: 512 or 4096 */
	bool read_only;
	bool can_discard;
	char serial[21];
};

/*
 * One request to a shared folder: a FUSE message, as virtio-fs carries it (virtio 1.2, section
 * 5.11; Linux, include/uapi/linux/fuse.h). Owned by the device, which keeps it and its slices'
 * memory until done() is called.
 */
struct share_request {
	const struct slice *readable, *writable; /* the message, and room for the answer */
	unsigned readable_count, writable_count;
	uint64_t readable_length, writable_length; /* bytes, the sums of the slices */
	/* written: how many bytes of the answer there are. Called on a thread of the share's,
	 * without the vm's lock. */
	void (*done)(struct share_request *request, uint64_t written);
	struct plug_link link; /* the share's, while it has the request */
};

/* A folder of the host's, shared with the guest. */
struct share;
struct share_ops {
	/* Begins the request; never blocks. 0: done() will be called, never from within submit().
	 * Otherwise a negative errno: it won't. Any thread, with the vm's lock or not. */
	int (*submit)(struct share *share, struct share_request *request);
	/* Waits until done() has been called, and has returned, for everything submitted. Vm's lock
	 * not held. */
	void (*drain)(struct share *share);
	/* Saves or loads what the guest knows of files by number. Drained, and no vcpu runs. */
	void (*state)(struct share *share, struct snapshot *snapshot);
	/* Drains, and releases the share. Vm's lock not held. */
	void (*close)(struct share *share);
};
struct share {
	const struct share_ops *ops;
	char tag[37]; /* by which the guest mounts it: 1 to 36 bytes */
};

/* Ethernet frames without checksum. */
struct netport;
struct netport_ops {
	/* Guest to world. Vm's lock held; the frame is copied or sent before it returns; never
	 * blocks (drops when full). Its checksums are right. */
	void (*send)(struct netport *port, const struct slice *slices, unsigned count);
	/* The device has room again after receive() returned false. Vm's lock held. */
	void (*receive_ready)(struct netport *port);
	void (*close)(struct netport *port);
};
struct netport {
	const struct netport_ops *ops;
	uint8_t mac[6];
	unsigned mtu;
	/* The largest frame that send() takes, 0 for mtu + 14. Larger than that: TCP segments over
	 * IPv4 and IPv6 may come as large as this, and the world cuts them up if it has to. */
	unsigned send_max;
	/* Frames given to receive() are known to be whole: the guest need not check their sums. */
	bool receive_checked;
	/* Set by the port: it can join TCP segments. Set by the device: it takes them joined, while
	 * this is so. Such a frame is longer than mtu + 14, up to 65549, for the receiver to
	 * cut up as the MTU asks, if it passes it on; its TCP checksum is that of the pseudo header
	 * alone, not complemented. */
	bool can_join, takes_joined;
	/* Set by the port: each frame, both ways, stands behind a struct virtio_net_hdr_v1 (12
	 * bytes; virtio 1.2, section 5.1.6), which says so if its checksum is still open, and how
	 * it is to be cut up. What is said above of sums and joined frames goes without saying
	 * then. */
	bool has_header;
	/* Set by the device. World to guest: true if taken, false if there is no room now. Vm's
	 * lock held. */
	bool (*receive)(void *device, const void *frame, size_t length);
	void *device;
};

/* A stream of bytes, both ways: a serial port's or virtio console's other end. */
struct console;
struct console_ops {
	/* Guest to world; returns how many bytes were taken (fewer when it is full). Vm's lock
	 * held. */
	size_t (*write)(struct console *console, const void *bytes, size_t length);
	/* The device can take input again. Vm's lock held. */
	void (*input_ready)(struct console *console);
	void (*close)(struct console *console);
};
struct console {
	const struct console_ops *ops;
	/* Set by the device. World to guest: how many bytes were taken. Vm's lock held. */
	size_t (*input)(void *device, const void *bytes, size_t length);
	/* Room for output again after write() took less. Vm's lock held. May be NULL. */
	void (*output_ready)(void *device);
	/* Window size changed (columns, rows); NULL where it means nothing. Vm's lock held. */
	void (*resized)(void *device, uint16_t columns, uint16_t rows);
	void *device;
};

/* A stream of bytes between the world and a socket in the guest, which the world has called. */
struct stream;
struct stream_ops {
	/* The guest has taken the call: from now on bytes may go both ways. Vm's lock held, as for
	 * all of these. */
	void (*opened)(struct stream *stream);
	/* Guest to world; all of it is taken. There are never more than room bytes written which
	 * consumed() has not been told of. */
	void (*write)(struct stream *stream, const void *bytes, size_t length);
	/* The guest can take input again, after input() took less than it was given. */
	void (*input_ready)(struct stream *stream);
	/* The guest will write no more. */
	void (*ended)(struct stream *stream);
	/* The stream is gone, and the device knows it no more: 0 if both sides had ended,
	 * -ECONNREFUSED if nobody in the guest took the call, or -ECONNRESET. No call for another
	 * stream may be made from within. */
	void (*closed)(struct stream *stream, int error);
};
struct stream {
	const struct stream_ops *ops;
	uint32_t room; /* bytes that the world has room for; constant while it is in use */
	void *place;   /* the device's */
};

/* Calls sockets of the guest. Filled in by the device; the world's side has the struct and calls,
 * with the vm's lock held. */
struct caller {
	/* Begins a call of a port: opened() or closed() will follow. 0; -ENETDOWN if the guest has
	 * no driver for it (yet), or one that has just been loaded, -EBUSY if there are too many
	 * streams. */
	int (*call)(void *device, struct stream *stream, uint32_t port);
	/* World to guest, once it is open: how many bytes were taken. */
	size_t (*input)(struct stream *stream, const void *bytes, size_t length);
	/* So many bytes of what was written are out of the way. */
	void (*consumed)(struct stream *stream, uint32_t length);
	/* There will be no more input. */
	void (*finish)(struct stream *stream);
	/* Ends it at once; closed() is not called. */
	void (*close)(struct stream *stream);
	void *device;
};

#endif
