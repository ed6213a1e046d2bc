//! What a guest says of itself in every record, from the first one on.

use earlykmsg_qemu::{Boot, End, Kernel, LONG, Receiver, Record, all_received, image, ring_records};
use serde_json::{Value, json};

/// What QEMU gives the machine.
const UUID: &str = "4c4c4544-0042-3510-8051-b4c04f4a3732";
const SERIAL: &str = "EK 0042/7";
const MAC: &str = "52:54:00:12:34:56";

const TAGS: &str =
    "earlykmsg.tags=uuid={uuid},serial={serial},mac={mac},host={hostname},boot={boot_id},kernel={kernel}";
const NAMES: [&str; 6] = ["boot", "host", "kernel", "mac", "serial", "uuid"];

/// The record as it would be without tags and extras, as long as these say what they must: `caller` and the lines of
/// the dictionary are what the ring has.
fn plain(record: &Record) -> Record {
    let mut plain = record.clone();
    let members = plain.json.as_object_mut().expect("an object");
    for name in NAMES.into_iter().chain(["caller"]) {
        members.shift_remove(name);
    }
    let dictionary = ["SUBSYSTEM", "DEVICE"].map(|name| Some((name, members.shift_remove(name)?)));
    for (name, value) in dictionary.into_iter().flatten() {
        plain.msg += &format!(" {name}={}\n", value.as_str().expect("a text"));
    }
    plain.json["msg"] = plain.msg.clone().into();
    plain
}

/// By every way that is asked for, across the switch of root: who it is, and what the ring holds besides.
#[test]
fn every_record_says_who_it_is() {
    let kernel = Kernel::debian().unwrap();
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let script = "echo \"BOOT $(cat /proc/sys/kernel/random/boot_id)\"; network_up; make_main_system\n\
                  say 'before the switch'; move_mounts; exec switch_root /new /sbin/init";
    // What is encoded while the name is set may have looked at it before.
    let main = format!(
        "say 'after the switch'; wait_for_go; hostname main-7; say 'settled'; wait_for_go; say 'named'; send_ring {}\n\
         wait_for_go",
        ring.port()
    );
    let image = image::with_main_system(&kernel, script, &main).unwrap();
    let boot = Boot::new(&kernel, image.with(image::earlykmsg().unwrap()).to_cpio())
        .rdinit("/earlykmsg")
        .word("printk.devkmsg=on earlykmsg.extra=caller,dict ip=10.0.2.15::10.0.2.2:255.255.255.0:early-7:eth0:off")
        .word(TAGS)
        .word(receiver.word())
        .qemu_argument("-uuid")
        .qemu_argument(UUID)
        .qemu_argument("-smbios")
        .qemu_argument(format!("type=1,serial={SERIAL}"));
    let mut guest = boot.start().unwrap();
    for text in ["after the switch", "settled"] {
        guest.explain(receiver.wait_text(text, LONG)).unwrap();
        guest.go().unwrap();
    }
    guest.explain(ring.wait_closed(LONG)).unwrap();
    let records = guest.explain(receiver.wait_text("named", LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);

    let raw = ring.bytes();
    let plain: Vec<Record> = records.iter().map(plain).collect();
    guest.explain(all_received(&ring_records(&raw).unwrap(), &plain)).unwrap();
    let boot_id = guest.report("BOOT ").concat();
    assert_eq!(boot_id.len(), 36, "{}", guest.failure("no boot_id"));
    let at = |text: &str| records.iter().position(|record| record.msg.contains(text)).expect(text);
    let (switched, settled) = (at("after the switch"), at("settled"));
    for (place, record) in records.iter().enumerate() {
        let host = match place {
            _ if place <= switched => json!("early-7"),
            _ if place > settled => json!("main-7"),
            _ => record.json["host"].clone(),
        };
        let want = [json!(boot_id), host, json!(kernel.release), json!(MAC), json!(SERIAL), json!(UUID)];
        let said = NAMES.map(|name| record.json.get(name).cloned().unwrap_or(Value::Null));
        assert_eq!(said, want, "{}", record.json);
    }

    let with = |name: &str| records.iter().filter(|record| record.json.get(name).is_some()).count();
    let (callers, dictionaries) = (with("caller"), with("SUBSYSTEM"));
    println!("{} records, {dictionaries} with a dictionary, {callers} with a caller", records.len());
    assert!(dictionaries > 10, "{}", guest.failure("a boot has more dictionaries"));
    assert!(
        !records.iter().any(|record| record.msg.contains("\n SUBSYSTEM=")),
        "a dictionary is left in a text"
    );
    let has_callers = raw.windows(8).any(|part| part == b",caller=");
    assert_eq!(callers > 0, has_callers, "a kernel that says who wrote a record, or does not");
}
