//! What the kernel tells of links, addresses and routes while the receiver is not reached.
//!
//! Good news are a reason to try again at once. Those that came before an attempt began are its reason; those that come
//! later stay heard until the next one. One that follows news may be interrupted or followed by the next a moment
//! later, and that moment doubles as long as the news go on: a storm of them causes no storm of attempts.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use crate::address::Address;
use crate::error::{Result, Step};
use crate::limits::{
    ANSWERS_BYTES, NEWS_ATTEMPT_MS_MAX, NEWS_BYTES, NEWS_PAUSE_MS_MAX, NEWS_READS_MAX, NEWS_SETTLE_MS,
};
use crate::network::netlink::{self, DUMPS, LINKS, is_good_news, request, request_way};
use crate::sys::socket::join_groups;
use crate::sys::{At, time};
use crate::words::Line;

/// The way on which news come, and what they have caused.
pub struct News {
    fd: Option<OwnedFd>,
    /// There were good ones since the attempt began, and when they came.
    heard: bool,
    /// A link will soon run: what is told until then does not count.
    coming: bool,
    heard_ms: u64,
    began_ms: u64,
    moment_ms: u64,
}

impl News {
    /// Nobody listens.
    pub const DEAF: News =
        News { fd: None, heard: false, coming: false, heard_ms: 0, began_ms: 0, moment_ms: 1 };

    /// Listens from now on. A kernel that tells nothing is no reason not to go on.
    pub fn listen(&mut self) {
        if self.fd.is_none()
            && let Ok(fd) = open()
        {
            join_groups(&fd);
            // Who has never said anything has no address there, and is told nothing.
            let _ = send(&fd, &[0; 16], SendFlags::empty());
            self.fd = Some(fd);
        }
    }

    /// Listens no more, and keeps nothing of the kernel's memory busy.
    pub fn stop(&mut self) {
        self.fd = None;
        self.heard = false;
    }

    /// An attempt begins.
    pub fn begin(&mut self, now_ms: u64) {
        self.listen();
        for _ in 0..NEWS_READS_MAX {
            if !self.read() {
                break;
            }
        }
        self.moment_ms = if self.heard { self.moment_ms.saturating_mul(2) } else { 1 };
        self.heard = false;
        self.coming = false;
        self.began_ms = now_ms;
    }

    /// What to wait on, as long as nothing was heard.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().filter(|_| !self.heard).map(AsFd::as_fd)
    }

    /// Reads what has come. Returns whether there may be more.
    #[inline(never)] // its buffer is not on the stack of those who wait
    pub fn read(&mut self) -> bool {
        let Some(fd) = &self.fd else { return false };
        let mut message = [0; NEWS_BYTES];
        match recv(fd, &mut message, RecvFlags::DONTWAIT) {
            // What does not fit may be good.
            Ok((len, _)) => {
                self.heard |= len == message.len() || is_good_news(&message[..len], &mut self.coming);
            }
            // There was more than the kernel keeps.
            Err(Errno::NOBUFS) => self.heard = true,
            Err(_) => return false,
        }
        self.heard_ms = time::now_ms();
        true
    }

    /// When a pause ends because of news.
    pub fn pause_until(&self) -> Option<u64> {
        self.heard.then(|| self.settled_ms().max(self.began_ms + self.moment_ms.min(NEWS_PAUSE_MS_MAX)))
    }

    /// When an attempt that is under way is made anew because of news.
    pub fn attempt_until(&self) -> Option<u64> {
        let goes_on = !self.heard || self.moment_ms > NEWS_ATTEMPT_MS_MAX;
        (!goes_on).then(|| self.settled_ms().max(self.began_ms + self.moment_ms))
    }

    /// The kernel tells of what it does before it is done: of an address, before it takes in what is sent there. An
    /// answer that was lost so would be waited for a second.
    fn settled_ms(&self) -> u64 {
        self.heard_ms + NEWS_SETTLE_MS
    }
}

fn open() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None).at(Step::OpenSocket)
}

/// Tells of the links, addresses and routes that there are.
pub fn tell_network(line: &mut Line, answers: &mut [u8; ANSWERS_BYTES]) {
    for &dump in DUMPS {
        ask(&request(dump), answers, &mut |answer| netlink::tell(answer, line));
    }
}

/// Tells of the hardware address of the interface that leads to an address, a colon before each of its bytes.
pub fn tell_hardware(to: Address, line: &mut Line, answers: &mut [u8; ANSWERS_BYTES]) {
    // Where the address does not say which it is, the way does.
    let mut index = to.scope;
    let take = &mut |answer: &[u8]| netlink::tell_hardware(answer, &mut index, line);
    ask(&request_way(to), answers, take);
    ask(&request(LINKS), answers, take);
}

/// Asks the kernel, and reads the answer up to its end, which `take` sees.
#[inline(never)]
fn ask(request: &[u8], answers: &mut [u8; ANSWERS_BYTES], take: &mut dyn FnMut(&[u8]) -> bool) {
    let Ok(fd) = open() else { return };
    let _ = send(&fd, request, SendFlags::empty());
    while let Ok((len, _)) = recv(&fd, &mut answers[..], RecvFlags::DONTWAIT) {
        if take(&answers[..len.min(ANSWERS_BYTES)]) {
            break;
        }
    }
}
