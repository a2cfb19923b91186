/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _VAIO_PROBE_H
#define _VAIO_PROBE_H

#include "compat.h"
#include "filter.h"

/* What a hook does with a kind of request. */
enum probe_act {
	PROBE_PASS,
	PROBE_COMPLETE,
	PROBE_FAIL,
	PROBE_PACED,
	PROBE_ORDERED,
	PROBE_ASYNC,
	PROBE_SUB,
	__PROBE_ACTS,
};

enum probe_hook {
	PROBE_ENTER,
	PROBE_SUBMIT,
	PROBE_COMPLETED,	/* complete() */
	__PROBE_HOOKS,
};

/*
 * struct probe_words - what a table asked for: cfg->priv
 * @act: by hook and kind
 * @status: of an io that is failed
 * @delay_ms: a deferred io goes on after this time
 * @hold: PACED ios wait for "set release all" or quiesce
 * @log: write what happens into the module's log
 * @transform: offer one
 * @degraded: start() says so
 * @fail_check, @fail_attach, @fail_start: let that stage fail
 * @fail_remove: refuse to be removed
 * @refuse: type of event whose prepare is refused, -1: none
 * @own_start, @own_sectors: range that own writes go to, none when 0
 */
struct probe_words {
	u8		act[__PROBE_HOOKS][__VAIO_KIND_COUNT];
	blk_status_t	status;
	unsigned int	delay_ms;
	bool		hold, log, transform, degraded;
	bool		fail_check, fail_attach, fail_start, fail_remove;
	int		refuse;
	u64		own_start, own_sectors;
};

/* words.c */
int probe_parse(struct vaio_slot_cfg *cfg, char **error);
void probe_unparse(struct vaio_slot_cfg *cfg);
/* "submit_write" and the like; true when @name is one, and then *error says what is wrong */
bool probe_parse_act(struct probe_words *w, const char *name, const char *value, char **error);

#endif /* _VAIO_PROBE_H */
