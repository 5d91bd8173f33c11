/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks and what makes them go: stores by the vcpu, by other vcpus and by devices, a full cache;
 * and several vcpus at once. */
#include "translate_guest.h"

#include <pthread.h>
#include <unistd.h>

static struct guest guest;

static struct machine_code *cache(void)
{
	return guest_cpu(&guest, 0)->code;
}

/* Runs vcpu 0 from GUEST_CODE on with what is in memory already. */
static struct vcpu_state *run_again(void)
{
	struct vcpu *vcpu = guest.vm.vcpus[0];

	guest_state(&vcpu->state);
	engine_translate.reset(vcpu);
	engine_translate.run(vcpu, &guest.exit);
	EXPECT_EQ(guest.exit.kind, EXIT_HALT);
	return &vcpu->state;
}

GUEST(constant, "mov $1, %eax; jmp 1f; .fill 100, 1, 0x90; 1: mov $2, %ebx; hlt");

TEST(a_second_run_translates_nothing)
{
	uint64_t blocks;

	guest_create(&guest, 1);
	guest_run(&guest, constant, constant_end);
	blocks = guest_cpu(&guest, 0)->count_blocks;
	EXPECT_EQ(blocks, cache()->block_count);
	EXPECT_EQ(run_again()->gpr[RBX], 2);
	EXPECT_EQ(guest_cpu(&guest, 0)->count_blocks, blocks);
}

TEST(a_device_store_drops_just_what_it_hits)
{
	uint8_t *code;

	guest_create(&guest, 1);
	guest_run(&guest, constant, constant_end);
	code = guest_at(&guest, GUEST_CODE);
	code[60] = 0xcc;
	vm_written(&guest.vm, gpa(GUEST_CODE + 60), 1);
	EXPECT_EQ(cache()->count_dropped, 0);
	code[1] = 77;
	vm_written(&guest.vm, gpa(GUEST_CODE + 1), 1);
	EXPECT_EQ(cache()->count_dropped, 1);
	EXPECT_EQ(run_again()->gpr[RAX], 77);
	code[108] = 78; /* the immediate behind label 1 */
	vm_written(&guest.vm, gpa(GUEST_CODE - 5000), 10000);
	EXPECT_EQ(run_again()->gpr[RBX], 78);
	EXPECT_EQ(run_again()->gpr[RAX], 77);
}

TEST(a_page_without_blocks_takes_stores_again)
{
	guest_create(&guest, 1);
	guest_run(&guest, constant, constant_end);
	EXPECT(code_on_page(guest_cpu(&guest, 0), GUEST_CODE));
	vm_written(&guest.vm, gpa(GUEST_CODE), 4096);
	code_note_writable(guest_cpu(&guest, 0), GUEST_CODE);
	EXPECT(!code_on_page(guest_cpu(&guest, 0), GUEST_CODE + 4095));
	EXPECT(!code_lookup(cache(), GUEST_CODE, 0, guest_cpu(&guest, 0)->mode));
}

GUEST(spinning, "mov $5000, %ecx; mov $7, %edx; 1: pause; cmp $6, %edx; dec %ecx; jnz 1b; hlt");

TEST(only_among_others_a_long_spin_gives_the_core_away)
{
	guest_create(&guest, 1);
	EXPECT_EQ(guest_run(&guest, spinning, spinning_end)->gpr[RCX], 0);
	EXPECT_EQ(guest_cpu(&guest, 0)->spin_yields, 0);
	vm_destroy(&guest.vm);
	guest_create(&guest, 2);
	EXPECT_EQ(guest_run(&guest, spinning, spinning_end)->gpr[RCX], 0);
	/* A host that takes the thread away near the end makes a new loop of the rest: try again.
	 */
	for (int i = 0; i < 50 && !guest_cpu(&guest, 0)->spin_yields; i++)
		EXPECT_EQ(run_again()->gpr[RCX], 0);
	EXPECT(guest_cpu(&guest, 0)->spin_yields > 0);
}

TEST(what_is_not_memory_has_no_code)
{
	guest_create(&guest, 1);
	code_note_writable(guest_cpu(&guest, 0), 1ull << 40);
	EXPECT(!code_on_page(guest_cpu(&guest, 0), 1ull << 40));
	code_written_by_device(cache(), UINT64_MAX - 10000, 9000);
	EXPECT(!code_page_prepare(guest_cpu(&guest, 0), 1ull << 40));
}

TEST(instructions_that_wander_are_taken_for_no_others)
{
	unsigned found = 0, wrong = 0;

	guest_create(&guest, 1);
	guest_run(&guest, constant, constant_end);
	for (unsigned offset = 0; offset < 4096; offset++)
		code_window_wanders(cache(), &cache()->blocks[0], offset);
	for (unsigned offset = 0; offset < 4096; offset++) {
		found += code_wanders(cache(), GUEST_CODE + offset);
		wrong += code_wanders(cache(), GUEST_CODE + 4096 + offset);
	}
	EXPECT(found > 2048);
	EXPECT_EQ(wrong, 0);
	EXPECT(cache()->blocks[0].dropped);
}

TEST(a_crowded_hash_is_emptied)
{
	guest_create(&guest, 1);
	guest_run(&guest, constant, constant_end);
	cache()->hash_crowded = true;
	EXPECT_EQ(run_again()->gpr[RBX], 2); /* with nothing to translate */
	EXPECT_EQ(cache()->count_flushes, 0);
	vm_written(&guest.vm, gpa(GUEST_CODE), 1);
	EXPECT_EQ(run_again()->gpr[RBX], 2);
	EXPECT_EQ(cache()->count_flushes, 1);
	EXPECT(!cache()->hash_crowded);
}

/* Twice as many functions as go into what is left of the cache, over and over. */
GUEST(many, "mov $77, %eax; movd %eax, %xmm0;"
	    "mov $3, %r12d; 1: mov $0x400000, %ebx; mov $2000, %ecx; xor %edx, %edx; 2: call "
	    "*%rbx; add $64, %rbx; dec %ecx; jnz 2b;"
	    "dec %r12d; jnz 1b; movd %xmm0, %eax; hlt");

TEST(a_full_cache_is_flushed_and_grows_if_it_is_full_again_soon)
{
	uint32_t limit;

	guest_create(&guest, 1);
	for (unsigned i = 0; i < 2000; i++)
		memcpy(guest_at(&guest, 0x400000 + i * 64), (const uint8_t[]){0x83, 0xc2, 3, 0xc3},
		       4);
	cache()->code_used = cache()->code_limit - CODE_BLOCK_BYTES - 100000;
	EXPECT_EQ(guest_run(&guest, many, many_end)->gpr[RDX], 6000);
	EXPECT_EQ(cache()->count_flushes, 1);
	EXPECT_EQ(guest.vm.vcpus[0]->state.gpr[RAX], 77);
	EXPECT_EQ(run_again()->gpr[RDX], 6000); /* now all is there */
	limit = cache()->code_limit;
	cache()->code_used = limit - CODE_BLOCK_BYTES + 1;
	memcpy(guest_at(&guest, 0x400000), (const uint8_t[]){0x83, 0xc2, 4, 0xc3}, 4);
	vm_written(&guest.vm, gpa(0x400000), 4096);
	guest_cpu(&guest, 0)->count_blocks = 0;
	EXPECT_EQ(run_again()->gpr[RDX], 6001);
	EXPECT_EQ(cache()->count_flushes, 1);
	EXPECT_EQ(cache()->code_limit, 2 * limit);
	/* That function alone was translated, and what follows it. */
	EXPECT(guest_cpu(&guest, 0)->count_blocks > 0);
	EXPECT(guest_cpu(&guest, 0)->count_blocks < 100);
}

/* Several vcpus */

static struct exit exits[VM_VCPUS_MAX];

static void *run_vcpu(void *argument)
{
	struct vcpu *vcpu = argument;

	engine_translate.run(vcpu, &exits[vcpu->id]);
	return NULL;
}

static void run_all(const uint8_t *code, const uint8_t *end, unsigned vcpus)
{
	pthread_t threads[VM_VCPUS_MAX];

	guest_create(&guest, vcpus);
	memcpy(guest_at(&guest, GUEST_CODE), code, (size_t)(end - code));
	for (unsigned i = 0; i < vcpus; i++) {
		guest.vm.vcpus[i]->state.gpr[RDI] = i;
		guest.vm.vcpus[i]->state.gpr[RSP] = GUEST_STACK - i * 4096;
		pthread_create(&threads[i], NULL, run_vcpu, guest.vm.vcpus[i]);
	}
	for (unsigned i = 0; i < vcpus; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(exits[i].kind, EXIT_HALT);
	}
}

GUEST(atomic_adds, "mov $0x200000, %ebx; mov $20000, %ecx; 1: lock incq (%rbx); mov $1, %eax; lock "
		   "xadd %rax, 64(%rbx);"
		   "lock addq $1, 0x1ffc(%rbx); dec %ecx; jnz 1b; hlt");
TEST(locked_instructions_are_atomic_even_across_pages)
{
	uint64_t split;

	run_all(atomic_adds, atomic_adds_end, 4);
	EXPECT_EQ(*(uint64_t *)guest_at(&guest, 0x200000), 80000);
	EXPECT_EQ(*(uint64_t *)guest_at(&guest, 0x200040), 80000);
	memcpy(&split, guest_at(&guest, 0x201ffc), 8);
	EXPECT_EQ(split, 80000);
}

/*
 * Vcpu 0 writes a new constant into a function that the others call all the time, then waits until
 * each has seen it (their slots at 0x200000 + 64 * id hold the last value).
 */
GUEST(cross_modifying, "mov $0x200000, %ebx; shl $6, %edi; test %edi, %edi; jz 2f;"
		       "1: call 9f; mov %eax, (%rbx,%rdi); cmp $300, %eax; jb 1b; hlt;"
		       "2: mov $1, %ecx; 3: mov %ecx, 9f+1(%rip); 4: pause; cmp %ecx, 64(%rbx); "
		       "jne 4b; cmp %ecx, 128(%rbx); jne 4b;"
		       "inc %ecx; cmp $300, %ecx; jbe 3b; hlt; .fill 4096, 1, 0x90; .balign 16; 9: "
		       "mov $0, %eax; ret");
TEST(code_changed_by_another_vcpu_is_seen)
{
	run_all(cross_modifying, cross_modifying_end, 3);
	EXPECT_EQ(*(uint32_t *)guest_at(&guest, 0x200040), 300);
	EXPECT_EQ(*(uint32_t *)guest_at(&guest, 0x200080), 300);
}

/* Each vcpu writes a function into a page of its own that it has written to before, and calls it.
 */
GUEST(generating, "shl $12, %edi; add $0x600000, %edi; xor %edx, %edx; mov $200, %ecx; 1: movb "
		  "$0xb8, (%rdi); mov %ecx, 1(%rdi);"
		  "movb $0xc3, 5(%rdi); call *%rdi; add %rax, %rdx; mov %rdi, %rsi; add $64, %rdi; "
		  "add $4096*4-64, %rdi; dec %ecx;"
		  "jnz 1b; hlt");
TEST(generated_code_runs_on_every_vcpu)
{
	run_all(generating, generating_end, 4);
	for (unsigned i = 0; i < 4; i++)
		EXPECT_EQ(guest.vm.vcpus[i]->state.gpr[RDX], 200 * 201 / 2);
}

GUEST(endless, "xor %eax, %eax; 1: inc %rax; mov %rax, 0x200000; jnz 1b; hlt");
TEST(a_kick_ends_a_running_loop)
{
	_Atomic uint64_t *count;
	pthread_t thread;

	guest_create(&guest, 1);
	count = guest_at(&guest, GUEST_DATA);
	memcpy(guest_at(&guest, GUEST_CODE), endless, (size_t)(endless_end - endless));
	pthread_create(&thread, NULL, run_vcpu, guest.vm.vcpus[0]);
	for (unsigned i = 0; i < 60000 && atomic_load(count) <= 1000; i++)
		usleep(1000);
	vcpu_post(guest.vm.vcpus[0], PENDING_STOP);
	engine_translate.kick(guest.vm.vcpus[0]);
	pthread_join(thread, NULL);
	EXPECT_EQ(exits[0].kind, EXIT_KICKED);
	EXPECT(guest.vm.vcpus[0]->state.gpr[RAX] > 1000);
	EXPECT(guest.vm.vcpus[0]->state.rip > GUEST_CODE);
}
