//! What TCP says of itself, and reading without keeping.

use core::mem::MaybeUninit;

use rustix::fd::{AsFd, AsRawFd};

use super::call::{call3, call5, call6};
use crate::error::{Result, Step};
use crate::limits::ZONE_BYTES_MAX;

/// What the kernel knows of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TcpInfo {
    /// Bytes that the peer's kernel has acknowledged, the SYN and FIN among them.
    pub acked_bytes: u64,
    /// Our side is closed and the peer has acknowledged even that.
    pub close_acked: bool,
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
        retransmits: raw.retransmits,
        probes: raw.probes,
        silent_ms: raw.last_data_recv_ms.min(raw.last_ack_recv_ms),
    })
}

/// Has a datagram socket told of everything that the network reports, an unreachable host as well, and lets
/// datagrams be cut into fragments wherever that is needed. A socket has the options of one family only.
pub fn hear_all_errors(fd: impl AsFd) {
    const NO_DISCOVERY: libc::c_int = 0;
    let options = [
        (libc::IPPROTO_IP, libc::IP_RECVERR, 1),
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, NO_DISCOVERY),
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, NO_DISCOVERY),
    ];
    let fd = number(fd);
    for &(level, name, value) in &options {
        let value: libc::c_int = value;
        // SAFETY: the kernel reads one number.
        let _ = unsafe {
            let value = &raw const value as usize;
            call5(libc::SYS_setsockopt, fd, level as usize, name as usize, value, size_of::<libc::c_int>())
        };
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

/// Whether something that was sent has not left the machine: a datagram waits for its neighbour's address.
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
    let fd = number(fd);
    // RTNLGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
    const GROUPS: [libc::c_int; 5] = [1, 5, 7, 9, 11];
    for group in &GROUPS {
        let (level, name) = (libc::SOL_NETLINK as usize, libc::NETLINK_ADD_MEMBERSHIP as usize);
        // SAFETY: the kernel reads one number.
        let _ = unsafe {
            call5(
                libc::SYS_setsockopt,
                fd,
                level,
                name,
                (&raw const *group) as usize,
                size_of::<libc::c_int>(),
            )
        };
    }
}

/// The descriptor, as the kernel numbers it.
fn number(fd: impl AsFd) -> usize {
    fd.as_fd().as_raw_fd() as usize
}
