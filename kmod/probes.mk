# SPDX-License-Identifier: GPL-2.0
# What this kernel's headers offer: one -DHAVE_x for each probe that matches.
#
#	vaio-probes += $(call vaio-probe,HAVE_X,include/linux/file.h,pattern)
#
# The pattern is for grep -E. Write . for a comma, and [(] and [)] for
# parentheses. Only kmod/compat.h may use the defines.

vaio-probe = $(if $(shell grep -sE '$(3)' $(srctree)/$(2)),-D$(1))

vaio-probes :=
