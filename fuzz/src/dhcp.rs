//! Answers of DHCP servers, and the client that they are given to.

use earlykmsg::limits::{LEASE_S_MAX, NEVER_MS};
use earlykmsg::network::dhcp_client::{Change, Client, Step};
use earlykmsg::wire::dhcp::{Answer, is_question, read};

use crate::Input;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// Any bytes as a packet, whole and as the message in one; then any answers to what a client asks: it never asks in a
/// storm, never keeps an address beyond its lease, and takes no lease that it has not asked for.
pub fn check(bytes: &[u8]) {
    for packet in [bytes.to_vec(), answer(bytes)] {
        let answer = read(&packet, MAC, 7);
        assert!(answer.is_none() || !is_question(&packet), "a question and an answer");
        if let Some(Answer::Offer(lease) | Answer::Ack(lease)) = answer {
            assert!((1..=LEASE_S_MAX).contains(&lease.seconds), "{lease:?}");
            assert!(lease.renew_after_s <= lease.rebind_after_s && lease.rebind_after_s <= lease.seconds);
            assert!(
                lease.prefix_length <= 32 && !lease.address.is_unspecified() && !lease.address.is_loopback()
            );
            assert!(lease.domain.iter().all(|byte| byte.is_ascii_graphic()), "{lease:?}");
        }
    }
    play(Input(bytes));
}

/// A server's packet with these bytes as its options.
fn answer(options: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 268];
    let length = (packet.len() + options.len()) as u16;
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet[9] = 17;
    packet[22..24].copy_from_slice(&[0, 68]);
    packet[24..26].copy_from_slice(&length.saturating_sub(20).to_be_bytes());
    packet[28] = 2;
    packet[35] = 7;
    packet[44..48].copy_from_slice(&[10, 0, 2, 15]);
    packet[56..62].copy_from_slice(&MAC);
    packet[264..268].copy_from_slice(&[99, 130, 83, 99]);
    packet.extend(options);
    packet
}

/// Lets a client run against a server that answers as the bytes say.
fn play(mut input: Input<'_>) {
    let (mut now_ms, mut end_ms) = (1_000_u64, None);
    let (mut client, mut asked) = (Client::new(MAC, 7, now_ms), Vec::new());
    let mut last = Vec::new();
    while let (Some(event), Some(value)) = (input.u8(), input.u8()) {
        match client.next(now_ms) {
            Step::Ask(question) => {
                asked.push(now_ms);
                last = client.packet(question, now_ms).to_vec();
            }
            Step::Expired => end_ms = None,
            Step::Wait(until_ms) => {
                assert!(until_ms > now_ms && until_ms != NEVER_MS);
                now_ms = if event & 1 == 0 { until_ms } else { until_ms.min(now_ms + u64::from(value) * 16) };
            }
        }
        assert!(
            end_ms.is_none_or(|end_ms| now_ms <= end_ms || !client.is_bound() || client.wake_ms() <= now_ms)
        );
        if event & 2 != 0 && !last.is_empty() {
            let options = [53, 1, event >> 5, 51, 4, 0, 0, 0, value, 54, 4, 10, 0, 2, 2, 255];
            let mut packet = answer(&options);
            packet[32..36].copy_from_slice(&last[32..36]);
            packet[47] = event >> 2 & 1;
            match client.receive(&packet, now_ms) {
                Change::Bound(lease) => end_ms = Some(now_ms + u64::from(lease.seconds) * 1_000),
                Change::Refused => end_ms = None,
                Change::None => {}
            }
            assert_eq!(client.is_bound(), end_ms.is_some());
        }
    }
    let is_storm = asked.windows(10).any(|window| window[9] - window[0] < 1_000);
    assert!(!is_storm, "{asked:?}");
}
