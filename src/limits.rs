//! Every bound on size and time, in one place and checked against each other.
//!
//! Units stand last in a name. A number that stands anywhere else in the program is a kernel constant or a mistake.

mod network;
mod pstore;

pub use network::*;
pub use pstore::*;

/// Destinations that are served; one more on the command line is an error that says so.
pub const DESTINATIONS_MAX: usize = 4;

/// Bytes of `/proc/cmdline` that are read. Kernels take 2 KiB (x86, arm64) or 4 KiB (s390) from the boot loader; a
/// bootconfig adds to that.
pub const CMDLINE_BYTES: usize = 8192;
/// What the programs that the watcher starts are given of it: the kernel's command line, and what an init script adds to it.
pub const HELPER_CMDLINE_BYTES_MAX: usize = CMDLINE_BYTES + 1024;

/// The longest host name that DNS allows, in its dotted form.
pub const NAME_BYTES_MAX: usize = 253;
/// The longest label between two dots of a host name.
pub const LABEL_BYTES_MAX: usize = 63;
/// The same as a message has it: each dot is a length, and there is one at either end.
pub const WIRE_NAME_BYTES_MAX: usize = NAME_BYTES_MAX + 2;
/// The longest name of a network interface (the kernel's IFNAMSIZ less its final NUL).
pub const INTERFACE_NAME_BYTES_MAX: usize = 15;
/// The longest path of a next init, and the size of the buffer that it is made a C string in.
pub const PATH_BYTES_MAX: usize = 255;

/// The first bytes of a candidate for the next init, in which the note is looked for that marks it as earlykmsg.
pub const NOTE_HEAD_BYTES: usize = 4096;

/// Addresses of a name that are kept, of either family; also, the name servers that are asked.
pub const ADDRESSES_MAX: usize = 8;
/// Aliases that are followed from a name to its addresses.
pub const CNAME_CHAIN_MAX: usize = 12;
/// The longest query: TCP's length, header, name, type and class, OPT record.
pub const DNS_QUERY_BYTES_MAX: usize = 2 + 12 + WIRE_NAME_BYTES_MAX + 4 + 11;
/// The longest answer that may come as a datagram: what passes every IPv6 path whole.
pub const DNS_ANSWER_BYTES_MAX: usize = 1232;
/// The longest search list of a `resolv.conf`.
pub const SEARCH_BYTES_MAX: usize = 512;
/// A name server has this time for an answer, is asked once more, and has it again.
pub const NAME_ASK_MS: u64 = 1_000;
/// When the addresses of one family are there, the other's are waited for this long.
pub const NAME_OTHER_MS: u64 = 300;
/// How often the name servers are asked one after the other, before the name is given up for now.
pub const NAME_ROUNDS: usize = 2;

/// `/etc/hosts` is sent to a shipper in at most so many packets, each with a piece of it; the last one is empty.
pub const HOSTS_PACKETS_MAX: usize = 20 + 1;
/// The same of all files that name name servers. (All these packets fit into a channel.)
pub const NAME_SERVER_PACKETS_MAX: usize = 24;
/// Of a directory with one such file for each interface, the entries that are looked at.
pub const DIRECTORY_ENTRIES_MAX: usize = 1_000;
/// They are read in pieces of this size. An entry takes some 20 bytes and its name.
pub const DIRECTORY_PIECE_BYTES: usize = 1024;
/// Files go from the watcher to a shipper in pieces of this size.
pub const FILE_PIECE_BYTES: usize = 2048;
/// The longest message between the watcher and a shipper: its kind and a piece of a file.
pub const PACKET_BYTES_MAX: usize = 1 + FILE_PIECE_BYTES;
/// The kernel's lists of sockets are read in pieces of this size. Their lines are of some 150 bytes.
pub const SOCKET_LIST_BYTES: usize = 1024;
/// Where a shipper puts such pieces, the answers of name servers and what the kernel tells of the network. A line of
/// a file that is longer than what is left beside a piece is passed over.
pub const ANSWERS_BYTES: usize = 4096;
/// The longest request to rtnetlink: for the route to an IPv6 address.
pub const NETLINK_REQUEST_BYTES_MAX: usize = 48;
/// The kernel's news are read in pieces of this size; longer ones are good news.
pub const NETLINK_BYTES: usize = 2048;
/// So many of them are read before an attempt.
pub const NETLINK_READS_MAX: usize = 1_000;
/// After good news the kernel has this time to finish what it told of.
pub const LINK_SETTLE_MS: u64 = 3;
/// While news go on, a pause still has this length …
pub const LINK_BACKOFF_MS_MAX: u64 = 50;
/// … and an attempt that lasts longer than this goes on.
pub const LINK_ATTEMPT_MS_MAX: u64 = 500;
/// Where name servers listen.
pub const NAME_PORT: u16 = 53;
/// The least time between two searches for a name whose address is in use …
pub const NAME_AGAIN_MS: u64 = 1_000;
/// … and when the last one failed.
pub const NAME_LATER_MS: u64 = 30_000;
/// A search for an address that is in use is given up after this: records wait for it.
pub const NAME_IN_USE_MS: u64 = 5_000;
/// What was found is used for as long as the answer says, and no longer than this: a receiver that has moved is found.
pub const NAME_KEPT_S: u32 = 60;
/// How long a shipper waits for the watcher's files.
pub const FILES_MS: u64 = 1_000;

/// What one read of `/dev/kmsg` can give: the kernel's own limit. A smaller buffer would lose records.
pub const RECORD_BYTES_MAX: usize = 8192;
/// Of the oldest records, as they were read, this much is kept before the program writes its first line, and the rest of the
/// record that reaches it: ten lines of the start, which is what the kernel takes at once, push no more out of a full ring.
pub const SAVED_ENOUGH_BYTES: usize = 4096;
/// What they are kept in.
pub const SAVED_BYTES: usize = SAVED_ENOUGH_BYTES + RECORD_BYTES_MAX + 2;
/// Records that are read at once without looking at anything else, when none of them is to be shipped.
pub const FILL_RECORDS_MAX: usize = 1_000;
/// A record from here on may have been cut by the kernel, possibly in the middle of an escape: newer kernels
/// end a read at 2,048 bytes, and the last escape that did not fit takes up to 4 of them.
pub const RECORD_CUT_BYTES_MIN: usize = 2048 - 8;

/// One byte of a record becomes at most this many of JSON (`\u0001`).
pub const ESCAPE_BYTES_MAX: usize = 6;
/// Of a record's caller. The kernel's are a letter and a number of 32 bits.
pub const CALLER_BYTES_MAX: usize = 12;
/// A time in RFC 3339, to the microsecond.
pub const TIME_BYTES_MAX: usize = "2021-11-26T16:53:21.252819Z".len();
/// A decimal number of 64 bits.
pub const NUMBER_BYTES_MAX: usize = "18446744073709551615".len();
/// All of a JSON line but the text of `msg` and `talos-time`, the dictionary and the tags.
pub const LINE_FIXED_BYTES_MAX: usize =
    r#"{"clock":,"facility":"","msg":"","priority":"","seq":,"talos-level":""}"#.len()
        + r#","talos-time":"","earlykmsg":"possibly-lost","caller":"""#.len()
        + 3 * NUMBER_BYTES_MAX
        + "warning".len()
        + "error".len()
        + TIME_BYTES_MAX
        + CALLER_BYTES_MAX * ESCAPE_BYTES_MAX;
/// The member of a line that pstore kept, `,"pstore":""` and its text, which needs no escape.
pub const PSTORE_MEMBER_BYTES_MAX: usize = r#","pstore":"""#.len() + PSTORE_LABEL_BYTES_MAX;
/// The longest line that a record can become. (Of a dictionary's entry, ` A=b` and its newline become `,"A":"b"`.)
pub const LINE_BYTES_MAX: usize = RECORD_BYTES_MAX * ESCAPE_BYTES_MAX + LINE_FIXED_BYTES_MAX + TAGS_BYTES_MAX;
/// One byte of a record becomes at most this many of a syslog message (U+FFFD).
pub const SYSLOG_TEXT_BYTES_MAX: usize = 3;
/// The longest APP-NAME that RFC 5424 allows.
pub const APP_NAME_BYTES_MAX: usize = 48;
/// The longest number of a process that is taken for one.
pub const PROCID_BYTES_MAX: usize = 20;
/// The longest name of a parameter that RFC 5424 allows. A dictionary with a longer one stays a part of the text.
pub const PARAM_NAME_BYTES_MAX: usize = 32;
/// All of a syslog message but MSG, the dictionary and the tags.
pub const SYSLOG_FIXED_BYTES_MAX: usize =
    br#"<191>1     - [meta sequenceId="2147483647" sysUpTime="4294967295"]"#.len()
        + br#"[earlykmsg@32473 seq="" clock="" facility="" earlykmsg="possibly-lost" caller=""] "#.len()
        + TIME_BYTES_MAX
        + FACT_BYTES_MAX
        + APP_NAME_BYTES_MAX
        + PROCID_BYTES_MAX
        + 3 * NUMBER_BYTES_MAX
        + CALLER_BYTES_MAX * SYSLOG_TEXT_BYTES_MAX;
/// The length of a message in digits, and the space behind it: what stands before each in a connection.
pub const OCTET_COUNT_BYTES_MAX: usize = "65535 ".len();
/// The longest message that a record can become. (A dictionary's entry, ` A=b` and its newline, becomes ` A="b"`.)
pub const SYSLOG_LINE_BYTES_MAX: usize =
    RECORD_BYTES_MAX * SYSLOG_TEXT_BYTES_MAX + SYSLOG_FIXED_BYTES_MAX + TAGS_BYTES_MAX;
/// What a report of lost records holds: its text, a newline, three numbers and a cause.
pub const REPORT_BYTES_MAX: usize = 64 + 3 * NUMBER_BYTES_MAX + 100;
/// The longest line about lost records, as it is sent: in syslog, whose fixed parts are the longer ones. Of what it says,
/// the newline alone needs an escape.
pub const LOST_LINE_BYTES_MAX: usize =
    REPORT_BYTES_MAX + 1 + SYSLOG_FIXED_BYTES_MAX + TAGS_BYTES_MAX + OCTET_COUNT_BYTES_MAX;
/// Lines that wait for one write. The longest line always fits.
pub const BATCH_BYTES: usize = LINE_BYTES_MAX + 16;
/// Lines that a batch can hold.
pub const BATCH_LINES_MAX: usize = 110;
/// Lines that a batch is filled up to. The last may be a gap, which can take two; and one more can be put before all.
pub const FILL_LINES: usize = BATCH_LINES_MAX - 2;

/// Marks of the ledger for the last records, one each: with lines of 250 bytes some 128 KB, which is what a receiver that
/// closed its side has rarely more of on its way.
pub const LEDGER_LAST_MARKS: usize = 512;
/// Marks of the ledger for the stretch before, one a step: as much as the send buffer may hold.
pub const LEDGER_MARKS: usize = 66;
/// Marks for the long stretch, one in `LEDGER_FAR_STEPS` steps.
pub const LEDGER_FAR_MARKS: usize = 66;
/// See `LEDGER_FAR_MARKS`.
pub const LEDGER_FAR_STEPS: u64 = 16;
/// How coarse the ledger is: going back to a byte of the last stretch repeats at most this much (or one line) before it.
pub const LEDGER_STEP_BYTES: u64 = 8 * 1024;
/// How far back a connection that did not end cleanly is repeated: more than a receiver's kernel holds unread. With
/// stock settings that is up to 6 MiB, after some seconds of heavy traffic; with little traffic 100 to 300 KB.
pub const REPEAT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The socket's send buffer (the kernel doubles it): what a receiver that is away can hold of ours.
pub const TCP_SEND_BUFFER_BYTES: usize = 128 * 1024;
/// The same for UDP: at least two of the largest datagrams with the kernel's own overhead.
pub const UDP_SEND_BUFFER_BYTES: usize = 256 * 1024;
/// The largest payload of a UDP datagram over IPv4.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Wrong words of the command line that are told one by one; the kernel takes ten lines at once.
pub const PROBLEMS_LOGGED_MAX: usize = 6;
/// One line of the program's own words without its newline; the kernel takes 1,024 bytes with its prefix at most.
pub const MESSAGE_BYTES_MAX: usize = 992;
/// The description of the network in a message.
pub const NETWORK_TEXT_BYTES_MAX: usize = 512;
/// Of a word of the command line, what is repeated in a message about it.
pub const QUOTED_BYTES_MAX: usize = 160;

/// A connection attempt is given up after this.
pub const CONNECT_MS: u64 = 3_000;
/// The first pause after a failed attempt …
pub const BACKOFF_MS_MIN: u64 = 50;
/// … which doubles up to this.
pub const BACKOFF_MS_MAX: u64 = 1_000;
/// The end: what the ring holds is sent and acknowledged within this, or logged as not acknowledged.
pub const DRAIN_MS: u64 = 5_000;
/// How long the receiver may take to close its side when all of ours is acknowledged.
pub const CLOSE_MS: u64 = 500;
/// After a receiver has closed its side, each acknowledgement of what was on its way is waited for this long.
pub const ACK_AFTER_FIN_MS: u64 = 1_000;
/// How often it is looked whether all is acknowledged, at the end of a connection; nothing tells.
pub const ACK_LOOK_MS: u64 = 10;
/// How long what was not acknowledged is counted.
pub const COUNT_MS: u64 = 300;
/// How much longer than a drain the watcher waits for a shipper before it ends it.
pub const DRAIN_GRACE_MS: u64 = 1_000;

/// A time that never comes.
pub const NEVER_MS: u64 = u64::MAX;

/// How long after a SIGTERM a switch of root may come and make it void (an initrd's systemd sends it to all).
pub const TERM_TO_SWITCH_MS: u64 = 5_000;
/// How long the last words then may take to be sent and acknowledged.
pub const FAREWELL_MS: u64 = 500;
/// How often the take-over is looked for after the switch.
pub const TAKEOVER_LOOK_MS: u64 = 1_000;
/// A socket of the main system counts when it is seen twice, this far apart.
pub const TAKEOVER_SEEN_MS: u64 = 2_000;
/// Sockets to a destination that were there before the switch and are remembered, so that none of them counts. If
/// there were more, none that is there later counts either.
pub const OLD_SOCKETS_MAX: usize = 32;
/// How long to go on after the switch when nobody takes over.
pub const LINGER_SECONDS: u32 = 120;
/// The longest linger time that is taken from the command line: a day.
pub const LINGER_SECONDS_MAX: u32 = 86_400;
/// How long to go on after the switch when nothing was ever reached.
pub const NEVER_REACHED_MS: u64 = 3_600_000;
/// After a change of mounts, the root of PID 1 is looked at after each of these: the `chroot` that follows
/// the moving of a mount tells nobody.
pub const SWITCH_LOOKS_MS: [u64; 6] = [0, 3, 30, 300, 1_000, 3_000];

/// "Network not up" is logged after these, and then every `NOT_UP_EVERY_MS`.
pub const NOT_UP_MS: [u64; 2] = [10_000, 60_000];
/// See `NOT_UP_MS`.
pub const NOT_UP_EVERY_MS: u64 = 600_000;

/// The pause before a shipper that died is started again, and what it doubles to.
pub const RESTART_MS_MIN: u64 = 200;
/// See `RESTART_MS_MIN`.
pub const RESTART_MS_MAX: u64 = 30_000;
/// A shipper that lived for this long is restarted without delay again.
pub const RESTART_FORGET_MS: u64 = 60_000;

/// Words about connections: this many at once …
pub const MESSAGES_BURST: u32 = 6;
/// … and then one in this time.
pub const MESSAGES_EVERY_MS: u64 = 30_000;

/// A burst of datagrams: this many …
pub const UDP_BURST: u32 = 48;
/// … and one less for each of these bytes of a datagram …
pub const UDP_BURST_BYTES: u32 = 512;
/// … and the next one is begun no earlier than this after it. A sleep costs as much as several datagrams.
pub const UDP_BURST_MS: u64 = 4;
/// How often a socket is asked whether what was sent has left.
pub const UDP_NEIGHBOUR_LOOK_MS: u64 = 2;
/// How coarse the ledger of datagrams is: it reaches as far back as is repeated.
pub const UDP_LEDGER_STEP_MS: u64 = 64;
/// After a refusal, what was sent within this time is sent again. The kernel, and so a router, asks three times in three
/// seconds for a neighbour's address before it reports that nobody answers.
pub const UDP_REPEAT_MS: u64 = 4_000;
/// When datagrams were too long for a link, what was sent within this time is sent again: routers report that at once.
pub const UDP_MTU_REPEAT_MS: u64 = 1_000;
/// Reports that are taken at once from a socket of datagrams, and datagrams of the receiver that are dropped at once.
pub const UDP_REPORTS_MAX: u32 = 1_000;
/// How often a datagram is given to the kernel that says that it is too long, before that is believed.
pub const UDP_SEND_TRIES: u32 = 3;
/// At the end, a refusal of the last datagrams is waited for this long.
pub const UDP_LAST_MS: u64 = 200;

/// A connection is asked for the peer's life this often while something is unacknowledged.
pub const LIFE_LOOK_MS: u64 = 1_000;
/// A peer is dead that has sent nothing for this long while retransmissions or probes are unanswered …
pub const DEAD_MS: u32 = 15_000;
/// … at least so many.
pub const DEAD_TRIES: u8 = 2;
/// Keep-alive on an idle connection: the first probe, the next ones, how many.
pub const KEEPALIVE_IDLE_S: u64 = 10;
/// See `KEEPALIVE_IDLE_S`.
pub const KEEPALIVE_EVERY_S: u64 = 3;
/// See `KEEPALIVE_IDLE_S`.
pub const KEEPALIVE_TRIES: u32 = 3;

/// What a receiver sends is dropped in pieces of this …
pub const DISCARD_BYTES: usize = 1 << 30;
/// … and in so many of them, before anything else is looked at.
pub const DISCARDS_MAX: u32 = 16;

/// The user id of the first shipper; each further one has the next. Far from any that a system gives out.
pub const SHIPPER_UID: u32 = 0x6b6d_7367;
/// Descriptors that a shipper may have.
pub const FILES_MAX: u64 = 16;
/// The address space that a shipper may have, the program itself included.
pub const MEMORY_BYTES_MAX: u64 = 1024 * 1024;
/// The stack that the watcher may use beyond what its start took, up to the next whole page, and a shipper with it: that
/// begins some calls further down. The frames on the deepest path, a name lookup's, come to 13 KiB from there; a signal for
/// a denied system call and the message about it take 5 KiB more, on some arm64 machines 10.
pub const STACK_BYTES: u64 = 24 * 1024;
/// The same for the loader of drivers: 16 KiB on its deepest path, and 4 KiB more for each module that is to be loaded before
/// or after another one.
pub const LOADER_STACK_BYTES: u64 = 48 * 1024;
/// How many modules may follow one from another by soft dependencies.
pub const SOFT_DEPENDENCIES_DEPTH_MAX: u32 = 3;
/// What the kernel makes of a stack at the start, used or not; whole pages, whatever their size. It keeps more than this
/// free below a stack.
pub const STACK_AT_START_BYTES: u64 = 256 * 1024;

/// Tags of one word.
pub const TAGS_MAX: usize = 16;
/// All tags of an object, as they stand in it.
pub const TAGS_BYTES_MAX: usize = 1024;
/// A fact about the machine.
pub const FACT_BYTES_MAX: usize = 64;

/// Two clocks that are read with less than this in between were read at the same moment …
pub const CLOCK_APART_NS: i64 = 50_000;
/// … and if they were not, they are read again so often.
pub const CLOCK_TRIES: u32 = 3;
/// A wall clock before this, 2000-01-01, was never set.
pub const WALL_SET_S_MIN: i64 = 946_684_800;
/// A step of it that is worth a message.
pub const WALL_STEP_US_MIN: u64 = 1_000;
/// Records that are looked at for the program's own line …
pub const READ_BACK_MAX: u32 = 10_000;
/// … and for the number of the newest.
pub const NEWEST_LOOKS_MAX: u32 = 1_000_000;

const _: () = {
    assert!(
        BATCH_BYTES >= LINE_BYTES_MAX + OCTET_COUNT_BYTES_MAX && LINE_BYTES_MAX >= SYSLOG_LINE_BYTES_MAX,
        "the longest line must fit into a batch, and what tells where it ends"
    );
    assert!(SYSLOG_FIXED_BYTES_MAX >= LINE_FIXED_BYTES_MAX, "which is the longer one, with a report");
    assert!(
        LINE_BYTES_MAX < 10_usize.pow(OCTET_COUNT_BYTES_MAX as u32 - 1),
        "the length of a message must have no more digits"
    );
    assert!(BATCH_BYTES > 2 * LOST_LINE_BYTES_MAX, "a gap of two lines must fit into a batch");
    assert!(DATAGRAM_BYTES_MAX >= LINE_BYTES_MAX, "the longest line must fit into a datagram");
    assert!(UDP_SEND_BUFFER_BYTES >= 2 * DATAGRAM_BYTES_MAX, "two of the largest datagrams must fit");
    assert!(
        (LEDGER_FAR_MARKS as u64 - 1) * LEDGER_FAR_STEPS * LEDGER_STEP_BYTES >= REPEAT_BYTES_MAX,
        "the ledger must reach as far back"
    );
    assert!(
        (LEDGER_MARKS as u64 - 1) * LEDGER_STEP_BYTES >= 2 * TCP_SEND_BUFFER_BYTES as u64,
        "what is not acknowledged is known to the step"
    );
    assert!((LEDGER_MARKS as u64 - 1) * UDP_LEDGER_STEP_MS >= UDP_REPEAT_MS, "and as far in time");
    assert!(
        UDP_MTU_REPEAT_MS < UDP_REPEAT_MS,
        "what may be reported for any reason is repeated for any reason"
    );
    // Each one of a burst takes at most this of the receiver's buffer, which has this size unless it is changed.
    assert!(3 * UDP_BURST * 1_280 < 212_992, "the buffer of a slow listener holds three bursts");
    assert!(RECORD_BYTES_MAX > RECORD_CUT_BYTES_MIN, "a cut record must be readable");
    assert!(MESSAGE_BYTES_MAX < 1024 - 16, "the kernel refuses longer messages");
    assert!(
        FAREWELL_MS < DRAIN_GRACE_MS,
        "the watcher must not end a shipper that is sending its last messages"
    );
    assert!(COUNT_MS < DRAIN_GRACE_MS, "nor one that counts what is missing");
    assert!(
        PSTORE_LINE_BYTES_MAX * ESCAPE_BYTES_MAX + PSTORE_MEMBER_BYTES_MAX
            < RECORD_BYTES_MAX * ESCAPE_BYTES_MAX,
        "a line that pstore kept becomes no longer than a record"
    );
    assert!(
        2 * FILE_PIECE_BYTES <= ANSWERS_BYTES && 2 * DNS_ANSWER_BYTES_MAX < ANSWERS_BYTES,
        "there is room for both"
    );
    assert!(BACKOFF_MS_MIN < BACKOFF_MS_MAX && CONNECT_MS < DRAIN_MS, "an attempt must end within a drain");
    assert!(
        (KEEPALIVE_IDLE_S + KEEPALIVE_EVERY_S * KEEPALIVE_TRIES as u64) * 1000 <= DEAD_MS as u64 + 5_000,
        "an idle connection's death is noticed about as early as a busy one's"
    );
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_line_without_texts() {
        let (number, time) = (u64::MAX, "2021-11-26T16:53:21.252819Z");
        let caller = "\\u0001".repeat(CALLER_BYTES_MAX);
        let line = format!(
            r#"{{"clock":{number},"facility":"{number}","msg":"","priority":"warning","seq":{number},"talos-level":"error","talos-time":"{time}","earlykmsg":"possibly-lost","caller":"{caller}"}}"#
        );
        assert_eq!(LINE_FIXED_BYTES_MAX, line.len());
    }

    #[test]
    fn what_is_computed_is_what_is_meant() {
        assert_eq!(RECORD_CUT_BYTES_MIN, 2_040);
        assert_eq!(
            (REPORT_BYTES_MAX, LOST_LINE_BYTES_MAX),
            (224, 224 + 1 + SYSLOG_FIXED_BYTES_MAX + 1_024 + 6)
        );
        assert_eq!(
            (REPEAT_BYTES_MAX, TCP_SEND_BUFFER_BYTES, DISCARD_BYTES),
            (8_388_608, 131_072, 1_073_741_824)
        );
        assert_eq!((MEMORY_BYTES_MAX, STACK_BYTES, STACK_AT_START_BYTES), (1_048_576, 24_576, 262_144));
    }
}
