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
