//! From a destination's host to the address that is tried next: the files through the watcher, the name servers,
//! and which of the addresses it is that is tried.
//!
//! What decides is in [`crate::names`]; here are its sockets, its clock and its random numbers. Waiting is the
//! shipper's, so that signals, the switch and the end interrupt a search.

use core::mem::swap;

use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::{Errno, read};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::address::{Address, cut};
use crate::channel::{END, HOSTS, MOUNTS, SWITCHED};
use crate::endpoint::Host;
use crate::error::{Result, Step};
use crate::files;
use crate::limits::{
    ANSWER_BYTES_MAX, ANSWERS_BYTES, FILES_MS, NAME_AGAIN_MS, NAME_IN_USE_MS, NAME_LATER_MS, NAME_PORT,
    PIECE_BYTES,
};
use crate::names::lookup::{Action, Lookup};
use crate::names::resolv::Config;
use crate::names::{Bytes, Found, hosts};
use crate::ship::Shipper;
use crate::sys::time;
use crate::sys::wait::Awaited;
use crate::transport::tcp::Tcp;
use crate::transport::udp::{Sent, Udp};
use crate::transport::{To, zone};

/// What is known of the host.
pub(crate) struct Names<'a> {
    host: Host<'a>,
    /// The search for it; its addresses.
    pub(crate) lookup: Lookup<'a>,
    /// Until when they hold.
    until_ms: u64,
    /// Not to be looked for again before, while they are in use.
    later_ms: u64,
    /// The address that is tried.
    nth: usize,
    /// It is not the first of the round.
    midway: bool,
    /// They are to be looked for again, even those of a file: the root was switched since the search began, and what
    /// it finds is the image's; or it found nothing.
    again: bool,
    /// What the watcher's files say, as far as they are read.
    config: Config,
    pub(crate) found: Found,
    /// They were read to their end.
    read: bool,
    /// How much of `answers` is the beginning of a line.
    begun: usize,
    /// That line's own beginning was passed over, and so is its rest.
    too_long: bool,
    pub(crate) answers: &'static mut [u8; ANSWERS_BYTES],
}

/// What the watcher said.
pub(crate) enum Heard {
    /// The root was switched at this time.
    Switched(u64),
    /// The mounts have changed.
    Mounts,
    /// Something that is done with.
    Nothing,
    /// Its end.
    Gone,
}

impl<'a> Names<'a> {
    #[inline(never)]
    pub(crate) fn new(host: Host<'a>, answers: &'static mut [u8; ANSWERS_BYTES]) -> Names<'a> {
        let mut lookup = Lookup::idle();
        let mut until_ms = 0;
        if let Host::Address { address, .. } = host {
            lookup.found.add(address);
            until_ms = u64::MAX;
        }
        Names {
            host,
            lookup,
            until_ms,
            later_ms: 0,
            nth: 0,
            midway: false,
            again: false,
            config: Config::empty(),
            found: Found::nothing(),
            read: true,
            begun: 0,
            too_long: false,
            answers,
        }
    }

    /// Takes a packet of the watcher's.
    pub(crate) fn hear(&mut self, channel: BorrowedFd<'_>) -> Heard {
        let mut short = [0; 9];
        let place = if self.read { &mut short[..] } else { &mut self.answers[self.begun..] };
        let len = match read(channel, &mut *place) {
            Ok(len @ 1..) => len,
            Err(Errno::AGAIN | Errno::INTR) => return Heard::Nothing,
            _ => return Heard::Gone,
        };
        match *place {
            [SWITCHED, a, b, c, d, e, f, g, h, ..] if len == 9 => {
                if self.until_ms != u64::MAX {
                    self.until_ms = 0;
                }
                self.again = true;
                return Heard::Switched(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
            }
            [MOUNTS, ..] => return Heard::Mounts,
            [END, ..] => self.read = true,
            [kind, ..] if !self.read => self.take(kind == HOSTS, len, channel),
            _ => {}
        }
        Heard::Nothing
    }

    /// Reads the lines that a piece of a file completes.
    fn take(&mut self, is_hosts: bool, len: usize, channel: BorrowedFd<'_>) {
        // The kind goes.
        self.answers.copy_within(self.begun + 1..self.begun + len, self.begun);
        let end = self.begun + len - 1;
        let mut text = &self.answers[..end];
        let last = text.iter().rposition(|&byte| byte == b'\n');
        let whole = if len == 1 { end } else { last.map_or(0, |at| at + 1) };
        text = &text[..whole];
        if self.too_long {
            text = cut(text, b'\n').map_or(&[], |(_, rest)| rest);
            self.too_long = whole == 0 && len > 1;
        }
        let scope = &mut |name: &[u8]| zone(channel, name).unwrap_or(0);
        match self.host {
            Host::Name(name) if is_hosts => hosts::find(text, name, scope, &mut self.found),
            _ => self.config.read(text, scope),
        }
        self.answers.copy_within(whole..end, 0);
        self.begun = end - whole;
        if self.begun > ANSWERS_BYTES - 1 - PIECE_BYTES {
            self.begun = 0;
            self.too_long = true;
        }
    }

    /// The address was tried in vain. `anew`: so much has changed that the round begins anew.
    pub(crate) fn failed(&mut self, anew: bool) {
        self.nth += 1;
        self.midway = !anew && self.address().is_some();
        if !self.midway {
            self.nth = 0;
        }
    }

    /// Goes on with an address that is in use, if it is still among those that are known.
    pub(crate) fn go_on_with(&mut self, used: Option<Address>) -> bool {
        let place = self.lookup.found.iter().position(|address| Some(address) == used);
        self.nth = place.unwrap_or(0);
        place.is_some()
    }

    /// It was reached, and is tried first the next time.
    pub(crate) fn reached(&mut self) {
        self.midway = false;
    }

    /// Whether there are more addresses to be tried, without a pause.
    pub(crate) fn is_midway(&self) -> bool {
        self.midway
    }

    /// The address that is tried now.
    pub(crate) fn address(&self) -> Option<Address> {
        self.lookup.found.nth(self.nth)
    }

    /// Whether an address that is in use has to be looked for again.
    pub(crate) fn is_old(&self, now_ms: u64) -> bool {
        (self.again || self.lookup.found.ttl_s != u32::MAX) && now_ms >= self.until_ms.max(self.later_ms)
    }
}

impl<'a> Shipper<'a> {
    /// Whom to connect to now. It fails too when the end has come first: who asks looks for that.
    pub(crate) fn target(&mut self) -> Result<To<'a>> {
        let now = time::now_ms();
        if !self.names.midway {
            self.news.begin(now);
            if now >= self.names.until_ms {
                self.search(false)?;
            }
        }
        let zone = if let Host::Address { zone, .. } = self.endpoint.host { zone } else { b"" };
        let address = self.names.address().ok_or(Step::LookUpName.failed(0))?;
        Ok(To { address, zone, port: self.endpoint.port })
    }

    /// Looks for the addresses of the host, which is a name.
    ///
    /// When nothing is found, those that came from a file stay in force. One that is in use can be used on, and records
    /// wait for that: nothing is told then, and the search ends with everything else.
    pub(crate) fn search(&mut self, in_use: bool) -> Result<()> {
        let Host::Name(host) = self.endpoint.host else { return Ok(()) };
        self.names.again = false;
        self.read_files()?;
        self.names.nth = 0;
        self.names.lookup.ask(&mut self.names.config);
        if !self.names.found.is_empty() {
            swap(&mut self.names.lookup.found, &mut self.names.found);
            // The file is read again for the next connection.
            self.names.until_ms = 0;
            return Ok(());
        }
        // What was known is kept there.
        swap(&mut self.names.lookup.found, &mut self.names.found);
        self.names.lookup.begin(host);
        let asked = self.ask_servers(in_use);
        let now = time::now_ms();
        if asked.is_ok() {
            let holds_ms = if self.names.again { 0 } else { self.names.lookup.found.holds_ms() };
            self.names.until_ms = now + holds_ms;
            self.names.later_ms = now + NAME_AGAIN_MS;
            return asked;
        }
        swap(&mut self.names.lookup.found, &mut self.names.found);
        let known = &self.names.lookup.found;
        let lasting = !known.is_empty() && known.ttl_s == u32::MAX;
        self.names.until_ms = 0;
        self.names.again = true;
        self.names.later_ms = now + NAME_LATER_MS;
        if lasting && !self.over(now) { Ok(()) } else { asked }
    }

    /// Has the watcher hand over its files.
    fn read_files(&mut self) -> Result<()> {
        let until = time::now_ms() + FILES_MS;
        let names = &mut self.names;
        names.config = Config::empty();
        names.found.clear();
        let Some(watcher) = &self.watcher else { return Ok(()) };
        files::tell(watcher.as_fd(), &[END]);
        (names.read, names.begun, names.too_long) = (false, 0, false);
        loop {
            let now = time::now_ms();
            if self.over(now) {
                return Err(Step::LookUpName.failed(0));
            }
            if self.names.read || self.watcher.is_none() || now >= until {
                self.names.read = true;
                return Ok(());
            }
            self.wait([Awaited::NONE; 2], false, until);
        }
    }

    /// Asks the name servers.
    fn ask_servers(&mut self, in_use: bool) -> Result<()> {
        // Answers over TCP are gathered at the start of the buffer, those that are datagrams go behind.
        const GATHERED: usize = ANSWERS_BYTES - ANSWER_BYTES_MAX;
        let nothing = Step::LookUpName.failed(0);
        let mut to = To { address: Address::of(&[]), zone: b"", port: NAME_PORT };
        let mut udp = None;
        let mut tcp = None;
        let mut query = Bytes::new();
        let (mut tcp_v6, mut tcp_asked, mut len) = (false, false, 0);
        let in_use_until = time::now_ms() + NAME_IN_USE_MS;
        loop {
            let now = time::now_ms();
            if self.over(now) {
                return Err(nothing);
            }
            if in_use && (now >= in_use_until || self.life.end(now).is_some()) {
                return Err(nothing);
            }
            let anew = self.news.attempt_until();
            if anew.is_some_and(|anew| now >= anew) {
                return Err(nothing);
            }
            // It needs the buffer that an answer over TCP is gathered in.
            if tcp.is_none() && !in_use {
                self.tell_of_absence(nothing);
            }
            let lookup = &mut self.names.lookup;
            let mut over_tcp = true;
            let step = match lookup.next(now) {
                Action::Done => return Ok(()),
                Action::Failed => return Err(nothing),
                Action::Connect(server) => {
                    over_tcp = false;
                    to.address = server;
                    tcp = None;
                    Udp::open(&mut to).map(|socket| udp = Some(socket))
                }
                Action::Ask { v6, tcp: false } => {
                    over_tcp = false;
                    lookup.query(v6, random(), &mut query);
                    match udp.as_ref().map(|socket| socket.send(&query[2..])) {
                        Some(Sent::Broken(error)) => Err(error),
                        _ => Ok(()),
                    }
                }
                Action::Ask { v6, tcp: true } => {
                    (tcp_v6, tcp_asked, len) = (v6, false, 0);
                    Tcp::begin(&mut to).map(|socket| tcp = Some(socket))
                }
                Action::Wait(until) => {
                    let interest = if tcp_asked { PollFlags::IN } else { PollFlags::OUT };
                    let sockets = [
                        Awaited::input(udp.as_ref().map(Udp::fd)),
                        tcp.as_ref().map_or(Awaited::NONE, |tcp| Awaited::new(tcp.fd(), interest)),
                    ];
                    let until = anew.map_or(until, |anew| anew.min(until));
                    let [_, tcp_ready] = self.wait(sockets, false, until);
                    let now = time::now_ms();
                    let Names { lookup, answers, .. } = &mut self.names;
                    let (gathered, datagram) = answers.split_at_mut(GATHERED);
                    if let Some(socket) = &udp {
                        match read(socket.fd(), &mut *datagram) {
                            Ok(len) => lookup.answer(now, &datagram[..len], false),
                            Err(Errno::AGAIN | Errno::INTR) => {}
                            Err(errno) => {
                                lookup.failed(false, errno.raw_os_error());
                                udp = None;
                            }
                        }
                    }
                    match &mut tcp {
                        Some(socket) if tcp_asked && !tcp_ready.is_empty() => {
                            receive(socket, gathered, &mut len).map(|whole| {
                                if whole {
                                    lookup.answer(now, &gathered[2..len], true);
                                    tcp = None;
                                }
                            })
                        }
                        Some(socket) if !tcp_ready.is_empty() => {
                            tcp_asked = true;
                            lookup.query(tcp_v6, 0, &mut query);
                            // The send buffer is empty: it takes all of it.
                            socket.connected().and_then(|()| socket.send(&query)).map(|_| ())
                        }
                        _ => Ok(()),
                    }
                }
            };
            if let Err(error) = step {
                self.names.lookup.failed(over_tcp, error.errno().into());
                if over_tcp {
                    tcp = None;
                } else {
                    udp = None;
                }
            }
        }
    }
}

/// Gathers an answer, up to what there is room for. `true`: that is all of it.
#[inline(never)]
fn receive(socket: &Tcp, gathered: &mut [u8], len: &mut usize) -> Result<bool> {
    match read(socket.fd(), &mut gathered[*len..]) {
        Ok(0) => Err(Step::Receive.failed(0)),
        Ok(more) => {
            *len += more;
            let whole = 2 + usize::from(u16::from_be_bytes([gathered[0], gathered[1]]));
            Ok(*len >= 2 && *len >= whole.min(gathered.len()))
        }
        Err(Errno::AGAIN | Errno::INTR) => Ok(false),
        Err(errno) => Err(crate::sys::failed(Step::Receive, errno)),
    }
}

/// The number of a question. Before the kernel has gathered any chance, the clock has to do.
fn random() -> u16 {
    let mut bytes = time::raw_ns().to_le_bytes();
    let _ = getrandom(&mut bytes[..2], GetRandomFlags::NONBLOCK);
    u16::from_le_bytes([bytes[0], bytes[1]])
}
