# Brings QEMU's network card up. Functions for the script of a test image.

# Loads the drivers, in the order of their file names.
load_network() {
    for module in /modules/*.ko; do
        insmod "$module" || echo "unable to load $module"
    done
    ip link set lo up
    ip link set eth0 up
}

# An address without asking anyone.
network_up() {
    load_network
    ip addr add 10.0.2.15/24 dev eth0
    ip route add default via 10.0.2.2
}

# An address by DHCP.
network_by_dhcp() {
    load_network
    udhcpc -i eth0 -n -q -f -t 20 -T 1 -s /lib/dhcp.sh
}

# The loopback with packets of the usual size: the cable to a receiver in this guest.
loopback_up() {
    ip link set lo mtu 1500
    ip link set lo up
}

# Spoils the loopback, both ways, by the words of `tc qdisc add … netem`; the words before count no more. Takes an
# image with netem.
netem() {
    if [ -d /netem ] && ! [ -e /sys/module/sch_netem ]; then
        for module in /netem/*.ko; do insmod "$module"; done
        # Each packet meets its own fate, not each burst.
        /netem/ip link set lo gso_max_segs 1
    fi
    /netem/tc qdisc replace dev lo root netem limit 100000 "$@"
}

# Waits until nothing is under way in a spoiled loopback.
wait_loopback_empty() {
    until /netem/tc -s qdisc show dev lo | grep -q 'backlog 0b 0p'; do sleep 0.05; done
}
