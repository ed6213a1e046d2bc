//! A boot that runs: a QEMU process, its console as lines, and how it ended.

use core::fmt::Write as _;
use core::time::Duration;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::slots::Slot;

/// A running machine. It is killed when this is dropped.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    input: Option<ChildStdin>,
    console: Arc<Console>,
    readers: Vec<JoinHandle<()>>,
    started: Instant,
    _image: File, // QEMU opens it through this process
    _slot: Slot,
}

/// A line of the console.
#[derive(Clone, Debug)]
pub struct Line {
    /// When its end arrived.
    pub at: Instant,
    /// Without its end.
    pub text: String,
}

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// QEMU left by itself: power off, or a reset.
    Off,
    /// QEMU failed.
    Failed,
}

#[derive(Debug, Default)]
struct Console {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Line>,
    /// The line that has no end yet.
    partial: Vec<u8>,
    open_pipes: usize,
}

impl Guest {
    pub(crate) fn watch(mut child: Child, image: File, slot: Slot) -> Guest {
        let console = Arc::new(Console::default());
        console.lock().open_pipes = 2;
        let stdout = child.stdout.take().expect("QEMU's output is a pipe");
        let stderr = child.stderr.take().expect("QEMU's errors are a pipe");
        let input = child.stdin.take();
        let readers = vec![
            thread::spawn({
                let console = Arc::clone(&console);
                move || console.read_serial(stdout)
            }),
            thread::spawn({
                let console = Arc::clone(&console);
                move || console.read_errors(stderr)
            }),
        ];
        Guest { child, input, console, readers, started: Instant::now(), _image: image, _slot: slot }
    }

    /// Waits for a line that contains the text, which may still lack its end, and gives it.
    ///
    /// # Errors
    /// That it did not come in time or can come no more, with the whole console.
    pub fn wait_console(&self, text: &str, timeout: Duration) -> Result<String> {
        let deadline = Instant::now() + timeout;
        let mut state = self.console.lock();
        loop {
            if let Some(line) = state.lines.iter().find(|line| line.text.contains(text)) {
                return Ok(line.text.clone());
            }
            let partial = String::from_utf8_lossy(&state.partial);
            if partial.contains(text) {
                return Ok(partial.into_owned());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.open_pipes == 0 || left.is_zero() {
                let why =
                    if left.is_zero() { format!("within {timeout:?}") } else { "before the end".to_owned() };
                drop(state);
                return Err(self.failure(&format!("the console did not show {text:?} {why}")));
            }
            state = self.console.wait(state, left);
        }
    }

    /// Waits for the end of the machine.
    ///
    /// # Errors
    /// That it still runs, with the whole console.
    pub fn wait_exit(&mut self, timeout: Duration) -> Result<End> {
        let deadline = Instant::now() + timeout;
        let mut state = self.console.lock();
        while state.open_pipes > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                return Err(self.failure(&format!("the machine did not end within {timeout:?}")));
            }
            state = self.console.wait(state, left);
        }
        drop(state);
        // Its pipes are closed: it has ended or is about to.
        let status = self.child.wait().map_err(Error::at("unable to wait for QEMU"))?;
        Ok(if status.success() { End::Off } else { End::Failed })
    }

    /// Whether the machine has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.console.lock().open_pipes == 0
    }

    /// The lines of the console so far, QEMU's own words among them (they begin with `qemu: `).
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.console.lock().lines.clone()
    }

    /// The console so far as one text, each line with its time since the start.
    #[must_use]
    pub fn console(&self) -> String {
        let state = self.console.lock();
        let mut text = String::new();
        for line in &state.lines {
            let at = line.at.duration_since(self.started).as_secs_f64();
            let _ = writeln!(text, "{at:8.3} {}", line.text);
        }
        if !state.partial.is_empty() {
            let _ = writeln!(text, "         {} (no end of line)", String::from_utf8_lossy(&state.partial));
        }
        text
    }

    /// What the lines that begin with a mark have after it: how a test's init reports.
    #[must_use]
    pub fn report(&self, mark: &str) -> Vec<String> {
        let state = self.console.lock();
        state.lines.iter().filter_map(|line| line.text.strip_prefix(mark)).map(str::to_owned).collect()
    }

    /// Waits until the guest's script stands at its `wait_for_go`.
    ///
    /// # Errors
    /// As [`Guest::wait_console`].
    pub fn wait_ready(&self, timeout: Duration) -> Result<()> {
        self.wait_console("READY", timeout).map(drop)
    }

    /// Lets the guest's script go on from its `wait_for_go`.
    ///
    /// # Errors
    /// That QEMU reads no more.
    pub fn go(&mut self) -> Result<()> {
        self.type_line("")
    }

    /// Types a line on the console.
    ///
    /// # Errors
    /// That QEMU reads no more.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().ok_or_else(|| Error::new("the console takes no input"))?;
        input.write_all(format!("{line}\n").as_bytes()).map_err(Error::at("unable to type on the console"))
    }

    /// The time since the start.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// A failure of a claim about this boot: the words, then the whole console.
    #[must_use]
    pub fn failure(&self, words: &str) -> Error {
        Error::new(format!("{words}\n--- console ---\n{}--- end of the console ---", self.console()))
    }

    /// For a claim beside the console: adds the whole console to its failure.
    ///
    /// # Errors
    /// The claim's own.
    pub fn explain<T>(&self, claim: Result<T>) -> Result<T> {
        claim.map_err(|why| self.failure(&why.to_string()))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Console {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, at_most: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner).0
    }

    fn read_serial(&self, mut pipe: impl Read) {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut bytes) {
            let at = Instant::now();
            let mut state = self.lock();
            for byte in &bytes[..count] {
                match byte {
                    b'\n' => {
                        let text = String::from_utf8_lossy(&state.partial).into_owned();
                        state.partial.clear();
                        state.lines.push(Line { at, text });
                    }
                    b'\r' => {}
                    _ => state.partial.push(*byte),
                }
            }
            self.changed.notify_all();
        }
        self.close();
    }

    fn read_errors(&self, pipe: impl Read) {
        for text in BufReader::new(pipe).lines().map_while(core::result::Result::ok) {
            self.lock().lines.push(Line { at: Instant::now(), text: format!("qemu: {text}") });
            self.changed.notify_all();
        }
        self.close();
    }

    fn close(&self) {
        self.lock().open_pipes -= 1;
        self.changed.notify_all();
    }
}
