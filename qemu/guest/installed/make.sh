#!/bin/bash
# Makes a Debian that starts itself: with its own kernel, and an initramfs that its own packages keep up to date. As root.
#
#   make.sh SUITE MAKER TOOL OUT    SUITE: bookworm; MAKER: initramfs-tools or dracut; TOOL: the program of ../tool.c
#
# OUT gets root.tar.zst and vmlinuz.
set -euo pipefail
suite=$1 maker=$2 tool=$3 out=$4
here=$(cd "$(dirname "$0")" && pwd)
umask 022

packages=(
    systemd systemd-sysv udev kmod iproute2 procps rsyslog busybox-static zstd linux-image-cloud-amd64 "$maker"
)
case "$suite $maker" in
"bookworm dracut") packages+=(dracut-network isc-dhcp-client iputils-arping dbus) ;;
*" dracut") packages+=(dracut-network systemd-resolved dbus) ;;
esac

# From where this machine has its own packages.
[ -n "$(apt-get indextargets 'Created-By: Packages' 'Origin: Debian')" ] || apt-get update --quiet=2
own=$(. /etc/os-release && echo "$VERSION_CODENAME")
apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    sed "s/ $own/ $suite/" | sort -u > "$out/sources.list"

# Before the packages: what the making of an initramfs goes by.
prepare() {
    cp -r "$here/tree/." "$1/"
    if [ "$suite $maker" = "bookworm dracut" ]; then
        echo 'add_dracutmodules+=" network-legacy "' > "$1/etc/dracut.conf.d/network.conf"
    elif [ "$maker" = dracut ]; then
        sed -i 's/systemd-networkd//' "$1/etc/dracut.conf.d/guest.conf"
        echo 'add_dracutmodules+=" network "' > "$1/etc/dracut.conf.d/network.conf"
    fi
}

# After them: the tests' own files.
finish() {
    cp -r "$here/../debian/tree/etc/systemd" "$here/../debian/tree/etc/rsyslog.conf" "$here/../debian/tree/etc/fstab" "$1/etc/"
    cp -r "$here/../debian/tree/usr/." "$1/usr/"
    install -m 755 "$tool" "$1/usr/local/bin/tool"
    install -m 644 "$here/../steps.sh" "$1/usr/local/lib/steps.sh"
    ln -s /bin/busybox "$1/usr/local/bin/nc"
    echo debian > "$1/etc/hostname"
    : > "$1/etc/machine-id"
    chroot "$1" systemctl --quiet enable after-boot
    chroot "$1" systemctl --quiet mask serial-getty@ttyS0 getty-static getty@tty1 apt-daily.timer \
        apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap fstrim.timer
    cp "$1"/boot/vmlinuz-* "$out/vmlinuz"
    # Emulated, they only take time.
    rm -r "$1"/usr/lib/modules/*/kernel/{arch,sound,drivers/gpu,drivers/infiniband} 2> /dev/null || true
    chroot "$1" depmod "$(cd "$1/usr/lib/modules" && ls)"
}

case "${5-}" in
prepare | finish)
    "$5" "$6"
    exit
    ;;
esac
self="\"$0\" \"$suite\" \"$maker\" \"$tool\" \"$out\""
mmdebstrap --quiet --mode=root --variant=essential --format=tar \
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    --include="$(IFS=,; echo "${packages[*]}")" --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt=force-unsafe-io --dpkgopt=force-confold --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/i18n/*' \
    --essential-hook="$self prepare \"\$1\"" --customize-hook="$self finish \"\$1\"" \
    "$suite" "$out/root.tar.zst" "$out/sources.list"
