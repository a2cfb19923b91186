// SPDX-License-Identifier: GPL-2.0
/*
 * Virtual machines: disks that share a limit.
 *
 * The limit holds for the sum over the disks. It is named by each disk's table
 * and may be set through any of them; the one that was given last counts, for
 * all. A VM is there as long as a table names it.
 */
#include <linux/slab.h>
#include "qos.h"

static LIST_HEAD(qos_vms);

/**
 * qos_vm_get - a VM by name, made if there is none
 * @name: valid
 *
 * For a table; under qos_mutex. May sleep. Return: the VM, or NULL without memory.
 */
struct qos_vm *qos_vm_get(const char *name)
{
	struct qos_vm *vm;

	lockdep_assert_held(&qos_mutex);
	list_for_each_entry(vm, &qos_vms, list) {
		if (!strcmp(vm->name, name)) {
			vm->tables++;
			return vm;
		}
	}
	vm = kzalloc(sizeof(*vm), GFP_KERNEL);
	if (!vm)
		return NULL;
	spin_lock_init(&vm->lock);
	INIT_LIST_HEAD(&vm->members);
	strscpy(vm->name, name, sizeof(vm->name));
	vm->tables = 1;
	list_add_tail(&vm->list, &qos_vms);
	return vm;
}

/**
 * qos_vm_put - a table that named it is gone
 * @vm: the VM
 *
 * Under qos_mutex.
 */
void qos_vm_put(struct qos_vm *vm)
{
	lockdep_assert_held(&qos_mutex);
	if (--vm->tables)
		return;
	list_del(&vm->list);
	kfree(vm);
}

/* Credit that the disks hold is part of the burst, and so depends on their number. */
static void apply_all(struct qos_vm *vm)
{
	struct qos_slot *qs;

	list_for_each_entry(qs, &vm->members, vm_entry)
		qos_limit_apply(qs);
}

/**
 * qos_vm_join - a disk counts with the others
 * @qs: the disk, of no VM
 * @vm: the VM
 *
 * Under qos_mutex.
 */
void qos_vm_join(struct qos_slot *qs, struct qos_vm *vm)
{
	qs->vm = vm;
	vm->disks++;
	list_add_tail(&qs->vm_entry, &vm->members);
	apply_all(vm);
}

/**
 * qos_vm_leave - a disk counts no more
 * @qs: the disk
 *
 * Under qos_mutex, no io of the disk is in flight.
 */
void qos_vm_leave(struct qos_slot *qs)
{
	struct qos_vm *vm = qs->vm;

	if (!vm)
		return;
	qs->vm = NULL;
	vm->disks--;
	list_del(&qs->vm_entry);
	apply_all(vm);
}

/**
 * qos_vm_set - a new limit for all disks together
 * @vm: the VM
 * @rate: a second, by measure; 0: none
 * @burst_ms: what goes at once after a pause
 *
 * Acts at once. Under qos_mutex.
 */
void qos_vm_set(struct qos_vm *vm, const u64 rate[QOS_MEASURES], u32 burst_ms)
{
	memcpy(vm->rate, rate, sizeof(vm->rate));
	vm->burst_ms = burst_ms;
	spin_lock_irq(&vm->lock);
	/* the other half is the disks' credit */
	qos_limits_set(&vm->limits, rate, burst_ms * NSEC_PER_MSEC / 2, ktime_get_ns());
	spin_unlock_irq(&vm->lock);
	apply_all(vm);
}
