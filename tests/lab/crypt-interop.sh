#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What the encryption filter writes dm-crypt reads bit for bit, and the other
# way round; also through a LUKS2 header made by cryptsetup.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/crypt-lib.sh"

modprobe dm-crypt || bail 'dm-crypt can be loaded'
load_modules vaio-crypt dm-vaio || bail 'the modules can be loaded'
mem_disk ours 64
mem_disk theirs 64
sectors=$(sectors_of /dev/ours)
add_key 64 vaio:k64
add_key 32 vaio:k32
head -c 1M /dev/urandom >"$WORK/one"
head -c 300K /dev/urandom >"$WORK/two"

# both_ways WHAT KEY IV_OFFSET SECTOR_SIZE LARGE
both_ways() {
	local what=$1 key=$2 iv=$3 size=$4 large=$5 at options=()
	random 0 $((sectors / 8 - 512))
	at=$REPLY
	[[ $size == 512 ]] || options+=("sector_size:$size")
	[[ $large == 0 ]] || options+=(iv_large_sectors)
	blkdiscard /dev/ours
	blkdiscard /dev/theirs

	filter_up f /dev/ours 0 "$sectors" key "$key" iv_offset "$iv" sector_size "$size" \
		iv_large_sectors "$large"
	put "$WORK/one" /dev/mapper/f "$at"
	check "$what: the filter reads what it wrote" same "$WORK/one" /dev/mapper/f "$at"
	check "$what: and is taken away" down f
	dmcrypt_up d /dev/theirs 0 "$sectors" "$iv" "$key" "${options[@]}"
	put "$WORK/one" /dev/mapper/d "$at"
	down d
	check "$what: both wrote the same bytes" cmp /dev/ours /dev/theirs
	check_fails "$what: and not the plaintext" differ same "$WORK/one" /dev/ours "$at"

	check "$what: dm-crypt opens the filter's disk" \
		dmcrypt_up d /dev/ours 0 "$sectors" "$iv" "$key" "${options[@]}"
	check "$what: dm-crypt reads what the filter wrote" same "$WORK/one" /dev/mapper/d "$at"
	put "$WORK/two" /dev/mapper/d "$at"
	down d
	filter_up f /dev/ours 0 "$sectors" key "$key" iv_offset "$iv" sector_size "$size" \
		iv_large_sectors "$large"
	check "$what: the filter reads what dm-crypt wrote" same "$WORK/two" /dev/mapper/f "$at"
	down f
}

both_ways 'AES-256, 512' :64:logon:vaio:k64 0 512 0
both_ways 'AES-256, 4096' :64:logon:vaio:k64 0 4096 0
both_ways 'AES-128, 512' :32:logon:vaio:k32 0 512 0
random 1 1000000
both_ways "iv_offset $REPLY" :64:logon:vaio:k64 "$REPLY" 512 0
random 1 1000000
both_ways "4096, iv_offset $((REPLY * 8))" :64:logon:vaio:k64 "$((REPLY * 8))" 4096 0
both_ways '4096, iv_offset beyond 32 bits' :64:logon:vaio:k64 $((1 << 36)) 4096 0
both_ways '4096, iv_large_sectors' :64:logon:vaio:k64 $((REPLY * 8)) 4096 1

# A part of the device: the tweak counts from the part's beginning.
filter_up f /dev/ours 2048 4096 key :64:logon:vaio:k64
put "$WORK/one" /dev/mapper/f 0
down f
dmcrypt_up d /dev/ours 2048 4096 0 :64:logon:vaio:k64
check 'with an offset on the device dm-crypt reads it too' same "$WORK/one" /dev/mapper/d 0
down d

# luks SECTOR_SIZE
luks() {
	local size=$1 offset length
	head -c 32 /dev/urandom >"$WORK/passphrase"
	check "LUKS2, $size: cryptsetup formats" cryptsetup luksFormat --type luks2 --batch-mode \
		--sector-size "$size" --cipher aes-xts-plain64 --key-size 512 --pbkdf pbkdf2 \
		--pbkdf-force-iterations 1000 --key-file "$WORK/passphrase" /dev/ours
	cryptsetup luksDump --dump-volume-key --volume-key-file "$WORK/volume" --batch-mode \
		--key-file "$WORK/passphrase" /dev/ours >/dev/null 2>&1
	keyctl padd logon "vaio:luks$size" @s <"$WORK/volume" >/dev/null
	rm "$WORK/volume"
	offset=$(cryptsetup luksDump --dump-json-metadata /dev/ours | jq '.segments."0".offset | tonumber / 512')
	length=$((sectors - offset))

	cryptsetup open --key-file "$WORK/passphrase" /dev/ours luks
	put "$WORK/one" /dev/mapper/luks 5
	cryptsetup close luks
	check "LUKS2, $size: the filter takes the table" make_filter f /dev/ours "$offset" "$length" \
		key ":64:logon:vaio:luks$size" sector_size "$size"
	check "LUKS2, $size: the filter reads what cryptsetup's device wrote" \
		same "$WORK/one" /dev/mapper/f 5
	put "$WORK/two" /dev/mapper/f 1000
	down f
	check "LUKS2, $size: cryptsetup opens it again" \
		cryptsetup open --key-file "$WORK/passphrase" /dev/ours luks
	check "LUKS2, $size: and finds what the filter wrote" same "$WORK/two" /dev/mapper/luks 1000
	check "LUKS2, $size: and its own" same "$WORK/one" /dev/mapper/luks 5
	cryptsetup close luks
}

luks 512
luks 4096

done_testing
