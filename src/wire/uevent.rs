//! What the kernel and udevd tell of devices: texts of the form `NAME=VALUE`, each ended by a NUL.

use crate::text::decimal;

/// One message.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Uevent<'a> {
    /// What happened: `add`, `remove`, `change`, `move` and so on.
    pub action: &'a [u8],
    /// The kind of device: `net`, `virtio`, `usb`.
    pub subsystem: &'a [u8],
    /// The name of a link.
    pub interface: &'a [u8],
    /// The number of a link; 0: it is none.
    pub index: u32,
    /// Udevd sent it, when it had dealt with the device.
    pub is_udevs: bool,
}

/// Reads a message. What it does not say stays empty.
pub fn read(message: &[u8]) -> Uevent<'_> {
    Uevent {
        action: value(message, b"ACTION="),
        subsystem: value(message, b"SUBSYSTEM="),
        interface: value(message, b"INTERFACE="),
        index: decimal(value(message, b"IFINDEX=")).unwrap_or(0),
        is_udevs: message.starts_with(b"libudev\0"),
    }
}

fn value<'a>(message: &'a [u8], start: &[u8]) -> &'a [u8] {
    let mut texts = message.split(|&byte| byte == 0);
    texts.find_map(|text| text.strip_prefix(start)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_kernel_and_of_udevd() {
        let kernel = b"add@/devices/pci0000:00/0000:00:02.0/virtio0/net/eth0\0ACTION=add\0\
            DEVPATH=/devices/pci0000:00/0000:00:02.0/virtio0/net/eth0\0SUBSYSTEM=net\0SYNTH_UUID=0\0\
            INTERFACE=eth0\0IFINDEX=2\0SEQNUM=1187\0";
        let want =
            Uevent { action: b"add", subsystem: b"net", interface: b"eth0", index: 2, is_udevs: false };
        assert_eq!(read(kernel), want);
        let udevd =
            b"libudev\0\xfe\xed\xca\xfe\x28\0\0\0\x28\0\0\0\x99\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
            UDEV_DATABASE_VERSION=1\0ACTION=add\0SUBSYSTEM=net\0INTERFACE=enp0s2\0IFINDEX=2\0";
        assert_eq!(read(udevd), Uevent { interface: b"enp0s2", is_udevs: true, ..want });
        assert_eq!(read(b""), Uevent::default());
        assert_eq!(read(b"IFINDEX=x\0").index, 0);
    }
}
