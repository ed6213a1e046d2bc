#!/bin/bash
# Makes a Debian with systemd as a disk, and beside it what starts it: an initramfs by initramfs-tools and one by
# dracut. As root.
#
#   make.sh KERNEL RELEASE TOOL OUT    KERNEL: an unpacked kernel package; TOOL: the program of ../tool.c
#
# OUT gets root.img, initramfs-tools.img and dracut.img.
set -euo pipefail
kernel=$1 release=$2 tool=$3 out=$4
here=$(cd "$(dirname "$0")" && pwd)
root=$out/root
umask 022

packages=(
    systemd systemd-sysv udev kmod iproute2 iputils-arping isc-dhcp-client procps rsyslog busybox-static
    initramfs-tools-core dracut-core dracut-network zstd
)
# From where this machine has its own packages.
[ -n "$(apt-get indextargets 'Created-By: Packages' 'Origin: Debian')" ] || apt-get update --quiet=2
apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    sort -u > "$out/sources.list"
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")

finish() {
    # The kernel and its modules, which this machine does not install either.
    mkdir -p "$root/lib/modules" "$root/boot"
    cp -a "$kernel"/lib/modules/"$release" "$root/lib/modules/"
    cp "$kernel/boot/config-$release" "$root/boot/"
    # Owner and modes of folders are the tree's, not those of a checkout.
    cp -r "$here/tree/." "$root/"
    install -m 755 "$tool" "$root/usr/local/bin/tool"
    install -m 644 "$here/../steps.sh" "$root/usr/local/lib/steps.sh"
    ln -s /bin/busybox "$root/usr/local/bin/nc"
    echo debian > "$root/etc/hostname"
    : > "$root/etc/machine-id"
    chroot "$root" depmod "$release"
    chroot "$root" systemctl --quiet enable after-boot
    chroot "$root" systemctl --quiet mask serial-getty@ttyS0 getty-static getty@tty1 apt-daily.timer \
        apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap fstrim.timer
    chroot "$root" mkinitramfs -o /boot/initramfs-tools.img "$release"
    chroot "$root" dracut --quiet --force --kver "$release" --no-hostonly --no-early-microcode --zstd \
        --modules "bash systemd systemd-initrd network-legacy network base rootfs-block kernel-modules \
            kernel-network-modules udev-rules fs-lib dracut-systemd shutdown" \
        --drivers "virtio_pci virtio_net virtio_blk ext4" --filesystems ext4 /boot/dracut.img
    mv "$root"/boot/{initramfs-tools,dracut}.img "$out"
    # Emulated, they only take time.
    rm -r "$root/lib/modules/$release/kernel/arch"
    chroot "$root" depmod "$release"
}

if [ "${5-}" = finish ]; then
    finish
    exit
fi
mmdebstrap --quiet --mode=root --variant=essential --format=directory \
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    --include="$(IFS=,; echo "${packages[*]}")" --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/i18n/*' \
    --customize-hook="\"$0\" \"$kernel\" \"$release\" \"$tool\" \"$out\" finish" \
    "$suite" "$root" "$out/sources.list"
truncate --size=600M "$out/root.img"
mke2fs -q -t ext4 -E no_copy_xattrs -O ^has_journal -d "$root" "$out/root.img"
rm -rf "$root"
