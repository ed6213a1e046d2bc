//! What only a machine of one's own can show: a storm, PID 1, a minute of silence, rings of other sizes.
//!
//! Guests are emulated. Where they say times, they count instructions (`-icount`): one is a nanosecond there, so the
//! figures are the same on every machine.

use core::time::Duration;

use earlykmsg_initramfs::overlay::Overlay;
use earlykmsg_qemu::storm::{Manner, Shipper, Storm};
use earlykmsg_qemu::{Boot, Debian, End, Guest, Kernel, Maker, Receiver, Result, image, programs};

use crate::sender::{compiled, floor};

const LONG: Duration = Duration::from_secs(240);
/// A Debian that counts instructions.
const DEBIAN: Duration = Duration::from_secs(900);
const PORT: u16 = 5044;
const RECEIVER: &str = "tcp://127.0.0.1:5044/";

/// A storm of records and how many of them arrived.
#[derive(Clone, Debug)]
pub struct Stormed {
    /// Who sent.
    pub sender: &'static str,
    /// How many there were.
    pub written: u64,
    /// How many came.
    pub received: u64,
    /// How many were reported as lost.
    pub reported: u64,
}

/// 200,000 records as fast as one program can write them, past each sender.
///
/// # Errors
/// What of a boot failed.
pub fn storms() -> Result<Vec<Stormed>> {
    let senders = [
        ("floor: raw, 32 KiB batches", Shipper::Raw(floor())),
        ("earlykmsg, TCP", Shipper::Earlykmsg),
        ("busybox cat \\| nc", Shipper::CatNc),
    ];
    let run = |(sender, shipper)| {
        let account = Storm { ring: "16M", manner: Manner::Reads, shipper }.run()?.account;
        Ok(Stormed { sender, written: account.written, received: account.received, reported: account.lost })
    };
    senders.into_iter().map(run).collect()
}

fn counted(boot: Boot) -> Boot {
    boot.qemu_argument("-icount").qemu_argument("shift=0").word("printk.devkmsg=on")
}

fn finished(boot: &Boot) -> Result<Guest> {
    let mut guest = boot.start()?;
    if guest.wait_exit(LONG)? != End::Off {
        return Err(guest.failure("QEMU failed"));
    }
    Ok(guest)
}

/// From the kernel's start of PID 1 until the next init's first act, in microseconds of a guest that counts
/// instructions: bare, with earlykmsg before it, and with earlykmsg that brings a network up.
///
/// # Errors
/// What of a boot failed.
pub fn pid1_us() -> Result<[f64; 3]> {
    let kernel = Kernel::debian()?;
    let script = "network_up; loopback_up; tool ring | sed -n -e 's/^\\([^;]*\\);Run \\/.* as init process$/RUN \\1/p' \
                  -e 's/^\\([^;]*\\);bench: the next init has begun$/BEGAN \\1/p'";
    let first = std::fs::read(compiled("bench/guest/first.c")).expect("a program");
    let image = image::standard(&kernel, script)?.file("/first", 0o755, first).with(image::earlykmsg()?);
    let boot = || counted(Boot::new(&kernel, image.to_cpio()));
    let took = |boot: Boot| {
        let guest = finished(&boot)?;
        let stamp =
            |mark: &str| -> Option<f64> { guest.report(mark).first()?.split(',').nth(2)?.parse().ok() };
        match (stamp("RUN "), stamp("BEGAN ")) {
            (Some(run), Some(began)) => Ok(began - run),
            _ => Err(guest.failure("no stamps")),
        }
    };
    let with = || {
        let boot = boot().rdinit("/earlykmsg").word("earlykmsg.init=/first");
        boot.word(format!("talos.logging.kernel={RECEIVER}"))
    };
    Ok([took(boot().rdinit("/first"))?, took(with())?, took(with().word("earlykmsg.ip=dhcp"))?])
}

/// A boot of Debian, without earlykmsg and with it.
#[derive(Clone, Debug)]
pub struct Booted {
    /// What made the initramfs.
    pub maker: &'static str,
    /// From the kernel's start to `multi-user.target`, in seconds of a guest that counts instructions.
    pub reached_s: [f64; 2],
    /// What the processor did until then, in seconds of the same kind.
    pub busy_s: [f64; 2],
}

/// Debian 12 to `multi-user.target`, one boot each: what it takes to count instructions is a minute and more.
///
/// # Errors
/// What of a boot failed.
pub fn multi_user() -> Result<Vec<Booted>> {
    let makers = [(Maker::InitramfsTools, "initramfs-tools"), (Maker::Dracut, "dracut")];
    let boots = makers.map(|(maker, name)| {
        let with = [to_multi_user(maker, false)?, to_multi_user(maker, true)?];
        Ok(Booted {
            maker: name,
            reached_s: with.map(|(reached, _)| reached),
            busy_s: with.map(|(_, busy)| busy),
        })
    });
    boots.into_iter().collect()
}

fn to_multi_user(maker: Maker, with: bool) -> Result<(f64, f64)> {
    let debian = Debian::with(&Kernel::debian()?)?;
    let overlay = Overlay::new(&programs()?).expect("an overlay");
    let receiver = Receiver::tcp();
    let boot = debian.boot(maker, if with { &overlay.gzip } else { &[] })?;
    let boot = if with { boot.rdinit("/earlykmsg").word(receiver.word()) } else { boot };
    let mut guest = counted(boot).start()?;
    guest.wait_ready(DEBIAN)?;
    guest.type_line(
        "echo BUSY $(awk '/^cpu / { print ($2 + $3 + $4 + $7 + $8) / 100 }' /proc/stat)
         until systemctl --quiet is-active multi-user.target; do sleep 0.1; done
         echo REACHED $(systemctl show --value -p ActiveEnterTimestampMonotonic multi-user.target)
         systemctl poweroff",
    )?;
    if guest.wait_exit(DEBIAN)? != End::Off {
        return Err(guest.failure("QEMU failed"));
    }
    let number = |mark: &str| -> Option<f64> { guest.report(mark).first()?.parse().ok() };
    match (number("REACHED "), number("BUSY ")) {
        (Some(us), Some(seconds)) => Ok((us / 1e6, seconds)),
        _ => Err(guest.failure("no figures")),
    }
}

/// How often the processes of earlykmsg woke up within a minute in which no record came, with everything sent.
///
/// # Errors
/// What of a boot failed.
pub fn wakes_in_a_silent_minute() -> Result<u64> {
    let kernel = Kernel::debian()?;
    let script = format!(
        "network_up; loopback_up; start_receiver tcp {PORT}
         sent=$(tool say 'before the minute'); until has_arrived 'before the minute'; do sleep 0.1; done
         wakes() {{
             for dir in /proc/[0-9]*; do
                 {{ read -r name < \"$dir/comm\"; }} 2>/dev/null || continue
                 [ \"$name\" = earlykmsg ] && grep ctxt_switches \"$dir/status\"
             done | awk '{{ sum += $2; count++ }} END {{ print count / 2, sum }}'
         }}
         sleep 5; echo \"BEFORE $(wakes)\"; sleep 60; echo \"AFTER $(wakes)\""
    );
    let image = image::standard(&kernel, &script)?.with(image::earlykmsg()?);
    let boot = Boot::new(&kernel, image.to_cpio()).rdinit("/earlykmsg");
    let guest = finished(&boot.word(format!("talos.logging.kernel={RECEIVER}")))?;
    let numbers = |mark: &str| -> Option<(u64, u64)> {
        let told = guest.report(mark).into_iter().next()?;
        let (count, sum) = told.split_once(' ')?;
        Some((count.parse().ok()?, sum.parse().ok()?))
    };
    match (numbers("BEFORE "), numbers("AFTER ")) {
        (Some((2, before)), Some((2, after))) => Ok(after - before),
        other => Err(guest.failure(&format!("not two processes: {other:?}"))),
    }
}

/// What it takes to send a whole ring of each size, in microseconds of a guest that counts instructions, and how many
/// records that were: earlykmsg, and the floor.
#[derive(Clone, Debug)]
pub struct Drained {
    /// `log_buf_len=`
    pub ring: &'static str,
    /// What it held.
    pub records: u64,
    /// Of earlykmsg.
    pub ours_us: f64,
    /// Of the floor.
    pub floor_us: f64,
}

/// Fills rings of several sizes and sends them.
///
/// # Errors
/// What of a boot failed.
pub fn rings() -> Result<Vec<Drained>> {
    let kernel = Kernel::debian()?;
    // After the loops, what the processes of a name have spent: nanoseconds are the first word of schedstat.
    let script = format!(
        "network_up; loopback_up; start_receiver tcp {PORT}; tool storm 60000
         spent() {{
             for dir in /proc/[0-9]*; do
                 {{ read -r name < \"$dir/comm\"; }} 2>/dev/null || continue
                 [ \"$name\" = \"$1\" ] && cat \"$dir/schedstat\"
             done | awk '{{ sum += $1 }} END {{ print sum / 1000 }}'
         }}
         measure() {{
             name=$1; shift; tool say \"begin $name\" > /dev/null
             echo \"HELD $name $(tool ring | grep -c '^[0-9]')\"
             end=$(tool say \"end $name\"); \"$@\" 2> /dev/null & pid=$!
             wait_arrived \"end $name\"; sleep 1
             echo \"SPENT $name $(spent $name)\"; kill $pid
         }}
         measure earlykmsg /earlykmsg {RECEIVER}
         measure raw /bin/raw batched 127.0.0.1 {PORT}"
    );
    let raw = std::fs::read(floor()).expect("the floor");
    let image =
        image::standard(&kernel, &script)?.with(image::earlykmsg()?).file("/bin/raw", 0o755, raw).to_cpio();
    let drained = |ring| {
        let boot =
            counted(Boot::new(&kernel, image.clone()).memory_mib(512)).word(format!("log_buf_len={ring}"));
        let guest = finished(&boot)?;
        let number = |mark: &str| guest.report(mark).first().and_then(|number| number.parse::<f64>().ok());
        let all = || {
            Some(Drained {
                ring,
                records: number("HELD earlykmsg ")? as u64,
                ours_us: number("SPENT earlykmsg ")?,
                floor_us: number("SPENT raw ")?,
            })
        };
        all().ok_or_else(|| guest.failure("no figures"))
    };
    ["256K", "1M", "4M"].into_iter().map(drained).collect()
}
