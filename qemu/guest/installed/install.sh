#!/bin/bash
# Installs a package into a Debian of make.sh, and purges it again. As root, in mount and process namespaces of its own.
#
#   install.sh BASE DEB OUT    BASE: what make.sh made
#
# OUT gets, of both times, the disk (installed.img, purged.img) and the initramfs that the machine's own packages made
# (installed.initrd, purged.initrd) and what their tools list of it (installed.names, purged.names); and in `left` the paths that purging left or took.
set -euo pipefail
base=$1 deb=$2 out=$3
root=$out/root
umask 022

mkdir "$root"
tar --extract --file "$base/root.tar.zst" --directory "$root"

# A command inside, with what the makers of an initramfs look at.
inside() {
    mount -t proc proc "$root/proc"
    mount -t sysfs sys "$root/sys"
    mount --rbind /dev "$root/dev"
    chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
    umount --recursive "$root/proc" "$root/sys" "$root/dev"
}

# All paths, but for dpkg's own records and caches.
paths() {
    (cd "$root" && find . -path ./var/cache -prune -o -path ./var/lib/dpkg -prune -o -path ./tmp -prune -o -path ./run -prune \
        -o -path ./var/log -prune -o -print | sort)
}

keep() {
    cp "$root"/boot/initrd.img-* "$out/$1.initrd"
    local lister=lsinitrd
    [ ! -e "$root/usr/bin/lsinitramfs" ] || lister=lsinitramfs
    inside sh -c "$lister /boot/initrd.img-*" > "$out/$1.names"
    truncate --size=1200M "$out/$1.img"
    mke2fs -q -t ext4 -E no_copy_xattrs -O ^has_journal -d "$root" "$out/$1.img"
}

paths > "$out/before"
cp "$deb" "$root/tmp/earlykmsg.deb"
inside dpkg --install /tmp/earlykmsg.deb
rm "$root/tmp/earlykmsg.deb"
keep installed
inside dpkg --purge earlykmsg
keep purged
paths | diff "$out/before" - > "$out/left" || true
rm -rf "$root"
