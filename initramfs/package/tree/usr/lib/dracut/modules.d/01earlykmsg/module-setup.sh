#!/bin/bash
# dracut's module: the program in the image, and a hook that starts it.

# Part of every image, whatever the machine has.
check() {
    return 0
}

depends() {
    return 0
}

install() {
    # Where rdinit=/earlykmsg looks for it too.
    inst_simple /usr/sbin/earlykmsg /earlykmsg
    # Started by it where the command line says so: earlykmsg.ip=, earlykmsg.netconsole=, earlykmsg.pstore=
    inst_simple /usr/lib/earlykmsg/network /earlykmsg.d/network
    inst_simple /usr/lib/earlykmsg/pstore /earlykmsg.d/pstore
    # Before anything waits for the network or the disk.
    inst_hook cmdline 00 "$moddir/earlykmsg.sh"
}
