/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of a virtio device that no driver sees without, and no device differs in: virtio 1.2,
 * sections 2.1 to 2.4, 3.1 and 4.1.4.3.
 *
 * Not modelled: packed rings, shared memory, administration virtqueues, notification data, legacy
 * and transitional devices.
 */
#include "devices/virtio/virtio.h"

#include "core/host.h"
#include "core/vm.h"
#include "lib/bits.h"
#include "lib/check.h"

/* Offsets in the common configuration (4.1.4.3). */
enum {
	COMMON_DEVICE_FEATURE_SELECT = 0x00,
	COMMON_DEVICE_FEATURE = 0x04,
	COMMON_DRIVER_FEATURE_SELECT = 0x08,
	COMMON_DRIVER_FEATURE = 0x0c,
	COMMON_CONFIG_VECTOR = 0x10,
	COMMON_NUM_QUEUES = 0x12,
	COMMON_STATUS = 0x14,
	COMMON_GENERATION = 0x15,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_VECTOR = 0x1a,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_NOTIFY_OFF = 0x1e,
	COMMON_QUEUE_DESC = 0x20,
	COMMON_QUEUE_DRIVER = 0x28,
	COMMON_QUEUE_DEVICE = 0x30,
	COMMON_QUEUE_NOTIFY_DATA = 0x38,
	COMMON_QUEUE_RESET = 0x3a,
};

static void queue_init(struct virtio_queue *queue)
{
	virtqueue_reset(&queue->ring);
	queue->vector = VIRTIO_NO_VECTOR;
	queue->resetting = false;
	queue->again = queue->starved = false;
}

/* Also with chains in the device's hands, at a reset of the whole machine: it forgets them. */
static void reset_now(struct virtio *virtio)
{
	virtio->accepted = 0;
	virtio->status = 0;
	virtio->resetting = false;
	virtio->isr = 0;
	virtio->config_vector = VIRTIO_NO_VECTOR;
	virtio->device_feature_select = 0;
	virtio->driver_feature_select = 0;
	virtio->queue_select = 0;
	for (unsigned i = 0; i < virtio->queue_count; i++)
		queue_init(&virtio->queues[i]);
	if (virtio->ops->reset)
		virtio->ops->reset(virtio);
	pci_interrupt_set(&virtio->pci, false);
	timer_set(&virtio->later, TIMER_NEVER);
	virtio_bells_update(virtio);
}

static void device_reset(struct device *device)
{
	struct virtio *virtio = container_of(device, struct virtio, device);

	reset_now(virtio);
	virtio->generation = 0;
	pci_device_reset(&virtio->pci);
}

static void queue_state(struct virtio_queue *queue, struct snapshot *snapshot)
{
	virtqueue_state(&queue->ring, snapshot);
	snapshot_u16(snapshot, &queue->vector);
	snapshot_bool(snapshot, &queue->resetting);
}

static void device_state(struct device *device, struct snapshot *snapshot)
{
	struct virtio *virtio = container_of(device, struct virtio, device);

	pci_device_state(&virtio->pci, snapshot);
	snapshot_u64(snapshot, &virtio->accepted);
	snapshot_u8(snapshot, &virtio->status);
	snapshot_bool(snapshot, &virtio->resetting);
	snapshot_u8(snapshot, &virtio->isr);
	snapshot_u8(snapshot, &virtio->generation);
	snapshot_u16(snapshot, &virtio->config_vector);
	snapshot_u32(snapshot, &virtio->device_feature_select);
	snapshot_u32(snapshot, &virtio->driver_feature_select);
	snapshot_u16(snapshot, &virtio->queue_select);
	if (snapshot->loading && (virtio->accepted & ~virtio->offered))
		snapshot_fail(snapshot, "a virtio device has features that it doesn't have here");
	for (unsigned i = 0; i < virtio->queue_count; i++)
		queue_state(&virtio->queues[i], snapshot);
	if (virtio->ops->state)
		virtio->ops->state(virtio, snapshot);
}

static void use_features(struct virtio *virtio)
{
	for (unsigned i = 0; i < virtio->queue_count; i++) {
		virtio->queues[i].ring.event_index = virtio_accepted(virtio, VIRTIO_F_EVENT_IDX);
		virtio->queues[i].ring.indirect = virtio_accepted(virtio, VIRTIO_F_INDIRECT_DESC);
	}
}

static void go_on(struct timer *timer);
static void bell_rung(struct doorbell *bell);

static bool any_in_flight(const struct virtio *virtio)
{
	for (unsigned i = 0; i < virtio->queue_count; i++)
		if (virtio->queues[i].ring.in_flight)
			return true;
	return false;
}

static void device_loaded(struct device *device)
{
	struct virtio *virtio = container_of(device, struct virtio, device);

	pci_device_loaded(&virtio->pci);
	use_features(virtio);
	for (unsigned i = 0; i < virtio->queue_count; i++) {
		virtqueue_loaded(&virtio->queues[i].ring);
		if (virtio->queues[i].resetting)
			queue_init(&virtio->queues[i]);
	}
	if (virtio->resetting)
		reset_now(virtio);
	if (virtio_live(virtio) && virtio->ops->ready)
		virtio->ops->ready(virtio);
	virtio_bells_update(virtio);
}

static void device_destroy(struct device *device)
{
	struct virtio *virtio = container_of(device, struct virtio, device);

	for (unsigned i = 0; i < virtio->queue_count; i++)
		doorbell_remove(&virtio->queues[i].bell);

	if (virtio->ops->destroy)
		virtio->ops->destroy(virtio);
}

static const struct device_ops device_ops = {
	.name = "virtio",
	.version = 1,
	.reset = device_reset,
	.state = device_state,
	.loaded = device_loaded,
	.destroy = device_destroy,
};

int virtio_init(struct virtio *virtio, struct vm *vm, struct pci_bus *bus, unsigned slot,
		const char *instance, const uint16_t *sizes)
{
	int error;

	CHECK(virtio->queue_count > 0 && virtio->queue_count < PCI_MSIX_VECTORS_MAX);
	virtio->offered |= VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX |
			   VIRTIO_F_RING_RESET;
	virtio->config_vector = VIRTIO_NO_VECTOR;
	for (unsigned i = 0; i < virtio->queue_count; i++) {
		virtqueue_init(&virtio->queues[i].ring, vm, sizes[i]);
		queue_init(&virtio->queues[i]);
		virtio->queues[i].virtio = virtio;
		doorbell_init(&virtio->queues[i].bell, vm, bell_rung);
	}
	timer_init(&virtio->later, vm, go_on);
	error = virtio_pci_init(virtio, bus, slot);
	if (error)
		return error;
	device_init(&virtio->device, vm, &device_ops, instance);
	return 0;
}

bool virtio_live(const struct virtio *virtio)
{
	return (virtio->status & (VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET)) == VIRTIO_DRIVER_OK &&
	       !virtio->resetting;
}

void virtio_fail(struct virtio *virtio, const char *problem)
{
	if (virtio->status & VIRTIO_NEEDS_RESET)
		return;
	if (!virtio->complained)
		host_log(LOG_WARNING, "virtio device %s needs a reset by its driver: %s",
			 virtio->device.instance, problem);
	virtio->complained = true;
	virtio->status |= VIRTIO_NEEDS_RESET;
	if (virtio->status & VIRTIO_DRIVER_OK)
		virtio_config_changed(virtio);
}

void virtio_config_changed(struct virtio *virtio)
{
	virtio->generation++;
	if (virtio->status & VIRTIO_DRIVER_OK)
		virtio_pci_interrupt(virtio, virtio->config_vector, 2);
}

bool virtio_pop(struct virtio *virtio, unsigned queue, struct virtqueue_chain *chain,
		struct slice *slices, unsigned room)
{
	struct virtqueue *ring = &virtio->queues[queue].ring;
	int result;

	if (!virtio_live(virtio) || !ring->enabled || virtio->queues[queue].resetting)
		return false;
	do {
		result = virtqueue_pop(ring, chain, slices, room);
	} while (result == 0 && virtqueue_await(ring));
	if (ring->broken)
		virtio_fail(virtio, ring->problem);
	return result == 1;
}

void virtio_publish(struct virtio *virtio, unsigned queue)
{
	if (virtqueue_publish(&virtio->queues[queue].ring))
		virtio_pci_interrupt(virtio, virtio->queues[queue].vector, 1);
}

void virtio_complete(struct virtio *virtio, unsigned queue, const struct virtqueue_chain *chain,
		     uint64_t written)
{
	struct virtio_queue *one = &virtio->queues[queue];

	virtqueue_push(&one->ring, chain, written);
	if (one->resetting && one->ring.in_flight == 0)
		queue_init(one);
	if (virtio->resetting && !any_in_flight(virtio))
		reset_now(virtio);
	virtio_publish(virtio, queue);
}

/*
 * A reset ends when the device no longer touches the driver's memory; until then the status reads
 * as it was, which the driver waits for (2.4.1). Chains are not shown to it any more: their queues
 * are disabled at once.
 */
static void begin_reset(struct virtio *virtio)
{
	if (!any_in_flight(virtio)) {
		reset_now(virtio);
		return;
	}
	virtio->resetting = true;
	for (unsigned i = 0; i < virtio->queue_count; i++)
		virtio->queues[i].ring.enabled = false;
}

static void write_status(struct virtio *virtio, uint8_t value)
{
	uint8_t old = virtio->status;

	if (value == 0) {
		begin_reset(virtio);
		return;
	}
	if (virtio->resetting)
		return;
	if ((value & VIRTIO_FEATURES_OK) && !(old & VIRTIO_FEATURES_OK) &&
	    ((virtio->accepted & ~virtio->offered) || !virtio_accepted(virtio, VIRTIO_F_VERSION_1)))
		value &= (uint8_t)~VIRTIO_FEATURES_OK;
	if (!((value | old) & VIRTIO_FEATURES_OK))
		value &= (uint8_t)~VIRTIO_DRIVER_OK;
	virtio->status = old | (value & (uint8_t)~VIRTIO_NEEDS_RESET);
	if ((virtio->status & VIRTIO_DRIVER_OK) && !(old & VIRTIO_DRIVER_OK)) {
		for (unsigned i = 0; i < virtio->queue_count; i++)
			if (virtio->queues[i].ring.broken)
				virtio_fail(virtio, virtio->queues[i].ring.problem);
		if (virtio_live(virtio) && virtio->ops->ready)
			virtio->ops->ready(virtio);
		virtio_bells_update(virtio);
	}
}

void virtio_notified(struct virtio *virtio, unsigned queue)
{
	if (queue >= virtio->queue_count || !virtio_live(virtio) ||
	    !virtio->queues[queue].ring.enabled || !pci_bus_master(&virtio->pci))
		return;
	virtio->ops->notify(virtio, queue);
}

static void bell_rung(struct doorbell *bell)
{
	struct virtio_queue *queue = container_of(bell, struct virtio_queue, bell);

	virtio_notified(queue->virtio, (unsigned)(queue - queue->virtio->queues));
}

/* What rang before the registers moved was meant; before a reset, it isn't heard any more. */
void virtio_bells_update(struct virtio *virtio)
{
	bool wanted = virtio_live(virtio) && virtio->bar.space;

	for (unsigned i = 0; i < virtio->queue_count; i++) {
		struct doorbell *bell = &virtio->queues[i].bell;

		if (!(virtio->bells >> i & 1))
			continue;
		if (wanted)
			doorbell_place(bell, virtio->bar.base + VIRTIO_BAR_NOTIFY +
						     (uint64_t)i * VIRTIO_NOTIFY_MULTIPLIER);
		else if (doorbell_remove(bell))
			virtio_notified(virtio, i);
	}
}

static void go_on(struct timer *timer)
{
	struct virtio *virtio = container_of(timer, struct virtio, later);

	for (unsigned i = 0; i < virtio->queue_count; i++) {
		bool again = virtio->queues[i].again;

		virtio->queues[i].again = false;
		if (again)
			virtio_notified(virtio, i);
	}
}

void virtio_again(struct virtio *virtio, unsigned queue)
{
	virtio->queues[queue].again = true;
	timer_set(&virtio->later, vm_time(virtio->device.vm));
}

void virtio_starve(struct virtio *virtio, unsigned queue)
{
	virtio->queues[queue].starved = true;
}

void virtio_feed(struct virtio *virtio)
{
	for (unsigned i = 0; i < virtio->queue_count; i++)
		if (virtio->queues[i].starved) {
			virtio->queues[i].starved = false;
			virtio_again(virtio, i);
		}
}

static struct virtio_queue *selected(struct virtio *virtio)
{
	return virtio->queue_select < virtio->queue_count ? &virtio->queues[virtio->queue_select]
							  : NULL;
}

static uint32_t read_queue(struct virtio *virtio, unsigned offset)
{
	const struct virtio_queue *queue = selected(virtio);
	const struct virtqueue *ring = queue ? &queue->ring : NULL;

	if (!queue) /* a queue that isn't there has size 0 and nothing else of note */
		return offset == COMMON_QUEUE_VECTOR ? VIRTIO_NO_VECTOR : 0;
	switch (offset) {
	case COMMON_QUEUE_SIZE:
		return ring->size;
	case COMMON_QUEUE_VECTOR:
		return queue->vector;
	case COMMON_QUEUE_ENABLE:
		return ring->enabled;
	case COMMON_QUEUE_NOTIFY_OFF:
	case COMMON_QUEUE_NOTIFY_DATA:
		return virtio->queue_select;
	case COMMON_QUEUE_DESC:
		return (uint32_t)ring->descriptors;
	case COMMON_QUEUE_DESC + 4:
		return (uint32_t)(ring->descriptors >> 32);
	case COMMON_QUEUE_DRIVER:
		return (uint32_t)ring->driver;
	case COMMON_QUEUE_DRIVER + 4:
		return (uint32_t)(ring->driver >> 32);
	case COMMON_QUEUE_DEVICE:
		return (uint32_t)ring->device;
	case COMMON_QUEUE_DEVICE + 4:
		return (uint32_t)(ring->device >> 32);
	case COMMON_QUEUE_RESET:
		return queue->resetting;
	default:
		return 0;
	}
}

static uint32_t feature_word(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

uint32_t virtio_common_read(struct virtio *virtio, unsigned offset, unsigned size)
{
	switch (offset) {
	case COMMON_DEVICE_FEATURE_SELECT:
		return virtio->device_feature_select;
	case COMMON_DEVICE_FEATURE:
		return feature_word(virtio->offered, virtio->device_feature_select);
	case COMMON_DRIVER_FEATURE_SELECT:
		return virtio->driver_feature_select;
	case COMMON_DRIVER_FEATURE:
		return feature_word(virtio->accepted, virtio->driver_feature_select);
	case COMMON_CONFIG_VECTOR:
		return virtio->config_vector;
	case COMMON_NUM_QUEUES:
		return virtio->queue_count;
	case COMMON_STATUS:
		return size == 1 ? virtio->status
				 : virtio->status | (uint32_t)virtio->generation << 8;
	case COMMON_GENERATION:
		return virtio->generation;
	case COMMON_QUEUE_SELECT:
		return virtio->queue_select;
	default:
		return read_queue(virtio, offset);
	}
}

static void accept_features(struct virtio *virtio, uint32_t value)
{
	unsigned shift = 32 * virtio->driver_feature_select;

	if (virtio->driver_feature_select > 1 || (virtio->status & VIRTIO_FEATURES_OK))
		return;
	virtio->accepted = (virtio->accepted & ~(0xffffffffull << shift)) | (uint64_t)value
										    << shift;
}

/* A vector that isn't there reads back as none (4.1.5.1.2.1). */
static uint16_t valid_vector(const struct virtio *virtio, uint32_t value)
{
	return value <= virtio->queue_count ? (uint16_t)value : VIRTIO_NO_VECTOR;
}

static void enable_queue(struct virtio *virtio, struct virtio_queue *queue)
{
	if (queue->ring.enabled || queue->resetting || virtio->resetting ||
	    !(virtio->status & VIRTIO_FEATURES_OK))
		return;
	use_features(virtio);
	virtqueue_enable(&queue->ring);
	if (queue->ring.broken && (virtio->status & VIRTIO_DRIVER_OK))
		virtio_fail(virtio, queue->ring.problem);
}

static void reset_queue(struct virtio *virtio, struct virtio_queue *queue)
{
	if (!virtio_accepted(virtio, VIRTIO_F_RING_RESET) || !queue->ring.enabled)
		return;
	if (virtio->ops->queue_reset)
		virtio->ops->queue_reset(virtio, virtio->queue_select);
	queue->ring.enabled = false;
	queue->resetting = queue->ring.in_flight > 0;
	if (!queue->resetting)
		queue_init(queue);
}

static void set_half(uint64_t *address, bool high, uint32_t value)
{
	*address = high ? (*address & 0xffffffffull) | (uint64_t)value << 32
			: (*address & ~0xffffffffull) | value;
}

static void write_queue(struct virtio *virtio, unsigned offset, uint32_t value)
{
	struct virtio_queue *queue = selected(virtio);
	struct virtqueue *ring = queue ? &queue->ring : NULL;

	if (!queue)
		return;
	if (offset == COMMON_QUEUE_VECTOR) {
		queue->vector = valid_vector(virtio, value);
		return;
	}
	if (offset == COMMON_QUEUE_RESET && value == 1)
		reset_queue(virtio, queue);
	if (ring->enabled || queue->resetting || virtio->resetting)
		return;
	switch (offset) {
	case COMMON_QUEUE_SIZE:
		if (value && value <= ring->size_max && !(value & (value - 1)))
			ring->size = (uint16_t)value;
		break;
	case COMMON_QUEUE_ENABLE:
		if (value == 1)
			enable_queue(virtio, queue);
		break;
	case COMMON_QUEUE_DESC:
	case COMMON_QUEUE_DESC + 4:
		set_half(&ring->descriptors, offset & 4, value);
		break;
	case COMMON_QUEUE_DRIVER:
	case COMMON_QUEUE_DRIVER + 4:
		set_half(&ring->driver, offset & 4, value);
		break;
	case COMMON_QUEUE_DEVICE:
	case COMMON_QUEUE_DEVICE + 4:
		set_half(&ring->device, offset & 4, value);
		break;
	}
}

void virtio_common_write(struct virtio *virtio, unsigned offset, unsigned size, uint32_t value)
{
	switch (offset) {
	case COMMON_DEVICE_FEATURE_SELECT:
		virtio->device_feature_select = value;
		break;
	case COMMON_DRIVER_FEATURE_SELECT:
		virtio->driver_feature_select = value;
		break;
	case COMMON_DRIVER_FEATURE:
		accept_features(virtio, value);
		break;
	case COMMON_CONFIG_VECTOR:
		virtio->config_vector = valid_vector(virtio, value);
		break;
	case COMMON_STATUS:
		write_status(virtio, (uint8_t)value);
		break;
	case COMMON_QUEUE_SELECT:
		virtio->queue_select = (uint16_t)value;
		break;
	default:
		write_queue(virtio, offset, value);
	}
}
