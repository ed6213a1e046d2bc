//! Sockets: what a socket of each kind is prepared with, and what rustix has no safe call for.

use core::ffi::{c_int, c_void};
use core::mem::{self, MaybeUninit};
use core::net::SocketAddr;
use core::ops::Range;
use core::ptr;
use core::time::Duration;

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::{self, Errno};
use rustix::ioctl::{Getter, ioctl};
use rustix::net;
use rustix::net::netdevice::name_to_index;
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
    set_socket_keepalive, set_socket_send_buffer_size, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl,
    set_tcp_nodelay, socket_error,
};

use super::{At, checked, failed};
use earlykmsg::delivery::connection::TcpInfo;
use earlykmsg::error::{Errno as Number, Result, Step};
use earlykmsg::limits::{
    DISCARD_BYTES, DISCARDS_MAX, KEEPALIVE_EVERY_S, KEEPALIVE_IDLE_S, KEEPALIVE_TRIES, TCP_SEND_BUFFER_BYTES,
    UDP_SEND_BUFFER_BYTES,
};

/// What is reported of a datagram that was sent before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DatagramReport {
    /// The error number.
    pub errno: Number,
    /// The network did not report it: this machine did, of a datagram that it was just given.
    pub is_local: bool,
    /// Of a datagram that was too long: what the link takes.
    pub mtu: u32,
}

/// Prepares a TCP connection.
pub fn prepare_connection(fd: BorrowedFd<'_>) -> Result<()> {
    let prepare = || {
        // What a receiver that is away can hold of ours is fixed, and known to the ledger.
        set_socket_send_buffer_size(fd, TCP_SEND_BUFFER_BYTES)?;
        // Lines are gathered here already: a single one leaves at once.
        set_tcp_nodelay(fd, true)?;
        // A dead peer of an idle connection is noticed without a record.
        set_tcp_keepidle(fd, Duration::from_secs(KEEPALIVE_IDLE_S))?;
        set_tcp_keepintvl(fd, Duration::from_secs(KEEPALIVE_EVERY_S))?;
        set_tcp_keepcnt(fd, KEEPALIVE_TRIES)?;
        set_socket_keepalive(fd, true)
    };
    prepare().at(Step::SetUpSocket)
}

/// Prepares a socket of datagrams. It is told of everything that the network reports, an unreachable host too, and
/// datagrams are cut into fragments wherever that is needed. A socket has the options of one family only.
pub fn prepare_datagrams(fd: BorrowedFd<'_>) -> Result<()> {
    set_socket_send_buffer_size(fd, UDP_SEND_BUFFER_BYTES).at(Step::SetUpSocket)?;
    let _ = set_option(fd, libc::IPPROTO_IP, libc::IP_RECVERR, 1);
    let _ = set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1);
    let _ = set_ip_mtu_discover(fd, Ipv4PathMtuDiscovery::DONT);
    let _ = set_ipv6_mtu_discover(fd, Ipv6PathMtuDiscovery::DONT);
    Ok(())
}

/// Has a netlink socket hear what the kernel tells these groups, or no longer.
pub fn set_groups(fd: BorrowedFd<'_>, is_member: bool, groups: &[u32]) {
    let option = if is_member { libc::NETLINK_ADD_MEMBERSHIP } else { libc::NETLINK_DROP_MEMBERSHIP };
    for &group in groups {
        let _ = set_option(fd, libc::SOL_NETLINK, option, group.cast_signed());
    }
}

/// The structure that holds the address of a socket, of IPv4 or IPv6.
pub type RawAddress = [u8; size_of::<libc::sockaddr_in6>()];

/// The address that a connected socket sends from: 4 or 16 bytes, in `raw`.
pub fn own_address<'a>(fd: BorrowedFd<'_>, raw: &'a mut RawAddress) -> &'a [u8] {
    // Where they stand in `struct sockaddr_in` and `struct sockaddr_in6`.
    const IPV4: Range<usize> = 4..8;
    const IPV6: Range<usize> = 8..24;
    let mut len = raw.len() as libc::socklen_t;
    // SAFETY: writes at most `len` bytes into `raw`.
    let _ = unsafe { libc::getsockname(fd.as_raw_fd(), raw.as_mut_ptr().cast(), &raw mut len) };
    let is_ipv6 = len as usize == raw.len();
    &raw[if is_ipv6 { IPV6 } else { IPV4 }]
}

/// Sets an option that rustix does not have.
fn set_option(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let (value, len) = ((&raw const value).cast::<c_void>(), size_of::<c_int>() as libc::socklen_t);
    // SAFETY: reads one number.
    checked(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value, len) })?;
    Ok(())
}

/// Begins to connect a socket.
pub fn connect(fd: BorrowedFd<'_>, to: SocketAddr) -> Result<()> {
    match net::connect(fd, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(()),
        Err(errno) => Err(failed(Step::Connect, errno)),
    }
}

/// The error that has come in since the last time.
pub fn pending_error(fd: BorrowedFd<'_>, step: Step) -> Result<()> {
    socket_error(fd).and_then(|pending| pending).at(step)
}

/// The index of the interface that has this name.
pub fn interface_index(fd: BorrowedFd<'_>, name: &[u8]) -> Result<u32> {
    let name = core::str::from_utf8(name).map_err(|_| failed(Step::LookUpZone, Errno::NODEV))?;
    name_to_index(fd, name).at(Step::LookUpZone)
}

/// Drops what a connection has received, or some of it: a peer that sends without end does not get all the time. Returns
/// whether the peer has closed its side.
pub fn discard(fd: BorrowedFd<'_>) -> Result<bool> {
    let flags = libc::MSG_TRUNC | libc::MSG_DONTWAIT; // TCP copies nothing then
    for _ in 0..DISCARDS_MAX {
        // SAFETY: with these flags a connection's bytes are dropped, and none are written.
        match checked(unsafe { libc::recv(fd.as_raw_fd(), ptr::null_mut(), DISCARD_BYTES, flags) }) {
            Ok(0) => return Ok(true),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(false),
            Err(errno) => return Err(failed(Step::Receive, errno)),
        }
    }
    Ok(false)
}

/// Whether something that was sent has not left the machine (a datagram waits for its neighbour's address) or, on a
/// channel within it, was not read.
pub fn holds_unsent(fd: BorrowedFd<'_>) -> bool {
    const SIOCOUTQ: u32 = libc::TIOCOUTQ as u32;
    // SAFETY: this request writes one number.
    let request = unsafe { Getter::<SIOCOUTQ, c_int>::new() };
    // SAFETY: the request is one that every socket knows.
    unsafe { ioctl(fd, request) }.is_ok_and(|bytes| bytes > 0)
}

/// Asks for the state of a connection.
pub fn tcp_info(fd: BorrowedFd<'_>) -> Result<TcpInfo> {
    /// `struct tcp_info` up to the last member that is used. The C library's ends before it.
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
    // From the kernel's `enum tcp_state`.
    const FIN_WAIT2: u8 = 5;
    const TIME_WAIT: u8 = 6;
    const CLOSED: u8 = 7;
    let mut raw = MaybeUninit::<Raw>::zeroed();
    let mut len = size_of::<Raw>() as libc::socklen_t;
    // SAFETY: writes at most `len` bytes into `raw`.
    checked(unsafe {
        let (fd, place) = (fd.as_raw_fd(), raw.as_mut_ptr().cast());
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, place, &raw mut len)
    })
    .at(Step::AskState)?;
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

/// Takes the oldest report from a socket's error queue. The datagram that it quotes is left out.
pub fn take_report(fd: BorrowedFd<'_>) -> Result<Option<DatagramReport>> {
    /// One control message with what `IP_RECVERR` and `IPV6_RECVERR` report, and who reported it.
    #[repr(C)]
    struct Control {
        header: libc::cmsghdr,
        error: libc::sock_extended_err,
        offender: libc::sockaddr_in6,
    }
    let mut control = MaybeUninit::<Control>::zeroed();
    // SAFETY: all zeros is a valid value of this plain C structure: no addresses, no room for anything.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Control>() as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: reads and writes one message header, and writes at most one `Control` where that says.
    match checked(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) }) {
        Ok(_) => {}
        Err(Errno::AGAIN) => return Ok(None),
        Err(errno) => return Err(failed(Step::Receive, errno)),
    }
    // SAFETY: zeroed before, and any bytes are numbers.
    let error = unsafe { control.assume_init() }.error;
    Ok(Some(DatagramReport {
        errno: Number(error.ee_errno.cast_signed()),
        is_local: error.ee_origin == libc::SO_EE_ORIGIN_LOCAL,
        mtu: error.ee_info,
    }))
}
