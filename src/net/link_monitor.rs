//! What the kernel tells of links, addresses and routes while the receiver is not reached, and of the address of the
//! socket in use.
//!
//! A change that helps is a reason to try again at once. One that came before an attempt began is its reason; one that
//! comes later counts for the next. An attempt that follows a change may be interrupted, or followed by the next, after a
//! backoff of its own, which doubles as long as changes go on: a storm of them causes no storm of attempts.
//!
//! A connection whose own address is deleted is dead, and would be noticed only by its silence.

use core::fmt::Write;
use core::mem;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socket_with};

use crate::sys::fds::read_into;
use crate::sys::socket::{RawAddress, own_address, set_groups};
use crate::sys::{At, time};
use earlykmsg::address::Address;
use earlykmsg::error::{Errno as Number, Result, Step};
use earlykmsg::limits::{
    ANSWERS_BYTES, LINK_ATTEMPT_MS_MAX, LINK_BACKOFF_MS_MAX, LINK_SETTLE_MS, NETLINK_BYTES, NETLINK_READS_MAX,
};
use earlykmsg::wire::netlink::{
    self, Dump, IPV4_ADDRESS_GROUP, IPV6_ADDRESS_GROUP, LINK_AND_ROUTE_GROUPS, Seen, dump_request,
    route_request, should_retry,
};

/// Listens to the kernel, and notes whether there is a reason to try again, or to drop a connection.
pub struct LinkMonitor {
    fd: Option<OwnedFd>,
    /// The family of the address at which the receiver is reached: only addresses of that family are heard of, and no change is
    /// a reason to try again.
    reached: Option<Family>,
    /// When the first change came that helps, since the attempt began.
    changed_ms: Option<u64>,
    seen: Seen,
    attempt_began_ms: u64,
    backoff_ms: u64,
}

impl LinkMonitor {
    /// Nobody listens.
    pub const IDLE: LinkMonitor = LinkMonitor {
        fd: None,
        reached: None,
        changed_ms: None,
        seen: Seen { link_is_starting: false, address_is_deleted: false },
        attempt_began_ms: 0,
        backoff_ms: 1,
    };

    /// Listens to everything from now on. A kernel that tells nothing is no reason not to go on.
    pub fn listen(&mut self) {
        if self.fd.is_none()
            && let Ok(fd) = open()
        {
            hear(&fd, None);
            // A socket that never sent anything has no address, and is told nothing.
            let _ = send(&fd, &[0; 16], SendFlags::empty());
            self.fd = Some(fd);
            self.reached = None;
        }
        self.set_reached(None);
    }

    /// The receiver is reached at an address: listens only for that of the socket in use, from now on. It is of the same
    /// family; of the other one, a router's advertisements would wake the shipper every few minutes.
    pub fn reached(&mut self, at: Address) {
        self.set_reached(Some(if at.ip.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }));
        self.changed_ms = None;
    }

    fn set_reached(&mut self, reached: Option<Family>) {
        if let Some(fd) = &self.fd
            && self.reached != reached
        {
            hear(fd, reached);
            self.reached = reached;
        }
    }

    /// Fails when the address that a socket sends from was deleted, and no link has it.
    pub fn check_own_address(
        &mut self,
        socket: BorrowedFd<'_>,
        answers: &mut [u8; ANSWERS_BYTES],
    ) -> Result<()> {
        if !mem::take(&mut self.seen.address_is_deleted) {
            return Ok(());
        }
        let mut raw = RawAddress::default();
        let (own, mut is_there) = (own_address(socket, &mut raw), false);
        ask(&dump_request(Dump::Addresses), answers, &mut |answer| {
            netlink::find_address(answer, own, &mut is_there)
        });
        if is_there { Ok(()) } else { Err(Step::AddressDeleted.failed(Number::NONE)) }
    }

    /// An attempt begins.
    pub fn begin_attempt(&mut self, now_ms: u64) {
        self.listen();
        for _ in 0..NETLINK_READS_MAX {
            if !self.read() {
                break;
            }
        }
        self.backoff_ms = if self.changed_ms.is_some() { self.backoff_ms.saturating_mul(2) } else { 1 };
        self.changed_ms = None;
        self.seen = Seen::default();
        self.attempt_began_ms = now_ms;
    }

    /// What to wait on.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Reads what has come. Returns whether there may be more.
    #[inline(never)] // its buffer is on the stack only while it runs
    pub fn read(&mut self) -> bool {
        let Some(fd) = &self.fd else { return false };
        let mut message = [0; NETLINK_BYTES];
        let helps = match read_into(fd.as_fd(), &mut message) {
            Ok(message) if message.len() < NETLINK_BYTES => should_retry(message, &mut self.seen),
            // What does not fit may be anything, and so may what was more than the kernel keeps.
            Ok(_) | Err(Errno::NOBUFS) => {
                self.seen.address_is_deleted = true;
                true
            }
            Err(_) => return false,
        };
        if helps && self.reached.is_none() {
            self.changed_ms.get_or_insert(time::now_ms());
        }
        true
    }

    /// When a pause ends because of a change.
    pub fn end_pause_ms(&self) -> Option<u64> {
        let settled = self.changed_ms? + LINK_SETTLE_MS;
        Some(settled.max(self.attempt_began_ms + self.backoff_ms.min(LINK_BACKOFF_MS_MAX)))
    }

    /// When an attempt that is under way is begun again because of a change. The kernel tells of an address before it
    /// takes in what is sent there: an answer that was lost so would be waited for a second.
    pub fn restart_attempt_ms(&self) -> Option<u64> {
        let settled = self.changed_ms? + LINK_SETTLE_MS;
        (self.backoff_ms <= LINK_ATTEMPT_MS_MAX).then(|| settled.max(self.attempt_began_ms + self.backoff_ms))
    }
}

/// A family of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    Ipv4,
    Ipv6,
}

/// Has a socket hear everything, or of the addresses of one family alone.
fn hear(fd: &OwnedFd, only: Option<Family>) {
    set_groups(fd.as_fd(), only.is_none(), &LINK_AND_ROUTE_GROUPS);
    set_groups(fd.as_fd(), only != Some(Family::Ipv6), &[IPV4_ADDRESS_GROUP]);
    set_groups(fd.as_fd(), only != Some(Family::Ipv4), &[IPV6_ADDRESS_GROUP]);
}

fn open() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None).at(Step::OpenSocket)
}

/// Describes the links, addresses and routes that there are, each after a comma.
pub fn describe_network(out: &mut impl Write, answers: &mut [u8; ANSWERS_BYTES]) {
    let mut is_full = false;
    for dump in [Dump::Links, Dump::Addresses, Dump::Routes] {
        ask(&dump_request(dump), answers, &mut |answer| {
            netlink::describe(answer, out).unwrap_or_else(|_| {
                is_full = true;
                true
            })
        });
        // The text is cut where its room ends.
        if is_full {
            return;
        }
    }
}

/// Writes the hardware address of the interface that leads to an address, if there is one.
pub fn hardware_address(to: Address, out: &mut impl Write, answers: &mut [u8; ANSWERS_BYTES]) {
    // Where the address does not tell which interface it is, the route does.
    let mut index = to.scope_id;
    if index == 0 {
        ask(&route_request(to), answers, &mut |answer| {
            index = netlink::route_interface(answer);
            true
        });
    }
    ask(&dump_request(Dump::Links), answers, &mut |answer| {
        netlink::hardware_address(answer, index, out).unwrap_or(true)
    });
}

/// Asks the kernel, and hands the parts of its answer to `take`, which returns whether it was the last.
fn ask(request: &[u8], answers: &mut [u8; ANSWERS_BYTES], take: &mut dyn FnMut(&[u8]) -> bool) {
    let Ok(fd) = open() else { return };
    let _ = send(&fd, request, SendFlags::empty());
    while let Ok(answer) = read_into(fd.as_fd(), answers) {
        if take(answer) {
            break;
        }
    }
}
