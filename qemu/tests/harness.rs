//! The harness itself: what it claims about kernels, images and consoles, without earlykmsg.

use core::time::Duration;
use std::time::Instant;

use earlykmsg_initramfs::Image;
use earlykmsg_initramfs::overlay::Overlay;
use earlykmsg_qemu::{Boot, End, Kernel, LONG, Machine, Receiver, earlykmsg, image, programs, ring_records};

#[test]
fn a_boot_to_power_off() {
    let kernel = Kernel::debian().unwrap();
    let boot = Boot::new(&kernel, image::standard(&kernel, "echo hello; uname -r").unwrap().to_cpio());
    let mut guest = boot.start().unwrap();
    guest.wait_console("hello", LONG).unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    assert!(guest.console().contains(&kernel.release));
    // Nothing is to be seen any more that was not.
    guest.wait_console("not there", LONG).unwrap_err();
}

#[test]
fn the_network_reaches_a_receiver() {
    let kernel = Kernel::debian().unwrap();
    let receiver = Receiver::tcp();
    let by_dhcp = Receiver::tcp();
    let script = format!(
        "network_up; send_ring {}; ip addr flush dev eth0; rm /modules/*; network_by_dhcp && send_ring {}",
        receiver.port(),
        by_dhcp.port()
    );
    let boot = Boot::new(&kernel, image::standard(&kernel, &script).unwrap().to_cpio());
    let mut guest = boot.start().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    for receiver in [receiver, by_dhcp] {
        guest.explain(receiver.wait_closed(LONG)).unwrap();
        let ring = ring_records(&receiver.bytes())
            .unwrap_or_else(|why| panic!("{}", guest.failure(&why.to_string())));
        assert!(ring.len() > 100, "{}", guest.failure("a short ring"));
        assert!(ring.iter().zip(0..).all(|(record, seq)| record.seq == seq));
    }
}

/// Each archive's end is where the next one begins, compressed or not, and later files win.
#[test]
fn a_kernel_unpacks_archives_one_behind_the_other() {
    let kernel = Kernel::debian().unwrap();
    let script = "cat /one /two /three; cmp /earlykmsg /program && echo same; stat -c 'mode %a' /earlykmsg";
    let base = image::standard(&kernel, script).unwrap().file("/program", 0o755, earlykmsg().unwrap());
    let overlay = Overlay::new(&programs().unwrap()).unwrap();
    let file = |path, text: &str| Image::new().file(path, 0o644, text).to_cpio();
    let odd = Overlay::of(&Image::new().file("/odd", 0o755, [0x7f; 4001])).unwrap().gzip; // ends where it happens to end
    for form in [overlay.cpio, overlay.gzip, overlay.zstd] {
        let archives = [
            base.to_cpio(),
            file("/one", "1 old\n"),
            form,
            file("/two", "2\n"),
            file("/one", "1\n"),
            odd.clone(),
        ];
        let mut bytes = archives[..2].concat();
        bytes.extend(&archives[5]); // an /earlykmsg that is replaced
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(&archives[2]);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(archives[3..5].concat());
        bytes.extend(file("/three", "3\n"));
        let mut guest = Boot::new(&kernel, bytes).without_network().start().unwrap();
        assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
        let text: Vec<String> = guest.lines().into_iter().map(|line| line.text).collect();
        for expected in ["1", "2", "3", "same", "mode 755"] {
            assert!(text.iter().any(|line| line == expected), "{}", guest.failure(expected));
        }
    }
}

#[test]
fn a_machine_that_hangs_is_given_up_with_its_console() {
    let kernel = Kernel::debian().unwrap();
    let boot = Boot::new(&kernel, image::standard(&kernel, "echo here; sleep 1000").unwrap().to_cpio());
    let mut guest = boot.without_network().start().unwrap();
    guest.wait_console("here", LONG).unwrap();
    let why = guest.wait_exit(Duration::from_millis(10)).unwrap_err().to_string();
    assert!(why.contains("did not end") && why.contains("here"), "{why}");
    let start = Instant::now();
    drop(guest);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_kernel_of_ones_own_says_its_release() {
    let kernel = Kernel::debian().unwrap();
    assert_eq!(Kernel::at(kernel.machine, &kernel.vmlinuz).unwrap().release, kernel.release);
    assert_eq!(Kernel::at(kernel.machine, &kernel.folder).unwrap().release, kernel.release);
    let why = Kernel::at(Machine::ARM64, &kernel.vmlinuz).unwrap_err().to_string();
    assert!(why.contains("for arm64, take a folder"), "{why}");
    let why = Kernel::at(kernel.machine, "/bin/busybox".as_ref()).unwrap_err().to_string();
    assert!(why.contains("/bin/busybox: no kernel"), "{why}");
}
