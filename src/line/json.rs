//! JSON objects, member for member as Talos writes them.
//!
//! ```text
//! {"clock":_,"facility":_,"msg":_,"priority":_,"seq":_,"talos-level":_,"talos-time":_}
//!  what every object has                                                             then, if there is one:
//!  "earlykmsg":_   "caller":_   "SUBSYSTEM":_   "DEVICE":_   the tags in the order given
//! ```

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json_core::ser::to_slice;

use super::Line;
use super::writer::Writer;
use crate::limits::TAGS_BYTES_MAX;
use crate::record::{Body, facility_name};

/// Writes the object of a record, without a newline.
pub(super) fn write(out: &mut Writer<'_>, line: &Line<'_>) -> Option<()> {
    let Line { record, time, .. } = line;
    out.push_array(b"{\"clock\":")?;
    out.push_number(record.clock_us)?;
    out.push_array(b",\"facility\":\"")?;
    match facility_name(record.facility) {
        Some(name) => out.push_short(name.as_bytes())?,
        None => out.push_number(record.facility)?,
    }
    out.push_array(b"\",\"msg\":")?;
    out.push_string(record.body)?;
    out.push_array(b",\"priority\":\"")?;
    out.push_short(record.level.name().as_bytes())?;
    out.push_array(b"\",\"seq\":")?;
    out.push_number(record.seq)?;
    out.push_array(b",\"talos-level\":\"")?;
    out.push_short(record.level.talos_name().as_bytes())?;
    out.push_array(b"\",\"talos-time\":\"")?;
    out.push(time)?;
    out.push_array(b"\"")?;
    line.each_member(&mut |name, value| {
        out.push_array(b",\"")?;
        out.push_short(name.as_bytes())?;
        out.push_array(b"\":")?;
        out.push_string(value)
    })?;
    line.tags.write(out, line.members.is_of_earlier_boot)?;
    out.push_array(b"}")
}

/// One more member, with the comma before it: a tag.
pub(super) fn write_member(out: &mut Writer<'_>, name: Body<'_>, value: Body<'_>) -> Option<()> {
    // An object of its own, whose braces go. The closing one may stand where the room ends.
    let mut object = [0; TAGS_BYTES_MAX + 1];
    let len = to_slice(&Member { name, value }, &mut object).ok()?;
    out.push_array(b",")?;
    out.push(object.get(1..len - 1)?)
}

/// An object with one member.
struct Member<'a> {
    name: Body<'a>,
    value: Body<'a>,
}

impl Serialize for Member<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(1))?;
        object.serialize_entry(&self.name, &self.value)?;
        object.end()
    }
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
