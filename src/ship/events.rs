//! Everything that a shipper waits for, and the one place where it waits.
//!
//! Signals, the watcher's messages and changes of the network are dealt with here. The caller gets what is ready of its
//! own sockets, and asks the [`Lifetime`] whether the end has come.

use rustix::event::PollFlags;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::handover::SocketLists;
use crate::net::link_monitor::LinkMonitor;
use crate::sys::fds::read_into;
use crate::sys::wait::{Awaited, wait};
use crate::sys::{signal, time};
use earlykmsg::address::Found;
use earlykmsg::channel::Message;
use earlykmsg::delivery::lifetime::Lifetime;
use earlykmsg::delivery::progress::{OldSockets, Progress};
use earlykmsg::limits::{NETWORK_STATE_BYTES_MAX, PACKET_BYTES_MAX};

/// What a shipper waits for.
pub struct Events {
    signals: BorrowedFd<'static>,
    /// The channel to the watcher; none: the watcher is gone.
    watcher: Option<BorrowedFd<'static>>,
    kmsg: BorrowedFd<'static>,
    sockets: SocketLists,
    port: u16,
    progress: Progress,
    /// Changes of links, addresses and routes.
    pub links: LinkMonitor,
    /// When the shipper ends.
    pub lifetime: Lifetime,
    /// Where the main system's delivery is looked for: at the addresses of the last search, and of the one before, which
    /// the main system may have found as well.
    pub known_addresses: [Found; 2],
    /// The watcher has reported the root switch.
    pub root_switched: bool,
    /// How far the network is that this program brings up; empty: it does not.
    pub network_state: heapless::Vec<u8, NETWORK_STATE_BYTES_MAX>,
    /// How long the file is of what pstore kept, if it has become complete.
    pub kept_bytes: Option<u64>,
    /// When the last wait ended.
    pub woken_ms: u64,
}

/// Whether a new record of the kernel's log ends a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ring {
    /// It does.
    Wakes,
    /// It waits until there is room for it.
    Waits,
}

impl Events {
    /// Takes the descriptors to wait for. `port` is the receiver's.
    pub fn new(
        [kmsg, signals, watcher]: [BorrowedFd<'static>; 3],
        sockets: SocketLists,
        port: u16,
        progress: Progress,
        lifetime: Lifetime,
    ) -> Events {
        if let OldSockets::Unknown = progress.old_sockets() {
            sockets.note_old(port, progress);
        }
        Events {
            signals,
            watcher: Some(watcher),
            kmsg,
            sockets,
            port,
            progress,
            links: LinkMonitor::IDLE,
            lifetime,
            known_addresses: [const { Found::nothing() }; 2],
            root_switched: false,
            network_state: heapless::Vec::new(),
            kept_bytes: None,
            woken_ms: time::now_ms(),
        }
    }

    /// Waits until a socket is ready, something else happens, or it is `until_ms`. Returns what is ready of the sockets.
    pub fn wait(&mut self, sockets: [Awaited<'_>; 2], ring: Ring, until_ms: u64) -> [PollFlags; 2] {
        // Nobody has asked for files.
        self.wait_and_take(sockets, ring, until_ms, &mut |_| {})
    }

    /// Waits for one socket, and not for the ring.
    pub fn wait_for(&mut self, socket: BorrowedFd<'_>, interest: PollFlags, until_ms: u64) -> PollFlags {
        let [events, _] = self.wait([Awaited::new(socket, interest), Awaited::NONE], Ring::Waits, until_ms);
        events
    }

    /// Asks the watcher for the files that say where names lead, and hands their pieces to `take` until the last one
    /// has come, or it is `until_ms`, or the end has come. Returns `false` in that case.
    pub fn request_files(&mut self, until_ms: u64, take: &mut dyn FnMut(Message<'_>)) -> bool {
        // If it does not fit, there is no answer in time.
        self.tell_watcher(Message::RequestFiles);
        let mut is_complete = false;
        loop {
            let now = time::now_ms();
            if self.is_over(now) {
                return false;
            }
            if is_complete || self.watcher.is_none() || now >= until_ms {
                return true;
            }
            self.wait_and_take([Awaited::NONE; 2], Ring::Waits, until_ms, &mut |message| {
                is_complete |= message == Message::EndOfFiles;
                take(message);
            });
        }
    }

    /// Sends the watcher a message without waiting.
    pub fn tell_watcher(&self, message: Message<'_>) {
        if let Some(watcher) = self.watcher {
            let _ = send(watcher, &message.encode(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        }
    }

    /// The channel to the watcher. As a socket, it can tell the index of an interface.
    pub fn watcher(&self) -> Option<BorrowedFd<'static>> {
        self.watcher
    }

    /// Whether the end has come, and its time is over.
    pub fn is_over(&mut self, now_ms: u64) -> bool {
        self.lifetime.end(now_ms).is_some_and(|end| now_ms >= end.deadline_ms)
    }

    fn wait_and_take(
        &mut self,
        sockets: [Awaited<'_>; 2],
        ring: Ring,
        until_ms: u64,
        take: &mut dyn FnMut(Message<'_>),
    ) -> [PollFlags; 2] {
        let [one, other] = sockets;
        let mut awaited = [
            Awaited::input(Some(self.signals)),
            Awaited::input(self.watcher),
            Awaited::input((ring == Ring::Wakes).then_some(self.kmsg)),
            Awaited::input(self.links.fd()),
            one,
            other,
        ];
        // Once the end has begun, its deadline wakes those who wait.
        wait(&mut awaited, until_ms.min(self.lifetime.wake_ms()));
        let [signal, watcher, _, links, one, other] = &awaited;
        let (signal, watcher, links) = (signal.is_ready(), watcher.is_ready(), links.is_ready());
        let ready = [one.events(), other.events()];
        let now = time::now_ms();
        self.woken_ms = now;
        if links {
            self.links.read();
        }
        if signal && signal::received(self.signals).terminate {
            self.lifetime.asked(now);
        }
        if watcher {
            self.take_message(now, take);
        }
        self.look_for_delivery(now);
        ready
    }

    /// Takes a message of the watcher's; those that are pieces of files go to `take`.
    #[inline(never)] // its buffer is on the stack only while it runs
    fn take_message(&mut self, now_ms: u64, take: &mut dyn FnMut(Message<'_>)) {
        let Some(watcher) = self.watcher else { return };
        let mut packet = [0; PACKET_BYTES_MAX];
        let packet = match read_into(watcher, &mut packet) {
            Ok(packet @ [_, ..]) => packet,
            Err(Errno::AGAIN | Errno::INTR) => return,
            _ => {
                self.watcher = None;
                self.lifetime.orphaned(now_ms);
                return;
            }
        };
        match Message::decode(packet) {
            Some(Message::RootSwitched { at_ms }) => {
                self.root_switched = true;
                self.lifetime.switched(at_ms);
            }
            Some(Message::MountsChanged) => self.sockets.note_old(self.port, self.progress),
            Some(Message::NetworkState(text)) => {
                self.network_state = heapless::Vec::from_slice(text).unwrap_or_default();
            }
            Some(Message::KeptLines { bytes }) => self.kept_bytes = Some(bytes),
            Some(piece) => take(piece),
            None => {}
        }
    }

    /// Looks whether the main system delivers by itself, when it is time for that.
    fn look_for_delivery(&mut self, now_ms: u64) {
        if self.lifetime.must_look(now_ms) {
            let old = self.progress.old_sockets();
            let is_seen = self.sockets.has_new_delivery(&self.known_addresses, self.port, old);
            self.lifetime.looked(is_seen, now_ms);
        }
    }
}
