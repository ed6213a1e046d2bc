#!/bin/sh
# What udhcpc calls with what it was given.
if [ "$1" = bound ] || [ "$1" = renew ]; then
    ip addr add "$ip/${mask:-24}" dev "$interface"
    [ -z "$router" ] || ip route add default via "$router"
    for server in $dns; do echo "nameserver $server"; done > /etc/resolv.conf
fi
