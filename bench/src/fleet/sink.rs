//! A receiver that does nothing but count: one thread, all connections.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};

use super::account::Account;

/// How a sink takes connections.
#[derive(Clone, Copy, Debug)]
pub struct Accepts {
    /// How many the kernel keeps for it.
    pub backlog: i32,
    /// The pause after each; zero: as fast as they come.
    pub pause: Duration,
}

impl Accepts {
    /// All at once.
    pub const FAST: Accepts = Accepts { backlog: 4_096, pause: Duration::ZERO };
}

/// A sink at one address, dead when this value is dropped: then its connections end with what they have unread.
#[derive(Debug)]
pub struct Sink {
    ended: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    /// Listens in the caller's network.
    #[must_use]
    pub fn new(address: SocketAddr, accepts: Accepts, account: &Arc<Account>) -> Sink {
        let (ended, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let listener = listener(address, accepts.backlog);
        let thread = thread::spawn({
            let (ended, accepted, account) = (Arc::clone(&ended), Arc::clone(&accepted), Arc::clone(account));
            move || serve(&listener, accepts.pause, &account, &ended, &accepted)
        });
        Sink { ended, accepted, thread: Some(thread) }
    }

    /// Connections so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listener(address: SocketAddr, backlog: i32) -> TcpListener {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, None).expect("open a socket");
    setsockopt(&fd, sockopt::ReuseAddr, &true).expect("share an address with what is ending");
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).expect("bind a socket");
    listen(&fd, Backlog::new(backlog).expect("a backlog")).expect("listen");
    fd.into()
}

struct Connection {
    stream: TcpStream,
    /// What has come of a line that is not whole.
    part: Vec<u8>,
}

const LISTENER: u64 = u64::MAX;

fn serve(
    listener: &TcpListener,
    pause: Duration,
    account: &Account,
    ended: &AtomicBool,
    accepted: &AtomicUsize,
) {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("make an epoll");
    if pause.is_zero() {
        epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER)).expect("watch the listener");
    }
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let (mut events, mut buffer) = ([EpollEvent::empty(); 256], vec![0; 1 << 18]);
    let mut next_accept = Instant::now();
    while !ended.load(Ordering::Relaxed) {
        let mut must_accept = !pause.is_zero();
        let timeout = if pause.is_zero() { 50u16 } else { 1 };
        let count = epoll.wait(&mut events, EpollTimeout::from(timeout)).unwrap_or(0);
        for event in &events[..count] {
            let key = event.data();
            if key == LISTENER {
                must_accept = true;
            } else if let Some(connection) = connections.get_mut(&key)
                && !read(connection, &mut buffer, account)
            {
                connections.remove(&key);
            }
        }
        while must_accept && Instant::now() >= next_accept {
            let Ok((stream, _)) = listener.accept() else {
                // Time in which nobody came is not made up for.
                next_accept = Instant::now();
                break;
            };
            accepted.fetch_add(1, Ordering::Relaxed);
            stream.set_nonblocking(true).expect("set a flag");
            let key = stream.as_raw_fd() as u64;
            epoll.add(stream.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, key)).expect("watch a connection");
            connections.insert(key, Connection { stream, part: Vec::new() });
            next_accept += pause;
        }
    }
}

/// Reads once. Returns `false` when the connection has ended.
fn read(connection: &mut Connection, buffer: &mut [u8], account: &Account) -> bool {
    match connection.stream.read(buffer) {
        Ok(0) => false,
        Ok(length) => {
            connection.part.extend_from_slice(&buffer[..length]);
            let whole = connection.part.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            if whole > 0 {
                account.take(&connection.part[..whole]);
                connection.part.drain(..whole);
            }
            true
        }
        Err(why) => why.kind() == std::io::ErrorKind::WouldBlock,
    }
}
