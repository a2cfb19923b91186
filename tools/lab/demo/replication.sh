# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Stage "replication": a disaster, and what comes back.

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

replica() { vaioctl replica "$@" --socket "$work/replicad.sock"; }

# wait_for TEXT FILE: until it is there; the demo fails when the host ends before
wait_for() {
	until grep -q "$1" "$2" 2>/dev/null; do
		kill -0 "$lab" 2>/dev/null || { lab=''; cat "$work/host.err"; fail 'the host ended'; }
		sleep 0.1
	done
}

# recover POINT NAME: boots a guest on a writable export of that point; its words go
# to $work/recovered
recover() {
	show replica export vm1 --point "$1" --name "$2" --run "$work/run" --scratch "$work/scratch" --scratch-max 64MiB || fail "export $1"
	start_guest "$work/run/$2.sock" "file,path=$work/serial" DEMO=recover
	wait "$guest" || fail 'the second guest'
	guest=''
	tr -d '\r' <"$work/serial" >"$work/recovered"
	sed 's/^/   | /' "$work/recovered"
	show replica unexport "$2" --run "$work/run" || fail unexport
	grep -q 'e2fsck finds nothing wrong' "$work/recovered" || fail 'the recovered disk is not sound'
}

stage_replication() {
	local port found written sum

	title "A replica server beside the host, and certificates for both"
	make_pki || fail certificates
	mkdir "$work/store" "$work/scratch"
	vaio-replicad --store "$work/store" --listen 127.0.0.1:0 --pki "$shared/replica" \
		--socket "$work/replicad.sock" --reserve 64MiB >"$work/replicad.log" 2>&1 &
	daemons+=($!)
	until port=$(grep -oE '127\.0\.0\.1:[0-9]+' "$work/replicad.log"); do
		kill -0 "${daemons[-1]}" 2>/dev/null || { cat "$work/replicad.log"; fail vaio-replicad; }
		sleep 0.1
	done
	port=${port##*:}

	lab_say "booting the host"
	mkfifo "$work/guest.in" "$work/guest.out"
	host_options=(--extra-qemu -netdev --extra-qemu user,id=net
		--extra-qemu -device --extra-qemu virtio-net-pci,netdev=net,romfile=
		--extra-qemu -pidfile --extra-qemu "$work/host.pid" --log "$work/host.kernel.log")
	start_host "$LAB_DIR/demo/replication-host" "$port" "$shared/host" > >(tee "$work/host.log") \
		2>"$work/host.err"
	wait_for 'in step with its replica' "$work/host.log"
	prove 'agent and replica server know each other by certificates, and the disk is in step'

	title "A QEMU guest writes to /dev/mapper/vm1-vda of the host"
	exec {console}<>"$work/guest.in"
	start_guest "$work/disk" "pipe,path=$work/guest" DEMO=write
	sed -u 's|\r||' <"$work/guest.out" | tee "$work/guest.log" | sed -u 's/^/   | /' &
	daemons+=($!)
	wait_for 'ready for the upgrade' "$work/guest.log"
	show replica checkpoint vm1 before-upgrade || fail checkpoint
	echo go >&"$console"
	wait_for 'record 20 ' "$work/guest.log"
	# What is durable now must be in the newest point, whatever happens next.
	show replica checkpoint vm1 twenty-records || fail checkpoint
	show replica status vm1 || fail status
	wait_for 'record 25 ' "$work/guest.log"

	title "Disaster: kill -9 of the host, in the middle of the guest's writes"
	{ kill -KILL "$(<"$work/host.pid")" "$guest"; wait "$lab" "$guest"; } 2>/dev/null || true
	lab=''
	guest=''
	exec {console}>&-
	written=$(grep -o 'record [0-9]* is' "$work/guest.log" | tail -n 1 | tr -dc 0-9)
	show replica points vm1 || fail points

	title "A second guest boots from the newest point"
	recover latest newest
	found=$(grep -oE '[0-9]+ records' "$work/recovered")
	found=${found% *}
	[[ $found -ge 20 ]] || fail "the newest point has $found records, and 20 were durable"
	prove "the newest point boots: $found of the $written records that the lost guest had written, all whole"
	grep -q '^guest: 0 of 24' "$work/recovered" || fail 'the upgrade is not there'

	title "And one from the point before the upgrade"
	recover name:before-upgrade before
	grep -q '^guest: 24 of 24' "$work/recovered" || fail 'files differ before the upgrade'
	prove 'the point before the upgrade boots too, and has all 24 files, bit for bit'

	title "A single file of that point"
	show replica extract vm1 "$work/disk.img" --point name:before-upgrade || fail extract
	show debugfs -R "dump /file7 $work/file7" "$work/disk.img" || fail debugfs
	sum=$(sed -n 's/.*sum of file7 \([0-9a-f]*\).*/\1/p' "$work/guest.log")
	[[ $(sha256sum <"$work/file7") == "$sum  -" ]] || fail 'file7 differs'
	prove 'a single file is fetched back from an older point'
	list_proved
}
