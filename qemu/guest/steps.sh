# What the scripts of test images are made of. Functions for /script and /script.main.

# Says READY and goes on when the test types a line.
wait_for_go() {
    echo READY
    read -r _
}

# A record of a text of one's own.
say() {
    echo "<5>$*" > /dev/kmsg
}

# Waits until the log has a text.
wait_log() {
    until tool ring | grep -q "$1"; do sleep 0.1; done
}

# SIGTERM as systemd's initrd sends it: to all but the kernel's threads and those of root whose first
# word begins with @.
term_as_systemd() {
    for dir in /proc/[0-9]*; do
        pid=${dir#/proc/}
        words=$(tr '\0' ' ' < "$dir/cmdline" 2>/dev/null)
        [ "$pid" != 1 ] && [ -n "$words" ] || continue
        case "$(stat -c %u "$dir" 2>/dev/null) $words" in
            "0 @"*) ;;
            *) kill -TERM "$pid" ;;
        esac
    done
}

# A root of its own in memory at /new, with all that this image has, whose init runs /script.main.
make_main_system() {
    mkdir -p /new
    mount -t tmpfs -o mode=755 main /new
    cp -a /bin /lib /new/
    mkdir -p /new/proc /new/sys /new/dev /new/tmp /new/etc /new/sbin
    cp /script.main /new/script.main
    cat > /new/sbin/init <<'INIT'
#!/bin/sh
[ -e /proc/self ] || mount -t proc proc /proc
[ -e /dev/kmsg ] || mount -t devtmpfs dev /dev
. /lib/steps.sh
. /script.main
poweroff -f
INIT
    chmod 755 /new/sbin/init
}

# The mounts that every root needs go along.
move_mounts() {
    for dir in proc sys dev; do
        mount --move "/$dir" "/new/$dir"
    done
}

# The kernel's whole log to a port of the host, for comparison.
send_ring() {
    tool ring | nc 10.0.2.2 "$1"
}

# A receiver in this guest, by the words of `tool receive`, which listens when this returns. What it gets is in
# $received, and its process is $receiver.
received=/received
start_receiver() {
    mkdir -p "$received"
    (cd "$received" && exec tool receive "$@") &
    receiver=$!
    # The state is 0A of a socket that listens, 07 of one for datagrams.
    until grep -q ": [0-9A-F]*:$(printf %04X "$2") 00000000:0000 0[7A]" "/proc/net/$1"; do sleep 0.01; done
}

# Waits until it has stopped itself and its kernel holds all that will come.
wait_bytes_unread() {
    until grep -q '^State:.T' "/proc/$receiver/status"; do sleep 0.05; done
    until sender_rests "$1"; do sleep 0.05; done
    # State 01 is established, 08 that the sender has closed; the fifth word holds both queues.
    unread=$(awk -v port="$(printf %04X "$1")" '$2 ~ ":" port "$" && $4 ~ /01|08/ { sub(/.*:/, "", $5); print $5 }' /proc/net/tcp)
    echo "UNREAD $((0x${unread:-0}))"
}

# Whether the sender finds the window closed, or sleeps with nothing left to send: then and a moment later, as the log
# wakes it up with a delay.
sender_rests() {
    case "$(sender_state "$1")" in
        full) return 0 ;;
        empty) shippers_sleep && sleep 0.2 && [ "$(sender_state "$1")" = empty ] && shippers_sleep ;;
        *) return 1 ;;
    esac
}

# What the sender's end of a connection to a port says: "full" when it probes a closed window (its timer is number 4),
# "empty" when all is acknowledged.
sender_state() {
    awk -v port="$(printf %04X "$1")" '
        $3 ~ ":" port "$" && $4 ~ /01|08/ {
            if ($6 ~ /^04/) print "full"; else if ($5 ~ /^00000000:/) print "empty"; else print "busy"
        }' /proc/net/tcp
}

# Whether each process of earlykmsg waits.
shippers_sleep() {
    for pid in $(show_processes | cut -d ' ' -f 2); do
        grep -q '^State:.S' "/proc/$pid/status" || return 1
    done
}

# Ends it then.
kill_with_bytes_unread() {
    wait_bytes_unread "$1"
    kill_receiver
}

kill_receiver() {
    kill -KILL "$receiver"
    while grep -q '^State:.[^Z]' "/proc/$receiver/status" 2>/dev/null; do sleep 0.01; done
}

# Whether a text is among the last that the receiver got.
has_arrived() {
    newest=$(ls "$received" | tail -n 1)
    [ -n "$newest" ] && tail -c 131072 "$received/$newest" | grep -q "$1"
}

# Waits for that.
wait_arrived() {
    until has_arrived "$1"; do sleep 0.05; done
}

# All that the receiver got to a port of the host, a connection for each file.
send_received() {
    for name in $(ls "$received"); do nc 10.0.2.2 "$1" < "$received/$name"; done
}

# The time since the start, with a mark in front.
say_time() {
    echo "$1 $(cut -d ' ' -f 1 /proc/uptime)"
}

# The processes of earlykmsg, one line each.
show_processes() {
    for dir in /proc/[0-9]*; do
        { read -r name < "$dir/comm"; } 2>/dev/null || continue
        words=$(tr '\0' ' ' < "$dir/cmdline" 2>/dev/null)
        case "$name $words" in
            *earlykmsg*) echo "PROCESS ${dir#/proc/} $name: $words" ;;
        esac
    done
}

# The same when each of those that init has started has started its shipper.
show_processes_at_work() {
    for pid in $(show_processes | cut -d ' ' -f 2); do
        grep -q '^PPid:.1$' "/proc/$pid/status" || continue
        until grep -q "^PPid:.$pid$" /proc/[0-9]*/status 2>/dev/null; do sleep 0.05; done
    done
    show_processes
}

# How each process of earlykmsg is confined: its user and its system-call filters, and its memory as it is mapped.
show_confinement() {
    echo "PAGE_KB $(awk '/^KernelPageSize/ { print $2; exit }' /proc/self/smaps)"
    for pid in $(show_processes | cut -d ' ' -f 2); do
        awk -v pid="$pid" '/^(Uid|Seccomp|Seccomp_filters):/ { words = words " " $1 " " $2 }
            END { print "CONFINED " pid words }' "/proc/$pid/status"
        sed "s/^/MAP $pid /" "/proc/$pid/maps"
    done
}

# What is left of earlykmsg and its sockets to a port, after at most ten seconds for all to end: one line
# each with LEFT in front.
show_leftovers() {
    for _ in $(seq 50); do
        [ -n "$(leftovers "$1")" ] || return 0
        sleep 0.2
    done
    leftovers "$1"
}

leftovers() {
    show_processes | sed 's/^/LEFT /'
    for dir in /proc/[0-9]*; do
        ls -l "$dir/fd" "$dir/root" "$dir/cwd" "$dir/exe" 2>/dev/null | grep earlykmsg | sed "s|^|LEFT file of ${dir#/proc/}: |"
    done
    grep earlykmsg /proc/mounts | sed 's/^/LEFT mount /'
    # State 01 is established; TIME_WAIT (06) belongs to no one any more.
    awk -v port="$(printf %04X "$1")" '$3 ~ ":" port "$" && $4 == "01" { print "LEFT socket " $0 }' \
        /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6
}
