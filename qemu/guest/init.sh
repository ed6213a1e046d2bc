#!/bin/sh
# The init of a test image: the usual mounts, then the test's own /script, then power off. Mount points are
# made here, not in the image: what starts before this finds a bare root.
mkdir -p /proc /sys /dev /tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
. /lib/network.sh
. /lib/steps.sh
. /script
poweroff -f
