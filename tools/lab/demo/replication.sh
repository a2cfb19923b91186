# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Stage "replication": a disaster, and what comes back.
#
# The host that is lost is a kernel in the lab. The replica server is a process beside
# it: it has no part in any kernel and needs no privilege, and what survives a disaster
# is another machine, which here is the one that the lab runs on. Guests that recover
# run there too, as they would at a recovery site. (An emulated guest inside an emulated
# host would need minutes.)

# issue FOLDER server|client LINE...: a PKI folder with a key and a certificate of the CA
issue() {
	local dir=$1 kind=$2
	shift 2
	mkdir -p "$dir/CA" "$dir/vaio/private"
	cp "$shared/ca/cert.pem" "$dir/CA/cacert.pem"
	printf '%s\n' 'expiration_days = 30' signing_key "$@" >"$dir/template"
	certtool --generate-privkey --key-type ecdsa --outfile "$dir/vaio/private/${kind}key.pem" 2>/dev/null &&
		certtool --generate-certificate --load-privkey "$dir/vaio/private/${kind}key.pem" \
			--load-ca-certificate "$shared/ca/cert.pem" --load-ca-privkey "$shared/ca/key.pem" \
			--template "$dir/template" --outfile "$dir/vaio/${kind}cert.pem" 2>/dev/null
}

make_pki() {
	local dir=$shared/ca
	mkdir -p "$dir"
	printf '%s\n' 'cn = "demo CA"' ca cert_signing_key 'expiration_days = 30' >"$dir/template"
	certtool --generate-privkey --key-type ecdsa --outfile "$dir/key.pem" 2>/dev/null &&
		certtool --generate-self-signed --load-privkey "$dir/key.pem" --template "$dir/template" \
			--outfile "$dir/cert.pem" 2>/dev/null &&
		issue "$shared/replica" server 'cn = "replica"' tls_www_server 'ip_address = 10.0.2.2' &&
		issue "$shared/host" client 'cn = "host1"' tls_www_client
}

# These are asked on the demo's own socket; what is shown leaves that out.
vaioctl() { command vaioctl "$@" --socket "$work/replicad.sock"; }
seq_of() { vaioctl replica show vm1 "$1" --json | jq -r .seq; }

# From the boot loader's lines only the one that says who it is.
boot_guest() { # NAME DISK-SOCKET
	: >"$work/$1.log"
	start_guest "$2" "pipe,path=$work/guest" physical_block_size=4096
	sed -u 's|[\r\f]||g; /^Loading\|^$/d; s/ Copyright.*//' <"$work/guest.out" >"$work/$1.log" &
	reader=$!
}

# hear NAME TEXT WHAT: shows the guest's console up to TEXT
hear() { follow "$work/$1.log" "$2" "$reader" '   | ' "$3" || fail "the guest ended: no '$2'"; }

say() {
	printf '   > %s\n' "$1"
	echo "$1" >&"$console"
}

# recover POINT NAME: boots a guest from a writable export of that point, and has it look
# at its files. Its words are in $work/NAME.log. Sets $took.
recover() {
	local reader start=$SECONDS
	brief 2 vaioctl replica export vm1 --point "$1" --name "$2" --run "$work/run" --scratch "$work/scratch" \
		--scratch-max 64MiB || fail "export $1"
	boot_guest "$2" "$work/run/$2.sock"
	hear "$2" 'guest: up' 'the guest boots'
	say look
	hear "$2" 'all whole' 'the guest compares its files'
	say off
	hear "$2" 'powers off' 'the guest writes and powers off'
	wait "$guest" || fail 'the second guest'
	guest=''
	vaioctl replica unexport "$2" --run "$work/run" || fail unexport
	grep -q 'e2fsck -fn finds nothing wrong' "$work/$2.log" || fail 'the recovered filesystem was not checked'
	took=$((SECONDS - start))
}

# expect NAME TEXT WHAT: that is what the recovered guest saw
expect() { grep -q "^guest: $2" "$work/$1.log" || fail "$3"; }

stage_replication() {
	local unprivileged=() port found written list first checkpoint reader took offset figures

	title "A replica server, and a host whose guest's disk goes there"
	make_pki || fail certificates
	mkdir "$work/store" "$work/scratch"
	# Nothing of it needs a capability, whoever runs the demo.
	[[ $(id -u) != 0 ]] || unprivileged=(--bounding-set=-all --inh-caps=-all)
	setpriv --pdeathsig TERM --no-new-privs "${unprivileged[@]}" vaio-replicad --store "$work/store" --listen 127.0.0.1:0 \
		--pki "$shared/replica" --socket "$work/replicad.sock" --reserve 64MiB >"$work/replicad.log" 2>&1 &
	daemons+=($!)
	until port=$(grep -soE '127\.0\.0\.1:[0-9]+' "$work/replicad.log"); do
		kill -0 "${daemons[-1]}" 2>/dev/null || { cat "$work/replicad.log"; fail vaio-replicad; }
		sleep 0.1
	done
	port=${port##*:}
	printf '   vaio-replicad, without capabilities, on 127.0.0.1:%s, its store in %s\n' "$port" "$work/store"

	mkfifo "$work/guest.in" "$work/guest.out"
	host_options=(--extra-qemu -netdev --extra-qemu user,id=net
		--extra-qemu -device --extra-qemu virtio-net-pci,netdev=net,romfile=
		--extra-qemu -pidfile --extra-qemu "$work/host.pid" --log "$work/host.kernel.log")
	printf '   booting the host in the lab\n'
	start_host "$LAB_DIR/demo/replication-host" "$port" "$shared/host" "$LAB_TREE/build/demo/disk.img" \
		>"$work/host.log" 2>"$work/host.err"
	follow "$work/host.log" 'the guest may start' "$lab" '' 'the host boots, and its disk is replicated' ||
		{ cat "$work/host.err"; fail 'the host ended'; }
	prove 'agent and replica server know each other by certificates, and the disk is in step'

	title "A QEMU guest boots from /dev/mapper/vm1-vda of the host, and works"
	exec {console}<>"$work/guest.in"
	boot_guest lost "$work/disk"
	hear lost 'guest: up' 'the guest boots'
	say files
	hear lost '24 files are on the disk' 'the guest writes'
	show vaioctl replica checkpoint vm1 installed || fail checkpoint
	say note
	hear lost 'a note is on the disk' 'the guest writes'
	show vaioctl replica checkpoint vm1 before-upgrade || fail checkpoint
	say upgrade
	dull='record [0-9]*[1-46-9] is'
	hear lost 'record 20 ' 'the guest writes'
	# What is durable now must be in the newest point, whatever happens next.
	show vaioctl replica checkpoint vm1 twenty-records || fail checkpoint
	hear lost 'record 25 ' 'the guest writes'
	figures=$(vaioctl replica status vm1 --json) || fail status

	title "Disaster: kill -9 of the host, in the middle of the guest's writes"
	{ kill -KILL "$(<"$work/host.pid")" "$guest"; wait "$lab" "$guest" "$reader"; } 2>/dev/null || true
	lab=''
	guest=''
	written=$(grep -o 'record [0-9]* is' "$work/lost.log" | tail -n 1 | tr -dc 0-9)
	list=$(sed -n 's/.*their list is //p' "$work/lost.log")
	printf '   %d records were on the disk of the guest, by its own words\n' "$written"
	jq -r '"   RPO by the last report: \(.rpo_ns / 1e6 | round / 1e3) s, at worst \(.rpo_worst_ns / 1e6 | round / 1e3) s; " +
		"the journal of the replica has \(.journal_bytes / 1048576 | round) MiB"' <<<"$figures"
	vaioctl replica points vm1 --json |
		jq -r '.stretches | map(select(.kind == "complete"))[-1] | "   points: \(.last_seq - .first_seq + 1)"'
	show vaioctl replica points vm1 || fail points

	title "A second guest boots from the newest point: boot loader, kernel, root filesystem"
	recover latest newest
	found=$(sed -n 's/^guest: \([0-9]*\) records.*/\1/p' "$work/newest.log")
	[[ $found -ge 20 ]] || fail "the newest point has $found records, and 20 were durable"
	prove "the newest point boots, its filesystem is sound: $found of $written records, all whole, after $took s"
	expect newest "0 of 24 files .*$list" 'the upgrade is not there'
	expect newest 'the note is there' 'the note is not there'

	title "From the named checkpoint: before the upgrade went wrong"
	recover name:before-upgrade checkpoint
	expect checkpoint "24 of 24 files .*$list" 'files differ before the upgrade'
	expect checkpoint 'the note is there' 'the note is not there'
	expect checkpoint '0 records' 'there are records before the upgrade'
	prove 'the checkpoint boots: all 24 files, bit for bit, and the note'

	# One write of the note's: no more than a part of what makes a file.
	first=$(seq_of name:installed)
	checkpoint=$(seq_of name:before-upgrade)
	((first + 1 < checkpoint)) || fail 'there is no point between the two checkpoints'
	title "From a point before the checkpoint (seq:$checkpoint), in the middle of writing the note"
	recover "seq:$((first + 1))" before
	expect before "24 of 24 files .*$list" 'files differ before the checkpoint'
	expect before 'no note' 'the note is there before it was written'
	prove 'a point before the checkpoint, which nobody had named, boots: all 24 files, and no note yet'

	title "A single file of that point"
	show vaioctl replica extract vm1 "$work/disk.img" --point "seq:$((first + 1))" || fail extract
	offset=$(($(sgdisk -i 2 "$work/disk.img" | sed -n 's/^First sector: \([0-9]*\).*/\1/p') * 512))
	brief 0 debugfs -R "dump /srv/file7 $work/file7" "$work/disk.img?offset=$offset" || fail debugfs
	debugfs -R "dump /srv/SUMS $work/SUMS" "$work/disk.img?offset=$offset" 2>/dev/null || fail debugfs
	[[ $(sha256sum <"$work/SUMS") == "$list"* ]] || fail 'the list of files differs'
	(cd "$work" && grep 'file7$' SUMS | sha256sum -c | sed 's/^/   /' && [[ ${PIPESTATUS[1]} == 0 ]]) || fail 'file7 differs'
	prove 'a single file is fetched back from an older point'
	exec {console}>&-
	list_proved
}
