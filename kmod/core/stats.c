// SPDX-License-Identifier: GPL-2.0
/*
 * Counters are per CPU and only ever added to; here they are summed. A sum is
 * taken while others count: each counter is right, and none goes back.
 */
#include <linux/percpu.h>
#include <linux/stdarg.h>
#include "core.h"

/**
 * vaio_slot_stats_alloc - counters of a slot, all zero
 *
 * May sleep. Return: for free_percpu(), or NULL.
 */
struct vaio_slot_stats __percpu *vaio_slot_stats_alloc(void)
{
	return alloc_percpu(struct vaio_slot_stats);
}
VAIO_EXPORT_FOR_KUNIT(vaio_slot_stats_alloc);

/* Both kinds of statistics are nothing but u64 counters. */
static void add_counters(u64 *sum, const u64 *counters, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes / sizeof(u64); i++)
		sum[i] += READ_ONCE(counters[i]);
}

/**
 * vaio_slot_stats_sum - a slot's counters over all CPUs
 * @slot: the slot; disk->lock keeps it
 * @sum: gets them
 *
 * Any context.
 */
void vaio_slot_stats_sum(const struct vaio_slot *slot, struct vaio_slot_stats *sum)
{
	int cpu;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu)
		add_counters((u64 *)sum, (const u64 *)per_cpu_ptr(slot->stats, cpu), sizeof(*sum));
}
EXPORT_SYMBOL_GPL(vaio_slot_stats_sum);

/**
 * vaio_stack_stats_sum - what entered a disk's stacks, over all CPUs
 * @disk: the disk
 * @sum: gets the counters since the disk was made, over all its tables
 *
 * Any context.
 */
void vaio_stack_stats_sum(const struct vaio_disk *disk, struct vaio_stack_stats *sum)
{
	int cpu;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu)
		add_counters((u64 *)sum, (const u64 *)per_cpu_ptr(disk->stats, cpu), sizeof(*sum));
}
EXPORT_SYMBOL_GPL(vaio_stack_stats_sum);

/**
 * vaio_text_add - one pair of a filter's show() or stats()
 * @t: as given to the hook
 * @name: of the property or counter
 * @fmt: of its value, as for printf; cut at VAIO_VALUE_LEN - 1 characters
 *
 * Context: as the hook, may sleep.
 */
void vaio_text_add(struct vaio_text *t, const char *name, const char *fmt, ...)
{
	char value[VAIO_VALUE_LEN];
	va_list args;

	va_start(args, fmt);
	vscnprintf(value, sizeof(value), fmt, args);
	va_end(args);
	t->add(t, name, value);
}
EXPORT_SYMBOL_GPL(vaio_text_add);
