//! The messages of DNS: one question, and what of an answer to it can be believed.
//!
//! smoltcp's `wire` reads DNS too, but knows no OPT record and leaves the chain of aliases to its caller. Every byte is
//! read through [`Reader`], which cannot leave the message; a compression pointer must point before the name that it is
//! part of, so that reading a name always ends.

use core::fmt::{self, Display};

use heapless::Vec;

use crate::address::{Address, Found};
use crate::limits::{
    CNAME_CHAIN_MAX, DNS_ANSWER_BYTES_MAX, DNS_QUERY_BYTES_MAX, LABEL_BYTES_MAX, WIRE_NAME_BYTES_MAX,
};
use crate::text::next_part;

/// Where the fields of a message stand.
mod field {
    pub(super) const HEADER_BYTES: usize = 12;
    /// The length that precedes a message over TCP.
    pub(super) const TCP_LENGTH_BYTES: usize = 2;
    /// Type and class of a question.
    pub(super) const QUESTION_TAIL_BYTES: usize = 4;
    /// An OPT record without options.
    pub(super) const OPT_BYTES: usize = 11;
}

/// The flags of the header.
mod flag {
    pub(super) const RESPONSE: u16 = 0x8000;
    pub(super) const OPCODE: u16 = 0x7800;
    pub(super) const TRUNCATED: u16 = 0x0200;
    pub(super) const RECURSION_DESIRED: u16 = 0x0100;
    pub(super) const RESPONSE_CODE: u16 = 0x000f;
}

/// The highest two bits of a label's length: the rest is a pointer to another place of the message.
const POINTER: u8 = 0xc0;

const CLASS_IN: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_OPT: u16 = 41;

/// The type of record that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueryType {
    /// IPv4 addresses.
    A = 1,
    /// IPv6 addresses.
    Aaaa = 28,
}

impl QueryType {
    fn address_bytes(self) -> usize {
        match self {
            QueryType::A => 4,
            QueryType::Aaaa => 16,
        }
    }
}

/// A question: an answer belongs to it only if it repeats all three.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The query ID.
    pub id: u16,
    /// The name that is asked for.
    pub name: &'a Name,
    /// What is asked of it.
    pub query_type: QueryType,
}

/// What a name server had to say to a question; a worse status is greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ServerStatus {
    /// It was not asked yet.
    NotAsked,
    /// Addresses.
    Addresses,
    /// The name has no address of that family.
    NoAddress,
    /// There is no such name.
    NoSuchName,
    /// Another name, which has to be asked for in its turn.
    Alias,
    /// Nothing, in time.
    Silent,
    /// The answer did not fit into a datagram, and did not come over TCP.
    Truncated,
    /// SERVFAIL.
    ServFail,
    /// REFUSED.
    Refused,
    /// Another error code.
    ErrorCode,
    /// An answer that cannot be read.
    Malformed,
    /// Only answers to other questions.
    Unrelated,
    /// Nobody listens there.
    PortClosed,
    /// It cannot be reached.
    Unreachable,
}

impl Display for ServerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ServerStatus::NotAsked => "not asked",
            ServerStatus::Addresses => "has an answer",
            ServerStatus::NoAddress => "no address",
            ServerStatus::NoSuchName => "NXDOMAIN",
            ServerStatus::Alias => "CNAME chain too long",
            ServerStatus::Silent => "silent",
            ServerStatus::Truncated => "truncated and silent over TCP",
            ServerStatus::ServFail => "SERVFAIL",
            ServerStatus::Refused => "REFUSED",
            ServerStatus::ErrorCode => "an error code",
            ServerStatus::Malformed => "malformed answer",
            ServerStatus::Unrelated => "answers something else",
            ServerStatus::PortClosed => "nobody listens",
            ServerStatus::Unreachable => "unreachable",
        })
    }
}

/// The status that a response code stands for; none: no error.
fn error_status(flags: u16) -> Option<ServerStatus> {
    match flags & flag::RESPONSE_CODE {
        0 => None,
        2 => Some(ServerStatus::ServFail),
        3 => Some(ServerStatus::NoSuchName),
        5 => Some(ServerStatus::Refused),
        _ => Some(ServerStatus::ErrorCode),
    }
}

/// A name as messages have it: labels, each after its length, an empty one last; all in lower case.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Name {
    bytes: Vec<u8, WIRE_NAME_BYTES_MAX>,
}

/// A text that is not the name of a host, or bytes that are not the message they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl Name {
    /// A name without a label, which is not complete.
    pub const fn new() -> Name {
        Name { bytes: Vec::new() }
    }

    /// The name that dotted texts make when they are put one behind the other: a host, and a domain of the search list.
    pub fn from_dotted(parts: [&[u8]; 2]) -> Result<Name, Malformed> {
        let mut name = Name::new();
        for mut part in parts {
            while !part.is_empty() {
                let label = next_part(&mut part, b'.');
                if label.is_empty() {
                    return Err(Malformed);
                }
                name.push_label(label)?;
            }
        }
        name.push_label(b"")?;
        Ok(name)
    }

    /// Adds one label; an empty one ends the name.
    fn push_label(&mut self, label: &[u8]) -> Result<(), Malformed> {
        if label.len() > LABEL_BYTES_MAX {
            return Err(Malformed);
        }
        self.bytes.push(label.len() as u8).map_err(|_| Malformed)?;
        for byte in label {
            self.bytes.push(byte.to_ascii_lowercase()).map_err(|_| Malformed)?;
        }
        Ok(())
    }
}

/// A query with the length in front that TCP needs.
pub type QueryBytes = Vec<u8, DNS_QUERY_BYTES_MAX>;

/// Writes a query. With `edns` it says that answers longer than 512 bytes are welcome, which some old servers do not
/// understand.
pub fn write_query(out: &mut QueryBytes, query: Query<'_>, edns: bool) {
    let name = &query.name.bytes;
    let mut length = field::HEADER_BYTES + name.len() + field::QUESTION_TAIL_BYTES;
    if edns {
        length += field::OPT_BYTES;
    }
    let (questions, answers, authorities, additional) = (1, 0, 0, u16::from(edns));
    out.clear();
    for number in
        [length as u16, query.id, flag::RECURSION_DESIRED, questions, answers, authorities, additional]
    {
        push(out, &number.to_be_bytes());
    }
    push(out, name);
    push(out, &(query.query_type as u16).to_be_bytes());
    push(out, &CLASS_IN.to_be_bytes());
    if edns {
        push(out, &[0]); // of the root, whose name is empty
        push(out, &TYPE_OPT.to_be_bytes());
        // In place of a class, OPT has the longest datagram that may come; in place of a TTL, its flags.
        push(out, &(DNS_ANSWER_BYTES_MAX as u16).to_be_bytes());
        push(out, &[0; 4]);
        push(out, &0u16.to_be_bytes()); // no options
    }
}

/// Appends to a query, which has room for the longest name.
fn push(out: &mut QueryBytes, bytes: &[u8]) {
    let _ = out.extend_from_slice(bytes);
}

/// A query as it is sent in a datagram.
pub fn without_tcp_length(query: &QueryBytes) -> &[u8] {
    query.get(field::TCP_LENGTH_BYTES..).unwrap_or_default()
}

/// What an answer says.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant)] // there is no heap to put the name on
pub enum Answer {
    /// It is the answer to another question, or no answer.
    Unrelated,
    /// Another name, which has to be asked for next.
    Alias(Name),
    /// What became of the question; addresses are in `found`.
    Status(ServerStatus),
}

/// Reads the answer to `query`, and adds its addresses to `found`.
///
/// An answer whose end is missing or malformed is good for the addresses before that. Where addresses were found
/// before, there is nothing more to ask for.
pub fn read_answer(message: &[u8], query: Query<'_>, found: &mut Found) -> Answer {
    let mut reader = Reader { message, at: 0 };
    let Ok(Some((flags, records))) = read_header(&mut reader, query) else { return Answer::Unrelated };
    if let Some(status) = error_status(flags) {
        return Answer::Status(status);
    }
    let mut alias = query.name.clone();
    let read = read_records(&mut reader, records, query.query_type, &mut alias, found);
    if flags & flag::TRUNCATED != 0 {
        Answer::Status(ServerStatus::Truncated)
    } else if !found.is_empty() {
        Answer::Status(ServerStatus::Addresses)
    } else if read.is_err() {
        Answer::Status(ServerStatus::Malformed)
    } else if alias != *query.name {
        Answer::Alias(alias)
    } else {
        Answer::Status(ServerStatus::NoAddress)
    }
}

/// Reads the header and the question. Gives the flags and the number of records, if both belong to `query`.
fn read_header(reader: &mut Reader<'_>, query: Query<'_>) -> Result<Option<(u16, u16)>, Malformed> {
    let id = reader.u16()?;
    let flags = reader.u16()?;
    let questions = reader.u16()?;
    let records = reader.u16()?;
    let _authorities = reader.u16()?;
    let _additional = reader.u16()?;
    let name = reader.take(query.name.bytes.len())?;
    let query_type = reader.u16()?;
    let class = reader.u16()?;
    let belongs = id == query.id
        && flags & (flag::RESPONSE | flag::OPCODE) == flag::RESPONSE
        && questions == 1
        && name.eq_ignore_ascii_case(&query.name.bytes)
        && query_type == query.query_type as u16
        && class == CLASS_IN;
    Ok(belongs.then_some((flags, records)))
}

/// Reads all records. One pass follows all aliases that stand in the order of the chain; each that does not takes one
/// more.
fn read_records(
    reader: &mut Reader<'_>,
    records: u16,
    query_type: QueryType,
    alias: &mut Name,
    found: &mut Found,
) -> Result<(), Malformed> {
    let start = reader.at;
    for _ in 0..CNAME_CHAIN_MAX {
        let mut moved = false;
        reader.at = start;
        for _ in 0..records {
            moved |= read_record(reader, query_type, alias, found)?;
        }
        if !moved {
            break;
        }
    }
    Ok(())
}

/// Reads one record. What belongs to `alias` counts: an address, or another alias, for which it returns true.
fn read_record(
    reader: &mut Reader<'_>,
    query_type: QueryType,
    alias: &mut Name,
    found: &mut Found,
) -> Result<bool, Malformed> {
    let owner = reader.name()?;
    let record_type = reader.u16()?;
    let class = reader.u16()?;
    let ttl = reader.u32()?;
    let length = usize::from(reader.u16()?);
    let mut data = Reader { message: reader.message, at: reader.at };
    let bytes = reader.take(length)?;
    if owner != *alias || class != CLASS_IN {
        return Ok(false);
    }
    let is_alias = record_type == TYPE_CNAME;
    if is_alias {
        *alias = data.name()?;
    } else if record_type == query_type as u16 {
        if length != query_type.address_bytes() {
            return Err(Malformed);
        }
        found.add(Address::from_octets(bytes).ok_or(Malformed)?);
    } else {
        return Ok(false);
    }
    // A TTL with its highest bit set counts as zero (RFC 2181).
    let ttl_s = if ttl > i32::MAX as u32 { 0 } else { ttl };
    found.ttl_s = found.ttl_s.min(ttl_s);
    Ok(is_alias)
}

/// A place in a message.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let rest = self.message.get(self.at..).ok_or(Malformed)?;
        let bytes = rest.get(..length).ok_or(Malformed)?;
        self.at += length;
        Ok(bytes)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.take_array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.take_array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.take_array().map(u32::from_be_bytes)
    }

    /// Reads a name, its compression pointers followed.
    fn name(&mut self) -> Result<Name, Malformed> {
        let mut name = Name::new();
        // The part that is being read begins here. A pointer must lead to before it.
        let mut start = self.at;
        let mut after_first_pointer = None;
        loop {
            let length = self.u8()?;
            if length & POINTER == POINTER {
                let target = usize::from(length & !POINTER) << 8 | usize::from(self.u8()?);
                after_first_pointer.get_or_insert(self.at);
                if target >= start {
                    return Err(Malformed);
                }
                start = target;
                self.at = target;
                continue;
            }
            name.push_label(self.take(usize::from(length))?)?;
            if length == 0 {
                break;
            }
        }
        if let Some(after) = after_first_pointer {
            self.at = after;
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::tests::{address, answer, line_record, record, wire};
    use crate::testing::Random;
    use core::net::IpAddr;
    use std::format;
    use std::vec;
    use std::vec::Vec;

    fn name(text: &str) -> Name {
        Name::from_dotted([text.as_bytes(), b""]).expect(text)
    }

    /// A query without TCP's length.
    fn asked(text: &str, query_type: QueryType, edns: bool) -> Vec<u8> {
        let mut out = QueryBytes::new();
        write_query(&mut out, Query { id: 0x1234, name: &name(text), query_type }, edns);
        assert_eq!(usize::from(u16::from_be_bytes([out[0], out[1]])), out.len() - 2);
        without_tcp_length(&out).to_vec()
    }

    /// Reads an answer to the question for www's A records.
    fn read(message: &[u8], found: &mut Found) -> Answer {
        read_answer(message, Query { id: 0x1234, name: &name("www"), query_type: QueryType::A }, found)
    }

    #[test]
    fn a_query_as_it_goes_out() {
        let head = b"\x12\x34\x01\0\0\x01\0\0\0\0\0";
        let question = b"\x03www\x07example\x03org\0\0\x1c\0\x01";
        let edns = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";
        assert_eq!(
            asked("WWW.example.org.", QueryType::Aaaa, true),
            [&head[..], b"\x01", question, edns].concat()
        );
        assert_eq!(asked("www.Example.org", QueryType::Aaaa, false), [&head[..], b"\0", question].concat());
        let longest = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
        assert_eq!(asked(&longest, QueryType::A, true).len() + 2, DNS_QUERY_BYTES_MAX);
    }

    #[test]
    fn texts_that_are_no_names() {
        for wrong in ["..", ".a", "a..b", &"a".repeat(64), &"a.".repeat(128)] {
            assert_eq!(Name::from_dotted([wrong.as_bytes(), b""]), Err(Malformed), "{wrong}");
        }
    }

    /// What an answer for www's A records comes to.
    #[track_caller]
    fn check(message: &[u8], want: Answer, addresses: &[&str]) -> Found {
        let mut found = Found::nothing();
        let got = read(message, &mut found);
        let all: Vec<Address> = found.iter().collect();
        let wanted: Vec<Address> = addresses.iter().map(|text| address(text)).collect();
        assert_eq!((got, all), (want, wanted));
        found
    }

    const ADDRESSES: Answer = Answer::Status(ServerStatus::Addresses);
    const NO_ADDRESS: Answer = Answer::Status(ServerStatus::NoAddress);
    const MALFORMED: Answer = Answer::Status(ServerStatus::Malformed);
    const TRUNCATED: Answer = Answer::Status(ServerStatus::Truncated);

    fn lines(lines: &[&str]) -> Vec<u8> {
        let records: Vec<Vec<u8>> = lines.iter().map(|line| line_record(line)).collect();
        answer(&asked("www", QueryType::A, true), 0, &records)
    }

    /// An answer of these records, each with the name that was asked for, by pointer.
    fn raw(records: &[(u16, u16, u32, &[u8])]) -> Vec<u8> {
        let of =
            |&(kind, class, ttl, data): &(u16, u16, u32, &[u8])| record(b"\xc0\x0c", kind, class, ttl, data);
        answer(&asked("www", QueryType::A, true), 0, &records.iter().map(of).collect::<Vec<_>>())
    }

    #[test]
    fn good_answers() {
        check(&lines(&["www A 10.0.0.1"]), ADDRESSES, &["10.0.0.1"]);
        check(&lines(&["wWw A 10.0.0.1", "WWW A 10.0.0.2"]), ADDRESSES, &["10.0.0.1", "10.0.0.2"]);
        check(&raw(&[(1, 1, 60, &[10, 0, 0, 1])]), ADDRESSES, &["10.0.0.1"]);
        check(&lines(&["www CNAME a", "a CNAME b.c", "b.c A 10.0.0.1"]), ADDRESSES, &["10.0.0.1"]);
        // The same in an order that nobody sends.
        check(&lines(&["b.c A 10.0.0.1", "a CNAME b.c", "www CNAME a"]), ADDRESSES, &["10.0.0.1"]);
        // Others' records do not count.
        check(&lines(&["w A 10.0.0.9", "www A 10.0.0.1", "www.a A 10.0.0.8"]), ADDRESSES, &["10.0.0.1"]);
        // An OPT record and other bytes behind.
        let mut long = lines(&["www A 10.0.0.1"]);
        long[11] = 1;
        long.extend(b"\0\0\x29\x04\xd0\0\0\0\0\0\0 and more");
        check(&long, ADDRESSES, &["10.0.0.1"]);
        // Where an OPT record must not stand.
        let opt = record(b"\0", 41, 1232, 0, b"");
        let both = answer(&asked("www", QueryType::A, true), 0, &[opt, line_record("www A 10.0.0.1")]);
        check(&both, ADDRESSES, &["10.0.0.1"]);
        let thirty: Vec<Vec<u8>> = (0..30).map(|n| line_record(&format!("www A 10.0.0.{n}"))).collect();
        let eight =
            ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7"];
        check(&answer(&asked("www", QueryType::A, true), 0, &thirty), ADDRESSES, &eight);
    }

    #[test]
    fn a_pointer_beyond_the_first_256_bytes() {
        let query = asked("www", QueryType::A, true);
        let long = record(&wire("www"), 16, 1, 60, &[0; 300]);
        let alias = record(&wire("www"), 5, 1, 60, &wire("a"));
        let at = answer(&query, 0, &[long.clone(), alias.clone()]).len() - wire("a").len();
        let owned = record(&(0xc000 | at as u16).to_be_bytes(), 1, 1, 60, &[10, 0, 0, 1]);
        check(&answer(&query, 0, &[long, alias, owned]), ADDRESSES, &["10.0.0.1"]);
    }

    #[test]
    fn aliases_that_lead_out_of_the_answer() {
        check(&lines(&["www CNAME a.b"]), Answer::Alias(name("a.b")), &[]);
        check(&lines(&["x CNAME y", "WWW CNAME x"]), Answer::Alias(name("y")), &[]);
        // Ten of them are followed, whatever their order.
        let chain = |n: usize| if n == 0 { "www CNAME a1".into() } else { format!("a{n} CNAME a{}", n + 1) };
        let mut records: Vec<Vec<u8>> = (0..10).map(|n| line_record(&chain(n))).collect();
        check(&answer(&asked("www", QueryType::A, true), 0, &records), Answer::Alias(name("a10")), &[]);
        records.reverse();
        check(&answer(&asked("www", QueryType::A, true), 0, &records), Answer::Alias(name("a10")), &[]);
        // A ring of them ends somewhere.
        let ring = lines(&["www CNAME a", "a CNAME b", "b CNAME a"]);
        assert!(matches!(read(&ring, &mut Found::nothing()), Answer::Alias(_)));
        check(&lines(&["www CNAME www"]), NO_ADDRESS, &[]);
    }

    #[test]
    fn how_long_they_hold() {
        let four = |n| [10, 0, 0, n];
        let ttl = |records: &[(u16, u16, u32, &[u8])]| check(&raw(records), ADDRESSES, &["10.0.0.1"]).ttl_s;
        assert_eq!(ttl(&[(1, 1, 0, &four(1))]), 0);
        assert_eq!(ttl(&[(1, 1, 60, &four(1)), (1, 1, 30, &four(1))]), 30);
        assert_eq!(ttl(&[(1, 1, 0x7fff_ffff, &four(1))]), 0x7fff_ffff);
        assert_eq!(ttl(&[(1, 1, 0x8000_0000, &four(1))]), 0);
        assert_eq!(ttl(&[(16, 1, 1, b"\0"), (1, 1, 60, &four(1))]), 60);
        let chain = [record(&wire("www"), 5, 1, 20, &wire("a")), line_record("a A 10.0.0.1")];
        let chain = answer(&asked("www", QueryType::A, true), 0, &chain);
        assert_eq!(check(&chain, ADDRESSES, &["10.0.0.1"]).ttl_s, 20);
    }

    #[test]
    fn answers_that_are_none() {
        let good = lines(&["www A 10.0.0.1"]);
        let with = |at: usize, byte: u8| {
            let mut message = good.clone();
            message[at] = byte;
            message
        };
        for unrelated in [
            b"".to_vec(),
            b"x".to_vec(),
            good[..11].to_vec(),
            good[..20].to_vec(),
            with(0, 0x13), // another number
            with(2, 0x01), // a query
            with(2, 0x91), // another kind of message
            with(5, 0),    // no question
            with(5, 2),    // two
            with(12, 2),   // another name
            with(13, b'v'),
            with(18, 28),   // another kind
            with(20, 3),    // another class
            with(12, 0xc0), // the question is a pointer: into the header, to itself
            [&good[..12], b"\xc0\x0c\0\x01\0\x01"].concat(),
        ] {
            check(&unrelated, Answer::Unrelated, &[]);
        }
        for (code, status) in [
            (1, ServerStatus::ErrorCode),
            (2, ServerStatus::ServFail),
            (3, ServerStatus::NoSuchName),
            (4, ServerStatus::ErrorCode),
            (5, ServerStatus::Refused),
            (15, ServerStatus::ErrorCode),
        ] {
            check(&with(3, 0x80 | code), Answer::Status(status), &[]);
        }
        check(&with(2, 0x83), TRUNCATED, &["10.0.0.1"]);
    }

    #[test]
    fn records_that_are_broken() {
        let four = [10, 0, 0, 1];
        check(&raw(&[]), NO_ADDRESS, &[]);
        check(&raw(&[(1, 3, 60, &four)]), NO_ADDRESS, &[]);
        check(&raw(&[(28, 1, 60, &[1; 16])]), NO_ADDRESS, &[]);
        check(&raw(&[(16, 1, 60, &four)]), NO_ADDRESS, &[]);
        for length in [0, 3, 5, 16] {
            check(&raw(&[(1, 1, 60, &[1; 16][..length])]), MALFORMED, &[]);
        }
        // Aliases: a pointer forwards, to itself, out of the message, a label of a reserved kind,
        // one that is longer than its record, nothing at all.
        for alias in [
            &b"\xc0\xff"[..],
            b"\xff\xff",
            b"\xc0\x21",
            b"\xc0",
            b"\x80a\0",
            b"\x40a\0",
            b"\x01a",
            b"\x05a\0",
            b"",
        ] {
            check(&raw(&[(5, 1, 60, alias)]), MALFORMED, &[]);
        }
        // A name in a circle: its label, then a pointer to that label.
        check(&raw(&[(5, 1, 60, b"\x01a\xc0\x21")]), MALFORMED, &[]);
        // A name that pointers make longer than a name can be.
        let label = [&[63][..], &[b'a'; 63]].concat();
        let long = [&label[..], &label, &label, &label, b"\0"].concat();
        check(&raw(&[(5, 1, 60, &long)]), MALFORMED, &[]);
        // An owner like that.
        let owners = [record(b"\xc0\xff", 1, 1, 60, &four), line_record("www A 10.0.0.1")];
        check(&answer(&asked("www", QueryType::A, true), 0, &owners), MALFORMED, &[]);
        // More records are announced than are there, or the last one is cut: what is there counts.
        let mut lying = lines(&["www A 10.0.0.1"]);
        lying[6..8].fill(0xff);
        check(&lying, ADDRESSES, &["10.0.0.1"]);
        let cut = lines(&["www A 10.0.0.1", "www A 10.0.0.2"]);
        check(&cut[..cut.len() - 1], ADDRESSES, &["10.0.0.1"]);
        check(&lines(&["www A 10.0.0.1"])[..30], MALFORMED, &[]);
        // Fewer are announced than are there.
        let mut lying = lines(&["www A 10.0.0.1", "www A 10.0.0.2"]);
        lying[7] = 1;
        check(&lying, ADDRESSES, &["10.0.0.1"]);
    }

    /// Whatever comes, reading ends, and nothing that is not in the message is found.
    #[test]
    fn any_bytes_are_an_answer() {
        let mut random = Random::new(4);
        let good =
            lines(&["www CNAME a.www", "a.www CNAME b", "x A 10.0.0.9", "b A 10.0.0.1", "b A 10.0.0.2"]);
        let spice = [0, 1, 5, 12, 28, 63, 64, 0xc0, 0xff];
        let mut right = 0;
        for _ in 0..60_000 {
            let mut message = good.clone();
            for _ in 0..random.below(6) {
                let at = random.below(message.len());
                message[at] =
                    if random.below(2) == 0 { random.byte() } else { spice[random.below(spice.len())] };
            }
            message.truncate(random.below(message.len() * 2) + 1);
            let mut found = Found::nothing();
            let answer = read(&message, &mut found);
            for address in found.iter() {
                let IpAddr::V4(v4) = address.ip else { panic!("only A was asked for") };
                assert!(message.windows(4).any(|four| four == v4.octets()));
            }
            right += usize::from(answer == ADDRESSES);

            let noise: Vec<u8> = (0..random.below(100)).map(|_| random.byte()).collect();
            let mut message = good[..21].to_vec();
            message.extend(noise);
            read(&message, &mut found);
            read(&message[12..], &mut found);
        }
        assert!(right > 5_000, "{right}");
    }

    /// The most expensive answer that fits: a ring of aliases with names as long as they can be.
    #[test]
    fn the_worst_answer_costs_little() {
        let longest = format!("{}www", "a.".repeat(125));
        let mut records = vec![record(&wire("www"), 5, 1, 60, &wire(&longest))];
        while records.concat().len() < 4000 {
            records.push(record(&wire(&longest), 5, 1, 60, b"\xc0\x0c"));
            records.push(record(b"\xc0\x0c", 5, 1, 60, &wire(&longest)));
        }
        let message = answer(&asked("www", QueryType::A, true), 0, &records);
        for _ in 0..100 {
            read(&message, &mut Found::nothing());
        }
    }
}
