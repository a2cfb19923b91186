// SPDX-License-Identifier: GPL-2.0
/*
 * Places for connections. Who has not said HELLO yet, or was refused, is a stranger: when there are too many of them, the one
 * that has been here longest goes, for a source needs a moment and who only sits there does not. A HELLO gets a place of its
 * group, which has two: for the connection that writes, and for one that waits until that has ended. So neither strangers nor a
 * group whose storage hangs take anything from the sources of other groups.
 */
#include <string.h>
#include <sys/socket.h>

#include "replicad.h"

#define OF_GROUP	2U		/* places of a group */
#define SPARE		64U		/* for strangers, beside one for each group; for groups that are only asked for */
#define MAX_LEAVING	64U		/* strangers that were sent away and whose thread is not gone yet */

static pthread_mutex_t places_lock = PTHREAD_MUTEX_INITIALIZER;
static struct session *strangers;	/* who came last is first */
static struct session *guests;		/* of groups */
static unsigned int nr_strangers, nr_guests, nr_leaving;

static void take_out(struct session **list, struct session *s)
{
	while (*list != s)
		list = &(*list)->next;
	*list = s->next;
}

/* With the lock. */
static void send_oldest_away(void)
{
	struct session *s = strangers;

	while (s->next)
		s = s->next;
	take_out(&strangers, s);
	nr_strangers--;
	s->place = LEAVING;
	nr_leaving++;
	/* Its thread hears of it, whatever it waits for. */
	shutdown(s->fd, SHUT_RDWR);
}

/* With the lock. */
static void become_stranger(struct session *s)
{
	if (nr_strangers >= config.max_groups + SPARE)
		send_oldest_away();
	s->place = STRANGER;
	s->next = strangers;
	strangers = s;
	nr_strangers++;
}

bool place_new(struct session *s)
{
	bool room;

	pthread_mutex_lock(&places_lock);
	room = nr_leaving < MAX_LEAVING;
	if (room)
		become_stranger(s);
	pthread_mutex_unlock(&places_lock);
	return room;
}

bool place_take(struct session *s, const uint8_t *id, struct vr_err *e)
{
	unsigned int groups = group_count(), of_group = 0;
	bool taken = false;

	/* Fewer may be allowed today than there are. */
	if (groups < config.max_groups)
		groups = config.max_groups;
	pthread_mutex_lock(&places_lock);
	for (const struct session *o = guests; o; o = o->next)
		of_group += !memcmp(o->wanted, id, sizeof(o->wanted));
	if (of_group >= OF_GROUP) {
		vr_fail(e, 0, "the group has a connection, and another one that waits for its end");
	} else if (s->place != STRANGER || nr_guests >= OF_GROUP * groups + SPARE) {
		vr_fail(e, 0, "there are too many connections");
	} else {
		take_out(&strangers, s);
		nr_strangers--;
		memcpy(s->wanted, id, sizeof(s->wanted));
		s->place = GUEST;
		s->next = guests;
		guests = s;
		nr_guests++;
		taken = true;
	}
	pthread_mutex_unlock(&places_lock);
	return taken;
}

/* With the lock. */
static void get_up(struct session *s)
{
	if (s->place == GUEST) {
		take_out(&guests, s);
		nr_guests--;
	} else if (s->place == STRANGER) {
		take_out(&strangers, s);
		nr_strangers--;
	} else {
		nr_leaving--;
	}
}

void place_give(struct session *s)
{
	pthread_mutex_lock(&places_lock);
	if (s->place == GUEST) {
		get_up(s);
		become_stranger(s);
	}
	pthread_mutex_unlock(&places_lock);
}

void place_leave(struct session *s)
{
	pthread_mutex_lock(&places_lock);
	get_up(s);
	pthread_mutex_unlock(&places_lock);
}
