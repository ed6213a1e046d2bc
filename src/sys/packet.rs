//! A packet socket that gets the datagrams of DHCP, of all links and in both directions, and sends such.

use core::ffi::c_void;
use core::mem;

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::{At, checked};
use earlykmsg::error::{Result, Step};
use earlykmsg::wire::dhcp::Mac;

/// The protocol numbers of packets, in the network's order as `sockaddr_ll` has them.
const ALL: u16 = (libc::ETH_P_ALL as u16).to_be();
const IPV4: u16 = (libc::ETH_P_IP as u16).to_be();

const BROADCAST: Mac = [0xff; 6];

/// A packet that has come.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// How many bytes it has.
    pub len: usize,
    /// The link.
    pub index: u32,
    /// This machine sent it, another program.
    pub is_outgoing: bool,
    /// Who sent it on the link.
    pub from: Mac,
}

/// Passes IPv4 packets that hold a UDP datagram to port 67 or 68, or its first part.
static ONLY_DHCP: [libc::sock_filter; 12] = {
    const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const fn step(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt, jf, k }
    }
    const PROTOCOL: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL) as u32;
    [
        step(LOAD_HALF, 0, 0, PROTOCOL),
        step(IF_EQUAL, 0, 8, libc::ETH_P_IP as u32),
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 9),
        step(IF_EQUAL, 0, 6, libc::IPPROTO_UDP as u32),
        // A part of a datagram that is not its first has no ports.
        step(LOAD_HALF, 0, 0, 6),
        step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 4, 0, 0x1fff),
        // The port it goes to, behind an IPv4 header of any length.
        step(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0, 0, 0),
        step(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, 0, 0, 2),
        step(IF_EQUAL, 2, 0, 67),
        step(IF_EQUAL, 1, 0, 68),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ]
};

/// Opens the socket.
pub fn open() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Without a protocol it gets nothing until it is bound.
    let fd = socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, None).at(Step::OpenSocket)?;
    let program = libc::sock_fprog { len: ONLY_DHCP.len() as u16, filter: ONLY_DHCP.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the filter, which is constant.
    checked(unsafe {
        let (value, len) = ((&raw const program).cast::<c_void>(), size_of::<libc::sock_fprog>());
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            value,
            len as libc::socklen_t,
        )
    })
    .at(Step::SetUpSocket)?;
    let all = address(0, ALL, BROADCAST);
    // SAFETY: reads one address.
    checked(unsafe { libc::bind(fd.as_raw_fd(), (&raw const all).cast(), ADDRESS_BYTES) })
        .at(Step::SetUpSocket)?;
    Ok(fd)
}

const ADDRESS_BYTES: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;

fn address(index: u32, protocol: u16, to: Mac) -> libc::sockaddr_ll {
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = index.cast_signed();
    address.sll_halen = to.len() as u8;
    address.sll_addr[..to.len()].copy_from_slice(&to);
    address
}

/// Sends an IPv4 packet on a link, to one machine or to all.
pub fn send(fd: impl AsFd, packet: &[u8], index: u32, to: Option<Mac>) -> Result<()> {
    let to = address(index, IPV4, to.unwrap_or(BROADCAST));
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: reads the packet and one address.
    checked(unsafe {
        libc::sendto(fd, packet.as_ptr().cast(), packet.len(), 0, (&raw const to).cast(), ADDRESS_BYTES)
    })
    .at(Step::Send)?;
    Ok(())
}

/// Takes the next packet, if there is one.
pub fn receive(fd: impl AsFd, buffer: &mut [u8]) -> Result<Option<Received>> {
    let mut from = address(0, 0, Mac::default());
    let mut from_len = ADDRESS_BYTES;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: writes into the buffer, and at most one address.
    let received = checked(unsafe {
        let place = (&raw mut from).cast();
        libc::recvfrom(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0, place, &raw mut from_len)
    });
    let len = match received {
        Err(Errno::AGAIN) => return Ok(None),
        received => received.at(Step::Receive)?,
    };
    let mut mac = Mac::default();
    mac.copy_from_slice(&from.sll_addr[..6]);
    Ok(Some(Received {
        len: len as usize,
        index: from.sll_ifindex.cast_unsigned(),
        is_outgoing: from.sll_pkttype == libc::PACKET_OUTGOING,
        from: mac,
    }))
}
