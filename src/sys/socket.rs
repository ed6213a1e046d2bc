//! Making sockets ready, what TCP says of itself, and reading without keeping.

use core::mem::MaybeUninit;

use rustix::fd::{AsFd, AsRawFd};

use super::call::{call3, call5, call6};
use crate::address::Address;
use crate::error::{Result, Step};
use crate::limits::{
    KEEPALIVE_EVERY_S, KEEPALIVE_IDLE_S, KEEPALIVE_TRIES, TCP_SEND_BUFFER_BYTES, UDP_SEND_BUFFER_BYTES,
    ZONE_BYTES_MAX,
};

/// What the kernel knows of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TcpInfo {
    /// Bytes that the peer's kernel has acknowledged, the SYN and FIN among them.
    pub acked_bytes: u64,
    /// Our side is closed and the peer has acknowledged even that.
    pub close_acked: bool,
    /// The connection is no more: the peer has reset it, or the kernel has given it up.
    pub broken: bool,
    /// Retransmissions that are unanswered.
    pub retransmits: u8,
    /// Probes that are unanswered.
    pub probes: u8,
    /// Since the peer's last segment of any kind.
    pub silent_ms: u32,
}

// From the kernel's `enum tcp_state`.
const FIN_WAIT2: u8 = 5;
const TIME_WAIT: u8 = 6;
const CLOSED: u8 = 7;

/// Asks for the state of a connection.
pub fn tcp_info(fd: impl AsFd) -> Result<TcpInfo> {
    /// `struct tcp_info` up to the last member that is used.
    #[repr(C)]
    struct Raw {
        state: u8,
        ca_state: u8,
        retransmits: u8,
        probes: u8,
        _options: [u8; 4],
        _timers: [u32; 8],
        _fackets_last_data_sent: [u32; 2],
        _last_ack_sent: u32,
        last_data_recv_ms: u32,
        last_ack_recv_ms: u32,
        _path: [u32; 11],
        _rates: [u64; 2],
        bytes_acked: u64,
    }
    let mut raw = MaybeUninit::<Raw>::zeroed();
    let mut len = size_of::<Raw>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `raw`.
    unsafe {
        call5(
            libc::SYS_getsockopt,
            number(fd),
            libc::IPPROTO_TCP as usize,
            libc::TCP_INFO as usize,
            raw.as_mut_ptr() as usize,
            &raw mut len as usize,
        )
    }
    .map_err(|errno| Step::AskState.failed(errno))?;
    // SAFETY: zeroed before, and any bytes are numbers.
    let raw = unsafe { raw.assume_init() };
    Ok(TcpInfo {
        acked_bytes: raw.bytes_acked,
        close_acked: matches!(raw.state, FIN_WAIT2 | TIME_WAIT | CLOSED),
        broken: raw.state == CLOSED,
        retransmits: raw.retransmits,
        probes: raw.probes,
        silent_ms: raw.last_data_recv_ms.min(raw.last_ack_recv_ms),
    })
}

/// The error that has come in since the last time.
pub fn pending_error(fd: impl AsFd, step: Step) -> Result<()> {
    let mut error: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    let place = &raw mut error as usize;
    let (level, name) = (libc::SOL_SOCKET as usize, libc::SO_ERROR as usize);
    // SAFETY: the kernel writes one number.
    unsafe { call5(libc::SYS_getsockopt, number(fd), level, name, place, &raw mut len as usize) }
        .map_err(|errno| step.failed(errno))?;
    if error == 0 { Ok(()) } else { Err(step.failed(error as u16)) }
}

/// The kernel's number for a datagram that is too long.
pub const TOO_LONG: u16 = libc::EMSGSIZE as u16;

/// What is reported of a datagram that was sent before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DatagramReport {
    /// The kernel's number for it.
    pub errno: u16,
    /// The network did not say it: this machine did, of a datagram that it was just given.
    pub is_local: bool,
    /// Of a datagram that was too long: what the link takes.
    pub mtu: u32,
}

/// Takes the oldest report from a socket's error queue. The datagram that it quotes is left out.
pub fn take_report(fd: impl AsFd) -> Result<Option<DatagramReport>> {
    /// One control message with what `IP_RECVERR` and `IPV6_RECVERR` say, and who said it.
    #[repr(C)]
    struct Control {
        header: libc::cmsghdr,
        error: libc::sock_extended_err,
        offender: libc::sockaddr_in6,
    }
    const NOTHING: u16 = libc::EAGAIN as u16;
    let mut control = MaybeUninit::<Control>::zeroed();
    let mut message = MaybeUninit::<libc::msghdr>::zeroed();
    // SAFETY: zeroed before: no addresses, no room for anything.
    let message = unsafe { message.assume_init_mut() };
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Control>() as _;
    let place = &raw mut *message as usize;
    let flags = (libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) as usize;
    // SAFETY: the kernel reads and writes one message header, and writes at most one `Control` where that says.
    match unsafe { call3(libc::SYS_recvmsg, number(fd), place, flags) } {
        Ok(_) => {}
        Err(NOTHING) => return Ok(None),
        Err(errno) => return Err(Step::Receive.failed(errno)),
    }
    // SAFETY: zeroed before, and any bytes are numbers.
    let error = unsafe { control.assume_init() }.error;
    Ok(Some(DatagramReport {
        errno: error.ee_errno as u16,
        is_local: error.ee_origin == libc::SO_EE_ORIGIN_LOCAL,
        mtu: error.ee_info,
    }))
}

/// Prepares a connection.
pub fn prepare_connection(fd: impl AsFd) -> Result<()> {
    const OPTIONS: [Setting; 6] = [
        // What a receiver that is away can hold of ours is fixed, and known to the ledger.
        (libc::SOL_SOCKET, libc::SO_SNDBUF, TCP_SEND_BUFFER_BYTES as libc::c_int),
        // Lines are gathered here already: a lone one leaves at once.
        (libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
        // A dead peer of an idle connection is noticed without a record.
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, KEEPALIVE_IDLE_S as libc::c_int),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, KEEPALIVE_EVERY_S as libc::c_int),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, KEEPALIVE_TRIES as libc::c_int),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
    ];
    set(number(fd), &OPTIONS)
}

/// Prepares a datagram socket. It is told of everything that the network reports, an unreachable host as well, and
/// datagrams are cut into fragments wherever that is needed.
pub fn prepare_datagrams(fd: impl AsFd) -> Result<()> {
    const NO_DISCOVERY: libc::c_int = 0;
    const BUFFER: [Setting; 1] = [(libc::SOL_SOCKET, libc::SO_SNDBUF, UDP_SEND_BUFFER_BYTES as libc::c_int)];
    const OPTIONS: [Setting; 4] = [
        (libc::IPPROTO_IP, libc::IP_RECVERR, 1),
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, NO_DISCOVERY),
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, NO_DISCOVERY),
    ];
    let fd = number(fd);
    set(fd, &BUFFER)?;
    // A socket has the options of one family only.
    let _ = set(fd, &OPTIONS);
    Ok(())
}

/// A socket's option: its level, its name, its value.
type Setting = (libc::c_int, libc::c_int, libc::c_int);

/// Sets all of these, whatever becomes of each. Returns the last failure.
#[inline(never)]
fn set(fd: usize, options: &[Setting]) -> Result<()> {
    let mut result = Ok(());
    for (level, name, value) in options {
        // SAFETY: the kernel reads one number.
        let done = unsafe {
            let value = (&raw const *value) as usize;
            let (level, name) = (*level as usize, *name as usize);
            call5(libc::SYS_setsockopt, fd, level, name, value, size_of::<libc::c_int>())
        };
        if let Err(errno) = done {
            result = Err(Step::SetUpSocket.failed(errno));
        }
    }
    result
}

/// Begins to connect a socket to an address and a port.
pub fn connect(fd: impl AsFd, address: Address, port: u16) -> Result<()> {
    /// The kernel's `struct sockaddr_in6`. IPv4's is shorter and has its address where this has a flow.
    #[repr(C)]
    struct Place {
        family: u16,
        port: [u8; 2],
        flow: [u8; 4],
        address: [u8; 16],
        interface: u32,
    }
    const V4_BYTES: usize = size_of::<libc::sockaddr_in>();
    const UNDER_WAY: u16 = libc::EINPROGRESS as u16;
    let mut place = Place {
        family: libc::AF_INET6 as u16,
        port: port.to_be_bytes(),
        flow: [0; 4],
        address: address.bytes,
        interface: address.scope,
    };
    let mut bytes = size_of::<Place>();
    if let Some(v4) = address.as_v4() {
        (place.family, place.flow, bytes) = (libc::AF_INET as u16, v4, V4_BYTES);
    }
    // SAFETY: the kernel reads an address of this length.
    match unsafe { call3(libc::SYS_connect, number(fd), &raw const place as usize, bytes) } {
        Ok(_) | Err(UNDER_WAY) => Ok(()),
        Err(errno) => Err(Step::Connect.failed(errno)),
    }
}

/// The number of the interface that has this name.
pub fn interface(fd: impl AsFd, name: &[u8]) -> Result<u32> {
    /// The kernel's `struct ifreq`: a name, and what is known by it.
    #[repr(C)]
    struct Request {
        name: [u8; ZONE_BYTES_MAX + 1],
        index: u32,
        _other: [u32; 5],
    }
    let mut request = Request { name: [0; ZONE_BYTES_MAX + 1], index: 0, _other: [0; 5] };
    for (place, &byte) in request.name[..ZONE_BYTES_MAX].iter_mut().zip(name) {
        *place = byte;
    }
    // SAFETY: the kernel reads and writes one request.
    unsafe { call3(libc::SYS_ioctl, number(fd), libc::SIOCGIFINDEX as usize, &raw mut request as usize) }
        .map_err(|errno| Step::LookUpZone.failed(errno))?;
    Ok(request.index)
}

/// Whether something that was sent has not left the machine (a datagram waits for its neighbour's address) or, on a channel
/// within it, was not read.
pub fn holds_unsent(fd: impl AsFd) -> bool {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one number.
    let _ = unsafe { call3(libc::SYS_ioctl, number(fd), libc::TIOCOUTQ as usize, &raw mut bytes as usize) };
    bytes > 0
}

/// Drops all that has been received. `true`: the peer has closed its side.
pub fn discard(fd: impl AsFd) -> Result<bool> {
    const MUCH: usize = 1 << 30;
    const AGAIN: u16 = libc::EAGAIN as u16;
    const INTERRUPTED: u16 = libc::EINTR as u16;
    let fd = number(fd);
    loop {
        let flags = (libc::MSG_TRUNC | libc::MSG_DONTWAIT) as usize;
        // SAFETY: with MSG_TRUNC a TCP socket drops the bytes and writes nothing to the buffer.
        match unsafe { call6(libc::SYS_recvfrom, fd, 0, MUCH, flags, 0, 0) } {
            Ok(0) => return Ok(true),
            Ok(_) | Err(INTERRUPTED) => {}
            Err(AGAIN) => return Ok(false),
            Err(errno) => return Err(Step::Receive.failed(errno)),
        }
    }
}

/// Has a socket of the kernel's told of links, addresses and routes of both families.
pub fn join_groups(fd: impl AsFd) {
    const LINK: Setting = group(1);
    const IPV4_ADDRESS: Setting = group(5);
    const IPV4_ROUTE: Setting = group(7);
    const IPV6_ADDRESS: Setting = group(9);
    const IPV6_ROUTE: Setting = group(11);
    const fn group(number: libc::c_int) -> Setting {
        (libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, number)
    }
    let _ = set(number(fd), &[LINK, IPV4_ADDRESS, IPV4_ROUTE, IPV6_ADDRESS, IPV6_ROUTE]);
}

/// The descriptor, as the kernel numbers it.
fn number(fd: impl AsFd) -> usize {
    fd.as_fd().as_raw_fd() as usize
}
