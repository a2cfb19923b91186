# SPDX-License-Identifier: GPL-2.0
# What this kernel's headers offer: one -DHAVE_x for each probe that matches.
#
#	vaio-probes += $(call vaio-probe,HAVE_X,include/linux/file.h,pattern)
#
# The pattern is for grep -E. Write . for a comma, and [(] and [)] for
# parentheses. Only kmod/compat.h may use the defines.

vaio-probe = $(if $(shell grep -sE '$(3)' $(srctree)/$(2)),-D$(1))

vaio-probes :=

# generic netlink
vaio-probes += $(call vaio-probe,HAVE_GENL_SPLIT_OPS,include/net/genetlink.h,struct genl_split_ops [{])

# bdev_file_open_by_path(), bdev_fput()
vaio-probes += $(call vaio-probe,HAVE_BDEV_FILE,include/linux/blkdev.h,bdev_file_open_by_path)

# BLK_OPEN_WRITE instead of FMODE_WRITE, module_dm(), unmapping write-zeroes
vaio-probes += $(call vaio-probe,HAVE_BLK_MODE_T,include/linux/blkdev.h,blk_mode_t)
vaio-probes += $(call vaio-probe,HAVE_MODULE_DM,include/linux/device-mapper.h,define module_dm)
vaio-probes += $(call vaio-probe,HAVE_WZEROES_UNMAP,include/linux/blkdev.h,max_hw_wzeroes_unmap_sectors)

# list_count_nodes(), which came late to 6.1 too
vaio-probes += $(call vaio-probe,HAVE_LIST_COUNT_NODES,include/linux/list.h,list_count_nodes)

# ciphers' callbacks
vaio-probes += $(call vaio-probe,HAVE_CRYPTO_CALLBACK_DATA,include/linux/crypto.h,crypto_completion_t..void)

# alloc_workqueue(WQ_PERCPU)
vaio-probes += $(call vaio-probe,HAVE_WQ_PERCPU,include/linux/workqueue.h,WQ_PERCPU)

# hex2bin() and its like have a header of their own
vaio-probes += $(call vaio-probe,HAVE_LINUX_HEX_H,include/linux/hex.h,hex2bin)

# bdev_rot() instead of bdev_nonrot()
vaio-probes += $(call vaio-probe,HAVE_BDEV_ROT,include/linux/blkdev.h,inline bool bdev_rot\b)

# hrtimer_setup() instead of hrtimer_init()
vaio-probes += $(call vaio-probe,HAVE_HRTIMER_SETUP,include/linux/hrtimer.h,void hrtimer_setup\b)

# eventfd_signal(ctx), vm_flags_mod(), blake2s(key, ..., out)
vaio-probes += $(call vaio-probe,HAVE_EVENTFD_SIGNAL_ONE,include/linux/eventfd.h,void eventfd_signal[(]struct eventfd_ctx .ctx[)])
vaio-probes += $(call vaio-probe,HAVE_VM_FLAGS_SET,include/linux/mm.h,vm_flags_mod)
vaio-probes += $(call vaio-probe,HAVE_BLAKE2S_CTX,include/crypto/blake2s.h,struct blake2s_ctx [{])
