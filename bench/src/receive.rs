//! Who listens: it takes what comes as fast as it comes and remembers when.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use nix::sys::socket::{setsockopt, sockopt};

/// How records travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Not at all.
    None,
    /// As a stream.
    Tcp,
    /// Each alone.
    Udp,
}

/// A listener and all that it got.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    inbox: Arc<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    mail: Mutex<Mail>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Mail {
    bytes: Vec<u8>,
    /// How many bytes there were at which time.
    times: Vec<(Instant, usize)>,
}

/// Where a reader of the mail stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place(usize);

impl Receiver {
    /// Listens. Its threads end with what is connected to it, or with the program.
    #[must_use]
    pub fn new(transport: Transport) -> Receiver {
        let inbox = Arc::new(Inbox::default());
        let keep = Arc::clone(&inbox);
        let port = match transport {
            Transport::None => 0,
            Transport::Tcp => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
                let port = listener.local_addr().expect("a port").port();
                thread::spawn(move || {
                    for mut stream in listener.incoming().map_while(Result::ok) {
                        let inbox = Arc::clone(&keep);
                        thread::spawn(move || {
                            let mut buffer = vec![0; 1 << 18];
                            while let Ok(1..) = stream.read(&mut buffer).inspect(|&length| {
                                inbox.add(&buffer[..length], b"");
                            }) {}
                        });
                    }
                });
                port
            }
            Transport::Udp => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
                setsockopt(&socket, sockopt::RcvBufForce, &(64 << 20)).expect("make a large buffer");
                let port = socket.local_addr().expect("a port").port();
                thread::spawn(move || {
                    let mut buffer = vec![0; 1 << 16];
                    while let Ok(length) = socket.recv(&mut buffer) {
                        keep.add(
                            &buffer[..length],
                            if buffer[..length].ends_with(b"\n") { b"" } else { b"\n" },
                        );
                    }
                });
                port
            }
        };
        Receiver { port, inbox }
    }

    /// The end of what has come.
    #[must_use]
    pub fn now(&self) -> Place {
        Place(self.inbox.lock().bytes.len())
    }

    /// Waits until `text` has come after `place`, and says when and up to where; none when it did not in time.
    #[must_use]
    pub fn wait(&self, place: Place, text: &str, within: Duration) -> Option<(Instant, Place)> {
        let end = Instant::now() + within;
        let mut looked = place.0;
        let mut mail = self.inbox.lock();
        loop {
            if let Some(at) = find(&mail.bytes[looked..], text) {
                let at = looked + at + text.len();
                return Some((mail.when(at), Place(at)));
            }
            looked = mail.bytes.len().saturating_sub(text.len()).max(place.0);
            let left = end.checked_duration_since(Instant::now())?;
            mail = self.inbox.changed.wait_timeout(mail, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How often `text` came between two places.
    #[must_use]
    pub fn count(&self, from: Place, to: Place, text: &str) -> usize {
        String::from_utf8_lossy(&self.inbox.lock().bytes[from.0..to.0]).matches(text).count()
    }
}

impl Inbox {
    fn lock(&self) -> std::sync::MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, bytes: &[u8], end: &[u8]) {
        let now = Instant::now();
        let mut mail = self.lock();
        mail.bytes.extend_from_slice(bytes);
        mail.bytes.extend_from_slice(end);
        let length = mail.bytes.len();
        mail.times.push((now, length));
        self.changed.notify_all();
    }
}

impl Mail {
    fn when(&self, at: usize) -> Instant {
        self.times[self.times.partition_point(|(_, length)| *length < at)].0
    }
}

fn find(bytes: &[u8], text: &str) -> Option<usize> {
    let first = text.as_bytes()[0];
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|&byte| byte == first) {
        if bytes[from + at..].starts_with(text.as_bytes()) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
