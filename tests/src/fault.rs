//! What may happen to a receiver, or on the way to it: one table, for the tests, which say what is expected of earlykmsg,
//! and for `examples/faults.rs`, which tries it with other shippers too.
//!
//! A test that wants more of a fault than stands here changes what it wants, such as
//! `Fault { records: 20_000, ..STOPPED }`.

use core::time::Duration;
use std::thread;

use crate::receiver::{End, TcpBehaviour};
use crate::sandbox::{drop_nothing, drop_packets_from, ip};
use crate::scene::Scene;

/// A receiver at the far end of a cable, and what happens to it or to the cable.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What it is.
    pub name: &'static str,
    /// Where the records are written.
    pub log: Log,
    /// How the receiver is reached.
    pub way: Way,
    /// What the wire takes.
    pub mtu: u32,
    /// The receive buffer, unless it is the stock one.
    pub buffer: Option<usize>,
    /// What the receiver does, until it is another one.
    pub behaviour: TcpBehaviour,
    /// How it ends, where it closes.
    pub end: End,
    /// Records that are in the log before the shipper starts; with many, they are short.
    pub ahead: usize,
    /// Records that are written while it lasts.
    pub records: usize,
    /// How long it lasts.
    pub lasts: Duration,
    /// Whether all shippers have it side by side, because it lasts and writes little.
    pub side_by_side: bool,
    /// Whether the shipper ends with it.
    pub ends: bool,
    /// The fault itself; the shipper is connected, and has sent something if its receiver reads.
    pub happen: fn(&mut Scene<'_>),
}

/// Where records are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Log {
    /// A log of the fault's own, for shippers that can do with a FIFO; for others as [`Log::Few`].
    Own,
    /// The machine's, beside others.
    Few,
    /// The machine's, alone, as it may be overrun.
    Storm,
}

/// How a receiver is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// By TCP over IPv4.
    Tcp,
    /// By TCP over IPv6.
    Tcp6,
    /// The same as [`Way::Tcp`], past somebody who can be told to be slow.
    Slowed,
    /// By UDP over IPv4.
    Udp,
    /// The same as [`Way::Tcp`], as syslog messages.
    Syslog,
}

impl Fault {
    /// What the faults have in common.
    const fn new(name: &'static str, happen: fn(&mut Scene<'_>)) -> Fault {
        Fault {
            name,
            log: Log::Few,
            way: Way::Tcp,
            mtu: 1500,
            buffer: None,
            behaviour: TcpBehaviour::Reads,
            end: End::Quit,
            ahead: 0,
            records: 20,
            lasts: Duration::ZERO,
            side_by_side: false,
            ends: false,
            happen,
        }
    }
}

/// It dies with bytes unread.
pub const KILLED: Fault = Fault::new("killed with bytes unread, restarted at once", |scene| {
    scene.leave_unread();
    scene.restart(End::Reset);
});

/// The same, and it is away for half a second.
pub const KILLED_AND_BACK_SOON: Fault = Fault {
    lasts: Duration::from_millis(500),
    ..Fault::new("killed with bytes unread, restarted after 0.5 s", |scene| {
        scene.leave_unread();
        scene.stop(End::Reset);
        thread::sleep(scene.fault.lasts);
        scene.restart(End::Reset);
    })
};

/// The same, and it is away for a minute.
pub const KILLED_FOR_A_MINUTE: Fault = Fault {
    records: 60,
    lasts: Duration::from_secs(60),
    side_by_side: true,
    ..Fault::new("killed with bytes unread, restarted after 60 s", |scene| {
        scene.leave_unread();
        scene.stop(End::Reset);
        scene.write_meanwhile();
        scene.restart(End::Reset);
    })
};

/// The same with megabytes unread, of which the ring does not hold all any more.
pub const KILLED_WITH_MEGABYTES_UNREAD: Fault = Fault {
    log: Log::Storm,
    buffer: Some(32 << 20),
    records: 15_000,
    ..Fault::new("killed with 3 MB unread in a large buffer, restarted at once", |scene| {
        scene.receiver().pause();
        while scene.unread_bytes() < 3 << 20 && scene.stream.written < scene.fault.records {
            scene.write_and_leave_unread(200);
        }
        scene.restart(End::Reset);
    })
};

/// Where there is nothing but IPv6, it dies with bytes unread.
pub const KILLED_BY_IPV6: Fault =
    Fault { way: Way::Tcp6, name: "IPv6 only, killed with bytes unread, restarted at once", ..KILLED };

/// It closes when it has read all.
pub const CLOSED: Fault = Fault {
    log: Log::Own,
    ..Fault::new("closed with all read, restarted at once", |scene| {
        scene.restart(scene.fault.end);
        scene.stream.write(scene.fault.records);
    })
};

/// The same, and it is away for half a second.
pub const CLOSED_AND_BACK_SOON: Fault = Fault {
    log: Log::Own,
    lasts: Duration::from_millis(500),
    ..Fault::new("closed with all read, restarted after 0.5 s", |scene| {
        scene.stop(scene.fault.end);
        scene.stream.write(scene.fault.records);
        thread::sleep(scene.fault.lasts);
        scene.restart(scene.fault.end);
    })
};

/// It sends lines of its own all the time, and closes.
pub const TALKS: Fault = Fault {
    log: Log::Own,
    behaviour: TcpBehaviour::Talks,
    ..Fault::new("talks all the time, closed with all read, restarted at once", |scene| {
        let last = scene.stream.write(100);
        scene.wait_until_read(&last);
        scene.restart(scene.fault.end);
        scene.stream.write(scene.fault.records);
    })
};

/// What is sent reaches nobody for a while.
pub const PACKETS_DROPPED: Fault = Fault {
    log: Log::Own,
    records: 100,
    lasts: Duration::from_secs(4),
    ..Fault::new("packets dropped for 4 s", |scene| {
        scene.drop_packets();
        scene.write_at_both_ends();
        scene.enter(drop_nothing);
    })
};

/// For longer than a peer is waited for.
pub const PACKETS_DROPPED_FOR_LONG: Fault = Fault {
    name: "packets dropped for 22 s",
    log: Log::Few,
    lasts: Duration::from_secs(22),
    ..PACKETS_DROPPED
};

/// The route goes away and comes back.
pub const NO_ROUTE: Fault = Fault {
    log: Log::Own,
    records: 100,
    lasts: Duration::from_secs(4),
    ..Fault::new("no route for 4 s", |scene| {
        ip("route del 10.9.0.0/24");
        scene.write_at_both_ends();
        ip("route add 10.9.0.0/24 dev near");
    })
};

/// The interface goes down and up.
pub const INTERFACE_DOWN: Fault = Fault {
    log: Log::Own,
    records: 100,
    lasts: Duration::from_secs(4),
    ..Fault::new("interface down for 4 s", |scene| {
        ip("link set near down");
        scene.write_at_both_ends();
        ip("link set near up");
    })
};

/// The address that it is sent from is deleted, and another one is there later.
pub const ADDRESS_DELETED: Fault = Fault {
    lasts: Duration::from_secs(2),
    ..Fault::new("own address deleted, another one after 2 s", |scene| {
        scene.delete_own_address();
        scene.write_at_both_ends();
        scene.add_other_address();
    })
};

/// The same where there is nothing but IPv6.
pub const ADDRESS_DELETED_IPV6: Fault = Fault {
    way: Way::Tcp6,
    name: "IPv6 only, own address deleted, another one after 2 s",
    ..ADDRESS_DELETED
};

/// It closes, and what is sent to the next one reaches nobody.
pub const CLOSED_AND_PACKETS_DROPPED: Fault = Fault {
    lasts: Duration::from_secs(12),
    ..Fault::new("closed with all read, then nothing answers for 12 s", |scene| {
        scene.drop_packets();
        scene.restart(scene.fault.end);
        scene.stream.write(scene.fault.records);
        thread::sleep(scene.fault.lasts);
        scene.enter(drop_nothing);
    })
};

/// A firewall forgets the connection and drops what comes by it.
pub const FORGOTTEN_ON_THE_WAY: Fault =
    Fault::new("one connection forgotten on the way, new ones pass", |scene| {
        let peer = scene.receiver().peer();
        scene.enter(|| drop_packets_from(peer));
        scene.stream.write(scene.fault.records);
    });

/// Packets are small.
pub const MTU_576: Fault = Fault {
    log: Log::Storm,
    mtu: 576,
    records: 50,
    ..Fault::new("MTU 576", |scene| _ = scene.write_long_records())
};

/// Packets are large.
pub const MTU_9000: Fault = Fault { name: "MTU 9000", mtu: 9000, ..MTU_576 };

/// It accepts and never reads, and dies.
pub const IGNORES: Fault = Fault {
    log: Log::Storm,
    behaviour: TcpBehaviour::Ignores,
    ahead: 600,
    records: 100,
    lasts: Duration::from_secs(10),
    ..Fault::new("accepts and never reads, killed after 10 s, restarted at once", |scene| {
        scene.stream.write(scene.fault.records);
        thread::sleep(scene.fault.lasts);
        scene.restart(End::Reset);
    })
};

/// It reads too slowly to get anywhere, and dies.
pub const CRAWLS: Fault = Fault {
    behaviour: TcpBehaviour::Crawls,
    lasts: Duration::from_secs(20),
    name: "reads one byte a second for 20 s, killed, restarted at once",
    ..IGNORES
};

/// It is slow for a while.
pub const SLOW: Fault = Fault {
    log: Log::Storm,
    way: Way::Slowed,
    records: 4_000,
    lasts: Duration::from_secs(10),
    ..Fault::new("reads slowly (20 KB/s) for 10 s", |scene| {
        scene.be_slow(true);
        scene.write_meanwhile();
        scene.be_slow(false);
    })
};

/// It stops reading for a while.
pub const STOPPED: Fault = Fault {
    records: 500,
    lasts: Duration::from_secs(10),
    ..Fault::new("stopped for 10 s and continued", |scene| {
        scene.receiver().pause();
        scene.write_meanwhile();
        scene.receiver().resume();
    })
};

/// For longer than a peer that does not answer is waited for.
pub const STOPPED_FOR_A_MINUTE: Fault = Fault {
    name: "stopped for 60 s and continued",
    records: 120,
    lasts: Duration::from_secs(60),
    side_by_side: true,
    ..STOPPED
};

/// Its machine comes back and knows nothing of the connection. Its last words reach nobody: the cable is out while it
/// dies.
pub const HALF_OPEN: Fault = Fault::new("half-open: the peer forgot the connection", |scene| {
    scene.enter(|| ip("link set far down"));
    scene.restart(End::Reset);
    scene.enter(|| ip("link set far up"));
    scene.stream.write(scene.fault.records);
});

/// It dies with bytes unread, and the ring is overrun before it is back.
pub const KILLED_AND_RING_OVERRUN: Fault = Fault {
    log: Log::Storm,
    records: 5_000,
    ..Fault::new("killed with bytes unread, away while 5,000 records overrun the ring", |scene| {
        scene.leave_unread();
        scene.stop(End::Reset);
        scene.stream.write(scene.fault.records);
        scene.restart(End::Reset);
    })
};

/// It closes, and the ring is overrun before it is back.
pub const CLOSED_AND_RING_OVERRUN: Fault = Fault {
    log: Log::Storm,
    records: 5_000,
    ..Fault::new("closed with all read, away while 5,000 records overrun the ring", |scene| {
        scene.stop(scene.fault.end);
        scene.stream.write(scene.fault.records);
        scene.restart(scene.fault.end);
    })
};

/// The machine is rebooted.
pub const REBOOT: Fault = Fault {
    log: Log::Own,
    records: 200,
    ends: true,
    ..Fault::new("reboot with 200 records just written", |scene| {
        scene.stream.write(scene.fault.records);
        scene.shipper.ask_to_end();
        scene.shipper.wait_or_kill();
    })
};

/// The same while it is away.
pub const REBOOT_WHILE_AWAY: Fault = Fault {
    log: Log::Own,
    records: 200,
    ends: true,
    lasts: Duration::from_secs(2),
    ..Fault::new("reboot with 200 records just written, the receiver away and back after 2 s", |scene| {
        scene.stop(scene.fault.end);
        scene.stream.write(scene.fault.records);
        scene.shipper.ask_to_end();
        thread::sleep(scene.fault.lasts);
        scene.restart(scene.fault.end);
        scene.shipper.wait_or_kill();
    })
};

/// Nothing happens but that many records come at once.
pub const MANY_DATAGRAMS: Fault = Fault {
    log: Log::Storm,
    way: Way::Udp,
    ahead: 3_000,
    ..Fault::new("3,000 records at once as datagrams", |_| {})
};
