//! Which record stands where in what was sent.

use core::cell::RefCell;
use std::collections::BTreeMap;

use earlykmsg::delivery::ledger::{Ledger, Marks};
use earlykmsg::limits::{LEDGER_FAR_MARKS, LEDGER_FAR_STEPS, LEDGER_MARKS};

use crate::Input;

thread_local! {
    static LEDGERS: RefCell<BTreeMap<u64, Ledger>> = const { RefCell::new(BTreeMap::new()) };
}

/// Records noted one after the other, beside a list that forgets none: nothing that is asked for is ever skipped, and
/// what is repeated is at most a step or a record.
pub fn check(bytes: &[u8]) {
    let mut input = Input(bytes);
    let Some(step) = input.u16() else { return };
    // Some 500 steps: each has a ledger of its own, whose places are for good.
    let step = u64::from(step) / 128 * 128 + 1;
    LEDGERS.with_borrow_mut(|ledgers| {
        let new = || Ledger::new(step, Box::leak(Box::new(Marks::NONE)));
        let ledger = ledgers.entry(step).or_insert_with(new);
        ledger.clear();
        note_all(ledger, step, input);
    });
}

fn note_all(ledger: &mut Ledger, step: u64, mut input: Input<'_>) {
    let mut noted: Vec<(u64, u64)> = Vec::new();
    let (mut position, mut seq) = (0, 0);
    while let (Some(length), Some(more)) = (input.u16(), input.u8()) {
        if more == u8::MAX {
            ledger.clear();
            noted.clear();
            position = 0;
            assert_eq!(ledger.record_at(u64::from(length)), None);
            assert_eq!(ledger.first(), None);
            continue;
        }
        ledger.note(position, seq);
        noted.push((position, seq));
        position += u64::from(length);
        seq += 1 + u64::from(more);
        let half = position / 2;
        let asked = [0, half, position.saturating_sub(u64::from(more)), position, position + step, u64::MAX];
        asked.into_iter().for_each(|asked| covered(ledger, &noted, step, position, asked));
    }
}

fn covered(ledger: &Ledger, noted: &[(u64, u64)], step: u64, end: u64, asked: u64) {
    let got = ledger.record_at(asked).expect("something was noted");
    let &(begins, _) = noted.iter().find(|&&(_, seq)| seq == got).expect("a record that was noted");
    if begins <= asked {
        let &(exact, _) = noted.iter().rfind(|&&(position, _)| position <= asked).expect("the one before");
        // The last stretch has a mark for each step, as far as its places go.
        let coarse =
            if end - asked.min(end) < (LEDGER_MARKS as u64 - 1) * step { 1 } else { LEDGER_FAR_STEPS };
        assert!(exact - begins < coarse * step, "goes back from {exact} to {begins} with a step of {step}");
    } else {
        // Before the oldest mark; there are as many as there are places.
        let reach = (LEDGER_FAR_MARKS as u64 - 1) * LEDGER_FAR_STEPS * step;
        assert!(end - begins >= reach, "forgets what it has places for");
    }
    assert_eq!(ledger.first(), noted.first().map(|&(_, seq)| seq));
}
