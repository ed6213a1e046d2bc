#!/bin/bash
# Makes the disk of a Debian whose network is managed in one of these ways. As root, in mount and process namespaces of
# its own.
#
#   disk.sh BASE MANAGER OUT    BASE: what make.sh made; MANAGER: ifupdown, networkd-dhcp, networkd-static,
#                               networkmanager-dhcp or networkmanager-static
#
# OUT gets root.img.
set -euo pipefail
base=$1 manager=$2 out=$3
here=$(cd "$(dirname "$0")" && pwd)
root=$out/root
umask 022

mkdir "$root"
tar --extract --file "$base/root.tar.zst" --directory "$root"

# The addresses of both cards where they are fixed: others than DHCP gives.
first=52:54:00:12:34:01 second=52:54:00:12:34:02

cp -r "$here/disk/." "$root/"

enable() {
    chroot "$root" systemctl --quiet enable "$@"
}

own_resolv_conf() {
    rm -f "$root/etc/resolv.conf"
    : > "$root/etc/resolv.conf"
}

networkd() {
    cat > "$root/etc/systemd/network/$1.network"
}

# Enables it. What would be chance otherwise is fixed: its addresses by advertisements, which of two cards comes first.
start_networkmanager() {
    own_resolv_conf
    cat > "$root/etc/NetworkManager/conf.d/fixed.conf" <<< "[connection-first]
match-device=mac:$first
ipv4.route-metric=100
ipv6.route-metric=100
ipv6.addr-gen-mode=0
[connection-second]
match-device=mac:$second
ipv4.route-metric=200
ipv6.route-metric=200
ipv6.addr-gen-mode=0"
    enable NetworkManager NetworkManager-dispatcher NetworkManager-wait-online
}

# A profile of it.
networkmanager() {
    local file=$root/etc/NetworkManager/system-connections/$1.nmconnection
    cat > "$file"
    chmod 600 "$file"
}

case $manager in
ifupdown)
    own_resolv_conf
    {
        printf 'auto lo\niface lo inet loopback\n'
        # With names by the bus and without; those that are not there are never plugged.
        for link in ens16 ens17 enp0s16 enp0s17 eth0 eth1; do
            printf 'allow-hotplug %s\niface %s inet dhcp\n' $link $link
        done
    } > "$root/etc/network/interfaces"
    enable networking
    ;;
networkd-dhcp)
    ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
    networkd all <<< $'[Match]\nName=e*\n[Network]\nDHCP=yes'
    enable systemd-networkd systemd-networkd-wait-online systemd-resolved
    ;;
networkd-static)
    ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
    networkd first <<< "[Match]
MACAddress=$first
[Network]
Address=10.0.2.77/24
Gateway=10.0.2.2
DNS=10.0.2.3"
    networkd second <<< "[Match]
MACAddress=$second
[Network]
Address=10.0.3.77/24"
    enable systemd-networkd systemd-networkd-wait-online systemd-resolved
    ;;
networkmanager-dhcp)
    # Without a profile each card gets one that asks by DHCP.
    start_networkmanager
    ;;
networkmanager-static)
    start_networkmanager
    networkmanager first <<< "[connection]
id=first
uuid=00000000-0000-4000-8000-000000000001
type=ethernet
[ethernet]
mac-address=$first
[ipv4]
method=manual
address1=10.0.2.77/24,10.0.2.2
dns=10.0.2.3;"
    networkmanager second <<< "[connection]
id=second
uuid=00000000-0000-4000-8000-000000000002
type=ethernet
[ethernet]
mac-address=$second
[ipv4]
method=manual
address1=10.0.3.77/24"
    ;;
*)
    echo "disk.sh: no such manager: $manager" >&2
    exit 64
    ;;
esac

enable probe
truncate --size=1500M "$out/root.img"
mke2fs -q -t ext4 -E no_copy_xattrs -O ^has_journal -d "$root" "$out/root.img"
rm -rf "$root"
