#!/bin/sh
# A stand-in for taskset: `taskset -cp LIST ID` puts the list where /proc tells of it. With a file kernel/forgets this is a kernel that
# makes the second of its words of the first.
root=${0%/*}/..
status=$root/proc/$3/status
[ -f "$status" ] || { echo "taskset: failed to get pid $3's affinity: No such process" >&2; exit 1; }
list=$2
asked=
[ ! -f "$root/kernel/forgets" ] || read -r asked made <"$root/kernel/forgets"
[ "$list" != "$asked" ] || list=$made
read -r name <"$status"
printf '%s\nCpus_allowed_list:\t%s\n' "$name" "$list" >"$status"
