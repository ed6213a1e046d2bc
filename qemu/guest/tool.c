/* The tool that tests use inside a guest: one static program, told what to do by its first word.
 *
 *   world               What the process was given: arguments, environment, descriptors, mounts, signals,
 *                       limits. As lines "W name: value" on the serial console, then it becomes
 *                       /bin/sh /after. Installed as the image's init it shows an init's world.
 *   ring                The kernel's whole log as /dev/kmsg gives it, on standard output.
 *   hold KIND HOST PORT Connects (KIND tcp or udp), says "held" and keeps the socket.
 *   move-root DIR INIT  As PID 1: moves the mount DIR over /, as Talos does it: MS_MOVE, chroot, removal of
 *                       the old root's files, exec of INIT. An error of the removal is an end, as there.
 *   write-log           Each line of standard input becomes a record, "<6>text" with its level.
 *   count-log N         N records, numbered, a millisecond between them.
 *   say TEXT            A record, whose sequence number goes to standard output.
 *   storm N             N records, numbered, as fast as the kernel takes them.
 *   time-log N          N records, "timed I at A; the last by B": microseconds of CLOCK_MONOTONIC, read before this
 *                       record was written and after the one before it. One more, numbered N, ends them.
 *   step-clock MS       Sets the wall clock forward or back, and says so in a record: "stepped by A to B ahead", the
 *                       microseconds of the step and those by which it is ahead of CLOCK_MONOTONIC now.
 *   receive KIND PORT [stop=BYTES | slow=BYTES]
 *                       Listens (KIND tcp or udp) on all addresses and puts what comes into files of the working
 *                       folder: one a connection, 000 and on behind those that are there; one for all datagrams,
 *                       a line each. With stop= it stops itself (SIGSTOP) when it has read so much; with slow= it
 *                       reads so much a second until SIGUSR1.
 *   name-server IPV4    Answers every question for an IPv4 address with this one, which holds for a minute, and
 *                       says that there is no other record.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int fail(const char *step, const char *what) {
    dprintf(2, "tool: unable to %s %s: %s\n", step, what, strerror(errno));
    return 1;
}

static void print_file(FILE *out, const char *name, const char *path) {
    char line[4096];
    FILE *in = fopen(path, "r");
    if (!in) {
        fprintf(out, "W %s: %s\n", name, strerror(errno));
        return;
    }
    while (fgets(line, sizeof line, in))
        if (!strstr(line, " /world/")) fprintf(out, "W %s: %s", name, line); /* not what is made here */
    fclose(in);
}

static int world(int argc, char **argv) {
    /* Descriptors first, before any of our own. */
    static char fds[16384];
    size_t used = 0;
    for (int fd = 0; fd < 1024; fd++) {
        struct stat st;
        int flags = fcntl(fd, F_GETFD), status = fcntl(fd, F_GETFL);
        if (flags < 0 || fstat(fd, &st)) continue;
        used += snprintf(fds + used, sizeof fds - used, "W descriptor %d: mode %o device %u,%u flags %x %x\n", fd,
                         st.st_mode, major(st.st_rdev), minor(st.st_rdev), flags, status);
    }
    char cwd[4096] = "?";
    if (!getcwd(cwd, sizeof cwd)) snprintf(cwd, sizeof cwd, "%s", strerror(errno));
    mode_t mask = umask(0);
    umask(mask);
    /* What the root holds, before anything is made. */
    static char root[16384];
    size_t root_used = 0;
    for (const char *const *dir = (const char *const[]){"/", "/dev", "/proc", "/sys", "/run", "/tmp", 0}; *dir; dir++) {
        struct dirent **names;
        int count = scandir(*dir, &names, 0, alphasort);
        for (int i = 0; i < count; i++)
            root_used += snprintf(root + root_used, sizeof root - root_used, "W in %s: %s\n", *dir, names[i]->d_name);
        if (count < 0)
            root_used += snprintf(root + root_used, sizeof root - root_used, "W in %s: %s\n", *dir, strerror(errno));
    }

    mkdir("/world", 0700);
    if (mknod("/world/console", S_IFCHR | 0600, makedev(4, 64))) return fail("make", "/world/console");
    FILE *out = fopen("/world/console", "w");
    if (!out) return fail("open", "/world/console");
    fputs(fds, out);
    fputs(root, out);
    for (int i = 0; i < argc; i++) fprintf(out, "W argument %d: %s\n", i, argv[i]);
    for (char **var = environ; *var; var++) fprintf(out, "W environment: %s\n", *var);
    fprintf(out, "W cwd: %s\n", cwd);
    fprintf(out, "W umask: %o\n", mask);
    fprintf(out, "W ids: pid %d ppid %d pgid %d sid %d\n", getpid(), getppid(), getpgrp(), getsid(0));
    for (int n = 0; n < 16; n++) {
        struct rlimit limit;
        if (!getrlimit(n, &limit))
            fprintf(out, "W limit %d: %llx %llx\n", n, (long long)limit.rlim_cur, (long long)limit.rlim_max);
    }
    for (int n = 1; n < 65; n++) {
        struct sigaction action;
        if (!sigaction(n, 0, &action) && action.sa_handler != SIG_DFL) fprintf(out, "W signal %d: not default\n", n);
    }
    int value = -1;
    prctl(PR_GET_PDEATHSIG, &value);
    fprintf(out, "W death signal: %d\n", value);
    value = -1;
    prctl(PR_GET_CHILD_SUBREAPER, &value);
    fprintf(out, "W reaper: %d\n", value);
    fprintf(out, "W no new privileges: %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    fprintf(out, "W secure bits: %d\n", prctl(PR_GET_SECUREBITS));
    fprintf(out, "W dumpable: %d\n", prctl(PR_GET_DUMPABLE));
    fprintf(out, "W timer slack: %d\n", prctl(PR_GET_TIMERSLACK));
    fprintf(out, "W nice: %d\n", getpriority(PRIO_PROCESS, 0));

    mkdir("/world/proc", 0700);
    if (mount("proc", "/world/proc", "proc", 0, 0)) return fail("mount", "/world/proc");
    static const char *const wanted[] = {"Umask:", "Uid:", "Gid:", "Groups:", "Sig", "Shd", "Cap", "Seccomp", 0};
    char line[4096];
    FILE *status = fopen("/world/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        for (const char *const *name = wanted; *name; name++)
            if (!strncmp(line, *name, strlen(*name))) fprintf(out, "W status: %s", line);
    if (status) fclose(status);
    print_file(out, "mounts", "/world/proc/self/mountinfo");
    print_file(out, "oom", "/world/proc/self/oom_score_adj");
    print_file(out, "cgroup", "/world/proc/self/cgroup");
    print_file(out, "personality", "/world/proc/self/personality");
    print_file(out, "file systems", "/world/proc/filesystems");
    static const char *const spaces[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts", 0};
    for (const char *const *name = spaces; *name; name++) {
        char path[64], link[64] = "";
        snprintf(path, sizeof path, "/world/proc/self/ns/%s", *name);
        if (readlink(path, link, sizeof link - 1) < 0) snprintf(link, sizeof link, "%s", strerror(errno));
        fprintf(out, "W namespace: %s\n", link);
    }
    fprintf(out, "W end\n");
    fclose(out);
    umount("/world/proc");
    rmdir("/world/proc");
    unlink("/world/console");
    rmdir("/world");
    execl("/bin/sh", "/bin/sh", "/after", (char *)0);
    return fail("start", "/bin/sh /after");
}

static int ring(void) {
    char record[8192];
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return fail("open", "/dev/kmsg");
    for (;;) {
        ssize_t count = read(fd, record, sizeof record);
        if (count < 0 && errno == EAGAIN) return fflush(stdout) ? fail("write", "the ring") : 0;
        if (count < 0 && errno == EPIPE) continue;
        if (count < 0) return fail("read", "/dev/kmsg");
        if (fwrite(record, count, 1, stdout) != 1) return fail("write", "the ring");
    }
}

static int hold(const char *kind, const char *host, const char *port) {
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *address;
    hints.ai_socktype = strcmp(kind, "udp") ? SOCK_STREAM : SOCK_DGRAM;
    if (getaddrinfo(host, port, &hints, &address)) return fail("understand", host);
    int fd = socket(address->ai_family, address->ai_socktype, 0);
    if (fd < 0 || connect(fd, address->ai_addr, address->ai_addrlen)) return fail("connect to", host);
    puts("held");
    fflush(stdout);
    for (;;) pause();
}

/* Removes what is in a folder, on its own file system only. */
static int empty(int dir, dev_t device) {
    DIR *names = fdopendir(dir);
    struct dirent *entry;
    int failed = !names;
    while (names && (entry = readdir(names))) {
        struct stat st;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) || st.st_dev != device) continue;
        int is_dir = S_ISDIR(st.st_mode);
        if (is_dir) {
            int below = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (below < 0 || empty(below, device)) failed = 1;
        }
        if (unlinkat(dir, entry->d_name, is_dir ? AT_REMOVEDIR : 0)) failed = fail("remove", entry->d_name);
    }
    if (names) closedir(names);
    return failed;
}

static int move_root(const char *dir, const char *init) {
    struct stat st;
    int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (old < 0 || fstat(old, &st)) return fail("open", "/");
    if (chdir(dir)) return fail("enter", dir);
    if (mount(".", "/", 0, MS_MOVE, 0)) return fail("move", dir);
    if (chroot(".") || chdir("/")) return fail("make the root of", dir);
    if (empty(old, st.st_dev)) return 1;
    execl(init, init, (char *)0);
    return fail("start", init);
}

/* Lines of standard input to /dev/kmsg, a record each, by one writer. */
static int write_log(void) {
    char line[1024];
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return fail("open", "/dev/kmsg");
    while (fgets(line, sizeof line, stdin))
        if (write(fd, line, strlen(line)) < 0) return fail("write to", "/dev/kmsg");
    return 0;
}

/* A record a millisecond, numbered. */
static int count_log(int count) {
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return fail("open", "/dev/kmsg");
    for (int n = 1; n <= count; n++) {
        dprintf(fd, "<5>numbered %d of %d\n", n, count);
        usleep(1000);
    }
    return 0;
}

/* Of records with the same text, the first that comes after this began. */
static int say(const char *text) {
    char record[8192];
    int fd = open("/dev/kmsg", O_RDWR | O_CLOEXEC);
    if (fd < 0 || lseek(fd, 0, SEEK_END) < 0) return fail("open", "/dev/kmsg");
    dprintf(fd, "<5>%s\n", text);
    for (;;) {
        unsigned long long seq;
        int start = 0;
        ssize_t count = read(fd, record, sizeof record - 1);
        if (count < 0 && errno == EPIPE) continue;
        if (count < 0) return fail("read", "/dev/kmsg");
        record[count] = 0;
        if (sscanf(record, "%*u,%llu,%*[^;];%n", &seq, &start) == 1 && start && !strncmp(record + start, text, strlen(text)))
            return printf("%llu\n", seq) < 0;
    }
}

/* The texts are what `storm.rs` expects. */
static int storm(int count) {
    static const char filler[] = "the quick brown fox jumps over the lazy dog and runs on and on and on";
    char line[128];
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return fail("open", "/dev/kmsg");
    for (int n = 0; n < count; n++) {
        int length = snprintf(line, sizeof line, "<6>storm %06d: %s\n", n, filler);
        if (write(fd, line, length) != length) return fail("write to", "/dev/kmsg");
    }
    return 0;
}

static long long now_us(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static int time_log(int count) {
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return fail("open", "/dev/kmsg");
    long long after = 0;
    for (int n = 0; n <= count; n++) {
        dprintf(fd, "<5>timed %d at %lld; the last by %lld\n", n, now_us(CLOCK_MONOTONIC), after);
        after = now_us(CLOCK_MONOTONIC);
        usleep(3000);
    }
    return 0;
}

/* Read without anything between: else it is read again. */
static long long ahead_us(void) {
    for (;;) {
        long long before = now_us(CLOCK_MONOTONIC), wall = now_us(CLOCK_REALTIME), after = now_us(CLOCK_MONOTONIC);
        if (after - before < 200) return wall - (before + after) / 2;
    }
}

static int step_clock(long long ms) {
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return fail("open", "/dev/kmsg");
    long long before = ahead_us(), to = now_us(CLOCK_REALTIME) + ms * 1000;
    struct timespec time = {.tv_sec = to / 1000000, .tv_nsec = to % 1000000 * 1000};
    if (clock_settime(CLOCK_REALTIME, &time) < 0) return fail("set", "the clock");
    long long after = ahead_us();
    dprintf(fd, "<5>stepped by %lld to %lld ahead\n", after - before, after);
    return 0;
}

static volatile sig_atomic_t hurry;

static void now_hurry(int signal) {
    (void)signal;
    hurry = 1;
}

/* A new file behind those that are there. */
static int next_file(void) {
    char name[16];
    for (int n = 0; n < 1000; n++) {
        snprintf(name, sizeof name, "%03d", n);
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

static int receive(const char *kind, const char *port, const char *how) {
    enum { CONNECTIONS_MAX = 16 };
    static char bytes[1 << 16];
    struct pollfd fds[1 + CONNECTIONS_MAX];
    int files[1 + CONNECTIONS_MAX], count = 1;
    int is_udp = !strcmp(kind, "udp"), one = 1, large = 64 << 20;
    long long read_so_far = 0, stop = 0, slow = 0;
    if (sscanf(how, "stop=%lld", &stop) != 1 && sscanf(how, "slow=%lld", &slow) != 1 && *how)
        return fail("understand", how);
    struct sigaction action = {.sa_handler = now_hurry, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    int listener = socket(AF_INET, is_udp ? SOCK_DGRAM : SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* A datagram that comes this far is not to be lost here. Connections have what every receiver has. */
    if (is_udp) setsockopt(listener, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large);
    if (bind(listener, (struct sockaddr *)&address, sizeof address)) return fail("bind to port", port);
    if (!is_udp && listen(listener, 8)) return fail("listen on port", port);
    fds[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    if (is_udp && (files[0] = next_file()) < 0) return fail("make", "a file");
    for (;;) {
        if (poll(fds, count, -1) < 0) continue;
        for (int i = count - 1; i >= 0; i--) {
            if (!fds[i].revents) continue;
            if (i == 0 && !is_udp) {
                int connection = accept(listener, 0, 0);
                if (connection < 0 || count > CONNECTIONS_MAX) return fail("accept at port", port);
                files[count] = next_file();
                if (files[count] < 0) return fail("make", "a file");
                fds[count++] = (struct pollfd){.fd = connection, .events = POLLIN};
                continue;
            }
            size_t most = slow && !hurry ? (size_t)slow / 100 : sizeof bytes - 1;
            ssize_t length = read(fds[i].fd, bytes, most < sizeof bytes ? most : sizeof bytes - 1);
            if (length <= 0 && !is_udp) {
                close(fds[i].fd);
                close(files[i]);
                fds[i] = fds[--count];
                files[i] = files[count];
                continue;
            }
            if (length < 0) continue;
            if (is_udp) bytes[length++] = '\n';
            if (write(files[i], bytes, length) != length) return fail("write to", "a file");
            read_so_far += length;
            if (stop && read_so_far >= stop) raise(SIGSTOP);
            if (slow && !hurry) usleep(10000);
        }
    }
}

static int name_server(const char *address) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(53)}, from;
    unsigned char message[512 + 16], record[16] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4};
    if (inet_pton(AF_INET, address, record + 12) != 1) return fail("read", address);
    if (fd < 0 || bind(fd, (void *)&own, sizeof own)) return fail("listen at port", "53");
    for (;;) {
        socklen_t size = sizeof from;
        ssize_t length = recvfrom(fd, message, 512, 0, (void *)&from, &size);
        ssize_t end = 12;
        while (end < length && message[end]) end += message[end] + 1;
        end += 5;
        if (end > length) continue;
        int has = message[end - 3] == 1;
        message[2] = 0x85;
        message[3] = 0x80;
        memcpy(message + 6, (unsigned char[]){0, has, 0, 0, 0, 0}, 6);
        memcpy(message + end, record, sizeof record);
        sendto(fd, message, end + (has ? 16 : 0), 0, (void *)&from, size);
    }
}

int main(int argc, char **argv) {
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash ? slash + 1 : argv[0];
    if (strcmp(name, "tool")) return world(argc, argv);
    if (argc == 2 && !strcmp(argv[1], "world")) return world(argc, argv);
    if (argc == 2 && !strcmp(argv[1], "ring")) return ring();
    if (argc == 5 && !strcmp(argv[1], "hold")) return hold(argv[2], argv[3], argv[4]);
    if (argc == 4 && !strcmp(argv[1], "move-root")) return move_root(argv[2], argv[3]);
    if (argc == 2 && !strcmp(argv[1], "write-log")) return write_log();
    if (argc == 3 && !strcmp(argv[1], "count-log")) return count_log(atoi(argv[2]));
    if (argc == 3 && !strcmp(argv[1], "say")) return say(argv[2]);
    if (argc == 3 && !strcmp(argv[1], "storm")) return storm(atoi(argv[2]));
    if (argc == 3 && !strcmp(argv[1], "time-log")) return time_log(atoi(argv[2]));
    if (argc == 3 && !strcmp(argv[1], "step-clock")) return step_clock(atoll(argv[2]));
    if ((argc == 4 || argc == 5) && !strcmp(argv[1], "receive"))
        return receive(argv[2], argv[3], argc == 5 ? argv[4] : "");
    if (argc == 3 && !strcmp(argv[1], "name-server")) return name_server(argv[2]);
    dprintf(2, "usage: tool world|ring|hold|move-root|write-log|count-log|say|storm|time-log|step-clock|receive|name-server\n");
    return 2;
}
