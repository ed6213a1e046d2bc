//! One machine: its names and its boots.

use core::mem;

use super::boot::{Boot, Fit, Key};
use super::{Event, Identity, Place, boot_tag};
use crate::record::Record;

/// How many of the latest boots are remembered with their records.
const BOOTS_MAX: usize = 4;

/// A record from this time on says which boot it is of: no other boot has it at the same microsecond. Before that, most
/// time stamps are 0.
const SURE_CLOCK: u64 = 50_000;

/// So many repeated ones leave no doubt.
const SURE_REPEATS: usize = 3;

/// How many records may wait for that.
const WAITING_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Machine {
    identities: Vec<Identity>,
    /// Empty if nothing is known.
    label: String,
    /// Everything that it was called.
    names: Vec<String>,
    boots: Vec<Boot>,
    /// The boot of the last record.
    shown: Option<usize>,
    repeats: Repeats,
}

/// Records that were seen. The first ones of a boot are the same in each boot, so whether they are repeated or a new boot
/// begins is known only later.
#[derive(Debug, Default)]
struct Repeats {
    /// Those that would be the first of a new boot.
    waiting: Vec<Record>,
    /// How many say which boot they are of.
    sure: usize,
    last: u64,
}

impl Repeats {
    fn add(&mut self, record: Record) {
        if record.seq <= self.last {
            *self = Repeats::default();
        }
        self.last = record.seq;
        self.sure += usize::from(record.clock >= SURE_CLOCK);
        if self.sure >= SURE_REPEATS {
            self.waiting.clear();
        } else if self.waiting.len() < WAITING_MAX {
            self.waiting.push(record);
        }
    }
}

impl Machine {
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Whether the first tag that both have has the same value.
    pub(super) fn is_alike(&self, identities: &[Identity]) -> bool {
        let both = identities.iter().find_map(|(tag, value)| {
            self.identities.iter().find(|(known, _)| known == tag).map(|(_, known)| known == value)
        });
        both.unwrap_or(false)
    }

    /// Takes what the tags of a record say of it.
    pub(super) fn know(&mut self, identities: Vec<Identity>, name: Option<&String>) {
        if let Some(name) = name {
            self.label.clone_from(name);
        } else if let Some((_, value)) = identities.first().filter(|_| self.label.is_empty()) {
            self.label.clone_from(value);
        }
        for name in identities.iter().map(|(_, value)| value).chain(name) {
            if !self.names.contains(name) {
                self.names.push(name.clone());
            }
        }
        for (tag, value) in identities {
            if !self.identities.iter().any(|(known, _)| *known == tag) {
                self.identities.push((tag, value));
            }
        }
    }

    /// Whether this very record was seen in any boot.
    pub(super) fn holds(&self, record: &Record) -> bool {
        self.boots.iter().any(|boot| boot.holds(record))
    }

    /// Whether this is the next record of the latest boot.
    pub(super) fn is_continued_by(&self, record: &Record) -> bool {
        self.boots.last().is_some_and(|boot| boot.is_continued_by(record))
    }

    pub(super) fn take(&mut self, record: Record, machine: usize, events: &mut Vec<Event>) {
        let mut records = vec![];
        let boot = if record.pstore.is_some() {
            self.boot_kept(&record)
        } else if let Some(tag) = boot_tag(&record) {
            let key = Key::Tag(tag.to_owned());
            let known = self.boots.iter().position(|boot| boot.key == key);
            known.unwrap_or_else(|| self.new_boot(key))
        } else if let Some(boot) = self.latest_untagged() {
            match self.boots[boot].fit(&record) {
                Fit::Seen => return self.repeats.add(record),
                // Of a boot before that one.
                _ if record.clock >= SURE_CLOCK && self.holds(&record) => return,
                Fit::New => {
                    self.repeats = Repeats::default();
                    boot
                }
                Fit::OfAnother => {
                    records = mem::take(&mut self.repeats).waiting;
                    self.new_boot(Key::Records)
                }
            }
        } else if self.holds(&record) {
            return; // without the tag that it had
        } else {
            // A sender without tags beside one with them: it is the same boot if it goes on with that.
            let continued = self.boots.last().is_some_and(|boot| boot.is_continued_by(&record));
            if continued { self.boots.len() - 1 } else { self.new_boot(Key::Records) }
        };
        records.push(record);
        for record in records {
            self.add(Place { machine, boot }, record, events);
        }
    }

    /// Adds a record to a boot, with what has to be told before it.
    fn add(&mut self, place: Place, record: Record, events: &mut Vec<Event>) {
        let boot = &mut self.boots[place.boot];
        if boot.holds(&record) {
            return;
        }
        let is_first = !boot.has_begun();
        let missing = boot.add(&record);
        let is_kept = boot.key == Key::Kept;
        match self.shown.replace(place.boot) {
            _ if is_first && is_kept => {
                events.push(Event::Kept { place, origin: record.pstore.clone().unwrap_or_default() });
            }
            Some(_) if is_first => events.push(Event::Boot { place, time: record.time.clone() }),
            Some(shown) if shown != place.boot => events.push(Event::Again { place }),
            _ => {}
        }
        events.extend(missing.map(|(first, last)| Event::Missing { place, first, last }));
        events.push(Event::Record { place, record });
    }

    /// The boot whose end pstore kept: the clock goes back where another one begins.
    fn boot_kept(&mut self, record: &Record) -> usize {
        let of_it = |boot: &Boot| boot.key == Key::Kept && boot.holds(record);
        if let Some(boot) = self.boots.iter().position(of_it) {
            return boot;
        }
        let latest = self.boots.iter().rposition(|boot| boot.key == Key::Kept);
        let latest = latest.filter(|boot| self.boots[*boot].is_kept_with(record));
        latest.unwrap_or_else(|| self.new_boot(Key::Kept))
    }

    fn latest_untagged(&self) -> Option<usize> {
        self.boots.iter().rposition(|boot| boot.key == Key::Records)
    }

    fn new_boot(&mut self, key: Key) -> usize {
        self.boots.push(Boot::new(key));
        let count = self.boots.len();
        if count > BOOTS_MAX {
            self.boots[count - BOOTS_MAX - 1].forget();
        }
        count - 1
    }
}
