//! What a record costs before it meets the kernel: counted, so that it is the same on every machine, and kept, so that
//! it cannot grow unseen.

use earlykmsg_bench::instructions::{GROWTH_PERCENT, LOGS, compiler, compiler_then, count, kept};

#[test]
fn parsing_and_encoding_cost_no_more_than_before() {
    let kept = kept();
    let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, LOGS, "the counts of bench/instructions.txt");
    let mut told = Vec::new();
    for (name, before) in kept {
        let now = count(&name);
        let growth = (now as f64 / before as f64 - 1.0) * 100.0;
        println!("{name}: {now} instructions, {growth:+.2} %");
        if growth > GROWTH_PERCENT {
            told.push(format!("{name}: {before} instructions before, {now} now ({growth:+.1} %)"));
        }
    }
    assert!(
        told.is_empty(),
        "{}\nby {}, before by {}. If that is worth it: ./bench/run instructions --write",
        told.join("\n"),
        compiler(),
        compiler_then()
    );
}
