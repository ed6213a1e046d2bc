//! The bounds of what brings a network up.

use super::FILE_PIECE_BYTES;

/// Words `earlykmsg.ip=` that are served.
pub const IP_WORDS_MAX: usize = 4;
/// Links that the network is brought up on, and those made of them.
pub const LINKS_MAX: usize = 16;
/// The longest request to rtnetlink that changes something: a bond with its name and options.
pub const LINK_REQUEST_BYTES_MAX: usize = 128;
/// An address of ours whose lifetime is by more than this another than it was given is no longer ours: the kernel tells
/// whole seconds.
pub const LIFETIME_APART_MS: u64 = 3_000;
/// A request that the kernel does not take is made again so often …
pub const REQUEST_TRIES: u32 = 10;
/// … each time after this.
pub const REQUEST_AGAIN_MS: u64 = 2;
/// The longest message about a device that is read whole.
pub const UEVENT_BYTES: usize = 2048;
/// How long the end of the process that changes the network is waited for.
pub const CLIENT_END_MS: u64 = 1_000;
/// How long udevd may take to deal with a new link before it is set up all the same, on kernels that do not rename links
/// that are up.
pub const UDEVD_MS: u64 = 3_000;
/// A named address is given for this long …
pub const STATIC_S: u32 = 3_600;
/// … and given again after this.
pub const STATIC_AGAIN_MS: u64 = 1_200_000;
/// How often it is looked whether udevd has.
pub const UDEVD_HELD_LOOK_MS: u64 = 100;
/// A link that could not be made is tried again after this: its module may be loaded meanwhile.
pub const MAKE_AGAIN_MS: u64 = 200;
/// After one has come, the others that come with it have this time.
pub const DEVICES_SETTLE_MS: u64 = 20;
/// The name of a device on its bus: on that of Hyper-V it is a UUID.
pub const DEVICE_NAME_BYTES_MAX: usize = 40;
/// The longest text by which a device says what it is.
pub const MODALIAS_BYTES_MAX: usize = 128;
/// The longest line of `modules.dep`: Debian's are of up to 1,378 bytes.
pub const MODULE_LINE_BYTES_MAX: usize = FILE_PIECE_BYTES;
/// The longest string in a module's file that may name firmware.
pub const FIRMWARE_STRING_BYTES_MAX: usize = 512;
/// Devices on a bus are waited for this long.
pub const DEVICES_MS: u64 = 10_000;
/// The text that says how far the network is.
pub const NETWORK_STATE_BYTES_MAX: usize = 96;
/// The text that names the name servers, as a `resolv.conf` does.
pub const NAME_SERVERS_TEXT_BYTES_MAX: usize = 512;
/// Networks that routers advertise, on all links together, whose routes may have to be deleted.
pub const LEARNT_NETWORKS_MAX: usize = 2 * LINKS_MAX;
/// What the kernel tells of links, addresses and routes is read in pieces of this size.
pub const LINK_NEWS_BYTES: usize = 8192;
/// A question to a DHCP server: the headers of IPv4 and UDP, and the shortest message that all relays pass on.
pub const DHCP_PACKET_BYTES: usize = 20 + 8 + 300;
/// The longest answer of a DHCP server: what an Ethernet takes.
pub const DHCP_ANSWER_BYTES_MAX: usize = 1500;
/// After a first question for an address, the next one follows after this …
pub const DHCP_BACKOFF_MS_MIN: u64 = 1_000;
/// … which doubles up to this.
pub const DHCP_BACKOFF_MS_MAX: u64 = 16_000;
/// An address that was offered is asked for so often.
pub const DHCP_REQUESTS_MAX: u32 = 3;
/// A lease that is about to end is asked for again no sooner than after this.
pub const DHCP_RETRY_MS_MIN: u64 = 1_000;
/// The longest lease that is taken: one without end becomes one of a day.
pub const LEASE_S_MAX: u32 = 86_400;
/// Name servers of a lease.
pub const LEASE_NAME_SERVERS_MAX: usize = 3;
/// The longest domain of a lease.
pub const DOMAIN_BYTES_MAX: usize = 64;

/// The longest name of a kernel module (the kernel's MODULE_NAME_LEN less its final NUL).
pub const MODULE_NAME_BYTES_MAX: usize = 55;
/// Modules that are loaded for the devices of one round; what is left comes in the next.
pub const MODULES_MAX: usize = 16;
/// The parameters of one module.
pub const MODULE_OPTIONS_BYTES_MAX: usize = 512;

/// A value that netconsole's target is given: the longest is an IPv6 address.
pub const NETCONSOLE_VALUE_BYTES_MAX: usize = 45;
/// Netconsole waits this long for the modules that are named: a driver may hang, and the kernel may have netconsole already.
pub const NETCONSOLE_MODULES_MS: u64 = 20_000;
/// After a change of the network, the way to netconsole's receiver is looked for this much later, with all that changed
/// meanwhile.
pub const NETCONSOLE_SETTLE_MS: u64 = 100;
/// What keeps netconsole from being armed is logged when it has lasted this long.
pub const NETCONSOLE_PATIENCE_MS: u64 = 10_000;
/// A neighbour that has not told its hardware address is asked again after this.
pub const RESOLVE_AGAIN_MS: u64 = 1_000;
