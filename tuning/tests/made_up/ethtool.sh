#!/bin/sh
# A stand-in for ethtool: values are files of the tree, ethtool/INTERFACE/OPTION/NAME. It prints what ethtool prints. (Nothing but the
# shell itself: tests run it thousands of times.)
here=${0%/*}/../ethtool/$2
fail() { echo "netlink error: $1" >&2; exit 1; }
[ -d "$here" ] || fail "No such device"
case $1 in
-g | -G) set=g ;;
-c | -C) set=c ;;
-a | -A) set=a ;;
-k | -K) set=k ;;
-l | -L) set=l ;;
*) set=n ;;
esac
[ "$set" = n ] || [ -d "$here/$set" ] || fail "Operation not supported"
# value NAME: reads it; n/a where there is none.
value() {
	read=n/a
	[ ! -f "$here/$set/$1" ] || read -r read <"$here/$set/$1"
}
line() { # TEXT NAME
	value "$2"
	printf "$1\n" "$read"
}
case $1 in
-g)
	printf 'Ring parameters for %s:\nPre-set maximums:\n' "$2"
	line 'RX:\t\t%s\nRX Mini:\tn/a\nTX:\t\tn/a' rx-most
	echo "Current hardware settings:"
	line 'RX:\t\t%s\nTX:\t\tn/a' rx ;;
-c)
	printf 'Coalesce parameters for %s:\n' "$2"
	line 'Adaptive RX: %s  TX: n/a\nstats-block-usecs: n/a\n' adaptive-rx
	line 'rx-usecs: %s' rx-usecs ;;
-a)
	printf 'Pause parameters for %s:\nAutonegotiate:\ton\n' "$2"
	line 'RX:\t\t%s' rx
	line 'TX:\t\t%s' tx ;;
-k)
	printf 'Features for %s:\n' "$2"
	line 'generic-receive-offload: %s' gro
	line 'large-receive-offload: %s' lro
	line 'ntuple-filters: %s' ntuple ;;
-l)
	printf 'Channel parameters for %s:\nPre-set maximums:\n' "$2"
	line 'Combined:\t%s' combined-most
	echo "Current hardware settings:"
	line 'Combined:\t%s' combined ;;
-n)
	set=k
	value ntuple
	[ "$read" = on ] || fail "Operation not supported"
	for rule in "$here"/n/*; do
		[ -f "$rule" ] || continue
		read -r group port queue <"$rule"
		printf 'Filter: %s\n\tRule Type: UDP over IPv4\n\tSrc IP addr: 0.0.0.0 mask: 255.255.255.255\n' "${rule##*/}"
		printf '\tDest IP addr: %s mask: 0.0.0.0\n\tTOS: 0x0 mask: 0xff\n\tSrc port: 0 mask: 0xffff\n' "$group"
		printf '\tDest port: %s mask: 0x0\n\tAction: Direct to queue %s\n\n' "$port" "$queue"
	done ;;
-N)
	if [ "$3" = delete ]; then rm "$here/n/$4"; exit; fi
	mkdir -p "$here/n"
	number=1023
	while [ -f "$here/n/$number" ]; do number=$((number - 1)); done
	echo "$6 $8 ${10}" >"$here/n/$number" ;;
-[GCAKL])
	[ ! -f "$here/$set/refuses" ] || fail "Invalid argument"
	shift 2
	while [ $# -gt 1 ]; do echo "$2" >"$here/$set/$1"; shift 2; done ;;
*) fail "no such option" ;;
esac
