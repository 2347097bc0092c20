#!/bin/sh
# A stand-in for systemctl: a service runs while the tree has its process.
cd "${0%/*}/.." || exit 1
case "$1 $2" in
"stop irqbalance") mv proc/812 stopped-812 ;;
"start irqbalance") mv stopped-812 proc/812 ;;
*) echo "unknown service" >&2; exit 1 ;;
esac
