//! A DHCP client on one link: the time and a server's answers go in, what to send and the lease come out.
//!
//! ```text
//! Selecting --offer--> Requesting --ack--> Bound --T1--> Renewing --T2--> Rebinding --end--> (expired) Selecting
//!     ^                    | nak, silence               any ack leads back to Bound, any nak to the start
//!     +--------------------+
//! ```

use core::net::Ipv4Addr;

use crate::limits::{DHCP_BACKOFF_MS_MAX, DHCP_BACKOFF_MS_MIN, DHCP_REQUESTS_MAX, DHCP_RETRY_MS_MIN};
use crate::wire::dhcp::{self, Answer, Lease, Mac, Packet, Question};

/// A client at work.
#[derive(Clone, Debug)]
pub struct Client {
    mac: Mac,
    /// Identifies the questions of one search.
    xid: u32,
    began_ms: u64,
    /// When the next thing is to be done.
    next_ms: u64,
    /// The pause after the next question for any address.
    backoff_ms: u64,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Any server may offer an address.
    Selecting,
    /// One was offered, and asked for so many times.
    Requesting { offer: Offer, tries: u32 },
    /// There is an address.
    Bound(Held),
    /// The server that gave it is asked for more time.
    Renewing(Held),
    /// So is any server.
    Rebinding(Held),
}

/// What is kept of an offer.
#[derive(Clone, Copy, Debug)]
struct Offer {
    address: Ipv4Addr,
    server: Ipv4Addr,
}

/// What is kept of a lease, and its times.
#[derive(Clone, Copy, Debug)]
struct Held {
    offer: Offer,
    rebind_ms: u64,
    end_ms: u64,
}

/// What is to be done now.
#[derive(PartialEq, Eq, Debug)]
pub enum Step {
    /// This is to be asked, by [`Client::packet`].
    Ask(Question),
    /// The lease is over, and the address must not be used any more.
    Expired,
    /// Nothing before this time, unless an answer comes.
    Wait(u64),
}

/// What an answer has led to.
#[derive(PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing that concerns the address.
    None,
    /// This lease is granted, or granted for longer.
    Bound(Lease),
    /// The address must not be used any more.
    Refused,
}

impl Client {
    /// Begins at once. `random` need not be secret.
    pub fn new(mac: Mac, random: u32, now_ms: u64) -> Client {
        Client {
            mac,
            xid: random,
            began_ms: now_ms,
            next_ms: now_ms,
            backoff_ms: DHCP_BACKOFF_MS_MIN,
            state: State::Selecting,
        }
    }

    /// Whether there is an address.
    pub fn is_bound(&self) -> bool {
        matches!(self.state, State::Bound(_) | State::Renewing(_) | State::Rebinding(_))
    }

    /// What is to be done now. It is asked again until there is nothing but to wait.
    pub fn next(&mut self, now_ms: u64) -> Step {
        if now_ms < self.next_ms {
            return Step::Wait(self.next_ms);
        }
        match self.state {
            State::Selecting => {
                self.next_ms = now_ms + self.jittered(self.backoff_ms);
                self.backoff_ms = (self.backoff_ms * 2).min(DHCP_BACKOFF_MS_MAX);
                Step::Ask(Question::Discover)
            }
            State::Requesting { tries: DHCP_REQUESTS_MAX.., .. } => {
                self.begin_anew(now_ms, 0);
                self.next(now_ms)
            }
            State::Requesting { offer, tries } => {
                self.next_ms = now_ms + self.jittered(DHCP_BACKOFF_MS_MIN << tries);
                self.state = State::Requesting { offer, tries: tries + 1 };
                Step::Ask(Question::Take { address: offer.address, server: offer.server })
            }
            State::Bound(held) => {
                // A new question, which is not mistaken for the last one.
                self.xid = self.xid.wrapping_add(1);
                self.began_ms = now_ms;
                self.state = State::Renewing(held);
                self.next(now_ms)
            }
            State::Renewing(held) if now_ms >= held.rebind_ms => {
                self.state = State::Rebinding(held);
                self.next(now_ms)
            }
            State::Renewing(held) => {
                let Offer { address, server } = held.offer;
                self.next_ms = retry_ms(now_ms, held.rebind_ms);
                Step::Ask(Question::Keep { address, server: Some(server) })
            }
            State::Rebinding(held) if now_ms >= held.end_ms => {
                self.begin_anew(now_ms, 0);
                Step::Expired
            }
            State::Rebinding(held) => {
                self.next_ms = retry_ms(now_ms, held.end_ms);
                Step::Ask(Question::Keep { address: held.offer.address, server: None })
            }
        }
    }

    /// Takes a packet that has come.
    pub fn receive(&mut self, packet: &[u8], now_ms: u64) -> Change {
        let Some(answer) = dhcp::read(packet, self.mac, self.xid) else { return Change::None };
        match (&self.state, answer) {
            (State::Selecting, Answer::Offer(lease)) => {
                let offer = Offer { address: lease.address, server: lease.server };
                self.state = State::Requesting { offer, tries: 0 };
                self.next_ms = now_ms;
                Change::None
            }
            (State::Requesting { offer, .. }, Answer::Ack(lease)) if lease.address == offer.address => {
                self.bind(lease, now_ms)
            }
            (State::Renewing(held) | State::Rebinding(held), Answer::Ack(lease))
                if lease.address == held.offer.address =>
            {
                self.bind(lease, now_ms)
            }
            (State::Requesting { .. }, Answer::Nak) => {
                self.begin_anew(now_ms, self.backoff_ms);
                Change::None
            }
            (State::Renewing(_) | State::Rebinding(_), Answer::Nak) => {
                self.begin_anew(now_ms, DHCP_BACKOFF_MS_MIN);
                Change::Refused
            }
            _ => Change::None,
        }
    }

    /// A lease is granted, from now on.
    fn bind(&mut self, lease: Lease, now_ms: u64) -> Change {
        let after = |seconds: u32| now_ms + u64::from(seconds) * 1_000;
        self.next_ms = after(lease.renew_after_s);
        self.backoff_ms = DHCP_BACKOFF_MS_MIN;
        self.state = State::Bound(Held {
            offer: Offer { address: lease.address, server: lease.server },
            rebind_ms: after(lease.rebind_after_s),
            end_ms: after(lease.seconds),
        });
        Change::Bound(lease)
    }

    /// Looks for any address again, after a pause.
    fn begin_anew(&mut self, now_ms: u64, pause_ms: u64) {
        self.xid = self.xid.wrapping_add(1);
        self.began_ms = now_ms;
        self.next_ms = now_ms + pause_ms;
        self.state = State::Selecting;
    }

    /// A question as a packet.
    pub fn packet(&self, question: Question, now_ms: u64) -> Packet {
        let seconds = u16::try_from((now_ms - self.began_ms) / 1_000).unwrap_or(u16::MAX);
        dhcp::write(question, self.mac, self.xid, seconds)
    }

    /// Shortened by up to a quarter, each link by another part: machines that start together do not ask in step.
    fn jittered(&self, pause_ms: u64) -> u64 {
        pause_ms - u64::from(self.xid) % (pause_ms / 4)
    }

    /// When the next step is due.
    pub fn wake_ms(&self) -> u64 {
        self.next_ms
    }

    /// Looks for an address from now on, whatever was before.
    pub fn restart(&mut self, now_ms: u64) {
        self.backoff_ms = DHCP_BACKOFF_MS_MIN;
        self.begin_anew(now_ms, 0);
    }
}

/// When a lease is asked for again: after half of the time that is left, but not too soon.
fn retry_ms(now_ms: u64, end_ms: u64) -> u64 {
    let half_ms = (end_ms - now_ms) / 2;
    (now_ms + half_ms.max(DHCP_RETRY_MS_MIN)).min(end_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LEASE_S_MAX;
    use crate::testing::Random;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    const MAC: Mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    const SERVER: [u8; 4] = [10, 0, 2, 2];

    /// What a packet asks: its kind, and for unicast `to the server`.
    fn kind(packet: &[u8]) -> &'static str {
        match (packet[270], packet[40..44] != [0; 4]) {
            (1, false) => "discover",
            (3, false) => "take",
            (3, true) if packet[16..20] == SERVER => "renew",
            (3, true) => "rebind",
            other => panic!("{other:?}"),
        }
    }

    /// A server's answer to a question, whose xid it takes.
    fn answer(question: &[u8], kind: u8, address: [u8; 4], seconds: u32) -> Vec<u8> {
        let mut packet = question.to_vec();
        packet[20..24].copy_from_slice(&[0, 67, 0, 68]);
        packet[28] = 2;
        packet[40..44].fill(0);
        packet[44..48].copy_from_slice(&address);
        let time = seconds.to_be_bytes();
        let options =
            [&[53, 1, kind, 51, 4][..], &time, &[54, 4], &SERVER, &[1, 4, 255, 255, 255, 0, 255]].concat();
        packet[268..268 + options.len()].copy_from_slice(&options);
        packet
    }

    /// Runs a client for so many seconds against a server: its answer's kind, address and lease time, if it answers.
    /// Returns what happened, and when.
    fn run(seconds: u64, mut server: impl FnMut(u64, &str) -> Option<(u8, [u8; 4], u32)>) -> String {
        let (mut now, mut told) = (5_000, String::new());
        let mut client = Client::new(MAC, 0, now);
        let end = now + seconds * 1_000;
        while now < end {
            match client.next(now) {
                Step::Wait(until) => {
                    assert!(until > now);
                    now = until;
                }
                Step::Expired => told += &format!("{} expired, ", (now - 5_000) / 1_000),
                Step::Ask(question) => {
                    let packet = client.packet(question, now);
                    let asked = kind(&packet);
                    told += &format!("{} {asked}, ", (now - 5_000) / 1_000);
                    now += 1;
                    if let Some((kind, address, seconds)) = server(now - 5_000, asked) {
                        match client.receive(&answer(&packet, kind, address, seconds), now) {
                            Change::None => {}
                            Change::Bound(lease) => told += &format!("bound for {}, ", lease.seconds),
                            Change::Refused => told += "refused, ",
                        }
                    }
                }
            }
            assert!(told.len() < 20_000, "without end: {told}");
        }
        told
    }

    const ADDRESS: [u8; 4] = [10, 0, 2, 15];

    fn good(seconds: u32) -> impl FnMut(u64, &str) -> Option<(u8, [u8; 4], u32)> {
        move |_, asked| Some((if asked == "discover" { 2 } else { 5 }, ADDRESS, seconds))
    }

    #[test]
    fn a_lease_is_taken_and_renewed() {
        assert_eq!(
            run(25, good(20)),
            "0 discover, 0 take, bound for 20, 10 renew, bound for 20, 20 renew, bound for 20, "
        );
        assert_eq!(
            run(100_000, good(u32::MAX)),
            format!(
                "0 discover, 0 take, bound for {LEASE_S_MAX}, 43200 renew, bound for {LEASE_S_MAX}, 86400 renew, bound for {LEASE_S_MAX}, "
            )
        );
    }

    #[test]
    fn nobody_answers() {
        assert_eq!(
            run(70, |_, _| None),
            "0 discover, 1 discover, 3 discover, 7 discover, 15 discover, 31 discover, 47 discover, 63 discover, "
        );
    }

    #[test]
    fn an_offer_that_nobody_stands_by() {
        let told = run(9, |_, asked| (asked == "discover").then_some((2, ADDRESS, 20)));
        assert_eq!(told, "0 discover, 0 take, 1 take, 3 take, 7 discover, 7 take, 8 take, ");
    }

    #[test]
    fn the_server_goes_away() {
        let told = run(22, |now, asked| {
            (now < 5_000).then_some((if asked == "discover" { 2 } else { 5 }, ADDRESS, 20))
        });
        assert_eq!(
            told,
            "0 discover, 0 take, bound for 20, 10 renew, 14 renew, 16 renew, 17 renew, 18 rebind, \
             19 rebind, 20 expired, 20 discover, 21 discover, "
        );
    }

    #[test]
    fn another_server_takes_over() {
        let told = run(20, |now, asked| match asked {
            "renew" => None,
            _ if now > 5_000 && asked != "rebind" => None,
            "discover" => Some((2, ADDRESS, 20)),
            _ => Some((5, ADDRESS, 20)),
        });
        assert!(told.contains("16 renew, 17 renew, 18 rebind, bound for 20, "), "{told}");
    }

    #[test]
    fn a_refusal_is_obeyed_and_no_storm_follows() {
        let told = run(12, |_, asked| match asked {
            "discover" => Some((2, ADDRESS, 20)),
            "take" => Some((5, ADDRESS, 20)),
            _ => Some((6, [0; 4], 0)),
        });
        assert_eq!(
            told,
            "0 discover, 0 take, bound for 20, 10 renew, refused, 11 discover, 11 take, bound for 20, "
        );
        let told =
            run(60, |_, asked| Some(if asked == "discover" { (2, ADDRESS, 20) } else { (6, [0; 4], 0) }));
        assert!(told.len() < 250, "{told}");
    }

    #[test]
    fn an_answer_to_something_else_changes_nothing() {
        let mut client = Client::new(MAC, 7, 0);
        let Step::Ask(question) = client.next(0) else { panic!("nothing is asked") };
        let packet = client.packet(question, 0);
        // Granted before it was asked for, refused, an answer to another question.
        for kind in [5, 6] {
            assert_eq!(client.receive(&answer(&packet, kind, ADDRESS, 20), 1), Change::None);
        }
        let mut other = packet.to_vec();
        other[35] ^= 1;
        assert_eq!(client.receive(&answer(&other, 2, ADDRESS, 20), 1), Change::None);
        assert!(matches!(client.next(1), Step::Wait(_)));
        // A thousand offers: the first one counts.
        for last in 0..250 {
            assert_eq!(client.receive(&answer(&packet, 2, [10, 0, 2, last], 20), 2), Change::None);
        }
        let Step::Ask(question) = client.next(2) else { panic!("nothing is asked") };
        let packet = client.packet(question, 2);
        assert_eq!(packet[273..277], [10, 0, 2, 0]);
        // Another address than the one asked for.
        assert_eq!(client.receive(&answer(&packet, 5, ADDRESS, 20), 3), Change::None);
        assert!(matches!(client.receive(&answer(&packet, 5, [10, 0, 2, 0], 20), 3), Change::Bound(_)));
        assert!(client.is_bound());
        assert_eq!(client.receive(&answer(&packet, 6, [0; 4], 20), 3), Change::None, "nothing was asked");
        client.restart(3);
        assert!(!client.is_bound());
        assert!(matches!(client.next(3), Step::Ask(_)));
    }

    /// Whatever a server answers, the client never asks more than some times a second, and an address ends with its lease.
    #[test]
    fn any_server() {
        let mut random = Random::new(19);
        for _ in 0..300 {
            let (mut until, mut asked_at) = (0, Vec::new());
            let told = run(300, |now, _| {
                asked_at.push(now);
                let seconds = [1, 2, 20, 100][random.below(4)];
                let kind = [2, 5, 6, 2, 5, 5][random.below(6)];
                let address = [10, 0, 2, random.below(2) as u8];
                until = until.max(now + u64::from(seconds) * 1_000);
                (random.below(3) > 0).then_some((kind, address, seconds))
            });
            for window in asked_at.windows(8) {
                assert!(window[7] - window[0] >= 1_000, "{told}");
            }
        }
    }
}
