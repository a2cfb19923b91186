// SPDX-License-Identifier: GPL-2.0
/* What is set of a store, in its superblock: durable, or as it was before. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store_priv.h"

int vr_store_set_retention(struct vr_store *st, uint64_t ns, uint64_t bytes, uint64_t quota, struct vr_err *e)
{
	struct vr_super old;
	int err;

	pthread_mutex_lock(&st->lock);
	old = *st->super;
	st->super->retain_ns = ns;
	st->super->retain_bytes = bytes;
	st->super->quota_bytes = quota;
	err = vr_super_change(st, &old, e);
	pthread_mutex_unlock(&st->lock);
	return err;
}

int vr_store_set_source(struct vr_store *st, const uint8_t *host, const char *host_name, const uint8_t *ring,
			uint64_t connection, struct vr_err *e)
{
	struct vr_super old;
	int err;

	pthread_mutex_lock(&st->lock);
	old = *st->super;
	memcpy(st->super->source, host, VAIO_RW_ID_LEN);
	memset(st->super->source_name, 0, sizeof(st->super->source_name));
	snprintf(st->super->source_name, sizeof(st->super->source_name), "%s", host_name);
	memcpy(st->super->ring, ring, VAIO_RW_ID_LEN);
	st->super->connection = connection;
	err = vr_super_change(st, &old, e);
	pthread_mutex_unlock(&st->lock);
	return err;
}

static int find_client(const struct vr_super *s, const char *subject)
{
	for (unsigned int i = 0; i < s->nr_clients; i++)
		if (!strcmp(s->clients[i], subject))
			return (int)i;
	return -1;
}

bool vr_store_has_client(struct vr_store *st, const char *subject)
{
	bool has;

	pthread_mutex_lock(&st->lock);
	has = find_client(st->super, subject) >= 0;
	pthread_mutex_unlock(&st->lock);
	return has;
}

unsigned int vr_store_clients(struct vr_store *st, char (*out)[VAIO_RW_TEXT_LEN], unsigned int room)
{
	unsigned int nr;

	pthread_mutex_lock(&st->lock);
	nr = st->super->nr_clients < room ? st->super->nr_clients : room;
	memcpy(out, st->super->clients, nr * sizeof(*out));
	pthread_mutex_unlock(&st->lock);
	return nr;
}

static int check_subject(const char *subject, char text[VAIO_RW_TEXT_LEN], struct vr_err *e)
{
	memset(text, 0, VAIO_RW_TEXT_LEN);
	if (!*subject || strlen(subject) >= VAIO_RW_TEXT_LEN)
		return vr_fail(e, -EINVAL, "the subject name '%.40s' has not 1 to %d bytes", subject, VAIO_RW_TEXT_LEN - 1);
	memcpy(text, subject, strlen(subject));
	if (!vr_text_new((const uint8_t *)text, VAIO_RW_TEXT_LEN))
		return vr_fail(e, -EINVAL, "the subject name is not UTF-8, or has control characters");
	return 0;
}

int vr_store_adopt(struct vr_store *st, const char *subject, uint64_t retain_ns, uint64_t quota, struct vr_err *e)
{
	struct vr_super *s = st->super, old;
	char text[VAIO_RW_TEXT_LEN];
	int rc = check_subject(subject, text, e);

	if (rc)
		return rc;
	pthread_mutex_lock(&st->lock);
	if (!s->nr_clients && !st->durable.last_seq) {
		old = *s;
		memcpy(s->clients[0], text, sizeof(text));
		s->nr_clients = 1;
		s->retain_ns = retain_ns;
		s->quota_bytes = quota;
		rc = vr_super_change(st, &old, e);
		rc = rc ? rc : 1;
	}
	pthread_mutex_unlock(&st->lock);
	return rc;
}

int vr_store_client(struct vr_store *st, const char *subject, bool add, struct vr_err *e)
{
	struct vr_super *s = st->super, old;
	char text[VAIO_RW_TEXT_LEN];
	int i, err = check_subject(subject, text, e);

	if (err)
		return err;
	pthread_mutex_lock(&st->lock);
	old = *s;
	i = find_client(s, subject);
	if (add && i < 0 && s->nr_clients == VAIO_RS_MAX_CLIENTS) {
		err = vr_fail(e, -E2BIG, "the group has %u clients already", VAIO_RS_MAX_CLIENTS);
	} else if (add && i < 0) {
		memcpy(s->clients[s->nr_clients++], text, sizeof(text));
		err = vr_super_change(st, &old, e);
	} else if (!add && i < 0) {
		err = vr_fail(e, -ENOENT, "'%.150s' is no client of the group", subject);
	} else if (!add) {
		memmove(s->clients[i], s->clients[i + 1], (s->nr_clients - (unsigned int)i - 1) * sizeof(*s->clients));
		s->nr_clients--;
		err = vr_super_change(st, &old, e);
	}
	pthread_mutex_unlock(&st->lock);
	return err;
}
