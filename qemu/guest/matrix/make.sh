#!/bin/bash
# Makes a Debian that has everything that brings a network up and uses none of it yet, and beside it what starts it. As
# root.
#
#   make.sh SUITE TOOL OUT    SUITE: bookworm or trixie; TOOL: the program of ../tool.c
#
# OUT gets root.tar.zst, vmlinuz and, by each maker, an initramfs: initramfs-tools.initrd, dropbear.initrd,
# dracut-legacy.initrd, dracut-networkd.initrd.
set -euo pipefail
suite=$1 tool=$2 out=$3
here=$(cd "$(dirname "$0")" && pwd)
umask 022

packages=(
    systemd systemd-sysv udev dbus kmod iproute2 iputils-arping isc-dhcp-client procps busybox-static zstd
    ifupdown network-manager systemd-resolved linux-image-cloud-amd64 initramfs-tools dropbear-initramfs
    dracut-core dracut-network
)

# From where this machine has its own packages.
[ -n "$(apt-get indextargets 'Created-By: Packages' 'Origin: Debian')" ] || apt-get update --quiet=2
own=$(. /etc/os-release && echo "$VERSION_CODENAME")
apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    sed "s/ $own/ $suite/" | sort -u > "$out/sources.list"

# Before the packages: what the making of an initramfs goes by.
prepare() {
    cp -r "$here/tree/." "$1/"
    # Until dropbear is gone again.
    mkdir -p "$1/etc/initramfs-tools/conf.d"
    echo IP=dhcp > "$1/etc/initramfs-tools/conf.d/ip"
}

# After them: the tests' own files, and what the package's trigger has not made.
finish() {
    root=$1
    release=$(cd "$root/usr/lib/modules" && ls)
    install -m 755 "$tool" "$root/usr/local/bin/tool"
    install -m 644 "$here/../steps.sh" "$root/usr/local/lib/steps.sh"
    ln -s /bin/busybox "$root/usr/local/bin/nc"
    echo debian > "$root/etc/hostname"
    # What is made of it, such as the client of a lease, is the same in each boot.
    echo 0123456789abcdef0123456789abcdef > "$root/etc/machine-id"
    chroot "$root" systemctl --quiet disable networking NetworkManager NetworkManager-dispatcher \
        NetworkManager-wait-online systemd-networkd systemd-networkd-wait-online systemd-resolved 2> /dev/null || true
    chroot "$root" systemctl --quiet mask serial-getty@ttyS0 getty-static getty@tty1 apt-daily.timer \
        apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap fstrim.timer
    cp "$root"/boot/vmlinuz-* "$out/vmlinuz"
    # Emulated, they only take time.
    rm -r "$root/usr/lib/modules/$release"/kernel/{arch,sound,drivers/gpu,drivers/infiniband} 2> /dev/null || true
    chroot "$root" depmod "$release"
    cp "$root"/boot/initrd.img-* "$out/dropbear.initrd"
    rm "$root/etc/initramfs-tools/conf.d/ip"
    chroot "$root" dpkg --purge dropbear-initramfs dropbear-bin > /dev/null # its trigger makes the next one
    cp "$root"/boot/initrd.img-* "$out/initramfs-tools.initrd"
    dracut() {
        chroot "$root" dracut --quiet --force --kver "$release" "$@" /boot/dracut.img
    }
    dracut --add 'network-legacy' --omit 'network-manager systemd-networkd'
    mv "$root/boot/dracut.img" "$out/dracut-legacy.initrd"
    dracut --add 'systemd-networkd network' --omit 'network-manager network-legacy'
    mv "$root/boot/dracut.img" "$out/dracut-networkd.initrd"
    rm "$root"/boot/initrd.img-*
}

case "${4-}" in
prepare | finish)
    "$4" "$5"
    exit
    ;;
esac
self="\"$0\" \"$suite\" \"$tool\" \"$out\""
mmdebstrap --quiet --mode=root --variant=essential --format=tar \
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    --include="$(IFS=,; echo "${packages[*]}")" --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt=force-unsafe-io --dpkgopt=force-confold --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/i18n/*' \
    --essential-hook="$self prepare \"\$1\"" --customize-hook="$self finish \"\$1\"" \
    "$suite" "$out/root.tar.zst" "$out/sources.list"
