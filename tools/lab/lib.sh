# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Shared by the lab's scripts: places, locks, and Debian packages through a
# private apt root. Source it: it runs nothing and changes no shell option.
#
#   lab_fetch bookworm linux-image-amd64      prints the path of the .deb
#   lab_depends bookworm linux-image-amd64    prints its Depends, one a line
#
# "Suite" here is the name of one private root: bookworm (with its security
# and update suites), or trixie (with trixie-backports preferred).

LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LAB_TREE=$(cd "$LAB_DIR/../.." && pwd)
VAIO_CACHE=${VAIO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vaio}
LAB_KERNELS=(6.1 6.12 7.2)
# A user's PATH lacks what depmod, losetup and others lie in.
PATH=$PATH:/usr/sbin:/sbin
LAB_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

lab_say() { printf '%s: %s\n' "${LAB_NAME:-lab}" "$*" >&2; }
lab_die() { lab_say "$*"; exit 2; }

# lab_lock NAME: holds the lock NAME of the cache until this shell ends.
# Only fetching and unpacking are done under a lock.
lab_lock() {
	local fd
	mkdir -p "$VAIO_CACHE/lock"
	exec {fd}>"$VAIO_CACHE/lock/$1"
	if ! flock -n "$fd"; then
		lab_say "waiting for another run that holds the lock $1"
		flock "$fd"
	fi
}

# The mirror the machine itself uses, so that a local mirror or proxy serves
# the private roots too. $1: debian or debian-security.
lab_mirror() {
	local uri
	uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
		/etc/apt/sources.list.d/*.sources 2>/dev/null |
		sed -n -E '/^[[:space:]]*#/d; s/^(deb[[:space:]]+(\[[^]]*\][[:space:]]+)?|URIs:[[:space:]]*)//p' |
		grep -oE '^[a-z+]+:[^[:space:]]+' |
		grep -E "/$1/?\$" | head -n1) || true
	printf '%s\n' "${uri:-http://deb.debian.org/$1}"
}

lab_sources() {
	local main security signed="[signed-by=$LAB_KEYRING arch=amd64]"
	main=$(lab_mirror debian)
	security=$(lab_mirror debian-security)
	case $1 in
	bookworm)
		printf "deb $signed %s %s main\n" "$main" bookworm \
			"$main" bookworm-updates "$security" bookworm-security ;;
	trixie)
		printf "deb $signed %s %s main\n" "$main" trixie \
			"$security" trixie-security "$main" trixie-backports ;;
	*) lab_die "no private apt root '$1': choose bookworm or trixie" ;;
	esac
}

# lab_apt SUITE TOOL ARG...: apt-get or apt-cache inside a private root.
# Nothing of /etc/apt is used but its proxy and other transport settings.
lab_apt() {
	local root=$VAIO_CACHE/apt/$1 tool=$2
	shift 2
	APT_CONFIG=$root/apt.conf "$tool" -q "$@"
}

# lab_apt_root SUITE: makes the private root, and reads the package lists when
# they are missing or older than a day.
lab_apt_root() {
	local root=$VAIO_CACHE/apt/$1
	[[ -f $LAB_KEYRING ]] || lab_die "no $LAB_KEYRING: install debian-archive-keyring"
	mkdir -p "$root"/{etc/parts,state/lists/partial,cache/archives/partial}
	: >"$root/state/status"
	{
		apt-config dump | grep -E '^Acquire::' || true
		cat <<-END
		APT::Architecture "amd64";
		APT::Architectures { "amd64"; };
		APT::Sandbox::User "$(id -un)";
		APT::Install-Recommends "false";
		Acquire::Languages { "none"; };
		Acquire::Retries "3";
		Dir::State "$root/state";
		Dir::State::status "$root/state/status";
		Dir::Cache "$root/cache";
		Dir::Log "$root";
		Dir::Etc::main "/dev/null";
		Dir::Etc::parts "$root/etc/parts";
		Dir::Etc::sourcelist "$root/etc/sources.list";
		Dir::Etc::sourceparts "$root/etc/parts";
		Dir::Etc::preferences "$root/etc/preferences";
		Dir::Etc::preferencesparts "$root/etc/parts";
		END
	} >"$root/apt.conf"
	printf 'Package: src:linux linux-*\nPin: release n=%s-backports\nPin-Priority: 600\n' "$1" \
		>"$root/etc/preferences"
	lab_sources "$1" >"$root/etc/sources.list.new"
	if ! cmp -s "$root/etc/sources.list.new" "$root/etc/sources.list" ||
	   [[ -z $(find "$root/updated" -mmin -1440 2>/dev/null) ]]; then
		mv "$root/etc/sources.list.new" "$root/etc/sources.list"
		lab_say "reading the package lists of $1"
		lab_apt "$1" apt-get update >"$root/update.log" 2>&1 ||
			{ tail -n 20 "$root/update.log" >&2; lab_die "apt-get update for $1 failed"; }
		touch "$root/updated"
	else
		rm "$root/etc/sources.list.new"
	fi
}

# lab_depends SUITE PACKAGE: the packages it depends on, first alternative.
lab_depends() {
	lab_apt "$1" apt-cache show --no-all-versions "$2" |
		sed -n 's/^Depends: //p' | tr ',' '\n' |
		sed -E 's/[|(].*//; s/:any//; s/[[:space:]]//g'
}

# lab_fetch SUITE PACKAGE: downloads one package, prints the file's path.
lab_fetch() {
	local dir=$VAIO_CACHE/apt/$1/debs file
	mkdir -p "$dir"
	file=$(lab_apt "$1" apt-get download --print-uris "$2" | awk '{ print $2 }')
	[[ -n $file ]] || lab_die "package $2 was not found in $1"
	if [[ ! -f $dir/$file ]]; then
		lab_say "fetching $file"
		(cd "$dir" && lab_apt "$1" apt-get download "$2" >/dev/null)
	fi
	printf '%s\n' "$dir/$file"
}

# lab_complaint LOG: prints what a lab kernel must not say; false if nothing.
lab_complaint() {
	[[ -f $1 ]] && grep -a -m 20 -E 'Kernel panic|BUG: |WARNING: |Oops|general protection fault|cut here|UBSAN: |KASAN: |KCSAN: |INFO: task .* blocked for more than|INFO: possible|suspicious RCU|DEBUG_LOCKS_WARN|detected stalls|self-detected stall|new suspected memory leaks|unreferenced object|soft lockup|sleeping function called' "$1"
}

# lab_initramfs KERNEL: makes the initramfs of that kernel if its inputs
# changed, and prints its path.
lab_initramfs() {
	local dir=$VAIO_CACHE/kernels/$1 release module path file work count=0
	local -a wanted=(virtio_pci virtio_console 9p 9pnet_virtio overlay configfs)
	release=$(<"$dir/release")
	file=$VAIO_CACHE/initramfs/$release-$(cat "$dir/ready" "$LAB_DIR/init.c" \
		<(echo "${wanted[@]}") | sha256sum | cut -c1-12).cpio
	if [[ ! -f $file ]]; then
		mkdir -p "$VAIO_CACHE/initramfs"
		work=$(mktemp -d "$VAIO_CACHE/initramfs/new.XXXX")
		mkdir -p "$work"/root/{modules,proc,sys,dev,lower,upper,root}
		gcc -O2 -Wall -Wextra -Werror -static -o "$work/root/init" "$LAB_DIR/init.c"
		for module in "${wanted[@]}"; do
			while read -r path; do
				[[ -f $work/root/modules/${path##*/} ]] && continue
				cp "$path" "$work/root/modules/"
				echo "${path##*/}" >>"$work/root/modules/list"
				count=$((count + 1))
			done < <(/sbin/modprobe -d "$dir" -S "$release" --show-depends "$module" |
				sed -n 's/^insmod \([^ ]*\).*/\1/p')
		done
		[[ $count -gt 0 ]] || lab_die "no modules for the initramfs of $release"
		(cd "$work/root" && find . | cpio --quiet -o -H newc -R 0:0) >"$work/cpio"
		rm -f "$VAIO_CACHE/initramfs/$release"-*.cpio
		mv "$work/cpio" "$file"
		rm -rf "$work"
	fi
	printf '%s\n' "$file"
}

# lab_modules KERNEL: prints the folder for the guest's /lib/modules/RELEASE:
# the kernel's own modules and, when they are built, the project's.
lab_modules() {
	local dir=$VAIO_CACHE/kernels/$1 ours=$LAB_TREE/build/modules/$1 release views view key
	release=$(<"$dir/release")
	if ! compgen -G "$ours/*.ko" >/dev/null; then
		printf '%s\n' "$dir/lib/modules/$release"
		return
	fi
	views=$LAB_TREE/build/lab-modules/$1
	key=$(cat "$dir/ready" "$ours"/*.ko | sha256sum | cut -c1-12)
	view=$views/$key/lib/modules/$release
	if [[ ! -f $view/modules.dep.bin ]]; then
		local new=$views/new.$$
		mkdir -p "$new/lib/modules/$release/vaio"
		ln -s "$dir/lib/modules/$release/kernel" "$new/lib/modules/$release/kernel"
		cp "$dir/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} \
			"$new/lib/modules/$release/"
		cp "$ours"/*.ko "$new/lib/modules/$release/vaio/"
		/sbin/depmod -b "$new" "$release"
		find "$views" -mindepth 1 -maxdepth 1 -mmin +300 -exec rm -rf {} +
		mv -T "$new" "$views/$key" 2>/dev/null || rm -rf "$new"
	fi
	printf '%s\n' "$view"
}

# lab_accel ICOUNT: kvm where a guest has really booted with it, else tcg.
lab_accel() {
	local answer
	if [[ -n $1 || ! -r /dev/kvm || ! -w /dev/kvm ]]; then
		echo tcg
		return
	fi
	answer=$VAIO_CACHE/accel-$( (uname -r; grep -m1 '^model name' /proc/cpuinfo) | sha256sum | cut -c1-12)
	if [[ ! -f $answer ]]; then
		lab_say "trying whether a guest boots with KVM"
		if timeout 40 "$LAB_DIR/run" --accel kvm --timeout 25 -- true >/dev/null 2>&1; then
			echo kvm >"$answer"
		else
			echo tcg >"$answer"
		fi
		lab_say "using $(<"$answer")"
	fi
	cat "$answer"
}

# lab_out KERNEL: makes the folder of one run and prints its path; removes those
# that are older than a day.
lab_out() {
	local all=$LAB_TREE/build/lab-out out
	mkdir -p "$all"
	find "$all" -mindepth 1 -maxdepth 1 -mmin +1440 -exec rm -rf {} +
	out=$(mktemp -d "$all/$1-$(date +%H%M%S)-XXXX")
	chmod 755 "$out"
	printf '%s\n' "$out"
}

# lab_job KERNEL OUT MODULES UDEV COMMAND...: prints the script that the guest's
# init runs: COMMAND in this folder, with what it needs of this environment.
lab_job() {
	local kernel=$1 out=$2 modules=$3 udev=$4 name
	shift 4
	echo 'set -e'
	for name in $(compgen -e | grep -E '^(VAIO_|LANG$|LC_ALL$|.SAN_OPTIONS$)'); do
		printf 'export %s=%q\n' "$name" "${!name}"
	done
	printf 'export VAIO_KERNEL=%q VAIO_CACHE=%q\n' "$kernel" "$VAIO_CACHE"
	printf 'export VAIO_MODULES=%q\n' "$LAB_TREE/build/modules/$kernel"
	printf 'export LAB_OUT=%q LAB_UDEV=%q\nLAB_MODULES=%q\n' "$out" "$udev" "$modules"
	printf 'LAB_KEEP=(%q %q)\n' "$LAB_TREE" "$VAIO_CACHE"
	printf '. %q\nset +e\ncd %q\nexec' "$LAB_DIR/guest/setup" "$PWD"
	printf ' %q' "$@"
	echo
}
