//! Which machine and which boot a record belongs to, what is a repetition, and what is missing.
//!
//! A tag tells machines apart, another one boots. Without a tag for boots, a boot is over when a record cannot be part
//! of it: another one has its number, or the clock went back while the numbers went on.

mod boot;
mod machine;

use std::collections::HashMap;

use crate::record::Record;
use machine::Machine;

/// The tags that tell machines apart: of two machines that both have one, the first of these decides. Those that stay the
/// same for all of a boot come first.
pub const MACHINE_TAGS: [&str; 9] =
    ["uuid", "serial", "machine", "node", "name", "host", "hostname", "mac", "machine_id"];

/// The tags that name a machine, the first that is there.
pub const NAME_TAGS: [&str; 5] = ["name", "node", "host", "machine", "hostname"];

/// The tags that tell boots apart.
pub const BOOT_TAGS: [&str; 3] = ["boot", "boot_id", "boot-id"];

/// What machines are called before they have a name.
const NO_NAMES: [&str; 4] = ["", "(none)", "localhost", "localhost.localdomain"];

/// A boot of a machine, by their numbers in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which machine, from 0.
    pub machine: usize,
    /// Which of its boots, from 0.
    pub boot: usize,
}

/// What a record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Another machine than the first is there.
    Machine {
        /// Its first boot.
        place: Place,
    },
    /// A machine boots again.
    Boot {
        /// The new boot.
        place: Place,
        /// When its first record was written, as in that.
        time: String,
    },
    /// The end of an earlier boot, as pstore kept it.
    Kept {
        /// That boot.
        place: Place,
        /// Where in pstore its first line stood, and how the boot ended: `dmesg-erst-7577 Panic#1 Part2`.
        origin: String,
    },
    /// Records of a boot that is not the one before.
    Again {
        /// That boot.
        place: Place,
    },
    /// Records did not arrive, and nobody reported it.
    Missing {
        /// Of this boot.
        place: Place,
        /// The first sequence number.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// A record, or a report of lost ones.
    Record {
        /// Its boot.
        place: Place,
        /// The record.
        record: Record,
    },
}

impl Event {
    /// The boot that it belongs to.
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            Event::Machine { place }
            | Event::Boot { place, .. }
            | Event::Kept { place, .. }
            | Event::Again { place }
            | Event::Missing { place, .. }
            | Event::Record { place, .. } => *place,
        }
    }
}

/// All machines that were seen.
#[derive(Debug, Default)]
pub struct History {
    machines: Vec<Machine>,
    /// The tags that tell machines apart, and those that name them.
    tags: Tags,
    /// The machine that has a tag, by the number of the tag and its value.
    by_identity: HashMap<Identity, usize>,
    by_boot: HashMap<String, usize>,
    unnamed: Option<usize>,
    /// Whose records came without a tag, from a second sender on the machine.
    twice_sent: Option<usize>,
}

impl History {
    /// Machines are told apart by this tag alone, or by any of [`MACHINE_TAGS`].
    #[must_use]
    pub fn new(tag: Option<String>) -> History {
        History { tags: tag.map_or_else(Tags::default, Tags::only), ..History::default() }
    }

    /// What a record tells; nothing if it is a repetition.
    pub fn take(&mut self, record: Record) -> Vec<Event> {
        let known = self.machines.len();
        let machine = self.machine_of(&record);
        if let Some(boot) = boot_tag(&record) {
            self.by_boot.insert(boot.to_owned(), machine);
        }
        let mut events = Vec::new();
        if machine == known && known > 0 {
            events.push(Event::Machine { place: Place { machine, boot: 0 } });
        }
        let name = values(&record, &self.tags.names).next().map(|(_, name)| name);
        self.machines[machine].know(values(&record, &self.tags.machines).collect(), name.as_ref());
        self.machines[machine].take(record, machine, &mut events);
        events
    }

    /// How many machines were seen.
    #[must_use]
    pub fn machines(&self) -> usize {
        self.machines.len()
    }

    /// What a machine is called; empty if nothing is known of it.
    #[must_use]
    pub fn label(&self, machine: usize) -> &str {
        self.machines[machine].label()
    }

    /// Whether a machine has this name, now or before.
    #[must_use]
    pub fn is_called(&self, machine: usize, name: &str) -> bool {
        self.machines[machine].is_called(name)
    }

    /// The machine of a record; a new one if it fits none.
    fn machine_of(&mut self, record: &Record) -> usize {
        if let Some(machine) = boot_tag(record).and_then(|boot| self.by_boot.get(boot)) {
            return *machine;
        }
        let identities: Vec<Identity> = values(record, &self.tags.machines).collect();
        let machine = match &identities[..] {
            [] => self.sent_without_tags(record),
            [first, ..] => self.by_identity.get(first).copied().or_else(|| self.alike(record, &identities)),
        };
        let machine = machine.unwrap_or_else(|| {
            self.machines.push(Machine::default());
            self.machines.len() - 1
        });
        match identities.into_iter().next() {
            Some(first) => _ = self.by_identity.insert(first, machine),
            None if self.twice_sent != Some(machine) => self.unnamed = Some(machine),
            None => {}
        }
        machine
    }

    /// A machine some of whose tags became known while it booted.
    fn alike(&mut self, record: &Record, identities: &[Identity]) -> Option<usize> {
        let alike = self.machines.iter().position(|machine| machine.is_alike(identities));
        alike.or_else(|| self.unnamed.take_if(|unnamed| self.machines[*unnamed].is_continued_by(record)))
    }

    /// The machine of a record without a tag: one whose record it repeats, or that without a name.
    fn sent_without_tags(&mut self, record: &Record) -> Option<usize> {
        let named = (0..self.machines.len()).filter(|machine| Some(*machine) != self.unnamed);
        let repeats = named.into_iter().find(|machine| self.machines[*machine].holds(record));
        if let Some(machine) = repeats {
            self.twice_sent = Some(machine);
            return repeats;
        }
        self.twice_sent.take_if(|machine| !self.machines[*machine].is_continued_by(record));
        self.twice_sent.or(self.unnamed)
    }
}

/// The number of a tag and its value.
type Identity = (usize, String);

#[derive(Debug)]
struct Tags {
    machines: Vec<String>,
    names: Vec<String>,
}

impl Default for Tags {
    fn default() -> Tags {
        Tags {
            machines: MACHINE_TAGS.map(str::to_owned).to_vec(),
            names: NAME_TAGS.map(str::to_owned).to_vec(),
        }
    }
}

impl Tags {
    fn only(tag: String) -> Tags {
        Tags { machines: vec![tag.clone()], names: vec![tag] }
    }
}

/// Which of these tags a record has, with values that tell anything.
fn values(record: &Record, tags: &[String]) -> impl Iterator<Item = Identity> {
    let tags = tags.iter().enumerate();
    tags.filter_map(|(number, tag)| {
        let value = record.tag(tag).filter(|value| !NO_NAMES.contains(value))?;
        Some((number, value.to_owned()))
    })
}

fn boot_tag(record: &Record) -> Option<&str> {
    BOOT_TAGS.iter().find_map(|tag| record.tag(tag)).filter(|value| !value.is_empty())
}
