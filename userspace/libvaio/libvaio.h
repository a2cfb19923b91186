/* SPDX-License-Identifier: GPL-2.0 */
/* All of libvaio. */
#ifndef LIBVAIO_H
#define LIBVAIO_H

#include "blockdev.h"
#include "dm.h"
#include "err.h"
#include "group.h"
#include "host.h"
#include "image.h"
#include "luks.h"
#include "netlink.h"
#include "secret.h"
#include "table.h"
#include "units.h"

#endif /* LIBVAIO_H */
