/* SPDX-License-Identifier: BSD-2-Clause */
/* Doorbells of a virtio device whose engine takes the writes (virtio_driver.h has that engine). */
#include "test.h"
#include "virtio_driver.h"

#include "hosts/fake/fake.h"
#include "lib/error.h"

enum { SLOT = 3, QUIET = 0, BELL = 1, QUEUES = 2 };

static struct driver driver;
static struct virtio_queue queues[QUEUES];
static struct virtio gadget;
static unsigned notified[QUEUES], readied;

static void ready(struct virtio *virtio)
{
	readied++;
}

static void notify(struct virtio *virtio, unsigned queue)
{
	notified[queue]++;
}

static const struct virtio_ops gadget_ops = {.ready = ready, .notify = notify};

static void power_on(void)
{
	static const uint16_t sizes[QUEUES] = {8, 8};

	REQUIRE(driver_machine(&driver, 1) == 0);
	gadget.ops = &gadget_ops;
	gadget.id = VIRTIO_RNG;
	gadget.queues = queues;
	gadget.queue_count = QUEUES;
	gadget.bells = 1u << BELL;
	vm_lock(&driver.vm);
	REQUIRE(virtio_init(&gadget, &driver.vm, &driver.bus, SLOT, "0", sizes) == 0);
	vm_unlock(&driver.vm);
	driver_power_on(&driver, SLOT);
}

static void start(void)
{
	power_on();
	REQUIRE(driver_begin(&driver, 0, 0));
}

static void hear(void)
{
	vm_lock(&driver.vm);
	driver_hear(&driver);
	vm_unlock(&driver.vm);
}

/* Where the bell is now; 0 if it is nowhere. */
static uint64_t bell_address(void)
{
	const struct doorbell *bell = driver.vm.doorbells;

	EXPECT(!bell || !bell->next);
	return bell ? bell->address : 0;
}

static uint64_t register_of(unsigned queue)
{
	return driver.cap[DRIVER_CAP_NOTIFY] + (uint64_t)queue * driver.notify_multiplier;
}

TEST(it_is_placed_while_the_driver_runs)
{
	power_on();
	EXPECT_EQ(bell_address(), 0);
	REQUIRE(driver_begin(&driver, 0, 0));
	EXPECT_EQ(bell_address(), register_of(BELL));
	driver_kick(&driver, BELL);
	EXPECT_EQ(notified[BELL], 1);
	driver_common_set(&driver, 0x14, 1, 0);
	EXPECT_EQ(bell_address(), 0);
	REQUIRE(driver_begin(&driver, 0, 0));
	EXPECT_EQ(bell_address(), register_of(BELL));
	vm_reset(&driver.vm);
	EXPECT_EQ(bell_address(), 0);
	driver_end(&driver);
}

TEST(queues_without_one_are_accesses)
{
	start();
	driver.deaf = true;
	driver_kick(&driver, QUIET);
	EXPECT_EQ(notified[QUIET], 1);
	driver_kick(&driver, BELL);
	EXPECT_EQ(notified[BELL], 0);
	hear();
	EXPECT_EQ(notified[BELL], 1);
	driver_end(&driver);
}

/* Moved, hidden and shown again; what rang before counts. */
TEST(it_follows_the_bar)
{
	uint64_t before, moved = 0xd8000000;

	start();
	before = register_of(BELL);
	driver.deaf = true;
	driver_kick(&driver, BELL);
	driver_config_set(&driver, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	EXPECT_EQ(bell_address(), 0);
	EXPECT_EQ(notified[BELL], 1);
	driver_store(&driver, before, 2, BELL);
	hear();
	EXPECT_EQ(notified[BELL], 1);
	driver_config_set(&driver, PCI_BAR0, 4, (uint32_t)moved);
	driver_config_set(&driver, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	EXPECT_EQ(bell_address(), moved + VIRTIO_BAR_NOTIFY + BELL * VIRTIO_NOTIFY_MULTIPLIER);
	driver_store(&driver, bell_address(), 2, BELL);
	/* In one go, while it decodes. */
	driver_config_set(&driver, PCI_BAR0, 4, 0xdc000000);
	EXPECT_EQ(notified[BELL], 2);
	EXPECT_EQ(bell_address(), 0xdc000000 + VIRTIO_BAR_NOTIFY + VIRTIO_NOTIFY_MULTIPLIER);
	driver_store(&driver, moved + VIRTIO_BAR_NOTIFY + VIRTIO_NOTIFY_MULTIPLIER, 2, BELL);
	hear();
	EXPECT_EQ(notified[BELL], 2);
	driver_end(&driver);
}

TEST(a_reset_device_does_not_hear_what_rang_before)
{
	start();
	driver.deaf = true;
	driver_kick(&driver, BELL);
	driver_common_set(&driver, 0x14, 1, 0);
	hear();
	EXPECT_EQ(notified[BELL], 0);
	REQUIRE(driver_begin(&driver, 0, 0));
	hear();
	EXPECT_EQ(notified[BELL], 0);
	driver_kick(&driver, BELL);
	vm_reset(&driver.vm);
	hear();
	EXPECT_EQ(notified[BELL], 0);
	driver_end(&driver);
}

TEST(a_queue_that_is_not_enabled_is_not_notified)
{
	power_on();
	REQUIRE(driver_negotiate(&driver, VIRTIO_F_VERSION_1));
	driver_common_set(&driver, 0x14, 1, 15);
	EXPECT_EQ(bell_address(), register_of(BELL));
	driver_kick(&driver, BELL);
	EXPECT_EQ(notified[BELL], 0);
	/* Nor without the right to reach memory. */
	driver_queue_init(&driver, BELL, 8);
	driver_queue_enable(&driver, BELL);
	driver_config_set(&driver, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	driver_kick(&driver, BELL);
	EXPECT_EQ(notified[BELL], 0);
	driver_config_set(&driver, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	driver_kick(&driver, BELL);
	EXPECT_EQ(notified[BELL], 1);
	driver_end(&driver);
}

/* As all vcpus have parked. */
static void stand(void)
{
	vm_lock(&driver.vm);
	vm_pause(&driver.vm);
	for (unsigned i = 0; i < driver.vm.vcpu_count; i++)
		driver.vm.vcpus[i]->parked = true;
	vm_vcpu_parked(&driver.vm);
	EXPECT(vm_paused(&driver.vm));
	vm_unlock(&driver.vm);
}

TEST(in_a_pause_it_waits_for_the_end)
{
	start();
	driver.deaf = true;
	driver_kick(&driver, BELL);
	stand();
	hear();
	EXPECT_EQ(notified[BELL], 0);
	vm_lock(&driver.vm);
	vm_resume(&driver.vm);
	vm_unlock(&driver.vm);
	EXPECT_EQ(notified[BELL], 1);
	hear();
	EXPECT_EQ(notified[BELL], 1);
	driver_end(&driver);
}

/* The file has nothing of it: who loads it looks at all queues. */
TEST(what_rang_before_a_save_is_looked_at_after_loading)
{
	static uint8_t state[65536];
	struct snapshot snapshot = {.bytes = state, .size = sizeof(state)};
	const struct device_ops *ops;

	start();
	ops = gadget.device.ops;
	driver.deaf = true;
	driver_kick(&driver, BELL);
	stand();
	hear();
	vm_lock(&driver.vm);
	ops->state(&gadget.device, &snapshot);
	vm_unlock(&driver.vm);
	vm_reset(&driver.vm);
	EXPECT_EQ(bell_address(), 0);
	readied = 0;
	snapshot = (struct snapshot){.loading = true, .bytes = state, .size = snapshot.position};
	vm_lock(&driver.vm);
	ops->state(&gadget.device, &snapshot);
	ops->loaded(&gadget.device);
	vm_unlock(&driver.vm);
	EXPECT_EQ(snapshot.error, 0);
	EXPECT_EQ(readied, 1);
	EXPECT_EQ(bell_address(), register_of(BELL));
	driver_end(&driver);
}

static int refuse(struct vm *vm, struct doorbell *bell)
{
	return -ENOSPC;
}

TEST(an_engine_that_can_take_no_more_leaves_accesses)
{
	static const struct engine_doorbells full = {.place = refuse};
	static struct engine engine;

	power_on();
	engine = *driver.vm.engine;
	engine.doorbells = &full;
	driver.vm.engine = &engine;
	REQUIRE(driver_begin(&driver, 0, 0));
	EXPECT_EQ(bell_address(), 0);
	driver_kick(&driver, BELL);
	EXPECT_EQ(notified[BELL], 1);
	driver_end(&driver);
}
