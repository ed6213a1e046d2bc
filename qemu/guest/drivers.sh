# Loads the drivers of an overlay for the devices that are there, as modprobe would. A script for a test image without
# drivers of its own.

# A file with all that its line names: the last is needed first.
load_file() {
    words=$(grep "^$1:" /earlykmsg.d/modules.dep) || { echo "FAILED no line for $1"; return; }
    order=${words%%:*}
    for file in ${words#*:}; do order="$file $order"; done
    for file in $order; do
        name=${file##*/}
        name=$(echo "${name%%.ko*}" | tr - _)
        [ -e "/sys/module/$name" ] && continue
        insmod "/earlykmsg.d/$file" && echo "LOADED $name" || echo "FAILED $file"
    done
}

# Modules by the aliases of devices, until that brings no more devices.
load_all() {
    while devices=$(cat /sys/bus/*/devices/*/modalias 2> /dev/null | sort -u); [ "$devices" != "${before-}" ]; do
        before=$devices
        while read -r _ pattern name; do
            for device in $devices; do
                case $device in
                $pattern) load_file "$(grep -o "^[^:]*/$(echo "$name" | sed 's/_/[-_]/g')\.ko[^:]*" /earlykmsg.d/modules.dep)" ;;
                esac
            done
        done <<EOF
$(grep '^alias' /earlykmsg.d/modules.alias)
EOF
    done
}

# The drivers of the links that there are.
show_drivers() {
    for link in /sys/class/net/*/device/driver; do
        [ ! -e "$link" ] || echo "DRIVER $(basename "$(readlink "$link")")"
    done | sort
}
